//! Segments of our own spool: followed like any log, and removed when the server has stored them.

use std::fs;
use std::path::PathBuf;

use super::Now;
use super::checkpoint::Stage;
use super::follow::Tail;
use super::reader::Source;
use crate::error::Result;
use crate::spool::Segment;

impl Tail {
    /// Removes those of `segments` that are stored to their end, and says how many these were.
    ///
    /// That they are finished is written down first: a file that is gone without it would be reported as a gap.
    pub fn remove_shipped(&mut self, segments: &[Segment], now: Now) -> Result<usize> {
        let mut done: Vec<PathBuf> = Vec::new();
        for source in self.sources.values_mut() {
            let ours = segments.iter().any(|segment| segment.path == source.path_now);
            if ours && is_stored(source) {
                source.let_go();
                source.stage = Stage::Finished;
                source.met = now.mono;
                self.unsaved = true;
                done.push(source.path_now.clone());
            }
        }
        if done.is_empty() {
            return Ok(0);
        }
        self.save()?;
        for path in &done {
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!(path = %path.display(), error = %error, "cannot remove a segment of the spool");
            }
        }
        Ok(done.len())
    }

    /// Counts messages that came and could not be kept.
    pub fn count_dropped(&mut self, messages: u64) {
        self.dropped_lines += messages;
        self.unsaved |= messages > 0;
    }
}

/// Whether every byte of the file is acknowledged.
fn is_stored(source: &Source) -> bool {
    let len = fs::metadata(&source.path_now).ok().map(|meta| meta.len());
    let idle = source.acked == source.pos && source.pending.is_none() && source.waiting_since.is_none();
    source.stage != Stage::Rotated && idle && len == Some(source.acked)
}

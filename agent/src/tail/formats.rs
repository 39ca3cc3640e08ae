//! A `log_format` that is changed while its log goes on.
//!
//! Somebody edits the configuration, some time later NGINX is told to read it, and from one line to the next the log has
//! another format. When that was nobody says: both formats travel with the source, the newest first, and a line that is
//! not of the first is read by the one before it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use logweir_proto::batch::SourceKind;
use logweir_proto::formats::FORMAT_SEPARATOR;

use super::checkpoint::Stage;
use super::discover::Candidate;
use super::follow::Tail;
use super::info::FORMAT_BYTES_MAX;

/// Formats of one log: what is in force, and those before it.
pub const FORMATS_MAX: usize = 4;

/// `newer` followed by what of `older` is not among it.
pub fn join(newer: &str, older: &str) -> String {
    let mut all: Vec<&str> = newer.split(FORMAT_SEPARATOR).collect();
    for format in older.split(FORMAT_SEPARATOR).filter(|format| !format.is_empty()) {
        if !all.contains(&format) {
            all.push(format);
        }
    }
    all.truncate(FORMATS_MAX);
    // What does not fit into a header would take the one in force with it.
    while all.len() > 1 && all.iter().map(|format| format.len() + 1).sum::<usize>() > FORMAT_BYTES_MAX + 1 {
        all.pop();
    }
    all.join(&FORMAT_SEPARATOR.to_string())
}

impl Tail {
    /// Gives access logs that were found the formats that they had before, and tells the server of new ones.
    pub fn take_formats(&mut self, found: &mut [Candidate]) {
        let access = found.iter_mut().filter(|candidate| candidate.kind == SourceKind::NginxAccess);
        let mut access: HashMap<&Path, &mut Arc<str>> =
            access.map(|Candidate { path, format, .. }| (path.as_path(), format)).collect();
        if access.is_empty() {
            return;
        }
        let known = self.sources.values_mut().filter(|source| source.info.kind == SourceKind::NginxAccess);
        for source in known {
            let Some(format) = access.get_mut(Path::new(&*source.info.path)) else { continue };
            // What rotates now may be renamed only: its name is a new file's, whose writer has not read anything yet.
            if source.info.format != **format {
                **format = join(format, &source.info.format).into();
            }
            if source.stage == Stage::Live && source.info.format != **format {
                tracing::info!(path = %source.info.path, "its log_format has changed");
                source.info.format.clone_from(format);
                source.announced = false;
                self.unsaved = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_format_is_the_first_and_none_is_there_twice() {
        for (newer, older, want) in [
            ("a", "a", "a"),
            ("b", "a", "b\x1ea"),
            ("b", "b\x1ea", "b\x1ea"),
            ("a", "b\x1ea", "a\x1eb"),
            ("e", "d\x1ec\x1eb\x1ea", "e\x1ed\x1ec\x1eb"),
            ("a", "", "a"),
        ] {
            assert_eq!(join(newer, older), want, "{newer} after {older}");
        }
        let long = "x".repeat(FORMAT_BYTES_MAX - 2);
        assert_eq!((join(&long, "a").len(), join(&long, "ab").len()), (FORMAT_BYTES_MAX, FORMAT_BYTES_MAX - 2));
    }
}

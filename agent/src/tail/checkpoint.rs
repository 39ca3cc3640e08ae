//! What the agent remembers: `checkpoint.json` in the state directory, replaced whole (write, fsync, rename, fsync), and
//! what changed since, in the [journal].
//!
//! One JSON object, `version` first: `generation` (new each time it is replaced, and named by the records of the journal
//! that go on from it), `agent_id`, `machine` (on another one it is a clone's, which takes a new `agent_id`), `next_source` (the counter behind source ids), `saved_ns` (when the last rescan
//! that was completed began: a file that was born later was not seen yet), `sources` (each incarnation with its identity
//! and the offset up to which the server has stored it), `in_flight` (the ranges of the batch that was being sent: after
//! a crash exactly these are cut and sent again), `gaps` (not yet reported), `dropped_lines`, `truncated_lines`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use logweir_proto::batch::Gap;
use logweir_runtime::durable;
use serde::{Deserialize, Serialize};

use super::identity::{FileId, Fingerprint};
use super::info::Info;
use super::journal;
use crate::decode::Multiline;
use crate::error::{Error, Result};

pub const CHECKPOINT_VERSION: u32 = 2;
/// Without a journal: read, and written as the one above.
const CHECKPOINT_VERSION_MIN: u32 = 1;
/// Larger files are not ours.
pub const CHECKPOINT_BYTES_MAX: u64 = 64 << 20;
/// Gaps that wait to be reported; beyond them the last one of a source is widened.
pub const GAPS_MAX: usize = 1_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint<'a> {
    pub version: u32,
    #[serde(default)]
    pub generation: String,
    pub agent_id: String,
    /// The machine on which it was written, as a hash; empty when that was not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub machine: String,
    pub next_source: u64,
    pub saved_ns: i64,
    pub sources: Vec<SavedSource<'a>>,
    /// Numbers of sources that are remembered no more: only in a record of the journal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forgotten: Vec<String>,
    pub in_flight: Vec<PlannedRange>,
    pub gaps: Vec<Gap>,
    pub dropped_lines: u64,
    pub truncated_lines: u64,
}

/// Where an incarnation is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Its path shows it.
    Live,
    /// It was renamed, copied away or deleted, and is read to its end.
    Rotated,
    /// Read and acknowledged to its end; kept so that the file is known when it is met again.
    Finished,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSource<'a> {
    pub info: Cow<'a, Info>,
    pub multiline: Cow<'a, Multiline>,
    pub stage: Stage,
    pub id: FileId,
    pub fingerprint: Fingerprint,
    /// Where the file was last seen; `info.path` is the name under which it was found first.
    pub path_now: Cow<'a, Path>,
    /// Everything before is stored by the server.
    pub acked: u64,
    /// Size when it was last looked at.
    pub size: u64,
    /// The bytes from here on are another source's: the file lost its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<u64>,
}

/// `[from, to)` of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRange {
    pub source: String,
    pub from: u64,
    pub to: u64,
}

impl Checkpoint<'_> {
    pub fn new(agent_id: String) -> Checkpoint<'static> {
        Checkpoint {
            version: CHECKPOINT_VERSION,
            generation: String::new(),
            agent_id,
            machine: String::new(),
            next_source: 1,
            saved_ns: 0,
            sources: Vec::new(),
            forgotten: Vec::new(),
            in_flight: Vec::new(),
            gaps: Vec::new(),
            dropped_lines: 0,
            truncated_lines: 0,
        }
    }

    pub fn path(state_dir: &Path) -> PathBuf {
        state_dir.join("checkpoint.json")
    }

    /// `Ok(None)` when there is none: a first start.
    pub fn load(state_dir: &Path) -> Result<Option<Checkpoint<'static>>> {
        let path = Checkpoint::path(state_dir);
        let bad = |reason: String| Error::Checkpoint { path: path.clone(), reason };
        match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(bad(error.to_string())),
            Ok(meta) if meta.len() > CHECKPOINT_BYTES_MAX => return Err(bad(format!("{} bytes", meta.len()))),
            Ok(_) => {}
        }
        let bytes = std::fs::read(&path).map_err(|error| bad(error.to_string()))?;
        let mut checkpoint: Checkpoint<'static> =
            serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
        if !(CHECKPOINT_VERSION_MIN..=CHECKPOINT_VERSION).contains(&checkpoint.version) {
            return Err(bad(format!("version {}, this build reads {CHECKPOINT_VERSION}", checkpoint.version)));
        }
        journal::replay(state_dir, &mut checkpoint).map_err(Error::io("read", journal::path(state_dir)))?;
        Ok(Some(checkpoint))
    }

    /// Replaces the file; no record of the journal goes on from it yet.
    pub fn save(&mut self, state_dir: &Path) -> Result<()> {
        self.generation = random_hex()?;
        let path = Checkpoint::path(state_dir);
        let written = durable::replace_with(&path, |out| Ok(serde_json::to_writer(out, self)?));
        written.map_err(Error::io("write", path))
    }
}

/// Eight random bytes as hex: ids need no more, and a restored state directory must not count on from an old number.
pub fn random_hex() -> Result<String> {
    use std::io::Read;
    let mut bytes = [0u8; 8];
    let path = Path::new("/dev/urandom");
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut bytes)).map_err(Error::io("read", path))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_comes_back_and_a_broken_one_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(Checkpoint::load(dir.path()).expect("a first start"), None);
        let mut checkpoint = Checkpoint::new(random_hex().expect("random bytes"));
        checkpoint.in_flight.push(PlannedRange { source: "1-ab".into(), from: 3, to: 9 });
        checkpoint.save(dir.path()).expect("it is written");
        assert_eq!(Checkpoint::load(dir.path()).expect("it is read"), Some(checkpoint));
        let path = Checkpoint::path(dir.path());
        let bytes = std::fs::read(&path).expect("the file");
        std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("torn");
        assert!(matches!(Checkpoint::load(dir.path()), Err(Error::Checkpoint { .. })));
        std::fs::write(&path, String::from_utf8_lossy(&bytes).replace("\"version\":2", "\"version\":9")).expect("v9");
        let error = Checkpoint::load(dir.path()).expect_err("from the future").to_string();
        assert!(error.contains("version 9"), "{error}");
    }
}

//! The commit log: "write record n + 1 if it does not exist" is the one agreement that the store needs.
//!
//! A record makes a split, the WAL position behind it and the byte ranges in it true together. Whoever was paused and
//! comes back finds its record taken and knows that it is not the owner any more.
//!
//! In a directory, record `n` is the file `<n, 20 digits>.commit`: one frame ([`logweir_proto::frame`]) of JSON
//! ([`Record`]). It is written under another name, fsynced, and linked to its name, which fails if that is taken; so
//! a crash leaves the whole record or none. The file `checkpoint` holds the catalogue after record `upto` as JSON: a
//! frame of `upto u64 | "LWCKPT" | version u16 = 1 | bytes of the JSON u64`, then frames with the JSON, cut into
//! pieces of [`CHECKPOINT_PIECE_BYTES`]. Integers are little endian. Records that are [`RECORDS_KEPT`] older than a
//! checkpoint are deleted.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use logweir_proto::frame;
use logweir_runtime::durable;
use serde::{Deserialize, Serialize};

use super::split::footer::SplitMeta;
use crate::ranges::SourceRanges;

/// Records that stay behind a checkpoint, so that a writer that sleeps long still finds its number taken.
pub const RECORDS_KEPT: u64 = 256;

/// A checkpoint may outgrow a frame, so it is cut into pieces of this size.
pub const CHECKPOINT_PIECE_BYTES: usize = 16 << 20;

const CHECKPOINT_MAGIC: &[u8; 8] = b"LWCKPT\x01\x00";

/// One step of the catalogue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Tells the own record from another's under the same number.
    pub nonce: String,
    pub time_ns: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<SplitMeta>,
    /// Names of objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// The first WAL record that no split covers, if this record moves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wal_upto: Option<u64>,
    /// Byte ranges of sources that are stored by it.
    #[serde(default, skip_serializing_if = "SourceRanges::is_empty")]
    pub ranges: SourceRanges,
}

/// Why a record was not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Somebody, perhaps oneself, wrote a record of this number.
    #[error("commit record {0} exists already")]
    Taken(u64),
    /// Whether it was written is not known.
    #[error(transparent)]
    Io(#[from] CommitError),
}

/// The log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error("commit log {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("commit log {path} is damaged: restore it from a backup")]
    Damaged { path: PathBuf },
    #[error("commit log: record {0} is missing")]
    Missing(u64),
}

/// An append-only log with numbered records. Every method may block.
pub trait CommitLog: Send + Sync {
    /// Writes record `seq` durably unless there is one.
    fn append(&self, seq: u64, record: &[u8]) -> Result<(), AppendError>;

    /// The records from `seq` on, in order, without a gap.
    fn read_from(&self, seq: u64) -> Result<Vec<(u64, Vec<u8>)>, CommitError>;

    /// Keeps the state after record `upto`, so that folding does not begin at the beginning.
    fn checkpoint(&self, upto: u64, state: &[u8]) -> Result<(), CommitError>;

    /// The last checkpoint.
    fn latest_checkpoint(&self) -> Result<Option<(u64, Vec<u8>)>, CommitError>;
}

/// A log in memory; clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryCommits {
    inner: Arc<Mutex<Memory>>,
}

#[derive(Debug, Default)]
struct Memory {
    records: BTreeMap<u64, Vec<u8>>,
    checkpoint: Option<(u64, Vec<u8>)>,
}

impl CommitLog for MemoryCommits {
    fn append(&self, seq: u64, record: &[u8]) -> Result<(), AppendError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.records.contains_key(&seq) {
            return Err(AppendError::Taken(seq));
        }
        inner.records.insert(seq, record.to_vec());
        Ok(())
    }

    fn read_from(&self, seq: u64) -> Result<Vec<(u64, Vec<u8>)>, CommitError> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(inner.records.range(seq..).map(|(seq, record)| (*seq, record.clone())).collect())
    }

    fn checkpoint(&self, upto: u64, state: &[u8]) -> Result<(), CommitError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.checkpoint = Some((upto, state.to_vec()));
        inner.records = inner.records.split_off(&upto.saturating_sub(RECORDS_KEPT));
        Ok(())
    }

    fn latest_checkpoint(&self) -> Result<Option<(u64, Vec<u8>)>, CommitError> {
        Ok(self.inner.lock().unwrap_or_else(PoisonError::into_inner).checkpoint.clone())
    }
}

/// What reading a whole log found.
#[derive(Debug, Default)]
pub struct Inspected {
    /// What could be read.
    pub log: MemoryCommits,
    pub damage: Vec<CommitDamage>,
}

/// A file of a log that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitDamage {
    pub path: PathBuf,
    pub reason: String,
    /// The log is whole without it.
    pub harmless: bool,
}

/// A log in a directory.
#[derive(Debug, Clone)]
pub struct LocalCommits {
    dir: PathBuf,
}

impl LocalCommits {
    /// Uses a directory, which is created.
    pub fn open(dir: &Path) -> Result<LocalCommits, CommitError> {
        let commits = LocalCommits { dir: dir.to_owned() };
        durable::create_private_dir(dir)
            .and_then(|()| durable::sync_parent(dir))
            .map_err(|source| commits.io(dir, source))?;
        Ok(commits)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads all of it into memory, as far as that is possible, and changes nothing.
    pub fn inspect(&self) -> Result<Inspected, CommitError> {
        let mut found = Inspected::default();
        let mut damage = |path: PathBuf, reason: &str, harmless| {
            found.damage.push(CommitDamage { path, reason: reason.to_owned(), harmless });
        };
        let mut next = 1;
        match self.latest_checkpoint() {
            Ok(Some((upto, state))) => {
                next = upto + 1;
                found.log.checkpoint(upto, &state)?;
            }
            Ok(None) => {}
            Err(CommitError::Damaged { path }) => damage(path, "the checkpoint does not match its checksums", false),
            Err(error) => return Err(error),
        }
        let numbers = self.numbers(next)?;
        for (i, number) in numbers.iter().enumerate() {
            let path = self.record_path(*number);
            if *number != next {
                damage(path, &format!("the records before it, from {next} on, are missing"), false);
                break;
            }
            next += 1;
            let bytes = fs::read(&path).map_err(|source| self.io(&path, source))?;
            match whole_frame(&bytes) {
                Some(record) => drop(found.log.append(*number, record)),
                None if i + 1 == numbers.len() => {
                    damage(path, "the last record is torn: it was never confirmed, or lost since", true);
                }
                None => damage(path, "the record does not match its checksum", false),
            }
        }
        Ok(found)
    }

    /// Puts another log, which `fill` writes, in its place. The old one stays under the name that is answered. A crash
    /// in between leaves no log, which is told from a store that never had one by its splits.
    pub fn replace_with<E: From<CommitError>>(
        &self,
        now_ns: i64,
        fill: &mut dyn FnMut(&LocalCommits) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        let fresh_dir = self.dir.with_extension(format!("new-{now_ns}"));
        let aside = self.dir.with_extension(format!("damaged-{now_ns}"));
        fill(&LocalCommits::open(&fresh_dir)?)?;
        let moved = fs::rename(&self.dir, &aside).and_then(|()| fs::rename(&fresh_dir, &self.dir));
        moved.and_then(|()| durable::sync_parent(&self.dir)).map_err(|source| self.io(&self.dir, source))?;
        Ok(aside)
    }

    fn record_path(&self, seq: u64) -> PathBuf {
        self.dir.join(format!("{seq:020}.commit"))
    }

    fn checkpoint_path(&self) -> PathBuf {
        self.dir.join("checkpoint")
    }

    fn io(&self, path: &Path, source: io::Error) -> CommitError {
        CommitError::Io { path: path.to_owned(), source }
    }

    /// The numbers of the records from `seq` on, in order.
    fn numbers(&self, seq: u64) -> Result<Vec<u64>, CommitError> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(|source| self.io(&self.dir, source))? {
            let name = entry.map_err(|source| self.io(&self.dir, source))?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".commit")?.parse::<u64>().ok());
            numbers.extend(number.filter(|number| *number >= seq));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn link(&self, tmp: &Path, path: &Path, framed: &[u8]) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).open(tmp)?;
        file.write_all(framed)?;
        file.sync_all()?;
        fs::hard_link(tmp, path)?;
        durable::sync_parent(path)
    }
}

impl CommitLog for LocalCommits {
    fn append(&self, seq: u64, record: &[u8]) -> Result<(), AppendError> {
        let path = self.record_path(seq);
        let tmp = self.dir.join(format!("{seq:020}.{}.tmp", std::process::id()));
        let mut framed = Vec::with_capacity(record.len() + frame::FRAME_HEADER_BYTES);
        frame::put(&mut framed, &[record]).map_err(|error| self.io(&path, io::Error::other(error)))?;
        let linked = self.link(&tmp, &path, &framed);
        // The record is there or not; its other name does not matter any more.
        let _ = fs::remove_file(&tmp);
        match linked {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(AppendError::Taken(seq)),
            Err(source) => Err(self.io(&path, source).into()),
        }
    }

    fn read_from(&self, seq: u64) -> Result<Vec<(u64, Vec<u8>)>, CommitError> {
        let numbers = self.numbers(seq)?;
        let mut records = Vec::with_capacity(numbers.len());
        for (i, number) in numbers.iter().enumerate() {
            if *number != seq + i as u64 {
                return Err(CommitError::Missing(seq + i as u64));
            }
            let path = self.record_path(*number);
            let bytes = fs::read(&path).map_err(|source| self.io(&path, source))?;
            match whole_frame(&bytes) {
                Some(record) => records.push((*number, record.to_vec())),
                None if i + 1 == numbers.len() => set_aside(&path).map_err(|source| self.io(&path, source))?,
                None => return Err(CommitError::Damaged { path }),
            }
        }
        Ok(records)
    }

    fn checkpoint(&self, upto: u64, state: &[u8]) -> Result<(), CommitError> {
        let path = self.checkpoint_path();
        let framed = frame_checkpoint(upto, state).map_err(|error| self.io(&path, io::Error::other(error)))?;
        durable::replace(&path, &framed).map_err(|source| self.io(&path, source))?;
        for number in self.numbers(0)?.into_iter().take_while(|number| number + RECORDS_KEPT < upto) {
            let old = self.record_path(number);
            fs::remove_file(&old).map_err(|source| self.io(&old, source))?;
        }
        Ok(())
    }

    fn latest_checkpoint(&self) -> Result<Option<(u64, Vec<u8>)>, CommitError> {
        let path = self.checkpoint_path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.io(&path, source)),
        };
        let read = read_checkpoint(&bytes).ok_or(CommitError::Damaged { path })?;
        Ok(Some(read))
    }
}

fn frame_checkpoint(upto: u64, state: &[u8]) -> Result<Vec<u8>, frame::FrameTooLarge> {
    let pieces = state.len() / CHECKPOINT_PIECE_BYTES + 2;
    let mut framed = Vec::with_capacity(state.len() + 24 + pieces * frame::FRAME_HEADER_BYTES);
    frame::put(&mut framed, &[&upto.to_le_bytes(), CHECKPOINT_MAGIC, &(state.len() as u64).to_le_bytes()])?;
    for piece in state.chunks(CHECKPOINT_PIECE_BYTES) {
        frame::put(&mut framed, &[piece])?;
    }
    Ok(framed)
}

/// `None` if a byte of it is wrong or missing.
fn read_checkpoint(mut bytes: &[u8]) -> Option<(u64, Vec<u8>)> {
    let frame::Next::Frame(first) = frame::take(&mut bytes) else { return None };
    let (upto, rest) = first.split_first_chunk().map(|(upto, rest)| (u64::from_le_bytes(*upto), rest))?;
    let len = u64::from_le_bytes(rest.strip_prefix(CHECKPOINT_MAGIC)?.try_into().ok()?);
    let mut state = Vec::with_capacity(bytes.len());
    while let frame::Next::Frame(piece) = frame::take(&mut bytes) {
        state.extend_from_slice(piece);
    }
    (bytes.is_empty() && state.len() as u64 == len).then_some((upto, state))
}

fn whole_frame(mut bytes: &[u8]) -> Option<&[u8]> {
    match frame::take(&mut bytes) {
        frame::Next::Frame(payload) if bytes.is_empty() => Some(payload),
        _ => None,
    }
}

/// The last record is not whole: its append was never confirmed, so the WAL still has what it stood for.
fn set_aside(path: &Path) -> io::Result<()> {
    tracing::error!(path = %path.display(), "the last commit record is torn: it is set aside and its lines come from the write-ahead log");
    fs::rename(path, path.with_extension("torn"))?;
    durable::sync_parent(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs() -> (tempfile::TempDir, Vec<Box<dyn CommitLog>>) {
        let dir = tempfile::tempdir().unwrap();
        let local = LocalCommits::open(&dir.path().join("commits")).unwrap();
        (dir, vec![Box::new(MemoryCommits::default()), Box::new(local)])
    }

    #[test]
    fn a_number_is_written_once() {
        let (_dir, logs) = logs();
        for log in logs {
            assert_eq!(log.read_from(1).unwrap(), []);
            assert_eq!(log.latest_checkpoint().unwrap(), None);
            log.append(1, b"one").unwrap();
            log.append(2, b"two").unwrap();
            assert!(matches!(log.append(2, b"other"), Err(AppendError::Taken(2))));
            assert_eq!(log.read_from(1).unwrap(), [(1, b"one".to_vec()), (2, b"two".to_vec())]);
            assert_eq!(log.read_from(2).unwrap(), [(2, b"two".to_vec())]);
            log.checkpoint(2, b"state").unwrap();
            assert_eq!(log.latest_checkpoint().unwrap(), Some((2, b"state".to_vec())));
        }
    }

    #[test]
    fn old_records_go_with_a_checkpoint_and_recent_ones_stay() {
        let (_dir, logs) = logs();
        for log in logs {
            for seq in 1..=RECORDS_KEPT + 10 {
                log.append(seq, b"x").unwrap();
            }
            log.checkpoint(RECORDS_KEPT + 10, b"state").unwrap();
            assert!(matches!(log.append(20, b"late"), Err(AppendError::Taken(20))));
            assert_eq!(log.read_from(RECORDS_KEPT + 11).unwrap(), []);
        }
    }

    #[test]
    fn a_checkpoint_may_be_larger_than_a_frame() {
        let dir = tempfile::tempdir().unwrap();
        let log = LocalCommits::open(dir.path()).unwrap();
        let large: Vec<u8> = (0..frame::FRAME_PAYLOAD_BYTES_MAX + 5).map(|i| (i % 251) as u8).collect();
        log.checkpoint(7, &large).unwrap();
        let (upto, state) = log.latest_checkpoint().unwrap().unwrap();
        assert!(upto == 7 && state == large);
    }

    #[test]
    fn every_cut_and_every_flipped_bit_of_a_checkpoint_is_noticed() {
        let whole = frame_checkpoint(3, b"some state").unwrap();
        assert_eq!(read_checkpoint(&whole), Some((3, b"some state".to_vec())));
        assert_eq!(read_checkpoint(&frame_checkpoint(3, b"").unwrap()), Some((3, Vec::new())));
        for cut in 0..whole.len() {
            assert_eq!(read_checkpoint(&whole[..cut]), None, "cut at {cut}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_checkpoint(&flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn a_record_that_could_not_be_read_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let log = LocalCommits::open(dir.path()).unwrap();
        let error = log.append(1, &vec![b' '; frame::FRAME_PAYLOAD_BYTES_MAX + 1]).unwrap_err();
        assert!(error.to_string().contains("over the limit"), "{error}");
        log.append(1, b"small").unwrap();
    }

    #[test]
    fn a_torn_last_record_never_was_and_a_damaged_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let log = LocalCommits::open(dir.path()).unwrap();
        for (seq, record) in [(1, b"one"), (2, b"two"), (3, b"six")] {
            log.append(seq, record).unwrap();
        }
        let whole = fs::read(log.record_path(3)).unwrap();
        for cut in 0..whole.len() {
            fs::write(log.record_path(3), &whole[..cut]).unwrap();
            assert_eq!(log.read_from(1).unwrap().len(), 2, "cut at {cut}");
            assert!(!log.record_path(3).exists());
        }
        log.append(3, b"new").unwrap();
        fs::write(log.record_path(2), b"torn").unwrap();
        assert!(matches!(log.read_from(1), Err(CommitError::Damaged { .. })));
        fs::remove_file(log.record_path(2)).unwrap();
        assert!(matches!(log.read_from(1), Err(CommitError::Missing(2))));
    }
}

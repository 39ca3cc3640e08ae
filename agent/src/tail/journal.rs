//! What changed since the checkpoint was replaced: `checkpoint.log` in the state directory. A plan costs one `fdatasync`
//! of blocks that are there, however many sources are remembered.
//!
//! A record is one line: CRC-32 (IEEE) of the JSON as eight hex digits | space | JSON | newline. The JSON is that of the
//! checkpoint with the `generation` that it goes on from; its `sources` are only those that changed, each whole, and
//! `forgotten` are the numbers of those that are gone. Records are taken from the start of the file as long as they are whole
//! and of that generation. The file is filled with NULs when it is made and never gets shorter: a new generation writes
//! over the records of the one before.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use logweir_runtime::durable;

use super::checkpoint::{Checkpoint, SavedSource, Stage};
use super::reader::Source;
use crate::error::Result;
use crate::filter::mix;

/// Records up to here; then the checkpoint is replaced. Some seconds of a busy log.
pub const JOURNAL_BYTES_MAX: u64 = 512 << 10;
/// What a changed source takes in a record at least.
const SOURCE_BYTES_MIN: u64 = 250;
/// Hex digits of the checksum and the space behind.
const CRC_LEN: usize = 9;

/// What of the state is on disk.
#[derive(Debug)]
pub struct Journal {
    generation: String,
    /// `None` until the checkpoint was replaced, and after a failure.
    file: Option<File>,
    end: u64,
    pub(super) bytes_max: u64,
    /// What was written of each source, as a hash.
    marks: HashMap<u64, u64>,
}

impl Journal {
    /// The first state is written whole.
    pub fn new() -> Journal {
        let (generation, marks) = (String::new(), HashMap::new());
        Journal { generation, file: None, end: 0, bytes_max: JOURNAL_BYTES_MAX, marks }
    }

    /// Makes `state` with these sources durable, as a record if that is possible.
    pub fn save(&mut self, dir: &Path, state: Checkpoint<'_>, sources: &BTreeMap<u64, Box<Source>>) -> Result<()> {
        match self.append(&state, sources) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            // What is on disk after a failed sync is not known: the whole state goes to another file.
            Err(error) => tracing::warn!(error = %error, "cannot append to the journal of the checkpoint"),
        }
        self.file = None;
        let mut whole = Checkpoint { sources: sources.values().map(|source| source.to_saved()).collect(), ..state };
        whole.save(dir)?;
        self.marks = sources.iter().map(|(key, source)| (*key, mark(&source.to_saved()))).collect();
        self.generation = whole.generation;
        self.end = 0;
        self.file = open(dir).inspect_err(|error| tracing::debug!(error = %error, "no journal")).ok();
        Ok(())
    }

    /// What is written of this source holds no more, although neither its place nor its offsets changed.
    pub fn renamed(&mut self, key: u64) {
        self.marks.remove(&key);
    }

    /// False when there is no room, or nothing to append to.
    fn append(&mut self, state: &Checkpoint<'_>, sources: &BTreeMap<u64, Box<Source>>) -> io::Result<bool> {
        let Some(file) = &self.file else { return Ok(false) };
        let marked = sources.iter().map(|(key, source)| (*key, source, mark(&source.to_saved())));
        let changed: Vec<_> = marked.filter(|(key, _, mark)| self.marks.get(key) != Some(mark)).collect();
        let room = self.bytes_max.saturating_sub(self.end);
        if changed.len() as u64 * SOURCE_BYTES_MIN > room {
            return Ok(false);
        }
        let new = changed.iter().filter(|(key, ..)| !self.marks.contains_key(key)).count();
        let gone: Vec<u64> = match self.marks.len() + new == sources.len() {
            true => Vec::new(),
            false => self.marks.keys().filter(|key| !sources.contains_key(key)).copied().collect(),
        };
        let record = record(&Checkpoint {
            generation: self.generation.clone(),
            sources: changed.iter().map(|(_, source, _)| source.to_saved()).collect(),
            forgotten: gone.iter().map(u64::to_string).collect(),
            ..state.clone()
        })?;
        if record.len() as u64 > room {
            return Ok(false);
        }
        file.write_all_at(&record, self.end)?;
        file.sync_data()?;
        self.end += record.len() as u64;
        self.marks.extend(changed.iter().map(|(key, _, mark)| (*key, *mark)));
        for key in gone {
            self.marks.remove(&key);
        }
        Ok(true)
    }
}

impl Default for Journal {
    fn default() -> Journal {
        Journal::new()
    }
}

pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("checkpoint.log")
}

/// Brings `checkpoint` to the state of the last whole record that goes on from it.
pub(super) fn replay(state_dir: &Path, checkpoint: &mut Checkpoint<'static>) -> io::Result<()> {
    let mut bytes = Vec::new();
    match File::open(path(state_dir)) {
        Ok(file) => file.take(JOURNAL_BYTES_MAX).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    fold(&bytes, checkpoint);
    Ok(())
}

fn fold(bytes: &[u8], checkpoint: &mut Checkpoint<'static>) {
    let mut sources: BTreeMap<u64, SavedSource<'static>> = BTreeMap::new();
    let mut others = Vec::new();
    for source in std::mem::take(&mut checkpoint.sources) {
        match key_of(&source.info.id) {
            Some(key) => drop(sources.insert(key, source)),
            None => others.push(source),
        }
    }
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(mut record) = parse(line).filter(|record| record.generation == checkpoint.generation) else { break };
        for source in std::mem::take(&mut record.sources) {
            if let Some(key) = key_of(&source.info.id) {
                sources.insert(key, source);
            }
        }
        for id in std::mem::take(&mut record.forgotten) {
            key_of(&id).and_then(|key| sources.remove(&key));
        }
        *checkpoint = record;
    }
    checkpoint.sources = others.into_iter().chain(sources.into_values()).collect();
}

/// Ids begin with the number of their source.
fn key_of(id: &str) -> Option<u64> {
    id.split('-').next()?.parse().ok()
}

fn record(state: &Checkpoint<'_>) -> io::Result<Vec<u8>> {
    let mut record = vec![b' '; CRC_LEN];
    serde_json::to_writer(&mut record, state)?;
    let crc = format!("{:08x}", crc32fast::hash(&record[CRC_LEN..]));
    record[..CRC_LEN - 1].copy_from_slice(crc.as_bytes());
    record.push(b'\n');
    Ok(record)
}

fn parse(line: &[u8]) -> Option<Checkpoint<'static>> {
    let (crc, json) = line.strip_suffix(b"\n")?.split_at_checked(CRC_LEN)?;
    let crc = u32::from_str_radix(std::str::from_utf8(crc).ok()?.strip_suffix(' ')?, 16).ok()?;
    (crc == crc32fast::hash(json)).then(|| serde_json::from_slice(json).ok())?
}

/// Opens the file, and makes it first, with all its blocks: then a write into it changes nothing but its data.
fn open(dir: &Path) -> io::Result<File> {
    let path = path(dir);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
    if file.metadata()?.len() < JOURNAL_BYTES_MAX {
        // Block by block: what is written at once, the kernel may keep and write back as one piece.
        let zeros = [0; 4 << 10];
        for at in (0..JOURNAL_BYTES_MAX).step_by(zeros.len()) {
            file.write_all_at(&zeros, at)?;
        }
        file.sync_all()?;
        durable::sync_parent(&path)?;
    }
    Ok(file)
}

/// What may change of a source while its name and labels stay.
fn mark(saved: &SavedSource<'_>) -> u64 {
    let SavedSource { info: _, multiline: _, stage, id, fingerprint, path_now, acked, size, end } = saved;
    let stage = match stage {
        Stage::Live => 0,
        Stage::Rotated => 1,
        Stage::Finished => 2,
    };
    let end = [u64::from(end.is_some()), end.unwrap_or_default()];
    let fingerprint = [u64::from(fingerprint.len), fingerprint.hash];
    let numbers = [stage, id.ino, id.dev, *acked, *size].into_iter().chain(end).chain(fingerprint);
    let path = path_now.as_os_str().as_bytes().chunks(8);
    let path = path.map(|part| part.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    // A thousand of them are looked at for each plan.
    numbers.chain(path).fold(path_now.as_os_str().len() as u64, |mark, word| mix(mark ^ word))
}

#[cfg(test)]
mod tests;

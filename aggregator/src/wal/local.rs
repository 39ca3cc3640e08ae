//! The log in local files: segments of crc frames, appended by one writer.
//!
//! A crash can tear the last frame of the last segment: it was never acknowledged and is cut off at opening. A failed
//! fsync poisons the log: the kernel may have dropped the dirty pages, so neither a retry nor a later success proves
//! anything.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use logweir_proto::frame;
use logweir_runtime::durable;

use super::segment::{self, HEADER_BYTES};
use super::{Damage, Wal, WalError};

/// A segment that has grown to this is closed and a new one begun.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// The log of one data directory.
#[derive(Debug)]
pub struct LocalWal {
    dir: PathBuf,
    segment_bytes_max: u64,
    /// Sizes by first record; the last one is open for writing.
    segments: BTreeMap<u64, u64>,
    file: File,
    /// Offset behind the last whole frame of the open segment.
    end: u64,
    next: u64,
    poisoned: Option<String>,
    buffer: Vec<u8>,
}

impl LocalWal {
    /// Opens or creates the log in `dir`; `first` is the number of the first record of a log that is empty.
    ///
    /// The second value lists records that were acknowledged and can not be read.
    pub fn open(dir: &Path, first: u64) -> Result<(LocalWal, Vec<Damage>), WalError> {
        LocalWal::open_with(dir, first, SEGMENT_BYTES_MAX)
    }

    /// The same with another segment size.
    pub fn open_with(dir: &Path, first: u64, segment_bytes_max: u64) -> Result<(LocalWal, Vec<Damage>), WalError> {
        durable::create_private_dir(dir).map_err(|e| io_error(dir, e))?;
        let mut segments = list(dir)?;
        let mut damage = Vec::new();
        let mut next = first;
        let mut open_end = None;
        let firsts: Vec<u64> = segments.keys().copied().collect();
        for (i, start) in firsts.iter().enumerate() {
            let path = segment::path(dir, *start);
            let scan = segment::scan(&path, &mut |_, _| {}).map_err(|e| io_error(&path, e))?;
            damage.extend(scan.damage.iter().cloned());
            let is_last = i + 1 == firsts.len();
            if scan.torn && !is_last {
                let reason = "the segment ends in damaged bytes though another follows";
                damage.push(Damage { path: path.display().to_string(), offset: scan.end, reason });
            }
            next = next.max(scan.last.map_or(*start, |last| last + 1));
            if is_last {
                open_end = Some((*start, scan.end));
            }
        }
        let (file, end) = match open_end {
            Some((start, end)) if end >= HEADER_BYTES => (reopen(dir, start, end)?, end),
            _ => {
                let file = create(dir, next)?;
                segments.insert(next, HEADER_BYTES);
                (file, HEADER_BYTES)
            }
        };
        if let Some((_, size)) = segments.iter_mut().next_back() {
            *size = end;
        }
        let poisoned = None;
        let wal = LocalWal {
            dir: dir.to_owned(),
            segment_bytes_max,
            segments,
            file,
            end,
            next,
            poisoned,
            buffer: Vec::new(),
        };
        Ok((wal, damage))
    }

    fn check_poison(&self) -> Result<(), WalError> {
        match &self.poisoned {
            Some(reason) => Err(WalError::Poisoned(reason.clone())),
            None => Ok(()),
        }
    }

    fn poison(&mut self, reason: &std::io::Error) -> WalError {
        self.poisoned = Some(reason.to_string());
        WalError::Poisoned(reason.to_string())
    }

    /// Closes the full segment and begins the next; the old one is synced so that only the last can be torn.
    fn roll(&mut self) -> Result<(), WalError> {
        if let Err(error) = self.file.sync_data() {
            return Err(self.poison(&error));
        }
        self.file = create(&self.dir, self.next)?;
        self.end = HEADER_BYTES;
        self.segments.insert(self.next, HEADER_BYTES);
        Ok(())
    }
}

impl Wal for LocalWal {
    fn next_record(&self) -> u64 {
        self.next
    }

    fn append(&mut self, parts: &[&[u8]]) -> Result<u64, WalError> {
        self.check_poison()?;
        if self.end >= self.segment_bytes_max {
            self.roll()?;
        }
        let number = self.next.to_le_bytes();
        let mut all: Vec<&[u8]> = Vec::with_capacity(parts.len() + 1);
        all.push(&number);
        all.extend_from_slice(parts);
        self.buffer.clear();
        frame::put(&mut self.buffer, &all).map_err(|error| WalError::Append(std::io::Error::other(error)))?;
        if let Err(error) = self.file.write_all(&self.buffer) {
            // A full disk leaves half a frame: it must go before the next one is written behind it.
            return match self.file.set_len(self.end) {
                Ok(()) => Err(WalError::Append(error)),
                Err(second) => Err(self.poison(&second)),
            };
        }
        self.end += self.buffer.len() as u64;
        if let Some((_, size)) = self.segments.iter_mut().next_back() {
            *size = self.end;
        }
        let record = self.next;
        self.next += 1;
        Ok(record)
    }

    fn sync(&mut self) -> Result<(), WalError> {
        self.check_poison()?;
        match self.file.sync_data() {
            Ok(()) => Ok(()),
            Err(error) => Err(self.poison(&error)),
        }
    }

    fn truncate_before(&mut self, record: u64) -> Result<(), WalError> {
        let mut gone = Vec::new();
        let firsts: Vec<u64> = self.segments.keys().copied().collect();
        for pair in firsts.windows(2) {
            // The records of a segment end where the next one begins.
            if pair[1] <= record {
                gone.push(pair[0]);
            }
        }
        for first in gone {
            let path = segment::path(&self.dir, first);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io_error(&path, error)),
                _ => self.segments.remove(&first),
            };
        }
        Ok(())
    }

    fn replay(&self, from: u64, each: &mut dyn FnMut(u64, &[u8])) -> Result<Vec<Damage>, WalError> {
        let mut damage = Vec::new();
        let firsts: Vec<u64> = self.segments.keys().copied().collect();
        for (i, first) in firsts.iter().enumerate() {
            if firsts.get(i + 1).is_some_and(|next| *next <= from) {
                continue;
            }
            let path = segment::path(&self.dir, *first);
            let scan = segment::scan(&path, &mut |number, payload| {
                if number >= from {
                    each(number, payload);
                }
            });
            damage.extend(scan.map_err(|e| io_error(&path, e))?.damage);
        }
        Ok(damage)
    }

    fn bytes(&self) -> u64 {
        self.segments.values().sum()
    }
}

pub(super) fn io_error(path: &Path, source: std::io::Error) -> WalError {
    WalError::Io { path: path.display().to_string(), source }
}

pub(super) fn list(dir: &Path) -> Result<BTreeMap<u64, u64>, WalError> {
    let mut segments = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(|e| io_error(dir, e))? {
        let entry = entry.map_err(|e| io_error(dir, e))?;
        if let Some(first) = entry.file_name().to_str().and_then(segment::first_of) {
            segments.insert(first, entry.metadata().map_err(|e| io_error(dir, e))?.len());
        }
    }
    Ok(segments)
}

fn create(dir: &Path, first: u64) -> Result<File, WalError> {
    let path = segment::path(dir, first);
    let written = OpenOptions::new().append(true).create(true).open(&path).and_then(|mut file| {
        file.set_len(0)?;
        file.write_all(&segment::header(first))?;
        file.sync_all()?;
        durable::sync_parent(&path)?;
        Ok(file)
    });
    written.map_err(WalError::Append)
}

/// Opens the last segment for appending, written anew up to `end`.
///
/// What a crash tore goes. The copy is needed for the rest: after a failed fsync the kernel can hold pages that it
/// takes for clean though the disk never got them, and a later fsync of the same pages would succeed without writing.
fn reopen(dir: &Path, first: u64, end: u64) -> Result<File, WalError> {
    let path = segment::path(dir, first);
    let opened = fs::read(&path).and_then(|mut bytes| {
        let torn = bytes.split_off((end as usize).min(bytes.len()));
        if !torn.is_empty() {
            tracing::warn!(path = %path.display(), bytes = torn.len(), "cut off what a crash left unfinished");
            fs::write(path.with_extension("torn"), torn)?;
        }
        durable::replace(&path, &bytes)?;
        OpenOptions::new().append(true).open(&path)
    });
    opened.map_err(|e| io_error(&path, e))
}

#[cfg(test)]
mod tests;

//! The disk spool of sources that are no files: what came is written and synced here, and followed like any other log.
//!
//! ```text
//! STATE/spool/syslog/0000000001.spool        frames of crate::decode::frames, in the order in which they came
//! STATE/spool/syslog/last                    the last message of the segment before the newest one
//! STATE/spool/stdin/0000000001.NAME.spool    NAME: the service
//! ```
//! The newest segment grows; the others are whole and are removed when the server has stored them. A segment is never
//! opened again: after a restart a torn frame is cut off the newest one, and the next message begins another.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use logweir_runtime::durable;

use crate::decode::frames::{self, Part};

/// A segment is closed beyond this.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// And beyond this part of the whole spool, so that a small one frees its space bit by bit.
pub const SEGMENTS_PER_SPOOL: u64 = 8;
/// Segments of one spool that are looked at.
pub const SEGMENTS_MAX: usize = 100_000;

const SUFFIX: &str = ".spool";

/// A message on its way to the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub time_ns: i64,
    pub text: Vec<u8>,
    pub part: Part,
}

#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// It holds as much as it may: the server must take some of it first.
    #[error("the spool {path} is full: the server takes less than comes, or raise spool.bytes", path = .0.display())]
    Full(PathBuf),
    #[error("cannot {action} {path}: {source}", path = .path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

/// One segment on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub number: u64,
    /// Of standard input.
    pub service: Option<String>,
    pub path: PathBuf,
    /// Another one follows it.
    pub closed: bool,
}

/// Where the spools of an agent are.
pub fn root(state_dir: &Path) -> PathBuf {
    state_dir.join("spool")
}

/// The segments of a spool in order.
pub fn segments(dir: &Path) -> Vec<Segment> {
    let entries = fs::read_dir(dir).into_iter().flatten().take(SEGMENTS_MAX).filter_map(|entry| entry.ok());
    let mut segments: Vec<Segment> = entries.filter_map(|entry| segment(entry.path())).collect();
    segments.sort_by_key(|segment| segment.number);
    if let [closed @ .., _] = segments.as_mut_slice() {
        closed.iter_mut().for_each(|segment| segment.closed = true);
    }
    segments
}

fn segment(path: PathBuf) -> Option<Segment> {
    let stem = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    let (number, service) = match stem.split_once('.') {
        Some((number, service)) => (number, Some(service.to_owned())),
        None => (stem, None),
    };
    Some(Segment { number: number.parse().ok()?, service, path, closed: false })
}

/// The writer of one spool.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    service: Option<String>,
    bytes_max: u64,
    number: u64,
    open: Option<Open>,
    /// The last message that was written, this time or the time before.
    last: Option<Vec<u8>>,
    frames: Vec<u8>,
}

#[derive(Debug)]
struct Open {
    file: File,
    path: PathBuf,
    len: u64,
}

impl Spool {
    /// Opens the spool `name` and cuts off what a crash left half written.
    pub fn open(state_dir: &Path, name: &str, service: Option<String>, bytes_max: u64) -> Result<Spool, SpoolError> {
        let dir = root(state_dir).join(name);
        durable::create_private_dir(&dir).map_err(failed("create", &dir))?;
        let newest = segments(&dir).pop();
        let mut last = None;
        if let Some(segment) = &newest {
            let bytes = fs::read(&segment.path).map_err(failed("read", &segment.path))?;
            let (whole, frame) = frames::whole(&bytes);
            if whole < bytes.len() {
                tracing::warn!(path = %segment.path.display(), bytes = bytes.len() - whole, "half a message is cut off");
                let file = OpenOptions::new().write(true).open(&segment.path);
                let cut = file.and_then(|file| file.set_len(whole as u64).and_then(|()| file.sync_all()));
                cut.map_err(failed("cut", &segment.path))?;
            }
            let mut text = Vec::new();
            last = frame.and_then(|frame| frames::open(frame, &mut text)).map(|_| text);
        }
        let last = last.or_else(|| fs::read(dir.join("last")).ok());
        let number = newest.map_or(0, |segment| segment.number);
        Ok(Spool { dir, service, bytes_max, number, open: None, last, frames: Vec::new() })
    }

    /// The last message that is in it, or was.
    pub fn last(&self) -> Option<&[u8]> {
        self.last.as_deref()
    }

    /// Writes messages and syncs them; those that are written are taken out of `messages`.
    pub fn append(&mut self, messages: &mut Vec<Message>) -> Result<(), SpoolError> {
        while !messages.is_empty() {
            self.append_some(messages)?;
        }
        Ok(())
    }

    /// Writes as many as go into one segment.
    fn append_some(&mut self, messages: &mut Vec<Message>) -> Result<(), SpoolError> {
        let segment_bytes = SEGMENT_BYTES_MAX.min(self.bytes_max / SEGMENTS_PER_SPOOL);
        self.frames.clear();
        for message in &*messages {
            let before = self.frames.len();
            frames::write(message.time_ns, &message.text, message.part, &mut self.frames);
            if before > 0 && self.frames.len() as u64 > segment_bytes {
                self.frames.truncate(before);
                break;
            }
        }
        let bytes = self.frames.len() as u64;
        let used = self.used();
        if used > 0 && used + bytes > self.bytes_max {
            if self.open.as_ref().is_some_and(|open| open.len > 0) {
                // Only a segment that another one follows is removed: without this the newest would fill it for ever.
                self.open = Some(self.next_segment()?);
            }
            return Err(SpoolError::Full(self.dir.clone()));
        }
        if self.open.as_ref().is_some_and(|open| open.len > 0 && open.len + bytes > segment_bytes) {
            self.open = None;
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.next_segment()?,
        };
        let (written, result) = write(&mut open.file, &self.frames);
        // Whoever follows the file may have read whole messages of half a write: they stay, and only the torn one goes.
        let (whole, _) = frames::whole(&self.frames[..written]);
        let taken = taken(&self.frames[..whole]);
        self.last = messages.drain(..taken).next_back().map(|message| message.text).or(self.last.take());
        open.len += whole as u64;
        let io = |source| SpoolError::Io { action: "write", path: open.path.clone(), source };
        if let Err(source) = result {
            let error = io(source);
            // If it cannot be cut either, the torn message becomes a record as it is, and another segment follows.
            self.open = open.file.set_len(open.len).is_ok().then_some(open);
            return Err(error);
        }
        if let Err(error) = open.file.sync_data() {
            // What is written can be read and is on its way; only a power cut could still take it. No page of this file
            // is trusted again.
            tracing::error!(path = %open.path.display(), error = %error, "cannot sync the spool");
            return Ok(());
        }
        self.open = Some(open);
        Ok(())
    }

    /// Bytes that are there; what the server has stored is removed by others.
    pub fn used(&self) -> u64 {
        segments(&self.dir).iter().filter_map(|segment| Some(fs::metadata(&segment.path).ok()?.len())).sum()
    }

    fn next_segment(&mut self) -> Result<Open, SpoolError> {
        if let Some(last) = &self.last {
            // The segment that holds it may be removed as soon as another one follows.
            let path = self.dir.join("last");
            durable::replace(&path, last).map_err(failed("write", &path))?;
        }
        self.number += 1;
        let name = match &self.service {
            Some(service) => format!("{:010}.{service}{SUFFIX}", self.number),
            None => format!("{:010}{SUFFIX}", self.number),
        };
        let path = self.dir.join(name);
        let file = private().open(&path).map_err(failed("create", &path))?;
        durable::sync_parent(&path).map_err(failed("create", &path))?;
        Ok(Open { file, path, len: 0 })
    }
}

/// Writes as much as there is room for; says how much that was.
fn write(file: &mut File, mut bytes: &[u8]) -> (usize, io::Result<()>) {
    let len = bytes.len();
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return (len - bytes.len(), Err(io::ErrorKind::WriteZero.into())),
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (len - bytes.len(), Err(error)),
        }
    }
    (len, Ok(()))
}

/// Frames in `bytes`, which are whole.
fn taken(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some(len) = frames::next_len(bytes) {
        bytes = &bytes[len..];
        count += 1;
    }
    count
}

/// Appends to a new file that only the owner reads: messages are as secret as logs.
fn private() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.append(true).create_new(true).mode(0o600);
    options
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SpoolError {
    let path = path.to_path_buf();
    move |source| SpoolError::Io { action, path, source }
}

#[cfg(test)]
mod tests;

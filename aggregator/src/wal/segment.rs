//! One file of the log.
//!
//! ```text
//! magic "LWWAL" | version u8 = 1 | reserved u16 | first record u64
//! frames of proto::frame, each with payload: record u64 | bytes
//! ```
//! The file is named by its first record, 20 digits, `.wal`. Integers are little endian.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use logweir_proto::frame::{FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX, Next, take};

use super::Damage;

const MAGIC: &[u8; 5] = b"LWWAL";
const VERSION: u8 = 1;
pub(super) const HEADER_BYTES: u64 = 16;
const NUMBER_BYTES: usize = 8;
/// A segment of 64 MiB holds fewer: numbers that are further ahead are not of this log.
const RECORDS_PER_SEGMENT_MAX: u64 = 8 << 20;

pub(super) fn header(first: u64) -> [u8; HEADER_BYTES as usize] {
    let mut bytes = [0; HEADER_BYTES as usize];
    bytes[..5].copy_from_slice(MAGIC);
    bytes[5] = VERSION;
    bytes[8..].copy_from_slice(&first.to_le_bytes());
    bytes
}

pub(super) fn path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.wal"))
}

/// The first record by a file's name; `None` for files that are not segments.
pub(super) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

/// What reading a segment to its end found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Number of the last whole record.
    pub last: Option<u64>,
    /// Offset behind the last whole record.
    pub end: u64,
    /// The file ends within a frame, or in bytes that are no frame and no frame follows.
    pub torn: bool,
    pub damage: Vec<Damage>,
}

/// Reads every record, calling `each`. A frame whose checksum is wrong is stepped over if a frame follows it.
pub(super) fn scan(path: &Path, each: &mut dyn FnMut(u64, &[u8])) -> io::Result<Scan> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut scan = Scan { end: HEADER_BYTES, ..Scan::default() };
    if size < HEADER_BYTES {
        // A crash between the creation of the file and its first sync: nothing in it was ever acknowledged.
        scan.end = 0;
        scan.torn = true;
        return Ok(scan);
    }
    let mut head = [0; HEADER_BYTES as usize];
    file.read_exact_at(&mut head, 0)?;
    if head[..5] != *MAGIC || head[5] != VERSION {
        return Err(io::Error::other("not a log segment of version 1"));
    }
    let first = u64::from_le_bytes([head[8], head[9], head[10], head[11], head[12], head[13], head[14], head[15]]);
    let mut offset = HEADER_BYTES;
    let mut buffer = Vec::new();
    while offset < size {
        let frame_len = read_frame(&file, offset, size, &mut buffer)?;
        let mut input = &buffer[..];
        match take(&mut input) {
            Next::Frame(payload) if payload.len() >= NUMBER_BYTES => {
                each(number_of(payload), &payload[NUMBER_BYTES..]);
                scan.last = Some(number_of(payload));
                offset += frame_len;
                scan.end = offset;
            }
            _ => match frame_behind(&file, offset, size, scan.last.map_or(first, |last| last + 1))? {
                Some(following) => {
                    let reason = "records are damaged and were stepped over";
                    scan.damage.push(Damage { path: path.display().to_string(), offset, reason });
                    offset = following;
                }
                None => {
                    scan.torn = true;
                    return Ok(scan);
                }
            },
        }
    }
    Ok(scan)
}

fn number_of(payload: &[u8]) -> u64 {
    payload.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Reads the frame at `offset` as far as the file goes and returns its claimed length, at least one header.
fn read_frame(file: &File, offset: u64, size: u64, buffer: &mut Vec<u8>) -> io::Result<u64> {
    let left = size - offset;
    let mut head = [0u8; FRAME_HEADER_BYTES];
    let head_len = left.min(FRAME_HEADER_BYTES as u64) as usize;
    file.read_exact_at(&mut head[..head_len], offset)?;
    let payload = u64::from(u32::from_le_bytes([head[0], head[1], head[2], head[3]]));
    let len = if payload > FRAME_PAYLOAD_BYTES_MAX as u64 { 0 } else { payload } + FRAME_HEADER_BYTES as u64;
    buffer.resize(len.min(left) as usize, 0);
    file.read_exact_at(buffer, offset)?;
    Ok(len)
}

/// Where behind `offset` a whole frame with a number from `next` on stands: then what is before it was damaged, not
/// torn. The length of a damaged frame proves nothing, so every byte is tried.
fn frame_behind(file: &File, offset: u64, size: u64, next: u64) -> io::Result<Option<u64>> {
    let mut rest = vec![0; (size - offset) as usize];
    file.read_exact_at(&mut rest, offset)?;
    for at in 1..rest.len().saturating_sub(FRAME_HEADER_BYTES + NUMBER_BYTES - 1) {
        // The number is cheap to check and nearly always wrong.
        let number = number_of(&rest[at + FRAME_HEADER_BYTES..]);
        let near = number >= next && number - next < RECORDS_PER_SEGMENT_MAX;
        if near && matches!(take(&mut &rest[at..]), Next::Frame(_)) {
            return Ok(Some(offset + at as u64));
        }
    }
    Ok(None)
}

//! Frames: the `local` log driver of Docker, and our own spool of syslog, standard input and the journal.
//!
//! ```text
//! file     frame…
//! frame    u32 big-endian: bytes of the body, body, the same u32 again
//! body     protobuf: 1 source (string: stdout, stderr, or nothing), 2 time_nano (int64), 3 line (bytes, without its
//!          newline), 4 partial (bool), 5 { 1 last (bool), 2 id (string), 3 ordinal (int32) }
//! ```
//! What is no frame (a torn one, somebody's edit) is passed over up to the next one and becomes a record as it is.

pub use logweir_proto::batch::SPOOL_FORMAT as FORMAT;
use logweir_proto::batch::Stream;

use super::join::Opened;

/// Docker reads no longer ones either.
pub const FRAME_BYTES_MAX: usize = 2 << 20;
/// Length before and length behind.
const AROUND_BYTES: usize = 8;
/// Least body: a time.
const BODY_BYTES_MIN: usize = 2;

/// A whole frame at the beginning of `bytes`, and how long it is.
enum Next<'a> {
    Frame(&'a [u8], usize),
    /// It may become one when more is there.
    Short,
    None,
}

fn next(bytes: &[u8]) -> Next<'_> {
    let Some((len, rest)) = bytes.split_first_chunk::<4>() else { return Next::Short };
    let size = u32::from_be_bytes(*len) as usize;
    if !(BODY_BYTES_MIN..=FRAME_BYTES_MAX).contains(&size) || rest.first().is_some_and(|tag| !begins_body(*tag)) {
        return Next::None;
    }
    match rest.get(size..size + 4) {
        Some(again) if again == len => Next::Frame(&rest[..size], size + AROUND_BYTES),
        Some(_) => Next::None,
        None => Next::Short,
    }
}

/// The tag of the first field.
fn begins_body(tag: u8) -> bool {
    matches!(tag, 0x0a | 0x10 | 0x1a)
}

/// Bytes up to the end of the next frame, or up to its beginning where something else stands before it.
pub fn next_len(bytes: &[u8]) -> Option<usize> {
    match next(bytes) {
        Next::Frame(_, len) => Some(len),
        Next::Short => None,
        Next::None => (1..bytes.len()).find(|at| !matches!(next(&bytes[*at..]), Next::None)),
    }
}

/// Opens a frame and writes its text to `text`.
pub fn open(frame: &[u8], text: &mut Vec<u8>) -> Option<Opened> {
    let Next::Frame(body, len) = next(frame) else { return None };
    if len != frame.len() {
        return None;
    }
    let mut opened = Opened { stream: Stream::None, time_ns: None, last: true };
    let (mut partial, mut last) = (false, false);
    let mut fields = Fields { rest: body };
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Field::Bytes(b"stdout")) => opened.stream = Stream::Stdout,
            (1, Field::Bytes(b"stderr")) => opened.stream = Stream::Stderr,
            (2, Field::Number(time_ns)) => opened.time_ns = Some(time_ns as i64),
            (3, Field::Bytes(line)) => {
                text.clear();
                text.extend_from_slice(line);
            }
            (4, Field::Number(value)) => partial = value != 0,
            (5, Field::Bytes(about)) => {
                let mut fields = Fields { rest: about };
                while let Some((number, value)) = fields.next()? {
                    last |= number == 1 && matches!(value, Field::Number(1));
                }
            }
            _ => {}
        }
    }
    opened.last = !partial || last;
    Some(opened)
}

/// Whether a frame is all of its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Whole,
    /// More of the line follows in the next frame.
    Piece,
    LastPiece,
}

/// Appends a frame.
pub fn write(time_ns: i64, line: &[u8], part: Part, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(0x10);
    varint(time_ns as u64, out);
    out.push(0x1a);
    varint(line.len() as u64, out);
    out.extend_from_slice(line);
    match part {
        Part::Whole => {}
        Part::Piece => out.extend_from_slice(&[0x20, 1]),
        Part::LastPiece => out.extend_from_slice(&[0x20, 1, 0x2a, 2, 0x08, 1]),
    }
    let size = ((out.len() - start - 4) as u32).to_be_bytes();
    out[start..start + 4].copy_from_slice(&size);
    out.extend_from_slice(&size);
}

/// How much of `bytes` is whole frames, and the last of them.
pub fn whole(bytes: &[u8]) -> (usize, Option<&[u8]>) {
    let (mut at, mut last) = (0, None);
    while let Next::Frame(_, len) = next(&bytes[at..]) {
        last = Some(&bytes[at..at + len]);
        at += len;
    }
    (at, last)
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// The fields of a message.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The next field; `None` for what is no protobuf, `Some(None)` at the end.
    fn next(&mut self) -> Option<Option<(u64, Field<'a>)>> {
        if self.rest.is_empty() {
            return Some(None);
        }
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Number(self.varint()?),
            1 => self.skip(8)?,
            2 => {
                let len = usize::try_from(self.varint()?).ok()?;
                let (bytes, rest) = self.rest.split_at_checked(len)?;
                self.rest = rest;
                Field::Bytes(bytes)
            }
            5 => self.skip(4)?,
            _ => return None,
        };
        Some(Some((tag >> 3, field)))
    }

    fn skip(&mut self, len: usize) -> Option<Field<'a>> {
        self.rest = self.rest.get(len..)?;
        Some(Field::Other)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;

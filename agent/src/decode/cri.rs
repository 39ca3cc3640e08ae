//! CRI: `2026-11-20T09:18:45.235954239+00:00 stdout F text`: time, stream, tags, one space, the bytes as they came.

use logweir_proto::batch::Stream;

use super::join::Opened;
use super::timestamp::rfc3339_ns;

/// Opens an envelope and writes its text to `text`.
pub fn open(line: &[u8], text: &mut Vec<u8>) -> Option<Opened> {
    let (time, rest) = split_at_space(line)?;
    let time_ns = rfc3339_ns(time)?;
    let (stream, rest) = split_at_space(rest)?;
    let stream = match stream {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    // An empty text may come without the space before it.
    let (tags, bytes) = split_at_space(rest).unwrap_or((rest, b""));
    let last = match tags.split(|byte| *byte == b':').next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    text.extend_from_slice(bytes);
    Some(Opened { stream, time_ns: Some(time_ns), last })
}

fn split_at_space(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b' ', text)?;
    Some((&text[..at], &text[at + 1..]))
}

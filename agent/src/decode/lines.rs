//! Plain lines: what lies between two `\n`, without the `\r` of a CRLF, cut at the line limit.
//!
//! A file that ends without a newline gives its last line after a quiet time; if the line goes on later, the rest is a
//! record of its own, marked as a piece.

use logweir_proto::batch::{ChunkBuilder, SourceKind, Stream};
use memchr::{memchr, memchr_iter};

use super::multiline::{Group, Rules};
use super::{Close, Decoded, Format, Open, Window};

/// Each line is a record.
pub fn decode(format: Format, window: Window<'_>, out: &mut ChunkBuilder) -> Decoded {
    let mut cutter = Cutter { limit: format.line_bytes, mid_line: window.mid_line, truncated: 0 };
    let mut at = 0;
    for end in memchr_iter(b'\n', window.bytes) {
        cutter.line(&window.bytes[at..end], out);
        at = end + 1;
    }
    at += cutter.long_rest(&window.bytes[at..], out);
    let rest = &window.bytes[at..];
    if !rest.is_empty() && window.close == Close::All {
        cutter.rest(rest, out);
        at = window.bytes.len();
    }
    let open = (at < window.bytes.len()).then_some(Open::Piece);
    Decoded { consumed: at, open, truncated: cutter.truncated, interleaved: false }
}

/// Lines that belong to one event are one record, with the line ends between them as they stand.
pub fn decode_joined(format: Format, window: Window<'_>, out: &mut ChunkBuilder) -> Decoded {
    let rules = match format.kind {
        SourceKind::NginxError => Rules::NginxError,
        SourceKind::Pm2 => Rules::DatedTraces,
        _ => Rules::Traces,
    };
    let bytes = window.bytes;
    let mut cutter = Cutter { limit: format.line_bytes, mid_line: window.mid_line, truncated: 0 };
    let mut joined = Joined { bytes, limit: format.line_bytes, group: None };
    let mut at = 0;
    while let Some(n) = memchr(b'\n', &bytes[at..]) {
        let (line, end) = (&bytes[at..at + n], at + n + 1);
        if cutter.mid_line || line.len() > format.line_bytes {
            joined.flush(out);
            cutter.line(line, out);
        } else if !joined.extend(trim_cr(line), end) {
            joined.flush(out);
            joined.begin(rules, at, end);
        }
        if joined.is_complete() {
            joined.flush(out);
        }
        at = end;
    }
    if bytes.len() - at > format.line_bytes {
        joined.flush(out);
        at += cutter.long_rest(&bytes[at..], out);
    }
    if window.close == Close::All && at < bytes.len() {
        if cutter.mid_line || !joined.extend(&bytes[at..], bytes.len()) {
            joined.flush(out);
            cutter.rest(&bytes[at..], out);
        }
        at = bytes.len();
    }
    if window.close >= Close::Group {
        joined.flush(out);
    }
    let (consumed, open) = match &joined.group {
        Some((group, start, end)) => (*start, Some(group.open(&bytes[*start..*end]))),
        None => (at, (at < bytes.len()).then_some(Open::Piece)),
    };
    Decoded { consumed, open, truncated: cutter.truncated, interleaved: false }
}

/// The event that is being collected: a contiguous slice of the window.
struct Joined<'a> {
    bytes: &'a [u8],
    limit: usize,
    group: Option<(Group, usize, usize)>,
}

impl Joined<'_> {
    fn begin(&mut self, rules: Rules, start: usize, end: usize) {
        self.group = Some((Group::begin(rules, trim_cr(trim_newline(&self.bytes[start..end]))), start, end));
    }

    fn extend(&mut self, line: &[u8], end: usize) -> bool {
        let Some((group, start, group_end)) = &mut self.group else { return false };
        let rest = &self.bytes[end..];
        let next = (!rest.is_empty()).then(|| &rest[..memchr(b'\n', rest).unwrap_or(rest.len())]);
        if end - *start > self.limit.min(super::multiline::GROUP_BYTES_MAX) || !group.continues(line, next) {
            return false;
        }
        *group_end = end;
        true
    }

    fn is_complete(&self) -> bool {
        self.group.as_ref().is_some_and(|(group, ..)| group.is_complete())
    }

    fn flush(&mut self, out: &mut ChunkBuilder) {
        let Some((_, start, end)) = self.group.take() else { return };
        let whole = &self.bytes[start..end];
        let text = if whole.ends_with(b"\n") { trim_cr(trim_newline(whole)) } else { whole };
        out.push(text, whole.len() as u64, None, Stream::None, false);
    }
}

/// Pushes single lines, in pieces where they are over the limit.
struct Cutter {
    limit: usize,
    mid_line: bool,
    truncated: u64,
}

impl Cutter {
    /// A line whose `\n` follows in the source.
    fn line(&mut self, line: &[u8], out: &mut ChunkBuilder) {
        let cut = if line.len() > self.limit { self.pieces(line, out) } else { 0 };
        let last = &line[cut..];
        out.push(trim_cr(last), last.len() as u64 + 1, None, Stream::None, self.mid_line);
        self.mid_line = false;
    }

    /// Cuts what of an unfinished line is over the limit; returns how much that was.
    fn long_rest(&mut self, rest: &[u8], out: &mut ChunkBuilder) -> usize {
        if rest.len() > self.limit { self.pieces(rest, out) } else { 0 }
    }

    fn rest(&mut self, rest: &[u8], out: &mut ChunkBuilder) {
        out.push(rest, rest.len() as u64, None, Stream::None, self.mid_line);
    }

    fn pieces(&mut self, line: &[u8], out: &mut ChunkBuilder) -> usize {
        let mut at = 0;
        while line.len() - at > self.limit {
            let cut = cut_at(&line[at..], self.limit);
            out.push(&line[at..at + cut], cut as u64, None, Stream::None, true);
            at += cut;
            self.truncated += u64::from(!self.mid_line);
            self.mid_line = true;
        }
        at
    }
}

/// Where to cut `text`, which is longer than `limit`: not within a UTF-8 character if that can be helped.
pub(super) fn cut_at(text: &[u8], limit: usize) -> usize {
    let back = (0..4).find(|back| limit > *back && text[limit - back] & 0xc0 != 0x80).unwrap_or(0);
    limit - back
}

pub(super) fn trim_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn trim_newline(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

#[cfg(test)]
pub(crate) mod tests;

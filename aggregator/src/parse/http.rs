//! A request line (`GET /path?query HTTP/1.1`) and what is derived from it.

use std::ops::Range;

use super::line::{Line, Value};
use super::piece::Piece;
use crate::equal::position;
use crate::names::{NameId, Names};

/// Longest method that is taken for one.
const METHOD_BYTES_MAX: usize = 20;

/// The names that requests need beside the canonical ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Http {
    pub(super) query: Option<NameId>,
    pub(super) protocol: Option<NameId>,
    pub(super) request: Option<NameId>,
}

impl Http {
    pub(super) fn new(names: &mut Names) -> Http {
        Http { query: names.intern("query"), protocol: names.intern("protocol"), request: names.intern("request") }
    }

    /// Derives method, path, query and protocol from a request line; false when the range is none.
    pub(super) fn derive(&self, piece: Piece<'_>, range: Range<usize>, line: &mut Line) -> bool {
        let Some(request) = Request::split(&piece.text[range.clone()]) else { return false };
        let at = |part: &Range<usize>| range.start + part.start..range.start + part.end;
        piece.derive(line, NameId::METHOD, at(&request.method));
        piece.derive(line, NameId::PATH, at(&request.path));
        if let (Some(query), Some(name)) = (&request.query, self.query) {
            piece.derive(line, name, at(query));
        }
        if let (Some(protocol), Some(name)) = (&request.protocol, self.protocol) {
            piece.derive(line, name, at(protocol));
        }
        true
    }
}

/// The parts of a request line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: Range<usize>,
    pub(super) path: Range<usize>,
    pub(super) query: Option<Range<usize>>,
    pub(super) protocol: Option<Range<usize>>,
}

impl Request {
    #[inline(always)]
    pub(super) fn split(text: &[u8]) -> Option<Request> {
        let in_method = |byte: &u8| byte.is_ascii_uppercase() || *byte == b'-';
        let method = match text {
            [b'G', b'E', b'T', b' ', ..] => 3,
            [b'P', b'O', b'S', b'T', b' ', ..] => 4,
            _ => text.iter().take(METHOD_BYTES_MAX + 1).position(|byte| !in_method(byte))?,
        };
        if method == 0 || text[method] != b' ' {
            return None;
        }
        const PROTOCOL: &[u8; 9] = b" HTTP/1.1";
        let last = match text.last_chunk() {
            Some(PROTOCOL) => text.len() - PROTOCOL.len(),
            _ => memchr::memrchr(b' ', text)?,
        };
        let (target, protocol) = if last > method && text[last + 1..].starts_with(b"HTTP/") {
            (method + 1..last, Some(last + 1..text.len()))
        } else if text[method + 1..].starts_with(b"/") {
            // HTTP/0.9 has no protocol.
            (method + 1..text.len(), None)
        } else {
            return None;
        };
        if target.is_empty() {
            return None;
        }
        let path = target.start + path_len(&text[target.clone()]);
        let query = (path < target.end).then_some(path + 1..target.end);
        Some(Request { method: 0..method, path: target.start..path, query, protocol })
    }
}

/// Bytes before the query.
#[inline]
pub(super) fn path_len(target: &[u8]) -> usize {
    position(target, b'?').unwrap_or(target.len())
}

/// A message for a line that tells method and path, but has no message of its own.
pub(super) fn synthesize_message(raw: &[u8], line: &mut Line, buffer: &mut Vec<u8>) {
    let (Some(method), Some(path)) = (line.text_of(raw, NameId::METHOD), line.text_of(raw, NameId::PATH)) else {
        return;
    };
    buffer.clear();
    buffer.extend_from_slice(method);
    buffer.push(b' ');
    buffer.extend_from_slice(path);
    let text = line.scratch(buffer);
    line.push_default(NameId::MESSAGE, Value::Text(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_split_and_what_is_none_is_refused() {
        let show = |text: &str| {
            Request::split(text.as_bytes()).map(|request| {
                let part = |range: Range<usize>| text[range].to_owned();
                [
                    part(request.method),
                    part(request.path),
                    request.query.map(part).unwrap_or_default(),
                    request.protocol.map(part).unwrap_or_default(),
                ]
                .join("|")
            })
        };
        for (text, want) in [
            ("GET / HTTP/1.1", Some("GET|/||HTTP/1.1")),
            ("GET /a b?x=1?y HTTP/2.0", Some("GET|/a b|x=1?y|HTTP/2.0")),
            ("PRI * HTTP/2.0", Some("PRI|*||HTTP/2.0")),
            ("CONNECT evil:443 HTTP/1.1", Some("CONNECT|evil:443||HTTP/1.1")),
            ("GET /old", Some("GET|/old||")),
            ("M-SEARCH * HTTP/1.1", Some("M-SEARCH|*||HTTP/1.1")),
            ("GET  HTTP/1.1", None),
            ("\u{16}\u{3}\u{1}", None),
            ("get / HTTP/1.1", None),
            ("GET", None),
            ("", None),
        ] {
            assert_eq!(show(text).as_deref(), want, "{text:?}");
        }
    }
}

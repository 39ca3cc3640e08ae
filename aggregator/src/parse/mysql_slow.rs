//! The slow query log of MySQL and MariaDB: lines that begin with `# ` and tell about the statement behind them.
//!
//! A record is one such block, if the agent joins its lines (`multiline`), or a single line of it.

use std::ops::Range;

use super::line::{Line, Spelling, Value};
use super::number;
use super::piece::{Context, Piece, range_within};
use super::time::{self, layout};
use crate::names::{NameId, Names};

/// Lines before the statement that are looked at.
const HEAD_LINES_MAX: usize = 32;

#[derive(Debug)]
pub(super) struct SlowLog {
    user: Option<NameId>,
    client_host: Option<NameId>,
    /// Keys that have numbers, each with its field.
    numbers: Vec<(&'static str, Option<NameId>)>,
    schema: Option<NameId>,
    /// `SET timestamp=`, where the block has a time already.
    timestamp: Option<NameId>,
}

const NUMBERS: [(&str, &str); 9] = [
    ("Lock_time:", "lock_ms"),
    ("Rows_sent:", "rows_sent"),
    ("Rows_examined:", "rows_examined"),
    ("Rows_affected:", "rows_affected"),
    ("Bytes_sent:", "bytes"),
    ("Bytes_received:", "bytes_received"),
    ("Thread_id:", "thread_id"),
    ("Id:", "thread_id"),
    ("Errno:", "errno"),
];

impl SlowLog {
    pub(super) fn new(names: &mut Names) -> SlowLog {
        SlowLog {
            user: names.intern("user"),
            client_host: names.intern("client_host"),
            numbers: NUMBERS.iter().map(|(key, name)| (*key, names.intern(name))).collect(),
            schema: names.intern("database"),
            timestamp: names.intern("timestamp"),
        }
    }

    /// Fills `line`; false, and nothing is filled, when the text is not of a slow log.
    pub(super) fn parse(&self, piece: Piece<'_>, context: Context<'_>, line: &mut Line) -> bool {
        const FIRST: [&[u8]; 5] =
            [b"# Time: ", b"# User@Host: ", b"# Query_time: ", b"# Thread_id: ", b"# Rows_affected: "];
        let text = piece.text.trim_ascii_end();
        if !FIRST.iter().any(|first| text.starts_with(first)) {
            return false;
        }
        let mut statement = 0;
        let mut lines = 0;
        while statement < text.len() && lines < HEAD_LINES_MAX {
            let end = memchr::memchr(b'\n', &text[statement..]).map_or(text.len(), |at| statement + at);
            let body = &text[statement..end];
            if !self.head_line(piece, text, statement..end, context, line) && !is_use(body) {
                break;
            }
            lines += 1;
            statement = (end + 1).min(text.len());
        }
        if statement < text.len() {
            piece.push(line, NameId::MESSAGE, statement..text.len());
        }
        true
    }

    /// A line of the head; false for one of the statement.
    fn head_line(
        &self,
        piece: Piece<'_>,
        text: &[u8],
        range: Range<usize>,
        context: Context<'_>,
        line: &mut Line,
    ) -> bool {
        let body = &text[range.clone()];
        if let Some(rest) = body.strip_prefix(b"# Time: ") {
            let start = range.end - rest.len();
            let minutes = context.utc_offset_minutes;
            let stamp = time::leading(rest, minutes).or_else(|| layout::leading(rest, minutes, context.received_ns));
            if let Some(stamp) = stamp.filter(|_| line.time_ns.is_none()) {
                line.time_ns = Some(stamp.time_ns);
                line.time_cut = piece.cut(start..start + stamp.len, stamp.spelling);
            }
            return true;
        }
        if let Some(rest) = body.strip_prefix(b"SET timestamp=") {
            let start = range.end - rest.len();
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
            match (time::epoch(&rest[..digits]), self.timestamp) {
                (Some((time_ns, spelling)), _) if line.time_ns.is_none() => {
                    line.time_ns = Some(time_ns);
                    line.time_cut = piece.cut(start..start + digits, spelling);
                }
                (_, Some(name)) => piece.push(line, name, start..start + digits),
                _ => {}
            }
            return true;
        }
        if !body.starts_with(b"# ") {
            return false;
        }
        if let Some(rest) = body.strip_prefix(b"# User@Host: ") {
            self.who(piece, text, rest, line);
        }
        self.values(piece, text, body, line);
        true
    }

    /// `root[root] @ localhost [127.0.0.1]`
    fn who(&self, piece: Piece<'_>, text: &[u8], rest: &[u8], line: &mut Line) {
        let user = &rest[..rest.iter().position(|byte| matches!(byte, b'[' | b' ')).unwrap_or(rest.len())];
        let mut host = rest;
        let mut address: &[u8] = b"";
        if let Some(at) = memchr::memmem::find(rest, b" @ ") {
            let behind = &rest[at + 3..];
            host = &behind[..behind.iter().position(|byte| matches!(byte, b' ' | b'[')).unwrap_or(behind.len())];
            if let Some(open) = memchr::memchr(b'[', behind)
                && let Some(close) = memchr::memchr(b']', &behind[open..])
            {
                address = &behind[open + 1..open + close];
            }
        }
        for (name, value) in [(self.user, user), (self.client_host, host), (Some(NameId::CLIENT_IP), address)] {
            if let Some(name) = name.filter(|_| !value.is_empty()) {
                piece.push(line, name, range_within(text, value));
            }
        }
    }

    /// `Query_time: 0.000181  Lock_time: 0.000000 Rows_sent: 0`
    fn values(&self, piece: Piece<'_>, text: &[u8], body: &[u8], line: &mut Line) {
        let mut words = body.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).peekable();
        while let Some(word) = words.next() {
            let Some(value) = words.peek() else { return };
            let range = range_within(text, value);
            if matches!(word, b"Query_time:" | b"Lock_time:") {
                let name = if word == b"Query_time:" { Some(NameId::DURATION_MS) } else { self.number(word) };
                if let (Some(name), Some((value, spelling))) = (name, number::milliseconds(value)) {
                    line.push(name, Value::Float(value), piece.cut(range, spelling));
                }
            } else if word == b"Schema:" {
                if let Some(name) = self.schema.filter(|_| !value.ends_with(b":")) {
                    piece.push(line, name, range);
                }
            } else if let (Some(name), Some(value)) = (self.number(word), number::integer(value)) {
                line.push(name, Value::Int(value), piece.cut(range, Spelling::Plain));
            }
        }
    }

    fn number(&self, key: &[u8]) -> Option<NameId> {
        self.numbers.iter().find(|(known, _)| known.as_bytes() == key).and_then(|(_, name)| *name)
    }
}

/// `use shop;` before a statement.
fn is_use(body: &[u8]) -> bool {
    body.starts_with(b"use ") && body.ends_with(b";")
}

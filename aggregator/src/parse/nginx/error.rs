//! The error log: `YYYY/MM/DD HH:MM:SS [level] PID#TID: *CID message, client: …, server: …, request: "…", …`.
//!
//! `*CID` and every `key: value` are optional. NGINX does not escape the values, so what follows `client` is read from
//! the right, where a request that imitates the format cannot reach the fields behind it.

use std::ops::Range;

use logweir_proto::record::Level;
use memchr::memmem;
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::digit1;
use nom::combinator::{opt, recognize};
use nom::sequence::{delimited, preceded, terminated};
use nom::{IResult, Parser};

use crate::names::{NameId, Names};
use crate::parse::http::Http;
use crate::parse::line::{Line, Spelling, Value};
use crate::parse::number;
use crate::parse::piece::{Context, Piece, range_within};
use crate::parse::time;

/// The parser of an error log.
#[derive(Debug)]
pub(in crate::parse) struct ErrorLog {
    http: Http,
    pid: Option<NameId>,
    tid: Option<NameId>,
    connection: Option<NameId>,
    errno: Option<NameId>,
    upstream_uri: Option<NameId>,
    /// The keys behind `client`, in the order of NGINX, each with its field.
    keys: [(&'static [u8], Option<NameId>); 7],
}

/// What stands between the time and the message.
struct Head<'a> {
    level: &'a [u8],
    pid: &'a [u8],
    tid: &'a [u8],
    connection: Option<&'a [u8]>,
}

impl ErrorLog {
    pub(in crate::parse) fn new(names: &mut Names) -> ErrorLog {
        let http = Http::new(names);
        let upstream_uri = names.intern("upstream_uri");
        ErrorLog {
            http,
            pid: names.intern("pid"),
            tid: names.intern("tid"),
            connection: names.intern("connection"),
            errno: names.intern("errno"),
            upstream_uri,
            keys: [
                (b", server: ", names.intern("server")),
                (b", request: \"", http.request),
                (b", subrequest: \"", names.intern("subrequest")),
                (b", upstream: \"", upstream_uri),
                (b", host: \"", names.intern("http_host")),
                (b", referrer: \"", names.intern("http_referer")),
                (b", login: \"", names.intern("login")),
            ],
        }
    }

    /// Fills `line`; false, and nothing is filled, when the text is not of an error log.
    pub(in crate::parse) fn parse(&self, piece: Piece<'_>, context: Context<'_>, line: &mut Line) -> bool {
        let text = piece.text.trim_ascii_end();
        let Some(stamp) = time::leading(text, context.utc_offset_minutes) else { return false };
        let Ok((rest, found)) = head(&text[stamp.len..]) else { return false };
        let Some(level) = Level::parse(found.level) else { return false };
        line.time_ns = Some(stamp.time_ns);
        line.time_cut = piece.cut(0..stamp.len, stamp.spelling);
        line.level = Some(level);
        let numbers = [(self.pid, Some(found.pid)), (self.tid, Some(found.tid)), (self.connection, found.connection)];
        for (name, digits) in numbers {
            if let (Some(name), Some(digits)) = (name, digits)
                && let Some(value) = number::integer(digits)
            {
                line.push(name, Value::Int(value), piece.cut(range_within(text, digits), Spelling::Plain));
            }
        }
        let start = text.len() - rest.len();
        let message_end = start + client(rest).map_or(rest.len(), |at| self.emit_context(piece, start, at, text, line));
        piece.push(line, NameId::MESSAGE, start..message_end);
        if let (Some(errno), Some(name)) = (errno(&text[start..message_end]), self.errno) {
            line.push(name, Value::Int(errno), None);
        }
        true
    }

    /// The `key: value` pairs behind the message; where the message ends, from `start`.
    fn emit_context(&self, piece: Piece<'_>, start: usize, client: usize, text: &[u8], line: &mut Line) -> usize {
        let from = start + client + CLIENT.len();
        let mut end = text.len();
        for (key, name) in self.keys.iter().rev() {
            let Some(found) = memmem::rfind(&text[from..end], key) else { continue };
            let value = from + found + key.len();
            let quoted = key.ends_with(b"\"");
            // A value without its closing quote was cut at the limit of NGINX.
            let close = end - usize::from(quoted && end > value && text[end - 1] == b'"');
            if let Some(name) = name {
                piece.push(line, *name, value..close);
                if *name == self.upstream_uri.unwrap_or(NameId::UPSTREAM) {
                    piece.derive(line, NameId::UPSTREAM, upstream_of(text, value..close));
                }
                if Some(*name) == self.http.request {
                    self.http.derive(piece, value..close, line);
                }
            }
            end = from + found;
        }
        piece.push(line, NameId::CLIENT_IP, from..end);
        client
    }
}

const CLIENT: &[u8] = b", client: ";

/// Where `, client: ` begins the context: the first place that an address follows.
fn client(text: &[u8]) -> Option<usize> {
    memmem::find_iter(text, CLIENT).find(|at| {
        let value = &text[at + CLIENT.len()..];
        let len = value.iter().take_while(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':')).count();
        let unix = value.starts_with(b"unix:");
        unix || len > 0 && matches!(value.get(len), None | Some(b','))
    })
}

fn head(text: &[u8]) -> IResult<&[u8], Head<'_>> {
    let level = delimited(tag(" ["), take_while1(|byte: u8| byte.is_ascii_lowercase()), tag("] "));
    let process = (terminated(digit1, tag("#")), terminated(digit1, tag(":")));
    let connection = opt(preceded(tag(" *"), recognize(digit1)));
    let (rest, (level, (pid, tid), connection)) = (level, process, connection).parse(text)?;
    let (rest, _) = opt(tag(" ")).parse(rest)?;
    Ok((rest, Head { level, pid, tid, connection }))
}

/// The number of `(110: Connection timed out)`, the last one of the message.
fn errno(message: &[u8]) -> Option<i64> {
    memchr::memrchr_iter(b'(', message).find_map(|open| {
        let rest = &message[open + 1..];
        let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        rest[len..].starts_with(b": ").then(|| number::integer(&rest[..len])).flatten()
    })
}

/// The server of an upstream address: `http://127.0.0.1:18012/up/a` is on `127.0.0.1:18012`.
fn upstream_of(text: &[u8], range: Range<usize>) -> Range<usize> {
    let value = &text[range.clone()];
    let start = memmem::find(value, b"://").map_or(0, |at| at + 3);
    let rest = &value[start..];
    let len = if rest.starts_with(b"unix:") {
        // `unix:/path.sock:/uri`
        memmem::rfind(rest, b":/").filter(|at| *at > 4).unwrap_or(rest.len())
    } else {
        memchr::memchr(b'/', rest).unwrap_or(rest.len())
    };
    range.start + start..range.start + start + len
}

#[cfg(test)]
mod tests;

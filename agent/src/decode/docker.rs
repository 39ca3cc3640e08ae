//! Docker's json-file: `{"log":"text\n","stream":"stdout","attrs":{…},"time":"…"}`, one object a line.
//!
//! The daemon writes its keys in this order; whatever does not look like it goes through the general JSON reader.

use logweir_proto::batch::Stream;

use super::join::Opened;
use super::timestamp::rfc3339_ns;

/// Opens an envelope and writes its text, without the final `\n`, to `text`.
pub fn open(line: &[u8], text: &mut Vec<u8>) -> Option<Opened> {
    let opened = open_fast(line, text).or_else(|| {
        text.clear();
        open_any(line, text)
    })?;
    let last = text.last() == Some(&b'\n');
    if last {
        text.pop();
    }
    Some(Opened { last, ..opened })
}

fn open_fast(line: &[u8], text: &mut Vec<u8>) -> Option<Opened> {
    let rest = unescape(line.strip_prefix(b"{\"log\":\"")?, text)?;
    let rest = rest.strip_prefix(b",\"stream\":\"")?;
    let (stream, rest) = if let Some(rest) = rest.strip_prefix(b"stdout\",\"time\":\"") {
        (Stream::Stdout, rest)
    } else {
        (Stream::Stderr, rest.strip_prefix(b"stderr\",\"time\":\"")?)
    };
    let time_ns = rfc3339_ns(rest.strip_suffix(b"\"}")?)?;
    Some(Opened { stream, time_ns: Some(time_ns), last: false })
}

fn open_any(line: &[u8], text: &mut Vec<u8>) -> Option<Opened> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(line).ok()?;
    text.extend_from_slice(object.get("log")?.as_str()?.as_bytes());
    let stream = match object.get("stream")?.as_str()? {
        "stdout" => Stream::Stdout,
        "stderr" => Stream::Stderr,
        _ => return None,
    };
    let time_ns = object.get("time").and_then(|time| rfc3339_ns(time.as_str()?.as_bytes()));
    Some(Opened { stream, time_ns, last: false })
}

/// Unescapes a JSON string up to its closing quote; returns what follows, or `None` for anything unusual.
fn unescape<'a>(mut input: &'a [u8], text: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let at = memchr::memchr2(b'"', b'\\', input)?;
        text.extend_from_slice(&input[..at]);
        if input[at] == b'"' {
            return Some(&input[at + 1..]);
        }
        let byte = match input.get(at + 1)? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'"' => b'"',
            b'\\' => b'\\',
            b'/' => b'/',
            b'b' => 8,
            b'f' => 12,
            b'u' => {
                let digits = std::str::from_utf8(input.get(at + 2..at + 6)?).ok()?;
                // Halves of a surrogate pair are left to the general reader, and so are signs that u32 would accept.
                let code = u32::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
                let mut utf8 = [0; 4];
                text.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut utf8).as_bytes());
                input = &input[at + 6..];
                continue;
            }
            _ => return None,
        };
        text.push(byte);
        input = &input[at + 2..];
    }
}

//! Syslog, RFC 3164 and 5424: `<PRI>` and a header before what the program wrote.
//!
//! `level` comes from the severity where that says more than "notice", else from the text; the program's name becomes
//! `service`; structured data become `sd.ID.KEY`. What is no header is left in the message: a message of any shape is
//! read, as far as it goes. The message itself is read like any line: JSON, or text.

use std::collections::HashMap;
use std::ops::Range;

use logweir_proto::record::Level;

use super::line::{Line, Spelling, Text, Value};
use super::number;
use super::piece::{Context, Piece};
use super::time;
use crate::names::{NameId, Names};

/// Names of structured data that one source may bring in; further ones stay in the raw line.
pub(super) const SD_NAMES_MAX: usize = 512;
/// Parameters of one message that become fields.
pub(super) const SD_PARAMS_MAX: usize = 64;
/// Longest tag of RFC 3164, which says 32; programs do not.
const TAG_BYTES_MAX: usize = 64;

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// The parser of one source.
#[derive(Debug)]
pub(super) struct Syslog {
    pri: Option<NameId>,
    facility: Option<NameId>,
    time: Option<NameId>,
    procid: Option<NameId>,
    msgid: Option<NameId>,
    sd: HashMap<Box<[u8]>, Option<NameId>>,
}

/// What stands before the message.
#[derive(Debug, Default, PartialEq, Eq)]
struct Header {
    severity: Option<u8>,
    /// The time as it is written.
    stamp: Option<Range<usize>>,
    host: Option<Range<usize>>,
    app: Option<Range<usize>>,
    procid: Option<Range<usize>>,
    msgid: Option<Range<usize>>,
    message: usize,
}

impl Syslog {
    pub(super) fn new(names: &mut Names) -> Syslog {
        Syslog {
            pri: names.intern("syslog_pri"),
            facility: names.intern("facility"),
            time: names.intern("syslog_time"),
            procid: names.intern("procid"),
            msgid: names.intern("msgid"),
            sd: HashMap::new(),
        }
    }

    /// Fills `line` with what the header says; where the message begins, and how severe it is. `None` for what has no
    /// `<PRI>`.
    pub(super) fn header(
        &mut self,
        piece: Piece<'_>,
        context: Context<'_>,
        names: &mut Names,
        line: &mut Line,
    ) -> Option<Message> {
        let text = piece.text;
        let (pri, at) = priority(text)?;
        if let Some(name) = self.pri {
            line.push(name, Value::Int(i64::from(pri)), piece.cut(1..at - 1, Spelling::Plain));
        }
        if let (Some(name), Some(facility)) = (self.facility, FACILITIES.get(usize::from(pri / 8))) {
            line.push(name, Value::Text(Text::Static(facility)), None);
        }
        let mut header = match rfc5424(text, at) {
            Some((header, sd)) => {
                let end = self.structured_data(piece, sd, names, line);
                Header { message: end, ..header }
            }
            None => rfc3164(text, at, context),
        };
        header.severity = Some(pri % 8);
        for (name, range) in [(Some(NameId::HOST), &header.host), (Some(NameId::SERVICE), &header.app)]
            .into_iter()
            .chain([(self.msgid, &header.msgid)])
        {
            if let (Some(name), Some(range)) = (name, range) {
                piece.push(line, name, range.clone());
            }
        }
        if let (Some(name), Some(range)) = (self.procid, header.procid.clone()) {
            match number::parse(&text[range.clone()]) {
                Some((value, spelling)) => line.push(name, value, piece.cut(range, spelling)),
                None => piece.push(line, name, range),
            }
        }
        let rest = &text[header.message..];
        let bom = if rest.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Some(Message { start: header.message + bom, severity: pri % 8, stamp: header.stamp })
    }

    /// After the message was read: the time and the level of the header, where the message has none that say more.
    pub(super) fn finish(&self, message: &Message, piece: Piece<'_>, context: Context<'_>, line: &mut Line) {
        let severity = match message.severity {
            0..=2 => Level::Fatal,
            3 => Level::Error,
            4 => Level::Warn,
            7 => Level::Debug,
            // Whatever a program prints is sent as "notice" or "info": what it says itself is worth more.
            _ => line.level.unwrap_or(Level::Info),
        };
        line.level = Some(severity);
        let Some(range) = message.stamp.clone() else { return };
        let text = &piece.text[range.clone()];
        let own = line.time_cut.is_some();
        match time::leading(text, context.utc_offset_minutes).filter(|stamp| stamp.len == text.len()) {
            Some(stamp) if !own => {
                line.time_ns = Some(stamp.time_ns);
                line.time_cut = piece.cut(range, stamp.spelling);
            }
            stamp => {
                if !own {
                    let yearless = || time::yearless(text, context.utc_offset_minutes, context.received_ns);
                    line.time_ns = stamp.map(|stamp| stamp.time_ns).or_else(yearless).or(line.time_ns);
                }
                if let Some(name) = self.time {
                    piece.push(line, name, range);
                }
            }
        }
    }

    /// `[id key="value" …]…` from `at` on; where the message begins.
    fn structured_data(&mut self, piece: Piece<'_>, at: usize, names: &mut Names, line: &mut Line) -> usize {
        let text = piece.text;
        let (end, params) = params(text, at);
        for param in params {
            let Some(name) = self.sd_name(&text[param.id], &text[param.key], names) else { continue };
            if line.get(name).is_some() {
                continue;
            }
            let raw = &text[param.value.clone()];
            if memchr::memchr(b'\\', raw).is_some() {
                let value = line.scratch_with(|out| unescape(raw, out));
                line.push(name, Value::Text(value), piece.cut(param.value, Spelling::Plain));
            } else {
                piece.push(line, name, param.value);
            }
        }
        end
    }

    fn sd_name(&mut self, id: &[u8], key: &[u8], names: &mut Names) -> Option<NameId> {
        let path = [b"sd.", id, b".", key].concat();
        if let Some(name) = self.sd.get(path.as_slice()) {
            return *name;
        }
        if self.sd.len() >= SD_NAMES_MAX {
            return None;
        }
        let name = std::str::from_utf8(&path).ok().and_then(|path| names.intern(path));
        self.sd.insert(path.into(), name);
        name
    }
}

/// What the program wrote, and what the header says about it.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) start: usize,
    severity: u8,
    stamp: Option<Range<usize>>,
}

/// `<134>`: the number and where it ends.
fn priority(text: &[u8]) -> Option<(u8, usize)> {
    let end = memchr::memchr(b'>', text.get(..5.min(text.len()))?)?;
    let digits = text[..end].strip_prefix(b"<")?;
    let number = u8::try_from(number::integer(digits)?).ok()?;
    (digits[0].is_ascii_digit() && number < 192).then_some((number, end + 1))
}

/// `1 TIME HOST APP PROCID MSGID ` behind the priority, and where the structured data begin.
fn rfc5424(text: &[u8], at: usize) -> Option<(Header, usize)> {
    let mut at = at + text[at..].starts_with(b"1 ").then_some(2)?;
    let mut words = [const { 0..0 }; 5];
    for word in &mut words {
        let len = memchr::memchr(b' ', &text[at..])?;
        *word = at..at + len;
        at += len + 1;
    }
    let [time, host, app, procid, msgid] = words;
    let dated = text[time.clone()] == *b"-" || time::leading(&text[time.clone()], 0).is_some();
    if !dated || !matches!(text.get(at), Some(b'-' | b'[')) {
        return None;
    }
    let said = |range: Range<usize>| (!range.is_empty() && text[range.clone()] != *b"-").then_some(range);
    let header = Header {
        severity: None,
        stamp: said(time),
        host: said(host),
        app: said(app),
        procid: said(procid),
        msgid: said(msgid),
        message: at,
    };
    Some((header, at))
}

/// `Nov 20 09:02:43 host tag[pid]: `, of which any part may be missing.
fn rfc3164(text: &[u8], at: usize, context: Context<'_>) -> Header {
    let mut header = Header { message: at, ..Header::default() };
    let mut at = at;
    let rest = &text[at..];
    let len = match time::leading(rest, context.utc_offset_minutes) {
        Some(stamp) => Some(stamp.len),
        None => rest.get(..15).filter(|stamp| time::yearless(stamp, 0, context.received_ns).is_some()).map(<[u8]>::len),
    };
    if let Some(len) = len.filter(|len| rest.get(*len) == Some(&b' ')) {
        header.stamp = Some(at..at + len);
        at += len + 1;
        let word = memchr::memchr(b' ', &text[at..]).unwrap_or(0);
        let is_tag =
            text[at..at + word].iter().any(|byte| matches!(byte, b'[' | b']')) || text[..at + word].ends_with(b":");
        if word > 0 && !is_tag {
            header.host = Some(at..at + word);
            at += word + 1;
        }
        header.message = at;
    }
    if let Some((app, procid, end)) = tag(text, at) {
        (header.app, header.procid, header.message) = (Some(app), procid, end);
    }
    header
}

/// `tag: `, `tag[pid]: `
fn tag(text: &[u8], at: usize) -> Option<(Range<usize>, Option<Range<usize>>, usize)> {
    let rest = &text[at..];
    let name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./@()".contains(byte);
    let len = rest.iter().take(TAG_BYTES_MAX).take_while(|byte| name(byte)).count();
    if len == 0 {
        return None;
    }
    let (mut end, mut procid) = (at + len, None);
    if rest.get(len) == Some(&b'[') {
        let close = memchr::memchr(b']', rest.get(..(len + TAG_BYTES_MAX).min(rest.len()))?)?;
        procid = (close > len + 1).then_some(at + len + 1..at + close);
        end = at + close + 1;
    }
    if text.get(end) != Some(&b':') || !matches!(text.get(end + 1), None | Some(b' ')) {
        return None;
    }
    Some((at..at + len, procid, (end + 2).min(text.len())))
}

/// One parameter of the structured data.
#[derive(Debug)]
struct Param {
    id: Range<usize>,
    key: Range<usize>,
    value: Range<usize>,
}

/// The structured data at `at`, which begin with `-` or `[`: where the message begins, and what they hold. What is not
/// well-formed belongs to the message.
fn params(text: &[u8], at: usize) -> (usize, Vec<Param>) {
    let space = |at: usize| if text.get(at) == Some(&b' ') { at + 1 } else { at };
    if text.get(at) == Some(&b'-') {
        return (space(at + 1), Vec::new());
    }
    let (mut end, mut params) = (at, Vec::new());
    while text.get(end) == Some(&b'[') {
        let before = params.len();
        match element(text, end, &mut params) {
            Some(next) => end = next,
            None => {
                params.truncate(before);
                break;
            }
        }
    }
    (space(end), params)
}

/// `[id key="value" …]`; where it ends.
fn element(text: &[u8], at: usize, params: &mut Vec<Param>) -> Option<usize> {
    let word = |at: usize| text[at..].iter().take_while(|byte| !b" =]\"".contains(byte)).count();
    let id = at + 1..at + 1 + word(at + 1);
    let mut at = id.end;
    loop {
        match text.get(at)? {
            b']' => return Some(at + 1),
            b' ' => at += 1,
            _ => return None,
        }
        let key = at..at + word(at);
        if key.is_empty() {
            continue;
        }
        if !text[key.end..].starts_with(b"=\"") {
            return None;
        }
        let start = key.end + 2;
        let mut end = start;
        while *text.get(end)? != b'"' {
            end += if text[end] == b'\\' { 2 } else { 1 };
        }
        if params.len() < SD_PARAMS_MAX {
            params.push(Param { id: id.clone(), key, value: start..end });
        }
        at = end + 1;
    }
}

/// Takes the `\` before `"`, `\` and `]`.
fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    let mut bytes = raw.iter().peekable();
    while let Some(byte) = bytes.next() {
        let escaped = *byte == b'\\' && bytes.peek().is_some_and(|next| b"\"\\]".contains(next));
        out.push(if escaped { bytes.next().copied().unwrap_or(b'\\') } else { *byte });
    }
}

#[cfg(test)]
mod tests;

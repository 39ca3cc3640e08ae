//! Entries of the journal, as `journalctl -o json` writes them: JSON whose fields have names of their own.
//!
//! `MESSAGE` is read like any line: JSON, or text; as an array of bytes too, which journalctl writes for what is no
//! text. `PRIORITY` gives the level, the unit or the program the service, `__REALTIME_TIMESTAMP` the time.

use logweir_proto::record::Level;

use super::line::{Cut, Line, Spelling, Text, Value};
use super::piece::Piece;
use super::time;
use crate::names::{NameId, Names};

/// Longest message that is read from an array of bytes.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// The names of the journal.
#[derive(Debug)]
pub(super) struct Journal {
    time: Option<NameId>,
    priority: Option<NameId>,
    host: Option<NameId>,
    message: Option<NameId>,
    container: Option<NameId>,
    unit: Option<NameId>,
    programs: [Option<NameId>; 2],
}

impl Journal {
    pub(super) fn new(names: &mut Names) -> Journal {
        Journal {
            time: names.intern("__REALTIME_TIMESTAMP"),
            priority: names.intern("PRIORITY"),
            host: names.intern("_HOSTNAME"),
            message: names.intern("MESSAGE"),
            container: names.intern("CONTAINER_NAME"),
            unit: names.intern("_SYSTEMD_UNIT"),
            programs: [names.intern("SYSLOG_IDENTIFIER"), names.intern("_COMM")],
        }
    }

    /// Gives the fields of a parsed entry their canonical names; the message, where it is text in the line.
    pub(super) fn fill(&self, raw: &[u8], line: &mut Line) -> Option<Cut> {
        self.time(raw, line);
        let text = |line: &Line, name: Option<NameId>| match line.get(name?)?.value {
            Value::Text(text) if !line.text(raw, text).is_empty() => Some(text),
            _ => None,
        };
        if let Some(host) = text(line, self.host) {
            line.push_default(NameId::HOST, Value::Text(host));
        }
        if let Some(container) = text(line, self.container) {
            line.push_default(NameId::CONTAINER, Value::Text(container));
        }
        let unit = text(line, self.unit);
        let of_unit = unit.and_then(|unit| service_of(line.text(raw, unit)).map(|len| head(unit, len)));
        let program = self.programs.into_iter().find_map(|name| text(line, name));
        let service = text(line, self.container).or(of_unit).or(program).or(unit);
        if let Some(service) = service {
            line.push_default(NameId::SERVICE, Value::Text(service));
        }
        self.bytes(raw, line);
        let message = line.get(NameId::MESSAGE)?;
        message.cut.filter(|cut| matches!(raw[cut.start as usize..].first(), Some(byte) if *byte != b'['))
    }

    /// After the message was read: what the entry says of its level, unless that says nothing.
    pub(super) fn level(&self, raw: &[u8], line: &mut Line) {
        let priority = self.priority.and_then(|name| line.get(name)).map(|field| field.value);
        let digit = match priority {
            Some(Value::Int(value)) => u8::try_from(value).ok(),
            Some(Value::Text(text)) => match line.text(raw, text) {
                [digit @ b'0'..=b'7'] => Some(digit - b'0'),
                _ => None,
            },
            _ => None,
        };
        line.level = match digit {
            Some(0..=2) => Some(Level::Fatal),
            Some(3) => Some(Level::Error),
            Some(4) => Some(Level::Warn),
            Some(7) => Some(Level::Debug),
            // Whatever a service prints has priority 6: what it says itself is worth more.
            Some(5 | 6) => line.level.or(Some(Level::Info)),
            _ => line.level,
        };
    }

    fn time(&self, raw: &[u8], line: &mut Line) {
        let Some(name) = self.time else { return };
        let Some(field) = line.get(name).copied() else { return };
        let Some(cut) = field.cut else { return };
        let digits = &raw[cut.start as usize..cut.end as usize];
        if let Some((time_ns, spelling)) = time::epoch(digits).filter(|_| digits.iter().all(u8::is_ascii_digit)) {
            line.remove(name);
            // A field of the program's own that looks like a time was the time until now: it stays in the shape.
            line.time_ns = Some(time_ns);
            line.time_cut = Some(Cut { spelling, ..cut });
        }
    }

    /// `"MESSAGE":[72,101,…]`
    fn bytes(&self, raw: &[u8], line: &mut Line) {
        let Some(name) = self.message else { return };
        let Some(field) = line.get(name).copied() else { return };
        let Value::Text(text) = field.value else { return };
        let Some(list) = line.text(raw, text).strip_prefix(b"[").and_then(|list| list.strip_suffix(b"]")) else {
            return;
        };
        let numbers = list.split(|byte| *byte == b',').take(MESSAGE_BYTES_MAX);
        let bytes: Option<Vec<u8>> = numbers.map(|n| std::str::from_utf8(n.trim_ascii()).ok()?.parse().ok()).collect();
        let Some(bytes) = bytes else { return };
        line.remove(name);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let text = line.scratch(text.trim_ascii_end().as_bytes());
        line.push(NameId::MESSAGE, Value::Text(text), field.cut);
    }

    /// The message as a piece to be read, and its place; `buffer` is for what was escaped.
    pub(super) fn message<'a>(raw: &'a [u8], cut: Cut, buffer: &'a mut Vec<u8>, line: &mut Line) -> (Piece<'a>, Cut) {
        let range = cut.start as usize..cut.end as usize;
        if cut.spelling == Spelling::Plain {
            return (Piece::raw(raw).part(range), cut);
        }
        buffer.clear();
        super::json::unescape::unescape(&raw[range], buffer);
        let copy = line.scratch(buffer);
        (Piece::copied(buffer, copy), cut)
    }
}

fn head(text: Text, len: usize) -> Text {
    let len = len as u32;
    match text {
        Text::Raw(start, end) => Text::Raw(start, end.min(start + len)),
        Text::Scratch(start, end) => Text::Scratch(start, end.min(start + len)),
        Text::Static(text) => Text::Static(text),
    }
}

/// Bytes of `shop` in `shop.service`; `None` for units that only hold other people's programs.
fn service_of(unit: &[u8]) -> Option<usize> {
    let name = unit.strip_suffix(b".service")?;
    (!name.starts_with(b"user@") && !name.is_empty()).then_some(name.len())
}

#[cfg(test)]
mod tests;

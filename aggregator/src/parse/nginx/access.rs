//! Lines of an access log, read by their compiled `log_format`.
//!
//! Variables end where the literal behind them begins. Where that literal stands several times, the first place holds
//! from which the rest of the line fits; with `escape=none`, whose values can hold anything, the last such place.
//! Variables with a form of their own (times, numbers) must have it, which settles most doubts.

use std::ops::Range;

use logweir_proto::record::field;

use self::row::Rows;
use super::escape;
use super::format::{Escape, Format};
use super::variable::{Kind, describe};
use crate::equal::equal;
use crate::names::{NameId, Names};
use crate::parse::http::{self, Http};
use crate::parse::line::{Line, Spelling, Value};
use crate::parse::number;
use crate::parse::piece::{Context, Piece};
use crate::parse::time::{self, Stamp};

mod row;

/// Places that are tried for one line before it is given up as one of another format.
const TRIES_MAX: u32 = 2_000;

/// The parser of one `log_format`.
#[derive(Debug)]
pub(in crate::parse) struct Access {
    escape: Escape,
    lead: Box<[u8]>,
    slots: Vec<Slot>,
    http: Http,
    /// Where the values of the current line are.
    spans: Vec<Range<usize>>,
    buffer: Vec<u8>,
    visible: Vec<u8>,
    /// The `$time_local` of the line before: a busy log has many lines a second.
    last_local: LastLocal,
    rows: Rows,
}

#[derive(Debug)]
struct Slot {
    name: Option<NameId>,
    /// Beside the number of a list of upstreams: the list as it stands.
    list_name: Option<NameId>,
    kind: Kind,
    /// The time of the line is told by another variable, more exactly.
    spare: bool,
    /// Empty after the last variable only.
    after: Box<[u8]>,
    ends: Ends,
}

/// How the first place where a value can end is found without a look at every place of the literal behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// Behind its digits.
    Digits,
    /// After so many bytes.
    Fixed(usize),
    /// Before a space or a quote.
    Word,
    /// Before the first byte of the literal.
    Byte,
    /// None of these: [`Places`] knows.
    Searched,
}

impl Ends {
    fn of(kind: Kind, escape: Escape, after: &[u8]) -> Ends {
        let Some(first) = after.first() else { return Ends::Searched };
        match kind {
            // Values that are not escaped are taken from the right.
            _ if escape == Escape::None => Ends::Searched,
            Kind::Status | Kind::Int if !first.is_ascii_digit() => Ends::Digits,
            Kind::TimeLocal if !first.is_ascii_digit() => Ends::Fixed(time::NGINX_LOCAL_BYTES),
            Kind::Address if *first == b' ' => Ends::Word,
            // In JSON a quote may be escaped.
            Kind::Text | Kind::Request | Kind::RequestUri if *first != b'"' || escape == Escape::Default => Ends::Byte,
            _ => Ends::Searched,
        }
    }
}

impl Access {
    /// `None` when the text is not a format that can be read.
    pub(in crate::parse) fn compile(text: &str, names: &mut Names) -> Option<Access> {
        let format = Format::compile(text)?;
        let described: Vec<(&str, Kind)> = format
            .slots
            .iter()
            .map(|slot| if slot.single { describe(&slot.name) } else { (slot.name.as_str(), Kind::Text) })
            .collect();
        let best_time = described.iter().filter_map(|(_, kind)| kind.time_rank()).max();
        let slots = format.slots.iter().zip(&described).map(|(slot, (name, kind))| {
            let spare = kind.time_rank().is_some() && kind.time_rank() != best_time;
            // Where the line itself names its values, they keep those names, but for canonical ones.
            let canonical = *name != slot.name;
            let name = slot.key.as_deref().filter(|key| !canonical && !is_canonical(key)).unwrap_or(name);
            let lists = matches!(kind, Kind::UpstreamTimes | Kind::UpstreamStatus);
            Slot {
                name: names.intern(name),
                list_name: lists.then(|| names.intern(&format!("{name}.list"))).flatten(),
                kind: *kind,
                spare,
                after: slot.after.clone(),
                ends: Ends::of(*kind, format.escape, &slot.after),
            }
        });
        Some(Access {
            escape: format.escape,
            lead: format.lead,
            slots: slots.collect(),
            http: Http::new(names),
            spans: Vec::new(),
            buffer: Vec::new(),
            visible: Vec::new(),
            last_local: None,
            rows: Rows::default(),
        })
    }

    /// Fills `line`; false, and nothing is filled, when the text is not of this format.
    pub(in crate::parse) fn parse(&mut self, piece: Piece<'_>, context: Context<'_>, line: &mut Line) -> bool {
        let text = piece.text.strip_suffix(b"\r").unwrap_or(piece.text);
        if !text.starts_with(&self.lead) {
            return false;
        }
        self.spans.clear();
        let mut tries = TRIES_MAX;
        if !straight(&self.slots, self.escape, text, self.lead.len(), &mut self.spans)
            && !fit(&self.slots, self.escape, text, self.lead.len(), &mut self.spans, &mut tries)
        {
            return false;
        }
        let piece = piece.part(0..text.len());
        let escaped = memchr::memchr(b'\\', text).is_some();
        for at in 0..self.slots.len() {
            self.emit(at, piece, escaped, line);
        }
        if line.get(NameId::MESSAGE).is_none() {
            http::synthesize_message(context.raw, line, &mut self.buffer);
        }
        true
    }

    fn emit(&mut self, at: usize, piece: Piece<'_>, escaped: bool, line: &mut Line) {
        let slot = &self.slots[at];
        let range = self.spans[at].clone();
        let text = &piece.text[range.clone()];
        if matches!(text, [] | [b'-']) {
            return;
        }
        let Some(name) = slot.name else {
            line.fields_dropped += 1;
            return;
        };
        match slot.kind {
            Kind::TimeLocal | Kind::TimeIso | Kind::Msec if !slot.spare => {
                if let Some((time_ns, spelling)) = read_time(slot.kind, text, &mut self.last_local) {
                    line.time_ns = Some(time_ns);
                    line.time_cut = piece.cut(range, spelling);
                }
            }
            Kind::Status | Kind::Int => match number::integer(text) {
                Some(value) => line.push(name, Value::Int(value), piece.cut(range, Spelling::Plain)),
                None => piece.push(line, name, range),
            },
            Kind::Seconds => match number::milliseconds(text) {
                Some((value, spelling)) => line.push(name, Value::Float(value), piece.cut(range, spelling)),
                None => piece.push(line, name, range),
            },
            Kind::UpstreamTimes | Kind::UpstreamStatus => emit_upstreams(slot, name, piece, range, line),
            Kind::Request => self.emit_request(piece, range, escaped, line),
            Kind::RequestUri if memchr::memchr(b'\\', text).is_none() => {
                let path = range.start + http::path_len(text);
                piece.push(line, name, range.start..path);
                if let Some(query) = self.http.query.filter(|_| path < range.end) {
                    piece.push(line, query, path + 1..range.end);
                }
            }
            _ if escaped && memchr::memchr(b'\\', text).is_some() => {
                let cut = piece.cut(range, self.spelling());
                let value = line.scratch_with(|out| escape::undo(self.escape, text, &mut self.buffer, out));
                line.push(name, Value::Text(value), cut);
            }
            _ => piece.push(line, name, range),
        }
    }

    fn spelling(&self) -> Spelling {
        if self.escape == Escape::Json { Spelling::JsonString } else { Spelling::Plain }
    }

    /// The request is the message; its parts are derived from it. What is no request line is kept whole.
    fn emit_request(&mut self, piece: Piece<'_>, range: Range<usize>, escaped: bool, line: &mut Line) {
        let text = &piece.text[range.clone()];
        let cut = piece.cut(range.clone(), self.spelling());
        let (piece, range) = if escaped && memchr::memchr(b'\\', text).is_some() {
            self.visible.clear();
            escape::undo(self.escape, text, &mut self.buffer, &mut self.visible);
            let copy = line.scratch(&self.visible);
            line.push(NameId::MESSAGE, Value::Text(copy), cut);
            (Piece::copied(&self.visible, copy), 0..self.visible.len())
        } else {
            line.push(NameId::MESSAGE, Value::Text(piece.text(range.clone())), cut);
            (piece, range)
        };
        if !self.http.derive(piece, range.clone(), line)
            && let Some(name) = self.http.request
        {
            piece.derive(line, name, range);
        }
    }
}

/// Takes for each slot the first place that fits, which is what [`fit`] finds where nothing has to be taken back; false,
/// and no spans, where it has.
fn straight(slots: &[Slot], escape: Escape, text: &[u8], mut at: usize, spans: &mut Vec<Range<usize>>) -> bool {
    for (i, slot) in slots.iter().enumerate() {
        let last = i + 1 == slots.len();
        let end = if last { last_end(slot, text, at) } else { first_end(slot, escape, text, at) };
        let Some(end) = end else {
            spans.clear();
            return false;
        };
        spans.push(at..end);
        at = end + slot.after.len();
    }
    at == text.len()
}

/// Where the value of the last slot ends, if it has its form.
#[inline]
fn last_end(slot: &Slot, text: &[u8], at: usize) -> Option<usize> {
    let end = text.len().checked_sub(slot.after.len()).filter(|end| *end >= at)?;
    (equal(&text[end..], &slot.after) && has_form(slot.kind, &text[at..end])).then_some(end)
}

/// The first place where a value of the slot can end, if what stands before it has its form.
#[inline]
fn first_end(slot: &Slot, escape: Escape, text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let ends_at = |len: usize| rest.get(len..len + slot.after.len()).is_some_and(|literal| equal(literal, &slot.after));
    if rest.first() == Some(&b'-') && slot.ends != Ends::Searched && slot.after[0] != b'-' && ends_at(1) {
        return Some(at + 1);
    }
    // Within these values stands nothing that the literal begins with.
    let len = match slot.ends {
        Ends::Digits => {
            let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            Some(len).filter(|len| if slot.kind == Kind::Status { *len == 3 } else { *len > 0 })
        }
        Ends::Fixed(len) => Some(len).filter(|len| {
            rest.first().is_some_and(u8::is_ascii_digit) && rest.get(..*len).is_some_and(|v| has_form(slot.kind, v))
        }),
        Ends::Word => rest.iter().position(|byte| matches!(byte, b' ' | b'"')),
        Ends::Byte => memchr::memchr(slot.after[0], rest),
        Ends::Searched => None,
    };
    if let Some(len) = len
        && ends_at(len)
    {
        return Some(at + len);
    }
    let end = Places::new(text, at, &slot.after, escape).next()?;
    has_form(slot.kind, &text[at..end]).then_some(end)
}

/// Finds a value for each slot so that the literals between them are where they must be, from `at` on.
fn fit(slots: &[Slot], escape: Escape, text: &[u8], at: usize, spans: &mut Vec<Range<usize>>, tries: &mut u32) -> bool {
    let Some((slot, rest)) = slots.split_first() else { return at == text.len() };
    let depth = spans.len();
    if rest.is_empty() {
        let Some(end) = text.len().checked_sub(slot.after.len()).filter(|end| *end >= at) else { return false };
        let fits = text[end..] == *slot.after && has_form(slot.kind, &text[at..end]);
        spans.push(at..end);
        return fits;
    }
    let mut places = Places::new(text, at, &slot.after, escape);
    while let Some(end) = places.next() {
        *tries = tries.saturating_sub(1);
        if *tries == 0 {
            return false;
        }
        if has_form(slot.kind, &text[at..end]) {
            spans.push(at..end);
            if fit(rest, escape, text, end + slot.after.len(), spans, tries) {
                return true;
            }
            spans.truncate(depth);
        }
    }
    false
}

/// The places where a literal stands: from the left, but from the right where values are not escaped.
struct Places<'a> {
    text: &'a [u8],
    literal: &'a [u8],
    escape: Escape,
    /// What is still to be searched.
    from: usize,
    to: usize,
    start: usize,
}

impl<'a> Places<'a> {
    fn new(text: &'a [u8], start: usize, literal: &'a [u8], escape: Escape) -> Places<'a> {
        Places { text, literal, escape, from: start, to: text.len(), start }
    }

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let first = *self.literal.first()?;
        while self.from < self.to {
            let window = &self.text[self.from..self.to];
            let at = if self.escape == Escape::None {
                let at = self.from + memchr::memrchr(first, window)?;
                self.to = at;
                at
            } else {
                let at = self.from + memchr::memchr(first, window)?;
                self.from = at + 1;
                at
            };
            // Most literals are one byte or two: a comparison of slices would be a call.
            let second = self.literal.get(1).is_none_or(|second| self.text.get(at + 1) == Some(second));
            if !second || self.literal.len() > 2 && !self.text[at..].starts_with(self.literal) {
                continue;
            }
            if first == b'"' && self.escape != Escape::None {
                if self.is_escaped(at) {
                    continue;
                }
                // No value holds a quote that is not escaped: this is the only place.
                self.from = self.to;
            }
            return Some(at);
        }
        None
    }

    /// Whether an odd number of backslashes stands before `at`; only JSON escapes a quote so.
    fn is_escaped(&self, at: usize) -> bool {
        let backslashes = self.text[self.start..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        self.escape == Escape::Json && backslashes % 2 == 1
    }
}

/// Whether a value has the form that its variable always has.
#[inline]
fn has_form(kind: Kind, value: &[u8]) -> bool {
    if matches!(value, [] | [b'-']) {
        return true;
    }
    match kind {
        Kind::Status => value.len() == 3 && value.iter().all(u8::is_ascii_digit),
        Kind::Address => memchr::memchr2(b' ', b'"', value).is_none(),
        Kind::List => is_list(value, |item| !item.is_empty()),
        Kind::Int | Kind::UpstreamStatus => {
            let is_number = |item: &[u8]| !item.is_empty() && item.iter().all(u8::is_ascii_digit);
            is_number(value) || is_list(value, is_number)
        }
        Kind::UpstreamTimes => {
            is_list(value, |item| !item.is_empty() && item.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.'))
        }
        Kind::Seconds | Kind::Msec => value.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.'),
        Kind::TimeLocal => value.len() == 26 && value[2] == b'/' && value[6] == b'/' && value[20] == b' ',
        Kind::TimeIso => value.len() == 25 && value[4] == b'-' && value[10] == b'T',
        _ => true,
    }
}

/// The parts of `a, b : c`: servers that were tried, and internal redirects.
fn list(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let words = value.split(|byte| *byte == b' ').filter(|word| *word != b":");
    words.map(|word| word.strip_suffix(b",").unwrap_or(word))
}

/// Whether a value is such a list of items, and a whole one: lists are the values that hold the space that ends them.
fn is_list(value: &[u8], is_item: impl Fn(&[u8]) -> bool) -> bool {
    let mut item_follows = true;
    for word in value.split(|byte| *byte == b' ') {
        if (word == b":") == item_follows {
            return false;
        }
        item_follows = word == b":" || word.ends_with(b",");
        let item = word.strip_suffix(b",").unwrap_or(word);
        if word != b":" && item != b"-" && !is_item(item) {
            return false;
        }
    }
    !item_follows
}

type LastLocal = Option<([u8; time::NGINX_LOCAL_BYTES], Stamp)>;

fn read_time(kind: Kind, text: &[u8], last: &mut LastLocal) -> Option<(i64, Spelling)> {
    if kind != Kind::TimeLocal {
        return time::whole(text, 0);
    }
    let stamp = match last {
        Some((known, stamp)) if text.len() == known.len() && text.first_chunk() == Some(known) => *stamp,
        _ => {
            let stamp = time::nginx_local(text)?;
            *last = text.first_chunk().map(|text| (*text, stamp));
            stamp
        }
    };
    Some((stamp.time_ns, stamp.spelling))
}

/// `0.001, 0.002 : 0.010`: servers that were tried and internal redirects. The field is one number, the list stays.
fn emit_upstreams(slot: &Slot, name: NameId, piece: Piece<'_>, range: Range<usize>, line: &mut Line) {
    let text = &piece.text[range.clone()];
    let parts = || list(text);
    let single = parts().count() == 1;
    let value = if slot.kind == Kind::UpstreamStatus {
        parts().filter_map(number::integer).next_back().map(|status| (Value::Int(status), Spelling::Plain))
    } else {
        let times = || parts().filter_map(number::decimal);
        let sum = number::without_dust(times().map(|(seconds, _)| seconds).sum());
        times().next().map(|(_, spelling)| (Value::Float(sum), spelling))
    };
    match (value, slot.list_name) {
        (Some((value, spelling)), _) if single => line.push(name, value, piece.cut(range, spelling)),
        (value, Some(list_name)) => {
            piece.push(line, list_name, range);
            if let Some((value, _)) = value {
                line.push(name, value, None);
            }
        }
        (_, None) => piece.push(line, name, range),
    }
}

fn is_canonical(name: &str) -> bool {
    field::ALL.contains(&name)
}

#[cfg(test)]
mod tests;

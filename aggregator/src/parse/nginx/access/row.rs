//! Rows of an access log: the lines that can go the short way of [`crate::parse::form`].
//!
//! It takes the lines that [`super::straight`] takes, but only those that are ASCII without a backslash, whose whole
//! numbers and time are printed back as they stand there, and whose request is one. All others have no row.

use std::ops::Range;
use std::sync::Arc;

use super::{Access, Ends, Slot};
use crate::equal::{equal, position, position2};
use crate::names::NameId;
use crate::parse::form::{Form, FormValue, Holds, Place};
use crate::parse::http::{Http, Request};
use crate::parse::line::{Constants, Line, Spelling};
use crate::parse::nginx::format::Escape;
use crate::parse::nginx::variable::Kind;
use crate::parse::time::{self, NS_PER_S};

/// Most values of a form: two bits each.
const VALUES_MAX: usize = u64::BITS as usize;

/// Digits of a number that fits for sure.
const DIGITS_MAX: usize = 18;

const LOCAL_BYTES: usize = time::NGINX_LOCAL_BYTES;
/// `20/Nov/2026:`, which is followed by the time of day and then by the offset.
const DATE_BYTES: usize = 12;
const CLOCK_BYTES: usize = 8;

/// A slot of a format of which lines have rows.
#[derive(Debug)]
struct RowSlot {
    part: Part,
    /// What ends the value, and its first eight bytes as a number with the bits of it that count.
    after: Box<[u8]>,
    literal: u64,
    mask: u64,
    /// A dash before it is no value.
    dash: bool,
    /// Without it the message of the line is another one.
    is_message: bool,
}

/// What a slot holds, and how its end is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Time,
    /// Text up to the first byte of the literal.
    Text,
    /// Text up to a space or a quote.
    Word,
    Int,
    Status,
    Request,
}

/// What is remembered from line to line.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// `None` where the format has something that rows do not have.
    form: Option<Arc<Form>>,
    slots: Box<[RowSlot]>,
    last: Option<Second>,
}

/// A `$time_local`, as it was written and as it is printed.
#[derive(Debug, Clone, Copy)]
struct Second {
    text: [u8; LOCAL_BYTES],
    time_ns: i64,
    /// Midnight of the same day in the same zone.
    day_ns: i64,
    spelling: Spelling,
}

impl Second {
    /// `None` for what is no time, and for one that is printed in another way.
    fn read(text: &[u8; LOCAL_BYTES], last: Option<&Second>) -> Option<Second> {
        if let Some(same_day) = last.and_then(|last| last.on_its_day(text)) {
            return Some(same_day);
        }
        let stamp = time::nginx_local(text)?;
        let mut printed = Vec::with_capacity(LOCAL_BYTES);
        if !time::format_time(stamp.time_ns, stamp.spelling, &mut printed) || printed != text {
            return None;
        }
        let day_ns = stamp.time_ns.checked_sub(clock_ns(text)?)?;
        Some(Second { text: *text, time_ns: stamp.time_ns, day_ns, spelling: stamp.spelling })
    }

    /// Another time of the day, if `text` is one.
    #[inline]
    fn on_its_day(&self, text: &[u8; LOCAL_BYTES]) -> Option<Second> {
        const OFFSET: usize = DATE_BYTES + CLOCK_BYTES;
        let same = text[..DATE_BYTES] == self.text[..DATE_BYTES] && text[OFFSET..] == self.text[OFFSET..];
        let time_ns = self.day_ns.checked_add(clock_ns(text).filter(|_| same)?)?;
        Some(Second { text: *text, time_ns, ..*self })
    }
}

/// The time of day; `None` for what is none, and for a leap second, which has another name.
#[inline]
fn clock_ns(text: &[u8; LOCAL_BYTES]) -> Option<i64> {
    let two = |at: usize| {
        let (tens, ones) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
        (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
    };
    let (hour, minute, second) = (two(DATE_BYTES)?, two(DATE_BYTES + 3)?, two(DATE_BYTES + 6)?);
    let is_clock = text[DATE_BYTES + 2] == b':' && text[DATE_BYTES + 5] == b':';
    (is_clock && hour < 24 && minute < 60 && second < 60).then_some((hour * 3600 + minute * 60 + second) * NS_PER_S)
}

impl Part {
    /// `None` for a slot of which a line has no row.
    fn of(slot: &Slot, is_last: bool) -> Option<Part> {
        if slot.ends == Ends::Searched && !is_last {
            return None;
        }
        Some(match slot.kind {
            Kind::TimeLocal if !slot.spare => Part::Time,
            Kind::Text => Part::Text,
            Kind::Address => Part::Word,
            Kind::Int => Part::Int,
            Kind::Status => Part::Status,
            Kind::Request => Part::Request,
            _ => return None,
        })
    }
}

impl RowSlot {
    fn new(slot: &Slot, part: Part) -> RowSlot {
        let head = slot.after.len().min(8);
        let mut literal = [0; 8];
        literal[..head].copy_from_slice(&slot.after[..head]);
        RowSlot {
            part,
            after: slot.after.clone(),
            literal: u64::from_le_bytes(literal),
            mask: u64::MAX.checked_shr(64 - 8 * head as u32).unwrap_or(0),
            dash: slot.after.first() != Some(&b'-'),
            is_message: part == Part::Request || slot.name == Some(NameId::MESSAGE),
        }
    }

    /// Whether the literal stands at the beginning of `rest`.
    #[inline(always)]
    fn begins(&self, rest: &[u8]) -> bool {
        match rest.first_chunk::<8>() {
            Some(word) if self.after.len() <= 8 => (u64::from_le_bytes(*word) ^ self.literal) & self.mask == 0,
            _ => rest.starts_with(&self.after),
        }
    }
}

impl Access {
    /// Finds out what rows of these lines are, if they have any.
    pub(in crate::parse) fn begin_rows(&mut self, constants: &Arc<Constants>) {
        if let Some((form, slots)) = self.form(constants) {
            self.rows = Rows { form: Some(Arc::new(form)), slots, last: None };
        }
    }

    fn form(&self, constants: &Arc<Constants>) -> Option<(Form, Box<[RowSlot]>)> {
        if self.escape != Escape::Default {
            return None;
        }
        let (mut slots, mut values) = (Vec::new(), Vec::new());
        for (i, slot) in self.slots.iter().enumerate() {
            let name = slot.name?;
            let mut add = |name: NameId, holds: Holds, is_cut: bool| {
                values.push(FormValue { name, holds, is_cut, spelling: Spelling::Plain });
            };
            let part = Part::of(slot, i + 1 == self.slots.len())?;
            slots.push(RowSlot::new(slot, part));
            match part {
                Part::Time => add(NameId::TIME, Holds::Time, true),
                Part::Text | Part::Word => add(name, Holds::Text, true),
                Part::Int | Part::Status => add(name, Holds::Int, true),
                Part::Request => {
                    let Http { query, protocol, .. } = self.http;
                    add(NameId::MESSAGE, Holds::Text, true);
                    add(NameId::METHOD, Holds::Text, false);
                    add(NameId::PATH, Holds::Path, false);
                    add(query?, Holds::Text, false);
                    add(protocol?, Holds::Text, false);
                }
            }
        }
        let has = |name: NameId| values.iter().any(|value| value.name == name);
        let odd = !has(NameId::MESSAGE) || has(NameId::LEVEL) || values.len() > VALUES_MAX;
        let form = Form::new(values, constants).filter(|_| !odd)?;
        // Of a value that a line lacks the constant would hold.
        (!form.hides_constants()).then(|| (form, slots.into()))
    }

    /// Makes `line`, which is clear, the row of a line; `None`, and nothing is made, where [`Access::parse`] has to see.
    pub(in crate::parse) fn row(&mut self, text: &[u8], line: &mut Line) -> Option<()> {
        if !self.lead.is_empty() && !text.starts_with(&self.lead) || text.last() == Some(&b'\r') || !is_simple(text) {
            return None;
        }
        let Rows { form, slots, last } = &mut self.rows;
        let (last_slot, others) = slots.split_last()?;
        let places = line.places(form.as_ref()?);
        let mut reader =
            Reader { text, at: self.lead.len(), value: 0, places, present: 0, absent: 0, last, time: None };
        for slot in others {
            reader.take::<false>(slot)?;
        }
        reader.take::<true>(last_slot)?;
        let Reader { present, absent, time, .. } = reader;
        line.set_row(u128::from(present) << VALUES_MAX | u128::from(absent), time, None);
        Some(())
    }
}

/// Goes through a line, value by value.
struct Reader<'t, 'p> {
    text: &'t [u8],
    at: usize,
    /// The next value of the form.
    value: usize,
    places: &'p mut [Place],
    /// A bit for each value that the line has.
    present: u64,
    /// The same for dashes where a value is missing.
    absent: u64,
    last: &'p mut Option<Second>,
    time: Option<(i64, Spelling)>,
}

impl Reader<'_, '_> {
    /// Takes the value of a slot and the literal behind it, as [`super::first_end`] and [`super::last_end`] find them
    /// without a search.
    #[inline(always)]
    fn take<const LAST: bool>(&mut self, slot: &RowSlot) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        // Of the last value the literal ends the line, whatever stands before it.
        let whole = if LAST { without(rest, &slot.after)? } else { rest };
        let no_value = match whole {
            [] if LAST => Some(0),
            [b'-'] if LAST => Some(1),
            [b'-', behind @ ..] if !LAST && slot.dash && slot.begins(behind) => Some(1),
            _ => None,
        };
        if let Some(len) = no_value {
            return self.skip(slot, len);
        }
        let (len, number) = match slot.part {
            Part::Text | Part::Request if LAST => (whole.len(), 0),
            Part::Text | Part::Request => (position(whole, *slot.after.first()?)?, 0),
            Part::Word => (position2(whole, b' ', b'"').or(LAST.then_some(whole.len()))?, 0),
            Part::Time => (LOCAL_BYTES, 0),
            Part::Int => digits(whole)?,
            Part::Status => (3, status(whole)?),
        };
        let ends = if LAST { len == whole.len() } else { slot.begins(rest.get(len..)?) };
        if !ends {
            return None;
        }
        if len == 0 {
            return self.skip(slot, 0);
        }
        match slot.part {
            Part::Request => self.request(len)?,
            Part::Time => {
                self.read_time(rest)?;
                self.put(0..len, 0);
            }
            _ => self.put(0..len, number),
        }
        self.at += len + slot.after.len();
        Some(())
    }

    /// Goes behind a value that the line does not have: nothing stands there, or a dash.
    #[inline(always)]
    fn skip(&mut self, slot: &RowSlot, len: usize) -> Option<()> {
        self.absent |= (len as u64) << self.value;
        self.lack();
        self.at += len + slot.after.len();
        (!slot.is_message).then_some(())
    }

    /// The next value stands there, seen from the begin of the slot.
    #[inline(always)]
    fn put(&mut self, range: Range<usize>, number: i64) {
        if let Some(place) = self.places.get_mut(self.value) {
            *place =
                Place { start: (self.at + range.start) as u32, end: (self.at + range.end) as u32, bits: number as u64 };
            self.present |= 1 << self.value;
        }
        self.value += 1;
    }

    /// The line does not have the next value.
    #[inline(always)]
    fn lack(&mut self) {
        if let Some(place) = self.places.get_mut(self.value) {
            *place = Place::NONE;
        }
        self.value += 1;
    }

    /// The message and what is derived from it; `None` where it is no request.
    #[inline(always)]
    fn request(&mut self, len: usize) -> Option<()> {
        let request = Request::split(self.text.get(self.at..self.at + len)?)?;
        self.put(0..len, 0);
        self.put(request.method, 0);
        self.put(request.path, 0);
        for part in [request.query, request.protocol] {
            match part {
                Some(part) => self.put(part, 0),
                None => self.lack(),
            }
        }
        Some(())
    }

    #[inline(always)]
    fn read_time(&mut self, rest: &[u8]) -> Option<()> {
        let text = rest.first_chunk::<LOCAL_BYTES>()?;
        if self.last.as_ref().is_none_or(|last| last.text != *text) {
            *self.last = Some(Second::read(text, self.last.as_ref())?);
        }
        self.time = self.last.as_ref().map(|last| (last.time_ns, last.spelling));
        Some(())
    }
}

/// What stands before the literal at the end of `text`.
#[inline(always)]
fn without<'a>(text: &'a [u8], literal: &[u8]) -> Option<&'a [u8]> {
    let (before, behind) = text.split_at_checked(text.len().checked_sub(literal.len())?)?;
    equal(behind, literal).then_some(before)
}

/// How many digits `text` begins with, and their number, if it is printed by them.
#[inline(always)]
fn digits(text: &[u8]) -> Option<(usize, i64)> {
    let (mut number, mut len) = (0i64, 0);
    while let Some(byte) = text.get(len)
        && byte.is_ascii_digit()
    {
        number = number.wrapping_mul(10).wrapping_add(i64::from(byte - b'0'));
        len += 1;
    }
    let is_printed = (1..=DIGITS_MAX).contains(&len) && (len == 1 || text[0] != b'0');
    is_printed.then_some((len, number))
}

/// The number that three digits are, if it is printed by them.
#[inline(always)]
fn status(text: &[u8]) -> Option<i64> {
    let digits = text.first_chunk::<3>()?.map(|byte| byte.wrapping_sub(b'0'));
    let [hundreds, tens, ones] = digits.map(i64::from);
    ((1..10).contains(&hundreds) && tens < 10 && ones < 10).then_some(100 * hundreds + 10 * tens + ones)
}

/// Whether all bytes are ASCII, and none is a backslash.
#[inline]
fn is_simple(text: &[u8]) -> bool {
    const BYTES: usize = 32;
    const ODD: u8 = 0x80;
    let odd = |byte: u8| byte | if byte == b'\\' { ODD } else { 0 };
    let Some(last) = text.last_chunk::<BYTES>() else { return text.iter().all(|byte| odd(*byte) < ODD) };
    // The last bytes overlap those before them.
    let mut all = last.map(odd);
    for bytes in text.as_chunks::<BYTES>().0 {
        for (all, byte) in all.iter_mut().zip(bytes) {
            *all |= odd(*byte);
        }
    }
    all.iter().fold(0, |all, byte| all | byte) < ODD
}

//! Rows of an access log: the lines that can go the short way of [`crate::parse::form`].
//!
//! It takes the lines that [`super::straight`] takes, but only those that are ASCII without a backslash, whose whole
//! numbers and time are printed back as they stand there, and whose request is one. All others have no row.

use std::ops::Range;
use std::sync::Arc;

use super::{Access, Ends, Slot};
use crate::equal::equal;
use crate::names::NameId;
use crate::parse::form::{Form, FormValue, Holds, Place, Row, VALUES_MAX};
use crate::parse::http::{Http, Request};
use crate::parse::line::{Constants, Spelling};
use crate::parse::nginx::format::Escape;
use crate::parse::nginx::variable::Kind;
use crate::parse::time::{self, NS_PER_S};

/// Digits of a number that fits for sure.
const DIGITS_MAX: usize = 18;

const LOCAL_BYTES: usize = time::NGINX_LOCAL_BYTES;
/// `20/Nov/2026:`, which is followed by the time of day and then by the offset.
const DATE_BYTES: usize = 12;
const CLOCK_BYTES: usize = 8;

/// What a slot holds, beyond what [`Holds`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Time,
    Text,
    Int,
    Request,
}

/// What is remembered from line to line.
#[derive(Debug, Default)]
pub(super) struct Rows {
    places: Vec<Place>,
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
    fn of(slot: &Slot, last: bool) -> Option<Part> {
        let known = last || slot.ends != Ends::Searched;
        Some(match slot.kind {
            _ if !known => return None,
            Kind::TimeLocal if !slot.spare => Part::Time,
            Kind::Text | Kind::Address => Part::Text,
            Kind::Status | Kind::Int => Part::Int,
            Kind::Request => Part::Request,
            _ => return None,
        })
    }
}

impl Access {
    /// What rows of these lines are; `None` where the format has something that rows do not have, or a name twice.
    pub(in crate::parse) fn form(&self, constants: &Arc<Constants>) -> Option<Form> {
        if self.escape != Escape::Default {
            return None;
        }
        let mut values = Vec::new();
        for (i, slot) in self.slots.iter().enumerate() {
            let name = slot.name?;
            let mut add = |name: NameId, holds: Holds, is_cut: bool| values.push(FormValue { name, holds, is_cut });
            match Part::of(slot, i + 1 == self.slots.len())? {
                Part::Time => add(NameId::TIME, Holds::Time, true),
                Part::Text => add(name, Holds::Text, true),
                Part::Int => add(name, Holds::Int, true),
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
        values.push(FormValue { name: NameId::ROUTE, holds: Holds::Route, is_cut: false });
        let twice = |at: usize| values[..at].iter().any(|before| before.name == values[at].name);
        let constant = |value: &FormValue| constants.get(value.name).is_some();
        let has_message = values.iter().any(|value| value.name == NameId::MESSAGE);
        let has_level = values.iter().any(|value| value.name == NameId::LEVEL);
        let odd = (0..values.len()).any(twice) || values.iter().any(constant) || !has_message || has_level;
        (!odd && values.len() <= VALUES_MAX)
            .then(|| Form { values: values.into(), constants: Arc::clone(constants) })
    }

    /// The row of a line; `None` where [`Access::parse`] has to see.
    pub(in crate::parse) fn row<'a>(&'a mut self, form: &'a Arc<Form>, text: &'a [u8]) -> Option<Row<'a>> {
        if !text.starts_with(&self.lead) || text.last() == Some(&b'\r') || !is_simple(text) {
            return None;
        }
        let Rows { places, last } = &mut self.rows;
        places.resize(form.values.len(), Place::default());
        let mut reader = Reader { text, at: self.lead.len(), value: 0, places, present: 0, absent: 0 };
        let mut time = None;
        let (last_slot, others) = self.slots.split_last()?;
        for slot in others {
            let end = reader.first_end(slot)?;
            reader.take(slot, end, last, &mut time)?;
        }
        let end = reader.last_end(last_slot)?;
        reader.take(last_slot, end, last, &mut time)?;
        let (present, absent) = (reader.present | 1 << reader.value, reader.absent);
        Some(Row { form, text, places, present, absent, time })
    }
}

/// How a value ends, and how long it is.
enum End {
    /// Nothing, or a dash.
    Absent(usize),
    Value(usize),
    Number(usize, i64),
}

/// Goes through a line, value by value.
struct Reader<'t, 'p> {
    text: &'t [u8],
    at: usize,
    /// The next value of the form.
    value: usize,
    places: &'p mut [Place],
    present: u64,
    absent: u64,
}

impl Reader<'_, '_> {
    /// Where the value of a slot ends that is not the last one: as [`super::first_end`] finds it without a search.
    #[inline]
    fn first_end(&self, slot: &Slot) -> Option<End> {
        let rest = self.text.get(self.at..)?;
        let after = &*slot.after;
        let ends_at = |len: usize| rest.get(len..len + after.len()).is_some_and(|literal| equal(literal, after));
        if rest.first() == Some(&b'-') && after[0] != b'-' && ends_at(1) {
            return Some(End::Absent(1));
        }
        let len = match slot.ends {
            Ends::Digits => {
                let (len, number) = whole(rest, slot.kind)?;
                return ends_at(len).then_some(End::Number(len, number));
            }
            Ends::Fixed(len) => len,
            Ends::Word => rest.iter().position(|byte| matches!(byte, b' ' | b'"'))?,
            Ends::Byte => memchr::memchr(after[0], rest)?,
            Ends::Searched => return None,
        };
        ends_at(len).then_some(if len == 0 { End::Absent(0) } else { End::Value(len) })
    }

    /// The same for the last slot: see [`super::last_end`].
    #[inline]
    fn last_end(&self, slot: &Slot) -> Option<End> {
        let rest = self.text.get(self.at..)?;
        let value = rest.strip_suffix(&*slot.after)?;
        Some(match (slot.kind, value) {
            (_, []) => End::Absent(0),
            (_, [b'-']) => End::Absent(1),
            (Kind::Status | Kind::Int, _) => {
                let (len, number) = whole(value, slot.kind).filter(|(len, _)| *len == value.len())?;
                End::Number(len, number)
            }
            (Kind::Address, _) if memchr::memchr2(b' ', b'"', value).is_some() => return None,
            _ => End::Value(value.len()),
        })
    }

    /// Takes the value of a slot, and goes behind the literal that ends it.
    #[inline]
    fn take(
        &mut self,
        slot: &Slot,
        end: End,
        last: &mut Option<Second>,
        time: &mut Option<(i64, Spelling)>,
    ) -> Option<()> {
        let len = match end {
            // A line without a message has another one.
            End::Absent(_) if slot.kind == Kind::Request || slot.name == Some(NameId::MESSAGE) => return None,
            End::Absent(len) => {
                self.absent |= (len as u64) << self.value;
                self.value += 1;
                len
            }
            End::Number(len, number) => {
                self.put(0..len, number);
                len
            }
            End::Value(len) => {
                match slot.kind {
                    Kind::Request => self.request(len)?,
                    Kind::TimeLocal => {
                        let text: &[u8; LOCAL_BYTES] = self.text.get(self.at..self.at + len)?.try_into().ok()?;
                        let second = match last {
                            Some(second) if second.text == *text => *second,
                            _ => {
                                let second = Second::read(text, last.as_ref())?;
                                *last.insert(second)
                            }
                        };
                        *time = Some((second.time_ns, second.spelling));
                        self.put(0..len, 0);
                    }
                    _ => self.put(0..len, 0),
                }
                len
            }
        };
        self.at += len + slot.after.len();
        Some(())
    }

    /// The next value stands there, seen from the begin of the slot.
    #[inline]
    fn put(&mut self, range: Range<usize>, number: i64) {
        if let Some(place) = self.places.get_mut(self.value) {
            *place = Place { start: (self.at + range.start) as u32, end: (self.at + range.end) as u32, number };
            self.present |= 1 << self.value;
        }
        self.value += 1;
    }

    /// The message and what is derived from it; `None` where it is no request.
    #[inline]
    fn request(&mut self, len: usize) -> Option<()> {
        let request = Request::split(self.text.get(self.at..self.at + len)?)?;
        self.put(0..len, 0);
        self.put(request.method, 0);
        self.put(request.path, 0);
        for part in [request.query, request.protocol] {
            match part {
                Some(part) => self.put(part, 0),
                None => self.value += 1,
            }
        }
        Some(())
    }
}

/// The number at the beginning of `text`, if it is printed as it stands there, and its digits.
#[inline]
fn whole(text: &[u8], kind: Kind) -> Option<(usize, i64)> {
    let (mut number, mut len) = (0i64, 0);
    for byte in text.iter().take(DIGITS_MAX + 1) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        number = number.wrapping_mul(10).wrapping_add(i64::from(digit));
        len += 1;
    }
    let fits = if kind == Kind::Status { len == 3 } else { (1..=DIGITS_MAX).contains(&len) };
    (fits && (len == 1 || text[0] != b'0')).then_some((len, number))
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

#[cfg(test)]
mod tests;

//! Times as loggers write them: reading each spelling, and printing it back exactly.
//!
//! A time without a zone is read with an offset that the caller assumes. [`format_time`] is the inverse of every reader:
//! the store prints with it what a reader cut out.

mod civil;
pub(super) mod layout;
pub(crate) mod printer;
mod zone;

use self::civil::{Civil, clock, days_from_civil, instant};
use super::line::{Offset, Spelling};

pub(super) const NS_PER_S: i64 = 1_000_000_000;

/// In the `fraction` of [`Spelling::Rfc3339`]: the low bits count digits, these flags say what else was odd.
const FRACTION_DIGITS: u8 = 0x0f;
/// The fraction follows a comma, as Python and Java write it.
pub const FRACTION_COMMA: u8 = 0x10;
/// No seconds were written (`2026-11-20 09:10`), as PM2's usual `log_date_format` has it.
pub const FRACTION_NO_SECONDS: u8 = 0x20;
/// The date is `2026/11/20`.
pub const FRACTION_SLASHES: u8 = 0x40;
/// In the `separator` of [`Spelling::Rfc3339`]: a space stands before the offset.
pub const SEPARATOR_SPACED_OFFSET: u8 = 0x80;

/// Digits of a fraction that nanoseconds can hold.
const FRACTION_DIGITS_MAX: usize = 9;

/// A time that was found at the beginning of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) time_ns: i64,
    /// Bytes that it takes.
    pub(super) len: usize,
    pub(super) spelling: Spelling,
}

/// A time at the beginning of `text`, in any spelling that has date and time; what follows must not be a word.
pub(super) fn leading(text: &[u8], assumed_minutes: i16) -> Option<Stamp> {
    if text.len() < 16 || !text[0].is_ascii_digit() {
        return None;
    }
    let stamp = match text[4] {
        b'-' | b'/' => rfc3339(text, assumed_minutes)?,
        _ => nginx_local(text)?,
    };
    let follows_word = text.get(stamp.len).is_some_and(u8::is_ascii_alphanumeric);
    (!follows_word).then_some(stamp)
}

/// A time without a year at the beginning of `text`, as syslog (`Nov 20 09:10:02`) and glog (`E1120 09:10:02.1`) write
/// it: in the year that brings it nearest to `received_ns`. It has no spelling and stays in the text.
pub(super) fn yearless(text: &[u8], assumed_minutes: i16, received_ns: i64) -> Option<i64> {
    let (month, day, rest) = match text.first()? {
        b'I' | b'W' | b'E' | b'F' if text.get(5) == Some(&b' ') => {
            (digits(text, 1, 2)?, digits(text, 3, 2)?, &text[6..])
        }
        b'A'..=b'S' if text.get(3) == Some(&b' ') && text.get(6) == Some(&b' ') => {
            (month(&text[..3])?, decimal(text[4..6].trim_ascii_start())?, &text[7..])
        }
        _ => return None,
    };
    if rest.get(2) != Some(&b':') || rest.get(5) != Some(&b':') {
        return None;
    }
    let seconds = clock(digits(rest, 0, 2)?, digits(rest, 3, 2)?, digits(rest, 6, 2)?)?;
    let year = Civil::new(received_ns, assumed_minutes)?.year;
    let in_year = |year| instant(days_from_civil(year, month, day)?, seconds, 0, assumed_minutes);
    [year, year - 1, year + 1].into_iter().filter_map(in_year).min_by_key(|time_ns| time_ns.abs_diff(received_ns))
}

/// A text that is a time and nothing else: a date with time, or a number since the epoch.
pub(super) fn whole(text: &[u8], assumed_minutes: i16) -> Option<(i64, Spelling)> {
    if let Some(stamp) = leading(text, assumed_minutes) {
        return (stamp.len == text.len()).then_some((stamp.time_ns, stamp.spelling));
    }
    epoch(text)
}

/// A number since the epoch: its magnitude tells seconds, milliseconds, microseconds or nanoseconds.
pub(super) fn epoch(text: &[u8]) -> Option<(i64, Spelling)> {
    let (number, digits) = leading_digits(text)?;
    let unit_ns = match number {
        100_000_000..100_000_000_000 => NS_PER_S,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        100_000_000_000_000_000.. => 1,
        _ => return None,
    };
    let whole = number.checked_mul(unit_ns)?;
    if digits == text.len() {
        return Some((whole, Spelling::EpochInt { unit_ns }));
    }
    if text[digits] != b'.' {
        return None;
    }
    let fraction = &text[digits + 1..];
    if fraction.is_empty() || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let part = i128::from(nanos(fraction)) * i128::from(unit_ns) / i128::from(NS_PER_S);
    let decimals = fraction.len().min(FRACTION_DIGITS_MAX) as u8;
    // A fraction of milliseconds has no spelling: the store sees that it prints differently and keeps the line.
    Some((whole.checked_add(part as i64)?, Spelling::EpochFixed { decimals }))
}

/// The number that the digits at the beginning of `text` are, and how many they are.
#[inline]
fn leading_digits(text: &[u8]) -> Option<(i64, usize)> {
    let (mut number, mut digits) = (0i64, 0);
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        number = number.wrapping_mul(10).wrapping_add(i64::from(digit));
        digits += 1;
    }
    // So few digits overflow nothing.
    if digits < 19 { (digits > 0).then_some((number, digits)) } else { Some((decimal(&text[..digits])?, digits)) }
}

/// How old a number of seconds at the beginning of a text may be that is a time: a few others are as large by chance.
const EPOCH_AGE_NS_MAX: i64 = 366 * 24 * 3600 * NS_PER_S;
/// The same of one with a fraction, which no count of things has.
const EPOCH_FIXED_AGE_NS_MAX: i64 = 30 * EPOCH_AGE_NS_MAX;
/// How far ahead of the receiver it may be.
const EPOCH_AHEAD_NS_MAX: i64 = 24 * 3600 * NS_PER_S;

/// A number since the epoch at the beginning of `text`, before a blank or a bracket (`1763700000.123 GET /`): one that
/// is near to `received_ns`.
pub(super) fn leading_epoch(text: &[u8], received_ns: i64) -> Option<Stamp> {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    if !matches!(text.get(len), Some(b' ' | b'\t' | b']')) {
        return None;
    }
    let (time_ns, spelling) = epoch(&text[..len])?;
    let age_ns = received_ns.saturating_sub(time_ns);
    let age_ns_max =
        if matches!(spelling, Spelling::EpochInt { .. }) { EPOCH_AGE_NS_MAX } else { EPOCH_FIXED_AGE_NS_MAX };
    (-EPOCH_AHEAD_NS_MAX..=age_ns_max).contains(&age_ns).then_some(Stamp { time_ns, len, spelling })
}

/// Length of NGINX's `$time_local`.
pub(super) const NGINX_LOCAL_BYTES: usize = 26;

/// `20/Nov/2026:09:10:02 +0000`, NGINX's `$time_local`.
pub(super) fn nginx_local(text: &[u8]) -> Option<Stamp> {
    const LEN: usize = NGINX_LOCAL_BYTES;
    let text = text.get(..LEN)?;
    if text[2] != b'/' || text[6] != b'/' || text[11] != b':' || text[14] != b':' || text[17] != b':' {
        return None;
    }
    let month = month(&text[3..6])?;
    let days = days_from_civil(digits(text, 7, 4)?, month, digits(text, 0, 2)?)?;
    let seconds = clock(digits(text, 12, 2)?, digits(text, 15, 2)?, digits(text, 18, 2)?)?;
    if text[20] != b' ' {
        return None;
    }
    let offset_minutes = offset(&text[21..26], false)?;
    let time_ns = instant(days, seconds, 0, offset_minutes)?;
    Some(Stamp { time_ns, len: LEN, spelling: Spelling::NginxLocal { offset_minutes } })
}

const MONTHS: [[u8; 3]; 12] =
    [*b"Jan", *b"Feb", *b"Mar", *b"Apr", *b"May", *b"Jun", *b"Jul", *b"Aug", *b"Sep", *b"Oct", *b"Nov", *b"Dec"];

fn month(name: &[u8]) -> Option<i64> {
    let name: [u8; 3] = name.try_into().ok()?;
    MONTHS.iter().position(|month| *month == name).map(|at| at as i64 + 1)
}

/// `2026-11-20T09:10:02.123Z` and its relatives: space for `T`, comma for the dot, slashes for dashes, no seconds, no
/// zone, or a space before the zone.
fn rfc3339(text: &[u8], assumed_minutes: i16) -> Option<Stamp> {
    let slashes = text[4] == b'/';
    let dash = text[4];
    if text[7] != dash || text[13] != b':' || !matches!(text[10], b'T' | b't' | b' ' | b'_') {
        return None;
    }
    let days = days_from_civil(digits(text, 0, 4)?, digits(text, 5, 2)?, digits(text, 8, 2)?)?;
    let (hour, minute) = (digits(text, 11, 2)?, digits(text, 14, 2)?);
    let mut at = 16;
    let mut fraction = if slashes { FRACTION_SLASHES } else { 0 };
    let (mut second, mut nanoseconds) = (0, 0);
    let written = text.get(at) == Some(&b':') && text.len() >= at + 3;
    match written.then(|| digits(text, at + 1, 2)).flatten() {
        Some(value) => {
            second = value;
            at += 3;
            let mark = text.get(at).copied();
            let count = text[(at + 1).min(text.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if matches!(mark, Some(b'.' | b',')) && count > 0 {
                nanoseconds = nanos(&text[at + 1..at + 1 + count]);
                fraction |= count.min(FRACTION_DIGITS_MAX) as u8;
                fraction |= if mark == Some(b',') { FRACTION_COMMA } else { 0 };
                at += 1 + count;
            }
        }
        None => fraction |= FRACTION_NO_SECONDS,
    }
    let (zone, zone_len, spaced) = zone(&text[at..], assumed_minutes);
    at += zone_len;
    let seconds = clock(hour, minute, second)?;
    let time_ns = instant(days, seconds, nanoseconds, offset_minutes(zone))?;
    Some(Stamp { time_ns, len: at, spelling: spelled(fraction, zone, text[10], spaced) })
}

fn spelled(fraction: u8, offset: Offset, separator: u8, spaced: bool) -> Spelling {
    match offset {
        Offset::Assumed(offset_minutes) if fraction == FRACTION_SLASHES && separator == b' ' => {
            Spelling::NginxError { offset_minutes }
        }
        _ => {
            let separator = if spaced { separator | SEPARATOR_SPACED_OFFSET } else { separator };
            Spelling::Rfc3339 { fraction, offset, separator }
        }
    }
}

/// The zone at the beginning of `text`, its length, and whether a space stood before it.
fn zone(text: &[u8], assumed_minutes: i16) -> (Offset, usize, bool) {
    let spaced = text.first() == Some(&b' ');
    let body = if spaced { &text[1..] } else { text };
    let skip = usize::from(spaced);
    match body {
        [b'Z' | b'z', ..] if !spaced => return (Offset::Zulu, 1, false),
        [b'+' | b'-', ..] => {
            let ends = |len: usize| !body.get(len).is_some_and(u8::is_ascii_alphanumeric);
            if let Some(minutes) = body.get(..6).and_then(|zone| offset(zone, true)).filter(|_| ends(6)) {
                return (Offset::Minutes(minutes), 6 + skip, spaced);
            }
            if let Some(minutes) = body.get(..5).and_then(|zone| offset(zone, false)).filter(|_| ends(5)) {
                return (Offset::MinutesCompact(minutes), 5 + skip, spaced);
            }
            // After a space it might be a number; before a bracket or a comma it is what PostgreSQL writes.
            let is_zone = ends(3) && (!spaced || matches!(body.get(3..), Some([b' ', b'[', ..] | [b',', ..])));
            if is_zone && let Some(hours) = digits(body, 1, 2).filter(|hours| *hours <= 15) {
                let sign = if body[0] == b'-' { -60 } else { 60 };
                return (Offset::Hours(sign * hours as i16), 3 + skip, spaced);
            }
        }
        [b'A'..=b'Z', ..] if spaced => {
            if let Some((name, len)) = zone::leading(body) {
                return (Offset::Named(name), len + skip, spaced);
            }
        }
        _ => {}
    }
    (Offset::Assumed(assumed_minutes), 0, false)
}

fn offset_minutes(offset: Offset) -> i16 {
    match offset {
        Offset::Zulu => 0,
        Offset::Minutes(minutes)
        | Offset::MinutesCompact(minutes)
        | Offset::Assumed(minutes)
        | Offset::Hours(minutes) => minutes,
        Offset::Named(name) => zone::minutes(name),
    }
}

/// `+01:00` or `+0100` in minutes.
fn offset(text: &[u8], colon: bool) -> Option<i16> {
    let sign = match text[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    if colon && text[3] != b':' {
        return None;
    }
    let hours = digits(text, 1, 2)?;
    let minutes = digits(text, if colon { 4 } else { 3 }, 2)?;
    (hours <= 15 && minutes < 60).then_some((sign * (hours * 60 + minutes)) as i16)
}

/// Appends `time_ns` in `spelling`; false when the spelling is not one of a time, or cannot hold this one.
pub fn format_time(time_ns: i64, spelling: Spelling, out: &mut Vec<u8>) -> bool {
    match spelling {
        Spelling::EpochInt { unit_ns } if unit_ns > 0 => {
            out.extend_from_slice(itoa::Buffer::new().format(time_ns.div_euclid(unit_ns)).as_bytes());
            true
        }
        Spelling::EpochFixed { decimals } if time_ns >= 0 && decimals <= FRACTION_DIGITS_MAX as u8 => {
            out.extend_from_slice(itoa::Buffer::new().format(time_ns / NS_PER_S).as_bytes());
            out.push(b'.');
            push_fraction(time_ns % NS_PER_S, decimals, out);
            true
        }
        Spelling::Rfc3339 { fraction, offset, separator } => format_rfc3339(time_ns, fraction, offset, separator, out),
        Spelling::NginxLocal { offset_minutes } => {
            let Some(local) = Civil::new(time_ns, offset_minutes) else { return false };
            push_digits(local.day, 2, out);
            out.push(b'/');
            out.extend_from_slice(&MONTHS[(local.month as usize).saturating_sub(1).min(11)]);
            out.push(b'/');
            push_digits(local.year, 4, out);
            out.push(b':');
            push_clock(&local, out);
            out.push(b' ');
            push_offset(offset_minutes, false, out);
            true
        }
        Spelling::NginxError { offset_minutes } => {
            format_rfc3339(time_ns, FRACTION_SLASHES, Offset::Assumed(offset_minutes), b' ', out)
        }
        Spelling::Layout { layout, fraction, offset } => layout::print(time_ns, layout, fraction, offset, out),
        _ => false,
    }
}

fn format_rfc3339(time_ns: i64, fraction: u8, offset: Offset, separator: u8, out: &mut Vec<u8>) -> bool {
    let Some(local) = Civil::new(time_ns, offset_minutes(offset)) else { return false };
    let dash = if fraction & FRACTION_SLASHES != 0 { b'/' } else { b'-' };
    push_digits(local.year, 4, out);
    out.push(dash);
    push_digits(local.month, 2, out);
    out.push(dash);
    push_digits(local.day, 2, out);
    out.push(separator & !SEPARATOR_SPACED_OFFSET);
    if fraction & FRACTION_NO_SECONDS != 0 {
        push_digits(local.hour, 2, out);
        out.push(b':');
        push_digits(local.minute, 2, out);
    } else {
        push_clock(&local, out);
        let count = (fraction & FRACTION_DIGITS).min(FRACTION_DIGITS_MAX as u8);
        if count > 0 {
            out.push(if fraction & FRACTION_COMMA != 0 { b',' } else { b'.' });
            push_fraction(local.nanosecond, count, out);
        }
    }
    if separator & SEPARATOR_SPACED_OFFSET != 0 {
        out.push(b' ');
    }
    push_zone(offset, out);
    true
}

fn push_zone(offset: Offset, out: &mut Vec<u8>) {
    match offset {
        Offset::Zulu => out.push(b'Z'),
        Offset::Minutes(minutes) => push_offset(minutes, true, out),
        Offset::MinutesCompact(minutes) => push_offset(minutes, false, out),
        Offset::Assumed(_) => {}
        Offset::Named(name) => out.extend_from_slice(zone::name(name).as_bytes()),
        Offset::Hours(minutes) => {
            out.push(if minutes < 0 { b'-' } else { b'+' });
            push_digits(i64::from(minutes.unsigned_abs()) / 60, 2, out);
        }
    }
}

fn push_clock(local: &Civil, out: &mut Vec<u8>) {
    push_digits(local.hour, 2, out);
    out.push(b':');
    push_digits(local.minute, 2, out);
    out.push(b':');
    push_digits(local.second, 2, out);
}

fn push_offset(minutes: i16, colon: bool, out: &mut Vec<u8>) {
    out.push(if minutes < 0 { b'-' } else { b'+' });
    let minutes = i64::from(minutes.unsigned_abs());
    push_digits(minutes / 60, 2, out);
    if colon {
        out.push(b':');
    }
    push_digits(minutes % 60, 2, out);
}

fn push_fraction(nanosecond: i64, count: u8, out: &mut Vec<u8>) {
    let dropped = FRACTION_DIGITS_MAX as u32 - u32::from(count);
    push_digits(nanosecond / 10i64.pow(dropped), usize::from(count), out);
}

#[inline]
fn push_digits(mut value: i64, width: usize, out: &mut Vec<u8>) {
    if width == 2 && (0..100).contains(&value) {
        out.extend_from_slice(&[b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]);
        return;
    }
    let start = out.len();
    out.resize(start + width, b'0');
    for slot in out[start..].iter_mut().rev() {
        *slot = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// `count` digits at `at`; `None` if one of them is none.
fn digits(text: &[u8], at: usize, count: usize) -> Option<i64> {
    decimal(text.get(at..at + count)?)
}

fn decimal(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    if text.len() < 19 {
        // No sum of so few digits overflows.
        return text.iter().try_fold(0i64, |sum, byte| {
            let digit = byte.wrapping_sub(b'0');
            (digit < 10).then(|| sum * 10 + i64::from(digit))
        });
    }
    text.iter().try_fold(0i64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// The digits after a point as nanoseconds; further ones than nine are cut off.
fn nanos(fraction: &[u8]) -> i64 {
    let mut value = 0;
    for i in 0..FRACTION_DIGITS_MAX {
        value = value * 10 + fraction.get(i).map_or(0, |byte| i64::from(byte - b'0'));
    }
    value
}

#[cfg(test)]
mod tests;

//! Points in time as people write them: RFC 3339, dates, epochs, and times relative to now.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::query::ast::{TimeExpr, TimeUnit};
use crate::text;

/// Nanoseconds since the epoch of a time as written:
///
/// * RFC 3339 with or without seconds, fraction and zone (without: UTC), or only a date;
/// * an epoch in seconds, milliseconds, microseconds or nanoseconds, told apart by magnitude;
/// * `now`, `now-1h`, `now-1h/d` (rounded down in UTC), and `-10m` or `10m` for ten minutes ago.
pub fn parse_time(text: &str, now_ns: i64) -> Option<i64> {
    parse_time_expr(text).map(|time| time.resolve(now_ns))
}

/// As [`parse_time`], before it is known when now is.
pub fn parse_time_expr(text: &str) -> Option<TimeExpr> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix("now") {
        return relative_to_now(rest);
    }
    if let Some(epoch) = epoch(text) {
        return Some(TimeExpr::At(epoch));
    }
    if let Some(ago) = duration_ns(text.strip_prefix('-').unwrap_or(text)) {
        return Some(TimeExpr::Ago(ago));
    }
    calendar(text).map(TimeExpr::At)
}

/// What follows `now`: nothing, `-1h`, `+5m`, `/d`, `-1h/d`.
fn relative_to_now(text: &str) -> Option<TimeExpr> {
    let (shift, unit) = match text.split_once('/') {
        Some((shift, unit)) => (shift, Some(TimeUnit::ALL.into_iter().find(|candidate| candidate.as_str() == unit)?)),
        None => (text, None),
    };
    let ago = if shift.is_empty() {
        0
    } else if let Some(later) = shift.strip_prefix('+') {
        -duration_ns(later)?
    } else {
        duration_ns(shift.strip_prefix('-')?)?
    };
    Some(unit.map_or(TimeExpr::Ago(ago), |unit| TimeExpr::AgoFloor(ago, unit)))
}

fn duration_ns(text: &str) -> Option<i64> {
    i64::try_from(text::parse_duration(text)?.as_nanos()).ok()
}

/// Nanoseconds of an epoch. Seconds reach to the year 5138 and milliseconds begin in 1973, so no time that a log holds
/// is read in the wrong unit.
fn epoch(text: &str) -> Option<i64> {
    const UNITS: [(u64, i64); 3] =
        [(100_000_000_000, 1_000_000_000), (100_000_000_000_000, 1_000_000), (100_000_000_000_000_000, 1_000)];
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let decimal = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !decimal(whole) || !decimal(fraction) {
        return None;
    }
    let number: u64 = whole.parse().ok()?;
    let unit = UNITS.iter().find(|(below, _)| number < *below).map_or(1, |(_, unit)| *unit);
    // Nine digits are all that the largest unit can use.
    let fraction = &fraction[..fraction.len().min(9)];
    let parts = fraction.parse::<i64>().ok()? * unit / 10i64.pow(fraction.len() as u32);
    let ns = i64::try_from(number).ok()?.checked_mul(unit)?.checked_add(parts)?;
    Some(if text.starts_with('-') { -ns } else { ns })
}

fn calendar(text: &str) -> Option<i64> {
    let timestamp = match text.parse::<jiff::Timestamp>() {
        Ok(timestamp) => timestamp,
        Err(_) => TimeZone::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok()?,
    };
    i64::try_from(timestamp.as_nanosecond()).ok()
}

/// Prints a duration in nanoseconds so that it is read back exactly: `1h30m`, `250ms`, `100d1ns`.
pub fn format_duration_ns(ns: i64) -> String {
    const UNITS: [(&str, u64); 7] = [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];
    let mut rest = ns.unsigned_abs();
    let mut out = String::new();
    for (unit, size) in UNITS {
        if rest >= size {
            out.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

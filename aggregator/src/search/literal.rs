//! What a value that somebody wrote means for numbers and times.

use std::str::FromStr;

use logweir_proto::query::ast::{Literal, TimeExpr};
use logweir_proto::text::{parse_bytes, parse_duration};

/// A number as written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Int(v) => v as f64,
            Number::Float(v) => v,
        }
    }
}

/// The number that an unquoted literal is for `field`: a decimal, a duration in the unit of the field (milliseconds
/// unless its name ends in another unit), or a size in bytes.
pub fn number(literal: &Literal, field: &str) -> Option<Number> {
    if literal.quoted {
        return None;
    }
    let text = literal.text.as_str();
    if let Ok(number) = text.parse() {
        return Some(Number::Int(number));
    }
    if text.ends_with(|c: char| c.is_ascii_digit() || c == '.') {
        return text.parse().ok().filter(|number: &f64| number.is_finite()).map(Number::Float);
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if let Some(duration) = parse_duration(text) {
        return Some(whole(duration.as_secs_f64() * units_per_second(field)));
    }
    parse_bytes(text).and_then(|bytes| i64::try_from(bytes).ok()).map(Number::Int)
}

fn units_per_second(field: &str) -> f64 {
    match field.rsplit(['_', '.']).next() {
        Some("s" | "sec" | "secs" | "seconds") => 1.0,
        Some("us" | "micros") => 1e6,
        Some("ns" | "nanos") => 1e9,
        _ => 1e3,
    }
}

/// `250ms` is 250 and not 249.99999999999997.
fn whole(value: f64) -> Number {
    let rounded = value.round();
    if (value - rounded).abs() < 1e-6 && rounded.abs() < 9e15 { Number::Int(rounded as i64) } else { Number::Float(value) }
}

/// The instant that a literal is: RFC 3339 or a date, seconds to nanoseconds since the epoch by magnitude, `now`,
/// `now-1h`, `-10m`.
pub fn time_ns(literal: &Literal, now_ns: i64) -> Option<i64> {
    time_expr(&literal.text).map(|time| time.resolve(now_ns))
}

fn time_expr(text: &str) -> Option<TimeExpr> {
    let text = text.trim();
    if let Ok(epoch) = text.parse::<i64>() {
        return Some(TimeExpr::At(epoch_ns(epoch)));
    }
    if let Some(rest) = text.strip_prefix("now") {
        return match rest.as_bytes().first() {
            None => Some(TimeExpr::Ago(0)),
            Some(b'-') => duration_ns(&rest[1..]).map(TimeExpr::Ago),
            Some(b'+') => duration_ns(&rest[1..]).map(|ns| TimeExpr::Ago(-ns)),
            Some(_) => None,
        };
    }
    if let Some(ns) = duration_ns(text.strip_prefix('-').unwrap_or(text)) {
        return Some(TimeExpr::Ago(ns));
    }
    at(text).map(TimeExpr::At)
}

fn duration_ns(text: &str) -> Option<i64> {
    parse_duration(text).and_then(|duration| i64::try_from(duration.as_nanos()).ok())
}

fn epoch_ns(epoch: i64) -> i64 {
    let unit = match epoch.unsigned_abs() {
        0..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    epoch.saturating_mul(unit)
}

/// An absolute time; without a zone it is UTC.
fn at(text: &str) -> Option<i64> {
    let utc = jiff::tz::TimeZone::UTC;
    let time = jiff::Timestamp::from_str(text)
        .ok()
        .or_else(|| jiff::civil::DateTime::from_str(text).ok()?.to_zoned(utc.clone()).ok().map(|zoned| zoned.timestamp()))
        .or_else(|| {
            // Minutes and a zone without seconds: `2026-11-01T10:00Z`.
            let minutes = text.strip_suffix('Z')?;
            jiff::civil::DateTime::from_str(minutes).ok()?.to_zoned(utc).ok().map(|zoned| zoned.timestamp())
        })?;
    i64::try_from(time.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use logweir_proto::query::ast::Span;

    use super::*;

    fn literal(text: &str) -> Literal {
        Literal { text: text.to_owned(), quoted: false, span: Span::default() }
    }

    #[test]
    fn numbers_have_the_unit_of_their_field() {
        let cases = [
            ("500", "status", Some(Number::Int(500))),
            ("-3", "n", Some(Number::Int(-3))),
            ("1.5", "n", Some(Number::Float(1.5))),
            ("250ms", "duration_ms", Some(Number::Int(250))),
            ("1.5s", "took", Some(Number::Int(1500))),
            ("2m", "age_seconds", Some(Number::Int(120))),
            ("10MB", "bytes", Some(Number::Int(10_000_000))),
            ("4KiB", "bytes", Some(Number::Int(4096))),
            ("error", "level", None),
            ("1e999", "n", None),
            ("inf", "n", None),
        ];
        for (text, field, number_) in cases {
            assert_eq!(number(&literal(text), field), number_, "{text}");
        }
        assert_eq!(number(&Literal { quoted: true, ..literal("500") }, "status"), None);
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        const NOW: i64 = 1_700_000_000_000_000_000;
        let cases = [
            ("now", Some(NOW)),
            ("now-1h", Some(NOW - 3_600_000_000_000)),
            ("-10m", Some(NOW - 600_000_000_000)),
            ("1700000000", Some(NOW)),
            ("1700000000000", Some(NOW)),
            ("2023-11-14T22:13:20Z", Some(NOW)),
            ("2023-11-14T22:13:20+00:00", Some(NOW)),
            ("2023-11-14T22:13Z", Some(NOW - 20_000_000_000)),
            ("2023-11-14", Some(NOW - 80_000_000_000_000)),
            ("yesterday", None),
        ];
        for (text, ns) in cases {
            assert_eq!(time_ns(&literal(text), NOW), ns, "{text}");
        }
    }
}

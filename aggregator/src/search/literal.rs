//! What a number that somebody wrote means for a field.

use logweir_proto::query::ast::Literal;
use logweir_proto::text::parse_duration;

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
    let text = literal.text.as_str();
    let value = literal.as_f64()?;
    let per_second = units_per_second(field);
    if per_second != 1e3 && parse_duration(text.trim_start_matches(['-', '+'])).is_some() {
        return Some(whole(value * per_second / 1e3));
    }
    Some(literal.as_i64().map_or(Number::Float(value), Number::Int))
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
    if (value - rounded).abs() < 1e-6 && rounded.abs() < 9e15 {
        Number::Int(rounded as i64)
    } else {
        Number::Float(value)
    }
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
            ("-5ms", "duration_us", Some(Number::Int(-5000))),
            ("inf", "n", None),
        ];
        for (text, field, number_) in cases {
            assert_eq!(number(&literal(text), field), number_, "{text}");
        }
        assert_eq!(number(&Literal { quoted: true, ..literal("500") }, "status"), None);
    }
}

//! Printing a value as the line spelled it: the one routine that checks a skeleton and that rebuilds a line from it.

use std::io::Write;

use crate::parse::line::Spelling;
pub(super) use crate::parse::number::canonical;
pub use crate::parse::time::format_time as put_time;

/// Most decimals that are printed: more are no number that a logger writes.
pub const DECIMALS_MAX: u8 = 18;

/// A value of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    Str(&'a str),
    Int(i64),
    Float(f64),
    Bool(bool),
}

/// Appends the value in its spelling; `false` when it cannot be spelled so (then what was appended is worthless).
pub fn put(out: &mut Vec<u8>, cell: Cell<'_>, spelling: Spelling) -> bool {
    match (spelling, cell) {
        (Spelling::Plain, cell) => put_plain(out, cell),
        (Spelling::JsonString, Cell::Str(text)) => put_json(out, text),
        (Spelling::JsonString, cell) => put_plain(out, cell),
        (Spelling::SecondsFixed { decimals }, Cell::Int(ms)) => return put_fixed(out, ms as f64 / 1000.0, decimals),
        (Spelling::SecondsFixed { decimals }, Cell::Float(ms)) => return put_fixed(out, ms / 1000.0, decimals),
        (Spelling::Fixed { decimals }, Cell::Float(value)) => return put_fixed(out, value, decimals),
        (Spelling::Fixed { decimals }, Cell::Int(value)) => return put_fixed(out, value as f64, decimals),
        // Times that are ordinary fields are stored as they were written.
        _ => return false,
    }
    true
}

#[inline]
fn put_plain(out: &mut Vec<u8>, cell: Cell<'_>) {
    match cell {
        Cell::Str(text) => out.extend_from_slice(text.as_bytes()),
        Cell::Int(value) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
        Cell::Float(value) => out.extend_from_slice(ryu::Buffer::new().format(value).as_bytes()),
        Cell::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
    }
}

fn put_fixed(out: &mut Vec<u8>, value: f64, decimals: u8) -> bool {
    put_fixed_small(out, value, decimals)
        || decimals <= DECIMALS_MAX && value.is_finite() && write!(out, "{value:.*}", usize::from(decimals)).is_ok()
}

/// The same for the numbers of log lines, by integers: `false`, and nothing is appended, where that could differ.
fn put_fixed_small(out: &mut Vec<u8>, value: f64, decimals: u8) -> bool {
    const POWERS: [u64; 10] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];
    const SCALED_MAX: f64 = (1u64 << 40) as f64;
    // The product is off by less than a thousandth below the limit: only halves, which this leaves alone, need more.
    const DOUBTFUL: f64 = 0.25;
    let Some(power) = POWERS.get(usize::from(decimals)) else { return false };
    let scaled = value * *power as f64;
    let whole = scaled.round();
    if value.is_sign_negative() || scaled >= SCALED_MAX || (scaled - whole).abs() > DOUBTFUL || value.is_nan() {
        return false;
    }
    let whole = whole as u64;
    out.extend_from_slice(itoa::Buffer::new().format(whole / power).as_bytes());
    if decimals > 0 {
        out.push(b'.');
        let mut power = power / 10;
        while power > 0 {
            out.push(b'0' + (whole / power % 10) as u8);
            power /= 10;
        }
    }
    true
}

/// Whether a JSON string writes this byte in another way than as it is.
const fn is_escaped(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// The content of a JSON string, escaped as `serde_json` escapes.
pub fn put_json(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut from = 0;
    for (i, &byte) in bytes.iter().enumerate() {
        if !is_escaped(byte) {
            continue;
        }
        out.extend_from_slice(&bytes[from..i]);
        from = i + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.extend_from_slice(&[
                b'\\',
                b'u',
                b'0',
                b'0',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]),
        }
    }
    out.extend_from_slice(&bytes[from..]);
}

/// Whether the value in its spelling is exactly `written`. `scratch` is reused between calls.
#[inline]
pub fn is_spelled(cell: Cell<'_>, spelling: Spelling, written: &[u8], scratch: &mut Vec<u8>) -> bool {
    /// Below it every whole number is a float, and printed by its digits.
    const WHOLE_MAX: i64 = 1 << 40;
    match (cell, spelling) {
        // To read a number costs less than to print one.
        (Cell::Int(value), Spelling::Plain) => {
            if let Some(number) = canonical(written) {
                return number == value;
            }
        }
        (Cell::Float(value), Spelling::Fixed { decimals: 0 }) => {
            let number = canonical(written).filter(|number| *number < WHOLE_MAX);
            if number.is_some_and(|number| number as f64 == value && value.is_sign_positive()) {
                return true;
            }
        }
        (Cell::Str(text), Spelling::Plain) => return text.as_bytes() == written,
        (Cell::Str(text), Spelling::JsonString) if text.len() == written.len() => {
            return text.as_bytes() == written && !written.iter().any(|b| is_escaped(*b));
        }
        _ => {}
    }
    scratch.clear();
    put(scratch, cell, spelling) && scratch == written
}

/// Text that is valid UTF-8, or a copy in which each other byte stands as `\xNN`: escaped, never replaced.
pub fn escape_invalid(mut bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 16);
    while !bytes.is_empty() {
        match std::str::from_utf8(bytes) {
            Ok(valid) => {
                out.push_str(valid);
                break;
            }
            Err(error) => {
                let (valid, rest) = bytes.split_at(error.valid_up_to());
                out.push_str(std::str::from_utf8(valid).unwrap_or_default());
                let bad = error.error_len().unwrap_or(rest.len()).max(1).min(rest.len());
                for byte in &rest[..bad] {
                    out.push_str(&format!("\\x{byte:02x}"));
                }
                bytes = &rest[bad..];
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_printed_as_they_were_spelled() {
        for (cell, spelling, want) in [
            (Cell::Str("a b"), Spelling::Plain, "a b"),
            (Cell::Str("a\"\n\u{1}"), Spelling::JsonString, "a\\\"\\n\\u0001"),
            (Cell::Int(-7), Spelling::Plain, "-7"),
            (Cell::Float(1.0), Spelling::Plain, "1.0"),
            (Cell::Bool(true), Spelling::Plain, "true"),
            (Cell::Float(123.0), Spelling::SecondsFixed { decimals: 3 }, "0.123"),
            (Cell::Int(1500), Spelling::SecondsFixed { decimals: 3 }, "1.500"),
            (Cell::Float(0.5), Spelling::Fixed { decimals: 2 }, "0.50"),
        ] {
            let mut out = Vec::new();
            assert!(put(&mut out, cell, spelling));
            assert_eq!(String::from_utf8_lossy(&out), want);
            assert!(is_spelled(cell, spelling, want.as_bytes(), &mut Vec::new()));
            assert!(!is_spelled(cell, spelling, b"another", &mut Vec::new()));
        }
    }

    proptest! {
        #[test]
        fn to_read_a_number_says_what_to_print_it_says(
            value in prop_oneof![any::<i64>(), -20i64..2000],
            written in prop_oneof!["[0-9]{0,5}", "-?[0-9]{1,20}", "[0-9]{1,4}\\.[0-9]"],
        ) {
            for written in [written, value.to_string()] {
                let cells = [(Cell::Int(value), Spelling::Plain), (Cell::Float(value as f64), Spelling::Fixed { decimals: 0 })];
                for (cell, spelling) in cells {
                    let mut printed = Vec::new();
                    let want = put(&mut printed, cell, spelling) && printed == written.as_bytes();
                    prop_assert_eq!(is_spelled(cell, spelling, written.as_bytes(), &mut Vec::new()), want, "{}", written);
                }
            }
        }

        #[test]
        fn fixed_decimals_are_those_of_the_formatter(
            value in prop_oneof![any::<f64>(), -1e4..1e4f64, (0u32..2_000_000).prop_map(|n| f64::from(n) / 1e3),
                (0u32..100_000).prop_map(|n| f64::from(n) / 8.0)],
            decimals in 0u8..20,
        ) {
            let mut out = Vec::new();
            let want = decimals <= DECIMALS_MAX && value.is_finite();
            prop_assert_eq!(put_fixed(&mut out, value, decimals), want);
            if want {
                prop_assert_eq!(String::from_utf8_lossy(&out), format!("{value:.*}", usize::from(decimals)));
            }
        }

        #[test]
        fn json_strings_are_escaped_as_serde_json_does(text in any::<String>()) {
            let mut out = vec![b'"'];
            put_json(&mut out, &text);
            out.push(b'"');
            prop_assert_eq!(out, serde_json::to_vec(&text).unwrap());
        }

        #[test]
        fn invalid_bytes_are_escaped_and_valid_text_is_left_alone(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let text = escape_invalid(&bytes);
            match std::str::from_utf8(&bytes) {
                Ok(valid) => prop_assert_eq!(text, valid),
                Err(_) => prop_assert!(text.contains("\\x")),
            }
        }
    }
}

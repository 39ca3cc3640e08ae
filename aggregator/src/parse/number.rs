//! Numbers as they stand in a line, with the spelling that prints them back.

use super::line::{Spelling, Value};

/// Significant digits that survive a trip through an `f64`.
const EXACT_DIGITS: usize = 15;

/// An integer or a decimal. `None` for what is neither, or does not fit: such text is kept as text.
///
/// A number whose spelling has no name here (`1e3`, `007`) is given as [`Spelling::Plain`]: the store sees that it
/// prints differently and keeps the line.
pub(super) fn parse(text: &[u8]) -> Option<(Value, Spelling)> {
    match integer(text) {
        Some(0) if text == b"-0" => return Some((Value::Float(-0.0), Spelling::Fixed { decimals: 0 })),
        Some(value) => return Some((Value::Int(value), Spelling::Plain)),
        None if unsigned(text).iter().all(u8::is_ascii_digit) => return None,
        None => {}
    }
    let (value, spelling) = decimal(text)?;
    Some((Value::Float(value), spelling))
}

fn unsigned(text: &[u8]) -> &[u8] {
    match text {
        [b'-', rest @ ..] => rest,
        _ => text,
    }
}

/// A whole number that fits.
#[inline]
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let digits = unsigned(text);
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let negative = digits.len() < text.len();
    if digits.len() < 19 {
        // No sum of so few digits overflows.
        let value = whole(digits)? as i64;
        return Some(if negative { -value } else { value });
    }
    digits.iter().try_fold(0i64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        let sum = sum.checked_mul(10)?;
        if negative { sum.checked_sub(digit) } else { sum.checked_add(digit) }
    })
}

/// The number that is printed as `written`; `None` for others than small whole ones.
#[inline]
pub(crate) fn canonical(written: &[u8]) -> Option<i64> {
    const DIGITS_MAX: usize = 18;
    let leading_zero = written.len() > 1 && written[0] == b'0';
    if written.is_empty() || written.len() > DIGITS_MAX || leading_zero {
        return None;
    }
    written.iter().try_fold(0, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| number * 10 + i64::from(digit))
    })
}

/// The whole number that is printed as `written`.
#[inline]
pub(super) fn printed(written: &[u8]) -> Option<i64> {
    canonical(written).or_else(|| integer(written).filter(|_| unsigned(written).first() != Some(&b'0')))
}

/// The number that at most 19 digits are.
#[inline]
fn whole(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| sum.wrapping_mul(10).wrapping_add(u64::from(digit)))
    })
}

/// A decimal of so few digits that its float is one exact division, and how many digits follow the point.
fn decimal_short(text: &[u8]) -> Option<(f64, usize)> {
    const POWERS: [f64; EXACT_DIGITS] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14];
    let digits = unsigned(text);
    if digits.is_empty() || digits.len() > EXACT_DIGITS {
        return None;
    }
    let dot = digits.iter().position(|byte| *byte == b'.');
    let (value, decimals) = match dot {
        None => (whole(digits)? as f64, 0),
        Some(dot) => {
            let decimals = digits.len() - dot - 1;
            if dot == 0 || decimals == 0 {
                return None;
            }
            let power = POWERS[decimals];
            ((whole(&digits[..dot])? * power as u64 + whole(&digits[dot + 1..])?) as f64 / power, decimals)
        }
    };
    Some((if digits.len() < text.len() { -value } else { value }, decimals))
}

/// Any number as a float, for fields that are always floats: an integer is one with no decimals.
pub(super) fn decimal(text: &[u8]) -> Option<(f64, Spelling)> {
    let (value, decimals) = match decimal_short(text) {
        Some(short) => short,
        None => {
            if !text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) {
                return None;
            }
            let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
            if !value.is_finite() {
                return None;
            }
            if text.iter().any(|byte| matches!(byte, b'e' | b'E')) {
                return Some((value, Spelling::Plain));
            }
            (value, memchr::memchr(b'.', text).map_or(0, |dot| text.len() - dot - 1))
        }
    };
    let shortest = decimals > 0 && text.len() <= EXACT_DIGITS && !text.ends_with(b"0");
    let spelling = if shortest { Spelling::Plain } else { Spelling::Fixed { decimals: u8::try_from(decimals).ok()? } };
    Some((value, spelling))
}

/// Seconds with a fraction as milliseconds.
pub(super) fn milliseconds(text: &[u8]) -> Option<(f64, Spelling)> {
    let (seconds, _) = decimal(text)?;
    let decimals = memchr::memchr(b'.', text).map_or(0, |dot| text.len() - dot - 1);
    Some((without_dust(seconds * 1e3), Spelling::SecondsFixed { decimals: decimals.min(9) as u8 }))
}

/// A number of at most six decimals, without what binary fractions leave behind them.
pub(super) fn without_dust(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn short_decimals_are_what_the_library_reads(text in "-?[0-9]{0,9}\\.?[0-9]{0,8}") {
            if let Some((value, _)) = decimal_short(text.as_bytes()) {
                let want: f64 = text.parse().expect("a number");
                proptest::prop_assert_eq!(value.to_bits(), want.to_bits(), "{}", text);
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn a_number_that_is_printed_as_it_is_written_is_told_by_it(text in "-?0?[0-9]{0,20}") {
            let want = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
            proptest::prop_assert_eq!(printed(text.as_bytes()), want, "{}", text);
        }
    }

    #[test]
    fn numbers_know_how_they_were_spelled() {
        let fixed = |decimals| Spelling::Fixed { decimals };
        for (text, want) in [
            ("0", Some((Value::Int(0), Spelling::Plain))),
            ("-42", Some((Value::Int(-42), Spelling::Plain))),
            ("9223372036854775807", Some((Value::Int(i64::MAX), Spelling::Plain))),
            ("-9223372036854775808", Some((Value::Int(i64::MIN), Spelling::Plain))),
            ("9223372036854775808", None),
            ("12.5", Some((Value::Float(12.5), Spelling::Plain))),
            ("1.0", Some((Value::Float(1.0), fixed(1)))),
            ("0.050", Some((Value::Float(0.05), fixed(3)))),
            ("1e3", Some((Value::Float(1000.0), Spelling::Plain))),
            ("1e999", None),
            ("1-2", None),
            ("", None),
            ("-", None),
            ("abc", None),
        ] {
            assert_eq!(parse(text.as_bytes()), want, "{text}");
        }
        assert_eq!(decimal(b"12"), Some((12.0, fixed(0))));
    }
}

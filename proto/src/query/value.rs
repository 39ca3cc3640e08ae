//! What a literal of a query means: a number with its unit, a level, a truth, a point in time, a wildcard pattern.

mod time;

use super::ast::Literal;
use crate::record::Level;
use crate::text;

pub use time::{format_duration_ns, parse_time, parse_time_expr};

/// Every whole number below this is exact as a float.
const EXACT_FLOAT_MAX: f64 = 9_007_199_254_740_992.0;

impl Literal {
    /// A whole number. With a unit it is milliseconds or bytes, as in [`Literal::as_f64`].
    pub fn as_i64(&self) -> Option<i64> {
        if self.quoted {
            return None;
        }
        if let Ok(number) = self.text.parse() {
            return Some(number);
        }
        let number = self.as_f64()?;
        (number.fract() == 0.0 && number.abs() < EXACT_FLOAT_MAX).then_some(number as i64)
    }

    /// A number; a duration (`1.5s`) is milliseconds, a size (`10MB`) is bytes.
    pub fn as_f64(&self) -> Option<f64> {
        if self.quoted { None } else { number(&self.text) }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match () {
            () if self.quoted => None,
            () if self.text.eq_ignore_ascii_case("true") => Some(true),
            () if self.text.eq_ignore_ascii_case("false") => Some(false),
            () => None,
        }
    }

    /// A level by its name, or by the number that pino and bunyan give it (10 to 60). Those of syslog are not taken: there
    /// a greater number is less severe.
    pub fn as_level(&self) -> Option<Level> {
        if self.quoted {
            return None;
        }
        let number = self.text.parse().ok().filter(|number| (10..=60).contains(number));
        number.map_or_else(|| Level::parse(self.text.as_bytes()), Level::from_pino)
    }

    /// Nanoseconds since the epoch, see [`parse_time`]. Quotes make no difference: RFC 3339 is often quoted.
    pub fn as_time(&self, now_ns: i64) -> Option<i64> {
        parse_time(&self.text, now_ns)
    }
}

fn number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    // Rust also reads `inf`, `nan` and `infinity`: these are words here.
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let value = if let Ok(number) = digits.parse::<f64>() {
        number
    } else if let Some(duration) = text::parse_duration(digits) {
        duration.as_nanos() as f64 / 1e6
    } else {
        text::parse_bytes(digits)? as f64
    };
    let signed = if text.starts_with('-') { -value } else { value };
    signed.is_finite().then_some(signed)
}

/// The regular expression that a wildcard pattern stands for: `*` is any run of characters, `?` is one, a backslash
/// takes the next literally. Case-insensitive; anchored at both ends unless the pattern begins and ends with `*`.
pub fn glob_to_regex(glob: &str) -> String {
    let mut out = String::from("(?is)");
    let mut parts: Vec<Part> = Vec::new();
    let mut chars = glob.chars();
    while let Some(c) = chars.next() {
        parts.push(match c {
            '*' => Part::Run,
            '?' => Part::One,
            '\\' => Part::Char(chars.next().unwrap_or('\\')),
            c => Part::Char(c),
        });
    }
    let runs = parts.iter().take_while(|part| **part == Part::Run).count();
    let substring = runs > 0 && parts.last() == Some(&Part::Run);
    if substring {
        parts.drain(..runs);
        while parts.last() == Some(&Part::Run) {
            parts.pop();
        }
    } else {
        out.push('^');
    }
    for part in parts {
        match part {
            Part::Run => out.push_str(".*"),
            Part::One => out.push('.'),
            Part::Char(c) => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    if !substring {
        out.push('$');
    }
    out
}

#[derive(PartialEq)]
enum Part {
    Run,
    One,
    Char(char),
}

#[cfg(test)]
mod tests;

//! A quick yes for lines that are JSON objects.
//!
//! What it takes is valid JSON; what it does not take may be: then the slow way decides and says what is wrong. It
//! leaves to the slow way whatever is rare, so that it has one pass and no recursion.

use super::Want;
use super::shapes::Value;
use crate::equal::equal;
use crate::quotes;

/// Deepest nesting of an object that is taken.
pub const JSON_DEPTH_MAX: usize = 32;

const _: () = assert!(JSON_DEPTH_MAX < 64, "a bit for each level");

/// Goes through a line.
pub(super) struct Check<'a> {
    text: &'a [u8],
    at: usize,
    escaped: bool,
}

impl<'a> Check<'a> {
    pub(super) fn new(text: &'a [u8]) -> Check<'a> {
        Check { text, at: 0, escaped: false }
    }

    /// How far it was gone through.
    #[inline]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Whether a text had a backslash.
    #[inline]
    pub(super) fn has_escapes(&self) -> bool {
        self.escaped
    }

    /// What was not gone through.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }
}

impl Check<'_> {
    /// These bytes.
    #[inline(always)]
    pub(super) fn literal(&mut self, literal: &[u8]) -> bool {
        let from = self.at;
        self.at += literal.len();
        self.text.get(from..self.at).is_some_and(|bytes| equal(bytes, literal))
    }

    /// One value of a kind; of a text what follows the opening quote.
    #[inline(always)]
    pub(super) fn one(&mut self, want: Want) -> Option<()> {
        match want {
            Want::Text => self.string(),
            Want::Number => {
                let first = self.next()?;
                self.number(first)
            }
            Want::Word => match self.next()? {
                b't' => self.word(b"rue"),
                b'f' => self.word(b"alse"),
                b'n' => self.word(b"ull"),
                _ => None,
            },
        }
    }

    /// One value and nothing behind it; adds the values in it that hold no others to `found`.
    pub(super) fn value(&mut self, found: &mut Vec<Value>) -> Option<()> {
        // One bit for each level that is open: whether it is an object.
        let (mut open, mut depth) = (0u64, 0usize);
        loop {
            match self.next()? {
                bracket @ (b'{' | b'[') => {
                    depth += 1;
                    if depth > JSON_DEPTH_MAX {
                        return None;
                    }
                    let object = bracket == b'{';
                    open = open << 1 | u64::from(object);
                    self.space();
                    if self.peek() != Some(if object { b'}' } else { b']' }) {
                        if object {
                            self.key()?;
                        }
                        continue;
                    }
                }
                first => {
                    let (want, start) = match first {
                        b'"' => (Want::Text, self.at),
                        b'-' | b'0'..=b'9' => (Want::Number, self.at - 1),
                        b't' | b'f' | b'n' => (Want::Word, self.at - 1),
                        _ => return None,
                    };
                    self.at = start;
                    self.one(want)?;
                    found.push(Value { start, end: self.at, want });
                }
            }
            loop {
                self.space();
                if depth == 0 {
                    return (self.at == self.text.len()).then_some(());
                }
                match (self.next()?, open & 1 == 1) {
                    (b',', object) => {
                        self.space();
                        if object {
                            self.key()?;
                        }
                        break;
                    }
                    (b'}', true) | (b']', false) => {
                        depth -= 1;
                        open >>= 1;
                    }
                    _ => return None,
                }
            }
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    fn space(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    /// A key and its colon, up to its value.
    #[inline]
    fn key(&mut self) -> Option<()> {
        if self.next()? != b'"' {
            return None;
        }
        self.string()?;
        self.space();
        if self.next()? != b':' {
            return None;
        }
        self.space();
        Some(())
    }

    /// What follows the opening quote, up to and with the closing one.
    #[inline(always)]
    fn string(&mut self) -> Option<()> {
        let found = quotes::stop(self.text, self.at)?;
        self.at = found + 1;
        if self.text[found] == b'"' { Some(()) } else { self.string_with_escapes() }
    }

    /// What follows the first backslash of a string.
    #[inline(never)]
    fn string_with_escapes(&mut self) -> Option<()> {
        self.escaped = true;
        loop {
            match self.next()? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                b'u' => {
                    let digits = self.text.get(self.at..self.at + 4)?;
                    if !digits.iter().all(u8::is_ascii_hexdigit) {
                        return None;
                    }
                    self.at += 4;
                }
                _ => return None,
            }
            let found = quotes::stop(self.text, self.at)?;
            self.at = found + 1;
            if self.text[found] == b'"' {
                return Some(());
            }
        }
    }

    fn word(&mut self, rest: &[u8]) -> Option<()> {
        self.literal(rest).then_some(())
    }

    #[inline]
    fn digits(&mut self) -> usize {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - from
    }

    #[inline]
    fn number(&mut self, first: u8) -> Option<()> {
        let first = if first == b'-' { self.next()? } else { first };
        match first {
            // No zero stands before another digit.
            b'0' => {}
            b'1'..=b'9' => drop(self.digits()),
            _ => return None,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return None;
            }
        }
        // Numbers may be out of a float's range with an exponent: the slow way knows.
        (!matches!(self.peek(), Some(b'e' | b'E' | b'0'..=b'9'))).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::super::shapes::Shapes;
    use super::*;

    fn is_object(text: &[u8]) -> bool {
        Shapes::default().object(text).is_some()
    }

    fn agrees(text: &str) -> Result<(), TestCaseError> {
        if is_object(text.as_bytes()) {
            prop_assert!(serde_json::from_str::<&RawValue>(text).is_ok(), "{}", text);
            prop_assert_eq!(text.as_bytes()[0], b'{');
        }
        Ok(())
    }

    #[test]
    fn lines_of_loggers_are_taken_and_others_are_left_to_the_slow_way() {
        for (text, want) in [
            ("{}", true),
            (r#"{"a":1,"b":-0.5,"c":"x\"\\\u00e9ü","d":[1,[],{"e":null}],"f":true,"g":{}}"#, true),
            (r#" {"a":1}"#, false),
            (r#"{ "a" : [ 1 , false ] } "#, true),
            (r#"{"a":01}"#, false),
            (r#"{"a":1e3}"#, false),
            (r#"{"a":.5}"#, false),
            (r#"{"a":"\x"}"#, false),
            (r#"{"a":"\u12g4"}"#, false),
            (r#"{"a":1,}"#, false),
            (r#"{"a"}"#, false),
            (r#"{"a":[1}"#, false),
            (r#"{"a":1}}"#, false),
            (r#"{"a":1"#, false),
            ("{\"a\":\"\t\"}", false),
            ("[1]", false),
            ("", false),
        ] {
            assert_eq!(is_object(text.as_bytes()), want, "{text}");
        }
        let nested = |depth: usize| format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_object(nested(JSON_DEPTH_MAX - 1).as_bytes()));
        assert!(!is_object(nested(JSON_DEPTH_MAX).as_bytes()));
    }

    proptest! {
        #[test]
        fn what_is_taken_is_json(text in r#"\{("[a\\"]{0,3}":)?[\[\]{}",:a0-9.eE\\/u\- ntruefals]{0,40}\}"#) {
            agrees(&text)?;
        }

        #[test]
        fn a_byte_changed_in_json_is_noticed(at in 0usize..70, byte in 0x20u8..0x7f) {
            let mut text = br#"{"a":"b\n\u0041","c":[1,2.5,{"d":null}],"e":-10,"f":{"g":[true]}}"#.to_vec();
            let at = at % text.len();
            text[at] = byte;
            agrees(std::str::from_utf8(&text).expect("ASCII"))?;
        }
    }
}

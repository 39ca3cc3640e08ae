//! Where the values of a JSON object are: a scanner that records spans and builds nothing.
//!
//! Nested objects are walked; each leaf has the dotted path of its keys. Arrays, and objects below
//! [`DEPTH_MAX`], are leaves with their JSON text. The scanner is strict where keys and values begin and end, and
//! lenient within numbers and strings: what it accepts is kept byte for byte anyway.

use super::keys::{KeyId, Keys};
use super::unescape::unescape;
use crate::names::{NAME_BYTES_MAX, Names};
use crate::quotes;

/// Nesting that is flattened into dotted names.
pub(super) const DEPTH_MAX: usize = 32;

/// Leaves of one line that are looked at; further ones are counted and stay in the raw line.
pub(super) const LEAVES_MAX: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The span is the content without its quotes.
    String {
        escaped: bool,
    },
    Number,
    Bool(bool),
    Null,
    /// An array, or an object that is too deep.
    Compound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) key: KeyId,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: Kind,
}

/// The leaves of one object, reused from line to line.
#[derive(Debug, Default)]
pub(super) struct Leaves {
    pub(super) list: Vec<Leaf>,
    pub(super) dropped: u32,
    path: Vec<u8>,
}

/// Fills `leaves` with those of `text`; false when `text` is not one JSON object. [`Keys::begin`] comes before it.
pub(super) fn scan(text: &[u8], keys: &mut Keys, names: &mut Names, leaves: &mut Leaves) -> bool {
    leaves.list.clear();
    leaves.path.clear();
    leaves.dropped = 0;
    let mut scanner = Scanner { text, at: 0, keys, names, leaves };
    scanner.space();
    if !scanner.eat(b'{') || scanner.object(1).is_none() {
        return false;
    }
    scanner.space();
    scanner.at == text.len()
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    keys: &'a mut Keys,
    names: &'a mut Names,
    leaves: &'a mut Leaves,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let yes = self.peek() == Some(byte);
        self.at += usize::from(yes);
        yes
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// What follows `{`, up to and with `}`.
    fn object(&mut self, depth: usize) -> Option<()> {
        let outer = self.leaves.path.len();
        self.space();
        if self.eat(b'}') {
            return Some(());
        }
        loop {
            self.space();
            self.key(outer)?;
            self.space();
            if !self.eat(b':') {
                return None;
            }
            self.space();
            self.value(depth)?;
            self.leaves.path.truncate(outer);
            self.space();
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    /// Appends a key to the path.
    fn key(&mut self, outer: usize) -> Option<()> {
        let (start, end, escaped) = self.string()?;
        let path = &mut self.leaves.path;
        if path.len() + (end - start) >= 2 * NAME_BYTES_MAX {
            // The path is too long for a name already: that is all that must be known of it.
            path.resize(2 * NAME_BYTES_MAX, b'_');
            return Some(());
        }
        if outer > 0 {
            path.push(b'.');
        }
        if escaped {
            unescape(&self.text[start..end], path);
        } else {
            path.extend_from_slice(&self.text[start..end]);
        }
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        let start = self.at;
        let (from, to, kind) = match self.peek()? {
            b'"' => {
                let (from, to, escaped) = self.string()?;
                (from, to, Kind::String { escaped })
            }
            b'{' if depth < DEPTH_MAX => {
                self.at += 1;
                return self.object(depth + 1);
            }
            b'{' | b'[' => {
                self.at = compound_end(self.text, start)?;
                (start, self.at, Kind::Compound)
            }
            b't' => (start, self.word(b"true")?, Kind::Bool(true)),
            b'f' => (start, self.word(b"false")?, Kind::Bool(false)),
            b'n' => (start, self.word(b"null")?, Kind::Null),
            b'-' | b'0'..=b'9' => {
                self.at = number_end(self.text, start)?;
                (start, self.at, Kind::Number)
            }
            _ => return None,
        };
        if self.leaves.list.len() < LEAVES_MAX {
            let key = self.keys.find(&self.leaves.path, self.names);
            self.leaves.list.push(Leaf { key, start: from, end: to, kind });
        } else {
            self.leaves.dropped += 1;
        }
        Some(())
    }

    fn word(&mut self, word: &[u8]) -> Option<usize> {
        self.text[self.at..].starts_with(word).then(|| {
            self.at += word.len();
            self.at
        })
    }

    /// The content of a string and whether it holds a backslash.
    fn string(&mut self) -> Option<(usize, usize, bool)> {
        if !self.eat(b'"') {
            return None;
        }
        let start = self.at;
        let (end, escaped) = string_end(self.text, start)?;
        self.at = end + 1;
        Some((start, end, escaped))
    }
}

/// Where the content of a string that begins at `at` ends, and whether it holds a backslash.
#[inline(always)]
pub(super) fn string_end(text: &[u8], at: usize) -> Option<(usize, bool)> {
    let found = quotes::stop(text, at)?;
    if text[found] == b'"' { Some((found, false)) } else { Some((escaped_end(text, found)?, true)) }
}

/// Where a string ends that has a backslash at `found`.
#[inline(never)]
fn escaped_end(text: &[u8], mut found: usize) -> Option<usize> {
    while text[found] == b'\\' {
        found = quotes::stop(text, found + 2)?;
    }
    Some(found)
}

/// Where a number that begins at `at` ends.
#[inline]
pub(super) fn number_end(text: &[u8], at: usize) -> Option<usize> {
    if !matches!(text.get(at)?, b'-' | b'0'..=b'9') {
        return None;
    }
    // Most numbers are digits alone.
    let digits = at + 1 + text[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let others =
        text[digits..].iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    Some(digits + others.count())
}

/// Where an array or an object that begins at `at` ends, by its brackets.
pub(super) fn compound_end(text: &[u8], mut at: usize) -> Option<usize> {
    let mut open = 0usize;
    loop {
        match text.get(at)? {
            b'"' => at = string_end(text, at + 1)?.0,
            b'{' | b'[' => open += 1,
            b'}' | b']' => open -= 1,
            _ => {}
        }
        at += 1;
        if open == 0 {
            return Some(at);
        }
    }
}

//! `key=value key="quoted \" value" flag`: logfmt, as Go's loggers, Heroku and the text handler of `slog` write it.
//!
//! The pairs are leaves like those of a JSON object, so keys mean the same in both. A flag, a word without `=`, stays in
//! the shape of the line.

use super::keys::Keys;
use super::scan::{Kind, LEAVES_MAX, Leaf, Leaves, string_end};
use crate::names::Names;
use crate::parse::number;

/// What a text holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::parse) struct Census {
    pub(in crate::parse) pairs: u32,
    pub(in crate::parse) flags: u32,
}

/// One word of a text: where its key ends and where its value is; no value for a flag.
struct Word {
    key: (usize, usize),
    value: Option<(usize, usize, bool)>,
    quoted: bool,
    end: usize,
}

/// Fills `leaves` with the pairs of `text`; false when its first word is none. [`Keys::begin`] comes before it.
pub(super) fn scan(text: &[u8], keys: &mut Keys, names: &mut Names, leaves: &mut Leaves) -> bool {
    leaves.list.clear();
    leaves.dropped = 0;
    let mut at = 0;
    while let Some(word) = word(text, at) {
        at = word.end;
        match word.value {
            None if leaves.list.is_empty() => return false,
            None => {}
            Some(_) if leaves.list.len() >= LEAVES_MAX => leaves.dropped += 1,
            Some((start, end, escaped)) => {
                let key = keys.find(&text[word.key.0..word.key.1], names);
                let value = &text[start..end];
                let kind = match value {
                    _ if word.quoted => Kind::String { escaped },
                    b"true" => Kind::Bool(true),
                    b"false" => Kind::Bool(false),
                    [b'-' | b'0'..=b'9', ..] if number::parse(value).is_some() => Kind::Number,
                    _ => Kind::String { escaped: false },
                };
                leaves.list.push(Leaf { key, start, end, kind });
            }
        }
    }
    !leaves.list.is_empty()
}

/// Whether a text begins with a pair.
pub(in crate::parse) fn begins(text: &[u8]) -> bool {
    word(text, 0).is_some_and(|word| word.value.is_some())
}

/// How many pairs and flags a text has; `None` when it begins with no pair.
pub(in crate::parse) fn census(text: &[u8]) -> Option<Census> {
    let mut census = Census::default();
    let mut at = 0;
    while let Some(word) = word(text, at) {
        at = word.end;
        match word.value {
            Some(_) => census.pairs += 1,
            None if census.pairs == 0 => return None,
            None => census.flags += 1,
        }
    }
    (census.pairs > 0).then_some(census)
}

/// The next word from `at` on.
fn word(text: &[u8], at: usize) -> Option<Word> {
    let start = at + text.get(at..)?.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let rest = text.get(start..).filter(|rest| !rest.is_empty())?;
    let is_key = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-/@$%:".contains(byte);
    let len = rest.iter().take_while(|byte| is_key(byte)).count();
    let begins = rest[0].is_ascii_alphabetic() || matches!(rest[0], b'_' | b'@' | b'$');
    let until_blank = |from: usize| {
        let len = text[from..].iter().take_while(|byte| !byte.is_ascii_whitespace()).count();
        from + len
    };
    if !begins || len == 0 || rest.get(len) != Some(&b'=') {
        return Some(Word { key: (start, start), value: None, quoted: false, end: until_blank(start).max(start + 1) });
    }
    let key = (start, start + len);
    let from = start + len + 1;
    if text.get(from) == Some(&b'"')
        && let Some((end, escaped)) = string_end(text, from + 1)
        && text.get(end + 1).is_none_or(u8::is_ascii_whitespace)
    {
        return Some(Word { key, value: Some((from + 1, end, escaped)), quoted: true, end: end + 1 });
    }
    let end = until_blank(from);
    Some(Word { key, value: Some((from, end, false)), quoted: false, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_and_flags_are_counted() {
        for (text, want) in [
            ("a=1 b=\"x y\" c=", Some((3, 0))),
            ("level=info msg=\"he said \\\"no\\\"\" dry", Some((2, 1))),
            ("@t=1\tb=", Some((2, 0))),
            ("a=\"not closed b=2", Some((2, 1))),
            ("a=b=c", Some((1, 0))),
            ("then a=1", None),
            ("1=2", None),
            ("=x", None),
            ("  ", None),
            ("", None),
        ] {
            assert_eq!(census(text.as_bytes()).map(|found| (found.pairs, found.flags)), want, "{text}");
        }
    }
}

//! Detectors that begin with a word: bearer tokens and JWTs, keys of AWS, passwords. One pass looks for all words.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::detect::Found;

/// A shorter word after `Bearer` is a token only if it has a digit.
const TOKEN_BYTES_MIN: usize = 8;
/// Characters of a key's name after the word that gives it away: `secret_access_key`.
const NAME_BYTES_MAX: usize = 24;
/// Longest user and password in a URL.
const USERINFO_BYTES_MAX: usize = 512;
const AWS_ID_BYTES: usize = 20;

/// What a word may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Bearer,
    Basic,
    Jwt,
    AwsId,
    AwsSecret,
    /// A name that means a password however it is written: `password: x`.
    Password,
    /// A name that means a secret only as a key: `token=x`, `"token": "x"`.
    Secret,
    /// The same for a word that is too short to be part of a name.
    Exact,
    /// `://user:password@host`
    Url,
}

/// Which detector a word belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Bearer,
    Aws,
    Password,
}

const WORDS: [(&str, Word, Family); 23] = [
    ("bearer", Word::Bearer, Family::Bearer),
    ("basic", Word::Basic, Family::Bearer),
    ("eyj", Word::Jwt, Family::Bearer),
    ("akia", Word::AwsId, Family::Aws),
    ("asia", Word::AwsId, Family::Aws),
    ("secret_access_key", Word::AwsSecret, Family::Aws),
    ("secretaccesskey", Word::AwsSecret, Family::Aws),
    ("password", Word::Password, Family::Password),
    ("passwd", Word::Password, Family::Password),
    ("passwort", Word::Password, Family::Password),
    ("passphrase", Word::Password, Family::Password),
    ("pwd", Word::Exact, Family::Password),
    ("secret", Word::Secret, Family::Password),
    ("token", Word::Secret, Family::Password),
    ("api_key", Word::Secret, Family::Password),
    ("api-key", Word::Secret, Family::Password),
    ("apikey", Word::Secret, Family::Password),
    ("access_key", Word::Secret, Family::Password),
    ("private_key", Word::Secret, Family::Password),
    ("credentials", Word::Secret, Family::Password),
    ("credential", Word::Secret, Family::Password),
    ("pass", Word::Exact, Family::Password),
    ("://", Word::Url, Family::Password),
];

/// The words of the detectors that are on.
#[derive(Debug)]
pub(super) struct Words {
    search: AhoCorasick,
    words: Vec<(Word, Family)>,
}

impl Words {
    pub(super) fn new(wanted: &[Family]) -> Result<Option<Words>, aho_corasick::BuildError> {
        let chosen = || WORDS.iter().filter(|(_, _, family)| wanted.contains(family));
        if wanted.is_empty() {
            return Ok(None);
        }
        let search = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::DFA))
            .build(chosen().map(|(text, ..)| text))?;
        Ok(Some(Words { search, words: chosen().map(|(_, word, family)| (*word, *family)).collect() }))
    }

    pub(super) fn find(&self, line: &[u8], found: &mut dyn FnMut(Family, Range<usize>)) {
        let mut from = 0;
        for hit in self.search.find_overlapping_iter(line) {
            // What a value holds is no key.
            if hit.start() < from {
                continue;
            }
            let (word, family) = self.words[hit.pattern().as_usize()];
            value(line, word, hit.start()..hit.end(), &mut |range| {
                from = range.end;
                found(family, range);
            });
        }
    }
}

fn value(line: &[u8], word: Word, at: Range<usize>, found: Found<'_>) {
    let apart = at.start == 0 || !line[at.start - 1].is_ascii_alphanumeric();
    let range = match word {
        Word::Bearer if apart => bearer(line, at.end),
        Word::Basic if apart => basic(line, at.end),
        Word::Jwt if apart && line[at.clone()] == *b"eyJ" => jwt(line, at.start),
        Word::AwsId if apart => aws_id(line, at.start),
        Word::AwsSecret | Word::Secret => assigned(line, at.end, false),
        Word::Password => assigned(line, at.end, true),
        Word::Exact if apart && !goes_on(line, at.end) => assigned(line, at.end, false),
        Word::Url => userinfo(line, at.end),
        Word::Bearer | Word::Basic | Word::Jwt | Word::AwsId | Word::Exact => None,
    };
    if let Some(range) = range.filter(|range| !range.is_empty()) {
        found(range);
    }
}

fn goes_on(line: &[u8], end: usize) -> bool {
    line.get(end).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'-')
}

fn run(line: &[u8], from: usize, of: impl Fn(u8) -> bool) -> usize {
    from + line[from..].iter().position(|b| !of(*b)).unwrap_or(line.len() - from)
}

fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"._~+/=-".contains(&b)
}

/// What follows `Bearer`, also where a URL writes the blank as `%20` or `+`.
fn bearer(line: &[u8], end: usize) -> Option<Range<usize>> {
    let start = gap(line, end)?;
    let end = run(line, start, is_token);
    let token = &line[start..end];
    (token.len() >= TOKEN_BYTES_MIN || token.iter().any(u8::is_ascii_digit)).then_some(start..end)
}

fn gap(line: &[u8], end: usize) -> Option<usize> {
    let rest = &line[end..];
    if let Some(after) = rest.strip_prefix(b"%20") {
        return Some(line.len() - after.len());
    }
    let blanks = run(line, end, |b| matches!(b, b' ' | b'\t' | b'+' | b':' | b'='));
    (blanks > end).then_some(blanks)
}

/// `Basic` and what decodes to `user:password`.
fn basic(line: &[u8], end: usize) -> Option<Range<usize>> {
    let start = gap(line, end)?;
    let end = run(line, start, |b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
    if end - start > 2 * USERINFO_BYTES_MAX {
        return None;
    }
    STANDARD.decode(&line[start..end]).ok().filter(|plain| plain.contains(&b':')).map(|_| start..end)
}

fn jwt(line: &[u8], start: usize) -> Option<Range<usize>> {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let head = run(line, start, is_part);
    if head - start < TOKEN_BYTES_MIN || line.get(head) != Some(&b'.') {
        return None;
    }
    let claims = run(line, head + 1, is_part);
    if claims - head <= TOKEN_BYTES_MIN {
        return None;
    }
    let end = if line.get(claims) == Some(&b'.') { run(line, claims + 1, is_part) } else { claims };
    Some(start..end)
}

fn aws_id(line: &[u8], start: usize) -> Option<Range<usize>> {
    let end = run(line, start, |b| b.is_ascii_uppercase() || b.is_ascii_digit());
    let apart = line.get(end).is_none_or(|b| !b.is_ascii_alphanumeric());
    (end - start == AWS_ID_BYTES && apart).then_some(start..end)
}

/// The value of `key=value`, `key: value`, `"key": "value"`, `\"key\":\"value\"`; with `loose` also of a bare `key:`.
fn assigned(line: &[u8], end: usize, loose: bool) -> Option<Range<usize>> {
    let name = run(line, end, |b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if name - end > NAME_BYTES_MAX || counts(&line[end..name]) {
        return None;
    }
    let (quoted, after) = quote(line, name);
    let sign = run(line, after, |b| b == b' ');
    let is_assigned = match line.get(sign)? {
        b'=' => line.get(sign + 1) != Some(&b'='),
        b':' => (loose || quoted) && line.get(sign + 1) != Some(&b':'),
        b'%' => line[sign..].starts_with(b"%3D") || line[sign..].starts_with(b"%3d"),
        _ => false,
    };
    if !is_assigned {
        return None;
    }
    let sign_end = if line[sign] == b'%' { sign + 3 } else { sign + 1 };
    value_at(line, run(line, sign_end, |b| b == b' '))
}

/// `token_count=5` and `password_attempts=3` are figures about secrets and no secrets.
fn counts(rest: &[u8]) -> bool {
    if rest.first().is_some_and(|b| b.eq_ignore_ascii_case(&b's')) {
        return true;
    }
    let words: [&[u8]; 7] = [b"count", b"len", b"length", b"attempts", b"type", b"expires", b"ttl"];
    let last = rest.rsplit(|b| *b == b'_' || *b == b'-').next().unwrap_or_default();
    words.iter().any(|word| last.eq_ignore_ascii_case(word))
}

/// Steps over a quote, escaped or not.
fn quote(line: &[u8], at: usize) -> (bool, usize) {
    match &line[at..] {
        [b'\\', b'"', ..] => (true, at + 2),
        [b'"' | b'\'', ..] => (true, at + 1),
        _ => (false, at),
    }
}

fn value_at(line: &[u8], start: usize) -> Option<Range<usize>> {
    let rest = &line[start..];
    match rest {
        [b'\\', b'"', inner @ ..] => {
            let len = memchr::memmem::find(inner, b"\\\"").unwrap_or(inner.len());
            Some(start + 2..start + 2 + len)
        }
        [quote @ (b'"' | b'\''), inner @ ..] => Some(start + 1..start + 1 + string_end(inner, *quote)),
        [b'{' | b'[', ..] => None,
        _ => {
            let end = run(line, start, |b| !b.is_ascii_whitespace() && !b"&,;)]}\"'<>\\".contains(&b));
            let word = &line[start..end];
            let empty = [&b"null"[..], b"true", b"false", b"nil", b"undefined", b"-"];
            (!empty.contains(&word)).then_some(start..end)
        }
    }
}

/// Where a string ends whose opening quote was read; at the end of the line when it was cut.
pub(super) fn string_end(inner: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while at < inner.len() && inner[at] != quote {
        at += if inner[at] == b'\\' { 2 } else { 1 };
    }
    at.min(inner.len())
}

/// The password of `://user:password@host`.
fn userinfo(line: &[u8], start: usize) -> Option<Range<usize>> {
    let stop = start + USERINFO_BYTES_MAX.min(line.len() - start);
    let is_authority = |b: u8| !b.is_ascii_whitespace() && !b"/?#\"'<>".contains(&b);
    let end = run(&line[..stop], start, is_authority);
    let at = start + memchr::memrchr(b'@', &line[start..end])?;
    let colon = start + memchr::memchr(b':', &line[start..at])?;
    Some(colon + 1..at)
}

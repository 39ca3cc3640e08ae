//! Tests over one text value, and over a whole column of them at once.

use std::collections::HashSet;
use std::net::IpAddr;

use arrow::array::{Array, StringArray, UInt16Array};
use logweir_proto::query::value::glob_to_regex;
use logweir_proto::record::Level;
use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Hir, HirKind};

use super::memo::Memo;
use super::needle::{Needle, Verdict};
use super::number::NumRange;
use crate::search::Error;
use crate::search::cell::number_of_text;
use crate::search::mask::Mask;
use crate::store::token::{Phrase, fold, is_word_char, words};

/// Most memory of one compiled regular expression, in bytes.
pub const REGEX_BYTES_MAX: usize = 1 << 20;

/// A whole column is searched at once when at least one row in this many is asked for.
const DENSE_ONE_IN: usize = 4;

/// A question to one text value.
#[derive(Debug, Clone)]
pub enum TextTest {
    Never,
    Always,
    Phrase(PhraseFinder),
    Words(WordGlobs),
    /// The same text but for case; folded.
    EqualFolded(String),
    Equal(String),
    OneOf(HashSet<String>),
    /// One bit a level.
    Levels(u8),
    /// Text that is a number, within one of these.
    Number(Vec<NumRange>),
    /// Between two texts in the order of their bytes.
    Between(TextBound, TextBound),
    Cidr(IpAddr, u8),
    Regex(Searcher),
    Any(Vec<TextTest>),
}

#[derive(Debug, Clone)]
pub enum TextBound {
    Open,
    Inclusive(String),
    Exclusive(String),
}

impl TextTest {
    /// A phrase without a word character is looked for as it stands.
    pub fn phrase(text: &str) -> Result<TextTest, Error> {
        match Phrase::new(text) {
            Some(phrase) => Ok(TextTest::Phrase(PhraseFinder::new(phrase)?)),
            None => Searcher::substring(text).map(TextTest::Regex),
        }
    }

    /// A glob over words, or a substring when it begins and ends with `*`.
    pub fn text_glob(glob: &str) -> Result<TextTest, Error> {
        let pattern = glob_to_regex(glob);
        if pattern.starts_with("(?is)^") {
            return WordGlobs::new(glob).map(TextTest::Words);
        }
        let inner = glob.trim_matches('*');
        if inner.contains(['*', '?', '\\']) {
            Searcher::new(&pattern).map(TextTest::Regex)
        } else {
            Searcher::substring(inner).map(TextTest::Regex)
        }
    }

    /// A glob over a whole value.
    pub fn value_glob(glob: &str) -> Result<TextTest, Error> {
        Searcher::new(&glob_to_regex(glob)).map(TextTest::Regex)
    }

    pub fn any(mut tests: Vec<TextTest>) -> TextTest {
        tests.retain(|test| !matches!(test, TextTest::Never));
        match tests.len() {
            0 => TextTest::Never,
            1 => tests.swap_remove(0),
            _ => TextTest::Any(tests),
        }
    }

    pub fn is_match(&self, text: &str) -> bool {
        match self {
            TextTest::Never => false,
            TextTest::Always => true,
            TextTest::Phrase(finder) => finder.phrase.is_in(text),
            TextTest::Words(globs) => globs.is_in(text),
            TextTest::EqualFolded(folded) => is_equal_folded(text, folded),
            TextTest::Equal(want) => text == want,
            TextTest::OneOf(values) => values.contains(text),
            TextTest::Levels(bits) => level_index(text).is_some_and(|level| bits >> level & 1 == 1),
            TextTest::Number(ranges) => {
                number_of_text(text).is_some_and(|number| ranges.iter().any(|range| range.has_text(text, number)))
            }
            TextTest::Between(low, high) => {
                (match low {
                    TextBound::Open => true,
                    TextBound::Inclusive(low) => text >= low.as_str(),
                    TextBound::Exclusive(low) => text > low.as_str(),
                }) && (match high {
                    TextBound::Open => true,
                    TextBound::Inclusive(high) => text <= high.as_str(),
                    TextBound::Exclusive(high) => text < high.as_str(),
                })
            }
            TextTest::Cidr(net, prefix) => text.parse().is_ok_and(|ip| is_in_net(ip, *net, *prefix)),
            TextTest::Regex(searcher) => searcher.row.is_match(text),
            TextTest::Any(tests) => tests.iter().any(|test| test.is_match(text)),
        }
    }

    /// What no passing value lacks, if that is known.
    pub fn needle(&self) -> Option<&Needle> {
        match self {
            TextTest::Phrase(finder) => finder.needle.as_ref(),
            TextTest::Words(globs) => globs.needle.as_ref(),
            TextTest::Regex(searcher) => searcher.needle.as_ref(),
            _ => None,
        }
    }

    /// The rows of `within` whose value passes.
    pub fn scan(&self, array: &StringArray, within: &Mask) -> Mask {
        let dense = within.count() * DENSE_ONE_IN >= within.len();
        match self {
            TextTest::Never => return Mask::none(array.len()),
            TextTest::Always => return Mask::valid(array).and(within),
            TextTest::Any(tests) => {
                let mut rest = within.clone();
                let mut found = Mask::none(array.len());
                for test in tests {
                    let hits = test.scan(array, &rest);
                    rest = rest.and_not(&hits);
                    found = found.or(&hits);
                }
                return found;
            }
            _ => {}
        }
        match self.needle() {
            Some(needle) if dense => self.scan_column(needle, array, within),
            _ => self.scan_rows(array, within),
        }
    }

    /// The rows of `within` whose value passes, where rows are numbers of `values`: each value is looked at once, and
    /// `memo` has what was found of the same values before.
    pub fn scan_numbered(&self, keys: &UInt16Array, values: &StringArray, within: &Mask, memo: &Memo) -> Mask {
        let rows = Mask::valid(keys).and(within);
        match self {
            TextTest::Never => return Mask::none(keys.len()),
            TextTest::Always => return rows,
            _ => {}
        }
        // Rows without a value have a number too, which means nothing and may be of no value.
        let key = |row: usize| usize::from(keys.values()[row]);
        let found = if rows.count() * DENSE_ONE_IN >= values.len() {
            memo.get_or(values, || self.scan(values, &Mask::all(values.len())))
        } else {
            let mut used = Mask::none(values.len());
            rows.rows().for_each(|row| used.set(key(row)));
            self.scan(values, &used)
        };
        rows_of_values(keys, &found).and(&rows)
    }

    fn scan_rows(&self, array: &StringArray, within: &Mask) -> Mask {
        let mut found = Mask::none(array.len());
        for row in Mask::valid(array).and(within).rows() {
            if self.is_match(array.value(row)) {
                found.set(row);
            }
        }
        found
    }

    /// Runs `needle`, which no passing row lacks, over the text of all rows at once and verifies the rows it hits:
    /// starting a search for each row would cost more than the search.
    fn scan_column(&self, needle: &Needle, array: &StringArray, within: &Mask) -> Mask {
        needle.rows(array, within, |text, start, len| match needle.judge(text, start, len) {
            Verdict::Found => true,
            Verdict::Unsure => self.is_match(text),
        })
    }

    /// How dear a look at one value is, to order the parts of an AND.
    pub fn cost(&self) -> u32 {
        match self {
            TextTest::Never | TextTest::Always => 0,
            TextTest::Levels(_) | TextTest::Equal(_) | TextTest::EqualFolded(_) => 4,
            TextTest::OneOf(_) | TextTest::Between(..) => 6,
            TextTest::Number(_) | TextTest::Cidr(..) => 10,
            TextTest::Phrase(_) => 20,
            TextTest::Words(_) => 60,
            TextTest::Regex(_) => 80,
            TextTest::Any(tests) => tests.iter().map(TextTest::cost).sum(),
        }
    }
}

/// The rows whose number is one of `found`; what stands in rows without a value means nothing.
pub fn rows_of_values(keys: &UInt16Array, found: &Mask) -> Mask {
    match found.first() {
        None => Mask::none(keys.len()),
        Some(only) if found.count() == 1 => {
            // Numbers have 16 bits, so there are no more values.
            let only = only as u16;
            Mask::of_values(keys.values(), |key| key == only)
        }
        Some(_) => Mask::of_values(keys.values(), |key| found.has(usize::from(key))),
    }
}

/// A phrase, and a fast search for its longest word over many rows at once.
#[derive(Debug, Clone)]
pub struct PhraseFinder {
    phrase: Phrase,
    needle: Option<Needle>,
}

impl PhraseFinder {
    pub fn new(phrase: Phrase) -> Result<PhraseFinder, Error> {
        let longest = phrase.words().iter().max_by_key(|word| word.len());
        let ends = (phrase.words().len() == 1).then_some((true, true));
        let needle = longest.map_or(Ok(None), |word| Needle::folded(word, ends))?;
        Ok(PhraseFinder { phrase, needle })
    }

    pub fn words(&self) -> &[String] {
        self.phrase.words()
    }
}

/// A regular expression, for one row and for many at once where that means the same.
#[derive(Debug, Clone)]
pub struct Searcher {
    row: Regex,
    needle: Option<Needle>,
}

impl Searcher {
    pub fn new(pattern: &str) -> Result<Searcher, Error> {
        let row = regex(pattern)?;
        let parsed = regex_syntax::parse(pattern).ok();
        let needle = parsed.as_ref().and_then(|parsed| {
            let literal = literal_of(parsed).filter(|literal| literal.len() >= LITERAL_BYTES_MIN)?;
            // Where the whole pattern is literal, a hit within a row is all there is to know.
            let ends = matches!(parsed.kind(), HirKind::Literal(_)).then_some((false, false));
            Some(Needle::literal(literal, ends))
        });
        Ok(Searcher { row, needle })
    }

    /// The text as it stands, without regard to case.
    fn substring(text: &str) -> Result<Searcher, Error> {
        let pattern = format!("(?i){}", regex::escape(text));
        let needle = if text.is_empty() { None } else { Some(Needle::substring(text)?) };
        Ok(Searcher { row: regex(&pattern)?, needle })
    }
}

/// Shorter literals are found in most rows: then they are one search more.
const LITERAL_BYTES_MIN: usize = 3;

/// The longest run of bytes that every match has.
fn literal_of(pattern: &Hir) -> Option<&[u8]> {
    match pattern.kind() {
        HirKind::Literal(literal) => Some(&literal.0),
        HirKind::Capture(capture) => literal_of(&capture.sub),
        HirKind::Repetition(repeated) if repeated.min > 0 => literal_of(&repeated.sub),
        HirKind::Concat(parts) => parts.iter().filter_map(literal_of).max_by_key(|literal| literal.len()),
        _ => None,
    }
}

pub(super) fn invalid(pattern: &str, error: &regex::Error) -> Error {
    Error::Regex { pattern: pattern.to_owned(), reason: error.to_string() }
}

fn regex(pattern: &str) -> Result<Regex, Error> {
    let built = RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).build();
    built.map_err(|error| invalid(pattern, &error))
}

/// Words with wildcards that follow each other: `fail*`, `10.0.*`.
#[derive(Debug, Clone)]
pub struct WordGlobs {
    words: Vec<Vec<GlobPart>>,
    needle: Option<Needle>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GlobPart {
    Char(char),
    AnyChar,
    AnyRun,
}

impl WordGlobs {
    fn new(glob: &str) -> Result<WordGlobs, Error> {
        let mut words = vec![Vec::new()];
        let mut chars = glob.chars();
        while let Some(c) = chars.next() {
            let part = match c {
                '*' => Some(GlobPart::AnyRun),
                '?' => Some(GlobPart::AnyChar),
                _ => None,
            };
            // After a backslash a wildcard is itself, and so no part of a word.
            let c = if c == '\\' { chars.next().unwrap_or(c) } else { c };
            match (part, words.last_mut()) {
                (Some(part), Some(word)) => word.push(part),
                (None, Some(word)) if is_word_char(c) => word.extend(c.to_lowercase().map(GlobPart::Char)),
                _ => words.push(Vec::new()),
            }
        }
        words.retain(|word: &Vec<GlobPart>| !word.is_empty());
        let needle = match &words[..] {
            [word] => needle_of(word)?,
            _ => None,
        };
        Ok(WordGlobs { words, needle })
    }

    /// The folded words that a match must have, and those that it must have the beginning of.
    pub fn needed(&self) -> (Vec<String>, Vec<String>) {
        let (mut whole, mut prefixes) = (Vec::new(), Vec::new());
        for word in &self.words {
            let literal: String = word
                .iter()
                .map_while(|part| match part {
                    GlobPart::Char(c) => Some(*c),
                    _ => None,
                })
                .collect();
            if word.iter().all(|part| matches!(part, GlobPart::Char(_))) {
                whole.push(literal);
            } else if !literal.is_empty() {
                prefixes.push(literal);
            }
        }
        (whole, prefixes)
    }

    fn is_in(&self, text: &str) -> bool {
        let [first, rest @ ..] = &self.words[..] else { return false };
        let mut buffer = String::new();
        let mut matches = |glob: &[GlobPart], word: &str| {
            fold(word, &mut buffer);
            is_glob(glob, &buffer)
        };
        let mut tail = words(text);
        while let Some(word) = tail.next() {
            if matches(first, word) {
                let mut following = tail.clone();
                if rest.iter().all(|glob| following.next().is_some_and(|word| matches(glob, word))) {
                    return true;
                }
            }
        }
        false
    }
}

/// The longest run of letters of a glob over one word. For `fail*` its beginning is that of the word, for `*fail` its
/// end; then a hit is all there is to know.
fn needle_of(word: &[GlobPart]) -> Result<Option<Needle>, Error> {
    let is_char = |part: &GlobPart| matches!(part, GlobPart::Char(_));
    let Some(run) = word.split(|part| !is_char(part)).max_by_key(|run| run.len()) else { return Ok(None) };
    let text: String =
        run.iter().filter_map(|part| if let GlobPart::Char(c) = part { Some(*c) } else { None }).collect();
    let ends = match word {
        [rest @ .., GlobPart::AnyRun] if rest.iter().all(is_char) => Some((true, false)),
        [GlobPart::AnyRun, rest @ ..] if rest.iter().all(is_char) => Some((false, true)),
        _ => None,
    };
    Needle::folded(&text, ends)
}

/// Whether the whole word is of the form of the glob; goes back to the last `*` only, so the time is bounded by the
/// product of the lengths.
fn is_glob(glob: &[GlobPart], word: &str) -> bool {
    let (mut at, mut rest) = (0, word.chars());
    let mut back = None;
    loop {
        let mut after = rest.clone();
        let Some(c) = after.next() else { break };
        match glob.get(at) {
            Some(GlobPart::AnyRun) => {
                at += 1;
                back = Some((at, rest.clone()));
            }
            Some(part) if *part == GlobPart::AnyChar || *part == GlobPart::Char(c) => {
                at += 1;
                rest = after;
            }
            _ => match &mut back {
                Some((resume, from)) => {
                    from.next();
                    at = *resume;
                    rest = from.clone();
                }
                None => return false,
            },
        }
    }
    glob[at..].iter().all(|part| *part == GlobPart::AnyRun)
}

fn is_equal_folded(text: &str, folded: &str) -> bool {
    if text.is_ascii() {
        text.eq_ignore_ascii_case(folded)
    } else {
        text.chars().flat_map(char::to_lowercase).eq(folded.chars())
    }
}

fn level_index(text: &str) -> Option<usize> {
    Level::ALL.iter().position(|level| level.as_str().eq_ignore_ascii_case(text))
}

fn is_in_net(ip: IpAddr, net: IpAddr, prefix: u8) -> bool {
    match (ip, net) {
        (IpAddr::V4(ip), IpAddr::V4(net)) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(u32::from(prefix))).unwrap_or(0);
            (ip.to_bits() ^ net.to_bits()) & mask == 0
        }
        (IpAddr::V6(ip), IpAddr::V6(net)) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(u32::from(prefix))).unwrap_or(0);
            (ip.to_bits() ^ net.to_bits()) & mask == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;

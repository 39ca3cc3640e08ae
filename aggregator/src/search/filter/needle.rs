//! Text that no passing row lacks, to be found in the text of many rows at once.

use arrow::array::{Array, StringArray};
use memchr::memmem;
use regex::bytes;

use super::memo::Memo;
use super::text::{REGEX_BYTES_MAX, invalid};
use crate::search::Error;
use crate::search::mask::Mask;
use crate::store::token::is_word_char;

/// What no passing row lacks.
#[derive(Debug, Clone)]
pub struct Needle {
    search: Search,
    /// What is searched for, when it is plain: ASCII in lower case where the case does not matter, else the very bytes.
    text: Option<Box<[u8]>>,
    /// Which ends of a hit must be ends of a word for the row to pass; `None` when a hit alone says too little.
    ends: Option<(bool, bool)>,
    /// In which values of dictionaries it is.
    memo: Memo,
}

#[derive(Debug, Clone)]
enum Search {
    Literal(Box<memmem::Finder<'static>>),
    Folded(Box<Folded>),
    Regex(bytes::Regex),
}

/// ASCII in any case.
#[derive(Debug, Clone)]
struct Folded {
    /// All in lower case: nearly every hit is.
    lower: memmem::Finder<'static>,
    /// One bit a letter that it has.
    letters: u32,
    /// A part of a needle has none: then more rows are hits than have it.
    regex: Option<bytes::Regex>,
}

/// Where in a literal of many rows a needle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InLiteral {
    /// So that all rows pass.
    Found,
    Unsure,
    Nowhere,
}

/// What a hit by itself says of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Found,
    /// Look at the whole row.
    Unsure,
}

/// The texts of a column, one behind the other.
#[derive(Clone, Copy)]
struct Texts<'a> {
    array: &'a StringArray,
    offsets: &'a [i32],
    data: &'a [u8],
    /// Where the first text begins.
    from: usize,
}

impl<'a> Texts<'a> {
    fn of(array: &'a StringArray) -> Texts<'a> {
        let offsets = array.value_offsets();
        let end = offsets.last().map_or(0, |end| *end as usize);
        let from = offsets.first().map_or(0, |start| *start as usize);
        Texts { array, offsets, data: &array.value_data()[..end], from }
    }

    fn start(&self, row: usize) -> usize {
        self.offsets[row] as usize
    }

    fn end(&self, row: usize) -> usize {
        self.offsets[row + 1] as usize
    }
}

impl Needle {
    /// The very bytes.
    pub fn literal(literal: &[u8], ends: Option<(bool, bool)>) -> Needle {
        let search = Search::Literal(Box::new(memmem::Finder::new(literal).into_owned()));
        Needle { search, text: Some(literal.into()), ends, memo: Memo::default() }
    }

    /// Folded text of ASCII; `None` for other text, whose case Unicode's simple folding does not cover.
    pub fn folded(text: &str, ends: Option<(bool, bool)>) -> Result<Option<Needle>, Error> {
        if text.is_empty() || !text.is_ascii() {
            return Ok(None);
        }
        Needle::substring(text).map(|needle| Some(Needle { ends, ..needle }))
    }

    /// Text without regard to case.
    pub fn substring(text: &str) -> Result<Needle, Error> {
        let pattern = format!("(?i){}", regex::escape(text));
        let regex = bytes::RegexBuilder::new(&pattern).size_limit(REGEX_BYTES_MAX).build();
        let regex = regex.map_err(|error| invalid(&pattern, &error))?;
        if !text.is_ascii() {
            return Ok(Needle { search: Search::Regex(regex), text: None, ends: None, memo: Memo::default() });
        }
        Ok(Needle::of_folded(text.to_ascii_lowercase().as_bytes(), Some(regex)))
    }

    fn of_folded(lower: &[u8], regex: Option<bytes::Regex>) -> Needle {
        let letters = lower.iter().filter_map(|byte| letter(*byte)).fold(0, |all, letter| all | letter);
        let finder = memmem::Finder::new(lower).into_owned();
        let search = Search::Folded(Box::new(Folded { lower: finder, letters, regex }));
        Needle { search, text: Some(lower.into()), ends: None, memo: Memo::default() }
    }

    /// What finds at least the rows that have this part of its text.
    pub fn part(&self, part: &[u8]) -> Needle {
        if self.is_folded() { Needle::of_folded(part, None) } else { Needle::literal(part, None) }
    }

    pub fn text(&self) -> Option<&[u8]> {
        self.text.as_deref()
    }

    /// Whether the case does not matter.
    pub fn is_folded(&self) -> bool {
        !matches!(self.search, Search::Literal(_))
    }

    /// The rows of `within` that it is in.
    pub fn hits(&self, array: &StringArray, within: &Mask) -> Mask {
        self.rows(array, within, |text, start, len| start + len <= text.len())
    }

    /// The values of a dictionary that it is in.
    pub fn hits_of_values(&self, values: &StringArray) -> Mask {
        self.memo.get_or(values, || self.hits(values, &Mask::all(values.len())))
    }

    /// The rows of `within` that have a hit and pass `verify`, which is told their text, where a hit begins and its
    /// length. Of a row without a hit that passes, the first is told. A hit that begins in a row may run over its end.
    pub fn rows(&self, array: &StringArray, within: &Mask, verify: impl Fn(&str, usize, usize) -> bool) -> Mask {
        let texts = Texts::of(array);
        let mut found = Mask::none(array.len());
        match &self.search {
            Search::Literal(finder) => literal_rows(finder, texts, within, &verify, &mut found),
            Search::Folded(folded) if !folded.may_differ(texts.data) => {
                literal_rows(&folded.lower, texts, within, &verify, &mut found);
                folded.other_rows(texts, within, &verify, &mut found);
            }
            Search::Folded(folded) => match &folded.regex {
                Some(regex) => regex_rows(regex, texts, within, &verify, &mut found),
                None => found = Mask::valid(array).and(within),
            },
            Search::Regex(regex) => regex_rows(regex, texts, within, &verify, &mut found),
        }
        found
    }

    /// Looks at a text that many rows have at one place: `first` and `last` say whether their texts begin and end with
    /// it.
    pub fn in_literal(&self, text: &str, first: bool, last: bool) -> InLiteral {
        let mut seen = InLiteral::Nowhere;
        let mut at = 0;
        while at <= text.len() {
            let Some((start, stop)) = self.find(text.as_bytes(), at) else { break };
            let (begins, stops) = self.ends.unwrap_or((true, true));
            // What stands beside the literal may go on with its word.
            let is_open = begins && start == 0 && !first || stops && stop == text.len() && !last;
            if !is_open && self.judge(text, start, stop - start) == Verdict::Found {
                return InLiteral::Found;
            }
            seen = InLiteral::Unsure;
            at = start + 1;
        }
        seen
    }

    /// Where the first hit from `at` on begins and ends.
    fn find(&self, data: &[u8], at: usize) -> Option<(usize, usize)> {
        match &self.search {
            Search::Literal(finder) => {
                let start = at + finder.find(&data[at..])?;
                Some((start, start + finder.needle().len()))
            }
            Search::Folded(folded) => folded.regex.as_ref()?.find_at(data, at).map(|hit| (hit.start(), hit.end())),
            Search::Regex(regex) => regex.find_at(data, at).map(|hit| (hit.start(), hit.end())),
        }
    }

    /// Whether a hit by itself makes its row pass.
    pub fn judge(&self, text: &str, start: usize, len: usize) -> Verdict {
        let (Some((begins, stops)), Some(hit)) = (self.ends, text.get(start..start + len)) else {
            return Verdict::Unsure;
        };
        let before = || text[..start].chars().next_back().is_none_or(|c| !is_word_char(c));
        let after = || text[start + len..].chars().next().is_none_or(|c| !is_word_char(c));
        // A hit that is no ASCII may have been found by a folding that is wider than that of words.
        let exact = matches!(self.search, Search::Literal(_)) || hit.is_ascii();
        let whole = exact && (!begins || before()) && (!stops || after());
        if whole { Verdict::Found } else { Verdict::Unsure }
    }
}

/// The bit of a letter, whatever its case.
fn letter(byte: u8) -> Option<u32> {
    byte.is_ascii_alphabetic().then(|| 1 << (byte.to_ascii_lowercase() - b'a'))
}

impl Folded {
    /// Whether the text may have a hit that is no ASCII: of the signs beyond it only the Kelvin sign and the long s
    /// fold into it.
    fn may_differ(&self, data: &[u8]) -> bool {
        let has = |letter: u8, sign: &str| {
            self.lower.needle().contains(&letter) && memmem::find(data, sign.as_bytes()).is_some()
        };
        has(b'k', "\u{212a}") || has(b's', "\u{17f}")
    }

    /// The rows with a hit that has a letter in upper case.
    fn other_rows(
        &self,
        texts: Texts<'_>,
        within: &Mask,
        verify: &impl Fn(&str, usize, usize) -> bool,
        found: &mut Mask,
    ) {
        let needle = self.lower.needle();
        let data = &texts.data[texts.from..];
        for at in Mask::of_values(data, |byte| byte.is_ascii_uppercase()).rows() {
            if letter(data[at]).is_none_or(|letter| self.letters & letter == 0) {
                continue;
            }
            let is_same = |byte: &u8| byte.eq_ignore_ascii_case(&data[at]);
            for place in (0..needle.len()).filter(|place| is_same(&needle[*place])) {
                let Some(start) = at.checked_sub(place) else { break };
                let hit = data.get(start..start + needle.len());
                if hit.is_none_or(|hit| !hit.eq_ignore_ascii_case(needle)) {
                    continue;
                }
                let start = texts.from + start;
                // The row whose text begins last at or before the hit, and which is not empty.
                let row = texts.offsets.partition_point(|offset| *offset as usize <= start) - 1;
                let is_asked = row < texts.array.len() && within.has(row) && texts.array.is_valid(row);
                if is_asked && verify(texts.array.value(row), start - texts.start(row), needle.len()) {
                    found.set(row);
                }
            }
        }
    }
}

fn literal_rows(
    finder: &memmem::Finder<'_>,
    texts: Texts<'_>,
    within: &Mask,
    verify: &impl Fn(&str, usize, usize) -> bool,
    found: &mut Mask,
) {
    let len = finder.needle().len();
    let find = |at: usize| finder.find(&texts.data[at..]).map(|start| (at + start, len));
    first_hits(find, texts, within, verify, found);
}

fn regex_rows(
    regex: &bytes::Regex,
    texts: Texts<'_>,
    within: &Mask,
    verify: &impl Fn(&str, usize, usize) -> bool,
    found: &mut Mask,
) {
    let find = |at: usize| regex.find_at(texts.data, at).map(|hit| (hit.start(), hit.len()));
    first_hits(find, texts, within, verify, found);
}

/// Verifies the first hit of each row; `find` finds the next from some place on.
fn first_hits(
    find: impl Fn(usize) -> Option<(usize, usize)>,
    texts: Texts<'_>,
    within: &Mask,
    verify: &impl Fn(&str, usize, usize) -> bool,
    found: &mut Mask,
) {
    let (mut at, mut row) = (texts.from, 0);
    while at < texts.data.len() {
        let Some((start, len)) = find(at) else { break };
        row += ends_before(&texts.offsets[row + 1..], start);
        if row >= texts.array.len() {
            break;
        }
        let is_asked = within.has(row) && texts.array.is_valid(row);
        if is_asked && verify(texts.array.value(row), start - texts.start(row), len) {
            found.set(row);
        }
        at = texts.end(row);
    }
}

/// How many of the rising `ends` are at or before `at`: nearly always few, so the step doubles.
fn ends_before(ends: &[i32], at: usize) -> usize {
    let is_before = |end: &i32| *end as usize <= at;
    let (mut from, mut step) = (0, 4);
    while ends.get(from + step).is_some_and(is_before) {
        from += step;
        step *= 2;
    }
    let rest = &ends[from..ends.len().min(from + step)];
    from + rest.partition_point(is_before)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rows that the regular expression finds, one by one.
    fn one_by_one(text: &str, array: &StringArray, within: &Mask) -> Mask {
        let regex = regex::Regex::new(&format!("(?i){}", regex::escape(text))).expect("a pattern");
        Mask::from_fn(array.len(), |row| array.is_valid(row) && regex.is_match(array.value(row))).and(within)
    }

    fn check(text: &str, array: &StringArray) {
        let within = Mask::from_fn(array.len(), |row| row % 5 != 3);
        let needle = Needle::substring(text).expect("a needle");
        assert_eq!(needle.hits(array, &within), one_by_one(text, array, &within), "{text:?} in {array:?}");
        let slice = array.slice(array.len() / 3, array.len() / 2);
        let all = Mask::all(slice.len());
        assert_eq!(needle.hits(&slice, &all), one_by_one(text, &slice, &all), "{text:?} in {slice:?}");
    }

    #[test]
    fn the_case_does_not_matter() {
        let texts = [
            "disk",
            "DISK",
            "diSk",
            "di\u{17f}k",
            "DIS\u{212a}",
            "d",
            "isk",
            "",
            "Disk is a disk",
            "dis",
            "k",
            "ddisk",
            "DIs",
            "K",
            "ä DISK",
        ];
        let array: StringArray =
            texts.iter().enumerate().map(|(i, text)| (i != 8).then_some(*text)).collect::<StringArray>();
        ["disk", "DISK", "k", "is", "sk is", "x", "ä d"].iter().for_each(|text| check(text, &array));
        let plain: StringArray = ["disk", "DISK", "Dis", "kdisK", "dISk"].iter().map(|text| Some(*text)).collect();
        ["disk", "k", "kd", "S"].iter().for_each(|text| check(text, &plain));
    }

    proptest! {
        #[test]
        fn rows_are_those_of_the_regular_expression(
            text in "[aAbBsSkK ]{1,4}",
            texts in proptest::collection::vec(proptest::option::of("[aAbBsSkK\u{17f}\u{212a} ]{0,9}"), 1..40),
            plain in any::<bool>(),
        ) {
            let ascii = |text: String| if plain { text.replace(['\u{17f}', '\u{212a}'], "") } else { text };
            let array: StringArray = texts.into_iter().map(|text| text.map(ascii)).collect();
            check(&text, &array);
        }
    }
}

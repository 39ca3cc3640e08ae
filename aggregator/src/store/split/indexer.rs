//! What of a block goes into which index: the one place that decides it, beside [`super::lookup`] that asks.
//!
//! - Words of `message` and `exception.stack`: variable ones ([`token::is_variable`]) into the hash list and their
//!   front into the lexicon, the others into the lexicon. Words over [`WORD_BYTES_MAX`] leave only their front.
//! - Values of all other text columns, folded: small sets of words into the lexicon, everything else into the hash
//!   list.
//!   Where a field is text in some rows and an integer in others, integers are indexed as their text. What messages say
//!   word by word is left to its words ([`said`]).
//! - Names of fields into the lexicon.
//!
//! A block whose text has too many distinct words, or hardly any word twice, is marked to be scanned instead.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray, UInt16Array};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use logweir_proto::record::field;

use self::distinct::{Distinct, Entries};
use self::hashed::Hashed;
use self::said::{Said, is_found_by_words};
use self::told::Cuts;
use self::words::{FOLDED, Fronts};
pub use self::words::{FRONT_CHARS, for_each_word, front};
use super::derived::Deriver;
use super::hashes::{self, Gathered};
use super::lexicon::{LexiconBuilder, class};
use super::rows::{Dictionary, Numbers, dictionary};
use super::tally::Cursor;
use crate::store::block::texts;
use crate::store::column::{ColumnKey, FIELD_COLUMNS_AT, Kind, Layout};
use crate::store::segment::{BLOCK_ROWS_MAX, Counts};
use crate::store::token::{self, WORD_BYTES_MAX};

mod distinct;
mod hashed;
pub mod said;
mod told;
mod words;

/// A block with more distinct words is scanned.
pub const BLOCK_WORDS_MAX: usize = 16_000;

/// Below so many distinct words a block is indexed, however rarely they repeat.
pub const BLOCK_WORDS_MIN: usize = 2_000;

/// A block with a longer text is scanned: it is no sentence.
pub const INDEXED_TEXT_BYTES_MAX: usize = 256 << 10;

/// After so many words of a block, when two thirds of them are distinct, it is scanned without a look at the rest;
/// sooner when the block before was.
const PROBE_WORDS: usize = 8_192;
const PROBE_WORDS_AGAIN: usize = 2 * BLOCK_WORDS_MIN;

/// A column with more distinct values in a block keeps them in the hash list only.
pub const LEXICON_VALUES_MAX: usize = 256;

/// Most values of a block in the hash list; the columns beyond are scanned.
pub const BLOCK_VALUES_MAX: usize = 65_536;

/// The columns whose text is cut into words.
pub const WORD_FIELDS: [&str; 2] = [field::MESSAGE, field::EXCEPTION_STACK];

/// Which blocks an index does not cover.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Scans {
    /// Blocks whose words are not indexed.
    pub words: Vec<u32>,
    /// (block, field) whose values are not indexed.
    pub values: Vec<(u32, String)>,
}

/// Builds both indexes of a split, block by block.
#[derive(Debug)]
pub struct Indexer {
    lexicon: LexiconBuilder,
    hashes: Gathered,
    blocks: u32,
    scans: Scans,
    found_by_words: BTreeSet<String>,
    /// By place of a column.
    hashed: Vec<Hashed>,
    cuts: Vec<Cuts>,
    /// Reused: the entries of the variable words of a block, each once, and the hashes of these.
    variable: Vec<u64>,
    words: Entries,
    fronts: Fronts,
    distinct: Distinct,
    /// In which rows the words at hand stand.
    at: Cursor,
    /// Reused: the first row of each value of a column, and by its number in how many rows it stands.
    firsts: Vec<(u32, u32)>,
    times: Vec<u32>,
    /// Words after which a block is probed.
    probe_words: usize,
    seed: u64,
}

impl Default for Indexer {
    fn default() -> Indexer {
        Indexer {
            lexicon: LexiconBuilder::default(),
            hashes: Gathered::default(),
            blocks: 0,
            scans: Scans::default(),
            found_by_words: BTreeSet::new(),
            hashed: Vec::new(),
            cuts: Vec::new(),
            variable: Vec::new(),
            words: Entries::default(),
            fronts: Fronts::default(),
            distinct: Distinct::default(),
            at: Cursor::default(),
            firsts: Vec::new(),
            times: Vec::new(),
            probe_words: PROBE_WORDS,
            seed: RandomState::new().build_hasher().finish(),
        }
    }
}

/// What an indexer makes.
pub struct Indexes {
    pub lexicon: LexiconBuilder,
    pub hashes: Gathered,
    pub scans: Scans,
    /// Fields of which some values are found by the words of messages alone.
    pub found_by_words: Vec<String>,
}

/// Which rows have messages that their other columns tell.
pub struct Told<'a> {
    pub deriver: &'a Deriver,
    /// By row the number of the template.
    pub numbers: Int64Array,
}

/// The rows of a block.
pub struct Rows<'a> {
    pub layout: &'a Layout,
    pub batch: &'a RecordBatch,
    /// The values of the columns that are numbered.
    pub numbers: &'a dyn Fn(usize) -> Option<Numbers<'a>>,
}

/// A word by its number in the lexicon, or its entry in the hash list and the number of its front.
#[derive(Debug, Clone, Copy)]
enum Word {
    Sentence(u32),
    Variable(u64, u32),
    /// It is too long for more.
    Front(u32),
}

/// The texts of a block that are cut into words.
struct Texts<'a>([Option<&'a StringArray>; 2]);

impl<'a> Texts<'a> {
    fn of(rows: &Rows<'a>) -> Texts<'a> {
        Texts(WORD_FIELDS.map(|name| {
            let column = rows.layout.columns_of(name).find(|(_, kind)| *kind == Kind::Str)?.0;
            Some(rows.batch.column(column).as_string::<i32>()).filter(|texts| texts.null_count() < texts.len())
        }))
    }

    fn of_row(&self, row: usize) -> [Option<&'a str>; 2] {
        self.0.map(|texts| {
            texts.filter(|texts| texts.is_valid(row)).map(|texts| texts.value(row)).filter(|text| !text.is_empty())
        })
    }

    fn have_stacks(&self) -> bool {
        self.0[1].is_some()
    }

    fn has_stack(&self, row: usize) -> bool {
        self.0[1].is_some_and(|texts| texts.is_valid(row))
    }
}

impl Indexer {
    /// Adds the next block. `counts` know all values of some of its fields.
    pub fn add_block(&mut self, rows: &Rows<'_>, counts: &[(&'static str, Counts)], told: Option<&Told<'_>>) {
        let Rows { layout, batch, numbers } = *rows;
        self.lexicon.begin_block();
        let block = self.blocks;
        self.blocks += 1;
        let said = self.add_words(rows, told, block);
        let mut hashed = 0;
        let mut term = Vec::new();
        for (key, (place, column)) in
            layout.keys().iter().zip(batch.columns().iter().enumerate().skip(FIELD_COLUMNS_AT))
        {
            if column.null_count() == column.len() {
                continue;
            }
            term.clear();
            term.push(class::FIELD);
            term.extend_from_slice(key.field.as_bytes());
            self.lexicon.add(&term);
            let text_too = || layout.columns_of(&key.field).any(|(_, kind)| kind == Kind::Str);
            if WORD_FIELDS.contains(&&*key.field) || !text_too() {
                continue;
            }
            if hashed >= BLOCK_VALUES_MAX {
                self.scans.values.push((block, key.field.to_string()));
                continue;
            }
            let counted = counts.iter().find(|(name, counts)| *name == &*key.field && !counts.is_empty());
            if let Some((_, counts)) = counted {
                let values = counts.iter().map(|(value, _)| value.as_bytes());
                hashed += self.add_distinct(&key.field, values, counts.len(), block);
                continue;
            }
            let said = Some(&said).filter(|said| key.kind == Kind::Str && said.says(place));
            hashed += self.add_column(key, (place, column), numbers(place), said, block);
        }
    }

    /// Adds the values of a column, but for those that messages say; how many went into the hash list.
    fn add_column(
        &mut self,
        key: &ColumnKey,
        (place, column): (usize, &ArrayRef),
        numbers: Option<Numbers<'_>>,
        said: Option<&Said>,
        block: u32,
    ) -> usize {
        let left_out = |value: &[u8]| said.is_some() && is_found_by_words(value);
        let name = &*key.field;
        if let Some(numbers) = numbers {
            let mut alone = vec![said.is_none(); numbers.dictionary.len()];
            for (at, _) in said.iter().flat_map(|said| said.unsaid(place, column)) {
                alone[numbers.numbers[at] as usize] = true;
            }
            let occurring = numbers.occurring(&mut self.times);
            if occurring.len() > LEXICON_VALUES_MAX {
                return self.add_many((key, place), numbers, (&occurring, &alone), block);
            }
            let spelled =
                |(number, _): &(u32, u32)| Some((alone[*number as usize], numbers.spelled(*number, key.kind)?));
            let all: Vec<_> = occurring.iter().filter_map(spelled).collect();
            let values: Vec<&[u8]> =
                all.iter().filter(|(alone, value)| *alone || !left_out(value)).map(|(_, value)| &**value).collect();
            return self.add_some(name, &values, all.len(), block);
        }
        match key.kind {
            Kind::Str => match texts::numbered(column) {
                Some((keys, values)) => {
                    let mut alone = vec![said.is_none(); values.len()];
                    for (_, row) in said.iter().flat_map(|said| said.unsaid(place, column)) {
                        alone[usize::from(keys.value(row))] = true;
                    }
                    let used = used(keys, values.len());
                    let kept = used.iter().filter(|key| alone[**key] || !left_out(values.value(**key).as_bytes()));
                    let kept: Vec<&[u8]> = kept.map(|key| values.value(*key).as_bytes()).collect();
                    self.add_some(name, &kept, used.len(), block)
                }
                None => {
                    let texts = column.as_string::<i32>();
                    let mut alone = vec![said.is_none(); texts.len()];
                    said.iter().flat_map(|said| said.unsaid(place, column)).for_each(|(_, row)| alone[row] = true);
                    let values = texts.iter().zip(alone);
                    self.add_values(name, values.filter_map(|(text, alone)| Some((text?.as_bytes(), alone))), block)
                }
            },
            Kind::Int => {
                let integers = column.as_primitive::<Int64Type>();
                let texts: Vec<String> = integers.iter().flatten().map(|value| value.to_string()).collect();
                self.add_values(name, texts.iter().map(|text| (text.as_bytes(), true)), block)
            }
            Kind::Float | Kind::Bool => 0,
        }
    }

    /// Adds more values than the lexicon takes, but for those that messages say and no row has `alone`; how many went into
    /// the hash list. A value that comes again in another block was hashed before.
    fn add_many(
        &mut self,
        (key, place): (&ColumnKey, usize),
        numbers: Numbers<'_>,
        (occurring, alone): (&[(u32, u32)], &[bool]),
        block: u32,
    ) -> usize {
        if self.hashed.len() <= place {
            self.hashed.resize_with(place + 1, Hashed::default);
        }
        let known = &mut self.hashed[place];
        known.begin(numbers.dictionary);
        let mut term = Vec::new();
        put_value_term(&mut term, &key.field, "");
        let (value_at, mut hashed) = (term.len(), 0);
        for (number, _) in occurring {
            let entry = &mut known.entries[*number as usize];
            if *entry == 0 {
                let Some(value) = numbers.spelled(*number, key.kind) else { continue };
                put_folded(&mut term, value_at, &value);
                let by_words = if is_found_by_words(&value) { Hashed::BY_WORDS } else { 0 };
                *entry = hashes::in_block(hashes::entry(&term, 0), Hashed::KNOWN | by_words);
            }
            if alone[*number as usize] || *entry & u64::from(Hashed::BY_WORDS) == 0 {
                self.hashes.push(hashes::in_block(*entry, block));
                hashed += 1;
            }
        }
        if hashed < occurring.len() {
            self.found_by_words.insert(key.field.to_string());
        }
        hashed
    }

    /// Adds those of so many distinct values that are not left out; how many went into the hash list.
    fn add_some(&mut self, name: &str, values: &[&[u8]], distinct: usize, block: u32) -> usize {
        if values.len() < distinct {
            self.found_by_words.insert(name.to_owned());
        }
        self.add_distinct(name, values.iter().copied(), distinct, block)
    }

    pub fn finish(self) -> Indexes {
        let found_by_words = self.found_by_words.into_iter().collect();
        Indexes { lexicon: self.lexicon, hashes: self.hashes, scans: self.scans, found_by_words }
    }

    /// Adds the words of the block; which messages say what. Those of a block that is to be scanned say nothing.
    fn add_words(&mut self, rows: &Rows<'_>, told: Option<&Told<'_>>, block: u32) -> Said {
        let texts = Texts::of(rows);
        let said = told.map_or_else(Said::default, |told| Said::new(told, &texts));
        let before = self.lexicon.block_terms();
        self.variable.clear();
        self.words.begin();
        self.at = Cursor::default();
        let occurrences = self.add_texts(rows, &texts, told.map(|told| (told, &said)), block);
        let distinct = self.distinct_words(before);
        let too_many = |occurrences: usize| distinct > BLOCK_WORDS_MIN && distinct * 3 > occurrences;
        if distinct > BLOCK_WORDS_MAX || occurrences.is_none_or(too_many) {
            self.lexicon.truncate_block(before);
            self.scans.words.push(block);
            self.probe_words = PROBE_WORDS_AGAIN;
            return Said::default();
        }
        self.hashes.extend(self.variable.iter().copied());
        self.probe_words = PROBE_WORDS;
        said
    }

    /// Distinct words of the block, of which the lexicon had `before` terms.
    fn distinct_words(&self, before: usize) -> usize {
        self.lexicon.block_terms() - before + self.variable.len()
    }

    /// Adds the words of all texts; how many there were, or `None` as soon as they are surely too many.
    fn add_texts(
        &mut self,
        rows: &Rows<'_>,
        texts: &Texts<'_>,
        told: Option<(&Told<'_>, &Said)>,
        block: u32,
    ) -> Option<usize> {
        let before = self.lexicon.block_terms();
        let template = |row: usize| told.and_then(|(_, said)| said.template(row));
        let mut occurrences = told.map_or(0, |(told, said)| self.add_told(told, said, rows, block));
        let mut probed = false;
        let mut row = 0;
        while row < rows.batch.num_rows() {
            let from = row;
            row += 1;
            if template(from).is_some() {
                continue;
            }
            let found = texts.of_row(from);
            if found == [None, None] {
                continue;
            }
            // The same text again is a row more of each of its words.
            while row < rows.batch.num_rows() && template(row).is_none() && texts.of_row(row) == found {
                row += 1;
            }
            self.at.begin_unit(row - from);
            for text in found.into_iter().flatten() {
                if text.len() > INDEXED_TEXT_BYTES_MAX {
                    return None;
                }
                occurrences += self.add_text(text, block);
                let probe = !probed && occurrences > self.probe_words;
                probed |= probe;
                let distinct = self.distinct_words(before);
                if distinct > BLOCK_WORDS_MAX || (probe && distinct * 3 > occurrences * 2) {
                    return None;
                }
            }
        }
        Some(occurrences)
    }

    /// Adds the words of a text; how many there were.
    fn add_text(&mut self, text: &str, block: u32) -> usize {
        let mut words = 0;
        for_each_word(text, |word| {
            words += 1;
            let word = self.found(word);
            self.note(word, block);
        });
        words
    }

    /// What is known of a word, which has its class in front.
    #[inline]
    fn found(&mut self, word: &[u8]) -> Word {
        let folded = &word[1..];
        let long = folded.len() > WORD_BYTES_MAX;
        if !long && !is_variable(folded) {
            return Word::Sentence(self.lexicon.number(word));
        }
        let front = self.fronts.number(folded, &mut self.lexicon);
        if long { Word::Front(front) } else { Word::Variable(hashes::entry(word, 0), front) }
    }

    /// Adds a word that stands in the rows at hand.
    #[inline]
    fn note(&mut self, word: Word, block: u32) {
        let front = match word {
            Word::Sentence(number) => return self.lexicon.see_word(number, &self.at),
            Word::Variable(entry, front) => {
                if self.words.insert(entry) {
                    self.variable.push(hashes::in_block(entry, block));
                }
                front
            }
            Word::Front(front) => front,
        };
        self.lexicon.see(front);
    }

    /// Adds the values of a column, but for those that are not alone and found by words; how many went into the hash
    /// list.
    fn add_values<'a>(&mut self, name: &str, values: impl Iterator<Item = (&'a [u8], bool)>, block: u32) -> usize {
        self.distinct.begin();
        let mut distinct: Vec<&[u8]> = Vec::with_capacity(values.size_hint().1.unwrap_or(0).min(BLOCK_ROWS_MAX));
        let (mut last, mut left_out) = (None, false);
        for (value, alone) in values {
            if last.replace((value, alone)) == Some((value, alone)) {
                continue;
            }
            // With more than the lexicon takes they are all hashed, and the list has each once anyhow. A collision would
            // lose a value: the seed keeps anybody from choosing one.
            let many = distinct.len() > LEXICON_VALUES_MAX;
            let seed = if alone { self.seed } else { !self.seed };
            if !many && !self.distinct.insert(dictionary::hash(seed, value)) {
                continue;
            }
            if alone || !is_found_by_words(value) {
                distinct.push(value);
            } else {
                left_out = true;
            }
        }
        if left_out {
            self.found_by_words.insert(name.to_owned());
        }
        let count = distinct.len();
        self.add_distinct(name, distinct.into_iter(), count, block)
    }

    /// Adds the distinct values of a field; how many went into the hash list.
    fn add_distinct<'a>(
        &mut self,
        name: &str,
        distinct: impl Iterator<Item = &'a [u8]>,
        count: usize,
        block: u32,
    ) -> usize {
        let small = count <= LEXICON_VALUES_MAX;
        let mut term = Vec::with_capacity(name.len() + 32);
        put_value_term(&mut term, name, "");
        let value_at = term.len();
        let mut hashed = 0;
        for value in distinct {
            put_folded(&mut term, value_at, value);
            if small && !is_variable(&term[value_at..]) {
                self.lexicon.add(&term);
            } else {
                self.hashes.push(hashes::entry(&term, block));
                hashed += 1;
            }
        }
        hashed
    }
}

/// Puts the folded value behind the beginning of its term.
fn put_folded(term: &mut Vec<u8>, value_at: usize, value: &[u8]) {
    term.truncate(value_at);
    term.extend_from_slice(value);
    if is_folded(value) {
        return;
    }
    if value.is_ascii() {
        return term[value_at..].make_ascii_lowercase();
    }
    let mut folded = String::new();
    token::fold(std::str::from_utf8(value).unwrap_or_default(), &mut folded);
    term.truncate(value_at);
    term.extend_from_slice(folded.as_bytes());
}

/// Whether the bytes are ASCII without an upper-case letter: most ids are.
fn is_folded(value: &[u8]) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x80 * EACH;
    // The top bit of each byte beyond ASCII, and of each from `A` to `Z`, as long as no byte carries into the next.
    let word = |bytes: &[u8; 8]| {
        let (word, low) = (u64::from_le_bytes(*bytes), u64::from_le_bytes(*bytes) & !TOPS);
        let (from_a, behind_z) = (low + (0x80 - 0x41) * EACH, low + (0x80 - 0x5b) * EACH);
        (word | (from_a & !behind_z)) & TOPS
    };
    match value.last_chunk::<8>() {
        Some(last) => value.as_chunks::<8>().0.iter().fold(word(last), |all, bytes| all | word(bytes)) == 0,
        None => value.iter().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()),
    }
}

/// The keys that occur.
fn used(keys: &UInt16Array, values: usize) -> Vec<usize> {
    let mut seen = vec![false; values];
    keys.iter().flatten().for_each(|key| seen[usize::from(key)] = true);
    (0..values).filter(|key| seen[*key]).collect()
}

/// The term of a value.
pub fn put_value_term(term: &mut Vec<u8>, field: &str, folded: &str) {
    term.clear();
    term.push(class::VALUE);
    term.extend_from_slice(field.as_bytes());
    term.push(0);
    term.extend_from_slice(folded.as_bytes());
}

/// [`token::is_variable`] on bytes.
fn is_variable(folded: &[u8]) -> bool {
    folded.len() >= 24 || folded.iter().any(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests;

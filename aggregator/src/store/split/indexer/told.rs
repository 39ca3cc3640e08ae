//! Words of messages that the columns of their rows tell: those of each template once, and those of the values, each cut
//! once as long as its number stands for it.

use arrow::array::{Array, ArrayRef, AsArray, StringArray};

use super::{Indexer, Rows, Said, Told, Word, for_each_word};
use crate::store::block::cell;
use crate::store::column::Kind;
use crate::store::spell::Cell;
use crate::store::split::derived::{self, Piece};
use crate::store::split::hashes;
use crate::store::split::rows::{Dictionary, Numbers, dictionary};

/// The words of the values of a column, by the numbers of these, as far as they were cut.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    /// The round of the dictionary.
    round: u32,
    /// By number of the value where its words begin and end.
    values: Vec<(u32, u32)>,
    words: Vec<u64>,
}

/// Of a word that was cut: its entry, in the place of whose block stand its kind and a number of the lexicon.
const NUMBER_BITS: u32 = 22;
const SENTENCE: u32 = 0;
const VARIABLE: u32 = 1 << NUMBER_BITS;
const FRONT: u32 = 2 << NUMBER_BITS;

/// In the place of the words of a value that was not cut, or has a word whose number finds no place.
const UNKNOWN: (u32, u32) = (u32::MAX, 0);

impl Cuts {
    fn begin(&mut self, dictionary: &Dictionary) {
        if self.round != dictionary.round() {
            self.round = dictionary.round();
            self.values.clear();
            self.words.clear();
        }
        self.values.resize(dictionary.len(), UNKNOWN);
    }

    fn words_of(&self, number: u32) -> Option<impl Iterator<Item = Word>> {
        let (from, to) = self.values[number as usize];
        let words = self.words.get(from as usize..to as usize)?;
        Some(words.iter().map(|word| {
            let low = *word as u32 & ((4 << NUMBER_BITS) - 1);
            let number = low & (VARIABLE - 1);
            match low - number {
                VARIABLE => Word::Variable(hashes::in_block(*word, 0), number),
                FRONT => Word::Front(number),
                _ => Word::Sentence(number),
            }
        }))
    }

    fn begin_value(&mut self, number: u32) {
        let at = self.words.len() as u32;
        self.values[number as usize] = (at, at);
    }

    /// Adds a word of the value that began last.
    fn add(&mut self, value: u32, word: Word) {
        let (entry, kind, number) = match word {
            Word::Sentence(number) => (0, SENTENCE, number),
            Word::Variable(entry, front) => (entry, VARIABLE, front),
            Word::Front(front) => (0, FRONT, front),
        };
        let value = &mut self.values[value as usize];
        if number >= VARIABLE || *value == UNKNOWN {
            *value = UNKNOWN;
            return;
        }
        self.words.push(hashes::in_block(entry, kind | number));
        value.1 += 1;
    }
}

impl Indexer {
    /// Adds the words of the messages that are told: those of each template once, and those of the values in it. How
    /// many words the messages have, about.
    pub(super) fn add_told(&mut self, told: &Told<'_>, said: &Said, rows: &Rows<'_>, block: u32) -> usize {
        let mut occurrences = 0;
        let mut of_template: Vec<Vec<u32>> = Vec::new();
        for row in 0..told.numbers.len() {
            let Some(number) = said.template(row) else { continue };
            if of_template.len() <= number {
                of_template.resize_with(number + 1, Vec::new);
            }
            of_template[number].push(row as u32);
        }
        for (template, told_rows) in told.deriver.by_words().zip(&of_template) {
            let Some(template) = template.filter(|_| !told_rows.is_empty()) else { continue };
            self.at.begin_unit(told_rows.len());
            for piece in template {
                if let Piece::Literal(text) = piece {
                    occurrences += told_rows.len() * self.add_text(text, block);
                }
            }
            let mut done = Vec::new();
            for piece in template {
                let Piece::Column(key) = piece else { continue };
                let Some(column) = told.deriver.column(key) else { continue };
                occurrences += told_rows.len();
                if !done.contains(&column) {
                    done.push(column);
                    self.add_told_values(rows, column, key.kind, told_rows, block);
                }
            }
        }
        occurrences
    }

    /// Adds the words of the values of a column in some rows.
    fn add_told_values(&mut self, rows: &Rows<'_>, column: usize, kind: Kind, told_rows: &[u32], block: u32) {
        let array = rows.batch.column(column);
        // Where every row has a value, its number is in the place of the row.
        let numbers = (rows.numbers)(column).filter(|numbers| numbers.numbers.len() == array.len());
        let mut firsts = std::mem::take(&mut self.firsts);
        self.find_firsts((array, kind), numbers, told_rows, &mut firsts);
        self.at.begin_part();
        let mut cuts = numbers.map(|numbers| {
            if self.cuts.len() <= column {
                self.cuts.resize_with(column + 1, Cuts::default);
            }
            let mut cuts = std::mem::take(&mut self.cuts[column]);
            cuts.begin(numbers.dictionary);
            (cuts, numbers)
        });
        let values = Values::of(array, kind);
        let mut text = Vec::new();
        for (row, times) in &firsts {
            self.at.begin_value(*times as usize);
            let number = cuts.as_ref().map(|(_, numbers)| numbers.numbers[*row as usize]);
            if let (Some((cuts, _)), Some(number)) = (&cuts, number)
                && let Some(words) = cuts.words_of(number)
            {
                words.for_each(|word| self.note(word, block));
                continue;
            }
            let text = match values.cell(*row as usize) {
                Some(Cell::Str(text)) => text,
                Some(number) => {
                    text.clear();
                    let is_put = derived::put(number, &mut text);
                    std::str::from_utf8(&text).ok().filter(|_| is_put).unwrap_or_default()
                }
                None => continue,
            };
            let mut cut = cuts.as_mut().zip(number);
            if let Some(((cuts, _), number)) = &mut cut {
                cuts.begin_value(*number);
            }
            for_each_word(text, |word| {
                let word = self.found(word);
                self.note(word, block);
                if let Some(((cuts, _), number)) = &mut cut {
                    cuts.add(*number, word);
                }
            });
        }
        if let Some((cuts, _)) = cuts {
            self.cuts[column] = cuts;
        }
        self.firsts = firsts;
    }

    /// The first of some rows for each value in a column, and how many of them have it.
    fn find_firsts(
        &mut self,
        (array, kind): (&ArrayRef, Kind),
        numbers: Option<Numbers<'_>>,
        told_rows: &[u32],
        firsts: &mut Vec<(u32, u32)>,
    ) {
        firsts.clear();
        match numbers {
            // All rows have the one value.
            Some(numbers) if numbers.are_one() => {
                firsts.extend(told_rows.first().map(|row| (*row, told_rows.len() as u32)))
            }
            Some(numbers) => {
                if self.times.len() < numbers.dictionary.len() {
                    self.times.resize(numbers.dictionary.len(), 0);
                }
                for row in told_rows {
                    let times = &mut self.times[numbers.numbers[*row as usize] as usize];
                    if *times == 0 {
                        firsts.push((*row, 0));
                    }
                    *times += 1;
                }
                for (row, times) in firsts.iter_mut() {
                    *times = std::mem::take(&mut self.times[numbers.numbers[*row as usize] as usize]);
                }
            }
            None => {
                self.distinct.begin();
                let values = Values::of(array, kind);
                for row in told_rows {
                    let Some(value) = values.cell(*row as usize) else { continue };
                    let (place, is_new) = self.distinct.number(match value {
                        Cell::Str(text) => dictionary::hash(self.seed, text.as_bytes()),
                        Cell::Int(number) => spread(number as u64),
                        Cell::Float(number) => spread(number.to_bits()),
                        Cell::Bool(bit) => u64::from(bit),
                    });
                    if is_new {
                        firsts.push((*row, 0));
                    }
                    firsts[place].1 += 1;
                }
            }
        }
    }
}

/// The values of a column. Those that have no numbers are texts mostly, which are looked at row by row.
enum Values<'a> {
    Texts(&'a StringArray),
    Any(&'a ArrayRef, Kind),
}

impl<'a> Values<'a> {
    fn of(array: &'a ArrayRef, kind: Kind) -> Values<'a> {
        match array.as_string_opt::<i32>().filter(|_| kind == Kind::Str) {
            Some(texts) => Values::Texts(texts),
            None => Values::Any(array, kind),
        }
    }

    #[inline]
    fn cell(&self, row: usize) -> Option<Cell<'a>> {
        match self {
            Values::Texts(texts) => texts.is_valid(row).then(|| Cell::Str(texts.value(row))),
            Values::Any(array, kind) => cell(array, *kind, row),
        }
    }
}

/// Different for different words; near ones lie far apart.
fn spread(word: u64) -> u64 {
    let word = word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word ^ word >> 32
}

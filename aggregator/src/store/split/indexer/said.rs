//! Values that the messages of their rows say word by word: those words find them, so they need no term of their own.
//!
//! `/orders/48213` stands in `GET /orders/48213 HTTP/1.1`, whose words are in the index. A value is left out of the hash
//! list where every row that has it has such a message, and one of its words is rare enough by itself
//! ([`is_found_by_words`]); [`super::super::lookup`] asks for the words of such values as well as for their terms.

use arrow::array::{Array, ArrayRef};

use super::{FOLDED, Texts, Told};
use crate::store::split::derived::{Piece, TEMPLATES_MAX, Template};
use crate::store::token::WORD_BYTES_MAX;

/// Letters of a word with a digit that is rare: shorter numbers stand in many messages for many reasons.
const RARE_WORD_BYTES_MIN: usize = 5;

/// In the place of a template.
const NONE: u8 = u8::MAX;
const _: () = assert!(TEMPLATES_MAX < NONE as usize);

/// Whether a value is looked for by its words, too, folded or not.
pub fn is_found_by_words(value: &[u8]) -> bool {
    let is_rare = |word: &[u8]| {
        (RARE_WORD_BYTES_MIN..=WORD_BYTES_MAX).contains(&word.len()) && word.iter().any(u8::is_ascii_digit)
    };
    value.is_ascii() && value.split(|byte| FOLDED[usize::from(*byte)] == 0).any(is_rare)
}

/// Which messages of a block are indexed by what they are made of.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// By row the number of the template, or [`NONE`].
    of_rows: Vec<u8>,
    /// By template its columns.
    columns: Vec<Vec<usize>>,
    /// What stands in `of_rows`, each once.
    occurring: Vec<u8>,
}

impl Said {
    pub(super) fn new(told: &Told<'_>, texts: &Texts<'_>) -> Said {
        let of_template = |template: Option<&Template>| {
            let column = |piece: &Piece| if let Piece::Column(key) = piece { told.deriver.column(key) } else { None };
            Some(template?.iter().filter_map(column).collect())
        };
        let columns: Vec<Option<Vec<usize>>> = told.deriver.by_words().map(of_template).collect();
        let numbers = columns.iter().zip(0u8..).map(|(columns, number)| if columns.is_some() { number } else { NONE });
        let numbers: Vec<u8> = numbers.collect();
        let number = |number: i64| numbers.get(number as usize).copied().unwrap_or(NONE);
        let mut of_rows: Vec<u8> = told.numbers.values().iter().map(|told| number(*told)).collect();
        let has_none = |row: usize| told.numbers.is_null(row) || texts.has_stack(row);
        if told.numbers.null_count() > 0 || texts.have_stacks() {
            of_rows.iter_mut().enumerate().filter(|(row, _)| has_none(*row)).for_each(|(_, number)| *number = NONE);
        }
        let mut occurs = [false; NONE as usize + 1];
        of_rows.iter().for_each(|number| occurs[usize::from(*number)] = true);
        let occurring = (0..=NONE).filter(|number| occurs[usize::from(*number)]).collect();
        Said { of_rows, columns: columns.into_iter().map(Option::unwrap_or_default).collect(), occurring }
    }

    /// The template of the message of a row.
    pub(super) fn template(&self, row: usize) -> Option<usize> {
        self.of_rows.get(row).filter(|number| **number != NONE).map(|number| usize::from(*number))
    }

    /// Whether some message says the column.
    pub(super) fn says(&self, column: usize) -> bool {
        self.columns.iter().any(|columns| columns.contains(&column))
    }

    /// The rows with a value in a column that their messages do not say, each with how many rows before it have one.
    pub(super) fn unsaid(&self, column: usize, array: &ArrayRef) -> impl Iterator<Item = (usize, usize)> {
        let mut says = [false; NONE as usize + 1];
        self.columns.iter().zip(&mut says).for_each(|(columns, says)| *says = columns.contains(&column));
        let all_say = !self.occurring.is_empty() && self.occurring.iter().all(|number| says[usize::from(*number)]);
        let rows = if all_say { 0 } else { array.len() };
        let rows = (0..rows).filter(|row| array.is_valid(*row)).enumerate();
        rows.filter(move |(_, row)| !says[usize::from(self.of_rows.get(*row).copied().unwrap_or(NONE))])
    }
}

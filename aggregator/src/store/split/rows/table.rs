//! From the numbers that texts have in a block to those that they have in the file.

use arrow::array::{Array, StringArray};

use super::chunk::DICTIONARY_BYTES_MAX;
use super::dictionary::Dictionary;
use crate::store::block::texts;

/// What the numbers of a block are in the file.
#[derive(Default)]
pub(super) struct Table {
    /// The values of the block; held, so that no others come to their place.
    values: Option<StringArray>,
    /// By key the number in the file, and how many rows of the block at hand have it.
    pub(super) numbers: Vec<u32>,
    rows: Vec<u32>,
    /// Reused: keys that have no number yet.
    new: Vec<u16>,
}

impl Table {
    /// In a table of numbers: not met yet.
    const UNKNOWN: u32 = u32::MAX;

    pub(super) fn begin(&mut self, values: &StringArray) {
        if !self.values.as_ref().is_some_and(|known| texts::have_one_place(known, values)) {
            self.values = Some(values.clone());
            self.numbers.clear();
            self.numbers.resize(values.len(), Table::UNKNOWN);
            self.rows.clear();
            self.rows.resize(values.len(), 0);
        }
    }

    /// [`Table::count`] of a key that all rows have.
    pub(super) fn count_one(&mut self, key: u16, rows: usize, met: &mut Vec<(u32, u32)>) {
        self.rows[usize::from(key)] = rows as u32;
        met.push((u32::from(key), 0));
    }

    /// Counts the rows of each key, which are met in the order of their first rows.
    pub(super) fn count(&mut self, keys: impl Iterator<Item = u16>, met: &mut Vec<(u32, u32)>) {
        for key in keys {
            let rows = &mut self.rows[usize::from(key)];
            if *rows == 0 {
                met.push((u32::from(key), 0));
            }
            *rows += 1;
        }
    }

    /// Numbers the keys that were met, and puts in the place of each its number and its rows.
    pub(super) fn number(&mut self, met: &mut [(u32, u32)], values: &StringArray, dictionary: &mut Dictionary) {
        let Table { numbers, rows, new, .. } = self;
        new.clear();
        new.extend(met.iter().map(|(key, _)| *key as u16).filter(|key| numbers[usize::from(*key)] == Table::UNKNOWN));
        let texts = new.iter().map(|key| values.value(usize::from(*key)).as_bytes());
        dictionary.number_texts(texts, DICTIONARY_BYTES_MAX, |at, number| numbers[usize::from(new[at])] = number);
        for (key, counted) in met {
            let at = *key as usize;
            (*key, *counted) = (numbers[at], std::mem::take(&mut rows[at]));
        }
    }
}

/// The key of all rows, if they have but one.
pub(super) fn only(keys: &[u16]) -> Option<u16> {
    let first = *keys.first()?;
    // Whole pieces are compared at once.
    let same = |keys: &[u16]| keys.iter().fold(0, |differ, key| differ | (key ^ first)) == 0;
    keys.chunks(64).all(same).then_some(first)
}

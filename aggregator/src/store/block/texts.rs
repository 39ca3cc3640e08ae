//! Texts of a block: those that come again are held as numbers of a list, as a split has them.
//!
//! A column begins numbered and goes on plainly once most of its values are new, so that ids cost no table. Texts that
//! are searched by their words are never numbered.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, StringArray, UInt16Array};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute::take;
use arrow::datatypes::UInt16Type;
use arrow::error::ArrowError;

use super::gaps::Gaps;
use super::zeros;
use crate::equal::equal;
use crate::store::segment::BLOCK_ROWS_MAX;
use crate::store::split::rows::Dictionary;

/// With fewer different values than this a column stays numbered, however few rows it has.
const VALUES_MIN: usize = 256;

/// Keys number all values of a block.
const _: () = assert!(BLOCK_ROWS_MAX <= 1 << 16);

/// The text of a row, however its column is held.
pub(in crate::store) fn text_at(array: &ArrayRef, row: usize) -> Option<&str> {
    if array.is_null(row) {
        return None;
    }
    match array.as_dictionary_opt::<UInt16Type>() {
        Some(numbered) => {
            Some(numbered.values().as_string_opt::<i32>()?.value(usize::from(numbered.keys().value(row))))
        }
        None => Some(array.as_string_opt::<i32>()?.value(row)),
    }
}

/// The keys and the values of a numbered column.
pub(in crate::store) fn numbered(array: &ArrayRef) -> Option<(&UInt16Array, &StringArray)> {
    let numbered = array.as_dictionary_opt::<UInt16Type>()?;
    Some((numbered.keys(), numbered.values().as_string_opt()?))
}

/// Whether these are the same values, and not just equal ones.
pub(in crate::store) fn have_one_place(a: &StringArray, b: &StringArray) -> bool {
    let place = |array: &StringArray| (array.value_data().as_ptr(), array.value_offsets().as_ptr(), array.len());
    place(a) == place(b)
}

/// A column as plain texts; others as they are.
pub(in crate::store) fn plain(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match numbered(array) {
        Some((keys, values)) => take(values, keys, None),
        None => Ok(Arc::clone(array)),
    }
}

/// Builds a column of texts.
#[derive(Debug)]
pub(super) struct Texts {
    /// `None` once they are held plainly.
    numbered: Option<Box<Numbering>>,
    plain: Plain,
}

impl Texts {
    pub(super) fn new(numbered: bool) -> Texts {
        Texts { numbered: numbered.then(Box::default), plain: Plain::default() }
    }

    /// Adds a row with a text, which is valid UTF-8.
    #[inline(always)]
    pub(super) fn append(&mut self, text: &[u8]) {
        match &mut self.numbered {
            Some(numbered) => {
                if !numbered.append(text) {
                    self.go_on_plainly();
                }
            }
            None => self.plain.append(text),
        }
    }

    /// The same; the number that the text has, if texts are numbered.
    #[inline]
    pub(super) fn append_numbered(&mut self, text: &[u8]) -> Option<u16> {
        self.append(text);
        self.numbered.as_ref().and_then(|numbered| numbered.last)
    }

    /// Adds a row with the text of a number; `false` if texts are not numbered.
    #[inline]
    pub(super) fn append_number(&mut self, number: u16) -> bool {
        let Some(numbered) = &mut self.numbered else { return false };
        numbered.keys.push(number);
        numbered.last = Some(number);
        true
    }

    /// Gives several rows one text.
    pub(super) fn append_same(&mut self, text: &str, rows: usize) {
        match &mut self.numbered {
            Some(numbered) => {
                let key = numbered.number(text);
                numbered.keys.resize(numbered.keys.len() + rows, key);
                numbered.last = Some(key);
            }
            None => (0..rows).for_each(|_| self.plain.append(text.as_bytes())),
        }
    }

    pub(super) fn append_nulls(&mut self, rows: usize) {
        match &mut self.numbered {
            Some(numbered) => numbered.append_nulls(rows),
            None => self.plain.append_nulls(rows),
        }
    }

    #[cold]
    fn go_on_plainly(&mut self) {
        let Some(numbered) = self.numbered.take() else { return };
        for key in &numbered.keys {
            self.plain.append(numbered.dictionary.text(u32::from(*key)));
        }
        self.plain.gaps = numbered.gaps;
    }

    pub(super) fn finish(self) -> ArrayRef {
        match self.numbered {
            Some(numbered) => numbered.finish(),
            None => self.plain.finish(),
        }
    }
}

/// Texts one after the other.
#[derive(Debug)]
struct Plain {
    bytes: Vec<u8>,
    /// Where each begins, and where the last ends: a block has fewer bytes than 31 bits count.
    offsets: Vec<i32>,
    gaps: Gaps,
}

impl Default for Plain {
    fn default() -> Plain {
        Plain { bytes: Vec::new(), offsets: vec![0], gaps: Gaps::default() }
    }
}

impl Plain {
    #[inline]
    fn append(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.offsets.push(self.bytes.len() as i32);
    }

    fn append_nulls(&mut self, rows: usize) {
        self.gaps.add(self.offsets.len() - 1, rows);
    }

    fn finish(mut self) -> ArrayRef {
        self.bytes.shrink_to_fit();
        let nulls = self.gaps.nulls(self.offsets.len() - 1);
        let offsets = OffsetBuffer::new(self.gaps.stretch(self.offsets).into());
        let texts = StringArray::try_new(offsets, self.bytes.into(), nulls);
        Arc::new(texts.expect("every value was a text when it was added"))
    }
}

/// Numbers texts in the order in which they come.
#[derive(Default)]
pub(in crate::store) struct Numbering {
    dictionary: Dictionary,
    /// Of the rows that have a text.
    keys: Vec<u16>,
    gaps: Gaps,
    /// The number of the last text: mostly the next one is the same.
    last: Option<u16>,
    /// Numbers plus one of long texts by some of their bytes: to compare one costs less than to hash it.
    long: Box<[u16]>,
}

/// Shortest text that is long, and how many are remembered.
const LONG_BYTES: usize = 48;
const LONG_TEXTS: usize = 64;

/// Some bytes of a long text as a place among those that are remembered.
#[inline]
fn place_of_long(text: &[u8]) -> Option<usize> {
    let middle = text.get(text.len() / 2..)?.first_chunk::<8>()?;
    let words = u64::from_le_bytes(*middle) ^ u64::from_le_bytes(*text.last_chunk::<8>()?).rotate_left(29);
    let mixed = (words ^ text.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (text.len() >= LONG_BYTES).then_some((mixed >> 32) as usize % LONG_TEXTS)
}

impl std::fmt::Debug for Numbering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Numbering").field("rows", &self.keys.len()).field("values", &self.dictionary.len()).finish()
    }
}

impl Numbering {
    /// Adds a row; `false` when the texts are hardly ever the same, and numbering should end.
    #[inline(always)]
    fn append(&mut self, text: &[u8]) -> bool {
        let key = match self.last {
            Some(last) if equal(self.dictionary.text(u32::from(last)), text) => {
                self.keys.push(last);
                return true;
            }
            _ if text.len() < LONG_BYTES => self.dictionary.number_text(text) as u16,
            _ => self.number_long(text),
        };
        self.last = Some(key);
        self.keys.push(key);
        let values = self.dictionary.len();
        values < VALUES_MIN || 2 * values <= self.keys.len() + self.gaps.rows()
    }

    #[inline(never)]
    fn number_long(&mut self, text: &[u8]) -> u16 {
        if self.long.is_empty() {
            self.long = vec![0; LONG_TEXTS].into();
        }
        let Some(place) = place_of_long(text).and_then(|place| self.long.get_mut(place)) else {
            return self.dictionary.number_text(text) as u16;
        };
        match place.checked_sub(1) {
            Some(number) if self.dictionary.text(u32::from(number)) == text => number,
            _ => {
                let number = self.dictionary.number_text(text) as u16;
                *place = number.saturating_add(1);
                number
            }
        }
    }

    /// The number of a text for rows to be added, of which a block has fewer than there are keys.
    pub(in crate::store) fn number(&mut self, text: &str) -> u16 {
        self.dictionary.number_text(text.as_bytes()) as u16
    }

    #[inline]
    pub(in crate::store) fn append_key(&mut self, key: u16) {
        self.keys.push(key);
    }

    pub(in crate::store) fn append_nulls(&mut self, rows: usize) {
        self.gaps.add(self.keys.len(), rows);
    }

    pub(in crate::store) fn finish(self) -> ArrayRef {
        let values: Vec<&[u8]> = (0..self.dictionary.len() as u32).map(|number| self.dictionary.text(number)).collect();
        let offsets = OffsetBuffer::from_lengths(values.iter().map(|value| value.len()));
        let texts = StringArray::try_new(offsets, values.concat().into(), None)
            .expect("every value was a text when it was numbered");
        // A row without a value has the first key, which must be there.
        let texts = if texts.is_empty() { StringArray::from(vec![""]) } else { texts };
        let nulls = self.gaps.nulls(self.keys.len());
        let keys = match nulls {
            None if texts.len() == 1 => zeros::first_keys(self.keys.len()),
            _ => ScalarBuffer::from(self.gaps.spread(self.keys)),
        };
        let keys = UInt16Array::new(keys, nulls);
        Arc::new(DictionaryArray::new(keys, Arc::new(texts)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(values: impl Iterator<Item = Option<String>>, numbered: bool) -> (ArrayRef, Vec<Option<String>>) {
        let mut texts = Texts::new(numbered);
        let values: Vec<_> = values.collect();
        for value in &values {
            match value {
                Some(value) => texts.append(value.as_bytes()),
                None => texts.append_nulls(1),
            }
        }
        (texts.finish(), values)
    }

    #[test]
    fn texts_come_back_however_they_are_held() {
        let few = |i: usize| (i % 7 != 3).then(|| format!("value {}", i % 40));
        let many = |i: usize| (i & 3 > 0).then(|| format!("{i:032}"));
        let later = |i: usize| (i > 9).then(|| if i < 600 { "same".to_owned() } else { i.to_string() });
        // More of one length than are remembered, and alike where it is looked.
        let long = |i: usize| Some(format!("{:060} of {:060}", i % 50, i / 4 % 3));
        type Value<'a> = &'a dyn Fn(usize) -> Option<String>;
        let ways: [(Value<'_>, bool, bool); 7] = [
            (&long, true, true),
            (&few, true, true),
            (&few, false, false),
            (&many, true, false),
            (&later, true, false),
            (&|_| None, true, true),
            (&|_| Some(String::new()), true, true),
        ];
        for (value, wanted, numbered_at_end) in ways {
            let (array, values) = texts((0..2000).map(value), wanted);
            assert_eq!(numbered(&array).is_some(), numbered_at_end);
            let plainly = plain(&array).expect("texts");
            for (row, value) in values.iter().enumerate() {
                assert_eq!(text_at(&array, row), value.as_deref());
                assert_eq!(text_at(&plainly, row), value.as_deref());
            }
        }
        let (few, _) = texts((0..4096).map(few), true);
        assert!(few.get_array_memory_size() < 16_000, "{}", few.get_array_memory_size());
    }
}

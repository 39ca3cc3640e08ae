//! Texts of a block: those that come again are held as numbers of a list, as a split has them.
//!
//! A column begins numbered and goes on plainly once most of its values are new, so that ids cost no table. Texts that
//! are searched by their words are never numbered.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, NullBufferBuilder, StringArray, StringBuilder, UInt16Array,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute::take;
use arrow::datatypes::UInt16Type;
use arrow::error::ArrowError;

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
    plain: StringBuilder,
}

impl Texts {
    pub(super) fn new(numbered: bool) -> Texts {
        Texts { numbered: numbered.then(Box::default), plain: StringBuilder::new() }
    }

    #[inline]
    pub(super) fn append_value(&mut self, text: &str) {
        match &mut self.numbered {
            Some(numbered) => {
                if !numbered.append(text) {
                    self.go_on_plainly();
                }
            }
            None => self.plain.append_value(text),
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
        let Some(mut numbered) = self.numbered.take() else { return };
        let nulls = numbered.nulls.finish();
        for (row, key) in numbered.keys.iter().enumerate() {
            let there = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
            self.plain.append_option(there.then(|| text_of(&numbered.dictionary, *key)));
        }
    }

    pub(super) fn finish(self) -> ArrayRef {
        let Texts { numbered, mut plain } = self;
        match numbered {
            Some(numbered) => numbered.finish(),
            None => {
                let mut array = plain.finish();
                array.shrink_to_fit();
                Arc::new(array)
            }
        }
    }
}

/// Numbers texts in the order in which they come.
pub(in crate::store) struct Numbering {
    dictionary: Dictionary,
    keys: Vec<u16>,
    nulls: NullBufferBuilder,
    /// The number of the last text: mostly the next one is the same.
    last: Option<u16>,
}

impl std::fmt::Debug for Numbering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Numbering").field("rows", &self.keys.len()).field("values", &self.dictionary.len()).finish()
    }
}

impl Default for Numbering {
    fn default() -> Numbering {
        Numbering { dictionary: Dictionary::default(), keys: Vec::new(), nulls: NullBufferBuilder::new(0), last: None }
    }
}

impl Numbering {
    /// Adds a row; `false` when the texts are hardly ever the same, and numbering should end.
    #[inline]
    fn append(&mut self, text: &str) -> bool {
        let key = match self.last {
            Some(last) if self.dictionary.text(u32::from(last)) == text.as_bytes() => last,
            _ => self.dictionary.number_text(text.as_bytes()) as u16,
        };
        self.last = Some(key);
        self.append_key(key);
        let values = self.dictionary.len();
        values < VALUES_MIN || 2 * values <= self.keys.len()
    }

    /// The number of a text for rows to be added, of which a block has fewer than there are keys.
    pub(in crate::store) fn number(&mut self, text: &str) -> u16 {
        self.dictionary.number_text(text.as_bytes()) as u16
    }

    #[inline]
    pub(in crate::store) fn append_key(&mut self, key: u16) {
        self.keys.push(key);
        self.nulls.append_non_null();
    }

    pub(in crate::store) fn append_nulls(&mut self, rows: usize) {
        if rows == 1 {
            self.keys.push(0);
            return self.nulls.append_null();
        }
        self.keys.resize(self.keys.len() + rows, 0);
        self.nulls.append_n_nulls(rows);
    }

    pub(in crate::store) fn finish(mut self) -> ArrayRef {
        let nulls = self.nulls.finish();
        let values: Vec<&[u8]> = (0..self.dictionary.len() as u32).map(|number| self.dictionary.text(number)).collect();
        let offsets = OffsetBuffer::from_lengths(values.iter().map(|value| value.len()));
        let texts = StringArray::try_new(offsets, values.concat().into(), None)
            .expect("every value was a text when it was numbered");
        self.keys.shrink_to_fit();
        // A row without a value has the first key, which must be there.
        let texts = if texts.is_empty() { StringArray::from(vec![""]) } else { texts };
        let keys = UInt16Array::new(ScalarBuffer::from(self.keys), nulls);
        Arc::new(DictionaryArray::new(keys, Arc::new(texts)))
    }
}

fn text_of(dictionary: &Dictionary, key: u16) -> &str {
    std::str::from_utf8(dictionary.text(u32::from(key))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(values: impl Iterator<Item = Option<String>>, numbered: bool) -> (ArrayRef, Vec<Option<String>>) {
        let mut texts = Texts::new(numbered);
        let values: Vec<_> = values.collect();
        for value in &values {
            match value {
                Some(value) => texts.append_value(value),
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
        type Value<'a> = &'a dyn Fn(usize) -> Option<String>;
        let ways: [(Value<'_>, bool, bool); 6] = [
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

//! Where the texts of a column may have some text in them, told before the column is read.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray};
use memchr::memmem;

use super::OpenSplit;
use crate::store::column::{ColumnKey, Kind};
use crate::store::segment::Probe;
use crate::store::split::gate::stored;
use crate::store::split::grams::Grams;
use crate::store::split::lookup;
use crate::store::token;

/// With more values that have the text, their blocks are not looked up one by one.
const VALUES_MAX: usize = 8;

/// Values that are looked through at once: of a text that many have these are enough.
const VALUES_AT_ONCE: usize = 4096;

impl OpenSplit {
    /// What the texts of columns have, by field.
    fn grams(&self) -> Result<Arc<BTreeMap<String, Grams>>, String> {
        self.grams.get(|| {
            let section = self.known.footer.sections.gate;
            let read = match section.bytes > stored::END_BYTES {
                true => stored::decode(&self.section("gate", section)?)?,
                false => None,
            };
            Ok(Arc::new(read.map_or_else(BTreeMap::new, |read| read.grams)))
        })
    }

    /// See [`crate::store::segment::Parts::may_have`].
    pub fn may_have(&self, key: &ColumnKey, part: &[u8]) -> bool {
        let rules_out = |grams: &Grams| key.kind == Kind::Str && !grams.may_have(part);
        !self.grams().is_ok_and(|grams| grams.get(&*key.field).is_some_and(rules_out))
    }

    /// See [`lookup::Indexes::find_part`].
    pub(super) fn blocks_with(&self, field: &str, part: &[u8], flags: &mut [bool]) -> Result<bool, String> {
        let grams = self.grams()?;
        let Some(grams) = grams.get(field) else { return Ok(false) };
        if !grams.may_have(part) {
            return Ok(true);
        }
        let question = question(field, part);
        let known = self.recall(WHOLE_SPLIT, question).and_then(|known| known.as_boolean_opt().cloned());
        let found = match known {
            Some(known) => known,
            None => {
                let found = BooleanArray::from(self.blocks_of_values(field, part)?.unwrap_or_default());
                self.remember(WHOLE_SPLIT, question, &(Arc::new(found.clone()) as ArrayRef));
                found
            }
        };
        flags.iter_mut().zip(found.values()).for_each(|(flag, found)| *flag |= found);
        Ok(found.len() == flags.len())
    }

    /// The blocks of the values that have the part; `None` when these are many, or not all known.
    fn blocks_of_values(&self, field: &str, part: &[u8]) -> Result<Option<Vec<bool>>, String> {
        let column = self.known.layout.column(&ColumnKey { field: field.into(), kind: Kind::Str });
        // Texts that are numbered all have their dictionaries.
        let Some(values) = column.map(|column| self.values_with(column, part)).transpose()?.flatten() else {
            return Ok(None);
        };
        let mut flags = vec![false; self.known.footer.blocks.len()];
        let mut folded = String::new();
        for value in values {
            token::fold(&value, &mut folded);
            let probe = Probe::Value { field: field.to_owned(), folded: folded.clone() };
            for (flag, found) in flags.iter_mut().zip(lookup::candidates(self, &probe)?) {
                *flag |= found;
            }
        }
        Ok(Some(flags))
    }

    /// The values of a column that have the part; `None` when they are many, or not all known.
    fn values_with(&self, column: usize, part: &[u8]) -> Result<Option<Vec<String>>, String> {
        let groups = self.parquet()?.metadata().num_row_groups();
        let mut found = Vec::new();
        for group in 0..groups {
            let Some(dictionary) = self.dictionary_of(column, group)? else { return Ok(None) };
            let Some(texts) = dictionary.as_string_opt::<i32>() else { return Ok(None) };
            let mut from = 0;
            while from < texts.len() {
                let some = texts.slice(from, VALUES_AT_ONCE.min(texts.len() - from));
                from += some.len();
                add_values(&some, part, &mut found);
                if found.len() > VALUES_MAX {
                    return Ok(None);
                }
            }
        }
        Ok(Some(found))
    }

    /// The texts that a column of texts is numbered by in a row group; `None` when they cannot be decoded here.
    fn dictionary_of(&self, column: usize, group: usize) -> Result<Option<ArrayRef>, String> {
        let metadata = self.parquet()?;
        let chunk = metadata.metadata().row_groups().get(group).and_then(|group| group.columns().get(column));
        let Some(chunk) = chunk else { return Ok(None) };
        match chunk.dictionary_page_offset() {
            Some(offset) => {
                self.dictionary(&self.storage(chunk, column), column, group, offset..chunk.data_page_offset())
            }
            // No row has a value.
            None => Ok(Some(Arc::new(StringArray::new_null(0)))),
        }
    }
}

/// What is kept under this number of a block is of all of them.
const WHOLE_SPLIT: usize = u32::MAX as usize;

/// A number for what is asked. The seeds are secret: nobody can write two parts that are taken for one.
fn question(field: &str, part: &[u8]) -> u128 {
    static SEEDS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);
    let [low, high] = SEEDS.each_ref().map(|seed| u128::from(seed.hash_one((field, part))));
    high << 64 | low
}

/// Adds the texts that have the part, but not many more than are wanted.
fn add_values(texts: &StringArray, part: &[u8], found: &mut Vec<String>) {
    let offsets = texts.value_offsets();
    let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else { return };
    let base = *first as usize;
    let lower = texts.value_data()[base..*last as usize].to_ascii_lowercase();
    let part = part.to_ascii_lowercase();
    let finder = memmem::Finder::new(&part);
    let mut at = 0;
    while let Some(hit) = lower.get(at..).and_then(|rest| finder.find(rest)).map(|hit| at + hit) {
        // The last text that begins at or before the hit.
        let row = offsets.partition_point(|offset| *offset as usize - base <= hit) - 1;
        let end = offsets.get(row + 1).map_or(lower.len(), |end| *end as usize - base);
        if row < texts.len() && hit + part.len() <= end {
            found.push(texts.value(row).to_owned());
            if found.len() > VALUES_MAX {
                return;
            }
            at = end;
        } else {
            at = hit + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_in_any_case_and_not_across_their_ends() {
        let texts: StringArray =
            ["", "/api/Orders/7", "/a", "", "pi/x", "/API/ORDERS", ""].map(Some).into_iter().collect();
        let find = |part: &str| {
            let mut found = Vec::new();
            add_values(&texts, part.as_bytes(), &mut found);
            add_values(&texts.slice(2, 4), part.as_bytes(), &mut found);
            found
        };
        assert_eq!(find("pi/o"), ["/api/Orders/7", "/API/ORDERS", "/API/ORDERS"]);
        assert_eq!(find("API/x"), [""; 0]);
        assert_eq!(find("I/X"), ["pi/x", "pi/x"]);
        assert_eq!(find("/a").len(), 5);
    }
}

//! Skeletons of lines that follow from which of their columns have a value: their numbers are not stored.
//!
//! An access line without a referer has the skeleton with a dash in that place, and hardly any other line has it. When a
//! split is written, a sample says which skeleton the rows have that have values in the same columns. A row whose
//! skeleton is that one has null in `_shape`; any other row has the number of its own, or [`NONE`] where it has none.
//! The table stands in the footer. A split without a table, as all before version 8, has null where there is none.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::datatypes::UInt32Type;
use arrow::record_batch::RecordBatch;
use logweir_proto::record::field;
use serde::{Deserialize, Serialize};

use crate::store::column::{ColumnKey, FIELD_COLUMNS_AT, Kind, Layout};

/// Most columns that are looked at: those that tell most rows apart.
pub const COLUMNS_MAX: usize = 8;

/// In the place of the number of a skeleton.
pub const NONE: u32 = u32::MAX;

/// A table is kept when it is right for all but one row in so many.
const WRONG_ONE_IN: usize = 10;

/// By the columns of a row that have a value its skeleton.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Foretold {
    /// Places in the layout.
    pub columns: Vec<usize>,
    /// By the set of those that have a value, the first of which is its lowest bit.
    pub numbers: Vec<u32>,
}

/// How many rows have values in a set of columns and a skeleton.
type Counted = BTreeMap<(u8, u32), usize>;

impl Foretold {
    /// `None` when too many rows would be exceptions.
    pub fn learn(layout: &Layout, sample: &RecordBatch) -> Option<Foretold> {
        let rows = sample.num_rows();
        // How many rows are not like most.
        let others = |place: usize| {
            let nulls = sample.column(place).null_count();
            nulls.min(rows - nulls)
        };
        let keys = layout.keys().iter().zip(FIELD_COLUMNS_AT..).filter(|(key, _)| !is_message(key));
        let mut columns: Vec<usize> = keys.map(|(_, place)| place).filter(|place| others(*place) > 0).collect();
        columns.sort_by_key(|place| std::cmp::Reverse(others(*place)));
        columns.truncate(COLUMNS_MAX);
        let sets = sets(&columns, rows, |place| sample.columns().get(place))?;
        let mut counted = Counted::new();
        for (set, number) in sets.iter().zip(numbers(sample.column(layout.shape()))?) {
            *counted.entry((*set, number)).or_default() += 1;
        }
        let right = right(&counted);
        if (rows - right) * WRONG_ONE_IN > rows {
            return None;
        }
        // What a reader would look at in vain.
        for bit in (0..columns.len()).rev() {
            let without = without(&counted, bit);
            if self::right(&without) >= right {
                counted = without;
                columns.remove(bit);
            }
        }
        let mut numbers = vec![(NONE, 0); 1 << columns.len()];
        for ((set, number), times) in counted {
            let most = &mut numbers[usize::from(set)];
            if times > most.1 {
                *most = (number, times);
            }
        }
        Some(Foretold { columns, numbers: numbers.into_iter().map(|(number, _)| number).collect() })
    }

    /// Whether it is a table for rows of these columns.
    pub fn fits(&self, keys: &[ColumnKey]) -> bool {
        let is_there = |place: &usize| {
            let key = place.checked_sub(FIELD_COLUMNS_AT).and_then(|at| keys.get(at));
            key.is_some_and(|key| !is_message(key))
        };
        self.columns.len() <= COLUMNS_MAX
            && self.numbers.len() == 1 << self.columns.len()
            && self.columns.iter().all(is_there)
    }

    /// What is stored of the skeletons of some rows.
    pub fn take_out<'a>(&self, shapes: &ArrayRef, find: impl Fn(usize) -> Option<&'a ArrayRef>) -> Option<ArrayRef> {
        let (numbers, foretold) = (numbers(shapes)?, self.of_rows(shapes.len(), find)?);
        if numbers == foretold {
            return Some(Arc::new(UInt32Array::new_null(shapes.len())));
        }
        let stored = |(number, foretold): (u32, u32)| (number != foretold).then_some(number);
        Some(Arc::new(numbers.into_iter().zip(foretold).map(stored).collect::<UInt32Array>()))
    }

    /// The skeletons of some rows of which this is stored. `None` when something is damaged.
    pub fn put_in<'a>(&self, stored: &ArrayRef, find: impl Fn(usize) -> Option<&'a ArrayRef>) -> Option<ArrayRef> {
        let foretold = self.of_rows(stored.len(), find)?;
        let number = |(stored, foretold): (Option<u32>, u32)| Some(stored.unwrap_or(foretold)).filter(|it| *it != NONE);
        let stored = stored.as_primitive_opt::<UInt32Type>()?;
        Some(Arc::new(stored.iter().zip(foretold).map(number).collect::<UInt32Array>()))
    }

    fn of_rows<'a>(&self, rows: usize, find: impl Fn(usize) -> Option<&'a ArrayRef>) -> Option<Vec<u32>> {
        let sets = sets(&self.columns, rows, find)?;
        let mut numbers = [NONE; 1 << COLUMNS_MAX];
        numbers.get_mut(..self.numbers.len())?.copy_from_slice(&self.numbers);
        Some(sets.into_iter().map(|set| numbers[usize::from(set)]).collect())
    }
}

/// Its values are in other columns, or not there.
fn is_message(key: &ColumnKey) -> bool {
    key.kind == Kind::Str && &*key.field == field::MESSAGE
}

/// By row which of the columns have a value.
fn sets<'a>(columns: &[usize], rows: usize, find: impl Fn(usize) -> Option<&'a ArrayRef>) -> Option<Vec<u8>> {
    let mut sets = vec![0; rows];
    for (bit, place) in columns.iter().enumerate() {
        let array = find(*place).filter(|array| array.len() == rows)?;
        match array.nulls() {
            None => sets.iter_mut().for_each(|set| *set |= 1 << bit),
            Some(nulls) => sets.iter_mut().zip(nulls).for_each(|(set, there)| *set |= u8::from(there) << bit),
        }
    }
    Some(sets)
}

/// By row the number of its skeleton, or [`NONE`].
fn numbers(shapes: &ArrayRef) -> Option<Vec<u32>> {
    let shapes = shapes.as_primitive_opt::<UInt32Type>()?;
    Some(match shapes.null_count() {
        0 => shapes.values().to_vec(),
        _ => shapes.iter().map(|number| number.unwrap_or(NONE)).collect(),
    })
}

/// Rows that have the most frequent skeleton of their set.
fn right(counted: &Counted) -> usize {
    let mut most: BTreeMap<u8, usize> = BTreeMap::new();
    for ((set, _), times) in counted {
        let most = most.entry(*set).or_default();
        *most = (*most).max(*times);
    }
    most.values().sum()
}

/// The same without one of the columns.
fn without(counted: &Counted, bit: usize) -> Counted {
    let mut rest = Counted::new();
    for ((set, number), times) in counted {
        let (below, above) = (set & ((1 << bit) - 1), (u16::from(*set) >> (bit + 1)) as u8);
        *rest.entry((below | above << bit, *number)).or_default() += times;
    }
    rest
}

#[cfg(test)]
mod tests;

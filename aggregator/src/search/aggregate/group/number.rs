//! The distinct values of some rows as numbers, in the order in which they come.

use std::collections::HashMap;

use arrow::array::{Array, StringArray, UInt16Array};
use arrow::record_batch::RecordBatch;

use super::{Bin, GroupBy, Ident, floor};
use crate::search::aggregate::hasher::FastState;
use crate::search::cell::{Column, FieldColumns, Value};

/// The number of each row, and the values.
pub(super) fn number_values(by: &GroupBy, batch: &RecordBatch, rows: &[usize]) -> (Vec<u32>, Vec<Value>) {
    let columns = FieldColumns::new(batch, &by.field);
    if let (None, None, [Column::Text(array)]) = (by.bin, &columns.extra, &columns.columns[..]) {
        return number_texts(array, rows);
    }
    if let (None, None, [Column::Numbered(keys, texts)]) = (by.bin, &columns.extra, &columns.columns[..]) {
        return renumber(keys, texts, rows);
    }
    if let (Some(Bin { time_ns: Some(width), .. }), None, [Column::Time(array)]) =
        (by.bin, &columns.extra, &columns.columns[..])
        && array.null_count() == 0
    {
        return number_times(array.values(), width, rows);
    }
    let mut numbers: HashMap<Ident, u32> = HashMap::new();
    let mut values = Vec::new();
    let codes = rows.iter().map(|row| {
        let cell = columns.cell(*row);
        let value = by.bin.map_or_else(|| cell.to_value(), |bin| bin.of(&cell));
        *numbers.entry(Ident::of(&value)).or_insert_with(|| {
            values.push(value);
            values.len() as u32 - 1
        })
    });
    let codes = codes.collect();
    (codes, values)
}

/// Rows that have the numbers of a dictionary already: those that occur get numbers without gaps.
fn renumber(keys: &UInt16Array, texts: &StringArray, rows: &[usize]) -> (Vec<u32>, Vec<Value>) {
    // The last place is for rows without a value.
    let missing = texts.len();
    let mut numbers = vec![u32::MAX; texts.len() + 1];
    let mut values = Vec::new();
    let numbers_of = keys.values();
    let all_valid = keys.null_count() == 0;
    let codes = rows.iter().map(|row| {
        let place = if all_valid || keys.is_valid(*row) { usize::from(numbers_of[*row]) } else { missing };
        if numbers[place] == u32::MAX {
            numbers[place] = values.len() as u32;
            values.push(if place == missing { Value::Null } else { Value::Text(texts.value(place).into()) });
        }
        numbers[place]
    });
    let codes = codes.collect();
    (codes, values)
}

/// The bins of times: neighbours are mostly in the same.
fn number_times(times: &[i64], width: i64, rows: &[usize]) -> (Vec<u32>, Vec<Value>) {
    let mut numbers: HashMap<i64, u32, FastState> = HashMap::default();
    let mut values = Vec::new();
    let mut last: Option<(i64, u32)> = None;
    let codes = rows.iter().map(|row| {
        let at = times[*row];
        if let Some((start, code)) = last
            && at >= start
            && at.saturating_sub(start) < width
        {
            return code;
        }
        let start = floor(at, width);
        let code = *numbers.entry(start).or_insert_with(|| {
            values.push(Value::Time(start));
            values.len() as u32 - 1
        });
        last = Some((start, code));
        code
    });
    let codes = codes.collect();
    (codes, values)
}

fn number_texts(array: &StringArray, rows: &[usize]) -> (Vec<u32>, Vec<Value>) {
    let mut numbers: HashMap<Option<&str>, u32, FastState> = HashMap::default();
    let mut values = Vec::new();
    // Neighbours often have the same value.
    let mut last: Option<(Option<&str>, u32)> = None;
    let codes = rows.iter().map(|row| {
        let text = array.is_valid(*row).then(|| array.value(*row));
        if let Some((seen, code)) = last
            && seen == text
        {
            return code;
        }
        let code = *numbers.entry(text).or_insert_with(|| {
            values.push(text.map_or(Value::Null, |text| Value::Text(text.into())));
            values.len() as u32 - 1
        });
        last = Some((text, code));
        code
    });
    let codes = codes.collect();
    (codes, values)
}

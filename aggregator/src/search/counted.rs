//! Counting the events of a block without reading it: from its number of rows, and from the counts of a field's values
//! that its segment keeps.
//!
//! The values become a small batch in which a row stands for many events; filters and groups run over it as over any
//! other.

use std::borrow::Cow;
use std::collections::BTreeSet;

use arrow::record_batch::RecordBatch;
use logweir_proto::record::field;

use super::aggregate::group::floor;
use super::cell::{Cell, Value};
use super::filter::Filter;
use super::mask::Mask;
use super::scan::{BlockRef, TimeRange};
use super::table::{arrays_of, batch};
use crate::store::segment::Segment;

/// Rows that stand for many events each.
pub struct Counted {
    pub batch: RecordBatch,
    pub mask: Mask,
    /// How many events each row of `mask` stands for.
    pub weights: Vec<u64>,
}

/// The values of a field in a block, and how often each occurs.
pub struct CountedValues<'a> {
    counts: &'a [(String, u32)],
    is_int: bool,
}

impl<'a> CountedValues<'a> {
    /// `None` when the segment does not know, or knows only how the values print.
    pub fn of(segment: &'a dyn Segment, block: usize, name: &str) -> Option<CountedValues<'a>> {
        let counts = segment.counts(block, name)?;
        let is_int = match segment.fields().get(name).map(|stat| &stat.types[..]) {
            Some(["int"]) => true,
            Some(["str"]) => false,
            // No event of the segment has it.
            None if counts.is_empty() => false,
            _ => return None,
        };
        Some(CountedValues { counts, is_int })
    }

    /// The values where they lie, with their counts; `None` in the place of one that is no integer where all should be.
    pub fn cells(&self) -> impl Iterator<Item = Option<(Cell<'a>, u32)>> {
        let is_int = self.is_int;
        self.counts.iter().map(move |(text, count)| {
            let cell = if is_int { Cell::Int(text.parse().ok()?) } else { Cell::Text(Cow::Borrowed(text.as_str())) };
            Some((cell, *count))
        })
    }
}

/// The events of a block that pass, by the values of at most one field; `None` when the block must be read.
///
/// `by` are the fields that matter beside those of the filter; `width_ns` is that of the time bins, if there are any.
pub fn counted(
    segment: &dyn Segment,
    block: &BlockRef,
    range: TimeRange,
    filter: &Filter,
    by: &BTreeSet<&str>,
    width_ns: Option<i64>,
) -> Option<Counted> {
    let stat = &block.stat;
    // Most blocks span several bins, which is known at once.
    let in_one_bin = width_ns.is_none_or(|width| floor(stat.min_time_ns, width) == floor(stat.max_time_ns, width));
    if !in_one_bin || !range.contains(stat) {
        return None;
    }
    let fields: BTreeSet<&str> = by.iter().copied().chain(filter.columns()).collect();
    if fields.len() > 1 {
        return None;
    }
    let (mut values, mut weights) = (Vec::new(), Vec::new());
    let mut left = stat.rows;
    if let Some(name) = fields.first() {
        for counted in CountedValues::of(segment, block.block, name)?.cells() {
            let (cell, count) = counted?;
            left = left.checked_sub(count)?;
            values.push(cell.to_value());
            weights.push(u64::from(count));
        }
    }
    if left > 0 {
        // Events that lack the field.
        values.push(Value::Null);
        weights.push(u64::from(left));
    }
    let times: Vec<Value> = values.iter().map(|_| Value::Time(stat.min_time_ns)).collect();
    let mut columns = arrays_of(field::TIME, &times.iter());
    for name in fields {
        columns.extend(arrays_of(name, &values.iter()));
    }
    let (columns, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let batch = batch(columns, arrays, weights.len())?;
    let mask = filter.eval(&batch, &Mask::all(weights.len()));
    let weights = mask.rows().map(|row| weights[row]).collect();
    Some(Counted { batch, mask, weights })
}

//! Rows of a column that have no value, as runs: while a column is built it holds its values alone.

use arrow::array::BooleanBufferBuilder;
use arrow::buffer::NullBuffer;

/// The runs of rows without a value.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    /// How many values stand before a run, and its rows.
    runs: Vec<(u32, u32)>,
    rows: usize,
}

impl Gaps {
    /// Adds rows without a value behind so many values.
    pub(super) fn add(&mut self, values: usize, rows: usize) {
        self.rows += rows;
        match self.runs.last_mut() {
            Some((before, missing)) if *before as usize == values => *missing += rows as u32,
            _ if rows > 0 => self.runs.push((values as u32, rows as u32)),
            _ => {}
        }
    }

    /// How many rows have no value.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The values with the default of their type in the gaps.
    pub(super) fn spread<T: Copy + Default>(&self, mut values: Vec<T>) -> Vec<T> {
        if self.runs.is_empty() {
            // Blocks stay in memory for minutes.
            values.shrink_to_fit();
            return values;
        }
        let mut out = Vec::with_capacity(values.len() + self.rows);
        let mut at = 0;
        for (before, missing) in &self.runs {
            out.extend_from_slice(&values[at..*before as usize]);
            out.resize(out.len() + *missing as usize, T::default());
            at = *before as usize;
        }
        out.extend_from_slice(&values[at..]);
        out
    }

    /// The places of values, one more than there are values, as places of rows: a row without a value is empty.
    pub(super) fn stretch(&self, mut offsets: Vec<i32>) -> Vec<i32> {
        if self.runs.is_empty() {
            offsets.shrink_to_fit();
            return offsets;
        }
        let mut out = Vec::with_capacity(offsets.len() + self.rows);
        let mut at = 0;
        for (before, missing) in &self.runs {
            let before = *before as usize;
            out.extend_from_slice(&offsets[at..before]);
            out.resize(out.len() + *missing as usize, offsets[before]);
            at = before;
        }
        out.extend_from_slice(&offsets[at..]);
        out
    }

    /// Which rows have one of so many values; `None` where all have.
    pub(super) fn nulls(&self, values: usize) -> Option<NullBuffer> {
        if self.runs.is_empty() {
            return None;
        }
        let mut present = BooleanBufferBuilder::new(values + self.rows);
        let mut at = 0;
        for (before, missing) in &self.runs {
            present.append_n(*before as usize - at, true);
            present.append_n(*missing as usize, false);
            at = *before as usize;
        }
        present.append_n(values - at, true);
        Some(NullBuffer::new(present.finish()))
    }
}

//! How each column of a split is encoded, judged by a sample of its rows.
//!
//! Values that come again are worth a dictionary, all others are kept as they are: texts of one length (ids) without a
//! length each, numbers by the planes of their bytes. What never changes is not compressed: a page of it is a few
//! bytes.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Float64Type, Int64Type};
use arrow::record_batch::RecordBatch;

use super::hashes;
use super::indexer::WORD_FIELDS;
use super::rows::compressor::{Compressor, Habit};
use super::rows::{Plain, Plan, encode};
use crate::store::column::{FIELD_COLUMNS_AT, Kind, Layout};
use crate::store::segment::BLOCK_ROWS_MAX;

/// Rows of the sample.
pub const SAMPLE_ROWS: usize = 4096;

/// A value that stands in all rows is not compressed up to this length.
const CONSTANT_BYTES_MAX: usize = 64;

/// A dictionary surely pays when a value comes again so often within a row group.
const CERTAIN_TIMES: f64 = 16.0;

/// Else it has to be surely smaller: what a sample says of it is rather too little.
const DICTIONARY_GAIN: f64 = 0.8;

/// Texts are compared with one another where that gains as much.
const ALIKE_GAIN: f64 = 0.98;

/// So many texts are worth an order; that of fewer costs the pages more than it gives the dictionary.
const ORDERED_VALUES_MIN: f64 = 1000.0;

/// Fewer rows will be merged: those that number the values again meet them in the order of their first rows.
const ORDERED_ROWS_MIN: usize = 24 * BLOCK_ROWS_MAX;

/// How the columns of `rows` rows in groups of `group_rows` are encoded, of which `sample` is a part.
pub fn plans(layout: &Layout, sample: &RecordBatch, rows: usize, group_rows: usize) -> Vec<Plan> {
    let mut trial = Trial::new();
    let plan = |i: usize| {
        if i < FIELD_COLUMNS_AT {
            return Plan { plain: Plain::Deltas, bounds: true, ..PLAIN };
        }
        let column = sample.column(i);
        let plan = match layout.keys().get(i - FIELD_COLUMNS_AT) {
            Some(key) => {
                let values = Values::of(column, key.kind, (rows, group_rows), &mut trial);
                let plan = plan_of(key.kind, WORD_FIELDS.contains(&&*key.field), &values);
                Plan { ordered: plan.ordered && rows >= ORDERED_ROWS_MIN, ..plan }
            }
            None => Plan { dictionary: i == layout.shape(), ..PLAIN },
        };
        let empty = column.null_count() == column.len() && sample.num_rows() == rows;
        Plan { compressed: plan.compressed && !empty, ..plan }
    };
    (0..=layout.raw()).map(plan).collect()
}

/// A column without any of it.
const PLAIN: Plan =
    Plan { dictionary: false, ordered: false, plain: Plain::Bytes, compressed: true, alike: false, bounds: false };

/// Numbers of few different values.
pub const NUMBERED: Plan = Plan { dictionary: true, ..PLAIN };

fn plan_of(kind: Kind, prose: bool, values: &Values) -> Plan {
    let bounds = matches!(kind, Kind::Int | Kind::Float);
    if values.constant {
        return Plan { dictionary: kind != Kind::Bool, compressed: false, bounds, ..PLAIN };
    }
    let plain = match kind {
        Kind::Bool => return PLAIN,
        // Prose repeats itself, and zstd finds that by the lengths between, too.
        Kind::Str if !prose && values.lengths_apart => Plain::Lengths,
        Kind::Str => Plain::Bytes,
        Kind::Int | Kind::Float => Plain::Streams,
    };
    // Messages are looked into, so they are kept as text unless they are but a few.
    let certain = values.distinct * CERTAIN_TIMES <= values.present;
    let again = kind == Kind::Str && !prose && values.distinct * 5.0 < values.present * 3.0;
    let dictionary = certain || (again && values.dictionary_bytes < DICTIONARY_GAIN * values.plain_bytes);
    let ordered = dictionary && kind == Kind::Str && values.distinct >= ORDERED_VALUES_MIN;
    Plan { dictionary, ordered, plain, bounds, compressed: true, alike: values.alike }
}

/// What a sample says of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Values {
    /// Values that are there in a row group.
    present: f64,
    /// Different ones among them.
    distinct: f64,
    /// Bytes of a text by itself, and of one in a dictionary, with its share of the dictionary.
    plain_bytes: f64,
    dictionary_bytes: f64,
    /// Texts take fewer bytes behind the lengths of all of them.
    lengths_apart: bool,
    /// And fewer still where they are compared with one another.
    alike: bool,
    /// There is one short value, as far as can be seen.
    constant: bool,
}

impl Values {
    /// Of a column of so many rows, in groups of so many.
    fn of(column: &ArrayRef, kind: Kind, (rows, group_rows): (usize, usize), trial: &mut Trial) -> Values {
        let mut hashes: Vec<u64> = match kind {
            Kind::Str => column.as_string::<i32>().iter().flatten().map(|v| hashes::hash64(v.as_bytes())).collect(),
            Kind::Int => column.as_primitive::<Int64Type>().iter().flatten().map(|v| v as u64).collect(),
            Kind::Float => column.as_primitive::<Float64Type>().iter().flatten().map(f64::to_bits).collect(),
            Kind::Bool => column.as_boolean().iter().flatten().map(u64::from).collect(),
        };
        hashes.sort_unstable();
        let seen = hashes.len() as f64;
        let (mut distinct, mut once, mut twice, mut bits) = (0.0, 0.0, 0.0, 0.0);
        for same in hashes.chunk_by(|a, b| a == b) {
            let times = same.len() as f64;
            distinct += 1.0;
            once += if same.len() == 1 { 1.0 } else { 0.0 };
            twice += if same.len() == 2 { 1.0 } else { 0.0 };
            bits += times / seen * (seen / times).log2();
        }
        let of_group = rows.min(group_rows) as f64 / column.len().max(1) as f64;
        let present = seen * of_group;
        let sampled = distinct;
        let rare = (once + 2.0 * twice) / seen.max(1.0);
        if column.len() < rows && rare > 0.0 {
            // Chao's estimate of the rare values, and how many of those a row group meets.
            let all: f64 = once + twice + once * once / (2.0 * f64::max(twice, 0.5));
            let met = all * (1.0 - (-present * rare / all.max(1.0)).exp());
            distinct = (distinct - once - twice + met).clamp(distinct, present.max(distinct));
        }
        let short =
            kind != Kind::Str || column.as_string::<i32>().value_data().len() <= hashes.len() * CONSTANT_BYTES_MAX;
        let constant = sampled == 1.0 && short && (column.len() == rows || 2 * hashes.len() >= column.len());
        let (plain_bytes, dictionary_bytes) = (0.0, 0.0);
        let mut values =
            Values { present, distinct, plain_bytes, dictionary_bytes, lengths_apart: false, alike: false, constant };
        if kind == Kind::Str && seen > 0.0 {
            let texts = column.as_string::<i32>();
            // With few values there is no doubt.
            if distinct * CERTAIN_TIMES > present {
                let mut known = HashSet::with_capacity(sampled as usize);
                let (joined, apart) = (trial.joined(texts.iter().flatten()), trial.apart(texts.iter().flatten()));
                // What was put there last.
                let alike = trial.alike();
                values.alike = alike < ALIKE_GAIN * apart;
                values.lengths_apart = apart.min(alike) < joined;
                values.plain_bytes = joined.min(apart).min(alike) / seen;
                let each = trial.joined(texts.iter().flatten().filter(|text| known.insert(*text))) / sampled;
                // A sample has less variety than the whole, and a large dictionary is compressed better.
                let number = f64::max(bits + rare * (distinct / sampled).log2(), 1.0) / 8.0;
                values.dictionary_bytes = number + 0.75 * each * distinct / present;
            }
        }
        values
    }
}

/// Tries how texts are kept.
struct Trial {
    /// `None` when zstd has no memory: then nothing gets smaller.
    compressor: Option<Compressor>,
    body: Vec<u8>,
    words: Vec<u64>,
    texts_at: usize,
}

impl Trial {
    fn new() -> Trial {
        Trial { compressor: Compressor::new().ok(), body: Vec::new(), words: Vec::new(), texts_at: 0 }
    }

    fn compressed(&mut self, cuts: &[usize]) -> f64 {
        let packed = self.compressor.as_mut().and_then(|compressor| compressor.compress(&self.body, cuts).ok());
        packed.map_or(self.body.len(), <[u8]>::len) as f64
    }

    /// Bytes of these texts, each behind its length, compressed.
    fn joined<'a>(&mut self, texts: impl Iterator<Item = &'a str>) -> f64 {
        self.body.clear();
        for text in texts {
            self.body.extend_from_slice(&(text.len() as u32).to_le_bytes());
            self.body.extend_from_slice(text.as_bytes());
        }
        self.compressed(&[])
    }

    /// The same with their lengths in front of all of them.
    fn apart<'a>(&mut self, texts: impl Iterator<Item = &'a str> + Clone) -> f64 {
        self.body.clear();
        let (texts_at, _) =
            encode::texts_apart(|| texts.clone().map(str::as_bytes), None, &mut self.words, &mut self.body);
        self.texts_at = texts_at;
        self.compressed(&[texts_at])
    }

    /// The same texts as the last ones of [`Trial::apart`], compared with one another.
    fn alike(&mut self) -> f64 {
        let lengths = self.words.iter().map(|length| *length as usize);
        let packed = self.compressor.as_mut().and_then(|compressor| {
            compressor.compress_texts(&self.body, self.texts_at, lengths, &mut Habit::here()).ok()
        });
        packed.map_or(self.body.len(), <[u8]>::len) as f64
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    fn of(values: impl Iterator<Item = String>, rows: usize) -> Values {
        Values::of(
            &(Arc::new(StringArray::from_iter_values(values)) as ArrayRef),
            Kind::Str,
            (rows, rows),
            &mut Trial::new(),
        )
    }

    #[test]
    fn a_sample_tells_how_many_values_all_rows_have() {
        let ids = of((0..1000).map(|i| format!("{i:08}")), 50_000);
        assert!(ids.distinct > 25_000.0 && ids.plain_bytes < ids.dictionary_bytes, "{ids:?}");
        let random = |i: u64| format!("{:016x}", hashes::hash64(&i.to_le_bytes()));
        assert!(of((0..1000).map(random), 50_000).lengths_apart);
        let few = of((0..1000).map(|i| format!("{}", i % 20)), 50_000);
        assert!(few.distinct.round() == 20.0 && !few.lengths_apart, "{few:?}");
        // A thousand draws of two thousand long ones.
        let draw = |i: u64| format!("{:>60}", hashes::hash64(&i.to_le_bytes()) % 2000);
        let some = of((0..1000).map(draw), 20_000);
        assert!(some.distinct > 500.0 && some.distinct < 4000.0, "{some:?}");
        assert!(some.dictionary_bytes < some.plain_bytes, "{some:?}");
        assert!(of((0..9).map(|_| "a".repeat(64)), 9).constant && !of((0..9).map(|_| "a".repeat(65)), 9).constant);
        let none = Values::of(&(Arc::new(Int64Array::new_null(9)) as ArrayRef), Kind::Int, (9, 9), &mut Trial::new());
        assert!(!none.constant && none.distinct == 0.0, "{none:?}");
    }
}

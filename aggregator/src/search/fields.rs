//! What there is to search for: the fields.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use logweir_proto::record::field;
use schemars::JsonSchema;
use serde::Serialize;

use super::aggregate::group::Ident;
use super::cell::{Cell, FieldColumns};
use super::scan::{TimeRange, projection};
use crate::store::segment::Segment;

/// A field that some event has.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FieldInfo {
    pub name: String,
    /// `str`, `int`, `float`, `bool`.
    pub types: Vec<&'static str>,
    /// Events that have it, among those of the segments within the range.
    pub rows: u64,
    /// The share of these events, in percent.
    pub coverage: f64,
    /// Different values, about: from a sample of some blocks. Absent where the sample has none, and behind the first
    /// [`ESTIMATED_FIELDS_MAX`] fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distinct: Option<u64>,
}

/// Most fields whose values are estimated.
pub const ESTIMATED_FIELDS_MAX: usize = 50;

/// Blocks of the sample, spread over all blocks of the range, at the most; fewer when they have rows enough.
const SAMPLE_BLOCKS_MAX: usize = 64;

const _: () = assert!(SAMPLE_BLOCKS_MAX.is_power_of_two());

/// Rows that are enough for a sample.
const SAMPLE_ROWS: usize = 16_384;

/// Adds how many different values each field has, about.
pub fn estimate(infos: &mut [FieldInfo], segments: &[Arc<dyn Segment>], range: TimeRange) {
    let reached: Vec<_> = segments.iter().filter(|segment| range.reaches(&***segment)).collect();
    let count = infos.len().min(ESTIMATED_FIELDS_MAX);
    let infos = &mut infos[..count];
    let names: BTreeSet<String> = infos.iter().map(|info| info.name.clone()).collect();
    let wanted = projection(&names.iter().map(String::as_str).collect());
    let mut seen: Vec<HashMap<u64, u32>> = vec![HashMap::new(); infos.len()];
    let blocks: Vec<(usize, usize)> = reached
        .iter()
        .enumerate()
        .flat_map(|(at, segment)| segment.blocks().iter().enumerate().map(move |(block, stat)| (at, block, stat)))
        .filter(|(_, _, stat)| range.overlaps(stat))
        .map(|(at, block, _)| (at, block))
        .collect();
    let count = SAMPLE_BLOCKS_MAX.min(blocks.len());
    let mut rows = 0;
    for at in spread(count) {
        if rows >= SAMPLE_ROWS {
            break;
        }
        let (segment, block) = blocks[at * blocks.len() / count];
        let Ok(batch) = reached[segment].read(block, &wanted, None) else { continue };
        rows += batch.num_rows();
        for (info, seen) in infos.iter().zip(&mut seen) {
            let columns = FieldColumns::new(&batch, &info.name);
            let cells = (0..batch.num_rows()).map(|row| columns.cell(row)).filter(|cell| !matches!(cell, Cell::Null));
            cells.for_each(|cell| *seen.entry(Ident::hash_of(&cell)).or_default() += 1);
        }
    }
    for (info, seen) in infos.iter_mut().zip(seen) {
        let sampled = seen.values().map(|count| u64::from(*count)).sum();
        let once = seen.values().filter(|count| **count == 1).count() as u64;
        info.distinct = (sampled > 0).then(|| estimated(seen.len() as u64, once, sampled, info.rows));
    }
}

/// The numbers below a count of at most [`SAMPLE_BLOCKS_MAX`]: the first, the one in the middle, those in the middle of the halves
/// and so on. A sample that ends early is spread as well.
fn spread(count: usize) -> impl Iterator<Item = usize> {
    let order = (0..SAMPLE_BLOCKS_MAX).map(|i| i.reverse_bits() >> (usize::BITS - SAMPLE_BLOCKS_MAX.ilog2()));
    order.filter(move |at| *at < count)
}

/// How many values there are among `rows`, when a sample of them has `distinct`, `once` of which it has but once: the
/// estimator of Charikar, Chaudhuri, Motwani and Narasayya (2000), whose error is bounded whatever the values are.
fn estimated(distinct: u64, once: u64, sampled: u64, rows: u64) -> u64 {
    let scale = (rows.max(sampled) as f64 / sampled.max(1) as f64).sqrt();
    ((scale * once as f64).round() as u64 + (distinct - once)).min(rows.max(distinct))
}

/// The fields of all segments that reach into the range, canonical ones first.
pub fn list(segments: &[Arc<dyn Segment>], range: TimeRange) -> Vec<FieldInfo> {
    let mut total = 0;
    let mut infos: BTreeMap<(usize, &str), FieldInfo> = BTreeMap::new();
    for segment in segments.iter().filter(|segment| range.reaches(&***segment)) {
        total += segment.blocks().iter().map(|block| u64::from(block.rows)).sum::<u64>();
        for (name, stat) in segment.fields() {
            let info = infos.entry((place(name), name)).or_insert_with(|| FieldInfo {
                name: name.clone(),
                types: Vec::new(),
                rows: 0,
                coverage: 0.0,
                distinct: None,
            });
            info.rows += stat.rows;
            info.types.extend(stat.types.iter().copied());
        }
    }
    let infos = infos.into_values().map(|mut info| {
        info.types.sort_unstable();
        info.types.dedup();
        info.coverage = 100.0 * info.rows as f64 / (total as f64).max(1.0);
        info
    });
    infos.collect()
}

/// The place of a field in a list: canonical ones first, in their order.
pub fn place(name: &str) -> usize {
    field::ALL.iter().position(|field| *field == name).unwrap_or(field::ALL.len())
}

#[cfg(test)]
mod tests {
    use super::{estimated, spread};

    #[test]
    fn the_first_blocks_of_a_sample_are_as_far_apart_as_all_of_them() {
        for count in 0..=64 {
            let mut all: Vec<usize> = spread(count).collect();
            all.sort_unstable();
            assert_eq!(all, (0..count).collect::<Vec<_>>());
        }
        assert_eq!(spread(64).take(4).collect::<Vec<_>>(), [0, 32, 16, 48]);
    }

    #[test]
    fn few_values_are_those_that_were_seen_and_many_are_scaled() {
        assert_eq!(estimated(5, 0, 4096, 1_000_000), 5);
        assert_eq!(estimated(4096, 4096, 4096, 4096), 4096);
        assert_eq!(estimated(100, 100, 100, 10_000), 1000);
        assert_eq!(estimated(0, 0, 0, 0), 0);
    }
}

//! Compaction: small splits of one day and retention class become a larger one, so that a search opens few.
//!
//! Splits are merged with others of their size, so that a line is written again only a few times in its life.
//! One commit record adds the new split and removes the old ones; whoever is reading those goes on for the grace.
//! After a merge compaction rests until what it read and wrote is within its budget.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use logweir_runtime::clock::{NANOS_PER_SECOND, Nanos};

use super::{Inner, StoreError, Work, day_of, split_path, unique};
use crate::ranges::SourceRanges;
use crate::store::commit::Record;
use crate::store::split::footer::SplitMeta;
use crate::store::split::writer::{SplitSource, write};

/// How often compaction looks.
pub(super) const COMPACT_EVERY_NS: Nanos = 30 * NANOS_PER_SECOND;

/// Splits that could not be merged are left alone for so long: one may be damaged.
const RETRY_NS: Nanos = 3600 * NANOS_PER_SECOND;

/// Splits that are merged at once, at least and at most.
pub(super) const INPUTS_MIN: usize = 8;
pub(super) const INPUTS_MAX: usize = 64;

/// Bytes of lines of a merged split: its columns are in memory while it is written.
pub(super) const OUTPUT_RAW_BYTES_MAX: u64 = 128 << 20;

/// Splits below two to this power of bytes of lines are of one size: what a quiet class seals is merged early.
const SMALL_LOG2: u32 = 20;

/// When to look, and what could not be merged.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    next_ns: Nanos,
    /// The pause that ends then.
    pause_ns: Nanos,
    /// Splits that are left alone, and until when.
    failed: HashMap<String, Nanos>,
}

impl Compaction {
    pub(super) fn is_due(&self, now: Nanos) -> bool {
        // Later than a pause from now is what a clock that was set back leaves.
        now >= self.next_ns || self.next_ns - now > self.pause_ns
    }

    /// Rests after so many bytes, at least a period.
    fn rest(&mut self, now: Nanos, bytes: u64, bytes_per_s: u64) {
        let spent_ns = u128::from(bytes) * NANOS_PER_SECOND as u128 / u128::from(bytes_per_s.max(1));
        self.pause_ns = Nanos::try_from(spent_ns).unwrap_or(RETRY_NS).clamp(COMPACT_EVERY_NS, RETRY_NS);
        self.next_ns = now.saturating_add(self.pause_ns);
    }
}

/// Splits of one day, retention class and size, by time, if there are enough of them.
pub(super) fn choose<'a>(splits: impl Iterator<Item = &'a Arc<SplitMeta>>) -> Option<Vec<Arc<SplitMeta>>> {
    let mut groups: BTreeMap<(String, &str, u32), Vec<&Arc<SplitMeta>>> = BTreeMap::new();
    for meta in splits.filter(|meta| meta.raw_bytes <= OUTPUT_RAW_BYTES_MAX / INPUTS_MIN as u64) {
        // A step is a factor of eight: as many as are merged.
        let size = meta.raw_bytes.max(1).ilog2().max(SMALL_LOG2) / 3;
        groups.entry((day_of(meta.max_time_ns), &meta.class, size)).or_default().push(meta);
    }
    let mut group = groups.into_values().find(|group| group.len() >= INPUTS_MIN)?;
    group.sort_by_key(|meta| (meta.min_time_ns, meta.max_time_ns));
    let mut raw_bytes = 0;
    let fits = |meta: &&Arc<SplitMeta>| {
        raw_bytes += meta.raw_bytes;
        raw_bytes <= OUTPUT_RAW_BYTES_MAX
    };
    Some(group.into_iter().take(INPUTS_MAX).take_while(fits).cloned().collect())
}

impl Inner {
    /// Merges one group of splits, if there is one.
    pub(super) fn compact(&self, work: &mut Work, now: Nanos) {
        work.compaction.rest(now, 0, self.config.compaction_bytes_per_s);
        let (splits, failed) = (work.catalogue.splits(), &mut work.compaction.failed);
        failed.retain(|path, until| now < *until && *until - now <= RETRY_NS && splits.contains_key(path));
        let Some(inputs) = choose(splits.values().filter(|meta| !failed.contains_key(&meta.path))) else { return };
        match self.merge(work, &inputs, now) {
            Ok(bytes) => {
                metrics::counter!("logweir_compactions_total").increment(1);
                metrics::counter!("logweir_compaction_bytes_total").increment(bytes);
                work.compaction.rest(now, bytes, self.config.compaction_bytes_per_s);
            }
            Err(error) => {
                // Nothing is lost and nothing is late; a damaged split shows where it is searched.
                tracing::warn!(error = %error, splits = inputs.len(), "splits cannot be merged; they stay as they are");
                metrics::counter!("logweir_store_failures_total", "step" => "compaction").increment(1);
                let until = now.saturating_add(RETRY_NS);
                // Its commit may have folded what was committed before it.
                self.publish(work, now);
                work.compaction.failed.extend(inputs.iter().map(|meta| (meta.path.clone(), until)));
            }
        }
    }

    /// How many bytes were read and written.
    fn merge(&self, work: &mut Work, inputs: &[Arc<SplitMeta>], now: Nanos) -> Result<u64, StoreError> {
        let (mut blocks, mut ranges) = (Vec::new(), SourceRanges::default());
        for meta in inputs {
            let damaged = |reason: String| StoreError::Split { path: meta.path.clone(), reason };
            let split = self.cache.get(&meta.path).map_err(damaged)?;
            blocks.extend(split.to_blocks().map_err(damaged)?.into_iter().map(Arc::new));
            ranges.merge(&split.known().footer.ranges);
        }
        let nonce = unique(now);
        let max_time_ns = inputs.iter().map(|meta| meta.max_time_ns).max().unwrap_or(now);
        let first = inputs.iter().map(|meta| meta.wal.0).min().unwrap_or(0);
        let upto = inputs.iter().map(|meta| meta.wal.1).max().unwrap_or(0);
        let class = inputs.first().map_or_else(String::new, |meta| meta.class.clone());
        let path = split_path(max_time_ns, &class, &nonce);
        let file = write(&blocks, SplitSource { path, wal: (first, upto), ranges, class })?;
        self.objects.put(&file.meta.path, file.bytes)?;
        let bytes = inputs.iter().map(|meta| meta.bytes).sum::<u64>() + file.meta.bytes;
        let removed: Vec<String> = inputs.iter().map(|meta| meta.path.clone()).collect();
        let record = Record {
            nonce,
            time_ns: now,
            added: vec![file.meta],
            removed,
            wal_upto: None,
            ranges: SourceRanges::default(),
        };
        work.catalogue.commit(&*self.commits, &record)?;
        self.publish(work, now);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compaction_rests_until_it_is_within_its_budget() {
        let mut compaction = Compaction::default();
        assert!(compaction.is_due(0));
        let second = NANOS_PER_SECOND;
        for (bytes, rest_s) in [(0, 30), (10 << 20, 30), (100 << 20, 100), (u64::MAX, 3600)] {
            compaction.rest(5 * second, bytes, 1 << 20);
            assert!(!compaction.is_due((4 + rest_s) * second) && compaction.is_due((5 + rest_s) * second), "{bytes}");
            assert!(compaction.is_due(second), "the clock was set back");
        }
    }

    #[test]
    fn splits_of_one_day_class_and_size_are_chosen() {
        let of_class = |class: &str, i: i64, raw_bytes| {
            let time_ns = i * 3600 * NANOS_PER_SECOND;
            Arc::new(SplitMeta {
                path: format!("{i}"),
                bytes: 1,
                rows: 1,
                raw_bytes,
                min_time_ns: time_ns,
                max_time_ns: time_ns,
                wal: (i as u64, i as u64 + 1),
                class: class.to_owned(),
                ..SplitMeta::default()
            })
        };
        let meta = |i: i64, raw_bytes| of_class("", i, raw_bytes);
        let chosen = |splits: &[Arc<SplitMeta>]| choose(splits.iter()).map_or(0, |inputs| inputs.len());
        let small: Vec<_> = (0..8).map(|i| meta(i, 5000)).collect();
        assert_eq!((chosen(&small), chosen(&small[1..])), (8, 0));
        let days: Vec<_> = (20..28).map(|i| meta(i, 5000)).collect();
        assert_eq!(chosen(&days), 0, "half of them are of the next day");
        let sizes: Vec<_> = (0..8).map(|i| meta(i, 1 << (17 + i))).collect();
        assert_eq!(chosen(&sizes), 0, "they differ too much");
        let tiny: Vec<_> = (0..8).map(|i| meta(i, 1 << (10 + i))).collect();
        assert_eq!(chosen(&tiny), 8, "all are small");
        let classes: Vec<_> = (0..14).map(|i| of_class(["", "debug"][i as usize % 2], i, 5000)).collect();
        assert_eq!(chosen(&classes), 0, "seven of each class");
        assert_eq!(chosen(&[&classes[..], &[of_class("debug", 15, 9)]].concat()), 8);
        let many: Vec<_> = (0..16).map(|i| meta(i, 12 << 20)).collect();
        assert_eq!(chosen(&many), 10, "they fill one split");
        let large: Vec<_> = (0..16).map(|i| meta(i, 64 << 20)).collect();
        assert_eq!(chosen(&large), 0, "they are large enough");
    }
}

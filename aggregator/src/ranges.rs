//! Byte ranges that are stored, per (agent, source): the memory that makes a line stored exactly once.
//!
//! Ranges and not a high-water mark: when batches overtake each other, a mark takes the later for the whole.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Disjoint, non-touching half-open ranges. One when all is well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct RangeSet {
    by_start: BTreeMap<u64, u64>,
}

impl From<Vec<(u64, u64)>> for RangeSet {
    fn from(pairs: Vec<(u64, u64)>) -> RangeSet {
        let mut set = RangeSet::default();
        for (start, end) in pairs {
            set.insert(start, end);
        }
        set
    }
}

impl From<RangeSet> for Vec<(u64, u64)> {
    fn from(set: RangeSet) -> Vec<(u64, u64)> {
        set.by_start.into_iter().collect()
    }
}

impl RangeSet {
    /// Adds `[start, end)`, joining what it touches.
    pub fn insert(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let (mut low, mut high) = (start, end);
        while let Some((&from, &to)) = self.by_start.range(..=high).next_back() {
            if to < low {
                break;
            }
            self.by_start.remove(&from);
            low = low.min(from);
            high = high.max(to);
        }
        self.by_start.insert(low, high);
    }

    pub fn contains(&self, start: u64, end: u64) -> bool {
        start >= end || self.by_start.range(..=start).next_back().is_some_and(|(_, &to)| to >= end)
    }

    /// How the set covers `[start, end)`.
    pub fn coverage(&self, start: u64, end: u64) -> Coverage {
        if start >= end {
            return Coverage::Nothing;
        }
        if self.contains(start, end) {
            return Coverage::Whole;
        }
        let touched = self.by_start.range(..end).next_back().is_some_and(|(_, &to)| to > start);
        if touched { Coverage::Part } else { Coverage::Nothing }
    }

    /// End of the range that holds `offset - 1`, or that begins at or holds `offset`; `offset` itself if none does.
    pub fn end_of(&self, offset: u64) -> u64 {
        match self.by_start.range(..=offset).next_back() {
            Some((_, &to)) if to >= offset => to,
            _ => offset,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.by_start.iter().map(|(&start, &end)| (start, end))
    }

    pub fn is_empty(&self) -> bool {
        self.by_start.is_empty()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    Nothing,
    /// Some bytes are stored, others not: the batch is cut record by record.
    Part,
    Whole,
}

/// The ranges of all sources. Serialises as `[[agent, source, [[from, to], …]], …]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(String, String, RangeSet)>", into = "Vec<(String, String, RangeSet)>")]
pub struct SourceRanges {
    sets: HashMap<SourceKey, RangeSet>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceKey {
    pub agent: Arc<str>,
    pub source: Arc<str>,
}

impl SourceKey {
    pub fn new(agent: &str, source: &str) -> SourceKey {
        SourceKey { agent: agent.into(), source: source.into() }
    }
}

impl From<Vec<(String, String, RangeSet)>> for SourceRanges {
    fn from(list: Vec<(String, String, RangeSet)>) -> SourceRanges {
        let sets = list.into_iter().map(|(agent, source, set)| (SourceKey::new(&agent, &source), set)).collect();
        SourceRanges { sets }
    }
}

impl From<SourceRanges> for Vec<(String, String, RangeSet)> {
    fn from(ranges: SourceRanges) -> Vec<(String, String, RangeSet)> {
        let mut list: Vec<_> =
            ranges.sets.into_iter().map(|(key, set)| (key.agent.to_string(), key.source.to_string(), set)).collect();
        list.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        list
    }
}

impl SourceRanges {
    pub fn get(&self, key: &SourceKey) -> Option<&RangeSet> {
        self.sets.get(key)
    }

    pub fn insert(&mut self, key: &SourceKey, start: u64, end: u64) {
        match self.sets.get_mut(key) {
            Some(set) => set.insert(start, end),
            None => {
                let mut set = RangeSet::default();
                set.insert(start, end);
                self.sets.insert(key.clone(), set);
            }
        }
    }

    pub fn merge(&mut self, other: &SourceRanges) {
        for (key, set) in &other.sets {
            for (start, end) in set.iter() {
                self.insert(key, start, end);
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&SourceKey, &RangeSet)> {
        self.sets.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The set against a bitmap of the same operations.
        #[test]
        fn a_set_is_a_bitmap(ops in prop::collection::vec((0u64..60, 0u64..60), 0..40), start in 0u64..60, len in 0u64..20) {
            let mut set = RangeSet::default();
            let mut bits = [false; 64];
            for (a, b) in ops {
                set.insert(a.min(b), a.max(b));
                bits[a.min(b) as usize..a.max(b) as usize].fill(true);
            }
            let pairs: Vec<_> = set.iter().collect();
            for pair in pairs.windows(2) {
                prop_assert!(pair[0].1 < pair[1].0, "ranges touch: {pairs:?}");
            }
            let end = (start + len).min(60);
            let covered = (start..end).filter(|&i| bits[i as usize]).count() as u64;
            let want = match covered {
                0 => Coverage::Nothing,
                n if n == end - start => Coverage::Whole,
                _ => Coverage::Part,
            };
            prop_assert_eq!(set.coverage(start, end), want);
            let json = serde_json::to_string(&set).unwrap();
            prop_assert_eq!(serde_json::from_str::<RangeSet>(&json).unwrap(), set);
        }
    }
}

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

    pub fn len(&self) -> usize {
        self.by_start.len()
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

/// A source that got no bytes for this many days is forgotten: only a resend could need it, and none is that old.
pub const SOURCE_DAYS_MAX: u32 = 35;

/// Most sources; beyond, those that were silent longest are forgotten.
pub const SOURCES_MAX: usize = 500_000;

/// The agent that stands for `POST /api/v1/ingest`: its sources are idempotency keys.
pub const HTTP_AGENT: &str = "http";

/// An idempotency key is remembered to the end of the next day,
pub const KEY_DAYS_MAX: u32 = 1;

/// … unless there are more than this: then those of today are kept, and if they alone are too many, none.
pub const KEYS_MAX: usize = 200_000;

/// The ranges of all sources. Serialises as `[[agent, source, [[from, to], …], day], …]`.
///
/// Silence is counted in days on which records came. When their time leaps by more than a day, forward or back, the
/// clock was set or nothing ran, and no source was silent for it: all dates move along. So a clock that is wrong for
/// an hour makes nothing forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(String, String, RangeSet, u32)>", into = "Vec<(String, String, RangeSet, u32)>")]
pub struct SourceRanges {
    sets: HashMap<SourceKey, Entry>,
    /// Days since the epoch; what is inserted is of this day; 0 is not known. Taken from the records, not from a
    /// clock: a replay forgets what was forgotten.
    day: u32,
    keys: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    set: RangeSet,
    day: u32,
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

    fn is_idempotency_key(&self) -> bool {
        &*self.agent == HTTP_AGENT
    }
}

impl From<Vec<(String, String, RangeSet, u32)>> for SourceRanges {
    fn from(list: Vec<(String, String, RangeSet, u32)>) -> SourceRanges {
        let day = list.iter().map(|(.., day)| *day).max().unwrap_or(0);
        let mut ranges = SourceRanges { day, ..SourceRanges::default() };
        for (agent, source, set, day) in list {
            ranges.merge_entry(&SourceKey::new(&agent, &source), &Entry { set, day });
        }
        ranges
    }
}

impl From<SourceRanges> for Vec<(String, String, RangeSet, u32)> {
    fn from(ranges: SourceRanges) -> Vec<(String, String, RangeSet, u32)> {
        let entries = ranges.sets.into_iter();
        let mut list: Vec<_> =
            entries.map(|(key, entry)| (key.agent.to_string(), key.source.to_string(), entry.set, entry.day)).collect();
        list.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        list
    }
}

impl SourceRanges {
    pub fn get(&self, key: &SourceKey) -> Option<&RangeSet> {
        self.sets.get(key).map(|entry| &entry.set)
    }

    /// Tells the time of what is inserted next; a new day forgets what is too old.
    pub fn set_time(&mut self, time_ns: i64) {
        const DAY_NS: i64 = 86_400_000_000_000;
        self.set_day(u32::try_from(time_ns / DAY_NS).unwrap_or(0));
    }

    fn set_day(&mut self, day: u32) {
        let leap = i64::from(day) - i64::from(self.day);
        // A step back over midnight is no news.
        if day == 0 || leap == 0 || leap == -1 {
            return;
        }
        self.day = day;
        if leap == 1 {
            self.forget();
        } else {
            for entry in self.sets.values_mut() {
                entry.day = u32::try_from(i64::from(entry.day) + leap).unwrap_or(0);
            }
        }
    }

    pub fn insert(&mut self, key: &SourceKey, start: u64, end: u64) {
        if !self.sets.contains_key(key) {
            if self.sets.len() - self.keys >= SOURCES_MAX {
                self.forget_longest_silent(SOURCES_MAX - SOURCES_MAX / 10);
            }
            self.sets.insert(key.clone(), Entry { set: RangeSet::default(), day: self.day });
            self.count_key(key);
        }
        if let Some(entry) = self.sets.get_mut(key) {
            entry.set.insert(start, end);
            entry.day = entry.day.max(self.day);
        }
    }

    /// Adds what came later.
    pub fn merge(&mut self, other: &SourceRanges) {
        if !other.is_empty() {
            self.set_day(other.day);
        }
        for (key, entry) in &other.sets {
            self.merge_entry(key, entry);
        }
        if self.sets.len() - self.keys > SOURCES_MAX {
            self.forget_longest_silent(SOURCES_MAX - SOURCES_MAX / 10);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&SourceKey, &RangeSet)> {
        self.sets.iter().map(|(key, entry)| (key, &entry.set))
    }

    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    fn merge_entry(&mut self, key: &SourceKey, entry: &Entry) {
        let day = if entry.day == 0 { self.day } else { entry.day.min(self.day) };
        if !self.sets.contains_key(key) {
            self.sets.insert(key.clone(), Entry { set: RangeSet::default(), day });
            self.count_key(key);
        }
        if let Some(mine) = self.sets.get_mut(key) {
            for (start, end) in entry.set.iter() {
                mine.set.insert(start, end);
            }
            mine.day = mine.day.max(day);
        }
    }

    fn count_key(&mut self, key: &SourceKey) {
        self.keys += usize::from(key.is_idempotency_key());
        if self.keys > KEYS_MAX {
            let today = self.day;
            self.sets.retain(|key, entry| !key.is_idempotency_key() || entry.day == today);
            if self.recount() > KEYS_MAX {
                self.sets.retain(|key, _| !key.is_idempotency_key());
                self.recount();
            }
        }
    }

    fn forget(&mut self) {
        let today = self.day;
        self.sets.retain(|key, entry| {
            let keep = if key.is_idempotency_key() { KEY_DAYS_MAX } else { SOURCE_DAYS_MAX };
            entry.day.saturating_add(keep) >= today
        });
        self.recount();
    }

    /// Keeps so many sources besides the idempotency keys. Which ones depends on their dates and names alone.
    fn forget_longest_silent(&mut self, keep: usize) {
        let sources = self.sets.iter().filter(|(key, _)| !key.is_idempotency_key());
        let mut by_day: Vec<(u32, SourceKey)> = sources.map(|(key, entry)| (entry.day, key.clone())).collect();
        by_day.sort_unstable();
        let surplus = by_day.len().saturating_sub(keep);
        for (_, key) in &by_day[..surplus] {
            self.sets.remove(key);
        }
        tracing::warn!(
            sources = surplus,
            "too many sources: the ranges of those that were silent longest are forgotten"
        );
    }

    fn recount(&mut self) -> usize {
        self.keys = self.sets.keys().filter(|key| key.is_idempotency_key()).count();
        self.keys
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

    #[test]
    fn sources_that_are_silent_for_long_are_forgotten_and_keys_sooner() {
        const DAY: i64 = 86_400_000_000_000;
        let (file, key) = (SourceKey::new("a", "file"), SourceKey::new(HTTP_AGENT, "key"));
        let mut ranges = SourceRanges::default();
        ranges.set_time(100 * DAY);
        ranges.insert(&file, 0, 10);
        ranges.insert(&key, 0, 10);
        ranges.set_time(101 * DAY);
        assert!(ranges.get(&key).is_some());
        ranges.set_time(102 * DAY);
        assert_eq!((ranges.get(&key), ranges.get(&file).is_some()), (None, true));
        ranges.insert(&file, 10, 20);
        for day in 103..=137 {
            ranges.set_time(day * DAY);
        }
        let json = serde_json::to_string(&ranges).unwrap();
        assert_eq!(json, r#"[["a","file",[[0,20]],102]]"#);
        let mut back: SourceRanges = serde_json::from_str(&json).unwrap();
        assert_eq!(back.get(&file), ranges.get(&file));
        assert!(!back.is_empty());
        for day in 103..=138 {
            back.set_time(day * DAY);
        }
        assert!(back.is_empty());
    }

    #[test]
    fn a_clock_that_leaps_makes_nothing_forgotten() {
        const DAY: i64 = 86_400_000_000_000;
        let (file, late, key) =
            (SourceKey::new("a", "file"), SourceKey::new("a", "late"), SourceKey::new(HTTP_AGENT, "key"));
        let mut batch = SourceRanges::default();
        batch.set_time(47_000 * DAY);
        batch.insert(&late, 0, 10);
        let mut ranges = SourceRanges::default();
        ranges.set_time(20_000 * DAY);
        ranges.insert(&file, 0, 10);
        ranges.set_time(20_001 * DAY);
        ranges.insert(&key, 0, 10);
        for _ in 0..50 {
            ranges.merge(&batch);
            ranges.set_time(47_001 * DAY);
            ranges.merge(&batch);
            ranges = serde_json::from_str(&serde_json::to_string(&ranges).unwrap()).unwrap();
            ranges.set_time(20_001 * DAY);
        }
        for key in [&file, &late, &key] {
            assert!(ranges.get(key).unwrap().contains(0, 10), "{key:?}");
        }
        for day in 20_002..20_100 {
            ranges.set_time(day * DAY);
        }
        assert!(ranges.is_empty(), "days that are counted one by one count");
    }

    #[test]
    fn dates_that_were_not_known_are_those_of_the_first_known_day() {
        let file = SourceKey::new("a", "file");
        let mut ranges = SourceRanges::default();
        ranges.insert(&file, 0, 10);
        ranges.set_time(20_000 * 86_400_000_000_000);
        assert_eq!(serde_json::to_string(&ranges).unwrap(), r#"[["a","file",[[0,10]],20000]]"#);
    }

    #[test]
    fn the_longest_silent_of_too_many_sources_are_forgotten() {
        let mut ranges = SourceRanges::default();
        let key = |i: usize| SourceKey::new("a", &format!("{i:07}"));
        for (day, sources) in [(20_000, 0..SOURCES_MAX / 2), (20_001, SOURCES_MAX / 2..SOURCES_MAX)] {
            ranges.set_time(day * 86_400_000_000_000);
            for i in sources {
                ranges.insert(&key(i), 0, 1);
            }
        }
        ranges.insert(&key(0), 1, 2);
        assert_eq!(ranges.iter().count(), SOURCES_MAX);
        ranges.insert(&key(SOURCES_MAX), 0, 1);
        assert_eq!(ranges.iter().count(), SOURCES_MAX - SOURCES_MAX / 10 + 1);
        assert!(ranges.get(&key(0)).is_some() && ranges.get(&key(SOURCES_MAX)).is_some());
        assert!(ranges.get(&key(SOURCES_MAX / 10)).is_none() && ranges.get(&key(SOURCES_MAX / 10 + 1)).is_some());
    }

    #[test]
    fn keys_are_bounded_however_many_come_in_a_day() {
        let mut ranges = SourceRanges::default();
        for i in 0..=KEYS_MAX + 1 {
            ranges.insert(&SourceKey::new(HTTP_AGENT, &i.to_string()), 0, 1);
        }
        assert!(ranges.iter().count() <= KEYS_MAX);
    }
}

//! The catalogue: what the commit log says, folded. Live splits, the WAL position, and the byte ranges of sources.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::commit::{AppendError, CommitError, CommitLog, Record};
use super::split::footer::SplitMeta;
use crate::ranges::SourceRanges;

/// Records after which a checkpoint is due.
pub const CHECKPOINT_EVERY: u64 = 64;

/// Records of others that are folded before a commit gives up.
const CONFLICTS_MAX: usize = 100;

/// Nonces of folded records that are remembered, so that a record which is there already is not written again.
const NONCES_KEPT: usize = 4096;

/// A seal moves the time of the catalogue by at most so much, so that a clock that leaps is believed slowly.
pub const TIME_STEP_NS_MAX: i64 = 24 * 3600 * 1_000_000_000;

/// The number of the first WAL record.
pub const WAL_FIRST: u64 = 1;

/// The state after some record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    /// The last record that was folded; 0 before the first.
    last: u64,
    checkpointed: u64,
    splits: BTreeMap<String, Arc<SplitMeta>>,
    wal_upto: u64,
    ranges: SourceRanges,
    time_ns: Option<i64>,
    /// Of the records that were folded last.
    nonces: VecDeque<String>,
    /// The seal that was tried last: its record may be there although the log answered with an error.
    own_seal: Option<String>,
    /// Another owner was seen. That does not pass.
    fenced: bool,
}

impl Default for Catalogue {
    fn default() -> Catalogue {
        Catalogue {
            last: 0,
            checkpointed: 0,
            splits: BTreeMap::new(),
            wal_upto: WAL_FIRST,
            ranges: SourceRanges::default(),
            time_ns: None,
            nonces: VecDeque::new(),
            own_seal: None,
            fenced: false,
        }
    }
}

/// A checkpoint as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    splits: Vec<SplitMeta>,
    wal_upto: u64,
    ranges: SourceRanges,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_ns: Option<i64>,
}

/// The catalogue cannot be read or moved on.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error(transparent)]
    Log(#[from] CommitError),
    #[error("commit record {seq} cannot be read: {reason}")]
    Record { seq: u64, reason: String },
    /// Another process owns the store now; what was to be committed is its business.
    #[error("another process writes this store: this one has to stop")]
    Fenced,
    /// A split that was to be removed is gone.
    #[error("split {0} was removed by somebody else")]
    Stale(String),
}

impl Catalogue {
    /// Folds the log.
    pub fn load(log: &dyn CommitLog) -> Result<Catalogue, CatalogueError> {
        let mut catalogue = match log.latest_checkpoint()? {
            Some((upto, state)) => Catalogue::from_state(upto, &state)?,
            None => Catalogue::default(),
        };
        catalogue.catch_up(log)?;
        Ok(catalogue)
    }

    /// What splits tell of themselves, in the place of a log that was lost.
    pub fn of_splits(
        splits: impl IntoIterator<Item = SplitMeta>,
        wal_upto: u64,
        ranges: SourceRanges,
        time_ns: Option<i64>,
    ) -> Catalogue {
        let splits = splits.into_iter().map(|meta| (meta.path.clone(), Arc::new(meta))).collect();
        Catalogue { last: 1, splits, wal_upto, ranges, time_ns, ..Catalogue::default() }
    }

    /// Whether nothing was ever committed.
    pub fn is_new(&self) -> bool {
        self.last == 0
    }

    fn from_state(upto: u64, state: &[u8]) -> Result<Catalogue, CatalogueError> {
        let bad = |error: serde_json::Error| CatalogueError::Record { seq: upto, reason: error.to_string() };
        let State { splits, wal_upto, ranges, time_ns } = serde_json::from_slice(state).map_err(bad)?;
        let splits = splits.into_iter().map(|meta| (meta.path.clone(), Arc::new(meta))).collect();
        Ok(Catalogue { last: upto, checkpointed: upto, splits, wal_upto, ranges, time_ns, ..Catalogue::default() })
    }

    /// Folds the records that others wrote meanwhile.
    fn catch_up(&mut self, log: &dyn CommitLog) -> Result<Vec<Record>, CatalogueError> {
        let mut records = Vec::new();
        for (seq, bytes) in log.read_from(self.last + 1)? {
            let record: Record = serde_json::from_slice(&bytes)
                .map_err(|error| CatalogueError::Record { seq, reason: error.to_string() })?;
            self.apply(seq, &record);
            records.push(record);
        }
        Ok(records)
    }

    fn apply(&mut self, seq: u64, record: &Record) {
        self.last = seq;
        if self.nonces.len() >= NONCES_KEPT {
            self.nonces.pop_front();
        }
        self.nonces.push_back(record.nonce.clone());
        for path in &record.removed {
            self.splits.remove(path);
        }
        for meta in &record.added {
            self.splits.insert(meta.path.clone(), Arc::new(meta.clone()));
        }
        if let Some(wal_upto) = record.wal_upto {
            self.wal_upto = self.wal_upto.max(wal_upto);
            let latest = self.time_ns.map_or(i64::MAX, |time| time.saturating_add(TIME_STEP_NS_MAX));
            self.time_ns = Some(record.time_ns.min(latest));
        }
        self.ranges.merge(&record.ranges);
    }

    /// Commits a record that seals nothing: when this returns `Ok` it is durable and folded. After an error of the
    /// log the same record, with the same nonce, may be committed again: it becomes true once.
    pub fn commit(&mut self, log: &dyn CommitLog, record: &Record) -> Result<(), CatalogueError> {
        self.append(log, record, None)
    }

    /// The same for a record that seals the WAL records from `first_wal` to `record.wal_upto`. If some of them are
    /// sealed already, another owner did that.
    pub fn commit_seal(&mut self, log: &dyn CommitLog, record: &Record, first_wal: u64) -> Result<(), CatalogueError> {
        if !self.has_folded(&record.nonce) {
            self.own_seal = Some(record.nonce.clone());
        }
        self.append(log, record, Some(first_wal))
    }

    fn append(&mut self, log: &dyn CommitLog, record: &Record, first_wal: Option<u64>) -> Result<(), CatalogueError> {
        let bytes = serde_json::to_vec(record)
            .map_err(|error| CatalogueError::Record { seq: self.last + 1, reason: error.to_string() })?;
        for _ in 0..CONFLICTS_MAX {
            if self.has_folded(&record.nonce) {
                return Ok(());
            }
            self.fenced |= first_wal.is_some_and(|first| first < self.wal_upto);
            if self.fenced {
                return Err(CatalogueError::Fenced);
            }
            if let Some(gone) = record.removed.iter().find(|path| !self.splits.contains_key(*path)) {
                return Err(CatalogueError::Stale(gone.clone()));
            }
            let seq = self.last + 1;
            match log.append(seq, &bytes) {
                Ok(()) => {
                    self.apply(seq, record);
                    return Ok(());
                }
                Err(AppendError::Io(error)) => return Err(error.into()),
                Err(AppendError::Taken(_)) => {
                    let others = self.catch_up(log)?;
                    let own = |nonce: &String| self.own_seal.as_ref() == Some(nonce);
                    self.fenced |= others.iter().any(|other| other.wal_upto.is_some() && !own(&other.nonce));
                }
            }
        }
        Err(CatalogueError::Fenced)
    }

    /// Whether the record of this nonce is part of the catalogue, if that was lately.
    pub fn has_folded(&self, nonce: &str) -> bool {
        self.nonces.iter().rev().any(|have| have == nonce)
    }

    /// Writes a checkpoint if one is due.
    pub fn checkpoint_if_due(&mut self, log: &dyn CommitLog) -> Result<(), CatalogueError> {
        if self.last < self.checkpointed + CHECKPOINT_EVERY { Ok(()) } else { self.checkpoint(log) }
    }

    /// Writes a checkpoint.
    pub fn checkpoint(&mut self, log: &dyn CommitLog) -> Result<(), CatalogueError> {
        let splits = self.splits.values().map(|meta| (**meta).clone()).collect();
        let state = State { splits, wal_upto: self.wal_upto, ranges: self.ranges.clone(), time_ns: self.time_ns };
        let state = serde_json::to_vec(&state)
            .map_err(|error| CatalogueError::Record { seq: self.last, reason: error.to_string() })?;
        log.checkpoint(self.last, &state)?;
        self.checkpointed = self.last;
        Ok(())
    }

    /// The live splits by name.
    pub fn splits(&self) -> &BTreeMap<String, Arc<SplitMeta>> {
        &self.splits
    }

    /// The first WAL record that no split covers.
    pub fn wal_upto(&self) -> u64 {
        self.wal_upto
    }

    /// When the last seal was, as far as the clock is believed: [`TIME_STEP_NS_MAX`] per seal. Seals count because
    /// rows came then; what else is committed says nothing of the time.
    pub fn time_ns(&self) -> Option<i64> {
        self.time_ns
    }

    /// Byte ranges that are in splits.
    pub fn ranges(&self) -> &SourceRanges {
        &self.ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranges::SourceKey;
    use crate::store::commit::MemoryCommits;

    fn meta(path: &str, wal: (u64, u64)) -> SplitMeta {
        SplitMeta {
            path: path.into(),
            bytes: 1,
            rows: 1,
            raw_bytes: 1,
            min_time_ns: 0,
            max_time_ns: 0,
            wal,
            class: String::new(),
            received: None,
            unreceived: 0,
        }
    }

    fn seal(nonce: &str, wal: (u64, u64)) -> Record {
        let mut ranges = SourceRanges::default();
        ranges.insert(&SourceKey::new("a", "s"), wal.0, wal.1);
        Record {
            nonce: nonce.into(),
            added: vec![meta(nonce, wal)],
            wal_upto: Some(wal.1),
            ranges,
            ..Record::default()
        }
    }

    #[test]
    fn the_log_folds_to_the_same_catalogue_with_and_without_checkpoints() {
        let log = MemoryCommits::default();
        let mut catalogue = Catalogue::load(&log).unwrap();
        for i in 1..=200u64 {
            catalogue.commit_seal(&log, &seal(&format!("n{i}"), (i, i + 1)), i).unwrap();
            if i % 3 == 0 {
                let removed = vec![format!("n{i}"), format!("n{}", i - 1)];
                let added = vec![meta(&format!("m{i}"), (i - 1, i + 1))];
                let record = Record { nonce: format!("c{i}"), added, removed, ..Record::default() };
                catalogue.commit(&log, &record).unwrap();
            }
            if i > 100 {
                catalogue.checkpoint_if_due(&log).unwrap();
            }
            let loaded = Catalogue::load(&log).unwrap();
            assert_eq!((loaded.splits(), loaded.wal_upto()), (catalogue.splits(), i + 1));
            assert_eq!((loaded.ranges(), loaded.time_ns()), (catalogue.ranges(), catalogue.time_ns()));
        }
        assert_eq!(catalogue.splits().len(), 134);
        assert!(catalogue.ranges().get(&SourceKey::new("a", "s")).unwrap().contains(1, 201));
    }

    #[test]
    fn the_own_record_is_success_and_another_owner_is_the_end() {
        let log = MemoryCommits::default();
        let mut first = Catalogue::load(&log).unwrap();
        let mut second = first.clone();
        let mut third = first.clone();
        first.commit_seal(&log, &seal("one", (1, 5)), 1).unwrap();
        // The answer was lost and the same record is committed again.
        for _ in 0..2 {
            second.commit_seal(&log, &seal("one", (1, 5)), 1).unwrap();
        }
        assert_eq!((first.splits(), second.splits().len()), (second.splits(), 1));
        // A stale owner had the same lines in a split of its own.
        for _ in 0..3 {
            let refused = third.commit_seal(&log, &seal("two", (1, 7)), 1);
            assert!(matches!(refused, Err(CatalogueError::Fenced)), "{refused:?}");
            let refused = third.commit_seal(&log, &seal("three", (7, 9)), 7);
            assert!(matches!(refused, Err(CatalogueError::Fenced)), "{refused:?}");
        }
        assert_eq!(Catalogue::load(&log).unwrap().wal_upto(), 5);
    }

    #[test]
    fn a_stale_owner_is_stopped_by_whatever_it_commits_and_what_is_sealed_is_not_sealed_again() {
        let log = MemoryCommits::default();
        let mut first = Catalogue::load(&log).unwrap();
        let mut stale = first.clone();
        first.commit_seal(&log, &seal("one", (1, 5)), 1).unwrap();
        for _ in 0..2 {
            let record = Record { nonce: "retention".into(), ..Record::default() };
            assert!(matches!(stale.commit(&log, &record), Err(CatalogueError::Fenced)));
            assert!(matches!(stale.commit_seal(&log, &seal("two", (1, 5)), 1), Err(CatalogueError::Fenced)));
        }
        let mut fresh = Catalogue::load(&log).unwrap();
        assert!(matches!(fresh.commit_seal(&log, &seal("late", (4, 9)), 4), Err(CatalogueError::Fenced)));
        let mut fresh = Catalogue::load(&log).unwrap();
        fresh.commit_seal(&log, &seal("next", (5, 9)), 5).unwrap();
    }

    #[test]
    fn an_own_seal_that_another_commit_folds_is_success() {
        let log = MemoryCommits::default();
        let mut catalogue = Catalogue::load(&log).unwrap();
        let record = seal("one", (1, 5));
        // The append succeeds and its answer is lost.
        catalogue.own_seal = Some("one".into());
        log.append(1, &serde_json::to_vec(&record).unwrap()).unwrap();
        catalogue.commit(&log, &Record { nonce: "retention".into(), ..Record::default() }).unwrap();
        assert!(catalogue.has_folded("one") && catalogue.has_folded("retention"));
        for _ in 0..2 {
            catalogue.commit_seal(&log, &record, 1).unwrap();
        }
        assert_eq!(log.read_from(1).unwrap().len(), 2);
        catalogue.commit_seal(&log, &seal("two", (5, 6)), 5).unwrap();
    }

    #[test]
    fn a_clock_that_leaps_is_believed_a_day_per_seal_and_its_return_at_once() {
        const DAY_NS: i64 = TIME_STEP_NS_MAX;
        let log = MemoryCommits::default();
        let mut catalogue = Catalogue::load(&log).unwrap();
        assert_eq!(catalogue.time_ns(), None);
        let steps = [(100, 100), (101, 101), (47_000, 102), (47_000, 103), (101, 101), (90, 90), (91, 91)];
        for (i, (day, believed)) in (1u64..).zip(steps) {
            let record = Record { time_ns: day * DAY_NS, ..seal(&format!("n{i}"), (i, i + 1)) };
            catalogue.commit_seal(&log, &record, i).unwrap();
            let other = Record { nonce: format!("c{i}"), time_ns: 50_000 * DAY_NS, ..Record::default() };
            catalogue.commit(&log, &other).unwrap();
            assert_eq!(catalogue.time_ns(), Some(believed * DAY_NS));
            assert_eq!(Catalogue::load(&log).unwrap().time_ns(), catalogue.time_ns());
        }
    }

    #[test]
    fn a_compaction_whose_input_is_gone_is_refused() {
        let log = MemoryCommits::default();
        let mut first = Catalogue::load(&log).unwrap();
        first.commit_seal(&log, &seal("one", (1, 5)), 1).unwrap();
        let mut second = Catalogue::load(&log).unwrap();
        let remove = |nonce: &str| Record { nonce: nonce.into(), removed: vec!["one".into()], ..Record::default() };
        first.commit(&log, &remove("retention")).unwrap();
        assert!(matches!(second.commit(&log, &remove("compaction")), Err(CatalogueError::Stale(_))));
    }
}

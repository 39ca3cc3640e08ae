//! The catalogue: what the commit log says, folded. Live splits, the WAL position, and the byte ranges of sources.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::commit::{AppendError, CommitError, CommitLog, Record};
use super::split::footer::SplitMeta;
use crate::ranges::SourceRanges;

/// Records after which a checkpoint is due.
pub const CHECKPOINT_EVERY: u64 = 64;

/// Records of others that are folded before a commit gives up.
const CONFLICTS_MAX: usize = 100;

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
}

impl Default for Catalogue {
    fn default() -> Catalogue {
        let (splits, ranges) = (BTreeMap::new(), SourceRanges::default());
        Catalogue { last: 0, checkpointed: 0, splits, wal_upto: WAL_FIRST, ranges }
    }
}

/// A checkpoint as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    splits: Vec<SplitMeta>,
    wal_upto: u64,
    ranges: SourceRanges,
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

    fn from_state(upto: u64, state: &[u8]) -> Result<Catalogue, CatalogueError> {
        let bad = |error: serde_json::Error| CatalogueError::Record { seq: upto, reason: error.to_string() };
        let State { splits, wal_upto, ranges } = serde_json::from_slice(state).map_err(bad)?;
        let splits = splits.into_iter().map(|meta| (meta.path.clone(), Arc::new(meta))).collect();
        Ok(Catalogue { last: upto, checkpointed: upto, splits, wal_upto, ranges })
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
        for path in &record.removed {
            self.splits.remove(path);
        }
        for meta in &record.added {
            self.splits.insert(meta.path.clone(), Arc::new(meta.clone()));
        }
        if let Some(wal_upto) = record.wal_upto {
            self.wal_upto = self.wal_upto.max(wal_upto);
        }
        self.ranges.merge(&record.ranges);
    }

    /// Commits a record: when this returns `Ok` it is durable and folded. After an error of the log the same record,
    /// with the same nonce, may be committed again: it becomes true once.
    pub fn commit(&mut self, log: &dyn CommitLog, record: &Record) -> Result<(), CatalogueError> {
        let bytes = serde_json::to_vec(record)
            .map_err(|error| CatalogueError::Record { seq: self.last + 1, reason: error.to_string() })?;
        for _ in 0..CONFLICTS_MAX {
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
                    if others.iter().any(|other| other.nonce == record.nonce) {
                        return Ok(());
                    }
                    if record.wal_upto.is_some() && others.iter().any(|other| other.wal_upto.is_some()) {
                        return Err(CatalogueError::Fenced);
                    }
                }
            }
        }
        Err(CatalogueError::Fenced)
    }

    /// Writes a checkpoint if one is due.
    pub fn checkpoint_if_due(&mut self, log: &dyn CommitLog) -> Result<(), CatalogueError> {
        if self.last < self.checkpointed + CHECKPOINT_EVERY {
            return Ok(());
        }
        let splits = self.splits.values().map(|meta| (**meta).clone()).collect();
        let state = State { splits, wal_upto: self.wal_upto, ranges: self.ranges.clone() };
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
        SplitMeta { path: path.into(), bytes: 1, rows: 1, raw_bytes: 1, min_time_ns: 0, max_time_ns: 0, wal }
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
        for i in 0..200u64 {
            catalogue.commit(&log, &seal(&format!("n{i}"), (i, i + 1))).unwrap();
            if i % 3 == 2 {
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
            assert_eq!(loaded.ranges(), catalogue.ranges());
        }
        assert_eq!(catalogue.splits().len(), 134);
        assert!(catalogue.ranges().get(&SourceKey::new("a", "s")).unwrap().contains(0, 200));
    }

    #[test]
    fn the_own_record_is_success_and_another_owner_is_the_end() {
        let log = MemoryCommits::default();
        let mut first = Catalogue::load(&log).unwrap();
        let mut second = first.clone();
        let mut third = first.clone();
        first.commit(&log, &seal("one", (0, 5))).unwrap();
        // The answer was lost and the same record is committed again.
        second.commit(&log, &seal("one", (0, 5))).unwrap();
        assert_eq!((first.splits(), second.splits().len()), (second.splits(), 1));
        // A stale owner had the same lines in a split of its own.
        assert!(matches!(third.commit(&log, &seal("two", (0, 7))), Err(CatalogueError::Fenced)));
        assert_eq!(Catalogue::load(&log).unwrap().wal_upto(), 5);
    }

    #[test]
    fn a_compaction_whose_input_is_gone_is_refused() {
        let log = MemoryCommits::default();
        let mut first = Catalogue::load(&log).unwrap();
        first.commit(&log, &seal("one", (0, 5))).unwrap();
        let mut second = Catalogue::load(&log).unwrap();
        let remove = |nonce: &str| Record { nonce: nonce.into(), removed: vec!["one".into()], ..Record::default() };
        first.commit(&log, &remove("retention")).unwrap();
        assert!(matches!(second.commit(&log, &remove("compaction")), Err(CatalogueError::Stale(_))));
    }
}

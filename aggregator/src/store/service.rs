//! The store as the pipeline and the search see it: append blocks, seal them into splits, retire old ones, view all.
//!
//! Sealing: put the split object (durable) → append the commit record → swap the head's part for the split in the
//! view, in one step → report the WAL position that may be cut. Until the record is durable the rows are served from
//! memory and lie in the WAL, so nothing is lost or seen twice whenever the process ends. A seal that fails is tried
//! again with the same name and nonce, so that it becomes true once even if an earlier try succeeded unnoticed.
//!
//! Every method blocks: call them on threads that may.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use logweir_runtime::clock::{Clock, Nanos};

use self::classes::RetentionClass;
use self::sealing::{Part, Sealer};
use super::block::Block;
use super::catalogue::{Catalogue, CatalogueError};
use super::commit::{CommitError, CommitLog, LocalCommits, Record};
use super::head::HeadSegment;
use super::objects::{ObjectError, Objects};
use super::segment::Segment;
use super::split::cache::{Listed, SplitCache, SplitSegment};
use super::split::footer::SplitMeta;
use super::split::writer::WriteError;
use crate::ranges::SourceRanges;

pub mod classes;
mod compact;
mod retention;
mod sealing;

/// Folder of the split objects.
pub const SPLITS: &str = "splits";

/// Memory of open splits: footers, indexes, Parquet metadata.
pub const SPLIT_CACHE_BYTES: u64 = 256 << 20;

/// The open part may grow to this share of `seal_bytes` while the one before it is sealed; then whoever appends waits for
/// that, or seals where nobody does. Sealing keeps up with the parser but for moments, so that more would only be memory.
pub const OPEN_PERCENT_MAX: u64 = 110;

/// From this many times `seal_bytes` on [`Store::is_full`] tells the door to take nothing more in: sealing fails.
pub const HEAD_PARTS_MAX: u64 = 4;

#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Bytes of columns in the open part of the head before it is sealed.
    pub seal_bytes: u64,
    /// Age of the head's first row before it is sealed.
    pub seal_age: Duration,
    /// What compaction may read and write in the mean.
    pub compaction_bytes_per_s: u64,
    /// Memory of decoded columns, so that a query that comes again reads and decodes nothing.
    pub column_cache_bytes: u64,
    pub retention_days: u64,
    /// Bytes of all split objects; the oldest splits that exceed it are dropped, whatever their class.
    pub retention_bytes: Option<u64>,
    /// The first that a row matches is its class; the others are of the default class.
    pub classes: Vec<RetentionClass>,
}

impl StoreConfig {
    /// How long rows of a class are kept. A class that is configured no more is kept as the default one.
    pub fn days_of(&self, class: &str) -> u64 {
        self.classes.iter().find(|known| known.name == class).map_or(self.retention_days, |known| known.days)
    }
}

/// The store cannot be opened, or a step of it failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    #[error(transparent)]
    Commits(#[from] CommitError),
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error("split: {0}")]
    Write(#[from] WriteError),
    #[error("split {path}: {reason}")]
    Split { path: String, reason: String },
    #[error("there are splits and no commit log: it was lost, 'logweir fsck --repair' makes it anew from the splits")]
    Lost,
    #[error("{path}: {source}")]
    Dir { path: String, source: std::io::Error },
}

/// What a restart has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The first WAL record that no split covers: replay begins here.
    pub wal_upto: u64,
    /// Byte ranges that are in splits.
    pub ranges: SourceRanges,
}

/// All rows at one moment, each once.
pub struct View {
    pub segments: Vec<Arc<dyn Segment>>,
    /// The last WAL record whose rows are in it.
    pub last_record: u64,
}

/// Cheap to clone; clones share the store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    config: StoreConfig,
    objects: Objects,
    commits: Box<dyn CommitLog>,
    clock: Clock,
    cache: Arc<SplitCache>,
    state: Mutex<State>,
    /// Told when the open part is to be sealed for its size.
    full: Condvar,
    /// Told when a try to seal has ended.
    sealed: Condvar,
    /// Held while splits are written and committed: one at a time. Taken before `state`, never after.
    work: Mutex<Work>,
}

/// What readers see. Held for moments only.
struct State {
    splits: BTreeMap<String, Arc<SplitMeta>>,
    /// The same for searches.
    listed: Arc<[Arc<Listed>]>,
    /// Being written.
    sealing: Option<Arc<Part>>,
    open: Part,
    open_snapshot: Option<Arc<HeadSegment>>,
    last_record: u64,
    /// Why the last try to seal failed.
    seal_fault: Option<String>,
}

/// What the one who seals needs.
struct Work {
    catalogue: Catalogue,
    sealer: Sealer,
    retention: retention::Schedule,
    compaction: compact::Compaction,
    reported_upto: u64,
}

impl Store {
    /// The time by the clock of the store.
    pub fn now_ns(&self) -> Nanos {
        self.inner.clock.now_ns()
    }

    /// A store below a directory: objects in `splits`, the commit log in `commits`.
    pub fn open_local(dir: &Path, config: StoreConfig, clock: Clock) -> Result<(Store, Recovered), StoreError> {
        let at = |source| StoreError::Dir { path: dir.display().to_string(), source };
        let objects = Objects::local(dir).map_err(at)?;
        let commits = LocalCommits::open(&dir.join("commits"))?;
        Store::open(config, objects, Box::new(commits), clock)
    }

    /// Folds the commit log and removes objects that no commit names.
    pub fn open(
        config: StoreConfig,
        objects: Objects,
        commits: Box<dyn CommitLog>,
        clock: Clock,
    ) -> Result<(Store, Recovered), StoreError> {
        let mut catalogue = Catalogue::load(&*commits)?;
        if catalogue.is_new() {
            if !objects.list(SPLITS)?.is_empty() {
                return Err(StoreError::Lost);
            }
            // Before any split can be written: splits without a commit log mean that it was lost, and nothing else.
            let now = clock.now_ns();
            catalogue.commit(&*commits, &Record { nonce: unique(now), time_ns: now, ..Record::default() })?;
        }
        let recovered = Recovered { wal_upto: catalogue.wal_upto(), ranges: catalogue.ranges().clone() };
        let cache = Arc::new(SplitCache::new(objects.clone(), SPLIT_CACHE_BYTES, config.column_cache_bytes));
        let state = State {
            listed: listed(&catalogue, &cache),
            splits: catalogue.splits().clone(),
            sealing: None,
            open: Part::default(),
            open_snapshot: None,
            last_record: recovered.wal_upto.saturating_sub(1),
            seal_fault: None,
        };
        let work = Work {
            sealer: Sealer::new(clock.now_ns()),
            retention: retention::Schedule::default(),
            compaction: compact::Compaction::default(),
            reported_upto: catalogue.wal_upto(),
            catalogue,
        };
        let (state, work) = (Mutex::new(state), Mutex::new(work));
        let (full, sealed) = (Condvar::new(), Condvar::new());
        let inner = Inner { config, objects, commits, clock, cache, state, full, sealed, work };
        let store = Store { inner: Arc::new(inner) };
        store.inner.sweep_orphans(&store.inner.work().catalogue)?;
        Ok((store, recovered))
    }

    /// Publishes the rows of WAL records up to `wal_record`, all in one step. `ranges` are the byte ranges that these
    /// records add. When the head is far over its size it waits for the one who seals, or seals itself if nobody does.
    pub fn append(&self, blocks: Vec<Arc<Block>>, wal_record: u64, ranges: SourceRanges) {
        self.inner.make_room();
        let mut state = self.inner.state();
        let now = self.inner.clock.now_ns();
        state.open.append(blocks, wal_record, &ranges, now);
        state.open_snapshot = None;
        state.last_record = state.last_record.max(wal_record);
        if self.inner.is_full(&state) {
            self.inner.full.notify_one();
        }
    }

    /// Waits until there is a part to be sealed for its size, and for so long at the most: for the thread that calls
    /// [`Store::maintain`]. Every moment that a full part waits it grows.
    pub fn wait_until_full(&self, most: Duration) {
        let waits = |state: &mut State| state.sealing.is_some() || !self.inner.is_full(state);
        drop(self.inner.full.wait_timeout_while(self.inner.state(), most, waits));
    }

    /// Whether the head is so far over its size that nothing should be taken in.
    pub fn is_full(&self) -> bool {
        self.inner.state().open.size() >= self.inner.config.seal_bytes.saturating_mul(HEAD_PARTS_MAX)
    }

    /// All rows as they are now.
    pub fn view(&self) -> Arc<View> {
        let (splits, heads, last_record) = {
            let mut state = self.inner.state();
            let mut heads: Vec<Arc<HeadSegment>> = Vec::with_capacity(2);
            heads.extend(state.sealing.as_ref().map(|part| Arc::clone(&part.snapshot)));
            if !state.open.head.is_empty() {
                let State { open, open_snapshot, .. } = &mut *state;
                heads.push(Arc::clone(open_snapshot.get_or_insert_with(|| Arc::new(open.head.snapshot("head")))));
            }
            (Arc::clone(&state.listed), heads, state.last_record)
        };
        // New handles for every view: what they hold open goes with them.
        let splits = splits.iter().map(|listed| Arc::new(SplitSegment::of(Arc::clone(listed))) as _);
        let heads = heads.into_iter().filter(|head| !head.blocks().is_empty()).map(|head| head as Arc<dyn Segment>);
        Arc::new(View { segments: splits.chain(heads).collect(), last_record })
    }

    /// One round of housekeeping, for a thread of its own: seals when it is time, drops what is too old, deletes what
    /// was dropped, merges what is small. Answers the first WAL record that no split covers when that has moved.
    pub fn maintain(&self) -> Option<u64> {
        let mut work = self.inner.work();
        let now = self.inner.clock.now_ns();
        if self.inner.seal_is_due(&work, now) {
            // Noted for the health; the next try is when its pause is over.
            let _ = self.inner.seal(&mut work);
        }
        if work.retention.is_due(now) {
            self.inner.warn("retention", &self.inner.retain(&mut work, now));
        }
        if work.compaction.is_due(now) {
            self.inner.compact(&mut work, now);
        }
        let upto = work.catalogue.wal_upto();
        (upto > work.reported_upto).then(|| {
            work.reported_upto = upto;
            upto
        })
    }

    /// Seals the head whatever its size and age.
    pub fn seal_now(&self) -> Result<(), StoreError> {
        self.inner.seal(&mut self.inner.work())
    }

    /// Drops what is too old or too much, now.
    pub fn retain(&self) -> Result<(), StoreError> {
        let mut work = self.inner.work();
        let now = self.inner.clock.now_ns();
        self.inner.retain(&mut work, now)
    }

    /// The reason why sealing fails at present: rows pile up in memory. Other steps that fail are logged and counted,
    /// and data is taken and found all the same.
    pub fn health(&self) -> Result<(), String> {
        match &self.inner.state().seal_fault {
            Some(reason) => Err(format!("seal: {reason}")),
            None => Ok(()),
        }
    }

    /// Sets the gauges of the store.
    pub fn report_metrics(&self) {
        for kept in self.retention() {
            let class = || kept.class.clone();
            metrics::gauge!("logweir_retention_days", "class" => class()).set(kept.days as f64);
            metrics::gauge!("logweir_retention_splits", "class" => class()).set(kept.splits as f64);
            metrics::gauge!("logweir_retention_bytes", "class" => class()).set(kept.bytes as f64);
            metrics::gauge!("logweir_retention_rows", "class" => class()).set(kept.rows as f64);
        }
        let state = self.inner.state();
        let sum = |of: fn(&SplitMeta) -> u64| state.splits.values().map(|meta| of(meta)).sum::<u64>() as f64;
        metrics::gauge!("logweir_store_splits").set(state.splits.len() as f64);
        metrics::gauge!("logweir_store_bytes").set(sum(|meta| meta.bytes));
        metrics::gauge!("logweir_store_raw_bytes").set(sum(|meta| meta.raw_bytes));
        metrics::gauge!("logweir_store_rows").set(sum(|meta| meta.rows));
        let sealing = state.sealing.as_ref();
        let rows = state.open.head.rows() + sealing.map_or(0, |part| part.head.rows());
        let raw_bytes = state.open.head.raw_bytes() + sealing.map_or(0, |part| part.head.raw_bytes());
        metrics::gauge!("logweir_head_rows").set(rows as f64);
        metrics::gauge!("logweir_head_raw_bytes").set(raw_bytes as f64);
        let memory_bytes = state.open.head.memory_bytes() + sealing.map_or(0, |part| part.head.memory_bytes());
        metrics::gauge!("logweir_head_memory_bytes").set(memory_bytes as f64);
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the open part has the size at which it is sealed.
    fn is_full(&self, state: &State) -> bool {
        state.open.size() >= self.config.seal_bytes
    }

    /// Reports a step that failed and is tried again.
    fn warn(&self, step: &'static str, outcome: &Result<(), StoreError>) {
        if let Err(error) = outcome {
            tracing::warn!(step, error = %error, "a step of the store failed; it is tried again");
            metrics::counter!("logweir_store_failures_total", "step" => step).increment(1);
        }
    }

    /// Shows in one step what a commit changed: what was added and removed, and that the sealed part is a split now.
    /// That may be by another commit than the own one: it folds the records to which only the answer was lost. So what
    /// is gone is told by comparing, and its objects are deleted after the grace, whoever removed it.
    fn publish(&self, work: &mut Work, now: Nanos) {
        let sealed = work.sealer.take_sealed(&work.catalogue);
        let (splits, listed) = (work.catalogue.splits().clone(), listed(&work.catalogue, &self.cache));
        let mut state = self.state();
        let before = std::mem::replace(&mut state.splits, splits);
        let listed_before = std::mem::replace(&mut state.listed, listed);
        if sealed {
            state.sealing = None;
        }
        drop(state);
        drop(listed_before);
        let gone = before.into_keys().filter(|path| !work.catalogue.splits().contains_key(path));
        work.retention.bury(gone, now);
    }
}

/// The splits as searches come to them.
fn listed(catalogue: &Catalogue, cache: &Arc<SplitCache>) -> Arc<[Arc<Listed>]> {
    catalogue.splits().values().map(|meta| Arc::new(Listed::new(Arc::clone(meta), Arc::clone(cache)))).collect()
}

/// The name of a split: its day, its class unless that is the default one, and what is unique.
fn split_path(max_time_ns: Nanos, class: &str, nonce: &str) -> String {
    let day = day_of(max_time_ns);
    if class.is_empty() {
        format!("{SPLITS}/{day}/{nonce}.split")
    } else {
        format!("{SPLITS}/{day}/{class}/{nonce}.split")
    }
}

fn day_of(time_ns: Nanos) -> String {
    let day = jiff::Timestamp::from_nanosecond(i128::from(time_ns)).map(|time| time.strftime("%Y-%m-%d").to_string());
    day.unwrap_or_else(|_| "unknown".to_owned())
}

/// A name that nobody else has: a ULID of the time and 80 random bits.
fn unique(now_ns: Nanos) -> String {
    use std::hash::{BuildHasher, Hasher};
    let random = || u128::from(std::collections::hash_map::RandomState::new().build_hasher().finish());
    let now_ms = u64::try_from(now_ns / 1_000_000).unwrap_or(0);
    ulid::Ulid::from_parts(now_ms, (random() << 64) | random()).to_string()
}

#[cfg(test)]
mod tests;

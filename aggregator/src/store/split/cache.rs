//! Open splits, bounded by bytes, and the handle by which a search sees one.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;

use super::columns::Columns;
use super::footer::SplitMeta;
use super::gate::sieve::Sieve;
use super::gate::{GATES_BYTES_MAX, Gate, Gates};
use super::reader::OpenSplit;
use crate::store::objects::Objects;
use crate::store::receipts::{Span, Told};
use crate::store::segment::{BLOCK_ROWS_MAX, BlockStat, FieldStat, Parts, Probe, Projection, Segment, SegmentError};

/// For walks that come by once: a few splits and the columns of the blocks at hand.
const PASSING_SPLIT_BYTES: u64 = 64 << 20;
const PASSING_COLUMN_BYTES: u64 = 16 << 20;

/// Open splits, the least recently used of which are let go.
#[derive(Debug)]
pub struct SplitCache {
    objects: Objects,
    bytes_max: u64,
    columns: Arc<Columns>,
    gates: Gates,
    inner: Mutex<Inner>,
    /// What walks have open that come by once.
    passing: OnceLock<Arc<SplitCache>>,
}

#[derive(Debug, Default)]
struct Inner {
    open: HashMap<String, Entry>,
    bytes: u64,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    split: Arc<OpenSplit>,
    bytes: u64,
    used: u64,
}

impl SplitCache {
    /// `bytes_max` is for what is known of splits, `column_bytes_max` for their decoded columns.
    pub fn new(objects: Objects, bytes_max: u64, column_bytes_max: u64) -> SplitCache {
        SplitCache {
            objects,
            bytes_max,
            columns: Arc::new(Columns::new(column_bytes_max)),
            gates: Gates::new(GATES_BYTES_MAX),
            inner: Mutex::default(),
            passing: OnceLock::new(),
        }
    }

    /// A small cache of its own for walks that come by once.
    fn passing(&self) -> &Arc<SplitCache> {
        let new = || SplitCache::new(self.objects.clone(), PASSING_SPLIT_BYTES, PASSING_COLUMN_BYTES);
        self.passing.get_or_init(|| Arc::new(new()))
    }

    /// The open split of this name. Two readers may open it at once; one of the two is kept.
    pub fn get(&self, path: &str) -> Result<Arc<OpenSplit>, String> {
        if let Some(split) = self.find(path) {
            return Ok(split);
        }
        let split = Arc::new(OpenSplit::open(&self.objects, path, &self.columns)?);
        self.insert(path, Arc::clone(&split));
        Ok(split)
    }

    /// The gate of the split of this name. The split is opened only when it stores none, or none that can be read.
    pub fn gate(&self, path: &str) -> Result<Arc<Gate>, String> {
        if let Some(gate) = self.gates.get(path) {
            return Ok(gate);
        }
        let stored = Gate::open(&self.objects, path).unwrap_or_else(|error| {
            tracing::warn!(split = path, error = %error, "the gate of a split could not be read");
            None
        });
        let gate = self.gates.joined(stored.map_or_else(|| self.get(path)?.gate(), Ok)?);
        self.gates.insert(path, &gate);
        Ok(gate)
    }

    /// Forgets a split that was removed.
    pub fn remove(&self, path: &str) {
        self.gates.remove(path);
        self.passing.get().into_iter().for_each(|passing| passing.remove(path));
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = inner.open.remove(path) {
            inner.bytes -= entry.bytes;
        }
    }

    fn is_open(&self, path: &str) -> bool {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).open.contains_key(path)
    }

    fn find(&self, path: &str) -> Option<Arc<OpenSplit>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.clock += 1;
        let now = inner.clock;
        let entry = inner.open.get_mut(path)?;
        entry.used = now;
        Some(Arc::clone(&entry.split))
    }

    fn insert(&self, path: &str, split: Arc<OpenSplit>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (bytes, used) = (split.memory_bytes(), inner.clock);
        if let Some(before) = inner.open.insert(path.to_owned(), Entry { split, bytes, used }) {
            inner.bytes -= before.bytes;
        }
        inner.bytes += bytes;
        while inner.bytes > self.bytes_max && inner.open.len() > 1 {
            let oldest = inner.open.iter().filter(|(name, _)| *name != path).min_by_key(|(_, entry)| entry.used);
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else { break };
            if let Some(entry) = inner.open.remove(&oldest) {
                inner.bytes -= entry.bytes;
            }
        }
    }
}

/// A split that searches may come to: what they share of it from one to the next.
#[derive(Debug)]
pub struct Listed {
    meta: Arc<SplitMeta>,
    cache: Arc<SplitCache>,
    /// Found by its name it would be as many steps again as it takes to ask it. The cache holds it, or has let it go.
    gate: Mutex<Weak<Gate>>,
    /// What stands for the blocks of a split that cannot be opened: reading it is an error, never silence.
    unknown: BlockStat,
}

impl Listed {
    pub fn new(meta: Arc<SplitMeta>, cache: Arc<SplitCache>) -> Listed {
        let rows = meta.rows.min(BLOCK_ROWS_MAX as u64) as u32;
        let unknown = BlockStat { rows, min_time_ns: meta.min_time_ns, max_time_ns: meta.max_time_ns };
        Listed { meta, cache, gate: Mutex::default(), unknown }
    }

    fn gate(&self) -> Result<Arc<Gate>, String> {
        let held = || self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = held().upgrade() {
            return Ok(gate);
        }
        let gate = self.cache.gate(&self.meta.path)?;
        *held() = Arc::downgrade(&gate);
        Ok(gate)
    }
}

/// A split as a search sees it; it is opened when the search first asks.
#[derive(Debug)]
pub struct SplitSegment {
    listed: Arc<Listed>,
    open: OnceLock<Result<Arc<OpenSplit>, String>>,
    no_fields: BTreeMap<String, FieldStat>,
    read_before: AtomicU64,
}

impl SplitSegment {
    pub fn new(meta: Arc<SplitMeta>, cache: Arc<SplitCache>) -> SplitSegment {
        SplitSegment::of(Arc::new(Listed::new(meta, cache)))
    }

    pub fn of(listed: Arc<Listed>) -> SplitSegment {
        SplitSegment { listed, open: OnceLock::new(), no_fields: BTreeMap::new(), read_before: AtomicU64::new(0) }
    }

    pub fn meta(&self) -> &SplitMeta {
        &self.listed.meta
    }

    fn open(&self) -> Result<&Arc<OpenSplit>, SegmentError> {
        let open = self.open.get_or_init(|| {
            let split = self.listed.cache.get(&self.meta().path)?;
            self.read_before.store(split.bytes_read(), Ordering::Relaxed);
            Ok(split)
        });
        open.as_ref().map_err(|reason| self.error(reason.clone()))
    }

    fn error(&self, reason: String) -> SegmentError {
        SegmentError { segment: self.meta().path.clone(), reason }
    }
}

impl Segment for SplitSegment {
    fn name(&self) -> &str {
        &self.meta().path
    }

    fn received(&self) -> Told {
        let SplitMeta { received, rows, unreceived, .. } = *self.meta();
        Told { span: received, unknown: if received.is_some() { unreceived } else { rows } }
    }

    fn block_received(&self, block: usize) -> Option<Span> {
        match self.open() {
            Ok(open) => open.known().footer.received.get(block).copied().flatten(),
            // Reading it tells what is wrong.
            Err(_) => self.meta().received,
        }
    }

    fn time_range(&self) -> Option<(i64, i64)> {
        let BlockStat { min_time_ns, max_time_ns, .. } = self.listed.unknown;
        Some((min_time_ns, max_time_ns))
    }

    fn blocks(&self) -> &[BlockStat] {
        self.open().map_or(std::slice::from_ref(&self.listed.unknown), |open| &open.known().footer.blocks)
    }

    fn fields(&self) -> &BTreeMap<String, FieldStat> {
        self.open().map_or(&self.no_fields, |open| &open.known().footer.fields)
    }

    fn look_at_fields(&self, look: &mut dyn FnMut(&BTreeMap<String, FieldStat>)) {
        // What is opened is held until the search is done, however many splits it asks.
        match self.listed.gate() {
            Ok(gate) if !self.is_open() => look(gate.fields()),
            _ => look(self.fields()),
        }
    }

    fn is_open(&self) -> bool {
        self.open.get().is_some() || self.listed.cache.is_open(&self.meta().path)
    }

    fn rules_out(&self, sieve: &mut Sieve<'_>) -> bool {
        // Where that cannot be told the search opens the split, and tells why that fails.
        self.listed.gate().and_then(|gate| sieve.may_match(&gate)).is_ok_and(|may| !may)
    }

    fn candidates(&self, probe: &Probe) -> Result<Vec<bool>, SegmentError> {
        self.open()?.candidates(probe).map_err(|reason| self.error(reason))
    }

    fn read(&self, block: usize, projection: &Projection, rows: Option<&[u32]>) -> Result<RecordBatch, SegmentError> {
        self.open()?.read(block, projection, rows).map_err(|reason| self.error(reason))
    }

    fn raw(&self, block: usize, rows: &[u32]) -> Result<Vec<Vec<u8>>, SegmentError> {
        self.open()?.raw(block, rows).map_err(|reason| self.error(reason))
    }

    fn counts(&self, block: usize, field: &str) -> Option<&[(String, u32)]> {
        self.open().ok()?.known().footer.counts.get(field)?.get(block)?.as_deref()
    }

    fn word_rows(&self, word: &str) -> Option<Vec<u32>> {
        let rows = self.open().ok()?.word_rows(word);
        rows.unwrap_or_else(|error| {
            // The texts are still there.
            tracing::warn!(segment = self.name(), error = %error, "the tally of a segment could not be asked");
            None
        })
    }

    fn parts(&self, block: usize) -> Result<Option<Box<dyn Parts + '_>>, SegmentError> {
        let parts = self.open()?.parts(block).map_err(|reason| self.error(reason))?;
        Ok(parts.map(|parts| Box::new(parts) as Box<dyn Parts>))
    }

    fn recall(&self, block: usize, question: u128) -> Option<ArrayRef> {
        self.open().ok()?.recall(block, question)
    }

    fn remember(&self, block: usize, question: u128, answer: &ArrayRef) {
        if let Ok(open) = self.open() {
            open.remember(block, question, answer);
        }
    }

    fn in_passing(&self) -> Option<Arc<dyn Segment>> {
        Some(Arc::new(SplitSegment::new(Arc::clone(&self.listed.meta), Arc::clone(self.listed.cache.passing()))))
    }

    fn stored_bytes(&self, block: usize, projection: &Projection) -> u64 {
        // What cannot be opened is not read either.
        self.open().ok().and_then(|open| open.stored_bytes(block, projection).ok()).unwrap_or(0)
    }

    fn bytes_read(&self) -> u64 {
        match self.open.get() {
            Some(Ok(open)) => open.bytes_read().saturating_sub(self.read_before.load(Ordering::Relaxed)),
            _ => 0,
        }
    }
}

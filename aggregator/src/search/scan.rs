//! The blocks that a query must look at, in the order of time, with an account of those that it could not.
//!
//! A block that fails costs that block: the answer names its part of time as missing. Before every block the deadline
//! and the caller's will are asked.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as Atomic};
use std::thread;
use std::time::Instant;

use arrow::array::Int64Array;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use logweir_proto::api::{MissingRange, Order, Stats};
use logweir_proto::record::field;

use self::ahead::{Ahead, key};
use self::missing::{Part, missing_ranges};
use super::cell::EXTRA;
use super::filter::Filter;
use super::filter::source::BlockSource;
use super::mask::Mask;
use super::steps::Steps;
use crate::store::segment::{BlockStat, Projection, Segment, SegmentError};
use crate::store::split::gate::sieve::Sieve;

mod ahead;
mod missing;

/// Most parts of time that an answer names as missing; neighbours are joined until they fit.
pub const MISSING_RANGES_MAX: usize = 20;

/// With fewer segments all stay open, and their indexes say more.
const GATED_SEGMENTS: usize = 32;

/// After so many segments in a row without a candidate all that are left are asked at once.
const SWEEP_AFTER: usize = 8;

/// Segments that are asked between two looks at the clock: an answer may take less than the look.
const SEGMENTS_A_LOOK: usize = 8;

/// Times from `first_ns` to `last_ns`, both inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    pub first_ns: i64,
    pub last_ns: i64,
}

impl TimeRange {
    pub const ALL: TimeRange = TimeRange { first_ns: i64::MIN, last_ns: i64::MAX };

    /// What is in both.
    #[must_use]
    pub fn both(self, other: TimeRange) -> TimeRange {
        let (first_ns, last_ns) = (self.first_ns.max(other.first_ns), self.last_ns.min(other.last_ns));
        TimeRange { first_ns, last_ns }
    }

    /// From the first of the two to the last.
    #[must_use]
    pub fn hull(self, other: TimeRange) -> TimeRange {
        let (first_ns, last_ns) = (self.first_ns.min(other.first_ns), self.last_ns.max(other.last_ns));
        TimeRange { first_ns, last_ns }
    }

    /// Whether a segment has rows in it; does not open the segment.
    pub fn reaches(&self, segment: &dyn Segment) -> bool {
        segment.time_range().is_some_and(|(min_ns, max_ns)| min_ns <= self.last_ns && max_ns >= self.first_ns)
    }

    pub fn overlaps(&self, block: &BlockStat) -> bool {
        block.rows > 0 && block.min_time_ns <= self.last_ns && block.max_time_ns >= self.first_ns
    }

    /// Whether something of a span, both ends inside, is in it; of no span nothing is.
    pub fn meets(&self, span: Option<(i64, i64)>) -> bool {
        span.is_some_and(|(min_ns, max_ns)| min_ns <= self.last_ns && max_ns >= self.first_ns)
    }

    pub fn contains(&self, block: &BlockStat) -> bool {
        self.first_ns <= block.min_time_ns && block.max_time_ns <= self.last_ns
    }
}

/// When to give up.
#[derive(Debug, Clone, Copy)]
pub struct Patience<'a> {
    pub deadline: Instant,
    pub cancel: &'a AtomicBool,
}

impl Patience<'_> {
    pub fn is_over(&self) -> Option<Reason> {
        if self.cancel.load(Atomic::Relaxed) {
            Some(Reason::Cancelled)
        } else if Instant::now() >= self.deadline {
            Some(Reason::Timeout)
        } else {
            None
        }
    }
}

/// Why an answer is not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Timeout,
    Cancelled,
    /// Whoever asked took the rows too slowly.
    SlowReader,
    /// A block or a whole segment could not be read.
    Unreadable,
}

impl Reason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Timeout => "timeout",
            Reason::Cancelled => "cancelled",
            Reason::SlowReader => "slow_reader",
            Reason::Unreadable => "unreadable",
        }
    }
}

/// A block to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRef {
    pub segment: usize,
    pub block: usize,
    pub stat: BlockStat,
}

/// What was covered, and at what cost.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Coverage {
    pub reason: Option<Reason>,
    pub missing: Vec<MissingRange>,
    pub stats: Stats,
}

/// Columns of a block, and the rows of it that pass.
pub type Selected = (RecordBatch, Mask);

/// Reads blocks: what the threads of a search share.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    segments: &'a [Arc<dyn Segment>],
    filter: &'a Filter,
    steps: Option<&'a Steps>,
    range: TimeRange,
}

impl<'a> Reader<'a> {
    pub fn segment(&self, block: &BlockRef) -> &'a dyn Segment {
        &*self.segments[block.segment]
    }

    pub fn range(&self) -> TimeRange {
        self.range
    }

    /// Asks segments in turn whether they have anything.
    fn sieve(&self) -> Sieve<'a> {
        let filter = self.filter;
        Sieve::new(|fields| filter.probe(fields))
    }

    /// Whether a segment is known to have nothing.
    fn rules_out(&self, place: usize, sieve: &mut Sieve<'_>) -> bool {
        self.segments.get(place).is_some_and(|segment| segment.rules_out(sieve))
    }

    /// Which blocks of a segment may match.
    fn candidates(&self, segment: &dyn Segment) -> Vec<bool> {
        Reader::candidates_of(segment, self.filter)
    }

    /// Which blocks of a segment may hold a match of a filter; a flag that is missing is a yes.
    pub fn candidates_of(segment: &dyn Segment, filter: &Filter) -> Vec<bool> {
        segment.candidates(&filter.probe(segment.fields())).unwrap_or_else(|error| {
            // Without its index a segment is still searchable: every block is read.
            tracing::warn!(segment = segment.name(), error = %error, "the index of a segment could not be asked");
            Vec::new()
        })
    }

    pub fn filter(&self) -> &'a Filter {
        self.filter
    }

    /// Reads with a copy of the filter: threads that share the caches of one wait for each other.
    pub fn with<'b>(self, filter: &'b Filter) -> Reader<'b>
    where
        'a: 'b,
    {
        Reader { filter, ..self }
    }

    /// The rows of a block that are in the time range.
    pub fn within(&self, block: &BlockRef) -> Result<Mask, SegmentError> {
        if self.range.contains(&block.stat) {
            return Ok(Mask::all(block.stat.rows as usize));
        }
        let segment = self.segment(block);
        let batch = segment.read(block.block, &projection(&BTreeSet::from([field::TIME])), None)?;
        let TimeRange { first_ns, last_ns } = self.range;
        Ok(Mask::of_values(times(&batch, segment)?, |time| (time >= first_ns) & (time <= last_ns)))
    }

    /// The rows of a block that are in the time range and pass the filter, and the columns `more`; `None` when there
    /// are no such rows, and then only what the filter looks at was read.
    pub fn select(&self, block: &BlockRef, more: &BTreeSet<&str>) -> Result<Option<Selected>, SegmentError> {
        let segment = self.segment(block);
        let rows = block.stat.rows as usize;
        let within = self.within(block)?;
        let source = BlockSource::new(segment, block.block, rows);
        let mask = self.filter.eval_in(&source, &within);
        if let Some(error) = source.failure() {
            return Err(error);
        }
        if mask.is_empty() {
            return Ok(None);
        }
        let wanted: BTreeSet<&str> =
            more.iter().copied().chain(self.steps.into_iter().flat_map(Steps::inputs)).collect();
        let batch = if wanted.is_empty() {
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)
                .map_err(|error| failed(segment, &error))?
        } else {
            segment.read(block.block, &projection(&wanted), None)?
        };
        Ok(Some(match self.steps {
            Some(steps) => steps.apply(batch, mask),
            None => (batch, mask),
        }))
    }
}

fn failed(segment: &dyn Segment, error: &ArrowError) -> SegmentError {
    SegmentError { segment: segment.name().to_owned(), reason: error.to_string() }
}

/// Walks the candidate blocks. A segment is opened when the walk comes to its time, so that a search which soon has
/// enough opens few.
pub struct Scan<'a> {
    reader: Reader<'a>,
    order: Order,
    patience: Patience<'a>,
    /// Candidates of the segments that were opened.
    ahead: BinaryHeap<Ahead>,
    /// Segments that were not, the next one last, by the key of their time.
    closed: Vec<(i64, usize)>,
    /// Segments that were opened one after the other without a candidate.
    in_vain: usize,
    /// Whether the segments are so many that one is asked whether it has anything before it is opened.
    is_gated: bool,
    sieve: Sieve<'a>,
    /// What segments answered that were asked several at once.
    asked: HashMap<usize, Vec<bool>>,
    /// The next block, once it is known that it may match.
    ready: Option<BlockRef>,
    failed: Vec<BlockRef>,
    over: Option<Reason>,
    blocks_read: usize,
    rows_scanned: u64,
    bytes_before: Vec<u64>,
    used: BTreeSet<usize>,
}

impl<'a> Scan<'a> {
    pub fn new(
        segments: &'a [Arc<dyn Segment>],
        filter: &'a Filter,
        range: TimeRange,
        order: Order,
        patience: Patience<'a>,
    ) -> Scan<'a> {
        let received = filter.received();
        let reached = segments.iter().enumerate().filter(|(_, segment)| {
            range.reaches(&***segment) && received.is_none_or(|received| received.meets(segment.received().span))
        });
        let closed = reached.filter_map(|(place, segment)| {
            let (min_ns, max_ns) = segment.time_range()?;
            Some((key(order, min_ns, max_ns), place))
        });
        let mut closed: Vec<(i64, usize)> = closed.collect();
        closed.sort_unstable_by_key(|(key, place)| (*key, Reverse(*place)));
        let is_gated = closed.len() >= GATED_SEGMENTS && !filter.is_all();
        let reader = Reader { segments, filter, steps: None, range };
        Scan {
            reader,
            order,
            patience,
            ahead: BinaryHeap::new(),
            closed,
            in_vain: 0,
            is_gated,
            sieve: reader.sieve(),
            asked: HashMap::new(),
            ready: None,
            failed: Vec::new(),
            over: None,
            blocks_read: 0,
            rows_scanned: 0,
            bytes_before: segments.iter().map(|segment| segment.bytes_read()).collect(),
            used: BTreeSet::new(),
        }
    }

    /// Rows that pass the filter go through these pipes as well, and so do rows that are shown.
    pub fn with_steps(mut self, steps: &'a Steps) -> Scan<'a> {
        self.reader.steps = (!steps.is_empty()).then_some(steps);
        self
    }

    pub fn steps(&self) -> Option<&'a Steps> {
        self.reader.steps
    }

    pub fn reader(&self) -> Reader<'a> {
        self.reader
    }

    pub fn patience(&self) -> Patience<'a> {
        self.patience
    }

    /// The next candidate, unless time or patience is over.
    pub fn next_block(&mut self) -> Option<BlockRef> {
        let block = self.peek()?;
        self.over = self.patience.is_over();
        if self.over.is_some() {
            return None;
        }
        self.ahead.pop();
        Some(block)
    }

    /// Whether the walk ended before its last block.
    pub fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// The time that no row of the blocks still to come can be beyond: none is later, or with rising order earlier.
    pub fn bound_ns(&mut self) -> Option<i64> {
        if self.over.is_none() {
            self.peek();
        }
        let opened = self.ahead.peek().map(|ahead| ahead.key);
        let key = opened.max(self.closed.last().filter(|_| self.over.is_some()).map(|(key, _)| *key))?;
        Some(match self.order {
            Order::Desc => key,
            Order::Asc => !key,
        })
    }

    /// The blocks that are still to be looked at, without reading any; as many as patience allows.
    pub fn candidates(&mut self) -> Vec<BlockRef> {
        std::iter::from_fn(|| self.next_block()).collect()
    }

    fn peek(&mut self) -> Option<BlockRef> {
        loop {
            while let Some((key, segment)) = self.closed.last().copied() {
                if self.ahead.peek().is_some_and(|ahead| ahead.key > key) {
                    break;
                }
                self.over = self.patience.is_over();
                if self.over.is_some() {
                    return None;
                }
                self.closed.pop();
                self.open(segment);
                self.in_vain = if self.ahead.is_empty() { self.in_vain + 1 } else { 0 };
                if self.in_vain == SWEEP_AFTER && self.is_gated {
                    self.sweep();
                }
            }
            let block = self.ahead.peek()?.block;
            if self.ready == Some(block) || self.reader.filter.may_match(self.reader.segment(&block), block.block) {
                self.ready = Some(block);
                return Some(block);
            }
            self.ahead.pop();
        }
    }

    /// Leaves out the segments that have nothing. Two threads ask: of thousands each costs a read.
    fn sweep(&mut self) {
        let (reader, patience) = (self.reader, self.patience);
        let keep = |part: &[(i64, usize)]| {
            let (mut sieve, mut is_over) = (reader.sieve(), false);
            let keep = |(number, (_, place)): (usize, &(i64, usize))| {
                if number % SEGMENTS_A_LOOK == 0 {
                    is_over = patience.is_over().is_some();
                }
                is_over || !reader.rules_out(*place, &mut sieve)
            };
            part.iter().enumerate().map(keep).collect()
        };
        let mut kept = self.of_closed(keep).into_iter();
        self.closed.retain(|_| kept.next().unwrap_or(true));
    }

    /// Opens the segments that are left, for a walk that goes to its end. Where they have to be read two threads do it.
    pub fn open_all(&mut self) {
        if self.is_gated {
            self.sweep();
            self.is_gated = false;
        }
        let (reader, patience) = (self.reader, self.patience);
        let segment = |place: usize| reader.segments.get(place).filter(|segment| !segment.is_open());
        if self.closed.iter().filter_map(|(_, place)| segment(*place)).count() < 2 {
            return;
        }
        let ask = |place: usize| {
            Some((place, reader.candidates(&**segment(place).filter(|_| patience.is_over().is_none())?)))
        };
        let ask = |part: &[(i64, usize)]| part.iter().filter_map(|(_, place)| ask(*place)).collect();
        self.asked = self.of_closed(ask).into_iter().collect();
    }

    /// Asks something of the segments that were not opened, with two threads.
    fn of_closed<T: Send>(&self, ask: impl Fn(&[(i64, usize)]) -> Vec<T> + Sync) -> Vec<T> {
        let (first, second) = self.closed.split_at(self.closed.len() / 2);
        thread::scope(|scope| {
            let other = scope.spawn(|| ask(second));
            let mut answers = ask(first);
            answers.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
            answers
        })
    }

    /// Asks the index of a segment which of its blocks to look at.
    fn open(&mut self, place: usize) {
        let Some(segment) = self.reader.segments.get(place) else { return };
        if self.is_gated && self.reader.rules_out(place, &mut self.sieve) {
            return;
        }
        let flags = self.asked.remove(&place).unwrap_or_else(|| self.reader.candidates(&**segment));
        // A flag that is missing must not hide rows.
        let flags = flags.into_iter().chain(std::iter::repeat(true));
        let blocks = segment.blocks().iter().zip(flags).enumerate();
        let wanted = blocks.filter(|(_, (stat, is_candidate))| *is_candidate && self.reader.range.overlaps(stat));
        let order = self.order;
        self.ahead.extend(wanted.map(|(block, (stat, _))| {
            let key = key(order, stat.min_time_ns, stat.max_time_ns);
            Ahead { key, block: BlockRef { segment: place, block, stat: *stat } }
        }));
    }

    /// Reads some fields of a block; a failure is noted and costs the block.
    pub fn read(
        &mut self,
        block: &BlockRef,
        fields: Option<&BTreeSet<&str>>,
        rows: Option<&[u32]>,
    ) -> Option<RecordBatch> {
        let projection = fields.map_or(Projection::All, projection);
        let segment = self.reader.segment(block);
        self.used.insert(block.segment);
        let batch = segment.read(block.block, &projection, rows);
        self.note(block, batch)
    }

    /// The lines of some rows of a block, as they were written.
    pub fn raw(&mut self, block: &BlockRef, rows: &[u32]) -> Option<Vec<Vec<u8>>> {
        let lines = self.reader.segment(block).raw(block.block, rows);
        self.note(block, lines)
    }

    fn note<T>(&mut self, block: &BlockRef, result: Result<T, SegmentError>) -> Option<T> {
        result
            .inspect_err(|error| {
                tracing::warn!(block = block.block, error = %error, "a block could not be read");
                if !self.failed.contains(block) {
                    self.failed.push(*block);
                }
            })
            .ok()
    }

    /// See [`Reader::select`]; a failure is noted and costs the block.
    pub fn select(&mut self, block: &BlockRef, more: &BTreeSet<&str>) -> Option<Selected> {
        let selected = self.reader.select(block, more);
        self.took(block, selected).flatten()
    }

    /// Notes that a block was looked at, here or by a [`Reader`].
    pub fn took<T>(&mut self, block: &BlockRef, result: Result<T, SegmentError>) -> Option<T> {
        self.used.insert(block.segment);
        if result.is_ok() {
            self.blocks_read += 1;
            self.rows_scanned += u64::from(block.stat.rows);
        }
        self.note(block, result)
    }

    /// Ends the walk early; `rest` was not looked at.
    pub fn give_up(&mut self, reason: Reason, rest: &[BlockRef]) {
        self.over = Some(reason);
        let order = self.order;
        let key = |block: &BlockRef| key(order, block.stat.min_time_ns, block.stat.max_time_ns);
        self.ahead.extend(rest.iter().map(|block| Ahead { key: key(block), block: *block }));
    }

    /// Ends the walk. With `early` the blocks still to come were not needed and are not missing.
    pub fn finish(mut self, early: bool) -> Coverage {
        let failed = std::mem::take(&mut self.failed);
        let has_failed = !failed.is_empty();
        let mut missing: Vec<Part> = failed.iter().map(|block| self.part(block)).collect();
        if self.over.is_some() && !early {
            // The walk goes by time: what it did not reach is one stretch.
            let opened = std::mem::take(&mut self.ahead).into_iter().map(|ahead| self.part(&ahead.block));
            let closed = self.closed.iter().filter_map(|(_, place)| {
                let (min_ns, max_ns) = self.reader.segments.get(*place)?.time_range()?;
                Some(self.part_of(*place, min_ns, max_ns))
            });
            missing.extend(opened.chain(closed).reduce(Part::join));
        }
        let reason = if early { None } else { self.over }.or(has_failed.then_some(Reason::Unreadable));
        let bytes =
            self.reader.segments.iter().zip(&self.bytes_before).map(|(segment, before)| segment.bytes_read() - before);
        let stats = Stats {
            ms: 0.0,
            splits_opened: self.used.len(),
            splits_pruned: self.reader.segments.len() - self.used.len(),
            blocks_read: self.blocks_read,
            rows_scanned: self.rows_scanned,
            bytes: bytes.sum(),
        };
        Coverage { reason, missing: missing_ranges(missing), stats }
    }

    fn part(&self, block: &BlockRef) -> Part {
        self.part_of(block.segment, block.stat.min_time_ns, block.stat.max_time_ns)
    }

    fn part_of(&self, segment: usize, min_ns: i64, max_ns: i64) -> Part {
        Part {
            from_ns: min_ns.max(self.reader.range.first_ns),
            to_ns: max_ns.min(self.reader.range.last_ns),
            segments: BTreeSet::from([segment]),
        }
    }

    pub fn splits_done(&self) -> usize {
        self.used.len()
    }

    pub fn splits_total(&self) -> usize {
        self.reader.segments.len()
    }

    pub fn bytes(&self) -> u64 {
        self.reader.segments.iter().zip(&self.bytes_before).map(|(segment, before)| segment.bytes_read() - before).sum()
    }
}

/// The columns to ask for. Canonical fields are never in the overflow column.
pub fn projection(fields: &BTreeSet<&str>) -> Projection {
    let mut names: Vec<String> = fields.iter().map(|name| (*name).to_owned()).collect();
    if names.iter().any(|name| !field::ALL.contains(&name.as_str()) && name != field::INGESTED) {
        names.push(EXTRA.to_owned());
    }
    Projection::Fields(names)
}

/// The times of a batch.
pub fn times<'b>(batch: &'b RecordBatch, segment: &dyn Segment) -> Result<&'b [i64], SegmentError> {
    let column = batch.column_by_name(field::TIME).and_then(|column| column.as_any().downcast_ref::<Int64Array>());
    column
        .map(|array| &**array.values())
        .ok_or_else(|| SegmentError { segment: segment.name().to_owned(), reason: "a batch without times".to_owned() })
}

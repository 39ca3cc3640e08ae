//! Sealing the head into a split.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use logweir_runtime::backoff::Backoff;
use logweir_runtime::clock::Nanos;

use super::classes::Sorted;
use super::{Inner, OPEN_PERCENT_MAX, State, StoreError, Work, split_path, unique};
use crate::ranges::SourceRanges;
use crate::store::block::Block;
use crate::store::catalogue::Catalogue;
use crate::store::commit::Record;
use crate::store::head::{Head, HeadSegment};
use crate::store::split::footer::SplitMeta;
use crate::store::split::writer::{SplitSource, WriteError, write};

/// The first and the longest pause after a seal that failed.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// How long who appends waits for a seal of another thread before it looks after the head itself.
const ROOM_WAIT: Duration = Duration::from_secs(1);

/// A part is sealed when so many ranges were added to it: they have to fit into its commit record and footer.
const PART_RANGES_MAX: usize = 100_000;

/// The rows of consecutive WAL records.
pub(super) struct Part {
    pub(super) head: Head,
    pub(super) snapshot: Arc<HeadSegment>,
    ranges: SourceRanges,
    /// How many ranges were added; those that touch count each.
    ranges_added: usize,
    /// The first and the last WAL record.
    records: Option<(u64, u64)>,
    since_ns: Nanos,
}

impl Default for Part {
    fn default() -> Part {
        Part {
            head: Head::default(),
            snapshot: Arc::new(HeadSegment::new("head", Vec::new())),
            ranges: SourceRanges::default(),
            ranges_added: 0,
            records: None,
            since_ns: 0,
        }
    }
}

/// Bytes of lines that count as one byte of memory: what repeats itself takes little of it, and a split is not to become
/// endless.
const RAW_BYTES_PER_BYTE: u64 = 4;

impl Part {
    /// What is held against `seal_bytes`.
    pub(super) fn size(&self) -> u64 {
        self.head.memory_bytes().max(self.head.raw_bytes() / RAW_BYTES_PER_BYTE)
    }

    pub(super) fn append(&mut self, blocks: Vec<Arc<Block>>, wal_record: u64, ranges: &SourceRanges, now: Nanos) {
        if self.records.is_none() {
            self.since_ns = now;
        }
        for block in blocks {
            if let Err(error) = self.head.append(block) {
                // The rows are in; only merging them with their neighbours failed.
                tracing::error!(error = %error, "blocks of the head cannot be merged");
            }
        }
        self.ranges.merge(ranges);
        self.ranges_added += ranges.iter().map(|(_, set)| set.len()).sum::<usize>();
        self.records = Some((self.records.map_or(wal_record, |(first, _)| first), wal_record));
    }
}

/// Whether more may be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Enough,
    /// The part before is being sealed, and this one is next.
    Soon,
    /// Nobody seals, or it fails.
    None,
}

/// A part on its way into a split: what a second try has to repeat.
pub(super) struct Sealer {
    under_way: Option<UnderWay>,
    backoff: Backoff,
    not_before_ns: Nanos,
}

struct UnderWay {
    part: Arc<Part>,
    nonce: String,
    /// Which rows are of which class.
    sorted: Sorted,
    /// Written and durable, one a class that has rows, in their order.
    put: Vec<SplitMeta>,
}

impl Sealer {
    pub(super) fn new(now: Nanos) -> Sealer {
        Sealer { under_way: None, backoff: Backoff::new(RETRY_MIN, RETRY_MAX, now as u64), not_before_ns: 0 }
    }

    /// Lets go of what is under way if its record is in the catalogue, and says so.
    pub(super) fn take_sealed(&mut self, catalogue: &Catalogue) -> bool {
        self.under_way.take_if(|under_way| catalogue.has_folded(&under_way.nonce)).is_some()
    }
}

impl Inner {
    pub(super) fn seal_is_due(&self, work: &Work, now: Nanos) -> bool {
        let pause_ns = work.sealer.not_before_ns.saturating_sub(now);
        // A pause that is longer than any was begun before the clock was set back.
        if pause_ns > 0 && pause_ns <= RETRY_MAX.as_nanos() as Nanos {
            return false;
        }
        if work.sealer.under_way.is_some() {
            return true;
        }
        let mut state = self.state();
        // The clock may have been set back.
        state.open.since_ns = state.open.since_ns.min(now);
        let age = Duration::from_nanos(u64::try_from(now.saturating_sub(state.open.since_ns)).unwrap_or(0));
        let open = &state.open;
        let full = open.size() >= self.config.seal_bytes || open.ranges_added >= PART_RANGES_MAX;
        open.records.is_some() && (full || age >= self.config.seal_age)
    }

    /// Seals what is under way, or else the open part. After an error everything is as before, for the next try.
    pub(super) fn seal(&self, work: &mut Work) -> Result<(), StoreError> {
        let sealed = self.try_seal(work);
        self.warn("seal", &sealed);
        self.state().seal_fault = sealed.as_ref().err().map(ToString::to_string);
        self.sealed.notify_all();
        match &sealed {
            Ok(()) => {
                work.sealer.backoff.reset();
                work.sealer.not_before_ns = 0;
                self.warn("checkpoint", &work.catalogue.checkpoint_if_due(&*self.commits).map_err(StoreError::from));
            }
            Err(_) => {
                let pause = i64::try_from(work.sealer.backoff.next_delay().as_nanos()).unwrap_or(i64::MAX);
                work.sealer.not_before_ns = self.clock.now_ns().saturating_add(pause);
            }
        }
        sealed
    }

    fn try_seal(&self, work: &mut Work) -> Result<(), StoreError> {
        let now = self.clock.now_ns();
        if work.sealer.under_way.is_none() {
            let Some(part) = self.close_part() else { return Ok(()) };
            let sorted = Sorted::new(part.head.blocks(), &self.config.classes);
            work.sealer.under_way = Some(UnderWay { part, nonce: unique(now), sorted, put: Vec::new() });
        }
        let Some(under_way) = &mut work.sealer.under_way else { return Ok(()) };
        let Some((first, last)) = under_way.part.records else { return Ok(()) };
        let part = Arc::clone(&under_way.part);
        for class in under_way.sorted.classes().skip(under_way.put.len()) {
            let blocks = under_way.sorted.blocks(part.head.blocks(), class).map_err(WriteError::from)?;
            let max_time_ns = blocks.iter().map(|block| block.stat().max_time_ns).max().unwrap_or(now);
            let path = split_path(max_time_ns, class, &under_way.nonce);
            // Each has all ranges of the part: the catalogue can be made anew from those that are left.
            let ranges = part.ranges.clone();
            let file = write(&blocks, SplitSource { path, wal: (first, last + 1), ranges, class: class.to_owned() })?;
            self.objects.put(&file.meta.path, file.bytes)?;
            under_way.put.push(file.meta);
        }
        let record = Record {
            nonce: under_way.nonce.clone(),
            time_ns: now,
            added: under_way.put.clone(),
            removed: Vec::new(),
            wal_upto: Some(last + 1),
            ranges: part.ranges.clone(),
        };
        work.catalogue.commit_seal(&*self.commits, &record, first)?;
        self.publish(work, now);
        metrics::counter!("logweir_seals_total").increment(1);
        Ok(())
    }

    /// Moves the open part to where it is sealed from; readers go on seeing it.
    fn close_part(&self) -> Option<Arc<Part>> {
        let mut state = self.state();
        state.open.records?;
        let mut part = std::mem::take(&mut state.open);
        part.snapshot = Arc::new(part.head.snapshot("head, being sealed"));
        let part = Arc::new(part);
        state.sealing = Some(Arc::clone(&part));
        state.open_snapshot = None;
        Some(part)
    }

    /// Whether the open part takes more.
    pub(super) fn room(&self, state: &State) -> Room {
        let is_sealing = state.sealing.is_some() && state.seal_fault.is_none();
        match state.open.size() < self.config.seal_bytes.saturating_mul(OPEN_PERCENT_MAX) / 100 {
            true => Room::Enough,
            false if is_sealing => Room::Soon,
            false => Room::None,
        }
    }

    /// Waits while the head is far over its size and being sealed; seals here when nobody does.
    pub(super) fn make_room(&self) {
        let mut state = self.state();
        if self.room(&state) == Room::Soon {
            let waited = self.sealed.wait_timeout_while(state, ROOM_WAIT, |state| self.room(state) == Room::Soon);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.sealing.is_none() {
                // Whoever sealed that takes the open part next, and this thread has other things to do.
                return;
            }
        }
        let room = self.room(&state);
        drop(state);
        if room != Room::Enough {
            self.relieve();
        }
    }

    /// Seals on the thread that appends.
    fn relieve(&self) {
        let mut work = self.work();
        // The thread that seals may have come first, or wait for its next try.
        while self.seal_is_due(&work, self.clock.now_ns()) {
            if self.seal(&mut work).is_err() {
                break;
            }
        }
    }
}

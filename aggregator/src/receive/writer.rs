//! The one writer of the log: takes requests, drops what is stored, appends, syncs once for a whole group, answers.
//!
//! It runs on a thread of its own because fsync blocks. Everything between two fsyncs shares one: under load the group
//! grows by itself. An answer leaves only after the sync; a duplicate of something that is not synced yet waits too.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use logweir_proto::api::BatchAnswer;
use logweir_proto::batch::{Body, ChunkInfo, Header};
use tokio::sync::oneshot;

use super::admission::Ticket;
use super::dedup::{self, ChunkPlan, RecordPlan};
use super::{Received, record};
use crate::ranges::{RangeSet, SourceKey, SourceRanges};
use crate::spans::Spans;
use crate::wal::{Wal, WalError};

/// Requests that wait for the writer.
pub const QUEUE_REQUESTS_MAX: usize = 256;
/// Compressed bytes that share one fsync.
pub const GROUP_BYTES_MAX: usize = 32 << 20;

/// A durable batch on its way to the parser.
#[derive(Debug)]
pub struct Durable {
    /// Its number in the log.
    pub record: u64,
    pub received_ns: i64,
    pub tenant: String,
    pub header: Header,
    pub body: Body,
    /// Where the values of its lines are, as far as the door knows: nothing in a replay.
    pub spans: Spans,
    /// One for each chunk of the header.
    pub plans: Vec<ChunkPlan>,
    /// Given back when the events are searchable; `None` in a replay.
    pub ticket: Option<Ticket>,
}

/// Why a batch was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    #[error("too many requests wait for the log")]
    Busy,
    /// The next attempt may succeed: no space, for example.
    #[error("{0}")]
    Failed(String),
    /// Only a restart helps.
    #[error("{0}")]
    Poisoned(String),
    #[error("the server is shutting down")]
    Closed,
}

enum Request {
    Append { received: Box<Received>, reply: oneshot::Sender<Result<BatchAnswer, WriteError>> },
    TruncateBefore(u64),
}

/// Cheap to clone; the writer ends when the last one is gone.
#[derive(Debug, Clone)]
pub struct WriterHandle {
    requests: mpsc::SyncSender<Request>,
    state: Arc<Mutex<WriterState>>,
}

#[derive(Debug, Default)]
struct WriterState {
    poisoned: Option<String>,
    failed: Option<String>,
    wal_bytes: u64,
}

impl WriterHandle {
    /// Waits until the batch is durable, and answers what of it was new.
    pub async fn append(&self, received: Received) -> Result<BatchAnswer, WriteError> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Append { received: Box::new(received), reply };
        match self.requests.try_send(request) {
            Ok(()) => answer.await.unwrap_or(Err(WriteError::Closed)),
            Err(mpsc::TrySendError::Full(_)) => Err(WriteError::Busy),
            Err(mpsc::TrySendError::Disconnected(_)) => Err(WriteError::Closed),
        }
    }

    /// The same without waiting: for what the server says of itself.
    pub fn submit(&self, received: Received) -> Result<(), WriteError> {
        let request = Request::Append { received: Box::new(received), reply: oneshot::channel().0 };
        self.requests.try_send(request).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => WriteError::Busy,
            mpsc::TrySendError::Disconnected(_) => WriteError::Closed,
        })
    }

    /// Lets go of records that a committed split covers. May be called from a blocking thread only.
    pub fn truncate_before(&self, record: u64) {
        let _ = self.requests.send(Request::TruncateBefore(record));
    }

    /// `Err` says why the log takes no data.
    pub fn health(&self) -> Result<(), String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.poisoned.as_ref().or(state.failed.as_ref()) {
            Some(reason) => Err(reason.clone()),
            None => Ok(()),
        }
    }

    pub fn wal_bytes(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).wal_bytes
    }
}

/// The ranges of every source, shared with `GET /api/v1/sources`; only the writer changes them.
pub type SharedRanges = Arc<Mutex<SourceRanges>>;

/// Starts the writer. What becomes durable goes to `next`, in the order of the log.
pub fn start(
    wal: Box<dyn Wal>,
    ranges: SharedRanges,
    next: mpsc::SyncSender<Durable>,
) -> std::io::Result<(WriterHandle, thread::JoinHandle<()>)> {
    let (requests, queue) = mpsc::sync_channel(QUEUE_REQUESTS_MAX);
    let state = Arc::new(Mutex::new(WriterState { wal_bytes: wal.bytes(), ..WriterState::default() }));
    let mut writer = Writer { wal, ranges, next, state: Arc::clone(&state) };
    let thread = thread::Builder::new().name("wal".to_owned()).spawn(move || {
        while let Ok(first) = queue.recv() {
            if !writer.handle_group(first, &queue) {
                break;
            }
        }
    })?;
    Ok((WriterHandle { requests, state }, thread))
}

struct Writer {
    wal: Box<dyn Wal>,
    ranges: SharedRanges,
    next: mpsc::SyncSender<Durable>,
    state: Arc<Mutex<WriterState>>,
}

/// A request that waits for the sync.
struct Pending {
    durable: Option<Durable>,
    answer: BatchAnswer,
    reply: oneshot::Sender<Result<BatchAnswer, WriteError>>,
}

impl Writer {
    /// Serves `first` and whatever else waits; `false` when the stage behind is gone.
    fn handle_group(&mut self, first: Request, queue: &mpsc::Receiver<Request>) -> bool {
        let mut pending = Vec::new();
        let mut truncate = None;
        let mut bytes = 0;
        let mut request = Some(first);
        while let Some(current) = request {
            match current {
                Request::Append { received, reply } => {
                    bytes += received.bytes.len();
                    match self.append(*received) {
                        Ok((durable, answer)) => pending.push(Pending { durable, answer, reply }),
                        Err(error) => {
                            let _ = reply.send(Err(self.note(&error)));
                        }
                    }
                }
                Request::TruncateBefore(record) => truncate = Some(record),
            }
            request = if bytes < GROUP_BYTES_MAX { queue.try_recv().ok() } else { None };
        }
        let synced = if pending.is_empty() { Ok(()) } else { self.wal.sync() };
        let alive = self.finish(pending, synced);
        if let Some(record) = truncate
            && let Err(error) = self.wal.truncate_before(record)
        {
            tracing::warn!(error = %error, "cannot remove old log segments");
        }
        self.state.lock().unwrap_or_else(PoisonError::into_inner).wal_bytes = self.wal.bytes();
        alive
    }

    fn append(&mut self, received: Received) -> Result<(Option<Durable>, BatchAnswer), WalError> {
        let Received { tenant, received_ns, bytes, mut header, body, spans, ticket } = received;
        let mut ranges = self.ranges.lock().unwrap_or_else(PoisonError::into_inner);
        ranges.set_time(received_ns);
        let plans = plan_without_effect(&ranges, &header);
        let (accepted, duplicate) =
            dedup::count(&header, &plans, |chunk, stored| count_trim(&header, &body, chunk, stored));
        let has_new_gap = header.gaps.iter().any(|gap| dedup::is_new_gap(&ranges, &header, gap));
        // A chunk of which the agent left out every line: its range has to be remembered, or it stays a hole for ever.
        let left_out = |(chunk, plan): (&ChunkInfo, &ChunkPlan)| {
            chunk.records == 0 && chunk.start < chunk.end && *plan != ChunkPlan::Skip
        };
        let has_new_range = header.chunks.iter().zip(&plans).any(left_out);
        if accepted == 0 && !has_new_gap && !has_new_range {
            let offsets = offsets(&ranges, &header);
            return Ok((None, BatchAnswer { accepted, duplicate, offsets, ..BatchAnswer::default() }));
        }
        let record = self.wal.append(&[&record::prefix(&tenant, received_ns), &bytes])?;
        let plans = dedup::apply(&mut ranges, &mut header, received_ns);
        let offsets = offsets(&ranges, &header);
        let durable = Durable { record, received_ns, tenant, header, body, spans, plans, ticket: Some(ticket) };
        Ok((Some(durable), BatchAnswer { accepted, duplicate, offsets, ..BatchAnswer::default() }))
    }

    fn finish(&mut self, pending: Vec<Pending>, synced: Result<(), WalError>) -> bool {
        if let Err(error) = synced {
            let error = self.note(&error);
            for waiting in pending {
                let _ = waiting.reply.send(Err(error.clone()));
            }
            return true;
        }
        if !pending.is_empty() {
            self.state.lock().unwrap_or_else(PoisonError::into_inner).failed = None;
        }
        for waiting in pending {
            let _ = waiting.reply.send(Ok(waiting.answer));
            if let Some(durable) = waiting.durable
                && self.next.send(durable).is_err()
            {
                return false;
            }
        }
        true
    }

    fn note(&self, error: &WalError) -> WriteError {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let text = error.to_string();
        tracing::error!(error = %text, "the log refused a batch");
        match error {
            WalError::Poisoned(_) => {
                state.poisoned = Some(text.clone());
                WriteError::Poisoned(text)
            }
            _ => {
                state.failed = Some(text.clone());
                WriteError::Failed(text)
            }
        }
    }
}

/// The decision without remembering it: the append may still fail.
fn plan_without_effect(ranges: &SourceRanges, header: &Header) -> Vec<ChunkPlan> {
    let mut touched = SourceRanges::default();
    for source in &header.sources {
        let key = SourceKey::new(&header.agent.id, &source.id);
        for (start, end) in ranges.get(&key).into_iter().flat_map(RangeSet::iter) {
            touched.insert(&key, start, end);
        }
    }
    dedup::decide(&mut touched, header)
}

fn count_trim(header: &Header, body: &Body, chunk: usize, stored: &RangeSet) -> (u64, u64) {
    let mut taken = 0;
    let mut skipped = 0;
    // The body was checked at the door, so walking it cannot fail here.
    let _ = body.for_each(header, |i, record| {
        if i == chunk {
            match dedup::trim(stored, &record) {
                RecordPlan::Skip => skipped += 1,
                RecordPlan::Take | RecordPlan::TakeFrom(_) => taken += 1,
            }
        }
    });
    (taken, skipped)
}

fn offsets(ranges: &SourceRanges, header: &Header) -> BTreeMap<String, u64> {
    let mut offsets = BTreeMap::new();
    for chunk in &header.chunks {
        let Some(source) = header.sources.get(chunk.source as usize) else { continue };
        let key = SourceKey::new(&header.agent.id, &source.id);
        let end = ranges.get(&key).map_or(chunk.end, |set| set.end_of(chunk.end));
        offsets.insert(source.id.clone(), end);
    }
    offsets
}

#[cfg(test)]
mod tests;

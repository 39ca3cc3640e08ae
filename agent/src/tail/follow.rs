//! The sources of one agent together: what the next batch takes from each, what an answer moves, what is remembered.
//!
//! Three offsets of a source, in order: `acked` (stored by the server, in the checkpoint), `pos` (cut into batches that
//! are built or under way), `size` (in the file). A batch is planned in the checkpoint before it is sent, so that after
//! a crash exactly its ranges are cut and sent again; the server knows a range that it has.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};

use logweir_proto::batch::{AgentInfo, ChunkBuilder, Gap, Header, Heartbeat, SourceInfo, Watermark};
use logweir_proto::record::EVENTS_PER_BATCH_MAX;
use logweir_runtime::durable::DirLock;
use tokio::time::Instant;

use super::Now;
use super::checkpoint::{CHECKPOINT_VERSION, Checkpoint, GAPS_MAX, PlannedRange, Stage};
use super::discover::Candidate;
use super::identity::FileId;
use super::info::Info;
use super::journal::Journal;
use super::names::Names;
use super::reader::{Holds, RECORDS_PER_CHUNK_MAX, Source, Step, Tools, WINDOW_BYTES};
use crate::batch::{Built, Draft, cut, json_bytes};
use crate::config::Limits;
use crate::decode::Scratch;
use crate::error::Result;
use crate::filter::Filter;
use crate::metrics;

/// Records without a file that wait for a batch.
pub const MADE_MAX: usize = 4;
/// Gaps in one header; the others follow with the next.
pub const GAPS_PER_BATCH_MAX: usize = 100;
pub const GAPS_BYTES_MAX: usize = 256 << 10;
/// A reason can quote the answer of a server.
pub const REASON_BYTES_MAX: usize = 512;
/// Watermarks in one header; the sources that changed go first.
pub const WATERMARKS_PER_BATCH_MAX: usize = 10_000;
/// New sources that one header names without bytes of them.
pub const ANNOUNCED_PER_BATCH_MAX: usize = 1_000;

const _: () = assert!(
    (2 * RECORDS_PER_CHUNK_MAX as u64 + 2 * WINDOW_BYTES as u64) < EVENTS_PER_BATCH_MAX,
    "a batch closes before it can hold more records than its number has room for"
);

/// Who ships, and within which limits.
#[derive(Debug, Clone)]
pub struct Settings {
    pub state_dir: PathBuf,
    pub host: String,
    /// What tells this machine from a clone of it; empty when nothing does.
    pub machine: String,
    pub labels: BTreeMap<String, String>,
    pub limits: Limits,
    pub once: bool,
}

/// Every source that this agent follows or remembers.
#[derive(Debug)]
pub struct Tail {
    pub(super) settings: Settings,
    pub(super) agent: AgentInfo,
    pub(super) holds: Holds,
    pub(super) sources: BTreeMap<u64, Box<Source>>,
    pub(super) by_file: BTreeMap<FileId, u64>,
    pub(super) names: Names,
    pub(super) next_source: u64,
    /// Files that are open, and where the search for one to park goes on.
    pub(super) open: usize,
    pub(super) hand: u64,
    /// When the last completed rescan began, this run's or the one's before.
    pub(super) scanned_ns: i64,
    /// There was no checkpoint: nothing was ever seen.
    pub(super) fresh: bool,
    pub(super) scanned: bool,
    /// Sources whose path was taken over by another file since the last scan.
    pub(super) replaced: Vec<u64>,
    /// Gaps of logs in which nothing was ever seen: none, if what stood there is found beside them.
    pub(super) doubtful: Vec<Gap>,
    /// Paths of which a missed file was found in this look.
    pub(super) missed: HashSet<String>,
    /// Files that were followed when the agent ended and hold something else now: truncated, perhaps renamed since.
    pub(super) reused: HashSet<FileId>,
    /// Directories as they were when they were last looked through for missed files.
    pub(super) dir_mtimes: HashMap<PathBuf, i64>,
    pub(super) warned: HashSet<PathBuf>,
    pub(super) gaps: Vec<Gap>,
    /// Those of `gaps` that a built batch carries already.
    carried: Vec<Gap>,
    pub(super) unsaved: bool,
    pub(super) journal: Journal,
    pub(super) in_flight: Vec<PlannedRange>,
    pub(super) replays: Vec<PlannedRange>,
    /// Plans of sources whose file could not be looked at, until they are stored after all.
    pub(super) held: Vec<PlannedRange>,
    pub(super) truncated_lines: u64,
    pub(super) dropped_lines: u64,
    seq: u64,
    cursor: u64,
    window: Vec<u8>,
    scratch: Scratch,
    filter: Filter,
    /// Records that come from no file, for the next batch.
    made: VecDeque<(SourceInfo, ChunkBuilder)>,
    /// Sources are to be named anew by what is found of them.
    refresh: bool,
    /// Held as long as anything can be written to the state directory.
    _lock: DirLock,
}

impl Tail {
    pub(super) fn empty(settings: Settings, agent_id: String, lock: DirLock, now: Now) -> Tail {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let agent = AgentInfo { id: agent_id, host: settings.host.clone(), version, utc_offset_minutes: 0 };
        let holds = if settings.once { Holds::NONE } else { Holds::new(settings.limits.batch_age) };
        Tail {
            settings,
            agent,
            holds,
            sources: BTreeMap::new(),
            by_file: BTreeMap::new(),
            names: Names::default(),
            next_source: 1,
            open: 0,
            hand: 0,
            scanned_ns: now.wall_ns,
            fresh: true,
            scanned: false,
            replaced: Vec::new(),
            doubtful: Vec::new(),
            missed: HashSet::new(),
            reused: HashSet::new(),
            dir_mtimes: HashMap::new(),
            warned: HashSet::new(),
            gaps: Vec::new(),
            carried: Vec::new(),
            unsaved: true,
            journal: Journal::new(),
            in_flight: Vec::new(),
            replays: Vec::new(),
            held: Vec::new(),
            truncated_lines: 0,
            dropped_lines: 0,
            seq: 0,
            cursor: 0,
            window: Vec::new(),
            scratch: Scratch::default(),
            filter: Filter::default(),
            made: VecDeque::new(),
            refresh: false,
            _lock: lock,
        }
    }

    pub fn agent(&self) -> &AgentInfo {
        &self.agent
    }

    /// What is cut from now on goes through this filter.
    pub fn set_filter(&mut self, filter: Filter) {
        self.filter.report();
        self.filter = filter.with_counts(self.filter.counts());
    }

    /// Other labels, limits and host name hold from now on.
    pub fn set_settings(&mut self, settings: Settings) {
        self.agent.host.clone_from(&settings.host);
        self.holds = if settings.once { Holds::NONE } else { Holds::new(settings.limits.batch_age) };
        self.settings = settings;
        self.refresh = true;
        self.unsaved = true;
    }

    /// After a change of the settings the live sources take over what they are now found as. Offsets stay.
    pub fn refresh(&mut self, found: &[Candidate]) {
        if !std::mem::take(&mut self.refresh) {
            return;
        }
        let found: HashMap<&Path, &Candidate> = found.iter().map(|found| (found.path.as_path(), found)).collect();
        for (key, source) in self.sources.iter_mut().filter(|(_, source)| source.stage == Stage::Live) {
            let Some(candidate) = found.get(Path::new(&*source.info.path)) else { continue };
            let mut labels = candidate.labels.clone();
            labels.add_missing(&self.settings.labels);
            let mut info =
                Info { kind: candidate.kind, format: candidate.format.clone(), labels, ..source.info.clone() };
            info.fit();
            if info != source.info {
                source.info = info;
                source.announced = false;
            }
            source.multiline.clone_from(&candidate.multiline);
            self.journal.renamed(*key);
        }
    }

    /// Adds records of a source that has no file and is not remembered. When nothing can be sent the oldest go.
    pub fn add(&mut self, info: SourceInfo, chunk: ChunkBuilder) {
        if self.made.len() >= MADE_MAX {
            self.made.pop_front();
        }
        self.made.push_back((info, chunk));
    }

    /// Cuts the next batch; `None` when there is nothing to send. First of all, what was planned before a crash.
    ///
    /// With `all` it carries the watermarks of every source, else of those whose bytes it holds.
    pub fn build(&mut self, all: bool, now: Now) -> Result<Option<Built>> {
        let mut draft = Draft::default();
        if self.replays.is_empty() {
            for (info, chunk) in self.made.drain(..) {
                draft.push(&info, &chunk, false);
            }
            self.collect(&mut draft, now);
        } else {
            self.replay(&mut draft, now);
        }
        if draft.is_empty() && self.gaps.iter().all(|gap| self.carried.contains(gap)) {
            return Ok(None);
        }
        self.finish(draft, all, now).map(Some)
    }

    /// A batch without lines: "I am here, and this is how far each source is".
    pub fn heartbeat(&mut self, now: Now) -> Result<Built> {
        // Nothing was read for a while: an idle agent needs no buffers.
        (self.window, self.scratch) = (Vec::new(), Scratch::default());
        self.finish(Draft::default(), true, now)
    }

    fn collect(&mut self, draft: &mut Draft, now: Now) {
        let budget = self.settings.limits.batch_bytes;
        let after: Vec<u64> = self.sources.range(self.cursor..).map(|(key, _)| *key).collect();
        let before: Vec<u64> = self.sources.range(..self.cursor).map(|(key, _)| *key).collect();
        for key in after.into_iter().chain(before) {
            if draft.is_full() || draft.raw_bytes() >= budget || draft.records() >= u64::from(RECORDS_PER_CHUNK_MAX) {
                // The next batch begins where this one stopped: a busy source does not starve the others.
                self.cursor = key;
                return;
            }
            let Some(source) = self.sources.get(&key) else { continue };
            let due = source.dirty || source.deadline(self.holds).is_some_and(|at| at <= now.mono);
            let end = source.end;
            if due && (source.file.is_some() || (source.parked && self.open_parked(key, now))) {
                self.step(key, draft, end, now);
            }
        }
    }

    fn replay(&mut self, draft: &mut Draft, now: Now) {
        for planned in std::mem::take(&mut self.replays) {
            let Some(key) = self.key_of(&planned.source) else { continue };
            let Some(source) = self.sources.get(&key) else { continue };
            let to = source.end.map_or(planned.to, |end| planned.to.min(end));
            if source.pos == planned.from && (source.file.is_some() || (source.parked && self.open_parked(key, now))) {
                self.step(key, draft, Some(to), now);
            }
        }
    }

    fn step(&mut self, key: u64, draft: &mut Draft, to: Option<u64>, now: Now) {
        let limits = self.settings.limits;
        let Some(source) = self.sources.get_mut(&key) else { return };
        let mut chunk = ChunkBuilder::new(source.pos);
        let mut tools = Tools {
            window: &mut self.window,
            scratch: &mut self.scratch,
            line_bytes: limits.line_bytes,
            holds: self.holds,
        };
        let budget = limits.batch_bytes.saturating_sub(draft.raw_bytes());
        let step = match to {
            Some(to) => source.replay(&mut tools, &mut chunk, to, now),
            None => source.step(&mut tools, &mut chunk, budget, now),
        };
        let whole = match &step {
            Step::Took { truncated, interleaved } => {
                self.truncated_lines += truncated;
                metrics::truncated(*truncated);
                *interleaved
            }
            // What was cut before the end of the step stands; whether it was interleaved is not known.
            Step::Rewritten | Step::Shortened(_) | Step::Failed(_) => true,
        };
        if chunk.end() > chunk.start() {
            let chunk = self.filter.apply(&source.info, chunk);
            draft.push(&source.info.to_source(), &chunk, whole);
            source.announced = true;
        }
        match step {
            Step::Took { .. } => {
                if source.end.is_some_and(|end| source.pos >= end) {
                    source.let_go();
                }
                self.unpacked(key, false);
            }
            Step::Rewritten => self.rewritten(key, now),
            Step::Shortened(len) => {
                self.shortened(key, len, now);
                if self.sources.get(&key).is_some_and(|source| source.is_followed()) {
                    // What is left of the plan goes first: each turn ends before the one before it.
                    self.step(key, draft, Some(len), now);
                }
            }
            Step::Failed(error) => {
                source.dirty = false;
                source.pending = None;
                tracing::warn!(path = %source.path_now.display(), error = %error, "cannot read");
                metrics::read_failed();
            }
        }
    }

    fn finish(&mut self, mut draft: Draft, all: bool, now: Now) -> Result<Built> {
        let mut watermarks = Vec::new();
        let mut announced = 0;
        for source in self.sources.values_mut() {
            let wanted = all || source.pos > source.acked;
            if source.stage == Stage::Finished || !wanted || watermarks.len() >= WATERMARKS_PER_BATCH_MAX {
                continue;
            }
            if all {
                source.look_if_caught_up(now);
            }
            if !source.announced && announced < ANNOUNCED_PER_BATCH_MAX && !draft.is_full() {
                draft.announce(&source.info.to_source());
                source.announced = true;
                announced += 1;
            }
            if source.caught_up_ns > 0 {
                let (id, time_ns) = (source.info.id.to_string(), source.caught_up_ns);
                watermarks.push(Watermark { source: id, offset: source.pos, time_ns });
            }
        }
        let gaps = self.take_gaps();
        self.filter.report();
        self.seq += 1;
        let header = Header {
            agent: AgentInfo { utc_offset_minutes: utc_offset_minutes(now.wall_ns), ..self.agent.clone() },
            seq: self.seq,
            sources: Vec::new(),
            chunks: Vec::new(),
            watermarks,
            gaps,
            heartbeat: self.state(now),
        };
        Ok(draft.finish(header)?)
    }

    /// Gaps for one header, none of which another batch carries.
    fn take_gaps(&mut self) -> Vec<Gap> {
        let free = self.gaps.iter().filter(|gap| !self.carried.contains(gap));
        let mut bytes = 0;
        let fits = |gap: &&Gap| {
            bytes += json_bytes(gap);
            bytes <= GAPS_BYTES_MAX
        };
        let gaps: Vec<Gap> = free.take(GAPS_PER_BATCH_MAX).take_while(fits).cloned().collect();
        self.carried.extend_from_slice(&gaps);
        gaps
    }

    /// What the agent says of itself.
    pub fn state(&self, now: Now) -> Heartbeat {
        Heartbeat {
            sent_ns: now.wall_ns,
            files: self.sources.values().filter(|source| source.is_followed()).count() as u32,
            lag_bytes: self.lag_bytes(),
            dropped_lines: self.dropped_lines,
            truncated_lines: self.truncated_lines,
            filtered_lines: self.filter.counts().filtered_lines,
            redacted_values: self.filter.counts().redacted_values,
            passing: self.settings.once,
        }
    }

    /// Bytes that stand in the files and are not acknowledged.
    pub fn lag_bytes(&self) -> u64 {
        self.sources.values().map(|source| source.size.saturating_sub(source.acked)).sum()
    }

    /// Writes down that `built` is about to be sent: only afterwards may it leave.
    pub fn commit(&mut self, built: &Built) -> Result<()> {
        self.in_flight.clone_from(&built.plan);
        self.save()
    }

    /// The server has stored `built`; `offsets` say how much it has of each source. Of the batches that wait behind it,
    /// those are taken back that were built on less.
    pub fn acked(&mut self, built: &Built, offsets: &BTreeMap<String, u64>, waiting: &mut VecDeque<Built>) {
        for planned in &built.plan {
            let Some(source) = self.by_id(&planned.source) else { continue };
            source.stored(planned.to);
            let stored = offsets.get(&planned.source).copied().unwrap_or(0);
            if stored > source.acked && stored <= source.size {
                tracing::info!(path = %source.info.path, planned = planned.to, stored, "the server is ahead");
                if source.pos < stored {
                    source.pos = stored;
                    source.pending = None;
                }
                source.stored(stored);
            }
        }
        self.gaps.retain(|gap| !built.gaps.contains(gap));
        self.release(built);
        self.in_flight.clear();
        let sources = &self.sources;
        self.held.retain(|planned| {
            sources.values().any(|source| {
                *source.info.id == *planned.source && source.acked < planned.to && source.stage != Stage::Finished
            })
        });
        // A heartbeat changes nothing that would have to be remembered.
        self.unsaved |= !built.plan.is_empty() || !built.gaps.is_empty();
        // What the server has whole it skips; it cannot cut every record in the middle.
        let stale =
            waiting.iter().position(|waiting| waiting.plan.iter().any(|planned| self.is_partly_stored(planned)));
        for stale in stale.map(|from| waiting.split_off(from)).unwrap_or_default() {
            self.discard(&stale);
        }
    }

    fn is_partly_stored(&self, planned: &PlannedRange) -> bool {
        let source = self.key_of(&planned.source).and_then(|key| self.sources.get(&key));
        source.is_some_and(|source| planned.from < source.acked && source.acked < planned.to)
    }

    /// The server does not know these sources any more: the next batches name them again.
    pub fn announce_again(&mut self, sources: &[String]) {
        for id in sources {
            if let Some(source) = self.by_id(id) {
                source.announced = false;
            }
        }
    }

    /// `built` is not to be sent any more: another batch may carry its gaps.
    pub fn release(&mut self, built: &Built) {
        self.carried.retain(|gap| !built.gaps.contains(gap));
    }

    /// `built` was never sent and shall not be: its bytes are read again.
    pub fn discard(&mut self, built: &Built) {
        self.release(built);
        for planned in &built.plan {
            let Some(source) = self.by_id(&planned.source) else { continue };
            if source.acked < planned.to && !source.read_again() {
                let (path, start) = (source.info.path.to_string(), source.acked.max(planned.from));
                source.stored(planned.to);
                let (source, end) = (planned.source.clone(), Some(planned.to));
                self.report(Gap { source, path, start, end, reason: "gone before it was sent".to_owned() });
            }
        }
    }

    /// The server will never take the records of `built`: they are counted and reported.
    pub fn dropped(&mut self, built: &Built, reason: &str) {
        self.release(built);
        self.dropped_lines += built.records;
        metrics::dropped(built.records);
        for planned in &built.plan {
            let Some(source) = self.by_id(&planned.source) else { continue };
            source.stored(planned.to);
            let path = source.info.path.to_string();
            let (source, end) = (planned.source.clone(), Some(planned.to));
            self.report(Gap {
                source,
                path,
                start: planned.from,
                end,
                reason: format!("refused by the server: {reason}"),
            });
        }
        self.in_flight.clear();
        self.unsaved = true;
    }

    /// Ids begin with the key, so that none has to be searched for.
    fn key_of(&self, id: &str) -> Option<u64> {
        let key = id.split('-').next()?.parse().ok()?;
        self.sources.get(&key).filter(|source| *source.info.id == *id).map(|_| key)
    }

    fn by_id(&mut self, id: &str) -> Option<&mut Source> {
        let key = self.key_of(id)?;
        self.sources.get_mut(&key).map(|source| &mut **source)
    }

    /// Adds a gap to those that the next batch reports.
    pub(super) fn report(&mut self, mut gap: Gap) {
        cut(&mut gap.reason, REASON_BYTES_MAX);
        tracing::warn!(path = %gap.path, start = gap.start, end = ?gap.end, reason = %gap.reason, "bytes are lost");
        metrics::gap(gap.end.map_or(0, |end| end - gap.start));
        self.unsaved = true;
        if self.gaps.len() < GAPS_MAX {
            self.gaps.push(gap);
        } else if let Some(last) = self.gaps.iter_mut().rev().find(|last| last.source == gap.source) {
            last.end = gap.end;
        }
    }

    /// Whether a build would find something now.
    pub fn has_work(&self) -> bool {
        !self.replays.is_empty()
            || !self.made.is_empty()
            || self.sources.values().any(|source| source.dirty && source.is_followed())
    }

    /// When time alone makes a build worth its while.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.sources
            .values()
            .filter(|source| source.is_followed())
            .filter_map(|source| source.deadline(self.holds))
            .min()
    }

    /// Whether everything that stands in the files is stored.
    pub fn is_drained(&self) -> bool {
        let open = |source: &Source| source.is_followed() && (source.dirty || source.pending.is_some());
        self.gaps.is_empty()
            && self.replays.is_empty()
            && self.sources.values().all(|source| source.acked == source.pos && !open(source))
    }

    /// Whether [`Tail::save`] has something to write.
    pub fn is_unsaved(&self) -> bool {
        self.unsaved
    }

    pub fn save(&mut self) -> Result<()> {
        let state = Checkpoint {
            version: CHECKPOINT_VERSION,
            generation: String::new(),
            agent_id: self.agent.id.clone(),
            machine: self.settings.machine.clone(),
            next_source: self.next_source,
            saved_ns: self.scanned_ns,
            sources: Vec::new(),
            forgotten: Vec::new(),
            in_flight: self.in_flight.iter().chain(&self.held).cloned().collect(),
            gaps: self.gaps.clone(),
            dropped_lines: self.dropped_lines,
            truncated_lines: self.truncated_lines,
        };
        self.journal.save(&self.settings.state_dir, state, &self.sources)?;
        self.unsaved = false;
        Ok(())
    }
}

/// What the clocks on the walls here show against UTC: for lines whose times have no zone.
fn utc_offset_minutes(now_ns: i64) -> i16 {
    let now = jiff::Timestamp::from_nanosecond(i128::from(now_ns)).unwrap_or_default();
    let seconds = jiff::tz::TimeZone::system().to_offset(now).seconds();
    i16::try_from(seconds / 60).unwrap_or(0)
}

#[cfg(test)]
mod tests;

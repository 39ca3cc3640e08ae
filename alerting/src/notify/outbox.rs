//! The outbox: every intended message is a durable row until it arrived or was given up, and then a readable record.
//!
//! A row is marked as under way, durably, before it is sent. After a crash it is sent again under the same id, so a
//! receiver that looks at ids gets it once, and every other receiver at least once. What is sent is made at the moment
//! of sending from the episodes as they are then; a row only says who hears of which episodes.

pub mod failing;
pub mod fallback;
pub mod gate;
pub mod operate;
pub mod quiet;

use std::collections::{BTreeMap, BTreeSet};

use logweir_rules::model::{Labels, Severity};

pub use gate::Gate;

use super::policy::{self, Outcome, Verdict};
use crate::hygiene;
use crate::route::{Channel, Routing, silence};
use crate::state::records::{ATTEMPTS_KEPT, ThreadRef, Told};
use crate::state::store::{EPISODES, FINISHED, FLAPS, OUTBOX, OUTBOX_OF, StoreError, THREADS, TOLD, Tx, USED, WHY_NOT};
use crate::state::{Attempt, Episode, NotifyGroup, OutboxRow, RowKind, RowState};

/// Messages that are done and stay readable.
pub const FINISHED_MAX: usize = 1_000;
/// Closed episodes stay readable this long.
pub const EPISODE_KEEP_NS: i64 = 7 * 86_400 * 1_000_000_000;
/// Messages taken from the outbox at once.
const CLAIM_MAX: usize = 16;
/// This many messages that wait for one slow channel become one.
pub const COALESCE_MIN: usize = 5;
/// Where messages went is known this long, to edit them.
const THREADS_KEEP_NS: i64 = 30 * 86_400 * 1_000_000_000;

/// The name of a channel over all receivers.
pub fn channel_key(receiver: &str, integration: &str) -> String {
    format!("{receiver}/{integration}")
}

fn thread_key(channel: &str, thread: &str) -> String {
    format!("{channel}\0{thread}")
}

/// How an attempt ended, and where the message is if it can be edited there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub outcome: Outcome,
    pub place: Option<ThreadRef>,
}

impl From<Outcome> for Sent {
    fn from(outcome: Outcome) -> Sent {
        Sent { outcome, place: None }
    }
}

fn told_key(episode: &str, channel: &str) -> String {
    format!("{episode}\0{channel}")
}

/// The id of a message: whoever computes it gets the same.
pub fn message_id(receiver: &str, integration: &str, group: &NotifyGroup) -> String {
    let mut hash = blake3::Hasher::new();
    for part in [receiver, integration, &group.key] {
        hash.update(part.as_bytes());
        hash.update(&[0]);
    }
    hash.update(&group.born_wall.to_le_bytes());
    hash.update(&group.seq.to_le_bytes());
    format!("msg_{}", &hash.finalize().to_hex()[..32])
}

/// Makes one row per channel of the group's receiver for the chosen episodes. Rows of the same group that still wait are
/// replaced: a receiver that was away for an hour gets what is true now, not forty stale messages.
pub fn enqueue(
    tx: &Tx,
    routing: &Routing,
    group: &NotifyGroup,
    chosen: &BTreeSet<String>,
    now_wall: i64,
) -> Result<(), StoreError> {
    let Some(receiver) = routing.receiver(&group.receiver) else { return Ok(()) };
    let mut severity = Severity::Info;
    let mut over = BTreeSet::new();
    for id in chosen {
        let Some(episode) = tx.get(EPISODES, id)? else { continue };
        severity = severity.max(if episode.is_firing() { episode.severity } else { episode.peak });
        if !episode.is_firing() {
            over.insert(id.clone());
        }
    }
    let draft = RowDraft { group, kind: group.kind, severity, now_wall };
    for (integration, channel) in &receiver.channels {
        if severity < channel.min_severity {
            continue;
        }
        let id = message_id(&receiver.name, integration, group);
        put_row(tx, channel, draft.row(id, &receiver.name, integration, chosen.clone()))?;
    }
    // Whoever was told in place of the receiver is told of the end as well.
    fallback::tell_end(tx, routing, receiver, draft, &over)
}

/// What the rows of one message share.
#[derive(Debug, Clone, Copy)]
struct RowDraft<'a> {
    group: &'a NotifyGroup,
    kind: RowKind,
    severity: Severity,
    now_wall: i64,
}

impl RowDraft<'_> {
    fn row(&self, id: String, receiver: &str, integration: &str, episodes: BTreeSet<String>) -> OutboxRow {
        OutboxRow {
            id,
            receiver: receiver.to_owned(),
            integration: integration.to_owned(),
            group_key: self.group.key.clone(),
            group_labels: self.group.labels.clone(),
            episodes: episodes.into_iter().collect(),
            severity: self.severity,
            state: RowState::Queued,
            created_wall: self.now_wall,
            next_try_wall: self.now_wall,
            finished_wall: None,
            attempts: 0,
            recent: Vec::new(),
            note: None,
            kind: self.kind,
            thread: self.group.thread(),
            owed_since_wall: self.now_wall,
            fell_back: false,
            firing: Vec::new(),
            repeat_ns: self.group.repeat_ns,
        }
    }
}

/// Writes a row, in place of the rows that say less.
fn put_row(tx: &Tx, channel: &Channel, mut row: OutboxRow) -> Result<(), StoreError> {
    let now_wall = row.created_wall;
    let collected = channel.digest.as_ref().filter(|_| row.kind != RowKind::Test);
    if let Some(at) = collected.and_then(|digest| digest.next_after(now_wall)) {
        let name = channel_key(&row.receiver, &row.integration);
        row.id = hash_id(&["digest", &name, &at.to_string()]);
        row.kind = RowKind::Digest;
        row.next_try_wall = at;
        row.created_wall = at;
        row.thread = row.id.clone();
        row.group_key = "digest".to_owned();
        row.group_labels = Labels::new();
    }
    let mut episodes: BTreeSet<String> = row.episodes.drain(..).collect();
    for (key, _) in tx.scan(OUTBOX_OF, &place_of(&row))? {
        let id = key.rsplit('\0').next().unwrap_or_default();
        let Some(old) = tx.get(OUTBOX, id)? else { continue };
        if old.state != RowState::Queued || row.kind == RowKind::Test {
            continue;
        }
        if told_the_end(tx, &old, &episodes)? {
            return Ok(());
        }
        episodes.extend(old.episodes.iter().cloned());
        row.owed_since_wall = row.owed_since_wall.min(old.owed_since_wall);
        row.severity = row.severity.max(old.severity);
        if old.id != row.id {
            finish(tx, old, RowState::Superseded, Some(format!("replaced by {}", row.id)), now_wall)?;
        }
    }
    row.episodes = episodes.into_iter().collect();
    insert(tx, &row)
}

/// Whether a message that may have arrived says of these episodes that they are over: the same under another id would be
/// a repetition.
fn told_the_end(tx: &Tx, old: &OutboxRow, episodes: &BTreeSet<String>) -> Result<bool, StoreError> {
    let told = old.recent.iter().any(|attempt| attempt.in_doubt) && old.firing.is_empty();
    if !told || !episodes.iter().all(|id| old.episodes.contains(id)) {
        return Ok(false);
    }
    for id in &old.episodes {
        if tx.get(EPISODES, id)?.is_some_and(|episode| episode.is_firing()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Puts a row into the outbox, to be found by what it is about.
fn insert(tx: &Tx, row: &OutboxRow) -> Result<(), StoreError> {
    tx.put(OUTBOX_OF, &format!("{}{}", place_of(row), row.id), &true)?;
    tx.put(OUTBOX, &row.id, row)
}

/// The messages of one group to one channel.
fn place_of(row: &OutboxRow) -> String {
    format!("{}\0{}\0{}\0", row.receiver, row.integration, row.group_key)
}

/// A store of an older version does not say which messages wait for what.
fn index(tx: &Tx) -> Result<(), StoreError> {
    if !tx.scan(OUTBOX_OF, "")?.is_empty() {
        return Ok(());
    }
    tx.scan(OUTBOX, "")?.iter().try_for_each(|(_, row)| insert(tx, row))
}

fn hash_id(parts: &[&str]) -> String {
    let mut hash = blake3::Hasher::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update(&[0]);
    }
    format!("msg_{}", &hash.finalize().to_hex()[..32])
}

/// After a start: what was under way is queued again, under its id.
pub fn recover(tx: &Tx, now_wall: i64) -> Result<usize, StoreError> {
    index(tx)?;
    let mut recovered = 0;
    for (key, mut row) in tx.scan(OUTBOX, "")? {
        if row.state == RowState::Sending {
            row.state = RowState::Queued;
            row.next_try_wall = now_wall;
            let outcome = "the process ended while it was under way".to_owned();
            note(&mut row, Attempt { wall: now_wall, outcome, in_doubt: true });
            tx.put(OUTBOX, &key, &row)?;
            recovered += 1;
        }
    }
    Ok(recovered)
}

/// A message that is to be sent now.
#[derive(Debug, Clone)]
pub struct Job {
    pub row: OutboxRow,
    /// What it tells of, as it is now.
    pub episodes: Vec<Episode>,
    pub channel: Channel,
    /// Where the first message of the thread went.
    pub place: Option<ThreadRef>,
    /// An earlier attempt may have arrived.
    pub doubtful: bool,
    /// Episodes of which the channel never heard before this attempt.
    fresh: Vec<String>,
}

impl Job {
    pub fn channel_key(&self) -> String {
        channel_key(&self.row.receiver, &self.row.integration)
    }
}

#[derive(Debug, Default)]
pub struct Claimed {
    pub jobs: Vec<Job>,
    /// When the next waiting row is due.
    pub next_wall: Option<i64>,
}

/// Takes the rows that are due, at most one per channel, and marks them as under way.
pub fn claim(tx: &Tx, routing: &Routing, gate: &mut Gate, now_wall: i64) -> Result<Claimed, StoreError> {
    let mut rows: Vec<OutboxRow> = tx.scan(OUTBOX, "")?.into_iter().map(|(_, row)| row).collect();
    rows.retain(|row| row.state == RowState::Queued);
    rows.sort_by_key(|row| (std::cmp::Reverse(row.severity), row.created_wall));
    let mut claimed = Claimed::default();
    let mut waiting: BTreeMap<String, Vec<OutboxRow>> = BTreeMap::new();
    for row in rows {
        let channel_key = channel_key(&row.receiver, &row.integration);
        let mut later = |at: i64| claimed.next_wall = Some(claimed.next_wall.map_or(at, |next: i64| next.min(at)));
        if gate.is_busy(&channel_key) {
            continue;
        }
        if row.next_try_wall > now_wall || claimed.jobs.len() >= CLAIM_MAX {
            later(row.next_try_wall.max(now_wall));
            continue;
        }
        let Some(channel) = routing.channel(&row.receiver, &row.integration) else {
            finish(tx, row, RowState::Dead, Some("the receiver is not configured any more".to_owned()), now_wall)?;
            continue;
        };
        if let Some(at) = gate.wait_until(&channel_key, channel, now_wall) {
            later(at);
            waiting.entry(channel_key).or_default().push(row);
            continue;
        }
        if let Some(job) = take(tx, row, channel, &channel_key, now_wall)? {
            gate.take(&channel_key, channel, now_wall);
            claimed.jobs.push(job);
        }
    }
    for rows in waiting.into_values() {
        coalesce(tx, rows, now_wall)?;
    }
    Ok(claimed)
}

/// More messages wait for a slow channel than it can be given soon: one takes the place of all that are not critical.
fn coalesce(tx: &Tx, rows: Vec<OutboxRow>, now_wall: i64) -> Result<(), StoreError> {
    let mergeable = |row: &OutboxRow| row.severity != Severity::Critical && row.kind != RowKind::Test;
    let rows: Vec<OutboxRow> = rows.into_iter().filter(mergeable).collect();
    let (Some(first), true) = (rows.first(), rows.len() >= COALESCE_MIN) else { return Ok(()) };
    let mut ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    ids.sort_unstable();
    let id = hash_id(&ids);
    let mut merged = OutboxRow {
        id: id.clone(),
        kind: RowKind::Digest,
        thread: id.clone(),
        group_key: id.clone(),
        group_labels: Labels::new(),
        attempts: 0,
        recent: Vec::new(),
        ..first.clone()
    };
    let mut episodes = BTreeSet::new();
    for row in &rows {
        episodes.extend(row.episodes.iter().cloned());
        merged.created_wall = merged.created_wall.min(row.created_wall);
        merged.owed_since_wall = merged.owed_since_wall.min(row.owed_since_wall);
        finish(tx, row.clone(), RowState::Superseded, Some(format!("one digest for many: {id}")), now_wall)?;
    }
    merged.episodes = episodes.into_iter().collect();
    insert(tx, &merged)
}

fn take(
    tx: &Tx,
    mut row: OutboxRow,
    channel: &Channel,
    channel_key: &str,
    now_wall: i64,
) -> Result<Option<Job>, StoreError> {
    let everything = row.kind == RowKind::Digest || row.kind == RowKind::Test;
    let (mut episodes, mut fresh) = (Vec::new(), Vec::new());
    for id in &row.episodes {
        let Some(episode) = tx.get(EPISODES, id)? else { continue };
        let key = told_key(id, channel_key);
        let told = tx.get(TOLD, &key)?;
        if episode.is_firing() {
            if told.is_none() {
                tx.put(TOLD, &key, &Told::InDoubt)?;
                fresh.push(id.clone());
            }
        } else if !everything && (told.is_none() || !channel.send_resolved) {
            continue;
        }
        episodes.push(episode);
    }
    if episodes.is_empty() {
        let note = "it was over before this channel could be told of it".to_owned();
        finish(tx, row, RowState::Dropped, Some(note), now_wall)?;
        return Ok(None);
    }
    let doubtful = row.recent.iter().any(|attempt| attempt.in_doubt);
    let firing: Vec<String> = episodes.iter().filter(|e| e.is_firing()).map(|e| e.id.clone()).collect();
    if doubtful && row.firing != firing {
        row = renamed(tx, row, &firing, now_wall)?;
    }
    row.firing = firing;
    row.state = RowState::Sending;
    row.attempts += 1;
    tx.put(OUTBOX, &row.id, &row)?;
    let place = tx.get(THREADS, &thread_key(channel_key, &row.thread))?;
    Ok(Some(Job { row, episodes, channel: channel.clone(), place, doubtful, fresh }))
}

/// A message that may have arrived says something else by now: who has it would take the news for a repetition, so it
/// gets another id.
fn renamed(tx: &Tx, row: OutboxRow, firing: &[String], now_wall: i64) -> Result<OutboxRow, StoreError> {
    let parts: Vec<&str> = std::iter::once(&row.id).chain(firing).map(String::as_str).collect();
    let id = hash_id(&parts);
    let new = OutboxRow { id: id.clone(), recent: Vec::new(), ..row.clone() };
    let note = format!("it may have arrived, and is not true any more: replaced by {id}");
    finish(tx, row, RowState::Superseded, Some(note), now_wall)?;
    insert(tx, &new)?;
    Ok(new)
}

/// Records how an attempt ended, and where the message went if it can be edited.
pub fn settle(tx: &Tx, routing: &Routing, job: &Job, sent: &Sent, now_wall: i64) -> Result<Verdict, StoreError> {
    let outcome = &sent.outcome;
    let facts = policy::Facts {
        id: &job.row.id,
        created_wall: job.row.created_wall,
        critical: job.row.severity == Severity::Critical,
        attempts: job.row.attempts,
    };
    let verdict = policy::decide(outcome, facts, now_wall);
    let channel_key = job.channel_key();
    let mut row = job.row.clone();
    // What happened to the row meanwhile stays.
    if let Some(kept) = tx.get(OUTBOX, &row.id)? {
        row.fell_back = kept.fell_back;
    }
    let in_doubt = matches!(verdict, Verdict::Retry { in_doubt: true, .. });
    note(&mut row, Attempt { wall: now_wall, outcome: outcome.to_string(), in_doubt });
    if let Some(place) = &sent.place {
        tx.put(THREADS, &thread_key(&channel_key, &row.thread), place)?;
    }
    match &verdict {
        Verdict::Sent => {
            for episode in &job.episodes {
                let key = told_key(&episode.id, &channel_key);
                if episode.is_firing() { tx.put(TOLD, &key, &Told::Sent)? } else { tx.delete(TOLD, &key)? }
            }
            finish(tx, row, RowState::Sent, None, now_wall)?;
            failing::succeeded(tx, &channel_key, now_wall)?;
            quiet::worked(tx, &channel_key, now_wall)?;
        }
        Verdict::Retry { at_wall, reason, in_doubt } => {
            if !in_doubt {
                forget_fresh(tx, job, &channel_key)?;
            }
            row.state = RowState::Queued;
            row.next_try_wall = *at_wall;
            tx.put(OUTBOX, &row.id, &row)?;
            failing::failed(tx, routing, &row, reason, false, now_wall)?;
        }
        Verdict::Dead { reason } => {
            forget_fresh(tx, job, &channel_key)?;
            failing::failed(tx, routing, &row, reason, true, now_wall)?;
            fallback::tell(tx, routing, &mut row, now_wall)?;
            finish(tx, row, RowState::Dead, Some(reason.clone()), now_wall)?;
        }
    }
    Ok(verdict)
}

/// The channel surely did not hear of these.
fn forget_fresh(tx: &Tx, job: &Job, channel_key: &str) -> Result<(), StoreError> {
    job.fresh.iter().try_for_each(|id| tx.delete(TOLD, &told_key(id, channel_key)))
}

fn note(row: &mut OutboxRow, attempt: Attempt) {
    row.recent.push(attempt);
    if row.recent.len() > ATTEMPTS_KEPT {
        row.recent.remove(0);
    }
}

fn finish(tx: &Tx, mut row: OutboxRow, state: RowState, note: Option<String>, now_wall: i64) -> Result<(), StoreError> {
    row.state = state;
    row.note = note;
    row.finished_wall = Some(now_wall);
    tx.delete(OUTBOX, &row.id)?;
    tx.delete(OUTBOX_OF, &format!("{}{}", place_of(&row), row.id))?;
    metrics::counter!("logweir_notifications_finished_total", "receiver" => row.receiver.clone(), "state" => state.as_str())
        .increment(1);
    tx.put(FINISHED, &format!("{:020}\0{}", now_wall.max(0), row.id), &row)
}

/// Drops what is old: finished messages over [`FINISHED_MAX`], closed episodes after [`EPISODE_KEEP_NS`].
pub fn housekeep(tx: &Tx, now_wall: i64) -> Result<(), StoreError> {
    let finished = tx.scan(FINISHED, "")?;
    let surplus = finished.len().saturating_sub(FINISHED_MAX);
    for (key, _) in finished.iter().take(surplus) {
        tx.delete(FINISHED, key)?;
    }
    let waiting: BTreeSet<String> = tx.scan(OUTBOX, "")?.into_iter().flat_map(|(_, row)| row.episodes).collect();
    for (id, episode) in tx.scan(EPISODES, "")? {
        let old = episode.closed_wall.is_some_and(|closed| now_wall.saturating_sub(closed) > EPISODE_KEEP_NS);
        if old && !waiting.contains(&id) {
            hygiene::remember(tx, &episode, now_wall)?;
            tx.delete(EPISODES, &id)?;
            for (key, _) in tx.scan(TOLD, &format!("{id}\0"))? {
                tx.delete(TOLD, &key)?;
            }
            for (key, _) in tx.scan(WHY_NOT, &format!("{id}\0"))? {
                tx.delete(WHY_NOT, &key)?;
            }
        }
    }
    for (key, flap) in tx.scan(FLAPS, "")? {
        if flap.changes.last().is_none_or(|last| last.saturating_add(flap.window_ns) < now_wall) {
            tx.delete(FLAPS, &key)?;
        }
    }
    for (key, _) in tx.scan(THREADS, "")? {
        // A thread is named after its group and its birth.
        let born = key.rsplit_once('-').and_then(|(_, born)| born.parse::<i64>().ok()).unwrap_or(0);
        if now_wall.saturating_sub(born) > THREADS_KEEP_NS {
            tx.delete(THREADS, &key)?;
        }
    }
    for (key, used_wall) in tx.scan(USED, "")? {
        if now_wall.saturating_sub(used_wall) > EPISODE_KEEP_NS {
            tx.delete(USED, &key)?;
        }
    }
    silence::housekeep(tx, now_wall)
}

#[cfg(test)]
mod tests;

//! The outbox: every intended message is a durable row until it arrived or was given up, and then a readable record.
//!
//! A row is marked as under way, durably, before it is sent. After a crash it is sent again under the same id, so a
//! receiver that looks at ids gets it once, and every other receiver at least once. What is sent is made at the moment
//! of sending from the episodes as they are then; a row only says who hears of which episodes.

pub mod failing;

use std::collections::BTreeSet;

use logweir_rules::model::Severity;

use super::policy::{self, Outcome, Verdict};
use crate::route::Routing;
use crate::route::file::Channel;
use crate::state::records::{ATTEMPTS_KEPT, Told};
use crate::state::store::{EPISODES, FINISHED, OUTBOX, StoreError, TOLD, Tx};
use crate::state::{Attempt, Episode, NotifyGroup, OutboxRow, RowState};

/// Messages that are done and stay readable.
pub const FINISHED_MAX: usize = 1_000;
/// Closed episodes stay readable this long.
pub const EPISODE_KEEP_NS: i64 = 7 * 86_400 * 1_000_000_000;
/// Messages taken from the outbox at once.
const CLAIM_MAX: usize = 16;

/// The name of a channel over all receivers.
pub fn channel_key(receiver: &str, integration: &str) -> String {
    format!("{receiver}/{integration}")
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

/// Makes one row per channel of the group's receiver. Rows of the same group that still wait are replaced: a receiver
/// that was away for an hour gets what is true now, not forty stale messages.
pub fn enqueue(tx: &Tx, routing: &Routing, group: &NotifyGroup, now_wall: i64) -> Result<(), StoreError> {
    let Some(receiver) = routing.receiver(&group.receiver) else { return Ok(()) };
    let waiting = tx.scan(OUTBOX, "")?;
    for (integration, _) in &receiver.channels {
        let id = message_id(&receiver.name, integration, group);
        let mut episodes: BTreeSet<String> = group.members.keys().cloned().collect();
        let same = |row: &&(String, OutboxRow)| {
            let row = &row.1;
            row.receiver == receiver.name && row.integration == *integration && row.group_key == group.key
        };
        for (_, old) in waiting.iter().filter(same).filter(|(_, row)| row.state == RowState::Queued) {
            episodes.extend(old.episodes.iter().cloned());
            finish(tx, old.clone(), RowState::Superseded, Some(format!("replaced by {id}")), now_wall)?;
        }
        let severity = worst(tx, &episodes)?;
        let row = OutboxRow {
            id: id.clone(),
            receiver: receiver.name.clone(),
            integration: integration.clone(),
            group_key: group.key.clone(),
            group_labels: group.labels.clone(),
            episodes: episodes.into_iter().collect(),
            severity,
            state: RowState::Queued,
            created_wall: now_wall,
            next_try_wall: now_wall,
            finished_wall: None,
            attempts: 0,
            recent: Vec::new(),
            note: None,
        };
        tx.put(OUTBOX, &id, &row)?;
    }
    Ok(())
}

fn worst(tx: &Tx, episodes: &BTreeSet<String>) -> Result<Severity, StoreError> {
    let mut worst = Severity::Info;
    for id in episodes {
        worst = worst.max(tx.get(EPISODES, id)?.map_or(Severity::Info, |episode| episode.severity));
    }
    Ok(worst)
}

/// After a start: what was under way is queued again, under its id.
pub fn recover(tx: &Tx, now_wall: i64) -> Result<usize, StoreError> {
    let mut recovered = 0;
    for (key, mut row) in tx.scan(OUTBOX, "")? {
        if row.state == RowState::Sending {
            row.state = RowState::Queued;
            row.next_try_wall = now_wall;
            note(&mut row, now_wall, "the process ended while it was under way".to_owned());
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
pub fn claim(tx: &Tx, routing: &Routing, busy: &BTreeSet<String>, now_wall: i64) -> Result<Claimed, StoreError> {
    let mut rows: Vec<OutboxRow> = tx.scan(OUTBOX, "")?.into_iter().map(|(_, row)| row).collect();
    rows.retain(|row| row.state == RowState::Queued);
    rows.sort_by_key(|row| (std::cmp::Reverse(row.severity), row.created_wall));
    let mut claimed = Claimed::default();
    let mut taken = busy.clone();
    for row in rows {
        let channel_key = channel_key(&row.receiver, &row.integration);
        if taken.contains(&channel_key) {
            continue;
        }
        if row.next_try_wall > now_wall || claimed.jobs.len() >= CLAIM_MAX {
            let due = row.next_try_wall.max(now_wall);
            claimed.next_wall = Some(claimed.next_wall.map_or(due, |next| next.min(due)));
            continue;
        }
        let Some(channel) = routing.channel(&row.receiver, &row.integration) else {
            finish(tx, row, RowState::Dead, Some("the receiver is not configured any more".to_owned()), now_wall)?;
            continue;
        };
        if let Some(job) = take(tx, row, channel, &channel_key, now_wall)? {
            taken.insert(channel_key);
            claimed.jobs.push(job);
        }
    }
    Ok(claimed)
}

fn take(
    tx: &Tx,
    mut row: OutboxRow,
    channel: &Channel,
    channel_key: &str,
    now_wall: i64,
) -> Result<Option<Job>, StoreError> {
    let send_resolved = match channel {
        Channel::Webhook(channel) => channel.send_resolved,
        Channel::Slack(channel) => channel.send_resolved,
    };
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
        } else if told.is_none() || !send_resolved {
            continue;
        }
        episodes.push(episode);
    }
    if episodes.is_empty() {
        let note = "it was over before this channel could be told of it".to_owned();
        finish(tx, row, RowState::Dropped, Some(note), now_wall)?;
        return Ok(None);
    }
    row.state = RowState::Sending;
    row.attempts += 1;
    tx.put(OUTBOX, &row.id, &row)?;
    Ok(Some(Job { row, episodes, channel: channel.clone(), fresh }))
}

/// Records how an attempt ended.
pub fn settle(tx: &Tx, routing: &Routing, job: &Job, outcome: &Outcome, now_wall: i64) -> Result<Verdict, StoreError> {
    let facts = policy::Facts {
        id: &job.row.id,
        created_wall: job.row.created_wall,
        critical: job.row.severity == Severity::Critical,
        attempts: job.row.attempts,
    };
    let verdict = policy::decide(outcome, facts, now_wall);
    let channel_key = job.channel_key();
    let mut row = job.row.clone();
    note(&mut row, now_wall, outcome.to_string());
    match &verdict {
        Verdict::Sent => {
            for episode in &job.episodes {
                let key = told_key(&episode.id, &channel_key);
                if episode.is_firing() { tx.put(TOLD, &key, &Told::Sent)? } else { tx.delete(TOLD, &key)? }
            }
            finish(tx, row, RowState::Sent, None, now_wall)?;
            failing::succeeded(tx, &channel_key, now_wall)?;
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
            finish(tx, row, RowState::Dead, Some(reason.clone()), now_wall)?;
        }
    }
    Ok(verdict)
}

/// The channel surely did not hear of these.
fn forget_fresh(tx: &Tx, job: &Job, channel_key: &str) -> Result<(), StoreError> {
    job.fresh.iter().try_for_each(|id| tx.delete(TOLD, &told_key(id, channel_key)))
}

fn note(row: &mut OutboxRow, wall: i64, outcome: String) {
    row.recent.push(Attempt { wall, outcome });
    if row.recent.len() > ATTEMPTS_KEPT {
        row.recent.remove(0);
    }
}

fn finish(tx: &Tx, mut row: OutboxRow, state: RowState, note: Option<String>, now_wall: i64) -> Result<(), StoreError> {
    row.state = state;
    row.note = note;
    row.finished_wall = Some(now_wall);
    tx.delete(OUTBOX, &row.id)?;
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
            tx.delete(EPISODES, &id)?;
            for (key, _) in tx.scan(TOLD, &format!("{id}\0"))? {
                tx.delete(TOLD, &key)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;

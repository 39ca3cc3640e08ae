//! What people do with the outbox: look at it, try again, try a receiver, say that they have it in hand.

use std::collections::BTreeSet;

use logweir_rules::model::{Labels, Severity};

use super::{RowDraft, hash_id, insert, put_row, told_key};
use crate::route::Routing;
use crate::state::store::{EPISODES, FINISHED, GROUPS, OUTBOX, StoreError, TOLD, Tx, View};
use crate::state::{Ack, Episode, NotifyGroup, OutboxRow, RowKind, RowState};

/// Name of the alert of a test.
pub const TEST_ALERT: &str = "ReceiverTest";

/// Messages that wait or are under way.
pub fn waiting(view: &View) -> Result<Vec<OutboxRow>, StoreError> {
    Ok(view.scan(OUTBOX, "")?.into_iter().map(|(_, row)| row).collect())
}

/// Messages that were given up, the newest first.
pub fn dead(view: &View) -> Result<Vec<OutboxRow>, StoreError> {
    let rows = view.scan(FINISHED, "")?.into_iter().map(|(_, row)| row).rev();
    Ok(rows.filter(|row| row.state == RowState::Dead).collect())
}

/// Puts a message that was given up, or waits for its time, into the outbox for now. `false`: there is none.
pub fn retry(tx: &Tx, id: &str, now_wall: i64) -> Result<bool, StoreError> {
    if let Some(mut row) = tx.get(OUTBOX, id)? {
        if row.state == RowState::Queued {
            row.next_try_wall = now_wall;
            tx.put(OUTBOX, id, &row)?;
        }
        return Ok(true);
    }
    let finished = tx.scan(FINISHED, "")?;
    let Some((key, row)) = finished.into_iter().find(|(_, row)| row.id == id && row.state == RowState::Dead) else {
        return Ok(false);
    };
    tx.delete(FINISHED, &key)?;
    let row = OutboxRow {
        state: RowState::Queued,
        created_wall: now_wall,
        next_try_wall: now_wall,
        owed_since_wall: now_wall,
        finished_wall: None,
        note: Some("tried again by hand".to_owned()),
        ..row
    };
    insert(tx, &row)?;
    Ok(true)
}

/// Sends a marked message to every channel of a receiver. Answers the ids; `None`: there is no such receiver.
pub fn test(tx: &Tx, routing: &Routing, receiver: &str, now_wall: i64) -> Result<Option<Vec<String>>, StoreError> {
    let Some(receiver) = routing.receiver(receiver) else { return Ok(None) };
    let instance = Labels::from([("receiver".to_owned(), receiver.name.clone())]);
    let id = crate::evaluate::episode_id(TEST_ALERT, &instance, now_wall);
    let mut episode = Episode::built_in(id.clone(), TEST_ALERT, instance, Severity::Info, now_wall);
    episode.summary = format!("[TEST] a message to {} that somebody asked for; nothing is wrong", receiver.name);
    episode.reason = "logweir notify test".to_owned();
    (episode.closed_at, episode.closed_wall) = (Some(now_wall), Some(now_wall));
    episode.close_reason = Some("it was a test".to_owned());
    tx.put(EPISODES, &id, &episode)?;
    let group = NotifyGroup::new(format!("test-{id}"), &receiver.name, Labels::new(), now_wall);
    let draft = RowDraft { group: &group, kind: RowKind::Test, severity: Severity::Info, now_wall };
    let mut ids = Vec::new();
    for (integration, channel) in &receiver.channels {
        let row_id = hash_id(&["test", &id, integration]);
        let row = draft.row(row_id.clone(), &receiver.name, integration, BTreeSet::from([id.clone()]));
        put_row(tx, channel, row)?;
        ids.push(row_id);
    }
    Ok(Some(ids))
}

/// Notes that somebody has an alert in hand, and tells the channels that show it. `false`: nothing like it fires.
pub fn ack(tx: &Tx, routing: Option<&Routing>, episode: &str, ack: Ack) -> Result<bool, StoreError> {
    let Some(mut found) = tx.get(EPISODES, episode)? else { return Ok(false) };
    if !found.is_firing() {
        return Ok(false);
    }
    let ack = Ack { severity: found.severity, ..ack };
    let now_wall = ack.wall;
    tracing::info!(episode, rule = found.rule, by = ack.by, "acknowledged");
    found.extra.ack = Some(ack);
    tx.put(EPISODES, episode, &found)?;
    let Some(routing) = routing else { return Ok(true) };
    for key in &found.groups {
        let Some(group) = tx.get(GROUPS, key)? else { continue };
        let Some(receiver) = routing.receiver(&group.receiver) else { continue };
        let draft = RowDraft { group: &group, kind: RowKind::Ack, severity: found.severity, now_wall };
        for (integration, channel) in receiver.channels.iter().filter(|(_, channel)| channel.shows_acks()) {
            let name = super::channel_key(&receiver.name, integration);
            if tx.get(TOLD, &told_key(episode, &name))?.is_none() {
                continue;
            }
            let id = hash_id(&["ack", key, episode, &now_wall.to_string(), &name]);
            let told = group.members.iter().filter(|(_, member)| member.firing && member.told);
            let members = told.map(|(id, _)| id.clone()).collect();
            let mut row = draft.row(id, &receiver.name, integration, members);
            // It must not take the place of a message that waits.
            row.group_key = format!("{key}-ack");
            put_row(tx, channel, row)?;
        }
    }
    Ok(true)
}

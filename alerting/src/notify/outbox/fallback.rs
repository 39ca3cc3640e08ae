//! The fallback of a receiver: who is told when a message is not confirmed in time, or given up.

use std::collections::BTreeSet;

use super::{RowDraft, channel_key, hash_id, put_row, told_key};
use crate::route::{Receiver, Routing};
use crate::state::store::{OUTBOX, StoreError, TOLD, Tx};
use crate::state::{NotifyGroup, OutboxRow, RowKind, RowState};

/// When the fallback of a row is due.
pub fn due_wall(routing: &Routing, row: &OutboxRow) -> Option<i64> {
    let waits = matches!(row.state, RowState::Queued | RowState::Sending);
    let own = !matches!(row.kind, RowKind::Alert | RowKind::Storm | RowKind::Escalation);
    if row.fell_back || !waits || own {
        return None;
    }
    let fallback = routing.receiver(&row.receiver)?.fallback.as_ref()?;
    Some(row.owed_since_wall.saturating_add(fallback.after_ns))
}

/// Tells the fallbacks of everything that is late.
pub fn tell_late(tx: &Tx, routing: &Routing, now_wall: i64) -> Result<Option<i64>, StoreError> {
    let mut next: Option<i64> = None;
    for (_, mut row) in tx.scan(OUTBOX, "")? {
        match due_wall(routing, &row) {
            Some(due) if due <= now_wall => {
                tell(tx, routing, &mut row, now_wall)?;
                tx.put(OUTBOX, &row.id, &row)?;
            }
            Some(due) => next = Some(next.map_or(due, |next| next.min(due))),
            None => {}
        }
    }
    Ok(next)
}

/// Makes rows for the fallback of one row; the caller writes the row.
pub(super) fn tell(tx: &Tx, routing: &Routing, row: &mut OutboxRow, now_wall: i64) -> Result<(), StoreError> {
    let own = !matches!(row.kind, RowKind::Alert | RowKind::Storm | RowKind::Escalation);
    if row.fell_back || own {
        return Ok(());
    }
    let fallback = routing.receiver(&row.receiver).and_then(|receiver| receiver.fallback.as_ref());
    let Some(other) = fallback.and_then(|fallback| routing.receiver(&fallback.receiver)) else { return Ok(()) };
    row.fell_back = true;
    tracing::warn!(
        id = row.id,
        from = row.receiver,
        to = other.name,
        "a message is not confirmed: the fallback is told"
    );
    metrics::counter!("logweir_notification_fallbacks_total", "receiver" => row.receiver.clone()).increment(1);
    for (integration, channel) in &other.channels {
        let new = OutboxRow {
            id: hash_id(&["fallback", &row.id, integration]),
            receiver: other.name.clone(),
            integration: integration.clone(),
            group_key: format!("{}-fallback", row.group_key),
            state: RowState::Queued,
            kind: RowKind::Fallback,
            created_wall: now_wall,
            next_try_wall: now_wall,
            owed_since_wall: now_wall,
            finished_wall: None,
            attempts: 0,
            recent: Vec::new(),
            note: Some(format!("in place of {}", row.receiver)),
            ..row.clone()
        };
        put_row(tx, channel, new)?;
    }
    Ok(())
}

/// Tells the fallback of the end of what it was told of.
pub(super) fn tell_end(
    tx: &Tx,
    routing: &Routing,
    receiver: &Receiver,
    draft: RowDraft<'_>,
    over: &BTreeSet<String>,
) -> Result<(), StoreError> {
    let other = receiver.fallback.as_ref().and_then(|fallback| routing.receiver(&fallback.receiver));
    let Some(other) = other.filter(|_| !over.is_empty()) else { return Ok(()) };
    for (integration, channel) in &other.channels {
        let name = channel_key(&other.name, integration);
        let mut known = BTreeSet::new();
        for id in over {
            if tx.get(TOLD, &told_key(id, &name))?.is_some() {
                known.insert(id.clone());
            }
        }
        if known.is_empty() {
            continue;
        }
        let NotifyGroup { key, seq, .. } = draft.group;
        let id = hash_id(&["fallback", key, &draft.group.born_wall.to_string(), &seq.to_string(), &name]);
        let mut row = RowDraft { kind: RowKind::Fallback, ..draft }.row(id, &other.name, integration, known);
        row.group_key = format!("{key}-fallback");
        put_row(tx, channel, row)?;
    }
    Ok(())
}

//! What would have been told: the groups, holds and digests of the server over a store in memory, and nobody sends.

use std::collections::{BTreeMap, BTreeSet};

use super::report::Told;
use crate::evaluate::{Draft, Work};
use crate::route::{Routing, group};
use crate::state::Episode;
use crate::state::store::{EPISODES, OUTBOX, Store, StoreError, Tx};

/// After the period so long is waited for messages that are still due.
const AFTER_NS: i64 = 600 * 1_000_000_000;

#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) receivers: BTreeMap<String, Told>,
    /// Rule, receiver, messages in which it fires.
    pub(super) rules: BTreeMap<String, BTreeMap<String, usize>>,
}

/// Counts the messages of a period.
pub(super) fn count(mut drafts: Vec<(i64, Draft)>, routing: Option<&Routing>, to: i64) -> Result<Counted, StoreError> {
    let mut counted = Counted::default();
    let Some(routing) = routing else { return Ok(counted) };
    let store = Store::in_memory()?;
    drafts.sort_by_key(|(at, _)| *at);
    let mut drafts = drafts.into_iter().peekable();
    let mut due = None;
    while let Some((at, _)) = drafts.peek() {
        let at = *at;
        flush_until(&store, routing, &mut due, at, &mut counted)?;
        let mut work = Work::new(None, at);
        while let Some((_, draft)) = drafts.next_if(|(next, _)| *next == at) {
            work.draft(draft);
        }
        store.write(|tx| work.apply(tx, Some(routing)))?;
        due = store.write(|tx| flush(tx, routing, at, &mut counted))?;
    }
    flush_until(&store, routing, &mut due, to.saturating_add(AFTER_NS), &mut counted)?;
    Ok(counted)
}

fn flush_until(
    store: &Store,
    routing: &Routing,
    due: &mut Option<i64>,
    until: i64,
    counted: &mut Counted,
) -> Result<(), StoreError> {
    while let Some(at) = due.filter(|at| *at < until) {
        let next = store.write(|tx| flush(tx, routing, at, counted))?;
        *due = next.map(|next| next.max(at.saturating_add(1)));
    }
    Ok(())
}

/// Makes the messages that are due, counts those that would leave, and answers when to look again.
fn flush(tx: &Tx, routing: &Routing, at: i64, counted: &mut Counted) -> Result<Option<i64>, StoreError> {
    let mut next = group::flush(tx, routing, at)?;
    for (id, row) in tx.scan(OUTBOX, "")? {
        // A digest waits for its time.
        if row.next_try_wall > at {
            next = Some(next.map_or(row.next_try_wall, |next| next.min(row.next_try_wall)));
            continue;
        }
        let mut firing = BTreeSet::new();
        for id in &row.episodes {
            firing.extend(tx.get(EPISODES, id)?.filter(Episode::is_firing).map(|episode| episode.rule));
        }
        let told = counted.receivers.entry(row.receiver.clone()).or_default();
        if firing.is_empty() {
            told.resolves += 1
        } else {
            told.pages += 1
        }
        for rule in firing {
            *counted.rules.entry(rule).or_default().entry(row.receiver.clone()).or_default() += 1;
        }
        tx.delete(OUTBOX, &id)?;
    }
    Ok(next)
}

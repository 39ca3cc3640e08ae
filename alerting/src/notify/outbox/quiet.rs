//! Receivers that are seldom told: a message that is marked as a test shows that they still can be, before it matters.

use std::collections::BTreeMap;

use super::{channel_key, operate};
use crate::route::Routing;
use crate::state::records::Quiet;
use crate::state::store::{QUIET, StoreError, Tx};

/// A channel that took a message within this time is known to work.
pub const QUIET_FOR_NS: i64 = 7 * 86_400 * 1_000_000_000;
/// Between two tests of a receiver.
pub const TEST_EVERY_NS: i64 = 30 * 86_400 * 1_000_000_000;
/// How exactly it is known when a channel took a message.
const EXACT_NS: i64 = 3_600 * 1_000_000_000;

pub(super) fn worked(tx: &Tx, channel: &str, now_wall: i64) -> Result<(), StoreError> {
    let known = tx.get(QUIET, channel)?.unwrap_or_default();
    if now_wall.saturating_sub(known.worked_wall) < EXACT_NS {
        return Ok(());
    }
    tx.put(QUIET, channel, &Quiet { worked_wall: now_wall, ..known })
}

/// Tests the receivers that were quiet for too long; answers their names. A receiver that is new has just begun.
pub fn test_due(tx: &Tx, routing: &Routing, now_wall: i64) -> Result<Vec<String>, StoreError> {
    let known: BTreeMap<String, Quiet> = tx.scan(QUIET, "")?.into_iter().collect();
    let mut tested = Vec::new();
    for receiver in routing.receivers.iter().filter(|receiver| receiver.monthly_test) {
        let keys: Vec<String> = receiver.channels.iter().map(|(name, _)| channel_key(&receiver.name, name)).collect();
        for key in keys.iter().filter(|key| !known.contains_key(*key)) {
            tx.put(QUIET, key, &Quiet { worked_wall: now_wall, tested_wall: now_wall })?;
        }
        let is_due = |quiet: &Quiet| {
            now_wall.saturating_sub(quiet.worked_wall) >= QUIET_FOR_NS
                && now_wall.saturating_sub(quiet.tested_wall) >= TEST_EVERY_NS
        };
        if !keys.iter().filter_map(|key| known.get(key)).any(is_due) {
            continue;
        }
        for key in &keys {
            let quiet = known.get(key).copied().unwrap_or_default();
            tx.put(QUIET, key, &Quiet { tested_wall: now_wall, ..quiet })?;
        }
        operate::test(tx, routing, &receiver.name, now_wall)?;
        tested.push(receiver.name.clone());
    }
    Ok(tested)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::T0;
    use crate::state::store::{OUTBOX, Store};

    const DAY: i64 = 86_400 * 1_000_000_000;

    #[test]
    fn who_is_seldom_told_is_tested_once_a_month() {
        let text = "route: {receiver: busy}\nreceivers:\n  - {name: busy, webhook: [{url: 'https://a.example/'}]}\n  - {name: quiet, webhook: [{url: 'https://b.example/'}, {url: 'https://c.example/'}]}\n  - {name: left alone, monthly_test: false, webhook: [{url: 'https://d.example/'}]}\n";
        let routing = crate::route::file::load("a.yaml", text, &|_| None).unwrap_or_else(|p| panic!("{p:?}"));
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path()).expect("opens");
        let mut tested = Vec::new();
        for day in 0..70 {
            let now = T0 + day * DAY;
            let done = store.write(|tx| {
                if day % 5 == 0 {
                    worked(tx, "busy/webhook[0]", now)?;
                }
                test_due(tx, &routing, now)
            });
            tested.extend(done.expect("writes").into_iter().map(|name| format!("{day} {name}")));
        }
        assert_eq!(tested, ["30 quiet", "60 quiet"]);
        let rows = store.read(|view| view.scan(OUTBOX, "")).expect("reads");
        assert_eq!(rows.len(), 4, "every channel of it");
    }
}

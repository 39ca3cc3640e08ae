//! A channel that does not work is itself an alert, told to every other receiver.

use logweir_rules::model::{Labels, Severity};

use super::channel_key;
use crate::route::Routing;
use crate::route::group;
use crate::state::records::Health;
use crate::state::store::{EPISODES, GROUPS, HEALTH, StoreError, Tx};
use crate::state::{Episode, NotifyGroup, OutboxRow};

/// Name of the alert.
pub const ALERT_NAME: &str = "DeliveryFailing";
/// A channel may fail this long before the others are told; a message that is given up is told at once.
pub const FAILING_AFTER_NS: i64 = 120 * 1_000_000_000;
const INTERVAL_NS: i64 = 300 * 1_000_000_000;
const REPEAT_NS: i64 = 4 * 3600 * 1_000_000_000;

pub(super) fn succeeded(tx: &Tx, channel: &str, now_wall: i64) -> Result<(), StoreError> {
    let Some(health) = tx.get(HEALTH, channel)? else { return Ok(()) };
    if let Some(mut episode) = health.episode.as_deref().map(|id| tx.get(EPISODES, id)).transpose()?.flatten() {
        episode.closed_at = Some(now_wall);
        episode.closed_wall = Some(now_wall);
        episode.close_reason = Some("a message arrived".to_owned());
        tx.put(EPISODES, &episode.id.clone(), &episode)?;
        // Closing needs no routes: the episode knows its groups.
        for key in &episode.groups {
            close_in_group(tx, key, &episode.id, now_wall)?;
        }
    }
    tx.delete(HEALTH, channel)
}

fn close_in_group(tx: &Tx, key: &str, episode: &str, now_wall: i64) -> Result<(), StoreError> {
    let Some(mut group) = tx.get(GROUPS, key)? else { return Ok(()) };
    let told = group.members.get(episode).is_some_and(|member| member.told);
    if told {
        group::add(&mut group, episode, now_wall);
        if let Some(member) = group.members.get_mut(episode) {
            member.firing = false;
        }
        tx.put(GROUPS, key, &group)
    } else {
        tx.delete(GROUPS, key)
    }
}

pub(super) fn failed(
    tx: &Tx,
    routing: &Routing,
    row: &OutboxRow,
    reason: &str,
    given_up: bool,
    now_wall: i64,
) -> Result<(), StoreError> {
    let channel = channel_key(&row.receiver, &row.integration);
    let mut health: Health = tx.get(HEALTH, &channel)?.unwrap_or_default();
    let since = *health.failing_since_wall.get_or_insert(now_wall);
    health.last_error = Some(reason.to_owned());
    if health.episode.is_none() && (given_up || now_wall.saturating_sub(since) >= FAILING_AFTER_NS) {
        health.episode = Some(open(tx, routing, row, reason, since, now_wall)?);
    }
    tx.put(HEALTH, &channel, &health)
}

fn open(
    tx: &Tx,
    routing: &Routing,
    row: &OutboxRow,
    reason: &str,
    since: i64,
    now_wall: i64,
) -> Result<String, StoreError> {
    let channel = channel_key(&row.receiver, &row.integration);
    let mut instance = Labels::new();
    instance.insert("receiver".to_owned(), row.receiver.clone());
    instance.insert("channel".to_owned(), row.integration.clone());
    let mut labels = instance.clone();
    labels.insert("alertname".to_owned(), ALERT_NAME.to_owned());
    let id = crate::evaluate::episode_id(ALERT_NAME, &labels, since);
    let mut groups = Vec::new();
    for receiver in routing.receivers.iter().filter(|receiver| receiver.name != row.receiver) {
        let hash = blake3::hash(format!("{ALERT_NAME}\0{channel}\0{}", receiver.name).as_bytes());
        let key = hash.to_hex()[..32].to_owned();
        let mut group = NotifyGroup {
            interval_ns: INTERVAL_NS,
            repeat_ns: REPEAT_NS,
            ..NotifyGroup::new(key.clone(), &receiver.name, labels.clone(), now_wall)
        };
        group::add(&mut group, &id, now_wall);
        tx.put(GROUPS, &key, &group)?;
        groups.push(key);
    }
    let mut episode = Episode::built_in(id.clone(), ALERT_NAME, instance, Severity::Critical, since);
    episode.summary = format!("messages to {} ({}) do not arrive: {reason}", row.receiver, row.integration);
    episode.reason = reason.to_owned();
    episode.groups = groups;
    tx.put(EPISODES, &id, &episode)?;
    tracing::error!(channel, reason, "messages do not arrive");
    Ok(id)
}

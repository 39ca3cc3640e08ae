//! Heartbeats: ours, sent only while everything works, and those of others, whose absence is an alert.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use logweir_rules::model::{Labels, Severity};
use logweir_runtime::clock::Clock;
use logweir_runtime::drain::Drain;
use reqwest::header::HeaderMap;

use super::http::Poster;
use super::policy::Outcome;
use crate::route::Routing;
use crate::route::file::HeartbeatIn;
use crate::route::group::{self, Event};
use crate::service::Live;
use crate::state::records::{Beat, Episode};
use crate::state::store::{BEATS, EPISODES, OUTBOX, Store, StoreError, Tx};

/// Name of the alert when somebody else's heartbeat does not come.
pub const ALERT_NAME: &str = "HeartbeatMissed";
/// A critical message that is owed longer than this makes our own heartbeat stop.
pub const CRITICAL_OWED_MAX_NS: i64 = 120 * 1_000_000_000;
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Sends our heartbeat until the drain.
pub(crate) async fn run(store: Store, live: Arc<Live>, clock: Clock, drain: Drain) {
    let mut next_wall = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = drain.cancelled() => return,
        }
        let now_wall = clock.now_ns();
        let Some(routing) = live.routing() else { continue };
        let Some(heartbeat) = routing.heartbeat.as_ref().filter(|_| now_wall >= next_wall) else { continue };
        next_wall = now_wall.saturating_add(heartbeat.every_ns);
        if let Some(reason) = unhealthy(&store, &live, now_wall).await {
            tracing::warn!(reason, "the heartbeat is not sent");
            metrics::counter!("logweir_heartbeats_withheld_total").increment(1);
            continue;
        }
        let outcome = match heartbeat.url.read() {
            Ok(url) => Poster::new(heartbeat.net.clone()).post(url.expose(), HeaderMap::new(), Bytes::new()).await,
            Err(error) => Outcome::Misconfigured(error),
        };
        match outcome {
            Outcome::Status { code: 200..=299, .. } => metrics::counter!("logweir_heartbeats_sent_total").increment(1),
            other => tracing::warn!(outcome = %other, "the heartbeat did not arrive"),
        }
    }
}

/// Why nobody should believe that alerting works; `None` when it does.
pub(crate) async fn unhealthy(store: &Store, live: &Live, now_wall: i64) -> Option<String> {
    if let Some(reason) = live.unhealthy(now_wall) {
        return Some(reason);
    }
    // That it can be written is part of being well.
    let looked = store.write_async(move |tx| owed(tx, now_wall)).await;
    match looked {
        Ok(None) => None,
        Ok(Some(id)) => Some(format!("the critical message {id} is owed for more than two minutes")),
        Err(error) => Some(error.to_string()),
    }
}

fn owed(tx: &Tx, now_wall: i64) -> Result<Option<String>, StoreError> {
    let late = |row: &crate::state::OutboxRow| {
        row.severity == Severity::Critical && now_wall.saturating_sub(row.owed_since_wall) > CRITICAL_OWED_MAX_NS
    };
    Ok(tx.scan(OUTBOX, "")?.into_iter().map(|(_, row)| row).find(late).map(|row| row.id))
}

/// Somebody's heartbeat came. `false`: nobody waits for one of this name.
pub fn beat(tx: &Tx, routing: &Routing, name: &str, now_wall: i64) -> Result<bool, StoreError> {
    if !routing.heartbeats.iter().any(|beat| beat.name == name) {
        return Ok(false);
    }
    let before = tx.get(BEATS, name)?;
    tx.put(BEATS, name, &Beat { last_wall: now_wall, episode: None })?;
    let Some(id) = before.and_then(|beat| beat.episode) else { return Ok(true) };
    if let Some(mut episode) = tx.get(EPISODES, &id)? {
        (episode.closed_at, episode.closed_wall) = (Some(now_wall), Some(now_wall));
        episode.close_reason = Some("it came again".to_owned());
        group::place(tx, routing, &mut episode, Event::Closed, now_wall)?;
        tx.put(EPISODES, &id, &episode)?;
    }
    Ok(true)
}

/// When the next heartbeat is missed, of those that are known.
pub fn next_missed(beats: &[(String, Beat)], routing: &Routing) -> Option<i64> {
    let due = routing.heartbeats.iter().map(|wanted| {
        let known = beats.iter().find(|(name, _)| *name == wanted.name);
        match known {
            // Not known yet: the time begins now.
            None => Some(i64::MIN),
            Some((_, beat)) if beat.episode.is_none() => Some(missed_wall(wanted, beat)),
            Some(_) => None,
        }
    });
    due.flatten().min()
}

fn missed_wall(wanted: &HeartbeatIn, beat: &Beat) -> i64 {
    beat.last_wall.saturating_add(wanted.every_ns).saturating_add(wanted.grace_ns)
}

/// Opens an alert for each heartbeat that is missed.
pub fn check(tx: &Tx, routing: &Routing, now_wall: i64) -> Result<(), StoreError> {
    for wanted in &routing.heartbeats {
        let Some(beat) = tx.get(BEATS, &wanted.name)? else {
            tx.put(BEATS, &wanted.name, &Beat { last_wall: now_wall, episode: None })?;
            continue;
        };
        if beat.episode.is_some() || now_wall < missed_wall(wanted, &beat) {
            continue;
        }
        let mut instance = wanted.labels.clone();
        instance.insert("heartbeat".to_owned(), wanted.name.clone());
        let id = open(tx, routing, wanted, &instance, &beat, now_wall)?;
        tx.put(BEATS, &wanted.name, &Beat { episode: Some(id), ..beat })?;
    }
    Ok(())
}

fn open(
    tx: &Tx,
    routing: &Routing,
    wanted: &HeartbeatIn,
    instance: &Labels,
    beat: &Beat,
    now_wall: i64,
) -> Result<String, StoreError> {
    let id = crate::evaluate::episode_id(ALERT_NAME, instance, now_wall);
    let mut episode = Episode::built_in(id.clone(), ALERT_NAME, instance.clone(), wanted.severity, now_wall);
    let since = super::message::time_text(beat.last_wall);
    let every = super::text::span_text(wanted.every_ns);
    episode.summary = format!("no heartbeat of {} since {since}; one is expected every {every}", wanted.name);
    episode.reason = format!("none within {every} and {} of grace", super::text::span_text(wanted.grace_ns));
    group::place(tx, routing, &mut episode, Event::Opened, now_wall)?;
    tx.put(EPISODES, &id, &episode)?;
    Ok(id)
}

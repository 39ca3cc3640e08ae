//! The canary line: written as any line is, found by a rule, told to a receiver. How long that takes is a figure, and
//! that it does not come through withholds our heartbeat.
//!
//! One line is on its way at a time. It is an event of Logweir's own, `source:logweir event:canary canary:ID`; the rule
//! is [`RULES`], evaluated and routed as every other. It has come through when every channel of the receiver confirmed
//! its message, and is lost when a message was given up or [`LOST_AFTER_NS`] passed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use logweir_runtime::clock::Clock;
use logweir_runtime::drain::Drain;
use serde_json::json;

use crate::route::file::Canary;
use crate::route::matcher::Matcher;
use crate::route::tree::Route;
use crate::service::Live;
use crate::source::Shared;
use crate::state::store::{EPISODES, FINISHED, GROUPS, OUTBOX, Store, StoreError, Tx, View};
use crate::state::{Episode, OutboxRow, RowState};

/// Name of the alert that a canary line raises.
pub const ALERT_NAME: &str = "AlertingSelfTest";
/// A line that has not come through for so long is lost.
pub const LOST_AFTER_NS: i64 = 120 * 1_000_000_000;
/// How rules files are named of which there is no file.
pub const FILE: &str = "canary (built in)";
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Where it stands in the route tree: before all that the file has.
const ROUTE_PATH: &str = "0.canary";
/// It is never repeated.
const NEVER_NS: i64 = 365 * 86_400 * 1_000_000_000;

/// The rule that is in force while there is a `canary` in the routing file.
pub const RULES: &str = r#"version: 1
groups:
  - name: logweir-canary
    every: 5s
    defaults: {delay: 1s}
    rules:
      - alert: AlertingSelfTest
        signals: {lines: {filter: 'source:logweir AND event:canary', agg: count, window: 30s, by: [canary]}}
        levels: {info: {when: lines > 0}}
        summary: "the canary line came through to here: this is a test"
"#;

/// The route of the canary: to its receiver alone, at once, and to nobody else.
pub(crate) fn route(canary: &Canary) -> Route {
    Route {
        path: ROUTE_PATH.to_owned(),
        name: Some("canary".to_owned()),
        matchers: matchers(),
        receiver: canary.receiver.clone(),
        group_by: None,
        group_wait_ns: 0,
        group_interval_ns: 1_000_000_000,
        repeat_interval_ns: NEVER_NS,
        ..Route::root()
    }
}

/// What a storm lets through.
pub(crate) fn matchers() -> Vec<Matcher> {
    Matcher::parse(&format!("alertname=\"{ALERT_NAME}\"")).into_iter().collect()
}

/// A line on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    id: String,
    written_wall: i64,
}

/// How far a line is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    Under,
    /// Confirmed by all channels at this time.
    Through {
        wall: i64,
    },
    Lost {
        reason: String,
    },
}

/// Writes lines and follows them until the drain.
pub(crate) async fn run(store: Store, live: Arc<Live>, source: Shared, clock: Clock, drain: Drain) {
    let (mut line, mut next_wall) = (None::<Line>, 0);
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = drain.cancelled() => return,
        }
        let now_wall = clock.now_ns();
        let Some(canary) = live.routing().and_then(|routing| routing.canary.clone()) else {
            line = None;
            live.set_canary(None);
            continue;
        };
        if let Some(own) = &line {
            let (id, written_wall) = (own.id.clone(), own.written_wall);
            let looked = store.read_async(move |view| follow(view, &id, written_wall, now_wall)).await;
            let way = looked.unwrap_or_else(|error| Way::Lost { reason: error.to_string() });
            if !note(&live, own, way) {
                continue;
            }
            line = None;
        }
        // What was missed while rules are held is not the line's fault.
        if now_wall < next_wall || !live.may_send() {
            continue;
        }
        next_wall = now_wall.saturating_add(canary.every_ns);
        if let Err(error) = store.write_async(sweep).await {
            tracing::warn!(error = %error, "old canary lines are not removed");
        }
        let id = now_wall.to_string();
        let message = format!("a canary line, to be told to '{}'", canary.receiver);
        let event = json!({"level": "debug", "message": message, "event": "canary", "canary": id});
        match source.0.say(event).await {
            Ok(()) => line = Some(Line { id, written_wall: now_wall }),
            Err(error) => lost(&live, &format!("the canary line could not be written: {error}")),
        }
    }
}

/// Takes note of where a line is; `true`: it is not followed any more.
fn note(live: &Live, line: &Line, way: Way) -> bool {
    match way {
        Way::Under => return false,
        Way::Through { wall } => {
            let seconds = wall.saturating_sub(line.written_wall).max(0) as f64 / 1e9;
            metrics::histogram!("logweir_canary_seconds").record(seconds);
            metrics::gauge!("logweir_canary_last_seconds").set(seconds);
            live.set_canary(None);
        }
        Way::Lost { reason } => lost(live, &reason),
    }
    true
}

fn lost(live: &Live, reason: &str) {
    tracing::warn!(reason, "the canary line did not come through");
    metrics::counter!("logweir_canary_lost_total").increment(1);
    live.set_canary(Some(reason.to_owned()));
}

/// What came through is no news: it makes room for what people look for.
fn sweep(tx: &Tx) -> Result<(), StoreError> {
    let own = |episode: &Episode| episode.rule == ALERT_NAME && !episode.is_firing();
    let waiting: Vec<OutboxRow> = tx.scan(OUTBOX, "")?.into_iter().map(|(_, row)| row).collect();
    let mut over = BTreeSet::new();
    for (id, episode) in tx.scan(EPISODES, "")?.into_iter().filter(|(_, episode)| own(episode)) {
        let mut grouped = false;
        for key in &episode.groups {
            grouped |= tx.get(GROUPS, key)?.is_some();
        }
        if !grouped && !waiting.iter().any(|row| row.episodes.contains(&id)) {
            over.insert(id);
        }
    }
    for (key, row) in tx.scan(FINISHED, "")? {
        if row.episodes.iter().any(|id| over.contains(id)) {
            if row.state == RowState::Dead {
                over.retain(|id| !row.episodes.contains(id));
            } else {
                tx.delete(FINISHED, &key)?;
            }
        }
    }
    over.iter().try_for_each(|id| tx.delete(EPISODES, id))
}

fn follow(view: &View, id: &str, written_wall: i64, now_wall: i64) -> Result<Way, StoreError> {
    let of = |stage: &str| Ok(Way::Lost { reason: format!("the canary line is lost: {stage}") });
    let late = now_wall.saturating_sub(written_wall) > LOST_AFTER_NS;
    let episodes = view.scan(EPISODES, "")?.into_iter().map(|(_, episode)| episode);
    let own = episodes.into_iter().find(|one| one.rule == ALERT_NAME && one.instance.values().any(|value| value == id));
    let Some(episode) = own else {
        return if late { of("no rule found it") } else { Ok(Way::Under) };
    };
    let tells = |row: &OutboxRow| row.episodes.contains(&episode.id);
    if view.scan(OUTBOX, "")?.iter().any(|(_, row)| tells(row)) {
        return if late { of("its message does not arrive") } else { Ok(Way::Under) };
    }
    let rows: Vec<OutboxRow> = view.scan(FINISHED, "")?.into_iter().map(|(_, row)| row).filter(tells).collect();
    if rows.iter().any(|row| row.state == RowState::Dead) {
        return of("its message was given up");
    }
    let sent = rows.iter().filter(|row| row.state == RowState::Sent).filter_map(|row| row.finished_wall);
    match sent.max() {
        Some(wall) => Ok(Way::Through { wall }),
        None if late => of("nobody was told"),
        None => Ok(Way::Under),
    }
}

#[cfg(test)]
mod tests;

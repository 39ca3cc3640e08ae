//! Why a receiver is not told of an episode now, if it is not. Every answer is kept, and `why` reads it.

use std::collections::BTreeMap;

use logweir_rules::model::Labels;
use logweir_runtime::clock::rfc3339;

use super::file::Routing;
use super::flap;
use super::group::routing_labels;
use super::silence::Compiled;
use super::tree::Route;
use crate::evaluate::instance_key;
use crate::state::records::{Flap, Suppression};
use crate::state::store::{EPISODES, FLAPS, SILENCES, StoreError, Tx, View, WHY_NOT};
use crate::state::{Episode, Silence};

/// Reasons of one episode and receiver that are kept.
pub const REASONS_MAX: usize = 20;

/// Why it is quiet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// `muted`, `silenced`, `inhibited`, `flapping`, `acked`
    pub kind: &'static str,
    pub reason: String,
}

/// What the decision looks at, read once for all groups that are due.
#[derive(Debug, Default)]
pub struct Surroundings {
    pub silences: Vec<Compiled>,
    /// Of everything that fires, with the severity.
    pub firing: Vec<(String, Labels)>,
    pub flaps: BTreeMap<String, Flap>,
}

impl Surroundings {
    pub fn load(tx: &Tx, routing: &Routing, now_wall: i64) -> Result<Surroundings, StoreError> {
        // Only inhibition needs to know all alerts.
        let episodes = if routing.inhibit.is_empty() { Vec::new() } else { tx.scan(EPISODES, "")? };
        Ok(Surroundings::of(tx.scan(SILENCES, "")?, episodes, tx.scan(FLAPS, "")?, now_wall))
    }

    pub fn view(view: &View, now_wall: i64) -> Result<Surroundings, StoreError> {
        Ok(Surroundings::of(view.scan(SILENCES, "")?, view.scan(EPISODES, "")?, view.scan(FLAPS, "")?, now_wall))
    }

    fn of(
        silences: Vec<(String, Silence)>,
        episodes: Vec<(String, Episode)>,
        flaps: Vec<(String, Flap)>,
        now_wall: i64,
    ) -> Surroundings {
        let silences = silences.into_iter().filter_map(|(_, silence)| Compiled::new(silence));
        let firing = episodes.iter().filter(|(_, episode)| episode.is_firing());
        Surroundings {
            silences: silences.filter(|silence| silence.is_active(now_wall)).collect(),
            firing: firing.map(|(id, episode)| (id.clone(), routing_labels(episode))).collect(),
            flaps: flaps.into_iter().collect(),
        }
    }

    /// Why nobody is told of an alert with these labels, apart from its own course.
    pub fn hold(&self, routing: &Routing, routes: &[&Route], id: &str, labels: &Labels, now_wall: i64) -> Option<Hold> {
        if let Some(reason) = muted(routing, routes, now_wall) {
            return Some(Hold { kind: "muted", reason });
        }
        if let Some(Compiled { silence, .. }) = self.silences.iter().find(|silence| silence.matches(labels)) {
            let until = rfc3339(silence.ends_wall);
            let reason = format!("silence {} of {} until {until}: {}", silence.id, silence.author, silence.comment);
            return Some(Hold { kind: "silenced", reason });
        }
        for rule in &routing.inhibit {
            let source = self.firing.iter().find(|(other, source)| other != id && rule.hides(source, labels));
            if let Some((source, of)) = source {
                let name = of.get("alertname").map_or("", String::as_str);
                let reason = format!("inhibited by {name} ({source}) through the rule '{}'", rule.name);
                return Some(Hold { kind: "inhibited", reason });
            }
        }
        None
    }

    /// The ids of everything that inhibits an alert.
    pub fn hiding(&self, routing: &Routing, id: &str, labels: &Labels) -> Vec<&str> {
        let hides =
            |other: &str, source: &Labels| other != id && routing.inhibit.iter().any(|rule| rule.hides(source, labels));
        self.firing.iter().filter(|(other, source)| hides(other, source)).map(|(other, _)| other.as_str()).collect()
    }

    pub fn flap(&self, episode: &Episode) -> Option<&Flap> {
        self.flaps.get(&instance_key(&episode.rule, &episode.instance))
    }

    /// Why nobody is told of an episode. What is over is told whoever wishes quiet: somebody waits for it.
    pub fn hold_episode(&self, routing: &Routing, routes: &[&Route], episode: &Episode, now_wall: i64) -> Option<Hold> {
        if episode.is_firing()
            && let Some(name) = episode
                .extra
                .mute
                .iter()
                .find(|name| routing.interval(name).is_some_and(|interval| interval.contains(now_wall)))
        {
            return Some(Hold { kind: "muted", reason: format!("its rule is muted by '{name}'") });
        }
        if episode.is_firing()
            && let Some(hold) = self.hold(routing, routes, &episode.id, &routing_labels(episode), now_wall)
        {
            return Some(hold);
        }
        let flap = self.flap(episode)?;
        let until = flap::unstable_until(flap, now_wall).filter(|_| flap.announced)?;
        let reason = format!("{} (until {} at the earliest)", flap::text(flap), rfc3339(until));
        Some(Hold { kind: "flapping", reason })
    }
}

/// Why all of the routes are quiet at this time.
fn muted(routing: &Routing, routes: &[&Route], now_wall: i64) -> Option<String> {
    let mut last = None;
    for route in routes {
        let within = |name: &&String| routing.interval(name).is_some_and(|interval| interval.contains(now_wall));
        let until = |name: &str| {
            let change = routing.interval(name).and_then(|interval| interval.next_change(now_wall));
            change.map_or(String::new(), |at| format!(" until {}", rfc3339(at)))
        };
        last = match (route.mute.iter().find(within), route.active.first()) {
            (Some(name), _) => Some(format!("{} is muted by '{name}'{}", route.title(), until(name))),
            (None, Some(first)) if !route.active.iter().any(|name| within(&name)) => {
                Some(format!("{} is active only within '{}'{}", route.title(), route.active.join("', '"), until(first)))
            }
            _ => return None,
        };
    }
    last
}

fn key(episode: &str, receiver: &str) -> String {
    format!("{episode}\0{receiver}")
}

/// Notes why a receiver is not told; the same reason again is the same note.
pub fn note(tx: &Tx, episode: &str, receiver: &str, hold: &Hold, now_wall: i64) -> Result<(), StoreError> {
    let key = key(episode, receiver);
    let mut reasons = tx.get(WHY_NOT, &key)?.unwrap_or_default();
    match reasons.last() {
        Some(last) if last.kind == hold.kind && last.ended_wall.is_none() => return Ok(()),
        _ => {}
    }
    tracing::info!(episode, receiver, kind = hold.kind, reason = hold.reason, "nobody is told");
    metrics::counter!("logweir_notifications_suppressed_total", "reason" => hold.kind).increment(1);
    let (kind, reason) = (hold.kind.to_owned(), hold.reason.clone());
    reasons.push(Suppression { kind, reason, since_wall: now_wall, ended_wall: None });
    if reasons.len() > REASONS_MAX {
        reasons.remove(0);
    }
    tx.put(WHY_NOT, &key, &reasons)
}

/// The receiver is told after all.
pub fn end(tx: &Tx, episode: &str, receiver: &str, now_wall: i64) -> Result<(), StoreError> {
    let key = key(episode, receiver);
    let Some(mut reasons) = tx.get(WHY_NOT, &key)? else { return Ok(()) };
    match reasons.last_mut() {
        Some(last) if last.ended_wall.is_none() => last.ended_wall = Some(now_wall),
        _ => return Ok(()),
    }
    tx.put(WHY_NOT, &key, &reasons)
}

//! Groups: episodes that are told together, and when.
//!
//! The first message waits `group_wait`, so that alerts with one cause arrive as one; later ones are at least
//! `group_interval` apart; an unchanged group is repeated after `repeat_interval`. When a group is due, everybody in it is
//! judged anew: what is silenced, muted, inhibited or flapping stays in the group and is told when that is over, if it
//! still fires. What was told as firing is told as over, whatever is silenced by then.

use std::collections::{BTreeMap, BTreeSet};

use logweir_rules::model::Labels;

use super::file::Routing;
use super::standing::{self, Hold, Surroundings};
use super::tree::{Escalation, Route};
use super::{flap, storm};
use crate::evaluate::instance_key;
use crate::notify::outbox;
use crate::state::records::{Flap, StormState};
use crate::state::store::{EPISODES, FLAPS, GROUPS, STORM, StoreError, Tx};
use crate::state::{Episode, Member, NotifyGroup, RowKind};

/// What happened to an episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Opened,
    Changed,
    Closed,
}

/// What a group does now, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Send(Why),
    Wait {
        until_wall: i64,
    },
    /// Nothing fires and everything is told: the group ends.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    First,
    Changed,
    Resolved,
    Repeat,
}

/// What is suppressed is looked at again after this, at the latest.
const RECHECK_NS: i64 = 10 * 1_000_000_000;

/// Decides about a group at a wall time.
pub fn decide(group: &NotifyGroup, now_wall: i64) -> Decision {
    let dirty = group.members.values().any(|member| member.dirty);
    let firing = group.members.values().any(|member| member.firing);
    if !dirty && !firing {
        return Decision::End;
    }
    if let Some(until_wall) = group.held_until_wall.filter(|until| now_wall < *until) {
        return Decision::Wait { until_wall };
    }
    if dirty {
        let due = group.next_flush_wall.unwrap_or(now_wall);
        if now_wall < due {
            return Decision::Wait { until_wall: due };
        }
        return Decision::Send(match (group.last_flush_wall, firing) {
            (None, _) => Why::First,
            (_, true) => Why::Changed,
            (_, false) => Why::Resolved,
        });
    }
    let due = group.last_flush_wall.unwrap_or(now_wall).saturating_add(group.repeat_ns);
    if now_wall < due { Decision::Wait { until_wall: due } } else { Decision::Send(Why::Repeat) }
}

/// When a group has to be looked at next.
pub fn due_wall(group: &NotifyGroup, routing: &Routing, now_wall: i64) -> i64 {
    let due = match decide(group, now_wall) {
        Decision::Wait { until_wall } => until_wall,
        Decision::Send(_) | Decision::End => now_wall,
    };
    escalation_due(group, routing).map_or(due, |(at, _)| at.min(due))
}

/// The next step of the escalation, and when it is taken.
fn escalation_due<'a>(group: &NotifyGroup, routing: &'a Routing) -> Option<(i64, &'a Escalation)> {
    let step = routing.route(&group.route)?.escalate.get(usize::try_from(group.escalated).ok()?)?;
    Some((group.first_flush_wall?.saturating_add(step.after_ns), step))
}

/// Puts an episode into the groups of its routes, in the transaction that changes the episode.
pub fn place(tx: &Tx, routing: &Routing, episode: &mut Episode, event: Event, now_wall: i64) -> Result<(), StoreError> {
    let mut placer = Placer::new(tx, routing, now_wall);
    placer.place(episode, event)?;
    placer.finish()
}

/// Places many episodes in one transaction: each group is read and written once.
pub struct Placer<'a> {
    tx: &'a Tx,
    routing: &'a Routing,
    now_wall: i64,
    groups: BTreeMap<String, Option<NotifyGroup>>,
    storm: Option<StormState>,
}

impl<'a> Placer<'a> {
    pub fn new(tx: &'a Tx, routing: &'a Routing, now_wall: i64) -> Placer<'a> {
        Placer { tx, routing, now_wall, groups: BTreeMap::new(), storm: None }
    }

    /// The caller writes the episode.
    pub fn place(&mut self, episode: &mut Episode, event: Event) -> Result<(), StoreError> {
        let became_unstable = self.flap(episode, event)?;
        if event == Event::Closed {
            return self.close(episode);
        }
        let labels = routing_labels(episode);
        let stormy = event == Event::Opened && self.stormy(&labels)?;
        for route in self.routing.root.matching(&labels) {
            let key = if stormy { storm_key(&route.receiver) } else { route.group_key(&labels) };
            let mut group = match self.take(&key)? {
                Some(group) if stormy => group,
                Some(group) => with_times(group, route),
                None if stormy => storm_group(key.clone(), &route.receiver, self.now_wall),
                None => new_group(key.clone(), route, &labels, self.now_wall),
            };
            add(&mut group, &episode.id, self.now_wall);
            if became_unstable {
                // It would resolve again before anybody hears of it.
                group.next_flush_wall = Some(self.now_wall);
            }
            self.groups.insert(key.clone(), Some(group));
            if !episode.groups.contains(&key) {
                episode.groups.push(key);
            }
        }
        if event == Event::Changed {
            // Groups that its new severity does not lead to still hear of the change.
            for key in &episode.groups {
                if let Some(mut group) = self.take(key)? {
                    add(&mut group, &episode.id, self.now_wall);
                    self.groups.insert(key.clone(), Some(group));
                }
            }
        }
        Ok(())
    }

    pub fn finish(self) -> Result<(), StoreError> {
        for (key, group) in &self.groups {
            match group {
                Some(group) => self.tx.put(GROUPS, key, group)?,
                None => self.tx.delete(GROUPS, key)?,
            }
        }
        match &self.storm {
            Some(state) => self.tx.put(STORM, "now", state),
            None => Ok(()),
        }
    }

    /// Takes a group out; whoever takes it puts it back.
    fn take(&mut self, key: &str) -> Result<Option<NotifyGroup>, StoreError> {
        match self.groups.remove(key) {
            Some(Some(group)) => Ok(Some(group)),
            Some(None) => {
                self.groups.insert(key.to_owned(), None);
                Ok(None)
            }
            None => self.tx.get(GROUPS, key),
        }
    }

    /// Notes a change for the detection of flapping; answers whether it flaps and nobody was told so.
    fn flap(&self, episode: &mut Episode, event: Event) -> Result<bool, StoreError> {
        let every_ns = episode.extra.every_ns;
        let at = match event {
            Event::Opened => episode.opened_at,
            Event::Closed => episode.closed_at.unwrap_or(self.now_wall),
            Event::Changed => return Ok(false),
        };
        if every_ns <= 0 {
            return Ok(false);
        }
        let key = instance_key(&episode.rule, &episode.instance);
        let mut flap = self.tx.get(FLAPS, &key)?.unwrap_or_default();
        flap::note(&mut flap, at, every_ns);
        self.tx.put(FLAPS, &key, &flap)?;
        if flap.flapping {
            episode.extra.flapping = Some(flap::text(&flap));
        }
        Ok(flap.flapping && !flap.announced)
    }

    /// Whether an episode that opens is only counted.
    fn stormy(&mut self, labels: &Labels) -> Result<bool, StoreError> {
        let Some(storm) = &self.routing.storm else { return Ok(false) };
        let mut state = match self.storm.take() {
            Some(state) => state,
            None => self.tx.get(STORM, "now")?.unwrap_or_default(),
        };
        let before = state.until_wall > self.now_wall;
        let stormy = storm::opened(&mut state, storm, self.now_wall);
        if stormy && !before {
            tracing::warn!("a storm of alerts: receivers get one digest a minute until it is over");
        }
        self.storm = Some(state);
        Ok(stormy && !storm.always_pass.iter().any(|matcher| matcher.matches(labels)))
    }

    fn close(&mut self, episode: &Episode) -> Result<(), StoreError> {
        for key in &episode.groups {
            let Some(mut group) = self.take(key)? else { continue };
            let Some(member) = group.members.get_mut(&episode.id) else {
                self.groups.insert(key.clone(), Some(group));
                continue;
            };
            if member.told {
                *member = Member { firing: false, dirty: true, told: true };
                group.held_until_wall = None;
                schedule(&mut group, self.now_wall);
            } else {
                // It fired and resolved within the waiting time: nobody heard of it, so nobody needs to hear of its end.
                group.members.remove(&episode.id);
                let reason = "it was over before anybody was to be told".to_owned();
                let hold = Hold { kind: "short", reason };
                standing::note(self.tx, &episode.id, &group.receiver, &hold, self.now_wall)?;
            }
            let left = !group.members.is_empty();
            self.groups.insert(key.clone(), left.then_some(group));
        }
        Ok(())
    }
}

/// The labels that routes see: those of the alert and its severity.
pub fn routing_labels(episode: &Episode) -> Labels {
    let mut labels = episode.labels.clone();
    labels.insert("severity".to_owned(), episode.severity.to_string());
    labels
}

fn new_group(key: String, route: &Route, labels: &Labels, now_wall: i64) -> NotifyGroup {
    let group = NotifyGroup::new(key, &route.receiver, route.group_labels(labels), now_wall);
    with_times(NotifyGroup { route: route.path.clone(), ..group }, route)
}

fn with_times(group: NotifyGroup, route: &Route) -> NotifyGroup {
    NotifyGroup {
        wait_ns: route.group_wait_ns,
        interval_ns: route.group_interval_ns,
        repeat_ns: route.repeat_interval_ns,
        ..group
    }
}

fn storm_key(receiver: &str) -> String {
    blake3::hash(format!("storm\0{receiver}").as_bytes()).to_hex()[..32].to_owned()
}

fn storm_group(key: String, receiver: &str, now_wall: i64) -> NotifyGroup {
    NotifyGroup {
        wait_ns: storm::DIGEST_WAIT_NS,
        interval_ns: storm::DIGEST_EVERY_NS,
        kind: RowKind::Storm,
        ..NotifyGroup::new(key, receiver, Labels::new(), now_wall)
    }
}

/// Adds a firing episode, or marks it as changed.
pub(crate) fn add(group: &mut NotifyGroup, episode: &str, now_wall: i64) {
    let told = group.members.get(episode).is_some_and(|member| member.told);
    group.members.insert(episode.to_owned(), Member { firing: true, dirty: true, told });
    group.held_until_wall = None;
    schedule(group, now_wall);
}

fn schedule(group: &mut NotifyGroup, now_wall: i64) {
    let due = match group.last_flush_wall {
        None => now_wall.saturating_add(group.wait_ns),
        Some(last) => last.saturating_add(group.interval_ns).max(now_wall),
    };
    group.next_flush_wall = Some(group.next_flush_wall.map_or(due, |next| next.min(due)));
}

/// Turns every group that is due into messages. Answers when the next one is.
pub fn flush(tx: &Tx, routing: &Routing, now_wall: i64) -> Result<Option<i64>, StoreError> {
    let mut surroundings = None;
    for (key, mut group) in tx.scan(GROUPS, "")? {
        if due_wall(&group, routing, now_wall) > now_wall {
            continue;
        }
        if surroundings.is_none() {
            surroundings = Some(Surroundings::load(tx, routing, now_wall)?);
        }
        let Some(around) = &surroundings else { continue };
        if let Decision::Send(why) = decide(&group, now_wall) {
            send(tx, routing, around, &mut group, why, now_wall)?;
        }
        escalate(tx, routing, &mut group, now_wall)?;
        if group.members.is_empty() || decide(&group, now_wall) == Decision::End {
            tx.delete(GROUPS, &key)?;
        } else {
            tx.put(GROUPS, &key, &group)?;
        }
    }
    // An escalation made new groups, so they are looked at again.
    Ok(tx.scan(GROUPS, "")?.iter().map(|(_, group)| due_wall(group, routing, now_wall)).min())
}

/// Decides who of a group that is due is told, and makes the messages.
fn send(
    tx: &Tx,
    routing: &Routing,
    around: &Surroundings,
    group: &mut NotifyGroup,
    why: Why,
    now_wall: i64,
) -> Result<(), StoreError> {
    let mut chosen = BTreeSet::new();
    let mut news = false;
    let mut gone = Vec::new();
    for (id, member) in &group.members {
        let Some(mut episode) = tx.get(EPISODES, id)? else {
            gone.push(id.clone());
            continue;
        };
        if let Some(hold) = hold(routing, around, group, &episode, why, now_wall) {
            standing::note(tx, id, &group.receiver, &hold, now_wall)?;
            continue;
        }
        standing::end(tx, id, &group.receiver, now_wall)?;
        announce_flap(tx, around, &mut episode, now_wall)?;
        news |= member.dirty || why == Why::Repeat;
        chosen.insert(id.clone());
    }
    group.members.retain(|id, _| !gone.contains(id));
    let mut held = false;
    for (id, member) in &group.members {
        held |= !chosen.contains(id) && (member.dirty || why == Why::Repeat);
    }
    group.held_until_wall = held.then(|| now_wall.saturating_add(RECHECK_NS));
    if !news {
        return Ok(());
    }
    tracing::info!(group = group.key, receiver = group.receiver, why = ?why, "a message is due");
    outbox::enqueue(tx, routing, group, &chosen, now_wall)?;
    group.members.retain(|id, member| member.firing || !chosen.contains(id));
    for (id, member) in &mut group.members {
        if chosen.contains(id) {
            *member = Member { firing: true, dirty: false, told: true };
        }
    }
    group.seq += 1;
    group.first_flush_wall.get_or_insert(now_wall);
    group.last_flush_wall = Some(now_wall);
    group.next_flush_wall = None;
    Ok(())
}

fn hold(
    routing: &Routing,
    around: &Surroundings,
    group: &NotifyGroup,
    episode: &Episode,
    why: Why,
    now_wall: i64,
) -> Option<Hold> {
    // Groups that no route made, as of a receiver that fails, are quiet at no time.
    let routes: Vec<&Route> = match (&group.route, group.kind) {
        (path, _) if !path.is_empty() => routing.route(path).into_iter().collect(),
        (_, RowKind::Storm) => {
            let matching = routing.root.matching(&routing_labels(episode));
            matching.into_iter().filter(|route| route.receiver == group.receiver).collect()
        }
        _ => Vec::new(),
    };
    if let Some(hold) = around.hold_episode(routing, &routes, episode, now_wall) {
        return Some(hold);
    }
    let ack = episode.acked(now_wall).filter(|_| why == Why::Repeat)?;
    Some(Hold { kind: "acked", reason: format!("not repeated: {} has it in hand", ack.by) })
}

/// What flaps is said to flap once.
fn announce_flap(tx: &Tx, around: &Surroundings, episode: &mut Episode, now_wall: i64) -> Result<(), StoreError> {
    let Some(flap) = around.flap(episode) else { return Ok(()) };
    if flap::unstable_until(flap, now_wall).is_some() {
        let key = instance_key(&episode.rule, &episode.instance);
        return tx.put(FLAPS, &key, &Flap { announced: true, ..flap.clone() });
    }
    if episode.extra.flapping.take().is_some() {
        tx.put(EPISODES, &episode.id, episode)?;
    }
    Ok(())
}

/// Tells somebody else of what nobody took in hand.
fn escalate(tx: &Tx, routing: &Routing, group: &mut NotifyGroup, now_wall: i64) -> Result<(), StoreError> {
    while let Some((at, step)) = escalation_due(group, routing) {
        if now_wall < at {
            break;
        }
        group.escalated += 1;
        let hash = blake3::hash(format!("escalate\0{}\0{}", group.thread(), group.escalated).as_bytes());
        let key = hash.to_hex()[..32].to_owned();
        let mut other = NotifyGroup {
            interval_ns: group.interval_ns,
            repeat_ns: group.repeat_ns,
            kind: RowKind::Escalation,
            ..NotifyGroup::new(key.clone(), &step.receiver, group.labels.clone(), now_wall)
        };
        for (id, _) in group.members.iter().filter(|(_, member)| member.firing && member.told) {
            let Some(mut episode) = tx.get(EPISODES, id)? else { continue };
            if step.unless_acked && episode.acked(now_wall).is_some() {
                continue;
            }
            add(&mut other, id, now_wall);
            episode.groups.push(key.clone());
            tx.put(EPISODES, id, &episode)?;
        }
        if !other.members.is_empty() {
            tracing::warn!(group = group.key, receiver = step.receiver, "nobody took it in hand: escalated");
            tx.put(GROUPS, &key, &other)?;
        }
    }
    Ok(())
}

/// Somebody wishes quiet, or no longer: what is held is decided anew.
pub fn reconsider(tx: &Tx) -> Result<(), StoreError> {
    for (key, mut group) in tx.scan(GROUPS, "")? {
        if group.held_until_wall.take().is_some() {
            tx.put(GROUPS, &key, &group)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn group() -> NotifyGroup {
        let group = NotifyGroup::new("k".into(), "r", Labels::new(), 0);
        NotifyGroup { wait_ns: 30 * S, interval_ns: 300 * S, repeat_ns: 3600 * S, ..group }
    }

    #[test]
    fn a_group_waits_sends_and_repeats() {
        let mut g = group();
        add(&mut g, "e1", 0);
        assert_eq!(decide(&g, 0), Decision::Wait { until_wall: 30 * S });
        // A second episode does not push the first message back.
        add(&mut g, "e2", 20 * S);
        assert_eq!(decide(&g, 30 * S), Decision::Send(Why::First));
        for member in g.members.values_mut() {
            *member = Member { firing: true, dirty: false, told: true };
        }
        (g.last_flush_wall, g.next_flush_wall) = (Some(30 * S), None);
        assert_eq!(decide(&g, 31 * S), Decision::Wait { until_wall: 3630 * S });
        assert_eq!(decide(&g, 3630 * S), Decision::Send(Why::Repeat));
        add(&mut g, "e3", 40 * S);
        assert_eq!(decide(&g, 40 * S), Decision::Wait { until_wall: 330 * S });
        assert_eq!(decide(&g, 330 * S), Decision::Send(Why::Changed));
        for member in g.members.values_mut() {
            *member = Member { firing: false, dirty: true, told: true };
        }
        assert_eq!(decide(&g, 330 * S), Decision::Send(Why::Resolved));
        g.members.clear();
        assert_eq!(decide(&g, 0), Decision::End);
    }
}

//! Lines that come after their time was evaluated.
//!
//! The steps of the last hour are done again from a remembered state, with the lines as they are now. An alert that
//! fires in the second run and did not in the first opens an episode that says how late it is. What fired in the first
//! run is never taken back: somebody was told of it.

use std::collections::{BTreeMap, HashMap, VecDeque};

use logweir_rules::evaluate::{Change, Phase, RuleState, Transition};
use logweir_rules::model::{Labels, LineTime, Rule};
use logweir_rules::schedule;

use super::ask::{self, Counted};
use super::past::Past;
use super::runner::{Runner, Shared, decide};
use super::scene::Scene;
use crate::source::Arrival;

/// Lines that come later than this after their time change nothing any more; they are counted.
pub const LATE_HORIZON_NS: i64 = 3600 * 1_000_000_000;
/// A group looks back at most this often.
const AGAIN_EVERY_NS: i64 = 30 * 1_000_000_000;
/// States are remembered at this distance.
const CHECKPOINT_EVERY_NS: i64 = 600 * 1_000_000_000;

/// From when to when an instance fired.
#[derive(Debug, Clone, PartialEq)]
struct Life {
    rule: String,
    labels: Labels,
    from: i64,
    to: i64,
}

/// What a group remembers of its last hour.
#[derive(Debug, Default)]
pub(super) struct Journal {
    checkpoints: VecDeque<(i64, HashMap<String, RuleState>)>,
    lives: Vec<Life>,
    /// Event time and wall time of the steps.
    steps: VecDeque<(i64, i64)>,
    /// Late lines from this time on were seen and not looked at yet.
    pending: Option<i64>,
    /// Arrivals up to this number were seen.
    seen: u64,
    again_wall: i64,
}

/// What the second run found, by rule.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) rules: BTreeMap<String, LateRule>,
}

#[derive(Debug, Default)]
pub(super) struct LateRule {
    pub(super) state: RuleState,
    /// Episodes that the first run did not have.
    pub(super) transitions: Vec<Transition>,
}

impl Journal {
    /// Remembers the states after the step at `at`, now and then.
    pub(super) fn checkpoint(&mut self, at: i64, states: &HashMap<String, RuleState>) {
        if self.checkpoints.back().is_none_or(|(last, _)| at.saturating_sub(*last) >= CHECKPOINT_EVERY_NS) {
            self.checkpoints.push_back((at, states.clone()));
        }
        let oldest = at.saturating_sub(LATE_HORIZON_NS);
        while self.checkpoints.get(1).is_some_and(|(second, _)| *second <= oldest) {
            self.checkpoints.pop_front();
        }
        self.lives.retain(|life| life.to >= oldest);
        while self.steps.front().is_some_and(|(step, _)| *step < oldest) {
            self.steps.pop_front();
        }
    }

    pub(super) fn stepped(&mut self, at: i64, now_wall: i64) {
        self.steps.push_back((at, now_wall));
    }

    pub(super) fn note(&mut self, rule: &Rule, transitions: &[Transition]) {
        for transition in transitions {
            let Some(from) = transition.fired_at else { continue };
            let Transition { labels, .. } = transition;
            match transition.change {
                Change::Fired => {
                    let (rule, labels) = (rule.name.clone(), labels.clone());
                    self.lives.push(Life { rule, labels, from, to: i64::MAX });
                }
                Change::Resolved => {
                    let own = |life: &&mut Life| life.rule == rule.name && life.labels == *labels && life.from == from;
                    self.lives.iter_mut().filter(own).for_each(|life| life.to = transition.at);
                }
                _ => {}
            }
        }
    }

    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// The event time from which steps have to be done again, when it is time to.
    pub(super) fn late_from(&mut self, arrivals: &[Arrival], now_wall: i64) -> Option<i64> {
        let oldest = now_wall.saturating_sub(LATE_HORIZON_NS);
        for arrival in arrivals {
            // The last step that was evaluated before the lines were there.
            let blind = self.steps.iter().rev().find(|(_, wall)| *wall <= arrival.wall).map(|(step, _)| *step);
            if blind.is_some_and(|step| arrival.oldest_ns < step) {
                if arrival.oldest_ns < oldest {
                    metrics::counter!("logweir_alerting_late_dropped_total").increment(1);
                }
                if arrival.newest_ns < oldest {
                    continue;
                }
                let from = arrival.oldest_ns.max(oldest);
                self.pending = Some(self.pending.map_or(from, |known| known.min(from)));
            }
        }
        self.seen = arrivals.last().map_or(self.seen, |arrival| arrival.number);
        if now_wall.saturating_sub(self.again_wall) < AGAIN_EVERY_NS {
            return None;
        }
        let from = self.pending.take()?;
        self.again_wall = now_wall;
        Some(from)
    }

    /// Whether it was told that an instance fired at some time between the two. What is found to have gone on for
    /// longer, as more lines come, stays one episode.
    fn knew(&mut self, rule: &str, labels: &Labels, (from, to): (i64, i64), cursor: i64) -> bool {
        let own = |life: &&mut Life| life.rule == rule && life.labels == *labels && life.from <= to && from <= life.to;
        let mut known = false;
        for life in self.lives.iter_mut().filter(own) {
            life.to = life.to.max(to.min(cursor));
            known = true;
        }
        known
    }

    /// The states of the second run are those from which a third begins.
    fn renew(&mut self, rule: &str, states: Vec<(i64, RuleState)>) {
        for (at, state) in states {
            let own = self.checkpoints.iter_mut().find(|(known, _)| *known == at);
            own.into_iter().for_each(|(_, all)| drop(all.insert(rule.to_owned(), state.clone())));
        }
    }
}

/// Does the steps after `from` again, up to the cursor. `None`: it cannot be done now.
pub(super) async fn again(runner: &mut Runner, shared: &Shared, from: i64, cursor: i64) -> Option<Found> {
    let journal = &runner.journal;
    let before = journal.checkpoints.iter().rev().find(|(at, _)| *at < from).or(journal.checkpoints.front());
    let (begin, states) = before.cloned()?;
    let group = std::sync::Arc::clone(&runner.group);
    let offset_ns = schedule::offset_ns(&group.name, group.every_ns);
    let mut found = Found::default();
    let marks = shared.hosts();
    // Rules with the same filter share what is asked for.
    let mut past = Past::default();
    // By the receive time no line is late.
    let rules = || group.rules.iter().filter(|rule| rule.time == LineTime::Event);
    rules().for_each(|rule| past.want(&group, rule, (begin, cursor)));
    past.fetch(&*shared.source, usize::MAX).await.ok()?;
    for rule in rules() {
        let mut state = states.get(&rule.name).cloned().unwrap_or_default();
        let (mut transitions, mut passed) = (Vec::new(), Vec::new());
        let mut at = schedule::next_after(begin, group.every_ns, offset_ns);
        let mut windows = past.windows(rule);
        while at <= cursor {
            let mut counted = Counted::Past(&mut windows);
            let given = ask::given(&*shared.source, &mut counted, &group, rule, &mut state, at).await;
            if given.is_err() {
                return None;
            }
            let scene = Scene::look(&marks, &group, at, shared.clock.now_ns(), shared.started_wall);
            let scene = shared.informed(scene, &group);
            transitions.extend(decide(rule, &mut state, at, &given, &scene).transitions);
            if runner.journal.checkpoints.iter().any(|(known, _)| *known == at) {
                passed.push((at, state.clone()));
            }
            at = schedule::next_after(at, group.every_ns, offset_ns);
        }
        runner.journal.renew(&rule.name, passed);
        let new = unknown(&mut runner.journal, rule, transitions, (runner.states.get(&rule.name), cursor));
        let first = runner.states.get(&rule.name).cloned().unwrap_or_default();
        let state = merged(first, state, &new);
        found.rules.insert(rule.name.clone(), LateRule { state, transitions: new });
    }
    Some(found)
}

/// The episodes of the second run that the first did not have: where each began, and where it ended.
fn unknown(
    journal: &mut Journal,
    rule: &Rule,
    transitions: Vec<Transition>,
    (first, cursor): (Option<&RuleState>, i64),
) -> Vec<Transition> {
    let mut new = Vec::new();
    for transition in &transitions {
        let Some(from) = transition.fired_at.filter(|_| transition.change == Change::Fired) else { continue };
        let end = transitions.iter().find(|other| {
            other.change == Change::Resolved && other.labels == transition.labels && other.fired_at == Some(from)
        });
        let to = end.map_or(i64::MAX, |end| end.at);
        let fires = first.and_then(|state| state.instances.get(&transition.labels));
        let known = journal.knew(&rule.name, &transition.labels, (from, to), cursor)
            || fires.and_then(|instance| instance.fired_at).is_some_and(|fired| fired <= to);
        if !known {
            new.push(transition.clone());
            new.extend(end.cloned());
        }
    }
    new
}

/// The state of the second run, with everything that fires in the first, and nothing that fires without an episode.
fn merged(first: RuleState, mut second: RuleState, new: &[Transition]) -> RuleState {
    second.instances.retain(|labels, instance| {
        let opened = |t: &Transition| t.labels == *labels && t.fired_at == instance.fired_at;
        instance.phase == Phase::Pending || new.iter().any(opened)
    });
    for (labels, instance) in first.instances {
        if instance.phase != Phase::Pending {
            second.instances.insert(labels, instance);
        }
    }
    second
}

#[cfg(test)]
mod tests;

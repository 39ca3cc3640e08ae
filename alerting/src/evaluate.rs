//! The scheduler: every group at its event times, one after the other, each step whole or not at all.
//!
//! The cursor of a group is the event time of its last step and is committed with what the step changed. After a
//! downtime the missed steps are evaluated in order, so `for` and the episodes come out as if nothing had happened;
//! messages are held meanwhile.

mod ask;
mod commit;
mod draft;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use logweir_rules::evaluate::{self as machine, Input, Observation, RuleState};
use logweir_rules::model::{Group, Labels, RuleSet};
use logweir_rules::schedule;
use logweir_runtime::clock::Clock;

use crate::notify::template::Renderer;
use crate::service::{Live, RuleStatus};
use crate::source::{QueryError, QuerySource};
use crate::state::store::{CURSORS, INSTANCES, RULES, SEEN, Store, StoreError};

pub use draft::{Links, episode_id};

/// Longest past that is evaluated after a downtime; what is before is skipped, and said.
pub const CATCH_UP_MAX_NS: i64 = 6 * 3600 * 1_000_000_000;
/// A step waits this long for a store that is not available before it counts as failed.
pub const UNAVAILABLE_HOLD_NS: i64 = 120 * 1_000_000_000;
/// A cursor that is further in the future than this was made by a clock that was wrong.
const CLOCK_BACK_NS: i64 = 60 * 1_000_000_000;
/// Steps of one group in one go, so that a group that catches up does not keep the others waiting.
const STEPS_AT_ONCE: usize = 20;

/// What one round of the scheduler found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// Wall time at which something is due next.
    pub next_wall: i64,
    /// Steps are still missing: the present is not reached.
    pub behind: bool,
}

pub struct Evaluator {
    store: Store,
    source: Arc<dyn QuerySource>,
    clock: Clock,
    live: Arc<Live>,
    links: Links,
    renderer: Renderer,
    rules: Arc<RuleSet>,
    states: HashMap<String, RuleState>,
    cursors: HashMap<String, i64>,
}

enum StepEnd {
    Done,
    /// The store of logs is not available: the step is tried again.
    Held,
}

impl Evaluator {
    /// Loads what was known when the process ended.
    pub(crate) fn load(
        store: Store,
        source: Arc<dyn QuerySource>,
        clock: Clock,
        live: Arc<Live>,
    ) -> Result<Evaluator, StoreError> {
        let links = Links { base_url: live.base_url.clone() };
        let (states, cursors) = store.read(|view| {
            let cursors = view.scan(CURSORS, "")?.into_iter().collect();
            let mut states: HashMap<String, RuleState> = HashMap::new();
            for (rule, memory) in view.scan(RULES, "")? {
                states.insert(rule, RuleState { by: memory.by, seeded: memory.seeded, ..RuleState::default() });
            }
            for (key, instance) in view.scan(INSTANCES, "")? {
                let Some((rule, labels)) = split_key(&key) else { continue };
                states.entry(rule).or_default().instances.insert(labels, instance);
            }
            for (key, seen) in view.scan(SEEN, "")? {
                let Some((rule, labels)) = split_key(&key) else { continue };
                states.entry(rule).or_default().seen.insert(labels, seen);
            }
            Ok((states, cursors))
        })?;
        let rules = Arc::new(RuleSet::default());
        let renderer = Renderer::default();
        Ok(Evaluator { store, source, clock, live, links, renderer, rules, states, cursors })
    }

    /// Takes over a rule set. State is kept by the name of the rule; what belongs to no rule any more is closed.
    pub(crate) async fn set_rules(&mut self, rules: Arc<RuleSet>) -> Result<(), StoreError> {
        let now_wall = self.clock.now_ns();
        let gone: Vec<String> = self.states.keys().filter(|name| rules.rule(name).is_none()).cloned().collect();
        let mut work = commit::Work::new(None, now_wall);
        for name in &gone {
            let Some(before) = self.states.get(name) else { continue };
            let mut after = before.clone();
            let outcome = machine::remove(&mut after, now_wall);
            work.drafts.extend(outcome.transitions.iter().filter_map(|t| draft::close(name, t, now_wall)));
            work.state(name, before, &after);
            work.forget_rule(name);
        }
        if !gone.is_empty() {
            let routing = self.live.routing();
            self.store.write_async(move |tx| work.apply(tx, routing.as_deref())).await?;
            self.states.retain(|name, _| !gone.contains(name));
        }
        self.rules = rules;
        self.live.wake.notify_one();
        Ok(())
    }

    /// Evaluates every step that is due.
    pub(crate) async fn round(&mut self) -> Result<Round, StoreError> {
        let mut round = Round { next_wall: i64::MAX, behind: false };
        for group in self.rules.groups.clone() {
            let (due_wall, behind) = self.group_round(&group).await?;
            round.next_wall = round.next_wall.min(due_wall);
            round.behind |= behind;
        }
        Ok(round)
    }

    async fn group_round(&mut self, group: &Arc<Group>) -> Result<(i64, bool), StoreError> {
        let offset_ns = schedule::offset_ns(&group.name, group.every_ns);
        for _ in 0..STEPS_AT_ONCE {
            let present = self.clock.now_ns().saturating_sub(group.delay_ns);
            let cursor = self.cursor(group, present, offset_ns);
            let at = schedule::next_after(cursor, group.every_ns, offset_ns);
            let due_wall = at.saturating_add(group.delay_ns);
            if at > present {
                return Ok((due_wall, false));
            }
            if let StepEnd::Held = self.step(group, at).await? {
                return Ok((self.clock.now_ns().saturating_add(1_000_000_000), true));
            }
        }
        Ok((self.clock.now_ns(), true))
    }

    /// The last step of the group; moved when it is too long ago to be caught up, or lies in the future.
    fn cursor(&mut self, group: &Group, present: i64, offset_ns: i64) -> i64 {
        let latest = |time: i64| schedule::latest_at(time, group.every_ns, offset_ns);
        let Some(cursor) = self.cursors.get(&group.name).copied() else {
            return latest(present).saturating_sub(group.every_ns);
        };
        let oldest = present.saturating_sub(CATCH_UP_MAX_NS);
        let moved = if cursor > present.saturating_add(CLOCK_BACK_NS) {
            tracing::warn!(group = group.name, "the clock was set back: waiting for it would leave rules unevaluated");
            latest(present)
        } else if cursor < oldest {
            let skipped_s = (oldest - cursor) / 1_000_000_000;
            tracing::warn!(
                group = group.name,
                skipped_s,
                "too long down to catch up: a part of the past is not evaluated"
            );
            metrics::counter!("logweir_alerting_skipped_seconds_total").increment(skipped_s.max(0) as u64);
            latest(oldest)
        } else {
            return cursor;
        };
        for rule in &group.rules {
            if let Some(state) = self.states.get_mut(&rule.name) {
                state.skip_gap();
            }
        }
        self.cursors.insert(group.name.clone(), moved);
        moved
    }

    /// One step of one group: all its rules at one event time, in one transaction.
    async fn step(&mut self, group: &Arc<Group>, at: i64) -> Result<StepEnd, StoreError> {
        let now_wall = self.clock.now_ns();
        let patient = now_wall.saturating_sub(at) < UNAVAILABLE_HOLD_NS.saturating_add(group.delay_ns);
        let mut work = commit::Work::new(Some((group.name.clone(), at)), now_wall);
        let mut states = Vec::new();
        let mut statuses = Vec::new();
        for rule in &group.rules {
            let before = self.states.get(&rule.name).cloned().unwrap_or_default();
            let mut after = before.clone();
            let asked = match ask::tables(&*self.source, rule, &mut after, at).await {
                Ok(tables) => {
                    let from = at.saturating_sub(group.every_ns);
                    ask::lines(&*self.source, rule, from, at).await.map(|lines| (tables, lines))
                }
                Err(error) => Err(error),
            };
            let mut status = RuleStatus { last_at: Some(at), ..RuleStatus::default() };
            let outcome = match &asked {
                Ok((tables, lines)) => {
                    let seen = Observation { lines, ..Observation::of(tables) };
                    machine::step(rule, &mut after, at, Input::Observed(&seen))
                }
                Err(QueryError::Unavailable(reason)) if patient => {
                    self.live.set_status(&rule.name, |status| status.error = Some(reason.clone()));
                    return Ok(StepEnd::Held);
                }
                Err(error) => {
                    status.error = Some(error.to_string());
                    machine::step(rule, &mut after, at, Input::Failed(&error.to_string()))
                }
            };
            if outcome.refused > 0 {
                status.error = Some(format!("{} new instances over the limit were refused", outcome.refused));
            }
            let maker = draft::Maker {
                links: &self.links,
                renderer: &self.renderer,
                source: &*self.source,
                group,
                rule,
                at,
                now_wall,
                commit: self.live.commit(),
            };
            work.drafts.extend(maker.drafts(&before, &after, &outcome).await);
            work.state(&rule.name, &before, &after);
            status.instances = after.instances.len();
            statuses.push((rule.name.clone(), status));
            states.push((rule.name.clone(), after));
        }
        let told = !work.drafts.is_empty();
        let routing = self.live.routing();
        self.store.write_async(move |tx| work.apply(tx, routing.as_deref())).await?;
        // Only what is durable may be remembered: a failed commit leaves memory as the store has it.
        self.states.extend(states);
        self.cursors.insert(group.name.clone(), at);
        for (rule, new) in statuses {
            if let Some(error) = &new.error {
                tracing::warn!(rule, error, "a rule could not be evaluated as it should");
            }
            self.live.set_status(&rule, |status| *status = new);
        }
        if told {
            self.live.wake.notify_one();
        }
        metrics::gauge!("logweir_alerting_lag_seconds", "group" => group.name.clone())
            .set(now_wall.saturating_sub(at) as f64 / 1e9);
        Ok(StepEnd::Done)
    }

    #[cfg(test)]
    pub(crate) fn states(&self) -> &HashMap<String, RuleState> {
        &self.states
    }
}

/// `rule NUL labels-as-JSON`
pub(crate) fn instance_key(rule: &str, labels: &Labels) -> String {
    // A map of strings is always JSON.
    format!("{rule}\0{}", serde_json::to_string(labels).unwrap_or_default())
}

pub(crate) fn split_key(key: &str) -> Option<(String, Labels)> {
    let (rule, labels) = key.split_once('\0')?;
    let labels: BTreeMap<String, String> = serde_json::from_str(labels).ok()?;
    Some((rule.to_owned(), labels))
}

#[cfg(test)]
mod tests;

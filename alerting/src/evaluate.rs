//! The scheduler: every group at its event times, each step whole or not at all.
//!
//! The cursor of a group is the event time of its last step and is committed with what the step changed. After a
//! downtime the missed steps are evaluated in order, so `for` and the episodes come out as if nothing had happened;
//! messages are held meanwhile. Groups take their turns side by side, a few at a time: a slow one delays only itself.

mod around;
mod ask;
mod commit;
pub(crate) mod counts;
mod draft;
mod feeds;
mod kept;
mod late;
mod past;
mod runner;
pub mod scene;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use logweir_rules::evaluate::{self as machine, RuleState};
use logweir_rules::model::{Labels, RuleSet};
use logweir_runtime::clock::Clock;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::notify::template::Renderer;
use crate::service::Live;
use crate::source::QuerySource;
use crate::state::store::{CURSORS, HOSTS, INSTANCES, PATTERNS, RULES, SEEN, SERIES, Store, StoreError, View};

pub(crate) use ask::{Counted, about, given};
pub(crate) use commit::Work;
pub(crate) use draft::{Draft, Maker};
pub use draft::{Links, episode_id};
pub(crate) use feeds::Fetched;
pub use late::LATE_HORIZON_NS;
pub(crate) use past::{Grain, Past, Windows};
pub(crate) use runner::decide;
use runner::{Runner, Shared, Turn};

/// Longest past that is evaluated after a downtime; what is before is skipped, and said.
pub const CATCH_UP_MAX_NS: i64 = 6 * 3600 * 1_000_000_000;
/// A step waits this long for a store that is not available before it counts as failed.
pub const UNAVAILABLE_HOLD_NS: i64 = 120 * 1_000_000_000;
/// Groups that are evaluated at the same time.
pub const GROUPS_AT_ONCE: usize = 8;

/// What one look at the groups found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// Wall time at which something is due next.
    pub next_wall: i64,
    /// Steps are still missing: the present is not reached.
    pub behind: bool,
}

/// A group, here or under way.
struct Slot {
    runner: Option<Box<Runner>>,
    turn: Turn,
}

type Ended = (String, Box<Runner>, Result<Turn, StoreError>);

pub struct Evaluator {
    shared: Arc<Shared>,
    slots: BTreeMap<String, Slot>,
    turns: JoinSet<Ended>,
    permits: Arc<Semaphore>,
    /// States and cursors that belong to no group in force.
    states: HashMap<String, RuleState>,
    cursors: HashMap<String, i64>,
}

/// What was known when the process ended.
fn load_states(view: &View) -> Result<HashMap<String, RuleState>, StoreError> {
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
    for (key, series) in view.scan(SERIES, "")? {
        let Some((rule, labels)) = split_key(&key) else { continue };
        states.entry(rule).or_default().series.insert(labels, series);
    }
    for (key, scope) in view.scan(PATTERNS, "")? {
        let Some((rule, labels)) = split_key(&key) else { continue };
        states.entry(rule).or_default().patterns.insert(labels, scope);
    }
    Ok(states)
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
        let (states, cursors, hosts) = store.read(|view| {
            let cursors = view.scan(CURSORS, "")?.into_iter().collect();
            Ok((load_states(view)?, cursors, view.scan(HOSTS, "")?.into_iter().collect()))
        })?;
        let (renderer, started_wall) = (Renderer::default(), clock.now_ns());
        let shared =
            Shared { store, source, clock, live, links, renderer, started_wall, hosts, seen: Mutex::default() };
        Ok(Evaluator {
            shared: Arc::new(shared),
            slots: BTreeMap::new(),
            turns: JoinSet::new(),
            permits: Arc::new(Semaphore::new(GROUPS_AT_ONCE)),
            states,
            cursors,
        })
    }

    /// Takes over a rule set. State is kept by the name of the rule; what belongs to no rule any more is closed.
    pub(crate) async fn set_rules(&mut self, rules: Arc<RuleSet>) -> Result<(), StoreError> {
        self.finish().await?;
        let mut kept = HashMap::new();
        for (name, slot) in std::mem::take(&mut self.slots) {
            let Some(runner) = slot.runner else { continue };
            self.states.extend(runner.states);
            self.cursors.extend(runner.cursor.map(|cursor| (name.clone(), cursor)));
            kept.extend(runner.kept.map(|own| (name, own)));
        }
        let closed = self.close_removed(&rules).await;
        for group in &rules.groups {
            let names = group.rules.iter().map(|rule| &rule.name);
            let states = names.filter_map(|name| self.states.remove_entry(name)).collect();
            let mut runner = Runner::new(Arc::clone(group), states, self.cursors.get(&group.name).copied());
            runner.kept = kept.remove(&group.name);
            runner.kept.iter_mut().for_each(|kept| kept.retain(group));
            let turn = Turn { next_wall: i64::MIN, behind: true };
            self.slots.insert(group.name.clone(), Slot { runner: Some(Box::new(runner)), turn });
        }
        self.shared.live.wake.notify_one();
        closed
    }

    async fn close_removed(&mut self, rules: &RuleSet) -> Result<(), StoreError> {
        let now_wall = self.shared.clock.now_ns();
        let gone: Vec<String> = self.states.keys().filter(|name| rules.rule(name).is_none()).cloned().collect();
        if gone.is_empty() {
            return Ok(());
        }
        let mut work = Work::new(None, now_wall);
        for name in &gone {
            let Some(before) = self.states.get(name) else { continue };
            let mut after = before.clone();
            let outcome = machine::remove(&mut after, now_wall);
            work.drafts.extend(outcome.transitions.iter().filter_map(|t| draft::close(name, t, now_wall)));
            work.log(name, &outcome.transitions);
            work.state(name, before, &after);
            work.forget_rule(name);
        }
        let routing = self.shared.live.routing();
        self.shared.store.write_async(move |tx| work.apply(tx, routing.as_deref())).await?;
        self.states.retain(|name, _| !gone.contains(name));
        Ok(())
    }

    /// Gives a turn to every group that is due and not under way.
    pub(crate) fn start_due(&mut self) {
        let now_wall = self.shared.clock.now_ns();
        for (name, slot) in &mut self.slots {
            if slot.turn.next_wall > now_wall {
                continue;
            }
            let Some(mut runner) = slot.runner.take() else { continue };
            let (name, shared, permits) = (name.clone(), Arc::clone(&self.shared), Arc::clone(&self.permits));
            self.turns.spawn(async move {
                let _permit = permits.acquire_owned().await;
                let turn = runner.turn(&shared).await;
                (name, runner, turn)
            });
        }
    }

    /// Waits for one group to end its turn; `None`: none is under way.
    pub(crate) async fn ended(&mut self) -> Option<Result<(), StoreError>> {
        let ended = self.turns.join_next().await?;
        Some(match ended {
            Ok((name, runner, turn)) => {
                let (turn, result) = match turn {
                    Ok(turn) => (turn, Ok(())),
                    Err(error) => (Turn { next_wall: i64::MIN, behind: true }, Err(error)),
                };
                if let Some(slot) = self.slots.get_mut(&name) {
                    *slot = Slot { runner: Some(runner), turn };
                }
                result
            }
            Err(error) => {
                tracing::error!(error = %error, "the evaluation of a group broke off");
                self.restore().await
            }
        })
    }

    /// A group was lost with its turn: it begins again from what is stored.
    async fn restore(&mut self) -> Result<(), StoreError> {
        let load = |view: &View| Ok((load_states(view)?, view.scan(CURSORS, "")?));
        let (mut states, cursors) = self.shared.store.read_async(load).await?;
        let cursors: HashMap<String, i64> = cursors.into_iter().collect();
        let rules = self.shared.live.rules();
        if self.turns.is_empty() {
            for group in rules.groups.iter() {
                let Some(slot) = self.slots.get_mut(&group.name).filter(|slot| slot.runner.is_none()) else { continue };
                let names = group.rules.iter().map(|rule| &rule.name);
                let own = names.filter_map(|name| states.remove_entry(name)).collect();
                let cursor = cursors.get(&group.name).copied();
                slot.runner = Some(Box::new(Runner::new(Arc::clone(group), own, cursor)));
            }
        }
        Ok(())
    }

    /// Waits for everything that is under way.
    async fn finish(&mut self) -> Result<(), StoreError> {
        let mut result = Ok(());
        while let Some(ended) = self.ended().await {
            result = result.and(ended);
        }
        result
    }

    /// What is due next, and whether the present is reached.
    pub(crate) fn outlook(&self) -> Round {
        let here = self.slots.values().filter(|slot| slot.runner.is_some());
        Round {
            next_wall: here.map(|slot| slot.turn.next_wall).min().unwrap_or(i64::MAX),
            behind: self.slots.values().any(|slot| slot.turn.behind),
        }
    }

    /// Evaluates every step that is due, to its end.
    #[cfg(test)]
    pub(crate) async fn round(&mut self) -> Result<Round, StoreError> {
        // A test moves the clock, and groups look at it only when it is their time.
        self.slots.values_mut().for_each(|slot| slot.turn.next_wall = i64::MIN);
        self.start_due();
        self.finish().await?;
        Ok(self.outlook())
    }

    #[cfg(test)]
    pub(crate) fn states(&self) -> HashMap<String, RuleState> {
        let runners = self.slots.values().filter_map(|slot| slot.runner.as_ref());
        let own = runners.flat_map(|runner| runner.states.clone());
        own.chain(self.states.clone()).collect()
    }

    #[cfg(test)]
    pub(crate) fn cursor(&self, group: &str) -> Option<i64> {
        self.slots.get(group)?.runner.as_ref()?.cursor
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

//! One group: its rules at its event times, each step in one transaction.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use logweir_rules::evaluate::{self as machine, Change, Input, Observation, Outcome, RuleState};
use logweir_rules::model::{Group, LineTime, Rule};
use logweir_rules::schedule;
use logweir_runtime::clock::Clock;

use super::ask::{self, Counted, Given};
use super::commit::Work;
use super::draft::{Draft, Links, Maker};
use super::kept::Kept;
use super::late::{self, Journal};
use super::scene::{Ready, Scene, ready};
use super::{CATCH_UP_MAX_NS, UNAVAILABLE_HOLD_NS};
use crate::notify::template::Renderer;
use crate::service::{Live, RuleStatus};
use crate::source::{HostMark, QueryError, QuerySource};
use crate::state::history::HISTORY_KEEP_NS;
use crate::state::store::{Store, StoreError};

/// A cursor that is further in the future than this was made by a clock that was wrong.
const CLOCK_BACK_NS: i64 = 60 * 1_000_000_000;
/// Steps of one group in one go, so that a group that catches up does not keep the others waiting.
const STEPS_AT_ONCE: usize = 20;
/// A step that changes nothing is not written; it is done again after a crash, to the same end.
const CURSOR_EVERY_NS: i64 = 30 * 1_000_000_000;
/// The sources are looked at so often, however many groups there are.
const HOSTS_EVERY_NS: i64 = 100_000_000;
const HOUR_NS: i64 = 3600 * 1_000_000_000;

/// What the groups share.
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) source: Arc<dyn QuerySource>,
    pub(super) clock: Clock,
    pub(super) live: Arc<Live>,
    pub(super) links: Links,
    pub(super) renderer: Renderer,
    pub(super) started_wall: i64,
    /// Hosts that were known when the process ended.
    pub(super) hosts: BTreeMap<String, i64>,
    /// What was last seen of them, for all groups that look at the same time.
    pub(super) seen: Mutex<Option<(i64, Arc<[HostMark]>)>>,
}

impl Shared {
    /// A scene with what is known of the time before it.
    pub(super) fn informed(&self, scene: Scene, group: &Group) -> Scene {
        let received = group.goes_by(LineTime::Ingest).then(|| self.source.received_since_ns()).flatten();
        scene.knowing(self.live.known_since()).receiving(received)
    }

    /// The hosts that are known, also those that were not heard since the start.
    pub(super) fn hosts(&self) -> Arc<[HostMark]> {
        let now_wall = self.clock.now_ns();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((wall, marks)) = &*seen
            && (0..HOSTS_EVERY_NS).contains(&now_wall.saturating_sub(*wall))
        {
            return Arc::clone(marks);
        }
        let mut marks = self.source.hosts();
        for (host, heard_wall) in &self.hosts {
            if !marks.iter().any(|mark| mark.host == *host) {
                marks.push(HostMark {
                    host: host.clone(),
                    heard_wall: *heard_wall,
                    watermark_ns: None,
                    passing: false,
                });
            }
        }
        let marks: Arc<[HostMark]> = marks.into();
        *seen = Some((now_wall, Arc::clone(&marks)));
        marks
    }
}

/// How one turn of a group ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    /// Wall time of the next one.
    pub(super) next_wall: i64,
    /// Steps are still missing.
    pub(super) behind: bool,
}

pub(super) struct Runner {
    pub(super) group: Arc<Group>,
    pub(super) states: HashMap<String, RuleState>,
    /// Event time of the last step.
    pub(super) cursor: Option<i64>,
    /// The cursor in the store.
    committed: i64,
    pub(super) kept: Option<Kept>,
    scene: Option<Scene>,
    hosts_wall: i64,
    pub(super) journal: Journal,
}

enum StepEnd {
    Done,
    /// The store of logs is not available: the step is tried again.
    Held,
}

/// One rule at one event time, by what the store said: the same in the live engine and in a backtest.
pub(crate) fn decide(
    rule: &Rule,
    state: &mut RuleState,
    at: i64,
    given: &Result<Given, QueryError>,
    scene: &Scene,
) -> Outcome {
    match given {
        Ok(given) => {
            let observation = Observation {
                tables: &given.tables,
                lines: &given.lines,
                sources: scene.sources(),
                // Nobody waits for sources where it does not matter what they have still to tell.
                coverage: scene.coverage().filter(|_| rule.time == LineTime::Event),
                known_since: scene.knows_since(rule.time),
                deploys: &given.deploys,
            };
            machine::step(rule, state, at, Input::Observed(&observation))
        }
        Err(error) => machine::step(rule, state, at, Input::Failed(&error.to_string())),
    }
}

impl Runner {
    pub(super) fn new(group: Arc<Group>, states: HashMap<String, RuleState>, cursor: Option<i64>) -> Runner {
        Runner {
            group,
            states,
            cursor,
            committed: cursor.unwrap_or(i64::MIN),
            kept: None,
            scene: None,
            hosts_wall: i64::MIN,
            journal: Journal::default(),
        }
    }

    fn offset_ns(&self) -> i64 {
        schedule::offset_ns(&self.group.name, self.group.every_ns)
    }

    /// Evaluates the steps that are due.
    pub(super) async fn turn(&mut self, shared: &Shared) -> Result<Turn, StoreError> {
        let (group, offset_ns) = (Arc::clone(&self.group), self.offset_ns());
        for _ in 0..STEPS_AT_ONCE {
            let now_wall = shared.clock.now_ns();
            let cursor = self.place(shared, now_wall.saturating_sub(group.delay_ns), offset_ns);
            let at = schedule::next_after(cursor, group.every_ns, offset_ns);
            let marks = shared.hosts();
            // After the clock was looked at: what comes from now on is of this step only if its time is not over.
            let by_receipt = group.goes_by(LineTime::Ingest);
            let upto_ns = if by_receipt { shared.source.searchable_upto_ns() } else { None };
            let scene = match ready(&group, &marks, at, (now_wall, shared.started_wall), upto_ns) {
                Ready::Now(scene) => shared.informed(scene, &group),
                Ready::Wait { until_wall } => {
                    self.look_back(shared, now_wall).await?;
                    let waits = at.saturating_add(group.max_delay_ns.max(group.delay_ns)) < now_wall;
                    return Ok(Turn { next_wall: until_wall, behind: waits });
                }
            };
            if let StepEnd::Held = self.step(shared, at, scene, &marks).await? {
                return Ok(Turn { next_wall: shared.clock.now_ns().saturating_add(1_000_000_000), behind: true });
            }
        }
        Ok(Turn { next_wall: shared.clock.now_ns(), behind: true })
    }

    /// The last step of the group; moved when it is too long ago to be caught up, or lies in the future.
    fn place(&mut self, shared: &Shared, present: i64, offset_ns: i64) -> i64 {
        let every_ns = self.group.every_ns;
        let latest = |time: i64| schedule::latest_at(time, every_ns, offset_ns);
        let Some(cursor) = self.cursor else {
            return latest(present).saturating_sub(every_ns);
        };
        let oldest = present.saturating_sub(CATCH_UP_MAX_NS);
        let group = &self.group.name;
        let moved = if cursor > present.saturating_add(CLOCK_BACK_NS) {
            tracing::warn!(group, "the clock was set back: waiting for it would leave rules unevaluated");
            latest(present)
        } else if cursor < oldest {
            let skipped_s = (oldest - cursor) / 1_000_000_000;
            tracing::warn!(group, skipped_s, "too long down to catch up: a part of the past is not evaluated");
            metrics::counter!("logweir_alerting_skipped_seconds_total").increment(skipped_s.max(0) as u64);
            shared.live.note_skipped(group, cursor, oldest);
            latest(oldest)
        } else {
            return cursor;
        };
        for state in self.states.values_mut() {
            state.skip_gap();
        }
        self.journal = Journal::default();
        self.cursor = Some(moved);
        moved
    }

    async fn kept(&mut self, shared: &Shared, at: i64) -> Result<Kept, StoreError> {
        match self.kept.take() {
            Some(kept) => Ok(kept),
            None => {
                let (store, group) = (shared.store.clone(), Arc::clone(&self.group));
                tokio::task::spawn_blocking(move || Kept::load(&store, &group, at))
                    .await
                    .map_err(|_| StoreError::Stopped)?
            }
        }
    }

    /// One step: all rules at one event time, in one transaction.
    async fn step(
        &mut self,
        shared: &Shared,
        at: i64,
        scene: Scene,
        marks: &[HostMark],
    ) -> Result<StepEnd, StoreError> {
        let now_wall = shared.clock.now_ns();
        let group = Arc::clone(&self.group);
        let patient = now_wall.saturating_sub(at) < UNAVAILABLE_HOLD_NS.saturating_add(group.delay_ns);
        let mut work = Work::new(Some((group.name.clone(), at)), now_wall);
        let mut states = Vec::new();
        let mut statuses = Vec::new();
        let mut kept = self.kept(shared, at).await?;
        kept.begin(at);
        self.journal.checkpoint(at.saturating_sub(group.every_ns), &self.states);
        for rule in &group.rules {
            let before = self.states.get(&rule.name).cloned().unwrap_or_default();
            let mut after = before.clone();
            let mut counted = Counted::Live(&mut kept);
            let given = ask::given(&*shared.source, &mut counted, &group, rule, &mut after, at).await;
            if let (Err(QueryError::Unavailable(reason)), true) = (&given, patient) {
                shared.live.set_status(&rule.name, |status| status.error = Some(reason.clone()));
                self.kept = Some(kept);
                return Ok(StepEnd::Held);
            }
            let outcome = decide(rule, &mut after, at, &given, &scene);
            statuses.push((rule.name.clone(), status(&given, &outcome, &after, at)));
            let maker = Maker {
                links: &shared.links,
                renderer: &shared.renderer,
                source: &*shared.source,
                group: &group,
                rule,
                at,
                now_wall,
                commit: shared.live.commit(),
            };
            work.drafts.extend(maker.drafts(&before, &after, &outcome).await);
            work.log(&rule.name, &outcome.transitions);
            self.journal.note(rule, &outcome.transitions);
            work.state(&rule.name, &before, &after);
            if before != after {
                states.push((rule.name.clone(), after));
            }
        }
        self.surroundings(&mut work, &mut kept, at, (scene, marks, now_wall));
        self.kept = Some(kept);
        self.commit(shared, work, at).await?;
        // Only what is durable may be remembered: a failed commit leaves memory as the store has it.
        self.states.extend(states);
        self.journal.stepped(at, now_wall);
        self.cursor = Some(at);
        for (rule, new) in statuses {
            if let Some(error) = &new.error {
                tracing::warn!(rule, error, "a rule could not be evaluated as it should");
            }
            shared.live.set_status(&rule, |status| *status = new);
        }
        metrics::gauge!("logweir_alerting_lag_seconds", "group" => group.name.clone())
            .set(now_wall.saturating_sub(at) as f64 / 1e9);
        Ok(StepEnd::Done)
    }

    /// What is stored besides the states: who had reported, hours that are over, who was heard.
    fn surroundings(&mut self, work: &mut Work, kept: &mut Kept, at: i64, seen: (Scene, &[HostMark], i64)) {
        let (scene, marks, now_wall) = seen;
        if self.scene.as_ref() != Some(&scene) {
            work.scene = Some(scene.clone());
            self.scene = Some(scene);
        }
        work.rollups = kept.seal(at);
        if self.hosts_wall.saturating_add(CURSOR_EVERY_NS) <= now_wall {
            self.hosts_wall = now_wall;
            let staying = marks.iter().filter(|mark| !mark.passing);
            work.hosts = staying.map(|mark| (mark.host.clone(), mark.heard_wall)).collect();
        }
        if at.div_euclid(HOUR_NS) != at.saturating_sub(self.group.every_ns).div_euclid(HOUR_NS) {
            work.forget_before = Some(at.saturating_sub(HISTORY_KEEP_NS));
        }
    }

    async fn commit(&mut self, shared: &Shared, work: Work, at: i64) -> Result<(), StoreError> {
        if work.is_empty() && at.saturating_sub(self.committed) < CURSOR_EVERY_NS && self.committed != i64::MIN {
            return Ok(());
        }
        let told = !work.drafts.is_empty();
        shared.live.note_caught_up(&work.drafts);
        let routing = shared.live.routing();
        shared.store.write_async(move |tx| work.apply(tx, routing.as_deref())).await?;
        self.committed = at;
        if told {
            shared.live.wake.notify_one();
        }
        Ok(())
    }

    /// Lines that came after their time was evaluated: that time is evaluated again.
    async fn look_back(&mut self, shared: &Shared, now_wall: i64) -> Result<(), StoreError> {
        let Some(cursor) = self.cursor.filter(|_| self.group.goes_by(LineTime::Event)) else { return Ok(()) };
        let arrivals = shared.source.arrivals(self.journal.seen());
        let Some(from) = self.journal.late_from(&arrivals, now_wall) else { return Ok(()) };
        let Some(found) = late::again(self, shared, from, cursor).await else { return Ok(()) };
        let mut work = Work::new(Some((self.group.name.clone(), cursor)), now_wall);
        for (rule, late) in &found.rules {
            let Some(own) = self.group.rules.iter().find(|own| own.name == *rule) else { continue };
            let maker = Maker {
                links: &shared.links,
                renderer: &shared.renderer,
                source: &*shared.source,
                group: &self.group,
                rule: own,
                at: cursor,
                now_wall,
                commit: shared.live.commit(),
            };
            for transition in &late.transitions {
                let draft = maker.late(transition, now_wall).await;
                let is_open = matches!(draft, Some(Draft::Open(_)));
                work.drafts.extend(draft);
                let mut line = crate::state::history::TransitionLine::new(rule, transition);
                line.late_ns = Some(now_wall.saturating_sub(transition.at));
                work.log_late(line);
                if is_open && transition.change == Change::Fired {
                    metrics::counter!("logweir_alerting_late_episodes_total").increment(1);
                }
            }
            self.journal.note(own, &late.transitions);
            let before = self.states.get(rule).cloned().unwrap_or_default();
            work.state(rule, &before, &late.state);
        }
        self.commit(shared, work, cursor).await?;
        self.states.extend(found.rules.into_iter().map(|(rule, late)| (rule, late.state)));
        Ok(())
    }
}

fn status(given: &Result<Given, QueryError>, outcome: &Outcome, after: &RuleState, at: i64) -> RuleStatus {
    let refused = outcome.refused;
    let error = match given {
        Err(error) => Some(error.to_string()),
        Ok(_) if refused > 0 => Some(format!("{refused} new instances over the limit were refused")),
        Ok(_) => None,
    };
    RuleStatus { last_at: Some(at), error, instances: after.instances.len(), refused }
}

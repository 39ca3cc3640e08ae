//! What rules would have done: the engine of the server over the past, with a clock that is only a number, the same
//! state machine, the same routing and grouping, and nobody who is told.
//!
//! Each group is replayed on its own; what would have been told is then put together in the order of time.

pub mod api;
mod budget;
pub mod incidents;
mod pages;
mod replay;
pub mod report;

use std::collections::BTreeMap;
use std::sync::Arc;

use logweir_rules::model::{Group, RuleSet};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::evaluate::scene::Scene;
use crate::evaluate::{Fetched, Grain, Past};
use crate::route::Routing;
use crate::source::{QueryError, QuerySource};
use crate::state::history::{self, TransitionLine};
use crate::state::store::{SCENES, Store, StoreError};
pub use budget::Budget;
pub use report::{Report, RuleReport};

/// Longest period of one backtest.
pub const PERIOD_MAX_NS: i64 = 35 * 86_400 * 1_000_000_000;
/// A longer period is replayed with windows of whole minutes.
pub const EXACT_MAX_NS: i64 = 2 * 86_400 * 1_000_000_000;
/// Groups that are replayed at the same time.
const GROUPS_AT_ONCE: usize = 2;
/// Filters, each with its grouping, that are counted in one walk over the past; groups with more share it by turns.
const FEEDS_AT_ONCE_MAX: usize = 512;
/// Counts that the groups of one walk may have at the same time, of 16 bytes each.
const CELLS_AT_ONCE_MAX: usize = 6_000_000;

/// What is to be tried.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Event times: steps in `(from, to]` are reported.
    pub from: i64,
    pub to: i64,
    /// Only this rule.
    pub rule: Option<String>,
    pub budget: Option<Budget>,
    /// Begin with nothing known, as an installation does, and not with what the time before `from` teaches.
    pub cold: bool,
    /// Where the minutes of long windows are kept.
    pub store: Option<Store>,
}

impl Plan {
    fn grain(&self) -> Grain {
        if self.to.saturating_sub(self.from) > EXACT_MAX_NS { Grain::Minutes(self.store.clone()) } else { Grain::Steps }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    #[error("the store of logs: {0}")]
    Query(#[from] QueryError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the backtest was stopped")]
    Stopped,
    #[error(
        "the alerts of {rule} and its group change more than {} times: raise its limit, give it a 'for' or \
         'keep_firing_for', or look at a shorter time with --since",
        replay::CHANGES_MAX
    )]
    TooRestless { rule: String },
}

/// Who had reported at each step, as the live engine saw it.
#[derive(Debug, Clone, Default)]
pub struct Scenes(BTreeMap<String, Vec<(i64, Scene)>>);

impl Scenes {
    pub fn load(store: &Store) -> Result<Scenes, StoreError> {
        let mut scenes = Scenes::default();
        for (key, scene) in store.read(|view| view.scan(SCENES, ""))? {
            let Some((group, at)) = key.rsplit_once('\0') else { continue };
            let Ok(at) = at.parse() else { continue };
            scenes.0.entry(group.to_owned()).or_default().push((at, scene));
        }
        Ok(scenes)
    }

    /// What was seen at a step; groups that were never evaluated see that all is well.
    fn at(&self, group: &str, at: i64) -> Option<&Scene> {
        let own = self.0.get(group)?;
        let index = own.partition_point(|(time, _)| *time <= at);
        Some(&own[index.checked_sub(1)?].1)
    }
}

/// What came out.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The log of all changes, as the live engine writes it.
    pub lines: Vec<(String, TransitionLine)>,
    pub report: Report,
}

/// Replays a rule set.
pub async fn run(
    source: Arc<dyn QuerySource>,
    set: &RuleSet,
    routing: Option<Arc<Routing>>,
    scenes: Scenes,
    plan: Plan,
) -> Result<Outcome, BacktestError> {
    let (plan, scenes) = (Arc::new(plan), Arc::new(scenes));
    let mut done = Vec::new();
    let (mut left, mut at_once) = (&set.groups[..], set.groups.len());
    while !left.is_empty() {
        let (groups, rest) = left.split_at(at_once.clamp(1, left.len()));
        let mut past = replay::past(groups, &plan);
        let is_one = groups.len() == 1;
        let too_many = !is_one && past.feeds() > FEEDS_AT_ONCE_MAX;
        let cells_max = if is_one { usize::MAX } else { CELLS_AT_ONCE_MAX };
        // Fewer groups at once are looked at more often, and fit.
        if too_many || past.fetch(&*source, cells_max).await? == Fetched::TooMany {
            at_once = groups.len() / 2;
            continue;
        }
        done.extend(replay_all(&source, groups, past, (&scenes, &plan), routing.is_some()).await?);
        left = rest;
    }
    let mut outcome = Outcome::default();
    let mut drafts = Vec::new();
    for replay in done {
        for (index, at, line) in replay.lines {
            outcome.lines.push((history::key(at, &replay.group, index), line));
        }
        outcome.report.rules.extend(replay.rules);
        drafts.extend(replay.drafts);
    }
    outcome.lines.sort_by(|a, b| a.0.cmp(&b.0));
    outcome.report.rules.sort_by(|a, b| a.rule.cmp(&b.rule));
    outcome.report.warnings.extend(replay::unreceived(set, &plan, source.received_since_ns()));
    outcome.report.from = plan.from;
    outcome.report.to = plan.to;
    let told = tokio::task::spawn_blocking(move || pages::count(drafts, routing.as_deref(), plan.to));
    let told = told.await.map_err(|_| BacktestError::Stopped)??;
    outcome.report.receivers = told.receivers;
    for rule in &mut outcome.report.rules {
        rule.pages = told.rules.get(&rule.rule).cloned().unwrap_or_default();
    }
    Ok(outcome)
}

/// Replays groups whose past is there.
async fn replay_all(
    source: &Arc<dyn QuerySource>,
    groups: &[Arc<Group>],
    past: Past,
    (scenes, plan): (&Arc<Scenes>, &Arc<Plan>),
    is_told: bool,
) -> Result<Vec<replay::Replay>, BacktestError> {
    let past = Arc::new(past);
    let mut groups = groups.iter();
    let (mut replays, mut done) = (JoinSet::new(), Vec::new());
    loop {
        while replays.len() < GROUPS_AT_ONCE
            && let Some(group) = groups.next()
        {
            let (source, past, group) = (Arc::clone(source), Arc::clone(&past), Arc::clone(group));
            let (scenes, plan, runtime) = (Arc::clone(scenes), Arc::clone(plan), Handle::current());
            // Replaying is work for a processor; only its questions wait.
            let work = async move { replay::group(&*source, &group, &past, &scenes, &plan, is_told).await };
            replays.spawn_blocking(move || runtime.block_on(work));
        }
        match replays.join_next().await {
            Some(replay) => done.push(replay.map_err(|_| BacktestError::Stopped)??),
            None => return Ok(done),
        }
    }
}

#[cfg(test)]
mod tests;

//! The state machine of a rule: `ok → pending → firing → recovering → ok`, one per set of label values.
//!
//! [`step`] is pure: the state before, the numbers at one event time, the state after and what changed, with reasons.
//! All waiting (`for`, `keep_firing_for`) counts event time, so a server that was down and catches up comes to the
//! same states at the same times as one that was not.

mod facts;
mod filled;
mod instance;
mod lineage;
mod look;
mod observe;
mod patterns;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use logweir_proto::text::format_duration;
use serde::{Deserialize, Serialize};

use crate::anomaly::Series;
use crate::condition::Values;
use crate::model::{Expected, Kind, Labels, OnError, OnPartial, Rule, Severity};
use crate::table::{self, Table};

pub use facts::SERIES_PER_RULE_MAX;
use facts::{Reader, View, is_match};
use instance::{Facts, Next};
pub use instance::{Instance, Phase, Timer};
pub use lineage::ABSORBED_NAMED_MAX;
pub use look::{Branch, Looked, look};
pub use observe::{Coverage, Deploy, Observation, PatternLine, SourceState, Sources};
pub use patterns::{DIGEST, PATTERNS_PER_SCOPE_MAX, SCOPES_PER_RULE_MAX, Scope};

/// What is known of an instance besides numbers: `template`, `explain`, `source_state`.
pub type Texts = BTreeMap<String, String>;

/// Instances that one rule may have at once. What is there is kept, further ones are refused and counted.
pub const INSTANCES_PER_RULE_MAX: usize = 1_000;

/// Label values that an `expected` rule remembers.
pub const SEEN_PER_RULE_MAX: usize = 10_000;

/// Label of the instance by which a rule with `on_error: fire` says that it cannot be evaluated.
pub const ERROR_LABEL: (&str, &str) = ("cause", "query_error");

/// Everything that a rule remembers between evaluations. An instance that is ok is not there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RuleState {
    /// The grouping labels under which the rest was made.
    pub by: Vec<String>,
    pub instances: BTreeMap<Labels, Instance>,
    /// For `expected`: event time at which each value was last there.
    pub seen: BTreeMap<Labels, i64>,
    /// Whether `seen` was once filled from the past.
    pub seeded: bool,
    /// For `anomaly`: what each series has shown so far.
    pub series: BTreeMap<Labels, Series>,
    /// For `pattern`: the known patterns of each scope.
    pub patterns: BTreeMap<Labels, Scope>,
    /// What the last evaluation could not decide, and why. Made anew by every step.
    pub undecided: BTreeMap<Labels, String>,
}

/// What the queries of a rule said.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// One table per signal with a query, in the order of the rule.
    Tables(&'a [Table]),
    /// The same, with what else is known.
    Observed(&'a Observation<'a>),
    Failed(&'a str),
}

/// What happened to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    Pending,
    /// A condition ended before its time.
    Ended,
    Fired,
    /// The severity of a firing instance went up or down.
    Raised,
    Lowered,
    Recovering,
    FiringAgain,
    Resolved,
}

/// Why it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    Became {
        when: String,
    },
    Held {
        when: String,
        for_ns: i64,
    },
    NoLongerTrue,
    NotRecovered,
    Recovered {
        held_ns: i64,
    },
    NoLines,
    QueryFailed(String),
    Undecided(String),
    Forgotten {
        silent_ns: i64,
    },
    /// What became of a pattern that was new.
    NotNew(String),
    RuleChanged,
    RuleRemoved,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = |ns: &i64| format_duration(Duration::from_nanos(u64::try_from(*ns).unwrap_or(0)));
        match self {
            Reason::Became { when } => write!(f, "{when} became true"),
            Reason::Held { when, for_ns: 0 } => write!(f, "{when} is true"),
            Reason::Held { when, for_ns } => write!(f, "{when} has held for {}", span(for_ns)),
            Reason::NoLongerTrue => f.write_str("no level is true any more"),
            Reason::NotRecovered => f.write_str("the condition to recover is no longer met"),
            Reason::Recovered { held_ns: 0 } => f.write_str("recovered"),
            Reason::Recovered { held_ns } => write!(f, "recovered for {}", span(held_ns)),
            Reason::NoLines => f.write_str("no line matched"),
            Reason::QueryFailed(error) => write!(f, "the query failed: {error}"),
            Reason::Undecided(reason) => write!(f, "undecided: {reason}"),
            Reason::Forgotten { silent_ns } => write!(f, "silent for {}, forgotten", span(silent_ns)),
            Reason::NotNew(why) => f.write_str(why),
            Reason::RuleChanged => f.write_str("the grouping of the rule was changed"),
            Reason::RuleRemoved => f.write_str("the rule was removed"),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    pub labels: Labels,
    pub change: Change,
    pub reason: Reason,
    /// Event time.
    pub at: i64,
    pub severity: Severity,
    pub values: Values,
    pub texts: Texts,
    /// When the instance began to fire, for everything that concerns a firing one.
    pub fired_at: Option<i64>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    pub transitions: Vec<Transition>,
    /// New instances over [`INSTANCES_PER_RULE_MAX`].
    pub refused: usize,
}

/// Evaluates a rule at one event time.
pub fn step(rule: &Rule, state: &mut RuleState, at: i64, input: Input<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    if state.by != rule.by() {
        close_all(state, at, &Reason::RuleChanged, &mut outcome);
        *state = RuleState { by: rule.by().to_vec(), ..RuleState::default() };
    }
    match input {
        Input::Failed(error) => failed(rule, state, at, error, &mut outcome),
        Input::Tables(tables) => evaluated(rule, state, at, &Observation::of(tables), &mut outcome),
        Input::Observed(observation) => evaluated(rule, state, at, observation, &mut outcome),
    }
    outcome
}

/// Ends everything that a removed rule had open.
pub fn remove(state: &mut RuleState, at: i64) -> Outcome {
    let mut outcome = Outcome::default();
    close_all(state, at, &Reason::RuleRemoved, &mut outcome);
    *state = RuleState::default();
    outcome
}

impl RuleState {
    /// Event time was skipped: nobody knows whether conditions held meanwhile, so waiting begins anew.
    pub fn skip_gap(&mut self) {
        self.instances.retain(|_, instance| instance.phase != Phase::Pending);
        for instance in self.instances.values_mut() {
            instance.timers.clear();
            instance.clear_since = None;
        }
    }

    /// Fills the memory of an `expected` rule from what was there in the past.
    pub fn seed(&mut self, values: impl IntoIterator<Item = Labels>, at: i64) {
        for labels in values.into_iter().take(SEEN_PER_RULE_MAX) {
            self.seen.entry(labels).or_insert(at);
        }
        self.seeded = true;
    }
}

fn close_all(state: &mut RuleState, at: i64, reason: &Reason, outcome: &mut Outcome) {
    for (labels, instance) in std::mem::take(&mut state.instances) {
        let change = if instance.fired_at.is_some() { Change::Resolved } else { Change::Ended };
        outcome.transitions.push(instance.transition(&labels, change, reason.clone(), at));
    }
}

fn failed(rule: &Rule, state: &mut RuleState, at: i64, error: &str, outcome: &mut Outcome) {
    if rule.on_error == OnError::Fire {
        let labels = Labels::from([(ERROR_LABEL.0.to_owned(), ERROR_LABEL.1.to_owned())]);
        let forced = Some(Reason::QueryFailed(error.to_owned()));
        apply(rule, state, at, (&labels, &Facts { forced, blank: true, ..Facts::default() }), outcome);
    }
}

fn is_error(labels: &Labels) -> bool {
    labels.len() == 1 && labels.get(ERROR_LABEL.0).is_some_and(|value| value == ERROR_LABEL.1)
}

fn evaluated(rule: &Rule, state: &mut RuleState, at: i64, observation: &Observation<'_>, outcome: &mut Outcome) {
    state.undecided.clear();
    let coverage = observation.coverage.filter(|coverage| coverage.is_partial());
    if let Some(coverage) = coverage.filter(|_| rule.on_partial == OnPartial::Hold) {
        let reason = format!("{} of {} sources have reported", coverage.reported, coverage.expected);
        state.undecided = state.instances.keys().map(|labels| (labels.clone(), reason.clone())).collect();
        return;
    }
    if let Some(expected) = rule.expected {
        remember(rule, state, at, observation.tables);
        forget(state, expected, at, outcome);
    }
    outcome.refused += facts::observe(rule, state, at, observation);
    let open = match &rule.kind {
        Kind::Pattern(pattern) => patterns::open(pattern, &state.patterns, at),
        _ => BTreeMap::new(),
    };
    let mut candidates = candidates(rule, state, at, observation);
    join(&mut candidates, open.keys());
    let mut view = View { rule, at, observation, open, reader: Reader::new(rule, observation.tables) };
    let mut facts = Facts::of(rule, at, observation);
    for labels in &candidates {
        if is_error(labels) && state.instances.contains_key(&**labels) {
            facts.clear();
            facts.empty = true;
        } else {
            view.facts(state, labels, &mut facts);
        }
        if let Some(reason) = &facts.undecided {
            state.undecided.insert((**labels).clone(), reason.clone());
        }
        apply(rule, state, at, (labels, &facts), outcome);
    }
}

fn apply(rule: &Rule, state: &mut RuleState, at: i64, (labels, facts): (&Labels, &Facts), outcome: &mut Outcome) {
    let Some(instance) = state.instances.get_mut(labels) else {
        let Some((instance, change, reason)) = instance::begin(rule, at, facts) else { return };
        if state.instances.len() >= INSTANCES_PER_RULE_MAX {
            outcome.refused += 1;
            return;
        }
        outcome.transitions.push(instance.clone().transition(labels, change, reason, at));
        state.instances.insert(labels.clone(), instance);
        return;
    };
    match instance.advance(rule, at, facts) {
        Next::Stays(None) => {}
        Next::Stays(Some((change, reason))) => {
            outcome.transitions.push(instance.clone().transition(labels, change, reason, at));
        }
        Next::Ends(change, reason) => {
            let ended = state.instances.remove(labels);
            outcome.transitions.extend(ended.map(|instance| instance.transition(labels, change, reason, at)));
        }
    }
}

/// Adds label sets that are not there yet.
fn join<'a>(all: &mut Vec<Arc<Labels>>, more: impl Iterator<Item = &'a Labels>) {
    let known = all.len();
    for labels in more {
        if all[..known].binary_search_by(|own| (**own).cmp(labels)).is_err() {
            all.push(Arc::new(labels.clone()));
        }
    }
    in_order(all, known);
}

/// Sorts what was added to `known` label sets in their order.
fn in_order(all: &mut Vec<Arc<Labels>>, known: usize) {
    if all.len() > known {
        all.sort_by(table::compare);
        all.dedup_by(|a, b| table::compare(a, b).is_eq());
    }
}

/// The label sets that have a number in a table.
fn join_rows(all: &mut Vec<Arc<Labels>>, table: &Table) {
    let (known, mut place) = (all.len(), 0);
    for (labels, _) in table.iter() {
        while place < known && table::compare(&all[place], labels).is_lt() {
            place += 1;
        }
        if place >= known || table::compare(&all[place], labels).is_gt() {
            all.push(Arc::clone(labels));
        }
    }
    // What was added to nothing is in order.
    if known > 0 {
        in_order(all, known);
    }
}

/// The label sets that this evaluation is about, in their order: what has lines, what is open, what is expected.
fn candidates(rule: &Rule, state: &RuleState, at: i64, observation: &Observation<'_>) -> Vec<Arc<Labels>> {
    let mut all = Vec::new();
    // The label that a comparison is about does not tell its instances apart.
    let besides = match &rule.kind {
        Kind::Compare(compare) => Some(&compare.field),
        _ => None,
    };
    let finest = rule.by().len() + usize::from(besides.is_some());
    for ((_, query), table) in rule.queries().zip(observation.tables) {
        if query.by.len() != finest {
            continue;
        }
        match besides {
            None => join_rows(&mut all, table),
            Some(field) => {
                let without = |labels: &Labels| -> Labels {
                    labels.iter().filter(|(key, _)| *key != field).map(|(k, v)| (k.clone(), v.clone())).collect()
                };
                let rows: Vec<Labels> = table.iter().map(|(labels, _)| without(labels)).collect();
                join(&mut all, rows.iter());
            }
        }
    }
    if rule.by().is_empty() {
        join(&mut all, std::iter::once(&Labels::new()));
    }
    join(&mut all, state.instances.keys().chain(state.series.keys()));
    if let Some(expected) = rule.expected {
        let within = |seen: i64| at.saturating_sub(seen) <= expected.seen_within_ns;
        join(&mut all, state.seen.iter().filter(|(_, seen)| within(**seen)).map(|(labels, _)| labels));
    }
    all
}

fn remember(rule: &Rule, state: &mut RuleState, at: i64, tables: &[Table]) {
    let finest = rule.by().len();
    for ((_, query), table) in rule.queries().zip(tables).filter(|((_, query), _)| query.by.len() == finest) {
        for (labels, _) in table.iter().filter(|(_, value)| is_match(query.agg, *value)) {
            if let Some(seen) = state.seen.get_mut(&**labels) {
                *seen = at;
            } else if state.seen.len() < SEEN_PER_RULE_MAX {
                state.seen.insert((**labels).clone(), at);
            }
        }
    }
}

fn forget(state: &mut RuleState, expected: Expected, at: i64, outcome: &mut Outcome) {
    let instances = &mut state.instances;
    state.seen.retain(|labels, seen| {
        let silent_ns = at.saturating_sub(*seen);
        let open = instances.contains_key(labels);
        if silent_ns <= expected.seen_within_ns || (open && silent_ns <= expected.forget_after_ns) {
            return true;
        }
        if let Some(instance) = instances.remove(labels) {
            let change = if instance.fired_at.is_some() { Change::Resolved } else { Change::Ended };
            outcome.transitions.push(instance.transition(labels, change, Reason::Forgotten { silent_ns }, at));
        }
        false
    });
}

#[cfg(test)]
mod tests;

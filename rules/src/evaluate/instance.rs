//! One instance: how the truth of its conditions moves it.

use serde::{Deserialize, Serialize};

use super::{Change, Reason, Texts, Transition};
use crate::condition::{Condition, Doubts, Values};
use crate::model::{Labels, Rule, Severity};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// A condition is true, but not yet for its time.
    Pending,
    Firing,
    /// Still firing for everybody outside; recovered, but not yet for `keep_firing_for`.
    Recovering,
}

/// Since when a condition of the rule has been true without a break.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    pub severity: Severity,
    /// Which of the level's alternatives.
    pub alternative: usize,
    pub since: i64,
}

/// All times are event times in nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    pub phase: Phase,
    /// While pending the worst true level, then the level that fires.
    pub severity: Severity,
    pub pending_since: i64,
    pub fired_at: Option<i64>,
    /// Since when it has been clear: `recover_when` true and no level true.
    pub clear_since: Option<i64>,
    /// When the level that fires was last reached.
    pub held_at: i64,
    pub timers: Vec<Timer>,
    pub values: Values,
    #[serde(default)]
    pub texts: Texts,
    pub evaluated_at: i64,
}

impl Instance {
    pub(super) fn transition(self, labels: &Labels, change: Change, reason: Reason, at: i64) -> Transition {
        let Instance { severity, values, texts, fired_at, .. } = self;
        Transition { labels: labels.clone(), change, reason, at, severity, values, texts, fired_at }
    }
}

/// What becomes of the severity of a level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Weight {
    #[default]
    AsItIs,
    /// One level worse.
    Worse,
    Info,
}

/// What one evaluation says about an instance.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) values: Values,
    /// The worst level holds, whatever the numbers say.
    pub(super) forced: Option<Reason>,
    /// Nothing may change.
    pub(super) frozen: bool,
    /// No line matched: unless a level is true, it has recovered.
    pub(super) empty: bool,
    pub(super) texts: Texts,
    /// Every level counts as the next worse one.
    pub(super) weight: Weight,
    /// Why there is no decision.
    pub(super) undecided: Option<String>,
    /// Numbers that are not known for good yet.
    pub(super) doubts: Doubts,
}

impl Facts {
    /// Whether a condition is known to hold.
    pub(super) fn hold(&self, condition: &Condition) -> bool {
        condition.decided(&self.values, &self.doubts) == Some(true)
    }

    /// The values that people see: names with a colon are for conditions only.
    pub(super) fn shown(&self) -> Values {
        self.values.iter().filter(|(name, _)| !name.contains(':')).map(|(name, value)| (name.clone(), *value)).collect()
    }
}

type Step = (Option<Instance>, Option<(Change, Reason, Instance)>);

/// Moves an instance by one evaluation; `None` is ok.
pub(super) fn advance(rule: &Rule, before: Option<Instance>, at: i64, facts: &Facts) -> Step {
    if facts.frozen {
        return (before, None);
    }
    let timers = timers(rule, before.as_ref(), at, facts);
    let truth = Truth::new(rule, &timers, at, facts);
    match before {
        Some(instance) if instance.phase != Phase::Pending => {
            firing(rule, Instance { timers, ..instance }, at, &truth, facts)
        }
        before => waiting(before, timers, at, truth, facts),
    }
}

/// The worst level that is true, and the worst that has been true for its time.
struct Truth {
    worst_true: Option<(Severity, Reason)>,
    reached: Option<(Severity, Reason)>,
}

impl Truth {
    fn new(rule: &Rule, timers: &[Timer], at: i64, facts: &Facts) -> Truth {
        if let Some(reason) = &facts.forced {
            let worst = rule.levels.first().map_or(Severity::Critical, |level| level.severity);
            return Truth { worst_true: Some((worst, reason.clone())), reached: Some((worst, reason.clone())) };
        }
        let mut truth = Truth { worst_true: None, reached: None };
        for level in &rule.levels {
            for (index, alternative) in level.any.iter().enumerate() {
                let timer = timers.iter().find(|t| t.severity == level.severity && t.alternative == index);
                let Some(timer) = timer else { continue };
                let when = || alternative.when.text.clone();
                let severity = match facts.weight {
                    Weight::AsItIs => level.severity,
                    Weight::Worse => level.severity.worse(),
                    Weight::Info => Severity::Info,
                };
                if truth.worst_true.is_none() {
                    truth.worst_true = Some((severity, Reason::Became { when: when() }));
                }
                if truth.reached.is_none() && at.saturating_sub(timer.since) >= alternative.for_ns {
                    let reason = Reason::Held { when: when(), for_ns: alternative.for_ns };
                    truth.reached = Some((severity, reason));
                }
            }
        }
        truth
    }
}

fn timers(rule: &Rule, before: Option<&Instance>, at: i64, facts: &Facts) -> Vec<Timer> {
    let mut timers = Vec::new();
    for level in &rule.levels {
        for (alternative, condition) in level.any.iter().enumerate() {
            if facts.values.is_empty() || !facts.hold(&condition.when) {
                continue;
            }
            let running = before.into_iter().flat_map(|instance| &instance.timers);
            let since = running
                .filter(|t| t.severity == level.severity && t.alternative == alternative)
                .map(|t| t.since)
                .next()
                .unwrap_or(at);
            timers.push(Timer { severity: level.severity, alternative, since });
        }
    }
    timers
}

fn waiting(before: Option<Instance>, timers: Vec<Timer>, at: i64, truth: Truth, facts: &Facts) -> Step {
    let pending_since = before.as_ref().map_or(at, |instance| instance.pending_since);
    let make = |phase, severity, fired_at| Instance {
        phase,
        severity,
        pending_since,
        fired_at,
        clear_since: None,
        held_at: at,
        timers,
        values: facts.shown(),
        texts: facts.texts.clone(),
        evaluated_at: at,
    };
    match (truth.reached, truth.worst_true) {
        (Some((severity, reason)), _) => {
            let after = make(Phase::Firing, severity, Some(at));
            (Some(after.clone()), Some((Change::Fired, reason, after)))
        }
        (None, Some((severity, reason))) => {
            let after = make(Phase::Pending, severity, None);
            let change = before.is_none().then(|| (Change::Pending, reason, after.clone()));
            (Some(after), change)
        }
        (None, None) => match before {
            Some(instance) => (None, Some((Change::Ended, Reason::NoLongerTrue, instance))),
            None => (None, None),
        },
    }
}

fn firing(rule: &Rule, mut instance: Instance, at: i64, truth: &Truth, facts: &Facts) -> Step {
    let keep_ns = rule.keep_firing_for_ns;
    let mut change = None;
    // A closing message should show the numbers that closed it; an instance without numbers keeps the last ones.
    if !facts.values.is_empty() {
        instance.values = facts.shown();
        // The template of a pattern that is not new any more still says what it was.
        instance.texts.extend(facts.texts.clone());
    }
    instance.evaluated_at = at;
    match &truth.reached {
        Some((severity, reason)) if *severity >= instance.severity => {
            if *severity > instance.severity {
                change = Some((Change::Raised, reason.clone()));
            }
            instance.severity = *severity;
            instance.held_at = at;
        }
        Some((severity, reason)) if at.saturating_sub(instance.held_at) >= keep_ns => {
            change = Some((Change::Lowered, reason.clone()));
            instance.severity = *severity;
            instance.held_at = at;
        }
        _ => {}
    }
    let recovered = facts.empty || rule.recover_when.as_ref().is_none_or(|when| facts.hold(when));
    if truth.worst_true.is_some() || !recovered {
        instance.clear_since = None;
        if instance.phase == Phase::Recovering {
            instance.phase = Phase::Firing;
            let reason = truth.worst_true.as_ref().map_or(Reason::NotRecovered, |(_, reason)| reason.clone());
            change = change.or(Some((Change::FiringAgain, reason)));
        }
        let change = change.map(|(change, reason)| (change, reason, instance.clone()));
        return (Some(instance), change);
    }
    let since = *instance.clear_since.get_or_insert(at);
    let held_ns = at.saturating_sub(since);
    if held_ns >= keep_ns {
        return (None, Some((Change::Resolved, Reason::Recovered { held_ns }, instance)));
    }
    if instance.phase == Phase::Firing {
        instance.phase = Phase::Recovering;
        change = Some((Change::Recovering, Reason::NoLongerTrue));
    }
    let change = change.map(|(change, reason)| (change, reason, instance.clone()));
    (Some(instance), change)
}

//! One instance: how the truth of its conditions moves it.

use serde::{Deserialize, Serialize};

use super::observe::Observation;
use super::{Change, Reason, Texts, Transition, filled};
use crate::condition::{Condition, Doubts, Values};
use crate::model::{Labels, Rule, Severity};
use crate::slots::Slots;

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
    /// In the places of the rule's names; NaN is absent.
    pub(super) numbers: Vec<f64>,
    /// There is no number at all.
    pub(super) blank: bool,
    /// The worst level holds, whatever the numbers say.
    pub(super) forced: Option<Reason>,
    /// Why it is over, where that is known better than by its numbers.
    pub(super) over: Option<Reason>,
    /// Nothing may change.
    pub(super) frozen: bool,
    /// No line matched: unless a level is true, it has recovered.
    pub(super) empty: bool,
    pub(super) texts: Texts,
    /// Every level counts as the next worse one.
    pub(super) weight: Weight,
    /// Why there is no decision.
    pub(super) undecided: Option<String>,
    /// Numbers that are not known for good yet, of all instances of the rule.
    pub(super) doubts: Doubts,
}

impl Facts {
    /// Of an instance of the rule nothing is known yet.
    pub(super) fn of(rule: &Rule, at: i64, observation: &Observation<'_>) -> Facts {
        let doubts = filled::doubts(rule, at, observation.known_since);
        Facts { blank: true, doubts, ..Facts::default() }
    }

    /// The next instance; what was allocated stays.
    pub(super) fn clear(&mut self) {
        let (mut numbers, doubts) = (std::mem::take(&mut self.numbers), std::mem::take(&mut self.doubts));
        numbers.clear();
        *self = Facts { numbers, doubts, blank: true, ..Facts::default() };
    }

    /// Whether a condition is known to hold.
    pub(super) fn hold(&self, condition: &Condition) -> bool {
        condition.decided(&self.numbers, &self.doubts) == Some(true)
    }

    pub(super) fn put(&mut self, slots: &Slots, name: &str, number: f64) {
        if let Some(place) = self.numbers.get_mut(slots.place(name)) {
            *place = number;
        }
    }
}

/// What one evaluation makes of an instance that is there.
pub(super) enum Next {
    Stays(Option<(Change, Reason)>),
    Ends(Change, Reason),
}

/// The first evaluation of what is ok so far; `None`: it stays so.
pub(super) fn begin(rule: &Rule, at: i64, facts: &Facts) -> Option<(Instance, Change, Reason)> {
    if facts.frozen {
        return None;
    }
    let timers = timers(rule, &[], at, facts);
    let truth = Truth::new(rule, &timers, at, facts);
    let (phase, (severity, cause)) = match (truth.reached, truth.worst_true) {
        (Some(reached), _) => (Phase::Firing, reached),
        (None, Some(worst)) => (Phase::Pending, worst),
        (None, None) => return None,
    };
    let change = if phase == Phase::Firing { Change::Fired } else { Change::Pending };
    let mut instance = Instance {
        phase,
        severity,
        pending_since: at,
        fired_at: (phase == Phase::Firing).then_some(at),
        clear_since: None,
        held_at: at,
        timers,
        values: Values::new(),
        texts: facts.texts.clone(),
        evaluated_at: at,
    };
    rule.slots.show(&facts.numbers, &mut instance.values);
    Some((instance, change, cause.reason()))
}

impl Instance {
    /// Moves it by one evaluation.
    pub(super) fn advance(&mut self, rule: &Rule, at: i64, facts: &Facts) -> Next {
        if facts.frozen {
            return Next::Stays(None);
        }
        let timers = timers(rule, &self.timers, at, facts);
        let truth = Truth::new(rule, &timers, at, facts);
        match self.phase {
            Phase::Pending => self.wait(rule, timers, at, &truth, facts),
            Phase::Firing | Phase::Recovering => {
                self.timers = timers;
                self.fire(rule, at, &truth, facts)
            }
        }
    }

    fn wait(&mut self, rule: &Rule, timers: Vec<Timer>, at: i64, truth: &Truth<'_>, facts: &Facts) -> Next {
        let (severity, change) = match (truth.reached, truth.worst_true) {
            (Some((severity, cause)), _) => {
                (self.phase, self.fired_at) = (Phase::Firing, Some(at));
                (severity, Some((Change::Fired, cause.reason())))
            }
            (None, Some((severity, _))) => (severity, None),
            (None, None) => return Next::Ends(Change::Ended, facts.over.clone().unwrap_or(Reason::NoLongerTrue)),
        };
        (self.severity, self.timers, self.clear_since) = (severity, timers, None);
        (self.held_at, self.evaluated_at) = (at, at);
        rule.slots.show(&facts.numbers, &mut self.values);
        self.texts.clone_from(&facts.texts);
        Next::Stays(change)
    }

    fn fire(&mut self, rule: &Rule, at: i64, truth: &Truth<'_>, facts: &Facts) -> Next {
        let keep_ns = rule.keep_firing_for_ns;
        let mut change = None;
        // A closing message should show the numbers that closed it; an instance without numbers keeps the last ones.
        if !facts.blank {
            rule.slots.show(&facts.numbers, &mut self.values);
            // The template of a pattern that is not new any more still says what it was.
            self.texts.extend(facts.texts.clone());
        }
        self.evaluated_at = at;
        match truth.reached {
            Some((severity, cause)) if severity >= self.severity => {
                if severity > self.severity {
                    change = Some((Change::Raised, cause.reason()));
                }
                self.severity = severity;
                self.held_at = at;
            }
            Some((severity, cause)) if at.saturating_sub(self.held_at) >= keep_ns => {
                change = Some((Change::Lowered, cause.reason()));
                self.severity = severity;
                self.held_at = at;
            }
            _ => {}
        }
        let recovered = facts.empty || rule.recover_when.as_ref().is_none_or(|when| facts.hold(when));
        if truth.worst_true.is_some() || !recovered {
            self.clear_since = None;
            if self.phase == Phase::Recovering {
                self.phase = Phase::Firing;
                let reason = truth.worst_true.map_or(Reason::NotRecovered, |(_, cause)| cause.reason());
                change = change.or(Some((Change::FiringAgain, reason)));
            }
            return Next::Stays(change);
        }
        let since = *self.clear_since.get_or_insert(at);
        let held_ns = at.saturating_sub(since);
        if held_ns >= keep_ns {
            let reason = facts.over.clone().unwrap_or(Reason::Recovered { held_ns });
            return Next::Ends(Change::Resolved, reason);
        }
        if self.phase == Phase::Firing {
            self.phase = Phase::Recovering;
            change = Some((Change::Recovering, Reason::NoLongerTrue));
        }
        Next::Stays(change)
    }
}

/// A reason as long as nobody has to be told it.
#[derive(Clone, Copy)]
enum Cause<'a> {
    Forced(&'a Reason),
    Became(&'a str),
    Held(&'a str, i64),
}

impl Cause<'_> {
    fn reason(self) -> Reason {
        match self {
            Cause::Forced(reason) => reason.clone(),
            Cause::Became(when) => Reason::Became { when: when.to_owned() },
            Cause::Held(when, for_ns) => Reason::Held { when: when.to_owned(), for_ns },
        }
    }
}

/// The worst level that is true, and the worst that has been true for its time.
struct Truth<'a> {
    worst_true: Option<(Severity, Cause<'a>)>,
    reached: Option<(Severity, Cause<'a>)>,
}

impl<'a> Truth<'a> {
    fn new(rule: &'a Rule, timers: &[Timer], at: i64, facts: &'a Facts) -> Truth<'a> {
        if let Some(reason) = &facts.forced {
            let worst = rule.levels.first().map_or(Severity::Critical, |level| level.severity);
            let forced = Some((worst, Cause::Forced(reason)));
            return Truth { worst_true: forced, reached: forced };
        }
        let mut truth = Truth { worst_true: None, reached: None };
        for level in &rule.levels {
            for (index, alternative) in level.any.iter().enumerate() {
                let timer = timers.iter().find(|t| t.severity == level.severity && t.alternative == index);
                let Some(timer) = timer else { continue };
                let severity = match facts.weight {
                    Weight::AsItIs => level.severity,
                    Weight::Worse => level.severity.worse(),
                    Weight::Info => Severity::Info,
                };
                let when = alternative.when.text.as_str();
                if truth.worst_true.is_none() {
                    truth.worst_true = Some((severity, Cause::Became(when)));
                }
                if truth.reached.is_none() && at.saturating_sub(timer.since) >= alternative.for_ns {
                    truth.reached = Some((severity, Cause::Held(when, alternative.for_ns)));
                }
            }
        }
        truth
    }
}

fn timers(rule: &Rule, before: &[Timer], at: i64, facts: &Facts) -> Vec<Timer> {
    let mut timers = Vec::new();
    if facts.blank {
        return timers;
    }
    for level in &rule.levels {
        for (alternative, condition) in level.any.iter().enumerate() {
            if facts.hold(&condition.when) {
                let severity = level.severity;
                let running = before.iter().find(|t| t.severity == severity && t.alternative == alternative);
                timers.push(Timer { severity, alternative, since: running.map_or(at, |timer| timer.since) });
            }
        }
    }
    timers
}

//! What a rule would see and decide at one time, without moving any state: `rules explain`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::facts::{self, Reader, View};
use super::observe::Observation;
use super::{Facts, RuleState, Texts, candidates, join, patterns};
use crate::condition::Values;
use crate::model::{Kind, Labels, Rule, Severity};

/// One condition of a level, and whether it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    pub severity: Severity,
    pub when: String,
    pub for_ns: i64,
    pub holds: bool,
}

/// One instance as the rule sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Looked {
    pub labels: Labels,
    pub values: Values,
    pub texts: Texts,
    /// In the order of the rule, the worst first.
    pub branches: Vec<Branch>,
    /// Whether `recover_when` holds, where there is one.
    pub recovers: Option<bool>,
    /// Why there is no decision.
    pub undecided: Option<String>,
    /// No line matched.
    pub empty: bool,
}

/// Every instance that the evaluation would be about. `state` is what the rule remembers; it is not changed.
pub fn look(rule: &Rule, state: &RuleState, at: i64, observation: &Observation<'_>) -> Vec<Looked> {
    let mut state = state.clone();
    facts::observe(rule, &mut state, at, observation);
    let open = match &rule.kind {
        Kind::Pattern(pattern) => patterns::open(pattern, &state.patterns, at),
        _ => BTreeMap::new(),
    };
    let mut about = candidates(rule, &state, at, observation);
    join(&mut about, open.keys());
    let mut view = View { rule, at, observation, open, reader: Reader::new(rule, observation.tables) };
    let one = |labels: Arc<Labels>| {
        let mut facts = Facts::of(rule, at, observation);
        view.facts(&state, &labels, &mut facts);
        let branch = |severity: Severity, alternative: &crate::model::Alternative| Branch {
            severity,
            when: alternative.when.text.clone(),
            for_ns: alternative.for_ns,
            holds: facts.hold(&alternative.when),
        };
        let levels = rule.levels.iter();
        Looked {
            branches: levels.flat_map(|level| level.any.iter().map(move |one| branch(level.severity, one))).collect(),
            recovers: rule.recover_when.as_ref().map(|when| facts.hold(when)),
            labels: Arc::unwrap_or_clone(labels),
            values: rule.slots.shown(&facts.numbers).map(|(name, number)| (name.to_owned(), number)).collect(),
            texts: facts.texts,
            undecided: facts.undecided,
            empty: facts.empty,
        }
    };
    about.into_iter().map(one).collect()
}

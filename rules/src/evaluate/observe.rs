//! What one evaluation sees: tables, new lines, the state of the sources.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::Labels;
use crate::signal::Table;

/// Everything that is known at one event time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Observation<'a> {
    /// One table per signal with a query, in the order of the rule.
    pub tables: &'a [Table],
    /// For a rule with `pattern`: the lines of its filter since the last evaluation, in the order of time.
    pub lines: &'a [PatternLine],
    /// `None`: nobody knows, and every source counts as alive.
    pub sources: Option<&'a Sources>,
    /// `None`: everything has reported.
    pub coverage: Option<Coverage>,
    /// Nothing is known of the time before; `None`: everything is.
    pub known_since: Option<i64>,
    pub deploys: &'a [Deploy],
}

impl<'a> Observation<'a> {
    /// Numbers alone: whole, and from sources that are alive.
    pub fn of(tables: &'a [Table]) -> Observation<'a> {
        Observation { tables, ..Observation::default() }
    }
}

/// A line that a pattern rule looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternLine {
    pub at: i64,
    /// Labels of the scope.
    pub labels: Labels,
    /// The message, the identity of its stack trace, or the value of the rule's field.
    pub text: String,
    pub is_trace: bool,
}

/// How far the agent of a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceState {
    /// It reports, and everything up to the time of the evaluation is here.
    Alive,
    /// It reports, but lags.
    Behind,
    Dead,
}

impl SourceState {
    pub const fn as_str(self) -> &'static str {
        match self {
            SourceState::Alive => "alive",
            SourceState::Behind => "behind",
            SourceState::Dead => "dead",
        }
    }

    pub(super) const fn number(self) -> f64 {
        match self {
            SourceState::Alive => 1.0,
            SourceState::Behind => 0.0,
            SourceState::Dead => -1.0,
        }
    }
}

/// The agents, by host.
pub type Sources = BTreeMap<String, SourceState>;

/// The state behind an instance: of its host, or the best of all when it has none. A host without an agent is alive as
/// far as anybody knows.
pub(super) fn source_of(sources: &Sources, labels: &Labels) -> SourceState {
    let rank = |state: &&SourceState| state.number() as i64;
    match labels.get("host") {
        Some(host) => sources.get(host).copied().unwrap_or(SourceState::Alive),
        None => sources.values().max_by_key(rank).copied().unwrap_or(SourceState::Alive),
    }
}

/// How many of the sources that matter have reported up to the time of the evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    pub reported: usize,
    pub expected: usize,
}

impl Coverage {
    pub const fn is_partial(self) -> bool {
        self.reported < self.expected
    }
}

/// Something was rolled out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deploy {
    pub at: i64,
    pub name: String,
    /// Whom it concerns; empty: everything.
    pub labels: Labels,
}

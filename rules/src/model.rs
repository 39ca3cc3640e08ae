//! What a rule file means, after every check.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use logweir_proto::yaml::At;

/// A set of labels; the identity of an alert instance within its rule.
pub type Labels = BTreeMap<String, String>;

/// Sample lines that a message can carry.
pub const SAMPLES_MAX: i64 = 10;
/// Sample lines of a rule that does not say.
pub const SAMPLES_DEFAULT: usize = 5;
/// Signals of one rule.
pub const SIGNALS_MAX: usize = 16;
/// Labels by which one signal may be grouped.
pub const BY_MAX: usize = 8;
/// Shortest step of a group.
pub const EVERY_MIN_NS: i64 = 1_000_000_000;
/// Step of a group that does not say.
pub const EVERY_DEFAULT_NS: i64 = 30_000_000_000;
/// How long behind the wall clock a group looks, so that lines under way are counted: unless it says otherwise.
pub const DELAY_DEFAULT_NS: i64 = 5_000_000_000;
/// Longest window of a signal.
pub const WINDOW_MAX_NS: i64 = 7 * 86_400 * 1_000_000_000;

/// How bad it is, ordered: `Critical` is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// All groups that are in force together.
#[derive(Debug, Clone, Default)]
pub struct RuleSet {
    pub groups: Vec<Arc<Group>>,
}

impl RuleSet {
    pub fn rules(&self) -> impl Iterator<Item = (&Arc<Group>, &Arc<Rule>)> {
        self.groups.iter().flat_map(|group| group.rules.iter().map(move |rule| (group, rule)))
    }

    pub fn rule(&self, name: &str) -> Option<(&Arc<Group>, &Arc<Rule>)> {
        self.rules().find(|(_, rule)| rule.name == name)
    }
}

/// Rules that are evaluated together, at the same event times.
#[derive(Debug)]
pub struct Group {
    pub file: Arc<str>,
    pub at: At,
    pub name: String,
    pub every_ns: i64,
    pub delay_ns: i64,
    pub owner: Option<String>,
    pub rules: Vec<Arc<Rule>>,
}

/// A text with `{{ … }}` in it, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pub text: String,
    pub at: At,
}

#[derive(Debug)]
pub struct Rule {
    pub file: Arc<str>,
    pub at: At,
    /// Unique over the whole rule set: the identity under which state is kept when the rule is edited.
    pub name: String,
    pub signals: Vec<Signal>,
    /// The worst first.
    pub levels: Vec<Level>,
    pub recover_when: Option<Condition>,
    pub keep_firing_for_ns: i64,
    pub on_empty: OnEmpty,
    pub on_error: OnError,
    pub expected: Option<Expected>,
    pub summary: Template,
    pub labels: Labels,
    pub annotations: BTreeMap<String, Template>,
    pub runbook: Option<Template>,
    pub owner: Option<String>,
    pub context: Context,
    pub tests: Vec<TestCase>,
}

#[derive(Debug, Clone)]
pub struct Level {
    pub severity: Severity,
    /// The level is reached when any of them has held for its time.
    pub any: Vec<Alternative>,
}

#[derive(Debug, Clone)]
pub struct Alternative {
    pub when: Condition,
    pub for_ns: i64,
}

#[derive(Debug, Clone)]
pub struct Signal {
    pub name: String,
    pub at: At,
    pub source: SignalSource,
}

#[derive(Debug, Clone)]
pub enum SignalSource {
    Query(SignalQuery),
    /// Computed from the signals before it.
    Expr(Condition),
}

/// A number per group of lines: `FILTER | stats AGG as v by BY` over `[end - window, end)`.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalQuery {
    pub filter: String,
    pub agg: Agg,
    pub field: Option<String>,
    pub window_ns: i64,
    pub by: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agg {
    Count,
    Sum,
    Avg,
    Min,
    Max,
    P50,
    P90,
    P95,
    P99,
    Distinct,
    Rate,
}

impl Agg {
    /// Whether no lines at all are a zero, and not "unknown".
    pub const fn empty_is_zero(self) -> bool {
        matches!(self, Agg::Count | Agg::Sum | Agg::Distinct | Agg::Rate)
    }

    pub const fn needs_field(self) -> bool {
        !matches!(self, Agg::Count | Agg::Rate)
    }
}

/// What an instance is when no line matched any of its signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnEmpty {
    /// Counts are zero and conditions over them decide; when none holds, the instance has recovered.
    #[default]
    Ok,
    /// The worst level is reached.
    Fire,
    /// Nothing changes.
    Keep,
}

/// What happens when a query of the rule failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    #[default]
    Keep,
    /// An instance of its own fires at the worst level.
    Fire,
}

/// Values of the grouping labels that must keep arriving: silent hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// A value is expected when it was seen within this time.
    pub seen_within_ns: i64,
    /// A value that fires is forgotten this long after it was last seen.
    pub forget_after_ns: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    pub samples: usize,
    /// Which lines to show; by default those of the first signal in the worst level's condition.
    pub filter: Option<String>,
}

/// One unit test of a rule: lines in, states out.
#[derive(Debug, Clone)]
pub struct TestCase {
    pub name: String,
    pub at: At,
    /// Format of the raw lines: `nginx_error`, `nginx_access`, …; without it the parser guesses.
    pub parser: Option<String>,
    pub logs: Vec<TestLogs>,
    pub counts: Vec<TestCounts>,
    pub expect: Vec<Expectation>,
}

/// Lines at `from, from + every, …` before `to`; times count from the beginning of the test.
#[derive(Debug, Clone)]
pub struct TestLogs {
    pub from_ns: i64,
    pub to_ns: i64,
    pub every_ns: i64,
    pub parser: Option<String>,
    pub body: TestBody,
    pub set: Labels,
}

#[derive(Debug, Clone)]
pub enum TestBody {
    Line(String),
    /// An object, written as JSON.
    Json(String),
}

/// Counts of a signal instead of lines, spread evenly.
#[derive(Debug, Clone)]
pub struct TestCounts {
    pub signal: String,
    pub labels: Labels,
    pub from_ns: i64,
    pub to_ns: i64,
    pub per_minute: f64,
}

/// What must be true at a time of the test. Labels select the instances that are meant.
#[derive(Debug, Clone)]
pub struct Expectation {
    pub at: At,
    pub time_ns: i64,
    pub state: Option<ExpectState>,
    pub severity: Option<Severity>,
    pub severity_not: Option<Severity>,
    pub labels: Labels,
    pub summary: Option<ExpectText>,
    pub value: BTreeMap<String, f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectState {
    Ok,
    Pending,
    Firing,
    Recovering,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectText {
    Equals(String),
    Contains(String),
}

//! What a rule file means, after every check.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::marks::Mark;
use crate::slots::Slots;
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
/// How long behind the wall clock a group looks, so that lines under way are counted: unless it says otherwise, or is
/// evaluated more often.
pub const DELAY_DEFAULT_NS: i64 = 5_000_000_000;
/// Longest window of a signal.
pub const WINDOW_MAX_NS: i64 = 7 * 86_400 * 1_000_000_000;
/// Longest period of an objective, and the longest time that `prev` looks back.
pub const PERIOD_MAX_NS: i64 = 35 * 86_400 * 1_000_000_000;
/// How long a group waits for sources that are behind before it decides with what is there.
pub const MAX_DELAY_DEFAULT_NS: i64 = 120 * 1_000_000_000;

/// How bad it is, ordered: `Critical` is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    /// The next worse one.
    pub const fn worse(self) -> Severity {
        match self {
            Severity::Info => Severity::Warning,
            Severity::Warning | Severity::Critical => Severity::Critical,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// The words of a file, the worst first.
pub const SEVERITIES: [(&str, Severity); 3] =
    [("critical", Severity::Critical), ("warning", Severity::Warning), ("info", Severity::Info)];

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// All groups that are in force together.
#[derive(Debug, Clone, Default)]
pub struct RuleSet {
    pub groups: Vec<Arc<Group>>,
    /// What the files say about patterns.
    pub marks: Vec<Mark>,
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
    /// `delay: auto`: a step waits until the sources have reported up to its time, at most `max_delay_ns`;
    /// `delay_ns` is then for a store that knows no watermarks.
    pub delay_auto: bool,
    pub max_delay_ns: i64,
    pub owner: Option<String>,
    pub rules: Vec<Arc<Rule>>,
}

impl Group {
    /// Whether any of its rules sees lines by this time.
    pub fn goes_by(&self, time: LineTime) -> bool {
        self.rules.iter().any(|rule| rule.time == time)
    }
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
    /// A name of its own outside of Logweir, shown in messages.
    pub id: Option<String>,
    pub status: Status,
    /// By which time its windows see lines.
    pub time: LineTime,
    pub kind: Kind,
    /// The labels by which its instances are told apart.
    pub by: Vec<String>,
    pub signals: Vec<Signal>,
    /// The worst first.
    pub levels: Vec<Level>,
    pub recover_when: Option<Condition>,
    pub keep_firing_for_ns: i64,
    pub on_empty: OnEmpty,
    pub on_error: OnError,
    pub on_partial: OnPartial,
    /// What must hold for there to be a decision at all.
    pub require: Option<Condition>,
    pub on_undecided: OnUndecided,
    /// Names of time intervals in the routing file in which the rule sends nothing.
    pub mute: Vec<String>,
    pub expected: Option<Expected>,
    pub summary: Template,
    pub labels: Labels,
    pub annotations: BTreeMap<String, Template>,
    pub runbook: Option<Template>,
    pub owner: Option<String>,
    pub context: Context,
    pub tests: Vec<TestCase>,
    /// Where its numbers are.
    pub(crate) slots: Slots,
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
    /// The name in the file, where several signals come from one: `bad` of `bad:1h`.
    pub feed: String,
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
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SignalQuery {
    pub filter: String,
    pub agg: Agg,
    pub field: Option<String>,
    pub window_ns: i64,
    pub by: Vec<String>,
    /// The window ends this long before the time of the evaluation.
    pub shift_ns: i64,
    pub time: LineTime,
}

/// Which of its two times says when a line was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum LineTime {
    /// What the line tells.
    #[default]
    Event,
    /// When the server received it: no clock of a host has a part in it, and nothing is late.
    Ingest,
}

impl LineTime {
    pub const ALL: [LineTime; 2] = [LineTime::Event, LineTime::Ingest];

    pub const fn as_str(self) -> &'static str {
        match self {
            LineTime::Event => "event",
            LineTime::Ingest => "ingest",
        }
    }
}

/// What a rule is about, besides its signals.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Threshold,
    Slo(Slo),
    Pattern(Pattern),
    Anomaly(Anomaly),
    Compare(Compare),
}

/// An objective for the share of good events over a period.
#[derive(Debug, Clone, PartialEq)]
pub struct Slo {
    pub objective: f64,
    pub period_ns: i64,
    /// Window whose burn rate is `burn`: the long one of the first burn condition.
    pub shown_ns: i64,
}

/// Messages whose template was not there before.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    pub filter: String,
    /// The field whose values are looked at as they are; without it the template of the message.
    pub field: Option<String>,
    /// "New" is new for these labels.
    pub scope: Vec<String>,
    /// How long a new scope learns in silence.
    pub learn_ns: i64,
    /// A pattern that was not seen for so long is new again.
    pub forget_after_ns: i64,
    /// A pattern that came so soon after a deploy is one level worse.
    pub after_deploy_ns: Option<i64>,
    pub limit: Option<Limit>,
    /// A pattern is new for so long.
    pub resolve_after_ns: i64,
    /// What was said about patterns; later ones count more.
    pub marks: Vec<Mark>,
}

/// New patterns of one scope that are alerts of their own; further ones are told together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub per_scope: usize,
    pub per_ns: i64,
}

/// A signal that behaves as it never did.
#[derive(Debug, Clone, PartialEq)]
pub struct Anomaly {
    pub signal: String,
    /// How often the detector gets a value: the window of the signal.
    pub bucket_ns: i64,
    pub detector: crate::anomaly::Settings,
}

/// A candidate against a baseline: two values of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compare {
    pub field: String,
    pub candidate: String,
    pub baseline: String,
}

/// How much a rule is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Status {
    Experimental,
    #[default]
    Stable,
    Deprecated,
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Experimental => "experimental",
            Status::Stable => "stable",
            Status::Deprecated => "deprecated",
        }
    }
}

/// What happens when not all sources have reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnPartial {
    #[default]
    Evaluate,
    /// Nothing changes.
    Hold,
}

/// What happens to an instance that cannot be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUndecided {
    /// Nothing changes.
    #[default]
    Keep,
    /// It has recovered.
    Ok,
    /// The worst level is reached.
    Fire,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Agg {
    #[default]
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
    /// How many other values than one the field had in the window.
    Changes,
}

impl Agg {
    /// Whether no lines at all are a zero, and not "unknown".
    pub const fn empty_is_zero(self) -> bool {
        matches!(self, Agg::Count | Agg::Sum | Agg::Distinct | Agg::Rate | Agg::Changes)
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
    /// Fields whose most frequent values are shown.
    pub top: Vec<String>,
    pub chart: Option<Chart>,
    /// The newest lines from before the alert, for a source that has gone silent.
    pub last_samples: usize,
    /// Show the stack trace of a sample.
    pub stack: bool,
    /// Say when the pattern was first seen.
    pub first_seen: bool,
}

impl Default for Context {
    fn default() -> Context {
        Context {
            samples: SAMPLES_DEFAULT,
            filter: None,
            top: Vec::new(),
            chart: None,
            last_samples: 0,
            stack: false,
            first_seen: false,
        }
    }
}

/// What is drawn into a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    /// An expression over signals: `errors`, `bad/total`.
    pub signal: String,
    pub span_ns: i64,
    /// Draw the usual range as well.
    pub band: bool,
    /// One line for each value of this field.
    pub split: Option<String>,
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
    pub series: Vec<TestSeries>,
    pub agents: Vec<TestAgent>,
    pub deploys: Vec<TestDeploy>,
    /// Nothing is known of the time before, as in a new installation.
    pub known_since_ns: Option<i64>,
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

/// Values of a signal, one per step, by a formula.
#[derive(Debug, Clone)]
pub struct TestSeries {
    pub signal: String,
    pub labels: Labels,
    pub shape: SeriesShape,
}

#[derive(Debug, Clone)]
pub enum SeriesShape {
    /// A level with a peak at the same time of every day of the test.
    Daily { step_ns: i64, days: i64, base: f64, peak: Option<Peak>, poisson: bool, seed: u64 },
    /// Added to the series with the same labels.
    Add { from_ns: i64, to_ns: i64, add: f64 },
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    pub at_ns: i64,
    pub value: f64,
    pub width_ns: i64,
}

/// When the agent of a host was alive.
#[derive(Debug, Clone)]
pub struct TestAgent {
    pub host: String,
    pub from_ns: i64,
    pub to_ns: i64,
}

#[derive(Debug, Clone)]
pub struct TestDeploy {
    pub at_ns: i64,
    pub name: String,
    pub labels: Labels,
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
    pub value: BTreeMap<String, ExpectValue>,
    /// Who is told of it, by the routing file that the tests are run with.
    pub receivers: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ExpectValue {
    Number(f64),
    Text(ExpectText),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectState {
    Ok,
    Pending,
    Firing,
    Recovering,
    Undecided,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectText {
    Equals(String),
    Contains(String),
}

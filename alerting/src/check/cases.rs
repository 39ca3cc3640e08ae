//! Running the tests of rules: raw lines through the store's own parser and search, the same state machine and the
//! same texts as in the server, and a clock that is only a number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use logweir_proto::api::Row;
use logweir_proto::text::format_duration;
use logweir_rules::evaluate::{self as machine, Input, Instance, Observation, Phase, RuleState};
use logweir_rules::model::{
    ExpectState, ExpectText, ExpectValue, Expectation, Group, Labels, Rule, RuleSet, Severity, TestCase,
};
use logweir_rules::schedule;

use super::inputs::Inputs;
use super::lines::{self, TestLine};
use crate::notify::template::{Facts, Renderer, show_number};
use crate::route::Routing;
use crate::route::standing::Surroundings;

/// Every test begins at 2026-01-01T00:00:00Z.
pub const START_NS: i64 = 1_767_225_600_000_000_000;

/// The store in memory: real parser, real search, no server.
pub trait LineEngine {
    /// Forgets what it had and takes these lines.
    fn load(&mut self, lines: Vec<TestLine>) -> Result<(), String>;

    /// The rows of a query over `[from_ns, to_ns)`.
    fn query(&self, query: &str, from_ns: i64, to_ns: i64) -> Result<Vec<Row>, String>;
}

/// What became of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseResult {
    pub rule: String,
    pub case: String,
    /// `file:line` of the test.
    pub place: String,
    /// What was not as expected, each with its place; empty when the test passed.
    pub failures: Vec<String>,
}

/// Conditions of a rule that no step of any of its tests made true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untested {
    pub rule: String,
    pub severity: Severity,
    pub when: String,
}

/// What the tests of a rule set show.
#[derive(Debug, Default)]
pub struct Report {
    pub results: Vec<CaseResult>,
    pub untested: Vec<Untested>,
}

/// Severity and place of the conditions that were true at some time.
type Covered = BTreeSet<(Severity, usize)>;

/// Runs every test of every rule; with a routing file also those parts of them that say who is told.
pub fn run_cases(set: &RuleSet, engine: &mut dyn LineEngine, routing: Option<&Routing>) -> Report {
    let mut report = Report::default();
    for (group, rule) in set.rules() {
        let mut covered = Covered::new();
        for case in &rule.tests {
            let of = Of { group, rule, case, routing };
            let failures = run_case(&of, engine, &mut covered).unwrap_or_else(|error| vec![error]);
            report.results.push(CaseResult {
                rule: rule.name.clone(),
                case: case.name.clone(),
                place: format!("{}:{}", rule.file, case.at.line),
                failures,
            });
        }
        if rule.tests.is_empty() {
            continue;
        }
        for level in &rule.levels {
            let missing = level.any.iter().enumerate().filter(|(i, _)| !covered.contains(&(level.severity, *i)));
            report.untested.extend(missing.map(|(_, alternative)| Untested {
                rule: rule.name.clone(),
                severity: level.severity,
                when: alternative.when.text.clone(),
            }));
        }
    }
    report
}

struct Of<'a> {
    group: &'a Group,
    rule: &'a Arc<Rule>,
    case: &'a TestCase,
    routing: Option<&'a Routing>,
}

fn run_case(of: &Of<'_>, engine: &mut dyn LineEngine, covered: &mut Covered) -> Result<Vec<String>, String> {
    let Of { group, rule, case, routing } = *of;
    engine.load(lines::lines(case, START_NS)?)?;
    let renderer = Renderer::default();
    let offset_ns = schedule::offset_ns(&group.name, group.every_ns);
    let mut expectations: Vec<&Expectation> = case.expect.iter().collect();
    expectations.sort_by_key(|expectation| expectation.time_ns);
    let inputs = Inputs::new(rule, case)?;
    let mut state = RuleState::default();
    let mut at = schedule::latest_at(START_NS, group.every_ns, offset_ns);
    let mut failures = Vec::new();
    for expectation in expectations {
        let until = START_NS.saturating_add(expectation.time_ns);
        loop {
            let next = schedule::next_after(at, group.every_ns, offset_ns);
            if next > until {
                break;
            }
            let last = std::mem::replace(&mut at, next);
            let given = inputs.at(engine, last, at)?;
            let tables = given.tables;
            let observation = Observation {
                tables: &tables,
                lines: &given.lines,
                sources: given.sources.as_ref(),
                coverage: None,
                known_since: case.known_since_ns.map(|since| START_NS.saturating_add(since)),
                deploys: &inputs.deploys,
            };
            machine::step(rule, &mut state, at, Input::Observed(&observation));
            let timers = state.instances.values().flat_map(|instance| &instance.timers);
            covered.extend(timers.map(|timer| (timer.severity, timer.alternative)));
        }
        let seen = Seen { group, rule, state: &state, renderer: &renderer, routing };
        if let Some(failure) = seen.failure(expectation) {
            let place = format!("{}:{}:{}", rule.file, expectation.at.line, expectation.at.column);
            let time = format_duration(Duration::from_nanos(expectation.time_ns.max(0) as u64));
            failures.push(format!("{place}: at {time}: {failure}; there is {}", seen.describe()));
        }
    }
    Ok(failures)
}

/// The state that an expectation is compared with.
struct Seen<'a> {
    group: &'a Group,
    rule: &'a Rule,
    state: &'a RuleState,
    renderer: &'a Renderer,
    routing: Option<&'a Routing>,
}

impl Seen<'_> {
    fn labels(&self, instance: &Labels) -> Labels {
        let mut labels = self.rule.labels.clone();
        labels.extend(instance.clone());
        labels
    }

    fn summary(&self, labels: &Labels, instance: &Instance) -> String {
        let labels = self.labels(labels);
        let facts = Facts {
            rule: self.rule,
            group: &self.group.name,
            labels: &labels,
            values: &instance.values,
            texts: &instance.texts,
            severity: instance.severity,
        };
        self.renderer.render(&self.rule.summary, facts)
    }

    /// Why no instance is as expected; `None` when one is.
    fn failure(&self, expectation: &Expectation) -> Option<String> {
        let meant: Vec<(&Labels, &Instance)> = self
            .state
            .instances
            .iter()
            .filter(|(labels, _)| covers(&self.labels(labels), &expectation.labels))
            .collect();
        if expectation.state == Some(ExpectState::Undecided) {
            let meant = |labels: &&Labels| covers(&self.labels(labels), &expectation.labels);
            return self.state.undecided.keys().find(meant).is_none().then(|| "expected undecided".to_owned());
        }
        if expectation.state == Some(ExpectState::Ok) {
            let told = expectation.receivers.as_ref().filter(|receivers| !receivers.is_empty());
            return match told.filter(|_| meant.is_empty()) {
                Some(receivers) => Some(format!("it goes to [], not to [{}]", receivers.join(", "))),
                None => (!meant.is_empty()).then(|| "expected ok".to_owned()),
            };
        }
        if meant.is_empty() {
            // "Not critical" is true of nothing at all, and so is "nobody is told".
            let told = expectation.receivers.as_ref().is_some_and(|receivers| !receivers.is_empty());
            let only_not = expectation.state.is_none() && expectation.severity.is_none() && !told;
            return (!only_not).then(|| "expected an alert".to_owned());
        }
        let failures: Vec<String> =
            meant.iter().filter_map(|(labels, instance)| self.mismatch(expectation, labels, instance)).collect();
        // An expectation is about some instance; a "not" is about all of them.
        let enough =
            if expectation.severity_not.is_some() { failures.is_empty() } else { failures.len() < meant.len() };
        if enough { None } else { failures.into_iter().next() }
    }

    fn mismatch(&self, expectation: &Expectation, labels: &Labels, instance: &Instance) -> Option<String> {
        if let Some(state) = expectation.state
            && state != state_of(instance)
        {
            return Some(format!("expected {}", state_name(state)));
        }
        if let Some(severity) = expectation.severity.filter(|severity| *severity != instance.severity) {
            return Some(format!("expected severity {severity}"));
        }
        if let Some(severity) = expectation.severity_not.filter(|severity| *severity == instance.severity) {
            return Some(format!("expected any severity but {severity}"));
        }
        if let Some(wanted) = &expectation.summary {
            let summary = self.summary(labels, instance);
            if !is_text(&summary, wanted) {
                return Some(format!("the summary is \"{summary}\""));
            }
        }
        if let Some(wanted) = &expectation.receivers
            && let Some(failure) = self.receivers(wanted, labels, instance)
        {
            return Some(failure);
        }
        expectation.value.iter().find_map(|(name, wanted)| {
            let good = match wanted {
                ExpectValue::Number(number) => instance
                    .values
                    .get(name)
                    .is_some_and(|value| (value - number).abs() <= 1e-9 * number.abs().max(1.0)),
                ExpectValue::Text(wanted) => instance.texts.get(name).is_some_and(|text| is_text(text, wanted)),
            };
            let wanted = match wanted {
                ExpectValue::Number(number) => show_number(*number),
                ExpectValue::Text(ExpectText::Equals(text) | ExpectText::Contains(text)) => format!("\"{text}\""),
            };
            (!good).then(|| format!("expected {name} = {wanted}"))
        })
    }

    /// What is wrong with who is told. Time intervals are not looked at, and of other alerts only those of the rule inhibit.
    fn receivers(&self, wanted: &[String], labels: &Labels, instance: &Instance) -> Option<String> {
        let Some(routing) = self.routing else {
            return Some("'receivers' needs the routing file: --config alerting.yaml".to_owned());
        };
        let all = |(labels, instance): (&Labels, &Instance)| {
            let mut all = self.labels(labels);
            all.insert("alertname".to_owned(), self.rule.name.clone());
            all.insert("severity".to_owned(), instance.severity.to_string());
            all
        };
        let is_firing = |(_, instance): &(&Labels, &Instance)| instance.phase != Phase::Pending;
        let firing = self.state.instances.iter().filter(is_firing).map(|one| (set(one.0), all(one))).collect();
        let around = Surroundings { firing, ..Surroundings::default() };
        let (id, own) = (set(labels), all((labels, instance)));
        let told = around.hold(routing, &[], &id, &own, START_NS).is_none() && instance.phase != Phase::Pending;
        let mut found: Vec<String> = match told {
            true => routing.root.matching(&own).iter().map(|route| route.receiver.clone()).collect(),
            false => Vec::new(),
        };
        let mut wanted = wanted.to_vec();
        for names in [&mut found, &mut wanted] {
            names.sort_unstable();
            names.dedup();
        }
        (found != wanted).then(|| format!("it goes to [{}], not to [{}]", found.join(", "), wanted.join(", ")))
    }

    fn describe(&self) -> String {
        let undecided =
            self.state.undecided.iter().map(|(labels, reason)| format!("{} undecided ({reason})", set(labels)));
        if self.state.instances.is_empty() {
            return undecided.reduce(|all, one| format!("{all}; {one}")).unwrap_or_else(|| "no alert".to_owned());
        }
        let one = |(labels, instance): (&Labels, &Instance)| {
            let values: Vec<String> =
                instance.values.iter().map(|(name, value)| format!("{name}={}", show_number(*value))).collect();
            let texts = instance.texts.iter().map(|(name, text)| format!("{name}=\"{text}\""));
            let values: Vec<String> = values.into_iter().chain(texts).collect();
            let state = state_name(state_of(instance));
            format!("{} {state} {} ({})", set(labels), instance.severity, values.join(" "))
        };
        self.state.instances.iter().take(5).map(one).collect::<Vec<_>>().join("; ")
    }
}

fn covers(labels: &Labels, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn set(labels: &Labels) -> String {
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{{{}}}", labels.join(","))
}

fn is_text(text: &str, wanted: &ExpectText) -> bool {
    match wanted {
        ExpectText::Equals(wanted) => text == wanted,
        ExpectText::Contains(part) => text.contains(part.as_str()),
    }
}

const fn state_of(instance: &Instance) -> ExpectState {
    match instance.phase {
        Phase::Pending => ExpectState::Pending,
        Phase::Firing => ExpectState::Firing,
        Phase::Recovering => ExpectState::Recovering,
    }
}

const fn state_name(state: ExpectState) -> &'static str {
    match state {
        ExpectState::Ok => "ok",
        ExpectState::Pending => "pending",
        ExpectState::Firing => "firing",
        ExpectState::Recovering => "recovering",
        ExpectState::Undecided => "undecided",
    }
}

//! From tables to the numbers of one instance, by the kind of the rule.

use std::collections::BTreeMap;

use super::instance::Weight;
use super::observe::Observation;
use super::patterns::{self, Novelty};
use super::{Facts, Reason, RuleState, Texts, filled};
use crate::anomaly::{Detector, Series};
use crate::condition::Values;
use crate::file::{SOURCE_STATE, windowed};
use crate::model::{Agg, Anomaly, Compare, Kind, Labels, OnEmpty, OnUndecided, Rule, SignalSource, Slo};
use crate::signal::Table;

/// Series of an anomaly rule that are remembered.
pub const SERIES_PER_RULE_MAX: usize = 1_000;
/// The same with the detector `knn`, which compares each value with a week of others.
pub(super) const KNN_SERIES_MAX: usize = 100;
/// A series without a line for so long is forgotten.
const SERIES_IDLE_MAX_NS: i64 = 14 * 86_400 * 1_000_000_000;

/// A count of zero is a row about nothing.
pub(super) fn is_match(agg: Agg, value: f64) -> bool {
    !agg.empty_is_zero() || value != 0.0
}

/// The numbers of an instance, and whether any line is behind them.
struct Numbers {
    values: Values,
    matched: bool,
}

/// What one evaluation knows about all instances of a rule.
pub(super) struct View<'a> {
    pub(super) rule: &'a Rule,
    pub(super) at: i64,
    pub(super) observation: &'a Observation<'a>,
    pub(super) open: BTreeMap<Labels, Novelty>,
}

/// Takes what is new into the memory of the rule; answers what was refused.
pub(super) fn observe(rule: &Rule, state: &mut RuleState, at: i64, observation: &Observation<'_>) -> usize {
    match &rule.kind {
        Kind::Pattern(pattern) => patterns::observe(pattern, &mut state.patterns, at, observation),
        Kind::Anomaly(anomaly) => observe_series(rule, anomaly, state, at, observation),
        _ => 0,
    }
}

fn observe_series(
    rule: &Rule,
    anomaly: &Anomaly,
    state: &mut RuleState,
    at: i64,
    observation: &Observation<'_>,
) -> usize {
    let mut refused = 0;
    let is_knn = anomaly.detector.detector == Detector::Knn;
    let series_max = if is_knn { KNN_SERIES_MAX } else { SERIES_PER_RULE_MAX };
    let bucket = |time: i64| time.div_euclid(anomaly.bucket_ns);
    for labels in super::candidates(rule, state, at, observation) {
        let numbers = numbers(rule, &labels, observation.tables);
        let known = state.series.get(&labels);
        if known.is_some_and(|series| bucket(series.last_at) >= bucket(at)) {
            continue;
        }
        if known.is_none() && (!numbers.matched || state.series.len() >= series_max) {
            refused += usize::from(numbers.matched);
            continue;
        }
        // The average of no lines is no value: the detector waits for one.
        let Some(value) = numbers.values.get(&anomaly.signal).copied() else { continue };
        let new = || Series::new(&anomaly.detector, anomaly.bucket_ns, at);
        let series = state.series.entry(labels).or_insert_with(new);
        series.push(&anomaly.detector, anomaly.bucket_ns, at, value);
        if numbers.matched {
            series.alive_at = at;
        }
    }
    state.series.retain(|_, series| at.saturating_sub(series.alive_at) <= SERIES_IDLE_MAX_NS);
    refused
}

impl View<'_> {
    pub(super) fn facts(&self, state: &RuleState, labels: &Labels) -> Facts {
        let rule = self.rule;
        let Numbers { mut values, matched } = numbers(rule, labels, self.observation.tables);
        let mut texts = Texts::new();
        let mut weight = Weight::default();
        match &rule.kind {
            Kind::Slo(slo) => budget(slo, &mut values),
            Kind::Anomaly(_) => self.anomaly(state, labels, &mut values, &mut texts),
            Kind::Pattern(_) => weight = self.novelty(labels, &mut values, &mut texts),
            Kind::Threshold | Kind::Compare(_) => {}
        }
        if rule.expected.is_some() {
            self.silence(state, labels, matched, &mut values, &mut texts);
        }
        if let Some(coverage) = self.observation.coverage.filter(|coverage| coverage.is_partial()) {
            let text = format!("{} of {} sources have reported", coverage.reported, coverage.expected);
            texts.insert("partial".to_owned(), text);
        }
        let empty = !matched && rule.expected.is_none() && !matches!(rule.kind, Kind::Pattern(_));
        let facts = Facts {
            forced: (empty && rule.on_empty == OnEmpty::Fire).then_some(Reason::NoLines),
            frozen: empty && rule.on_empty == OnEmpty::Keep,
            empty,
            values,
            texts,
            weight,
            undecided: None,
            doubts: filled::doubts(rule, self.at, self.observation.known_since),
        };
        undecided(rule, facts, self.observation.known_since)
    }

    /// When the last line came, and whether the agent is to blame.
    fn silence(&self, state: &RuleState, labels: &Labels, matched: bool, values: &mut Values, texts: &mut Texts) {
        // The last line came at the beginning of the last window that had one, give or take a step.
        let window_ns = self.rule.queries().map(|(_, query)| query.window_ns).min().unwrap_or(0);
        let seen = state.seen.get(labels).copied().unwrap_or(self.at);
        let silent_ns = if matched { 0 } else { self.at.saturating_sub(seen).saturating_add(window_ns) };
        values.insert("silent_for".to_owned(), silent_ns as f64 / 1e9);
        match self.observation.sources.map(|sources| sources.of(labels)) {
            Some(source) => {
                values.insert(SOURCE_STATE.to_owned(), source.number());
                texts.insert("source_state".to_owned(), source.as_str().to_owned());
            }
            // Nobody knows: the application is the one to look at.
            None => {
                values.insert(SOURCE_STATE.to_owned(), 1.0);
                texts.insert("source_state".to_owned(), "unknown".to_owned());
            }
        }
    }

    fn anomaly(&self, state: &RuleState, labels: &Labels, values: &mut Values, texts: &mut Texts) {
        let Some(verdict) = state.series.get(labels).map(Series::verdict) else { return };
        let duration_ns = verdict.since.map_or(0, |since| self.at.saturating_sub(since));
        values.insert("anomaly".to_owned(), f64::from(u8::from(verdict.anomaly)));
        values.insert("duration".to_owned(), duration_ns as f64 / 1e9);
        values.insert("score".to_owned(), verdict.score);
        if let Some((low, high)) = verdict.usual {
            values.insert("usual_low".to_owned(), low);
            values.insert("usual_high".to_owned(), high);
        }
        texts.insert("explain".to_owned(), verdict.explain.clone());
    }

    /// Answers what a deploy or a ticket makes of the level.
    fn novelty(&self, labels: &Labels, values: &mut Values, texts: &mut Texts) -> Weight {
        let found = self.open.get(labels);
        values.insert("new_pattern".to_owned(), f64::from(u8::from(found.is_some())));
        let Some(found) = found else { return Weight::AsItIs };
        values.insert("count_10m".to_owned(), found.count_10m);
        values.insert("count_1h".to_owned(), found.count_1h);
        values.insert("patterns".to_owned(), found.patterns);
        texts.insert("template".to_owned(), found.template.clone());
        let first = found.first_seen.and_then(|at| jiff::Timestamp::from_nanosecond(i128::from(at)).ok());
        texts.extend(first.map(|first| ("first_seen".to_owned(), format!("{first:.0}"))));
        texts.extend(found.deploy.clone().map(|deploy| ("deploy".to_owned(), deploy)));
        texts.extend(found.ticket.clone().map(|ticket| ("ticket".to_owned(), ticket)));
        match (&found.ticket, &found.deploy) {
            (Some(_), _) => Weight::Info,
            (None, Some(_)) => Weight::Worse,
            (None, None) => Weight::AsItIs,
        }
    }
}

/// What is not decided is not decided by its numbers.
fn undecided(rule: &Rule, mut facts: Facts, known_since: Option<i64>) -> Facts {
    let since = || {
        let known = known_since.and_then(|at| jiff::Timestamp::from_nanosecond(i128::from(at)).ok());
        let known = known.map_or_else(String::new, |at| format!("{at:.0}"));
        format!("less than half of its window is known: there is nothing from before {known}")
    };
    let required = rule.require.as_ref().map(|require| (require, require.decided(&facts.values, &facts.doubts)));
    let reason = match required {
        Some((require, Some(false))) => format!("{} is not met", require.text),
        Some((_, None)) => since(),
        _ if filled::is_open(rule, &facts.values, &facts.doubts) => since(),
        // The numbers decide as ever: more traffic would not have to change anything.
        _ => {
            facts.undecided = filled::within_chance(rule, &facts);
            return facts;
        }
    };
    match rule.on_undecided {
        OnUndecided::Keep => facts.frozen = true,
        OnUndecided::Ok => {
            facts.empty = true;
            facts.values.clear();
        }
        OnUndecided::Fire => facts.forced = Some(Reason::Undecided(reason.clone())),
    }
    facts.undecided = Some(reason);
    facts
}

fn numbers(rule: &Rule, labels: &Labels, tables: &[Table]) -> Numbers {
    match &rule.kind {
        Kind::Compare(compare) => both_sides(rule, compare, labels, tables),
        _ => one_side(rule, labels, tables),
    }
}

fn one_side(rule: &Rule, labels: &Labels, tables: &[Table]) -> Numbers {
    let mut out = Numbers { values: Values::new(), matched: false };
    let mut tables = tables.iter();
    for signal in &rule.signals {
        let value = match &signal.source {
            SignalSource::Query(query) => {
                let row = tables.next().and_then(|table| lookup(table, labels, &query.by));
                // What was an hour ago says nothing about whether there are lines now.
                out.matched |= query.shift_ns == 0 && row.is_some_and(|value| is_match(query.agg, value));
                row.or(query.agg.empty_is_zero().then_some(0.0))
            }
            SignalSource::Expr(expr) => expr.number(&out.values),
        };
        out.values.extend(value.map(|value| (signal.name.clone(), value)));
    }
    out
}

/// The signals of the candidate and of the baseline, each under its name.
fn both_sides(rule: &Rule, compare: &Compare, labels: &Labels, tables: &[Table]) -> Numbers {
    let mut out = Numbers { values: Values::new(), matched: false };
    for side in [&compare.candidate, &compare.baseline] {
        let mut labels = labels.clone();
        labels.insert(compare.field.clone(), side.clone());
        let numbers = one_side(rule, &labels, tables);
        out.matched |= numbers.matched;
        out.values.extend(numbers.values.into_iter().map(|(name, value)| (format!("{side}.{name}"), value)));
    }
    out
}

fn lookup(table: &Table, labels: &Labels, by: &[String]) -> Option<f64> {
    if by.len() == labels.len() {
        return table.get(labels).copied();
    }
    let part: Labels = labels.iter().filter(|(key, _)| by.contains(key)).map(|(k, v)| (k.clone(), v.clone())).collect();
    table.get(&part).copied()
}

/// `burn`, `budget_left`, `bad` and `total` of an objective.
fn budget(slo: &Slo, values: &mut Values) {
    let allowed = 1.0 - slo.objective;
    let pair = |values: &Values, window: i64| {
        let get = |feed: &str| values.get(&windowed(feed, window)).copied();
        Some((get("bad")?, get("total")?))
    };
    if let Some((bad, total)) = pair(values, slo.shown_ns) {
        values.insert("bad".to_owned(), bad);
        values.insert("total".to_owned(), total);
        if total > 0.0 {
            values.insert("burn".to_owned(), bad / total / allowed);
        }
    }
    if let Some((bad, total)) = pair(values, slo.period_ns).filter(|(_, total)| *total > 0.0) {
        values.insert("budget_left".to_owned(), 1.0 - bad / (total * allowed));
    }
}

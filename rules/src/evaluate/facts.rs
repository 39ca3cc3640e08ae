//! From tables to the numbers of one instance, by the kind of the rule.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::instance::Weight;
use super::lineage::time_text;
use super::observe::{Observation, source_of};
use super::patterns::{self, Novelty};
use super::{Facts, Reason, RuleState, filled};
use crate::anomaly::{Detector, Series};
use crate::file::SOURCE_STATE;
use crate::model::{Agg, Anomaly, Kind, Labels, OnEmpty, OnUndecided, Rule, SignalQuery, SignalSource, Slo};
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

/// What one evaluation knows about all instances of a rule.
pub(super) struct View<'a> {
    pub(super) rule: &'a Rule,
    pub(super) at: i64,
    pub(super) observation: &'a Observation<'a>,
    pub(super) open: BTreeMap<Labels, Novelty>,
    pub(super) reader: Reader<'a>,
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
    let mut reader = Reader::new(rule, observation.tables);
    let mut numbers = Vec::new();
    for labels in super::candidates(rule, state, at, observation) {
        let matched = reader.read(&labels, &mut numbers);
        let known = state.series.get(&*labels);
        if known.is_some_and(|series| bucket(series.last_at) >= bucket(at)) {
            continue;
        }
        if known.is_none() && (!matched || state.series.len() >= series_max) {
            refused += usize::from(matched);
            continue;
        }
        // The average of no lines is no value: the detector waits for one.
        let value = numbers.get(rule.slots.place(&anomaly.signal)).copied().unwrap_or(f64::NAN);
        if value.is_nan() {
            continue;
        }
        let new = || Series::new(&anomaly.detector, anomaly.bucket_ns, at);
        let series = state.series.entry((*labels).clone()).or_insert_with(new);
        series.push(&anomaly.detector, anomaly.bucket_ns, at, value);
        if matched {
            series.alive_at = at;
        }
    }
    state.series.retain(|_, series| at.saturating_sub(series.alive_at) <= SERIES_IDLE_MAX_NS);
    refused
}

impl View<'_> {
    /// What is known of one instance. Instances are asked for in the order of their labels.
    pub(super) fn facts(&mut self, state: &RuleState, labels: &Arc<Labels>, facts: &mut Facts) {
        let rule = self.rule;
        facts.clear();
        let matched = self.reader.read(labels, &mut facts.numbers);
        match &rule.kind {
            Kind::Slo(slo) => budget(rule, slo, &mut facts.numbers),
            Kind::Anomaly(_) => self.anomaly(state, labels, facts),
            Kind::Pattern(pattern) => {
                facts.weight = self.novelty(labels, facts);
                facts.over = (!self.open.contains_key(labels))
                    .then(|| patterns::over(pattern, &state.patterns, labels))
                    .flatten()
                    .map(Reason::NotNew);
            }
            Kind::Threshold | Kind::Compare(_) => {}
        }
        if rule.expected.is_some() {
            self.silence(state, labels, matched, facts);
        }
        if let Some(coverage) = self.observation.coverage.filter(|coverage| coverage.is_partial()) {
            let text = format!("{} of {} sources have reported", coverage.reported, coverage.expected);
            facts.texts.insert("partial".to_owned(), text);
        }
        let empty = !matched && rule.expected.is_none() && !matches!(rule.kind, Kind::Pattern(_));
        facts.forced = (empty && rule.on_empty == OnEmpty::Fire).then_some(Reason::NoLines);
        facts.frozen = empty && rule.on_empty == OnEmpty::Keep;
        facts.empty = empty;
        undecided(rule, facts, self.observation.known_since);
        facts.blank = facts.numbers.iter().all(|number| number.is_nan());
    }

    /// When the last line came, and whether the agent is to blame.
    fn silence(&self, state: &RuleState, labels: &Labels, matched: bool, facts: &mut Facts) {
        let slots = &self.rule.slots;
        // The last line came at the beginning of the last window that had one, give or take a step.
        let window_ns = self.rule.queries().map(|(_, query)| query.window_ns).min().unwrap_or(0);
        let seen = state.seen.get(labels).copied().unwrap_or(self.at);
        let silent_ns = if matched { 0 } else { self.at.saturating_sub(seen).saturating_add(window_ns) };
        // Nobody knows: the application is the one to look at.
        let source = self.observation.sources.map(|sources| source_of(sources, labels));
        let (number, text) = source.map_or((1.0, "unknown"), |source| (source.number(), source.as_str()));
        facts.put(slots, "silent_for", silent_ns as f64 / 1e9);
        facts.put(slots, SOURCE_STATE, number);
        facts.texts.insert("source_state".to_owned(), text.to_owned());
    }

    fn anomaly(&self, state: &RuleState, labels: &Labels, facts: &mut Facts) {
        let slots = &self.rule.slots;
        let Some(verdict) = state.series.get(labels).map(Series::verdict) else { return };
        let duration_ns = verdict.since.map_or(0, |since| self.at.saturating_sub(since));
        facts.put(slots, "anomaly", f64::from(u8::from(verdict.anomaly)));
        facts.put(slots, "duration", duration_ns as f64 / 1e9);
        facts.put(slots, "score", verdict.score);
        if let Some((low, high)) = verdict.usual {
            facts.put(slots, "usual_low", low);
            facts.put(slots, "usual_high", high);
        }
        facts.texts.insert("explain".to_owned(), verdict.explain.clone());
    }

    /// Answers what a deploy or a ticket makes of the level.
    fn novelty(&self, labels: &Labels, facts: &mut Facts) -> Weight {
        let (slots, found) = (&self.rule.slots, self.open.get(labels));
        facts.put(slots, "new_pattern", f64::from(u8::from(found.is_some())));
        let Some(found) = found else { return Weight::AsItIs };
        facts.put(slots, "count_10m", found.count_10m);
        facts.put(slots, "count_1h", found.count_1h);
        facts.put(slots, "patterns", found.patterns);
        let texts = &mut facts.texts;
        texts.insert("template".to_owned(), found.template.clone());
        texts.extend(found.first_seen.map(|first| ("first_seen".to_owned(), time_text(first))));
        texts.extend(found.lineage.clone().map(|lineage| ("lineage".to_owned(), lineage)));
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
fn undecided(rule: &Rule, facts: &mut Facts, known_since: Option<i64>) {
    let since = || {
        let known = known_since.and_then(|at| jiff::Timestamp::from_nanosecond(i128::from(at)).ok());
        let known = known.map_or_else(String::new, |at| format!("{at:.0}"));
        format!("less than half of its window is known: there is nothing from before {known}")
    };
    let required = rule.require.as_ref().map(|require| (require, require.decided(&facts.numbers, &facts.doubts)));
    let reason = match required {
        Some((require, Some(false))) => format!("{} is not met", require.text),
        Some((_, None)) => since(),
        _ if filled::is_open(rule, facts) => since(),
        // The numbers decide as ever: more traffic would not have to change anything.
        _ => {
            facts.undecided = filled::within_chance(rule, facts);
            return;
        }
    };
    match rule.on_undecided {
        OnUndecided::Keep => facts.frozen = true,
        OnUndecided::Ok => {
            facts.empty = true;
            facts.numbers.fill(f64::NAN);
        }
        OnUndecided::Fire => facts.forced = Some(Reason::Undecided(reason.clone())),
    }
    facts.undecided = Some(reason);
}

/// Reads the tables of a rule, one label set after the other.
pub(super) struct Reader<'a> {
    rule: &'a Rule,
    tables: &'a [Table],
    /// Where in each table the last label set was.
    places: Vec<usize>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(rule: &'a Rule, tables: &'a [Table]) -> Reader<'a> {
        Reader { rule, tables, places: vec![0; tables.len()] }
    }

    /// Puts the numbers of an instance into their places; answers whether any line is behind them.
    fn read(&mut self, labels: &Arc<Labels>, numbers: &mut Vec<f64>) -> bool {
        let slots = &self.rule.slots;
        numbers.clear();
        numbers.resize(slots.len(), f64::NAN);
        let Kind::Compare(compare) = &self.rule.kind else { return self.side(labels, numbers) };
        let mut matched = false;
        for (side, name) in [&compare.candidate, &compare.baseline].into_iter().enumerate() {
            let mut own = (**labels).clone();
            own.insert(compare.field.clone(), name.clone());
            matched |= self.side(&Arc::new(own), numbers);
            for (from, to) in slots.signals.iter().zip(&slots.sides) {
                numbers[to[side]] = std::mem::replace(&mut numbers[*from], f64::NAN);
            }
        }
        matched
    }

    fn side(&mut self, labels: &Arc<Labels>, numbers: &mut [f64]) -> bool {
        let (mut matched, mut table) = (false, 0);
        for (signal, slot) in self.rule.signals.iter().zip(&self.rule.slots.signals) {
            let value = match &signal.source {
                SignalSource::Query(query) => {
                    let row = self.row(table, labels, query);
                    table += 1;
                    // What was an hour ago says nothing about whether there are lines now.
                    matched |= query.shift_ns == 0 && row.is_some_and(|value| is_match(query.agg, value));
                    row.unwrap_or(if query.agg.empty_is_zero() { 0.0 } else { f64::NAN })
                }
                SignalSource::Expr(expr) => expr.compute(numbers),
            };
            numbers[*slot] = value;
        }
        matched
    }

    fn row(&mut self, index: usize, labels: &Arc<Labels>, query: &SignalQuery) -> Option<f64> {
        let table = self.tables.get(index)?;
        if query.by.len() == labels.len() {
            return match self.rule.kind {
                // Two sides in turn are in no order.
                Kind::Compare(_) => table.get(labels),
                _ => table.next(&mut self.places[index], labels),
            };
        }
        let own = labels.iter().filter(|(key, _)| query.by.contains(key));
        table.get(&own.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

/// `burn`, `budget_left`, `bad` and `total` of an objective.
fn budget(rule: &Rule, slo: &Slo, numbers: &mut [f64]) {
    let (slots, allowed) = (&rule.slots, 1.0 - slo.objective);
    let [bad, total, all_bad, all] = slots.budget.map(|slot| numbers.get(slot).copied().unwrap_or(f64::NAN));
    let mut put = |name: &str, number: f64| {
        if number.is_finite()
            && let Some(place) = numbers.get_mut(slots.place(name))
        {
            *place = number;
        }
    };
    if !bad.is_nan() && !total.is_nan() {
        put("bad", bad);
        put("total", total);
        if total > 0.0 {
            put("burn", bad / total / allowed);
        }
    }
    if all > 0.0 {
        put("budget_left", 1.0 - all_bad / (all * allowed));
    }
}

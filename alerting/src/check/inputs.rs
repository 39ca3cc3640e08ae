//! What a test gives a rule at one time: tables from lines, counts or series, new lines, agents, deploys.

use std::collections::BTreeMap;

use logweir_rules::evaluate::{Deploy, PatternLine, SourceState, Sources};
use logweir_rules::model::{
    Agg, Kind, Labels, LineTime, Pattern, Rule, SeriesShape, Signal, SignalQuery, TestCase, TestCounts, TestSeries,
};
use logweir_rules::signal::Table;

use super::cases::{LineEngine, START_NS};

const DAY_NS: i64 = 86_400 * 1_000_000_000;
/// How long an agent may be silent before it is dead.
const HEARTBEAT_NS: i64 = 30 * 1_000_000_000;
/// Values of one series.
const SERIES_VALUES_MAX: i64 = 100_000;

/// The inputs of one test.
pub(super) struct Inputs<'a> {
    rule: &'a Rule,
    case: &'a TestCase,
    series: Vec<Series<'a>>,
    pub(super) deploys: Vec<Deploy>,
}

pub(super) struct Given {
    pub(super) tables: Vec<Table>,
    pub(super) lines: Vec<PatternLine>,
    pub(super) sources: Option<Sources>,
}

/// The values of one series, one per step from the beginning of the test.
struct Series<'a> {
    signal: &'a str,
    labels: &'a Labels,
    step_ns: i64,
    values: Vec<f64>,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(rule: &'a Rule, case: &'a TestCase) -> Result<Inputs<'a>, String> {
        let mut series: Vec<Series<'a>> = Vec::new();
        for given in &case.series {
            match &given.shape {
                SeriesShape::Daily { .. } => series.extend(daily(given)?),
                SeriesShape::Add { from_ns, to_ns, add } => {
                    let same = |s: &&mut Series<'_>| s.signal == given.signal && *s.labels == given.labels;
                    let found =
                        series.iter_mut().find(same).ok_or("'add' needs a series with the same labels before it")?;
                    let steps = from_ns / found.step_ns..to_ns / found.step_ns;
                    for value in steps.filter_map(|step| usize::try_from(step).ok()) {
                        found.values.get_mut(value).into_iter().for_each(|value| *value += add);
                    }
                }
            }
        }
        let deploy = |d: &logweir_rules::model::TestDeploy| Deploy {
            at: START_NS.saturating_add(d.at_ns),
            name: d.name.clone(),
            labels: d.labels.clone(),
        };
        Ok(Inputs { rule, case, series, deploys: case.deploys.iter().map(deploy).collect() })
    }

    /// Everything for the evaluation at `at`, when the one before was at `last`.
    pub(super) fn at(&self, engine: &dyn LineEngine, last: i64, at: i64) -> Result<Given, String> {
        let tables = self.rule.queries().map(|(signal, query)| self.table(engine, signal, query, at));
        let lines = match &self.rule.kind {
            Kind::Pattern(pattern) => lines(engine, self.rule.time, pattern, (last, at))?,
            _ => Vec::new(),
        };
        Ok(Given { tables: tables.collect::<Result<_, _>>()?, lines, sources: self.sources(at) })
    }

    fn table(&self, engine: &dyn LineEngine, signal: &Signal, query: &SignalQuery, at: i64) -> Result<Table, String> {
        let (from, to) = query.range(at);
        let counts: Vec<&TestCounts> = self.case.counts.iter().filter(|counts| counts.signal == signal.feed).collect();
        if !counts.is_empty() {
            return counted(query, &counts, from, to);
        }
        let mut series = self.series.iter().filter(|series| series.signal == signal.feed).peekable();
        if series.peek().is_none() {
            let (text, from, to) = query.time.about(&query.text(), (from, to));
            return Ok(query.table(&engine.query(&text, from, to)?));
        }
        let own = |labels: &Labels| -> Labels {
            let own = labels.iter().filter(|(key, _)| query.by.contains(key));
            own.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        let newest = |series: &Series<'_>| {
            let step = to.saturating_sub(START_NS).div_euclid(series.step_ns) - 1;
            usize::try_from(step).ok().and_then(|step| series.values.get(step)).copied()
        };
        Ok(series.filter_map(|series| Some((own(series.labels), newest(series)?))).collect())
    }

    fn sources(&self, at: i64) -> Option<Sources> {
        if self.case.agents.is_empty() {
            return None;
        }
        let mut hosts = BTreeMap::new();
        for agent in &self.case.agents {
            let time = at.saturating_sub(START_NS);
            let alive = agent.from_ns <= time && time <= agent.to_ns.saturating_add(HEARTBEAT_NS);
            let state = if alive { SourceState::Alive } else { SourceState::Dead };
            let known = hosts.entry(agent.host.clone()).or_insert(state);
            if alive {
                *known = SourceState::Alive;
            }
        }
        Some(hosts)
    }
}

/// The new lines of a pattern rule.
fn lines(
    engine: &dyn LineEngine,
    time: LineTime,
    pattern: &Pattern,
    (last, at): (i64, i64),
) -> Result<Vec<PatternLine>, String> {
    let (text, from, to) = time.about(&pattern.query(), (last, at));
    let rows = engine.query(&text, from, to)?;
    // The engine answers the newest first.
    Ok(rows.iter().rev().filter_map(|row| pattern.line(row, at)).collect())
}

/// The table that evenly spread counts give.
fn counted(query: &SignalQuery, counts: &[&TestCounts], from: i64, to: i64) -> Result<Table, String> {
    let mut table = BTreeMap::new();
    for counts in counts {
        let from = from.max(START_NS.saturating_add(counts.from_ns));
        let to = to.min(START_NS.saturating_add(counts.to_ns));
        let minutes = to.saturating_sub(from).max(0) as f64 / 60e9;
        let labels = counts.labels.iter().filter(|(key, _)| query.by.contains(key));
        let labels: Labels = labels.map(|(key, value)| (key.clone(), value.clone())).collect();
        *table.entry(labels).or_insert(0.0) += counts.per_minute * minutes;
    }
    match query.agg {
        Agg::Count => table.values_mut().for_each(|value| *value = value.floor()),
        Agg::Rate => table.values_mut().for_each(|value| *value /= query.window_ns as f64 / 1e9),
        _ => return Err("counts can stand for signals with 'agg: count' or 'agg: rate' only".to_owned()),
    }
    table.retain(|_, value: &mut f64| *value > 0.0);
    Ok(table.into())
}

fn daily(given: &TestSeries) -> Result<Option<Series<'_>>, String> {
    let SeriesShape::Daily { step_ns, days, base, peak, poisson, seed } = given.shape else { return Ok(None) };
    let steps = days.saturating_mul(DAY_NS) / step_ns;
    if steps > SERIES_VALUES_MAX {
        return Err(format!("a series has at most {SERIES_VALUES_MAX} values"));
    }
    let mut random = Random(seed.wrapping_mul(2).wrapping_add(1));
    let value = |step: i64| {
        let time = step * step_ns % DAY_NS;
        let in_peak = |peak: &logweir_rules::model::Peak| (time - peak.at_ns).abs() * 2 <= peak.width_ns;
        let mean = peak.filter(in_peak).map_or(base, |peak| peak.value);
        if poisson { random.poisson(mean) } else { mean }
    };
    Ok(Some(Series { signal: &given.signal, labels: &given.labels, step_ns, values: (0..steps).map(value).collect() }))
}

/// splitmix64: the same numbers in every run.
struct Random(u64);

impl Random {
    /// In `(0, 1]`.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64 + f64::EPSILON
    }

    fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 50.0 {
            let (a, b) = (self.uniform(), self.uniform());
            let normal = (-2.0 * a.min(1.0).ln()).max(0.0).sqrt() * (std::f64::consts::TAU * b).cos();
            return (mean + mean.sqrt() * normal).round().max(0.0);
        }
        let (limit, mut product, mut count) = ((-mean.max(0.0)).exp(), self.uniform(), 0.0);
        while product > limit {
            product *= self.uniform();
            count += 1.0;
        }
        count
    }
}

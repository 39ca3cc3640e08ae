//! The `tests` of a rule.

use logweir_proto::text;

use crate::model::{
    ExpectState, ExpectText, ExpectValue, Expectation, Labels, Peak, SEVERITIES, SeriesShape, TestAgent, TestBody,
    TestCase, TestCounts, TestDeploy, TestLogs, TestSeries,
};
use logweir_proto::yaml::{Fields, Node, Problems, Value};

/// What the tests of a rule may name.
pub(super) struct Names {
    /// Signals that `counts` and `series` may stand for.
    pub(super) signals: Vec<String>,
    /// Values that an expectation may be about.
    pub(super) values: Vec<String>,
}

/// Longest time that a test may span.
const TEST_SPAN_MAX_NS: i64 = 40 * 86_400 * 1_000_000_000;

pub(super) fn read(node: &Node, names: &Names, problems: &mut Problems) -> Vec<TestCase> {
    problems.list(node, "tests").iter().filter_map(|node| read_case(node, names, problems)).collect()
}

fn read_case(node: &Node, names: &Names, problems: &mut Problems) -> Option<TestCase> {
    let mut fields = Fields::new(node, "a test", problems)?;
    let name = fields.require("name", problems).and_then(|n| problems.text(n, "name")).unwrap_or_default();
    let parser = fields.get("parser").and_then(|n| problems.text(n, "parser"));
    let mut logs = Vec::new();
    if let Some(node) = fields.get("logs") {
        logs.extend(problems.list(node, "logs").iter().filter_map(|node| read_logs(node, problems)));
    }
    let mut counts = Vec::new();
    if let Some(node) = fields.get("counts") {
        counts.extend(problems.list(node, "counts").iter().filter_map(|node| read_counts(node, names, problems)));
    }
    let mut expect = Vec::new();
    if let Some(node) = fields.require("expect", problems) {
        expect.extend(problems.list(node, "expect").iter().filter_map(|node| read_expectation(node, names, problems)));
    }
    let mut list = |key: &'static str, problems: &mut Problems| match fields.get(key) {
        Some(node) => problems.list(node, key),
        None => &[],
    };
    let series = list("series", problems).iter().filter_map(|n| read_series(n, names, problems)).collect();
    let agents = list("agents", problems).iter().filter_map(|n| read_agent(n, problems)).collect();
    let deploys = list("deploys", problems).iter().filter_map(|n| read_deploy(n, problems)).collect();
    let known_since_ns = fields.get("known_since").and_then(|n| problems.duration_ns(n, "known_since"));
    fields.finish(problems);
    Some(TestCase { name, at: node.at, parser, logs, counts, series, agents, deploys, known_since_ns, expect })
}

fn time(fields: &mut Fields<'_>, key: &'static str, problems: &mut Problems) -> Option<i64> {
    let node = fields.require(key, problems)?;
    let time = problems.duration_ns(node, key)?;
    if time > TEST_SPAN_MAX_NS {
        problems.add(node.at, format!("{key} is too far: a test spans at most 40d"));
        return None;
    }
    Some(time)
}

fn read_logs(node: &Node, problems: &mut Problems) -> Option<TestLogs> {
    let mut fields = Fields::new(node, "logs", problems)?;
    let (from, to) = (time(&mut fields, "from", problems), time(&mut fields, "to", problems));
    let every = time(&mut fields, "every", problems);
    let parser = fields.get("parser").and_then(|n| problems.text(n, "parser"));
    let line = fields.get("line").and_then(|n| problems.text(n, "line"));
    let json = fields.get("json").and_then(|n| read_json(n, problems));
    let set = fields.get("set").map(|n| labels(n, "set", problems)).unwrap_or_default();
    let at = fields.at;
    fields.finish(problems);
    let body = match (line, json) {
        (Some(line), None) => TestBody::Line(line),
        (None, Some(json)) => TestBody::Json(json),
        _ => {
            problems.add(at, "logs need either 'line' or 'json'");
            return None;
        }
    };
    let (from_ns, to_ns, every_ns) = (from?, to?, every?);
    if every_ns <= 0 || to_ns < from_ns {
        problems.add(at, "'every' must be longer than 0 and 'to' not before 'from'");
        return None;
    }
    Some(TestLogs { from_ns, to_ns, every_ns, parser, body, set })
}

fn read_json(node: &Node, problems: &mut Problems) -> Option<String> {
    if !matches!(node.value, Value::Map(_)) {
        problems.add(node.at, "json must be a mapping");
        return None;
    }
    Some(to_json(node).to_string())
}

fn to_json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null | Value::Unset => serde_json::Value::Null,
        Value::Bool(yes) => (*yes).into(),
        Value::Int(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Text(text) => text.clone().into(),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), to_json(&entry.node))).collect(),
    }
}

fn labels(node: &Node, what: &str, problems: &mut Problems) -> Labels {
    problems.texts(node, what).into_iter().map(|(key, text, _)| (key, text)).collect()
}

fn signal_name(node: &Node, names: &Names, problems: &mut Problems) -> Option<String> {
    let name = problems.text(node, "signal")?;
    if !names.signals.contains(&name) {
        let near = text::did_you_mean(&name, names.signals.iter().map(String::as_str));
        problems.add_hint(node.at, format!("unknown signal '{name}'"), near.map(|n| format!("did you mean '{n}'?")));
        return None;
    }
    Some(name)
}

fn read_counts(node: &Node, names: &Names, problems: &mut Problems) -> Option<TestCounts> {
    let mut fields = Fields::new(node, "counts", problems)?;
    let signal = fields.require("signal", problems).and_then(|n| signal_name(n, names, problems));
    let labels = fields.get("labels").map(|n| labels(n, "labels", problems)).unwrap_or_default();
    let (from, to) = (time(&mut fields, "from", problems), time(&mut fields, "to", problems));
    let per_minute = fields.require("per_minute", problems).and_then(|n| problems.number(n, "per_minute"));
    fields.finish(problems);
    Some(TestCounts { signal: signal?, labels, from_ns: from?, to_ns: to?, per_minute: per_minute? })
}

fn read_expectation(node: &Node, names: &Names, problems: &mut Problems) -> Option<Expectation> {
    let states = [
        ("ok", ExpectState::Ok),
        ("pending", ExpectState::Pending),
        ("firing", ExpectState::Firing),
        ("recovering", ExpectState::Recovering),
        ("undecided", ExpectState::Undecided),
    ];
    let mut fields = Fields::new(node, "an expectation", problems)?;
    let time_ns = time(&mut fields, "at", problems);
    let state = fields.get("state").and_then(|n| problems.word(n, "state", &states));
    let severity = fields.get("severity").and_then(|n| problems.word(n, "severity", &SEVERITIES));
    let severity_not = fields.get("severity_not").and_then(|n| problems.word(n, "severity_not", &SEVERITIES));
    let labels = fields.get("labels").map(|n| labels(n, "labels", problems)).unwrap_or_default();
    let summary = fields.get("summary").and_then(|n| problems.text(n, "summary")).map(|text| expect_text(&text));
    let receivers = fields.strings("receivers", problems);
    let mut value = std::collections::BTreeMap::new();
    if let Some(node) = fields.get("value") {
        let Value::Map(entries) = &node.value else {
            problems.add(node.at, "value must be a mapping of signals to numbers");
            return None;
        };
        for entry in entries {
            if !names.values.contains(&entry.key) {
                problems.add(entry.at, format!("unknown signal '{}'", entry.key));
            }
            let expected = match &entry.node.value {
                Value::Text(text) => Some(ExpectValue::Text(expect_text(text))),
                _ => problems.number(&entry.node, &entry.key).map(ExpectValue::Number),
            };
            value.extend(expected.map(|expected| (entry.key.clone(), expected)));
        }
    }
    fields.finish(problems);
    Some(Expectation {
        at: node.at,
        time_ns: time_ns?,
        state,
        severity,
        severity_not,
        labels,
        summary,
        value,
        receivers,
    })
}

fn read_series(node: &Node, names: &Names, problems: &mut Problems) -> Option<TestSeries> {
    let mut fields = Fields::new(node, "series", problems)?;
    let signal = fields.require("signal", problems).and_then(|n| signal_name(n, names, problems));
    let labels = fields.get("labels").map(|n| labels(n, "labels", problems)).unwrap_or_default();
    let shape = if let Some(add) = fields.get("add") {
        let (from, to) = (time(&mut fields, "from", problems), time(&mut fields, "to", problems));
        let add = problems.number(add, "add");
        from.zip(to).zip(add).map(|((from_ns, to_ns), add)| SeriesShape::Add { from_ns, to_ns, add })
    } else {
        read_daily(&mut fields, problems)
    };
    fields.finish(problems);
    Some(TestSeries { signal: signal?, labels, shape: shape? })
}

fn read_daily(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<SeriesShape> {
    let step_ns = time(fields, "step", problems);
    let days = fields.require("days", problems).and_then(|n| problems.integer(n, "days", 1..=40));
    fields.word("shape", &[("daily", ())], problems);
    let base = fields.require("base", problems).and_then(|n| problems.number(n, "base"));
    let peak = fields.get("peak").and_then(|n| read_peak(n, problems));
    let noise = fields.word("noise", &[("poisson", true), ("none", false)], problems);
    let seed = fields.integer("seed", 0..=i64::MAX, problems).unwrap_or(0);
    let (step_ns, days, base) = (step_ns?, days?, base?);
    if step_ns <= 0 {
        problems.add(fields.at, "step must be longer than 0");
        return None;
    }
    Some(SeriesShape::Daily { step_ns, days, base, peak, poisson: noise.unwrap_or(false), seed: seed as u64 })
}

/// `{at: '02:00', value: 400, width: 30m}`: every day of the test, in its own time.
fn read_peak(node: &Node, problems: &mut Problems) -> Option<Peak> {
    let mut fields = Fields::new(node, "peak", problems)?;
    let at = fields.require("at", problems).and_then(|n| Some((n, problems.text(n, "at")?)));
    let value = fields.require("value", problems).and_then(|n| problems.number(n, "value"));
    let width = time(&mut fields, "width", problems);
    fields.finish(problems);
    let (node, at) = at?;
    let clock = at.split_once(':').and_then(|(h, m)| Some((h.parse::<i64>().ok()?, m.parse::<i64>().ok()?)));
    let Some((hours, minutes)) = clock.filter(|(h, m)| (0..24).contains(h) && (0..60).contains(m)) else {
        problems.add_hint(node.at, "at must be a time of the day", Some("for example '02:00'".to_owned()));
        return None;
    };
    Some(Peak { at_ns: (hours * 60 + minutes) * 60_000_000_000, value: value?, width_ns: width? })
}

/// `{host: a, alive: {from: 0m, to: 60m}}`
fn read_agent(node: &Node, problems: &mut Problems) -> Option<TestAgent> {
    let mut fields = Fields::new(node, "an agent", problems)?;
    let host = fields.require("host", problems).and_then(|n| problems.text(n, "host"));
    let alive = fields.require("alive", problems).and_then(|n| {
        let mut fields = Fields::new(n, "alive", problems)?;
        let range = (time(&mut fields, "from", problems), time(&mut fields, "to", problems));
        fields.finish(problems);
        Some((range.0?, range.1?))
    });
    fields.finish(problems);
    let (from_ns, to_ns) = alive?;
    Some(TestAgent { host: host?, from_ns, to_ns })
}

/// `{at: 5m, name: v2, labels: {app: api}}`
fn read_deploy(node: &Node, problems: &mut Problems) -> Option<TestDeploy> {
    let mut fields = Fields::new(node, "a deploy", problems)?;
    let at_ns = time(&mut fields, "at", problems);
    let name = fields.require("name", problems).and_then(|n| problems.text(n, "name"));
    let labels = fields.get("labels").map(|n| labels(n, "labels", problems)).unwrap_or_default();
    fields.finish(problems);
    Some(TestDeploy { at_ns: at_ns?, name: name?, labels })
}

/// `contains "timed out"`, or the whole text.
fn expect_text(text: &str) -> ExpectText {
    let part = text.strip_prefix("contains ").map(str::trim);
    match part.and_then(|part| part.strip_prefix('"')).and_then(|part| part.strip_suffix('"')) {
        Some(part) => ExpectText::Contains(part.to_owned()),
        None => ExpectText::Equals(text.to_owned()),
    }
}

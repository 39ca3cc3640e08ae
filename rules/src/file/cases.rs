//! The `tests` of a rule.

use logweir_proto::text;

use crate::model::{ExpectState, ExpectText, Expectation, Labels, Severity, TestBody, TestCase, TestCounts, TestLogs};
use logweir_proto::yaml::{Fields, Node, Problems, Value};

/// Longest time that a test may span.
const TEST_SPAN_MAX_NS: i64 = 40 * 86_400 * 1_000_000_000;

pub(super) fn read(node: &Node, signals: &[&str], problems: &mut Problems) -> Vec<TestCase> {
    problems.list(node, "tests").iter().filter_map(|node| read_case(node, signals, problems)).collect()
}

fn read_case(node: &Node, signals: &[&str], problems: &mut Problems) -> Option<TestCase> {
    let mut fields = Fields::new(node, "a test", problems)?;
    let name = fields.require("name", problems).and_then(|n| problems.text(n, "name")).unwrap_or_default();
    let parser = fields.get("parser").and_then(|n| problems.text(n, "parser"));
    let mut logs = Vec::new();
    if let Some(node) = fields.get("logs") {
        logs.extend(problems.list(node, "logs").iter().filter_map(|node| read_logs(node, problems)));
    }
    let mut counts = Vec::new();
    if let Some(node) = fields.get("counts") {
        counts.extend(problems.list(node, "counts").iter().filter_map(|node| read_counts(node, signals, problems)));
    }
    let mut expect = Vec::new();
    if let Some(node) = fields.require("expect", problems) {
        expect
            .extend(problems.list(node, "expect").iter().filter_map(|node| read_expectation(node, signals, problems)));
    }
    fields.unsupported(&["series", "agents"], problems);
    fields.finish(problems);
    Some(TestCase { name, at: node.at, parser, logs, counts, expect })
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

fn signal_name(node: &Node, signals: &[&str], problems: &mut Problems) -> Option<String> {
    let name = problems.text(node, "signal")?;
    if !signals.contains(&name.as_str()) {
        let near = text::did_you_mean(&name, signals.iter().copied());
        problems.add_hint(node.at, format!("unknown signal '{name}'"), near.map(|n| format!("did you mean '{n}'?")));
        return None;
    }
    Some(name)
}

fn read_counts(node: &Node, signals: &[&str], problems: &mut Problems) -> Option<TestCounts> {
    let mut fields = Fields::new(node, "counts", problems)?;
    let signal = fields.require("signal", problems).and_then(|n| signal_name(n, signals, problems));
    let labels = fields.get("labels").map(|n| labels(n, "labels", problems)).unwrap_or_default();
    let (from, to) = (time(&mut fields, "from", problems), time(&mut fields, "to", problems));
    let per_minute = fields.require("per_minute", problems).and_then(|n| problems.number(n, "per_minute"));
    fields.finish(problems);
    Some(TestCounts { signal: signal?, labels, from_ns: from?, to_ns: to?, per_minute: per_minute? })
}

fn read_expectation(node: &Node, signals: &[&str], problems: &mut Problems) -> Option<Expectation> {
    let severities = [("critical", Severity::Critical), ("warning", Severity::Warning), ("info", Severity::Info)];
    let states = [
        ("ok", ExpectState::Ok),
        ("pending", ExpectState::Pending),
        ("firing", ExpectState::Firing),
        ("recovering", ExpectState::Recovering),
    ];
    let mut fields = Fields::new(node, "an expectation", problems)?;
    let time_ns = time(&mut fields, "at", problems);
    let state = fields.get("state").and_then(|n| problems.word(n, "state", &states));
    let severity = fields.get("severity").and_then(|n| problems.word(n, "severity", &severities));
    let severity_not = fields.get("severity_not").and_then(|n| problems.word(n, "severity_not", &severities));
    let labels = fields.get("labels").map(|n| labels(n, "labels", problems)).unwrap_or_default();
    let summary = fields.get("summary").and_then(|n| problems.text(n, "summary")).map(|text| expect_text(&text));
    let mut value = std::collections::BTreeMap::new();
    if let Some(node) = fields.get("value") {
        let Value::Map(entries) = &node.value else {
            problems.add(node.at, "value must be a mapping of signals to numbers");
            return None;
        };
        for entry in entries {
            if !signals.contains(&entry.key.as_str()) {
                problems.add(entry.at, format!("unknown signal '{}'", entry.key));
            }
            if let Some(number) = problems.number(&entry.node, &entry.key) {
                value.insert(entry.key.clone(), number);
            }
        }
    }
    fields.finish(problems);
    Some(Expectation { at: node.at, time_ns: time_ns?, state, severity, severity_not, labels, summary, value })
}

/// `contains "timed out"`, or the whole text.
fn expect_text(text: &str) -> ExpectText {
    let part = text.strip_prefix("contains ").map(str::trim);
    match part.and_then(|part| part.strip_prefix('"')).and_then(|part| part.strip_suffix('"')) {
        Some(part) => ExpectText::Contains(part.to_owned()),
        None => ExpectText::Equals(text.to_owned()),
    }
}

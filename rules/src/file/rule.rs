//! One rule: its levels, its times, its texts.

use std::sync::Arc;

use super::{Defaults, cases, on_empty, on_error, signals, template};
use crate::condition::Known;
use crate::model::{
    Alternative, Context, Expected, Labels, Level, OnEmpty, Rule, SAMPLES_DEFAULT, SAMPLES_MAX, Severity, Template,
};
use logweir_proto::yaml::{Fields, Node, Problems};

/// What a later version does; a file that uses it is told so.
const LATER: [&str; 12] = [
    "slo",
    "pattern",
    "anomaly",
    "compare",
    "require",
    "mute",
    "limit",
    "resolve_after",
    "on_partial",
    "on_undecided",
    "max_delay",
    "delay",
];

const SEVERITIES: [(&str, Severity); 3] =
    [("critical", Severity::Critical), ("warning", Severity::Warning), ("info", Severity::Info)];

pub(super) fn read(node: &Node, defaults: &Defaults, problems: &mut Problems) -> Option<Rule> {
    let mut fields = Fields::new(node, "a rule", problems)?;
    let name = fields.require("alert", problems).and_then(|n| problems.text(n, "alert")).unwrap_or_default();
    fields.unsupported(&LATER, problems);
    let later = LATER[..4].iter().any(|key| fields.get(key).is_some());
    let signals = match fields.get("signals") {
        Some(node) => signals::read(node, problems),
        None => {
            if !later {
                problems.add(node.at, "a rule needs 'signals'");
            }
            signals::Signals { list: Vec::new(), known: Vec::new() }
        }
    };
    let expected = fields.get("expected").and_then(|n| read_expected(n, problems));
    let mut known = signals.known;
    if expected.is_some() {
        known.push(Known { name: "silent_for".to_owned(), per_second: 1.0 });
    }
    let for_ns = fields.get("for").and_then(|n| problems.duration_ns(n, "for")).or(defaults.for_ns);
    let levels = match fields.require("levels", problems) {
        // The conditions of a kind that this version lacks use names that it cannot know.
        Some(node) if !later => read_levels(node, &known, for_ns.unwrap_or(0), problems),
        _ => Vec::new(),
    };
    let recover_when = match fields.get("recover_when") {
        Some(node) if !later => signals::condition(node, &known, problems),
        _ => None,
    };
    let keep = fields.get("keep_firing_for").and_then(|n| problems.duration_ns(n, "keep_firing_for"));
    let empty_node = fields.get("on_empty");
    let empty = empty_node.and_then(|n| on_empty(n, problems)).unwrap_or(defaults.on_empty);
    let error = fields.get("on_error").and_then(|n| on_error(n, problems)).unwrap_or(defaults.on_error);
    let summary = fields.require("summary", problems).and_then(|n| template(n, "summary", problems));
    let labels = fields.get("labels").map(|n| problems.texts(n, "labels")).unwrap_or_default();
    let annotations = fields.get("annotations").map(|n| problems.texts(n, "annotations")).unwrap_or_default();
    let runbook = fields.get("runbook").and_then(|n| template(n, "runbook", problems)).or(defaults.runbook.clone());
    let owner = fields.get("owner").and_then(|n| problems.text(n, "owner")).or(defaults.owner.clone());
    let context = fields
        .get("context")
        .map(|n| read_context(n, problems))
        .unwrap_or(Context { samples: SAMPLES_DEFAULT, filter: None });
    let names: Vec<&str> = known.iter().map(|known| known.name.as_str()).collect();
    let tests = match fields.get("tests") {
        Some(node) if !later => cases::read(node, &names, problems),
        _ => Vec::new(),
    };
    fields.finish(problems);
    let rule = Rule {
        file: Arc::clone(problems.file()),
        at: node.at,
        name,
        signals: signals.list,
        levels,
        recover_when,
        keep_firing_for_ns: keep.or(defaults.keep_firing_for_ns).unwrap_or(0),
        on_empty: empty,
        on_error: error,
        expected,
        summary: summary.unwrap_or(Template { text: String::new(), at: node.at }),
        labels: read_labels(defaults, &labels, problems),
        annotations: annotations.into_iter().map(|(key, text, at)| (key, Template { text, at })).collect(),
        runbook,
        owner,
        context,
        tests,
    };
    check(&rule, empty_node, problems);
    Some(rule)
}

fn read_labels(
    defaults: &Defaults,
    own: &[(String, String, logweir_proto::yaml::At)],
    problems: &mut Problems,
) -> Labels {
    let mut labels = Labels::new();
    for (key, text, at) in defaults.labels.iter().chain(own) {
        if ["alertname", "severity"].contains(&key.as_str()) {
            problems.add(*at, format!("the label '{key}' is set by the rule's name and levels"));
        }
        if text.contains("{{") {
            problems.add(*at, "labels are the identity of an alert and cannot be templates; use annotations");
        }
        labels.insert(key.clone(), text.clone());
    }
    labels
}

/// Mistakes that only show when the parts are seen together.
fn check(rule: &Rule, empty: Option<&Node>, problems: &mut Problems) {
    let by = rule.by();
    if let Some(label) = by.iter().find(|label| rule.labels.contains_key(*label)) {
        problems.add(rule.at, format!("the label '{label}' is both fixed and grouped by"));
    }
    if rule.on_empty == OnEmpty::Fire && !by.is_empty() {
        let hint = Some("to hear of a value that went silent, use 'expected'".to_owned());
        let at = empty.map_or(rule.at, |node| node.at);
        problems.add_hint(at, "on_empty: fire needs a rule without 'by'", hint);
    }
    if rule.expected.is_some() && by.is_empty() {
        problems.add(rule.at, "'expected' needs a signal with 'by': the labels whose values must keep arriving");
    }
    if !rule.signals.is_empty() && rule.queries().next().is_none() {
        problems.add(rule.at, "at least one signal needs a 'filter'");
    }
}

fn read_levels(node: &Node, known: &[Known], for_ns: i64, problems: &mut Problems) -> Vec<Level> {
    let Some(mut fields) = Fields::new(node, "levels", problems) else { return Vec::new() };
    let mut levels = Vec::new();
    for (key, severity) in SEVERITIES {
        let Some(node) = fields.get(key) else { continue };
        let any = read_level(node, known, for_ns, problems);
        if !any.is_empty() {
            levels.push(Level { severity, any });
        }
    }
    if let logweir_proto::yaml::Value::Map(entries) = &node.value
        && entries.is_empty()
    {
        problems.add(node.at, "levels needs at least one of critical, warning, info");
    }
    fields.finish(problems);
    levels
}

fn read_level(node: &Node, known: &[Known], for_ns: i64, problems: &mut Problems) -> Vec<Alternative> {
    let Some(mut fields) = Fields::new(node, "a level", problems) else { return Vec::new() };
    let mut any = Vec::new();
    match fields.get("any") {
        Some(node) => {
            let items = problems.list(node, "any");
            if items.is_empty() {
                problems.add(node.at, "any needs at least one condition");
            }
            for item in items {
                let Some(mut fields) = Fields::new(item, "a condition", problems) else { continue };
                any.extend(read_alternative(&mut fields, known, for_ns, problems));
                fields.finish(problems);
            }
        }
        None => any.extend(read_alternative(&mut fields, known, for_ns, problems)),
    }
    fields.finish(problems);
    any
}

fn read_alternative(
    fields: &mut Fields<'_>,
    known: &[Known],
    for_ns: i64,
    problems: &mut Problems,
) -> Option<Alternative> {
    let when = fields.require("when", problems).and_then(|n| signals::condition(n, known, problems));
    let for_ns = fields.get("for").and_then(|n| problems.duration_ns(n, "for")).unwrap_or(for_ns);
    fields.unsupported(&["require_source", "confidence", "burn", "long", "short", "min_bad"], problems);
    Some(Alternative { when: when?, for_ns })
}

fn read_expected(node: &Node, problems: &mut Problems) -> Option<Expected> {
    let mut fields = Fields::new(node, "expected", problems)?;
    let seen = fields.require("seen_within", problems).and_then(|n| problems.duration_ns(n, "seen_within"));
    let forget = fields.get("forget_after").and_then(|n| problems.duration_ns(n, "forget_after"));
    let at = fields.at;
    fields.finish(problems);
    let seen_within_ns = seen?;
    let forget_after_ns = forget.unwrap_or(seen_within_ns);
    if forget_after_ns < seen_within_ns {
        problems.add(at, "forget_after is shorter than seen_within");
    }
    Some(Expected { seen_within_ns, forget_after_ns })
}

fn read_context(node: &Node, problems: &mut Problems) -> Context {
    let mut context = Context { samples: SAMPLES_DEFAULT, filter: None };
    let Some(mut fields) = Fields::new(node, "context", problems) else { return context };
    if let Some(samples) = fields.get("samples").and_then(|n| problems.integer(n, "samples", 0..=SAMPLES_MAX)) {
        context.samples = samples as usize;
    }
    context.filter = fields.get("filter").and_then(|n| signals::filter(n, problems));
    fields.unsupported(&["top", "chart", "last_samples", "stack", "first_seen"], problems);
    fields.finish(problems);
    context
}

//! One rule: its body, its levels, its times, its texts.

use std::sync::Arc;

use super::kinds::{self, Body};
use super::levels::Reader;
use super::{Defaults, cases, context, on_empty, on_error, on_partial, signals, template};
use crate::condition::{Condition, Known, NameKind, Shift};
use crate::model::{
    Expected, Kind, Labels, Level, LineTime, OnEmpty, OnUndecided, PERIOD_MAX_NS, Rule, Signal, SignalQuery,
    SignalSource, Status, Template,
};
use crate::slots::Slots;
use logweir_proto::yaml::{Fields, Node, Problems};

pub(super) fn read(node: &Node, defaults: &Defaults, problems: &mut Problems) -> Option<Rule> {
    let mut fields = Fields::new(node, "a rule", problems)?;
    let name = fields.require("alert", problems).and_then(|n| problems.text(n, "alert")).unwrap_or_default();
    let id = fields.text("id", problems);
    let statuses = [Status::Experimental, Status::Stable, Status::Deprecated].map(|status| (status.as_str(), status));
    let status = fields.word("status", &statuses, problems).unwrap_or_default();
    let times = LineTime::ALL.map(|time| (time.as_str(), time));
    let time = fields.word("time", &times, problems).unwrap_or_default();
    let mut body = kinds::read(&mut fields, problems);
    let expected = fields.get("expected").and_then(|n| read_expected(n, problems));
    if expected.is_some() {
        body.known.push(Known::of("silent_for", NameKind::Number));
    }
    pattern_keys(&mut fields, &mut body, problems);
    let for_ns = fields.get("for").and_then(|n| problems.duration_ns(n, "for")).or(defaults.for_ns);
    let levels = read_levels(&mut fields, &mut body, for_ns, expected.is_some(), problems);
    let mut condition = |key: &'static str, problems: &mut Problems| {
        fields.get(key).and_then(|n| signals::condition(n, &body.known, problems))
    };
    let (recover_when, require) = (condition("recover_when", problems), condition("require", problems));
    add_shifted(&mut body, levels.iter().flat_map(|l| &l.any).map(|a| &a.when).chain(&recover_when).chain(&require));
    let undecided = [("keep", OnUndecided::Keep), ("ok", OnUndecided::Ok), ("fire", OnUndecided::Fire)];
    let keep = fields.get("keep_firing_for").and_then(|n| problems.duration_ns(n, "keep_firing_for"));
    let empty_node = fields.get("on_empty");
    let partial_node = fields.get("on_partial");
    let labels = fields.get("labels").map(|n| problems.texts(n, "labels")).unwrap_or_default();
    let annotations = fields.texts("annotations", problems);
    let mut rule = Rule {
        file: Arc::clone(problems.file()),
        at: node.at,
        name,
        id,
        status,
        time,
        levels,
        recover_when,
        require,
        keep_firing_for_ns: keep.or(defaults.keep_firing_for_ns).unwrap_or(0),
        on_empty: empty_node.and_then(|n| on_empty(n, problems)).unwrap_or(defaults.on_empty),
        on_error: fields.get("on_error").and_then(|n| on_error(n, problems)).unwrap_or(defaults.on_error),
        on_partial: partial_node.and_then(|n| on_partial(n, problems)).unwrap_or(defaults.on_partial),
        on_undecided: fields.word("on_undecided", &undecided, problems).unwrap_or_default(),
        mute: fields.strings("mute", problems).unwrap_or_default(),
        expected,
        summary: fields
            .require("summary", problems)
            .and_then(|n| template(n, "summary", problems))
            .unwrap_or(Template { text: String::new(), at: node.at }),
        labels: read_labels(defaults, &labels, problems),
        annotations: annotations.into_iter().map(|(key, text, at)| (key, Template { text, at })).collect(),
        runbook: fields.get("runbook").and_then(|n| template(n, "runbook", problems)).or(defaults.runbook.clone()),
        owner: fields.text("owner", problems).or(defaults.owner.clone()),
        context: fields.get("context").map(|n| context::read(n, &chart_names(&body), problems)).unwrap_or_default(),
        tests: fields.get("tests").map(|n| cases::read(n, &case_names(&body), problems)).unwrap_or_default(),
        kind: body.kind,
        by: body.by,
        signals: body.signals,
        slots: Slots::default(),
    };
    go_by(time, &mut rule.signals, partial_node, problems);
    rule.bind();
    fields.finish(problems);
    check(&rule, empty_node, problems);
    Some(rule)
}

/// Gives the signals of a rule the time that it goes by.
fn go_by(time: LineTime, signals: &mut [Signal], on_partial: Option<&Node>, problems: &mut Problems) {
    for signal in signals {
        if let SignalSource::Query(query) = &mut signal.source {
            query.time = time;
        }
    }
    if let (LineTime::Ingest, Some(node)) = (time, on_partial) {
        let hint = Some("leave one of the two out".to_owned());
        problems.add_hint(node.at, "with 'time: ingest' nobody waits for sources: on_partial says nothing", hint);
    }
}

/// Keys that only a pattern rule has.
fn pattern_keys(fields: &mut Fields<'_>, body: &mut Body, problems: &mut Problems) {
    let (limit, resolve) = (fields.get("limit"), fields.get("resolve_after"));
    let Kind::Pattern(pattern) = &mut body.kind else {
        for node in [limit, resolve].into_iter().flatten() {
            problems.add(node.at, "this needs a rule with 'pattern'");
        }
        return;
    };
    pattern.limit = limit.and_then(|n| kinds::read_limit(n, problems));
    if let Some(after) = resolve.and_then(|n| problems.duration_ns(n, "resolve_after")) {
        pattern.resolve_after_ns = after;
    }
}

fn read_levels(
    fields: &mut Fields<'_>,
    body: &mut Body,
    for_ns: Option<i64>,
    has_expected: bool,
    problems: &mut Problems,
) -> Vec<Level> {
    let mut reader = Reader {
        known: &body.known,
        signals: &body.signals,
        kind: &body.kind,
        for_ns: for_ns.unwrap_or(0),
        has_expected,
        windows: Vec::new(),
    };
    let levels = fields.require("levels", problems).map(|n| reader.read(n, problems)).unwrap_or_default();
    let mut windows = reader.windows;
    if let (Kind::Slo(slo), Some(events)) = (&mut body.kind, &body.slo) {
        slo.shown_ns = windows.first().copied().unwrap_or(slo.shown_ns);
        windows.extend([slo.shown_ns, slo.period_ns]);
        let mut seen = Vec::new();
        windows.retain(|window| {
            !seen.contains(window) && {
                seen.push(*window);
                true
            }
        });
        body.signals = kinds::slo_signals(events, &windows, fields.at);
    }
    levels
}

/// Adds the signals that `prev(x, 1h)` asks for.
fn add_shifted<'a>(body: &mut Body, conditions: impl Iterator<Item = &'a Condition>) {
    let mut shifts: Vec<Shift> = conditions.flat_map(Condition::shifts).collect();
    for signal in &body.signals {
        if let SignalSource::Expr(expr) = &signal.source {
            shifts.extend(expr.shifts());
        }
    }
    shifts.sort();
    shifts.dedup();
    for shift in shifts {
        let found = body.signals.iter().find(|signal| signal.name == shift.signal).cloned();
        let Some(Signal { source: SignalSource::Query(query), feed, at, .. }) = found else { continue };
        let query = SignalQuery { shift_ns: shift.by_ns.min(PERIOD_MAX_NS), ..query };
        // Before all expressions: they are computed in order.
        body.signals.insert(0, Signal { name: shift.key, feed, at, source: SignalSource::Query(query) });
    }
}

/// What a chart may draw: signals, and for a comparison each of them once for both sides.
fn chart_names(body: &Body) -> Vec<Known> {
    let signals = body.signals.iter().map(|signal| Known::of(&signal.feed, NameKind::Number));
    signals.chain(body.known.iter().cloned()).collect()
}

fn case_names(body: &Body) -> cases::Names {
    let mut signals: Vec<String> = Vec::new();
    for signal in &body.signals {
        if matches!(signal.source, SignalSource::Query(_)) && !signals.contains(&signal.feed) {
            signals.push(signal.feed.clone());
        }
    }
    let texts: &[&str] = match body.kind {
        Kind::Pattern(_) => &["template", "deploy", "lineage"],
        Kind::Anomaly(_) => &["explain"],
        _ => &["source_state"],
    };
    let known = body.known.iter().map(|known| known.name.clone());
    cases::Names { signals, values: known.chain(texts.iter().map(|text| (*text).to_owned())).collect() }
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
    if rule.expected.is_some() && !matches!(rule.kind, Kind::Threshold) {
        problems.add(rule.at, "'expected' needs a rule with plain signals");
    }
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

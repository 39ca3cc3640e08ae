//! The `signals` of a rule, and the names that its conditions may use.

use logweir_proto::{query, text};

use crate::condition::{self, Condition, ConditionError, Known, NameKind};
use crate::model::{Agg, BY_MAX, SIGNALS_MAX, Signal, SignalQuery, SignalSource, WINDOW_MAX_NS};
use logweir_proto::yaml::{At, Entry, Fields, Node, Problems, Value};

const AGGS: [(&str, Agg); 12] = [
    ("count", Agg::Count),
    ("sum", Agg::Sum),
    ("avg", Agg::Avg),
    ("min", Agg::Min),
    ("max", Agg::Max),
    ("p50", Agg::P50),
    ("p90", Agg::P90),
    ("p95", Agg::P95),
    ("p99", Agg::P99),
    ("distinct", Agg::Distinct),
    ("rate", Agg::Rate),
    ("changes", Agg::Changes),
];

#[derive(Default)]
pub(super) struct Signals {
    pub(super) list: Vec<Signal>,
    pub(super) known: Vec<Known>,
}

impl Signals {
    /// The labels of the most finely grouped signal.
    pub(super) fn finest(&self) -> Vec<String> {
        let queries = self.list.iter().filter_map(|signal| match &signal.source {
            SignalSource::Query(query) => Some(&query.by),
            SignalSource::Expr(_) => None,
        });
        queries.max_by_key(|by| by.len()).cloned().unwrap_or_default()
    }
}

/// Words of the condition language, and values that kinds of rules define.
const RESERVED: [&str; 12] = [
    "and",
    "or",
    "not",
    "prev",
    "points",
    "point",
    "silent_for",
    "anomaly",
    "duration",
    "score",
    "usual_low",
    "usual_high",
];

pub(super) fn read(node: &Node, problems: &mut Problems) -> Signals {
    let mut out = Signals::default();
    let Value::Map(entries) = &node.value else {
        problems.add(node.at, format!("signals must be a mapping of names, not {}", node.value.kind()));
        return out;
    };
    if entries.is_empty() || entries.len() > SIGNALS_MAX {
        problems.add(node.at, format!("a rule has 1 to {SIGNALS_MAX} signals"));
    }
    for entry in entries {
        check_name(entry, problems);
        let source = read_source(entry, &out.known, problems);
        let per_second = match &source {
            Some(SignalSource::Query(query)) => units_per_second(query),
            // What an expression computes has no unit of time that could be known here.
            _ => 1.0,
        };
        // A signal with a mistake stays known, so that its conditions do not add mistakes of their own.
        let kind = match &source {
            Some(SignalSource::Expr(_)) => NameKind::Number,
            _ => NameKind::Signal,
        };
        let name = entry.key.clone();
        out.known.push(Known { name: name.clone(), per_second, kind });
        out.list.extend(source.map(|source| Signal { feed: name.clone(), name, at: entry.at, source }));
    }
    same_grouping(&out.list, problems);
    out
}

fn check_name(entry: &Entry, problems: &mut Problems) {
    let good = entry.key.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && entry.key.chars().all(|c| c.is_alphanumeric() || c == '_');
    let reserved = RESERVED.contains(&entry.key.to_ascii_lowercase().as_str());
    if !good || reserved {
        problems.add(entry.at, format!("'{}' cannot be the name of a signal: use letters, digits and _", entry.key));
    }
}

fn read_source(entry: &Entry, known: &[Known], problems: &mut Problems) -> Option<SignalSource> {
    let mut fields = Fields::new(&entry.node, "a signal", problems)?;
    if let Some(node) = fields.get("expr") {
        let expr = expression(node, known, problems);
        fields.finish(problems);
        return expr.map(SignalSource::Expr);
    }
    let filter = fields.require("filter", problems).and_then(|node| filter(node, problems));
    let agg = fields.require("agg", problems).and_then(|node| problems.word(node, "agg", &AGGS));
    let field = fields.get("field").and_then(|node| problems.text(node, "field"));
    let window = fields.require("window", problems).and_then(|node| window(node, problems));
    let by = fields.get("by").map(|node| by(node, problems)).unwrap_or_default();
    let at = fields.at;
    fields.finish(problems);
    let query = SignalQuery { filter: filter?, agg: agg?, field, window_ns: window?, by, ..SignalQuery::default() };
    match (query.agg.needs_field(), &query.field) {
        (true, None) => problems.add(at, "this agg needs a 'field'"),
        (false, Some(_)) => problems.add(at, "this agg takes no 'field'"),
        _ => {}
    }
    check_query(&query, at, problems);
    Some(SignalSource::Query(query))
}

/// What is asked must be a query as a whole: a field that cannot be written, a comment that swallows the pipe.
pub(super) fn check_query(query: &SignalQuery, at: At, problems: &mut Problems) {
    let plain = |query: query::ast::Query| query.pipes.is_empty() && query.since.is_none() && query.until.is_none();
    let filter_is_right = query::parse::parse(&query.filter).is_ok_and(plain);
    if let (true, Err(errors)) = (filter_is_right, query::parse::parse(&query.text())) {
        let first = errors.first().map(ToString::to_string).unwrap_or_default();
        problems.add(at, format!("the signal makes no query: {first}"));
    }
}

fn window(node: &Node, problems: &mut Problems) -> Option<i64> {
    let window = problems.duration_ns(node, "window")?;
    if window <= 0 || window > WINDOW_MAX_NS {
        problems.add(node.at, "window must be longer than 0 and at most 7d");
        return None;
    }
    Some(window)
}

pub(super) fn by(node: &Node, problems: &mut Problems) -> Vec<String> {
    let items = problems.list(node, "by");
    let mut labels: Vec<String> = Vec::new();
    for item in items {
        let Some(label) = problems.text(item, "by") else { continue };
        if labels.contains(&label) || label.is_empty() || ["alertname", "severity", "pattern"].contains(&label.as_str())
        {
            problems.add(item.at, format!("'{label}' cannot be a grouping label here"));
        }
        labels.push(label);
    }
    if labels.len() > BY_MAX {
        problems.add(node.at, format!("at most {BY_MAX} labels to group by"));
    }
    labels
}

/// Reads a filter, which is a query without pipes.
pub(super) fn filter(node: &Node, problems: &mut Problems) -> Option<String> {
    let text = problems.text(node, "filter")?;
    check_filter(node, &text, problems);
    Some(text)
}

fn expression(node: &Node, known: &[Known], problems: &mut Problems) -> Option<Condition> {
    let text = problems.text(node, "expr")?;
    report(condition::parse_number(&text, known), node, &text, problems)
}

/// Reads a condition at `node`.
pub(super) fn condition(node: &Node, known: &[Known], problems: &mut Problems) -> Option<Condition> {
    let text = problems.text(node, "a condition")?;
    report(condition::parse_condition(&text, known), node, &text, problems)
}

fn report(
    parsed: Result<Condition, ConditionError>,
    node: &Node,
    text: &str,
    problems: &mut Problems,
) -> Option<Condition> {
    parsed
        .map_err(|error| {
            let at = problems.inside(node.at, text, error.span.start);
            problems.add_hint(at, error.message, error.hint);
        })
        .ok()
}

/// A field of milliseconds is compared with durations in milliseconds.
fn units_per_second(query: &SignalQuery) -> f64 {
    let counts = matches!(query.agg, Agg::Distinct | Agg::Changes);
    let field = query.field.as_deref().filter(|_| !counts).unwrap_or_default();
    match field.rsplit_once('_').map(|(_, unit)| unit) {
        Some("ms") => 1e3,
        Some("us") => 1e6,
        Some("ns") => 1e9,
        _ => 1.0,
    }
}

/// Every signal must be grouped by labels of the most finely grouped one: otherwise there is no one set of instances.
fn same_grouping(signals: &[Signal], problems: &mut Problems) {
    let queries = || {
        signals.iter().filter_map(|signal| match &signal.source {
            SignalSource::Query(query) => Some((signal, query)),
            SignalSource::Expr(_) => None,
        })
    };
    let Some(finest) = queries().map(|(_, query)| &query.by).max_by_key(|by| by.len()) else { return };
    for (signal, query) in queries() {
        if let Some(odd) = query.by.iter().find(|label| !finest.contains(label)) {
            let near = text::did_you_mean(odd, finest.iter().map(String::as_str));
            let message = format!("signal '{}' is grouped by '{odd}', which the finest signal is not", signal.name);
            problems.add_hint(signal.at, message, near.map(|near| format!("did you mean '{near}'?")));
        }
    }
}

fn check_filter(node: &Node, source: &str, problems: &mut Problems) {
    match query::parse::parse(source) {
        Ok(query) => {
            let pipe = query.pipes.first().map(|pipe| ("a pipe", pipe.span.start));
            let time = (query.since.is_some() || query.until.is_some()).then_some(("since: or until:", 0));
            if let Some((what, offset)) = pipe.or(time) {
                let hint = Some("the window and the agg of the signal say what is counted".to_owned());
                let at = problems.inside(node.at, source, offset);
                problems.add_hint(at, format!("a filter cannot have {what}"), hint);
            }
        }
        Err(errors) => {
            for error in errors {
                let at = problems.inside(node.at, source, error.span.start);
                problems.add_hint(at, error.message, error.hint);
            }
        }
    }
}

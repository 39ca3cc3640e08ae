//! Signals as queries: the text that is asked, and the table that comes back.

use std::collections::BTreeMap;

use logweir_proto::pattern::trace;
use logweir_proto::record::field;

use crate::evaluate::PatternLine;
use crate::model::{Agg, Kind, Labels, LineTime, Pattern, Rule, Signal, SignalQuery, SignalSource};
use crate::names;

/// Name of the column that holds the number.
pub const VALUE_COLUMN: &str = "v";

/// Windows as long as this are counted in whole minutes, so that they can be sums of minutes.
pub const LONG_WINDOW_NS: i64 = 3600 * 1_000_000_000;

const MINUTE_NS: i64 = 60 * 1_000_000_000;

/// What of a value becomes a label: more is a line of text, not a name.
pub const LABEL_CHARS_MAX: usize = 500;

/// The label that tells the instances of a pattern rule apart: the id of the pattern.
pub const PATTERN_LABEL: &str = "pattern";

pub use crate::table::Table;

impl LineTime {
    /// The field that holds it.
    pub const fn column(self) -> &'static str {
        match self {
            LineTime::Event => field::TIME,
            LineTime::Ingest => field::INGESTED,
        }
    }

    /// A query about the lines of `[from_ns, to_ns)`: its text, and the event times to look at. A line of any time may
    /// be received at any.
    pub fn about(self, text: &str, (from_ns, to_ns): (i64, i64)) -> (String, i64, i64) {
        match self {
            LineTime::Event => (text.to_owned(), from_ns, to_ns),
            LineTime::Ingest => (self.bounded(text, (from_ns, to_ns)), i64::MIN, i64::MAX),
        }
    }

    /// A query with the range within its text.
    pub fn bounded(self, text: &str, (from_ns, to_ns): (i64, i64)) -> String {
        let time = |ns| jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap_or_default();
        let (column, from, to) = (self.column(), time(from_ns), time(to_ns));
        // Before the text: this may end in a comment, or in pipes.
        format!("{column}>={from:.9} {column}<{to:.9} {text}")
    }
}

impl SignalQuery {
    /// The query in the search language.
    pub fn text(&self) -> String {
        let agg = match (self.agg, &self.field) {
            // The rate is made of the count by whoever knows the window.
            (Agg::Count | Agg::Rate, _) => "count".to_owned(),
            (agg, field) => {
                let field = field.as_deref().unwrap_or_default();
                format!("{}({})", function(agg), quote_field(names::stored_ms(field).unwrap_or(field)))
            }
        };
        let by: Vec<String> = columns(&self.by).map(quote_field).collect();
        let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(", ")) };
        format!("{} | stats {agg} as {VALUE_COLUMN}{by}", grouped(&names::resolve(&self.filter)))
    }

    /// The range of time, of whichever it goes by, that it asks about in an evaluation at `at`. Windows of [`LONG_WINDOW_NS`] and more are
    /// counted in whole minutes.
    pub fn range(&self, at: i64) -> (i64, i64) {
        let end = at.saturating_sub(self.shift_ns);
        let end = if self.window_ns >= LONG_WINDOW_NS { end.saturating_sub(end.rem_euclid(MINUTE_NS)) } else { end };
        (end.saturating_sub(self.window_ns), end)
    }

    /// Whether its number is a sum of counts, and not of anything that must be seen whole.
    pub const fn is_counted(&self) -> bool {
        matches!(self.agg, Agg::Count | Agg::Rate)
    }

    /// The query that counts its lines in buckets of time; the bucket is in [`LineTime::column`].
    pub fn buckets_text(&self, width_ns: i64) -> String {
        let mut by = format!("bin({}, {}s)", self.time.column(), width_ns / 1_000_000_000);
        for column in columns(&self.by) {
            by.push_str(", ");
            by.push_str(&quote_field(column));
        }
        format!("{} | stats count as {VALUE_COLUMN} by {by}", grouped(&names::resolve(&self.filter)))
    }

    /// The number of so many lines in its window; NaN of none.
    pub fn of_count(&self, count: u64) -> f64 {
        match (count, self.agg) {
            (0, _) => f64::NAN,
            (count, Agg::Rate) => count as f64 / (self.window_ns as f64 / 1e9),
            (count, _) => count as f64,
        }
    }

    /// The table of an answer; rows without a number are left out.
    pub fn table(&self, rows: &[serde_json::Map<String, serde_json::Value>]) -> Table {
        let mut table = BTreeMap::new();
        for (labels, value) in rows.iter().filter_map(|row| numbered(row, &self.by)) {
            // Two rows have the same labels only where one name stands for two fields.
            table.entry(labels).and_modify(|have| *have = self.agg.joined(*have, value)).or_insert(value);
        }
        self.finished(table)
    }

    fn finished(&self, mut table: BTreeMap<Labels, f64>) -> Table {
        let in_ms = self.field.as_deref().is_some_and(|field| names::stored_ms(field).is_some());
        match self.agg {
            Agg::Changes => table.values_mut().for_each(|value| *value = (*value - 1.0).max(0.0)),
            Agg::Rate => table.values_mut().for_each(|value| *value /= self.window_ns as f64 / 1e9),
            Agg::Count | Agg::Distinct => {}
            _ if in_ms => table.values_mut().for_each(|value| *value /= 1e3),
            _ => {}
        }
        table.into()
    }

    /// The query that finds every value of the grouping labels with lines in a range.
    pub fn seen_text(&self) -> String {
        SignalQuery { agg: Agg::Count, field: None, ..self.clone() }.text()
    }
}

const fn function(agg: Agg) -> &'static str {
    match agg {
        Agg::Count | Agg::Rate => "count",
        Agg::Sum => "sum",
        Agg::Avg => "avg",
        Agg::Min => "min",
        Agg::Max => "max",
        Agg::P50 => "p50",
        Agg::P90 => "p90",
        Agg::P95 => "p95",
        Agg::P99 => "p99",
        Agg::Distinct | Agg::Changes => "dc",
    }
}

/// The columns that hold the values of labels: those that loggers name otherwise have two.
fn columns(by: &[String]) -> impl Iterator<Item = &str> {
    by.iter().flat_map(|label| {
        std::iter::once(label.as_str()).chain(names::stored(label).filter(|name| !by.iter().any(|b| b == name)))
    })
}

impl Agg {
    /// One number of two, for the parts of one group.
    fn joined(self, a: f64, b: f64) -> f64 {
        match self {
            Agg::Count | Agg::Sum | Agg::Rate => a + b,
            Agg::Min => a.min(b),
            _ => a.max(b),
        }
    }
}

fn numbered(row: &serde_json::Map<String, serde_json::Value>, by: &[String]) -> Option<(Labels, f64)> {
    let value = row.get(VALUE_COLUMN)?.as_f64()?;
    value.is_finite().then(|| (labels_of(row, by), value))
}

impl Pattern {
    /// The query for its lines, with all that it looks at in them.
    pub fn query(&self) -> String {
        let subject = match &self.field {
            Some(field) => vec![field.as_str()],
            None => vec![field::MESSAGE, field::EXCEPTION_TYPE, field::EXCEPTION_STACK],
        };
        let mut names: Vec<String> = Vec::new();
        for name in columns(&self.scope).chain(subject).map(quote_field) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        format!("{} | fields {}", grouped(&names::resolve(&self.filter)), names.join(", "))
    }

    /// What the rule looks at in a row; `None` when it has no such field.
    pub fn line(&self, row: &serde_json::Map<String, serde_json::Value>, at: i64) -> Option<PatternLine> {
        let labels = labels_of(row, &self.scope);
        if let Some(text) = self.field.is_none().then(|| trace_of(row)).flatten() {
            return Some(PatternLine { at, labels, text, is_trace: true });
        }
        let field = self.field.as_deref().unwrap_or(field::MESSAGE);
        let text = labels_of(row, &[field.to_owned()]).remove(field)?;
        Some(PatternLine { at, labels, text, is_trace: false })
    }
}

/// What the stack trace of a row is about, if it has one.
fn trace_of(row: &serde_json::Map<String, serde_json::Value>) -> Option<String> {
    let stack = row.get(field::EXCEPTION_STACK)?.as_str()?;
    trace::identity(row.get(field::EXCEPTION_TYPE).and_then(serde_json::Value::as_str), stack)
}

/// The filter in parentheses, so that what is added to it applies to all of it.
fn grouped(filter: &str) -> String {
    let filter = filter.trim();
    if filter.is_empty() || filter == "*" { "*".to_owned() } else { format!("({filter})") }
}

/// A field as the query language wants it: in back ticks unless it is a plain name.
pub fn quote_field(name: &str) -> String {
    let plain = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || c == '@')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '@' | '.' | '/'));
    if plain { name.to_owned() } else { format!("`{}`", name.replace('`', "")) }
}

/// A value as an exact match wants it; a number stays one, because text in quotes never is.
fn quote_value(value: &str) -> String {
    if value.bytes().all(|b| b.is_ascii_digit()) {
        return value.to_owned();
    }
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

impl Rule {
    /// The labels by which its instances are told apart.
    pub fn by(&self) -> &[String] {
        &self.by
    }

    /// The numbers that its texts may name.
    pub fn value_names(&self) -> Vec<String> {
        let signals = self.signals.iter().map(|signal| signal.name.clone()).filter(|name| !name.contains([':', '(']));
        let fixed = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut names = match &self.kind {
            Kind::Threshold => signals.collect(),
            Kind::Slo(_) => fixed(&["burn", "budget_left", "bad", "total"]),
            Kind::Pattern(_) => fixed(&["new_pattern", "count_10m", "count_1h", "patterns"]),
            Kind::Anomaly(_) => {
                signals.chain(fixed(&["anomaly", "duration", "score", "usual_low", "usual_high"])).collect()
            }
            Kind::Compare(compare) => {
                let sides = [&compare.candidate, &compare.baseline];
                signals.flat_map(|name| sides.map(|side| format!("{side}.{name}"))).collect()
            }
        };
        names.extend(self.expected.map(|_| "silent_for".to_owned()));
        names
    }

    /// The values that are texts.
    pub fn text_names(&self) -> Vec<&'static str> {
        let mut names = vec!["partial"];
        names.extend(self.expected.map(|_| "source_state"));
        match &self.kind {
            Kind::Pattern(_) => names.extend(["template", "deploy", "first_seen", "ticket", "lineage"]),
            Kind::Anomaly(_) => names.push("explain"),
            Kind::Threshold | Kind::Slo(_) | Kind::Compare(_) => {}
        }
        names
    }

    pub fn queries(&self) -> impl Iterator<Item = (&Signal, &SignalQuery)> {
        self.signals.iter().filter_map(|signal| match &signal.source {
            SignalSource::Query(query) => Some((signal, query)),
            SignalSource::Expr(_) => None,
        })
    }

    /// The signal that the rule is about: the first in its worst level's condition, through expressions
    /// (`errors / total` is about the errors).
    pub fn subject(&self) -> Option<&SignalQuery> {
        let first = self.levels.first().and_then(|level| level.any.first())?;
        let mut name = first.when.names().first().copied()?;
        if let Kind::Compare(compare) = &self.kind {
            name = name.strip_prefix(&*compare.candidate).and_then(|rest| rest.strip_prefix('.')).unwrap_or(name);
        }
        // An expression uses only signals before it, so this ends.
        loop {
            match &self.signals.iter().find(|signal| signal.name == name)?.source {
                SignalSource::Query(query) => return Some(query),
                SignalSource::Expr(expr) => name = expr.names().first().copied()?,
            }
        }
    }

    /// The lines behind an instance, as a filter to search with.
    pub fn context_filter(&self, labels: &Labels) -> String {
        let own = self.subject().or_else(|| self.queries().next().map(|(_, query)| query));
        let own = match &self.kind {
            Kind::Pattern(pattern) => Some(pattern.filter.as_str()),
            _ => own.map(|query| query.filter.as_str()),
        };
        let base = self.context.filter.as_deref().or(own).unwrap_or("*");
        let mut out = grouped(&names::resolve(base));
        // The id of a pattern is no field of its lines.
        for label in self.by().iter().filter(|label| *label != PATTERN_LABEL) {
            let field = quote_field(label);
            match labels.get(label).filter(|value| !value.is_empty()) {
                Some(value) => {
                    let value = quote_value(value);
                    out.push_str(&match names::stored(label) {
                        Some(other) => format!(" ({field}={value} OR {other}={value})"),
                        None => format!(" {field}={value}"),
                    });
                }
                None => out.push_str(&format!(" -{field}:*")),
            }
        }
        match out.strip_prefix("* ") {
            Some(rest) => rest.to_owned(),
            None => out,
        }
    }

    /// The longest window of its signals.
    pub fn window_ns(&self) -> i64 {
        self.queries().map(|(_, query)| query.window_ns).max().unwrap_or_default()
    }
}

/// The labels of one row of an answer: `by` columns as text, absent ones left out.
pub fn labels_of(row: &serde_json::Map<String, serde_json::Value>, by: &[String]) -> Labels {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) if text.is_empty() => None,
        serde_json::Value::String(text) => Some(text.chars().take(LABEL_CHARS_MAX).collect()),
        other => Some(other.to_string()),
    };
    let value = |label: &str| row.get(label).and_then(text);
    let either = |label: &String| value(label).or_else(|| value(names::stored(label)?));
    by.iter().filter_map(|label| Some((label.clone(), either(label)?))).collect()
}

/// The table of an answer; rows without a number are left out.
pub fn table_of(rows: &[serde_json::Map<String, serde_json::Value>], by: &[String]) -> Table {
    rows.iter().filter_map(|row| numbered(row, by)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(filter: &str, agg: Agg, field: Option<&str>, by: &[&str]) -> SignalQuery {
        let by = by.iter().map(|label| (*label).to_owned()).collect();
        let (filter, field) = (filter.to_owned(), field.map(str::to_owned));
        SignalQuery { filter, agg, field, window_ns: 1, by, ..SignalQuery::default() }
    }

    #[test]
    fn a_pattern_rule_asks_for_its_scope_and_groups_traces() {
        let pattern = |field: Option<&str>| Pattern {
            filter: "level>=error".to_owned(),
            field: field.map(str::to_owned),
            scope: vec!["app".to_owned(), "env".to_owned()],
            learn_ns: 0,
            forget_after_ns: 1,
            after_deploy_ns: None,
            limit: None,
            resolve_after_ns: 0,
            marks: Vec::new(),
        };
        assert_eq!(
            pattern(None).query(),
            "(level>=error) | fields app, service, env, message, exception.type, exception.stack"
        );
        assert_eq!(pattern(Some("user id")).query(), "(level>=error) | fields app, service, env, `user id`");
        let row = |message: &str, stack: &str| {
            let row = serde_json::json!({"service": "api", "env": "prod", "message": message, "exception.type": "ShopError", "exception.stack": stack});
            pattern(None).line(row.as_object().expect("an object"), 7).expect("a line")
        };
        let one = row("order 7 of ann failed", "ShopError: order 7\n    at pay (/srv/cart.js:1:2)");
        assert_eq!((one.text.as_str(), one.labels["env"].as_str()), ("ShopError in pay (cart.js)", "prod"));
        let other = row("nothing like it", "ShopError: other\n    at pay (/srv/cart.js:9:9)");
        assert_eq!((one.text, one.is_trace), (other.text, true));
        assert!(!row("no trace 7", "").is_trace);
    }

    #[test]
    fn signals_are_asked_in_the_search_language() {
        for (query, text) in [
            (query("a OR b", Agg::Count, None, &["host", "upstream"]), "(a OR b) | stats count as v by host, upstream"),
            (query("", Agg::P95, Some("duration_ms"), &[]), "* | stats p95(duration_ms) as v"),
            (query("x", Agg::Distinct, Some("user id"), &["k8s-pod"]), "(x) | stats dc(`user id`) as v by `k8s-pod`"),
        ] {
            assert_eq!(query.text(), text);
        }
    }

    #[test]
    fn rows_become_a_table() {
        let rows = serde_json::json!([{"v": 3, "host": "a"}, {"v": 4.5, "host": null}, {"v": null, "host": "c"}]);
        let rows: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_value(rows).expect("rows");
        let table = table_of(&rows, &["host".to_owned()]);
        assert_eq!(table.len(), 2);
        assert_eq!(table.get(&Labels::from([("host".to_owned(), "a".to_owned())])), Some(3.0));
        assert_eq!(table.get(&Labels::new()), Some(4.5));
    }
}

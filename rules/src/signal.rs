//! Signals as queries: the text that is asked, and the table that comes back.

use std::collections::BTreeMap;

use crate::model::{Agg, Labels, Rule, Signal, SignalQuery, SignalSource};

/// Name of the column that holds the number.
pub const VALUE_COLUMN: &str = "v";

/// What of a value becomes a label: more is a line of text, not a name.
pub const LABEL_CHARS_MAX: usize = 500;

/// One number per set of label values.
pub type Table = BTreeMap<Labels, f64>;

impl SignalQuery {
    /// The query in the search language.
    pub fn text(&self) -> String {
        let agg = match (self.agg, &self.field) {
            (Agg::Count, _) => "count".to_owned(),
            (Agg::Rate, _) => "rate".to_owned(),
            (agg, field) => format!("{}({})", function(agg), quote_field(field.as_deref().unwrap_or_default())),
        };
        let by: Vec<String> = self.by.iter().map(|label| quote_field(label)).collect();
        let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(", ")) };
        format!("{} | stats {agg} as {VALUE_COLUMN}{by}", grouped(&self.filter))
    }

    /// The query that finds every value of the grouping labels with lines in a range.
    pub fn seen_text(&self) -> String {
        SignalQuery { agg: Agg::Count, field: None, ..self.clone() }.text()
    }
}

const fn function(agg: Agg) -> &'static str {
    match agg {
        Agg::Count => "count",
        Agg::Sum => "sum",
        Agg::Avg => "avg",
        Agg::Min => "min",
        Agg::Max => "max",
        Agg::P50 => "p50",
        Agg::P90 => "p90",
        Agg::P95 => "p95",
        Agg::P99 => "p99",
        Agg::Distinct => "dc",
        Agg::Rate => "rate",
    }
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
    /// The labels by which its instances are told apart: those of the most finely grouped signal.
    pub fn by(&self) -> &[String] {
        self.queries().map(|(_, query)| query.by.as_slice()).max_by_key(|by| by.len()).unwrap_or_default()
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
        let base = self.context.filter.as_deref().or(own.map(|query| query.filter.as_str())).unwrap_or("*");
        let mut out = grouped(base);
        for label in self.by() {
            let field = quote_field(label);
            match labels.get(label).filter(|value| !value.is_empty()) {
                Some(value) => out.push_str(&format!(" {field}={}", quote_value(value))),
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
    by.iter().filter_map(|label| Some((label.clone(), text(row.get(label)?)?))).collect()
}

/// The table of an answer; rows without a number are left out.
pub fn table_of(rows: &[serde_json::Map<String, serde_json::Value>], by: &[String]) -> Table {
    let row = |row: &serde_json::Map<String, serde_json::Value>| {
        let value = row.get(VALUE_COLUMN)?.as_f64()?;
        value.is_finite().then(|| (labels_of(row, by), value))
    };
    rows.iter().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(filter: &str, agg: Agg, field: Option<&str>, by: &[&str]) -> SignalQuery {
        let by = by.iter().map(|label| (*label).to_owned()).collect();
        SignalQuery { filter: filter.to_owned(), agg, field: field.map(str::to_owned), window_ns: 1, by }
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
        assert_eq!(table[&Labels::from([("host".to_owned(), "a".to_owned())])], 3.0);
        assert_eq!(table[&Labels::new()], 4.5);
    }
}

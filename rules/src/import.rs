//! Rules of other systems, as far as they mean something over log lines, and a list of what did not map.
//!
//! What comes out is a rule file to read, to test and to keep; nothing is imported behind anyone's back.

mod alertmanager;
mod elastalert;
mod logql;
mod prometheus;
mod sigma;

use logweir_proto::text::format_duration;
use logweir_proto::yaml::{self, Entry, Node, Problem, Problems, Value};

pub use alertmanager::alertmanager;
pub use elastalert::elastalert;
pub use prometheus::prometheus;
pub use sigma::sigma;

/// The result of an import.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// A rule file, with what did not map as comments at its beginning; empty when nothing did.
    pub text: String,
    /// Rules, or routes.
    pub rules: usize,
    /// What has no equivalent, each with its place.
    pub unmapped: Vec<String>,
}

/// A rule on its way.
#[derive(Debug, Default)]
struct Draft {
    name: String,
    /// The lines of its body, from `signals` or `pattern` to the levels.
    body: Vec<String>,
    summary: String,
    runbook: Option<String>,
    keep_firing_for: Option<String>,
    labels: Vec<(String, String)>,
}

struct Group {
    name: String,
    every: String,
    rules: Vec<Draft>,
}

fn parse(file: &str, source: &str) -> Result<Node, Vec<Problem>> {
    let mut problems = Problems::new(file, source);
    yaml::parse(source, &mut problems).ok_or_else(|| problems.into_sorted())
}

fn finish(groups: &[Group], unmapped: Vec<String>) -> Imported {
    let rules: usize = groups.iter().map(|group| group.rules.len()).sum();
    let mut text = String::new();
    unmapped.iter().for_each(|line| text.push_str(&remark(line)));
    if rules > 0 {
        text.push_str("version: 1\ngroups:\n");
    }
    for group in groups.iter().filter(|group| !group.rules.is_empty()) {
        text.push_str(&format!("  - name: {}\n    every: {}\n    rules:\n", quoted(&group.name), group.every));
        for rule in &group.rules {
            text.push_str(&format!("      - alert: {}\n", quoted(&rule.name)));
            for line in &rule.body {
                text.push_str(&format!("        {line}\n"));
            }
            if let Some(keep) = &rule.keep_firing_for {
                text.push_str(&format!("        keep_firing_for: {keep}\n"));
            }
            if !rule.labels.is_empty() {
                let labels: Vec<String> =
                    rule.labels.iter().map(|(k, v)| format!("{}: {}", quoted(k), quoted(v))).collect();
                text.push_str(&format!("        labels: {{{}}}\n", labels.join(", ")));
            }
            text.push_str(&format!("        summary: {}\n", quoted(&rule.summary)));
            if let Some(runbook) = &rule.runbook {
                text.push_str(&format!("        runbook: {}\n", quoted(runbook)));
            }
        }
    }
    Imported { text, rules, unmapped }
}

/// What did not map as a comment. It may quote the file: nothing in it may end the line.
fn remark(line: &str) -> String {
    let ends = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    format!("# not mapped: {}\n", line.replace(ends, " "))
}

/// A text as YAML reads it back, whatever is in it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn list(items: &[String]) -> String {
    format!("[{}]", items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", "))
}

fn get<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    entries(node).iter().find(|entry| entry.key == key).map(|entry| &entry.node)
}

fn entries(node: &Node) -> &[Entry] {
    match &node.value {
        Value::Map(entries) => entries,
        _ => &[],
    }
}

fn items(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        _ => std::slice::from_ref(node),
    }
}

fn text(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        _ => None,
    }
}

fn text_of(node: &Node, key: &str) -> Option<String> {
    get(node, key).and_then(text)
}

fn severity(word: Option<&str>) -> &'static str {
    match word.map(str::to_ascii_lowercase).as_deref() {
        Some("critical" | "page" | "error" | "high" | "emergency") => "critical",
        Some("info" | "none" | "low" | "notice") => "info",
        _ => "warning",
    }
}

fn seconds(count: f64) -> String {
    format_duration(std::time::Duration::try_from_secs_f64(count).unwrap_or_default())
}

/// A value of the query language, in quotes unless it is a number.
fn literal(value: &str) -> String {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests;

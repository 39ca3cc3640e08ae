//! Groups of alerting rules in Prometheus' format: those over lines (Loki's ruler) map, those over metrics do not.

use logweir_proto::yaml::{Node, Problem};

use super::{Draft, Group, Imported, entries, finish, get, items, list, logql, parse, quoted, severity, text, text_of};

/// Reads a rule file of Prometheus or of Loki's ruler.
pub fn prometheus(file: &str, source: &str) -> Result<Imported, Vec<Problem>> {
    let root = parse(file, source)?;
    let mut unmapped = Vec::new();
    let mut groups = Vec::new();
    for group in get(&root, "groups").map(items).unwrap_or_default() {
        let mut rules = Vec::new();
        for rule in get(group, "rules").map(items).unwrap_or_default() {
            let place = format!("{file}:{}", rule.at.line);
            match draft(rule, &place, &mut unmapped) {
                Ok(draft) => rules.push(draft),
                Err(reason) => unmapped.push(format!("{place}: {reason}")),
            }
        }
        groups.push(Group {
            name: text_of(group, "name").unwrap_or_else(|| "imported".to_owned()),
            every: text_of(group, "interval").unwrap_or_else(|| "30s".to_owned()),
            rules,
        });
    }
    Ok(finish(&groups, unmapped))
}

fn draft(rule: &Node, place: &str, unmapped: &mut Vec<String>) -> Result<Draft, String> {
    let name = text_of(rule, "alert").ok_or_else(|| {
        let name = text_of(rule, "record").unwrap_or_default();
        format!("'{name}' is a recording rule: signals are named within the rule that uses them")
    })?;
    let expr = text_of(rule, "expr").unwrap_or_default();
    let mapped = logql::map(&expr).map_err(|reason| format!("{name}: {reason}: {expr}"))?;
    if [Some(&mapped.of), mapped.by.as_ref()].into_iter().flatten().any(|series| series.by.is_none()) {
        unmapped.push(format!(
            "{place}: {name}: without 'sum' Loki tells each stream by itself, here it is all lines together"
        ));
    }
    let labels: Vec<(String, String)> = get(rule, "labels").map(pairs).unwrap_or_default();
    let level = severity(labels.iter().find(|(key, _)| key == "severity").map(|(_, value)| value.as_str()));
    let wait = text_of(rule, "for").map(|wait| format!(", for: {wait}")).unwrap_or_default();
    let signals = match &mapped.by {
        None => format!("signals: {{v: {}}}", signal(&mapped.of)),
        Some(by) => format!("signals: {{a: {}, b: {}, v: {{expr: a / b}}}}", signal(&mapped.of), signal(by)),
    };
    let body =
        vec![signals, format!("levels: {{{level}: {{when: {}{wait}}}}}", quoted(&format!("v {}", mapped.compare)))];
    let annotations = get(rule, "annotations").map(pairs).unwrap_or_default();
    let annotation =
        |names: &[&str]| annotations.iter().find(|(key, _)| names.contains(&key.as_str())).map(|(_, v)| v.clone());
    let summary = annotation(&["summary", "description", "message"]);
    let summary = summary.map_or_else(
        || name.clone(),
        |text| {
            template(&text).unwrap_or_else(|reason| {
                unmapped.push(format!("{place}: {name}: the summary {reason}"));
                name.clone()
            })
        },
    );
    for (key, _) in &annotations {
        if !["summary", "description", "message", "runbook_url", "runbook"].contains(&key.as_str()) {
            unmapped.push(format!("{place}: {name}: the annotation '{key}'"));
        }
    }
    let runbook = annotation(&["runbook_url", "runbook"]).and_then(|text| {
        let made = template(&text);
        unmapped.extend(made.as_ref().err().map(|reason| format!("{place}: {name}: the runbook {reason}")));
        made.ok()
    });
    let (labels, made): (Vec<_>, Vec<_>) =
        labels.into_iter().filter(|(key, _)| key != "severity").partition(|(_, value)| !value.contains("{{"));
    unmapped.extend(made.iter().map(|(key, _)| format!("{place}: {name}: the label '{key}' is made of a template")));
    Ok(Draft { name, body, summary, runbook, keep_firing_for: text_of(rule, "keep_firing_for"), labels })
}

fn signal(series: &logql::Series) -> String {
    let by = series.by.as_deref().filter(|by| !by.is_empty());
    let by = by.map(|by| format!(", by: {}", list(by))).unwrap_or_default();
    format!("{{filter: {}, agg: {}, window: {}{by}}}", quoted(&series.filter), series.agg, series.window)
}

fn pairs(node: &Node) -> Vec<(String, String)> {
    entries(node).iter().filter_map(|entry| Some((entry.key.clone(), text(&entry.node)?))).collect()
}

/// `{{ $labels.host }}` and `{{ $value }}` in the names of a rule file.
fn template(source: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = source;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inner, after) = after.split_once("}}").ok_or("has a '{{' without its end")?;
        out.push_str(before);
        let inner = inner.trim().trim_matches('-').trim();
        let name = inner.split('|').next().unwrap_or_default().trim();
        match name.strip_prefix("$labels.").or_else(|| name.strip_prefix(".Labels.")) {
            Some(label) if label.chars().all(|c| c.is_alphanumeric() || c == '_') => {
                out.push_str(&format!("{{{{ labels.{label} }}}}"));
            }
            _ if matches!(name, "$value" | ".Value") => out.push_str("{{ value.v }}"),
            _ => return Err(format!("uses '{inner}'")),
        }
        rest = after;
    }
    Ok(out + rest)
}

//! One ElastAlert rule: its type becomes a kind, its filters become one filter.

use logweir_proto::yaml::{Node, Problem, Value};

use super::{
    Draft, Group, Imported, entries, finish, get, items, list, literal, parse, quoted, seconds, text, text_of,
};

/// Keys that belong to where lines are stored or to whom alerts are sent, and are said elsewhere.
const ELSEWHERE: [&str; 12] = [
    "name",
    "type",
    "index",
    "filter",
    "timeframe",
    "num_events",
    "query_key",
    "threshold",
    "timestamp_field",
    "es_host",
    "es_port",
    "description",
];

/// Reads one rule file of ElastAlert.
pub fn elastalert(file: &str, source: &str) -> Result<Imported, Vec<Problem>> {
    let root = parse(file, source)?;
    let mut unmapped = Vec::new();
    let rules = match draft(&root, file, &mut unmapped) {
        Ok((draft, used)) => {
            for entry in entries(&root) {
                let known = ELSEWHERE.contains(&entry.key.as_str()) || used.contains(&entry.key.as_str());
                if !known {
                    unmapped.push(format!("{file}:{}: {}", entry.at.line, said_elsewhere(&entry.key)));
                }
            }
            vec![draft]
        }
        Err(reason) => {
            unmapped.push(format!("{file}:{}: {reason}", root.at.line));
            Vec::new()
        }
    };
    Ok(finish(&[Group { name: "elastalert".to_owned(), every: "30s".to_owned(), rules }], unmapped))
}

fn said_elsewhere(key: &str) -> String {
    match key {
        "alert" | "email" | "slack_webhook_url" | "alert_text" | "alert_subject" => {
            format!("'{key}': receivers stand in alerting.yaml, texts in summary and annotations")
        }
        "realert" | "aggregation" | "exponential_realert" => {
            format!("'{key}': repeat_interval and group_by of the route, and keep_firing_for of the rule")
        }
        other => format!("'{other}'"),
    }
}

type Made = (Draft, &'static [&'static str]);

fn draft(root: &Node, file: &str, unmapped: &mut Vec<String>) -> Result<Made, String> {
    let name = text_of(root, "name").unwrap_or_else(|| "Imported".to_owned());
    let kind = text_of(root, "type").ok_or("it has no type")?;
    let mut filters = Vec::new();
    for filter in get(root, "filter").map(items).unwrap_or_default() {
        match one_filter(filter) {
            Ok(filter) => filters.push(filter),
            Err(reason) => unmapped.push(format!("{file}:{}: a filter: {reason}", filter.at.line)),
        }
    }
    let filter = if filters.is_empty() { "*".to_owned() } else { filters.join(" AND ") };
    let window = get(root, "timeframe").and_then(timeframe).unwrap_or(300.0);
    let by: Vec<String> =
        get(root, "query_key").map(|n| items(n).iter().filter_map(text).collect()).unwrap_or_default();
    let (body, used) = body(root, &kind, &filter, &seconds(window), &by)?;
    let place = by.iter().map(|label| format!("{{{{ labels['{label}'] }}}}")).collect::<Vec<_>>().join(" ");
    let summary = text_of(root, "description").unwrap_or_else(|| name.clone());
    let summary = format!("{} {place}", summary.replace("{{", "")).trim_end().to_owned();
    Ok((Draft { name, body, summary, ..Draft::default() }, used))
}

fn body(
    root: &Node,
    kind: &str,
    filter: &str,
    window: &str,
    by: &[String],
) -> Result<(Vec<String>, &'static [&'static str]), String> {
    let grouped = |more: &str| {
        let by = if by.is_empty() { String::new() } else { format!(", by: {}", list(by)) };
        format!("{{filter: {}, {more}, window: {window}{by}}}", quoted(filter))
    };
    let need = |key: &str| text_of(root, key).ok_or_else(|| format!("type {kind} needs '{key}'"));
    let levels = |when: &str| format!("levels: {{warning: {{when: {}}}}}", quoted(when));
    Ok(match kind {
        "any" => (vec![format!("signals: {{n: {}}}", grouped("agg: count")), levels("n > 0")], &[]),
        "frequency" => {
            let when = format!("n >= {}", need("num_events")?);
            (vec![format!("signals: {{n: {}}}", grouped("agg: count")), levels(&when)], &[])
        }
        "flatline" => {
            let mut lines = vec![format!("signals: {{n: {}}}", grouped("agg: count"))];
            if !by.is_empty() {
                lines.push("expected: {seen_within: 24h}".to_owned());
            }
            lines.push(levels(&format!("n < {}", need("threshold")?)));
            (lines, &["use_count_query", "use_terms_query", "forget_keys"])
        }
        "spike" => {
            let (height, least) =
                (need("spike_height")?, text_of(root, "threshold_cur").unwrap_or_else(|| "1".to_owned()));
            let (up, down) = (
                format!("n >= {height} * prev(n, {window}) and n >= {least}"),
                format!("n * {height} <= prev(n, {window})"),
            );
            let when = match text_of(root, "spike_type").as_deref() {
                Some("down") => down,
                Some("both") => format!("({up}) or ({down})"),
                _ => up,
            };
            let used = &["spike_height", "spike_type", "threshold_cur", "threshold_ref"];
            (vec![format!("signals: {{n: {}}}", grouped("agg: count")), levels(&when)], used)
        }
        "cardinality" => {
            let field = need("cardinality_field")?;
            let when = match (text_of(root, "max_cardinality"), text_of(root, "min_cardinality")) {
                (Some(max), _) => format!("n > {max}"),
                (None, Some(min)) => format!("n < {min}"),
                _ => return Err("type cardinality needs max_cardinality or min_cardinality".to_owned()),
            };
            let signal = grouped(&format!("agg: distinct, field: {}", quoted(&field)));
            (
                vec![format!("signals: {{n: {signal}}}"), levels(&when)],
                &["cardinality_field", "max_cardinality", "min_cardinality"],
            )
        }
        "change" => {
            let field = need("compare_key")?;
            let signal = grouped(&format!("agg: changes, field: {}", quoted(&field)));
            (vec![format!("signals: {{n: {signal}}}"), levels("n > 0")], &["compare_key", "ignore_null"])
        }
        _ => return body_of_values(root, kind, filter, window, by),
    })
}

/// The types that are about the values of one field.
fn body_of_values(
    root: &Node,
    kind: &str,
    filter: &str,
    window: &str,
    by: &[String],
) -> Result<(Vec<String>, &'static [&'static str]), String> {
    let need = |key: &str| text_of(root, key).ok_or_else(|| format!("type {kind} needs '{key}'"));
    let levels = |when: &str| format!("levels: {{warning: {{when: {}}}}}", quoted(when));
    Ok(match kind {
        "new_term" => {
            let field = get(root, "fields")
                .and_then(|n| items(n).first().and_then(text))
                .ok_or("type new_term needs 'fields'")?;
            let pattern =
                format!("pattern: {{filter: {}, field: {}, scope: {}}}", quoted(filter), quoted(&field), list(by));
            (vec![pattern, levels("new_pattern")], &["fields", "terms_window_size", "window_step_size"])
        }
        "blacklist" | "whitelist" => {
            let field = need("compare_key")?;
            let values = get(root, kind).map(items).unwrap_or_default();
            let values: Vec<String> = values.iter().filter_map(text).map(|value| literal(&value)).collect();
            let not = if kind == "whitelist" { "NOT " } else { "" };
            let filter = format!("({filter}) AND {not}{field}:({})", values.join(" OR "));
            let signal = format!("{{filter: {}, agg: count, window: {window}}}", quoted(&filter));
            (
                vec![format!("signals: {{n: {signal}}}"), levels("n > 0")],
                &["compare_key", "blacklist", "whitelist", "ignore_null"],
            )
        }
        "metric_aggregation" => {
            let field = need("metric_agg_key")?;
            let agg = need("metric_agg_type")?;
            let agg = if agg == "cardinality" { "distinct".to_owned() } else { agg };
            let when = match (text_of(root, "max_threshold"), text_of(root, "min_threshold")) {
                (Some(max), Some(min)) => format!("n > {max} or n < {min}"),
                (Some(max), None) => format!("n > {max}"),
                (None, Some(min)) => format!("n < {min}"),
                _ => return Err("type metric_aggregation needs max_threshold or min_threshold".to_owned()),
            };
            let by = if by.is_empty() { String::new() } else { format!(", by: {}", list(by)) };
            let signal =
                format!("{{filter: {}, agg: {agg}, field: {}, window: {window}{by}}}", quoted(filter), quoted(&field));
            (
                vec![format!("signals: {{n: {signal}}}"), levels(&when)],
                &["metric_agg_key", "metric_agg_type", "max_threshold", "min_threshold"],
            )
        }
        other => return Err(format!("type {other} has no equivalent: write it with two signals and an expr")),
    })
}

/// `{minutes: 5}` in seconds.
fn timeframe(node: &Node) -> Option<f64> {
    let parts = entries(node).iter().map(|entry| {
        let unit = match entry.key.as_str() {
            "seconds" => 1.0,
            "minutes" => 60.0,
            "hours" => 3600.0,
            "days" => 86_400.0,
            "weeks" => 604_800.0,
            _ => return None,
        };
        Some(text(&entry.node)?.parse::<f64>().ok()? * unit)
    });
    parts.sum::<Option<f64>>().filter(|sum| *sum > 0.0)
}

/// `term`, `terms`, `range`, `query_string` in the query language.
fn one_filter(node: &Node) -> Result<String, String> {
    let [entry] = entries(node) else { return Err("it is no single condition".to_owned()) };
    let inner = &entry.node;
    match entry.key.as_str() {
        "term" | "match" | "match_phrase" => {
            let [field] = entries(inner) else { return Err("it has several fields".to_owned()) };
            let value = text(&field.node).or_else(|| text_of(&field.node, "value")).ok_or("its value is no text")?;
            Ok(format!("{}:{}", name(&field.key), literal(&value)))
        }
        "terms" => {
            let [field] = entries(inner) else { return Err("it has several fields".to_owned()) };
            let values: Vec<String> = items(&field.node).iter().filter_map(text).map(|value| literal(&value)).collect();
            Ok(format!("{}:({})", name(&field.key), values.join(" OR ")))
        }
        "range" => {
            let [field] = entries(inner) else { return Err("it has several fields".to_owned()) };
            let ops = [("gt", ">"), ("gte", ">="), ("lt", "<"), ("lte", "<=")];
            let parts: Vec<String> = ops
                .iter()
                .filter_map(|(key, op)| Some(format!("{}{op}{}", name(&field.key), text_of(&field.node, key)?)))
                .collect();
            if parts.is_empty() { Err("the range has no bounds".to_owned()) } else { Ok(parts.join(" AND ")) }
        }
        "query_string" => {
            text_of(inner, "query").map(|query| format!("({query})")).ok_or_else(|| "it has no query".to_owned())
        }
        "query" => one_filter(inner),
        other => match inner.value {
            Value::Map(_) => Err(format!("'{other}' has no equivalent")),
            _ => Err(format!("'{other}' is no condition")),
        },
    }
}

/// Elasticsearch keeps the words of a text under `name` and the whole of it under `name.keyword`.
fn name(field: &str) -> &str {
    field.strip_suffix(".keyword").unwrap_or(field)
}

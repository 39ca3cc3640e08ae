//! Sigma rules: a detection becomes a filter that should match nothing, an event correlation a count over a window.
//!
//! A file may hold several documents; a correlation names the rules of the same file that it counts.

use logweir_proto::yaml::{Node, Problem, Value};

use super::{Draft, Group, Imported, entries, finish, get, items, list, literal, parse, quoted, text, text_of};

/// Keys that describe a rule and change nothing of it.
const ABOUT: [&str; 19] = [
    "title",
    "name",
    "id",
    "related",
    "status",
    "description",
    "license",
    "references",
    "author",
    "date",
    "modified",
    "tags",
    "logsource",
    "detection",
    "correlation",
    "level",
    "falsepositives",
    "fields",
    "scope",
];
/// Products that are sources here; what another one wrote is told by its service alone.
const PRODUCTS: [&str; 3] = ["nginx", "docker", "journald"];
/// A list of selections in one condition.
const SELECTIONS_MAX: usize = 200;

/// A rule that was read, by the names under which a correlation may speak of it.
struct Known {
    names: Vec<String>,
    filter: String,
    /// It is only counted by a correlation, unless that says otherwise.
    draft: Draft,
    counted: bool,
}

/// Reads the rules of one file.
pub fn sigma(file: &str, source: &str) -> Result<Imported, Vec<Problem>> {
    let (mut known, mut rules, mut unmapped) = (Vec::<Known>::new(), Vec::new(), Vec::new());
    let mut correlations = Vec::new();
    for document in documents(source) {
        let root = parse(file, &document)?;
        for entry in entries(&root).iter().filter(|entry| !ABOUT.contains(&entry.key.as_str())) {
            unmapped.push(format!("{file}:{}: '{}'", entry.at.line, entry.key));
        }
        if get(&root, "correlation").is_some() {
            correlations.push(root);
            continue;
        }
        match detection(&root, file, &mut unmapped) {
            Ok(rule) => known.push(rule),
            Err(reason) => unmapped.push(format!("{file}:{}: {}: {reason}", root.at.line, title(&root))),
        }
    }
    for root in &correlations {
        match correlation(root, &mut known) {
            Ok(draft) => rules.push(draft),
            Err(reason) => unmapped.push(format!("{file}:{}: {}: {reason}", root.at.line, title(root))),
        }
    }
    let single = known.into_iter().filter(|rule| !rule.counted).map(|rule| rule.draft);
    rules.splice(0..0, single.collect::<Vec<_>>());
    Ok(finish(&[Group { name: "sigma".to_owned(), every: "30s".to_owned(), rules }], unmapped))
}

/// The documents of a file, each with empty lines for what is before it, so that places stay right.
fn documents(source: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for (number, line) in source.lines().enumerate() {
        if line.trim_end() == "---" {
            all.push("\n".repeat(number + 1));
        } else if let Some(last) = all.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    all.retain(|text| text.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')));
    all
}

fn title(root: &Node) -> String {
    text_of(root, "title").unwrap_or_else(|| "a rule without a title".to_owned())
}

fn draft(root: &Node, signal: String, when: &str, place: &[String]) -> Draft {
    let name: String = title(root).chars().filter(|c| !c.is_control()).take(120).collect();
    let level = match text_of(root, "level").as_deref() {
        Some("critical" | "high") => "critical",
        Some("low" | "informational") => "info",
        _ => "warning",
    };
    let labels = place.iter().map(|label| format!(" {{{{ labels['{label}'] }}}}")).collect::<String>();
    let about = text_of(root, "description").unwrap_or_else(|| name.clone());
    let about = about.lines().next().unwrap_or_default().replace("{{", "");
    Draft {
        body: vec![format!("signals: {{n: {signal}}}"), format!("levels: {{{level}: {{when: {}}}}}", quoted(when))],
        summary: format!("{about}:{labels} {{{{ value.n }}}} lines"),
        keep_firing_for: Some("10m".to_owned()),
        labels: text_of(root, "id").map(|id| ("sigma_id".to_owned(), id)).into_iter().collect(),
        name,
        runbook: None,
    }
}

fn detection(root: &Node, file: &str, unmapped: &mut Vec<String>) -> Result<Known, String> {
    let node = get(root, "detection").ok_or("it has no detection")?;
    let mut filter = match get(node, "condition").map(items) {
        Some([one]) => condition(&text(one).ok_or("the condition is no text")?, node)?,
        Some(several) => {
            let all: Result<Vec<String>, String> =
                several.iter().filter_map(text).map(|one| condition(&one, node)).collect();
            any(&all?)
        }
        None => return Err("it has no condition".to_owned()),
    };
    for entry in get(root, "logsource").map(entries).unwrap_or_default() {
        let Some(value) = text(&entry.node) else { continue };
        match entry.key.as_str() {
            "service" => filter = format!("service:{} AND {filter}", literal(&value)),
            "product" if PRODUCTS.contains(&value.as_str()) => filter = format!("source:{value} AND {filter}"),
            other => unmapped.push(format!(
                "{file}:{}: {}: the log source '{other}: {value}': say in the filter which lines are meant",
                entry.at.line,
                title(root)
            )),
        }
    }
    let signal = format!("{{filter: {}, agg: count, window: 5m, by: [host]}}", quoted(&filter));
    let names = ["name", "id", "title"].iter().filter_map(|key| text_of(root, key)).collect();
    let draft = draft(root, signal, "n > 0", &["host".to_owned()]);
    Ok(Known { names, filter, draft, counted: false })
}

fn correlation(root: &Node, known: &mut [Known]) -> Result<Draft, String> {
    let node = get(root, "correlation").ok_or("it has no correlation")?;
    let kind = text_of(node, "type").unwrap_or_default();
    let conditions = get(node, "condition").ok_or("the correlation has no condition")?;
    let agg = match kind.as_str() {
        "event_count" => "agg: count".to_owned(),
        "value_count" | "value_sum" | "value_avg" => {
            let field = text_of(conditions, "field").ok_or("the condition names no field")?;
            let agg = match kind.as_str() {
                "value_count" => "distinct",
                "value_sum" => "sum",
                _ => "avg",
            };
            format!("agg: {agg}, field: {}", quoted(&field))
        }
        other => return Err(format!("correlations of type '{other}' have no equivalent")),
    };
    let names: Vec<String> =
        get(node, "rules").map(|node| items(node).iter().filter_map(text).collect()).unwrap_or_default();
    let shown = text_of(node, "generate").is_some_and(|generate| generate == "true");
    let mut filters = Vec::new();
    for name in &names {
        let rule = known.iter_mut().find(|rule| rule.names.contains(name));
        let rule = rule.ok_or_else(|| format!("the rule '{name}' is not in this file"))?;
        rule.counted |= !shown;
        filters.push(rule.filter.clone());
    }
    let window = text_of(node, "timespan").ok_or("the correlation has no timespan")?;
    let by: Vec<String> =
        get(node, "group-by").map(|node| items(node).iter().filter_map(text).collect()).unwrap_or_default();
    let mut when = Vec::new();
    for (key, sign) in [("gt", ">"), ("gte", ">="), ("lt", "<"), ("lte", "<="), ("eq", "==")] {
        when.extend(text_of(conditions, key).map(|limit| format!("n {sign} {limit}")));
    }
    if when.is_empty() {
        return Err("the condition has no limit".to_owned());
    }
    let signal = format!("{{filter: {}, {agg}, window: {window}, by: {}}}", quoted(&any(&filters)), list(&by));
    Ok(draft(root, signal, &when.join(" and "), &by))
}

/// `selection and not 1 of filter_*`, word by word.
fn condition(source: &str, detection: &Node) -> Result<String, String> {
    if source.contains('|') {
        return Err("a condition with '|' is of an old Sigma: use a correlation".to_owned());
    }
    let spaced = source.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut out: Vec<String> = Vec::new();
    let mut place = 0;
    while let Some(word) = words.get(place) {
        place += 1;
        match word.to_ascii_lowercase().as_str() {
            "and" | "or" | "not" => out.push(word.to_ascii_uppercase()),
            "(" | ")" => out.push((*word).to_owned()),
            "1" | "any" | "all" if words.get(place).is_some_and(|of| of.eq_ignore_ascii_case("of")) => {
                let name = words.get(place + 1).ok_or("'of' has nothing behind it")?;
                place += 2;
                let all = selections(name, detection)?;
                let sign = if word.eq_ignore_ascii_case("all") { " AND " } else { " OR " };
                out.push(format!("({})", all.join(sign)));
            }
            _ => out.push(selection(get(detection, word).ok_or_else(|| format!("there is no selection '{word}'"))?)?),
        }
    }
    let filter = out.join(" ");
    logweir_proto::query::parse::parse(&filter).map_err(|_| format!("the condition cannot be read: {source}"))?;
    Ok(format!("({filter})"))
}

/// `them`, or names with a `*`.
fn selections(name: &str, detection: &Node) -> Result<Vec<String>, String> {
    let prefix = name.strip_suffix('*');
    let meant = |key: &str| match (name, prefix) {
        ("them", _) => !key.starts_with('_'),
        (_, Some(prefix)) => key.starts_with(prefix),
        _ => key == name,
    };
    let own = entries(detection).iter().filter(|entry| !["condition", "timeframe"].contains(&entry.key.as_str()));
    let all: Vec<String> = own
        .filter(|entry| meant(&entry.key))
        .take(SELECTIONS_MAX)
        .map(|entry| selection(&entry.node))
        .collect::<Result<_, _>>()?;
    if all.is_empty() { Err(format!("there is no selection '{name}'")) } else { Ok(all) }
}

/// A map means all of its fields; a list means one of its items; a text alone is a word of the message.
fn selection(node: &Node) -> Result<String, String> {
    match &node.value {
        Value::Map(fields) => {
            let all: Vec<String> =
                fields.iter().map(|entry| field(&entry.key, &entry.node)).collect::<Result<_, _>>()?;
            Ok(format!("({})", all.join(" AND ")))
        }
        Value::List(all) => {
            let all: Vec<String> = all.iter().map(selection).collect::<Result<_, _>>()?;
            Ok(any(&all))
        }
        _ => Ok(word(&text(node).ok_or("a selection is no text")?)),
    }
}

fn any(all: &[String]) -> String {
    match all {
        [one] => one.clone(),
        all => format!("({})", all.join(" OR ")),
    }
}

/// A word of the message; `*` at its ends is a part of one.
fn word(text: &str) -> String {
    literal(text.trim_matches('*'))
}

fn field(key: &str, node: &Node) -> Result<String, String> {
    let mut parts = key.split('|');
    let name = parts.next().unwrap_or_default();
    let modifiers: Vec<&str> = parts.collect();
    let known =
        ["contains", "startswith", "endswith", "all", "re", "i", "cidr", "exists", "gt", "gte", "lt", "lte", "cased"];
    if let Some(other) = modifiers.iter().find(|one| !known.contains(one)) {
        return Err(format!("the modifier '{other}' has no equivalent"));
    }
    let values = items(node);
    let all: Vec<String> = values.iter().map(|value| one(name, &modifiers, value)).collect::<Result<_, _>>()?;
    let sign = if modifiers.contains(&"all") { " AND " } else { " OR " };
    Ok(if all.len() == 1 { all.join("") } else { format!("({})", all.join(sign)) })
}

fn one(name: &str, modifiers: &[&str], node: &Node) -> Result<String, String> {
    let has = |modifier: &str| modifiers.contains(&modifier);
    let field = crate::signal::quote_field(name);
    if matches!(node.value, Value::Null) {
        return Ok(format!("NOT {field}:*"));
    }
    let value = text(node).ok_or_else(|| format!("'{name}' is no value"))?;
    if has("exists") {
        return Ok(if value == "true" { format!("{field}:*") } else { format!("NOT {field}:*") });
    }
    if has("re") {
        let flags = if has("i") { "(?i)" } else { "" };
        return Ok(format!("{field}=~{}", in_quotes(&format!("{flags}{value}"))));
    }
    if has("cidr") {
        return Ok(format!("{field}:{value}"));
    }
    for (modifier, sign) in [("gte", ">="), ("gt", ">"), ("lte", "<="), ("lt", "<")] {
        if has(modifier) {
            return Ok(format!("{field}{sign}{value}"));
        }
    }
    let (before, after) = match (has("contains"), has("startswith"), has("endswith")) {
        (true, ..) => ("*", "*"),
        (_, true, _) => ("", "*"),
        (.., true) => ("*", ""),
        _ => ("", ""),
    };
    let is_pattern = value.contains(['*', '?']) || !before.is_empty() || !after.is_empty();
    if is_pattern {
        return Ok(format!("{field}:{before}{}{after}", pattern(&value)));
    }
    Ok(if value.is_empty() { format!("{field}=\"\"") } else { format!("{field}:{}", literal(&value)) })
}

/// A pattern as the query language wants it: what is no letter or digit is taken literally, but `*` and `?`.
fn pattern(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 4);
    for c in value.chars() {
        if !(c.is_alphanumeric() || "*?_-./".contains(c)) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn in_quotes(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

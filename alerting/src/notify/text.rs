//! The words of a message, before a channel escapes and cuts them: the same facts in the same order everywhere.

use std::collections::BTreeMap;
use std::time::Duration;

use logweir_proto::text::{format_duration, visible};
use logweir_rules::model::Severity;

use super::message::{Message, time_text, values_text};
use crate::state::{Episode, RowKind};

/// Sample lines of one alert.
pub const SAMPLES_SHOWN: usize = 5;
/// Longest link in a message.
pub const LINK_BYTES_MAX: usize = 2_000;
/// Values of one field that are listed.
const TOP_SHOWN: usize = 5;

pub fn span_text(ns: i64) -> String {
    format_duration(Duration::from_nanos(u64::try_from(ns).unwrap_or(0)))
}

/// At most `limit` characters, control and bidirectional characters made visible, on one line.
pub fn clip(text: &str, limit: usize) -> String {
    let text = visible(text);
    if text.chars().count() <= limit {
        return text;
    }
    let mut cut: String = text.chars().take(limit.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// Several lines, each made visible, at most `limit` characters together.
pub fn clip_lines(text: &str, limit: usize) -> String {
    let lines: Vec<String> = text.lines().map(visible).collect();
    let text = lines.join("\n");
    if text.chars().count() <= limit {
        return text;
    }
    let mut cut: String = text.chars().take(limit.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// Puts a word joiner behind the `@` where words call everybody.
pub fn break_mentions(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    if ["@channel", "@here", "@everyone", "@group"].iter().any(|word| lower.contains(word)) {
        return text.replace('@', "@\u{2060}");
    }
    text.to_owned()
}

/// Whether a text can be a link in a message: log text that got into one is percent-encoded.
pub fn is_link(url: &str) -> bool {
    let good = url.starts_with("http://") || url.starts_with("https://");
    good && url.len() <= LINK_BYTES_MAX && url.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"'`@".contains(&b))
}

/// What it is about, in one line.
pub fn title(message: &Message) -> String {
    let firing = message.firing().count();
    let resolved = message.alerts.len() - firing;
    let name = message.alerts.first().map_or("alert", |alert| alert.rule.as_str());
    let plain = match (firing, resolved) {
        (0, 1) => format!("✅ resolved: {name}"),
        (0, _) => format!("✅ {resolved} resolved: {name}"),
        (1, 0) => format!("{} {}: {name}", icon(message.severity()), message.severity()),
        (_, 0) => format!("{} {firing} firing: {name}", icon(message.severity())),
        _ => format!("{} {firing} firing, {resolved} resolved: {name}", icon(message.severity())),
    };
    match message.kind {
        RowKind::Storm => format!("🌩 alert storm: {firing} firing, {resolved} resolved"),
        RowKind::Digest => format!("🗞 digest: {firing} firing, {resolved} over"),
        RowKind::Escalation => format!("⏫ nobody acknowledged: {plain}"),
        RowKind::Fallback => format!("{plain} (could not be told elsewhere)"),
        RowKind::Test => format!("[TEST] {}", message.receiver),
        RowKind::Alert | RowKind::Ack => match message.all_acked() {
            Some(by) => format!("👀 {by} has it: {plain}"),
            None => plain,
        },
    }
}

pub const fn icon(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "🔥",
        Severity::Warning => "⚠️",
        Severity::Info => "ℹ️",
    }
}

/// `#e01e5a`
pub fn color(message: &Message) -> &'static str {
    match (message.is_firing(), message.severity()) {
        (false, _) => "#2eb67d",
        (true, Severity::Critical) => "#e01e5a",
        (true, Severity::Warning) => "#ecb22e",
        (true, Severity::Info) => "#36c5f0",
    }
}

/// Names and texts of what is known of an alert, the most telling first.
pub fn facts(alert: &Episode) -> Vec<(String, String)> {
    let mut facts = vec![("severity".to_owned(), alert.severity.to_string())];
    let mut add = |name: &str, text: String| {
        if !text.is_empty() {
            facts.push((name.to_owned(), text));
        }
    };
    add("value", values_text(alert));
    add("because", alert.close_reason.clone().unwrap_or_else(|| alert.reason.clone()));
    add("since", time_text(alert.opened_at));
    if let Some(closed_at) = alert.closed_at {
        let lasted = span_text(closed_at.saturating_sub(alert.opened_at));
        add("lasted", format!("{lasted}, worst {}", alert.peak));
    }
    add("flapping", alert.extra.flapping.clone().unwrap_or_default());
    if let Some(ack) = &alert.extra.ack {
        let until = ack.until_wall.map(|until| format!(" until {}", time_text(until))).unwrap_or_default();
        add("acknowledged", format!("by {} at {}{until} {}", ack.by, time_text(ack.wall), ack.comment));
    }
    add("deploy", alert.extra.deploy.clone().unwrap_or_default());
    for (field, values) in &alert.extra.top {
        let values = values.iter().take(TOP_SHOWN).map(|(value, count)| format!("{value} ({count})"));
        add(&format!("top {field}"), values.collect::<Vec<_>>().join(", "));
    }
    add("rule", rule_text(alert));
    for (name, text) in &alert.annotations {
        add(name, text.clone());
    }
    facts
}

/// `rules/api.yaml:8 @ 3f2a91c`
pub fn rule_text(alert: &Episode) -> String {
    match &alert.extra.commit {
        Some(commit) => format!("{} @ {commit}", alert.rule_at),
        None => alert.rule_at.clone(),
    }
}

/// What is true of the message as a whole.
pub fn notes(message: &Message, shown: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if matches!(message.kind, RowKind::Storm | RowKind::Digest) {
        notes.extend(counts(message));
    }
    if message.alerts.len() > shown {
        notes.push(format!("and {} more alerts", message.alerts.len() - shown));
    }
    if let Some(late_ns) = message.late_ns {
        notes.push(format!("sent {} after it was due", span_text(late_ns)));
    }
    notes
}

/// `service: pay 31, cart 4`: of the labels that the file names for storms, or the names of the alerts.
fn counts(message: &Message) -> Vec<String> {
    let names = vec!["alertname".to_owned()];
    let by = if message.digest_by.is_empty() { &names } else { &message.digest_by };
    let line = |label: &String| {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for alert in &message.alerts {
            *counts.entry(alert.labels.get(label).map_or("(none)", String::as_str)).or_default() += 1;
        }
        let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|(value, count)| (std::cmp::Reverse(*count), *value));
        let shown: Vec<String> = counts.iter().take(10).map(|(value, count)| format!("{value} {count}")).collect();
        let more = if counts.len() > 10 { format!(" and {} more", counts.len() - 10) } else { String::new() };
        format!("{label}: {}{more}", shown.join(", "))
    };
    by.iter().take(3).map(line).collect()
}

/// The whole message as plain text: mail, chat programs without markup.
pub fn plain(message: &Message, shown: usize) -> String {
    let mut out = format!("{}\n", clip(&title(message), 300));
    for note in notes(message, shown) {
        out.push_str(&format!("{}\n", clip(&note, 1_000)));
    }
    for alert in message.alerts.iter().take(shown) {
        let mark = if alert.is_firing() { icon(alert.severity) } else { "✅" };
        out.push_str(&format!("\n{mark} {}\n", clip(&alert.summary, 600)));
        for (name, text) in facts(alert) {
            out.push_str(&format!("  {}: {}\n", clip(&name, 60), clip(&text, 500)));
        }
        if alert.is_firing() {
            for sample in alert.samples.iter().take(SAMPLES_SHOWN) {
                let line = clip_lines(&sample.line, 600).replace('\n', "\n    ");
                out.push_str(&format!("  > {line}\n"));
            }
        }
        if !alert.link.is_empty() {
            out.push_str(&format!("  lines: {}\n", clip(&alert.link, 2_000)));
        }
    }
    for (name, url) in message.links.shown() {
        out.push_str(&format!("\n{name}: {url}"));
    }
    out.push('\n');
    out
}

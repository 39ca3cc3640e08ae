//! Slack incoming webhooks: one coloured attachment of blocks, within Slack's limits whatever the lines hold.
//!
//! Log text is hostile: `&`, `<` and `>` are escaped (which also ends links and `<!channel>`), words like `@here` are
//! broken, back ticks cannot end a code block, control and bidirectional characters become visible.

use std::time::Duration;

use bytes::Bytes;
use logweir_proto::text::{format_duration, visible};
use logweir_rules::model::Severity;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::http::Poster;
use super::message::{Message, time_text, values_text};
use super::policy::Outcome;
use crate::route::file::SlackChannel;
use crate::state::Episode;

// What Slack documents, in characters; a message that breaks one is refused whole.
pub const BLOCKS_MAX: usize = 50;
pub const HEADER_CHARS_MAX: usize = 150;
pub const SECTION_CHARS_MAX: usize = 3_000;
pub const URL_CHARS_MAX: usize = 3_000;
/// All blocks together; not documented, found at about 13,200.
pub const TOTAL_CHARS_MAX: usize = 12_000;

/// Alerts that are written out; the rest is counted.
const ALERTS_SHOWN: usize = 5;
const SUMMARY_CHARS_MAX: usize = 600;
const DETAIL_CHARS_MAX: usize = 500;
const SAMPLE_CHARS_MAX: usize = 250;
const SAMPLES_CHARS_MAX: usize = 1_000;
const FALLBACK_CHARS_MAX: usize = 500;

const _: () = assert!(
    ALERTS_SHOWN * (SUMMARY_CHARS_MAX + DETAIL_CHARS_MAX + SAMPLES_CHARS_MAX) + HEADER_CHARS_MAX < TOTAL_CHARS_MAX
);

/// Sends one message.
pub async fn send(channel: &SlackChannel, poster: &Poster, message: &Message) -> Outcome {
    let url = match channel.url.read() {
        Ok(url) => url,
        Err(error) => return Outcome::Misconfigured(error),
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    poster.post(url.expose(), headers, Bytes::from(payload(message).to_string())).await
}

/// The body.
pub fn payload(message: &Message) -> Value {
    let firing = message.firing().count();
    let resolved = message.alerts.len() - firing;
    let mut blocks = vec![json!({
        "type": "header",
        "text": {"type": "plain_text", "text": plain(&title(message, firing, resolved), HEADER_CHARS_MAX), "emoji": true},
    })];
    for alert in message.alerts.iter().take(ALERTS_SHOWN) {
        push_alert(&mut blocks, alert);
    }
    let mut notes = Vec::new();
    if message.alerts.len() > ALERTS_SHOWN {
        notes.push(format!("and {} more alerts", message.alerts.len() - ALERTS_SHOWN));
    }
    if let Some(late_ns) = message.late_ns {
        notes.push(format!("sent {} after it was due", span_text(late_ns)));
    }
    if !notes.is_empty() {
        blocks.push(context(&notes.join(" · ")));
    }
    push_button(&mut blocks, message);
    let first = message.alerts.first().map_or("", |alert| alert.summary.as_str());
    let fallback = format!("{}: {first}", title(message, firing, resolved));
    json!({
        "text": escape(&fallback, FALLBACK_CHARS_MAX),
        "attachments": [{"color": color(message), "blocks": blocks}],
    })
}

fn title(message: &Message, firing: usize, resolved: usize) -> String {
    let name = message.alerts.first().map_or("alert", |alert| alert.rule.as_str());
    match (firing, resolved) {
        (0, 1) => format!("✅ resolved: {name}"),
        (0, _) => format!("✅ {resolved} resolved: {name}"),
        (1, 0) => format!("{} {}: {name}", icon(message.severity()), message.severity()),
        (_, 0) => format!("{} {firing} firing: {name}", icon(message.severity())),
        _ => format!("{} {firing} firing, {resolved} resolved: {name}", icon(message.severity())),
    }
}

const fn icon(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "🔥",
        Severity::Warning => "⚠️",
        Severity::Info => "ℹ️",
    }
}

fn color(message: &Message) -> &'static str {
    match (message.is_firing(), message.severity()) {
        (false, _) => "#2eb67d",
        (true, Severity::Critical) => "#e01e5a",
        (true, Severity::Warning) => "#ecb22e",
        (true, Severity::Info) => "#36c5f0",
    }
}

fn push_alert(blocks: &mut Vec<Value>, alert: &Episode) {
    let mark = if alert.is_firing() { "" } else { "✅ " };
    blocks.push(section(&format!("{mark}*{}*", escape(&alert.summary.replace('*', "∗"), SUMMARY_CHARS_MAX))));
    let reason = alert.close_reason.as_ref().unwrap_or(&alert.reason);
    let mut detail =
        format!("{} · {} · {reason} · since {}", alert.severity, values_text(alert), time_text(alert.opened_at));
    if let Some(closed_at) = alert.closed_at {
        let lasted = span_text(closed_at.saturating_sub(alert.opened_at));
        detail.push_str(&format!(" · lasted {lasted}, worst {}", alert.peak));
    }
    detail.push_str(&format!(" · {}", alert.rule_at));
    for (key, text) in &alert.annotations {
        detail.push_str(&format!(" · {key}: {text}"));
    }
    blocks.push(context_escaped(&escape(&detail, DETAIL_CHARS_MAX)));
    if alert.is_firing() && !alert.samples.is_empty() {
        let mut code = String::new();
        for sample in &alert.samples {
            let line = escape(&sample.line.replace(['\n', '\r'], " "), SAMPLE_CHARS_MAX);
            if chars(&code) + chars(&line) + 1 > SAMPLES_CHARS_MAX - 6 {
                break;
            }
            code.push_str(&line);
            code.push('\n');
        }
        if !code.is_empty() {
            blocks.push(section(&format!("```{}```", code.trim_end())));
        }
    }
}

fn push_button(blocks: &mut Vec<Value>, message: &Message) {
    let Some(link) = message.alerts.first().map(|alert| alert.link.as_str()) else { return };
    // A button whose URL is too long or not one would make Slack refuse the message.
    let good = link.starts_with("http://") || link.starts_with("https://");
    if good && chars(link) <= URL_CHARS_MAX && link.chars().all(|c| c.is_ascii_graphic()) {
        let text = json!({"type": "plain_text", "text": "Show the lines"});
        blocks.push(json!({"type": "actions", "elements": [{"type": "button", "text": text, "url": link}]}));
    }
}

fn section(escaped: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": escaped, "verbatim": true}})
}

fn context(text: &str) -> Value {
    context_escaped(&escape(text, DETAIL_CHARS_MAX))
}

fn context_escaped(escaped: &str) -> Value {
    json!({"type": "context", "elements": [{"type": "mrkdwn", "text": escaped, "verbatim": true}]})
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

/// Text for mrkdwn, at most `limit` characters after escaping; never cut within an escape.
pub fn escape(text: &str, limit: usize) -> String {
    let text = visible(&break_mentions(text));
    let mut out = String::new();
    let mut length = 0;
    for c in text.chars() {
        let unit = match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            // A back tick would open code that runs into what follows.
            '`' => "'".to_owned(),
            c => c.to_string(),
        };
        if length + chars(&unit) > limit.saturating_sub(1) {
            out.push('…');
            break;
        }
        length += chars(&unit);
        out.push_str(&unit);
    }
    // Slack refuses an empty text.
    if out.is_empty() { " ".to_owned() } else { out }
}

/// Text for `plain_text`, which knows no markup but `:emoji:`.
fn plain(text: &str, limit: usize) -> String {
    let text = visible(&break_mentions(text));
    if chars(&text) <= limit {
        return text;
    }
    let mut cut: String = text.chars().take(limit - 1).collect();
    cut.push('…');
    cut
}

/// Puts a word joiner behind the `@` of words that call everybody.
fn break_mentions(text: &str) -> String {
    let mut out = text.to_owned();
    for word in ["@channel", "@here", "@everyone", "@group"] {
        if out.to_ascii_lowercase().contains(word) {
            out = out.replace('@', "@\u{2060}");
            break;
        }
    }
    out
}

pub(super) fn span_text(ns: i64) -> String {
    format_duration(Duration::from_nanos(u64::try_from(ns).unwrap_or(0)))
}

#[cfg(test)]
mod tests;

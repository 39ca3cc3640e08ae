//! Slack messages: one coloured attachment of blocks, within Slack's limits whatever the lines hold.
//!
//! Log text is hostile: `&`, `<` and `>` are escaped (which also ends links and `<!channel>`), words like `@here` are
//! broken, back ticks cannot end a code block, control and bidirectional characters become visible.

pub mod bot;
pub mod interact;

use logweir_proto::text::visible;
use serde_json::{Value, json};

use super::http::Poster;
use super::message::Message;
use super::outbox::Sent;
use super::text::{SAMPLES_SHOWN, break_mentions, color, facts, notes, title};
use crate::route::channel::{Slack, SlackAccess};
use crate::state::Episode;

/// What Slack says was pressed.
pub const ACTION_ACK: &str = "logweir_ack";
pub const ACTION_SILENCE: &str = "logweir_silence_1h";

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

/// How a message can be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buttons {
    /// Links that open a page of ours.
    Links,
    /// Slack calls us.
    Calls,
    None,
}

/// Sends one message.
pub async fn send(channel: &Slack, poster: &Poster, message: &Message) -> Sent {
    let links = if channel.buttons { Buttons::Links } else { Buttons::None };
    let url = match &channel.access {
        SlackAccess::Webhook(url) => url,
        SlackAccess::Bot(bot) => {
            let calls = channel.buttons && bot.signing_secret.is_some();
            return bot::send(bot, if calls { Buttons::Calls } else { links }, poster, message).await;
        }
    };
    poster.post_json(url, &payload(message, links)).await.into()
}

/// The body.
pub fn payload(message: &Message, buttons: Buttons) -> Value {
    let mut blocks = vec![json!({
        "type": "header",
        "text": {"type": "plain_text", "text": plain(&title(message), HEADER_CHARS_MAX), "emoji": true},
    })];
    for alert in message.alerts.iter().take(ALERTS_SHOWN) {
        push_alert(&mut blocks, alert);
    }
    let notes = notes(message, ALERTS_SHOWN);
    if !notes.is_empty() {
        blocks.push(context(&notes.join(" · ")));
    }
    if is_url(&message.links.chart) {
        blocks.push(json!({"type": "image", "image_url": message.links.chart, "alt_text": "the values of the rule"}));
    }
    push_buttons(&mut blocks, message, buttons);
    let first = message.alerts.first().map_or("", |alert| alert.summary.as_str());
    let fallback = format!("{}: {first}", title(message));
    json!({
        "text": escape(&fallback, FALLBACK_CHARS_MAX),
        "attachments": [{"color": color(message), "blocks": blocks}],
    })
}

fn push_alert(blocks: &mut Vec<Value>, alert: &Episode) {
    let mark = if alert.is_firing() { "" } else { "✅ " };
    blocks.push(section(&format!("{mark}*{}*", escape(&alert.summary.replace('*', "∗"), SUMMARY_CHARS_MAX))));
    let facts = facts(alert);
    let detail: Vec<String> = facts.iter().map(|(name, text)| format!("{name}: {text}")).collect();
    let detail = detail.join(" · ");
    blocks.push(context_escaped(&escape(&detail, DETAIL_CHARS_MAX)));
    if alert.is_firing() && !alert.samples.is_empty() {
        let mut code = String::new();
        for sample in alert.samples.iter().take(SAMPLES_SHOWN) {
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

fn push_buttons(blocks: &mut Vec<Value>, message: &Message, buttons: Buttons) {
    let mut elements = Vec::new();
    let links = &message.links;
    let mut link = |text: &str, url: &str| {
        if is_url(url) {
            elements.push(json!({"type": "button", "text": {"type": "plain_text", "text": text}, "url": url}));
        }
    };
    link("Show the lines", &links.lines);
    link("Runbook", &links.runbook);
    if buttons != Buttons::None {
        link("Why", &links.why);
    }
    if buttons == Buttons::Links {
        link("Acknowledge", &links.ack);
        link("Silence 1 h", &links.silence);
    }
    if buttons == Buttons::Calls && !links.target.is_empty() {
        for (action, text) in [(ACTION_ACK, "Acknowledge"), (ACTION_SILENCE, "Silence 1 h")] {
            let text = json!({"type": "plain_text", "text": text});
            elements.push(json!({"type": "button", "text": text, "action_id": action, "value": links.target}));
        }
    }
    if !elements.is_empty() {
        blocks.push(json!({"type": "actions", "elements": elements}));
    }
}

/// A button whose URL is too long or not one would make Slack refuse the message.
fn is_url(url: &str) -> bool {
    let good = url.starts_with("http://") || url.starts_with("https://");
    good && chars(url) <= URL_CHARS_MAX && url.chars().all(|c| c.is_ascii_graphic())
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

#[cfg(test)]
mod tests;

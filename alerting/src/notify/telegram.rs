//! Telegram bots: `sendMessage` in HTML, whose only markup is ours.

use logweir_proto::text::escape_markup as escape;
use serde_json::{Value, json};

use super::http::Poster;
use super::message::Message;
use super::policy::Outcome;
use super::text::{SAMPLES_SHOWN, clip, facts, is_link, notes, title};
use crate::route::channel::Telegram;

/// What Telegram documents, in UTF-16 units after its entities are read; counted here before, which is more.
pub const TEXT_UNITS_MAX: usize = 4_096;
const ALERTS_SHOWN: usize = 5;

pub async fn send(channel: &Telegram, poster: &Poster, message: &Message) -> Outcome {
    let token = match channel.token.read() {
        Ok(token) => token,
        Err(error) => return Outcome::Misconfigured(error),
    };
    let url = format!("{}/bot{}/sendMessage", channel.api_url.trim_end_matches('/'), token.expose());
    let (outcome, answer) = poster.call_json(&url, None, &payload(channel, message)).await;
    // Telegram says in the body how long to wait.
    let asked = serde_json::from_slice::<Value>(&answer).ok().and_then(|v| v["parameters"]["retry_after"].as_i64());
    match (outcome, asked) {
        (Outcome::Status { code: 429, retry_after_ns: None, body }, Some(seconds)) => {
            Outcome::Status { code: 429, retry_after_ns: seconds.checked_mul(1_000_000_000), body }
        }
        (outcome, _) => outcome,
    }
}

/// The body.
pub fn payload(channel: &Telegram, message: &Message) -> Value {
    json!({
        "chat_id": channel.chat,
        "text": text(message),
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": true},
    })
}

/// Whole pieces as long as they fit, so that no tag stays open.
fn text(message: &Message) -> String {
    let mut out = format!("<b>{}</b>", escape(&clip(&title(message), 200)));
    let mut add = |piece: String| {
        if out.encode_utf16().count() + piece.encode_utf16().count() <= TEXT_UNITS_MAX {
            out.push_str(&piece);
        }
    };
    for (name, url) in message.links.shown().chain([("Show the lines", message.links.lines.as_str())]) {
        if is_link(url) && url.len() < 600 {
            add(format!("\n<a href=\"{}\">{}</a>", escape(url), escape(name)));
        }
    }
    for note in notes(message, ALERTS_SHOWN) {
        add(format!("\n<i>{}</i>", escape(&clip(&note, 200))));
    }
    for alert in message.alerts.iter().take(ALERTS_SHOWN) {
        let mark = if alert.is_firing() { "" } else { "✅ " };
        add(format!("\n\n{mark}<b>{}</b>", escape(&clip(&alert.summary, 200))));
        let facts: Vec<String> = facts(alert).iter().map(|(name, text)| format!("{name}: {text}")).collect();
        add(format!("\n{}", escape(&clip(&facts.join(" · "), 300))));
        if alert.is_firing() {
            for sample in alert.samples.iter().take(SAMPLES_SHOWN) {
                add(format!("\n<code>{}</code>", escape(&clip(&sample.line.replace(['\n', '\r'], " "), 150))));
            }
        }
    }
    out
}

//! Discord webhooks: embeds, with every mention switched off.

use serde_json::{Value, json};

use super::http::Poster;
use super::message::{Message, time_text};
use super::policy::Outcome;
use super::text::{SAMPLES_SHOWN, break_mentions, clip, color, facts, is_link, notes, title};
use crate::route::channel::Discord;
use crate::state::Episode;

// What Discord documents, in characters.
pub const CONTENT_CHARS_MAX: usize = 2_000;
pub const EMBEDS_MAX: usize = 10;
pub const TITLE_CHARS_MAX: usize = 256;
pub const DESCRIPTION_CHARS_MAX: usize = 4_096;
/// All embeds of a message together.
pub const TOTAL_CHARS_MAX: usize = 6_000;
const ALERTS_SHOWN: usize = 5;
const ALERT_CHARS_MAX: usize = 1_000;

const _: () = assert!(ALERTS_SHOWN * (ALERT_CHARS_MAX + 160) < TOTAL_CHARS_MAX && ALERTS_SHOWN <= EMBEDS_MAX);

pub async fn send(channel: &Discord, poster: &Poster, message: &Message) -> Outcome {
    poster.post_json(&channel.url, &payload(message)).await
}

/// The body.
pub fn payload(message: &Message) -> Value {
    let mut content = format!("**{}**", plain(&title(message), 300));
    for note in notes(message, ALERTS_SHOWN) {
        content.push_str(&format!("\n{}", plain(&note, 300)));
    }
    let links: Vec<String> = message
        .links
        .shown()
        .filter(|(_, url)| url.len() < 400 && is_link(url))
        .map(|(name, url)| format!("[{name}](<{url}>)"))
        .collect();
    let content = format!("{content}\n{}", links.join(" · "));
    let number = i64::from_str_radix(color(message).trim_start_matches('#'), 16).unwrap_or(0);
    let mut embeds: Vec<Value> = message.alerts.iter().take(ALERTS_SHOWN).map(|alert| embed(alert, number)).collect();
    if let (Some(first), true) = (embeds.first_mut(), message.links.chart.starts_with("https://")) {
        first["image"] = json!({"url": message.links.chart});
    }
    json!({
        "content": clip_keeping_lines(&content, CONTENT_CHARS_MAX),
        "embeds": embeds,
        "allowed_mentions": {"parse": []},
    })
}

fn embed(alert: &Episode, color: i64) -> Value {
    let mark = if alert.is_firing() { "" } else { "✅ " };
    let facts: Vec<String> = facts(alert).iter().map(|(name, text)| format!("{name}: {text}")).collect();
    let mut text = plain(&facts.join(" · "), 400);
    if alert.is_firing() && !alert.samples.is_empty() {
        let lines: Vec<String> =
            alert.samples.iter().take(SAMPLES_SHOWN).map(|sample| code(&sample.line, 100)).collect();
        text.push_str(&format!("\n```\n{}\n```", lines.join("\n")));
    }
    let mut embed = json!({
        "title": plain(&format!("{mark}{}", alert.summary), 150),
        "description": text,
        "color": color,
        "timestamp": time_text(alert.opened_at),
    });
    if is_link(&alert.link) {
        embed["url"] = json!(alert.link);
    }
    embed
}

/// Text in which markdown means nothing.
fn plain(text: &str, limit: usize) -> String {
    let mut out = String::new();
    let mut length = 0;
    for c in break_mentions(&clip(text, limit)).chars() {
        let escaped = matches!(c, '*' | '_' | '~' | '`' | '|' | '>' | '<' | '[' | ']' | '(' | ')' | '#' | '\\' | '@');
        length += 1 + usize::from(escaped);
        if length > limit {
            break;
        }
        if escaped {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Text that cannot end a code block.
fn code(text: &str, limit: usize) -> String {
    clip(&break_mentions(&text.replace(['\n', '\r'], " ").replace('`', "'")), limit)
}

fn clip_keeping_lines(text: &str, limit: usize) -> String {
    text.chars().take(limit).collect()
}

//! PagerDuty Events v2: trigger, acknowledge and resolve under one key per life of a group; and its webhooks back.

use hmac::{Hmac, Mac};
use logweir_rules::model::Severity;
use logweir_runtime::secrets::{Secret, constant_time_eq};
use serde_json::{Value, json};
use sha2::Sha256;

use super::http::Poster;
use super::message::{Message, time_text, values_text};
use super::policy::Outcome;
use super::slack::interact::hex;
use super::text::{SAMPLES_SHOWN, clip, clip_lines, facts, is_link, notes, title};
use crate::route::channel::PagerDuty;
use crate::state::RowKind;

// What PagerDuty documents.
pub const SUMMARY_CHARS_MAX: usize = 1_024;
pub const DEDUP_KEY_CHARS_MAX: usize = 255;
pub const BODY_BYTES_MAX: usize = 512 << 10;
/// Alerts whose details are sent; well below [`BODY_BYTES_MAX`] with everything cut.
const ALERTS_SHOWN: usize = 10;

pub async fn send(channel: &PagerDuty, poster: &Poster, message: &Message) -> Outcome {
    let key = match channel.routing_key.read() {
        Ok(key) => key,
        Err(error) => return Outcome::Misconfigured(error),
    };
    poster.call_json(&channel.url, None, &payload(channel, key.expose(), message)).await.0
}

/// The key of one incident: the same from its trigger to its resolve.
pub fn dedup_key(message: &Message) -> String {
    clip(&format!("lw-{}", message.thread), DEDUP_KEY_CHARS_MAX)
}

/// The body.
pub fn payload(channel: &PagerDuty, routing_key: &str, message: &Message) -> Value {
    let action = match message.kind {
        RowKind::Ack => "acknowledge",
        _ if message.is_firing() || message.kind == RowKind::Test => "trigger",
        RowKind::Digest => "trigger",
        _ => "resolve",
    };
    let mut body = json!({
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": dedup_key(message),
    });
    if action != "trigger" {
        return body;
    }
    let first = message.alerts.first();
    let label = |name: &str| {
        first.and_then(|alert| alert.labels.get(name)).filter(|text| !text.is_empty()).map(|text| clip(text, 255))
    };
    let summary = format!("{} — {}", title(message), first.map_or("", |alert| alert.summary.as_str()));
    let severity = match message.severity() {
        Severity::Info => &channel.severities[0],
        Severity::Warning => &channel.severities[1],
        Severity::Critical => &channel.severities[2],
    };
    body["payload"] = json!({
        "summary": clip(&summary, SUMMARY_CHARS_MAX),
        "source": label("host").or(label("service")).unwrap_or("logweir".to_owned()),
        "severity": severity,
        "timestamp": time_text(first.map_or(message.now_wall, |alert| alert.opened_at)),
        "component": label("service").unwrap_or_default(),
        "group": clip(first.map_or("", |alert| alert.group.as_str()), 255),
        "class": clip(first.map_or("", |alert| alert.rule.as_str()), 255),
        "custom_details": details(message),
    });
    body["client"] = json!("Logweir");
    if message.external_url.starts_with("http") {
        body["client_url"] = json!(clip(&message.external_url, 1_000));
    }
    let mut links = vec![("Show the lines", message.links.lines.as_str())];
    links.extend(message.links.shown());
    let links = links.iter().filter(|(_, url)| is_link(url));
    body["links"] = links.map(|(text, href)| json!({"href": href, "text": text})).collect();
    if !message.links.chart.is_empty() {
        body["images"] =
            json!([{"src": message.links.chart, "href": message.links.lines, "alt": "the values of the rule"}]);
    }
    body
}

fn details(message: &Message) -> Value {
    let mut details =
        json!({"notes": notes(message, ALERTS_SHOWN).iter().map(|note| clip(note, 1_000)).collect::<Vec<_>>()});
    for (i, alert) in message.alerts.iter().take(ALERTS_SHOWN).enumerate() {
        let facts = facts(alert).into_iter().map(|(name, text)| (clip(&name, 60), Value::from(clip(&text, 500))));
        let mut one: serde_json::Map<String, Value> = facts.collect();
        one.insert("value".to_owned(), clip(&values_text(alert), 500).into());
        let samples = alert.samples.iter().take(SAMPLES_SHOWN).map(|sample| clip_lines(&sample.line, 500));
        one.insert("samples".to_owned(), samples.collect());
        details[format!("alert {}: {}", i + 1, clip(&alert.summary, 200))] = Value::Object(one);
    }
    details
}

/// What PagerDuty tells us: somebody took it in hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// The thread of the group.
    pub thread: String,
    pub by: String,
}

/// Whether PagerDuty sent it: one of the comma-separated `v1=` signatures must be ours.
pub fn verify(secret: &Secret, signatures: &str, body: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else { return false };
    mac.update(body);
    let ours = format!("v1={}", hex(&mac.finalize().into_bytes()));
    let mut given = signatures.split(',').take(10);
    !secret.expose().is_empty() && given.any(|given| constant_time_eq(given.trim().as_bytes(), ours.as_bytes()))
}

/// Reads a version 3 webhook; `None` for events that change nothing here.
pub fn acknowledged(body: &[u8]) -> Option<Acknowledged> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let event = &value["event"];
    if event["event_type"] != "incident.acknowledged" {
        return None;
    }
    let thread = event["data"]["incident_key"].as_str()?.strip_prefix("lw-")?;
    let by = event["agent"]["summary"].as_str().unwrap_or("somebody");
    Some(Acknowledged { thread: thread.to_owned(), by: format!("{} (PagerDuty)", clip(by, 100)) })
}

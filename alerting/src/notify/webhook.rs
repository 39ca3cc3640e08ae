//! Webhooks: the body that Alertmanager sends (version 4), signed as Standard Webhooks describes.
//!
//! `webhook-id` is the id of the message and stays the same over retries; the signature is
//! `v1,` base64(HMAC-SHA256(`id.timestamp.body`)) with the bytes behind `whsec_`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, Mac};
use logweir_rules::model::Labels;
use logweir_runtime::secrets::Secret;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use sha2::Sha256;

use super::http::{Poster, json_headers};
use super::message::{Message, time_text, values_text};
use super::policy::Outcome;
use super::template;
use crate::route::channel::{Payload, Webhook};
use crate::state::Episode;

/// Alerts in one body; the rest is counted in `truncatedAlerts`.
pub const ALERTS_MAX: usize = 100;

/// Bytes of a signing key, as the specification bounds them.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Sends one message.
pub async fn send(channel: &Webhook, poster: &Poster, message: &Message, now_wall: i64) -> Outcome {
    let body = match &channel.payload {
        Some(payload) => own_body(payload, message),
        None => body(message),
    };
    let body = Bytes::from(body.to_string());
    let url = match channel.url.read() {
        Ok(url) => url,
        Err(error) => return Outcome::Misconfigured(error),
    };
    match headers(channel, message, &body, now_wall) {
        Ok(headers) => poster.post(url.expose(), headers, body).await,
        Err(outcome) => outcome,
    }
}

fn headers(channel: &Webhook, message: &Message, body: &[u8], now_wall: i64) -> Result<HeaderMap, Outcome> {
    let timestamp = now_wall.div_euclid(1_000_000_000);
    let mut headers = json_headers(channel.bearer.as_ref())?;
    let wrong = |_| Outcome::Misconfigured("a header cannot be written".to_owned());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, text) in &channel.headers {
        let name =
            HeaderName::try_from(name.as_str()).map_err(|_| Outcome::Misconfigured("a header's name".to_owned()))?;
        headers.insert(name, HeaderValue::from_str(text).map_err(wrong)?);
    }
    headers.insert("webhook-id", HeaderValue::from_str(&message.id).map_err(wrong)?);
    headers.insert("webhook-timestamp", HeaderValue::from(timestamp));
    // While a secret changes, both sign.
    let mut signatures = Vec::new();
    for secret in &channel.secrets {
        let key = secret.read().and_then(|secret| signing_key(&secret)).map_err(Outcome::Misconfigured)?;
        signatures.push(signature(&key, &message.id, timestamp, body));
    }
    if !signatures.is_empty() {
        headers.insert("webhook-signature", HeaderValue::from_str(&signatures.join(" ")).map_err(wrong)?);
    }
    Ok(headers)
}

/// An own body: its texts are templates over `message`, so that what they hold can never break the JSON around it.
pub fn own_body(payload: &Payload, message: &Message) -> Value {
    let environment = template::environment();
    let facts = body(message);
    let facts = minijinja::Value::from_serialize(&facts);
    let title = super::text::title(message);
    let text = super::text::plain(message, ALERTS_MAX);
    let context = minijinja::context! { message => facts, title => title, text => text };
    fill(payload, &|text| template::render_text(&environment, text, &context))
}

fn fill(payload: &Payload, render: &dyn Fn(&str) -> Result<String, String>) -> Value {
    match payload {
        Payload::Text(text) if text.contains("{{") || text.contains("{%") => match render(text) {
            Ok(text) => text.into(),
            Err(error) => format!("{text} [template failed: {error}]").into(),
        },
        Payload::Text(text) => text.clone().into(),
        Payload::Other(value) => value.clone(),
        Payload::List(items) => items.iter().map(|item| fill(item, render)).collect(),
        Payload::Map(entries) => entries.iter().map(|(key, item)| (key.clone(), fill(item, render))).collect(),
    }
}

/// What is wrong with the templates of a body; `None` when they can be read.
pub fn check_payload(payload: &Payload) -> Option<String> {
    match payload {
        Payload::Text(text) => template::check_text(&template::environment(), text),
        Payload::Other(_) => None,
        Payload::List(items) => items.iter().find_map(check_payload),
        Payload::Map(entries) => entries.iter().find_map(|(_, item)| check_payload(item)),
    }
}

/// The bytes of a `whsec_…` secret.
pub fn signing_key(secret: &Secret) -> Result<Vec<u8>, String> {
    let text = secret.expose();
    let text = text.strip_prefix("whsec_").ok_or("the signing secret does not begin with whsec_")?;
    let key = STANDARD.decode(text).map_err(|_| "the signing secret is not base64 behind whsec_")?;
    if KEY_BYTES.contains(&key.len()) {
        Ok(key)
    } else {
        Err(format!("the signing secret has {} bytes, it must have 24 to 64", key.len()))
    }
}

/// The value of `webhook-signature`.
pub fn signature(key: &[u8], id: &str, timestamp: i64, body: &[u8]) -> String {
    // HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// The body.
pub fn body(message: &Message) -> Value {
    let shown = &message.alerts[..message.alerts.len().min(ALERTS_MAX)];
    let alerts: Vec<Value> = shown.iter().map(|alert| alert_json(alert, message)).collect();
    let labels: Vec<Labels> = message.alerts.iter().map(all_labels).collect();
    let annotations: Vec<Labels> = message.alerts.iter().map(|alert| annotations(alert, message)).collect();
    json!({
        "version": "4",
        "groupKey": format!("{}:{}", message.receiver, message.group_key),
        "truncatedAlerts": message.alerts.len() - shown.len(),
        "status": if message.is_firing() { "firing" } else { "resolved" },
        "receiver": message.receiver,
        "groupLabels": message.group_labels,
        "commonLabels": common(&labels),
        "commonAnnotations": common(&annotations),
        "externalURL": message.external_url,
        "alerts": alerts,
    })
}

fn alert_json(alert: &Episode, message: &Message) -> Value {
    json!({
        "status": if alert.is_firing() { "firing" } else { "resolved" },
        "labels": all_labels(alert),
        "annotations": annotations(alert, message),
        "startsAt": time_text(alert.opened_at),
        // Alertmanager's "not over yet".
        "endsAt": alert.closed_at.map_or("0001-01-01T00:00:00Z".to_owned(), time_text),
        "generatorURL": alert.link,
        "fingerprint": fingerprint(alert),
        "episode": alert.id,
        "values": alert.values,
        "samples": alert.samples,
    })
}

pub(super) fn all_labels(alert: &Episode) -> Labels {
    let mut labels = alert.labels.clone();
    labels.insert("severity".to_owned(), alert.severity.to_string());
    labels
}

/// What receivers that know only Alertmanager's fields show to people.
pub(super) fn annotations(alert: &Episode, message: &Message) -> Labels {
    let mut out = alert.annotations.clone();
    out.insert("summary".to_owned(), alert.summary.clone());
    out.insert("value".to_owned(), values_text(alert));
    out.insert("reason".to_owned(), alert.close_reason.clone().unwrap_or_else(|| alert.reason.clone()));
    out.insert("since".to_owned(), time_text(alert.opened_at));
    out.insert("rule".to_owned(), super::text::rule_text(alert));
    for (name, text) in [("why", &message.links.why), ("ack", &message.links.ack)] {
        if !text.is_empty() {
            out.insert(name.to_owned(), text.clone());
        }
    }
    if let Some(ack) = &alert.extra.ack {
        out.insert("acknowledged_by".to_owned(), ack.by.clone());
    }
    out.insert("link".to_owned(), alert.link.clone());
    if !alert.samples.is_empty() {
        let lines: Vec<&str> = alert.samples.iter().map(|sample| sample.line.as_str()).collect();
        out.insert("samples".to_owned(), lines.join("\n"));
    }
    if let Some(late_ns) = message.late_ns {
        out.insert("late".to_owned(), super::text::span_text(late_ns));
    }
    out
}

/// 16 hexadecimal digits that stay the same for the same alert.
pub fn fingerprint(alert: &Episode) -> String {
    let identity = serde_json::to_vec(&(&alert.rule, &alert.labels)).unwrap_or_default();
    blake3::hash(&identity).to_hex()[..16].to_owned()
}

fn common(all: &[Labels]) -> Labels {
    let Some((first, rest)) = all.split_first() else { return Labels::new() };
    let shared = |(key, value): &(&String, &String)| rest.iter().all(|other| other.get(*key) == Some(*value));
    first.iter().filter(shared).map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests;

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
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Value, json};
use sha2::Sha256;

use super::http::Poster;
use super::message::{Message, time_text, values_text};
use super::policy::Outcome;
use crate::route::file::WebhookChannel;
use crate::state::Episode;

/// Alerts in one body; the rest is counted in `truncatedAlerts`.
pub const ALERTS_MAX: usize = 100;

/// Bytes of a signing key, as the specification bounds them.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Sends one message.
pub async fn send(channel: &WebhookChannel, poster: &Poster, message: &Message, now_wall: i64) -> Outcome {
    let body = Bytes::from(body(message).to_string());
    let url = match channel.url.read() {
        Ok(url) => url,
        Err(error) => return Outcome::Misconfigured(error),
    };
    let headers = match headers(channel, message, &body, now_wall) {
        Ok(headers) => headers,
        Err(reason) => return Outcome::Misconfigured(reason),
    };
    poster.post(url.expose(), headers, body).await
}

fn headers(channel: &WebhookChannel, message: &Message, body: &[u8], now_wall: i64) -> Result<HeaderMap, String> {
    let timestamp = now_wall.div_euclid(1_000_000_000);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| "a header cannot be written".to_owned());
    headers.insert("webhook-id", value(&message.id)?);
    headers.insert("webhook-timestamp", HeaderValue::from(timestamp));
    if let Some(secret) = &channel.secret {
        let key = signing_key(&secret.read()?)?;
        headers.insert("webhook-signature", value(&signature(&key, &message.id, timestamp, body))?);
    }
    Ok(headers)
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

fn all_labels(alert: &Episode) -> Labels {
    let mut labels = alert.labels.clone();
    labels.insert("severity".to_owned(), alert.severity.to_string());
    labels
}

/// What receivers that know only Alertmanager's fields show to people.
fn annotations(alert: &Episode, message: &Message) -> Labels {
    let mut out = alert.annotations.clone();
    out.insert("summary".to_owned(), alert.summary.clone());
    out.insert("value".to_owned(), values_text(alert));
    out.insert("reason".to_owned(), alert.close_reason.clone().unwrap_or_else(|| alert.reason.clone()));
    out.insert("since".to_owned(), time_text(alert.opened_at));
    out.insert("rule".to_owned(), alert.rule_at.clone());
    out.insert("link".to_owned(), alert.link.clone());
    if !alert.samples.is_empty() {
        let lines: Vec<&str> = alert.samples.iter().map(|sample| sample.line.as_str()).collect();
        out.insert("samples".to_owned(), lines.join("\n"));
    }
    if let Some(late_ns) = message.late_ns {
        out.insert("late".to_owned(), super::slack::span_text(late_ns));
    }
    out
}

/// 16 hexadecimal digits that stay the same for the same alert.
fn fingerprint(alert: &Episode) -> String {
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

//! An Alertmanager as receiver, over its API version 2.

use serde_json::{Value, json};

use super::http::Poster;
use super::message::{Message, time_text};
use super::policy::Outcome;
use super::webhook;
use crate::route::channel::Alertmanager;
use crate::state::Episode;

/// Alerts of one request.
pub const ALERTS_MAX: usize = 1_000;
const LABEL_CHARS_MAX: usize = 1_000;

pub async fn send(channel: &Alertmanager, poster: &Poster, message: &Message) -> Outcome {
    let url = match channel.url.read() {
        Ok(url) => format!("{}/api/v2/alerts", url.expose().trim_end_matches('/')),
        Err(error) => return Outcome::Misconfigured(error),
    };
    poster.call_json(&url, channel.bearer.as_ref(), &payload(message)).await.0
}

/// The body.
pub fn payload(message: &Message) -> Value {
    message.alerts.iter().take(ALERTS_MAX).map(|alert| alert_json(alert, message)).collect()
}

fn alert_json(alert: &Episode, message: &Message) -> Value {
    let clipped = |labels: logweir_rules::model::Labels| -> Value {
        let pairs = labels.iter().filter(|(_, value)| !value.is_empty());
        pairs
            .map(|(key, value)| (label_name(key), Value::from(super::text::clip_lines(value, LABEL_CHARS_MAX))))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    // It forgets what is not sent again: twice the time after which it is.
    let kept = message.now_wall.saturating_add(message.repeat_ns.saturating_mul(2));
    let mut out = json!({
        "labels": clipped(webhook::all_labels(alert)),
        "annotations": clipped(webhook::annotations(alert, message)),
        "startsAt": time_text(alert.opened_at),
        "endsAt": time_text(alert.closed_at.unwrap_or(kept)),
    });
    if alert.link.starts_with("http") {
        out["generatorURL"] = json!(alert.link);
    }
    out
}

/// A name that it takes: letters, digits and `_`, no digit first.
fn label_name(name: &str) -> String {
    let mut out: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(100).collect();
    if out.is_empty() || out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out
}

//! Microsoft Teams through a workflow that takes an Adaptive Card.
//!
//! Text runs are used throughout: they know no markdown, so log text cannot be a link or a mention.

use logweir_rules::model::Severity;
use serde_json::{Value, json};

use super::http::Poster;
use super::message::Message;
use super::policy::Outcome;
use super::text::{SAMPLES_SHOWN, break_mentions, clip, facts, is_link, notes, title};
use crate::route::channel::Teams;
use crate::state::Episode;

/// Microsoft documents 28 kB for the whole request.
pub const BODY_BYTES_MAX: usize = 28 << 10;
/// Alerts that are written out, as long as they fit.
const ALERTS_SHOWN: usize = 5;

pub async fn send(channel: &Teams, poster: &Poster, message: &Message) -> Outcome {
    poster.post_json(&channel.url, &payload(message)).await
}

/// The body: fewer alerts and lines until it fits.
pub fn payload(message: &Message) -> Value {
    let mut smallest = Value::Null;
    for (alerts, samples) in [(ALERTS_SHOWN, SAMPLES_SHOWN), (3, 3), (1, 2), (1, 0), (0, 0)] {
        smallest = card(message, alerts, samples);
        if smallest.to_string().len() <= BODY_BYTES_MAX {
            break;
        }
    }
    smallest
}

fn card(message: &Message, alerts: usize, samples: usize) -> Value {
    let color = match (message.is_firing(), message.severity()) {
        (false, _) => "good",
        (true, Severity::Critical) => "attention",
        (true, Severity::Warning) => "warning",
        (true, Severity::Info) => "accent",
    };
    let mut body =
        vec![runs(&clip(&title(message), 300), json!({"weight": "bolder", "size": "large", "color": color}))];
    for note in notes(message, alerts) {
        body.push(runs(&clip(&note, 500), json!({"isSubtle": true})));
    }
    if message.links.chart.len() < 2_000 && !message.links.chart.is_empty() {
        body.push(json!({"type": "Image", "url": message.links.chart, "altText": "the values of the rule"}));
    }
    for alert in message.alerts.iter().take(alerts) {
        push_alert(&mut body, alert, samples);
    }
    let mut actions: Vec<(&str, &str)> = vec![("Show the lines", &message.links.lines)];
    actions.extend(message.links.shown());
    let actions = actions.into_iter().filter(|(_, url)| is_link(url)).take(5);
    let actions: Vec<Value> =
        actions.map(|(text, url)| json!({"type": "Action.OpenUrl", "title": text, "url": url})).collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": {"width": "Full"},
                "body": body,
                "actions": actions,
            },
        }],
    })
}

fn push_alert(body: &mut Vec<Value>, alert: &Episode, samples: usize) {
    body.push(runs(&clip(&alert.summary, 400), json!({"weight": "bolder"})));
    let facts: Vec<String> = facts(alert).iter().map(|(name, text)| format!("{name}: {text}")).collect();
    body.push(runs(&clip(&facts.join(" · "), 800), json!({"isSubtle": true})));
    if alert.is_firing() {
        for sample in alert.samples.iter().take(samples) {
            body.push(runs(&clip(&sample.line.replace(['\n', '\r'], " "), 300), json!({"fontType": "monospace"})));
        }
    }
}

fn runs(text: &str, style: Value) -> Value {
    let mut run = json!({"type": "TextRun", "text": break_mentions(text)});
    if let (Value::Object(run), Value::Object(style)) = (&mut run, style) {
        run.extend(style);
    }
    json!({"type": "RichTextBlock", "inlines": [run]})
}

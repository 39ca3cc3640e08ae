//! `alerts why`: the whole story of an alert.

use std::collections::BTreeMap;

use logweir_proto::api::{Acknowledged, Row};
use logweir_proto::text::visible;
use serde::Deserialize;
use serde_json::Value;

use super::{delivery, in_hand};
use crate::args::{AlertArgs, ListFormat};
use crate::client::Client;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{Console, Ink, cell, json_line, local_time};

#[derive(Debug, Deserialize)]
struct Why {
    summary: String,
    rule: String,
    rule_at: String,
    severity: String,
    opened: String,
    closed: Option<String>,
    fired_because: String,
    closed_because: Option<String>,
    #[serde(default)]
    first_values: BTreeMap<String, f64>,
    acknowledged: Option<Ack>,
    flapping: Option<String>,
    /// Of a new pattern: what it resembles, and what became one with it.
    #[serde(default)]
    lineage: Option<String>,
    #[serde(default)]
    routes_now: Vec<Row>,
    /// By receiver.
    #[serde(default)]
    not_told: BTreeMap<String, Vec<Quiet>>,
    #[serde(default)]
    notifications: Vec<Row>,
}

#[derive(Debug, Clone, Deserialize)]
struct Ack {
    by: String,
    at: String,
    #[serde(default)]
    until: Option<String>,
    comment: String,
    holds: bool,
}

#[derive(Debug, Deserialize)]
struct Quiet {
    kind: String,
    reason: String,
    since: String,
    ended: Option<String>,
}

pub(super) async fn run(AlertArgs { id, list }: &AlertArgs, console: &mut Console) -> Result<Exit> {
    let client = Client::new(&list.server)?;
    let answer: Value = client.get(&format!("/api/v1/alerts/{id}/why"), &[]).await?;
    if list.output == ListFormat::Json {
        json_line(console, &answer)?;
        return Ok(Exit::Ok);
    }
    let why: Why = serde_json::from_value(answer)
        .map_err(|error| CliError::Protocol { url: client.shown(), reason: error.to_string() })?;
    let lines = lines(&why, console);
    for (name, text) in lines {
        console.line(&format!("  {} {}", console.style.paint(Ink::Dim, &format!("{name:<9}")), visible(&text)))?;
    }
    Ok(Exit::Ok)
}

fn lines(why: &Why, console: &mut Console) -> Vec<(&'static str, String)> {
    let zone = console.zone.clone();
    let time = |text: &str| local_time(text, &zone);
    let values: Vec<String> = why.first_values.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let with = if values.is_empty() { String::new() } else { format!(" ({})", values.join(", ")) };
    let mut lines = vec![
        ("alert", format!("{} {}: {}", why.severity, why.rule, why.summary)),
        ("rule", why.rule_at.clone()),
        ("fired", format!("{} because {}{with}", time(&why.opened), why.fired_because)),
    ];
    lines.extend(why.lineage.clone().map(|text| ("pattern", text)));
    if let Some(closed) = &why.closed {
        let because = why.closed_because.as_ref().map(|because| format!(" because {because}")).unwrap_or_default();
        lines.push(("ended", format!("{}{because}", time(closed))));
    }
    if let Some(Ack { by, at, until, comment, holds }) = why.acknowledged.clone() {
        let over = if holds { "" } else { " (no more: its time is over, or it got worse since)" };
        lines.push(("in hand", format!("{}{over}", in_hand(&Acknowledged { by, at, until, comment }, &zone))));
    }
    lines.extend(why.flapping.clone().map(|text| ("flapping", text)));
    for route in &why.routes_now {
        let quiet = route.get("quiet").and_then(Value::as_str).map(|quiet| format!(", but {quiet}"));
        let place =
            format!("{} by {}{}", cell(route.get("receiver")), cell(route.get("route")), quiet.unwrap_or_default());
        lines.push(("goes to", place));
    }
    if why.routes_now.is_empty() {
        lines.push(("goes to", "nobody: no routing file is in force".to_owned()));
    }
    for (receiver, reasons) in &why.not_told {
        for Quiet { kind, reason, since, ended } in reasons {
            let until = ended.as_ref().map(|ended| format!(" to {}", time(ended))).unwrap_or_default();
            lines.push(("not told", format!("{receiver} from {}{until}, {kind}: {reason}", time(since))));
        }
    }
    for message in &why.notifications {
        lines.push(("message", format!("{} {}", cell(message.get("id")), delivery(message, &zone))));
        for attempt in message.get("log").and_then(Value::as_array).into_iter().flatten() {
            let at = attempt.get("at").and_then(Value::as_str).unwrap_or_default();
            lines.push(("", format!("{} {}", time(at), cell(attempt.get("outcome")))));
        }
    }
    lines
}

//! `logweir alerts`: what is firing, since when, and the lines that say so; who has it in hand, and who wishes quiet.

mod silences;
mod why;

use std::io::Write;

use jiff::tz::TimeZone;
use logweir_proto::api::{Acknowledged, AlertView, Row};
use logweir_proto::text::visible;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::args::{AlertArgs, AlertsCommand, AlertsList, ListFormat};
use crate::client::Client;
use crate::commands::entries;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{Console, Ink, Table, cell, json_line, local_time};

pub(super) async fn run(command: &AlertsCommand, console: &mut Console) -> Result<Exit> {
    match command {
        AlertsCommand::List(args) => list(args, console).await,
        AlertsCommand::Show { about } => show(about, console).await,
        AlertsCommand::Why { about } => why::run(about, console).await,
        AlertsCommand::Ack { about, comment, by, lasts } => ack(about, (comment, by, lasts.as_deref()), console).await,
        AlertsCommand::Silence(args) => silences::add(args, console).await,
        AlertsCommand::Unsilence { id, list } => silences::end(id, list, console).await,
        AlertsCommand::Silences { all, list } => silences::list(*all, list, console).await,
    }
}

async fn fetch(args: &AlertsList) -> Result<Vec<AlertView>> {
    let client = Client::new(&args.list.server)?;
    let parameters: &[(&str, &str)] = if args.resolved { &[("resolved", "true")] } else { &[] };
    let answer: Value = client.get("/api/v1/alerts", parameters).await?;
    entries(answer, "alerts", client.shown())
}

async fn ack(
    about: &AlertArgs,
    (comment, by, lasts): (&str, &str, Option<&str>),
    console: &mut Console,
) -> Result<Exit> {
    let client = Client::new(&about.list.server)?;
    let path = format!("/api/v1/alerts/{}/ack", about.id);
    let mut body = json!({"by": by, "comment": comment});
    if let Some(lasts) = lasts {
        body["for"] = lasts.into();
    }
    let answer: Value = client.post(&path, &body).await?;
    match about.list.output {
        ListFormat::Json => json_line(console, &answer)?,
        ListFormat::Pretty => {
            console.line(&format!(
                "{} is in hand of {}{}: nobody is told again unless it gets worse",
                visible(&about.id),
                visible(by),
                lasts.map(|lasts| format!(" for {}", visible(lasts))).unwrap_or_default(),
            ))?;
        }
    }
    Ok(Exit::Ok)
}

async fn list(args: &AlertsList, console: &mut Console) -> Result<Exit> {
    let alerts = fetch(args).await?;
    if args.list.output == ListFormat::Json {
        for alert in &alerts {
            json_line(console, alert)?;
        }
    } else if alerts.is_empty() {
        console.note("nothing is firing");
    } else {
        let mut table = Table::new(&["STATE", "SEVERITY", "RULE", "SINCE", "IN HAND", "SUMMARY", "ID"]);
        for alert in &alerts {
            let since = local_time(&alert.since, &console.zone);
            let severity = alert.severity.as_deref().unwrap_or("");
            let by = alert.acknowledged.as_ref().map_or("", |ack| ack.by.as_str());
            table.push(&[&alert.state, severity, &alert.rule, &since, by, &alert.summary, &alert.id]);
        }
        table.print(console)?;
    }
    Ok(if alerts.is_empty() { Exit::No } else { Exit::Ok })
}

/// `GET /api/v1/alerts/{id}`: also of an alert that has ended.
#[derive(Deserialize)]
struct Shown {
    alert: AlertView,
    #[serde(default)]
    notifications: Vec<Row>,
}

async fn show(AlertArgs { id, list: args }: &AlertArgs, console: &mut Console) -> Result<Exit> {
    let client = Client::new(&args.server)?;
    let answer: Value = client.get(&format!("/api/v1/alerts/{id}"), &[]).await?;
    if args.output == ListFormat::Json {
        json_line(console, &answer)?;
        return Ok(Exit::Ok);
    }
    let shown: Shown = serde_json::from_value(answer)
        .map_err(|error| CliError::Protocol { url: client.shown(), reason: error.to_string() })?;
    pretty(&shown.alert, console)?;
    if !shown.notifications.is_empty() {
        writeln!(console.out)?;
    }
    for message in &shown.notifications {
        let line = delivery(message, &console.zone);
        console.line(&format!("  {} {}", console.style.paint(Ink::Dim, "message  "), visible(&line)))?;
    }
    Ok(Exit::Ok)
}

/// `of ann since 2026-11-20 09:20:00 until 2026-11-20 13:20:00: rolling back`
fn in_hand(Acknowledged { by, at, until, comment }: &Acknowledged, zone: &TimeZone) -> String {
    let until = until.as_ref().map(|until| format!(" until {}", local_time(until, zone))).unwrap_or_default();
    let comment = if comment.is_empty() { String::new() } else { format!(": {comment}") };
    format!("of {by} since {}{until}{comment}", local_time(at, zone))
}

/// `ops by slack: delivered 2026-11-20 09:14:02.120, 2 attempts`
fn delivery(message: &Row, zone: &TimeZone) -> String {
    let text = |name: &str| cell(message.get(name));
    let when = message.get("finished").or(message.get("created")).and_then(Value::as_str).unwrap_or_default();
    let note = message.get("note").and_then(Value::as_str).map(|note| format!(", {note}")).unwrap_or_default();
    let attempts = text("attempts");
    format!(
        "{} by {}: {} {}, {attempts} {}{note}",
        text("receiver"),
        text("channel"),
        text("state"),
        local_time(when, zone),
        if attempts == "1" { "attempt" } else { "attempts" },
    )
}

fn pretty(alert: &AlertView, console: &mut Console) -> std::io::Result<()> {
    let style = console.style;
    let ink = if alert.state == "firing" { Ink::Red } else { Ink::Yellow };
    let head =
        format!("{} {}", style.paint(ink, &visible(&alert.state)), style.paint(Ink::Bold, &visible(&alert.rule)));
    console.line(&format!("{head}  {}", visible(&alert.summary)))?;
    let since = local_time(&alert.since, &console.zone);
    let mut facts = vec![("since", since), ("group", alert.group.clone()), ("query", alert.query.clone())];
    facts.extend(alert.severity.clone().map(|severity| ("severity", severity)));
    facts.extend(alert.acknowledged.as_ref().map(|ack| ("in hand", in_hand(ack, &console.zone))));
    facts.push(("link", alert.link.clone()));
    for (name, value) in &facts {
        console.line(&format!("  {} {}", style.paint(Ink::Dim, &format!("{name:<9}")), visible(value)))?;
    }
    for (name, value) in &alert.labels {
        console.line(&format!("  {} {}={}", style.paint(Ink::Dim, "label    "), visible(name), visible(value)))?;
    }
    for (name, value) in &alert.values {
        console.line(&format!("  {} {}={value}", style.paint(Ink::Dim, "value    "), visible(name)))?;
    }
    for (name, value) in alert.annotations.iter().filter(|(name, _)| *name != "summary") {
        console.line(&format!("  {} {}", style.paint(Ink::Dim, &format!("{:<9}", visible(name))), visible(value)))?;
    }
    if !alert.samples.is_empty() {
        writeln!(console.out)?;
    }
    for sample in &alert.samples {
        let time = style.paint(Ink::Dim, &visible(&local_time(&sample.time, &console.zone)));
        console.line(&format!("  {time} {}", visible(&sample.line)))?;
    }
    Ok(())
}

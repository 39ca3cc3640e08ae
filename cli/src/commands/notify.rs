//! `logweir notify`: the messages that wait, those that were given up, and whether a receiver can be reached.

use std::time::Duration;

use jiff::tz::TimeZone;
use logweir_proto::api::Row;
use logweir_proto::text::visible;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::args::{ListArgs, ListFormat, NotifyCommand};
use crate::client::Client;
use crate::commands::entries;
use crate::error::Result;
use crate::exit::Exit;
use crate::output::{Console, Ink, Table, cell, json_line, local_time};

/// Between two looks at what became of a test.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(super) async fn run(command: &NotifyCommand, console: &mut Console) -> Result<Exit> {
    match command {
        NotifyCommand::Outbox(args) => {
            list(args, ("/api/v1/notifications", "outbox"), "no message waits", console).await
        }
        NotifyCommand::Dead(args) => {
            list(args, ("/api/v1/notifications/dead", "dead"), "no message was given up", console).await
        }
        NotifyCommand::Retry { id, list } => retry(id, list, console).await,
        NotifyCommand::Test { receiver, wait, list } => test(receiver, *wait, list, console).await,
    }
}

async fn list(args: &ListArgs, (path, name): (&str, &str), none: &str, console: &mut Console) -> Result<Exit> {
    let client = Client::new(&args.server)?;
    let rows: Vec<Row> = entries(client.get::<Value>(path, &[]).await?, name, client.shown())?;
    if args.output == ListFormat::Json {
        rows.iter().try_for_each(|row| json_line(console, row))?;
    } else if rows.is_empty() {
        console.note(none);
    } else {
        let mut table = Table::new(&["STATE", "SEVERITY", "RECEIVER", "CHANNEL", "CREATED", "TRIES", "ID", "LAST"]);
        for row in &rows {
            let text = |name: &str| cell(row.get(name));
            let created = local_time(&text("created"), &console.zone);
            let last = last(row, &console.zone);
            let tries = text("attempts");
            let cells = [text("state"), text("severity"), text("receiver"), text("channel")];
            let [state, severity, receiver, channel] = &cells;
            table.push(&[state, severity, receiver, channel, &created, &tries, &text("id"), &last]);
        }
        table.print(console)?;
    }
    Ok(if rows.is_empty() { Exit::No } else { Exit::Ok })
}

/// What is known of the last attempt, and when the next one is.
fn last(row: &Row, zone: &TimeZone) -> String {
    let log = row.get("log").and_then(Value::as_array);
    let outcome = log.and_then(|log| log.last()).map(|attempt| cell(attempt.get("outcome")));
    let note = row.get("note").and_then(Value::as_str).map(str::to_owned);
    let next = row.get("next_try").and_then(Value::as_str).map(|at| format!("next {}", local_time(at, zone)));
    note.or(outcome).into_iter().chain(next).collect::<Vec<_>>().join("; ")
}

async fn retry(id: &str, args: &ListArgs, console: &mut Console) -> Result<Exit> {
    let client = Client::new(&args.server)?;
    let answer: Value = client.post(&format!("/api/v1/notifications/{id}/retry"), &json!({})).await?;
    match args.output {
        ListFormat::Json => json_line(console, &answer)?,
        ListFormat::Pretty => console.line(&format!("{} is sent again now", visible(id)))?,
    }
    Ok(Exit::Ok)
}

#[derive(Debug, Deserialize)]
struct Asked {
    notifications: Vec<String>,
}

/// All messages that the server knows of.
#[derive(Debug, Deserialize)]
struct Messages {
    outbox: Vec<Row>,
    finished: Vec<Row>,
}

async fn test(receiver: &str, wait: Duration, args: &ListArgs, console: &mut Console) -> Result<Exit> {
    let client = Client::new(&args.server)?;
    let asked: Asked = client.post(&format!("/api/v1/receivers/{receiver}/test"), &json!({})).await?;
    if asked.notifications.is_empty() {
        console.note(&format!("{} has no channel: nobody is told", visible(receiver)));
        return Ok(Exit::No);
    }
    let deadline = Instant::now() + wait;
    let rows = loop {
        let Messages { outbox, finished } = client.get("/api/v1/notifications", &[]).await?;
        let ours = |row: &Row| asked.notifications.contains(&cell(row.get("id")));
        let rows: Vec<Row> = finished.into_iter().chain(outbox).filter(ours).collect();
        // A first attempt that failed will not become better while somebody watches.
        let open = rows.iter().filter(|row| state(row) != "sent" && cell(row.get("attempts")) == "0").count();
        let under_way = rows.iter().any(|row| state(row) == "sending");
        if (open == 0 && !under_way && rows.len() == asked.notifications.len()) || Instant::now() >= deadline {
            break rows;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let mut sent = 0;
    for row in &rows {
        sent += usize::from(state(row) == "sent");
        if args.output == ListFormat::Json {
            json_line(console, row)?;
            continue;
        }
        let channel = visible(&cell(row.get("channel")));
        let line = match state(row).as_str() {
            "sent" => format!("{channel}: {}", console.style.paint(Ink::Green, "sent")),
            state => {
                let failed = console.style.paint(Ink::Red, &visible(state));
                format!("{channel}: {failed}: {}", visible(&last(row, &console.zone)))
            }
        };
        console.line(&line)?;
    }
    if sent < asked.notifications.len() {
        console.note("what waits is tried again: `logweir notify outbox`");
    }
    Ok(if sent == asked.notifications.len() { Exit::Ok } else { Exit::No })
}

fn state(row: &Row) -> String {
    cell(row.get("state"))
}

//! `logweir context`: what happened around one event.

use logweir_proto::api::Row;
use logweir_proto::record::EventId;
use serde::Deserialize;
use serde_json::Value;

use crate::args::{ContextArgs, OutputFormat};
use crate::client::Client;
use crate::commands::entries;
use crate::error::Result;
use crate::exit::Exit;
use crate::output::{Console, Shape, printer, with_mark};

#[derive(Deserialize)]
struct Event {
    id: EventId,
    #[serde(flatten)]
    row: Row,
}

pub(super) async fn run(args: &ContextArgs, console: &mut Console) -> Result<Exit> {
    let client = Client::new(&args.server)?;
    let (before, after, by) = (args.before.to_string(), args.after.to_string(), args.by.join(","));
    let mut parameters = vec![("before", before.as_str()), ("after", after.as_str()), ("by", by.as_str())];
    if args.output == OutputFormat::Raw {
        parameters.push(("fields", "raw"));
    }
    let answer: Value = client.get(&format!("/api/v1/events/{}/context", args.id), &parameters).await?;
    let mut events: Vec<Event> = entries(answer, "rows", client.shown())?;
    // Read from top to bottom, as in the log.
    events.sort_by_key(|event| event.id);
    let mut printer = match args.output {
        OutputFormat::Pretty => with_mark(&[], args.id),
        other => printer(other, &[], ""),
    };
    printer.start(&Shape { columns: Vec::new(), events: true }, console)?;
    for event in &events {
        printer.row(Some(event.id), &event.row, console)?;
    }
    printer.finish(console)?;
    Ok(Exit::Ok)
}

//! `logweir tail`: follows new events and takes up a lost connection where it broke.

use std::time::Duration;

use logweir_proto::api::{ErrorDetail, Row};
use logweir_proto::record::EventId;
use logweir_proto::text::{format_duration, visible};
use logweir_runtime::backoff::Backoff;
use serde::Deserialize;

use crate::args::{OutputFormat, TailArgs};
use crate::client::Client;
use crate::client::sse::SseEvent;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{Console, Ink, Printer, Shape, local_time, printer, problem};

const RECONNECT_BASE: Duration = Duration::from_millis(250);
/// The column that says which window a row is of.
const WINDOW: &str = "window";
const RECONNECT_MAX: Duration = Duration::from_secs(10);

pub(super) async fn run(args: &TailArgs, console: &mut Console) -> Result<Exit> {
    let client = Client::new(&args.server)?;
    let mut follower = Follower::new(args)?;
    let mut backoff = Backoff::new(RECONNECT_BASE, RECONNECT_MAX, u64::from(std::process::id()));
    let mut connected = false;
    loop {
        let reason = match follower.connection(&client, console, &mut backoff).await {
            Ok(reason) => reason,
            // The first attempt tells a script that there is no server; later ones wait for it to come back.
            Err(CliError::Unreachable { reason, .. }) if connected => reason,
            Err(error @ CliError::Refused { .. }) if connected && error.exit() == Exit::Unreachable => {
                error.to_string()
            }
            Err(error) => return Err(error),
        };
        connected = true;
        console.warn(&format!("{}; reconnecting", visible(&reason)));
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

/// The frames of a tail; what it does not know is skipped, so that a newer server may say more.
#[derive(Debug, Deserialize)]
#[serde(tag = "t", rename_all = "lowercase")]
enum TailFrame {
    Row {
        id: Option<EventId>,
        #[serde(flatten)]
        row: Row,
    },
    /// This subscriber was too slow: so many events are missing here.
    Dropped {
        n: u64,
        /// `unreadable`: a part of the stored events could not be read.
        #[serde(default)]
        reason: Option<String>,
    },
    /// What arrived in a window of time, of a query that ends in an aggregation.
    Window { from: String, to: String, columns: Vec<String>, rows: Vec<Row> },
    /// The server cannot go on.
    Error { error: ErrorDetail },
    Meta {
        #[serde(default)]
        columns: Vec<String>,
        #[serde(default)]
        warnings: Vec<logweir_proto::api::Warning>,
    },
    #[serde(other)]
    Unknown,
}

struct Follower<'a> {
    args: &'a TailArgs,
    printer: Box<dyn Printer>,
    /// The printer knows what its rows are.
    started: bool,
    /// Of events, as the server names them.
    columns: Option<Vec<String>>,
    last_id: Option<String>,
}

impl<'a> Follower<'a> {
    fn new(args: &'a TailArgs) -> Result<Follower<'a>> {
        if args.output == OutputFormat::Table {
            return Err(CliError::Usage("a table has no end in a tail: use -o csv or -o pretty".to_owned()));
        }
        let printer = printer(args.output, &args.fields, &args.query);
        Ok(Follower { args, printer, started: false, columns: None, last_id: None })
    }

    fn start(&mut self, shape: &Shape, console: &mut Console) -> Result<()> {
        if !std::mem::replace(&mut self.started, true) {
            self.printer.start(shape, console)?;
        }
        Ok(())
    }

    /// A window is a table of its own for people; for programs its rows say which window they are of.
    fn window(
        &mut self,
        (from, to): (&str, &str),
        columns: Vec<String>,
        rows: Vec<Row>,
        console: &mut Console,
    ) -> Result<()> {
        if self.args.output == OutputFormat::Pretty {
            let span = format!("{} to {}", local_time(from, &console.zone), local_time(to, &console.zone));
            let head = console.style.paint(Ink::Dim, &visible(&span));
            console.line(&head)?;
            let mut table = printer(OutputFormat::Table, &self.args.fields, "");
            table.start(&Shape { columns, events: false }, console)?;
            for row in &rows {
                table.row(None, row, console)?;
            }
            table.finish(console)?;
        } else {
            let columns = std::iter::once(WINDOW.to_owned()).chain(columns).collect();
            self.start(&Shape { columns, events: false }, console)?;
            for mut row in rows {
                row.shift_insert(0, WINDOW.to_owned(), from.into());
                self.printer.row(None, &row, console)?;
            }
        }
        Ok(console.flush()?)
    }

    /// One connection until it breaks; returns why.
    async fn connection(&mut self, client: &Client, console: &mut Console, backoff: &mut Backoff) -> Result<String> {
        let fields = if self.args.output == OutputFormat::Raw { "raw".to_owned() } else { self.args.fields.join(",") };
        let start = self.args.start.map(format_duration);
        let mut parameters = vec![("query", self.args.query.as_str())];
        if !fields.is_empty() {
            parameters.push(("fields", &fields));
        }
        let every = self.args.every.map(format_duration);
        if let Some(every) = &every {
            parameters.push(("every", every));
        }
        // After a cut the last id says where to continue; the offset would repeat what was shown.
        if let (Some(start), None) = (&start, &self.last_id) {
            parameters.push(("start_offset", start));
        }
        let mut stream = client.tail(&parameters, self.last_id.as_deref()).await?;
        loop {
            let event = tokio::select! {
                biased;
                event = stream.next() => event,
                // Lines are shown when nothing more is at hand, not one write a line in a burst.
                () = tokio::task::yield_now() => {
                    console.flush()?;
                    stream.next().await
                }
            };
            match event {
                Err(reason) => return Ok(reason),
                Ok(event) => {
                    backoff.reset();
                    self.event(event, console)?;
                }
            }
        }
    }

    fn event(&mut self, event: SseEvent, console: &mut Console) -> Result<()> {
        if event.id.is_some() {
            self.last_id = event.id;
        }
        match serde_json::from_str(&event.data) {
            Ok(TailFrame::Row { id, row }) => {
                if let Some(id) = id {
                    self.last_id = Some(id.to_string());
                }
                let columns = self.columns.clone().unwrap_or_default();
                self.start(&Shape { columns, events: true }, console)?;
                self.printer.row(id, &row, console)?;
            }
            Ok(TailFrame::Window { from, to, columns, rows }) => self.window((&from, &to), columns, rows, console)?,
            Ok(TailFrame::Error { error }) => {
                return Err(CliError::Refused { status: error.code.status(), detail: error });
            }
            Ok(TailFrame::Dropped { n, reason }) => {
                console.flush()?;
                console.warn(&match reason {
                    Some(reason) if n == 0 => format!("stored events are missing here: {}", visible(&reason)),
                    _ => format!("{n} events were left out here: they came faster than they could be shown"),
                });
            }
            Ok(TailFrame::Meta { columns, warnings }) => {
                // A connection that was taken up again says the same once more.
                if self.columns.replace(columns).is_none() {
                    for warning in &warnings {
                        problem::warn(console, &self.args.query, warning);
                    }
                }
            }
            Ok(TailFrame::Unknown) => {}
            Err(error) => console.warn(&format!("an event could not be read: {error}")),
        }
        Ok(())
    }
}

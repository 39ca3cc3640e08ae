//! `logweir export`: everything that a query finds into a file, page by page, so that it can be taken up again.

mod file;

use std::time::Duration;

use logweir_proto::api::{End, Frame, Order, QueryRequest};
use logweir_proto::query::value::parse_time;
use logweir_proto::record::EventId;
use logweir_proto::text::{format_duration, visible};
use logweir_runtime::backoff::Backoff;
use logweir_runtime::clock::{Clock, rfc3339};

use self::file::{Asked, Found, Output, State};
use super::search::PAGE_ROWS_MAX;
use crate::args::{ExportArgs, OutputFormat};
use crate::client::Client;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{Console, Shape, local_time, problem};

/// Pages in a row that may fail, or bring the export no further, before it gives up.
const ATTEMPTS_MAX: u32 = 6;
const RETRY_BASE: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(10);

pub(super) async fn run(args: &ExportArgs, console: &mut Console) -> Result<Exit> {
    let client = Client::new(&args.server)?;
    let output = Output::new(&args.output, &args.fields)?;
    let asked = Asked {
        query: args.query.clone(),
        since: args.range.since.map(format_duration),
        from: args.range.from.clone(),
        to: args.range.to.clone(),
        fields: args.fields.clone(),
    };
    let state = match (file::find(&args.output, &asked)?, args.resume) {
        (Found::Nothing, _) => begin(asked, &Clock::system())?,
        (Found::State(state), true) => *state,
        (Found::Whole, true) => {
            console.note(&format!("{} is there already, and whole", args.output.display()));
            return Ok(Exit::Ok);
        }
        (Found::State(_) | Found::Whole, false) => {
            let mend = "--resume goes on with it, or remove it";
            return Err(CliError::Usage(format!("{} is there already: {mend}", args.output.display())));
        }
    };
    let mut export = Export { args, client: &client, output, state };
    let exported = tokio::select! {
        exported = export.run(console) => exported,
        _ = tokio::signal::ctrl_c() => Ok(None),
    };
    match exported {
        Ok(Some(exit)) => Ok(exit),
        Ok(None) => {
            console.warn("interrupted; the same command with --resume goes on");
            Ok(Exit::Partial)
        }
        Err(error) => {
            if export.state.bytes > 0 {
                console
                    .note(&format!("{} rows are written; the same command with --resume goes on", export.state.rows));
            }
            Err(error)
        }
    }
}

/// The range is fixed now: pages and resumed runs have the same.
fn begin(asked: Asked, clock: &Clock) -> Result<State> {
    let now_ns = clock.now_ns();
    let time = |name: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => parse_time(text, now_ns)
            .map(|ns| Some(rfc3339(ns)))
            .ok_or_else(|| CliError::Usage(format!("--{name}: '{text}' is no time"))),
    };
    let since = asked.since.as_ref().map(|since| format!("-{since}"));
    let from = time("since", &since)?.or(time("from", &asked.from)?);
    let to = time("to", &asked.to)?.unwrap_or_else(|| rfc3339(now_ns));
    let from = from.ok_or_else(|| CliError::Usage("an export needs --from (and --to), or --since".to_owned()))?;
    Ok(State::new(asked, from, to))
}

struct Export<'a> {
    args: &'a ExportArgs,
    client: &'a Client,
    output: Output,
    state: State,
}

impl Export<'_> {
    /// Page after page to the end; `None` when it stopped before.
    async fn run(&mut self, console: &mut Console) -> Result<Option<Exit>> {
        // From here on a second start without --resume does not begin anew by mistake.
        self.output.save(&self.state)?;
        let mut backoff = Backoff::new(RETRY_BASE, RETRY_MAX, u64::from(std::process::id()));
        let (mut failures, mut first) = (0, true);
        while !self.state.done {
            let before = self.state.cursor.clone();
            match self.page(console).await {
                Ok(()) if self.state.done || self.state.cursor != before => {
                    (failures, first) = (0, false);
                    backoff.reset();
                    self.progress(console);
                    continue;
                }
                Ok(()) if failures + 1 < ATTEMPTS_MAX => {}
                Ok(()) => {
                    console.warn("the server does not come further within its time: narrow the query");
                    return Ok(None);
                }
                Err(error) if first || failures + 1 >= ATTEMPTS_MAX || !is_passing(&error) => return Err(error),
                Err(error) => console.warn(&format!("{}; trying again", visible(&error.to_string()))),
            }
            failures += 1;
            self.output.drop_page(&self.state);
            tokio::time::sleep(backoff.next_delay()).await;
        }
        self.output.finish()?;
        Ok(Some(self.report(console)))
    }

    /// Writes one page, and how far the export is then.
    async fn page(&mut self, console: &mut Console) -> Result<()> {
        let mut page = self.output.page(&self.state)?;
        let mut frames = self.client.query(&self.request()?).await?;
        let mut rows = 0;
        while let Some(frame) = frames.next().await {
            match frame? {
                Frame::Meta { columns, events, warnings, .. } => {
                    self.warn(&warnings, console);
                    self.output.start(&Shape { columns, events }, &mut page, &self.state)?;
                }
                Frame::Row { id, row } => {
                    rows += 1;
                    self.output.row(id, &row, &mut page)?;
                }
                Frame::Progress { .. } => {}
                Frame::End(end) => {
                    self.warn(&end.warnings, console);
                    return self.end_page(end, page, rows);
                }
            }
        }
        Err(CliError::BrokenOff { rows, reason: "there was no end".to_owned() })
    }

    fn end_page(&mut self, end: End, page: file::Page, rows: u64) -> Result<()> {
        let reason = end.reason.as_deref().unwrap_or_default();
        if !end.complete && end.cursor.is_none() && reason != "unreadable" {
            // Nothing to go on from: the whole page has to come again.
            return Err(CliError::BrokenOff { rows, reason: reason.to_owned() });
        }
        self.state.missing.extend(lost(&end));
        self.state.rows += rows;
        self.state.done = end.cursor.is_none();
        self.state.cursor = end.cursor.or(self.state.cursor.take());
        self.output.end_page(page, &mut self.state)
    }

    fn request(&self) -> Result<QueryRequest> {
        let fields = match file::format_of(&self.args.output)?.0 {
            OutputFormat::Raw => "raw".to_owned(),
            _ => self.args.fields.join(","),
        };
        Ok(QueryRequest {
            query: self.args.query.clone(),
            from: Some(self.state.from.clone()),
            to: Some(self.state.to.clone()),
            limit: usize::try_from(PAGE_ROWS_MAX).ok(),
            order: Some(Order::Asc),
            cursor: self.state.cursor.clone(),
            fields: (!fields.is_empty()).then_some(fields),
            ..QueryRequest::default()
        })
    }

    fn warn(&mut self, warnings: &[logweir_proto::api::Warning], console: &mut Console) {
        for warning in warnings {
            self.state.cut |= warning.warn.ends_with("_truncated");
            if self.state.cursor.is_none() {
                problem::warn(console, &self.args.query, warning);
            }
        }
    }

    /// One line that is written over.
    fn progress(&self, console: &mut Console) {
        if !console.talkative {
            return;
        }
        let reached = self.state.cursor.as_deref().and_then(|cursor| cursor.parse::<EventId>().ok());
        let reached = reached.map(|id| local_time(&rfc3339(id.time_ns), &console.zone)).unwrap_or_default();
        console.status(&format!("{} rows, up to {reached}", self.state.rows));
    }

    fn report(&self, console: &mut Console) -> Exit {
        if console.talkative {
            let (rows, bytes) = (self.state.rows, self.state.bytes);
            console.status("");
            console.note(&format!("{rows} rows, {bytes} bytes in {}", self.args.output.display()));
        }
        for part in &self.state.missing {
            console.warn(&format!("missing {} to {}: it cannot be read", visible(&part.from), visible(&part.to)));
        }
        match (self.state.missing.is_empty() && !self.state.cut, self.state.rows) {
            (false, _) => Exit::Partial,
            (true, 0) => Exit::No,
            (true, _) => Exit::Ok,
        }
    }
}

/// The parts of time that no later page will have.
fn lost(end: &End) -> Vec<logweir_proto::api::MissingRange> {
    let next = end.cursor.as_deref().and_then(|cursor| cursor.parse::<EventId>().ok());
    let next = next.map(|id| rfc3339(id.time_ns));
    let is_lost = |from: &String| match (&next, end.reason.as_deref()) {
        (_, Some("unreadable")) | (None, _) => true,
        (Some(next), _) => from < next,
    };
    end.missing.iter().filter(|part| is_lost(&part.from)).cloned().collect()
}

/// Whether the same request may succeed a little later.
fn is_passing(error: &CliError) -> bool {
    matches!(error, CliError::BrokenOff { .. }) || error.exit() == Exit::Unreachable
}

#[cfg(test)]
mod tests;

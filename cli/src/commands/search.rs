//! `logweir search`: one query, printed as it comes, page by page.

use std::time::Duration;

use logweir_proto::api::{End, Frame, Order, QueryRequest};
use logweir_proto::text::format_duration;
use logweir_runtime::clock::{Clock, rfc3339};

use crate::args::{OutputFormat, RangeArgs, SearchArgs};
use crate::client::Client;
use crate::commands::stdin;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{Console, Ink, Printer, Shape, cell, printer, problem};

/// The most that a server gives in one page.
pub const PAGE_ROWS_MAX: u64 = 10_000;
/// The range when neither a flag nor the query names one.
const DEFAULT_SINCE: Duration = Duration::from_secs(3600);

pub async fn run(args: &SearchArgs, console: &mut Console) -> Result<Exit> {
    let plan = Plan::of(args, &Clock::system());
    let mut session = Session::new(args);
    if let Some(format) = &args.stdin {
        stdin::search(format, &args.parsers, &plan.first(), &mut |frame| session.frame(frame, console))?;
    } else {
        let client = Client::new(&args.server)?;
        pages(&client, &plan, &mut session, console).await?;
    }
    session.finish(console)
}

/// What is asked, and how much of it.
struct Plan {
    request: QueryRequest,
    /// Rows still wanted; `None` is all of them. With 0 one is asked for and not shown: a server takes no 0, and
    /// warnings and mistakes are wanted all the same.
    limit: Option<u64>,
}

impl Plan {
    fn of(args: &SearchArgs, clock: &Clock) -> Plan {
        let paged = args.all || args.limit > PAGE_ROWS_MAX;
        let (from, to) = range(&args.range, args.stdin.is_none(), paged.then_some(clock));
        let mut fields = args.fields.join(",");
        if args.output == OutputFormat::Raw {
            "raw".clone_into(&mut fields);
        }
        let request = QueryRequest {
            query: if args.count { counting(&args.query) } else { args.query.clone() },
            from,
            to,
            order: args.asc.then_some(Order::Asc),
            fields: (!fields.is_empty()).then_some(fields),
            timeout: args.timeout.map(format_duration),
            ..QueryRequest::default()
        };
        Plan { request, limit: (!args.all && !args.count).then_some(args.limit) }
    }

    fn first(&self) -> QueryRequest {
        let limit = self.limit.and_then(|limit| usize::try_from(limit.max(1)).ok());
        QueryRequest { limit, ..self.request.clone() }
    }

    /// The request of the page that `cursor` begins; `None` when enough rows are there.
    fn page(&self, rows: u64, cursor: Option<String>) -> Option<QueryRequest> {
        let wanted = self.limit.map_or(PAGE_ROWS_MAX, |limit| limit.saturating_sub(rows)).min(PAGE_ROWS_MAX);
        (wanted > 0 || rows == 0).then(|| QueryRequest {
            limit: usize::try_from(wanted.max(1)).ok(),
            cursor,
            ..self.request.clone()
        })
    }
}

/// The query with a count behind it. The newline ends a comment that the query may end with.
fn counting(query: &str) -> String {
    format!("{}\n| count", if query.trim().is_empty() { "*" } else { query })
}

/// `from` and `to` of the request. Relative times are resolved by the server, whose clock stamped the events, except
/// where several pages must have the same range: then by ours.
pub(super) fn range(args: &RangeArgs, default: bool, fixed: Option<&Clock>) -> (Option<String>, Option<String>) {
    if args.since.is_none() && (args.from.is_some() || args.to.is_some()) {
        return (args.from.clone(), args.to.clone());
    }
    let Some(since) = args.since.or(default.then_some(DEFAULT_SINCE)) else { return (None, None) };
    match fixed {
        None => (Some(format!("now-{}ms", since.as_millis())), None),
        Some(clock) => {
            let ago = i64::try_from(since.as_nanos()).unwrap_or(i64::MAX);
            (Some(rfc3339(clock.now_ns().saturating_sub(ago))), None)
        }
    }
}

async fn pages(client: &Client, plan: &Plan, session: &mut Session<'_>, console: &mut Console) -> Result<()> {
    let mut cursor = None;
    while let Some(request) = plan.page(session.rows, cursor.take()) {
        let mut frames = client.query(&request).await?;
        while let Some(frame) = frames.next().await {
            session.frame(frame?, console)?;
        }
        match session.end.as_ref().and_then(|end| end.cursor.clone()) {
            // A partial page is not continued: what follows would hide what is missing.
            Some(next) if session.complete => cursor = Some(next),
            _ => break,
        }
    }
    Ok(())
}

/// Takes the frames of one or several answers and prints them as one.
pub(super) struct Session<'a> {
    query: &'a str,
    count: bool,
    /// No row is shown: `-n 0`.
    silent: bool,
    printer: Box<dyn Printer>,
    started: bool,
    counted: u64,
    rows: u64,
    ms: f64,
    complete: bool,
    /// Progress stands on the last line of stderr.
    told: bool,
    end: Option<End>,
}

impl<'a> Session<'a> {
    fn new(args: &'a SearchArgs) -> Session<'a> {
        let printer = printer(args.output, &args.fields, &args.query);
        Session {
            query: &args.query,
            count: args.count,
            silent: args.limit == 0 && !args.all && !args.count,
            printer,
            started: false,
            counted: 0,
            rows: 0,
            ms: 0.0,
            complete: true,
            told: false,
            end: None,
        }
    }

    fn frame(&mut self, frame: Frame, console: &mut Console) -> Result<()> {
        if std::mem::take(&mut self.told) {
            console.status("");
        }
        match frame {
            Frame::Meta { .. } if self.started => {}
            Frame::Meta { columns, events, warnings, .. } => {
                self.started = true;
                for warning in &warnings {
                    problem::warn(console, self.query, warning);
                }
                if !self.count {
                    self.printer.start(&Shape { columns, events }, console)?;
                }
            }
            Frame::Row { row, .. } if self.count => {
                let count = row.values().next().map(|value| cell(Some(value)));
                self.counted = count.and_then(|text| text.parse().ok()).unwrap_or(0);
                self.rows += 1;
            }
            Frame::Row { id, row } => {
                if !self.silent {
                    self.printer.row(id, &row, console)?;
                }
                self.rows += 1;
            }
            Frame::Progress { splits_done, splits_total, bytes, .. } => {
                console.flush()?;
                if console.talkative {
                    let megabytes = bytes / 1_000_000;
                    self.told = true;
                    console.status(&format!("{splits_done} of {splits_total} splits, {megabytes} MB read"));
                }
            }
            Frame::End(end) => {
                self.ms += end.stats.ms;
                for warning in &end.warnings {
                    problem::warn(console, self.query, warning);
                }
                if !end.complete {
                    self.complete = false;
                    problem::partial(console, &end);
                }
                self.end = Some(end);
            }
        }
        Ok(())
    }

    fn finish(mut self, console: &mut Console) -> Result<Exit> {
        if self.count {
            console.line(&self.counted.to_string())?;
        } else if self.started {
            self.printer.finish(console)?;
        }
        console.flush()?;
        if console.talkative && !self.count {
            self.summary(console);
        }
        let found = if self.count { self.counted > 0 } else { self.rows > 0 };
        Ok(match (self.complete, found) {
            (false, _) => Exit::Partial,
            (true, true) => Exit::Ok,
            (true, false) => Exit::No,
        })
    }

    fn summary(&self, console: &mut Console) {
        let shown = if self.silent { 0 } else { self.rows };
        let rows = if shown == 1 { "1 row".to_owned() } else { format!("{shown} rows") };
        let more = match &self.end {
            Some(End { cursor: Some(_), .. }) => ", there are more: -n or --all",
            _ => "",
        };
        let text = format!("{rows} in {:.0} ms{more}", self.ms);
        let text = console.err_style.paint(Ink::Dim, &text);
        console.note(&text);
    }
}

impl From<logweir_proto::api::ErrorDetail> for CliError {
    /// A query that an engine in this process refused.
    fn from(detail: logweir_proto::api::ErrorDetail) -> CliError {
        CliError::Refused { status: detail.code.status(), detail }
    }
}

#[cfg(test)]
mod tests {
    use logweir_runtime::clock::NANOS_PER_SECOND;

    use super::*;

    fn since(text: &str) -> RangeArgs {
        RangeArgs { since: logweir_proto::text::parse_duration(text), from: None, to: None }
    }

    #[test]
    fn pages_share_one_range_and_a_single_page_leaves_it_to_the_server() {
        let clock = Clock::manual(7200 * NANOS_PER_SECOND);
        assert_eq!(range(&since("1h"), true, None).0.as_deref(), Some("now-3600000ms"));
        let fixed = range(&since("1h"), true, Some(&clock)).0;
        assert_eq!(fixed.as_deref(), Some("1970-01-01T01:00:00.000000000Z"));
        assert_eq!(range(&RangeArgs::default(), false, None), (None, None));
        let absolute = RangeArgs { since: None, from: None, to: Some("now-1h".to_owned()) };
        assert_eq!(range(&absolute, true, Some(&clock)), (None, Some("now-1h".to_owned())));
    }

    #[test]
    fn a_limit_is_spread_over_pages() {
        let plan = |limit| Plan { request: QueryRequest::default(), limit };
        let asked = |plan: &Plan, rows| plan.page(rows, None).and_then(|request| request.limit);
        assert_eq!(asked(&plan(Some(25_000)), 0), Some(10_000));
        assert_eq!(asked(&plan(Some(25_000)), 20_000), Some(5_000));
        assert_eq!(asked(&plan(Some(25_000)), 25_000), None);
        assert_eq!(asked(&plan(None), 1_000_000), Some(10_000));
        assert_eq!((asked(&plan(Some(0)), 0), plan(Some(0)).first().limit), (Some(1), Some(1)));
    }
}

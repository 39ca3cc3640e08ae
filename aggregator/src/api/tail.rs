//! `GET /api/v1/tail`: server-sent events of what matches, as it arrives.
//!
//! A subscriber first gets what is stored from `start_offset` (or behind `Last-Event-ID`), oldest first, then every
//! fresh row. The subscription begins before the stored rows are read, so nothing falls in between; what is in both is
//! told by the number of its WAL record. Stored rows are read page by page, as the client takes them, and each page is
//! in memory before its first row is sent: a slow client holds no thread. A part that cannot be read is told by the same
//! frame as rows that came too fast: `{"t":"dropped"}`.
//!
//! With an aggregation what arrives during a window of time is one `{"t":"window"}`, whose id is that of its last event.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use logweir_proto::api::{ErrorCode, ErrorDetail, MissingRange, Order, Row, Warning};
use logweir_proto::query::ast;
use logweir_proto::record::{EventId, SEQ_INDEX_BITS};
use logweir_proto::text::parse_duration;
use logweir_runtime::clock::{self, Clock};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::App;
use super::error::ApiError;
use super::extract::Query;
use super::query::{Asked, Piece, Running, busy, parse_query, set_aside, start};
use crate::auth::Scope;
use crate::live::{Next, Subscription};
use crate::search::execute::{self, Event, Outcome};
use crate::search::filter::Subquery;
use crate::search::live::Matcher;
use crate::search::live::windows::{WINDOW_MAX_NS, WINDOW_MIN_NS, Window, Windows};
use crate::search::plan;
use crate::search::scan::{Reason, TimeRange};
use crate::store::block::Block;
use crate::store::service::View;

/// A comment is sent after this much silence, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The token of an open tail is checked this often: a revoked one ends it.
const RECHECK: Duration = Duration::from_secs(5);
/// Messages that wait for a slow connection; behind it the ring of the subscription fills, and says what it dropped.
const MESSAGES_MAX: usize = 1024;
/// Stored rows that are read at once.
const STORED_PAGE_ROWS: usize = 1000;
/// A client that takes nothing for this long while it is sent stored rows is let go: they hold a view of the store. It
/// may come again with the last id that it has.
const STALLED_MAX: Duration = Duration::from_secs(60);

/// Rows have no window.
const WINDOW_NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Fields of events up to this old are known to a tail.
const KNOWN_NS: i64 = 24 * 3600 * 1_000_000_000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TailParameters {
    #[serde(default)]
    query: String,
    /// `10m`: begin with what is stored since then.
    start_offset: Option<String>,
    /// Comma-separated, as in a query.
    fields: Option<String>,
    /// `10s`: the length of the windows of an aggregation; default: the width of a `timechart`, else `10s`.
    every: Option<String>,
}

/// What a tail does with fresh rows.
enum Watch {
    Rows(Box<Matcher>),
    Windows(Box<Windows>),
}

impl Watch {
    fn compile(
        query: &ast::Query,
        parameters: &TailParameters,
        now_ns: i64,
        subquery: &mut Subquery<'_>,
    ) -> Result<Watch, ApiError> {
        let every_ns = parameters.every.as_deref().map(every_ns).transpose()?;
        let failed = super::query::search_error;
        if let Some(windows) = Windows::compile(query, every_ns, now_ns, subquery).map_err(failed)? {
            return Ok(Watch::Windows(Box::new(windows)));
        }
        let fields = parameters.fields.as_deref().map(crate::search::rows::names);
        let matcher = Matcher::compile(query, fields.as_deref(), now_ns, subquery).map_err(failed)?;
        Ok(Watch::Rows(Box::new(matcher)))
    }

    /// The time until the open window ends: at most its length, whatever the clock does.
    fn window_left(&self, clock: &Clock) -> Duration {
        match self {
            Watch::Rows(_) => WINDOW_NEVER,
            Watch::Windows(windows) => {
                let left = windows.end_ns().saturating_sub(clock.now_ns()).clamp(0, windows.width_ns());
                Duration::from_nanos(left.unsigned_abs())
            }
        }
    }
}

/// `GET /api/v1/tail?query=`
pub async fn tail(
    State(app): State<App>,
    Query(parameters): Query<TailParameters>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let who = app.auth.allow(&headers, Scope::Tail)?.name;
    let query = parse_query(&parameters.query)?;
    let now_ns = app.clock.now_ns();
    let resume = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let resume = resume.map(str::parse::<EventId>).transpose();
    let resume = resume.map_err(|_| ApiError::bad_request("Last-Event-ID is no event id"))?;
    let offset = parameters.start_offset.as_deref().map(offset_ns).transpose()?;
    let full = || ApiError::new(ErrorCode::RateLimited, "too many tails are open").retry_after(5);
    let subscription = app.live.subscribe().ok_or_else(full)?;
    let compiled = compile(&app, query, parameters, now_ns).await?;
    let Compiled { query, parameters, watch, warnings, view } = compiled;
    let columns = if let Watch::Rows(matcher) = &watch { matcher.columns().to_vec() } else { Vec::new() };
    let meta = TailFrame::Meta { columns, warnings }.message(None);
    let seen_record = view.last_record;
    let stored = match resume.map(|id| id.time_ns).or(offset.map(|ns| now_ns.saturating_sub(ns))) {
        None => None,
        Some(from_ns) => {
            let asked = Asked {
                who,
                text: parameters.query,
                query: match watch {
                    Watch::Rows(_) => query,
                    Watch::Windows(_) => Windows::events_of(&query),
                },
                from_ns: Some(from_ns),
                to_ns: Some(i64::MAX),
                limit: STORED_PAGE_ROWS,
                order: Order::Asc,
                cursor: resume,
                fields: parameters.fields.as_deref().map(crate::search::rows::names),
                timeout: app.query_timeout,
                partial: true,
                now_ns,
            };
            Some(Stored::start(&app, asked, view).await?)
        }
    };
    let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
    let pump = Pump { app, headers, watch, subscription, seen_record, sender, failed: false };
    tokio::spawn(pump.run(meta, stored));
    let body = stream::unfold(receiver, |mut receiver| async move {
        let message: Bytes = receiver.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(message), receiver))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// A tail ready to begin.
struct Compiled {
    query: ast::Query,
    parameters: TailParameters,
    watch: Watch,
    warnings: Vec<Warning>,
    view: Arc<View>,
}

/// Queries within the query run over what is stored.
async fn compile(app: &App, query: ast::Query, parameters: TailParameters, now_ns: i64) -> Result<Compiled, ApiError> {
    let store = app.store.clone();
    let (deadline, memory_bytes) = (std::time::Instant::now() + app.query_timeout, app.query_memory_bytes);
    let job = move || {
        let view = store.view();
        let request = execute::Request {
            from_ns: None,
            to_ns: None,
            limit: execute::LIMIT_DEFAULT,
            order: Order::Desc,
            cursor: None,
            fields: None,
            now_ns,
            deadline,
            memory_bytes,
            cancel: &AtomicBool::new(false),
        };
        let mut subquery = |inner: &ast::Query| execute::values(inner, &request, &view.segments);
        let watch = Watch::compile(&query, &parameters, now_ns, &mut subquery)?;
        // Without it a name that is misspelt waits for ever.
        let lately = TimeRange { first_ns: now_ns.saturating_sub(KNOWN_NS), last_ns: i64::MAX };
        let warnings = plan::unknown_fields(&query, lately, &view.segments);
        Ok(Compiled { watch, query, parameters, warnings, view: Arc::clone(&view) })
    };
    app.query_pool.run(job).await.map_err(busy)?
}

fn offset_ns(text: &str) -> Result<i64, ApiError> {
    let duration = parse_duration(text).and_then(|duration| i64::try_from(duration.as_nanos()).ok());
    duration.ok_or_else(|| ApiError::bad_request(format!("start_offset: '{text}' is no duration such as 10m")))
}

fn every_ns(text: &str) -> Result<i64, ApiError> {
    let every = parse_duration(text).and_then(|every| i64::try_from(every.as_nanos()).ok());
    every
        .filter(|every| (WINDOW_MIN_NS..=WINDOW_MAX_NS).contains(every))
        .ok_or_else(|| ApiError::bad_request(format!("every: '{text}' is no duration from 1s to 1h")))
}

/// The stored rows of a tail, of which the first page is being read.
struct Stored {
    asked: Asked,
    view: Arc<View>,
    /// While a page is being read: a page that waits for its client takes no turn from the queries.
    running: Option<Running>,
    first: Option<Piece>,
}

impl Stored {
    async fn start(app: &App, asked: Asked, view: Arc<View>) -> Result<Stored, ApiError> {
        let mut running = start(app, &app.query_pool, asked.clone(), Some(Arc::clone(&view))).await?;
        let first = Some(running.first().await?);
        Ok(Stored { asked, view, running: Some(running), first })
    }

    /// The rest of the page.
    async fn page(&mut self) -> Option<(Vec<(EventId, Row)>, Outcome)> {
        let mut rows = Vec::new();
        let mut running = self.running.take()?;
        loop {
            let piece = match self.first.take() {
                Some(piece) => piece,
                None => running.next().await?,
            };
            match piece {
                Piece::Event(Event::Row { id: Some(id), row }) => rows.push((id, row)),
                Piece::Event(_) => {}
                Piece::End(Ok(outcome)) => return Some((rows, outcome)),
                Piece::End(Err(error)) => {
                    tracing::warn!(error = %error, "the stored rows of a tail cannot be read");
                    return None;
                }
            }
        }
    }

    /// Starts the page behind `cursor`.
    async fn turn(&mut self, app: &App, cursor: EventId) -> Result<(), ApiError> {
        self.asked.cursor = Some(cursor);
        let running = start(app, &app.query_pool, self.asked.clone(), Some(Arc::clone(&self.view))).await?;
        self.running = Some(running);
        Ok(())
    }
}

/// What follows a page of stored rows.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// The page behind this row.
    Page(EventId),
    /// All was read: now what is fresh.
    Live,
    /// Nothing more can be read now. The connection ends, and the client comes again with the last id that it has.
    Break,
}

/// Decides what follows a page, and whether something of it is missing.
fn turn(outcome: &Outcome, cursor: Option<EventId>) -> (Turn, Option<Reason>) {
    let advanced = outcome.cursor.filter(|next| cursor.is_none_or(|cursor| cursor < *next));
    match (outcome.reason, advanced) {
        (Some(Reason::Cancelled), _) => (Turn::Break, None),
        // The page behind goes on exactly there: what is missing before it could not be read.
        (Some(Reason::Timeout), Some(next))
            if outcome.missing.iter().any(|part| *part.from < *clock::rfc3339(next.time_ns)) =>
        {
            (Turn::Page(next), Some(Reason::Unreadable))
        }
        (None | Some(Reason::SlowReader | Reason::Timeout), Some(next)) => (Turn::Page(next), None),
        (None, None) => (Turn::Live, None),
        (Some(Reason::SlowReader | Reason::Timeout), None) => (Turn::Break, None),
        (Some(Reason::Unreadable), Some(next)) => (Turn::Page(next), Some(Reason::Unreadable)),
        (Some(Reason::Unreadable), None) => (Turn::Live, Some(Reason::Unreadable)),
    }
}

/// What a tail sends as the data of an event. A row's id is also that of the event.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "t", rename_all = "lowercase")]
pub enum TailFrame {
    /// The first one: what rows are shown by, and doubts about the query.
    Meta {
        /// None where windows follow, which name their own.
        columns: Vec<String>,
        warnings: Vec<Warning>,
    },
    Row {
        id: EventId,
        #[serde(flatten)]
        row: Row,
    },
    /// Events are missing here.
    Dropped {
        /// So many that came too fast; 0 when the number is not known.
        n: u64,
        /// `too_fast` or `unreadable`
        reason: String,
        /// Parts of the time that could not be read.
        missing: Vec<MissingRange>,
    },
    /// What arrived in a window of time, of a query that ends in an aggregation.
    Window { from: String, to: String, columns: Vec<String>, rows: Vec<Row>, warnings: Vec<Warning> },
    /// The last one: the tail cannot go on.
    Error { error: ErrorDetail },
}

impl TailFrame {
    fn message(&self, id: Option<EventId>) -> Bytes {
        let frame = serde_json::to_string(self).unwrap_or_default();
        let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
        Bytes::from(format!("{id}data: {frame}\n\n"))
    }
}

/// Says that rows are missing here: so many that came too fast, or an unknown number in these parts of time.
fn dropped(rows: u64, reason: &str, missing: &[MissingRange]) -> Bytes {
    TailFrame::Dropped { n: rows, reason: reason.to_owned(), missing: missing.to_vec() }.message(None)
}

fn message(id: EventId, mut row: Row) -> Bytes {
    set_aside(&mut row);
    TailFrame::Row { id, row }.message(Some(id))
}

/// A window that has ended.
fn window_message(window: Window) -> Bytes {
    let Window { first_ns, end_ns, columns, rows, warnings, last } = window;
    let (from, to) = (clock::rfc3339(first_ns), clock::rfc3339(end_ns));
    TailFrame::Window { from, to, columns, rows, warnings }.message(last)
}

/// The tail cannot go on: a window holds too much.
fn error_message(error: crate::search::Error) -> Bytes {
    TailFrame::Error { error: super::query::search_error(error).detail }.message(None)
}

/// Moves fresh rows from the ring to one connection.
struct Pump {
    app: App,
    headers: HeaderMap,
    watch: Watch,
    subscription: Subscription,
    /// Rows of this WAL record and earlier ones were in the view.
    seen_record: u64,
    sender: mpsc::Sender<Bytes>,
    /// The last message says why nothing follows.
    failed: bool,
}

impl Pump {
    /// Works until the client goes away, its token is revoked, or the server ends, whatever it is waiting for then.
    async fn run(mut self, meta: Bytes, stored: Option<Stored>) {
        let (app, headers, sender) = (self.app.clone(), self.headers.clone(), self.sender.clone());
        tokio::select! {
            _ = self.pump(meta, stored) => {}
            () = sender.closed() => {}
            () = refused(&app, &headers) => {}
            () = app.drain.cancelled() => {}
        }
    }

    /// `None` when the connection should end.
    async fn pump(&mut self, meta: Bytes, stored: Option<Stored>) -> Option<()> {
        // The first bytes tell the client that it is connected.
        self.send(meta).await?;
        if let Some(stored) = stored {
            self.replay(stored).await?;
        }
        let keep_alive = tokio::time::sleep(KEEP_ALIVE);
        let window_end = tokio::time::sleep(self.watch.window_left(&self.app.clock));
        tokio::pin!(keep_alive, window_end);
        loop {
            let messages = tokio::select! {
                next = self.subscription.next() => self.messages(next)?,
                () = &mut window_end => {
                    let ended = self.end_window();
                    window_end.as_mut().reset(Instant::now() + self.watch.window_left(&self.app.clock));
                    ended
                }
                () = &mut keep_alive => vec![Bytes::from_static(b": alive\n\n")],
            };
            if messages.is_empty() {
                continue;
            }
            for message in messages {
                self.send(message).await?;
            }
            if self.failed {
                return None;
            }
            keep_alive.as_mut().reset(Instant::now() + KEEP_ALIVE);
        }
    }

    /// Sends what is stored, one page after the other.
    async fn replay(&mut self, mut stored: Stored) -> Option<()> {
        loop {
            let (rows, outcome) = stored.page().await?;
            for message in self.stored_messages(rows) {
                self.sender.send_timeout(message, STALLED_MAX).await.ok()?;
            }
            let (turn, missing) = turn(&outcome, stored.asked.cursor);
            if self.failed {
                return None;
            }
            if let Some(reason) = missing {
                self.send(dropped(0, reason.as_str(), &outcome.missing)).await?;
            }
            match turn {
                Turn::Page(next) => stored.turn(&self.app, next).await.ok()?,
                Turn::Live => return Some(()),
                Turn::Break => return None,
            }
        }
    }

    fn messages(&mut self, next: Next) -> Option<Vec<Bytes>> {
        let seen = self.seen_record;
        let is_new = |id: EventId| id.seq >> SEQ_INDEX_BITS > seen;
        match next {
            Next::Closed => None,
            Next::Dropped(rows) => Some(vec![dropped(rows, "too_fast", &[])]),
            Next::Rows(block) => match &mut self.watch {
                Watch::Rows(matcher) => {
                    let rows = matching(matcher, &block);
                    Some(rows.into_iter().filter(|(id, _)| is_new(*id)).map(|(id, row)| message(id, row)).collect())
                }
                Watch::Windows(windows) => {
                    let added = windows.add(block.batch(), is_new);
                    Some(added.err().map(|error| self.fail(error)).into_iter().collect())
                }
            },
        }
    }

    fn stored_messages(&mut self, rows: Vec<(EventId, Row)>) -> Vec<Bytes> {
        match &mut self.watch {
            Watch::Rows(_) => rows.into_iter().map(|(id, row)| message(id, row)).collect(),
            Watch::Windows(windows) => match windows.replay(rows) {
                Ok(ended) => ended.into_iter().map(window_message).collect(),
                Err(error) => vec![self.fail(error)],
            },
        }
    }

    fn end_window(&mut self) -> Vec<Bytes> {
        let now_ns = self.app.clock.now_ns();
        match &mut self.watch {
            Watch::Rows(_) => Vec::new(),
            Watch::Windows(windows) => match windows.close(now_ns.max(windows.end_ns())) {
                Ok(window) => vec![window_message(window)],
                Err(error) => vec![self.fail(error)],
            },
        }
    }

    fn fail(&mut self, error: crate::search::Error) -> Bytes {
        self.failed = true;
        error_message(error)
    }

    async fn send(&self, message: Bytes) -> Option<()> {
        self.sender.send(message).await.ok()
    }
}

/// The rows of a block that a tail shows.
fn matching(matcher: &Matcher, block: &Block) -> Vec<(EventId, Row)> {
    let picked = matcher.matches(block.batch());
    let raw = if matcher.wants_raw() { block.raw(&picked) } else { None };
    matcher.rows(block.batch(), &picked, raw.as_deref())
}

/// Ends when the token of these headers is no longer good.
async fn refused(app: &App, headers: &HeaderMap) {
    let mut ticks = tokio::time::interval(RECHECK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if app.auth.allow(headers, Scope::Tail).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;

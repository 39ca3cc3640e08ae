//! `GET` and `POST /api/v1/query`: rows as they are found, or one JSON object.

mod format;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, Method, Request};
use logweir_proto::api::{
    End, ErrorCode, Frame, MissingRange, Order, QueryAnswer, QueryFormat, QueryRequest, Row, Warning,
};
use logweir_proto::query::ast::Query;
use logweir_proto::query::parse::parse;
use logweir_proto::query::value::parse_time;
use logweir_proto::record::EventId;
use logweir_proto::text::parse_duration;
use logweir_runtime::clock;
use logweir_runtime::pool::{Pool, PoolError};
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::{SendTimeoutError, TrySendError};
use tokio::sync::{mpsc, oneshot};

use self::format::Writer;
use super::App;
use super::error::ApiError;
use super::extract::bad_parameters;
use super::ingest::read_body;
use super::queries::Open;
use crate::auth::Scope;
use crate::config::QUERY_TIMEOUT_MAX;
use crate::search::execute::{self, Event, LIMIT_DEFAULT, LIMIT_MAX, Outcome};
use crate::search::plan;
use crate::search::rows::names;
use crate::search::scan::Reason;
use crate::store::service::View;

/// Largest body of a query request.
pub const REQUEST_BYTES_MAX: usize = 64 << 10;
/// Pieces of an answer that wait for a slow reader; then the search waits, until its deadline.
const PIECES_MAX: usize = 256;

/// A request whose every part was understood.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Who asks: the id of a token.
    pub who: String,
    pub text: String,
    pub query: Query,
    pub from_ns: Option<i64>,
    pub to_ns: Option<i64>,
    pub limit: usize,
    pub order: Order,
    pub cursor: Option<EventId>,
    pub fields: Option<Vec<String>>,
    pub timeout: Duration,
    pub partial: bool,
    pub now_ns: i64,
}

impl Asked {
    pub fn new(request: &QueryRequest, who: &str, app: &App) -> Result<Asked, ApiError> {
        let now_ns = app.clock.now_ns();
        let limit = request.limit.unwrap_or(LIMIT_DEFAULT);
        if limit == 0 || limit > LIMIT_MAX {
            return Err(ApiError::bad_request(format!("limit has to be 1 to {LIMIT_MAX}: page with the cursor")));
        }
        let query = parse_query(&request.query)?;
        let from_ns = time_of("from", request.from.as_deref(), now_ns)?;
        let to_ns = time_of("to", request.to.as_deref(), now_ns)?;
        begins_before_its_end(&query, from_ns, to_ns, now_ns)?;
        Ok(Asked {
            who: who.to_owned(),
            text: request.query.clone(),
            query,
            from_ns,
            to_ns,
            limit,
            order: request.order.unwrap_or_default(),
            cursor: request.cursor.as_deref().map(cursor_of).transpose()?,
            fields: request.fields.as_deref().map(names),
            timeout: timeout_of(request.timeout.as_deref(), app.query_timeout)?,
            partial: request.partial.unwrap_or(true),
            now_ns,
        })
    }
}

/// Parses the text of a query; the first error is the answer.
pub fn parse_query(text: &str) -> Result<Query, ApiError> {
    parse(text).map_err(|errors| match errors.first() {
        Some(error) => ApiError::from(error.detail(text)),
        None => ApiError::new(ErrorCode::ParseError, "the query cannot be read"),
    })
}

/// Nobody means a range that ends before it begins: no answer to it would say that the bounds are swapped.
fn begins_before_its_end(query: &Query, from_ns: Option<i64>, to_ns: Option<i64>, now_ns: i64) -> Result<(), ApiError> {
    let from_ns = query.since.map(|since| since.resolve(now_ns)).or(from_ns);
    let to_ns = query.until.map(|until| until.resolve(now_ns)).or(to_ns);
    match (from_ns, to_ns) {
        (Some(from_ns), Some(to_ns)) if to_ns < from_ns => Err(ApiError::bad_request(format!(
            "the range ends before it begins: it is from {} to {}",
            clock::rfc3339(from_ns),
            clock::rfc3339(to_ns)
        ))),
        _ => Ok(()),
    }
}

/// A time parameter.
pub fn time_of(name: &str, text: Option<&str>, now_ns: i64) -> Result<Option<i64>, ApiError> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    parse_time(text, now_ns).map(Some).ok_or_else(|| {
        ApiError::bad_request(format!("{name}: '{text}' is no time: write RFC 3339, an epoch, now-1h or -15m"))
    })
}

fn cursor_of(text: &str) -> Result<EventId, ApiError> {
    text.parse().map_err(|_| ApiError::bad_request("cursor: take it as it is from the end of the page before"))
}

fn timeout_of(text: Option<&str>, default: Duration) -> Result<Duration, ApiError> {
    let Some(text) = text else { return Ok(default) };
    match parse_duration(text) {
        Some(timeout) if !timeout.is_zero() && timeout <= QUERY_TIMEOUT_MAX => Ok(timeout),
        _ => Err(ApiError::bad_request(format!("timeout: '{text}' is no duration up to 5m"))),
    }
}

/// Reads the parameters of a `GET` or the body of a `POST`.
pub async fn read_request<T: serde::de::DeserializeOwned>(request: Request<Body>) -> Result<T, ApiError> {
    if request.method() == Method::POST {
        let body = read_body(request, REQUEST_BYTES_MAX).await?;
        let body = if body.is_empty() { Bytes::from_static(b"{}") } else { body };
        return serde_json::from_slice(&body).map_err(|error| ApiError::bad_request(format!("the body: {error}")));
    }
    axum::extract::Query::try_from_uri(request.uri())
        .map(|axum::extract::Query(parameters)| parameters)
        .map_err(|error| bad_parameters(&error.body_text()))
}

/// A running search: its pieces come out, and it ends when this is dropped.
pub struct Running {
    events: mpsc::Receiver<Event>,
    /// Apart from the events, so that an answer which nobody takes in time can still tell how it ended.
    end: Option<oneshot::Receiver<Ended>>,
    open: Open,
}

type Ended = Result<Outcome, crate::search::Error>;

/// What comes out of a search.
pub enum Piece {
    Event(Event),
    End(Ended),
}

impl Running {
    /// The next piece; `None` behind the end, or when the search broke down.
    pub async fn next(&mut self) -> Option<Piece> {
        if let Some(event) = self.events.recv().await {
            return Some(Piece::Event(event));
        }
        self.end.take()?.await.ok().map(Piece::End)
    }

    /// The first piece: a search that cannot be run at all is an error with a status.
    pub async fn first(&mut self) -> Result<Piece, ApiError> {
        match self.next().await {
            Some(Piece::End(Err(error))) => Err(search_error(error)),
            Some(piece) => Ok(piece),
            None => Err(without_answer()),
        }
    }
}

/// Starts a search on a pool, over a view or, without one, over what is stored when its turn comes. A reader that is
/// too slow gets what fits before the deadline, and the reason `slow_reader`: the thread belongs to others too.
pub async fn start(app: &App, pool: &Pool, asked: Asked, view: Option<Arc<View>>) -> Result<Running, ApiError> {
    let (sender, events) = mpsc::channel(PIECES_MAX);
    let (done, end) = oneshot::channel();
    let open = app.queries.open(&asked.text, &asked.who, asked.now_ns, asked.timeout).await?;
    let (flag, store, runtime) = (open.flag(), app.store.clone(), Handle::current());
    let id = open.id.clone();
    let (deadline, memory_bytes) = (Instant::now() + asked.timeout, app.query_memory_bytes);
    let begun = Instant::now();
    let job = move || {
        let view = view.unwrap_or_else(|| store.view());
        let request = execute::Request {
            from_ns: asked.from_ns,
            to_ns: asked.to_ns,
            limit: asked.limit,
            order: asked.order,
            cursor: asked.cursor,
            fields: asked.fields.clone(),
            now_ns: asked.now_ns,
            deadline,
            memory_bytes,
            cancel: &flag,
        };
        let mut stopped = None;
        let mut sink = |event| match give(&sender, event, deadline, &runtime) {
            Ok(()) => ControlFlow::Continue(()),
            Err(reason) => {
                stopped = Some(reason);
                ControlFlow::Break(())
            }
        };
        let ended = execute::run(&asked.query, &request, &view.segments, &mut sink);
        let ended = match ended {
            Err(error @ crate::search::Error::Partial { .. }) => Ok(unanswered(&error, &asked, &mut sink)),
            ended => ended,
        };
        let ended = ended.map(|outcome| Outcome { reason: outcome.reason.or(stopped), ..outcome });
        log(&id, &asked, begun, &ended);
        let _ = done.send(ended);
    };
    pool.spawn(job).map_err(busy)?;
    Ok(Running { events, end: Some(end), open })
}

/// The warning of an answer whose query has another within that could not be answered whole.
const PARTIAL_SUBQUERY: &str = "partial_subquery";

/// The answer when a query within the query was not complete: nothing is certain, and all of the range is missing.
fn unanswered(error: &crate::search::Error, asked: &Asked, sink: &mut execute::Sink<'_>) -> Outcome {
    let warning = Warning::new(PARTIAL_SUBQUERY, error.to_string());
    let _ = sink(Event::Meta { columns: Vec::new(), events: false, warnings: vec![warning.clone()] });
    let missing = vec![all_of(asked)];
    Outcome { reason: Some(Reason::Timeout), missing, warnings: vec![warning], ..Outcome::default() }
}

/// All of the range that was asked for, as far as it lies in the past.
fn all_of(asked: &Asked) -> MissingRange {
    let range = plan::range(&asked.query, asked.from_ns, asked.to_ns, asked.now_ns);
    let to_ns = range.last_ns.min(asked.now_ns.max(range.first_ns));
    MissingRange { from: clock::rfc3339(range.first_ns), to: clock::rfc3339(to_ns), splits: 0 }
}

/// Who asks for the rules: its queries come by the clock, so the query log has them at `debug` only.
pub const ALERTING: &str = "alerting";

/// The query log: who asked what, and what it cost.
fn log(id: &str, asked: &Asked, begun: Instant, ended: &Ended) {
    let (rows, bytes, how) = match ended {
        Ok(outcome) => {
            let how = outcome.reason.map_or("complete", Reason::as_str);
            (outcome.rows, outcome.stats.bytes, how.to_owned())
        }
        Err(error) => (0, 0, error.to_string()),
    };
    let (who, query, ms) = (&asked.who, &asked.text, millis(begun));
    if who == ALERTING {
        tracing::debug!(target: "logweir::queries", id, who, query, ms, rows, bytes, ended = how, "query");
    } else {
        tracing::info!(target: "logweir::queries", id, who, query, ms, rows, bytes, ended = how, "query");
    }
}

/// Hands over one event, and waits for room until the deadline.
fn give(sender: &mpsc::Sender<Event>, event: Event, deadline: Instant, runtime: &Handle) -> Result<(), Reason> {
    let event = match sender.try_send(event) {
        Ok(()) => return Ok(()),
        Err(TrySendError::Closed(_)) => return Err(Reason::Cancelled),
        Err(TrySendError::Full(event)) => event,
    };
    let left = deadline.saturating_duration_since(Instant::now());
    // The timer has to be made within the runtime too.
    match runtime.block_on(async { sender.send_timeout(event, left).await }) {
        Ok(()) => Ok(()),
        Err(SendTimeoutError::Closed(_)) => Err(Reason::Cancelled),
        Err(SendTimeoutError::Timeout(_)) => Err(Reason::SlowReader),
    }
}

fn without_answer() -> ApiError {
    ApiError::new(ErrorCode::Internal, "the search ended without an answer")
}

/// The pool is full, or a search panicked on it.
pub fn busy(error: PoolError) -> ApiError {
    match error {
        PoolError::Full => ApiError::new(ErrorCode::RateLimited, "too many queries run: try again").retry_after(1),
        PoolError::Panicked => ApiError::new(ErrorCode::Internal, "a bug of the server: its log has the place"),
    }
}

/// `GET` and `POST /api/v1/query`
pub async fn query(State(app): State<App>, headers: HeaderMap, request: Request<Body>) -> Result<Response, ApiError> {
    let principal = app.auth.allow(&headers, Scope::Query)?;
    let request: QueryRequest = read_request(request).await?;
    let mut asked = Asked::new(&request, &principal.name, &app)?;
    let begun = Instant::now();
    let partial = asked.partial;
    let format = request.format.unwrap_or_default();
    if format == QueryFormat::Text {
        asked.fields = Some(vec!["raw".to_owned()]);
    }
    let columns = asked.fields.clone();
    let running = start(&app, &app.query_pool, asked, None).await?;
    if format != QueryFormat::Events {
        let writer = Writer::new(format, columns);
        return match partial {
            true => writer.stream(running).await,
            false => collect(running, begun).await.and_then(whole).map(|answer| writer.whole(answer)),
        };
    }
    let wants_object = headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("application/json") && !accept.contains("application/x-ndjson"));
    if wants_object || !partial {
        let query_id = running.open.id.clone();
        let answer = collect(running, begun).await?;
        let answer = if partial { answer } else { whole(answer)? };
        return Ok(if wants_object { Json(answer).into_response() } else { frames_of(answer, query_id) });
    }
    stream_frames(running, begun).await
}

/// An answer that has to be complete.
fn whole(answer: QueryAnswer) -> Result<QueryAnswer, ApiError> {
    if answer.end.complete {
        return Ok(answer);
    }
    let within = answer.warnings.iter().find(|warning| warning.warn == PARTIAL_SUBQUERY);
    let why = within.map_or(INCOMPLETE, |warning| &warning.message);
    Err(timed_out(why, &answer.end.missing))
}

/// Ranges that the message of a 504 names; all are in its `missing`.
const RANGES_SAID: usize = 3;

const INCOMPLETE: &str = "the answer is not complete, and partial=false was asked";

/// `partial=false` was asked, and these parts of time are missing.
pub(super) fn incomplete(missing: &[MissingRange]) -> ApiError {
    timed_out(INCOMPLETE, missing)
}

/// A 504 that names what is missing.
fn timed_out(why: &str, missing: &[MissingRange]) -> ApiError {
    let mut message = why.to_owned();
    for (at, range) in missing.iter().take(RANGES_SAID).enumerate() {
        let lead = if at == 0 { ": missing is" } else { "," };
        message.push_str(&format!("{lead} {} to {}", range.from, range.to));
    }
    if missing.len() > RANGES_SAID {
        message.push_str(&format!(", and {} ranges more", missing.len() - RANGES_SAID));
    }
    let mut error = ApiError::new(ErrorCode::Timeout, message);
    error.detail.missing = (!missing.is_empty()).then(|| missing.into());
    error
}

/// Waits for the whole answer.
pub async fn collect(mut running: Running, begun: Instant) -> Result<QueryAnswer, ApiError> {
    let mut columns = Vec::new();
    let mut events = false;
    let mut rows = Vec::new();
    let mut warnings: Vec<Warning> = Vec::new();
    while let Some(piece) = running.next().await {
        match piece {
            Piece::Event(Event::Meta { columns: names, events: are_events, warnings: early }) => {
                (columns, events, warnings) = (names, are_events, early);
            }
            Piece::Event(Event::Row { id, mut row }) => {
                if let Some(id) = id {
                    put_id(&mut row, id);
                }
                rows.push(row);
            }
            Piece::Event(Event::Progress { .. }) => {}
            Piece::End(outcome) => {
                let outcome = outcome.map_err(search_error)?;
                merge_warnings(&mut warnings, &outcome.warnings);
                let end = outcome.into_end(millis(begun));
                return Ok(QueryAnswer { columns, events, rows, warnings, end });
            }
        }
    }
    Err(without_answer())
}

/// Puts the id of an event before its fields; an own field of that name moves aside.
pub fn put_id(row: &mut Row, id: EventId) {
    set_aside(row);
    row.shift_insert(0, "id".to_owned(), serde_json::Value::String(id.to_string()));
}

/// `t` and `id` belong to the frame: an event's own fields of these names are shown as `_t` and `_id`.
pub(super) fn set_aside(row: &mut Row) {
    for (own, moved) in [("t", "_t"), ("id", "_id")] {
        if let Some(value) = row.shift_remove(own) {
            row.insert(moved.to_owned(), value);
        }
    }
}

fn merge_warnings(warnings: &mut Vec<Warning>, more: &[Warning]) {
    for warning in more {
        if !warnings.contains(warning) {
            warnings.push(warning.clone());
        }
    }
}

fn frames_of(answer: QueryAnswer, query_id: String) -> Response {
    let meta = Frame::Meta { query_id, columns: answer.columns, events: answer.events, warnings: answer.warnings };
    let mut body = line(&meta);
    for row in answer.rows {
        body.extend(line(&Frame::Row { id: None, row }));
    }
    body.extend(line(&Frame::End(answer.end)));
    ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

async fn stream_frames(mut running: Running, begun: Instant) -> Result<Response, ApiError> {
    let first = running.first().await?;
    let told = match &first {
        Piece::Event(Event::Meta { warnings, .. }) => warnings.clone(),
        _ => Vec::new(),
    };
    let query_id = running.open.id.clone();
    let lines = stream::unfold((running, Some(first)), move |(mut running, first)| {
        let (query_id, told) = (query_id.clone(), told.clone());
        async move {
            let piece = match first {
                Some(piece) => piece,
                None => running.next().await?,
            };
            Some((piece_line(piece, &query_id, &told, begun), (running, None)))
        }
    });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

/// One line of the answer; an error after the first row breaks the body off, so that no client takes it for whole.
/// `told` are the warnings of the first line.
fn piece_line(piece: Piece, query_id: &str, told: &[Warning], begun: Instant) -> Result<Bytes, Broken> {
    let frame = match piece {
        Piece::Event(event) => event_frame(event, query_id),
        Piece::End(Ok(mut outcome)) => {
            let mut warnings = std::mem::take(&mut outcome.warnings);
            warnings.retain(|warning| !told.contains(warning));
            Frame::End(End { warnings, ..outcome.into_end(millis(begun)) })
        }
        Piece::End(Err(error)) => {
            tracing::warn!(error = %error, "a search failed after its first row");
            return Err(Broken(error.to_string()));
        }
    };
    Ok(Bytes::from(line(&frame)))
}

/// A piece of an answer as its readers see it.
pub fn event_frame(event: Event, query_id: &str) -> Frame {
    match event {
        Event::Meta { columns, events, warnings } => {
            Frame::Meta { query_id: query_id.to_owned(), columns, events, warnings }
        }
        Event::Row { id, mut row } => {
            if id.is_some() {
                set_aside(&mut row);
            }
            Frame::Row { id, row }
        }
        Event::Progress { splits_done, splits_total, bytes, covered_ns } => {
            Frame::Progress { splits_done, splits_total, bytes, covered_from: covered_ns.map(clock::rfc3339) }
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the search failed: {0}")]
struct Broken(String);

fn line(frame: &Frame) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(frame).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

pub fn millis(begun: Instant) -> f64 {
    (begun.elapsed().as_secs_f64() * 1e5).round() / 100.0
}

/// The same for a search whose answer is one value: without the query within it there is none.
pub(super) fn failed(error: crate::search::Error, asked: &Asked) -> ApiError {
    match error {
        crate::search::Error::Partial { .. } => timed_out(&error.to_string(), &[all_of(asked)]),
        error => search_error(error),
    }
}

/// What a failed search says to its client.
pub fn search_error(error: crate::search::Error) -> ApiError {
    ApiError::new(error.code(), error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_that_come_late_are_in_the_last_line_and_no_other() {
        let warning = |warn: &str| Warning::new(warn, "");
        let told = [warning("unknown_field")];
        let outcome = Outcome { warnings: vec![told[0].clone(), warning("groups_truncated")], ..Outcome::default() };
        let bytes = piece_line(Piece::End(Ok(outcome)), "q", &told, Instant::now()).expect("a frame");
        let Frame::End(end) = serde_json::from_slice(&bytes).expect("JSON") else { panic!("an end") };
        assert_eq!(end.warnings, [warning("groups_truncated")]);
    }
}

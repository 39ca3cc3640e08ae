//! `GET` and `POST /api/v1/query`: rows as they are found, or one JSON object.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, Method, Request};
use logweir_proto::api::{ErrorCode, Frame, Order, QueryAnswer, QueryRequest, Row, Warning};
use logweir_proto::query::ast::Query;
use logweir_proto::query::parse::parse;
use logweir_proto::query::value::parse_time;
use logweir_proto::record::EventId;
use logweir_proto::text::parse_duration;
use logweir_runtime::pool::PoolError;
use tokio::sync::mpsc;

use super::App;
use super::error::ApiError;
use super::ingest::read_body;
use crate::auth::Scope;
use crate::config::QUERY_TIMEOUT_MAX;
use crate::search::execute::{self, Event, LIMIT_DEFAULT, LIMIT_MAX, Outcome};
use crate::search::rows::names;
use crate::store::segment::Segment;

/// Largest body of a query request.
pub const REQUEST_BYTES_MAX: usize = 64 << 10;
/// Pieces of an answer that wait for a slow reader; then the search waits.
const PIECES_MAX: usize = 256;

/// A request whose every part was understood.
#[derive(Debug, Clone)]
pub struct Asked {
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
    pub fn new(request: &QueryRequest, app: &App) -> Result<Asked, ApiError> {
        let now_ns = app.clock.now_ns();
        let limit = request.limit.unwrap_or(LIMIT_DEFAULT);
        if limit == 0 || limit > LIMIT_MAX {
            return Err(ApiError::bad_request(format!("limit has to be 1 to {LIMIT_MAX}: page with the cursor")));
        }
        Ok(Asked {
            query: parse_query(&request.query)?,
            from_ns: time_of("from", request.from.as_deref(), now_ns)?,
            to_ns: time_of("to", request.to.as_deref(), now_ns)?,
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
        .map_err(|error| ApiError::bad_request(format!("the parameters: {}", error.body_text())))
}

/// A running search: its pieces come out, and it ends when this is dropped.
pub struct Running {
    pieces: mpsc::Receiver<Piece>,
    cancel: Arc<AtomicBool>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cancel.store(true, Ordering::Relaxed);
    }
}

enum Piece {
    Event(Event),
    End(Result<Outcome, crate::search::Error>),
}

/// Starts a search on the CPU pool.
pub fn start(app: &App, asked: Asked, segments: Vec<Arc<dyn Segment>>) -> Result<Running, ApiError> {
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    let cancel = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&cancel);
    let (deadline, memory_bytes) = (Instant::now() + asked.timeout, app.query_memory_bytes);
    let job = move || {
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
        let mut sink = |event| match sender.blocking_send(Piece::Event(event)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        let outcome = execute::run(&asked.query, &request, &segments, &mut sink);
        let _ = sender.blocking_send(Piece::End(outcome));
    };
    app.query_pool.spawn(job).map_err(busy)?;
    Ok(Running { pieces, cancel })
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
    let asked = Asked::new(&request, &app)?;
    let begun = Instant::now();
    tracing::debug!(principal = principal.name, query = request.query, "query");
    let partial = asked.partial;
    let view = app.store.view();
    let running = start(&app, asked, view.segments.clone())?;
    let wants_object = headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("application/json") && !accept.contains("application/x-ndjson"));
    if wants_object || !partial {
        let answer = collect(running, begun).await?;
        if !partial && !answer.end.complete {
            return Err(ApiError::new(ErrorCode::Timeout, "the answer is not complete, and partial=false was asked"));
        }
        return Ok(if wants_object { Json(answer).into_response() } else { frames_of(answer) });
    }
    stream_frames(running, begun).await
}

/// Waits for the whole answer.
pub async fn collect(mut running: Running, begun: Instant) -> Result<QueryAnswer, ApiError> {
    let mut columns = Vec::new();
    let mut rows = Vec::new();
    let mut warnings: Vec<Warning> = Vec::new();
    while let Some(piece) = running.pieces.recv().await {
        match piece {
            Piece::Event(Event::Meta { columns: names, warnings: early, .. }) => {
                columns = names;
                warnings = early;
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
                return Ok(QueryAnswer { columns, rows, warnings, end });
            }
        }
    }
    Err(ApiError::new(ErrorCode::Internal, "the search ended without an answer"))
}

/// Puts the id of an event before its fields; an own field of that name moves aside.
pub fn put_id(row: &mut Row, id: EventId) {
    set_aside(row);
    row.shift_insert(0, "id".to_owned(), serde_json::Value::String(id.to_string()));
}

/// `t` and `id` belong to the frame: an event's own fields of these names are shown as `_t` and `_id`.
fn set_aside(row: &mut Row) {
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

fn frames_of(answer: QueryAnswer) -> Response {
    let meta = Frame::Meta {
        query_id: String::new(),
        columns: answer.columns,
        events: answer.rows.first().is_some_and(|row| row.contains_key("id")),
        warnings: answer.warnings,
    };
    let mut body = line(&meta);
    for row in answer.rows {
        body.extend(line(&Frame::Row { id: None, row }));
    }
    body.extend(line(&Frame::End(answer.end)));
    ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

async fn stream_frames(mut running: Running, begun: Instant) -> Result<Response, ApiError> {
    // An error before the first piece is still an error with a status.
    let first = match running.pieces.recv().await {
        Some(Piece::End(Err(error))) => return Err(search_error(error)),
        Some(piece) => piece,
        None => return Err(ApiError::new(ErrorCode::Internal, "the search ended without an answer")),
    };
    let query_id = ulid::Ulid::new().to_string();
    let lines = stream::unfold((running, Some(first), query_id), move |(mut running, first, query_id)| async move {
        let piece = match first {
            Some(piece) => piece,
            None => running.pieces.recv().await?,
        };
        let bytes = piece_line(piece, &query_id, begun);
        Some((bytes, (running, None, query_id)))
    });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

/// One line of the answer; an error after the first row breaks the body off, so that no client takes it for whole.
fn piece_line(piece: Piece, query_id: &str, begun: Instant) -> Result<Bytes, Broken> {
    let frame = match piece {
        Piece::Event(event) => event_frame(event, query_id),
        Piece::End(Ok(outcome)) => Frame::End(outcome.into_end(millis(begun))),
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
        Event::Progress { splits_done, splits_total, bytes } => Frame::Progress { splits_done, splits_total, bytes },
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

/// What a failed search says to its client.
pub fn search_error(error: crate::search::Error) -> ApiError {
    ApiError::new(error.code(), error.to_string())
}

/// One event as the tail and the permalink show it: the same frame as in an answer.
pub fn row_frame(id: EventId, mut row: Row) -> Frame {
    set_aside(&mut row);
    Frame::Row { id: Some(id), row }
}

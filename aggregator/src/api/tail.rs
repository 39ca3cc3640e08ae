//! `GET /api/v1/tail`: server-sent events of what matches, as it arrives.
//!
//! A subscriber first gets what is stored from `start_offset` (or behind `Last-Event-ID`), oldest first, then every
//! fresh row. The subscription begins before the stored rows are read, so nothing falls in between; what is in both is
//! told by the number of its WAL record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use logweir_proto::api::{ErrorCode, Order, Row};
use logweir_proto::record::{EventId, SEQ_INDEX_BITS};
use logweir_proto::text::parse_duration;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::App;
use super::error::ApiError;
use super::query::{Asked, collect, parse_query, row_frame, start};
use crate::auth::Scope;
use crate::live::{Next, Subscription};
use crate::search::execute::LIMIT_MAX;
use crate::search::live::Matcher;
use crate::store::block::Block;
use crate::store::segment::Segment;

/// A comment is sent after this much silence, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The token of an open tail is checked this often: a revoked one ends it.
const RECHECK: Duration = Duration::from_secs(5);
/// Messages that wait for a slow connection; behind it the ring of the subscription fills, and says what it dropped.
const MESSAGES_MAX: usize = 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TailParameters {
    #[serde(default)]
    query: String,
    /// `10m`: begin with what is stored since then.
    start_offset: Option<String>,
    /// Comma-separated, as in a query.
    fields: Option<String>,
}

/// `GET /api/v1/tail?query=`
pub async fn tail(
    State(app): State<App>,
    Query(parameters): Query<TailParameters>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    app.auth.allow(&headers, Scope::Tail)?;
    let query = parse_query(&parameters.query)?;
    let now_ns = app.clock.now_ns();
    let fields = parameters.fields.as_deref().map(crate::search::rows::names);
    let matcher = Matcher::compile(&query, fields.as_deref(), now_ns).map_err(super::query::search_error)?;
    let resume = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let resume = resume.map(str::parse::<EventId>).transpose();
    let resume = resume.map_err(|_| ApiError::bad_request("Last-Event-ID is no event id"))?;
    let offset = parameters.start_offset.as_deref().map(offset_ns).transpose()?;
    let busy = || ApiError::new(ErrorCode::RateLimited, "too many tails are open").retry_after(5);
    let subscription = app.live.subscribe().ok_or_else(busy)?;
    let view = app.store.view();
    let stored = match resume.map(|id| id.time_ns).or(offset.map(|ns| now_ns.saturating_sub(ns))) {
        None => Vec::new(),
        Some(from_ns) => {
            let asked = Asked {
                query,
                from_ns: Some(from_ns),
                to_ns: Some(i64::MAX),
                limit: LIMIT_MAX,
                order: Order::Asc,
                cursor: resume,
                fields,
                timeout: app.query_timeout,
                partial: true,
                now_ns,
            };
            stored_rows(&app, asked, &view.segments).await?
        }
    };
    let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
    let pump = Pump { app, headers, matcher, subscription, seen_record: view.last_record, sender };
    tokio::spawn(pump.run(stored));
    let body = stream::unfold(receiver, |mut receiver| async move {
        let message: Bytes = receiver.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(message), receiver))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(body)).into_response())
}

fn offset_ns(text: &str) -> Result<i64, ApiError> {
    let duration = parse_duration(text).and_then(|duration| i64::try_from(duration.as_nanos()).ok());
    duration.ok_or_else(|| ApiError::bad_request(format!("start_offset: '{text}' is no duration such as 10m")))
}

async fn stored_rows(app: &App, asked: Asked, segments: &[Arc<dyn Segment>]) -> Result<Vec<Bytes>, ApiError> {
    let answer = collect(start(app, asked, segments.to_vec())?, Instant::now()).await?;
    let mut messages = Vec::with_capacity(answer.rows.len());
    for mut row in answer.rows {
        let id = row.shift_remove("id").and_then(|id| id.as_str()?.parse().ok());
        if let Some(id) = id {
            messages.push(message(id, row));
        }
    }
    Ok(messages)
}

fn message(id: EventId, row: Row) -> Bytes {
    let frame = serde_json::to_string(&row_frame(id, row)).unwrap_or_default();
    Bytes::from(format!("id: {id}\ndata: {frame}\n\n"))
}

/// Moves fresh rows from the ring to one connection.
struct Pump {
    app: App,
    headers: HeaderMap,
    matcher: Matcher,
    subscription: Subscription,
    /// Rows of this WAL record and earlier ones were in the view.
    seen_record: u64,
    sender: mpsc::Sender<Bytes>,
}

impl Pump {
    fn matching(&self, block: &Block) -> Vec<(EventId, Row)> {
        let picked = self.matcher.matches(block.batch());
        let raw = if self.matcher.wants_raw() { block.raw(&picked) } else { None };
        self.matcher.rows(block.batch(), &picked, raw.as_deref())
    }

    async fn run(mut self, stored: Vec<Bytes>) {
        // The first bytes tell the client that it is connected.
        if self.sender.send(Bytes::from_static(b": connected\n\n")).await.is_err() {
            return;
        }
        for message in stored {
            if self.sender.send(message).await.is_err() {
                return;
            }
        }
        let mut quiet_since = tokio::time::Instant::now();
        loop {
            let next = tokio::select! {
                next = self.subscription.next() => next,
                () = tokio::time::sleep(RECHECK) => {
                    if self.app.auth.allow(&self.headers, Scope::Tail).is_err() || self.sender.is_closed() {
                        return;
                    }
                    if quiet_since.elapsed() >= KEEP_ALIVE {
                        quiet_since = tokio::time::Instant::now();
                        if self.sender.send(Bytes::from_static(b": alive\n\n")).await.is_err() {
                            return;
                        }
                    }
                    continue;
                }
                () = self.app.drain.cancelled() => return,
            };
            let messages = match next {
                Next::Closed => return,
                Next::Dropped(rows) => {
                    vec![Bytes::from(format!("data: {{\"t\":\"dropped\",\"n\":{rows}}}\n\n"))]
                }
                Next::Rows(block) => {
                    let rows = self.matching(&block);
                    let fresh = rows.into_iter().filter(|(id, _)| id.seq >> SEQ_INDEX_BITS > self.seen_record);
                    fresh.map(|(id, row)| message(id, row)).collect()
                }
            };
            for message in messages {
                quiet_since = tokio::time::Instant::now();
                if self.sender.send(message).await.is_err() {
                    return;
                }
            }
        }
    }
}

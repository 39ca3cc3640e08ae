//! `GET /api/v1/events/{id}`, the permalink of one event, and `/context`, its neighbours.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use logweir_proto::api::{ErrorCode, Order, Row};
use logweir_proto::record::EventId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::error::ApiError;
use super::extract::{Path, Query};
use super::query::{put_id, search_error};
use crate::auth::Scope;
use crate::config::QUERY_MEMORY_BYTES_DEFAULT;
use crate::search::context::{self, Around, BY_DEFAULT, CONTEXT_ROWS_MAX};
use crate::search::execute::Request;
use crate::search::plan;
use crate::search::rows::names;
use crate::search::scan::TimeRange;
use crate::store::segment::Segment;

/// Rows on either side when nobody says.
const CONTEXT_ROWS_DEFAULT: usize = 20;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContextParameters {
    /// Events before it. Default 20.
    before: Option<usize>,
    /// Events after it. Default 20.
    after: Option<usize>,
    /// Comma-separated; default `service,host`.
    by: Option<String>,
    fields: Option<String>,
}

/// An event among its neighbours.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ContextAnswer {
    /// In the order of time, each with its `id`.
    pub rows: Vec<Row>,
    /// `false` when a side may lack rows.
    pub complete: bool,
}

/// All fields of the event, and `raw`, the line as it was written.
pub async fn event(State(app): State<App>, Path(id): Path<String>, headers: HeaderMap) -> Result<Json<Row>, ApiError> {
    app.auth.allow(&headers, Scope::Query)?;
    let id = id_of(&id)?;
    let store = app.store.clone();
    let (deadline, now_ns) = (Instant::now() + app.query_timeout, app.clock.now_ns());
    let found = app
        .query_pool
        .run_cancellable(move |cancel| {
            let segments = &store.view().segments;
            let mut request = request(now_ns, deadline, cancel, None);
            let (_, mut row) = context::event(id, &request, segments)?;
            request.fields = Some(vec!["raw".to_owned()]);
            let raw = context::event(id, &request, segments).and_then(|(_, mut raw)| raw.shift_remove("raw"));
            put_id(&mut row, id);
            if let Some(raw) = raw {
                row.insert("raw".to_owned(), raw);
            }
            Some(row)
        })
        .await
        .map_err(super::query::busy)?;
    found.map(Json).ok_or_else(|| missing(id))
}

/// The event among its neighbours, in the order of time.
pub async fn context(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(parameters): Query<ContextParameters>,
    headers: HeaderMap,
) -> Result<Json<ContextAnswer>, ApiError> {
    app.auth.allow(&headers, Scope::Query)?;
    let id = id_of(&id)?;
    let before = rows_of("before", parameters.before)?;
    let after = rows_of("after", parameters.after)?;
    let by = parameters.by.as_deref().map_or_else(|| BY_DEFAULT.map(str::to_owned).to_vec(), names);
    let fields = parameters.fields.as_deref().map(names);
    let store = app.store.clone();
    let (deadline, now_ns) = (Instant::now() + app.query_timeout, app.clock.now_ns());
    let found = app
        .query_pool
        .run_cancellable(move |cancel| {
            let segments = &store.view().segments;
            let request = request(now_ns, deadline, cancel, fields);
            known_fields(id, &by, segments)?;
            context::context(&Around { id, before, after, by: &by }, &request, segments).map_err(search_error)
        })
        .await
        .map_err(super::query::busy)?;
    let found = found?.ok_or_else(|| missing(id))?;
    let rows = found.before.into_iter().chain([found.event]).chain(found.after);
    let rows: Vec<Row> = rows
        .map(|(id, mut row)| {
            put_id(&mut row, id);
            row
        })
        .collect();
    Ok(Json(ContextAnswer { rows, complete: found.complete }))
}

/// Fields that the hint of a mistake names.
const FIELDS_SAID: usize = 40;

/// All events are alike in a field that none of them has, so they would pass for neighbours. A field of every kind of
/// source may be missing around one event.
fn known_fields(id: EventId, by: &[String], segments: &[Arc<dyn Segment>]) -> Result<(), ApiError> {
    let at = TimeRange { first_ns: id.time_ns, last_ns: id.time_ns };
    let Some(warning) = plan::unknown_asked(by, at, segments).into_iter().next() else { return Ok(()) };
    let reached = segments.iter().filter(|segment| at.reaches(&***segment));
    let names: BTreeSet<&str> = reached.flat_map(|segment| segment.fields().keys().map(String::as_str)).collect();
    let mut error = ApiError::bad_request(format!("by: {}", warning.message));
    let more = if names.len() > FIELDS_SAID { ", …" } else { "" };
    let said: Vec<&str> = names.into_iter().take(FIELDS_SAID).collect();
    error.detail.hint = Some(format!("fields are {}{more}", said.join(", ")));
    Err(error)
}

fn id_of(text: &str) -> Result<EventId, ApiError> {
    text.parse().map_err(|error| ApiError::bad_request(format!("'{text}' is no event id: {error}")))
}

fn rows_of(name: &str, rows: Option<usize>) -> Result<usize, ApiError> {
    match rows.unwrap_or(CONTEXT_ROWS_DEFAULT) {
        rows if rows <= CONTEXT_ROWS_MAX => Ok(rows),
        _ => Err(ApiError::bad_request(format!("{name} is limited to {CONTEXT_ROWS_MAX}"))),
    }
}

fn missing(id: EventId) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("there is no event {id}: it is older than the retention, or never was"))
}

fn request(now_ns: i64, deadline: Instant, cancel: &AtomicBool, fields: Option<Vec<String>>) -> Request<'_> {
    Request {
        from_ns: None,
        to_ns: None,
        limit: 1,
        order: Order::Asc,
        cursor: None,
        fields,
        now_ns,
        deadline,
        memory_bytes: QUERY_MEMORY_BYTES_DEFAULT,
        cancel,
    }
}

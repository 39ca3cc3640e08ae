//! `GET /api/v1/events/{id}`: the permalink of one event, with its raw line.

use std::time::Instant;

use axum::Json;
use axum::extract::{Path, State};
use http::HeaderMap;
use logweir_proto::api::{ErrorCode, Order, Row};
use logweir_proto::query::ast::{Filter, Query};
use logweir_proto::record::EventId;

use super::App;
use super::error::ApiError;
use super::query::{Asked, collect, start};
use crate::auth::Scope;

/// All fields of the event, and `raw`.
pub async fn event(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Row>, ApiError> {
    app.auth.allow(&headers, Scope::Query)?;
    let id: EventId = id.parse().map_err(|error: logweir_proto::record::BadEventId| {
        ApiError::bad_request(format!("'{id}' is no event id: {error}"))
    })?;
    let segments = app.store.view().segments.clone();
    let mut row = first_row(&app, asked(id, None, &app), &segments, id).await?;
    let raw = first_row(&app, asked(id, Some(vec!["raw".to_owned()]), &app), &segments, id).await?;
    if let Some(raw) = raw.get("raw") {
        row.insert("raw".to_owned(), raw.clone());
    }
    Ok(Json(row))
}

async fn first_row(
    app: &App,
    asked: Asked,
    segments: &[std::sync::Arc<dyn crate::store::segment::Segment>],
    id: EventId,
) -> Result<Row, ApiError> {
    let answer = collect(start(app, asked, segments.to_vec())?, Instant::now()).await?;
    let text = id.to_string();
    let found = answer.rows.into_iter().find(|row| row.get("id").and_then(|v| v.as_str()) == Some(&text));
    found.ok_or_else(|| missing(id))
}

fn missing(id: EventId) -> ApiError {
    ApiError::new(ErrorCode::NotFound, format!("there is no event {id}: it is older than the retention, or never was"))
}

/// A search for the one row that follows the event before it.
fn asked(id: EventId, fields: Option<Vec<String>>, app: &App) -> Asked {
    Asked {
        query: Query { filter: Filter::All, since: None, until: None, pipes: Vec::new() },
        from_ns: Some(id.time_ns),
        to_ns: Some(id.time_ns.saturating_add(1)),
        limit: 1,
        order: Order::Asc,
        cursor: id.seq.checked_sub(1).map(|seq| EventId { seq, ..id }),
        fields,
        timeout: app.query_timeout,
        partial: true,
        now_ns: app.clock.now_ns(),
    }
}

//! Answers that are one value: `/api/v1/hits`, the histogram above the rows; `/fields` and `/facets`, what there is to
//! search for; `/patterns`, what messages have in common; `/explain`, what a query would cost.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, Request};
use logweir_proto::api::{HitsAnswer, HitsRequest, Order, PatternsRequest, QueryRequest};
use logweir_proto::query::ast::{Pipe, PipeKind, Span};
use logweir_proto::text::parse_duration;
use serde::Deserialize;
use serde_json::json;

use super::App;
use super::error::ApiError;
use super::query::{Asked, busy, collect, parse_query, read_request, search_error, start, time_of};
use crate::auth::Scope;
use crate::search::execute::{self, Explanation, LIMIT_DEFAULT};
use crate::search::facets::{self, Facets};
use crate::search::fields;
use crate::search::hits::{self, BUCKETS_DEFAULT, BUCKETS_MAX};
use crate::search::plan;
use crate::search::rows::names;
use crate::store::segment::Segment;

/// Values of a facet when nobody says, and at the most.
const FACET_VALUES_DEFAULT: usize = 10;
const FACET_VALUES_MAX: usize = 100;
/// Patterns when nobody says, and at the most.
const PATTERNS_DEFAULT: usize = 50;
const PATTERNS_SHOWN_MAX: usize = 1000;

/// `GET` and `POST /api/v1/hits`
pub async fn hits(
    State(app): State<App>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Result<Json<HitsAnswer>, ApiError> {
    let who = app.auth.allow(&headers, Scope::Query)?.name;
    let request: HitsRequest = read_request(request).await?;
    let buckets = request.buckets.unwrap_or(BUCKETS_DEFAULT);
    if buckets == 0 || buckets > BUCKETS_MAX {
        return Err(ApiError::bad_request(format!("buckets has to be 1 to {BUCKETS_MAX}")));
    }
    let by = request.by.unwrap_or_else(|| "level".to_owned());
    let asked = asked(&app, &who, request.query, request.from, request.to)?;
    let answer =
        run(&app, asked, move |asked, request, segments| hits::hits(&asked.query, request, buckets, &by, segments));
    answer.await.map(Json)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FacetsRequest {
    #[serde(default)]
    query: String,
    from: Option<String>,
    to: Option<String>,
    /// Comma-separated; default: all that are likely to have few values.
    fields: Option<String>,
    limit: Option<usize>,
}

/// `GET` and `POST /api/v1/facets`
pub async fn facets(
    State(app): State<App>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Result<Json<Facets>, ApiError> {
    let who = app.auth.allow(&headers, Scope::Query)?.name;
    let request: FacetsRequest = read_request(request).await?;
    let limit = request.limit.unwrap_or(FACET_VALUES_DEFAULT);
    if limit == 0 || limit > FACET_VALUES_MAX {
        return Err(ApiError::bad_request(format!("limit has to be 1 to {FACET_VALUES_MAX}")));
    }
    let fields = request.fields.as_deref().map(names);
    let asked = asked(&app, &who, request.query, request.from, request.to)?;
    let answer = run(&app, asked, move |asked, request, segments| {
        facets::facets(&asked.query, request, fields.as_deref(), limit, segments)
    });
    answer.await.map(Json)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldsRequest {
    from: Option<String>,
    to: Option<String>,
}

/// `GET /api/v1/fields`
pub async fn fields(
    State(app): State<App>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Result<Json<serde_json::Value>, ApiError> {
    app.auth.allow(&headers, Scope::Query)?;
    let request: FieldsRequest = read_request(request).await?;
    let now_ns = app.clock.now_ns();
    let from_ns = time_of("from", request.from.as_deref(), now_ns)?;
    let to_ns = time_of("to", request.to.as_deref(), now_ns)?;
    let range = plan::range(&parse_query("")?, from_ns, to_ns, now_ns);
    let store = app.store.clone();
    let list = app.query_pool.run(move || fields::list(&store.view().segments, range)).await.map_err(busy)?;
    Ok(Json(json!({"fields": list})))
}

/// `GET` and `POST /api/v1/explain`: the plan of a query, without running it.
pub async fn explain(
    State(app): State<App>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Result<Json<Explanation>, ApiError> {
    let who = app.auth.allow(&headers, Scope::Query)?.name;
    let request: QueryRequest = read_request(request).await?;
    let asked = Asked::new(&request, &who, &app)?;
    let answer = run(&app, asked, |asked, request, segments| execute::explain(&asked.query, request, segments));
    answer.await.map(Json)
}

fn asked(app: &App, who: &str, query: String, from: Option<String>, to: Option<String>) -> Result<Asked, ApiError> {
    Asked::new(&QueryRequest { query, from, to, ..QueryRequest::default() }, who, app)
}

/// `GET` and `POST /api/v1/patterns`
pub async fn patterns(
    State(app): State<App>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Result<Json<serde_json::Value>, ApiError> {
    let who = app.auth.allow(&headers, Scope::Query)?.name;
    let request: PatternsRequest = read_request(request).await?;
    let limit = request.limit.unwrap_or(PATTERNS_DEFAULT);
    if limit == 0 || limit > PATTERNS_SHOWN_MAX {
        return Err(ApiError::bad_request(format!("limit has to be 1 to {PATTERNS_SHOWN_MAX}")));
    }
    let new_ns = match request.new_since.as_deref() {
        None => None,
        Some(text) => match parse_duration(text).and_then(|span| i64::try_from(span.as_nanos()).ok()) {
            Some(ns) if ns > 0 => Some(ns),
            _ => return Err(ApiError::bad_request(format!("new_since: '{text}' is no duration such as 7d"))),
        },
    };
    let mut asked = asked(&app, &who, request.query, request.from, request.to)?;
    asked.query.pipes.push(Pipe { kind: PipeKind::Patterns { new_ns, limit }, span: Span::default() });
    let begun = Instant::now();
    let answer = collect(start(&app, &app.query_pool, asked, None)?, begun).await?;
    Ok(Json(json!({"patterns": answer.rows, "warnings": answer.warnings, "end": answer.end})))
}

/// Runs a search whose answer is one value.
pub(super) async fn run<T: Send + 'static>(
    app: &App,
    asked: Asked,
    search: impl FnOnce(&Asked, &execute::Request<'_>, &[Arc<dyn Segment>]) -> Result<T, crate::search::Error>
    + Send
    + 'static,
) -> Result<T, ApiError> {
    let store = app.store.clone();
    let (deadline, memory_bytes) = (Instant::now() + asked.timeout, app.query_memory_bytes);
    let open = app.queries.open(&asked.text, &asked.who, asked.now_ns)?;
    let flag = open.flag();
    let job = move || {
        let cancel: &AtomicBool = &flag;
        let request = execute::Request {
            from_ns: asked.from_ns,
            to_ns: asked.to_ns,
            limit: LIMIT_DEFAULT,
            order: Order::Desc,
            cursor: None,
            fields: None,
            now_ns: asked.now_ns,
            deadline,
            memory_bytes,
            cancel,
        };
        search(&asked, &request, &store.view().segments)
    };
    let answer = app.query_pool.run(job).await.map_err(busy)?;
    drop(open);
    answer.map_err(search_error)
}

//! Answers that are one value: `/api/v1/hits`, the histogram above the rows; `/fields` and `/facets`, what there is to
//! search for; `/patterns`, what messages have in common; `/explain`, what a query would cost.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, Request};
use logweir_proto::api::{
    End, HitsAnswer, HitsRequest, MissingRange, Order, PatternsRequest, QueryRequest, Row, Warning,
};
use logweir_proto::query::ast::{Pipe, PipeKind, Query, Span};
use logweir_proto::text::parse_duration;
use logweir_runtime::clock;
use logweir_runtime::pool::Pool;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::App;
use super::error::ApiError;
use super::extract::Path;
use super::query::{Asked, busy, failed, incomplete, millis, parse_query, read_request, search_error, time_of};
use crate::auth::Scope;
use crate::search::execute::{self, Explanation};
use crate::search::facets::{self, FacetValue, Facets, Shown};
use crate::search::fields;
use crate::search::hits::{self, BUCKETS_DEFAULT, BUCKETS_MAX};
use crate::search::patterns::{self, Found, PATTERN_BUCKETS_MAX};
use crate::search::plan;
use crate::search::rows::names;
use crate::search::together::{self, Whole};
use crate::store::segment::Segment;

/// Values of a facet when nobody says, and at the most.
const FACET_VALUES_DEFAULT: usize = 10;
const FACET_VALUES_MAX: usize = 100;
/// Values of one field, as a completion wants them.
const FIELD_VALUES_DEFAULT: usize = 20;
const FIELD_VALUES_MAX: usize = 1000;
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
    let buckets = within("buckets", request.buckets.unwrap_or(BUCKETS_DEFAULT), BUCKETS_MAX)?;
    let by = request.by.unwrap_or_else(|| "level".to_owned());
    let compare_ns = request.compare.as_deref().map(|text| span_of("compare", text)).transpose()?;
    let HitsRequest { query, from, to, timeout, partial, .. } = request;
    let asked = Asked::new(&QueryRequest { query, from, to, timeout, partial, ..QueryRequest::default() }, &who, &app)?;
    let partial = asked.partial;
    let answer = run(&app, asked, move |asked, request, segments| {
        hits::hits(&asked.query, request, buckets, &by, compare_ns, segments)
    });
    let answer = answer.await?;
    if partial || answer.complete {
        return Ok(Json(answer));
    }
    let before = answer.previous.iter().flat_map(|previous| &previous.missing);
    Err(incomplete(&answer.missing.iter().chain(before).cloned().collect::<Vec<_>>()))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FacetsRequest {
    #[serde(default)]
    query: String,
    from: Option<String>,
    to: Option<String>,
    /// Comma-separated; default: all that are likely to have few values.
    fields: Option<String>,
    limit: Option<usize>,
    timeout: Option<String>,
    partial: Option<bool>,
}

/// `GET` and `POST /api/v1/facets`
pub async fn facets(
    State(app): State<App>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Result<Json<Facets>, ApiError> {
    let who = app.auth.allow(&headers, Scope::Query)?.name;
    let request: FacetsRequest = read_request(request).await?;
    let limit = within("limit", request.limit.unwrap_or(FACET_VALUES_DEFAULT), FACET_VALUES_MAX)?;
    let fields = request.fields.as_deref().map(names);
    let FacetsRequest { query, from, to, timeout, partial, .. } = request;
    let asked = Asked::new(&QueryRequest { query, from, to, timeout, partial, ..QueryRequest::default() }, &who, &app)?;
    let partial = asked.partial;
    let answer = run(&app, asked, move |asked, request, segments| {
        facets::facets(&asked.query, request, fields.as_deref(), Shown { limit, prefix: "" }, segments)
    });
    let answer = answer.await?;
    // A sample is what was asked for: only what could not be read is missing.
    if partial || answer.missing.is_empty() { Ok(Json(answer)) } else { Err(incomplete(&answer.missing)) }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldValuesRequest {
    /// Which events; all when it is left out.
    #[serde(default)]
    query: String,
    from: Option<String>,
    to: Option<String>,
    /// The beginning of the values, in whatever case.
    #[serde(default)]
    q: String,
    limit: Option<usize>,
    timeout: Option<String>,
}

/// `GET /api/v1/fields/{name}/values`
pub async fn field_values(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Result<Json<FieldValues>, ApiError> {
    let who = app.auth.allow(&headers, Scope::Query)?.name;
    let request: FieldValuesRequest = read_request(request).await?;
    let limit = within("limit", request.limit.unwrap_or(FIELD_VALUES_DEFAULT), FIELD_VALUES_MAX)?;
    let FieldValuesRequest { query, from, to, timeout, q: prefix, .. } = request;
    let asked = Asked::new(&QueryRequest { query, from, to, timeout, ..QueryRequest::default() }, &who, &app)?;
    let field = [name.clone()];
    let answer = run(&app, asked, move |asked, request, segments| {
        facets::facets(&asked.query, request, Some(&field), Shown { limit, prefix: &prefix }, segments)
    });
    let Facets { mut facets, complete, missing, warnings, .. } = answer.await?;
    let facet = facets.pop();
    let (rows, distinct) = facet.as_ref().map_or((0, 0), |facet| (facet.rows, facet.distinct));
    let values = facet.map(|facet| facet.values).unwrap_or_default();
    Ok(Json(FieldValues { field: name, values, rows, distinct, complete, missing, warnings }))
}

/// The values of one field.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FieldValues {
    pub field: String,
    /// The most frequent first.
    pub values: Vec<FacetValue>,
    /// Events of the sample that have the field.
    pub rows: u64,
    /// Different values among them.
    pub distinct: usize,
    /// `false` when there were more events than the sample.
    pub complete: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<MissingRange>,
    /// When no event has the field, with what was probably meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// A number of something that has a limit.
fn within(name: &str, number: usize, most: usize) -> Result<usize, ApiError> {
    if (1..=most).contains(&number) {
        return Ok(number);
    }
    Err(ApiError::bad_request(format!("{name} has to be 1 to {most}")))
}

fn span_of(name: &str, text: &str) -> Result<i64, ApiError> {
    match parse_duration(text).and_then(|span| i64::try_from(span.as_nanos()).ok()) {
        Some(ns) if ns > 0 => Ok(ns),
        _ => Err(ApiError::bad_request(format!("{name}: '{text}' is no duration such as 7d"))),
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
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
) -> Result<Json<Fields>, ApiError> {
    app.auth.allow(&headers, Scope::Query)?;
    let request: FieldsRequest = read_request(request).await?;
    let now_ns = app.clock.now_ns();
    let from_ns = time_of("from", request.from.as_deref(), now_ns)?;
    let to_ns = time_of("to", request.to.as_deref(), now_ns)?;
    let range = plan::range(&parse_query("")?, from_ns, to_ns, now_ns);
    let store = app.store.clone();
    let job = move || {
        let view = store.view();
        let mut fields = fields::list(&view.segments, range);
        fields::estimate(&mut fields, &view.segments, range);
        fields
    };
    let fields = app.query_pool.run(job).await.map_err(busy)?;
    Ok(Json(Fields { fields }))
}

/// The fields that some event has.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Fields {
    pub fields: Vec<fields::FieldInfo>,
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

/// `GET` and `POST /api/v1/patterns`
pub async fn patterns(
    State(app): State<App>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Result<Json<PatternsAnswer>, ApiError> {
    let who = app.auth.allow(&headers, Scope::Query)?.name;
    let request: PatternsRequest = read_request(request).await?;
    let limit = within("limit", request.limit.unwrap_or(PATTERNS_DEFAULT), PATTERNS_SHOWN_MAX)?;
    let new_ns = request.new_since.as_deref().map(|text| span_of("new_since", text)).transpose()?;
    let buckets = match request.buckets {
        None | Some(0) => 0,
        Some(buckets) => within("buckets", buckets, PATTERN_BUCKETS_MAX)?,
    };
    let PatternsRequest { query, from, to, timeout, partial, .. } = request;
    let request = QueryRequest { query, from, to, timeout, partial, ..QueryRequest::default() };
    let mut asked = Asked::new(&request, &who, &app)?;
    asked.query.pipes.push(Pipe { kind: PipeKind::Patterns { new_ns, limit }, span: Span::default() });
    let (begun, partial) = (Instant::now(), asked.partial);
    let found =
        run(&app, asked, move |asked, request, segments| patterns::found(&asked.query, request, buckets, segments));
    let Found { rows, bars_ns, mut outcome } = found.await?;
    if !partial && !outcome.is_complete() {
        return Err(incomplete(&outcome.missing));
    }
    let warnings = std::mem::take(&mut outcome.warnings);
    Ok(Json(PatternsAnswer {
        patterns: rows,
        buckets_from: bars_ns.map(|(first_ns, _)| clock::rfc3339(first_ns)),
        width_ms: bars_ns.map(|(_, width_ns)| width_ns / 1_000_000),
        warnings,
        end: outcome.into_end(millis(begun)),
    }))
}

/// What messages have in common.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PatternsAnswer {
    /// `pattern`, `count`, `level`, `first_seen`, `last_seen`, `sample` (an event's id), `pattern_id`, and `buckets`
    /// when they were asked for.
    pub patterns: Vec<Row>,
    /// Start of the first bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buckets_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width_ms: Option<i64>,
    pub warnings: Vec<Warning>,
    pub end: End,
}

/// Many queries over the same events, for the rules: their rows, and how each ended. `asked` says all but the queries.
pub async fn together(
    app: &App,
    asked: Asked,
    queries: Vec<Query>,
) -> Result<Vec<Result<(Vec<Row>, End), ApiError>>, ApiError> {
    let begun = Instant::now();
    let search = move |_: &Asked, request: &execute::Request<'_>, segments: &[Arc<dyn Segment>]| {
        Ok(together::run(&queries, request, segments))
    };
    let answers = run_on(&app.rules_pool, app, asked, search).await?.into_iter();
    let end = |answer: Result<Whole, _>| {
        let (rows, outcome) = answer.map_err(search_error)?;
        Ok((rows, outcome.into_end(millis(begun))))
    };
    Ok(answers.map(end).collect())
}

/// Runs a search whose answer is one value.
pub(super) async fn run<T: Send + 'static>(
    app: &App,
    asked: Asked,
    search: impl FnOnce(&Asked, &execute::Request<'_>, &[Arc<dyn Segment>]) -> Result<T, crate::search::Error>
    + Send
    + 'static,
) -> Result<T, ApiError> {
    run_on(&app.query_pool, app, asked, search).await
}

async fn run_on<T: Send + 'static>(
    pool: &Pool,
    app: &App,
    asked: Asked,
    search: impl FnOnce(&Asked, &execute::Request<'_>, &[Arc<dyn Segment>]) -> Result<T, crate::search::Error>
    + Send
    + 'static,
) -> Result<T, ApiError> {
    let store = app.store.clone();
    let (deadline, memory_bytes) = (Instant::now() + asked.timeout, app.query_memory_bytes);
    let open = app.queries.open(&asked.text, &asked.who, asked.now_ns, asked.timeout).await?;
    let flag = open.flag();
    let job = move || {
        let cancel: &AtomicBool = &flag;
        let request = execute::Request {
            from_ns: asked.from_ns,
            to_ns: asked.to_ns,
            limit: asked.limit,
            order: Order::Desc,
            cursor: None,
            fields: None,
            now_ns: asked.now_ns,
            deadline,
            memory_bytes,
            cancel,
        };
        search(&asked, &request, &store.view().segments).map_err(|error| failed(error, &asked))
    };
    let answer = pool.run(job).await.map_err(busy)?;
    drop(open);
    answer
}

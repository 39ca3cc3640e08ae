//! The HTTP API of the aggregator, and the page.

pub mod console;
pub mod error;
pub mod events;
pub mod health;
pub mod ingest;
pub mod query;
pub mod sources;
pub mod tail;
pub mod values;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use logweir_proto::api::ErrorCode;
use logweir_runtime::clock::Clock;
use logweir_runtime::drain::Drain;
use logweir_runtime::pool::Pool;
use tower_http::catch_panic::CatchPanicLayer;

use self::error::ApiError;
use crate::auth::{Auth, Scope};
use crate::live::Live;
use crate::receive::admission::Admission;
use crate::receive::sources::Sources;
use crate::receive::writer::{SharedRanges, WriterHandle};
use crate::store::service::Store;

/// Asked by `/health/ready` for one part: `Err` says what is wrong.
pub type Probe = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub auth: Auth,
    pub clock: Clock,
    pub admission: Admission,
    pub writer: WriterHandle,
    pub sources: Sources,
    pub ranges: SharedRanges,
    pub store: Store,
    pub live: Live,
    /// Decodes what comes in; apart from the queries, so that neither starves the other.
    pub ingest_pool: Pool,
    pub query_pool: Pool,
    pub query_timeout: Duration,
    /// Most memory of one aggregation.
    pub query_memory_bytes: usize,
    pub probes: Arc<Vec<(&'static str, Probe)>>,
    pub drain: Drain,
}

/// All routes of the aggregator.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/", get(console::page))
        .route("/e/{id}", get(console::page))
        .route("/assets/{*path}", get(console::asset))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/api/v1/batches", post(ingest::batches))
        .route("/api/v1/ingest", post(ingest::ingest))
        .route("/api/v1/query", get(query::query).post(query::query))
        .route("/api/v1/hits", get(values::hits).post(values::hits))
        .route("/api/v1/facets", get(values::facets).post(values::facets))
        .route("/api/v1/fields", get(values::fields))
        .route("/api/v1/explain", get(values::explain).post(values::explain))
        .route("/api/v1/events/{id}", get(events::event))
        .route("/api/v1/events/{id}/context", get(events::context))
        .route("/api/v1/tail", get(tail::tail))
        .route("/api/v1/sources", get(sources::list))
        .with_state(app)
}

/// A middleware that lets requests pass whose token may query: for the routers of other crates.
pub async fn require_query(State(app): State<App>, request: Request, next: Next) -> Result<Response, ApiError> {
    app.auth.allow(request.headers(), Scope::Query)?;
    Ok(next.run(request).await)
}

/// What every router of the server gets in the end: answers for unknown paths and wrong methods, and for panics.
pub fn finish(router: Router) -> Router {
    router
        .fallback(|| async { ApiError::new(ErrorCode::NotFound, "there is nothing at this path").into_response() })
        .method_not_allowed_fallback(|| async {
            ApiError::new(ErrorCode::MethodNotAllowed, "this path does not take that method").into_response()
        })
        .layer(CatchPanicLayer::custom(|_| {
            ApiError::new(ErrorCode::Internal, "a bug of the server: its log has the place").into_response()
        }))
}

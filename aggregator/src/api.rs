//! The HTTP API of the aggregator, and the page.

pub mod console;
pub mod error;
pub mod events;
pub mod exports;
pub mod extract;
pub mod health;
pub mod ingest;
pub mod openapi;
pub mod queries;
pub mod query;
pub mod routes;
pub mod sources;
pub mod tail;
pub mod values;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use logweir_proto::api::ErrorCode;
use logweir_runtime::clock::Clock;
use logweir_runtime::drain::Drain;
use logweir_runtime::pool::Pool;
use tower_http::catch_panic::CatchPanicLayer;

use self::error::ApiError;
use self::exports::Exports;
pub use self::openapi::Other;
use self::queries::Queries;
pub use self::routes::{Access, Route, router, routes};
use crate::auth::{Auth, Scope};
use crate::live::Live;
use crate::receive::admission::Admission;
use crate::receive::sources::Sources;
use crate::receive::writer::{SharedRanges, WriterHandle};
use crate::store::service::Store;
use logweir_runtime::threads::Threads;

/// Asked by `/health/ready` for one part: `Err` says why it does not work, `Ok` what is not as it should be although
/// it does.
pub type Probe = Arc<dyn Fn() -> Result<Option<String>, String> + Send + Sync>;

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
    pub queries: Queries,
    pub exports: Exports,
    /// Decodes what comes in; apart from the queries, so that neither starves the other.
    pub ingest_pool: Pool,
    pub query_pool: Pool,
    /// Alerting's own, so that no number of people's searches keeps rules from their turn.
    pub rules_pool: Pool,
    pub query_timeout: Duration,
    pub stages: Threads,
    /// Most memory of one aggregation.
    pub query_memory_bytes: usize,
    pub probes: Arc<Vec<(&'static str, Probe)>>,
    pub drain: Drain,
}

/// A middleware that lets requests pass whose token has a scope: for the routers of other crates.
pub async fn require(
    State((app, scope)): State<(App, Scope)>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    app.auth.allow(request.headers(), scope)?;
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

#[cfg(test)]
mod tests;

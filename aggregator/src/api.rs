//! The HTTP API of the aggregator, and the page.

pub mod console;
pub mod error;
pub mod events;
pub mod exports;
pub mod extract;
pub mod health;
pub mod ingest;
pub mod queries;
pub mod query;
pub mod sources;
pub mod tail;
pub mod values;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;
use logweir_proto::api::ErrorCode;
use logweir_runtime::clock::Clock;
use logweir_runtime::drain::Drain;
use logweir_runtime::pool::Pool;
use tower_http::catch_panic::CatchPanicLayer;

use self::error::ApiError;
use self::exports::Exports;
use self::queries::Queries;
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

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Open,
    Needs(Scope),
}

/// One path of the API. The handler checks the access itself: it needs to know who asks.
pub struct Route {
    pub methods: &'static [Method],
    pub path: &'static str,
    pub access: Access,
    handler: MethodRouter<App>,
}

impl Route {
    fn new<H: Handler<T, App>, T: 'static>(
        methods: &'static [Method],
        path: &'static str,
        access: Access,
        handler: H,
    ) -> Route {
        let filters = methods.iter().map(|method| match *method {
            Method::POST => MethodFilter::POST,
            Method::DELETE => MethodFilter::DELETE,
            _ => MethodFilter::GET,
        });
        let filter = filters.reduce(MethodFilter::or).unwrap_or(MethodFilter::GET);
        Route { methods, path, access, handler: on(filter, handler) }
    }
}

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const DELETE: &[Method] = &[Method::DELETE];
const GET_POST: &[Method] = &[Method::GET, Method::POST];

/// Every route of the aggregator: the router is made of them, and so are its tests.
pub fn routes() -> Vec<Route> {
    use self::Access::{Needs, Open};
    let query = Needs(Scope::Query);
    vec![
        Route::new(GET, "/", Open, console::page),
        Route::new(GET, "/e/{id}", Open, console::page),
        Route::new(GET, "/assets/{*path}", Open, console::asset),
        Route::new(GET, "/health/live", Open, health::live),
        Route::new(GET, "/health/ready", Open, health::ready),
        Route::new(GET, "/metrics", Needs(Scope::Metrics), health::metrics),
        Route::new(POST, "/api/v1/batches", Needs(Scope::Ingest), ingest::batches),
        Route::new(POST, "/api/v1/ingest", Needs(Scope::Ingest), ingest::ingest),
        Route::new(GET_POST, "/api/v1/query", query, query::query),
        Route::new(GET_POST, "/api/v1/hits", query, values::hits),
        Route::new(GET_POST, "/api/v1/facets", query, values::facets),
        Route::new(GET_POST, "/api/v1/patterns", query, values::patterns),
        Route::new(GET, "/api/v1/fields", query, values::fields),
        Route::new(GET, "/api/v1/queries", query, queries::list),
        Route::new(DELETE, "/api/v1/queries/{id}", query, queries::cancel),
        Route::new(GET, "/api/v1/exports", query, exports::list),
        Route::new(POST, "/api/v1/exports", query, exports::create),
        Route::new(GET, "/api/v1/exports/{id}", query, exports::show),
        Route::new(DELETE, "/api/v1/exports/{id}", query, exports::delete),
        Route::new(GET, "/api/v1/exports/{id}/data", query, exports::data),
        Route::new(GET_POST, "/api/v1/explain", query, values::explain),
        Route::new(GET, "/api/v1/events/{id}", query, events::event),
        Route::new(GET, "/api/v1/events/{id}/context", query, events::context),
        Route::new(GET, "/api/v1/tail", Needs(Scope::Tail), tail::tail),
        Route::new(GET, "/api/v1/sources", query, sources::list),
    ]
}

/// The router of [`routes`].
pub fn router(app: App) -> Router {
    let add = |router: Router<App>, route: Route| router.route(route.path, route.handler);
    routes().into_iter().fold(Router::new(), add).with_state(app)
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

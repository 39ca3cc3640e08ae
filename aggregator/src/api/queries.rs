//! `GET /api/v1/queries`, what is being searched, and `DELETE /api/v1/queries/{id}`, which ends one.
//!
//! A search is listed from the moment that it waits for a thread until its answer is taken or its client has gone.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use logweir_proto::api::{ErrorCode, RunningQueries, RunningQuery};
use logweir_runtime::clock::{self, Nanos};
use logweir_runtime::pool::CancelOnDrop;

use super::App;
use super::error::ApiError;
use super::extract::Path;
use crate::auth::Scope;

/// Searches that one token may have open, running and waiting together.
pub const OPEN_QUERIES_MAX: usize = 20;

/// The searches of a server. Cheap to clone; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Queries(Arc<Mutex<BTreeMap<String, Entry>>>);

#[derive(Debug)]
struct Entry {
    query: String,
    who: String,
    since_ns: Nanos,
    begun: Instant,
    cancel: Arc<AtomicBool>,
}

/// One search that is open; it ends, and leaves the list, when this is dropped.
#[derive(Debug)]
pub struct Open {
    pub id: String,
    guard: CancelOnDrop,
    queries: Queries,
}

impl Queries {
    /// Puts a search on the list, unless its owner has too many.
    pub fn open(&self, query: &str, who: &str, now_ns: Nanos) -> Result<Open, ApiError> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.values().filter(|entry| entry.who == who).count() >= OPEN_QUERIES_MAX {
            let message = format!("{OPEN_QUERIES_MAX} queries of this token are open: wait for one, or end it");
            return Err(ApiError::new(ErrorCode::RateLimited, message).retry_after(1));
        }
        let (id, guard) = (ulid::Ulid::new().to_string(), CancelOnDrop::default());
        let (query, who, begun) = (query.to_owned(), who.to_owned(), Instant::now());
        entries.insert(id.clone(), Entry { query, who, since_ns: now_ns, begun, cancel: guard.flag() });
        Ok(Open { id, guard, queries: self.clone() })
    }

    fn list(&self) -> Vec<RunningQuery> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = entries.iter().map(|(id, entry)| RunningQuery {
            id: id.clone(),
            query: entry.query.clone(),
            who: entry.who.clone(),
            since: clock::rfc3339(entry.since_ns),
            ms: super::query::millis(entry.begun),
        });
        shown.collect()
    }

    /// Whether there was such a search.
    fn cancel(&self, id: &str) -> bool {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = entries.get(id);
        found.inspect(|entry| entry.cancel.store(true, Ordering::Relaxed)).is_some()
    }
}

impl Open {
    /// Set when the search shall end.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.guard.flag()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.queries.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// `GET /api/v1/queries`
pub async fn list(State(app): State<App>, headers: HeaderMap) -> Result<Json<RunningQueries>, ApiError> {
    app.auth.allow(&headers, Scope::Query)?;
    Ok(Json(RunningQueries { queries: app.queries.list() }))
}

/// `DELETE /api/v1/queries/{id}`
pub async fn cancel(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    app.auth.allow(&headers, Scope::Query)?;
    if app.queries.cancel(&id) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::new(ErrorCode::NotFound, "no query of this id is running"))
    }
}

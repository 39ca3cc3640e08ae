//! `GET /api/v1/queries`, what is being searched, and `DELETE /api/v1/queries/{id}`, which ends one.
//!
//! A search is listed from the moment that it waits for its turn until its answer is taken or its client has gone. A
//! token has a number of searches at a time, `limits.queries_running`; `limits.queries_waiting` more wait for a turn,
//! as long as their timeout, and what comes then is refused.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use logweir_proto::api::{ErrorCode, RunningQueries, RunningQuery};
use logweir_runtime::clock::{self, Nanos};
use logweir_runtime::pool::CancelOnDrop;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::App;
use super::error::ApiError;
use super::extract::Path;
use super::query::ALERTING;
use crate::auth::Scope;

/// Searches that one token may have open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    pub running: usize,
    pub waiting: usize,
}

/// The searches of a server. Cheap to clone; clones share them.
#[derive(Debug, Clone)]
pub struct Queries {
    limits: QueryLimits,
    state: Arc<Mutex<Book>>,
}

#[derive(Debug, Default)]
struct Book {
    entries: BTreeMap<String, Entry>,
    /// By token, as long as it has a search.
    turns: BTreeMap<String, Arc<Semaphore>>,
}

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
    turn: Option<OwnedSemaphorePermit>,
}

impl Queries {
    pub fn new(limits: QueryLimits) -> Queries {
        Queries { limits, state: Arc::default() }
    }

    /// Puts a search on the list and waits for its turn, unless its owner has too many.
    pub async fn open(&self, query: &str, who: &str, now_ns: Nanos, patience: Duration) -> Result<Open, ApiError> {
        let (mut open, turns) = self.enter(query, who, now_ns)?;
        // The rules have a pool of their own, whose queue bounds them.
        if who == ALERTING {
            return Ok(open);
        }
        let turn = tokio::time::timeout(patience, turns.acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            let message = "the other queries of this token took all of the timeout: wait for one, or end it";
            return Err(ApiError::new(ErrorCode::RateLimited, message).retry_after(1));
        };
        open.turn = Some(turn);
        Ok(open)
    }

    fn enter(&self, query: &str, who: &str, now_ns: Nanos) -> Result<(Open, Arc<Semaphore>), ApiError> {
        let QueryLimits { running, waiting } = self.limits;
        let mut state = self.state();
        let count = state.entries.values().filter(|entry| entry.who == who).count();
        if count >= running.saturating_add(waiting) && who != ALERTING {
            let message = format!(
                "limits.queries_running ({running}) and limits.queries_waiting ({waiting}) of this token are reached: \
                 wait for a query, or end one"
            );
            return Err(ApiError::new(ErrorCode::RateLimited, message).retry_after(1));
        }
        let turns = state.turns.entry(who.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(running)));
        let turns = Arc::clone(turns);
        let (id, guard) = (ulid::Ulid::new().to_string(), CancelOnDrop::default());
        let (query, who, begun) = (query.to_owned(), who.to_owned(), Instant::now());
        state.entries.insert(id.clone(), Entry { query, who, since_ns: now_ns, begun, cancel: guard.flag() });
        Ok((Open { id, guard, queries: self.clone(), turn: None }, turns))
    }

    fn state(&self) -> MutexGuard<'_, Book> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn list(&self) -> Vec<RunningQuery> {
        let state = self.state();
        let shown = state.entries.iter().map(|(id, entry)| RunningQuery {
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
        let state = self.state();
        let found = state.entries.get(id);
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
        let mut state = self.queries.state();
        let Some(Entry { who, .. }) = state.entries.remove(&self.id) else { return };
        if !state.entries.values().any(|entry| entry.who == who) {
            state.turns.remove(&who);
        }
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

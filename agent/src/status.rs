//! What a running agent can be asked: is it alive, does it get rid of its lines. For `/health` and the watchdog.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::ship::policy::Why;

/// The loop turns at least every five seconds; one that has not for so long hangs in a file system, or in a bug.
pub const STALLED_AFTER: Duration = Duration::from_secs(60);
/// A server may be away for a moment; after this time the agent says that it cannot deliver.
pub const FAILING_AFTER: Duration = Duration::from_secs(60);

/// Cheap to clone; clones share what they know.
#[derive(Debug, Clone)]
pub struct Status(Arc<Mutex<Seen>>);

#[derive(Debug)]
struct Seen {
    turned: Instant,
    failing: Option<(Instant, Why)>,
    delivered: Option<Instant>,
    files: u32,
    lag_bytes: u64,
}

/// One part of `/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    pub name: &'static str,
    pub ok: bool,
    pub reason: String,
}

impl Status {
    pub fn new() -> Status {
        let seen = Seen { turned: Instant::now(), failing: None, delivered: None, files: 0, lag_bytes: 0 };
        Status(Arc::new(Mutex::new(seen)))
    }

    /// The loop has done all that was due.
    pub fn turned(&self) {
        self.with(|seen| seen.turned = Instant::now());
    }

    pub fn delivered(&self) {
        self.with(|seen| {
            seen.failing = None;
            seen.delivered = Some(Instant::now());
        });
    }

    pub fn failed(&self, why: Why) {
        self.with(|seen| {
            let since = seen.failing.map_or_else(Instant::now, |(since, _)| since);
            seen.failing = Some((since, why));
        });
    }

    pub fn saw(&self, files: u32, lag_bytes: u64) {
        self.with(|seen| (seen.files, seen.lag_bytes) = (files, lag_bytes));
    }

    /// Whether the loop turns: what a watchdog wants to know. A server that is away does not count.
    pub fn is_alive(&self) -> bool {
        self.with(|seen| seen.turned.elapsed() < STALLED_AFTER)
    }

    /// Why the last try to deliver failed; `None` when it did not.
    pub fn trouble(&self) -> Option<Why> {
        self.with(|seen| seen.failing.map(|(_, why)| why))
    }

    /// Each part with its reason.
    pub fn parts(&self) -> Vec<Part> {
        self.with(|seen| {
            let turned = seen.turned.elapsed();
            let stalled = turned >= STALLED_AFTER;
            let reason = if stalled { format!("no turn for {} s", turned.as_secs()) } else { String::new() };
            let tail = Part { name: "tail", ok: !stalled, reason };
            let failing = seen.failing.filter(|(since, _)| since.elapsed() >= FAILING_AFTER);
            let reason = failing.map_or_else(String::new, |(since, why)| {
                format!("{} for {} s: {}", why.as_str(), since.elapsed().as_secs(), why.hint())
            });
            vec![tail, Part { name: "delivery", ok: failing.is_none(), reason }]
        })
    }

    /// Files that are followed, bytes of them that are not stored yet, and how long ago a batch was stored.
    pub fn figures(&self) -> (u32, u64, Option<Duration>) {
        self.with(|seen| (seen.files, seen.lag_bytes, seen.delivered.map(|at| at.elapsed())))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Seen) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for Status {
    fn default() -> Status {
        Status::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_away_is_no_reason_to_be_killed() {
        let status = Status::new();
        status.failed(Why::Unreachable);
        tokio::time::advance(FAILING_AFTER).await;
        status.turned();
        status.failed(Why::ServerError);
        assert!(status.is_alive());
        let parts = status.parts();
        assert!(parts[0].ok && !parts[1].ok);
        assert!(parts[1].reason.starts_with("server_error for 60 s: "), "{parts:?}");
        status.delivered();
        tokio::time::advance(STALLED_AFTER).await;
        assert!(!status.is_alive());
        let parts = status.parts();
        assert!(!parts[0].ok && parts[1].ok, "{parts:?}");
    }
}

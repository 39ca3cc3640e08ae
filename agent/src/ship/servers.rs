//! Which server of the fail-over list is asked. Pure: the caller says what happened and when.
//!
//! The first of the list is the one that is meant. Another one takes over when it has failed for [`SWITCH_AFTER`], and
//! keeps the work until [`RETURN_AFTER`], so that a server that comes and goes does not spread a source over both.

use std::time::Duration;

use tokio::time::Instant;

use super::policy::Why;

/// A server that worked is asked for so long before the next one is: a restart of it is no reason to go elsewhere.
pub const SWITCH_AFTER: Duration = Duration::from_secs(10);
/// After so long with another server the first one is tried again.
pub const RETURN_AFTER: Duration = Duration::from_secs(300);

/// What a failure led to, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It answers, or it has just begun to fail, or there is no other.
    Stay,
    /// The server with this number is asked next.
    Switch(usize),
}

#[derive(Debug, Clone)]
pub struct Servers {
    count: usize,
    current: usize,
    /// The current one has taken a batch since it became that.
    proven: bool,
    failing_since: Option<Instant>,
    away_since: Option<Instant>,
}

impl Servers {
    pub fn new(count: usize) -> Servers {
        Servers { count: count.max(1), current: 0, proven: true, failing_since: None, away_since: None }
    }

    /// The server for the next batch; it stays the same until it fails.
    pub fn choose(&mut self, now: Instant) -> usize {
        if self.away_since.is_some_and(|since| now.duration_since(since) >= RETURN_AFTER) {
            self.go_to(0, now);
        }
        self.current
    }

    pub fn worked(&mut self) {
        self.proven = true;
        self.failing_since = None;
    }

    pub fn failed(&mut self, why: Why, now: Instant) -> Next {
        let answers = match why {
            // It is there and it is ours: it wants us to wait.
            Why::Overloaded => true,
            Why::TokenRefused => self.proven,
            Why::Unreachable | Why::ServerError | Why::NotLogweir => false,
        };
        if answers || self.count < 2 {
            return Next::Stay;
        }
        let since = *self.failing_since.get_or_insert(now);
        if self.proven && now.duration_since(since) < SWITCH_AFTER {
            return Next::Stay;
        }
        self.go_to((self.current + 1) % self.count, now);
        Next::Switch(self.current)
    }

    fn go_to(&mut self, server: usize, now: Instant) {
        self.current = server;
        self.proven = false;
        self.failing_since = None;
        self.away_since = (server != 0).then_some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_stays_away_is_left_and_come_back_to() {
        let start = Instant::now();
        let mut servers = Servers::new(3);
        assert_eq!(servers.choose(start), 0);
        assert_eq!(servers.failed(Why::Unreachable, start), Next::Stay);
        assert_eq!(servers.failed(Why::Overloaded, after(start, 60)), Next::Stay);
        assert_eq!(servers.failed(Why::ServerError, after(start, 9)), Next::Stay);
        assert_eq!(servers.failed(Why::ServerError, after(start, 10)), Next::Switch(1));
        // One that has not shown that it works gets one try.
        assert_eq!(servers.failed(Why::TokenRefused, after(start, 11)), Next::Switch(2));
        servers.worked();
        assert_eq!(servers.failed(Why::TokenRefused, after(start, 12)), Next::Stay);
        assert_eq!(servers.choose(after(start, 310)), 2);
        assert_eq!(servers.choose(after(start, 312)), 0);
        assert_eq!(servers.failed(Why::Unreachable, after(start, 313)), Next::Switch(1));
        servers.worked();
        assert_eq!(servers.choose(after(start, 314)), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_server_is_asked_for_ever() {
        let start = Instant::now();
        let mut servers = Servers::new(1);
        for hours in 0..10 {
            assert_eq!(servers.failed(Why::Unreachable, after(start, hours * 3600)), Next::Stay);
        }
        assert_eq!(servers.choose(after(start, 36_000)), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_long_ago_does_not_count() {
        let start = Instant::now();
        let mut servers = Servers::new(2);
        servers.failed(Why::Unreachable, start);
        servers.worked();
        assert_eq!(servers.failed(Why::Unreachable, after(start, 100)), Next::Stay);
    }
}

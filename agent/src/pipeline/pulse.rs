//! When the agent says next how far all of its sources are.

use std::time::Duration;

use tokio::time::Instant;

/// A batch without lines says that the agent lives, when there was no other for this time.
pub(super) const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);
/// A server whose rules wait for the watermarks of idle sources may ask for more of them, but not for more than this.
pub(super) const HEARTBEAT_EVERY_MIN: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
pub(super) struct Pulse {
    pub(super) at: Instant,
    every: Duration,
}

impl Pulse {
    /// The first is due at once.
    pub(super) const fn new(now: Instant) -> Pulse {
        Pulse { at: now, every: HEARTBEAT_EVERY }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.at
    }

    pub(super) fn beat(&mut self, now: Instant) {
        self.at = now + self.every;
    }

    /// What the server wishes, in milliseconds; one that says nothing has none.
    pub(super) fn wish(&mut self, every_ms: Option<u64>, now: Instant) {
        let every = every_ms.map_or(HEARTBEAT_EVERY, Duration::from_millis);
        let every = every.clamp(HEARTBEAT_EVERY_MIN, HEARTBEAT_EVERY);
        if every < self.every {
            self.at = self.at.min(now + every);
        }
        self.every = every;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wish_is_heard_within_its_bounds_and_ends_with_the_answer_that_has_none() {
        let now = Instant::now();
        let mut pulse = Pulse::new(now);
        assert!(pulse.is_due(now));
        let mut next = |wish| {
            pulse.wish(wish, now);
            let (soon, ()) = (pulse.at - now, pulse.beat(now));
            (soon.as_millis(), (pulse.at - now).as_millis())
        };
        assert_eq!(next(None), (0, 5000));
        assert_eq!(next(Some(2000)), (2000, 2000));
        assert_eq!(next(Some(0)), (1000, 1000));
        assert_eq!(next(Some(u64::MAX)), (1000, 5000));
        assert_eq!(next(Some(1000)), (1000, 1000));
        assert_eq!(next(None), (1000, 5000));
    }
}

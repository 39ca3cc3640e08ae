//! Wall time, injected: code asks a [`Clock`], tests and replays set it. Durations are `tokio::time`'s business.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Nanoseconds since 1970-01-01T00:00:00Z.
pub type Nanos = i64;

pub const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// The source of wall time of one process.
#[derive(Debug, Clone)]
pub struct Clock(Inner);

#[derive(Debug, Clone)]
enum Inner {
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    pub const fn system() -> Clock {
        Clock(Inner::System)
    }

    /// A clock that stands still until it is set.
    pub fn manual(now: Nanos) -> Clock {
        Clock(Inner::Manual(Arc::new(AtomicI64::new(now))))
    }

    pub fn now_ns(&self) -> Nanos {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the system clock")]
            Inner::System => {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                since.map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
            }
            Inner::Manual(now) => now.load(Ordering::SeqCst),
        }
    }

    /// Sets a manual clock; the system clock is not ours to set, and is left alone.
    pub fn set(&self, now: Nanos) {
        if let Inner::Manual(slot) = &self.0 {
            slot.store(now, Ordering::SeqCst);
        }
    }
}

/// RFC 3339 in UTC with nanoseconds: `2026-11-20T09:13:36.536000000Z`.
pub fn rfc3339(ns: Nanos) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(ns)) {
        Ok(time) => format!("{time:.9}"),
        Err(_) => ns.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_with_all_their_digits() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc3339(1_763_630_016_536_000_001), "2025-11-20T09:13:36.536000001Z");
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(5);
        let copy = clock.clone();
        assert_eq!(clock.now_ns(), 5);
        copy.set(9);
        assert_eq!(clock.now_ns(), 9);
    }
}

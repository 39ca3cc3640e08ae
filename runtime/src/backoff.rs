//! Exponential back-off with full jitter, so that a thousand agents do not come back in the same second.

use std::time::Duration;

/// Delays that double from `base` to `max`; each is drawn evenly from the upper half of its step.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    attempt: u32,
    state: u64,
}

impl Backoff {
    /// `seed` separates the agents: their ids differ, so their jitter does.
    pub fn new(base: Duration, max: Duration, seed: u64) -> Backoff {
        Backoff { base, max, attempt: 0, state: seed | 1 }
    }

    pub fn reset(&mut self) {
        self.attempt = 0;
    }

    /// How long to wait before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        let step = self.base.saturating_mul(1 << self.attempt.min(20)).min(self.max);
        self.attempt = self.attempt.saturating_add(1);
        step / 2 + step.mul_f64(self.random() / 2.0)
    }

    /// xorshift64: jitter needs no better, and a dependency less is a dependency less.
    fn random(&mut self) -> f64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_maximum_and_start_again_after_a_reset() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2), 42);
        let delays: Vec<u128> = (0..8).map(|_| backoff.next_delay().as_millis()).collect();
        for (i, delay) in delays.iter().enumerate() {
            let step = (100 << i).min(2000);
            assert!((step / 2..=step).contains(delay), "delay {i} is {delay} ms, step {step}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(100));
    }
}

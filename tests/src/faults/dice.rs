//! Random numbers that a seed repeats, for tests and benchmarks.

use std::time::Duration;

/// A small generator of random numbers (xorshift64*): a test needs moments, not statistics.
#[derive(Debug, Clone)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// From `LOGWEIR_SEED`, or new ones; the seed is printed, so that a failed run can be repeated.
    pub fn from_env() -> Dice {
        #[expect(clippy::disallowed_methods, reason = "the seed of a test run is not configuration of the product")]
        let given = std::env::var("LOGWEIR_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| logweir_runtime::clock::Clock::system().now_ns().unsigned_abs());
        eprintln!("LOGWEIR_SEED={seed}");
        Dice::new(seed)
    }

    pub fn new(seed: u64) -> Dice {
        // The state must not be zero, and nearby seeds must not begin alike.
        Dice { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 }
    }

    pub fn next_u64(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number from 0 to `end`, without it.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_u64() % end.max(1)
    }

    /// Puts the elements in an order of its own.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let with = usize::try_from(self.below(last as u64 + 1)).unwrap_or(0);
            items.swap(last, with);
        }
    }

    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

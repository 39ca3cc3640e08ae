//! Faults to throw at a running system, at moments that a seed repeats.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::harness::process::succeed;
use crate::harness::programs;

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

/// A file system of a fixed size in memory, unmounted when dropped. Needs root.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    pub async fn mount(path: PathBuf, size: &str) -> anyhow::Result<SmallDisk> {
        std::fs::create_dir_all(&path)?;
        let mut mount = Command::new(programs::installed("mount")?);
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&path);
        succeed(mount).await?;
        Ok(SmallDisk { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it another size while it is in use.
    pub async fn resize(&self, size: &str) -> anyhow::Result<()> {
        let mut mount = Command::new(programs::installed("mount")?);
        mount.args(["-o", &format!("remount,size={size}")]).arg(&self.path);
        succeed(mount).await.map(drop)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, for a process that was killed may still be on its way out.
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_keeps_every_element() {
        let mut items: Vec<u32> = (0..20).collect();
        Dice::new(3).shuffle(&mut items);
        assert_ne!(items, (0..20).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn the_same_seed_throws_the_same_numbers() {
        let throws = |seed| {
            let mut dice = Dice::new(seed);
            (0..50).map(|_| dice.below(100)).collect::<Vec<_>>()
        };
        assert_eq!(throws(7), throws(7));
        assert_ne!(throws(7), throws(8));
        assert!(throws(0).iter().any(|throw| *throw != 0));
    }
}

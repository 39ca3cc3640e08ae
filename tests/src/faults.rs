//! Faults to throw at a running system, at moments that a seed repeats.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::harness::process::succeed;
use crate::harness::programs;

pub mod dice;
pub mod gate;
pub mod mirror;

pub use dice::Dice;
pub use gate::{Gate, Mood};
pub use mirror::Mirror;

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

//! The program that logs, and what rotates its log.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio::process::Command;
use tokio::time::{MissedTickBehavior, interval};

use crate::faults::gate::POISON;
use crate::harness::{ledger, process, programs};

const TICK: Duration = Duration::from_millis(10);
const TICKS_PER_S: u64 = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rotation {
    Rename,
    /// Renamed and compressed by `gzip`.
    Gzip,
    CopyTruncate,
    /// Each in turn.
    Mixed,
}

/// How lines come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) lines: u64,
    pub(super) pace: u64,
    /// After so many lines.
    pub(super) rotate: Option<(u64, Rotation)>,
}

#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    log: File,
    written: u64,
    rotations: u64,
    /// Every so many lines carry the word that a poisoned gate refuses.
    poison_every: Option<u64>,
}

impl Writer {
    pub(super) fn open(path: PathBuf) -> anyhow::Result<Writer> {
        Ok(Writer { log: append(&path)?, path, written: 0, rotations: 0, poison_every: None })
    }

    pub(super) fn poison(&mut self, every: u64) {
        self.poison_every = Some(every);
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// The line of a number is always the same: so its bytes are known when it is lost.
    pub(super) fn line(&self, number: u64) -> String {
        let poison = self.poison_every.is_some_and(|every| number % every == every / 2);
        let word = if poison { POISON } else { "placed" };
        let filler = "x".repeat((number * 7_919 % 120) as usize);
        format!("order {} of shop {} {word} {filler}\n", ledger::mark("drill", number), number % 17)
    }

    pub(super) fn write(&mut self, lines: u64) -> anyhow::Result<()> {
        let text: String = (self.written..self.written + lines).map(|number| self.line(number)).collect();
        self.written += lines;
        self.log.write_all(text.as_bytes()).context("write the log")
    }

    /// Writes at a pace and rotates, until all is written or `done` is set.
    pub(super) async fn run(&mut self, load: Load, done: &Cell<bool>) -> anyhow::Result<()> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let end = self.written.saturating_add(load.lines);
        let mut rotate_at = load.rotate.map(|(every, _)| self.written + every);
        while self.written < end && !done.get() {
            tick.tick().await;
            self.write((load.pace / TICKS_PER_S).min(end - self.written))?;
            if let (Some((every, rotation)), Some(at)) = (load.rotate, rotate_at)
                && self.written >= at
            {
                self.rotate(rotation).await?;
                rotate_at = Some(at + every);
            }
        }
        Ok(())
    }

    pub(super) async fn rotate(&mut self, rotation: Rotation) -> anyhow::Result<()> {
        self.rotations += 1;
        let to = PathBuf::from(format!("{}.{}", self.path.display(), self.rotations));
        let rotation = match (rotation, self.rotations % 3) {
            (Rotation::Mixed, 0) => Rotation::Rename,
            (Rotation::Mixed, 1) => Rotation::Gzip,
            (Rotation::Mixed, _) => Rotation::CopyTruncate,
            (rotation, _) => rotation,
        };
        match rotation {
            Rotation::CopyTruncate => {
                fs::copy(&self.path, to).context("copy the log")?;
                self.truncate()
            }
            _ => {
                fs::rename(&self.path, &to).context("rename the log")?;
                self.log = append(&self.path)?;
                if rotation == Rotation::Gzip {
                    let mut gzip = Command::new(programs::installed("gzip")?);
                    gzip.arg("-1").arg(&to);
                    process::succeed(gzip).await?;
                }
                Ok(())
            }
        }
    }

    /// Without a copy.
    pub(super) fn truncate(&mut self) -> anyhow::Result<()> {
        self.log.set_len(0).context("truncate the log")
    }

    pub(super) fn delete(&mut self) -> anyhow::Result<()> {
        fs::remove_file(&self.path).context("delete the log")?;
        self.log = append(&self.path)?;
        Ok(())
    }
}

fn append(path: &Path) -> anyhow::Result<File> {
    File::options().create(true).append(true).open(path).with_context(|| path.display().to_string())
}

//! `up --demo`: a small simulated shop that writes real log files, so that a newcomer sees the pipeline at work.
//!
//! NGINX in front (access log with times, error log), an `api` and a `payments` app under PM2, `redis` and `inventory`
//! as Docker containers. Nothing downstream knows that it is a simulation: the files have the formats, places and
//! rotations of the real ones, and the agent finds them by the same configuration files. About 25 seconds after the
//! start something breaks for a minute, and again every five minutes.
//!
//! The same seed and clock give the same lines.

mod files;
mod incident;
mod layout;
mod lines;
mod random;
mod shop;
mod visit;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use logweir_runtime::clock::{Clock, NANOS_PER_SECOND, Nanos};
use logweir_runtime::drain::Drain;
use tokio::time::MissedTickBehavior;

use files::Logs;
use shop::Shop;

/// Lines are written in ticks of this length, as a buffered logger would.
const TICK: Duration = Duration::from_millis(100);
/// After a longer stop (a laptop that slept) the shop goes on from now: it wrote nothing meanwhile.
const GAP_MAX: Nanos = 60 * NANOS_PER_SECOND;
/// A log file that is larger is rotated.
pub const ROTATE_BYTES: u64 = 8 << 20;

#[derive(Debug, Clone)]
pub struct DemoConfig {
    /// Everything is written below this directory.
    pub dir: PathBuf,
    pub seed: u64,
    pub rotate_bytes: u64,
    /// So much of an ordinary past is written first, unless logs of an earlier run are there.
    pub history: Duration,
    /// Of the times that NGINX, PM2 and Redis write as local ones.
    pub zone: TimeZone,
}

impl DemoConfig {
    pub fn new(dir: PathBuf) -> DemoConfig {
        DemoConfig {
            dir,
            seed: 2026,
            rotate_bytes: ROTATE_BYTES,
            history: Duration::from_secs(600),
            zone: TimeZone::system(),
        }
    }
}

/// What the agent has to be told, instead of the usual places of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoPaths {
    /// NGINX's configuration, with the log paths and the `log_format`.
    pub nginx_conf: PathBuf,
    /// `$PM2_HOME`, with `dump.pm2` and `logs/`.
    pub pm2_home: PathBuf,
    /// Docker's data directory, with `containers/`.
    pub docker_root: PathBuf,
}

impl DemoPaths {
    /// The places below `dir`.
    fn below(dir: &Path) -> DemoPaths {
        DemoPaths {
            nginx_conf: dir.join("nginx/nginx.conf"),
            pm2_home: dir.join("pm2"),
            docker_root: dir.join("docker"),
        }
    }
}

/// The writer: configuration files exist from [`Demo::build`] on, log lines appear in [`Demo::run`].
#[derive(Debug)]
pub struct Demo {
    config: DemoConfig,
    clock: Clock,
    paths: DemoPaths,
    logs: Logs,
    /// When lines were written last.
    last: Nanos,
}

#[derive(Debug, thiserror::Error)]
#[error("demo: {what} {path}: {source}")]
pub struct DemoError {
    what: &'static str,
    path: PathBuf,
    source: std::io::Error,
}

impl Demo {
    /// Lays out the directories and the configuration files.
    pub fn build(config: DemoConfig, clock: Clock) -> Result<Demo, DemoError> {
        let (paths, logs) = layout::create(&config)?;
        let last = clock.now_ns();
        Ok(Demo { config, clock, paths, logs, last })
    }

    pub fn paths(&self) -> &DemoPaths {
        &self.paths
    }

    /// Writes until `drain`. The history is read from its beginning by an agent that has looked before.
    pub async fn run(mut self, drain: Drain) -> Result<(), DemoError> {
        let start = self.clock.now_ns();
        self.last = start;
        let mut shop = Shop::new(self.config.seed, start, self.config.zone.clone());
        if !self.logs.any_written() {
            let history = Nanos::try_from(self.config.history.as_nanos()).unwrap_or(0);
            shop.begin_at(start.saturating_sub(history));
        }
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => self.step(&mut shop)?,
                () = drain.cancelled() => return Ok(()),
            }
        }
    }

    /// Writes what has happened until now.
    fn step(&mut self, shop: &mut Shop) -> Result<(), DemoError> {
        let now = self.clock.now_ns();
        if now.saturating_sub(self.last) > GAP_MAX {
            shop.begin_at(now);
        }
        self.last = now;
        for line in shop.advance(now) {
            self.logs.append(line.to, &line.text);
        }
        self.logs.write()
    }
}

#[cfg(test)]
mod tests;

//! What happens to log files in the field: renamed, copied and truncated, deleted, while either end is away.
//!
//! Each drill writes numbered lines into one file and finds every one exactly once.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use logweir_tests::harness::ledger::{exactly_once, mark};
use logweir_tests::harness::{Agent, Scratch, Server, run};

const BURST: u64 = 2_000;
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(30);

/// A log file with its writer, an agent that tails it, and a server.
struct Drill<'a> {
    scratch: &'a Scratch,
    server: Server,
    agent: Agent,
    path: PathBuf,
    log: File,
    written: u64,
}

impl<'a> Drill<'a> {
    /// `glob` is relative to the folder of `app.log`.
    async fn start(scratch: &'a Scratch, glob: &str) -> anyhow::Result<Drill<'a>> {
        let server = Server::serve(scratch, "server", "").await?;
        let folder = scratch.folder("app")?;
        let files = format!(
            "discover: []\nfiles:\n  - {{ paths: ['{}/{glob}'], service: drill, start_at: beginning }}\n",
            folder.display()
        );
        let mut agent = Agent::configure(scratch, server.url(), &files)?;
        let path = folder.join("app.log");
        let log = append(&path)?;
        agent.start(scratch)?;
        Ok(Drill { scratch, server, agent, path, log, written: 0 })
    }

    fn write(&mut self, lines: u64) -> anyhow::Result<()> {
        let line = |n| format!("2026-11-20T10:00:00Z INFO order {} of shop {} placed\n", mark("drill", n), n % 17);
        let text: String = (self.written..self.written + lines).map(line).collect();
        self.written += lines;
        self.log.write_all(text.as_bytes()).context("write app.log")
    }

    /// Renames the file and opens a new one, as logrotate does.
    fn rotate(&mut self, number: u32) -> anyhow::Result<()> {
        fs::rename(&self.path, format!("{}.{number}", self.path.display())).context("rename app.log")?;
        self.log = append(&self.path)?;
        Ok(())
    }

    async fn caught_up(&self) -> anyhow::Result<()> {
        self.server.wait_count("service:drill", self.written, CAUGHT_UP_WITHIN).await
    }

    async fn finish(mut self) -> anyhow::Result<()> {
        self.agent.check_alive()?;
        let all = (0..self.written).collect();
        exactly_once(self.server.client(), "drill", "service:drill", &all, CAUGHT_UP_WITHIN).await
    }
}

fn append(path: &PathBuf) -> anyhow::Result<File> {
    File::options().create(true).append(true).open(path).with_context(|| path.display().to_string())
}

#[test]
fn renamed_under_a_name_that_matches_the_glob() -> anyhow::Result<()> {
    run("glob", async |scratch| {
        let mut drill = Drill::start(scratch, "app.log*").await?;
        for number in 1..=5 {
            drill.write(BURST)?;
            drill.rotate(number)?;
        }
        drill.write(BURST)?;
        drill.finish().await
    })
}

#[test]
fn copied_and_truncated_and_grown_past_its_old_size_at_once() -> anyhow::Result<()> {
    run("copytruncate", async |scratch| {
        let mut drill = Drill::start(scratch, "app.log").await?;
        for number in 1..=3 {
            drill.write(BURST)?;
            // What is truncated before anybody read it is gone for every shipper.
            drill.caught_up().await?;
            fs::copy(&drill.path, format!("{}.{number}", drill.path.display()))?;
            drill.log.set_len(0)?;
            drill.write(2 * BURST)?;
            drill.caught_up().await?;
        }
        drill.finish().await
    })
}

#[test]
fn rotated_twice_while_the_agent_is_dead() -> anyhow::Result<()> {
    run("deadagent", async |scratch| {
        let mut drill = Drill::start(scratch, "app.log").await?;
        drill.write(BURST)?;
        drill.caught_up().await?;
        drill.write(BURST)?;
        drill.agent.kill().await?;
        drill.write(BURST)?;
        drill.rotate(1)?;
        drill.write(BURST)?;
        drill.agent.start(drill.scratch)?;
        drill.write(BURST)?;
        drill.finish().await
    })
}

#[test]
fn server_and_agent_are_both_killed() -> anyhow::Result<()> {
    run("bothdead", async |scratch| {
        let mut drill = Drill::start(scratch, "app.log").await?;
        for _ in 0..3 {
            drill.write(BURST)?;
            drill.server.kill().await?;
            drill.write(BURST)?;
            drill.agent.kill().await?;
            drill.write(BURST)?;
            drill.agent.start(drill.scratch)?;
            drill.server.restart(drill.scratch).await?;
        }
        drill.finish().await
    })
}

#[test]
fn deleted_while_the_server_is_down() -> anyhow::Result<()> {
    run("deleted", async |scratch| {
        let mut drill = Drill::start(scratch, "app.log").await?;
        drill.write(BURST)?;
        drill.caught_up().await?;
        drill.server.kill().await?;
        drill.write(5 * BURST)?;
        fs::remove_file(&drill.path)?;
        drill.log = append(&drill.path)?;
        drill.write(BURST)?;
        drill.server.restart(drill.scratch).await?;
        drill.finish().await
    })
}

//! One child process: its output in a file, its end under control.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::Scratch;

/// How long any short command may take.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(60);

/// A long-running process; dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it with both outputs appended to `NAME.log` in the scratch folder.
    pub fn spawn(scratch: &Scratch, name: &str, mut command: Command) -> anyhow::Result<Process> {
        let log = scratch.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log).with_context(|| log.display().to_string())?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("{name}: {:?}", command.as_std().get_program()))?;
        Ok(Process { name: name.to_owned(), child, log })
    }

    /// `None` once it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Errs when it has ended, for a waiter that would wait in vain.
    pub fn check_alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} has ended: {status}; see {}", self.name, self.log.display()),
        }
    }

    /// `kill -9`, and its body is gone when this returns.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.with_context(|| format!("kill -9 {}", self.name))
    }

    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let pid = pid.ok_or_else(|| anyhow!("{} has ended", self.name))?;
        kill_process(pid, signal).with_context(|| format!("signal {signal:?} to {}", self.name))
    }

    /// SIGTERM, and its status within the time.
    pub async fn terminate(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait(within).await
    }

    pub async fn wait(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        let ended = tokio::time::timeout(within, self.child.wait()).await;
        Ok(ended.with_context(|| format!("{} did not end within {within:?}", self.name))??)
    }
}

/// What a short command said.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// -1 when a signal ended it.
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Outcome {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }

    /// Errs with what it said unless it ended with `code`.
    pub fn expect_code(self, code: i32) -> anyhow::Result<Outcome> {
        if self.code == code {
            return Ok(self);
        }
        bail!("exit {} where {code} was due\nstdout: {}\nstderr: {}", self.code, self.text(), self.stderr)
    }
}

/// Runs a command to its end.
pub async fn output(mut command: Command) -> anyhow::Result<Outcome> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let what = format!("{:?}", command.as_std());
    let ended = tokio::time::timeout(COMMAND_TIME_MAX, command.output()).await;
    let out = ended.with_context(|| format!("{what}: over {COMMAND_TIME_MAX:?}"))?.with_context(|| what.clone())?;
    let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
    Ok(Outcome { code: out.status.code().unwrap_or(-1), stdout: out.stdout, stderr })
}

/// Runs a command that has to succeed.
pub async fn succeed(command: Command) -> anyhow::Result<Outcome> {
    let what = format!("{:?}", command.as_std());
    output(command).await?.expect_code(0).context(what)
}

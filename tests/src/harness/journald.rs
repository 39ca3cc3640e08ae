//! A real systemd-journald with a journal, a socket and a name of its own, beside that of the machine.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;
use tokio::process::Command;

use super::{Process, Scratch, eventually};

#[derive(Debug)]
pub struct Journald {
    logs: PathBuf,
    run: PathBuf,
    process: Process,
}

impl Journald {
    pub async fn start(scratch: &Scratch) -> anyhow::Result<Journald> {
        let (logs, run) = (scratch.folder("journal")?, scratch.folder("journal-run")?);
        let process = spawn(scratch, &logs, &run)?;
        let journald = Journald { logs, run, process };
        journald.listens().await?;
        Ok(journald)
    }

    /// What `journalctl --directory` is given.
    pub fn directory(&self) -> &Path {
        &self.logs
    }

    /// One entry, in the native protocol: a line a field, and a value with newlines behind its length.
    pub fn write(&self, message: &[u8], priority: u8) -> anyhow::Result<()> {
        let mut entry = b"MESSAGE\n".to_vec();
        entry.extend_from_slice(&(message.len() as u64).to_le_bytes());
        entry.extend_from_slice(message);
        entry.extend_from_slice(format!("\nPRIORITY={priority}\nSYSLOG_IDENTIFIER=shop\n").as_bytes());
        let socket = UnixDatagram::unbound()?;
        socket.send_to(&entry, self.run.join("socket")).context("the socket of journald")?;
        Ok(())
    }

    /// Has it close its file and begin another one.
    pub async fn rotate(&self) -> anyhow::Result<()> {
        let files = || std::fs::read_dir(&self.logs).map(|entries| entries.count());
        let before = files()?;
        self.process.signal(Signal::USR2)?;
        eventually(Duration::from_secs(10), "a new file of the journal", async || Ok((files()? > before).then_some(())))
            .await
    }

    /// `kill -9`, and a new one on the same journal.
    pub async fn kill_and_start(&mut self, scratch: &Scratch) -> anyhow::Result<()> {
        self.process.kill().await?;
        // What listens from now on is the new one's.
        std::fs::remove_file(self.run.join("socket"))?;
        self.process = spawn(scratch, &self.logs, &self.run)?;
        self.listens().await
    }

    async fn listens(&self) -> anyhow::Result<()> {
        let socket = self.run.join("socket");
        eventually(Duration::from_secs(10), "journald listens", async || Ok(socket.exists().then_some(()))).await
    }
}

fn spawn(scratch: &Scratch, logs: &Path, run: &Path) -> anyhow::Result<Process> {
    let program = ["/lib/systemd/systemd-journald", "/usr/lib/systemd/systemd-journald"]
        .into_iter()
        .find(|path| Path::new(path).is_file())
        .context("systemd-journald is not installed: deploy/dev/install.sh test installs it")?;
    let mut command = Command::new(program);
    // With a namespace it takes its folders from here, and leaves the journal of the machine alone.
    command.arg("logweir-test").env("LOGS_DIRECTORY", logs).env("RUNTIME_DIRECTORY", run);
    Process::spawn(scratch, "journald", command)
}

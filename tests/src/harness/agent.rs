//! `logweir-agent` as a process.

use std::path::PathBuf;

use tokio::process::Command;

use super::{Outcome, Process, Scratch, process, programs};

/// An agent with a configuration and a state folder that outlive its process.
#[derive(Debug)]
pub struct Agent {
    config: PathBuf,
    process: Option<Process>,
}

impl Agent {
    /// Writes the configuration and does not start it. `more` are further lines of `agent.yaml`.
    pub fn configure(scratch: &Scratch, server: &str, more: &str) -> anyhow::Result<Agent> {
        let state = scratch.folder("agent-state")?;
        // Tests count lines and run side by side: no events of the host, no fixed port.
        let quiet = "listen: none\nhost_stats: false\n";
        let config = format!("server: {{ url: \"{server}\" }}\nstate_dir: {}\n{quiet}{more}", state.display());
        Ok(Agent { config: scratch.file("agent.yaml", config)?, process: None })
    }

    fn command(&self, under: &[&str]) -> anyhow::Result<Command> {
        let agent = programs::ours("logweir-agent")?;
        let mut command = match under {
            [] => Command::new(agent),
            [program, arguments @ ..] => {
                let mut command = Command::new(programs::installed(program)?);
                command.args(arguments).arg(agent);
                command
            }
        };
        command
            .arg("--config")
            .arg(&self.config)
            .env_remove("LOGWEIR_URL")
            .env_remove("LOGWEIR_TOKEN")
            .env_remove("PM2_HOME");
        Ok(command)
    }

    /// Starts it, or starts it again with the state that it left.
    pub fn start(&mut self, scratch: &Scratch) -> anyhow::Result<()> {
        self.start_under(scratch, &[])
    }

    /// The same through a program that takes something from it and becomes it.
    pub fn start_under(&mut self, scratch: &Scratch, under: &[&str]) -> anyhow::Result<()> {
        self.process = Some(Process::spawn(scratch, "agent", self.command(under)?)?);
        Ok(())
    }

    pub async fn kill(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill().await,
            None => Ok(()),
        }
    }

    pub fn check_alive(&mut self) -> anyhow::Result<()> {
        self.process.as_mut().map_or(Ok(()), Process::check_alive)
    }

    /// Runs it to its end with one argument: `discover` or `--once`.
    pub async fn run(&self, argument: &str) -> anyhow::Result<Outcome> {
        let mut command = self.command(&[])?;
        command.arg(argument);
        process::output(command).await
    }
}

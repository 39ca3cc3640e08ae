//! `logweir serve` and `logweir up` as processes.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use reqwest::StatusCode;
use tokio::process::Command;

use super::{Client, Outcome, Process, Scratch, eventually, process, programs};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// A server with a configuration, an address and a data folder that outlive its process.
#[derive(Debug)]
pub struct Server {
    name: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    data: PathBuf,
    process: Process,
    client: Client,
}

impl Server {
    /// `logweir serve` on a free port. `more` are further lines of `logweir.yaml`.
    pub async fn serve(scratch: &Scratch, name: &str, more: &str) -> anyhow::Result<Server> {
        Server::serve_in(scratch, name, &scratch.folder(&format!("{name}-data"))?, more).await
    }

    /// The same with the data in a folder of the caller's.
    pub async fn serve_in(scratch: &Scratch, name: &str, data: &Path, more: &str) -> anyhow::Result<Server> {
        let listen = format!("127.0.0.1:{}", free_port()?);
        let config = format!("listen: {listen}\ndata_dir: {}\n{more}", data.display());
        let config = scratch.file(&format!("{name}.yaml"), config)?;
        let arguments = ["serve".to_owned(), "--config".to_owned(), config.display().to_string()];
        Server::start(scratch, name, &listen, data, arguments.into(), Vec::new()).await
    }

    /// `logweir up` on a free port with further arguments and environment.
    pub async fn up(scratch: &Scratch, more: &[&str], environment: Vec<(String, String)>) -> anyhow::Result<Server> {
        let listen = format!("127.0.0.1:{}", free_port()?);
        let data = scratch.folder("up-data")?;
        let mut arguments: Vec<String> = ["up", "--listen", &listen, "--data"].map(str::to_owned).into();
        arguments.push(data.display().to_string());
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        Server::start(scratch, "up", &listen, &data, arguments, environment).await
    }

    async fn start(
        scratch: &Scratch,
        name: &str,
        listen: &str,
        data: &Path,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
    ) -> anyhow::Result<Server> {
        let process = spawn(scratch, name, &arguments, &environment)?;
        let client = Client::new(&format!("http://{listen}"))?;
        let mut server =
            Server { name: name.to_owned(), arguments, environment, data: data.to_owned(), process, client };
        server.ready().await?;
        Ok(server)
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn url(&self) -> &str {
        self.client.base()
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Waits until `/health/ready` says 200; ends early when the process does.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + READY_WITHIN;
        loop {
            self.process.check_alive()?;
            let last = self.client.status_of("/health/ready").await;
            if last.as_ref().is_ok_and(|status| *status == StatusCode::OK) {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                return Err(anyhow::anyhow!("{} is not ready within {READY_WITHIN:?}: {last:?}", self.name));
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill().await
    }

    /// Starts the process again with the same configuration, address and data, and waits until it is ready.
    pub async fn restart(&mut self, scratch: &Scratch) -> anyhow::Result<()> {
        self.process = spawn(scratch, &self.name, &self.arguments, &self.environment)?;
        self.ready().await
    }

    /// Runs `logweir` as a client of this server.
    pub async fn cli(&self, arguments: &[&str]) -> anyhow::Result<Outcome> {
        cli(self.url(), arguments).await
    }

    /// Waits until as many events match.
    pub async fn wait_count(&self, filter: &str, want: u64, within: Duration) -> anyhow::Result<()> {
        let what = format!("{want} events of {filter:?}");
        eventually(within, &what, async || match self.client.count(filter).await? {
            n if n >= want => Ok(Some(())),
            n => Err(anyhow::anyhow!("{n} are there")),
        })
        .await
    }
}

/// Runs `logweir` against a server's address.
pub async fn cli(url: &str, arguments: &[&str]) -> anyhow::Result<Outcome> {
    let mut command = Command::new(programs::ours("logweir")?);
    command.args(arguments).env("LOGWEIR_URL", url).env_remove("LOGWEIR_TOKEN").env("NO_COLOR", "1");
    process::output(command).await
}

fn spawn(
    scratch: &Scratch,
    name: &str,
    arguments: &[String],
    environment: &[(String, String)],
) -> anyhow::Result<Process> {
    let mut command = Command::new(programs::ours("logweir")?);
    command.args(arguments).env_remove("LOGWEIR_TOKEN").env_remove("LOGWEIR_URL");
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    Process::spawn(scratch, name, command)
}

/// A port that was free a moment ago.
pub fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("a free port")?;
    Ok(listener.local_addr()?.port())
}

//! The agent by itself, against a real server: what it costs to drain a log and to follow a thousand quiet ones, how
//! long a line takes to its ack, and what it holds while the server is away.
//!
//! Between agent and server stands a door of this process that passes batches on and remembers when each was acked.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use logweir_proto::batch::{CONTENT_TYPE, Envelope};
use logweir_runtime::drain::Drain;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::dataset::Dataset;
use super::usage::{self, Usage};
use crate::harness::{Process, Scratch, Server, eventually, programs};

/// Quiet logs that are followed, in so many directories.
const IDLE_FILES: usize = 1_000;
const IDLE_DIRECTORIES: usize = 20;
/// Long enough that a tenth of a percent is several ticks of the kernel's clock.
const IDLE_FOR: Duration = Duration::from_secs(60);
const SETTLES_FOR: Duration = Duration::from_secs(10);
const LINES_PER_S: u64 = 1_000;
const LATENCY_LINES: u64 = 10_000;
const DRAINED_WITHIN: Duration = Duration::from_secs(300);
const DOWN_FOR: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Copy, Default)]
pub struct AgentFigures {
    pub megabytes: f64,
    pub drain_cpu_s: f64,
    pub drain_s: f64,
    pub drain_peak_mib: f64,
    pub wire_bytes: u64,
    pub idle_cpu_share: f64,
    pub idle_mib: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub steady_cpu_share: f64,
    pub down_mib: f64,
}

pub async fn measure(scratch: &Scratch, set: &Dataset) -> anyhow::Result<AgentFigures> {
    let mut server = Server::serve(scratch, "server-agent", super::ingest::SETTINGS).await?;
    let door = Door::open(server.url()).await?;
    let mut figures = AgentFigures { megabytes: set.megabytes(), ..AgentFigures::default() };
    idle(scratch, &door, &mut figures).await.context("idle")?;
    latency(scratch, &door, set, &mut figures).await.context("latency")?;
    drain(scratch, &door, set, &mut figures).await.context("drain")?;
    server.kill().await?;
    down(scratch, &door, &mut figures).await.context("server down")?;
    Ok(figures)
}

/// What the door saw of the way to the server.
#[derive(Debug, Default)]
struct Seen {
    wire_bytes: u64,
    /// End of an acked range and when it was acked.
    acks: Vec<(u64, Instant)>,
}

#[derive(Debug, Clone)]
struct Door {
    url: String,
    to: String,
    client: reqwest::Client,
    seen: Arc<Mutex<Seen>>,
}

impl Door {
    async fn open(server: &str) -> anyhow::Result<Door> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port")?;
        let door = Door {
            url: format!("http://{}", listener.local_addr()?),
            to: format!("{server}/api/v1/batches"),
            client: reqwest::Client::builder().no_proxy().build()?,
            seen: Arc::default(),
        };
        let router = Router::new().route("/api/v1/batches", post(pass)).layer(DefaultBodyLimit::disable());
        tokio::spawn(logweir_runtime::serve::serve(listener, None, router.with_state(door.clone()), Drain::new()));
        Ok(door)
    }

    fn with<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn acked_to(&self) -> u64 {
        self.with(|seen| seen.acks.iter().map(|(end, _)| *end).max().unwrap_or(0))
    }
}

async fn pass(State(door): State<Door>, body: Bytes) -> (StatusCode, Bytes) {
    let wire_bytes = body.len() as u64;
    let ends: Vec<u64> = match Envelope::parse(&body) {
        Ok(envelope) => envelope.header.chunks.iter().map(|chunk| chunk.end).collect(),
        Err(error) => return (StatusCode::BAD_REQUEST, Bytes::from(error.to_string())),
    };
    let request = door.client.post(&door.to).header("content-type", CONTENT_TYPE).body(body);
    let Ok(response) = request.send().await else { return (StatusCode::BAD_GATEWAY, Bytes::new()) };
    let status = response.status();
    let answer = response.bytes().await.unwrap_or_default();
    if status.is_success() {
        let now = Instant::now();
        door.with(|seen| {
            seen.wire_bytes += wire_bytes;
            seen.acks.extend(ends.into_iter().map(|end| (end, now)));
        });
    }
    (status, answer)
}

/// An agent with a state folder and logs of its own.
struct Agent {
    process: Process,
    pid: u32,
}

impl Agent {
    fn start(scratch: &Scratch, name: &str, url: &str, paths: &str, once: bool) -> anyhow::Result<Agent> {
        let state = scratch.folder(&format!("{name}-state"))?;
        let files = format!("files: [{{ paths: [\"{paths}\"], format: nginx, start_at: beginning }}]");
        let config = format!("server: {{ url: \"{url}\" }}\nstate_dir: {}\ndiscover: []\n{files}\n", state.display());
        let config = scratch.file(&format!("{name}.yaml"), config)?;
        let mut command = Command::new(programs::ours("logweir-agent")?);
        command.arg("--config").arg(config).env_remove("LOGWEIR_URL").env_remove("LOGWEIR_TOKEN");
        if once {
            command.arg("--once");
        }
        let process = Process::spawn(scratch, name, command)?;
        let pid = process.pid().context("it runs")?;
        Ok(Agent { process, pid })
    }

    fn cpu_s(&self) -> anyhow::Result<f64> {
        Ok(Usage::of(self.pid)?.cpu_s)
    }
}

async fn idle(scratch: &Scratch, door: &Door, figures: &mut AgentFigures) -> anyhow::Result<()> {
    let folder = scratch.folder("idle")?;
    for n in 0..IDLE_FILES {
        let folder = folder.join(format!("app{}", n % IDLE_DIRECTORIES));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{n}.log")), format!("the first line of {n}\n"))?;
    }
    let mut agent = Agent::start(scratch, "idle-agent", &door.url, &format!("{}/*/*.log", folder.display()), false)?;
    let all = async || Ok((door.with(|seen| seen.acks.len()) >= IDLE_FILES).then_some(()));
    eventually(DRAINED_WITHIN, "each file's line is acked", all).await?;
    sleep(SETTLES_FOR).await;
    let before = agent.cpu_s()?;
    sleep(IDLE_FOR).await;
    figures.idle_cpu_share = (agent.cpu_s()? - before) / IDLE_FOR.as_secs_f64();
    figures.idle_mib = usage::memory_mib(agent.pid)?;
    agent.process.kill().await
}

async fn latency(scratch: &Scratch, door: &Door, set: &Dataset, figures: &mut AgentFigures) -> anyhow::Result<()> {
    let path = scratch.folder("steady")?.join("access.log");
    let mut log = File::create(&path)?;
    let mut agent = Agent::start(scratch, "steady-agent", &door.url, &path.display().to_string(), false)?;
    let mut lines = set.text.split_inclusive('\n').cycle();
    let mut line = || lines.next().context("a line");
    let first = line()?;
    log.write_all(first.as_bytes())?;
    let mut end = first.len() as u64;
    door.with(|seen| seen.acks.clear());
    eventually(DRAINED_WITHIN, "the first line is acked", async || Ok((door.acked_to() >= end).then_some(()))).await?;
    sleep(Duration::from_secs(1)).await;
    door.with(|seen| seen.acks.clear());
    let (before, begun) = (agent.cpu_s()?, Instant::now());
    let mut written = Vec::new();
    let mut tick = interval(Duration::from_micros(1_000_000 / LINES_PER_S));
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for _ in 0..LATENCY_LINES {
        tick.tick().await;
        let line = line()?;
        log.write_all(line.as_bytes())?;
        end += line.len() as u64;
        written.push((end, Instant::now()));
    }
    eventually(DRAINED_WITHIN, "all lines are acked", async || Ok((door.acked_to() >= end).then_some(()))).await?;
    figures.steady_cpu_share = (agent.cpu_s()? - before) / begun.elapsed().as_secs_f64();
    agent.process.kill().await?;
    let acks = door.with(|seen| std::mem::take(&mut seen.acks));
    let acked = |end: u64| acks.iter().filter(|(to, _)| *to >= end).map(|(_, at)| *at).min();
    let mut waits: Vec<Duration> =
        written.iter().filter_map(|(end, at)| Some(acked(*end)?.saturating_duration_since(*at))).collect();
    ensure!(waits.len() == written.len(), "{} of {} lines were acked", waits.len(), written.len());
    waits.sort_unstable();
    figures.p50_ms = waits[waits.len() / 2].as_secs_f64() * 1e3;
    figures.p99_ms = waits[waits.len() * 99 / 100].as_secs_f64() * 1e3;
    Ok(())
}

async fn drain(scratch: &Scratch, door: &Door, set: &Dataset, figures: &mut AgentFigures) -> anyhow::Result<()> {
    let path = write_log(scratch, "drain", set)?;
    let wire = door.with(|seen| seen.wire_bytes);
    let begun = Instant::now();
    let mut agent = Agent::start(scratch, "drain-agent", &door.url, &path.display().to_string(), true)?;
    let ended = async {
        loop {
            // Once it has ended there is nothing to read: the values before are as good as its last.
            if let (Ok(cpu_s), Ok(mib)) = (agent.cpu_s(), usage::peak_memory_mib(agent.pid)) {
                (figures.drain_cpu_s, figures.drain_peak_mib) = (cpu_s, mib);
            }
            if agent.process.check_alive().is_err() {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DRAINED_WITHIN, ended).await.context("the log is drained")?;
    figures.drain_s = begun.elapsed().as_secs_f64();
    figures.wire_bytes = door.with(|seen| seen.wire_bytes) - wire;
    ensure!(door.acked_to() >= set.text.len() as u64, "acked to {} of {}", door.acked_to(), set.text.len());
    fs::remove_file(path)?;
    Ok(())
}

/// With a log to ship and nobody who takes it.
async fn down(scratch: &Scratch, door: &Door, figures: &mut AgentFigures) -> anyhow::Result<()> {
    let path = scratch.folder("down")?.join("access.log");
    let mut log = File::create(&path)?;
    let line = "a line that has to wait for its server, like all the others of this log\n".repeat(1_000);
    for _ in 0..1_000 {
        log.write_all(line.as_bytes())?;
    }
    let mut agent = Agent::start(scratch, "down-agent", &door.url, &path.display().to_string(), false)?;
    sleep(DOWN_FOR).await;
    figures.down_mib = usage::peak_memory_mib(agent.pid)?;
    agent.process.kill().await
}

fn write_log(scratch: &Scratch, name: &str, set: &Dataset) -> anyhow::Result<PathBuf> {
    let path = scratch.folder(name)?.join("access.log");
    fs::write(&path, &set.text).with_context(|| path.display().to_string())?;
    Ok(path)
}

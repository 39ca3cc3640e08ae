//! Sends a set through a door of a fresh server, and measures the server while it takes it.

use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use logweir_proto::api::{BatchAnswer, IngestAnswer};
use logweir_proto::batch::{
    AgentInfo, BodyBuilder, CONTENT_TYPE, ChunkBuilder, Header, Heartbeat, SourceInfo, SourceKind, Stream,
};
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use tokio::time::{Instant, sleep};

use super::dataset::{Dataset, Kind};
use super::usage::{self, Usage};
use crate::harness::{Client, Server, eventually};

/// Text of one request: what the agent puts in a batch under load.
const REQUEST_BYTES: usize = 4 << 20;
/// How often one request is tried again when the server is busy.
const TRIES_MAX: u32 = 600;
const SEARCHABLE_WITHIN: Duration = Duration::from_secs(120);
/// The store is settled when its size has not changed for so long: longer than [`SETTINGS`] lets the head wait.
const SETTLED_FOR: Duration = Duration::from_secs(6);
const SETTLED_WITHIN: Duration = Duration::from_secs(180);

/// The head is sealed soon after the last line, so that what is on disk is what stays there.
pub const SETTINGS: &str = "limits: { seal_age: 4s, ingest_bytes_per_s: 4GiB }\n";

const AGENT: &str = "bench";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// `POST /api/v1/batches`, as the agent sends.
    Batches,
    /// `POST /api/v1/ingest`, plain NDJSON.
    Ingest,
}

impl Door {
    pub const fn name(self) -> &'static str {
        match self {
            Door::Batches => "native batches",
            Door::Ingest => "/api/v1/ingest",
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct IngestFigures {
    /// Wall time from the first byte to the last ack.
    pub acked_s: f64,
    /// From the last ack until all of it is counted by a query.
    pub searchable_s: f64,
    /// CPU of the server until then.
    pub cpu_s: f64,
    /// CPU of the server until the last split was sealed and merged.
    pub cpu_settled_s: f64,
    pub peak_memory_mib: f64,
    /// The store once it was settled.
    pub store_bytes: u64,
    /// What was left of the write-ahead log then.
    pub wal_bytes: u64,
    /// Requests that were answered 429 or 503 and came again.
    pub retries: u32,
}

pub async fn ingest(set: &Dataset, door: Door, server: &mut Server) -> anyhow::Result<IngestFigures> {
    let requests = requests(set, door, AGENT)?;
    let pid = server.process().pid().context("the server runs")?;
    let begin = Instant::now();
    let mut retries = 0;
    let mut accepted = 0;
    for request in requests {
        let (taken, again) = send(server.client(), door, request).await?;
        accepted += taken;
        retries += again;
    }
    let acked_s = begin.elapsed().as_secs_f64();
    ensure!(accepted == set.lines, "{accepted} of {} lines were accepted", set.lines);
    let acked = Instant::now();
    eventually(SEARCHABLE_WITHIN, "all lines are searchable", async || {
        Ok((super::queries::count(server.client(), set).await? == set.lines).then_some(()))
    })
    .await?;
    let searchable_s = acked.elapsed().as_secs_f64();
    let cpu_s = Usage::of(pid)?.cpu_s;
    let store_bytes = settled(server).await?;
    let cpu_settled_s = Usage::of(pid)?.cpu_s;
    let peak_memory_mib = usage::peak_memory_mib(pid)?;
    let wal_bytes = usage::bytes_below(&server.data().join("wal"))?;
    Ok(IngestFigures { acked_s, searchable_s, cpu_s, cpu_settled_s, peak_memory_mib, store_bytes, wal_bytes, retries })
}

/// Sends a set as an agent would, and measures nothing.
/// `agent`: whose lines they are; what one agent has sent is not taken twice.
pub async fn fill(set: &Dataset, client: &Client, agent: &str) -> anyhow::Result<()> {
    let mut accepted = 0;
    for request in requests(set, Door::Batches, agent)? {
        accepted += send(client, Door::Batches, request).await?.0;
    }
    ensure!(accepted == set.lines, "{accepted} of {} lines were accepted", set.lines);
    Ok(())
}

/// Bytes of the store once nothing changes there any more.
async fn settled(server: &Server) -> anyhow::Result<u64> {
    let folder = server.data().join("store");
    let deadline = Instant::now() + SETTLED_WITHIN;
    let mut last = (usage::bytes_below(&folder)?, Instant::now());
    while last.1.elapsed() < SETTLED_FOR {
        ensure!(Instant::now() < deadline, "the store still changes after {SETTLED_WITHIN:?}");
        sleep(Duration::from_millis(200)).await;
        let bytes = usage::bytes_below(&folder)?;
        if bytes != last.0 {
            last = (bytes, Instant::now());
        }
    }
    Ok(last.0)
}

/// All bodies, made beforehand: the sender's work is not what is measured.
fn requests(set: &Dataset, door: Door, agent: &str) -> anyhow::Result<Vec<Bytes>> {
    let mut offset = 0;
    let mut requests = Vec::new();
    while offset < set.text.len() {
        let rest = &set.text[offset..];
        let end = match rest.len() > REQUEST_BYTES {
            true => rest[..REQUEST_BYTES].rfind('\n').map_or(rest.len(), |newline| newline + 1),
            false => rest.len(),
        };
        let part = &rest[..end];
        requests.push(match door {
            Door::Ingest => Bytes::copy_from_slice(part.as_bytes()),
            Door::Batches => Bytes::from(batch(set.kind, part, (offset as u64, requests.len() as u64), agent)?),
        });
        offset += end;
    }
    Ok(requests)
}

fn batch(kind: Kind, part: &str, (offset, seq): (u64, u64), agent: &str) -> anyhow::Result<Vec<u8>> {
    let mut chunk = ChunkBuilder::new(offset);
    for line in part.split_terminator('\n') {
        chunk.push(line.as_bytes(), line.len() as u64 + 1, None, Stream::None, false);
    }
    let mut body = BodyBuilder::default();
    body.push(0, &chunk);
    let (kind, format) = match kind {
        Kind::Json => (SourceKind::File, ""),
        Kind::Nginx => (SourceKind::NginxAccess, COMBINED),
    };
    let source = SourceInfo {
        id: agent.to_owned(),
        kind,
        path: "/var/log/bench.log".to_owned(),
        format: format.to_owned(),
        labels: [("service".to_owned(), "bench".to_owned())].into(),
    };
    let header = Header {
        agent: AgentInfo {
            id: agent.to_owned(),
            host: "bench".to_owned(),
            version: "0".to_owned(),
            utc_offset_minutes: 0,
        },
        seq,
        sources: vec![source],
        chunks: Vec::new(),
        watermarks: Vec::new(),
        gaps: Vec::new(),
        heartbeat: Heartbeat::default(),
    };
    Ok(body.finish(header, 1)?)
}

const COMBINED: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;

/// Lines taken, and how often it had to come again.
async fn send(client: &Client, door: Door, body: Bytes) -> anyhow::Result<(u64, u32)> {
    for tried in 0..TRIES_MAX {
        let request = match door {
            Door::Ingest => client.post("/api/v1/ingest").header("content-type", "application/x-ndjson"),
            Door::Batches => client.post("/api/v1/batches").header("content-type", CONTENT_TYPE),
        };
        let response = request.body(body.clone()).send().await?;
        match response.status() {
            StatusCode::OK if door == Door::Ingest => {
                let answer: IngestAnswer = response.json().await?;
                ensure!(answer.rejected == 0, "{answer:?}");
                return Ok((answer.accepted, tried));
            }
            StatusCode::OK => return Ok((response.json::<BatchAnswer>().await?.accepted, tried)),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let wait = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
                sleep(Duration::from_secs(wait.unwrap_or(1)).max(Duration::from_millis(50))).await;
            }
            status => anyhow::bail!("{}: {status}: {}", door.name(), response.text().await?),
        }
    }
    anyhow::bail!("{}: refused {TRIES_MAX} times", door.name())
}

//! From a line in a file to the request at the receiver: agent, server and webhook as processes of their own would be.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::ensure;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use logweir_runtime::drain::Drain;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::percentile;
use crate::harness::{Agent, Scratch, Server, eventually};

const LINES: u64 = 240;
/// Lines do not keep step with the rules: the pause between two grows and shrinks.
const PAUSES_MS: [u64; 5] = [310, 730, 470, 590, 410];
const ALL_WITHIN: Duration = Duration::from_secs(90);

const RULES: &str = "version: 1
groups:
  - name: fast
    every: 1s
    rules:
      - alert: Fast
        signals: {failed: {filter: 'message:\"payment failed\"', agg: count, window: 10s, by: [order]}}
        levels: {critical: {when: failed >= 1}}
        summary: 'payment of {{ labels.order }} failed'
  - name: default
    rules:
      - alert: Default
        signals: {failed: {filter: 'message:\"payment failed\"', agg: count, window: 2m, by: [order]}}
        levels: {critical: {when: failed >= 1}}
        summary: 'payment of {{ labels.order }} failed'
";

#[derive(Debug, Clone, Default)]
pub struct SecondsFigures {
    pub lines: u64,
    pub fast_p50: Duration,
    pub fast_p99: Duration,
    pub default_p50: Duration,
    pub default_p99: Duration,
}

/// Rule and order: when the request came.
type Came = Arc<Mutex<BTreeMap<(String, String), Instant>>>;

pub(super) async fn measure(scratch: &Scratch) -> anyhow::Result<SecondsFigures> {
    let came = Came::default();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    let router = Router::new().route("/", post(take)).with_state(Arc::clone(&came));
    tokio::spawn(logweir_runtime::serve::serve(listener, None, router, Drain::new()));
    let rules = scratch.folder("rules")?;
    std::fs::write(rules.join("rules.yaml"), RULES)?;
    let alerting = format!(
        "route: {{receiver: bus, group_by: ['...'], group_wait: 0s, group_interval: 1s}}\nreceivers: [{{name: bus, webhook: [{{url: '{url}', allow_private: [127.0.0.1], insecure_http: true}}]}}]\n"
    );
    let alerting = scratch.file("alerting.yaml", alerting)?;
    let settings = format!("alerting: {{ rules: [{}], config: {} }}\n", rules.display(), alerting.display());
    let mut server = Server::serve(scratch, "latency", &settings).await?;
    let path = scratch.folder("app")?.join("app.log");
    let mut log = File::create(&path)?;
    log.write_all(b"{\"message\":\"started\"}\n")?;
    let files = format!("files: [{{ paths: [\"{}\"], start_at: beginning }}]\ndiscover: []\n", path.display());
    let mut agent = Agent::configure(scratch, server.url(), &files)?;
    agent.start(scratch)?;
    server.wait_count("message:started", 1, ALL_WITHIN).await?;
    let mut written = BTreeMap::new();
    for n in 0..LINES {
        sleep(Duration::from_millis(PAUSES_MS[n as usize % PAUSES_MS.len()])).await;
        log.write_all(format!("{{\"message\":\"payment failed\",\"order\":\"o{n}\"}}\n").as_bytes())?;
        written.insert(format!("o{n}"), Instant::now());
    }
    let all = async || {
        let count = lock(&came).len();
        ensure!(count >= 2 * written.len(), "{count} requests came");
        Ok(Some(()))
    };
    eventually(ALL_WITHIN, "all alerts", all).await?;
    agent.kill().await?;
    server.kill().await?;
    let waits = |rule: &str| -> Vec<Duration> {
        let came = lock(&came);
        let wait = |(order, at): (&String, &Instant)| {
            came.get(&(rule.to_owned(), order.clone())).map(|came| came.saturating_duration_since(*at))
        };
        let mut waits: Vec<Duration> = written.iter().filter_map(wait).collect();
        waits.sort_unstable();
        waits
    };
    let (fast, default) = (waits("Fast"), waits("Default"));
    Ok(SecondsFigures {
        lines: LINES,
        fast_p50: percentile(&fast, 50),
        fast_p99: percentile(&fast, 99),
        default_p50: percentile(&default, 50),
        default_p99: percentile(&default, 99),
    })
}

fn lock(came: &Came) -> std::sync::MutexGuard<'_, BTreeMap<(String, String), Instant>> {
    came.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn take(State(came): State<Came>, body: Bytes) -> StatusCode {
    let now = Instant::now();
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    for alert in body["alerts"].as_array().into_iter().flatten().filter(|alert| alert["status"] == "firing") {
        let label = |name: &str| alert["labels"][name].as_str().unwrap_or_default().to_owned();
        lock(&came).entry((label("alertname"), label("order"))).or_insert(now);
    }
    StatusCode::NO_CONTENT
}

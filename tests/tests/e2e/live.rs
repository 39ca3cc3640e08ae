//! Live tail: fresh rows at once, and none lost or doubled over a cut connection.

use std::time::Duration;

use anyhow::{Context, ensure};
use logweir_proto::api::Frame;
use logweir_tests::harness::events::{Message, Tail};
use logweir_tests::harness::{Client, Server, run};
use serde_json::json;
use tokio::time::Instant;

const LINES: u64 = 40;
/// The promise of the design, from the ack to the row.
const LATENCY_MEDIAN_MAX: Duration = Duration::from_millis(100);
const ROW_WITHIN: Duration = Duration::from_secs(5);

async fn send(client: &Client, number: u64) -> anyhow::Result<()> {
    let line = json!({"level": "warn", "service": "live", "msg": format!("tick {number}"), "n": number}).to_string();
    let answer = client.ingest(line).await?;
    ensure!(answer.accepted == 1, "{answer:?}");
    Ok(())
}

fn number(message: &Message) -> anyhow::Result<u64> {
    let Frame::Row { row, .. } = &message.frame else { anyhow::bail!("{:?}", message.frame) };
    row.get("n").and_then(serde_json::Value::as_u64).with_context(|| format!("{row:?}"))
}

#[test]
fn a_fresh_line_is_in_the_tail_at_once() -> anyhow::Result<()> {
    run("live", async |scratch| {
        let server = Server::serve(scratch, "server", "").await?;
        let mut tail = Tail::open(server.client(), "service:live level>=warn", None).await?;
        let mut latencies = Vec::new();
        for n in 0..LINES {
            send(server.client(), n).await?;
            let acked = Instant::now();
            let message = tail.next(ROW_WITHIN).await?;
            latencies.push(acked.elapsed());
            ensure!(number(&message)? == n, "row {n} is due: {message:?}");
        }
        latencies.sort_unstable();
        let median = latencies[latencies.len() / 2];
        ensure!(median <= LATENCY_MEDIAN_MAX, "median {median:?}, worst {:?}", latencies.last());
        Ok(())
    })
}

#[test]
fn a_tail_resumes_behind_the_last_row_even_over_a_kill() -> anyhow::Result<()> {
    run("resume", async |scratch| {
        let mut server = Server::serve(scratch, "server", "").await?;
        let mut tail = Tail::open(server.client(), "service:live", None).await?;
        for n in 0..LINES {
            send(server.client(), n).await?;
        }
        let mut last = String::new();
        for n in 0..LINES / 2 {
            let message = tail.next(ROW_WITHIN).await?;
            ensure!(number(&message)? == n, "row {n} is due: {message:?}");
            last = message.id;
        }
        drop(tail);
        server.kill().await?;
        server.restart(scratch).await?;
        server.wait_count("service:live", LINES, Duration::from_secs(10)).await?;
        let mut tail = Tail::open(server.client(), "service:live", Some(&last)).await?;
        send(server.client(), LINES).await?;
        for n in LINES / 2..=LINES {
            let message = tail.next(ROW_WITHIN).await?;
            ensure!(number(&message)? == n, "row {n} is due: {message:?}");
        }
        Ok(())
    })
}

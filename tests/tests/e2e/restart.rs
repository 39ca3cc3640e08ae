//! What was acknowledged is there after any end of the process, under the same id; what is over its time is not.

use std::time::Duration;

use anyhow::ensure;
use logweir_proto::api::{QueryAnswer, QueryRequest, Row};
use logweir_tests::faults::Dice;
use logweir_tests::harness::ledger::mark;
use logweir_tests::harness::{Client, Server, eventually, run};
use serde_json::json;

const BATCH: u64 = 500;
const SEARCHABLE_WITHIN: Duration = Duration::from_secs(5);

/// One body of NDJSON with the numbers of the range.
fn body(numbers: std::ops::Range<u64>) -> String {
    let line = |number| {
        let message = format!("payment {} took {} ms", mark("json", number), number % 97);
        json!({"level": "info", "service": "pay", "msg": message, "n": number}).to_string() + "\n"
    };
    numbers.map(line).collect()
}

async fn ids(client: &Client) -> anyhow::Result<Vec<(String, u64)>> {
    let rows = client.all_rows("service:pay", None).await?;
    let key = |row: &Row| Some((row.get("id")?.as_str()?.to_owned(), row.get("n")?.as_u64()?));
    let keys: Vec<_> = rows.iter().filter_map(key).collect();
    ensure!(keys.len() == rows.len(), "rows without id or n: {:?}", rows.first());
    Ok(keys)
}

#[test]
fn nothing_acknowledged_is_lost_by_kills_and_stops() -> anyhow::Result<()> {
    run("restart", async |scratch| {
        let mut dice = Dice::from_env();
        let mut server = Server::serve(scratch, "server", "limits: { seal_bytes: 256KiB, seal_age: 2s }\n").await?;
        let mut acknowledged = 0;
        for round in 0..4 {
            for _ in 0..1 + dice.below(5) {
                let answer = server.client().ingest(body(acknowledged..acknowledged + BATCH)).await?;
                ensure!((answer.accepted, answer.rejected) == (BATCH, 0), "{answer:?}");
                acknowledged += BATCH;
            }
            if round % 2 == 0 {
                server.kill().await?;
            } else {
                let status = server.process().terminate(Duration::from_secs(20)).await?;
                ensure!(status.success(), "SIGTERM: {status}");
            }
            server.restart(scratch).await?;
            server.wait_count("service:pay", acknowledged, SEARCHABLE_WITHIN).await?;
        }
        let before = ids(server.client()).await?;
        let mut numbers: Vec<u64> = before.iter().map(|(_, n)| *n).collect();
        numbers.sort_unstable();
        ensure!(numbers == (0..acknowledged).collect::<Vec<_>>(), "each exactly once");
        server.kill().await?;
        server.restart(scratch).await?;
        ensure!(ids(server.client()).await? == before, "an id is for ever");
        Ok(())
    })
}

#[test]
fn a_line_is_searchable_within_a_second_of_its_ack() -> anyhow::Result<()> {
    run("fresh", async |scratch| {
        let server = Server::serve(scratch, "server", "").await?;
        for number in 0..20 {
            server.client().ingest(body(number..number + 1)).await?;
            server.wait_count(&format!("n={number}"), 1, Duration::from_secs(1)).await?;
        }
        Ok(())
    })
}

async fn ingest_aged(server: &Server, days: i64, name: &str) -> anyhow::Result<()> {
    let now_ns = logweir_runtime::clock::Clock::system().now_ns();
    let time_ms = now_ns / 1_000_000 - days * 24 * 3_600_000;
    let line = json!({"time": time_ms, "level": "info", "service": name, "msg": "here"}).to_string();
    let answer = server.client().ingest(line).await?;
    ensure!(answer.accepted == 1, "{answer:?}");
    Ok(())
}

async fn monthly(server: &Server, service: &str) -> anyhow::Result<QueryAnswer> {
    let query = format!("service:{service}");
    server.client().query(&QueryRequest { query, from: Some("-30d".to_owned()), ..QueryRequest::default() }).await
}

/// Split files, each in the folder of its day.
fn splits(server: &Server) -> anyhow::Result<usize> {
    let days = std::fs::read_dir(server.data().join("store/splits"))?;
    let count = |day: std::fs::DirEntry| Ok(std::fs::read_dir(day.path())?.count());
    days.map(|day| count(day?)).sum()
}

async fn sealed(server: &Server, count: usize) -> anyhow::Result<()> {
    let probe = async || Ok((splits(server)? == count).then_some(()));
    eventually(Duration::from_secs(20), &format!("{count} splits"), probe).await
}

#[test]
fn retention_drops_old_splits_and_no_others() -> anyhow::Result<()> {
    run("retention", async |scratch| {
        let mut server = Server::serve(scratch, "server", "retention: { days: 7 }\nlimits: { seal_age: 1s }\n").await?;
        ingest_aged(&server, 3, "young").await?;
        // Each age is to have a split of its own, for retention is by whole splits.
        sealed(&server, 1).await?;
        ingest_aged(&server, 9, "old").await?;
        sealed(&server, 2).await?;
        // Retention looks at the start and then once a minute.
        server.process().terminate(Duration::from_secs(20)).await?;
        server.restart(scratch).await?;
        eventually(Duration::from_secs(10), "the old line is gone", async || {
            Ok(monthly(&server, "old").await?.rows.is_empty().then_some(()))
        })
        .await?;
        ensure!(monthly(&server, "young").await?.rows.len() == 1, "the young line stays");
        server.kill().await?;
        server.restart(scratch).await?;
        ensure!(monthly(&server, "old").await?.rows.is_empty(), "what is gone stays gone");
        ensure!(monthly(&server, "young").await?.rows.len() == 1, "the young line stays");
        Ok(())
    })
}

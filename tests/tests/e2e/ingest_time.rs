//! Rules that go by the time at which lines are received see a host whose clock is wrong, live and in a backtest, and a
//! line keeps that time over kills and in a split.

use std::time::Duration;

use anyhow::{Context, ensure};
use logweir_proto::api::QueryRequest;
use logweir_runtime::clock::Clock;
use logweir_tests::harness::{Server, eventually, run};
use serde_json::json;

const WITHIN: Duration = Duration::from_secs(60);
const LINES: u64 = 40;

const RULES: &str = "
version: 1
groups:
  - name: received
    every: 1s
    rules:
      - alert: Received
        time: ingest
        signals: {n: {filter: 'service:pay level:error', agg: count, window: 1m, by: [host]}}
        levels: {critical: {when: n >= 10}}
        summary: '{{ value.n }} errors of {{ labels.host }}'
  - name: told
    every: 1s
    rules:
      - alert: Told
        signals: {n: {filter: 'service:pay level:error', agg: count, window: 1m, by: [host]}}
        levels: {critical: {when: n >= 10}}
        summary: '{{ value.n }} errors of {{ labels.host }}'
";

/// Lines of a host whose clock is two days behind.
fn body() -> String {
    let now_ms = Clock::system().now_ns() / 1_000_000 - 2 * 24 * 3_600_000;
    let line = |n: u64| {
        let time_ms = now_ms + n as i64;
        json!({"time": time_ms, "level": "error", "service": "pay", "host": "db-3", "msg": "failed", "n": n})
    };
    (0..LINES).map(|n| line(n).to_string() + "\n").collect()
}

/// When each line was received, as it is told.
async fn receipts(server: &Server) -> anyhow::Result<Vec<String>> {
    let query = "service:pay | fields n, _ingested | sort n".to_owned();
    let request = QueryRequest { query, from: Some("-7d".to_owned()), ..QueryRequest::default() };
    let rows = server.client().query(&request).await?.rows;
    let time = |row: &logweir_proto::api::Row| Some(row.get("_ingested")?.as_str()?.to_owned());
    let times: Option<Vec<String>> = rows.iter().map(time).collect();
    let times = times.context("a line without a time of receipt")?;
    ensure!(times.len() as u64 == LINES, "{} lines", times.len());
    Ok(times)
}

#[test]
fn a_host_with_a_wrong_clock_is_seen_by_a_rule_that_goes_by_receipt() -> anyhow::Result<()> {
    run("ingest-time", async |scratch| {
        let rules = scratch.file("rules.yaml", RULES)?.display().to_string();
        let config = format!("alerting: {{ rules: [{rules}] }}\nlimits: {{ seal_age: 15s }}\n");
        let mut server = Server::serve(scratch, "server", &config).await?;
        let check = server.cli(&["rules", "check", &rules]).await?.text();
        ensure!(check.contains("2 rules with 0 tests are right; 1 by the time of receipt"), "{check}");
        server.client().ingest(body()).await?;
        // In the head, from the log after a kill, and in a split: the time of the one request.
        eventually(WITHIN, "the lines", async || Ok(receipts(&server).await.ok())).await?;
        let received = receipts(&server).await?;
        ensure!(received.iter().all(|time| *time == received[0]), "{received:?}");
        server.kill().await?;
        server.restart(scratch).await?;
        ensure!(receipts(&server).await? == received, "a replay tells the same");

        let alerts = eventually(WITHIN, "an alert", async || {
            let text = server.cli(&["alerts", "list"]).await?.text();
            Ok(text.contains("Received").then_some(text))
        })
        .await?;
        ensure!(alerts.contains("40 errors of db-3") && !alerts.contains("Told"), "{alerts}");
        let explained = server.cli(&["rules", "explain", "Received"]).await?;
        let (explained, notes) = (explained.text(), explained.stderr.clone());
        ensure!(explained.contains("_ingested>=") && notes.contains("time: ingest"), "{explained}\n{notes}");

        let splits = server.data().join("store/splits");
        eventually(WITHIN, "a split", async || {
            Ok(std::fs::read_dir(&splits).is_ok_and(|mut days| days.next().is_some()).then_some(()))
        })
        .await?;
        ensure!(receipts(&server).await? == received, "a split tells the same");
        let table = eventually(WITHIN, "an episode in the backtest", async || {
            let told = server.cli(&["rules", "backtest", &rules, "--since", "1h"]).await?;
            ensure!(told.code == 0, "{}", told.stderr);
            ensure!(!told.stderr.contains("warning"), "{}", told.stderr);
            let episodes = |name: &str| {
                let row = told.text().lines().find(|line| line.starts_with(name)).map(str::to_owned);
                row.and_then(|row| row.split_whitespace().nth(1)?.parse::<u32>().ok())
            };
            Ok((episodes("Received") == Some(1)).then_some((episodes("Told"), told.text())))
        })
        .await?;
        ensure!(table.0 == Some(0), "{}", table.1);
        Ok(())
    })
}

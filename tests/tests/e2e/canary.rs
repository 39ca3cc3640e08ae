//! A canary line through the whole pipeline, how long it took, and the heartbeat that depends on it; incidents that
//! somebody wrote down against what the rules say of the stored past.

use std::time::Duration;

use anyhow::{Context, ensure};
use logweir_runtime::clock::Clock;
use logweir_tests::harness::webhook::{Receiver, SECRET};
use logweir_tests::harness::{Server, eventually, run};
use serde_json::json;

const WITHIN: Duration = Duration::from_secs(60);
/// A line in the log of an idle server, every part on the same machine.
const THROUGH_MAX_S: f64 = 20.0;

#[test]
fn a_canary_line_comes_through_and_its_time_is_a_figure() -> anyhow::Result<()> {
    run("canary", async |scratch| {
        let (sink, beats) = (Receiver::start().await?, Receiver::start().await?);
        let secret = scratch.file("hook-secret", SECRET)?;
        let beat = scratch.file("beat-url", beats.url())?;
        let hook = |url: &str| {
            format!(
                "[{{url: '{url}', allow_private: [127.0.0.1], sign: {{standard_webhooks: {{secret_file: {}}}}}}}]",
                secret.display()
            )
        };
        let alerting = format!(
            "route: {{receiver: people}}\nreceivers:\n  - {{name: people, webhook: {}}}\n  - {{name: selftest, webhook: {}}}\ncanary: {{receiver: selftest, every: 10s}}\nheartbeat: {{url_file: {}, every: 10s, allow_private: [127.0.0.1], insecure_http: true}}\n",
            hook("http://127.0.0.1:1/nobody"),
            hook(sink.url()),
            beat.display(),
        );
        let alerting = scratch.file("alerting.yaml", alerting)?;
        let config = format!("alerting: {{ config: {} }}\n", alerting.display());
        let server = Server::serve(scratch, "server", &config).await?;
        let told = sink.wait_for(WITHIN, "the canary", |one| one.body["status"] == "firing").await?;
        ensure!(told.signature.is_ok(), "{:?}", told.signature);
        let labels = &told.body["alerts"][0]["labels"];
        ensure!(labels["alertname"] == "AlertingSelfTest" && labels["canary"].is_string(), "{labels}");
        let seconds = eventually(WITHIN, "the figure", async || {
            let figures = server.client().get("/metrics").send().await?.text().await?;
            let value = figures.lines().find_map(|line| line.strip_prefix("logweir_canary_last_seconds "));
            Ok(value.and_then(|value| value.parse::<f64>().ok()))
        });
        let seconds = seconds.await?;
        ensure!(seconds > 0.0 && seconds < THROUGH_MAX_S, "the canary line took {seconds} s");
        // The heartbeat is bare: it has no signature, and comes because all is well.
        eventually(WITHIN, "a heartbeat", async || Ok((!beats.notifications()?.is_empty()).then_some(()))).await
    })
}

#[test]
fn incidents_are_caught_or_missed_by_the_stored_past() -> anyhow::Result<()> {
    run("incidents", async |scratch| {
        let server = Server::serve(scratch, "server", "").await?;
        let now = jiff::Timestamp::from_nanosecond(i128::from(Clock::system().now_ns()))?;
        let ago = |minutes: i64| (now - jiff::SignedDuration::from_mins(minutes)).to_string();
        let line = |second: i64| {
            let time =
                (now - jiff::SignedDuration::from_mins(60) + jiff::SignedDuration::from_secs(second)).to_string();
            json!({"time": time, "level": "error", "service": "pay", "message": format!("payment {second} failed")})
                .to_string()
                + "\n"
        };
        server.client().ingest((0..300).map(line).collect::<String>()).await?;
        server.wait_count("service:pay", 300, WITHIN).await?;
        let rules = scratch.file(
            "rules.yaml",
            "version: 1\ngroups:\n  - name: pay\n    rules:\n      - {alert: PayErrors, signals: {n: {filter: 'service:pay level:error', agg: count, window: 1m, by: [service]}}, levels: {critical: {when: n >= 10}}, summary: s}\n",
        )?;
        let incidents = scratch.file(
            "incidents.yaml",
            format!(
                "incidents:\n  - {{name: payments failed, from: '{}', to: '{}', labels: {{service: pay}}}}\n  - {{name: something else, from: '{}', to: '{}'}}\n",
                ago(61),
                ago(50),
                ago(30),
                ago(20)
            ),
        )?;
        let (rules, incidents) = (rules.display().to_string(), incidents.display().to_string());
        let told = server.cli(&["rules", "backtest", &rules, "--since", "2h", "--incidents", &incidents]).await?;
        let text = told.text();
        ensure!(told.code == 0, "{}", told.stderr);
        let row =
            |name: &str| text.lines().find(|line| line.starts_with(name)).context(text.clone()).map(str::to_owned);
        ensure!(row("payments failed")?.contains("PayErrors") && row("payments failed")?.contains("after"), "{text}");
        ensure!(row("something else")?.ends_with("nobody"), "{text}");
        ensure!(text.contains("incidents caught: 1 of 2"), "{text}");
        Ok(())
    })
}

//! The newcomer: one command, and rows, and an alert with lines in it.

use std::time::Duration;

use anyhow::{Context, ensure};
use logweir_tests::harness::webhook::{Receiver, SECRET};
use logweir_tests::harness::{Server, eventually, run};

/// What the issue promises.
const ALERT_WITHIN: Duration = Duration::from_secs(120);

#[test]
fn one_command_gives_rows_and_an_alert_with_lines_in_it() -> anyhow::Result<()> {
    run("up", async |scratch| {
        let receiver = Receiver::start().await?;
        // The first deliveries fail: they have to come again from the outbox.
        receiver.refuse(1)?;
        let secret = scratch.file("webhook-secret", SECRET)?;
        let alerting = format!(
            "version: 1\nroute: {{ receiver: hook, group_wait: 1s }}\nreceivers:\n  - name: hook\n    webhook:\n\
             \x20     - url: '{}'\n        allow_private: ['127.0.0.0/8']\n        insecure_http: true\n\
             \x20       sign: {{ standard_webhooks: {{ secret_file: '{}' }} }}\n",
            receiver.url(),
            secret.display()
        );
        let alerting = scratch.file("alerting.yaml", alerting)?;
        let alerting = alerting.to_str().context("path")?;
        let server = Server::up(scratch, &["--demo", "--alerting", alerting], Vec::new()).await?;

        let query = "status>=500 | stats count by path";
        eventually(Duration::from_secs(90), "rows of failed requests", async || {
            let answer = server.cli(&["search", query, "-o", "csv"]).await?;
            Ok((answer.code == 0 && answer.lines().len() > 1).then_some(()))
        })
        .await?;
        for source in ["nginx", "pm2", "docker"] {
            server.wait_count(&format!("source:{source}"), 1, Duration::from_secs(30)).await?;
        }

        let alert = receiver.wait_for(ALERT_WITHIN, "a firing alert", |n| n.body["status"] == "firing").await?;
        ensure!(alert.signature == Ok(()), "{:?}", alert.signature);
        ensure!(alert.body["version"] == "4" && alert.body["receiver"] == "hook", "{}", alert.body);
        let first = &alert.body["alerts"][0];
        ensure!(first["labels"]["alertname"].is_string() && first["startsAt"].is_string(), "{first}");
        let text = first.to_string();
        ensure!(text.contains(" 50") || text.contains("error"), "a sample line is in it: {text}");
        ensure!(first["generatorURL"].as_str().is_some_and(|link| link.starts_with("http")), "a permalink: {first}");

        let alerts = server.cli(&["alerts", "list", "-o", "json"]).await?.expect_code(0)?;
        ensure!(alerts.text().contains("firing"), "{}", alerts.text());
        Ok(())
    })
}

/// From the first token on nobody is let in without one, but what tails this machine was there before.
#[test]
fn the_first_token_does_not_stop_the_agents_inside() -> anyhow::Result<()> {
    run("up-token", async |scratch| {
        // A proxy that is not there: nothing that stays on this machine asks it.
        let proxy = vec![("http_proxy".to_owned(), "http://127.0.0.1:1".to_owned())];
        let server = Server::up(scratch, &["--demo"], proxy).await?;
        server.wait_count("*", 1, Duration::from_secs(30)).await?;
        let data = server.data().to_str().context("path")?;
        let made = server.cli(&["tokens", "create", "--scope", "query", "--data", data]).await?.expect_code(0)?;
        let token = scratch.file("token", made.text())?;
        let token = token.to_str().context("path")?;

        server.cli(&["search", "*", "--count"]).await?.expect_code(2)?;
        let count = async || {
            let counted = server.cli(&["search", "*", "--count", "--token-file", token]).await?.expect_code(0)?;
            counted.text().trim().parse::<u64>().context("a count")
        };
        let before = count().await?;
        eventually(Duration::from_secs(30), "lines that were written since", async || {
            Ok((count().await? > before).then_some(()))
        })
        .await
    })
}

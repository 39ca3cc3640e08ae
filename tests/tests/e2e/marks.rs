//! New patterns against a real server: told by scope, traces by their frames, and over when somebody says they are known.

use std::time::Duration;

use anyhow::{Context, ensure};
use jiff::Timestamp;
use logweir_runtime::clock::Clock;
use logweir_tests::harness::server::cli;
use logweir_tests::harness::{Outcome, Server, eventually, run};
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(60);

const RULE: &str = "
version: 1
groups:
  - name: g
    every: 1s
    defaults: {delay: 0s}
    rules:
      - alert: New
        pattern: {filter: 'level:error', scope: [service, env], learn: 2s}
        levels: {warning: {when: new_pattern}}
        summary: 'new in {{ labels.env }}: {{ value.template }}'
";

async fn logweir(server: &Server, line: &[&str]) -> anyhow::Result<Outcome> {
    cli(server.url(), line).await
}

/// Waits until the rule was evaluated for this time.
async fn evaluated(server: &Server, time: Timestamp) -> anyhow::Result<()> {
    eventually(WITHIN, "the evaluation", async || {
        let rules: Value = server.client().get("/api/v1/rules").send().await?.json().await?;
        let last = rules["groups"][0]["rules"][0]["last_evaluation"].as_str().and_then(|text| text.parse().ok());
        Ok(last.filter(|last: &Timestamp| *last >= time).map(|_| ()))
    })
    .await
}

async fn say(server: &Server, env: &str, message: &str, stack: Option<&str>) -> anyhow::Result<()> {
    let err = stack.map(|stack| json!({"type": "ShopError", "stack": stack}));
    let line = json!({"level": "error", "service": "api", "env": env, "msg": message, "err": err});
    let answer = server.client().post("/api/v1/ingest").body(format!("{line}\n")).send().await?;
    ensure!(answer.status().is_success(), "{answer:?}");
    Ok(())
}

async fn alerts(server: &Server) -> anyhow::Result<Vec<Value>> {
    let listed = logweir(server, &["alerts", "list", "-o", "json"]).await?;
    listed.text().lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

#[test]
fn a_new_pattern_is_told_and_ends_when_somebody_says_that_it_is_known() -> anyhow::Result<()> {
    run("marks", async |scratch| {
        let rules = scratch.file("rules.yaml", RULE)?;
        let server =
            Server::serve(scratch, "server", &format!("alerting: {{ rules: [{}] }}\n", rules.display())).await?;
        // Both scopes learn what is usual.
        for env in ["prod", "test"] {
            say(&server, env, "usual thing 1", None).await?;
        }
        let now = Timestamp::from_nanosecond(Clock::system().now_ns().into())?;
        evaluated(&server, now + Duration::from_secs(4)).await?;
        ensure!(alerts(&server).await?.is_empty(), "a scope learns in silence");
        // Two traces of one place are one pattern, whatever they say; another environment has none of it.
        say(&server, "prod", "order 7 of ann", Some("ShopError: order 7\n    at pay (/srv/shop/cart.js:1:2)")).await?;
        say(&server, "prod", "nothing alike", Some("ShopError: gone\n    at pay (/srv/shop/cart.js:9:9)")).await?;
        let alert = eventually(WITHIN, "the alert", async || Ok(alerts(&server).await?.pop())).await?;
        ensure!(alert["summary"] == "new in prod: ShopError in pay (cart.js)", "{alert}");
        ensure!(alert["labels"]["env"] == "prod" && alert["labels"]["service"] == "api", "{alert}");
        let pattern = alert["labels"]["pattern"].as_str().context("a pattern")?.to_owned();
        let line = ["patterns", "mark", "known", &pattern, "--comment", "since 2019", "--by", "ann"];
        let marked = logweir(&server, &line).await?.expect_code(0)?;
        eventually(WITHIN, "the end of the alert", async || Ok(alerts(&server).await?.is_empty().then_some(())))
            .await?;
        let listed = logweir(&server, &["patterns", "marks"]).await?.expect_code(0)?;
        ensure!(listed.text().contains(&pattern) && listed.text().contains("since 2019"), "{}", listed.text());
        logweir(&server, &["patterns", "unmark", marked.text().trim()]).await?.expect_code(0)?;
        eventually(WITHIN, "the alert again", async || Ok(alerts(&server).await?.pop())).await?;
        logweir(&server, &["patterns", "marks"]).await?.expect_code(1)?;
        Ok(())
    })
}

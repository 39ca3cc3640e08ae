//! The answers under `/prometheus` beside those of Debian's Prometheus with rules of the same kind: the same keys, and
//! values of the same types.

use std::time::Duration;

use anyhow::{Context, ensure};
use logweir_tests::harness::server::free_port;
use logweir_tests::harness::{Process, Scratch, Server, eventually, programs, run};
use serde_json::Value;
use tokio::process::Command;

const WITHIN: Duration = Duration::from_secs(60);

/// Keys that versions of Prometheus have besides, and Logweir's rules have no use for.
const MAY_BE_MISSING: [&str; 2] = ["keepFiringSince", "partialResponseStrategy"];

const THEIRS: &str = "
groups:
  - name: shop
    interval: 1s
    rules:
      - {alert: Errors, expr: 'vector(7) > 3', labels: {severity: warning, team: web}, annotations: {summary: many}}
      - {alert: Quiet, expr: 'vector(1) > 3', for: 1h, labels: {severity: critical}}
";

const OURS: &str = "
version: 1
groups:
  - name: shop
    every: 1s
    defaults: {delay: 0s}
    rules:
      - alert: Errors
        labels: {team: web}
        signals: {errors: {filter: 'level:error', agg: count, window: 1m}}
        levels: {warning: {when: errors >= 1}}
        summary: many
      - alert: Quiet
        signals: {errors: {filter: 'level:fatal', agg: count, window: 1m}}
        levels: {critical: {when: errors >= 1, for: 1h}}
        summary: none
";

async fn prometheus(scratch: &Scratch, port: u16) -> anyhow::Result<Process> {
    let rules = scratch.file("theirs.yml", THEIRS)?;
    let config = format!("global: {{evaluation_interval: 1s}}\nrule_files: [{}]\n", rules.display());
    let config = scratch.file("prometheus.yml", config)?;
    let mut command = Command::new(programs::installed("prometheus")?);
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.tsdb.path={}", scratch.folder("tsdb")?.display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    Process::spawn(scratch, "prometheus", command)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// What differs, as paths. Labels and annotations are free; lists are compared by their first elements.
fn differ(ours: &Value, theirs: &Value, place: &str, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs))
            if !place.ends_with("labels") && !place.ends_with("annotations") =>
        {
            for (key, value) in theirs {
                match ours.get(key) {
                    Some(own) => differ(own, value, &format!("{place}.{key}"), found),
                    None if MAY_BE_MISSING.contains(&key.as_str()) => {}
                    None => found.push(format!("{place}.{key} is missing")),
                }
            }
            found.extend(
                ours.keys().filter(|key| !theirs.contains_key(*key)).map(|key| format!("{place}.{key} is ours alone")),
            );
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            if let (Some(ours), Some(theirs)) = (ours.first(), theirs.first()) {
                differ(ours, theirs, &format!("{place}[]"), found);
            }
        }
        _ if kind(ours) != kind(theirs) => found.push(format!("{place} is {} and not {}", kind(ours), kind(theirs))),
        _ => {}
    }
}

#[test]
fn rules_and_alerts_have_the_shape_of_prometheus() -> anyhow::Result<()> {
    run("prometheus", async |scratch| {
        let port = free_port()?;
        let mut theirs = prometheus(scratch, port).await?;
        let rules = scratch.file("ours.yaml", OURS)?;
        let mut server =
            Server::serve(scratch, "server", &format!("alerting: {{ rules: [{}] }}\n", rules.display())).await?;
        server.client().post("/api/v1/ingest").body("{\"level\":\"error\",\"msg\":\"x\"}\n").send().await?;
        let http = reqwest::Client::new();
        for path in ["/api/v1/alerts", "/api/v1/rules", "/api/v1/rules?type=alert&rule_name[]=Quiet"] {
            let get = async |url: String| -> anyhow::Result<Option<Value>> {
                let Ok(answer) = http.get(url).send().await else { return Ok(None) };
                let value: Value = answer.json().await.context("JSON")?;
                // Until the first evaluation there are no alerts, and an error that is none.
                let text = value.to_string();
                let ready = text.contains("Errors") && text.contains("firing")
                    || path.contains("Quiet") && text.contains("Quiet");
                Ok(Some(value).filter(|value| ready && value["status"] == "success"))
            };
            let base = format!("http://127.0.0.1:{port}");
            let theirs = eventually(WITHIN, "prometheus", async || get(format!("{base}{path}")).await).await?;
            let base = format!("{}/prometheus", server.url());
            let ours = eventually(WITHIN, "logweir", async || get(format!("{base}{path}")).await).await?;
            let mut found = Vec::new();
            differ(&ours, &theirs, path, &mut found);
            ensure!(found.is_empty(), "{found:#?}\nours: {ours:#}\ntheirs: {theirs:#}");
        }
        theirs.check_alive()?;
        server.process().check_alive()
    })
}

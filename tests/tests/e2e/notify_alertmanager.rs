//! The Prometheus Alertmanager of Debian as a receiver, asked with its own amtool.

use std::time::Duration;

use anyhow::{Context, ensure};
use logweir_tests::harness::server::free_port;
use logweir_tests::harness::{Process, Server, eventually, process, run};
use serde_json::Value;
use tokio::process::Command;

const WITHIN: Duration = Duration::from_secs(40);

async fn active(url: &str) -> anyhow::Result<Vec<Value>> {
    let mut amtool = Command::new("amtool");
    amtool.args(["--alertmanager.url", url, "-o", "json", "alert", "query"]);
    let outcome = process::output(amtool).await?;
    Ok(if outcome.code == 0 { serde_json::from_slice(&outcome.stdout)? } else { Vec::new() })
}

#[test]
fn an_alertmanager_knows_what_fires_and_what_is_over() -> anyhow::Result<()> {
    run("alertmanager", async |scratch| {
        let config = scratch.file("am.yml", "route: {receiver: none}\nreceivers: [{name: none}]\n")?;
        let url = format!("http://127.0.0.1:{}", free_port()?);
        let mut command = Command::new("prometheus-alertmanager");
        command.arg("--config.file").arg(config).arg("--storage.path").arg(scratch.folder("am")?);
        command.arg(format!("--web.listen-address={}", &url["http://".len()..])).arg("--cluster.listen-address=");
        let mut alertmanager = Process::spawn(scratch, "alertmanager", command)?;
        let alerting = format!(
            "route: {{receiver: am, group_wait: 0s, group_interval: 1s}}\nreceivers: [{{name: am, alertmanager: [{{url: '{url}', allow_private: [127.0.0.1]}}]}}]\nheartbeats: [{{name: backup, every: 10s, grace: 0s, severity: warning, labels: {{service: db}}}}]\n"
        );
        let alerting = scratch.file("alerting.yaml", alerting)?;
        let server =
            Server::serve(scratch, "server", &format!("alerting: {{ config: {} }}\n", alerting.display())).await?;
        let alerts = eventually(WITHIN, "the alert at the Alertmanager", async || {
            Ok(Some(active(&url).await?).filter(|alerts| !alerts.is_empty()))
        })
        .await?;
        let labels = &alerts[0]["labels"];
        ensure!(labels["alertname"] == "HeartbeatMissed" && labels["service"] == "db", "{labels}");
        ensure!(labels["severity"] == "warning" && labels["heartbeat"] == "backup", "{labels}");
        let summary = alerts[0]["annotations"]["summary"].as_str().context("a summary")?;
        ensure!(summary.starts_with("no heartbeat of backup"), "{summary}");
        ensure!(server.client().post("/api/v1/heartbeat/backup").send().await?.status().is_success());
        eventually(WITHIN, "the end at the Alertmanager", async || Ok(active(&url).await?.is_empty().then_some(())))
            .await?;
        alertmanager.check_alive()
    })
}

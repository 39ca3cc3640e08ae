//! The amtool of Debian against Logweir: what fires is listed, and a silence that it makes keeps a message back.

use std::time::Duration;

use anyhow::{Context, ensure};
use logweir_tests::harness::webhook::{Receiver, SECRET};
use logweir_tests::harness::{Outcome, Server, eventually, process, run};
use serde_json::Value;
use tokio::process::Command;

const WITHIN: Duration = Duration::from_secs(60);

async fn amtool(server: &Server, line: &[&str]) -> anyhow::Result<Outcome> {
    let mut command = Command::new("amtool");
    command.arg(format!("--alertmanager.url={}/alertmanager", server.url())).args(line);
    process::output(command).await
}

#[test]
fn amtool_lists_alerts_and_its_silence_holds_a_message_back() -> anyhow::Result<()> {
    run("amtool", async |scratch| {
        let receiver = Receiver::start().await?;
        let secret = scratch.file("hook-secret", SECRET)?;
        let alerting = format!(
            "route: {{receiver: bus, group_by: ['...'], group_wait: 0s}}\nreceivers: [{{name: bus, webhook: [{{url: '{}', allow_private: [127.0.0.1], sign: {{standard_webhooks: {{secret_file: {}}}}}}}]}}]\nheartbeats: [{{name: loud, every: 10s, grace: 0s}}, {{name: quiet, every: 10s, grace: 0s}}]\n",
            receiver.url(),
            secret.display()
        );
        let alerting = scratch.file("alerting.yaml", alerting)?;
        let server =
            Server::serve(scratch, "server", &format!("alerting: {{ config: {} }}\n", alerting.display())).await?;
        let line = ["silence", "add", "heartbeat=quiet", "--duration=1h", "--author=ann", "--comment=deploy"];
        let made = amtool(&server, &line).await?.expect_code(0)?;
        let id = made.text().trim().to_owned();
        let listed = amtool(&server, &["silence", "query", "-q"]).await?.expect_code(0)?;
        ensure!(listed.text().trim() == id, "{} is not {id}", listed.text());
        receiver.wait_for(WITHIN, "the loud one", |told| told.body.to_string().contains("loud")).await?;
        let alerts = eventually(WITHIN, "both alerts in amtool", async || {
            let outcome = amtool(&server, &["alert", "query", "--silenced", "--active", "-o", "json"]).await?;
            let alerts: Vec<Value> = serde_json::from_slice(&outcome.stdout)?;
            Ok(Some(alerts).filter(|alerts| alerts.len() == 2))
        })
        .await?;
        let quiet = alerts.iter().find(|alert| alert["labels"]["heartbeat"] == "quiet").context("the quiet one")?;
        ensure!(quiet["status"]["silencedBy"][0] == id.as_str(), "{quiet}");
        let told = receiver.notifications()?;
        ensure!(told.iter().all(|told| !told.body.to_string().contains("quiet")), "{told:?}");
        let route = amtool(&server, &["config", "routes", "test", "heartbeat=loud"]).await?.expect_code(0)?;
        ensure!(route.text().trim() == "bus", "{}", route.text());
        amtool(&server, &["silence", "expire", &id]).await?.expect_code(0)?;
        receiver.wait_for(WITHIN, "the quiet one", |told| told.body.to_string().contains("quiet")).await?;
        Ok(())
    })
}

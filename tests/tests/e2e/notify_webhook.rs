//! Webhooks: verified by the published library, and none lost or doubled while the server is killed again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::ensure;
use logweir_tests::harness::server::free_port;
use logweir_tests::harness::webhook::{Receiver, SECRET};
use logweir_tests::harness::{Process, Server, eventually, programs, run};
use tokio::process::Command;

const WITHIN: Duration = Duration::from_secs(60);
const KILLS: u64 = 20;
const ALERTS: usize = 30;

/// Answers 204 only to what the library of the specification accepts.
const CONSUMER: &str = r#"
const { Webhook } = require("standardwebhooks");
const http = require("http"), fs = require("fs");
const [port, secret, out] = process.argv.slice(2);
const hook = new Webhook(secret);
http.createServer((request, response) => {
  let body = "";
  request.on("data", (part) => (body += part));
  request.on("end", () => {
    let verdict = "good";
    try { hook.verify(body, request.headers); } catch (error) { verdict = String(error); }
    fs.appendFileSync(out, verdict + "\n");
    response.writeHead(verdict === "good" ? 204 : 401).end();
  });
}).listen(Number(port), "127.0.0.1");
"#;

#[test]
fn the_published_library_accepts_our_signature() -> anyhow::Result<()> {
    run("standard-webhooks", async |scratch| {
        let port = free_port()?;
        let script = scratch.file("consumer.js", CONSUMER)?;
        let mut node = Command::new("node");
        node.arg(script).arg(port.to_string()).arg(SECRET).arg(scratch.join("verdicts"));
        node.env("NODE_PATH", programs::node_folder()?.join("node_modules"));
        let mut consumer = Process::spawn(scratch, "consumer", node)?;
        let secret = scratch.file("hook-secret", SECRET)?;
        let alerting = format!(
            "route: {{receiver: bus}}\nreceivers: [{{name: bus, webhook: [{{url: 'http://127.0.0.1:{port}/', allow_private: [127.0.0.1], sign: {{standard_webhooks: {{secret_file: {}}}}}}}]}}]\n",
            secret.display()
        );
        let alerting = scratch.file("alerting.yaml", alerting)?;
        let server =
            Server::serve(scratch, "server", &format!("alerting: {{ config: {} }}\n", alerting.display())).await?;
        let asked = eventually(WITHIN, "the routing", async || {
            let answer = server.client().post("/api/v1/receivers/bus/test").send().await?;
            Ok(answer.status().is_success().then_some(()))
        });
        asked.await?;
        let verdicts = || std::fs::read_to_string(scratch.join("verdicts")).unwrap_or_default();
        eventually(WITHIN, "the message", async || Ok((!verdicts().is_empty()).then_some(()))).await?;
        ensure!(verdicts().lines().all(|verdict| verdict == "good"), "{}", verdicts());
        consumer.check_alive()
    })
}

/// Numbers that look random and are the same in every run.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn kills_at_any_moment_lose_no_message_and_double_none() -> anyhow::Result<()> {
    run("notify-kills", async |scratch| {
        let receiver = Receiver::start().await?;
        let secret = scratch.file("hook-secret", SECRET)?;
        let beats: Vec<String> = (0..ALERTS).map(|i| format!("{{name: job-{i}, every: 10s, grace: 0s}}")).collect();
        let alerting = format!(
            "route: {{receiver: bus, group_by: ['...'], group_wait: 0s, group_interval: 1s}}\nreceivers: [{{name: bus, webhook: [{{url: '{}', allow_private: [127.0.0.1], rate: 20/s, sign: {{standard_webhooks: {{secret_file: {}}}}}}}]}}]\nheartbeats: [{}]\n",
            receiver.url(),
            secret.display(),
            beats.join(", ")
        );
        let alerting = scratch.file("alerting.yaml", alerting)?;
        let mut server =
            Server::serve(scratch, "server", &format!("alerting: {{ config: {} }}\n", alerting.display())).await?;
        eventually(WITHIN, "the first message", async || Ok((!receiver.notifications()?.is_empty()).then_some(())))
            .await?;
        let mut state = 7;
        for kill in 0..KILLS {
            if kill % 3 == 0 {
                receiver.refuse(2)?;
            }
            // Half of the kills come while messages go out, the others while alerts end.
            if kill >= KILLS / 2 {
                for i in 0..ALERTS / 2 {
                    let path = format!("/api/v1/heartbeat/job-{}", (i + kill as usize) % ALERTS);
                    // Right after a start it is asked to come again; the last round below takes no such answer.
                    let _ = server.client().post(&path).send().await?;
                }
            }
            tokio::time::sleep(Duration::from_millis(random(&mut state) % 600)).await;
            server.kill().await?;
            server.restart(scratch).await?;
        }
        for i in 0..ALERTS {
            let path = format!("/api/v1/heartbeat/job-{i}");
            let sent = eventually(WITHIN, "the routing", async || {
                Ok(server.client().post(&path).send().await?.status().is_success().then_some(()))
            });
            sent.await?;
        }
        // Every episode that was told as firing is told as over, and nothing waits.
        eventually(WITHIN, "the ends of all", async || {
            let state: serde_json::Value = server.client().json("/api/v1/notifications").await?;
            let alerts: serde_json::Value = server.client().json("/api/v1/alerts").await?;
            let none = |value: &serde_json::Value| value.as_array().is_some_and(Vec::is_empty);
            Ok((none(&state["outbox"]) && none(&alerts["alerts"])).then_some(()))
        })
        .await?;
        let (mut told, mut names) = (BTreeMap::<(String, String), BTreeSet<String>>::new(), BTreeSet::new());
        for notification in receiver.notifications()? {
            ensure!(notification.signature.is_ok(), "{notification:?}");
            let alert = &notification.body["alerts"][0];
            let text = |name: &str| alert[name].as_str().unwrap_or_default().to_owned();
            names.insert(alert["labels"]["heartbeat"].to_string());
            told.entry((text("episode"), text("status"))).or_default().insert(notification.id);
        }
        let told_as = |status: &str| -> BTreeSet<&String> {
            told.keys().filter(|(_, known)| known == status).map(|(episode, _)| episode).collect()
        };
        let (firing, resolved) = (told_as("firing"), told_as("resolved"));
        ensure!(names.len() == ALERTS, "{} of {ALERTS} jobs were told of", names.len());
        ensure!(resolved == firing, "ends are missing: {:?}", firing.difference(&resolved).collect::<Vec<_>>());
        let doubled: Vec<_> = told.iter().filter(|(_, ids)| ids.len() > 1).collect();
        ensure!(doubled.is_empty(), "told twice under different ids: {doubled:?}");
        Ok(())
    })
}

//! Webhooks verified by the published library, and messages of every kind while the server is killed again and again.

use std::time::Duration;

use anyhow::ensure;
use logweir_tests::drill::alerts;
use logweir_tests::harness::server::free_port;
use logweir_tests::harness::webhook::SECRET;
use logweir_tests::harness::{Process, Server, eventually, programs, run};
use tokio::process::Command;

const WITHIN: Duration = Duration::from_secs(60);
/// `make drill ARGS='--only alerts'` kills a thousand times.
const KILLS: u64 = 20;
const JOBS: usize = 10;

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

#[test]
fn kills_at_any_moment_lose_no_message_and_double_none() -> anyhow::Result<()> {
    run("notify-kills", async |scratch| alerts::run(scratch, KILLS, JOBS).await?.check())
}

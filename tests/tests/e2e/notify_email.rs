//! Mail through a real SMTP server: STARTTLS with a certificate that is checked, a password, one thread over the life of
//! an alert.

use std::time::Duration;

use anyhow::{Context, ensure};
use logweir_tests::harness::server::free_port;
use logweir_tests::harness::{Process, Scratch, Server, eventually, process, run};
use serde_json::Value;
use tokio::process::Command;

const WITHIN: Duration = Duration::from_secs(40);

/// Takes mail only over TLS and with the password; writes each as a line of JSON.
const SMTP_SERVER: &str = r#"
import email, email.policy, json, ssl, sys, threading
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

port, cert, key, out, implicit = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5] == "implicit"

class Handler:
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = [{"type": p.get_content_type(), "id": p["Content-ID"], "text": p.get_content() if p.get_content_maintype() == "text" else "", "png": p.get_content_type() == "image/png" and p.get_content().startswith(b"\x89PNG\r\n\x1a\n")} for p in mail.walk() if not p.is_multipart()]
        with open(out, "a") as f:
            f.write(json.dumps({"headers": {k.lower(): str(v) for k, v in mail.items()}, "parts": parts, "to": envelope.rcpt_tos, "tls": implicit or session.ssl is not None, "user": session.auth_data.decode()}) + "\n")
        return "250 OK"

def authenticate(server, session, envelope, mechanism, data):
    good = data.login == b"alerts@example.com" and data.password == b"hush"
    return AuthResult(success=good, auth_data=data.login)

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
if implicit:
    # The whole connection is TLS; the server itself does not see it.
    Controller(Handler(), hostname="127.0.0.1", port=port, ssl_context=context, auth_required=True, auth_require_tls=False, authenticator=authenticate).start()
else:
    Controller(Handler(), hostname="127.0.0.1", port=port, tls_context=context, require_starttls=True, auth_required=True, authenticator=authenticate).start()
print("ready", flush=True)
threading.Event().wait()
"#;

async fn smtp(scratch: &Scratch, port: u16, tls: &str) -> anyhow::Result<Process> {
    let (cert, key) = (scratch.join("smtp-cert.pem"), scratch.join("smtp-key.pem"));
    let (ca, ca_key) = (scratch.join("ca.pem"), scratch.join("ca-key.pem"));
    let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"];
    let mut openssl = Command::new("openssl");
    openssl.args(request).args(["-subj", "/CN=test-ca"]).arg("-keyout").arg(&ca_key).arg("-out").arg(&ca);
    process::succeed(openssl).await.context("openssl")?;
    let mut openssl = Command::new("openssl");
    openssl.args(request).args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]).arg("-CA").arg(&ca).arg("-CAkey").arg(&ca_key);
    openssl.arg("-keyout").arg(&key).arg("-out").arg(&cert);
    process::succeed(openssl).await.context("openssl")?;
    let script = scratch.file("smtp.py", SMTP_SERVER)?;
    // The machine's own Python, which has the Debian package.
    let mut python = Command::new("/usr/bin/python3");
    python.arg(script).arg(port.to_string()).arg(cert).arg(key).arg(scratch.join("mails")).arg(tls);
    Process::spawn(scratch, "smtp", python)
}

fn mails(scratch: &Scratch) -> Vec<Value> {
    let text = std::fs::read_to_string(scratch.join("mails")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn an_alert_and_its_end_are_one_thread_over_starttls() -> anyhow::Result<()> {
    run("email", async |scratch| {
        let port = free_port()?;
        let mut smtp = smtp(scratch, port, "starttls").await?;
        let password = scratch.file("smtp-password", "hush\n")?;
        let alerting = format!(
            "route: {{receiver: mail, group_wait: 0s, group_interval: 1s}}\nreceivers:\n  - name: mail\n    email: [{{to: oncall@example.com, from: alerts@example.com, smarthost: 'localhost:{port}', ca_file: ca.pem, password_file: {}}}]\nheartbeats: [{{name: backup, every: 10s, grace: 0s}}]\n",
            password.display()
        );
        let alerting = scratch.file("alerting.yaml", alerting)?;
        let mut server =
            Server::serve(scratch, "server", &format!("alerting: {{ config: {} }}\n", alerting.display())).await?;
        eventually(WITHIN, "the alert by mail", async || Ok((!mails(scratch).is_empty()).then_some(()))).await?;
        let answer = server.client().post("/api/v1/heartbeat/backup").send().await?;
        ensure!(answer.status().is_success(), "{answer:?}");
        eventually(WITHIN, "the end by mail", async || Ok((mails(scratch).len() >= 2).then_some(()))).await?;
        let mails = mails(scratch);
        for mail in &mails {
            let headers = &mail["headers"];
            ensure!(mail["tls"] == true && mail["user"] == "alerts@example.com", "{mail}");
            ensure!(headers["subject"] == "Alert: HeartbeatMissed", "{headers}");
            ensure!(headers["references"] == mails[0]["headers"]["references"], "{headers}");
            ensure!(headers["auto-submitted"] == "auto-generated" && headers["list-id"] != Value::Null, "{headers}");
            let kinds: Vec<&str> =
                mail["parts"].as_array().context("parts")?.iter().filter_map(|p| p["type"].as_str()).collect();
            ensure!(kinds.starts_with(&["text/plain", "text/html"]), "{kinds:?}");
        }
        ensure!(mails[0]["headers"]["message-id"] != mails[1]["headers"]["message-id"]);
        let text = |mail: &Value| mail["parts"][0]["text"].as_str().unwrap_or_default().to_owned();
        ensure!(text(&mails[0]).contains("no heartbeat of backup since"), "{}", text(&mails[0]));
        ensure!(text(&mails[1]).contains("resolved: HeartbeatMissed"), "{}", text(&mails[1]));
        smtp.check_alive()?;
        server.process().check_alive()
    })
}

const RULE: &str = "
version: 1
groups:
  - name: shop
    every: 1s
    defaults: {delay: 0s}
    rules:
      - alert: Errors
        signals: {errors: {filter: 'service:shop level:error', agg: count, window: 1s}}
        levels: {warning: {when: errors >= 1}}
        keep_firing_for: 1h
        summary: '{{ value.errors }} errors'
        context: {samples: 3, chart: {signal: errors, span: 2m}}
";

#[test]
fn an_alert_comes_over_implicit_tls_with_its_chart_inline() -> anyhow::Result<()> {
    run("email-implicit", async |scratch| {
        let port = free_port()?;
        let mut smtp = smtp(scratch, port, "implicit").await?;
        let password = scratch.file("smtp-password", "hush\n")?;
        let rules = scratch.file("rules.yaml", RULE)?;
        let alerting = format!(
            "route: {{receiver: mail, group_wait: 0s}}\nreceivers:\n  - name: mail\n    email: [{{to: oncall@example.com, from: alerts@example.com, smarthost: 'localhost:{port}', tls: implicit, ca_file: ca.pem, password_file: {}}}]\n",
            password.display()
        );
        let alerting = scratch.file("alerting.yaml", alerting)?;
        let config = format!("alerting: {{ rules: [{}], config: {} }}\n", rules.display(), alerting.display());
        let mut server = Server::serve(scratch, "server", &config).await?;
        let mail = eventually(WITHIN, "the alert by mail", async || {
            // Errors until one is told: the picture shows those before it.
            let line = "{\"level\":\"error\",\"service\":\"shop\",\"msg\":\"checkout <failed> & gone\"}\n";
            server.client().post("/api/v1/ingest").body(line).send().await?;
            Ok(mails(scratch).pop())
        })
        .await?;
        ensure!(mail["tls"] == true && mail["user"] == "alerts@example.com", "{mail}");
        let parts = mail["parts"].as_array().context("parts")?;
        let kinds: Vec<&str> = parts.iter().filter_map(|part| part["type"].as_str()).collect();
        ensure!(kinds == ["text/plain", "text/html", "image/png"], "{kinds:?}");
        let html = parts[1]["text"].as_str().unwrap_or_default();
        let id = parts[2]["id"].as_str().unwrap_or_default().trim_matches(['<', '>']);
        ensure!(parts[2]["png"] == true && html.contains(&format!("cid:{id}")), "{id}: {html}");
        ensure!(html.contains("checkout &lt;failed&gt; &amp; gone"), "{html}");
        smtp.check_alive()?;
        server.process().check_alive()
    })
}

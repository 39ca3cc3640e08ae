//! The command line: exit codes, what goes where, and shapes that scripts rely on.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use logweir_tests::harness::server::{cli, free_port};
use logweir_tests::harness::{Outcome, Scratch, Server, programs, run};
use serde_json::{Value, json};

const ACCESS_LOG: &str = "\
203.0.113.9 - - [20/Nov/2026:10:00:00 +0000] \"GET /cart?id=1 HTTP/1.1\" 200 12 \"-\" \"curl/8\"\n\
203.0.113.9 - - [20/Nov/2026:10:00:01 +0000] \"GET /pay HTTP/1.1\" 502 7 \"-\" \"curl/8\"\n\
203.0.113.7 - - [20/Nov/2026:10:00:02 +0000] \"POST /pay HTTP/1.1\" 500 7 \"-\" \"curl/8\"\n";

async fn server_with_lines(scratch: &Scratch) -> anyhow::Result<Server> {
    let server = Server::serve(scratch, "server", "").await?;
    let lines: String = (0..40)
        .map(|n| json!({"level": if n % 4 == 0 { "error" } else { "info" }, "service": "api", "status": 200 + n, "msg": format!("call {n}")}).to_string() + "\n")
        .collect();
    server.client().ingest(lines).await?;
    server.wait_count("service:api", 40, Duration::from_secs(5)).await?;
    Ok(server)
}

/// The stated code, and an error on stderr with nothing on stdout where it is not 0.
async fn expect(url: &str, arguments: &[&str], code: i32) -> anyhow::Result<Outcome> {
    let outcome = cli(url, arguments).await?.expect_code(code).with_context(|| format!("logweir {arguments:?}"))?;
    if code > 1 {
        ensure!(outcome.stdout.is_empty(), "{arguments:?}: an error on stdout: {}", outcome.text());
        ensure!(!outcome.stderr.trim().is_empty(), "{arguments:?}: exit {code} and not a word");
    }
    Ok(outcome)
}

#[test]
fn search_answers_with_codes_that_scripts_can_use() -> anyhow::Result<()> {
    run("codes", async |scratch| {
        let server = server_with_lines(scratch).await?;
        let url = server.url();
        expect(url, &["search", "service:api level:error"], 0).await?;
        expect(url, &["search", "service:nobody"], 1).await?;
        let wrong = expect(url, &["search", "service:api | bogus"], 2).await?;
        ensure!(wrong.stderr.contains("bogus"), "the error names the pipe: {}", wrong.stderr);
        expect(url, &["no-such-command"], 2).await?;
        expect(url, &["search", "a", "--no-such-flag"], 2).await?;
        let nobody = format!("http://127.0.0.1:{}", free_port()?);
        let unreachable = expect(&nobody, &["search", "a"], 3).await?;
        ensure!(unreachable.stderr.contains(&nobody), "the error names the address: {}", unreachable.stderr);
        expect(url, &["status"], 0).await?;
        expect(url, &["completions", "bash"], 0).await?;
        expect(url, &["--help"], 0).await?;
        Ok(())
    })
}

#[test]
fn search_prints_the_shapes_of_the_contract() -> anyhow::Result<()> {
    run("shapes", async |scratch| {
        let server = server_with_lines(scratch).await?;
        let url = server.url();
        let json = expect(url, &["search", "service:api level:error", "-o", "json"], 0).await?;
        let rows: Vec<Value> = json.lines().iter().map(|line| serde_json::from_str(line)).collect::<Result<_, _>>()?;
        ensure!(rows.len() == 10, "{} rows", rows.len());
        for row in &rows {
            let time = row["time"].as_str().unwrap_or_default();
            let nanoseconds =
                time.split_once('.').is_some_and(|(_, fraction)| fraction.len() == 10 && time.ends_with('Z'));
            ensure!(nanoseconds, "time is RFC 3339 with nanoseconds in UTC: {row}");
            ensure!(row["service"] == "api" && row["level"] == "error", "{row}");
        }
        let count = expect(url, &["search", "service:api", "--count"], 0).await?;
        ensure!(count.text().trim() == "40", "--count: {}", count.text());
        let table = expect(url, &["search", "service:api | stats count by level", "-o", "csv"], 0).await?;
        let lines = table.lines();
        ensure!(lines.iter().any(|line| line == "error,10") && lines.iter().any(|line| line == "info,30"), "{lines:?}");
        let few = expect(url, &["search", "service:api", "-n", "3", "-o", "raw"], 0).await?;
        ensure!(few.lines().len() == 3, "-n 3: {}", few.text());
        let all = expect(url, &["search", "service:api", "--all", "-o", "raw"], 0).await?;
        ensure!(all.lines().len() == 40, "--all: {}", all.text());
        ensure!(!all.text().contains('\u{1b}'), "colour where there is no terminal");
        Ok(())
    })
}

#[test]
fn an_unknown_field_is_a_warning_with_a_suggestion() -> anyhow::Result<()> {
    run("typo", async |scratch| {
        let server = server_with_lines(scratch).await?;
        let typo = server.cli(&["search", "statuss:201"]).await?.expect_code(1)?;
        ensure!(typo.stderr.contains("statuss") && typo.stderr.contains("status"), "{}", typo.stderr);
        Ok(())
    })
}

/// Runs `logweir` with bytes on its standard input and no server.
fn piped(arguments: &[&str], input: &str) -> anyhow::Result<std::process::Output> {
    let mut command = std::process::Command::new(programs::ours("logweir")?);
    command.args(arguments).env("LOGWEIR_URL", "http://127.0.0.1:1").env("NO_COLOR", "1");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("stdin")?.write_all(input.as_bytes())?;
    Ok(child.wait_with_output()?)
}

#[test]
fn a_pipe_is_searched_without_a_server() -> anyhow::Result<()> {
    let query = "status>=500 | stats count by path";
    let out = piped(&["search", query, "--stdin", "nginx", "-o", "csv"], ACCESS_LOG)?;
    let text = String::from_utf8_lossy(&out.stdout);
    ensure!(out.status.code() == Some(0), "{:?} {}", out.status, String::from_utf8_lossy(&out.stderr));
    ensure!(text.lines().any(|line| line == "/pay,2"), "{text}");
    ensure!(piped(&["search", "status:404", "--stdin", "nginx"], ACCESS_LOG)?.status.code() == Some(1));
    Ok(())
}

#[test]
fn a_reader_that_has_enough_is_success() -> anyhow::Result<()> {
    let logweir = programs::ours("logweir")?;
    let many = ACCESS_LOG.repeat(20_000);
    let mut command = std::process::Command::new("bash");
    let script = format!("set -o pipefail; '{}' search '*' --stdin nginx --all -o raw | head -n 1", logweir.display());
    command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    // Whoever stops reading early breaks our pipe in turn.
    let _ = child.stdin.take().context("stdin")?.write_all(many.as_bytes());
    let out = child.wait_with_output()?;
    ensure!(out.status.success(), "{:?} {}", out.status, String::from_utf8_lossy(&out.stderr));
    ensure!(String::from_utf8_lossy(&out.stdout).lines().count() == 1);
    Ok(())
}

#[test]
fn wrong_configuration_is_told_all_at_once() -> anyhow::Result<()> {
    run("check", async |scratch| {
        let bad = scratch.file("bad.yaml", "listen: nowhere\ndata_dirr: /tmp\nretention: { days: -1 }\n")?;
        let outcome = expect("http://127.0.0.1:1", &["check", "--config", &bad.display().to_string()], 2).await?;
        for part in ["listen", "data_dirr", "days"] {
            ensure!(outcome.stderr.contains(part), "{part} is not in: {}", outcome.stderr);
        }
        let good = scratch.file("good.yaml", "listen: 127.0.0.1:7171\nretention: { days: 30 }\n")?;
        expect("http://127.0.0.1:1", &["check", "--config", &good.display().to_string()], 0).await?;
        let rules = scratch.file("rules/bad.yaml", "groups:\n  - name: [\n")?;
        let outcome = expect("http://127.0.0.1:1", &["rules", "check", &rules.display().to_string()], 2).await?;
        ensure!(outcome.stderr.contains("bad.yaml"), "{}", outcome.stderr);
        Ok(())
    })
}

#[test]
fn the_shipped_rules_hold_and_pass_their_tests() -> anyhow::Result<()> {
    run("rules", async |_| {
        let library = logweir_tests::tidy::workspace_root().join("rules/library").display().to_string();
        expect("http://127.0.0.1:1", &["rules", "check", &library], 0).await?;
        expect("http://127.0.0.1:1", &["rules", "test", &library], 0).await?;
        Ok(())
    })
}

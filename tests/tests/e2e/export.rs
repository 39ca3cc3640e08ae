//! `logweir export` is killed in the middle of a page, and the file has every line once all the same; and the exports
//! that the server writes outlive its restart.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use logweir_runtime::clock::{Clock, NANOS_PER_SECOND, rfc3339};
use logweir_tests::harness::server::cli;
use logweir_tests::harness::{Process, Scratch, Server, eventually, programs, run};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

const EVENTS: u64 = 45_000;
const SOON: Duration = Duration::from_secs(60);
/// More than one page of an answer, and less than all of them.
const STALL_AFTER_BYTES: u64 = 5 << 20;

async fn server_with_events(scratch: &Scratch) -> anyhow::Result<Server> {
    let server = Server::serve(scratch, "server", "").await?;
    let begun_ns = Clock::system().now_ns() - 3600 * NANOS_PER_SECOND;
    for part in 0..3 {
        let (from, to) = (part * EVENTS / 3, (part + 1) * EVENTS / 3);
        let line = |n: u64| {
            let time = rfc3339(begun_ns + i64::try_from(n).unwrap_or(0) * 1_000_000);
            json!({"time": time, "service": "pay", "message": format!("payment {n} of a customer"), "n": n}).to_string()
                + "\n"
        };
        server.client().ingest((from..to).map(line).collect::<String>()).await?;
    }
    server.wait_count("service:pay", EVENTS, SOON).await?;
    Ok(server)
}

/// A way to the server that carries so much of an answer and then no more.
async fn stalling(server: &str) -> anyhow::Result<String> {
    let to = server.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let to = to.clone();
            tokio::spawn(async move {
                let server = TcpStream::connect(&to).await?;
                let ((mut from_client, mut to_client), (from_server, mut to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                tokio::io::copy(&mut from_server.take(STALL_AFTER_BYTES), &mut to_client).await?;
                to_client.flush().await?;
                std::future::pending::<std::io::Result<()>>().await
            });
        }
    });
    Ok(url)
}

/// The numbers of the events in a file, in its order.
fn numbers(path: &Path) -> anyhow::Result<Vec<u64>> {
    let mut text = String::new();
    let mut decoder = zstd::Decoder::new(std::fs::File::open(path)?)?;
    std::io::Read::read_to_string(&mut decoder, &mut text).context("a whole zstd file")?;
    let number = |line: &str| serde_json::from_str::<Value>(line).ok()?.get("n")?.as_u64();
    text.lines().map(|line| number(line).with_context(|| format!("no event: {line}"))).collect()
}

const ASKED: [&str; 4] = ["export", "service:pay", "--since", "2h"];

#[test]
fn an_export_that_is_killed_goes_on_where_it_was() -> anyhow::Result<()> {
    run("export-kill", async |scratch| {
        let server = server_with_events(scratch).await?;
        let file = scratch.join("pay.ndjson.zst");
        let name = file.display().to_string();
        let state = scratch.join("pay.ndjson.zst.state");

        let mut command = Command::new(programs::ours("logweir")?);
        command.args(ASKED).args(["-o", &name, "--url", &stalling(server.url()).await?]);
        let mut export = Process::spawn(scratch, "export", command)?;
        eventually(SOON, "a page is written", async || {
            export.check_alive()?;
            let state: Value = serde_json::from_slice(&std::fs::read(&state)?)?;
            Ok((state["rows"].as_u64() > Some(0)).then_some(()))
        })
        .await?;
        export.kill().await?;

        let again: Vec<&str> = ASKED.into_iter().chain(["-o", &name]).collect();
        let refused = cli(server.url(), &again).await?.expect_code(2)?;
        ensure!(refused.stderr.contains("--resume"), "it says how to go on: {}", refused.stderr);
        let resume: Vec<&str> = again.into_iter().chain(["--resume"]).collect();
        cli(server.url(), &resume).await?.expect_code(0)?;
        ensure!(numbers(&file)? == (0..EVENTS).collect::<Vec<_>>(), "every event once, in order");
        ensure!(!state.exists(), "the state is gone");
        Ok(())
    })
}

#[test]
fn an_export_of_the_server_outlives_its_end() -> anyhow::Result<()> {
    run("export-server", async |scratch| {
        let mut server = server_with_events(scratch).await?;
        let asked = json!({"query": "service:pay", "from": "-2h"});
        let made: Value = server.client().post("/api/v1/exports").json(&asked).send().await?.json().await?;
        let path = format!("/api/v1/exports/{}", made["id"].as_str().with_context(|| made.to_string())?);
        server.kill().await?;
        server.restart(scratch).await?;
        let done: Value = eventually(SOON, "the export is done", async || {
            let export: Value = server.client().json(&path).await?;
            Ok((export["state"] == "done").then_some(export))
        })
        .await?;
        ensure!(done["complete"] == true && done["rows"] == EVENTS, "{done}");
        let file = scratch.join("server.ndjson.zst");
        std::fs::write(&file, server.client().get(&format!("{path}/data")).send().await?.bytes().await?)?;
        ensure!(numbers(&file)? == (0..EVENTS).collect::<Vec<_>>(), "every event once, in order");
        Ok(())
    })
}

#[test]
fn the_description_of_the_api_is_openapi() -> anyhow::Result<()> {
    run("openapi", async |scratch| {
        let server = Server::serve(scratch, "server", "").await?;
        let document = server.client().get("/docs/openapi.json").send().await?.bytes().await?;
        let file = scratch.file("openapi.json", document)?;
        let mut python = Command::new(programs::python()?);
        python.args(["-m", "openapi_spec_validator"]).arg(&file);
        logweir_tests::harness::process::succeed(python).await?;
        Ok(())
    })
}

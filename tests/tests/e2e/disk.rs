//! A full disk: the door says so and closes, nothing acknowledged is lost, and with room again it opens by itself.

use std::time::Duration;

use anyhow::{Context, ensure};
use logweir_proto::api::{Health, IngestAnswer};
use logweir_tests::faults::{Dice, SmallDisk};
use logweir_tests::harness::{Server, eventually, run};
use reqwest::StatusCode;
use serde_json::json;

const LINES: u64 = 2_000;
/// Bodies of random text: more of them than the disk holds, however well they compress.
const BODIES_MAX: u64 = 400;
/// The server keeps 48 MiB free for what it has to write to stay alive.
const DISK: &str = "72m";
const LARGER_DISK: &str = "400m";

/// Lines that do not compress well, so that the disk fills soon.
fn body(dice: &mut Dice, from: u64) -> String {
    let line = |number| {
        let noise: String = (0..12).map(|_| format!("{:016x}", dice.next_u64())).collect();
        json!({"level": "info", "service": "noise", "n": number, "msg": noise}).to_string() + "\n"
    };
    (from..from + LINES).map(line).collect()
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() -> anyhow::Result<()> {
    run("disk", async |scratch| {
        let disk = SmallDisk::mount(scratch.join("disk"), DISK).await?;
        let mut server = Server::serve_in(scratch, "server", disk.path(), "limits: { seal_bytes: 4MiB }\n").await?;
        let mut dice = Dice::from_env();
        let mut acknowledged = 0;
        let mut refused = None;
        for _ in 0..BODIES_MAX {
            let response = server.client().ingest_response(body(&mut dice, acknowledged)).await?;
            if response.status() != StatusCode::OK {
                refused = Some((response.status(), response.headers().get("retry-after").cloned()));
                break;
            }
            let answer: IngestAnswer = response.json().await?;
            ensure!(answer.accepted == LINES, "{answer:?}");
            acknowledged += LINES;
        }
        let (status, retry_after) = refused.context("the disk never was full")?;
        ensure!([StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status), "{status}");
        ensure!(retry_after.is_some(), "{status} without Retry-After");
        server.process().check_alive()?;
        // To the last byte, as another program on the same disk would.
        std::fs::write(disk.path().join("filler"), vec![0; 256 << 20]).err().context("the disk took 256 MiB more")?;
        let response = server.client().ingest_response(body(&mut dice, acknowledged)).await?;
        ensure!([StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&response.status()));
        server.process().check_alive()?;
        server.wait_count("service:noise", acknowledged, Duration::from_secs(10)).await?;

        server.kill().await?;
        disk.resize(LARGER_DISK).await?;
        server.restart(scratch).await?;
        server.wait_count("service:noise", acknowledged, Duration::from_secs(20)).await?;
        eventually(Duration::from_secs(20), "the door opens again", async || {
            let response = server.client().ingest_response(body(&mut dice, acknowledged)).await?;
            Ok((response.status() == StatusCode::OK).then_some(()))
        })
        .await?;
        server.wait_count("service:noise", acknowledged + LINES, Duration::from_secs(10)).await?;
        ensure!(server.client().count("service:noise").await? == acknowledged + LINES, "each exactly once");
        drop(server);
        drop(disk);
        Ok(())
    })
}

/// The part of `/health/ready` about the disk.
async fn disk_part(server: &Server) -> anyhow::Result<String> {
    let health: Health = server.client().get("/health/ready").send().await?.json().await?;
    Ok(health.parts.get("disk").cloned().unwrap_or_default())
}

#[test]
fn from_its_watermarks_on_the_server_warns_and_then_refuses() -> anyhow::Result<()> {
    run("watermarks", async |scratch| {
        let disk = SmallDisk::mount(scratch.join("disk"), "200m").await?;
        let limits = "limits: { disk_warn_percent: 40, disk_full_percent: 60 }\n";
        let mut server = Server::serve_in(scratch, "server", disk.path(), limits).await?;
        let fill = |name: &str| std::fs::write(disk.path().join(name), vec![1; 90 << 20]);
        ensure!(disk_part(&server).await? == "ok");
        fill("one")?;
        eventually(Duration::from_secs(10), "a warning", async || {
            Ok(disk_part(&server).await?.starts_with("ok, but the disk is nearly full: 4").then_some(()))
        })
        .await?;
        ensure!(server.client().status_of("/health/ready").await? == StatusCode::OK, "it is ready all the same");
        server.wait_count("source:logweir level:warn \"disk is nearly full\"", 1, Duration::from_secs(10)).await?;
        server.client().ingest(r#"{"service":"noise","msg":"taken"}"#).await?;

        let more = vec![1; 36 << 20];
        std::fs::write(disk.path().join("two"), &more)?;
        eventually(Duration::from_secs(10), "the door closes", async || {
            let response = server.client().ingest_response(r#"{"service":"noise","msg":"refused"}"#).await?;
            let (status, again) = (response.status(), response.headers().contains_key("retry-after"));
            let why = response.text().await?;
            let refused =
                status == StatusCode::TOO_MANY_REQUESTS && again && why.contains("limits.disk_full_percent is 60");
            Ok(refused.then_some(()))
        })
        .await?;
        server.wait_count("source:logweir level:error \"disk is full\"", 1, Duration::from_secs(10)).await?;
        let metrics = server.client().get("/metrics").send().await?.text().await?;
        ensure!(metrics.lines().any(|line| line.starts_with("logweir_disk_used_percent 6")), "the metric");

        std::fs::remove_file(disk.path().join("two"))?;
        eventually(Duration::from_secs(10), "the door opens again", async || {
            let response = server.client().ingest_response(r#"{"service":"noise","msg":"again"}"#).await?;
            Ok((response.status() == StatusCode::OK).then_some(()))
        })
        .await?;
        let data = disk.path().display().to_string();
        let in_use = server.cli(&["fsck", "--data", &data]).await?.expect_code(2)?;
        ensure!(in_use.stderr.contains("is in use by another logweir"), "{}", in_use.stderr);
        server.kill().await?;
        let whole = server.cli(&["fsck", "--data", &data, "--deep"]).await?.expect_code(0)?;
        ensure!(whole.stderr.contains("all is well"), "{}", whole.stderr);
        drop(server);
        drop(disk);
        Ok(())
    })
}

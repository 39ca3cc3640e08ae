//! A full disk: the door says so and closes, nothing acknowledged is lost, and with room again it opens by itself.

use std::time::Duration;

use anyhow::{Context, ensure};
use logweir_proto::api::IngestAnswer;
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

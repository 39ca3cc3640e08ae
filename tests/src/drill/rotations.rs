//! Rows in which files change under the agent, or the agent dies beside them.

use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::sleep;

use super::world::{World, gap_bytes};
use super::writer::{Load, Rotation};
use super::{Figures, PACE, Scale};
use crate::harness::docker::{Docker, counting};
use crate::harness::ledger::{Tally, written};
use crate::harness::{Agent, Scratch, Server, eventually};

const LINES: u64 = 150_000;

/// Every 2 s, in short every 80 ms.
fn each(scale: Scale) -> u64 {
    scale.of(2 * PACE)
}

pub(super) async fn renamed(world: &mut World<'_>) -> anyhow::Result<()> {
    world.load(world.scale.of(LINES), Some((each(world.scale), Rotation::Rename))).await
}

pub(super) async fn copied(world: &mut World<'_>) -> anyhow::Result<()> {
    world.load(world.scale.of(LINES), Some((each(world.scale), Rotation::CopyTruncate))).await
}

/// Five times at random moments.
pub(super) async fn killed(world: &mut World<'_>) -> anyhow::Result<()> {
    let World { scratch, scale, agent, writer, dice, .. } = world;
    let done = Cell::new(false);
    let load = writer.run(Load { lines: scale.of(LINES), pace: PACE, rotate: None }, &done);
    let (from, to) = match scale {
        Scale::Full => (1_000, 6_000),
        Scale::Short => (50, 300),
    };
    let kills = async {
        for _ in 0..5 {
            sleep(dice.millis(from, to)).await;
            agent.kill().await?;
            sleep(dice.millis(1, 300)).await;
            agent.start(scratch)?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(load, kills).map(drop)
}

/// Written, killed, written, rotated, written, started: three times.
pub(super) async fn rotated_unseen(world: &mut World<'_>, gzip: bool) -> anyhow::Result<()> {
    let part = world.scale.of(10_000);
    let rotation = if gzip { Rotation::Gzip } else { Rotation::Rename };
    for _ in 0..3 {
        world.load(part, None).await?;
        world.agent.kill().await?;
        world.load(part, None).await?;
        world.writer.rotate(rotation).await?;
        world.load(part, None).await?;
        world.agent.start(world.scratch)?;
        world.load(part, None).await?;
    }
    Ok(())
}

/// Nobody made a copy, and all that was truncated was stored: only the new beginning tells.
pub(super) async fn regrown(world: &mut World<'_>) -> anyhow::Result<()> {
    for _ in 0..3 {
        world.load(world.scale.of(2_500), None).await?;
        world.caught_up().await?;
        world.writer.truncate()?;
        world.writer.write(world.scale.of(6_000))?;
        world.caught_up().await?;
    }
    Ok(())
}

/// Twelve lines, each of which some shipper loses. The last one has no newline, and one is longer than any limit.
pub(super) async fn odd(world: World<'_>) -> anyhow::Result<Figures> {
    let path = world.writer.path().with_file_name("odd.log");
    let mark = |number: u64| format!("seq-odd-{number}- ").into_bytes();
    let long = vec![b'y'; 5 << 20];
    let after: [&[u8]; 12] = [
        b"plain\n",
        b"\xff\xfe\xc3( no UTF-8\n",
        b"a\0b\0\n",
        b"carriage return\r\n",
        b"\x1b[31mred\x1b[0m\x07\n",
        &[&long[..], b"\n"].concat(),
        b"after the long one\n",
        b"{\"broken\": [1,\n",
        b"  \t space \t \n",
        "\u{202e}abc\u{202c} \u{fffd} \u{1f600}\n".as_bytes(),
        b"lone \r in the middle\n",
        b"no newline at the end",
    ];
    let mut log = File::create(&path)?;
    let mut size = 0;
    for (number, line) in (0..).zip(after) {
        let line = [&mark(number), line].concat();
        size += line.len() as u64;
        log.write_all(&line)?;
    }
    let client = world.server.client();
    eventually(Duration::from_secs(60), "every byte is stored", async || {
        let sources: Vec<logweir_proto::api::SourceStatus> = client.json("/api/v1/sources").await?;
        let odd = sources.iter().find(|source| source.path.ends_with("odd.log")).context("the source is not listed")?;
        ensure!(odd.ranges == [(0, size)], "{:?} of {size} bytes are stored", odd.ranges);
        Ok(Some(()))
    })
    .await?;
    let rows = client.all_rows("service:drill", Some("raw")).await?;
    let raw: Vec<&str> = rows.iter().filter_map(|row| row.get("raw")?.as_str()).collect();
    // The pieces of the long line that follow its first have no mark.
    let lines: Vec<&str> = raw.iter().copied().filter(|line| line.contains("seq-odd-")).collect();
    let tally = Tally::of("odd", &(0..12).collect(), lines.into_iter());
    let long_bytes: usize = raw.iter().map(|line| line.bytes().filter(|byte| *byte == b'y').count()).sum();
    ensure!(long_bytes >= long.len(), "{long_bytes} bytes of the long line came");
    ensure!(tally.strange.is_empty(), "{:?}", tally.strange);
    Ok(Figures {
        lines: 12,
        lost: tally.missing.len() as u64,
        repeated: tally.doubled.len() as u64,
        lost_bytes: 0,
        gap_bytes: gap_bytes(client).await?,
    })
}

/// A real engine rotates and compresses; the agent is killed on the way.
pub(super) async fn docker(scratch: &Scratch, scale: Scale) -> anyhow::Result<Figures> {
    let engine = Docker::start(scratch).await?;
    let server = Server::serve(scratch, "server", "").await?;
    let more = format!("discover: [docker]\ndiscover_roots: {{ docker: {} }}\n", engine.data_root().display());
    let mut agent = Agent::configure(scratch, server.url(), &more)?;
    agent.start(scratch)?;
    let lines = scale.of(60_000);
    engine.run("counter", &["max-size=40k", "max-file=500", "compress=true"], &counting(lines)).await?;
    sleep(scale.seconds(5)).await;
    agent.kill().await?;
    sleep(scale.seconds(5)).await;
    agent.start(scratch)?;
    engine.wait("counter").await?;
    let filter = "container:counter";
    let late = server.wait_count(filter, lines, Duration::from_secs(60)).await.err();
    sleep(Duration::from_secs(1)).await;
    let client = server.client();
    let rows = client.all_rows(filter, Some("raw")).await?;
    let raw = rows.iter().filter_map(|row| row.get("raw")?.as_str());
    let tally = Tally::of("docker", &(0..lines).collect(), raw);
    let container = std::fs::read_dir(engine.containers())?.next().context("the container's folder")??;
    let kept = written(&container.path(), "", "docker")?;
    ensure!(late.is_none(), "{late:?}: {} missing, {} in plain files", tally.missing.len(), kept.len());
    Ok(Figures {
        lines,
        lost: tally.missing.len() as u64,
        repeated: tally.doubled.len() as u64,
        lost_bytes: 0,
        gap_bytes: gap_bytes(client).await?,
    })
}

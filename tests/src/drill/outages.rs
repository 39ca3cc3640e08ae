//! Rows in which the server, the network or a disk fails.

use std::cell::Cell;
use std::fs;
use std::time::Duration;

use anyhow::Context;
use tokio::time::sleep;

use super::world::World;
use super::writer::{Load, Rotation};
use super::{PACE, Scale};
use crate::faults::{Dice, Gate, Mood};
use crate::harness::{Agent, Scratch, Server};

const LINES: u64 = 150_000;

pub(super) async fn server_down(world: &mut World<'_>) -> anyhow::Result<()> {
    let World { scratch, scale, server, writer, .. } = world;
    let done = Cell::new(false);
    let load = writer.run(Load { lines: scale.of(LINES), pace: PACE, rotate: None }, &done);
    let outage = async {
        sleep(scale.seconds(3)).await;
        server.kill().await?;
        sleep(scale.seconds(20)).await;
        server.restart(scratch).await
    };
    tokio::try_join!(load, outage).map(drop)
}

pub(super) async fn both_down(world: &mut World<'_>) -> anyhow::Result<()> {
    let World { scratch, scale, server, agent, writer, .. } = world;
    let done = Cell::new(false);
    let load = writer.run(Load { lines: scale.of(LINES), pace: PACE, rotate: None }, &done);
    let outage = async {
        sleep(scale.seconds(3)).await;
        server.kill().await?;
        sleep(scale.seconds(10)).await;
        agent.kill().await?;
        sleep(scale.seconds(5)).await;
        agent.start(scratch)?;
        sleep(scale.seconds(5)).await;
        server.restart(scratch).await
    };
    tokio::try_join!(load, outage).map(drop)
}

pub(super) async fn deleted(world: &mut World<'_>) -> anyhow::Result<()> {
    let part = world.scale.of(10_000);
    world.load(part, None).await?;
    world.caught_up().await?;
    world.server.kill().await?;
    world.load(part, None).await?;
    world.writer.delete()?;
    world.load(part, None).await?;
    world.restart_server().await
}

pub(super) async fn overload(world: &mut World<'_>) -> anyhow::Result<()> {
    let moods = [Mood::Foreign(500), Mood::Every { status: 429, nth: 1 }, Mood::Foreign(503), Mood::Foreign(502)];
    spells(world, &moods).await
}

pub(super) async fn refused(world: &mut World<'_>) -> anyhow::Result<()> {
    let moods = [
        Mood::Every { status: 400, nth: 3 },
        Mood::Small { bytes_max: 4 << 10 },
        Mood::Foreign(400),
        Mood::Every { status: 413, nth: 3 },
    ];
    spells(world, &moods).await
}

pub(super) async fn garbage(world: &mut World<'_>) -> anyhow::Result<()> {
    spells(world, &[Mood::Garbage, Mood::Half, Mood::Slow { millis: 700 }, Mood::Half]).await
}

pub(super) async fn cut(world: &mut World<'_>) -> anyhow::Result<()> {
    spells(world, &[Mood::Closed, Mood::Hole, Mood::Closed, Mood::Hole]).await
}

/// One mood after the other under load, each with a pause before it.
async fn spells(world: &mut World<'_>, moods: &[Mood]) -> anyhow::Result<()> {
    let World { scale, gate, writer, .. } = world;
    let done = Cell::new(false);
    let load = writer.run(Load { lines: scale.of(LINES), pace: PACE, rotate: None }, &done);
    let faults = async {
        for mood in moods {
            sleep(scale.seconds(2)).await;
            gate.spell(*mood, scale.seconds(5)).await;
        }
        Ok(())
    };
    tokio::try_join!(load, faults).map(drop)
}

/// To the last byte, so that no plan can be written; the agent dies and comes back meanwhile.
pub(super) async fn disk_full(world: &mut World<'_>) -> anyhow::Result<()> {
    let part = world.scale.of(30_000);
    world.load(part, None).await?;
    let disk = world.disk.as_ref().context("the disk of the state directory")?.path().to_owned();
    let filler = disk.join("filler");
    for bytes in [16 << 20, 4 << 10, 1] {
        // It takes what fits; the error is the point.
        let more = fs::File::options().create(true).append(true).open(&filler).map(|mut file| {
            use std::io::Write;
            while file.write_all(&vec![0; bytes]).is_ok() {}
        });
        more.context("fill the disk")?;
    }
    world.load(part, Some((part / 2, Rotation::Rename))).await?;
    world.restart_agent().await?;
    world.load(part, None).await?;
    fs::remove_file(filler).context("make room")?;
    world.load(part, None).await
}

/// Random kills of both ends, rotations of each kind and spells of each mood, all at once.
pub(super) async fn long(world: &mut World<'_>) -> anyhow::Result<()> {
    let World { scratch, scale, server, gate, agent, writer, dice, .. } = world;
    let (agents, servers, pace, every) = match scale {
        Scale::Full => (200, 50, 2_000, 4_000),
        Scale::Short => (10, 3, 2_000, 1_000),
    };
    let done = Cell::new(false);
    let load = Load { lines: u64::MAX, pace, rotate: Some((every, Rotation::Mixed)) };
    let load = writer.run(load, &done);
    let (mut first, mut second, mut third) = (fork(dice), fork(dice), fork(dice));
    let faults = async {
        let kills = async {
            tokio::try_join!(
                kill_agent(scratch, agent, agents, &mut first),
                kill_server(scratch, server, servers, &mut second)
            )
        };
        tokio::select! {
            killed = kills => killed.map(drop),
            () = misbehave(gate, &mut third) => Ok(()),
        }?;
        gate.set(Mood::Pass);
        done.set(true);
        Ok(())
    };
    tokio::try_join!(load, faults).map(drop)
}

fn fork(dice: &mut Dice) -> Dice {
    Dice::new(dice.next_u64())
}

async fn kill_agent(scratch: &Scratch, agent: &mut Agent, times: u32, dice: &mut Dice) -> anyhow::Result<()> {
    for _ in 0..times {
        sleep(dice.millis(1, 2_000)).await;
        agent.check_alive()?;
        agent.kill().await?;
        sleep(dice.millis(0, 200)).await;
        agent.start(scratch)?;
    }
    Ok(())
}

async fn kill_server(scratch: &Scratch, server: &mut Server, times: u32, dice: &mut Dice) -> anyhow::Result<()> {
    for _ in 0..times {
        sleep(dice.millis(500, 5_000)).await;
        server.process().check_alive()?;
        server.kill().await?;
        sleep(dice.millis(0, 500)).await;
        server.restart(scratch).await?;
    }
    Ok(())
}

/// For ever.
async fn misbehave(gate: &Gate, dice: &mut Dice) {
    const MOODS: [Mood; 8] = [
        Mood::Closed,
        Mood::Hole,
        Mood::Half,
        Mood::Garbage,
        Mood::Slow { millis: 300 },
        Mood::Foreign(500),
        // Of every two the same record would be refused again while another batch is taken: then it is given up, rightly.
        Mood::Every { status: 413, nth: 3 },
        Mood::Every { status: 429, nth: 2 },
    ];
    loop {
        sleep(dice.millis(500, 4_000)).await;
        let mood = MOODS[dice.below(MOODS.len() as u64) as usize];
        gate.spell(mood, Duration::from_millis(dice.below(700))).await;
    }
}

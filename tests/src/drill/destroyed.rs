//! Rows in which bytes are destroyed before anybody could read them: lost, and told as lost to the byte.

use super::world::World;
use super::writer::Rotation;
use crate::faults::Mood;

/// Without a copy while nothing can be sent. What the agent read for the batch that waits is not lost.
pub(super) async fn truncated(world: &mut World<'_>, dead: bool) -> anyhow::Result<()> {
    let part = world.scale.of(150_000);
    world.load(part, None).await?;
    world.caught_up().await?;
    world.server.kill().await?;
    world.load(part, None).await?;
    if dead {
        world.agent_remembers().await;
        world.agent.kill().await?;
    } else {
        world.agent_looks().await;
    }
    world.writer.truncate()?;
    world.load(part, None).await?;
    if dead {
        world.agent.start(world.scratch)?;
    }
    world.restart_server().await
}

pub(super) async fn deleted_dead(world: &mut World<'_>) -> anyhow::Result<()> {
    let part = world.scale.of(150_000);
    world.load(part, None).await?;
    world.caught_up().await?;
    world.server.kill().await?;
    world.load(part, None).await?;
    world.agent_remembers().await;
    world.agent.kill().await?;
    world.writer.delete()?;
    world.load(part, None).await?;
    world.agent.start(world.scratch)?;
    world.restart_server().await
}

/// Rotated away and deleted several times: the oldest descriptors are let go.
pub(super) async fn deleted_limit(world: &mut World<'_>) -> anyhow::Result<()> {
    let part = world.scale.of(75_000);
    world.load(part, None).await?;
    world.caught_up().await?;
    world.server.kill().await?;
    for _ in 0..4 {
        world.load(part, None).await?;
        world.agent_looks().await;
        world.writer.delete()?;
    }
    world.load(part, Some((part, Rotation::Rename))).await?;
    world.agent_looks().await;
    world.restart_server().await
}

pub(super) async fn poison(world: &mut World<'_>) -> anyhow::Result<()> {
    let lines = world.scale.of(50_000);
    world.writer.poison(lines / 4);
    world.gate.set(Mood::Poison);
    world.load(lines, None).await
}

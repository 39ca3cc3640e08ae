//! Each row of the drill in its short form; `make drill` runs them in full.

use logweir_tests::drill::{Row, Scale};
use logweir_tests::harness::run;

fn drill(key: &str) -> anyhow::Result<()> {
    let row = Row::find(key)?;
    run(key, async |scratch| row.check(row.run(scratch, Scale::Short).await?))
}

#[test]
fn renamed() -> anyhow::Result<()> {
    drill("rename")
}

#[test]
fn copied_and_truncated() -> anyhow::Result<()> {
    drill("copytruncate")
}

#[test]
fn agent_is_killed_under_load() -> anyhow::Result<()> {
    drill("kill-agent")
}

#[test]
fn rotated_while_the_agent_is_dead() -> anyhow::Result<()> {
    drill("kill-rotate")
}

#[test]
fn rotated_and_compressed_while_the_agent_is_dead() -> anyhow::Result<()> {
    drill("kill-gzip")
}

#[test]
fn renamed_under_a_name_that_matches_the_glob() -> anyhow::Result<()> {
    drill("same-glob")
}

#[test]
fn docker_rotates_and_compresses() -> anyhow::Result<()> {
    drill("docker")
}

#[test]
fn truncated_and_grown_past_its_old_size_at_once() -> anyhow::Result<()> {
    drill("regrown")
}

#[test]
fn server_is_down() -> anyhow::Result<()> {
    drill("server-down")
}

#[test]
fn server_and_agent_are_both_down() -> anyhow::Result<()> {
    drill("both-down")
}

#[test]
fn deleted_while_the_server_is_down() -> anyhow::Result<()> {
    drill("deleted")
}

#[test]
fn server_is_overloaded() -> anyhow::Result<()> {
    drill("overload")
}

#[test]
fn some_batches_are_refused() -> anyhow::Result<()> {
    drill("refused")
}

#[test]
fn answers_are_garbage_slow_or_half() -> anyhow::Result<()> {
    drill("garbage")
}

#[test]
fn network_is_cut() -> anyhow::Result<()> {
    drill("cut")
}

#[test]
fn disk_of_the_state_directory_is_full() -> anyhow::Result<()> {
    drill("disk-full")
}

#[test]
fn odd_bytes() -> anyhow::Result<()> {
    drill("odd")
}

#[test]
fn all_at_once_for_long() -> anyhow::Result<()> {
    drill("long")
}

#[test]
fn truncated_without_a_copy() -> anyhow::Result<()> {
    drill("truncated")
}

#[test]
fn truncated_without_a_copy_while_the_agent_is_dead() -> anyhow::Result<()> {
    drill("truncated-dead")
}

#[test]
fn deleted_while_the_agent_is_dead() -> anyhow::Result<()> {
    drill("deleted-dead")
}

#[test]
fn more_is_deleted_than_is_kept() -> anyhow::Result<()> {
    drill("deleted-limit")
}

#[test]
fn lines_are_refused_for_good() -> anyhow::Result<()> {
    drill("poison")
}

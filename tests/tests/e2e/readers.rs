//! Splits are Parquet files: whoever owns the logs reads them without Logweir.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use logweir_runtime::clock::{Clock, NANOS_PER_SECOND, rfc3339};
use logweir_tests::harness::process::succeed;
use logweir_tests::harness::{Scratch, Server, eventually, programs, run};
use logweir_tests::tidy::workspace_root;
use serde_json::{Value, json};
use tokio::process::Command;

const LINES: u64 = 6_000;

const SEALED_WITHIN: Duration = Duration::from_secs(30);

/// A message that the other fields tell, but for every tenth line. The lines are a second apart, from `begun_s` on.
fn line(begun_s: i64, n: u64) -> Value {
    let (path, status) = (format!("/orders/{}", n * 7919 % 5000), 200 + n % 3);
    let message = match n % 10 {
        0 => format!("cache miss for item {}", n * 31),
        _ => format!("request {path} finished with {status} in {n} ms"),
    };
    let time = rfc3339((begun_s + n.cast_signed()) * NANOS_PER_SECOND);
    json!({
        "time": time, "level": "info", "n": n, "path": path, "status": status, "trace_id": format!("{:032x}", u128::from(n) * 0x9e37_79b9_7f4a_7c15_1234), "message": message
    })
}

fn splits_below(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            splits_below(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "split") {
            found.push(path);
        }
    }
    Ok(())
}

/// What Python reads of the splits, as soon as all lines are in some.
async fn read_all(scratch: &Scratch, server: &Server) -> anyhow::Result<Value> {
    let folder = server.data().join("store/splits");
    eventually(SEALED_WITHIN, "the head is sealed", async || {
        let mut splits = Vec::new();
        splits_below(&folder, &mut splits)?;
        if splits.is_empty() {
            return Ok(None);
        }
        let mut python = Command::new(programs::python()?);
        python.arg(workspace_root().join("tests/readers/read.py")).args(&splits).current_dir(scratch.path());
        let found: Value = serde_json::from_slice(&succeed(python).await?.stdout).context("what read.py prints")?;
        let rows = found["pyarrow"].as_array().map_or(0, Vec::len);
        Ok((u64::try_from(rows)? >= LINES).then_some(found))
    })
    .await
}

#[test]
fn duckdb_and_pyarrow_read_the_rows_of_a_split() -> anyhow::Result<()> {
    run("readers", async |scratch| {
        let server = Server::serve(scratch, "server", "limits: { seal_age: 1s }\n").await?;
        let begun_s = Clock::system().now_ns() / NANOS_PER_SECOND - LINES.cast_signed();
        let lines: String = (0..LINES).map(|n| line(begun_s, n).to_string() + "\n").collect();
        server.client().ingest(lines).await?;
        server.wait_count("level:info", LINES, SEALED_WITHIN).await?;
        let found = read_all(scratch, &server).await?;
        for n in 0..LINES {
            let want = line(begun_s, n);
            let columns = ["n", "path", "status", "trace_id", "level"].map(|name| want[name].clone());
            let by_pyarrow = &found["pyarrow"][usize::try_from(n)?];
            ensure!(by_pyarrow.as_array().is_some_and(|row| row == &columns), "pyarrow: {by_pyarrow} is not {want}");
            let by_duckdb = &found["duckdb"][usize::try_from(n)?];
            let time = want["time"].as_str().unwrap_or_default().trim_end_matches(".000000000Z");
            let more = [want["message"].clone(), time.into()];
            let row: Vec<Value> = columns.into_iter().chain(more).collect();
            ensure!(by_duckdb.as_array() == Some(&row), "DuckDB: {by_duckdb} is not {want}");
        }
        ensure!(found["by_status"] == json!([[200, 2000], [201, 2000], [202, 2000]]), "{}", found["by_status"]);
        Ok(())
    })
}

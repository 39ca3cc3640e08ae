//! `logweir anomaly` against the reference of its detector: the same scores on the same series.

use anyhow::{Context, ensure};
use logweir_tests::harness::{Scratch, process, programs, run};
use tokio::process::Command;

/// The scores of the reference, a line each, of the values of a series; a day is 288 of them.
const REFERENCE: &str = r#"
import sys
sys.path.insert(0, sys.argv[1])
from record_detector import RecordDetector
detector = RecordDetector(288)
for line in open(sys.argv[2]):
    if line[0].isdigit():
        print(f"{detector.push(float(line.split(',')[1])):.9f}")
"#;

/// What the detectors differ by: the command prints six places.
const ROUNDING: f64 = 0.000_000_6;

/// Series of 4,000 values that every language makes alike: a season with noise and a spike, a random walk, steps.
fn series(kind: u64) -> Vec<f64> {
    let (mut state, mut walk) = (kind, 500i64);
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let value = |i: u64| match kind {
        1 => ((i % 288) / 3 + random(21) + if (2000..2006).contains(&i) { 400 } else { 0 }) as f64,
        2 => {
            walk += random(11) as i64 - 5;
            walk as f64 / 4.0
        }
        _ => (100 * (i / 700) + random(5)) as f64 * 0.37 - 50.0,
    };
    (0..4000).map(value).collect()
}

async fn reference(scratch: &Scratch, csv: &std::path::Path) -> anyhow::Result<Vec<f64>> {
    let script = scratch.file("reference.py", REFERENCE)?;
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/anomaly");
    let mut python = Command::new("/usr/bin/python3");
    python.arg(script).arg(fixtures).arg(csv);
    let output = process::output(python).await?.expect_code(0)?;
    output.text().lines().map(|line| line.parse().context("a score")).collect()
}

#[test]
fn anomaly_scores_as_its_reference_in_python() -> anyhow::Result<()> {
    run("anomaly", async |scratch| {
        for kind in 1..=3 {
            let mut csv = String::from("timestamp,value\n");
            for (i, value) in series(kind).iter().enumerate() {
                csv.push_str(&format!("{},{value}\n", 1_700_000_000 + i * 300));
            }
            let csv = scratch.file(&format!("{kind}.csv"), csv)?;
            let mut command = Command::new(programs::ours("logweir")?);
            command.arg("anomaly").arg(&csv);
            let output = process::output(command).await?.expect_code(0)?;
            let scores: Vec<f64> = output
                .text()
                .lines()
                .skip(1)
                .map(|line| line.split(',').nth(2).and_then(|score| score.parse().ok()).context("a score"))
                .collect::<anyhow::Result<_>>()?;
            let expected = reference(scratch, &csv).await?;
            ensure!(scores.len() == 4000 && expected.len() == 4000, "{} {}", scores.len(), expected.len());
            for (i, (ours, theirs)) in scores.iter().zip(&expected).enumerate() {
                ensure!((ours - theirs).abs() <= ROUNDING, "series {kind}, value {i}: {ours} is not {theirs}");
            }
            // A random walk only goes a little beyond what it was.
            let unusual = if kind == 2 { 0.001 } else { 0.3 };
            ensure!(expected.iter().any(|score| *score > unusual), "series {kind} has nothing unusual");
        }
        Ok(())
    })
}

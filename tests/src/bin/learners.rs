//! `cargo run --release -p logweir-tests --bin logweir-learners`: what the pattern miner and the anomaly detectors cost, in
//! CPU seconds of this process, and what the miner holds in memory. With `--nab FOLDER` and `--loghub FOLDER`: how good they
//! are on a copy of a published corpus; it fails where a gate is missed.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use clap::Parser;
use jiff::tz::TimeZone;
use logweir_proto::pattern::Miner;
use logweir_rules::anomaly::{Detector, Direction, Record, Series, Settings};
use logweir_tests::bench::usage::{self, Usage};
use logweir_tests::bench::{loghub, nab};

const LINES: usize = 2_000_000;
const TEMPLATES: usize = 100_000;
const VALUES: u64 = 5_000_000;
const SERIES_VALUES: u64 = 500_000;
const BUCKET_NS: i64 = 300_000_000_000;
const DAY_NS: i64 = 86_400_000_000_000;

struct Random(u64);

impl Random {
    const fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// A line of a service: its words tell its template, its numbers do not.
fn line(random: &mut Random, template: u64) -> String {
    let (n, m, ms) = (random.below(1_000_000), random.below(256), random.below(5_000));
    // Words of letters alone, so that no mask takes them.
    let word = |mut number: u64| {
        let mut word = String::from("w");
        loop {
            word.push(char::from(b'a' + (number % 26) as u8));
            number /= 26;
            if number == 0 {
                return word;
            }
        }
    };
    let (a, b, c) =
        (word(template), word(template.wrapping_mul(7_919) % 100_003), word(template.wrapping_mul(104_729) % 100_019));
    match template % 4 {
        0 => format!("order {n} of {a} {b} {c} failed: timeout after {ms}ms"),
        1 => format!("{a} {b} connection from 10.0.{m}.7:{ms} refused by {c}"),
        2 => format!("GET /api/{a}/{n} answered {b} {c} in {ms} ms"),
        _ => format!("[{a}] {b}={n} {c} user=u{m} retry={ms}"),
    }
}

/// What the learners cost; or, with a corpus, how good they are
#[derive(Debug, Parser)]
struct Args {
    /// A copy of the Numenta Anomaly Benchmark: a folder with data/ and labels/
    #[arg(long, value_name = "FOLDER")]
    nab: Option<PathBuf>,
    /// A copy of the samples of loghub: a folder with *_2k.log_structured.csv
    #[arg(long, value_name = "FOLDER")]
    loghub: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let args = Args::parse();
    if args.nab.is_some() || args.loghub.is_some() {
        let mut missed = Vec::new();
        args.nab.iter().try_for_each(|folder| on_nab(folder, &mut out, &mut missed))?;
        args.loghub.iter().try_for_each(|folder| on_loghub(folder, &mut out, &mut missed))?;
        ensure!(missed.is_empty(), "missed: {}", missed.join(", "));
        return Ok(());
    }
    let mut random = Random(7);
    patterns(&mut out, &mut random)?;
    detectors(&mut out, &mut random)
}

fn on_nab(folder: &Path, out: &mut impl Write, missed: &mut Vec<String>) -> anyhow::Result<()> {
    let files = nab::corpus(folder)?;
    let windows: usize = files.iter().map(|file| file.windows.len()).sum();
    let values: usize = files.iter().map(|file| file.scores.len()).sum();
    writeln!(out, "record on {} series, {values} values, {windows} windows", files.len())?;
    for profile in &nab::PROFILES {
        let (points, threshold) = nab::best(&files, profile);
        writeln!(out, "{}: {points:.2} at threshold {threshold:.4}, gate {}", profile.name, profile.gate)?;
        if points < profile.gate {
            missed.push(format!("NAB {}", profile.name));
        }
    }
    Ok(())
}

fn on_loghub(folder: &Path, out: &mut impl Write, missed: &mut Vec<String>) -> anyhow::Result<()> {
    let all = loghub::corpus(folder)?;
    let mut sums = [0.0; 4];
    for (name, scores) in &all {
        let [ga, pa, fga, fta] = loghub::figures(scores);
        writeln!(out, "{name}: GA {ga:.3} PA {pa:.3} FGA {fga:.3} FTA {fta:.3}")?;
        sums.iter_mut().zip([ga, pa, fga, fta]).for_each(|(sum, one)| *sum += one / all.len() as f64);
    }
    for ((name, gate), average) in loghub::GATES.iter().zip(sums) {
        writeln!(out, "{name}: {average:.3} on average, gate {gate}")?;
        if average < *gate {
            missed.push(format!("loghub {name}"));
        }
    }
    Ok(())
}

fn patterns(out: &mut impl Write, random: &mut Random) -> anyhow::Result<()> {
    // First, while nothing was freed that could be used again.
    let pid = std::process::id();
    let mut miner = Miner::with_patterns_max(TEMPLATES);
    let empty_mib = usage::memory_mib(pid)?;
    let before = Usage::of_self()?;
    for template in 0..TEMPLATES as u64 {
        let line = line(random, template);
        miner.learn(&line);
    }
    let cpu_s = Usage::of_self()?.cpu_s - before.cpu_s;
    let held = usage::memory_mib(pid)? - empty_mib;
    writeln!(
        out,
        "miner: {} templates hold {held:.0} MiB, {:.0} us to learn each",
        miner.len(),
        cpu_s * 1e6 / TEMPLATES as f64
    )?;
    drop(miner);

    // A service has few templates, and most lines are of the first of them.
    let lines: Vec<String> = (0..LINES)
        .map(|_| {
            let template = random.below(200).min(random.below(200));
            line(random, template)
        })
        .collect();
    let bytes: usize = lines.iter().map(String::len).sum();
    let mut miner = Miner::default();
    let before = Usage::of_self()?;
    for line in &lines {
        miner.learn(line);
    }
    let cpu_s = Usage::of_self()?.cpu_s - before.cpu_s;
    writeln!(
        out,
        "miner: {:.2} M lines/s ({:.0} MB/s), {} templates",
        LINES as f64 / cpu_s / 1e6,
        bytes as f64 / cpu_s / 1e6,
        miner.len()
    )?;
    Ok(())
}

fn detectors(out: &mut impl Write, random: &mut Random) -> anyhow::Result<()> {
    let mut record = Record::new(Some(288));
    let before = Usage::of_self()?;
    let sum: f64 = (0..VALUES).map(|_| record.push(random.below(1_000) as f64)).sum();
    let cpu_s = Usage::of_self()?.cpu_s - before.cpu_s;
    writeln!(out, "record: {:.1} M values/s (sum of scores {sum:.0})", VALUES as f64 / cpu_s / 1e6)?;
    for (name, detector) in
        [("record", Detector::Record), ("seasonal_band", Detector::SeasonalBand), ("knn", Detector::Knn)]
    {
        let settings = Settings {
            detector,
            direction: Direction::Both,
            season_ns: Some(DAY_NS),
            zone: TimeZone::UTC,
            warmup_ns: DAY_NS,
            alerts_per_month: 3.0,
            value_min: f64::NEG_INFINITY,
            counts: true,
            window_buckets: 1,
            fraction: 0.5,
        };
        let values = if detector == Detector::Knn { SERIES_VALUES / 10 } else { SERIES_VALUES };
        let mut series = Series::new(&settings, BUCKET_NS, 0);
        let before = Usage::of_self()?;
        for at in 1..=values as i64 {
            series.push(&settings, BUCKET_NS, at * BUCKET_NS, random.below(100) as f64);
        }
        let cpu_s = Usage::of_self()?.cpu_s - before.cpu_s;
        let state = serde_json::to_vec(&series)?.len();
        writeln!(
            out,
            "{name} as a rule runs it: {:.0} thousand values/s, {state} bytes of state",
            values as f64 / cpu_s / 1e3
        )?;
    }
    Ok(())
}

//! `cargo run --release -p logweir-tests --bin logweir-learners`: what the pattern miner and the anomaly detectors cost, in
//! CPU seconds of this process, and what the miner holds in memory.

use std::io::Write;

use jiff::tz::TimeZone;
use logweir_proto::pattern::Miner;
use logweir_rules::anomaly::{Detector, Direction, Record, Series, Settings};
use logweir_tests::bench::usage::{self, Usage};

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

fn main() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut random = Random(7);
    patterns(&mut out, &mut random)?;
    detectors(&mut out, &mut random)
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

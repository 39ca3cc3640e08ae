//! A thousand rules over a hundred hosts, each rule every 30 seconds, beside a stream of lines.
//!
//! The same stream goes into a server without rules first: what rules cost is the difference.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{LINES_PER_REQUEST, S, now_ns, time};
use crate::bench::usage::{self, Usage};
use crate::harness::{Client, Scratch, Server};

const GROUPS: usize = 50;
const RULES_PER_GROUP: usize = 20;
const HOSTS: u64 = 100;
const SERVICES: u64 = 20;
const LINES_PER_S: u64 = 1_000;
/// Stored before the rules begin: the windows are full.
const BEFORE_S: i64 = 600;
const SETTLES_FOR: Duration = Duration::from_secs(75);
const MEASURED_FOR: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Default)]
pub struct LoadFigures {
    pub rules: usize,
    /// Rules times label sets.
    pub series: usize,
    pub lines_per_s: u64,
    /// CPU of the server in cores, with and without rules.
    pub cores: f64,
    pub idle_cores: f64,
    /// Resident memory.
    pub mib: f64,
    pub peak_mib: f64,
    pub idle_mib: f64,
    pub idle_peak_mib: f64,
    /// The greatest distance of a group from the present.
    pub lag_s: f64,
}

pub(super) async fn measure(scratch: &Scratch) -> anyhow::Result<LoadFigures> {
    let mut figures = LoadFigures {
        rules: GROUPS * RULES_PER_GROUP,
        series: GROUPS * RULES_PER_GROUP * HOSTS as usize,
        lines_per_s: LINES_PER_S,
        ..LoadFigures::default()
    };
    let idle = run(scratch, "load-without", &scratch.folder("no-rules")?).await?;
    (figures.idle_cores, figures.idle_mib, figures.idle_peak_mib) = (idle.cores, idle.mib, idle.peak_mib);
    let folder = scratch.folder("thousand")?;
    for group in 0..GROUPS {
        std::fs::write(folder.join(format!("group-{group}.yaml")), rules(group)?)?;
    }
    let busy = run(scratch, "load-with", &folder).await?;
    (figures.cores, figures.mib, figures.peak_mib) = (busy.cores, busy.mib, busy.peak_mib);
    figures.lag_s = busy.lag_s;
    Ok(figures)
}

/// Of twenty rules twelve count, three are ratios, two are quantiles, two miss hosts, one looks at an hour.
fn rules(group: usize) -> anyhow::Result<String> {
    let mut text = format!("version: 1\ngroups:\n  - name: group-{group}\n    rules:\n");
    for rule in 0..RULES_PER_GROUP {
        let service = (group * 7 + rule) % SERVICES as usize;
        let filter = format!("service:svc-{service} AND duration_ms>={}", group * 4 + rule % 4);
        writeln!(text, "      - alert: Rule{group}x{rule}")?;
        writeln!(text, "        summary: '{{{{ labels.host }}}}'")?;
        let count =
            |agg: &str, window: &str| format!("{{filter: '{filter}', agg: {agg}, window: {window}, by: [host]}}");
        match rule {
            0..12 => {
                writeln!(text, "        signals: {{hits: {}}}", count("count", "5m"))?;
                writeln!(
                    text,
                    "        levels: {{critical: {{when: hits >= 100000}}, warning: {{when: hits >= 50000, for: 5m}}}}"
                )?;
            }
            12..15 => {
                writeln!(text, "        signals:")?;
                writeln!(
                    text,
                    "          bad: {{filter: '{filter} AND status>=500', agg: count, window: 10m, by: [host]}}"
                )?;
                writeln!(text, "          total: {}", count("count", "10m"))?;
                writeln!(text, "          ratio: {{expr: bad / total}}")?;
                writeln!(text, "        levels: {{critical: {{when: ratio > 0.99 and bad > 1000}}}}")?;
            }
            15..17 => {
                writeln!(text, "        signals: {{slow: {}}}", count("p95, field: duration_ms", "5m"))?;
                writeln!(text, "        levels: {{warning: {{when: slow > 9000}}}}")?;
            }
            17..19 => {
                writeln!(text, "        signals: {{lines: {}}}", count("count", "10m"))?;
                writeln!(text, "        expected: {{seen_within: 1h}}")?;
                writeln!(text, "        levels: {{warning: {{when: lines == 0}}}}")?;
            }
            _ => {
                writeln!(text, "        signals: {{hits: {}}}", count("count", "1h"))?;
                writeln!(text, "        levels: {{info: {{when: hits >= 1000000}}}}")?;
            }
        }
    }
    Ok(text)
}

#[derive(Debug, Default)]
struct Run {
    cores: f64,
    mib: f64,
    peak_mib: f64,
    lag_s: f64,
}

async fn run(scratch: &Scratch, name: &str, rules: &std::path::Path) -> anyhow::Result<Run> {
    let settings = format!("alerting: {{ rules: [{}] }}\n", rules.display());
    let mut server = Server::serve(scratch, name, &settings).await?;
    let client = Client::new(server.url())?;
    let begin = now_ns();
    let mut number = 0;
    for second in -BEFORE_S..0 {
        if second % 5 == 0 {
            client.ingest(lines(&mut number, begin + second * S, 5)).await?;
        }
    }
    let feed = feed(client, number);
    sleep(SETTLES_FOR).await;
    let pid = server.process().pid().context("it runs")?;
    let (before, begun) = (Usage::of(pid)?.cpu_s, Instant::now());
    let mut lag_s = 0f64;
    while begun.elapsed() < MEASURED_FOR {
        sleep(Duration::from_secs(5)).await;
        lag_s = lag_s.max(lag(server.client()).await?);
    }
    let cores = (Usage::of(pid)?.cpu_s - before) / begun.elapsed().as_secs_f64();
    let found = Run { cores, mib: usage::memory_mib(pid)?, peak_mib: usage::peak_memory_mib(pid)?, lag_s };
    ensure!(!feed.is_finished(), "the stream of lines ended");
    feed.abort();
    server.kill().await?;
    Ok(found)
}

/// The greatest lag of a group; that no rule fails.
async fn lag(client: &Client) -> anyhow::Result<f64> {
    let text = client.get("/metrics").send().await?.text().await?;
    let values = |name: &str| -> Vec<f64> {
        let own = text.lines().filter(|line| line.starts_with(name));
        own.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
    };
    ensure!(values("logweir_rules_failing").iter().all(|failing| *failing == 0.0), "rules fail");
    Ok(values("logweir_alerting_lag_seconds").into_iter().fold(0.0, f64::max))
}

fn feed(client: Client, mut number: u64) -> JoinHandle<anyhow::Result<()>> {
    tokio::spawn(async move {
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            tick.tick().await;
            client.ingest(lines(&mut number, now_ns() - S, 1)).await?;
        }
    })
}

/// The lines of some seconds, evenly spread over hosts and services.
fn lines(number: &mut u64, from: i64, seconds: u64) -> String {
    let count = LINES_PER_S * seconds;
    debug_assert!(count as usize <= LINES_PER_REQUEST);
    let mut out = String::with_capacity(count as usize * 180);
    for i in 0..count {
        let n = *number;
        *number += 1;
        let at = from + (i * 1_000_000_000 / LINES_PER_S) as i64;
        let (host, service) = (n % HOSTS, n / HOSTS % SERVICES);
        // Durations follow no pattern of hosts and services; one in twenty fails.
        let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let status = if mixed.is_multiple_of(20) { 500 } else { 200 };
        let ms = 200 + mixed % 800;
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            r#"{{"time":"{}","host":"web-{host:03}","service":"svc-{service}","level":"info","message":"GET /cart/{n}","status":{status},"duration_ms":{ms}}}"#,
            time(at)
        );
    }
    out
}

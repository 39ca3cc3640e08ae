//! The table, as Markdown, with what is needed to repeat it.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use logweir_runtime::clock::Clock;

use super::agent::AgentFigures;
use super::alerting::AlertingFigures;
use super::dataset::{Dataset, Yardstick};
use super::ingest::{Door, IngestFigures};
use super::queries::QueryFigures;
use crate::tidy::workspace_root;

/// Collects the parts in the order that they were measured.
#[derive(Debug)]
pub struct Report {
    text: String,
    date: String,
    host: String,
}

impl Report {
    pub fn new(command: &str) -> anyhow::Result<Report> {
        let now = jiff::Timestamp::from_nanosecond(i128::from(Clock::system().now_ns()))?;
        let date = now.strftime("%F").to_string();
        let host = fs::read_to_string("/proc/sys/kernel/hostname").context("name of the host")?.trim().to_owned();
        let mut text = format!("# Benchmark of {date} on {host}\n\n");
        writeln!(text, "- command: `{command}`")?;
        writeln!(text, "- commit: {}", commit())?;
        writeln!(text, "- machine: {}", machine())?;
        writeln!(text, "- z is MB per CPU-second against `zstd -1` with one thread on the same bytes in the same run")?;
        Ok(Report { text, date, host })
    }

    pub fn set(&mut self, set: &Dataset, zstd: Yardstick) -> anyhow::Result<()> {
        let (name, mb) = (set.kind.name(), set.megabytes());
        writeln!(
            self.text,
            "\n## {name}: {mb:.0} MB, {} lines of {} bytes\n",
            set.lines,
            set.text.len() as u64 / set.lines.max(1)
        )?;
        writeln!(self.text, "`zstd -1`: {:.0} MB/s, ratio {:.2}\n", zstd.mb_per_cpu_s, zstd.ratio)?;
        writeln!(
            self.text,
            "| ingest by | CPU-s per GB until searchable | sealed and merged | MB per CPU-s (z) | MB/s acked | searchable after ack | store % of raw | WAL left | peak memory | retries |"
        )?;
        writeln!(self.text, "|---|---|---|---|---|---|---|---|---|---|")?;
        Ok(())
    }

    pub fn ingest(&mut self, set: &Dataset, zstd: Yardstick, door: Door, figures: IngestFigures) -> anyhow::Result<()> {
        let mb = set.megabytes();
        let rate = mb / figures.cpu_settled_s.max(0.01);
        writeln!(
            self.text,
            "| {} | {:.1} | {:.1} | {rate:.0} ({:.2}) | {:.0} | {:.2} s | {:.1} | {:.0} MiB | {:.0} MiB | {} |",
            door.name(),
            figures.cpu_s / mb * 1e3,
            figures.cpu_settled_s / mb * 1e3,
            rate / zstd.mb_per_cpu_s,
            mb / figures.acked_s.max(0.001),
            figures.searchable_s,
            figures.store_bytes as f64 / set.text.len().max(1) as f64 * 100.0,
            figures.wal_bytes as f64 / f64::from(1 << 20),
            figures.peak_memory_mib,
            figures.retries,
        )?;
        Ok(())
    }

    pub fn agent(&mut self, zstd: Yardstick, figures: AgentFigures) -> anyhow::Result<()> {
        let f = figures;
        let rate = f.megabytes / f.drain_cpu_s.max(0.01);
        writeln!(self.text, "\n## agent: an access log of {:.0} MB\n", f.megabytes)?;
        writeln!(self.text, "`zstd -1`: {:.0} MB/s, ratio {:.2}\n", zstd.mb_per_cpu_s, zstd.ratio)?;
        writeln!(self.text, "| figure | measured | goal |\n|---|---|---|")?;
        let per_gb = f.drain_cpu_s / f.megabytes * 1e3;
        writeln!(self.text, "| drain to a durable ack, CPU-s per GB | {per_gb:.2} | 4 |")?;
        writeln!(self.text, "| MB per CPU-s (z) | {rate:.0} ({:.2}) | 250 |", rate / zstd.mb_per_cpu_s)?;
        writeln!(self.text, "| MB/s | {:.0} | |", f.megabytes / f.drain_s.max(0.001))?;
        let wire = f.wire_bytes as f64 / 1e3 / f.megabytes;
        writeln!(self.text, "| wire, MB per GB | {wire:.0} | 145 |")?;
        writeln!(self.text, "| peak memory at full speed, MiB | {:.1} | 40 |", f.drain_peak_mib)?;
        writeln!(self.text, "| peak memory while the server is down, MiB | {:.1} | 40 |", f.down_mib)?;
        writeln!(self.text, "| memory, idle on 1,000 files, MiB | {:.1} | 10 |", f.idle_mib)?;
        writeln!(self.text, "| CPU, idle on 1,000 files, % of a core | {:.3} | 0.1 |", f.idle_cpu_share * 1e2)?;
        writeln!(self.text, "| append to ack at 1,000 lines/s, p50 ms | {:.1} | 50 |", f.p50_ms)?;
        writeln!(self.text, "| p99 ms | {:.1} | 200 |", f.p99_ms)?;
        writeln!(self.text, "| CPU meanwhile, % of a core | {:.1} | |", f.steady_cpu_share * 1e2)?;
        Ok(())
    }

    /// What was not measured is left out.
    pub fn alerting(&mut self, figures: &AlertingFigures) -> anyhow::Result<()> {
        let AlertingFigures { seconds, load, past, scan } = figures;
        writeln!(self.text, "\n## alerting\n\n| figure | measured | goal |\n|---|---|---|")?;
        if seconds.lines > 0 {
            let s = |wait: std::time::Duration| format!("{:.2} s", wait.as_secs_f64());
            let (p50, p99) = (s(seconds.fast_p50), s(seconds.fast_p99));
            writeln!(
                self.text,
                "| line in the file to request, `every: 1s`, {} lines, p50 | {p50} | 2 s |",
                seconds.lines
            )?;
            writeln!(self.text, "| p99 | {p99} | 5 s |")?;
            writeln!(self.text, "| the same, every 30 s, p50 | {} | |", s(seconds.default_p50))?;
            writeln!(self.text, "| p99 | {} | 40 s |", s(seconds.default_p99))?;
        }
        if load.rules > 0 {
            let what = format!("{} rules, {} series, every 30 s", load.rules, load.series);
            let (own, idle) = ((load.cores - load.idle_cores).max(0.0), load.idle_cores);
            writeln!(self.text, "| {what}: cores | {own:.2} | 1 |")?;
            writeln!(self.text, "| the server without them, {} lines/s: cores | {idle:.2} | |", load.lines_per_s)?;
            let mib = (load.mib - load.idle_mib, load.peak_mib - load.idle_peak_mib);
            writeln!(self.text, "| memory of the rules, MiB (peak) | {:.0} ({:.0}) | 500 |", mib.0, mib.1)?;
            writeln!(
                self.text,
                "| memory of the whole server, MiB (peak) | {:.0} ({:.0}) | |",
                load.mib, load.peak_mib
            )?;
            writeln!(self.text, "| greatest lag of a group, s | {:.1} | |", load.lag_s)?;
        }
        if past.rules > 0 {
            let (rules, lines) = (past.rules, past.lines);
            writeln!(
                self.text,
                "| backtest, {rules} rules, 28 days of kept minutes: s (CPU-s) | {:.1} ({:.1}) | 10 |",
                past.rollups_s, past.rollups_cpu_s
            )?;
            writeln!(
                self.text,
                "| the same with a scan of {lines} lines | {:.1} ({:.1}) | |",
                past.scan_s, past.scan_cpu_s
            )?;
            writeln!(self.text, "| peak memory of the server, MiB | {:.0} | |", past.peak_mib)?;
        }
        if scan.rules > 0 {
            let (rules, lines) = (scan.rules, scan.lines);
            writeln!(
                self.text,
                "| backtest, {rules} rules, 28 days, index scan of {lines} lines: s (CPU-s) | {:.1} ({:.1}) | 120 for 100 M |",
                scan.scan_s, scan.scan_cpu_s
            )?;
            writeln!(self.text, "| peak memory of the server, MiB | {:.0} | |", scan.peak_mib)?;
        }
        Ok(())
    }

    pub fn queries(&mut self, figures: &[QueryFigures]) -> anyhow::Result<()> {
        writeln!(
            self.text,
            "\n| query over the whole day | warm ms | another text each time | cold: just started, nothing cached | rows |\n|---|---|---|---|---|"
        )?;
        for query in figures {
            let QueryFigures { name, query, cold_ms, warm_ms, fresh_ms, rows } = query;
            let query = query.replace('|', "\\|");
            let fresh = fresh_ms.map(|ms| format!("{ms:.1}")).unwrap_or_default();
            writeln!(self.text, "| {name}: `{query}` | {warm_ms:.1} | {fresh} | {cold_ms:.1} | {rows} |")?;
        }
        Ok(())
    }

    /// `once` over the set, `grown` over `times` as much in so many splits.
    pub fn growth(
        &mut self,
        times: u64,
        splits: usize,
        once: &[(&'static str, f64)],
        grown: &[(&'static str, f64)],
    ) -> anyhow::Result<()> {
        writeln!(
            self.text,
            "\n| growth: warm ms | over the set | over {times} times as much, {splits} splits | ratio, at most 3 |\n|---|---|---|---|"
        )?;
        for ((name, once), (_, grown)) in once.iter().zip(grown) {
            writeln!(self.text, "| {name} | {once:.1} | {grown:.1} | {:.1} |", grown / once.max(0.01))?;
        }
        Ok(())
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// `docs/benchmarks/DATE-HOST.md`; a later run of the day replaces it.
    pub fn write(&self) -> anyhow::Result<PathBuf> {
        let folder = workspace_root().join("docs/benchmarks");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}-{}.md", self.date, self.host));
        fs::write(&path, &self.text).with_context(|| path.display().to_string())?;
        Ok(path)
    }
}

/// What it was measured on.
pub(crate) fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory_kib: u64 = memory.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0);
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!("{cores} cores, {}, {} GiB", model.trim_start_matches(['\t', ' ', ':']), memory_kib >> 20)
}

pub(crate) fn commit() -> String {
    let git = |arguments: &[&str]| {
        let out = Command::new("git").args(arguments).current_dir(workspace_root()).output().ok()?;
        Some(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    let head = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    match git(&["status", "--porcelain"]) {
        Some(changes) if !changes.is_empty() => format!("{head} with changes"),
        _ => head,
    }
}

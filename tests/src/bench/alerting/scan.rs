//! A backtest of a hundred rules whose minutes nobody kept: every count is a scan of the index over a month of lines.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, ensure};
use logweir_proto::api::QueryRequest;

use super::past::{self, KEPT_WITHIN};
use crate::bench::dataset::{Dataset, Kind};
use crate::bench::generate::SERVICES;
use crate::bench::ingest;
use crate::bench::usage;
use crate::harness::{Scratch, Server, eventually};

const RULES: usize = 100;
const DAYS: u64 = 29;
/// What rules look for beside the service: words, a level, numbers, a path.
const FILTERS: [&str; 9] = [
    "level:error",
    "status:500",
    "declined",
    "refused",
    "status>=500 AND duration_ms>=1000",
    "timeout",
    "level:warn",
    "path:\"/api/pay\"",
    "duration_ms>=3000",
];
const ANSWERED_WITHIN: Duration = Duration::from_secs(1_800);

#[derive(Debug, Clone, Default)]
pub struct ScanFigures {
    pub rules: usize,
    pub lines: u64,
    pub scan_s: f64,
    pub scan_cpu_s: f64,
    pub peak_mib: f64,
}

/// `millions` of lines over a month; the first run is cold.
pub(super) async fn measure(scratch: &Scratch, millions: u64) -> anyhow::Result<ScanFigures> {
    let settings = "retention: { days: 35 }\nlimits: { seal_age: 4s, ingest_bytes_per_s: 4GiB }\n";
    let mut server = Server::serve(scratch, "scan", settings).await?;
    let mut figures = ScanFigures { rules: RULES, ..ScanFigures::default() };
    for back in (1..=DAYS).rev() {
        let set = Dataset::of_day(Kind::Json, back, millions * 1_000_000 / DAYS)?;
        ingest::fill(&set, server.client(), &format!("day-{back}"))
            .await
            .with_context(|| format!("{back} days ago"))?;
        figures.lines += set.lines;
    }
    let all = async || {
        let query = "* | stats count as n".to_owned();
        let request = QueryRequest { query, from: Some("-35d".to_owned()), ..QueryRequest::default() };
        let rows = server.client().query(&request).await?.rows;
        let count = rows.first().and_then(|row| row.get("n")?.as_u64()).unwrap_or(0);
        ensure!(count == figures.lines, "{count} lines are there");
        Ok(Some(()))
    };
    eventually(KEPT_WITHIN, "all lines", all).await?;
    // A start leaves nothing in memory that ingesting put there.
    server.process().terminate(KEPT_WITHIN).await?;
    server.restart(scratch).await?;
    (figures.scan_s, figures.scan_cpu_s) =
        past::backtest(&mut server, Some(&rules(millions)?), ANSWERED_WITHIN).await?;
    figures.peak_mib = usage::peak_memory_mib(server.process().pid().context("it runs")?)?;
    server.kill().await?;
    Ok(figures)
}

/// Every rule has a filter of its own, so that nothing is asked twice. The limits grow with the lines, so that some rules
/// fire however few there are.
fn rules(millions: u64) -> anyhow::Result<String> {
    let (warning, critical) = (millions, 50 * millions);
    let mut text = "version: 1\ngroups:\n".to_owned();
    for rule in 0..RULES {
        if rule % 10 == 0 {
            writeln!(text, "  - name: scan-{}\n    rules:", rule / 10)?;
        }
        let ((service, _), filter) = (SERVICES[rule % SERVICES.len()], FILTERS[rule / SERVICES.len()]);
        writeln!(
            text,
            "      - alert: Scan{rule}
        signals: {{hits: {{filter: 'service:{service} AND {filter}', agg: count, window: 5m, by: [service]}}}}
        levels: {{critical: {{when: hits >= {critical}}}, warning: {{when: hits >= {warning}, for: 2m}}}}
        summary: '{{{{ labels.service }}}}'"
        )?;
    }
    Ok(text)
}

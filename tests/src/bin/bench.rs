//! `make bench`: ingest, size and query times of the release build and the figures of the agent, as a table with ratios.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use logweir_tests::bench::dataset::{Dataset, Kind};
use logweir_tests::bench::ingest::{Door, SETTINGS, ingest};
use logweir_tests::bench::queries;
use logweir_tests::bench::report::Report;
use logweir_tests::bench::{agent, alerting, growth};
use logweir_tests::harness::{Scratch, Server, run};

const STOPPED_WITHIN: Duration = Duration::from_secs(60);

/// Measure ingest, size on disk and query times against zstd on the same bytes
#[derive(Debug, Parser)]
#[command(name = "logweir-bench")]
struct Args {
    /// Size of each set of lines
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=4_000))]
    megabytes: u64,
    /// Only one of the sets, or only the agent, or only alerting
    #[arg(long, value_parser = ["json", "nginx", "agent", "alerts"])]
    only: Option<String>,
    /// Ask a needle and the newest rows over so many times as much; 1 leaves that out
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    times: u64,
    /// Only this part of alerting
    #[arg(long, value_parser = ["latency", "load", "backtest", "scan"])]
    part: Option<String>,
    /// Lines of `--part scan`, in millions: a month of them
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    millions: u64,
    /// Print the table and leave docs/benchmarks/ as it is
    #[arg(long)]
    no_write: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let typed: Vec<String> = std::env::args().skip(1).collect();
    let command = match typed.is_empty() {
        true => "make bench".to_owned(),
        false => format!("make bench ARGS='{}'", typed.join(" ")),
    };
    let mut report = Report::new(&command)?;
    for kind in [Kind::Json, Kind::Nginx] {
        if args.only.as_deref().is_none_or(|only| only == kind.name()) {
            let set = Dataset::generate(kind, args.megabytes)?;
            run("bench", async |scratch| measure(scratch, &set, args.times, &mut report).await)?;
            keep(&args, &report)?;
        }
    }
    if args.only.as_deref().is_none_or(|only| only == "agent") {
        let set = Dataset::generate(Kind::Nginx, args.megabytes)?;
        run("bench-agent", async |scratch| report.agent(set.zstd()?, agent::measure(scratch, &set).await?))?;
        keep(&args, &report)?;
    }
    if args.only.as_deref().is_none_or(|only| only == "alerts") {
        let part = args.part.as_deref();
        run("bench-alerts", async |scratch| report.alerting(&alerting::measure(scratch, part, args.millions).await?))?;
    }
    let mut out = std::io::stdout().lock();
    out.write_all(report.text().as_bytes())?;
    if !args.no_write {
        writeln!(out, "\nwritten to {}", report.write()?.display())?;
    }
    Ok(())
}

/// What was measured is not lost with what comes after it.
fn keep(args: &Args, report: &Report) -> anyhow::Result<()> {
    if !args.no_write {
        report.write()?;
    }
    Ok(())
}

/// Each door into a fresh server; the queries on the last one, started again.
async fn measure(scratch: &Scratch, set: &Dataset, times: u64, report: &mut Report) -> anyhow::Result<()> {
    let zstd = set.zstd()?;
    report.set(set, zstd)?;
    let doors = match set.kind {
        Kind::Json => [Door::Ingest, Door::Batches].as_slice(),
        Kind::Nginx => &[Door::Batches],
    };
    let mut last = None;
    for door in doors {
        // The server before is gone, with its data, before the next one is measured.
        drop(last.take());
        let name = format!("server-{}", door.name().replace(['/', ' '], "-"));
        let mut server = Server::serve(scratch, &name, SETTINGS).await?;
        let figures = ingest(set, *door, &mut server).await.with_context(|| door.name())?;
        report.ingest(set, zstd, *door, figures)?;
        last = Some(server);
    }
    let mut server = last.context("a server")?;
    report.queries(&queries::measure(scratch, &mut server, set).await?)?;
    if times > 1 {
        grow(scratch, server, set, times, report).await?;
    }
    Ok(())
}

/// The days before are of another server, which took the same set without its rare lines.
async fn grow(
    scratch: &Scratch,
    mut server: Server,
    set: &Dataset,
    times: u64,
    report: &mut Report,
) -> anyhow::Result<()> {
    let once = queries::growing(server.client(), set, &set.from).await?;
    let mut others = Server::serve(scratch, "server-others", SETTINGS).await?;
    ingest(&set.without_rare(), Door::Batches, &mut others).await?;
    for server in [&mut server, &mut others] {
        server.process().terminate(STOPPED_WITHIN).await?;
    }
    let data = scratch.folder("server-grown-data")?;
    let splits = growth::grow(server.data(), others.data(), times, &data)?;
    let grown = Server::serve_in(scratch, "server-grown", &data, growth::SETTINGS).await?;
    let figures = queries::growing(grown.client(), set, "2000-01-01T00:00:00Z").await?;
    report.growth(times, splits, &once, &figures)
}

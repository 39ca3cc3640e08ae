//! `make drill`: the drill in full, as a table of what was lost and repeated.

use std::io::Write;

use anyhow::{bail, ensure};
use clap::Parser;
use logweir_tests::drill::alerts::{self, AlertFigures};
use logweir_tests::drill::table::Table;
use logweir_tests::drill::{ROWS, Row, Scale};
use logweir_tests::harness::run;

/// Rotate, kill, cut and refuse under load, and count what was lost and repeated
#[derive(Debug, Parser)]
#[command(name = "logweir-drill")]
struct Args {
    /// Only these rows, by their keys; `alerts` is the drill of the outbox, which has no row
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How often the drill of the outbox kills the server
    #[arg(long, default_value_t = 1_000)]
    kills: u64,
    /// The form of the end-to-end tests
    #[arg(long)]
    short: bool,
    /// Print the table and leave docs/delivery.md as it is
    #[arg(long)]
    no_write: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if args.only == ["alerts"] {
        return outbox(args.kills);
    }
    let rows: Vec<&Row> = match args.only.is_empty() {
        true => ROWS.iter().collect(),
        false => args.only.iter().map(|key| Row::find(key)).collect::<anyhow::Result<_>>()?,
    };
    let typed: Vec<String> = std::env::args().skip(1).collect();
    let command = match typed.is_empty() {
        true => "make drill".to_owned(),
        false => format!("make drill ARGS='{}'", typed.join(" ")),
    };
    let scale = if args.short { Scale::Short } else { Scale::Full };
    let mut table = Table::new(&command)?;
    let mut failed = Vec::new();
    let mut out = std::io::stdout();
    for row in rows {
        let figures = measure(row, scale);
        if let Err(error) = &figures {
            eprintln!("{error:?}");
            failed.push(row.key);
        }
        table.add(row, &figures)?;
        writeln!(out, "{}: {figures:?}", row.key)?;
    }
    out.write_all(table.text().as_bytes())?;
    if !args.no_write {
        ensure!(args.only.is_empty() && !args.short, "docs/delivery.md holds the whole table: --no-write");
        writeln!(out, "\nwritten to {}", table.write()?.display())?;
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

/// Jobs whose heartbeats stop.
const JOBS: usize = 30;

fn outbox(kills: u64) -> anyhow::Result<()> {
    let mut found = AlertFigures::default();
    run("alerts", async |scratch| {
        found = alerts::run(scratch, kills, JOBS).await?;
        found.check()
    })?;
    writeln!(std::io::stdout(), "{found:#?}")?;
    Ok(())
}

fn measure(row: &Row, scale: Scale) -> anyhow::Result<logweir_tests::drill::Figures> {
    let mut figures = None;
    run(row.key, async |scratch| {
        let found = row.run(scratch, scale).await?;
        figures = Some(found);
        row.check(found)
    })?;
    figures.ok_or_else(|| anyhow::anyhow!("{} gave no figures", row.key))
}

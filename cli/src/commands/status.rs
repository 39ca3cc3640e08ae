//! `logweir status`: whether the server is well, part by part.

use logweir_proto::api::{AlertView, Health, SourceStatus};
use logweir_proto::text::visible;
use serde::Serialize;
use serde_json::Value;

use crate::args::{ListArgs, ListFormat};
use crate::client::Client;
use crate::commands::entries;
use crate::error::Result;
use crate::exit::Exit;
use crate::output::{Console, Ink, json_line};

/// What `-o json` prints.
#[derive(Serialize)]
struct Report {
    url: String,
    health: Health,
    sources: usize,
    sources_with_gaps: usize,
    alerts_firing: usize,
}

pub(super) async fn run(args: &ListArgs, console: &mut Console) -> Result<Exit> {
    let client = Client::new(&args.server)?;
    let health: Health = client.get_even_unready("/health/ready").await?;
    let sources: Vec<SourceStatus> =
        entries(client.get::<Value>("/api/v1/sources", &[]).await?, "sources", client.shown())?;
    let alerts: Vec<AlertView> = entries(client.get::<Value>("/api/v1/alerts", &[]).await?, "alerts", client.shown())?;
    let report = Report {
        url: client.shown(),
        sources: sources.len(),
        sources_with_gaps: sources.iter().filter(|source| !source.gaps.is_empty()).count(),
        alerts_firing: alerts.iter().filter(|alert| alert.state == "firing").count(),
        health,
    };
    match args.output {
        ListFormat::Json => json_line(console, &report)?,
        ListFormat::Pretty => pretty(&report, console)?,
    }
    Ok(if report.health.ok { Exit::Ok } else { Exit::No })
}

fn pretty(report: &Report, console: &mut Console) -> std::io::Result<()> {
    let style = console.style;
    let verdict = if report.health.ok { style.paint(Ink::Green, "ready") } else { style.paint(Ink::Red, "not ready") };
    console.line(&format!("{} {verdict}", style.paint(Ink::Bold, &report.url)))?;
    for (part, state) in &report.health.parts {
        let shown = match state.as_str() {
            "ok" => state.clone(),
            state if state.starts_with("ok, ") => style.paint(Ink::Yellow, &visible(state)),
            state => style.paint(Ink::Red, &visible(state)),
        };
        console.line(&format!("  {:<12} {shown}", visible(part)))?;
    }
    for kept in &report.health.retention {
        let oldest = kept.oldest.as_deref().map_or_else(String::new, |oldest| format!(", from {oldest} on"));
        let size = format!("{} in {} splits, {} rows{oldest}", bytes(kept.bytes), kept.splits, kept.rows);
        console.line(&format!("  {:<12} {} for {} days: {size}", "retention", visible(&kept.class), kept.days))?;
    }
    let gaps = match report.sources_with_gaps {
        0 => String::new(),
        with => style.paint(Ink::Yellow, &format!(", {with} with gaps: `logweir sources --gaps`")),
    };
    console.line(&format!("  {:<12} {}{gaps}", "sources", report.sources))?;
    let firing = match report.alerts_firing {
        0 => "none firing".to_owned(),
        firing => style.paint(Ink::Red, &format!("{firing} firing: `logweir alerts list`")),
    };
    console.line(&format!("  {:<12} {firing}", "alerts"))
}

/// A size as people read it.
fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes >> 20),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

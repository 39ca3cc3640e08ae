//! `logweir sources`: what delivers lines, how much of each is stored, and what is missing.

use logweir_proto::api::{SourceGap, SourceStatus};
use logweir_proto::text::visible;
use serde_json::Value;

use crate::args::{ListFormat, SourcesArgs};
use crate::client::Client;
use crate::commands::entries;
use crate::error::Result;
use crate::exit::Exit;
use crate::output::{Console, Ink, Table, json_line, local_time};

pub(super) async fn run(args: &SourcesArgs, console: &mut Console) -> Result<Exit> {
    let client = Client::new(&args.list.server)?;
    let answer: Value = client.get("/api/v1/sources", &[]).await?;
    let mut sources: Vec<SourceStatus> = entries(answer, "sources", client.shown())?;
    if args.gaps {
        sources.retain(|source| !source.gaps.is_empty());
    }
    match args.list.output {
        ListFormat::Json => {
            for source in &sources {
                json_line(console, source)?;
            }
        }
        ListFormat::Pretty if sources.is_empty() => {
            console.note(if args.gaps { "no source misses anything" } else { "no source has delivered anything yet" });
        }
        ListFormat::Pretty => pretty(&sources, console)?,
    }
    Ok(if sources.is_empty() { Exit::No } else { Exit::Ok })
}

fn pretty(sources: &[SourceStatus], console: &mut Console) -> std::io::Result<()> {
    let mut table = Table::new(&["HOST", "KIND", "SERVICE", "PARSER", "READ", "STORED", "GAPS", "LAST SEEN", "PATH"]);
    for source in sources {
        let stored = bytes(source.ranges.iter().map(|(from, to)| to.saturating_sub(*from)).sum());
        let gaps = if source.gaps.is_empty() { "-".to_owned() } else { source.gaps.len().to_string() };
        let seen = local_time(&source.last_seen, &console.zone);
        let service = source.service.as_deref().unwrap_or("-");
        let parser = if source.lines == 0 { "-" } else { &*source.parser };
        let read = read(source);
        table.push(&[&source.host, &source.kind, service, parser, &read, &stored, &gaps, &seen, &source.path]);
    }
    table.print(console)?;
    let mut agents: Vec<&SourceStatus> = sources.iter().collect();
    agents.sort_by(|a, b| (&a.host, &a.agent).cmp(&(&b.host, &b.agent)));
    agents.dedup_by(|a, b| a.agent == b.agent);
    for agent in agents {
        let told = [
            (agent.agent_lag_bytes > 0).then(|| format!("{} wait to be delivered", bytes(agent.agent_lag_bytes))),
            (agent.agent_dropped_lines > 0).then(|| format!("{} lines were lost", agent.agent_dropped_lines)),
            (agent.agent_truncated_lines > 0).then(|| format!("{} lines were cut", agent.agent_truncated_lines)),
        ];
        let told: Vec<String> = told.into_iter().flatten().collect();
        if !told.is_empty() {
            let line = format!("agent on {}: {}", visible(&agent.host), told.join(", "));
            console.line(&console.style.paint(Ink::Yellow, &line))?;
        }
    }
    for source in sources.iter().filter(|source| !source.gaps.is_empty()) {
        console.line(&console.style.paint(Ink::Yellow, &format!("missing from {}", visible(&source.path))))?;
        for SourceGap { start, end, reason } in &source.gaps {
            let end = end.map_or("an unknown end".to_owned(), |end| format!("byte {end}"));
            console.line(&format!("  byte {start} to {end}: {}", visible(reason)))?;
        }
    }
    Ok(())
}

/// How many of its lines the parser of a source has read.
fn read(source: &SourceStatus) -> String {
    match source.lines {
        0 => "-".to_owned(),
        lines if source.lines_read == lines => format!("{lines}"),
        lines => format!("{} of {lines}", source.lines_read),
    }
}

fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

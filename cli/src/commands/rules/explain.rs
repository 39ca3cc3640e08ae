//! `logweir rules explain`: the numbers of a rule at one time, branch by branch.

use std::collections::BTreeMap;

use logweir_proto::text::visible;
use serde::Deserialize;
use serde_json::Value;

use crate::args::{ListFormat, RulesExplain};
use crate::client::Client;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{Console, Ink, json_line, local_time};

#[derive(Debug, Deserialize)]
struct Explained {
    rule: String,
    group: String,
    file: String,
    at: String,
    signals: Vec<Signal>,
    instances: Vec<Instance>,
    #[serde(default)]
    more_instances: usize,
    #[serde(default)]
    notes: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Signal {
    name: String,
    query: String,
    from: String,
    to: String,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Instance {
    labels: BTreeMap<String, String>,
    values: BTreeMap<String, f64>,
    #[serde(default)]
    texts: BTreeMap<String, String>,
    branches: Vec<Branch>,
    recovers: Option<bool>,
    undecided: Option<String>,
    no_lines: bool,
    now: Option<Now>,
}

#[derive(Debug, Deserialize)]
struct Branch {
    severity: String,
    when: String,
    #[serde(rename = "for")]
    lasts: Option<String>,
    holds: bool,
}

/// Where the instance stands now, whatever time was asked for.
#[derive(Debug, Deserialize)]
struct Now {
    state: String,
    severity: String,
    since: String,
}

/// 0 when it could be looked at, 1 when there is no such rule, 3 when a signal has no answer.
pub async fn run(args: &RulesExplain, console: &mut Console) -> Result<Exit> {
    let client = Client::new(&args.list.server)?;
    let at = args.at.map(|at| at.to_string());
    let parameters: Vec<(&str, &str)> = at.iter().map(|at| ("at", at.as_str())).collect();
    let answer: Value = client.get(&format!("/api/v1/rules/{}/explain", args.rule), &parameters).await?;
    let failed = answer.get("error").is_some_and(|error| !error.is_null());
    if args.list.output == ListFormat::Json {
        json_line(console, &answer)?;
    } else {
        let explained: Explained = serde_json::from_value(answer)
            .map_err(|error| CliError::Protocol { url: client.shown(), reason: error.to_string() })?;
        pretty(&explained, console)?;
    }
    Ok(if failed { Exit::Unreachable } else { Exit::Ok })
}

fn pretty(explained: &Explained, console: &mut Console) -> std::io::Result<()> {
    let style = console.style;
    let Explained { rule, group, file, at, .. } = explained;
    let at = local_time(at, &console.zone);
    console.line(&format!(
        "{} of {}, {} at {at}",
        style.paint(Ink::Bold, &visible(rule)),
        visible(group),
        visible(file)
    ))?;
    for Signal { name, query, from, to, error } in &explained.signals {
        let (from, to) = (local_time(from, &console.zone), local_time(to, &console.zone));
        let range = style.paint(Ink::Dim, &format!("[{from}, {to})"));
        console.line(&format!("  {:<10} {} {range}", visible(name), visible(query)))?;
        if let Some(error) = error {
            console.line(&style.paint(Ink::Red, &format!("             no answer: {}", visible(error))))?;
        }
    }
    for one in &explained.instances {
        instance(one, console)?;
    }
    if explained.more_instances > 0 {
        console.line(&format!("and {} more", explained.more_instances))?;
    }
    if explained.instances.is_empty() && explained.signals.iter().all(|signal| signal.error.is_none()) {
        console.line("no line matched and nothing is open")?;
    }
    explained.notes.iter().for_each(|note| console.note(&format!("note: {}", visible(note))));
    Ok(())
}

fn instance(one: &Instance, console: &mut Console) -> std::io::Result<()> {
    let style = console.style;
    let labels: Vec<String> = one.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let name = if labels.is_empty() { "all lines".to_owned() } else { labels.join(" ") };
    let now = match &one.now {
        None => "ok now".to_owned(),
        Some(Now { state, severity, since }) => {
            format!("{state} now, {severity}, since {}", local_time(since, &console.zone))
        }
    };
    let empty = if one.no_lines { ", no line matched" } else { "" };
    console.line("")?;
    console.line(&format!("{}  {}{empty}", style.paint(Ink::Bold, &visible(&name)), visible(&now)))?;
    let values: Vec<String> = one.values.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    console.line(&format!("  {}", visible(&values.join("  "))))?;
    for (name, text) in &one.texts {
        console.line(&format!("  {}: {}", visible(name), visible(text)))?;
    }
    for Branch { severity, when, lasts, holds } in &one.branches {
        let verdict = if *holds { style.paint(Ink::Red, "holds") } else { "does not hold".to_owned() };
        let lasts = lasts.as_ref().map(|lasts| format!(" for {lasts}")).unwrap_or_default();
        console.line(&format!("  {:<9} {}{}: {verdict}", visible(severity), visible(when), visible(&lasts)))?;
    }
    if let Some(recovers) = one.recovers {
        console.line(&format!("  {:<9} {}", "recover", if recovers { "holds" } else { "does not hold" }))?;
    }
    match &one.undecided {
        Some(reason) => console.line(&format!("  undecided: {}", visible(reason))),
        None => Ok(()),
    }
}

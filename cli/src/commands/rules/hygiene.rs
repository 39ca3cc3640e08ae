//! `logweir rules list --hygiene`: rules that are of no use, or a burden.

use logweir_proto::text::visible;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::args::{ListArgs, ListFormat};
use crate::client::Client;
use crate::commands::entries;
use crate::error::Result;
use crate::exit::Exit;
use crate::output::{Console, Table, json_line};

#[derive(Debug, Serialize, Deserialize)]
struct Judged {
    rule: String,
    file: String,
    #[serde(default)]
    owner: Option<String>,
    #[serde(default)]
    fired: u32,
    #[serde(default)]
    last_fired: Option<String>,
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Finding {
    kind: String,
    detail: String,
}

pub(super) async fn run(args: &ListArgs, console: &mut Console) -> Result<Exit> {
    let client = Client::new(&args.server)?;
    let answer: Value = client.get("/api/v1/rules/hygiene", &[]).await?;
    let all: Vec<Judged> = entries(answer, "rules", client.shown())?;
    let total = all.len();
    let found: Vec<Judged> = all.into_iter().filter(|judged| !judged.findings.is_empty()).collect();
    if args.output == ListFormat::Json {
        found.iter().try_for_each(|judged| json_line(console, judged))?;
    } else if found.is_empty() {
        console.note(&format!("nothing is wrong with {total} rules"));
    } else {
        let mut table = Table::new(&["RULE", "FINDING", "FIRED 30D", "WHERE", "WHAT"]);
        for judged in &found {
            for finding in &judged.findings {
                let (fired, kind) = (judged.fired.to_string(), finding.kind.replace('_', " "));
                table.push(&[&judged.rule, &kind, &fired, &judged.file, &finding.detail]);
            }
        }
        table.print(console)?;
        console.note(&visible(&format!("{} of {total} rules are of no use or a burden", found.len())));
    }
    Ok(if found.is_empty() { Exit::Ok } else { Exit::No })
}

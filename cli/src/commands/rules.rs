//! `logweir rules`: what the server evaluates, and files checked without one.

use logweir_proto::api::Row;
use serde_json::Value;

use crate::args::{ListArgs, ListFormat, RulesPaths};
use crate::client::Client;
use crate::commands::entries;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{Console, Table, cell, json_line};

/// Validates rule files: 0 when all are right, 2 with every mistake on stderr.
pub fn check(_paths: &RulesPaths, _console: &mut Console) -> Result<Exit> {
    Err(CliError::Usage("rules check is not wired yet".to_owned()))
}

/// Runs the tests of rule files: 0 when all pass, 1 when one fails, 2 when a file is wrong.
pub fn test(_paths: &RulesPaths, _console: &mut Console) -> Result<Exit> {
    Err(CliError::Usage("rules test is not wired yet".to_owned()))
}

/// The rules in force, as the server sees them.
pub async fn list(args: &ListArgs, console: &mut Console) -> Result<Exit> {
    let client = Client::new(&args.server)?;
    let answer: Value = client.get("/api/v1/rules", &[]).await?;
    let rules: Vec<Row> = entries(answer, "rules", client.shown())?;
    if args.output == ListFormat::Json {
        for rule in &rules {
            json_line(console, rule)?;
        }
    } else {
        let names: Vec<&str> = rules.first().map(|rule| rule.keys().map(String::as_str).collect()).unwrap_or_default();
        let header: Vec<String> = names.iter().map(|name| name.to_uppercase()).collect();
        let mut table = Table::new(&header.iter().map(String::as_str).collect::<Vec<_>>());
        for rule in &rules {
            let cells: Vec<String> = names.iter().map(|name| cell(rule.get(*name))).collect();
            table.push(&cells.iter().map(String::as_str).collect::<Vec<_>>());
        }
        if table.is_empty() { console.note("no rules are in force") } else { table.print(console)? }
    }
    Ok(if rules.is_empty() { Exit::No } else { Exit::Ok })
}

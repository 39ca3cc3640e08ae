//! `logweir rules`: what the server evaluates, and files checked without one.

mod engine;

use std::path::PathBuf;

use logweir_alerting::check::cases::run_cases;
use logweir_proto::api::Row;
use logweir_rules::model::RuleSet;
use serde_json::Value;

use crate::args::{ListArgs, ListFormat, RulesPaths};
use crate::client::Client;
use crate::commands::entries;
use crate::error::Result;
use crate::exit::Exit;
use crate::output::{Console, Table, cell, json_line};

/// Validates rule files: 0 when all are right, 2 with every mistake on stderr.
pub fn check(paths: &RulesPaths, console: &mut Console) -> Result<Exit> {
    let Some(set) = load(&paths.paths, console) else { return Ok(Exit::Usage) };
    let rules = set.rules().count();
    let tests: usize = set.rules().map(|(_, rule)| rule.tests.len()).sum();
    console.line(&format!("{rules} rules with {tests} tests are right"))?;
    Ok(Exit::Ok)
}

/// Runs the tests of rule files: 0 when all pass, 1 when one fails, 2 when a file is wrong.
pub fn test(paths: &RulesPaths, console: &mut Console) -> Result<Exit> {
    let Some(set) = load(&paths.paths, console) else { return Ok(Exit::Usage) };
    let results = run_cases(&set, &mut engine::InMemory::default());
    let mut failed = 0;
    for result in &results {
        if result.failures.is_empty() {
            console.line(&format!("ok    {}: {}", result.rule, result.case))?;
            continue;
        }
        failed += 1;
        console.line(&format!("FAIL  {}: {}  ({})", result.rule, result.case, result.place))?;
        for failure in &result.failures {
            console.line(&format!("        {failure}"))?;
        }
    }
    console.line(&format!("{} passed, {failed} failed", results.len() - failed))?;
    if results.is_empty() {
        console.warn("these rules have no tests");
    }
    Ok(if failed == 0 { Exit::Ok } else { Exit::No })
}

/// Reads and checks the files; says every mistake.
fn load(paths: &[PathBuf], console: &mut Console) -> Option<RuleSet> {
    match logweir_alerting::check::paths(paths) {
        Ok(set) => Some(set),
        Err(problems) => {
            for problem in &problems {
                console.note(&problem.to_string());
            }
            None
        }
    }
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

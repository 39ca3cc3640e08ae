//! `logweir rules`: what the server evaluates, and files checked without one.

mod engine;

use std::path::PathBuf;

use logweir_alerting::check::cases::run_cases;
use logweir_proto::api::Row;
use logweir_proto::text::visible;
use logweir_rules::model::RuleSet;
use serde::Deserialize;
use serde_json::Value;

use crate::args::{ListArgs, ListFormat, RulesPaths};
use crate::client::Client;
use crate::error::Result;
use crate::exit::Exit;
use crate::output::{Console, Table, cell, json_line, local_time};

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

#[derive(Deserialize)]
struct InForce {
    groups: Vec<Group>,
    /// Files that were refused; the last good set stays in force.
    #[serde(default)]
    problems: Vec<Value>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    rules: Vec<Row>,
}

/// The rules in force, as the server sees them.
pub async fn list(args: &ListArgs, console: &mut Console) -> Result<Exit> {
    let client = Client::new(&args.server)?;
    let answer: InForce = client.get("/api/v1/rules", &[]).await?;
    let rules = answer.groups.iter().flat_map(|group| group.rules.iter().map(move |rule| (group, rule)));
    let mut table = Table::new(&["GROUP", "RULE", "STATE", "EVALUATED", "LEVELS"]);
    for (group, rule) in rules {
        if args.output == ListFormat::Json {
            let mut rule = rule.clone();
            rule.insert("group".to_owned(), Value::from(group.name.as_str()));
            json_line(console, &rule)?;
            continue;
        }
        let evaluated = rule.get("last_evaluation").and_then(Value::as_str);
        let evaluated = evaluated.map_or_else(|| "never".to_owned(), |time| local_time(time, &console.zone));
        let state = match rule.get("error") {
            None | Some(Value::Null) => "ok".to_owned(),
            error => cell(error),
        };
        table.push(&[&group.name, &cell(rule.get("name")), &state, &evaluated, &levels(rule)]);
    }
    for problem in &answer.problems {
        console.warn(&visible(&cell(Some(problem))));
    }
    if answer.groups.iter().all(|group| group.rules.is_empty()) {
        console.note("no rules are in force");
        return Ok(Exit::No);
    }
    if !table.is_empty() {
        table.print(console)?;
    }
    Ok(Exit::Ok)
}

/// `critical: ratio >= 25%; warning: ratio >= 5%`
fn levels(rule: &Row) -> String {
    let levels = rule.get("levels").and_then(Value::as_object);
    let level = |(severity, when): (&String, &Value)| {
        let any: Vec<String> = when.as_array().into_iter().flatten().map(|when| cell(Some(when))).collect();
        format!("{severity}: {}", any.join(" or "))
    };
    levels.into_iter().flatten().map(level).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;

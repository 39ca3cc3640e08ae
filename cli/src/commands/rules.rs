//! `logweir rules`: what the server evaluates, and files checked without one.

mod backtest;
mod engine;
mod explain;
mod hygiene;
mod import;
mod preview;
mod report;

use std::path::Path;

use logweir_alerting::check::cases::run_cases;
use logweir_alerting::route::Routing;
use logweir_proto::api::Row;
use logweir_proto::text::visible;
use logweir_proto::yaml::Problem;
use logweir_rules::lint;
use logweir_rules::model::LineTime;
use logweir_runtime::text_file;
use serde::Deserialize;
use serde_json::Value;

use crate::args::{ListFormat, ReportFormat, RulesCheck, RulesList, RulesTest, environment};
use crate::client::Client;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{Console, Table, cell, json_line, local_time};

pub use backtest::run as backtest;
pub use explain::run as explain;
pub use import::run as import;
pub use preview::run as preview;
use report::Weight;

/// Validates rule files: 0 when all are right, 2 with every mistake. With `--strict`, 1 when there are warnings.
pub fn check(args: &RulesCheck, console: &mut Console) -> Result<Exit> {
    let set = match logweir_alerting::check::paths(&args.paths) {
        Ok(set) => set,
        Err(problems) => {
            wrong(problems, args.format, console)?;
            return Ok(Exit::Usage);
        }
    };
    let warnings: Vec<_> = lint::lint(&set).into_iter().map(|problem| (Weight::Warning, problem)).collect();
    report::problems(&warnings, args.format, console)?;
    if args.format == ReportFormat::Text {
        let rules = set.rules().count();
        let tests: usize = set.rules().map(|(_, rule)| rule.tests.len()).sum();
        let by_receipt = set.rules().filter(|(_, rule)| rule.time == LineTime::Ingest).count();
        let by_receipt = match by_receipt {
            0 => String::new(),
            rules => format!("; {rules} by the time of receipt (time: ingest)"),
        };
        console.line(&format!("{rules} rules with {tests} tests are right{by_receipt}"))?;
    }
    Ok(if args.strict && !warnings.is_empty() { Exit::No } else { Exit::Ok })
}

/// Runs the tests of rule files: 0 when all pass, 1 when one fails, 2 when a file is wrong.
pub fn test(args: &RulesTest, console: &mut Console) -> Result<Exit> {
    let set = match logweir_alerting::check::paths(&args.paths) {
        Ok(set) => set,
        Err(problems) => {
            wrong(problems, args.format, console)?;
            return Ok(Exit::Usage);
        }
    };
    let routing = match args.config.as_deref().map(routing).transpose()? {
        Some(Err(problems)) => {
            wrong(problems, args.format, console)?;
            return Ok(Exit::Usage);
        }
        Some(Ok(routing)) => Some(routing),
        None => None,
    };
    let found = run_cases(&set, &mut engine::InMemory::default(), routing.as_ref());
    report::results(&found, args.format, console)?;
    if found.results.is_empty() {
        console.warn("these rules have no tests");
    }
    let failed = found.results.iter().any(|result| !result.failures.is_empty());
    Ok(if failed { Exit::No } else { Exit::Ok })
}

fn routing(path: &Path) -> Result<std::result::Result<Routing, Vec<Problem>>> {
    let text = text_file::read_file(path).map_err(|source| CliError::Read { path: path.to_owned(), source })?;
    Ok(logweir_alerting::route::file::load(&path.display().to_string(), &text, &environment))
}

fn wrong(problems: Vec<Problem>, format: ReportFormat, console: &mut Console) -> Result<()> {
    let problems: Vec<_> = problems.into_iter().map(|problem| (Weight::Error, problem)).collect();
    report::problems(&problems, format, console)
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
pub async fn list(args: &RulesList, console: &mut Console) -> Result<Exit> {
    if args.hygiene {
        return hygiene::run(&args.list, console).await;
    }
    let (args, client) = (&args.list, Client::new(&args.list.server)?);
    let answer: InForce = client.get("/api/v1/rules", &[]).await?;
    let rules = answer.groups.iter().flat_map(|group| group.rules.iter().map(move |rule| (group, rule)));
    let mut table = Table::new(&["GROUP", "RULE", "STATE", "ALERTS", "EVALUATED", "LEVELS"]);
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
        let alerts = cell(rule.get("instances"));
        table.push(&[&group.name, &cell(rule.get("name")), &state, &alerts, &evaluated, &levels(rule)]);
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

//! What `rules check` and `rules test` found, for people and for machines.

use logweir_alerting::check::cases::{CaseResult, Report};
use logweir_proto::text::escape_markup;
use logweir_proto::yaml::Problem;
use serde_json::json;

use crate::args::ReportFormat;
use crate::error::Result;
use crate::output::Console;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Error,
    Warning,
}

impl Weight {
    const fn name(self) -> &'static str {
        match self {
            Weight::Error => "error",
            Weight::Warning => "warning",
        }
    }
}

/// Mistakes and warnings of files, each with its place.
pub(super) fn problems(found: &[(Weight, Problem)], format: ReportFormat, console: &mut Console) -> Result<()> {
    for (weight, problem) in found {
        match format {
            ReportFormat::Text if *weight == Weight::Error => console.note(&problem.to_string()),
            ReportFormat::Text => console.warn(&problem.to_string()),
            ReportFormat::Json => console.line(&as_json(*weight, problem).to_string())?,
            ReportFormat::Github => console.line(&annotation(*weight, problem))?,
            ReportFormat::Junit => {}
        }
    }
    if format == ReportFormat::Junit {
        let errors = found.iter().filter(|(weight, _)| *weight == Weight::Error);
        let cases: Vec<String> =
            errors.map(|(_, problem)| case("check", &problem.file, &[problem.to_string()])).collect();
        console.line(&suite("logweir rules check", cases.len().max(1), cases.len(), &cases))?;
    }
    Ok(())
}

/// The results of tests.
pub(super) fn results(report: &Report, format: ReportFormat, console: &mut Console) -> Result<()> {
    let failed = report.results.iter().filter(|result| !result.failures.is_empty()).count();
    match format {
        ReportFormat::Text => {
            for result in &report.results {
                text(result, console)?;
            }
            console.line(&format!("{} passed, {failed} failed", report.results.len() - failed))?;
            for missing in &report.untested {
                let rule = &missing.rule;
                console.warn(&format!("{rule}: no test makes '{}' ({}) true", missing.when, missing.severity));
            }
        }
        ReportFormat::Json => {
            for result in &report.results {
                let CaseResult { rule, case, place, failures } = result;
                let row = json!({"rule": rule, "test": case, "place": place, "ok": failures.is_empty(), "failures": failures});
                console.line(&row.to_string())?;
            }
            for missing in &report.untested {
                let row = json!({"rule": missing.rule, "severity": missing.severity, "untested": missing.when});
                console.line(&row.to_string())?;
            }
        }
        ReportFormat::Github => {
            for result in report.results.iter().filter(|result| !result.failures.is_empty()) {
                let (file, line) = result.place.rsplit_once(':').unwrap_or((&result.place, "1"));
                let text = format!("{}: {}: {}", result.rule, result.case, result.failures.join("; "));
                console.line(&format!("::error file={file},line={line}::{}", escaped(&text)))?;
            }
        }
        ReportFormat::Junit => {
            let cases: Vec<String> =
                report.results.iter().map(|result| case(&result.rule, &result.case, &result.failures)).collect();
            console.line(&suite("logweir rules test", cases.len(), failed, &cases))?;
        }
    }
    Ok(())
}

fn text(result: &CaseResult, console: &mut Console) -> Result<()> {
    if result.failures.is_empty() {
        return Ok(console.line(&format!("ok    {}: {}", result.rule, result.case))?);
    }
    console.line(&format!("FAIL  {}: {}  ({})", result.rule, result.case, result.place))?;
    Ok(result.failures.iter().try_for_each(|failure| console.line(&format!("        {failure}")))?)
}

fn as_json(weight: Weight, problem: &Problem) -> serde_json::Value {
    json!({
        "severity": weight.name(),
        "file": &*problem.file,
        "line": problem.at.map(|at| at.line),
        "column": problem.at.map(|at| at.column),
        "message": problem.message,
        "hint": problem.hint,
    })
}

fn annotation(weight: Weight, problem: &Problem) -> String {
    let place = problem.at.map(|at| format!(",line={},col={}", at.line, at.column)).unwrap_or_default();
    let hint = problem.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("::{} file={}{place}::{}", weight.name(), problem.file, escaped(&format!("{}{hint}", problem.message)))
}

/// As a command of a workflow wants it.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn suite(name: &str, tests: usize, failed: usize, cases: &[String]) -> String {
    let cases = cases.concat();
    format!("<testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failed}\">\n{cases}</testsuite>")
}

fn case(class: &str, name: &str, failures: &[String]) -> String {
    let head = format!("  <testcase classname=\"{}\" name=\"{}\"", xml(class), xml(name));
    if failures.is_empty() {
        return format!("{head}/>\n");
    }
    format!("{head}><failure>{}</failure></testcase>\n", xml(&failures.join("\n")))
}

/// XML has no way to write most control characters.
fn xml(text: &str) -> String {
    let clean = |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c };
    escape_markup(&text.chars().map(clean).collect::<String>())
}

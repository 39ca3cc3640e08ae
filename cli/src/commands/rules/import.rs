//! `logweir rules import`: the rule file on stdout, what did not map on stderr.

use logweir_rules::import::{alertmanager, elastalert, prometheus, sigma};

use super::{Weight, report};
use crate::args::{ImportFrom, ReportFormat, RulesImport};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::Console;

/// Exits 0 when everything mapped, 4 when a part did, 1 when nothing did, 2 when the file is no YAML.
pub fn run(args: &RulesImport, console: &mut Console) -> Result<Exit> {
    let source =
        std::fs::read_to_string(&args.file).map_err(|source| CliError::Read { path: args.file.clone(), source })?;
    let name = args.file.display().to_string();
    let imported = match args.from {
        ImportFrom::Prometheus => prometheus(&name, &source),
        ImportFrom::Elastalert => elastalert(&name, &source),
        ImportFrom::Sigma => sigma(&name, &source),
        ImportFrom::Alertmanager => alertmanager(&name, &source),
    };
    let imported = match imported {
        Ok(imported) => imported,
        Err(problems) => {
            let problems: Vec<_> = problems.into_iter().map(|problem| (Weight::Error, problem)).collect();
            report::problems(&problems, ReportFormat::Text, console)?;
            return Ok(Exit::Usage);
        }
    };
    for line in &imported.unmapped {
        console.warn(&format!("not mapped: {line}"));
    }
    if imported.rules == 0 {
        console.note(match args.from {
            ImportFrom::Alertmanager => "there is no 'route' here",
            _ => "nothing here is a rule over lines",
        });
        return Ok(Exit::No);
    }
    console.line(imported.text.trim_end())?;
    Ok(if imported.unmapped.is_empty() { Exit::Ok } else { Exit::Partial })
}

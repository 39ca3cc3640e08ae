//! `logweir check`: validates any configuration file and lists all its mistakes.

use std::path::Path;

use logweir_aggregator::config::Config;
use logweir_alerting::route;

use crate::args::{self, CheckArgs};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::Console;

/// What a file configures, told by its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Server,
    Agent,
    Rules,
    Routing,
}

pub fn run(args: &CheckArgs, console: &mut Console) -> Result<Exit> {
    let path = &args.config;
    let text = std::fs::read_to_string(path).map_err(|source| CliError::Read { path: path.clone(), source })?;
    let kind = kind_of(&text);
    let mistakes = match kind {
        Kind::Server => server(&text),
        Kind::Agent => lines(logweir_agent::Config::parse(&text, &args::environment)),
        Kind::Rules => lines(logweir_alerting::check::paths(std::slice::from_ref(path))),
        Kind::Routing => lines(route::file::load(&path.display().to_string(), &text, &args::environment)),
    };
    let what = match kind {
        Kind::Server => "a server's configuration",
        Kind::Agent => "an agent's configuration",
        Kind::Rules => "a rule file",
        Kind::Routing => "a routing file",
    };
    if mistakes.is_empty() {
        console.line(&format!("{}: {what}, without mistakes", path.display()))?;
        return Ok(Exit::Ok);
    }
    console.note(&format!("{}: read as {what}", path.display()));
    for mistake in mistakes {
        console.note(&format!("  {mistake}"));
    }
    Ok(Exit::Usage)
}

/// The file, and the files that it names.
fn server(text: &str) -> Vec<String> {
    let config = match Config::parse(text, args::environment) {
        Ok(config) => config,
        Err(mistakes) => return mistakes.0.iter().map(ToString::to_string).collect(),
    };
    let mut mistakes = lines(logweir_alerting::check::paths(&config.alerting.rules));
    if let Some(path) = &config.alerting.config {
        mistakes.extend(routing_file(path));
    }
    mistakes
}

fn routing_file(path: &Path) -> Vec<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => lines(route::file::load(&path.display().to_string(), &text, &args::environment)),
        Err(error) => vec![format!("alerting.config: {}: {error}", path.display())],
    }
}

fn lines<T, E: ToString>(result: std::result::Result<T, Vec<E>>) -> Vec<String> {
    result.map_or_else(|mistakes| mistakes.iter().map(ToString::to_string).collect(), |_| Vec::new())
}

/// Keys that only one kind of file has decide; without any it is a server's.
fn kind_of(text: &str) -> Kind {
    let has = |keys: &[&str]| {
        text.lines().any(|line| keys.iter().any(|key| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':'))))
    };
    if has(&["groups"]) {
        Kind::Rules
    } else if has(&["route", "receivers", "inhibit_rules", "time_intervals"]) {
        Kind::Routing
    } else if has(&["server", "state_dir", "discover", "files", "labels", "redact", "roots"]) {
        Kind::Agent
    } else {
        Kind::Server
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_their_keys() {
        for (text, kind) in [
            ("listen: 127.0.0.1:1\n", Kind::Server),
            ("", Kind::Server),
            ("alerting: { config: x }\n", Kind::Server),
            ("server: { url: http://x }\n", Kind::Agent),
            ("version: 1\ngroups: []\n", Kind::Rules),
            ("route: { receiver: x }\n", Kind::Routing),
        ] {
            assert_eq!(kind_of(text), kind, "{text}");
        }
    }
}

//! `logweir check`: validates any configuration file and lists all its mistakes.

use std::path::Path;

use logweir_aggregator::config::Config;
use logweir_aggregator::parse::formats::file as parsers;
use logweir_aggregator::pipeline::classes::classes;
use logweir_alerting::notify::message::time_text;
use logweir_alerting::route::{Routing, outlook};
use logweir_alerting::{check, route};
use logweir_proto::yaml::{self, Entry, Environment, Node, Problem, Problems, Value};
use logweir_runtime::clock::Clock;
use logweir_runtime::text_file;

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
    Parsers,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Server => "a server's configuration",
            Kind::Agent => "an agent's configuration",
            Kind::Rules => "a rule file",
            Kind::Routing => "a routing file",
            Kind::Parsers => "a file of parsers",
        }
    }
}

pub fn run(args: &CheckArgs, console: &mut Console) -> Result<Exit> {
    let path = args.path();
    let name = path.display().to_string();
    let text = text_file::read_file(path).map_err(|source| CliError::Read { path: path.to_owned(), source })?;
    let (kind, problems) = examine(&name, &text, &args::environment);
    let is_routing = kind == Some(Kind::Routing);
    let kind = kind.map_or("no YAML", Kind::name);
    if problems.is_empty() {
        console.line(&format!("{name}: {kind}, without mistakes"))?;
        if is_routing && let Ok(routing) = route::file::load(&name, &text, &args::environment) {
            outlook(&routing, console)?;
        }
        return Ok(Exit::Ok);
    }
    console.note(&format!("{name}: read as {kind}"));
    for problem in problems {
        console.note(&problem.to_string());
    }
    Ok(Exit::Usage)
}

/// What a right routing file may still not mean, and when its time intervals begin and end next.
fn outlook(routing: &Routing, console: &mut Console) -> Result<()> {
    for doubt in outlook::doubts(routing) {
        console.warn(&doubt);
    }
    let now_ns = Clock::system().now_ns();
    for interval in &routing.intervals {
        let changes = outlook::changes(interval, now_ns, outlook::CHANGES_SHOWN);
        let show =
            |(at, begins): &(i64, bool)| format!("{} {}", if *begins { "begins" } else { "ends" }, time_text(*at));
        let next = if changes.is_empty() {
            "does not change within a year".to_owned()
        } else {
            changes.iter().map(show).collect::<Vec<_>>().join(", ")
        };
        console.line(&format!("time interval '{}': {next}", interval.name))?;
    }
    Ok(())
}

/// What the file is, unless its YAML is broken, and all its mistakes.
fn examine(name: &str, text: &str, env: Environment<'_>) -> (Option<Kind>, Vec<Problem>) {
    let mut broken = Problems::new(name, text);
    let Some(root) = yaml::parse_or_empty(text, &mut broken) else { return (None, broken.into_sorted()) };
    let kind = kind_of(&root);
    let problems = match kind {
        Kind::Server => server(name, text, env),
        Kind::Agent => problems(logweir_agent::Config::parse(name, text, env)),
        Kind::Rules => problems(check::rules(&[(name.to_owned(), text.to_owned())])),
        Kind::Routing => problems(route::file::load(name, text, env)),
        Kind::Parsers => parsers::check(name, text),
    };
    (Some(kind), problems)
}

/// The file, and the files that it names.
fn server(name: &str, text: &str, env: Environment<'_>) -> Vec<Problem> {
    let config = match Config::parse(name, text, env) {
        Ok(config) => config,
        Err(problems) => return problems,
    };
    let mut found = problems(check::paths(&config.alerting.rules));
    found.extend(problems(parsers::load(&config.parsers)));
    if let Err(error) = classes(&config) {
        let mut wrong = Problems::new(name, text);
        wrong.add_file(error.to_string());
        found.extend(wrong.into_sorted());
    }
    if let Some(path) = &config.alerting.config {
        found.extend(routing_file(path, env));
    }
    found
}

fn routing_file(path: &Path, env: Environment<'_>) -> Vec<Problem> {
    let name = path.display().to_string();
    match text_file::read_file(path) {
        Ok(text) => problems(route::file::load(&name, &text, env)),
        Err(error) => vec![check::unread(&name, &error.to_string())],
    }
}

fn problems<T>(result: std::result::Result<T, Vec<Problem>>) -> Vec<Problem> {
    result.err().unwrap_or_default()
}

/// Keys that only one kind of file has decide; without any it is a server's.
fn kind_of(root: &Node) -> Kind {
    let Value::Map(entries) = &root.value else { return Kind::Server };
    let has = |keys: &[&str]| entries.iter().any(|entry| keys.contains(&entry.key.as_str()));
    // The section of a server's configuration is a mapping.
    let is_list = |entry: &Entry| entry.key == "parsers" && matches!(entry.node.value, Value::List(_));
    if entries.iter().any(is_list) {
        Kind::Parsers
    } else if has(&["groups"]) {
        Kind::Rules
    } else if has(&["route", "receivers", "inhibit_rules", "time_intervals"]) {
        Kind::Routing
    } else if has(&["server", "state_dir", "discover", "discover_roots", "files", "labels", "host", "redact"]) {
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
            ("\"server\" : { url: http://x }\n", Kind::Agent),
            ("{ discover: [pm2], limits: {} }\n", Kind::Agent),
            ("version: 1\ngroups: []\n", Kind::Rules),
            ("route: { receiver: x }\n", Kind::Routing),
            ("parsers: { files: [x] }\n", Kind::Server),
            ("parsers: [{ name: x }]\n", Kind::Parsers),
            ("public_url: |\n  x\n# groups: no\n", Kind::Server),
        ] {
            let mut problems = Problems::new("f", text);
            let root = yaml::parse_or_empty(text, &mut problems).expect("it is YAML");
            assert_eq!(kind_of(&root), kind, "{text}");
        }
    }

    #[test]
    fn every_kind_tells_the_place() {
        for (text, kind, at) in [
            ("data_dir: x\nlistn: 127.0.0.1:1\n", Some(Kind::Server), "f.yaml:2:1: "),
            ("server: { url: nowhere }\n", Some(Kind::Agent), "f.yaml:1:16: "),
            ("version: 1\ngroups: 7\n", Some(Kind::Rules), "f.yaml:2:9: "),
            ("route: { receiver: ops }\nreceivers: []\n", Some(Kind::Routing), "f.yaml:1:20: "),
            ("listen: [\n", None, "f.yaml:1:9: "),
            ("parsers: [{ name: x, pattern: '{a' }]\n", Some(Kind::Parsers), "f.yaml:1:32: "),
            ("parsers: { use: [{ path: x, parser: y }] }\n", Some(Kind::Server), "f.yaml:1:37: "),
            ("data_dir: ${NOPE}\n", Some(Kind::Server), "f.yaml:1:11: "),
            (
                "alerting: { config: /nowhere/alerting.yaml }\n",
                Some(Kind::Server),
                "/nowhere/alerting.yaml: cannot be read",
            ),
        ] {
            let (found, problems) = examine("f.yaml", text, &|_| None);
            assert_eq!(found, kind, "{text}");
            let shown: Vec<String> = problems.iter().map(Problem::to_string).collect();
            assert!(shown.len() == 1 && shown[0].starts_with(at), "{text} {shown:?}");
        }
    }
}

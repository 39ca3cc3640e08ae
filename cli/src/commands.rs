//! One module a command. Each takes its arguments and the console, and says how it ended.

mod alerts;
mod anomaly;
pub mod check;
mod completions;
mod context;
mod explain;
mod export;
mod fields;
mod fsck;
mod notify;
mod patterns;
mod route_test;
pub mod rules;
pub mod search;
pub mod serve;
mod sources;
mod status;
pub mod stdin;
mod tail;
mod tokens;
pub mod up;

use serde_json::Value;

use crate::args::{Command, RulesCommand};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::Console;

/// Runs the command that was typed.
pub async fn dispatch(command: Command, console: &mut Console) -> Result<Exit> {
    match command {
        Command::Up(args) => up::run(args).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Search(args) => search::run(&args, console).await,
        Command::Tail(args) => tail::run(&args, console).await,
        Command::Context(args) => context::run(&args, console).await,
        Command::Patterns(args) => patterns::run(&args, console).await,
        Command::Fields(args) => fields::run(&args, console).await,
        Command::Explain(args) => explain::run(&args, console).await,
        Command::Export(args) => export::run(&args, console).await,
        Command::Alerts(command) => alerts::run(&command, console).await,
        Command::Rules(RulesCommand::Check(paths)) => rules::check(&paths, console),
        Command::Rules(RulesCommand::Test(paths)) => rules::test(&paths, console),
        Command::Rules(RulesCommand::Backtest(args)) => rules::backtest(&args, console).await,
        Command::Rules(RulesCommand::Preview(args)) => rules::preview(&args, console).await,
        Command::Rules(RulesCommand::Import(args)) => rules::import(&args, console),
        Command::Rules(RulesCommand::List(args)) => rules::list(&args, console).await,
        Command::Rules(RulesCommand::Explain(args)) => rules::explain(&args, console).await,
        Command::Notify(command) => notify::run(&command, console).await,
        Command::RouteTest(args) => route_test::run(&args, console).await,
        Command::Anomaly(args) => anomaly::run(&args, console),
        Command::Status(args) => status::run(&args, console).await,
        Command::Sources(args) => sources::run(&args, console).await,
        Command::Check(args) => check::run(&args, console),
        Command::Fsck(args) => fsck::run(&args, console),
        Command::Tokens(command) => tokens::run(&command, console),
        Command::Completions(args) => completions::run(&args, console),
    }
}

/// The entries of a list answer: an array, or an object with the array under `name`.
fn entries<T: serde::de::DeserializeOwned>(answer: Value, name: &str, url: String) -> Result<Vec<T>> {
    let list = match answer {
        Value::Object(mut object) => object.remove(name).unwrap_or_default(),
        other => other,
    };
    serde_json::from_value(list)
        .map_err(|error| CliError::Protocol { url, reason: format!("not a list of {name}: {error}") })
}

#[cfg(test)]
pub(crate) mod tests;

//! What can be typed: commands, flags and their help. The environment is read here and nowhere else.

mod alerts;
mod anomaly;
mod client;
mod server;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

pub use alerts::{
    AlertArgs, AlertsCommand, AlertsList, NotifyCommand, PatternsCommand, RouteTestArgs, RulesExplain, RulesList,
    SilenceArgs,
};
pub use anomaly::{AnomalyArgs, AnomalyDetector, AnomalyDirection, AnomalySensitivity};
pub use client::{
    ContextArgs, ExplainArgs, ExportArgs, FieldsArgs, ImportFrom, ListArgs, ListFormat, OutputFormat, PatternsArgs,
    RangeArgs, ReportFormat, RulesBacktest, RulesCheck, RulesCommand, RulesImport, RulesPreview, RulesTest, SearchArgs,
    ServerArgs, SourcesArgs, StdinFormat, TailArgs, stdin_format,
};
pub use server::{CheckArgs, CompletionsArgs, FsckArgs, ServeArgs, TokensCommand, UpArgs};

/// Grouped by hand, because clap lists commands in one block. A test keeps it equal to [`Command`].
const HELP: &str = "\
{about}

{usage-heading} {usage}

Start:
  up           Run everything here: find this machine's logs, store, search, alert
  serve        Run the server from a configuration file

Look:
  search       Find events, count them, make tables of them
  tail         Follow new events as they arrive
  context      Show what happened around one event
  patterns     Show what the messages have in common, the most frequent first
  fields       List the fields of the stored events, or the values of one
  explain      Say what a query would read, without running it
  export       Write everything that a query finds to a file

Alerts:
  alerts       Show what is firing and why, acknowledge and silence it
  rules        Check, test, replay, list and explain the alert rules
  notify       Look after the messages: what waits, what was given up, tests
  route-test   Say whom an alert with these labels would be told to, and why not
  anomaly      Find what is unusual in a series of a file

Care:
  status       Say whether the server is well
  sources      List what delivers lines, and what is missing
  check        Validate a configuration file
  fsck         Check stored data, and mend what can be mended
  tokens       Make, list and revoke access tokens
  completions  Print a completion script for a shell

Options:
{options}{after-help}

Exit codes: 0 yes or ok, 1 no hits or a negative answer, 2 usage, configuration or query error,
            3 server unreachable, 4 partial result, 70 bug
";

const EXAMPLES: &str = "\
Examples:
  logweir up --demo
  logweir search 'level>=error service:api' --since 15m
  logweir search 'status>=500 | stats count by path'
  logweir tail 'service:nginx status>=500'";

/// Logs in, answers and alerts out.
#[derive(Debug, Parser)]
#[command(
    name = "logweir",
    version,
    about,
    help_template = HELP,
    after_help = EXAMPLES,
    disable_help_subcommand = true,
    max_term_width = 100,
    propagate_version = false
)]
pub struct Cli {
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN", hide_possible_values = true, help = "auto (on a terminal unless NO_COLOR is set), always or never")]
    pub color: ColorChoice,
    /// Show times in UTC instead of the local time zone
    #[arg(long, global = true)]
    pub utc: bool,
    /// Do not show long answers in a pager
    #[arg(long, global = true)]
    pub no_pager: bool,
    #[command(subcommand)]
    pub command: Command,
}

impl Command {
    /// The answer may be longer than a screen, and is for people.
    pub fn may_be_long(&self) -> bool {
        let (output, count) = match self {
            Command::Search(args) => (args.output, args.count),
            Command::Context(args) => (args.output, false),
            Command::Patterns(args) => (args.output, false),
            Command::Fields(args) => (args.output, false),
            _ => return false,
        };
        !count && matches!(output, OutputFormat::Pretty | OutputFormat::Table | OutputFormat::Logfmt)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Up(UpArgs),
    Serve(ServeArgs),
    Search(SearchArgs),
    Tail(TailArgs),
    Context(ContextArgs),
    Patterns(PatternsArgs),
    Fields(FieldsArgs),
    Explain(ExplainArgs),
    Export(ExportArgs),
    /// Show what is firing and why, acknowledge and silence it
    #[command(subcommand, arg_required_else_help = true)]
    Alerts(AlertsCommand),
    /// Check, test, replay, list and explain the alert rules
    #[command(subcommand, arg_required_else_help = true)]
    Rules(RulesCommand),
    /// Look after the messages: what waits, what was given up, tests
    #[command(subcommand, arg_required_else_help = true)]
    Notify(NotifyCommand),
    RouteTest(RouteTestArgs),
    Anomaly(AnomalyArgs),
    /// Say whether the server is well
    ///
    /// Exits 0 when every part is ready, 1 when one is not, 3 when there is no answer.
    Status(ListArgs),
    Sources(SourcesArgs),
    Check(CheckArgs),
    Fsck(FsckArgs),
    /// Make, list and revoke access tokens
    #[command(subcommand, arg_required_else_help = true)]
    Tokens(TokensCommand),
    Completions(CompletionsArgs),
}

/// `LOGWEIR_TOKEN`, unless it is empty.
pub fn token_from_environment() -> Option<OsString> {
    variable("LOGWEIR_TOKEN")
}

/// `NO_COLOR` is set to something.
pub fn no_color() -> bool {
    variable("NO_COLOR").is_some()
}

/// `TERM=dumb` is a terminal that shows escape sequences as text.
pub fn dumb_terminal() -> bool {
    variable("TERM").is_some_and(|term| term == "dumb")
}

/// `${NAME}` in a configuration file.
pub fn environment(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok()
}

/// `LOGWEIR_LOG`, else `default`.
pub fn log_filter(default: &str) -> String {
    environment("LOGWEIR_LOG").filter(|filter| !filter.is_empty()).unwrap_or_else(|| default.to_owned())
}

/// `PM2_HOME`
pub fn pm2_home() -> Option<PathBuf> {
    variable("PM2_HOME").map(PathBuf::from)
}

/// `LOGWEIR_PAGER`, else `PAGER`, else `less`.
pub fn pager() -> String {
    let named = ["LOGWEIR_PAGER", "PAGER"].into_iter().find_map(environment);
    named.unwrap_or_else(|| "less".to_owned())
}

/// `XDG_CONFIG_HOME`, else `~/.config`.
pub fn user_config_dir() -> Option<PathBuf> {
    let home = || variable("HOME").map(|home| PathBuf::from(home).join(".config"));
    variable("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home)
}

/// `XDG_DATA_HOME`, else `~/.local/share`, else a folder of the working directory.
pub fn user_data_dir() -> PathBuf {
    let home = || variable("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    variable("XDG_DATA_HOME").map(PathBuf::from).or_else(home).unwrap_or_else(|| PathBuf::from("."))
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;

//! Arguments of the commands about alerts, silences, messages and rules in force.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ListArgs;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  logweir alerts list
  logweir alerts why 01K5D2GS0J8M6Q4W
  logweir alerts ack 01K5D2GS0J8M6Q4W --comment 'rolling back'
  logweir alerts silence service=api 'host=~web-.*' --for 2h --comment deploy")]
pub enum AlertsCommand {
    /// List what is pending or firing; exits 1 when nothing is
    List(AlertsList),
    /// Show one alert with its values and sample lines
    Show {
        #[command(flatten)]
        about: AlertArgs,
    },
    /// Say why an alert fired, who was told, who was not and why
    Why {
        #[command(flatten)]
        about: AlertArgs,
    },
    /// Say that you have an alert in hand: no repetition and no escalation, until it gets worse
    Ack {
        #[command(flatten)]
        about: AlertArgs,
        /// What you are doing about it
        #[arg(long, default_value = "", hide_default_value = true)]
        comment: String,
        /// Who you are
        #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true, default_value = "somebody")]
        by: String,
        /// Only for so long, then it is repeated again: 4h
        #[arg(long = "for", value_name = "TIME", value_parser = length)]
        lasts: Option<String>,
    },
    /// Keep everybody quiet about alerts with these labels for a time
    #[command(after_help = "\
Examples:
  logweir alerts silence alertname=NginxErrors --for 2h --comment 'upgrade of the upstream'
  logweir alerts silence service=api 'severity!=critical' --for 30m --comment deploy")]
    Silence(SilenceArgs),
    /// End a silence now
    Unsilence {
        /// As printed by `alerts silences`
        id: String,
        #[command(flatten)]
        list: ListArgs,
    },
    /// List the silences, the newest first; exits 1 when there are none
    Silences {
        /// Also those that have ended within the last week
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        list: ListArgs,
    },
}

#[derive(Debug, Args)]
pub struct AlertsList {
    /// Also those that ended within the last week
    #[arg(long)]
    pub resolved: bool,
    #[command(flatten)]
    pub list: ListArgs,
}

/// One alert.
#[derive(Debug, Args)]
pub struct AlertArgs {
    /// As printed by `alerts list`
    pub id: String,
    #[command(flatten)]
    pub list: ListArgs,
}

#[derive(Debug, Args)]
pub struct SilenceArgs {
    /// Labels that the alerts must have: name=value, !=, =~ or !~ with a regular expression
    #[arg(required = true, value_name = "MATCHER", value_parser = matcher)]
    pub matchers: Vec<String>,
    /// How long: 30m, 2h, 1d
    #[arg(long = "for", value_name = "TIME", value_parser = length)]
    pub lasts: String,
    /// Why
    #[arg(long)]
    pub comment: String,
    /// Who you are
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true, default_value = "somebody")]
    pub author: String,
    #[command(flatten)]
    pub list: ListArgs,
}

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  logweir notify test ops
  logweir notify dead
  logweir notify retry msg_6fc1…")]
pub enum NotifyCommand {
    /// List the messages that wait or are under way; exits 1 when there are none
    Outbox(ListArgs),
    /// List the messages that were given up, with the reason; exits 1 when there are none
    Dead(ListArgs),
    /// Send a message again now that waits or was given up
    Retry {
        /// As printed by `notify outbox` and `notify dead`
        id: String,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Send a marked message to every channel of a receiver, and wait for it; exits 1 when one did not arrive
    Test {
        /// A receiver of the routing file
        receiver: String,
        /// How long to wait: 30s
        #[arg(long, value_name = "TIME", value_parser = super::client::duration, default_value = "30s")]
        wait: std::time::Duration,
        #[command(flatten)]
        list: ListArgs,
    },
}

#[derive(Debug, Subcommand)]
pub enum PatternsCommand {
    /// Say what a pattern is: no news (known), not worth counting (ignore), or in hand (ticket)
    Mark {
        #[arg(value_name = "known|ignore|ticket", value_parser = ["known", "ignore", "ticket"])]
        mark: String,
        /// The `pattern` label of its alert, 16 digits; or the template as it is shown
        pattern: String,
        /// Which ticket; the alert becomes an info that names it
        #[arg(long, value_name = "ID", required_if_eq("mark", "ticket"))]
        ticket: Option<String>,
        /// Only where this label of the rule's scope is so: service=api
        #[arg(long, value_name = "LABEL", value_parser = label)]
        scope: Vec<(String, String)>,
        /// Why
        #[arg(long, default_value = "", hide_default_value = true)]
        comment: String,
        /// Who you are
        #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true, default_value = "somebody")]
        by: String,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Take a mark back
    Unmark {
        /// As printed by `patterns marks`
        id: String,
        #[command(flatten)]
        list: ListArgs,
    },
    /// List what was said about patterns, also in rule files; exits 1 when nothing was
    Marks(ListArgs),
}

/// Say whom an alert with these labels would be told to, and why not
///
/// Silences and other alerts count when the server is asked; with a file nothing else fires. Exits 1 when nobody would
/// be told.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  logweir route-test severity=critical service=pay
  logweir route-test severity=warning --at 2026-01-05T03:00:00Z --config alerting.yaml")]
pub struct RouteTestArgs {
    /// Labels of the alert: name=value
    #[arg(required = true, value_name = "LABEL", value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// At this time instead of now: 2026-01-05T03:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub at: Option<jiff::Timestamp>,
    /// Try this routing file instead of asking a server
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub list: ListArgs,
}

#[derive(Debug, Args)]
pub struct RulesList {
    /// Say which rules are of no use or a burden instead; exits 1 when there are any
    #[arg(long)]
    pub hygiene: bool,
    #[command(flatten)]
    pub list: ListArgs,
}

#[derive(Debug, Args)]
pub struct RulesExplain {
    /// The name of a rule in force
    pub rule: String,
    /// At this time instead of now: 2026-01-05T03:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub at: Option<jiff::Timestamp>,
    #[command(flatten)]
    pub list: ListArgs,
}

fn matcher(text: &str) -> Result<String, String> {
    logweir_alerting::route::matcher::Matcher::parse(text)?;
    Ok(text.to_owned())
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.trim_matches('"').to_owned())),
        _ => Err("a label looks like service=api".to_owned()),
    }
}

fn length(text: &str) -> Result<String, String> {
    super::client::duration(text).map(|_| text.to_owned())
}

fn time(text: &str) -> Result<jiff::Timestamp, String> {
    text.parse().map_err(|_| "a time looks like 2026-01-05T03:00:00Z".to_owned())
}

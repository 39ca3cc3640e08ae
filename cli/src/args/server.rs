//! Arguments of the commands that run a server or look at files only.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use clap_complete::Shell;
use logweir_aggregator::auth::Scope;

/// Run everything here: find this machine's logs, store, search, alert
///
/// One process with the agent, the aggregator, the alert engine and the web page. It finds NGINX, PM2 and Docker logs
/// by itself and needs no configuration.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  logweir up                         this machine's logs, on http://127.0.0.1:7171
  logweir up --demo                  a small simulated shop with an incident now and then
  logweir up --data /var/lib/logweir --rules ./rules

Environment:
  LOGWEIR_LOG  What is logged on stderr: error, warn, info (default), debug or trace")]
pub struct UpArgs {
    /// Address of the page and the API
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7171")]
    pub listen: SocketAddr,
    /// Where events and state are kept [default: the user's data directory]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Rule files to evaluate instead of the shipped ones
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
    /// Routing and receivers of alerts; without it they are shown on the page only
    #[arg(long, value_name = "FILE")]
    pub alerting: Option<PathBuf>,
    /// Write a simulated shop's logs and tail those
    #[arg(long)]
    pub demo: bool,
}

/// Run the server from a configuration file
///
/// The aggregator, the alert engine and the web page; agents on other hosts send to it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  logweir check --config /etc/logweir/logweir.yaml
  logweir serve --config /etc/logweir/logweir.yaml

Environment:
  LOGWEIR_LOG  What is logged on stderr: error, warn, info (default), debug or trace")]
pub struct ServeArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// Validate a configuration file
///
/// Says which kind of file it is and lists all mistakes at once, with their lines.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  logweir check --config agent.yaml && systemctl restart logweir-agent
  logweir check shop.yaml            parsers of one's own, whose tests are run")]
pub struct CheckArgs {
    /// The file: a server's, an agent's, parsers, alerting or rules
    #[arg(long, value_name = "FILE", required_unless_present = "file")]
    pub config: Option<PathBuf>,
    /// The same without the flag
    #[arg(value_name = "FILE", conflicts_with = "config")]
    pub file: Option<PathBuf>,
}

impl CheckArgs {
    pub fn path(&self) -> &Path {
        self.config.as_deref().or(self.file.as_deref()).unwrap_or(Path::new(""))
    }
}

/// Check stored data, and mend what can be mended
///
/// Reads everything in the data directory of a server that does not run: every byte of every split by its checksum, the
/// commit log, the write-ahead log. What is wrong is listed with file, block and range of time. Nothing is changed
/// without --repair, which makes the catalogue anew from the splits when the commit log is lost or damaged, and takes
/// splits out of it that are not there any more.
///
/// Exits 0 when all is well or was mended, 1 when something is lost or damaged, 2 when the check cannot be made, for
/// example because a server runs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  logweir fsck --data /var/lib/logweir
  logweir fsck --data /var/lib/logweir --deep
  logweir fsck --data /var/lib/logweir --repair")]
pub struct FsckArgs {
    /// The server's data directory
    #[arg(long, value_name = "DIR", default_value = "/var/lib/logweir")]
    pub data: PathBuf,
    /// Rebuild every line, not only those of three blocks a split
    #[arg(long)]
    pub deep: bool,
    /// Mend what can be mended
    #[arg(long)]
    pub repair: bool,
}

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  logweir completions bash > /etc/bash_completion.d/logweir
  logweir completions zsh > ~/.zfunc/_logweir
  logweir completions fish > ~/.config/fish/completions/logweir.fish")]
pub struct CompletionsArgs {
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Make, list and revoke access tokens
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  logweir tokens create --scope ingest --name web-1 --data /var/lib/logweir > token
  logweir tokens list --data /var/lib/logweir
  logweir tokens revoke 0a1b2c3d4e5f --data /var/lib/logweir")]
pub enum TokensCommand {
    /// Make a token and print it; it is not kept anywhere else
    Create(TokensCreateArgs),
    /// List the tokens; their secrets are not known to the server either
    List(TokensDataArgs),
    /// Take a token back; a running server notices at once
    Revoke(TokensRevokeArgs),
}

#[derive(Debug, Args)]
pub struct TokensDataArgs {
    /// The server's data directory
    #[arg(long, value_name = "DIR", default_value = "/var/lib/logweir")]
    pub data: PathBuf,
}

#[derive(Debug, Args)]
pub struct TokensCreateArgs {
    /// What it may do: ingest, query, tail, rules:write, metrics or admin; may be given several times
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',', value_parser = scope)]
    pub scopes: Vec<Scope>,
    /// What it is for, as the list shows it
    #[arg(long, default_value = "")]
    pub name: String,
    #[command(flatten)]
    pub data: TokensDataArgs,
}

#[derive(Debug, Args)]
pub struct TokensRevokeArgs {
    /// The id, as in the list
    pub id: String,
    #[command(flatten)]
    pub data: TokensDataArgs,
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::parse(text).ok_or_else(|| {
        let known: Vec<&str> = Scope::ALL.into_iter().map(Scope::as_str).collect();
        format!("there is no such scope: known are {}", known.join(", "))
    })
}

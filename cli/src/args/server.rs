//! Arguments of the commands that run a server or look at files only.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// Run everything here: find this machine's logs, store, search, alert
///
/// One process with the agent, the aggregator, the alert engine and the web page. It finds NGINX, PM2 and Docker logs
/// by itself and needs no configuration.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  logweir up                         this machine's logs, on http://127.0.0.1:7171
  logweir up --demo                  a small simulated shop with an incident now and then
  logweir up --data /var/lib/logweir --rules ./rules")]
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
  logweir serve --config /etc/logweir/logweir.yaml")]
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
  logweir check --config agent.yaml && systemctl restart logweir-agent")]
pub struct CheckArgs {
    /// The file: a server's, an agent's or rules
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
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

//! The command line and the environment of `logweir-agent`, laid over the configuration file.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use logweir_runtime::secrets::Secret;

use crate::config::{Config, Discover, Inputs, Proxies, Stdin, check_url};
use crate::error::{Error, Result};
use crate::redact::Detector;

/// Read when it is there and `--config` is not given.
pub const DEFAULT_CONFIG: &str = "/etc/logweir/agent.yaml";

/// Finds the logs of this host (PM2, NGINX, Docker, Kubernetes and configured files) and ships each line exactly once.
#[derive(Debug, Parser)]
#[command(name = "logweir-agent", version, after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Configuration file [default: /etc/logweir/agent.yaml if it exists]
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Address of the server, with scheme and port [env: LOGWEIR_URL]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// File with the token for the server [env: LOGWEIR_TOKEN holds a token itself]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Where the agent keeps its checkpoint [default: /var/lib/logweir-agent]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Ship what is there now from its beginning, wait for the acks, and exit
    #[arg(long)]
    pub once: bool,
    /// Ship the lines of standard input and nothing else, wait for the acks, and exit
    #[arg(long, conflicts_with = "once")]
    pub stdin: bool,
    /// Service of the lines of standard input
    #[arg(long, value_name = "NAME", requires = "stdin", default_value = "stdin")]
    pub service: String,
}

#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Print what would be tailed, with type, service and format, and what not and why; ships nothing
    Discover {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Print which lines of a file would be joined into one event, and by which rule; ships nothing
    Multiline {
        /// How to read it: auto, pm2, nginx_error, docker or cri
        #[arg(long, default_value = "auto", value_name = "FORMAT")]
        format: String,
        /// An event begins where this pattern is found, as `files.multiline.start` says it
        #[arg(long, value_name = "PATTERN")]
        start: Option<String>,
        /// `-` for standard input
        file: PathBuf,
    },
    /// Redact lines from stdin as the configuration says and print them; what was found is counted on stderr
    Redact {
        /// Detector to use instead of what the configuration says; may be repeated
        #[arg(long, value_name = "NAME", value_parser = detector)]
        detector: Vec<Detector>,
    },
}

fn detector(name: &str) -> Result<Detector, String> {
    let known = Detector::ALL.iter().find(|(known, _)| *known == name);
    let names = Detector::ALL.map(|(name, _)| name).join(", ");
    known.map(|(_, detector)| *detector).ok_or_else(|| format!("must be one of {names}"))
}

const AFTER_HELP: &str = "\
Examples:
  logweir-agent discover
  logweir-agent multiline /srv/app/log/error.log
  logweir-agent --server https://logs.example.net:7171 --token-file /etc/logweir/token
  backup.sh 2>&1 | logweir-agent --stdin --service backup --server https://logs.example.net:7171
  logweir-agent redact --detector email --detector card < app.log
  logweir-agent --once --server http://127.0.0.1:7171 --state-dir /tmp/once

Environment:
  LOGWEIR_LOG  What is logged on stderr: error, warn, info (default), debug or trace
  HTTPS_PROXY, HTTP_PROXY, NO_PROXY  The way to the server, where server.proxy does not say it

Exit codes: 0 ok, 1 nothing found by discover, 2 usage or configuration, 3 server unreachable with --once, 70 bug";

impl Args {
    /// The configuration file that is read, if any.
    pub fn config_file(&self) -> Option<PathBuf> {
        let default = Path::new(DEFAULT_CONFIG);
        self.config.clone().or_else(|| default.exists().then(|| default.to_owned()))
    }

    /// The settings that hold; flags win over the environment, the environment over the file.
    pub fn settings(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Config> {
        let mut config = match self.config_file() {
            Some(path) => Config::load(&path, env)?,
            None => Config { host_stats: true, ..Config::new() },
        };
        if let Some((from, url)) =
            self.server.clone().map(|url| ("--server", url)).or_else(|| Some(("LOGWEIR_URL", env("LOGWEIR_URL")?)))
        {
            let checked = check_url(&url).map_err(|reason| Error::Argument { from, reason })?;
            config.server_url = Some(checked);
            config.server_fallbacks.clear();
        }
        if let Some(path) = &self.token_file {
            config.token = None;
            config.token_file = Some(path.clone());
        } else if let Some(token) = env("LOGWEIR_TOKEN").filter(|token| !token.is_empty()) {
            config.token = Some(Secret::new(token));
        }
        if let Some(dir) = &self.state_dir {
            config.state_dir.clone_from(dir);
        }
        config.pm2_home = env("PM2_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        if config.proxies.is_none() {
            config.proxies = Some(proxies(env)?);
        }
        config.once = self.once;
        if self.stdin {
            let stdin = Stdin::new(&self.service).map_err(|reason| Error::Argument { from: "--service", reason })?;
            config.discover = Discover::NONE;
            config.files.clear();
            config.inputs = Inputs { stdin: Some(stdin), spool_bytes: config.inputs.spool_bytes, ..Inputs::default() };
        }
        Ok(config)
    }
}

/// What the environment says of proxies, in the customary names.
fn proxies(env: &dyn Fn(&str) -> Option<String>) -> Result<Proxies> {
    let named = |name: &str| {
        let values = [name.to_owned(), name.to_lowercase()].into_iter().filter_map(|name| env(&name));
        values.into_iter().find(|value| !value.is_empty())
    };
    let proxy = |from: &'static str| {
        let Some(url) = named(from).or_else(|| named("ALL_PROXY")) else { return Ok(None) };
        let url = if url.contains("://") { url } else { format!("http://{url}") };
        check_url(&url).map(Some).map_err(|reason| Error::Argument { from, reason })
    };
    Ok(Proxies { http: proxy("HTTP_PROXY")?, https: proxy("HTTPS_PROXY")?, except: named("NO_PROXY") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_come_from_the_environment_unless_the_file_says_so() {
        let env = |name: &str| match name {
            "https_proxy" => Some("proxy.example:3128".to_owned()),
            "NO_PROXY" => Some("10.0.0.0/8,.internal".to_owned()),
            _ => None,
        };
        let want = Proxies {
            http: None,
            https: Some("http://proxy.example:3128".to_owned()),
            except: Some("10.0.0.0/8,.internal".to_owned()),
        };
        assert_eq!(proxies(&env).expect("it is right"), want);
        let broken = |name: &str| (name == "HTTP_PROXY").then(|| "socks5://x".to_owned());
        assert!(proxies(&broken).expect_err("not http").to_string().starts_with("HTTP_PROXY: "));
    }
}

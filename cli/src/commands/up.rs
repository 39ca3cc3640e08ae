//! `logweir up`: everything in one process, with nothing to configure.

use std::io::Write;
use std::path::{Path, PathBuf};

use logweir_agent::config::{Discover, Roots};
use logweir_aggregator::auth::TokenFile;
use logweir_aggregator::config::Config;
use logweir_runtime::clock::Clock;
use logweir_runtime::durable;
use logweir_runtime::loopback::is_loopback;
use logweir_runtime::telemetry;

use crate::args::{self, UpArgs};
use crate::demo::{Demo, DemoConfig, DemoPaths};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::server::{self, DEMO_HOST, Extras};

pub async fn run(args: UpArgs) -> Result<Exit> {
    // Whoever watches the terminal asks the queries: the log of them would hide everything else.
    telemetry::init_logs(&args::log_filter("info,logweir::queries=warn"), false);
    if !is_loopback(args.listen.ip()) {
        let reason = "up serves this machine only: for other addresses use 'logweir serve' with tls and tokens";
        return Err(CliError::Usage(format!("--listen {}: {reason}", args.listen)));
    }
    let data = args.data.unwrap_or_else(|| default_data_dir(args.demo));
    let mut config = Config::local(args.listen, data.join("server"));
    adopt_tokens(&data, &config.data_dir)?;
    config.alerting.rules.extend(args.rules);
    config.alerting.config = args.alerting;
    let library = config.alerting.rules.is_empty();

    let mut agent = logweir_agent::Config::new();
    agent.server_url = Some(config.public_url.clone());
    agent.state_dir = data.join("agent");
    agent.pm2_home = args::pm2_home();
    let mut agents = Vec::new();
    let mut demo = None;
    if args.demo {
        let built = Demo::build(DemoConfig::new(data.join("demo")), Clock::system());
        let built = built.map_err(|error| CliError::Server(error.into()))?;
        agents.push(demo_agent(&agent, built.paths(), &data));
        demo = Some(built);
    }
    agents.push(agent);
    announce(&config, args.demo);
    let extras = Extras { library, agents, demo };
    server::run(config, extras).await.map_err(CliError::Server)?;
    Ok(Exit::Ok)
}

/// Tokens that were made before the first start lie where `--data` says: no server had said yet where it keeps them.
fn adopt_tokens(data: &Path, server: &Path) -> Result<()> {
    let early = TokenFile::new(data);
    if !early.exists() || TokenFile::new(server).exists() {
        return Ok(());
    }
    let moved = durable::create_private_dir(server).and_then(|()| early.move_to(server));
    moved.map_err(|source| CliError::Read { path: data.to_owned(), source })
}

/// The demo is a host of its own: its logs never mix with those of this machine.
fn demo_agent(machine: &logweir_agent::Config, paths: &DemoPaths, data: &Path) -> logweir_agent::Config {
    logweir_agent::Config {
        state_dir: data.join("demo-agent"),
        host: Some(DEMO_HOST.to_owned()),
        pm2_home: None,
        discover: Discover { kubernetes: false, ..Discover::ALL },
        roots: Roots {
            nginx: Some(vec![paths.nginx_conf.clone()]),
            pm2: Some(vec![paths.pm2_home.clone()]),
            docker: Some(paths.docker_root.clone()),
            kubernetes: None,
        },
        ..machine.clone()
    }
}

fn default_data_dir(demo: bool) -> PathBuf {
    args::user_data_dir().join(if demo { "logweir-demo" } else { "logweir" })
}

fn announce(config: &Config, demo: bool) {
    let mut out = std::io::stderr();
    let _ = writeln!(out, "Logweir is starting on {}", config.public_url);
    let _ = writeln!(out, "  data in {}", config.data_dir.display());
    if demo {
        let _ = writeln!(
            out,
            "  the demo shop has its first incident in about half a minute; its alert follows within two"
        );
    }
    let _ = writeln!(out, "  try:  logweir search 'status>=500 | stats count by path'");
}

#[cfg(test)]
mod tests {
    use logweir_aggregator::auth::Scope;

    use super::*;

    #[test]
    fn tokens_that_were_made_before_the_first_start_are_those_of_the_server() {
        let dir = tempfile::tempdir().expect("a directory");
        let server = dir.path().join("server");
        adopt_tokens(dir.path(), &server).expect("there is nothing yet");
        assert!(!server.exists());
        let create = |dir| TokenFile::new(dir).create("ci", &[Scope::Query], String::new()).expect("a token").0.id;
        let id = create(dir.path());
        adopt_tokens(dir.path(), &server).expect("they are moved");
        let ids = || TokenFile::new(&server).read().expect("tokens").into_iter().map(|token| token.id);
        assert!(ids().eq([id.clone()]));
        // Those of a server that has some are not replaced.
        create(dir.path());
        adopt_tokens(dir.path(), &server).expect("they stay");
        assert!(ids().eq([id]));
    }
}

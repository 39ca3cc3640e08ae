//! `logweir-agent`: arguments, configuration, run until a signal, drain.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use logweir_agent::args::{Args, Command};
use logweir_agent::config::format_of;
use logweir_agent::decode::multiline::StartRule;
use logweir_agent::decode::{Format, Multiline};
use logweir_agent::error::exit;
use logweir_agent::redact::{Action, Detector, Redactor};
use logweir_agent::status::Status;
use logweir_agent::{Agent, Config, Error, discover, health, preview, reload, show};
use logweir_runtime::clock::Clock;
use logweir_runtime::drain::{self, Drain};
use logweir_runtime::systemd::Manager;
use logweir_runtime::telemetry;

/// The drain of the pipeline has its own, shorter limit.
const GRACE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let args = Args::parse();
    telemetry::init_logs(&env("LOGWEIR_LOG").unwrap_or_else(|| "info".to_owned()), false);
    let result = args.settings(&env).and_then(|config| match args.command.clone() {
        Some(Command::Discover { json }) => print(&config, json),
        Some(Command::Multiline { format, start, file }) => multiline(&config, &format, start.as_deref(), &file),
        Some(Command::Redact { detector }) => redact(&config, &detector),
        None => run(args, config),
    });
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(io::stderr(), "logweir-agent: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn print(config: &Config, json: bool) -> Result<u8, Error> {
    let findings = discover(config);
    let mut out = io::stdout().lock();
    let written = if json { show::json(&findings, &mut out) } else { show::table(&findings, &mut out) };
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::Io { action: "write to", path: "stdout".into(), source: error })
        }
        _ if findings.iter().any(|finding| !finding.skipped) => Ok(exit::OK),
        _ => Ok(exit::NEGATIVE),
    }
}

fn multiline(config: &Config, format: &str, start: Option<&str>, file: &Path) -> Result<u8, Error> {
    let bad = |from, reason: String| Error::Argument { from, reason };
    let (kind, format) = format_of(format).map_err(|reason| bad("--format", reason))?;
    let multiline = match start.map(StartRule::new) {
        Some(rule) => Multiline::Start(rule.map_err(|error| bad("--start", error.to_string()))?),
        None => Multiline::Auto,
    };
    let io = |action| move |source| Error::Io { action, path: file.to_path_buf(), source };
    let mut input: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(File::open(file).map_err(io("open"))?),
    };
    let format = Format::new(kind, &format, &multiline, config.limits.line_bytes);
    match preview::print(format, &mut input, &mut BufWriter::new(io::stdout().lock())) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(io("read")(error)),
        _ => Ok(exit::OK),
    }
}

fn redact(config: &Config, detectors: &[Detector]) -> Result<u8, Error> {
    let mut settings = config.redact.clone();
    if !detectors.is_empty() {
        settings.detectors = detectors.iter().map(|detector| (*detector, Action::Mask)).collect();
    }
    if settings.is_empty() {
        let reason = "nothing to redact: give --detector or a --config with redact".to_owned();
        return Err(Error::Argument { from: "redact", reason });
    }
    let redactor = Redactor::new(&settings)?;
    let done = show::redact(&redactor, &mut io::stdin().lock(), &mut io::stdout().lock(), &mut io::stderr().lock());
    match done {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::Io { action: "redact", path: "stdin".into(), source: error })
        }
        _ => Ok(exit::OK),
    }
}

fn run(args: Args, config: Config) -> Result<u8, Error> {
    let io = |source| Error::Io { action: "start", path: "the runtime".into(), source };
    // One thread for the network, the files on another: each thread more has an arena of its own for its memory.
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(2).enable_all().build();
    let runtime = runtime.map_err(io)?;
    runtime.block_on(async {
        let drain = Drain::new();
        drain::on_signals(drain.clone(), GRACE).map_err(io)?;
        let hangups = reload::hangups()?;
        telemetry::init_metrics();
        let manager = Manager::new(&env).unwrap_or_else(|error| {
            tracing::warn!(error = %error, "cannot reach systemd");
            Manager::default()
        });
        let (listen, once, file) = (config.listen, config.once, args.config_file());
        let (sender, reloads) = tokio::sync::mpsc::channel(1);
        let agent = Agent::build(config, Clock::system(), drain.clone())?.with_reloads(reloads);
        if let Some(address) = listen.filter(|_| !once) {
            health::listen(address, agent.status(), drain.clone()).await?;
        }
        tokio::spawn(reload::watch(hangups, file, move || args.settings(&env), sender, drain.clone()));
        tracing::info!(agent = agent.id(), "started");
        manager.ready();
        let status = agent.status();
        tokio::select! {
            result = agent.run() => result?,
            () = watchdog(&manager, status, drain) => {}
        }
        Ok(exit::OK)
    })
}

/// Tells the manager as long as the loop turns, and never ends.
async fn watchdog(manager: &Manager, status: Status, drain: Drain) {
    if let Some(every) = manager.alive_every() {
        while tokio::time::timeout(every, drain.cancelled()).await.is_err() {
            let (files, lag_bytes, _) = status.figures();
            if status.is_alive() {
                manager.alive(&format!("{files} files, {lag_bytes} bytes behind"));
            }
        }
    }
    drain.cancelled().await;
    manager.stopping();
    std::future::pending().await
}

fn env(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "this is where the agent's environment is read")]
    std::env::var(name).ok()
}

//! A new configuration for a running agent: on SIGHUP, and when the file has changed.
//!
//! It is taken whole or not at all: one with a mistake is logged with every place, and the old one stays.

use std::path::PathBuf;
use std::time::Duration;

use logweir_runtime::drain::Drain;
use logweir_runtime::tls::Stamps;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::Sender;

use crate::config::Config;
use crate::error::{Error, Result};

/// How often the file is looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Takes the signal over at once: until then a SIGHUP ends the process.
pub fn hangups() -> Result<Signal> {
    signal(SignalKind::hangup()).map_err(Error::io("wait for", "SIGHUP"))
}

/// Sends every configuration that can be read, until the drain.
pub async fn watch(
    mut hangups: Signal,
    file: Option<PathBuf>,
    load: impl Fn() -> Result<Config> + Send + 'static,
    sender: Sender<Config>,
    drain: Drain,
) {
    let mut stamps = Stamps::of(&file);
    loop {
        let changed = tokio::select! {
            () = drain.cancelled() => return,
            signal = hangups.recv() => match signal {
                Some(()) => true,
                None => return,
            },
            () = tokio::time::sleep(LOOK_EVERY) => Stamps::of(&file) != stamps,
        };
        if !changed {
            continue;
        }
        stamps = Stamps::of(&file);
        match load() {
            Ok(config) => {
                if sender.send(config).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::error!(error = %error, "the new configuration is refused, the old one stays"),
        }
    }
}

/// What a running agent cannot change, named; `None` when it can take all of it.
pub fn needs_restart(old: &Config, new: &Config) -> Option<&'static str> {
    let fixed = [
        ("state_dir", old.state_dir != new.state_dir),
        ("listen", old.listen != new.listen),
        ("syslog", old.inputs.syslog != new.inputs.syslog),
        ("journald", old.inputs.journald != new.inputs.journald),
        ("spool", old.inputs.spool_bytes != new.inputs.spool_bytes),
    ];
    fixed.into_iter().find(|(_, changed)| *changed).map(|(key, _)| key)
}

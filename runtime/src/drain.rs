//! Orderly shutdown: the first signal asks, the grace period limits, the second signal kills.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Asked of every long-running part: "stop taking, finish what you hold".
pub type Drain = CancellationToken;

/// Exit code after a second signal or an exceeded grace period: 128 + SIGTERM.
pub const EXIT_KILLED: i32 = 143;

/// Cancels `drain` on SIGTERM or SIGINT, and ends the process on the second one or `grace` after the first.
pub fn on_signals(drain: Drain, grace: Duration) -> std::io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {}, () = drain.cancelled() => {} }
        drain.cancel();
        tracing::info!("draining");
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            () = tokio::time::sleep(grace) => tracing::error!(grace_s = grace.as_secs(), "drain took too long"),
        }
        std::process::exit(EXIT_KILLED);
    });
    Ok(())
}

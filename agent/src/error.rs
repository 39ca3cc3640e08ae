//! Everything that can end the agent, and the exit code that goes with it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use logweir_proto::yaml::Problem;

/// Exit codes of `contract.md`.
pub mod exit {
    pub const OK: u8 = 0;
    pub const NEGATIVE: u8 = 1;
    pub const USAGE: u8 = 2;
    pub const UNREACHABLE: u8 = 3;
    pub const BUG: u8 = 70;
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the configuration has {} mistake(s):{}", .0.len(), list(.0))]
    Config(Vec<Problem>),
    #[error("{from}: {reason}")]
    Argument { from: &'static str, reason: String },
    #[error("cannot {action} {path}: {source}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("state directory {0} is held by another agent: stop it or give this one its own --state-dir")]
    StateHeld(PathBuf),
    #[error(
        "checkpoint {path} is not readable ({reason}): restore it, or move it away to start anew at the end of each file"
    )]
    Checkpoint { path: PathBuf, reason: String },
    #[error(transparent)]
    Spool(#[from] crate::spool::SpoolError),
    #[error("no server: give --server, set LOGWEIR_URL or write server.url")]
    NoServer,
    #[error("tls file {path}: {reason}")]
    Tls { path: PathBuf, reason: String },
    #[error("redact: {what} {reason}")]
    Redact { what: String, reason: String },
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("{key} has changed: it needs a restart")]
    NeedsRestart { key: &'static str },
    #[error("http client: {0}")]
    Client(#[from] reqwest::Error),
    #[error("batch: {0}")]
    Batch(#[from] logweir_proto::batch::BatchError),
    #[error("the server took nothing ({why}): {hint}")]
    Unreachable { why: &'static str, hint: &'static str },
    #[error("a worker thread panicked")]
    Worker,
}

/// What a caller does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The operator mends a setting.
    Usage,
    /// The machine: disk, permissions, descriptors.
    Environment,
    /// The server.
    Unreachable,
    /// Ours.
    Bug,
}

impl Error {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Config(_)
            | Error::Argument { .. }
            | Error::NoServer
            | Error::Tls { .. }
            | Error::Redact { .. }
            | Error::NeedsRestart { .. } => ErrorKind::Usage,
            Error::Io { .. }
            | Error::StateHeld(_)
            | Error::Checkpoint { .. }
            | Error::Client(_)
            | Error::Spool(_)
            | Error::Listen { .. } => ErrorKind::Environment,
            Error::Unreachable { .. } => ErrorKind::Unreachable,
            Error::Batch(_) | Error::Worker => ErrorKind::Bug,
        }
    }

    pub fn exit_code(&self) -> u8 {
        match self.kind() {
            ErrorKind::Usage | ErrorKind::Environment => exit::USAGE,
            ErrorKind::Unreachable => exit::UNREACHABLE,
            ErrorKind::Bug => exit::BUG,
        }
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { action, path, source }
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n{problem}")).collect()
}

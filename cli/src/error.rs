//! What can go wrong in a command, and the exit code of each.

use std::io;
use std::path::PathBuf;

use logweir_proto::api::{ErrorCode, ErrorDetail};

use crate::exit::Exit;

pub type Result<T> = std::result::Result<T, CliError>;

#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Arguments that fit the grammar of the command line but not each other or the world.
    #[error("{0}")]
    Usage(String),
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    /// The query is wrong; `detail` may say where.
    #[error("{}", .detail.message)]
    Query { query: String, detail: Box<ErrorDetail> },
    /// The server understood the request and said no.
    #[error("{}", refused(.status, .detail))]
    Refused { status: u16, detail: ErrorDetail },
    #[error("cannot reach {url}: {reason}")]
    Unreachable { url: String, reason: String },
    /// The server answered with something that this version does not understand.
    #[error("unexpected answer from {url}: {reason}")]
    Protocol { url: String, reason: String },
    /// The answer ended in the middle.
    #[error("the answer broke off after {rows} rows: {reason}")]
    BrokenOff { rows: u64, reason: String },
    #[error("{0}")]
    Output(#[from] io::Error),
    /// A part of the server that runs in this process failed.
    #[error("{0:#}")]
    Server(anyhow::Error),
}

impl CliError {
    pub fn exit(&self) -> Exit {
        match self {
            CliError::Usage(_) | CliError::Read { .. } | CliError::Query { .. } => Exit::Usage,
            CliError::Refused { detail, .. } => match detail.code {
                ErrorCode::NotFound => Exit::No,
                ErrorCode::Timeout => Exit::Partial,
                ErrorCode::RateLimited | ErrorCode::Unavailable | ErrorCode::Internal => Exit::Unreachable,
                ErrorCode::ParseError
                | ErrorCode::BadRequest
                | ErrorCode::BadBody
                | ErrorCode::Unauthorized
                | ErrorCode::Forbidden
                | ErrorCode::MethodNotAllowed
                | ErrorCode::BodyTimeout
                | ErrorCode::TooLarge
                | ErrorCode::LimitExceeded => Exit::Usage,
            },
            CliError::Unreachable { .. } | CliError::Protocol { .. } => Exit::Unreachable,
            CliError::BrokenOff { .. } => Exit::Partial,
            // stdout is full or gone: the caller's disk or terminal, not a bug of ours.
            CliError::Output(_) => Exit::Usage,
            CliError::Server(_) => Exit::Usage,
        }
    }

    /// The reader of our stdout had enough.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, CliError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What the person can do about it, when we know.
    pub fn hint(&self) -> Option<String> {
        match self {
            CliError::Query { detail, .. } => detail.hint.clone(),
            CliError::Refused { detail, .. } if detail.hint.is_some() => detail.hint.clone(),
            CliError::Refused { detail, .. } => match detail.code {
                ErrorCode::Unauthorized => Some("give a token with --token-file or LOGWEIR_TOKEN".to_owned()),
                ErrorCode::RateLimited | ErrorCode::Unavailable => Some("the server is busy: try again".to_owned()),
                _ => None,
            },
            CliError::Unreachable { .. } => {
                Some("is the server running? `logweir up` starts one; --url or LOGWEIR_URL names another".to_owned())
            }
            CliError::Protocol { .. } => Some("is this the address of a Logweir server?".to_owned()),
            CliError::BrokenOff { .. } => Some("what was printed is only a part of the answer".to_owned()),
            CliError::Usage(_) | CliError::Read { .. } | CliError::Output(_) | CliError::Server(_) => None,
        }
    }
}

fn refused(status: &u16, detail: &ErrorDetail) -> String {
    format!("the server refused ({status}): {}", detail.message)
}

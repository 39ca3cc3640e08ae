//! Why the aggregator cannot start.

use std::path::PathBuf;

use crate::wal::WalError;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {source}")]
    DataDir { path: PathBuf, source: std::io::Error },
    #[error("{0} is in use by another logweir: a data directory has one owner")]
    InUse(PathBuf),
    #[error("write-ahead log: {0}")]
    Wal(#[from] WalError),
    #[error("store: {0}")]
    Store(#[from] crate::store::service::StoreError),
    #[error("retention class {name}: {reason}")]
    Class { name: String, reason: String },
    #[error("tokens: {0}")]
    Tokens(#[from] crate::auth::TokenError),
    #[error("parsers: {0}")]
    Parsers(String),
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    #[error(
        "{listen} can be reached from other machines, and there is no token: make one with \
         'logweir tokens create --scope admin --data {data_dir}'"
    )]
    NoToken { listen: std::net::SocketAddr, data_dir: String },
}

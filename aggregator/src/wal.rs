//! The write-ahead log: what is acknowledged is in here until a committed split covers it.
//!
//! A record is a batch as it was received. Records are numbered from 1 without holes; the number is the high part of
//! every `seq`, so it survives restarts and truncation. One writer; nothing is acknowledged before [`Wal::sync`].

pub mod check;
pub mod local;
mod segment;

/// What can go wrong with a log, and what follows.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// Nothing was written; the next attempt may succeed.
    #[error("cannot append to the log: {0}")]
    Append(#[source] std::io::Error),
    /// Whether the record is durable is unknown and stays unknown: no further record is taken until a restart.
    #[error("the log could not be synced and takes no more data until a restart: {0}")]
    Poisoned(String),
    #[error("{path}: {reason}")]
    Damaged { path: String, reason: String },
    #[error("{path}: {source}")]
    Io { path: String, source: std::io::Error },
}

/// A part of the log that could not be read back: acknowledged lines that are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub path: String,
    pub offset: u64,
    pub reason: &'static str,
}

/// The log of one server: local files here, a replicated stream in a cluster.
pub trait Wal: Send {
    /// The number that the next record will get.
    fn next_record(&self) -> u64;

    /// Writes one record made of `parts` and returns its number; it is durable after the next [`Wal::sync`].
    fn append(&mut self, parts: &[&[u8]]) -> Result<u64, WalError>;

    /// Makes every appended record durable.
    fn sync(&mut self) -> Result<(), WalError>;

    /// Lets go of records below `record`: a committed split covers them.
    fn truncate_before(&mut self, record: u64) -> Result<(), WalError>;

    /// Calls `each(number, payload)` for every record from `from` on, in order, and says what could not be read.
    fn replay(&self, from: u64, each: &mut dyn FnMut(u64, &[u8])) -> Result<Vec<Damage>, WalError>;

    /// Bytes that the log occupies.
    fn bytes(&self) -> u64;
}

//! The agent of Logweir: finds the logs of a host, tails them and ships each line exactly once.
//!
//! `tail` finds and follows files, `decode` cuts bytes into records, `filter` and `redact` take out what must not leave,
//! `batch` frames the rest, `ship` delivers it, `pipeline` is the loop that ties these together. `logweir-agent` runs it as a process, `logweir up` within its own.

pub mod args;
pub mod batch;
pub mod config;
pub mod decode;
pub mod error;
pub mod filter;
pub mod health;
pub mod host;
pub mod listen;
mod metrics;
pub mod pipeline;
pub mod preview;
pub mod redact;
pub mod reload;
pub mod ship;
pub mod show;
pub mod spool;
pub mod status;
pub mod tail;
pub mod watch;

pub use config::Config;
pub use error::{Error, Result};
pub use pipeline::Agent;
pub use tail::discover::{Finding, discover};

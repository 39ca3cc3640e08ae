//! The aggregator: receive → WAL → parse → head → split → catalogue, and the search over it.
//!
//! Data flows one way. A stage knows the type that it emits and never the stage behind it; only `pipeline` sees them
//! all. Nothing outside the three traits [`wal::Wal`], [`store::commit::CommitLog`] and `object_store::ObjectStore`
//! may assume a local disk.

pub mod api;
pub mod auth;
pub mod config;
mod equal;
pub mod error;
pub mod live;
pub mod names;
pub mod offline;
pub mod parse;
pub mod pipeline;
mod quotes;
pub mod ranges;
pub mod receive;
pub mod search;
pub mod spans;
pub mod store;
pub mod wal;

//! What two Logweir processes must agree on: the batch on the wire and in the WAL, the event and its order,
//! the query language, and the shapes of the HTTP API.
//!
//! No I/O and no async in here: every function is a pure one over bytes, so that the agent, the aggregator, the
//! command line and a fuzzer share exactly the same code.

pub mod api;
pub mod batch;
pub mod csv;
pub mod formats;
pub mod frame;
pub mod json_len;
pub mod pattern;
pub mod query;
pub mod record;
pub mod text;
pub mod varint;
pub mod yaml;

//! What `make bench` measures, and with what.
//!
//! CPU-seconds are the stable figure on a shared machine; each is given as a ratio to `zstd -1` on the same bytes in the
//! same run, so that runs on different machines can be compared.

pub mod agent;
pub mod alerting;
pub mod dataset;
pub mod generate;
pub mod growth;
pub mod ingest;
pub mod loghub;
pub mod nab;
pub mod queries;
pub mod report;
pub mod usage;

//! The log store: rows in Parquet columns, indexed block by block (`docs/formats.md`, `store.md`).

pub mod segment;
pub mod token;

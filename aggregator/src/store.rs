//! The log store: rows in Parquet columns, indexed block by block (`docs/formats.md`, `store.md`).

pub mod block;
pub mod column;
pub mod head;
pub mod merge;
pub mod objects;
pub mod segment;
pub mod skeleton;
pub mod spell;
pub mod split;
pub mod token;

#[cfg(test)]
pub(crate) mod fixture;

//! The log store: rows in Parquet columns, indexed block by block (`docs/formats.md`, `store.md`).

pub mod block;
pub mod catalogue;
pub mod column;
pub mod commit;
pub mod fsck;
pub mod head;
pub mod merge;
pub mod objects;
pub mod receipts;
pub mod segment;
pub mod service;
pub mod skeleton;
pub mod spell;
pub mod split;
pub mod token;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod samples;

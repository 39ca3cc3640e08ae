//! A split: one immutable object with its rows, its indexes and what is known of it.
//!
//! It is a Parquet file, so that whoever owns the logs can read them without Logweir, with further sections between
//! the pages and the Parquet footer, where Parquet readers do not look. All integers are little endian.
//!
//! | from | bytes | |
//! |---|---|---|
//! | 0 | `rows` section | `PAR1`, the pages, the column and offset indexes of Parquet |
//! | | `hashes` section | [`hashes`]: variable words and values → blocks |
//! | | `sums` section | a crc32 (4 bytes) of every [`footer::GRANULE_BYTES`] of the rows section, the last may be shorter |
//! | | `lexicon` section | [`lexicon`]: words of sentences, small values, field names → blocks |
//! | | `tally` section | [`tally`]: in how many rows of each block a word stands |
//! | | `shapes` section | [`super::skeleton`]: the table of skeletons |
//! | | `receipts` section | [`super::receipts`]: when the lines came, by WAL record |
//! | | `gate` section | [`gate::stored`]: what tells that a search has nothing to find here |
//! | | footer | zstd of JSON, [`footer::Footer`]: sections with crc32, time range, rows, columns, blocks, counts, … |
//! | | trailer, 40 bytes | `LWSPLIT1`, version u32, footer offset u64, footer length u32, crc32 of the footer, length and crc32 of the Parquet metadata, crc32 of the trailer so far, each u32 |
//! | | Parquet metadata | the Thrift `FileMetaData` |
//! | end - 8 | 8 | its length u32, `PAR1` |
//!
//! Rows are ordered by `(time, seq)`; a row group has at most 96 blocks of 4,096, and all but the
//! last as many (32 before, 16 in version 1); pages end at blocks.
//! The Parquet columns are those of [`super::column`]; `time` is a timestamp of nanoseconds in UTC. A message that other
//! columns of its row tell is not stored: it is null, and the column `_derived`, which only such splits have, is the
//! number of the template in the footer that it is put together by ([`derived`]). A skeleton that follows from which columns
//! of its row have a value is not stored either: `_shape` is null, and a table in the footer tells it ([`foretold`]).
//! Every byte that is read is checked first: rows by the granules, everything else by the crc32 of its section.

pub mod bits;
pub mod cache;
pub mod checked;
pub mod columns;
pub mod derived;
pub mod encoding;
pub mod footer;
mod foreign;
pub mod foretold;
pub mod gate;
pub mod grams;
pub mod hashes;
pub mod indexer;
pub mod lexicon;
pub mod lookup;
pub mod pages;
pub mod parted;
pub mod reader;
pub mod rows;
pub mod tail;
pub mod tally;
pub mod writer;

#[cfg(test)]
mod tests;

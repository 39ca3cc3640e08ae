//! Templates of log messages: lines that differ only in numbers, ids and names are one pattern.
//!
//! A line is cut into tokens in which everything that is variable by its looks is masked ([`mask`]); lines with the same
//! masked text are one pattern at once. Patterns of the same shape that differ in few words are merged when enough of
//! them show that those words vary ([`miner`]). One configuration for all kinds of logs.
//!
//! The id of a pattern is a hash of the masked text with which it began and stays the same while its template becomes
//! more general; ids of patterns that were merged into it are aliases. [`ALGORITHM_VERSION`] is a part of the hash: a
//! change of the masks makes new ids, and whoever keeps ids must then learn again in silence.

mod mask;
mod miner;
pub mod score;
pub mod trace;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use miner::{MERGE_MIN, Miner, PATTERNS_MAX};

/// Raised whenever the same line would get another id.
pub const ALGORITHM_VERSION: u32 = 1;
/// What of a message is looked at.
pub const MESSAGE_BYTES_MAX: usize = 1024;
/// Tokens of a message that are looked at.
pub const TOKENS_MAX: usize = 160;

/// The identity of a pattern, printed as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PatternId(pub u64);

impl PatternId {
    /// Reads what is printed.
    pub fn parse(text: &str) -> Option<PatternId> {
        let good = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        good.then(|| u64::from_str_radix(text, 16).ok().map(PatternId)).flatten()
    }
}

impl fmt::Display for PatternId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The masked text of one message, without any memory of others.
pub fn masked(message: &str) -> String {
    mask::text(&mask::tokens(message))
}

#[cfg(test)]
mod tests;

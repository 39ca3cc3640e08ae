//! The tally: in how many rows of each block a word stands, so that counting them reads no text.
//!
//! Only words of `message` and `exception.stack` that the lexicon has in many blocks are told, and only where their rows
//! are known: elsewhere the texts are read. The section, integers little endian:
//!
//! | bytes | |
//! |---|---|
//! | 4, 4 | blocks, words |
//! | each word | its length u8, the folded word, and where in the numbers it begins, u32 |
//! | … | the numbers |
//!
//! The numbers of a word begin at a whole byte, as [`super::bits`]: the mean of its rows in 20 bits, a Rice parameter in
//! 5, and for each block `0` where nothing is known, or `1` and how far its rows are from the mean, as Rice code: twice
//! the distance where there are as many or more, twice the distance less one where there are fewer. A split of few blocks
//! has no tally.

use bytes::Bytes;

use super::bits::{BitReader, BitWriter, rice_parameter};
use crate::store::segment::BLOCK_ROWS_MAX;
use crate::store::token::WORD_BYTES_MAX;

/// With fewer blocks all of them are soon read. Tests have small splits.
pub const BLOCKS_MIN: usize = if cfg!(test) { 1 } else { 4 };

/// A word is told when one block in so many has it.
const BLOCKS_ONE_IN: usize = 4;

/// Bytes of the section; the words that are in the fewest blocks are left out.
pub const TALLY_BYTES_MAX: usize = 48 << 10;

const HEADER_BYTES: usize = 8;
const MEAN_BITS: u32 = 20;
const PARAMETER_BITS: u32 = 5;

/// Rows that are not known.
const UNKNOWN: u32 = u32::MAX;

/// Where in a block words are being met. A block is cut into units, sets of rows that have none in common; a unit into
/// parts, which may stand in the same rows; a part into values, each of which stands in rows of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cursor {
    stamp: u32,
    unit: u32,
    part: u32,
    unit_rows: u32,
    rows: u32,
}

impl Cursor {
    /// What comes stands in so many rows, all of its unit.
    pub fn begin_unit(&mut self, rows: usize) {
        self.stamp += 1;
        (self.unit, self.part) = (self.stamp, self.stamp);
        (self.unit_rows, self.rows) = (rows as u32, rows as u32);
    }

    pub fn begin_part(&mut self) {
        self.stamp += 1;
        self.part = self.stamp;
    }

    /// What comes stands in so many rows, in none of which another value of its part does.
    pub fn begin_value(&mut self, rows: usize) {
        self.stamp += 1;
        self.rows = rows as u32;
    }
}

/// What is known of a word in a block.
#[derive(Debug, Clone, Copy, Default)]
pub struct Met {
    stamp: u32,
    /// Rows of the unit that it was met in last.
    in_unit: u32,
    rows: u32,
}

impl Met {
    pub fn first(at: &Cursor) -> Met {
        Met { stamp: at.stamp, in_unit: at.rows, rows: at.rows }
    }

    #[inline]
    pub fn again(&mut self, at: &Cursor) {
        if self.stamp == at.stamp || self.rows == UNKNOWN {
            return;
        }
        if self.stamp < at.unit {
            self.in_unit = at.rows;
            self.rows += at.rows;
        } else if at.rows == at.unit_rows {
            self.rows += at.unit_rows - self.in_unit;
            self.in_unit = at.unit_rows;
        } else if self.in_unit < at.unit_rows {
            if self.stamp >= at.part {
                self.in_unit += at.rows;
                self.rows += at.rows;
            } else {
                // In rows that may be the same ones.
                self.rows = UNKNOWN;
            }
        }
        self.stamp = at.stamp;
    }

    /// 0 when the rows are not known.
    pub fn rows(&self) -> u32 {
        if self.rows == UNKNOWN { 0 } else { self.rows }
    }
}

/// Whether a word whose rows are known in so many of the blocks is told.
pub fn is_told(known: usize, blocks: usize) -> bool {
    blocks >= BLOCKS_MIN && known > 0 && known * BLOCKS_ONE_IN >= blocks
}

/// Writes the section. Of each word its rows in each block, 0 where they are not known; empty when there is nothing to
/// tell.
pub fn encode(words: Vec<(&str, Vec<u32>)>, blocks: usize) -> Vec<u8> {
    let known = |rows: &[u32]| rows.iter().filter(|rows| **rows > 0).count();
    let mut words: Vec<(usize, &str, Vec<u32>)> =
        words.into_iter().map(|(word, rows)| (known(&rows), word, rows)).collect();
    words.retain(|(known, word, _)| is_told(*known, blocks) && word.len() <= WORD_BYTES_MAX);
    words.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    let (mut table, mut numbers, mut count) = (Vec::new(), BitWriter::default(), 0u32);
    for (known, word, rows) in &words {
        let at = numbers.align();
        if HEADER_BYTES + table.len() + at > TALLY_BYTES_MAX {
            break;
        }
        table.push(word.len() as u8);
        table.extend_from_slice(word.as_bytes());
        table.extend_from_slice(&(at as u32).to_le_bytes());
        put_rows(&mut numbers, rows, *known);
        count += 1;
    }
    if count == 0 {
        return Vec::new();
    }
    let mut out = Vec::new();
    out.extend_from_slice(&(blocks as u32).to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&table);
    out.extend_from_slice(&numbers.finish());
    out
}

fn put_rows(numbers: &mut BitWriter, rows: &[u32], known: usize) {
    let present = || rows.iter().filter(|rows| **rows > 0).map(|rows| u64::from(*rows));
    let mean = present().sum::<u64>() / known.max(1) as u64;
    let distance = |rows: u64| if rows >= mean { 2 * (rows - mean) } else { 2 * (mean - rows) - 1 };
    let k = rice_parameter(present().map(distance).sum::<u64>() / known.max(1) as u64);
    numbers.put(mean, MEAN_BITS);
    numbers.put(u64::from(k), PARAMETER_BITS);
    for rows in rows {
        numbers.put(u64::from(*rows > 0), 1);
        if *rows > 0 {
            numbers.put_rice(distance(u64::from(*rows)), k);
        }
    }
}

/// A tally that can be asked.
#[derive(Debug, Clone)]
pub struct Tally {
    bytes: Bytes,
    blocks: usize,
    words: usize,
}

impl Tally {
    /// `None` when the bytes are none; no bytes are a tally without words.
    pub fn open(bytes: Bytes) -> Option<Tally> {
        if bytes.is_empty() {
            return Some(Tally { bytes, blocks: 0, words: 0 });
        }
        let number = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?) as usize);
        let (blocks, words) = (number(0)?, number(4)?);
        Some(Tally { blocks, words, bytes })
    }

    /// In how many rows of each block a folded word stands, 0 where that is not known; `None` when nothing is known of
    /// it.
    pub fn rows(&self, word: &str) -> Option<Vec<u32>> {
        let mut rest = self.bytes.get(HEADER_BYTES..)?;
        let mut found = None;
        for _ in 0..self.words {
            let (len, after) = rest.split_first()?;
            let (known, after) = after.split_at_checked(usize::from(*len))?;
            let (at, after) = after.split_first_chunk::<4>()?;
            rest = after;
            if known == word.as_bytes() {
                found = Some(u32::from_le_bytes(*at) as usize);
            }
        }
        let mut numbers = BitReader::new(rest.get(found?..)?);
        let (mean, k) = (numbers.take(MEAN_BITS)?, numbers.take(PARAMETER_BITS)? as u32);
        let mut row = || {
            if numbers.take(1)? == 0 {
                return Some(0);
            }
            let distance = numbers.take_rice(k)?;
            let rows =
                if distance.is_multiple_of(2) { mean + distance / 2 } else { mean.checked_sub(distance / 2 + 1)? };
            u32::try_from(rows).ok().filter(|rows| (1..=BLOCK_ROWS_MAX as u32).contains(rows))
        };
        // As many as there are bytes for, whatever the header says.
        let mut rows = Vec::new();
        for _ in 0..self.blocks {
            rows.push(row()?);
        }
        Some(rows)
    }
}

#[cfg(test)]
mod tests;

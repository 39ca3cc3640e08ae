//! The head: rows that are not sealed yet, in memory, searchable at once. The WAL makes them durable.
//!
//! Small neighbours are merged like the digits of a binary counter, so that thousands of appends of one row each
//! stay cheap and a search meets few blocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use logweir_proto::record::field;

use super::block::{BLOCK_BYTES_MAX, Block};
use super::column::add_stats;
use super::merge::Merge;
use super::receipts::{Span, Told};
use super::segment::{BLOCK_ROWS_MAX, BlockStat, FieldStat, Probe, Projection, Segment, SegmentError};

/// Rows under construction.
#[derive(Debug, Default)]
pub struct Head {
    blocks: Vec<Arc<Block>>,
    rows: u64,
    raw_bytes: u64,
    memory_bytes: u64,
}

impl Head {
    /// Takes a block in; larger ones than a block may be are cut.
    pub fn append(&mut self, block: impl Into<Arc<Block>>) -> Result<(), ArrowError> {
        let block = block.into();
        if block.is_empty() {
            return Ok(());
        }
        let (rows, raw_bytes) = (block.len(), block.raw_bytes());
        if rows > BLOCK_ROWS_MAX {
            self.push(Merge::new(&[block])?.blocks()?.into_iter().map(Arc::new));
        } else {
            self.push([block]);
            self.merge_small()?;
        }
        self.rows += rows as u64;
        self.raw_bytes += raw_bytes;
        Ok(())
    }

    fn push(&mut self, blocks: impl IntoIterator<Item = Arc<Block>>) {
        for block in blocks {
            self.memory_bytes += block.memory_bytes() as u64;
            self.blocks.push(block);
        }
    }

    /// Merges the last two blocks while the one before is not much larger.
    fn merge_small(&mut self) -> Result<(), ArrowError> {
        while let [.., before, last] = &self.blocks[..] {
            let fits = before.len() + last.len() <= BLOCK_ROWS_MAX
                && before.raw_bytes() + last.raw_bytes() <= BLOCK_BYTES_MAX as u64;
            if !fits || before.len() > 2 * last.len() {
                break;
            }
            let merged = Merge::new(&[Arc::clone(before), Arc::clone(last)])?.blocks()?;
            let apart = before.memory_bytes() + last.memory_bytes();
            self.memory_bytes = self.memory_bytes.saturating_sub(apart as u64);
            self.blocks.truncate(self.blocks.len() - 2);
            self.push(merged.into_iter().map(Arc::new));
        }
        Ok(())
    }

    pub fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes of the lines as they were written.
    pub fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    /// Bytes of the columns in memory.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The rows as they are now; later appends do not show in it.
    pub fn snapshot(&self, name: &str) -> HeadSegment {
        HeadSegment::new(name, self.blocks.clone())
    }
}

/// A snapshot of the head.
#[derive(Debug)]
pub struct HeadSegment {
    name: String,
    blocks: Vec<Arc<Block>>,
    stats: Vec<BlockStat>,
    fields: BTreeMap<String, FieldStat>,
}

impl HeadSegment {
    pub fn new(name: &str, blocks: Vec<Arc<Block>>) -> HeadSegment {
        let mut fields = BTreeMap::new();
        for block in &blocks {
            add_stats(&mut fields, block.fields());
        }
        HeadSegment { name: name.to_owned(), stats: blocks.iter().map(|block| block.stat()).collect(), blocks, fields }
    }

    fn block(&self, block: usize) -> Result<&Block, SegmentError> {
        let found = self.blocks.get(block).map(|block| &**block);
        found.ok_or_else(|| self.error(format!("there is no block {block}")))
    }

    fn error(&self, reason: String) -> SegmentError {
        SegmentError { segment: self.name.clone(), reason }
    }
}

impl Segment for HeadSegment {
    fn name(&self) -> &str {
        &self.name
    }

    fn received(&self) -> Told {
        self.blocks.iter().map(|block| block.received()).fold(Told::default(), Told::join)
    }

    fn block_received(&self, block: usize) -> Option<Span> {
        self.blocks.get(block)?.received().span
    }

    fn blocks(&self) -> &[BlockStat] {
        &self.stats
    }

    fn fields(&self) -> &BTreeMap<String, FieldStat> {
        &self.fields
    }

    fn candidates(&self, probe: &Probe) -> Result<Vec<bool>, SegmentError> {
        Ok(self.blocks.iter().map(|block| may_match(block, probe)).collect())
    }

    fn read(&self, block: usize, projection: &Projection, rows: Option<&[u32]>) -> Result<RecordBatch, SegmentError> {
        let found = self.block(block)?;
        check_rows(rows, found.len()).map_err(|reason| self.error(reason))?;
        found.read(projection, rows).map_err(|error| self.error(format!("block {block}: {error}")))
    }

    fn raw(&self, block: usize, rows: &[u32]) -> Result<Vec<Vec<u8>>, SegmentError> {
        let found = self.block(block)?;
        check_rows(Some(rows), found.len()).map_err(|reason| self.error(reason))?;
        found.raw(rows).ok_or_else(|| self.error(format!("block {block}: a line cannot be rebuilt")))
    }

    fn counts(&self, block: usize, field: &str) -> Option<&[(String, u32)]> {
        self.blocks.get(block)?.counts(field)
    }

    fn bytes_read(&self) -> u64 {
        0
    }
}

/// Every row that is asked for must be there.
pub(super) fn check_rows(rows: Option<&[u32]>, len: usize) -> Result<(), String> {
    match rows.and_then(|rows| rows.iter().find(|row| **row as usize >= len)) {
        Some(row) => Err(format!("there is no row {row} in a block of {len}")),
        None => Ok(()),
    }
}

/// Whether every row may have it.
pub(super) fn is_place(field: &str) -> bool {
    matches!(field, field::TIME | field::SEQ | field::INGESTED)
}

/// Whether a block in memory may hold a match: by its fields and counts alone, for reading it costs little.
fn may_match(block: &Block, probe: &Probe) -> bool {
    let has = |field: &str| block.fields().contains_key(field) || block.has_extra();
    match probe {
        Probe::Any => true,
        Probe::None => false,
        Probe::And(parts) => parts.iter().all(|part| may_match(block, part)),
        Probe::Or(parts) => parts.iter().any(|part| may_match(block, part)),
        Probe::Word(_) | Probe::WordPrefix(_) => has("message") || has("exception.stack"),
        Probe::Exists { field } | Probe::Part { field, .. } => is_place(field) || has(field),
        Probe::Value { field, folded } => match block.counts(field) {
            Some(counts) if !counts.is_empty() => {
                let mut buffer = String::new();
                counts.iter().any(|(value, _)| {
                    super::token::fold(value, &mut buffer);
                    buffer == *folded
                })
            }
            _ => is_place(field) || has(field),
        },
    }
}

#[cfg(test)]
mod tests;

//! What the search sees of stored rows: a split on disk and the head in memory look the same.
//!
//! A segment is a list of blocks of at most [`BLOCK_ROWS_MAX`] rows. Its rows come back as Arrow record batches with
//! these columns:
//!
//! | column | Arrow type | |
//! |---|---|---|
//! | `time` | Int64 | nanoseconds since the epoch, never null |
//! | `seq` | UInt64 | never null |
//! | any field | Utf8, Dictionary(UInt16, Utf8), Int64, Float64 or Boolean | null where the row lacks it |
//! | `name#int`, `name#float`, `name#bool`, `name#str` | as said | the further types of a field that has several |
//! | `_ingested` | Int64 | only where it is asked for: when the line was received, null where that is not known |
//! | `_extra` | Utf8 | JSON object of the fields beyond the column limit |
//!
//! `level` is Utf8 (`trace` … `fatal`). A field's plain column holds the type that was seen first.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::record_batch::RecordBatch;

use super::column::ColumnKey;
use super::receipts::{Span, Told};
use super::split::derived::Template;
use super::split::gate::sieve::Sieve;

/// Rows of a block: the unit of the index and of reading.
pub const BLOCK_ROWS_MAX: usize = 4096;

/// What is known of a block without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockStat {
    pub rows: u32,
    /// Time of the earliest and the latest row.
    pub min_time_ns: i64,
    pub max_time_ns: i64,
}

/// How often each value of a field occurs in a block, the most frequent first.
pub type Counts = Vec<(String, u32)>;

/// What is known of a field within a segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldStat {
    /// Names of its types: `str`, `int`, `float`, `bool`.
    pub types: Vec<&'static str>,
    /// Rows that have it.
    pub rows: u64,
}

/// A question to the index: which blocks *may* hold a matching row. Wrong yeses cost a read, wrong noes are bugs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Every block.
    Any,
    /// No block: the planner found a contradiction.
    None,
    And(Vec<Probe>),
    Or(Vec<Probe>),
    /// A folded word ([`super::token`]) in `message` or `exception.stack`.
    Word(String),
    /// A folded word that begins so, in `message` or `exception.stack`.
    WordPrefix(String),
    /// The text field has exactly this value, compared without regard to case.
    Value {
        field: String,
        folded: String,
    },
    /// The field is there, whatever its type.
    Exists {
        field: String,
    },
    /// The field is a text that has this in it, compared without regard to the case of ASCII letters.
    Part {
        field: String,
        part: String,
    },
}

/// Which columns to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Projection {
    All,
    /// These fields in all their types; one that the segment lacks is left out. `time`, `seq` and `_extra` are fields
    /// here, and `_extra` is left out where no row has any.
    Fields(Vec<String>),
}

/// Reading a segment failed: one block, or all of it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("segment {segment}: {reason}")]
pub struct SegmentError {
    pub segment: String,
    pub reason: String,
}

/// The messages of a block: some stand as they are, others are made by templates from columns.
pub trait Parts {
    fn templates(&self) -> &[Template];

    /// The number of the template of each row; null where the message stands as it is, or there is none.
    fn numbers(&self) -> &Int64Array;

    /// The messages that stand as they are, null in the other rows.
    fn kept(&self) -> Result<ArrayRef, String>;

    /// A column that a template names.
    fn column(&self, key: &ColumnKey) -> Result<ArrayRef, String>;

    /// Whether some value of a column may have this text in it, whatever the case of its ASCII letters.
    fn may_have(&self, _key: &ColumnKey, _part: &[u8]) -> bool {
        true
    }

    /// The messages of some rows.
    fn put_together(&self, rows: &[usize]) -> Result<ArrayRef, String>;
}

/// Rows that can be searched. Every method may block on a disk or a network: call them on the CPU pool.
pub trait Segment: Send + Sync {
    /// A name for messages and statistics.
    fn name(&self) -> &str;

    /// Times of the earliest and the latest row, known without opening the segment; `None` when it has no rows.
    fn time_range(&self) -> Option<(i64, i64)> {
        let blocks = self.blocks();
        let min = blocks.iter().map(|block| block.min_time_ns).min()?;
        Some((min, blocks.iter().map(|block| block.max_time_ns).max()?))
    }

    /// Between which times its lines were received, known without opening it; at any time, if nobody says.
    fn received(&self) -> Told {
        Told { span: Some((i64::MIN, i64::MAX)), unknown: 0 }
    }

    /// The same of a block; `None` where it is not known of any row, so that no test of it passes.
    fn block_received(&self, _block: usize) -> Option<Span> {
        Some((i64::MIN, i64::MAX))
    }

    /// The blocks, by rising time as far as the rows allow. A segment that cannot be opened has one, whose reading is
    /// the error.
    fn blocks(&self) -> &[BlockStat];

    /// The fields by name.
    fn fields(&self) -> &BTreeMap<String, FieldStat>;

    /// Looks at the same without opening it, if that can be; in how many rows each is may not be told then.
    fn look_at_fields(&self, look: &mut dyn FnMut(&BTreeMap<String, FieldStat>)) {
        look(self.fields());
    }

    /// Whether nothing has to be read to ask it for candidates.
    fn is_open(&self) -> bool {
        true
    }

    /// Whether it is known, without opening it, to have no match.
    fn rules_out(&self, _sieve: &mut Sieve<'_>) -> bool {
        false
    }

    /// One flag a block: whether it may hold a match.
    fn candidates(&self, probe: &Probe) -> Result<Vec<bool>, SegmentError>;

    /// The rows of a block in the order `(time, seq)`; with `rows` only those (ascending indexes within the block).
    fn read(&self, block: usize, projection: &Projection, rows: Option<&[u32]>) -> Result<RecordBatch, SegmentError>;

    /// The lines as they were written, byte for byte, of some rows of a block.
    fn raw(&self, block: usize, rows: &[u32]) -> Result<Vec<Vec<u8>>, SegmentError>;

    /// How often each value of a field with few values (`level`, `status`, `service`, `host`, `source`) occurs in a
    /// block, if that is known without reading it.
    fn counts(&self, block: usize, field: &str) -> Option<&[(String, u32)]>;

    /// In how many rows of each block a folded word stands in `message` or `exception.stack`, if that is known without
    /// reading them; 0 for a block where it is not.
    fn word_rows(&self, _word: &str) -> Option<Vec<u32>> {
        None
    }

    /// The messages of a block in their parts, where these say more cheaply which messages may match.
    fn parts(&self, _block: usize) -> Result<Option<Box<dyn Parts + '_>>, SegmentError> {
        Ok(None)
    }

    /// What was kept of a block under a number that stands for a question, if it is still there.
    fn recall(&self, _block: usize, _question: u128) -> Option<ArrayRef> {
        None
    }

    /// Keeps something small of a block for as long as there is room; a segment may keep nothing.
    fn remember(&self, _block: usize, _question: u128, _answer: &ArrayRef) {}

    /// The same rows for a walk that comes by once: what it opens and decodes is kept apart and soon let go, so that it
    /// pushes out nothing that searches come back for. `None`: nothing of it is kept anyway.
    fn in_passing(&self) -> Option<Arc<dyn Segment>> {
        None
    }

    /// Bytes that some columns of a block take in storage, about; 0 for memory.
    fn stored_bytes(&self, _block: usize, _projection: &Projection) -> u64 {
        0
    }

    /// Bytes read from storage so far; 0 for memory.
    fn bytes_read(&self) -> u64;
}

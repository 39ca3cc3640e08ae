//! A block: up to [`super::segment::BLOCK_ROWS_MAX`] rows in memory, ordered by `(time, seq)`.
//!
//! It is what the pipeline hands to the head, what the head searches, and what a split is made of.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Float64Type, Int64Type, UInt32Type, UInt64Type};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

pub(super) use self::builder::json_of;
pub use self::builder::{BLOCK_BYTES_MAX, BlockBuilder};
use super::column::{COUNTED_FIELDS, ColumnKey, Kind, Layout, add_stats, count_values};
use super::receipts::{self, Receipts, Told};
use super::segment::{BlockStat, Counts, FieldStat, Projection};
use super::skeleton::{Part, Skeleton};
use super::spell::{self, Cell};

mod builder;
mod gaps;
pub(super) mod texts;
mod zeros;

/// Rows and what is known of them.
#[derive(Debug)]
pub struct Block {
    layout: Arc<Layout>,
    batch: RecordBatch,
    shapes: Arc<[Arc<Skeleton>]>,
    stat: BlockStat,
    receipts: Arc<Receipts>,
    received: OnceLock<Told>,
    raw_bytes: u64,
    extra_fields: BTreeMap<String, FieldStat>,
    fields: BTreeMap<String, FieldStat>,
    counts: OnceLock<Vec<(&'static str, Counts)>>,
}

/// What a block is made of besides its rows.
pub(super) struct BlockParts {
    pub(super) layout: Arc<Layout>,
    pub(super) shapes: Arc<[Arc<Skeleton>]>,
    /// When its lines came; others may be among them.
    pub(super) receipts: Arc<Receipts>,
    /// Bytes of the lines as they were written.
    pub(super) raw_bytes: u64,
    /// Fields within `_extra`.
    pub(super) extra_fields: BTreeMap<String, FieldStat>,
}

impl Block {
    /// `batch` has the columns of the layout and is ordered.
    pub(super) fn new(parts: BlockParts, batch: RecordBatch) -> Block {
        let BlockParts { layout, shapes, receipts, raw_bytes, extra_fields } = parts;
        let times = batch.column(0).as_primitive::<Int64Type>().values();
        let stat = BlockStat {
            rows: batch.num_rows() as u32,
            min_time_ns: times.first().copied().unwrap_or_default(),
            max_time_ns: times.last().copied().unwrap_or_default(),
        };
        let mut fields = field_stats(&layout, &batch);
        add_stats(&mut fields, &extra_fields);
        let (received, counts) = (OnceLock::new(), OnceLock::new());
        Block { layout, batch, shapes, stat, receipts, received, raw_bytes, extra_fields, fields, counts }
    }

    pub fn len(&self) -> usize {
        self.batch.num_rows()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn stat(&self) -> BlockStat {
        self.stat
    }

    /// Bytes of the lines as they were written.
    pub fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    /// Bytes of the columns in memory, without what blocks share.
    pub fn memory_bytes(&self) -> usize {
        self.batch.columns().iter().map(zeros::own_bytes).sum()
    }

    pub fn fields(&self) -> &BTreeMap<String, FieldStat> {
        &self.fields
    }

    /// All columns, the hidden ones too, as [`Layout`] says; texts may be numbered.
    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    pub(super) fn shapes(&self) -> &Arc<[Arc<Skeleton>]> {
        &self.shapes
    }

    pub(super) fn receipts(&self) -> &Arc<Receipts> {
        &self.receipts
    }

    /// Between which times its lines were received.
    pub fn received(&self) -> Told {
        *self.received.get_or_init(|| self.receipts.told(self.seqs()))
    }

    pub(super) fn extra_fields(&self) -> &BTreeMap<String, FieldStat> {
        &self.extra_fields
    }

    /// Whether any row has fields beyond the column limit.
    pub fn has_extra(&self) -> bool {
        self.batch.column(self.layout.extra()).null_count() < self.len()
    }

    pub fn seqs(&self) -> &[u64] {
        self.batch.column(1).as_primitive::<UInt64Type>().values()
    }

    pub fn times(&self) -> &[i64] {
        self.batch.column(0).as_primitive::<Int64Type>().values()
    }

    /// Some of its rows (rising) as a block. Their share of the raw bytes is by their number.
    pub(super) fn part(&self, rows: &[u32]) -> Result<Block, ArrowError> {
        let share = u128::from(self.raw_bytes) * rows.len() as u128 / self.len().max(1) as u128;
        let batch = pick(&self.batch, rows)?;
        let parts = BlockParts {
            layout: Arc::clone(&self.layout),
            shapes: Arc::clone(&self.shapes),
            receipts: Arc::new(self.receipts.only(batch.column(1).as_primitive::<UInt64Type>().values())),
            raw_bytes: share as u64,
            extra_fields: self.extra_fields.clone(),
        };
        Ok(Block::new(parts, batch))
    }

    /// See [`super::segment::Segment::read`].
    pub fn read(&self, projection: &Projection, rows: Option<&[u32]>) -> Result<RecordBatch, ArrowError> {
        let mut batch = self.batch.project(&self.layout.project(projection, self.has_extra()))?;
        if receipts::is_wanted(projection) {
            batch = receipts::with_column(&batch, self.receipts.column(self.seqs()))?;
        }
        match rows {
            Some(rows) => pick(&batch, rows),
            None => Ok(batch),
        }
    }

    /// See [`super::segment::Segment::raw`].
    pub fn raw(&self, rows: &[u32]) -> Option<Vec<Vec<u8>>> {
        let lines = Lines {
            batch: &self.batch,
            shape: self.batch.column(self.layout.shape()),
            raw: self.batch.column(self.layout.raw()),
            shapes: &self.shapes,
        };
        rows.iter().map(|row| lines.line(*row as usize, |key| self.layout.column(key))).collect()
    }

    /// See [`super::segment::Segment::counts`].
    pub fn counts(&self, field: &str) -> Option<&[(String, u32)]> {
        let counts = self.counts.get_or_init(|| counts_of(&self.layout, &self.batch));
        counts.iter().find(|(name, _)| *name == field).map(|(_, counts)| &counts[..])
    }
}

/// Some rows of a batch, which may have no columns.
pub(super) fn pick(batch: &RecordBatch, rows: &[u32]) -> Result<RecordBatch, ArrowError> {
    let rows = UInt32Array::from(rows.to_vec());
    let columns = batch.columns().iter().map(|column| take(column, &rows, None)).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options)
}

/// The counts of every counted field that has one countable type and few values in these rows.
pub(super) fn counts_of(layout: &Layout, batch: &RecordBatch) -> Vec<(&'static str, Counts)> {
    counts_by(layout, batch, |column, kind| count_values(batch.column(column), kind))
}

/// [`counts_of`] with another way to count a column.
pub(super) fn counts_by(
    layout: &Layout,
    batch: &RecordBatch,
    count_column: impl Fn(usize, Kind) -> Option<Counts>,
) -> Vec<(&'static str, Counts)> {
    let count = |name: &'static str| {
        let mut columns = layout.columns_of(name).filter(|(i, _)| batch.column(*i).null_count() < batch.num_rows());
        let counts = match (columns.next(), columns.next()) {
            (None, _) => Vec::new(),
            (Some((column, kind)), None) => count_column(column, kind)?,
            (Some(_), Some(_)) => return None,
        };
        Some((name, counts))
    };
    COUNTED_FIELDS.into_iter().filter_map(count).collect()
}

/// What is known of the fields that have columns with values in them.
pub(super) fn field_stats(layout: &Layout, batch: &RecordBatch) -> BTreeMap<String, FieldStat> {
    let mut fields: BTreeMap<String, FieldStat> = BTreeMap::new();
    for (key, column) in layout.keys().iter().zip(&batch.columns()[super::column::FIELD_COLUMNS_AT..]) {
        let rows = (column.len() - column.null_count()) as u64;
        if rows > 0 {
            let stat = fields.entry(key.field.to_string()).or_default();
            stat.types.push(key.kind.name());
            // A row has a field in one type only.
            stat.rows += rows;
        }
    }
    fields
}

/// The lines of a batch.
pub(super) struct Lines<'a> {
    pub(super) batch: &'a RecordBatch,
    pub(super) shape: &'a ArrayRef,
    pub(super) raw: &'a ArrayRef,
    pub(super) shapes: &'a [Arc<Skeleton>],
}

impl Lines<'_> {
    /// Rebuilds the line of a row; `find` gives the place of a column in the batch. `None` when a part is missing:
    /// then the segment is damaged.
    pub(super) fn line(&self, row: usize, find: impl Fn(&ColumnKey) -> Option<usize>) -> Option<Vec<u8>> {
        let raw = self.raw.as_binary::<i32>();
        if raw.is_valid(row) {
            return Some(raw.value(row).to_vec());
        }
        let shape = self.shape.as_primitive::<UInt32Type>();
        if shape.is_null(row) {
            return None;
        }
        let skeleton = self.shapes.get(shape.value(row) as usize)?;
        let mut line = Vec::with_capacity(256);
        for part in &skeleton.parts {
            let spelled = match part {
                Part::Literal(bytes) => {
                    line.extend_from_slice(bytes);
                    true
                }
                Part::Time(spelling) => {
                    let time_ns = self.batch.column(0).as_primitive::<Int64Type>().value(row);
                    spell::put_time(time_ns, *spelling, &mut line)
                }
                Part::Value(key, spelling) => {
                    let array = self.batch.columns().get(find(key)?)?;
                    spell::put(&mut line, cell(array, key.kind, row)?, *spelling)
                }
            };
            if !spelled {
                return None;
            }
        }
        Some(line)
    }
}

/// The value of a row.
pub(super) fn cell(array: &ArrayRef, kind: Kind, row: usize) -> Option<Cell<'_>> {
    if array.is_null(row) {
        return None;
    }
    Some(match kind {
        Kind::Str => Cell::Str(texts::text_at(array, row)?),
        Kind::Int => Cell::Int(array.as_primitive::<Int64Type>().value(row)),
        Kind::Float => Cell::Float(array.as_primitive::<Float64Type>().value(row)),
        Kind::Bool => Cell::Bool(array.as_boolean().value(row)),
    })
}

#[cfg(test)]
mod tests;

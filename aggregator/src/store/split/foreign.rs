//! The boundary to the `parquet` crate, which reads what [`super::pages`] leaves to it.
//!
//! Checksums tell damage by chance. Whoever can write splits can forge both, and the crate trusts numbers that it reads:
//! it sets memory aside for them, indexes and divides by them. What would cost memory is refused before the crate sees
//! it (an allocation that fails ends the process): lists that are longer than the bytes behind them, pages of more
//! bytes than [`PAGE_BYTES_MAX`](super::pages::PAGE_BYTES_MAX), dictionaries of more values than bytes, or of none.
//! What remains is a panic, and it becomes the error of the block that was read.

use std::io::Read;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};

use super::checked::Rows;
use super::pages;
use crate::store::segment::BLOCK_ROWS_MAX;

/// Decodes the metadata, and reads where the pages are.
pub(super) fn metadata(bytes: &[u8], rows: &Arc<Rows>) -> Result<ArrowReaderMetadata, String> {
    if !pages::is_whole(bytes) {
        return Err(damaged("the Parquet metadata"));
    }
    guarded("the Parquet metadata", || {
        let metadata = ParquetMetaDataReader::decode_metadata(bytes)?;
        let index = PageIndex::read(&metadata, rows)?;
        // Where the pages are is all that is asked for; their extremes stand in the index for other readers.
        let mut reader = ParquetMetaDataReader::new_with_metadata(metadata)
            .with_column_index_policy(PageIndexPolicy::Skip)
            .with_offset_index_policy(PageIndexPolicy::Required);
        reader.read_page_indexes(&index)?;
        let metadata = reader.finish()?;
        // It panics at a negative range: here, rather than when a page is read.
        chunks(&metadata).for_each(|chunk| _ = chunk.byte_range());
        // The types are Parquet's: Arrow's own description beside them is for other readers.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        ArrowReaderMetadata::try_new(Arc::new(metadata), options)
    })
}

/// Blocks of a row group. All groups but the last have as many as the first.
pub(super) fn group_blocks(metadata: &ParquetMetaData) -> usize {
    let rows = metadata.row_groups().first().map_or(0, |group| group.num_rows());
    usize::try_from(rows).unwrap_or(0).div_ceil(BLOCK_ROWS_MAX).max(1)
}

/// Some columns of all rows of a block, or of some.
pub(super) fn read(
    source: &Arc<Rows>,
    metadata: ArrowReaderMetadata,
    block: usize,
    columns: &[usize],
    rows: Option<&[u32]>,
) -> Result<RecordBatch, String> {
    guarded("a page", || {
        let group_blocks = group_blocks(metadata.metadata());
        let group = block / group_blocks;
        let groups = metadata.metadata().row_groups();
        let group_rows = groups.get(group).ok_or_else(|| general("a row group is missing"))?.num_rows() as usize;
        let first = (block % group_blocks) * BLOCK_ROWS_MAX;
        let selection = match rows {
            None => {
                let whole = first..(first + BLOCK_ROWS_MAX).min(group_rows);
                RowSelection::from_consecutive_ranges(std::iter::once(whole), group_rows)
            }
            Some(rows) => {
                let each = rows.iter().map(|row| first + *row as usize).map(|row| row..row + 1);
                RowSelection::from_consecutive_ranges(each, group_rows)
            }
        };
        let mask = ProjectionMask::leaves(metadata.parquet_schema(), columns.iter().copied());
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(Pages(Arc::clone(source)), metadata)
            .with_row_groups(vec![group])
            .with_projection(mask)
            .with_row_selection(selection)
            .with_batch_size(BLOCK_ROWS_MAX)
            .build()?;
        let batches = reader.collect::<Result<Vec<_>, _>>()?;
        let schema = batches.first().ok_or_else(|| general("a row is missing"))?.schema();
        Ok(concat_batches(&schema, &batches)?)
    })
}

/// The one place where a panic of foreign code is caught: what the call had is dropped with it, and nothing else was
/// changed by it. It is printed all the same.
fn guarded<T>(what: &str, call: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Err(ParquetError::General(reason))) => Err(reason),
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(damaged(what)),
    }
}

fn damaged(what: &str) -> String {
    format!("{what} is damaged, though its checksum is right")
}

fn general(what: &str) -> ParquetError {
    ParquetError::General(what.to_owned())
}

fn chunks(metadata: &ParquetMetaData) -> impl Iterator<Item = &ColumnChunkMetaData> {
    metadata.row_groups().iter().flat_map(|group| group.columns())
}

/// The pages, each of which is looked at before the crate gets it.
struct Pages(Arc<Rows>);

impl Length for Pages {
    fn len(&self) -> u64 {
        self.0.object_bytes()
    }
}

impl ChunkReader for Pages {
    type T = Nothing;

    fn get_read(&self, _start: u64) -> Result<Nothing, ParquetError> {
        Err(general("a column has no page index"))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.0.read(start, length).map_err(ParquetError::General)?;
        if pages::may_be_read(&bytes) { Ok(bytes) } else { Err(ParquetError::General(damaged("a page"))) }
    }
}

/// The offset indexes of all columns.
struct PageIndex {
    object_bytes: u64,
    from: u64,
    bytes: Bytes,
}

impl PageIndex {
    fn read(metadata: &ParquetMetaData, rows: &Arc<Rows>) -> Result<PageIndex, ParquetError> {
        let span = |chunk: &ColumnChunkMetaData| -> Option<Range<u64>> {
            let from = u64::try_from(chunk.offset_index_offset()?).ok()?;
            Some(from..from.checked_add(u64::try_from(chunk.offset_index_length()?).ok()?)?)
        };
        let spans = chunks(metadata).map(span).collect::<Option<Vec<_>>>();
        let spans = spans.ok_or_else(|| general("a column has no page index"))?;
        let from = spans.iter().map(|span| span.start).min().unwrap_or(0);
        let end = spans.iter().map(|span| span.end).max().unwrap_or(0);
        let bytes = rows.read(from, usize::try_from(end - from)?).map_err(ParquetError::General)?;
        let part = |span: &Range<u64>| bytes.get((span.start - from) as usize..(span.end - from) as usize);
        if !spans.iter().all(|span| part(span).is_some_and(pages::is_whole)) {
            return Err(ParquetError::General(damaged("a page index")));
        }
        Ok(PageIndex { object_bytes: rows.object_bytes(), from, bytes })
    }
}

impl Length for PageIndex {
    /// The whole object: Parquet wants its indexes to end before the end of the file.
    fn len(&self) -> u64 {
        self.object_bytes
    }
}

impl ChunkReader for PageIndex {
    type T = Nothing;

    fn get_read(&self, _start: u64) -> Result<Nothing, ParquetError> {
        Err(general("a page index is read at once"))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let from = start.checked_sub(self.from).and_then(|from| usize::try_from(from).ok());
        let span = from.and_then(|from| Some(from..from.checked_add(length)?));
        let span = span.filter(|span| span.end <= self.bytes.len());
        span.map(|span| self.bytes.slice(span)).ok_or_else(|| general("a page index lies outside the others"))
    }
}

/// The crate streams only what has no page index.
struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _buffer: &mut [u8]) -> std::io::Result<usize> {
        Ok(0)
    }
}

#[cfg(test)]
mod tests;

//! Writing a split: blocks in, the bytes of one object out.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit, UInt64Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use parquet::errors::ParquetError;

use super::derived::{DERIVED, Deriver};
use super::encoding::{self, SAMPLE_ROWS};
use super::footer::{Footer, GRANULE_BYTES, PARQUET_TAIL_BYTES, Section, Sections, SplitMeta, Trailer, VERSION};
use super::foretold::Foretold;
use super::gate::stored;
use super::grams::Grams;
use super::hashes;
use super::indexer::{Indexer, Rows, Told, WORD_FIELDS};
use super::lexicon::LexiconError;
use super::rows::RowsWriter;
use crate::ranges::SourceRanges;
use crate::store::block::texts::plain;
use crate::store::block::{Block, counts_by, field_stats};
use crate::store::column::{COUNTED_FIELDS, ColumnKey, FIELD_COLUMNS_AT, Kind, Layout, add_stats, count_values};
use crate::store::merge::Merge;
use crate::store::receipts::{Receipts, Told as Receive};
use crate::store::segment::{BLOCK_ROWS_MAX, BlockStat, Counts};
use crate::store::skeleton;

/// Most blocks of a row group: its dictionaries serve them all. Readers ask the file, earlier ones had 16 or 32.
pub const ROW_GROUP_BLOCKS_MAX: usize = 96;

/// A split could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("rows: {0}")]
    Arrow(#[from] ArrowError),
    #[error("parquet: {0}")]
    Parquet(#[from] ParquetError),
    #[error(transparent)]
    Lexicon(#[from] LexiconError),
    #[error("footer: {0}")]
    Footer(#[from] std::io::Error),
    #[error("the skeletons of its lines are no numbers")]
    Shapes,
    #[error("a split needs at least one row and fewer than {BLOCKS_MAX} blocks")]
    Size,
}

/// Most blocks of a split: what the hash list can number.
pub const BLOCKS_MAX: usize = 1 << 20;

/// What a split is made from besides its blocks.
#[derive(Debug, Clone)]
pub struct SplitSource {
    /// The name of the object.
    pub path: String,
    /// The first WAL record with a row in it, and the one after the last.
    pub wal: (u64, u64),
    /// Byte ranges of sources whose lines are in it.
    pub ranges: SourceRanges,
    /// The retention class of its rows; empty for the default one.
    pub class: String,
}

/// The bytes of a split and what the catalogue has to know of it.
#[derive(Debug, Clone)]
pub struct SplitFile {
    pub meta: SplitMeta,
    pub bytes: Bytes,
}

/// Merges the blocks and writes them as one split.
pub fn write(blocks: &[Arc<Block>], source: SplitSource) -> Result<SplitFile, WriteError> {
    let merge = Merge::new(blocks)?;
    let chunks: Vec<_> = merge.chunks().collect();
    if chunks.is_empty() || chunks.len() >= BLOCKS_MAX {
        return Err(WriteError::Size);
    }
    let raw_bytes = blocks.iter().map(|block| block.raw_bytes()).sum();
    let mut known = Learned::new(raw_bytes, source);
    let mut indexer = Indexer::default();
    let sample = sample(&merge)?;
    let deriver = Deriver::learn(merge.layout(), &sample);
    let foretold = Foretold::learn(merge.layout(), &sample);
    let schema = file_schema(&merge, deriver.as_ref(), foretold.is_some());
    let group_rows = group_rows(chunks.len());
    let mut plans = encoding::plans(merge.layout(), &sample, merge.rows(), group_rows);
    plans.extend(deriver.as_ref().map(|_| encoding::NUMBERED));
    drop(sample);
    let mut writer = RowsWriter::new(&schema, &plans, group_rows)?;
    for rows in chunks {
        let batch = merge.batch(rows)?;
        let told = deriver.as_ref().map(|deriver| Told { numbers: deriver.numbers(batch.columns()), deriver });
        let mut columns = batch.columns().to_vec();
        if let Some(foretold) = &foretold {
            let shape = merge.layout().shape();
            columns[shape] =
                foretold.take_out(&columns[shape], |place| batch.columns().get(place)).ok_or(WriteError::Shapes)?;
        }
        if let Some(told) = &told {
            told.deriver.take_out(&told.numbers, &mut columns);
        }
        writer.add_block(&columns)?;
        let counts = counts_by(merge.layout(), &batch, |column, kind| match writer.numbers(column) {
            Some(numbers) => numbers.counts(kind),
            None => count_values(batch.column(column), kind),
        });
        let rows = Rows { layout: merge.layout(), batch: &batch, numbers: &|column| writer.numbers(column) };
        indexer.add_block(&rows, &counts, told.as_ref());
        known.add_block(merge.layout(), &batch, counts, merge.receipts());
    }
    let (parquet, grams) = writer.finish()?;
    add_stats(&mut known.footer.fields, merge.extra_fields());
    known.footer.derived = deriver.map_or_else(Vec::new, Deriver::into_templates);
    known.footer.foretold = foretold;
    known.footer.columns = merge.layout().keys().to_vec();
    let mut shapes = Vec::new();
    skeleton::encode(merge.shapes(), &mut shapes);
    let text = |(i, key): (usize, &ColumnKey)| {
        let grams = grams
            .get(i + FIELD_COLUMNS_AT)?
            .clone()
            .filter(|_| key.kind == Kind::Str && !WORD_FIELDS.contains(&&*key.field))?;
        Some((key.field.to_string(), grams))
    };
    let grams = merge.layout().keys().iter().enumerate().filter_map(text).collect();
    let receipts = merge.receipts().encode()?;
    // The order of all rows is not needed beside the indexes.
    drop(merge);
    assemble(parquet, Indexed { indexer, shapes, receipts, grams }, known.footer)
}

/// What goes behind the rows.
struct Indexed {
    indexer: Indexer,
    shapes: Vec<u8>,
    receipts: Vec<u8>,
    grams: BTreeMap<String, Grams>,
}

/// Rows of the row groups of so many blocks: of one size, but for the last.
fn group_rows(blocks: usize) -> usize {
    let groups = blocks.div_ceil(ROW_GROUP_BLOCKS_MAX).max(1);
    blocks.div_ceil(groups) * BLOCK_ROWS_MAX
}

/// What is learned of the blocks while they pass.
struct Learned {
    footer: Footer,
}

impl Learned {
    fn new(raw_bytes: u64, source: SplitSource) -> Learned {
        let meta = SplitMeta {
            path: source.path,
            bytes: 0,
            rows: 0,
            raw_bytes,
            min_time_ns: i64::MAX,
            max_time_ns: i64::MIN,
            wal: source.wal,
            class: source.class,
            received: None,
            unreceived: 0,
        };
        let counts = COUNTED_FIELDS.into_iter().map(|name| (name.to_owned(), Vec::new())).collect();
        Learned {
            footer: Footer {
                meta,
                sections: Sections::default(),
                ranges: source.ranges,
                columns: Vec::new(),
                fields: BTreeMap::new(),
                blocks: Vec::new(),
                received: Vec::new(),
                extra_blocks: Vec::new(),
                scan_words: Vec::new(),
                scan_values: Vec::new(),
                found_by_words: Vec::new(),
                counts,
                derived: Vec::new(),
                foretold: None,
            },
        }
    }

    fn add_block(
        &mut self,
        layout: &Layout,
        batch: &RecordBatch,
        counts: Vec<(&'static str, Counts)>,
        receipts: &Receipts,
    ) {
        let footer = &mut self.footer;
        let times = batch.column(0).as_primitive::<Int64Type>().values();
        let stat = BlockStat {
            rows: batch.num_rows() as u32,
            min_time_ns: times.first().copied().unwrap_or_default(),
            max_time_ns: times.last().copied().unwrap_or_default(),
        };
        footer.meta.rows += u64::from(stat.rows);
        footer.meta.min_time_ns = footer.meta.min_time_ns.min(stat.min_time_ns);
        footer.meta.max_time_ns = footer.meta.max_time_ns.max(stat.max_time_ns);
        if batch.column(layout.extra()).null_count() < batch.num_rows() {
            footer.extra_blocks.push(footer.blocks.len() as u32);
        }
        footer.blocks.push(stat);
        let told = receipts.told(batch.column(1).as_primitive::<UInt64Type>().values());
        footer.received.push(told.span);
        let all = told.join(Receive { span: footer.meta.received, unknown: footer.meta.unreceived });
        (footer.meta.received, footer.meta.unreceived) = (all.span, all.unknown);
        add_stats(&mut footer.fields, &field_stats(layout, batch));
        let mut counts: BTreeMap<&str, _> = counts.into_iter().collect();
        for (name, blocks) in &mut footer.counts {
            blocks.push(counts.remove(name.as_str()));
        }
    }
}

/// Puts the sections behind the rows, and the Parquet metadata at the end.
fn assemble(mut file: Vec<u8>, indexed: Indexed, mut footer: Footer) -> Result<SplitFile, WriteError> {
    let tail = file.len() - PARQUET_TAIL_BYTES;
    let parquet_bytes = u32::from_le_bytes([file[tail], file[tail + 1], file[tail + 2], file[tail + 3]]);
    let parquet = file.split_off(tail - parquet_bytes as usize);
    let rows_bytes = file.len() as u64;
    let sums: Vec<u8> =
        file.chunks(GRANULE_BYTES as usize).flat_map(|granule| crc32fast::hash(granule).to_le_bytes()).collect();
    let Indexed { indexer, shapes, receipts, grams } = indexed;
    let mut indexes = indexer.finish();
    footer.scan_words = indexes.scans.words;
    footer.scan_values = indexes.scans.values;
    footer.found_by_words = indexes.found_by_words;
    let hashes = hashes::encode(indexes.hashes);
    let (tally, terms) = (indexes.lexicon.tally(), indexes.lexicon.filter());
    // What is small comes last, so that one read has it with the footer.
    footer.sections = Sections {
        rows_bytes,
        hashes: append(&mut file, &hashes),
        sums: append(&mut file, &sums),
        lexicon: append(&mut file, &indexes.lexicon.finish()?),
        tally: append(&mut file, &tally),
        shapes: append(&mut file, &shapes),
        receipts: append(&mut file, &receipts),
        gate: Section::default(),
    };
    footer.sections.gate =
        append(&mut file, &stored::encode(&footer, &stored::Stored { terms, hashes: &hashes, grams }));
    let footer_section = append(&mut file, &footer.encode()?);
    let metadata = &parquet[..parquet_bytes as usize];
    let (version, parquet_crc) = (VERSION, crc32fast::hash(metadata));
    let trailer = Trailer { version, footer: footer_section, parquet_bytes, parquet_crc };
    file.extend_from_slice(&trailer.encode());
    file.extend_from_slice(&parquet);
    footer.meta.bytes = file.len() as u64;
    Ok(SplitFile { meta: footer.meta, bytes: file.into() })
}

fn append(file: &mut Vec<u8>, bytes: &[u8]) -> Section {
    let section = Section { offset: file.len() as u64, bytes: bytes.len() as u64, crc: crc32fast::hash(bytes) };
    file.extend_from_slice(bytes);
    section
}

/// Rows from all over the split, all texts as they are.
fn sample(merge: &Merge) -> Result<RecordBatch, ArrowError> {
    const PARTS: usize = 16;
    let rows = merge.rows();
    let plainly = |rows| {
        let batch: RecordBatch = merge.batch(rows)?;
        let columns = batch.columns().iter().map(plain).collect::<Result<_, _>>()?;
        RecordBatch::try_new(Arc::clone(merge.layout().schema()), columns)
    };
    if rows <= SAMPLE_ROWS {
        return plainly(0..rows);
    }
    let part = |i: usize| rows * i / PARTS..rows * i / PARTS + SAMPLE_ROWS / PARTS;
    let parts = (0..PARTS).map(|i| plainly(part(i))).collect::<Result<Vec<_>, _>>()?;
    concat_batches(merge.layout().schema(), &parts)
}

/// The schema in the file: `time` is a timestamp there, so that other readers show one, and a column that no row lacks
/// says so: then there is nothing to be written of what is missing.
fn file_schema(merge: &Merge, deriver: Option<&Deriver>, is_foretold: bool) -> Arc<Schema> {
    let utc = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    let fields = merge.layout().schema().fields().iter().enumerate();
    let mut fields: Vec<Arc<Field>> = fields
        .map(|(i, field)| {
            let kind = if i == 0 { utc.clone() } else { field.data_type().clone() };
            let is_taken_out =
                deriver.is_some_and(|deriver| deriver.message() == i) || is_foretold && i == merge.layout().shape();
            let nulls = merge.has_nulls(i) || is_taken_out;
            Arc::new(Field::new(field.name(), kind, nulls))
        })
        .collect();
    if deriver.is_some() {
        fields.push(Arc::new(Field::new(DERIVED, DataType::Int64, true)));
    }
    Arc::new(Schema::new(fields))
}

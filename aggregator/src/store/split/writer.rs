//! Writing a split: blocks in, the bytes of one object out.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit, TimestampNanosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::schema::types::ColumnPath;

use super::footer::{Footer, GRANULE_BYTES, PARQUET_TAIL_BYTES, Section, Sections, SplitMeta, Trailer};
use super::hashes;
use super::indexer::{Indexer, WORD_FIELDS};
use super::lexicon::LexiconError;
use crate::ranges::SourceRanges;
use crate::store::block::{Block, counts_of, field_stats};
use crate::store::column::{COUNTED_FIELDS, FIELD_COLUMNS_AT, Kind, Layout, add_stats};
use crate::store::merge::Merge;
use crate::store::segment::{BLOCK_ROWS_MAX, BlockStat};
use crate::store::skeleton;

/// Blocks of a row group.
pub const ROW_GROUP_BLOCKS: usize = 16;

/// A page is cut at this size even within a block.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// Dictionaries grow to this size before a column goes on plainly.
const DICTIONARY_BYTES_MAX: usize = 256 << 10;

const ZSTD_LEVEL: i32 = 1;

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
    let first = merge.batch(chunks[0].clone())?;
    let schema = file_schema(merge.layout());
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties(merge.layout(), &first)))?;
    let mut first = Some(first);
    for rows in chunks {
        let batch = match first.take() {
            Some(batch) => batch,
            None => merge.batch(rows)?,
        };
        indexer.add_block(merge.layout(), &batch);
        known.add_block(merge.layout(), &batch);
        writer.write(&to_file(&batch, &schema)?)?;
    }
    writer.flush()?;
    let parquet = writer.into_inner()?;
    add_stats(&mut known.footer.fields, merge.extra_fields());
    known.footer.columns = merge.layout().keys().to_vec();
    let mut shapes = Vec::new();
    skeleton::encode(merge.shapes(), &mut shapes);
    assemble(parquet, indexer, &shapes, known.footer)
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
                extra_blocks: Vec::new(),
                scan_words: Vec::new(),
                scan_values: Vec::new(),
                counts,
            },
        }
    }

    fn add_block(&mut self, layout: &Layout, batch: &RecordBatch) {
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
        add_stats(&mut footer.fields, &field_stats(layout, batch));
        let mut counts: BTreeMap<&str, _> = counts_of(layout, batch).into_iter().collect();
        for (name, blocks) in &mut footer.counts {
            blocks.push(counts.remove(name.as_str()));
        }
    }
}

/// Puts the sections behind the rows, and the Parquet metadata at the end.
fn assemble(mut file: Vec<u8>, indexer: Indexer, shapes: &[u8], mut footer: Footer) -> Result<SplitFile, WriteError> {
    let tail = file.len() - PARQUET_TAIL_BYTES;
    let parquet_bytes = u32::from_le_bytes([file[tail], file[tail + 1], file[tail + 2], file[tail + 3]]);
    let parquet = file.split_off(tail - parquet_bytes as usize);
    let rows_bytes = file.len() as u64;
    let sums: Vec<u8> =
        file.chunks(GRANULE_BYTES as usize).flat_map(|granule| crc32fast::hash(granule).to_le_bytes()).collect();
    let mut indexes = indexer.finish();
    footer.scan_words = indexes.scans.words;
    footer.scan_values = indexes.scans.values;
    footer.sections = Sections {
        rows_bytes,
        sums: append(&mut file, &sums),
        lexicon: append(&mut file, &indexes.lexicon.finish()?),
        hashes: append(&mut file, &hashes::encode(&mut indexes.hashes)),
        shapes: append(&mut file, shapes),
    };
    let footer_section = append(&mut file, &footer.encode()?);
    let metadata = &parquet[..parquet_bytes as usize];
    let trailer = Trailer { footer: footer_section, parquet_bytes, parquet_crc: crc32fast::hash(metadata) };
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

/// The schema in the file: `time` is a timestamp there, so that other readers show one.
fn file_schema(layout: &Layout) -> Arc<Schema> {
    let mut fields: Vec<Arc<Field>> = layout.schema().fields().iter().cloned().collect();
    let utc = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    fields[0] = Arc::new(Field::new(fields[0].name(), utc, false));
    Arc::new(Schema::new(fields))
}

fn to_file(batch: &RecordBatch, schema: &Arc<Schema>) -> Result<RecordBatch, ArrowError> {
    let mut columns = batch.columns().to_vec();
    let times = columns[0].as_primitive::<Int64Type>().reinterpret_cast::<TimestampNanosecondType>();
    columns[0] = Arc::new(times.with_timezone("UTC"));
    RecordBatch::try_new(Arc::clone(schema), columns)
}

/// How each column is encoded, judged by its first block.
fn properties(layout: &Layout, first: &RecordBatch) -> WriterProperties {
    let compression = ZstdLevel::try_new(ZSTD_LEVEL).map_or(Compression::UNCOMPRESSED, Compression::ZSTD);
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by("logweir".to_owned())
        .set_compression(compression)
        .set_max_row_group_size(ROW_GROUP_BLOCKS * BLOCK_ROWS_MAX)
        .set_data_page_row_count_limit(BLOCK_ROWS_MAX)
        .set_write_batch_size(BLOCK_ROWS_MAX / 4)
        .set_data_page_size_limit(PAGE_BYTES_MAX)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(false);
    for (i, field) in layout.schema().fields().iter().enumerate() {
        let path = ColumnPath::new(vec![field.name().clone()]);
        if i < FIELD_COLUMNS_AT {
            properties = properties
                .set_column_statistics_enabled(path.clone(), EnabledStatistics::Page)
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        } else if let Some(key) = layout.keys().get(i - FIELD_COLUMNS_AT) {
            let prose = WORD_FIELDS.contains(&&*key.field);
            properties = field_properties(properties, path, key.kind, prose || !repeats(first.column(i), key.kind));
        } else if i != layout.shape() {
            properties = properties.set_column_dictionary_enabled(path, false);
        }
    }
    properties.build()
}

fn field_properties(
    mut properties: WriterPropertiesBuilder,
    path: ColumnPath,
    kind: Kind,
    distinct: bool,
) -> WriterPropertiesBuilder {
    if matches!(kind, Kind::Int | Kind::Float) {
        properties = properties.set_column_statistics_enabled(path.clone(), EnabledStatistics::Page);
    }
    match (kind, distinct) {
        (Kind::Bool, _) | (_, false) => properties,
        (Kind::Str, true) => properties.set_column_dictionary_enabled(path, false),
        (Kind::Int | Kind::Float, true) => properties
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::BYTE_STREAM_SPLIT),
    }
}

/// Whether values come again often enough for a dictionary.
fn repeats(column: &ArrayRef, kind: Kind) -> bool {
    let present = column.len() - column.null_count();
    let distinct = match kind {
        Kind::Str => column.as_string::<i32>().iter().flatten().collect::<HashSet<_>>().len(),
        Kind::Int => column.as_primitive::<Int64Type>().iter().flatten().collect::<HashSet<_>>().len(),
        Kind::Float => {
            let values = column.as_primitive::<arrow::datatypes::Float64Type>();
            values.iter().flatten().map(f64::to_bits).collect::<HashSet<_>>().len()
        }
        Kind::Bool => return true,
    };
    distinct * 2 <= present || present < 64
}

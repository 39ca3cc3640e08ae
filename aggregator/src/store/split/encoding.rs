//! How each column of a split is encoded, judged by a sample of its rows.
//!
//! Values that come again are worth a dictionary, all others are kept as they are: texts of one length (ids) without a
//! length each, numbers by the planes of their bytes. What never changes is not compressed: a page of it is a few
//! bytes, and setting up a compressor costs more than all else.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{Float64Type, Int64Type};
use arrow::record_batch::RecordBatch;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::schema::types::ColumnPath;

use super::hashes;
use super::indexer::WORD_FIELDS;
use super::writer::ROW_GROUP_BLOCKS;
use crate::store::column::{FIELD_COLUMNS_AT, Kind, Layout};
use crate::store::segment::BLOCK_ROWS_MAX;

/// Rows of the sample.
pub const SAMPLE_ROWS: usize = 4096;

/// A page is cut at this size even within a block.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// Dictionaries grow to this size before a column goes on plainly.
const DICTIONARY_BYTES_MAX: usize = 2 << 20;

const ZSTD_LEVEL: i32 = 1;

/// A value that stands in all rows is not compressed up to this length.
const CONSTANT_BYTES_MAX: usize = 64;

/// A dictionary surely pays when a value comes again so often within a row group.
const CERTAIN_TIMES: f64 = 16.0;

/// The properties of the Parquet writer for `rows` rows of which `sample` is a part.
pub fn properties(layout: &Layout, sample: &RecordBatch, rows: usize) -> WriterProperties {
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
            continue;
        }
        let column = sample.column(i);
        if column.null_count() == column.len() && sample.num_rows() == rows {
            properties = properties.set_column_compression(path.clone(), Compression::UNCOMPRESSED);
        }
        if let Some(key) = layout.keys().get(i - FIELD_COLUMNS_AT) {
            let values = Values::of(column, key.kind, rows);
            properties = field_properties(properties, path, key.kind, WORD_FIELDS.contains(&&*key.field), &values);
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
    prose: bool,
    values: &Values,
) -> WriterPropertiesBuilder {
    if matches!(kind, Kind::Int | Kind::Float) {
        properties = properties.set_column_statistics_enabled(path.clone(), EnabledStatistics::Page);
    }
    if values.constant {
        return properties.set_column_compression(path, Compression::UNCOMPRESSED);
    }
    let plain = match kind {
        Kind::Bool => return properties,
        // Prose repeats itself, and zstd finds that by the lengths between, too.
        Kind::Str if prose || !values.one_length => Encoding::PLAIN,
        Kind::Str => Encoding::DELTA_LENGTH_BYTE_ARRAY,
        Kind::Int | Kind::Float => Encoding::BYTE_STREAM_SPLIT,
    };
    // Messages are looked into, so they are kept as text unless they are but a few.
    let certain = values.distinct * CERTAIN_TIMES <= values.present;
    let again = kind == Kind::Str && !prose && values.distinct * 5.0 < values.present * 3.0;
    let dictionary = certain || (again && values.dictionary_bytes < values.plain_bytes);
    properties.set_column_dictionary_enabled(path.clone(), dictionary).set_column_encoding(path, plain)
}

/// What a sample says of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Values {
    /// Values that are there in a row group.
    present: f64,
    /// Different ones among them.
    distinct: f64,
    /// Bytes of a text by itself, and of one in a dictionary, with its share of the dictionary.
    plain_bytes: f64,
    dictionary_bytes: f64,
    /// Nearly all texts are of the same length.
    one_length: bool,
    /// There is one short value, as far as can be seen.
    constant: bool,
}

impl Values {
    fn of(column: &ArrayRef, kind: Kind, rows: usize) -> Values {
        let mut hashes: Vec<u64> = match kind {
            Kind::Str => column.as_string::<i32>().iter().flatten().map(|v| hashes::hash64(v.as_bytes())).collect(),
            Kind::Int => column.as_primitive::<Int64Type>().iter().flatten().map(|v| v as u64).collect(),
            Kind::Float => column.as_primitive::<Float64Type>().iter().flatten().map(f64::to_bits).collect(),
            Kind::Bool => column.as_boolean().iter().flatten().map(u64::from).collect(),
        };
        hashes.sort_unstable();
        let seen = hashes.len() as f64;
        let (mut distinct, mut once, mut twice, mut bits) = (0.0, 0.0, 0.0, 0.0);
        for same in hashes.chunk_by(|a, b| a == b) {
            let times = same.len() as f64;
            distinct += 1.0;
            once += if same.len() == 1 { 1.0 } else { 0.0 };
            twice += if same.len() == 2 { 1.0 } else { 0.0 };
            bits += times / seen * (seen / times).log2();
        }
        let of_group = rows.min(ROW_GROUP_BLOCKS * BLOCK_ROWS_MAX) as f64 / column.len().max(1) as f64;
        let present = seen * of_group;
        let sampled = distinct;
        let rare = (once + 2.0 * twice) / seen.max(1.0);
        if column.len() < rows && rare > 0.0 {
            // Chao's estimate of the rare values, and how many of those a row group meets.
            let all: f64 = once + twice + once * once / (2.0 * f64::max(twice, 0.5));
            let met = all * (1.0 - (-present * rare / all.max(1.0)).exp());
            distinct = (distinct - once - twice + met).clamp(distinct, present.max(distinct));
        }
        let short =
            kind != Kind::Str || column.as_string::<i32>().value_data().len() <= hashes.len() * CONSTANT_BYTES_MAX;
        let constant = sampled == 1.0 && short && (column.len() == rows || 2 * hashes.len() >= column.len());
        let mut values =
            Values { present, distinct, plain_bytes: 0.0, dictionary_bytes: 0.0, one_length: false, constant };
        if kind == Kind::Str && seen > 0.0 {
            let texts = column.as_string::<i32>();
            values.one_length = have_one_length(texts);
            // With few values there is no doubt.
            if distinct * CERTAIN_TIMES > present {
                let mut known = HashSet::with_capacity(sampled as usize);
                values.plain_bytes = compressed(texts.iter().flatten()) / seen;
                let each = compressed(texts.iter().flatten().filter(|text| known.insert(*text))) / sampled;
                // A sample has less variety than the whole, and a large dictionary is compressed better.
                let number = f64::max(bits + rare * (distinct / sampled).log2(), 1.0) / 8.0;
                values.dictionary_bytes = number + 0.75 * each * distinct / present;
            }
        }
        values
    }
}

/// Bytes of these texts, each behind its length, compressed.
fn compressed<'a>(texts: impl Iterator<Item = &'a str>) -> f64 {
    let mut plain = Vec::new();
    for text in texts {
        plain.extend_from_slice(&(text.len() as u32).to_le_bytes());
        plain.extend_from_slice(text.as_bytes());
    }
    zstd::bulk::compress(&plain, ZSTD_LEVEL).map_or(plain.len(), |bytes| bytes.len()) as f64
}

fn have_one_length(texts: &StringArray) -> bool {
    let mut lengths: Vec<i32> = texts.offsets().windows(2).map(|pair| pair[1] - pair[0]).collect();
    lengths.retain(|len| *len > 0);
    lengths.sort_unstable();
    let most = lengths.chunk_by(|a, b| a == b).map(<[i32]>::len).max().unwrap_or(0);
    most * 10 >= lengths.len() * 9
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    fn of(values: impl Iterator<Item = String>, rows: usize) -> Values {
        Values::of(&(Arc::new(StringArray::from_iter_values(values)) as ArrayRef), Kind::Str, rows)
    }

    #[test]
    fn a_sample_tells_how_many_values_all_rows_have() {
        let ids = of((0..1000).map(|i| format!("{i:08}")), 50_000);
        assert!(ids.distinct > 25_000.0 && ids.one_length && ids.plain_bytes < ids.dictionary_bytes, "{ids:?}");
        let few = of((0..1000).map(|i| format!("{}", i % 20)), 50_000);
        assert!(few.distinct.round() == 20.0 && !few.one_length, "{few:?}");
        // A thousand draws of two thousand long ones.
        let draw = |i: u64| format!("{:>60}", hashes::hash64(&i.to_le_bytes()) % 2000);
        let some = of((0..1000).map(draw), 20_000);
        assert!(some.distinct > 500.0 && some.distinct < 4000.0, "{some:?}");
        assert!(some.dictionary_bytes < some.plain_bytes, "{some:?}");
        assert!(of((0..9).map(|_| "a".repeat(64)), 9).constant && !of((0..9).map(|_| "a".repeat(65)), 9).constant);
        let none = Values::of(&(Arc::new(Int64Array::new_null(9)) as ArrayRef), Kind::Int, 9);
        assert!(!none.constant && none.distinct == 0.0, "{none:?}");
    }
}

//! What `ArrowWriter` writes comes back the same, and hostile bytes come back as errors.

use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Encoding, ZstdLevel};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use proptest::prelude::*;

use super::*;

/// How the writer is told to write.
#[derive(Debug, Clone)]
struct How {
    dictionary: bool,
    dictionary_bytes: usize,
    encoding: Encoding,
    compressed: bool,
    statistics: bool,
    page_rows: usize,
}

fn how(data_type: &DataType) -> impl Strategy<Value = How> + use<> {
    let encodings = match data_type {
        DataType::Int64 => vec![Encoding::PLAIN, Encoding::DELTA_BINARY_PACKED, Encoding::BYTE_STREAM_SPLIT],
        DataType::Float64 => vec![Encoding::PLAIN, Encoding::BYTE_STREAM_SPLIT],
        DataType::Utf8 => vec![Encoding::PLAIN, Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY],
        _ => vec![Encoding::PLAIN],
    };
    let encoding = prop::sample::select(encodings);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (flags, prop::sample::select(vec![8, 100, 1 << 20]), encoding, prop::sample::select(vec![3, 16, 1000])).prop_map(
        |((dictionary, compressed, statistics), dictionary_bytes, encoding, page_rows)| How {
            dictionary,
            dictionary_bytes,
            encoding,
            compressed,
            statistics,
            page_rows,
        },
    )
}

fn any_array() -> impl Strategy<Value = ArrayRef> {
    let few = prop::option::weighted(0.9, -3i64..3);
    let many = prop::option::weighted(0.9, any::<i64>());
    let rising = prop::collection::vec(0i64..1 << 40, 0..300).prop_map(|steps| {
        let mut at = 0i64;
        let next = |step: i64| {
            at += step;
            at
        };
        Arc::new(steps.into_iter().map(next).collect::<Int64Array>()) as ArrayRef
    });
    let ints = |value: BoxedStrategy<Option<i64>>| {
        prop::collection::vec(value, 0..300).prop_map(|v| Arc::new(v.into_iter().collect::<Int64Array>()) as ArrayRef)
    };
    let texts = prop::collection::vec(prop::option::weighted(0.8, "[a-cü]{0,3}"), 0..300);
    let floats = prop::collection::vec(prop::option::weighted(0.9, any::<f64>()), 0..300);
    let bools = prop::collection::vec(prop::option::weighted(0.9, any::<bool>()), 0..300);
    let halves = prop::collection::vec(prop::option::weighted(0.9, 0u32..9), 0..300);
    let bytes = prop::option::weighted(0.3, prop::collection::vec(any::<u8>(), 0..4));
    let bytes = prop::collection::vec(bytes, 0..300);
    prop_oneof![
        ints(few.boxed()),
        ints(many.boxed()),
        rising,
        texts.prop_map(|v| Arc::new(v.into_iter().collect::<StringArray>()) as ArrayRef),
        floats.prop_map(|v| Arc::new(v.into_iter().collect::<Float64Array>()) as ArrayRef),
        bools.prop_map(|v| Arc::new(v.into_iter().collect::<BooleanArray>()) as ArrayRef),
        halves.prop_map(|v| Arc::new(v.into_iter().collect::<UInt32Array>()) as ArrayRef),
        bytes.prop_map(|v| Arc::new(v.into_iter().collect::<BinaryArray>()) as ArrayRef),
    ]
}

fn any_written() -> impl Strategy<Value = (ArrayRef, How)> {
    any_array().prop_flat_map(|array| {
        let how = how(array.data_type());
        (Just(array), how)
    })
}

fn write(array: &ArrayRef, how: &How) -> (Bytes, ParquetMetaData) {
    let field = Field::new("a", array.data_type().clone(), true);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::clone(array)]).unwrap();
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1).unwrap());
    let statistics = if how.statistics { EnabledStatistics::Page } else { EnabledStatistics::None };
    let properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_dictionary_enabled(how.dictionary)
        .set_dictionary_page_size_limit(how.dictionary_bytes)
        .set_encoding(how.encoding)
        .set_compression(if how.compressed { zstd } else { Compression::UNCOMPRESSED })
        .set_statistics_enabled(statistics)
        .set_data_page_row_count_limit(how.page_rows)
        .set_write_batch_size(how.page_rows)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    let bytes = Bytes::from(writer.into_inner().unwrap());
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
    let metadata = reader.parse_and_finish(&bytes).unwrap();
    (bytes, metadata)
}

/// Decodes the whole column from `bytes`, which may not be what was written.
fn decode(bytes: &[u8], metadata: &ParquetMetaData, data_type: &DataType) -> Result<ArrayRef, Undecoded> {
    let chunk = metadata.row_group(0).column(0);
    let storage = Storage { data_type, nullable: true, compression: chunk.compression() };
    let places = metadata.offset_index().unwrap()[0][0].page_locations();
    let slice = |from: i64, to: i64| &bytes[from as usize..to as usize];
    let pages: Vec<&[u8]> =
        places.iter().map(|p| slice(p.offset, p.offset + i64::from(p.compressed_page_size))).collect();
    let dictionary = match chunk.dictionary_page_offset() {
        Some(offset) => Some(storage.dictionary(slice(offset, chunk.data_page_offset()))?),
        None => None,
    };
    storage.rows(&pages, dictionary.as_ref())
}

proptest! {
    #[test]
    fn what_was_written_comes_back((array, how) in any_written()) {
        prop_assume!(!array.is_empty());
        let (bytes, metadata) = write(&array, &how);
        let decoded = decode(&bytes, &metadata, array.data_type()).and_then(plain);
        prop_assert_eq!(decoded.as_ref(), Ok(&array), "{:?}", how);
    }

    #[test]
    fn damaged_pages_are_errors_or_other_values(
        (array, how) in any_written(),
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        prop_assume!(!array.is_empty());
        let (bytes, metadata) = write(&array, &how);
        let mut bytes = bytes.to_vec();
        for (at, byte) in hits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = decode(&bytes, &metadata, array.data_type()).and_then(plain);
    }

    #[test]
    fn noise_is_no_page(noise in prop::collection::vec(any::<u8>(), 0..60)) {
        let words = [DataType::Int64, DataType::UInt64, DataType::Float64, DataType::UInt32];
        for data_type in words.into_iter().chain([DataType::Boolean, DataType::Utf8, DataType::Binary]) {
            let storage = Storage { data_type: &data_type, nullable: true, compression: Compression::UNCOMPRESSED };
            let _ = storage.dictionary(&noise);
            let _ = storage.rows(&[&noise], None);
            let _ = storage.values(&noise, code::DELTA_BINARY_PACKED, 1000, None);
            let _ = storage.values(&noise, code::DELTA_LENGTH_BYTE_ARRAY, 1000, None);
            let _ = storage.values(&noise, code::DELTA_BYTE_ARRAY, 20, None);
            let _ = encoding::hybrid(&noise, 7, 1000);
            let _ = encoding::validity(&noise, 1000);
        }
    }
}

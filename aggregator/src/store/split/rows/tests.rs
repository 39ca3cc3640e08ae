//! What is written here is what the `parquet` crate reads.

use arrow::array::{BinaryArray, BooleanArray, Float64Array, Int64Array, StringArray, UInt32Array, UInt64Array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use parquet::file::statistics::Statistics;
use proptest::prelude::*;

use super::*;

fn plan() -> impl Strategy<Value = Plan> {
    let plain = prop::sample::select(vec![Plain::Bytes, Plain::Lengths, Plain::Deltas, Plain::Streams]);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (flags, plain).prop_map(|((dictionary, ordered, compressed, alike, bounds), plain)| Plan {
        dictionary,
        ordered,
        plain,
        compressed,
        alike,
        bounds,
    })
}

/// Columns of all types with as many values as there are `values`.
fn arrays(values: &[Option<u64>]) -> Vec<ArrayRef> {
    // With a front that all have, but for some in the middle of a character.
    let front = |value: u64| if value.is_multiple_of(50) { "id-ñ" } else { "id-ö" };
    let text = |value: u64| front(value).to_owned() + &"x".repeat((value % 40) as usize) + &(value >> 6).to_string();
    let text = |value: &Option<u64>| value.map(text);
    let texts: Vec<_> = values.iter().map(text).collect();
    vec![
        Arc::new(StringArray::from(texts.clone())),
        Arc::new(texts.iter().map(|text| text.as_ref().map(String::as_bytes)).collect::<BinaryArray>()),
        Arc::new(values.iter().map(|value| value.map(|value| value as i64)).collect::<Int64Array>()),
        Arc::new(values.iter().copied().collect::<UInt64Array>()),
        Arc::new(values.iter().map(|value| value.map(f64::from_bits)).collect::<Float64Array>()),
        Arc::new(values.iter().map(|value| value.map(|value| value as u32)).collect::<UInt32Array>()),
        Arc::new(values.iter().map(|value| value.map(|value| value % 3 == 0)).collect::<BooleanArray>()),
    ]
}

fn value() -> impl Strategy<Value = Option<u64>> {
    let some = prop_oneof![5 => 0u64..9, 1 => any::<u64>()];
    prop_oneof![1 => Just(None), 9 => some.prop_map(Some)]
}

/// Blocks of so many rows with runs of equal values, perhaps all there or all null.
fn blocks() -> impl Strategy<Value = Vec<Vec<Option<u64>>>> {
    let runs = prop::collection::vec((value(), 1usize..30), 1..40);
    let block = (runs, 0u8..4, 1usize..400).prop_map(|(runs, how, rows)| {
        let values = runs.into_iter().flat_map(|(value, times)| std::iter::repeat_n(value, times)).cycle().take(rows);
        match how {
            0 => values.map(|value| value.or(Some(7))).collect(),
            1 => vec![None; rows],
            _ => values.collect(),
        }
    });
    prop::collection::vec(block, 1..6)
}

/// Texts as blocks in memory may have them.
fn numbered(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Utf8 => cast(array, &DataType::Dictionary(DataType::UInt16.into(), DataType::Utf8.into())).unwrap(),
        _ => array.clone(),
    }
}

fn write(schema: &Arc<Schema>, plans: &[Plan], blocks: &[RecordBatch], group_rows_max: usize) -> Bytes {
    let mut writer = RowsWriter::new(schema, plans, group_rows_max).unwrap();
    for (i, block) in blocks.iter().enumerate() {
        let columns: Vec<_> =
            block.columns().iter().map(|array| if i % 2 == 1 { numbered(array) } else { array.clone() }).collect();
        writer.add_block(&columns).unwrap();
        for (column, array) in block.columns().iter().enumerate() {
            let Some(numbers) = writer.numbers(column) else { continue };
            assert_eq!(numbers.numbers.len(), array.len() - array.null_count());
            assert!(numbers.numbers.iter().all(|number| (*number as usize) < numbers.dictionary.len()));
        }
    }
    writer.finish().unwrap().0.into()
}

fn batches(blocks: &[Vec<Option<u64>>], nullable: bool) -> (Arc<Schema>, Vec<RecordBatch>) {
    let types = arrays(&[]);
    let field = |(i, array): (usize, &ArrayRef)| Field::new(format!("c{i}"), array.data_type().clone(), nullable);
    let schema = Arc::new(Schema::new(types.iter().enumerate().map(field).collect::<Vec<_>>()));
    let batch = |values: &Vec<Option<u64>>| {
        let filled: Vec<_> = values.iter().map(|value| if nullable { *value } else { value.or(Some(0)) }).collect();
        RecordBatch::try_new(Arc::clone(&schema), arrays(&filled)).unwrap()
    };
    let batches = blocks.iter().map(batch).collect();
    (schema, batches)
}

fn read(bytes: &Bytes) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap();
    reader.with_batch_size(1 << 20).build().unwrap().map(Result::unwrap).collect()
}

proptest! {
    #[test]
    fn rows_come_back(
        blocks in blocks(),
        plans in prop::collection::vec(plan(), 7),
        nullable in any::<bool>(),
        group_rows_max in 1usize..1000,
    ) {
        let (schema, batches) = batches(&blocks, nullable);
        let bytes = write(&schema, &plans, &batches, group_rows_max);
        let want = concat_batches(&schema, &batches).unwrap();
        let got = concat_batches(&schema, &read(&bytes)).unwrap();
        // Not a number is not equal to itself; its bits are.
        prop_assert_eq!(format!("{want:?}"), format!("{got:?}"));
        for (a, b) in want.columns().iter().zip(got.columns()) {
            prop_assert!(a == b || a.data_type() == &DataType::Float64);
        }
        let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
        prop_assert!(reader.parse_and_finish(&bytes).is_ok());
    }
}

#[test]
fn a_dictionary_that_grows_too_large_serves_the_blocks_before() {
    let long = |i: usize| format!("{i:0>1000}");
    let block = |from: usize, step: usize| {
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..1500).map(|i| long(from + i * step))));
        RecordBatch::try_from_iter([("c", texts)]).unwrap()
    };
    let blocks = [block(0, 1), block(0, 0), block(5000, 1), block(0, 0)];
    for ordered in [false, true] {
        let plan =
            Plan { dictionary: true, ordered, plain: Plain::Bytes, compressed: true, alike: true, bounds: false };
        let bytes = write(&blocks[0].schema(), &[plan], &blocks, 1 << 20);
        let all = concat_batches(&blocks[0].schema(), &blocks).unwrap();
        assert_eq!(concat_batches(&all.schema(), &read(&bytes)).unwrap(), all);
        let metadata = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
        let metadata = metadata.parse_and_finish(&bytes).unwrap();
        let places = metadata.offset_index().unwrap()[0][0].page_locations();
        let rows: Vec<i64> = places.iter().map(|place| place.first_row_index).collect();
        assert!(rows.len() > 4 && [0, 1500, 3000, 4500].iter().all(|row| rows.contains(row)), "{rows:?}");
        let columns = metadata.row_group(0).column(0);
        assert!(columns.dictionary_page_offset().is_some() && columns.compressed_size() < 200_000);
        // The next row group begins anew.
        let bytes = write(&blocks[0].schema(), &[plan], &blocks, 4000);
        assert_eq!(concat_batches(&all.schema(), &read(&bytes)).unwrap(), all);
    }
}

#[test]
fn bounds_are_the_least_and_the_greatest_value() {
    let columns: [(&str, ArrayRef); 3] = [
        ("i", Arc::new(Int64Array::from(vec![Some(-3), None, Some(9)]))),
        ("u", Arc::new(UInt64Array::from(vec![u64::MAX, 1, 2]))),
        ("f", Arc::new(Float64Array::from(vec![0.0, -0.0, -2.5]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let plan = Plan {
        dictionary: false,
        ordered: false,
        plain: Plain::Streams,
        compressed: false,
        alike: false,
        bounds: true,
    };
    let bytes = write(&batch.schema(), &[plan; 3], std::slice::from_ref(&batch), 10);
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&bytes).unwrap();
    let found: Vec<_> = metadata.row_group(0).columns().iter().map(|column| column.statistics().cloned()).collect();
    let integers =
        |least, greatest, nulls| Some(Statistics::int64(Some(least), Some(greatest), None, Some(nulls), false));
    assert_eq!(found[0], integers(-3, 9, 1));
    assert_eq!(found[1], integers(1, -1, 0));
    assert_eq!(found[2], Some(Statistics::double(Some(-2.5), Some(0.0), None, Some(0), false)));
}

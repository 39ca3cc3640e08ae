//! Whatever the skeletons are, they come back.

use arrow::array::{Int64Array, StringArray};
use proptest::prelude::*;

use super::*;

const SHAPE: usize = FIELD_COLUMNS_AT + 4;

fn keys() -> Vec<ColumnKey> {
    let key = |(name, kind): (&str, Kind)| ColumnKey { field: name.into(), kind };
    [("a", Kind::Str), ("b", Kind::Int), ("message", Kind::Str)].map(key).to_vec()
}

/// Rows that have a value in `a`, in `b` and in `message`, and a skeleton.
fn batch(rows: &[(bool, bool, bool, Option<u32>)]) -> (Layout, RecordBatch) {
    let layout = Layout::new(keys());
    let text = |there: bool| there.then_some("x");
    let arrays: Vec<ArrayRef> = vec![
        Arc::new((0..rows.len() as i64).map(Some).collect::<Int64Array>()),
        Arc::new((0..rows.len() as u64).map(Some).collect::<arrow::array::UInt64Array>()),
        Arc::new(rows.iter().map(|row| text(row.0)).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.1.then_some(7)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| text(row.2)).collect::<StringArray>()),
        Arc::new(StringArray::new_null(rows.len())),
        Arc::new(rows.iter().map(|row| row.3).collect::<UInt32Array>()),
        Arc::new(arrow::array::BinaryArray::new_null(rows.len())),
    ];
    let batch = layout.batch(arrays).expect("a batch");
    (layout, batch)
}

fn learned(rows: &[(bool, bool, bool, Option<u32>)]) -> Option<Foretold> {
    let (layout, batch) = batch(rows);
    assert_eq!(layout.shape(), SHAPE);
    Foretold::learn(&layout, &batch)
}

#[test]
fn what_decides_is_learned_and_nothing_else() {
    let rows: Vec<_> = (0..100).map(|i| (i % 2 == 0, i % 3 == 0, i % 5 == 0, Some(3 + i % 2))).collect();
    let by_a = learned(&rows).expect("a table");
    assert_eq!(by_a, Foretold { columns: vec![FIELD_COLUMNS_AT], numbers: vec![4, 3] });
    let (_, batch) = batch(&rows);
    let stored = by_a.take_out(batch.column(SHAPE), |place| batch.columns().get(place)).expect("numbers");
    assert_eq!(stored.null_count(), 100);
    let by_none: Vec<_> = rows.iter().map(|row| (row.0, row.1, row.2, Some(9))).collect();
    assert_eq!(learned(&by_none), Some(Foretold { columns: vec![], numbers: vec![9] }));
    // A message may be in other columns, and which rows have none there is not to be known.
    let by_message: Vec<_> = rows.iter().map(|row| (row.0, row.1, row.2, Some(u32::from(row.2)))).collect();
    assert_eq!(learned(&by_message), None);
    let by_chance: Vec<_> = rows.iter().zip(0u32..).map(|(row, i)| (row.0, row.1, row.2, Some(i * i % 7))).collect();
    assert_eq!(learned(&by_chance), None);
}

#[test]
fn a_forged_table_is_not_taken() {
    let table = |columns: Vec<usize>, numbers: usize| Foretold { columns, numbers: vec![0; numbers] };
    let at = FIELD_COLUMNS_AT;
    for (table, fits) in [
        (table(vec![], 1), true),
        (table(vec![at, at + 1], 4), true),
        (table(vec![at, at], 4), true),
        (table(vec![], 0), false),
        (table(vec![at], 1), false),
        (table(vec![at], 3), false),
        (table(vec![0], 2), false),
        (table(vec![at + 2], 2), false),
        (table(vec![at + 3], 2), false),
        (table(vec![usize::MAX], 2), false),
        (table(vec![at; 9], 512), false),
        (table(vec![at; 70], 64), false),
    ] {
        assert_eq!(table.fits(&keys()), fits, "{table:?}");
    }
}

proptest! {
    #[test]
    fn skeletons_come_back(
        sample in prop::collection::vec(any::<(bool, bool, bool, bool)>(), 1..40),
        odd in prop::collection::vec((any::<(bool, bool, bool)>(), prop::option::of(0u32..5)), 0..40),
    ) {
        let number = |a: bool, b: bool, none: bool| (!none || a).then_some(u32::from(a) * 2 + u32::from(b));
        let sample: Vec<_> = sample.into_iter().map(|(a, b, c, none)| (a, b, c, number(a, b, none && c))).collect();
        if let Some(foretold) = learned(&sample) {
            prop_assert!(foretold.fits(&keys()));
            let odd = odd.into_iter().map(|((a, b, c), shape)| (a, b, c, shape));
            let (_, batch) = batch(&sample.into_iter().chain(odd).collect::<Vec<_>>());
            let find = |place: usize| batch.columns().get(place);
            let stored = foretold.take_out(batch.column(SHAPE), find).expect("numbers");
            let back = foretold.put_in(&stored, find).expect("numbers");
            prop_assert_eq!(&back, batch.column(SHAPE));
            let shorter = batch.slice(0, batch.num_rows() - 1);
            let damaged = foretold.put_in(&stored, |place| shorter.columns().get(place));
            prop_assert_eq!(damaged.is_none(), !foretold.columns.is_empty());
        }
    }
}

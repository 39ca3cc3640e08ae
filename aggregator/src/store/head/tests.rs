//! The head under many small appends, and merging.

use proptest::prelude::*;

use super::*;
use crate::store::fixture::{self, row};

#[test]
fn thousands_of_single_rows_become_few_blocks() {
    let rows: Vec<_> = (0..3000u64).map(|i| row(i as i64 / 7, i, &format!("status={} \"line {i}\"", i % 5))).collect();
    let mut head = Head::default();
    for block in fixture::blocks(&rows, 1) {
        head.append(block).expect("append");
    }
    assert!(head.blocks().len() <= 14, "{} blocks", head.blocks().len());
    assert_eq!(head.rows(), 3000);
    fixture::check(&head.snapshot("head"), &rows);
}

#[test]
fn merging_blocks_with_too_many_columns_keeps_every_line() {
    let rows: Vec<_> = (0..1500u64).map(|i| row(i as i64, i, &format!("f{i}={i} \"x\" a=1"))).collect();
    let mut head = Head::default();
    for block in fixture::blocks(&rows, 700) {
        head.append(block).expect("append");
    }
    let merged = Merge::new(head.blocks()).expect("merge").blocks().expect("blocks");
    assert_eq!(merged.len(), 1);
    assert!(merged[0].has_extra());
    assert!(merged[0].layout().keys().len() <= super::super::column::COLUMNS_MAX + 1);
    assert_eq!(merged[0].fields()["f1499"].rows, 1);
    let segment = HeadSegment::new("merged", merged.into_iter().map(Arc::new).collect());
    fixture::check(&segment, &rows);
}

#[test]
fn more_formats_than_the_table_holds_cost_space_and_no_line() {
    let rows: Vec<_> = (0..6000u64).map(|i| row(i as i64, i, &format!("literal{i} a={i}"))).collect();
    let mut head = Head::default();
    for block in fixture::blocks(&rows, 3000) {
        head.append(block).expect("append");
    }
    let merged = Merge::new(head.blocks()).expect("merge").blocks().expect("blocks");
    fixture::check(&HeadSegment::new("merged", merged.into_iter().map(Arc::new).collect()), &rows);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_head_keeps_the_contract(rows in fixture::any_rows(60), block_rows in 1usize..9) {
        let mut head = Head::default();
        for block in fixture::blocks(&rows, block_rows) {
            head.append(block).expect("append");
        }
        fixture::check(&head.snapshot("head"), &rows);
    }
}

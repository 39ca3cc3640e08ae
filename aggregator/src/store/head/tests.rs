//! The head under many small appends, and merging.

use proptest::prelude::*;

use super::*;
use crate::store::block::texts::numbered;
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

/// Ids that never come again are held plainly, names as numbers; one block lacks the column.
#[test]
fn blocks_that_hold_a_column_differently_are_merged() {
    let line = |i: u64| match i / 900 {
        0 => format!("user=u{i} status={}", i % 5),
        1 => format!("user=name{} status=ok", i % 9),
        2 => format!("status={i}"),
        _ => format!("user=name{}", i % 200),
    };
    for step in [1, 1583] {
        let rows: Vec<_> = (0..3600u64).map(|i| row((i * step % 3600) as i64, i, &line(i))).collect();
        let blocks: Vec<_> = fixture::blocks(&rows, 900).into_iter().map(Arc::new).collect();
        let held = |block: &Arc<Block>| {
            let place = block.layout().columns_of("user").next()?.0;
            Some(numbered(block.batch().column(place)).is_some())
        };
        assert_eq!(blocks.iter().map(held).collect::<Vec<_>>(), [Some(false), Some(true), None, Some(true)]);
        for some in [&blocks[..], &blocks[1..], &blocks[..2]] {
            let merged = Merge::new(some).expect("merge").blocks().expect("blocks");
            let want: Vec<_> = rows[3600 - some.len() * 900..].to_vec();
            let want = if some.len() == 2 { &rows[..1800] } else { &want[..] };
            fixture::check(&HeadSegment::new("merged", merged.into_iter().map(Arc::new).collect()), want);
        }
        let mut head = Head::default();
        blocks.into_iter().for_each(|block| head.append(block).expect("append"));
        let memory: usize = head.blocks().iter().map(|block| block.memory_bytes()).sum();
        assert_eq!(head.memory_bytes(), memory as u64);
        fixture::check(&head.snapshot("head"), &rows);
    }
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

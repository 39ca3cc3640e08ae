//! Many counts at once, against each by itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use logweir_proto::query::ast::{Filter, Query};
use logweir_proto::query::parse::parse;
use proptest::prelude::*;
use serde_json::json;

use super::model::{any_filter, any_row, segments};
use crate::search::execute::Request;
use crate::search::testing::{MemorySegment, NOW_NS, TestRow, ask, request};
use crate::search::together;
use crate::store::segment::Segment;

/// What rules ask, and three queries that no walk can be shared with.
const PIPES: [&str; 7] = [
    "stats count as v by bin(time, 5s), service",
    "stats count as v",
    "stats count as v by level, mixed",
    "stats count as v by bin(time, 60s)",
    "stats dc(service) as v by level",
    "where level:error | stats count as v | eval w=v+1",
    "sort -time | head 3",
];

fn shown(rows: &[logweir_proto::api::Row]) -> String {
    serde_json::to_string(rows).expect("JSON")
}

fn alone(query: &Query, request: &Request<'_>, segments: &[Arc<dyn Segment>]) -> String {
    let rows: Vec<_> = ask(query, request, segments).rows.into_iter().map(|(_, row)| row).collect();
    shown(&rows)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]
    #[test]
    fn counts_at_once_are_the_counts_of_each(
        rows in prop::collection::vec(any_row(), 1..60),
        filters in prop::collection::vec((any_filter(), 0..PIPES.len()), 1..8),
        twice in any::<bool>(),
        ago in 0i64..20,
        block_rows in 1usize..20,
        overflow in prop::sample::select(vec![&[][..], &["mixed"][..]]),
    ) {
        let segments = segments(&rows, block_rows, overflow);
        let mut queries: Vec<Query> = filters.into_iter().map(|(filter, pipes)| {
            Query { filter, ..parse(&format!("* | {}", PIPES[pipes])).expect("a query") }
        }).collect();
        if twice {
            // The parts of filters that occur several times are looked at once.
            let both: Vec<Query> = queries.iter().zip(queries.iter().skip(1)).map(|(a, b)| {
                Query { filter: Filter::And(vec![a.filter.clone(), b.filter.clone()]), ..a.clone() }
            }).collect();
            queries.extend(both);
        }
        let request = Request { from_ns: Some(NOW_NS - ago * 1_000_000_000), to_ns: Some(NOW_NS), ..request(1000) };
        let answers = together::run(&queries, &request, &segments);
        prop_assert_eq!(answers.len(), queries.len());
        for (query, answer) in queries.iter().zip(answers) {
            let (rows, outcome) = answer.expect("an answer");
            prop_assert!(outcome.is_complete());
            prop_assert_eq!(shown(&rows), alone(query, &request, &segments), "{:?}", query);
        }
    }
}

/// Two blocks of ten seconds each.
fn ten_lines() -> (Arc<MemorySegment>, Vec<Arc<dyn Segment>>) {
    let service = |i: i64| if i % 2 == 0 { "api" } else { "db" };
    let row = |i: i64| TestRow::new(i, i as u64, json!({"service": service(i), "message": format!("n {i}"), "n": i}));
    let segment = Arc::new(MemorySegment::new("s", (0..20).map(row).collect(), 10, &[]));
    (Arc::clone(&segment), vec![segment as Arc<dyn Segment>])
}

fn queries(texts: &[&str]) -> Vec<Query> {
    texts.iter().map(|text| parse(text).expect("a query")).collect()
}

#[test]
fn a_block_is_read_once_for_all() {
    let (segment, segments) = ten_lines();
    let own = |n: usize| format!("service:api AND n>={n} | stats count as v by bin(time, 1s), service");
    let texts: Vec<String> = (0..50).map(own).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let request = Request { from_ns: Some(i64::MIN), ..request(100) };
    let reads = |texts: &[&str]| {
        let before = segment.reads.load(Ordering::Relaxed);
        together::run(&queries(texts), &request, &segments);
        segment.reads.load(Ordering::Relaxed) - before
    };
    assert_eq!(reads(&texts[..1]), reads(&texts), "fifty rules read as much as one");
}

#[test]
fn what_cannot_be_read_is_missing_for_all() {
    let (segment, segments) = ten_lines();
    segment.broken.lock().expect("no panic").insert(0);
    let request = Request { from_ns: Some(i64::MIN), ..request(100) };
    let asked = queries(&["service:api | stats count as v by bin(time, 1s)", "n>=3 | stats count as v by service"]);
    for answer in together::run(&asked, &request, &segments) {
        let (_, outcome) = answer.expect("an answer");
        assert!(!outcome.is_complete());
        assert_eq!(outcome.missing.len(), 1);
    }
}

#[test]
fn one_with_too_many_groups_does_not_take_the_others_along() {
    let (_, segments) = ten_lines();
    let request = Request { from_ns: Some(i64::MIN), memory_bytes: 2_000, ..request(100) };
    let asked = queries(&["n>=0 | stats count as v by n, message, time", "n>=0 | stats count as v by service"]);
    let answers = together::run(&asked, &request, &segments);
    assert!(answers[0].is_err(), "{:?}", answers[0]);
    assert_eq!(answers[1].as_ref().expect("an answer").0.len(), 2);
}

//! Random rows and random filters, against an evaluator that looks at one JSON row at a time.

use std::sync::Arc;

use logweir_proto::query::ast::{Bound, CmpOp, Filter, Literal, Pattern, Test};
use proptest::prelude::*;
use serde_json::Value as Json;

use super::naive::{self, Val};
use crate::search::testing::{MemorySegment, NOW_NS, TestRow, ask, literal, name, query, request};
use crate::store::segment::Segment;

const FIELDS: [&str; 8] = ["level", "service", "message", "exception.stack", "status", "duration_ms", "path", "mixed"];
const WORDS: [&str; 8] = ["timeout", "Connection", "reset", "ÜBER", "500", "a-b", "x_1", ""];

fn any_text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&WORDS[..]), 0..4).prop_map(|words| words.join(" "))
}

fn any_value(field: &'static str) -> BoxedStrategy<Json> {
    match field {
        "level" => prop::sample::select(vec!["trace", "info", "warn", "error"]).prop_map(Json::from).boxed(),
        "service" => prop::sample::select(vec!["api", "api-b", "API", "db"]).prop_map(Json::from).boxed(),
        "message" | "exception.stack" => any_text().prop_map(Json::from).boxed(),
        "path" => prop::sample::select(vec!["/users/500", "/pay", "/Users"]).prop_map(Json::from).boxed(),
        _ => prop_oneof![
            (-3i64..4).prop_map(Json::from),
            prop::sample::select(vec![500i64, 502, i64::MAX]).prop_map(Json::from),
            prop::sample::select(vec![0.5, -1.0, 499.5, 1e300]).prop_map(Json::from),
            prop::sample::select(vec!["500", "0.5", "x_1", "", "true", "timeout reset"]).prop_map(Json::from),
            any::<bool>().prop_map(Json::from),
        ]
        .boxed(),
    }
}

pub(super) fn any_row() -> impl Strategy<Value = Json> {
    let fields: Vec<_> = FIELDS.iter().map(|field| prop::option::of(any_value(field))).collect();
    fields.prop_map(|values| {
        let present = FIELDS.iter().zip(values).filter_map(|(field, value)| Some(((*field).to_owned(), value?)));
        Json::Object(present.collect())
    })
}

fn any_literal() -> impl Strategy<Value = Literal> {
    let texts = vec![
        "500",
        "0.5",
        "-1",
        "2",
        "1e2",
        "x_1",
        "api",
        "warn",
        "error",
        "timeout",
        "reset",
        "true",
        "/users",
        "über",
        "",
        "9223372036854775807",
    ];
    (prop::sample::select(texts), any::<bool>()).prop_map(|(text, quoted)| Literal { quoted, ..literal(text) })
}

fn any_bound() -> impl Strategy<Value = Bound> {
    prop_oneof![Just(Bound::Open), any_literal().prop_map(Bound::Inclusive), any_literal().prop_map(Bound::Exclusive),]
}

fn any_test() -> impl Strategy<Value = Test> {
    prop_oneof![
        4 => any_literal().prop_map(Test::Match),
        3 => any_literal().prop_map(Test::Exact),
        2 => (prop::sample::select(vec![CmpOp::Lt, CmpOp::Le, CmpOp::Gt, CmpOp::Ge]), any_literal())
            .prop_map(|(op, literal)| Test::Cmp(op, literal)),
        1 => Just(Test::Exists),
        2 => (any_bound(), any_bound()).prop_map(|(low, high)| Test::Range { low, high }),
        1 => prop::collection::vec(any_literal(), 1..4).prop_map(Test::AnyOf),
        1 => prop::sample::select(vec!["5*", "*s*", "ap?", "t*e"]).prop_map(|glob| Test::Glob(glob.to_owned())),
        1 => prop::sample::select(vec!["^a", "0+$", "e.e"]).prop_map(|regex| Test::Regex(regex.to_owned())),
        1 => Just(Test::StatusClass(5)),
    ]
}

pub(super) fn any_filter() -> impl Strategy<Value = Filter> {
    let text = prop_oneof![
        any_text().prop_filter("a phrase has words", |text| !text.trim().is_empty()).prop_map(Pattern::Phrase),
        prop::sample::select(vec!["time*", "*ESE*", "r?set", "x_*", "a-*", "üb*"])
            .prop_map(|glob| Pattern::Glob(glob.to_owned())),
        prop::sample::select(vec!["res?et", "^T", "(?i)OUT"]).prop_map(|regex| Pattern::Regex(regex.to_owned())),
    ];
    let leaf = prop_oneof![
        1 => Just(Filter::All),
        4 => text.prop_map(Filter::Text),
        8 => (prop::sample::select(&FIELDS[..]), any_test())
            .prop_map(|(field, test)| Filter::Field { field: name(field), test }),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Filter::Or),
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}

/// Whether the naive reader lets a row of JSON pass.
fn passes(filter: &Filter, row: &Json) -> bool {
    let fields = row.as_object().expect("a row is an object").iter();
    let fields = fields.filter_map(|(name, value)| Some((name.clone(), Val::of_json(value)?)));
    naive::filter::passes(filter, &fields.collect(), &mut |_| unreachable!("not generated"), NOW_NS)
}

pub(super) fn segments(rows: &[Json], block_rows: usize, overflow: &[&str]) -> Vec<Arc<dyn Segment>> {
    let mut parts = vec![Vec::new(), Vec::new()];
    for (i, row) in rows.iter().enumerate() {
        // Times repeat and the segments overlap.
        parts[i % 2].push(TestRow::new((i as i64 * 5) % 17, i as u64, row.clone()));
    }
    let segment = |rows| Arc::new(MemorySegment::new("s", rows, block_rows, overflow)) as Arc<dyn Segment>;
    parts.into_iter().map(segment).collect()
}

proptest! {
    #[test]
    fn the_engine_finds_what_a_naive_reader_finds(
        rows in prop::collection::vec(any_row(), 1..40),
        filter in any_filter(),
        block_rows in 1usize..20,
        overflow in prop::sample::select(vec![&[][..], &["mixed"][..]]),
    ) {
        let mut want: Vec<u64> = (0..rows.len()).filter(|i| passes(&filter, &rows[*i])).map(|i| i as u64).collect();
        let answer = ask(&query(filter, Vec::new()), &request(1000), &segments(&rows, block_rows, overflow));
        let mut got: Vec<u64> = answer.ids().iter().map(|id| id.seq).collect();
        let mut order = answer.ids();
        order.reverse();
        prop_assert!(order.is_sorted());
        want.sort();
        got.sort();
        prop_assert_eq!(got, want);
    }
}

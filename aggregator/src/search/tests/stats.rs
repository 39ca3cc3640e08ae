//! Random rows through `stats`, against sums made by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use logweir_proto::query::parse::parse;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::search::testing::{MemorySegment, TestRow, ask, request};
use crate::store::segment::Segment;

fn any_row() -> impl Strategy<Value = Json> {
    let key = prop::option::of(prop_oneof![
        prop::sample::select(vec!["a", "b", "7", "true"]).prop_map(Json::from),
        (6i64..9).prop_map(Json::from),
        any::<bool>().prop_map(Json::from),
    ]);
    let number = prop::option::of(prop_oneof![
        (-50i64..50).prop_map(Json::from),
        (-50i64..50).prop_map(|n| Json::from(n as f64 / 4.0)),
        (-50i64..50).prop_map(|n| Json::from(n.to_string())),
        Just(Json::from("word")),
    ]);
    (key, prop::sample::select(vec!["info", "error"]), number).prop_map(|(key, level, number)| {
        let mut row = json!({"level": level});
        if let Some(key) = key {
            row["key"] = key;
        }
        if let Some(number) = number {
            row["n"] = number;
        }
        row
    })
}

fn number(value: &Json) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

fn shown(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[derive(Default)]
struct Group {
    count: u64,
    errors: u64,
    numbers: Vec<f64>,
    distinct: BTreeSet<String>,
    last: Option<(u64, String)>,
}

proptest! {
    #[test]
    fn stats_are_what_a_hand_would_count(
        rows in prop::collection::vec(any_row(), 1..60),
        block_rows in 1usize..20,
        overflow in prop::sample::select(vec![&[][..], &["n"][..], &["key"][..]]),
    ) {
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        for (i, row) in rows.iter().enumerate() {
            let group = groups.entry(shown(&row["key"])).or_default();
            group.count += 1;
            group.errors += u64::from(row["level"] == "error");
            group.numbers.extend(number(&row["n"]));
            if !row["n"].is_null() {
                group.distinct.insert(shown(&row["n"]));
                group.last = Some((i as u64, shown(&row["n"])));
            }
        }
        let mut parts = vec![Vec::new(), Vec::new()];
        let total = rows.len() as i64;
        for (i, row) in rows.iter().enumerate() {
            parts[i % 2].push(TestRow::new(total - i as i64, i as u64, row.clone()));
        }
        let segments: Vec<Arc<dyn Segment>> =
            parts.into_iter().map(|rows| Arc::new(MemorySegment::new("s", rows, block_rows, overflow)) as _).collect();
        let query = parse(
            "* | stats count, count(level:error) as errors, sum(n) as sum, avg(n) as avg, p50(n) as median, \
             dc(n) as distinct, last(n) as last, stddev(n) as stddev by key",
        ).expect("a query");
        let answer = ask(&query, &request(100), &segments);
        prop_assert_eq!(answer.rows.len(), groups.len());
        for (_, row) in &answer.rows {
            let mut group = groups.remove(&shown(&row["key"])).expect("a group that is there");
            prop_assert_eq!(row["count"].as_u64(), Some(group.count));
            prop_assert_eq!(row["errors"].as_u64(), Some(group.errors));
            prop_assert_eq!(row["distinct"].as_u64(), Some(group.distinct.len() as u64));
            let last = group.last.map(|(_, last)| last);
            prop_assert_eq!((!row["last"].is_null()).then(|| shown(&row["last"])), last);
            let n = group.numbers.len() as f64;
            let sum: f64 = group.numbers.iter().sum();
            group.numbers.sort_by(f64::total_cmp);
            let near = |value: &Json, want: f64| value.as_f64().is_some_and(|value| (value - want).abs() < 1e-6);
            if group.numbers.is_empty() {
                prop_assert!(row["sum"].is_null() && row["avg"].is_null() && row["median"].is_null());
            } else {
                prop_assert!(near(&row["sum"], sum) && near(&row["avg"], sum / n), "{row:?}");
                let middle = group.numbers[group.numbers.len().div_ceil(2) - 1];
                prop_assert!(near(&row["median"], middle), "{row:?} {middle}");
            }
            if group.numbers.len() > 1 {
                let mean = sum / n;
                let squares: f64 = group.numbers.iter().map(|x| (x - mean).powi(2)).sum();
                prop_assert!(near(&row["stddev"], (squares / (n - 1.0)).sqrt()), "{row:?}");
            }
        }
        // What is counted from the segments' own counts is what is counted from rows.
        let counted = ask(&parse("* | count by level").expect("a query"), &request(100), &segments);
        let scanned = ask(&parse("* | stats count, dc(missing) as no by level | fields level, count").expect("a query"), &request(100), &segments);
        prop_assert_eq!(counted.text(), scanned.text());
    }
}

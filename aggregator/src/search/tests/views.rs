//! Histogram, live tail, context and field lists over the rows of the parent module.

use std::sync::Arc;

use expect_test::expect;
use logweir_proto::query::parse::parse;
use logweir_proto::record::EventId;

use super::{many, segments};
use crate::search::context::{Around, context, event};
use crate::search::execute::{Request, explain};
use crate::search::facets::{Shown, facets};
use crate::search::fields::{estimate, list};
use crate::search::filter::refuse;
use crate::search::hits::hits;
use crate::search::live::Matcher;
use crate::search::scan::TimeRange;
use crate::search::testing::{MemorySegment, NOW_NS, TestRow, request};
use crate::store::segment::Segment;

fn last_minute() -> Request<'static> {
    Request { from_ns: Some(NOW_NS - 60_000_000_000), to_ns: Some(NOW_NS), ..request(100) }
}

#[test]
fn hits_are_counted_by_time_and_level() {
    let answer = hits(&parse("*").expect("a query"), &last_minute(), 6, "level", None, &segments()).expect("an answer");
    assert_eq!((answer.total, answer.width_ms, answer.complete), (5, 10_000, true));
    let shown: Vec<String> = answer.series.iter().map(|(level, counts)| format!("{level} {counts:?}")).collect();
    expect![[r#"
        debug [0, 0, 0, 0, 0, 1]
        error [0, 0, 1, 0, 0, 0]
        fatal [0, 0, 1, 0, 0, 0]
        info [0, 1, 0, 0, 0, 0]
        warn [0, 0, 0, 1, 0, 0]"#]]
    .assert_eq(&shown.join("\n"));
    assert_eq!(
        (answer.from.as_str(), answer.to.as_str()),
        ("2026-11-20T11:59:00.000000000Z", "2026-11-20T12:00:00.000000000Z")
    );
    let by_none =
        hits(&parse("status:*").expect("a query"), &last_minute(), 1, "nothing", None, &segments()).expect("an answer");
    assert_eq!(by_none.series.into_iter().collect::<Vec<_>>(), [(String::new(), vec![3])]);
}

#[test]
fn hits_are_the_same_whether_blocks_are_read_or_counted() {
    let count =
        |text: &str| hits(&parse(text).expect("a query"), &request(1), 10, "odd", None, &many()).expect("an answer");
    let (all, message) = (count("*"), count("message:row"));
    assert_eq!(all, message);
    assert_eq!(all.total, 300);
}

/// A histogram or a list of values that counts other rows than are shown below it would lie.
#[test]
fn pipes_of_one_row_count_for_hits_and_facets() {
    let segments = segments();
    let query =
        parse("* | fields level, message | eval long=len(message) | where long>0 | where level>=warn | stats count")
            .expect("a query");
    let answer = hits(&query, &last_minute(), 6, "level", None, &segments).expect("an answer");
    let levels: Vec<&str> = answer.series.keys().map(String::as_str).collect();
    assert_eq!((answer.total, levels), (3, vec!["error", "fatal", "warn"]));
    let by_made = hits(&query, &last_minute(), 6, "long", None, &segments).expect("an answer");
    assert_eq!((by_made.total, by_made.warnings), (3, Vec::new()));
    let shown = Shown { limit: 10, prefix: "" };
    let fields = ["level".to_owned(), "long".to_owned()];
    let answer = facets(&query, &last_minute(), Some(&fields), shown, &segments).expect("an answer");
    let counts: Vec<(&str, u64)> = answer.facets.iter().map(|facet| (facet.field.as_str(), facet.rows)).collect();
    assert_eq!((answer.rows, counts, answer.warnings), (3, vec![("level", 3), ("long", 3)], Vec::new()));
}

#[test]
fn an_explanation_says_what_would_be_read() {
    let query = parse("reset status>=500 | stats count by path | sort -count").expect("a query");
    let explained = explain(&query, &last_minute(), &segments()).expect("an explanation");
    expect![[r#"
        {
          "from": "2026-11-20T11:59:00.000000000Z",
          "to": "2026-11-20T11:59:59.999999999Z",
          "tree": [
            "AND",
            "  reset",
            "  status>=500",
            "| stats count by path",
            "| sort -count"
          ],
          "first": "aggregation",
          "pipes_after": 1,
          "filter_fields": [
            "exception.stack",
            "message",
            "status"
          ],
          "splits": 2,
          "splits_opened": 1,
          "blocks_in_range": 3,
          "blocks_opened": 1,
          "rows_max": 2,
          "bytes_estimate": 80,
          "warnings": []
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&explained).expect("JSON"));
}

#[test]
fn a_query_is_shown_as_a_tree() {
    let of = |text: &str| crate::search::plan::tree(&parse(text).expect("a query")).join("\n");
    expect![[r#"
        AND
          OR
            timeout
            "connection reset"
          service:api
          NOT
            path:/health*
        | head 5"#]]
    .assert_eq(&of(r#"(timeout OR "connection reset") service:api -path:/health* | head 5"#));
    assert_eq!(of(""), "*");
}

#[test]
fn a_live_matcher_shows_fresh_rows() {
    let rows = vec![
        TestRow::new(2, 1, serde_json::json!({"level": "info", "message": "one"})),
        TestRow::new(1, 2, serde_json::json!({"level": "error", "message": "two", "status": 500})),
    ];
    let segment = MemorySegment::new("fresh", rows, 10, &[]);
    let batch = segment.batch(0);
    let query = parse("level>=warn | where status>=500 | fields message, raw").expect("a query");
    let matcher = Matcher::compile(&query, None, NOW_NS, &mut refuse).expect("row by row");
    let picked = matcher.matches(batch);
    assert_eq!(picked, [1]);
    assert!(matcher.wants_raw());
    let raw = segment.raw(0, &picked).expect("lines");
    let rows = matcher.rows(batch, &picked, Some(&raw));
    assert_eq!(rows[0].0.seq, 2);
    expect![[r#"{"message":"two","raw":"{\"level\":\"error\",\"message\":\"two\",\"status\":500}"}"#]]
        .assert_eq(&serde_json::to_string(&rows[0].1).expect("a row"));
    assert!(matcher.rows(batch, &[7], None).is_empty());
    for text in ["* | stats count", "* | sort level", "a:in(b:1 | fields a)"] {
        assert!(Matcher::compile(&parse(text).expect("a query"), None, NOW_NS, &mut refuse).is_err(), "{text}");
    }
}

#[test]
fn an_event_is_found_by_its_id_with_its_neighbours() {
    let segments = many();
    // Row 30 and its neighbours of the same parity, whichever segments they are in.
    let id = EventId { time_ns: NOW_NS - (30 * 7919 % 100) / 2 * 1_000_000_000, seq: 30 };
    let (found, row) = event(id, &request(1), &segments).expect("it is there");
    assert_eq!((found, row["message"].as_str()), (id, Some("row 30")));
    assert_eq!(event(EventId { seq: 31, ..id }, &request(1), &segments), None);
    let by = ["odd".to_owned(), "host".to_owned()];
    let around = Around { id, before: 3, after: 2, by: &by };
    let context = context(&around, &request(1), &segments).expect("an answer").expect("it is there");
    let mut all: Vec<EventId> = (0..300u64)
        .filter(|i| i % 2 == 0)
        .map(|i| EventId { time_ns: NOW_NS - (i as i64 * 7919 % 100) / 2 * 1_000_000_000, seq: i })
        .collect();
    all.sort();
    let at = all.iter().position(|other| *other == id).expect("it is there");
    let ids = |rows: &[(EventId, logweir_proto::api::Row)]| rows.iter().map(|(id, _)| *id).collect::<Vec<_>>();
    assert_eq!(ids(&context.before), all[at - 3..at]);
    assert_eq!(ids(&context.after), all[at + 1..at + 3]);
    assert_eq!(context.event.0, id);
    assert!(context.complete);
}

#[test]
fn values_are_estimated_from_blocks_of_all_places() {
    // The last block has one value of many; the others are small, as they are when lines trickle in.
    let pod = |i: u64| if i < 1980 { format!("p{}", i % 7) } else { "last".to_owned() };
    let rows = (0..2000u64).map(|i| TestRow::new(i as i64, i, serde_json::json!({"pod": pod(i), "n": i})));
    let segments: Vec<Arc<dyn Segment>> = vec![Arc::new(MemorySegment::new("s", rows.collect(), 20, &[]))];
    let mut infos = list(&segments, TimeRange::ALL);
    estimate(&mut infos, &segments, TimeRange::ALL);
    let of = |name: &str| infos.iter().find(|info| info.name == name).and_then(|info| info.distinct);
    assert!(of("pod").is_some_and(|distinct| (7..=9).contains(&distinct)), "{infos:?}");
    assert!(of("n").is_some_and(|distinct| distinct > 1000), "{infos:?}");
}

#[test]
fn fields_are_listed_with_types_and_coverage() {
    let mut infos = list(&segments(), TimeRange::ALL);
    estimate(&mut infos, &segments(), TimeRange::ALL);
    assert!(infos.iter().all(|info| info.distinct.is_some_and(|distinct| distinct <= info.rows)), "{infos:?}");
    let lines: Vec<String> = infos
        .iter()
        .map(|info| format!("{} {} {} {:.0}%", info.name, info.types.join("|"), info.rows, info.coverage))
        .collect();
    expect![[r#"
        level str 5 100%
        service str 5 100%
        message str 5 100%
        path str 2 40%
        status int|str 3 60%
        duration_ms float|int 2 40%
        bytes int 1 20%
        client_ip str 1 20%
        exception.stack str 1 20%
        ok bool 2 40%
        rare int|str 2 40%"#]]
    .assert_eq(&lines.join("\n"));
    assert!(list(&segments(), TimeRange { first_ns: 0, last_ns: 1 }).is_empty());
}

#[test]
fn facets_are_the_most_frequent_values() {
    let answer = facets(&parse("*").expect("a query"), &request(1), None, Shown { limit: 2, prefix: "" }, &segments())
        .expect("an answer");
    assert!(answer.complete && answer.rows == 5);
    let lines: Vec<String> = answer
        .facets
        .iter()
        .map(|facet| {
            let values: Vec<String> =
                facet.values.iter().map(|value| format!("{}×{}", value.value, value.count)).collect();
            format!("{} {}/{}: {}", facet.field, facet.rows, facet.distinct, values.join(" "))
        })
        .collect();
    expect![[r#"
        level 5/5: "debug"×1 "error"×1
        service 5/3: "api"×2 "db"×2
        path 2/2: "/pay/card"×1 "/users"×1
        status 3/3: 200×1 "500"×1
        duration_ms 2/2: 12×1 1500.5×1
        bytes 1/1: 20000000×1
        client_ip 1/1: "10.1.2.3"×1
        ok 2/2: false×1 true×1
        rare 2/2: 7×1 "x1"×1"#]]
    .assert_eq(&lines.join("\n"));
}

//! Pipes over a handful of rows, as a person would type them.

use std::sync::Arc;

use expect_test::{Expect, expect};
use logweir_proto::query::parse::parse;
use serde_json::json;

use crate::search::Error;
use crate::search::execute::{self, Request};
use crate::search::testing::{MemorySegment, NOW_NS, TestRow, ask, request};
use crate::store::segment::Segment;

fn segments() -> Vec<Arc<dyn Segment>> {
    let rows = [
        json!({"level": "info", "status": 200, "path": "/a", "ms": 10, "user": "ann"}),
        json!({"level": "info", "status": 200, "path": "/b", "ms": 20, "user": "bob"}),
        json!({"level": "error", "status": 500, "path": "/a", "ms": 1000.5, "user": "ann"}),
        json!({"level": "error", "status": "500", "path": "/a", "ms": "30", "user": "eve"}),
        json!({"level": "warn", "status": 404, "path": "/c"}),
        json!({"level": "info", "path": "/b", "ms": -5, "user": "bob", "rare": "x"}),
    ];
    let rows: Vec<TestRow> =
        rows.into_iter().enumerate().map(|(i, row)| TestRow::new(60 * (6 - i as i64), i as u64, row)).collect();
    let (old, new) = rows.split_at(4);
    vec![
        Arc::new(MemorySegment::new("old", old.to_vec(), 2, &["rare", "ms"])),
        Arc::new(MemorySegment::new("new", new.to_vec(), 2, &["rare"])),
    ]
}

fn check(text: &str, want: &Expect) {
    let query = parse(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
    let request = Request { from_ns: Some(NOW_NS - 600_000_000_000), to_ns: Some(NOW_NS), ..request(100) };
    let answer = ask(&query, &request, &segments());
    assert!(answer.outcome.is_complete());
    let warnings = answer.outcome.warnings.iter().map(|warning| format!("! {}\n", warning.message));
    let ids = answer.rows.iter().filter(|(id, _)| id.is_some()).count();
    assert_eq!(ids, if answer.events { answer.rows.len() } else { 0 });
    want.assert_eq(&format!("{}\n{}{}", answer.columns.join(" "), answer.text(), warnings.collect::<String>()));
}

#[test]
fn stats_count_what_is_there() {
    check(
        "* | stats count",
        &expect![[r#"
        count
        {"count":6}
    "#]],
    );
    check(
        "* | count by level",
        &expect![[r#"
        level count
        {"level":"info","count":3}
        {"level":"warn","count":1}
        {"level":"error","count":2}
    "#]],
    );
    check(
        "* | count by status",
        &expect![[r#"
        status count
        {"status":200,"count":2}
        {"status":404,"count":1}
        {"status":500,"count":2}
        {"status":null,"count":1}
    "#]],
    );
    check(
        "level>=warn | stats count, dc(user) as users by path",
        &expect![[r#"
        path count users
        {"path":"/a","count":2,"users":2}
        {"path":"/c","count":1,"users":0}
    "#]],
    );
    check(
        "* | stats count(status>=500) as errors, count, sum(ms), avg(ms), min(ms), max(ms), stddev(ms)",
        &expect![[r#"
        errors count sum(ms) avg(ms) min(ms) max(ms) stddev(ms)
        {"errors":2,"count":6,"sum(ms)":1055.5,"avg(ms)":211.1,"min(ms)":-5,"max(ms)":1000.5,"stddev(ms)":441.4774059903859}
    "#]],
    );
    check(
        "* | stats p50(ms), p99(ms), pct(ms, 25) as q1, first(user), last(user), values(path), rate",
        &expect![[r#"
            p50(ms) p99(ms) q1 first(user) last(user) values(path) rate
            {"p50(ms)":20,"p99(ms)":1000.5,"q1":10,"first(user)":"ann","last(user)":"bob","values(path)":["/a","/b","/c"],"rate":0.01}
        "#]],
    );
    check(
        "* | stats count by bin(time, 2m), level",
        &expect![[r#"
        time level count
        {"time":"2026-11-20T11:54:00.000000000Z","level":"info","count":2}
        {"time":"2026-11-20T11:56:00.000000000Z","level":"error","count":2}
        {"time":"2026-11-20T11:58:00.000000000Z","level":"info","count":1}
        {"time":"2026-11-20T11:58:00.000000000Z","level":"warn","count":1}
    "#]],
    );
    check(
        "* | stats count by bin(ms, 25)",
        &expect![[r#"
            ms count
            {"ms":-25,"count":1}
            {"ms":0,"count":2}
            {"ms":25,"count":1}
            {"ms":1000,"count":1}
            {"ms":null,"count":1}
        "#]],
    );
    check(
        "nothing | stats count, avg(ms)",
        &expect![[r#"
        count avg(ms)
        {"count":0,"avg(ms)":null}
    "#]],
    );
    check(
        "nothing | stats count by path",
        &expect![[r#"
        path count
    "#]],
    );
    check(
        "* | stats min(_time), last(_time) as seen",
        &expect![[r#"
        min(_time) seen
        {"min(_time)":"2026-11-20T11:54:00.000000000Z","seen":"2026-11-20T11:59:00.000000000Z"}
    "#]],
    );
}

#[test]
fn pipes_follow_each_other() {
    check(
        "* | stats count by path | sort -count, path | head 2",
        &expect![[r#"
        path count
        {"path":"/a","count":3}
        {"path":"/b","count":2}
    "#]],
    );
    check(
        "* | stats count as n by path | where n>1 path:/a | fields n",
        &expect![[r#"
        n
        {"n":3}
    "#]],
    );
    check(
        "* | stats count by path | stats sum(count) as total, max(count)",
        &expect![[r#"
        total max(count)
        {"total":6,"max(count)":3}
    "#]],
    );
    check(
        "* | stats last(time) as seen by user | where seen<-3m | fields user",
        &expect![[r#"
        user
        {"user":"ann"}
    "#]],
    );
    check(
        "* | head 2 | stats count by level",
        &expect![[r#"
        level count
        {"level":"info","count":1}
        {"level":"warn","count":1}
    "#]],
    );
    check(
        "* | tail 2 | fields path, ms",
        &expect![[r#"
        path ms
        {"path":"/b","ms":20}
        {"path":"/a","ms":10}
    "#]],
    );
    check(
        "* | sort -ms | head 3 | fields ms, path",
        &expect![[r#"
        ms path
        {"ms":1000.5,"path":"/a"}
        {"ms":"30","path":"/a"}
        {"ms":20,"path":"/b"}
    "#]],
    );
    check(
        "* | sort level, -path | fields level, path | head 4",
        &expect![[r#"
        level path
        {"level":"info","path":"/b"}
        {"level":"info","path":"/b"}
        {"level":"info","path":"/a"}
        {"level":"warn","path":"/c"}
    "#]],
    );
    check(
        "* | head 4 | where level:error | fields status, time",
        &expect![[r#"
            status time
            {"status":"500","time":"2026-11-20T11:57:00.000000000Z"}
            {"status":500,"time":"2026-11-20T11:56:00.000000000Z"}
        "#]],
    );
    check(
        "rare:x | fields - time, level",
        &expect![[r#"
        service message
        {"path":"/b","ms":-5,"user":"bob","rare":"x"}
    "#]],
    );
    check(
        "* | stats count by path | tail 1",
        &expect![[r#"
        path count
        {"path":"/c","count":1}
    "#]],
    );
}

#[test]
fn top_and_timechart() {
    check(
        "* | top 2 path",
        &expect![[r#"
        path count percent
        {"path":"/a","count":3,"percent":50.0}
        {"path":"/b","count":2,"percent":33.33}
    "#]],
    );
    check(
        "* | rare 1 path",
        &expect![[r#"
        path count percent
        {"path":"/c","count":1,"percent":16.67}
    "#]],
    );
    check(
        "* | top 1 path by level",
        &expect![[r#"
        level path count percent
        {"level":"info","path":"/b","count":2,"percent":66.67}
        {"level":"warn","path":"/c","count":1,"percent":100.0}
        {"level":"error","path":"/a","count":2,"percent":100.0}
    "#]],
    );
    check(
        "* | timechart 2m count, max(ms)",
        &expect![[r#"
        time count max(ms)
        {"time":"2026-11-20T11:50:00.000000000Z","count":0,"max(ms)":null}
        {"time":"2026-11-20T11:52:00.000000000Z","count":0,"max(ms)":null}
        {"time":"2026-11-20T11:54:00.000000000Z","count":2,"max(ms)":20}
        {"time":"2026-11-20T11:56:00.000000000Z","count":2,"max(ms)":1000.5}
        {"time":"2026-11-20T11:58:00.000000000Z","count":2,"max(ms)":-5}
    "#]],
    );
    check(
        "* | timechart 5m count by level",
        &expect![[r#"
        time level count
        {"time":"2026-11-20T11:50:00.000000000Z","level":"info","count":1}
        {"time":"2026-11-20T11:55:00.000000000Z","level":"info","count":2}
        {"time":"2026-11-20T11:55:00.000000000Z","level":"warn","count":1}
        {"time":"2026-11-20T11:55:00.000000000Z","level":"error","count":2}
    "#]],
    );
    check(
        "since:5s | timechart count",
        &expect![[r#"
            time count
            {"time":"2026-11-20T11:59:55.000000000Z","count":0}
            {"time":"2026-11-20T11:59:56.000000000Z","count":0}
            {"time":"2026-11-20T11:59:57.000000000Z","count":0}
            {"time":"2026-11-20T11:59:58.000000000Z","count":0}
            {"time":"2026-11-20T11:59:59.000000000Z","count":0}
        "#]],
    );
}

#[test]
fn counts_come_from_what_the_segments_know() {
    let segments: Vec<Arc<dyn Segment>> = {
        let rows = (0..100).map(|i| {
            let level = ["info", "error"][usize::from(i % 5 == 0)];
            let status = if i == 42 { 500 } else { 200 };
            TestRow::new(100 - i, i as u64, json!({"level": level, "message": "x", "status": status}))
        });
        vec![Arc::new(MemorySegment::new("s", rows.collect(), 10, &[]))]
    };
    for (text, blocks_read, want) in [
        ("* | stats count", 0, r#"{"count":100}"#),
        ("level:error | stats count", 0, r#"{"count":20}"#),
        ("level>=warn OR -level:* | count by level", 0, r#"{"level":"error","count":20}"#),
        ("since:95s | stats count", 1, r#"{"count":95}"#),
        ("x | stats count", 10, r#"{"count":100}"#),
        ("x status>=500 | stats count", 1, r#"{"count":1}"#),
    ] {
        let answer = ask(&parse(text).expect("a query"), &request(10), &segments);
        assert_eq!(answer.text().trim(), want, "{text}");
        assert_eq!(answer.outcome.stats.blocks_read, blocks_read, "{text}");
    }
}

#[test]
fn too_many_groups_are_one_group_and_a_warning() {
    let rows = (0..12_000).map(|i| TestRow::new(1, i, json!({"n": i})));
    let segments: Vec<Arc<dyn Segment>> = vec![Arc::new(MemorySegment::new("s", rows.collect(), 4096, &[]))];
    let answer = ask(&parse("* | count by n").expect("a query"), &request(10), &segments);
    assert_eq!(answer.rows.len(), 10_001);
    let (_, last) = answer.rows.last().expect("there are rows");
    assert_eq!(serde_json::to_string(last).expect("a row"), r#"{"n":"__other__","count":2000}"#);
    assert_eq!(answer.outcome.warnings[0].warn, "groups_truncated");
    let answer = ask(&parse("* | stats dc(n)").expect("a query"), &request(10), &segments);
    let distinct = answer.rows[0].1["dc(n)"].as_f64().expect("a number");
    assert!((distinct - 12_000.0).abs() < 12_000.0 * 0.03, "{distinct}");
}

#[test]
fn queries_that_cannot_run_say_why() {
    let fails = |text: &str| -> Error {
        let query = parse(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
        execute::run(&query, &request(10), &segments(), &mut |_| std::ops::ControlFlow::Continue(()))
            .expect_err("cannot run")
    };
    let words =
        ["since:365d | timechart 1s count", "* | stats count by bin(time, 5)"].map(|text| fails(text).to_string());
    expect![[r#"
        [
            "the buckets of a timechart is limited to 10000; narrow the query",
            "\"5\" is no width: write a duration for time (5m) or a positive number",
        ]
    "#]]
    .assert_debug_eq(&words);
}

#[test]
fn an_aggregation_ends_at_its_memory() {
    let rows = "the memory of a query in bytes";
    let groups = "the memory of an aggregation in bytes";
    for (text, what) in [("* | stats count by path", groups), ("* | head 5 | top 3 path", rows)] {
        let query = parse(text).expect("a query");
        let run = |memory_bytes| {
            let request = Request { memory_bytes, ..request(100) };
            execute::run(&query, &request, &segments(), &mut |_| std::ops::ControlFlow::Continue(()))
        };
        assert!(run(1 << 20).is_ok(), "{text}");
        assert!(matches!(run(16), Err(Error::Limit { what: found, limit: 16 }) if found == what), "{text}");
    }
}

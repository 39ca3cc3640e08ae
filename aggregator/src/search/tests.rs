//! The engine against a segment whose index is strict, and against a naive reading of the same rows.

mod days;
mod further;
mod model;
mod naive;
mod pages;
mod pipes;
mod random;
mod received;
mod stages;
mod stats;
mod store;
mod storm;
mod together;
mod views;
mod world;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use logweir_proto::api::{Order, Warning};
use logweir_proto::query::parse::parse;
use logweir_proto::record::EventId;
use serde_json::json;

use super::execute::Request;
use super::plan;
use super::scan::Reason;
use super::testing::{Answer, MemorySegment, NOW_NS, TestRow, ask, request};
use crate::store::segment::Segment;

fn segments() -> Vec<Arc<dyn Segment>> {
    let split = vec![
        TestRow::new(
            50,
            1,
            json!({"level": "info", "service": "api", "message": "GET /users ok", "status": 200, "duration_ms": 12, "path": "/users"}),
        ),
        TestRow::new(
            40,
            2,
            json!({"level": "error", "service": "api", "message": "Connection reset by peer", "status": 502, "duration_ms": 1500.5, "path": "/pay/card"}),
        ),
        TestRow::new(
            30,
            3,
            json!({"level": "warn", "service": "api-gateway", "message": "slow upstream", "status": "500", "ok": false, "rare": "x1"}),
        ),
    ];
    let head = vec![
        TestRow::new(
            35,
            4,
            json!({"level": "fatal", "service": "db", "message": "panic: disk full", "exception.stack": "at main()\n at Foo::bar", "client_ip": "10.1.2.3", "rare": 7}),
        ),
        TestRow::new(
            10,
            5,
            json!({"level": "debug", "service": "db", "message": "checkpoint 10:15:30 done", "ok": true, "bytes": 20_000_000}),
        ),
    ];
    vec![
        Arc::new(MemorySegment::new("split", split, 2, &["rare"])),
        Arc::new(MemorySegment::new("head", head, 8, &["rare"])),
    ]
}

fn search(text: &str) -> Answer {
    let query = parse(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
    ask(&query, &request(100), &segments())
}

fn seqs(text: &str) -> Vec<u64> {
    search(text).ids().iter().map(|id| id.seq).collect()
}

#[test]
fn filters_mean_what_the_language_says() {
    let cases: [(&str, &[u64]); 44] = [
        ("*", &[5, 3, 4, 2, 1]),
        ("reset", &[2]),
        ("\"connection RESET\"", &[2]),
        ("\"reset connection\"", &[]),
        ("10:15:30", &[5]),
        ("Foo::bar", &[4]),
        ("pan*", &[4]),
        ("*neCtio*", &[2]),
        ("~\"disk (full|empty)\"", &[4]),
        ("service:api", &[2, 1]),
        ("service:api*", &[3, 2, 1]),
        ("service:API", &[2, 1]),
        ("service=API", &[]),
        ("service!=api", &[5, 3, 4]),
        ("level>=warn", &[3, 4, 2]),
        ("level:warning", &[3]),
        ("level:(info OR debug)", &[5, 1]),
        ("level:[info TO error]", &[3, 2, 1]),
        ("-level>=warn", &[5, 1]),
        ("status:500", &[3]),
        ("status:\"500\"", &[3]),
        ("status:\"200\"", &[1]),
        ("status:5xx", &[3, 2]),
        ("status>=500", &[3, 2]),
        ("status:{200 TO 502}", &[3]),
        ("status:(200, 500)", &[3, 1]),
        ("status:*", &[3, 2, 1]),
        ("-status:*", &[5, 4]),
        ("duration_ms>1s", &[2]),
        ("duration_ms<=12", &[1]),
        ("bytes>10MB", &[5]),
        ("ok:true", &[5]),
        ("ok=false", &[3]),
        ("client_ip:10.0.0.0/8", &[4]),
        ("path:/pay/*", &[2]),
        ("path:pay", &[2]),
        ("path=~\"^/u\"", &[1]),
        ("rare:x1", &[3]),
        ("rare>5", &[4]),
        ("rare:*", &[3, 4]),
        ("service:in(level>=error | fields service)", &[5, 4, 2, 1]),
        ("message:\"slow upstream\" OR (level:fatal NOT reset)", &[3, 4]),
        ("time>=now-36s", &[5, 3, 4]),
        ("* | where status>=500 | where service:api", &[2]),
    ];
    for (text, want) in cases {
        assert_eq!(seqs(text), want, "{text}");
    }
}

#[test]
fn ranges_limits_and_orders() {
    assert_eq!(seqs("since:36s"), [5, 3, 4]);
    assert_eq!(seqs("since:36s until:30s"), [4]);
    assert_eq!(seqs("* | head 2"), [5, 3]);
    assert_eq!(seqs("* | sort time | head 2"), [1, 2]);
    let recent = |text: &str| {
        let request = Request { from_ns: None, now_ns: NOW_NS + 7200 * 1_000_000_000, ..request(10) };
        ask(&parse(text).expect("a query"), &request, &segments())
    };
    // Two hours later nothing is recent, unless a time is asked for.
    assert_eq!(recent("*").ids(), []);
    assert_eq!(recent("time>=now-7d level:info").ids().len(), 1);
    assert_eq!(recent("time:[2026-11-20T11:59:20Z TO 2026-11-20T11:59:30Z]").ids().len(), 3);
    let early = search("since:2020-01-01 until:2020-01-02");
    assert_eq!(early.outcome.warnings[0].message, "the oldest event is of 2026-11-20T11:59:10.000000000Z");
    let text = search("status:* | head 1 | fields status, raw").text();
    expect_test::expect![[r#"
        {"status":"500","raw":"{\"level\":\"warn\",\"service\":\"api-gateway\",\"message\":\"slow upstream\",\"status\":\"500\",\"ok\":false,\"rare\":\"x1\"}"}
    "#]].assert_eq(&text);
    expect_test::expect![[r#"
        {"time":"2026-11-20T11:59:25.000000000Z","level":"fatal","service":"db","message":"panic: disk full","client_ip":"10.1.2.3","exception.stack":"at main()\n at Foo::bar","rare":7}
    "#]]
    .assert_eq(&search("level:fatal").text());
}

#[test]
fn a_level_that_no_event_has_is_a_warning_and_not_a_silent_zero() {
    let doubts = |text: &str| {
        let query = parse(text).expect("a query");
        let warnings = plan::unknown_fields(&query, plan::range(&query, None, None, NOW_NS), &[]);
        let shown = |warning: &Warning| format!("{}: {}", warning.pos.unwrap_or(0), warning.message);
        warnings.iter().map(shown).collect::<Vec<_>>().join("\n")
    };
    for (text, want) in [
        ("level:5", "7: no event has the level '5'; did you mean info, as syslog's 5?"),
        ("a level<=3", "10: no event has the level '3'; did you mean error, as syslog's 3?"),
        ("level:\"warning\"", "7: no event has the level 'warning'; did you mean warn?"),
        (
            "level:(0, 7)",
            "8: no event has the level '0'; did you mean fatal, as syslog's 0?\n11: no event has the level '7'; did you mean debug, as syslog's 7?",
        ),
        (
            "* | stats count(level:99)",
            "23: no event has the level '99': levels are trace, debug, info, warn, error, fatal",
        ),
        ("* | where level=1", "17: no event has the level '1'; did you mean fatal, as syslog's 1?"),
        ("level>=50 level:\"error\" -level:WARNING level:(10, e)", ""),
        ("* | eval level = n | where level>5", ""),
        ("* | stats max(n) as level by service | where level>5", ""),
    ] {
        assert_eq!(doubts(text), want, "{text}");
    }
}

#[test]
fn an_unknown_field_is_a_warning_and_not_a_silent_zero() {
    let answer = search("statuss:500 duration>3 | stats count as n by nobody | where n>3");
    let warnings: Vec<String> = answer
        .outcome
        .warnings
        .iter()
        .map(|warning| format!("{} at {}: {}", warning.warn, warning.pos.unwrap_or(0), warning.message))
        .collect();
    expect_test::expect![[r#"
        [
            "unknown_field at 13: no event of that time has a field duration; did you mean duration_ms?",
            "unknown_field at 46: no event of that time has a field nobody",
            "unknown_field at 1: no event of that time has a field statuss; did you mean status?",
        ]
    "#]]
    .assert_debug_eq(&warnings);
}

#[test]
fn a_column_that_no_pipe_made_is_a_warning_too() {
    let warning = |text: &str| {
        let warnings = search(text).outcome.warnings;
        warnings.first().map_or(String::new(), |warning| format!("{}: {}", warning.pos.unwrap_or(0), warning.message))
    };
    for (text, want) in [
        (
            "* | stats count by path | sort -coutn",
            "33: the rows of the pipes before have no column coutn; did you mean count?",
        ),
        (
            "* | stats count by path | where status>=500",
            "33: the rows of the pipes before have no column status: they have count, path",
        ),
        ("* | eval total=status+1 | sort -totl", "33: no event of that time has a field totl; did you mean total?"),
        ("user:7", "1: no event of that time has a field user"),
        ("user_id:7", "1: no event of that time has a field user_id"),
        ("* | stats p95(duration_ms) by path | sort -p95(duration_ms)", ""),
        ("* | timechart 1m count by path | where time>0 count>0 path:*", ""),
        ("* | stats count as n by path | eval m=n*2 | rename m as k | sort k", ""),
        ("* | stats count by path | compare 1d | sort count_delta", ""),
        ("* | top path | sort percent", ""),
        ("* | patterns | sort count | fields pattern", ""),
        ("/conn.*reset/", "0: /conn.*reset/ is a path here: the regular expression is ~\"conn.*reset\""),
        ("path:/pa.*d/", "0: /pa.*d/ is a path here: the regular expression is path=~\"pa.*d\""),
        ("/pay/card/", ""),
        ("message:http://shop/*/", ""),
        ("path:/pay/*", ""),
    ] {
        assert_eq!(warning(text), want, "{text}");
    }
}

/// Rows in blocks that overlap, some with the same time.
fn many() -> Vec<Arc<dyn Segment>> {
    let mut parts: Vec<Vec<TestRow>> = vec![Vec::new(), Vec::new(), Vec::new()];
    for i in 0..300u64 {
        let ago = (i as i64 * 7919 % 100) / 2;
        let row = TestRow::new(ago, i, json!({"n": i, "message": format!("row {i}"), "odd": i % 2 == 1}));
        parts[(i % 3) as usize].push(row);
    }
    let segment = |(i, rows)| Arc::new(MemorySegment::new(&format!("s{i}"), rows, 16, &[])) as Arc<dyn Segment>;
    parts.into_iter().enumerate().map(segment).collect()
}

fn pages(request: &Request<'_>, segments: &[Arc<dyn Segment>]) -> Vec<EventId> {
    let query = parse("odd:true").expect("a query");
    let mut request = request.clone();
    let mut all = Vec::new();
    for _ in 0..1000 {
        let answer = ask(&query, &request, segments);
        all.extend(answer.ids());
        match answer.outcome.cursor {
            Some(cursor) => request.cursor = Some(cursor),
            None => return all,
        }
    }
    panic!("the pages do not end");
}

#[test]
fn pages_together_are_one_big_page_in_either_order() {
    let segments = many();
    for order in [Order::Desc, Order::Asc] {
        let whole = pages(&Request { order, ..request(10_000) }, &segments);
        let mut sorted = whole.clone();
        sorted.sort();
        if order == Order::Desc {
            sorted.reverse();
        }
        assert_eq!(whole, sorted);
        assert_eq!(whole.len(), 150);
        for limit in [1, 7, 50, 149, 150, 151] {
            assert_eq!(pages(&Request { order, ..request(limit) }, &segments), whole, "{order:?} {limit}");
        }
    }
}

#[test]
fn the_newest_are_found_without_reading_the_rest() {
    let rows = (0..1000).map(|i| TestRow::new(1000 - i, i as u64, json!({"message": "x"}))).collect();
    let segment = Arc::new(MemorySegment::new("s", rows, 10, &[]));
    let segments: Vec<Arc<dyn Segment>> = vec![segment];
    let answer = ask(&parse("x").expect("a query"), &request(15), &segments);
    assert_eq!(answer.rows.len(), 15);
    assert_eq!(answer.outcome.stats.blocks_read, 2);
    assert!(answer.outcome.is_complete());
    // A page far behind reads what it shows, not what was shown before.
    let cursor = Some(EventId { time_ns: NOW_NS - 900 * 1_000_000_000, seq: 100 });
    let answer = ask(&parse("x").expect("a query"), &Request { cursor, ..request(15) }, &segments);
    assert_eq!((answer.rows.len(), answer.outcome.stats.blocks_read), (15, 3));
}

#[test]
fn a_broken_block_costs_that_block_and_is_named() {
    let rows = (0..40).map(|i| TestRow::new(40 - i, i as u64, json!({"message": "x"}))).collect();
    let segment = MemorySegment::new("s", rows, 10, &[]);
    segment.broken.lock().expect("not poisoned").insert(1);
    let segments: Vec<Arc<dyn Segment>> = vec![Arc::new(segment)];
    let answer = ask(&parse("x").expect("a query"), &request(100), &segments);
    assert_eq!(answer.rows.len(), 30);
    assert_eq!(answer.outcome.reason, Some(Reason::Unreadable));
    let missing: Vec<(&str, &str)> =
        answer.outcome.missing.iter().map(|part| (part.from.as_str(), part.to.as_str())).collect();
    assert_eq!(missing, [("2026-11-20T11:59:30.000000000Z", "2026-11-20T11:59:39.000000000Z")]);
}

#[test]
fn an_interrupted_search_says_what_is_missing_and_goes_on_from_there() {
    for order in [Order::Desc, Order::Asc] {
        let whole = pages(&Request { order, ..request(10_000) }, &many());
        let mut found = Vec::new();
        let mut cursor = None;
        let mut after = 1;
        loop {
            let flag = Arc::new(AtomicBool::new(false));
            let rows: Vec<TestRow> =
                (0..300u64).map(|i| TestRow::new((i as i64 * 7919 % 100) / 2, i, json!({"odd": i % 2 == 1}))).collect();
            let segment = MemorySegment::new("s", rows, 16, &[]);
            *segment.cancel_after.lock().expect("not poisoned") = Some((after, Arc::clone(&flag)));
            let query = parse("odd:true").expect("a query");
            let request = Request { order, cursor, cancel: &flag, ..request(10_000) };
            let answer = ask(&query, &request, &[Arc::new(segment)]);
            found.extend(answer.ids());
            if answer.outcome.is_complete() {
                assert_eq!(answer.outcome.cursor, None);
                break;
            }
            assert_eq!(answer.outcome.reason, Some(Reason::Cancelled));
            assert!(!answer.outcome.missing.is_empty());
            cursor = answer.outcome.cursor;
            assert!(cursor.is_some());
            after += 1;
        }
        assert_eq!(found, whole, "{order:?}");
        assert!(after > 3);
    }
}

#[test]
fn a_deadline_that_has_passed_answers_at_once() {
    let request = Request { deadline: std::time::Instant::now(), ..request(10) };
    let answer = ask(&parse("*").expect("a query"), &request, &many());
    assert_eq!(answer.rows.len(), 0);
    assert_eq!(answer.outcome.reason, Some(Reason::Timeout));
    assert_eq!(answer.outcome.missing.len(), 1);
}

#[test]
fn fields_to_show_and_to_count_by_that_nobody_has_are_warnings() {
    let segment: Vec<Arc<dyn Segment>> = vec![Arc::new(MemorySegment::new(
        "a",
        vec![TestRow::new(5, 1, json!({"level": "info", "message": "x", "user": "ann"}))],
        2,
        &["user"],
    ))];
    let warned = |text: &str, fields: &[&str]| {
        let fields = Some(fields.iter().map(|name| (*name).to_owned()).collect());
        let answer = ask(&parse(text).expect("a query"), &Request { fields, ..request(10) }, &segment);
        answer.outcome.warnings.into_iter().filter_map(|warning| warning.field).collect::<Vec<_>>()
    };
    assert_eq!(warned("*", &["time", "usr", "id", "raw", "client_ip"]), ["usr"]);
    assert_eq!(warned("* | sort user | head 1", &["usr"]), ["usr"]);
    assert!(warned("* | eval usr = 1", &["usr"]).is_empty());
    assert!(warned("* | stats count as usr", &["usr"]).is_empty());
    let query = parse("*").expect("a query");
    let by = |name: &str| {
        let answer = super::hits::hits(&query, &request(1), 4, name, None, &segment).expect("bars");
        answer.warnings.into_iter().filter_map(|warning| warning.did_you_mean).collect::<Vec<_>>()
    };
    assert_eq!((by("usr"), by("level"), by("service")), (vec!["user".to_owned()], vec![], vec![]));
}

#[test]
fn a_search_that_finds_nothing_for_long_tells_how_far_it_came() {
    let rows: Vec<TestRow> =
        (0..200).map(|i| TestRow::new(10 + i, i as u64, json!({"level": "info", "message": "x"}))).collect();
    let segment: Vec<Arc<dyn Segment>> = vec![Arc::new(MemorySegment::new("a", rows, 1, &[]))];
    let query = parse("message=~\"y$\"").expect("a query");
    let mut covered = Vec::new();
    let outcome =
        super::execute::run(&query, &Request { from_ns: Some(i64::MIN), ..request(10) }, &segment, &mut |event| {
            if let super::execute::Event::Progress { covered_ns, .. } = event {
                covered.push(covered_ns.map(|ns| (NOW_NS - ns) / 1_000_000_000));
            }
            std::ops::ControlFlow::Continue(())
        });
    assert!(outcome.expect("an answer").is_complete());
    // The newest is 10 seconds old; each block is a row, a second older.
    assert_eq!(covered, [Some(74), Some(138), Some(202)]);
}

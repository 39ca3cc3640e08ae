//! Pipes that change rows, and pipes that look beyond them.

use std::sync::Arc;

use expect_test::{Expect, expect};
use logweir_proto::query::parse::parse;
use serde_json::json;

use crate::search::Error;
use crate::search::execute::{self, Request};
use crate::search::testing::{MemorySegment, NOW_NS, TestRow, ask, request};
use crate::store::segment::Segment;

const MINUTE_NS: i64 = 60_000_000_000;

fn segments() -> Vec<Arc<dyn Segment>> {
    let rows = [
        json!({"level": "info", "service": "api", "message": "took 10ms for /a", "ms": 10, "trace_id": "t1"}),
        json!({"level": "info", "service": "api", "message": "took 2.5ms for /b", "ms": 20, "user": "bob"}),
        json!({"level": "error", "service": "pay", "message": "user=eve took=30 msg=\"no money\"", "trace_id": "t1"}),
        json!({"level": "error", "service": "pay", "message": "{\"user\":\"zoe\",\"card\":{\"last\":42},\"ok\":false}", "status": "500"}),
        json!({"level": "warn", "service": "api", "message": "connection 17 lost", "path": "/c", "trace_id": "t2"}),
        json!({"level": "info", "service": "web", "message": "connection 99 lost", "ms": -5, "user": "bob"}),
    ];
    let rows: Vec<TestRow> =
        rows.into_iter().enumerate().map(|(i, row)| TestRow::new(60 * (6 - i as i64), i as u64, row)).collect();
    let (old, new) = rows.split_at(4);
    vec![
        Arc::new(MemorySegment::new("old", old.to_vec(), 2, &["user", "ms"])),
        Arc::new(MemorySegment::new("new", new.to_vec(), 2, &["user"])),
    ]
}

fn check(text: &str, want: &Expect) {
    let query = parse(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
    let request = Request { from_ns: Some(NOW_NS - 10 * MINUTE_NS), to_ns: Some(NOW_NS), ..request(100) };
    let answer = ask(&query, &request, &segments());
    assert!(answer.outcome.is_complete());
    let warnings = answer.outcome.warnings.iter().map(|warning| format!("! {}\n", warning.message));
    want.assert_eq(&format!("{}\n{}{}", answer.columns.join(" "), answer.text(), warnings.collect::<String>()));
}

#[test]
fn fields_are_found_in_text() {
    check(
        r#"took | parse "took <took:num>ms for <page>" | fields took, page, ms"#,
        &expect![[r#"
        took page ms
        {}
        {"took":2.5,"page":"/b","ms":20}
        {"took":10,"page":"/a","ms":10}
    "#]],
    );
    check(
        r#"* | parse "took <took:num>ms" | where took>5 | stats count, avg(took)"#,
        &expect![[r#"
        count avg(took)
        {"count":1,"avg(took)":10.0}
    "#]],
    );
    check(
        r#"* | rex "connection (?P<conn>[0-9]+)" | where conn:* | sort conn | fields conn"#,
        &expect![[r#"
        conn
        {"conn":"17"}
        {"conn":"99"}
    "#]],
    );
    check(
        r#"service:pay | logfmt | fields user, took, msg"#,
        &expect![[r#"
        user took msg
        {}
        {"user":"eve","took":30,"msg":"no money"}
    "#]],
    );
    check(
        r#"service:pay | json | fields user, card.last, ok"#,
        &expect![[r#"
        user card.last ok
        {"user":"zoe","card.last":42,"ok":false}
        {}
    "#]],
    );
    check(
        r#"* | logfmt | json | count by user"#,
        &expect![[r#"
        user count
        {"user":"bob","count":2}
        {"user":"eve","count":1}
        {"user":"zoe","count":1}
        {"user":null,"count":2}
    "#]],
    );
}

#[test]
fn rows_are_computed() {
    check(
        "* | eval twice = 2*ms, big = if(ms >= 15, 'yes', 'no') | fields ms, twice, big",
        &expect![[r#"
        ms twice big
        {"ms":-5,"twice":-10,"big":"no"}
        {"big":"no"}
        {"big":"no"}
        {"big":"no"}
        {"ms":20,"twice":40,"big":"yes"}
        {"ms":10,"twice":20,"big":"no"}
    "#]],
    );
    check(
        "* | eval ms = ms / 1000 | stats sum(ms), count(ms:*)",
        &expect![[r#"
        sum(ms) count
        {"sum(ms)":0.025,"count":3}
    "#]],
    );
    check(
        "* | stats count, count(level>=error) as errors by service | eval pct = round(100*errors/count, 1) | sort -pct",
        &expect![[r#"
        service count errors pct
        {"service":"pay","count":2,"errors":2,"pct":100}
        {"service":"api","count":3,"errors":0,"pct":0}
        {"service":"web","count":1,"errors":0,"pct":0}
    "#]],
    );
    check(
        "* | eval who = coalesce(user, upper(service)), n = len(message) | fields who, n | head 3",
        &expect![[r#"
        who n
        {"who":"bob","n":18}
        {"who":"API","n":18}
        {"who":"PAY","n":44}
    "#]],
    );
    check(
        "* | rename user as who, ms as user | fields who, user | where who:* or user:*",
        &expect![[r#"
        who user
        {"who":"bob","user":-5}
        {"who":"bob","user":20}
        {"user":10}
    "#]],
    );
    check(
        "* | eval age = now - time | fields age | head 1",
        &expect![[r#"
        age
        {}
        ! no event of that time has a field now
    "#]],
    );
    check(
        "status:500 | eval s = status + 1, t = num(status), u = bytes('4KiB'), d = duration('1.5s') | fields s, t, u, d",
        &expect![[r#"
        s t u d
        {"s":501,"t":500,"u":4096,"d":1500.0}
    "#]],
    );
    check(
        "* | stats last(time) as seen by service | where seen<-2m | fields service",
        &expect![[r#"
        service
        {"service":"pay"}
    "#]],
    );
    check(
        "* | fields service, ms | eval x = ms + 1 | fields x, user | where x:*",
        &expect![[r#"
        x user
        {"x":-4}
        {"x":21}
        {"x":11}
    "#]],
    );
}

#[test]
fn rows_are_dropped() {
    check(
        "* | dedup service | fields service, message",
        &expect![[r#"
        service message
        {"service":"web","message":"connection 99 lost"}
        {"service":"api","message":"connection 17 lost"}
        {"service":"pay","message":"{\"user\":\"zoe\",\"card\":{\"last\":42},\"ok\":false}"}
    "#]],
    );
    check(
        "* | dedup 2 level | count by level",
        &expect![[r#"
        level count
        {"level":"info","count":2}
        {"level":"warn","count":1}
        {"level":"error","count":2}
    "#]],
    );
    check(
        "* | sort ms | dedup service | fields service, ms",
        &expect![[r#"
        service ms
        {"service":"web","ms":-5}
        {"service":"api","ms":10}
        {"service":"pay"}
    "#]],
    );
    check(
        "* | sample 100% | count",
        &expect![[r#"
        count
        {"count":6}
    "#]],
    );
    check(
        "* | sample 0.5 | stats count, values(ms)",
        &expect![[r#"
        count values(ms)
        {"count":3,"values(ms)":[10,20]}
    "#]],
    );
}

#[test]
fn rows_are_put_together() {
    check(
        "* | facets 2 | where field:(level, service, user)",
        &expect![[r#"
            field value count percent distinct
            {"field":"level","value":"info","count":3,"percent":50.0,"distinct":3}
            {"field":"level","value":"error","count":2,"percent":33.33,"distinct":3}
            {"field":"service","value":"api","count":3,"percent":50.0,"distinct":3}
            {"field":"service","value":"pay","count":2,"percent":33.33,"distinct":3}
            {"field":"user","value":"bob","count":2,"percent":33.33,"distinct":1}
        "#]],
    );
    check(
        "* | patterns | fields -sample, pattern_id",
        &expect![[r#"
            pattern count level first_seen last_seen
            {"pattern":"connection <num> lost","count":2,"level":"warn","first_seen":"2026-11-20T11:58:00.000000000Z","last_seen":"2026-11-20T11:59:00.000000000Z"}
            {"pattern":"took <duration> for <path>","count":2,"level":"info","first_seen":"2026-11-20T11:54:00.000000000Z","last_seen":"2026-11-20T11:55:00.000000000Z"}
            {"pattern":"{\"user\":\"zoe\",\"card\":{\"last\":<num>},\"ok\":false}","count":1,"level":"error","first_seen":"2026-11-20T11:57:00.000000000Z","last_seen":"2026-11-20T11:57:00.000000000Z"}
            {"pattern":"user=eve took=<num> msg=\"no money\"","count":1,"level":"error","first_seen":"2026-11-20T11:56:00.000000000Z","last_seen":"2026-11-20T11:56:00.000000000Z"}
        "#]],
    );
    check(
        "time>now-2m | patterns new 150s | fields pattern, count",
        &expect![[r#"
        pattern count
        {"pattern":"connection <num> lost","count":1}
    "#]],
    );
    check(
        "user:bob ms:20 | trace",
        &expect![[r#"
        time level service message
    "#]],
    );
    check(
        "level:error trace_id:* | trace | fields trace_id, message",
        &expect![[r#"
        trace_id message
        {"trace_id":"t1","message":"user=eve took=30 msg=\"no money\""}
        {"trace_id":"t1","message":"took 10ms for /a"}
    "#]],
    );
    check(
        "level:warn | context before 1 after 1 by trace_id | fields message",
        &expect![[r#"
        message
        {"message":"connection 17 lost"}
    "#]],
    );
    check(
        "level:warn | context 1 | fields service, message",
        &expect![[r#"
            service message
            {"service":"api","message":"took 2.5ms for /b"}
            {"service":"api","message":"connection 17 lost"}
        "#]],
    );
    check(
        "* | stats count by service | join left on service (level:error | stats count as errors by service)",
        &expect![[r#"
            service count errors
            {"service":"api","count":3,"errors":null}
            {"service":"pay","count":2,"errors":2}
            {"service":"web","count":1,"errors":null}
        "#]],
    );
    check(
        "user:bob | join on user (* | stats max(ms) as most by user) | fields ms, most",
        &expect![[r#"
        ms most
        {"ms":-5,"most":20}
        {"ms":20,"most":20}
    "#]],
    );
    check(
        "since:3m until:0s | stats count by service | compare 3m",
        &expect![[r#"
        service count count_prev count_delta
        {"service":"api","count":1,"count_prev":2,"count_delta":-1}
        {"service":"pay","count":1,"count_prev":1,"count_delta":0}
        {"service":"web","count":1,"count_prev":null,"count_delta":null}
    "#]],
    );
    check(
        "since:2m | timechart 1m count | compare 2m",
        &expect![[r#"
        time count count_prev count_delta
        {"time":"2026-11-20T11:58:00.000000000Z","count":1,"count_prev":1,"count_delta":0}
        {"time":"2026-11-20T11:59:00.000000000Z","count":1,"count_prev":1,"count_delta":0}
    "#]],
    );
    check(
        "level:error service:pay | head 1 | explain",
        &expect![[r#"
            part value
            {"part":"from","value":"2026-11-20T11:50:00.000000000Z"}
            {"part":"to","value":"2026-11-20T11:59:59.999999999Z"}
            {"part":"tree","value":["AND","  level:error","  service:pay","| head 1"]}
            {"part":"first","value":"events by time"}
            {"part":"pipes_after","value":0}
            {"part":"filter_fields","value":["level","service"]}
            {"part":"splits","value":2}
            {"part":"splits_opened","value":1}
            {"part":"blocks_in_range","value":3}
            {"part":"blocks_opened","value":1}
            {"part":"rows_max","value":2}
            {"part":"bytes_estimate","value":128}
        "#]],
    );
}

#[test]
fn what_cannot_be_is_said() {
    let error = |text: &str| -> Error {
        let query = parse(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
        let request = Request { from_ns: Some(NOW_NS - 10 * MINUTE_NS), to_ns: Some(NOW_NS), ..request(100) };
        execute::run(&query, &request, &segments(), &mut |_| std::ops::ControlFlow::Continue(())).expect_err(text)
    };
    expect!["compare needs stats, timechart or top before it"].assert_eq(&error("* | compare 1d").to_string());
    expect!["context needs events, not a table, before it"]
        .assert_eq(&error("* | count by service | context").to_string());
}

/// The size of a page is of the answer, not of what the pipes within look at.
#[test]
fn pipes_behind_the_first_stage_see_all_rows() {
    let of = |text: &str| {
        let query = parse(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
        let answer = ask(&query, &Request { from_ns: Some(i64::MIN), ..request(2) }, &segments());
        let warnings: Vec<String> = answer.outcome.warnings.iter().map(|warning| warning.message.clone()).collect();
        (answer.text(), warnings.join(", "))
    };
    let plain = |text: &str| (text.to_owned(), String::new());
    let counts = "* | join left on service (* | stats count as rows by service) | stats count, sum(rows)";
    assert_eq!(of(counts), plain("{\"count\":6,\"sum(rows)\":14}\n"));
    assert_eq!(of("* | dedup message | stats count"), plain("{\"count\":6}\n"));
    assert_eq!(of("level:info | head 1 | trace | stats count"), plain("{\"count\":0}\n"));
    assert_eq!(of("* | trace | stats count"), plain("{\"count\":3}\n"));
    // What is shown of events is a page, but for what stands around them.
    let (rows, warnings) =
        of("* | join on service (level:error | stats count as errors by service) | fields service, errors");
    assert_eq!((rows.lines().count(), warnings.as_str()), (2, ""));
    let (rows, warnings) =
        of("* | join left on service (level:error | stats count as errors by service) | fields service, errors");
    assert_eq!((rows.lines().count(), warnings.as_str()), (2, "only the first 2 rows were taken"));
    assert_eq!(of("* | trace | fields trace_id").0.lines().count(), 3);
    let query = parse("* | dedup message | stats count").expect("a query");
    let little = Request { memory_bytes: 100, from_ns: Some(i64::MIN), ..request(2) };
    let failed = execute::run(&query, &little, &segments(), &mut |_| std::ops::ControlFlow::Continue(()));
    assert_eq!(
        failed.expect_err("too much").to_string(),
        "the memory of a query in bytes is limited to 100; narrow the query"
    );
}

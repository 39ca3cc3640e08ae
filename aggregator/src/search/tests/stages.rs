//! The same answers whether rows are in memory, in many splits, or in few: a small store and a query for every pipe.
//! (`storm` does the same at random; this one can be read.)

use std::collections::BTreeSet;

use expect_test::expect;
use logweir_proto::query::ast::PipeKind;
use logweir_proto::query::parse::parse;

use super::world::{ROUND_NS, World};
use crate::search::execute::Request;
use crate::search::testing::{NOW_NS, ask, request};
use crate::store::service::Store;

/// Each is a record of its own, three minutes behind the one before. Those of `debug` are a class by themselves.
const LINES: [&str; 20] = [
    r#"{"level":"info","service":"api","message":"took 12ms for /cart","path":"/cart","ms":12,"status":200,"user":"ann"}"#,
    r#"{"level":"debug","service":"api","message":"cache hit 17","user":"ann"}"#,
    r#"{"level":"info","service":"api","message":"took 340ms for /pay","path":"/pay","ms":340,"status":200,"user":"bob","trace_id":"t1"}"#,
    r#"{"level":"error","service":"pay","message":"card refused","user":"bob","trace_id":"t1","exception":{"type":"Refused"}}"#,
    r#"{"level":"debug","service":"pay","message":"retry in 5s","user":"bob"}"#,
    r#"{"level":"warn","service":"db","message":"pool=3 wait=\"2 s\" slow","trace_id":"t1"}"#,
    r#"{"level":"info","service":"api","message":"took 8ms for /cart","path":"/cart","ms":8,"status":"200","user":"zoë"}"#,
    r#"{"level":"debug","service":"db","message":"vacuum of table 4"}"#,
    r#"{"level":"error","service":"api","message":"took 1900ms for /pay","path":"/pay","ms":1900.5,"status":502,"user":"ann","trace_id":"t2"}"#,
    r#"{"level":"error","service":"pay","message":"connection 81 reset","trace_id":"t2"}"#,
    r#"{"level":"debug","service":"api","message":"cache hit 18","user":"zoë"}"#,
    r#"{"level":"info","service":"web","message":"{\"kind\":\"beacon\",\"ms\":3}","client_ip":"10.1.2.3"}"#,
    r#"{"level":"info","service":"web","message":"page seen","client_ip":"192.168.0.9","user":"ann"}"#,
    r#"{"level":"debug","service":"web","message":"cache hit 19"}"#,
    r#"{"level":"info","service":"api","message":"took 15ms for /cart","path":"/cart","ms":15,"status":200,"user":"ann"}"#,
    r#"{"level":"debug","service":"api","message":"cache hit 20","user":"ann"}"#,
    r#"{"level":"error","service":"pay","message":"connection 82 reset","user":"bob"}"#,
    r#"{"level":"debug","service":"db","message":"vacuum of table 5"}"#,
    r#"{"level":"fatal","service":"db","message":"out of disk","trace_id":"t3"}"#,
    r#"{"level":"debug","service":"db","message":"vacuum of table 6"}"#,
];

/// All pipes but `explain`, which tells of the splits themselves.
const QUERIES: [&str; 36] = [
    "*",
    "reset",
    "\"cache hit\" user:ann",
    "level>=warn -service:db",
    "status:200 OR status:5xx",
    "client_ip:10.0.0.0/8",
    "message=~\"took [0-9]{3,}ms\"",
    "user:z*",
    "trace_id:in(level>=error service:pay | fields trace_id)",
    "* | where ms>10 path:/cart",
    "* | stats count, count(level>=error), dc(user), avg(ms), p50(ms) by service | sort service",
    "* | stats first(time), last(message), values(user), min(ms), max(ms), sum(ms)",
    "* | count by bin(ms, 100)",
    "* | timechart 15m count by level",
    "* | timechart 20m rate, stddev(ms)",
    "* | top 2 user",
    "* | top 1 user by service | sort service",
    "* | rare 2 service",
    "* | sort -ms, user | head 4 | fields time, ms, user",
    "* | head 3 | fields time, message",
    "* | tail 2 | fields -message, host, source, file",
    "level:error | rename service as who | fields time, who",
    "* | dedup user | fields time, user",
    "* | dedup 2 service, level | fields service, level, message",
    "took | parse \"took <took:num>ms for <page>\" | stats max(took) by page | sort page",
    "* | rex \"(?P<what>cache|vacuum) .* (?P<n>[0-9]+)\" | stats count, max(n) by what | sort what",
    "service:web | json | fields kind, ms",
    "service:db | logfmt | fields pool, wait",
    "ms:* | eval slow = if(ms > 100, \"yes\", \"no\"), s = round(ms/1000, 2) | fields ms, slow, s",
    "* | sample 40% | fields message",
    "* | patterns 5 | fields pattern, count, level",
    "* | patterns new 20m | fields pattern, count",
    "* | facets 2 | where field:(level, service, user)",
    "level:fatal | context before 2 after 1 by service | fields time, message",
    "card | trace | sort time | fields time, service, trace_id",
    "level>=error | join left on user (level:info | stats count as seen by user) | fields time, user, seen",
];

const COMPARED: &str = "since:30m | stats count by level | compare 30m | sort level";

fn name(kind: &PipeKind) -> &'static str {
    match kind {
        PipeKind::Stats { .. } => "stats",
        PipeKind::Timechart { .. } => "timechart",
        PipeKind::Top { .. } => "top",
        PipeKind::Sort(_) => "sort",
        PipeKind::Head(_) => "head",
        PipeKind::Tail(_) => "tail",
        PipeKind::Fields { .. } => "fields",
        PipeKind::Where(_) => "where",
        PipeKind::Rename(_) => "rename",
        PipeKind::Dedup { .. } => "dedup",
        PipeKind::Extract { .. } => "parse",
        PipeKind::Eval(_) => "eval",
        PipeKind::Sample(_) => "sample",
        PipeKind::Patterns { .. } => "patterns",
        PipeKind::Facets(_) => "facets",
        PipeKind::Context { .. } => "context",
        PipeKind::Trace(_) => "trace",
        PipeKind::Compare { .. } => "compare",
        PipeKind::Join { .. } => "join",
        PipeKind::Explain => "explain",
    }
}

/// Every answer, page by page as well where it is events.
fn answers(store: &Store) -> Vec<(&'static str, String)> {
    let segments = &store.view().segments;
    let asked = |limit| Request { from_ns: Some(NOW_NS - 3_600_000_000_000), to_ns: Some(NOW_NS), ..request(limit) };
    let answer = |text: &'static str| {
        let query = parse(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
        let whole = ask(&query, &asked(1000), segments);
        assert!(whole.outcome.is_complete() && !whole.rows.is_empty(), "{text}");
        if query.pipes.is_empty() {
            let (mut rows, mut cursor) = (Vec::new(), None);
            while rows.len() < whole.rows.len() {
                let page = ask(&query, &Request { cursor, ..asked(3) }, segments);
                assert!(page.rows.len() == 3 || rows.len() + page.rows.len() == whole.rows.len(), "{text}");
                cursor = page.outcome.cursor;
                rows.extend(page.rows);
            }
            assert_eq!(rows, whole.rows, "{text} by pages");
        }
        (text, format!("{}\n{}", whole.columns.join(" "), whole.text()))
    };
    QUERIES.into_iter().chain([COMPARED]).map(answer).collect()
}

#[test]
fn a_seal_and_a_merge_change_no_answer() {
    let used = QUERIES.into_iter().chain([COMPARED]).flat_map(|text| parse(text).expect("a query").pipes);
    let used: BTreeSet<&str> = used.map(|pipe| name(&pipe.kind)).collect();
    assert_eq!(used.len(), 19, "every pipe but explain: {used:?}");

    let mut world = World::new("retention: {days: 7, classes: [{name: quiet, match: 'level<=debug', days: 2}]}");
    let store = world.open();
    for (i, line) in (0..).zip(LINES) {
        world.write(&store, vec![((20 - i) * 180_000 - 1000, line.to_owned())]);
    }
    let in_memory = answers(&store);
    expect![[r#"
        * | where ms>10 path:/cart
        time level service message
        {"time":"2026-11-20T11:42:01.000000000Z","level":"info","service":"api","host":"web-1","source":"json","file":"/var/log/shop.log","message":"took 15ms for /cart","route":"/cart","path":"/cart","status":200,"ms":15,"user":"ann"}
        {"time":"2026-11-20T11:00:01.000000000Z","level":"info","service":"api","host":"web-1","source":"json","file":"/var/log/shop.log","message":"took 12ms for /cart","route":"/cart","path":"/cart","status":200,"ms":12,"user":"ann"}
        * | stats count, count(level>=error), dc(user), avg(ms), p50(ms) by service | sort service
        service count count(level>=error) dc(user) avg(ms) p50(ms)
        {"service":"api","count":8,"count(level>=error)":1,"dc(user)":3,"avg(ms)":455.1,"p50(ms)":15}
        {"service":"db","count":5,"count(level>=error)":1,"dc(user)":0,"avg(ms)":null,"p50(ms)":null}
        {"service":"pay","count":4,"count(level>=error)":3,"dc(user)":1,"avg(ms)":null,"p50(ms)":null}
        {"service":"web","count":3,"count(level>=error)":0,"dc(user)":1,"avg(ms)":null,"p50(ms)":null}
        * | stats first(time), last(message), values(user), min(ms), max(ms), sum(ms)
        first(time) last(message) values(user) min(ms) max(ms) sum(ms)
        {"first(time)":"2026-11-20T11:00:01.000000000Z","last(message)":"vacuum of table 6","values(user)":["ann","bob","zoë"],"min(ms)":8,"max(ms)":1900.5,"sum(ms)":2275.5}
        * | count by bin(ms, 100)
        ms count
        {"ms":0,"count":3}
        {"ms":300,"count":1}
        {"ms":1900,"count":1}
        {"ms":null,"count":15}
        * | timechart 15m count by level
        time level count
        {"time":"2026-11-20T11:00:00.000000000Z","level":"debug","count":2}
        {"time":"2026-11-20T11:00:00.000000000Z","level":"info","count":2}
        {"time":"2026-11-20T11:00:00.000000000Z","level":"error","count":1}
        {"time":"2026-11-20T11:15:00.000000000Z","level":"debug","count":1}
        {"time":"2026-11-20T11:15:00.000000000Z","level":"info","count":1}
        {"time":"2026-11-20T11:15:00.000000000Z","level":"warn","count":1}
        {"time":"2026-11-20T11:15:00.000000000Z","level":"error","count":2}
        {"time":"2026-11-20T11:30:00.000000000Z","level":"debug","count":2}
        {"time":"2026-11-20T11:30:00.000000000Z","level":"info","count":3}
        {"time":"2026-11-20T11:45:00.000000000Z","level":"debug","count":3}
        {"time":"2026-11-20T11:45:00.000000000Z","level":"error","count":1}
        {"time":"2026-11-20T11:45:00.000000000Z","level":"fatal","count":1}
        * | timechart 20m rate, stddev(ms)
        time rate stddev(ms)
        {"time":"2026-11-20T11:00:00.000000000Z","rate":0.005833333333333334,"stddev(ms)":190.53608582103286}
        {"time":"2026-11-20T11:20:00.000000000Z","rate":0.005833333333333334,"stddev(ms)":null}
        {"time":"2026-11-20T11:40:00.000000000Z","rate":0.005,"stddev(ms)":null}
    "#]]
        .assert_eq(&in_memory[9..15].iter().map(|(text, answer)| format!("{text}\n{answer}")).collect::<String>());
    store.seal_now().expect("a seal");
    assert_eq!(store.view().segments.len(), 2, "a split a class");
    assert_eq!(answers(&store), in_memory, "sealed at once");
    drop(store);

    // The same lines again, each sealed by itself.
    let mut world = World::new("retention: {days: 7, classes: [{name: quiet, match: 'level<=debug', days: 2}]}");
    let store = world.open();
    for (i, line) in (0..).zip(LINES) {
        world.write(&store, vec![((20 - i) * 180_000 - 1000, line.to_owned())]);
        if i % 5 != 4 {
            store.seal_now().expect("a seal");
            continue;
        }
        assert!(store.view().segments.len() > i as usize / 5 * 4, "some in memory, some in splits");
    }
    assert_eq!(answers(&store), in_memory, "many splits");
    store.seal_now().expect("a seal");
    let before = store.view().segments.len();
    for _ in 0..4 {
        world.clock.set(world.clock.now_ns() + ROUND_NS);
        store.maintain();
    }
    let after = store.view().segments.len();
    assert!(after < before, "{before} splits are {after}");
    assert_eq!(answers(&store), in_memory, "merged");
    drop(store);
    assert_eq!(answers(&world.open()), in_memory, "opened again");
}

//! Random lines and random queries of the whole language, as people write them: as text.

use proptest::prelude::*;
use proptest::sample::select;

const MESSAGES: [&str; 14] = [
    "timeout",
    "Connection reset by peer",
    "connection refused",
    "ÜBER reset a-b",
    "x_1 500 took 12ms",
    "took 7.5ms for x_1",
    "GET /users/500 took -3ms",
    "job backup ended in 61s",
    "job resize ended in 5s",
    "a-b",
    "reset reset timeout",
    "user=7 plan=pro",
    "",
    "K",
];

/// A field and the JSON of its value, or nothing.
fn field(name: &'static str, chance: f64, values: Vec<&'static str>) -> BoxedStrategy<Option<(&'static str, String)>> {
    prop::option::weighted(chance, select(values)).prop_map(move |value| Some((name, value?.to_owned()))).boxed()
}

/// A line of JSON: fields that are there or not, of several types, in any order, spelled in several ways.
pub(super) fn any_line() -> impl Strategy<Value = String> {
    let message = select(&MESSAGES[..]).prop_map(|text| Some(("message", serde_json::Value::from(text).to_string())));
    let fields = vec![
        prop_oneof![9 => message.boxed(), 1 => Just(None).boxed()].boxed(),
        field("level", 0.8, vec![r#""trace""#, r#""debug""#, r#""info""#, r#""warn""#, r#""error""#]),
        field("service", 0.8, vec![r#""api""#, r#""api-b""#, r#""API""#, r#""db""#]),
        field("status", 0.7, vec!["200", "500", "502", "404"]),
        field("duration_ms", 0.7, vec!["0.5", "499.5", "2", "2.0", "1500", "1.2e3", "12"]),
        field("bytes", 0.4, vec!["4096", "10000000", "-1", "0"]),
        field("page", 0.5, vec![r#""/users/500""#, r#""/pay""#, r#""/Users""#]),
        field(
            "mixed",
            0.6,
            vec!["-3", "2", "2.0", "0.5", "true", r#""x_1""#, r#""timeout""#, r#""500""#, "500", r#""""#],
        ),
        field("user_id", 0.6, vec![r#""u-1""#, r#""u-2""#, r#""u-17""#, r#""7""#, r#""\u0055-1""#]),
        field("trace_id", 0.4, vec![r#""9f86d081""#, r#""deadbeefdeadbeef""#, r#""a1b2c3d4""#]),
        field("client_ip", 0.4, vec![r#""10.1.2.3""#, r#""10.200.0.1""#, r#""192.168.0.9""#, r#""2001:db8::7""#]),
        field("plan", 0.3, vec![r#""pro""#, r#""free""#]),
        field("rare", 0.05, vec!["1", r#""one""#, "null"]),
        field(
            "payload",
            0.3,
            vec![
                r#""{\"user\":{\"id\":7},\"ok\":true,\"n\":0.5}""#,
                r#""{\"n\":\"x\",\"card\":null}""#,
                r#""a=1 b=\"x_y\" c=0.5 d=word""#,
                r#""[1]""#,
            ],
        ),
        field("extra", 0.2, vec![r#"{"deep":1}"#, r#"{"deep":"one"}"#, r#"{"deep":{"er":2}}"#]),
    ];
    (fields, any::<prop::sample::Index>(), 0usize..4).prop_map(|(fields, turn, spelling)| {
        let mut fields: Vec<(&str, String)> = fields.into_iter().flatten().collect();
        if !fields.is_empty() {
            let by = turn.index(fields.len());
            fields.rotate_left(by);
        }
        let (colon, comma) = [(":", ","), (": ", ", "), (" : ", ","), (":", ",\t")][spelling];
        let pairs: Vec<String> = fields.into_iter().map(|(name, value)| format!("\"{name}\"{colon}{value}")).collect();
        format!("{{{}}}", pairs.join(comma))
    })
}

const TERMS: [&str; 92] = [
    "timeout",
    "RESET",
    "über",
    "500",
    "x_1",
    "k",
    "nowhere",
    "a-b",
    "\"connection reset\"",
    "'reset by'",
    "time*",
    "*ESE*",
    "*b a-*",
    "r?set",
    "x_*",
    "üb*",
    "~\"res?et\"",
    "~\"^T\"",
    "~\"(?i)OUT$\"",
    "level:error",
    "level=warn",
    "level>=warn",
    "level<info",
    "level:(error OR debug)",
    "level:[info TO error}",
    "level:\"warn\"",
    "level:*",
    "service:api",
    "service=API",
    "service!=db",
    "service:api*",
    "service:*B",
    "service:(api-b, db)",
    "service=~\"^[Aa]\"",
    "service!~\"b$\"",
    "status:500",
    "status=200",
    "status!=200",
    "status>=500",
    "status<404",
    "status:5xx",
    "status:[400 TO 502}",
    "status:{404 TO *]",
    "status:(200, 404)",
    "status:4*",
    "status:\"500\"",
    "duration_ms>2",
    "duration_ms<=0.5",
    "duration_ms:2",
    "duration_ms>1s",
    "duration_ms<250ms",
    "duration_ms:*",
    "duration_ms=~\"^[0-9]+$\"",
    "bytes>=4KiB",
    "bytes<0",
    "bytes:0",
    "page:/users/500",
    "page:users",
    "page=/pay",
    "page:/u*",
    "mixed:500",
    "mixed:true",
    "mixed=\"500\"",
    "mixed:timeout",
    "mixed>1",
    "mixed<\"u\"",
    "mixed:*",
    "mixed=\"\"",
    "mixed:(2, x_1, true)",
    "mixed=~\".\"",
    "user_id:u-1",
    "user_id=U-1",
    "user_id:U-*",
    "user_id:7",
    "trace_id:9F86D081",
    "trace_id:dead*",
    "client_ip:10.0.0.0/8",
    "client_ip:192.168.0.0/24",
    "client_ip:2001:db8::/32",
    "client_ip:10.1.2.3",
    "message:reset",
    "message:\"took 7\"",
    "message=timeout",
    "message:*took*",
    "message!~\"o\"",
    "plan:pro",
    "rare:*",
    "extra.deep:one",
    "payload:ok",
    "host:web-1",
    "nothing:*",
    "*",
];

/// Terms that are slow, or that say a time.
const RARE_TERMS: [&str; 7] = [
    "user_id:in(level:error | fields user_id)",
    "trace_id:in(status>=500 | fields trace_id)",
    "mixed:in(service:db | head 5 | fields mixed)",
    "status:in(timeout | count by status | fields status)",
    "time>=now-2h",
    "time<now-30m",
    "time>now-3d",
];

fn any_term() -> impl Strategy<Value = String> {
    let term = prop_oneof![30 => select(&TERMS[..]), 1 => select(&RARE_TERMS[..])];
    (prop::bool::weighted(0.15), term).prop_map(|(not, term)| if not { format!("-{term}") } else { term.to_owned() })
}

pub(super) fn any_filter() -> impl Strategy<Value = String> {
    any_term().prop_recursive(3, 10, 3, |inner| {
        let join = |by: &'static str| move |parts: Vec<String>| format!("({})", parts.join(by));
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(join(" ")),
            prop::collection::vec(inner.clone(), 2..4).prop_map(join(" OR ")),
            inner.prop_map(|part| format!("NOT ({part})")),
        ]
    })
}

const FIELDS: [&str; 12] = [
    "level",
    "service",
    "status",
    "duration_ms",
    "bytes",
    "page",
    "mixed",
    "user_id",
    "trace_id",
    "plan",
    "rare",
    "host",
];

const AGGS: [&str; 30] = [
    "count",
    "count(level>=warn) as warned",
    "count(timeout OR mixed:*) as some",
    "dc(user_id)",
    "dc(mixed)",
    "dc(status)",
    "sum(bytes)",
    "sum(mixed)",
    "sum(duration_ms)",
    "avg(duration_ms)",
    "avg(mixed)",
    "min(duration_ms)",
    "min(mixed)",
    "min(service)",
    "max(mixed)",
    "max(level)",
    "max(status)",
    "p50(duration_ms)",
    "p95(duration_ms)",
    "p99(bytes)",
    "pct(mixed, 33.3)",
    "first(message)",
    "last(message)",
    "first(time)",
    "last(time) as seen",
    "last(mixed)",
    "values(service)",
    "values(mixed)",
    "stddev(duration_ms)",
    "rate",
];

const GROUPS: [&str; 13] = [
    "level",
    "service",
    "status",
    "page",
    "mixed",
    "user_id",
    "plan",
    "rare",
    "nothing",
    "bin(duration_ms, 100)",
    "bin(bytes, 1000)",
    "bin(time, 6h)",
    "bin(time, 1d)",
];

/// Pipes over single rows that make fields.
const DERIVE: [&str; 26] = [
    "eval n = duration_ms * 2",
    "eval n = bytes / 3, m = n + 1",
    "eval n = status % 7 - mixed",
    "eval n = -duration_ms",
    "eval slow = if(duration_ms > 10, \"slow\", \"fast\")",
    "eval who = coalesce(user_id, client_ip, \"nobody\")",
    "eval n = len(message), m = upper(service)",
    "eval n = round(duration_ms / 3, 1)",
    "eval n = abs(mixed), m = lower(mixed)",
    "eval n = num(mixed), m = concat(level, \"-\", status)",
    "eval n = max(duration_ms, bytes), m = min(mixed, status)",
    "eval ok = status < 500 and not (mixed == 2)",
    "eval ok = mixed = \"x_1\" or level != \"info\"",
    "eval n = bytes(\"4KiB\") + duration(\"1.5s\")",
    "eval status = status + 1",
    "eval mixed = if(level == \"error\", mixed, 5)",
    "rename service as app",
    "rename mixed as status",
    "rename duration_ms as took, took as t",
    "parse \"took <ms:num>ms\"",
    "parse \"job <job> ended in <seconds:num>s\"",
    "rex \"(?P<verb>[A-Z]+) /(?P<what>[a-z]+)\"",
    "rex \"(?P<digits>[0-9]+)\" from page",
    "json from payload",
    "logfmt from payload",
    "logfmt",
];

/// What may stand behind those: fields that they make.
const DERIVED: [&str; 10] = ["n", "m", "slow", "who", "ok", "app", "ms", "job", "user.id", "took"];

fn any_row_pipe() -> impl Strategy<Value = String> {
    let made = select(&DERIVED[..]);
    prop_oneof![
        6 => select(&DERIVE[..]).prop_map(str::to_owned),
        3 => any_filter().prop_map(|filter| format!("where {filter}")),
        1 => (made, select(vec![":*", ">2", ":pro", "=\"x\"", ":1"])).prop_map(|(name, test)| format!("where {name}{test}")),
    ]
}

fn any_order_pipe() -> impl Strategy<Value = String> {
    let key = (any::<bool>(), select(&FIELDS[..]))
        .prop_map(|(minus, name)| format!("{}{name}", if minus { "-" } else { "" }));
    prop_oneof![
        3 => prop::collection::vec(key, 1..3).prop_map(|keys| format!("sort {}", keys.join(", "))),
        1 => Just("sort time".to_owned()),
        1 => Just("sort -time".to_owned()),
        3 => (1usize..30).prop_map(|count| format!("head {count}")),
        2 => (1usize..30).prop_map(|count| format!("tail {count}")),
        3 => (1usize..3, select(&FIELDS[..]), select(&FIELDS[..])).prop_map(|(count, a, b)| {
            if a == b { format!("dedup {count} {a}") } else { format!("dedup {count} {a}, {b}") }
        }),
    ]
}

fn any_shaping_pipe() -> impl Strategy<Value = String> {
    let aggs = prop::sample::subsequence(&AGGS[..], 1..5).prop_map(|aggs| aggs.join(", "));
    let by = prop::sample::subsequence(&GROUPS[..11], 0..3)
        .prop_map(|by| if by.is_empty() { String::new() } else { format!(" by {}", by.join(", ")) });
    let bins = select(&GROUPS[11..]).prop_map(|bin| format!(" by {bin}"));
    let field = || select(&FIELDS[..]);
    prop_oneof![
        8 => (aggs.clone(), prop_oneof![5 => by, 1 => bins]).prop_map(|(aggs, by)| format!("stats {aggs}{by}")),
        2 => select(&GROUPS[..9]).prop_map(|by| format!("count by {by}")),
        1 => Just("count".to_owned()),
        3 => (select(vec!["6h", "1d", "7d"]), aggs, prop::option::of(field())).prop_map(|(width, aggs, by)| {
            format!("timechart {width} {aggs}{}", by.map(|by| format!(" by {by}")).unwrap_or_default())
        }),
        3 => (select(vec!["top", "rare"]), 1usize..5, field(), field()).prop_map(|(kind, count, a, b)| {
            if a == b { format!("{kind} {count} {a}") } else { format!("{kind} {count} {a} by {b}") }
        }),
        1 => (select(vec!["top", "rare"]), 1usize..9, field(), field()).prop_map(|(kind, count, a, b)| {
            if a == b { format!("{kind} {a}") } else { format!("{kind} {count} {a}, {b}") }
        }),
        1 => (1usize..5).prop_map(|count| format!("facets {count}")),
    ]
}

const TABLE_PIPES: [&str; 12] = [
    "where count>1",
    "sort -count",
    "sort count, -level",
    "head 3",
    "eval pct = round(100 * count / 7, 1)",
    "eval n = warned / count",
    "stats sum(count) as all, count as groups",
    "stats max(count), first(service) by level",
    "top 2 level",
    "fields level, count, service",
    "fields -count",
    "dedup level",
];

/// A filter and what may stand behind it.
pub(super) fn any_query() -> impl Strategy<Value = String> {
    let rows = prop::collection::vec(any_row_pipe(), 0..3);
    let order = prop::collection::vec(any_order_pipe(), 0..3);
    let shape = (any_shaping_pipe(), prop::sample::subsequence(&TABLE_PIPES[..], 0..3))
        .prop_map(|(shape, rest)| std::iter::once(shape).chain(rest.into_iter().map(str::to_owned)).collect());
    let compared = any_shaping_pipe().prop_map(|shape| vec![shape, "compare 1d".to_owned()]);
    let around = prop_oneof![
        Just("head 3 | context before 2 after 3".to_owned()),
        Just("tail 2 | context 2 by level".to_owned()),
        Just("head 4 | trace".to_owned()),
        Just("trace by user_id".to_owned()),
        Just("head 20 | join on user_id (level:error | stats count as hits, last(plan) as p by user_id)".to_owned()),
        Just("head 9 | join left on service, level (status>=500 | count by service, level)".to_owned()),
        Just("count by service | join left on service (timeout | stats dc(user_id) as users by service)".to_owned()),
    ]
    .prop_map(|pipe| vec![pipe]);
    let shown = prop_oneof![
        Just(vec!["fields level, mixed, time".to_owned()]),
        Just(vec!["fields -message, mixed".to_owned()]),
    ];
    let last = prop_oneof![
        4 => Just(Vec::new()),
        1 => shown,
        8 => shape,
        1 => compared,
        2 => around,
    ];
    (any_filter(), rows, order, last).prop_map(
        |(filter, rows, order, last): (String, Vec<String>, Vec<String>, Vec<String>)| {
            let all = std::iter::once(filter).chain(rows).chain(order).chain(last);
            all.collect::<Vec<String>>().join(" | ")
        },
    )
}

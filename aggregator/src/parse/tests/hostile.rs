//! Any bytes, through every parser: no panic, and places that the store can rely on.

use proptest::prelude::*;

use super::super::*;
use super::fixture::Fixture;

const KINDS: [SourceKind; 10] = [
    SourceKind::NginxAccess,
    SourceKind::NginxError,
    SourceKind::Pm2,
    SourceKind::Pm2Daemon,
    SourceKind::Docker,
    SourceKind::Cri,
    SourceKind::File,
    SourceKind::Json,
    SourceKind::Syslog,
    SourceKind::Journald,
];

/// Whole lines of each format, to be damaged.
const LINES: [&str; 12] = [
    r#"127.0.0.1 - a b [20/Nov/2026:09:14:45 +0000] "GET /a?b HTTP/1.1" 404 153 "-" "he \x22hi\xFF\x5C""#,
    r#"{"level":30,"time":1795165860813,"pid":1,"err":{"type":"E","stack":"E: x\n    at y"},"msg":"a\u00e9\n","n":1.50}"#,
    r#"{"message":"{\"level\":50,\"msg\":\"x\"}\n","timestamp":"2026-11-20T09:10:03.404Z","type":"err","process_id":3,"app_name":"a"}"#,
    r#"{"message":"E: x\n    at y (z)\n","timestamp":"2026-11-20 09:10:03.404 +00:00","type":"out","process_id":3,"app_name":"a"}"#,
    r#"2026/11/20 09:14:47 [error] 398#398: *19 timed out (110: x), client: ::1, server: l, request: "GET /u HTTP/1.1", upstream: "http://u/u", host: "h""#,
    "2026-11-20T09:10:02: PM2 log: App [api:0] exited with code [1] via signal [SIGINT]",
    "2026-11-20 09:10 +00:00: TypeError: x\n2026-11-20 09:10 +00:00:     at f (a.js:1:2)",
    "Traceback (most recent call last):\n  File \"w.py\", line 7\nKeyError: 'x'",
    "[2026-11-20 09:10:02,123] ERROR \x1b[31mred\x1b[0m é",
    r#"{"time":"2026-11-20T09:14:45+00:00","request":"GET / HTTP/1.1","status":200,"urt":-,"agent":"x \" y"}"#,
    r#"1.2.3.4 "GET / HTTP/1.1" 200 "he said "hi" 200 "x"""#,
    r#"{"a":{"b":[1,{"c":"]"}],"time":"x","status":"ok"},"statusCode":"404","url":"/p?q=1","level":"weird","seq":7}"#,
];

const FORMATS: [&str; 5] = [
    "",
    r#"escape=json;{"time":"$time_iso8601","request":"$request","status":$status,"urt":$upstream_response_time,"agent":"$http_user_agent"}"#,
    r#"{"time":"$time_iso8601","request":"$request","status":$status,"urt":$upstream_response_time,"agent":"$http_user_agent"}"#,
    r#"escape=none;$remote_addr "$request" $status "$http_user_agent""#,
    "$a$b $request_uri $upstream_status $request_time $msec$time_local",
];

fn all(text: &[u8]) {
    for kind in KINDS {
        let mut fixture = Fixture::with(kind, "", &[("stream", "stderr"), ("service", "s")]);
        // Twice: the second time meets what the first one left behind.
        fixture.show(text);
        fixture.show(text);
    }
    for format in FORMATS {
        Fixture::with(SourceKind::NginxAccess, format, &[]).show(text);
    }
}

#[test]
fn whole_lines_are_safe_everywhere() {
    for line in LINES {
        all(line.as_bytes());
        for end in 0..line.len() {
            Fixture::new(SourceKind::Pm2).parse(&line.as_bytes()[..end]);
            Fixture::new(SourceKind::File).parse(&line.as_bytes()[..end]);
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_safe(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        all(&text);
    }

    #[test]
    fn damaged_lines_are_safe(
        line in 0..LINES.len(), at: prop::sample::Index, byte: u8, from: prop::sample::Index, cut in 0..20usize,
    ) {
        let mut text = LINES[line].as_bytes().to_vec();
        let place = at.index(text.len());
        text[place] = byte;
        let place = from.index(text.len());
        text.drain(place..(place + cut).min(text.len()));
        all(&text);
    }

    #[test]
    fn spliced_lines_are_safe(a in 0..LINES.len(), b in 0..LINES.len(), at: prop::sample::Index) {
        let (a, b) = (LINES[a].as_bytes(), LINES[b].as_bytes());
        let mut text = a[..at.index(a.len())].to_vec();
        text.extend_from_slice(b);
        all(&text);
    }

    #[test]
    fn any_format_is_safe(format in "(escape=(json|none);)?([$a-z_{}\" \\[-]|\\$status|\\$request|\\$msec){0,30}", line in 0..LINES.len()) {
        Fixture::with(SourceKind::NginxAccess, &format, &[]).show(LINES[line]);
    }

    #[test]
    fn json_needs_no_raw_line(value in json_without_floats()) {
        let text = serde_json::json!({ "v": value, "time": 1_795_165_860_813_i64, "msg": "m" }).to_string();
        let mut fixture = Fixture::new(SourceKind::Json);
        fixture.parse(text.as_bytes());
        prop_assert!(fixture.prints_back(text.as_bytes()), "{}", text);
    }

    #[test]
    fn access_lines_need_no_raw_line(
        user in "[a-z ]{1,9}", path in "/[a-z0-9/.-]{0,30}", status in 100..599u16, bytes: u32, agent in "[A-Za-z/0-9. ();]{1,40}", ms in 0..100_000u32,
    ) {
        let format = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_user_agent" $request_time"#;
        let text = format!(
            r#"10.0.0.9 - {user} [20/Nov/2026:09:14:45 +0000] "GET {path} HTTP/1.1" {status} {bytes} "{agent}" {}.{:03}"#,
            ms / 1000,
            ms % 1000,
        );
        let mut fixture = Fixture::with(SourceKind::NginxAccess, format, &[]);
        fixture.parse(text.as_bytes());
        prop_assert!(fixture.prints_back(text.as_bytes()), "{}", text);
        prop_assert_eq!(fixture.field(text.as_bytes(), "path"), Some(path));
        prop_assert_eq!(fixture.field(text.as_bytes(), "status"), Some(status.to_string()));
        prop_assert_eq!(fixture.field(text.as_bytes(), "duration_ms"), Some(ms.to_string()));
    }

    #[test]
    fn any_json_is_read(value in json(), extra in "[ \t]{0,3}") {
        let text = serde_json::json!({ "v": value, "msg": "m" }).to_string() + &extra;
        let mut fixture = Fixture::new(SourceKind::Json);
        fixture.show(&text);
        let message = fixture.field(text.as_bytes(), "message");
        prop_assert_eq!(message.as_deref(), Some("m"));
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    nested(prop_oneof![leaf(), any::<f64>().prop_map(serde_json::Value::from)])
}

fn json_without_floats() -> impl Strategy<Value = serde_json::Value> {
    nested(leaf())
}

fn leaf() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<String>().prop_map(serde_json::Value::from),
    ]
}

fn nested(leaf: impl Strategy<Value = serde_json::Value> + 'static) -> impl Strategy<Value = serde_json::Value> {
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            proptest::collection::hash_map("[a-z.é]{0,8}", inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

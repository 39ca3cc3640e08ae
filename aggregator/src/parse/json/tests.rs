//! What JSON loggers write, and what becomes of it.

use expect_test::{Expect, expect};
use logweir_proto::batch::SourceKind;
use proptest::prelude::*;

use crate::parse::tests::fixture::Fixture;

fn check(text: &str, want: &Expect) {
    want.assert_eq(&Fixture::new(SourceKind::File).show(text));
}

#[test]
fn loggers_write_the_same_things_differently() {
    // pino with pino-http
    check(
        r#"{"level":50,"time":1795165860813,"pid":7,"hostname":"web1","name":"shop","req":{"id":1,"method":"GET","url":"/users/42?x=1","remoteAddress":"10.0.0.9","headers":{"user-agent":"curl"}},"res":{"statusCode":500},"err":{"type":"TypeError","message":"x is null","stack":"TypeError: x is null\n    at f (a.js:1:2)"},"responseTime":12,"msg":"request errored"}"#,
        &expect![[r#"
            time 2026-11-20T09:11:00.813Z |
            level error
            pid 7 |
            hostname "web1" |
            service "shop" |
            req.id 1 |
            method "GET" |
            path "/users/42" |
            query "x=1" |
            client_ip "10.0.0.9" |
            user_agent "curl" |
            status 500 |
            exception.type "TypeError" |
            err.message "x is null" |
            exception.stack "TypeError: x is null\n    at f (a.js:1:2)" |
            duration_ms 12.0 |
            message "request errored" |
            route "/users/:id""#]],
    );
    // winston with colours, errors and a splat
    check(
        r#"{"level":"\u001b[33mwarn\u001b[39m","message":"\u001b[1mpool\u001b[0m low","service":"billing","timestamp":"2026-11-20 09:10:02","userId":42,"durationMs":1.5,"ok":true,"none":null,"tags":["a",{"b":1}]}"#,
        &expect![[r#"
            time 2026-11-20T09:10:02.000Z |
            level warn
            message "pool low" *
            service "billing" |
            user_id 42 |
            duration_ms 1.5 |
            ok true |
            tags "[\"a\",{\"b\":1}]" |"#]],
    );
    // bunyan
    check(
        r#"{"name":"shop","hostname":"web1","pid":1,"level":40,"msg":"slow","time":"2026-11-20T09:10:02.123Z","v":0}"#,
        &expect![[r#"
            time 2026-11-20T09:10:02.123Z |
            level warn
            service "shop" |
            hostname "web1" |
            pid 1 |
            message "slow" |
            v 0 |"#]],
    );
    // zap, seconds with a fraction
    check(
        r#"{"level":"error","ts":1795165802.099,"caller":"a/b.go:12","msg":"boom","error":"dial tcp: refused","stacktrace":"main.f\n\t/a/b.go:12"}"#,
        &expect![[r#"
            time 2026-11-20T09:10:02.099Z |
            level error
            caller "a/b.go:12" |
            message "boom" |
            error "dial tcp: refused" |
            exception.stack "main.f\n\t/a/b.go:12" |"#]],
    );
    // ECS
    check(
        r#"{"@timestamp":"2026-11-20T09:10:02.123Z","log.level":"ERROR","message":"boom","service.name":"shop","trace.id":"abc","error":{"type":"java.io.IOException","message":"gone","stack_trace":"java.io.IOException: gone\n\tat a.B(B.java:1)"},"http":{"request":{"method":"POST"},"response":{"status_code":502}},"url":{"path":"/pay"}}"#,
        &expect![[r#"
            time 2026-11-20T09:10:02.123Z |
            level error
            message "boom" |
            service "shop" |
            trace_id "abc" |
            exception.type "java.io.IOException" |
            error.message "gone" |
            exception.stack "java.io.IOException: gone\n\tat a.B(B.java:1)" |
            method "POST" |
            status 502 |
            path "/pay" |
            route "/pay""#]],
    );
    // python-json-logger with exc_info
    check(
        r#"{"asctime": "2026-11-20 09:10:02,123", "name": "app.db", "levelname": "CRITICAL", "message": "no connection", "exc_info": "Traceback (most recent call last):\n  File \"w.py\", line 7, in <module>\nKeyError: 'x'"}"#,
        &expect![[r#"
            time 2026-11-20T09:10:02.123Z |
            level fatal
            name "app.db" |
            message "no connection" |
            exception.stack "Traceback (most recent call last):\n  File \"w.py\", line 7, in <module>\nKeyError: 'x'" |
            exception.type "KeyError""#]],
    );
    // GELF
    check(
        r#"{"version":"1.1","host":"web1","short_message":"disk full","timestamp":1795165802.5,"level":2,"_user_id":9001}"#,
        &expect![[r#"
            time 2026-11-20T09:10:02.500Z |
            level fatal
            version "1.1" |
            host "web1" |
            message "disk full" |
            _user_id 9001 |"#]],
    );
    // Serilog
    check(
        r#"{"@t":"2026-11-20T09:10:02.1234567Z","@m":"hi","@l":"Debug","TraceId":"x"}"#,
        &expect![[r#"
        time 2026-11-20T09:10:02.123Z |
        level debug
        message "hi" |
        TraceId "x" |"#]],
    );
    // NGINX in a container, with a JSON log_format that nobody told us
    check(
        r#"{"time":"2026-11-20T09:14:45+00:00","remote_addr":"10.0.0.9","request":"GET /users/42?q=1 HTTP/1.1","status":"502","body_bytes_sent":"157","request_time":"1.001","upstream_addr":"10.1.0.1:80"}"#,
        &expect![[r#"
            time 2026-11-20T09:14:45.000Z |
            client_ip "10.0.0.9" |
            message "GET /users/42?q=1 HTTP/1.1" |
            status 502 |
            bytes 157 |
            duration_ms 1001.0 |
            upstream "10.1.0.1:80" |
            method "GET"
            path "/users/42"
            query "q=1"
            protocol "HTTP/1.1"
            route "/users/:id""#]],
    );
    // slog
    check(
        r#"{"time":"2026-11-20T10:10:02.123456789+01:00","level":"WARN","source":{"function":"main.f","line":7},"msg":"slow","duration_ms":250}"#,
        &expect![[r#"
            time 2026-11-20T09:10:02.123Z |
            level warn
            source.function "main.f" |
            source.line 7 |
            message "slow" |
            duration_ms 250.0 |"#]],
    );
}

#[test]
fn what_is_told_twice_is_kept_twice() {
    check(
        r#"{"time":"yesterday","timestamp":1795165802,"ts":1795165803,"level":"odd","severity":"info","status":"ok","statusCode":404,"seq":7,"message":"a","msg":"b"}"#,
        &expect![[r#"
            time 2026-11-20T09:10:02.000Z |
            level info
            time_ "yesterday" |
            ts 1795165803 |
            level_ "odd" |
            status_ "ok" |
            status 404 |
            seq_ 7 |
            message "a" |
            msg "b" |"#]],
    );
    check(
        r#"{"msg":"a","msg":"b","n":1,"n":2}"#,
        &expect![[r#"
        msg "a" |
        message "b" |
        n 2 |"#]],
    );
    check(
        r#"{"name":"Ada","msg":"a person, not a service"}"#,
        &expect![[r#"
        name "Ada" |
        message "a person, not a service" |"#]],
    );
}

#[test]
fn numbers_and_texts_stand_as_they_were_written() {
    check(
        r#"{"msg":"m","a":1.0,"b":1e3,"c":007,"d":18446744073709551615,"e":-0,"f":0.1,"g":"","h":"a\/b","i":"\u00e9","j":"tab\t"}"#,
        &expect![[r#"
            message "m" |
            a 1.0 |
            b 1000.0 *
            c 7 *
            d "18446744073709551615" |
            e -0.0 |
            f 0.1 |
            g "" |
            h "a/b" *
            i "é" *
            j "tab\t" |"#]],
    );
}

#[test]
fn a_line_without_a_message_can_be_found_by_all_its_words() {
    check(
        r#"{"method":"GET","path":"/a","status":200}"#,
        &expect![[r#"
        method "GET" |
        path "/a" |
        status 200 |
        message "GET /a"
        route "/a""#]],
    );
    check(
        r#"  {"cpu":0.5, "err":"disk is full"}  "#,
        &expect![[r#"
        cpu 0.5 |
        message "disk is full" |"#]],
    );
    check(
        r#"{"cpu":0.5}"#,
        &expect![[r#"
        cpu 0.5 |
        message "{\"cpu\":0.5}""#]],
    );
    check(r#"{}"#, &expect![[r#"message "{}""#]]);
}

#[test]
fn what_is_not_one_object_is_text() {
    for text in [
        r#"{"a":1"#,
        r#"{"a":1} trailing"#,
        r#"{"a" 1}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{a:1}"#,
        r#"{"a":"x}"#,
        r#"{"a":[1,2}"#,
        r#"{"a":tru}"#,
        "{",
        "{\n  user: 1\n}",
        "[1,2]",
    ] {
        let mut fixture = Fixture::new(SourceKind::File);
        fixture.parse(text.as_bytes());
        assert_eq!(fixture.field(text.as_bytes(), "message").as_deref(), Some(text));
    }
}

#[test]
fn depth_and_number_of_fields_are_bounded() {
    let deep = format!("{}1{}", r#"{"a":"#.repeat(5000), "}".repeat(5000));
    let mut fixture = Fixture::new(SourceKind::Json);
    let line = fixture.parse(deep.as_bytes());
    assert_eq!(line.fields.len(), 2, "the innermost object that is still flattened, and the message");
    let wide: Vec<String> = (0..5000).map(|i| format!(r#""k{i}":{i}"#)).collect();
    let wide = format!("{{{}}}", wide.join(","));
    let line = fixture.parse(wide.as_bytes());
    assert!(line.fields.len() <= crate::parse::line::FIELDS_MAX);
    assert!(line.fields_dropped as usize >= 5000 - crate::parse::line::FIELDS_MAX);
}

/// Lines as loggers write them, with values that a role refuses now and then.
fn any_lines() -> impl Strategy<Value = Vec<String>> {
    let value = prop_oneof![
        Just("1795046400000"),
        Just("30"),
        Just("\"info\""),
        Just("\"no level\""),
        Just("200"),
        Just("2000"),
        Just("1.50"),
        Just("\"\""),
        Just("\"/a/7?q=1\""),
        Just("\"a/7\""),
        Just("\"x \\\"y\\\"\""),
        Just("true"),
        Just("null"),
        Just("[1]"),
        Just("{\"a\":1}"),
    ];
    let key = prop_oneof![
        Just("time"),
        Just("level"),
        Just("msg"),
        Just("message"),
        Just("status"),
        Just("duration_ms"),
        Just("path"),
        Just("query"),
        Just("user_id"),
        Just("name"),
        Just("stack"),
        Just("error"),
        Just("own"),
    ];
    // Few shapes and many lines of each, so that most of them are met again.
    let shapes = prop::collection::vec(prop::collection::vec(key, 0..5), 1..4);
    (shapes, prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(value, 5)), 1..60)).prop_map(
        |(shapes, lines)| {
            let line = |(shape, values): (prop::sample::Index, Vec<&str>)| {
                let pairs = shape.get(&shapes).iter().zip(values);
                let pairs: Vec<String> = pairs.map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", pairs.join(","))
            };
            lines.into_iter().map(line).collect()
        },
    )
}

proptest! {
    #[test]
    fn a_parser_that_knows_the_shape_finds_what_a_new_one_finds(lines in any_lines()) {
        let mut warm = Fixture::new(SourceKind::File);
        for text in &lines {
            let mut cold = Fixture::new(SourceKind::File);
            let want = cold.show(text);
            prop_assert_eq!(warm.show(text), want, "{}", text);
        }
    }
}

#[test]
fn a_level_is_read_in_every_spelling_of_loggers() {
    for (written, want) in [
        (r#""eror""#, "error"),
        (r#""dbug""#, "debug"),
        (r#""WRN""#, "warn"),
        (r#""ftl""#, "fatal"),
        (r#""Informational""#, "info"),
        (r#""30""#, "info"),
        (r#""3""#, "error"),
        ("40", "warn"),
        (r#""LOUD""#, "none"),
        (r#""""#, "none"),
    ] {
        let text = format!(r#"{{"level":{written},"msg":"m"}}"#);
        let level = Fixture::new(SourceKind::Json).parse(text.as_bytes()).level;
        assert_eq!(level.map_or("none", |level| level.as_str()), want, "{written}");
    }
}

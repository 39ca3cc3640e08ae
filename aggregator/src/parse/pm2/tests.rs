//! PM2's modes, line by line.

use expect_test::{Expect, expect};
use logweir_proto::batch::SourceKind;

use super::*;
use crate::parse::tests::fixture::Fixture;

fn check(labels: &[(&str, &str)], text: &str, want: &Expect) {
    want.assert_eq(&Fixture::with(SourceKind::Pm2, "", labels).show(text));
}

#[test]
fn dates_of_every_style_are_taken_off() {
    for (text, rest) in [
        ("2026-11-20 09:10 +00:00: GET /", "GET /"),
        ("2026-11-20 09:10: GET /", "GET /"),
        ("2026-11-20T09:11:07: GET /", "GET /"),
        ("2026-11-20 09:10:04.300: GET /", "GET /"),
        ("2026-11-20 09:10:04.300 +01:00: a: b", "a: b"),
        ("2026-11-20T09:10:04+01:00: ", ""),
    ] {
        assert_eq!(prefix(text.as_bytes(), 0).map(|(_, len)| &text[len..]), Some(rest), "{text}");
    }
    for text in ["2026-11-20 09:10 GET /", "GET /", "", "2026-11-20 09:10:"] {
        assert_eq!(prefix(text.as_bytes(), 0), None, "{text}");
    }
}

#[test]
fn a_joined_stack_trace_loses_the_dates_within() {
    check(
        &[("stream", "stderr")],
        "2026-11-20 09:10 +00:00: TypeError: x\n2026-11-20 09:10 +00:00:     at f (a.js:1:2)",
        &expect![[r#"
            time 2026-11-20T09:10:00.000Z |
            level error
            message "TypeError: x"
            exception.stack "TypeError: x\n    at f (a.js:1:2)" *
            exception.type "TypeError"
            stream "stderr""#]],
    );
    check(
        &[("stream", "stderr")],
        "2026-11-20 09:10:04.624: TypeError: x\n    at f (a.js:1:2)",
        &expect![[r#"
        time 2026-11-20T09:10:04.624Z |
        level error
        message "TypeError: x"
        exception.stack "TypeError: x\n    at f (a.js:1:2)" |
        exception.type "TypeError"
        stream "stderr""#]],
    );
}

#[test]
fn error_output_is_an_error_unless_it_says_otherwise() {
    check(
        &[("stream", "stderr")],
        "something",
        &expect![[r#"
        level error
        message "something" |
        stream "stderr""#]],
    );
    check(
        &[("stream", "stderr")],
        "warn: pool exhausted",
        &expect![[r#"
        level warn
        message "warn: pool exhausted" |
        stream "stderr""#]],
    );
    check(
        &[("stream", "stdout")],
        "something",
        &expect![[r#"
        message "something" |
        stream "stdout""#]],
    );
    check(
        &[],
        r#"{"message":"something\n","timestamp":"x","type":"err","process_id":0,"app_name":"a"}"#,
        &expect![[r#"
            level error
            timestamp "x" |
            type "err" |
            service "a" |
            pm_id 0 |
            stream "stderr"
            pm2_app "a"
            message "something" |"#]],
    );
    check(
        &[],
        r#"{"timestamp":"2026-11-20T09:10:03.404Z","type":"process_event","status":"exit","process_id":3,"app_name":"a"}"#,
        &expect![[r#"
            time 2026-11-20T09:10:03.404Z |
            type "process_event" |
            status "exit" |
            service "a" |
            pm_id 3 |
            event "exit"
            pm2_app "a"
            message "{\"timestamp\":\"2026-11-20T09:10:03.404Z\",\"type\":\"process_event\",\"status\":\"exit\",\"process_id\":3,\"app_name\":\"a\"}""#]],
    );
    // JSON of the program itself that only looks a little like PM2's.
    check(
        &[],
        r#"{"message":"m\n","type":"out"}"#,
        &expect![[r#"
        message "m\n" |
        type "out" |"#]],
    );
}

#[test]
fn an_escaped_newline_at_the_end_is_told_from_a_backslash() {
    for (content, want) in
        [(r"a\n", true), (r"a\\n", false), (r"a\\\n", true), (r"\n", true), ("n", false), ("", false)]
    {
        assert_eq!(ends_in_newline(content.as_bytes()), want, "{content}");
    }
}

#[test]
fn events_of_the_daemon() {
    for (text, name, app, id) in [
        ("App [api:0] online", "online", "api", "0"),
        ("App [a:b:12] starting in -cluster mode-", "restart", "a:b", "12"),
        ("Stopping app:py worker id:11", "stop", "py worker", "11"),
    ] {
        let (_, event) = event(text.as_bytes()).expect("an event");
        assert_eq!((event.name, event.app, event.id), (name, Some(app.as_bytes()), Some(id.as_bytes())), "{text}");
    }
    for text in ["App [api:0] does something", "PM2 home: /x", "App [", "Script x", ""] {
        assert!(event(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn the_daemons_log_is_known_wherever_it_comes_from() {
    let text = "2026-11-20T09:10:05: PM2 log: App [api:0] exited with code [1] via signal [SIGINT]";
    let want = Fixture::new(SourceKind::Pm2Daemon).show(text);
    for kind in [SourceKind::File, SourceKind::Pm2] {
        let mut fixture = Fixture::new(kind);
        assert_eq!(fixture.show(text), want, "{kind:?}");
        assert!(fixture.prints_back(text.as_bytes()));
    }
    let mut fixture = Fixture::new(SourceKind::File);
    for line in [text, "2026-11-20T09:10:05: hello", "{\"a\":1}", text] {
        fixture.show(line);
    }
    let reading = fixture.parser.reading();
    assert_eq!((reading.around, reading.lines, reading.lines_read), (Some("pm2_daemon"), 4, 2));
    // What is said wins.
    let named = Fixture::with(SourceKind::File, "text", &[]).show(text);
    assert!(!named.contains("exit_code"), "{named}");
}

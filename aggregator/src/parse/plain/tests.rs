//! What loggers of plain text write, and what becomes of it.

use expect_test::{Expect, expect};
use logweir_proto::batch::SourceKind;

use crate::parse::tests::fixture::Fixture;

fn check(text: &str, want: &Expect) {
    want.assert_eq(&Fixture::new(SourceKind::File).show(text));
}

#[test]
fn loggers_of_plain_text() {
    // Python
    check(
        "2026-11-20 09:10:02,123 - app.db - ERROR - no connection",
        &expect![[r#"
            time 2026-11-20T09:10:02.123Z |
            level error
            logger "app.db" |
            message "no connection" |"#]],
    );
    check(
        "WARNING:root:low on disk",
        &expect![[r#"
            level warn
            logger "root" |
            message "low on disk" |"#]],
    );
    // Spring Boot
    check(
        "2026-11-20 09:10:02.123  INFO 1234 --- [main] c.e.App : started",
        &expect![[r#"
            time 2026-11-20T09:10:02.123Z |
            level info
            pid 1234 |
            thread "main" |
            logger "c.e.App" |
            message "started" |"#]],
    );
    check(
        "2026-11-20T09:10:02.123+01:00  WARN 1234 --- [main] c.e.App : slow",
        &expect![[r#"
            time 2026-11-20T08:10:02.123Z |
            level warn
            pid 1234 |
            thread "main" |
            logger "c.e.App" |
            message "slow" |"#]],
    );
    // Rails, Log4j, Rust
    check(
        "[2026-11-20 09:10:02] [ERROR] boom",
        &expect![[r#"
            time 2026-11-20T09:10:02.000Z |
            level error
            message "boom" |"#]],
    );
    check(
        "2026-11-20T09:10:02.123456Z ERROR app::db: no connection",
        &expect![[r#"
            time 2026-11-20T09:10:02.123Z |
            level error
            logger "app::db" |
            message "no connection" |"#]],
    );
    // Go, glog, syslog
    check(
        "2026/11/20 09:10:02 listening on :8080",
        &expect![[r#"
        time 2026-11-20T09:10:02.000Z |
        message "listening on :8080" |"#]],
    );
    check(
        "E1120 09:10:02.123456 1 file.go:12] boom",
        &expect![[r#"
            time 2026-11-20T09:10:02.123Z |
            level error
            tid 1 |
            caller "file.go:12" |
            message "boom" |"#]],
    );
    check(
        "Nov 20 09:10:02 web1 sshd[1]: accepted",
        &expect![[r#"
            time 2026-11-20T09:10:02.000Z |
            host "web1" |
            service "sshd" |
            procid 1 |
            message "accepted" |"#]],
    );
    // logfmt
    check(
        "time=2026-11-20T09:10:02Z level=warn msg=\"slow\"",
        &expect![[r#"
            time 2026-11-20T09:10:02.000Z |
            level warn
            message "slow" |"#]],
    );
    check("just words", &expect![[r#"message "just words" |"#]]);
    check("", &expect![[r#"message "" |"#]]);
    check("crlf line\r", &expect![[r#"message "crlf line" |"#]]);
    check(
        "\u{1b}[31mERROR\u{1b}[0m red",
        &expect![[r#"
        level error
        message "ERROR red" *"#]],
    );
}

#[test]
fn traces_have_their_first_line_as_message() {
    check(
        "TypeError: x is null\n    at f (a.js:1:2)\n    at g (b.js:3:4)",
        &expect![[r#"
        level error
        message "TypeError: x is null"
        exception.stack "TypeError: x is null\n    at f (a.js:1:2)\n    at g (b.js:3:4)" |
        exception.type "TypeError""#]],
    );
    check(
        "2026-11-20 09:10:02.123 ERROR 1 --- [main] App : failed\njava.io.IOException: gone\n\tat a.B.c(B.java:1)",
        &expect![[r#"
            time 2026-11-20T09:10:02.123Z |
            level error
            pid 1 |
            thread "main" |
            logger "App" |
            message "failed"
            exception.stack "failed\njava.io.IOException: gone\n\tat a.B.c(B.java:1)" |
            exception.type "java.io.IOException""#]],
    );
    check(
        "Traceback (most recent call last):\n  File \"w.py\", line 7, in <module>\n    x\nKeyError: 'missing'",
        &expect![[r#"
            level error
            message "KeyError: 'missing'"
            exception.stack "Traceback (most recent call last):\n  File \"w.py\", line 7, in <module>\n    x\nKeyError: 'missing'" |
            exception.type "KeyError""#]],
    );
    check(
        "panic: runtime error: index\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:5 +0x1d",
        &expect![[r#"
        level fatal
        message "panic: runtime error: index"
        exception.stack "panic: runtime error: index\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:5 +0x1d" |
        exception.type "panic""#]],
    );
    check("{\n  user: 1\n}", &expect![[r#"message "{\n  user: 1\n}" |"#]]);
}

#[test]
fn times_since_the_epoch_begin_a_line_when_they_are_near() {
    for (text, want) in [
        ("1795165802.123 GET /", "time 2026-11-20T09:10:02.123Z |\nmessage \"GET /\" |"),
        ("1795165802 up", "time 2026-11-20T09:10:02.000Z |\nmessage \"up\" |"),
        ("1795165802123\tup", "time 2026-11-20T09:10:02.123Z |\nmessage \"up\" |"),
        ("[1795165802] up", "time 2026-11-20T09:10:02.000Z |\nmessage \"up\" |"),
        ("[1795165802.000001] up", "time 2026-11-20T09:10:02.000Z |\nmessage \"up\" |"),
        ("1495165802.123456 of old", "time 2017-05-19T03:50:02.123Z |\nmessage \"of old\" |"),
        // Too old for a number that may as well be a count, too far ahead, no number of its own.
        ("1495165802 items", "message \"1495165802 items\" |"),
        ("1895165802.5 ahead", "message \"1895165802.5 ahead\" |"),
        ("1795165802", "message \"1795165802\" |"),
        ("1795165802: up", "message \"1795165802: up\" |"),
        ("1795165802.1.2 up", "message \"1795165802.1.2 up\" |"),
        ("17951658 up", "message \"17951658 up\" |"),
    ] {
        let mut fixture = Fixture::new(SourceKind::File);
        assert_eq!(fixture.show(text), want, "{text}");
        assert!(fixture.prints_back(text.as_bytes()), "{text}");
    }
}

#[test]
fn times_with_halves_of_the_day_begin_a_line() {
    for text in [
        "11/20/2026 03:04:05 PM ERROR no disk",
        "[11/20/2026 3:04:05 PM] ERROR no disk",
        "11/20/2026 03:04:05 PM - ERROR no disk",
    ] {
        let mut fixture = Fixture::new(SourceKind::File);
        let shown = fixture.show(text);
        assert_eq!(shown, "time 2026-11-20T15:04:05.000Z |\nlevel error\nmessage \"ERROR no disk\" |", "{text}");
        assert!(fixture.prints_back(text.as_bytes()), "{text}");
    }
}

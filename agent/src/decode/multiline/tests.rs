use expect_test::{Expect, expect};
use logweir_proto::batch::{ChunkBuilder, SourceKind};

use crate::decode::{Close, Format, Multiline, Scratch, Window, decode};

/// Prints the records of `input`, one a line, with the line ends inside as `⏎`.
fn check(kind: SourceKind, input: &str, want: &Expect) {
    let mut chunk = ChunkBuilder::new(0);
    let format = Format::new(kind, "", &Multiline::Auto, 1 << 20);
    let window = Window { bytes: input.as_bytes(), mid_line: false, close: Close::All };
    let decoded = decode(format, window, &mut Scratch::default(), &mut chunk);
    assert_eq!(decoded.consumed, input.len());
    let shown: String = crate::decode::lines::tests::records(&chunk)
        .iter()
        .map(|record| format!("{}\n", String::from_utf8_lossy(&record.text).replace('\n', "⏎").replace('\t', "⇥")))
        .collect();
    want.assert_eq(&shown);
}

#[test]
fn node() {
    check(
        SourceKind::Pm2,
        "\
TypeError: Cannot read properties of null (reading 'x')
    at Timeout.work [as _onTimeout] (/srv/shop/api.js:8:33)
    at listOnTimeout (node:internal/timers:581:17)
warn: pool exhausted { active: 10 }
Error: Cannot find module './nope'
Require stack:
- /srv/shop/crashy.js
    at Module._load (node:internal:1038:27) {
  code: 'MODULE_NOT_FOUND'
}
ready
",
        &expect![[r#"
            TypeError: Cannot read properties of null (reading 'x')⏎    at Timeout.work [as _onTimeout] (/srv/shop/api.js:8:33)⏎    at listOnTimeout (node:internal/timers:581:17)
            warn: pool exhausted { active: 10 }
            Error: Cannot find module './nope'⏎Require stack:⏎- /srv/shop/crashy.js⏎    at Module._load (node:internal:1038:27) {⏎  code: 'MODULE_NOT_FOUND'⏎}
            ready
        "#]],
    );
}

#[test]
fn pm2_dates_before_each_line_or_only_the_first() {
    check(
        SourceKind::Pm2,
        "\
2026-11-20 09:10 +00:00: TypeError: x
2026-11-20 09:10 +00:00:     at work (/srv/shop/api.js:8:33)
2026-11-20 09:10 +00:00: warn: pool exhausted
2026-11-20T09:11:07: TypeError: x
2026-11-20T09:11:07:     at work (/srv/shop/api.js:8:33)
2026-11-20 09:10:04.624: TypeError: y
    at work (/srv/shop/api.js:8:33)
2026-11-20 09:10:04.751: next
",
        &expect![[r#"
            2026-11-20 09:10 +00:00: TypeError: x⏎2026-11-20 09:10 +00:00:     at work (/srv/shop/api.js:8:33)
            2026-11-20 09:10 +00:00: warn: pool exhausted
            2026-11-20T09:11:07: TypeError: x⏎2026-11-20T09:11:07:     at work (/srv/shop/api.js:8:33)
            2026-11-20 09:10:04.624: TypeError: y⏎    at work (/srv/shop/api.js:8:33)
            2026-11-20 09:10:04.751: next
        "#]],
    );
}

#[test]
fn java_python_go_rust_php() {
    check(
        SourceKind::File,
        "\
java.lang.IllegalStateException: no
\tat com.example.A.b(A.java:7)
Caused by: java.io.IOException: disk
\tat com.example.C.d(C.java:9)
\t... 12 more
plain
Traceback (most recent call last):
  File \"/srv/w.py\", line 7, in <module>
    try: {}['missing']
KeyError: 'missing'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File \"/srv/w.py\", line 9, in <module>
ValueError: bad
after
panic: runtime error: index out of range

goroutine 1 [running]:
main.main()
\t/srv/x.go:5 +0x1d
exit status 2
after
thread 'main' panicked at src/main.rs:2:5:
boom
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
after
PHP Fatal error:  Uncaught Exception: no
Stack trace:
#0 /srv/a.php(3): f()
#1 {main}
  thrown in /srv/a.php on line 3
",
        &expect![[r#"
            java.lang.IllegalStateException: no⏎⇥at com.example.A.b(A.java:7)⏎Caused by: java.io.IOException: disk⏎⇥at com.example.C.d(C.java:9)⏎⇥... 12 more
            plain
            Traceback (most recent call last):⏎  File "/srv/w.py", line 7, in <module>⏎    try: {}['missing']⏎KeyError: 'missing'⏎⏎During handling of the above exception, another exception occurred:⏎⏎Traceback (most recent call last):⏎  File "/srv/w.py", line 9, in <module>⏎ValueError: bad
            after
            panic: runtime error: index out of range⏎⏎goroutine 1 [running]:⏎main.main()⏎⇥/srv/x.go:5 +0x1d⏎exit status 2
            after
            thread 'main' panicked at src/main.rs:2:5:⏎boom⏎note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
            after
            PHP Fatal error:  Uncaught Exception: no⏎Stack trace:⏎#0 /srv/a.php(3): f()⏎#1 {main}⏎  thrown in /srv/a.php on line 3
        "#]],
    );
}

#[test]
fn nginx_errors_begin_with_their_date() {
    check(
        SourceKind::NginxError,
        "\
2026/11/20 09:10:02 [error] 7#7: *1 FastCGI sent in stderr: \"PHP message: one
PHP message: two\" while reading, client: 127.0.0.1
2026/11/20 09:10:03 [warn] 7#7: x
",
        &expect![[r#"
            2026/11/20 09:10:02 [error] 7#7: *1 FastCGI sent in stderr: "PHP message: one⏎PHP message: two" while reading, client: 127.0.0.1
            2026/11/20 09:10:03 [warn] 7#7: x
        "#]],
    );
}

#[test]
fn what_is_no_trace_stays_apart() {
    check(
        SourceKind::File,
        "at home\n}\n... and 3 more\n{\"a\":1}\n{\"b\":2}\n\nend\n#1 first\n",
        &expect![[r#"
            at home
            }
            ... and 3 more
            {"a":1}
            {"b":2}

            end
            #1 first
        "#]],
    );
}

#[test]
fn an_event_has_limits() {
    let mut input = String::from("head\n");
    input.push_str(&" tail\n".repeat(1_200));
    let mut chunk = ChunkBuilder::new(0);
    let format = Format::new(SourceKind::File, "", &Multiline::Auto, 1 << 20);
    let window = Window { bytes: input.as_bytes(), mid_line: false, close: Close::All };
    decode(format, window, &mut Scratch::default(), &mut chunk);
    let lines: Vec<usize> =
        crate::decode::lines::tests::records(&chunk).iter().map(|r| r.text.split(|b| *b == b'\n').count()).collect();
    assert_eq!(lines, [500, 500, 201]);
}

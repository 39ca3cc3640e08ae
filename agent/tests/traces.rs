//! Stack traces as the runtimes write them (`tests/traces`), and what is joined of them.

use std::io::BufRead;
use std::path::Path;

use expect_test::{Expect, expect};
use logweir_agent::decode::{Format, Multiline};
use logweir_agent::preview;
use logweir_proto::batch::SourceKind;

/// Lines, rule and first line of each record.
fn check(name: &str, want: &Expect) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces").join(format!("{name}.log"));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut out = Vec::new();
    let format = Format::new(SourceKind::File, "", &Multiline::Auto, 1 << 20);
    preview::print(format, &mut bytes.as_slice(), &mut out).expect("it is shown");
    let heads =
        out.lines().map(|line| line.expect("text")).filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    want.assert_eq(&heads.map(|line| line.chars().take(90).collect::<String>() + "\n").collect::<String>());
}

#[test]
fn node() {
    check(
        "node",
        &expect![[r#"
        1-17          node        DbError: pool exhausted
        18-44         node        AggregateError: all failed
        45            single      between
        46-59         node        /srv/shop/a.js:6
    "#]],
    );
    check(
        "node-module",
        &expect![[r#"
        1             single      start
        2-23          node        node:internal/modules/cjs/loader:1210
    "#]],
    );
}

#[test]
fn java() {
    check(
        "java",
        &expect![[r#"
        1             single      INFO start
        2-19          java        java.lang.IllegalStateException: state is
        20            single      INFO between
        21-23         java        Exception in thread "worker-1" java.lang.RuntimeException: in th
        24            single      INFO next
        25-26         java        Exception in thread "main" java.lang.Exception: main
    "#]],
    );
    check(
        "java-logged",
        &expect![[r#"
            1             single      2026-11-20 09:10:00.123  INFO 7 --- [main] c.e.Shop : started
            2-9           java        2026-11-20 09:10:02.456 ERROR 7 --- [nio-8080-exec-1] o.a.c.c.C.
            10-13         java        2026-11-20 09:10:03.001 ERROR 7 --- [main] c.e.Shop : failed
            14            single      2026-11-20 09:10:04.001  WARN 7 --- [main] c.e.Shop : Connection
            15            single      2026-11-20 09:10:05.001  INFO 7 --- [main] c.e.Shop : next
        "#]],
    );
}

#[test]
fn python() {
    check(
        "python",
        &expect![[r#"
        1-16          python      2026-11-20 14:42:32,385 ERROR root: request failed
        17            single      value
        18            single      between
        19-34         python      Traceback (most recent call last):
        35            single      between 2
        36-47         python        + Exception Group Traceback (most recent call last):
        48            single      between 3
        49-55         python      Traceback (most recent call last):
        56-70         python      Traceback (most recent call last):
        71            single      last
    "#]],
    );
}

#[test]
fn go() {
    check(
        "go",
        &expect![[r#"
            1             single      2026/11/20 09:10:00 listening on :8080
            2-10          go          panic: runtime error: invalid memory address or nil pointer dere
            11            single      2026/11/20 09:10:05 listening on :8080
            12-21         go          2026/11/20 09:11:00 http: panic serving 127.0.0.1:53412: boom
            22            single      2026/11/20 09:11:01 next
            23-34         go          fatal error: all goroutines are asleep - deadlock!
            35            single      after
        "#]],
    );
}

#[test]
fn rust() {
    check(
        "rust",
        &expect![[r#"
        1             single      start
        2             single
        3-20          rust        thread 'worker 1' (9140) panicked at a.rs:3:107:
        21            single      between
        22            single
        23-48         rust        thread 'main' (9139) panicked at a.rs:1:31:
        49            single      between 2
        50            single
        51-66         rust        thread 'main' (9139) panicked at a.rs:5:132:
    "#]],
    );
}

#[test]
fn dotnet() {
    check(
        "dotnet",
        &expect![[r#"
            1-2           indented    info: Microsoft.Hosting.Lifetime[14]
            3-8           dotnet      fail: Microsoft.AspNetCore.Server.Kestrel[13]
            9-10          indented    info: Shop[0]
            11-17         dotnet      Unhandled exception. System.AggregateException: One or more erro
            18            single      done
            19-21         dotnet      System.ArgumentException: Value does not fall
            22            single      after
        "#]],
    );
}

#[test]
fn ruby() {
    check(
        "ruby",
        &expect![[r#"
            1             single      I, [2026-11-20T09:10:00.123456 #7]  INFO -- : started
            2-8           ruby        /srv/shop/app.rb:3:in `price': undefined method `cents' for nil:
            9-11          ruby        E, [2026-11-20T09:10:02.123456 #7] ERROR -- : pool exhausted (Po
            12            single      I, [2026-11-20T09:10:03.123456 #7]  INFO -- : next
            13-16         ruby        ActiveRecord::RecordNotFound (Couldn't find User with 'id'=7):
            17            single      Started GET "/" for 127.0.0.1 at 2026-11-20 09:10:04 +0000
        "#]],
    );
}

#[test]
fn php_and_perl() {
    check(
        "php",
        &expect![[r#"
        1             single      [20-Nov-2026 09:10:00 UTC] PHP Warning:  Undefined variable $x i
        2-11          php         PHP Fatal error:  Uncaught RuntimeException: no pool in /srv/sho
        12-20         php         [2026-11-20 09:10:01] production.ERROR: no pool {"exception":"[o
        21            single      [2026-11-20 09:10:02] production.INFO: next
    "#]],
    );
    check(
        "perl",
        &expect![[r#"
        1-4           indented    it broke at a.pl line 1.
        5             single      next
    "#]],
    );
}

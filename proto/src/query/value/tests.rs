//! What literals, times and wildcard patterns mean, in tables.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::query::ast::{Span, TimeExpr, TimeUnit};

fn literal(text: &str) -> Literal {
    Literal { text: text.to_owned(), quoted: false, span: Span::default() }
}

fn check(texts: &[&str], show: impl Fn(&str) -> String, want: &Expect) {
    let lines: Vec<String> = texts.iter().map(|text| format!("{text:?} {}\n", show(text))).collect();
    want.assert_eq(&lines.concat());
}

#[test]
fn numbers_carry_units() {
    let texts = [
        "500",
        "-5",
        "1e3",
        "5.0",
        "2.5",
        "250ms",
        "1.5s",
        "100us",
        "-10m",
        "10MB",
        "4KiB",
        "9223372036854775807",
        "9007199254740993.0",
        "inf",
        "nan",
        "5xx",
        "",
        "-",
        "+7",
    ];
    check(
        &texts,
        |text| format!("{:?} {:?}", literal(text).as_i64(), literal(text).as_f64()),
        &expect![[r#"
            "500" Some(500) Some(500.0)
            "-5" Some(-5) Some(-5.0)
            "1e3" Some(1000) Some(1000.0)
            "5.0" Some(5) Some(5.0)
            "2.5" None Some(2.5)
            "250ms" Some(250) Some(250.0)
            "1.5s" Some(1500) Some(1500.0)
            "100us" None Some(0.1)
            "-10m" Some(-600000) Some(-600000.0)
            "10MB" Some(10000000) Some(10000000.0)
            "4KiB" Some(4096) Some(4096.0)
            "9223372036854775807" Some(9223372036854775807) Some(9.223372036854776e18)
            "9007199254740993.0" None Some(9007199254740992.0)
            "inf" None None
            "nan" None None
            "5xx" None None
            "" None None
            "-" None None
            "+7" Some(7) Some(7.0)
        "#]],
    );
}

#[test]
fn quotes_make_everything_text_but_times() {
    let quoted = |text: &str| Literal { text: text.to_owned(), quoted: true, span: Span::default() };
    assert_eq!(quoted("500").as_i64(), None);
    assert_eq!(quoted("500").as_f64(), None);
    assert_eq!(quoted("true").as_bool(), None);
    assert_eq!(quoted("error").as_level(), None);
    assert_eq!(quoted("1970-01-01").as_time(5), Some(0));
    assert_eq!(literal("TRUE").as_bool(), Some(true));
    assert_eq!(literal("false").as_bool(), Some(false));
    assert_eq!(literal("1").as_bool(), None);
    assert_eq!(literal("Warning").as_level(), Some(Level::Warn));
    assert_eq!(literal("50").as_level(), Some(Level::Error));
    assert_eq!(literal("3").as_level(), None);
}

#[test]
fn times_are_read_as_people_write_them() {
    // 2026-11-20T10:30:45.5Z, a Friday.
    let now_ns = 1_795_170_645_500_000_000;
    let texts = [
        "now",
        "now-1h",
        "now+1h",
        "now-1h/d",
        "now/w",
        "now/h",
        "now/m",
        "now/s",
        "-10m",
        "10m",
        "1h30m",
        "2026-11-01",
        "2026-11-01T10:00Z",
        "2026-11-01T10:00:00.123456789+02:00",
        "2026-11-01 10:00",
        "2026-11-01T10:00:00",
        "1795170645",
        "1795170645.5",
        "1795170645500",
        "1795170645500000",
        "1795170645500000000",
        "-1",
        "0",
        " 10m ",
        "now-",
        "now-1x",
        "now/y",
        "yesterday",
        "",
        "2026-13-01",
        "99999999999999999999",
        "1.",
        "300y",
        "400000d",
    ];
    let show = |text: &str| match parse_time(text, now_ns) {
        Some(ns) => TimeExpr::At(ns).to_string(),
        None => "-".to_owned(),
    };
    check(
        &texts,
        show,
        &expect![[r#"
        "now" 2026-11-20T10:30:45.5Z
        "now-1h" 2026-11-20T09:30:45.5Z
        "now+1h" 2026-11-20T11:30:45.5Z
        "now-1h/d" 2026-11-20T00:00:00Z
        "now/w" 2026-11-16T00:00:00Z
        "now/h" 2026-11-20T10:00:00Z
        "now/m" 2026-11-20T10:30:00Z
        "now/s" 2026-11-20T10:30:45Z
        "-10m" 2026-11-20T10:20:45.5Z
        "10m" 2026-11-20T10:20:45.5Z
        "1h30m" 2026-11-20T09:00:45.5Z
        "2026-11-01" 2026-11-01T00:00:00Z
        "2026-11-01T10:00Z" 2026-11-01T10:00:00Z
        "2026-11-01T10:00:00.123456789+02:00" 2026-11-01T08:00:00.123456789Z
        "2026-11-01 10:00" 2026-11-01T10:00:00Z
        "2026-11-01T10:00:00" 2026-11-01T10:00:00Z
        "1795170645" 2026-11-20T10:30:45Z
        "1795170645.5" 2026-11-20T10:30:45.5Z
        "1795170645500" 2026-11-20T10:30:45.5Z
        "1795170645500000" 2026-11-20T10:30:45.5Z
        "1795170645500000000" 2026-11-20T10:30:45.5Z
        "-1" 1969-12-31T23:59:59Z
        "0" 1970-01-01T00:00:00Z
        " 10m " 2026-11-20T10:20:45.5Z
        "now-" -
        "now-1x" -
        "now/y" -
        "yesterday" -
        "" -
        "2026-13-01" -
        "99999999999999999999" -
        "1." -
        "300y" -
        "400000d" -
    "#]],
    );
}

#[test]
fn weeks_begin_on_monday_before_the_epoch_too() {
    let day = 86_400_000_000_000;
    assert_eq!(TimeUnit::Week.floor(0), -3 * day);
    assert_eq!(TimeUnit::Week.floor(4 * day), 4 * day);
    assert_eq!(TimeUnit::Day.floor(-1), -day);
    for unit in TimeUnit::ALL {
        assert!(unit.floor(i64::MIN) <= unit.floor(i64::MAX));
    }
}

#[test]
fn wildcards_become_regexes() {
    let texts = ["fail*", "te?t", "*frag*", "*", "**", "*end", "a.b*", r"100\%*", r"\**", r"*a\*", r"a\", "?"];
    check(
        &texts,
        glob_to_regex,
        &expect![[r#"
        "fail*" (?is)^fail.*$
        "te?t" (?is)^te.t$
        "*frag*" (?is)frag
        "*" (?is)
        "**" (?is)
        "*end" (?is)^.*end$
        "a.b*" (?is)^a\.b.*$
        "100\\%*" (?is)^100%.*$
        "\\**" (?is)^\*.*$
        "*a\\*" (?is)^.*a\*$
        "a\\" (?is)^a\\$
        "?" (?is)^.$
    "#]],
    );
    let matches =
        |glob: &str, text: &str| regex::Regex::new(&glob_to_regex(glob)).expect("a glob is a regex").is_match(text);
    assert!(matches("fail*", "FAILED\nagain"));
    assert!(!matches("fail*", "it failed"));
    assert!(matches("*frag*", "a FRAGment"));
    assert!(matches("te?t", "tent") && !matches("te?t", "tet"));
    assert!(matches(r"\**", "*bold") && !matches(r"\**", "bold"));
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,40}|[0-9nowTZsmhd:./+*?\\\\-]{0,24}", now_ns: i64) {
        let word = literal(&text);
        let _ = (word.as_i64(), word.as_f64(), word.as_bool(), word.as_level(), word.as_time(now_ns));
        let _ = parse_time(&text, now_ns);
        prop_assert!(regex::Regex::new(&glob_to_regex(&text)).is_ok());
    }

    #[test]
    fn a_time_is_read_back_exactly(ns: i64, unit in proptest::sample::select(&TimeUnit::ALL[..])) {
        let ago = ns.max(-i64::MAX);
        for time in [TimeExpr::At(ns), TimeExpr::Ago(ago), TimeExpr::AgoFloor(ago, unit)] {
            // The calendar has nanoseconds, and so has every other form.
            prop_assert_eq!(parse_time_expr(&time.to_string()), Some(time), "{}", time);
        }
    }
}

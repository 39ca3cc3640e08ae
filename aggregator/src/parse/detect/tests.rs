//! What is remembered of a source, and for how long.

use logweir_proto::batch::SourceKind;

use super::*;
use crate::parse::tests::fixture::Fixture;

const ACCESS_LINE: &str = r#"1.2.3.4 - - [20/Nov/2026:09:14:45 +0000] "GET / HTTP/1.1" 200 3 "-" "curl""#;

fn has_status(fixture: &mut Fixture, text: &str) -> bool {
    fixture.parse(text.as_bytes());
    fixture.field(text.as_bytes(), "status").is_some()
}

#[test]
fn the_first_lines_tell_the_format() {
    let error_line = r#"2026/11/20 09:14:45 [error] 1#1: *2 boom, client: ::1, server: l"#;
    let with_more = format!(r#"{ACCESS_LINE} "203.0.113.9" 0.012"#);
    let common = ACCESS_LINE.split_at(ACCESS_LINE.len() - 11).0;
    for (text, field) in
        [(ACCESS_LINE, "user_agent"), (&with_more, "rest"), (common, "status"), (error_line, "client_ip")]
    {
        let mut fixture = Fixture::new(SourceKind::Docker);
        fixture.parse(b"booting");
        fixture.parse(text.as_bytes());
        assert!(fixture.field(text.as_bytes(), field).is_some(), "{text}");
    }
}

#[test]
fn a_known_format_survives_odd_lines_and_json_between() {
    let mut fixture = Fixture::new(SourceKind::File);
    assert!(has_status(&mut fixture, ACCESS_LINE));
    for i in 0..10_000u32 {
        assert!(!has_status(&mut fixture, "odd [line]"));
        if i % 100 == 0 {
            assert!(has_status(&mut fixture, ACCESS_LINE));
            assert!(has_status(&mut fixture, r#"{"status":200,"msg":"x"}"#));
        }
    }
}

#[test]
fn a_change_of_format_is_noticed_after_some_misses() {
    let mut fixture = Fixture::new(SourceKind::File);
    for _ in 0..1000 {
        assert!(!has_status(&mut fixture, "plain [text]"));
    }
    let missed = (0..2 * MISSES_MAX).take_while(|_| !has_status(&mut fixture, ACCESS_LINE)).count();
    assert!(missed <= MISSES_MAX as usize, "{missed} lines were missed");
    assert!(has_status(&mut fixture, ACCESS_LINE));
}

#[test]
fn two_formats_in_one_stream_are_both_remembered() {
    let error_line = r#"2026/11/20 09:14:45 [error] 1#1: *2 boom, client: ::1, server: l"#;
    let mut fixture = Fixture::new(SourceKind::Docker);
    for i in 0..1000 {
        let (text, name) = if i % 10 == 9 { (error_line, "server") } else { (ACCESS_LINE, "status") };
        fixture.parse(text.as_bytes());
        assert!(fixture.field(text.as_bytes(), name).is_some(), "{i}");
    }
    let reading = fixture.parser.reading();
    assert_eq!((reading.inner, reading.lines, reading.lines_read), (Some("nginx"), 1000, 1000));
}

#[test]
fn odd_lines_of_another_format_do_not_change_what_is_known() {
    let mut fixture = Fixture::new(SourceKind::File);
    for _ in 0..100 {
        assert!(has_status(&mut fixture, ACCESS_LINE));
    }
    for i in 0..10_000 {
        let odd = ["WARNING:root:low", "a=1 b=2", "[2026-11-20 09:10:02] [ERROR] boom"][i % 3];
        fixture.parse(odd.as_bytes());
        if i % 7 == 0 {
            assert!(has_status(&mut fixture, ACCESS_LINE), "{i}");
        }
    }
    assert_eq!(fixture.parser.reading().inner, Some("nginx"));
}

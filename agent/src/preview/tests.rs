use expect_test::expect;
use logweir_proto::batch::SourceKind;

use super::*;
use crate::decode::Multiline;
use crate::decode::multiline::StartRule;

fn shown(kind: SourceKind, multiline: &Multiline, input: &[u8]) -> String {
    let mut out = Vec::new();
    print(Format::new(kind, "", multiline, 64 << 10), &mut &input[..], &mut out).expect("memory is written");
    String::from_utf8(out).expect("text")
}

#[test]
fn records_are_shown_with_their_lines_and_rule() {
    let input = b"ready\nTypeError: x\n    at f (/a.js:1:2)\n    at g (/a.js:3:4)\nred \x1b[31m\nlast, without its end";
    expect![[r#"
        1             single      ready
        2-4           node        TypeError: x
                                      at f (/a.js:1:2)
                                      at g (/a.js:3:4)
        5             single      red �[31m
        6             single      last, without its end
    "#]]
    .assert_eq(&shown(SourceKind::File, &Multiline::Auto, input));
    let rule = Multiline::Start(StartRule::new(r"^\d{4}-").expect("a pattern"));
    expect![[r#"
        1             single      2026-11-20 one
        2-4           start       2026-11-20 two
                                  three

        5             single      2026-11-20 four
    "#]]
    .assert_eq(&shown(SourceKind::File, &rule, b"2026-11-20 one\n2026-11-20 two\nthree\n\n2026-11-20 four\n"));
}

#[test]
fn a_file_larger_than_a_window_is_shown_once() {
    let mut input = Vec::new();
    for at in 0..60_000 {
        input.extend_from_slice(format!("line {at}\n").as_bytes());
    }
    let shown = shown(SourceKind::File, &Multiline::Auto, &input);
    assert_eq!(shown.lines().count(), 60_000);
    assert!(shown.ends_with("60000         single      line 59999\n"));
}

#[test]
fn pieces_in_envelopes_are_joined_with_their_time_and_stream() {
    let input = concat!(
        "2026-11-20T09:18:45.5+00:00 stdout P one \n",
        "2026-11-20T09:18:46+00:00 stderr F oops\n",
        "2026-11-20T09:18:47+00:00 stdout F line\n",
    );
    let mut seen = Vec::new();
    let format = Format::new(SourceKind::Cri, "", &Multiline::Auto, 64 << 10);
    let read = records(format, &mut input.as_bytes(), &mut |record| {
        let told = record.told;
        seen.push((String::from_utf8_lossy(&told.text).into_owned(), told.stream.as_str(), told.time_ns));
        Ok(())
    });
    read.expect("memory is read");
    assert_eq!(
        seen,
        [
            ("oops".to_owned(), Some("stderr"), Some(1_795_166_326_000_000_000)),
            ("one line".to_owned(), Some("stdout"), Some(1_795_166_325_500_000_000)),
        ]
    );
}

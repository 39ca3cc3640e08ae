//! Each format on the same rows: ordinary ones, and hostile ones.

use std::io::Write;
use std::sync::{Arc, Mutex};

use expect_test::{Expect, expect};
use jiff::tz::TimeZone;
use serde_json::json;

use super::*;

/// Collects what is written, so that a test can look at it.
#[derive(Clone, Default)]
pub(crate) struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("utf-8")
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn console() -> (Console, Sink, Sink) {
    let (out, err) = (Sink::default(), Sink::default());
    let console = Console {
        out: Box::new(out.clone()),
        err: Box::new(err.clone()),
        style: Style { on: false },
        err_style: Style { on: false },
        zone: TimeZone::UTC,
        interactive: false,
        talkative: false,
    };
    (console, out, err)
}

fn rows() -> Vec<Row> {
    [
        json!({"time":"2026-11-20T09:13:36.536000001Z","level":"error","service":"api","host":"web-1","status":502,
               "message":"upstream timed out","raw":"{\"msg\":\"upstream timed out\"}",
               "exception.stack":"Error: x\n    at a (b.js:1)"}),
        json!({"time":"2026-11-20T09:13:37Z","level":"info","service":"payments","host":"web-1",
               "message":"=cmd|' /C calc'!A0 \u{1b}[31m, \"q\"\u{202e}\nforged","raw":"a\u{1b}[31mb"}),
    ]
    .into_iter()
    .map(|value| value.as_object().expect("an object").clone())
    .collect()
}

fn check(format: OutputFormat, fields: &[&str], want: &Expect) {
    let fields: Vec<String> = fields.iter().map(|name| (*name).to_owned()).collect();
    let (mut console, out, _) = console();
    let mut printer = printer(format, &fields, "timed");
    printer.start(&Shape { columns: Vec::new(), events: true }, &mut console).expect("starts");
    for (seq, row) in rows().iter().enumerate() {
        let id = EventId { time_ns: 0, seq: seq as u64 };
        printer.row(Some(id), row, &mut console).expect("prints");
    }
    printer.finish(&mut console).expect("ends");
    // Signs of our own, so that this file holds no character that changes how it is read.
    want.assert_eq(&out.text().replace('\u{202e}', "<RLO>").replace('\u{1b}', "<ESC>").replace('\r', "<CR>"));
}

#[test]
fn pretty_is_one_line_an_event_and_shows_hostile_text_as_signs() {
    check(
        OutputFormat::Pretty,
        &[],
        &expect![[r#"
        2026-11-20 09:13:36.536 E api upstream timed out
            Error: x
                at a (b.js:1)
        2026-11-20 09:13:37.000 I payments =cmd|' /C calc'!A0 ␛[31m, "q"<U+202E>␊forged
    "#]],
    );
    check(
        OutputFormat::Pretty,
        &["status", "message"],
        &expect![[r#"
        2026-11-20 09:13:36.536 E status=502 upstream timed out
        2026-11-20 09:13:37.000 I =cmd|' /C calc'!A0 ␛[31m, "q"<U+202E>␊forged
    "#]],
    );
}

#[test]
fn what_pipes_choose_and_make_is_shown_in_every_format() {
    let shown = |format, columns: &[&str], row: serde_json::Value| {
        let (mut console, out, _) = console();
        let mut printer = printer(format, &[], "");
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        printer.start(&Shape { columns, events: true }, &mut console).expect("starts");
        printer.row(None, row.as_object().expect("an object"), &mut console).expect("prints");
        printer.finish(&mut console).expect("ends");
        out.text()
    };
    let chosen = || json!({"status": 502, "path": "/a"});
    assert_eq!(shown(OutputFormat::Pretty, &["status", "path"], chosen()), "status=502 path=/a\n");
    assert_eq!(shown(OutputFormat::Table, &["status", "path"], chosen()), "status  path\n   502  /a\n");
    assert_eq!(shown(OutputFormat::Csv, &["status", "path"], chosen()), "status,path\r\n502,/a\r\n");
    let made =
        || json!({"time": "2026-11-20T09:13:37Z", "level": "info", "service": "api", "message": "took 7ms", "ms": 7});
    let columns = ["time", "level", "service", "message", "ms"];
    assert_eq!(shown(OutputFormat::Pretty, &columns, made()), "2026-11-20 09:13:37.000 I api took 7ms ms=7\n");
}

#[test]
fn a_request_is_shown_with_how_it_ended() {
    let shown = |row: serde_json::Value| {
        let (mut console, out, _) = console();
        let mut printer = printer(OutputFormat::Pretty, &[], "");
        printer.row(None, row.as_object().expect("an object"), &mut console).expect("prints");
        out.text()
    };
    let row = |message: &str| {
        json!({"time": "2026-11-20T09:13:37Z", "service": "nginx", "method": "GET", "status": 502, "duration_ms": 1001.5,
               "message": message})
    };
    assert_eq!(shown(row("GET /pay HTTP/1.1")), "2026-11-20 09:13:37.000 · nginx GET /pay HTTP/1.1 502 1001.5ms\n");
    assert_eq!(shown(row("GET /pay 502 1001ms")), "2026-11-20 09:13:37.000 · nginx GET /pay 502 1001ms\n");
    assert_eq!(shown(row("request errored")), "2026-11-20 09:13:37.000 · nginx request errored\n");
}

#[test]
fn raw_is_what_was_written() {
    check(
        OutputFormat::Raw,
        &[],
        &expect![[r#"
            {"msg":"upstream timed out"}
            a<ESC>[31mb
        "#]],
    );
}

#[test]
fn raw_of_a_line_that_is_no_text_is_its_bytes() {
    let (mut console, out, _) = console();
    let mut printer = printer(OutputFormat::Raw, &[], "timed");
    for row in [json!({"raw": "a\\xFF", "raw_base64": "Yf8="}), json!({"raw": "plain \\xFF"})] {
        printer.row(None, row.as_object().expect("an object"), &mut console).expect("prints");
    }
    assert_eq!(*out.0.lock().expect("not poisoned"), b"a\xff\nplain \\xFF\n");
}

#[test]
fn json_is_one_object_a_line_with_its_id() {
    check(
        OutputFormat::Json,
        &[],
        &expect![[r#"
            {"id":"40000000000000000000000000","time":"2026-11-20T09:13:36.536000001Z","level":"error","service":"api","host":"web-1","status":502,"message":"upstream timed out","raw":"{\"msg\":\"upstream timed out\"}","exception.stack":"Error: x\n    at a (b.js:1)"}
            {"id":"40000000000000000000000001","time":"2026-11-20T09:13:37Z","level":"info","service":"payments","host":"web-1","message":"=cmd|' /C calc'!A0 \u001b[31m, \"q\"<RLO>\nforged","raw":"a\u001b[31mb"}
        "#]],
    );
}

#[test]
fn logfmt_quotes_what_needs_it() {
    check(
        OutputFormat::Logfmt,
        &["level", "message", "status"],
        &expect![[r#"
            level=error message="upstream timed out" status=502
            level=info message="=cmd|' /C calc'!A0 \u001b[31m, \"q\"\u202e\nforged"
        "#]],
    );
}

#[test]
fn csv_quotes_and_disarms_formulas() {
    check(
        OutputFormat::Csv,
        &["status", "message"],
        &expect![[r#"
            status,message<CR>
            502,upstream timed out<CR>
            ,"'=cmd|' /C calc'!A0 <ESC>[31m, ""q""<RLO>
            forged"<CR>
        "#]],
    );
}

#[test]
fn tables_align_numbers_to_the_right() {
    check(
        OutputFormat::Table,
        &["service", "status", "message"],
        &expect![[r#"
        service   status  message
        api          502  upstream timed out
        payments          =cmd|' /C calc'!A0 ␛[31m, "q"<U+202E>␊forged
    "#]],
    );
}

#[test]
fn colour_is_a_second_sign_beside_the_letter() {
    let (mut console, out, _) = console();
    console.style = Style { on: true };
    let mut printer = printer(OutputFormat::Pretty, &[], "timed");
    printer.row(None, &rows()[0], &mut console).expect("prints");
    let text = out.text();
    assert!(text.contains("\x1b[31mE\x1b[0m"), "{text:?}");
    assert!(text.contains("upstream \x1b[1;33mtimed\x1b[0m out"), "{text:?}");
}

proptest::proptest! {
    #[test]
    fn no_control_character_of_a_log_reaches_the_terminal(message in "[\\x00-\\u{ff}\\u{2000}-\\u{20ff}]{0,40}") {
        let (mut console, out, _) = console();
        let row = json!({"time": message, "level": message, "service": message, "message": message,
                         "exception.stack": message}).as_object().expect("an object").clone();
        for format in [OutputFormat::Pretty, OutputFormat::Table] {
            let mut printer = printer(format, &[], &message);
            printer.start(&Shape { columns: Vec::new(), events: true }, &mut console).expect("starts");
            printer.row(None, &row, &mut console).expect("prints");
            printer.finish(&mut console).expect("ends");
        }
        let text = out.text();
        let hostile = |c: char| (c.is_control() && c != '\n' && c != '\t') || ('\u{202a}'..='\u{202e}').contains(&c);
        proptest::prop_assert!(!text.chars().any(hostile), "{:?}", text);
    }
}

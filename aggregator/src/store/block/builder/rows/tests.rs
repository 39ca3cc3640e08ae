//! The short way and the long way make the same block.

use arrow::array::Array;
use logweir_proto::batch::{SourceInfo, SourceKind, Stream};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;
use crate::parse::line::Line;
use crate::parse::{Input, Parser};
use crate::store::block::Block;

const RECEIVED_NS: i64 = 1_795_176_000_000_000_000;

const TIMED: &str = r#"$remote_addr [$time_local] "$request" $status $request_length $bytes_sent $http_host"#;

/// Formats whose lines have rows, and some whose lines have none.
const FORMATS: [&str; 8] = [
    "",
    TIMED,
    r#""$request" -$status- $connection"#,
    r#"<$http_y> ($http_x) "$request" [$time_local]"#,
    r#"$status $upstream_status "$request""#,
    r#"$status "$request" $status"#,
    r#"$time_local|$route|$request"#,
    r#"$remote_addr $request_time"#,
];

/// Lines by both ways, and how many had a row.
struct Both {
    names: [Names; 2],
    parsers: [Parser; 2],
    builders: [BlockBuilder; 2],
    line: Line,
    lines: Vec<Vec<u8>>,
    rows: usize,
}

impl Both {
    fn new(format: &str, labels: &[(&str, &str)]) -> Both {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (id, path, format) = ("s".to_owned(), "/var/log/a.log".to_owned(), format.to_owned());
        let source = SourceInfo { id, kind: SourceKind::NginxAccess, path, format, labels };
        let mut names = [Names::default(), Names::default()];
        let parsers = [0, 1].map(|i| Parser::new(&source, "web-1", &mut names[i]));
        let builders = [BlockBuilder::default(), BlockBuilder::default()];
        Both { names, parsers, builders, line: Line::default(), lines: Vec::new(), rows: 0 }
    }

    /// Gives both the line; what is later than `latest_ns` is not believed.
    fn push(&mut self, text: &[u8], latest_ns: i64) {
        let Both { names: [short_names, names], parsers: [short, long], builders: [short_builder, builder], .. } = self;
        let input = Input { text, time_ns: None, stream: Stream::None, received_ns: RECEIVED_NS };
        let seq = self.lines.len() as u64;
        let believed =
            |told: Option<i64>| told.filter(|time_ns| *time_ns <= latest_ns).unwrap_or(RECEIVED_NS + seq as i64);
        long.parse(names, input, &mut self.line);
        builder.push(names, &self.line, text, believed(self.line.time_ns), seq);
        short.read(short_names, input, None, &mut self.line);
        short_builder.push(short_names, &self.line, text, believed(self.line.time_ns), seq);
        self.rows += usize::from(self.line.row().is_some());
        self.lines.push(text.to_vec());
    }

    /// How many lines had a row, when all is the same.
    fn check(self) -> usize {
        assert_eq!(self.parsers[0].reading(), self.parsers[1].reading());
        let [short, long] = self.builders.map(BlockBuilder::finish);
        assert_eq!(short.layout().keys(), long.layout().keys());
        assert_eq!(short.shapes(), long.shapes());
        for (i, key) in long.layout().keys().iter().enumerate() {
            let at = crate::store::column::FIELD_COLUMNS_AT + i;
            assert_eq!(short.batch().column(at).data_type(), long.batch().column(at).data_type(), "{key:?}");
            assert_eq!(short.batch().column(at), long.batch().column(at), "{key:?}");
        }
        assert_eq!(short.batch(), long.batch());
        assert_eq!(short.fields(), long.fields());
        assert_eq!(short.extra_fields(), long.extra_fields());
        assert_eq!(short.raw_bytes(), long.raw_bytes());
        check_lines(&short, &self.lines);
        self.rows
    }
}

fn check_lines(block: &Block, lines: &[Vec<u8>]) {
    let all: Vec<u32> = (0..lines.len() as u32).collect();
    let back = block.raw(&all).expect("every line is rebuilt");
    for (seq, back) in block.seqs().iter().zip(back) {
        assert_eq!(back.escape_ascii().to_string(), lines[*seq as usize].escape_ascii().to_string());
    }
}

fn combined(client: &str, time: &str, request: &str, numbers: &str, texts: &str) -> String {
    format!("{client} - - [{time}] \"{request}\" {numbers} {texts}")
}

const TIME: &str = "20/Nov/2026:09:10:02 +0000";

#[test]
fn a_line_of_a_format_goes_the_short_way_and_what_is_odd_does_not() {
    let combined = |request: &str| combined("1.2.3.4", TIME, request, "200 17", r#""-" "curl""#);
    for (line, has_row) in [
        (combined("GET / HTTP/1.1"), true),
        (combined("GET /a?b=c HTTP/2.0"), true),
        (combined("POST /users/42/x HTTP/1.1"), true),
        (combined("PURGE * HTTP/1.1"), true),
        (combined("GET /old"), true),
        (combined("GET /a b c HTTP/1.1"), true),
        (combined("-"), false),
        (combined(""), false),
        (combined("hello"), false),
        (combined(r"\x16\x03"), false),
        (combined("GET /é HTTP/1.1"), false),
        (combined("GET /\" 200 17 HTTP/1.1"), false),
        (combined("GET / HTTP/1.1") + "\r", false),
        (combined("GET / HTTP/1.1") + " ", false),
        (combined("GET / HTTP/1.1").replace("200", "099"), false),
        (combined("GET / HTTP/1.1").replace("200", "2000"), false),
        (combined("GET / HTTP/1.1").replace("200", "-"), true),
        (combined("GET / HTTP/1.1").replace(" 17 ", " 0 "), true),
        (combined("GET / HTTP/1.1").replace(" 17 ", " 017 "), false),
        (combined("GET / HTTP/1.1").replace(" 17 ", " 999999999999999999 "), true),
        (combined("GET / HTTP/1.1").replace(" 17 ", " 9223372036854775808 "), false),
        (combined("GET / HTTP/1.1").replace(" 17 ", " 1, 2 "), false),
        (combined("GET / HTTP/1.1").replace("1.2.3.4", "1.2\"3.4"), false),
        (combined("GET / HTTP/1.1").replace("- - [", "- user ["), true),
        (combined("GET / HTTP/1.1").replace("- - [", "- a user ["), false),
        (combined("GET / HTTP/1.1").replace("- - [", "- x [y] ["), false),
        (combined("GET / HTTP/1.1").replace("- - [", "-  ["), true),
        (combined("GET / HTTP/1.1").replace("\"curl\"", "\"a \"b\" c\""), true),
        (combined("GET / HTTP/1.1").replace("\"curl\"", "\"\""), true),
        (combined("GET / HTTP/1.1").replace("10:02 +", "10:60 +"), false),
        (combined("GET / HTTP/1.1").replace("09:10", "24:10"), false),
        (combined("GET / HTTP/1.1").replace("09:10", "09-10"), false),
        (combined("GET / HTTP/1.1").replace("Nov", "Nop"), false),
        (combined("GET / HTTP/1.1").replace("20/Nov", "31/Nov"), false),
        (combined("GET / HTTP/1.1").replace(TIME, "-"), true),
        (combined("GET / HTTP/1.1").replace(TIME, "20/Nov/2026:09:10:02 -0730"), true),
    ] {
        // Behind a line that leaves something to be remembered, and alone.
        for before in [None, Some(combined("GET / HTTP/1.1"))] {
            let mut both = Both::new("", &[]);
            let had = before.iter().map(|before| both.push(before.as_bytes(), i64::MAX)).count();
            both.push(line.as_bytes(), i64::MAX);
            assert_eq!(both.check() - had, usize::from(has_row), "{line}");
        }
    }
}

#[test]
fn times_that_are_near_each_other_are_each_their_own() {
    let mut both = Both::new("", &[]);
    for day in ["19/Nov/2026", "20/Nov/2026", "31/Dec/1969", "01/Jan/1970", "29/Feb/2024", "29/Feb/2023"] {
        for clock in ["00:00:00", "00:00:01", "23:59:59", "23:59:60", "12:34:56", "1:02:03", "12:34:56"] {
            for zone in ["+0000", "-0000", "+1245", "-0930", "+9999", "0000 "] {
                let line = combined("::1", &format!("{day}:{clock} {zone}"), "GET / HTTP/1.1", "200 1", r#""-" "-""#);
                both.push(line.as_bytes(), i64::MAX);
            }
        }
    }
    assert_eq!(both.check(), 5 * 5 * 3);
}

#[test]
fn a_time_that_is_not_believed_keeps_the_line_whole() {
    let mut both = Both::new("", &[]);
    for (day, _) in ["19", "21", "19", "21"].iter().zip(0..) {
        let line =
            combined("1.2.3.4", &TIME.replace("20/", &format!("{day}/")), "GET / HTTP/1.1", "200 1", r#""-" "x""#);
        both.push(line.as_bytes(), RECEIVED_NS);
    }
    assert_eq!(both.check(), 4);
}

#[test]
fn texts_that_stop_being_numbered_and_routes_of_numbered_paths_are_the_same() {
    for (paths, ids) in [(7, 3), (4000, 2), (600, 600), (1, 4000)] {
        let mut both = Both::new("", &[]);
        for i in 0..3000u32 {
            let mixed = i.wrapping_mul(2_654_435_761) >> 8;
            let request = format!("GET /p{}x/{}?q={i} HTTP/1.1", mixed % paths, mixed % ids);
            let client = format!("10.0.{}.{}", mixed % 9, mixed % 251);
            let line = combined(&client, TIME, &request, &format!("200 {mixed}"), r#""-" "agent""#);
            both.push(line.as_bytes(), i64::MAX);
        }
        assert_eq!(both.check(), 3000);
    }
}

#[test]
fn labels_with_the_names_of_values_hold_for_lines_that_lack_them() {
    for (label, rows) in [("team", 2), ("query", 0), ("route", 0), ("http_referer", 0), ("seq", 2)] {
        let mut both = Both::new("", &[(label, "of all"), ("service", "shop")]);
        for request in ["GET /a HTTP/1.1", "GET /a?b HTTP/1.1"] {
            both.push(combined("1.2.3.4", TIME, request, "200 1", r#""-" "x""#).as_bytes(), i64::MAX);
        }
        assert_eq!(both.check(), rows, "{label}");
    }
}

#[test]
fn rows_find_no_column_where_others_took_all() {
    let mut both = Both::new("", &[("team", "pay")]);
    let mut line = Line::default();
    for i in 0..crate::store::column::COLUMNS_MAX {
        for side in 0..2 {
            line.clear();
            let name = both.names[side].intern(&format!("field{i}")).expect("there is room");
            line.push_raw(name, 0..1);
            both.builders[side].push(&both.names[side], &line, b"1", RECEIVED_NS, i as u64);
        }
        both.lines.push(b"1".to_vec());
    }
    for request in ["GET /a?b HTTP/1.1", "GET /users/17 HTTP/1.1"] {
        both.push(combined("1.2.3.4", TIME, request, "200 1", r#""-" "x""#).as_bytes(), i64::MAX);
    }
    assert_eq!(both.check(), 2);
}

fn any_of(texts: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(texts)
}

/// Values that are right, nearly right, and wrong.
fn any_value() -> impl Strategy<Value = &'static str> {
    any_of(&[
        "-",
        "",
        "--",
        "-x",
        "1.2.3.4",
        "2001:db8::1",
        "unix:",
        "a b",
        "\"",
        "x\"y",
        "[",
        "]",
        "200",
        "404",
        "007",
        "20",
        "2000",
        "0",
        "17",
        "123456789012345678",
        "1234567890123456789",
        "99999999999999999999",
        "1, 2",
        "0.012",
        "GET / HTTP/1.1",
        "GET /a/b?c=d&e HTTP/1.1",
        "POST /users/42/orders/3fa85f64-5717-4562-b3fc-2c963f66afa6 HTTP/2.0",
        "HEAD * HTTP/1.0",
        "GET /old",
        "GET  HTTP/1.1",
        "get / HTTP/1.1",
        "GETS /x HTTP/1.1",
        "20/Nov/2026:09:10:02 +0000",
        "20/Nov/2026:09:10:03 +0000",
        "20/Nov/2026:23:59:60 +0000",
        "21/Nov/2026:00:00:00 +0100",
        "20/Nov/2026:09:10:02 +00000",
        "2026-11-20T09:10:02+00:00",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0, and a text that is longer than the others",
        "caf\u{e9}",
        "\\x22",
        "\t",
    ])
}

/// A line of a format with such values, or with right ones mostly.
fn any_line(format: usize) -> impl Strategy<Value = Vec<u8>> {
    let right = (any_of(&["1.2.3.4", "::1", "-"]), any_of(&[TIME, "20/Nov/2026:09:10:07 +0000", "-"]));
    let request = any_of(&["GET / HTTP/1.1", "GET /a?b HTTP/1.1", "PUT /u/17 HTTP/2.0", "GET /z"]);
    let numbers = (any_of(&["200", "404", "-"]), any_of(&["0", "17", "-"]));
    let odd = prop::collection::vec((any::<prop::sample::Index>(), any_value()), 0..3);
    let damage = prop::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>()));
    (right, request, numbers, any_of(&["-", "", "x y", "curl/8"]), odd, damage).prop_map(
        move |((client, time), request, (status, bytes), text, odd, damage)| {
            let format = if FORMATS[format].is_empty() {
                "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\""
            } else {
                FORMATS[format]
            };
            let names: Vec<&str> = format.split('$').skip(1).collect();
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let mut values: Vec<&str> = names
                .iter()
                .map(|name| match name.split(|c| !is_name(c)).next().unwrap_or_default() {
                    "remote_addr" => client,
                    "time_local" => time,
                    "request" => request,
                    "status" | "upstream_status" => status,
                    "request_length" | "bytes_sent" | "body_bytes_sent" | "connection" => bytes,
                    "request_time" => "0.012",
                    _ => text,
                })
                .collect();
            for (at, value) in odd {
                let at = at.index(values.len());
                values[at] = value;
            }
            let mut line = format.split('$').next().unwrap_or_default().to_owned();
            for (name, value) in names.iter().zip(values) {
                line.push_str(value);
                line.push_str(name.trim_start_matches(is_name));
            }
            let mut line = line.into_bytes();
            if let Some((at, byte)) = damage
                && !line.is_empty()
            {
                let at = at.index(line.len());
                line[at] = byte;
            }
            line
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn both_ways_make_one_block(
        (format, lines) in (0..FORMATS.len())
            .prop_flat_map(|format| (Just(format), prop::collection::vec(any_line(format), 1..20)))
    ) {
        let mut both = Both::new(FORMATS[format], &[("service", "shop")]);
        for line in &lines {
            both.push(line, RECEIVED_NS);
        }
        both.check();
    }
}

#[test]
fn most_lines_of_the_formats_have_rows() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for (format, least) in [(0, 90), (1, 90), (2, 50), (3, 90), (4, 0), (5, 0), (6, 0), (7, 0)] {
        let mut both = Both::new(FORMATS[format], &[]);
        for _ in 0..400 {
            let line = any_line(format).new_tree(&mut runner).expect("a line").current();
            both.push(&line, i64::MAX);
        }
        let rows = both.check();
        assert!(rows >= least && (least > 0 || rows == 0), "{rows} of {}", FORMATS[format]);
    }
}

//! Lines of which the door tells where their values are become the blocks that they become without it.

use proptest::prelude::*;

use super::*;
use crate::receive::json;
use crate::search::rows::{self, Show};

const RECEIVED_NS: i64 = 1_800_000_000_000_000_000;

/// How lines are read.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// By what the door has found.
    Door,
    /// By what the parser finds itself.
    Own,
    Long,
}

/// The block of the objects of a body in each way; how many lines were told by their values.
fn blocks(body: &str) -> ([Block; 3], Vec<Vec<u8>>, [usize; 3]) {
    let mut objects = json::split(body.as_bytes());
    let texts: Vec<Vec<u8>> = std::mem::take(&mut objects.texts).into_iter().map(<[u8]>::to_vec).collect();
    let spans = objects.into_spans();
    let mut counts = [0; 3];
    let blocks = [Way::Door, Way::Own, Way::Long].map(|way| {
        let info = SourceInfo {
            id: "request".to_owned(),
            kind: SourceKind::Json,
            path: String::new(),
            format: String::new(),
            labels: [("env", "prod"), ("team", "pay"), ("route", "/label")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
        };
        let mut names = Names::default();
        let mut parser = Parser::new(&info, "web-1", &mut names);
        let (mut line, mut builder) = (Line::default(), BlockBuilder::default());
        let mut lines = spans.lines();
        for (seq, text) in texts.iter().enumerate() {
            let input = Input { text, time_ns: None, stream: Stream::None, received_ns: RECEIVED_NS };
            let found = lines.next_line().filter(|_| way == Way::Door);
            match way {
                Way::Long => parser.parse(&mut names, input, &mut line),
                _ => parser.read(&mut names, input, found, &mut line),
            }
            counts[way as usize] += usize::from(line.row().is_some());
            builder.push(&names, &line, text, line.time_ns.unwrap_or(RECEIVED_NS), seq as u64);
        }
        assert_eq!(parser.reading().lines_read, texts.len() as u64);
        builder.finish()
    });
    (blocks, texts, counts)
}

/// How many lines were told by their values alone, in the way in which they are fewer.
fn check(body: &str) -> usize {
    let ([door, own, long], texts, counts) = blocks(body);
    let show = |block: &Block| rows::rows(block.batch(), &Show::All, None);
    for short in [&door, &own] {
        assert_eq!(short.batch(), long.batch(), "{body}");
        assert_eq!(show(short), show(&long), "{body}");
        let order: Vec<usize> = short.seqs().iter().map(|seq| *seq as usize).collect();
        let rows: Vec<u32> = (0..short.len() as u32).collect();
        let raw = short.raw(&rows).expect("the lines come back");
        for (raw, seq) in raw.into_iter().zip(order) {
            assert_eq!(String::from_utf8_lossy(&raw), String::from_utf8_lossy(&texts[seq]));
        }
    }
    assert_eq!(counts[Way::Long as usize], 0);
    counts[Way::Door as usize].min(counts[Way::Own as usize])
}

#[test]
fn lines_of_one_form_are_told_by_their_values() {
    let line = |i: usize| {
        let level = ["info", "warn", "error", "INFO"][i % 4];
        format!(
            "{{\"time\":{},\"level\":\"{level}\",\"service\":\"s{}\",\"host\":\"h\",\"ok\":{},\"none\":null,\"user_id\":\"ü{i}\",\
             \"path\":\"/o/{i}\",\"status\":{},\"duration_ms\":{},\"n\":{},\"msg\":\"did {i}\"}}\n",
            1_795_000_000_000 + i,
            i % 3,
            i.is_multiple_of(2),
            200 + i % 5,
            i * 7,
            i * 3,
        )
    };
    let body: String = (0..200).map(line).collect();
    assert!(check(&body) >= 190);
}

#[test]
fn what_nearly_is_of_a_form_goes_the_long_way() {
    let good = r#"{"time":1795000000000,"level":"info","path":"/a","status":200,"duration_ms":12,"n":5,"msg":"m"}"#;
    for (from, to) in [
        ("1795000000000", "17"),
        ("1795000000000", "179500000000000000"),
        ("\"info\"", "\"odd\""),
        ("\"info\"", "\"\""),
        ("\"/a\"", "\"/a?b=1\""),
        ("\"/a\"", "\"?\""),
        ("\"/a\"", "\"a\""),
        ("200", "2000"),
        ("200", "-0"),
        ("200", "99999999999999999999"),
        (":12,", ":12.50,"),
        (":12,", ":-0,"),
        (":12,", ":0.1,"),
        (":5,", ":5.25,"),
        (":5,", ":-0,"),
        (":5,", ":123456789012345678901234567890,"),
        ("\"m\"", "\"m\\n\""),
        ("\"m\"", "\"GET /x HTTP/1.1\""),
        ("\"m\"", "\"\""),
        ("\"m\"", "\"\u{1F980} ü\""),
        ("\"m\"}", "\"m\"} "),
        (",\"n\"", ", \"n\""),
        ("\"n\":5", "\"n\":true"),
        ("\"n\":5", "\"n\":null"),
        ("\"n\":5", "\"n\":[5]"),
        ("\"n\":5", "\"msg\":\"5\""),
    ] {
        let odd = good.replacen(from, to, 1);
        assert_ne!(odd, good);
        let other = |line: &str| format!("{line}\n").repeat(5);
        check(&[other(good), other(&odd), other(good), other(&odd)].concat());
    }
    let long = good.replace("\"m\"", &format!("\"{}\"", "long ".repeat(20_000)));
    assert!(check(&[good, good, good, good, &long, good, ""].join("\n")) > 0);
    // Two keys of one name, a message that stands in for another, a stack, and no message at all.
    for line in [
        r#"{"a":1,"a":2,"msg":"m"}"#,
        r#"{"msg":"GET /x HTTP/1.1","a":1}"#,
        r#"{"msg":"m","route":"/r","path":"/p"}"#,
        r#"{"msg":"m","stack":"E: x at y"}"#,
        r#"{"method":"GET","path":"/p"}"#,
        r#"{"env":"own","msg":"m","env.x":{"y":1}}"#,
        r#"{"message":5,"level":30}"#,
        r#"{}"#,
    ] {
        check(&format!("{line}\n").repeat(8));
    }
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "\"[a-zü/?=]{0,9}\"",
        2 => "\"/[a-z0-9?]{0,5}\"",
        1 => Just("\"info\"".to_owned()),
        1 => Just("\"a\\\\n\\\"\"".to_owned()),
        4 => "-?[0-9]{1,6}",
        1 => "[0-9]{1,3}\\.[0-9]{1,3}",
        1 => Just("1795000000000".to_owned()),
        1 => Just("1e3".to_owned()),
        1 => "true|false|null",
        1 => Just("[1,\"x\"]".to_owned()),
        1 => Just("{\"b\":1}".to_owned()),
    ]
}

proptest! {
    #[test]
    fn a_body_becomes_the_same_block(
        keys in prop::collection::vec(
            prop::sample::select(vec![
                "time", "level", "msg", "path", "status", "duration_ms", "a", "b", "user_id", "env", "route", "bytes",
            ]),
            1..7,
        ),
        lines in prop::collection::vec(prop::collection::vec(value(), 7), 1..6),
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..60),
    ) {
        let line = |values: &Vec<String>| {
            let pairs: Vec<String> = keys.iter().zip(values).map(|(key, value)| format!("\"{key}\":{value}")).collect();
            format!("{{{}}}\n", pairs.join(","))
        };
        let lines: Vec<String> = lines.iter().map(line).collect();
        let body: String = order.iter().map(|at| lines[at.index(lines.len())].as_str()).collect();
        check(&body);
    }
}

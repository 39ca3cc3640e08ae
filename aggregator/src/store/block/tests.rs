//! Lines into blocks and back, whatever the parser says.

use proptest::prelude::*;

use super::*;
use crate::names::{NameId, Names};
use crate::parse::line::{Constants, Cut, Line, Offset, Spelling, Value};
use crate::store::fixture::{self, row};
use crate::store::segment::Projection;

fn text_of(block: &Block, column: &str) -> Vec<String> {
    let batch = block.read(&Projection::All, None).expect("read");
    let column = batch.column_by_name(column).unwrap_or_else(|| panic!("no column {column}"));
    (0..batch.num_rows()).map(|row| arrow::util::display::array_value_to_string(column, row).unwrap()).collect()
}

fn has_raw(block: &Block) -> Vec<bool> {
    let raw = block.batch().column(block.layout().raw());
    (0..block.len()).map(|row| raw.is_valid(row)).collect()
}

#[test]
fn lines_of_one_format_share_a_skeleton_and_come_back() {
    let rows = [
        row(3, 1, r#"level=warn status=500 took=1.5 "slow \"query\"" tail"#),
        row(1, 2, r#"level=warn status=200 took=0.25 "ok" tail"#),
        row(2, 3, r#"level=info status=404 took=3.0 "gone" tail"#),
    ];
    let block = fixture::blocks(&rows, 10).remove(0);
    assert_eq!(text_of(&block, "status"), ["200", "404", "500"], "rows are ordered by time");
    assert_eq!(text_of(&block, "level"), ["warn", "info", "warn"]);
    assert_eq!(block.shapes().len(), 2, "one for each level, for it is literal");
    // The tiny parser ends a message at the first quote, so the first line has words that do not parse.
    assert_eq!(block.raw(&[0, 1, 2]).expect("lines"), [&rows[1].raw[..], &rows[2].raw, &rows[0].raw]);
    assert_eq!(block.counts("level").expect("counted"), [("warn".to_owned(), 2), ("info".to_owned(), 1)]);
    assert_eq!(block.counts("took"), None);
    assert_eq!(block.stat(), BlockStat { rows: 3, min_time_ns: 1, max_time_ns: 3 });
}

#[test]
fn what_would_not_come_back_byte_for_byte_is_kept_raw() {
    for (line, raw) in [
        ("a=1", false),
        ("a=007", true),
        ("a=+1", true),
        ("a=1.50", true),
        ("a=1e3", true),
        (r#""tab\tin json""#, false),
        (r#""slash \/ escaped""#, true),
        ("time=3", true),
        ("a=1 a=2", false),
        ("", false),
    ] {
        let block = fixture::blocks(&[row(0, 0, line)], 1).remove(0);
        assert_eq!(has_raw(&block), [raw], "{line}");
        assert_eq!(block.raw(&[0]).expect("a line"), [line.as_bytes()]);
    }
}

#[test]
fn a_field_of_several_types_has_several_columns() {
    let rows = [row(0, 0, "a=1"), row(1, 1, "a=text"), row(2, 2, "a=1.5"), row(3, 3, "a=true"), row(4, 4, "a=2")];
    let block = fixture::blocks(&rows, 10).remove(0);
    assert_eq!(text_of(&block, "a"), ["1", "", "", "", "2"]);
    assert_eq!(text_of(&block, "a#str"), ["", "text", "", "", ""]);
    assert_eq!(text_of(&block, "a#float"), ["", "", "1.5", "", ""]);
    assert_eq!(text_of(&block, "a#bool"), ["", "", "", "true", ""]);
    assert_eq!(block.fields()["a"], FieldStat { types: vec!["int", "str", "float", "bool"], rows: 5 });
}

#[test]
fn fields_beyond_the_limit_and_with_other_columns_names_go_into_extra() {
    let mut rows: Vec<_> = (0..1100).map(|i| row(i, i as u64, &format!("f{i}={i}"))).collect();
    rows.push(row(2000, 2000, "seq=7 b#int=x _raw=y service=api"));
    let block = fixture::blocks(&rows, 4096).remove(0);
    assert_eq!(block.layout().keys().len(), 1001, "a canonical field always has its column");
    assert!(block.has_extra());
    let extra = text_of(&block, "_extra");
    assert_eq!(extra[999], "");
    assert_eq!(extra[1050], r#"{"f1050":1050}"#);
    assert_eq!(extra[1100], r#"{"seq":7,"b#int":"x","_raw":"y"}"#);
    assert_eq!(block.fields()["f1050"].rows, 1);
    assert_eq!(block.counts("service").expect("counted"), [("api".to_owned(), 1)]);
    assert_eq!(block.raw(&[1050, 1100]).expect("lines"), [&rows[1050].raw[..], &rows[1100].raw]);
}

#[test]
fn constants_hold_for_the_rows_that_do_not_say_otherwise() {
    let mut names = Names::default();
    let [seq, team] = ["seq", "team"].map(|name| names.intern(name).expect("there is room"));
    let constants = |values: &[(NameId, &str)]| {
        let mut constants = Constants::default();
        values.iter().for_each(|(name, value)| constants.add(*name, value));
        Arc::new(constants)
    };
    let one = constants(&[(NameId::HOST, "h1"), (NameId::SERVICE, "s1"), (NameId::MESSAGE, "of all"), (seq, "7")]);
    let two = constants(&[(NameId::HOST, "h1"), (team, "pay")]);
    let mut builder = BlockBuilder::default();
    let mut line = Line::default();
    let lines = ["a=1", "service=own a=2", "a=3", "host=own a=4", "a=5", "a=6", "a=7"];
    let of = [Some(&one), Some(&one), Some(&one), Some(&two), None, Some(&two), Some(&one)];
    for (row, (text, constants)) in lines.iter().zip(of).enumerate() {
        fixture::parse(&mut names, text.as_bytes(), &mut line);
        if let Some(constants) = constants {
            line.set_constants(constants);
        }
        builder.push(&names, &line, text.as_bytes(), row as i64, row as u64);
    }
    let block = builder.finish();
    assert_eq!(text_of(&block, "host"), ["h1", "h1", "h1", "own", "", "h1", "h1"]);
    assert_eq!(text_of(&block, "service"), ["s1", "own", "s1", "", "", "", "s1"]);
    assert_eq!(text_of(&block, "message"), ["of all", "of all", "of all", "", "", "", "of all"]);
    assert_eq!(text_of(&block, "team"), ["", "", "", "pay", "", "pay", ""]);
    assert_eq!(
        text_of(&block, "_extra"),
        [r#"{"seq":"7"}"#, r#"{"seq":"7"}"#, r#"{"seq":"7"}"#, "", "", "", r#"{"seq":"7"}"#]
    );
    let back = block.raw(&[0, 1, 2, 3, 4, 5, 6]).expect("lines");
    assert_eq!(back, lines.map(|line| line.as_bytes().to_vec()));
}

#[test]
fn invalid_utf8_is_escaped_in_the_column_and_kept_in_the_line() {
    let raw = b"caf\xe9 closed \xf0\x9f";
    let block = fixture::blocks(&[fixture::Row { time_ns: 0, seq: 0, raw: raw.to_vec() }], 1).remove(0);
    assert_eq!(text_of(&block, "message"), ["caf\\xe9 closed \\xf0\\x9f"]);
    assert_eq!(block.raw(&[0]).expect("a line"), [raw]);
}

fn any_spelling() -> impl Strategy<Value = Spelling> {
    prop_oneof![
        Just(Spelling::Plain),
        Just(Spelling::JsonString),
        any::<u8>().prop_map(|decimals| Spelling::SecondsFixed { decimals }),
        (0u8..6).prop_map(|decimals| Spelling::Fixed { decimals }),
        (0u8..12, any::<i16>()).prop_map(|(fraction, m)| Spelling::Rfc3339 {
            fraction,
            offset: Offset::Minutes(m),
            separator: b'T'
        }),
        any::<i16>().prop_map(|offset_minutes| Spelling::NginxLocal { offset_minutes }),
        any::<i64>().prop_map(|unit_ns| Spelling::EpochInt { unit_ns }),
        any::<u8>().prop_map(|decimals| Spelling::EpochFixed { decimals }),
    ]
}

/// Name, kind of value, start, end and spelling of a field.
type FieldPlan = (u32, u8, u32, u32, Spelling);

/// A line as a broken parser might hand it over: cuts anywhere, values that have nothing to do with them.
fn any_parsed(raw: Vec<u8>) -> impl Strategy<Value = (Vec<u8>, Vec<FieldPlan>)> {
    let len = raw.len() as u32 + 3;
    let field = (0u32..40, 0u8..6, 0..len, 0..len, any_spelling());
    prop::collection::vec(field, 0..8).prop_map(move |fields| (raw.clone(), fields))
}

fn fill(line: &mut Line, raw: &[u8], fields: &[FieldPlan]) {
    line.clear();
    for &(name, value, start, end, spelling) in fields {
        let cut = Cut { start, end, spelling };
        let inside = (start.min(raw.len() as u32) as usize, end.min(raw.len() as u32) as usize);
        let (from, to) = (inside.0.min(inside.1), inside.0.max(inside.1));
        let value = match value {
            0 => Value::Int(i64::from(start) - 5),
            1 => Value::Float(f64::from(end) / 4.0),
            2 => Value::Bool(start > end),
            3 => Value::Text(line.scratch(&raw[from..to])),
            4 => Value::Float(f64::NAN),
            _ => {
                line.push_raw(NameId(name), from..to);
                continue;
            }
        };
        if name == 0 {
            line.time_cut = Some(cut);
        }
        line.push(NameId(name), value, Some(cut));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_line_comes_back_whatever_the_parser_says(
        lines in prop::collection::vec(fixture::any_line().prop_flat_map(any_parsed), 1..12)
    ) {
        let mut names = Names::default();
        for i in 0..11 {
            names.intern(&format!("own{i}"));
        }
        let mut builder = BlockBuilder::default();
        let mut line = Line::default();
        for (i, (raw, fields)) in lines.iter().enumerate() {
            fill(&mut line, raw, fields);
            builder.push(&names, &line, raw, -(i as i64), i as u64);
        }
        let block = builder.finish();
        let all: Vec<u32> = (0..lines.len() as u32).rev().collect();
        let back = block.raw(&all).expect("every line is rebuilt");
        for (i, (raw, _)) in lines.iter().enumerate() {
            prop_assert_eq!(&back[i], raw);
        }
    }

    #[test]
    fn tables_of_skeletons_survive_their_encoding(
        lines in prop::collection::vec(fixture::any_line().prop_flat_map(any_parsed), 1..12),
        noise in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        use crate::store::skeleton::{Part, Skeleton, decode, encode};
        let shapes: Vec<Arc<Skeleton>> = lines
            .iter()
            .map(|(raw, fields)| {
                let mut parts = vec![Part::Literal(raw[..].into())];
                for (name, value, .., spelling) in fields {
                    let kind = Kind::ALL[usize::from(value % 4)];
                    parts.push(Part::Value(ColumnKey { field: format!("f{name}").into(), kind }, *spelling));
                    parts.push(Part::Time(*spelling));
                }
                Arc::new(Skeleton { parts })
            })
            .collect();
        let mut bytes = Vec::new();
        encode(&shapes, &mut bytes);
        prop_assert_eq!(decode(&bytes), Some(shapes));
        decode(&noise);
        for cut in 0..bytes.len() {
            decode(&bytes[..cut]);
        }
    }
}

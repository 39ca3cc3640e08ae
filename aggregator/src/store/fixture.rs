//! For tests of the store: a tiny parser, rows made of lines, and the contract that every segment must keep.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int64Type, UInt64Type};
use arrow::record_batch::RecordBatch;
use logweir_proto::record::{Level, SEQ_INDEX_BITS};
use proptest::prelude::*;

use super::block::texts::text_at;
use super::block::{Block, BlockBuilder};
use super::column::COUNTED_FIELDS;
use super::segment::{BLOCK_ROWS_MAX, Probe, Projection, Segment};
use super::token;
use crate::names::{NameId, Names};
use crate::parse::line::{Cut, Line, Spelling, Value};

/// One line and its place in the order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) time_ns: i64,
    pub(crate) seq: u64,
    pub(crate) raw: Vec<u8>,
}

pub(crate) fn row(time_ns: i64, seq: u64, raw: &str) -> Row {
    Row { time_ns, seq, raw: raw.as_bytes().to_vec() }
}

/// Reads `name=value` and `"message"` words, separated by spaces; everything else is literal text.
pub(crate) fn parse(names: &mut Names, raw: &[u8], line: &mut Line) {
    line.clear();
    let mut at = 0;
    while at < raw.len() {
        let rest = &raw[at..];
        if rest[0] == b'"'
            && let Some(len) = rest[1..].iter().position(|b| *b == b'"')
        {
            let (start, end) = (at as u32 + 1, (at + 1 + len) as u32);
            let inner = &raw[start as usize..end as usize];
            let unescaped: Option<String> =
                std::str::from_utf8(inner).ok().and_then(|text| serde_json::from_str(&format!("\"{text}\"")).ok());
            let text = line.scratch(unescaped.as_ref().map_or(inner, |text| text.as_bytes()));
            line.push(NameId::MESSAGE, Value::Text(text), Some(Cut { start, end, spelling: Spelling::JsonString }));
            at += len + 2;
            continue;
        }
        let end = rest.iter().position(|b| *b == b' ').map_or(raw.len(), |i| at + i);
        let word = &raw[at..end];
        if let Some(eq) = word.iter().position(|b| *b == b'=')
            && let Some(name) = std::str::from_utf8(&word[..eq]).ok().and_then(|name| names.intern(name))
        {
            push_value(line, name, raw, at + eq + 1, end);
        }
        at = end + 1;
    }
    if line.fields.is_empty() {
        line.push_raw(NameId::MESSAGE, 0..raw.len());
    }
}

fn push_value(line: &mut Line, name: NameId, raw: &[u8], start: usize, end: usize) {
    let text = std::str::from_utf8(&raw[start..end]).unwrap_or_default();
    let cut = Some(Cut { start: start as u32, end: end as u32, spelling: Spelling::Plain });
    if name == NameId::LEVEL {
        line.level = Level::parse(text.as_bytes());
    } else if let Ok(value) = text.parse::<i64>() {
        line.push(name, Value::Int(value), cut);
    } else if let (Ok(value), true) = (text.parse::<f64>(), text.starts_with(|c: char| c.is_ascii_digit())) {
        line.push(name, Value::Float(value), cut);
    } else if let Ok(value) = text.parse::<bool>() {
        line.push(name, Value::Bool(value), cut);
    } else {
        line.push_raw(name, start..end);
    }
}

/// When the line of a row is received in [`blocks`]: its record after its minute, whatever time it tells.
pub(crate) const fn received_ns(seq: u64) -> i64 {
    (seq >> SEQ_INDEX_BITS) as i64 * 60_000_000_000
}

/// Blocks of these rows, in the order given.
pub(crate) fn blocks(rows: &[Row], block_rows: usize) -> Vec<Block> {
    let mut names = Names::default();
    let mut line = Line::default();
    let build = |rows: &[Row]| {
        let mut builder = BlockBuilder::default();
        for row in rows {
            parse(&mut names, &row.raw, &mut line);
            builder.receive(row.seq, received_ns(row.seq));
            builder.push(&names, &line, &row.raw, row.time_ns, row.seq);
        }
        builder.finish()
    };
    rows.chunks(block_rows.max(1)).map(build).collect()
}

/// Lines as they come: a small vocabulary, so that words and values meet again, with some hostility between.
pub(crate) fn any_line() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "GET",
        "Connection",
        "refused",
        "Ünï",
        "user42",
        "a1b2c3d4",
        "deadbeefdeadbeefdeadbeef",
        "K",
        "x",
        "_a",
        "\\n",
        "9f86d081884c7d65",
    ]);
    let field = prop::sample::select(vec![
        "status=500",
        "status=200",
        "status=ok",
        "level=error",
        "level=info",
        "service=api",
        "service=Web",
        "a=1",
        "a=1.5",
        "a=true",
        "a=text",
        "user_id=u-17",
        "trace_id=9F86d081",
        "dur=007",
        "x=1e3",
        "seq=3",
        "b#int=4",
        "message=12",
        "exception.stack=Connection",
        "exception.stack=x.refused/x",
        "host=web-1",
        "_raw=z",
    ]);
    let message = prop::collection::vec(word, 0..6).prop_map(|words| format!("\"{}\"", words.join(" ")));
    let sane = (prop::collection::vec(field, 0..6), message)
        .prop_map(|(fields, message)| format!("{} {message}", fields.join(" ")).into_bytes());
    prop_oneof![6 => sane, 1 => prop::collection::vec(any::<u8>(), 0..60), 1 => any::<String>().prop_map(String::into_bytes)]
}

pub(crate) fn any_rows(max: usize) -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec((0i64..1000, any_line()), 0..max).prop_map(|lines| {
        let numbered = lines.into_iter().enumerate();
        numbered.map(|(i, (time_ns, raw))| Row { time_ns, seq: i as u64, raw }).collect()
    })
}

/// The questions that are put to every segment.
pub(crate) fn probes() -> Vec<Probe> {
    let value = |field: &str, folded: &str| Probe::Value { field: field.into(), folded: folded.into() };
    let exists = |field: &str| Probe::Exists { field: field.into() };
    let mut probes = vec![Probe::Any, Probe::None];
    for word in ["get", "refused", "ünï", "user42", "a1b2c3d4", "deadbeefdeadbeefdeadbeef", "k", "nowhere", "12"] {
        probes.push(Probe::Word(word.into()));
        let cut = word.char_indices().nth(2).map_or(word.len(), |(i, _)| i);
        probes.push(Probe::WordPrefix(word[..cut].into()));
    }
    for prefix in ["user4", "user5", "conn", "dead", "9f", "a1b", "zz"] {
        probes.push(Probe::WordPrefix(prefix.into()));
    }
    for (field, folded) in [
        ("service", "web"),
        ("service", "db"),
        ("level", "error"),
        ("a", "text"),
        ("trace_id", "9f86d081"),
        ("user_id", "u-17"),
        ("message", "connection refused"),
        ("message", "12"),
        ("b#int", "4"),
        ("status", "ok"),
    ] {
        probes.push(value(field, folded));
    }
    probes.extend(["time", "a", "level", "message", "nothing", "_raw", "b#int"].map(exists));
    for (field, part) in [
        ("service", "web"),
        ("service", "EB"),
        ("service", "apx"),
        ("trace_id", "86D081"),
        ("trace_id", "86d082"),
        ("user_id", "u-1"),
        ("a", "ext"),
        ("message", "ection ref"),
        ("message", "12"),
        ("nothing", "web"),
    ] {
        probes.push(Probe::Part { field: field.into(), part: part.into() });
    }
    probes.push(Probe::And(vec![Probe::Word("get".into()), value("service", "api")]));
    probes.push(Probe::Or(vec![Probe::Word("refused".into()), value("level", "error")]));
    probes
}

/// Whether a row matches, found by looking at it.
pub(crate) fn matches(batch: &RecordBatch, row: usize, probe: &Probe) -> bool {
    let texts = |field: &str| {
        let text = |name: String| text_at(batch.column_by_name(&name)?, row).map(str::to_owned);
        text(field.to_owned()).or_else(|| text(format!("{field}#str")))
    };
    let word = |test: &dyn Fn(&str) -> bool| {
        ["message", "exception.stack"].iter().filter_map(|field| texts(field)).any(|text| {
            let mut found = false;
            token::for_each_word(&text, &mut String::new(), |word| found |= test(word));
            found
        })
    };
    match probe {
        Probe::Any => true,
        Probe::None => false,
        Probe::And(parts) => parts.iter().all(|part| matches(batch, row, part)),
        Probe::Or(parts) => parts.iter().any(|part| matches(batch, row, part)),
        Probe::Word(want) => word(&|word| word == want),
        Probe::WordPrefix(want) => word(&|word| word.starts_with(want.as_str())),
        Probe::Value { field, folded } => texts(field).is_some_and(|text| {
            let mut buffer = String::new();
            token::fold(&text, &mut buffer);
            buffer == *folded
        }),
        Probe::Exists { field } => batch.schema().fields().iter().zip(batch.columns()).any(|(f, column)| {
            let name = f.name();
            base(name) == field && !name.starts_with('_') && column.is_valid(row)
        }),
        Probe::Part { field, part } => {
            texts(field).is_some_and(|text| text.to_ascii_lowercase().contains(&part.to_ascii_lowercase()))
        }
    }
}

/// Holds a segment against the rows that it must have.
pub(crate) fn check(segment: &dyn Segment, rows: &[Row]) {
    let mut found = Vec::new();
    for (block, stat) in segment.blocks().iter().enumerate() {
        assert!(stat.rows as usize <= BLOCK_ROWS_MAX && stat.rows > 0);
        let batch = segment.read(block, &Projection::All, None).expect("a block is read");
        assert_eq!(batch.num_rows(), stat.rows as usize);
        for hidden in ["_raw", "_shape"] {
            assert!(batch.column_by_name(hidden).is_none(), "{hidden} shows");
        }
        let times = batch.column_by_name("time").expect("time").as_primitive::<Int64Type>().values().to_vec();
        let seqs = batch.column_by_name("seq").expect("seq").as_primitive::<UInt64Type>().values().to_vec();
        let keys: Vec<_> = times.iter().copied().zip(seqs.iter().copied()).collect();
        assert!(keys.is_sorted(), "block {block} is out of order");
        assert_eq!((times[0], times[times.len() - 1]), (stat.min_time_ns, stat.max_time_ns));
        let all: Vec<u32> = (0..stat.rows).collect();
        let lines = segment.raw(block, &all).expect("lines are rebuilt");
        found.extend(keys.into_iter().zip(lines).map(|((time_ns, seq), raw)| Row { time_ns, seq, raw }));
        check_parts(segment, block, &batch);
        check_counts(segment, block, &batch);
    }
    found.sort();
    let mut want = rows.to_vec();
    want.sort();
    assert_eq!(found, want, "the lines differ");
    check_candidates(segment);
}

fn check_parts(segment: &dyn Segment, block: usize, all: &RecordBatch) {
    let some: Vec<u32> = (0..all.num_rows() as u32).filter(|row| row % 3 == 1).collect();
    let fields = ["a", "message", "nothing", "_extra", "seq"].map(str::to_owned).to_vec();
    let part = segment.read(block, &Projection::Fields(fields), Some(&some)).expect("a part is read");
    assert_eq!(part.num_rows(), some.len());
    for (field, column) in part.schema().fields().iter().zip(part.columns()) {
        let name = field.name();
        assert!(["seq", "a", "message", "_extra"].contains(&base(name)), "{name}");
        let whole = all.column_by_name(name).expect("the column is in the whole");
        let taken = arrow::compute::take(whole, &arrow::array::UInt32Array::from(some.clone()), None);
        let taken = taken.expect("the rows are there");
        assert_eq!(column, &taken, "{name}");
    }
    let beyond = all.num_rows() as u32;
    assert!(segment.read(block, &Projection::All, Some(&[beyond])).is_err());
    assert!(segment.raw(block, &[beyond]).is_err());
    assert!(segment.read(segment.blocks().len(), &Projection::All, None).is_err());
}

fn check_counts(segment: &dyn Segment, block: usize, batch: &RecordBatch) {
    for field in COUNTED_FIELDS {
        let Some(counts) = segment.counts(block, field) else { continue };
        let mut want: BTreeMap<String, u32> = BTreeMap::new();
        for (f, column) in batch.schema().fields().iter().zip(batch.columns()) {
            if base(f.name()) == field {
                for row in (0..batch.num_rows()).filter(|row| column.is_valid(*row)) {
                    let text = arrow::util::display::array_value_to_string(column, row).expect("a value is shown");
                    *want.entry(text).or_default() += 1;
                }
            }
        }
        assert_eq!(counts.iter().cloned().collect::<BTreeMap<_, _>>(), want, "{field}");
    }
}

/// Candidates never lose a match; fields know every field.
fn check_candidates(segment: &dyn Segment) {
    let blocks: Vec<RecordBatch> = (0..segment.blocks().len())
        .map(|block| segment.read(block, &Projection::All, None).expect("a block is read"))
        .collect();
    for probe in probes() {
        let flags = segment.candidates(&probe).expect("candidates");
        assert_eq!(flags.len(), segment.blocks().len());
        for (block, flag) in flags.iter().enumerate() {
            let batch = &blocks[block];
            let found = || (0..batch.num_rows()).any(|row| matches(batch, row, &probe));
            assert!(*flag || !found(), "block {block} of {} was left out for {probe:?}", segment.name());
        }
        if let Probe::Word(word) = &probe
            && let Some(told) = segment.word_rows(word)
        {
            assert_eq!(told.len(), blocks.len());
            for (batch, told) in blocks.iter().zip(told).filter(|(_, told)| *told > 0) {
                let found = (0..batch.num_rows()).filter(|row| matches(batch, *row, &probe)).count();
                assert_eq!(told as usize, found, "rows with {word:?} in a block of {}", segment.name());
            }
        }
    }
    let mut rows: BTreeMap<String, u64> = BTreeMap::new();
    for batch in &blocks {
        for (f, column) in batch.schema().fields().iter().zip(batch.columns()) {
            if !["time", "seq", "_extra"].contains(&f.name().as_str()) {
                let name = base(f.name()).to_owned();
                *rows.entry(name).or_default() += (column.len() - column.null_count()) as u64;
            }
        }
    }
    for (name, rows) in rows.into_iter().filter(|(_, rows)| *rows > 0) {
        assert!(segment.fields().get(&name).is_some_and(|stat| stat.rows >= rows), "{name}: {rows}");
    }
}

/// The field of a column.
fn base(column: &str) -> &str {
    match column.rsplit_once('#') {
        Some((field, kind)) if super::column::Kind::of_name(kind).is_some() => field,
        _ => column,
    }
}

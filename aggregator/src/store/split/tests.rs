//! Splits: the contract of segments, what the indexes leave out, and damage.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::TimestampNanosecondType;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use expect_test::expect;
use object_store::memory::InMemory;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

use super::cache::{SplitCache, SplitSegment};
use super::columns::Columns;
use super::footer::{Footer, SplitMeta, TRAILER_BYTES, Trailer, VERSION};
use super::gate::sieve::Sieve;
use super::gate::{Gate, Gates};
use super::hashes::{self, HashList};
use super::indexer::{Indexer, Rows};
use super::lexicon::Lexicon;
use super::lookup;
use super::writer::{SplitFile, SplitSource, write};
use crate::ranges::{SourceKey, SourceRanges};
use crate::store::block::Block;
use crate::store::column::{ColumnKey, FIELD_COLUMNS_AT, Kind, add_stats};
use crate::store::fixture::{self, Row, row};
use crate::store::objects::Objects;
use crate::store::segment::{Probe, Projection, Segment};

mod golden;

struct Place {
    _runtime: tokio::runtime::Runtime,
    objects: Objects,
    cache: Arc<SplitCache>,
}

fn place() -> Place {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let objects = Objects::new(Arc::new(InMemory::new()), runtime.handle().clone());
    Place { cache: Arc::new(SplitCache::new(objects.clone(), 64 << 20, 1 << 20)), _runtime: runtime, objects }
}

fn split_of(blocks: Vec<Block>) -> SplitFile {
    let mut ranges = SourceRanges::default();
    ranges.insert(&SourceKey::new("agent", "file"), 3, 9);
    let source = SplitSource { path: "splits/one".to_owned(), wal: (4, 9), ranges, class: String::new() };
    write(&blocks.into_iter().map(Arc::new).collect::<Vec<_>>(), source).expect("the split is written")
}

fn segment(place: &Place, file: &SplitFile) -> SplitSegment {
    place.objects.put(&file.meta.path, file.bytes.clone()).expect("put");
    place.cache.remove(&file.meta.path);
    SplitSegment::new(Arc::new(file.meta.clone()), Arc::clone(&place.cache))
}

/// Lines of a service: 10,000 of them in three blocks, each with an id of its own.
fn service_rows(count: u64) -> Vec<Row> {
    let line = |i: u64| {
        let id = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let level = if i.is_multiple_of(97) { "error" } else { "info" };
        let text = match i {
            5_000 => "the Zeppelin landed",
            _ => "GET /users done",
        };
        format!(
            "level={level} service=api{} status={} trace_id={id:016x} dur={}.5 \"{text} in {}ms\"",
            i % 3,
            200 + i % 5,
            i % 50,
            i % 800
        )
    };
    (0..count).map(|i| row(i as i64 * 1_000_000, i, &line(i))).collect()
}

#[test]
fn a_split_of_several_blocks_keeps_the_contract() {
    let place = place();
    let rows = service_rows(10_000);
    let mut shuffled = fixture::blocks(&rows, 700);
    shuffled.reverse();
    let file = split_of(shuffled);
    let split = segment(&place, &file);
    fixture::check(&split, &rows);
    assert_eq!(split.blocks().len(), 3);
    assert_eq!((file.meta.rows, file.meta.min_time_ns, file.meta.max_time_ns), (10_000, 0, 9_999_000_000));
    assert_eq!(file.meta.raw_bytes, rows.iter().map(|row| row.raw.len() as u64).sum::<u64>());
    assert!(split.counts(0, "level").is_some() && split.counts(0, "status").is_some());
    assert!(file.bytes.len() * 4 < file.meta.raw_bytes as usize, "{} of {}", file.bytes.len(), file.meta.raw_bytes);
}

#[test]
fn the_indexes_leave_blocks_out() {
    let place = place();
    let rows = service_rows(10_000);
    let split = segment(&place, &split_of(fixture::blocks(&rows, 4096)));
    let value = |field: &str, folded: &str| Probe::Value { field: field.into(), folded: folded.into() };
    // Ids of digits alone are numbers to the tiny parser: `trace_id` has two types.
    assert!(split.fields()["trace_id"].types.len() > 1);
    let id = format!("{:016x}", 9_000u64.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for (probe, want) in [
        (Probe::Word("zeppelin".into()), [false, true, false]),
        (Probe::WordPrefix("zepp".into()), [false, true, false]),
        (Probe::Word("users".into()), [true, true, true]),
        (Probe::Word("nowhere".into()), [false; 3]),
        (Probe::Word("799ms".into()), [true; 3]),
        (Probe::Word("801ms".into()), [false; 3]),
        (value("trace_id", &id), [false, false, true]),
        (value("service", "api1"), [true; 3]),
        (value("service", "api9"), [false; 3]),
        (value("message", "the zeppelin landed in 200ms"), [false, true, false]),
        (value("nothing", "x"), [false; 3]),
        (Probe::Exists { field: "dur".into() }, [true; 3]),
        (Probe::Exists { field: "nothing".into() }, [false; 3]),
        (Probe::And(vec![Probe::Word("zeppelin".into()), value("trace_id", &id)]), [false; 3]),
        (Probe::Or(vec![Probe::Word("zeppelin".into()), value("trace_id", &id)]), [false, true, true]),
    ] {
        assert_eq!(split.candidates(&probe).expect("candidates"), want, "{probe:?}");
    }
}

#[test]
fn a_block_of_noise_is_scanned_instead_of_indexed() {
    let place = place();
    let mut state = 7u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        format!("{:x} {:x}", state >> 11, state.rotate_left(20) >> 9)
    };
    let rows: Vec<Row> = (0..5000).map(|i| row(i as i64, i, &format!("\"{}\"", noise()))).collect();
    let split = segment(&place, &split_of(fixture::blocks(&rows, 2500)));
    assert_eq!(split.candidates(&Probe::Word("nowhere".into())).expect("candidates"), [true, false]);
    assert_eq!(split.candidates(&Probe::WordPrefix("nowh".into())).expect("candidates"), [true, false]);
}

#[test]
fn words_that_come_often_are_indexed_however_many_a_line_has() {
    let place = place();
    let line = |i: u64| format!("\"{}\"", (0..30).map(|n| format!("v{} ", (i * 31 + n) % 1900)).collect::<String>());
    let mut rows: Vec<Row> = (0..4096).map(|i| row(i as i64, i, &line(i))).collect();
    rows[4095] = row(4095, 4095, "\"v777777 at last\"");
    let split = segment(&place, &split_of(fixture::blocks(&rows, 4096)));
    assert_eq!(split.candidates(&Probe::Word("v777777".into())).expect("candidates"), [true]);
    assert_eq!(split.candidates(&Probe::Word("v777778".into())).expect("candidates"), [false]);
}

/// What does not compress, in its shapes: a split is hardly larger than the lines under zstd.
#[test]
fn the_worst_lines_cost_little_more_than_under_zstd() {
    let mut state = 7u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut text = |of: &[char], count: usize| -> String { (0..count).map(|_| of[random(of.len())]).collect() };
    let ascii: Vec<char> = ('!'..='~').filter(|c| *c != '"' && *c != '=').chain([' ']).collect();
    let letters: Vec<char> = ('а'..='я').chain('一'..='丿').chain([' ']).collect();
    let hex: Vec<char> = "0123456789abcdef".chars().collect();
    let number = |lines: Vec<String>| -> Vec<Row> {
        lines.into_iter().enumerate().map(|(i, line)| row(i as i64 * 1_000_000, i as u64, &line)).collect()
    };
    let mut late: Vec<Row> = service_rows(9000);
    for (i, row) in late.iter_mut().enumerate() {
        row.time_ns = (i as i64 * 7919) % 9000 * 1_000_000;
    }
    for (name, rows) in [
        ("random", number((0..6000).map(|_| text(&ascii, 150)).collect())),
        ("hexadecimal", number((0..6000).map(|_| format!("id {} at {}", text(&hex, 32), text(&hex, 16))).collect())),
        ("beyond ASCII", number((0..6000).map(|_| text(&letters, 60)).collect())),
        ("one line", number(vec![text(&ascii, 1 << 20)])),
        ("out of order", late),
    ] {
        let lines: Vec<&[u8]> = rows.iter().map(|row| &row.raw[..]).collect();
        let zstd = zstd::bulk::compress(&lines.join(&b'\n'), 1).expect("zstd").len();
        let split = split_of(fixture::blocks(&rows, 4096)).bytes.len();
        assert!(split * 100 <= zstd * 115, "{name}: {split} bytes, zstd -1 {zstd}");
    }
}

#[test]
fn a_split_is_a_parquet_file_that_others_can_read() {
    let rows = service_rows(100);
    let file = split_of(fixture::blocks(&rows, 100));
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(file.bytes).expect("a Parquet file").build().expect("a reader");
    let batches: Vec<_> = reader.collect::<Result<_, _>>().expect("rows");
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 100);
    let time = batches[0].column(0).as_primitive::<TimestampNanosecondType>();
    assert_eq!((time.timezone(), time.value(1)), (Some("UTC"), 1_000_000));
    assert!(batches[0].column_by_name("trace_id").is_some());
}

/// A split of a hundred lines of JSON that version 1 wrote.
#[test]
fn a_split_of_version_1_is_read() {
    let place = place();
    let bytes = Bytes::from_static(include_bytes!("fixtures/v1.split"));
    place.objects.put("splits/one", bytes.clone()).expect("put");
    let open = super::reader::OpenSplit::open(&place.objects, "splits/one", &Arc::new(Columns::new(1 << 20)))
        .expect("a split");
    let meta = SplitMeta { bytes: bytes.len() as u64, path: "splits/one".into(), ..open.known().footer.meta.clone() };
    let split = segment(&place, &SplitFile { meta, bytes });
    let lines = split.raw(0, &(0..100).collect::<Vec<_>>()).expect("lines");
    let sum = crc32fast::hash(&lines.join(&b'\n'));
    expect![[r#"
        (
            100,
            "288bcdc8",
        )
    "#]]
    .assert_debug_eq(&(lines.len(), format!("{sum:08x}")));
    let id: serde_json::Value = serde_json::from_slice(&lines[50]).expect("JSON");
    let value = |folded: &str| Probe::Value { field: "trace_id".into(), folded: folded.into() };
    let id = id["trace_id"].as_str().expect("an id");
    assert_eq!(split.candidates(&value(id)).expect("candidates"), [true]);
    assert_eq!(split.candidates(&value("4bf92f3577b34da6a3ce929d0e0e4737")).expect("candidates"), [false]);
    assert_eq!(split.candidates(&Probe::Word("finished".into())).expect("candidates"), [true]);
    let merged = split_of(open.to_blocks().expect("blocks"));
    assert_eq!(segment(&place, &merged).raw(0, &(0..100).collect::<Vec<_>>()).expect("lines"), lines);
}

#[test]
fn messages_that_columns_tell_come_back_from_a_split() {
    let place = place();
    let line = |i: u64| match i % 5 {
        0 => format!("job={i} \"job {} began\"", i * 7),
        _ => format!("path=/p{i} ms={} status=200 \"request /p{i} finished with 200 in {} ms\"", i % 90, i % 90),
    };
    let rows: Vec<Row> = (0..9000).map(|i| row(i as i64, i, &line(i))).collect();
    let file = split_of(fixture::blocks(&rows, 3000));
    let footer = Footer::decode(&footer_of(&file)).expect("a footer");
    assert_eq!(footer.derived.len(), 1);
    let split = segment(&place, &file);
    fixture::check(&split, &rows);
    let probe = Probe::Word("finished".into());
    assert_eq!(split.candidates(&probe).expect("candidates"), [true; 3]);
    let message = split.read(1, &Projection::Fields(vec!["message".into()]), Some(&[4, 5])).expect("read");
    let message = message.column_by_name("message").expect("message").as_string::<i32>();
    assert_eq!(message.value(1), "request /p4101 finished with 200 in 51 ms");
}

#[test]
fn skeletons_that_follow_from_the_columns_are_not_stored() {
    let place = place();
    // Every third line has no `ms`; some say it elsewhere, some are not of any skeleton.
    let line = |i: u64| match i {
        _ if i % 1000 == 7 => format!("ms={i} path=/p{i} \"took it\""),
        _ if i % 1000 == 8 => format!("path=/p{i} ms=0{i} \"took it\""),
        _ if i % 1000 == 9 => "nothing but text".to_owned(),
        _ if i.is_multiple_of(3) => format!("path=/p{i} - \"took it\""),
        _ => format!("path=/p{i} ms={i} \"took it\""),
    };
    let mut rows: Vec<Row> = (0..9000).map(|i| row(i as i64, i, &line(i))).collect();
    rows[5555].raw = b"path=\xff ms=1 \"took \xfe\"".to_vec();
    let file = split_of(fixture::blocks(&rows, 4096));
    let footer = Footer::decode(&footer_of(&file)).expect("a footer");
    let at = |name: &str| footer.columns.iter().position(|key| &*key.field == name).map(|at| at + FIELD_COLUMNS_AT);
    let foretold = footer.foretold.clone().expect("a table");
    assert!(foretold.columns.contains(&at("ms").expect("a column")), "{foretold:?}");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.bytes.clone()).expect("a Parquet file");
    let batches: Vec<_> = reader.build().expect("a reader").collect::<Result<_, _>>().expect("rows");
    let stored = |batch: &arrow::record_batch::RecordBatch| {
        let shapes = batch.column_by_name("_shape").expect("a column");
        shapes.len() - shapes.null_count()
    };
    let exceptions = batches.iter().map(stored).sum::<usize>();
    assert!((9..40).contains(&exceptions), "{exceptions}");
    let split = segment(&place, &file);
    fixture::check(&split, &rows);
    let open = |place: &Place| {
        super::reader::OpenSplit::open(&place.objects, "splits/one", &Arc::new(Columns::new(1 << 20))).expect("a split")
    };
    let merged = segment(&place, &split_of(open(&place).to_blocks().expect("blocks")));
    fixture::check(&merged, &rows);
}

#[test]
fn values_that_messages_say_are_found_by_their_words() {
    let place = place();
    // Some messages say the path and some do not; job 4 has a path that no message says, though it has its words.
    let line = |i: u64| match i % 50 {
        4 => format!("path=/items/{} ms=1 \"items/ {} and nothing else\"", 20_000 + i, 20_000 + i),
        9 => format!("path=/p/{} ms=1 \"request /p/{} finished in 1 ms\"", 70_000 + i / 50, 70_000 + i / 50),
        14 => format!("path=/p/{} ms=1 \"job {i} began\"", 70_000 + i / 500),
        _ => format!("path=/p/{} ms=7 \"request /p/{} finished in 7 ms\"", 10_000 + i, 10_000 + i),
    };
    let rows: Vec<Row> = (0..9000).map(|i| row(i as i64, i, &line(i))).collect();
    let file = split_of(fixture::blocks(&rows, 4096));
    let footer = Footer::decode(&footer_of(&file)).expect("a footer");
    assert_eq!(footer.found_by_words, ["path"]);
    let split = segment(&place, &file);
    fixture::check(&split, &rows);
    let find = |folded: &str| {
        let probe = Probe::Value { field: "path".into(), folded: folded.into() };
        split.candidates(&probe).expect("candidates")
    };
    assert_eq!(find("/p/10001"), [true, false, false]);
    assert_eq!(find("/p/18999"), [false, false, true]);
    assert_eq!(find("/items/24104"), [false, true, false]);
    assert!(find("/p/70000")[0] && find("/p/70179")[2]);
    assert_eq!(find("/p/99999"), [false; 3]);
    assert!(footer.sections.hashes.bytes < 9000 * 3, "{} bytes", footer.sections.hashes.bytes);
}

#[test]
fn rows_of_words_are_counted_when_a_split_is_written() {
    let place = place();
    let line = |i: u64| match i % 5 {
        0 => format!("job={i} \"job job {} began\"", i / 50),
        1 if i.is_multiple_of(3) => {
            format!("exception.stack=at.shop.js path=/shop/{i} ms={i} \"get /shop/{i} in {i} ms\"")
        }
        4 if i.is_multiple_of(2) => {
            let (from, to) = (["red", "green", "blue"][i as usize / 10 % 3], ["red", "white"][i as usize / 10 % 2]);
            format!("from={from} to={to} \"get it from {from} over to {to}\"")
        }
        2 => format!("path=/get/{} ms={i} \"get /get/{} in {i} ms\"", i % 7, i % 7),
        3 => format!("path=/shop/cart ms={i} host=shop \"from shop get /shop/cart in {i} ms\""),
        _ => format!("path=/shop/{} ms={i} \"get /shop/{} in {i} ms\"", i % 900, i % 900),
    };
    let rows: Vec<Row> = (0..20_000).map(|i| row(i as i64, i, &line(i))).collect();
    let file = split_of(fixture::blocks(&rows, 3000));
    assert!(Footer::decode(&footer_of(&file)).expect("a footer").derived.len() > 1);
    let split = segment(&place, &file);
    for (word, known) in
        [("get", 5), ("ms", 5), ("job", 5), ("began", 5), ("js", 5), ("cart", 5), ("shop", 5), ("white", 5), ("red", 0)]
    {
        let told = split.word_rows(word).unwrap_or_else(|| vec![0; 5]);
        assert_eq!(told.iter().filter(|rows| **rows > 0).count(), known, "{word}");
        for (block, told) in told.into_iter().enumerate().filter(|(_, told)| *told > 0) {
            let batch = split.read(block, &Projection::All, None).expect("a block is read");
            let probe = Probe::Word(word.into());
            let found = (0..batch.num_rows()).filter(|row| fixture::matches(&batch, *row, &probe)).count();
            assert_eq!(told as usize, found, "{word} in block {block}");
        }
    }
    assert_eq!(split.word_rows("nowhere"), None);
    assert_eq!(split.word_rows("4711"), None);
}

#[test]
fn fields_beyond_the_limit_are_found_in_extra() {
    let place = place();
    let rows: Vec<Row> = (0..2500u64).map(|i| row(i as i64, i, &format!("f{i}=v{i} \"x\" a=1"))).collect();
    let split = segment(&place, &split_of(fixture::blocks(&rows, 800)));
    fixture::check(&split, &rows);
    let batch = split.read(0, &Projection::Fields(vec!["f2400".into(), "_extra".into()]), None).expect("read");
    assert!(batch.column_by_name("_extra").is_some());
    let probe = Probe::Value { field: "f2400".into(), folded: "v2400".into() };
    assert_eq!(split.candidates(&probe).expect("candidates"), [true]);
}

#[test]
fn the_cache_keeps_to_its_bytes() {
    let place = place();
    let cache = Arc::new(SplitCache::new(place.objects.clone(), 1, 1));
    for i in 0..5 {
        let mut file = split_of(fixture::blocks(&service_rows(10), 10));
        file.meta.path = format!("splits/{i}");
        place.objects.put(&file.meta.path, file.bytes.clone()).expect("put");
        let split = SplitSegment::new(Arc::new(file.meta), Arc::clone(&cache));
        assert_eq!(split.blocks().len(), 1);
        assert_eq!(split.raw(0, &[3, 1]).expect("lines").len(), 2);
    }
    assert!(format!("{cache:?}").matches("OpenSplit").count() == 1);
}

#[test]
fn a_walk_in_passing_reads_the_same_and_leaves_the_cache_of_searches_alone() {
    let place = place();
    let rows = service_rows(3_000);
    let file = split_of(fixture::blocks(&rows, 1_000));
    let own = segment(&place, &file);
    let passing = own.in_passing().expect("a split is kept");
    fixture::check(&*passing, &rows);
    assert!(!own.is_open(), "nobody searched it");
    let another = own.in_passing().expect("a split is kept");
    assert!(another.is_open(), "the next walk finds what the last one opened");
    place.cache.remove(&file.meta.path);
    assert!(!own.in_passing().expect("a split is kept").is_open(), "a split that was removed is let go everywhere");
}

/// The gate of a small split.
fn a_gate() -> Arc<Gate> {
    let place = place();
    let file = split_of(fixture::blocks(&[row(0, 0, "trace_id=a1 \"failed\"")], 100));
    segment(&place, &file);
    Arc::new(Gate::open(&place.objects, &file.meta.path).expect("a gate").expect("it is stored"))
}

#[test]
fn more_gates_than_there_is_room_for_are_asked_in_turn_and_most_are_still_there() {
    let (gate, gates, path) = (a_gate(), Gates::new(256 << 10), |i: usize| format!("splits/{i}"));
    let held = |count: usize| (0..count).filter(|i| gates.get(&path(*i)).is_some()).count();
    (0..5000).for_each(|i| gates.insert(&path(i), &gate));
    let room = held(5000);
    assert!((20..2000).contains(&room), "{room} gates");
    (0..5000).for_each(|i| gates.remove(&path(i)));
    let asked = room + room / 4;
    let mut found = 0;
    for i in (0..asked).cycle().take(4 * asked) {
        match gates.get(&path(i)) {
            Some(_) => found += 1,
            None => gates.insert(&path(i), &gate),
        }
    }
    assert_eq!(held(asked), room);
    assert!(found > asked, "{found} of {asked} in three turns after the first");
}

#[test]
fn gates_of_a_search_that_has_passed_give_way_to_those_that_are_asked_again_and_again() {
    let (gate, gates, path) = (a_gate(), Gates::new(256 << 10), |i: usize| format!("splits/{i}"));
    (0..5000).for_each(|i| gates.insert(&path(i), &gate));
    let room = (0..5000).filter(|i| gates.get(&path(*i)).is_some()).count();
    let asked: Vec<String> = (5000..5000 + room / 2).map(path).collect();
    let found = |path: &String| {
        let found = gates.get(path).is_some();
        if !found {
            gates.insert(path, &gate);
        }
        found
    };
    let turns: Vec<usize> = (0..12).map(|_| asked.iter().filter(|path| found(path)).count()).collect();
    assert!(turns[11] * 10 >= asked.len() * 9, "{turns:?} of {}", asked.len());
    asked.iter().for_each(|path| gates.remove(path));
    assert!(asked.iter().all(|path| gates.get(path).is_none()));
}

#[test]
fn a_gate_rules_out_only_what_no_block_has() {
    let place = place();
    let line = |i: u64| match i % 3 {
        0 => format!("trace_id={:016x} user=u{} \"failed to connect {i}\"", hashes::hash64(&[i as u8]), i % 7),
        1 => format!("service=api status={} \"took {i} ms\" x{}=1", 200 + i % 5, i % 50),
        _ => "level=error \"disk full\"".to_owned(),
    };
    let rows: Vec<Row> = (0..600).map(|i| row(i as i64, i, &line(i))).collect();
    let file = split_of(fixture::blocks(&rows, 100));
    let split = segment(&place, &file);
    let gate = Gate::open(&place.objects, &file.meta.path).expect("a gate").expect("it is stored");
    let made = place.cache.get(&file.meta.path).expect("a split").gate().expect("a gate");
    let value = |field: &str, folded: &str| Probe::Value { field: field.into(), folded: folded.into() };
    let mut probes = fixture::probes();
    probes.extend((0..300u64).map(|i| value("trace_id", &format!("{:016x}", hashes::hash64(&[i as u8, 1])))));
    probes.extend((0..300u64).map(|i| value("trace_id", &format!("{:016x}", hashes::hash64(&[i as u8])))));
    probes.extend((0..20).map(|i| value("user", &format!("u{i}"))));
    let mut ruled_out = 0;
    for probe in probes {
        let found = split.candidates(&probe).expect("candidates").contains(&true);
        let may_match = gate.may_match(&probe).expect("an answer");
        assert!(may_match || !found, "{probe:?}");
        // What the texts of columns have is only in the stored one.
        let made_may_match = made.may_match(&probe).expect("an answer");
        let is_part = matches!(probe, Probe::Part { .. });
        assert!(made_may_match == may_match || is_part && made_may_match, "{probe:?}");
        ruled_out += usize::from(!may_match);
        assert_eq!(split.rules_out(&mut Sieve::new(|_| probe.clone())), !may_match);
    }
    assert!(ruled_out > 250, "{ruled_out}");
}

#[test]
fn gates_of_the_same_fields_share_what_they_know_of_them() {
    let place = place();
    let gate = |path: &str, line: &str, rows: u64| {
        let rows: Vec<Row> = (0..rows).map(|i| row(i as i64, i, line)).collect();
        let mut file = split_of(fixture::blocks(&rows, 100));
        file.meta.path = path.to_owned();
        segment(&place, &file);
        place.cache.gate(path).expect("a gate")
    };
    let (first, second) = (gate("splits/1", "trace_id=a1 \"began\"", 5), gate("splits/2", "trace_id=b2 \"ended\"", 7));
    let other = gate("splits/3", "trace_id=7 \"began\"", 5);
    assert!(Arc::ptr_eq(first.schema(), second.schema()));
    assert!(!Arc::ptr_eq(first.schema(), other.schema()), "it has numbers");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_sieve_over_many_splits_loses_no_match(
        splits in prop::collection::vec(fixture::any_rows(40), 1..5),
        block_rows in 1usize..9,
    ) {
        let place = place();
        let mut asked = Vec::new();
        for (number, rows) in splits.iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            let mut file = split_of(fixture::blocks(rows, block_rows));
            file.meta.path = format!("splits/{number}");
            let split = segment(&place, &file);
            let made = place.cache.get(&file.meta.path).expect("a split").gate().expect("a gate");
            asked.push((split, made));
        }
        for probe in fixture::probes() {
            let mut sieve = Sieve::new(|_| probe.clone());
            for (split, made) in &asked {
                let batches = (0..split.blocks().len()).map(|block| split.read(block, &Projection::All, None));
                let batches: Vec<_> = batches.collect::<Result<_, _>>().expect("blocks");
                let is_there = |batch: &RecordBatch| (0..batch.num_rows()).any(|row| fixture::matches(batch, row, &probe));
                let found = batches.iter().any(is_there);
                let (is_out, may_match) = (split.rules_out(&mut sieve), sieve.may_match(made).expect("an answer"));
                prop_assert!(!found || may_match && !is_out, "{:?} was lost", probe);
                // Alone, and for the second time.
                let alone = split.rules_out(&mut Sieve::new(|_| probe.clone()));
                prop_assert_eq!(is_out, alone, "{:?}", probe);
            }
        }
    }
}

#[test]
fn a_part_of_a_text_is_looked_for_only_where_it_can_be() {
    let place = place();
    let line = |i: u64| match i {
        7000 => "path=/API/Products/zq81kfo2 \"shown\"".to_owned(),
        8000 => "extra=1 path=12 \"shown\"".to_owned(),
        _ => format!(
            "path=/api/orders/{} id={:016x} \"got /api/orders/{} in {i} ms\"",
            i % 90,
            hashes::hash64(&i.to_le_bytes()),
            i % 90
        ),
    };
    let rows: Vec<Row> = (0..12_000).map(|i| row(i as i64, i, &line(i))).collect();
    let file = split_of(fixture::blocks(&rows, 3000));
    let split = segment(&place, &file);
    let part = |field: &str, part: &str| Probe::Part { field: field.into(), part: part.into() };
    for (probe, want) in [
        (part("path", "q81kf"), [false, true, false]),
        (part("path", "I/PROD"), [false, true, false]),
        (part("path", "orders/89"), [true; 3]),
        (part("path", "q82kf"), [false; 3]),
        (part("path", "nowhere"), [false; 3]),
        (part("id", "zzz"), [true; 3]),
        (part("message", "nowhere"), [true; 3]),
        (part("nothing", "nowhere"), [false; 3]),
    ] {
        assert_eq!(split.candidates(&probe).expect("candidates"), want, "{probe:?}");
        let is_out = split.rules_out(&mut Sieve::new(|_| probe.clone()));
        assert!(!(is_out && want.contains(&true)), "{probe:?}");
    }
    let rules_out = |probe: Probe| split.rules_out(&mut Sieve::new(|_| probe.clone()));
    assert!(rules_out(part("path", "q82kf")) && !rules_out(part("path", "q81kf")));
    let open = place.cache.get(&file.meta.path).expect("a split");
    let key = |field: &str, kind: Kind| ColumnKey { field: field.into(), kind };
    assert!(!open.may_have(&key("path", Kind::Str), b"declined") && open.may_have(&key("path", Kind::Str), b"ORDERS"));
    assert!(open.may_have(&key("path", Kind::Int), b"declined") && open.may_have(&key("id", Kind::Str), b"declined"));
}

#[test]
fn a_gate_that_is_damaged_or_not_there_is_made_from_its_split() {
    let place = place();
    let mut file = split_of(fixture::blocks(&service_rows(300), 100));
    let gate = Footer::decode(&footer_of(&file)).expect("a footer").sections.gate;
    for (at, bit) in [(0, 1), (gate.bytes / 2, 9), (gate.bytes - 1, 255), (gate.bytes - 5, 3)] {
        let mut bytes = file.bytes.to_vec();
        bytes[(gate.offset + at) as usize] ^= bit;
        file.meta.path = format!("splits/{at}");
        let split = segment(&place, &SplitFile { meta: file.meta.clone(), bytes: bytes.into() });
        assert!(Gate::open(&place.objects, &file.meta.path).is_err());
        let rules_out = |word: &str| split.rules_out(&mut Sieve::new(|_| Probe::Word(word.into())));
        assert!(rules_out("nowhere") && !rules_out("users"));
        let open = place.cache.get(&file.meta.path).expect("a split");
        assert!(open.check_sections().iter().any(|error| error.contains("gate")), "{:?}", open.check_sections());
    }
    let old = Bytes::from_static(include_bytes!("fixtures/v1.split"));
    place.objects.put("splits/old", old).expect("put");
    assert!(matches!(Gate::open(&place.objects, "splits/old"), Ok(None)));
    assert!(place.cache.gate("splits/old").expect("a gate").may_match(&Probe::Any).expect("an answer"));
}

#[test]
fn a_needle_reads_one_page_of_each_of_many_splits() {
    let place = place();
    let id = |split: usize, i: u64| format!("{:016x}", hashes::hash64(format!("{split} {i}").as_bytes()));
    let line = |split: usize, i: u64| format!("trace_id={} \"began\"", id(split, i));
    let large: Vec<Row> = (0..8000).map(|i| row(i as i64, i, &line(0, i))).collect();
    let large = split_of(fixture::blocks(&large, 4000));
    let list = Footer::decode(&footer_of(&large)).expect("a footer").sections.hashes.bytes;
    assert!(list > 8000, "{list}");
    let mut files = vec![large];
    files.extend((1..200).map(|split| {
        let rows: Vec<Row> = (0..40).map(|i| row(i as i64, i, &line(split, i))).collect();
        split_of(fixture::blocks(&rows, 40))
    }));
    let segments: Vec<SplitSegment> = files
        .into_iter()
        .enumerate()
        .map(|(number, mut file)| {
            file.meta.path = format!("splits/{number}");
            place.objects.put(&file.meta.path, file.bytes.clone()).expect("put");
            SplitSegment::new(Arc::new(file.meta), Arc::clone(&place.cache))
        })
        .collect();
    let ask = |wanted: &str| -> (usize, u64) {
        let probe = Probe::Value { field: "trace_id".into(), folded: wanted.to_owned() };
        let before: u64 = segments.iter().map(|segment| segment.bytes_read()).sum();
        let flags = segments.iter().map(|segment| segment.candidates(&probe).expect("candidates"));
        let found = flags.flatten().filter(|flag| *flag).count();
        (found, segments.iter().map(|segment| segment.bytes_read()).sum::<u64>() - before)
    };
    ask(&id(1000, 1));
    for (wanted, at_least) in [(id(0, 4711), 1), (id(117, 7), 1), (id(1000, 1), 0)] {
        let (found, bytes) = ask(&wanted);
        assert!((at_least..at_least + 6).contains(&found), "{found} blocks for {wanted}");
        // A page of the large list and the lists of the others, which are a page each: 40 terms.
        assert!(bytes < 3000 + 199 * 200, "{bytes} bytes for {wanted}");
    }
}

#[test]
fn a_split_that_is_gone_is_an_error_and_not_silence() {
    let place = place();
    let file = split_of(fixture::blocks(&service_rows(10), 10));
    let split = SplitSegment::new(Arc::new(file.meta), Arc::clone(&place.cache));
    assert_eq!(split.blocks()[0].rows, 10);
    let error = split.candidates(&Probe::Any).expect_err("it is gone").to_string();
    assert_eq!(error, "segment splits/one: object splits/one is not there");
    assert!(split.read(0, &Projection::All, None).is_err());
}

/// Everything that can be asked of a split, each as text or as an error.
fn everything(split: &dyn Segment) -> Vec<Result<String, String>> {
    let mut answers = Vec::new();
    for probe in fixture::probes().into_iter().step_by(5) {
        answers.push(split.candidates(&probe).map(|flags| format!("{flags:?}")).map_err(|e| e.to_string()));
    }
    for block in 0..split.blocks().len() {
        let rows: Vec<u32> = (0..split.blocks()[block].rows).step_by(97).collect();
        let read = split.read(block, &Projection::All, None);
        answers.push(read.map(|batch| format!("{:?}", batch.columns())).map_err(|e| e.to_string()));
        let read = split.read(block, &Projection::Fields(vec!["status".into()]), Some(&rows));
        answers.push(read.map(|batch| format!("{batch:?}")).map_err(|e| e.to_string()));
        answers.push(split.raw(block, &rows).map(|lines| format!("{lines:?}")).map_err(|e| e.to_string()));
    }
    answers
}

fn hurt(bytes: &Bytes, at: usize, bit: u8) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1 << bit;
    bytes.into()
}

#[test]
fn every_flipped_bit_is_noticed_or_costs_only_its_part() {
    let place = place();
    let file = split_of(fixture::blocks(&service_rows(200), 200));
    let whole = everything(&segment(&place, &file));
    assert!(whole.iter().all(Result::is_ok));
    let mut state = 1u64;
    let mut lost = 0;
    for i in 0..120 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // The end, where all offsets lie, is hurt most.
        let len = file.bytes.len();
        let at =
            if i % 2 == 0 { (state >> 16) as usize % len } else { len - 1 - (state >> 16) as usize % 3000.min(len) };
        let hurt = SplitFile { meta: file.meta.clone(), bytes: hurt(&file.bytes, at, (state >> 8) as u8 % 8) };
        for (have, want) in everything(&segment(&place, &hurt)).iter().zip(&whole) {
            match have {
                Ok(_) => assert_eq!(have, want, "byte {at} of {len}"),
                Err(_) => lost += 1,
            }
        }
    }
    assert!(lost > 0);
}

#[test]
fn every_cut_object_is_refused() {
    let place = place();
    let file = split_of(fixture::blocks(&service_rows(20), 20));
    for cut in 0..file.bytes.len().min(400) {
        for bytes in [file.bytes.slice(..cut), file.bytes.slice(..file.bytes.len() - 1 - cut)] {
            let split = segment(&place, &SplitFile { meta: file.meta.clone(), bytes });
            assert!(split.candidates(&Probe::Any).is_err(), "cut at {cut}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_lines_keep_the_contract_in_a_split(rows in fixture::any_rows(80), block_rows in 1usize..30) {
        prop_assume!(!rows.is_empty());
        let place = place();
        fixture::check(&segment(&place, &split_of(fixture::blocks(&rows, block_rows))), &rows);
    }
}

/// The indexes alone, over blocks that are much smaller than those of a split.
struct Bare {
    footer: Footer,
    lexicon: Arc<Lexicon>,
    hashes: Bytes,
}

impl Bare {
    fn new(blocks: &[Block]) -> Bare {
        let mut footer = Footer::decode(&footer_of(&split_of(fixture::blocks(&service_rows(1), 1)))).expect("a footer");
        (footer.blocks, footer.fields, footer.extra_blocks) = Default::default();
        let mut indexer = Indexer::default();
        for (i, block) in blocks.iter().enumerate() {
            let rows = Rows { layout: block.layout(), batch: block.batch(), numbers: &|_| None };
            indexer.add_block(&rows, &[], None);
            footer.blocks.push(block.stat());
            add_stats(&mut footer.fields, block.fields());
            footer.extra_blocks.extend(block.has_extra().then_some(i as u32));
        }
        let indexes = indexer.finish();
        (footer.scan_words, footer.scan_values) = (indexes.scans.words, indexes.scans.values);
        footer.found_by_words = indexes.found_by_words;
        let hashes = hashes::encode(indexes.hashes).into();
        let lexicon = Lexicon::open(&indexes.lexicon.finish().expect("a bundle")).expect("a lexicon");
        Bare { footer, lexicon: Arc::new(lexicon), hashes }
    }
}

fn footer_of(file: &SplitFile) -> Bytes {
    let end = file.bytes.len();
    let parquet = u32::from_le_bytes(file.bytes[end - 8..end - 4].try_into().expect("four bytes")) as usize;
    let at = end - 8 - parquet;
    let trailer = Trailer::decode(&file.bytes[at - TRAILER_BYTES..at]).expect("a trailer");
    file.bytes.slice(trailer.footer.offset as usize..(trailer.footer.offset + trailer.footer.bytes) as usize)
}

impl lookup::Indexes for Bare {
    fn footer(&self) -> &Footer {
        &self.footer
    }

    fn find_term(&self, term: &[u8], flags: &mut [bool]) -> Result<(), String> {
        self.lexicon.find(term, flags).map_err(|error| error.to_string())
    }

    fn find_prefix(&self, prefix: &[u8], flags: &mut [bool]) -> Result<(), String> {
        self.lexicon.find_prefix(prefix, flags).map_err(|error| error.to_string())
    }

    fn find_part(&self, _field: &str, _part: &[u8], _flags: &mut [bool]) -> Result<bool, String> {
        Ok(false)
    }

    fn find_hash(&self, term: &[u8], flags: &mut [bool]) -> Result<(), String> {
        let list = HashList::open(self.hashes.clone(), self.hashes.len() as u64).ok_or("no list")?;
        let read =
            |span: std::ops::Range<u64>| Ok::<_, String>(self.hashes.slice(span.start as usize..span.end as usize));
        list.find(term, flags, read)?.ok_or_else(|| "a damaged list".to_owned())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn candidates_of_many_blocks_never_lose_a_match(rows in fixture::any_rows(120), block_rows in 1usize..9) {
        let blocks = fixture::blocks(&rows, block_rows);
        let bare = Bare::new(&blocks);
        let batches: Vec<_> = blocks.iter().map(|block| block.read(&Projection::All, None).expect("read")).collect();
        let (mut asked, mut left_out) = (0, 0);
        for probe in fixture::probes() {
            let flags = lookup::candidates(&bare, &probe).expect("candidates");
            for (flag, batch) in flags.iter().zip(&batches) {
                let found = (0..batch.num_rows()).any(|row| fixture::matches(batch, row, &probe));
                prop_assert!(*flag || !found, "{:?} was lost", probe);
                asked += 1;
                left_out += usize::from(!flag);
            }
        }
        prop_assert!(blocks.len() < 10 || left_out * 8 > asked, "only {} of {} blocks were left out", left_out, asked);
    }
}

//! Splits that versions 2 to 8 wrote: each opens, answers as one of today, gives back every line, and can be merged.
//!
//! `fixtures/vN.split` was written by the last commit that wrote version N (09258ee, 5713718, 4b2b622, 6b0b7d3), of version
//! 6 by 1e68fe0, each with its own parser; `v7.split` and `v8.split` are that of version 6, merged by 0b3414e and 80aa3f0. The lines
//! are the hundred of `fixtures/v1.split` and then [`beat`] of every number below [`BEATS`]; in the order of their times they are
//! four blocks, whose hash list has several pages. `v7-received.split` was written by b74cb15, of [`received_rows`]: it has receive
//! times.

use arrow::array::Array;
use arrow::datatypes::{Int64Type, UInt64Type};
use logweir_proto::record::{field, seq_of};

use super::super::reader::OpenSplit;
use super::*;
use crate::store::receipts::{RECEIPT_BYTES, Told};
use crate::store::segment::BlockStat;

const BEATS: u64 = 12_400;

/// When the day of the lines begins.
const DAY_MS: i64 = 1_795_132_800_000;

/// Lines of a WAL record.
const RECORD_LINES: usize = 15_000;

fn beat(i: u64) -> String {
    let time_ms = DAY_MS + i as i64 * 5000;
    let id = match i % 8 {
        0 => format!(r#","id":"{:016x}""#, (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        _ => String::new(),
    };
    let (host, ms) = (i / 500 % 5, i / 7 % 40);
    format!(
        r#"{{"time":{time_ms},"level":"info","service":"beat","host":"h{host}","beat":{i},"duration_ms":{ms},"msg":"beat {i} of h{host} took {ms} ms"{id}}}"#
    )
}

fn time_ns(line: &[u8]) -> i64 {
    let value: serde_json::Value = serde_json::from_slice(line).expect("JSON");
    value["time"].as_i64().expect("a time") * 1_000_000
}

fn open(place: &Place, bytes: &'static [u8]) -> (OpenSplit, SplitSegment) {
    let bytes = Bytes::from_static(bytes);
    place.objects.put("splits/one", bytes.clone()).expect("put");
    let columns = Arc::new(Columns::new(1 << 20));
    let open = OpenSplit::open(&place.objects, "splits/one", &columns).expect("a split");
    let meta = SplitMeta { bytes: bytes.len() as u64, path: "splits/one".into(), ..open.known().footer.meta.clone() };
    let split = segment(place, &SplitFile { meta, bytes });
    (open, split)
}

fn rows() -> Vec<Row> {
    let place = place();
    let (_, first) = open(&place, include_bytes!("../fixtures/v1.split"));
    let hundred = first.raw(0, &(0..100).collect::<Vec<_>>()).expect("lines");
    let lines = hundred.into_iter().chain((0..BEATS).map(|i| beat(i).into_bytes()));
    let row = |(i, raw): (usize, Vec<u8>)| Row {
        time_ns: time_ns(&raw),
        seq: ((i / RECORD_LINES) as u64) << 24 | (i % RECORD_LINES) as u64,
        raw,
    };
    lines.enumerate().map(row).collect()
}

#[test]
fn splits_of_all_versions_answer_and_give_their_lines_back() {
    let rows = rows();
    let files: [(u32, &'static [u8]); 7] = [
        (2, include_bytes!("../fixtures/v2.split")),
        (3, include_bytes!("../fixtures/v3.split")),
        (4, include_bytes!("../fixtures/v4.split")),
        (5, include_bytes!("../fixtures/v5.split")),
        (6, include_bytes!("../fixtures/v6.split")),
        (7, include_bytes!("../fixtures/v7.split")),
        (8, include_bytes!("../fixtures/v8.split")),
    ];
    for (version, bytes) in files {
        let place = place();
        let tail = bytes.len() - 8;
        let parquet = u32::from_le_bytes(bytes[tail..tail + 4].try_into().expect("four bytes")) as usize;
        let trailer = Trailer::decode(&bytes[tail - parquet - TRAILER_BYTES..tail - parquet]).expect("a trailer");
        assert_eq!(trailer.version, version);
        let (open, split) = open(&place, bytes);
        assert!(open.check_sections().is_empty(), "{version}: {:?}", open.check_sections());
        fixture::check(&split, &rows);
        check_answers(&split, version);
        // Nobody knows when their lines were received, and nobody claims to.
        assert_eq!(split.received(), Told { span: None, unknown: rows.len() as u64 });
        let ingested = Projection::Fields(vec![field::INGESTED.to_owned()]);
        let read = split.read(1, &ingested, None).expect("a column");
        assert_eq!((read.column(0).null_count(), split.block_received(1)), (read.num_rows(), None));
        let lines = |split: &SplitSegment| -> Vec<Vec<u8>> {
            let all = |(block, stat): (usize, BlockStat)| split.raw(block, &(0..stat.rows).collect::<Vec<_>>());
            split.blocks().iter().copied().enumerate().flat_map(|block| all(block).expect("lines")).collect()
        };
        let before = lines(&split);
        let merged = segment(&place, &split_of(open.to_blocks().expect("blocks")));
        assert!(lines(&merged) == before, "version {version}");
        check_answers(&merged, VERSION);
        assert_eq!(merged.received(), Told { span: None, unknown: rows.len() as u64 });
    }
}

/// What the four blocks have.
fn check_answers(split: &SplitSegment, version: u32) {
    let value = |field: &str, folded: &str| Probe::Value { field: field.into(), folded: folded.into() };
    let word = |word: &str| Probe::Word(word.into());
    for (probe, want) in [
        (value("id", "9e3779b97f4a7c15"), [true, false, false, false]),
        (value("id", "9e3779b97f4a7c16"), [false; 4]),
        (value("service", "beat"), [true; 4]),
        (value("host", "h9"), [false; 4]),
        (word("beat"), [true; 4]),
        (word("finished"), [true, false, false, false]),
        (word("12399"), [false, false, false, true]),
        (word("nowhere"), [false; 4]),
        (Probe::WordPrefix("bea".into()), [true; 4]),
        (Probe::Exists { field: "trace_id".into() }, [true, false, false, false]),
        (Probe::Exists { field: "beat".into() }, [true; 4]),
    ] {
        assert_eq!(split.candidates(&probe).expect("candidates"), want, "version {version}, {probe:?}");
    }
    assert!(split.rules_out(&mut Sieve::new(|_| word("nowhere"))), "version {version}");
    let told = split.word_rows("beat").map(|rows| rows.iter().sum::<u32>());
    assert_eq!(told, (version >= 5).then_some(BEATS as u32), "version {version}");
}

/// Beats in WAL records of a hundred lines.
fn received_rows() -> Vec<Row> {
    let row = |i: u64| {
        let raw = beat(i).into_bytes();
        Row { time_ns: time_ns(&raw), seq: seq_of(i / 100, (i % 100) as u32), raw }
    };
    (0..5000).map(row).collect()
}

#[test]
fn receive_times_of_version_7_are_read_and_outlive_a_merge() {
    let rows = received_rows();
    let place = place();
    let bytes = include_bytes!("../fixtures/v7-received.split");
    let (open, split) = open(&place, bytes);
    assert!(open.check_sections().is_empty(), "{:?}", open.check_sections());
    fixture::check(&split, &rows);
    let merged = segment(&place, &split_of(open.to_blocks().expect("blocks")));
    let ingested = Projection::Fields(vec![field::SEQ.to_owned(), field::INGESTED.to_owned()]);
    for split in [&split, &merged] {
        let last_ns = fixture::received_ns(rows.last().expect("a row").seq);
        assert_eq!(split.received(), Told { span: Some((0, last_ns)), unknown: 0 });
        for block in 0..split.blocks().len() {
            let read = split.read(block, &ingested, None).expect("columns");
            let seqs = read.column(0).as_primitive::<UInt64Type>().values();
            let times = read.column(1).as_primitive::<Int64Type>();
            let want: Vec<i64> = seqs.iter().map(|seq| fixture::received_ns(*seq)).collect();
            assert_eq!((times.null_count(), &times.values()[..]), (0, &want[..]));
            let span = Some((want[0], want[want.len() - 1]));
            assert_eq!(split.block_received(block), span);
        }
    }
    let receipts = open.known().footer.sections.receipts.bytes;
    assert!(receipts > 0 && receipts < 50 * RECEIPT_BYTES, "{receipts} bytes of fifty records");
}

//! What holds for every decoder of the agent, whatever the bytes: they are covered without a hole, and where the reads
//! end changes nothing.
//!
//! The first two bytes of an input say how it is read ([`How`]); the rest is the log.

use std::collections::BTreeMap;

use logweir_agent::decode::encoding::Encoding;
use logweir_agent::decode::{Close, Decoded, Format, Multiline, Scratch, Window, decode};
use logweir_proto::batch::{ChunkBuilder, RecordRef, SourceKind, Stream};

/// Line limits: one that every line is over, and the usual ones in small.
const LINE_BYTES: [usize; 4] = [8, 40, 300, 1 << 20];

/// How an input is read.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// Bytes of the first window of a record.
    pub window: usize,
    pub line_bytes: usize,
    /// What two bits of the first byte are left to say.
    pub choice: u8,
}

/// A record as it came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub start: u64,
    pub advance: u64,
    pub time_ns: Option<i64>,
    pub stream: Stream,
    pub truncated: bool,
    pub text: Vec<u8>,
}

impl How {
    /// Takes the two bytes off the front.
    pub fn of(data: &[u8]) -> (How, &[u8]) {
        let Some((&[first, window], log)) = data.split_first_chunk::<2>() else {
            return (How { window: 1, line_bytes: LINE_BYTES[3], choice: 0 }, data);
        };
        let line_bytes = LINE_BYTES[usize::from(first & 3)];
        (How { window: usize::from(window) + 1, line_bytes, choice: first >> 2 & 3 }, log)
    }
}

/// The format of a kind without an encoding.
pub fn format<'a>(kind: SourceKind, multiline: &'a Multiline, how: How) -> Format<'a> {
    Format::new(kind, "", multiline, how.line_bytes)
}

/// Reads the log as the agent does: window after window from clean points on, a larger one where nothing was cut.
///
/// # Panics
/// When a decoder does, and when what it says it consumed is not what its records stand for.
pub fn read(format: Format<'_>, log: &[u8], window: usize) -> Vec<Record> {
    let mut chunk = ChunkBuilder::new(0);
    let mut scratch = Scratch::default();
    let (mut at, mut want) = (0, window.max(1));
    while at < log.len() {
        let end = (at + want).min(log.len());
        let close = if end == log.len() { Close::All } else { Close::Nothing };
        let mid_line = !format.encoding.begins_line(&log[at.saturating_sub(2)..at]);
        let before = chunk.end();
        let seen = Window { bytes: &log[at..end], mid_line, close };
        let decoded = decode(format, seen, &mut scratch, &mut chunk);
        // A byte order mark belongs to the first record, and is nothing without one.
        if log.len() <= 2 && format.encoding != Encoding::Bytes {
            return Vec::new();
        }
        check(decoded, chunk.end() - before, end - at, close);
        at += decoded.consumed;
        want = if decoded.consumed == 0 { want * 2 } else { window.max(1) };
    }
    let mut records = Vec::new();
    chunk.for_each(|record: RecordRef<'_>| {
        let RecordRef { start, advance, time_ns, stream, truncated, text } = record;
        records.push(Record { start, advance, time_ns, stream, truncated, text: text.to_vec() });
    });
    assert_eq!(records.iter().map(|record| record.advance).sum::<u64>(), log.len() as u64);
    records
}

fn check(decoded: Decoded, advanced: u64, len: usize, close: Close) {
    assert_eq!(decoded.consumed as u64, advanced, "{decoded:?}");
    assert!(decoded.consumed <= len, "{decoded:?}");
    assert!(decoded.open.is_some() || decoded.consumed == len, "{decoded:?}");
    assert!(close != Close::All || decoded.consumed == len, "{decoded:?}");
}

/// A group that may wait no longer, in the middle of the log: what is left is read on from there.
pub fn close_early(format: Format<'_>, log: &[u8], window: usize) {
    let bytes = &log[..window.min(log.len())];
    for close in [Close::Nothing, Close::Group, Close::All] {
        let mut chunk = ChunkBuilder::new(7);
        let decoded = decode(format, Window { bytes, mid_line: true, close }, &mut Scratch::default(), &mut chunk);
        assert_eq!(decoded.consumed as u64, chunk.end() - 7);
        assert!(decoded.consumed <= bytes.len());
    }
}

/// Records of plain lines: their texts and the line ends between them are the log again.
pub fn say_the_log_again(records: &[Record], log: &[u8]) {
    let mut at = 0;
    for record in records {
        assert_eq!(record.start as usize, at);
        assert!(log[at..].starts_with(&record.text), "at {at}");
        at += record.advance as usize;
        let left = &log[at - (record.advance as usize - record.text.len())..at];
        assert!(matches!(left, b"" | b"\n" | b"\r\n"), "{left:?}");
    }
}

/// The same records wherever the reads end.
///
/// Of a line that came in pieces only the read that cut it knows that what follows is the rest of it: the mark of the
/// rest is not compared.
pub fn same_in_any_windows(format: Format<'_>, log: &[u8], window: usize) -> Vec<Record> {
    let whole = read(format, log, log.len());
    let pieces = matches!(format.kind, SourceKind::Docker | SourceKind::Cri);
    let of = |records: &[Record]| -> BTreeMap<u64, Record> {
        let unmarked = |record: &Record| Record { truncated: record.truncated && !pieces, ..record.clone() };
        records.iter().map(|record| (record.start, unmarked(record))).collect()
    };
    assert_eq!(of(&read(format, log, window)), of(&whole));
    whole
}

/// What `bytes` say of their encoding.
pub fn encoded<'a>(format: Format<'a>, bytes: &[u8]) -> Format<'a> {
    Format { encoding: Encoding::of(bytes), ..format }
}

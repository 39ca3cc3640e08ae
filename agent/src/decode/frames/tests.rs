use logweir_proto::batch::{ChunkBuilder, SourceKind};
use proptest::prelude::*;

use super::*;
use crate::decode::lines::tests::{Owned, records};
use crate::decode::{Close, Decoded, Format, Multiline, Scratch, Window, decode};

fn run(kind: SourceKind, bytes: &[u8], close: Close) -> (Vec<Owned>, Decoded) {
    let mut chunk = ChunkBuilder::new(0);
    let format = Format::new(kind, FORMAT, &Multiline::Auto, 64 << 10);
    let window = Window { bytes, mid_line: false, close };
    let decoded = decode(format, window, &mut Scratch::default(), &mut chunk);
    (records(&chunk), decoded)
}

fn texts(records: &[Owned]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8_lossy(&record.text).into_owned()).collect()
}

/// A frame as Docker writes it, with the parts of a long line.
fn docker(source: &str, line: &[u8], partial: Option<bool>) -> Vec<u8> {
    let mut body = vec![0x0a, source.len() as u8];
    body.extend_from_slice(source.as_bytes());
    body.push(0x10);
    varint(1_795_166_139_687_150_100, &mut body);
    body.push(0x1a);
    varint(line.len() as u64, &mut body);
    body.extend_from_slice(line);
    if let Some(last) = partial {
        body.extend_from_slice(&[0x20, 1, 0x2a, 8, 0x08, u8::from(last), 0x12, 2, b'i', b'd', 0x18, 3]);
    }
    let size = (body.len() as u32).to_be_bytes();
    [&size[..], &body, &size].concat()
}

#[test]
fn a_file_of_docker_itself() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/samples/docker/dlocal/container.log");
    let bytes = std::fs::read(path).expect("a fixture");
    let (records, decoded) = run(SourceKind::Docker, &bytes, Close::All);
    assert_eq!((texts(&records), decoded.consumed), (vec!["two".to_owned(), "one".to_owned()], 62));
    assert_eq!((records[0].stream, records[1].stream), (Stream::Stderr, Stream::Stdout));
    assert_eq!(records[0].time_ns.expect("a time") / 1_000_000_000, 1_795_166_142);
}

#[test]
fn pieces_are_joined_per_stream_and_traces_too() {
    let frames = [
        docker("stdout", b"one-", Some(false)),
        docker("stderr", b"err", None),
        docker("stdout", b"two", Some(true)),
        docker("stderr", b"Error: x", None),
        docker("stderr", b"    at f (a.js:1:2)", None),
        docker("stdout", b"ends in ten\n", None),
    ];
    let (records, decoded) = run(SourceKind::Docker, &frames.concat(), Close::Group);
    let want = ["err", "one-two", "Error: x\n    at f (a.js:1:2)", "ends in ten\n"];
    assert_eq!((texts(&records), decoded.consumed), (want.map(str::to_owned).to_vec(), frames.concat().len()));
}

#[test]
fn what_is_no_frame_is_a_record_and_the_next_frame_is_found() {
    let mut bytes = docker("stdout", b"one", None);
    let whole = bytes.len();
    bytes.extend_from_slice(&docker("stdout", b"torn in the middle", None)[..20]);
    // A torn frame at the end waits, and is given up only when nothing more comes.
    assert_eq!(run(SourceKind::Docker, &bytes, Close::Group).1.consumed, whole);
    bytes.extend_from_slice(&docker("stdout", b"two, which is long enough to cover the torn one", None));
    bytes.extend_from_slice(&docker("stdout", b"three", None));
    let (records, decoded) = run(SourceKind::Docker, &bytes, Close::All);
    let texts = texts(&records);
    assert_eq!(decoded.consumed, bytes.len());
    assert!(texts.contains(&"one".to_owned()) && texts.contains(&"three".to_owned()), "{texts:?}");
}

#[test]
fn our_own_frames_keep_newlines_and_are_never_joined() {
    let mut bytes = Vec::new();
    for text in ["<13>a\nb", "   indented", ""] {
        write(7, text.as_bytes(), Part::Whole, &mut bytes);
    }
    let (records, _) = run(SourceKind::Syslog, &bytes, Close::Group);
    assert_eq!(texts(&records), ["<13>a\nb", "   indented", ""]);
    assert_eq!(records[0].time_ns, Some(7));
    let (len, last) = whole(&bytes);
    assert_eq!((len, last), (bytes.len(), Some(&bytes[bytes.len() - 12..])));
    assert_eq!(whole(&bytes[..bytes.len() - 1]).0, bytes.len() - 12);
}

proptest! {
    #[test]
    fn any_line_comes_back(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..10), time_ns: i64) {
        let mut bytes = Vec::new();
        for line in &lines {
            write(time_ns, line, Part::Whole, &mut bytes);
        }
        let (records, decoded) = run(SourceKind::Journald, &bytes, Close::Group);
        prop_assert_eq!(decoded.consumed, bytes.len());
        let trimmed = |line: &Vec<u8>| line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        prop_assert_eq!(records.iter().map(|r| r.text.clone()).collect::<Vec<_>>(), lines.iter().map(trimmed).collect::<Vec<_>>());
        prop_assert!(records.iter().all(|record| record.time_ns == Some(time_ns)));
    }

    #[test]
    fn any_bytes_are_covered(bytes in prop::collection::vec(any::<u8>(), 0..200), len in 0u32..40, at in 0usize..200) {
        let mut bytes = bytes;
        let at = at.min(bytes.len());
        bytes.splice(at..at, len.to_be_bytes());
        let (records, decoded) = run(SourceKind::Docker, &bytes, Close::All);
        prop_assert_eq!(decoded.consumed, bytes.len());
        prop_assert_eq!(records.iter().map(|r| r.advance).sum::<u64>(), bytes.len() as u64);
    }
}

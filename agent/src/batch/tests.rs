use std::collections::BTreeMap;

use logweir_proto::batch::{AgentInfo, Heartbeat, SourceKind, Stream, Watermark};

use super::*;

fn info(id: &str) -> SourceInfo {
    SourceInfo {
        id: id.into(),
        kind: SourceKind::File,
        path: format!("/{id}"),
        format: String::new(),
        labels: BTreeMap::new(),
    }
}

fn header() -> Header {
    Header {
        agent: AgentInfo { id: "a".into(), host: "h".into(), version: "0".into(), utc_offset_minutes: 0 },
        seq: 3,
        sources: Vec::new(),
        chunks: Vec::new(),
        watermarks: vec![Watermark { source: "s".into(), offset: 9, time_ns: 1 }],
        gaps: vec![Gap { source: "s".into(), path: "/s".into(), start: 0, end: None, reason: "gone".into() }],
        heartbeat: Heartbeat::default(),
    }
}

fn chunk(start: u64, lines: &[&str]) -> ChunkBuilder {
    let mut chunk = ChunkBuilder::new(start);
    for line in lines {
        chunk.push(line.as_bytes(), line.len() as u64 + 1, None, Stream::None, false);
    }
    chunk
}

fn ranges(built: &Built) -> Vec<(String, u64, u64)> {
    built.plan.iter().map(|range| (range.source.clone(), range.from, range.to)).collect()
}

#[test]
fn halves_hold_the_same_ranges_in_order() {
    let mut draft = Draft::default();
    draft.push(&info("a"), &chunk(100, &["one", "two", "three"]), false);
    draft.push(&info("b"), &chunk(0, &["x"]), false);
    let built = draft.finish(header()).unwrap();
    assert_eq!(built.records, 4);
    let (first, second) = built.split().unwrap().expect("four records");
    assert_eq!(ranges(&first), [("a".into(), 100, 108)]);
    assert_eq!(ranges(&second), [("a".into(), 108, 114), ("b".into(), 0, 2)]);
    assert_eq!((first.gaps.len(), second.gaps.len()), (1, 0));
    let (first, second) = (Envelope::parse(&first.bytes).unwrap(), Envelope::parse(&second.bytes).unwrap());
    first.decompress().unwrap().check(&first.header).unwrap();
    second.decompress().unwrap().check(&second.header).unwrap();
    assert!(first.header.watermarks.is_empty());
    assert_eq!(second.header.watermarks.len(), 1);
}

#[test]
fn halves_keep_what_a_rule_left_out() {
    let mut draft = Draft::default();
    let mut first = chunk(100, &["one"]);
    first.skip(10);
    let mut nothing = ChunkBuilder::new(7);
    nothing.skip(5);
    draft.push(&info("a"), &first, false);
    draft.push(&info("b"), &nothing, false);
    draft.push(&info("c"), &chunk(0, &["x"]), false);
    let (first, second) = draft.finish(header()).unwrap().split().unwrap().expect("two records");
    assert_eq!(ranges(&first), [("a".into(), 100, 114), ("b".into(), 7, 12)]);
    assert_eq!(ranges(&second), [("c".into(), 0, 2)]);
    let first = Envelope::parse(&first.bytes).unwrap();
    first.decompress().unwrap().check(&first.header).unwrap();
}

#[test]
fn a_chunk_without_a_clean_point_stays_whole() {
    let mut draft = Draft::default();
    draft.push(&info("a"), &chunk(0, &["one", "two", "three"]), true);
    assert!(draft.finish(header()).unwrap().split().unwrap().is_none());
    let mut draft = Draft::default();
    draft.push(&info("a"), &chunk(0, &["one", "two", "three"]), true);
    draft.push(&info("b"), &chunk(0, &["x"]), false);
    let (first, second) = draft.finish(header()).unwrap().split().unwrap().expect("two units");
    assert_eq!(ranges(&first), [("a".into(), 0, 14)]);
    assert_eq!(ranges(&second), [("b".into(), 0, 2)]);
}

#[test]
fn one_record_has_no_halves() {
    let mut draft = Draft::default();
    draft.push(&info("a"), &chunk(0, &["one"]), false);
    assert!(draft.finish(header()).unwrap().split().unwrap().is_none());
}

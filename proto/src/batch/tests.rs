use proptest::prelude::*;

use super::*;

fn header() -> Header {
    Header {
        agent: AgentInfo { id: "a1".into(), host: "web-1".into(), version: "0.1.0".into(), utc_offset_minutes: 0 },
        seq: 7,
        sources: vec![SourceInfo {
            id: "s1".into(),
            kind: SourceKind::NginxAccess,
            path: "/var/log/nginx/access.log".into(),
            format: "$remote_addr $status".into(),
            labels: BTreeMap::from([("service".to_owned(), "shop".to_owned())]),
        }],
        chunks: Vec::new(),
        watermarks: Vec::new(),
        gaps: Vec::new(),
        heartbeat: Heartbeat::default(),
    }
}

fn small_batch() -> Vec<u8> {
    let mut chunk = ChunkBuilder::new(100);
    chunk.push(b"plain line", 11, None, Stream::None, false);
    chunk.push(b"hello", 80, Some(1_763_630_000_000_000_000), Stream::Stderr, true);
    let mut body = BodyBuilder::default();
    body.push(0, &chunk);
    body.finish(header(), 1).expect("a small batch is built")
}

#[test]
fn a_batch_comes_back_as_it_was_built() {
    let bytes = small_batch();
    let envelope = Envelope::parse(&bytes).expect("it is a batch");
    assert_eq!(envelope.header.sources, header().sources);
    assert_eq!((envelope.header.chunks[0].start, envelope.header.chunks[0].end), (100, 191));
    let mut seen = Vec::new();
    let body = envelope.decompress().expect("the body is whole");
    body.for_each(&envelope.header, |chunk, r| {
        seen.push((chunk, r.start, r.advance, r.time_ns, r.stream, r.truncated, r.text.to_vec()));
    })
    .expect("the records fill their chunk");
    assert_eq!(
        seen,
        [
            (0, 100, 11, None, Stream::None, false, b"plain line".to_vec()),
            (0, 111, 80, Some(1_763_630_000_000_000_000), Stream::Stderr, true, b"hello".to_vec()),
        ]
    );
}

#[test]
fn what_is_left_out_belongs_to_the_next_record_or_to_the_end_of_the_chunk() {
    let mut chunk = ChunkBuilder::new(100);
    chunk.skip(7);
    chunk.push(b"kept", 5, None, Stream::None, false);
    chunk.push(b"next", 5, None, Stream::None, false);
    chunk.skip(3);
    let mut nothing = ChunkBuilder::new(0);
    nothing.skip(50);
    let mut body = BodyBuilder::default();
    body.push(0, &chunk);
    body.push(0, &nothing);
    let bytes = body.finish(header(), 1).expect("a small batch is built");
    let envelope = Envelope::parse(&bytes).expect("it is a batch");
    let chunks = &envelope.header.chunks;
    assert_eq!(
        chunks.iter().map(|chunk| (chunk.start, chunk.end, chunk.records)).collect::<Vec<_>>(),
        [(100, 120, 2), (0, 50, 0)]
    );
    let mut seen = Vec::new();
    let body = envelope.decompress().expect("the body is whole");
    body.for_each(&envelope.header, |_, r| seen.push((r.start, r.advance, r.text.to_vec()))).expect("it is right");
    assert_eq!(seen, [(100, 12, b"kept".to_vec()), (112, 5, b"next".to_vec())]);
    let mut again = Vec::new();
    chunk.for_each(|r| again.push((r.start, r.advance, r.text.to_vec())));
    assert_eq!(again, seen);
}

#[test]
fn every_cut_and_every_flipped_bit_is_refused() {
    let bytes = small_batch();
    for cut in 0..bytes.len() {
        assert!(Envelope::parse(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let read = Envelope::parse(&flipped).and_then(|e| e.decompress()?.check(&e.header));
        assert!(read.is_err(), "bit {bit}");
    }
}

#[test]
fn chunks_that_lie_about_their_range_are_refused() {
    let bytes = small_batch();
    let mut envelope = Envelope::parse(&bytes).expect("it is a batch");
    let body = envelope.decompress().expect("the body is whole");
    envelope.header.chunks[0].end += 1;
    assert!(matches!(body.check(&envelope.header), Err(BatchError::Chunk { chunk: 0, .. })));
}

#[test]
fn a_version_from_the_future_says_what_to_do() {
    let mut bytes = small_batch();
    bytes[3] = 9;
    let error = Envelope::parse(&bytes).expect_err("version 9 is not known");
    assert_eq!(
        error.to_string(),
        "batch version 9 is not supported, this build reads version 1: upgrade the aggregator"
    );
}

proptest! {
    #[test]
    fn any_records_come_back(records in prop::collection::vec(
        (prop::collection::vec(any::<u8>(), 0..50), 1u64..200, any::<Option<i64>>(), 0..3, any::<bool>()), 0..40), tail in 0u64..3) {
        let mut chunk = ChunkBuilder::new(5);
        for (text, advance, time, stream, truncated) in &records {
            let stream = [Stream::None, Stream::Stdout, Stream::Stderr][*stream as usize];
            chunk.push(text, *advance, *time, stream, *truncated);
        }
        chunk.skip(tail);
        let mut body = BodyBuilder::default();
        body.push(0, &chunk);
        let bytes = body.finish(header(), 1).unwrap();
        let envelope = Envelope::parse(&bytes).unwrap();
        prop_assert_eq!(envelope.header.chunks[0].end, chunk.end());
        let mut back = Vec::new();
        envelope.decompress().unwrap().for_each(&envelope.header, |_, r| {
            back.push((r.text.to_vec(), r.advance, r.time_ns, r.stream as i32, r.truncated));
        }).unwrap();
        prop_assert_eq!(back, records);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut framed = b"LWB\x01".to_vec();
        framed.extend_from_slice(&bytes);
        let _ = Envelope::parse(&framed).map(|e| e.decompress());
    }
}

#[test]
fn a_whole_batch_is_what_a_reader_of_its_bytes_finds() {
    let texts: [&[u8]; 3] = [b"{\"a\":1}", b"", b"{\"b\":\"longer than its neighbours\"}"];
    let mut body = BodyBuilder::default();
    body.push_plain(0, 100, &texts);
    let whole = body.finish_whole(header(), -5).expect("a small batch");
    let envelope = Envelope::parse(&whole.bytes).expect("it is a batch");
    assert_eq!(envelope.header, whole.header);
    let records = |body: &Body| {
        let mut records = Vec::new();
        body.for_each(&whole.header, |_, r| records.push((r.start, r.advance, r.text.to_vec()))).expect("records");
        records
    };
    let read = records(&envelope.decompress().expect("the body is whole"));
    assert_eq!(read, records(&whole.body));
    assert_eq!(read.iter().map(|(start, ..)| *start).collect::<Vec<_>>(), [100, 108, 109]);
    assert_eq!(read.iter().map(|(.., text)| &text[..]).collect::<Vec<_>>(), texts);
}

#[test]
fn a_body_that_a_fast_level_leaves_too_large_is_compressed_better() {
    // Words of random letters: what looks closely finds each again, what hurries hardly any.
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let words: Vec<[u8; 8]> = (0..1024).map(|_| std::array::from_fn(|_| b' ' + (random() % 90) as u8)).collect();
    let mut chunk = ChunkBuilder::new(0);
    for _ in 0..24 {
        let text: Vec<u8> = (0..LINE_BYTES_MAX / 8).flat_map(|_| words[random() as usize % words.len()]).collect();
        chunk.push(&text, text.len() as u64 + 1, None, Stream::None, false);
    }
    let mut body = BodyBuilder::default();
    body.push(0, &chunk);
    let fast = zstd::bulk::compress(&body.raw, -50).expect("zstd");
    assert!(fast.len() > BODY_BYTES_MAX, "{}", fast.len());
    let bytes = body.finish(header(), -50).expect("it fits after all");
    assert!(bytes.len() < BODY_BYTES_MAX, "{}", bytes.len());
    Envelope::parse(&bytes).expect("a reader takes it").decompress().expect("whole");
}

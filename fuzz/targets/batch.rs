//! A batch as anybody could send it: `Envelope::parse`, `decompress`, `for_each`.
//!
//! The fuzzer would never guess a checksum, so the input is the two parts that they cover: a number, so many bytes of
//! header, and the body before its compression. With an odd number the input is taken for the whole batch as it is.
#![cfg_attr(feature = "libfuzzer", no_main)]

use logweir_proto::batch::{Envelope, MAGIC, RecordRef, VERSION};

logweir_fuzz::target!(run);

pub(crate) fn run(data: &[u8]) {
    let Some((len, rest)) = data.split_first_chunk::<2>() else { return read(data) };
    let len = usize::from(u16::from_be_bytes(*len));
    match rest.split_at_checked(len / 2) {
        Some((header, body)) if len % 2 == 0 => read(&framed(header, body)),
        _ => read(data),
    }
}

fn framed(header: &[u8], body: &[u8]) -> Vec<u8> {
    let packed = zstd::bulk::compress(body, 1).expect("a buffer takes all");
    let mut batch = MAGIC.to_vec();
    batch.push(VERSION);
    batch.extend_from_slice(&(header.len() as u32).to_le_bytes());
    batch.extend_from_slice(header);
    batch.extend_from_slice(&crc32fast::hash(header).to_le_bytes());
    batch.extend_from_slice(&(body.len() as u32).to_le_bytes());
    batch.extend_from_slice(&(packed.len() as u32).to_le_bytes());
    batch.extend_from_slice(&packed);
    batch.extend_from_slice(&crc32fast::hash(&packed).to_le_bytes());
    batch
}

/// What is taken for a batch is one: its records cover its chunks without a hole.
fn read(bytes: &[u8]) {
    let Ok(envelope) = Envelope::parse(bytes) else { return };
    let Ok(body) = envelope.decompress() else { return };
    let chunks = &envelope.header.chunks;
    let mut ends: Vec<u64> = chunks.iter().map(|chunk| chunk.start).collect();
    let mut counts = vec![0u32; chunks.len()];
    let mut text_bytes = 0;
    let each = |chunk: usize, record: RecordRef<'_>| {
        assert_eq!(record.start, ends[chunk]);
        ends[chunk] += record.advance;
        counts[chunk] += 1;
        text_bytes += record.text.len();
    };
    body.for_each(&envelope.header, each).expect("what was checked can be walked");
    assert!(text_bytes <= body.bytes());
    for (at, chunk) in chunks.iter().enumerate() {
        assert!(ends[at] <= chunk.end);
        assert_eq!(counts[at], chunk.records);
    }
}

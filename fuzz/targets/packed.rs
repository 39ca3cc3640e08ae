//! Rotated logs that were compressed: gzip and zstd, whole, torn and damaged, read at any offsets.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::fs::File;
use std::io::{Seek, Write};

use logweir_agent::tail::body::{Body, Packed, Packing};

logweir_fuzz::target!(run);

/// What a small input may give at most here: bombs are read window by window.
const READ_BYTES: usize = 64 << 10;

pub(crate) fn run(data: &[u8]) {
    let Some((&[how, offset], bytes)) = data.split_first_chunk::<2>() else { return };
    let packing = if how & 1 == 0 { Packing::Gzip } else { Packing::Zstd };
    let mut body = body(bytes, packing);
    let first = read(&mut body, 0);
    let offset = usize::from(offset);
    // Anywhere, backwards too, it is the same log.
    let want = first.get(offset..).unwrap_or_default();
    assert!(read(&mut body, offset as u64).starts_with(want));
    assert_eq!(read(&mut body, 0), first);
    if let Some((end, _)) = body.packed().and_then(Packed::end) {
        assert!(end >= first.len() as u64);
    }
}

fn body(bytes: &[u8], packing: Packing) -> Body {
    let mut file: File = tempfile::tempfile().expect("a temporary file");
    file.write_all(bytes).expect("it is written");
    file.rewind().expect("it has a beginning");
    Body::Packed(Box::new(Packed::new(file, packing)))
}

fn read(body: &mut Body, offset: u64) -> Vec<u8> {
    let mut buffer = vec![0; READ_BYTES];
    let len = body.read_at(&mut buffer, offset).expect("a plain file is read");
    buffer.truncate(len);
    buffer
}

//! Hostile splits. The bytes of an object as they come, and a good split of which parts were changed and whose checksums
//! were made right again, so that every decoder behind them meets the damage. A reader answers or says what is wrong.
//!
//! First byte 0: the rest is the object. Else: edits of six bytes, `section u8 | offset u16 | length u8 | byte u8 | how u8`.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use logweir_aggregator::ranges::SourceRanges;
use logweir_aggregator::store::segment::{BlockStat, Probe, Projection};
use logweir_aggregator::store::split::columns::Columns;
use logweir_aggregator::store::split::footer::{
    Footer, GRANULE_BYTES, PARQUET_TAIL_BYTES, Section, Sections, TRAILER_BYTES, Trailer, VERSION,
};
use logweir_aggregator::store::split::foretold::Foretold;
use logweir_aggregator::store::split::gate::Gate;
use logweir_aggregator::store::split::reader::OpenSplit;
use logweir_aggregator::store::split::writer::{SplitSource, write};
use logweir_fuzz::lines;
use logweir_proto::batch::SourceKind;

logweir_fuzz::target!(run);

/// A split of a few lines, taken apart.
struct Parts {
    /// Rows, sums, lexicon, hashes, tally, shapes, gate, Parquet metadata, receipts.
    sections: [Vec<u8>; 9],
    footer: Footer,
}

static GOOD: LazyLock<Parts> = LazyLock::new(|| {
    let block = Arc::new(lines::block(SourceKind::Json, "", &lines::SHOP));
    let (path, ranges) = (lines::PATH.to_owned(), SourceRanges::default());
    let file = write(&[block], SplitSource { path, wal: (1, 2), ranges, class: String::new() }).expect("a split");
    let bytes = &file.bytes;
    let metadata_end = bytes.len() - PARQUET_TAIL_BYTES;
    let trailer_at = |parquet: usize| metadata_end - parquet - TRAILER_BYTES;
    let tail: [u8; 4] = bytes[metadata_end..metadata_end + 4].try_into().expect("four bytes");
    let parquet = u32::from_le_bytes(tail) as usize;
    let at = trailer_at(parquet);
    let trailer = Trailer::decode(&bytes[at..at + TRAILER_BYTES]).expect("its trailer");
    let of = |section: Section| bytes[section.offset as usize..(section.offset + section.bytes) as usize].to_vec();
    let footer = Footer::decode(&of(trailer.footer)).expect("its footer");
    let sections = footer.sections;
    let rows = bytes[..sections.rows_bytes as usize].to_vec();
    let metadata = bytes[metadata_end - parquet..metadata_end].to_vec();
    let sections = [
        rows,
        of(sections.sums),
        of(sections.lexicon),
        of(sections.hashes),
        of(sections.tally),
        of(sections.shapes),
        of(sections.gate),
        metadata,
        of(sections.receipts),
    ];
    Parts { sections, footer }
});

pub(crate) fn run(data: &[u8]) {
    let object = match data.split_first() {
        Some((0, object)) => Bytes::copy_from_slice(object),
        Some((_, edits)) => damaged(edits),
        None => damaged(&[]),
    };
    // A panic of the `parquet` crate is caught where it is called, and nowhere else.
    logweir_fuzz::but_for_caught_panics(|| read(object));
}

/// The good split with these edits, and with checksums that fit.
fn damaged(edits: &[u8]) -> Bytes {
    let mut sections = GOOD.sections.clone();
    let mut footer = GOOD.footer.clone();
    for edit in edits.chunks_exact(6).take(64) {
        let &[section, low, high, length, byte, how] = edit else { continue };
        let offset = usize::from(low) | usize::from(high) << 8;
        match sections.get_mut(usize::from(section % 10)) {
            Some(bytes) => change(bytes, offset, usize::from(length), byte, how),
            None => change_footer(&mut footer, offset, length, byte, how),
        }
    }
    // The sums belong to the rows unless they are what was changed.
    if sections[1] == GOOD.sections[1] {
        let sums = sections[0].chunks(GRANULE_BYTES as usize).flat_map(|part| crc32fast::hash(part).to_le_bytes());
        sections[1] = sums.collect();
    }
    let [rows, sums, lexicon, hashes, tally, shapes, gate, metadata, receipts] = sections;
    let mut file = rows;
    let rows_bytes = file.len() as u64;
    let mut append = |bytes: &[u8]| {
        let section = Section { offset: file.len() as u64, bytes: bytes.len() as u64, crc: crc32fast::hash(bytes) };
        file.extend_from_slice(bytes);
        section
    };
    let (sums, mut lexicon, hashes) = (append(&sums), append(&lexicon), append(&hashes));
    // Nothing but this checksum guards tantivy from files that it did not write.
    lexicon.crc = GOOD.footer.sections.lexicon.crc;
    let (tally, shapes) = (append(&tally), append(&shapes));
    let (receipts, gate) = (append(&receipts), append(&gate));
    footer.sections = Sections { rows_bytes, sums, lexicon, hashes, tally, shapes, receipts, gate };
    let footer = append(&footer.encode().expect("a footer"));
    let parquet_bytes = metadata.len() as u32;
    let (version, parquet_crc) = (VERSION, crc32fast::hash(&metadata));
    let trailer = Trailer { version, footer, parquet_bytes, parquet_crc };
    file.extend_from_slice(&trailer.encode());
    file.extend_from_slice(&metadata);
    file.extend_from_slice(&parquet_bytes.to_le_bytes());
    file.extend_from_slice(b"PAR1");
    file.into()
}

/// Overwrites, removes, repeats or cuts.
fn change(bytes: &mut Vec<u8>, offset: usize, length: usize, byte: u8, how: u8) {
    if bytes.is_empty() {
        return;
    }
    let from = offset % bytes.len();
    let to = (from + length.max(1)).min(bytes.len());
    match how % 5 {
        0 => bytes[from] = byte,
        1 => bytes[from] ^= byte,
        2 => bytes[from..to].fill(byte),
        3 => drop(bytes.drain(from..to)),
        _ => bytes.splice(from..from, std::iter::repeat_n(byte, length)).for_each(drop),
    }
}

/// Numbers of the footer that readers go by.
fn change_footer(footer: &mut Footer, offset: usize, length: u8, byte: u8, how: u8) {
    let wild = [0, 1, u32::from(byte), u32::from(length) << 8, u32::MAX][usize::from(how) % 5];
    let place = |len: usize| if len == 0 { 0 } else { offset % len };
    match byte % 7 {
        0 => footer.blocks.iter_mut().skip(offset % 2).take(1).for_each(|block| block.rows = wild),
        1 => footer.blocks.push(BlockStat { rows: wild, min_time_ns: i64::from(wild), max_time_ns: i64::MIN }),
        2 => footer.blocks.truncate(offset % 2),
        3 if !footer.columns.is_empty() => drop(footer.columns.remove(place(footer.columns.len()))),
        4 if !footer.columns.is_empty() => {
            let at = place(footer.columns.len());
            footer.columns[at].kind = footer.columns[offset * 7 % footer.columns.len()].kind;
        }
        5 => {
            let columns = vec![place(footer.columns.len() + 2) + usize::from(length % 3); usize::from(length % 9)];
            footer.foretold = Some(Foretold { numbers: vec![wild; 1 << columns.len()], columns });
        }
        _ => {
            footer.scan_words.push(wild);
            footer.extra_blocks.push(wild);
            footer.counts.values_mut().for_each(|blocks| blocks.truncate(offset % 3));
            footer.derived.truncate(offset % 2);
        }
    }
}

/// Everything that a search asks of a split.
fn read(bytes: Bytes) {
    let place = lines::Place::new(bytes);
    drop(Gate::open(&place.objects, lines::PATH).map(|gate| gate.map(|gate| gate.may_match(&Probe::Any))));
    let Ok(split) = OpenSplit::open(&place.objects, lines::PATH, &Arc::new(Columns::new(1 << 20))) else { return };
    let value = |field: &str, folded: &str| Probe::Value { field: field.into(), folded: folded.into() };
    let probes = [
        Probe::Any,
        Probe::Word("timeout".into()),
        Probe::Word("4bf92f3577b34da6".into()),
        Probe::WordPrefix("con".into()),
        value("service", "api"),
        value("trace_id", "4bf92f3577b34da6"),
        Probe::Exists { field: "status".into() },
    ];
    for probe in &probes {
        drop(split.candidates(probe));
    }
    drop((split.check_sections(), split.check_rows(), split.word_rows("connection")));
    for block in 0..split.known().footer.blocks.len().min(4) {
        let some = [0u32, 3];
        drop(split.read(block, &Projection::All, Some(&some)));
        drop(split.read(block, &Projection::Fields(vec!["message".to_owned(), "status".to_owned()]), None));
        drop((split.raw(block, &some), split.parts(block).map(|_| ()), split.seqs(block)));
    }
    drop(split.to_blocks());
}

//! Splits that were forged: the bytes are wrong and the checksums fit them.

use bytes::{BufMut, Bytes};
use object_store::memory::InMemory;

use super::*;
use crate::ranges::SourceRanges;
use crate::store::fixture::{blocks, row};
use crate::store::objects::Objects;
use crate::store::segment::Projection;
use crate::store::split::columns::Columns;
use crate::store::split::footer::{Footer, GRANULE_BYTES, PARQUET_TAIL_BYTES, TRAILER_BYTES, Trailer};
use crate::store::split::reader::OpenSplit;
use crate::store::split::writer::{SplitSource, write};

struct Place {
    _runtime: tokio::runtime::Runtime,
    objects: Objects,
    good: Bytes,
}

/// Where something stands that a forger may change.
struct Target {
    name: String,
    bytes: Range<usize>,
}

impl Place {
    /// Two blocks in one row group.
    fn new() -> Place {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let objects = Objects::new(Arc::new(InMemory::new()), runtime.handle().clone());
        let line = |i: u64| {
            let id = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            format!("service=api{} status={} id=x{id:016x} \"took {}ms {id:x}\"", i % 3, 200 + i % 5, i % 800)
        };
        let rows: Vec<_> = (0..6000).map(|i| row(i as i64, i, &line(i))).collect();
        let blocks: Vec<_> = blocks(&rows, 4096).into_iter().map(Arc::new).collect();
        let ranges = SourceRanges::default();
        let source = SplitSource { path: "splits/one".to_owned(), wal: (1, 2), ranges, class: String::new() };
        Place { _runtime: runtime, objects, good: write(&blocks, source).expect("a split").bytes }
    }

    fn open(&self, bytes: Bytes) -> Result<OpenSplit, String> {
        self.objects.put("splits/one", bytes).expect("put");
        OpenSplit::open(&self.objects, "splits/one", &Arc::new(Columns::new(1 << 20)))
    }

    fn metadata_at(&self) -> Range<usize> {
        let end = self.good.len() - PARQUET_TAIL_BYTES;
        let len = u32::from_le_bytes(self.good[end..end + 4].try_into().expect("four bytes"));
        end - len as usize..end
    }

    /// With other bytes from some place on, and every checksum made right again.
    fn forged(&self, at: usize, bytes: &[u8]) -> Bytes {
        let mut file = self.good.to_vec();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        let metadata = file[self.metadata_at()].to_vec();
        let trailer_at = self.metadata_at().start - TRAILER_BYTES;
        let mut trailer = Trailer::decode(&self.good[trailer_at..trailer_at + TRAILER_BYTES]).expect("a trailer");
        let footer_at = trailer.footer.offset as usize;
        let mut footer =
            Footer::decode(&self.good[footer_at..footer_at + trailer.footer.bytes as usize]).expect("a footer");
        let sums = file[..footer.sections.rows_bytes as usize].chunks(GRANULE_BYTES as usize);
        let sums: Vec<u8> = sums.flat_map(|part| crc32fast::hash(part).to_le_bytes()).collect();
        let sums_at = footer.sections.sums.offset as usize;
        file[sums_at..sums_at + sums.len()].copy_from_slice(&sums);
        footer.sections.sums.crc = crc32fast::hash(&sums);
        let footer = footer.encode().expect("a footer");
        (trailer.footer.bytes, trailer.footer.crc) = (footer.len() as u64, crc32fast::hash(&footer));
        trailer.parquet_crc = crc32fast::hash(&metadata);
        file.truncate(footer_at);
        file.extend_from_slice(&footer);
        file.extend_from_slice(&trailer.encode());
        file.extend_from_slice(&metadata);
        file.put_u32_le(metadata.len() as u32);
        file.extend_from_slice(b"PAR1");
        file.into()
    }

    /// The headers of all pages: of dictionaries, and of the blocks.
    fn headers(&self) -> (Vec<Target>, [Vec<Target>; 2]) {
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let metadata = ArrowReaderMetadata::load(&self.good, options).expect("a Parquet file");
        let (mut dictionaries, mut of_blocks) = (Vec::new(), [Vec::new(), Vec::new()]);
        let index = metadata.metadata().offset_index().expect("an index");
        for (chunk, index) in chunks(metadata.metadata()).zip(&index[0]) {
            let target = |at: i64| Target { name: chunk.column_path().string(), bytes: at as usize..at as usize + 14 };
            dictionaries.extend(chunk.dictionary_page_offset().map(target));
            for place in index.page_locations() {
                of_blocks[usize::from(place.first_row_index >= 4096)].push(target(place.offset));
            }
        }
        (dictionaries, of_blocks)
    }
}

/// Everything that can be read of a block.
fn read_block(split: &OpenSplit, block: usize) -> Result<String, String> {
    let lines = split.raw(block, &[1, 800, 1500])?;
    let batch = split.read(block, &Projection::All, None)?;
    Ok(format!("{lines:?} {:?} {:?}", batch.columns(), split.whole(block)?.columns()))
}

#[test]
fn a_forged_page_costs_its_block_and_not_the_server() {
    let place = Place::new();
    let good = place.open(place.forged(0, b"P")).expect("a split");
    let want = [0, 1].map(|block| read_block(&good, block).expect("a good block"));
    let (dictionaries, [_, pages]) = place.headers();
    assert!(dictionaries.len() >= 2 && pages.len() >= 6, "{} {}", dictionaries.len(), pages.len());
    let (mut refused, mut tried) = (0, 0);
    for target in pages {
        for (at, byte) in target.bytes.clone().zip([0u8, 0x7f, 0xff].into_iter().cycle()) {
            let split = place.open(place.forged(at, &[byte])).expect("what it ends with is whole");
            assert_eq!(read_block(&split, 0).as_ref(), Ok(&want[0]), "{} {at} {byte}", target.name);
            refused += usize::from(read_block(&split, 1).is_err());
            tried += 1;
        }
    }
    assert!(refused * 2 > tried, "{refused} of {tried}");
}

#[test]
fn a_forged_dictionary_or_index_is_an_error() {
    let place = Place::new();
    let (dictionaries, _) = place.headers();
    for target in dictionaries {
        // Behind the kind and the two sizes, in a field of its own: how many values there are.
        let header = &place.good[target.bytes.clone()];
        let values = target.bytes.start + header.iter().position(|byte| *byte == 0x4c).expect("a dictionary") + 2;
        let split = place.open(place.forged(values, &[0])).expect("what it ends with is whole");
        let error = read_block(&split, 1).expect_err(&target.name);
        assert!(error.starts_with("block 1: "), "{error}");
    }
    let (mut refused, metadata) = (0, place.metadata_at());
    for at in metadata.clone().step_by(7) {
        for byte in [0, 0xff, place.good[at] ^ 0x10] {
            let Ok(split) = place.open(place.forged(at, &[byte])) else { continue };
            refused += usize::from(read_block(&split, 0).is_err());
        }
    }
    assert!(refused > metadata.len() / 7, "{refused} of {}", metadata.len());
}

#[test]
fn numbers_that_would_cost_memory_are_refused_before_it_is_set_aside() {
    // A list of 2^28 elements in ten bytes, and the same within a struct.
    assert!(!pages::is_whole(&[0x19, 0xf5, 0x80, 0x80, 0x80, 0x80, 0x01, 0, 0, 0]));
    assert!(pages::is_whole(&[0x19, 0x25, 2, 4, 0]));
    assert!(!pages::is_whole(&[0x19, 0x25, 2, 4, 0, 0]), "and nothing behind it");
    let header = |kind: u8, uncompressed: u64, values: u64| {
        let mut page = vec![0x15, 0];
        for (field, number) in [(0x15, uncompressed), (0x15, 3)] {
            page.push(field);
            logweir_proto::varint::put(&mut page, number << 1);
        }
        page.extend([kind, 0x15]);
        logweir_proto::varint::put(&mut page, values << 1);
        page.extend([0x15, 0, 0, 0, 1, 2, 3]);
        pages::may_be_read(&page)
    };
    const DATA: u8 = 0x2c;
    const DICTIONARY: u8 = 0x4c;
    for (kind, uncompressed, values, may) in [
        (DATA, 100, 4096, true),
        (DATA, 100, 0, false),
        (DATA, 1 << 30, 4096, false),
        (DATA, 100, 1 << 31, false),
        (DICTIONARY, 100, 20, true),
        (DICTIONARY, 100, 0, false),
        (DICTIONARY, 0, 0, true),
        (DICTIONARY, 100, 101, false),
        (0x5c, 100, 20, false),
    ] {
        assert_eq!(header(kind, uncompressed, values), may, "{kind:#x} {uncompressed} {values}");
    }
}

#[test]
fn a_panic_of_the_crate_is_an_error() {
    let error = guarded::<()>("a page", || panic!("on purpose")).expect_err("it is caught");
    assert_eq!(error, "a page is damaged, though its checksum is right");
}

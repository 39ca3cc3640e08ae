//! What stands in a page before its values: its header, and which rows have one.

use std::ops::Range;

use arrow::buffer::NullBuffer;
use parquet::basic::Encoding;

use super::encode;

/// Where more than one in so many rows have a value, and as many have none, there are hardly any runs.
const MIXED_PART: usize = 16;

/// Which rows have a value, behind the length of that.
pub(super) fn put_levels(nulls: Option<&NullBuffer>, rows: Range<usize>, present: usize, out: &mut Vec<u8>) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    match nulls {
        Some(nulls) if present > rows.len() / MIXED_PART && present < rows.len() - rows.len() / MIXED_PART => {
            encode::bits(nulls.slice(rows.start, rows.len()).inner(), out);
        }
        Some(nulls) if present > 0 && present < rows.len() => {
            let levels: Vec<u32> = nulls.slice(rows.start, rows.len()).iter().map(u32::from).collect();
            encode::hybrid(&levels, 1, out);
        }
        _ => {
            logweir_proto::varint::put(out, (rows.len() as u64) << 1);
            out.push(u8::from(present > 0));
        }
    }
    let len = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&len.to_le_bytes());
}

/// No header is longer.
pub(super) const PAGE_HEADER_BYTES_MAX: usize = 64;

pub(super) struct PageSizes {
    pub(super) uncompressed: usize,
    pub(super) stored: usize,
    pub(super) values: usize,
}

/// The header of a data page of the first version in an encoding, or of a dictionary: Thrift's compact protocol.
pub(super) fn put_header(out: &mut Vec<u8>, sizes: &PageSizes, encoding: Option<Encoding>) {
    /// The next field is an integer; and the one after the next but one is a struct of such.
    const NEXT: u8 = 0x15;
    let integer = |out: &mut Vec<u8>, head: u8, number: i64| {
        out.push(head);
        encode::put_zigzag(out, number);
    };
    let rle = code(Encoding::RLE);
    integer(out, NEXT, if encoding.is_some() { 0 } else { 2 });
    integer(out, NEXT, sizes.uncompressed as i64);
    integer(out, NEXT, sizes.stored as i64);
    // Field 5 is that of data, field 7 that of a dictionary.
    out.push(if encoding.is_some() { 0x2c } else { 0x4c });
    integer(out, NEXT, sizes.values as i64);
    integer(out, NEXT, code(encoding.unwrap_or(Encoding::PLAIN)));
    if encoding.is_some() {
        integer(out, NEXT, rle);
        integer(out, NEXT, rle);
    }
    out.extend_from_slice(&[0, 0]);
}

/// The number that Parquet gives an encoding.
pub(super) fn code(encoding: Encoding) -> i64 {
    match encoding {
        Encoding::RLE => 3,
        Encoding::DELTA_BINARY_PACKED => 5,
        Encoding::DELTA_LENGTH_BYTE_ARRAY => 6,
        Encoding::DELTA_BYTE_ARRAY => 7,
        Encoding::RLE_DICTIONARY => 8,
        Encoding::BYTE_STREAM_SPLIT => 9,
        _ => 0,
    }
}

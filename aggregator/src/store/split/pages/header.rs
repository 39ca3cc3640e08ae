//! The header of a Parquet page: a Thrift struct in the compact protocol, of which a reader needs few fields.

use logweir_proto::varint;

/// Deepest nesting that is skipped; statistics have one level.
const DEPTH_MAX: u32 = 8;

/// What stands before the bytes of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct PageHeader {
    /// Bytes of the header itself.
    pub(super) bytes: usize,
    pub(super) uncompressed_bytes: usize,
    pub(super) compressed_bytes: usize,
    /// Of a data page or a dictionary page: values, nulls included.
    pub(super) values: usize,
    /// The number of the encoding as Parquet gives it.
    pub(super) encoding: i64,
    pub(super) kind: PageKind,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum PageKind {
    #[default]
    Unknown,
    Data,
    Dictionary,
}

/// The types of the compact protocol.
mod wire {
    pub(super) const TRUE: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const BYTE: u8 = 3;
    pub(super) const I16: u8 = 4;
    pub(super) const I64: u8 = 6;
    pub(super) const DOUBLE: u8 = 7;
    pub(super) const BINARY: u8 = 8;
    pub(super) const LIST: u8 = 9;
    pub(super) const SET: u8 = 10;
    pub(super) const STRUCT: u8 = 12;
}

impl PageHeader {
    /// `None` when the bytes are no header.
    pub(super) fn read(bytes: &[u8]) -> Option<PageHeader> {
        let mut header = PageHeader::default();
        let mut input = bytes;
        fields(&mut input, |id, kind, input| {
            match (id, kind) {
                (2, _) => header.uncompressed_bytes = usize::try_from(integer(input)?).ok()?,
                (3, _) => header.compressed_bytes = usize::try_from(integer(input)?).ok()?,
                (5 | 7, wire::STRUCT) => {
                    header.kind = if id == 5 { PageKind::Data } else { PageKind::Dictionary };
                    fields(input, |id, kind, input| {
                        match id {
                            1 => header.values = usize::try_from(integer(input)?).ok()?,
                            2 => header.encoding = integer(input)?,
                            _ => skip(kind, input, DEPTH_MAX)?,
                        }
                        Some(())
                    })?;
                }
                _ => skip(kind, input, DEPTH_MAX)?,
            }
            Some(())
        })?;
        header.bytes = bytes.len() - input.len();
        Some(header)
    }
}

/// Whether the bytes are a struct and nothing else. Each element of a list takes a byte at the least: lists of more
/// elements than there are bytes are none.
pub(super) fn is_whole(mut bytes: &[u8]) -> bool {
    skip(wire::STRUCT, &mut bytes, DEPTH_MAX).is_some() && bytes.is_empty()
}

/// Calls `each` with the id and type of every field of a struct; it takes the value.
fn fields(input: &mut &[u8], mut each: impl FnMut(i64, u8, &mut &[u8]) -> Option<()>) -> Option<()> {
    let mut id = 0i64;
    loop {
        let head = byte(input)?;
        if head == 0 {
            return Some(());
        }
        id = match head >> 4 {
            0 => integer(input)?,
            delta => id.checked_add(i64::from(delta))?,
        };
        each(id, head & 15, input)?;
    }
}

fn byte(input: &mut &[u8]) -> Option<u8> {
    let (first, rest) = input.split_first()?;
    *input = rest;
    Some(*first)
}

/// A zigzag varint.
pub(super) fn integer(input: &mut &[u8]) -> Option<i64> {
    let value = varint::take(input)?;
    Some((value >> 1) as i64 ^ -((value & 1) as i64))
}

fn skip(kind: u8, input: &mut &[u8], depth: u32) -> Option<()> {
    match kind {
        wire::TRUE | wire::FALSE => {}
        wire::BYTE => drop(byte(input)?),
        wire::I16..=wire::I64 => drop(varint::take(input)?),
        wire::DOUBLE => *input = input.get(8..)?,
        wire::BINARY => {
            let len = usize::try_from(varint::take(input)?).ok()?;
            *input = input.get(len..)?;
        }
        wire::LIST | wire::SET => {
            let depth = depth.checked_sub(1)?;
            let head = byte(input)?;
            let len = match head >> 4 {
                15 => varint::take(input)?,
                len => u64::from(len),
            };
            for _ in 0..len {
                match head & 15 {
                    // Within a list a boolean takes a byte.
                    wire::TRUE | wire::FALSE => drop(byte(input)?),
                    kind => skip(kind, input, depth)?,
                }
            }
        }
        wire::STRUCT => {
            let depth = depth.checked_sub(1)?;
            fields(input, |_, kind, input| skip(kind, input, depth))?;
        }
        // Page headers have no maps.
        _ => return None,
    }
    Some(())
}

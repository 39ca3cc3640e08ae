//! Skeletons: a line with its values cut out, so that the line can be rebuilt from the columns byte for byte.
//!
//! Lines of one format share a skeleton; a row keeps its number in `_shape`. Before a row gets one, every value is
//! printed in its spelling and compared with the bytes it was cut from: where they differ, the line itself is kept.
//!
//! The table of a split is stored so (integers are varints):
//! `count`, then per skeleton `parts` and per part either `0 len bytes` (literal) or
//! `1 name_len name kind spelling` (value), where `kind` is 0 `str`, 1 `int`, 2 `float`, 3 `bool`, and the name
//! `time` stands for the time of the row. A spelling is one byte and its numbers:
//! 0 plain; 1 JSON string; 2 seconds with `decimals`; 3 fixed with `decimals`; 4 RFC 3339 with `fraction separator
//! offset`; 5 NGINX local with `minutes`; 6 NGINX error with `minutes`; 7 epoch integer with `unit_ns`; 8 epoch
//! fixed with `decimals`; 9 a layout with its place in `Layout::ALL`, `fraction offset`. An offset is 0 `Z`; 1 `±hh:mm`,
//! 2 `±hhmm`, 3 assumed, each with `minutes`; 4 a zone by its place in the table of names, one byte; 5 `±hh` with
//! `minutes`. Minutes and `unit_ns` are zigzag.

use std::collections::HashMap;
use std::sync::Arc;

use logweir_proto::record::field;
use logweir_proto::varint;

use super::column::{ColumnKey, Kind};
use crate::parse::line::{Layout, Offset, Spelling};

/// Most skeletons of a block or split; lines of further ones are kept raw.
pub const SHAPES_MAX: usize = 4096;

/// Longest skeleton, encoded; lines of longer ones are kept raw.
pub const SKELETON_BYTES_MAX: usize = 4096;

/// Most bytes of all skeletons of a table.
pub const SHAPES_BYTES_MAX: usize = 1 << 20;

/// A line without its values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Skeleton {
    pub parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Part {
    Literal(Box<[u8]>),
    /// The time of the row.
    Time(Spelling),
    Value(ColumnKey, Spelling),
}

impl Skeleton {
    /// Its place in memory and on disk, about.
    pub fn bytes(&self) -> usize {
        let part_bytes = |part: &Part| match part {
            Part::Literal(bytes) => bytes.len() + 3,
            Part::Time(_) => 16,
            Part::Value(key, _) => key.field.len() + 16,
        };
        self.parts.iter().map(part_bytes).sum()
    }

    /// The columns that a line of this skeleton is rebuilt from.
    pub fn columns(&self) -> impl Iterator<Item = &ColumnKey> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(key, _) => Some(key),
            _ => None,
        })
    }
}

/// The skeletons of a block or split, numbered as they come.
#[derive(Debug, Default)]
pub struct ShapeTable {
    ids: HashMap<Arc<Skeleton>, u32>,
    shapes: Vec<Arc<Skeleton>>,
    bytes: usize,
}

impl ShapeTable {
    /// The number of a skeleton; `None` when the table is full.
    pub fn intern(&mut self, skeleton: &Arc<Skeleton>) -> Option<u32> {
        if let Some(id) = self.ids.get(skeleton) {
            return Some(*id);
        }
        let bytes = skeleton.bytes();
        if self.shapes.len() >= SHAPES_MAX || self.bytes + bytes > SHAPES_BYTES_MAX {
            return None;
        }
        let id = self.shapes.len() as u32;
        self.bytes += bytes;
        self.ids.insert(Arc::clone(skeleton), id);
        self.shapes.push(Arc::clone(skeleton));
        Some(id)
    }

    pub fn shapes(&self) -> &[Arc<Skeleton>] {
        &self.shapes
    }
}

/// Writes a table of skeletons.
pub fn encode(shapes: &[Arc<Skeleton>], out: &mut Vec<u8>) {
    varint::put(out, shapes.len() as u64);
    for skeleton in shapes {
        varint::put(out, skeleton.parts.len() as u64);
        for part in &skeleton.parts {
            match part {
                Part::Literal(bytes) => {
                    out.push(0);
                    put_bytes(out, bytes);
                }
                Part::Time(spelling) => put_value(out, field::TIME, Kind::Int, *spelling),
                Part::Value(key, spelling) => put_value(out, &key.field, key.kind, *spelling),
            }
        }
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_value(out: &mut Vec<u8>, name: &str, kind: Kind, spelling: Spelling) {
    out.push(1);
    put_bytes(out, name.as_bytes());
    out.push(kind as u8);
    put_spelling(out, spelling);
}

/// Appends the code of a spelling.
pub fn put_spelling(out: &mut Vec<u8>, spelling: Spelling) {
    match spelling {
        Spelling::Plain => out.push(0),
        Spelling::JsonString => out.push(1),
        Spelling::SecondsFixed { decimals } => out.extend([2, decimals]),
        Spelling::Fixed { decimals } => out.extend([3, decimals]),
        Spelling::Rfc3339 { fraction, offset, separator } => {
            out.extend([4, fraction, separator]);
            put_offset(out, offset);
        }
        Spelling::Layout { layout, fraction, offset } => {
            out.extend([9, layout as u8, fraction]);
            put_offset(out, offset);
        }
        Spelling::NginxLocal { offset_minutes } => {
            out.push(5);
            put_minutes(out, offset_minutes);
        }
        Spelling::NginxError { offset_minutes } => {
            out.push(6);
            put_minutes(out, offset_minutes);
        }
        Spelling::EpochInt { unit_ns } => {
            out.push(7);
            varint::put(out, varint::zigzag(unit_ns));
        }
        Spelling::EpochFixed { decimals } => out.extend([8, decimals]),
    }
}

fn put_minutes(out: &mut Vec<u8>, minutes: i16) {
    varint::put(out, varint::zigzag(i64::from(minutes)));
}

fn put_offset(out: &mut Vec<u8>, offset: Offset) {
    let (code, minutes) = match offset {
        Offset::Zulu => return out.push(0),
        Offset::Named(name) => return out.extend([4, name]),
        Offset::Minutes(minutes) => (1, minutes),
        Offset::MinutesCompact(minutes) => (2, minutes),
        Offset::Assumed(minutes) => (3, minutes),
        Offset::Hours(minutes) => (5, minutes),
    };
    out.push(code);
    put_minutes(out, minutes);
}

/// Reads a table of skeletons; `None` when it is not one.
pub fn decode(mut input: &[u8]) -> Option<Vec<Arc<Skeleton>>> {
    let input = &mut input;
    let count = usize::try_from(varint::take(input)?).ok().filter(|n| *n <= SHAPES_MAX)?;
    let mut shapes = Vec::with_capacity(count);
    for _ in 0..count {
        let parts = usize::try_from(varint::take(input)?).ok().filter(|n| *n <= input.len())?;
        let parts = (0..parts).map(|_| take_part(input)).collect::<Option<Vec<_>>>()?;
        shapes.push(Arc::new(Skeleton { parts }));
    }
    Some(shapes)
}

fn take_part(input: &mut &[u8]) -> Option<Part> {
    if take_byte(input)? == 0 {
        return Some(Part::Literal(take_bytes(input)?.into()));
    }
    let name = std::str::from_utf8(take_bytes(input)?).ok()?;
    let kind = *Kind::ALL.get(usize::from(take_byte(input)?))?;
    let spelling = take_spelling(input)?;
    Some(if name == field::TIME {
        Part::Time(spelling)
    } else {
        Part::Value(ColumnKey { field: name.into(), kind }, spelling)
    })
}

fn take_byte(input: &mut &[u8]) -> Option<u8> {
    let (first, rest) = input.split_first()?;
    *input = rest;
    Some(*first)
}

fn take_bytes<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(varint::take(input)?).ok()?;
    let (bytes, rest) = input.split_at_checked(len)?;
    *input = rest;
    Some(bytes)
}

fn take_spelling(input: &mut &[u8]) -> Option<Spelling> {
    Some(match take_byte(input)? {
        0 => Spelling::Plain,
        1 => Spelling::JsonString,
        2 => Spelling::SecondsFixed { decimals: take_byte(input)? },
        3 => Spelling::Fixed { decimals: take_byte(input)? },
        4 => {
            let (fraction, separator) = (take_byte(input)?, take_byte(input)?);
            Spelling::Rfc3339 { fraction, offset: take_offset(input)?, separator }
        }
        5 => Spelling::NginxLocal { offset_minutes: take_minutes(input)? },
        6 => Spelling::NginxError { offset_minutes: take_minutes(input)? },
        7 => Spelling::EpochInt { unit_ns: varint::unzigzag(varint::take(input)?) },
        8 => Spelling::EpochFixed { decimals: take_byte(input)? },
        9 => {
            let layout = *Layout::ALL.get(usize::from(take_byte(input)?))?;
            Spelling::Layout { layout, fraction: take_byte(input)?, offset: take_offset(input)? }
        }
        _ => return None,
    })
}

fn take_minutes(input: &mut &[u8]) -> Option<i16> {
    i16::try_from(varint::unzigzag(varint::take(input)?)).ok()
}

fn take_offset(input: &mut &[u8]) -> Option<Offset> {
    Some(match take_byte(input)? {
        0 => Offset::Zulu,
        1 => Offset::Minutes(take_minutes(input)?),
        2 => Offset::MinutesCompact(take_minutes(input)?),
        3 => Offset::Assumed(take_minutes(input)?),
        4 => Offset::Named(take_byte(input)?),
        5 => Offset::Hours(take_minutes(input)?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_read_as_it_was_written() {
        let offsets = [
            Offset::Zulu,
            Offset::Minutes(-90),
            Offset::MinutesCompact(60),
            Offset::Assumed(-5),
            Offset::Named(45),
            Offset::Hours(180),
        ];
        let mut spellings = vec![Spelling::Plain, Spelling::EpochFixed { decimals: 3 }];
        for offset in offsets {
            spellings.push(Spelling::Rfc3339 { fraction: 0x13, offset, separator: b'T' });
            spellings.extend(Layout::ALL.map(|layout| Spelling::Layout { layout, fraction: 6, offset }));
        }
        for spelling in spellings {
            let mut bytes = Vec::new();
            put_spelling(&mut bytes, spelling);
            assert_eq!(take_spelling(&mut bytes.as_slice()), Some(spelling));
            for end in 0..bytes.len() {
                assert_eq!(take_spelling(&mut &bytes[..end]), None, "{spelling:?}");
            }
        }
    }
}

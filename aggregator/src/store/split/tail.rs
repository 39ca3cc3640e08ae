//! The end of a split, read at once: the trailer and what lies around it.

use bytes::{Buf, Bytes};

use super::footer::{PARQUET_TAIL_BYTES, Section, TRAILER_BYTES, Trailer, check_section};
use crate::store::objects::{Object, Objects};

/// What a Parquet file ends with.
const PARQUET_MAGIC: &[u8; 4] = b"PAR1";

/// Bytes at the end that are read at once: in most splits everything but the rows and the pages of the hash list.
pub const TAIL_BYTES: u64 = 64 << 10;

/// An object and the bytes at its end.
#[derive(Debug)]
pub struct Tail {
    object: Object,
    end: End,
    pub trailer: Trailer,
    parquet: Section,
}

/// Bytes from some place of an object to its end.
#[derive(Debug, Clone, Default)]
pub struct End {
    from: u64,
    bytes: Bytes,
}

impl End {
    /// The bytes, if they all lie here.
    pub fn get(&self, offset: u64, bytes: u64) -> Option<Bytes> {
        let from = usize::try_from(offset.checked_sub(self.from)?).ok()?;
        let to = from.checked_add(usize::try_from(bytes).ok()?)?;
        (to <= self.bytes.len()).then(|| self.bytes.slice(from..to))
    }
}

impl Tail {
    pub fn read(objects: &Objects, path: &str) -> Result<Tail, String> {
        let object = objects.open(path).map_err(|error| error.to_string())?;
        let from = object.bytes().saturating_sub(TAIL_BYTES);
        let bytes = object.read(from..object.bytes()).map_err(|error| error.to_string())?;
        let mut tail =
            Tail { object, end: End { from, bytes }, trailer: Trailer::default(), parquet: Section::default() };
        let damaged = || "the object is too short for a split".to_owned();
        let parquet_tail_at = tail.object.bytes().checked_sub(PARQUET_TAIL_BYTES as u64).ok_or_else(damaged)?;
        let mut parquet_tail = tail.piece(parquet_tail_at, PARQUET_TAIL_BYTES as u64)?;
        let parquet_bytes = u64::from(parquet_tail.get_u32_le());
        if parquet_tail != PARQUET_MAGIC[..] {
            return Err("the object is no split, or its end is damaged".to_owned());
        }
        let parquet_at = parquet_tail_at.checked_sub(parquet_bytes).ok_or_else(damaged)?;
        let trailer_at = parquet_at.checked_sub(TRAILER_BYTES as u64).ok_or_else(damaged)?;
        tail.trailer = Trailer::decode(&tail.piece(trailer_at, TRAILER_BYTES as u64)?)?;
        if u64::from(tail.trailer.parquet_bytes) != parquet_bytes {
            return Err(damaged());
        }
        tail.parquet = Section { offset: parquet_at, bytes: parquet_bytes, crc: tail.trailer.parquet_crc };
        Ok(tail)
    }

    /// Some bytes of the object, read if they are not here.
    pub fn piece(&self, offset: u64, bytes: u64) -> Result<Bytes, String> {
        if let Some(found) = self.end.get(offset, bytes) {
            return Ok(found);
        }
        self.object.read(offset..offset.saturating_add(bytes)).map_err(|error| error.to_string())
    }

    pub fn section(&self, name: &str, section: Section) -> Result<Bytes, String> {
        let bytes = self.piece(section.offset, section.bytes)?;
        check_section(name, section, &bytes)?;
        Ok(bytes)
    }

    /// The Parquet metadata.
    pub fn parquet(&self) -> Result<Bytes, String> {
        self.section("Parquet metadata", self.parquet)
    }

    pub fn into_parts(self) -> (Object, End) {
        (self.object, self.end)
    }
}

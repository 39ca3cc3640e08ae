//! Bytes of a split, checked as they are read, and parts of it that are loaded once.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::footer::{GRANULE_BYTES, Section, check_section};
use super::tail::End;
use crate::store::objects::Object;

/// A part that is loaded when it is first needed. A failure is not kept: the next reader tries again.
#[derive(Debug)]
pub struct Lazy<T>(Mutex<Option<T>>);

impl<T> Default for Lazy<T> {
    fn default() -> Lazy<T> {
        Lazy(Mutex::new(None))
    }
}

impl<T: Clone> Lazy<T> {
    pub fn get<E>(&self, load: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Some(value) => Ok(value.clone()),
            None => Ok(slot.insert(load()?).clone()),
        }
    }
}

/// The rows section, checked granule by granule as it is read.
#[derive(Debug)]
pub struct Rows {
    object: Arc<Object>,
    bytes: u64,
    sums_at: Section,
    sums: Lazy<Bytes>,
    /// What was read when the split was opened.
    end: End,
}

impl Rows {
    pub fn new((object, end): (Object, End), bytes: u64, sums_at: Section) -> Rows {
        Rows { object: Arc::new(object), bytes, sums_at, sums: Lazy::default(), end }
    }

    pub fn object(&self) -> &Arc<Object> {
        &self.object
    }

    pub fn bytes_read(&self) -> u64 {
        self.object.bytes_read()
    }

    pub fn section(&self, name: &str, section: Section) -> Result<Bytes, String> {
        let bytes = self.bytes_at(section.offset..section.offset.saturating_add(section.bytes))?;
        check_section(name, section, &bytes)?;
        Ok(bytes)
    }

    /// Bytes of a section that has checksums of its own.
    pub fn piece(&self, section: Section, span: Range<u64>) -> Result<Bytes, String> {
        let at = |offset: u64| section.offset.checked_add(offset).filter(|_| offset <= section.bytes);
        let range = at(span.start).zip(at(span.end)).ok_or("a piece lies outside its section")?;
        self.bytes_at(range.0..range.1)
    }

    fn bytes_at(&self, range: Range<u64>) -> Result<Bytes, String> {
        match self.end.get(range.start, range.end.saturating_sub(range.start)) {
            Some(found) => Ok(found),
            None => self.object.read(range).map_err(|error| error.to_string()),
        }
    }

    /// Bytes of the whole object.
    pub fn object_bytes(&self) -> u64 {
        self.object.bytes()
    }

    /// The bytes between two offsets as Parquet writes them.
    pub fn read_span(&self, start: i64, end: i64) -> Result<Bytes, String> {
        let outside = "a page lies outside the rows section";
        let len = end.checked_sub(start).and_then(|len| usize::try_from(len).ok()).ok_or(outside)?;
        self.read(u64::try_from(start).map_err(|_| outside)?, len)
    }

    pub fn read(&self, start: u64, bytes: usize) -> Result<Bytes, String> {
        let end = start.checked_add(bytes as u64).filter(|end| *end <= self.bytes);
        let end = end.ok_or("a page lies outside the rows section")?;
        if bytes == 0 {
            return Ok(Bytes::new());
        }
        let sums = self.sums.get(|| self.section("sums", self.sums_at))?;
        let first = start / GRANULE_BYTES;
        let from = first * GRANULE_BYTES;
        let to = end.next_multiple_of(GRANULE_BYTES).min(self.bytes);
        let read = self.object.read(from..to).map_err(|error| error.to_string())?;
        for (i, granule) in read.chunks(GRANULE_BYTES as usize).enumerate() {
            let at = (first as usize + i) * 4;
            let sum = sums.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            if sum != Some(crc32fast::hash(granule)) {
                return Err(format!(
                    "the rows do not match their checksum near byte {}",
                    from + i as u64 * GRANULE_BYTES
                ));
            }
        }
        let at = (start - from) as usize;
        Ok(read.slice(at..at + bytes))
    }
}

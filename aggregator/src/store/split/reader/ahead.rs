//! Pages of a column that are read before they are asked for: a search that looks at many blocks would else read each
//! page by itself, and the checksums of what lies around it each time.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, AsArray, UInt8Array};
use arrow::buffer::Buffer;
use arrow::datatypes::UInt8Type;

use super::OpenSplit;
use crate::store::split::columns::ColumnAt;

/// So many reads of a column in a row group are of what is asked for; then each is twice as long as the one before.
const READS_ALONE: u32 = 2;

/// Most bytes that are read at once.
const AHEAD_BYTES_MAX: i64 = 1 << 20;

/// What was read of columns last, by column and row group.
#[derive(Debug, Default)]
pub(super) struct Ahead(Mutex<HashMap<(usize, usize), Read>>);

#[derive(Debug, Clone, Default)]
struct Read {
    reads: u32,
    /// What [`ColumnAt::ahead`] has, if it is still there.
    span: Range<i64>,
}

impl OpenSplit {
    /// The bytes `wanted` of a column in a row group, whose pages end at `end`.
    pub(super) fn pages_of(
        &self,
        (column, group): (usize, usize),
        wanted: Range<i64>,
        end: i64,
    ) -> Result<Buffer, String> {
        let at = ColumnAt::ahead(self.number, column, group);
        let (reads, span) = {
            let mut known = self.ahead.0.lock().unwrap_or_else(PoisonError::into_inner);
            let read = known.entry((column, group)).or_default();
            (read.reads, read.span.clone())
        };
        if span.start <= wanted.start
            && wanted.end <= span.end
            && let Some(bytes) = self.columns.get(at).and_then(|bytes| part(&bytes, span.start, &wanted))
        {
            return Ok(bytes);
        }
        let len = wanted.end.saturating_sub(wanted.start);
        let ahead = len.saturating_mul(1 << reads.saturating_sub(READS_ALONE).min(16)).min(AHEAD_BYTES_MAX).max(len);
        let to = wanted.start.saturating_add(ahead).min(end).max(wanted.end);
        let read = match self.rows.read_span(wanted.start, to) {
            // What lies behind may be damaged, and costs only its own block.
            Err(_) if to > wanted.end => self.rows.read_span(wanted.start, wanted.end)?,
            read => read?,
        };
        let span = wanted.start..wanted.start.saturating_add(read.len() as i64);
        let bytes: ArrayRef = Arc::new(UInt8Array::new(Buffer::from(read).into(), None));
        let found = part(&bytes, span.start, &wanted).ok_or("a page lies outside its column")?;
        let mut known = self.ahead.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry((column, group)).or_default();
        known.reads = known.reads.saturating_add(1);
        if span.end > wanted.end {
            known.span = span;
            self.columns.insert(at, &bytes);
        }
        Ok(found)
    }
}

/// The wanted bytes of those from some place on.
fn part(bytes: &ArrayRef, from: i64, wanted: &Range<i64>) -> Option<Buffer> {
    let bytes = bytes.as_primitive_opt::<UInt8Type>()?.values().inner();
    let at = usize::try_from(wanted.start.checked_sub(from)?).ok()?;
    let len = usize::try_from(wanted.end.checked_sub(wanted.start)?).ok()?;
    (at.checked_add(len)? <= bytes.len()).then(|| bytes.slice_with_length(at, len))
}

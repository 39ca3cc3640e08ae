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

/// So many reads of a column in a row group are of what is asked for: a needle wants no more.
const READS_ALONE: u32 = 2;

/// Bytes that are read at once from then on: most columns of a row group are smaller.
const AHEAD_BYTES: i64 = 1 << 20;

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
    /// The bytes `wanted` of a column in a row group, among those of all its pages.
    pub(super) fn pages_of(
        &self,
        (column, group): (usize, usize),
        wanted: Range<i64>,
        pages: &Range<i64>,
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
        let want = if reads < READS_ALONE { wanted.clone() } else { widened(&wanted, &span, pages) };
        let (span, read) = match self.rows.read_span(want.start, want.end) {
            Ok(read) => (want, read),
            // What lies beside it may be damaged, and costs only its own block.
            Err(_) => (wanted.clone(), self.rows.read_span(wanted.start, wanted.end)?),
        };
        let bytes: ArrayRef = Arc::new(UInt8Array::new(Buffer::from(read).into(), None));
        let found = part(&bytes, span.start, &wanted).ok_or("a page lies outside its column")?;
        let mut known = self.ahead.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry((column, group)).or_default();
        known.reads = known.reads.saturating_add(1);
        if span != wanted {
            known.span = span;
            self.columns.insert(at, &bytes);
        }
        Ok(found)
    }
}

/// What to read with the wanted bytes: most walks go from the last block to the first, but `before` tells.
fn widened(wanted: &Range<i64>, before: &Range<i64>, pages: &Range<i64>) -> Range<i64> {
    let is_forward = !before.is_empty() && wanted.end > before.end;
    let from = match is_forward {
        true => wanted.start.min(pages.end.saturating_sub(AHEAD_BYTES)),
        false => wanted.end.saturating_sub(AHEAD_BYTES),
    };
    let from = from.max(pages.start).min(wanted.start);
    from..from.saturating_add(AHEAD_BYTES).min(pages.end).max(wanted.end)
}

/// The wanted bytes of those from some place on.
fn part(bytes: &ArrayRef, from: i64, wanted: &Range<i64>) -> Option<Buffer> {
    let bytes = bytes.as_primitive_opt::<UInt8Type>()?.values().inner();
    let at = usize::try_from(wanted.start.checked_sub(from)?).ok()?;
    let len = usize::try_from(wanted.end.checked_sub(wanted.start)?).ok()?;
    (at.checked_add(len)? <= bytes.len()).then(|| bytes.slice_with_length(at, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_reads_all_pages_of_a_column_once() {
        const PAGE: i64 = 10_000;
        for (pages, backwards) in [(59, true), (59, false), (900, true), (900, false)] {
            let all = 4..4 + pages * PAGE;
            let (mut span, mut read) = (0..0, 0);
            let order: Vec<i64> = if backwards { (0..pages).rev().collect() } else { (0..pages).collect() };
            for page in order {
                let wanted = 4 + page * PAGE..4 + (page + 1) * PAGE;
                if span.start > wanted.start || span.end < wanted.end {
                    span = widened(&wanted, &span, &all);
                    assert!(span.start <= wanted.start && wanted.end <= span.end && all.start <= span.start);
                    assert!(span.end <= all.end);
                    read += span.end - span.start;
                }
            }
            assert!(read <= all.end + AHEAD_BYTES, "{read} of {pages} pages");
        }
        assert_eq!(widened(&(10..20), &(0..0), &(10..20)), 10..20);
    }
}

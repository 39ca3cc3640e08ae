//! The first rows in the order of time, out of blocks that may overlap.
//!
//! Blocks come by their latest time (or earliest, for rising order). A row is certain, and leaves at once, when no
//! block still to come can hold one before it; once enough rows are certain nothing further is read.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use logweir_proto::api::Order;
use logweir_proto::record::{EventId, field};

use super::RowRef;
use crate::search::mask::Mask;
use crate::search::rows;
use crate::search::scan::{BlockRef, Scan, TimeRange};

/// Blocks between two reports of progress.
const PROGRESS_BLOCKS: usize = 64;

/// Why the walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Every row was given.
    AllRows,
    /// The limit is reached; `more` says whether rows may follow.
    Enough { more: bool },
    /// Time or patience was over: go on from there.
    Early { resume: Option<EventId> },
    /// The receiver has gone.
    NotWanted,
}

pub(super) struct Newest {
    pub order: Order,
    pub limit: usize,
    /// Rows up to this one were given before.
    pub cursor: Option<EventId>,
}

impl Newest {
    /// Gives rows in order, in runs that are certain; now and then an empty run, so that progress can be told.
    pub(super) fn run(
        &self,
        scan: &mut Scan<'_>,
        give: &mut dyn FnMut(&mut Scan<'_>, &[RowRef]) -> ControlFlow<()>,
    ) -> Ended {
        let mut held: Vec<RowRef> = Vec::new();
        let mut left = self.limit;
        let mut overflow = false;
        let mut idle_blocks = 0;
        while let Some(block) = scan.next_block() {
            idle_blocks += 1;
            // Only the first of a block can be among the first of all.
            overflow |= self.collect(scan, &block, left, &mut held);
            held.sort_unstable_by(|a, b| self.compare(&a.id, &b.id));
            overflow |= held.len() > left;
            held.truncate(left);
            let certain = match scan.bound_ns() {
                None => held.len(),
                Some(bound) => held.partition_point(|row| self.is_before(row.id.time_ns, bound)),
            };
            let tells = certain > 0 || idle_blocks % PROGRESS_BLOCKS == 0;
            if tells && give(scan, &held[..certain]).is_break() {
                return Ended::NotWanted;
            }
            held.drain(..certain);
            left -= certain;
            if left == 0 {
                return Ended::Enough { more: overflow || scan.bound_ns().is_some() };
            }
        }
        if scan.is_over() {
            let resume = scan.bound_ns().map(|bound| self.resume(bound));
            return Ended::Early { resume };
        }
        Ended::AllRows
    }

    /// The part of a range that the pages before have not covered.
    pub(super) fn left_of(&self, range: TimeRange) -> TimeRange {
        match (self.cursor, self.order) {
            (None, _) => range,
            (Some(cursor), Order::Desc) => TimeRange { last_ns: range.last_ns.min(cursor.time_ns), ..range },
            (Some(cursor), Order::Asc) => TimeRange { first_ns: range.first_ns.max(cursor.time_ns), ..range },
        }
    }

    fn compare(&self, a: &EventId, b: &EventId) -> std::cmp::Ordering {
        match self.order {
            Order::Desc => b.cmp(a),
            Order::Asc => a.cmp(b),
        }
    }

    /// Whether a row of this time comes before every row that the bound allows, whatever their `seq`.
    fn is_before(&self, time_ns: i64, bound_ns: i64) -> bool {
        match self.order {
            Order::Desc => time_ns > bound_ns,
            Order::Asc => time_ns < bound_ns,
        }
    }

    /// The cursor with which every row that was not certain comes again, and no other.
    fn resume(&self, bound_ns: i64) -> EventId {
        let id = match self.order {
            Order::Desc => EventId { time_ns: bound_ns.saturating_add(1), seq: 0 },
            Order::Asc => EventId { time_ns: bound_ns.saturating_sub(1), seq: u64::MAX },
        };
        // Rows before the cursor of this page stay given.
        match self.cursor {
            Some(cursor) if self.compare(&cursor, &id).is_gt() => cursor,
            _ => id,
        }
    }

    /// Adds the first `most` rows of a block; says whether there were more.
    fn collect(&self, scan: &mut Scan<'_>, block: &BlockRef, most: usize, held: &mut Vec<RowRef>) -> bool {
        let Some((batch, mask)) = scan.select(block, &BTreeSet::from([field::TIME, field::SEQ])) else { return false };
        let Some(ids) = rows::ids(&batch) else { return false };
        let mut matches = rows_of(&mask, self.order);
        matches.retain(|row| self.cursor.is_none_or(|cursor| self.compare(&cursor, &ids[*row]).is_lt()));
        let more = matches.len() > most;
        held.extend(matches.into_iter().take(most).map(|row| RowRef { id: ids[row], block: *block, row: row as u32 }));
        more
    }
}

/// The rows of a mask in the order asked for: a block lies in rising order.
fn rows_of(mask: &Mask, order: Order) -> Vec<usize> {
    let mut rows: Vec<usize> = mask.rows().collect();
    if order == Order::Desc {
        rows.reverse();
    }
    rows
}

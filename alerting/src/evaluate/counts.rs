//! Counts of lines by bucket of time: any window over them is the difference of two sums, however long it is.
//!
//! What is kept of a feed (a filter and its grouping labels) is sparse: a bucket without a line takes no room.

use std::collections::BTreeMap;

use logweir_proto::query::value::parse_time;
use logweir_rules::model::{Labels, SignalQuery};
use logweir_rules::signal::{TIME_COLUMN, Table, VALUE_COLUMN, labels_of};
use serde::{Deserialize, Serialize};

use crate::source::{QueryError, QuerySource};

use super::ask;

/// Rows of one answer; a question that reaches it is asked in halves.
const ROWS_MAX: usize = 10_000;
/// Buckets that one question asks for at the most.
const BUCKETS_PER_QUESTION_MAX: i64 = 2_000;
/// Label sets of one feed; lines of further ones are not counted.
const SERIES_MAX: usize = 10_000;

/// The counts of one feed over `[from, until)`.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    width_ns: i64,
    from: i64,
    until: i64,
    series: BTreeMap<Labels, Series>,
}

/// Buckets that have lines, and the sum up to and with each.
#[derive(Debug, Clone, Default)]
struct Series {
    slots: Vec<i64>,
    sums: Vec<u64>,
}

impl Series {
    fn before(&self, slot: i64) -> u64 {
        let index = self.slots.partition_point(|own| *own < slot);
        index.checked_sub(1).map_or(0, |last| self.sums[last])
    }

    fn push(&mut self, slot: i64, count: u64) {
        let sum = self.sums.last().copied().unwrap_or(0);
        if self.slots.last() == Some(&slot) {
            self.sums.iter_mut().next_back().into_iter().for_each(|last| *last += count);
            return;
        }
        self.slots.push(slot);
        self.sums.push(sum + count);
    }

    fn cut_from(&mut self, slot: i64) {
        let keep = self.slots.partition_point(|own| *own < slot);
        self.slots.truncate(keep);
        self.sums.truncate(keep);
    }

    fn cut_before(&mut self, slot: i64) {
        let gone = self.slots.partition_point(|own| *own < slot);
        let base = gone.checked_sub(1).map_or(0, |last| self.sums[last]);
        self.slots.drain(..gone);
        self.sums.drain(..gone);
        self.sums.iter_mut().for_each(|sum| *sum -= base);
    }
}

/// The counts of one piece of time, as they are stored: label sets, each with its slots and counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    pub series: Vec<(Labels, Vec<(i64, u64)>)>,
}

impl Counts {
    /// Nothing is counted yet; `from` is a multiple of the width.
    pub(crate) fn new(width_ns: i64, from: i64) -> Counts {
        Counts { width_ns, from, until: from, series: BTreeMap::new() }
    }

    pub(crate) fn from(&self) -> i64 {
        self.from
    }

    pub(crate) fn until(&self) -> i64 {
        self.until
    }

    /// Asks for what is missing up to `until`.
    pub(crate) async fn extend(
        &mut self,
        source: &dyn QuerySource,
        query: &SignalQuery,
        until: i64,
    ) -> Result<(), QueryError> {
        let text = query.buckets_text(self.width_ns);
        let mut buckets = BUCKETS_PER_QUESTION_MAX;
        while self.until < until {
            let to = self.until.saturating_add(self.width_ns.saturating_mul(buckets)).min(until);
            let answer = source.query(&text, self.until, to, ROWS_MAX).await;
            let answer = match answer {
                Ok(answer) if answer.rows.len() < ROWS_MAX || buckets == 1 => ask::whole(answer)?,
                Ok(_) | Err(QueryError::Failed(_)) if buckets > 1 => {
                    buckets = (buckets / 4).max(1);
                    continue;
                }
                Ok(answer) => ask::whole(answer)?,
                Err(error) => return Err(error),
            };
            let mut rows: Vec<(i64, Labels, u64)> = answer
                .rows
                .iter()
                .filter_map(|row| {
                    let time = parse_time(row.get(TIME_COLUMN)?.as_str()?, 0)?;
                    let count = row.get(VALUE_COLUMN)?.as_u64()?;
                    Some((time.div_euclid(self.width_ns), labels_of(row, &query.by), count))
                })
                .collect();
            rows.sort_by_key(|(slot, ..)| *slot);
            for (slot, labels, count) in rows {
                self.push(labels, slot, count);
            }
            self.until = to;
        }
        Ok(())
    }

    fn push(&mut self, labels: Labels, slot: i64, count: u64) {
        if self.series.len() < SERIES_MAX || self.series.contains_key(&labels) {
            self.series.entry(labels).or_default().push(slot, count);
        }
    }

    /// Forgets what was counted from a time on: it is asked for again.
    pub(crate) fn forget_from(&mut self, time: i64) {
        let time = time.div_euclid(self.width_ns).saturating_mul(self.width_ns).max(self.from);
        if time < self.until {
            self.until = time;
            let slot = time.div_euclid(self.width_ns);
            self.series.values_mut().for_each(|series| series.cut_from(slot));
        }
    }

    pub(crate) fn forget_before(&mut self, time: i64) {
        let slot = time.div_euclid(self.width_ns);
        let time = slot.saturating_mul(self.width_ns);
        if time > self.from {
            self.from = time.min(self.until);
            self.series.values_mut().for_each(|series| series.cut_before(slot));
            self.series.retain(|_, series| !series.slots.is_empty());
        }
    }

    fn sums(&self, from: i64, to: i64) -> impl Iterator<Item = (&Labels, u64)> {
        let (from, to) = (from.div_euclid(self.width_ns), to.div_euclid(self.width_ns));
        self.series.iter().map(move |(labels, series)| (labels, series.before(to) - series.before(from)))
    }

    /// The table of the query at a time of evaluation.
    pub(crate) fn table(&self, query: &SignalQuery, at: i64) -> Table {
        let (from, to) = query.range(at);
        let some = self.sums(from, to).filter(|(_, count)| *count > 0);
        query.counted(some.map(|(labels, count)| (labels.clone(), count)))
    }

    /// Whether any line is in the range.
    pub(crate) fn any(&self, from: i64, to: i64) -> bool {
        self.sums(from, to).any(|(_, count)| count > 0)
    }

    /// Lines in each of equal parts of a range, over all label sets.
    pub(crate) fn piece(&self, from: i64, to: i64) -> Piece {
        let (from, to) = (from.div_euclid(self.width_ns), to.div_euclid(self.width_ns));
        let mut piece = Piece::default();
        for (labels, series) in &self.series {
            let first = series.slots.partition_point(|slot| *slot < from);
            let last = series.slots.partition_point(|slot| *slot < to);
            let own = (first..last).map(|i| {
                let before = i.checked_sub(1).map_or(0, |i| series.sums[i]);
                (series.slots[i], series.sums[i] - before)
            });
            let own: Vec<(i64, u64)> = own.collect();
            if !own.is_empty() {
                piece.series.push((labels.clone(), own));
            }
        }
        piece
    }

    /// Takes a stored piece that ends at `until` and begins where the counts end.
    pub(crate) fn append(&mut self, piece: Piece, until: i64) {
        for (labels, slots) in piece.series {
            for (slot, count) in slots {
                self.push(labels.clone(), slot, count);
            }
        }
        self.until = until;
    }
}

#[cfg(test)]
mod tests;

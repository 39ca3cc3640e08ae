//! Counts of lines by bucket of time: any window over them is the difference of two sums, however long it is.
//!
//! What is kept of a feed (a filter and its grouping labels) is sparse: a bucket without a line takes no room.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use logweir_proto::api::Row;
use logweir_proto::query::value::parse_time;
use logweir_rules::model::{Labels, SignalQuery};
use logweir_rules::signal::{VALUE_COLUMN, labels_of};
use logweir_rules::table::{Keys, Table};
use serde::{Deserialize, Serialize};

use crate::source::{QueryError, QuerySource};

use super::ask;

/// Rows of one answer; a question that reaches it is asked in halves.
pub(super) const ROWS_MAX: usize = 10_000;
/// Buckets that one question asks for at the most.
pub(super) const BUCKETS_PER_QUESTION_MAX: i64 = 2_000;
/// Label sets of one feed; lines of further ones are not counted.
const SERIES_MAX: usize = 10_000;
/// Slots that one question asks for while hardly any line is found.
pub(super) const SLOTS_PER_QUESTION_MAX: i64 = 50_000;
/// So few slots are asked for one by one, without a column for their time.
const PLAIN_SLOTS_MAX: i64 = 2;
const S: i64 = 1_000_000_000;

/// Where the slots of counts lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) width_ns: i64,
    /// A slot begins here.
    pub(crate) origin_ns: i64,
}

impl Grid {
    /// Slots that begin at multiples of their width.
    pub(crate) const fn of(width_ns: i64) -> Grid {
        Grid { width_ns, origin_ns: 0 }
    }

    fn slot(self, time: i64) -> i64 {
        time.saturating_sub(self.origin_ns).div_euclid(self.width_ns)
    }

    pub(crate) fn floor(self, time: i64) -> i64 {
        self.slot(time).saturating_mul(self.width_ns).saturating_add(self.origin_ns)
    }

    /// The widest bucket of the query language that slots are made of; `None`: they are cut finer than seconds.
    pub(crate) fn bucket_ns(self) -> Option<i64> {
        let width = gcd(self.width_ns, self.origin_ns);
        (width > 0 && width % S == 0).then_some(width)
    }
}

pub(crate) fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a.abs() } else { gcd(b, a % b) }
}

/// The counts of one feed over `[from, until)`.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    grid: Grid,
    from: i64,
    until: i64,
    series: BTreeMap<Arc<Labels>, Series>,
    /// The label sets, as the tables over them share them.
    keys: OnceLock<Keys>,
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

impl Piece {
    /// Of each slot the greater count.
    fn joined(self, other: Piece) -> Piece {
        let mut all: BTreeMap<Labels, BTreeMap<i64, u64>> = BTreeMap::new();
        for (labels, slots) in self.series.into_iter().chain(other.series) {
            let own = all.entry(labels).or_default();
            for (slot, count) in slots {
                own.entry(slot).and_modify(|known| *known = count.max(*known)).or_insert(count);
            }
        }
        Piece { series: all.into_iter().map(|(labels, slots)| (labels, slots.into_iter().collect())).collect() }
    }
}

impl Counts {
    /// Nothing is counted yet; `from` is where a slot begins.
    pub(crate) fn new(grid: Grid, from: i64) -> Counts {
        Counts { grid, from, until: from, series: BTreeMap::new(), keys: OnceLock::new() }
    }

    pub(crate) fn from(&self) -> i64 {
        self.from
    }

    pub(crate) fn width_ns(&self) -> i64 {
        self.grid.width_ns
    }

    pub(crate) fn until(&self) -> i64 {
        self.until
    }

    /// Slots with lines, over all label sets.
    pub(crate) fn cells(&self) -> usize {
        self.series.values().map(|series| series.slots.len()).sum()
    }

    /// Asks for what is missing up to `until`.
    pub(crate) async fn extend(
        &mut self,
        source: &dyn QuerySource,
        query: &SignalQuery,
        until: i64,
    ) -> Result<(), QueryError> {
        let bucket_ns = self.grid.bucket_ns();
        let mut slots =
            (BUCKETS_PER_QUESTION_MAX * bucket_ns.unwrap_or(self.grid.width_ns) / self.grid.width_ns).max(1);
        while self.until < until {
            let missing = until.saturating_sub(self.until) / self.grid.width_ns;
            let plain = bucket_ns.is_none() || missing <= PLAIN_SLOTS_MAX || slots == 1;
            let asked = if plain { 1 } else { slots };
            let to = self.until.saturating_add(self.grid.width_ns.saturating_mul(asked)).min(until);
            let text = match bucket_ns.filter(|_| !plain) {
                Some(bucket_ns) => query.buckets_text(bucket_ns),
                None => query.text(),
            };
            let answer = match ask::about(source, query.time, &text, (self.until, to), ROWS_MAX).await {
                Ok(answer) if answer.rows.len() < ROWS_MAX || plain => ask::whole(answer)?,
                Ok(_) | Err(QueryError::Failed(_)) if !plain => {
                    slots = (slots / 4).max(1);
                    continue;
                }
                Ok(answer) => ask::whole(answer)?,
                Err(error) => return Err(error),
            };
            if answer.rows.len() < ROWS_MAX / 8 {
                // A quiet time is asked for in longer pieces.
                slots = slots.saturating_mul(4).min(SLOTS_PER_QUESTION_MAX);
            }
            self.absorb(&answer.rows, query, to);
        }
        Ok(())
    }

    /// Takes the rows of an answer about the time from where the counts end up to `to`. Rows without a time are of the
    /// first slot.
    pub(super) fn absorb(&mut self, rows: &[Row], query: &SignalQuery, to: i64) {
        let begin = self.until;
        let mut rows: Vec<(i64, Labels, u64)> = rows
            .iter()
            .filter_map(|row| {
                let time = match row.get(query.time.column()) {
                    Some(time) => parse_time(time.as_str()?, 0)?,
                    None => begin,
                };
                let count = row.get(VALUE_COLUMN)?.as_u64()?;
                Some((self.grid.slot(time), labels_of(row, &query.by), count))
            })
            .filter(|(.., count)| *count > 0)
            .collect();
        rows.sort_by_key(|(slot, ..)| *slot);
        for (slot, labels, count) in rows {
            self.series_of(labels).into_iter().for_each(|series| series.push(slot, count));
        }
        self.until = to;
    }

    /// Lines that belong into `[from, to)` came after it was counted: it is counted again.
    ///
    /// A count never gets smaller: lines are added to the past, and what has expired meanwhile was there.
    pub(crate) async fn recount(
        &mut self,
        source: &dyn QuerySource,
        query: &SignalQuery,
        (from, to): (i64, i64),
    ) -> Result<(), QueryError> {
        let from = self.grid.floor(from).max(self.from);
        let to = self.grid.floor(to.saturating_add(self.grid.width_ns - 1)).min(self.until);
        if from >= to {
            return Ok(());
        }
        let mut fresh = Counts::new(self.grid, from);
        fresh.extend(source, query, to).await?;
        let (old, rest, until) = (self.piece(from, to), self.piece(to, self.until), self.until);
        self.forget_from(from);
        self.append(fresh.piece(from, to).joined(old), to);
        self.append(rest, until);
        Ok(())
    }

    fn series_of(&mut self, labels: Labels) -> Option<&mut Series> {
        if !self.series.contains_key(&labels) {
            if self.series.len() >= SERIES_MAX {
                return None;
            }
            self.keys = OnceLock::new();
            self.series.insert(Arc::new(labels.clone()), Series::default());
        }
        self.series.get_mut(&labels)
    }

    /// Uses the label sets that others use already: two that are the same one are compared at once.
    pub(crate) fn share(&mut self, known: &mut BTreeSet<Arc<Labels>>) {
        let mut own = |labels: Arc<Labels>| match known.get(&labels) {
            Some(known) => Arc::clone(known),
            None => {
                known.insert(Arc::clone(&labels));
                labels
            }
        };
        self.series = std::mem::take(&mut self.series).into_iter().map(|(labels, one)| (own(labels), one)).collect();
        self.keys = OnceLock::new();
    }

    fn keys(&self) -> &Keys {
        self.keys.get_or_init(|| self.series.keys().cloned().collect())
    }

    /// Forgets what was counted from a time on: it is asked for again.
    fn forget_from(&mut self, time: i64) {
        let time = self.grid.floor(time).max(self.from);
        if time < self.until {
            self.until = time;
            let slot = self.grid.slot(time);
            self.series.values_mut().for_each(|series| series.cut_from(slot));
        }
    }

    pub(crate) fn forget_before(&mut self, time: i64) {
        let time = self.grid.floor(time);
        if time > self.from {
            self.from = time.min(self.until);
            let slot = self.grid.slot(time);
            self.series.values_mut().for_each(|series| series.cut_before(slot));
            let known = self.series.len();
            self.series.retain(|_, series| !series.slots.is_empty());
            if self.series.len() < known {
                self.keys = OnceLock::new();
            }
        }
    }

    fn sums(&self, from: i64, to: i64) -> impl Iterator<Item = u64> {
        let (from, to) = (self.grid.slot(from), self.grid.slot(to));
        self.series.values().map(move |series| series.before(to) - series.before(from))
    }

    /// The table of the query at a time of evaluation.
    pub(crate) fn table(&self, query: &SignalQuery, at: i64) -> Table {
        let (from, to) = query.range(at);
        let mut table = Table::over(Arc::clone(self.keys()));
        for (value, count) in table.values_mut().iter_mut().zip(self.sums(from, to)) {
            *value = query.of_count(count);
        }
        table
    }

    /// Whether any line is in the range.
    pub(crate) fn any(&self, from: i64, to: i64) -> bool {
        self.sums(from, to).any(|count| count > 0)
    }

    /// Lines in each of equal parts of a range, over all label sets.
    pub(crate) fn piece(&self, from: i64, to: i64) -> Piece {
        let (from, to) = (self.grid.slot(from), self.grid.slot(to));
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
                piece.series.push(((**labels).clone(), own));
            }
        }
        piece
    }

    /// Takes a stored piece that ends at `until` and begins where the counts end.
    pub(crate) fn append(&mut self, piece: Piece, until: i64) {
        for (labels, slots) in piece.series {
            let Some(series) = self.series_of(labels) else { continue };
            slots.into_iter().for_each(|(slot, count)| series.push(slot, count));
        }
        self.until = until;
    }
}

/// A window that goes forward over counts: each step looks at what comes in and what goes out, not at what stays.
#[derive(Debug, Clone, Default)]
pub(crate) struct Window {
    /// Slots of the last step: the first that is in, the first that is not.
    from: i64,
    to: i64,
    /// The same as places in each series.
    places: Vec<(usize, usize)>,
}

impl Window {
    /// Writes what [`Counts::table`] says over a table of an earlier step.
    pub(crate) fn write(&mut self, counts: &Counts, query: &SignalQuery, at: i64, table: &mut Table) {
        let (from, to) = query.range(at);
        let (from, to) = (counts.grid.slot(from), counts.grid.slot(to));
        if from < self.from || to < self.to || self.places.len() != counts.series.len() {
            self.places = vec![(0, 0); counts.series.len()];
        }
        (self.from, self.to) = (from, to);
        if !table.is_over(counts.keys()) {
            *table = Table::over(Arc::clone(counts.keys()));
        }
        let sum = |series: &Series, place: usize| if place == 0 { 0 } else { series.sums[place - 1] };
        let rows = counts.series.values().zip(&mut self.places).zip(table.values_mut());
        for ((series, (first, last)), value) in rows {
            while series.slots.get(*first).is_some_and(|slot| *slot < from) {
                *first += 1;
            }
            while series.slots.get(*last).is_some_and(|slot| *slot < to) {
                *last += 1;
            }
            *value = query.of_count(sum(series, *last) - sum(series, *first));
        }
    }
}

#[cfg(test)]
mod tests;

//! `stats`, `count`, `timechart`, `top` and `rare`: from rows to a table of groups.

pub mod accumulate;
pub mod group;
mod hasher;
pub mod keys;
pub mod sketch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use arrow::record_batch::RecordBatch;
use logweir_proto::api::Warning;
use logweir_proto::query::ast::{self, Agg, AggFunc, PipeKind};
use logweir_proto::record::{EventId, field};

use self::accumulate::{Accumulator, Input, VALUES_MAX};
use self::group::{GroupBy, Groups, Ident, floor};
use super::Error;
use super::cell::{Value, canonical};
use super::filter::Filter;
use super::mask::Mask;
use super::order::SortValue;
use super::rows;
use super::scan::TimeRange;
use super::table::{Table, TableRow};
use crate::store::segment::BLOCK_ROWS_MAX;

/// Most groups of `stats` and `timechart`; the rest is one group `__other__`.
pub const GROUPS_MAX: usize = 10_000;

/// Most values that `top` and `rare` count: only the best of them are shown.
pub const TOP_GROUPS_MAX: usize = 200_000;

/// Most buckets of a `timechart`.
pub const BUCKETS_MAX: i64 = 10_000;

/// Buckets of a `timechart` without a width, about.
const BUCKETS_DEFAULT: i64 = 60;

/// Widths that people read easily, in seconds.
const WIDTHS_S: [i64; 19] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 604_800];

/// The shortest easy width that cuts the range into no more than about `buckets`.
pub fn easy_width_ns(range_ns: i64, buckets: i64) -> i64 {
    let least = range_ns.max(0) / buckets.max(1);
    let easy = WIDTHS_S.into_iter().map(|seconds| seconds * 1_000_000_000).find(|width| *width >= least);
    // Beyond weeks, whole weeks.
    const WEEK_NS: i64 = 604_800_000_000_000;
    easy.unwrap_or_else(|| (least / WEEK_NS + 1).saturating_mul(WEEK_NS))
}

/// The rows of a block when all of them are meant.
static EVERY_ROW: LazyLock<Vec<usize>> = LazyLock::new(|| (0..BLOCK_ROWS_MAX).collect());

/// Compiles the filter of a `count(…)`.
pub type CompileFilter<'a> = dyn FnMut(&ast::Filter) -> Result<Filter, Error> + 'a;

/// One aggregation under way.
#[derive(Debug, Clone)]
pub struct Aggregator {
    groups: Groups,
    names: Vec<String>,
    accumulators: Vec<Accumulator>,
    shape: Shape,
    bytes: usize,
    bytes_max: usize,
    /// Rows seen, the place of rows that are no events.
    seen: u64,
}

#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Stats,
    /// Buckets are filled up from the first to the last when there is no other group.
    Timechart {
        width_ns: i64,
        fill: Option<(i64, i64)>,
    },
    /// Of the groups, the first `outer` columns are what each list is of.
    Top {
        limit: usize,
        outer: usize,
        rare: bool,
    },
}

impl Aggregator {
    /// `range` is that of the rows to come: rates and buckets are over it. It fails beyond `bytes_max` of memory.
    pub fn new(
        pipe: &PipeKind,
        range: TimeRange,
        bytes_max: usize,
        compile: &mut CompileFilter<'_>,
    ) -> Result<Aggregator, Error> {
        let made = Aggregator::of_pipe(pipe, range, compile)?;
        Ok(Aggregator { bytes_max, ..made })
    }

    fn of_pipe(pipe: &PipeKind, range: TimeRange, compile: &mut CompileFilter<'_>) -> Result<Aggregator, Error> {
        let span_ns = range.last_ns.saturating_sub(range.first_ns).saturating_add(1).max(1);
        match pipe {
            PipeKind::Stats { aggs, by } => {
                let by: Vec<GroupBy> = by.iter().map(GroupBy::compile).collect::<Result<_, _>>()?;
                let groups = Groups::new(by, 0, GROUPS_MAX);
                Aggregator::build(groups, aggs, span_ns as f64 / 1e9, Shape::Stats, compile)
            }
            PipeKind::Timechart { width_ns, aggs, by } => {
                let width_ns = width_ns.unwrap_or_else(|| easy_width_ns(span_ns, BUCKETS_DEFAULT));
                if width_ns <= 0 {
                    return Err(Error::Width { text: width_ns.to_string() });
                }
                if span_ns / width_ns > BUCKETS_MAX {
                    return Err(Error::Limit { what: "the buckets of a timechart", limit: BUCKETS_MAX as u64 });
                }
                let fill = by.is_none().then(|| (floor(range.first_ns, width_ns), floor(range.last_ns, width_ns)));
                let by = by.iter().map(|field| GroupBy { field: canonical(&field.name).to_owned(), bin: None });
                let by = std::iter::once(GroupBy::time(width_ns)).chain(by).collect();
                let groups = Groups::new(by, 0, GROUPS_MAX + 1);
                Aggregator::build(groups, aggs, width_ns as f64 / 1e9, Shape::Timechart { width_ns, fill }, compile)
            }
            PipeKind::Top { limit, fields, by, rare } => {
                let all = by.iter().chain(fields);
                let all = all.map(|field| GroupBy { field: canonical(&field.name).to_owned(), bin: None }).collect();
                let groups = Groups::new(all, fields.len(), TOP_GROUPS_MAX);
                let shape = Shape::Top { limit: *limit, outer: by.len(), rare: *rare };
                let count = Agg { func: AggFunc::Count(None), alias: None, span: ast::Span::default() };
                Aggregator::build(groups, &[count], 1.0, shape, compile)
            }
            _ => Err(Error::Unsupported { what: "this pipe" }),
        }
    }

    fn build(
        groups: Groups,
        aggs: &[Agg],
        seconds: f64,
        shape: Shape,
        compile: &mut CompileFilter<'_>,
    ) -> Result<Aggregator, Error> {
        let accumulators: Result<_, _> = aggs.iter().map(|agg| Accumulator::new(&agg.func, seconds, compile)).collect();
        let names = groups.by().iter().map(|by| by.field.clone()).chain(aggs.iter().map(Agg::column)).collect();
        Ok(Aggregator { groups, names, accumulators: accumulators?, shape, bytes: 0, bytes_max: 0, seen: 0 })
    }

    /// The fields that it reads.
    pub fn columns(&self) -> BTreeSet<&str> {
        let by = self.groups.by().iter().map(|by| by.field.as_str());
        let order = if self.needs_order() { &[field::TIME, field::SEQ][..] } else { &[] };
        by.chain(self.accumulators.iter().flat_map(Accumulator::columns)).chain(order.iter().copied()).collect()
    }

    /// Whether any function asks which row comes first.
    fn needs_order(&self) -> bool {
        self.accumulators.iter().any(Accumulator::needs_order)
    }

    /// When only events are counted: the fields they are grouped by, and the width of time bins, if any. Then rows may
    /// stand for many events of one bin.
    pub fn counts_only(&self) -> Option<(BTreeSet<&str>, Option<i64>)> {
        if !self.accumulators.iter().all(Accumulator::is_count) {
            return None;
        }
        let mut width = None;
        let mut fields = BTreeSet::new();
        for by in self.groups.by() {
            match by.time_width() {
                Some(ns) if width.is_none_or(|width| width == ns) => width = Some(ns),
                Some(_) => return None,
                None => drop(fields.insert(by.field.as_str())),
            }
        }
        Some((fields, width))
    }

    /// Adds the rows of a batch; with `weights`, one for each row of `mask`, a row stands for so many events.
    pub fn add(&mut self, batch: &RecordBatch, mask: &Mask, weights: &[u64]) -> Result<(), Error> {
        let picked;
        let rows = match EVERY_ROW.get(..mask.len()).filter(|_| mask.is_all()) {
            Some(all) => all,
            None => {
                picked = mask.rows().collect::<Vec<_>>();
                &picked
            }
        };
        if rows.is_empty() {
            return Ok(());
        }
        let order: Vec<EventId> = if self.needs_order() {
            let ids = rows::ids(batch);
            let place = |row: &usize| match &ids {
                Some(ids) => ids[*row],
                None => EventId { time_ns: 0, seq: self.seen + *row as u64 },
            };
            rows.iter().map(place).collect()
        } else {
            Vec::new()
        };
        self.seen += batch.num_rows() as u64;
        let before = self.groups.bytes;
        let groups = self.groups.of_rows(batch, rows);
        self.bytes += self.groups.bytes - before;
        let input = Input { batch, rows, groups: &groups, weights, order: &order };
        for accumulator in &mut self.accumulators {
            self.bytes += accumulator.add(&input, self.groups.len());
        }
        self.check_bytes()
    }

    /// Adds events of which nothing matters but their number: see [`Aggregator::counts_only`].
    pub fn add_events(&mut self, events: u64) {
        let group = self.groups.of_all();
        for accumulator in &mut self.accumulators {
            self.bytes += accumulator.add_events(group, events);
        }
    }

    /// Adds what a part of the blocks came to.
    pub fn merge(&mut self, other: Aggregator) -> Result<(), Error> {
        if self.seen == 0 && self.groups.is_empty() {
            *self = other;
            return self.check_bytes();
        }
        let before = self.groups.bytes;
        let groups = self.groups.merge(&other.groups);
        self.bytes += self.groups.bytes - before;
        for (mine, theirs) in self.accumulators.iter_mut().zip(other.accumulators) {
            self.bytes += mine.merge(theirs, &groups, self.groups.len());
        }
        self.seen += other.seen;
        self.check_bytes()
    }

    fn check_bytes(&self) -> Result<(), Error> {
        if self.bytes > self.bytes_max {
            let limit = self.bytes_max as u64;
            return Err(Error::Limit { what: "the memory of an aggregation in bytes", limit });
        }
        Ok(())
    }

    /// The table, in an order that does not depend on that of the rows.
    pub fn finish(self) -> (Table, Vec<Warning>) {
        let warnings = self.warnings();
        if let Shape::Top { limit, outer: 0, rare } = self.shape {
            return (self.top(limit, rare), warnings);
        }
        let mut rows: Vec<TableRow> = (0..self.groups.len())
            .map(|group| {
                let results = self.accumulators.iter().map(|accumulator| accumulator.result(group));
                TableRow { id: None, values: self.groups.values(group).into_iter().chain(results).collect() }
            })
            .collect();
        let other = self.groups.other.map(|other| rows.remove(other as usize));
        let by = self.groups.by().len();
        let mut columns = self.names;
        // Without rows there is still one answer: nothing.
        if by == 0 && rows.is_empty() {
            let values = self.accumulators.iter().map(|accumulator| accumulator.result(0)).collect();
            rows.push(TableRow { id: None, values });
        }
        sort_by_columns(&mut rows, &columns[..by]);
        match self.shape {
            Shape::Stats => rows.extend(other),
            Shape::Timechart { width_ns, fill } => {
                if let Some((first, last)) = fill {
                    let empty: Vec<Value> =
                        self.accumulators.iter().map(|accumulator| accumulator.result(usize::MAX)).collect();
                    rows = filled(rows, first, last, width_ns, &empty);
                }
                rows.extend(other);
            }
            Shape::Top { limit, outer, rare } => {
                rows = best(&rows, outer, limit, rare);
                columns.push("percent".to_owned());
            }
        }
        (Table { columns, rows }, warnings)
    }

    /// The groups of one list that come first by their count; only those are put in order.
    fn top(self, limit: usize, rare: bool) -> Table {
        let count = |group: usize| match self.accumulators.first().map(|counts| counts.result(group)) {
            Some(Value::Int(count)) => count,
            _ => 0,
        };
        let other = self.groups.other.map(|other| other as usize);
        let groups = (0..self.groups.len()).filter(|group| Some(*group) != other);
        let counts: Vec<(usize, i64)> = groups.map(|group| (group, count(group))).collect();
        let total: i64 = counts.iter().map(|(_, count)| count).sum();
        let key = |count: i64| if rare { count } else { -count };
        let mut keys: Vec<i64> = counts.iter().map(|(_, count)| key(*count)).collect();
        // Equal counts are in the order of their values, so all that are as good as the last are looked at.
        let last = match limit.checked_sub(1).filter(|last| *last < keys.len()) {
            Some(last) => *keys.select_nth_unstable(last).1,
            None => i64::MAX,
        };
        let good = counts.into_iter().filter(|(_, count)| key(*count) <= last);
        let mut rows: Vec<TableRow> = good
            .map(|(group, count)| {
                let values = self.groups.values(group).into_iter().chain([Value::Int(count)]).collect();
                TableRow { id: None, values }
            })
            .collect();
        let mut columns = self.names;
        sort_by_columns(&mut rows, &columns[..self.groups.by().len()]);
        rows.sort_by_key(|row| key(count_of(row)));
        rows.truncate(limit);
        rows.iter_mut().for_each(|row| row.values.push(percent(count_of(row), total)));
        columns.push("percent".to_owned());
        Table { columns, rows }
    }

    fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        if self.groups.other.is_some() {
            let message = match self.shape {
                Shape::Top { .. } => format!("only the first {TOP_GROUPS_MAX} different values were counted"),
                _ => format!("there are more than {GROUPS_MAX} groups: the rest is in the row {}", group::OTHER),
            };
            warnings.push(Warning::new("groups_truncated", message));
        }
        if self.accumulators.iter().any(Accumulator::is_cut) {
            let message = format!("values(…) lists at most {VALUES_MAX} values of a group");
            warnings.push(Warning::new("values_truncated", message));
        }
        warnings
    }
}

fn sort_by_columns(rows: &mut Vec<TableRow>, columns: &[String]) {
    let key = |row: &TableRow| -> Vec<SortValue> {
        columns.iter().zip(&row.values).map(|(name, value)| SortValue::new(name, &value.cell())).collect()
    };
    let mut keyed: Vec<(Vec<SortValue>, TableRow)> = rows.drain(..).map(|row| (key(&row), row)).collect();
    keyed.sort_by(|(a, x), (b, y)| {
        // 2 and 2.0 are of one size and two groups: which is first must not depend on which was seen first.
        let mut orders = a
            .iter()
            .zip(b)
            .zip(x.values.iter().zip(&y.values))
            .map(|((a, b), (x, y))| a.compare(b, false).then_with(|| Ident::of(x).cmp(&Ident::of(y))));
        orders.find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    });
    rows.extend(keyed.into_iter().map(|(_, row)| row));
}

/// One row for every bucket, those without events too.
fn filled(rows: Vec<TableRow>, first: i64, last: i64, width: i64, empty: &[Value]) -> Vec<TableRow> {
    let mut by_time: BTreeMap<i64, TableRow> = BTreeMap::new();
    let mut at = first;
    while at <= last {
        let values = std::iter::once(Value::Time(at)).chain(empty.iter().cloned()).collect();
        by_time.insert(at, TableRow { id: None, values });
        let Some(next) = at.checked_add(width) else { break };
        at = next;
    }
    let mut rest = Vec::new();
    for row in rows {
        match row.values.first() {
            Some(Value::Time(at)) => drop(by_time.insert(*at, row)),
            _ => rest.push(row),
        }
    }
    by_time.into_values().chain(rest).collect()
}

/// The most frequent (or rarest) rows of each run of equal outer values, with their share of it. `rows` are sorted.
fn best(rows: &[TableRow], outer: usize, limit: usize, rare: bool) -> Vec<TableRow> {
    let mut out = Vec::new();
    let mut rest = rows;
    while let Some(first) = rest.first() {
        // One outer value is printed as 500 in one row and as "500" in another.
        let is_same =
            |row: &TableRow| row.values.iter().zip(&first.values).take(outer).all(|(a, b)| Ident::is_same(a, b));
        let run = rest.partition_point(is_same).max(1);
        let (same, after) = rest.split_at(run);
        rest = after;
        let total: i64 = same.iter().map(count_of).sum();
        let mut order: Vec<&TableRow> = same.iter().collect();
        // Stable: equal counts stay in the order of their values.
        order.sort_by_key(|row| if rare { count_of(row) } else { -count_of(row) });
        out.extend(order.into_iter().take(limit).map(|row| {
            let mut row = row.clone();
            row.values.push(percent(count_of(&row), total));
            row
        }));
    }
    out
}

fn count_of(row: &TableRow) -> i64 {
    if let Some(Value::Int(count)) = row.values.last() { *count } else { 0 }
}

fn percent(count: i64, total: i64) -> Value {
    let percent = 100.0 * count as f64 / total.max(1) as f64;
    Value::Float((percent * 100.0).round() / 100.0)
}

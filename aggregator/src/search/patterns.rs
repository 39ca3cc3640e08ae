//! `patterns`: what the messages have in common, with how often, since when, and one event to look at.
//!
//! With `new`, a pattern is left out when older events of the same filter have it too: they are mined first, over all
//! that is kept, so the answer needs no register that could be lost.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use logweir_proto::api::{Order, Row, Warning};
use logweir_proto::pattern::{Miner, PATTERNS_MAX, PatternId};
use logweir_proto::query::ast::{PipeKind, Query};
use logweir_proto::record::{EventId, field};

use super::Error;
use super::aggregate::easy_width_ns;
use super::aggregate::group::floor;
use super::cell::{Cell, FieldColumns, Value};
use super::execute::{self, Outcome, Request};
use super::mask::Mask;
use super::plan::{self, First, Plan};
use super::rows;
use super::scan::{Scan, TimeRange};
use super::table::{Table, TableRow};
use crate::store::segment::Segment;

/// Most bars of the counts over time of a pattern.
pub const PATTERN_BUCKETS_MAX: usize = 1000;

pub const PATTERN_COLUMNS: [&str; 7] = ["pattern", "count", "level", "first_seen", "last_seen", "sample", "pattern_id"];

#[derive(Debug)]
pub struct Patterns {
    since_ns: Option<i64>,
    limit: usize,
    miner: Miner,
    seen: BTreeMap<PatternId, Seen>,
    old: HashSet<PatternId>,
    bars: Option<Bars>,
}

/// How the counts over time are cut.
#[derive(Debug, Clone, Copy)]
struct Bars {
    first_ns: i64,
    width_ns: i64,
    buckets: usize,
}

impl Bars {
    fn new(range: TimeRange, buckets: usize) -> Bars {
        let width_ns = easy_width_ns(range.last_ns.saturating_sub(range.first_ns), buckets as i64);
        let first_ns = floor(range.first_ns, width_ns);
        let buckets = (range.last_ns.saturating_sub(first_ns) / width_ns) as usize + 1;
        Bars { first_ns, width_ns, buckets }
    }

    fn bucket(&self, time_ns: i64) -> usize {
        let bucket = time_ns.saturating_sub(self.first_ns) / self.width_ns;
        usize::try_from(bucket).unwrap_or(0).min(self.buckets - 1)
    }
}

/// What is known of the events of a pattern.
#[derive(Debug, Clone)]
struct Seen {
    count: u64,
    first: EventId,
    last: EventId,
    levels: BTreeMap<Box<str>, u64>,
    /// Events of each bar, as far as there are any.
    bars: BTreeMap<usize, u64>,
}

/// What `/api/v1/patterns` shows beside the table.
pub struct Found {
    pub rows: Vec<Row>,
    /// Start of the first bar and width of each, when bars were asked for.
    pub bars_ns: Option<(i64, i64)>,
    pub outcome: Outcome,
}

/// Runs a query that ends in `patterns`, with counts over time for each.
pub fn found(
    query: &Query,
    request: &Request<'_>,
    buckets: usize,
    segments: &[Arc<dyn Segment>],
) -> Result<Found, Error> {
    let range = plan::range(query, request.from_ns, request.to_ns, request.now_ns);
    let plan = Plan::new(query, range, Order::Desc);
    let First::Aggregate(PipeKind::Patterns { new_ns, limit }) = plan.first else {
        return Err(Error::Misplaced { what: "patterns", needs: "filters only" });
    };
    let (filter, steps) = execute::compile_rows(&plan, &plan.steps, request, segments, 0)?;
    let mut patterns = Patterns::new(new_ns.map(|new_ns| request.now_ns.saturating_sub(new_ns)), limit);
    let known = plan::known_range(range, segments, request.now_ns);
    patterns.bars = (buckets > 0).then(|| Bars::new(known, buckets.min(PATTERN_BUCKETS_MAX)));
    let bars_ns = patterns.bars.map(|bars| (bars.first_ns, bars.width_ns));
    let names = Patterns::columns();
    let columns: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    if let Some(before_ns) = patterns.since_ns {
        let old = TimeRange { first_ns: i64::MIN, last_ns: before_ns - 1 };
        let mut scan = Scan::new(segments, &filter, old, Order::Desc, request.patience()).with_steps(&steps);
        while let Some(block) = scan.next_block() {
            if let Some((batch, mask)) = scan.select(&block, &columns) {
                patterns.add_old(&batch, &mask);
            }
        }
        // Without all of the past nothing can be called new.
        if let Some(reason) = scan.finish(false).reason {
            return Err(Error::Partial { what: "what was there before", reason: reason.as_str() });
        }
    }
    let mut scan = Scan::new(segments, &filter, range, Order::Desc, request.patience()).with_steps(&steps);
    while let Some(block) = scan.next_block() {
        if let Some((batch, mask)) = scan.select(&block, &columns) {
            patterns.add(&batch, &mask);
        }
    }
    let coverage = scan.finish(false);
    let (table, bars, mut warnings) = patterns.finish_with_bars();
    warnings.extend(plan::unknown_fields(query, range, segments));
    let rows: Vec<Row> = table
        .into_rows()
        .zip(bars)
        .map(|((_, mut row), bars)| {
            if bars_ns.is_some() {
                row.insert("buckets".to_owned(), bars.into());
            }
            row
        })
        .collect();
    let outcome = Outcome { warnings, ..Outcome::of(coverage, rows.len(), None) };
    Ok(Found { rows, bars_ns, outcome })
}

impl Patterns {
    pub fn new(since_ns: Option<i64>, limit: usize) -> Patterns {
        let (seen, old) = (BTreeMap::new(), HashSet::new());
        Patterns { since_ns, limit, miner: Miner::default(), seen, old, bars: None }
    }

    /// Events before this time make a pattern old.
    pub fn since_ns(&self) -> Option<i64> {
        self.since_ns
    }

    pub fn columns() -> Vec<String> {
        [field::TIME, field::SEQ, field::MESSAGE, field::LEVEL].map(str::to_owned).to_vec()
    }

    /// Events from before: their patterns are not new.
    pub fn add_old(&mut self, batch: &RecordBatch, mask: &Mask) {
        let messages = FieldColumns::new(batch, field::MESSAGE);
        for row in mask.rows() {
            if let Cell::Text(message) = messages.cell(row) {
                self.old.insert(self.miner.learn(&message).id);
            }
        }
    }

    pub fn add(&mut self, batch: &RecordBatch, mask: &Mask) {
        let messages = FieldColumns::new(batch, field::MESSAGE);
        let levels = FieldColumns::new(batch, field::LEVEL);
        let ids = rows::ids(batch).unwrap_or_else(|| vec![EventId { time_ns: 0, seq: 0 }; batch.num_rows()]);
        for row in mask.rows() {
            let Cell::Text(message) = messages.cell(row) else { continue };
            let pattern = self.miner.learn(&message).id;
            let id = ids[row];
            let seen = self.seen.entry(pattern).or_insert_with(|| Seen {
                count: 0,
                first: id,
                last: id,
                levels: BTreeMap::new(),
                bars: BTreeMap::new(),
            });
            seen.count += 1;
            if let Some(bars) = &self.bars {
                *seen.bars.entry(bars.bucket(id.time_ns)).or_default() += 1;
            }
            seen.first = seen.first.min(id);
            seen.last = seen.last.max(id);
            if let Cell::Text(level) = levels.cell(row) {
                match seen.levels.get_mut(level.as_ref()) {
                    Some(count) => *count += 1,
                    None => drop(seen.levels.insert(level.as_ref().into(), 1)),
                }
            }
        }
    }

    pub fn finish(self) -> (Table, Vec<Warning>) {
        let (table, _, warnings) = self.finish_with_bars();
        (table, warnings)
    }

    /// The table, and for each row its counts over time.
    fn finish_with_bars(self) -> (Table, Vec<Vec<u64>>, Vec<Warning>) {
        let Patterns { miner, seen, old, limit, bars, .. } = self;
        let old: BTreeSet<PatternId> = old.into_iter().map(|id| miner.resolve(id)).collect();
        let mut merged: BTreeMap<PatternId, Seen> = BTreeMap::new();
        // Patterns were merged while their events came.
        for (id, more) in seen {
            let id = miner.resolve(id);
            match merged.get_mut(&id) {
                Some(seen) => seen.join(more),
                None => drop(merged.insert(id, more)),
            }
        }
        let mut patterns: Vec<(PatternId, Seen)> = merged.into_iter().filter(|(id, _)| !old.contains(id)).collect();
        patterns.sort_by(|(a, x), (b, y)| y.count.cmp(&x.count).then(y.last.cmp(&x.last)).then(a.cmp(b)));
        let mut warnings = Vec::new();
        if miner.len() >= PATTERNS_MAX {
            let message = format!("only {PATTERNS_MAX} patterns are remembered at a time; narrow the query");
            warnings.push(Warning::new("patterns_truncated", message));
        }
        patterns.truncate(limit);
        let buckets = bars.map_or(0, |bars| bars.buckets);
        let counts = patterns
            .iter()
            .map(|(_, seen)| (0..buckets).map(|bucket| seen.bars.get(&bucket).copied().unwrap_or(0)).collect())
            .collect();
        let rows = patterns.into_iter().map(|(id, seen)| {
            let level = seen.levels.iter().max_by_key(|(_, count)| **count).map(|(level, _)| level.clone());
            let values = vec![
                Value::Text(miner.template(id).unwrap_or_default().into()),
                Value::Int(seen.count as i64),
                level.map_or(Value::Null, Value::Text),
                Value::Time(seen.first.time_ns),
                Value::Time(seen.last.time_ns),
                Value::Text(seen.last.to_string().into()),
                Value::Text(id.to_string().into()),
            ];
            TableRow { id: None, values }
        });
        (Table { columns: PATTERN_COLUMNS.map(str::to_owned).to_vec(), rows: rows.collect() }, counts, warnings)
    }
}

impl Seen {
    fn join(&mut self, other: Seen) {
        self.count += other.count;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        for (level, count) in other.levels {
            *self.levels.entry(level).or_default() += count;
        }
        for (bucket, count) in other.bars {
            *self.bars.entry(bucket).or_default() += count;
        }
    }
}

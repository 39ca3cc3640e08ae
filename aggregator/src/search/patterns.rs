//! `patterns`: what the messages have in common, with how often, since when, and one event to look at.
//!
//! With `new`, a pattern is left out when older events of the same filter have it too: they are mined first, over all
//! that is kept, so the answer needs no register that could be lost.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use arrow::record_batch::RecordBatch;
use logweir_proto::api::Warning;
use logweir_proto::pattern::{Miner, PATTERNS_MAX, PatternId};
use logweir_proto::record::{EventId, field};

use super::cell::{Cell, FieldColumns, Value};
use super::mask::Mask;
use super::rows;
use super::table::{Table, TableRow};

pub const PATTERN_COLUMNS: [&str; 7] = ["pattern", "count", "level", "first_seen", "last_seen", "sample", "pattern_id"];

#[derive(Debug)]
pub struct Patterns {
    since_ns: Option<i64>,
    limit: usize,
    miner: Miner,
    seen: BTreeMap<PatternId, Seen>,
    old: HashSet<PatternId>,
}

/// What is known of the events of a pattern.
#[derive(Debug, Clone)]
struct Seen {
    count: u64,
    first: EventId,
    last: EventId,
    levels: BTreeMap<Box<str>, u64>,
}

impl Patterns {
    pub fn new(since_ns: Option<i64>, limit: usize) -> Patterns {
        Patterns { since_ns, limit, miner: Miner::default(), seen: BTreeMap::new(), old: HashSet::new() }
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
            });
            seen.count += 1;
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
        let Patterns { miner, seen, old, limit, .. } = self;
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
            warnings.push(Warning {
                warn: "patterns_truncated".to_owned(),
                field: None,
                did_you_mean: None,
                pos: None,
                message: format!("only {PATTERNS_MAX} patterns are remembered at a time; narrow the query"),
            });
        }
        let rows = patterns.into_iter().take(limit).map(|(id, seen)| {
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
        (Table { columns: PATTERN_COLUMNS.map(str::to_owned).to_vec(), rows: rows.collect() }, warnings)
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
    }
}

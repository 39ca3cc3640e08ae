//! What each function of `stats` keeps for each group.

use std::collections::BTreeMap;

use arrow::array::Array;
use arrow::record_batch::RecordBatch;
use logweir_proto::query::ast::AggFunc;
use logweir_proto::record::EventId;

use super::group::{Ident, NO_GROUP};
use super::sketch::{Distinct, Quantiles};
use crate::search::Error;
use crate::search::cell::{Cell, Column, FieldColumns, Value, canonical};
use crate::search::filter::Filter;
use crate::search::mask::Mask;
use crate::search::order::SortValue;

/// Most values that `values(…)` lists for a group.
pub const VALUES_MAX: usize = 100;

/// The rows of a batch that are counted.
pub struct Input<'a> {
    pub batch: &'a RecordBatch,
    pub rows: &'a [usize],
    /// The group of each of `rows`.
    pub groups: &'a [u32],
    /// How many events each of `rows` stands for; each for one when empty.
    pub weights: &'a [u64],
    /// The place of each of `rows` in the order of events; empty when no function asks for it.
    pub order: &'a [EventId],
}

impl Input<'_> {
    fn place(&self, index: usize) -> EventId {
        self.order.get(index).copied().unwrap_or(EventId { time_ns: 0, seq: 0 })
    }

    fn weight(&self, index: usize) -> u64 {
        self.weights.get(index).copied().unwrap_or(1)
    }
}

/// One function over all groups.
#[derive(Debug, Clone)]
pub struct Accumulator {
    field: Option<String>,
    filter: Option<Filter>,
    states: States,
}

#[derive(Debug, Clone)]
enum States {
    Count(Vec<u64>),
    /// Events a second, over so many.
    Rate(Vec<u64>, f64),
    Distinct(Vec<Distinct>),
    Sum(Vec<Sum>),
    Avg(Vec<Sum>),
    Stddev(Vec<Moments>),
    Extreme {
        best: Vec<Value>,
        max: bool,
    },
    Quantile(Vec<Quantiles>, f64),
    Edge {
        found: Vec<Option<(EventId, Value)>>,
        last: bool,
    },
    Values(Vec<BTreeMap<Ident, Value>>),
}

/// Integers are added exactly, so that the order of blocks does not matter.
#[derive(Debug, Clone, Default)]
struct Sum {
    ints: i128,
    floats: f64,
    has_float: bool,
    count: u64,
}

/// Mean and sum of squared differences, by Welford.
#[derive(Debug, Clone, Default)]
struct Moments {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Accumulator {
    /// `seconds` is what a rate is over; `compile` makes the filter of a `count(…)`.
    pub fn new(
        func: &AggFunc,
        seconds: f64,
        compile: &mut dyn FnMut(&logweir_proto::query::ast::Filter) -> Result<Filter, Error>,
    ) -> Result<Accumulator, Error> {
        let mut filter = None;
        let (field, states) = match func {
            AggFunc::Count(inner) => {
                filter = inner.as_deref().map(&mut *compile).transpose()?;
                (None, States::Count(Vec::new()))
            }
            AggFunc::Rate => (None, States::Rate(Vec::new(), seconds)),
            AggFunc::Distinct(field) => (Some(field), States::Distinct(Vec::new())),
            AggFunc::Sum(field) => (Some(field), States::Sum(Vec::new())),
            AggFunc::Avg(field) => (Some(field), States::Avg(Vec::new())),
            AggFunc::Stddev(field) => (Some(field), States::Stddev(Vec::new())),
            AggFunc::Min(field) => (Some(field), States::Extreme { best: Vec::new(), max: false }),
            AggFunc::Max(field) => (Some(field), States::Extreme { best: Vec::new(), max: true }),
            AggFunc::Percentile(field, percent) => (Some(field), States::Quantile(Vec::new(), *percent)),
            AggFunc::First(field) => (Some(field), States::Edge { found: Vec::new(), last: false }),
            AggFunc::Last(field) => (Some(field), States::Edge { found: Vec::new(), last: true }),
            AggFunc::Values(field) => (Some(field), States::Values(Vec::new())),
        };
        Ok(Accumulator { field: field.map(|field| canonical(&field.name).to_owned()), filter, states })
    }

    /// Counts events only: their values do not matter.
    pub fn is_count(&self) -> bool {
        self.filter.is_none() && matches!(self.states, States::Count(_) | States::Rate(..))
    }

    /// Whether it matters which row comes first.
    pub fn needs_order(&self) -> bool {
        matches!(self.states, States::Edge { .. })
    }

    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.field.as_deref().into_iter().chain(self.filter.iter().flat_map(Filter::columns))
    }

    /// Adds rows; there are `groups` groups by now. Returns by how many bytes it grew.
    pub fn add(&mut self, input: &Input<'_>, groups: usize) -> usize {
        let cells = self.field.as_deref().map(|field| FieldColumns::new(input.batch, field));
        let passed = self.filter.as_ref().map(|filter| {
            let mut within = Mask::none(input.batch.num_rows());
            input.rows.iter().for_each(|row| within.set(*row));
            filter.eval(input.batch, &within)
        });
        let grown = self.states.resize(groups);
        if passed.is_none()
            && let Some(more) = self.states.add_all(input, cells.as_ref())
        {
            return grown + more;
        }
        let mut more = 0;
        for (index, (row, group)) in input.rows.iter().zip(input.groups).enumerate() {
            if *group == NO_GROUP || passed.as_ref().is_some_and(|passed| !passed.has(*row)) {
                continue;
            }
            let group = *group as usize;
            match &cells {
                None => self.states.count(group, input.weight(index)),
                Some(cells) => match cells.cell(*row) {
                    Cell::Null => {}
                    cell => {
                        more += self.states.take(group, self.field.as_deref().unwrap_or(""), &cell, input.place(index))
                    }
                },
            }
        }
        grown + more
    }

    /// Counts events of a group; returns by how many bytes it grew.
    pub fn add_events(&mut self, group: u32, events: u64) -> usize {
        let grown = self.states.resize(group as usize + 1);
        self.states.count(group as usize, events);
        grown
    }

    /// Adds what another part came to, whose groups have the numbers `groups` here; there are `count` groups by now.
    /// Returns by how many bytes it grew.
    pub fn merge(&mut self, other: Accumulator, groups: &[u32], count: usize) -> usize {
        let grown = self.states.resize(count);
        grown + self.states.merge(other.states, groups, self.field.as_deref().unwrap_or(""))
    }

    pub fn result(&self, group: usize) -> Value {
        self.states.result(group)
    }

    /// Whether a list of values was cut.
    pub fn is_cut(&self) -> bool {
        matches!(&self.states, States::Values(sets) if sets.iter().any(|set| set.len() >= VALUES_MAX))
    }
}

impl States {
    /// Makes room for all groups; returns the bytes it took.
    fn resize(&mut self, groups: usize) -> usize {
        fn grow<T: Clone>(states: &mut Vec<T>, groups: usize, empty: T) -> usize {
            let more = groups.saturating_sub(states.len());
            states.resize(groups.max(states.len()), empty);
            more * size_of::<T>()
        }
        match self {
            States::Count(states) | States::Rate(states, _) => grow(states, groups, 0),
            States::Distinct(states) => grow(states, groups, Distinct::default()),
            States::Sum(states) | States::Avg(states) => grow(states, groups, Sum::default()),
            States::Stddev(states) => grow(states, groups, Moments::default()),
            States::Extreme { best, .. } => grow(best, groups, Value::Null),
            States::Quantile(states, _) => grow(states, groups, Quantiles::default()),
            States::Edge { found, .. } => grow(found, groups, None),
            States::Values(states) => grow(states, groups, BTreeMap::new()),
        }
    }

    /// Adds all rows at once where the values are numbers in one column, or do not matter; `None` where they do not
    /// lie so. Otherwise by how many bytes it grew.
    fn add_all(&mut self, input: &Input<'_>, cells: Option<&FieldColumns<'_>>) -> Option<usize> {
        match (&mut *self, cells) {
            (States::Count(counts) | States::Rate(counts, _), None) if input.weights.is_empty() => {
                for group in input.groups.iter().filter(|group| **group != NO_GROUP) {
                    counts[*group as usize] += 1;
                }
                Some(0)
            }
            (States::Quantile(states, _), Some(FieldColumns { columns, extra: None })) => {
                let before: usize = states.iter().map(Quantiles::bytes).sum();
                match &columns[..] {
                    [Column::Int(array)] => {
                        let values = array.values();
                        each_valid(input, *array, |group, row| states[group].add_int(values[row]));
                    }
                    [Column::Float(array)] => {
                        let values = array.values();
                        each_valid(input, *array, |group, row| states[group].add(values[row]));
                    }
                    _ => return None,
                }
                Some(states.iter().map(Quantiles::bytes).sum::<usize>().saturating_sub(before))
            }
            (States::Sum(states) | States::Avg(states), Some(FieldColumns { columns, extra: None })) => {
                let [Column::Int(array)] = &columns[..] else { return None };
                let values = array.values();
                each_valid(input, *array, |group, row| {
                    states[group].ints += i128::from(values[row]);
                    states[group].count += 1;
                });
                Some(0)
            }
            _ => None,
        }
    }

    /// See [`Accumulator::merge`].
    fn merge(&mut self, other: States, groups: &[u32], field: &str) -> usize {
        fn pairs<'a, T, U>(
            mine: &'a mut [T],
            theirs: Vec<U>,
            groups: &'a [u32],
            mut add: impl FnMut(&mut T, U) -> usize,
        ) -> usize {
            let pairs = groups.iter().zip(theirs).filter(|(group, _)| **group != NO_GROUP);
            pairs.map(|(group, state)| add(&mut mine[*group as usize], state)).sum()
        }
        match (self, other) {
            (States::Count(mine), States::Count(theirs)) | (States::Rate(mine, _), States::Rate(theirs, _)) => {
                pairs(mine, theirs, groups, |mine, theirs| {
                    *mine += theirs;
                    0
                })
            }
            (States::Distinct(mine), States::Distinct(theirs)) => pairs(mine, theirs, groups, |mine, theirs| {
                let before = mine.bytes();
                mine.merge(&theirs);
                mine.bytes().saturating_sub(before)
            }),
            (States::Sum(mine), States::Sum(theirs)) | (States::Avg(mine), States::Avg(theirs)) => {
                pairs(mine, theirs, groups, |mine, theirs| {
                    mine.merge(&theirs);
                    0
                })
            }
            (States::Stddev(mine), States::Stddev(theirs)) => pairs(mine, theirs, groups, |mine, theirs| {
                mine.merge(&theirs);
                0
            }),
            (States::Extreme { best, max }, States::Extreme { best: theirs, .. }) => {
                pairs(best, theirs, groups, |mine, theirs| {
                    if !theirs.is_null() && is_better(field, &theirs.cell(), mine, *max) {
                        *mine = theirs;
                    }
                    0
                })
            }
            (States::Quantile(mine, _), States::Quantile(theirs, _)) => pairs(mine, theirs, groups, |mine, theirs| {
                let before = mine.bytes();
                mine.merge(&theirs);
                mine.bytes().saturating_sub(before)
            }),
            (States::Edge { found, last }, States::Edge { found: theirs, .. }) => {
                pairs(found, theirs, groups, |mine, theirs| {
                    if let Some((at, _)) = &theirs
                        && mine.as_ref().is_none_or(|(seen, _)| if *last { at >= seen } else { at < seen })
                    {
                        *mine = theirs;
                    }
                    0
                })
            }
            (States::Values(mine), States::Values(theirs)) => pairs(mine, theirs, groups, |mine, theirs| {
                let mut more = 0;
                for (ident, value) in theirs {
                    if mine.len() < VALUES_MAX && !mine.contains_key(&ident) {
                        more += 128 + 2 * value.text().len();
                        mine.insert(ident, value);
                    }
                }
                more
            }),
            // Both are parts of one aggregation.
            _ => 0,
        }
    }

    fn count(&mut self, group: usize, weight: u64) {
        if let States::Count(counts) | States::Rate(counts, _) = self {
            counts[group] += weight;
        }
    }

    fn take(&mut self, group: usize, field: &str, cell: &Cell<'_>, at: EventId) -> usize {
        match self {
            States::Count(_) | States::Rate(..) => 0,
            States::Distinct(states) => {
                let state = &mut states[group];
                let before = state.bytes();
                state.add(Ident::hash_of(cell));
                state.bytes().saturating_sub(before)
            }
            States::Sum(states) | States::Avg(states) => {
                states[group].add(cell);
                0
            }
            States::Stddev(states) => {
                if let Some(number) = cell.number() {
                    states[group].add(number);
                }
                0
            }
            States::Extreme { best, max } => {
                if is_better(field, cell, &best[group], *max) {
                    best[group] = cell.to_value();
                }
                0
            }
            States::Quantile(states, _) => {
                let state = &mut states[group];
                let before = state.bytes();
                if let Some(number) = cell.number() {
                    state.add(number);
                }
                state.bytes().saturating_sub(before)
            }
            States::Edge { found, last } => {
                let better = found[group].as_ref().is_none_or(|(seen, _)| if *last { at >= *seen } else { at < *seen });
                if better {
                    found[group] = Some((at, cell.to_value()));
                }
                0
            }
            States::Values(states) => {
                let value = cell.to_value();
                let ident = Ident::of(&value);
                let set = &mut states[group];
                if set.len() >= VALUES_MAX || set.contains_key(&ident) {
                    return 0;
                }
                let bytes = 128 + 2 * value.text().len();
                set.insert(ident, value);
                bytes
            }
        }
    }

    /// A group that no row has reached since the last resize has the result of no rows.
    fn result(&self, group: usize) -> Value {
        match self {
            States::Count(counts) => Value::Int(counts.get(group).map_or(0, |count| *count as i64)),
            States::Rate(counts, seconds) => {
                Value::Float(counts.get(group).map_or(0.0, |count| *count as f64) / seconds.max(1e-9))
            }
            States::Distinct(states) => Value::Int(states.get(group).map_or(0, |state| state.count() as i64)),
            States::Sum(states) => states.get(group).map_or(Value::Null, Sum::sum),
            States::Avg(states) => states.get(group).map_or(Value::Null, Sum::avg),
            States::Stddev(states) => states.get(group).map_or(Value::Null, Moments::stddev),
            States::Extreme { best, .. } => best.get(group).cloned().unwrap_or(Value::Null),
            States::Quantile(states, percent) => {
                states.get(group).and_then(|state| state.at(*percent)).map_or(Value::Null, shortest)
            }
            States::Edge { found, .. } => found.get(group).cloned().flatten().map_or(Value::Null, |(_, value)| value),
            States::Values(states) => {
                Value::List(states.get(group).map_or_else(Vec::new, |set| set.values().cloned().collect()))
            }
        }
    }
}

/// Whether a value is nearer to the end that is asked for. Numbers win over text, whichever end that is.
fn is_better(field: &str, new: &Cell<'_>, old: &Value, max: bool) -> bool {
    let (new, old) = (SortValue::new(field, new), SortValue::new(field, &old.cell()));
    match (&old, &new) {
        (SortValue::Number(..), SortValue::Number(..)) | (SortValue::Text(_), SortValue::Text(_)) => {
            new.compare(&old, max).is_lt()
        }
        _ => new.compare(&old, false).is_lt(),
    }
}

/// A whole number without its `.0`: the percentile of integers is one of them.
fn shortest(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { Value::Int(value as i64) } else { Value::Float(value) }
}

/// Calls `each` with the group and the row of everything that has a value.
fn each_valid(input: &Input<'_>, array: &dyn Array, mut each: impl FnMut(usize, usize)) {
    let has_nulls = array.null_count() > 0;
    for (row, group) in input.rows.iter().zip(input.groups) {
        if *group != NO_GROUP && (!has_nulls || array.is_valid(*row)) {
            each(*group as usize, *row);
        }
    }
}

impl Sum {
    fn merge(&mut self, other: &Sum) {
        self.ints += other.ints;
        self.floats += other.floats;
        self.has_float |= other.has_float;
        self.count += other.count;
    }

    fn add(&mut self, cell: &Cell<'_>) {
        match cell {
            Cell::Int(value) => self.ints += i128::from(*value),
            other => {
                let Some(number) = other.number() else { return };
                self.floats += number;
                self.has_float = true;
            }
        }
        self.count += 1;
    }

    fn sum(&self) -> Value {
        match (self.count, i64::try_from(self.ints)) {
            (0, _) => Value::Null,
            (_, Ok(ints)) if !self.has_float => Value::Int(ints),
            _ => Value::Float(self.ints as f64 + self.floats),
        }
    }

    fn avg(&self) -> Value {
        if self.count == 0 { Value::Null } else { Value::Float((self.ints as f64 + self.floats) / self.count as f64) }
    }
}

impl Moments {
    /// By Chan, Golub and LeVeque.
    fn merge(&mut self, other: &Moments) {
        if other.count == 0 {
            return;
        }
        let (mine, theirs) = (self.count as f64, other.count as f64);
        let delta = other.mean - self.mean;
        self.count += other.count;
        let all = self.count as f64;
        self.mean += delta * theirs / all;
        self.squares += other.squares + delta * delta * mine * theirs / all;
    }

    fn add(&mut self, value: f64) {
        self.count += 1;
        let delta = value - self.mean;
        self.mean += delta / self.count as f64;
        self.squares += delta * (value - self.mean);
    }

    /// Of a sample: one value has none.
    fn stddev(&self) -> Value {
        if self.count < 2 { Value::Null } else { Value::Float((self.squares / (self.count - 1) as f64).sqrt()) }
    }
}

//! What a query means before any row is read: its range, its first stage, and the pipes that remain.
//!
//! Pipes that a scan can do by itself are taken into it: filters join the filter, `head` becomes the limit, `fields`
//! what is read, a `sort` by time the direction. What is left runs over the rows or the table that came out.

mod doubts;

use std::collections::BTreeSet;
use std::sync::Arc;

use logweir_proto::api::{Order, Warning};
use logweir_proto::query::ast::{
    AggFunc, Bound, CmpOp, Field, Filter, Group, Literal, PipeKind, Query, SortKey, Span, Test,
};
use logweir_proto::record::field;
use logweir_runtime::clock;

pub use self::doubts::{unknown_asked, unknown_fields, unknown_names};
use super::cell::canonical;
use super::pipes::Gather;
use super::rows::Show;
use super::scan::TimeRange;
use super::steps;
use crate::store::segment::Segment;

/// How far back a query looks when nobody says.
pub const RANGE_DEFAULT_NS: i64 = 3_600_000_000_000;

/// The first stage: how rows leave the scan.
#[derive(Debug, Clone, PartialEq)]
pub enum First {
    /// Events in the order of time, at most `limit`.
    Events { order: Order, limit: Option<usize> },
    /// The last `limit` events of that order.
    EventsTail { order: Order, limit: usize },
    /// Events sorted by other fields.
    Sorted { keys: Vec<SortKey>, limit: Option<usize> },
    /// Of events with the same values in these fields, the first `rows` in the order of time.
    Dedup { rows: usize, fields: Vec<String>, order: Order, limit: Option<usize> },
    /// `stats`, `timechart`, `top`, `facets` or `patterns` over all events that pass.
    Aggregate(PipeKind),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub range: TimeRange,
    pub filter: Filter,
    /// Pipes over single rows, between the filter and the first stage.
    pub steps: Vec<PipeKind>,
    pub first: First,
    pub show: Show,
    /// Pipes over what the first stage yields: the last ones of the query.
    pub rest: Vec<PipeKind>,
}

/// The range of a query: the text wins over the request, and without either it is the last hour.
pub fn range(query: &Query, from_ns: Option<i64>, to_ns: Option<i64>, now_ns: i64) -> TimeRange {
    let said = time_bounds(&query.filter, field::TIME, now_ns);
    // Who asks when lines were received means them all, whatever times they tell.
    let is_by_receipt = time_bounds(&query.filter, field::INGESTED, now_ns).first_ns > i64::MIN;
    let to = query.until.map(|until| until.resolve(now_ns)).or(to_ns);
    // The end is outside. Without one, lines from a clock that is ahead are still found.
    let last_ns = to.map_or(i64::MAX, |to| to.saturating_sub(1)).min(said.last_ns);
    let from = query.since.map(|since| since.resolve(now_ns)).or(from_ns);
    let default = || if is_by_receipt { i64::MIN } else { last_ns.min(now_ns).saturating_sub(RANGE_DEFAULT_NS) };
    let first_ns = from.unwrap_or_else(|| if said.first_ns > i64::MIN { said.first_ns } else { default() });
    TimeRange { first_ns: first_ns.max(said.first_ns), last_ns }
}

/// The range that `time>=…` and the like leave: with them nobody means the last hour.
fn time_bounds(filter: &Filter, name: &str, now_ns: i64) -> TimeRange {
    let all = TimeRange::ALL;
    match filter {
        Filter::And(filters) => {
            filters.iter().map(|filter| time_bounds(filter, name, now_ns)).fold(all, TimeRange::both)
        }
        Filter::Field { field, test } if canonical(&field.name) == name => {
            let (low, high) = match test {
                Test::Cmp(CmpOp::Gt | CmpOp::Ge, low) => (Some(low), None),
                Test::Cmp(CmpOp::Lt | CmpOp::Le, high) => (None, Some(high)),
                Test::Range { low, high } => (bound(low), bound(high)),
                _ => return all,
            };
            // The filter itself sees to it whether a bound is inside.
            let at = |literal: Option<&Literal>| literal.and_then(|literal| literal.as_time(now_ns));
            TimeRange { first_ns: at(low).unwrap_or(i64::MIN), last_ns: at(high).unwrap_or(i64::MAX) }
        }
        _ => all,
    }
}

fn bound(bound: &Bound) -> Option<&Literal> {
    match bound {
        Bound::Open => None,
        Bound::Inclusive(literal) | Bound::Exclusive(literal) => Some(literal),
    }
}

/// A query as it was understood: its filter as a tree, an operator above what it joins, and its pipes.
pub fn tree(query: &Query) -> Vec<String> {
    fn add(filter: &Filter, depth: usize, lines: &mut Vec<String>) {
        let mut line = |text: &str| lines.push(format!("{}{text}", "  ".repeat(depth)));
        let (operator, inner) = match filter {
            Filter::And(inner) => ("AND", inner.as_slice()),
            Filter::Or(inner) => ("OR", inner.as_slice()),
            Filter::Not(inner) => ("NOT", std::slice::from_ref(&**inner)),
            term => return line(&term.to_string()),
        };
        line(operator);
        inner.iter().for_each(|filter| add(filter, depth + 1, lines));
    }
    let mut lines = Vec::new();
    add(&query.filter, 0, &mut lines);
    lines.extend(query.pipes.iter().map(|pipe| format!("| {pipe}")));
    lines
}

/// A warning when the range ends before the oldest event that is kept.
pub fn before_all(range: TimeRange, segments: &[Arc<dyn Segment>]) -> Option<Warning> {
    let begins = segments.iter().filter_map(|segment| segment.time_range()).map(|(min_ns, _)| min_ns);
    if begins.clone().any(|min_ns| min_ns <= range.last_ns) {
        return None;
    }
    let oldest_ns = begins.min()?;
    let message = || format!("the oldest event is of {}", clock::rfc3339(oldest_ns));
    (range.last_ns < oldest_ns).then(|| Warning::new("outside_retention", message()))
}

/// The range as far as there are rows, for rates and buckets: without an end it ends now, and without a beginning it
/// begins with the first row.
pub fn known_range(range: TimeRange, segments: &[Arc<dyn Segment>], now_ns: i64) -> TimeRange {
    let reached = segments.iter().filter(|segment| range.reaches(&***segment));
    let first_ns = match range.first_ns {
        i64::MIN => reached.filter_map(|segment| segment.time_range()).map(|(min, _)| min).min().unwrap_or(now_ns),
        first_ns => first_ns,
    };
    let last_ns = if range.last_ns == i64::MAX { now_ns } else { range.last_ns };
    TimeRange { first_ns, last_ns: last_ns.max(first_ns) }
}

/// The columns that events are shown with when nobody says: the others are within the rows.
const COLUMNS_DEFAULT: [&str; 4] = ["time", "level", "service", "message"];

impl Plan {
    pub fn new(query: &Query, range: TimeRange, order: Order) -> Plan {
        let mut plan = Plan {
            range,
            filter: query.filter.clone(),
            steps: Vec::new(),
            first: First::Events { order, limit: None },
            show: Show::All,
            rest: Vec::new(),
        };
        for pipe in &query.pipes {
            if plan.rest.is_empty() && plan.absorb(&pipe.kind) {
                continue;
            }
            plan.rest.push(pipe.kind.clone());
        }
        plan
    }

    /// Adds a pipe that makes columns; a choice of columns before it must not hide what it makes.
    fn derive(&mut self, pipe: &PipeKind) {
        let named = |names: Vec<String>| {
            names.into_iter().map(|name| Field { name, span: Span::default() }).collect::<Vec<Field>>()
        };
        let kept = match std::mem::take(&mut self.show) {
            Show::All => None,
            Show::Only(names) => Some(PipeKind::Fields { fields: named(names), exclude: false }),
            Show::Except(names) => Some(PipeKind::Fields { fields: named(names), exclude: true }),
        };
        self.steps.extend(kept);
        self.steps.push(pipe.clone());
    }

    /// The steps that make columns or choose rows, without those that choose columns: for who shows something else than rows.
    pub fn making(&self) -> impl Iterator<Item = &PipeKind> {
        self.steps.iter().filter(|pipe| !matches!(pipe, PipeKind::Fields { .. }))
    }

    /// Whether a step makes a column of this name.
    pub fn makes(&self, name: &str) -> bool {
        self.steps.iter().any(|pipe| steps::made(pipe).iter().any(|made| made == name))
    }

    /// Fields of events that rows are chosen, sorted and counted by, beside those of the filter.
    pub fn read_fields(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut add = |field: &Field| {
            names.insert(canonical(&field.name).to_owned());
        };
        for pipe in &self.steps {
            pipe_fields(pipe, &mut add);
            if matches!(pipe, PipeKind::Extract { from: None, .. }) {
                add(&Field { name: field::MESSAGE.to_owned(), span: Span::default() });
            }
        }
        match &self.first {
            First::Events { .. } | First::EventsTail { .. } => {}
            First::Sorted { keys, .. } => keys.iter().for_each(|key| add(&key.field)),
            First::Dedup { fields, .. } => names.extend(fields.iter().cloned()),
            First::Aggregate(pipe) => pipe_fields(pipe, &mut add),
        }
        names
    }

    /// The fields of a segment that a first stage gathers which names none.
    pub fn gathered(&self, segment: &dyn Segment) -> Vec<String> {
        let First::Aggregate(pipe) = &self.first else { return Vec::new() };
        Gather::new(pipe, 0).map_or_else(Vec::new, |gather| gather.columns(segment))
    }

    /// The columns that an answer of events names.
    pub fn columns(&self) -> Vec<String> {
        let mut shown: Vec<String> = match &self.show {
            Show::Only(names) => return names.clone(),
            Show::All => COLUMNS_DEFAULT.map(str::to_owned).to_vec(),
            Show::Except(hidden) => {
                let shown = COLUMNS_DEFAULT.into_iter().filter(|name| !hidden.iter().any(|hide| hide == name));
                shown.map(str::to_owned).collect()
            }
        };
        for name in self.steps.iter().flat_map(steps::made) {
            if !shown.contains(&name) {
                shown.push(name);
            }
        }
        shown
    }

    /// Takes a pipe into the first stage, if that leaves the meaning as it is.
    fn absorb(&mut self, pipe: &PipeKind) -> bool {
        let limited = match &self.first {
            First::Events { limit, .. } | First::Sorted { limit, .. } | First::Dedup { limit, .. } => limit.is_some(),
            First::EventsTail { .. } => true,
            First::Aggregate(_) => return false,
        };
        let deduped = matches!(self.first, First::Dedup { .. });
        match (pipe, &mut self.first) {
            (PipeKind::Where(filter), _) if !limited && !deduped => {
                if self.steps.is_empty() {
                    self.filter = and(std::mem::replace(&mut self.filter, Filter::All), filter.clone());
                } else {
                    self.steps.push(pipe.clone());
                }
                true
            }
            (pipe, _) if steps::derives(pipe) && !limited && !deduped => {
                self.derive(pipe);
                true
            }
            (PipeKind::Dedup { rows, fields }, First::Events { order, limit: None }) => {
                let fields = fields.iter().map(|field| canonical(&field.name).to_owned()).collect();
                self.first = First::Dedup { rows: *rows, fields, order: *order, limit: None };
                true
            }
            (PipeKind::Fields { fields, exclude }, _) => {
                let names: Vec<String> = fields.iter().map(|field| canonical(&field.name).to_owned()).collect();
                self.show = std::mem::take(&mut self.show).then(&names, *exclude);
                true
            }
            (PipeKind::Sort(keys), first) if !limited && !deduped => {
                *first = match &keys[..] {
                    [key] if canonical(&key.field.name) == field::TIME => {
                        let order = if key.descending { Order::Desc } else { Order::Asc };
                        First::Events { order, limit: None }
                    }
                    _ => First::Sorted { keys: keys.clone(), limit: None },
                };
                true
            }
            (
                PipeKind::Head(rows),
                First::Events { limit, .. } | First::Sorted { limit, .. } | First::Dedup { limit, .. },
            ) => {
                *limit = Some(limit.map_or(*rows, |limit| limit.min(*rows)));
                true
            }
            (PipeKind::Tail(rows), first @ First::Events { limit: None, .. }) => {
                let First::Events { order, .. } = *first else { return false };
                *first = First::EventsTail { order, limit: *rows };
                true
            }
            (pipe, first) if makes_rows(pipe) && !limited && !deduped => {
                *first = First::Aggregate(pipe.clone());
                true
            }
            _ => false,
        }
    }
}

/// Whether the rows behind a pipe are no longer events.
pub fn makes_rows(pipe: &PipeKind) -> bool {
    matches!(
        pipe,
        PipeKind::Stats { .. }
            | PipeKind::Timechart { .. }
            | PipeKind::Top { .. }
            | PipeKind::Facets(_)
            | PipeKind::Patterns { .. }
    )
}

fn and(left: Filter, right: Filter) -> Filter {
    match (left, right) {
        (Filter::All, other) | (other, Filter::All) => other,
        (Filter::And(mut all), other) => {
            all.push(other);
            Filter::And(all)
        }
        (left, right) => Filter::And(vec![left, right]),
    }
}

/// Calls `each` with every field that a filter names.
pub fn filter_fields(filter: &Filter, each: &mut dyn FnMut(&Field)) {
    match filter {
        Filter::All | Filter::Text(_) => {}
        Filter::And(filters) | Filter::Or(filters) => filters.iter().for_each(|filter| filter_fields(filter, each)),
        Filter::Not(inner) => filter_fields(inner, each),
        Filter::Field { field, test } => {
            each(field);
            if let Test::In(query) = test {
                filter_fields(&query.filter, each);
            }
        }
    }
}

fn pipe_fields(pipe: &PipeKind, each: &mut dyn FnMut(&Field)) {
    match pipe {
        PipeKind::Stats { aggs, by } => {
            aggs.iter().for_each(|agg| agg_fields(&agg.func, each));
            by.iter().for_each(|group| each(group_field(group)));
        }
        PipeKind::Timechart { aggs, by, .. } => {
            aggs.iter().for_each(|agg| agg_fields(&agg.func, each));
            by.iter().for_each(&mut *each);
        }
        PipeKind::Top { fields, by, .. } => fields.iter().chain(by).for_each(&mut *each),
        PipeKind::Sort(keys) => keys.iter().for_each(|key| each(&key.field)),
        PipeKind::Fields { fields, .. } | PipeKind::Dedup { fields, .. } => fields.iter().for_each(&mut *each),
        PipeKind::Context { by, .. } | PipeKind::Trace(by) => by.iter().for_each(&mut *each),
        PipeKind::Join { on, .. } => on.iter().for_each(&mut *each),
        PipeKind::Where(filter) => filter_fields(filter, each),
        pipe => steps::read_fields(pipe, each),
    }
}

pub fn group_field(group: &Group) -> &Field {
    match group {
        Group::Field(field) | Group::Bin { field, .. } => field,
    }
}

/// Calls `each` with the fields that a function reads.
pub fn agg_fields(func: &AggFunc, each: &mut dyn FnMut(&Field)) {
    match func {
        AggFunc::Count(None) | AggFunc::Rate => {}
        AggFunc::Count(Some(filter)) => filter_fields(filter, each),
        AggFunc::Distinct(field)
        | AggFunc::Sum(field)
        | AggFunc::Avg(field)
        | AggFunc::Min(field)
        | AggFunc::Max(field)
        | AggFunc::Percentile(field, _)
        | AggFunc::First(field)
        | AggFunc::Last(field)
        | AggFunc::Values(field)
        | AggFunc::Stddev(field) => each(field),
    }
}

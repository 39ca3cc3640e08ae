//! Aggregations in a live tail: what arrives during a window becomes one table at its end.
//!
//! A window is of the time of arrival, so each event is in exactly one, however late it is. What is stored already is
//! cut by the time of the events instead.

use arrow::record_batch::RecordBatch;
use logweir_proto::api::{Order, Row, Warning};
use logweir_proto::query::ast::{self, PipeKind, Query};
use logweir_proto::record::{EventId, field};

use crate::search::Error;
use crate::search::aggregate::Aggregator;
use crate::search::aggregate::group::floor;
use crate::search::cell::Value;
use crate::search::filter::{Context, Filter, Subquery};
use crate::search::mask::Mask;
use crate::search::pipes::{self, Gather, Ground};
use crate::search::plan::{First, Plan};
use crate::search::rows;
use crate::search::scan::TimeRange;
use crate::search::steps::Steps;
use crate::search::table::Table;

/// The length of a window when neither the query nor the request says.
pub const WINDOW_DEFAULT_NS: i64 = 10_000_000_000;
/// Shortest and longest window.
pub const WINDOW_MIN_NS: i64 = 1_000_000_000;
pub const WINDOW_MAX_NS: i64 = 3_600_000_000_000;
/// Most memory of one window, by estimate.
pub const WINDOW_BYTES_MAX: usize = 32 << 20;

/// What a window came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Window {
    pub first_ns: i64,
    /// The end, outside.
    pub end_ns: i64,
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
    pub warnings: Vec<Warning>,
    /// The last event that is in this window or an earlier one.
    pub last: Option<EventId>,
}

/// A query of a tail that ends in tables.
pub struct Windows {
    filter: Filter,
    steps: Steps,
    pipe: PipeKind,
    rest: Vec<PipeKind>,
    width_ns: i64,
    range: TimeRange,
    open: Open,
    last: Option<EventId>,
}

enum Open {
    Aggregate(Box<Aggregator>),
    Gather(Gather),
}

impl Windows {
    /// `None` when the query has no aggregation. The queries of `in(…)` before it run once, now.
    pub fn compile(
        query: &Query,
        every_ns: Option<i64>,
        now_ns: i64,
        subquery: &mut Subquery<'_>,
    ) -> Result<Option<Windows>, Error> {
        let plan = Plan::new(query, TimeRange::ALL, Order::Asc);
        let First::Aggregate(pipe) = plan.first else { return Ok(None) };
        if matches!(pipe, PipeKind::Patterns { new_ns: Some(_), .. }) {
            return Err(Error::Unsupported { what: "patterns new, in a live tail," });
        }
        let width_ns = match (&pipe, every_ns) {
            (_, Some(every_ns)) => every_ns,
            (PipeKind::Timechart { width_ns: Some(width_ns), .. }, None) => *width_ns,
            _ => WINDOW_DEFAULT_NS,
        };
        let width_ns = width_ns.clamp(WINDOW_MIN_NS, WINDOW_MAX_NS);
        let mut context = Context { now_ns, subquery };
        let mut compile = |filter: &ast::Filter| Filter::compile(filter, &mut context);
        let range = window_of(now_ns, width_ns);
        let mut windows = Windows {
            filter: compile(&plan.filter)?,
            steps: Steps::compile(&plan.steps, now_ns, &mut compile)?,
            open: Open::new(&pipe, range)?,
            pipe,
            rest: plan.rest,
            width_ns,
            range,
            last: None,
        };
        // A pipe that cannot run here is told before the first window, which nobody has put anything into.
        windows.close(now_ns)?;
        Ok(Some(windows))
    }

    /// The query of the stored events: the pipes before the aggregation.
    pub fn events_of(query: &Query) -> Query {
        let is_aggregation = |kind: &PipeKind| {
            let pipes = vec![ast::Pipe { kind: kind.clone(), span: ast::Span::default() }];
            let alone = Query { pipes, ..query.clone() };
            matches!(Plan::new(&alone, TimeRange::ALL, Order::Asc).first, First::Aggregate(_))
        };
        let before = query.pipes.iter().take_while(|pipe| !is_aggregation(&pipe.kind)).cloned().collect();
        Query { pipes: before, ..query.clone() }
    }

    pub fn width_ns(&self) -> i64 {
        self.width_ns
    }

    /// When the open window ends.
    pub fn end_ns(&self) -> i64 {
        self.range.last_ns.saturating_add(1)
    }

    /// The open window becomes that of this time; what is in it stays.
    pub fn move_to(&mut self, now_ns: i64) -> Result<(), Error> {
        self.range = window_of(now_ns, self.width_ns);
        self.open = Open::new(&self.pipe, self.range)?;
        Ok(())
    }

    /// Adds fresh rows whose id passes `is_new`.
    pub fn add(&mut self, batch: &RecordBatch, is_new: impl Fn(EventId) -> bool) -> Result<(), Error> {
        let ids = rows::ids(batch).unwrap_or_default();
        let new = Mask::from_fn(batch.num_rows(), |row| ids.get(row).is_none_or(|id| is_new(*id)));
        let mut mask = self.filter.eval(batch, &new);
        let mut batch = batch.clone();
        if !self.steps.is_empty() && !mask.is_empty() {
            (batch, mask) = self.steps.apply(batch, mask);
        }
        self.last = mask.rows().filter_map(|row| ids.get(row)).copied().chain(self.last).max();
        self.put(&batch, &mask)
    }

    /// Adds stored events, oldest first, which [`Windows::events_of`] gave; returns the windows that they end.
    pub fn replay(&mut self, events: Vec<(EventId, Row)>) -> Result<Vec<Window>, Error> {
        let mut ended = Vec::new();
        let mut run: Vec<(EventId, Row)> = Vec::new();
        for (id, row) in events {
            let window = window_of(id.time_ns, self.width_ns);
            if window.first_ns > self.range.first_ns || (self.last.is_none() && run.is_empty()) {
                self.put_events(std::mem::take(&mut run))?;
                if self.last.is_some() {
                    ended.push(self.close(id.time_ns)?);
                } else {
                    self.move_to(id.time_ns)?;
                }
            }
            run.push((id, row));
        }
        self.put_events(run)?;
        Ok(ended)
    }

    fn put_events(&mut self, events: Vec<(EventId, Row)>) -> Result<(), Error> {
        self.last = events.last().map(|(id, _)| *id).max(self.last);
        let events = events.into_iter().map(|(id, row)| {
            let fields = row.into_iter().map(|(name, json)| {
                let value = if name == field::TIME { Value::Time(id.time_ns) } else { Value::of_json(&name, &json) };
                (name, value)
            });
            (id, fields.collect())
        });
        match Table::of_events(events.collect()).to_batch() {
            Some(batch) if batch.num_rows() > 0 => self.put(&batch, &Mask::all(batch.num_rows())),
            _ => Ok(()),
        }
    }

    fn put(&mut self, batch: &RecordBatch, mask: &Mask) -> Result<(), Error> {
        match &mut self.open {
            Open::Aggregate(aggregator) => aggregator.add(batch, mask, &[]),
            Open::Gather(gather) => {
                let names: Vec<String> = rows::field_names(batch);
                gather.add(batch, mask, &names);
                Ok(())
            }
        }
    }

    /// Ends the open window and opens the one of this time.
    pub fn close(&mut self, now_ns: i64) -> Result<Window, Error> {
        let range = self.range;
        let next = window_of(now_ns.max(self.end_ns().saturating_sub(1)), self.width_ns);
        let open = std::mem::replace(&mut self.open, Open::new(&self.pipe, next)?);
        self.range = next;
        let (mut table, mut warnings) = match open {
            Open::Aggregate(aggregator) => aggregator.finish(),
            Open::Gather(gather) => gather.finish(),
        };
        let ground = Ground { range, bytes_max: WINDOW_BYTES_MAX, now_ns };
        let mut compile = |filter: &ast::Filter| Filter::compile_simple(filter, now_ns);
        for pipe in &self.rest {
            table = pipes::apply(table, pipe, ground, &mut compile, &mut warnings)?;
        }
        let columns = table.columns.clone();
        let rows = table.into_rows().map(|(_, row)| row).collect();
        let end_ns = range.last_ns.saturating_add(1);
        Ok(Window { first_ns: range.first_ns, end_ns, columns, rows, warnings, last: self.last })
    }
}

impl Open {
    fn new(pipe: &PipeKind, range: TimeRange) -> Result<Open, Error> {
        if let Some(gather) = Gather::new(pipe, range.first_ns) {
            return Ok(Open::Gather(gather));
        }
        let mut compile = |filter: &ast::Filter| Filter::compile_simple(filter, range.first_ns);
        Aggregator::new(pipe, range, WINDOW_BYTES_MAX, &mut compile)
            .map(|aggregator| Open::Aggregate(Box::new(aggregator)))
    }
}

fn window_of(time_ns: i64, width_ns: i64) -> TimeRange {
    let first_ns = floor(time_ns, width_ns);
    TimeRange { first_ns, last_ns: first_ns.saturating_add(width_ns - 1) }
}

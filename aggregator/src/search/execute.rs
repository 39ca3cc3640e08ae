//! Answers a query: runs its plan over segments and hands rows to a sink as soon as they are certain.

mod dedup;
mod estimate;
mod nested;
mod newest;
mod related;
mod sorted;
mod tables;

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use logweir_proto::api::{End, MissingRange, Order, Row, Stats, Warning};
use logweir_proto::query::ast::{self, PipeKind, Query};
use logweir_proto::record::EventId;
use logweir_runtime::clock;
use schemars::JsonSchema;
use serde::Serialize;

use self::newest::{Ended, Newest};
use super::Error;
use super::filter::{Context, Filter};
use super::mask::Mask;
use super::plan::{self, First, Plan};
use super::rows::{self, Show};
use super::scan::{BlockRef, Coverage, Patience, Reason, Scan, TimeRange};
use super::steps::Steps;
use crate::store::segment::Segment;

/// Rows of a page when the request does not say.
pub const LIMIT_DEFAULT: usize = 1000;

/// Most rows of one page.
pub const LIMIT_MAX: usize = 10_000;

/// Rows that are made at once: lines may be long.
const SHOWN_ROWS: usize = 512;

/// What to run a query with.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Start of the range, inside; `since:` in the query wins.
    pub from_ns: Option<i64>,
    /// End of the range, outside; `until:` in the query wins.
    pub to_ns: Option<i64>,
    pub limit: usize,
    pub order: Order,
    /// The last row of the page before.
    pub cursor: Option<EventId>,
    /// What to show of events; `raw` is the line as it was written.
    pub fields: Option<Vec<String>>,
    pub now_ns: i64,
    pub deadline: Instant,
    /// Most memory of each of its aggregations, by estimate.
    pub memory_bytes: usize,
    pub cancel: &'a AtomicBool,
}

impl Request<'_> {
    pub fn patience(&self) -> Patience<'_> {
        Patience { deadline: self.deadline, cancel: self.cancel }
    }
}

/// A piece of the answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Comes first, once.
    Meta {
        columns: Vec<String>,
        /// `false` when a pipe made the rows.
        events: bool,
        warnings: Vec<Warning>,
    },
    Row {
        id: Option<EventId>,
        row: Row,
    },
    Progress {
        splits_done: usize,
        splits_total: usize,
        bytes: u64,
        /// How far in time the rows that were given are all.
        covered_ns: Option<i64>,
    },
}

/// Takes the pieces; `Break` ends the search.
pub type Sink<'a> = dyn FnMut(Event) -> ControlFlow<()> + 'a;

/// How the answer ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    pub reason: Option<Reason>,
    pub missing: Vec<MissingRange>,
    pub rows: usize,
    /// Continues behind the last row; absent when there is no more.
    pub cursor: Option<EventId>,
    /// All of them, those of [`Event::Meta`] too.
    pub warnings: Vec<Warning>,
    pub stats: Stats,
}

impl Outcome {
    pub fn is_complete(&self) -> bool {
        self.reason.is_none()
    }

    /// The last frame of the answer, after `ms` milliseconds; without warnings, of which the first frame had some.
    pub fn into_end(self, ms: f64) -> End {
        End {
            complete: self.reason.is_none(),
            reason: self.reason.map(|reason| reason.as_str().to_owned()),
            missing: self.missing,
            rows: self.rows,
            warnings: Vec::new(),
            cursor: self.cursor.map(|cursor| cursor.to_string()),
            stats: Stats { ms, ..self.stats },
        }
    }

    pub(super) fn of(coverage: Coverage, rows: usize, cursor: Option<EventId>) -> Outcome {
        Outcome {
            reason: coverage.reason,
            missing: coverage.missing,
            rows,
            cursor,
            warnings: Vec::new(),
            stats: coverage.stats,
        }
    }
}

/// A row of an answer before it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowRef {
    pub id: EventId,
    pub block: BlockRef,
    pub row: u32,
}

/// What running a query would mean.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Explanation {
    pub from: String,
    /// `open` when nothing bounds it.
    pub to: String,
    /// How the query was understood, a term or a pipe a line, what belongs together further in.
    pub tree: Vec<String>,
    /// How rows leave the scan: events by time, events sorted, or an aggregation.
    pub first: &'static str,
    /// Pipes that run over what the scan gives.
    pub pipes_after: usize,
    /// Fields that the filter reads.
    pub filter_fields: Vec<String>,
    pub splits: usize,
    /// Splits with a block that may match.
    pub splits_opened: usize,
    pub blocks_in_range: usize,
    pub blocks_opened: usize,
    /// Rows of these blocks.
    pub rows_max: u64,
    /// Bytes of their columns that would be read from storage, estimated; rows that are in memory yet are none.
    pub bytes_estimate: u64,
    pub warnings: Vec<Warning>,
}

/// Plans a query and asks the indexes, but reads no rows; queries in `in(…)` do run.
pub fn explain(query: &Query, request: &Request<'_>, segments: &[Arc<dyn Segment>]) -> Result<Explanation, Error> {
    let range = plan::range(query, request.from_ns, request.to_ns, request.now_ns);
    let plan = Plan::new(query, range, request.order);
    let filter = compile(&plan.filter, range, request, segments, 0)?;
    let opened = Scan::new(segments, &filter, range, request.order, request.patience()).candidates();
    let reached = segments.iter().filter(|segment| range.reaches(&***segment));
    let in_range = reached.flat_map(|segment| segment.blocks()).filter(|block| range.overlaps(block));
    let mut warnings = plan::unknown_fields(query, range, segments);
    warnings.extend(plan::before_all(range, segments));
    let bytes_estimate = estimate::bytes(&plan, &filter, request.limit, &opened, segments);
    Ok(Explanation {
        from: clock::rfc3339(range.first_ns),
        to: if range.last_ns == i64::MAX { "open".to_owned() } else { clock::rfc3339(range.last_ns) },
        tree: plan::tree(query),
        first: match plan.first {
            First::Events { .. } | First::EventsTail { .. } => "events by time",
            First::Sorted { .. } => "events sorted",
            First::Dedup { .. } => "the first events of each value",
            First::Aggregate(_) => "aggregation",
        },
        pipes_after: plan.rest.len(),
        filter_fields: filter.columns().into_iter().map(str::to_owned).collect(),
        splits: segments.len(),
        splits_opened: opened.iter().map(|block| block.segment).collect::<HashSet<_>>().len(),
        blocks_in_range: in_range.count(),
        blocks_opened: opened.len(),
        rows_max: opened.iter().map(|block| u64::from(block.stat.rows)).sum(),
        bytes_estimate,
        warnings,
    })
}

/// An explanation as rows of a name and a value.
fn give_explanation(explanation: &Explanation, sink: &mut Sink<'_>) -> Outcome {
    let columns = ["part", "value"].map(str::to_owned);
    let mut outcome = Outcome { warnings: explanation.warnings.clone(), ..Outcome::default() };
    let meta = Event::Meta { columns: columns.to_vec(), events: false, warnings: explanation.warnings.clone() };
    if sink(meta).is_break() {
        return outcome;
    }
    let Ok(serde_json::Value::Object(parts)) = serde_json::to_value(explanation) else { return outcome };
    for (part, value) in parts.into_iter().filter(|(part, _)| part != "warnings") {
        let row = columns.iter().cloned().zip([part.into(), value]).collect();
        if sink(Event::Row { id: None, row }).is_break() {
            break;
        }
        outcome.rows += 1;
    }
    outcome
}

/// Runs a query. Blocks: call it on the CPU pool.
pub fn run(
    query: &Query,
    request: &Request<'_>,
    segments: &[Arc<dyn Segment>],
    sink: &mut Sink<'_>,
) -> Result<Outcome, Error> {
    run_nested(query, request, segments, sink, 0)
}

fn run_nested(
    query: &Query,
    request: &Request<'_>,
    segments: &[Arc<dyn Segment>],
    sink: &mut Sink<'_>,
    depth: u32,
) -> Result<Outcome, Error> {
    if let Some((last, before)) = query.pipes.split_last()
        && last.kind == PipeKind::Explain
    {
        let explained = Query { pipes: before.to_vec(), ..query.clone() };
        return Ok(give_explanation(&explain(&explained, request, segments)?, sink));
    }
    let range = plan::range(query, request.from_ns, request.to_ns, request.now_ns);
    let mut plan = Plan::new(query, range, request.order);
    if let Some(fields) = &request.fields {
        plan.show = plan.show.then(fields, false);
    }
    let mut warnings = plan::unknown_fields(query, range, segments);
    warnings.extend(plan::before_all(range, segments));
    if let Some(fields) = request.fields.as_ref().filter(|_| query.pipes.iter().all(|pipe| keeps_fields(&pipe.kind))) {
        warnings.extend(plan::unknown_asked(fields, range, segments));
    }
    let (filter, steps) = compile_rows(&plan, &plan.steps, request, segments, depth)?;
    let mut search =
        Search { query, request, segments, sink, filter: &filter, steps: &steps, plan: &plan, depth, warnings };
    search.run()
}

/// The filter of a plan and steps of it: what says which rows there are, and what they have.
pub(super) fn compile_rows<'p>(
    plan: &'p Plan,
    steps: impl IntoIterator<Item = &'p PipeKind>,
    request: &Request<'_>,
    segments: &[Arc<dyn Segment>],
    depth: u32,
) -> Result<(Filter, Steps), Error> {
    let mut compiled = |filter: &ast::Filter| compile(filter, plan.range, request, segments, depth);
    Ok((compiled(&plan.filter)?, Steps::compile(steps, request.now_ns, &mut compiled)?))
}

/// Whether rows behind a pipe have the fields of events and no others.
fn keeps_fields(pipe: &PipeKind) -> bool {
    matches!(
        pipe,
        PipeKind::Where(_)
            | PipeKind::Sort(_)
            | PipeKind::Head(_)
            | PipeKind::Tail(_)
            | PipeKind::Dedup { .. }
            | PipeKind::Sample(_)
    )
}

/// The values that the query of an `in(…)` finds over the range of a request, for who compiles without one.
pub fn values(query: &Query, request: &Request<'_>, segments: &[Arc<dyn Segment>]) -> Result<HashSet<String>, Error> {
    let range = plan::range(query, request.from_ns, request.to_ns, request.now_ns);
    nested::values(query, range, request, segments, 1)
}

/// Compiles a filter, running the queries within it.
pub(super) fn compile(
    filter: &ast::Filter,
    range: TimeRange,
    request: &Request<'_>,
    segments: &[Arc<dyn Segment>],
    depth: u32,
) -> Result<Filter, Error> {
    let mut subquery = |inner: &Query| nested::values(inner, range, request, segments, depth + 1);
    Filter::compile(filter, &mut Context { now_ns: request.now_ns, subquery: &mut subquery })
}

/// One run of one plan.
struct Search<'r, 's, 'k> {
    query: &'r Query,
    request: &'r Request<'r>,
    segments: &'r [Arc<dyn Segment>],
    sink: &'s mut Sink<'k>,
    filter: &'r Filter,
    steps: &'r Steps,
    plan: &'r Plan,
    depth: u32,
    warnings: Vec<Warning>,
}

impl Search<'_, '_, '_> {
    fn run(&mut self) -> Result<Outcome, Error> {
        let plan = self.plan;
        match &plan.first {
            First::Events { order, limit } if plan.rest.is_empty() => Ok(self.stream(*order, *limit)),
            First::Aggregate(pipe) => self.aggregate(pipe),
            _ => self.collected(),
        }
    }

    fn limit(&self) -> usize {
        self.request.limit.clamp(1, LIMIT_MAX)
    }

    fn meta(&mut self, columns: Vec<String>, events: bool) -> ControlFlow<()> {
        (self.sink)(Event::Meta { columns, events, warnings: self.warnings.clone() })
    }

    /// Events straight to the sink.
    fn stream(&mut self, order: Order, head: Option<usize>) -> Outcome {
        let columns = self.plan.columns();
        if self.meta(columns, true).is_break() {
            return Outcome::default();
        }
        // What the text says wins over the size of a page.
        let limit = head.map_or(self.limit(), |head| head.min(LIMIT_MAX));
        let newest = Newest { order, limit, cursor: self.request.cursor };
        let range = newest.left_of(self.plan.range);
        let scan = Scan::new(self.segments, self.filter, range, order, self.request.patience());
        let mut scan = scan.with_steps(self.steps);
        let (mut given, mut last, mut taken) = (0, None, self.request.cursor);
        let (sink, show) = (&mut *self.sink, &self.plan.show);
        let ended = newest.run(&mut scan, &mut |scan, refs| {
            last = refs.last().map(|row| row.id).or(last);
            for refs in refs.chunks(SHOWN_ROWS) {
                for (id, row) in materialise(scan, refs, show) {
                    sink(Event::Row { id: Some(id), row })?;
                    given += 1;
                    taken = Some(id);
                }
            }
            if refs.is_empty() {
                let (splits_done, splits_total) = (scan.splits_done(), scan.splits_total());
                let covered_ns = scan.bound_ns();
                sink(Event::Progress { splits_done, splits_total, bytes: scan.bytes(), covered_ns })?;
            }
            ControlFlow::Continue(())
        });
        let cursor = match ended {
            Ended::AllRows => None,
            // For a sink that took no more in time.
            Ended::NotWanted => taken,
            // A `head` that fits has been answered in full.
            Ended::Enough { more } => last.filter(|_| more && head.is_none_or(|head| head > limit)),
            Ended::Early { resume } => resume,
        };
        let enough = matches!(ended, Ended::Enough { .. } | Ended::NotWanted);
        Outcome { warnings: std::mem::take(&mut self.warnings), ..Outcome::of(scan.finish(enough), given, cursor) }
    }
}

/// Reads the columns that are shown, of these rows only, and gives them in the order of `refs`.
pub(super) fn materialise(scan: &mut Scan<'_>, refs: &[RowRef], show: &Show) -> Vec<(EventId, Row)> {
    let steps = scan.steps();
    let mut fields = show.fields();
    if let (Some(fields), Some(steps)) = (&mut fields, steps) {
        fields.extend(steps.inputs());
    }
    let mut shown: Vec<Option<(EventId, Row)>> = vec![None; refs.len()];
    let mut by_block: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for (place, row) in refs.iter().enumerate() {
        by_block.entry((row.block.segment, row.block.block)).or_default().push(place);
    }
    for mut places in by_block.into_values() {
        places.sort_unstable_by_key(|place| refs[*place].row);
        let block = refs[places[0]].block;
        let picked: Vec<u32> = places.iter().map(|place| refs[*place].row).collect();
        let Some(batch) = scan.read(&block, fields.as_ref(), Some(&picked)) else { continue };
        let raw = if show.wants_raw() { scan.raw(&block, &picked) } else { None };
        let batch = match steps {
            Some(steps) => {
                let all = Mask::all(batch.num_rows());
                steps.apply(batch, all).0
            }
            None => batch,
        };
        let rows = rows::rows(&batch, show, raw.as_deref());
        for (place, row) in places.into_iter().zip(rows) {
            shown[place] = Some((refs[place].id, row));
        }
    }
    shown.into_iter().flatten().collect()
}

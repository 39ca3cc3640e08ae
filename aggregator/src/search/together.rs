//! Many counts over one walk: each block is read once for all of them, and a test that several filters have in common is
//! made once.
//!
//! This is for rules: a hundred of them ask for the same stretch of time, each with a filter of its own. What is no plain
//! count, or of another time, is answered by itself.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use logweir_proto::api::{Order, Row};
use logweir_proto::query::ast::{self, Query};

use super::Error;
use super::aggregate::Aggregator;
use super::counted::counted;
use super::crew::{self, Look};
use super::execute::{self, Event, Outcome, Request};
use super::filter::Filter;
use super::filter::shared::{Asked, SharedBlock};
use super::plan::{self, First, Plan};
use super::scan::{BlockRef, Reader, Scan, TimeRange};
use crate::store::segment::Segment;

/// All rows of an answer, and how it ended.
pub type Whole = (Vec<Row>, Outcome);

/// Runs queries over the same segments; the answers are in their order, without warnings. Blocks: call it on the CPU pool.
pub fn run(queries: &[Query], request: &Request<'_>, segments: &[Arc<dyn Segment>]) -> Vec<Result<Whole, Error>> {
    let mut answers: Vec<Option<Result<Whole, Error>>> = queries.iter().map(|_| None).collect();
    let (mut shared, mut counts) = (None, Vec::new());
    for (place, query) in queries.iter().enumerate() {
        let range = plan::range(query, request.from_ns, request.to_ns, request.now_ns);
        match Count::new(query, range, request, segments) {
            Ok(Some(count)) if *shared.get_or_insert(range) == range => counts.push((place, count)),
            Ok(_) => answers[place] = Some(alone(query, request, segments)),
            Err(error) => answers[place] = Some(Err(error)),
        }
    }
    if let Some(range) = shared {
        let passing = segments.iter().map(|segment| segment.in_passing().unwrap_or_else(|| Arc::clone(segment)));
        let passing: Vec<Arc<dyn Segment>> = passing.collect();
        let places: Vec<usize> = counts.iter().map(|(place, _)| *place).collect();
        let counts = counts.into_iter().map(|(_, count)| count).collect();
        match walk(counts, range, request, &passing) {
            Ok(found) => places.iter().zip(found).for_each(|(place, whole)| answers[*place] = Some(Ok(whole))),
            // One of them has too many groups for its memory: each for itself says which.
            Err(_) => {
                places.iter().for_each(|place| answers[*place] = Some(alone(&queries[*place], request, segments)))
            }
        }
    }
    let lost = || Err(Error::Unsupported { what: "this query" });
    answers.into_iter().map(|answer| answer.unwrap_or_else(lost)).collect()
}

/// Runs a query by itself.
fn alone(query: &Query, request: &Request<'_>, segments: &[Arc<dyn Segment>]) -> Result<Whole, Error> {
    let mut rows = Vec::new();
    let mut sink = |event| {
        if let Event::Row { row, .. } = event {
            rows.push(row);
        }
        ControlFlow::Continue(())
    };
    let outcome = execute::run(query, request, segments, &mut sink)?;
    Ok((rows, outcome))
}

/// One of the counts.
#[derive(Clone)]
struct Count {
    filter: Filter,
    aggregator: Aggregator,
}

impl Count {
    /// `None` when the query is something else than a filter and a count: the order of rows would matter, or pipes.
    fn new(
        query: &Query,
        range: TimeRange,
        request: &Request<'_>,
        segments: &[Arc<dyn Segment>],
    ) -> Result<Option<Count>, Error> {
        let plan = Plan::new(query, range, Order::Desc);
        let First::Aggregate(pipe @ ast::PipeKind::Stats { .. }) = &plan.first else { return Ok(None) };
        if !plan.rest.is_empty() || !plan.steps.is_empty() {
            return Ok(None);
        }
        let known = plan::known_range(range, segments, request.now_ns);
        let mut compile = |filter: &ast::Filter| execute::compile(filter, range, request, segments, 0);
        let aggregator = Aggregator::new(pipe, known, request.memory_bytes, &mut compile)?;
        if aggregator.counts_only().is_none() {
            return Ok(None);
        }
        Ok(Some(Count { filter: compile(&plan.filter)?, aggregator }))
    }
}

/// What one thread has of the counts.
struct Share {
    counts: Vec<Count>,
    /// The segment that is looked at, and for each count which of its blocks may match.
    candidates: Option<(usize, Vec<Vec<bool>>)>,
}

/// What all threads know of the counts.
struct Ground<'c> {
    /// For each count the fields it groups by, and its width of time.
    by: Vec<(BTreeSet<&'c str>, Option<i64>)>,
    columns: Vec<BTreeSet<&'c str>>,
    asked: Asked,
}

fn walk(
    counts: Vec<Count>,
    range: TimeRange,
    request: &Request<'_>,
    segments: &[Arc<dyn Segment>],
) -> Result<Vec<Whole>, Error> {
    let any = Filter::any(counts.iter().map(|count| &count.filter));
    let ground = Ground {
        by: counts.iter().map(|count| count.aggregator.counts_only().unwrap_or_default()).collect(),
        columns: counts.iter().map(|count| count.aggregator.columns()).collect(),
        asked: Asked::by(counts.iter().map(|count| &count.filter)),
    };
    let mut scan = Scan::new(segments, &any, range, Order::Desc, request.patience());
    let look = |share: &mut Share, reader: Reader<'_>, block: &BlockRef| share.look(&ground, reader, block);
    let make = || Share { counts: counts.clone(), candidates: None };
    let shares = crew::each_block(&mut scan, make, &look)?;
    let coverage = scan.finish(false);
    let mut whole: Vec<Aggregator> = counts.iter().map(|count| count.aggregator.clone()).collect();
    for share in shares {
        for (aggregator, more) in whole.iter_mut().zip(share.counts) {
            aggregator.merge(more.aggregator)?;
        }
    }
    let limit = request.limit.clamp(1, execute::LIMIT_MAX);
    let answer = |aggregator: Aggregator| {
        let rows: Vec<Row> = aggregator.finish().0.into_rows().map(|(_, row)| row).take(limit).collect();
        let outcome = Outcome::of(coverage.clone(), rows.len(), None);
        (rows, outcome)
    };
    Ok(whole.into_iter().map(answer).collect())
}

impl Share {
    fn look(&mut self, ground: &Ground<'_>, reader: Reader<'_>, block: &BlockRef) -> Result<Look, Error> {
        let segment = reader.segment(block);
        if self.candidates.as_ref().is_none_or(|(place, _)| *place != block.segment) {
            let flags = self.counts.iter().map(|count| Reader::candidates_of(segment, &count.filter));
            self.candidates = Some((block.segment, flags.collect()));
        }
        let candidates = self.candidates.as_ref().map_or(&[][..], |(_, flags)| flags);
        let mut shared = None;
        for (place, count) in self.counts.iter_mut().enumerate() {
            let flags = candidates.get(place).map_or(&[][..], Vec::as_slice);
            if !flags.get(block.block).copied().unwrap_or(true) || !count.filter.may_match(segment, block.block) {
                continue;
            }
            let (by, width) = &ground.by[place];
            if let Some(known) = counted(segment, block, reader.range(), &count.filter, by, *width) {
                count.aggregator.add(&known.batch, &known.mask, &known.weights)?;
                continue;
            }
            let (source, within) = match &mut shared {
                Some(shared) => shared,
                slot => match reader.within(block) {
                    Ok(within) => {
                        let rows = block.stat.rows as usize;
                        slot.insert((SharedBlock::new(segment, block.block, rows, &ground.asked), within))
                    }
                    Err(error) => return Ok(Look::Failed(error)),
                },
            };
            let selected = source.eval(&count.filter, within).and_then(|mask| match mask.is_empty() {
                true => Ok(None),
                false => Ok(Some((source.batch(&ground.columns[place])?, mask))),
            });
            match selected {
                Ok(Some((batch, mask))) => count.aggregator.add(&batch, &mask, &[])?,
                Ok(None) => {}
                Err(error) => return Ok(Look::Failed(error)),
            }
        }
        Ok(if shared.is_some() { Look::Read } else { Look::Known })
    }
}

//! Queries within a query: those of `in(…)`, and what the pipes ask that look beyond their rows.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use logweir_proto::api::Order;
use logweir_proto::query::ast::Query;

use super::{Event, LIMIT_MAX, Request, Sink, run_nested};
use crate::search::Error;
use crate::search::scan::TimeRange;
use crate::store::segment::Segment;

/// Most values that a query in `in(…)` may yield.
pub(in crate::search) const SUBQUERY_VALUES_MAX: usize = 10_000;

/// Deepest nesting of queries.
pub(in crate::search) const SUBQUERY_DEPTH_MAX: u32 = 4;

/// A request for everything in a range, on behalf of another.
pub(super) fn over<'r>(range: TimeRange, request: &Request<'r>) -> Request<'r> {
    Request {
        from_ns: Some(range.first_ns),
        to_ns: (range.last_ns < i64::MAX).then(|| range.last_ns + 1),
        limit: LIMIT_MAX,
        order: Order::Desc,
        cursor: None,
        fields: None,
        ..request.clone()
    }
}

/// Gives all pages of a query to `take`, until that has enough. What is missing is an error: `what` cannot do without.
pub(super) fn all_pages(
    query: &Query,
    mut request: Request<'_>,
    segments: &[Arc<dyn Segment>],
    depth: u32,
    what: &'static str,
    take: &mut Sink<'_>,
) -> Result<(), Error> {
    if depth > SUBQUERY_DEPTH_MAX {
        return Err(Error::Limit { what: "the nesting of queries", limit: u64::from(SUBQUERY_DEPTH_MAX) });
    }
    loop {
        let mut enough = false;
        let mut sink = |event| {
            let flow = take(event);
            enough |= flow.is_break();
            flow
        };
        let outcome = run_nested(query, &request, segments, &mut sink, depth)?;
        if enough {
            return Ok(());
        }
        if let Some(reason) = outcome.reason {
            return Err(Error::Partial { what, reason: reason.as_str() });
        }
        match outcome.cursor {
            Some(cursor) => request.cursor = Some(cursor),
            None => return Ok(()),
        }
    }
}

/// The values that the query of an `in(…)` yields over the range of the query around it.
pub(super) fn values(
    query: &Query,
    range: TimeRange,
    request: &Request<'_>,
    segments: &[Arc<dyn Segment>],
    depth: u32,
) -> Result<HashSet<String>, Error> {
    let mut values = HashSet::new();
    let mut problem = None;
    let mut take = |event: Event| take_value(event, &mut values, &mut problem);
    all_pages(query, over(range, request), segments, depth, "in(…)", &mut take)?;
    problem.map_or(Ok(values), Err)
}

fn take_value(event: Event, values: &mut HashSet<String>, problem: &mut Option<Error>) -> ControlFlow<()> {
    match event {
        Event::Meta { columns, .. } if columns.len() != 1 => *problem = Some(Error::SubqueryColumns),
        Event::Row { row, .. } => {
            for value in row.into_iter().map(|(_, value)| value).filter(|value| !value.is_null()) {
                values.insert(match value {
                    serde_json::Value::String(text) => text,
                    other => other.to_string(),
                });
            }
            if values.len() > SUBQUERY_VALUES_MAX {
                *problem = Some(Error::Limit { what: "the values of in(…)", limit: SUBQUERY_VALUES_MAX as u64 });
            }
        }
        Event::Meta { .. } | Event::Progress { .. } => {}
    }
    if problem.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

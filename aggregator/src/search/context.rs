//! One event by its id, and its neighbours: the rows before and after it that share some of its fields.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use logweir_proto::api::{Order, Row};
use logweir_proto::query::ast::{self, Field, Filter, Literal, Query, Span, Test};
use logweir_proto::record::{EventId, field};

use super::Error;
use super::cell::{FieldColumns, Value, canonical};
use super::execute::{self, Event, Request, RowRef};
use super::filter;
use super::rows::{self, Show};
use super::scan::{Scan, TimeRange};
use crate::store::segment::Segment;

/// What neighbours share when nobody says.
pub const BY_DEFAULT: [&str; 2] = [field::SERVICE, field::HOST];

/// Most rows on either side.
pub const CONTEXT_ROWS_MAX: usize = 1000;

/// An event among its neighbours, in rising order.
#[derive(Debug, Clone, PartialEq)]
pub struct Context {
    pub before: Vec<(EventId, Row)>,
    pub event: (EventId, Row),
    pub after: Vec<(EventId, Row)>,
    /// `false` when a side may lack rows: the deadline passed or a block could not be read.
    pub complete: bool,
}

/// What is asked around an event.
#[derive(Debug, Clone)]
pub struct Around<'a> {
    pub id: EventId,
    pub before: usize,
    pub after: usize,
    /// Neighbours have the values of the event in these fields, or lack them as it does.
    pub by: &'a [String],
}

/// The event with this id; `None` when there is none. Of the request only fields, deadline and cancellation matter.
pub fn event(id: EventId, request: &Request<'_>, segments: &[Arc<dyn Segment>]) -> Option<(EventId, Row)> {
    let all = filter::Filter::all();
    let mut scan = scan_at(id, &all, request, segments);
    let found = find(id, &mut scan, &BTreeSet::new())?.0;
    execute::materialise(&mut scan, &[found], &show(request)).pop()
}

/// The event and its neighbours; `None` when there is no such event.
pub fn context(
    around: &Around<'_>,
    request: &Request<'_>,
    segments: &[Arc<dyn Segment>],
) -> Result<Option<Context>, Error> {
    let all = filter::Filter::all();
    let mut scan = scan_at(around.id, &all, request, segments);
    let by: BTreeSet<&str> = around.by.iter().map(|name| canonical(name)).collect();
    let Some((found, values)) = find(around.id, &mut scan, &by) else { return Ok(None) };
    let Some(event) = execute::materialise(&mut scan, &[found], &show(request)).pop() else { return Ok(None) };
    let same = by.iter().zip(&values).map(|(name, value)| same_value(name, value)).collect();
    let query = Query { filter: Filter::And(same), since: None, until: None, pipes: Vec::new() };
    let (mut before, whole_before) = side(&query, around.id, Order::Desc, around.before, request, segments)?;
    let (after, whole_after) = side(&query, around.id, Order::Asc, around.after, request, segments)?;
    before.reverse();
    Ok(Some(Context { before, event, after, complete: whole_before && whole_after }))
}

fn show(request: &Request<'_>) -> Show {
    request.fields.as_ref().map_or(Show::All, |fields| Show::Only(fields.clone()))
}

fn scan_at<'a>(
    id: EventId,
    all: &'a filter::Filter,
    request: &'a Request<'_>,
    segments: &'a [Arc<dyn Segment>],
) -> Scan<'a> {
    let range = TimeRange { first_ns: id.time_ns, last_ns: id.time_ns };
    Scan::new(segments, all, range, Order::Desc, request.patience())
}

/// The place of an event and its values of some fields.
fn find(id: EventId, scan: &mut Scan<'_>, by: &BTreeSet<&str>) -> Option<(RowRef, Vec<Value>)> {
    let fields: BTreeSet<&str> = by.iter().copied().chain([field::TIME, field::SEQ]).collect();
    while let Some(block) = scan.next_block() {
        let Some((batch, _)) = scan.select(&block, &fields) else { continue };
        let Some(ids) = rows::ids(&batch) else { continue };
        if let Ok(row) = ids.binary_search(&id) {
            let values = by.iter().map(|name| FieldColumns::new(&batch, name).cell(row).to_value());
            return Some((RowRef { id, block, row: row as u32 }, values.collect()));
        }
    }
    None
}

fn same_value(name: &str, value: &Value) -> Filter {
    let field = Field { name: name.to_owned(), span: Span::default() };
    if value.is_null() {
        return Filter::Not(Box::new(Filter::Field { field, test: Test::Exists }));
    }
    // Quoted, a value is compared as it is printed, whatever its type.
    let literal = Literal { text: value.text().into_owned(), quoted: true, span: Span::default() };
    Filter::Field { field, test: Test::Exact(literal) }
}

/// Rows on one side of the event, the nearest first, and whether none can be missing.
fn side(
    query: &ast::Query,
    id: EventId,
    order: Order,
    limit: usize,
    request: &Request<'_>,
    segments: &[Arc<dyn Segment>],
) -> Result<(Vec<(EventId, Row)>, bool), Error> {
    if limit == 0 {
        return Ok((Vec::new(), true));
    }
    let (from_ns, to_ns) = match order {
        Order::Desc => (i64::MIN, id.time_ns.checked_add(1)),
        Order::Asc => (id.time_ns, None),
    };
    let limit = limit.min(CONTEXT_ROWS_MAX);
    let request = Request { from_ns: Some(from_ns), to_ns, limit, order, cursor: Some(id), ..request.clone() };
    let mut found = Vec::new();
    let outcome = execute::run(query, &request, segments, &mut |event| {
        if let Event::Row { id: Some(id), row } = event {
            found.push((id, row));
        }
        ControlFlow::Continue(())
    })?;
    Ok((found, outcome.is_complete()))
}

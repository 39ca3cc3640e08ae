//! Pipes that ask the store again: `context`, `trace`, `compare` and `join`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

use logweir_proto::api::{Row, Warning};
use logweir_proto::query::ast::{Field, Filter, Literal, Pipe, PipeKind, Query, Span, Test};
use logweir_proto::record::{EventId, field};

use super::nested::{self, SUBQUERY_VALUES_MAX};
use super::{Event, LIMIT_MAX, Request, Search};
use crate::search::Error;
use crate::search::cell::{Value, canonical};
use crate::search::context::{self, Around, BY_DEFAULT};
use crate::search::pipes::dedup_key;
use crate::search::plan;
use crate::search::table::{Table, TableRow};

/// Rows whose neighbours `context` looks for; those behind them are left out, with a warning.
pub(in crate::search) const CONTEXT_HITS_MAX: usize = 100;

/// Rows of the right side of a `join`, and of its answer.
pub(in crate::search) const JOIN_ROWS_MAX: usize = 100_000;

impl<'r> Search<'r, '_, '_> {
    /// The answer of a pipe that looks beyond its rows; `place` is its place in the query. `None` for any other pipe.
    pub(super) fn relate(&mut self, table: &Table, place: usize, pipe: &PipeKind) -> Result<Option<Table>, Error> {
        match pipe {
            PipeKind::Context { before, after, by } => self.neighbours(table, (*before, *after), by).map(Some),
            PipeKind::Trace(by) => self.traced(table, by).map(Some),
            PipeKind::Compare { shift_ns } => self.compared(table, place, *shift_ns).map(Some),
            PipeKind::Join { left, on, query } => self.joined(table, *left, on, query).map(Some),
            _ => Ok(None),
        }
    }

    fn warn(&mut self, warn: &str, message: String) {
        self.warnings.push(Warning::new(warn, message));
    }

    /// The rows and what stands around them, each event once, in rising order.
    fn neighbours(&mut self, table: &Table, (before, after): (usize, usize), by: &[Field]) -> Result<Table, Error> {
        let ids: Vec<EventId> = table.rows.iter().filter_map(|row| row.id).collect();
        if ids.is_empty() && !table.rows.is_empty() {
            return Err(Error::Misplaced { what: "context", needs: "events, not a table," });
        }
        if ids.len() > CONTEXT_HITS_MAX {
            self.warn("rows_truncated", format!("context was looked for around the first {CONTEXT_HITS_MAX} rows"));
        }
        let by: Vec<String> = match by {
            [] => BY_DEFAULT.map(str::to_owned).to_vec(),
            by => by.iter().map(|field| canonical(&field.name).to_owned()).collect(),
        };
        let request = Request { fields: None, cursor: None, ..self.request.clone() };
        let mut found: BTreeMap<EventId, Row> = BTreeMap::new();
        for id in ids.into_iter().take(CONTEXT_HITS_MAX) {
            let around = Around { id, before, after, by: &by };
            let Some(context) = context::context(&around, &request, self.segments)? else { continue };
            if !context.complete {
                return Err(Error::Partial { what: "context", reason: "timeout" });
            }
            found.extend(context.before.into_iter().chain([context.event]).chain(context.after));
        }
        Ok(table_of_events(found))
    }

    /// All events of the range that share a value of `by` with one of the rows.
    fn traced(&mut self, table: &Table, by: &[Field]) -> Result<Table, Error> {
        let default = [field_named(field::TRACE_ID)];
        let by = if by.is_empty() { &default[..] } else { by };
        let mut filters = Vec::new();
        for field in by {
            let Some(place) = table.column(canonical(&field.name)) else { continue };
            let values: BTreeSet<String> = table
                .rows
                .iter()
                .map(|row| &row.values[place])
                .filter(|value| !value.is_null())
                .map(|value| value.text().into_owned())
                .collect();
            if values.len() > SUBQUERY_VALUES_MAX {
                return Err(Error::Limit { what: "the values of trace", limit: SUBQUERY_VALUES_MAX as u64 });
            }
            let literals = values.into_iter().map(|text| Literal { text, quoted: true, span: Span::default() });
            let test = Test::AnyOf(literals.collect());
            filters.push(Filter::Field { field: field.clone(), test });
        }
        let none = filters
            .iter()
            .all(|filter| matches!(filter, Filter::Field { test: Test::AnyOf(values), .. } if values.is_empty()));
        if none {
            return Ok(Table::default());
        }
        let query = Query { filter: Filter::Or(filters), since: None, until: None, pipes: Vec::new() };
        let rows = self.ask(&query, "trace", self.within(), LIMIT_MAX)?;
        if rows.len() >= LIMIT_MAX {
            self.warn("rows_truncated", format!("trace shows the newest {LIMIT_MAX} rows"));
        }
        Ok(table_of_events(rows.into_iter().filter_map(|(id, row)| Some((id?, row)))))
    }

    /// Adds what each column was `shift_ns` earlier, and the difference.
    fn compared(&mut self, table: &Table, place: usize, shift_ns: i64) -> Result<Table, Error> {
        let before = &self.query.pipes[..place.min(self.query.pipes.len())];
        let (keys, measures) = self.keys_and_measures(before, table)?;
        let range = self.known_range();
        let request = Request {
            from_ns: Some(range.first_ns.saturating_sub(shift_ns)),
            to_ns: Some(range.last_ns.saturating_sub(shift_ns).saturating_add(1)),
            now_ns: self.request.now_ns.saturating_sub(shift_ns),
            ..self.within()
        };
        let query = Query { since: None, until: None, pipes: before.to_vec(), ..self.query.clone() };
        let shifted = |value: &Value| match value {
            Value::Time(ns) => Value::Time(ns.saturating_add(shift_ns)),
            value => value.clone(),
        };
        let mut earlier: HashMap<String, Row> = HashMap::new();
        for (_, row) in self.ask(&query, "compare", request, JOIN_ROWS_MAX)? {
            let key: Vec<Value> = keys.iter().map(|name| shifted(&value_of(&row, name))).collect();
            earlier.insert(join_key(key.into_iter()), row);
        }
        let mut columns = table.columns.clone();
        columns.extend(measures.iter().flat_map(|name| [format!("{name}_prev"), format!("{name}_delta")]));
        let rows = table.rows.iter().map(|row| {
            let value = |name: &String| table.column(name).map_or(Value::Null, |place| row.values[place].clone());
            let past = earlier.get(&join_key(keys.iter().map(value)));
            let mut values = row.values.clone();
            for name in &measures {
                let previous = past.map_or(Value::Null, |past| value_of(past, name));
                let delta = difference(&value(name), &previous);
                values.extend([previous, delta]);
            }
            TableRow { id: row.id, values }
        });
        Ok(Table { rows: rows.collect(), columns })
    }

    /// The columns that name a row of a table, and those that measure it.
    fn keys_and_measures(&self, before: &[Pipe], table: &Table) -> Result<(Vec<String>, Vec<String>), Error> {
        let misplaced = Error::Misplaced { what: "compare", needs: "stats, timechart or top" };
        let shaping = before.iter().rev().find(|pipe| plan::makes_rows(&pipe.kind)).ok_or(misplaced)?;
        let measured: Vec<String> = match &shaping.kind {
            PipeKind::Stats { aggs, .. } | PipeKind::Timechart { aggs, .. } => {
                aggs.iter().map(|agg| agg.column()).collect()
            }
            _ => ["count", "percent", "distinct"].map(str::to_owned).to_vec(),
        };
        let made = before.iter().flat_map(|pipe| crate::search::steps::made(&pipe.kind));
        let measured: BTreeSet<String> = measured.into_iter().chain(made).collect();
        Ok(table.columns.iter().cloned().partition(|name| !measured.contains(name)))
    }

    /// Every row with the columns of the rows of another query that have the same values in `on`.
    fn joined(&mut self, table: &Table, left: bool, on: &[Field], query: &Query) -> Result<Table, Error> {
        let on: Vec<String> = on.iter().map(|field| canonical(&field.name).to_owned()).collect();
        let right = self.ask(query, "join", self.within(), JOIN_ROWS_MAX + 1)?;
        if right.len() > JOIN_ROWS_MAX {
            return Err(Error::Limit { what: "the right side of a join", limit: JOIN_ROWS_MAX as u64 });
        }
        let mut columns = table.columns.clone();
        // From the names of the right side to the places of their columns.
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut by_key: HashMap<String, Vec<Row>> = HashMap::new();
        for (_, row) in right {
            for name in row.keys().filter(|name| !on.contains(name)) {
                places.entry(name.clone()).or_insert_with(|| {
                    let taken = columns.iter().any(|column| column == name);
                    columns.push(if taken { format!("{name}_right") } else { name.clone() });
                    columns.len() - 1
                });
            }
            let key = on.iter().map(|name| value_of(&row, name));
            by_key.entry(join_key(key)).or_default().push(row);
        }
        let mut rows = Vec::new();
        for row in &table.rows {
            let key = on.iter().map(|name| table.column(name).map_or(Value::Null, |place| row.values[place].clone()));
            let matches = by_key.get(&join_key(key)).map_or(&[][..], Vec::as_slice);
            let mut wide = row.clone();
            wide.values.resize(columns.len(), Value::Null);
            if matches.is_empty() && left {
                rows.push(wide.clone());
            }
            for other in matches {
                let mut joined = wide.clone();
                for (name, value) in other {
                    if let Some(place) = places.get(name) {
                        joined.values[*place] = answered(name, value);
                    }
                }
                rows.push(joined);
            }
            if rows.len() > JOIN_ROWS_MAX {
                return Err(Error::Limit { what: "the rows of a join", limit: JOIN_ROWS_MAX as u64 });
            }
        }
        Ok(Table { columns, rows })
    }

    /// A request over the range of this query.
    fn within(&self) -> Request<'r> {
        nested::over(self.plan.range, self.request)
    }

    /// The rows of another query, at most `most`; all of them, or an error.
    fn ask(
        &self,
        query: &Query,
        what: &'static str,
        request: Request<'_>,
        most: usize,
    ) -> Result<Vec<(Option<EventId>, Row)>, Error> {
        let mut rows = Vec::new();
        let mut take = |event: Event| {
            if let Event::Row { id, row } = event {
                rows.push((id, row));
            }
            if rows.len() >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        nested::all_pages(query, request, self.segments, self.depth + 1, what, &mut take)?;
        Ok(rows)
    }
}

fn field_named(name: &str) -> Field {
    Field { name: name.to_owned(), span: Span::default() }
}

fn value_of(row: &Row, name: &str) -> Value {
    row.get(name).map_or(Value::Null, |value| answered(name, value))
}

fn table_of_events(events: impl IntoIterator<Item = (EventId, Row)>) -> Table {
    let typed = |(id, row): (EventId, Row)| {
        let fields = row.into_iter().map(|(name, json)| {
            let value = Value::of_json(&name, &json);
            (name, value)
        });
        (id, fields.collect())
    };
    Table::of_events(events.into_iter().map(typed).collect())
}

/// A value of the answer to another query, whose lists are those of `values(…)`.
fn answered(name: &str, value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Array(values) => Value::List(values.iter().map(|value| answered(name, value)).collect()),
        value => Value::of_json(name, value),
    }
}

/// Keys are compared as they are printed: 500 and "500" are the same user to whoever joins or compares them.
fn join_key(values: impl Iterator<Item = Value>) -> String {
    dedup_key(values.map(|value| match value {
        Value::Null => Value::Null,
        value => Value::Text(value.text().into()),
    }))
}

fn difference(now: &Value, before: &Value) -> Value {
    match (now, before) {
        (Value::Int(now), Value::Int(before)) => now.checked_sub(*before).map_or(Value::Null, Value::Int),
        _ => match (now.cell().number(), before.cell().number()) {
            (Some(now), Some(before)) => Value::Float(now - before),
            _ => Value::Null,
        },
    }
}

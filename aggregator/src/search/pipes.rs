//! Pipes over rows that are there already: a table that a pipe made, or events that a `head` has cut.

use std::cmp::Ordering;
use std::collections::HashMap;

use arrow::record_batch::RecordBatch;
use logweir_proto::api::Warning;
use logweir_proto::query::ast::{Field, PipeKind, SortKey};

use super::Error;
use super::aggregate::{Aggregator, CompileFilter};
use super::cell::{Value, canonical};
use super::facets::Counters;
use super::mask::Mask;
use super::order::SortValue;
use super::patterns::Patterns;
use super::scan::TimeRange;
use super::steps::{self, Steps};
use super::table::{Table, TableRow};
use crate::store::segment::Segment;

/// What pipes need to know beside their rows; `range` and `bytes_max` are those of an [`Aggregator`].
#[derive(Debug, Clone, Copy)]
pub struct Ground {
    pub range: TimeRange,
    pub bytes_max: usize,
    pub now_ns: i64,
}

/// `facets` or `patterns` under way: aggregations whose columns are not known before the rows.
pub enum Gather {
    Facets(Counters),
    Patterns(Box<Patterns>),
}

impl Gather {
    pub fn new(pipe: &PipeKind, now_ns: i64) -> Option<Gather> {
        match pipe {
            PipeKind::Facets(limit) => Some(Gather::Facets(Counters::new(*limit))),
            PipeKind::Patterns { new_ns, limit } => {
                let since_ns = new_ns.map(|new_ns| now_ns.saturating_sub(new_ns));
                Some(Gather::Patterns(Box::new(Patterns::new(since_ns, *limit))))
            }
            _ => None,
        }
    }

    /// The fields that it wants of a segment.
    pub fn columns(&self, segment: &dyn Segment) -> Vec<String> {
        match self {
            Gather::Facets(_) => Counters::columns(segment),
            Gather::Patterns(_) => Patterns::columns(),
        }
    }

    /// Events of the time before this are wanted first, by [`Gather::add_old`].
    pub fn old_before_ns(&self) -> Option<i64> {
        match self {
            Gather::Facets(_) => None,
            Gather::Patterns(patterns) => patterns.since_ns(),
        }
    }

    pub fn add_old(&mut self, batch: &RecordBatch, mask: &Mask) {
        if let Gather::Patterns(patterns) = self {
            patterns.add_old(batch, mask);
        }
    }

    /// Adds rows, of these fields.
    pub fn add(&mut self, batch: &RecordBatch, mask: &Mask, fields: &[String]) {
        match self {
            Gather::Facets(facets) => facets.add(batch, mask, fields),
            Gather::Patterns(patterns) => patterns.add(batch, mask),
        }
    }

    pub fn finish(self) -> (Table, Vec<Warning>) {
        match self {
            Gather::Facets(facets) => facets.finish(),
            Gather::Patterns(patterns) => patterns.finish(),
        }
    }
}

/// Runs a pipe over a table.
pub fn apply(
    mut table: Table,
    pipe: &PipeKind,
    ground: Ground,
    compile: &mut CompileFilter<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Table, Error> {
    match pipe {
        PipeKind::Where(_) => {
            let steps = Steps::compile([pipe], ground.now_ns, compile)?;
            if let Some(batch) = table.to_batch() {
                let all = Mask::all(batch.num_rows());
                let (_, mask) = steps.apply(batch, all);
                let mut row = 0;
                table.rows.retain(|_| {
                    row += 1;
                    mask.has(row - 1)
                });
            }
        }
        pipe if steps::derives(pipe) => {
            let steps = Steps::compile([pipe], ground.now_ns, compile)?;
            if let Some(batch) = table.to_batch() {
                let all = Mask::all(batch.num_rows());
                let (batch, mask) = steps.apply(batch, all);
                table = table.replaced(&batch, &mask);
            }
        }
        PipeKind::Dedup { rows, fields } => dedup(&mut table, *rows, fields),
        PipeKind::Facets(_) | PipeKind::Patterns { .. } => {
            if let (Some(mut gather), Some(batch)) = (Gather::new(pipe, ground.now_ns), table.to_batch()) {
                gather.add(&batch, &Mask::all(batch.num_rows()), &table.columns);
                let (made, more) = gather.finish();
                warnings.extend(more);
                table = made;
            }
        }
        PipeKind::Sort(keys) => sort(&mut table, keys),
        PipeKind::Head(rows) => table.rows.truncate(*rows),
        PipeKind::Tail(rows) => drop(table.rows.drain(..table.rows.len().saturating_sub(*rows))),
        PipeKind::Fields { fields, exclude } => {
            let names: Vec<String> = fields.iter().map(|field| canonical(&field.name).to_owned()).collect();
            table = table.select(&names, *exclude);
        }
        PipeKind::Stats { .. } | PipeKind::Timechart { .. } | PipeKind::Top { .. } => {
            let mut aggregator = Aggregator::new(pipe, ground.range, ground.bytes_max, compile)?;
            // `first` and `last` are of time also behind a `head`, whose events are newest first.
            table.rows.sort_by_key(|row| row.id);
            if let Some(batch) = table.to_batch() {
                aggregator.add(&batch, &Mask::all(batch.num_rows()), &[])?;
            }
            let (made, more) = aggregator.finish();
            warnings.extend(more);
            table = made;
        }
        // Pipes that ask the store again are run where it is known.
        _ => return Err(Error::Unsupported { what: "a pipe that looks beyond its rows" }),
    }
    Ok(table)
}

/// Keeps the first `rows` rows of each combination of values.
fn dedup(table: &mut Table, rows: usize, fields: &[Field]) {
    let places: Vec<Option<usize>> = fields.iter().map(|field| table.column(canonical(&field.name))).collect();
    let mut seen: HashMap<String, usize> = HashMap::new();
    table.rows.retain(|row| {
        let key = dedup_key(places.iter().map(|place| place.map_or(Value::Null, |place| row.values[place].clone())));
        let count = seen.entry(key).or_default();
        *count += 1;
        *count <= rows
    });
}

/// Equal for rows with equal values, whatever is in their text.
pub fn dedup_key(values: impl Iterator<Item = Value>) -> String {
    serde_json::Value::Array(values.map(|value| value.to_json()).collect()).to_string()
}

fn sort(table: &mut Table, keys: &[SortKey]) {
    let places: Vec<Option<usize>> = keys.iter().map(|key| table.column(canonical(&key.field.name))).collect();
    let mut keyed: Vec<(Vec<SortValue>, TableRow)> = table
        .rows
        .drain(..)
        .map(|row| {
            let values = keys.iter().zip(&places).map(|(key, place)| match place {
                Some(place) => SortValue::new(&key.field.name, &row.values[*place].cell()),
                None => SortValue::Missing,
            });
            (values.collect(), row)
        })
        .collect();
    keyed.sort_by(|(a, _), (b, _)| compare(a, b, keys));
    table.rows.extend(keyed.into_iter().map(|(_, row)| row));
}

/// The order of two rows by their sort values.
pub fn compare(a: &[SortValue], b: &[SortValue], keys: &[SortKey]) -> Ordering {
    let orders = keys.iter().zip(a.iter().zip(b)).map(|(key, (a, b))| a.compare(b, key.descending));
    orders.fold(Ordering::Equal, Ordering::then)
}

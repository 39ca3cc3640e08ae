//! Pipes over rows that are there already: a table that a pipe made, or events that a `head` has cut.

use std::cmp::Ordering;

use logweir_proto::api::Warning;
use logweir_proto::query::ast::{PipeKind, SortKey};

use super::Error;
use super::aggregate::{Aggregator, CompileFilter};
use super::cell::canonical;
use super::mask::Mask;
use super::order::SortValue;
use super::scan::TimeRange;
use super::table::{Table, TableRow};

/// Runs a pipe over a table; `range` and `bytes_max` are those of an [`Aggregator`].
pub fn apply(
    mut table: Table,
    pipe: &PipeKind,
    range: TimeRange,
    bytes_max: usize,
    compile: &mut CompileFilter<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Table, Error> {
    match pipe {
        PipeKind::Where(filter) => {
            let filter = compile(filter)?;
            if let Some(batch) = table.to_batch() {
                let mask = filter.eval(&batch, &Mask::all(batch.num_rows()));
                let mut row = 0;
                table.rows.retain(|_| {
                    row += 1;
                    mask.has(row - 1)
                });
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
            let mut aggregator = Aggregator::new(pipe, range, bytes_max, compile)?;
            if let Some(batch) = table.to_batch() {
                aggregator.add(&batch, &Mask::all(batch.num_rows()), &[])?;
            }
            let (made, more) = aggregator.finish();
            warnings.extend(more);
            table = made;
        }
    }
    Ok(table)
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

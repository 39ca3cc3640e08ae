//! Pipes that look at one row at a time, over whole batches: `where`, `fields`, `rename`, `parse`, `rex`, `json`,
//! `logfmt`, `eval` and `sample`.
//!
//! They run between the filter and whatever takes the rows: a step adds or takes away columns and rows of the mask, but
//! never moves a row. So the place of a row in its block stays its place, and the columns that are shown can be read
//! later and be put through the same steps.

mod expr;
mod extract;
mod set;

use std::collections::BTreeSet;

use arrow::record_batch::RecordBatch;
use logweir_proto::query::ast::{Field, PipeKind};
use logweir_proto::record::{EventId, field};

use self::expr::Computed;
use self::extract::Extract;
use self::set::with_fields;
use super::Error;
use super::aggregate::CompileFilter;
use super::cell::{FieldColumns, Value, canonical, field_of_column};
use super::filter::Filter;
use super::mask::Mask;
use super::rows::{self, Show};

/// Row-wise pipes, ready to run one after the other.
#[derive(Debug, Clone, Default)]
pub struct Steps {
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
enum Step {
    Where(Filter),
    Keep(Show),
    Rename(Vec<(String, String)>),
    Extract(Extract),
    Eval(Vec<(String, Computed)>),
    /// Events whose hash is below this stay.
    Sample(u64),
}

/// Whether a pipe is row-wise and more than a filter or a choice of columns.
pub fn derives(pipe: &PipeKind) -> bool {
    matches!(pipe, PipeKind::Rename(_) | PipeKind::Extract { .. } | PipeKind::Eval(_) | PipeKind::Sample(_))
}

/// The names that a pipe gives to columns, as far as its text says.
pub fn made(pipe: &PipeKind) -> Vec<String> {
    match pipe {
        PipeKind::Rename(pairs) => pairs.iter().map(|(_, to)| to.name.clone()).collect(),
        PipeKind::Eval(assignments) => assignments.iter().map(|(field, _)| field.name.clone()).collect(),
        PipeKind::Extract { extractor, .. } => extract::names(extractor),
        _ => Vec::new(),
    }
}

/// Calls `each` with the fields that a row-wise pipe reads; those of filters and `fields` are asked elsewhere.
pub fn read_fields(pipe: &PipeKind, each: &mut dyn FnMut(&Field)) {
    match pipe {
        PipeKind::Rename(pairs) => pairs.iter().for_each(|(from, _)| each(from)),
        PipeKind::Extract { from, .. } => from.iter().for_each(each),
        PipeKind::Eval(assignments) => assignments.iter().for_each(|(_, expr)| expr::fields(expr, each)),
        _ => {}
    }
}

impl Steps {
    /// Compiles row-wise pipes; any other is refused.
    pub fn compile<'a>(
        pipes: impl IntoIterator<Item = &'a PipeKind>,
        now_ns: i64,
        compile: &mut CompileFilter<'_>,
    ) -> Result<Steps, Error> {
        let steps = pipes.into_iter().map(|pipe| {
            Ok(match pipe {
                PipeKind::Where(filter) => Step::Where(compile(filter)?),
                PipeKind::Fields { fields, exclude } => {
                    let names: Vec<String> = fields.iter().map(|field| canonical(&field.name).to_owned()).collect();
                    Step::Keep(Show::All.then(&names, *exclude))
                }
                PipeKind::Rename(pairs) => {
                    Step::Rename(pairs.iter().map(|(from, to)| (from.name.clone(), to.name.clone())).collect())
                }
                PipeKind::Extract { extractor, from } => Step::Extract(Extract::new(extractor, from.as_ref())?),
                PipeKind::Eval(assignments) => Step::Eval(
                    assignments.iter().map(|(field, expr)| (field.name.clone(), Computed::new(expr, now_ns))).collect(),
                ),
                // Rates lie in (0, 1]: the product fits, and 1 saturates to the maximum.
                PipeKind::Sample(rate) => Step::Sample((rate * u64::MAX as f64) as u64),
                _ => return Err(Error::Unsupported { what: "this pipe" }),
            })
        });
        Ok(Steps { steps: steps.collect::<Result<_, Error>>()? })
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The fields of rows that the steps read.
    pub fn inputs(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        for step in &self.steps {
            match step {
                Step::Where(filter) => names.extend(filter.columns()),
                Step::Rename(pairs) => names.extend(pairs.iter().flat_map(|(from, to)| [from.as_str(), to.as_str()])),
                Step::Extract(extract) => names.extend(extract.inputs()),
                Step::Eval(assignments) => names.extend(assignments.iter().flat_map(|(_, expr)| expr.inputs())),
                Step::Sample(_) => names.extend([field::TIME, field::SEQ]),
                Step::Keep(_) => {}
            }
        }
        names
    }

    /// Runs all steps over the rows of `mask`. The batch that comes out has as many rows.
    pub fn apply(&self, mut batch: RecordBatch, mut mask: Mask) -> (RecordBatch, Mask) {
        for step in &self.steps {
            match step {
                Step::Where(filter) => mask = filter.eval(&batch, &mask),
                Step::Sample(below) => mask = sampled(&batch, &mask, *below),
                Step::Keep(show) => batch = kept(&batch, show),
                Step::Rename(pairs) => batch = renamed(&batch, pairs),
                Step::Extract(extract) => batch = with_fields(&batch, extract.run(&batch, &mask)),
                Step::Eval(assignments) => {
                    for (name, expr) in assignments {
                        let values = expr.run(&batch, &mask);
                        batch = with_fields(&batch, vec![(name.clone(), values)]);
                    }
                }
            }
        }
        (batch, mask)
    }
}

/// The rows that belong to the sample: a function of the event alone, so the same ones every time.
fn sampled(batch: &RecordBatch, mask: &Mask, below: u64) -> Mask {
    let ids = rows::ids(batch);
    let hash = |row: usize| match ids.as_ref().and_then(|ids| ids.get(row)) {
        Some(EventId { time_ns, seq }) => mixed(time_ns.cast_unsigned() ^ seq.rotate_left(32)),
        None => mixed(row as u64),
    };
    let mut kept = Mask::none(batch.num_rows());
    mask.rows().filter(|row| hash(*row) <= below).for_each(|row| kept.set(row));
    kept
}

/// The finaliser of SplitMix64: every bit of the result depends on every bit of `x`.
fn mixed(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Only the columns that are shown; what makes a row an event stays.
fn kept(batch: &RecordBatch, show: &Show) -> RecordBatch {
    let hidden: Vec<String> = match show {
        Show::All => return batch.clone(),
        Show::Except(names) => names.clone(),
        Show::Only(names) => {
            let mut named: Vec<(String, Vec<Value>)> = Vec::new();
            for name in names.iter().filter(|name| !is_place(name)) {
                named.push((name.clone(), column(batch, name)));
            }
            let place: Vec<usize> = place_columns(batch);
            let place = batch.project(&place).unwrap_or_else(|_| batch.clone());
            return with_fields(&place, named);
        }
    };
    let absent = || vec![Value::Null; batch.num_rows()];
    with_fields(batch, hidden.into_iter().filter(|name| !is_place(name)).map(|name| (name, absent())).collect())
}

/// Time and number: the place of an event in the order of all.
fn is_place(name: &str) -> bool {
    name == field::TIME || name == field::SEQ
}

fn place_columns(batch: &RecordBatch) -> Vec<usize> {
    let schema = batch.schema_ref();
    (0..schema.fields().len()).filter(|index| is_place(field_of_column(schema.field(*index).name()))).collect()
}

fn renamed(batch: &RecordBatch, pairs: &[(String, String)]) -> RecordBatch {
    let mut set: Vec<(String, Vec<Value>)> = Vec::new();
    for (from, to) in pairs.iter().filter(|(from, to)| from != to) {
        // One that was renamed within the same pipe.
        let earlier = set.iter_mut().find(|(name, _)| name == from);
        let values = match earlier {
            Some((_, values)) => std::mem::replace(values, vec![Value::Null; batch.num_rows()]),
            None => column(batch, from),
        };
        set.retain(|(name, _)| name != from && name != to);
        set.push((from.clone(), vec![Value::Null; batch.num_rows()]));
        set.push((to.clone(), values));
    }
    with_fields(batch, set)
}

fn column(batch: &RecordBatch, name: &str) -> Vec<Value> {
    let columns = FieldColumns::new(batch, name);
    (0..batch.num_rows()).map(|row| columns.cell(row).to_value()).collect()
}

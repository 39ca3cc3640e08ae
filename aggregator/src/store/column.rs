//! Columns: which (field, type) stands in which Arrow column, and under which name.
//!
//! Inside the store a record batch always has the columns `time`, `seq`, one for every [`ColumnKey`], `_extra`,
//! `_shape` (the skeleton of the line) and `_raw` (the line itself where no skeleton rebuilds it). Readers get the
//! ones that [`super::segment`] names; `_ingested` is made of `seq` ([`super::receipts`]).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use logweir_proto::record::field;

use super::block::texts::numbered;
use super::segment::{Counts, FieldStat, Projection};
use super::split::derived::DERIVED;
use super::split::hashes::Seeded;

/// Most columns of a block or split; fields beyond go into [`EXTRA`]. The canonical fields always have their column.
pub const COLUMNS_MAX: usize = 1000;

/// Most names of fields in [`EXTRA`] that a segment lists.
pub const EXTRA_NAMES_MAX: usize = 4096;

pub const EXTRA: &str = "_extra";
pub const SHAPE: &str = "_shape";
pub const RAW: &str = "_raw";

/// Columns before the first field.
pub const FIELD_COLUMNS_AT: usize = 2;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Str,
    Int,
    Float,
    Bool,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Str, Kind::Int, Kind::Float, Kind::Bool];

    pub const fn name(self) -> &'static str {
        match self {
            Kind::Str => "str",
            Kind::Int => "int",
            Kind::Float => "float",
            Kind::Bool => "bool",
        }
    }

    pub fn of_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub fn data_type(self) -> DataType {
        match self {
            Kind::Str => DataType::Utf8,
            Kind::Int => DataType::Int64,
            Kind::Float => DataType::Float64,
            Kind::Bool => DataType::Boolean,
        }
    }
}

/// One column: a field in one of its types.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnKey {
    pub field: Arc<str>,
    pub kind: Kind,
}

/// Whether a field may have a column of its own: names that would be taken for other columns may not.
pub fn may_be_column(name: &str) -> bool {
    let reserved = [field::TIME, field::SEQ, field::INGESTED, EXTRA, SHAPE, RAW, DERIVED].contains(&name);
    !reserved && name.rsplit_once('#').is_none_or(|(_, suffix)| Kind::of_name(suffix).is_none())
}

/// Whether a field is canonical.
pub fn is_canonical(name: &str) -> bool {
    field::ALL.contains(&name)
}

/// The columns of a batch.
#[derive(Debug)]
pub struct Layout {
    keys: Vec<ColumnKey>,
    index: HashMap<ColumnKey, usize>,
    schema: SchemaRef,
}

impl Layout {
    /// Keys in the order of columns; of a field's types the first has the plain name.
    pub fn new(keys: Vec<ColumnKey>) -> Layout {
        let mut plain: HashSet<&str> = HashSet::with_capacity(keys.len());
        let mut fields = Vec::with_capacity(keys.len() + 5);
        fields.push(Field::new(field::TIME, DataType::Int64, false));
        fields.push(Field::new(field::SEQ, DataType::UInt64, false));
        for key in &keys {
            let name = if plain.insert(&key.field) {
                key.field.to_string()
            } else {
                format!("{}#{}", key.field, key.kind.name())
            };
            fields.push(Field::new(name, key.kind.data_type(), true));
        }
        fields.push(Field::new(EXTRA, DataType::Utf8, true));
        fields.push(Field::new(SHAPE, DataType::UInt32, true));
        fields.push(Field::new(RAW, DataType::Binary, true));
        let index = keys.iter().enumerate().map(|(i, key)| (key.clone(), i + FIELD_COLUMNS_AT)).collect();
        Layout { index, schema: Arc::new(Schema::new(fields)), keys }
    }

    pub fn keys(&self) -> &[ColumnKey] {
        &self.keys
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Columns in the order of the layout as a batch. Texts may be numbered: the schema of the batch says so.
    pub fn batch(&self, columns: Vec<ArrayRef>) -> Result<RecordBatch, ArrowError> {
        if columns.iter().zip(self.schema.fields()).all(|(column, field)| column.data_type() == field.data_type()) {
            return RecordBatch::try_new(Arc::clone(&self.schema), columns);
        }
        let typed = |(field, column): (&Arc<Field>, &ArrayRef)| match column.data_type() {
            same if same == field.data_type() => Arc::clone(field),
            other => Arc::new(Field::new(field.name(), other.clone(), field.is_nullable())),
        };
        let fields: Vec<Arc<Field>> = self.schema.fields().iter().zip(&columns).map(typed).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
    }

    /// The place of a column in the batch.
    pub fn column(&self, key: &ColumnKey) -> Option<usize> {
        self.index.get(key).copied()
    }

    /// The places of the columns of a field.
    pub fn columns_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (usize, Kind)> + 'a {
        let found = self.keys.iter().enumerate().filter(move |(_, key)| &*key.field == name);
        found.map(|(i, key)| (i + FIELD_COLUMNS_AT, key.kind))
    }

    pub fn extra(&self) -> usize {
        self.keys.len() + FIELD_COLUMNS_AT
    }

    pub fn shape(&self) -> usize {
        self.extra() + 1
    }

    pub fn raw(&self) -> usize {
        self.extra() + 2
    }

    /// The columns that a reader gets, ascending.
    pub fn project(&self, projection: &Projection, has_extra: bool) -> Vec<usize> {
        // A set costs more than to compare a few names.
        const COMPARED_MAX: usize = 4;
        let names = match projection {
            Projection::All => return (0..self.extra() + usize::from(has_extra)).collect(),
            Projection::Fields(names) => names,
        };
        let set: HashSet<&str> =
            names.iter().map(String::as_str).take(if names.len() > COMPARED_MAX { names.len() } else { 0 }).collect();
        let is_wanted = |name: &str| match names.len() {
            ..=COMPARED_MAX => names.iter().any(|wanted| wanted == name),
            _ => set.contains(name),
        };
        let first = [field::TIME, field::SEQ].into_iter().enumerate().filter(|(_, name)| is_wanted(name));
        let mut columns: Vec<usize> = first.map(|(column, _)| column).collect();
        let found = self.keys.iter().enumerate().filter(|(_, key)| is_wanted(&key.field));
        // What a line says under the name of the receive time, in a split from before there was one.
        let found = found.filter(|(_, key)| &*key.field != field::INGESTED);
        columns.extend(found.map(|(i, _)| i + FIELD_COLUMNS_AT));
        if has_extra && is_wanted(EXTRA) {
            columns.push(self.extra());
        }
        columns
    }
}

/// Adds what is known of fields in one part of a segment to what is known of the whole.
pub fn add_stats(into: &mut BTreeMap<String, FieldStat>, more: &BTreeMap<String, FieldStat>) {
    for (name, stat) in more {
        match into.get_mut(name) {
            Some(have) => {
                have.rows += stat.rows;
                for kind in &stat.types {
                    if !have.types.contains(kind) {
                        have.types.push(kind);
                    }
                }
            }
            None => {
                into.insert(name.clone(), stat.clone());
            }
        }
    }
}

/// Most distinct values of a field whose counts are kept per block.
pub const COUNTED_VALUES_MAX: usize = 64;

/// The fields whose values are counted per block.
pub const COUNTED_FIELDS: [&str; 5] = [field::LEVEL, field::STATUS, field::SERVICE, field::HOST, field::SOURCE];

/// How often each value of a column occurs, most frequent first; `None` when there are too many, or when it is of
/// a type that is not counted.
pub fn count_values(array: &ArrayRef, kind: Kind) -> Option<Counts> {
    let mut counts: Counts = match kind {
        Kind::Str if numbered(array).is_some() => count_numbers(array)?,
        Kind::Str => {
            let values = array.as_string::<i32>();
            let present = (0..values.len()).filter(|&i| values.is_valid(i)).map(|i| values.value(i));
            count_runs(present)?.into_iter().map(|(value, n)| (value.to_owned(), n)).collect()
        }
        Kind::Int => {
            let values = array.as_primitive::<Int64Type>();
            let present = (0..values.len()).filter(|&i| values.is_valid(i)).map(|i| values.value(i));
            count_runs(present)?.into_iter().map(|(value, n)| (value.to_string(), n)).collect()
        }
        Kind::Float | Kind::Bool => return None,
    };
    sort_counts(&mut counts);
    Some(counts)
}

/// [`count_values`] of a column whose texts are numbered.
fn count_numbers(array: &ArrayRef) -> Option<Counts> {
    let (keys, values) = numbered(array)?;
    let mut counts = vec![0u32; values.len()];
    keys.iter().flatten().for_each(|key| counts[usize::from(key)] += 1);
    let found = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    let counts: Counts =
        found.take(COUNTED_VALUES_MAX + 1).map(|(key, count)| (values.value(key).to_owned(), *count)).collect();
    (counts.len() <= COUNTED_VALUES_MAX).then_some(counts)
}

/// Most frequent first.
pub fn sort_counts(counts: &mut Counts) {
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
}

fn count_runs<T: Hash + Eq + Copy>(values: impl Iterator<Item = T>) -> Option<Vec<(T, u32)>> {
    let mut counts: Vec<(T, u32)> = Vec::new();
    let mut places: HashMap<T, usize, Seeded> = HashMap::default();
    let mut last = 0;
    for value in values {
        if counts.get(last).is_none_or(|(have, _)| *have != value) {
            last = match places.get(&value) {
                Some(at) => *at,
                None if counts.len() == COUNTED_VALUES_MAX => return None,
                None => {
                    counts.push((value, 0));
                    places.insert(value, counts.len() - 1);
                    counts.len() - 1
                }
            };
        }
        counts[last].1 += 1;
    }
    Some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_types_of_a_field_get_a_suffix() {
        let key = |field: &str, kind| ColumnKey { field: field.into(), kind };
        let layout = Layout::new(vec![key("a", Kind::Int), key("b", Kind::Str), key("a", Kind::Str)]);
        let names: Vec<_> = layout.schema().fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(names, ["time", "seq", "a", "b", "a#str", "_extra", "_shape", "_raw"]);
        let fields = |names: [&str; 3]| Projection::Fields(names.map(str::to_owned).to_vec());
        assert_eq!(layout.project(&fields(["a", "x", "_extra"]), false), [2, 4]);
        assert_eq!(layout.project(&fields(["seq", "b", "_extra"]), true), [1, 3, 5]);
        assert_eq!(layout.project(&Projection::All, true), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn names_that_look_like_other_columns_get_none() {
        for name in ["time", "seq", "_ingested", "_raw", "_shape", "_extra", "a#int", "#str"] {
            assert!(!may_be_column(name), "{name}");
        }
        for name in ["a", "a#", "a#b", "#", "raw", "int"] {
            assert!(may_be_column(name), "{name}");
        }
    }
}

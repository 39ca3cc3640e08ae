//! Rows that a pipe made, and their way back into columns, so that further pipes run on the same engine.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use logweir_proto::api::Row;
use logweir_proto::record::EventId;

use super::cell::{FieldColumns, TIME_KEY, Value, field_of_column, is_time};
use super::mask::Mask;

/// Named columns of values, row by row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    pub columns: Vec<String>,
    pub rows: Vec<TableRow>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct TableRow {
    /// Of rows that are events.
    pub id: Option<EventId>,
    pub values: Vec<Value>,
}

impl Table {
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    /// The table as a record batch with the column conventions of a segment.
    pub fn to_batch(&self) -> Option<RecordBatch> {
        let mut fields = Vec::new();
        let mut arrays = Vec::new();
        for (index, name) in self.columns.iter().enumerate() {
            for (field, array) in arrays_of(name, &self.rows.iter().map(|row| &row.values[index])) {
                fields.push(field);
                arrays.push(array);
            }
        }
        batch(fields, arrays, self.rows.len())
    }

    /// The rows as they are shown; values that are not there are null, so that every row has every column.
    pub fn into_rows(self) -> impl Iterator<Item = (Option<EventId>, Row)> {
        let columns = self.columns;
        self.rows.into_iter().map(move |row| {
            let shown = columns.iter().zip(&row.values);
            (row.id, shown.map(|(name, value)| (name.clone(), value.to_json())).collect())
        })
    }

    /// Only these columns, in this order; or all but these.
    pub fn select(self, names: &[String], exclude: bool) -> Table {
        let places: Vec<usize> = if exclude {
            (0..self.columns.len()).filter(|place| !names.contains(&self.columns[*place])).collect()
        } else {
            names.iter().filter_map(|name| self.column(name)).collect()
        };
        let row = |row: TableRow| TableRow {
            id: row.id,
            values: places.iter().map(|place| row.values[*place].clone()).collect(),
        };
        Table {
            columns: places.iter().map(|place| self.columns[*place].clone()).collect(),
            rows: self.rows.into_iter().map(row).collect(),
        }
    }

    /// The same rows, as far as they are in `mask`, with the columns of `batch`, which was made of this table.
    pub fn replaced(self, batch: &RecordBatch, mask: &Mask) -> Table {
        let mut columns: Vec<String> = Vec::new();
        for field in batch.schema_ref().fields() {
            let name = field_of_column(field.name());
            if !columns.iter().any(|known| known == name) {
                columns.push(name.to_owned());
            }
        }
        let cells: Vec<FieldColumns<'_>> = columns.iter().map(|name| FieldColumns::new(batch, name)).collect();
        let places: Vec<Option<usize>> = columns.iter().map(|name| self.column(name)).collect();
        let value = |column: &FieldColumns<'_>, place: Option<usize>, row: usize| {
            let value = column.cell(row).to_value();
            // A batch has no lists: one that went through it as text is what it was.
            match place.map(|place| &self.rows[row].values[place]) {
                Some(list @ Value::List(_)) if list.text() == value.text() => list.clone(),
                _ => value,
            }
        };
        let rows = self.rows.iter().enumerate().filter(|(row, _)| mask.has(*row)).map(|(row, of)| TableRow {
            id: of.id,
            values: cells.iter().zip(&places).map(|(column, place)| value(column, *place, row)).collect(),
        });
        Table { rows: rows.collect(), columns: columns.clone() }
    }

    /// A table of events; a field is a column when any of them has it.
    pub fn of_events(events: Vec<(EventId, Vec<(String, Value)>)>) -> Table {
        let mut table = Table::default();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (id, fields) in events {
            let mut values = vec![Value::Null; table.columns.len()];
            for (name, value) in fields {
                let place = *places.entry(name).or_insert_with_key(|name| {
                    table.columns.push(name.clone());
                    table.columns.len() - 1
                });
                if place >= values.len() {
                    values.resize(place + 1, Value::Null);
                }
                values[place] = value;
            }
            table.rows.push(TableRow { id: Some(id), values });
        }
        for row in &mut table.rows {
            row.values.resize(table.columns.len(), Value::Null);
        }
        table
    }
}

pub fn batch(fields: Vec<Field>, arrays: Vec<ArrayRef>, rows: usize) -> Option<RecordBatch> {
    // A batch without columns still has rows.
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options).ok()
}

/// The typed columns of one field: the type that comes first has the plain name.
pub fn arrays_of<'a>(name: &str, values: &(impl Iterator<Item = &'a Value> + Clone)) -> Vec<(Field, ArrayRef)> {
    let mut kinds: Vec<Kind> = Vec::new();
    let mut is_time = false;
    for value in values.clone() {
        let Some(kind) = Kind::of(value) else { continue };
        is_time |= matches!(value, Value::Time(_));
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let mut columns = Vec::with_capacity(kinds.len());
    for (place, kind) in kinds.into_iter().enumerate() {
        let array: ArrayRef = match kind {
            Kind::Text => Arc::new(values.clone().map(Value::as_text).collect::<StringArray>()),
            Kind::Int => Arc::new(values.clone().map(Value::as_int).collect::<Int64Array>()),
            Kind::Float => Arc::new(values.clone().map(Value::as_float).collect::<Float64Array>()),
            Kind::Bool => Arc::new(values.clone().map(Value::as_bool).collect::<BooleanArray>()),
        };
        let (data_type, suffix) = kind.column();
        let name = if place == 0 { name.to_owned() } else { format!("{name}{suffix}") };
        let mut field = Field::new(name, data_type, true);
        if is_time && kind == Kind::Int {
            field = field.with_metadata(HashMap::from([(TIME_KEY.to_owned(), "1".to_owned())]));
        }
        columns.push((field, array));
    }
    columns
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Int,
    Float,
    Bool,
}

impl Kind {
    fn of(value: &Value) -> Option<Kind> {
        match value {
            Value::Null => None,
            Value::Bool(_) => Some(Kind::Bool),
            Value::Int(_) | Value::Time(_) => Some(Kind::Int),
            Value::Float(_) => Some(Kind::Float),
            Value::Text(_) | Value::List(_) => Some(Kind::Text),
        }
    }

    fn column(self) -> (DataType, &'static str) {
        match self {
            Kind::Text => (DataType::Utf8, "#str"),
            Kind::Int => (DataType::Int64, "#int"),
            Kind::Float => (DataType::Float64, "#float"),
            Kind::Bool => (DataType::Boolean, "#bool"),
        }
    }
}

impl Value {
    fn as_text(&self) -> Option<String> {
        match self {
            Value::Text(_) | Value::List(_) => Some(self.text().into_owned()),
            _ => None,
        }
    }

    fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(value) | Value::Time(value) => Some(*value),
            _ => None,
        }
    }

    fn as_float(&self) -> Option<f64> {
        if let Value::Float(value) = self { Some(*value) } else { None }
    }

    fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(value) = self { Some(*value) } else { None }
    }

    /// The value of a JSON value; arrays and objects are their text.
    pub fn of_json(name: &str, json: &serde_json::Value) -> Value {
        match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(*value),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(value) if is_time(name) => Value::Time(value),
                Some(value) => Value::Int(value),
                None => number.as_f64().map_or(Value::Null, Value::Float),
            },
            serde_json::Value::String(text) => match text.parse::<jiff::Timestamp>() {
                Ok(time) if is_time(name) => Value::Time(i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)),
                _ => Value::Text(text.as_str().into()),
            },
            nested => Value::Text(nested.to_string().into()),
        }
    }
}

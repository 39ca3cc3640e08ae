//! One value of one row, wherever it is kept: the typed columns of a field, or the overflow column.

use std::borrow::Cow;

use arrow::array::{
    Array, AsArray, BooleanArray, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray, UInt16Array,
    UInt64Array,
};
use arrow::datatypes::UInt16Type;
use logweir_proto::record::field;
use logweir_runtime::clock;
use memchr::memmem;

/// The column of the fields that have none of their own.
pub const EXTRA: &str = "_extra";

/// Metadata of an Arrow field whose Int64 values are nanoseconds since the epoch; `time` needs none.
pub const TIME_KEY: &str = "logweir.time";

/// Endings of the further typed columns of a field.
pub const TYPE_SUFFIXES: [&str; 4] = ["#int", "#float", "#bool", "#str"];

/// The field that a column belongs to.
pub fn field_of_column(column: &str) -> &str {
    TYPE_SUFFIXES.iter().find_map(|suffix| column.strip_suffix(suffix)).unwrap_or(column)
}

/// `_time` is accepted for `time`: it is what other languages of this kind call it.
pub fn canonical(name: &str) -> &str {
    if name == "_time" { field::TIME } else { name }
}

/// Fields whose numbers are times.
pub fn is_time(name: &str) -> bool {
    name == field::TIME || name == field::INGESTED
}

/// A value where it lies.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Nanoseconds since the epoch.
    Time(i64),
    Text(Cow<'a, str>),
}

/// A value on its own.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Time(i64),
    Text(Box<str>),
    List(Vec<Value>),
}

impl Cell<'_> {
    pub fn is_null(&self) -> bool {
        matches!(self, Cell::Null)
    }

    /// The number it is, or that its text spells.
    pub fn number(&self) -> Option<f64> {
        match self {
            Cell::Int(v) | Cell::Time(v) => Some(*v as f64),
            Cell::Float(v) => Some(*v),
            Cell::Text(text) => number_of_text(text),
            Cell::Null | Cell::Bool(_) => None,
        }
    }

    pub fn to_value(&self) -> Value {
        match self {
            Cell::Null => Value::Null,
            Cell::Bool(v) => Value::Bool(*v),
            Cell::Int(v) => Value::Int(*v),
            Cell::Float(v) => Value::Float(*v),
            Cell::Time(v) => Value::Time(*v),
            Cell::Text(text) => Value::Text(text.as_ref().into()),
        }
    }
}

impl Value {
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(v) => (*v).into(),
            Value::Int(v) => (*v).into(),
            // NaN and infinities have no JSON.
            Value::Float(v) => serde_json::Number::from_f64(*v).map_or(serde_json::Value::Null, Into::into),
            Value::Time(ns) => clock::rfc3339(*ns).into(),
            Value::Text(text) => text.as_ref().into(),
            Value::List(values) => values.iter().map(Value::to_json).collect(),
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    pub fn cell(&self) -> Cell<'_> {
        match self {
            Value::Null => Cell::Null,
            Value::Bool(v) => Cell::Bool(*v),
            Value::Int(v) => Cell::Int(*v),
            Value::Float(v) => Cell::Float(*v),
            Value::Time(v) => Cell::Time(*v),
            Value::Text(text) => Cell::Text(Cow::Borrowed(text)),
            Value::List(_) => Cell::Text(Cow::Owned(self.to_json().to_string())),
        }
    }

    /// As people read it: text without quotes.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Value::Null => Cow::Borrowed(""),
            Value::Text(text) => Cow::Borrowed(text),
            other => match other.to_json() {
                serde_json::Value::String(text) => Cow::Owned(text),
                json => Cow::Owned(json.to_string()),
            },
        }
    }
}

/// The decimal number that the whole text is, if it is one.
pub fn number_of_text(text: &str) -> Option<f64> {
    // `inf` and `nan` are words in a log, not numbers.
    let last = text.as_bytes().last()?;
    if !(last.is_ascii_digit() || *last == b'.') {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// One typed column.
#[derive(Debug, Clone, Copy)]
pub enum Column<'a> {
    Text(&'a StringArray),
    /// Texts by their number in a list of values.
    Numbered(&'a UInt16Array, &'a StringArray),
    Int(&'a Int64Array),
    Time(&'a Int64Array),
    Unsigned(&'a UInt64Array),
    Float(&'a Float64Array),
    Bool(&'a BooleanArray),
}

impl<'a> Column<'a> {
    /// The column at `index`, if it is of a type that rows have.
    pub fn at(batch: &'a RecordBatch, index: usize) -> Option<Column<'a>> {
        let schema = batch.schema_ref();
        let field = schema.field(index);
        let array = batch.column(index).as_any();
        if let Some(array) = array.downcast_ref::<StringArray>() {
            return Some(Column::Text(array));
        }
        if let Some(array) = array.downcast_ref::<Int64Array>() {
            let is_time = is_time(field.name()) || field.metadata().contains_key(TIME_KEY);
            return Some(if is_time { Column::Time(array) } else { Column::Int(array) });
        }
        if let Some(array) = array.downcast_ref::<DictionaryArray<UInt16Type>>() {
            return Some(Column::Numbered(array.keys(), array.values().as_string_opt()?));
        }
        (array.downcast_ref::<Float64Array>().map(Column::Float))
            .or_else(|| array.downcast_ref::<BooleanArray>().map(Column::Bool))
            .or_else(|| array.downcast_ref::<UInt64Array>().map(Column::Unsigned))
    }

    pub fn array(&self) -> &'a dyn Array {
        match *self {
            Column::Text(array) => array,
            Column::Numbered(keys, _) => keys,
            Column::Int(array) | Column::Time(array) => array,
            Column::Unsigned(array) => array,
            Column::Float(array) => array,
            Column::Bool(array) => array,
        }
    }

    pub fn cell(&self, row: usize) -> Cell<'a> {
        if self.array().is_null(row) {
            return Cell::Null;
        }
        match *self {
            Column::Text(array) => Cell::Text(Cow::Borrowed(array.value(row))),
            Column::Numbered(keys, values) => Cell::Text(Cow::Borrowed(values.value(usize::from(keys.value(row))))),
            Column::Int(array) => Cell::Int(array.value(row)),
            Column::Time(array) => Cell::Time(array.value(row)),
            Column::Unsigned(array) => {
                let value = array.value(row);
                i64::try_from(value).map_or(Cell::Float(value as f64), Cell::Int)
            }
            Column::Float(array) => Cell::Float(array.value(row)),
            Column::Bool(array) => Cell::Bool(array.value(row)),
        }
    }
}

/// Everything that a batch has of one field.
#[derive(Debug)]
pub struct FieldColumns<'a> {
    pub columns: Vec<Column<'a>>,
    pub extra: Option<Extra<'a>>,
}

impl<'a> FieldColumns<'a> {
    pub fn new(batch: &'a RecordBatch, name: &str) -> FieldColumns<'a> {
        let schema = batch.schema_ref();
        let mut columns = Vec::with_capacity(1);
        let mut extra = None;
        for (index, column) in schema.fields().iter().enumerate() {
            let column = column.name();
            let mine = column.strip_prefix(name).is_some_and(|rest| rest.is_empty() || TYPE_SUFFIXES.contains(&rest));
            if mine {
                columns.extend(Column::at(batch, index));
            } else if column == EXTRA && name != EXTRA && name != field::INGESTED {
                extra = batch.column(index).as_any().downcast_ref().map(|array| Extra::new(array, name));
            }
        }
        FieldColumns { columns, extra }
    }

    /// The value of a row: of several types it has at most one.
    pub fn cell(&self, row: usize) -> Cell<'a> {
        for column in &self.columns {
            match column.cell(row) {
                Cell::Null => {}
                cell => return cell,
            }
        }
        self.extra.as_ref().map_or(Cell::Null, |extra| extra.cell(row))
    }
}

/// A field within the overflow column.
#[derive(Debug)]
pub struct Extra<'a> {
    array: &'a StringArray,
    name: String,
    /// The quoted name; rows without it need not be parsed.
    key: memmem::Finder<'static>,
}

impl<'a> Extra<'a> {
    fn new(array: &'a StringArray, name: &str) -> Extra<'a> {
        // An escaped name may be spelled in several ways: then only its longest plain beginning is looked for.
        let plain = name.bytes().take_while(|b| (b' '..=b'~').contains(b) && !matches!(b, b'"' | b'\\' | b'/')).count();
        let key = memmem::Finder::new(&format!("\"{}", &name[..plain])).into_owned();
        Extra { array, name: name.to_owned(), key }
    }

    pub fn array(&self) -> &'a StringArray {
        self.array
    }

    pub fn cell(&self, row: usize) -> Cell<'a> {
        if self.array.is_null(row) {
            return Cell::Null;
        }
        let text = self.array.value(row);
        if self.key.find(text.as_bytes()).is_none() {
            return Cell::Null;
        }
        match parse_extra(text).and_then(|mut fields| fields.remove(&self.name)) {
            Some(value) => json_cell(value),
            None => Cell::Null,
        }
    }
}

/// The fields of one overflow value; a value that is no object has none.
pub fn parse_extra(text: &str) -> Option<serde_json::Map<String, serde_json::Value>> {
    match serde_json::from_str(text) {
        Ok(serde_json::Value::Object(fields)) => Some(fields),
        _ => None,
    }
}

fn json_cell(value: serde_json::Value) -> Cell<'static> {
    match value {
        serde_json::Value::Null => Cell::Null,
        serde_json::Value::Bool(v) => Cell::Bool(v),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(v) => Cell::Int(v),
            None => number.as_f64().map_or(Cell::Null, Cell::Float),
        },
        serde_json::Value::String(text) => Cell::Text(Cow::Owned(text)),
        nested => Cell::Text(Cow::Owned(nested.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::ArrayRef;

    use super::*;

    #[test]
    fn a_field_is_found_in_all_its_columns_and_in_the_overflow() {
        let columns: [(&str, ArrayRef); 4] = [
            ("status", Arc::new(Int64Array::from(vec![Some(200), None, None, None]))),
            ("status#str", Arc::new(StringArray::from(vec![None, Some("ok"), None, None]))),
            ("status_code", Arc::new(Int64Array::from(vec![1, 1, 1, 1]))),
            (
                EXTRA,
                Arc::new(StringArray::from(vec![None, None, Some(r#"{"a":{"status":1},"status":2.5}"#), Some("no")])),
            ),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true)))
            .expect("columns of equal length");
        let status = FieldColumns::new(&batch, "status");
        let cells: Vec<Cell<'_>> = (0..4).map(|row| status.cell(row)).collect();
        assert_eq!(cells, [Cell::Int(200), Cell::Text("ok".into()), Cell::Float(2.5), Cell::Null]);
    }

    #[test]
    fn only_plain_decimals_are_numbers() {
        for (text, number) in
            [("500", Some(500.0)), ("-1.5e3", Some(-1500.0)), ("inf", None), ("nan", None), ("", None)]
        {
            assert_eq!(number_of_text(text), number, "{text}");
        }
    }
}

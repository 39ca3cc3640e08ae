//! From columns back to rows: what a person sees of an event.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, UInt64Array};
use arrow::record_batch::RecordBatch;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use logweir_proto::api::Row;
use logweir_proto::record::{EventId, field};

use super::cell::{Column, EXTRA, FieldColumns, Value, canonical, field_of_column, parse_extra};

/// The name under which the line as it was written is asked for.
pub const RAW: &str = "raw";

/// Beside a line that is no UTF-8: its bytes, which JSON has no other way to carry.
pub const RAW_BASE64: &str = "raw_base64";

/// Which fields of an event are shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Show {
    #[default]
    All,
    Only(Vec<String>),
    Except(Vec<String>),
}

impl Show {
    /// What is left when a `fields` pipe follows.
    pub fn then(self, names: &[String], exclude: bool) -> Show {
        let is_named = |name: &String| names.contains(name);
        match (self, exclude) {
            (Show::All, false) => Show::Only(names.to_vec()),
            (Show::All, true) => Show::Except(names.to_vec()),
            (Show::Only(shown), false) => {
                Show::Only(names.iter().filter(|name| shown.contains(name)).cloned().collect())
            }
            (Show::Only(shown), true) => Show::Only(shown.into_iter().filter(|name| !is_named(name)).collect()),
            (Show::Except(hidden), false) => {
                Show::Only(names.iter().filter(|name| !hidden.contains(name)).cloned().collect())
            }
            (Show::Except(hidden), true) => Show::Except(hidden.into_iter().chain(names.iter().cloned()).collect()),
        }
    }

    pub fn wants_raw(&self) -> bool {
        matches!(self, Show::Only(names) if names.iter().any(|name| name == RAW))
    }

    /// The fields to read; `None` for all.
    pub fn fields(&self) -> Option<BTreeSet<&str>> {
        match self {
            Show::Only(names) => Some(names.iter().map(|name| canonical(name)).filter(|name| *name != RAW).collect()),
            Show::All | Show::Except(_) => None,
        }
    }
}

/// Names as [`Show`] wants them.
pub fn names(list: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let name = canonical(name);
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// The fields of a batch, each once.
pub fn field_names(batch: &RecordBatch) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for column in batch.schema_ref().fields() {
        let name = field_of_column(column.name());
        if name != field::SEQ && name != EXTRA && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// The ids of all rows of a batch; `None` when it lacks `time` or `seq`.
pub fn ids(batch: &RecordBatch) -> Option<Vec<EventId>> {
    let times = batch.column_by_name(field::TIME)?.as_any().downcast_ref::<arrow::array::Int64Array>()?;
    let seqs = batch.column_by_name(field::SEQ)?.as_any().downcast_ref::<UInt64Array>()?;
    Some(
        times
            .values()
            .iter()
            .zip(seqs.values())
            .map(|(time_ns, seq)| EventId { time_ns: *time_ns, seq: *seq })
            .collect(),
    )
}

/// All rows of a batch as they are shown; `raw` has a line for each when it was asked for.
pub fn rows(batch: &RecordBatch, show: &Show, raw: Option<&[Vec<u8>]>) -> Vec<Row> {
    let mut rows = match show {
        Show::Only(names) => only(batch, names),
        Show::All => all(batch, &[]),
        Show::Except(hidden) => all(batch, hidden),
    };
    if let Some(lines) = raw {
        for (row, line) in rows.iter_mut().zip(lines) {
            // An event may have a field of that name: the line wins, since it was asked for.
            row.insert(RAW.to_owned(), printable(line).into());
            if std::str::from_utf8(line).is_err() {
                row.insert(RAW_BASE64.to_owned(), STANDARD.encode(line).into());
            }
        }
    }
    rows
}

fn only(batch: &RecordBatch, names: &[String]) -> Vec<Row> {
    let mut rows = vec![Row::new(); batch.num_rows()];
    for name in names {
        if name == RAW {
            // Holds the place of the line among the columns.
            rows.iter_mut().for_each(|row| drop(row.insert(RAW.to_owned(), serde_json::Value::Null)));
            continue;
        }
        let columns = FieldColumns::new(batch, name);
        for (index, row) in rows.iter_mut().enumerate() {
            insert(row, name, &columns.cell(index).to_value());
        }
    }
    rows
}

fn all(batch: &RecordBatch, hidden: &[String]) -> Vec<Row> {
    let schema = batch.schema_ref();
    // Canonical fields first, in the order in which people are shown them, then the others by name.
    let mut order: BTreeMap<(usize, &str), Vec<Column<'_>>> = BTreeMap::new();
    for (index, column) in schema.fields().iter().enumerate() {
        let name = field_of_column(column.name());
        if name == field::SEQ || name == EXTRA || hidden.iter().any(|field| field == name) {
            continue;
        }
        let place = field::ALL.iter().position(|field| *field == name).unwrap_or(field::ALL.len());
        order.entry((place, name)).or_default().extend(Column::at(batch, index));
    }
    let mut rows = vec![Row::new(); batch.num_rows()];
    for ((_, name), columns) in order {
        for column in columns {
            for (index, row) in rows.iter_mut().enumerate() {
                insert(row, name, &column.cell(index).to_value());
            }
        }
    }
    let extra =
        batch.column_by_name(EXTRA).and_then(|array| array.as_any().downcast_ref::<arrow::array::StringArray>());
    if let Some(extra) = extra {
        for (index, row) in rows.iter_mut().enumerate().filter(|(index, _)| extra.is_valid(*index)) {
            for (name, value) in parse_extra(extra.value(index)).into_iter().flatten() {
                if !value.is_null() && !hidden.contains(&name) {
                    row.entry(name).or_insert(value);
                }
            }
        }
    }
    rows
}

fn insert(row: &mut Row, name: &str, value: &Value) {
    if !value.is_null() {
        row.insert(name.to_owned(), value.to_json());
    }
}

/// A line as text; bytes that are no UTF-8 become `\xHH`.
pub fn printable(line: &[u8]) -> String {
    let mut out = String::with_capacity(line.len());
    for chunk in line.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_text_comes_with_its_bytes() {
        let time: arrow::array::ArrayRef = std::sync::Arc::new(arrow::array::Int64Array::from(vec![1, 2]));
        let batch = RecordBatch::try_from_iter([("time", time)]).expect("a batch");
        let show = Show::Only(vec![RAW.to_owned()]);
        let rows = rows(&batch, &show, Some(&[b"plain \\xFF".to_vec(), b"a\xff".to_vec()]));
        let shown: Vec<String> = rows.iter().map(|row| serde_json::to_string(row).expect("JSON")).collect();
        assert_eq!(shown, [r#"{"raw":"plain \\xFF"}"#, r#"{"raw":"a\\xFF","raw_base64":"Yf8="}"#]);
    }

    #[test]
    fn bytes_that_are_no_text_are_shown() {
        assert_eq!(printable(b"a\xff\xfeb \xc3\xa4"), "a\\xFF\\xFEb ä");
    }

    #[test]
    fn fields_pipes_add_up() {
        let names = |list: &str| names(list);
        assert_eq!(Show::All.then(&names("a,b"), false), Show::Only(names("a,b")));
        assert_eq!(Show::All.then(&names("a"), true).then(&names("b,a"), false), Show::Only(names("b")));
        assert_eq!(Show::Only(names("a,b")).then(&names("b,c"), false), Show::Only(names("b")));
        assert_eq!(Show::Only(names("a,b")).then(&names("b"), true), Show::Only(names("a")));
        assert_eq!(Show::All.then(&names("a"), true).then(&names("b"), true), Show::Except(names("a,b")));
        assert_eq!(names(" _time, b ,,b"), ["time", "b"]);
    }
}

//! `facets`: the commonest values of every field, with how often they occur.

use std::collections::HashMap;

use arrow::record_batch::RecordBatch;
use logweir_proto::api::Warning;
use logweir_proto::record::field;

use super::cell::{FieldColumns, Value};
use super::mask::Mask;
use super::table::{Table, TableRow};
use crate::store::segment::Segment;

/// Most fields that are looked at, those of most rows first.
pub const FACET_FIELDS_MAX: usize = 200;

/// Most values of a field that are told apart; the rows with others count, but are not named.
pub const FACET_VALUES_MAX: usize = 10_000;

/// Longest value that is counted: texts of that length do not repeat usefully.
pub const FACET_VALUE_BYTES_MAX: usize = 256;

pub const FACET_COLUMNS: [&str; 5] = ["field", "value", "count", "percent", "distinct"];

/// Fields whose values are nearly all different by their nature.
const FREE_TEXT: [&str; 4] = [field::TIME, field::SEQ, field::MESSAGE, field::EXCEPTION_STACK];

#[derive(Debug)]
pub struct Facets {
    limit: usize,
    rows: u64,
    fields: HashMap<String, Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    values: HashMap<String, (Value, u64)>,
    cut: bool,
}

impl Facets {
    pub fn new(limit: usize) -> Facets {
        Facets { limit, rows: 0, fields: HashMap::new() }
    }

    pub fn columns(segment: &dyn Segment) -> Vec<String> {
        let mut fields: Vec<(&String, u64)> = segment.fields().iter().map(|(name, stat)| (name, stat.rows)).collect();
        fields.retain(|(name, _)| !FREE_TEXT.contains(&name.as_str()));
        fields.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
        fields.into_iter().take(FACET_FIELDS_MAX).map(|(name, _)| name.clone()).collect()
    }

    /// Adds rows of these fields.
    pub fn add(&mut self, batch: &RecordBatch, mask: &Mask, names: &[String]) {
        self.rows += mask.count() as u64;
        for name in names.iter().filter(|name| !FREE_TEXT.contains(&name.as_str())) {
            if !self.fields.contains_key(name) && self.fields.len() >= FACET_FIELDS_MAX {
                continue;
            }
            let columns = FieldColumns::new(batch, name);
            let counted = self.fields.entry(name.clone()).or_default();
            for row in mask.rows() {
                let value = columns.cell(row).to_value();
                if !value.is_null() {
                    counted.add(value);
                }
            }
        }
    }

    pub fn finish(self) -> (Table, Vec<Warning>) {
        let mut rows: Vec<TableRow> = Vec::new();
        let place = |name: &str| field::ALL.iter().position(|known| *known == name).unwrap_or(field::ALL.len());
        let mut fields: Vec<(String, Counted)> =
            self.fields.into_iter().filter(|(_, counted)| !counted.values.is_empty()).collect();
        fields.sort_by(|(a, _), (b, _)| (place(a), a).cmp(&(place(b), b)));
        let mut warnings = Vec::new();
        for (name, counted) in fields {
            if counted.cut {
                warnings.push(Warning {
                    warn: "values_truncated".to_owned(),
                    field: Some(name.clone()),
                    did_you_mean: None,
                    pos: None,
                    message: format!("only the first {FACET_VALUES_MAX} values of {name} were told apart"),
                });
            }
            let distinct = counted.values.len() as i64;
            let mut values: Vec<(String, (Value, u64))> = counted.values.into_iter().collect();
            values.sort_by(|(a, (_, x)), (b, (_, y))| y.cmp(x).then_with(|| a.cmp(b)));
            for (_, (value, count)) in values.into_iter().take(self.limit) {
                let percent = (10_000.0 * count as f64 / self.rows.max(1) as f64).round() / 100.0;
                let values = vec![
                    Value::Text(name.as_str().into()),
                    value,
                    Value::Int(count as i64),
                    Value::Float(percent),
                    Value::Int(distinct),
                ];
                rows.push(TableRow { id: None, values });
            }
        }
        (Table { columns: FACET_COLUMNS.map(str::to_owned).to_vec(), rows }, warnings)
    }
}

impl Counted {
    fn add(&mut self, value: Value) {
        let text = value.text();
        if text.len() > FACET_VALUE_BYTES_MAX {
            self.cut = true;
            return;
        }
        if let Some((_, count)) = self.values.get_mut(text.as_ref()) {
            *count += 1;
        } else if self.values.len() < FACET_VALUES_MAX {
            let text = text.into_owned();
            self.values.insert(text, (value, 1));
        } else {
            self.cut = true;
        }
    }
}

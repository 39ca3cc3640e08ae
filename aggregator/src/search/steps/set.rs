//! Puts computed fields into a batch, in place of what it had under their names.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::FieldRef;
use arrow::record_batch::RecordBatch;

use crate::search::cell::{EXTRA, Value, field_of_column, parse_extra};
use crate::search::table::{self, arrays_of};

/// The batch with these fields, one value a row; null takes a field away from a row.
pub(super) fn with_fields(batch: &RecordBatch, set: Vec<(String, Vec<Value>)>) -> RecordBatch {
    let is_set = |name: &str| set.iter().any(|(field, _)| field == name);
    let mut fields: Vec<FieldRef> = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if field.name() == EXTRA {
            fields.push(Arc::clone(field));
            arrays.push(scrubbed(array, &set));
        } else if !is_set(field_of_column(field.name())) {
            fields.push(Arc::clone(field));
            arrays.push(Arc::clone(array));
        }
    }
    for (name, values) in &set {
        for (field, array) in arrays_of(name, &values.iter()) {
            fields.push(Arc::new(field));
            arrays.push(array);
        }
    }
    table::batch(fields.iter().map(|field| (**field).clone()).collect(), arrays, batch.num_rows())
        .unwrap_or_else(|| batch.clone())
}

/// The overflow column without the fields that are set elsewhere now.
fn scrubbed(extra: &ArrayRef, set: &[(String, Vec<Value>)]) -> ArrayRef {
    let Some(texts) = extra.as_string_opt::<i32>() else { return Arc::clone(extra) };
    let holds = |text: &str| set.iter().any(|(name, _)| text.contains(name.as_str()) || text.contains('\\'));
    if !texts.iter().flatten().any(holds) {
        return Arc::clone(extra);
    }
    let scrub = |text: &str| {
        let Some(mut fields) = parse_extra(text) else { return Some(text.to_owned()) };
        set.iter().for_each(|(name, _)| drop(fields.shift_remove(name)));
        (!fields.is_empty()).then(|| serde_json::Value::Object(fields).to_string())
    };
    Arc::new(texts.iter().map(|text| text.and_then(scrub)).collect::<StringArray>())
}

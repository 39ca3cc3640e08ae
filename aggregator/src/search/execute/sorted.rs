//! The first rows in the order of other fields than time: every candidate is looked at, a bounded number is kept.

use std::collections::BTreeSet;

use logweir_proto::query::ast::SortKey;
use logweir_proto::record::field;

use super::RowRef;
use crate::search::cell::{FieldColumns, canonical};
use crate::search::order::SortValue;
use crate::search::pipes::compare;
use crate::search::rows;
use crate::search::scan::Scan;

/// Rows kept beyond the limit before the worst are dropped.
const SLACK: usize = 4096;

/// The first `limit` rows by `keys`, and whether there were more; equal rows are newest first.
pub(super) fn first(scan: &mut Scan<'_>, keys: &[SortKey], limit: usize) -> (Vec<RowRef>, bool) {
    let names = keys.iter().map(|key| canonical(&key.field.name)).chain([field::TIME, field::SEQ]);
    let names: BTreeSet<&str> = names.collect();
    let mut kept: Vec<(Vec<SortValue>, RowRef)> = Vec::new();
    // The first key of the last row that is kept, once there are enough.
    let mut worst: Option<SortValue> = None;
    let mut cut = false;
    let mut trim = |kept: &mut Vec<(Vec<SortValue>, RowRef)>| {
        kept.sort_by(|(a, x), (b, y)| compare(a, b, keys).then_with(|| y.id.cmp(&x.id)));
        cut |= kept.len() > limit;
        kept.truncate(limit);
    };
    while let Some(block) = scan.next_block() {
        let Some((batch, mask)) = scan.select(&block, &names) else { continue };
        let Some(ids) = rows::ids(&batch) else { continue };
        let columns: Vec<(&str, FieldColumns<'_>)> = keys
            .iter()
            .map(|key| canonical(&key.field.name))
            .map(|name| (name, FieldColumns::new(&batch, name)))
            .collect();
        for row in mask.rows() {
            // Most rows are behind the last that is kept by their first key alone.
            if let (Some(worst), Some((name, column)), Some(key)) = (&worst, columns.first(), keys.first())
                && SortValue::new(name, &column.cell(row)).compare(worst, key.descending).is_gt()
            {
                continue;
            }
            let values = columns.iter().map(|(name, columns)| SortValue::new(name, &columns.cell(row))).collect();
            kept.push((values, RowRef { id: ids[row], block, row: row as u32 }));
        }
        if kept.len() > limit.saturating_mul(2).min(limit + SLACK) {
            trim(&mut kept);
            worst = kept.last().and_then(|(values, _)| values.first().cloned());
        }
    }
    trim(&mut kept);
    (kept.into_iter().map(|(_, row)| row).collect(), cut)
}

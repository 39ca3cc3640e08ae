//! The first rows in the order of other fields than time: every candidate is looked at, a bounded number is kept.

use std::collections::BTreeSet;

use logweir_proto::query::ast::SortKey;

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
    let names: BTreeSet<&str> = keys.iter().map(|key| canonical(&key.field.name)).collect();
    let mut kept: Vec<(Vec<SortValue>, RowRef)> = Vec::new();
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
            let values = columns.iter().map(|(name, columns)| SortValue::new(name, &columns.cell(row))).collect();
            kept.push((values, RowRef { id: ids[row], block, row: row as u32 }));
        }
        if kept.len() > limit.saturating_mul(2) + SLACK {
            trim(&mut kept);
        }
    }
    trim(&mut kept);
    (kept.into_iter().map(|(_, row)| row).collect(), cut)
}

//! `dedup` straight over the store: of events with the same values, the first few in the order of time.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use logweir_proto::api::{Order, Warning};
use logweir_proto::record::{EventId, field};

use super::RowRef;
use crate::search::cell::FieldColumns;
use crate::search::pipes::dedup_key;
use crate::search::rows;
use crate::search::scan::Scan;

/// Most combinations of values that are told apart.
pub(in crate::search) const DEDUP_VALUES_MAX: usize = 100_000;

pub(super) struct First {
    /// In the order of time that was asked for.
    pub refs: Vec<RowRef>,
    pub warning: Option<Warning>,
}

/// The first `most` events of each combination of values of `fields`.
pub(super) fn first(scan: &mut Scan<'_>, fields: &[String], most: usize, order: Order) -> First {
    let names: BTreeSet<&str> = fields.iter().map(String::as_str).chain([field::TIME, field::SEQ]).collect();
    let mut kept: HashMap<String, Vec<RowRef>> = HashMap::new();
    let mut cut = false;
    let before = |a: &EventId, b: &EventId| -> Ordering {
        match order {
            Order::Desc => b.cmp(a),
            Order::Asc => a.cmp(b),
        }
    };
    while let Some(block) = scan.next_block() {
        let Some((batch, mask)) = scan.select(&block, &names) else { continue };
        let Some(ids) = rows::ids(&batch) else { continue };
        let columns: Vec<FieldColumns<'_>> = fields.iter().map(|name| FieldColumns::new(&batch, name)).collect();
        for row in mask.rows() {
            let key = dedup_key(columns.iter().map(|columns| columns.cell(row).to_value()));
            if kept.len() >= DEDUP_VALUES_MAX && !kept.contains_key(&key) {
                cut = true;
                continue;
            }
            let rows = kept.entry(key).or_default();
            let id = ids[row];
            if rows.len() < most || rows.last().is_none_or(|last| before(&id, &last.id).is_lt()) {
                let place = rows.partition_point(|kept| before(&kept.id, &id).is_lt());
                rows.insert(place, RowRef { id, block, row: row as u32 });
                rows.truncate(most);
            }
        }
    }
    let mut refs: Vec<RowRef> = kept.into_values().flatten().collect();
    refs.sort_unstable_by(|a, b| before(&a.id, &b.id));
    let message = || format!("dedup tells the first {DEDUP_VALUES_MAX} combinations of values apart");
    let warning = cut.then(|| Warning::new("values_truncated", message()));
    First { refs, warning }
}

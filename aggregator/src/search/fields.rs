//! What there is to search for: the fields.

use std::collections::BTreeMap;
use std::sync::Arc;

use logweir_proto::record::field;
use schemars::JsonSchema;
use serde::Serialize;

use super::scan::TimeRange;
use crate::store::segment::Segment;

/// A field that some event has.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FieldInfo {
    pub name: String,
    /// `str`, `int`, `float`, `bool`.
    pub types: Vec<&'static str>,
    /// Events that have it, among those of the segments within the range.
    pub rows: u64,
    /// The share of these events, in percent.
    pub coverage: f64,
}

/// The fields of all segments that reach into the range, canonical ones first.
pub fn list(segments: &[Arc<dyn Segment>], range: TimeRange) -> Vec<FieldInfo> {
    let mut total = 0;
    let mut infos: BTreeMap<(usize, &str), FieldInfo> = BTreeMap::new();
    for segment in segments.iter().filter(|segment| range.reaches(&***segment)) {
        total += segment.blocks().iter().map(|block| u64::from(block.rows)).sum::<u64>();
        for (name, stat) in segment.fields() {
            let info = infos.entry((place(name), name)).or_insert_with(|| FieldInfo {
                name: name.clone(),
                types: Vec::new(),
                rows: 0,
                coverage: 0.0,
            });
            info.rows += stat.rows;
            info.types.extend(stat.types.iter().copied());
        }
    }
    let infos = infos.into_values().map(|mut info| {
        info.types.sort_unstable();
        info.types.dedup();
        info.coverage = 100.0 * info.rows as f64 / (total as f64).max(1.0);
        info
    });
    infos.collect()
}

/// The place of a field in a list: canonical ones first, in their order.
pub fn place(name: &str) -> usize {
    field::ALL.iter().position(|field| *field == name).unwrap_or(field::ALL.len())
}

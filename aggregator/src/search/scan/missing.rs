//! What of time an answer does not cover.

use std::collections::BTreeSet;

use logweir_proto::api::MissingRange;
use logweir_runtime::clock;

use super::MISSING_RANGES_MAX;

/// A part of time that is not covered.
pub(super) struct Part {
    pub(super) from_ns: i64,
    pub(super) to_ns: i64,
    pub(super) segments: BTreeSet<usize>,
}

impl Part {
    pub(super) fn join(mut self, other: Part) -> Part {
        self.segments.extend(other.segments);
        Part { from_ns: self.from_ns.min(other.from_ns), to_ns: self.to_ns.max(other.to_ns), segments: self.segments }
    }
}

/// Parts of time, joined where they touch, and joined across the smallest gaps until they are few.
pub(super) fn missing_ranges(mut missing: Vec<Part>) -> Vec<MissingRange> {
    missing.sort_by_key(|part| part.from_ns);
    let mut parts: Vec<Part> = Vec::new();
    for part in missing {
        match parts.pop_if(|last| part.from_ns <= last.to_ns) {
            Some(last) => parts.push(last.join(part)),
            None => parts.push(part),
        }
    }
    let mut gaps: Vec<(i64, usize)> =
        parts.windows(2).enumerate().map(|(i, pair)| (pair[1].from_ns.saturating_sub(pair[0].to_ns), i + 1)).collect();
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    let cuts: BTreeSet<usize> = gaps.into_iter().take(MISSING_RANGES_MAX - 1).map(|(_, cut)| cut).collect();
    let mut joined: Vec<Part> = Vec::new();
    for (i, part) in parts.into_iter().enumerate() {
        match joined.pop_if(|_| !cuts.contains(&i)) {
            Some(last) => joined.push(last.join(part)),
            None => joined.push(part),
        }
    }
    joined
        .into_iter()
        .map(|part| MissingRange {
            from: clock::rfc3339(part.from_ns),
            to: clock::rfc3339(part.to_ns),
            splits: part.segments.len(),
        })
        .collect()
}

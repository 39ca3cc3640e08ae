//! What a plan would read of the blocks that it opens, by the sizes that the splits say: nothing is read.

use std::collections::BTreeSet;
use std::sync::Arc;

use logweir_proto::api::Order;
use logweir_proto::record::field;

use super::LIMIT_MAX;
use crate::search::filter::Filter;
use crate::search::plan::{First, Plan};
use crate::search::rows::Show;
use crate::search::scan::{BlockRef, projection};
use crate::store::segment::{Projection, Segment};

/// Bytes of the columns that are read of these blocks, about: the fields that rows are chosen and counted by of
/// each, and what is shown of as many as hold the rows of a page if every row matches.
pub(super) fn bytes(
    plan: &Plan,
    filter: &Filter,
    limit: usize,
    opened: &[BlockRef],
    segments: &[Arc<dyn Segment>],
) -> u64 {
    let read = plan.read_fields();
    let mut chosen_by: BTreeSet<&str> = read.iter().map(String::as_str).chain(filter.columns()).collect();
    chosen_by.extend([field::TIME, field::SEQ]);
    let mut left = rows_shown(&plan.first, limit);
    let mut blocks: Vec<&BlockRef> = opened.iter().collect();
    blocks.sort_by_key(|block| (block.stat.max_time_ns, block.block));
    if !matches!(plan.first, First::Events { order: Order::Asc, .. }) {
        blocks.reverse();
    }
    let of_block = |block: &BlockRef| {
        let segment = &segments[block.segment];
        let is_shown = left > 0;
        left = left.saturating_sub(block.stat.rows as usize);
        let names = match (is_shown, &plan.show, plan.gathered(&**segment)) {
            (true, Show::Only(shown), _) => {
                chosen_by.iter().copied().chain(shown.iter().map(String::as_str)).map(str::to_owned).collect()
            }
            (true, ..) => return segment.stored_bytes(block.block, &Projection::All),
            (false, _, more) => chosen_by.iter().map(|name| (*name).to_owned()).chain(more).collect::<BTreeSet<_>>(),
        };
        segment.stored_bytes(block.block, &projection(&names.iter().map(String::as_str).collect()))
    };
    blocks.into_iter().map(of_block).sum()
}

/// Rows of which more is read than what they are chosen by.
fn rows_shown(first: &First, page: usize) -> usize {
    let page = page.clamp(1, LIMIT_MAX);
    match first {
        First::Aggregate(_) => 0,
        First::EventsTail { limit, .. } => *limit,
        First::Events { limit, .. } | First::Sorted { limit, .. } | First::Dedup { limit, .. } => {
            limit.map_or(page, |limit| limit.min(LIMIT_MAX))
        }
    }
}

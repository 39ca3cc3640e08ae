//! The order in which a walk comes to blocks.

use std::cmp::{Ordering, Reverse};

use logweir_proto::api::Order;

use super::BlockRef;

/// A block that is still to come. The greatest is the next: the latest, or with rising order the earliest; of those the
/// first of the first segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ahead {
    pub(super) key: i64,
    pub(super) block: BlockRef,
}

impl Ahead {
    fn rank(&self) -> (i64, Reverse<(usize, usize)>) {
        (self.key, Reverse((self.block.segment, self.block.block)))
    }
}

impl Ord for Ahead {
    fn cmp(&self, other: &Ahead) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Ahead {
    fn partial_cmp(&self, other: &Ahead) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What times are ordered by: greater comes first.
pub(super) fn key(order: Order, min_ns: i64, max_ns: i64) -> i64 {
    match order {
        Order::Desc => max_ns,
        Order::Asc => !min_ns,
    }
}

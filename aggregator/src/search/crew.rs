//! Several threads at the blocks of one query.
//!
//! Which thread gets which block is fixed by its place, so that an answer does not depend on who was faster: sums of
//! fractions differ with their order.

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::thread;

use super::Error;
use super::scan::{BlockRef, Reader, Reason, Scan};
use crate::store::segment::SegmentError;

/// Most threads of one query, the calling one among them.
pub const THREADS_MAX: usize = 8;

/// With fewer blocks the calling thread is done before another has begun.
const BLOCKS_MIN: usize = 16;

/// How a look at a block ended.
#[derive(Debug)]
pub enum Look {
    /// Its rows were read.
    Read,
    /// Nothing had to be read.
    Known,
    /// It costs the answer this block.
    Failed(SegmentError),
}

/// What a thread did.
struct Share<S> {
    state: S,
    looks: Vec<(BlockRef, Result<(), SegmentError>)>,
    left: Vec<BlockRef>,
    over: Option<Reason>,
    error: Option<Error>,
}

/// The blocks of each thread. Neighbours stay together: blocks of one split share dictionaries and pages that are read
/// ahead, which two threads would each read and decode.
fn divide(blocks: &[BlockRef], threads: usize) -> Vec<Vec<BlockRef>> {
    let each = blocks.len().div_ceil(threads.max(1)).max(1);
    blocks.chunks(each).map(<[BlockRef]>::to_vec).collect()
}

/// Looks at all blocks of a walk. Each thread begins with what `make` makes; what became of it comes back in an order
/// that is always the same.
pub fn each_block<S: Send>(
    scan: &mut Scan<'_>,
    make: impl Fn() -> S,
    look: &(impl Fn(&mut S, Reader<'_>, &BlockRef) -> Result<Look, Error> + Sync),
) -> Result<Vec<S>, Error> {
    scan.open_all();
    let blocks = scan.candidates();
    let threads = if blocks.len() < BLOCKS_MIN {
        1
    } else {
        thread::available_parallelism().map_or(1, NonZeroUsize::get).min(THREADS_MAX)
    };
    let parts = divide(&blocks, threads);
    let (reader, patience) = (scan.reader(), scan.patience());
    let work = |state: S, part: Vec<BlockRef>| {
        let filter = reader.filter().clone();
        let reader = reader.with(&filter);
        let mut share = Share { state, looks: Vec::new(), left: Vec::new(), over: None, error: None };
        for (place, block) in part.iter().enumerate() {
            share.over = patience.is_over();
            if share.over.is_some() {
                share.left = part[place..].to_vec();
                break;
            }
            match look(&mut share.state, reader, block) {
                Ok(Look::Known) => {}
                Ok(Look::Read) => share.looks.push((*block, Ok(()))),
                Ok(Look::Failed(error)) => share.looks.push((*block, Err(error))),
                Err(error) => {
                    share.error = Some(error);
                    break;
                }
            }
        }
        share
    };
    let mut parts = parts.into_iter();
    let own = parts.next().unwrap_or_default();
    let shares = thread::scope(|scope| {
        let others: Vec<_> = parts
            .map(|part| {
                let state = make();
                scope.spawn(|| work(state, part))
            })
            .collect();
        let first = work(make(), own);
        let others = others.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        std::iter::once(first).chain(others).collect::<Vec<_>>()
    });
    let (mut states, mut left, mut over) = (Vec::with_capacity(shares.len()), Vec::new(), None);
    for share in shares {
        if let Some(error) = share.error {
            return Err(error);
        }
        for (block, result) in share.looks {
            scan.took(&block, result);
        }
        left.extend(share.left);
        over = over.or(share.over);
        states.push(share.state);
    }
    if let Some(reason) = over {
        scan.give_up(reason, &left);
    }
    Ok(states)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::segment::BlockStat;

    #[test]
    fn each_block_goes_to_one_thread_and_neighbours_to_the_same() {
        let stat = BlockStat { rows: 1, min_time_ns: 0, max_time_ns: 0 };
        for (count, threads) in [(0, 1), (1, 1), (1, 8), (16, 2), (17, 2), (17, 8), (40, 8)] {
            let blocks: Vec<BlockRef> = (0..count).map(|block| BlockRef { segment: block / 10, block, stat }).collect();
            let parts = divide(&blocks, threads);
            assert!(parts.len() <= threads, "{count} blocks, {threads} threads");
            assert_eq!(parts.concat(), blocks);
        }
    }
}

//! Fresh rows for whoever watches: every published block goes to every subscriber's bounded ring.
//!
//! A subscriber that is too slow loses the oldest blocks and is told how many rows that were.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::broadcast;

use crate::store::block::Block;

/// Blocks that wait for one subscriber.
pub const RING_BLOCKS_MAX: usize = 256;

/// Subscribers at once.
pub const SUBSCRIBERS_MAX: usize = 64;

#[derive(Debug, Clone)]
struct Fresh {
    /// Rows that were published before this one.
    before: u64,
    block: Arc<Block>,
}

/// The sender's side. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Live {
    sender: broadcast::Sender<Fresh>,
    rows: Arc<AtomicU64>,
}

impl Default for Live {
    fn default() -> Live {
        Live { sender: broadcast::Sender::new(RING_BLOCKS_MAX), rows: Arc::default() }
    }
}

impl Live {
    /// Costs nothing while nobody watches.
    pub fn publish(&self, block: &Arc<Block>) {
        let before = self.rows.fetch_add(block.len() as u64, Ordering::SeqCst);
        if self.sender.receiver_count() > 0 {
            let _ = self.sender.send(Fresh { before, block: Arc::clone(block) });
        }
    }

    /// `None` when [`SUBSCRIBERS_MAX`] watch already.
    pub fn subscribe(&self) -> Option<Subscription> {
        if self.sender.receiver_count() >= SUBSCRIBERS_MAX {
            return None;
        }
        // The receiver first: what is published in between is in the ring, and counted from here at the latest.
        let receiver = self.sender.subscribe();
        let from = self.rows.load(Ordering::SeqCst);
        Some(Subscription { receiver, from, next: None })
    }
}

/// What a subscriber gets next.
#[derive(Debug)]
pub enum Next {
    Rows(Arc<Block>),
    /// So many rows went by unseen.
    Dropped(u64),
    /// The server ends.
    Closed,
}

#[derive(Debug)]
pub struct Subscription {
    receiver: broadcast::Receiver<Fresh>,
    /// Number of the first row after the subscription.
    from: u64,
    /// Number of the row that follows the last one seen, and a block that waits behind a notice.
    next: Option<(u64, Option<Arc<Block>>)>,
}

impl Subscription {
    pub async fn next(&mut self) -> Next {
        if let Some((_, waiting)) = &mut self.next
            && let Some(block) = waiting.take()
        {
            return Next::Rows(block);
        }
        loop {
            match self.receiver.recv().await {
                Ok(fresh) => {
                    let after = fresh.before + fresh.block.len() as u64;
                    let expected = self.next.as_ref().map_or(self.from, |(expected, _)| *expected);
                    let missed = fresh.before.saturating_sub(expected);
                    if missed > 0 {
                        self.next = Some((after, Some(fresh.block)));
                        return Next::Dropped(missed);
                    }
                    self.next = Some((after, None));
                    return Next::Rows(fresh.block);
                }
                // How many rows it was shows in the number of the next block, counted from the subscription on.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return Next::Closed,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Names;
    use crate::parse::line::Line;
    use crate::store::block::BlockBuilder;

    fn block(rows: usize) -> Arc<Block> {
        let mut builder = BlockBuilder::default();
        for seq in 0..rows {
            builder.push(&Names::default(), &Line::default(), b"line", 0, seq as u64);
        }
        Arc::new(builder.finish())
    }

    #[tokio::test]
    async fn a_slow_subscriber_is_told_how_many_rows_it_missed() {
        let live = Live::default();
        live.publish(&block(5));
        let mut subscription = live.subscribe().expect("there is room");
        live.publish(&block(3));
        assert!(matches!(subscription.next().await, Next::Rows(rows) if rows.len() == 3));
        for _ in 0..RING_BLOCKS_MAX + 10 {
            live.publish(&block(2));
        }
        assert!(matches!(subscription.next().await, Next::Dropped(20)));
        let mut rows = 0;
        for _ in 0..RING_BLOCKS_MAX {
            if let Next::Rows(block) = subscription.next().await {
                rows += block.len();
            }
        }
        assert_eq!(rows, 2 * RING_BLOCKS_MAX);
        drop(live);
        assert!(matches!(subscription.next().await, Next::Closed));
    }
}

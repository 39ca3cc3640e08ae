//! Fresh rows for whoever watches: every published block goes to every subscriber's bounded ring.
//!
//! A subscriber that is too slow loses the oldest blocks and is told how many rows that were.

mod arrivals;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;

use crate::store::block::Block;

pub use arrivals::{Arrival, Arrivals};

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
    /// Rows that were published. Held while a block is sent and while somebody subscribes, so that a subscriber knows
    /// the number of its first row.
    rows: Arc<Mutex<u64>>,
    /// How old the published rows were.
    pub arrivals: Arrivals,
}

impl Default for Live {
    fn default() -> Live {
        Live { sender: broadcast::Sender::new(RING_BLOCKS_MAX), rows: Arc::default(), arrivals: Arrivals::default() }
    }
}

impl Live {
    /// Costs nothing while nobody watches. Publish what [`Store`](crate::store::service::Store) holds already: a
    /// subscriber reads the stored rows first, and what came in between must be in one of the two.
    pub fn publish(&self, block: &Arc<Block>) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *rows;
        *rows += block.len() as u64;
        if self.sender.receiver_count() > 0 {
            let _ = self.sender.send(Fresh { before, block: Arc::clone(block) });
        }
    }

    #[cfg(test)]
    pub(crate) fn has_subscribers(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// `None` when [`SUBSCRIBERS_MAX`] watch already.
    pub fn subscribe(&self) -> Option<Subscription> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if self.sender.receiver_count() >= SUBSCRIBERS_MAX {
            return None;
        }
        Some(Subscription { receiver: self.sender.subscribe(), next: *rows, waiting: None })
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
    /// Number of the row that follows the last one seen.
    next: u64,
    /// A block that waits behind a notice.
    waiting: Option<Arc<Block>>,
}

impl Subscription {
    /// May be dropped while it waits: nothing is lost.
    pub async fn next(&mut self) -> Next {
        if let Some(block) = self.waiting.take() {
            return Next::Rows(block);
        }
        loop {
            match self.receiver.recv().await {
                Ok(fresh) => {
                    let missed = fresh.before.saturating_sub(self.next);
                    self.next = fresh.before + fresh.block.len() as u64;
                    if missed > 0 {
                        self.waiting = Some(fresh.block);
                        return Next::Dropped(missed);
                    }
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

    #[tokio::test]
    async fn rows_that_are_lost_before_the_first_look_are_told_too() {
        let live = Live::default();
        let mut subscription = live.subscribe().expect("there is room");
        for _ in 0..RING_BLOCKS_MAX + 10 {
            live.publish(&block(2));
        }
        assert!(matches!(subscription.next().await, Next::Dropped(20)));
        assert!(matches!(subscription.next().await, Next::Rows(rows) if rows.len() == 2));
    }

    #[test]
    fn there_is_a_limit_of_subscribers() {
        let live = Live::default();
        let all: Vec<_> = (0..SUBSCRIBERS_MAX).map_while(|_| live.subscribe()).collect();
        assert_eq!(all.len(), SUBSCRIBERS_MAX);
        assert!(live.subscribe().is_none());
        drop(all);
        assert!(live.subscribe().is_some());
    }
}

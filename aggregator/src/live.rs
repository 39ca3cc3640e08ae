//! Fresh rows for whoever watches: every published block goes to every subscriber's bounded ring.
//!
//! A subscriber that is too slow loses the oldest blocks and is told how many rows that were.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::record_batch::RecordBatch;
use tokio::sync::broadcast;

/// Blocks that wait for one subscriber.
pub const RING_BLOCKS_MAX: usize = 256;

/// Subscribers at once.
pub const SUBSCRIBERS_MAX: usize = 64;

#[derive(Debug, Clone)]
struct Fresh {
    /// Rows that were published before this one.
    before: u64,
    batch: RecordBatch,
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
    pub fn publish(&self, batch: &RecordBatch) {
        let before = self.rows.fetch_add(batch.num_rows() as u64, Ordering::SeqCst);
        if self.sender.receiver_count() > 0 {
            let _ = self.sender.send(Fresh { before, batch: batch.clone() });
        }
    }

    /// `None` when [`SUBSCRIBERS_MAX`] watch already.
    pub fn subscribe(&self) -> Option<Subscription> {
        if self.sender.receiver_count() >= SUBSCRIBERS_MAX {
            return None;
        }
        // The receiver first: rows published in between are then seen, not taken for dropped.
        let receiver = self.sender.subscribe();
        Some(Subscription { receiver, next: None })
    }
}

/// What a subscriber gets next.
#[derive(Debug)]
pub enum Next {
    Rows(RecordBatch),
    /// So many rows went by unseen.
    Dropped(u64),
    /// The server ends.
    Closed,
}

#[derive(Debug)]
pub struct Subscription {
    receiver: broadcast::Receiver<Fresh>,
    /// Number of the row that follows the last one seen, and a block that waits behind a notice.
    next: Option<(u64, Option<RecordBatch>)>,
}

impl Subscription {
    pub async fn next(&mut self) -> Next {
        if let Some((_, waiting)) = &mut self.next
            && let Some(batch) = waiting.take()
        {
            return Next::Rows(batch);
        }
        loop {
            match self.receiver.recv().await {
                Ok(fresh) => {
                    let after = fresh.before + fresh.batch.num_rows() as u64;
                    let missed = self.next.as_ref().map_or(0, |(expected, _)| fresh.before - expected);
                    if missed > 0 {
                        self.next = Some((after, Some(fresh.batch)));
                        return Next::Dropped(missed);
                    }
                    self.next = Some((after, None));
                    return Next::Rows(fresh.batch);
                }
                // The gap shows in the row numbers of the next block.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return Next::Closed,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;

    fn batch(rows: usize) -> RecordBatch {
        let column: arrow::array::ArrayRef = Arc::new(Int64Array::from(vec![0; rows]));
        RecordBatch::try_from_iter([("time", column)]).expect("one column")
    }

    #[tokio::test]
    async fn a_slow_subscriber_is_told_how_many_rows_it_missed() {
        let live = Live::default();
        live.publish(&batch(5));
        let mut subscription = live.subscribe().expect("there is room");
        live.publish(&batch(3));
        assert!(matches!(subscription.next().await, Next::Rows(rows) if rows.num_rows() == 3));
        for _ in 0..RING_BLOCKS_MAX + 10 {
            live.publish(&batch(2));
        }
        assert!(matches!(subscription.next().await, Next::Dropped(20)));
        let mut rows = 0;
        for _ in 0..RING_BLOCKS_MAX {
            if let Next::Rows(batch) = subscription.next().await {
                rows += batch.num_rows();
            }
        }
        assert_eq!(rows, 2 * RING_BLOCKS_MAX);
        drop(live);
        assert!(matches!(subscription.next().await, Next::Closed));
    }
}

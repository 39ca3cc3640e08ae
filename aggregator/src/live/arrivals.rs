//! How old what arrives is: rules look again at a time whose lines came late.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::block::Block;
use crate::store::receipts::Span;

/// Arrivals are remembered this long.
const HORIZON_NS: i64 = 3600 * 1_000_000_000;
/// Arrivals that are remembered; neighbours are joined when there are more.
const ARRIVALS_MAX: usize = 4_096;
/// Lines of one block that are further apart than this are arrivals of their own.
const GAP_NS: i64 = 60 * 1_000_000_000;
/// Arrivals of one block; what is left of it is one.
const PIECES_MAX: usize = 8;

/// Lines that became searchable together: when, and between which times they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Later ones have greater numbers. Two that were joined have the number of the later.
    pub number: u64,
    pub wall_ns: i64,
    pub oldest_ns: i64,
    pub newest_ns: i64,
    /// Between which times they were received, both included.
    pub received: (i64, i64),
}

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Arrivals(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    last: u64,
    all: VecDeque<Arrival>,
}

impl Arrivals {
    /// Notes a block that has just become searchable. Its rows are in the order of time.
    pub fn note(&self, block: &Block, wall_ns: i64) {
        self.note_times(block.times(), block.received().span.unwrap_or((wall_ns, wall_ns)), wall_ns);
    }

    fn note_times(&self, times: &[i64], received: Span, wall_ns: i64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut rest, mut pieces) = (times, 0);
        while let (Some(oldest_ns), Some(last)) = (rest.first().copied(), rest.last().copied()) {
            pieces += 1;
            let gap = rest.windows(2).position(|pair| pair[1].saturating_sub(pair[0]) > GAP_NS);
            let end = gap.filter(|_| pieces < PIECES_MAX).map_or(rest.len(), |last| last + 1);
            let newest_ns = if end == rest.len() { last } else { rest[end - 1] };
            known.add(wall_ns, (oldest_ns, newest_ns), received);
            rest = &rest[end..];
        }
    }

    /// Everything after a number that is not an hour ago, in the order of arrival.
    pub fn after(&self, number: u64) -> Vec<Arrival> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = known.all.partition_point(|arrival| arrival.number <= number);
        known.all.range(first..).copied().collect()
    }
}

impl Known {
    fn add(&mut self, wall_ns: i64, (oldest_ns, newest_ns): Span, received: Span) {
        let horizon = wall_ns.saturating_sub(HORIZON_NS);
        while self.all.front().is_some_and(|first| first.wall_ns < horizon) {
            self.all.pop_front();
        }
        if self.all.len() >= ARRIVALS_MAX {
            // The later of two and the lines of both: looked at once more than needed, never once less.
            let joined = |pair: &[Arrival]| {
                pair.iter().copied().reduce(|a, b| Arrival {
                    number: a.number.max(b.number),
                    wall_ns: a.wall_ns.max(b.wall_ns),
                    oldest_ns: a.oldest_ns.min(b.oldest_ns),
                    newest_ns: a.newest_ns.max(b.newest_ns),
                    received: (a.received.0.min(b.received.0), a.received.1.max(b.received.1)),
                })
            };
            self.all = self.all.make_contiguous().chunks(2).filter_map(joined).collect();
        }
        self.last += 1;
        self.all.push_back(Arrival { number: self.last, wall_ns, oldest_ns, newest_ns, received });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    #[test]
    fn arrivals_are_bounded_in_number_and_in_time() {
        let arrivals = Arrivals::default();
        for i in 0..20_000 {
            arrivals.note_times(&[i - 10, i], (i, i), i);
        }
        let all = arrivals.after(0);
        assert!(all.len() <= ARRIVALS_MAX);
        let last = all.last().expect("the last one");
        assert_eq!((all[0].oldest_ns, last.wall_ns, last.number, last.newest_ns), (-10, 19_999, 20_000, 19_999));
        assert_eq!((all[0].received.0, last.received), (0, (19_999, 19_999)));
        assert!(all.windows(2).all(|pair| pair[0].number < pair[1].number));
        assert_eq!(arrivals.after(19_999), [*last]);
        arrivals.note_times(&[0], (0, 0), 2 * HORIZON_NS);
        assert_eq!(arrivals.after(0).len(), 1);
    }

    #[test]
    fn history_and_the_present_in_one_block_are_two_arrivals() {
        let arrivals = Arrivals::default();
        arrivals.note_times(&[], (0, 0), 0);
        arrivals.note_times(&[-90_000 * S, -89_990 * S, S, 2 * S], (3 * S, 3 * S), 3 * S);
        let spans =
            |after| arrivals.after(after).iter().map(|a| (a.oldest_ns / S, a.newest_ns / S)).collect::<Vec<_>>();
        assert_eq!(spans(0), [(-90_000, -89_990), (1, 2)]);
        let scattered: Vec<i64> = (0..20).map(|i| i * 100 * S).collect();
        arrivals.note_times(&scattered, (3 * S, 3 * S), 3_000 * S);
        let spans = spans(2);
        assert_eq!((spans.len(), spans[0], spans[PIECES_MAX - 1]), (PIECES_MAX, (0, 0), (700, 1_900)));
    }
}

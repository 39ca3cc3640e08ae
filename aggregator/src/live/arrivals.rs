//! How old what arrives is: rules look again at a time whose lines came late.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::block::Block;

/// Arrivals are remembered, and lines are looked at, this far back.
const HORIZON_NS: i64 = 3600 * 1_000_000_000;
/// Arrivals that are remembered; neighbours are joined when there are more.
const ARRIVALS_MAX: usize = 4_096;

/// Lines that became searchable together: when, and the oldest time among those that are within the horizon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    pub wall_ns: i64,
    pub oldest_ns: i64,
}

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Arrivals(Arc<Mutex<VecDeque<Arrival>>>);

impl Arrivals {
    /// Notes a block that has just become searchable. Its rows are in the order of time.
    pub fn note(&self, block: &Block, wall_ns: i64) {
        let horizon = wall_ns.saturating_sub(HORIZON_NS);
        let times = block.times();
        let Some(oldest_ns) = times.get(times.partition_point(|time| *time < horizon)).copied() else { return };
        self.add(Arrival { wall_ns, oldest_ns });
    }

    fn add(&self, arrival: Arrival) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let horizon = arrival.wall_ns.saturating_sub(HORIZON_NS);
        while all.front().is_some_and(|first| first.wall_ns < horizon) {
            all.pop_front();
        }
        if all.len() >= ARRIVALS_MAX {
            // The later time of two and the older line: looked at once more than needed, never once less.
            let joined = |pair: &[Arrival]| Arrival {
                wall_ns: pair.iter().map(|a| a.wall_ns).max().unwrap_or(i64::MIN),
                oldest_ns: pair.iter().map(|a| a.oldest_ns).min().unwrap_or(i64::MAX),
            };
            let pairs: VecDeque<Arrival> = all.make_contiguous().chunks(2).map(joined).collect();
            *all = pairs;
        }
        all.push_back(arrival);
    }

    /// Everything of the last hour, in the order of arrival.
    pub fn all(&self) -> Vec<Arrival> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_bounded_in_number_and_in_time() {
        let arrivals = Arrivals::default();
        for i in 0..20_000 {
            arrivals.add(Arrival { wall_ns: i, oldest_ns: i - 10 });
        }
        let all = arrivals.all();
        assert!(all.len() <= ARRIVALS_MAX);
        assert_eq!((all[0].oldest_ns, all.last().map(|a| a.wall_ns)), (-10, Some(19_999)));
        arrivals.add(Arrival { wall_ns: 2 * HORIZON_NS, oldest_ns: 0 });
        assert_eq!(arrivals.all().len(), 1);
    }
}

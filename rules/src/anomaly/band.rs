//! The seasonal band: what is usual at this time of the day or the week, and how far a value is from it.
//!
//! The value is compared with the same slot and its two neighbours over the seasons that are remembered: their median,
//! and the median distance from it. Needs three seasons.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Seasons before the band says anything.
pub(super) const SEASONS_MIN: usize = 3;
/// Seasons that are remembered.
const SEASONS_KEPT: usize = 7;
/// Deviations from the median at which the score is one half.
const HALF_SCORE_DEVIATIONS: f64 = 6.0;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Band {
    period: usize,
    history: VecDeque<f32>,
}

/// The usual range at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usual {
    pub(super) middle: f64,
    /// One robust standard deviation, never zero.
    pub(super) deviation: f64,
}

impl Band {
    pub(super) fn new(period: usize) -> Band {
        Band { period: period.max(1), history: VecDeque::new() }
    }

    /// The usual range at the time of the sample that comes next; `moved` as in [`super::record::Record`].
    pub(super) fn usual(&self, moved: i64) -> Option<Usual> {
        let mut near = Vec::with_capacity(SEASONS_KEPT * 3);
        for season in 1..=SEASONS_KEPT {
            for neighbour in -1i64..=1 {
                let back = i64::try_from(season * self.period).ok()? - moved + neighbour;
                let index = usize::try_from(back).ok().and_then(|back| self.history.len().checked_sub(back));
                near.extend(index.and_then(|index| self.history.get(index)).map(|value| f64::from(*value)));
            }
        }
        if self.history.len() < SEASONS_MIN * self.period || near.is_empty() {
            return None;
        }
        let middle = median(&mut near);
        let mut distances: Vec<f64> = near.iter().map(|value| (value - middle).abs()).collect();
        // A count that is always the same may still differ by a few: the spread is never less than that of chance.
        let least = (middle.abs() * 0.02).max(0.5);
        Some(Usual { middle, deviation: (1.4826 * median(&mut distances)).max(least) })
    }

    pub(super) fn push(&mut self, value: f64) {
        if self.history.len() >= (SEASONS_KEPT + 1) * self.period {
            self.history.pop_front();
        }
        self.history.push_back(value as f32);
    }
}

/// How far above and below the usual, in `[0, 1)`.
pub(super) fn score(usual: Usual, value: f64) -> (f64, f64) {
    // Within three deviations nothing is unusual.
    let graded = |deviations: f64| {
        let excess = (deviations - 3.0).max(0.0);
        excess / (excess + HALF_SCORE_DEVIATIONS)
    };
    (graded((value - usual.middle) / usual.deviation), graded((usual.middle - value) / usual.deviation))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

//! The `record` detector: leaky extremes over four simple features.
//!
//! A value is unusual when it breaks what the series has remembered, and how unusual is measured in units of the
//! remembered spread. The features are the value, the least of the last 6, the least of the last 12, and the change
//! against the same time one season before; the extremes leak towards the mean, so that a record of last year is not
//! a record for ever. State per series: the last season and 28 numbers. Strictly causal.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Samples before an extreme says anything.
pub const WARM_SAMPLES: u64 = 150;
/// Half-life of the remembered extremes: 70 days of five minutes.
const HALF_LIFE_SAMPLES: f64 = 20_000.0;
/// Weight of a new sample in the mean, once there are enough.
const MEAN_WEIGHT: f64 = 1.0 / 500.0;
const SHORT: usize = 6;
const LONG: usize = 12;
const WEIGHTS: [f64; 4] = [0.4, 0.4, 1.0, 0.4];
const WEIGHT_SUM: f64 = 2.2;

/// What a feature's excess is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Spread {
    Range,
    Deviation,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Extremes {
    high: f64,
    low: f64,
    mean: f64,
    variance: f64,
    samples: u64,
    spread: Spread,
}

impl Extremes {
    pub(super) const fn new(spread: Spread) -> Extremes {
        Extremes { high: 0.0, low: 0.0, mean: 0.0, variance: 0.0, samples: 0, spread }
    }

    /// How far `feature` breaks the remembered range, in `[0, 1)`: above it and below it.
    pub(super) fn score(&self, feature: f64) -> (f64, f64) {
        if self.samples < WARM_SAMPLES {
            return (0.0, 0.0);
        }
        let mut unit = match self.spread {
            Spread::Range => self.high - self.low,
            Spread::Deviation => 6.0 * self.variance.sqrt(),
        };
        if unit < 1e-9 * self.high.abs().max(1.0) {
            unit = (self.high.abs() * 0.01).max(1e-9);
        }
        let graded = |excess: f64| if excess > 0.0 { excess / (excess + 0.5) } else { 0.0 };
        (graded((feature - self.high) / unit), graded((self.low - feature) / unit))
    }

    /// What lies above the remembered range by a part of it.
    pub(super) fn beyond(&self, part: f64) -> f64 {
        self.high + part * (self.high - self.low)
    }

    pub(super) fn learn(&mut self, feature: f64) {
        if self.samples == 0 {
            (self.high, self.low, self.mean) = (feature, feature, feature);
        }
        if self.spread == Spread::Range {
            let leak = 1.0 - 0.5f64.powf(1.0 / HALF_LIFE_SAMPLES);
            self.high -= leak * (self.high - self.mean);
            self.low += leak * (self.mean - self.low);
        }
        self.low = self.low.min(feature);
        self.high = self.high.max(feature);
        let weight = MEAN_WEIGHT.max(1.0 / (self.samples as f64 + 1.0));
        let off = feature - self.mean;
        self.variance = (1.0 - weight) * (self.variance + weight * off * off);
        self.mean += weight * off;
        self.samples += 1;
    }
}

/// The detector of one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Samples of one season; `None`: the series has none, or it is not known.
    period: Option<usize>,
    recent: VecDeque<f64>,
    season: VecDeque<f64>,
    extremes: [Extremes; 4],
}

/// The features of one sample, before anything was learned from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Features([Option<f64>; 4]);

/// Samples by which a change to or from summer time moves the same time of yesterday, at most.
const CLOCK_CHANGE_SAMPLES: usize = 60;

impl Record {
    pub fn new(period: Option<usize>) -> Record {
        let extremes = [
            Extremes::new(Spread::Range),
            Extremes::new(Spread::Range),
            Extremes::new(Spread::Range),
            Extremes::new(Spread::Deviation),
        ];
        Record { period, recent: VecDeque::with_capacity(LONG), season: VecDeque::new(), extremes }
    }

    /// Takes a sample, learns from it and says how much of a record it is, up or down, in `[0, 1)`.
    pub fn push(&mut self, value: f64) -> f64 {
        let features = self.see(value, 0);
        let (up, down) = self.score(features);
        self.learn(features);
        up + down
    }

    /// Takes a sample. `moved` is by how many samples the same time of the last season lies later than one period ago.
    pub(super) fn see(&mut self, value: f64, moved: i64) -> Features {
        push_capped(&mut self.recent, value, LONG);
        let least = |count: usize| self.recent.iter().rev().take(count).copied().fold(f64::INFINITY, f64::min);
        let (short, long) = (least(SHORT), least(LONG));
        let change = self.period.map(|period| {
            push_capped(&mut self.season, value, period + 1 + CLOCK_CHANGE_SAMPLES);
            self.before(period, moved).map_or(0.0, |before| value - before)
        });
        Features([Some(value), Some(short), Some(long), change])
    }

    fn before(&self, period: usize, moved: i64) -> Option<f64> {
        let back = usize::try_from(i64::try_from(period).ok()? - moved).ok()?;
        self.season.len().checked_sub(back + 1).and_then(|index| self.season.get(index)).copied()
    }

    /// The value at the same time of the last season, as seen from the newest sample.
    pub(super) fn season_ago(&self, moved: i64) -> Option<f64> {
        self.before(self.period?, moved)
    }

    /// Puts another value in the place of the newest, so that the next season is not compared with an incident.
    pub(super) fn replace_newest(&mut self, value: f64) {
        if let Some(newest) = self.season.back_mut() {
            *newest = value;
        }
    }

    pub(super) fn score(&self, features: Features) -> (f64, f64) {
        let (mut up, mut down) = (0.0, 0.0);
        for ((extremes, feature), weight) in self.extremes.iter().zip(features.0).zip(WEIGHTS) {
            let Some(feature) = feature else { continue };
            let (above, below) = extremes.score(feature);
            up += weight * above / WEIGHT_SUM;
            down += weight * below / WEIGHT_SUM;
        }
        (up, down)
    }

    pub(super) fn learn(&mut self, features: Features) {
        for (extremes, feature) in self.extremes.iter_mut().zip(features.0) {
            if let Some(feature) = feature {
                extremes.learn(feature);
            }
        }
    }

    pub(super) fn mean(&self) -> f64 {
        self.extremes[0].mean
    }
}

fn push_capped(deque: &mut VecDeque<f64>, value: f64, cap: usize) {
    if deque.len() >= cap {
        deque.pop_front();
    }
    deque.push_back(value);
}

//! The nearest neighbours: a run of values whose shape was not there before.
//!
//! The last [`RUN`] values are compared with every run of the remembered history; the distance to the nearest few says
//! how strange they are, and is judged as a value is by `record`: by the distances that there were. Finds changes of shape within the range
//! that is known, which the other detectors cannot see. A value costs as much as its history is long, so that a rule may
//! have few series with it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::record::{Extremes, Spread};

/// Values of one run.
const RUN: usize = 6;
/// Values that are remembered, a week of five minutes; it says nothing before.
pub(super) const HISTORY: usize = 2_016;
/// What an incident adds to the range of the distances, at the most.
const CONCEDED: f64 = 0.25;
/// Runs that a run is compared with, the nearest of all.
const NEAREST: usize = 5;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Knn {
    history: VecDeque<f32>,
    /// The newest values as they came, also those of an incident.
    run: VecDeque<f32>,
    /// The distances that there were.
    known: Extremes,
}

/// How far a run is from those before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Strange {
    distance: f64,
    /// Above what its neighbours had last.
    is_up: bool,
}

impl Knn {
    pub(super) const fn new() -> Knn {
        Knn { history: VecDeque::new(), run: VecDeque::new(), known: Extremes::new(Spread::Range) }
    }

    /// Takes a value into the run, and says how strange the run is. Nothing of it is learned yet.
    pub(super) fn see(&mut self, value: f64) -> Option<Strange> {
        if self.run.len() == RUN {
            self.run.pop_front();
        }
        self.run.push_back(value as f32);
        // What little it knows at first would make everything strange.
        if self.run.len() < RUN || self.history.len() < HISTORY {
            return None;
        }
        let mut nearest: Vec<(f32, f32)> = Vec::with_capacity(NEAREST + 1);
        let history: Vec<f32> = self.history.iter().copied().collect();
        let run: Vec<f32> = self.run.iter().copied().collect();
        for past in history.windows(RUN) {
            let square: f32 = past.iter().zip(&run).map(|(a, b)| (a - b) * (a - b)).sum();
            if nearest.len() < NEAREST || nearest.last().is_some_and(|(most, _)| square < *most) {
                let at = nearest.partition_point(|(known, _)| *known <= square);
                nearest.insert(at, (square, past[RUN - 1]));
                nearest.truncate(NEAREST);
            }
        }
        let count = nearest.len() as f64;
        let distance = nearest.iter().map(|(square, _)| f64::from(square.max(0.0)).sqrt()).sum::<f64>() / count;
        let usual = nearest.iter().map(|(_, last)| f64::from(*last)).sum::<f64>() / count;
        Some(Strange { distance, is_up: value > usual })
    }

    /// Up and down, in `[0, 1)`.
    pub(super) fn score(&self, strange: Option<Strange>) -> (f64, f64) {
        let Some(Strange { distance, is_up }) = strange else { return (0.0, 0.0) };
        let (score, _) = self.known.score(distance);
        if is_up { (score, 0.0) } else { (0.0, score) }
    }

    /// Learns of the first run of an incident that there are such distances, a little: what comes every day is an
    /// incident on the first days only, and one far from everything hides none after it.
    pub(super) fn concede(&mut self, strange: Option<Strange>) {
        if let Some(Strange { distance, .. }) = strange {
            self.known.learn(distance.min(self.known.beyond(CONCEDED)));
        }
    }

    /// Learns a value, and what its run was like unless that was an incident.
    pub(super) fn learn(&mut self, value: f64, strange: Option<Strange>) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(value as f32);
        if let Some(Strange { distance, .. }) = strange {
            self.known.learn(distance);
        }
    }
}

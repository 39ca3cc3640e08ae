//! From a score to an alert: the threshold that a series' own history would have exceeded as often as is wanted.
//!
//! The peaks of the score (one for a run of samples that are close together) of the last 35 days are kept, the highest
//! first. A generalised Pareto distribution is fitted to their excesses over the least of them by its moments, and the
//! threshold is the level that it expects to be exceeded the wanted number of times a month.

use serde::{Deserialize, Serialize};

/// Peaks that are remembered.
const PEAKS_MAX: usize = 48;
/// Peaks that a fit needs.
const PEAKS_MIN: usize = 8;
/// A lower score is no peak.
const PEAK_SCORE_MIN: f64 = 0.005;
/// Samples between two peaks.
const APART_SAMPLES: u64 = 12;
const MONTH_NS: f64 = 30.0 * 86_400e9;
/// How long a peak counts.
const MEMORY_NS: i64 = 35 * 86_400 * 1_000_000_000;
/// The threshold is never lower: a hair over the last record is no news.
pub(super) const THRESHOLD_MIN: f64 = 0.04;
/// The threshold is never higher: a value far from everything seen is an alert, however restless the series was.
pub(super) const THRESHOLD_MAX: f64 = 0.35;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Peak {
    score: f64,
    at: i64,
    sample: u64,
}

/// The memory of the highest scores of one series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Calibration {
    peaks: Vec<Peak>,
    since: Option<i64>,
    samples: u64,
}

impl Calibration {
    pub(super) fn push(&mut self, at: i64, score: f64) {
        let since = *self.since.get_or_insert(at);
        self.since = Some(since.max(at.saturating_sub(MEMORY_NS)));
        self.samples += 1;
        if score < PEAK_SCORE_MIN {
            return;
        }
        self.peaks.retain(|peak| at.saturating_sub(peak.at) <= MEMORY_NS);
        let new = Peak { score, at, sample: self.samples };
        let near = |peak: &Peak| self.samples - peak.sample < APART_SAMPLES;
        match self.peaks.iter().position(near) {
            Some(index) => {
                let higher = self.peaks[index].score.max(score);
                self.peaks[index] = Peak { score: higher, ..new };
            }
            None => self.peaks.push(new),
        }
        self.peaks.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.peaks.truncate(PEAKS_MAX);
    }

    /// The threshold for `wanted` alerts a month; `base` where the history is too short to say.
    pub(super) fn threshold(&self, now: i64, wanted: f64, base: f64) -> f64 {
        let Some(fitted) = self.fitted(now, wanted) else { return base };
        // The less history there is, the less it moves the threshold.
        let months = self.months(now);
        let trust = months / (months + 0.25);
        (base + trust * (fitted - base)).clamp(THRESHOLD_MIN, THRESHOLD_MAX)
    }

    fn months(&self, now: i64) -> f64 {
        self.since.map_or(0.0, |since| now.saturating_sub(since).max(0) as f64 / MONTH_NS)
    }

    fn fitted(&self, now: i64, wanted: f64) -> Option<f64> {
        let least = self.peaks.last()?.score;
        let months = self.months(now);
        if self.peaks.len() < PEAKS_MIN || months <= 0.0 {
            return None;
        }
        let count = self.peaks.len() as f64;
        let excesses = || self.peaks.iter().map(|peak| peak.score - least);
        let mean = excesses().sum::<f64>() / count;
        let variance = excesses().map(|excess| (excess - mean).powi(2)).sum::<f64>() / count;
        let times = count / months / wanted;
        if times <= 1.0 || mean <= 0.0 {
            return Some(least);
        }
        let ratio = mean * mean / variance.max(1e-12);
        let (shape, scale) = ((0.5 * (1.0 - ratio)).clamp(-0.5, 0.5), 0.5 * mean * (ratio + 1.0));
        let excess = if shape.abs() < 1e-6 { scale * times.ln() } else { scale / shape * (times.powf(shape) - 1.0) };
        Some(least + excess)
    }
}

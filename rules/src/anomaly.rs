//! A series that behaves as it never did: scores, thresholds from its own history, and a state that lasts.
//!
//! Values come once per bucket. While a series is anomalous its detector does not learn, so that an incident does not
//! become the usual and a second one like it is found again; after a day of it, the new level is taken for the usual.

mod band;
mod calibrate;
mod knn;
mod record;

use std::collections::VecDeque;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use band::Band;
use calibrate::Calibration;
use knn::Knn;
pub use record::{Record, WARM_SAMPLES};

/// A shift that lasts longer than this is the new usual.
pub const FROZEN_MAX_NS: i64 = 24 * 3600 * 1_000_000_000;
/// Days of which the extremes are remembered, for "highest in 12 days".
const DAYS_KEPT: usize = 35;
/// Score of an alert before the series has a history of its own.
const BASE_THRESHOLD: f64 = 0.10;
const DAY_NS: i64 = 86_400 * 1_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detector {
    Record,
    SeasonalBand,
    Knn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Up,
    Down,
    Both,
}

/// How a series is watched.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub detector: Detector,
    pub direction: Direction,
    /// Length of a season; `None`: there is none.
    pub season_ns: Option<i64>,
    /// The zone in which a day begins and summer time changes.
    pub zone: TimeZone,
    pub warmup_ns: i64,
    /// Expected false alerts a month.
    pub alerts_per_month: f64,
    /// A smaller value is never an anomaly.
    pub value_min: f64,
    /// Values are counts: their chance grows with their root.
    pub counts: bool,
    /// Buckets that are looked at together, and the share of them that must be unusual.
    pub window_buckets: u32,
    pub fraction: f64,
}

/// What is known of one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// The end of the newest bucket.
    pub last_at: i64,
    /// When it last had a line.
    pub alive_at: i64,
    first_at: i64,
    samples: u64,
    record: Record,
    band: Option<Band>,
    #[serde(default)]
    knn: Option<Knn>,
    calibration: Calibration,
    /// Newest in the lowest bit: whether the bucket was unusual.
    hot: u64,
    anomalous_since: Option<i64>,
    /// Greatest and least value of each day.
    days: VecDeque<(i64, f64, f64)>,
    hours: Vec<Hour>,
    verdict: Verdict,
}

/// What is usual in one hour of the day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Hour {
    mean: f64,
    deviation: f64,
    samples: u32,
}

/// What the newest bucket says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub anomaly: bool,
    pub score: f64,
    pub threshold: f64,
    /// Since when it has been anomalous.
    pub since: Option<i64>,
    /// `highest in 12 days; usual 2-14 at this hour`
    pub explain: String,
    pub usual: Option<(f64, f64)>,
}

impl Settings {
    fn period(&self, bucket_ns: i64) -> Option<usize> {
        let samples = self.season_ns? / bucket_ns.max(1);
        usize::try_from(samples).ok().filter(|samples| *samples >= 2)
    }

    /// Counts are compared by their roots, whose chance does not depend on their size.
    fn scaled(&self, value: f64) -> f64 {
        let signed = if self.direction == Direction::Down { -1.0 } else { 1.0 };
        signed * if self.counts { value.max(0.0).sqrt() } else { value }
    }

    /// Samples by which the same local time of the last season lies later than one season ago.
    fn moved(&self, at: i64, bucket_ns: i64) -> i64 {
        let Some(season_ns) = self.season_ns else { return 0 };
        let now = self.local_offset_s(at);
        let then = self.local_offset_s(at.saturating_sub(season_ns));
        (now - then) * 1_000_000_000 / bucket_ns.max(1)
    }

    fn local_offset_s(&self, at: i64) -> i64 {
        Timestamp::from_nanosecond(i128::from(at)).map_or(0, |time| i64::from(self.zone.to_offset(time).seconds()))
    }

    fn local(&self, at: i64) -> i64 {
        at.saturating_add(self.local_offset_s(at) * 1_000_000_000)
    }
}

impl Series {
    pub fn new(settings: &Settings, bucket_ns: i64, at: i64) -> Series {
        let period = settings.period(bucket_ns);
        Series {
            last_at: i64::MIN,
            alive_at: at,
            first_at: at,
            samples: 0,
            record: Record::new(period),
            band: period.filter(|_| settings.detector == Detector::SeasonalBand).map(Band::new),
            knn: (settings.detector == Detector::Knn).then(Knn::new),
            calibration: Calibration::default(),
            hot: 0,
            anomalous_since: None,
            days: VecDeque::new(),
            hours: vec![Hour::default(); 24],
            verdict: Verdict::default(),
        }
    }

    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Takes the value of the bucket that ends at `at`.
    pub fn push(&mut self, settings: &Settings, bucket_ns: i64, at: i64, value: f64) -> &Verdict {
        let moved = settings.moved(at, bucket_ns);
        let scaled = settings.scaled(value);
        let features = self.record.see(scaled, moved);
        let strange = self.knn.as_mut().and_then(|knn| knn.see(scaled));
        let (up, down) = match (&self.band, &self.knn) {
            (Some(band), _) => band.usual(moved).map_or((0.0, 0.0), |usual| band::score(usual, scaled)),
            (None, Some(knn)) => knn.score(strange),
            (None, None) => self.record.score(features),
        };
        let score = if settings.direction == Direction::Both { up.max(down) } else { up };
        let threshold = self.calibration.threshold(at, settings.alerts_per_month, BASE_THRESHOLD);
        self.samples += 1;
        let ready = self.is_ready(settings, bucket_ns, at);
        let hot = ready && score >= threshold && self.over_chance(settings, value, moved);
        self.hot = self.hot << 1 | u64::from(hot);
        self.decide(settings, at);
        let frozen = hot && self.anomalous_since.is_none_or(|since| at.saturating_sub(since) < FROZEN_MAX_NS);
        self.verdict = Verdict {
            anomaly: self.anomalous_since.is_some(),
            score,
            threshold,
            since: self.anomalous_since,
            explain: self.explain(settings, at, value),
            usual: self.usual(settings, at),
        };
        if ready {
            self.calibration.push(at, if hot { score.min(threshold) } else { score });
        }
        if frozen {
            let usual = self.record.season_ago(moved).unwrap_or_else(|| self.record.mean());
            self.record.replace_newest(usual);
            if let Some(band) = &mut self.band {
                band.push(usual);
            }
            if let Some(knn) = &mut self.knn {
                // A shape that comes every day is known after a few days only if it is remembered.
                knn.learn(scaled, None);
                if self.anomalous_since == Some(at) {
                    knn.concede(strange);
                }
            }
        } else {
            self.record.learn(features);
            if let Some(band) = &mut self.band {
                band.push(scaled);
            }
            if let Some(knn) = &mut self.knn {
                knn.learn(scaled, strange);
            }
            self.remember(settings, at, value);
        }
        self.last_at = at;
        &self.verdict
    }

    /// A season must have been seen, and enough of the next one to compare the two.
    fn is_ready(&self, settings: &Settings, bucket_ns: i64, at: i64) -> bool {
        let period = settings.period(bucket_ns).unwrap_or(0) as u64;
        let needed = match settings.detector {
            Detector::Record => period + WARM_SAMPLES,
            Detector::SeasonalBand => period * band::SEASONS_MIN as u64,
            Detector::Knn => knn::HISTORY as u64 + WARM_SAMPLES,
        };
        self.samples > needed && at.saturating_sub(self.first_at) >= settings.warmup_ns
    }

    /// Whether a value is large enough, and more than chance makes of what was there before.
    fn over_chance(&self, settings: &Settings, value: f64, moved: i64) -> bool {
        if value < settings.value_min && settings.direction != Direction::Down {
            return false;
        }
        if !settings.counts {
            return true;
        }
        let square = |root: f64| root * root;
        let mean = square(self.record.mean());
        let before = self.record.season_ago(moved).map_or(mean, square).max(mean);
        // Three deviations of a Poisson count, and three more, because the root of a small one is no measure.
        (value - before).abs() >= 3.0 * before.sqrt() + 3.0
    }

    fn decide(&mut self, settings: &Settings, at: i64) {
        let window = settings.window_buckets.clamp(1, 64);
        let count = |buckets: u32| (self.hot & (u64::MAX >> (64 - buckets.clamp(1, 64)))).count_ones();
        if f64::from(count(window)) / f64::from(window) >= settings.fraction && count(window) > 0 {
            self.anomalous_since.get_or_insert(at);
        } else if count(window.max(2)) == 0 {
            self.anomalous_since = None;
        }
    }

    fn remember(&mut self, settings: &Settings, at: i64, value: f64) {
        let local = settings.local(at.saturating_sub(1));
        let day = local.div_euclid(DAY_NS);
        match self.days.back_mut() {
            Some((last, low, high)) if *last == day => (*low, *high) = (low.min(value), high.max(value)),
            _ => {
                if self.days.len() >= DAYS_KEPT {
                    self.days.pop_front();
                }
                self.days.push_back((day, value, value));
            }
        }
        if let Some(hour) = self.hours.get_mut((local.rem_euclid(DAY_NS) / 3_600_000_000_000) as usize) {
            let weight = (1.0 / (f64::from(hour.samples) + 1.0)).max(0.02);
            let off = value - hour.mean;
            hour.mean += weight * off;
            hour.deviation += weight * (off.abs() - hour.deviation);
            hour.samples = hour.samples.saturating_add(1);
        }
    }

    fn usual(&self, settings: &Settings, at: i64) -> Option<(f64, f64)> {
        let local = settings.local(at.saturating_sub(1));
        let hour = self.hours.get((local.rem_euclid(DAY_NS) / 3_600_000_000_000) as usize)?;
        if hour.samples < 6 {
            return None;
        }
        let low = hour.mean - 2.0 * hour.deviation;
        Some((if settings.counts { low.max(0.0) } else { low }, hour.mean + 2.0 * hour.deviation))
    }

    fn explain(&self, settings: &Settings, at: i64, value: f64) -> String {
        let higher = self.days.iter().rev().take_while(|(_, _, high)| *high < value).count();
        let lower = self.days.iter().rev().take_while(|(_, low, _)| *low > value).count();
        let days = |count: usize| if count == 1 { "1 day".to_owned() } else { format!("{count} days") };
        let mut parts = Vec::new();
        if higher > 0 && settings.direction != Direction::Down {
            parts.push(format!("highest in {}", days(higher)));
        } else if lower > 0 && settings.direction != Direction::Up {
            parts.push(format!("lowest in {}", days(lower)));
        }
        if let Some((low, high)) = self.usual(settings, at) {
            parts.push(format!("usual {}-{} at this hour", short(low), short(high)));
        }
        parts.join("; ")
    }
}

fn short(value: f64) -> String {
    if value.abs() >= 10.0 { format!("{value:.0}") } else { format!("{}", (value * 10.0).round() / 10.0) }
}

#[cfg(test)]
mod tests;

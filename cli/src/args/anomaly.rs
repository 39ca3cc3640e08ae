//! The arguments of `logweir anomaly`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Find what is unusual in a series of a file
///
/// Reads rows of timestamp,value and writes timestamp,value,score,alert, with the detector and the thresholds that the
/// alert rules use. Exits 4 when rows were left out.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  logweir anomaly requests.csv --direction down")]
pub struct AnomalyArgs {
    /// Rows of timestamp,value; times as 2026-01-05 12:00:00 (UTC), RFC 3339 or seconds since 1970
    #[arg(value_name = "FILE.csv")]
    pub file: PathBuf,
    /// How unusual is told from usual
    #[arg(long, value_enum, default_value_t = AnomalyDetector::Record)]
    pub detector: AnomalyDetector,
    /// Which side matters for an alert
    #[arg(long, value_enum, default_value_t = AnomalyDirection::Both)]
    pub direction: AnomalyDirection,
    /// Expected false alerts a month: low 1, medium 3, high 10
    #[arg(long, value_enum, default_value_t = AnomalySensitivity::Medium)]
    pub sensitivity: AnomalySensitivity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AnomalyDetector {
    /// A value that breaks what the series has remembered
    Record,
    /// A value far from what is usual at this time of the day
    #[value(name = "seasonal_band")]
    SeasonalBand,
    /// A run of values whose shape was not there before
    Knn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AnomalyDirection {
    Up,
    Down,
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AnomalySensitivity {
    Low,
    Medium,
    High,
}

//! Alerting: how long from a line in a file to the request at a receiver, what a thousand rules cost, how long a
//! backtest over a month takes.

mod load;
mod past;
mod scan;
mod seconds;

use std::time::Duration;

use logweir_runtime::clock::{Clock, rfc3339};

pub use load::LoadFigures;
pub use past::PastFigures;
pub use scan::ScanFigures;
pub use seconds::SecondsFigures;

use crate::harness::Scratch;

const S: i64 = 1_000_000_000;
/// Lines of one request of NDJSON.
const LINES_PER_REQUEST: usize = 5_000;

#[derive(Debug, Clone, Default)]
pub struct AlertingFigures {
    pub seconds: SecondsFigures,
    pub load: LoadFigures,
    pub past: PastFigures,
    pub scan: ScanFigures,
}

/// `part`: only `latency`, `load` or `backtest`; `scan`, over `millions` of lines, only when it is asked for.
pub async fn measure(scratch: &Scratch, part: Option<&str>, millions: u64) -> anyhow::Result<AlertingFigures> {
    let wants = |name: &str| part.is_none_or(|part| part == name);
    let mut figures = AlertingFigures::default();
    if wants("latency") {
        figures.seconds = seconds::measure(scratch).await?;
    }
    if wants("load") {
        figures.load = load::measure(scratch).await?;
    }
    if wants("backtest") {
        figures.past = past::measure(scratch).await?;
    }
    if part == Some("scan") {
        figures.scan = scan::measure(scratch, millions).await?;
    }
    Ok(figures)
}

fn now_ns() -> i64 {
    Clock::system().now_ns()
}

fn time(ns: i64) -> String {
    rfc3339(ns)
}

/// The value below which so many percent lie.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_secs).collect();
        assert_eq!(percentile(&sorted, 50), Duration::from_secs(100));
        assert_eq!(percentile(&sorted, 99), Duration::from_secs(198));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }
}

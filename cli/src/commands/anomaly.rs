//! `logweir anomaly`: the detector of the alert rules over a series in a file.

use std::path::Path;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use logweir_rules::anomaly::{Detector, Direction, Record, Series, Settings};

use crate::args::{AnomalyArgs, AnomalyDetector, AnomalyDirection, AnomalySensitivity};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::Console;

const DAY_NS: i64 = 86_400 * 1_000_000_000;
/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Rows whose distances say how far apart the values are.
const STEP_ROWS: usize = 1_000;

struct Row<'a> {
    timestamp: &'a str,
    at: i64,
    value: f64,
}

/// Reads `timestamp,value`, writes `timestamp,value,score,alert`. Rows that are no values are named and left out.
pub(super) fn run(args: &AnomalyArgs, console: &mut Console) -> Result<Exit> {
    let read = |source| CliError::Read { path: args.file.clone(), source };
    let bytes = std::fs::metadata(&args.file).map_err(read)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(CliError::Usage(format!("{} has {bytes} bytes, at most {FILE_BYTES_MAX}", args.file.display())));
    }
    let text = std::fs::read_to_string(&args.file).map_err(read)?;
    let (rows, wrong) = rows(&args.file, &text);
    for problem in &wrong {
        console.warn(problem);
    }
    if rows.is_empty() {
        console.note("there are no values");
        return Ok(if wrong.is_empty() { Exit::No } else { Exit::Usage });
    }
    console.line("timestamp,value,score,alert")?;
    for (row, (score, alert)) in rows.iter().zip(judge(args, &rows)) {
        console.line(&format!("{},{},{score:.6},{}", row.timestamp, row.value, u8::from(alert)))?;
    }
    Ok(if wrong.is_empty() { Exit::Ok } else { Exit::Partial })
}

/// The score of each row, and whether a rule over this series would say that it is anomalous.
fn judge(args: &AnomalyArgs, rows: &[Row<'_>]) -> Vec<(f64, bool)> {
    let step_ns = step_ns(rows);
    let period = usize::try_from(DAY_NS / step_ns).ok().filter(|samples| *samples >= 2);
    let settings = Settings {
        detector: match args.detector {
            AnomalyDetector::Record => Detector::Record,
            AnomalyDetector::SeasonalBand => Detector::SeasonalBand,
            AnomalyDetector::Knn => Detector::Knn,
        },
        direction: match args.direction {
            AnomalyDirection::Up => Direction::Up,
            AnomalyDirection::Down => Direction::Down,
            AnomalyDirection::Both => Direction::Both,
        },
        season_ns: period.map(|_| DAY_NS),
        zone: TimeZone::UTC,
        warmup_ns: 0,
        alerts_per_month: match args.sensitivity {
            AnomalySensitivity::Low => 1.0,
            AnomalySensitivity::Medium => 3.0,
            AnomalySensitivity::High => 10.0,
        },
        value_min: f64::NEG_INFINITY,
        counts: false,
        window_buckets: 1,
        fraction: 0.5,
    };
    let mut record = Record::new(period);
    let mut series = Series::new(&settings, step_ns, rows.first().map_or(0, |row| row.at));
    let judge = |row: &Row<'_>| {
        // The score is that of the detector alone: in an alert it goes on learning, which a rule does not.
        let plain = record.push(row.value);
        let verdict = series.push(&settings, step_ns, row.at, row.value);
        let score = if args.detector == AnomalyDetector::Record { plain } else { verdict.score };
        (score, verdict.anomaly)
    };
    rows.iter().map(judge).collect()
}

/// The usual distance of two rows.
fn step_ns(rows: &[Row<'_>]) -> i64 {
    let pairs = rows.iter().take(STEP_ROWS).zip(rows.iter().skip(1));
    let mut steps: Vec<i64> = pairs.map(|(a, b)| b.at - a.at).filter(|step| *step > 0).collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied().unwrap_or(300_000_000_000)
}

fn rows<'a>(file: &Path, text: &'a str) -> (Vec<Row<'a>>, Vec<String>) {
    let (mut rows, mut wrong) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let is_header = index == 0 && line.to_ascii_lowercase().starts_with("timestamp");
        if line.is_empty() || is_header {
            continue;
        }
        match row(line) {
            Ok(row) => rows.push(row),
            Err(reason) => wrong.push(format!("{}:{}: {reason}", file.display(), index + 1)),
        }
    }
    (rows, wrong)
}

fn row(line: &str) -> std::result::Result<Row<'_>, String> {
    let mut columns = line.split(',').map(str::trim);
    let (Some(timestamp), Some(value)) = (columns.next(), columns.next()) else {
        return Err("a row is timestamp,value".to_owned());
    };
    let timestamp = timestamp.trim_matches('"');
    let at = time(timestamp).ok_or_else(|| format!("'{timestamp}' is no time; for example 2026-01-05 12:00:00"))?;
    let number = value.parse::<f64>().ok().filter(|value| value.is_finite());
    let value = number.ok_or_else(|| format!("'{value}' is no number"))?;
    Ok(Row { timestamp, at, value })
}

/// `2026-01-05 12:00:00` in UTC, RFC 3339, or seconds or milliseconds since the epoch.
fn time(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse::<i64>() {
        let unit = if number.abs() < 100_000_000_000 { 1_000_000_000 } else { 1_000_000 };
        return number.checked_mul(unit);
    }
    let zoned = text.parse::<Timestamp>().ok();
    let time = zoned.or_else(|| text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|t| t.timestamp()))?;
    i64::try_from(time.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_wrong_ones_are_named() {
        let text = "timestamp,value\n2014-04-01 00:00:00,1.5\n\n2014-04-01T00:05:00Z, 2\nnow,3\n1700000000,x\n1700000000\n1700000000000,4\n";
        let (rows, wrong) = rows(Path::new("f.csv"), text);
        let times: Vec<(i64, f64)> = rows.iter().map(|row| (row.at / 1_000_000_000, row.value)).collect();
        assert_eq!(times, [(1_396_310_400, 1.5), (1_396_310_700, 2.0), (1_700_000_000, 4.0)]);
        expect_test::expect![[r#"
            f.csv:5: 'now' is no time; for example 2026-01-05 12:00:00
            f.csv:6: 'x' is no number
            f.csv:7: a row is timestamp,value"#]]
        .assert_eq(&wrong.join("\n"));
    }

    #[test]
    fn a_spike_is_an_alert_and_scores_highest() {
        let texts: Vec<String> = (0..900).map(|i| (1_700_000_000 + i * 300).to_string()).collect();
        let value = |i: usize| if i == 800 { 90.0 } else { 10.0 + (i * 7 % 5) as f64 };
        let rows: Vec<Row<'_>> = texts
            .iter()
            .enumerate()
            .map(|(i, timestamp)| Row { timestamp, at: time(timestamp).expect("a time"), value: value(i) })
            .collect();
        let args = AnomalyArgs {
            file: "f.csv".into(),
            detector: AnomalyDetector::Record,
            direction: AnomalyDirection::Both,
            sensitivity: AnomalySensitivity::Medium,
        };
        let judged = judge(&args, &rows);
        let best = (450..900).max_by(|a, b| judged[*a].0.total_cmp(&judged[*b].0));
        assert_eq!(best, Some(800));
        assert!(judged[800].1 && judged[..800].iter().all(|(_, alert)| !alert));
    }
}

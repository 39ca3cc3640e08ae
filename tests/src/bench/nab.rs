//! The score of the Numenta Anomaly Benchmark for `logweir anomaly`, over a copy of the corpus that the caller has.
//!
//! The corpus is a folder with `data/DIR/FILE.csv` (`timestamp,value`) and `labels/combined_windows.json` (for each file a
//! list of windows, begin and end included). What is scored is the column `score` of `logweir anomaly`, so the code that
//! runs in production.
//!
//! The definition, as it is published: with σ(x) = 2 / (1 + e^5x) − 1, the row at place `i` of a window of `w` rows that
//! ends at row `r` is worth σ(−(r − i + 1) / w) / σ(−1): nearly one at its beginning, nothing at its end. Of a window only
//! the best row that is found counts, and a window without one costs the profile's `missed`. A row that is found outside
//! costs the profile's `false_alarm` times σ of its distance behind the last window, in lengths of that window (−1 before
//! the first window and from three lengths on). The first 15 % of a file, at most 750 rows, are not looked at. One
//! threshold is chosen for each profile, the best over the whole corpus. 0 is finding nothing, 100 is finding every window
//! at once and nothing else.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use jiff::civil::DateTime;

use crate::harness::programs;

/// What a profile weighs, and the least that `record` must reach in it.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    pub name: &'static str,
    pub false_alarm: f64,
    pub missed: f64,
    pub gate: f64,
}

pub const PROFILES: [Profile; 3] = [
    Profile { name: "standard", false_alarm: 0.11, missed: 1.0, gate: 70.0 },
    Profile { name: "low FP", false_alarm: 0.22, missed: 1.0, gate: 59.0 },
    Profile { name: "low FN", false_alarm: 0.11, missed: 2.0, gate: 75.0 },
];

const PROBATION: f64 = 0.15;
const PROBATION_ROWS_MAX: usize = 750;

/// The scores of one file, and its windows as rows, the last one included.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scored {
    pub scores: Vec<f64>,
    pub windows: Vec<(usize, usize)>,
}

/// What a row is worth when it is found.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Worth {
    /// Of a window, by number.
    Window(usize, f64),
    Outside(f64),
}

fn sigma(x: f64) -> f64 {
    if x >= 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * x).exp()) - 1.0 }
}

/// Every row that counts, with its score.
fn rows(file: &Scored, first_window: usize) -> Vec<(f64, Worth)> {
    let probation = ((file.scores.len() as f64 * PROBATION) as usize).min(PROBATION_ROWS_MAX);
    let mut all = Vec::new();
    for (i, score) in file.scores.iter().enumerate().skip(probation) {
        let within = file.windows.iter().position(|(from, to)| (*from..=*to).contains(&i));
        let worth = match within {
            Some(window) => {
                let (from, to) = file.windows[window];
                let place = -((to - i + 1) as f64) / (to - from + 1) as f64;
                Worth::Window(first_window + window, sigma(place) / sigma(-1.0))
            }
            None => {
                let last = file.windows.iter().rev().find(|(_, to)| *to < i);
                let behind = last.map_or(f64::INFINITY, |(from, to)| (i - to) as f64 / ((to - from) as f64).max(1.0));
                Worth::Outside(sigma(behind))
            }
        };
        all.push((*score, worth));
    }
    all
}

/// The best that one threshold reaches over all files, from 0 (nothing found) to 100, and that threshold.
pub fn best(files: &[Scored], profile: &Profile) -> (f64, f64) {
    let (mut all, mut windows) = (Vec::new(), 0);
    for file in files {
        all.extend(rows(file, windows));
        windows += file.windows.len();
    }
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let nothing = -profile.missed * windows as f64;
    let mut found = vec![-profile.missed; windows];
    let (mut total, mut best, mut threshold) = (nothing, nothing, f64::INFINITY);
    for (index, (score, worth)) in all.iter().enumerate() {
        match worth {
            Worth::Window(window, worth) => {
                let gain = worth.max(found[*window]) - found[*window];
                (found[*window], total) = (found[*window] + gain, total + gain);
            }
            Worth::Outside(worth) => total += worth * profile.false_alarm,
        }
        // Rows with the same score are found together.
        if all.get(index + 1).is_none_or(|next| next.0 != *score) && total > best {
            (best, threshold) = (total, *score);
        }
    }
    let perfect = windows as f64;
    (100.0 * (best - nothing) / (perfect - nothing), threshold)
}

/// Scores every file of the corpus with `logweir anomaly`.
pub fn corpus(folder: &Path) -> anyhow::Result<Vec<Scored>> {
    let labels = folder.join("labels/combined_windows.json");
    let text = std::fs::read_to_string(&labels).with_context(|| format!("cannot read {}", labels.display()))?;
    let labels: BTreeMap<String, Vec<(String, String)>> = serde_json::from_str(&text)?;
    let logweir = programs::ours("logweir")?;
    let mut files = Vec::new();
    for (name, windows) in labels {
        let out = Command::new(&logweir).arg("anomaly").arg(folder.join("data").join(&name)).output()?;
        ensure!(out.status.success(), "{name}: {}", String::from_utf8_lossy(&out.stderr));
        let answer = String::from_utf8(out.stdout)?;
        files.push(scored(&answer, &windows).with_context(|| name)?);
    }
    Ok(files)
}

fn time(text: &str) -> anyhow::Result<DateTime> {
    text.parse::<DateTime>().with_context(|| format!("'{text}' is no time"))
}

/// What `logweir anomaly` wrote, and the windows that lie in it.
fn scored(answer: &str, windows: &[(String, String)]) -> anyhow::Result<Scored> {
    let (mut file, mut times) = (Scored::default(), Vec::new());
    for row in answer.lines().skip(1) {
        let columns: Vec<&str> = row.split(',').collect();
        times.push(time(columns[0])?);
        file.scores.push(columns.get(2).context("a score")?.parse()?);
    }
    for (from, to) in windows {
        let (from, to) = (time(from)?, time(to)?);
        let row = |wanted: DateTime| times.iter().position(|time| *time == wanted);
        file.windows.push((row(from).context("no row where a window begins")?, row(to).context("none where it ends")?));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of 1,000 rows with a window of 100, and what is found of it.
    fn file(found: &[usize]) -> Scored {
        let mut scores = vec![0.0; 1_000];
        found.iter().for_each(|row| scores[*row] = 1.0);
        Scored { scores, windows: vec![(500, 599)] }
    }

    fn points(found: &[usize]) -> String {
        let of = |profile: &Profile| format!("{:.2}", best(&[file(found)], profile).0);
        PROFILES.iter().map(of).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_earlier_the_better_and_false_alarms_cost() {
        // All at once, half-way, at the last row; nothing, and what is not looked at.
        assert_eq!(points(&[500]), "100.00 100.00 100.00");
        assert_eq!(points(&[500, 550, 599]), "100.00 100.00 100.00");
        // σ(−1/2) / σ(−1) = 0.848284 / 0.986614 = 0.859793 from −1 (or −2) to 1.
        assert_eq!(points(&[550]), "92.99 92.99 95.33");
        assert_eq!(points(&[]), "0.00 0.00 0.00");
        assert_eq!(points(&[10, 500]), "100.00 100.00 100.00");
        // One far before the window: a whole false alarm of a scale of two (or three).
        assert_eq!(points(&[200, 500]), "94.50 89.00 96.33");
        // Just behind the window it costs little, three of its lengths behind it is a whole one.
        assert_eq!(points(&[500, 600]), "99.86 99.72 99.91");
        assert_eq!(points(&[500, 930]), "94.50 89.00 96.33");
    }

    #[test]
    fn a_threshold_is_chosen_for_all_files_together() {
        // A threshold that lets the false alarm of the one out loses the window of the other.
        let mut low = file(&[]);
        low.scores[500] = 0.4;
        let mut noisy = file(&[500]);
        noisy.scores[200] = 0.5;
        let (points, threshold) = best(&[low, noisy], &PROFILES[0]);
        assert_eq!((format!("{points:.2}"), threshold), ("97.25".to_owned(), 0.4));
    }

    #[test]
    fn an_answer_is_read_with_its_windows() {
        let answer = "timestamp,value,score,alert\n2014-04-01 00:00:00,1,0.000000,0\n2014-04-01 00:05:00,9,0.500000,1\n2014-04-01 00:10:00,9,0.250000,0\n";
        let window = ("2014-04-01 00:05:00.000000".to_owned(), "2014-04-01 00:10:00.000000".to_owned());
        let file = scored(answer, std::slice::from_ref(&window)).expect("reads");
        assert_eq!(file, Scored { scores: vec![0.0, 0.5, 0.25], windows: vec![(1, 2)] });
        assert!(scored(answer, &[(window.0, "2015-01-01 00:00:00".to_owned())]).is_err());
    }
}

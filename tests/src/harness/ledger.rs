//! The ledger of numbered lines: what was written, against what is found.
//!
//! A line carries `seq-SOURCE-NUMBER-` somewhere in its text. The numbers of a source run from 0 without a hole, so
//! what is missing and what is doubled is known by number.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use flate2::read::MultiGzDecoder;

use super::{Client, eventually};

/// Numbers that a message lists before it only counts.
const SHOWN_MAX: usize = 20;

/// The mark of line `number` of `source`.
pub fn mark(source: &str, number: u64) -> String {
    format!("seq-{source}-{number}-")
}

/// The number in a line of `source`.
fn number_of(source: &str, line: &str) -> Option<u64> {
    let after = line.split_once(&format!("seq-{source}-"))?.1;
    after.split_once('-')?.0.parse().ok()
}

/// How often each of the written numbers was found.
#[derive(Debug, PartialEq, Eq)]
pub struct Tally {
    pub missing: Vec<u64>,
    pub doubled: Vec<u64>,
    /// Lines that match the filter and have no number, or one that was never written.
    pub strange: Vec<String>,
}

impl Tally {
    pub fn of<'a>(source: &str, written: &BTreeSet<u64>, lines: impl Iterator<Item = &'a str>) -> Tally {
        let mut found: BTreeMap<u64, u32> = written.iter().map(|number| (*number, 0)).collect();
        let mut strange = Vec::new();
        for line in lines {
            match number_of(source, line).and_then(|number| found.get_mut(&number)) {
                Some(times) => *times += 1,
                None => strange.push(line.to_owned()),
            }
        }
        let with = |wanted: fn(u32) -> bool| {
            found.iter().filter(|(_, times)| wanted(**times)).map(|(number, _)| *number).collect()
        };
        Tally { missing: with(|times| times == 0), doubled: with(|times| times > 1), strange }
    }

    pub fn check(&self, source: &str) -> anyhow::Result<()> {
        if self.missing.is_empty() && self.doubled.is_empty() && self.strange.is_empty() {
            return Ok(());
        }
        let (missing, doubled) = (&self.missing, &self.doubled);
        bail!(
            "{source}: {} missing {:?}, {} doubled {:?}, {} strange {:?}",
            missing.len(),
            &missing[..missing.len().min(SHOWN_MAX)],
            doubled.len(),
            &doubled[..doubled.len().min(SHOWN_MAX)],
            self.strange.len(),
            &self.strange[..self.strange.len().min(3)],
        )
    }
}

/// The numbers that stand in the files of a folder whose names begin with `prefix`, compressed ones included: what the
/// source really wrote.
pub fn written(folder: &Path, prefix: &str, source: &str) -> anyhow::Result<BTreeSet<u64>> {
    let mut numbers = BTreeSet::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name().to_string_lossy().starts_with(prefix) {
            let mut bytes = std::fs::read(entry.path())?;
            if entry.path().extension().is_some_and(|extension| extension == "gz") {
                let packed = std::mem::take(&mut bytes);
                // One that is still being written ends early; what it has is there in another file as well.
                let _ = MultiGzDecoder::new(packed.as_slice()).read_to_end(&mut bytes);
            }
            numbers.extend(String::from_utf8_lossy(&bytes).lines().filter_map(|line| number_of(source, line)));
        }
    }
    Ok(numbers)
}

/// Waits until as many lines of `source` are there, then fetches them all and finds each exactly once.
pub async fn exactly_once(
    client: &Client,
    source: &str,
    filter: &str,
    written: &BTreeSet<u64>,
    within: Duration,
) -> anyhow::Result<()> {
    let want = u64::try_from(written.len())?;
    let probe = async || match client.count(filter).await? {
        n if n >= want => Ok(Some(())),
        n => Err(anyhow::anyhow!("{n} are there")),
    };
    // A count that is never reached is told by number below.
    let arrived = eventually(within, &format!("{want} lines of {source}"), probe).await;
    let rows = client.all_rows(filter, Some("raw")).await?;
    let raw = |row: &logweir_proto::api::Row| row.get("raw").and_then(|raw| raw.as_str()).map(str::to_owned);
    let lines: Vec<String> = rows.iter().filter_map(raw).collect();
    if lines.len() != rows.len() {
        bail!("{source}: {} of {} rows have no raw line", rows.len() - lines.len(), rows.len());
    }
    Tally::of(source, written, lines.iter().map(String::as_str)).check(source)?;
    arrived.with_context(|| format!("{source}: the rows are there, and the count is not"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_doubled_and_strange_lines_are_told_apart() {
        let lines = ["a seq-x-0- b", "seq-x-2-", "seq-x-2-", "seq-x-9-", "other"];
        let tally = Tally::of("x", &(0..4).collect(), lines.into_iter());
        let strange = vec!["seq-x-9-".to_owned(), "other".to_owned()];
        assert_eq!(tally, Tally { missing: vec![1, 3], doubled: vec![2], strange });
        assert!(tally.check("x").is_err());
        assert!(Tally::of("x", &(0..2).collect(), ["seq-x-1-", "seq-x-0-"].into_iter()).check("x").is_ok());
    }
}

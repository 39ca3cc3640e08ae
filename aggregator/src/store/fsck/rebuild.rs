//! The catalogue from the splits alone.

use super::{Checked, Finding, Fsck};
use crate::ranges::SourceRanges;
use crate::store::catalogue::{Catalogue, WAL_FIRST};
use crate::store::service::StoreError;
use crate::store::split::footer::SplitMeta;
use crate::store::split::reader::OpenSplit;

/// A catalogue and what it was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    pub catalogue: Catalogue,
    /// Splits whose rows are in others, or come from the WAL again.
    pub left_out: Vec<String>,
}

struct Candidate {
    meta: SplitMeta,
    ranges: SourceRanges,
    modified_ns: i64,
}

impl Fsck {
    /// Makes a catalogue of the splits that can be opened. `wal_first` is the first record that the WAL still has.
    pub fn rebuild(&self, wal_first: Option<u64>, now_ns: i64, checked: &mut Checked) -> Rebuilt {
        let candidates = self.candidates(checked);
        let wal_upto = covered(&candidates, wal_first);
        let (mut kept, late): (Vec<Candidate>, Vec<Candidate>) =
            candidates.into_iter().partition(|candidate| candidate.meta.wal.1 <= wal_upto);
        let mut left_out = self.doubles(&kept, checked);
        kept.retain(|candidate| !left_out.contains(&candidate.meta.path));
        left_out.extend(late.into_iter().map(|candidate| candidate.meta.path));
        kept.sort_by_key(|candidate| (candidate.meta.wal.1, candidate.meta.wal.0));
        let mut ranges = SourceRanges::default();
        for candidate in &kept {
            ranges.merge(&candidate.ranges);
        }
        // Retention believes the clock for no more than a day beyond this.
        let time_ns = kept.iter().map(|candidate| candidate.modified_ns).max().map(|time| time.min(now_ns));
        let splits = kept.into_iter().map(|candidate| candidate.meta);
        Rebuilt { catalogue: Catalogue::of_splits(splits, wal_upto, ranges, time_ns), left_out }
    }

    /// Puts a catalogue in the place of the commit log, whose files are kept beside it. Answers under which name.
    pub fn install(&self, catalogue: &mut Catalogue, now_ns: i64) -> Result<String, StoreError> {
        let aside =
            self.commits.replace_with(now_ns, &mut |fresh| catalogue.checkpoint(fresh).map_err(StoreError::from))?;
        Ok(aside.display().to_string())
    }

    fn candidates(&self, checked: &mut Checked) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for object in self.listed.values() {
            match self.open_split(&object.path) {
                Ok(split) => {
                    let footer = &split.known().footer;
                    let meta = SplitMeta { path: object.path.clone(), bytes: object.bytes, ..footer.meta.clone() };
                    candidates.push(Candidate { meta, ranges: footer.ranges.clone(), modified_ns: object.modified_ns });
                }
                Err(reason) => {
                    let what = format!("{reason}: it cannot be part of a new catalogue and stays where it is");
                    checked.findings.push(Finding::of(&object.path, what));
                }
            }
        }
        candidates
    }

    /// Splits each of whose rows is in splits that stay: of two that have the same rows, the older goes.
    fn doubles(&self, candidates: &[Candidate], checked: &mut Checked) -> Vec<String> {
        let meet = |one: &SplitMeta, other: &SplitMeta| {
            one.path != other.path && one.wal.0 < other.wal.1 && other.wal.0 < one.wal.1
        };
        let mut rows: Vec<(&SplitMeta, Runs)> = Vec::new();
        for Candidate { meta, .. } in candidates {
            if !candidates.iter().any(|other| meet(meta, &other.meta)) {
                continue;
            }
            match self.open_split(&meta.path).and_then(|split| Runs::of(&split)) {
                Ok(runs) => rows.push((meta, runs)),
                Err(reason) => {
                    let what = format!("{reason}: whether its rows are in other splits, too, cannot be told");
                    checked.findings.push(Finding::of_split(meta, what));
                }
            }
        }
        // The last part of a name grows with the time.
        rows.sort_by_key(|(meta, _)| meta.path.rsplit('/').next());
        let mut doubles: Vec<String> = Vec::new();
        for (meta, runs) in &rows {
            let stays = |other: &SplitMeta| meet(meta, other) && !doubles.contains(&other.path);
            let others: Vec<&Runs> = rows.iter().filter(|(other, _)| stays(other)).map(|(_, runs)| runs).collect();
            if matches!(runs.within(&others), Within::All) {
                doubles.push(meta.path.clone());
            }
        }
        rows.retain(|(meta, _)| !doubles.contains(&meta.path));
        for (meta, runs) in &rows {
            let others: Vec<&Runs> = rows.iter().filter(|(other, _)| meet(meta, other)).map(|(_, runs)| runs).collect();
            if !matches!(runs.within(&others), Within::Nothing) {
                let what = "some of its rows are in other splits, too, and not all";
                checked.findings.push(Finding::of_split(meta, what));
            }
        }
        doubles
    }
}

/// The first WAL record that the splits do not cover. Splits of nothing but records that the WAL has are not counted,
/// unless another one reaches behind them: seals are committed one after the other.
fn covered(candidates: &[Candidate], wal_first: Option<u64>) -> u64 {
    let wals = || candidates.iter().map(|candidate| candidate.meta.wal);
    let Some(wal_first) = wal_first else { return wals().map(|wal| wal.1).max().unwrap_or(WAL_FIRST) };
    let mut upto = wal_first.max(WAL_FIRST);
    while let Some(next) = wals().filter(|wal| wal.0 < upto && wal.1 > upto).map(|wal| wal.1).max() {
        upto = next;
    }
    upto
}

/// The `seq` of each row, as ascending runs `[from, to)`.
struct Runs(Vec<(u64, u64)>);

enum Within {
    All,
    Some,
    Nothing,
}

impl Runs {
    fn of(split: &OpenSplit) -> Result<Runs, String> {
        let mut seqs = Vec::new();
        for block in 0..split.known().footer.blocks.len() {
            seqs.extend(split.seqs(block)?);
        }
        seqs.sort_unstable();
        let runs = seqs.chunk_by(|a, b| b.wrapping_sub(*a) == 1);
        Ok(Runs(runs.filter_map(|run| Some((*run.first()?, run.last()?.saturating_add(1)))).collect()))
    }

    /// The end of the run that holds `seq`.
    fn end_of(&self, seq: u64) -> Option<u64> {
        let at = self.0.partition_point(|(from, _)| *from <= seq).checked_sub(1)?;
        self.0.get(at).map(|(_, to)| *to).filter(|to| seq < *to)
    }

    fn within(&self, others: &[&Runs]) -> Within {
        let mut found = false;
        for &(from, to) in &self.0 {
            let mut at = from;
            while at < to {
                match others.iter().filter_map(|other| other.end_of(at)).max() {
                    Some(end) => (found, at) = (true, end),
                    None => return if found { Within::Some } else { Within::Nothing },
                }
            }
        }
        if found { Within::All } else { Within::Nothing }
    }
}

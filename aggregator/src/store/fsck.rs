//! Checking a store that no server uses, and making its catalogue anew from its splits.
//!
//! Nothing is changed by a check. What is found has a place: the file, within a split the block and its range of time.
//!
//! The catalogue is rebuilt from the footers, which have everything that exactly-once needs: WAL ranges and the byte
//! ranges of sources. Three questions the footers do not answer by themselves:
//!
//! - *Which splits count?* A crash leaves splits that no commit ever named, and inputs of a merge stay for a grace. A
//!   row is its `seq`: a split each of whose rows is in the others, too, is left out, the oldest first.
//! - *What of the WAL is covered?* Rows of WAL records that are still there are taken from the WAL: the last seal may
//!   not have been whole. Splits of nothing but such records are left out, the others stay, and the log is replayed
//!   behind them.
//! - *Which ranges are stored?* Those of the splits that stay. Delivery of what only older, retired splits knew is
//!   forgotten: whoever sends that again stores it again.

mod rebuild;
mod split;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::catalogue::{Catalogue, CatalogueError};
use super::commit::{LocalCommits, MemoryCommits};
use super::objects::{Listed, ObjectError, Objects};
use super::service::{SPLITS, StoreError};
use super::split::columns::Columns;
use super::split::footer::SplitMeta;
use super::split::reader::OpenSplit;

pub use self::rebuild::Rebuilt;

/// Something that is wrong, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finding {
    /// The file or object.
    pub path: String,
    /// Within a split.
    pub block: Option<usize>,
    /// Times of the first and the last row that are concerned.
    pub times_ns: Option<(i64, i64)>,
    pub what: String,
    /// Nothing that was taken in is lost by it.
    pub harmless: bool,
}

impl Finding {
    pub fn of(path: &str, what: impl Into<String>) -> Finding {
        Finding { path: path.to_owned(), what: what.into(), ..Finding::default() }
    }

    fn of_split(meta: &SplitMeta, what: impl Into<String>) -> Finding {
        let times_ns = Some((meta.min_time_ns, meta.max_time_ns));
        Finding { times_ns, ..Finding::of(&meta.path, what) }
    }
}

/// What was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    pub findings: Vec<Finding>,
    pub splits: u64,
    pub blocks: u64,
    /// Lines that were rebuilt.
    pub lines: u64,
    pub rows: u64,
    pub bytes: u64,
}

/// Called with the splits that are done, and all.
pub type Progress<'a> = dyn FnMut(usize, usize) + 'a;

/// A store at rest.
pub struct Fsck {
    objects: Objects,
    commits: LocalCommits,
    columns: Arc<Columns>,
    listed: BTreeMap<String, Listed>,
}

impl Fsck {
    /// `dir` is the folder of the store; the caller holds the lock of the data directory.
    pub fn open(dir: &Path) -> Result<Fsck, StoreError> {
        let at = |source| StoreError::Dir { path: dir.display().to_string(), source };
        let commits = dir.join("commits");
        Fsck::of(Objects::local(dir).map_err(at)?, &commits)
    }

    pub(super) fn of(objects: Objects, commits: &Path) -> Result<Fsck, StoreError> {
        let commits = LocalCommits::open(commits)?;
        let listed = objects.list(SPLITS)?.into_iter().map(|object| (object.path.clone(), object)).collect();
        // Nothing is read twice.
        Ok(Fsck { objects, commits, columns: Arc::new(Columns::new(0)), listed })
    }

    /// The catalogue as the commit log tells it; `None`, with the reasons in `checked`, when it cannot be had.
    pub fn catalogue(&self, checked: &mut Checked) -> Result<Option<Catalogue>, StoreError> {
        let (memory, damage) = self.read_commits()?;
        let is_damaged = damage.iter().any(|finding| !finding.harmless);
        checked.findings.extend(damage);
        if is_damaged {
            return Ok(None);
        }
        match Catalogue::load(&memory) {
            Ok(catalogue) if catalogue.is_new() && !self.listed.is_empty() => {
                let what = "there are splits and no commit log: it was lost";
                checked.findings.push(Finding::of(&self.commits.dir().display().to_string(), what));
                Ok(None)
            }
            Ok(catalogue) => Ok(Some(catalogue)),
            Err(error @ (CatalogueError::Record { .. } | CatalogueError::Log(_))) => {
                checked.findings.push(Finding::of(&self.commits.dir().display().to_string(), error.to_string()));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Copies the log into memory, as far as it can be read, and says what cannot.
    fn read_commits(&self) -> Result<(MemoryCommits, Vec<Finding>), StoreError> {
        let inspected = self.commits.inspect()?;
        let findings = inspected.damage.into_iter().map(|damage| Finding {
            harmless: damage.harmless,
            ..Finding::of(&damage.path.display().to_string(), damage.reason)
        });
        Ok((inspected.log, findings.collect()))
    }

    /// Checks the splits of a catalogue, and names objects that it does not know.
    pub fn check_splits(&self, catalogue: &Catalogue, deep: bool, checked: &mut Checked, progress: &mut Progress<'_>) {
        let all = catalogue.splits().len();
        for (done, meta) in catalogue.splits().values().enumerate() {
            progress(done, all);
            self.check_split(meta, deep, checked);
        }
        progress(all, all);
        for object in self.listed.values().filter(|object| !catalogue.splits().contains_key(&object.path)) {
            let what = format!(
                "{} bytes that no commit names: a crash or a merge left them, the server deletes them",
                object.bytes
            );
            checked.findings.push(Finding { harmless: true, ..Finding::of(&object.path, what) });
        }
    }

    fn check_split(&self, meta: &SplitMeta, deep: bool, checked: &mut Checked) {
        checked.splits += 1;
        checked.rows += meta.rows;
        checked.bytes += meta.bytes;
        match self.listed.get(&meta.path) {
            None => return checked.findings.push(Finding::of_split(meta, "the object is not there")),
            Some(object) if object.bytes != meta.bytes => {
                let what = format!("the object has {} bytes and not {}", object.bytes, meta.bytes);
                checked.findings.push(Finding::of_split(meta, what));
            }
            Some(_) => {}
        }
        match self.open_split(&meta.path) {
            Ok(split) => split::check(&split, meta, deep, checked),
            Err(reason) => checked.findings.push(Finding::of_split(meta, reason)),
        }
    }

    fn open_split(&self, path: &str) -> Result<OpenSplit, String> {
        OpenSplit::open(&self.objects, path, &self.columns)
    }

    /// Takes splits whose objects are gone out of the catalogue, so that queries stop to miss them.
    pub fn forget_missing(&self, catalogue: &mut Catalogue, now_ns: i64) -> Result<usize, StoreError> {
        let missing: Vec<String> =
            catalogue.splits().keys().filter(|path| !self.listed.contains_key(*path)).cloned().collect();
        let count = missing.len();
        if count > 0 {
            let record = super::commit::Record {
                nonce: format!("fsck-{now_ns}"),
                time_ns: now_ns,
                removed: missing,
                ..super::commit::Record::default()
            };
            catalogue.commit(&self.commits, &record)?;
        }
        Ok(count)
    }
}

impl From<ObjectError> for Finding {
    fn from(error: ObjectError) -> Finding {
        Finding::of("store", error.to_string())
    }
}

#[cfg(test)]
mod tests;

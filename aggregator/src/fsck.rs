//! `logweir fsck`: everything that a data directory holds, read and held against its checksums, and what can be mended.

use std::path::Path;

use logweir_runtime::clock::Clock;
use logweir_runtime::durable::DirLock;

use crate::error::Error;
use crate::store::fsck::{Checked, Finding, Fsck, Progress};
use crate::wal::check::{self, WalCheck};

/// What to do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Rebuild every line instead of those of three blocks a split.
    pub deep: bool,
    /// Mend what can be mended.
    pub repair: bool,
}

/// What was found and done.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub wal: WalCheck,
    pub store: Checked,
    /// What was wrong and is right now.
    pub mended: Vec<Finding>,
    /// What was done, a sentence each.
    pub done: Vec<String>,
}

impl Report {
    /// Whether anything is wrong that was not mended and is not harmless.
    pub fn is_damaged(&self) -> bool {
        self.store.findings.iter().any(|finding| !finding.harmless)
    }
}

/// Checks the data directory of a server that does not run.
pub fn run(dir: &Path, options: Options, clock: &Clock, progress: &mut Progress<'_>) -> Result<Report, Error> {
    let lock = DirLock::acquire(dir).map_err(|source| Error::DataDir { path: dir.to_owned(), source })?;
    let _lock = lock.ok_or_else(|| Error::InUse(dir.to_owned()))?;
    let mut report = Report { wal: check::check(&dir.join("wal"), &mut |_, _| {})?, ..Report::default() };
    let fsck = Fsck::open(&dir.join("store"))?;
    let mut catalogue = fsck.catalogue(&mut report.store)?;
    let wal_first = report.wal.range.map(|(first, _)| first);
    if let (Some(known), Some(first)) = (&catalogue, wal_first)
        && known.wal_upto() < first
    {
        let upto = known.wal_upto();
        let what =
            format!("records {upto} to {} of the log are neither here nor in a split that is committed", first - 1);
        report.store.findings.push(Finding::of("store/commits", what));
        catalogue = None;
    }
    let mut catalogue = match catalogue {
        Some(catalogue) => catalogue,
        None => rebuild(&fsck, options, clock, &mut report)?,
    };
    fsck.check_splits(&catalogue, options.deep, &mut report.store, progress);
    if options.repair {
        let gone = fsck.forget_missing(&mut catalogue, clock.now_ns())?;
        if gone > 0 {
            report
                .done
                .push(format!("took {gone} splits that are not there out of the catalogue: their rows are lost"));
        }
    }
    add_wal(&mut report);
    Ok(report)
}

/// The catalogue from the splits, put in the place of the commit log if that is wanted.
fn rebuild(
    fsck: &Fsck,
    options: Options,
    clock: &Clock,
    report: &mut Report,
) -> Result<crate::store::catalogue::Catalogue, Error> {
    let now = clock.now_ns();
    let lost = std::mem::take(&mut report.store.findings);
    // A log with holes is not counted on: what it might have is kept from the splits.
    let wal_first = report.wal.range.map(|(first, _)| first).filter(|_| report.wal.damage.is_empty());
    let mut rebuilt = fsck.rebuild(wal_first, now, &mut report.store);
    let (splits, upto) = (rebuilt.catalogue.splits().len(), rebuilt.catalogue.wal_upto());
    if options.repair {
        let aside = fsck.install(&mut rebuilt.catalogue, now)?;
        report.mended.extend(lost);
        report.done.push(format!(
            "made the catalogue anew from {splits} splits; the log is replayed from record {upto} on; the old commit log is {aside}"
        ));
        for path in rebuilt.left_out {
            report.done.push(format!("left {path} out: its rows are in other splits or in the log"));
        }
    } else {
        report.store.findings.splice(0..0, lost);
        report.done.push(format!("nothing; --repair would make the catalogue anew from {splits} splits"));
    }
    Ok(rebuilt.catalogue)
}

fn add_wal(report: &mut Report) {
    let finding = |damage: &crate::wal::Damage, harmless| Finding {
        harmless,
        ..Finding::of(&damage.path, format!("from byte {} on: {}", damage.offset, damage.reason))
    };
    let damage = report.wal.damage.iter().map(|damage| finding(damage, false));
    let torn = report.wal.torn.iter().map(|damage| finding(damage, true));
    report.store.findings.extend(damage.chain(torn));
}

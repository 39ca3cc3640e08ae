//! One export on disk: `ID.json`, what is to be done and how far it is, and `ID.data`, the file under way.
//!
//! `ID.data` is a run of whole zstd frames, one a page, so it is a zstd file at every moment. A page is appended and
//! synced, then `ID.json` is replaced with the size behind it and the cursor of the next one. After a crash what is
//! beyond that size is cut off and the page is written again: rows are in order of time, so it holds the same.
//!
//! `ID.json` is one JSON object:
//!
//! ```text
//! version   1
//! who       id of the token that made it, or "local"
//! now_ns    the moment that relative times of the query mean
//! from_ns   start of the range, inside
//! to_ns     end of the range, outside
//! cursor    the last row that was written, absent before the first
//! columns   those of a CSV file once they are known
//! shown     what the API answers
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use logweir_proto::api::{Export, ExportState, MissingRange, Warning};
use logweir_proto::record::EventId;
use logweir_runtime::clock::Nanos;
use logweir_runtime::durable;
use serde::{Deserialize, Serialize};

pub(super) const VERSION: u32 = 1;
/// Parts of time that an export remembers as missing; more of them become one.
const MISSING_MAX: usize = 100;
/// Warnings that an export remembers.
const WARNINGS_MAX: usize = 20;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Job {
    pub version: u32,
    pub who: String,
    pub now_ns: Nanos,
    pub from_ns: Nanos,
    pub to_ns: Nanos,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<EventId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    pub ended_ns: Option<Nanos>,
    pub shown: Export,
}

impl Job {
    pub(super) fn is_active(&self) -> bool {
        matches!(self.shown.state, ExportState::Queued | ExportState::Running)
    }

    /// Writes the state durably.
    pub(super) fn save(&self, dir: &Path) -> io::Result<()> {
        durable::replace(&self.state_path(dir), &serde_json::to_vec(self).map_err(io::Error::from)?)
    }

    /// Appends a page behind what was written before, and cuts off what a crash left there.
    pub(super) fn append(&self, dir: &Path, page: &[u8]) -> io::Result<()> {
        let path = self.data_path(dir);
        let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
        file.set_len(self.shown.bytes)?;
        file.write_all(page)?;
        file.sync_data()?;
        // A page is no page while its file has no name.
        if self.shown.bytes == 0 { durable::sync_parent(&path) } else { Ok(()) }
    }

    pub(super) fn remove(&self, dir: &Path) {
        for path in [self.state_path(dir), self.data_path(dir)] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), error = %error, "cannot delete a file of an export");
                }
                _ => {}
            }
        }
    }

    pub(super) fn remove_data(&self, dir: &Path) {
        let _ = std::fs::remove_file(self.data_path(dir));
    }

    pub(super) fn data_path(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{}.data", self.shown.id))
    }

    fn state_path(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{}.json", self.shown.id))
    }

    pub(super) fn add_missing(&mut self, parts: Vec<MissingRange>) {
        let missing = &mut self.shown.missing;
        for part in parts {
            let is_full = missing.len() >= MISSING_MAX;
            match missing.last_mut() {
                Some(last) if is_full || last.to >= part.from => {
                    last.to = part.to.max(std::mem::take(&mut last.to));
                    last.splits = last.splits.max(part.splits);
                }
                _ => missing.push(part),
            }
        }
    }

    pub(super) fn add_warnings(&mut self, warnings: Vec<Warning>) {
        for warning in warnings {
            if !self.shown.warnings.contains(&warning) && self.shown.warnings.len() < WARNINGS_MAX {
                self.shown.warnings.push(warning);
            }
        }
    }
}

/// The jobs of a folder; what was running when the server ended is queued again. Files of no job are deleted.
pub(super) fn load(dir: &Path) -> io::Result<Vec<Job>> {
    durable::create_private_dir(dir)?;
    let mut jobs = Vec::new();
    let mut data = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => match read(&path) {
                Ok(job) => jobs.push(job),
                Err(error) => tracing::error!(path = %path.display(), error = %error, "an export cannot be read"),
            },
            Some("data" | "tmp") => data.push(path),
            _ => {}
        }
    }
    for path in data.iter().filter(|path| !jobs.iter().any(|job: &Job| job.data_path(dir) == **path)) {
        let _ = std::fs::remove_file(path);
    }
    Ok(jobs)
}

fn read(path: &Path) -> io::Result<Job> {
    let mut job: Job = serde_json::from_reader(io::BufReader::new(File::open(path)?))?;
    let named = path.file_stem().and_then(|stem| stem.to_str());
    if job.version != VERSION || named != Some(&job.shown.id) {
        return Err(io::Error::other(format!("it is of version {}, of {}", job.version, job.shown.id)));
    }
    if job.shown.state == ExportState::Running {
        job.shown.state = ExportState::Queued;
    }
    Ok(job)
}

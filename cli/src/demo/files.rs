//! The log files: appended to in bursts, rotated by rename when they are large.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::DemoError;

/// Rotated files that are kept: `access.log.1` and `access.log.2`.
const KEPT_FILES: u32 = 2;

/// Which log a line goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Target {
    NginxAccess,
    NginxError,
    ApiOut,
    ApiError,
    PaymentsOut,
    PaymentsError,
    Pm2Daemon,
    Redis,
    Inventory,
}

impl Target {
    pub(super) const ALL: [Target; 9] = [
        Target::NginxAccess,
        Target::NginxError,
        Target::ApiOut,
        Target::ApiError,
        Target::PaymentsOut,
        Target::PaymentsError,
        Target::Pm2Daemon,
        Target::Redis,
        Target::Inventory,
    ];
}

#[derive(Debug)]
pub(super) struct Logs {
    logs: Vec<Log>,
    rotate_bytes: u64,
    any_written: bool,
}

#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
    pending: Vec<u8>,
}

impl Logs {
    /// One path a target, in the order of [`Target::ALL`].
    pub(super) fn new(paths: [PathBuf; Target::ALL.len()], rotate_bytes: u64) -> Logs {
        let any_written = paths.iter().any(|path| path.exists());
        let logs = paths.into_iter().map(|path| Log { path, file: None, bytes: 0, pending: Vec::new() }).collect();
        Logs { logs, rotate_bytes, any_written }
    }

    /// An earlier run left logs behind.
    pub(super) fn any_written(&self) -> bool {
        self.any_written
    }

    /// Adds text, which ends with its newline.
    pub(super) fn append(&mut self, to: Target, text: &str) {
        if let Some(log) = self.logs.get_mut(to as usize) {
            log.pending.extend_from_slice(text.as_bytes());
        }
    }

    /// Writes what was added, one write a file, so that a line is never cut by a rotation.
    pub(super) fn write(&mut self) -> Result<(), DemoError> {
        for log in self.logs.iter_mut().filter(|log| !log.pending.is_empty()) {
            log.write(self.rotate_bytes)?;
        }
        Ok(())
    }
}

impl Log {
    fn write(&mut self, rotate_bytes: u64) -> Result<(), DemoError> {
        let fail = |what| {
            let path = self.path.clone();
            move |source| DemoError { what, path, source }
        };
        if self.file.is_none() {
            let file = OpenOptions::new().create(true).append(true).open(&self.path).map_err(fail("cannot open"))?;
            self.bytes = file.metadata().map_err(fail("cannot look at"))?.len();
            self.file = Some(file);
        }
        if let Some(file) = &mut self.file {
            file.write_all(&self.pending).map_err(fail("cannot write"))?;
        }
        self.bytes += self.pending.len() as u64;
        self.pending.clear();
        if self.bytes >= rotate_bytes {
            self.file = None;
            rotate(&self.path).map_err(fail("cannot rotate"))?;
        }
        Ok(())
    }
}

/// `log.1` becomes `log.2`, `log` becomes `log.1`; the next line makes a new `log`.
fn rotate(path: &Path) -> std::io::Result<()> {
    for n in (1..KEPT_FILES).rev() {
        let from = numbered(path, n);
        if from.exists() {
            fs::rename(&from, numbered(path, n + 1))?;
        }
    }
    fs::rename(path, numbered(path, 1))
}

fn numbered(path: &Path, n: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{n}"));
    PathBuf::from(name)
}

//! The folder of one test, and the frame that a test runs in.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

/// Lines of each log that a failed test prints.
const LOG_TAIL_LINES: usize = 40;

/// A folder that is removed when the test has passed.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
}

impl Scratch {
    pub fn new(name: &str) -> anyhow::Result<Scratch> {
        // Short, for a Unix socket below it may have a path of 107 bytes.
        let dir =
            tempfile::Builder::new().prefix(&format!("lw-{name}-")).tempdir_in("/tmp").context("scratch folder")?;
        Ok(Scratch { dir })
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// A folder in it, made if need be.
    pub fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.join(name);
        fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// A file in it with this text.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> anyhow::Result<PathBuf> {
        let path = self.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// The ends of all `*.log` right below the folder, those of the processes, and what was loud before.
    fn logs(&self) -> String {
        let mut paths: Vec<PathBuf> = fs::read_dir(self.path())
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        paths.sort();
        let mut out = String::new();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "log")) {
            let bytes = fs::read(path).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines.len().saturating_sub(LOG_TAIL_LINES);
            let loud = lines[..tail].iter().filter(|line| line.contains(" WARN ") || line.contains("ERROR"));
            let shown: Vec<&str> = loud.chain(&lines[tail..]).copied().collect();
            out.push_str(&format!("--- {} ({} of {} lines)\n", path.display(), shown.len(), lines.len()));
            out.push_str(&shown.join("\n"));
            out.push('\n');
        }
        out
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.dir.disable_cleanup(true);
        }
    }
}

/// Runs the body of a test; when it fails, what its processes said becomes part of the error.
pub fn run<F>(name: &str, body: F) -> anyhow::Result<()>
where
    F: AsyncFnOnce(&Scratch) -> anyhow::Result<()>,
{
    logweir_runtime::tls::install_provider();
    let mut scratch = Scratch::new(name)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(body(&scratch));
    result.map_err(|error| {
        scratch.dir.disable_cleanup(true);
        let logs = scratch.logs();
        error.context(format!("{logs}--- kept in {}", scratch.path().display()))
    })
}

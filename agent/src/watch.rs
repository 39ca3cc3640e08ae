//! Wake-ups from the kernel: directories are watched, changes are collected until somebody takes them.
//!
//! They only make things quick. What is lost or not supported (network file systems, too few watches) is found by the
//! next rescan.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::ModifyKind;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// Changed paths that are kept by name; more of them mean "look at everything".
pub const CHANGES_MAX: usize = 4096;

/// What changed since the last look.
#[derive(Debug, Default)]
pub struct Changes {
    pub paths: HashSet<PathBuf>,
    /// Something was created, renamed or removed.
    pub directories: bool,
    /// Not everything is in `paths`.
    pub overflow: bool,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty() && !self.directories && !self.overflow
    }

    fn add(&mut self, event: notify::Result<notify::Event>) -> bool {
        let Ok(event) = event else {
            self.overflow = true;
            return true;
        };
        let directories = match event.kind {
            // Our own reads are accesses: taking them for news would never end.
            EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_)) => return false,
            EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => true,
            _ => false,
        };
        self.directories |= directories;
        self.overflow |= event.need_rescan();
        if self.paths.len() + event.paths.len() > CHANGES_MAX {
            self.overflow = true;
        } else {
            self.paths.extend(event.paths);
        }
        true
    }
}

#[derive(Debug, Default)]
struct Shared {
    changes: Mutex<Changes>,
    woken: Notify,
}

/// Watches directories for the pipeline.
#[derive(Debug)]
pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    watched: HashSet<PathBuf>,
    refused: bool,
    shared: Arc<Shared>,
}

impl Watch {
    pub fn new() -> Watch {
        let shared = Arc::new(Shared::default());
        let sink = Arc::clone(&shared);
        let watcher = notify::recommended_watcher(move |event| {
            if sink.changes.lock().unwrap_or_else(PoisonError::into_inner).add(event) {
                sink.woken.notify_one();
            }
        });
        let watcher = watcher
            .map_err(|error| tracing::warn!(error = %error, "no wake-ups from the kernel, looking every few seconds"))
            .ok();
        Watch { watcher, watched: HashSet::new(), refused: false, shared }
    }

    /// Watches exactly these directories, as far as they are there.
    pub fn set(&mut self, wanted: &HashSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        for dir in self.watched.iter().filter(|dir| !wanted.contains(*dir)) {
            // A directory that is gone has lost its watch already.
            let _ = watcher.unwatch(dir);
        }
        self.watched.retain(|dir| wanted.contains(dir) && Path::is_dir(dir));
        for dir in wanted {
            if self.watched.contains(dir) || !dir.is_dir() {
                continue;
            }
            match watcher.watch(dir, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(dir.clone());
                }
                Err(error) if !self.refused => {
                    self.refused = true;
                    tracing::warn!(dir = %dir.display(), error = %error, "cannot watch, looking every few seconds");
                }
                Err(_) => {}
            }
        }
    }

    /// Waits until something changed.
    pub async fn changed(&self) {
        self.shared.woken.notified().await;
    }

    /// Takes what changed so far.
    pub fn take(&self) -> Changes {
        std::mem::take(&mut *self.shared.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for Watch {
    fn default() -> Watch {
        Watch::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_append_and_a_rename_wake() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("a.log");
        std::fs::write(&path, "one\n").expect("a file");
        let mut watch = Watch::new();
        watch.set(&HashSet::from([dir.path().to_path_buf()]));
        std::fs::write(&path, "two\n").expect("a change");
        watch.changed().await;
        let changes = watch.take();
        assert!(changes.paths.contains(&path), "{changes:?}");
        std::fs::rename(&path, dir.path().join("a.log.1")).expect("a rename");
        loop {
            watch.changed().await;
            if watch.take().directories {
                break;
            }
        }
    }
}

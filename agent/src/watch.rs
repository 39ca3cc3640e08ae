//! Wake-ups from the kernel: directories are watched, changes are collected until somebody takes them.
//!
//! They only make things quick. What is lost or not supported (network file systems, too few watches) is found by the
//! next rescan; [`Watch::is_complete`] says whether wake-ups are to be expected for everything that was asked for.
//!
//! A directory that is not there yet is waited for at the nearest one above it that is.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::ModifyKind;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use crate::tail::shared::is_shared;

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

    fn add(&mut self, event: notify::Result<notify::Event>, awaited: &Awaited) -> bool {
        let Ok(mut event) = event else {
            self.overflow = true;
            return true;
        };
        let named = !event.paths.is_empty();
        event.paths.retain(|path| awaited.concerns(path));
        if named && event.paths.is_empty() {
            return false;
        }
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

/// What is waited for in directories that are of no interest themselves.
#[derive(Debug, Default)]
struct Awaited {
    above: HashSet<PathBuf>,
    paths: HashSet<PathBuf>,
    /// Entries that went away: a directory among them has lost its watch, also if there is a new one of its name.
    gone: HashSet<PathBuf>,
}

impl Awaited {
    /// The nearest directory above `missing` that is there, and the entry in it that is waited for.
    fn of(missing: &Path) -> Option<(PathBuf, PathBuf)> {
        let mut path = missing;
        while let Some(above) = path.parent() {
            if above.is_dir() {
                return Some((above.to_path_buf(), path.to_path_buf()));
            }
            path = above;
        }
        None
    }

    fn note(&mut self, event: &notify::Result<notify::Event>) {
        if let Ok(event) = event
            && matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)))
            && self.gone.len() < CHANGES_MAX
        {
            self.gone.extend(event.paths.iter().cloned());
        }
    }

    fn concerns(&self, path: &Path) -> bool {
        self.paths.contains(path) || !path.parent().is_some_and(|dir| self.above.contains(dir))
    }
}

#[derive(Debug, Default)]
struct Shared {
    changes: Mutex<Changes>,
    awaited: Mutex<Awaited>,
    woken: Notify,
}

/// Watches directories for the pipeline.
#[derive(Debug)]
pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    watched: HashSet<PathBuf>,
    refused: bool,
    complete: bool,
    shared: Arc<Shared>,
}

impl Watch {
    pub fn new() -> Watch {
        let shared = Arc::new(Shared::default());
        let sink = Arc::clone(&shared);
        let watcher = notify::recommended_watcher(move |event| {
            let mut awaited = sink.awaited.lock().unwrap_or_else(PoisonError::into_inner);
            awaited.note(&event);
            if sink.changes.lock().unwrap_or_else(PoisonError::into_inner).add(event, &awaited) {
                sink.woken.notify_one();
            }
        });
        let watcher = watcher
            .map_err(|error| tracing::warn!(error = %error, "no wake-ups from the kernel, looking every few seconds"))
            .ok();
        Watch { watcher, watched: HashSet::new(), refused: false, complete: false, shared }
    }

    /// Watches exactly these directories, as far as they are there.
    pub fn set(&mut self, wanted: &HashSet<PathBuf>) {
        let (there, missing): (Vec<&PathBuf>, Vec<&PathBuf>) = wanted.iter().partition(|dir| dir.is_dir());
        let mut all: HashSet<PathBuf> = there.into_iter().cloned().collect();
        let mut awaited = Awaited::default();
        for (above, path) in missing.into_iter().filter_map(|dir| Awaited::of(dir)) {
            awaited.paths.insert(path);
            if all.insert(above.clone()) {
                awaited.above.insert(above);
            }
        }
        // The lock is let go at once: the watcher answers from the thread that takes it for each event.
        let before = {
            let mut held = self.shared.awaited.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *held, awaited)
        };
        let gone = before.gone;
        let all_gone = gone.len() >= CHANGES_MAX;
        let Some(watcher) = &mut self.watcher else { return };
        let stays = |dir: &PathBuf| all.contains(dir) && !all_gone && !gone.contains(dir);
        for dir in self.watched.iter().filter(|dir| !stays(dir)) {
            // A directory that is gone has lost its watch already.
            let _ = watcher.unwatch(dir);
        }
        self.watched.retain(stays);
        self.complete = true;
        for dir in all {
            if self.watched.contains(&dir) {
                continue;
            }
            match watcher.watch(&dir, RecursiveMode::NonRecursive) {
                Ok(()) if is_shared(&dir) => self.complete = false,
                Ok(()) => {
                    self.watched.insert(dir);
                }
                Err(error) => {
                    self.complete = false;
                    if !std::mem::replace(&mut self.refused, true) {
                        tracing::warn!(dir = %dir.display(), error = %error, "cannot watch, looking every few seconds");
                    }
                }
            }
        }
    }

    /// Whether the kernel tells of every change in the directories that were asked for.
    pub fn is_complete(&self) -> bool {
        self.complete
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
    async fn a_directory_that_is_not_there_is_waited_for_above_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let wanted = HashSet::from([dir.path().join("a/b/log")]);
        let mut watch = Watch::new();
        watch.set(&wanted);
        assert!(watch.is_complete());
        // Other entries are nobody's business.
        std::fs::write(dir.path().join("other"), "").expect("a file");
        std::fs::create_dir(dir.path().join("a")).expect("the first part");
        watch.changed().await;
        let changes = watch.take();
        assert!(changes.directories && changes.paths == HashSet::from([dir.path().join("a")]), "{changes:?}");
        watch.set(&wanted);
        std::fs::create_dir_all(dir.path().join("a/b/log")).expect("the rest");
        watch.changed().await;
        watch.set(&wanted);
        std::fs::write(dir.path().join("a/b/log/x.log"), "one\n").expect("a log");
        while !watch.take().paths.contains(&dir.path().join("a/b/log/x.log")) {
            watch.changed().await;
        }
    }

    #[tokio::test]
    async fn a_directory_that_is_made_anew_is_watched_anew() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let logs = dir.path().join("logs");
        let wanted = HashSet::from([logs.clone()]);
        let mut watch = Watch::new();
        std::fs::create_dir(&logs).expect("a directory");
        watch.set(&wanted);
        std::fs::remove_dir(&logs).expect("it is empty");
        watch.changed().await;
        std::fs::create_dir(&logs).expect("a new one");
        watch.set(&wanted);
        std::fs::write(logs.join("x.log"), "one\n").expect("a log");
        while !watch.take().paths.contains(&logs.join("x.log")) {
            watch.changed().await;
        }
    }

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

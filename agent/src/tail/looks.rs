//! Which sources are worth a look, and which directories tell of them.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::PathBuf;

use super::checkpoint::Stage;
use super::follow::Tail;

impl Tail {
    /// Marks what a wake-up named; a path that is nobody's may be a rotated file under its new name.
    pub fn touched(&mut self, paths: &HashSet<PathBuf>) {
        // As text: the hash of a path is that of its parts.
        let paths: HashSet<&OsStr> = paths.iter().map(|path| path.as_os_str()).collect();
        for source in self.sources.values_mut() {
            let is_named = |path: &PathBuf| paths.contains(path.as_os_str());
            let named = is_named(&source.path_now) || source.real_path.as_ref().is_some_and(is_named);
            source.dirty |= source.is_followed() && (source.stage == Stage::Rotated || named);
        }
    }

    /// Notes how much stands in the files with news, for when nothing can be read from them for a while.
    pub fn note(&mut self) -> bool {
        let mut news = false;
        for source in self.sources.values_mut().filter(|source| source.dirty) {
            news |= source.note();
        }
        self.unsaved |= news;
        news
    }

    /// Marks everything: wake-ups were lost.
    pub fn touched_all(&mut self) {
        for source in self.sources.values_mut() {
            source.dirty |= source.is_followed();
        }
    }

    /// Whether something is followed or waited for of which no directory tells: deleted files, links, permissions.
    pub fn needs_looks(&self) -> bool {
        !self.scanned
            || !self.warned.is_empty()
            || self.sources.values().any(|source| {
                let away = source.stage == Stage::Rotated && source.is_followed();
                away || source.waiting_since.is_some() || (source.is_followed() && source.real_path.is_some())
            })
    }

    /// Directories whose changes are worth a wake-up.
    pub fn directories(&self) -> HashSet<PathBuf> {
        let followed = self.sources.values().filter(|source| source.is_followed());
        let paths = followed.flat_map(|source| [Some(&source.path_now), source.real_path.as_ref()]);
        let mut dirs: HashSet<PathBuf> = HashSet::new();
        for dir in paths.filter_map(|path| path?.parent()) {
            if !dirs.contains(dir) {
                dirs.insert(dir.to_path_buf());
            }
        }
        dirs
    }
}

//! The files around a log: rotated ones, copies, and what a compressor made of them.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::body::{Body, Packing};
use super::checkpoint::Stage;
use super::follow::Tail;
use super::identity::{
    FINGERPRINT_BYTES_MAX, FileId, Fingerprint, HeadMatch::Same, is_compressed, is_rotated_name, read_full_at,
};
use super::reader::{Source, mtime_ns};

/// Entries of one directory that are looked through for a rotated file.
pub const SIBLINGS_MAX: usize = 10_000;
/// Directories beside a log that are looked through because they are called like an archive.
pub const ARCHIVES_MAX: usize = 16;
/// Compressed files whose head is decompressed in one search.
pub const PACKED_LOOKS_MAX: usize = 1_000;
/// How the directories begin into which rotators move files (`olddir` of logrotate).
const ARCHIVE_NAMES: [&str; 5] = ["old", "archiv", "rotat", "backup", "bak"];

/// A file beside a log.
#[derive(Debug)]
pub(super) struct Sibling {
    pub path: PathBuf,
    pub meta: Metadata,
}

impl Tail {
    /// An unknown file near `path` that begins as `fingerprint` says: the one that holds `pos`, rather plain than
    /// compressed, rather late than early.
    pub(super) fn find_copy(
        &self,
        path: &Path,
        fingerprint: Fingerprint,
        not: Option<FileId>,
        pos: u64,
    ) -> Option<(Sibling, Body)> {
        if fingerprint.is_empty() {
            return None;
        }
        let live = name_of(path);
        let related = |sibling: &Sibling| is_rotated_name(&live, &name_of(&sibling.path));
        let mut all = files_near(path);
        // Those that are called like it are not crowded out by the compressed files of others.
        all.sort_by_cached_key(|sibling| !related(sibling));
        let mut best: Option<(Sibling, Body)> = None;
        let mut looks = 0;
        for sibling in all {
            let id = FileId::of(&sibling.meta);
            let named = fingerprint.is_full() || related(&sibling);
            let held = self.owner(&id).is_some_and(|owner| owner.stage != Stage::Finished && !owner.shared);
            if Some(id) == not || !named || sibling.path == path || held {
                continue;
            }
            looks += usize::from(Packing::of(&sibling.path).is_some());
            if looks > PACKED_LOOKS_MAX {
                break;
            }
            let Ok(mut body) = Body::open(&sibling.path) else { continue };
            let Ok(head) = body.head() else { continue };
            if fingerprint.check(head.bytes()) != Same || self.is_known(&id, head.bytes()) {
                continue;
            }
            let rank = |(sibling, body): &(Sibling, Body)| {
                let plain = body.plain().is_some();
                (!plain || sibling.meta.len() >= pos, plain, mtime_ns(&sibling.meta))
            };
            let found = (sibling, body);
            if best.as_ref().is_none_or(|other| rank(&found) > rank(other)) {
                best = Some(found);
            }
        }
        best
    }

    fn owner(&self, id: &FileId) -> Option<&Source> {
        self.by_file.get(id).and_then(|key| self.sources.get(key)).map(|source| &**source)
    }

    /// Whether the file with this inode and this head is a source's; the inode of a finished one can come back.
    pub(super) fn is_known(&self, id: &FileId, head: &[u8]) -> bool {
        self.owner(id).is_some_and(|owner| {
            let same = !owner.fingerprint.is_empty() && owner.fingerprint.check(head) == Same;
            let by_number = !owner.shared || owner.fingerprint.is_empty();
            same || (owner.stage != Stage::Finished && by_number)
        })
    }
}

/// Plain files by directory and inode: each directory is read once, however many logs are looked for in it.
#[derive(Debug, Default)]
pub(super) struct Listings(HashMap<PathBuf, HashMap<u64, Vec<PathBuf>>>);

impl Listings {
    /// Files near `path` with this inode, itself not among them; `None` if there is no other file at all.
    pub(super) fn beside(&mut self, path: &Path, ino: u64) -> Option<Vec<PathBuf>> {
        let dir = path.parent().unwrap_or(Path::new("/"));
        if !self.0.contains_key(dir) {
            let mut files: HashMap<u64, Vec<PathBuf>> = HashMap::new();
            for sibling in files_near(path).into_iter().filter(|sibling| !is_compressed(&name_of(&sibling.path))) {
                files.entry(sibling.meta.ino()).or_default().push(sibling.path);
            }
            self.0.insert(dir.to_path_buf(), files);
        }
        let files = self.0.get(dir)?;
        let other = |file: &&PathBuf| file.as_path() != path;
        files.values().flatten().find(other)?;
        Some(files.get(&ino).into_iter().flatten().filter(other).cloned().collect())
    }
}

/// Plain files of a directory.
pub(super) fn plain_files(dir: &Path) -> impl Iterator<Item = Sibling> {
    files_of(dir).into_iter().filter(|sibling| !is_compressed(&name_of(&sibling.path)))
}

/// Compressed files of a directory that can be read.
pub(super) fn packed_files(dir: &Path) -> impl Iterator<Item = Sibling> {
    files_of(dir).into_iter().filter(|sibling| Packing::of(&sibling.path).is_some())
}

/// Whether there is a file that looks like the log's, compressed as nothing here can read it.
pub(super) fn has_unreadable(path: &Path) -> bool {
    let live = name_of(path);
    files_near(path).iter().any(|sibling| {
        let name = name_of(&sibling.path);
        is_compressed(&name) && is_rotated_name(&live, &name) && Packing::of(&sibling.path).is_none()
    })
}

pub(super) fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Whether two files have the same bytes where the shorter one ends.
pub(super) fn same_bytes(a: &File, b: &File, b_len: u64) -> bool {
    let Ok(a_len) = a.metadata().map(|meta| meta.size()) else { return false };
    let end = a_len.min(b_len);
    let start = end.saturating_sub(FINGERPRINT_BYTES_MAX as u64);
    let mut left = [0; FINGERPRINT_BYTES_MAX];
    let mut right = [0; FINGERPRINT_BYTES_MAX];
    let len = (end - start) as usize;
    let read = read_full_at(a, &mut left[..len], start).is_ok_and(|n| n == len)
        && read_full_at(b, &mut right[..len], start).is_ok_and(|n| n == len);
    read && left == right
}

/// Files in the directory of `path` and in those below it that are called like an archive.
fn files_near(path: &Path) -> Vec<Sibling> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let archives = entries(dir).filter(|sibling| sibling.meta.is_dir()).filter(|sibling| {
        let name = name_of(&sibling.path).to_ascii_lowercase();
        ARCHIVE_NAMES.iter().any(|archive| name.trim_start_matches('.').starts_with(archive))
    });
    let archives: Vec<PathBuf> = archives.take(ARCHIVES_MAX).map(|sibling| sibling.path).collect();
    files_of(dir).into_iter().chain(archives.iter().flat_map(|archive| files_of(archive))).collect()
}

fn files_of(dir: &Path) -> Vec<Sibling> {
    entries(dir).filter(|sibling| sibling.meta.is_file()).collect()
}

fn entries(dir: &Path) -> impl Iterator<Item = Sibling> {
    std::fs::read_dir(dir).into_iter().flatten().take(SIBLINGS_MAX).filter_map(|entry| {
        let path = entry.ok()?.path();
        let meta = std::fs::symlink_metadata(&path).ok()?;
        Some(Sibling { path, meta })
    })
}

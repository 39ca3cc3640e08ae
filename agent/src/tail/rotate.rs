//! What changed in the directories: new files, files that were moved away, truncated, copied, deleted, or come back.
//!
//! - Renamed or deleted: the open descriptor is read on, until it has been quiet for [`ROTATED_QUIET`].
//! - Truncated (`copytruncate`): the copy is looked for among the siblings by its head and read to its end under the old
//!   source id at the same offsets; without a copy the unread bytes are a gap.
//! - Created, renamed again before anyone looked: found among the siblings by name and birth.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use logweir_proto::batch::{Gap, SourceInfo};

use super::Now;
use super::checkpoint::{Stage, random_hex};
use super::discover::Candidate;
use super::follow::Tail;
use super::identity::{
    FINGERPRINT_BYTES_MAX, FileId, Fingerprint, Head, HeadMatch, is_compressed, is_rotated_name, read_full_at,
};
use super::reader::{Source, mtime_ns};
use crate::batch::fit;
use crate::config::StartAt;
use crate::decode::Format;
use crate::decode::encoding::Encoding;

/// A writer may go on with a renamed file for a while: it is let go after this time without growth.
pub const ROTATED_QUIET: Duration = Duration::from_secs(60);
/// A finished file that no scan meets any more is forgotten after this time.
pub const FINISHED_KEEP: Duration = Duration::from_secs(3600);
/// Entries of one directory that are looked through for a rotated file.
pub const SIBLINGS_MAX: usize = 10_000;
/// How far the clock of a file system may be behind ours.
const BIRTH_SLACK_NS: i64 = 1_000_000_000;

/// A file beside a log.
#[derive(Debug)]
pub(super) struct Sibling {
    pub path: PathBuf,
    pub meta: Metadata,
}

/// Where a new file is begun, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// `--once`, or `start_at: beginning`.
    Asked,
    /// It came while we were looking, or while the agent was down.
    Appeared,
    /// It was there before anybody asked for it.
    AtEnd,
}

impl Tail {
    /// Compares what is followed with what was found.
    pub fn rescan(&mut self, found: &[Candidate], now: Now) {
        let looks: Vec<(&Candidate, Metadata)> = found
            .iter()
            .filter_map(|candidate| {
                Some((candidate, std::fs::metadata(&candidate.path).ok().filter(Metadata::is_file)?))
            })
            .collect();
        let at_path: HashMap<&Path, &Metadata> =
            looks.iter().map(|(candidate, meta)| (candidate.path.as_path(), meta)).collect();
        self.retry_waiting(now);
        let keys: Vec<u64> = self.sources.keys().copied().collect();
        for key in &keys {
            self.look_again(*key, &at_path, now);
        }
        for (candidate, meta) in &looks {
            self.adopt(candidate, meta, now);
        }
        self.look_at_finished(now);
        let replaced = std::mem::take(&mut self.replaced);
        self.find_missed(&replaced, now);
        self.settle(now);
        self.scanned = true;
        self.scanned_ns = now.wall_ns;
    }

    /// Whether a followed file is still where it was, and whether it grew.
    fn look_again(&mut self, key: u64, at_path: &HashMap<&Path, &Metadata>, now: Now) {
        let Some(source) = self.sources.get_mut(&key) else { return };
        let Some(file) = &source.file else { return };
        if let Ok(meta) = file.metadata() {
            source.dirty |= meta.len() != source.size || mtime_ns(&meta) != source.mtime_ns;
            let same = |head: Head| source.fingerprint.check(head.bytes()) == HeadMatch::Same;
            if source.end.is_none() && meta.len() > source.size && Head::read(file).is_ok_and(same) {
                // What stood here is known even if it is truncated before it is read.
                source.size = meta.len();
            }
        }
        if source.stage != Stage::Live {
            return;
        }
        let there = match at_path.get(source.path_now.as_path()) {
            Some(meta) => Some(FileId::of(meta)),
            None => std::fs::metadata(&source.path_now).ok().map(|meta| FileId::of(&meta)),
        };
        if there != Some(source.id) {
            tracing::info!(path = %source.info.path, "moved away: it is read to its end");
            source.stage = Stage::Rotated;
            source.quiet_since = now.mono;
            source.dirty = true;
            self.replaced.push(key);
            self.unsaved = true;
        }
    }

    /// A finished file can grow where no glob looks, and the directory does not show it.
    fn look_at_finished(&mut self, now: Now) {
        let finished = self.sources.values().filter(|source| source.stage == Stage::Finished);
        let paths: Vec<PathBuf> = finished.map(|source| source.path_now.clone()).collect();
        for path in paths {
            if let Ok(meta) = std::fs::metadata(&path) {
                self.grew_after_all(&Sibling { path, meta }, now);
            }
        }
    }

    /// Takes a finished file up again, under its old id, if it is longer than what was read.
    fn grew_after_all(&mut self, sibling: &Sibling, now: Now) -> bool {
        let Some(&key) = self.by_file.get(&FileId::of(&sibling.meta)) else { return false };
        let Some(source) = self.sources.get_mut(&key) else { return false };
        // Without a head the inode alone would have to speak for it, and that can be a copy's by now.
        if source.stage != Stage::Finished || source.fingerprint.is_empty() {
            return false;
        }
        source.path_now.clone_from(&sibling.path);
        sibling.meta.len() > source.pos && self.meet(key, &sibling.path, &sibling.meta, now)
    }

    fn adopt(&mut self, candidate: &Candidate, meta: &Metadata, now: Now) {
        self.rebind(&candidate.path, meta);
        if let Some(&key) = self.by_file.get(&FileId::of(meta))
            && self.meet(key, &candidate.path, meta, now)
        {
            return;
        }
        let open = self.sources.values().filter(|source| source.file.is_some()).count();
        if open >= self.settings.limits.open_files {
            self.warn_once(&candidate.path, "limits.open_files is reached: raise it");
            return;
        }
        let file = match File::open(&candidate.path) {
            Ok(file) => file,
            Err(error) => return self.warn_once(&candidate.path, &error.to_string()),
        };
        let Ok(meta) = file.metadata() else { return };
        if self.by_file.contains_key(&FileId::of(&meta)) || self.is_copy(&candidate.path, &file, &meta) {
            return;
        }
        let start = self.start_of(candidate, &meta, now);
        let framed = Format::new(candidate.kind, &candidate.format, &candidate.multiline, 0).framed;
        let at = match start {
            Start::AtEnd if framed => meta.len(),
            Start::AtEnd => end_of_lines(&file, meta.len()),
            _ => 0,
        };
        let info = SourceInfo {
            id: String::new(),
            kind: candidate.kind,
            path: candidate.path.display().to_string(),
            format: candidate.format.clone(),
            labels: candidate.labels.clone(),
        };
        match Source::new(info, candidate.multiline.clone(), file, at, now) {
            Ok(source) => {
                self.warned.remove(&candidate.path);
                tracing::info!(path = %candidate.path.display(), offset = at, reason = ?start, "following");
                self.insert(source);
            }
            Err(error) => self.warn_once(&candidate.path, &error.to_string()),
        }
    }

    /// A known file is met at `path`; false when it is another one with an old inode.
    fn meet(&mut self, key: u64, path: &Path, meta: &Metadata, now: Now) -> bool {
        let Some(source) = self.sources.get_mut(&key) else { return false };
        source.met = now.mono;
        if source.stage == Stage::Live || source.waiting_since.is_some() {
            return true;
        }
        let home = path == Path::new(&source.info.path);
        if source.file.is_none() {
            if source.stage == Stage::Finished && meta.len() == source.pos && mtime_ns(meta) == source.mtime_ns {
                return true;
            }
            // It grew after it was finished, or the inode is another file's now.
            let same = |file: &File| {
                Head::read(file).is_ok_and(|head| source.fingerprint.check(head.bytes()) == HeadMatch::Same)
            };
            let opened = File::open(path).ok().filter(|file| same(file));
            source.mtime_ns = mtime_ns(meta);
            if meta.len() < source.pos && opened.is_some() && !source.fingerprint.is_empty() {
                source.file = opened;
                source.path_now = path.to_path_buf();
                source.stage = if home { Stage::Live } else { Stage::Rotated };
                self.shortened(key, meta.len(), now);
                return true;
            }
            match opened.filter(|_| meta.len() >= source.pos) {
                None => {
                    self.by_file.remove(&source.id);
                    return false;
                }
                Some(_) if source.stage == Stage::Finished && meta.len() == source.pos => return true,
                opened => source.file = opened,
            }
            source.dirty = true;
            source.quiet_since = now.mono;
        }
        source.stage = if home { Stage::Live } else { Stage::Rotated };
        source.path_now = path.to_path_buf();
        self.unsaved = true;
        true
    }

    /// Gives a new source its id and its place.
    pub(super) fn insert(&mut self, mut source: Source) -> u64 {
        let key = self.next_source;
        self.next_source += 1;
        // Without random bytes the id is still unique within this state directory, just not beyond a restored backup.
        let random = random_hex().unwrap_or_else(|_| format!("{:x}", source.id.ino));
        source.info.id = format!("{key}-{random}");
        for (name, value) in &self.settings.labels {
            source.info.labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
        fit(&mut source.info);
        self.by_file.insert(source.id, key);
        self.sources.insert(key, source);
        self.unsaved = true;
        key
    }

    fn start_of(&self, candidate: &Candidate, meta: &Metadata, now: Now) -> Start {
        if self.settings.once || candidate.start_at == StartAt::Beginning {
            return Start::Asked;
        }
        if self.scanned {
            return Start::Appeared;
        }
        if self.fresh {
            return Start::AtEnd;
        }
        let path = candidate.path.display().to_string();
        let known_path = self.sources.values().any(|source| source.info.path == path);
        let born_since = match birth_ns(meta) {
            // The clock was set back since: rather twice than never.
            Some(_) if self.scanned_ns > now.wall_ns => true,
            Some(birth) => birth >= self.scanned_ns - BIRTH_SLACK_NS,
            // A file system without birth times: a new file in a known directory is taken for a new log.
            None => {
                self.sources.values().any(|source| Path::new(&source.info.path).parent() == candidate.path.parent())
            }
        };
        if known_path || born_since { Start::Appeared } else { Start::AtEnd }
    }

    /// Whether the file is a copy that a rotation makes of a log that is followed (`copytruncate`, pm2-logrotate).
    ///
    /// If the log was truncated meanwhile, the copy belongs to [`Tail::rewritten`], which the next read will call.
    fn is_copy(&self, path: &Path, file: &File, meta: &Metadata) -> bool {
        let Ok(head) = Head::read(file) else { return false };
        let head = head.bytes();
        let (dir, name) = (path.parent().unwrap_or(Path::new("/")).to_string_lossy(), name_of(path));
        self.sources.values().any(|source| {
            // Text and not paths: with ten thousand files this is asked a hundred million times.
            let live = source.info.path.strip_prefix(&*dir).map(|rest| rest.trim_start_matches('/'));
            let (Some(original), Some(live)) = (&source.file, live) else { return false };
            let related = is_rotated_name(live, &name);
            if !related || source.fingerprint.is_empty() {
                return false;
            }
            let Ok(now) = Head::read(original) else { return false };
            let intact = source.fingerprint.check(now.bytes()) == HeadMatch::Same
                && original.metadata().is_ok_and(|meta| meta.len() >= source.pos);
            match (intact, source.fingerprint.check(head)) {
                (false, fits) => fits == HeadMatch::Same,
                (true, HeadMatch::Different) => false,
                // Also while it is being written, when it is shorter than the fingerprint.
                (true, HeadMatch::Same | HeadMatch::Shorter) => same_bytes(original, file, meta.len()),
            }
        })
    }

    /// The file under a source was truncated or written anew: what was unread is looked for in a copy.
    pub(super) fn rewritten(&mut self, key: u64, now: Now) {
        let Some(source) = self.sources.get(&key) else { return };
        let (path, size, pos) = (source.path_now.clone(), source.size, source.pos);
        tracing::info!(path = %path.display(), pos, size, "truncated or written anew");
        let home = PathBuf::from(&source.info.path);
        let copy = self.find_copy(&home, source.fingerprint, source.id, pos);
        let Some(source) = self.sources.get_mut(&key) else { return };
        let old_file = source.file.take().filter(|_| source.end.is_none());
        let (stage, multiline, info) = (source.stage, source.multiline.clone(), source.info.clone());
        source.stage = Stage::Rotated;
        source.pending = None;
        source.quiet_since = now.mono;
        let old_id = source.id;
        let mut recovered = 0;
        if self.by_file.get(&old_id) == Some(&key) {
            self.by_file.remove(&old_id);
        }
        if let Some((sibling, file)) = copy {
            recovered = sibling.meta.len();
            source.id = FileId::of(&sibling.meta);
            source.path_now = sibling.path;
            source.size = recovered.max(source.pos);
            source.dirty = true;
            if recovered > source.pos {
                source.file = Some(file);
            }
            self.by_file.insert(source.id, key);
        } else {
            source.size = source.pos;
        }
        let lost_from = pos.max(recovered);
        if size > lost_from {
            let reason = "truncated before it was read".to_owned();
            let (source, path) = (info.id.clone(), info.path.clone());
            self.report(Gap { source, path, start: lost_from, end: Some(size), reason });
        }
        let Some(file) = old_file else { return };
        match Source::new(info, multiline, file, 0, now) {
            Ok(mut fresh) => {
                fresh.stage = stage;
                fresh.path_now = path;
                self.insert(fresh);
            }
            Err(error) => tracing::warn!(path = %path.display(), error = %error, "cannot follow after a truncation"),
        }
        self.replaced.push(key);
        self.unsaved = true;
    }

    /// An unknown file beside `path` that begins as `fingerprint` says: the one that holds `pos`, else the largest.
    pub(super) fn find_copy(
        &self,
        path: &Path,
        fingerprint: Fingerprint,
        not: FileId,
        pos: u64,
    ) -> Option<(Sibling, File)> {
        if fingerprint.is_empty() {
            return None;
        }
        let live = name_of(path);
        let mut best: Option<(Sibling, File)> = None;
        for sibling in siblings(path) {
            let id = FileId::of(&sibling.meta);
            let related = fingerprint.is_full() || is_rotated_name(&live, &name_of(&sibling.path));
            if id == not || !related || self.by_file.contains_key(&id) {
                continue;
            }
            let Ok(file) = File::open(&sibling.path) else { continue };
            if !Head::read(&file).is_ok_and(|head| fingerprint.check(head.bytes()) == HeadMatch::Same) {
                continue;
            }
            let rank = |sibling: &Sibling| (sibling.meta.len() >= pos, mtime_ns(&sibling.meta));
            if best.as_ref().is_none_or(|(other, _)| rank(&sibling) > rank(other)) {
                best = Some((sibling, file));
            }
        }
        best
    }

    /// Files that stood at the path of a source and were rotated away before anyone saw them: beside it, named as a
    /// rotation names them, unknown, and born since the last look.
    fn find_missed(&mut self, replaced: &[u64], now: Now) {
        let mut dirs: BTreeMap<PathBuf, Vec<u64>> = BTreeMap::new();
        let mut paths: HashSet<&str> = HashSet::new();
        // The latest source of a path knows best what its lines are called.
        for (key, source) in self.sources.iter().rev() {
            if paths.insert(&source.info.path) || replaced.contains(key) {
                let dir = Path::new(&source.info.path).parent().unwrap_or(Path::new("/"));
                dirs.entry(dir.to_path_buf()).or_default().push(*key);
            }
        }
        self.dir_mtimes.retain(|dir, _| dirs.contains_key(dir));
        for (dir, keys) in dirs {
            let mtime = std::fs::metadata(&dir).map(|meta| mtime_ns(&meta)).unwrap_or(0);
            let changed = self.dir_mtimes.insert(dir.clone(), mtime) != Some(mtime);
            // Before the first look of a first start nothing can have been missed.
            let first = self.fresh && !self.scanned;
            if !first
                && (changed || keys.iter().any(|key| replaced.contains(key)))
                && self.look_through(&dir, &keys, replaced, now)
            {
                // A copy that is still empty says nothing yet, and its growth does not show in the directory.
                self.dir_mtimes.remove(&dir);
            }
        }
    }

    /// Returns whether some file was too short to tell.
    fn look_through(&mut self, dir: &Path, keys: &[u64], replaced: &[u64], now: Now) -> bool {
        let mut undecided = false;
        let by_id: HashMap<FileId, u64> =
            replaced.iter().filter_map(|key| Some((self.sources.get(key)?.id, *key))).collect();
        for sibling in plain_files(dir) {
            let id = FileId::of(&sibling.meta);
            if let Some(source) = by_id.get(&id).and_then(|key| self.sources.get_mut(key)) {
                source.path_now.clone_from(&sibling.path);
            }
            self.rebind(&sibling.path, &sibling.meta);
            if self.grew_after_all(&sibling, now) {
                continue;
            }
            let birth = birth_ns(&sibling.meta).filter(|_| self.scanned_ns <= now.wall_ns);
            let born_since = birth.map(|birth| birth >= self.scanned_ns - BIRTH_SLACK_NS);
            if born_since == Some(false) || self.by_file.contains_key(&id) {
                continue;
            }
            let name = name_of(&sibling.path);
            let of = keys.iter().find(|key| {
                self.sources.get(key).is_some_and(|source| {
                    // Without birth times only a file that is younger than the one it followed is taken.
                    let younger = replaced.contains(key) && mtime_ns(&sibling.meta) >= source.mtime_ns;
                    is_rotated_name(&name_of(Path::new(&source.info.path)), &name) && (born_since.is_some() || younger)
                })
            });
            let Some(source) = of.and_then(|key| self.sources.get(key)) else { continue };
            if sibling.meta.len() == 0 {
                undecided = true;
                continue;
            }
            let (info, multiline) = (source.info.clone(), source.multiline.clone());
            let Ok(file) = File::open(&sibling.path) else { continue };
            if self.is_copy(&sibling.path, &file, &sibling.meta) {
                undecided = true;
                continue;
            }
            if let Ok(mut missed) = Source::new(info, multiline, file, 0, now) {
                tracing::info!(path = %sibling.path.display(), "rotated before it was seen: it is read to its end");
                missed.stage = Stage::Rotated;
                missed.path_now = sibling.path;
                self.insert(missed);
            }
        }
        undecided
    }

    /// Lets go what is read to its end and quiet, and forgets what nobody meets any more.
    fn settle(&mut self, now: Now) {
        let mut forgotten = Vec::new();
        for (key, source) in &mut self.sources {
            let stored = source.acked == source.pos && source.pending.is_none() && source.waiting_since.is_none();
            let quiet = now.mono.saturating_duration_since(source.quiet_since) >= ROTATED_QUIET;
            if source.stage == Stage::Rotated && stored && (source.file.is_none() || (quiet && !source.dirty)) {
                tracing::info!(path = %source.path_now.display(), offset = source.acked, "finished");
                source.stage = Stage::Finished;
                source.file = None;
                source.met = now.mono;
                self.unsaved = true;
            }
            let unmet = now.mono.saturating_duration_since(source.met) >= FINISHED_KEEP;
            if source.stage == Stage::Finished && unmet {
                forgotten.push(*key);
            }
        }
        for key in forgotten {
            if let Some(source) = self.sources.remove(&key) {
                if self.by_file.get(&source.id) == Some(&key) {
                    self.by_file.remove(&source.id);
                }
                self.unsaved = true;
            }
        }
    }

    fn warn_once(&mut self, path: &Path, reason: &str) {
        if self.warned.len() < SIBLINGS_MAX && self.warned.insert(path.to_path_buf()) {
            tracing::warn!(path = %path.display(), reason, "cannot follow");
        }
    }
}

/// Plain files beside `path`, itself not among them, compressed ones neither.
pub(super) fn siblings(path: &Path) -> Vec<Sibling> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    plain_files(dir).filter(|sibling| sibling.path != path).collect()
}

fn plain_files(dir: &Path) -> impl Iterator<Item = Sibling> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().take(SIBLINGS_MAX);
    let files = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let meta = std::fs::symlink_metadata(&path).ok()?;
        Some(Sibling { path, meta })
    });
    files.filter(|sibling| sibling.meta.is_file() && !is_compressed(&name_of(&sibling.path)))
}

pub(super) fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn birth_ns(meta: &Metadata) -> Option<i64> {
    let since = meta.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_nanos()).ok()
}

/// Whether two files have the same bytes where the shorter one ends.
fn same_bytes(a: &File, b: &File, b_len: u64) -> bool {
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

/// Where the last whole line ends: a line that is half written when the agent starts is read when it is whole.
fn end_of_lines(file: &File, size: u64) -> u64 {
    let mut block = vec![0; 64 << 10];
    let start = size.saturating_sub(block.len() as u64) & !1;
    let len = read_full_at(file, &mut block, start).unwrap_or(0);
    let len = len.min((size - start) as usize);
    let encoding = Head::read(file).map_or(Encoding::Bytes, |head| Encoding::of(head.bytes()));
    encoding.after_last_line(&block[..len]).map_or(size, |at| start + at as u64)
}

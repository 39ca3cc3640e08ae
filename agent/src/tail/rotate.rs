//! What changed in the directories: new files, files that were moved away, truncated, copied, deleted, or come back.
//!
//! - Renamed or deleted: the open descriptor is read on, until it has been quiet for [`ROTATED_QUIET`].
//! - Truncated (`copytruncate`): the copy is looked for among the siblings by its head and read to its end under the old
//!   source id at the same offsets; without a copy the unread bytes are a gap.
//! - Created, renamed again before anyone looked: found among the siblings by name and birth.

use std::collections::{HashMap, HashSet};
use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use logweir_proto::batch::Gap;

use super::Now;
use super::body::{Body, Ended};
use super::checkpoint::{Stage, random_hex};
use super::discover::Candidate;
use super::follow::Tail;
use super::identity::{FileId, Head, HeadMatch, Stat, is_compressed, read_full_at};
use super::info::Info;
use super::names::is_rotated_of;
use super::reader::Source;
use super::siblings::{SIBLINGS_MAX, Sibling, name_of, same_bytes};
use crate::config::StartAt;
use crate::decode::Format;
use crate::decode::encoding::Encoding;
use crate::metrics;

/// A writer may go on with a renamed file for a while: it is let go after this time without growth.
pub const ROTATED_QUIET: Duration = Duration::from_secs(60);
/// A finished file that no scan meets any more is forgotten after this time.
pub const FINISHED_KEEP: Duration = Duration::from_secs(3600);
/// A line that is longer is begun in its middle.
const LAST_LINE_BYTES_MAX: u64 = 64 << 10;
/// How far the clock of a file system may be behind ours.
pub(super) const BIRTH_SLACK_NS: i64 = 1_000_000_000;

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
        let look = |candidate: &Candidate| {
            let ask = || std::fs::metadata(&candidate.path).ok().filter(Metadata::is_file).map(|meta| Stat::of(&meta));
            candidate.stat.or_else(ask)
        };
        let looks: Vec<(&Candidate, Stat)> =
            found.iter().filter_map(|candidate| Some((candidate, look(candidate)?))).collect();
        let at_path: HashMap<&Path, Stat> =
            looks.iter().map(|(candidate, stat)| (candidate.path.as_path(), *stat)).collect();
        self.warned.retain(|path| at_path.contains_key(path.as_path()));
        self.count_open();
        self.retry_waiting(now);
        let keys: Vec<u64> = self.sources.keys().copied().collect();
        for key in &keys {
            self.look_again(*key, &at_path, now);
        }
        for (candidate, stat) in &looks {
            self.adopt(candidate, stat, now);
        }
        self.look_at_finished(now);
        let replaced: HashSet<u64> = std::mem::take(&mut self.replaced).into_iter().collect();
        self.find_missed(&replaced, now);
        self.reused.clear();
        self.settle_doubts();
        self.limit_deleted();
        self.keep_open_files();
        self.settle(now);
        metrics::unreadable(self.warned.len());
        self.scanned = true;
        self.scanned_ns = now.wall_ns;
    }

    /// Whether a followed file is still where it was, and whether it grew.
    fn look_again(&mut self, key: u64, at_path: &HashMap<&Path, Stat>, now: Now) {
        let Some(source) = self.sources.get_mut(&key).filter(|source| !source.done) else { return };
        if source.file.as_ref().is_some_and(|body| body.packed().is_some()) {
            return self.look_at_packed(key, now);
        }
        if source.parked {
            return self.look_at_parked(key, at_path, now);
        }
        if source.file.as_ref().and_then(Body::plain).is_none() {
            return;
        }
        source.note();
        if source.stage != Stage::Live {
            return;
        }
        let there = match at_path.get(source.path_now.as_path()) {
            Some(stat) => Some(stat.id),
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

    fn look_at_parked(&mut self, key: u64, at_path: &HashMap<&Path, Stat>, now: Now) {
        let Some(source) = self.sources.get_mut(&key) else { return };
        let asked = match at_path.get(source.path_now.as_path()) {
            Some(stat) => Ok(*stat),
            None => std::fs::metadata(&source.path_now).map(|meta| Stat::of(&meta)),
        };
        match asked {
            Ok(stat) if stat.id == source.id => {
                source.dirty |= stat.len != source.size || stat.mtime_ns != source.mtime_ns;
            }
            Err(error) if error.kind() != ErrorKind::NotFound => {}
            _ => drop(self.moved_while_parked(key, now)),
        }
    }

    /// A compressed file that stopped in the middle may be still being written.
    fn look_at_packed(&mut self, key: u64, now: Now) {
        let Some(source) = self.sources.get_mut(&key) else { return };
        let Some(Body::Packed(packed)) = &mut source.file else { return };
        if !matches!(packed.end(), Some((_, Ended::Torn))) {
            return;
        }
        if packed.has_changed() {
            packed.rewind();
            source.dirty = true;
            source.quiet_since = now.mono;
        } else if now.mono.saturating_duration_since(source.quiet_since) >= ROTATED_QUIET {
            self.unpacked(key, true);
        }
    }

    /// A finished file can grow where no glob looks, and the directory does not show it.
    fn look_at_finished(&mut self, now: Now) {
        let finished = self.sources.values().filter(|source| source.stage == Stage::Finished);
        let paths: Vec<PathBuf> = finished.map(|source| source.path_now.clone()).collect();
        for path in paths.into_iter().filter(|path| !is_compressed(&name_of(path))) {
            if let Ok(meta) = std::fs::metadata(&path) {
                self.grew_after_all(&Sibling { path, meta }, now);
            }
        }
    }

    /// Takes a finished file up again, under its old id, if it is longer than what was read.
    pub(super) fn grew_after_all(&mut self, sibling: &Sibling, now: Now) -> bool {
        let Some(&key) = self.by_file.get(&FileId::of(&sibling.meta)) else { return false };
        let Some(source) = self.sources.get_mut(&key) else { return false };
        // Without a head the inode alone would have to speak for it, and that can be a copy's by now.
        if source.stage != Stage::Finished || source.fingerprint.is_empty() {
            return false;
        }
        source.path_now.clone_from(&sibling.path);
        sibling.meta.len() > source.pos && self.meet(key, &sibling.path, &Stat::of(&sibling.meta), now)
    }

    fn adopt(&mut self, candidate: &Candidate, stat: &Stat, now: Now) {
        self.rebind(&candidate.path, stat.id);
        if let Some(&key) = self.by_file.get(&stat.id)
            && self.meet(key, &candidate.path, stat, now)
        {
            return;
        }
        if !self.make_room() {
            self.warn_once(&candidate.path, "limits.open_files is reached by deleted files: raise it");
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
        let info = Info {
            id: Box::default(),
            kind: candidate.kind,
            path: candidate.path.display().to_string().into(),
            format: candidate.format.clone(),
            labels: candidate.labels.clone(),
        };
        match Source::new(info, candidate.multiline.clone(), Body::Plain(file), at, now) {
            Ok(source) => {
                self.warned.remove(&candidate.path);
                tracing::info!(path = %candidate.path.display(), offset = at, reason = ?start, "following");
                self.insert(source);
            }
            Err(error) => self.warn_once(&candidate.path, &error.to_string()),
        }
    }

    /// A known file is met at `path`; false when it is another one with an old inode.
    fn meet(&mut self, key: u64, path: &Path, stat: &Stat, now: Now) -> bool {
        let Some(source) = self.sources.get_mut(&key) else { return false };
        source.met = now.mono;
        if source.stage == Stage::Live || source.waiting_since.is_some() {
            return true;
        }
        let home = path == Path::new(&*source.info.path);
        if source.file.is_none() {
            if source.stage == Stage::Finished && stat.len == source.pos && stat.mtime_ns == source.mtime_ns {
                return true;
            }
            // It grew after it was finished, or the inode is another file's now.
            let same = |file: &File| {
                Head::read(file).is_ok_and(|head| source.fingerprint.check(head.bytes()) == HeadMatch::Same)
            };
            let opened = File::open(path).ok().filter(|file| same(file)).map(Body::Plain);
            source.mtime_ns = stat.mtime_ns;
            if stat.len < source.pos && opened.is_some() && !source.fingerprint.is_empty() {
                source.file = opened;
                source.done = false;
                source.path_now = path.to_path_buf();
                source.stage = if home { Stage::Live } else { Stage::Rotated };
                self.shortened(key, stat.len, now);
                return true;
            }
            match opened.filter(|_| stat.len >= source.pos) {
                None => {
                    self.by_file.remove(&source.id);
                    return false;
                }
                Some(_) if source.stage == Stage::Finished && stat.len == source.pos => return true,
                opened => source.file = opened,
            }
            source.done = false;
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
        source.info.id = format!("{key}-{random}").into();
        source.info.labels.add_missing(&self.settings.labels);
        source.info.fit();
        self.by_file.insert(source.id, key);
        self.names.insert(&source.info.path, key);
        self.open += usize::from(source.file.is_some());
        self.sources.insert(key, Box::new(source));
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
        let known_path = self.named_like(&candidate.path).any(|(_, source)| *source.info.path == *path);
        let born_since = match birth_ns(meta) {
            // The clock was set back since: rather twice than never.
            Some(_) if self.scanned_ns > now.wall_ns => true,
            Some(birth) => birth >= self.scanned_ns - BIRTH_SLACK_NS,
            // A file system without birth times: a new file in a known directory is taken for a new log.
            None => {
                self.sources.values().any(|source| Path::new(&*source.info.path).parent() == candidate.path.parent())
            }
        };
        if known_path || born_since { Start::Appeared } else { Start::AtEnd }
    }

    /// Whether the file is a copy that a rotation makes of a log that is followed (`copytruncate`, pm2-logrotate).
    ///
    /// If the log was truncated meanwhile, the copy belongs to [`Tail::rewritten`], which the next read will call.
    pub(super) fn is_copy(&self, path: &Path, file: &File, meta: &Metadata) -> bool {
        let Ok(head) = Head::read(file) else { return false };
        let head = head.bytes();
        self.named_like(path).any(|(_, source)| {
            if source.fingerprint.is_empty() || !is_rotated_of(&source.info.path, path) {
                return false;
            }
            let parked = source.parked.then(|| File::open(&source.path_now).ok()).flatten();
            let original = source.file.as_ref().and_then(Body::plain).or(parked.as_ref());
            let Some(original) = original else { return false };
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

    /// Sources that a file with this name can have to do with, in no order.
    pub(super) fn named_like(&self, path: &Path) -> impl Iterator<Item = (u64, &Source)> {
        self.names.near(path).filter_map(|key| Some((key, &**self.sources.get(&key)?)))
    }

    /// The file under a source was truncated or written anew: what was unread is looked for in a copy.
    pub(super) fn rewritten(&mut self, key: u64, now: Now) {
        let Some(source) = self.sources.get(&key) else { return };
        let (path, size, pos) = (source.path_now.clone(), source.size, source.pos);
        tracing::info!(path = %path.display(), pos, size, "truncated or written anew");
        let (home, fingerprint, old_id) = (PathBuf::from(&*source.info.path), source.fingerprint, source.id);
        // Renamed on a shared directory, it may have its number still; truncated elsewhere, it is the original.
        let not = (!source.shared).then_some(old_id);
        if self.by_file.get(&old_id) == Some(&key) {
            self.by_file.remove(&old_id);
        }
        let copy = self.find_copy(&home, fingerprint, not, pos);
        let Some(source) = self.sources.get_mut(&key) else { return };
        let old_file = source.take_rewritten();
        let (stage, multiline, info) = (source.stage, source.multiline.clone(), source.info.clone());
        source.stage = Stage::Rotated;
        source.pending = None;
        source.quiet_since = now.mono;
        let mut recovered = 0;
        if let Some((sibling, body)) = copy {
            // How much a compressed one holds is seen when it is read to its end.
            recovered = if body.plain().is_some() { sibling.meta.len() } else { size.max(pos) };
            source.id = FileId::of(&sibling.meta);
            source.path_now = sibling.path;
            source.size = recovered.max(source.pos);
            source.dirty = true;
            let more = body.plain().is_none() || recovered > source.pos;
            source.file = Some(body);
            if !more {
                source.let_go();
            }
            self.by_file.insert(source.id, key);
        } else {
            source.size = source.pos;
        }
        let lost_from = pos.max(recovered);
        if size > lost_from {
            let reason = "truncated before it was read".to_owned();
            let (source, path) = (info.id.to_string(), info.path.to_string());
            self.report(Gap { source, path, start: lost_from, end: Some(size), reason });
        }
        self.replaced.push(key);
        self.unsaved = true;
        let Some(file) = old_file else { return };
        match Source::new(info, multiline, Body::Plain(file), 0, now) {
            Ok(mut fresh) => {
                fresh.stage = stage;
                fresh.path_now = path;
                self.insert(fresh);
            }
            Err(error) => tracing::warn!(path = %path.display(), error = %error, "cannot follow after a truncation"),
        }
    }

    /// A log that was empty when it was seen last and is gone has lost nothing if what it became was found.
    fn settle_doubts(&mut self) {
        let missed = std::mem::take(&mut self.missed);
        for gap in std::mem::take(&mut self.doubtful) {
            if !missed.contains(&gap.path) {
                self.report(gap);
            }
        }
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
                self.names.remove(&source.info.path, key);
                if self.by_file.get(&source.id) == Some(&key) {
                    self.by_file.remove(&source.id);
                }
                self.unsaved = true;
            }
        }
    }

    pub(super) fn warn_once(&mut self, path: &Path, reason: &str) {
        if self.warned.len() < SIBLINGS_MAX && self.warned.insert(path.to_path_buf()) {
            tracing::warn!(path = %path.display(), reason, "cannot follow");
        }
    }
}

pub(super) fn birth_ns(meta: &Metadata) -> Option<i64> {
    let since = meta.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_nanos()).ok()
}

/// Where the last whole line ends: a line that is half written when the agent starts is read when it is whole.
fn end_of_lines(file: &File, size: u64) -> u64 {
    let start = size.saturating_sub(LAST_LINE_BYTES_MAX) & !1;
    let mut block = vec![0; (size - start) as usize];
    let len = read_full_at(file, &mut block, start).unwrap_or(0);
    let encoding = Head::read(file).map_or(Encoding::Bytes, |head| Encoding::of(head.bytes()));
    encoding.after_last_line(&block[..len]).map_or(size, |at| start + at as u64)
}

#[cfg(test)]
mod tests;

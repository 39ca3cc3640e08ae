//! The start: what the checkpoint remembers is found again, wherever it was rotated to meanwhile.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use logweir_proto::batch::Gap;
use logweir_runtime::durable::{self, DirLock};

use super::Now;
use super::body::{Body, Ended};
use super::checkpoint::{Checkpoint, PlannedRange, SavedSource, Stage, random_hex};
use super::follow::{Settings, Tail};
use super::identity::{FileId, Head, HeadMatch};
use super::reader::Source;
use super::siblings::{Listings, Sibling, has_unreadable};
use crate::error::{Error, Result};

/// A directory that is missing or empty may be one that is not mounted yet: so long its files are waited for.
pub(super) const MOUNT_WAIT: Duration = Duration::from_secs(600);

/// What stands at a path, seen from a source.
#[derive(Debug)]
enum Look {
    /// Its file, which may have lost its end.
    Same(Body, Metadata),
    Another,
    Absent,
    /// It cannot be told now.
    Unknown(io::Error),
}

/// What a search for the file of a source came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reopened {
    Here,
    Elsewhere,
    /// It cannot be told now: no gap, and no new id.
    Wait,
}

/// Where the file of a saved source is now.
#[derive(Debug)]
enum Whereabouts {
    /// The same inode with the same head.
    Here(PathBuf, Body),
    /// A copy that holds what is unread: the original was truncated.
    Copy(Sibling, Body),
    Gone(&'static str),
}

impl Tail {
    /// Takes the state directory and finds every remembered file again.
    pub fn open(settings: Settings, now: Now) -> Result<Tail> {
        let dir = settings.state_dir.clone();
        durable::create_private_dir(&dir).map_err(Error::io("create", &dir))?;
        let lock = DirLock::acquire(&dir).map_err(Error::io("lock", &dir))?.ok_or(Error::StateHeld(dir.clone()))?;
        let Some(mut checkpoint) = Checkpoint::load(&dir)? else {
            let mut tail = Tail::empty(settings, random_hex()?, lock, now);
            // The id of the agent is half the key of every byte that the server stores: it is on disk before any is sent.
            tail.save()?;
            return Ok(tail);
        };
        let (there, here) = (&checkpoint.machine, &settings.machine);
        let cloned = !there.is_empty() && !here.is_empty() && there != here;
        if cloned {
            // Two agents with one id would have their bytes taken for each other's. What was planned is the original's.
            let old = std::mem::replace(&mut checkpoint.agent_id, random_hex()?);
            checkpoint.in_flight.clear();
            tracing::warn!(old, new = checkpoint.agent_id, "the state is another machine's: this is a new agent");
        }
        let mut tail = Tail::empty(settings, checkpoint.agent_id, lock, now);
        tail.fresh = checkpoint.sources.is_empty() && checkpoint.saved_ns == 0;
        tail.scanned_ns = checkpoint.saved_ns;
        tail.next_source = checkpoint.next_source;
        tail.gaps = checkpoint.gaps;
        tail.dropped_lines = checkpoint.dropped_lines;
        tail.truncated_lines = checkpoint.truncated_lines;
        tail.restore(checkpoint.sources, now);
        let waits = |planned: &PlannedRange| {
            let of = |source: &Source| source.waiting_since.is_some() && *source.info.id == *planned.source;
            tail.sources.values().any(|source| of(source))
        };
        (tail.held, tail.replays) = checkpoint.in_flight.into_iter().partition(waits);
        tail.in_flight.clone_from(&tail.replays);
        if cloned {
            tail.save()?;
        }
        Ok(tail)
    }

    fn restore(&mut self, mut saved: Vec<SavedSource<'_>>, now: Now) {
        // The inode of a finished file can be a later one's: the ones that are followed win.
        saved.sort_by_key(|source| source.stage != Stage::Finished);
        let mut sources: BTreeMap<u64, Box<Source>> = BTreeMap::new();
        for saved in saved {
            // Ids begin with their key, which this agent gave: any other is not from here.
            let Some(key) = saved.info.id.split('-').next().and_then(|key| key.parse::<u64>().ok()) else { continue };
            self.by_file.insert(saved.id, key);
            self.next_source = self.next_source.max(key.saturating_add(1));
            let mut source = Source::saved(saved, now);
            source.info.fit();
            if source.end.is_some_and(|end| source.acked >= end) {
                source.stage = Stage::Finished;
            }
            self.names.insert(&source.info.path, key);
            sources.insert(key, Box::new(source));
        }
        let lost: Vec<u64> =
            sources.iter().filter(|(_, source)| source.stage != Stage::Finished).map(|(key, _)| *key).collect();
        self.sources = sources;
        // First those whose inode is there, so that a copy is never taken that is another source's file.
        let (mut missing, mut listings) = (Vec::new(), Listings::default());
        for key in lost {
            match self.reopen_here(key, &mut listings, now) {
                Reopened::Here => {
                    self.open += 1;
                    self.make_room();
                }
                Reopened::Elsewhere => missing.push(key),
                Reopened::Wait => {
                    if let Some(source) = self.sources.get_mut(&key) {
                        source.waiting_since = Some(now.mono);
                    }
                }
            }
        }
        // Their old inodes, if anything has them, are other files now: none of them may count as known.
        for key in &missing {
            let id = self.sources.get(key).map(|source| source.id);
            if let Some(id) = id.filter(|id| self.by_file.get(id) == Some(key)) {
                self.by_file.remove(&id);
            }
        }
        for key in missing {
            self.reopen_elsewhere(key);
        }
    }

    fn reopen_here(&mut self, key: u64, listings: &mut Listings, now: Now) -> Reopened {
        let Some(source) = self.sources.get_mut(&key) else { return Reopened::Here };
        let home = PathBuf::from(&*source.info.path);
        let (path_now, ino) = (source.path_now.clone(), source.id.ino);
        let named = [path_now.clone(), home.clone()].into_iter();
        // Directories are read only if it has neither name; `None` says that something stands there that is not it.
        let beside = [&home, &path_now].into_iter().flat_map(|path| {
            listings.beside(path, ino).into_iter().flat_map(|files| files.into_iter().map(Some).chain([None]))
        });
        let mut unknown = None;
        let mut absent = true;
        for path in named.map(Some).chain(beside) {
            let Some(path) = path else {
                absent = false;
                continue;
            };
            match look(source, &path) {
                Look::Same(file, meta) => {
                    let packed = file.packed().is_some();
                    let (old_id, id, len) = (source.id, FileId::of(&meta), meta.len());
                    let away = path != home;
                    place(source, Whereabouts::Here(path, file));
                    source.id = id;
                    if away && source.stage == Stage::Live {
                        source.stage = Stage::Rotated;
                        self.replaced.push(key);
                    }
                    let short = !packed && len < source.pos;
                    self.renamed_device(key, old_id);
                    if short {
                        self.shortened(key, len, now);
                    }
                    return Reopened::Here;
                }
                Look::Absent => {}
                Look::Another => absent = false,
                Look::Unknown(error) => unknown = Some((path, error)),
            }
        }
        if let Some((path, error)) = unknown {
            if source.waiting_since.is_none() {
                tracing::warn!(path = %path.display(), error = %error, "cannot look at a followed file: waiting");
            }
            return Reopened::Wait;
        }
        let since = source.waiting_since.unwrap_or(now.mono);
        if absent && is_unmounted(&home) && now.mono.saturating_duration_since(since) < MOUNT_WAIT {
            return Reopened::Wait;
        }
        Reopened::Elsewhere
    }

    /// Tries again to find the files that could not be looked at.
    pub(super) fn retry_waiting(&mut self, now: Now) {
        let waiting: Vec<u64> =
            self.sources.iter().filter(|(_, source)| source.waiting_since.is_some()).map(|(key, _)| *key).collect();
        for key in waiting {
            self.find_again(key, now);
        }
    }

    /// Looks for the file of a source that has none: at its path, beside it, as a copy.
    pub(super) fn find_again(&mut self, key: u64, now: Now) {
        let reopened = self.reopen_here(key, &mut Listings::default(), now);
        let Some(source) = self.sources.get_mut(&key) else { return };
        let id = source.info.id.to_string();
        match reopened {
            Reopened::Wait => {
                source.waiting_since.get_or_insert(now.mono);
                return;
            }
            Reopened::Here => {
                source.waiting_since = None;
                source.dirty = source.file.is_some();
                self.replays.extend(self.held.iter().filter(|planned| planned.source == id).cloned());
            }
            Reopened::Elsewhere => {
                source.waiting_since = None;
                self.held.retain(|planned| planned.source != id);
                self.reopen_elsewhere(key);
            }
        }
        self.unsaved = true;
    }

    /// A finished file is met under another device number: the numbers of devices change over a reboot.
    pub(super) fn rebind(&mut self, path: &Path, id: FileId) {
        if self.by_file.contains_key(&id) {
            return;
        }
        let same_inode = self.by_file.range(FileId { dev: 0, ..id }..=FileId { dev: u64::MAX, ..id });
        let mut sources = same_inode.filter_map(|(_, key)| Some((*key, self.sources.get(key)?)));
        let finished = sources.find(|(_, source)| {
            source.stage == Stage::Finished
                && (source.path_now.parent() == path.parent() || Path::new(&*source.info.path) == path)
                && !source.fingerprint.is_empty()
        });
        let Some((key, source)) = finished else { return };
        let head = File::open(path).and_then(|file| Head::read(&file));
        if head.is_ok_and(|head| source.fingerprint.check(head.bytes()) == HeadMatch::Same) {
            let old_id = source.id;
            if let Some(source) = self.sources.get_mut(&key) {
                source.id = id;
            }
            self.renamed_device(key, old_id);
        }
    }

    /// The id of the file under a source changed from `old_id`.
    fn renamed_device(&mut self, key: u64, old_id: FileId) {
        let Some(source) = self.sources.get(&key) else { return };
        if source.id == old_id {
            return;
        }
        tracing::info!(path = %source.info.path, from = old_id.dev, to = source.id.dev, "its device has a new number");
        if self.by_file.get(&old_id) == Some(&key) {
            self.by_file.remove(&old_id);
        }
        self.by_file.insert(source.id, key);
        self.unsaved = true;
    }

    /// The file under a source lost its end: its host lost power, or somebody cut it.
    ///
    /// The server may have had bytes beyond `len`, so what comes there now needs an id of its own: the old source ends
    /// here and a new one begins.
    pub(super) fn shortened(&mut self, key: u64, len: u64, now: Now) {
        let Some(source) = self.sources.get_mut(&key) else { return };
        tracing::warn!(path = %source.info.path, pos = source.pos, len, "lost its end: going on as a new source");
        let file = source.file.as_ref().and_then(Body::plain).map(File::try_clone);
        if source.pos >= len {
            source.let_go();
        }
        let (size, kept) = (source.size, source.pos.max(len));
        source.size = kept;
        source.pending = None;
        source.quiet_since = now.mono;
        let ended = source.end.replace(len).is_some();
        let stage = std::mem::replace(&mut source.stage, Stage::Rotated);
        let (info, multiline, path) = (source.info.clone(), source.multiline.clone(), source.path_now.clone());
        self.unsaved = true;
        if size > kept {
            let (source, path) = (info.id.to_string(), info.path.to_string());
            let reason = "cut off before it was read".to_owned();
            self.report(Gap { source, path, start: kept, end: Some(size), reason });
        }
        if ended {
            return;
        }
        let Some(file) = file else { return };
        match file.and_then(|file| Source::new(info, multiline, Body::Plain(file), len, now)) {
            Ok(mut fresh) => {
                fresh.stage = stage;
                fresh.path_now = path;
                self.insert(fresh);
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), error = %error, "cannot follow a file that lost its end")
            }
        }
    }

    fn reopen_elsewhere(&mut self, key: u64) {
        let Some(source) = self.sources.get(&key) else { return };
        let (path, old_id) = (PathBuf::from(&*source.info.path), source.id);
        // The old inode, if anything has it, is another file now: it must not count as known.
        if self.by_file.get(&old_id) == Some(&key) {
            self.by_file.remove(&old_id);
        }
        self.reused.insert(old_id);
        let found = match self.find_copy(&path, source.fingerprint, Some(old_id), source.pos) {
            Some((sibling, file)) => Whereabouts::Copy(sibling, file),
            None if has_unreadable(&path) => {
                Whereabouts::Gone("rotated while nobody looked, and compressed as it cannot be read here")
            }
            None => Whereabouts::Gone("deleted or written anew while nobody looked"),
        };
        let Some(source) = self.sources.get_mut(&key) else { return };
        source.stage = Stage::Rotated;
        let never_seen = source.size == 0;
        let lost = match found {
            Whereabouts::Gone(reason) => {
                let end = (source.size > source.pos).then_some(source.size);
                source.size = source.pos;
                Some((source.pos, end, reason))
            }
            Whereabouts::Copy(sibling, body) => {
                let (len, size, packed) = (sibling.meta.len(), source.size, body.packed().is_some());
                place(source, Whereabouts::Copy(sibling, body));
                self.by_file.insert(source.id, key);
                let from = len.max(source.pos);
                (!packed && size > from).then_some((from, Some(size), "truncated while nobody looked"))
            }
            Whereabouts::Here(..) => None,
        };
        if let Some((start, end, reason)) = lost {
            let gap = Gap {
                source: source.info.id.to_string(),
                path: source.info.path.to_string(),
                start,
                end,
                reason: reason.to_owned(),
            };
            if never_seen { self.doubtful.push(gap) } else { self.report(gap) }
        }
        self.replaced.push(key);
    }
}

impl Tail {
    /// A compressed file may be read to its end: what should stand behind that is lost.
    ///
    /// One that stops in the middle is waited for, unless it is given up.
    pub(super) fn unpacked(&mut self, key: u64, give_up: bool) {
        let Some(source) = self.sources.get_mut(&key) else { return };
        let (pos, size) = (source.pos, source.size);
        let Some((_, ended)) = source.packed_end().filter(|(end, _)| *end <= pos) else { return };
        let reason = match ended {
            Ended::Whole => "not in its compressed file".to_owned(),
            Ended::Torn if !give_up => return,
            Ended::Torn => "its compressed file stops in the middle".to_owned(),
            Ended::Damaged(why) => format!("its compressed file is damaged: {why}"),
        };
        let end = (size > pos).then_some(size);
        let lost = end.is_some() || *ended != Ended::Whole;
        source.size = pos;
        source.let_go();
        if lost {
            let (source, path) = (source.info.id.to_string(), source.info.path.to_string());
            self.report(Gap { source, path, start: pos, end, reason });
        }
    }
}

fn place(source: &mut Source, found: Whereabouts) {
    match found {
        Whereabouts::Here(path, body) => {
            source.path_now = path;
            if let Some(Ok(meta)) = body.plain().map(File::metadata) {
                source.size = meta.len();
            }
            source.file = Some(body);
        }
        Whereabouts::Copy(sibling, body) => {
            source.id = FileId::of(&sibling.meta);
            source.path_now = sibling.path;
            let packed = body.packed().is_some();
            let len = if packed { source.size } else { sibling.meta.len() };
            source.size = len.max(source.pos);
            source.file = Some(body);
            if !packed && len <= source.pos {
                source.let_go();
            }
        }
        Whereabouts::Gone(_) => {}
    }
}

fn look(source: &Source, path: &Path) -> Look {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Look::Absent,
        _ => Look::Unknown(error),
    };
    let is_it = |meta: &Metadata| {
        // The number of a device can change over a reboot: then the head has to speak for the file, if any was read.
        let known_by_head = !source.fingerprint.is_empty() || source.acked == 0;
        meta.ino() == source.id.ino && (meta.dev() == source.id.dev || known_by_head)
    };
    match std::fs::metadata(path) {
        Ok(meta) if is_it(&meta) => {}
        Ok(_) => return Look::Another,
        Err(error) => return failed(error),
    }
    let opened = Body::open(path).and_then(|mut body| {
        let (head, meta) = (body.head()?, body.metadata()?);
        Ok((body, head, meta))
    });
    let (body, head, meta) = match opened {
        Ok(opened) => opened,
        Err(error) => return failed(error),
    };
    let same = is_it(&meta) && source.fingerprint.check(head.bytes()) == HeadMatch::Same;
    if same && (meta.len() >= source.acked || !source.fingerprint.is_empty()) {
        Look::Same(body, meta)
    } else {
        Look::Another
    }
}

/// Whether the directory of a log is as it is before its file system is mounted.
fn is_unmounted(path: &Path) -> bool {
    let Some(dir) = path.parent() else { return false };
    match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

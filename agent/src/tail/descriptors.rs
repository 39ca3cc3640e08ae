//! Which followed files are open: `limits.open_files` of them; the others are parked and opened when there is news.
//!
//! Only a file that still has a name is parked: it is found again there, or beside it by its inode. Rotated ones come
//! last, as somebody may compress or delete them. A deleted one keeps its descriptor, the last way to it, until it is
//! read; deleted ones together hold at most `limits.deleted_bytes` of the disk.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use logweir_proto::batch::Gap;

use super::Now;
use super::body::Body;
use super::checkpoint::Stage;
use super::follow::Tail;
use super::identity::FileId;
use super::reader::Source;

/// Bytes of a block in `st_blocks`.
const BLOCK_BYTES: u64 = 512;

/// So many files are looked at for one that is idle: when all have news, any of them will do.
const IDLE_LOOKS_MAX: usize = 256;

/// Which files may be closed to make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// Nothing is to be read from it now.
    Idle,
    /// Any whose path leads to it: it is opened again in its turn.
    Live,
    /// Also a rotated one that was not deleted yet.
    Named,
}

impl Tail {
    /// Counts the open files anew; those opened until the next count are counted one by one.
    pub(super) fn count_open(&mut self) {
        self.open = self.sources.values().filter(|source| source.file.is_some()).count();
    }

    /// Parks files until one more can be opened; false when all that are open are deleted ones.
    pub(super) fn make_room(&mut self) -> bool {
        self.park_to(self.settings.limits.open_files.saturating_sub(1))
    }

    /// What was opened on the way to a moved or grown file may be one too many.
    pub(super) fn keep_open_files(&mut self) {
        self.count_open();
        self.park_to(self.settings.limits.open_files);
    }

    fn park_to(&mut self, most: usize) -> bool {
        while self.open > most {
            let next =
                [Choice::Idle, Choice::Live, Choice::Named].into_iter().find_map(|choice| self.next_to_park(choice));
            let Some(source) = next.and_then(|key| self.sources.get_mut(&key)) else { return false };
            source.park();
            self.open -= 1;
        }
        true
    }

    /// The hand goes round: whoever was opened stays open for a whole turn.
    fn next_to_park(&mut self, choice: Choice) -> Option<u64> {
        let fits = |source: &Source| {
            let fits = match choice {
                Choice::Idle => source.stage == Stage::Live && !source.dirty && source.pending.is_none(),
                Choice::Live => source.stage == Stage::Live,
                Choice::Named => true,
            };
            fits && source.can_be_parked()
        };
        let looks = if choice == Choice::Idle { IDLE_LOOKS_MAX } else { usize::MAX };
        let round = self.sources.range(self.hand..).chain(self.sources.range(..self.hand));
        let key = *round.take(looks).find(|(_, source)| fits(source))?.0;
        self.hand = key + 1;
        Some(key)
    }

    /// Opens a parked file; false when it cannot be read now.
    pub(super) fn open_parked(&mut self, key: u64, now: Now) -> bool {
        if !self.make_room() {
            return false;
        }
        let Some(source) = self.sources.get_mut(&key) else { return false };
        match Body::open(&source.path_now).and_then(|body| body.metadata().map(|meta| (body, meta))) {
            // Whether it is still what it was is seen by the first read.
            Ok((body, meta)) if FileId::of(&meta) == source.id => {
                source.file = Some(body);
                source.parked = false;
                self.open += 1;
                true
            }
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                source.dirty = false;
                let path = source.path_now.clone();
                self.warn_once(&path, &error.to_string());
                false
            }
            _ => self.moved_while_parked(key, now),
        }
    }

    /// Something else stands at the path of a parked file: it was rotated, and is looked for beside it.
    pub(super) fn moved_while_parked(&mut self, key: u64, now: Now) -> bool {
        // Also when all are deleted ones: the way to this one may be gone soon.
        self.make_room();
        if let Some(source) = self.sources.get_mut(&key) {
            source.parked = false;
        }
        self.find_again(key, now);
        let found = self.sources.get(&key).is_some_and(|source| source.file.is_some());
        self.open += usize::from(found);
        found
    }

    /// Deleted files are read on through their descriptors, as long as they do not fill the disk.
    pub(super) fn limit_deleted(&mut self) {
        let mut deleted: Vec<(u64, u64)> = Vec::new();
        for (key, source) in self.sources.iter_mut().filter(|(_, source)| source.stage == Stage::Rotated) {
            let meta = source.file.as_ref().and_then(|body| body.metadata().ok());
            if let Some(meta) = meta.filter(|meta| meta.nlink() == 0) {
                source.deleted = true;
                deleted.push((*key, meta.blocks() * BLOCK_BYTES));
            }
        }
        let mut held: u64 = deleted.iter().map(|(_, bytes)| bytes).sum();
        let limit = self.settings.limits.deleted_bytes;
        // The oldest go first.
        for (key, bytes) in deleted {
            if held <= limit {
                return;
            }
            held -= bytes;
            let Some(source) = self.sources.get_mut(&key) else { continue };
            let (start, size) = (source.pos, source.size);
            source.size = start;
            source.let_go();
            source.file = None;
            if size > start {
                let (source, path) = (source.info.id.to_string(), source.info.path.to_string());
                let reason = "deleted, and limits.deleted_bytes is reached".to_owned();
                self.report(Gap { source, path, start, end: Some(size), reason });
            }
        }
    }
}

impl Source {
    /// Whether it is read: from an open file, or from one that is opened when there is news.
    pub fn is_followed(&self) -> bool {
        !self.done && (self.file.is_some() || self.parked)
    }

    fn can_be_parked(&self) -> bool {
        let named = |file: &File| file.metadata().is_ok_and(|meta| meta.nlink() > 0);
        self.end.is_none() && self.file.as_ref().and_then(Body::plain).is_some_and(named)
    }

    fn park(&mut self) {
        self.file = None;
        self.parked = true;
    }
}

#[cfg(test)]
mod tests;

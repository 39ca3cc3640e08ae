//! The start: what the checkpoint remembers is found again, wherever it was rotated to meanwhile.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use logweir_proto::batch::Gap;
use logweir_runtime::durable::{self, DirLock};

use super::Now;
use super::checkpoint::{Checkpoint, SavedSource, Stage, random_hex};
use super::follow::{Settings, Tail};
use super::identity::{FileId, Head, HeadMatch, is_compressed, is_rotated_name};
use super::reader::Source;
use super::rotate::{Sibling, name_of, siblings};
use crate::error::{Error, Result};

/// Where the file of a saved source is now.
#[derive(Debug)]
enum Whereabouts {
    /// The same inode with the same head.
    Here(PathBuf, File),
    /// A copy that holds what is unread: the original was truncated.
    Copy(Sibling, File),
    Gone(&'static str),
}

impl Tail {
    /// Takes the state directory and finds every remembered file again.
    pub fn open(settings: Settings, now: Now) -> Result<Tail> {
        let dir = settings.state_dir.clone();
        durable::create_private_dir(&dir).map_err(Error::io("create", &dir))?;
        let lock = DirLock::acquire(&dir).map_err(Error::io("lock", &dir))?.ok_or(Error::StateHeld(dir.clone()))?;
        let Some(checkpoint) = Checkpoint::load(&dir)? else {
            let mut tail = Tail::empty(settings, random_hex()?, lock, now);
            // The id of the agent is half the key of every byte that the server stores: it is on disk before any is sent.
            tail.save(now)?;
            return Ok(tail);
        };
        let mut tail = Tail::empty(settings, checkpoint.agent_id, lock, now);
        tail.fresh = checkpoint.sources.is_empty() && checkpoint.saved_ns == 0;
        tail.saved_ns = checkpoint.saved_ns;
        tail.next_source = checkpoint.next_source;
        tail.gaps = checkpoint.gaps;
        tail.dropped_lines = checkpoint.dropped_lines;
        tail.truncated_lines = checkpoint.truncated_lines;
        tail.restore(checkpoint.sources, now);
        tail.replays = checkpoint.in_flight;
        tail.in_flight.clone_from(&tail.replays);
        Ok(tail)
    }

    fn restore(&mut self, mut saved: Vec<SavedSource>, now: Now) {
        // The inode of a finished file can be a later one's: the ones that are followed win.
        saved.sort_by_key(|source| source.stage != Stage::Finished);
        let mut sources: BTreeMap<u64, Source> = BTreeMap::new();
        for saved in saved {
            // Ids begin with their key, which this agent gave: any other is not from here.
            let Some(key) = saved.info.id.split('-').next().and_then(|key| key.parse::<u64>().ok()) else { continue };
            self.by_file.insert(saved.id, key);
            self.next_source = self.next_source.max(key.saturating_add(1));
            sources.insert(key, Source::saved(saved, now));
        }
        let lost: Vec<u64> =
            sources.iter().filter(|(_, source)| source.stage != Stage::Finished).map(|(key, _)| *key).collect();
        self.sources = sources;
        // First those whose inode is there, so that a copy is never taken that is another source's file.
        let missing: Vec<u64> = lost.into_iter().filter(|key| !self.reopen_here(*key)).collect();
        for key in missing {
            self.reopen_elsewhere(key);
        }
    }

    fn reopen_here(&mut self, key: u64) -> bool {
        let Some(source) = self.sources.get_mut(&key) else { return true };
        let home = PathBuf::from(&source.info.path);
        let named = [source.path_now.clone(), home.clone()].into_iter();
        let beside = siblings(&home).into_iter().chain(siblings(&source.path_now)).map(|sibling| sibling.path);
        for path in named.chain(beside) {
            if let Some(file) = open_same(source, &path) {
                let away = path != home;
                place(source, Whereabouts::Here(path, file));
                if away && source.stage == Stage::Live {
                    source.stage = Stage::Rotated;
                    self.replaced.push(key);
                }
                return true;
            }
        }
        false
    }

    fn reopen_elsewhere(&mut self, key: u64) {
        let Some(source) = self.sources.get(&key) else { return };
        let (path, old_id) = (PathBuf::from(&source.info.path), source.id);
        // The old inode, if anything has it, is another file now: it must not count as known.
        if self.by_file.get(&old_id) == Some(&key) {
            self.by_file.remove(&old_id);
        }
        let found = match self.find_copy(&path, source.fingerprint, old_id, source.acked) {
            Some((sibling, file)) => Whereabouts::Copy(sibling, file),
            None if has_compressed(&path) => Whereabouts::Gone("rotated and compressed while the agent was down"),
            None => Whereabouts::Gone("deleted or written anew while the agent was down"),
        };
        let Some(source) = self.sources.get_mut(&key) else { return };
        source.stage = Stage::Rotated;
        let lost = match found {
            Whereabouts::Gone(reason) => {
                let end = (source.size > source.acked).then_some(source.size);
                source.size = source.acked;
                Some((source.acked, end, reason))
            }
            Whereabouts::Copy(sibling, file) => {
                let (len, size) = (sibling.meta.len(), source.size);
                place(source, Whereabouts::Copy(sibling, file));
                self.by_file.insert(source.id, key);
                let from = len.max(source.acked);
                (size > from).then_some((from, Some(size), "truncated while the agent was down"))
            }
            Whereabouts::Here(..) => None,
        };
        if let Some((start, end, reason)) = lost {
            let gap = Gap {
                source: source.info.id.clone(),
                path: source.info.path.clone(),
                start,
                end,
                reason: reason.to_owned(),
            };
            self.report(gap);
        }
        self.replaced.push(key);
    }
}

fn place(source: &mut Source, found: Whereabouts) {
    match found {
        Whereabouts::Here(path, file) => {
            source.path_now = path;
            source.size = file.metadata().map_or(source.size, |meta| meta.len());
            source.file = Some(file);
        }
        Whereabouts::Copy(sibling, file) => {
            source.id = FileId::of(&sibling.meta);
            source.path_now = sibling.path;
            source.size = sibling.meta.len().max(source.acked);
            source.file = (sibling.meta.len() > source.acked).then_some(file);
        }
        Whereabouts::Gone(_) => {}
    }
}

fn open_same(source: &Source, path: &Path) -> Option<File> {
    let meta = std::fs::metadata(path).ok()?;
    if FileId::of(&meta) != source.id || meta.len() < source.acked {
        return None;
    }
    let file = File::open(path).ok()?;
    let head = Head::read(&file).ok()?;
    (source.fingerprint.check(head.bytes()) == HeadMatch::Same).then_some(file)
}

fn has_compressed(path: &Path) -> bool {
    let live = name_of(path);
    let Some(Ok(entries)) = path.parent().map(std::fs::read_dir) else { return false };
    entries.filter_map(|entry| entry.ok()).any(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        is_compressed(&name) && is_rotated_name(&live, &name)
    })
}

//! Files that came and were rotated away between two looks: found beside their log by name and birth.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Now;
use super::body::{Body, Ended, Packed, Packing};
use super::checkpoint::Stage;
use super::follow::Tail;
use super::identity::{FINGERPRINT_BYTES_MAX, FileId, Fingerprint, Head, read_full_at};
use super::names::is_rotated_of;
use super::reader::{Source, mtime_ns};
use super::rotate::{BIRTH_SLACK_NS, birth_ns};
use super::siblings::{PACKED_LOOKS_MAX, Sibling, packed_files, plain_files};

/// The flag of a gzip header that says that there is an extra field, and where that begins.
const GZIP_FEXTRA: u8 = 4;
const GZIP_EXTRA_AT: usize = 12;
/// A longer extra field is not Docker's.
const GZIP_EXTRA_BYTES_MAX: usize = 512;

impl Tail {
    /// Files that stood at the path of a source and were rotated away before anyone saw them: beside it, named as a
    /// rotation names them, unknown, and born since the last look.
    pub(super) fn find_missed(&mut self, replaced: &HashSet<u64>, now: Now) {
        let mut dirs: BTreeMap<PathBuf, Vec<u64>> = BTreeMap::new();
        let mut paths: HashSet<&str> = HashSet::new();
        // The latest source of a path knows best what its lines are called.
        for (key, source) in self.sources.iter().rev() {
            if paths.insert(&source.info.path) || replaced.contains(key) {
                let dir = Path::new(&*source.info.path).parent().unwrap_or(Path::new("/"));
                match dirs.get_mut(dir) {
                    Some(keys) => keys.push(*key),
                    None => drop(dirs.insert(dir.to_path_buf(), vec![*key])),
                }
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

    /// Returns whether some file was too short to tell; `keys` go down.
    fn look_through(&mut self, dir: &Path, keys: &[u64], replaced: &HashSet<u64>, now: Now) -> bool {
        let mut undecided = false;
        let by_id: HashMap<FileId, u64> =
            replaced.iter().filter_map(|key| Some((self.sources.get(key)?.id, *key))).collect();
        for sibling in plain_files(dir) {
            let id = FileId::of(&sibling.meta);
            if let Some(source) = by_id.get(&id).and_then(|key| self.sources.get_mut(key)) {
                source.path_now.clone_from(&sibling.path);
            }
            self.rebind(&sibling.path, id);
            if self.grew_after_all(&sibling, now) {
                continue;
            }
            let birth = birth_ns(&sibling.meta).filter(|_| self.scanned_ns <= now.wall_ns);
            let born_since = birth.map(|birth| birth >= self.scanned_ns - BIRTH_SLACK_NS);
            // All of what an old file holds is new if it was truncated since.
            let reused = self.reused.contains(&id);
            if born_since == Some(false) && !reused {
                continue;
            }
            let of = self.latest_named_like(&sibling.path, keys, |key, source| {
                // Without birth times only a file that is younger than the one it followed is taken.
                born_since.is_some() || (replaced.contains(&key) && mtime_ns(&sibling.meta) >= source.mtime_ns)
            });
            let Some(source) = of else { continue };
            if sibling.meta.len() == 0 {
                undecided = true;
                continue;
            }
            let (info, multiline) = (source.info.clone(), source.multiline.clone());
            let Ok(file) = File::open(&sibling.path) else { continue };
            if Head::read(&file).map_or(true, |head| self.is_known(&id, head.bytes())) {
                continue;
            }
            if self.is_copy(&sibling.path, &file, &sibling.meta) {
                undecided = true;
                continue;
            }
            if let Ok(mut missed) = Source::new(info, multiline, Body::Plain(file), 0, now) {
                tracing::info!(path = %sibling.path.display(), "rotated before it was seen: it is read to its end");
                missed.stage = Stage::Rotated;
                missed.path_now = sibling.path;
                self.missed.insert(missed.info.path.to_string());
                self.insert(missed);
            }
        }
        self.look_through_packed(dir, keys, now) || undecided
    }

    /// The same for files that a rotator has compressed already, among them those of the time when the agent was down.
    ///
    /// Compressed anew, an old log is a new file: only the time at which its last line was written, which compressors
    /// keep, tells it from one that was never seen.
    ///
    /// Returns whether some file was too short to tell.
    fn look_through_packed(&mut self, dir: &Path, keys: &[u64], now: Now) -> bool {
        let mut undecided = false;
        for sibling in packed_files(dir).take(PACKED_LOOKS_MAX) {
            let id = FileId::of(&sibling.meta);
            let since = self.scanned_ns - BIRTH_SLACK_NS;
            let old = birth_ns(&sibling.meta).is_none_or(|birth| birth < since) || mtime_ns(&sibling.meta) < since;
            if old {
                continue;
            }
            let Some(of) = self.latest_named_like(&sibling.path, keys, |_, _| true) else { continue };
            let (info, multiline) = (of.info.clone(), of.multiline.clone());
            let Ok(mut body) = Body::open(&sibling.path) else { continue };
            if written_ns(&sibling).is_none_or(|written| written < since) {
                continue;
            }
            let Ok(head) = body.head() else { continue };
            let ended = body.packed().and_then(Packed::end).map(|(_, ended)| ended.clone());
            if ended == Some(Ended::Torn) {
                // It is being written.
                undecided = true;
                continue;
            }
            let known = self.is_known(&id, head.bytes()) || !self.is_news(head.bytes(), dir);
            if head.bytes().is_empty() || known {
                continue;
            }
            if let Ok(mut missed) = Source::new(info, multiline, body, 0, now) {
                tracing::info!(path = %sibling.path.display(), "compressed before it was seen: it is read to its end");
                missed.stage = Stage::Rotated;
                missed.path_now = sibling.path;
                self.missed.insert(missed.info.path.to_string());
                self.insert(missed);
            }
        }
        undecided
    }

    /// The latest of the sources `keys`, which go down, that a rotation names like this and that fits.
    fn latest_named_like(&self, path: &Path, keys: &[u64], fits: impl Fn(u64, &Source) -> bool) -> Option<&Source> {
        let listed = |key: u64| keys.binary_search_by(|other| key.cmp(other)).is_ok();
        let related = |(key, source): &(u64, &Source)| {
            listed(*key) && is_rotated_of(&source.info.path, path) && fits(*key, source)
        };
        self.named_like(path).filter(related).max_by_key(|(key, _)| *key).map(|(_, source)| source)
    }

    /// Whether no source begins like it.
    fn is_news(&self, head: &[u8], dir: &Path) -> bool {
        // Most have a full fingerprint: the head is hashed once for each length and not for each source.
        let mut hashed: HashMap<u32, Fingerprint> = HashMap::new();
        self.sources.values().all(|source| {
            let len = source.fingerprint.len;
            let whole = len > 0 && len as usize <= head.len();
            if whole
                && *hashed.entry(len).or_insert_with(|| Fingerprint::of(&head[..len as usize])) == source.fingerprint
            {
                return false;
            }
            // What is written since the last read is not in the fingerprint yet.
            let here = source.path_now.parent() == Some(dir) || Path::new(&*source.info.path).parent() == Some(dir);
            let file = source.file.as_ref().and_then(Body::plain).filter(|_| here && !source.fingerprint.is_full());
            let mut start = [0; FINGERPRINT_BYTES_MAX];
            let len = file.and_then(|file| read_full_at(file, &mut start, 0).ok()).unwrap_or(0);
            len == 0 || !(head.starts_with(&start[..len]) || start[..len].starts_with(head))
        })
    }
}

/// When the last line of a compressed log was written, as far as that can be known.
///
/// RFC 1952: flags at offset 3, the time of the original in seconds at 4, 0 when it is not known, and with the flag
/// FEXTRA a field behind its length at 10. Docker gives no time and puts `{"lastTime":"RFC 3339"}` into that field.
fn written_ns(packed: &Sibling) -> Option<i64> {
    // Others do not say it while they are being written.
    Packing::of(&packed.path).filter(|packing| *packing == Packing::Gzip)?;
    let file = File::open(&packed.path).ok()?;
    let mut start = [0; GZIP_EXTRA_AT + GZIP_EXTRA_BYTES_MAX];
    let len = read_full_at(&file, &mut start, 0).ok()?;
    let start = &start[..len];
    let seconds = i64::from(u32::from_le_bytes(start.get(4..8)?.try_into().ok()?));
    let written = if seconds > 0 { Some((seconds + 1) * 1_000_000_000) } else { docker_ns(start) };
    written.map(|written| written.min(mtime_ns(&packed.meta)))
}

fn docker_ns(start: &[u8]) -> Option<i64> {
    #[derive(Deserialize)]
    struct Extra {
        #[serde(rename = "lastTime")]
        last_time: String,
    }
    let has_extra = start.get(3)? & GZIP_FEXTRA != 0;
    let len = u16::from_le_bytes(start.get(10..GZIP_EXTRA_AT)?.try_into().ok()?);
    let extra = start.get(GZIP_EXTRA_AT..GZIP_EXTRA_AT + usize::from(len)).filter(|_| has_extra)?;
    let extra: Extra = serde_json::from_slice(extra).ok()?;
    i64::try_from(extra.last_time.parse::<jiff::Timestamp>().ok()?.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::{Duration, UNIX_EPOCH};

    use flate2::{Compression, GzBuilder};

    use super::*;

    fn written(dir: &Path, builder: GzBuilder) -> Option<i64> {
        let path = dir.join("x-json.log.1.gz");
        let mut encoder = builder.write(File::create(&path).expect("a file"), Compression::fast());
        encoder.write_all(b"line\n").expect("it is written");
        let file = encoder.finish().expect("it is whole");
        file.set_modified(UNIX_EPOCH + Duration::from_secs(1_800_000_000)).expect("a time");
        let meta = std::fs::metadata(&path).expect("its metadata");
        written_ns(&Sibling { path, meta })
    }

    #[test]
    fn the_last_line_is_as_old_as_gzip_or_docker_says() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let seconds = |ns: Option<i64>| ns.map(|ns| ns / 1_000_000_000);
        assert_eq!(seconds(written(dir.path(), GzBuilder::new().mtime(1_700_000_000))), Some(1_700_000_001));
        assert_eq!(written(dir.path(), GzBuilder::new()), None);
        let extra = |text: &str| GzBuilder::new().extra(text.as_bytes().to_vec());
        let docker = extra(r#"{"lastTime":"2026-11-20T16:33:22.480000001Z"}"#);
        assert_eq!(written(dir.path(), docker), Some(1_795_192_402_480_000_001));
        for odd in ["", "{}", "{\"lastTime\":7}", &"x".repeat(2 * GZIP_EXTRA_BYTES_MAX)] {
            assert_eq!(written(dir.path(), extra(odd)), None, "{odd}");
        }
        // The clock of who compressed it may be ahead.
        let late = extra(r#"{"lastTime":"2126-11-20T16:33:22Z"}"#);
        assert_eq!(seconds(written(dir.path(), late)), Some(1_800_000_000));
    }
}

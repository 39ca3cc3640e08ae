//! Which sources a file can be a rotated form of, found by its name: ten thousand logs are not compared with each other.
//!
//! A source is listed under its directory and the stem of its name, what stands before the last dot. Whatever a rotation
//! calls a log begins with that stem, so that a file is looked up once for each length of its name.

use std::collections::BTreeSet;
use std::path::Path;

use super::identity::is_rotated_name;

const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// Sources by directory and stem.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeSet<(u64, u64)>);

impl Names {
    pub(super) fn insert(&mut self, log: &str, key: u64) {
        self.0.insert((of(log), key));
    }

    pub(super) fn remove(&mut self, log: &str, key: u64) {
        self.0.remove(&(of(log), key));
    }

    /// Sources among which are all of whose log `path` can be a rotated form, and those of `path` itself.
    pub(super) fn near(&self, path: &Path) -> impl Iterator<Item = u64> + '_ {
        let path = path.to_string_lossy();
        let (dir, name) = split(&path);
        let mut hash = hash_dir(dir);
        let mut hashes = vec![hash];
        for byte in name.bytes() {
            hash = step(hash, byte);
            hashes.push(hash);
        }
        hashes.into_iter().flat_map(|hash| self.0.range((hash, 0)..=(hash, u64::MAX)).map(|(_, key)| *key))
    }
}

/// Whether `path` is a name that a rotation of `log` makes, in the same directory.
pub(super) fn is_rotated_of(log: &str, path: &Path) -> bool {
    let path = path.to_string_lossy();
    let ((log_dir, log), (dir, name)) = (split(log), split(&path));
    log_dir == dir && is_rotated_name(log, name)
}

fn of(log: &str) -> u64 {
    let (dir, name) = split(log);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    stem.bytes().fold(hash_dir(dir), step)
}

fn split(path: &str) -> (&str, &str) {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    (dir.trim_end_matches('/'), name)
}

fn hash_dir(dir: &str) -> u64 {
    step(dir.bytes().fold(FNV_BASIS, step), b'/')
}

/// FNV-1a: what shares a hash by accident is compared by name all the same.
fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(names: &Names, path: &str) -> Vec<u64> {
        let mut near: Vec<u64> = names.near(Path::new(path)).collect();
        near.sort_unstable();
        near
    }

    #[test]
    fn only_logs_that_are_called_like_it() {
        let mut names = Names::default();
        for (key, log) in ["/a/app.log", "/a/app", "/a/api.log", "/b/app.log", "/a/app.log"].iter().enumerate() {
            names.insert(log, key as u64);
        }
        assert_eq!(near(&names, "/a/app.log.1"), [0, 1, 4]);
        assert_eq!(near(&names, "/a/app-20261120.log"), [0, 1, 4]);
        assert_eq!(near(&names, "/b/app.log"), [3]);
        assert!(near(&names, "/c/app.log").is_empty());
        names.remove("/a/app.log", 0);
        assert_eq!(near(&names, "/a/app.log.1"), [1, 4]);
    }

    /// Ten thousand logs in one directory: the work of a first start, in comparisons.
    #[test]
    fn ten_thousand_logs_are_a_few_comparisons_each() {
        for name in [|n: u64| format!("/logs/{n}.log"), |n: u64| format!("/logs/app-{n}-out.log")] {
            let mut names = Names::default();
            let mut compared = 0;
            for n in 0..10_000 {
                compared += names.near(Path::new(&name(n))).count();
                names.insert(&name(n), n);
            }
            assert!(compared < 60_000, "{compared}");
        }
    }

    proptest! {
        /// What the comparison with each source would find, the index finds.
        #[test]
        fn nothing_related_is_missed(logs in prop::collection::vec("/[ab]/[ab.-]{1,4}(\\.log)?", 1..20), file in "/[ab]/[ab.-]{1,4}[.-]?(20261120)?(\\.log)?(\\.1)?") {
            let mut names = Names::default();
            for (key, log) in logs.iter().enumerate() {
                names.insert(log, key as u64);
            }
            let path = Path::new(&file);
            let found = near(&names, &file);
            for (key, log) in logs.iter().enumerate().filter(|(_, log)| is_rotated_of(log, path) || **log == file) {
                prop_assert!(found.contains(&(key as u64)), "{log} {file}");
            }
        }
    }
}

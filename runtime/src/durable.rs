//! Files that are whole or not there: write a temporary one, fsync, rename, fsync the directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Replaces `path` by `bytes`. After a crash at any moment the file holds the old bytes or the new ones.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with(path, |out| out.write_all(bytes))
}

/// The same for what is too long to stand in memory whole.
pub fn replace_with(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let tmp = path.with_extension("tmp");
    let mut out = BufWriter::new(OpenOptions::new().write(true).create(true).truncate(true).open(&tmp)?);
    write(&mut out)?;
    out.into_inner()?.sync_all()?;
    fs::rename(&tmp, path)?;
    sync_parent(path)
}

/// Makes a rename, creation or removal in the directory of `path` durable.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => File::open(dir)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Creates a directory with its parents, readable by the owner only.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Holds a directory for one process: two aggregators on one WAL would destroy it.
///
/// The lock goes with the process, however it ends.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// `Ok(None)` when another process holds it.
    pub fn acquire(dir: &Path) -> io::Result<Option<DirLock>> {
        let path = dir.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(DirLock { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("state.json");
        replace(&path, b"one").expect("first write");
        replace(&path, b"two").expect("second write");
        assert_eq!(fs::read(&path).expect("read back"), b"two");
        assert!(!path.with_extension("tmp").exists());
    }

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let first = DirLock::acquire(dir.path()).expect("lock file");
        assert!(first.is_some());
        assert!(DirLock::acquire(dir.path()).expect("lock file").is_none());
        drop(first);
        assert!(DirLock::acquire(dir.path()).expect("lock file").is_some());
    }
}

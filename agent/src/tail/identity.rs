//! Which file is which: (device, inode) and a fingerprint of the head, and which names belong to one log.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use serde::{Deserialize, Serialize};

/// Bytes of the head that are hashed; a shorter file grows into its fingerprint.
pub const FINGERPRINT_BYTES_MAX: usize = 1024;

/// Device and inode: one file as long as a descriptor holds it; afterwards the inode can come back.
///
/// Sorted by inode: the number of a device can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileId {
    pub ino: u64,
    pub dev: u64,
}

impl FileId {
    pub fn of(meta: &Metadata) -> FileId {
        FileId { dev: meta.dev(), ino: meta.ino() }
    }
}

/// What a look at a file says of it, in a fifth of the bytes of its metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    pub id: FileId,
    pub len: u64,
    pub mtime_ns: i64,
}

impl Stat {
    pub fn of(meta: &Metadata) -> Stat {
        let mtime_ns = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
        Stat { id: FileId::of(meta), len: meta.len(), mtime_ns }
    }
}

/// Hash of the first `len` bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    pub len: u32,
    pub hash: u64,
}

/// A head against a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadMatch {
    Same,
    /// The file is shorter than what was hashed: it was truncated.
    Shorter,
    Different,
}

impl Fingerprint {
    pub fn of(head: &[u8]) -> Fingerprint {
        let head = &head[..head.len().min(FINGERPRINT_BYTES_MAX)];
        Fingerprint { len: head.len() as u32, hash: hash(head) }
    }

    pub fn check(&self, head: &[u8]) -> HeadMatch {
        let len = self.len as usize;
        if head.len() < len {
            HeadMatch::Shorter
        } else if hash(&head[..len]) == self.hash {
            HeadMatch::Same
        } else {
            HeadMatch::Different
        }
    }

    /// An empty fingerprint fits every file: it identifies none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a file of this length says more than was hashed.
    pub fn can_grow(&self, file_len: u64) -> bool {
        u64::from(self.len) < file_len.min(FINGERPRINT_BYTES_MAX as u64)
    }

    pub fn is_full(&self) -> bool {
        self.len as usize == FINGERPRINT_BYTES_MAX
    }
}

fn hash(head: &[u8]) -> u64 {
    if head.is_empty() {
        return 0;
    }
    let digest = blake3::hash(head);
    let mut first = [0; 8];
    first.copy_from_slice(&digest.as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// The first bytes of a file.
#[derive(Debug, Clone)]
pub struct Head {
    buffer: [u8; FINGERPRINT_BYTES_MAX],
    len: usize,
}

impl Head {
    pub fn read(file: &File) -> io::Result<Head> {
        Head::read_with(|buffer| read_full_at(file, buffer, 0))
    }

    /// `read` fills a buffer from the start on.
    pub fn read_with(read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<Head> {
        let mut buffer = [0; FINGERPRINT_BYTES_MAX];
        let len = read(&mut buffer)?;
        Ok(Head { buffer, len })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

/// Reads until the buffer is full or the file ends.
pub fn read_full_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Names that a compressor leaves.
pub fn is_compressed(name: &str) -> bool {
    [".gz", ".zst", ".bz2", ".xz", ".lz4", ".Z", ".zip"].iter().any(|suffix| name.ends_with(suffix))
}

/// Whether `other` is a name that a rotation of `live` makes.
///
/// `app.log` → `app.log.1`, `app.log-20261120`, `app-20261120.log`, `app__2026-11-20_09-10-11.log`; but not
/// `app-error.log`, nor PM2's `app-5.log`: those are logs of their own.
pub fn is_rotated_name(live: &str, other: &str) -> bool {
    if let Some(suffix) = other.strip_prefix(live) {
        return suffix.starts_with(['.', '-', '_', '~']);
    }
    let (stem, extension) = live.rsplit_once('.').unwrap_or((live, ""));
    let Some(middle) = other.strip_prefix(stem) else { return false };
    let middle = middle.strip_suffix(extension).unwrap_or(middle);
    let digits = middle.trim_start_matches(['.', '-', '_']);
    digits.len() < middle.len() && digits.starts_with("20") && digits.bytes().filter(u8::is_ascii_digit).count() >= 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_grows_with_its_file() {
        let short = Fingerprint::of(b"one\n");
        assert_eq!(short.check(b"one\ntwo\n"), HeadMatch::Same);
        assert_eq!(short.check(b"on"), HeadMatch::Shorter);
        assert_eq!(short.check(b"two\none\n"), HeadMatch::Different);
        assert!(Fingerprint::of(&[b'x'; 4000]).is_full());
        assert_eq!(Fingerprint::default(), Fingerprint::of(b""));
    }

    #[test]
    fn names_of_one_log() {
        for (live, other, want) in [
            ("app.log", "app.log.1", true),
            ("app.log", "app.log-20261120", true),
            ("app.log", "app-20261120.log", true),
            ("api-out.log", "api-out__2026-11-20_09-10-11.log", true),
            ("api-out.log", "api-out-5.log", false),
            ("app.log", "app-error.log", false),
            ("app.log", "application.log", false),
            ("0.log", "0.log.20261120-091845", true),
            ("x-json.log", "x-json.log.1", true),
            ("access.log", "error.log", false),
        ] {
            assert_eq!(is_rotated_name(live, other), want, "{live} {other}");
        }
    }
}

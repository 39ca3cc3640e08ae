//! Directories that other machines write, too: NFS, SMB, FUSE.
//!
//! The kernel tells nothing of what happens there. And where the program behind a mount goes by names (`sshfs`, `bindfs`),
//! an open descriptor follows its name: once somebody over there has renamed the file, the descriptor has the length,
//! perhaps the inode and sooner or later the bytes of whatever has that name now.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

use rustix::io::Errno;

use super::identity::{FileId, Fingerprint, Head, HeadMatch};

/// Whether other machines or programs beside the kernel can write there: of those the kernel says nothing.
pub fn is_shared(path: &Path) -> bool {
    // Magic numbers of statfs(2): NFS, SMB, CIFS, 9P, FUSE, Ceph, AFS, GFS2, OCFS2, Lustre.
    const SHARED: [u32; 10] = [
        0x6969,
        0xfe53_4d42,
        0xff53_4d42,
        0x0102_1997,
        0x6573_5546,
        0x00c3_6400,
        0x5346_414f,
        0x0116_1970,
        0x7461_636f,
        0x0bd0_0bd0,
    ];
    rustix::fs::statfs(path).is_ok_and(|stat| SHARED.contains(&(stat.f_type as u32)))
}

/// Whether a descriptor of a shared file shows another file than the one that was opened.
///
/// Its number tells where the server hands numbers through. Elsewhere the name keeps its number, and only what is opened
/// anew under it begins otherwise.
pub fn shows_another(file: &File, path: &Path, id: FileId, fingerprint: Fingerprint) -> bool {
    match file.metadata() {
        Ok(meta) if FileId::of(&meta) == id => begins_otherwise(path, id, fingerprint),
        Ok(_) => true,
        Err(error) => is_stale(&error),
    }
}

fn begins_otherwise(path: &Path, id: FileId, fingerprint: Fingerprint) -> bool {
    let head = File::open(path).and_then(|file| {
        let same_number = FileId::of(&file.metadata()?) == id;
        if same_number { Head::read(&file).map(Some) } else { Ok(None) }
    });
    matches!(head, Ok(Some(head)) if fingerprint.check(head.bytes()) != HeadMatch::Same)
}

/// The server has no file any more for this descriptor.
fn is_stale(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(Errno::STALE.raw_os_error())
}

//! A folder seen through FUSE: what is written behind the mount changes there too, and the kernel tells nobody. So it
//! is with NFS, SMB and the like, when another machine writes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::harness::{Process, Scratch, eventually, programs};

#[derive(Debug)]
pub struct Mirror {
    behind: PathBuf,
    seen: PathBuf,
    _process: Process,
}

impl Mirror {
    pub async fn mount(scratch: &Scratch) -> anyhow::Result<Mirror> {
        let (behind, seen) = (scratch.folder("share-behind")?, scratch.folder("share")?);
        let mut bindfs = Command::new(programs::installed("bindfs")?);
        // Without its own caching of attributes, as a mount of NFS with `noac`.
        bindfs.args(["-f", "-o", "attr_timeout=0,entry_timeout=0"]).arg(&behind).arg(&seen);
        let mirror = Mirror { _process: Process::spawn(scratch, "bindfs", bindfs)?, behind, seen };
        std::fs::write(mirror.behind.join("mounted"), "")?;
        let sign = mirror.seen.join("mounted");
        eventually(Duration::from_secs(10), "the mount", async || Ok(sign.exists().then_some(()))).await?;
        Ok(mirror)
    }

    /// Where others write.
    pub fn behind(&self) -> &Path {
        &self.behind
    }

    /// Where it is read.
    pub fn seen(&self) -> &Path {
        &self.seen
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.seen).status();
    }
}

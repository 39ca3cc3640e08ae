//! Where the programs are.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::tidy::workspace_root;

/// One of our own binaries, out of the folder that this test was built into.
pub fn ours(name: &str) -> anyhow::Result<PathBuf> {
    let me = std::env::current_exe().context("path of the test binary")?;
    // target/PROFILE/deps/e2e-HASH, or target/PROFILE/logweir-bench
    let folders = me.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    match found {
        Some(path) => Ok(path),
        None => bail!(
            "{name} is not in {}: build it with `cargo build --workspace --bins --tests`, as `make test` does",
            me.parent().and_then(Path::parent).unwrap_or(&me).display()
        ),
    }
}

/// A program of the machine.
pub fn installed(name: &str) -> anyhow::Result<PathBuf> {
    let places = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let found = places.iter().map(|place| Path::new(place).join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not installed: deploy/dev/install.sh test installs it"))
}

/// The folder with what the tests take from npm.
pub fn node_folder() -> anyhow::Result<PathBuf> {
    let folder = workspace_root().join("tests/node");
    if !folder.join("node_modules").is_dir() {
        bail!("{} has no node_modules: deploy/dev/install.sh test installs them", folder.display());
    }
    Ok(folder)
}

/// The Python with the readers of Parquet.
pub fn python() -> anyhow::Result<PathBuf> {
    let python = workspace_root().join("tests/readers/.venv/bin/python");
    if !python.is_file() {
        bail!("{} is not there: deploy/dev/install.sh test installs it", python.display());
    }
    Ok(python)
}

//! The repository's own rules, checked over every file that git tracks.
//!
//! Each check is a function from [`Tree`] to findings; a finding names the place and the mend. A rule that a reviewer
//! would have to remember belongs here instead.

pub mod imports;
pub mod limits;
pub mod links;
pub mod rust;
pub mod size;
pub mod stages;
pub mod words;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use rust::RustFile;

/// One broken rule at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub path: String,
    /// 1-based.
    pub line: usize,
    pub what: String,
    pub mend: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.path, self.line, self.what, self.mend)
    }
}

/// A tracked file that is text. Files with a NUL are images and the like, and no rule reads them.
#[derive(Debug, Clone)]
pub struct TextFile {
    /// Relative to the root, with `/`.
    pub path: String,
    pub text: String,
}

/// What the checks look at.
#[derive(Debug, Default)]
pub struct Tree {
    /// All tracked files, also those that are no text.
    pub paths: Vec<String>,
    pub texts: Vec<TextFile>,
    pub rust: Vec<RustFile>,
}

impl Tree {
    /// Reads the tracked files of the work tree at `root`, as they are on disk.
    pub fn read(root: &Path) -> anyhow::Result<Tree> {
        let out = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output().context("git ls-files")?;
        if !out.status.success() {
            bail!("git ls-files in {}: {}", root.display(), String::from_utf8_lossy(&out.stderr));
        }
        let (mut paths, mut texts) = (Vec::new(), Vec::new());
        for name in out.stdout.split(|b| *b == 0).filter(|name| !name.is_empty()) {
            let path = String::from_utf8_lossy(name).into_owned();
            // A file that is deleted but not staged yet, or a link to a folder, is nobody's finding.
            let Ok(bytes) = std::fs::read(root.join(&path)) else { continue };
            paths.push(path.clone());
            if !bytes.contains(&0) {
                texts.push(TextFile { path, text: String::from_utf8_lossy(&bytes).into_owned() });
            }
        }
        Ok(Tree::new(paths, texts))
    }

    fn new(paths: Vec<String>, texts: Vec<TextFile>) -> Tree {
        let rust = rust::parse_all(texts.iter().filter(|file| file.path.ends_with(".rs")));
        Tree { paths, texts, rust }
    }

    /// A tree of literal files, for the tests of the checks.
    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Tree {
        let text = |(path, text): &(&str, &str)| TextFile { path: (*path).to_owned(), text: (*text).to_owned() };
        let paths = files.iter().map(|(path, _)| (*path).to_owned()).collect();
        Tree::new(paths, files.iter().map(text).collect())
    }
}

/// The root of the workspace that this crate was built in.
pub fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Findings as text, one a line: what a check's own tests compare.
#[cfg(test)]
fn listed(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

//! What is there to tail: PM2, NGINX, Docker and Kubernetes by their own files, and the globs of the configuration.
//!
//! Each find says why, and so does each thing that was passed over: `logweir-agent discover` prints both.

use std::collections::HashSet;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use logweir_proto::batch::SourceKind;

use super::identity::{Stat, is_compressed};
use super::info::Labels;
use crate::config::{Config, FileRule, StartAt};
use crate::decode::Multiline;
use crate::spool::Segment;

pub mod docker;
pub mod kubernetes;
pub mod nginx;
pub mod pm2;
pub mod spooled;

/// Files that one discovery looks at; beyond them the rest is passed over with a reason.
pub const FINDINGS_MAX: usize = 50_000;
/// Larger metadata files (`dump.pm2`, `config.v2.json`, an NGINX configuration) are not read.
pub const METADATA_BYTES_MAX: u64 = 8 << 20;

/// A file to follow and all that is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub path: PathBuf,
    pub kind: SourceKind,
    /// The `log_format` of an NGINX access log, or several ([`formats`](super::formats)); else what `SourceInfo` says.
    pub format: Arc<str>,
    pub labels: Labels,
    pub multiline: Multiline,
    pub start_at: StartAt,
    /// What was seen of the file, where it was looked at: nobody looks again for the same purpose.
    pub stat: Option<Stat>,
}

/// What discovery says about one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub candidate: Candidate,
    pub why: String,
    /// It is passed over; `why` says for what reason.
    pub skipped: bool,
}

impl Finding {
    pub fn service(&self) -> &str {
        self.candidate.labels.get("service").unwrap_or_default()
    }

    fn follow(candidate: Candidate, why: impl Into<String>) -> Finding {
        Finding { candidate, why: why.into(), skipped: false }
    }

    fn skip(path: impl Into<PathBuf>, kind: SourceKind, why: impl Into<String>) -> Finding {
        Finding { candidate: Candidate::new(path, kind), why: why.into(), skipped: true }
    }
}

impl Candidate {
    fn new(path: impl Into<PathBuf>, kind: SourceKind) -> Candidate {
        Candidate {
            path: path.into(),
            kind,
            format: Arc::default(),
            labels: Labels::default(),
            multiline: Multiline::Auto,
            start_at: StartAt::End,
            stat: None,
        }
    }

    fn label(mut self, name: &str, value: impl AsRef<str>) -> Candidate {
        let value = value.as_ref();
        if !value.is_empty() {
            self.labels.insert(name, value);
        }
        self
    }
}

/// Looks again and again, and remembers what is slow to ask.
#[derive(Debug)]
pub struct Discovery {
    config: Config,
    nginx: nginx::Nginx,
}

impl Discovery {
    pub fn new(config: Config) -> Discovery {
        Discovery { nginx: nginx::Nginx::new(&config.roots), config }
    }

    /// Everything that is there now. A path that several rules name belongs to the first: the configuration goes first.
    pub fn find(&self) -> Vec<Finding> {
        let mut all = Vec::new();
        for rule in &self.config.files {
            globbed(rule, &mut all);
        }
        if self.config.discover.pm2 {
            pm2::find(&self.config, &mut all);
        }
        if self.config.discover.nginx {
            self.nginx.find(&mut all);
        }
        if self.config.discover.docker {
            docker::find(&self.config, &mut all);
        }
        if self.config.discover.kubernetes {
            kubernetes::find(&self.config.roots, &mut all);
        }
        spooled::find(&self.config, &mut all);
        keep_first(&mut all);
        all.truncate(FINDINGS_MAX);
        for finding in &mut all {
            check_plain(finding);
        }
        all
    }

    /// Segments of the spool that can be removed once they are stored.
    pub fn closed_segments(&self, ended: bool) -> Vec<Segment> {
        spooled::closed_segments(&self.config, ended)
    }

    /// Directories in which a new source would appear.
    pub fn directories(&self) -> HashSet<PathBuf> {
        let mut dirs: HashSet<PathBuf> = HashSet::new();
        for rule in &self.config.files {
            dirs.extend(rule.paths.iter().flat_map(|pattern| watched(pattern)));
        }
        if self.config.discover.pm2 {
            dirs.extend(pm2::homes(&self.config).into_iter().map(|home| home.join("logs")));
        }
        if self.config.discover.docker {
            dirs.insert(docker::containers_dir(&self.config.roots));
        }
        if self.config.discover.kubernetes {
            dirs.insert(kubernetes::pods_dir(&self.config.roots));
        }
        if self.config.discover.nginx {
            dirs.extend(self.nginx.directories());
        }
        dirs.extend(spooled::directories(&self.config));
        dirs
    }

    /// Whether one of these is read to know what there is: their change is worth a look at once.
    pub fn reads(&self, paths: &HashSet<PathBuf>) -> bool {
        self.config.discover.nginx && paths.iter().any(|path| self.nginx.is_configuration(path))
    }
}

/// What `config` would tail, and what not, without touching any state.
pub fn discover(config: &Config) -> Vec<Finding> {
    Discovery::new(config.clone()).find()
}

/// The finds that are followed.
pub fn candidates(findings: Vec<Finding>) -> Vec<Candidate> {
    findings.into_iter().filter(|finding| !finding.skipped).map(|finding| finding.candidate).collect()
}

fn keep_first(all: &mut Vec<Finding>) {
    let mut seen = HashSet::new();
    let first: Vec<bool> =
        all.iter().map(|finding| finding.skipped || seen.insert(finding.candidate.path.as_path())).collect();
    let mut first = first.into_iter();
    all.retain(|_| first.next().unwrap_or(true));
}

fn check_plain(finding: &mut Finding) {
    if finding.skipped || finding.candidate.stat.is_some() {
        return;
    }
    match std::fs::metadata(&finding.candidate.path) {
        Ok(meta) if !meta.is_file() => {
            finding.skipped = true;
            finding.why = "not a plain file".to_owned();
        }
        Ok(meta) => finding.candidate.stat = Some(Stat::of(&meta)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            finding.why.push_str("; not there yet, followed when it appears");
        }
        Err(error) => {
            finding.skipped = true;
            finding.why = format!("{error}; tried again while the agent runs");
        }
    }
}

fn globbed(rule: &FileRule, all: &mut Vec<Finding>) {
    let exclude: Vec<glob::Pattern> = rule.exclude.iter().filter_map(|p| glob::Pattern::new(p).ok()).collect();
    for pattern in &rule.paths {
        let Ok(paths) = glob::glob(pattern) else { continue };
        for path in paths.filter_map(|path| path.ok()) {
            let meta = std::fs::metadata(&path).ok();
            if all.len() >= FINDINGS_MAX || meta.as_ref().is_some_and(Metadata::is_dir) {
                continue;
            }
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if let Some(by) = exclude.iter().find(|glob| glob.matches_path(&path) || glob.matches(&name)) {
                all.push(Finding::skip(path, rule.kind, format!("excluded by {by}")));
            } else if is_compressed(&name) {
                all.push(Finding::skip(path, rule.kind, "compressed"));
            } else {
                let stem = name.split('.').next().unwrap_or(&name).to_owned();
                let mut candidate =
                    Candidate::new(path, rule.kind).label("service", rule.service.clone().unwrap_or(stem));
                candidate.format.clone_from(&rule.format);
                candidate.multiline.clone_from(&rule.multiline);
                candidate.start_at = rule.start_at;
                candidate.stat = meta.filter(Metadata::is_file).map(|meta| Stat::of(&meta));
                all.push(Finding::follow(candidate, format!("matches {pattern}")));
            }
        }
    }
}

/// The directories in which a new file, or a directory on the way to one, would match a glob.
fn watched(pattern: &str) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = fixed_part(pattern).into_iter().collect();
    let first = pattern.find(['*', '?', '[']).unwrap_or(pattern.len());
    for (end, _) in pattern.match_indices('/').filter(|(end, _)| *end > first) {
        let Ok(paths) = glob::glob(&pattern[..end]) else { continue };
        dirs.extend(paths.filter_map(|path| path.ok()).filter(|path| path.is_dir()).take(FINDINGS_MAX));
    }
    dirs
}

/// The directory of a glob down to its first wildcard.
fn fixed_part(pattern: &str) -> Option<PathBuf> {
    let end = pattern.find(['*', '?', '[']).unwrap_or(pattern.len());
    pattern[..end].rfind('/').map(|at| PathBuf::from(&pattern[..at.max(1)]))
}

/// Reads a small file that other programs own; `None` when it is not there, too large or not UTF-8.
fn read_small(path: &Path) -> Option<String> {
    let meta = std::fs::metadata(path).ok()?;
    if !meta.is_file() || meta.len() > METADATA_BYTES_MAX {
        return None;
    }
    String::from_utf8(std::fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests;

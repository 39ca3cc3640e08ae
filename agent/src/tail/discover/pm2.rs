//! PM2: the homes (`$PM2_HOME`, every user's `~/.pm2`), the apps of `dump.pm2` with their paths, and else file names.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use logweir_proto::batch::SourceKind;
use serde_json::Value;

use super::{Candidate, Finding, read_small};
use crate::config::Config;

/// Homes that exist: the configured ones, or `$PM2_HOME` and `.pm2` in each home directory of `/etc/passwd`.
pub(super) fn homes(config: &Config) -> BTreeSet<PathBuf> {
    let homes: Vec<PathBuf> = match &config.roots.pm2 {
        Some(homes) => homes.clone(),
        None => {
            let passwd = read_small(Path::new("/etc/passwd")).unwrap_or_default();
            let users = passwd.lines().filter_map(|line| line.split(':').nth(5)).filter(|home| *home != "/");
            users.map(|home| Path::new(home).join(".pm2")).chain(config.pm2_home.clone()).collect()
        }
    };
    homes.into_iter().filter(|home| home.is_dir()).collect()
}

pub(super) fn find(config: &Config, all: &mut Vec<Finding>) {
    for home in homes(config) {
        find_home(&home, all);
    }
}

/// What `dump.pm2` says about one log file.
#[derive(Debug, Default)]
struct Dumped {
    app: String,
    out: bool,
    err: bool,
    /// `log_file`: a third file that repeats the other two.
    both: bool,
}

fn find_home(home: &Path, all: &mut Vec<Finding>) {
    let daemon = home.join("pm2.log");
    if daemon.is_file() {
        let candidate = Candidate::new(daemon, SourceKind::Pm2Daemon).label("service", "pm2");
        all.push(Finding::follow(candidate, "the log of the PM2 daemon: restarts and crash loops"));
    }
    let owner = std::fs::metadata(home).map_or(0, |meta| meta.uid());
    let dumped = read_dump(&home.join("dump.pm2"));
    for (path, of) in &dumped {
        all.push(if is_believed(owner, path) { from_dump(path, of) } else { foreign(path) });
    }
    let Ok(entries) = std::fs::read_dir(home.join("logs")) else { return };
    let mut names: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if let Some(name) = path.file_name() {
            names.insert(name.to_string_lossy().into_owned(), path.clone());
        }
    }
    for (name, path) in &names {
        if !dumped.contains_key(path) {
            all.extend(if is_believed(owner, path) { from_name(name, path, &names) } else { Some(foreign(path)) });
        }
    }
}

/// The agent may read what the owner of a home may not: nobody shall have it read and ship another's file by naming it
/// in a dump or by a link. What is not there yet is looked at again.
fn is_believed(owner: u32, path: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    owner == 0 || owner == own || std::fs::metadata(path).map_or(true, |meta| meta.uid() == owner)
}

fn foreign(path: &Path) -> Finding {
    Finding::skip(path, SourceKind::Pm2, "it belongs to another user than the PM2 that names it: list it under files")
}

fn read_dump(path: &Path) -> BTreeMap<PathBuf, Dumped> {
    let mut logs: BTreeMap<PathBuf, Dumped> = BTreeMap::new();
    let dump: Value = read_small(path).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    for app in dump.as_array().into_iter().flatten() {
        let env = if app["pm2_env"].is_object() { &app["pm2_env"] } else { app };
        let name = env["name"].as_str().or(app["name"].as_str()).unwrap_or_default();
        for key in ["pm_out_log_path", "pm_err_log_path", "pm_log_path"] {
            let Some(path) = env[key].as_str().filter(|path| path.starts_with('/')) else { continue };
            let log = logs.entry(PathBuf::from(path)).or_default();
            name.clone_into(&mut log.app);
            log.out |= key == "pm_out_log_path";
            log.err |= key == "pm_err_log_path";
            log.both |= key == "pm_log_path";
        }
    }
    logs
}

fn from_dump(path: &Path, of: &Dumped) -> Finding {
    if of.both && !of.out && !of.err {
        let why = format!("log_file of {}: it repeats what the out and error files have", of.app);
        return Finding::skip(path, SourceKind::Pm2, why);
    }
    if !path.is_file() && path.exists() {
        return Finding::skip(path, SourceKind::Pm2, format!("log of {}, not a plain file", of.app));
    }
    if of.app == "pm2-logrotate" {
        return Finding::skip(path, SourceKind::Pm2, "pm2-logrotate's own log");
    }
    let stream = match (of.out, of.err) {
        (true, false) => "stdout",
        (false, true) => "stderr",
        _ => "",
    };
    Finding::follow(app(path, &of.app, stream), format!("app {} in dump.pm2", of.app))
}

fn app(path: &Path, name: &str, stream: &str) -> Candidate {
    Candidate::new(path, SourceKind::Pm2).label("service", name).label("pm2_app", name).label("stream", stream)
}

/// A file that no app of the dump names; `None` when it is no log.
fn from_name(name: &str, path: &Path, names: &BTreeMap<String, PathBuf>) -> Option<Finding> {
    let Some(stem) = name.strip_suffix(".log") else {
        return super::is_compressed(name).then(|| Finding::skip(path, SourceKind::Pm2, "compressed"));
    };
    if name.starts_with("pm2-logrotate-") {
        return Some(Finding::skip(path, SourceKind::Pm2, "pm2-logrotate's own log"));
    }
    if is_rotated(stem) {
        return Some(Finding::skip(path, SourceKind::Pm2, "rotated by pm2-logrotate: finished under its old name"));
    }
    for (mark, stream) in [("-out", "stdout"), ("-error", "stderr")] {
        if let Some(name) = app_of(stem, mark) {
            return Some(Finding::follow(app(path, name, stream), "named as PM2 names its logs"));
        }
    }
    // A name of its own is either an out_file or a log_file; next to out and error files of the same app it repeats them.
    let repeats =
        stem.char_indices().filter(|(_, c)| *c == '-').map(|(at, _)| &stem[..at]).chain([stem]).find(|app| {
            names.contains_key(&format!("{app}-out.log")) || names.contains_key(&format!("{app}-error.log"))
        });
    Some(match repeats {
        Some(app) => Finding::skip(path, SourceKind::Pm2, format!("seems to repeat the out and error files of {app}")),
        None => Finding::follow(app(path, stem, ""), "in the log directory of PM2"),
    })
}

/// `NAME-out` and `NAME-out-ID`.
fn app_of<'a>(stem: &'a str, mark: &str) -> Option<&'a str> {
    if let Some(name) = stem.strip_suffix(mark) {
        return Some(name);
    }
    let (head, id) = stem.rsplit_once('-')?;
    head.strip_suffix(mark).filter(|_| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()))
}

/// `NAME-out__2026-11-20_09-10-11`
fn is_rotated(stem: &str) -> bool {
    stem.rsplit_once("__").is_some_and(|(_, date)| {
        date.len() >= 8
            && date.starts_with("20")
            && date.bytes().all(|byte| byte.is_ascii_digit() || b"-_".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_user_has_only_his_own_files_shipped() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = dir.path().join("web-out.log");
        fs::write(&log, "").expect("a log");
        let own = fs::metadata(&log).expect("its metadata").uid();
        assert!(is_believed(own, &log) && is_believed(0, &log));
        // Another user's home names it, through a link as well.
        let link = dir.path().join("link.log");
        std::os::unix::fs::symlink(&log, &link).expect("a link");
        assert!(!is_believed(own + 1, &log) && !is_believed(own + 1, &link));
        assert!(is_believed(own + 1, &dir.path().join("not-there-yet.log")));
    }
}

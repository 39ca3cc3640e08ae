//! NGINX: the log paths and formats of its configuration.
//!
//! `include` is followed, `log_format` parts are joined, `access_log` and `error_log` are taken from every level (a
//! level without them uses those of the level above, so all that are written are in use), `off`, `syslog:`, devices and
//! memory are passed over with a reason, a path with variables becomes a glob. All of it is read again at each look, and
//! the processes are looked at every few seconds: one that is started later, with a configuration of its own, is found.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use logweir_proto::batch::SourceKind;
use tokio::time::Instant;

use super::{Candidate, Finding, read_small};
use crate::config::{COMBINED, Roots};
use crate::tail::formats;

/// Files that one configuration may include.
pub const INCLUDES_MAX: usize = 1_000;
/// Depth of includes: deeper ones are a circle.
pub const INCLUDE_DEPTH_MAX: usize = 16;
/// Between two looks at the processes.
pub const ASK_EVERY: Duration = Duration::from_secs(10);
/// Processes that are looked at for a running NGINX.
pub const PROCESSES_MAX: usize = 50_000;

/// The NGINX of this host: which configurations are in use is asked again and again, what was compiled in once.
#[derive(Debug)]
pub(super) struct Nginx {
    /// Where the settings name them, only these configurations are read.
    named: Option<Vec<PathBuf>>,
    proc: PathBuf,
    seen: Mutex<Seen>,
}

/// What the last looks have shown.
#[derive(Debug, Default)]
struct Seen {
    asked_at: Option<Instant>,
    compiled: Compiled,
    running: Vec<Master>,
    /// The files of all configurations.
    files: HashSet<PathBuf>,
}

/// A master process: its configuration and its prefix, where it was started with them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Master {
    conf: Option<PathBuf>,
    prefix: Option<PathBuf>,
}

/// The paths of `nginx -V`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Compiled {
    pub prefix: Option<PathBuf>,
    pub conf_path: Option<PathBuf>,
    pub access_log: Option<PathBuf>,
    pub error_log: Option<PathBuf>,
}

impl Nginx {
    pub(super) fn new(roots: &Roots) -> Nginx {
        Nginx { named: roots.nginx.clone(), proc: PathBuf::from("/proc"), seen: Mutex::default() }
    }

    pub(super) fn find(&self, all: &mut Vec<Finding>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let configs = self.configs(&mut seen);
        // What was compiled in says nothing about a configuration of somebody's own, but for the paths it leaves open.
        let none = Compiled::default();
        let compiled = if self.named.is_some() { &none } else { &seen.compiled };
        let mut files = HashSet::new();
        for (path, prefix) in &configs {
            files.extend(find_in(path, prefix.as_deref(), compiled, all));
        }
        seen.files = files;
    }

    /// Whether a log or its format may be another one after a change of this file.
    pub(super) fn is_configuration(&self, path: &Path) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).files.contains(path)
    }

    /// Where a configuration changes, or a file is put that it includes.
    pub(super) fn directories(&self) -> HashSet<PathBuf> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.files.iter().filter_map(|file| file.parent().map(Path::to_path_buf)).collect()
    }

    /// Configuration files, each with the prefix that its process was started with.
    fn configs(&self, seen: &mut Seen) -> Vec<(PathBuf, Option<PathBuf>)> {
        if let Some(named) = &self.named {
            return named.iter().map(|path| (path.clone(), None)).collect();
        }
        if seen.asked_at.is_none_or(|at| at.elapsed() >= ASK_EVERY) {
            seen.asked_at = Some(Instant::now());
            let running = running(&self.proc);
            if seen.compiled == Compiled::default() && (seen.running != running || !running.is_empty()) {
                seen.compiled = ask();
            }
            seen.running = running;
        }
        let compiled = &seen.compiled;
        let default = compiled.conf_path.clone().unwrap_or_else(|| PathBuf::from("/etc/nginx/nginx.conf"));
        let mut configs = vec![(default.clone(), None)];
        for master in &seen.running {
            // A relative path begins at the prefix.
            let base = master.prefix.as_ref().or(compiled.prefix.as_ref());
            let conf = match (&master.conf, base) {
                (None, _) => default.clone(),
                (Some(conf), Some(base)) => base.join(conf),
                (Some(conf), None) => conf.clone(),
            };
            match configs.iter_mut().find(|(path, _)| *path == conf) {
                Some((_, known)) => *known = known.take().or_else(|| master.prefix.clone()),
                None => configs.push((conf, master.prefix.clone())),
            }
        }
        configs
    }
}

fn ask() -> Compiled {
    let said = Command::new("nginx").arg("-V").stdin(Stdio::null()).output();
    said.map_or_else(|_| Compiled::default(), |out| Compiled::parse(&String::from_utf8_lossy(&out.stderr)))
}

/// The logs of one configuration; returns the files that it consists of.
fn find_in(path: &Path, prefix: Option<&Path>, compiled: &Compiled, all: &mut Vec<Finding>) -> HashSet<PathBuf> {
    // It may appear, or become readable.
    let files = HashSet::from([path.to_path_buf()]);
    let Some(text) = read_small(path) else { return files };
    let conf_dir = path.parent().unwrap_or(Path::new("/")).to_path_buf();
    let mut reader = Reader { conf_dir: conf_dir.clone(), files, ..Reader::default() };
    reader.read(&text, 0);
    let above = conf_dir.parent().map(Path::to_path_buf);
    let bases = prefix.map(Path::to_path_buf).into_iter().chain(compiled.prefix.clone()).chain([conf_dir]).chain(above);
    let found = Found { compiled, conf: path, bases: bases.collect(), formats: &reader.formats };
    for log in &reader.logs {
        found.log(log, all);
    }
    found.defaults(&reader, all);
    reader.files
}

impl Compiled {
    pub fn parse(text: &str) -> Compiled {
        let option = |name: &str| {
            let argument = text.split_whitespace().find_map(|word| word.strip_prefix(name));
            argument.filter(|path| path.starts_with('/')).map(PathBuf::from)
        };
        Compiled {
            prefix: option("--prefix="),
            conf_path: option("--conf-path="),
            access_log: option("--http-log-path="),
            error_log: option("--error-log-path="),
        }
    }
}

/// The NGINX masters that run as root or as we do: anybody else could call his process one, and have us read what we may.
fn running(proc: &Path) -> Vec<Master> {
    let Ok(entries) = std::fs::read_dir(proc) else { return Vec::new() };
    let ours = rustix::process::geteuid().as_raw();
    let mut found = Vec::new();
    for entry in entries.take(PROCESSES_MAX).filter_map(|entry| entry.ok()) {
        if !entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if let Some(arguments) = line.strip_prefix("nginx: master process ")
            && entry.metadata().is_ok_and(|meta| [0, ours].contains(&meta.uid()))
        {
            found.push(Master::of(arguments));
        }
    }
    found.sort_by(|a, b| (&a.conf, &a.prefix).cmp(&(&b.conf, &b.prefix)));
    found.dedup();
    found
}

impl Master {
    /// `-c` and `-p`.
    fn of(line: &str) -> Master {
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |flag: &str| {
            let at = words.iter().position(|word| *word == flag)?;
            words.get(at + 1).map(PathBuf::from)
        };
        Master { conf: after("-c"), prefix: after("-p").filter(|prefix| prefix.is_absolute()) }
    }
}

/// One `access_log` or `error_log`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDirective {
    pub access: bool,
    pub target: String,
    /// Name of the `log_format`, empty for the default.
    pub format: String,
}

/// Collects directives over all included files.
#[derive(Debug, Default)]
pub struct Reader {
    conf_dir: PathBuf,
    /// What was read, and beside it the patterns of includes that match nothing yet.
    files: HashSet<PathBuf>,
    /// Joined text by name.
    pub formats: HashMap<String, String>,
    pub logs: Vec<LogDirective>,
    /// An `http` block is there, and says itself where it logs.
    http: bool,
    http_access: bool,
    main_error: bool,
    includes: usize,
    blocks: Vec<String>,
}

impl Reader {
    /// Reads a configuration text; what it cannot make sense of it passes over.
    pub fn read(&mut self, text: &str, depth: usize) {
        let mut words: Vec<String> = Vec::new();
        let open = self.blocks.len();
        for token in tokens(text) {
            match token {
                Token::Word(word) => words.push(word),
                Token::End => self.directive(&std::mem::take(&mut words), depth),
                Token::Open => {
                    let name = words.first().cloned().unwrap_or_default();
                    self.http |= name == "http";
                    self.blocks.push(name);
                    words.clear();
                }
                Token::Close => {
                    words.clear();
                    if self.blocks.len() > open {
                        self.blocks.pop();
                    }
                }
            }
        }
        self.blocks.truncate(open);
    }

    fn directive(&mut self, words: &[String], depth: usize) {
        match words {
            [name, target] if name == "include" => self.include(target, depth),
            [name, format, parts @ ..] if name == "log_format" => {
                // `escape=json` changes what the parser has to undo: it goes before the format, set off by `;`.
                let (escape, parts) = match parts {
                    [escape, rest @ ..] if escape.starts_with("escape=") => (format!("{escape};"), rest),
                    _ => (String::new(), parts),
                };
                let text = escape + &parts.concat();
                self.formats.entry(format.clone()).or_insert(text);
            }
            [name, target, rest @ ..] if name == "access_log" => {
                self.http_access |= self.blocks.last().is_some_and(|block| block == "http");
                let format = rest.first().filter(|word| !word.contains('=') && *word != "gzip");
                let format = format.cloned().unwrap_or_default();
                self.logs.push(LogDirective { access: true, target: target.clone(), format });
            }
            [name, target, ..] if name == "error_log" => {
                self.main_error |= self.blocks.is_empty();
                self.logs.push(LogDirective { access: false, target: target.clone(), format: String::new() });
            }
            _ => {}
        }
    }

    fn include(&mut self, target: &str, depth: usize) {
        let pattern = self.conf_dir.join(target);
        self.files.insert(pattern.clone());
        let Ok(paths) = glob::glob(&pattern.to_string_lossy()) else { return };
        for path in paths.filter_map(|path| path.ok()) {
            self.includes += 1;
            if depth >= INCLUDE_DEPTH_MAX || self.includes > INCLUDES_MAX {
                return;
            }
            self.files.insert(path.clone());
            if let Some(text) = read_small(&path) {
                self.read(&text, depth + 1);
            }
        }
    }
}

struct Found<'a> {
    compiled: &'a Compiled,
    conf: &'a Path,
    bases: Vec<PathBuf>,
    formats: &'a HashMap<String, String>,
}

impl Found<'_> {
    fn log(&self, log: &LogDirective, all: &mut Vec<Finding>) {
        let kind = if log.access { SourceKind::NginxAccess } else { SourceKind::NginxError };
        let directive = if log.access { "access_log" } else { "error_log" };
        let why = format!("{directive} in {}", self.conf.display());
        let skip = |reason: &str| Finding::skip(&log.target, kind, format!("{why}: {reason}"));
        if log.target == "off" {
            return;
        }
        if log.target.starts_with("syslog:") {
            return all.push(skip("goes to syslog, not to a file"));
        }
        if log.target.starts_with("memory:") || log.target == "stderr" || log.target.starts_with("/dev/") {
            return all.push(skip("is no file that can be followed"));
        }
        let format: Arc<str> = match log.format.as_str() {
            _ if !log.access => Arc::default(),
            "" | "combined" => COMBINED.into(),
            name => match self.formats.get(name) {
                Some(format) => Arc::from(format.as_str()),
                None => return all.push(skip(&format!("log_format {name} is not defined"))),
            },
        };
        for path in self.paths(&log.target) {
            // Several directives may write to one file, each in a format of its own.
            let same = |finding: &&mut Finding| !finding.skipped && finding.candidate.path == path;
            if log.access
                && !log.target.contains('$')
                && let Some(known) = all.iter_mut().find(same)
            {
                known.candidate.format = formats::join(&known.candidate.format, &format).into();
            }
            let mut candidate = Candidate::new(path, kind).label("service", "nginx");
            candidate.format = Arc::clone(&format);
            let name = if log.format.is_empty() { "combined" } else { log.format.as_str() };
            let why = if log.access { format!("{why}, format {name}") } else { why.clone() };
            all.push(Finding::follow(candidate, why));
        }
    }

    /// What NGINX writes where nothing is said.
    fn defaults(&self, reader: &Reader, all: &mut Vec<Finding>) {
        let access = &self.compiled.access_log;
        if let Some(path) = access.as_ref().filter(|path| reader.http && !reader.http_access && path.exists()) {
            let mut candidate = Candidate::new(path, SourceKind::NginxAccess).label("service", "nginx");
            candidate.format = COMBINED.into();
            all.push(Finding::follow(candidate, "the access_log that was compiled in, format combined"));
        }
        let error = &self.compiled.error_log;
        if let Some(path) = error.as_ref().filter(|path| !reader.main_error && path.exists()) {
            let candidate = Candidate::new(path, SourceKind::NginxError).label("service", "nginx");
            all.push(Finding::follow(candidate, "the error_log that was compiled in"));
        }
    }

    fn paths(&self, target: &str) -> Vec<PathBuf> {
        let path = self.absolute(target);
        if !target.contains('$') {
            return vec![path];
        }
        let pattern = glob_of(&path.to_string_lossy());
        glob::glob(&pattern).map(|paths| paths.filter_map(|path| path.ok()).collect()).unwrap_or_default()
    }

    /// Relative paths begin at the prefix; which one that is shows by what is there.
    fn absolute(&self, target: &str) -> PathBuf {
        let there = |base: &&PathBuf| base.join(target).parent().is_some_and(Path::is_dir);
        let base = self.bases.iter().find(there).or(self.bases.first());
        base.map_or_else(|| PathBuf::from(target), |base| base.join(target))
    }
}

/// `/var/log/nginx/$host.log` → `/var/log/nginx/*.log`
fn glob_of(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('$') {
        out.push_str(&glob::Pattern::escape(&rest[..at]));
        out.push('*');
        rest = &rest[at + 1..];
        rest = match rest.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
            Some((_, after)) => after,
            None => rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_'),
        };
    }
    out.push_str(&glob::Pattern::escape(rest));
    out
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// `;`
    End,
    Open,
    Close,
}

/// The words of a configuration: quotes are taken off, `\` before a quote or a `\` is taken off, `#` begins a comment.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ';' => tokens.push(Token::End),
            '{' => tokens.push(Token::Open),
            '}' => tokens.push(Token::Close),
            '#' => while chars.next_if(|c| *c != '\n').is_some() {},
            c if c.is_whitespace() => {}
            quote @ ('"' | '\'') => {
                let mut word = String::new();
                while let Some(c) = chars.next() {
                    if c == quote {
                        break;
                    }
                    let escaped = c == '\\' && chars.peek().is_some_and(|next| ['"', '\'', '\\'].contains(next));
                    word.push(if escaped { chars.next().unwrap_or(c) } else { c });
                }
                tokens.push(Token::Word(word));
            }
            first => {
                let mut word = String::from(first);
                // `${name}` is the one place where a brace is part of a word.
                let mut braced = false;
                while let Some(c) = chars.next_if(|c| {
                    braced || !(c.is_whitespace() || [';', '{', '}'].contains(c)) || (*c == '{' && word.ends_with('$'))
                }) {
                    braced = (braced || c == '{') && c != '}';
                    word.push(c);
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    tokens
}

#[cfg(test)]
mod tests;

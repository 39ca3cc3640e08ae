//! Checking files: what `rules check` says, what a reload decides by, and the unit tests of rules.

pub mod cases;
mod inputs;
pub mod lines;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use logweir_proto::yaml::{Environment, Problem};
use logweir_rules::marks::Mark;
use logweir_rules::model::{Rule, RuleSet, Template};
use logweir_rules::{file, library, lint};
use logweir_runtime::text_file;

use crate::notify::canary;
use crate::notify::template::Renderer;
use crate::route::Routing;
use crate::service::Settings;

pub use cases::{CaseResult, LineEngine, run_cases};
pub use lines::TestLine;

/// Rule files of one directory tree.
pub const FILES_MAX: usize = 2_000;
const DEPTH_MAX: usize = 16;

/// The text of all files, as found.
#[derive(Debug)]
pub struct Sources {
    pub rules: Vec<(String, String)>,
    pub routing: Option<(String, String)>,
    /// What was said about patterns besides the files.
    pub marks: Vec<Mark>,
    /// Files and directories that could not be read.
    pub unreadable: Vec<Problem>,
    pub hash: blake3::Hash,
}

impl Sources {
    pub fn read(settings: &Settings) -> Sources {
        let (mut rules, mut unreadable) = read_rules(&settings.rules);
        if settings.library {
            rules.extend(library::FILES.map(|(name, text)| (name.to_owned(), text.to_owned())));
        }
        let routing = settings.routing.as_ref().and_then(|path| {
            let name = path.display().to_string();
            match text_file::read_file(path) {
                Ok(text) => Some((name, text)),
                Err(error) => {
                    unreadable.push(unread(&name, &error.to_string()));
                    None
                }
            }
        });
        let mut hash = blake3::Hasher::new();
        for (name, text) in rules.iter().chain(&routing) {
            hash.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
            hash.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
        for problem in &unreadable {
            hash.update(problem.to_string().as_bytes());
        }
        Sources { rules, routing, marks: Vec::new(), unreadable, hash: hash.finalize() }
    }

    /// The same files, with what was said about patterns elsewhere.
    #[must_use]
    pub fn marked(mut self, marks: Vec<Mark>) -> Sources {
        if !marks.is_empty() {
            let said = serde_json::to_vec(&marks).unwrap_or_default();
            self.hash = blake3::Hasher::new().update(self.hash.as_bytes()).update(&said).finalize();
            self.marks = marks;
        }
        self
    }
}

#[derive(Debug)]
pub struct Loaded {
    pub rules: RuleSet,
    pub routing: Option<Routing>,
}

/// Everything right, or every mistake of every file.
pub fn load(sources: &Sources, environment: Environment<'_>) -> Result<Loaded, Vec<Problem>> {
    let mut problems = sources.unreadable.clone();
    let routing = sources.routing.as_ref().and_then(|(name, text)| {
        let routing = crate::route::file::load(name, text, environment);
        routing.map_err(|mut wrong| problems.append(&mut wrong)).ok()
    });
    let mut files = sources.rules.clone();
    if routing.as_ref().is_some_and(|routing| routing.canary.is_some()) {
        files.push((canary::FILE.to_owned(), canary::RULES.to_owned()));
    }
    let rules = marked_rules(&files, &sources.marks).map_err(|mut wrong| problems.append(&mut wrong)).ok();
    if let (Some(rules), Some(routing)) = (&rules, &routing) {
        problems.extend(unknown_intervals(rules, routing));
    }
    match rules {
        Some(rules) if problems.is_empty() => Ok(Loaded { rules, routing }),
        _ => Err(problems),
    }
}

/// Rules that name time intervals which the routing file does not have.
fn unknown_intervals(rules: &RuleSet, routing: &Routing) -> Vec<Problem> {
    let named = rules.rules().flat_map(|(_, rule)| rule.mute.iter().map(move |name| (rule, name)));
    let unknown = named.filter(|(_, name)| routing.interval(name).is_none());
    let problem = |(rule, name): (&Arc<Rule>, &String)| Problem {
        file: Arc::clone(&rule.file),
        at: Some(rule.at),
        message: format!("{} is muted by '{name}', which the routing file does not have", rule.name),
        hint: Some("name it under time_intervals".to_owned()),
    };
    unknown.map(problem).collect()
}

/// Checks rule files given as name and text.
pub fn rules(files: &[(String, String)]) -> Result<RuleSet, Vec<Problem>> {
    marked_rules(files, &[])
}

fn marked_rules(files: &[(String, String)], marks: &[Mark]) -> Result<RuleSet, Vec<Problem>> {
    let texts = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let set = file::load_marked(texts, marks.to_vec())?;
    let renderer = Renderer::default();
    let mut problems: Vec<Problem> = files.iter().flat_map(|(name, text)| lint::secrets(name, text)).collect();
    for (_, rule) in set.rules() {
        let texts = std::iter::once(&rule.summary).chain(rule.annotations.values()).chain(&rule.runbook);
        for template in texts {
            if let Some(message) = renderer.check(rule, template) {
                problems.push(template_problem(&rule.file, template, message));
            }
        }
    }
    if problems.is_empty() { Ok(set) } else { Err(problems) }
}

/// The text of rule files and of all below directories.
pub fn files(paths: &[PathBuf]) -> Result<Vec<(String, String)>, Vec<Problem>> {
    let (files, problems) = read_rules(paths);
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

/// Checks rule files and directories, as `logweir rules check PATH…` does.
pub fn paths(paths: &[PathBuf]) -> Result<RuleSet, Vec<Problem>> {
    let (files, mut problems) = read_rules(paths);
    match rules(&files) {
        Ok(set) if problems.is_empty() => Ok(set),
        Ok(_) => Err(problems),
        Err(mut wrong) => {
            problems.append(&mut wrong);
            Err(problems)
        }
    }
}

fn template_problem(file: &Arc<str>, template: &Template, message: String) -> Problem {
    Problem { file: Arc::clone(file), at: Some(template.at), message, hint: None }
}

/// What stands for a file that cannot be read.
pub fn unread(name: &str, error: &str) -> Problem {
    Problem { file: name.into(), at: None, message: format!("cannot be read: {error}"), hint: None }
}

/// Files as they are, directories with all `*.yaml` and `*.yml` below them that are not hidden.
fn read_rules(paths: &[PathBuf]) -> (Vec<(String, String)>, Vec<Problem>) {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        collect(path, 0, &mut found, &mut problems);
    }
    found.sort();
    found.dedup();
    let mut files = Vec::new();
    for path in found {
        let name = path.display().to_string();
        match text_file::read_file(&path) {
            Ok(text) => files.push((name, text)),
            Err(error) => problems.push(unread(&name, &error.to_string())),
        }
    }
    (files, problems)
}

fn collect(path: &Path, depth: usize, found: &mut Vec<PathBuf>, problems: &mut Vec<Problem>) {
    if !path.is_dir() {
        found.push(path.to_owned());
        return;
    }
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => {
            problems.push(unread(&path.display().to_string(), &error.to_string()));
            return;
        }
    };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let hidden = name.to_string_lossy().starts_with('.');
        let yaml = path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml");
        if hidden || found.len() >= FILES_MAX {
            continue;
        }
        if path.is_dir() && depth < DEPTH_MAX {
            collect(&path, depth + 1, found, problems);
        } else if yaml {
            found.push(path);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! `logweir rules backtest`: what rule files would have done over the stored past, and what a change would change.
//!
//! The server replays with the engine that it runs; here the files are read, those of a git revision too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use logweir_alerting::backtest::api::{File, Request};
use logweir_alerting::backtest::incidents::{Judged, Score};
use logweir_alerting::backtest::{Report, RuleReport};
use logweir_proto::text::{format_duration, visible};
use serde::Deserialize;
use tokio::process::Command;

use crate::args::{ListFormat, ReportFormat, RulesBacktest};
use crate::client::Client;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{Console, Table, json_line};

/// The heights of the little picture.
const SPARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    pub(super) after: Report,
    before: Option<Report>,
}

pub async fn run(args: &RulesBacktest, console: &mut Console) -> Result<Exit> {
    let files = match logweir_alerting::check::files(&args.paths) {
        Ok(files) => files.into_iter().map(|(name, text)| File { name, text }).collect(),
        Err(problems) => {
            super::wrong(problems, ReportFormat::Text, console)?;
            return Ok(Exit::Usage);
        }
    };
    let before = match &args.diff {
        Some(revision) => Some(at_revision(revision, &args.paths).await?),
        None => None,
    };
    let incidents = args.incidents.as_deref().map(incidents).transpose()?;
    let request = Request {
        files: Some(files),
        before,
        since: Some(args.since.clone()),
        rule: args.rule.clone(),
        budget: args.budget.clone(),
        incidents,
    };
    let client = Client::new(&args.server)?;
    let answer: Answer = client.post("/api/v1/rules/backtest", &request).await?;
    answer.after.warnings.iter().for_each(|warning| console.warn(&visible(warning)));
    if args.output == ListFormat::Json {
        for rule in &answer.after.rules {
            json_line(console, rule)?;
        }
        if let Some(judged) = &answer.after.judged {
            json_line(console, judged)?;
        }
        return Ok(Exit::Ok);
    }
    match &answer.before {
        Some(before) => changes(before, &answer.after, console)?,
        None => report(&answer.after, console)?,
    }
    if let Some(after) = &answer.after.judged {
        judged(after, answer.before.as_ref().and_then(|before| before.judged.as_ref()), console)?;
    }
    Ok(Exit::Ok)
}

/// The file of incidents; a mistake in it is said before anything is asked.
fn incidents(path: &Path) -> Result<File> {
    let read = |source| CliError::Read { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(read)?;
    let name = path.display().to_string();
    logweir_alerting::backtest::incidents::read(&name, &text).map_err(|problems| {
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        CliError::Usage(all.join("\n"))
    })?;
    Ok(File { name, text })
}

/// Which incidents were caught, by whom and how soon; with `before`, what the change makes of it.
fn judged(after: &Judged, before: Option<&Judged>, console: &mut Console) -> Result<()> {
    let mut table = Table::new(&["INCIDENT", "CAUGHT BY"]);
    for one in &after.incidents {
        let was = before.and_then(|before| before.incidents.iter().find(|old| old.name == one.name));
        match was.filter(|was| was.by != one.by) {
            Some(was) => table.push(&[&one.name, &format!("{} → {}", by_rule(&was.by), by_rule(&one.by))]),
            None => table.push(&[&one.name, &by_rule(&one.by)]),
        }
    }
    if !table.is_empty() {
        table.print(console)?;
    }
    let mut rules = Table::new(&["RULE", "CAUGHT", "MISSED", "OUTSIDE"]);
    for (rule, score) in after.rules.iter().filter(|(_, score)| **score != Score::default()) {
        rules.push(&[rule, &score.caught.to_string(), &score.missed.to_string(), &score.outside.to_string()]);
    }
    if !rules.is_empty() {
        rules.print(console)?;
    }
    let caught = |judged: &Judged| judged.incidents.iter().filter(|one| !one.by.is_empty()).count();
    let was = before.map_or(String::new(), |before| format!("{} → ", caught(before)));
    let (of, beyond) = (after.incidents.len(), after.beyond);
    console.line(&format!(
        "incidents caught: {was}{} of {of}; {beyond} of the file lie outside the time",
        caught(after)
    ))?;
    Ok(())
}

fn by_rule(by: &BTreeMap<String, i64>) -> String {
    if by.is_empty() {
        return "nobody".to_owned();
    }
    let one = |(rule, after): (&String, &i64)| {
        let word = if *after < 0 { "before" } else { "after" };
        format!("{rule} {} {word}", span(after.saturating_abs()))
    };
    by.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The rule files below the paths as they are in a revision of the repository around them.
async fn at_revision(revision: &str, paths: &[PathBuf]) -> Result<Vec<File>> {
    if revision.starts_with('-') {
        return Err(CliError::Usage(format!("not a revision: {revision}")));
    }
    let mut files = Vec::new();
    for path in paths {
        let whole = std::path::absolute(path).map_err(|source| CliError::Read { path: path.clone(), source })?;
        let (dir, inside) = if whole.is_dir() {
            (whole.clone(), ".".to_owned())
        } else {
            let name = whole.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            (whole.parent().unwrap_or(Path::new("/")).to_owned(), name)
        };
        let names = git(&dir, &["ls-tree", "-r", "-z", "--name-only", revision, "--", &inside]).await?;
        let yaml = |name: &&str| name.ends_with(".yaml") || name.ends_with(".yml");
        for name in names.split('\0').filter(yaml) {
            let text = git(&dir, &["show", &format!("{revision}:./{name}")]).await?;
            files.push(File { name: format!("{revision}:{name}"), text });
        }
    }
    if files.is_empty() {
        return Err(CliError::Usage(format!("{revision} has no rule files there")));
    }
    Ok(files)
}

async fn git(dir: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new("git").arg("-C").arg(dir).args(args).output().await;
    let output = output.map_err(|source| CliError::Read { path: "git".into(), source })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(CliError::Usage(format!("git: {}", visible(said.trim()))));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub(super) fn report(report: &Report, console: &mut Console) -> Result<()> {
    let mut table =
        Table::new(&["RULE", "EPISODES", "PAGES", "FIRING", "FLAPS", "MEDIAN", "LONGEST", "LINES", "SUGGESTED"]);
    for rule in &report.rules {
        let suggested = rule.suggestion.as_ref().map_or(String::new(), |found| {
            let (signal, limit, now) = (&found.signal, found.suggested, found.limit);
            format!("{signal} >= {limit} instead of {now}: {} episodes", found.episodes)
        });
        table.push(&[
            &rule.rule,
            &rule.episodes.to_string(),
            &by_receiver(&rule.pages),
            &span(rule.firing_ns),
            &rule.flaps.to_string(),
            &span(rule.median_ns),
            &span(rule.longest_ns),
            &sparks(&rule.lines),
            &suggested,
        ]);
    }
    if !table.is_empty() {
        table.print(console)?;
    }
    for (receiver, told) in &report.receivers {
        console.line(&format!(
            "{receiver}: {} messages that something fires, {} that it is over",
            told.pages, told.resolves
        ))?;
    }
    let episodes: usize = report.rules.iter().map(|rule| rule.episodes).sum();
    console.line(&format!("{} rules, {episodes} episodes, {} pages", report.rules.len(), pages(report)))?;
    Ok(())
}

fn pages(report: &Report) -> usize {
    report.receivers.values().map(|told| told.pages).sum()
}

/// What a change would change: rules that are new, gone, or do something else.
fn changes(before: &Report, after: &Report, console: &mut Console) -> Result<()> {
    let by_name = |report: &Report| -> BTreeMap<String, RuleReport> {
        report.rules.iter().map(|rule| (rule.rule.clone(), rule.clone())).collect()
    };
    let (old, new) = (by_name(before), by_name(after));
    let mut table = Table::new(&["RULE", "EPISODES", "PAGES", "FLAPS"]);
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let (was, is) = (old.get(name), new.get(name));
        if was == is {
            continue;
        }
        let both = |get: &dyn Fn(&RuleReport) -> usize| {
            let text = |rule: Option<&RuleReport>| rule.map_or("-".to_owned(), |rule| get(rule).to_string());
            format!("{} → {}", text(was), text(is))
        };
        let pages = both(&|rule| rule.pages.values().sum());
        table.push(&[name, &both(&|rule| rule.episodes), &pages, &both(&|rule| rule.flaps)]);
    }
    if table.is_empty() {
        console.line("no rule would have done anything else")?;
    } else {
        table.print(console)?;
    }
    console.line(&format!("pages: {} → {}", pages(before), pages(after)))?;
    Ok(())
}

fn by_receiver(pages: &BTreeMap<String, usize>) -> String {
    pages.iter().map(|(receiver, count)| format!("{receiver} {count}")).collect::<Vec<_>>().join(", ")
}

fn span(ns: i64) -> String {
    format_duration(Duration::from_secs(ns.max(0) as u64 / 1_000_000_000))
}

fn sparks(lines: &[u64]) -> String {
    let most = lines.iter().max().copied().unwrap_or(0).max(1);
    let height = |count: &u64| if *count == 0 { ' ' } else { SPARKS[(*count * 7 / most) as usize] };
    lines.iter().map(height).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_shows_where_the_lines_are() {
        assert_eq!(sparks(&[0, 1, 50, 100]), " ▁▄█");
        assert_eq!(sparks(&[]), "");
    }

    #[tokio::test]
    async fn a_revision_that_is_not_there_is_said() {
        let dir = tempfile::tempdir().expect("a directory");
        let failed = at_revision("HEAD", &[dir.path().to_owned()]).await.expect_err("no repository");
        assert!(failed.to_string().starts_with("git: "), "{failed}");
        assert!(at_revision("--output=x", &[dir.path().to_owned()]).await.is_err());
    }

    #[tokio::test]
    async fn the_files_of_a_revision_are_read_as_they_were() {
        let dir = tempfile::tempdir().expect("a directory");
        let rules = dir.path().join("rules");
        std::fs::create_dir(&rules).expect("a directory");
        std::fs::write(rules.join("a.yaml"), "old").expect("writes");
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
        git(dir.path(), &["init", "-q"]).await.expect("inits");
        git(dir.path(), &["add", "."]).await.expect("adds");
        let commit: Vec<&str> = identity.into_iter().chain(["commit", "-q", "-m", "one"]).collect();
        git(dir.path(), &commit).await.expect("commits");
        std::fs::write(rules.join("a.yaml"), "new").expect("writes");
        for path in [rules.clone(), rules.join("a.yaml")] {
            let found = at_revision("HEAD", &[path]).await.expect("reads");
            let found: Vec<(&str, &str)> = found.iter().map(|file| (&*file.name, &*file.text)).collect();
            assert_eq!(found, [("HEAD:a.yaml", "old")]);
        }
    }
}

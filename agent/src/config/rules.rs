//! What is left out and what is redacted: `rules`, the same keys in `files`, and `redact`.

use logweir_proto::yaml::{At, Fields, Problems};

use super::SourceRule;
use super::read::globs;
use crate::filter::DROP_PATTERNS_MAX;
use crate::redact::{self, Action, Detector, REDACTIONS_MAX};

const ACTIONS: [(&str, Action); 3] = [("mask", Action::Mask), ("drop", Action::Drop), ("hash", Action::Hash)];

pub(super) fn rule(mut fields: Fields<'_>, problems: &mut Problems) -> SourceRule {
    let paths = globs(&mut fields, "paths", problems).unwrap_or_default();
    let exclude = globs(&mut fields, "exclude", problems).unwrap_or_default();
    let service = fields.text("service", problems);
    let (drop, sample) = what_stays(&mut fields, problems);
    let rule = SourceRule { paths, exclude, service, drop, sample };
    if !rule.is_active() {
        fields.mistake("drop", "or sample is missing: a rule must leave something out", problems);
    }
    fields.finish(problems);
    rule
}

/// `drop` and `sample`.
pub(super) fn what_stays(fields: &mut Fields<'_>, problems: &mut Problems) -> (Vec<String>, Option<f64>) {
    let name = fields.name("drop");
    let mut drop = Vec::new();
    for (i, item) in fields.items("drop", problems).unwrap_or_default().iter().enumerate() {
        let what = format!("{name}[{i}]");
        if let Some(text) = problems.text(item, &what) {
            check_pattern(&what, &text, item.at, problems);
            drop.push(text);
        }
    }
    if drop.len() > DROP_PATTERNS_MAX {
        fields.mistake("drop", &format!("has more than {DROP_PATTERNS_MAX} patterns"), problems);
    }
    let name = fields.name("sample");
    let sample = fields.given("sample").and_then(|node| problems.number(node, &name));
    if sample.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
        fields.mistake("sample", "must be a share from 0 to 1: 0.1 keeps every tenth line", problems);
    }
    (drop, sample)
}

fn check_pattern(what: &str, text: &str, at: At, problems: &mut Problems) {
    if let Err(error) = redact::pattern(text) {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
        problems.add(at, format!("{what} is not a regular expression: {reason}"));
    }
}

pub(super) fn redact(mut fields: Fields<'_>, problems: &mut Problems) -> redact::Settings {
    let mut settings = redact::Settings::default();
    let detectors = fields.items("detectors", problems).unwrap_or_default();
    for (i, item) in detectors.iter().enumerate() {
        if let Some(detector) = problems.word(item, &format!("redact.detectors[{i}]"), &Detector::ALL)
            && settings.detectors.iter().all(|(other, _)| *other != detector)
        {
            settings.detectors.push((detector, Action::Mask));
        }
    }
    for (name, text, at) in fields.texts("patterns", problems) {
        check_pattern(&format!("redact.patterns.{name}"), &text, at, problems);
        settings.patterns.push((name, text, Action::Mask));
    }
    for (name, text, at) in fields.texts("actions", problems) {
        let Some(action) = action(&format!("redact.actions.{name}"), &text, at, problems) else { continue };
        let detector = settings.detectors.iter_mut().find(|(detector, _)| detector.name() == name);
        let pattern = settings.patterns.iter_mut().find(|(pattern, ..)| *pattern == name);
        match (detector, pattern) {
            (Some((_, slot)), _) | (None, Some((.., slot))) => *slot = action,
            (None, None) => {
                let message = "names neither one of redact.detectors nor one of redact.patterns";
                problems.add(at, format!("redact.actions.{name} {message}"));
            }
        }
    }
    for (path, text, at) in fields.texts("fields", problems) {
        let action = action(&format!("redact.fields.{path}"), &text, at, problems);
        settings.fields.extend(action.map(|action| (path, action)));
    }
    settings.hash_key_file = fields.path("hash_key_file", problems);
    if settings.wants_key() && settings.hash_key_file.is_none() {
        fields.mistake("hash_key_file", "is missing: hash needs a key of its own (openssl rand -hex 32)", problems);
    }
    if settings.detectors.len() + settings.patterns.len() + settings.fields.len() > REDACTIONS_MAX {
        fields.mistake("fields", &format!("and what stands beside them are more than {REDACTIONS_MAX}"), problems);
    }
    fields.finish(problems);
    settings
}

fn action(what: &str, text: &str, at: At, problems: &mut Problems) -> Option<Action> {
    let found = ACTIONS.iter().find(|(name, _)| *name == text).map(|(_, action)| *action);
    if found.is_none() {
        problems.add(at, format!("{what} must be one of mask, drop, hash, not '{text}'"));
    }
    found
}

//! Redaction: what must not leave the host is masked, hashed or cut out of the text of a line.
//!
//! It runs between decoding and the batch, so that whatever is planned, compressed, spooled and sent is redacted; the
//! byte ranges stay those of the file, and the same bytes of a file always give the same text. A value that lies across
//! the cut of a line that is too long, or of one that was shipped without its end, is not seen whole.
//!
//! `hash` is HMAC-SHA256 with the key of a file, of which 64 bits are kept: `h_3f9a0c5577d2e8b1`. Equal values stay equal,
//! whichever detector or field found them, so that they can be counted and joined.

use std::cmp::Reverse;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use hmac::{Hmac, Mac};
use logweir_runtime::secrets::Secret;
use regex::bytes::{Regex, RegexBuilder};
use sha2::Sha256;

use self::fields::Field;
use self::words::{Family, Words};
use crate::error::{Error, Result};

mod detect;
mod fields;
mod words;

/// Detectors, patterns and fields together.
pub const REDACTIONS_MAX: usize = 100;
/// Compiled size of one pattern.
pub const PATTERN_BYTES_MAX: usize = 1 << 20;
/// A shorter key can be guessed.
pub const HASH_KEY_BYTES_MIN: usize = 16;

/// What is looked for without being described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detector {
    Email,
    Ipv4,
    Ipv6,
    Bearer,
    Aws,
    Card,
    Iban,
    Password,
}

impl Detector {
    pub const ALL: [(&'static str, Detector); 8] = [
        ("email", Detector::Email),
        ("ipv4", Detector::Ipv4),
        ("ipv6", Detector::Ipv6),
        ("bearer", Detector::Bearer),
        ("aws", Detector::Aws),
        ("card", Detector::Card),
        ("iban", Detector::Iban),
        ("password", Detector::Password),
    ];

    pub fn name(self) -> &'static str {
        Detector::ALL.iter().find(|(_, detector)| *detector == self).map_or("", |(name, _)| name)
    }
}

/// What becomes of a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Action {
    /// `[email]`
    #[default]
    Mask,
    /// Cut out.
    Drop,
    Hash,
}

/// The settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    pub detectors: Vec<(Detector, Action)>,
    /// Name, regular expression, action. What is redacted is its first group, or all of it.
    pub patterns: Vec<(String, String, Action)>,
    pub fields: Vec<(String, Action)>,
    pub hash_key_file: Option<PathBuf>,
}

impl Settings {
    pub fn is_empty(&self) -> bool {
        self.detectors.is_empty() && self.patterns.is_empty() && self.fields.is_empty()
    }

    pub fn wants_key(&self) -> bool {
        let actions = self.detectors.iter().map(|(_, action)| action).chain(self.patterns.iter().map(|(.., a)| a));
        actions.chain(self.fields.iter().map(|(_, action)| action)).any(|action| *action == Action::Hash)
    }
}

/// Compiles a pattern within the limits.
pub fn pattern(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX).build()
}

/// One thing that is looked for, and what was found of it.
#[derive(Debug)]
struct Rule {
    name: String,
    action: Action,
    found: AtomicU64,
}

/// A value in a line.
#[derive(Debug)]
struct Span {
    range: Range<usize>,
    rule: usize,
    /// What is hashed: of a field that is cut out or replaced only its value.
    value: Range<usize>,
    bare: bool,
}

/// Ready to work on lines. Shared by threads without a lock.
#[derive(Debug)]
pub struct Redactor {
    rules: Vec<Rule>,
    detectors: Vec<(usize, Detector)>,
    words: Option<Words>,
    patterns: Vec<(usize, Regex)>,
    fields: Vec<(usize, Field)>,
    key: Option<Hmac<Sha256>>,
}

impl Redactor {
    pub fn new(settings: &Settings) -> Result<Redactor> {
        let mut redactor = Redactor {
            rules: Vec::new(),
            detectors: Vec::new(),
            words: None,
            patterns: Vec::new(),
            fields: Vec::new(),
            key: None,
        };
        let wrong = |what: &str, reason: String| Error::Redact { what: what.to_owned(), reason };
        let mut families = Vec::new();
        for (detector, action) in &settings.detectors {
            let rule = redactor.rule(detector.name(), *action);
            redactor.detectors.push((rule, *detector));
            families.extend(match detector {
                Detector::Bearer => Some(Family::Bearer),
                Detector::Aws => Some(Family::Aws),
                Detector::Password => Some(Family::Password),
                _ => None,
            });
        }
        redactor.words = Words::new(&families).map_err(|error| wrong("detectors", error.to_string()))?;
        for (name, text, action) in &settings.patterns {
            let regex = pattern(text).map_err(|error| wrong(name, error.to_string()))?;
            let rule = redactor.rule(name, *action);
            redactor.patterns.push((rule, regex));
        }
        for (path, action) in &settings.fields {
            let rule = redactor.rule(path, *action);
            redactor.fields.push((rule, Field::new(path)));
        }
        if settings.wants_key() {
            redactor.key = Some(read_key(settings.hash_key_file.as_deref())?);
        }
        Ok(redactor)
    }

    fn rule(&mut self, name: &str, action: Action) -> usize {
        self.rules.push(Rule { name: name.to_owned(), action, found: AtomicU64::new(0) });
        self.rules.len() - 1
    }

    /// Puts the redacted line into `out`. With `false` there was nothing to redact, and `out` is as it was.
    pub fn apply(&self, line: &[u8], out: &mut Vec<u8>) -> bool {
        let mut spans = Vec::new();
        self.find(line, &mut spans);
        if spans.is_empty() {
            return false;
        }
        // What was named by field or pattern goes before what a detector would do with the same bytes.
        spans.sort_by_key(|span| (span.range.start, Reverse(span.range.end), Reverse(span.rule)));
        out.clear();
        let mut at = 0;
        let mut spans = spans.into_iter().peekable();
        while let Some(mut span) = spans.next() {
            // Values that overlap become one: no byte of any may stay.
            while let Some(next) = spans.next_if(|next| next.range.start < span.range.end) {
                if next.range.end > span.range.end {
                    span.range.end = next.range.end;
                    span.value.end = span.value.end.max(next.value.end);
                }
            }
            out.extend_from_slice(&line[at..span.range.start]);
            self.replace(line, &span, out);
            at = span.range.end;
        }
        out.extend_from_slice(&line[at..]);
        true
    }

    fn find(&self, line: &[u8], spans: &mut Vec<Span>) {
        let mut push = |rule: usize, range: Range<usize>| {
            let bare = is_bare_in_json(line, &range);
            spans.push(Span { value: range.clone(), range, rule, bare });
        };
        for (rule, detector) in &self.detectors {
            let mut found = |range| push(*rule, range);
            match detector {
                Detector::Email => detect::email(line, &mut found),
                Detector::Ipv4 => detect::ipv4(line, &mut found),
                Detector::Ipv6 => detect::ipv6(line, &mut found),
                Detector::Card => detect::card(line, &mut found),
                Detector::Iban => detect::iban(line, &mut found),
                Detector::Bearer | Detector::Aws | Detector::Password => {}
            }
        }
        if let Some(words) = &self.words {
            words.find(line, &mut |family, range| {
                let owner = |detector: &Detector| {
                    matches!(
                        (detector, family),
                        (Detector::Bearer, Family::Bearer)
                            | (Detector::Aws, Family::Aws)
                            | (Detector::Password, Family::Password)
                    )
                };
                if let Some((rule, _)) = self.detectors.iter().find(|(_, detector)| owner(detector)) {
                    push(*rule, range);
                }
            });
        }
        for (rule, regex) in &self.patterns {
            if regex.captures_len() > 1 {
                for hit in regex.captures_iter(line).filter_map(|groups| groups.get(1)) {
                    push(*rule, hit.range());
                }
            } else {
                regex.find_iter(line).for_each(|hit| push(*rule, hit.range()));
            }
        }
        for (rule, field) in &self.fields {
            let cut = self.rules[*rule].action == Action::Drop;
            field.find(line, &mut |value| {
                let range = if cut { value.whole } else { value.value.clone() };
                spans.push(Span { range, rule: *rule, value: value.value, bare: value.bare });
            });
        }
        spans.retain(|span| !span.range.is_empty());
    }

    fn replace(&self, line: &[u8], span: &Span, out: &mut Vec<u8>) {
        let rule = &self.rules[span.rule];
        rule.found.fetch_add(1, Ordering::Relaxed);
        let quote = if span.bare { &b"\""[..] } else { b"" };
        match (rule.action, &self.key) {
            (Action::Drop, _) => {}
            (Action::Hash, Some(key)) => {
                out.extend_from_slice(quote);
                out.extend_from_slice(hash(key, &line[span.value.clone()]).as_bytes());
                out.extend_from_slice(quote);
            }
            (Action::Mask | Action::Hash, _) => {
                out.extend_from_slice(quote);
                out.push(b'[');
                out.extend_from_slice(rule.name.as_bytes());
                out.push(b']');
                out.extend_from_slice(quote);
            }
        }
    }

    /// What was found since the last call, by the name of the detector, pattern or field.
    pub fn take_counts(&self) -> Vec<(&str, u64)> {
        let counts = self.rules.iter().map(|rule| (rule.name.as_str(), rule.found.swap(0, Ordering::Relaxed)));
        counts.filter(|(_, found)| *found > 0).collect()
    }
}

fn read_key(path: Option<&Path>) -> Result<Hmac<Sha256>> {
    let wrong = |reason: String| Error::Redact { what: "hash_key_file".to_owned(), reason };
    let path = path.ok_or_else(|| wrong("is missing, and an action is hash".to_owned()))?;
    let key = Secret::read_file(path).map_err(|error| wrong(format!("{}: {error}", path.display())))?;
    if key.expose().len() < HASH_KEY_BYTES_MIN {
        let why = "is too short, it needs 16 bytes: openssl rand -hex 32";
        return Err(wrong(format!("{} {why}", path.display())));
    }
    Hmac::new_from_slice(key.expose().as_bytes()).map_err(|error| wrong(error.to_string()))
}

fn hash(key: &Hmac<Sha256>, value: &[u8]) -> String {
    let mut mac = key.clone();
    mac.update(value);
    let hex = mac.finalize().into_bytes().iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("h_{hex}")
}

/// A number as a JSON value: words in its place need quotes, or the line is no JSON any more.
fn is_bare_in_json(line: &[u8], range: &Range<usize>) -> bool {
    let mut before = line[..range.start].iter().rev().filter(|b| **b != b' ');
    if before.next() != Some(&b':') || before.next() != Some(&b'"') {
        return false;
    }
    let after = line[range.end..].iter().find(|b| **b != b' ');
    matches!(after, Some(b',' | b'}' | b']'))
}

#[cfg(test)]
mod tests;

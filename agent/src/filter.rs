//! Between decoding and the batch: drop and sampling rules of a source, then redaction.
//!
//! What a rule leaves out is part of the byte range of its chunk, so nothing is ever sent for it and nothing is a gap.
//! Whether a line is in the sample depends on its source and its offset and on nothing else: the same bytes that are cut
//! again after a crash give the same batch.

use std::collections::HashMap;
use std::path::Path;

use glob::{MatchOptions, Pattern};
use logweir_proto::batch::{ChunkBuilder, LINE_BYTES_MAX, SPOOL_FORMAT, SourceKind};
use regex::bytes::{RegexSet, RegexSetBuilder};

use crate::config::SourceRule;
use crate::error::{Error, Result};
use crate::metrics;
use crate::redact::{self, PATTERN_BYTES_MAX, Redactor};
use crate::tail::info::Info;

/// Drop patterns of one rule.
pub const DROP_PATTERNS_MAX: usize = 100;
/// Sources whose rules are remembered.
const REMEMBERED_MAX: usize = 50_000;

/// What was left out and changed, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub filtered_lines: u64,
    pub redacted_values: u64,
}

/// A rule that is ready to be asked.
#[derive(Debug)]
struct Rule {
    paths: Vec<Pattern>,
    exclude: Vec<Pattern>,
    service: Option<String>,
    drop: RegexSet,
    /// A line stays if its number is below this; all stay when `None`.
    keep_below: Option<u64>,
}

/// Rules and redaction of one configuration.
#[derive(Debug, Default)]
pub struct Filter {
    rules: Vec<Rule>,
    redactor: Option<Redactor>,
    /// Rules of each source by its id.
    known: HashMap<String, Vec<usize>>,
    counts: Counts,
    text: Vec<u8>,
    changes: Vec<Change>,
}

/// What becomes of one record; ranges are of the text that was written anew.
#[derive(Debug, Clone)]
enum Change {
    Same,
    Left,
    Text(std::ops::Range<usize>),
}

/// What is in our spool was redacted before it got there; a hash of a hash would be another.
fn is_spooled(info: &Info) -> bool {
    &*info.format == SPOOL_FORMAT && info.kind != SourceKind::Docker
}

impl Filter {
    pub fn new(rules: &[SourceRule], redaction: &redact::Settings) -> Result<Filter> {
        let rules = rules.iter().filter(|rule| rule.is_active()).map(Rule::new).collect::<Result<_>>()?;
        let redactor = (!redaction.is_empty()).then(|| Redactor::new(redaction)).transpose()?;
        Ok(Filter { rules, redactor, ..Filter::default() })
    }

    /// Since the filter was made, and where it was made from another, since that was.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Goes on counting where another one stopped.
    pub fn with_counts(mut self, counts: Counts) -> Filter {
        self.counts = counts;
        self
    }

    /// Tells the metrics what was redacted since the last call.
    pub fn report(&mut self) {
        let Some(redactor) = &self.redactor else { return };
        for (what, found) in redactor.take_counts() {
            metrics::redacted(what, found);
            self.counts.redacted_values += found;
        }
    }

    /// The records of `chunk` that stay, as they may leave the host.
    pub fn apply(&mut self, info: &Info, chunk: ChunkBuilder) -> ChunkBuilder {
        let rules = self.rules_of(info);
        if rules.is_empty() && (self.redactor.is_none() || is_spooled(info)) {
            return chunk;
        }
        if self.judge(info, &rules, &chunk) { self.rewrite(&chunk) } else { chunk }
    }

    fn rules_of(&mut self, info: &Info) -> Vec<usize> {
        if self.rules.is_empty() {
            return Vec::new();
        }
        if let Some(rules) = self.known.get(&*info.id) {
            return rules.clone();
        }
        if self.known.len() >= REMEMBERED_MAX {
            self.known.clear();
        }
        let rules: Vec<usize> = (0..).zip(&self.rules).filter(|(_, rule)| rule.covers(info)).map(|(i, _)| i).collect();
        self.known.insert(info.id.to_string(), rules.clone());
        rules
    }

    /// Decides for every record; returns whether anything changes.
    fn judge(&mut self, info: &Info, rules: &[usize], chunk: &ChunkBuilder) -> bool {
        self.text.clear();
        self.changes.clear();
        let mut line = Vec::new();
        let mut any = false;
        let (mut dropped, mut unsampled) = (0, 0);
        let redactor = self.redactor.as_ref().filter(|_| !is_spooled(info));
        chunk.for_each(|record| {
            let rules = || rules.iter().map(|rule| &self.rules[*rule]);
            let change = if rules().any(|rule| rule.drop.is_match(record.text)) {
                dropped += 1;
                Change::Left
            } else if rules().any(|rule| !rule.samples(&info.id, record.start)) {
                unsampled += 1;
                Change::Left
            } else if redactor.is_some_and(|redactor| redactor.apply(record.text, &mut line)) {
                let start = self.text.len();
                self.text.extend_from_slice(&line);
                Change::Text(start..self.text.len())
            } else {
                Change::Same
            };
            any |= !matches!(change, Change::Same);
            self.changes.push(change);
        });
        metrics::filtered("drop", dropped);
        metrics::filtered("sample", unsampled);
        self.counts.filtered_lines += dropped + unsampled;
        any
    }

    fn rewrite(&self, chunk: &ChunkBuilder) -> ChunkBuilder {
        let mut out = ChunkBuilder::new(chunk.start());
        let mut changes = self.changes.iter();
        chunk.for_each(|record| match changes.next() {
            Some(Change::Left) => out.skip(record.advance),
            Some(Change::Text(range)) => {
                let text = &self.text[range.clone()];
                let too_long = text.len() > LINE_BYTES_MAX;
                let text = if too_long { &text[..cut_at(text, LINE_BYTES_MAX)] } else { text };
                out.push(text, record.advance, record.time_ns, record.stream, record.truncated || too_long);
            }
            Some(Change::Same) | None => {
                out.push(record.text, record.advance, record.time_ns, record.stream, record.truncated);
            }
        });
        out.skip(chunk.end() - out.end());
        out
    }
}

impl Rule {
    fn new(rule: &SourceRule) -> Result<Rule> {
        let wrong = |reason: String| Error::Redact { what: "a rule's".to_owned(), reason };
        let globs = |globs: &[String]| {
            let globs = globs.iter().map(|glob| Pattern::new(glob).map_err(|error| wrong(error.to_string())));
            globs.collect::<Result<Vec<Pattern>>>()
        };
        let drop = RegexSetBuilder::new(&rule.drop).size_limit(PATTERN_BYTES_MAX).build();
        Ok(Rule {
            paths: globs(&rule.paths)?,
            exclude: globs(&rule.exclude)?,
            service: rule.service.clone(),
            drop: drop.map_err(|error| wrong(format!("drop: {error}")))?,
            keep_below: rule.sample.map(|share| (share * u64::MAX as f64) as u64),
        })
    }

    fn covers(&self, info: &Info) -> bool {
        let path = Path::new(&*info.path);
        let file = MatchOptions { require_literal_separator: true, ..MatchOptions::default() };
        let named = |glob: &Pattern| {
            glob.matches_path(path) || path.file_name().is_some_and(|name| glob.matches_path(Path::new(name)))
        };
        (self.paths.is_empty() || self.paths.iter().any(|glob| glob.matches_path_with(path, file)))
            && !self.exclude.iter().any(named)
            && self.service.as_ref().is_none_or(|service| info.labels.get("service") == Some(service.as_str()))
    }

    fn samples(&self, source: &str, offset: u64) -> bool {
        self.keep_below.is_none_or(|below| {
            let seed = source.bytes().fold(0, |seed, byte| mix(seed ^ u64::from(byte)));
            mix(seed ^ offset) < below
        })
    }
}

/// Spreads a number evenly over all numbers (splitmix64).
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Where to cut a text that is too long: not within a character.
fn cut_at(text: &[u8], limit: usize) -> usize {
    (limit.saturating_sub(3)..=limit).rev().find(|at| text[*at] & 0xc0 != 0x80).unwrap_or(limit)
}

#[cfg(test)]
mod tests;

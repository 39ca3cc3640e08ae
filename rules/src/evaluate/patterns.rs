//! Which patterns of a rule are new: a registry per scope that learns in silence first and outlives the lines.

use std::collections::{BTreeMap, VecDeque};

use logweir_proto::pattern::{ALGORITHM_VERSION, Miner, PatternId};
use serde::{Deserialize, Serialize};

use super::lineage::{Lineage, clipped, time_text};
use super::observe::{Deploy, Observation, PatternLine};
use crate::marks::{self, Word};
use crate::model::{Labels, Pattern};
use crate::signal::PATTERN_LABEL;

/// Scopes of one rule; lines of further ones are counted and left out.
pub const SCOPES_PER_RULE_MAX: usize = 500;
/// Patterns that one scope remembers.
pub const PATTERNS_PER_SCOPE_MAX: usize = 2_000;
/// The value of the label of the instance that tells what is over the limit.
pub const DIGEST: &str = "digest";
/// How patterns are told apart here: by masked text since 1, stack traces by type and frames since 2.
const VERSION: u32 = 2 << 16 | ALGORITHM_VERSION;
const MINUTE_NS: i64 = 60_000_000_000;
const MINUTES_KEPT: i64 = 60;
const SWEEP_EVERY_NS: i64 = 3600 * 1_000_000_000;

/// The patterns of one scope.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scope {
    /// By which it tells patterns apart; what was learned otherwise is learned again, in silence.
    #[serde(default)]
    version: u32,
    miner: Miner,
    /// When its first line came.
    since: i64,
    swept_at: i64,
    entries: BTreeMap<PatternId, Entry>,
    /// When the patterns that are alerts of their own were first seen.
    told: VecDeque<i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    first_seen: i64,
    last_seen: i64,
    count: u64,
    /// Lines of the last hour, by minute.
    minutes: VecDeque<(i64, u64)>,
    is_new: bool,
    /// Over the limit of its scope: told in the digest.
    in_digest: bool,
    deploy: Option<String>,
    #[serde(default)]
    lineage: Lineage,
}

/// What is known of one instance of a pattern rule.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Novelty {
    pub(super) count_10m: f64,
    pub(super) count_1h: f64,
    pub(super) patterns: f64,
    pub(super) template: String,
    pub(super) deploy: Option<String>,
    pub(super) lineage: Option<String>,
    /// Somebody has it in hand.
    pub(super) ticket: Option<String>,
    /// When the first of them was first seen.
    pub(super) first_seen: Option<i64>,
}

impl Entry {
    fn count_since(&self, from: i64) -> f64 {
        let after = |minute: &i64| (minute + 1) * MINUTE_NS > from;
        self.minutes.iter().filter(|(minute, _)| after(minute)).map(|(_, count)| *count).sum::<u64>() as f64
    }

    fn add(&mut self, at: i64) {
        let minute = at.div_euclid(MINUTE_NS);
        match self.minutes.iter_mut().rev().find(|(known, _)| *known == minute) {
            Some((_, count)) => *count += 1,
            None => self.minutes.push_back((minute, 1)),
        }
        while self.minutes.front().is_some_and(|(first, _)| *first < minute - MINUTES_KEPT) {
            self.minutes.pop_front();
        }
        self.count += 1;
        self.last_seen = self.last_seen.max(at);
    }

    fn is_open(&self, rule: &Pattern, at: i64) -> bool {
        self.is_new && at.saturating_sub(self.first_seen) < rule.resolve_after_ns
    }
}

/// Takes the lines of one step; answers how many belong to scopes over the limit.
pub(super) fn observe(
    rule: &Pattern,
    scopes: &mut BTreeMap<Labels, Scope>,
    at: i64,
    observation: &Observation<'_>,
) -> usize {
    let mut refused = 0;
    for line in observation.lines {
        let own = line.labels.iter().filter(|(key, _)| rule.scope.contains(key));
        let labels: Labels = own.map(|(key, value)| (key.clone(), value.clone())).collect();
        if !scopes.contains_key(&labels) && scopes.len() >= SCOPES_PER_RULE_MAX {
            refused += 1;
            continue;
        }
        if scopes.get(&labels).is_some_and(|scope| scope.version != VERSION) {
            scopes.remove(&labels);
        }
        let scope = scopes.entry(labels.clone()).or_insert_with(|| Scope {
            version: VERSION,
            miner: Miner::with_patterns_max(PATTERNS_PER_SCOPE_MAX),
            since: line.at,
            swept_at: line.at,
            entries: BTreeMap::new(),
            told: VecDeque::new(),
        });
        scope.add(rule, &labels, line, observation.deploys);
    }
    for scope in scopes.values_mut() {
        scope.sweep(rule, at);
    }
    refused
}

impl Scope {
    fn add(&mut self, rule: &Pattern, labels: &Labels, line: &PatternLine, deploys: &[Deploy]) {
        let at = line.at;
        let before = self.miner.len();
        let id = match &rule.field {
            // A value is what it is: only its own text is the same. So is the identity of a trace.
            Some(_) => self.miner.learn_exact(&line.text).id,
            None if line.is_trace => self.miner.learn_exact(&line.text).id,
            None => self.miner.learn(&line.text).id,
        };
        if self.miner.len() < before {
            self.follow_merges();
        }
        if marks::of(&rule.marks, &self.miner, labels, id).is_some_and(|mark| mark.word == Word::Ignore) {
            self.entries.remove(&id);
            return;
        }
        if let Some(entry) = self.entries.get_mut(&id) {
            return entry.add(at);
        }
        let is_new = at.saturating_sub(self.since) >= rule.learn_ns;
        let mut entry = Entry {
            first_seen: at,
            last_seen: at,
            count: 0,
            minutes: VecDeque::new(),
            is_new,
            in_digest: false,
            deploy: None,
            lineage: Lineage::default(),
        };
        entry.add(at);
        if is_new {
            entry.in_digest = !self.is_within_limit(rule, at);
            let first_seen = |other| self.entries.get(&other).map(|entry| entry.first_seen);
            entry.lineage = Lineage::of(&self.miner, id, first_seen);
            entry.deploy = rule.after_deploy_ns.and_then(|within| deployed(deploys, labels, at, within));
        }
        self.entries.insert(id, entry);
    }

    /// Whether one more new pattern may be an alert of its own.
    fn is_within_limit(&mut self, rule: &Pattern, at: i64) -> bool {
        let Some(limit) = rule.limit else { return true };
        while self.told.front().is_some_and(|told| at.saturating_sub(*told) >= limit.per_ns) {
            self.told.pop_front();
        }
        let within = self.told.len() < limit.per_scope;
        if within {
            self.told.push_back(at);
        }
        within
    }

    /// Patterns that were found to be one are one here as well; it is as old as the oldest of them.
    fn follow_merges(&mut self) {
        let gone: Vec<PatternId> = self.entries.keys().copied().filter(|id| self.miner.resolve(*id) != *id).collect();
        for id in gone {
            let into = self.miner.resolve(id);
            let Some(old) = self.entries.remove(&id) else { continue };
            match self.entries.get_mut(&into) {
                Some(entry) => {
                    entry.is_new &= old.is_new;
                    match entry.is_new {
                        true => entry.lineage.absorb(old.lineage),
                        false => entry.lineage = Lineage::default(),
                    }
                    entry.first_seen = entry.first_seen.min(old.first_seen);
                    entry.last_seen = entry.last_seen.max(old.last_seen);
                    entry.count += old.count;
                    for (minute, count) in old.minutes {
                        match entry.minutes.iter_mut().find(|(known, _)| *known == minute) {
                            Some((_, sum)) => *sum += count,
                            None => entry.minutes.push_back((minute, count)),
                        }
                    }
                }
                None => drop(self.entries.insert(into, old)),
            }
        }
    }

    fn sweep(&mut self, rule: &Pattern, at: i64) {
        if at.saturating_sub(self.swept_at) < SWEEP_EVERY_NS {
            return;
        }
        self.swept_at = at;
        let old = |entry: &Entry| at.saturating_sub(entry.last_seen) > rule.forget_after_ns;
        let gone: Vec<PatternId> = self.entries.iter().filter(|(_, entry)| old(entry)).map(|(id, _)| *id).collect();
        for id in gone {
            self.entries.remove(&id);
            self.miner.forget(id);
        }
        // What the miner forgot for want of room is forgotten here as well.
        let miner = &self.miner;
        self.entries.retain(|id, _| miner.knows(*id));
    }
}

fn deployed(deploys: &[Deploy], labels: &Labels, at: i64, within_ns: i64) -> Option<String> {
    let concerns = |deploy: &&Deploy| {
        let age = at.saturating_sub(deploy.at);
        (0..=within_ns).contains(&age)
            && deploy.labels.iter().all(|(key, value)| labels.get(key).is_none_or(|own| own == value))
    };
    deploys.iter().filter(concerns).max_by_key(|deploy| deploy.at).map(|deploy| deploy.name.clone())
}

/// The instances that are new at this time, with what is known of each.
pub(super) fn open(rule: &Pattern, scopes: &BTreeMap<Labels, Scope>, at: i64) -> BTreeMap<Labels, Novelty> {
    let mut all: BTreeMap<Labels, Novelty> = BTreeMap::new();
    for (labels, scope) in scopes {
        for (id, entry) in scope.entries.iter().filter(|(_, entry)| entry.is_open(rule, at)) {
            let mark = marks::of(&rule.marks, &scope.miner, labels, *id);
            if mark.is_some_and(|mark| mark.word != Word::Ticket) {
                continue;
            }
            let name = if entry.in_digest { DIGEST.to_owned() } else { id.to_string() };
            let mut own = labels.clone();
            own.insert(PATTERN_LABEL.to_owned(), name);
            let found = all.entry(own).or_default();
            found.count_10m += entry.count_since(at.saturating_sub(10 * MINUTE_NS));
            found.count_1h += entry.count_since(at.saturating_sub(60 * MINUTE_NS));
            found.patterns += 1.0;
            found.first_seen = Some(found.first_seen.map_or(entry.first_seen, |first| first.min(entry.first_seen)));
            found.lineage = found.lineage.take().or_else(|| entry.lineage.text());
            found.deploy = found.deploy.take().or_else(|| entry.deploy.clone());
            found.ticket = found.ticket.take().or_else(|| mark?.ticket.clone());
            let template = scope.miner.template(*id).unwrap_or_default();
            if found.template.is_empty() {
                found.template = template;
            }
        }
    }
    for (labels, found) in &mut all {
        if labels.get(PATTERN_LABEL).is_some_and(|name| name == DIGEST) {
            found.template = format!("{} more new patterns, first: {}", found.patterns, found.template);
        }
    }
    all
}

/// Why a pattern is not new any more, by the labels of its instance.
pub(super) fn over(rule: &Pattern, scopes: &BTreeMap<Labels, Scope>, labels: &Labels) -> Option<String> {
    let mut own = labels.clone();
    let id = PatternId::parse(&own.remove(PATTERN_LABEL)?)?;
    let scope = scopes.get(&own)?;
    let now = scope.miner.resolve(id);
    if let Some(mark) = marks::of(&rule.marks, &scope.miner, &own, now).filter(|mark| mark.word != Word::Ticket) {
        return Some(format!("its pattern was marked: {}", mark.word.as_str()));
    }
    let entry = scope.entries.get(&now)?;
    let (first, template) = (time_text(entry.first_seen), clipped(&scope.miner.template(now)?));
    Some(match now == id {
        true if entry.is_new => format!("its pattern is not new any more: first seen {first}"),
        true => format!("its pattern is one with others that are not new: '{template}', first seen {first}"),
        false => format!("its pattern is a part of {now} now: '{template}', first seen {first}"),
    })
}

//! Which rules are of no use, or a burden: never fired, match nothing, name a field that no line has, always fire,
//! flap, end by themselves within minutes, are never acknowledged.
//!
//! Closed episodes are dropped after a week; what they say about their rule is kept by day for [`DAYS_KEPT`] days.

use std::collections::{BTreeMap, BTreeSet};

use logweir_proto::query::ast::{Filter, Query, Test};
use logweir_proto::query::parse::parse;
use logweir_rules::model::{Kind, LineTime, Rule, RuleSet, Severity};
use logweir_rules::names;
use logweir_rules::signal::{PATTERN_LABEL, quote_field};
use logweir_runtime::clock::rfc3339;
use serde::Serialize;

use crate::evaluate::about;
use crate::notify::canary;
use crate::notify::text::span_text;
use crate::source::QuerySource;
use crate::state::Episode;
use crate::state::records::{Day, RuleHistory};
use crate::state::store::{EPISODES, HISTORY, StoreError, Tx, View};

const DAY_NS: i64 = 86_400 * 1_000_000_000;
/// A rule that did not fire for so long never fires.
pub const NEVER_NS: i64 = 30 * DAY_NS;
/// An alert that is open for so long tells nobody anything.
pub const ALWAYS_NS: i64 = 7 * DAY_NS;
/// An alert that is over so soon needed nobody.
pub const SHORT_NS: i64 = 300 * 1_000_000_000;
/// Alerts that are needed to judge by.
pub const FIRED_MIN: u32 = 3;
/// Alerts that somebody could have acknowledged.
pub const ACKED_OF_MIN: u32 = 5;
/// Lines are looked for in this span before now.
pub const LOOK_BACK_NS: i64 = 7 * DAY_NS;
/// Questions to the store of one report.
pub const QUERIES_MAX: usize = 500;
/// Days of which a rule's alerts are counted.
pub const DAYS_KEPT: i64 = 35;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    NeverFired,
    MatchesNothing,
    NoSuchField,
    AlwaysFiring,
    Flaps,
    ResolvesQuickly,
    NeverAcked,
}

/// What is wrong with a rule, and how that shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub kind: Trouble,
    pub detail: String,
}

/// One rule of the report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    pub rule: String,
    pub group: String,
    pub file: String,
    pub owner: Option<String>,
    /// Alerts of the last 30 days.
    pub fired: u32,
    pub last_fired: Option<String>,
    pub watched_since: Option<String>,
    pub findings: Vec<Finding>,
}

/// What is known of the alerts of one rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Past {
    pub since_wall: Option<i64>,
    pub last_fired_wall: Option<i64>,
    pub count: Day,
    /// Since when an alert is open.
    pub open_since: Option<i64>,
}

/// Adds up what the store knows of every rule.
pub fn pasts(view: &View, now_wall: i64) -> Result<BTreeMap<String, Past>, StoreError> {
    let mut all: BTreeMap<String, Past> = BTreeMap::new();
    let oldest = now_wall.saturating_sub(NEVER_NS);
    for (rule, history) in view.scan(HISTORY, "")? {
        let past = all.entry(rule).or_default();
        past.since_wall = Some(history.since_wall);
        past.last_fired_wall = history.last_fired_wall;
        for day in history.days.iter().filter(|day| day.day.saturating_mul(DAY_NS) >= oldest) {
            past.count.add(day);
        }
    }
    for (_, episode) in view.scan(EPISODES, "")? {
        let past = all.entry(episode.rule.clone()).or_default();
        past.last_fired_wall = past.last_fired_wall.max(Some(episode.opened_at));
        if episode.opened_at >= oldest || episode.is_firing() {
            past.count.add(&day_of(&episode));
        }
        if episode.is_firing() {
            past.open_since = Some(past.open_since.map_or(episode.opened_at, |since| since.min(episode.opened_at)));
        }
    }
    Ok(all)
}

/// What one episode counts.
fn day_of(episode: &Episode) -> Day {
    let lasted = episode.closed_at.map(|closed| closed.saturating_sub(episode.opened_at));
    Day {
        day: episode.opened_at.div_euclid(DAY_NS),
        fired: 1,
        short: u32::from(lasted.is_some_and(|lasted| lasted < SHORT_NS)),
        closed: u32::from(lasted.is_some()),
        flapped: u32::from(episode.extra.flapping.is_some()),
        urgent: u32::from(episode.peak >= Severity::Warning),
        acked: u32::from(episode.extra.ack.is_some()),
    }
}

/// Keeps what an episode says about its rule, before it is dropped.
pub fn remember(tx: &Tx, episode: &Episode, now_wall: i64) -> Result<(), StoreError> {
    let mut history = tx.get(HISTORY, &episode.rule)?.unwrap_or_else(|| RuleHistory::new(episode.opened_at));
    history.last_fired_wall = history.last_fired_wall.max(Some(episode.opened_at));
    let new = day_of(episode);
    match history.days.iter_mut().find(|day| day.day == new.day) {
        Some(day) => day.add(&new),
        None => history.days.push(new),
    }
    let oldest = now_wall.div_euclid(DAY_NS).saturating_sub(DAYS_KEPT);
    history.days.retain(|day| day.day >= oldest);
    tx.put(HISTORY, &episode.rule, &history)
}

/// Notes since when each rule is in force, and forgets those that are not and say nothing any more.
pub fn note_rules(tx: &Tx, rules: &RuleSet, now_wall: i64) -> Result<(), StoreError> {
    for (_, rule) in rules.rules() {
        if tx.get(HISTORY, &rule.name)?.is_none() {
            tx.put(HISTORY, &rule.name, &RuleHistory::new(now_wall))?;
        }
    }
    for (name, history) in tx.scan(HISTORY, "")? {
        if history.days.is_empty() && rules.rule(&name).is_none() {
            tx.delete(HISTORY, &name)?;
        }
    }
    Ok(())
}

/// What its alerts say about a rule.
pub fn judge(past: &Past, now_wall: i64) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |kind: Trouble, detail: String| findings.push(Finding { kind, detail });
    let quiet_since = past.last_fired_wall.or(past.since_wall);
    if let Some(since) = quiet_since.filter(|since| now_wall.saturating_sub(*since) >= NEVER_NS) {
        let what =
            if past.last_fired_wall.is_some() { "it last fired" } else { "it never fired; it is in force since" };
        found(Trouble::NeverFired, format!("{what} {}", rfc3339(since)));
    }
    if let Some(since) = past.open_since.filter(|since| now_wall.saturating_sub(*since) >= ALWAYS_NS) {
        found(Trouble::AlwaysFiring, format!("an alert is open for {}", span_text(now_wall.saturating_sub(since))));
    }
    let Day { fired, short, closed, flapped, urgent, acked, .. } = past.count;
    if flapped > 0 {
        found(Trouble::Flaps, format!("{flapped} of {fired} alerts came and went"));
    }
    if closed >= FIRED_MIN && short.saturating_mul(2) > closed {
        found(Trouble::ResolvesQuickly, format!("{short} of {closed} alerts were over within 5 minutes"));
    }
    if urgent >= ACKED_OF_MIN && acked == 0 {
        found(Trouble::NeverAcked, format!("nobody acknowledged any of {urgent} alerts"));
    }
    findings
}

/// Asks the store whether the lines of rules are there; the same question is asked once.
pub struct Prober<'a> {
    source: &'a dyn QuerySource,
    now_wall: i64,
    known: BTreeMap<(LineTime, String), bool>,
}

impl<'a> Prober<'a> {
    pub fn new(source: &'a dyn QuerySource, now_wall: i64) -> Prober<'a> {
        Prober { source, now_wall, known: BTreeMap::new() }
    }

    /// Whether any line of the last week is found. `None`: there were too many questions, or there is no answer.
    async fn any(&mut self, time: LineTime, query: &str) -> Option<bool> {
        let key = (time, query.to_owned());
        if let Some(known) = self.known.get(&key) {
            return Some(*known);
        }
        if self.known.len() >= QUERIES_MAX {
            return None;
        }
        let from_ns = self.now_wall.saturating_sub(LOOK_BACK_NS);
        let text =
            if time == LineTime::Ingest && query.trim() != "*" { format!("({query})") } else { query.to_owned() };
        let answer = about(self.source, time, &text, (from_ns, self.now_wall), 1).await.ok()?;
        let any = !answer.rows.is_empty();
        if !any && !answer.complete {
            return None;
        }
        self.known.insert(key, any);
        Some(any)
    }

    /// What the lines say about a rule.
    pub async fn probe(&mut self, rule: &Rule) -> Vec<Finding> {
        let mut findings: Vec<Finding> = Vec::new();
        let mut found = |kind: Trouble, detail: String| {
            let finding = Finding { kind, detail };
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        };
        for (filter, fields) in asked(rule) {
            let filter = names::resolve(&filter);
            let matches = self.any(rule.time, &filter).await;
            if matches == Some(false) {
                found(Trouble::MatchesNothing, format!("no line of the last 7 days matches {filter}"));
            }
            let own = parse(&filter).map(|query| filter_fields(&query)).unwrap_or_default();
            // The fields of a filter that finds something are there.
            let own = own.into_iter().filter(|_| matches == Some(false));
            for field in own.chain(fields).collect::<BTreeSet<String>>() {
                if self.any(rule.time, &format!("{}:*", quote_field(&field))).await == Some(false) {
                    found(Trouble::NoSuchField, format!("no line of the last 7 days has the field '{field}'"));
                }
            }
        }
        findings
    }
}

/// The filters of a rule, each with the fields that it reads besides.
fn asked(rule: &Rule) -> Vec<(String, Vec<String>)> {
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for (_, query) in rule.queries() {
        let by = query.by.iter().filter(|label| *label != PATTERN_LABEL);
        let read = by.chain(&query.field);
        all.push((query.filter.clone(), read.map(|name| names::stored(name).unwrap_or(name).to_owned()).collect()));
    }
    if let Kind::Pattern(pattern) = &rule.kind {
        all.push((pattern.filter.clone(), pattern.scope.iter().chain(&pattern.field).cloned().collect()));
    }
    all
}

/// The fields that a filter names.
fn filter_fields(query: &Query) -> Vec<String> {
    fn walk(filter: &Filter, out: &mut Vec<String>) {
        match filter {
            Filter::All | Filter::Text(_) => {}
            Filter::And(parts) | Filter::Or(parts) => parts.iter().for_each(|part| walk(part, out)),
            // That a field is not there is what such a filter may want.
            Filter::Not(_) => {}
            Filter::Field { field, test } => {
                out.push(field.name.clone());
                if let Test::In(inner) = test {
                    walk(&inner.filter, out);
                }
            }
        }
    }
    let mut out = Vec::new();
    walk(&query.filter, &mut out);
    out
}

/// The report over all rules in force, those with findings only when `all` is not set.
pub async fn report(
    rules: &RuleSet,
    pasts: &BTreeMap<String, Past>,
    source: &dyn QuerySource,
    now_wall: i64,
) -> Vec<Judged> {
    let mut prober = Prober::new(source, now_wall);
    let mut judged = Vec::new();
    // What tests alerting itself comes and goes for ever.
    for (group, rule) in rules.rules().filter(|(_, rule)| &*rule.file != canary::FILE) {
        let past = pasts.get(&rule.name).cloned().unwrap_or_default();
        let mut findings = prober.probe(rule).await;
        findings.extend(judge(&past, now_wall));
        judged.push(Judged {
            rule: rule.name.clone(),
            group: group.name.clone(),
            file: format!("{}:{}", rule.file, rule.at.line),
            owner: rule.owner.clone(),
            fired: past.count.fired,
            last_fired: past.last_fired_wall.map(rfc3339),
            watched_since: past.since_wall.map(rfc3339),
            findings,
        });
    }
    judged
}

#[cfg(test)]
mod tests;

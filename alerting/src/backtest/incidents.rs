//! Incidents that somebody wrote down, and which rules would have caught them.
//!
//! ```yaml
//! incidents:
//!   - {name: db-down, from: '2026-11-01T10:00:00Z', to: '2026-11-01T10:30:00Z'}
//!   - {name: slow pay, from: '2026-11-03T08:00:00Z', to: '2026-11-03T09:00:00Z', rules: [PayLatency], labels: {service: pay}}
//! ```
//! An episode catches an incident when it fires at some time between its beginning and its end, is of one of its `rules`
//! if it names any, and has its `labels`. An episode that catches none is outside of all.

use std::collections::{BTreeMap, BTreeSet};

use logweir_proto::yaml::{self, Fields, Node, Problem, Problems};
use logweir_rules::evaluate::Change;
use logweir_rules::model::{Labels, RuleSet};
use serde::{Deserialize, Serialize};

use crate::state::history::TransitionLine;

/// Incidents of one file.
pub const INCIDENTS_MAX: usize = 1_000;

/// What somebody knows to have happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    pub name: String,
    /// Nanoseconds since the epoch.
    pub from: i64,
    pub to: i64,
    /// The rules that should catch it; empty: any.
    pub rules: Vec<String>,
    /// Labels of the alerts that are about it.
    pub labels: Labels,
}

/// How a backtest stands to the incidents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// In the order of the file; those that do not reach into the period are left out.
    pub incidents: Vec<Caught>,
    pub rules: BTreeMap<String, Score>,
    /// Incidents of the file that lie outside the period.
    pub beyond: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caught {
    pub name: String,
    /// The rules that fired, and how long after the beginning; before it when negative. Nothing: missed.
    pub by: BTreeMap<String, i64>,
}

/// One rule against all incidents that are its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    pub caught: usize,
    /// Incidents that name it, and in which it did not fire.
    pub missed: usize,
    /// Episodes that catch nothing.
    pub outside: usize,
}

/// Reads a file of incidents.
///
/// # Errors
/// Every mistake, with its place.
pub fn read(name: &str, text: &str) -> Result<Vec<Incident>, Vec<Problem>> {
    let mut problems = Problems::new(name, text);
    let mut all = Vec::new();
    if let Some(root) = yaml::parse(text, &mut problems)
        && let Some(mut fields) = Fields::new(&root, "the file", &mut problems)
    {
        if let Some(list) = fields.require("incidents", &mut problems) {
            let nodes = problems.list(list, "incidents");
            all.extend(nodes.iter().filter_map(|node| incident(node, &mut problems)));
            if all.len() > INCIDENTS_MAX {
                problems.add(list.at, format!("more than {INCIDENTS_MAX} incidents"));
            }
        }
        fields.finish(&mut problems);
    }
    if problems.is_empty() { Ok(all) } else { Err(problems.into_sorted()) }
}

fn incident(node: &Node, problems: &mut Problems) -> Option<Incident> {
    let mut fields = Fields::new(node, "an incident", problems)?;
    let name = fields.require("name", problems).and_then(|n| problems.text(n, "name"));
    let from = fields.require("from", problems).and_then(|n| time(n, "from", problems));
    let to = fields.require("to", problems).and_then(|n| time(n, "to", problems));
    let rules = fields.strings("rules", problems).unwrap_or_default();
    let labels = fields.texts("labels", problems).into_iter().map(|(key, text, _)| (key, text)).collect();
    fields.finish(problems);
    let (name, from, to) = (name?, from?, to?);
    if to < from {
        problems.add(node.at, "the incident ends before it begins");
        return None;
    }
    Some(Incident { name, from, to, rules, labels })
}

fn time(node: &Node, what: &str, problems: &mut Problems) -> Option<i64> {
    let text = problems.text(node, what)?;
    let time = text.parse::<jiff::Timestamp>().ok().and_then(|time| i64::try_from(time.as_nanosecond()).ok());
    if time.is_none() {
        problems.add(node.at, format!("{what} is a time such as 2026-11-20T09:00:00Z"));
    }
    time
}

/// A firing, from its beginning to its end.
struct Fired<'a> {
    rule: &'a str,
    labels: Labels,
    from: i64,
    to: i64,
}

impl Fired<'_> {
    fn catches(&self, incident: &Incident) -> bool {
        let named = incident.rules.is_empty() || incident.rules.iter().any(|rule| rule == self.rule);
        let about = incident.labels.iter().all(|(key, value)| self.labels.get(key) == Some(value));
        named && about && self.from <= incident.to && incident.from <= self.to
    }
}

/// Judges the log of a replay of `[from, to]`.
pub fn judge(
    lines: &[(String, TransitionLine)],
    set: &RuleSet,
    incidents: &[Incident],
    (from, to): (i64, i64),
) -> Judged {
    let fired = firings(lines, set);
    let within: Vec<&Incident> = incidents.iter().filter(|one| one.from <= to && from <= one.to).collect();
    let mut judged = Judged { beyond: incidents.len() - within.len(), ..Judged::default() };
    judged.rules.extend(set.rules().map(|(_, rule)| (rule.name.clone(), Score::default())));
    for incident in &within {
        let mut by: BTreeMap<String, i64> = BTreeMap::new();
        for one in fired.iter().filter(|one| one.catches(incident)) {
            let after = one.from.saturating_sub(incident.from);
            by.entry(one.rule.to_owned()).and_modify(|first| *first = after.min(*first)).or_insert(after);
        }
        for rule in by.keys() {
            judged.rules.entry(rule.clone()).or_default().caught += 1;
        }
        for rule in incident.rules.iter().collect::<BTreeSet<_>>() {
            if !by.contains_key(rule) {
                judged.rules.entry(rule.clone()).or_default().missed += 1;
            }
        }
        judged.incidents.push(Caught { name: incident.name.clone(), by });
    }
    for one in fired.iter().filter(|one| !within.iter().any(|incident| one.catches(incident))) {
        judged.rules.entry(one.rule.to_owned()).or_default().outside += 1;
    }
    judged
}

fn firings<'a>(lines: &'a [(String, TransitionLine)], set: &RuleSet) -> Vec<Fired<'a>> {
    let mut fired: Vec<Fired<'a>> = Vec::new();
    // Which of them goes on, by rule and instance.
    let mut open: BTreeMap<(&str, &Labels), usize> = BTreeMap::new();
    for (_, line) in lines {
        let key = (line.rule.as_str(), &line.labels);
        match line.change {
            Change::Fired => {
                let mut labels = set.rule(&line.rule).map(|(_, rule)| rule.labels.clone()).unwrap_or_default();
                labels.extend(line.labels.clone());
                open.insert(key, fired.len());
                fired.push(Fired { rule: &line.rule, labels, from: line.at, to: i64::MAX });
            }
            Change::Resolved => {
                if let Some(one) = open.remove(&key).and_then(|index| fired.get_mut(index)) {
                    one.to = line.at;
                }
            }
            _ => {}
        }
    }
    fired
}

#[cfg(test)]
mod tests;

//! What a backtest says.

use std::collections::BTreeMap;

use logweir_rules::model::{Group, Rule};
use serde::{Deserialize, Serialize};

use super::incidents::Judged;

/// Parts of the period in the little picture.
pub const SPARKS: usize = 30;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Nanoseconds since the epoch.
    pub from: i64,
    pub to: i64,
    pub rules: Vec<RuleReport>,
    /// What was not seen, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Messages by receiver, over all rules.
    pub receivers: BTreeMap<String, Told>,
    /// How it stands to the incidents that were given with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<Judged>,
}

/// Messages to a receiver, after grouping, inhibition and mutes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Something fires.
    pub pages: usize,
    /// Everything in it is over.
    pub resolves: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleReport {
    pub rule: String,
    pub group: String,
    pub episodes: usize,
    /// Episodes by the severity with which they fired.
    pub severities: BTreeMap<String, usize>,
    /// Still firing at the end.
    pub firing: usize,
    /// Episodes of less than five minutes.
    pub flaps: usize,
    pub firing_ns: i64,
    pub median_ns: i64,
    pub longest_ns: i64,
    /// Messages by receiver in which it fires.
    pub pages: BTreeMap<String, usize>,
    pub suggestion: Option<Suggestion>,
    /// Lines behind it, in [`SPARKS`] equal parts of the period.
    pub lines: Vec<u64>,
}

/// The lowest limit that stays within the wanted number of episodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Suggestion {
    pub signal: String,
    pub limit: f64,
    pub suggested: f64,
    pub episodes: usize,
}

impl RuleReport {
    pub(super) fn new(rule: &Rule, group: &Group) -> RuleReport {
        RuleReport { rule: rule.name.clone(), group: group.name.clone(), ..RuleReport::default() }
    }
}

pub(super) fn median(values: &mut [i64]) -> i64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

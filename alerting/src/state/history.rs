//! What rules did, as a log: every change of every instance, in the order of event time.
//!
//! Table `transitions`: the key is the event time as 20 digits, NUL, the group, NUL, six digits that count the changes of
//! the step; the value is one [`TransitionLine`] as JSON. A backtest of the same time makes the same bytes.

use logweir_rules::condition::Values;
use logweir_rules::evaluate::{Change, Texts, Transition};
use logweir_rules::model::{Labels, Severity};
use serde::{Deserialize, Serialize};

/// The log goes back this far.
pub const HISTORY_KEEP_NS: i64 = 35 * 86_400 * 1_000_000_000;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransitionLine {
    /// Event time.
    pub at: i64,
    pub rule: String,
    pub labels: Labels,
    pub change: Change,
    pub severity: Severity,
    pub reason: String,
    pub values: Values,
    pub texts: Texts,
    /// When the instance began to fire.
    pub fired_at: Option<i64>,
    /// Found so much later, from lines that came late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_ns: Option<i64>,
}

impl TransitionLine {
    pub fn new(rule: &str, transition: &Transition) -> TransitionLine {
        TransitionLine {
            at: transition.at,
            rule: rule.to_owned(),
            labels: transition.labels.clone(),
            change: transition.change,
            severity: transition.severity,
            reason: transition.reason.to_string(),
            values: transition.values.clone(),
            texts: transition.texts.clone(),
            fired_at: transition.fired_at,
            late_ns: None,
        }
    }
}

/// Where a line stands.
pub fn key(at: i64, group: &str, index: usize) -> String {
    format!("{at:020}\0{group}\0{index:06}")
}

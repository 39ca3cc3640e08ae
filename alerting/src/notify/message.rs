//! A message, made at the moment of sending from what is true then.

use logweir_rules::model::{Labels, Severity};
use logweir_runtime::clock::rfc3339;

use super::template::show_number;
use crate::state::{Episode, OutboxRow};

/// A message that left later than this after it was due says so.
const LATE_NS: i64 = 60_000_000_000;

/// Everything that a channel needs to write it.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The same over all attempts: the receiver can tell a repetition by it.
    pub id: String,
    pub receiver: String,
    pub group_key: String,
    pub group_labels: Labels,
    /// Firing ones first, the worst first.
    pub alerts: Vec<Episode>,
    pub external_url: String,
    /// Set when it left much later than it was due.
    pub late_ns: Option<i64>,
}

impl Message {
    pub fn new(row: &OutboxRow, mut alerts: Vec<Episode>, external_url: &str, now_wall: i64) -> Message {
        alerts.sort_by_key(|e| (!e.is_firing(), std::cmp::Reverse(e.severity), e.opened_at, e.id.clone()));
        let late_ns = now_wall.saturating_sub(row.created_wall);
        Message {
            id: row.id.clone(),
            receiver: row.receiver.clone(),
            group_key: row.group_key.clone(),
            group_labels: row.group_labels.clone(),
            alerts,
            external_url: external_url.to_owned(),
            late_ns: (late_ns > LATE_NS).then_some(late_ns),
        }
    }

    pub fn firing(&self) -> impl Iterator<Item = &Episode> {
        self.alerts.iter().filter(|alert| alert.is_firing())
    }

    pub fn is_firing(&self) -> bool {
        self.firing().next().is_some()
    }

    pub fn severity(&self) -> Severity {
        let all = || self.alerts.iter().map(|alert| alert.severity).max();
        self.firing().map(|alert| alert.severity).max().or_else(all).unwrap_or(Severity::Info)
    }
}

/// `timeouts = 27, ratio = 0.12`
pub fn values_text(alert: &Episode) -> String {
    let parts: Vec<String> =
        alert.values.iter().map(|(name, value)| format!("{name} = {}", show_number(*value))).collect();
    parts.join(", ")
}

/// Since when, as RFC 3339 to the second.
pub fn time_text(ns: i64) -> String {
    let text = rfc3339(ns);
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

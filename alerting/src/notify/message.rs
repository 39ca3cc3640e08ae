//! A message, made at the moment of sending from what is true then.

use logweir_rules::model::{Labels, Severity};
use logweir_runtime::clock::rfc3339;

use super::links::Signer;
use super::outbox::Job;
use super::template::show_number;
use crate::state::records::ThreadRef;
use crate::state::{Episode, RowKind};

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
    pub kind: RowKind,
    /// The same for all messages of one life of a group.
    pub thread: String,
    /// Where the first message of the thread is.
    pub place: Option<ThreadRef>,
    /// An earlier attempt may have arrived.
    pub doubtful: bool,
    pub links: Links,
    /// The labels by which digests count.
    pub digest_by: Vec<String>,
    pub repeat_ns: i64,
    pub now_wall: i64,
}

/// Where people go from a message. Empty: there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// The lines, over a fixed time.
    pub lines: String,
    pub ack: String,
    pub silence: String,
    pub why: String,
    /// A picture that a chat program can fetch.
    pub chart: String,
    pub runbook: String,
    /// What acknowledging acts on: `e:` an episode, `g:` a group.
    pub target: String,
}

impl Links {
    /// With names, for people.
    pub fn shown(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("Acknowledge", self.ack.as_str()),
            ("Silence for 1 h", &self.silence),
            ("Why", &self.why),
            ("Runbook", &self.runbook),
        ];
        all.into_iter().filter(|(_, url)| !url.is_empty())
    }
}

impl Message {
    pub fn new(job: &Job, signer: &Signer, digest_by: &[String], now_wall: i64) -> Message {
        let row = &job.row;
        let mut alerts = job.episodes.clone();
        alerts.sort_by_key(|e| (!e.is_firing(), std::cmp::Reverse(e.severity), e.opened_at, e.id.clone()));
        let late_ns = now_wall.saturating_sub(row.created_wall);
        let links = signer.links(row, &alerts, now_wall);
        Message {
            id: row.id.clone(),
            receiver: row.receiver.clone(),
            group_key: row.group_key.clone(),
            group_labels: row.group_labels.clone(),
            alerts,
            external_url: signer.base_url.clone(),
            late_ns: (late_ns > LATE_NS).then_some(late_ns),
            kind: row.kind,
            thread: row.thread.clone(),
            place: job.place.clone(),
            doubtful: job.doubtful,
            links,
            digest_by: digest_by.to_vec(),
            repeat_ns: row.repeat_ns,
            now_wall,
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

    /// Who has everything in hand that fires.
    pub fn all_acked(&self) -> Option<&str> {
        let mut by = None;
        for alert in self.firing() {
            by = Some(alert.acked(self.now_wall)?.by.as_str());
        }
        by
    }

    /// The points of the first alert that has enough of them for a picture.
    pub fn chart(&self) -> Option<&Episode> {
        self.alerts.iter().find(|alert| alert.extra.points.len() >= super::chart::POINTS_MIN)
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

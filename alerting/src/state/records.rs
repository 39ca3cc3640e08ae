//! The records of the store, as JSON. All times are nanoseconds since the epoch: `_at` of events, `_wall` of clocks.

use std::collections::BTreeMap;

use logweir_rules::condition::Values;
use logweir_rules::model::{Labels, Severity};
use serde::{Deserialize, Serialize};

/// The life of one alert from firing to resolved. Its id exists before any message about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// A ULID made of the time at which it fired and a hash of its identity: evaluated twice, it is the same.
    pub id: String,
    pub rule: String,
    pub group: String,
    /// `file:line` of the rule.
    pub rule_at: String,
    /// All labels but the severity.
    pub labels: Labels,
    /// The labels that tell it from the other instances of its rule.
    pub instance: Labels,
    pub severity: Severity,
    pub peak: Severity,
    pub opened_at: i64,
    pub closed_at: Option<i64>,
    pub closed_wall: Option<i64>,
    /// Why it fired, and why it ended.
    pub reason: String,
    pub close_reason: Option<String>,
    pub values: Values,
    /// The values with which it fired.
    pub first_values: Values,
    pub summary: String,
    pub annotations: BTreeMap<String, String>,
    /// The filter that shows its lines.
    pub query: String,
    pub link: String,
    pub samples: Vec<Sample>,
    /// Notification groups that it is in.
    pub groups: Vec<String>,
    /// What came to it after it fired.
    #[serde(default)]
    pub extra: Extra,
}

/// What is known of an episode besides its rule: acknowledgement, history, surroundings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Extra {
    pub ack: Option<Ack>,
    /// Set when it comes and goes: how often it changed lately.
    pub flapping: Option<String>,
    /// Step of its rule, by which flapping is judged.
    pub every_ns: i64,
    /// The signal that the points are of.
    pub signal: String,
    /// Event time and value, oldest first, at most [`POINTS_MAX`]: what the chart shows.
    pub points: Vec<(i64, f64)>,
    /// The number that the signal is held against.
    pub threshold: Option<f64>,
    /// The most frequent values of some fields, with their counts.
    pub top: BTreeMap<String, Vec<(String, u64)>>,
    /// A deploy shortly before.
    pub deploy: Option<String>,
    /// The commit of the rule files when it fired.
    pub commit: Option<String>,
    /// Found so much later, from lines that came late.
    pub late_ns: Option<i64>,
    /// Time intervals of the routing file in which the rule tells nobody.
    pub mute: Vec<String>,
}

/// Points of one episode that are kept.
pub const POINTS_MAX: usize = 240;

impl Extra {
    /// Adds a point; of too many every second old one goes, so that the shape stays.
    pub fn push_point(&mut self, at: i64, value: f64) {
        if self.points.last().is_some_and(|(last, _)| *last >= at) {
            return;
        }
        self.points.push((at, value));
        if self.points.len() > POINTS_MAX {
            let mut keep = false;
            self.points.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }
}

/// Somebody has it in hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    pub by: String,
    pub wall: i64,
    pub comment: String,
    /// It covers this severity and lower ones: what gets worse is told again.
    pub severity: Severity,
    /// From then on it is repeated again; `None`: it holds to the end.
    #[serde(default)]
    pub until_wall: Option<i64>,
}

/// Nobody is told of alerts with these labels for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    pub id: String,
    /// As they were written: `host=~"web-.*"`.
    pub matchers: Vec<String>,
    pub starts_wall: i64,
    pub ends_wall: i64,
    pub author: String,
    pub comment: String,
    pub created_wall: i64,
}

impl Silence {
    /// `pending`, `active` or `expired`
    pub const fn state(&self, now_wall: i64) -> &'static str {
        match (self.starts_wall <= now_wall, now_wall < self.ends_wall) {
            (_, false) => "expired",
            (true, true) => "active",
            (false, true) => "pending",
        }
    }
}

/// What became of the alerts of a rule, after they are dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleHistory {
    /// Since when the rule is known.
    pub since_wall: i64,
    pub last_fired_wall: Option<i64>,
    pub days: Vec<Day>,
}

impl RuleHistory {
    pub const fn new(since_wall: i64) -> RuleHistory {
        RuleHistory { since_wall, last_fired_wall: None, days: Vec::new() }
    }
}

/// Alerts that fired on one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// Days since the epoch.
    pub day: i64,
    pub fired: u32,
    pub closed: u32,
    /// Of the closed ones, those that were over within minutes.
    pub short: u32,
    pub flapped: u32,
    /// At least a warning.
    pub urgent: u32,
    pub acked: u32,
}

impl Day {
    pub const fn add(&mut self, other: &Day) {
        self.fired = self.fired.saturating_add(other.fired);
        self.closed = self.closed.saturating_add(other.closed);
        self.short = self.short.saturating_add(other.short);
        self.flapped = self.flapped.saturating_add(other.flapped);
        self.urgent = self.urgent.saturating_add(other.urgent);
        self.acked = self.acked.saturating_add(other.acked);
    }
}

/// Why a receiver was not told of an episode, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// `silenced`, `inhibited`, `muted`, `flapping`, `acked`, `short`, `storm`
    pub kind: String,
    pub reason: String,
    pub since_wall: i64,
    /// When it was told after all.
    pub ended_wall: Option<i64>,
}

/// How often an instance came and went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flap {
    /// Event times of its last changes.
    pub changes: Vec<i64>,
    pub window_ns: i64,
    pub flapping: bool,
    /// The receivers were told that it flaps.
    pub announced: bool,
}

/// Episodes opened lately, by second.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StormState {
    pub opened: Vec<(i64, u64)>,
    pub until_wall: i64,
}

/// What somebody has said about a pattern by the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkRecord {
    pub mark: logweir_rules::marks::Mark,
    pub by: String,
    pub wall: i64,
}

/// An agent that was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentMemory {
    /// Since when it speaks without a long break.
    pub since_wall: i64,
    pub heard_wall: i64,
}

/// When a channel was last known to work, and when its receiver was last tested.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quiet {
    pub worked_wall: i64,
    pub tested_wall: i64,
}

/// A heartbeat that somebody else sends to us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    pub last_wall: i64,
    /// The open `HeartbeatMissed` episode.
    pub episode: Option<String>,
}

/// Where a message went, to edit it or to write below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadRef {
    pub channel: String,
    pub ts: String,
}

impl Episode {
    pub fn is_firing(&self) -> bool {
        self.closed_at.is_none()
    }

    /// The acknowledgement, unless it got worse since or its time is over.
    pub fn acked(&self, now_wall: i64) -> Option<&Ack> {
        let holds = |ack: &&Ack| ack.severity >= self.severity && ack.until_wall.is_none_or(|until| now_wall < until);
        self.extra.ack.as_ref().filter(holds)
    }

    /// An episode of Logweir's own, as of a receiver that cannot be reached.
    pub fn built_in(id: String, name: &str, instance: Labels, severity: Severity, at: i64) -> Episode {
        let mut labels = instance.clone();
        labels.insert("alertname".to_owned(), name.to_owned());
        Episode {
            id,
            rule: name.to_owned(),
            group: "logweir".to_owned(),
            rule_at: "built in".to_owned(),
            labels,
            instance,
            severity,
            peak: severity,
            opened_at: at,
            closed_at: None,
            closed_wall: None,
            reason: String::new(),
            close_reason: None,
            values: Values::new(),
            first_values: Values::new(),
            summary: String::new(),
            annotations: BTreeMap::new(),
            query: String::new(),
            link: String::new(),
            samples: Vec::new(),
            groups: Vec::new(),
            extra: Extra::default(),
        }
    }
}

/// A line that belongs to an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    pub id: String,
    pub time: String,
    pub line: String,
}

/// Episodes that are told together to one receiver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NotifyGroup {
    pub key: String,
    pub receiver: String,
    /// Part of every message id: a group that ended and began again is another one.
    pub born_wall: i64,
    /// The labels that its episodes share because they are grouped by them.
    pub labels: Labels,
    pub wait_ns: i64,
    pub interval_ns: i64,
    pub repeat_ns: i64,
    pub members: BTreeMap<String, Member>,
    pub next_flush_wall: Option<i64>,
    pub last_flush_wall: Option<i64>,
    /// Messages made so far.
    pub seq: u64,
    /// The route that made it, by its place in the tree; empty for groups that no route made.
    #[serde(default)]
    pub route: String,
    #[serde(default)]
    pub first_flush_wall: Option<i64>,
    /// Everything that is due is suppressed: looked at again then.
    #[serde(default)]
    pub held_until_wall: Option<i64>,
    /// Steps of the escalation that were taken.
    #[serde(default)]
    pub escalated: u32,
    #[serde(default)]
    pub kind: RowKind,
}

impl NotifyGroup {
    pub fn new(key: String, receiver: &str, labels: Labels, now_wall: i64) -> NotifyGroup {
        NotifyGroup {
            key,
            receiver: receiver.to_owned(),
            born_wall: now_wall,
            labels,
            wait_ns: 0,
            interval_ns: 300 * 1_000_000_000,
            repeat_ns: 4 * 3600 * 1_000_000_000,
            members: BTreeMap::new(),
            next_flush_wall: None,
            last_flush_wall: None,
            seq: 0,
            route: String::new(),
            first_flush_wall: None,
            held_until_wall: None,
            escalated: 0,
            kind: RowKind::Alert,
        }
    }

    /// One life of the group, over all its messages: the name of its thread.
    pub fn thread(&self) -> String {
        format!("{}-{}", self.key, self.born_wall)
    }
}

/// What a message is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowKind {
    #[default]
    Alert,
    /// Collected until its time, also what is over by then.
    Digest,
    /// So many alerts at once that one message counts them.
    Storm,
    /// Nobody acknowledged.
    Escalation,
    /// Another receiver could not be told in time.
    Fallback,
    /// Somebody acknowledged: channels that show it are told.
    Ack,
    /// An operator tries a receiver.
    Test,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub firing: bool,
    /// Something about it is not in any message yet.
    pub dirty: bool,
    /// It was in a message.
    pub told: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowState {
    Queued,
    /// Under way; after a crash nobody knows whether it arrived.
    Sending,
    Sent,
    /// Given up; the last attempt says why.
    Dead,
    /// A newer message of the same group says more.
    Superseded,
    /// Fired and resolved before anything could be sent.
    Dropped,
}

impl RowState {
    pub const fn as_str(self) -> &'static str {
        match self {
            RowState::Queued => "queued",
            RowState::Sending => "sending",
            RowState::Sent => "sent",
            RowState::Dead => "dead",
            RowState::Superseded => "superseded",
            RowState::Dropped => "dropped",
        }
    }
}

/// One intended message to one channel. Its id stays the same over all attempts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutboxRow {
    pub id: String,
    pub receiver: String,
    /// `webhook[0]`, `slack[1]`: which channel of the receiver.
    pub integration: String,
    pub group_key: String,
    pub group_labels: Labels,
    pub episodes: Vec<String>,
    pub severity: Severity,
    pub state: RowState,
    pub created_wall: i64,
    pub next_try_wall: i64,
    pub finished_wall: Option<i64>,
    pub attempts: u32,
    /// The last [`ATTEMPTS_KEPT`].
    pub recent: Vec<Attempt>,
    pub note: Option<String>,
    #[serde(default)]
    pub kind: RowKind,
    /// The same for all messages of one life of a group.
    #[serde(default)]
    pub thread: String,
    /// Since when the channel is owed a message of this group: replaced rows hand it on.
    #[serde(default)]
    pub owed_since_wall: i64,
    /// The fallback receiver was told.
    #[serde(default)]
    pub fell_back: bool,
    /// The episodes that fired in its last attempt.
    #[serde(default)]
    pub firing: Vec<String>,
    #[serde(default)]
    pub repeat_ns: i64,
}

/// Attempts of a message that stay readable.
pub const ATTEMPTS_KEPT: usize = 10;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub wall: i64,
    pub outcome: String,
    /// It may have arrived.
    #[serde(default)]
    pub in_doubt: bool,
}

/// What a rule remembers besides its instances.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleMemory {
    pub by: Vec<String>,
    pub seeded: bool,
}

/// What a channel was told of an episode: a resolve is sent only if the firing was, or may have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    Sent,
    /// An attempt was made whose end is not known.
    InDoubt,
}

/// The episode of a receiver that cannot be reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub failing_since_wall: Option<i64>,
    /// The open `DeliveryFailing` episode.
    pub episode: Option<String>,
    pub last_error: Option<String>,
}

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
}

impl Episode {
    pub fn is_firing(&self) -> bool {
        self.closed_at.is_none()
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
}

/// Attempts of a message that stay readable.
pub const ATTEMPTS_KEPT: usize = 10;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub wall: i64,
    pub outcome: String,
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

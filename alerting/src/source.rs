//! What alerting asks of the log store.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use logweir_proto::api::Row;

/// Rows of one answer.
///
/// A row that a pipe made has the columns of the pipe. A row that is an event has `id`, `time` (RFC 3339) and `raw`,
/// or `message` when the raw line is not at hand.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    pub rows: Vec<Row>,
    /// `false` when a part of the time range is missing; a rule is not decided on such an answer.
    pub complete: bool,
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The store cannot answer yet or for now: starting, overloaded, unreachable.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// This query has no answer, however often it is asked.
    #[error("{0}")]
    Failed(String),
}

/// How far the lines of a host are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostMark {
    pub host: String,
    /// When its agent was last heard.
    pub heard_wall: i64,
    /// Everything of its sources up to this time is searchable; `None`: it has none that are read.
    pub watermark_ns: Option<i64>,
    /// Only agents that end by themselves were heard there: nobody waits for them, and nobody misses them.
    pub passing: bool,
}

/// Lines that became searchable together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Later ones have greater numbers; the first is 1.
    pub number: u64,
    pub wall: i64,
    /// The event times between which they lie, both included.
    pub oldest_ns: i64,
    pub newest_ns: i64,
    /// Between which times they were received, both included.
    pub received: (i64, i64),
}

/// What is known of the agent of a host besides its lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentHealth {
    pub host: String,
    /// Its clock minus ours, when it last spoke.
    pub skew_ns: i64,
    pub ahead: Option<Ahead>,
}

/// A line whose own time lies further ahead of its arrival than any clock may be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    pub path: String,
    /// When the newest of them came.
    pub wall: i64,
    pub by_ns: i64,
}

/// How well the server is that takes the lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// The host of the server.
    pub host: String,
    pub agents: Vec<AgentHealth>,
    /// What is to be said of its disk, when there is little room or none.
    pub disk: Option<LowDisk>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LowDisk {
    /// Lines are refused.
    pub full: bool,
    pub reason: String,
}

/// A source that is shared.
#[derive(Clone)]
pub struct Shared(pub Arc<dyn QuerySource>);

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a source of lines")
    }
}

pub trait QuerySource: Send + Sync + 'static {
    /// The hosts whose agents are known.
    fn hosts(&self) -> Vec<HostMark> {
        Vec::new()
    }

    /// Somebody waits for the watermarks of idle sources: they should come this often. `None`: as they come.
    fn want_marks(&self, _every_ns: Option<i64>) {}

    /// The time of the oldest event.
    fn oldest_ns(&self) -> Option<i64> {
        None
    }

    /// Everything that was received before this time is searchable; `None`: nobody can say.
    fn searchable_upto_ns(&self) -> Option<i64> {
        None
    }

    /// There are lines whose receive time is not known, and all of them were received before this; `None`: there are none.
    fn received_since_ns(&self) -> Option<i64> {
        None
    }

    /// What became searchable within the last hour, in the order of arrival, after the one with this number.
    fn arrivals(&self, _after: u64) -> Vec<Arrival> {
        Vec::new()
    }

    /// Takes an event of Logweir's own, as lines are taken; it is durable when this answers.
    fn say(&self, _event: serde_json::Value) -> BoxFuture<'_, Result<(), QueryError>> {
        Box::pin(async { Err(QueryError::Unavailable("it takes no lines".to_owned())) })
    }

    /// How well the server is, and the agents of the hosts that it hears.
    fn health(&self) -> Health {
        Health::default()
    }

    /// Runs a query over the events of `[from_ns, to_ns)`; events come newest first, at most `limit` rows.
    fn query<'a>(
        &'a self,
        query: &'a str,
        from_ns: i64,
        to_ns: i64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Answer, QueryError>>;

    /// Runs many queries over the same events; the answers are in their order. A source that can looks at each event once.
    fn query_all<'a>(
        &'a self,
        queries: &'a [String],
        from_ns: i64,
        to_ns: i64,
        limit: usize,
    ) -> BoxFuture<'a, Vec<Result<Answer, QueryError>>> {
        Box::pin(async move {
            let mut answers = Vec::with_capacity(queries.len());
            for query in queries {
                answers.push(self.query(query, from_ns, to_ns, limit).await);
            }
            answers
        })
    }
}

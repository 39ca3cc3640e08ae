//! Shapes of the HTTP API: what the server answers and every client reads.

mod export;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::EventId;

pub use export::{Export, ExportFormat, ExportRequest, ExportState, Exports};

/// Why a request was refused. Each code maps to one status, here and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The query does not parse; `pos` and `len` say where.
    ParseError,
    /// A parameter is missing, of the wrong type or out of range.
    BadRequest,
    /// The body is not a batch, not JSON, or not what its encoding says.
    BadBody,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    /// The body did not arrive in time.
    BodyTimeout,
    TooLarge,
    /// A limit of the query: groups, memory, depth. The message names the limit.
    LimitExceeded,
    /// The answer was not complete in time and `partial=false` was asked.
    Timeout,
    RateLimited,
    /// The server cannot take data or queries now: overload, disk, a failed fsync.
    Unavailable,
    Internal,
}

impl ErrorCode {
    pub const fn status(self) -> u16 {
        match self {
            ErrorCode::ParseError | ErrorCode::BadRequest | ErrorCode::BadBody => 400,
            ErrorCode::Unauthorized => 401,
            ErrorCode::Forbidden => 403,
            ErrorCode::NotFound => 404,
            ErrorCode::MethodNotAllowed => 405,
            ErrorCode::BodyTimeout => 408,
            ErrorCode::TooLarge => 413,
            ErrorCode::LimitExceeded => 422,
            ErrorCode::RateLimited => 429,
            ErrorCode::Unavailable => 503,
            ErrorCode::Timeout => 504,
            ErrorCode::Internal => 500,
        }
    }
}

/// The body of every error: `{"error":{…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorDetail {
    pub code: ErrorCode,
    pub message: String,
    /// 1-based column in the query text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pos: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub len: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Of an answer that was to be complete and is not: the parts of time that it lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Box<[MissingRange]>>,
}

/// Answer to `POST /api/v1/batches`: sent only after the batch is durable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BatchAnswer {
    /// Records stored by this request.
    pub accepted: u64,
    /// Records that were stored before.
    pub duplicate: u64,
    /// Per source of the batch, the end of the stored range that its last chunk belongs to.
    pub offsets: BTreeMap<String, u64>,
    /// Sources of the batch's watermarks that the server does not know, after a restart of it: name them again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// Rules wait for the watermarks of idle sources: say them this often, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_ms: Option<u64>,
}

/// Answer to `POST /api/v1/ingest`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IngestAnswer {
    pub accepted: u64,
    pub rejected: u64,
    /// Stored by an earlier request with the same `Idempotency-Key`.
    #[serde(default)]
    pub duplicate: u64,
    /// The first [`INGEST_ERRORS_SHOWN`] of the rejected.
    pub errors: Vec<IngestError>,
}

pub const INGEST_ERRORS_SHOWN: usize = 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IngestError {
    /// 1-based line of the body, or index in the array.
    pub line: u64,
    pub reason: String,
}

/// `POST /api/v1/query`, and the parameters of `GET`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryRequest {
    #[serde(default)]
    pub query: String,
    /// RFC 3339, epoch (s, ms, µs or ns by magnitude), `now-1h`, `-1h` or `1h` (ago). Default: `now-1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// From the `end` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Comma-separated; `raw` asks for the line as it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<String>,
    /// `30s`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// `false`: an answer that is not complete is an error instead. Default: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<QueryFormat>,
}

/// What the answer to a query is made of. In all but `events` a body that is cut off is not complete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum QueryFormat {
    /// Typed lines: `meta`, `row`, `progress`, `end`.
    #[default]
    Events,
    /// Only the rows, one object a line.
    Rows,
    /// With a header.
    Csv,
    /// The lines as they were written; of tables the cells with tabs between them.
    Text,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    #[default]
    Desc,
    Asc,
}

/// One row: canonical or computed columns by name. Rows that are events have an `id`.
pub type Row = serde_json::Map<String, serde_json::Value>;

/// One line of a query's answer (`application/x-ndjson`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "t", rename_all = "lowercase")]
pub enum Frame {
    Meta {
        query_id: String,
        /// Names in the order to show; for events those of the rows come as they come.
        columns: Vec<String>,
        /// `true` when rows are events, `false` when a pipe made them.
        events: bool,
        warnings: Vec<Warning>,
    },
    Row {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<EventId>,
        #[serde(flatten)]
        row: Row,
    },
    Progress {
        splits_done: usize,
        splits_total: usize,
        bytes: u64,
        /// Every row between here and where the answer began was looked at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        covered_from: Option<String>,
    },
    End(End),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct End {
    pub complete: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Parts of the time range that the answer does not cover.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<MissingRange>,
    pub rows: usize,
    /// Those that were not in the first frame.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// Continues where this page ended; absent when there is no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    pub stats: Stats,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MissingRange {
    pub from: String,
    pub to: String,
    pub splits: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    pub ms: f64,
    pub splits_opened: usize,
    pub splits_pruned: usize,
    pub blocks_read: usize,
    pub rows_scanned: u64,
    /// Bytes read from splits.
    pub bytes: u64,
}

/// Something that the person should know though the answer is right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// `unknown_field`, `groups_truncated`, `outside_retention`
    pub warn: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub did_you_mean: Option<String>,
    /// 1-based column in the query text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pos: Option<usize>,
    pub message: String,
}

impl Warning {
    /// A warning about no one field.
    pub fn new(warn: &str, message: impl Into<String>) -> Warning {
        Warning { warn: warn.to_owned(), field: None, did_you_mean: None, pos: None, message: message.into() }
    }
}

/// The answer with `Accept: application/json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QueryAnswer {
    pub columns: Vec<String>,
    /// Rows are events; otherwise a pipe made them.
    #[serde(default)]
    pub events: bool,
    pub rows: Vec<Row>,
    pub warnings: Vec<Warning>,
    pub end: End,
}

/// `POST /api/v1/hits`: the histogram above the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HitsRequest {
    #[serde(default)]
    pub query: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Default 60, at most 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buckets: Option<usize>,
    /// Field to stack by. Default `level`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// `1d`: the same bars that much earlier too, as `previous`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HitsAnswer {
    /// Start of the first bucket, RFC 3339.
    pub from: String,
    pub to: String,
    pub width_ms: i64,
    pub total: u64,
    /// Per value of `by` (empty string: events without the field), one count a bucket.
    pub series: BTreeMap<String, Vec<u64>>,
    pub warnings: Vec<Warning>,
    pub complete: bool,
    /// Parts of the time that are not counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<MissingRange>,
    /// The histogram of `compare`; its bars are those of this one, moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Box<HitsAnswer>>,
}

/// `GET /api/v1/queries`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunningQueries {
    pub queries: Vec<RunningQuery>,
}

/// A search that runs or waits for a thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunningQuery {
    pub id: String,
    pub query: String,
    /// The id of the token, or `local`.
    pub who: String,
    /// RFC 3339.
    pub since: String,
    pub ms: f64,
}

/// `POST /api/v1/patterns`: what the messages have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PatternsRequest {
    #[serde(default)]
    pub query: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// `7d`: only patterns that no event before that has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_since: Option<String>,
    /// Default 50, at most 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Counts over time for each pattern. Default 0, at most 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buckets: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<bool>,
}

/// One entry of `GET /api/v1/sources`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceStatus {
    pub agent: String,
    pub host: String,
    pub source: String,
    pub kind: String,
    pub path: String,
    pub service: Option<String>,
    /// What reads its lines now: `postgresql`, `syslog, json`; `text` for lines of no format.
    #[serde(default)]
    pub parser: String,
    /// Lines since the start of the server, and how many of them were of a format.
    #[serde(default)]
    pub lines: u64,
    #[serde(default)]
    pub lines_read: u64,
    /// Stored byte ranges `[from, to)`; one when all is well.
    pub ranges: Vec<(u64, u64)>,
    /// RFC 3339 of the last batch that named it.
    pub last_seen: String,
    /// All of its lines up to this time are stored, as its agent says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covered_to: Option<String>,
    /// Bytes that stand in the files and the spool of its agent, all of its sources together, and are not stored yet.
    #[serde(default)]
    pub agent_lag_bytes: u64,
    /// Lines that its agent lost since it started, and those that it cut because they were too long.
    #[serde(default)]
    pub agent_dropped_lines: u64,
    #[serde(default)]
    pub agent_truncated_lines: u64,
    pub gaps: Vec<SourceGap>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceGap {
    pub start: u64,
    pub end: Option<u64>,
    pub reason: String,
}

/// `GET /health/live` and `/health/ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    pub ok: bool,
    /// Per part (`wal`, `store`, `alerting`, …), `ok` or what is wrong.
    pub parts: BTreeMap<String, String>,
    /// What is kept, by class; shown with the parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retention: Vec<RetentionStatus>,
}

/// What is kept of one retention class.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RetentionStatus {
    /// Its name; `default` for what no class matches.
    pub class: String,
    pub days: u64,
    pub splits: u64,
    /// Bytes on disk.
    pub bytes: u64,
    pub rows: u64,
    /// Time of the oldest row, RFC 3339; absent without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<String>,
}

/// One alert instance of `GET /api/v1/alerts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AlertView {
    /// The episode once it has fired, else the instance.
    pub id: String,
    pub rule: String,
    pub group: String,
    /// `pending`, `firing`, `recovering`
    pub state: String,
    pub severity: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub summary: String,
    /// RFC 3339.
    pub since: String,
    pub values: BTreeMap<String, f64>,
    /// Sample lines, newest first.
    pub samples: Vec<AlertSample>,
    pub query: String,
    pub link: String,
    pub resolved_at: Option<String>,
    /// Who has it in hand, unless it got worse since.
    #[serde(default)]
    pub acknowledged: Option<Acknowledged>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Acknowledged {
    pub by: String,
    /// RFC 3339.
    pub at: String,
    /// From then on it is repeated again; null: it holds until the alert ends.
    pub until: Option<String>,
    pub comment: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlertSample {
    pub id: String,
    pub time: String,
    pub line: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_documented_shape() {
        let mut row = Row::new();
        row.insert("message".into(), "hi".into());
        let frame = Frame::Row { id: Some(EventId { time_ns: 0, seq: 1 }), row };
        expect_test::expect![[r#"{"t":"row","id":"40000000000000000000000001","message":"hi"}"#]]
            .assert_eq(&serde_json::to_string(&frame).expect("a frame is JSON"));
    }

    #[test]
    fn overload_is_never_500() {
        for code in [ErrorCode::RateLimited, ErrorCode::Unavailable, ErrorCode::LimitExceeded, ErrorCode::TooLarge] {
            assert_ne!(code.status(), 500, "{code:?}");
        }
    }
}

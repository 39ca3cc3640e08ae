//! The search engine over [`Segment`](crate::store::segment::Segment)s: parse → plan → run → rows.
//!
//! Everything here is synchronous and runs on the CPU pool: [`execute::run`] answers a query, [`hits`] draws its
//! histogram, [`context`] finds the neighbours of an event, [`fields`] lists what there is, and [`live`] matches
//! fresh blocks for the tail. Nothing here knows whether a segment is a split or the head.

pub mod aggregate;
pub mod cell;
pub mod context;
pub mod counted;
pub mod crew;
pub mod execute;
pub mod facets;
pub mod fields;
pub mod filter;
pub mod hits;
pub mod literal;
pub mod live;
pub mod mask;
pub mod order;
pub mod patterns;
pub mod pipes;
pub mod plan;
pub mod rows;
pub mod scan;
pub mod steps;
pub mod table;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod together;

use logweir_proto::api::ErrorCode;

/// A query that cannot be answered, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the pattern {pattern:?} is no regular expression: {reason}")]
    Regex { pattern: String, reason: String },
    #[error("{what} cannot be used here")]
    Unsupported { what: &'static str },
    #[error(
        "'{pipe}' looks at more than one event, which a live tail cannot; behind stats, count, timechart, top, rare, facets or patterns sort, head and dedup work on the table of a window"
    )]
    InTail { pipe: String },
    #[error("{what} is limited to {limit}; narrow the query")]
    Limit { what: &'static str, limit: u64 },
    #[error("a query in in(…) must yield one column, for example in(level:error | fields trace_id)")]
    SubqueryColumns,
    #[error("{what} needs {needs} before it")]
    Misplaced { what: &'static str, needs: &'static str },
    #[error("the query in {what} was not answered completely: {reason}")]
    Partial { what: &'static str, reason: &'static str },
    #[error("{text:?} is no width: write a duration for time (5m) or a positive number")]
    Width { text: String },
}

impl Error {
    pub const fn code(&self) -> ErrorCode {
        match self {
            Error::Regex { .. }
            | Error::Unsupported { .. }
            | Error::InTail { .. }
            | Error::Misplaced { .. }
            | Error::SubqueryColumns
            | Error::Width { .. } => ErrorCode::BadRequest,
            Error::Limit { .. } => ErrorCode::LimitExceeded,
            Error::Partial { .. } => ErrorCode::Timeout,
        }
    }
}

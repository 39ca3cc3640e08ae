//! The syntax tree of a query, with the place in the text that each part came from.

mod expr;
mod pipe;

use std::net::IpAddr;

pub use expr::{ArithOp, Expr, ExprFunc, Relation};
pub use pipe::{Agg, AggFunc, Extractor, Group, Pipe, PipeKind, SortKey};

/// Byte range `[start, end)` in the query text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub filter: Filter,
    /// `since:15m` in the text; it wins over the range of the request.
    pub since: Option<TimeExpr>,
    /// `until:…`
    pub until: Option<TimeExpr>,
    pub pipes: Vec<Pipe>,
}

/// A field by its name. Two are equal when their names are, wherever they stand.
#[derive(Debug, Clone)]
pub struct Field {
    pub name: String,
    pub span: Span,
}

impl PartialEq for Field {
    fn eq(&self, other: &Field) -> bool {
        self.name == other.name
    }
}

/// What a row must be to be found.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// `*`, or no filter at all.
    All,
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    /// A bare word, phrase, glob or `~"regex"`: searched in `message` and `exception.stack`.
    Text(Pattern),
    Field {
        field: Field,
        test: Test,
    },
}

/// A pattern over text, always case-insensitive except for regular expressions.
#[derive(Debug, Clone, PartialEq)]
pub enum Pattern {
    /// One or more words that follow each other: `timeout`, `"connection reset"`, `10:15:30`.
    Phrase(String),
    /// `fail*`, `te?t`, `*frag*`: `*` is any run of characters, `?` is one, over a whole word; a pattern that begins
    /// and ends with `*` is a substring of the whole text. A backslash takes the character after it literally.
    Glob(String),
    /// `~"…"`: linear time, unanchored, case-sensitive unless it says `(?i)`.
    Regex(String),
}

/// A value as written.
#[derive(Debug, Clone)]
pub struct Literal {
    pub text: String,
    /// Written in quotes or with a backslash: then it is never a number, a level, a glob or a CIDR.
    pub quoted: bool,
    pub span: Span,
}

impl PartialEq for Literal {
    fn eq(&self, other: &Literal) -> bool {
        self.text == other.text && self.quoted == other.quoted
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CmpOp {
    Lt,
    Le,
    Gt,
    Ge,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    Open,
    Inclusive(Literal),
    Exclusive(Literal),
}

/// What is asked of one field.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// `field:value`: a word or phrase in text, the same value for numbers, levels and other keywords.
    Match(Literal),
    /// `field=value`; `field!=value` is `Not` of it.
    Exact(Literal),
    /// `field>=value`, also `field:>=value`.
    Cmp(CmpOp, Literal),
    /// `field:*`
    Exists,
    /// `field:[a TO b]`, `field:{a TO b}`
    Range { low: Bound, high: Bound },
    /// `field:(a OR b)`, `field:(a, b)`
    AnyOf(Vec<Literal>),
    /// `field:fail*`: over the whole value, case-insensitive; a backslash takes the character after it literally.
    Glob(String),
    /// `field=~"…"`; `field!~"…"` is `Not` of it.
    Regex(String),
    /// `client_ip:10.0.0.0/8`
    Cidr { net: IpAddr, prefix: u8 },
    /// `status:5xx`: `class` 5 is 500 to 599.
    StatusClass(u8),
    /// `trace_id:in(… | fields trace_id)`
    In(Box<Query>),
}

/// A point in time as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeExpr {
    /// Nanoseconds before now: `15m`, `-15m`, `now-15m`.
    Ago(i64),
    /// Nanoseconds since the epoch.
    At(i64),
    /// `now-1h/d`: nanoseconds before now, then back to the beginning of the unit in UTC.
    AgoFloor(i64, TimeUnit),
}

impl TimeExpr {
    pub const fn resolve(self, now_ns: i64) -> i64 {
        match self {
            TimeExpr::Ago(ns) => now_ns.saturating_sub(ns),
            TimeExpr::At(ns) => ns,
            TimeExpr::AgoFloor(ns, unit) => unit.floor(now_ns.saturating_sub(ns)),
        }
    }
}

/// What `/d` of `now/d` rounds down to. Weeks begin on Monday.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
}

impl TimeUnit {
    pub const ALL: [TimeUnit; 5] = [TimeUnit::Second, TimeUnit::Minute, TimeUnit::Hour, TimeUnit::Day, TimeUnit::Week];

    pub const fn as_str(self) -> &'static str {
        match self {
            TimeUnit::Second => "s",
            TimeUnit::Minute => "m",
            TimeUnit::Hour => "h",
            TimeUnit::Day => "d",
            TimeUnit::Week => "w",
        }
    }

    const fn len_ns(self) -> i64 {
        match self {
            TimeUnit::Second => 1_000_000_000,
            TimeUnit::Minute => 60_000_000_000,
            TimeUnit::Hour => 3_600_000_000_000,
            TimeUnit::Day => 86_400_000_000_000,
            TimeUnit::Week => 604_800_000_000_000,
        }
    }

    /// The beginning of the unit that `ns` lies in.
    pub const fn floor(self, ns: i64) -> i64 {
        // The epoch was a Thursday: its week had begun three days before.
        const MONDAY_NS: i64 = -3 * 86_400_000_000_000;
        let origin = if matches!(self, TimeUnit::Week) { MONDAY_NS } else { 0 };
        let into = ns.saturating_sub(origin).rem_euclid(self.len_ns());
        ns.saturating_sub(into)
    }
}

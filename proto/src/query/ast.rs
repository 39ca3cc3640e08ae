//! The syntax tree of a query, with the place in the text that each part came from.

use std::net::IpAddr;

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

/// Two pipes are equal when they do the same, wherever they stand.
#[derive(Debug, Clone)]
pub struct Pipe {
    pub kind: PipeKind,
    pub span: Span,
}

impl PartialEq for Pipe {
    fn eq(&self, other: &Pipe) -> bool {
        self.kind == other.kind
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum PipeKind {
    /// `stats count, p95(duration_ms) as p by route`; `count by route` is the same with one `count`.
    Stats {
        aggs: Vec<Agg>,
        by: Vec<Group>,
    },
    /// `timechart 1m count by level`; without a width the range is cut into about sixty.
    Timechart {
        width_ns: Option<i64>,
        aggs: Vec<Agg>,
        by: Option<Field>,
    },
    /// `top 10 path`, `rare 10 path`, each with an optional `by`.
    Top {
        limit: usize,
        fields: Vec<Field>,
        by: Vec<Field>,
        rare: bool,
    },
    Sort(Vec<SortKey>),
    Head(usize),
    /// The last n rows of what comes in.
    Tail(usize),
    Fields {
        fields: Vec<Field>,
        exclude: bool,
    },
    Where(Filter),
}

#[derive(Debug, Clone, PartialEq)]
pub struct SortKey {
    pub field: Field,
    pub descending: bool,
}

#[derive(Debug, Clone)]
pub struct Agg {
    pub func: AggFunc,
    /// `as name`; else the column is named by [`Agg::column`].
    pub alias: Option<String>,
    pub span: Span,
}

impl PartialEq for Agg {
    fn eq(&self, other: &Agg) -> bool {
        self.func == other.func && self.alias == other.alias
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum AggFunc {
    /// `count`, `count(level>=error)`
    Count(Option<Box<Filter>>),
    Distinct(Field),
    Sum(Field),
    Avg(Field),
    Min(Field),
    Max(Field),
    /// `p50 p90 p95 p99 pct(field, q)`: `q` in percent.
    Percentile(Field, f64),
    First(Field),
    Last(Field),
    Values(Field),
    /// Events a second over the range of the query, or over the bucket in `timechart`.
    Rate,
    Stddev(Field),
}

impl Agg {
    /// The name of its column: the alias, else what was written without spaces (`p95(duration_ms)`, `count`).
    pub fn column(&self) -> String {
        if let Some(alias) = &self.alias {
            return alias.clone();
        }
        match &self.func {
            AggFunc::Count(_) => "count".to_owned(),
            AggFunc::Rate => "rate".to_owned(),
            AggFunc::Distinct(f) => format!("dc({})", f.name),
            AggFunc::Sum(f) => format!("sum({})", f.name),
            AggFunc::Avg(f) => format!("avg({})", f.name),
            AggFunc::Min(f) => format!("min({})", f.name),
            AggFunc::Max(f) => format!("max({})", f.name),
            AggFunc::Percentile(f, q) => format!("p{q}({})", f.name),
            AggFunc::First(f) => format!("first({})", f.name),
            AggFunc::Last(f) => format!("last({})", f.name),
            AggFunc::Values(f) => format!("values({})", f.name),
            AggFunc::Stddev(f) => format!("stddev({})", f.name),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Group {
    Field(Field),
    /// `bin(duration_ms, 100)`, `bin(time, 5m)`
    Bin {
        field: Field,
        width: Literal,
    },
}

impl Group {
    pub fn column(&self) -> &str {
        match self {
            Group::Field(field) | Group::Bin { field, .. } => &field.name,
        }
    }
}

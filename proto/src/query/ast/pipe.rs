//! What stands behind a `|`.

use super::{Expr, Field, Filter, Literal, Query, Span};

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
    /// `rename a as b, c as d`
    Rename(Vec<(Field, Field)>),
    /// `dedup 2 user_id`: of rows with the same values, the first `rows`.
    Dedup {
        rows: usize,
        fields: Vec<Field>,
    },
    /// `parse "took <ms:num>ms"`, `rex "(?P<ms>[0-9]+)ms"`, `json`, `logfmt`: fields out of the text of another.
    Extract {
        extractor: Extractor,
        /// `message` when nobody says.
        from: Option<Field>,
    },
    /// `eval pct = 100 * errors / count, slow = if(ms > 100, "yes", "no")`
    Eval(Vec<(Field, Expr)>),
    /// `sample 10%`, `sample 0.1`: the same share of the same events each time.
    Sample(f64),
    /// `patterns`, `patterns new 7d 20`: what the messages have in common.
    Patterns {
        /// Only those first seen within this time.
        new_ns: Option<i64>,
        limit: usize,
    },
    /// `facets 10`: the commonest values of every field.
    Facets(usize),
    /// `context 5`, `context before 5 after 20 by service, host`: the neighbours of every row.
    Context {
        before: usize,
        after: usize,
        by: Vec<Field>,
    },
    /// `trace`, `trace by request_id`: all rows that share the trace id of one of the rows.
    Trace(Vec<Field>),
    /// `compare 1d`: the same columns that much earlier, and the difference.
    Compare {
        shift_ns: i64,
    },
    /// `join left on user_id (service:auth | fields user_id, plan)`
    Join {
        left: bool,
        on: Vec<Field>,
        query: Box<Query>,
    },
    /// `explain`: the plan instead of the answer.
    Explain,
}

/// How fields are found in a text.
#[derive(Debug, Clone, PartialEq)]
pub enum Extractor {
    /// Literal text with `<name>`, `<name:num>`, `<name:word>` and `<_>` in it.
    Pattern(String),
    /// A regular expression with named groups.
    Regex(String),
    Json,
    Logfmt,
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

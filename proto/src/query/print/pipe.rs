//! Pipes and what they are made of.

use std::fmt::{self, Display, Formatter};

use super::{clause, join};
use crate::query::ast::{Agg, AggFunc, Extractor, Field, Filter, Group, Pattern, Pipe, PipeKind, SortKey};
use crate::query::parse::lex;
use crate::query::value::format_duration_ns;

impl Display for Pipe {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            PipeKind::Stats { aggs, by } => {
                f.write_str("stats ")?;
                join(f, aggs, ", ", |agg, f| write!(f, "{agg}"))?;
                clause(f, " by ", by)
            }
            PipeKind::Timechart { width_ns, aggs, by } => {
                f.write_str("timechart ")?;
                if let Some(width) = width_ns {
                    write!(f, "{} ", format_duration_ns(*width))?;
                }
                join(f, aggs, ", ", |agg, f| write!(f, "{agg}"))?;
                clause(f, " by ", by.as_slice())
            }
            PipeKind::Top { limit, fields, by, rare } => {
                write!(f, "{} {limit}", if *rare { "rare" } else { "top" })?;
                clause(f, " ", fields)?;
                clause(f, " by ", by)
            }
            PipeKind::Sort(keys) => {
                f.write_str("sort")?;
                clause(f, " ", keys)
            }
            PipeKind::Head(rows) => write!(f, "head {rows}"),
            PipeKind::Tail(rows) => write!(f, "tail {rows}"),
            PipeKind::Fields { fields, exclude } => {
                f.write_str("fields")?;
                clause(f, if *exclude { " -" } else { " " }, fields)
            }
            PipeKind::Where(filter) => write!(f, "where {filter}"),
            kind => further(kind, f),
        }
    }
}

fn further(kind: &PipeKind, f: &mut Formatter<'_>) -> fmt::Result {
    match kind {
        PipeKind::Rename(pairs) => {
            f.write_str("rename ")?;
            join(f, pairs, ", ", |(from, to), f| write!(f, "{from} as {to}"))
        }
        PipeKind::Dedup { rows, fields } => {
            write!(f, "dedup {rows}")?;
            clause(f, " ", fields)
        }
        PipeKind::Extract { extractor, from } => {
            match extractor {
                Extractor::Pattern(text) => write!(f, "parse {}", lex::quote(text))?,
                Extractor::Regex(pattern) => write!(f, "rex {}", lex::quote_regex(pattern))?,
                Extractor::Json => f.write_str("json")?,
                Extractor::Logfmt => f.write_str("logfmt")?,
            }
            clause(f, " from ", from.as_slice())
        }
        PipeKind::Eval(assignments) => {
            f.write_str("eval ")?;
            join(f, assignments, ", ", |(field, expr), f| write!(f, "{field} = {expr}"))
        }
        PipeKind::Sample(rate) => write!(f, "sample {rate}"),
        PipeKind::Patterns { new_ns, limit } => {
            f.write_str("patterns ")?;
            if let Some(new) = new_ns {
                write!(f, "new {} ", format_duration_ns(*new))?;
            }
            write!(f, "{limit}")
        }
        PipeKind::Facets(limit) => write!(f, "facets {limit}"),
        PipeKind::Context { before, after, by } => {
            write!(f, "context before {before} after {after}")?;
            clause(f, " by ", by)
        }
        PipeKind::Trace(by) => {
            f.write_str("trace")?;
            clause(f, " by ", by)
        }
        PipeKind::Compare { shift_ns } => write!(f, "compare {}", format_duration_ns(*shift_ns)),
        PipeKind::Join { left, on, query } => {
            f.write_str(if *left { "join left on" } else { "join on" })?;
            clause(f, " ", on as &[Field])?;
            write!(f, " ({query})")
        }
        _ => f.write_str("explain"),
    }
}

impl Display for SortKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.descending { "-" } else { "" }, self.field)
    }
}

impl Display for Agg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.func {
            AggFunc::Count(None) => f.write_str("count")?,
            // A bare word in `count(…)` is refused as a field that was meant.
            AggFunc::Count(Some(filter)) => match &**filter {
                Filter::Text(Pattern::Phrase(text)) => write!(f, "count({})", lex::quote(text))?,
                filter => write!(f, "count({filter})")?,
            },
            AggFunc::Distinct(field) => write!(f, "dc({field})")?,
            AggFunc::Sum(field) => write!(f, "sum({field})")?,
            AggFunc::Avg(field) => write!(f, "avg({field})")?,
            AggFunc::Min(field) => write!(f, "min({field})")?,
            AggFunc::Max(field) => write!(f, "max({field})")?,
            AggFunc::Percentile(field, q) if (1.0..=99.0).contains(q) && q.fract() == 0.0 => {
                write!(f, "p{q}({field})")?
            }
            AggFunc::Percentile(field, q) => write!(f, "pct({field}, {q})")?,
            AggFunc::First(field) => write!(f, "first({field})")?,
            AggFunc::Last(field) => write!(f, "last({field})")?,
            AggFunc::Values(field) => write!(f, "values({field})")?,
            AggFunc::Rate => f.write_str("rate")?,
            AggFunc::Stddev(field) => write!(f, "stddev({field})")?,
        }
        match &self.alias {
            Some(alias) if lex::is_plain_field(alias) => write!(f, " as {alias}"),
            Some(alias) => write!(f, " as `{alias}`"),
            None => Ok(()),
        }
    }
}

impl Display for Group {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Group::Field(field) => write!(f, "{field}"),
            Group::Bin { field, width } => write!(f, "bin({field}, {width})"),
        }
    }
}

//! Aggregates and groups.
//!
//! ```text
//! agg   = fn "(" [ args ] ")" [ "as" field ] | "count" [ "as" field ]
//! fn    = count(filter?) dc sum avg min max p50 p90 p95 p99 pct(field,q) first last values rate stddev
//! by    = "by" group { "," group }
//! group = field | "bin(" field "," width ")"
//! ```

use nom::bytes::complete::tag;

use super::values::decimal;
use super::{Cursor, ParseError, Parsed, lex};
use crate::query::ast::{Agg, AggFunc, Field, Filter, Group, Pattern, Span};
use crate::text::{did_you_mean, visible};

pub(super) const FUNCTIONS: [&str; 16] = [
    "count", "dc", "sum", "avg", "min", "max", "p50", "p90", "p95", "p99", "pct", "first", "last", "values", "rate",
    "stddev",
];

/// What other languages call them.
const SYNONYMS: [(&str, &str); 16] = [
    ("average", "avg"),
    ("mean", "avg"),
    ("median", "p50"),
    ("count_distinct", "dc"),
    ("count_uniq", "dc"),
    ("distinct", "dc"),
    ("distinct_count", "dc"),
    ("dcount", "dc"),
    ("uniq", "dc"),
    ("unique", "dc"),
    ("earliest", "first"),
    ("latest", "last"),
    ("list", "values"),
    ("perc", "pct"),
    ("percentile", "pct"),
    ("quantile", "pct"),
];

impl Cursor<'_> {
    pub(super) fn aggs(&mut self) -> Parsed<Vec<Agg>> {
        let mut aggs = vec![self.agg()?];
        while self.take(tag(",")).is_some() {
            aggs.push(self.agg()?);
        }
        Ok(aggs)
    }

    pub(super) fn agg(&mut self) -> Parsed<Agg> {
        let Some((name, span)) = self.take(lex::ident) else {
            return Err(ParseError::new(self.here(), "expected a function").hint(functions()));
        };
        let func = self.agg_func(name, span)?;
        let span = Span { start: span.start, end: self.pos };
        let alias = match self.take(lex::keyword("AS")) {
            None => None,
            Some((_, sign)) => Some(self.required_field(sign)?.name),
        };
        Ok(Agg { func, alias, span })
    }

    /// The name of a column: a field, or an aggregate as written (`p95(duration_ms)`).
    pub(super) fn column(&mut self) -> Parsed<Option<Field>> {
        self.skip();
        let start = self.pos;
        let field = self.field()?;
        if self.peek() != Some('(') || self.slice(Span { start, end: self.pos }).starts_with('`') {
            return Ok(field);
        }
        let Some(Field { name, span }) = field else { return Ok(None) };
        let func = self.agg_func(&name, span)?;
        let span = Span { start, end: self.pos };
        let full = count_in_full(&func).filter(|name| self.counts_in_full.contains(name));
        let name = full.unwrap_or_else(|| Agg { func, alias: None, span }.column());
        Ok(Some(Field { name, span }))
    }

    fn agg_func(&mut self, name: &str, span: Span) -> Parsed<AggFunc> {
        let function = name.to_ascii_lowercase();
        if let Some(q) = percentile(&function) {
            return Ok(AggFunc::Percentile(self.argument(name, span)?, q));
        }
        let of_field: fn(Field) -> AggFunc = match function.as_str() {
            "count" => return self.count(),
            "rate" => return self.rate(),
            "pct" => return self.pct(name, span),
            "dc" => AggFunc::Distinct,
            "sum" => AggFunc::Sum,
            "avg" => AggFunc::Avg,
            "min" => AggFunc::Min,
            "max" => AggFunc::Max,
            "first" => AggFunc::First,
            "last" => AggFunc::Last,
            "values" => AggFunc::Values,
            "stddev" => AggFunc::Stddev,
            _ => return Err(unknown_function(name, span)),
        };
        Ok(of_field(self.argument(name, span)?))
    }

    /// `(field)`
    fn argument(&mut self, function: &str, span: Span) -> Parsed<Field> {
        let needs =
            || ParseError::new(span, format!("'{function}' needs (field)")).hint(format!("{function}(duration_ms)"));
        let (_, open) = self.take(tag("(")).ok_or_else(needs)?;
        let field = self.field()?.ok_or_else(needs)?;
        self.close(open)?;
        Ok(field)
    }

    /// `(field, q)`
    fn pct(&mut self, name: &str, span: Span) -> Parsed<AggFunc> {
        let needs = || ParseError::new(span, format!("'{name}' needs (field, percent)")).hint("pct(duration_ms, 99.9)");
        let (_, open) = self.take(tag("(")).ok_or_else(needs)?;
        let field = self.field()?.ok_or_else(needs)?;
        self.take(tag(",")).ok_or_else(needs)?;
        let (q, at) = self.take(decimal).ok_or_else(needs)?;
        if !(0.0..=100.0).contains(&q) {
            return Err(ParseError::new(at, "a percentile lies between 0 and 100"));
        }
        self.close(open)?;
        Ok(AggFunc::Percentile(field, q))
    }

    /// `count`, `count()`, `count(filter)`
    fn count(&mut self) -> Parsed<AggFunc> {
        let before = self.pos;
        let Some((_, open)) = self.take(tag("(")) else {
            self.pos = before;
            return Ok(AggFunc::Count(None));
        };
        // Columns are not sought inside: a filter that is tried as a column and then read again must not do so per level.
        let outer = std::mem::replace(&mut self.columns_allowed, false);
        let filter = self.nested(open, |cursor| cursor.filter());
        self.columns_allowed = outer;
        let filter = filter?;
        let inside = self.slice(Span { start: open.end, end: self.pos }).trim();
        self.close(open)?;
        if let Some(Filter::Text(Pattern::Phrase(word))) = &filter
            && word == inside
        {
            let span = Span { start: open.start, end: self.pos };
            let word = visible(word);
            return Err(ParseError::new(span, "count takes a filter, not a field")
                .hint(format!("count({word}:*) counts where the field is, count(\"{word}\") where the text is")));
        }
        Ok(AggFunc::Count(filter.filter(|filter| *filter != Filter::All).map(Box::new)))
    }

    fn rate(&mut self) -> Parsed<AggFunc> {
        let before = self.pos;
        if let Some((_, open)) = self.take(tag("(")) {
            self.close(open)?;
        } else {
            self.pos = before;
        }
        Ok(AggFunc::Rate)
    }

    /// `by a, bin(b, 100)`, or nothing.
    pub(super) fn by_groups(&mut self) -> Parsed<Vec<Group>> {
        let Some((_, mut sign)) = self.take(lex::keyword("BY")) else { return Ok(Vec::new()) };
        let mut groups = Vec::new();
        loop {
            let field = self.required_field(sign)?;
            groups.push(if field.name.eq_ignore_ascii_case("bin") && self.peek() == Some('(') {
                self.bin(field.span)?
            } else {
                Group::Field(field)
            });
            match self.take(tag(",")) {
                Some((_, comma)) => sign = comma,
                None => return Ok(groups),
            }
        }
    }

    /// `(field, width)` behind `bin`.
    fn bin(&mut self, span: Span) -> Parsed<Group> {
        let needs =
            || ParseError::new(span, "'bin' needs (field, width)").hint("bin(duration_ms, 100) or bin(time, 5m)");
        let (_, open) = self.take(tag("(")).ok_or_else(needs)?;
        let field = self.field()?.ok_or_else(needs)?;
        self.take(tag(",")).ok_or_else(needs)?;
        let width = self.value(&field)?;
        if !width.as_f64().is_some_and(|width| width > 0.0) {
            return Err(
                ParseError::new(width.span, "the width of a bin is a number above zero").hint("100, 0.5, 5m or 4KiB")
            );
        }
        self.close(open)?;
        Ok(Group::Bin { field, width })
    }

    /// Columns of one answer have different names: of several counts, those of a filter are called as it is written.
    pub(super) fn distinct_columns(&mut self, aggs: &mut [Agg], by: &[&str]) -> Parsed<()> {
        self.counts_in_full.clear();
        let is_count = |agg: &Agg| agg.column() == "count";
        if aggs.iter().filter(|agg| is_count(agg)).count() > 1 || by.contains(&"count") {
            for agg in aggs.iter_mut().filter(|agg| agg.alias.is_none()) {
                agg.alias = count_in_full(&agg.func);
                self.counts_in_full.extend(agg.alias.clone());
            }
        }
        let mut names: Vec<String> = by.iter().map(|&name| name.to_owned()).collect();
        for agg in aggs.iter() {
            let name = agg.column();
            if names.contains(&name) {
                return Err(ParseError::new(agg.span, format!("two columns are named '{}'", visible(&name)))
                    .hint("give one another name: … as name"));
            }
            names.push(name);
        }
        Ok(())
    }
}

/// `count(level>=error)`, for a count of a filter; a name with a backtick could not be written.
fn count_in_full(func: &AggFunc) -> Option<String> {
    match func {
        AggFunc::Count(Some(filter)) => Some(format!("count({filter})")).filter(|name| !name.contains('`')),
        _ => None,
    }
}

/// `p95`: 95. Whole percents have a name of their own.
fn percentile(function: &str) -> Option<f64> {
    let digits = function.strip_prefix('p')?;
    let percent: u8 = digits.parse().ok()?;
    ((1..=99).contains(&percent) && percent.to_string() == digits).then(|| f64::from(percent))
}

fn unknown_function(name: &str, span: Span) -> ParseError {
    let synonym = SYNONYMS.iter().find(|(word, _)| word.eq_ignore_ascii_case(name)).map(|(_, function)| *function);
    let hint = match synonym.or_else(|| did_you_mean(name, FUNCTIONS)) {
        Some(function) => format!("did you mean '{function}'?"),
        None => functions(),
    };
    ParseError::new(span, format!("unknown function '{name}'")).hint(hint)
}

/// Whether `stats` knows a function of this name.
pub(super) fn is_function(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    FUNCTIONS.contains(&name.as_str()) || percentile(&name).is_some()
}

fn functions() -> String {
    format!("functions are {}", FUNCTIONS.join(", "))
}

//! Prints a query back in canonical form: what is read from the print is the query that was printed.

mod expr;
mod pipe;

use std::fmt::{self, Display, Formatter, Write};

use super::ast::{Bound, CmpOp, Field, Filter, Literal, Pattern, Query, Test, TimeExpr};
use super::parse::lex;
use super::value::format_duration_ns;

impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let bounded = self.since.is_some() || self.until.is_some();
        let mut gap = "";
        if self.filter != Filter::All || !bounded {
            write!(f, "{}", self.filter)?;
            gap = " ";
        }
        if let Some(since) = self.since {
            write!(f, "{gap}since:{since}")?;
            gap = " ";
        }
        if let Some(until) = self.until {
            write!(f, "{gap}until:{until}")?;
        }
        for pipe in &self.pipes {
            write!(f, " | {pipe}")?;
        }
        Ok(())
    }
}

impl Display for Filter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Filter::All => f.write_char('*'),
            Filter::And(terms) => join(f, terms, " ", |term, f| {
                let group = matches!(term, Filter::And(_) | Filter::Or(_));
                if group { write!(f, "({term})") } else { write!(f, "{term}") }
            }),
            Filter::Or(branches) => join(f, branches, " OR ", |branch, f| {
                if matches!(branch, Filter::Or(_)) { write!(f, "({branch})") } else { write!(f, "{branch}") }
            }),
            Filter::Not(inner) => negated(inner, f),
            Filter::Text(pattern) => write!(f, "{pattern}"),
            Filter::Field { field, test } => tested(field, test, f),
        }
    }
}

fn negated(inner: &Filter, f: &mut Formatter<'_>) -> fmt::Result {
    match inner {
        Filter::Field { field, test: Test::Exact(value) } => write!(f, "{field}!={value}"),
        Filter::Field { field, test: Test::Regex(pattern) } => write!(f, "{field}!~{}", lex::quote_regex(pattern)),
        Filter::And(_) | Filter::Or(_) => write!(f, "NOT ({inner})"),
        Filter::All | Filter::Not(_) => write!(f, "NOT {inner}"),
        Filter::Text(_) | Filter::Field { .. } => write!(f, "-{inner}"),
    }
}

impl Display for Pattern {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Phrase(text) => {
                let plain = text.chars().all(|c| c.is_alphanumeric() || c == '_');
                if plain && (lex::is_plain_field(text) || text.starts_with(|c: char| c.is_ascii_digit())) {
                    f.write_str(text)
                } else {
                    f.write_str(&lex::quote(text))
                }
            }
            Pattern::Glob(glob) => escaped_glob(glob, f),
            Pattern::Regex(pattern) => write!(f, "~{}", lex::quote_regex(pattern)),
        }
    }
}

/// A wildcard pattern with a backslash before all that has a meaning of its own in a query.
fn escaped_glob(glob: &str, f: &mut Formatter<'_>) -> fmt::Result {
    let mut chars = glob.chars();
    let mut first = true;
    while let Some(c) = chars.next() {
        let plain = c.is_alphanumeric() || matches!(c, '_' | '.' | '/' | '*' | '?') || c == '-' && !first;
        if c == '\\' {
            f.write_char('\\')?;
            f.write_char(chars.next().unwrap_or('\\'))?;
        } else if plain {
            f.write_char(c)?;
        } else {
            write!(f, "\\{c}")?;
        }
        first = false;
    }
    Ok(())
}

fn tested(field: &Field, test: &Test, f: &mut Formatter<'_>) -> fmt::Result {
    match test {
        Test::Match(value) => write!(f, "{field}:{}{value}", gap_after_colon(&value.text)),
        Test::Exact(value) => write!(f, "{field}={value}"),
        Test::Cmp(op, value) => write!(f, "{field}{op}{value}"),
        Test::Exists => write!(f, "{field}:*"),
        Test::Range { low, high } => {
            let open = if matches!(low, Bound::Exclusive(_)) { '{' } else { '[' };
            let close = if matches!(high, Bound::Exclusive(_)) { '}' } else { ']' };
            write!(f, "{field}:{open}{low} TO {high}{close}")
        }
        Test::AnyOf(values) => {
            write!(f, "{field}:(")?;
            join(f, values, ", ", |value, f| write!(f, "{value}"))?;
            f.write_char(')')
        }
        Test::Glob(glob) => {
            write!(f, "{field}:{}", gap_after_colon(glob))?;
            escaped_glob(glob, f)
        }
        Test::Regex(pattern) => write!(f, "{field}=~{}", lex::quote_regex(pattern)),
        Test::Cidr { net, prefix } => {
            let net = net.to_string();
            write!(f, "{field}:{}{net}/{prefix}", gap_after_colon(&net))
        }
        Test::StatusClass(class) => write!(f, "{field}:{class}xx"),
        Test::In(query) => write!(f, "{field}:in({query})"),
    }
}

/// `::` and `://` would be parts of a word.
fn gap_after_colon(value: &str) -> &'static str {
    if value.starts_with(':') || value.starts_with("//") { " " } else { "" }
}

impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if lex::is_plain_field(&self.name) { f.write_str(&self.name) } else { write!(f, "`{}`", self.name) }
    }
}

impl Display for Literal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let word = !self.quoted && matches!(lex::word(&self.text), Ok(("", word)) if !word.escaped);
        if word { f.write_str(&self.text) } else { f.write_str(&lex::quote(&self.text)) }
    }
}

impl Display for CmpOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CmpOp::Lt => "<",
            CmpOp::Le => "<=",
            CmpOp::Gt => ">",
            CmpOp::Ge => ">=",
        })
    }
}

impl Display for Bound {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Bound::Open => f.write_char('*'),
            Bound::Inclusive(value) | Bound::Exclusive(value) => write!(f, "{value}"),
        }
    }
}

impl Display for TimeExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            TimeExpr::Ago(0) => f.write_str("now"),
            TimeExpr::Ago(ns) if ns > 0 => f.write_str(&format_duration_ns(ns)),
            TimeExpr::Ago(ns) => write!(f, "now+{}", format_duration_ns(ns)),
            TimeExpr::At(ns) => write!(f, "{}", jiff::Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_nanos(ns)),
            TimeExpr::AgoFloor(ns, unit) => {
                f.write_str("now")?;
                if ns != 0 {
                    write!(f, "{}{}", if ns > 0 { '-' } else { '+' }, format_duration_ns(ns))?;
                }
                write!(f, "/{}", unit.as_str())
            }
        }
    }
}

/// `before` and the items separated by commas, or nothing when there are none.
fn clause<T: Display>(f: &mut Formatter<'_>, before: &str, items: &[T]) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    f.write_str(before)?;
    join(f, items, ", ", |item, f| write!(f, "{item}"))
}

fn join<T>(
    f: &mut Formatter<'_>,
    items: &[T],
    between: &str,
    print: impl Fn(&T, &mut Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            f.write_str(between)?;
        }
        print(item, f)?;
    }
    Ok(())
}

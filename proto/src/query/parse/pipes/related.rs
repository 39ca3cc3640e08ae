//! Pipes that look beyond the rows they are given.
//!
//! ```text
//! "patterns" [ "new" duration ] [ int ]
//! "facets" [ int ]
//! "context" [ int ] [ "before" int ] [ "after" int ] [ "by" fields ]
//! "trace" [ "by" fields ]
//! "compare" duration
//! "join" [ "left" ] "on" fields "(" query ")"
//! ```

use nom::bytes::complete::tag;

use super::super::{CONTEXT_ROWS_MAX, Cursor, ParseError, Parsed, ROWS_DEFAULT, lex};
use crate::query::ast::{Field, PipeKind, Span, TimeExpr};
use crate::query::value::parse_time_expr;

impl Cursor<'_> {
    pub(super) fn patterns(&mut self) -> Parsed<PipeKind> {
        let new_ns = match self.take(lex::keyword("NEW")) {
            Some((_, sign)) => Some(self.duration(sign, "patterns new 7d")?),
            None => None,
        };
        Ok(PipeKind::Patterns { new_ns, limit: self.rows()? })
    }

    pub(super) fn context(&mut self) -> Parsed<PipeKind> {
        let both = self.neighbours()?;
        let (mut before, mut after) = (both, both);
        if self.take(lex::keyword("BEFORE")).is_some() {
            before = Some(self.neighbours()?.ok_or_else(|| self.no_number("before"))?);
        }
        if self.take(lex::keyword("AFTER")).is_some() {
            after = Some(self.neighbours()?.ok_or_else(|| self.no_number("after"))?);
        }
        let default = if before.is_none() && after.is_none() { ROWS_DEFAULT } else { 0 };
        let by = self.by_fields()?;
        Ok(PipeKind::Context { before: before.unwrap_or(default), after: after.unwrap_or(default), by })
    }

    fn no_number(&self, word: &str) -> ParseError {
        ParseError::new(self.here(), format!("'{word}' needs a number")).hint("context before 5 after 20")
    }

    fn neighbours(&mut self) -> Parsed<Option<usize>> {
        let Some((digits, span)) = self.take(lex::integer) else { return Ok(None) };
        match digits.parse() {
            Ok(rows @ 0..=CONTEXT_ROWS_MAX) => Ok(Some(rows)),
            _ => Err(ParseError::new(span, format!("expected a number from 0 to {CONTEXT_ROWS_MAX}"))),
        }
    }

    pub(super) fn trace(&mut self) -> Parsed<PipeKind> {
        Ok(PipeKind::Trace(self.by_fields()?))
    }

    fn by_fields(&mut self) -> Parsed<Vec<Field>> {
        match self.take(lex::keyword("BY")) {
            Some((_, sign)) => self.field_list(sign),
            None => Ok(Vec::new()),
        }
    }

    pub(super) fn compare(&mut self, span: Span) -> Parsed<PipeKind> {
        Ok(PipeKind::Compare { shift_ns: self.duration(span, "compare 1d")? })
    }

    /// A time span above zero behind `owner`.
    fn duration(&mut self, owner: Span, usage: &'static str) -> Parsed<i64> {
        let owner = self.slice(owner);
        let needs = |at| ParseError::new(at, format!("'{owner}' needs a time span")).hint(usage);
        let Some((word, span)) = self.take(lex::word) else { return Err(needs(self.here())) };
        match parse_time_expr(&word.text) {
            Some(TimeExpr::Ago(ns)) if ns > 0 && !word.text.starts_with(['-', 'n']) => Ok(ns),
            _ => Err(needs(span)),
        }
    }

    pub(super) fn join(&mut self, span: Span) -> Parsed<PipeKind> {
        let usage = "join left on user_id (service:auth | fields user_id, plan)";
        let left = self.take(lex::keyword("LEFT")).is_some();
        let Some((_, sign)) = self.take(lex::keyword("ON")) else {
            return Err(ParseError::new(span, "'join' needs 'on' and the fields that both sides share").hint(usage));
        };
        let on = self.field_list(sign)?;
        let Some((_, open)) = self.take(tag("(")) else {
            return Err(ParseError::new(self.here(), "expected a query in parentheses").hint(usage));
        };
        let query = self.nested(open, |cursor| cursor.query_within(open))?;
        Ok(PipeKind::Join { left, on, query: Box::new(query) })
    }

    /// The number of values that `facets` shows of each field.
    pub(super) fn facets(&mut self) -> Parsed<PipeKind> {
        Ok(PipeKind::Facets(self.rows()?))
    }
}

//! Pipes that look at one row at a time.
//!
//! ```text
//! "rename" field "as" field { "," field "as" field }
//! "dedup" [ int ] fields
//! "parse" string [ "from" field ] | "rex" string [ "from" field ] | ( "json" | "logfmt" ) [ "from" field ]
//! "eval" field "=" expr { "," field "=" expr }
//! "sample" number [ "%" ]
//! ```

use nom::bytes::complete::tag;

use super::super::values::decimal;
use super::super::{Cursor, EXTRACTED_FIELDS_MAX, ParseError, Parsed, lex};
use crate::query::ast::{Extractor, Field, PipeKind, Span};
use crate::query::extract;
use crate::record::field;
use crate::text::visible;

impl Cursor<'_> {
    pub(super) fn rename(&mut self, span: Span) -> Parsed<PipeKind> {
        let mut pairs = Vec::new();
        let mut sign = span;
        loop {
            let from = self.required_column(sign)?;
            let Some((_, at)) = self.take(lex::keyword("AS")) else {
                return Err(ParseError::new(self.here(), "expected 'as' and the new name").hint("rename a as b"));
            };
            let to = self.required_field(at)?;
            self.writable(&from)?;
            self.writable(&to)?;
            pairs.push((from, to));
            match self.take(tag(",")) {
                Some((_, comma)) => sign = comma,
                None => return Ok(PipeKind::Rename(pairs)),
            }
        }
    }

    pub(super) fn dedup(&mut self, span: Span) -> Parsed<PipeKind> {
        let rows = match self.peek_integer() {
            true => self.rows()?,
            false => 1,
        };
        Ok(PipeKind::Dedup { rows, fields: self.field_list(span)? })
    }

    pub(super) fn extract(&mut self, span: Span, is_regex: bool) -> Parsed<PipeKind> {
        self.skip();
        if !matches!(self.peek(), Some('"' | '\'')) {
            let (what, hint) = if is_regex {
                ("a regex in quotes", "rex \"took (?P<ms>[0-9]+)ms\"")
            } else {
                ("a pattern in quotes", "parse \"took <ms:num>ms\"")
            };
            return Err(ParseError::new(self.here(), format!("'{}' needs {what}", self.slice(span))).hint(hint));
        }
        let extractor = if is_regex { self.named_groups(span)? } else { self.pattern()? };
        Ok(PipeKind::Extract { extractor, from: self.source_field()? })
    }

    fn named_groups(&mut self, span: Span) -> Parsed<Extractor> {
        let start = self.pos;
        let pattern = self.regex(span)?;
        let at = Span { start, end: self.pos };
        // It has been compiled once to be checked; its groups are those of its syntax.
        let groups = regex::Regex::new(&pattern).map(|regex| regex.capture_names().flatten().count()).unwrap_or(0);
        match groups {
            0 => Err(ParseError::new(at, "the regex names no group").hint("(?P<name>…) becomes the field 'name'")),
            1..=EXTRACTED_FIELDS_MAX => Ok(Extractor::Regex(pattern)),
            _ => Err(ParseError::new(at, format!("more than {EXTRACTED_FIELDS_MAX} named groups"))),
        }
    }

    fn pattern(&mut self) -> Parsed<Extractor> {
        let (text, span) = self.string()?;
        let made = extract::pattern(&text).map_err(|wrong| ParseError::new(span, wrong.message).hint(wrong.hint))?;
        if made.captures.len() > EXTRACTED_FIELDS_MAX {
            return Err(ParseError::new(span, format!("more than {EXTRACTED_FIELDS_MAX} gaps")));
        }
        self.count_regex(span)?;
        Ok(Extractor::Pattern(text))
    }

    pub(super) fn unpack(&mut self, extractor: Extractor) -> Parsed<PipeKind> {
        Ok(PipeKind::Extract { extractor, from: self.source_field()? })
    }

    fn source_field(&mut self) -> Parsed<Option<Field>> {
        match self.take(lex::keyword("FROM")) {
            Some((_, at)) => self.required_field(at).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn eval(&mut self, span: Span) -> Parsed<PipeKind> {
        let mut assignments = Vec::new();
        let mut sign = span;
        loop {
            let field = self.required_field(sign)?;
            self.writable(&field)?;
            if self.take(tag("=")).is_none() {
                return Err(ParseError::new(self.here(), format!("expected '=' behind '{}'", visible(&field.name)))
                    .hint("eval pct = 100 * errors / count"));
            }
            assignments.push((field, self.expr()?));
            match self.take(tag(",")) {
                Some((_, comma)) => sign = comma,
                None => return Ok(PipeKind::Eval(assignments)),
            }
        }
    }

    pub(super) fn sample(&mut self, span: Span) -> Parsed<PipeKind> {
        let wants = || ParseError::new(span, "'sample' needs a share of the rows").hint("sample 10% or sample 0.1");
        let (share, at) = self.take(decimal).ok_or_else(wants)?;
        let rate = if self.eat(tag("%")).is_some() { share / 100.0 } else { share };
        if !(rate > 0.0 && rate <= 1.0) {
            return Err(ParseError::new(at, "a share lies above 0 and is at most 1, or 100%").hint("sample 10%"));
        }
        Ok(PipeKind::Sample(rate))
    }

    /// Time and number of a row are its place in the order of all: pipes do not change them.
    fn writable(&self, field: &Field) -> Parsed<()> {
        if ![field::TIME, field::SEQ, "_time"].contains(&field.name.as_str()) {
            return Ok(());
        }
        Err(ParseError::new(field.span, format!("'{}' of a row cannot be changed", field.name))
            .hint("give the new field another name"))
    }

    fn peek_integer(&mut self) -> bool {
        self.skip();
        self.peek().is_some_and(|c| c.is_ascii_digit())
    }
}

//! The filter of a query.
//!
//! ```text
//! filter = conj { ("OR" | "||") conj }
//! conj   = unary { [ "AND" | "&&" ] unary }
//! unary  = ( "NOT" | "!" | "-" ) unary | "(" filter ")" | term
//! term   = field test | "~" string | string | word | "*"
//! ```
//!
//! A part is `None` when it selects nothing of its own: `since:` and `until:`, or an empty text.

use nom::bytes::complete::tag;

use super::{Cursor, GLOB_BYTES_MAX, GLOB_WILDCARDS_MAX, ParseError, Parsed, lex};
use crate::query::ast::{Field, Filter, Pattern, Span};
use crate::query::value::parse_time_expr;
use crate::text::visible;

/// An epoch below this, in seconds, is a duration that lost its unit: `since:15`.
const EPOCH_PLAUSIBLE_NS: i64 = 100_000_000 * 1_000_000_000;

impl Cursor<'_> {
    pub(super) fn filter(&mut self) -> Parsed<Option<Filter>> {
        let mut last = self.conj()?;
        let mut branches = Vec::new();
        while let Some((_, sign)) = self.take(lex::or) {
            branches.push(last.ok_or_else(|| self.lonely(sign, "left"))?);
            last = self.conj()?;
            if last.is_none() {
                return Err(self.lonely(sign, "right"));
            }
        }
        if branches.is_empty() {
            return Ok(last);
        }
        branches.extend(last);
        Ok(Some(Filter::Or(branches)))
    }

    fn conj(&mut self) -> Parsed<Option<Filter>> {
        let mut terms = Vec::new();
        let mut empty = true;
        loop {
            if let Some((_, sign)) = self.take(lex::and) {
                if empty {
                    return Err(self.lonely(sign, "left"));
                }
                if self.at_end_of_terms() {
                    return Err(self.lonely(sign, "right"));
                }
            } else if self.at_end_of_terms() {
                break;
            }
            terms.extend(self.unary()?);
            empty = false;
        }
        if terms.len() > 1 {
            return Ok(Some(Filter::And(terms)));
        }
        Ok(terms.pop())
    }

    /// Whether here stands what no term begins with.
    fn at_end_of_terms(&mut self) -> bool {
        self.skip();
        matches!(self.peek(), None | Some(')' | '|')) || self.clone_pos(lex::or).is_some()
    }

    fn unary(&mut self) -> Parsed<Option<Filter>> {
        if let Some((_, sign)) = self.take(lex::negation) {
            if self.at_end_of_terms() {
                return Err(self.lonely(sign, "right"));
            }
            let inner = self.nested(sign, |cursor| cursor.unary())?;
            return Ok(inner.map(|inner| Filter::Not(Box::new(inner))));
        }
        if let Some((_, open)) = self.take(tag("(")) {
            return self.nested(open, |cursor| {
                let inner = cursor.filter()?;
                cursor.close(open)?;
                let span = Span { start: open.start, end: cursor.pos };
                inner.map(Some).ok_or_else(|| ParseError::new(span, "nothing between the parentheses"))
            });
        }
        if let Some((_, sign)) = self.take(lex::and) {
            return Err(self.lonely(sign, "left"));
        }
        self.term()
    }

    fn term(&mut self) -> Parsed<Option<Filter>> {
        self.skip();
        match self.peek() {
            Some('"' | '\'') => self.phrase().map(Some),
            Some('~') => {
                let sign = self.here();
                self.eat(tag("~"));
                let pattern = self.regex(sign)?;
                Ok(Some(Filter::Text(Pattern::Regex(pattern))))
            }
            _ => {
                let start = self.pos;
                if let Some((field, op)) = self.field_and_op()? {
                    let bounds_query = matches!(op, lex::Op::Colon | lex::Op::Exact)
                        && !self.slice(field.span).starts_with('`')
                        && matches!(field.name.as_str(), "since" | "until");
                    return if bounds_query { self.time_bound(&field) } else { self.field_test(field, op).map(Some) };
                }
                self.pos = start;
                self.bare_word().map(Some)
            }
        }
    }

    /// A field with the operator behind it; `None` when what stands here is a word.
    fn field_and_op(&mut self) -> Parsed<Option<(Field, lex::Op)>> {
        let start = self.pos;
        let Some(mut field) = self.field()? else { return Ok(None) };
        if self.columns_allowed && self.peek() == Some('(') {
            self.pos = start;
            match self.column() {
                Ok(Some(column)) => field = column,
                _ => return Ok(None),
            }
        }
        if let Some((op, span)) = self.take(lex::field_op) {
            if op == lex::Op::Exact && self.peek() == Some('=') {
                let span = Span { start: span.start, end: span.end + 1 };
                return Err(ParseError::new(span, "'==' is not an operator").hint("equality is written '='"));
            }
            return Ok(Some((field, op)));
        }
        if self.slice(field.span).starts_with('`') {
            let name = visible(&field.name);
            return Err(ParseError::new(field.span, format!("field '{name}' needs a test"))
                .hint("backticks hold the name of a field; to search for text use quotes"));
        }
        Ok(None)
    }

    fn phrase(&mut self) -> Parsed<Filter> {
        let (text, span) = self.string()?;
        if self.clone_pos(lex::field_op).is_some() {
            return Err(ParseError::new(span, "a field name is written without quotes")
                .hint("field:value, or backticks around a name with special characters"));
        }
        if text.is_empty() {
            return Err(ParseError::new(span, "an empty phrase finds nothing").hint("'*' finds everything"));
        }
        Ok(Filter::Text(Pattern::Phrase(text)))
    }

    /// A quoted string that begins here.
    pub(super) fn string(&mut self) -> Parsed<(String, Span)> {
        match self.eat(lex::quoted) {
            Some((inside, span)) => Ok((lex::unescape(inside), span)),
            None => Err(self.unexpected()),
        }
    }

    fn bare_word(&mut self) -> Parsed<Filter> {
        let Some((word, span)) = self.eat(lex::word) else { return Err(self.unexpected()) };
        if let Some(at) = self.stray_colon(&word, span) {
            return Err(ParseError::new(at, "':' must stand after a plain field name")
                .hint("put a field name with special characters in backticks, or the text in quotes"));
        }
        self.straight_quotes(span)?;
        if word.text.ends_with('~') && matches!(self.peek(), Some('"' | '\'')) {
            let at = Span { start: span.end - 1, end: span.end };
            return Err(ParseError::new(at, "'~' must stand alone").hint("a field matches a regex with field=~\"…\""));
        }
        if word.only_stars() {
            return Ok(Filter::All);
        }
        let wildcard = word.stars > 0 || word.question_marks > 0 && !word.is_address();
        Ok(Filter::Text(if wildcard { Pattern::Glob(glob(&word, span)?) } else { Pattern::Phrase(word.text) }))
    }

    /// Refuses a word that begins with a quote as word processors and chats write it.
    pub(super) fn straight_quotes(&self, span: Span) -> Parsed<()> {
        if !self.slice(span).starts_with(['“', '”', '‘', '’', '„']) {
            return Ok(());
        }
        Err(ParseError::new(span, "curly quotes are ordinary characters").hint("use straight quotes: \"…\""))
    }

    /// A colon in a word that looks like the end of a field name which cannot be one: `größe:5`, `foo*:bar`.
    fn stray_colon(&self, word: &lex::Word, span: Span) -> Option<Span> {
        let raw = self.slice(span);
        if word.escaped || raw.contains("::") || raw.contains("://") || !raw.starts_with(char::is_alphabetic) {
            return None;
        }
        let mut before = ' ';
        for (at, c) in raw.char_indices() {
            if c == ':' && !before.is_ascii_digit() {
                return Some(Span { start: span.start + at, end: span.start + at + 1 });
            }
            before = c;
        }
        None
    }

    /// `since:15m`, `until:2026-11-01`: bounds the whole query and selects nothing by itself.
    fn time_bound(&mut self, field: &Field) -> Parsed<Option<Filter>> {
        let name = field.name.clone();
        if !self.range_allowed {
            return Err(ParseError::new(field.span, format!("'{name}' bounds the whole query"))
                .hint("put it outside of parentheses, negations and 'where'"));
        }
        let value = self.value(field)?;
        let time = parse_time_expr(&value.text).ok_or_else(|| {
            ParseError::new(value.span, format!("'{}' is not a time", visible(&value.text)))
                .hint("15m, now-1h/d, 2026-11-01, \"2026-11-01T10:00Z\" or an epoch")
        })?;
        if let crate::query::ast::TimeExpr::At(1..EPOCH_PLAUSIBLE_NS) = time
            && value.text.bytes().all(|b| b.is_ascii_digit())
        {
            return Err(ParseError::new(value.span, format!("'{}' has no unit", value.text))
                .hint(format!("{name}:{}m is that many minutes ago", value.text)));
        }
        let slot = if name == "since" { &mut self.since } else { &mut self.until };
        if slot.replace(time).is_some() {
            return Err(ParseError::new(field.span, format!("'{name}' stands there twice")));
        }
        Ok(None)
    }

    /// An operator without an operand.
    fn lonely(&self, sign: Span, side: &str) -> ParseError {
        let sign_text = self.slice(sign);
        ParseError::new(sign, format!("'{sign_text}' needs a term on its {side}"))
            .hint(format!("to search for the text, put it in quotes: \"{sign_text}\""))
    }
}

/// The pattern of a word with wildcards.
pub(super) fn glob(word: &lex::Word, span: Span) -> Parsed<String> {
    if word.glob.len() > GLOB_BYTES_MAX {
        return Err(ParseError::new(span, format!("a pattern longer than {GLOB_BYTES_MAX} bytes")));
    }
    if word.stars + word.question_marks > GLOB_WILDCARDS_MAX {
        return Err(ParseError::new(span, format!("a pattern with more than {GLOB_WILDCARDS_MAX} wildcards"))
            .hint("a regular expression is written ~\"…\""));
    }
    Ok(word.glob.clone())
}

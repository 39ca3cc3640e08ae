//! Reads the text of a query.
//!
//! ```text
//! query  = [ filter ] { "|" pipe }
//! ```
//!
//! Recursive descent: [`lex`] holds the nom parsers of the smallest parts, [`filter`] and [`values`] the filter,
//! [`pipes`] and [`aggs`] what stands behind a `|`. All mistakes are reported, at most one for each pipe.

mod aggs;
mod error;
pub(super) mod expr;
mod filter;
pub(super) mod lex;
mod pipes;
mod values;

use nom::bytes::complete::tag;
use nom::combinator::not;
use nom::sequence::terminated;
use nom::{IResult, Parser};

use super::ast::{Field, Filter, PipeKind, Query, Span, TimeExpr};
pub use error::{ParseError, column};

/// Longest query, in bytes.
pub const QUERY_BYTES_MAX: usize = 16 * 1024;
/// Deepest nesting of parentheses, negations, lists and subqueries.
pub const DEPTH_MAX: usize = 64;
/// Pipes of one text, those of subqueries included.
pub const PIPES_MAX: usize = 32;
/// Compiled size of one regular expression, in bytes.
pub const REGEX_BYTES_MAX: usize = 1024 * 1024;
/// Regular expressions of one text: each is compiled to be checked.
pub const REGEXES_MAX: usize = 32;
/// Longest wildcard pattern, in bytes.
pub const GLOB_BYTES_MAX: usize = 1024;
/// `*` and `?` of one pattern.
pub const GLOB_WILDCARDS_MAX: usize = 32;
/// Largest number that `top`, `rare`, `head` and `tail` take.
pub const ROWS_MAX: usize = 1_000_000;
/// Rows of `top`, `rare`, `head` and `tail` when no number is given.
pub const ROWS_DEFAULT: usize = 10;
/// Most rows on either side that `context` takes.
pub const CONTEXT_ROWS_MAX: usize = 1000;
/// Parts of all expressions of one text: numbers, fields, operators, calls.
pub const EXPR_NODES_MAX: usize = 512;
/// Fields that one `parse` or `rex` finds.
pub const EXTRACTED_FIELDS_MAX: usize = 64;

/// Reads a query; or says all that is wrong with it, in the order of the text.
pub fn parse(text: &str) -> Result<Query, Vec<ParseError>> {
    if text.len() > QUERY_BYTES_MAX {
        let start = (0..=QUERY_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let span = Span { start, end: text.len() };
        return Err(vec![
            ParseError::new(span, format!("the query is longer than {QUERY_BYTES_MAX} bytes"))
                .hint("put long lists of values into several queries"),
        ]);
    }
    Cursor::new(text).whole()
}

type Parsed<T> = Result<T, ParseError>;

/// A place in the text, and what is known about it.
struct Cursor<'a> {
    text: &'a str,
    pos: usize,
    depth: usize,
    pipes: usize,
    regexes: usize,
    expr_nodes: usize,
    since: Option<TimeExpr>,
    until: Option<TimeExpr>,
    /// `since:` and `until:` bound the whole query, so they stand outside of parentheses and negations.
    range_allowed: bool,
    /// `where` compares columns, whose names may be those of aggregates: `p95(duration_ms)>100`.
    columns_allowed: bool,
    /// Counts of the `stats` before whose columns are called by their filters, for one of them alone is `count`.
    counts_in_full: Vec<String>,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a str) -> Cursor<'a> {
        Cursor {
            text,
            pos: 0,
            depth: 0,
            pipes: 0,
            regexes: 0,
            expr_nodes: 0,
            since: None,
            until: None,
            range_allowed: true,
            columns_allowed: false,
            counts_in_full: Vec::new(),
        }
    }

    /// The query that is the whole text. After a mistake it goes on behind the next `|`.
    fn whole(mut self) -> Result<Query, Vec<ParseError>> {
        let mut errors = Vec::new();
        let mut pipes = Vec::new();
        let mut segment = self.pos;
        let mut filter = Filter::All;
        let parsed = self.filter().map(|found| filter = found.unwrap_or(Filter::All));
        let mut parsed = parsed.and_then(|()| self.end_of_segment());
        loop {
            if let Err(error) = parsed {
                errors.push(error);
                self.pos = segment + next_pipe(&self.text[segment..]);
            }
            if self.take(bar).is_none() {
                break;
            }
            segment = self.pos;
            parsed = self.pipe().map(|pipe| pipes.push(pipe)).and_then(|()| self.end_of_segment());
            if self.pipes > PIPES_MAX {
                errors.extend(parsed.err());
                break;
            }
        }
        if errors.is_empty() { Ok(Query { filter, since: self.since, until: self.until, pipes }) } else { Err(errors) }
    }

    /// A query in parentheses that gives one column.
    fn subquery(&mut self, open: Span) -> Parsed<Query> {
        let query = self.query_within(open)?;
        if !yields_one_column(&query) {
            let span = Span { start: open.start, end: self.pos };
            return Err(ParseError::new(span, "a query in 'in(…)' must give one column")
                .hint("end it with a pipe like: | fields trace_id"));
        }
        Ok(query)
    }

    /// A query in parentheses, which have been opened.
    fn query_within(&mut self, open: Span) -> Parsed<Query> {
        let outer = (self.since.take(), self.until.take(), self.columns_allowed);
        (self.range_allowed, self.columns_allowed) = (true, false);
        let filter = self.filter()?.unwrap_or(Filter::All);
        let mut pipes = Vec::new();
        while self.take(bar).is_some() {
            pipes.push(self.pipe()?);
        }
        self.close(open)?;
        let query = Query { filter, since: self.since, until: self.until, pipes };
        (self.since, self.until, self.columns_allowed) = outer;
        Ok(query)
    }

    fn end_of_segment(&mut self) -> Parsed<()> {
        self.skip();
        match self.peek() {
            Some('|') if self.rest().starts_with("||") => Err(self.unexpected()),
            None | Some('|') => Ok(()),
            Some(')') => Err(ParseError::new(self.here(), "')' without '('")),
            Some(_) => Err(self.unexpected()),
        }
    }

    /// Runs `inner` one level deeper, where `since:` has no place.
    fn nested<T>(&mut self, span: Span, inner: impl FnOnce(&mut Cursor<'a>) -> Parsed<T>) -> Parsed<T> {
        if self.depth == DEPTH_MAX {
            return Err(ParseError::new(span, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        self.depth += 1;
        let outer = std::mem::replace(&mut self.range_allowed, false);
        let result = inner(self);
        self.range_allowed = outer;
        self.depth -= 1;
        result
    }

    /// A closing parenthesis for the one at `open`.
    fn close(&mut self, open: Span) -> Parsed<()> {
        if self.take(tag(")")).is_some() {
            return Ok(());
        }
        match self.peek() {
            None | Some('|') => Err(ParseError::new(open, "unclosed parenthesis").hint("add ')'")),
            Some(_) => Err(self.unexpected()),
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.pos..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Skips white space and comments; a comment begins the text or stands after a space.
    fn skip(&mut self) {
        loop {
            let before = self.pos;
            self.eat(lex::space);
            if self.pos == 0 || self.text[..self.pos].ends_with(char::is_whitespace) {
                self.eat(lex::comment);
            }
            if self.pos == before {
                return;
            }
        }
    }

    /// Applies `parser` right here; without a match nothing moves.
    fn eat<O>(
        &mut self,
        mut parser: impl Parser<&'a str, Output = O, Error = nom::error::Error<&'a str>>,
    ) -> Option<(O, Span)> {
        let start = self.pos;
        let (rest, output) = parser.parse(self.rest()).ok()?;
        self.pos = self.text.len() - rest.len();
        Some((output, Span { start, end: self.pos }))
    }

    /// Skips, then applies `parser`; without a match only white space has been passed.
    fn take<O>(
        &mut self,
        parser: impl Parser<&'a str, Output = O, Error = nom::error::Error<&'a str>>,
    ) -> Option<(O, Span)> {
        self.skip();
        self.eat(parser)
    }

    /// A field: a name, or anything in backticks.
    fn field(&mut self) -> Parsed<Option<Field>> {
        self.skip();
        let field = if self.peek() == Some('`') {
            let Some((name, span)) = self.eat(lex::backticked) else {
                return Err(ParseError::new(self.to_end(), "unclosed backtick").hint("add '`'"));
            };
            if name.is_empty() {
                return Err(ParseError::new(span, "an empty field name"));
            }
            Some((name, span))
        } else {
            self.eat(lex::ident)
        };
        Ok(field.map(|(name, span)| Field { name: name.to_owned(), span }))
    }

    /// The span of the character here, empty at the end.
    fn here(&self) -> Span {
        Span { start: self.pos, end: self.pos + self.peek().map_or(0, char::len_utf8) }
    }

    fn to_end(&self) -> Span {
        Span { start: self.pos, end: self.text.len() }
    }

    fn slice(&self, span: Span) -> &'a str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// The error for what stands here and may not.
    fn unexpected(&mut self) -> ParseError {
        self.skip();
        let Some(c) = self.peek() else {
            return ParseError::new(self.here(), "unexpected end of the query");
        };
        let word = self.clone_pos(lex::word).unwrap_or(self.here());
        let error = ParseError::new(word, format!("unexpected '{}'", crate::text::visible(self.slice(word))));
        match c {
            '"' | '\'' if self.clone_pos(lex::quoted).is_none() => self.unclosed_quote(c),
            ',' => error.hint("a list of values is written field:(a, b)"),
            '\\' => error.hint("a backslash takes the character after it literally"),
            '|' => error.hint("'||' joins two terms of a filter, '|' begins a pipe"),
            _ => error.hint("to search for it, put it in quotes"),
        }
    }

    fn unclosed_quote(&self, quote: char) -> ParseError {
        let error = ParseError::new(self.to_end(), "unclosed quote");
        let in_word = self.text[..self.pos].ends_with(char::is_alphanumeric)
            && self.rest().chars().nth(1).is_some_and(char::is_alphanumeric);
        if quote == '\'' && in_word {
            error.hint("put a word with an apostrophe in double quotes: \"don't\"")
        } else {
            error.hint(format!("add {quote} at the end"))
        }
    }

    /// The span that `parser` would match here.
    fn clone_pos<O>(
        &self,
        mut parser: impl Parser<&'a str, Output = O, Error = nom::error::Error<&'a str>>,
    ) -> Option<Span> {
        let (rest, _) = parser.parse(self.rest()).ok()?;
        Some(Span { start: self.pos, end: self.text.len() - rest.len() })
    }
}

/// One bar, not two.
fn bar(input: &str) -> IResult<&str, &str> {
    terminated(tag("|"), not(tag("|"))).parse(input)
}

/// Bytes before the next `|` that begins a pipe: outside of quotes and parentheses. The whole length if there is none.
fn next_pipe(text: &str) -> usize {
    let mut depth = 0usize;
    let mut quote = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (Some('`'), '\\') => {}
            (_, '\\') => {
                chars.next();
            }
            (Some(open), c) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, '|') if chars.next_if(|(_, next)| *next == '|').is_some() => {}
            (None, '|') if depth == 0 => return at,
            (None, _) => {}
        }
    }
    text.len()
}

fn yields_one_column(query: &Query) -> bool {
    for pipe in query.pipes.iter().rev() {
        return match &pipe.kind {
            PipeKind::Sort(_)
            | PipeKind::Head(_)
            | PipeKind::Tail(_)
            | PipeKind::Where(_)
            | PipeKind::Rename(_)
            | PipeKind::Dedup { .. }
            | PipeKind::Sample(_) => continue,
            PipeKind::Fields { fields, exclude } => !exclude && fields.len() == 1,
            PipeKind::Stats { aggs, by } => aggs.len() + by.len() == 1,
            _ => false,
        };
    }
    false
}

#[cfg(test)]
mod tests;

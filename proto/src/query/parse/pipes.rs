//! What stands behind a `|`.
//!
//! ```text
//! pipe = "where" filter
//!      | "stats" agg { "," agg } [ by ] | "count" [ "(" filter ")" ] [ "as" field ] [ by ]
//!      | "timechart" [ duration ] agg { "," agg } [ "by" field ]
//!      | ( "top" | "rare" ) [ int ] fields [ "by" fields ]
//!      | "sort" key { "," key }        key = [ "-" ] column | column ( "asc" | "desc" )
//!      | ( "head" | "limit" | "tail" ) [ int ]
//!      | "fields" [ "-" ] column { "," column }
//!      | those of [`rowwise`] and [`related`]
//!      | "explain"                     at the end
//! ```

mod related;
mod rowwise;

use nom::branch::alt;
use nom::bytes::complete::tag;

use super::aggs::is_function;
use super::{Cursor, PIPES_MAX, ParseError, Parsed, ROWS_DEFAULT, ROWS_MAX, lex};
use crate::query::ast::{Agg, Extractor, Field, Group, Pipe, PipeKind, SortKey, Span, TimeExpr};
use crate::query::value::parse_time_expr;
use crate::text::{did_you_mean, visible};

/// Every pipe with how it is written.
pub(super) const PIPES: [(&str, &str); 26] = [
    ("where", "where FILTER"),
    ("stats", "stats count, p95(duration_ms) as slow by service"),
    ("count", "count by service"),
    ("timechart", "timechart 5m count by level"),
    ("top", "top 10 path, status by service"),
    ("rare", "rare 10 path, status by service"),
    ("sort", "sort -count, service"),
    ("head", "head 10"),
    ("limit", "limit 10"),
    ("tail", "tail 10"),
    ("fields", "fields time, message or fields -raw"),
    ("rename", "rename path as page, ms as duration_ms"),
    ("dedup", "dedup 2 service, host"),
    ("parse", "parse \"took <ms:num>ms\" from message"),
    ("rex", "rex \"took (?P<ms>[0-9]+)ms\" from message"),
    ("json", "json from body"),
    ("logfmt", "logfmt from message"),
    ("eval", "eval pct = 100 * errors / count"),
    ("sample", "sample 10%"),
    ("patterns", "patterns new 7d 20"),
    ("facets", "facets 10"),
    ("context", "context before 5 after 20 by service, host"),
    ("trace", "trace by trace_id"),
    ("compare", "compare 1d"),
    ("join", "join left on user_id (service:auth | fields user_id, plan)"),
    ("explain", "explain, as the last pipe"),
];

/// What other languages call them.
const SYNONYMS: [(&str, &str); 23] = [
    ("aggregate", "stats"),
    ("bucket", "timechart"),
    ("cluster", "patterns"),
    ("collapse_nums", "patterns"),
    ("extend", "eval"),
    ("extract", "parse"),
    ("extract_regexp", "rex"),
    ("filter", "where"),
    ("first", "head"),
    ("grok", "rex"),
    ("group", "stats"),
    ("keep", "fields"),
    ("last", "tail"),
    ("math", "eval"),
    ("order", "sort"),
    ("project", "fields"),
    ("search", "where"),
    ("select", "fields"),
    ("summarize", "stats"),
    ("table", "fields"),
    ("take", "head"),
    ("unpack_json", "json"),
    ("unpack_logfmt", "logfmt"),
];

impl Cursor<'_> {
    /// The pipe behind a bar.
    pub(super) fn pipe(&mut self) -> Parsed<Pipe> {
        self.pipes += 1;
        let Some((written, span)) = self.take(lex::ident) else {
            let error = ParseError::new(self.here(), "a pipe is missing after '|'");
            return Err(error.hint(supported()));
        };
        if self.pipes > PIPES_MAX {
            return Err(ParseError::new(span, format!("more than {PIPES_MAX} pipes")));
        }
        let name = written.to_ascii_lowercase();
        let Some((name, usage)) = PIPES.into_iter().find(|(known, _)| *known == name) else {
            return Err(unknown_pipe(written, span));
        };
        let kind = match name {
            "where" => self.where_pipe(span)?,
            "stats" => {
                let aggs = self.aggs()?;
                self.stats(aggs)?
            }
            "count" => {
                self.pos = span.start;
                let agg = self.agg()?;
                self.stats(vec![agg])?
            }
            "timechart" => self.timechart()?,
            "top" | "rare" => self.top(span, name == "rare")?,
            "sort" => self.sort(span)?,
            "tail" => PipeKind::Tail(self.rows()?),
            "fields" => self.fields_pipe(span)?,
            "head" | "limit" => PipeKind::Head(self.rows()?),
            _ => self.further_pipe(name, span)?,
        };
        let span = Span { start: span.start, end: self.text[..self.pos].trim_end().len() };
        self.skip();
        if !matches!(self.peek(), None | Some('|' | ')')) {
            let error = self.unexpected();
            return Err(error.hint(format!("'{name}' is written: {usage}")));
        }
        if kind == PipeKind::Explain && self.peek() == Some('|') {
            return Err(ParseError::new(span, "'explain' is the last pipe").hint("it shows the plan of all before it"));
        }
        Ok(Pipe { kind, span })
    }

    fn further_pipe(&mut self, name: &str, span: Span) -> Parsed<PipeKind> {
        match name {
            "rename" => self.rename(span),
            "dedup" => self.dedup(span),
            "parse" => self.extract(span, false),
            "rex" => self.extract(span, true),
            "json" => self.unpack(Extractor::Json),
            "logfmt" => self.unpack(Extractor::Logfmt),
            "eval" => self.eval(span),
            "sample" => self.sample(span),
            "patterns" => self.patterns(),
            "facets" => self.facets(),
            "context" => self.context(),
            "trace" => self.trace(),
            "compare" => self.compare(span),
            "join" => self.join(span),
            _ => Ok(PipeKind::Explain),
        }
    }

    fn where_pipe(&mut self, span: Span) -> Parsed<PipeKind> {
        let outer = (self.range_allowed, self.columns_allowed);
        (self.range_allowed, self.columns_allowed) = (false, true);
        let filter = self.filter();
        (self.range_allowed, self.columns_allowed) = outer;
        let missing = || ParseError::new(span, "'where' needs a filter").hint("where count>10");
        filter?.map(PipeKind::Where).ok_or_else(missing)
    }

    fn stats(&mut self, mut aggs: Vec<Agg>) -> Parsed<PipeKind> {
        let by = self.by_groups()?;
        let names: Vec<&str> = by.iter().map(Group::column).collect();
        self.distinct_columns(&mut aggs, &names)?;
        Ok(PipeKind::Stats { aggs, by })
    }

    fn timechart(&mut self) -> Parsed<PipeKind> {
        let width_ns = self.width()?;
        let mut aggs = self.aggs()?;
        let by = match self.take(lex::keyword("BY")) {
            Some((_, sign)) => Some(self.required_field(sign)?),
            None => None,
        };
        if self.take(tag(",")).is_some() {
            return Err(ParseError::new(self.here(), "'timechart' splits by one field").hint("stats takes several"));
        }
        let mut names = vec![crate::record::field::TIME];
        names.extend(by.as_ref().map(|field| field.name.as_str()));
        self.distinct_columns(&mut aggs, &names)?;
        Ok(PipeKind::Timechart { width_ns, aggs, by })
    }

    /// The width of a `timechart`, which begins with a digit as no function does.
    fn width(&mut self) -> Parsed<Option<i64>> {
        self.skip();
        let start = self.pos;
        if self.eat((tag("span"), lex::space, tag("="))).is_some() {
            let span = Span { start, end: self.pos };
            return Err(ParseError::new(span, "the width stands alone").hint("timechart 5m count"));
        }
        if !self.peek().is_some_and(|c| c.is_ascii_digit() || c == '-') {
            return Ok(None);
        }
        let Some((word, span)) = self.eat(lex::word) else { return Err(self.unexpected()) };
        match parse_time_expr(&word.text) {
            Some(TimeExpr::Ago(width)) if width > 0 && !word.text.starts_with('-') => Ok(Some(width)),
            _ => {
                Err(ParseError::new(span, format!("'{}' is not a width", visible(&word.text)))
                    .hint("30s, 5m, 1h or 1d"))
            }
        }
    }

    fn top(&mut self, span: Span, rare: bool) -> Parsed<PipeKind> {
        let limit = self.rows()?;
        let fields = self.field_list(span)?;
        let by = match self.take(lex::keyword("BY")) {
            Some((_, sign)) => self.field_list(sign)?,
            None => Vec::new(),
        };
        Ok(PipeKind::Top { limit, fields, by, rare })
    }

    /// A number of rows.
    pub(super) fn rows(&mut self) -> Parsed<usize> {
        let Some((digits, span)) = self.take(lex::integer) else { return Ok(ROWS_DEFAULT) };
        match digits.parse() {
            Ok(rows @ 1..=ROWS_MAX) => Ok(rows),
            _ => Err(ParseError::new(span, format!("expected a number from 1 to {ROWS_MAX}"))),
        }
    }

    fn sort(&mut self, span: Span) -> Parsed<PipeKind> {
        let mut keys = Vec::new();
        let mut sign = span;
        loop {
            let minus = self.take(tag("-"));
            let field = self.required_column(minus.as_ref().map_or(sign, |(_, at)| *at))?;
            let order = self.take(alt((lex::keyword("ASC"), lex::keyword("DESC"))));
            if let (Some(_), Some((_, at))) = (&minus, &order) {
                return Err(ParseError::new(*at, "'-' and a direction together").hint("either -count or count desc"));
            }
            let descending = minus.is_some() || order.is_some_and(|(word, _)| word.eq_ignore_ascii_case("desc"));
            keys.push(SortKey { field, descending });
            match self.take(tag(",")) {
                Some((_, comma)) => sign = comma,
                None => return Ok(PipeKind::Sort(keys)),
            }
        }
    }

    fn fields_pipe(&mut self, span: Span) -> Parsed<PipeKind> {
        let exclude = self.take(tag("-")).is_some();
        let mut fields = Vec::new();
        let mut sign = span;
        loop {
            if let Some((_, minus)) = self.take(tag("-")) {
                return Err(ParseError::new(minus, "one '-' at the beginning is for all fields").hint("fields -a, b"));
            }
            fields.push(self.required_column(sign)?);
            match self.take(tag(",")) {
                Some((_, comma)) => sign = comma,
                None => return Ok(PipeKind::Fields { fields, exclude }),
            }
        }
    }

    fn field_list(&mut self, after: Span) -> Parsed<Vec<Field>> {
        let mut fields = vec![self.required_field(after)?];
        while let Some((_, comma)) = self.take(tag(",")) {
            fields.push(self.required_field(comma)?);
        }
        Ok(fields)
    }

    /// A field, which must follow what stands at `after`.
    pub(super) fn required_field(&mut self, after: Span) -> Parsed<Field> {
        let field = if self.at_keyword() { None } else { self.field()? };
        field.ok_or_else(|| self.no_field(after))
    }

    fn required_column(&mut self, after: Span) -> Parsed<Field> {
        let column = if self.at_keyword() { None } else { self.column()? };
        column.ok_or_else(|| self.no_field(after))
    }

    /// `top by x`: the keyword is not the field.
    fn at_keyword(&mut self) -> bool {
        self.skip();
        self.clone_pos(alt((lex::keyword("BY"), lex::keyword("AS")))).is_some()
    }

    fn no_field(&self, after: Span) -> ParseError {
        ParseError::new(after, format!("'{}' needs the name of a field", self.slice(after)))
            .hint("a name with special characters stands in backticks")
    }
}

fn unknown_pipe(written: &str, span: Span) -> ParseError {
    let name = written.to_ascii_lowercase();
    let synonym = SYNONYMS.iter().find(|(word, _)| *word == name).map(|(_, pipe)| *pipe);
    let known = PIPES.iter().map(|(known, _)| *known);
    let hint = match synonym.or_else(|| did_you_mean(&name, known)) {
        Some(pipe) => format!("did you mean '{pipe}'?"),
        None if is_function(&name) => format!("'{name}' is a function of stats: | stats {name}(…)"),
        None => supported(),
    };
    ParseError::new(span, format!("unknown pipe '{}'", visible(written))).hint(hint)
}

fn supported() -> String {
    format!("pipes are {}", PIPES.map(|(name, _)| name).join(", "))
}

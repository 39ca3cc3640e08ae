//! What is asked of a field.
//!
//! ```text
//! test     = cmpop value | ( "=~" | "!~" ) string | ":" fieldval
//! fieldval = [ ">=" | "<=" | ">" | "<" | "=" ] value | "*"
//!          | ( "[" | "{" ) bound "TO" bound ( "]" | "}" )
//!          | "(" value { ( "," | "OR" ) value } ")"
//!          | "in(" query ")"
//! ```

use std::net::IpAddr;

use nom::branch::alt;
use nom::bytes::complete::tag;
use nom::character::complete::{char, digit1, one_of};
use nom::combinator::{map_res, opt, recognize};
use nom::sequence::pair;
use nom::{IResult, Parser};

use super::filter::glob;
use super::{Cursor, ParseError, Parsed, REGEX_BYTES_MAX, REGEXES_MAX, lex};
use crate::query::ast::{Bound, CmpOp, Field, Filter, Literal, Span, Test};
use crate::record::{Level, field};
use crate::text::{did_you_mean, visible};

impl Cursor<'_> {
    pub(super) fn field_test(&mut self, field: Field, op: lex::Op) -> Parsed<Filter> {
        let (test, negated) = match op {
            lex::Op::Colon => return self.after_colon(field),
            lex::Op::Exact => (Test::Exact(self.exact(&field)?), false),
            lex::Op::NotEqual => (Test::Exact(self.exact(&field)?), true),
            lex::Op::Regex => (Test::Regex(self.regex(field.span)?), false),
            lex::Op::NotRegex => (Test::Regex(self.regex(field.span)?), true),
            lex::Op::Cmp(op) => (self.comparison(&field, op)?, false),
        };
        let found = Filter::Field { field, test };
        Ok(if negated { Filter::Not(Box::new(found)) } else { found })
    }

    fn after_colon(&mut self, field: Field) -> Parsed<Filter> {
        let test = if let Some((op, _)) = self.take(lex::compare) {
            self.comparison(&field, op)?
        } else if self.take(tag("=")).is_some() {
            Test::Exact(self.exact(&field)?)
        } else if let Some((_, open)) = self.take(one_of("[{")) {
            self.range(&field, open)?
        } else if let Some((_, open)) = self.take(tag("(")) {
            return self.nested(open, |cursor| cursor.list(field, open));
        } else if let Some((_, open)) = self.take(lex::subquery) {
            Test::In(Box::new(self.nested(open, |cursor| cursor.subquery(open))?))
        } else {
            self.single(&field)?
        };
        Ok(Filter::Field { field, test })
    }

    /// A value, quoted or not.
    pub(super) fn value(&mut self, field: &Field) -> Parsed<Literal> {
        let (literal, _) = self.scan(field)?;
        Ok(literal)
    }

    /// A value, and the word that it was if it was not quoted.
    fn scan(&mut self, field: &Field) -> Parsed<(Literal, Option<lex::Word>)> {
        self.skip();
        if matches!(self.peek(), Some('"' | '\'')) {
            let (text, span) = self.string()?;
            return Ok((Literal { text, quoted: true, span }, None));
        }
        let name = visible(&field.name);
        let regex_sign = pair(tag("~"), one_of("\"'"));
        if self.clone_pos(regex_sign).is_some() {
            return Err(ParseError::new(self.here(), "a regex has its own operator").hint(format!("{name}=~\"…\"")));
        }
        let operator = alt((lex::keyword("AND"), lex::keyword("OR"), lex::keyword("NOT"), lex::keyword("TO")));
        let at_operator = self.clone_pos(operator);
        let scanned = if at_operator.is_none() { self.eat(lex::word) } else { None };
        let Some((word, span)) = scanned else {
            let span = at_operator.unwrap_or(self.here());
            let found = match self.slice(span) {
                "" => "the end".to_owned(),
                found => format!("'{}'", visible(found)),
            };
            return Err(ParseError::new(span, format!("'{name}' needs a value before {found}"))
                .hint(format!("{name}:value, or {name}:\"…\" for a value with special characters")));
        };
        self.straight_quotes(span)?;
        if word.text.starts_with('~') && !word.escaped {
            return Err(ParseError::new(span, "a value that begins with '~' needs quotes")
                .hint(format!("a regex is written {name}=~\"…\"")));
        }
        Ok((Literal { text: word.text.clone(), quoted: word.escaped, span }, Some(word)))
    }

    /// The value of `=` and `!=`, where a wildcard would be a mistake that finds nothing.
    fn exact(&mut self, field: &Field) -> Parsed<Literal> {
        let (literal, word) = self.scan(field)?;
        if word.is_some_and(|word| word.stars > 0) {
            let name = visible(&field.name);
            return Err(ParseError::new(literal.span, "'=' compares exactly and knows no wildcards")
                .hint(format!("{name}:{0} matches a pattern, {name}=\"{0}\" the characters", visible(&literal.text))));
        }
        checked_level(field, literal)
    }

    fn comparison(&mut self, field: &Field, op: CmpOp) -> Parsed<Test> {
        let (literal, word) = self.scan(field)?;
        if let Some(class) = word.and_then(|word| status_class(&word)) {
            return Err(ParseError::new(literal.span, format!("'{}' is a class, not a number", literal.text))
                .hint(format!("{0}:{1}xx, or compare with {1}00", visible(&field.name), class)));
        }
        Ok(Test::Cmp(op, checked_level(field, literal)?))
    }

    /// `value` behind a colon, which may be a pattern, a network or a class.
    fn single(&mut self, field: &Field) -> Parsed<Test> {
        let (literal, word) = self.scan(field)?;
        let Some(word) = word else { return Ok(Test::Match(literal)) };
        if word.only_stars() {
            return Ok(Test::Exists);
        }
        if word.stars > 0 || word.question_marks > 0 && !word.has_query_string() {
            return Ok(Test::Glob(glob(&word, literal.span)?));
        }
        if let Some(class) = status_class(&word) {
            return Ok(Test::StatusClass(class));
        }
        if let Some((net, prefix)) = cidr(&literal)? {
            return Ok(Test::Cidr { net, prefix });
        }
        Ok(Test::Match(checked_level(field, literal)?))
    }

    /// `a OR b)`, `a, b)`. Plain values are one test; with patterns among them it is an `Or` of tests.
    fn list(&mut self, field: Field, open: Span) -> Parsed<Filter> {
        let mut tests = Vec::new();
        loop {
            tests.push(self.single(&field)?);
            if self.take(tag(")")).is_some() {
                break;
            }
            if self.take(alt((lex::or, tag(",")))).is_none() {
                if self.rest().is_empty() {
                    return Err(ParseError::new(open, "unclosed list of values").hint("add ')'"));
                }
                let name = visible(&field.name);
                return Err(ParseError::new(self.here(), "expected ',', OR or ')' after a value")
                    .hint(format!("{name}:(a, b) is one of them; all of them is {name}:a {name}:b")));
            }
        }
        if tests.len() == 1
            && let Some(test) = tests.pop()
        {
            return Ok(Filter::Field { field, test });
        }
        let plain = |test: &Test| if let Test::Match(literal) = test { Some(literal.clone()) } else { None };
        if let Some(literals) = tests.iter().map(plain).collect() {
            return Ok(Filter::Field { field, test: Test::AnyOf(literals) });
        }
        Ok(Filter::Or(tests.into_iter().map(|test| Filter::Field { field: field.clone(), test }).collect()))
    }

    /// `a TO b]`, `a TO b}`
    fn range(&mut self, field: &Field, open: Span) -> Parsed<Test> {
        let low = self.bound(field)?;
        if self.take(lex::keyword("TO")).is_none() {
            return Err(self.in_range(open, "expected TO in a range"));
        }
        let high = self.bound(field)?;
        let Some((close, _)) = self.take(one_of("]}")) else { return Err(self.in_range(open, "expected ']' or '}'")) };
        let span = Span { start: open.start, end: self.pos };
        if let (Some(low), Some(high)) = (&low, &high)
            && let (Some(from), Some(to)) = (low.as_f64(), high.as_f64())
            && from > to
        {
            return Err(
                ParseError::new(span, "the range is empty").hint(format!("{} is more than {}", low.text, high.text))
            );
        }
        let bound = |literal: Option<Literal>, inclusive: bool| match literal {
            None => Bound::Open,
            Some(literal) if inclusive => Bound::Inclusive(literal),
            Some(literal) => Bound::Exclusive(literal),
        };
        Ok(Test::Range { low: bound(low, self.slice(open) == "["), high: bound(high, close == ']') })
    }

    /// `*` is no bound.
    fn bound(&mut self, field: &Field) -> Parsed<Option<Literal>> {
        let (literal, word) = self.scan(field)?;
        if word.is_some_and(|word| word.only_stars()) {
            return Ok(None);
        }
        checked_level(field, literal).map(Some)
    }

    fn in_range(&mut self, open: Span, expected: &str) -> ParseError {
        self.skip();
        let error = match self.peek() {
            None => ParseError::new(open, "unclosed range"),
            Some(_) => ParseError::new(self.here(), expected),
        };
        error.hint("[a TO b] includes its ends, {a TO b} does not, * is open")
    }

    /// A quoted regular expression, checked. `owner` is what asks for it.
    pub(super) fn regex(&mut self, owner: Span) -> Parsed<String> {
        self.skip();
        if !matches!(self.peek(), Some('"' | '\'')) {
            let owner = visible(self.slice(owner));
            return Err(ParseError::new(self.here(), "a regex must be in quotes").hint(if owner == "~" {
                "~\"time(d )?out\"".to_owned()
            } else {
                format!("{owner}=~\"time(d )?out\"")
            }));
        }
        let Some((inside, span)) = self.eat(lex::quoted) else { return Err(self.unexpected()) };
        self.count_regex(span)?;
        let pattern = lex::unescape_regex(inside);
        check_regex(&pattern, inside, span)?;
        Ok(pattern)
    }
}

impl Cursor<'_> {
    pub(super) fn count_regex(&mut self, span: Span) -> Parsed<()> {
        self.regexes += 1;
        if self.regexes > REGEXES_MAX {
            return Err(ParseError::new(span, format!("more than {REGEXES_MAX} regular expressions")));
        }
        Ok(())
    }
}

fn check_regex(pattern: &str, inside: &str, span: Span) -> Parsed<()> {
    let (kind, at) = match regex_syntax::parse(pattern) {
        Ok(_) => {
            let compiled = regex::RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).build();
            return compiled.map(drop).map_err(|_| {
                ParseError::new(span, format!("the regex is larger than {REGEX_BYTES_MAX} bytes when compiled"))
                    .hint("make its repetitions and classes smaller")
            });
        }
        Err(regex_syntax::Error::Parse(error)) => (error.kind().to_string(), *error.span()),
        Err(regex_syntax::Error::Translate(error)) => (error.kind().to_string(), *error.span()),
        Err(error) => return Err(ParseError::new(span, format!("the regex is wrong: {error}"))),
    };
    // Offsets in the pattern are offsets in the text only if no backslash before a quote was dropped.
    let span = if pattern.len() == inside.len() {
        Span { start: span.start + 1 + at.start.offset, end: span.start + 1 + at.end.offset }
    } else {
        span
    };
    let error = ParseError::new(span, format!("the regex is wrong: {}", kind.trim_end_matches('.')));
    Err(if kind.contains("look-around") || kind.contains("backreference") {
        error.hint("regexes run in linear time, so these do not exist; combine two tests instead")
    } else {
        error.hint("a backslash takes a special character literally")
    })
}

/// `5xx`
fn status_class(word: &lex::Word) -> Option<u8> {
    match word.text.as_bytes() {
        [class @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'] if !word.escaped => Some(class - b'0'),
        _ => None,
    }
}

/// `10.0.0.0/8`, `2001:db8::/32`
fn cidr(literal: &Literal) -> Parsed<Option<(IpAddr, u8)>> {
    let Some((net, prefix)) = literal.text.split_once('/') else { return Ok(None) };
    let Ok(net) = net.parse::<IpAddr>() else { return Ok(None) };
    if literal.quoted || prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    let longest = if net.is_ipv4() { 32 } else { 128 };
    match prefix.parse() {
        Ok(prefix) if prefix <= longest => Ok(Some((net, prefix))),
        _ => Err(ParseError::new(literal.span, format!("a network of this kind has a prefix of 0 to {longest}"))),
    }
}

/// Refuses a word that is no level where a level is compared: it would find nothing.
fn checked_level(field: &Field, literal: Literal) -> Parsed<Literal> {
    let free = field.name != field::LEVEL || literal.quoted;
    if free || literal.as_level().is_some() || literal.as_f64().is_some() {
        return Ok(literal);
    }
    let names = Level::ALL.map(Level::as_str);
    let hint = match did_you_mean(&literal.text, names) {
        Some(name) => format!("did you mean '{name}'?"),
        None => format!("levels are {}", names.join(", ")),
    };
    Err(ParseError::new(literal.span, format!("no such level '{}'", visible(&literal.text))).hint(hint))
}

/// A number without a unit.
pub(super) fn decimal(input: &str) -> IResult<&str, f64> {
    map_res(recognize((digit1, opt((char('.'), digit1)))), str::parse).parse(input)
}

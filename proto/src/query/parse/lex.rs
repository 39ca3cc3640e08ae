//! The smallest parts of the language, each a nom parser over the rest of the text.
//!
//! There is no separate list of tokens: `-`, `:` or `/` mean different things in a word, a field and a filter, so the
//! grammar asks here for what may stand at its place.

use nom::branch::alt;
use nom::bytes::complete::{tag, tag_no_case, take_till, take_while};
use nom::character::complete::{anychar, char, digit1, multispace0, one_of, satisfy};
use nom::combinator::{eof, not, peek, recognize, value};
use nom::multi::{fold_many0, fold_many1, many0_count};
use nom::sequence::{delimited, pair, preceded, terminated};
use nom::{IResult, Parser};

use crate::query::ast::CmpOp;

/// Words that mean something in some place; a field of that name is written in backticks.
const RESERVED: [&str; 11] = ["and", "or", "not", "to", "in", "by", "as", "asc", "desc", "since", "until"];

/// A bare word: `{ "\" any | any except space " ' ` ( ) [ ] { } | , = < > ! \ }`.
#[derive(Debug, Default, Clone)]
pub(in crate::query) struct Word {
    /// Without the backslashes.
    pub text: String,
    /// As a wildcard pattern: literal `*`, `?` and `\` keep a backslash before them.
    pub glob: String,
    /// A backslash stood in it, so it is taken literally.
    pub escaped: bool,
    pub stars: usize,
    pub question_marks: usize,
}

impl Word {
    /// A path or a URL: in its text `?` begins the query string.
    pub(super) fn is_address(&self) -> bool {
        self.text.starts_with('/') || self.text.contains("://")
    }

    /// `/search?q=1`: nothing in it is a wildcard unless there is a `*`. Unescaped, `=` can come from nothing else.
    pub(super) fn has_query_string(&self) -> bool {
        self.is_address() && !self.escaped && self.text.contains('=')
    }

    pub(super) fn only_stars(&self) -> bool {
        self.stars > 0 && self.glob.len() == self.stars
    }

    fn with(mut self, piece: Piece) -> Word {
        match piece {
            Piece::Plain(c) => {
                self.stars += usize::from(c == '*');
                self.question_marks += usize::from(c == '?');
                self.glob.push(c);
                self.text.push(c);
            }
            Piece::Escaped(c) => {
                if matches!(c, '*' | '?' | '\\') {
                    self.glob.push('\\');
                }
                self.escaped = true;
                self.glob.push(c);
                self.text.push(c);
            }
        }
        self
    }
}

#[derive(Clone, Copy)]
enum Piece {
    Plain(char),
    Escaped(char),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::query) enum Op {
    Colon,
    Exact,
    NotEqual,
    Regex,
    NotRegex,
    Cmp(CmpOp),
}

pub(in crate::query) fn is_word_char(c: char) -> bool {
    const ENDS: &[char] = &['"', '\'', '`', '(', ')', '[', ']', '{', '}', '|', ',', '=', '<', '>', '!', '\\'];
    !c.is_whitespace() && !ENDS.contains(&c)
}

fn is_field_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '@' | '.' | '/' | '-')
}

/// Whether `name` can stand as a field without backticks.
pub(in crate::query) fn is_plain_field(name: &str) -> bool {
    matches!(ident(name), Ok(("", _))) && !RESERVED.iter().any(|word| word.eq_ignore_ascii_case(name))
}

pub(super) fn space(input: &str) -> IResult<&str, &str> {
    take_while(char::is_whitespace).parse(input)
}

/// `# …` to the end of the line.
pub(super) fn comment(input: &str) -> IResult<&str, &str> {
    recognize((
        char('#'),
        peek(alt((value((), satisfy(char::is_whitespace)), value((), eof)))),
        take_till(|c| c == '\n'),
    ))
    .parse(input)
}

/// `[A-Za-z_@][A-Za-z0-9_@./-]*`
pub(in crate::query) fn ident(input: &str) -> IResult<&str, &str> {
    recognize(pair(satisfy(|c| c.is_ascii_alphabetic() || c == '_' || c == '@'), take_while(is_field_char)))
        .parse(input)
}

pub(super) fn backticked(input: &str) -> IResult<&str, &str> {
    delimited(char('`'), take_till(|c| c == '`'), char('`')).parse(input)
}

pub(in crate::query) fn word(input: &str) -> IResult<&str, Word> {
    let (rest, word) = fold_many1(piece, Word::default, Word::with).parse(input)?;
    if word.is_address() && word.question_marks > 0 && rest.starts_with('=') {
        let query_string = alt((piece, char('=').map(Piece::Plain)));
        let mut word = Some(word);
        return fold_many0(query_string, move || word.take().unwrap_or_default(), Word::with).parse(rest);
    }
    Ok((rest, word))
}

fn piece(input: &str) -> IResult<&str, Piece> {
    alt((
        preceded(char('\\'), anychar).map(Piece::Escaped),
        preceded(not(tag("&&")), satisfy(is_word_char)).map(Piece::Plain),
    ))
    .parse(input)
}

/// `"…"` or `'…'`: what is inside, backslashes and all.
pub(super) fn quoted(input: &str) -> IResult<&str, &str> {
    alt((delimited(char('"'), inside('"'), char('"')), delimited(char('\''), inside('\''), char('\'')))).parse(input)
}

fn inside<'a>(quote: char) -> impl Parser<&'a str, Output = &'a str, Error = nom::error::Error<&'a str>> {
    let plain = satisfy(move |c| c != quote && c != '\\');
    recognize(many0_count(alt((recognize(pair(char('\\'), anychar)), recognize(plain)))))
}

/// What a quoted string means. A backslash before anything but a quote, a backslash, `n`, `r` or `t` stands for itself.
pub(super) fn unescape(inside: &str) -> String {
    each_escape(inside, |c, out| match c {
        '"' | '\'' | '\\' => out.push(c),
        'n' => out.push('\n'),
        'r' => out.push('\r'),
        't' => out.push('\t'),
        c => out.extend(['\\', c]),
    })
}

/// The inverse of [`unescape`], with its quotes.
pub(in crate::query) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The regular expression inside quotes: only quotes lose their backslash, the others are the pattern's own.
pub(super) fn unescape_regex(inside: &str) -> String {
    each_escape(inside, |c, out| match c {
        '"' | '\'' => out.push(c),
        c => out.extend(['\\', c]),
    })
}

/// The inverse of [`unescape_regex`], with its quotes.
pub(in crate::query) fn quote_regex(pattern: &str) -> String {
    let mut out = String::from("\"");
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => {
                out.push('\\');
                out.extend(chars.next());
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn each_escape(inside: &str, mut escape: impl FnMut(char, &mut String)) -> String {
    let mut out = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => escape(chars.next().unwrap_or('\\'), &mut out),
            c => out.push(c),
        }
    }
    out
}

/// `name` in any case, when it is not the beginning of a longer word or a field of that name (`or=5`, `not:x`).
pub(super) fn keyword<'a>(
    name: &'static str,
) -> impl Parser<&'a str, Output = &'a str, Error = nom::error::Error<&'a str>> {
    let goes_on = alt((
        recognize(preceded(not(tag("&&")), satisfy(is_word_char))),
        recognize(one_of("=<>\\")),
        tag("!="),
        tag("!~"),
    ));
    terminated(tag_no_case(name), not(goes_on))
}

/// `NOT`, `!` or `-`.
pub(super) fn negation(input: &str) -> IResult<&str, &str> {
    alt((keyword("NOT"), terminated(tag("!"), not(char('='))), tag("-"))).parse(input)
}

/// `AND` or `&&`.
pub(super) fn and(input: &str) -> IResult<&str, &str> {
    alt((keyword("AND"), tag("&&"))).parse(input)
}

/// `OR` or `||`.
pub(super) fn or(input: &str) -> IResult<&str, &str> {
    alt((keyword("OR"), tag("||"))).parse(input)
}

/// `> >= < <=`
pub(super) fn compare(input: &str) -> IResult<&str, CmpOp> {
    alt((
        value(CmpOp::Ge, tag(">=")),
        value(CmpOp::Le, tag("<=")),
        value(CmpOp::Gt, tag(">")),
        value(CmpOp::Lt, tag("<")),
    ))
    .parse(input)
}

/// What stands between a field and its value. `::` and `://` are parts of words; in `:::1` the first colon is one.
pub(super) fn field_op(input: &str) -> IResult<&str, Op> {
    let single_colon = terminated(tag(":"), not(alt((tag(":"), tag("//")))));
    let colon = alt((terminated(tag(":"), peek(tag("::"))), single_colon));
    alt((
        value(Op::Regex, tag("=~")),
        value(Op::NotRegex, tag("!~")),
        value(Op::NotEqual, tag("!=")),
        compare.map(Op::Cmp),
        value(Op::Exact, tag("=")),
        value(Op::Colon, colon),
    ))
    .parse(input)
}

/// Digits that are not the beginning of a word: `10`, not `10m`.
pub(super) fn integer(input: &str) -> IResult<&str, &str> {
    terminated(digit1, not(satisfy(is_word_char))).parse(input)
}

/// `in(`, the beginning of a subquery.
pub(super) fn subquery(input: &str) -> IResult<&str, &str> {
    recognize((tag_no_case("in("), multispace0)).parse(input)
}

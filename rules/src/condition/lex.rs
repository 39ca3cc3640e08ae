//! Words of a condition, by nom, each with the bytes that it came from.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::{multispace0, satisfy};
use nom::combinator::{map, recognize, value};
use nom::sequence::pair;
use nom::{IResult, Parser};

use logweir_proto::text;

use super::{CompareOp, ConditionError, MathOp};

/// Byte range `[start, end)` of the text of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'a> {
    Number(f64),
    Duration(f64),
    Name(&'a str),
    Compare(CompareOp),
    Math(MathOp),
    And,
    Or,
    Not,
    Open,
    Close,
    Comma,
}

/// A word before its meaning is checked: numbers with their suffix are looked at by [`number`].
#[derive(Debug, Clone, Copy)]
enum Raw<'a> {
    Number(&'a str),
    Word(&'a str),
    Token(Token<'a>),
}

pub(super) fn tokens(source: &str) -> Result<Vec<(Token<'_>, Span)>, ConditionError> {
    let mut out = Vec::new();
    let mut rest = source;
    loop {
        rest = spaces(rest);
        let start = source.len() - rest.len();
        if rest.is_empty() {
            return Ok(out);
        }
        let Ok((after, raw)) = raw(rest) else {
            let bad = rest.chars().next().unwrap_or(' ');
            let hint = match bad {
                '=' => Some("equality is '=='".to_owned()),
                '&' => Some("write 'and'".to_owned()),
                '|' => Some("write 'or'".to_owned()),
                '"' | '\'' => Some("a condition compares numbers; text belongs into the filter".to_owned()),
                _ => None,
            };
            let span = Span { start, end: start + bad.len_utf8() };
            return Err(ConditionError { span, message: format!("'{bad}' does not belong here"), hint });
        };
        let span = Span { start, end: source.len() - after.len() };
        out.push((meaning(raw, span)?, span));
        rest = after;
    }
}

fn spaces(input: &str) -> &str {
    multispace0::<_, nom::error::Error<&str>>(input).map_or(input, |(rest, _)| rest)
}

fn raw(input: &str) -> IResult<&str, Raw<'_>> {
    let number = recognize(pair(
        satisfy(|c| c.is_ascii_digit()),
        take_while(|c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '%' | '_' | 'µ')),
    ));
    let word = recognize(pair(
        satisfy(|c| c.is_alphabetic() || c == '_'),
        take_while(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.')),
    ));
    alt((map(number, Raw::Number), map(word, Raw::Word), map(alt((comparison, symbol)), Raw::Token))).parse(input)
}

fn comparison(input: &str) -> IResult<&str, Token<'_>> {
    map(
        alt((
            value(CompareOp::GreaterOrEqual, tag(">=")),
            value(CompareOp::LessOrEqual, tag("<=")),
            value(CompareOp::Equal, tag("==")),
            value(CompareOp::NotEqual, tag("!=")),
            value(CompareOp::Greater, tag(">")),
            value(CompareOp::Less, tag("<")),
        )),
        Token::Compare,
    )
    .parse(input)
}

fn symbol(input: &str) -> IResult<&str, Token<'_>> {
    alt((
        value(Token::And, tag("&&")),
        value(Token::Or, tag("||")),
        value(Token::Not, tag("!")),
        value(Token::Open, tag("(")),
        value(Token::Close, tag(")")),
        value(Token::Comma, tag(",")),
        value(Token::Math(MathOp::Add), tag("+")),
        value(Token::Math(MathOp::Subtract), tag("-")),
        value(Token::Math(MathOp::Multiply), tag("*")),
        value(Token::Math(MathOp::Divide), tag("/")),
    ))
    .parse(input)
}

fn meaning(raw: Raw<'_>, span: Span) -> Result<Token<'_>, ConditionError> {
    match raw {
        Raw::Token(token) => Ok(token),
        Raw::Number(text) => number(text, span),
        Raw::Word(word) => Ok(match word.to_ascii_lowercase().as_str() {
            "and" => Token::And,
            "or" => Token::Or,
            "not" => Token::Not,
            _ => Token::Name(word),
        }),
    }
}

fn number(written: &str, span: Span) -> Result<Token<'_>, ConditionError> {
    let plain = |text: &str| digits(text).and_then(|text| text.parse::<f64>().ok()).filter(|n| n.is_finite());
    if let Some(token) = plain(written).map(Token::Number) {
        return Ok(token);
    }
    if let Some(token) = written.strip_suffix('%').and_then(plain).map(|n| Token::Number(n / 100.0)) {
        return Ok(token);
    }
    if let Some(duration) = text::parse_duration(written) {
        return Ok(Token::Duration(duration.as_secs_f64()));
    }
    let hint = "for example 20, 0.5, 5%, 300ms, 2s or 1h30m".to_owned();
    Err(ConditionError { span, message: format!("'{written}' is not a number"), hint: Some(hint) })
}

/// `1e9` and `inf` are numbers to Rust, but not to people who read an alert rule.
fn digits(text: &str) -> Option<&str> {
    let (rest, _) =
        take_while1::<_, _, nom::error::Error<&str>>(|c: char| c.is_ascii_digit() || c == '.')(text).ok()?;
    rest.is_empty().then_some(text)
}

//! From words to a checked expression: precedence, types (a number or a truth), known names, units of durations.

use logweir_proto::text;

use super::lex::{Span, Token, tokens};
use super::{
    CONDITION_BYTES_MAX, CONDITION_DEPTH_MAX, CompareOp, Condition, ConditionError, Expr, Known, MathOp, NameKind,
    Shift,
};

/// Reads a condition: something that holds or does not.
pub fn parse_condition(source: &str, known: &[Known]) -> Result<Condition, ConditionError> {
    let (root, kind, span) = parse(source, known)?;
    if kind != Kind::Truth {
        let hint = "compare it, for example '… >= 20'".to_owned();
        return Err(ConditionError { span, message: "this is a number, not a condition".to_owned(), hint: Some(hint) });
    }
    Ok(Condition::new(source.to_owned(), root))
}

/// Reads an expression that computes a number.
pub fn parse_number(source: &str, known: &[Known]) -> Result<Condition, ConditionError> {
    let (root, kind, span) = parse(source, known)?;
    if kind != Kind::Number {
        return Err(error(span, "this is a condition, not a number"));
    }
    Ok(Condition::new(source.to_owned(), root))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Truth,
}

type Parsed = (Expr, Kind, Span);

fn parse(source: &str, known: &[Known]) -> Result<Parsed, ConditionError> {
    if source.len() > CONDITION_BYTES_MAX {
        let message = format!("{} bytes is too long for a condition, at most {CONDITION_BYTES_MAX}", source.len());
        return Err(error(Span { start: 0, end: 1 }, message));
    }
    let mut parser = Parser { tokens: tokens(source)?, next: 0, depth: 0, end: source.len(), known };
    let parsed = parser.or()?;
    match parser.peek() {
        None => Ok(parsed),
        Some((Token::Compare(_), span)) => Err(ConditionError {
            span,
            message: "comparisons do not chain".to_owned(),
            hint: Some("write 'a < b and b < c'".to_owned()),
        }),
        Some((_, span)) => Err(error(span, "'and', 'or' or an operator is missing before this")),
    }
}

fn error(span: Span, message: impl Into<String>) -> ConditionError {
    ConditionError { span, message: message.into(), hint: None }
}

struct Parser<'a> {
    tokens: Vec<(Token<'a>, Span)>,
    next: usize,
    depth: usize,
    end: usize,
    known: &'a [Known],
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<(Token<'a>, Span)> {
        self.tokens.get(self.next).copied()
    }

    fn eat(&mut self, token: Token<'_>) -> bool {
        let found = self.peek().is_some_and(|(next, _)| next == token);
        self.next += usize::from(found);
        found
    }

    fn or(&mut self) -> Result<Parsed, ConditionError> {
        let mut left = self.and()?;
        while self.eat(Token::Or) {
            let right = self.and()?;
            left = both(left, right, Expr::Or)?;
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Parsed, ConditionError> {
        let mut left = self.not()?;
        while self.eat(Token::And) {
            let right = self.not()?;
            left = both(left, right, Expr::And)?;
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Parsed, ConditionError> {
        let Some((Token::Not, at)) = self.peek() else { return self.compare() };
        self.next += 1;
        let (inner, kind, span) = self.deeper(at, Parser::not)?;
        want(kind, Kind::Truth, span)?;
        Ok((Expr::Not(Box::new(inner)), Kind::Truth, join(at, span)))
    }

    fn compare(&mut self) -> Result<Parsed, ConditionError> {
        let left = self.sum()?;
        let Some((Token::Compare(op), _)) = self.peek() else { return Ok(left) };
        self.next += 1;
        let right = self.sum()?;
        self.comparison(op, left, right)
    }

    fn comparison(&self, op: CompareOp, left: Parsed, right: Parsed) -> Result<Parsed, ConditionError> {
        want(left.1, Kind::Number, left.2)?;
        want(right.1, Kind::Number, right.2)?;
        let span = join(left.2, right.2);
        let (mut left, mut right) = (left.0, right.0);
        if has_duration(&left) || has_duration(&right) {
            let per_second = self.unit_of(&[&left, &right], span)?;
            set_unit(&mut left, per_second);
            set_unit(&mut right, per_second);
        }
        Ok((Expr::Compare(op, Box::new(left), Box::new(right)), Kind::Truth, span))
    }

    /// The unit that the names in these expressions share.
    fn unit_of(&self, sides: &[&Expr], span: Span) -> Result<f64, ConditionError> {
        let mut names = Vec::new();
        for side in sides {
            super::collect(side, &mut names);
        }
        let mut units = names.iter().filter_map(|name| self.known.iter().find(|k| k.name == **name));
        let first = units.next().map_or(1.0, |known| known.per_second);
        if units.any(|known| known.per_second != first) {
            return Err(error(span, "the signals here have different units of time; compare plain numbers"));
        }
        Ok(first)
    }

    fn sum(&mut self) -> Result<Parsed, ConditionError> {
        let mut left = self.product()?;
        while let Some((Token::Math(op @ (MathOp::Add | MathOp::Subtract)), _)) = self.peek() {
            self.next += 1;
            let right = self.product()?;
            left = math(op, left, right)?;
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Parsed, ConditionError> {
        let mut left = self.negate()?;
        while let Some((Token::Math(op @ (MathOp::Multiply | MathOp::Divide)), _)) = self.peek() {
            self.next += 1;
            let right = self.negate()?;
            left = math(op, left, right)?;
        }
        Ok(left)
    }

    fn negate(&mut self) -> Result<Parsed, ConditionError> {
        let Some((Token::Math(MathOp::Subtract), at)) = self.peek() else { return self.atom() };
        self.next += 1;
        let (inner, kind, span) = self.deeper(at, Parser::negate)?;
        want(kind, Kind::Number, span)?;
        Ok((Expr::Negate(Box::new(inner)), Kind::Number, join(at, span)))
    }

    fn atom(&mut self) -> Result<Parsed, ConditionError> {
        let Some((token, span)) = self.peek() else {
            return Err(error(Span { start: self.end, end: self.end }, "something is missing at the end"));
        };
        self.next += 1;
        match token {
            Token::Number(number) => match self.peek() {
                Some((Token::Name("points" | "point"), unit)) => {
                    self.next += 1;
                    Ok((Expr::Number(number / 100.0), Kind::Number, join(span, unit)))
                }
                _ => Ok((Expr::Number(number), Kind::Number, span)),
            },
            Token::Duration(seconds) => Ok((Expr::Duration(seconds), Kind::Number, span)),
            Token::Name("prev") if self.peek().is_some_and(|(next, _)| next == Token::Open) => self.prev(span),
            Token::Name(name) => self.name(name, span),
            Token::Open => {
                let (inner, kind, _) = self.deeper(span, Parser::or)?;
                let close = self.peek().map_or(Span { start: self.end, end: self.end }, |(_, span)| span);
                if !self.eat(Token::Close) {
                    return Err(error(span, "this parenthesis is never closed"));
                }
                Ok((inner, kind, join(span, close)))
            }
            _ => Err(error(span, "a number, a signal or '(' is missing before this")),
        }
    }

    fn name(&self, name: &str, span: Span) -> Result<Parsed, ConditionError> {
        if let Some(known) = self.known.iter().find(|known| known.name == name) {
            return Ok(match known.kind {
                NameKind::Truth => (Expr::Truth(name.to_owned()), Kind::Truth, span),
                NameKind::Signal | NameKind::Number => (Expr::Name(name.to_owned()), Kind::Number, span),
            });
        }
        let names = || self.known.iter().map(|known| known.name.as_str());
        let hint = match text::did_you_mean(name, names()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("known here: {}", names().collect::<Vec<_>>().join(", ")),
        };
        Err(ConditionError { span, message: format!("unknown signal '{name}'"), hint: Some(hint) })
    }

    /// `prev(SIGNAL, DURATION)`, from its parenthesis on.
    fn prev(&mut self, at: Span) -> Result<Parsed, ConditionError> {
        let shape = || ConditionError {
            span: at,
            message: "prev takes a signal and a duration".to_owned(),
            hint: Some("for example prev(errors, 1h)".to_owned()),
        };
        self.next += 1;
        let Some((Token::Name(name), span)) = self.peek() else { return Err(shape()) };
        self.next += 1;
        let (_, kind, _) = self.name(name, span)?;
        let is_signal = self.known.iter().any(|known| known.name == name && known.kind == NameKind::Signal);
        if kind != Kind::Number || !is_signal {
            let message = format!("'{name}' has no earlier value: prev takes a signal with a filter");
            return Err(error(span, message));
        }
        if !self.eat(Token::Comma) {
            return Err(shape());
        }
        let Some((Token::Duration(seconds), _)) = self.peek() else { return Err(shape()) };
        self.next += 1;
        let Some((Token::Close, end)) = self.peek() else { return Err(shape()) };
        self.next += 1;
        let by = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let shift = Shift {
            key: format!("prev({name}, {})", text::format_duration(by)),
            signal: name.to_owned(),
            by_ns: i64::try_from(by.as_nanos()).unwrap_or(i64::MAX),
        };
        Ok((Expr::Prev(shift), Kind::Number, join(at, end)))
    }

    fn deeper(
        &mut self,
        at: Span,
        inner: fn(&mut Parser<'a>) -> Result<Parsed, ConditionError>,
    ) -> Result<Parsed, ConditionError> {
        self.depth += 1;
        if self.depth > CONDITION_DEPTH_MAX {
            return Err(error(at, format!("nested deeper than {CONDITION_DEPTH_MAX}")));
        }
        let parsed = inner(self);
        self.depth -= 1;
        parsed
    }
}

fn both(left: Parsed, right: Parsed, make: fn(Box<Expr>, Box<Expr>) -> Expr) -> Result<Parsed, ConditionError> {
    want(left.1, Kind::Truth, left.2)?;
    want(right.1, Kind::Truth, right.2)?;
    Ok((make(Box::new(left.0), Box::new(right.0)), Kind::Truth, join(left.2, right.2)))
}

fn math(op: MathOp, left: Parsed, right: Parsed) -> Result<Parsed, ConditionError> {
    want(left.1, Kind::Number, left.2)?;
    want(right.1, Kind::Number, right.2)?;
    Ok((Expr::Math(op, Box::new(left.0), Box::new(right.0)), Kind::Number, join(left.2, right.2)))
}

fn want(found: Kind, wanted: Kind, span: Span) -> Result<(), ConditionError> {
    match (found, wanted) {
        (Kind::Number, Kind::Truth) => Err(error(span, "this is a number; compare it with something")),
        (Kind::Truth, Kind::Number) => Err(error(span, "this is a condition; a number is needed here")),
        _ => Ok(()),
    }
}

fn join(a: Span, b: Span) -> Span {
    Span { start: a.start, end: b.end }
}

fn has_duration(expr: &Expr) -> bool {
    match expr {
        Expr::Duration(_) => true,
        Expr::Negate(inner) => has_duration(inner),
        Expr::Math(_, a, b) => has_duration(a) || has_duration(b),
        _ => false,
    }
}

fn set_unit(expr: &mut Expr, per_second: f64) {
    match expr {
        Expr::Duration(seconds) => *expr = Expr::Number(*seconds * per_second),
        Expr::Negate(inner) => set_unit(inner, per_second),
        Expr::Math(_, a, b) => {
            set_unit(a, per_second);
            set_unit(b, per_second);
        }
        _ => {}
    }
}

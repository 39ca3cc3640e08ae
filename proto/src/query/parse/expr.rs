//! Expressions of `eval`.
//!
//! ```text
//! expr = and { ( "or" | "||" ) and }        and  = not { ( "and" | "&&" ) not }
//! not  = ( "not" | "!" ) not | cmp          cmp  = sum [ ( "==" | "=" | "!=" | ">=" | "<=" | ">" | "<" ) sum ]
//! sum  = prod { ( "+" | "-" ) prod }        prod = sign { ( "*" | "/" | "%" ) sign }
//! sign = "-" sign | atom
//! atom = number [ unit ] | string | "true" | "false" | fn "(" expr { "," expr } ")" | name | "(" expr ")"
//! ```
//!
//! `-` and `/` are operators here, so a field with one of them in its name stands in backticks.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::satisfy;
use nom::combinator::{recognize, value};
use nom::sequence::pair;
use nom::{IResult, Parser};

use super::{Cursor, EXPR_NODES_MAX, ParseError, Parsed, aggs, lex};
use crate::query::ast::{ArithOp, CmpOp, Expr, ExprFunc, Field, Literal, Relation, Span};
use crate::text::{did_you_mean, visible};

impl Cursor<'_> {
    pub(super) fn expr(&mut self) -> Parsed<Expr> {
        let here = self.here();
        self.nested(here, Cursor::disjunction)
    }

    fn disjunction(&mut self) -> Parsed<Expr> {
        let mut left = self.conjunction()?;
        while self.take(lex::or).is_some() {
            let right = self.conjunction()?;
            left = self.node(Expr::Or(Box::new(left), Box::new(right)))?;
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Parsed<Expr> {
        let mut left = self.negation()?;
        while self.take(lex::and).is_some() {
            let right = self.negation()?;
            left = self.node(Expr::And(Box::new(left), Box::new(right)))?;
        }
        Ok(left)
    }

    fn negation(&mut self) -> Parsed<Expr> {
        if let Some((_, span)) = self.take(alt((lex::keyword("NOT"), tag("!")))) {
            let inner = self.nested(span, Cursor::negation)?;
            return self.node(Expr::Not(Box::new(inner)));
        }
        let left = self.sum()?;
        match self.take(relation) {
            Some((relation, _)) => {
                let right = self.sum()?;
                self.node(Expr::Compare(relation, Box::new(left), Box::new(right)))
            }
            None => Ok(left),
        }
    }

    fn sum(&mut self) -> Parsed<Expr> {
        let mut left = self.product()?;
        while let Some((op, _)) = self.take(alt((value(ArithOp::Add, tag("+")), value(ArithOp::Sub, tag("-"))))) {
            let right = self.product()?;
            left = self.node(Expr::Arith(op, Box::new(left), Box::new(right)))?;
        }
        Ok(left)
    }

    fn product(&mut self) -> Parsed<Expr> {
        let mut left = self.sign()?;
        let op = || alt((value(ArithOp::Mul, tag("*")), value(ArithOp::Div, tag("/")), value(ArithOp::Rem, tag("%"))));
        while let Some((op, _)) = self.take(op()) {
            let right = self.sign()?;
            left = self.node(Expr::Arith(op, Box::new(left), Box::new(right)))?;
        }
        Ok(left)
    }

    fn sign(&mut self) -> Parsed<Expr> {
        if let Some((_, span)) = self.take(tag("-")) {
            let inner = self.nested(span, Cursor::sign)?;
            return self.node(Expr::Negate(Box::new(inner)));
        }
        self.atom()
    }

    fn atom(&mut self) -> Parsed<Expr> {
        self.skip();
        match self.peek() {
            Some('(') => {
                let Some((_, open)) = self.eat(tag("(")) else { return Err(self.unexpected()) };
                let inner = self.nested(open, Cursor::disjunction)?;
                self.close(open)?;
                Ok(inner)
            }
            Some('"' | '\'') => {
                let (text, span) = self.string()?;
                self.node(Expr::Literal(Literal { text, quoted: true, span }))
            }
            Some('`') => match self.field()? {
                Some(field) => self.node(Expr::Field(field)),
                None => Err(self.unexpected()),
            },
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            _ => self.name(),
        }
    }

    fn number(&mut self) -> Parsed<Expr> {
        let Some((text, span)) = self.eat(take_while1(|c: char| c.is_ascii_alphanumeric() || c == '.' || c == 'µ'))
        else {
            return Err(self.unexpected());
        };
        let literal = Literal { text: text.to_owned(), quoted: false, span };
        if literal.as_f64().is_none() {
            return Err(ParseError::new(span, format!("'{}' is not a number", visible(text)))
                .hint("100, 0.5, 250ms, 1.5s, 10MB; a text stands in quotes"));
        }
        self.node(Expr::Literal(literal))
    }

    /// A field, `true`, `false`, a function, or a column named like an aggregate.
    fn name(&mut self) -> Parsed<Expr> {
        let start = self.pos;
        let Some((name, span)) = self.eat(name) else {
            let error = match self.peek() {
                None | Some('|' | ')' | ',') => ParseError::new(self.here(), "an expression is missing here"),
                Some(_) => self.unexpected(),
            };
            return Err(error.hint("eval pct = 100 * errors / count"));
        };
        if self.peek() != Some('(') {
            return self.node(if is_truth(name) {
                Expr::Literal(Literal { text: name.to_owned(), quoted: false, span })
            } else {
                Expr::Field(Field { name: name.to_owned(), span })
            });
        }
        let function = ExprFunc::ALL.into_iter().find(|function| function.as_str().eq_ignore_ascii_case(name));
        if let Some(function) = function {
            let Some((_, open)) = self.eat(tag("(")) else { return Err(self.unexpected()) };
            let args = self.nested(open, |cursor| cursor.arguments(open))?;
            let of_column = args.len() == 1 && matches!(function, ExprFunc::Min | ExprFunc::Max);
            if !of_column {
                return self.call(function, args, span);
            }
        } else if !aggs::is_function(name) {
            let known = ExprFunc::ALL.map(ExprFunc::as_str);
            let hint = match did_you_mean(name, known) {
                Some(known) => format!("did you mean '{known}'?"),
                None => format!("functions of an expression are {}", known.join(", ")),
            };
            return Err(ParseError::new(span, format!("unknown function '{name}'")).hint(hint));
        }
        // The column that `stats` has named so.
        self.pos = start;
        match self.column()? {
            Some(field) => self.node(Expr::Field(field)),
            None => Err(self.unexpected()),
        }
    }

    /// `a, b)`
    fn arguments(&mut self, open: Span) -> Parsed<Vec<Expr>> {
        let mut args = vec![self.disjunction()?];
        while self.take(tag(",")).is_some() {
            args.push(self.disjunction()?);
        }
        self.close(open)?;
        Ok(args)
    }

    fn call(&mut self, function: ExprFunc, args: Vec<Expr>, span: Span) -> Parsed<Expr> {
        let (least, most) = function.arity();
        if (least..=most).contains(&args.len()) {
            return self.node(Expr::Call(function, args));
        }
        let wants = match (least, most) {
            (1, 1) => "one argument".to_owned(),
            (least, most) if least == most => format!("{least} arguments"),
            (least, usize::MAX) => format!("{least} or more arguments"),
            (least, most) => format!("{least} to {most} arguments"),
        };
        Err(ParseError::new(span, format!("'{}' takes {wants}, not {}", function.as_str(), args.len())))
    }

    /// Counts a part: what is nested through many operators is walked by recursion.
    fn node(&mut self, expr: Expr) -> Parsed<Expr> {
        self.expr_nodes += 1;
        if self.expr_nodes > EXPR_NODES_MAX {
            return Err(ParseError::new(self.here(), format!("expressions of more than {EXPR_NODES_MAX} parts")));
        }
        Ok(expr)
    }
}

fn is_truth(name: &str) -> bool {
    name.eq_ignore_ascii_case("true") || name.eq_ignore_ascii_case("false")
}

/// Whether a field can stand in an expression without backticks.
pub(in crate::query) fn is_plain_name(text: &str) -> bool {
    matches!(name(text), Ok(("", _))) && lex::is_plain_field(text) && !is_truth(text)
}

/// `[A-Za-z_@][A-Za-z0-9_@.]*`
fn name(input: &str) -> IResult<&str, &str> {
    recognize(pair(
        satisfy(|c| c.is_ascii_alphabetic() || c == '_' || c == '@'),
        take_while(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '@' | '.')),
    ))
    .parse(input)
}

fn relation(input: &str) -> IResult<&str, Relation> {
    alt((
        value(Relation::Equal, tag("==")),
        value(Relation::Equal, tag("=")),
        value(Relation::NotEqual, tag("!=")),
        lex::compare.map(|op: CmpOp| Relation::Order(op)),
    ))
    .parse(input)
}

//! Expressions: an operator within another stands in parentheses.

use std::fmt::{self, Display, Formatter};

use super::join;
use crate::query::ast::{Expr, Literal, Relation};
use crate::query::parse::expr::is_plain_name;
use crate::query::parse::lex;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Literal(Literal { text, quoted: false, .. }) => f.write_str(text),
            Expr::Literal(literal) => f.write_str(&lex::quote(&literal.text)),
            Expr::Field(field) if is_plain_name(&field.name) => f.write_str(&field.name),
            Expr::Field(field) => write!(f, "`{}`", field.name),
            Expr::Negate(inner) => write!(f, "-{}", Operand(inner)),
            Expr::Not(inner) => write!(f, "NOT {}", Operand(inner)),
            Expr::Arith(op, left, right) => write!(f, "{} {} {}", Operand(left), op.as_str(), Operand(right)),
            Expr::Compare(relation, left, right) => write!(f, "{} {relation} {}", Operand(left), Operand(right)),
            Expr::And(left, right) => write!(f, "{} AND {}", Operand(left), Operand(right)),
            Expr::Or(left, right) => write!(f, "{} OR {}", Operand(left), Operand(right)),
            Expr::Call(function, args) => {
                write!(f, "{}(", function.as_str())?;
                join(f, args, ", ", |arg, f| write!(f, "{arg}"))?;
                f.write_str(")")
            }
        }
    }
}

/// An expression as part of another.
struct Operand<'a>(&'a Expr);

impl Display for Operand<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Expr::Literal(_) | Expr::Field(_) | Expr::Call(..) => write!(f, "{}", self.0),
            _ => write!(f, "({})", self.0),
        }
    }
}

impl Display for Relation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Relation::Equal => f.write_str("=="),
            Relation::NotEqual => f.write_str("!="),
            Relation::Order(op) => write!(f, "{op}"),
        }
    }
}

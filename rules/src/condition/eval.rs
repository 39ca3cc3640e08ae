//! What a condition says about given numbers. Depth is bounded by the parser, so recursion is.

use super::{CompareOp, Expr, MathOp, Values};

pub(super) fn truth(expr: &Expr, values: &Values) -> bool {
    match expr {
        Expr::And(a, b) => truth(a, values) && truth(b, values),
        Expr::Or(a, b) => truth(a, values) || truth(b, values),
        Expr::Not(inner) => !truth(inner, values),
        Expr::Compare(op, a, b) => match (number(a, values), number(b, values)) {
            (Some(a), Some(b)) => match op {
                CompareOp::Less => a < b,
                CompareOp::LessOrEqual => a <= b,
                CompareOp::Greater => a > b,
                CompareOp::GreaterOrEqual => a >= b,
                CompareOp::Equal => a == b,
                CompareOp::NotEqual => a != b,
            },
            _ => false,
        },
        Expr::Number(_) | Expr::Duration(_) | Expr::Name(_) | Expr::Negate(_) | Expr::Math(..) => false,
    }
}

pub(super) fn number(expr: &Expr, values: &Values) -> Option<f64> {
    let value = match expr {
        Expr::Number(value) | Expr::Duration(value) => *value,
        Expr::Name(name) => *values.get(name)?,
        Expr::Negate(inner) => -number(inner, values)?,
        Expr::Math(op, a, b) => {
            let (a, b) = (number(a, values)?, number(b, values)?);
            match op {
                MathOp::Add => a + b,
                MathOp::Subtract => a - b,
                MathOp::Multiply => a * b,
                MathOp::Divide => a / b,
            }
        }
        Expr::Compare(..) | Expr::And(..) | Expr::Or(..) | Expr::Not(_) => return None,
    };
    value.is_finite().then_some(value)
}

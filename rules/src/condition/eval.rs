//! What a condition says about given numbers. Depth is bounded by the parser, so recursion is.

use super::{CompareOp, Doubts, Expr, MathOp, Proportions, Values, walk};

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
        Expr::Truth(name) => values.get(name).is_some_and(|value| *value != 0.0),
        Expr::Significant(proportions) => significant(proportions, values),
        Expr::Number(_) | Expr::Duration(_) | Expr::Name(_) | Expr::Prev(_) | Expr::Negate(_) | Expr::Math(..) => false,
    }
}

/// What is true of every number that the doubtful ones may still become.
pub(super) fn decided(expr: &Expr, values: &Values, doubts: &Doubts) -> Option<bool> {
    match expr {
        Expr::And(a, b) => match (decided(a, values, doubts), decided(b, values, doubts)) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        },
        Expr::Or(a, b) => match (decided(a, values, doubts), decided(b, values, doubts)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        },
        Expr::Not(inner) => decided(inner, values, doubts).map(|truth| !truth),
        other if !is_doubtful(other, doubts) => Some(truth(other, values)),
        Expr::Compare(op, a, b) => match (&**a, &**b) {
            (Expr::Name(name), limit) if doubts.get(name) == Some(&true) && !is_doubtful(limit, doubts) => {
                lower_bound(*op, number(a, values), number(limit, values))
            }
            _ => None,
        },
        _ => None,
    }
}

/// A number that is at least `a`, against `b`.
fn lower_bound(op: CompareOp, a: Option<f64>, b: Option<f64>) -> Option<bool> {
    let (a, b) = (a?, b?);
    match op {
        CompareOp::Greater if a > b => Some(true),
        CompareOp::GreaterOrEqual if a >= b => Some(true),
        CompareOp::NotEqual if a > b => Some(true),
        CompareOp::Less if a >= b => Some(false),
        CompareOp::LessOrEqual | CompareOp::Equal if a > b => Some(false),
        _ => None,
    }
}

fn is_doubtful(expr: &Expr, doubts: &Doubts) -> bool {
    let mut found = false;
    walk(expr, &mut |part| match part {
        Expr::Name(name) | Expr::Truth(name) => found |= doubts.contains_key(name),
        Expr::Prev(shift) => found |= doubts.contains_key(&shift.key),
        Expr::Significant(of) => found |= of.hits.iter().chain(&of.trials).any(|name| doubts.contains_key(name)),
        _ => {}
    });
    found
}

pub(super) fn number(expr: &Expr, values: &Values) -> Option<f64> {
    let value = match expr {
        Expr::Number(value) | Expr::Duration(value) => *value,
        Expr::Name(name) => *values.get(name)?,
        Expr::Prev(shift) => *values.get(&shift.key)?,
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
        Expr::Compare(..) | Expr::And(..) | Expr::Or(..) | Expr::Not(_) | Expr::Truth(_) | Expr::Significant(_) => {
            return None;
        }
    };
    value.is_finite().then_some(value)
}

/// The test of two proportions with the pooled variance. Without trials on both sides nothing is significant.
fn significant(of: &Proportions, values: &Values) -> bool {
    let get = |name: &String| values.get(name).copied();
    let [Some(hits_a), Some(hits_b)] = [get(&of.hits[0]), get(&of.hits[1])] else { return false };
    let [Some(trials_a), Some(trials_b)] = [get(&of.trials[0]), get(&of.trials[1])] else { return false };
    if trials_a <= 0.0 || trials_b <= 0.0 {
        return false;
    }
    let pooled = (hits_a + hits_b) / (trials_a + trials_b);
    let variance = pooled * (1.0 - pooled) * (1.0 / trials_a + 1.0 / trials_b);
    let difference = (hits_a / trials_a - hits_b / trials_b).abs();
    variance > 0.0 && difference / variance.sqrt() >= of.z
}

//! What a condition says about given numbers. Depth is bounded by the parser, so recursion is.
//!
//! A number that is absent is NaN in here: arithmetic keeps it, and no comparison holds with it.

use super::{CompareOp, Expr, MathOp, Proportions, Slot, Values, walk};

/// Numbers by their names.
pub(super) fn named(values: &Values) -> impl Fn(&String) -> f64 {
    |name| values.get(name).copied().unwrap_or(f64::NAN)
}

/// Numbers by their places.
pub(super) fn placed(numbers: &[f64]) -> impl Fn(&Slot) -> f64 {
    |slot| numbers.get(*slot).copied().unwrap_or(f64::NAN)
}

pub(super) fn truth<N>(expr: &Expr<N>, of: &impl Fn(&N) -> f64) -> bool {
    match expr {
        Expr::And(a, b) => truth(a, of) && truth(b, of),
        Expr::Or(a, b) => truth(a, of) || truth(b, of),
        Expr::Not(inner) => !truth(inner, of),
        Expr::Compare(op, a, b) => {
            let (a, b) = (number(a, of), number(b, of));
            match op {
                CompareOp::Less => a < b,
                CompareOp::LessOrEqual => a <= b,
                CompareOp::Greater => a > b,
                CompareOp::GreaterOrEqual => a >= b,
                CompareOp::Equal => a == b,
                CompareOp::NotEqual => a != b && !a.is_nan() && !b.is_nan(),
            }
        }
        Expr::Truth(name) => {
            let value = of(name);
            value != 0.0 && !value.is_nan()
        }
        Expr::Significant(proportions) => significant(proportions, of),
        Expr::Number(_) | Expr::Duration(_) | Expr::Name(_) | Expr::Prev(_) | Expr::Negate(_) | Expr::Math(..) => false,
    }
}

/// What is true of every number that the doubtful ones may still become. `doubt`: whether a number is doubtful, and
/// then whether it can only grow.
pub(super) fn decided<N>(expr: &Expr<N>, of: &impl Fn(&N) -> f64, doubt: &impl Fn(&N) -> Option<bool>) -> Option<bool> {
    match expr {
        Expr::And(a, b) => match (decided(a, of, doubt), decided(b, of, doubt)) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        },
        Expr::Or(a, b) => match (decided(a, of, doubt), decided(b, of, doubt)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        },
        Expr::Not(inner) => decided(inner, of, doubt).map(|truth| !truth),
        other if !is_doubtful(other, doubt) => Some(truth(other, of)),
        Expr::Compare(op, a, b) => match (&**a, &**b) {
            (Expr::Name(name), limit) if doubt(name) == Some(true) && !is_doubtful(limit, doubt) => {
                lower_bound(*op, number(a, of), number(limit, of))
            }
            _ => None,
        },
        _ => None,
    }
}

/// A number that is at least `a`, against `b`.
fn lower_bound(op: CompareOp, a: f64, b: f64) -> Option<bool> {
    match op {
        CompareOp::Greater if a > b => Some(true),
        CompareOp::GreaterOrEqual if a >= b => Some(true),
        CompareOp::NotEqual if a > b => Some(true),
        CompareOp::Less if a >= b => Some(false),
        CompareOp::LessOrEqual | CompareOp::Equal if a > b => Some(false),
        _ => None,
    }
}

fn is_doubtful<N>(expr: &Expr<N>, doubt: &impl Fn(&N) -> Option<bool>) -> bool {
    let mut found = false;
    walk(expr, &mut |part| match part {
        Expr::Name(name) | Expr::Truth(name) => found |= doubt(name).is_some(),
        Expr::Prev(shift) => found |= doubt(&shift.key).is_some(),
        Expr::Significant(of) => found |= of.hits.iter().chain(&of.trials).any(|name| doubt(name).is_some()),
        _ => {}
    });
    found
}

pub(super) fn number<N>(expr: &Expr<N>, of: &impl Fn(&N) -> f64) -> f64 {
    let value = match expr {
        Expr::Number(value) | Expr::Duration(value) => *value,
        Expr::Name(name) => of(name),
        Expr::Negate(inner) => -number(inner, of),
        Expr::Math(op, a, b) => {
            let (a, b) = (number(a, of), number(b, of));
            match op {
                MathOp::Add => a + b,
                MathOp::Subtract => a - b,
                MathOp::Multiply => a * b,
                MathOp::Divide => a / b,
            }
        }
        Expr::Prev(shift) => of(&shift.key),
        Expr::Compare(..) | Expr::And(..) | Expr::Or(..) | Expr::Not(_) | Expr::Truth(_) | Expr::Significant(_) => {
            f64::NAN
        }
    };
    if value.is_finite() { value } else { f64::NAN }
}

/// The test of two proportions with the pooled variance. Without trials on both sides nothing is significant.
fn significant<N>(proportions: &Proportions<N>, of: &impl Fn(&N) -> f64) -> bool {
    let [hits_a, hits_b] = [of(&proportions.hits[0]), of(&proportions.hits[1])];
    let [trials_a, trials_b] = [of(&proportions.trials[0]), of(&proportions.trials[1])];
    if !(trials_a > 0.0 && trials_b > 0.0) {
        return false;
    }
    let pooled = (hits_a + hits_b) / (trials_a + trials_b);
    let variance = pooled * (1.0 - pooled) * (1.0 / trials_a + 1.0 / trials_b);
    let difference = (hits_a / trials_a - hits_b / trials_b).abs();
    variance > 0.0 && difference / variance.sqrt() >= proportions.z
}

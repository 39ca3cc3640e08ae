//! What a condition says about given numbers. Depth is bounded by the parser, so recursion is.
//!
//! A number that is absent is NaN in here: arithmetic keeps it, and no comparison holds with it.

use super::{CompareOp, Expr, MathOp, Proportions, Slot, Values};

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
                CompareOp::NotEqual => a < b || a > b,
            }
        }
        Expr::Truth(name) => {
            let value = of(name);
            value < 0.0 || value > 0.0
        }
        Expr::Significant(proportions) => significant(proportions, of),
        Expr::Number(_) | Expr::Duration(_) | Expr::Name(_) | Expr::Prev(_) | Expr::Negate(_) | Expr::Math(..) => false,
    }
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

//! The value of an expression in one row. What cannot be computed is not there.

use std::cmp::Ordering;

use logweir_proto::query::ast::{ArithOp, CmpOp, Expr, ExprFunc, Literal, Relation};

use super::{Fields, Val, decimal, name_of, order_of};

pub(super) fn value(expr: &Expr, row: &Fields) -> Option<Val> {
    let of = |expr: &Expr| value(expr, row);
    let truth = |expr: &Expr| of(expr) == Some(Val::Bool(true));
    match expr {
        Expr::Literal(literal) => Some(constant(literal)),
        Expr::Field(field) => row.get(name_of(field)).cloned(),
        Expr::Negate(inner) => arith(ArithOp::Sub, &Val::Int(0), &of(inner)?),
        Expr::Not(inner) => match of(inner)? {
            Val::Bool(truth) => Some(Val::Bool(!truth)),
            _ => None,
        },
        Expr::And(a, b) => Some(Val::Bool(truth(a) && truth(b))),
        Expr::Or(a, b) => Some(Val::Bool(truth(a) || truth(b))),
        Expr::Arith(op, a, b) => arith(*op, &of(a)?, &of(b)?),
        Expr::Compare(relation, a, b) => {
            let order = order_of("", Some(&of(a)?), Some(&of(b)?), false);
            Some(Val::Bool(match relation {
                Relation::Equal => order.is_eq(),
                Relation::NotEqual => order.is_ne(),
                Relation::Order(CmpOp::Lt) => order.is_lt(),
                Relation::Order(CmpOp::Le) => order.is_le(),
                Relation::Order(CmpOp::Gt) => order.is_gt(),
                Relation::Order(CmpOp::Ge) => order.is_ge(),
            }))
        }
        Expr::Call(function, args) => call(*function, args, &of),
    }
}

fn constant(literal: &Literal) -> Val {
    if literal.quoted {
        return Val::Text(literal.text.clone());
    }
    if let Some(ms) = literal.text.strip_suffix("ms").and_then(|ms| ms.parse().ok()) {
        return Val::Int(ms);
    }
    match (literal.text.parse(), decimal(&literal.text)) {
        (Ok(whole), _) => Val::Int(whole),
        (Err(_), Some(number)) if number.fract() == 0.0 => Val::Int(number as i64),
        (Err(_), Some(number)) => Val::Float(number),
        (Err(_), None) if literal.text == "true" => Val::Bool(true),
        (Err(_), None) if literal.text == "false" => Val::Bool(false),
        (Err(_), None) => Val::Text(literal.text.clone()),
    }
}

fn numeric(value: &Val) -> Option<Val> {
    match value {
        Val::Int(_) | Val::Float(_) => Some(value.clone()),
        Val::Text(text) => text.parse().map(Val::Int).ok().or_else(|| decimal(text).map(Val::Float)),
        _ => None,
    }
}

fn float(number: f64) -> Option<Val> {
    number.is_finite().then_some(Val::Float(number))
}

fn arith(op: ArithOp, a: &Val, b: &Val) -> Option<Val> {
    let (a, b) = (numeric(a)?, numeric(b)?);
    if let (Val::Int(a), Val::Int(b)) = (&a, &b) {
        let (a, b) = (i128::from(*a), i128::from(*b));
        let whole = match op {
            ArithOp::Add => Some(a + b),
            ArithOp::Sub => Some(a - b),
            ArithOp::Mul => Some(a * b),
            ArithOp::Rem => (b != 0).then(|| a % b),
            ArithOp::Div => (b != 0 && a % b == 0).then(|| a / b),
        };
        if let Some(whole) = whole.and_then(|whole| i64::try_from(whole).ok()) {
            return Some(Val::Int(whole));
        }
    }
    let (a, b) = (a.number()?, b.number()?);
    float(match op {
        ArithOp::Add => a + b,
        ArithOp::Sub => a - b,
        ArithOp::Mul => a * b,
        ArithOp::Div => a / b,
        ArithOp::Rem => a % b,
    })
}

fn call(function: ExprFunc, args: &[Expr], of: &dyn Fn(&Expr) -> Option<Val>) -> Option<Val> {
    let there = || args.iter().filter_map(of);
    let first = || of(&args[0]);
    let end = |wanted: Ordering| {
        let better = |a: Val, b: Val| if order_of("", Some(&b), Some(&a), false) == wanted { b } else { a };
        there().reduce(better)
    };
    match function {
        ExprFunc::If => of(&args[if first() == Some(Val::Bool(true)) { 1 } else { 2 }]),
        ExprFunc::Coalesce => there().next(),
        ExprFunc::Concat => Some(Val::Text(there().map(|value| value.shown()).collect())),
        ExprFunc::Min => end(Ordering::Less),
        ExprFunc::Max => end(Ordering::Greater),
        ExprFunc::Round => match numeric(&first()?)? {
            Val::Float(number) => {
                let digits = args.get(1).and_then(|digits| of(digits)?.number()).unwrap_or(0.0);
                let scale = 10f64.powi(digits as i32);
                float((number * scale).round() / scale)
            }
            whole => Some(whole),
        },
        ExprFunc::Abs => match numeric(&first()?)? {
            Val::Int(whole) => whole.checked_abs().map(Val::Int),
            number => float(number.number()?.abs()),
        },
        ExprFunc::Len => Some(Val::Int(first()?.shown().chars().count() as i64)),
        ExprFunc::Lower => Some(Val::Text(first()?.shown().to_lowercase())),
        ExprFunc::Upper => Some(Val::Text(first()?.shown().to_uppercase())),
        ExprFunc::Num => numeric(&first()?),
        ExprFunc::Bytes | ExprFunc::Duration => {
            let value = first()?;
            numeric(&value).or_else(|| match value {
                Val::Text(text) => Some(Val::Int(match (function, &*text) {
                    (ExprFunc::Bytes, "4KiB") => 4096,
                    (ExprFunc::Bytes, "10MB") => 10_000_000,
                    (ExprFunc::Duration, "1.5s") => 1500,
                    (ExprFunc::Duration, "250ms") => 250,
                    _ => return None,
                })),
                _ => None,
            })
        }
    }
}

//! Expressions of `eval`, over the rows of a batch.
//!
//! What is not there is null, and so is what cannot be computed: a number from a text that spells none, a division by
//! zero. Comparisons with null are null, which is not true.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use arrow::record_batch::RecordBatch;
use logweir_proto::query::ast::{ArithOp, CmpOp, Expr, ExprFunc, Field, Literal, Relation};
use logweir_proto::query::value::parse_time;
use logweir_proto::text;

use crate::search::cell::{FieldColumns, Value, canonical};
use crate::search::mask::Mask;
use crate::search::order::SortValue;

/// Longest text that an expression makes, in bytes: `concat` of long lines must not grow without end.
pub(in crate::search) const TEXT_BYTES_MAX: usize = 64 << 10;

const NANOS_PER_MILLI: i64 = 1_000_000;

/// An expression with its fields found out.
#[derive(Debug, Clone)]
pub(super) struct Computed {
    expr: Expr,
    now_ns: i64,
    fields: Vec<String>,
}

/// Calls `each` with every field of an expression.
pub(super) fn fields(expr: &Expr, each: &mut dyn FnMut(&Field)) {
    match expr {
        Expr::Literal(_) => {}
        Expr::Field(field) => each(field),
        Expr::Negate(inner) | Expr::Not(inner) => fields(inner, each),
        Expr::Arith(_, left, right)
        | Expr::Compare(_, left, right)
        | Expr::And(left, right)
        | Expr::Or(left, right) => {
            fields(left, each);
            fields(right, each);
        }
        Expr::Call(_, args) => args.iter().for_each(|arg| fields(arg, each)),
    }
}

impl Computed {
    pub(super) fn new(expr: &Expr, now_ns: i64) -> Computed {
        let mut names: Vec<String> = Vec::new();
        fields(expr, &mut |field| {
            let name = canonical(&field.name);
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        });
        Computed { expr: expr.clone(), now_ns, fields: names }
    }

    pub(super) fn inputs(&self) -> BTreeSet<&str> {
        self.fields.iter().map(String::as_str).collect()
    }

    /// A value for each row of `mask`, null for the others.
    pub(super) fn run(&self, batch: &RecordBatch, mask: &Mask) -> Vec<Value> {
        let columns = self.fields.iter().map(|name| (name.as_str(), FieldColumns::new(batch, name))).collect();
        let mut rows = Rows { columns, now_ns: self.now_ns, row: 0 };
        let mut values = vec![Value::Null; batch.num_rows()];
        for row in mask.rows() {
            rows.row = row;
            values[row] = rows.value(&self.expr);
        }
        values
    }
}

struct Rows<'a> {
    columns: Vec<(&'a str, FieldColumns<'a>)>,
    now_ns: i64,
    row: usize,
}

impl Rows<'_> {
    fn value(&self, expr: &Expr) -> Value {
        match expr {
            Expr::Literal(literal) => literal_value(literal),
            Expr::Field(field) => {
                let name = canonical(&field.name);
                let column = self.columns.iter().find(|(known, _)| *known == name);
                column.map_or(Value::Null, |(_, columns)| columns.cell(self.row).to_value())
            }
            Expr::Negate(inner) => arith(ArithOp::Sub, &Value::Int(0), &self.value(inner)),
            Expr::Not(inner) => truth(&self.value(inner)).map_or(Value::Null, |truth| Value::Bool(!truth)),
            Expr::Arith(op, left, right) => arith(*op, &self.value(left), &self.value(right)),
            Expr::Compare(relation, left, right) => {
                self.compare(*relation, &self.value(left), &self.value(right)).map_or(Value::Null, Value::Bool)
            }
            Expr::And(left, right) => Value::Bool(self.is_true(left) && self.is_true(right)),
            Expr::Or(left, right) => Value::Bool(self.is_true(left) || self.is_true(right)),
            Expr::Call(function, args) => self.call(*function, args),
        }
    }

    fn is_true(&self, expr: &Expr) -> bool {
        truth(&self.value(expr)) == Some(true)
    }

    fn compare(&self, relation: Relation, left: &Value, right: &Value) -> Option<bool> {
        if left.is_null() || right.is_null() {
            return None;
        }
        let order = match (left, right) {
            // A text beside a time is a time as people write them: `seen < "-10m"`.
            (Value::Time(time), Value::Text(text)) => time.cmp(&parse_time(text, self.now_ns)?),
            (Value::Text(text), Value::Time(time)) => parse_time(text, self.now_ns)?.cmp(time),
            _ => key(left).compare(&key(right), false),
        };
        Some(match relation {
            Relation::Equal => order == Ordering::Equal,
            Relation::NotEqual => order != Ordering::Equal,
            Relation::Order(CmpOp::Lt) => order == Ordering::Less,
            Relation::Order(CmpOp::Le) => order != Ordering::Greater,
            Relation::Order(CmpOp::Gt) => order == Ordering::Greater,
            Relation::Order(CmpOp::Ge) => order != Ordering::Less,
        })
    }

    fn call(&self, function: ExprFunc, args: &[Expr]) -> Value {
        let arg = |at: usize| args.get(at).map_or(Value::Null, |arg| self.value(arg));
        match function {
            ExprFunc::If => arg(if self.is_true(&args[0]) { 1 } else { 2 }),
            ExprFunc::Coalesce => {
                args.iter().map(|arg| self.value(arg)).find(|value| !value.is_null()).unwrap_or(Value::Null)
            }
            ExprFunc::Concat => {
                let mut out = String::new();
                args.iter().for_each(|arg| out.push_str(&self.value(arg).text()));
                bounded(out)
            }
            ExprFunc::Min => self.extreme(args, Ordering::Less),
            ExprFunc::Max => self.extreme(args, Ordering::Greater),
            ExprFunc::Round => rounded(&arg(0), args.get(1).and_then(|digits| self.value(digits).cell().number())),
            ExprFunc::Abs => match numeric(&arg(0)) {
                Some(Value::Int(value)) => value.checked_abs().map_or(Value::Null, Value::Int),
                Some(Value::Float(value)) => Value::Float(value.abs()),
                _ => Value::Null,
            },
            ExprFunc::Len => match arg(0) {
                Value::Null => Value::Null,
                value => Value::Int(value.text().chars().count() as i64),
            },
            ExprFunc::Lower => of_text(&arg(0), |text| bounded(text.to_lowercase())),
            ExprFunc::Upper => of_text(&arg(0), |text| bounded(text.to_uppercase())),
            ExprFunc::Num => numeric(&arg(0)).unwrap_or(Value::Null),
            ExprFunc::Bytes => match numeric(&arg(0)) {
                Some(number) => number,
                None => of_text(&arg(0), |size| {
                    let bytes = text::parse_bytes(size).and_then(|bytes| i64::try_from(bytes).ok());
                    bytes.map_or(Value::Null, Value::Int)
                }),
            },
            ExprFunc::Duration => match numeric(&arg(0)) {
                Some(number) => number,
                None => of_text(&arg(0), |span| {
                    text::parse_duration(span).map_or(Value::Null, |span| float(span.as_nanos() as f64 / 1e6))
                }),
            },
        }
    }

    fn extreme(&self, args: &[Expr], wanted: Ordering) -> Value {
        let values = args.iter().map(|arg| self.value(arg)).filter(|value| !value.is_null());
        let better = |best: Value, value: Value| {
            if key(&value).compare(&key(&best), false) == wanted { value } else { best }
        };
        values.reduce(better).unwrap_or(Value::Null)
    }
}

fn literal_value(literal: &Literal) -> Value {
    if let Some(whole) = literal.as_i64() {
        return Value::Int(whole);
    }
    if let Some(number) = literal.as_f64() {
        return Value::Float(number);
    }
    literal.as_bool().map_or_else(|| Value::Text(literal.text.as_str().into()), Value::Bool)
}

fn key(value: &Value) -> SortValue {
    SortValue::new("", &value.cell())
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        _ => None,
    }
}

/// The number that a value is or spells.
fn numeric(value: &Value) -> Option<Value> {
    match value {
        Value::Int(_) | Value::Float(_) => Some(value.clone()),
        Value::Text(text) => match text.parse() {
            Ok(whole) => Some(Value::Int(whole)),
            Err(_) => value.cell().number().map(Value::Float),
        },
        _ => None,
    }
}

fn arith(op: ArithOp, left: &Value, right: &Value) -> Value {
    match (left, right) {
        // Times differ by milliseconds, as durations are counted everywhere.
        (Value::Time(a), Value::Time(b)) if op == ArithOp::Sub => {
            return a.checked_sub(*b).map_or(Value::Null, |ns| float(ns as f64 / NANOS_PER_MILLI as f64));
        }
        (Value::Time(time), shift) if matches!(op, ArithOp::Add | ArithOp::Sub) => {
            let Some(ms) = numeric(shift).and_then(|number| number.cell().number()) else { return Value::Null };
            let ns = (ms * NANOS_PER_MILLI as f64) as i64;
            let moved = if op == ArithOp::Add { time.checked_add(ns) } else { time.checked_sub(ns) };
            return moved.map_or(Value::Null, Value::Time);
        }
        _ => {}
    }
    let (Some(left), Some(right)) = (numeric(left), numeric(right)) else { return Value::Null };
    if let (Value::Int(a), Value::Int(b)) = (&left, &right) {
        let whole = match op {
            ArithOp::Add => a.checked_add(*b),
            ArithOp::Sub => a.checked_sub(*b),
            ArithOp::Mul => a.checked_mul(*b),
            ArithOp::Rem => a.checked_rem(*b),
            ArithOp::Div => (a.checked_rem(*b) == Some(0)).then(|| a / b),
        };
        if let Some(whole) = whole {
            return Value::Int(whole);
        }
    }
    let (Some(a), Some(b)) = (left.cell().number(), right.cell().number()) else { return Value::Null };
    float(match op {
        ArithOp::Add => a + b,
        ArithOp::Sub => a - b,
        ArithOp::Mul => a * b,
        ArithOp::Div => a / b,
        ArithOp::Rem => a % b,
    })
}

fn float(value: f64) -> Value {
    if value.is_finite() { Value::Float(value) } else { Value::Null }
}

fn rounded(value: &Value, digits: Option<f64>) -> Value {
    const DIGITS_MAX: f64 = 15.0;
    match numeric(value) {
        Some(Value::Int(whole)) => Value::Int(whole),
        Some(Value::Float(number)) => {
            let scale = 10f64.powf(digits.unwrap_or(0.0).clamp(0.0, DIGITS_MAX).trunc());
            float((number * scale).round() / scale)
        }
        _ => Value::Null,
    }
}

fn of_text(value: &Value, made: impl FnOnce(&str) -> Value) -> Value {
    if value.is_null() { Value::Null } else { made(&value.text()) }
}

fn bounded(mut text: String) -> Value {
    if text.len() > TEXT_BYTES_MAX {
        let end = (0..=TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    Value::Text(text.into())
}

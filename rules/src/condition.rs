//! The small language of `when`, `recover_when` and `expr`: arithmetic and comparisons over named numbers.
//!
//! ```text
//! or    = and { ("or" | "||") and }          and  = not { ("and" | "&&") not }
//! not   = ("not" | "!") not | cmp            cmp  = sum [ (">=" | "<=" | ">" | "<" | "==" | "!=") sum ]
//! sum   = prod { ("+" | "-") prod }          prod = neg { ("*" | "/") neg }
//! neg   = "-" neg | atom
//! atom  = number [ "%" | "points" ] | duration | name | "prev" "(" name "," duration ")" | "(" or ")"
//! ```
//! It is total: every condition has an answer for every input, in time linear to its length. A number can be absent
//! (the average of no lines, a division by zero): arithmetic with it is absent, a comparison with it is false.
//! `5%` is 0.05, and so is `5 points`, which reads better for a difference of two ratios. A duration is in seconds, or
//! in the unit of the field that it is compared with: a signal over a field named `…_ms` has milliseconds. Some names
//! are truths of their own, such as `anomaly` and `new_pattern`. `prev(x, 1h)` is the signal as it was an hour before.

mod eval;
mod lex;
mod parse;

use std::collections::BTreeMap;

pub use lex::Span;
pub use parse::{parse_condition, parse_number};

/// Longest condition that is read.
pub const CONDITION_BYTES_MAX: usize = 4096;

/// Deepest nesting of parentheses and signs.
pub const CONDITION_DEPTH_MAX: usize = 64;

/// A name that a condition may use.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    pub name: String,
    /// How many units of it make a second: 1000 for a signal over a field of milliseconds.
    pub per_second: f64,
    pub kind: NameKind,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// A number that is asked of the store, which can also be asked of an earlier time.
    Signal,
    Number,
    Truth,
}

impl Known {
    /// A name that the kind of the rule defines; times are in seconds.
    pub fn of(name: &str, kind: NameKind) -> Known {
        Known { name: name.to_owned(), per_second: 1.0, kind }
    }
}

/// What [`Condition::shifts`] lists: `prev(errors, 1h)`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shift<N = String> {
    /// The name under which its value is given: the text itself.
    pub key: N,
    pub signal: String,
    pub by_ns: i64,
}

/// Two proportions that a comparison is about, as names: `errors` of `total` here against those there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Proportions<N = String> {
    pub(crate) hits: [N; 2],
    pub(crate) trials: [N; 2],
    /// Quantile of the normal distribution that the difference must exceed.
    pub(crate) z: f64,
}

/// A checked condition or expression; every name in it is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    pub text: String,
    pub(crate) root: Expr,
    /// The same over places of numbers; see [`Condition::bind`].
    bound: Expr<Slot>,
}

/// The place of a number among those of a rule.
pub(crate) type Slot = usize;

/// `N` is what stands for a number: its name as the file has it, or its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr<N = String> {
    Number(f64),
    /// Seconds, until [`parse`] knows what it is compared with.
    Duration(f64),
    Name(N),
    /// A name that is true or false: a number other than zero is true.
    Truth(N),
    Prev(Shift<N>),
    /// The two differ by more than chance explains.
    Significant(Proportions<N>),
    Negate(Box<Expr<N>>),
    Math(MathOp, Box<Expr<N>>, Box<Expr<N>>),
    Compare(CompareOp, Box<Expr<N>>, Box<Expr<N>>),
    And(Box<Expr<N>>, Box<Expr<N>>),
    Or(Box<Expr<N>>, Box<Expr<N>>),
    Not(Box<Expr<N>>),
}

impl Expr {
    /// The same with places for names; earlier values are numbers of their own.
    fn bind(&self, slot: &dyn Fn(&str) -> Slot) -> Expr<Slot> {
        let inner = |expr: &Expr| Box::new(expr.bind(slot));
        let both = |names: &[String; 2]| [slot(&names[0]), slot(&names[1])];
        match self {
            Expr::Number(number) => Expr::Number(*number),
            Expr::Duration(seconds) => Expr::Duration(*seconds),
            Expr::Name(name) => Expr::Name(slot(name)),
            Expr::Truth(name) => Expr::Truth(slot(name)),
            Expr::Prev(shift) => Expr::Name(slot(&shift.key)),
            Expr::Significant(of) => {
                Expr::Significant(Proportions { hits: both(&of.hits), trials: both(&of.trials), z: of.z })
            }
            Expr::Negate(a) => Expr::Negate(inner(a)),
            Expr::Math(op, a, b) => Expr::Math(*op, inner(a), inner(b)),
            Expr::Compare(op, a, b) => Expr::Compare(*op, inner(a), inner(b)),
            Expr::And(a, b) => Expr::And(inner(a), inner(b)),
            Expr::Or(a, b) => Expr::Or(inner(a), inner(b)),
            Expr::Not(a) => Expr::Not(inner(a)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MathOp {
    Add,
    Subtract,
    Multiply,
    Divide,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CompareOp {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

/// What is wrong with a condition, and where in its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConditionError {
    pub span: Span,
    pub message: String,
    pub hint: Option<String>,
}

/// The numbers that a condition is asked about.
pub type Values = BTreeMap<String, f64>;

/// Of each number in its place whether it is not known for good, and then whether it can only become greater. Empty:
/// all are known.
pub(crate) type Doubts = Vec<Option<bool>>;

impl Condition {
    pub(crate) fn new(text: String, root: Expr) -> Condition {
        // Until it is bound no number is known to it.
        let bound = root.bind(&|_| Slot::MAX);
        Condition { text, root, bound }
    }

    /// Gives every name its place. A rule does so once when it is read, and then decides without looking names up.
    pub(crate) fn bind(&mut self, slot: &dyn Fn(&str) -> Slot) {
        self.bound = self.root.bind(slot);
    }

    /// Whether it holds.
    pub fn holds(&self, values: &Values) -> bool {
        eval::truth(&self.root, &eval::named(values))
    }

    /// The number that it computes; `None` when an input is absent.
    pub fn number(&self, values: &Values) -> Option<f64> {
        Some(eval::number(&self.root, &eval::named(values))).filter(|number| !number.is_nan())
    }

    /// Whether it holds for numbers in their places; NaN is absent.
    pub(crate) fn is_true(&self, numbers: &[f64]) -> bool {
        eval::truth(&self.bound, &eval::placed(numbers))
    }

    /// Whether it holds whatever the doubtful numbers turn out to be; `None`: that depends on them.
    pub(crate) fn decided(&self, numbers: &[f64], doubts: &Doubts) -> Option<bool> {
        if doubts.is_empty() {
            return Some(self.is_true(numbers));
        }
        let doubt = |slot: &Slot| doubts.get(*slot).copied().flatten();
        eval::decided(&self.bound, &eval::placed(numbers), &doubt)
    }

    /// The same for numbers by their names. `doubts`: those that are doubtful, and whether they can only grow.
    pub fn decided_by(&self, values: &Values, doubts: &BTreeMap<String, bool>) -> Option<bool> {
        eval::decided(&self.root, &eval::named(values), &|name: &String| doubts.get(name).copied())
    }

    /// Whether it would hold if chance did not explain the difference.
    pub(crate) fn is_chance(&self, numbers: &[f64]) -> bool {
        let of = eval::placed(numbers);
        match &self.bound {
            Expr::And(a, b) if matches!(**b, Expr::Significant(_)) => eval::truth(a, &of) && !eval::truth(b, &of),
            _ => false,
        }
    }

    /// The number that it computes of numbers in their places; NaN when an input is absent.
    pub(crate) fn compute(&self, numbers: &[f64]) -> f64 {
        eval::number(&self.bound, &eval::placed(numbers))
    }

    /// The names that it uses, in the order in which they stand in the text.
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        collect(&self.root, &mut names);
        names
    }

    /// The signals of earlier times that it uses.
    pub fn shifts(&self) -> Vec<Shift> {
        let mut shifts: Vec<Shift> = Vec::new();
        walk(&self.root, &mut |expr| match expr {
            Expr::Prev(shift) if !shifts.contains(shift) => shifts.push(shift.clone()),
            _ => {}
        });
        shifts
    }

    /// The names whose values decide, those of earlier times by their keys.
    pub(crate) fn inputs(&self) -> Vec<String> {
        let shifted = self.shifts().into_iter().map(|shift| shift.key);
        self.names().into_iter().map(str::to_owned).chain(shifted).collect()
    }

    /// The numbers that stand in it.
    pub(crate) fn constants(&self) -> Vec<f64> {
        let mut constants = Vec::new();
        walk(&self.root, &mut |expr| {
            if let Expr::Number(number) = expr {
                constants.push(*number);
            }
        });
        constants
    }

    /// Whether a test of significance is a part of it.
    pub(crate) fn is_statistical(&self) -> bool {
        let mut found = false;
        walk(&self.root, &mut |expr| found |= matches!(expr, Expr::Significant(_)));
        found
    }

    /// The same condition, true only when `other` is as well.
    pub(crate) fn and(self, other: Expr) -> Condition {
        Condition::new(self.text, Expr::And(Box::new(self.root), Box::new(other)))
    }

    /// The first comparison of a name with a constant, `timeouts >= 20` → `(timeouts, ">=", 20)`: what a message
    /// shows as the threshold.
    pub fn threshold(&self) -> Option<(&str, &'static str, f64)> {
        first_threshold(&self.root)
    }
}

fn collect<'a>(expr: &'a Expr, names: &mut Vec<&'a str>) {
    walk(expr, &mut |expr| match expr {
        Expr::Name(name) | Expr::Truth(name) | Expr::Prev(Shift { signal: name, .. })
            if !names.contains(&name.as_str()) =>
        {
            names.push(name);
        }
        _ => {}
    });
}

fn walk<'a, N>(expr: &'a Expr<N>, visit: &mut dyn FnMut(&'a Expr<N>)) {
    visit(expr);
    match expr {
        Expr::Negate(inner) | Expr::Not(inner) => walk(inner, visit),
        Expr::Math(_, a, b) | Expr::Compare(_, a, b) | Expr::And(a, b) | Expr::Or(a, b) => {
            walk(a, visit);
            walk(b, visit);
        }
        _ => {}
    }
}

fn first_threshold(expr: &Expr) -> Option<(&str, &'static str, f64)> {
    match expr {
        Expr::Compare(op, a, b) => match (&**a, eval::number(b, &|_: &String| f64::NAN)) {
            (Expr::Name(name), limit) if !limit.is_nan() => Some((name, op.text(), limit)),
            _ => None,
        },
        Expr::And(a, b) | Expr::Or(a, b) => first_threshold(a).or_else(|| first_threshold(b)),
        _ => None,
    }
}

impl CompareOp {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            CompareOp::Less => "<",
            CompareOp::LessOrEqual => "<=",
            CompareOp::Greater => ">",
            CompareOp::GreaterOrEqual => ">=",
            CompareOp::Equal => "==",
            CompareOp::NotEqual => "!=",
        }
    }
}

#[cfg(test)]
mod tests;

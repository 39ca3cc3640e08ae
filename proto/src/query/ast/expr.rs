//! What `eval` computes from the fields of a row.

use super::{CmpOp, Field, Literal};

/// An expression over one row.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// A number with its unit, or a text in quotes.
    Literal(Literal),
    Field(Field),
    Negate(Box<Expr>),
    Not(Box<Expr>),
    Arith(ArithOp, Box<Expr>, Box<Expr>),
    Compare(Relation, Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Call(ExprFunc, Vec<Expr>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArithOp {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
}

impl ArithOp {
    pub const fn as_str(self) -> &'static str {
        match self {
            ArithOp::Add => "+",
            ArithOp::Sub => "-",
            ArithOp::Mul => "*",
            ArithOp::Div => "/",
            ArithOp::Rem => "%",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    Equal,
    NotEqual,
    Order(CmpOp),
}

/// A function of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExprFunc {
    /// `round(x)`, `round(x, digits)`
    Round,
    Abs,
    Min,
    Max,
    /// Characters of a text.
    Len,
    Lower,
    Upper,
    /// All arguments as one text.
    Concat,
    /// `if(condition, then, else)`
    If,
    /// The first argument that is there.
    Coalesce,
    /// The number that a text spells.
    Num,
    /// The bytes that a text like `10MB` spells.
    Bytes,
    /// The milliseconds that a text like `1.5s` spells.
    Duration,
}

impl ExprFunc {
    pub const ALL: [ExprFunc; 13] = [
        ExprFunc::Round,
        ExprFunc::Abs,
        ExprFunc::Min,
        ExprFunc::Max,
        ExprFunc::Len,
        ExprFunc::Lower,
        ExprFunc::Upper,
        ExprFunc::Concat,
        ExprFunc::If,
        ExprFunc::Coalesce,
        ExprFunc::Num,
        ExprFunc::Bytes,
        ExprFunc::Duration,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            ExprFunc::Round => "round",
            ExprFunc::Abs => "abs",
            ExprFunc::Min => "min",
            ExprFunc::Max => "max",
            ExprFunc::Len => "len",
            ExprFunc::Lower => "lower",
            ExprFunc::Upper => "upper",
            ExprFunc::Concat => "concat",
            ExprFunc::If => "if",
            ExprFunc::Coalesce => "coalesce",
            ExprFunc::Num => "num",
            ExprFunc::Bytes => "bytes",
            ExprFunc::Duration => "duration",
        }
    }

    /// How many arguments it takes, from and to.
    pub const fn arity(self) -> (usize, usize) {
        match self {
            ExprFunc::Round => (1, 2),
            ExprFunc::Min | ExprFunc::Max => (2, usize::MAX),
            ExprFunc::Concat | ExprFunc::Coalesce => (1, usize::MAX),
            ExprFunc::If => (3, 3),
            ExprFunc::Abs
            | ExprFunc::Len
            | ExprFunc::Lower
            | ExprFunc::Upper
            | ExprFunc::Num
            | ExprFunc::Bytes
            | ExprFunc::Duration => (1, 1),
        }
    }
}

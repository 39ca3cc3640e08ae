//! What is asked of one field, for every type that its values may have.

use std::collections::HashSet;

use logweir_proto::query::ast::{Bound, CmpOp, Literal, Query, Test};
use logweir_proto::record::{Level, field};
use logweir_runtime::clock;

use super::Context;
use super::memo::Memo;
use super::number::NumRange;
use super::text::{TextBound, TextTest};
use crate::search::Error;
use crate::search::cell::{Cell, Column, FieldColumns};
use crate::search::literal;
use crate::search::mask::Mask;
use crate::search::scan::TimeRange;
use crate::store::token::{Phrase, fold};

/// Fields whose values are names: `service:api` is that service and not `api-gateway`. In all others `field:value`
/// looks for words.
pub const KEYWORDS: [&str; 15] = [
    field::LEVEL,
    field::SERVICE,
    field::HOST,
    field::ENV,
    field::TRACK,
    field::SOURCE,
    field::STREAM,
    field::METHOD,
    field::STATUS,
    field::CLIENT_IP,
    field::USER_ID,
    field::CONTAINER,
    field::PM2_APP,
    field::TRACE_ID,
    field::PATTERN_ID,
];

/// Fields that bare words are looked for in.
pub const TEXT_FIELDS: [&str; 2] = [field::MESSAGE, field::EXCEPTION_STACK];

/// Shorter parts of texts are in nearly all columns.
const PART_BYTES_MIN: usize = 3;

/// A test of one field, compiled.
#[derive(Debug, Clone)]
pub struct FieldTest {
    exists: bool,
    text: TextTest,
    numbers: Vec<NumRange>,
    /// Of what a number, time or boolean looks like when it is printed.
    printed: TextTest,
    bools: [bool; 2],
    /// Nanoseconds, both ends inside.
    times: Vec<(i64, i64)>,
    /// What the index can be asked.
    pub hint: Hint,
    memo: Memo,
}

/// What every matching text value has in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// Nothing but that it is there.
    Exists,
    /// It is one of these, folded.
    Values(Vec<String>),
    /// It has all of these words.
    Words(Vec<String>),
}

impl FieldTest {
    fn never() -> FieldTest {
        FieldTest {
            exists: false,
            text: TextTest::Never,
            numbers: Vec::new(),
            printed: TextTest::Never,
            bools: [false; 2],
            times: Vec::new(),
            hint: Hint::Values(Vec::new()),
            memo: Memo::default(),
        }
    }

    pub fn exists() -> FieldTest {
        FieldTest { exists: true, hint: Hint::Exists, ..FieldTest::never() }
    }

    pub fn compile(name: &str, test: &Test, context: &mut Context<'_>) -> Result<FieldTest, Error> {
        Ok(match test {
            Test::Exists => FieldTest::exists(),
            Test::Match(literal) => equal(name, literal, false, context)?,
            Test::Exact(literal) => equal(name, literal, true, context)?,
            Test::Cmp(op, value) => {
                let value = value.clone();
                let (low, high) = match op {
                    CmpOp::Lt => (Bound::Open, Bound::Exclusive(value)),
                    CmpOp::Le => (Bound::Open, Bound::Inclusive(value)),
                    CmpOp::Gt => (Bound::Exclusive(value), Bound::Open),
                    CmpOp::Ge => (Bound::Inclusive(value), Bound::Open),
                };
                between(name, &low, &high, context)
            }
            Test::Range { low, high } => between(name, low, high, context),
            Test::AnyOf(literals) => {
                let tests: Result<Vec<FieldTest>, Error> =
                    literals.iter().map(|literal| equal(name, literal, false, context)).collect();
                any(tests?)
            }
            Test::Glob(glob) => printed(TextTest::value_glob(glob)?),
            Test::Regex(pattern) => printed(TextTest::Regex(super::text::Searcher::new(pattern)?)),
            Test::Cidr { net, prefix } => {
                FieldTest { text: TextTest::Cidr(*net, *prefix), hint: Hint::Exists, ..FieldTest::never() }
            }
            Test::StatusClass(class) => {
                let first = i64::from(*class) * 100;
                let low = Some((literal::Number::Int(first), true));
                let high = Some((literal::Number::Int(first + 100), false));
                numeric(vec![NumRange { low, high }])
            }
            Test::In(query) => one_of(context.values_of(query)?),
        })
    }

    /// What texts are asked, where that is all there is to know of them.
    pub fn of_texts(&self) -> Option<&TextTest> {
        (!self.exists).then_some(&self.text)
    }

    /// From the first time that passes to the last, where nothing but times does.
    pub fn times(&self) -> Option<TimeRange> {
        let only_times = !self.exists && matches!(self.printed, TextTest::Never);
        let ranges = self.times.iter().filter(|_| only_times);
        ranges.map(|(first_ns, last_ns)| TimeRange { first_ns: *first_ns, last_ns: *last_ns }).reduce(TimeRange::hull)
    }

    /// What every text that passes has in it, whatever the case of its ASCII letters, if that is worth asking for. Signs
    /// beyond ASCII that fold into it may stand in its place.
    pub fn part(&self) -> Option<&str> {
        let part = std::str::from_utf8(self.of_texts()?.needle()?.text()?).ok()?;
        (part.len() >= PART_BYTES_MIN).then_some(part)
    }

    /// The rows of `within` that pass.
    pub fn scan(&self, columns: &FieldColumns<'_>, within: &Mask) -> Mask {
        let mut found = Mask::none(within.len());
        for column in &columns.columns {
            found = found.or(&self.scan_column(*column, within));
        }
        if let Some(extra) = &columns.extra {
            let rest = Mask::valid(extra.array()).and(within).and_not(&found);
            for row in rest.rows() {
                if self.is_match(&extra.cell(row)) {
                    found.set(row);
                }
            }
        }
        found
    }

    fn scan_column(&self, column: Column<'_>, within: &Mask) -> Mask {
        let len = within.len();
        if self.exists {
            return Mask::valid(column.array()).and(within);
        }
        match column {
            Column::Text(array) => self.text.scan(array, within),
            Column::Numbered(keys, values) => self.text.scan_numbered(keys, values, within, &self.memo),
            Column::Int(array) if matches!(self.printed, TextTest::Never) => {
                let hits = self.numbers.iter().map(|range| range.scan_ints(array));
                hits.fold(Mask::none(len), |all, hits| all.or(&hits)).and(&Mask::valid(array)).and(within)
            }
            Column::Float(array) if matches!(self.printed, TextTest::Never) => {
                let hits = self.numbers.iter().map(|range| range.scan_floats(array));
                hits.fold(Mask::none(len), |all, hits| all.or(&hits)).and(&Mask::valid(array)).and(within)
            }
            Column::Bool(array) => {
                let hits = Mask::from_fn(len, |row| self.bools[usize::from(array.value(row))]);
                hits.and(&Mask::valid(array)).and(within)
            }
            Column::Int(_) | Column::Float(_) | Column::Unsigned(_) | Column::Time(_) => {
                let mut found = Mask::none(len);
                for row in Mask::valid(column.array()).and(within).rows() {
                    if self.is_match(&column.cell(row)) {
                        found.set(row);
                    }
                }
                found
            }
        }
    }

    pub fn is_match(&self, cell: &Cell<'_>) -> bool {
        if self.exists {
            return !cell.is_null();
        }
        match cell {
            Cell::Null => false,
            Cell::Text(text) => self.text.is_match(text),
            Cell::Bool(value) => self.bools[usize::from(*value)],
            Cell::Int(value) => {
                self.numbers.iter().any(|range| range.has_int(*value))
                    || self.is_printed(|| itoa::Buffer::new().format(*value).to_owned())
            }
            Cell::Float(value) => {
                self.numbers.iter().any(|range| range.has_float(*value))
                    || self.is_printed(|| cell.to_value().text().into_owned())
            }
            Cell::Time(value) => {
                self.times.iter().any(|(low, high)| low <= value && value <= high)
                    || self.is_printed(|| clock::rfc3339(*value))
            }
        }
    }

    fn is_printed(&self, print: impl FnOnce() -> String) -> bool {
        !matches!(self.printed, TextTest::Never) && self.printed.is_match(&print())
    }

    pub fn cost(&self) -> u32 {
        if self.exists { 0 } else { 1 + self.text.cost() }
    }
}

/// `field:value` and, when `exact`, `field=value`.
fn equal(name: &str, literal: &Literal, exact: bool, context: &Context<'_>) -> Result<FieldTest, Error> {
    let mut folded = String::new();
    fold(&literal.text, &mut folded);
    let number = literal::number(literal, name);
    let times = literal.as_time(context.now_ns).map(|at| (at, at));
    let level = level_of(name, literal);
    let words = Phrase::new(&literal.text).map(|phrase| phrase.words().to_vec());
    let (text, hint) = if let Some(level) = level {
        (TextTest::Levels(1 << level as u8), Hint::Values(vec![level.as_str().to_owned()]))
    } else if exact {
        (TextTest::Equal(literal.text.clone()), Hint::Values(vec![folded.clone()]))
    } else if KEYWORDS.contains(&name) || words.is_none() {
        (TextTest::EqualFolded(folded.clone()), Hint::Values(vec![folded.clone()]))
    } else {
        let hint = match words {
            Some(words) if TEXT_FIELDS.contains(&name) => Hint::Words(words),
            _ => Hint::Exists,
        };
        (TextTest::phrase(&literal.text)?, hint)
    };
    let printed =
        if number.is_none() && literal.quoted { TextTest::Equal(literal.text.clone()) } else { TextTest::Never };
    Ok(FieldTest {
        text,
        numbers: number.map(NumRange::equal).into_iter().collect(),
        printed,
        bools: [folded == "false", folded == "true"],
        times: times.into_iter().collect(),
        hint,
        ..FieldTest::never()
    })
}

fn between(name: &str, low: &Bound, high: &Bound, context: &Context<'_>) -> FieldTest {
    if matches!((low, high), (Bound::Open, Bound::Open)) {
        return FieldTest::exists();
    }
    let times = time_range(low, high, context.now_ns);
    if let Some(levels) = level_range(name, low, high) {
        let names = Level::ALL.iter().filter(|level| levels >> **level as u8 & 1 == 1);
        let hint = Hint::Values(names.map(|level| level.as_str().to_owned()).collect());
        return FieldTest { text: TextTest::Levels(levels), hint, ..FieldTest::never() };
    }
    let numbers = match (number_bound(name, low), number_bound(name, high)) {
        (Ok(low), Ok(high)) => Some(NumRange { low, high }),
        (Err(()), Err(())) => None,
        (Ok(bound), Err(())) | (Err(()), Ok(bound)) => match bound {
            None => None,
            // A number on one side and a word on the other: nothing is between them.
            Some(_) => return FieldTest { times, ..FieldTest::exists() }.only_times(),
        },
    };
    match numbers {
        Some(range) => FieldTest { times, ..numeric(vec![range]) },
        None => FieldTest {
            text: TextTest::Between(text_bound(low), text_bound(high)),
            times,
            hint: Hint::Exists,
            ..FieldTest::never()
        },
    }
}

impl FieldTest {
    fn only_times(mut self) -> FieldTest {
        self.exists = false;
        self
    }
}

fn numeric(ranges: Vec<NumRange>) -> FieldTest {
    FieldTest { text: TextTest::Number(ranges.clone()), numbers: ranges, hint: Hint::Exists, ..FieldTest::never() }
}

/// A test of the text, or of what other values look like when printed.
fn printed(text: TextTest) -> FieldTest {
    let bools = [text.is_match("false"), text.is_match("true")];
    FieldTest { printed: text.clone(), text, bools, hint: Hint::Exists, ..FieldTest::never() }
}

fn one_of(values: HashSet<String>) -> FieldTest {
    let mut folded = Vec::with_capacity(values.len());
    let mut buffer = String::new();
    for value in &values {
        fold(value, &mut buffer);
        folded.push(buffer.clone());
    }
    folded.sort();
    folded.dedup();
    FieldTest { hint: Hint::Values(folded), ..printed(TextTest::OneOf(values)) }
}

fn any(tests: Vec<FieldTest>) -> FieldTest {
    let mut all = FieldTest::never();
    let (mut texts, mut printed) = (Vec::new(), Vec::new());
    for test in tests {
        all.exists |= test.exists;
        all.numbers.extend(test.numbers);
        all.times.extend(test.times);
        all.bools = [all.bools[0] | test.bools[0], all.bools[1] | test.bools[1]];
        all.hint = match (all.hint, test.hint) {
            (Hint::Values(mut values), Hint::Values(more)) => {
                values.extend(more);
                Hint::Values(values)
            }
            _ => Hint::Exists,
        };
        texts.push(test.text);
        printed.push(test.printed);
    }
    FieldTest { text: TextTest::any(texts), printed: TextTest::any(printed), ..all }
}

fn level_of(name: &str, literal: &Literal) -> Option<Level> {
    (name == field::LEVEL).then(|| literal.as_level()).flatten()
}

/// One bit for each level between the bounds, when these are levels.
fn level_range(name: &str, low: &Bound, high: &Bound) -> Option<u8> {
    let bound = |bound: &Bound| match bound {
        Bound::Open => Some(None),
        Bound::Inclusive(literal) => level_of(name, literal).map(|level| Some((level, true))),
        Bound::Exclusive(literal) => level_of(name, literal).map(|level| Some((level, false))),
    };
    let (low, high) = (bound(low)?, bound(high)?);
    let mut levels = 0;
    for level in Level::ALL {
        let above = low.is_none_or(|(low, inside)| level > low || inside && level == low);
        let below = high.is_none_or(|(high, inside)| level < high || inside && level == high);
        levels |= u8::from(above && below) << level as u8;
    }
    Some(levels)
}

/// `Err` when the bound is there but no number.
fn number_bound(name: &str, bound: &Bound) -> Result<Option<(literal::Number, bool)>, ()> {
    match bound {
        Bound::Open => Ok(None),
        Bound::Inclusive(value) => literal::number(value, name).map(|number| Some((number, true))).ok_or(()),
        Bound::Exclusive(value) => literal::number(value, name).map(|number| Some((number, false))).ok_or(()),
    }
}

fn text_bound(bound: &Bound) -> TextBound {
    match bound {
        Bound::Open => TextBound::Open,
        Bound::Inclusive(value) => TextBound::Inclusive(value.text.clone()),
        Bound::Exclusive(value) => TextBound::Exclusive(value.text.clone()),
    }
}

fn time_range(low: &Bound, high: &Bound, now_ns: i64) -> Vec<(i64, i64)> {
    let low = match low {
        Bound::Open => Some(i64::MIN),
        Bound::Inclusive(value) => value.as_time(now_ns),
        Bound::Exclusive(value) => value.as_time(now_ns).and_then(|at| at.checked_add(1)),
    };
    let high = match high {
        Bound::Open => Some(i64::MAX),
        Bound::Inclusive(value) => value.as_time(now_ns),
        Bound::Exclusive(value) => value.as_time(now_ns).and_then(|at| at.checked_sub(1)),
    };
    low.zip(high).into_iter().collect()
}

impl Context<'_> {
    fn values_of(&mut self, query: &Query) -> Result<HashSet<String>, Error> {
        (self.subquery)(query)
    }
}

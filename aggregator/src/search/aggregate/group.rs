//! Which group a row belongs to.
//!
//! The values of a batch are numbered first and the numbers combined, so that a row costs a look-up of borrowed text
//! and a batch costs one look-up for each of its distinct groups in the map of all groups.

use std::collections::HashMap;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher};

use arrow::array::{Array, StringArray, UInt16Array};
use arrow::record_batch::RecordBatch;
use logweir_proto::query::ast::{Group, Literal};
use logweir_proto::record::field;
use logweir_proto::text::parse_duration;

use self::number::number_values;
use super::hasher::FastState;
use super::keys::{Keys, Known};
use crate::search::Error;
use crate::search::cell::{Cell, Column, FieldColumns, Value, canonical, is_time};
use crate::search::literal;

mod number;

/// What groups beyond the limit are called.
pub const OTHER: &str = "__other__";

/// One thing to group by.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupBy {
    pub field: String,
    pub bin: Option<Bin>,
}

/// Widths of bins, for times and for numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    pub time_ns: Option<i64>,
    pub number: Option<f64>,
}

impl GroupBy {
    pub fn compile(group: &Group) -> Result<GroupBy, Error> {
        let name = |field: &str| canonical(field).to_owned();
        Ok(match group {
            Group::Field(field) => GroupBy { field: name(&field.name), bin: None },
            Group::Bin { field, width } => {
                GroupBy { field: name(&field.name), bin: Some(Bin::compile(&field.name, width)?) }
            }
        })
    }

    pub fn time(width_ns: i64) -> GroupBy {
        GroupBy { field: field::TIME.to_owned(), bin: Some(Bin { time_ns: Some(width_ns), number: None }) }
    }

    /// The width of the bins when these are of time.
    pub fn time_width(&self) -> Option<i64> {
        if self.field == field::TIME { self.bin.and_then(|bin| bin.time_ns) } else { None }
    }
}

impl Bin {
    fn compile(field: &str, width: &Literal) -> Result<Bin, Error> {
        let time_ns = parse_duration(&width.text).and_then(|width| i64::try_from(width.as_nanos()).ok());
        let number = literal::number(width, field).map(literal::Number::as_f64);
        let bin = Bin { time_ns: time_ns.filter(|ns| *ns > 0), number: number.filter(|width| *width > 0.0) };
        let needs_time = is_time(canonical(field));
        if bin.time_ns.is_none() && (needs_time || bin.number.is_none()) {
            return Err(Error::Width { text: width.text.clone() });
        }
        Ok(bin)
    }

    fn of(&self, cell: &Cell<'_>) -> Value {
        match (cell, self.time_ns, self.number) {
            (Cell::Time(at), Some(width), _) => Value::Time(floor(*at, width)),
            (Cell::Time(_), None, _) => Value::Null,
            (Cell::Int(value), _, Some(width)) if width.fract() == 0.0 && width < EXACT_FLOAT_MAX => {
                Value::Int(floor(*value, width as i64))
            }
            (cell, _, Some(width)) => cell.number().map_or(Value::Null, |number| {
                let start = (number / width).floor() * width;
                // The bin of 26.5 is that of 26.
                let is_int = start.fract() == 0.0 && start.abs() < EXACT_FLOAT_MAX;
                if is_int { Value::Int(start as i64) } else { Value::Float(start) }
            }),
            _ => Value::Null,
        }
    }
}

/// Below this every integer is a float.
const EXACT_FLOAT_MAX: f64 = 9e15;

/// The beginning of the bin of `width` that `value` is in.
pub fn floor(value: i64, width: i64) -> i64 {
    value.saturating_sub(value.rem_euclid(width))
}

/// What makes two values the same group: the number 500 and the text `500` are one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ident {
    Int(i64),
    Float(u64),
    Text(Box<str>),
    Bool(bool),
    Missing,
}

impl Ident {
    pub fn of(value: &Value) -> Ident {
        match value {
            Value::Null => Ident::Missing,
            Value::Bool(value) => Ident::Bool(*value),
            Value::Int(value) | Value::Time(value) => Ident::Int(*value),
            Value::Float(value) => Ident::Float(value.to_bits()),
            Value::Text(text) => Ident::of_text(text),
            Value::List(_) => Ident::Text(value.text().into()),
        }
    }

    fn of_text(text: &str) -> Ident {
        match text {
            "true" => Ident::Bool(true),
            "false" => Ident::Bool(false),
            _ => plain_integer(text).map_or_else(|| Ident::Text(text.into()), Ident::Int),
        }
    }

    /// The same hash for cells with the same identity, without making one.
    pub fn hash_of(cell: &Cell<'_>) -> u64 {
        // With fixed keys, so that sketches of several machines could be merged.
        let mut hasher = DefaultHasher::new();
        Ident::hash_into(cell, &mut hasher);
        hasher.finish()
    }

    fn hash_into(cell: &Cell<'_>, mut hasher: &mut impl Hasher) {
        match cell {
            Cell::Null => {}
            Cell::Bool(value) => (0u8, *value).hash(&mut hasher),
            Cell::Int(value) | Cell::Time(value) => (1u8, *value).hash(&mut hasher),
            Cell::Float(value) => (2u8, value.to_bits()).hash(&mut hasher),
            Cell::Text(text) => match (&**text, plain_integer(text)) {
                (_, Some(number)) => (1u8, number).hash(&mut hasher),
                (text @ ("false" | "true"), _) => (0u8, text == "true").hash(&mut hasher),
                (text, _) => (3u8, text).hash(&mut hasher),
            },
        }
    }

    pub fn is_same(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Text(a), Value::Text(b)) => a == b,
            (a, b) => Ident::of(a) == Ident::of(b),
        }
    }

    fn is_same_as_text(value: &Value, text: &[u8]) -> bool {
        match value {
            Value::Text(value) => value.as_bytes() == text,
            value => std::str::from_utf8(text).is_ok_and(|text| Ident::of(value) == Ident::of_text(text)),
        }
    }
}

/// The integer that prints as this text: `007` is none.
fn plain_integer(text: &str) -> Option<i64> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
        return None;
    }
    let number = text.parse().ok()?;
    (itoa::Buffer::new().format(number) == text).then_some(number)
}

/// Every group that was seen.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    by: Vec<GroupBy>,
    /// Rows that lack one of the last `required` fields belong to no group.
    required: usize,
    limit: usize,
    seed: FastState,
    known: usize,
    /// The youngest group of each hash, and behind each group the one before it with the same hash.
    first: HashMap<u64, u32, FastState>,
    next: Vec<Option<u32>>,
    keys: Keys,
    /// The group of what is beyond the limit.
    pub other: Option<u32>,
    pub bytes: usize,
    numbered: Option<NumberedGroups>,
}

/// The groups of the values of a dictionary: the blocks of a row group share one.
#[derive(Debug, Clone)]
struct NumberedGroups {
    /// Held, so that no other values can lie at their place.
    texts: StringArray,
    groups: Vec<u32>,
}

impl NumberedGroups {
    fn of(texts: &StringArray) -> NumberedGroups {
        NumberedGroups { texts: texts.clone(), groups: vec![UNKNOWN; texts.len()] }
    }

    fn is_of(&self, texts: &StringArray) -> bool {
        let place = |array: &StringArray| (array.value_data().as_ptr(), array.value_offsets().as_ptr(), array.len());
        place(&self.texts) == place(texts)
    }
}

/// A row of a batch that belongs to no group.
pub const NO_GROUP: u32 = u32::MAX;

/// A value of a dictionary whose group was not asked for yet.
const UNKNOWN: u32 = u32::MAX - 1;

impl Groups {
    pub fn new(by: Vec<GroupBy>, required: usize, limit: usize) -> Groups {
        Groups { by, required, limit, ..Groups::default() }
    }

    pub fn by(&self) -> &[GroupBy] {
        &self.by
    }

    /// How many there are, the one of the rest among them.
    pub fn len(&self) -> usize {
        self.keys.count()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values of a group, as first seen.
    pub fn values(&self, group: usize) -> Vec<Value> {
        self.keys.values(group as u32)
    }

    /// The first of them.
    pub fn value(&self, group: usize) -> Option<Value> {
        self.values(group).into_iter().next()
    }

    /// The group of each of `rows`, or [`NO_GROUP`].
    pub fn of_rows(&mut self, batch: &RecordBatch, rows: &[usize]) -> Vec<u32> {
        if let [by @ GroupBy { bin: None, .. }] = &self.by[..]
            && let FieldColumns { columns, extra: None } = FieldColumns::new(batch, &by.field)
        {
            match columns[..] {
                [Column::Text(array)] => return self.of_texts(array, rows),
                [Column::Numbered(keys, texts)] => return self.of_numbered(keys, texts, rows),
                _ => {}
            }
        }
        let mut parts = self.by.iter().map(|by| number_values(by, batch, rows));
        let Some((mut codes, first)) = parts.next() else {
            return vec![self.of_all(); rows.len()];
        };
        let mut tuples: Vec<Vec<Value>> = first.into_iter().map(|value| vec![value]).collect();
        for (more, values) in parts {
            let mut pairs: HashMap<u64, u32, FastState> = HashMap::default();
            let mut combined: Vec<Vec<Value>> = Vec::new();
            for (code, more) in codes.iter_mut().zip(more) {
                let pair = u64::from(*code) << 32 | u64::from(more);
                *code = *pairs.entry(pair).or_insert_with(|| {
                    let mut tuple = tuples[*code as usize].clone();
                    tuple.push(values[more as usize].clone());
                    combined.push(tuple);
                    combined.len() as u32 - 1
                });
            }
            tuples = combined;
        }
        let groups: Vec<u32> = tuples.into_iter().map(|tuple| self.number(tuple)).collect();
        for code in &mut codes {
            *code = groups[*code as usize];
        }
        codes
    }

    /// The one group of all rows, when they are grouped by nothing.
    pub fn of_all(&mut self) -> u32 {
        self.number(Vec::new())
    }

    /// Rows of one text column: mostly different ones, so each is looked up by itself.
    fn of_texts(&mut self, array: &StringArray, rows: &[usize]) -> Vec<u32> {
        let group_of = |row: &usize| self.of_text(array.is_valid(*row).then(|| array.value(*row)));
        rows.iter().map(group_of).collect()
    }

    /// Rows that are numbers of texts: a text is looked up once for all blocks that share its dictionary.
    fn of_numbered(&mut self, keys: &UInt16Array, texts: &StringArray, rows: &[usize]) -> Vec<u32> {
        let mut known =
            self.numbered.take().filter(|known| known.is_of(texts)).unwrap_or_else(|| NumberedGroups::of(texts));
        let (numbers, all_valid) = (keys.values(), keys.null_count() == 0);
        let group_of = |row: &usize| {
            if !all_valid && keys.is_null(*row) {
                return self.of_text(None);
            }
            let place = usize::from(numbers[*row]);
            if known.groups[place] == UNKNOWN {
                known.groups[place] = self.of_text(Some(texts.value(place)));
            }
            known.groups[place]
        };
        let groups = rows.iter().map(group_of).collect();
        self.numbered = Some(known);
        groups
    }

    fn of_text(&mut self, text: Option<&str>) -> u32 {
        let Some(text) = text else { return self.number(vec![Value::Null]) };
        let hash = self.hash(std::iter::once(Cell::Text(text.into())));
        let is_same = |known: Known<'_>| match known {
            Known::Text(known) => known == text.as_bytes(),
            Known::Values([known]) => Ident::is_same_as_text(known, text.as_bytes()),
            Known::Values(_) => false,
        };
        self.find(hash, is_same).unwrap_or_else(|| self.add(hash, 48 + text.len(), |keys| keys.push_text(text)))
    }

    fn hash<'c>(&self, cells: impl Iterator<Item = Cell<'c>>) -> u64 {
        let mut hasher = self.seed.build_hasher();
        cells.for_each(|cell| Ident::hash_into(&cell, &mut hasher));
        hasher.finish()
    }

    fn find(&self, hash: u64, is_same: impl Fn(Known<'_>) -> bool) -> Option<u32> {
        let mut found = self.first.get(&hash).copied();
        while let Some(group) = found {
            if is_same(self.keys.known(group)) {
                return Some(group);
            }
            found = self.next[group as usize];
        }
        None
    }

    /// Takes the groups of another part in; the number here of each of its groups.
    pub fn merge(&mut self, other: &Groups) -> Vec<u32> {
        let number = |group: u32| match other.keys.known(group) {
            _ if other.other == Some(group) => self.number_of_rest(),
            Known::Text(text) => match std::str::from_utf8(text) {
                Ok(text) => self.of_text(Some(text)),
                Err(_) => NO_GROUP,
            },
            Known::Values(values) => self.number(values.to_vec()),
        };
        (0..other.len() as u32).map(number).collect()
    }

    fn number(&mut self, values: Vec<Value>) -> u32 {
        if values[values.len() - self.required..].iter().any(Value::is_null) {
            return NO_GROUP;
        }
        let hash = self.hash(values.iter().map(Value::cell));
        let is_same = |known: Known<'_>| match (known, &values[..]) {
            (Known::Values(known), values) => known.iter().zip(values).all(|(a, b)| Ident::is_same(a, b)),
            (Known::Text(known), [value]) => Ident::is_same_as_text(value, known),
            (Known::Text(_), _) => false,
        };
        if let Some(group) = self.find(hash, is_same) {
            return group;
        }
        let bytes = values.iter().map(|value| 48 + value_bytes(value)).sum();
        self.add(hash, bytes, |keys| keys.push(values))
    }

    /// A new group whose values take so many bytes, about.
    fn add(&mut self, hash: u64, bytes: usize, push: impl FnOnce(&mut Keys) -> u32) -> u32 {
        if self.known >= self.limit {
            return self.number_of_rest();
        }
        self.known += 1;
        self.bytes += bytes + 64;
        let group = push(&mut self.keys);
        self.next.push(self.first.insert(hash, group));
        group
    }

    /// The group of what is beyond the limit.
    fn number_of_rest(&mut self) -> u32 {
        if let Some(other) = self.other {
            return other;
        }
        let other = self.keys.push(self.by.iter().map(|_| Value::Text(OTHER.into())).collect());
        self.next.push(None);
        self.other = Some(other);
        other
    }
}

fn value_bytes(value: &Value) -> usize {
    if let Value::Text(text) = value { text.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_its_text_are_one_and_everything_else_is_not() {
        let cells = [
            Cell::Int(0),
            Cell::Text("0".into()),
            Cell::Float(0.0),
            Cell::Text("0.0".into()),
            Cell::Text("00".into()),
            Cell::Bool(false),
            Cell::Text("false".into()),
            Cell::Text("".into()),
            Cell::Null,
        ];
        for a in &cells {
            for b in &cells {
                let same = Ident::of(&a.to_value()) == Ident::of(&b.to_value());
                assert_eq!(Ident::hash_of(a) == Ident::hash_of(b), same, "{a:?} {b:?}");
            }
        }
        let distinct: std::collections::BTreeSet<Ident> =
            cells.iter().map(|cell| Ident::of(&cell.to_value())).collect();
        assert_eq!(distinct.len(), 7);
    }

    #[test]
    fn bins_begin_at_or_below_their_values() {
        let bin = Bin { time_ns: None, number: Some(25.0) };
        for (cell, start) in [
            (Cell::Int(-1), Value::Int(-25)),
            (Cell::Int(25), Value::Int(25)),
            (Cell::Float(49.9), Value::Int(25)),
            (Cell::Text("74".into()), Value::Int(50)),
            (Cell::Text("x".into()), Value::Null),
        ] {
            assert_eq!(bin.of(&cell), start);
        }
        let half = Bin { time_ns: None, number: Some(0.5) };
        assert_eq!(half.of(&Cell::Float(0.7)), Value::Float(0.5));
        assert_eq!(floor(-1, 10), -10);
    }
}

//! Lines into typed columns: one builder a block, filled line by line.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryBuilder, BooleanBuilder, Float64Builder, Int64Array, Int64Builder, StringBuilder,
    UInt32Builder, UInt64Array,
};
use arrow::compute::take_record_batch;
use logweir_proto::record::Level;

use super::texts::Texts;
use super::{Block, BlockParts};
use crate::names::{NameId, Names};
use crate::parse::line::{Cut, Field, Line, Spelling, Text, Value};
use crate::store::column::{COLUMNS_MAX, ColumnKey, EXTRA_NAMES_MAX, Kind, Layout, is_canonical, may_be_column};
use crate::store::segment::{BLOCK_ROWS_MAX, FieldStat};
use crate::store::skeleton::{Part, SKELETON_BYTES_MAX, ShapeTable, Skeleton, put_spelling};
use crate::store::spell::{self, Cell};
use crate::store::split::hashes::Seeded;
use crate::store::split::indexer::WORD_FIELDS;

/// A block is full at this many bytes of lines, however few rows it has: Arrow counts text in 31 bits.
pub const BLOCK_BYTES_MAX: usize = 64 << 20;

/// Shapes of the last lines that are compared before the table is asked.
const RECENT_SHAPES: usize = 8;

/// In `slots`: the field has no column of this type and gets none.
const NO_COLUMN: u16 = u16::MAX;

/// Builds a [`Block`].
#[derive(Default)]
pub struct BlockBuilder {
    times: Vec<i64>,
    seqs: Vec<u64>,
    /// By [`NameId`] and [`Kind`]: the column plus one, 0 where it is not known yet, or [`NO_COLUMN`].
    slots: Vec<[u16; Kind::ALL.len()]>,
    columns: Vec<Column>,
    extra: StringBuilder,
    extra_fields: BTreeMap<String, FieldStat>,
    shapes: ShapeTable,
    /// From the parts as the parser names them to the number in `shapes`.
    shape_ids: HashMap<Box<[u8]>, Option<u32>, Seeded>,
    /// The same for the shapes of the last lines, the likeliest first.
    recent: Vec<KnownShape>,
    shape: UInt32Builder,
    raw: BinaryBuilder,
    raw_bytes: usize,
    row: RowScratch,
}

struct Column {
    key: ColumnKey,
    values: Values,
    len: usize,
}

enum Values {
    Str(Texts),
    Int(Int64Builder),
    Float(Float64Builder),
    Bool(BooleanBuilder),
}

/// What is reused from row to row.
#[derive(Default)]
struct RowScratch {
    text: Vec<u8>,
    key: Vec<u8>,
    cuts: Vec<(Cut, Source)>,
    /// A time that was printed, and how: many lines of a busy log have the same second.
    time: Option<(i64, Spelling)>,
    time_text: Vec<u8>,
}

/// Where the bytes of a cut come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Time,
    Column(u16),
}

/// A shape in the form in which a line is compared with it.
struct KnownShape {
    /// What stands between the cuts, and behind them, joined.
    literals: Box<[u8]>,
    /// For each cut the end of the literal before it.
    parts: Box<[(u32, Source, Spelling)]>,
    id: Option<u32>,
}

impl KnownShape {
    fn new(cuts: &[(Cut, Source)], raw: &[u8], id: Option<u32>) -> KnownShape {
        let mut literals = Vec::new();
        let mut at = 0;
        let mut parts = Vec::with_capacity(cuts.len());
        for (cut, source) in cuts {
            literals.extend_from_slice(&raw[at..cut.start as usize]);
            parts.push((literals.len() as u32, *source, cut.spelling));
            at = cut.end as usize;
        }
        literals.extend_from_slice(&raw[at..]);
        KnownShape { literals: literals.into(), parts: parts.into(), id }
    }

    /// Whether this is the shape of a line, whose cuts are in order and within it.
    fn is_of(&self, cuts: &[(Cut, Source)], raw: &[u8]) -> bool {
        if cuts.len() != self.parts.len() {
            return false;
        }
        let (mut at, mut from) = (0, 0);
        for ((cut, source), (to, known_source, spelling)) in cuts.iter().zip(&self.parts) {
            let to = *to as usize;
            let same = source == known_source && cut.spelling == *spelling;
            if !same || raw[at..cut.start as usize] != self.literals[from..to] {
                return false;
            }
            at = cut.end as usize;
            from = to;
        }
        raw[at..] == self.literals[from..]
    }
}

impl BlockBuilder {
    /// Rows so far.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Bytes of the lines so far.
    pub fn bytes(&self) -> usize {
        self.raw_bytes
    }

    /// Whether the block must be finished before the next push.
    pub fn is_full(&self) -> bool {
        self.len() >= BLOCK_ROWS_MAX || self.raw_bytes >= BLOCK_BYTES_MAX
    }

    /// Adds a line. `names` are the ones that the line was parsed with, the same for all lines of the block.
    pub fn push(&mut self, names: &Names, line: &Line, raw: &[u8], time_ns: i64, seq: u64) {
        debug_assert!(!self.is_full(), "a full block is finished before the next push");
        let mut row = std::mem::take(&mut self.row);
        row.cuts.clear();
        let text = std::str::from_utf8(raw).ok();
        let mut time_cut = line.time_cut;
        let mut rebuildable = true;
        self.push_level(names, line, raw);
        let mut extra = None;
        let mut owned = String::new();
        for field in line.fields.iter().filter(|field| field.name != NameId::LEVEL) {
            let cell = cell_of(field, line, raw, text, &mut owned);
            let Some(column) = self.column_of(names, field.name, kind_of(cell)) else {
                self.push_extra(names, field.name, cell, extra.get_or_insert_default());
                rebuildable &= field.cut.is_none();
                continue;
            };
            rebuildable &= self.columns[usize::from(column)].set(self.times.len(), cell);
            if let Some(cut) = field.cut {
                // Mostly the time comes first, and the cuts are in order so.
                if let Some(time) = time_cut.take_if(|time| time.start <= cut.start) {
                    row.cuts.push((time, Source::Time));
                }
                row.cuts.push((cut, Source::Column(column)));
                rebuildable &= is_its_own_text(field, cell)
                    || raw
                        .get(cut.start as usize..cut.end as usize)
                        .is_some_and(|written| spell::is_spelled(cell, cut.spelling, written, &mut row.text));
            }
        }
        row.cuts.extend(time_cut.map(|time| (time, Source::Time)));
        let shape = if rebuildable { self.shape_of(&mut row, raw, time_ns) } else { None };
        self.shape.append_option(shape);
        self.raw.append_option(shape.is_none().then_some(raw));
        self.extra.append_option(extra.map(|extra| serde_json::Value::Object(extra).to_string()));
        self.times.push(time_ns);
        self.seqs.push(seq);
        self.raw_bytes += raw.len();
        self.row = row;
    }

    fn push_level(&mut self, names: &Names, line: &Line, raw: &[u8]) {
        let named = || line.text_of(raw, NameId::LEVEL).and_then(Level::parse);
        let Some(level) = line.level.or_else(named) else { return };
        if let Some(column) = self.column_of(names, NameId::LEVEL, Kind::Str) {
            self.columns[usize::from(column)].set(self.times.len(), Cell::Str(level.as_str()));
        }
    }

    /// The column of a field in a type; `None` when it has to go into `_extra`.
    #[inline]
    fn column_of(&mut self, names: &Names, name: NameId, kind: Kind) -> Option<u16> {
        match self.slots.get(name.0 as usize).map_or(0, |slots| slots[kind as usize]) {
            0 => self.new_column(names, name, kind),
            NO_COLUMN => None,
            column => Some(column - 1),
        }
    }

    #[cold]
    fn new_column(&mut self, names: &Names, id: NameId, kind: Kind) -> Option<u16> {
        let name = names.name(id);
        let full = self.columns.len() >= COLUMNS_MAX && !is_canonical(name);
        let column = (!full && may_be_column(name)).then_some(self.columns.len() as u16);
        if column.is_some() {
            let key = ColumnKey { field: Arc::clone(name), kind };
            let values = Values::new(kind, !WORD_FIELDS.contains(&&**name));
            self.columns.push(Column { key, values, len: 0 });
        }
        let at = id.0 as usize;
        if at >= self.slots.len() {
            self.slots.resize(at + 1, [0; Kind::ALL.len()]);
        }
        // What has no column now has none later: columns only become more.
        self.slots[at][kind as usize] = column.map_or(NO_COLUMN, |column| column + 1);
        column
    }

    fn push_extra(
        &mut self,
        names: &Names,
        name: NameId,
        cell: Cell<'_>,
        extra: &mut serde_json::Map<String, serde_json::Value>,
    ) {
        let name = names.name(name);
        if self.extra_fields.contains_key(&**name) || self.extra_fields.len() < EXTRA_NAMES_MAX {
            let stat = self.extra_fields.entry(name.to_string()).or_default();
            stat.rows += 1;
            let kind = kind_of(cell).name();
            if !stat.types.contains(&kind) {
                stat.types.push(kind);
            }
        }
        extra.insert(name.to_string(), json_of(cell));
    }

    /// The number of the skeleton of this line, if the line comes back from it byte for byte.
    fn shape_of(&mut self, row: &mut RowScratch, raw: &[u8], time_ns: i64) -> Option<u32> {
        if !row.cuts.is_sorted_by_key(|(cut, _)| (cut.start, cut.end)) {
            row.cuts.sort_unstable_by_key(|(cut, _)| (cut.start, cut.end));
        }
        let mut at = 0;
        for (cut, source) in &row.cuts {
            // Cuts that overlap or lie outside cannot be put together again.
            if cut.start < at || cut.end < cut.start || cut.end as usize > raw.len() {
                return None;
            }
            at = cut.end;
            let written = &raw[cut.start as usize..cut.end as usize];
            if *source == Source::Time
                && !is_time_spelled(time_ns, cut.spelling, written, &mut row.time, &mut row.time_text)
            {
                return None;
            }
        }
        if let Some(found) = self.recent.iter().position(|shape| shape.is_of(&row.cuts, raw)) {
            let id = self.recent[found].id;
            // The likelier ones move to the front, a step each time.
            self.recent.swap(found, found.saturating_sub(1));
            return id;
        }
        let id = self.new_shape(row, raw)?;
        if self.recent.len() >= RECENT_SHAPES {
            self.recent.pop();
        }
        self.recent.push(KnownShape::new(&row.cuts, raw, id));
        id
    }

    /// The number of a shape by the table; `None` within when the table is full, without when the shape is too long.
    fn new_shape(&mut self, row: &mut RowScratch, raw: &[u8]) -> Option<Option<u32>> {
        row.key.clear();
        let mut at = 0;
        for (cut, source) in &row.cuts {
            put_key_literal(&mut row.key, &raw[at..cut.start as usize]);
            let column = match source {
                Source::Time => u16::MAX,
                Source::Column(column) => *column,
            };
            row.key.push(1);
            row.key.extend_from_slice(&column.to_le_bytes());
            put_spelling(&mut row.key, cut.spelling);
            at = cut.end as usize;
        }
        put_key_literal(&mut row.key, &raw[at..]);
        if row.key.len() > SKELETON_BYTES_MAX {
            return None;
        }
        if let Some(id) = self.shape_ids.get(&row.key[..]) {
            return Some(*id);
        }
        let id = self.shapes.intern(&Arc::new(self.skeleton(&row.cuts, raw)));
        if self.shape_ids.len() < 2 * crate::store::skeleton::SHAPES_MAX {
            self.shape_ids.insert(row.key[..].into(), id);
        }
        Some(id)
    }

    fn skeleton(&self, cuts: &[(Cut, Source)], raw: &[u8]) -> Skeleton {
        let mut parts = Vec::with_capacity(2 * cuts.len() + 1);
        let mut at = 0;
        let literal = |parts: &mut Vec<Part>, from: usize, to: usize| {
            if from < to {
                parts.push(Part::Literal(raw[from..to].into()));
            }
        };
        for (cut, source) in cuts {
            literal(&mut parts, at, cut.start as usize);
            parts.push(match source {
                Source::Time => Part::Time(cut.spelling),
                Source::Column(column) => Part::Value(self.columns[usize::from(*column)].key.clone(), cut.spelling),
            });
            at = cut.end as usize;
        }
        literal(&mut parts, at, raw.len());
        Skeleton { parts }
    }

    /// The block, ordered by `(time, seq)`.
    pub fn finish(mut self) -> Block {
        let rows = self.times.len();
        let sorted = (1..rows).all(|i| (self.times[i - 1], self.seqs[i - 1]) <= (self.times[i], self.seqs[i]));
        let order = (!sorted).then(|| {
            let mut order: Vec<u32> = (0..rows as u32).collect();
            order.sort_unstable_by_key(|&i| (self.times[i as usize], self.seqs[i as usize]));
            arrow::array::UInt32Array::from(order)
        });
        let layout = Arc::new(Layout::new(self.columns.iter().map(|column| column.key.clone()).collect()));
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len() + 5);
        arrays.push(Arc::new(Int64Array::from(self.times)));
        arrays.push(Arc::new(UInt64Array::from(self.seqs)));
        arrays.extend(self.columns.into_iter().map(|column| column.finish(rows)));
        arrays.push(fitted(self.extra.finish()));
        arrays.push(Arc::new(self.shape.finish()));
        arrays.push(fitted(self.raw.finish()));
        let batch = layout.batch(arrays).expect("the columns were built after the schema and padded to one length");
        let batch = match order {
            Some(order) => take_record_batch(&batch, &order).expect("the order names rows of the batch"),
            None => batch,
        };
        let parts = BlockParts {
            layout,
            shapes: self.shapes.shapes().into(),
            raw_bytes: self.raw_bytes as u64,
            extra_fields: self.extra_fields,
        };
        Block::new(parts, batch)
    }
}

/// The value of a field as its column takes it; `owned` holds it where it is in neither the line nor its scratch.
#[inline]
fn cell_of<'a>(field: &Field, line: &'a Line, raw: &'a [u8], text: Option<&'a str>, owned: &'a mut String) -> Cell<'a> {
    let number = match field.value {
        Value::Text(range) => {
            // The line was checked as a whole: a piece of it is text where it begins and ends between characters.
            if let (Text::Raw(start, end), Some(text)) = (range, text)
                && let Some(text) = text.get(start as usize..end as usize)
            {
                return Cell::Str(text);
            }
            if let Text::Static(text) = range {
                return Cell::Str(text);
            }
            let bytes = line.text(raw, range);
            return Cell::Str(match std::str::from_utf8(bytes) {
                Ok(valid) => valid,
                Err(_) => {
                    *owned = spell::escape_invalid(bytes);
                    owned
                }
            });
        }
        Value::Int(value) => Cell::Int(value),
        Value::Float(value) => Cell::Float(value),
        Value::Bool(value) => Cell::Bool(value),
    };
    if matches!(field.name, NameId::MESSAGE | NameId::EXCEPTION_STACK) {
        *owned = plain_text(number);
        return Cell::Str(owned);
    }
    number
}

/// Whether a field is exactly the bytes that it was cut from: their place, and no byte of them had to be escaped.
#[inline]
fn is_its_own_text(field: &Field, cell: Cell<'_>) -> bool {
    match (field.value, cell, field.cut) {
        (Value::Text(Text::Raw(start, end)), Cell::Str(text), Some(cut)) => {
            let same_place = cut.spelling == Spelling::Plain && (start, end) == (cut.start, cut.end);
            same_place && text.len() == (end - start) as usize
        }
        _ => false,
    }
}

/// Whether a time in its spelling is `written`. `last` and `text` remember the one that was printed last.
fn is_time_spelled(
    time_ns: i64,
    spelling: Spelling,
    written: &[u8],
    last: &mut Option<(i64, Spelling)>,
    text: &mut Vec<u8>,
) -> bool {
    if *last != Some((time_ns, spelling)) {
        text.clear();
        *last = spell::put_time(time_ns, spelling, text).then_some((time_ns, spelling));
    }
    last.is_some() && *text == written
}

fn put_key_literal(key: &mut Vec<u8>, literal: &[u8]) {
    key.push(0);
    key.extend_from_slice(&(literal.len() as u32).to_le_bytes());
    key.extend_from_slice(literal);
}

fn kind_of(cell: Cell<'_>) -> Kind {
    match cell {
        Cell::Str(_) => Kind::Str,
        Cell::Int(_) => Kind::Int,
        Cell::Float(_) => Kind::Float,
        Cell::Bool(_) => Kind::Bool,
    }
}

fn plain_text(cell: Cell<'_>) -> String {
    let mut out = Vec::new();
    spell::put(&mut out, cell, Spelling::Plain);
    String::from_utf8_lossy(&out).into_owned()
}

/// A value within `_extra`. JSON has no infinities: they become text.
pub(in crate::store) fn json_of(cell: Cell<'_>) -> serde_json::Value {
    match cell {
        Cell::Str(text) => text.into(),
        Cell::Int(value) => value.into(),
        Cell::Float(value) if value.is_finite() => value.into(),
        Cell::Float(value) => value.to_string().into(),
        Cell::Bool(value) => value.into(),
    }
}

impl Values {
    /// `numbered` texts come again, as far as is known.
    fn new(kind: Kind, numbered: bool) -> Values {
        match kind {
            Kind::Str => Values::Str(Texts::new(numbered)),
            Kind::Int => Values::Int(Int64Builder::new()),
            Kind::Float => Values::Float(Float64Builder::new()),
            Kind::Bool => Values::Bool(BooleanBuilder::new()),
        }
    }

    fn append_nulls(&mut self, rows: usize) {
        match self {
            Values::Str(values) => values.append_nulls(rows),
            Values::Int(values) => values.append_nulls(rows),
            Values::Float(values) => values.append_nulls(rows),
            Values::Bool(values) => values.append_nulls(rows),
        }
    }
}

impl Column {
    /// Sets the value of `row`; rows in between that lacked the field become null. `false` if it has one already.
    #[inline]
    fn set(&mut self, row: usize, cell: Cell<'_>) -> bool {
        if self.len > row {
            return false;
        }
        self.pad(row);
        match (&mut self.values, cell) {
            (Values::Str(values), Cell::Str(text)) => values.append_value(text),
            (Values::Int(values), Cell::Int(value)) => values.append_value(value),
            (Values::Float(values), Cell::Float(value)) => values.append_value(value),
            (Values::Bool(values), Cell::Bool(value)) => values.append_value(value),
            _ => return false,
        }
        self.len += 1;
        true
    }

    #[inline]
    fn pad(&mut self, rows: usize) {
        if self.len < rows {
            self.values.append_nulls(rows - self.len);
            self.len = rows;
        }
    }

    fn finish(mut self, rows: usize) -> ArrayRef {
        self.pad(rows);
        match self.values {
            Values::Str(values) => values.finish(),
            Values::Int(mut values) => fitted(values.finish()),
            Values::Float(mut values) => fitted(values.finish()),
            Values::Bool(mut values) => fitted(values.finish()),
        }
    }
}

/// The array without what its builder had set aside: blocks stay in memory for minutes.
fn fitted(mut array: impl Array + 'static) -> ArrayRef {
    array.shrink_to_fit();
    Arc::new(array)
}

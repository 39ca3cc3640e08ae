//! Lines into typed columns: one builder a block, filled line by line.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BinaryBuilder, BooleanBuilder, Float64Builder, Int64Array, Int64Builder, StringBuilder,
    UInt32Builder, UInt64Array,
};
use arrow::compute::take_record_batch;
use arrow::record_batch::RecordBatch;
use logweir_proto::record::Level;

use super::{Block, BlockParts};
use crate::names::{NameId, Names};
use crate::parse::line::{Cut, Line, Value};
use crate::store::column::{COLUMNS_MAX, ColumnKey, EXTRA_NAMES_MAX, Kind, Layout, is_canonical, may_be_column};
use crate::store::segment::{BLOCK_ROWS_MAX, FieldStat};
use crate::store::skeleton::{Part, SKELETON_BYTES_MAX, ShapeTable, Skeleton, put_spelling};
use crate::store::spell::{self, Cell};
use crate::store::split::hashes::Seeded;

/// A block is full at this many bytes of lines, however few rows it has: Arrow counts text in 31 bits.
pub const BLOCK_BYTES_MAX: usize = 64 << 20;

/// Builds a [`Block`].
#[derive(Default)]
pub struct BlockBuilder {
    times: Vec<i64>,
    seqs: Vec<u64>,
    /// By [`NameId`]: the index into `fields` plus one, or 0.
    slots: Vec<u32>,
    fields: Vec<FieldSlot>,
    columns: Vec<Column>,
    level: Option<usize>,
    extra: StringBuilder,
    extra_fields: BTreeMap<String, FieldStat>,
    shapes: ShapeTable,
    /// From the parts as the parser names them to the number in `shapes`.
    shape_ids: HashMap<Box<[u8]>, Option<u32>, Seeded>,
    shape: UInt32Builder,
    raw: BinaryBuilder,
    raw_bytes: usize,
    row: RowScratch,
}

/// A field: its column in each type, plus one; 0 is none yet.
struct FieldSlot {
    name: Arc<str>,
    columns: [u16; 4],
    may_be_column: bool,
    canonical: bool,
}

struct Column {
    key: ColumnKey,
    values: Values,
}

enum Values {
    Str(StringBuilder),
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
}

/// Where the bytes of a cut come from.
#[derive(Clone, Copy)]
enum Source {
    Time,
    Column(u16),
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
        let mut rebuildable = true;
        if let Some(cut) = line.time_cut {
            row.cuts.push((cut, Source::Time));
        }
        self.push_level(names, line, raw);
        let mut extra = serde_json::Map::new();
        for field in line.fields.iter().filter(|field| field.name != NameId::LEVEL) {
            let text;
            let mut escaped = None;
            let cell = match field.value {
                Value::Int(value) => Cell::Int(value),
                Value::Float(value) => Cell::Float(value),
                Value::Bool(value) => Cell::Bool(value),
                Value::Text(range) => {
                    let bytes = line.text(raw, range);
                    Cell::Str(match std::str::from_utf8(bytes) {
                        Ok(valid) => valid,
                        Err(_) => escaped.insert(spell::escape_invalid(bytes)),
                    })
                }
            };
            let cell = match (field.name, cell) {
                (_, Cell::Str(_)) => cell,
                (NameId::MESSAGE | NameId::EXCEPTION_STACK, number) => {
                    text = plain_text(number);
                    Cell::Str(&text)
                }
                _ => cell,
            };
            match self.column_of(names, field.name, kind_of(cell)) {
                Some(column) => {
                    rebuildable &= self.columns[usize::from(column)].values.set(self.times.len(), cell);
                    if let Some(cut) = field.cut {
                        let written = raw.get(cut.start as usize..cut.end as usize);
                        rebuildable &= written.is_some_and(|w| spell::is_spelled(cell, cut.spelling, w, &mut row.text));
                        row.cuts.push((cut, Source::Column(column)));
                    }
                }
                None => {
                    self.push_extra(names, field.name, cell, &mut extra);
                    rebuildable &= field.cut.is_none();
                }
            }
        }
        let shape = if rebuildable { self.shape_of(&mut row, raw, time_ns) } else { None };
        self.shape.append_option(shape);
        self.raw.append_option(shape.is_none().then_some(raw));
        if extra.is_empty() {
            self.extra.append_null();
        } else {
            self.extra.append_value(serde_json::Value::Object(extra).to_string());
        }
        self.times.push(time_ns);
        self.seqs.push(seq);
        self.raw_bytes += raw.len();
        self.row = row;
    }

    fn push_level(&mut self, names: &Names, line: &Line, raw: &[u8]) {
        let named = || line.text_of(raw, NameId::LEVEL).and_then(Level::parse);
        let Some(level) = line.level.or_else(named) else { return };
        let column = match self.level {
            Some(column) => column,
            None => match self.column_of(names, NameId::LEVEL, Kind::Str) {
                Some(column) => *self.level.insert(usize::from(column)),
                None => return,
            },
        };
        self.columns[column].values.set(self.times.len(), Cell::Str(level.as_str()));
    }

    /// The column of a field in a type; `None` when it has to go into `_extra`.
    fn column_of(&mut self, names: &Names, name: NameId, kind: Kind) -> Option<u16> {
        let at = name.0 as usize;
        if at >= self.slots.len() {
            self.slots.resize(at + 1, 0);
        }
        if self.slots[at] == 0 {
            let name = Arc::clone(names.name(name));
            let (may_be_column, canonical) = (may_be_column(&name), is_canonical(&name));
            self.fields.push(FieldSlot { name, columns: [0; 4], may_be_column, canonical });
            self.slots[at] = self.fields.len() as u32;
        }
        let slot = &mut self.fields[self.slots[at] as usize - 1];
        let column = &mut slot.columns[kind as usize];
        if *column == 0 {
            if !slot.may_be_column || (self.columns.len() >= COLUMNS_MAX && !slot.canonical) {
                return None;
            }
            let key = ColumnKey { field: Arc::clone(&slot.name), kind };
            self.columns.push(Column { key, values: Values::new(kind) });
            *column = self.columns.len() as u16;
        }
        Some(*column - 1)
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
        row.cuts.sort_unstable_by_key(|(cut, _)| (cut.start, cut.end));
        row.key.clear();
        let mut at = 0usize;
        for (cut, source) in &row.cuts {
            let (start, end) = (cut.start as usize, cut.end as usize);
            // Cuts that overlap or lie outside cannot be put together again.
            let literal = raw.get(at..start)?;
            let written = raw.get(start..end)?;
            put_key_literal(&mut row.key, literal);
            let column = match source {
                Source::Time => {
                    row.text.clear();
                    if !spell::put_time(time_ns, cut.spelling, &mut row.text) || row.text != written {
                        return None;
                    }
                    u16::MAX
                }
                Source::Column(column) => *column,
            };
            row.key.push(1);
            row.key.extend(column.to_le_bytes());
            put_spelling(&mut row.key, cut.spelling);
            at = end;
        }
        put_key_literal(&mut row.key, raw.get(at..)?);
        if row.key.len() > SKELETON_BYTES_MAX {
            return None;
        }
        if let Some(id) = self.shape_ids.get(&row.key[..]) {
            return *id;
        }
        let id = self.shapes.intern(&Arc::new(self.skeleton(&row.cuts, raw)));
        if self.shape_ids.len() < 2 * crate::store::skeleton::SHAPES_MAX {
            self.shape_ids.insert(row.key[..].into(), id);
        }
        id
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
        arrays.extend(self.columns.into_iter().map(|column| column.values.finish(rows)));
        arrays.push(Arc::new(self.extra.finish()));
        arrays.push(Arc::new(self.shape.finish()));
        arrays.push(Arc::new(self.raw.finish()));
        let batch = RecordBatch::try_new(Arc::clone(layout.schema()), arrays)
            .expect("the columns were built after the schema and padded to one length");
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

fn put_key_literal(key: &mut Vec<u8>, literal: &[u8]) {
    key.push(0);
    key.extend((literal.len() as u32).to_le_bytes());
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
    spell::put(&mut out, cell, crate::parse::line::Spelling::Plain);
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
    fn new(kind: Kind) -> Values {
        match kind {
            Kind::Str => Values::Str(StringBuilder::new()),
            Kind::Int => Values::Int(Int64Builder::new()),
            Kind::Float => Values::Float(Float64Builder::new()),
            Kind::Bool => Values::Bool(BooleanBuilder::new()),
        }
    }

    /// Sets the value of `row`; rows in between that lacked the field become null. `false` if it has one already.
    fn set(&mut self, row: usize, cell: Cell<'_>) -> bool {
        self.pad(row);
        if self.len() > row {
            return false;
        }
        match (self, cell) {
            (Values::Str(values), Cell::Str(text)) => values.append_value(text),
            (Values::Int(values), Cell::Int(value)) => values.append_value(value),
            (Values::Float(values), Cell::Float(value)) => values.append_value(value),
            (Values::Bool(values), Cell::Bool(value)) => values.append_value(value),
            _ => return false,
        }
        true
    }

    fn len(&self) -> usize {
        match self {
            Values::Str(values) => values.len(),
            Values::Int(values) => values.len(),
            Values::Float(values) => values.len(),
            Values::Bool(values) => values.len(),
        }
    }

    fn pad(&mut self, rows: usize) {
        let missing = rows.saturating_sub(self.len());
        if missing == 0 {
            return;
        }
        match self {
            Values::Str(values) => values.append_nulls(missing),
            Values::Int(values) => values.append_nulls(missing),
            Values::Float(values) => values.append_nulls(missing),
            Values::Bool(values) => values.append_nulls(missing),
        }
    }

    fn finish(mut self, rows: usize) -> ArrayRef {
        self.pad(rows);
        match self {
            Values::Str(mut values) => Arc::new(values.finish()),
            Values::Int(mut values) => Arc::new(values.finish()),
            Values::Float(mut values) => Arc::new(values.finish()),
            Values::Bool(mut values) => Arc::new(values.finish()),
        }
    }
}

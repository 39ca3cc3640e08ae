//! Lines into typed columns: one builder a block, filled line by line.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayBuilder, ArrayRef, BinaryBuilder, GenericByteBuilder, Int64Array, StringBuilder, UInt32Array,
    UInt64Array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::ByteArrayType;
use logweir_proto::record::Level;

use self::columns::{Columns, Dense};
use self::rows::Forms;
use self::shapes::Shapes;
use super::{Block, BlockParts, zeros};
use crate::equal::is_ascii;
use crate::names::{NameId, Names};
use crate::parse::line::{Constants, Cut, Field, Line, Spelling, Text, Value};
use crate::parse::time::printer::TimePrinter;
use crate::store::column::{EXTRA_NAMES_MAX, Kind, Layout};
use crate::store::receipts::Receipts;
use crate::store::segment::{BLOCK_ROWS_MAX, FieldStat};
use crate::store::spell::{self, Cell};

mod columns;
mod rows;
mod shapes;

/// A block is full at this many bytes of lines, however few rows it has: Arrow counts text in 31 bits.
pub const BLOCK_BYTES_MAX: usize = 64 << 20;

/// Builds a [`Block`].
#[derive(Default)]
pub struct BlockBuilder {
    times: Vec<i64>,
    seqs: Vec<u64>,
    receipts: Receipts,
    columns: Columns,
    /// Up to the last row that has fields beyond the columns.
    extra: StringBuilder,
    extra_fields: BTreeMap<String, FieldStat>,
    shapes: Shapes,
    forms: Forms,
    shape: Dense<u32>,
    /// Up to the last row that is kept whole.
    raw: BinaryBuilder,
    raw_bytes: usize,
    /// Where values are printed.
    printed: Vec<u8>,
    time: TimePrinter,
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

    /// Notes when the line of a row was received.
    #[inline]
    pub fn receive(&mut self, seq: u64, received_ns: i64) {
        self.receipts.note(seq, received_ns);
    }

    /// Adds a line, or a row of a form. `names` are the ones that the line was parsed with, the same for all lines of
    /// the block.
    pub fn push(&mut self, names: &Names, line: &Line, raw: &[u8], time_ns: i64, seq: u64) {
        debug_assert!(!self.is_full(), "a full block is finished before the next push");
        let mut extra = None;
        if let Some((form, row)) = line.row() {
            self.push_level(names, line.level);
            // A time that was not believed is not the one that stands in the line.
            let is_own_time = line.time_ns.is_none_or(|written_ns| written_ns == time_ns);
            let shape = self.push_row(names, (form, row), raw, is_own_time, &mut extra);
            return self.push_rest(shape, extra, raw, time_ns, seq);
        }
        let named = || match line.get(NameId::LEVEL)?.value {
            Value::Text(text) => Level::parse(line.text(raw, text)),
            _ => None,
        };
        self.push_level(names, line.level.or_else(named));
        let rebuildable = self.push_fields(names, line, raw, time_ns, &mut extra);
        let shape = if rebuildable { self.shapes.find(&self.columns, raw) } else { None };
        self.hold(names, line.constants(), &mut extra);
        self.push_rest(shape, extra, raw, time_ns, seq);
    }

    /// Notes which constants hold for the row. Behind its fields: what a field says of the row goes before a constant
    /// that ends here.
    #[inline]
    fn hold(&mut self, names: &Names, constants: Option<(&Arc<Constants>, u128)>, extra: &mut Extra) {
        for (name, value) in self.columns.hold(names, self.times.len(), constants) {
            let extra = extra.get_or_insert_default();
            push_extra(&mut self.extra_fields, names, *name, Cell::Str(value), extra);
        }
    }

    /// Sets what every row has, when its values are in their columns; without a shape the line is kept whole.
    #[inline]
    fn push_rest(&mut self, shape: Option<u32>, extra: Extra, raw: &[u8], time_ns: i64, seq: u64) {
        let row = self.times.len();
        match shape {
            Some(shape) => self.shape.push(shape),
            None => {
                self.shape.append_nulls(1);
                self.raw.append_nulls(row - self.raw.len());
                self.raw.append_value(raw);
            }
        }
        if let Some(extra) = extra {
            self.extra.append_nulls(row - self.extra.len());
            self.extra.append_value(serde_json::Value::Object(extra).to_string());
        }
        self.times.push(time_ns);
        self.seqs.push(seq);
        self.raw_bytes += raw.len();
    }

    /// Sets the fields of the line in their columns, and tells the shapes where they stand. Whether all that was cut
    /// from the line prints as it stands there.
    fn push_fields(&mut self, names: &Names, line: &Line, raw: &[u8], time_ns: i64, extra: &mut Extra) -> bool {
        let row = self.times.len();
        // A piece of ASCII is text wherever it is cut; else the line is checked as a whole.
        let ascii = is_ascii(raw);
        let text = if ascii { None } else { std::str::from_utf8(raw).ok() };
        let mut time_cut = line.time_cut;
        let mut rebuildable = true;
        let mut owned = String::new();
        self.shapes.begin();
        for field in line.fields.iter().filter(|field| field.name != NameId::LEVEL) {
            let piece = if ascii { piece_of(field, raw) } else { None };
            if let Some(piece) = piece
                && let Some(column) = self.columns.of(names, field.name, Kind::Str)
            {
                rebuildable &= self.columns.set_text(column, row, piece);
                let Some(cut) = &field.cut else { continue };
                // Mostly the time comes first, and the cuts are in order so.
                if time_cut.as_ref().is_some_and(|time| time.start <= cut.start) {
                    rebuildable &= self.push_time(time_cut.take(), raw, time_ns);
                }
                rebuildable &= self.shapes.add(cut.start, cut.end, column, cut.spelling);
                rebuildable &= is_own_place(field, cut)
                    || std::str::from_utf8(piece).is_ok_and(|text| self.is_spelled(Cell::Str(text), cut, raw));
                continue;
            }
            let cell = cell_of(field, line, raw, text, &mut owned);
            let Some(column) = self.columns.of(names, field.name, kind_of(cell)) else {
                push_extra(&mut self.extra_fields, names, field.name, cell, extra.get_or_insert_default());
                rebuildable &= field.cut.is_none();
                continue;
            };
            rebuildable &= self.columns.set(column, row, cell);
            let Some(cut) = &field.cut else { continue };
            if time_cut.as_ref().is_some_and(|time| time.start <= cut.start) {
                rebuildable &= self.push_time(time_cut.take(), raw, time_ns);
            }
            rebuildable &= self.shapes.add(cut.start, cut.end, column, cut.spelling);
            rebuildable &= is_its_own_text(field, cell, cut) || self.is_spelled(cell, cut, raw);
        }
        rebuildable & self.push_time(time_cut, raw, time_ns)
    }

    /// Whether a value prints as it stands in the line.
    #[inline]
    fn is_spelled(&mut self, cell: Cell<'_>, cut: &Cut, raw: &[u8]) -> bool {
        let written = raw.get(cut.start as usize..cut.end as usize);
        written.is_some_and(|written| spell::is_spelled(cell, cut.spelling, written, &mut self.printed))
    }

    /// Tells the shapes where the time stands; whether it prints so.
    #[inline(never)]
    fn push_time(&mut self, cut: Option<Cut>, raw: &[u8], time_ns: i64) -> bool {
        let Some(Cut { start, end, spelling }) = cut else { return true };
        let written = raw.get(start as usize..end as usize);
        written.is_some_and(|written| self.time.is_spelled(time_ns, spelling, written))
            && self.shapes.add(start, end, shapes::TIME, spelling)
    }

    #[inline]
    fn push_level(&mut self, names: &Names, level: Option<Level>) {
        if let Some(level) = level
            && let Some(column) = self.columns.of(names, NameId::LEVEL, Kind::Str)
        {
            self.columns.set(column, self.times.len(), Cell::Str(level.as_str()));
        }
    }

    /// The block, ordered by `(time, seq)`.
    pub fn finish(self) -> Block {
        let rows = self.times.len();
        let sorted = (1..rows).all(|i| (self.times[i - 1], self.seqs[i - 1]) <= (self.times[i], self.seqs[i]));
        let order = (!sorted).then(|| {
            let mut order: Vec<u32> = (0..rows as u32).collect();
            order.sort_unstable_by_key(|&i| (self.times[i as usize], self.seqs[i as usize]));
            UInt32Array::from(order)
        });
        let shapes = self.shapes.shapes().into();
        let (keys, columns) = self.columns.finish(rows);
        let layout = Arc::new(Layout::new(keys));
        let (shape, has_shape) = self.shape.finish();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len() + 5);
        arrays.push(Arc::new(Int64Array::from(self.times)));
        arrays.push(Arc::new(UInt64Array::from(self.seqs)));
        arrays.extend(columns);
        arrays.push(fitted(self.extra, rows));
        arrays.push(Arc::new(UInt32Array::new(shape.into(), has_shape)));
        arrays.push(fitted(self.raw, rows));
        let batch = layout.batch(arrays).expect("the columns were built after the schema and padded to one length");
        let batch = match order {
            Some(order) => take_record_batch(&batch, &order).expect("the order names rows of the batch"),
            None => batch,
        };
        let raw_bytes = self.raw_bytes as u64;
        let receipts = Arc::new(self.receipts);
        Block::new(BlockParts { layout, shapes, receipts, raw_bytes, extra_fields: self.extra_fields }, batch)
    }
}

/// The fields of a row that have no column.
type Extra = Option<serde_json::Map<String, serde_json::Value>>;

fn push_extra(
    fields: &mut BTreeMap<String, FieldStat>,
    names: &Names,
    name: NameId,
    cell: Cell<'_>,
    extra: &mut serde_json::Map<String, serde_json::Value>,
) {
    let name = names.name(name);
    if fields.contains_key(&**name) || fields.len() < EXTRA_NAMES_MAX {
        let stat = fields.entry(name.to_string()).or_default();
        stat.rows += 1;
        let kind = kind_of(cell).name();
        if !stat.types.contains(&kind) {
            stat.types.push(kind);
        }
    }
    extra.insert(name.to_string(), json_of(cell));
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

/// The text of a field that is a piece of the line.
#[inline]
fn piece_of<'a>(field: &Field, raw: &'a [u8]) -> Option<&'a [u8]> {
    match field.value {
        Value::Text(Text::Raw(start, end)) => raw.get(start as usize..end as usize),
        _ => None,
    }
}

/// Whether a field is the bytes that it was cut from as they stand there.
#[inline]
fn is_own_place(field: &Field, cut: &Cut) -> bool {
    let Value::Text(Text::Raw(start, end)) = field.value else { return false };
    cut.spelling == Spelling::Plain && (start, end) == (cut.start, cut.end)
}

/// The same where bytes that are no text were escaped.
#[inline]
fn is_its_own_text(field: &Field, cell: Cell<'_>, cut: &Cut) -> bool {
    matches!(cell, Cell::Str(text) if text.len() == (cut.end.wrapping_sub(cut.start)) as usize)
        && is_own_place(field, cut)
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

/// The values with nothing behind them up to so many rows, and without what the builder had set aside: blocks stay in
/// memory for minutes.
fn fitted<T: ByteArrayType<Offset = i32>>(mut values: GenericByteBuilder<T>, rows: usize) -> ArrayRef {
    if values.is_empty() {
        return Arc::new(zeros::no_values::<T>(rows));
    }
    values.append_nulls(rows - values.len());
    let mut array = values.finish();
    array.shrink_to_fit();
    Arc::new(array)
}

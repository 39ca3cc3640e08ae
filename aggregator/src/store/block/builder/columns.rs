//! The columns of a block under construction, found by the name and the type of a field.
//!
//! The constants of a source cost nothing a row: their columns are filled up when they end, or when the block does.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array};
use arrow::buffer::NullBuffer;

use crate::names::{NameId, Names};
use crate::parse::line::Constants;
use crate::store::block::gaps::Gaps;
use crate::store::block::texts::Texts;
use crate::store::column::{COLUMNS_MAX, ColumnKey, Kind, is_canonical, may_be_column};
use crate::store::spell::Cell;
use crate::store::split::indexer::WORD_FIELDS;

/// In `slots`: the field has no column of this type and gets none.
const NO_COLUMN: u16 = u16::MAX;

/// All columns of fields.
#[derive(Default)]
pub(super) struct Columns {
    /// By [`NameId`] and [`Kind`]: the column plus one, 0 where it is not known yet, or [`NO_COLUMN`].
    slots: Vec<[u16; Kind::ALL.len()]>,
    list: Vec<Column>,
    held: Held,
}

/// The constants of the rows that come.
#[derive(Default)]
struct Held {
    constants: Option<Arc<Constants>>,
    shown: u128,
    /// Those that have a column.
    columns: Vec<u16>,
    /// Those that have none.
    others: Vec<(NameId, Arc<str>)>,
}

struct Column {
    key: ColumnKey,
    values: Values,
    len: usize,
    /// What rows have that do not say another value; without it they have none.
    constant: Option<Arc<str>>,
}

enum Values {
    Str(Texts),
    Int(Dense<i64>),
    Float(Dense<f64>),
    Bool(Dense<bool>),
}

/// Values of one size.
#[derive(Debug, Default)]
pub(super) struct Dense<T> {
    values: Vec<T>,
    gaps: Gaps,
}

impl<T> Dense<T> {
    #[inline]
    pub(super) fn push(&mut self, value: T) {
        self.values.push(value);
    }

    pub(super) fn append_nulls(&mut self, rows: usize) {
        self.gaps.add(self.values.len(), rows);
    }
}

impl<T: Copy + Default> Dense<T> {
    /// A value for each row, and which rows have one.
    pub(super) fn finish(self) -> (Vec<T>, Option<NullBuffer>) {
        let nulls = self.gaps.nulls(self.values.len());
        (self.gaps.spread(self.values), nulls)
    }
}

impl Columns {
    /// The column of a field in a type; `None` when it has to go into `_extra`.
    #[inline]
    pub(super) fn of(&mut self, names: &Names, name: NameId, kind: Kind) -> Option<u16> {
        match self.slots.get(name.0 as usize).map_or(0, |slots| slots[kind as usize]) {
            0 => self.add(names, name, kind),
            NO_COLUMN => None,
            column => Some(column - 1),
        }
    }

    #[cold]
    fn add(&mut self, names: &Names, id: NameId, kind: Kind) -> Option<u16> {
        let name = names.name(id);
        let full = self.list.len() >= COLUMNS_MAX && !is_canonical(name);
        let column = (!full && may_be_column(name)).then_some(self.list.len() as u16);
        if column.is_some() {
            let key = ColumnKey { field: Arc::clone(name), kind };
            let values = Values::new(kind, !WORD_FIELDS.contains(&&**name));
            self.list.push(Column { key, values, len: 0, constant: None });
        }
        let at = id.0 as usize;
        if at >= self.slots.len() {
            self.slots.resize(at + 1, [0; Kind::ALL.len()]);
        }
        // What has no column now has none later: columns only become more.
        self.slots[at][kind as usize] = column.map_or(NO_COLUMN, |column| column + 1);
        column
    }

    /// Sets the value of `row` in a column of its type. `false` if it has one already.
    #[inline]
    pub(super) fn set(&mut self, column: u16, row: usize, cell: Cell<'_>) -> bool {
        self.list[usize::from(column)].set(row, cell)
    }

    /// Sets the text of `row` in a column of texts: `text` is valid UTF-8. `false` if it has one already.
    #[inline]
    pub(super) fn set_text(&mut self, column: u16, row: usize, text: &[u8]) -> bool {
        let column = &mut self.list[usize::from(column)];
        let fits = column.make_room(row);
        match &mut column.values {
            Values::Str(values) if fits => values.append(text),
            _ => return false,
        }
        column.len = row + 1;
        true
    }

    /// The same; the number of the text, if the column numbers its texts.
    #[inline]
    pub(super) fn set_numbered(&mut self, column: u16, row: usize, text: &[u8]) -> Option<u16> {
        let column = &mut self.list[usize::from(column)];
        let fits = column.make_room(row);
        let Values::Str(values) = &mut column.values else { return None };
        if !fits {
            return None;
        }
        column.len = row + 1;
        values.append_numbered(text)
    }

    /// Sets the text of `row` by the number that it has in its column; `false` if it has none there.
    #[inline]
    pub(super) fn set_number(&mut self, column: u16, row: usize, number: u16) -> bool {
        let column = &mut self.list[usize::from(column)];
        let fits = column.make_room(row);
        let Values::Str(values) = &mut column.values else { return false };
        let set = fits && values.append_number(number);
        column.len += usize::from(set);
        set
    }

    /// Sets the value of `row` in a column of whole numbers. `false` if it has one already.
    #[inline]
    pub(super) fn set_int(&mut self, column: u16, row: usize, value: i64) -> bool {
        let column = &mut self.list[usize::from(column)];
        let fits = column.make_room(row);
        match &mut column.values {
            Values::Int(values) if fits => values.push(value),
            _ => return false,
        }
        column.len = row + 1;
        true
    }

    pub(super) fn key(&self, column: u16) -> &ColumnKey {
        &self.list[usize::from(column)].key
    }

    /// Gives `row` and those behind it these constants, and no others. Those that have no column are what it gives back.
    #[inline]
    pub(super) fn hold(
        &mut self,
        names: &Names,
        row: usize,
        constants: Option<(&Arc<Constants>, u128)>,
    ) -> &[(NameId, Arc<str>)] {
        let same = match (constants, &self.held.constants) {
            (Some((constants, shown)), Some(held)) => shown == self.held.shown && Arc::ptr_eq(constants, held),
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.hold_others(names, row, constants);
        }
        &self.held.others
    }

    #[cold]
    fn hold_others(&mut self, names: &Names, row: usize, constants: Option<(&Arc<Constants>, u128)>) {
        let mut held = std::mem::take(&mut self.held);
        for column in held.columns.drain(..) {
            let column = &mut self.list[usize::from(column)];
            column.pad(row);
            column.constant = None;
        }
        held.others.clear();
        (held.constants, held.shown) = match constants {
            Some((constants, shown)) => (Some(Arc::clone(constants)), shown),
            None => (None, 0),
        };
        for (name, value) in constants.into_iter().flat_map(|(constants, shown)| constants.iter(shown)) {
            let Some(at) = self.of(names, name, Kind::Str) else {
                held.others.push((name, Arc::clone(value)));
                continue;
            };
            let column = &mut self.list[usize::from(at)];
            column.pad(row);
            column.constant = Some(Arc::clone(value));
            held.columns.push(at);
        }
        self.held = held;
    }

    /// The columns with so many rows each.
    pub(super) fn finish(self, rows: usize) -> (Vec<ColumnKey>, Vec<ArrayRef>) {
        self.list.into_iter().map(|column| column.finish(rows)).unzip()
    }
}

impl Column {
    /// Whether `row` can be set now: rows before it that lacked the field have the constant, or none.
    #[inline]
    fn make_room(&mut self, row: usize) -> bool {
        if self.len < row {
            self.pad(row);
        }
        self.len == row
    }

    #[inline]
    fn set(&mut self, row: usize, cell: Cell<'_>) -> bool {
        if !self.make_room(row) {
            return false;
        }
        match (&mut self.values, cell) {
            (Values::Str(values), Cell::Str(text)) => values.append(text.as_bytes()),
            (Values::Int(values), Cell::Int(value)) => values.push(value),
            (Values::Float(values), Cell::Float(value)) => values.push(value),
            (Values::Bool(values), Cell::Bool(value)) => values.push(value),
            _ => return false,
        }
        self.len = row + 1;
        true
    }

    fn pad(&mut self, rows: usize) {
        let missing = rows.saturating_sub(self.len);
        if missing == 0 {
            return;
        }
        match (&mut self.values, &self.constant) {
            (Values::Str(values), Some(constant)) => values.append_same(constant, missing),
            (Values::Str(values), None) => values.append_nulls(missing),
            (Values::Int(values), _) => values.append_nulls(missing),
            (Values::Float(values), _) => values.append_nulls(missing),
            (Values::Bool(values), _) => values.append_nulls(missing),
        }
        self.len = rows;
    }

    fn finish(mut self, rows: usize) -> (ColumnKey, ArrayRef) {
        self.pad(rows);
        let array: ArrayRef = match self.values {
            Values::Str(values) => values.finish(),
            Values::Int(values) => {
                let (values, nulls) = values.finish();
                Arc::new(Int64Array::new(values.into(), nulls))
            }
            Values::Float(values) => {
                let (values, nulls) = values.finish();
                Arc::new(Float64Array::new(values.into(), nulls))
            }
            Values::Bool(values) => {
                let (values, nulls) = values.finish();
                let mut array = BooleanArray::new(values.into(), nulls);
                array.shrink_to_fit();
                Arc::new(array)
            }
        };
        (self.key, array)
    }
}

impl Values {
    /// `numbered` texts come again, as far as is known.
    fn new(kind: Kind, numbered: bool) -> Values {
        match kind {
            Kind::Str => Values::Str(Texts::new(numbered)),
            Kind::Int => Values::Int(Dense::default()),
            Kind::Float => Values::Float(Dense::default()),
            Kind::Bool => Values::Bool(Dense::default()),
        }
    }
}

//! The messages of a block before they are put together, so that a search builds only those that may match.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;

use super::derived::{Piece, Template};
use super::reader::OpenSplit;
use crate::store::column::ColumnKey;
use crate::store::segment::Parts;

/// The parts of the messages of one block.
pub struct Parted<'a> {
    split: &'a OpenSplit,
    block: usize,
    numbers: Int64Array,
    /// Columns that were read, by their places.
    read: RefCell<Vec<(usize, ArrayRef)>>,
}

impl<'a> Parted<'a> {
    /// `numbers` says by which template each message is made.
    pub fn new(split: &'a OpenSplit, block: usize, numbers: &ArrayRef) -> Option<Parted<'a>> {
        let numbers = numbers.as_primitive_opt::<Int64Type>()?.clone();
        Some(Parted { split, block, numbers, read: RefCell::default() })
    }

    /// The columns that the templates of these rows name.
    fn keys(&self, rows: &[usize]) -> BTreeSet<&'a ColumnKey> {
        let used: BTreeSet<i64> =
            rows.iter().filter(|row| self.numbers.is_valid(**row)).map(|row| self.numbers.value(*row)).collect();
        let templates = self.split.derived().templates();
        let used = used.into_iter().filter_map(|number| templates.get(usize::try_from(number).ok()?));
        let key = |piece: &'a Piece| if let Piece::Column(key) = piece { Some(key) } else { None };
        used.flatten().filter_map(key).collect()
    }

    fn read(&self, place: usize) -> Result<ArrayRef, String> {
        if let Some((_, array)) = self.read.borrow().iter().find(|(known, _)| *known == place) {
            return Ok(array.clone());
        }
        let array = self.split.part(self.block, place, self.numbers.len())?;
        self.read.borrow_mut().push((place, array.clone()));
        Ok(array)
    }
}

impl Parts for Parted<'_> {
    fn templates(&self) -> &[Template] {
        self.split.derived().templates()
    }

    fn numbers(&self) -> &Int64Array {
        &self.numbers
    }

    fn kept(&self) -> Result<ArrayRef, String> {
        self.read(self.split.derived().kept())
    }

    fn column(&self, key: &ColumnKey) -> Result<ArrayRef, String> {
        self.read(self.split.derived().place(key).ok_or("a template names a column that is not there")?)
    }

    fn may_have(&self, key: &ColumnKey, part: &[u8]) -> bool {
        self.split.may_have(key, part)
    }

    fn put_together(&self, rows: &[usize]) -> Result<ArrayRef, String> {
        let derived = self.split.derived();
        let (kept, numbers) = (self.kept()?, Arc::new(self.numbers.clone()) as ArrayRef);
        let mut columns = Vec::new();
        for key in self.keys(rows) {
            let place = derived.place(key).ok_or("a template names a column that is not there")?;
            columns.push((place, self.read(place)?));
        }
        let find = |place: usize| match place {
            _ if Some(place) == derived.message() => Some(&kept),
            _ if place == derived.numbers() => Some(&numbers),
            _ => columns.iter().find(|(column, _)| *column == place).map(|(_, array)| array),
        };
        let messages = derived.put_rows_together(rows.iter().copied(), find);
        messages.ok_or_else(|| format!("block {}: a message cannot be put together", self.block))
    }
}

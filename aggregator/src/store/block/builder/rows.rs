//! Rows of a form into columns: what [`BlockBuilder::push`] makes of the same line, without looking at what is known.
//!
//! The shape of a row follows from which values it has and from what stands where one is missing; its route follows from
//! its path, and a path that was numbered has had its route numbered, too.

use std::sync::Arc;

use super::{BlockBuilder, Extra, push_extra, shapes};
use crate::names::{NameId, Names};
use crate::parse::form::{Form, FormValue, Holds, Place, Row, route_of};
use crate::parse::line::Spelling;
use crate::store::column::Kind;
use crate::store::spell::Cell;

/// Shapes of a form that are found without the table of all shapes.
const SHAPES_MAX: usize = 16;

/// In `Known::columns`: the value had no column yet.
const UNKNOWN: u16 = u16::MAX;

/// What is remembered from row to row.
#[derive(Default)]
pub(super) struct Known {
    /// The form that columns and shapes are of.
    form: Option<Arc<Form>>,
    /// The column of each value.
    columns: Vec<u16>,
    /// The likeliest first.
    shapes: Vec<KnownShape>,
    /// By the number of a path the number of its route plus one; 0 where it is not known.
    routes: Vec<u32>,
    made: Vec<u8>,
}

#[derive(Clone, Copy)]
struct KnownShape {
    present: u64,
    absent: u64,
    time: Option<Spelling>,
    /// Its number in the table; without one lines are kept whole.
    id: Option<u32>,
}

impl BlockBuilder {
    /// Adds a row, as [`BlockBuilder::push`] adds a line.
    pub fn push_row(&mut self, names: &Names, row: &Row<'_>, time_ns: i64, seq: u64) {
        debug_assert!(!self.is_full(), "a full block is finished before the next push");
        let mut extra = None;
        if self.known.form.as_ref().is_none_or(|form| !Arc::ptr_eq(form, row.form)) {
            self.known.begin(row.form);
        }
        // A time that was not believed is not the one that stands in the line.
        let is_own_time = row.time.is_none_or(|(written_ns, _)| written_ns == time_ns);
        let rebuildable = self.push_values(names, row, &mut extra) && is_own_time;
        let constants = &row.form.constants;
        self.hold(names, Some((constants, constants.all())), &mut extra);
        let shape = if rebuildable { self.shape_of(names, row) } else { None };
        self.push_rest(shape, extra, row.text, time_ns, seq);
    }

    /// Sets the values in their columns. Whether all that was cut from the line has one.
    #[inline(always)]
    fn push_values(&mut self, names: &Names, row: &Row<'_>, extra: &mut Extra) -> bool {
        let at = self.times.len();
        let mut rebuildable = true;
        let mut path = None;
        let mut present = row.present;
        while present != 0 {
            let i = present.trailing_zeros() as usize;
            present &= present - 1;
            let (Some(value), Some(place)) = (row.form.values.get(i), row.places.get(i)) else { break };
            match value.holds {
                Holds::Time => continue,
                Holds::Route => {
                    self.push_route(names, path, extra);
                    continue;
                }
                Holds::Text | Holds::Int | Holds::Path => {}
            }
            let text = row.text.get(place.start as usize..place.end as usize).unwrap_or_default();
            let mut column = self.known.columns.get(i).copied().unwrap_or(UNKNOWN);
            if column == UNKNOWN {
                column = self.column_of(names, value, i);
            }
            if column == UNKNOWN {
                self.push_beyond(names, value, (text, place.number), extra);
                rebuildable &= !value.is_cut;
                path = if value.holds == Holds::Path { Some((text, None)) } else { path };
                continue;
            }
            match value.holds {
                Holds::Int => rebuildable &= self.columns.set_int(column, at, place.number),
                Holds::Path => path = Some((text, self.columns.set_numbered(column, at, text))),
                _ => rebuildable &= self.columns.set_text(column, at, text),
            }
        }
        rebuildable
    }

    #[cold]
    fn column_of(&mut self, names: &Names, value: &FormValue, at: usize) -> u16 {
        let kind = if value.holds == Holds::Int { Kind::Int } else { Kind::Str };
        let column = self.columns.of(names, value.name, kind).unwrap_or(UNKNOWN);
        if let Some(known) = self.known.columns.get_mut(at) {
            *known = column;
        }
        column
    }

    /// Puts a value that has no column where such values are.
    #[cold]
    fn push_beyond(&mut self, names: &Names, value: &FormValue, (text, number): (&[u8], i64), extra: &mut Extra) {
        let text = String::from_utf8_lossy(text);
        let cell = if value.holds == Holds::Int { Cell::Int(number) } else { Cell::Str(&text) };
        push_extra(&mut self.extra_fields, names, value.name, cell, extra.get_or_insert_default());
    }

    /// Sets the route of a path that has this number.
    #[inline(always)]
    pub(super) fn push_route(&mut self, names: &Names, path: Option<(&[u8], Option<u16>)>, extra: &mut Extra) {
        let Some((path, number)) = path else { return };
        let known = number.and_then(|number| self.known.routes.get(usize::from(number))).copied().unwrap_or(0);
        if let Some(route) = known.checked_sub(1)
            && let Some(column) = self.columns.of(names, NameId::ROUTE, Kind::Str)
            && self.columns.set_number(column, self.times.len(), route as u16)
        {
            return;
        }
        self.make_route(names, path, number, extra);
    }

    #[inline(never)]
    fn make_route(&mut self, names: &Names, path: &[u8], number: Option<u16>, extra: &mut Extra) {
        let mut made = std::mem::take(&mut self.known.made);
        if let Some(route) = route_of(path, &mut made) {
            match self.columns.of(names, NameId::ROUTE, Kind::Str) {
                Some(column) => {
                    let route = self.columns.set_numbered(column, self.times.len(), route);
                    self.known.remember_route(number, route);
                }
                None => {
                    let cell = Cell::Str(&String::from_utf8_lossy(route));
                    push_extra(&mut self.extra_fields, names, NameId::ROUTE, cell, extra.get_or_insert_default());
                }
            }
        }
        self.known.made = made;
    }

    /// The number of the shape of a row whose values are in their columns.
    #[inline]
    fn shape_of(&mut self, names: &Names, row: &Row<'_>) -> Option<u32> {
        let known = &mut self.known;
        let time = row.time.map(|(_, spelling)| spelling);
        let is_of =
            |shape: &KnownShape| (shape.present, shape.absent) == (row.present, row.absent) && shape.time == time;
        if let Some(found) = known.shapes.iter().position(is_of) {
            let id = known.shapes[found].id;
            known.shapes.swap(found, found.saturating_sub(1));
            return id;
        }
        self.find_shape(names, row, time)
    }

    #[cold]
    fn find_shape(&mut self, names: &Names, row: &Row<'_>, time: Option<Spelling>) -> Option<u32> {
        self.shapes.begin();
        for (i, value) in row.form.values.iter().enumerate() {
            if !value.is_cut || row.present >> i & 1 == 0 {
                continue;
            }
            let Place { start, end, .. } = *row.places.get(i)?;
            let (column, spelling) = match (value.holds, time) {
                (Holds::Time, Some(spelling)) => (shapes::TIME, spelling),
                (Holds::Time, None) => return None,
                (Holds::Int, _) => (self.columns.of(names, value.name, Kind::Int)?, Spelling::Plain),
                _ => (self.columns.of(names, value.name, Kind::Str)?, Spelling::Plain),
            };
            if !self.shapes.add(start, end, column, spelling) {
                return None;
            }
        }
        let id = self.shapes.find(&self.columns, row.text);
        let known = &mut self.known.shapes;
        known.truncate(SHAPES_MAX - 1);
        known.push(KnownShape { present: row.present, absent: row.absent, time, id });
        id
    }
}

impl Known {
    /// Rows of another form come.
    #[cold]
    fn begin(&mut self, form: &Arc<Form>) {
        self.form = Some(Arc::clone(form));
        self.shapes.clear();
        self.columns.clear();
        self.columns.resize(form.values.len(), UNKNOWN);
    }

    fn remember_route(&mut self, path: Option<u16>, route: Option<u16>) {
        let (Some(path), Some(route)) = (path, route) else { return };
        let path = usize::from(path);
        if path >= self.routes.len() {
            self.routes.resize(path + 1, 0);
        }
        self.routes[path] = u32::from(route) + 1;
    }
}

#[cfg(test)]
mod tests;

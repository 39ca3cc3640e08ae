//! Rows of a form into columns: what [`BlockBuilder::push`] makes of the fields of the same line, without looking at
//! what is known.
//!
//! The bytes between the values are the same in all lines of a form, but for those that the row has a number for. So the
//! shape of a row follows from this number, and its columns from the form; its route follows from its path, and a path
//! that was numbered has had its route numbered, too.

use std::sync::Arc;

use super::columns::Columns;
use super::{BlockBuilder, Extra, push_extra, shapes};
use crate::names::{NameId, Names};
use crate::parse::form::{Form, FormValue, Holds, Place, Row, route_of};
use crate::parse::line::Spelling;
use crate::store::column::Kind;
use crate::store::spell::{self, Cell};

/// Forms that are remembered.
const FORMS_MAX: usize = 16;

/// Shapes of a form that are found without the table of all shapes.
const SHAPES_MAX: usize = 16;

/// In `Known::columns`: the value had no column yet.
const UNKNOWN: u16 = shapes::TIME - 1;

/// What is remembered from row to row.
#[derive(Default)]
pub(super) struct Forms {
    /// The likeliest first.
    known: Vec<Known>,
    /// By the number of a path the number of its route plus one; 0 where it is not known.
    routes: Vec<u32>,
    made: Vec<u8>,
}

struct Known {
    form: Arc<Form>,
    /// The column of each value, and what this is.
    columns: Box<[(u16, Holds)]>,
    /// The likeliest first.
    shapes: Vec<KnownShape>,
}

#[derive(Clone, Copy)]
struct KnownShape {
    literals: u128,
    time: Option<Spelling>,
    /// Its number in the table; without one lines are kept whole.
    id: Option<u32>,
}

impl Forms {
    /// Where the form is among those that are known.
    #[inline]
    fn find(&mut self, form: &Arc<Form>) -> usize {
        let Some(found) = self.known.iter().position(|known| Arc::ptr_eq(&known.form, form)) else {
            return self.add(form);
        };
        let at = found.saturating_sub(1);
        self.known.swap(found, at);
        at
    }

    #[cold]
    fn add(&mut self, form: &Arc<Form>) -> usize {
        self.known.truncate(FORMS_MAX - 1);
        let column = |value: &FormValue| {
            let column = if value.holds == Holds::Time { shapes::TIME } else { UNKNOWN };
            (column, value.holds)
        };
        let columns = form.values.iter().map(column).collect();
        self.known.push(Known { form: Arc::clone(form), columns, shapes: Vec::new() });
        self.known.len() - 1
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

impl BlockBuilder {
    /// Sets what a row of a form has. The number of its shape, if it has one.
    #[inline]
    pub(super) fn push_row(
        &mut self,
        names: &Names,
        (form, row): (&Arc<Form>, &Row),
        raw: &[u8],
        is_own_time: bool,
        extra: &mut Extra,
    ) -> Option<u32> {
        let known = self.forms.find(form);
        let rebuildable = self.push_values(names, known, row, raw, extra) && is_own_time;
        self.hold(names, form.constants(), extra);
        if rebuildable { self.shape_of(known, row, raw) } else { None }
    }

    /// Sets the values in their columns. Whether all that was cut from the line has one, and prints as it stands there.
    #[inline(always)]
    fn push_values(&mut self, names: &Names, known: usize, row: &Row, raw: &[u8], extra: &mut Extra) -> bool {
        let at = self.times.len();
        let (mut rebuildable, mut path) = (true, None);
        let Known { form, columns: known, .. } = &mut self.forms.known[known];
        for (i, (column, holds)) in known.iter_mut().enumerate() {
            let Some(place) = row.places.get(i) else { break };
            let Some(written) = raw.get(place.start as usize..place.end as usize) else { continue };
            if *column == UNKNOWN {
                let Some(value) = form.values.get(i) else { continue };
                let cell = cell_of(*holds, place, written);
                *column = column_of(&mut self.columns, names, value);
                if *column == UNKNOWN {
                    push_extra(&mut self.extra_fields, names, value.name, cell, extra.get_or_insert_default());
                    rebuildable &= !value.is_cut;
                    continue;
                }
            }
            rebuildable &= match holds {
                Holds::Time => continue,
                Holds::Text => self.columns.set_text(*column, at, written),
                Holds::Int => self.columns.set_int(*column, at, place.bits as i64),
                Holds::Path => {
                    path = Some((written, self.columns.set_numbered(*column, at, written)));
                    true
                }
                Holds::Float | Holds::Bool => {
                    let cell = cell_of(*holds, place, written);
                    let spelling = form.values.get(i).map_or(Spelling::Plain, |value| value.spelling);
                    self.columns.set(*column, at, cell) && spell::is_spelled(cell, spelling, written, &mut self.printed)
                }
            };
        }
        if let Some(path) = path {
            self.push_route(names, path);
        }
        rebuildable
    }

    /// Sets the route of a path that has this number.
    #[inline(always)]
    fn push_route(&mut self, names: &Names, (path, number): (&[u8], Option<u16>)) {
        let known = number.and_then(|number| self.forms.routes.get(usize::from(number))).copied().unwrap_or(0);
        if let Some(route) = known.checked_sub(1)
            && let Some(column) = self.columns.of(names, NameId::ROUTE, Kind::Str)
            && self.columns.set_number(column, self.times.len(), route as u16)
        {
            return;
        }
        self.make_route(names, path, number);
    }

    #[inline(never)]
    fn make_route(&mut self, names: &Names, path: &[u8], number: Option<u16>) {
        let mut made = std::mem::take(&mut self.forms.made);
        if let Some(route) = route_of(path, &mut made)
            && let Some(column) = self.columns.of(names, NameId::ROUTE, Kind::Str)
        {
            let route = self.columns.set_numbered(column, self.times.len(), route);
            self.forms.remember_route(number, route);
        }
        self.forms.made = made;
    }

    /// The number of the shape of a row whose values are in their columns.
    #[inline]
    fn shape_of(&mut self, known: usize, row: &Row, raw: &[u8]) -> Option<u32> {
        let shapes = &mut self.forms.known[known].shapes;
        let is_of = |shape: &KnownShape| shape.literals == row.literals && shape.time == row.time;
        if let Some(found) = shapes.iter().position(is_of) {
            let id = shapes[found].id;
            shapes.swap(found, found.saturating_sub(1));
            return id;
        }
        self.find_shape(known, row, raw)
    }

    #[cold]
    fn find_shape(&mut self, known: usize, row: &Row, raw: &[u8]) -> Option<u32> {
        self.shapes.begin();
        let Known { form, columns, shapes } = &mut self.forms.known[known];
        for (place, (value, (column, holds))) in row.places.iter().zip(form.values.iter().zip(columns)) {
            if !value.is_cut || place.start > place.end {
                continue;
            }
            let spelling = if *holds == Holds::Time { row.time? } else { value.spelling };
            if !self.shapes.add(place.start, place.end, *column, spelling) {
                return None;
            }
        }
        let id = self.shapes.find(&self.columns, raw);
        shapes.truncate(SHAPES_MAX - 1);
        shapes.push(KnownShape { literals: row.literals, time: row.time, id });
        id
    }
}

/// The column of a value, or [`UNKNOWN`] where it has to go into `_extra`.
#[cold]
fn column_of(columns: &mut Columns, names: &Names, value: &FormValue) -> u16 {
    let kind = match value.holds {
        Holds::Int => Kind::Int,
        Holds::Float => Kind::Float,
        Holds::Bool => Kind::Bool,
        Holds::Time | Holds::Text | Holds::Path => Kind::Str,
    };
    columns.of(names, value.name, kind).unwrap_or(UNKNOWN)
}

/// A value as its column takes it.
#[inline]
fn cell_of<'a>(holds: Holds, place: &Place, written: &'a [u8]) -> Cell<'a> {
    match holds {
        Holds::Int => Cell::Int(place.bits as i64),
        Holds::Float => Cell::Float(f64::from_bits(place.bits)),
        Holds::Bool => Cell::Bool(place.bits != 0),
        Holds::Time | Holds::Text | Holds::Path => Cell::Str(std::str::from_utf8(written).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests;

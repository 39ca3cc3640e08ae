//! The short way of a line whose form is known before it comes: from its bytes to columns, without fields between.
//!
//! A [`Form`] says once what stands at each place of such lines, and a [`Row`] is one of them: where its values begin
//! and end. It holds what the fields of the line would, in their order, and nothing but floats that a column could not
//! print back as it stands there. A parser that knows a form finds the places (`json/row.rs`, `nginx/access/row.rs`); a
//! line with anything odd has no row and goes the long way. The store puts rows into columns in one place, whatever form
//! they are of.

use std::sync::Arc;

use logweir_proto::record::Level;

use super::line::{Constants, Line, Spelling};
use super::route::{self, Route};
use crate::names::NameId;

/// What the lines of a form have in common.
#[derive(Debug)]
pub struct Form {
    /// In the order in which fields would come, which is that of columns. A form with a path has a route behind them.
    pub values: Box<[FormValue]>,
    constants: Arc<Constants>,
    /// Those that hold for its lines: no value has their names.
    shown: u128,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormValue {
    pub name: NameId,
    pub holds: Holds,
    /// It is a hole in the line; else it is derived from what another value holds.
    pub is_cut: bool,
    /// How a float is printed.
    pub spelling: Spelling,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// The time of the line.
    Time,
    /// Text as it stands in the line.
    Text,
    /// A whole number as it stands in the line.
    Int,
    /// A number that may be printed in another way than it stands in the line: whoever takes the row compares.
    Float,
    Bool,
    /// Text of which the route is made.
    Path,
}

/// The place of a value in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub start: u32,
    pub end: u32,
    /// A number, or the bits of one; nothing for a text.
    pub bits: u64,
}

impl Place {
    /// Of a value that the line does not have: no range of it.
    pub(super) const NONE: Place = Place { start: 1, end: 0, bits: 0 };
}

/// A line of a form: what it has beside its time and its level.
#[derive(Debug, Default)]
pub struct Row {
    form: Option<Arc<Form>>,
    /// For each value of the form.
    pub places: Vec<Place>,
    /// What stands beside the holes and is not the same in all lines of the form, as a number: lines with the same
    /// number, and the same values, have the same there.
    pub literals: u128,
    /// How exactly the time is written.
    pub time: Option<Spelling>,
    /// The line is this one, and not one before.
    holds: bool,
}

impl Form {
    /// `None` where a name is there twice.
    pub(super) fn new(values: Vec<FormValue>, constants: &Arc<Constants>) -> Option<Form> {
        let has_path = values.iter().any(|value| value.holds == Holds::Path);
        let route = has_path.then_some(NameId::ROUTE);
        let names: Vec<NameId> = values.iter().map(|value| value.name).chain(route).collect();
        let twice = (0..names.len()).any(|at| names[..at].contains(&names[at]));
        let shown = constants.without(|name| names.contains(&name));
        (!twice).then(|| Form { values: values.into(), constants: Arc::clone(constants), shown })
    }

    /// Whether a value has the name of a constant.
    pub(super) fn hides_constants(&self) -> bool {
        self.shown != self.constants.without(|_| false)
    }

    /// The constants of the source, and a bit for each that holds for lines of the form; `None` where none does.
    #[inline]
    pub fn constants(&self) -> Option<(&Arc<Constants>, u128)> {
        (self.shown != 0).then_some((&self.constants, self.shown))
    }
}

impl Row {
    #[inline]
    pub(super) fn clear(&mut self) {
        self.holds = false;
    }

    #[inline]
    pub fn form(&self) -> Option<&Arc<Form>> {
        self.form.as_ref().filter(|_| self.holds)
    }
}

impl Line {
    /// Where the values of a line of a form go, one for each. It counts once [`Line::set_row`] says so.
    #[inline]
    pub(super) fn places(&mut self, form: &Arc<Form>) -> &mut [Place] {
        if self.row.form.as_ref().is_none_or(|known| !Arc::ptr_eq(known, form)) {
            self.row.form = Some(Arc::clone(form));
            self.row.places.clear();
            self.row.places.resize(form.values.len(), Place::NONE);
        }
        &mut self.row.places
    }

    /// The line, which is clear, is the row whose places were filled.
    #[inline]
    pub(super) fn set_row(&mut self, literals: u128, time: Option<(i64, Spelling)>, level: Option<Level>) {
        (self.row.literals, self.row.holds, self.level) = (literals, true, level);
        (self.time_ns, self.row.time) = (time.map(|(time_ns, _)| time_ns), time.map(|(_, spelling)| spelling));
    }

    /// The row that the line is, with its form; it has no fields then.
    #[inline]
    pub fn row(&self) -> Option<(&Arc<Form>, &Row)> {
        Some((self.row.form()?, &self.row))
    }
}

/// The route of a path, if it has one; `made` holds it where it is no part of the path.
pub fn route_of<'a>(path: &'a [u8], made: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    made.clear();
    match route::template(path, made) {
        Route::None => None,
        Route::Path(len) => path.get(..len),
        Route::Made => Some(made),
    }
}

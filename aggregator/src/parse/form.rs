//! The short way of a line whose format is known before it comes: from its bytes to columns without a [`Line`] between.
//!
//! A [`Form`] says once what stands at each place of such lines, and a [`Row`] is one of them: where its values begin
//! and end. It holds what the fields of the line would, in their order, and nothing that a column could not print back
//! as it stands there. A line with anything odd has no row: [`super::Parser::parse`] reads it.
//!
//! [`Line`]: super::line::Line

use std::sync::Arc;

use super::line::{Constants, Spelling};
use super::route::{self, Route};
use crate::names::NameId;

/// Most values of a form: a bit each.
pub const VALUES_MAX: usize = u64::BITS as usize;

/// What the lines of a source have in common.
#[derive(Debug)]
pub struct Form {
    /// In the order of the line, with what is derived from a value behind it.
    pub values: Box<[FormValue]>,
    /// All of them hold for every row: none has the name of a value.
    pub constants: Arc<Constants>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormValue {
    pub name: NameId,
    pub holds: Holds,
    /// It is a hole in the line; else it is derived from what another value holds.
    pub is_cut: bool,
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
    /// Text of which the route is made.
    Path,
    /// The route of the path before it; it has no place of its own.
    Route,
}

/// The place of a value in the line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    pub start: u32,
    pub end: u32,
    /// What the digits of a [`Holds::Int`] are.
    pub number: i64,
}

/// A line of a form.
#[derive(Debug)]
pub struct Row<'a> {
    pub form: &'a Arc<Form>,
    /// The bytes of the line, which are ASCII.
    pub text: &'a [u8],
    /// For each value of the form.
    pub places: &'a [Place],
    /// A bit for each value that the line has.
    pub present: u64,
    /// What stands where a value is missing, in bits that are the same for lines that have the same there.
    pub absent: u64,
    /// The time of the line, and how exactly this is written in it.
    pub time: Option<(i64, Spelling)>,
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

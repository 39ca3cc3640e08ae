//! A piece of text to parse, with the place that it has in the line.
//!
//! The same grammars read the raw line and text that was unescaped first (the message inside PM2's JSON). Only pieces of
//! the raw line have cuts.

use std::ops::Range;
use std::sync::Arc;

use super::line::{Constants, Cut, Line, Spelling, Text, Value};
use crate::names::NameId;
use crate::spans::LineSpans;

/// Where the text of a piece stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// At this offset of the raw line.
    Raw(usize),
    /// At this offset of the scratch.
    Scratch(usize),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a [u8],
    pub(super) place: Place,
}

/// What every parser may need to know about the line that a piece is of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) raw: &'a [u8],
    /// Where its values are, as far as the door knows.
    pub(super) found: Option<LineSpans<'a>>,
    /// What holds for the lines of the source that do not say otherwise.
    pub(super) constants: &'a Arc<Constants>,
    /// The zone of times that tell none.
    pub(super) utc_offset_minutes: i16,
    /// When the line arrived: it tells the year where the line does not.
    pub(super) received_ns: i64,
}

impl<'a> Piece<'a> {
    #[inline]
    pub(super) fn raw(text: &'a [u8]) -> Piece<'a> {
        Piece { text, place: Place::Raw(0) }
    }

    /// Whether this is the line from its first to its last byte.
    #[inline]
    pub(super) fn is_all_of(&self, raw: &[u8]) -> bool {
        self.place == Place::Raw(0) && self.text.len() == raw.len()
    }

    /// The piece of a text that was copied to the scratch.
    pub(super) fn copied(text: &'a [u8], copy: Text) -> Piece<'a> {
        let place = match copy {
            Text::Scratch(start, _) => Place::Scratch(start as usize),
            Text::Raw(start, _) => Place::Raw(start as usize),
            Text::Static(_) => Place::Scratch(0),
        };
        Piece { text, place }
    }

    /// A part of the piece.
    #[inline]
    pub(super) fn part(&self, range: Range<usize>) -> Piece<'a> {
        let place = match self.place {
            Place::Raw(base) => Place::Raw(base + range.start),
            Place::Scratch(base) => Place::Scratch(base + range.start),
        };
        Piece { text: &self.text[range], place }
    }

    #[inline]
    pub(super) fn whole(&self) -> Range<usize> {
        0..self.text.len()
    }

    #[inline]
    pub(super) fn text(&self, range: Range<usize>) -> Text {
        match self.place {
            Place::Raw(base) => Text::Raw((base + range.start) as u32, (base + range.end) as u32),
            Place::Scratch(base) => Text::Scratch((base + range.start) as u32, (base + range.end) as u32),
        }
    }

    #[inline]
    pub(super) fn cut(&self, range: Range<usize>, spelling: Spelling) -> Option<Cut> {
        match self.place {
            Place::Raw(base) => {
                Some(Cut { start: (base + range.start) as u32, end: (base + range.end) as u32, spelling })
            }
            Place::Scratch(_) => None,
        }
    }

    /// Adds the text of a range as a field, cut as it stands.
    #[inline(always)]
    pub(super) fn push(&self, line: &mut Line, name: NameId, range: Range<usize>) {
        let cut = self.cut(range.clone(), Spelling::Plain);
        line.push(name, Value::Text(self.text(range)), cut);
    }

    /// Adds the text of a range as a field that is derived from what another field holds.
    #[inline]
    pub(super) fn derive(&self, line: &mut Line, name: NameId, range: Range<usize>) {
        line.push_default(name, Value::Text(self.text(range)));
    }
}

/// Where `part`, a slice of `text`, stands in it: grammars give slices, fields need places.
pub(super) fn range_within(text: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize).min(text.len());
    start..(start + part.len()).min(text.len())
}

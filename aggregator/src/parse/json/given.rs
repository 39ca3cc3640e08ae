//! Lines whose values the door has found: what the tree of known lines says of one of them holds for all of its form.
//!
//! A form stands for the bytes between the values of a line of one body, and for the kinds of the values. So two lines
//! of a form have the same keys, nested alike, and the tree brings both to the same place.

use std::sync::Arc;

use super::keys::KeyId;
use super::known::{Known, Shape};
use super::row::Steps;
use super::scan::{Kind, Leaf};
use crate::parse::line::{Constants, Line};
use crate::spans::{Form, LineSpans, Want};

/// Forms that are remembered: a body has few that come again and again.
const FORMS_MAX: usize = 8;

/// Lines that steps are to be learned from.
const TRIES_MAX: u8 = 8;

/// What a line adds to the misfits of its form where it does not fit the steps; one that does takes one away.
const MISFIT: u8 = 4;

/// What is known of the forms of the body at hand.
#[derive(Debug, Default)]
pub(super) struct Given {
    forms: Vec<Mapped>,
    /// The round of the tree that the shapes are of.
    round: u32,
}

#[derive(Debug)]
struct Mapped {
    form: Arc<Form>,
    /// `None` where a line of it is not what the tree makes of it, as with arrays.
    shape: Option<Shape>,
    places: Box<[Place]>,
    /// How its lines become rows, once a line of it was read.
    steps: Option<Steps>,
    /// Lines from which no steps could be learned.
    tries: u8,
    /// Grows with lines that do not fit the steps, shrinks with those that do.
    misfits: u8,
}

/// A value of each line of a form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Bytes between the value before it and this one.
    pub(super) before: u32,
    /// Bytes that are not of the value: the closing quote.
    pub(super) behind: u32,
    pub(super) key: KeyId,
    pub(super) kind: Kind,
}

impl Given {
    /// What [`Known::scan`] does, from what the door has `found` in `text`.
    #[inline]
    pub(super) fn scan(
        &mut self,
        found: LineSpans<'_>,
        text: &[u8],
        known: &mut Known,
        leaves: &mut Vec<Leaf>,
    ) -> Option<Shape> {
        if self.round == known.round()
            && let Some(mapped) = self.forms.iter().find(|mapped| Arc::ptr_eq(&mapped.form, found.form))
            && let Some(shape) = mapped.shape
            && mapped.read(found, text, leaves)
        {
            return Some(shape);
        }
        self.learn(found, text, known, leaves)
    }

    /// [`Steps::row`] by the steps of the form.
    #[inline]
    pub(super) fn row(
        &mut self,
        found: LineSpans<'_>,
        known: &Known,
        text: &[u8],
        offset_minutes: i16,
        line: &mut Line,
    ) -> Option<()> {
        let mapped = self.forms.iter_mut().find(|mapped| Arc::ptr_eq(&mapped.form, found.form))?;
        let steps = mapped.steps.as_mut().filter(|_| self.round == known.round())?;
        if mapped.misfits > u8::MAX - MISFIT {
            // Most of the lines would be read twice.
            return None;
        }
        let row = steps.row(found, text, offset_minutes, line);
        mapped.misfits = if row.is_some() { mapped.misfits.saturating_sub(1) } else { mapped.misfits + MISFIT };
        row
    }

    /// Learns the steps of a form from a line of it that its plan, of these steps, has just filled.
    #[cold]
    pub(super) fn learn_steps(
        &mut self,
        found: LineSpans<'_>,
        known: &mut Known,
        line: &Line,
        constants: &Arc<Constants>,
    ) {
        if self.round == known.round()
            && let Some(mapped) = self.forms.iter_mut().find(|mapped| Arc::ptr_eq(&mapped.form, found.form))
            && let Some(shape) = mapped.shape
            && mapped.steps.is_none()
            && mapped.tries < TRIES_MAX
        {
            mapped.tries += 1;
            mapped.steps = Steps::of(&mapped.places, known.plan(shape).ops(), line, constants);
        }
    }

    #[inline(never)]
    fn learn(&mut self, found: LineSpans<'_>, text: &[u8], known: &mut Known, leaves: &mut Vec<Leaf>) -> Option<Shape> {
        if self.round != known.round() {
            (self.round, self.forms) = (known.round(), Vec::new());
        }
        // A form of which the tree knows no line yet is tried again with the next one.
        let shape = known.scan(text, leaves)?;
        if !self.forms.iter().any(|mapped| Arc::ptr_eq(&mapped.form, found.form)) {
            if self.forms.len() >= FORMS_MAX {
                self.forms.remove(0);
            }
            let mut mapped = Mapped::new(found.form, shape, leaves);
            let mut again = Vec::with_capacity(leaves.len());
            let same = mapped.read(found, text, &mut again) && again == *leaves;
            mapped.shape = mapped.shape.filter(|_| same);
            self.forms.push(mapped);
        }
        Some(shape)
    }
}

impl Mapped {
    fn new(form: &Arc<Form>, shape: Shape, leaves: &[Leaf]) -> Mapped {
        let place = |((before, want), leaf): (&(u32, Want), &Leaf)| {
            let fits = match want {
                Want::Text => leaf.kind == Kind::String { escaped: false },
                Want::Number => leaf.kind == Kind::Number,
                Want::Word => matches!(leaf.kind, Kind::Bool(_) | Kind::Null),
            };
            let behind = u32::from(*want == Want::Text);
            fits.then_some(Place { before: *before, behind, key: leaf.key, kind: leaf.kind })
        };
        let places: Option<Box<[Place]>> = form.parts.iter().zip(leaves).map(place).collect();
        let places = places.filter(|places| places.len() == form.parts.len() && places.len() == leaves.len());
        let shape = places.is_some().then_some(shape);
        Mapped { form: Arc::clone(form), shape, places: places.unwrap_or_default(), steps: None, tries: 0, misfits: 0 }
    }

    /// Fills `leaves` with those of a line of the form; false where it is not what the tree knows.
    #[inline]
    fn read(&self, found: LineSpans<'_>, text: &[u8], leaves: &mut Vec<Leaf>) -> bool {
        leaves.clear();
        leaves.reserve(self.places.len());
        let mut at = 0;
        for (place, len) in self.places.iter().zip(found.lens) {
            let start = at + place.before as usize;
            at = start + usize::from(*len);
            let kind = match (place.kind, text.get(start)) {
                (Kind::Bool(_), Some(b't')) => Kind::Bool(true),
                (Kind::Bool(_), Some(b'f')) => Kind::Bool(false),
                // Words of another kind bring the tree to another place.
                (Kind::Bool(_), _) => return false,
                (Kind::Null, first) if first != Some(&b'n') => return false,
                (kind, _) => kind,
            };
            leaves.push(Leaf { key: place.key, start, end: at - place.behind as usize, kind });
        }
        leaves.len() == found.lens.len() && at + self.form.tail as usize == text.len()
    }
}

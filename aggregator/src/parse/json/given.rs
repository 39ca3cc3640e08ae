//! Lines whose values the door has found: what the tree of known lines says of one of them holds for all of its stencil.
//!
//! A stencil stands for the bytes between the values of a line of one body, and for the kinds of the values. So two lines
//! of a stencil have the same keys, nested alike, and the tree brings both to the same place.

use std::sync::Arc;

use super::keys::KeyId;
use super::known::{Known, Shape};
use super::row::Steps;
use super::scan::{Kind, Leaf};
use crate::parse::line::{Constants, Line};
use crate::spans::{LineSpans, Stencil, Want};

/// Stencils that are remembered: a body has few that come again and again.
const STENCILS_MAX: usize = 8;

/// Lines that steps are to be learned from.
const TRIES_MAX: u8 = 8;

/// What a line adds to the misfits of its stencil where it does not fit the steps; one that does takes one away.
const MISFIT: u8 = 4;

/// What is known of the stencils of the body at hand.
#[derive(Debug, Default)]
pub(super) struct Given {
    stencils: Vec<Mapped>,
    /// The round of the tree that the shapes are of.
    round: u32,
}

#[derive(Debug)]
struct Mapped {
    stencil: Arc<Stencil>,
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

/// A value of each line of a stencil.
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
            && let Some(mapped) = self.stencils.iter().find(|mapped| Arc::ptr_eq(&mapped.stencil, found.stencil))
            && let Some(shape) = mapped.shape
            && mapped.read(found, text, leaves)
        {
            return Some(shape);
        }
        self.learn(found, text, known, leaves)
    }

    /// [`Steps::row`] by the steps of the stencil.
    #[inline]
    pub(super) fn row(
        &mut self,
        found: LineSpans<'_>,
        known: &Known,
        text: &[u8],
        offset_minutes: i16,
        line: &mut Line,
    ) -> Option<()> {
        let mapped = self.stencils.iter_mut().find(|mapped| Arc::ptr_eq(&mapped.stencil, found.stencil))?;
        let steps = mapped.steps.as_mut().filter(|_| self.round == known.round())?;
        if mapped.misfits > u8::MAX - MISFIT {
            // Most of the lines would be read twice.
            return None;
        }
        let row = steps.row(found, text, offset_minutes, line);
        mapped.misfits = if row.is_some() { mapped.misfits.saturating_sub(1) } else { mapped.misfits + MISFIT };
        row
    }

    /// Learns the steps of a stencil from a line of it that its plan, of these steps, has just filled.
    #[cold]
    pub(super) fn learn_steps(
        &mut self,
        found: LineSpans<'_>,
        known: &mut Known,
        line: &Line,
        constants: &Arc<Constants>,
    ) {
        if self.round == known.round()
            && let Some(mapped) = self.stencils.iter_mut().find(|mapped| Arc::ptr_eq(&mapped.stencil, found.stencil))
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
            (self.round, self.stencils) = (known.round(), Vec::new());
        }
        // A stencil of which the tree knows no line yet is tried again with the next one.
        let shape = known.scan(text, leaves)?;
        if !self.stencils.iter().any(|mapped| Arc::ptr_eq(&mapped.stencil, found.stencil)) {
            if self.stencils.len() >= STENCILS_MAX {
                self.stencils.remove(0);
            }
            let mut mapped = Mapped::new(found.stencil, shape, leaves);
            let mut again = Vec::with_capacity(leaves.len());
            let same = mapped.read(found, text, &mut again) && again == *leaves;
            mapped.shape = mapped.shape.filter(|_| same);
            self.stencils.push(mapped);
        }
        Some(shape)
    }
}

impl Mapped {
    fn new(stencil: &Arc<Stencil>, shape: Shape, leaves: &[Leaf]) -> Mapped {
        let place = |((before, want), leaf): (&(u32, Want), &Leaf)| {
            let fits = match want {
                Want::Text => leaf.kind == Kind::String { escaped: false },
                Want::Number => leaf.kind == Kind::Number,
                Want::Word => matches!(leaf.kind, Kind::Bool(_) | Kind::Null),
            };
            let behind = u32::from(*want == Want::Text);
            fits.then_some(Place { before: *before, behind, key: leaf.key, kind: leaf.kind })
        };
        let places: Option<Box<[Place]>> = stencil.parts.iter().zip(leaves).map(place).collect();
        let places = places.filter(|places| places.len() == stencil.parts.len() && places.len() == leaves.len());
        let shape = places.is_some().then_some(shape);
        Mapped {
            stencil: Arc::clone(stencil),
            shape,
            places: places.unwrap_or_default(),
            steps: None,
            tries: 0,
            misfits: 0,
        }
    }

    /// Fills `leaves` with those of a line of the stencil; false where it is not what the tree knows.
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
        leaves.len() == found.lens.len() && at + self.stencil.tail as usize == text.len()
    }
}

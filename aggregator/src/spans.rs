//! Where the values of the lines of a body stand: the door finds it out when it checks them, so that the parser need not
//! look for them again. It is never stored: a replay of the log looks for itself.

use std::sync::Arc;

pub(crate) mod check;
pub(crate) mod shapes;

/// What kind of value stands in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// What follows the opening quote, with the closing one.
    Text,
    Number,
    /// `true`, `false` or `null`.
    Word,
}

/// What lines with the same bytes between their values have in common.
#[derive(Debug, PartialEq, Eq)]
pub struct Stencil {
    /// For each value the bytes before it, and its kind.
    pub parts: Box<[(u32, Want)]>,
    /// Bytes behind the last value.
    pub tail: u32,
}

/// Most stencils of one body.
pub const STENCILS_MAX: usize = u8::MAX as usize;

/// The values of the lines of a body, in the order of its records.
#[derive(Debug, Default)]
pub struct Spans {
    stencils: Vec<Arc<Stencil>>,
    /// For each line its stencil plus one; 0 where nothing is known.
    lines: Vec<u8>,
    /// The bytes of each value of the lines that have a stencil.
    lens: Vec<u16>,
}

/// The values of one line: it is of this stencil, and so many bytes long is each of them.
#[derive(Debug, Clone, Copy)]
pub struct LineSpans<'a> {
    pub stencil: &'a Arc<Stencil>,
    pub lens: &'a [u16],
}

impl Spans {
    /// The number of a new stencil; `None` when there is no room for it.
    fn add_stencil(&mut self, stencil: Stencil) -> Option<u8> {
        let number = u8::try_from(self.stencils.len() + 1).ok()?;
        self.stencils.push(Arc::new(stencil));
        Some(number)
    }

    /// Another stencil in the place of one that no line is of.
    fn replace_stencil(&mut self, number: u8, stencil: Stencil) {
        if let Some(place) = usize::from(number).checked_sub(1).and_then(|at| self.stencils.get_mut(at)) {
            *place = Arc::new(stencil);
        }
    }

    /// The line whose lengths are all that there are.
    #[inline]
    fn only_line(&self, stencil: u8) -> Option<LineSpans<'_>> {
        let stencil = self.stencils.get(usize::from(stencil).checked_sub(1)?)?;
        Some(LineSpans { stencil, lens: &self.lens })
    }

    /// Where the lengths of the values of the next line go. What is appended counts once [`Spans::add_line`] is called.
    #[inline]
    fn lens(&mut self) -> &mut Vec<u16> {
        &mut self.lens
    }

    /// The next line, of a stencil by its number or 0 for none.
    #[inline]
    pub(crate) fn add_line(&mut self, stencil: u8) {
        self.lines.push(stencil);
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.lines.len() + 2 * self.lens.len()
    }

    /// One answer for each record, and `None` for those that come behind.
    pub fn lines(&self) -> Lines<'_> {
        Lines { stencils: &self.stencils, lines: self.lines.iter(), lens: &self.lens }
    }
}

/// Goes through the lines of [`Spans`].
#[derive(Debug)]
pub struct Lines<'a> {
    stencils: &'a [Arc<Stencil>],
    lines: std::slice::Iter<'a, u8>,
    lens: &'a [u16],
}

impl<'a> Lines<'a> {
    /// What is known of the next record.
    #[inline]
    pub fn next_line(&mut self) -> Option<LineSpans<'a>> {
        let stencil = self.stencils.get(usize::from(*self.lines.next()?).checked_sub(1)?)?;
        let (lens, rest) = self.lens.split_at_checked(stencil.parts.len())?;
        self.lens = rest;
        Some(LineSpans { stencil, lens })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_gets_its_own_lengths() {
        let mut spans = Spans::default();
        let stencil = |values: usize| Stencil { parts: vec![(1, Want::Number); values].into(), tail: 1 };
        assert_eq!([1, 2].map(|values| spans.add_stencil(stencil(values))), [Some(1), Some(2)]);
        for (number, lens) in [(2, &[7u16, 8][..]), (0, &[]), (1, &[9])] {
            spans.lens().extend_from_slice(lens);
            spans.add_line(number);
        }
        let mut lines = spans.lines();
        let found: Vec<_> = (0..5).map(|_| lines.next_line().map(|line| line.lens.to_vec())).collect();
        assert_eq!(found, [Some(vec![7, 8]), None, Some(vec![9]), None, None]);
        for _ in 2..STENCILS_MAX {
            assert!(spans.add_stencil(stencil(1)).is_some());
        }
        assert_eq!(spans.add_stencil(stencil(1)), None);
    }
}

//! The shapes of the lines of a block: each line is compared with the likeliest ones while its cuts are at hand.

use std::collections::HashMap;
use std::sync::Arc;

use super::columns::Columns;
use crate::equal::equal;
use crate::parse::line::Spelling;
use crate::store::skeleton::{Part, SHAPES_MAX, SKELETON_BYTES_MAX, ShapeTable, Skeleton, put_spelling};
use crate::store::split::hashes::Seeded;

/// Shapes of the last lines that are compared before the table is asked.
const RECENT_SHAPES: usize = 8;

/// Spellings of one block that have a number; a line with a further one has no shape.
const SPELLINGS_MAX: usize = 256;

/// The column of the time of the row.
pub(super) const TIME: u16 = u16::MAX;

/// A place in the line whose bytes come from a column.
#[derive(Clone, Copy)]
struct Hole {
    start: u32,
    end: u32,
    source: Source,
}

/// The column, and the number of the spelling behind it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Source(u32);

impl Source {
    #[inline]
    fn new(column: u16, spelling: u16) -> Source {
        Source(u32::from(column) << 16 | u32::from(spelling))
    }

    fn column(self) -> u16 {
        (self.0 >> 16) as u16
    }

    fn spelling(self) -> u16 {
        self.0 as u16
    }
}

/// All shapes of a block, and the holes of the line at hand.
#[derive(Default)]
pub(super) struct Shapes {
    table: ShapeTable,
    /// From the parts as the parser names them to the number in `table`.
    ids: HashMap<Box<[u8]>, Option<u32>, Seeded>,
    /// The same for the shapes of the last lines, the likeliest first.
    recent: Vec<KnownShape>,
    /// Numbered from 1; 0 is [`Spelling::Plain`].
    spellings: Vec<Spelling>,
    holes: Vec<Hole>,
    /// The holes so far are in order, apart from each other, and have numbers for their spellings.
    ordered: bool,
    end: u32,
    key: Vec<u8>,
}

/// A shape in the form in which a line is compared with it.
struct KnownShape {
    /// What stands between the holes, and behind them, joined.
    literals: Box<[u8]>,
    /// For each hole the length of the literal before it, and what it is made from.
    parts: Box<[(u32, Source)]>,
    id: Option<u32>,
}

impl KnownShape {
    fn new(holes: &[Hole], raw: &[u8], id: Option<u32>) -> KnownShape {
        let mut literals = Vec::new();
        let mut at = 0;
        let mut parts = Vec::with_capacity(holes.len());
        for hole in holes {
            literals.extend_from_slice(&raw[at..hole.start as usize]);
            parts.push((hole.start - at as u32, hole.source));
            at = hole.end as usize;
        }
        literals.extend_from_slice(&raw[at..]);
        KnownShape { literals: literals.into(), parts: parts.into(), id }
    }

    /// Whether this is the shape of a line, whose holes are in order and within it.
    fn is_of(&self, holes: &[Hole], raw: &[u8]) -> bool {
        if holes.len() != self.parts.len() {
            return false;
        }
        let (mut at, mut literals) = (0, &self.literals[..]);
        for (hole, (len, source)) in holes.iter().zip(&self.parts) {
            let Some((literal, behind)) = literals.split_at_checked(*len as usize) else { return false };
            let same = raw.get(at..hole.start as usize).is_some_and(|between| equal(between, literal));
            if !same || hole.source != *source {
                return false;
            }
            (at, literals) = (hole.end as usize, behind);
        }
        raw.get(at..).is_some_and(|rest| equal(rest, literals))
    }
}

impl Shapes {
    /// The next line begins.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.holes.clear();
        (self.ordered, self.end) = (true, 0);
    }

    /// A part of the line comes from a column.
    #[inline(always)]
    pub(super) fn add(&mut self, start: u32, end: u32, column: u16, spelling: Spelling) -> bool {
        match spelling {
            Spelling::Plain => self.put(start, end, Source::new(column, 0)),
            spelling => match self.number(spelling) {
                Some(number) => self.put(start, end, Source::new(column, number)),
                None => return false,
            },
        }
        true
    }

    #[inline(always)]
    fn put(&mut self, start: u32, end: u32, source: Source) {
        self.ordered &= self.end <= start && start <= end;
        self.end = end;
        self.holes.push(Hole { start, end, source });
    }

    /// The number of a spelling that is not [`Spelling::Plain`].
    #[inline(never)]
    fn number(&mut self, spelling: Spelling) -> Option<u16> {
        let known = self.spellings.iter().position(|known| *known == spelling);
        if known.is_none() {
            if self.spellings.len() == SPELLINGS_MAX {
                return None;
            }
            self.spellings.push(spelling);
        }
        Some(known.unwrap_or(self.spellings.len() - 1) as u16 + 1)
    }

    /// The number of the skeleton of this line; `None` where it cannot be put together from its parts.
    pub(super) fn find(&mut self, columns: &Columns, raw: &[u8]) -> Option<u32> {
        if !self.ordered {
            self.holes.sort_unstable_by_key(|hole| (hole.start, hole.end));
            self.end = self.holes.last().map_or(0, |hole| hole.end);
            let apart = self.holes.windows(2).all(|pair| pair[0].end <= pair[1].start);
            if !apart || self.holes.iter().any(|hole| hole.end < hole.start) {
                return None;
            }
        }
        if self.end as usize > raw.len() {
            return None;
        }
        if let Some(found) = self.recent.iter().position(|shape| shape.is_of(&self.holes, raw)) {
            let id = self.recent[found].id;
            // The likelier ones move to the front, a step each time.
            self.recent.swap(found, found.saturating_sub(1));
            return id;
        }
        let id = self.add_shape(columns, raw)?;
        if self.recent.len() >= RECENT_SHAPES {
            self.recent.pop();
        }
        self.recent.push(KnownShape::new(&self.holes, raw, id));
        id
    }

    /// The number of a shape by the table; `None` within when the table is full, without when the shape is too long.
    #[cold]
    fn add_shape(&mut self, columns: &Columns, raw: &[u8]) -> Option<Option<u32>> {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        let mut at = 0;
        for hole in &self.holes {
            put_key_literal(&mut key, &raw[at..hole.start as usize]);
            key.push(1);
            key.extend_from_slice(&hole.source.column().to_le_bytes());
            put_spelling(&mut key, self.spelling(hole));
            at = hole.end as usize;
        }
        put_key_literal(&mut key, &raw[at..]);
        let id = if key.len() > SKELETON_BYTES_MAX {
            None
        } else if let Some(id) = self.ids.get(&key[..]) {
            Some(*id)
        } else {
            let id = self.table.intern(&Arc::new(self.skeleton(columns, raw)));
            if self.ids.len() < 2 * SHAPES_MAX {
                self.ids.insert(key[..].into(), id);
            }
            Some(id)
        };
        self.key = key;
        id
    }

    fn spelling(&self, hole: &Hole) -> Spelling {
        match usize::from(hole.source.spelling()).checked_sub(1) {
            Some(at) => self.spellings[at],
            None => Spelling::Plain,
        }
    }

    fn skeleton(&self, columns: &Columns, raw: &[u8]) -> Skeleton {
        let mut parts = Vec::with_capacity(2 * self.holes.len() + 1);
        let mut at = 0;
        let literal = |parts: &mut Vec<Part>, from: usize, to: usize| {
            if from < to {
                parts.push(Part::Literal(raw[from..to].into()));
            }
        };
        for hole in &self.holes {
            literal(&mut parts, at, hole.start as usize);
            let spelling = self.spelling(hole);
            parts.push(match hole.source.column() {
                TIME => Part::Time(spelling),
                column => Part::Value(columns.key(column).clone(), spelling),
            });
            at = hole.end as usize;
        }
        literal(&mut parts, at, raw.len());
        Skeleton { parts }
    }

    pub(super) fn shapes(&self) -> &[Arc<Skeleton>] {
        self.table.shapes()
    }
}

fn put_key_literal(key: &mut Vec<u8>, literal: &[u8]) {
    key.push(0);
    key.extend_from_slice(&(literal.len() as u32).to_le_bytes());
    key.extend_from_slice(literal);
}

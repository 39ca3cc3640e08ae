//! Finding the values of a line: the items of a pattern in their order, with steps back where texts and optional parts
//! have several ends.

use std::ops::Range;

use super::kind::Extent;
use super::{Item, Kind, Pattern, TIME};
use crate::parse::json::pairs;
use crate::parse::piece::Context;
use crate::parse::time::Stamp;

/// Places that are tried for one line and pattern before the line is given up as one of another format.
const TRIES_MAX: u32 = 1_000;

/// Bytes of a line that are looked at for one pattern, as a multiple of its length, and what short lines may have beside.
const WORK_PER_BYTE: usize = 8;
const WORK_BYTES_MIN: usize = 64 << 10;

/// Longest text in the middle of a line; only the last one may be longer.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// The values that were found; used again for the next line.
#[derive(Debug, Default)]
pub(in crate::parse) struct Found {
    /// Items of fields, and where their values are.
    pub(super) spans: Vec<(u16, Range<usize>)>,
    /// The time that the field `time` was read as, if there is one.
    pub(super) stamp: Option<Stamp>,
    tries: u32,
    work: usize,
}

impl Pattern {
    /// Whether a line is of this pattern, and its values. `text` has no blanks at its end.
    pub(in crate::parse) fn fit(&self, text: &[u8], context: Context<'_>, found: &mut Found) -> bool {
        found.spans.clear();
        found.stamp = None;
        found.tries = TRIES_MAX;
        found.work = WORK_BYTES_MIN + WORK_PER_BYTE * text.len();
        self.fit_from(text, 0, 0, context, found)
    }

    fn fit_from(&self, text: &[u8], mut item: usize, mut at: usize, context: Context<'_>, found: &mut Found) -> bool {
        loop {
            match self.items.get(item) {
                None => return at == text.len(),
                Some(Item::Literal(literal)) => {
                    if !text[at..].starts_with(literal) {
                        return false;
                    }
                    at += literal.len();
                }
                Some(Item::Blank) => match blanks(&text[at..]) {
                    0 => return false,
                    len => at += len,
                },
                Some(Item::Optional(len)) => {
                    let depth = found.spans.len();
                    if found.spend(0) && self.can_begin(item + 1, text, at) {
                        if self.fit_from(text, item + 1, at, context, found) {
                            return true;
                        }
                        found.spans.truncate(depth);
                    }
                    item += usize::from(*len);
                }
                Some(Item::Field { name, kind }) => {
                    let (extent, stamp) = kind.extent(&text[at..], context);
                    match extent {
                        Extent::None => return false,
                        Extent::One(len) => {
                            found.spans.push((item as u16, at..at + len));
                            if *name == TIME {
                                found.stamp = stamp;
                            }
                            at += len;
                        }
                        Extent::Either(first, second) => {
                            let depth = found.spans.len();
                            found.spans.push((item as u16, at..at + first));
                            if second == 0 || second == first {
                                at += first;
                            } else {
                                if found.spend(0) && self.fit_from(text, item + 1, at + first, context, found) {
                                    return true;
                                }
                                found.spans.truncate(depth);
                                found.spans.push((item as u16, at..at + second));
                                at += second;
                            }
                        }
                        Extent::Open => return self.fit_open(text, item, at, context, found),
                    }
                }
            }
            item += 1;
        }
    }

    /// A text of any length: the first end from which the rest fits.
    fn fit_open(&self, text: &[u8], item: usize, at: usize, context: Context<'_>, found: &mut Found) -> bool {
        let depth = found.spans.len();
        let word = matches!(self.items.get(item), Some(Item::Field { kind: Kind::Word, .. }));
        let last = self.may_end(item + 1);
        let quoted = matches!(self.items.get(item + 1), Some(Item::Literal(literal)) if literal.starts_with(b"\""));
        let mut window = if last { text.len() } else { text.len().min(at + TEXT_BYTES_MAX) };
        let mut end = at;
        if word {
            window = at + text[at..window].iter().take_while(|byte| !byte.is_ascii_whitespace()).count();
            end += 1;
        }
        loop {
            let next = self.next_end(item + 1, text, end, window).filter(|next| !word || *next <= window);
            let scanned = next.unwrap_or(window).saturating_sub(end);
            let Some(next) = next.filter(|_| found.spend(scanned)) else { return false };
            // Only the last text, and one in quotes, goes over lines.
            if !last && !quoted && memchr::memchr(b'\n', &text[end.min(next)..next]).is_some() {
                return false;
            }
            end = next;
            if self.has_form(item, &text[at..end], found) {
                found.spans.push((item as u16, at..end));
                if self.fit_from(text, item + 1, end, context, found) {
                    return true;
                }
                found.spans.truncate(depth);
            }
            end += 1;
        }
    }

    /// Whether a text is one of its kind, as far as that can be told.
    fn has_form(&self, item: usize, text: &[u8], found: &mut Found) -> bool {
        match self.items.get(item) {
            Some(Item::Field { kind: Kind::Pairs, .. }) => {
                // Most places are no pair: only those that are cost the whole text.
                pairs::begins(text) && found.spend(text.len()) && pairs::census(text).is_some_and(|all| all.flags == 0)
            }
            Some(Item::Field { kind: Kind::Json, .. }) => text.starts_with(b"{") && text.ends_with(b"}"),
            _ => true,
        }
    }

    /// The first place from `from` on where the item can begin.
    fn next_end(&self, item: usize, text: &[u8], from: usize, window: usize) -> Option<usize> {
        match self.items.get(item) {
            None => (from <= text.len()).then_some(text.len()),
            Some(Item::Literal(literal)) => {
                let rest = text.get(from..window.saturating_add(literal.len()).min(text.len()))?;
                memchr::memmem::find(rest, literal).map(|at| from + at)
            }
            Some(Item::Blank) => {
                let rest = text.get(from..window.saturating_add(1).min(text.len()))?;
                memchr::memchr2(b' ', b'\t', rest).map(|at| from + at)
            }
            Some(_) => (from..=window).find(|at| self.can_begin(item, text, *at)),
        }
    }

    /// Whether the item can begin at a place, by a glance.
    fn can_begin(&self, item: usize, text: &[u8], at: usize) -> bool {
        match self.items.get(item) {
            None => at == text.len(),
            Some(Item::Literal(literal)) => text.get(at..).is_some_and(|rest| rest.starts_with(literal)),
            Some(Item::Blank) => matches!(text.get(at), Some(b' ' | b'\t')),
            Some(Item::Field { .. }) => at < text.len(),
            Some(Item::Optional(len)) => {
                self.can_begin(item + 1, text, at) || self.can_begin(item + 1 + usize::from(*len), text, at)
            }
        }
    }

    /// Whether the line may end before the item.
    fn may_end(&self, mut item: usize) -> bool {
        while let Some(Item::Optional(len)) = self.items.get(item) {
            item += 1 + usize::from(*len);
        }
        item >= self.items.len()
    }

    /// The field that an item is.
    pub(super) fn field(&self, item: u16) -> Option<(u16, Kind)> {
        match self.items.get(usize::from(item)) {
            Some(Item::Field { name, kind }) => Some((*name, *kind)),
            _ => None,
        }
    }
}

impl Found {
    /// Counts a try and the bytes that it looks at; false when there were too many.
    fn spend(&mut self, bytes: usize) -> bool {
        self.tries = self.tries.saturating_sub(1);
        self.work = self.work.saturating_sub(bytes);
        self.tries > 0 && self.work > 0
    }
}

fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

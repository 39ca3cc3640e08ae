//! Lines like earlier ones: what stood between the values of each, as a tree, so that the next is read by comparing
//! bytes.
//!
//! A step is the text before a value and what kind of value it is. Lines that begin alike share their first steps; where
//! they part, the step that was taken last is tried first. A line that the tree does not know is read by the scanner
//! and learned. What is found is what the scanner finds: the same bytes in the same order bring it to the same place.

use super::keys::KeyId;
use super::plan::Plan;
use super::scan::{self, Kind, Leaf};
use crate::equal::equal;

/// Steps of one source; then the tree is emptied and grows again.
const STEPS_MAX: usize = 2048;

/// Ways on from one step: keys that are ids must not be tried one by one for each line.
const WAYS_MAX: usize = 8;

/// Leaves of a line that is learned.
const LEAVES_LEARNED_MAX: usize = 256;

/// Bytes before one value that are learned.
const LITERAL_BYTES_MAX: usize = 512;

/// The step before the first one, and the mark of none.
const ROOT: u32 = 0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    String,
    Number,
    Bool,
    Null,
    Array,
    End,
}

impl Want {
    fn of(kind: Kind) -> Want {
        match kind {
            Kind::String { .. } => Want::String,
            Kind::Number => Want::Number,
            Kind::Bool(_) => Want::Bool,
            Kind::Null => Want::Null,
            Kind::Compound => Want::Array,
        }
    }
}

#[derive(Debug)]
struct Step {
    /// What stands before the value, the opening quote of a string included.
    literal: Box<[u8]>,
    want: Want,
    key: KeyId,
    /// The likeliest step behind this one.
    next: u32,
    /// The step to try instead of this one.
    instead: u32,
    /// Of the lines that end here.
    plan: Plan,
}

/// The end of the lines of one shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape(u32);

/// The tree of one source.
#[derive(Debug)]
pub(super) struct Known {
    steps: Vec<Step>,
    /// How often it was emptied: a [`Shape`] is of one round.
    round: u32,
}

impl Default for Known {
    fn default() -> Known {
        let root = Step {
            literal: Box::default(),
            want: Want::End,
            key: KeyId::NAMELESS,
            next: ROOT,
            instead: ROOT,
            plan: Plan::default(),
        };
        Known { steps: vec![root], round: 0 }
    }
}

impl Known {
    /// Forgets every line: the ids of keys have changed.
    pub(super) fn clear(&mut self) {
        *self = Known { round: self.round.wrapping_add(1), ..Known::default() };
    }

    pub(super) fn round(&self) -> u32 {
        self.round
    }

    pub(super) fn plan(&mut self, shape: Shape) -> &mut Plan {
        &mut self.steps[shape.0 as usize].plan
    }

    /// Fills `leaves` if the line is like earlier ones; they are worthless if it is not.
    pub(super) fn scan(&mut self, text: &[u8], leaves: &mut Vec<Leaf>) -> Option<Shape> {
        leaves.clear();
        let (mut at, mut parent) = (0, ROOT);
        loop {
            let likeliest = self.steps[parent as usize].next;
            if likeliest == ROOT {
                return None;
            }
            let (found, leaf) = match self.steps[likeliest as usize].read(text, at) {
                Some(leaf) => (likeliest, leaf),
                None => self.other_way(parent, text, at)?,
            };
            if self.steps[found as usize].want == Want::End {
                return Some(Shape(found));
            }
            leaves.push(leaf);
            at = leaf.end;
            parent = found;
        }
    }

    /// The step behind `parent` that the line takes, but for the likeliest; it is the likeliest from now on.
    #[inline(never)]
    fn other_way(&mut self, parent: u32, text: &[u8], at: usize) -> Option<(u32, Leaf)> {
        let mut before = self.steps[parent as usize].next;
        loop {
            let found = self.steps[before as usize].instead;
            if found == ROOT {
                return None;
            }
            if let Some(leaf) = self.steps[found as usize].read(text, at) {
                self.bring_forward(parent, before, found);
                return Some((found, leaf));
            }
            before = found;
        }
    }

    /// Makes `found`, which stands behind `before`, the first way on from `parent`.
    fn bring_forward(&mut self, parent: u32, before: u32, found: u32) {
        self.steps[before as usize].instead = self.steps[found as usize].instead;
        self.steps[found as usize].instead = self.steps[parent as usize].next;
        self.steps[parent as usize].next = found;
    }

    /// Remembers a line that the scanner has read.
    pub(super) fn learn(&mut self, text: &[u8], leaves: &[Leaf]) {
        // An object that is a leaf is one that is too deep: the tree does not know depths.
        let odd = |leaf: &Leaf| leaf.kind == Kind::Compound && text.get(leaf.start) != Some(&b'[');
        if leaves.len() > LEAVES_LEARNED_MAX || leaves.iter().any(odd) {
            return;
        }
        if self.steps.len() + leaves.len() >= STEPS_MAX {
            self.clear();
        }
        let (mut at, mut parent) = (0, ROOT);
        for leaf in leaves {
            let Some(step) = self.step(parent, &text[at..leaf.start], Want::of(leaf.kind), leaf.key) else { return };
            at = leaf.end;
            parent = step;
        }
        self.step(parent, &text[at..], Want::End, KeyId::NAMELESS);
    }

    /// The step of this kind behind `parent`, added if it is new; `None` where there is no room for it.
    fn step(&mut self, parent: u32, literal: &[u8], want: Want, key: KeyId) -> Option<u32> {
        let mut ways = 0;
        let mut at = self.steps[parent as usize].next;
        while at != ROOT {
            let step = &self.steps[at as usize];
            if step.want == want && *step.literal == *literal {
                return Some(at);
            }
            ways += 1;
            at = step.instead;
        }
        if ways >= WAYS_MAX || literal.len() > LITERAL_BYTES_MAX {
            return None;
        }
        let new = self.steps.len() as u32;
        let instead = self.steps[parent as usize].next;
        self.steps.push(Step { literal: literal.into(), want, key, next: ROOT, instead, plan: Plan::default() });
        self.steps[parent as usize].next = new;
        Some(new)
    }
}

impl Step {
    /// The value behind the literal, if both stand at `at`; anything for the end.
    #[inline]
    fn read(&self, text: &[u8], at: usize) -> Option<Leaf> {
        let start = at + self.literal.len();
        if !equal(text.get(at..start)?, &self.literal) {
            return None;
        }
        let (end, kind) = match self.want {
            Want::String => {
                let (end, escaped) = scan::string_end(text, start)?;
                (end, Kind::String { escaped })
            }
            Want::Number => (scan::number_end(text, start)?, Kind::Number),
            Want::Bool if text[start..].starts_with(b"true") => (start + 4, Kind::Bool(true)),
            Want::Bool if text[start..].starts_with(b"false") => (start + 5, Kind::Bool(false)),
            Want::Null if text[start..].starts_with(b"null") => (start + 4, Kind::Null),
            Want::Array if text.get(start) == Some(&b'[') => (scan::compound_end(text, start)?, Kind::Compound),
            Want::End if start == text.len() => (start, Kind::Null),
            _ => return None,
        };
        Some(Leaf { key: self.key, start, end, kind })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::keys::Keys;
    use super::super::scan::{Leaves, scan};
    use super::*;
    use crate::names::Names;

    /// Reads lines with the tree and without it; how many the tree knew.
    fn check(lines: &[String]) -> usize {
        let (mut names, mut known) = (Names::default(), Known::default());
        let (mut keys, mut leaves, mut slow) = (Keys::default(), Leaves::default(), Leaves::default());
        let mut hits = 0;
        for line in lines {
            let fast = known.scan(line.as_bytes(), &mut leaves.list).map(|_| std::mem::take(&mut leaves.list));
            let object = scan(line.as_bytes(), &mut keys, &mut names, &mut slow);
            if let Some(fast) = fast {
                assert!(object, "{line}");
                assert_eq!(fast, slow.list, "{line}");
                hits += 1;
            } else if object {
                known.learn(line.as_bytes(), &slow.list);
            }
        }
        hits
    }

    #[test]
    fn a_line_like_an_earlier_one_is_known() {
        let lines = [
            r#"{"a":1,"b":"x","c":[1],"d":true,"e":null,"f":{},"g":{"h":2}}"#,
            r#"{"a":-2.5e3,"b":"\"y\\","c":[{"]":"["}],"d":false,"e":null,"f":{},"g":{"h":0}}"#,
            r#"{"a":"1","b":"x"}"#,
            r#"{"a":1,"b":"x"}"#,
            r#"{"a":"7","b":""}"#,
            r#"{"a":7,"b":""}"#,
            r#"{"a":7,"b":""} "#,
            r#"{"a":7,"b":"}"#,
            "{}",
            "{}",
        ];
        assert_eq!(check(&lines.map(str::to_owned)), 4);
    }

    #[test]
    fn ids_for_keys_do_not_fill_the_tree() {
        let lines: Vec<String> = (0..10_000).map(|i| format!("{{\"a\":1,\"k{i}\":2}}")).collect();
        let (mut names, mut known) = (Names::default(), Known::default());
        let (mut keys, mut leaves) = (Keys::default(), Leaves::default());
        for line in &lines {
            assert!(scan(line.as_bytes(), &mut keys, &mut names, &mut leaves));
            known.learn(line.as_bytes(), &leaves.list);
        }
        assert!(known.steps.len() < 4 * WAYS_MAX, "{}", known.steps.len());
    }

    proptest! {
        #[test]
        fn the_tree_finds_what_the_scanner_finds(
            lines in prop::collection::vec(r#"\{("a":("x\\?"?"|[0-9]{1,2}|\[1?\]|true|\{\}|\{"b":1\}),?){0,3}\}?"#, 1..40),
        ) {
            check(&lines);
        }
    }
}

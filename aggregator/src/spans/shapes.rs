//! Lines like those before them in a body: what stood between their values, so that only the values are checked.
//!
//! A line in which other texts, numbers and words stand in the places of those of a valid line is valid, as long as each
//! is valid itself and of the same kind.

use super::check::Check;
use super::{LineSpans, STENCILS_MAX, Spans, Stencil, Want};
use crate::equal::equal;

/// Shapes of one body that are remembered.
const SHAPES_MAX: usize = 4;

/// Values of a line that is remembered.
const VALUES_MAX: usize = 128;

/// Lines that are learned from one body: one whose lines are all different must not cost twice.
const LEARNED_MAX: u32 = 64;

const _: () = assert!(LEARNED_MAX as usize <= STENCILS_MAX, "each has a stencil");

/// Lines of known shapes for which one more is learned where lines have no end.
const HITS_FORGIVEN: u32 = 256;

/// The shapes of the lines of one body.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    /// The likeliest first.
    list: Vec<Shape>,
    values: Vec<Value>,
    learned: u32,
    /// Lines that were of a shape since one was forgiven.
    hits: u32,
    /// Where the values of the lines are.
    pub(crate) spans: Spans,
}

/// A value of a line: where it begins, behind the opening quote of a text, and where it ends, with the closing one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) want: Want,
}

#[derive(Debug)]
struct Shape {
    /// What stands between the values, and behind them, joined.
    literals: Box<[u8]>,
    /// For each value the length of the literal before it, and its kind.
    parts: Box<[(u32, Want)]>,
    /// Its number among the stencils.
    stencil: Option<u8>,
}

impl Shapes {
    /// Whether `text`, which is valid UTF-8, is certainly one JSON object, nested no deeper than is allowed: then the
    /// number of its stencil, whose lengths are in the spans, or 0.
    pub(crate) fn object(&mut self, text: &[u8]) -> Option<u8> {
        if !may_be_object(text) {
            return None;
        }
        if let Some(stencil) = self.known(text) {
            return Some(stencil);
        }
        self.values.clear();
        Check::new(text).value(&mut self.values)?;
        if self.values.len() <= VALUES_MAX && self.learned < LEARNED_MAX {
            self.learned += 1;
            self.list.truncate(SHAPES_MAX - 1);
            let number = self.spans.add_stencil(stencil(text, &self.values));
            self.list.push(Shape::new(text, &self.values, number));
        }
        Some(0)
    }

    /// Where the values of `text` are, which is valid UTF-8, if it is like lines before it: for one line after the
    /// other, of which nothing is kept.
    pub(crate) fn find(&mut self, text: &[u8]) -> Option<LineSpans<'_>> {
        if !may_be_object(text) {
            return None;
        }
        self.spans.lens().clear();
        if let Some(stencil) = self.known(text) {
            self.hits += 1;
            if self.hits >= HITS_FORGIVEN {
                (self.hits, self.learned) = (0, self.learned.saturating_sub(1));
            }
            return self.spans.only_line(stencil);
        }
        if self.learned < LEARNED_MAX {
            self.values.clear();
            self.learned += 1;
            Check::new(text).value(&mut self.values)?;
            if self.values.len() <= VALUES_MAX {
                let stencil = stencil(text, &self.values);
                let number = if self.list.len() < SHAPES_MAX {
                    self.spans.add_stencil(stencil)
                } else {
                    // Lines are forgotten one by one, so the shape that makes room is nobody's.
                    let number = self.list.pop().and_then(|shape| shape.stencil);
                    number.inspect(|number| self.spans.replace_stencil(*number, stencil))
                };
                self.list.push(Shape::new(text, &self.values, number));
            }
        }
        None
    }

    /// The number of the stencil of a line that is of a known shape, or 0, see [`Shape::stencil_of`].
    #[inline]
    fn known(&mut self, text: &[u8]) -> Option<u8> {
        for at in 0..self.list.len() {
            if let Some(stencil) = self.list[at].stencil_of(text, self.spans.lens()) {
                // The likelier ones move to the front, a step each time.
                self.list.swap(at, at.saturating_sub(1));
                return Some(stencil);
            }
        }
        None
    }
}

/// Whether a line begins as an object and has no control character.
#[inline]
fn may_be_object(text: &[u8]) -> bool {
    // Within strings control characters are wrong, outside they are rare. Without a way out of it this loop is wide.
    let control = text.iter().fold(false, |found, byte| found | (*byte < 0x20));
    !control && text.first() == Some(&b'{')
}

/// The stencil of a line with these values.
fn stencil(text: &[u8], values: &[Value]) -> Stencil {
    let mut at = 0;
    let part = |value: &Value| {
        let before = value.start - at;
        at = value.end;
        (before as u32, value.want)
    };
    let parts = values.iter().map(part).collect();
    Stencil { parts, tail: (text.len() - at) as u32 }
}

impl Shape {
    fn new(text: &[u8], values: &[Value], stencil: Option<u8>) -> Shape {
        let mut literals = Vec::with_capacity(text.len());
        let mut at = 0;
        for value in values {
            literals.extend_from_slice(&text[at..value.start]);
            at = value.end;
        }
        literals.extend_from_slice(&text[at..]);
        Shape { literals: literals.into(), parts: self::stencil(text, values).parts, stencil }
    }

    /// Whether valid values of the same kinds stand between the same literals: then the number of the stencil, where the
    /// values are plain and their lengths were appended, or 0.
    fn stencil_of(&self, text: &[u8], lens: &mut Vec<u16>) -> Option<u8> {
        let before = lens.len();
        lens.resize(before + self.parts.len(), 0);
        let found = self.lens_of(text, &mut lens[before..]);
        let stencil = self.stencil.filter(|_| found == Some(true));
        if stencil.is_none() {
            lens.truncate(before);
        }
        found.map(|_| stencil.unwrap_or(0))
    }

    /// Whether valid values of the same kinds stand between the same literals: then whether `lens` tells all of them.
    #[inline]
    fn lens_of(&self, text: &[u8], lens: &mut [u16]) -> Option<bool> {
        let mut check = Check::new(text);
        let mut literals = &self.literals[..];
        let mut longest = 0;
        for ((len, want), value) in self.parts.iter().zip(lens) {
            let (literal, behind) = literals.split_at_checked(*len as usize)?;
            if !check.literal(literal) {
                return None;
            }
            let start = check.at();
            check.one(*want)?;
            let len = check.at() - start;
            longest = longest.max(len);
            *value = len as u16;
            literals = behind;
        }
        equal(check.rest(), literals).then_some(longest <= usize::from(u16::MAX) && !check.has_escapes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn a_line_of_a_known_shape_is_checked_like_any_other() {
        let mut shapes = Shapes::default();
        for (text, want) in [
            (r#"{"a":1,"b":"x","c":{"d":[true,null]}}"#, true),
            (r#"{"a":-2.5,"b":"\"\u00e9","c":{"d":[null,false]}}"#, true),
            (r#"{"a":01,"b":"x","c":{"d":[true,null]}}"#, false),
            (r#"{"a":1.,"b":"x","c":{"d":[true,null]}}"#, false),
            (r#"{"a":1,"b":"\x","c":{"d":[true,null]}}"#, false),
            (r#"{"a":1,"b":"x","c":{"d":[tru,null]}}"#, false),
            (r#"{"a":1,"b":"x","c":{"d":[true,null]}"#, false),
            (r#"{"a":1,"b":"x","c":{"d":[true,null]}}}"#, false),
            (r#"{"a":"1","b":"x","c":{"d":[true,null]}}"#, true),
            (r#"{"a":1,"b":"x","c":{"d":[true,null]}} "#, true),
            (r#"{"a":1,"b":"x"#, false),
            (r#"{"a":"#, false),
        ] {
            assert_eq!(shapes.object(text.as_bytes()).is_some(), want, "{text}");
        }
        assert_eq!(shapes.list.len(), 3);
    }

    /// Whether the lengths are those of values of this very text.
    fn fits(found: LineSpans<'_>, text: &str) -> bool {
        let mut at = 0;
        for ((before, want), len) in found.stencil.parts.iter().zip(found.lens) {
            let value = &text[at + *before as usize..][..usize::from(*len)];
            let plain = match want {
                Want::Text => !value.is_empty() && value.find(['"', '\\']) == Some(value.len() - 1),
                Want::Number => serde_json::from_str::<f64>(value).is_ok(),
                Want::Word => matches!(value, "true" | "false" | "null"),
            };
            if !plain {
                return false;
            }
            at += *before as usize + value.len();
        }
        found.lens.len() == found.stencil.parts.len() && at + found.stencil.tail as usize == text.len()
    }

    #[test]
    fn lines_without_end_are_found_by_the_shapes_of_late() {
        let mut shapes = Shapes::default();
        let mut found = 0;
        for i in 0..10_000u32 {
            // A new kind of line now and then: in the end all shapes were in use and gave way.
            let text = format!("{{\"k{}\":{i},\"b\":\"x{i}\",\"c\":{}}}", i / 50, i.is_multiple_of(3));
            found += usize::from(shapes.find(text.as_bytes()).is_some_and(|found| fits(found, &text)));
            assert!(shapes.find(text.replace(":\"x", ":\"\\n").as_bytes()).is_none(), "escapes");
        }
        assert!(shapes.find(b"{\"k1\":1").is_none());
        assert!(found > 4000 && shapes.list.len() <= SHAPES_MAX, "{found}");
        assert!((0..usize::from(u8::MAX)).all(|at| shapes.spans.only_line(at as u8).is_none() || at <= SHAPES_MAX));
    }

    proptest! {
        #[test]
        fn what_is_found_is_where_it_stands(
            lines in prop::collection::vec(r#"\{"a":("[aü\\"]{0,3}"|[0-9.-]{1,3}|true|null|\[1?\]),"b":"(\\n|x|"){0,2}"?\}?"#, 1..40),
        ) {
            let (mut door, mut own) = (Shapes::default(), Shapes::default());
            let stencils: Vec<_> = lines.iter().map(|line| door.object(line.as_bytes())).collect();
            stencils.iter().for_each(|stencil| door.spans.add_line(stencil.unwrap_or(0)));
            let mut spans = door.spans.lines();
            for (line, stencil) in lines.iter().zip(stencils) {
                if let Some(found) = spans.next_line() {
                    prop_assert!(fits(found, line), "{}", line);
                }
                if let Some(found) = own.find(line.as_bytes()) {
                    prop_assert!(stencil.is_some() && fits(found, line), "{}", line);
                }
            }
        }

        #[test]
        fn what_is_taken_by_its_shape_is_json(
            lines in prop::collection::vec(r#"\{"a":("[a\\"]{0,3}"|[0-9.-]{1,3}|true|null|\[1?\]),"b":"(\\n|x|"){0,2}"?\}?"#, 1..40),
        ) {
            let mut shapes = Shapes::default();
            for line in &lines {
                let fresh = Shapes::default().object(line.as_bytes()).is_some();
                prop_assert_eq!(shapes.object(line.as_bytes()).is_some(), fresh, "{}", line);
                if fresh {
                    prop_assert!(serde_json::from_str::<&RawValue>(line).is_ok(), "{}", line);
                }
            }
        }
    }
}

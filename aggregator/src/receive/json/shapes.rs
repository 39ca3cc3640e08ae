//! Lines like those before them in a body: what stood between their values, so that only the values are checked.
//!
//! A line in which other texts, numbers and words stand in the places of those of a valid line is valid, as long as each
//! is valid itself and of the same kind.

use super::check::{Check, Want};
use crate::equal::equal;

/// Shapes of one body that are remembered.
const SHAPES_MAX: usize = 4;

/// Values of a line that is remembered.
const VALUES_MAX: usize = 128;

/// Lines that are learned from one body: one whose lines are all different must not cost twice.
const LEARNED_MAX: u32 = 64;

/// The shapes of the lines of one body.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    /// The likeliest first.
    list: Vec<Shape>,
    values: Vec<Value>,
    learned: u32,
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
}

impl Shapes {
    /// Whether `text`, which is valid UTF-8, is certainly one JSON object, nested no deeper than is allowed.
    pub(super) fn is_object(&mut self, text: &[u8]) -> bool {
        // Within strings control characters are wrong, outside they are rare. Without a way out of it this loop is wide.
        let control = text.iter().fold(false, |found, byte| found | (*byte < 0x20));
        if control || text.first() != Some(&b'{') {
            return false;
        }
        if let Some(found) = self.list.iter().position(|shape| shape.is_of(text)) {
            // The likelier ones move to the front, a step each time.
            self.list.swap(found, found.saturating_sub(1));
            return true;
        }
        self.values.clear();
        let valid = Check::new(text).value(&mut self.values).is_some();
        if valid && self.values.len() <= VALUES_MAX && self.learned < LEARNED_MAX {
            self.learned += 1;
            self.list.truncate(SHAPES_MAX - 1);
            self.list.push(Shape::new(text, &self.values));
        }
        valid
    }
}

impl Shape {
    fn new(text: &[u8], values: &[Value]) -> Shape {
        let mut literals = Vec::with_capacity(text.len());
        let mut parts = Vec::with_capacity(values.len());
        let mut at = 0;
        for value in values {
            literals.extend_from_slice(&text[at..value.start]);
            parts.push(((value.start - at) as u32, value.want));
            at = value.end;
        }
        literals.extend_from_slice(&text[at..]);
        Shape { literals: literals.into(), parts: parts.into() }
    }

    /// Whether valid values of the same kinds stand between the same literals.
    fn is_of(&self, text: &[u8]) -> bool {
        let mut check = Check::new(text);
        let mut literals = &self.literals[..];
        for (len, want) in &self.parts {
            let Some((literal, behind)) = literals.split_at_checked(*len as usize) else { return false };
            if !check.literal(literal) || check.one(*want).is_none() {
                return false;
            }
            literals = behind;
        }
        equal(check.rest(), literals)
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
            assert_eq!(shapes.is_object(text.as_bytes()), want, "{text}");
        }
        assert_eq!(shapes.list.len(), 3);
    }

    proptest! {
        #[test]
        fn what_is_taken_by_its_shape_is_json(
            lines in prop::collection::vec(r#"\{"a":("[a\\"]{0,3}"|[0-9.-]{1,3}|true|null|\[1?\]),"b":"(\\n|x|"){0,2}"?\}?"#, 1..40),
        ) {
            let mut shapes = Shapes::default();
            for line in &lines {
                let fresh = Shapes::default().is_object(line.as_bytes());
                prop_assert_eq!(shapes.is_object(line.as_bytes()), fresh, "{}", line);
                if fresh {
                    prop_assert!(serde_json::from_str::<&RawValue>(line).is_ok(), "{}", line);
                }
            }
        }
    }
}

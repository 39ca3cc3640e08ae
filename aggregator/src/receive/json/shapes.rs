//! Lines like those before them in a body: what stood between their values, so that only the values are checked.
//!
//! A line in which other texts, numbers and words stand in the places of those of a valid line is valid, as long as each
//! is valid itself and of the same kind.

use super::check::Check;
use crate::equal::equal;
use crate::spans::{FORMS_MAX, Form, Spans, Want};

/// Shapes of one body that are remembered.
const SHAPES_MAX: usize = 4;

/// Values of a line that is remembered.
const VALUES_MAX: usize = 128;

/// Lines that are learned from one body: one whose lines are all different must not cost twice.
const LEARNED_MAX: u32 = 64;

const _: () = assert!(LEARNED_MAX as usize <= FORMS_MAX, "each has a form");

/// The shapes of the lines of one body.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    /// The likeliest first.
    list: Vec<Shape>,
    values: Vec<Value>,
    learned: u32,
    /// Where the values of the lines are.
    pub(super) spans: Spans,
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
    /// Its number among the forms, 0 for none.
    form: u8,
}

impl Shapes {
    /// Whether `text`, which is valid UTF-8, is certainly one JSON object, nested no deeper than is allowed: then the
    /// number of its form, whose lengths are in the spans, or 0.
    pub(super) fn object(&mut self, text: &[u8]) -> Option<u8> {
        // Within strings control characters are wrong, outside they are rare. Without a way out of it this loop is wide.
        let control = text.iter().fold(false, |found, byte| found | (*byte < 0x20));
        if control || text.first() != Some(&b'{') {
            return None;
        }
        for at in 0..self.list.len() {
            if let Some(form) = self.list[at].form_of(text, self.spans.lens()) {
                // The likelier ones move to the front, a step each time.
                self.list.swap(at, at.saturating_sub(1));
                return Some(form);
            }
        }
        self.values.clear();
        Check::new(text).value(&mut self.values)?;
        if self.values.len() <= VALUES_MAX && self.learned < LEARNED_MAX {
            self.learned += 1;
            self.list.truncate(SHAPES_MAX - 1);
            self.list.push(Shape::new(text, &self.values, &mut self.spans));
        }
        Some(0)
    }
}

impl Shape {
    fn new(text: &[u8], values: &[Value], spans: &mut Spans) -> Shape {
        let mut literals = Vec::with_capacity(text.len());
        let mut parts = Vec::with_capacity(values.len());
        let mut at = 0;
        for value in values {
            literals.extend_from_slice(&text[at..value.start]);
            parts.push(((value.start - at) as u32, value.want));
            at = value.end;
        }
        literals.extend_from_slice(&text[at..]);
        let parts: Box<[_]> = parts.into();
        let form = spans.add_form(Form { parts: parts.clone(), tail: (text.len() - at) as u32 });
        Shape { literals: literals.into(), parts, form: form.unwrap_or(0) }
    }

    /// Whether valid values of the same kinds stand between the same literals: then the number of the form, where the
    /// values are plain and their lengths were appended, or 0.
    fn form_of(&self, text: &[u8], lens: &mut Vec<u16>) -> Option<u8> {
        let before = lens.len();
        lens.resize(before + self.parts.len(), 0);
        let found = self.lens_of(text, &mut lens[before..]);
        if found != Some(true) || self.form == 0 {
            lens.truncate(before);
        }
        found.map(|plain| if plain { self.form } else { 0 })
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

    proptest! {
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

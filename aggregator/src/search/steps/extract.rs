//! `parse`, `rex`, `json` and `logfmt`: fields out of the text of another field.

use std::collections::{BTreeMap, BTreeSet};

use arrow::record_batch::RecordBatch;
use logweir_proto::query::ast::{Extractor, Field};
use logweir_proto::query::extract::{self, Capture};
use logweir_proto::query::parse::REGEX_BYTES_MAX;
use logweir_proto::record::field;
use regex::{Regex, RegexBuilder};

use crate::search::Error;
use crate::search::cell::{Cell, FieldColumns, Value, canonical};
use crate::search::mask::Mask;

/// Fields that `json` and `logfmt` find in one batch; further ones are left where they are.
pub(in crate::search) const UNPACKED_FIELDS_MAX: usize = 1000;

/// Objects within objects that `json` unpacks, with a dot between the names; deeper ones stay text.
const JSON_DEPTH_MAX: usize = 8;

#[derive(Debug, Clone)]
pub(super) struct Extract {
    from: String,
    how: How,
}

#[derive(Debug, Clone)]
enum How {
    /// With one group for each capture.
    Groups {
        regex: Regex,
        captures: Vec<(usize, Capture)>,
    },
    Json,
    Logfmt,
}

/// The names that an extractor gives, as far as it says.
pub(super) fn names(extractor: &Extractor) -> Vec<String> {
    match extractor {
        Extractor::Pattern(text) => {
            let captures = extract::pattern(text).map(|pattern| pattern.captures).unwrap_or_default();
            captures.into_iter().map(|capture| capture.name).collect()
        }
        Extractor::Regex(pattern) => Regex::new(pattern)
            .map(|regex| regex.capture_names().flatten().map(str::to_owned).collect())
            .unwrap_or_default(),
        Extractor::Json | Extractor::Logfmt => Vec::new(),
    }
}

impl Extract {
    pub(super) fn new(extractor: &Extractor, from: Option<&Field>) -> Result<Extract, Error> {
        let from = from.map_or(field::MESSAGE, |from| canonical(&from.name)).to_owned();
        let how = match extractor {
            Extractor::Pattern(text) => {
                let wrong = |wrong: extract::Wrong| Error::Regex { pattern: text.clone(), reason: wrong.message };
                let made = extract::pattern(text).map_err(wrong)?;
                let captures = made.captures.into_iter().enumerate().map(|(at, capture)| (at + 1, capture)).collect();
                How::Groups { regex: compiled(&made.regex)?, captures }
            }
            Extractor::Regex(pattern) => {
                let regex = compiled(pattern)?;
                let named = regex.capture_names().enumerate();
                let named =
                    named.filter_map(|(at, name)| Some((at, Capture { name: name?.to_owned(), is_number: false })));
                How::Groups { captures: named.collect(), regex }
            }
            Extractor::Json => How::Json,
            Extractor::Logfmt => How::Logfmt,
        };
        Ok(Extract { from, how })
    }

    pub(super) fn inputs(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::from([self.from.as_str()]);
        if let How::Groups { captures, .. } = &self.how {
            names.extend(captures.iter().map(|(_, capture)| capture.name.as_str()));
        }
        names
    }

    /// What is found in the rows of `mask`. A row in which nothing is found keeps what it had.
    pub(super) fn run(&self, batch: &RecordBatch, mask: &Mask) -> Vec<(String, Vec<Value>)> {
        let source = FieldColumns::new(batch, &self.from);
        let mut found = Found { rows: batch.num_rows(), fields: BTreeMap::new() };
        for row in mask.rows() {
            let Cell::Text(text) = source.cell(row) else { continue };
            match &self.how {
                How::Groups { regex, captures } => {
                    let Some(groups) = regex.captures(&text) else { continue };
                    for (at, capture) in captures {
                        if let Some(group) = groups.get(*at) {
                            found.put(row, &capture.name, value_of(group.as_str(), capture.is_number));
                        }
                    }
                }
                How::Json => {
                    if let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(&text) {
                        fields.into_iter().for_each(|(name, value)| found.put_json(row, name, value, 1));
                    }
                }
                How::Logfmt => pairs(&text, &mut |name, value| found.put(row, name, value)),
            }
        }
        found.finish(batch)
    }
}

fn compiled(pattern: &str) -> Result<Regex, Error> {
    RegexBuilder::new(pattern)
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|error| Error::Regex { pattern: pattern.to_owned(), reason: error.to_string() })
}

/// Fields under way: a value for each row that has one.
struct Found {
    rows: usize,
    fields: BTreeMap<String, Vec<Value>>,
}

impl Found {
    fn put(&mut self, row: usize, name: &str, value: Value) {
        if [field::TIME, field::SEQ, field::INGESTED].contains(&name) {
            return;
        }
        if let Some(values) = self.fields.get_mut(name) {
            values[row] = value;
        } else if self.fields.len() < UNPACKED_FIELDS_MAX {
            let mut values = vec![Value::Null; self.rows];
            values[row] = value;
            self.fields.insert(name.to_owned(), values);
        }
    }

    fn put_json(&mut self, row: usize, name: String, value: serde_json::Value, depth: usize) {
        match value {
            serde_json::Value::Object(fields) if depth < JSON_DEPTH_MAX => {
                for (inner, value) in fields {
                    self.put_json(row, format!("{name}.{inner}"), value, depth + 1);
                }
            }
            value => self.put(row, &name, Value::of_json(&name, &value)),
        }
    }

    fn finish(self, batch: &RecordBatch) -> Vec<(String, Vec<Value>)> {
        let merge = |(name, mut values): (String, Vec<Value>)| {
            let before = FieldColumns::new(batch, &name);
            for (row, value) in values.iter_mut().enumerate().filter(|(_, value)| value.is_null()) {
                *value = before.cell(row).to_value();
            }
            (name, values)
        };
        self.fields.into_iter().map(merge).collect()
    }
}

fn value_of(text: &str, is_number: bool) -> Value {
    if !is_number {
        return Value::Text(text.into());
    }
    number(text).unwrap_or(Value::Null)
}

fn number(text: &str) -> Option<Value> {
    if let Ok(whole) = text.parse() {
        return Some(Value::Int(whole));
    }
    crate::search::cell::number_of_text(text).map(Value::Float)
}

/// Calls `each` with the pairs of `key=value key="quoted \" value"`; a plain number is a number.
fn pairs(text: &str, each: &mut dyn FnMut(&str, Value)) {
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        let Some(after) = after.strip_prefix('=') else {
            // A word between pairs is text.
            rest = after.trim_start();
            continue;
        };
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let end = after.find(char::is_whitespace).unwrap_or(after.len());
                let (word, after) = after.split_at(end);
                (number(word).unwrap_or_else(|| Value::Text(word.into())), after)
            }
        };
        if !key.is_empty() && !key.contains('"') {
            each(key, value);
        }
        rest = after.trim_start();
    }
}

/// The text up to the closing quote, without its escapes, and what follows.
fn unquoted(text: &str) -> (Value, &str) {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (Value::Text(out.into()), &text[at + 1..]),
            '\\' => match chars.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, 't')) => out.push('\t'),
                Some((_, other)) => out.push(other),
                None => {}
            },
            c => out.push(c),
        }
    }
    (Value::Text(out.into()), "")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        let mut out = Vec::new();
        pairs(text, &mut |name, value| out.push(format!("{name}={}", value.to_json())));
        out.join(" ")
    }

    #[test]
    fn logfmt_is_pairs_with_quotes() {
        expect![[r#"level="info" msg="say \"hi\"\n" took=12 rate=0.5 at="a=b" empty="" path="/x""#]]
            .assert_eq(&shown(r#"level=info msg="say \"hi\"\n" took=12 rate=0.5 plain at="a=b" empty= path=/x"#));
        expect![[r#"a="never closed b=c""#]].assert_eq(&shown(r#"a="never closed b=c"#));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,60}|[a-c=\" \\\\]{0,40}") {
            shown(&text);
        }
    }
}

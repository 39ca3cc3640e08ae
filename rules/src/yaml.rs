//! YAML as a tree in which everything knows its line and column, and a collector of mistakes.
//!
//! serde stops at the first mistake of a file; a person who edits rules wants all of them at once, each with its
//! place. So files are read into [`Node`]s first and into their meaning by [`Fields`], which also finds unknown keys.

use std::fmt;
use std::sync::Arc;

use logweir_proto::text;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// Largest configuration or rule file that is read.
pub const FILE_BYTES_MAX: usize = 4 << 20;

/// Mistakes of one file that are reported; the rest are counted.
pub const PROBLEMS_MAX: usize = 200;

/// A place in a file; both count from 1, columns are characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct At {
    pub line: u32,
    pub column: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub at: At,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub at: At,
    pub key: String,
    pub node: Node,
}

impl Value {
    /// What it is, for "expected … but found …".
    pub const fn kind(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// One mistake, with its place. Prints as `file:line:column: message (hint)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub file: Arc<str>,
    pub at: Option<At>,
    pub message: String,
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "{}:{}:{}: {}", self.file, at.line, at.column, self.message)?,
            None => write!(f, "{}: {}", self.file, self.message)?,
        }
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Collects the mistakes of one file.
#[derive(Debug)]
pub struct Problems {
    file: Arc<str>,
    lines: Vec<String>,
    list: Vec<Problem>,
}

impl Problems {
    pub fn new(file: &str, source: &str) -> Problems {
        Problems { file: file.into(), lines: source.lines().map(str::to_owned).collect(), list: Vec::new() }
    }

    pub fn file(&self) -> &Arc<str> {
        &self.file
    }

    pub fn add(&mut self, at: At, message: impl Into<String>) {
        self.push(Some(at), message.into(), None);
    }

    pub fn add_hint(&mut self, at: At, message: impl Into<String>, hint: Option<String>) {
        self.push(Some(at), message.into(), hint);
    }

    fn push(&mut self, at: Option<At>, message: String, hint: Option<String>) {
        if self.list.len() < PROBLEMS_MAX {
            self.list.push(Problem { file: Arc::clone(&self.file), at, message, hint });
        }
    }

    /// The place of byte `offset` of the text that begins at `at`. Exact for a text on one line; a text over several
    /// lines is placed at its beginning.
    pub fn inside(&self, at: At, text: &str, offset: usize) -> At {
        let line = self.lines.get(at.line.saturating_sub(1) as usize).map_or("", String::as_str);
        let rest: String = line.chars().skip(at.column.saturating_sub(1) as usize).collect();
        let quote = u32::from(rest.starts_with(['"', '\'']));
        let chars = text.char_indices().take_while(|(i, _)| *i < offset).count() as u32;
        let body: String = rest.chars().skip(quote as usize).collect();
        if !body.starts_with(text.trim_end()) {
            return at;
        }
        At { line: at.line, column: at.column + quote + chars }
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All mistakes in the order of the file.
    pub fn into_sorted(mut self) -> Vec<Problem> {
        self.list.sort_by_key(|p| p.at);
        self.list
    }

    /// Reads a text; numbers and booleans are taken as they print, as people write `version: 2` in labels.
    pub fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        match &node.value {
            Value::Text(text) => Some(text.clone()),
            Value::Int(number) => Some(number.to_string()),
            Value::Bool(yes) => Some(yes.to_string()),
            other => {
                let hint = matches!(other, Value::Float(_)).then(|| "put it in quotes".to_owned());
                self.add_hint(node.at, format!("{what} must be text, not {}", other.kind()), hint);
                None
            }
        }
    }

    /// Reads `30s`, `5m`, `1h30m` as nanoseconds.
    pub fn duration_ns(&mut self, node: &Node, what: &str) -> Option<i64> {
        let parsed = match &node.value {
            Value::Text(text) => text::parse_duration(text).and_then(|d| i64::try_from(d.as_nanos()).ok()),
            Value::Int(0) => Some(0),
            _ => None,
        };
        if parsed.is_none() {
            let hint = match &node.value {
                Value::Int(n) => format!("a unit is missing: '{n}s'?"),
                _ => "for example 30s, 5m or 1h30m".to_owned(),
            };
            self.add_hint(node.at, format!("{what} must be a duration"), Some(hint));
        }
        parsed
    }

    pub fn integer(&mut self, node: &Node, what: &str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        match node.value {
            Value::Int(number) if range.contains(&number) => Some(number),
            _ => {
                self.add(node.at, format!("{what} must be a whole number from {} to {}", range.start(), range.end()));
                None
            }
        }
    }

    pub fn number(&mut self, node: &Node, what: &str) -> Option<f64> {
        match node.value {
            Value::Int(number) => Some(number as f64),
            Value::Float(number) if number.is_finite() => Some(number),
            _ => {
                self.add(node.at, format!("{what} must be a number, not {}", node.value.kind()));
                None
            }
        }
    }

    pub fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        match node.value {
            Value::Bool(yes) => Some(yes),
            _ => {
                self.add(node.at, format!("{what} must be true or false, not {}", node.value.kind()));
                None
            }
        }
    }

    pub fn list<'a>(&mut self, node: &'a Node, what: &str) -> &'a [Node] {
        match &node.value {
            Value::List(items) => items,
            Value::Null => &[],
            other => {
                self.add(node.at, format!("{what} must be a list, not {}", other.kind()));
                &[]
            }
        }
    }

    /// One of a few words, with "did you mean".
    pub fn word<T: Copy>(&mut self, node: &Node, what: &str, choices: &[(&'static str, T)]) -> Option<T> {
        let Value::Text(text) = &node.value else {
            self.add(node.at, format!("{what} must be one of {}", names(choices)));
            return None;
        };
        if let Some((_, choice)) = choices.iter().find(|(name, _)| name == text) {
            return Some(*choice);
        }
        let near = text::did_you_mean(text, choices.iter().map(|(name, _)| *name));
        let hint = near.map(|near| format!("did you mean '{near}'?"));
        self.add_hint(node.at, format!("{what} must be one of {}, not '{text}'", names(choices)), hint);
        None
    }

    /// A mapping of names to texts: labels, annotations.
    pub fn texts(&mut self, node: &Node, what: &str) -> Vec<(String, String, At)> {
        let Value::Map(entries) = &node.value else {
            self.add(node.at, format!("{what} must be a mapping, not {}", node.value.kind()));
            return Vec::new();
        };
        let read = |entry: &Entry| {
            let text = self.text(&entry.node, &format!("{what}.{}", entry.key))?;
            Some((entry.key.clone(), text, entry.node.at))
        };
        entries.iter().filter_map(read).collect()
    }
}

fn names<T>(choices: &[(&'static str, T)]) -> String {
    choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// The keys of one mapping. Keys that were never asked for are mistakes.
#[derive(Debug)]
pub struct Fields<'a> {
    pub at: At,
    what: &'a str,
    entries: &'a [Entry],
    asked: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    pub fn new(node: &'a Node, what: &'a str, problems: &mut Problems) -> Option<Fields<'a>> {
        let Value::Map(entries) = &node.value else {
            problems.add(node.at, format!("{what} must be a mapping, not {}", node.value.kind()));
            return None;
        };
        Some(Fields { at: node.at, what, entries, asked: Vec::new() })
    }

    pub fn get(&mut self, key: &'static str) -> Option<&'a Node> {
        self.asked.push(key);
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    pub fn require(&mut self, key: &'static str, problems: &mut Problems) -> Option<&'a Node> {
        let found = self.get(key);
        if found.is_none() {
            problems.add(self.at, format!("{} needs '{key}'", self.what));
        }
        found
    }

    /// Keys that this version knows of but cannot do: said as such, so that nobody looks for a typing error.
    pub fn unsupported(&mut self, keys: &[&'static str], problems: &mut Problems) {
        for entry in self.entries {
            if let Some(key) = keys.iter().find(|key| **key == entry.key) {
                self.asked.push(key);
                problems.add(entry.at, format!("'{key}' is not supported by this version"));
            }
        }
    }

    pub fn finish(self, problems: &mut Problems) {
        for entry in self.entries {
            if self.asked.iter().any(|key| *key == entry.key) {
                continue;
            }
            let near = text::did_you_mean(&entry.key, self.asked.iter().copied());
            let hint = match near {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("known here: {}", self.asked.join(", ")),
            };
            problems.add_hint(entry.at, format!("unknown key '{}' in {}", entry.key, self.what), Some(hint));
        }
    }
}

/// Parses a whole file. `None` after a syntax error, which is then the only problem.
pub fn parse(source: &str, problems: &mut Problems) -> Option<Node> {
    if source.len() > FILE_BYTES_MAX {
        problems.push(None, format!("{} bytes is too long, at most {FILE_BYTES_MAX}", source.len()), None);
        return None;
    }
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    match serde_saphyr::from_str_with_options::<Node>(source, options) {
        Ok(node) => Some(node),
        Err(error) => {
            let error = error.without_snippet();
            let at = error.location().map(|l| At { line: clamp(l.line()), column: clamp(l.column()) });
            let message = error.to_string();
            // The place is printed in front of the message, once.
            let message = message.split(" at line ").next().unwrap_or(&message).trim_end_matches(['.', ':']);
            let message = message.strip_prefix("error: ").unwrap_or(message);
            problems.push(at, message.to_owned(), None);
            None
        }
    }
}

fn clamp(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        let at = spanned.referenced;
        Ok(Node { at: At { line: clamp(at.line()), column: clamp(at.column()) }, value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Node>()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let at = At { line: clamp(key.referenced.line()), column: clamp(key.referenced.column()) };
            entries.push(Entry { at, key: key.value, node: map.next_value::<Node>()? });
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_its_place() {
        let source = "a: 1\nb:\n  - x\n  - {c: 'y', d: 2.5}\n";
        let mut problems = Problems::new("f", source);
        let node = parse(source, &mut problems).expect("it parses");
        let Value::Map(entries) = &node.value else { panic!("a mapping") };
        assert_eq!(entries[0].node.at, At { line: 1, column: 4 });
        assert_eq!(entries[1].at, At { line: 2, column: 1 });
        let Value::List(items) = &entries[1].node.value else { panic!("a list") };
        assert_eq!(items[0].at, At { line: 3, column: 5 });
        let Value::Map(inner) = &items[1].value else { panic!("a mapping") };
        assert_eq!(inner[0].node.at, At { line: 4, column: 9 });
        assert_eq!(inner[0].node.value, Value::Text("y".to_owned()));
        assert_eq!(inner[1].node.value, Value::Float(2.5));
    }

    #[test]
    fn broken_yaml_is_one_problem_with_its_place() {
        for source in ["a: [1, 2\n", "a: 1\na: 2\n", "a: [}", "a: b: c"] {
            let mut problems = Problems::new("f.yaml", source);
            assert_eq!(parse(source, &mut problems), None, "{source}");
            let list = problems.into_sorted();
            assert_eq!(list.len(), 1);
            assert!(list[0].at.is_some(), "{}", list[0]);
            assert!(!list[0].message.contains("line"), "{}", list[0]);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(source in "\\PC{0,200}") {
            let mut problems = Problems::new("f", &source);
            let _ = parse(&source, &mut problems);
        }
    }
}

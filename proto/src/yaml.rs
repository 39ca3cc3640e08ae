//! YAML as a tree in which everything knows its line and column, and a collector of mistakes.
//!
//! Every file that people write goes through here: the server's and the agent's configuration, routing and rules.
//! serde stops at the first mistake of a file; a person who edits a file wants all of them at once, each with its
//! place. So files are read into [`Node`]s first and into their meaning by [`Fields`], which also finds unknown keys.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

pub mod environment;
mod fields;
mod problems;

pub use environment::Environment;
pub use fields::Fields;
pub use problems::{PROBLEMS_MAX, Problem, Problems};

/// Largest configuration or rule file that is read.
pub const FILE_BYTES_MAX: usize = 1 << 20;

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
    /// A text that named an environment variable which is not set: that is already a mistake, nothing more is said.
    Unset,
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
            Value::Null | Value::Unset => "nothing",
            Value::Bool(_) => "true or false",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// Parses a whole file. `None` after a syntax error, which is then the only problem.
pub fn parse(source: &str, problems: &mut Problems) -> Option<Node> {
    if source.len() > FILE_BYTES_MAX {
        problems.add_file(format!("{} bytes is too long, at most {FILE_BYTES_MAX}", source.len()));
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

/// Parses a file in which nothing is needed: without any key it is an empty mapping.
pub fn parse_or_empty(source: &str, problems: &mut Problems) -> Option<Node> {
    let is_blank = |line: &str| line.trim().is_empty() || line.trim().starts_with('#');
    let mut root = if source.len() <= FILE_BYTES_MAX && source.lines().all(is_blank) {
        Node { at: At { line: 1, column: 1 }, value: Value::Null }
    } else {
        parse(source, problems)?
    };
    if root.value == Value::Null {
        root.value = Value::Map(Vec::new());
    }
    Some(root)
}

/// Parses a configuration, which may be empty, and replaces `${NAME}` in its values by what `env` answers. Values at the key paths of `raw` (`files.format`, lists are passed through) stay as they are.
pub fn parse_config(source: &str, env: Environment<'_>, raw: &[&str], problems: &mut Problems) -> Option<Node> {
    let mut root = parse_or_empty(source, problems)?;
    environment::replace(&mut root, env, raw, problems);
    Some(root)
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
mod tests;

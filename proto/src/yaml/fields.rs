//! The keys of one mapping: each is asked for by name, and those that nobody asked for are mistakes.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::{At, Entry, Node, Problems, Value};
use crate::text;

/// The keys of one mapping. Keys that were never asked for are mistakes.
#[derive(Debug)]
pub struct Fields<'a> {
    pub at: At,
    what: Cow<'a, str>,
    /// Key path of the mapping within the file, with which messages name its keys; empty where the key is enough.
    path: String,
    entries: &'a [Entry],
    asked: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    pub fn new(node: &'a Node, what: &'a str, problems: &mut Problems) -> Option<Fields<'a>> {
        let Value::Map(entries) = &node.value else {
            problems.wrong(node, format!("{what} must be a mapping, not {}", node.value.kind()), None);
            return None;
        };
        Some(Fields::of(entries, node.at, Cow::Borrowed(what), String::new()))
    }

    fn of(entries: &'a [Entry], at: At, what: Cow<'a, str>, path: String) -> Fields<'a> {
        Fields { at, what, path, entries, asked: Vec::new() }
    }

    /// How messages name a key of this mapping: `limits.line_bytes`.
    pub fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Where a key stands, or the mapping when it is not there.
    pub fn place(&self, key: &str) -> At {
        self.entries.iter().find(|entry| entry.key == key).map_or(self.at, |entry| entry.node.at)
    }

    /// Notes a mistake of `key`.
    pub fn mistake(&self, key: &str, message: &str, problems: &mut Problems) {
        problems.add(self.place(key), format!("{} {message}", self.name(key)));
    }

    /// A key that is there and says something: `key:` alone is as good as no key.
    pub fn given(&mut self, key: &'static str) -> Option<&'a Node> {
        self.get(key).filter(|node| node.value != Value::Null)
    }

    pub fn text(&mut self, key: &'static str, problems: &mut Problems) -> Option<String> {
        let node = self.given(key)?;
        problems.text(node, &self.name(key))
    }

    pub fn path(&mut self, key: &'static str, problems: &mut Problems) -> Option<PathBuf> {
        let node = self.given(key)?;
        problems.path(node, &self.name(key))
    }

    pub fn boolean(&mut self, key: &'static str, problems: &mut Problems) -> Option<bool> {
        let node = self.given(key)?;
        problems.boolean(node, &self.name(key))
    }

    pub fn integer(&mut self, key: &'static str, range: RangeInclusive<i64>, problems: &mut Problems) -> Option<i64> {
        let node = self.given(key)?;
        problems.integer(node, &self.name(key), range)
    }

    pub fn bytes(&mut self, key: &'static str, range: RangeInclusive<u64>, problems: &mut Problems) -> Option<u64> {
        let node = self.given(key)?;
        problems.bytes(node, &self.name(key), range)
    }

    pub fn duration(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
        problems: &mut Problems,
    ) -> Option<Duration> {
        let node = self.given(key)?;
        problems.duration(node, &self.name(key), range)
    }

    pub fn word<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
        problems: &mut Problems,
    ) -> Option<T> {
        let node = self.given(key)?;
        problems.word(node, &self.name(key), choices)
    }

    /// The items of a list; a single text is a list of one.
    pub fn items(&mut self, key: &'static str, problems: &mut Problems) -> Option<&'a [Node]> {
        let node = self.given(key)?;
        Some(problems.items(node, &self.name(key)))
    }

    /// A list of texts; a single text is a list of one.
    pub fn strings(&mut self, key: &'static str, problems: &mut Problems) -> Option<Vec<String>> {
        let node = self.given(key)?;
        Some(problems.strings(node, &self.name(key)))
    }

    /// A mapping of names to texts.
    pub fn texts(&mut self, key: &'static str, problems: &mut Problems) -> Vec<(String, String, At)> {
        let Some(node) = self.given(key) else { return Vec::new() };
        problems.texts(node, &self.name(key))
    }

    /// A mapping within this one; absent is empty.
    pub fn section(&mut self, key: &'static str, problems: &mut Problems) -> Fields<'a> {
        let name = self.name(key);
        match self.given(key) {
            Some(node) => Fields::part(node, name, problems),
            None => Fields::of(&[], self.at, Cow::Owned(name.clone()), name),
        }
    }

    /// A list of mappings; absent is empty. Their names are `files[0]`, `files[1]`, ….
    pub fn sections(&mut self, key: &'static str, problems: &mut Problems) -> Vec<Fields<'a>> {
        let Some(node) = self.given(key) else { return Vec::new() };
        let name = self.name(key);
        let items = problems.list(node, &name).iter().enumerate();
        items.map(|(i, item)| Fields::part(item, format!("{name}[{i}]"), problems)).collect()
    }

    fn part(node: &'a Node, name: String, problems: &mut Problems) -> Fields<'a> {
        let entries: &[Entry] = match &node.value {
            Value::Map(entries) => entries,
            other => {
                problems.wrong(node, format!("{name} must be a mapping, not {}", other.kind()), None);
                &[]
            }
        };
        Fields::of(entries, node.at, Cow::Owned(name.clone()), name)
    }

    pub fn get(&mut self, key: &'static str) -> Option<&'a Node> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
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
                let name = self.name(key);
                problems.add(entry.at, format!("'{name}' is not supported by this version"));
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

//! The mistakes of one file, and the readers that find them in single values.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{At, Entry, Node, Value};
use crate::text;

/// Mistakes of one file that are kept: whoever mends so many reads the file again.
pub const PROBLEMS_MAX: usize = 200;

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
    /// Mistakes beyond [`PROBLEMS_MAX`].
    more: usize,
}

impl Problems {
    pub fn new(file: &str, source: &str) -> Problems {
        Problems { file: file.into(), lines: source.lines().map(str::to_owned).collect(), list: Vec::new(), more: 0 }
    }

    /// The name of the file.
    pub fn file(&self) -> &Arc<str> {
        &self.file
    }

    pub fn add(&mut self, at: At, message: impl Into<String>) {
        self.push(Some(at), message.into(), None);
    }

    pub fn add_hint(&mut self, at: At, message: impl Into<String>, hint: Option<String>) {
        self.push(Some(at), message.into(), hint);
    }

    /// A mistake of the file as a whole.
    pub fn add_file(&mut self, message: impl Into<String>) {
        self.push(None, message.into(), None);
    }

    /// A value of the wrong kind, unless it has been reported as unset already.
    pub(super) fn wrong(&mut self, node: &Node, message: String, hint: Option<String>) {
        if node.value != Value::Unset {
            self.push(Some(node.at), message, hint);
        }
    }

    pub(super) fn push(&mut self, at: Option<At>, message: String, hint: Option<String>) {
        if self.list.len() < PROBLEMS_MAX {
            self.list.push(Problem { file: Arc::clone(&self.file), at, message, hint });
        } else {
            self.more += 1;
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

    /// The mistakes in the order of the file; the last says how many more there are.
    pub fn into_sorted(mut self) -> Vec<Problem> {
        self.list.sort_by_key(|p| p.at);
        if self.more > 0 {
            let message = format!("{} more mistakes are not shown: only the first {PROBLEMS_MAX} are", self.more);
            self.list.push(Problem { file: Arc::clone(&self.file), at: None, message, hint: None });
        }
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
                self.wrong(node, format!("{what} must be text, not {}", other.kind()), hint);
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
            self.wrong(node, format!("{what} must be a duration"), Some(hint));
        }
        parsed
    }

    /// Reads a duration within `range`.
    pub fn duration(&mut self, node: &Node, what: &str, range: RangeInclusive<Duration>) -> Option<Duration> {
        let duration = Duration::from_nanos(self.duration_ns(node, what)?.unsigned_abs());
        if range.contains(&duration) {
            return Some(duration);
        }
        let (min, max) = (text::format_duration(*range.start()), text::format_duration(*range.end()));
        self.add(node.at, format!("{what} must be a duration from {min} to {max}"));
        None
    }

    /// Reads `64MiB`, `10MB` or a number of bytes, within `range`.
    pub fn bytes(&mut self, node: &Node, what: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let parsed = match &node.value {
            Value::Text(text) => text::parse_bytes(text),
            Value::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        let Some(bytes) = parsed else {
            let hint = Some("for example 512KiB, 64MiB or 1GiB".to_owned());
            self.wrong(node, format!("{what} must be a size"), hint);
            return None;
        };
        if range.contains(&bytes) {
            return Some(bytes);
        }
        let min = size(*range.start());
        let message = match *range.end() {
            u64::MAX => format!("{what} must be at least {min}, not {}", size(bytes)),
            max => format!("{what} must be a size from {min} to {}, not {}", size(max), size(bytes)),
        };
        self.add(node.at, message);
        None
    }

    pub fn path(&mut self, node: &Node, what: &str) -> Option<PathBuf> {
        self.text(node, what).map(PathBuf::from)
    }

    /// The items of a list; a single text is a list of one.
    pub fn items<'a>(&mut self, node: &'a Node, what: &str) -> &'a [Node] {
        match &node.value {
            Value::Text(_) => std::slice::from_ref(node),
            _ => self.list(node, what),
        }
    }

    /// A list of texts; a single text is a list of one.
    pub fn strings(&mut self, node: &Node, what: &str) -> Vec<String> {
        self.items(node, what).iter().filter_map(|item| self.text(item, what)).collect()
    }

    pub fn integer(&mut self, node: &Node, what: &str, range: RangeInclusive<i64>) -> Option<i64> {
        match node.value {
            Value::Int(number) if range.contains(&number) => Some(number),
            _ => {
                let message = format!("{what} must be a whole number from {} to {}", range.start(), range.end());
                self.wrong(node, message, None);
                None
            }
        }
    }

    pub fn number(&mut self, node: &Node, what: &str) -> Option<f64> {
        match node.value {
            Value::Int(number) => Some(number as f64),
            Value::Float(number) if number.is_finite() => Some(number),
            _ => {
                self.wrong(node, format!("{what} must be a number, not {}", node.value.kind()), None);
                None
            }
        }
    }

    pub fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        match node.value {
            Value::Bool(yes) => Some(yes),
            _ => {
                self.wrong(node, format!("{what} must be true or false, not {}", node.value.kind()), None);
                None
            }
        }
    }

    pub fn list<'a>(&mut self, node: &'a Node, what: &str) -> &'a [Node] {
        match &node.value {
            Value::List(items) => items,
            Value::Null => &[],
            other => {
                self.wrong(node, format!("{what} must be a list, not {}", other.kind()), None);
                &[]
            }
        }
    }

    /// One of a few words, with "did you mean".
    pub fn word<T: Copy>(&mut self, node: &Node, what: &str, choices: &[(&'static str, T)]) -> Option<T> {
        let Value::Text(text) = &node.value else {
            self.wrong(node, format!("{what} must be one of {}", names(choices)), None);
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
            self.wrong(node, format!("{what} must be a mapping, not {}", node.value.kind()), None);
            return Vec::new();
        };
        let read = |entry: &Entry| {
            let text = self.text(&entry.node, &format!("{what}.{}", entry.key))?;
            Some((entry.key.clone(), text, entry.node.at))
        };
        entries.iter().filter_map(read).collect()
    }
}

/// Bytes in the largest binary unit that divides them.
fn size(bytes: u64) -> String {
    let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

fn names<T>(choices: &[(&'static str, T)]) -> String {
    choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

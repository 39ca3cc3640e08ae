//! Configuration files: YAML with `${NAME}` from the environment, read key by key so that all mistakes come at once.
//!
//! A reader takes each key that it knows by [`Settings::take`] and its kin; whatever is left when the settings are
//! [finished](Settings::finish) is an unknown key, which is a mistake with a suggestion.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use logweir_proto::text::{did_you_mean, parse_bytes, parse_duration};
use serde_json::{Map, Value};

/// Largest configuration file.
pub const SETTINGS_BYTES_MAX: u64 = 1 << 20;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// `retention.days`, or the line and column when the file is not YAML.
    pub at: String,
    pub message: String,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.at.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.at, self.message) }
    }
}

/// All mistakes of one file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(Mistake::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Mistakes(pub Vec<Mistake>);

type Shared = Rc<RefCell<Vec<Mistake>>>;

/// One mapping of the file.
#[derive(Debug)]
pub struct Settings {
    path: String,
    map: Map<String, Value>,
    known: Vec<&'static str>,
    mistakes: Shared,
}

impl Settings {
    /// Reads YAML; `env` answers `${NAME}`. An empty file is an empty mapping.
    pub fn parse(text: &str, env: impl Fn(&str) -> Option<String>) -> Result<Settings, Mistakes> {
        let mistakes = Shared::default();
        let text = interpolate(text, env, &mistakes);
        let value: Value = if text.lines().all(|line| line.trim().is_empty() || line.trim().starts_with('#')) {
            Value::Object(Map::new())
        } else {
            let parsed = serde_saphyr::from_str(&text);
            parsed.map_err(|error| Mistakes(vec![Mistake { at: String::new(), message: error.to_string() }]))?
        };
        match value {
            Value::Object(map) => Ok(Settings { path: String::new(), map, known: Vec::new(), mistakes }),
            _ => Err(Mistakes(vec![Mistake { at: String::new(), message: "expected a mapping of keys".to_owned() }])),
        }
    }

    /// Takes a key as it is.
    pub fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.map.remove(key).filter(|value| !value.is_null())
    }

    pub fn string(&mut self, key: &'static str) -> Option<String> {
        match self.take(key)? {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            other => self.expected(key, "text", &other),
        }
    }

    pub fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.string(key).map(PathBuf::from)
    }

    pub fn bool(&mut self, key: &'static str) -> Option<bool> {
        match self.take(key)? {
            Value::Bool(value) => Some(value),
            other => self.expected(key, "true or false", &other),
        }
    }

    pub fn integer(&mut self, key: &'static str) -> Option<u64> {
        match self.take(key)? {
            Value::Number(number) if number.is_u64() => number.as_u64(),
            other => self.expected(key, "a whole number", &other),
        }
    }

    /// `64MiB`, `200000`
    pub fn bytes(&mut self, key: &'static str) -> Option<u64> {
        match self.take(key)? {
            Value::Number(number) if number.is_u64() => number.as_u64(),
            Value::String(text) if parse_bytes(&text).is_some() => parse_bytes(&text),
            other => self.expected(key, "a size such as 64MiB", &other),
        }
    }

    /// `30s`, `1h30m`
    pub fn duration(&mut self, key: &'static str) -> Option<Duration> {
        match self.take(key)? {
            Value::String(text) if parse_duration(&text).is_some() => parse_duration(&text),
            other => self.expected(key, "a duration such as 30s", &other),
        }
    }

    /// A list of texts; a single text is a list of one.
    pub fn strings(&mut self, key: &'static str) -> Option<Vec<String>> {
        match self.take(key)? {
            Value::String(text) => Some(vec![text]),
            Value::Array(items) => {
                let mut texts = Vec::with_capacity(items.len());
                for item in items {
                    match item {
                        Value::String(text) => texts.push(text),
                        other => return self.expected(key, "a list of texts", &other),
                    }
                }
                Some(texts)
            }
            other => self.expected(key, "a list of texts", &other),
        }
    }

    /// A mapping within this one; absent is empty.
    pub fn section(&mut self, key: &'static str) -> Settings {
        let map = match self.take(key) {
            None => Map::new(),
            Some(Value::Object(map)) => map,
            Some(other) => {
                self.expected::<()>(key, "a mapping of keys", &other);
                Map::new()
            }
        };
        Settings { path: self.at(key), map, known: Vec::new(), mistakes: Rc::clone(&self.mistakes) }
    }

    /// A list of mappings; absent is empty.
    pub fn sections(&mut self, key: &'static str) -> Vec<Settings> {
        let items = match self.take(key) {
            None => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(other) => {
                self.expected::<()>(key, "a list", &other);
                return Vec::new();
            }
        };
        let mut sections = Vec::with_capacity(items.len());
        for (i, item) in items.into_iter().enumerate() {
            let path = format!("{}[{i}]", self.at(key));
            match item {
                Value::Object(map) => {
                    sections.push(Settings { path, map, known: Vec::new(), mistakes: Rc::clone(&self.mistakes) });
                }
                _ => {
                    self.mistakes.borrow_mut().push(Mistake { at: path, message: "expected a mapping of keys".into() })
                }
            }
        }
        sections
    }

    /// Every remaining key with its text: for mappings whose keys are the user's (`labels`).
    pub fn texts(mut self) -> Vec<(String, String)> {
        let map = std::mem::take(&mut self.map);
        let mut texts = Vec::new();
        for (key, value) in map {
            match value {
                Value::String(text) => texts.push((key, text)),
                Value::Number(number) => texts.push((key, number.to_string())),
                Value::Bool(value) => texts.push((key, value.to_string())),
                _ => self.mistake_at(format!("{}.{key}", self.path), "expected a text"),
            }
        }
        texts
    }

    /// Notes a mistake of this mapping's `key`.
    pub fn mistake(&self, key: &str, message: impl Into<String>) {
        self.mistake_at(self.at(key), message);
    }

    /// Says that a key which others have, or which comes later, does nothing here.
    pub fn unsupported(&mut self, key: &'static str) {
        if self.take(key).is_some() {
            self.mistake(key, "is not supported by this version: remove it");
        }
    }

    /// Notes the keys that nobody took. Call it on every section; the file's own comes last and gives the result.
    pub fn finish(self) {
        for key in self.map.keys() {
            let hint = did_you_mean(key, self.known.iter().copied());
            let hint = hint.map(|near| format!(", did you mean '{near}'?")).unwrap_or_default();
            self.mistake(key, format!("unknown key{hint}"));
        }
    }

    /// The mistakes of the whole file so far.
    pub fn check(&self) -> Result<(), Mistakes> {
        let mistakes = self.mistakes.borrow();
        if mistakes.is_empty() { Ok(()) } else { Err(Mistakes(mistakes.clone())) }
    }

    /// A handle to [`Settings::check`] after the mapping itself is finished.
    pub fn verdict(&self) -> impl FnOnce() -> Result<(), Mistakes> + use<> {
        let mistakes = Rc::clone(&self.mistakes);
        move || {
            let mistakes = mistakes.borrow();
            if mistakes.is_empty() { Ok(()) } else { Err(Mistakes(mistakes.clone())) }
        }
    }

    fn mistake_at(&self, at: String, message: impl Into<String>) {
        self.mistakes.borrow_mut().push(Mistake { at, message: message.into() });
    }

    fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn expected<T>(&self, key: &str, what: &str, found: &Value) -> Option<T> {
        self.mistake(key, format!("expected {what}, found {found}"));
        None
    }
}

/// Replaces `${NAME}`; `$$` is a dollar sign. A name that is not set is a mistake, not an empty text.
fn interpolate(text: &str, env: impl Fn(&str) -> Option<String>, mistakes: &Shared) -> String {
    let mut out = String::with_capacity(text.len());
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let mut rest = line;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            let name = rest.strip_prefix("${").and_then(|tail| tail.split_once('}')).map(|(name, _)| name);
            if let Some(after) = rest.strip_prefix("$$") {
                out.push('$');
                rest = after;
            } else if let Some(name) = name {
                match env(name) {
                    Some(value) => out.push_str(&value),
                    None => mistakes.borrow_mut().push(Mistake {
                        at: format!("line {}", number + 1),
                        message: format!("the environment variable {name} is not set"),
                    }),
                }
                rest = &rest[name.len() + 3..];
            } else {
                out.push('$');
                rest = &rest[1..];
            }
        }
        out.push_str(rest);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_env(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn all_mistakes_come_at_once_with_their_places() {
        let text = "listen: 5\nlimits: {timeout: soon, tiemout2: 1}\nfiles: [{paths: 7}, 3]\nname: ${NOPE}\n";
        let mut settings = Settings::parse(text, no_env).expect("it is YAML");
        let verdict = settings.verdict();
        assert_eq!(settings.string("listen").as_deref(), Some("5"));
        assert_eq!(settings.string("name"), None);
        let mut limits = settings.section("limits");
        assert_eq!(limits.duration("timeout"), None);
        limits.finish();
        for mut file in settings.sections("files") {
            assert_eq!(file.strings("paths"), None);
            file.finish();
        }
        settings.finish();
        let found: Vec<String> = verdict().expect_err("five mistakes").0.iter().map(Mistake::to_string).collect();
        assert_eq!(
            found,
            [
                "line 4: the environment variable NOPE is not set",
                "limits.timeout: expected a duration such as 30s, found \"soon\"",
                "limits.tiemout2: unknown key, did you mean 'timeout'?",
                "files[1]: expected a mapping of keys",
                "files[0].paths: expected a list of texts, found 7",
            ]
        );
    }

    #[test]
    fn the_environment_is_put_in_and_dollars_can_be_written() {
        let env = |name: &str| (name == "HOST").then(|| "web-1".to_owned());
        let mut settings = Settings::parse("a: ${HOST}:7171\nb: '$$5 and $remote_addr'\n", env).expect("it is YAML");
        assert_eq!(settings.string("a").as_deref(), Some("web-1:7171"));
        assert_eq!(settings.string("b").as_deref(), Some("$5 and $remote_addr"));
    }

    #[test]
    fn an_empty_file_is_all_defaults_and_a_broken_one_says_where() {
        assert!(Settings::parse("# nothing\n", no_env).is_ok());
        let error = Settings::parse("a: [1,\nb: }", no_env).expect_err("it is not YAML");
        assert!(error.to_string().contains("line"), "{error}");
    }
}

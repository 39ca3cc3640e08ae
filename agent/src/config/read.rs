//! A walk over the YAML that collects every mistake instead of stopping at the first.

use std::collections::BTreeMap;
use std::path::PathBuf;

use logweir_proto::batch::{LINE_BYTES_MAX, SourceKind};
use serde_json::{Map, Value};

use super::{
    BATCH_BYTES_MAX, BATCH_BYTES_MIN, Config, Discover, FileRule, LINE_BYTES_MIN, Limits, Multiline, Roots, StartAt,
    units,
};
use crate::error::Mistake;

/// What `log_format` names when an access log names none.
pub(crate) const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"";

/// Keys of issue 3 and later: known, so that the message says more than "unknown".
const NOT_YET: [&str; 6] = ["redact", "sample", "drop", "spool", "syslog", "journald"];

pub(super) fn config(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Vec<Mistake>> {
    let value: Value = if text.trim().is_empty() {
        Value::Null
    } else {
        serde_saphyr::from_str(text)
            .map_err(|error| vec![Mistake { key: String::new(), message: format!("not valid yaml: {error}") }])?
    };
    let mut walk = Walk { env, mistakes: Vec::new() };
    let config = walk.config(&value);
    if walk.mistakes.is_empty() { Ok(config) } else { Err(walk.mistakes) }
}

struct Walk<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    mistakes: Vec<Mistake>,
}

impl Walk<'_> {
    fn config(&mut self, value: &Value) -> Config {
        let mut config = Config::new();
        let keys = ["server", "state_dir", "host", "labels", "discover", "discover_roots", "files", "limits"];
        for (key, value) in self.map("", value, &keys) {
            match key {
                "server" => self.server(value, &mut config),
                "state_dir" => config.state_dir = self.path(key, value).unwrap_or(config.state_dir),
                "host" => config.host = self.text(key, value),
                "labels" => config.labels = self.labels(key, value),
                "discover" => config.discover = self.discover(value),
                "discover_roots" => config.roots = self.roots(value),
                "files" => config.files = self.files(value),
                _ => config.limits = self.limits(value),
            }
        }
        config
    }

    fn server(&mut self, value: &Value, config: &mut Config) {
        for (key, value) in self.map("server", value, &["url", "token", "token_file", "ca_file"]) {
            let at = format!("server.{key}");
            match key {
                "url" => config.server_url = self.url(&at, value),
                "token" => config.token = self.text(&at, value).map(logweir_runtime::secrets::Secret::new),
                "token_file" => config.token_file = self.path(&at, value),
                _ => config.ca_file = self.path(&at, value),
            }
        }
        if config.token.is_some() && config.token_file.is_some() {
            self.mistake("server.token", "give token or token_file, not both");
        }
    }

    fn url(&mut self, at: &str, value: &Value) -> Option<String> {
        let text = self.text(at, value)?;
        match check_url(&text) {
            Ok(url) => Some(url),
            Err(message) => {
                self.mistake(at, message);
                None
            }
        }
    }

    fn labels(&mut self, at: &str, value: &Value) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        let Some(map) = self.object(at, value) else { return labels };
        for (name, value) in map {
            if let Some(text) = self.text(&format!("{at}.{name}"), value) {
                labels.insert(name.clone(), text);
            }
        }
        labels
    }

    fn discover(&mut self, value: &Value) -> Discover {
        let mut found = Discover::NONE;
        for (i, kind) in self.texts("discover", value).into_iter().enumerate() {
            match kind.as_str() {
                "pm2" => found.pm2 = true,
                "nginx" => found.nginx = true,
                "docker" => found.docker = true,
                "kubernetes" => found.kubernetes = true,
                other => {
                    self.mistake(
                        &format!("discover[{i}]"),
                        format!("{other:?} is none of pm2, nginx, docker, kubernetes"),
                    );
                }
            }
        }
        found
    }

    fn roots(&mut self, value: &Value) -> Roots {
        let mut roots = Roots::default();
        for (key, value) in self.map("discover_roots", value, &["nginx", "pm2", "docker", "kubernetes"]) {
            let at = format!("discover_roots.{key}");
            match key {
                "nginx" => roots.nginx = Some(self.paths(&at, value)),
                "pm2" => roots.pm2 = Some(self.paths(&at, value)),
                "docker" => roots.docker = self.path(&at, value),
                _ => roots.kubernetes = self.path(&at, value),
            }
        }
        roots
    }

    fn files(&mut self, value: &Value) -> Vec<FileRule> {
        let Value::Array(list) = value else {
            self.mistake("files", "must be a list of {paths: […]}");
            return Vec::new();
        };
        list.iter().enumerate().map(|(i, value)| self.file_rule(&format!("files[{i}]"), value)).collect()
    }

    fn file_rule(&mut self, at: &str, value: &Value) -> FileRule {
        let mut rule = FileRule::plain(Vec::new());
        for (key, value) in self.map(at, value, &["paths", "exclude", "service", "format", "multiline", "start_at"]) {
            let at = format!("{at}.{key}");
            match key {
                "paths" => rule.paths = self.globs(&at, value),
                "exclude" => rule.exclude = self.globs(&at, value),
                "service" => rule.service = self.text(&at, value),
                "format" => (rule.kind, rule.format) = self.format(&at, value),
                "multiline" => {
                    let choices = [("auto", Multiline::Auto), ("none", Multiline::None)];
                    rule.multiline = self.choice(&at, value, &choices).unwrap_or_default();
                }
                _ => {
                    let choices = [("end", StartAt::End), ("beginning", StartAt::Beginning)];
                    rule.start_at = self.choice(&at, value, &choices).unwrap_or_default();
                }
            }
        }
        if rule.paths.is_empty() && value.get("paths").is_none() {
            self.mistake(&format!("{at}.paths"), "is missing: name at least one path or glob");
        }
        rule
    }

    fn format(&mut self, at: &str, value: &Value) -> (SourceKind, String) {
        let Some(text) = self.text_raw(at, value) else { return (SourceKind::File, String::new()) };
        let kind = match text {
            "auto" => SourceKind::File,
            "nginx" => return (SourceKind::NginxAccess, COMBINED.to_owned()),
            "nginx_error" => SourceKind::NginxError,
            "pm2" => SourceKind::Pm2,
            "docker" => SourceKind::Docker,
            "cri" => SourceKind::Cri,
            format if format.contains('$') => return (SourceKind::NginxAccess, format.to_owned()),
            other => {
                let known = "auto, nginx, nginx_error, pm2, docker, cri, or an nginx log_format with its $variables";
                self.mistake(at, format!("{other:?} is none of {known}"));
                SourceKind::File
            }
        };
        (kind, String::new())
    }

    fn limits(&mut self, value: &Value) -> Limits {
        let mut limits = Limits::default();
        let keys = ["memory_bytes", "line_bytes", "batch_bytes", "batch_age", "open_files"];
        for (key, value) in self.map("limits", value, &keys) {
            let at = format!("limits.{key}");
            match key {
                "memory_bytes" => limits.memory_bytes = self.size(&at, value, (1, usize::MAX), limits.memory_bytes),
                "line_bytes" => {
                    limits.line_bytes = self.size(&at, value, (LINE_BYTES_MIN, LINE_BYTES_MAX), limits.line_bytes);
                }
                "batch_bytes" => {
                    limits.batch_bytes = self.size(&at, value, (BATCH_BYTES_MIN, BATCH_BYTES_MAX), limits.batch_bytes);
                }
                "batch_age" => match self.text(&at, value).map(|text| units::duration(&text)) {
                    Some(Some(age)) if (10..=60_000).contains(&age.as_millis()) => limits.batch_age = age,
                    Some(_) => self.mistake(&at, "must be a duration from 10ms to 1m, such as 1s"),
                    None => {}
                },
                _ => limits.open_files = self.size(&at, value, (1, 1 << 20), limits.open_files),
            }
        }
        if limits.buffers_bytes() > limits.memory_bytes {
            let need = limits.buffers_bytes() >> 20;
            self.mistake(
                "limits.memory_bytes",
                format!("batch_bytes and line_bytes need {need}MiB: raise it or lower them"),
            );
        }
        limits
    }

    fn size(&mut self, at: &str, value: &Value, (min, max): (usize, usize), default: usize) -> usize {
        let text = match value {
            Value::Number(number) => number.to_string(),
            value => match self.text(at, value) {
                Some(text) => text,
                None => return default,
            },
        };
        match units::bytes(&text).and_then(|bytes| usize::try_from(bytes).ok()) {
            Some(bytes) if (min..=max).contains(&bytes) => bytes,
            Some(_) => {
                self.mistake(at, format!("{text} is outside {min} to {max}"));
                default
            }
            None => {
                self.mistake(at, format!("{text:?} is not a size such as 512KiB or 1MiB"));
                default
            }
        }
    }

    fn choice<T: Copy>(&mut self, at: &str, value: &Value, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(at, value)?;
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.mistake(at, format!("{text:?} is none of {}", names.join(", ")));
        }
        found
    }

    fn globs(&mut self, at: &str, value: &Value) -> Vec<String> {
        let list = self.texts(at, value);
        for (i, pattern) in list.iter().enumerate() {
            if let Err(error) = glob::Pattern::new(pattern) {
                self.mistake(&format!("{at}[{i}]"), format!("not a glob: {}", error.msg));
            }
        }
        list
    }

    fn paths(&mut self, at: &str, value: &Value) -> Vec<PathBuf> {
        self.texts(at, value).into_iter().map(PathBuf::from).collect()
    }

    fn texts(&mut self, at: &str, value: &Value) -> Vec<String> {
        match value {
            Value::Array(list) => {
                let each = list.iter().enumerate();
                each.filter_map(|(i, value)| self.text(&format!("{at}[{i}]"), value)).collect()
            }
            Value::String(_) => self.text(at, value).into_iter().collect(),
            _ => {
                self.mistake(at, "must be a list");
                Vec::new()
            }
        }
    }

    fn path(&mut self, at: &str, value: &Value) -> Option<PathBuf> {
        self.text(at, value).map(PathBuf::from)
    }

    fn text_raw<'v>(&mut self, at: &str, value: &'v Value) -> Option<&'v str> {
        let text = value.as_str();
        if text.is_none() {
            self.mistake(at, "must be text");
        }
        text
    }

    /// Text with `${NAME}` replaced from the environment.
    fn text(&mut self, at: &str, value: &Value) -> Option<String> {
        let text = match value {
            Value::Number(number) => return Some(number.to_string()),
            Value::Bool(flag) => return Some(flag.to_string()),
            value => self.text_raw(at, value)?,
        };
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            out.push_str(&rest[..start]);
            let Some(len) = rest[start..].find('}') else {
                self.mistake(at, "has a ${ without its }");
                return None;
            };
            let name = &rest[start + 2..start + len];
            match (self.env)(name) {
                Some(value) => out.push_str(&value),
                None => self.mistake(at, format!("environment variable {name} is not set")),
            }
            rest = &rest[start + len + 1..];
        }
        out.push_str(rest);
        Some(out)
    }

    fn object<'v>(&mut self, at: &str, value: &'v Value) -> Option<&'v Map<String, Value>> {
        if let Value::Object(map) = value {
            return Some(map);
        }
        if !value.is_null() {
            self.mistake(at, "must be a map of keys");
        }
        None
    }

    /// The known entries of a map; the others are mistakes.
    fn map<'v>(&mut self, at: &str, value: &'v Value, known: &[&'static str]) -> Vec<(&'static str, &'v Value)> {
        let Some(map) = self.object(at, value) else { return Vec::new() };
        let mut found = Vec::new();
        for (key, value) in map {
            if let Some(name) = known.iter().find(|name| *name == key) {
                found.push((*name, value));
                continue;
            }
            let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            if NOT_YET.contains(&key.as_str()) {
                self.mistake(&path, "is not supported by this version: remove it");
            } else {
                let near = known.iter().min_by_key(|name| distance(name, key)).filter(|name| distance(name, key) <= 3);
                let hint = near
                    .map_or_else(|| format!("known are {}", known.join(", ")), |name| format!("did you mean {name}?"));
                self.mistake(&path, format!("unknown key, {hint}"));
            }
        }
        found
    }

    fn mistake(&mut self, key: &str, message: impl Into<String>) {
        self.mistakes.push(Mistake { key: key.to_owned(), message: message.into() });
    }
}

/// A server's address without a final slash, or what is wrong with it.
pub(crate) fn check_url(text: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(text).map_err(|error| format!("{text:?} is not a url: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("{text:?} must begin with http:// or https:// and name a host"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Edits from one word to another.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

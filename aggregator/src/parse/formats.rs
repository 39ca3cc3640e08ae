//! The formats that are written as patterns: those of this build, and those that users add, by name.
//!
//! They are compiled once and shared by the parsers of all sources; the names of their fields have places of their own,
//! so that a parser needs one list of numbers for all of them.

pub(super) mod built_in;
pub mod file;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use glob::Pattern as Glob;
use logweir_proto::batch::{SourceInfo, SourceKind};
use logweir_proto::record::field;

use super::pattern::{Mistake, Pattern};
use crate::names::{NameId, Names};

/// Most parsers of one's own.
pub const PARSERS_MAX: usize = 256;

/// Most patterns of one parser.
pub const PATTERNS_MAX: usize = 32;

/// How the text of a source is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// JSON where it is, and else what the lines look like.
    Auto,
    /// Nothing is looked for but a time and a level.
    Text,
    Json,
    Access,
    NginxError,
    Logfmt,
    W3c,
    MySqlSlow,
    /// A format of the set, by its place.
    Format(u16),
}

/// The names of formats that are not patterns.
const CODED: [(&str, Choice); 8] = [
    ("auto", Choice::Auto),
    ("text", Choice::Text),
    ("json", Choice::Json),
    ("nginx", Choice::Access),
    ("nginx_error", Choice::NginxError),
    ("logfmt", Choice::Logfmt),
    ("iis", Choice::W3c),
    ("mysql_slow", Choice::MySqlSlow),
];

/// A named format: the first of its patterns that fits a line reads it.
#[derive(Debug, Clone)]
pub(super) struct Format {
    pub(super) name: Box<str>,
    pub(super) patterns: Box<[Pattern]>,
}

/// Which parser the sources of a kind have.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) service: Option<Glob>,
    pub(super) source: Option<Glob>,
    pub(super) path: Option<Glob>,
    pub(super) choice: Choice,
}

/// All formats and the rules for their use.
#[derive(Debug, Clone)]
pub struct Formats {
    pub(super) list: Vec<Format>,
    /// Formats that are looked for; those of users are only used where they are named.
    pub(super) detected: usize,
    names: Vec<Box<str>>,
    places: HashMap<Box<str>, u16>,
    rules: Vec<Rule>,
}

static BUILT_IN: LazyLock<Arc<Formats>> = LazyLock::new(|| Arc::new(Formats::compile_built_in()));

impl Formats {
    /// Those of this build.
    pub fn built_in() -> Arc<Formats> {
        Arc::clone(&BUILT_IN)
    }

    fn compile_built_in() -> Formats {
        let mut formats =
            Formats { list: Vec::new(), detected: 0, names: Vec::new(), places: HashMap::new(), rules: Vec::new() };
        // Their places are known to the patterns.
        formats.place("time");
        formats.place("logged_time");
        for (name, patterns) in built_in::FORMATS {
            // A test compiles every one of them: none is left out here.
            let compiled: Vec<Pattern> = patterns.iter().filter_map(|text| formats.compile(text).ok()).collect();
            formats.add(name, compiled);
        }
        formats.detected = formats.list.len();
        formats
    }

    fn place(&mut self, name: &str) -> u16 {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = self.names.len() as u16;
        self.names.push(name.into());
        self.places.insert(name.into(), place);
        place
    }

    pub(super) fn compile(&mut self, text: &str) -> Result<Pattern, Mistake> {
        Pattern::compile(text, &mut |name| self.place(name))
    }

    pub(super) fn add(&mut self, name: &str, patterns: Vec<Pattern>) {
        self.list.push(Format { name: name.into(), patterns: patterns.into() });
    }

    pub(super) fn use_for(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// The numbers that the names of all fields have for one interner.
    pub(super) fn ids(&self, names: &mut Names) -> Box<[Option<NameId>]> {
        self.names.iter().map(|name| names.intern(name)).collect()
    }

    /// The format of a name.
    pub(super) fn named(&self, name: &str) -> Option<Choice> {
        let coded = CODED.iter().find(|(known, _)| *known == name).map(|(_, choice)| *choice);
        // A later one wins: users may name theirs like one of this build.
        let listed = || self.list.iter().rposition(|format| &*format.name == name);
        coded.or_else(|| listed().map(|at| Choice::Format(at as u16)))
    }

    /// Every name that [`Formats::named`] knows.
    pub fn all_names(&self) -> Vec<&str> {
        let listed = self.list.iter().map(|format| &*format.name);
        CODED.iter().map(|(name, _)| *name).chain(listed).collect()
    }

    pub(super) fn name_of(&self, choice: Choice) -> &str {
        match choice {
            Choice::Format(at) => self.list.get(usize::from(at)).map_or("text", |format| &format.name),
            coded => CODED.iter().find(|(_, known)| *known == coded).map_or("text", |(name, _)| name),
        }
    }

    /// How a source is to be read: by the first rule that names it, else by the format that came with it.
    pub(super) fn choice(&self, info: &SourceInfo) -> Choice {
        let service = info.labels.get(field::SERVICE).map_or("", String::as_str);
        let matches = |glob: &Option<Glob>, text: &str| glob.as_ref().is_none_or(|glob| glob.matches(text));
        let rule = self.rules.iter().find(|rule| {
            matches(&rule.service, service)
                && matches(&rule.source, info.kind.source_name())
                && matches(&rule.path, &info.path)
        });
        let sent = (info.kind != SourceKind::NginxAccess).then(|| self.named(&info.format)).flatten();
        rule.map(|rule| rule.choice).or(sent).unwrap_or(Choice::Auto)
    }
}

#[cfg(test)]
mod tests;

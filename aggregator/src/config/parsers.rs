//! The section `parsers`: files of parsers of one's own, and which sources have which parser.

use std::path::PathBuf;

use glob::Pattern as Glob;
use logweir_proto::yaml::{At, Fields, Problems};

/// Most rules of `parsers.use`.
pub const RULES_MAX: usize = 1024;

/// The section `parsers` of the server's configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// The file that the section stands in.
    pub file: String,
    pub files: Vec<PathBuf>,
    pub rules: Vec<Use>,
}

/// One rule of `parsers.use`.
#[derive(Debug, Clone, PartialEq)]
pub struct Use {
    pub service: Option<Glob>,
    pub source: Option<Glob>,
    pub path: Option<Glob>,
    pub parser: String,
    pub at: At,
}

impl Settings {
    /// Reads the section; the files are read where parsers are made.
    pub fn read(mut section: Fields<'_>, problems: &mut Problems) -> Settings {
        let files = section.strings("files", problems).unwrap_or_default();
        let rules = section.sections("use", problems);
        if rules.len() > RULES_MAX {
            section.mistake("use", &format!("has more than {RULES_MAX} rules"), problems);
        }
        let rules = rules.into_iter().take(RULES_MAX).filter_map(|rule| read_rule(rule, problems)).collect();
        section.finish(problems);
        Settings { file: problems.file().to_string(), files: files.into_iter().map(PathBuf::from).collect(), rules }
    }
}

fn read_rule(mut rule: Fields<'_>, problems: &mut Problems) -> Option<Use> {
    let mut glob = |key: &'static str, problems: &mut Problems| {
        let text = rule.text(key, problems)?;
        let glob = Glob::new(&text);
        glob.map_err(|error| rule.mistake(key, &format!("is not a glob: {}", error.msg), problems)).ok()
    };
    let (service, source, path) = (glob("service", problems), glob("source", problems), glob("path", problems));
    if rule.given("service").is_none() && rule.given("source").is_none() && rule.given("path").is_none() {
        rule.mistake("service", "is missing: a rule names a service, a source or a path", problems);
    }
    let parser = rule.require("parser", problems).and_then(|node| problems.text(node, &rule.name("parser")));
    let at = rule.place("parser");
    rule.finish(problems);
    Some(Use { service, source, path, parser: parser?, at })
}

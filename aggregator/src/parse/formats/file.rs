//! Parsers of one's own, and which sources have which parser: the section `parsers` of `logweir.yaml` and the files that
//! it names.
//!
//! A file holds `parsers`, a list of `name`, `pattern` (one or a list, the first that fits a line reads it) and
//! `tests`: a `line` with the `fields` that it must have, or `matches: false`. The tests run whenever the file is
//! read: a parser that does not do what its author says is a mistake of the file.

mod test;

use std::sync::Arc;

use logweir_proto::text;
use logweir_proto::yaml::{self, At, Fields, Problem, Problems};
use logweir_runtime::text_file;

use super::{Formats, PARSERS_MAX, PATTERNS_MAX, Rule};
use crate::config::parsers::{Settings, Use};

/// Longest name of a parser.
pub const NAME_BYTES_MAX: usize = 64;

/// The formats of this build with those of the files and the rules of the section, or every mistake in them.
pub fn load(settings: &Settings) -> Result<Arc<Formats>, Vec<Problem>> {
    if *settings == Settings::default() {
        return Ok(Formats::built_in());
    }
    let mut formats = (*Formats::built_in()).clone();
    let mut found = Vec::new();
    for path in &settings.files {
        let name = path.display().to_string();
        match text_file::read_file(path) {
            Ok(text) => found.extend(add_file(&name, &text, &mut formats)),
            Err(error) => found.push(problem(&name, None, format!("cannot be read: {error}"), None)),
        }
    }
    for rule in &settings.rules {
        let Some(choice) = formats.named(&rule.parser) else {
            let near = text::did_you_mean(&rule.parser, formats.all_names());
            let message = format!("there is no parser '{}'", rule.parser);
            found.push(problem(
                &settings.file,
                Some(rule.at),
                message,
                near.map(|near| format!("did you mean '{near}'?")),
            ));
            continue;
        };
        let Use { service, source, path, .. } = rule.clone();
        formats.use_for(Rule { service, source, path, choice });
    }
    if found.is_empty() { Ok(Arc::new(formats)) } else { Err(found) }
}

/// What is wrong with the text of a file of parsers.
pub fn check(name: &str, text: &str) -> Vec<Problem> {
    add_file(name, text, &mut (*Formats::built_in()).clone())
}

fn problem(file: &str, at: Option<At>, message: String, hint: Option<String>) -> Problem {
    Problem { file: file.into(), at, message, hint }
}

fn add_file(name: &str, text: &str, formats: &mut Formats) -> Vec<Problem> {
    let mut problems = Problems::new(name, text);
    let root = yaml::parse_or_empty(text, &mut problems);
    let fields = root.as_ref().and_then(|root| Fields::new(root, "a file of parsers", &mut problems));
    if let Some(mut fields) = fields {
        let mut tests = Vec::new();
        for parser in fields.sections("parsers", &mut problems) {
            if formats.list.len() - formats.detected >= PARSERS_MAX {
                problems.add_file(format!("there are more than {PARSERS_MAX} parsers"));
                break;
            }
            tests.extend(add_parser(parser, formats, &mut problems));
        }
        fields.finish(&mut problems);
        // After all of them: what is tested is the set that the server uses.
        let formats = Arc::new(formats.clone());
        for (name, list) in tests {
            for case in list {
                case.run(&name, &formats, &mut problems);
            }
        }
    }
    problems.into_sorted()
}

fn add_parser(
    mut parser: Fields<'_>,
    formats: &mut Formats,
    problems: &mut Problems,
) -> Option<(String, Vec<test::Case>)> {
    let name = parser.require("name", problems).and_then(|node| problems.text(node, &parser.name("name")));
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if let Some(name) = &name {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(fits) {
            let message = format!("must be letters, digits, '_' and '-', at most {NAME_BYTES_MAX} of them");
            parser.mistake("name", &message, problems);
        } else if formats.named(name).is_some() {
            parser.mistake("name", &format!("is taken: there is a parser '{name}' already"), problems);
        }
    }
    let key = parser.name("pattern");
    let nodes = parser.items("pattern", problems);
    if nodes.is_none() {
        parser.mistake("pattern", "is missing", problems);
    }
    let nodes = nodes.unwrap_or_default();
    if nodes.len() > PATTERNS_MAX {
        parser.mistake("pattern", &format!("has more than {PATTERNS_MAX} patterns"), problems);
    }
    let mut patterns = Vec::new();
    for node in nodes.iter().take(PATTERNS_MAX) {
        let Some(text) = problems.text(node, &key) else { continue };
        match formats.compile(&text) {
            Ok(pattern) => patterns.push(pattern),
            Err(mistake) => {
                let at = problems.inside(node.at, &text, mistake.at);
                problems.add(at, format!("pattern: {}", mistake.message));
            }
        }
    }
    let whole = patterns.len() == nodes.len() && !patterns.is_empty();
    let cases: Vec<test::Case> =
        parser.sections("tests", problems).into_iter().filter_map(|case| test::Case::read(case, problems)).collect();
    parser.finish(problems);
    let name = name.filter(|_| whole)?;
    formats.add(&name, patterns);
    Some((name, cases))
}

#[cfg(test)]
mod tests;

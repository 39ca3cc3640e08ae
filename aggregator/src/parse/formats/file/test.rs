//! The tests beside a parser: lines in, fields out.

use std::sync::Arc;

use logweir_proto::batch::{SourceInfo, SourceKind, Stream};
use logweir_proto::record::field;
use logweir_proto::yaml::{At, Fields, Node, Problems, Value as Yaml};

use crate::names::Names;
use crate::parse::formats::Formats;
use crate::parse::line::{Line, Offset, Spelling, Value};
use crate::parse::{Input, Parser, time};

/// When a line arrives whose test says nothing of a time: 2026-01-01T00:00:00Z.
const RECEIVED_NS: i64 = 1_767_225_600_000_000_000;

/// One test.
#[derive(Debug)]
pub(super) struct Case {
    line: String,
    at: At,
    matches: bool,
    wanted: Vec<(String, Yaml, At)>,
    received_ns: Option<i64>,
}

impl Case {
    pub(super) fn read(mut fields: Fields<'_>, problems: &mut Problems) -> Option<Case> {
        let line = fields.require("line", problems).and_then(|node| problems.text(node, &fields.name("line")));
        let at = fields.place("line");
        let matches = fields.boolean("matches", problems).unwrap_or(true);
        let received = fields.text("received", problems);
        let received_ns = received.as_ref().and_then(|text| Some(time::whole(text.as_bytes(), 0)?.0));
        if received.is_some() && received_ns.is_none() {
            fields.mistake("received", "must be a time, as 2026-11-20T09:10:02Z", problems);
        }
        let wanted = read_wanted(fields.given("fields"), &fields.name("fields"), problems);
        if !matches && !wanted.is_empty() {
            fields.mistake("fields", "cannot be given with matches: false", problems);
        }
        fields.finish(problems);
        Some(Case { line: line?, at, matches, wanted, received_ns })
    }

    /// Runs the test; what differs is a mistake of the file.
    pub(super) fn run(&self, parser_name: &str, formats: &Arc<Formats>, problems: &mut Problems) {
        let info = SourceInfo {
            id: "test".to_owned(),
            kind: SourceKind::File,
            path: String::new(),
            format: parser_name.to_owned(),
            labels: Default::default(),
        };
        let (mut names, mut line) = (Names::default(), Line::default());
        let mut parser = Parser::with_formats(&info, "", formats, &mut names);
        let text = self.line.as_bytes();
        let received_ns = self.received_ns.or_else(|| self.wanted_time()).unwrap_or(RECEIVED_NS);
        parser.parse(&mut names, Input { text, time_ns: None, stream: Stream::None, received_ns }, &mut line);
        let matched = parser.reading().lines_read > 0;
        match (matched, self.matches) {
            (false, true) => return problems.add(self.at, format!("no pattern of '{parser_name}' fits this line")),
            (true, false) => return problems.add(self.at, format!("'{parser_name}' must not fit this line, but does")),
            _ => {}
        }
        for (name, wanted, at) in &self.wanted {
            let found = value(name, text, &line, &mut names);
            if !is_equal(name, &found, wanted) {
                let found = found.map_or("nothing".to_owned(), |found| format!("'{found}'"));
                problems.add(*at, format!("'{name}' is {found}, not '{}'", shown(wanted)));
            }
        }
    }

    fn wanted_time(&self) -> Option<i64> {
        let (_, wanted, _) = self.wanted.iter().find(|(name, ..)| name == field::TIME)?;
        Some(time::whole(shown(wanted).as_bytes(), 0)?.0)
    }
}

fn read_wanted(node: Option<&Node>, what: &str, problems: &mut Problems) -> Vec<(String, Yaml, At)> {
    match node.map(|node| (&node.value, node.at)) {
        None => Vec::new(),
        Some((Yaml::Map(entries), _)) => {
            entries.iter().map(|entry| (entry.key.clone(), entry.node.value.clone(), entry.node.at)).collect()
        }
        Some((other, at)) => {
            problems.add(at, format!("{what} must be a mapping of names to values, not {}", other.kind()));
            Vec::new()
        }
    }
}

/// The value of a field as text; `None` where the line has no such field.
fn value(name: &str, raw: &[u8], line: &Line, names: &mut Names) -> Option<String> {
    match name {
        field::TIME => {
            let mut out = Vec::new();
            let spelling = Spelling::Rfc3339 { fraction: 9, offset: Offset::Zulu, separator: b'T' };
            time::format_time(line.time_ns?, spelling, &mut out);
            return Some(String::from_utf8_lossy(&out).into_owned());
        }
        field::LEVEL => return line.level.map(|level| level.to_string()),
        _ => {}
    }
    let id = names.intern(name)?;
    Some(match line.get(id).map(|field| field.value) {
        Some(Value::Int(value)) => value.to_string(),
        Some(Value::Float(value)) => value.to_string(),
        Some(Value::Bool(value)) => value.to_string(),
        Some(Value::Text(_)) | None => String::from_utf8_lossy(line.text_of(raw, id)?).into_owned(),
    })
}

fn is_equal(name: &str, found: &Option<String>, wanted: &Yaml) -> bool {
    let Some(found) = found else { return matches!(wanted, Yaml::Null) };
    let wanted = shown(wanted);
    let instant = |text: &str| time::whole(text.as_bytes(), 0).map(|(time_ns, _)| time_ns);
    let number = |text: &str| text.parse::<f64>().ok();
    *found == wanted
        || name == field::TIME && instant(found).is_some() && instant(found) == instant(&wanted)
        || number(found).is_some() && number(found) == number(&wanted)
}

fn shown(value: &Yaml) -> String {
    match value {
        Yaml::Null | Yaml::Unset => "nothing".to_owned(),
        Yaml::Bool(value) => value.to_string(),
        Yaml::Int(value) => value.to_string(),
        Yaml::Float(value) => value.to_string(),
        Yaml::Text(text) => text.clone(),
        Yaml::List(_) | Yaml::Map(_) => value.kind().to_owned(),
    }
}

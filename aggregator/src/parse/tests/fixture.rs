//! A parser with its names and line, and ways to look at what it made.

use std::collections::BTreeMap;

use super::super::*;

pub(in crate::parse) struct Fixture {
    pub(in crate::parse) names: Names,
    pub(in crate::parse) parser: Parser,
    line: Line,
}

/// 2026-11-20T12:00:00Z
pub(in crate::parse) const RECEIVED_NS: i64 = 1_795_176_000_000_000_000;

impl Fixture {
    pub(in crate::parse) fn new(kind: SourceKind) -> Fixture {
        Fixture::with(kind, "", &[])
    }

    pub(in crate::parse) fn with(kind: SourceKind, format: &str, labels: &[(&str, &str)]) -> Fixture {
        let labels: BTreeMap<String, String> =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let info = SourceInfo { id: "s".into(), kind, path: String::new(), format: format.into(), labels };
        let mut names = Names::default();
        let parser = Parser::new(&info, "", &mut names);
        Fixture { names, parser, line: Line::default() }
    }

    /// A file that is declared to have a format of this set.
    pub(in crate::parse) fn with_formats(format: &str, formats: Arc<formats::Formats>) -> Fixture {
        let labels = BTreeMap::new();
        let info =
            SourceInfo { id: "s".into(), kind: SourceKind::File, path: String::new(), format: format.into(), labels };
        let mut names = Names::default();
        let parser = Parser::with_formats(&info, "", &formats, &mut names);
        Fixture { names, parser, line: Line::default() }
    }

    pub(in crate::parse) fn parse(&mut self, text: &[u8]) -> &Line {
        self.parse_stream(text, Stream::None)
    }

    pub(in crate::parse) fn parse_stream(&mut self, text: &[u8], stream: Stream) -> &Line {
        let input = Input { text, time_ns: None, stream, received_ns: RECEIVED_NS };
        self.parser.parse(&mut self.names, input, &mut self.line);
        check_places(text, &self.line);
        &self.line
    }

    /// Time, level and fields, one a line; `source` is left out, `*` marks what does not print back as it stood.
    pub(in crate::parse) fn show(&mut self, text: impl AsRef<[u8]>) -> String {
        let raw = text.as_ref();
        self.parse(raw);
        let line = &self.line;
        let mut out = String::new();
        if let Some(time_ns) = line.time_ns {
            let mut text = Vec::new();
            let spelling = Spelling::Rfc3339 { fraction: 3, offset: line::Offset::Zulu, separator: b'T' };
            assert!(time::format_time(time_ns, spelling, &mut text));
            let mark = line.time_cut.map_or("", |cut| if prints_back(raw, line, None, cut) { " |" } else { " *" });
            out.push_str(&format!("time {}{mark}\n", String::from_utf8_lossy(&text)));
        }
        if let Some(level) = line.level {
            out.push_str(&format!("level {level}\n"));
        }
        for field in line.fields.iter().filter(|field| field.name != NameId::SOURCE) {
            let value = match field.value {
                Value::Int(value) => value.to_string(),
                Value::Float(value) => format!("{value:?}"),
                Value::Bool(value) => value.to_string(),
                Value::Text(text) => {
                    format!("{:?}", std::str::from_utf8(line.text(raw, text)).expect("fields are text"))
                }
            };
            let mark = match field.cut {
                None => "",
                Some(cut) if prints_back(raw, line, Some(field.value), cut) => " |",
                Some(_) => " *",
            };
            out.push_str(&format!("{} {value}{mark}\n", self.names.name(field.name)));
        }
        let constants = line.constants().into_iter().flat_map(|(constants, shown)| constants.iter(shown));
        for (name, value) in constants.filter(|(name, _)| *name != NameId::SOURCE) {
            out.push_str(&format!("{} {value:?}\n", self.names.name(name)));
        }
        out.truncate(out.trim_end().len());
        out
    }

    /// The text of a field of the last line.
    pub(in crate::parse) fn field(&mut self, raw: &[u8], name: &str) -> Option<String> {
        let id = self.names.intern(name)?;
        Some(match self.line.get(id).map(|field| field.value) {
            Some(Value::Int(value)) => value.to_string(),
            Some(Value::Float(value)) => value.to_string(),
            Some(Value::Bool(value)) => value.to_string(),
            Some(Value::Text(_)) | None => String::from_utf8_lossy(self.line.text_of(raw, id)?).into_owned(),
        })
    }

    /// Whether every cut of the last line prints as it stands there: then the store needs no raw line.
    pub(in crate::parse) fn prints_back(&self, raw: &[u8]) -> bool {
        let line = &self.line;
        line.time_cut.is_none_or(|cut| prints_back(raw, line, None, cut))
            && line
                .fields
                .iter()
                .all(|field| field.cut.is_none_or(|cut| prints_back(raw, line, Some(field.value), cut)))
    }
}

fn prints_back(raw: &[u8], line: &Line, value: Option<Value>, cut: Cut) -> bool {
    let mut out = Vec::new();
    match (value, cut.spelling) {
        (None, spelling) => {
            return time::format_time(line.time_ns.unwrap_or(0), spelling, &mut out) && out == at(raw, cut);
        }
        (Some(Value::Int(value)), _) => out = value.to_string().into_bytes(),
        (Some(Value::Bool(value)), _) => out = value.to_string().into_bytes(),
        (Some(Value::Float(value)), Spelling::Fixed { decimals }) => {
            out = format!("{value:.*}", usize::from(decimals)).into_bytes();
        }
        (Some(Value::Float(value)), Spelling::SecondsFixed { decimals }) => {
            out = format!("{:.*}", usize::from(decimals), value / 1e3).into_bytes();
        }
        (Some(Value::Float(value)), _) => out = value.to_string().into_bytes(),
        (Some(Value::Text(text)), Spelling::JsonString) => {
            let text = std::str::from_utf8(line.text(raw, text)).expect("fields are text");
            let quoted = serde_json::to_string(text).expect("strings serialise");
            out = quoted.as_bytes()[1..quoted.len() - 1].to_vec();
        }
        (Some(Value::Text(text)), _) => out.extend_from_slice(line.text(raw, text)),
    }
    out == at(raw, cut)
}

fn at(raw: &[u8], cut: Cut) -> &[u8] {
    &raw[cut.start as usize..cut.end as usize]
}

/// What the store relies on: cuts lie within the line and apart from each other, names occur once, texts are text.
pub(in crate::parse) fn check_places(raw: &[u8], line: &Line) {
    let mut cuts: Vec<Cut> = line.fields.iter().filter_map(|field| field.cut).chain(line.time_cut).collect();
    cuts.sort_by_key(|cut| (cut.start, cut.end));
    let mut end = 0;
    for cut in cuts {
        assert!(cut.start >= end && cut.start <= cut.end, "cuts overlap at {cut:?} in {}", raw.escape_ascii());
        end = cut.end;
    }
    assert!(end as usize <= raw.len());
    for (at, field) in line.fields.iter().enumerate() {
        assert!(line.fields[..at].iter().all(|other| other.name != field.name), "{:?} stands twice", field.name);
        if let Value::Text(text) = field.value {
            assert!(std::str::from_utf8(line.text(raw, text)).is_ok());
        }
    }
    assert!(line.get(NameId::MESSAGE).is_some(), "every line has a message");
}

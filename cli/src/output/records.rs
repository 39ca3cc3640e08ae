//! The formats of one record a line: `raw`, `json`, `logfmt`.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use logweir_proto::api::Row;
use logweir_proto::record::EventId;
use logweir_proto::text::visible;
use serde::Serialize;

use super::{Console, Printer, Shape, cell, json_line};

/// The line as it was written, byte for byte.
pub(super) struct Raw;

impl Printer for Raw {
    fn start(&mut self, _shape: &Shape, _console: &mut Console) -> io::Result<()> {
        Ok(())
    }

    fn row(&mut self, _id: Option<EventId>, row: &Row, console: &mut Console) -> io::Result<()> {
        let text = |name: &str| row.get(name).and_then(|raw| raw.as_str());
        // What is no UTF-8 comes as it is beside what can be shown of it.
        let bytes = text("raw_base64").and_then(|bytes| STANDARD.decode(bytes).ok());
        let raw = bytes.as_deref().or_else(|| text("raw").or_else(|| text("message")).map(str::as_bytes));
        let raw = raw.unwrap_or_default();
        console.out.write_all(raw)?;
        if raw.ends_with(b"\n") { Ok(()) } else { console.out.write_all(b"\n") }
    }

    fn finish(&mut self, _console: &mut Console) -> io::Result<()> {
        Ok(())
    }
}

/// One object a line, the id first.
pub(super) struct Json;

#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<EventId>,
    #[serde(flatten)]
    row: &'a Row,
}

impl Printer for Json {
    fn start(&mut self, _shape: &Shape, _console: &mut Console) -> io::Result<()> {
        Ok(())
    }

    fn row(&mut self, id: Option<EventId>, row: &Row, console: &mut Console) -> io::Result<()> {
        json_line(console, &Line { id, row })
    }

    fn finish(&mut self, _console: &mut Console) -> io::Result<()> {
        Ok(())
    }
}

/// `key=value`, quoted where a reader would stumble.
pub(super) struct Logfmt {
    fields: Vec<String>,
}

impl Logfmt {
    pub(super) fn new(fields: Vec<String>) -> Logfmt {
        Logfmt { fields }
    }
}

impl Printer for Logfmt {
    fn start(&mut self, _shape: &Shape, _console: &mut Console) -> io::Result<()> {
        Ok(())
    }

    fn row(&mut self, _id: Option<EventId>, row: &Row, console: &mut Console) -> io::Result<()> {
        let pairs: Vec<String> = if self.fields.is_empty() {
            row.iter().map(|(key, value)| pair(key, &cell(Some(value)))).collect()
        } else {
            self.fields.iter().filter_map(|key| row.get(key).map(|value| pair(key, &cell(Some(value))))).collect()
        };
        writeln!(console.out, "{}", pairs.join(" "))
    }

    fn finish(&mut self, _console: &mut Console) -> io::Result<()> {
        Ok(())
    }
}

fn pair(key: &str, value: &str) -> String {
    let key: String = key.chars().map(|c| if c.is_whitespace() || c == '=' || c == '"' { '_' } else { c }).collect();
    let bare = !value.is_empty() && value.chars().all(|c| c > ' ' && !c.is_control() && !"=\"\\".contains(c));
    if bare {
        return format!("{key}={value}");
    }
    let mut quoted = String::with_capacity(value.len() + 2);
    for c in value.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            // What `visible` would show as a sign is not left to act on a terminal either.
            c if c.is_control() || visible(c.encode_utf8(&mut [0; 4])).len() != c.len_utf8() => {
                quoted.push_str(&format!("\\u{:04x}", c as u32))
            }
            c => quoted.push(c),
        }
    }
    format!("{key}=\"{quoted}\"")
}

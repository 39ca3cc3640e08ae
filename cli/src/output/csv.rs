//! CSV (RFC 4180) with a header, safe to open in a spreadsheet.

use std::io::{self, Write};

use logweir_proto::api::Row;
use logweir_proto::record::EventId;
use serde_json::Value;

use super::{Console, Printer, Shape, cell, columns};

pub(super) struct Csv {
    asked: Vec<String>,
    columns: Vec<String>,
}

impl Csv {
    pub(super) fn new(asked: Vec<String>) -> Csv {
        Csv { asked, columns: Vec::new() }
    }
}

impl Printer for Csv {
    fn start(&mut self, shape: &Shape, console: &mut Console) -> io::Result<()> {
        self.columns = columns(&self.asked, shape);
        let header: Vec<String> = self.columns.iter().map(|name| quote(name)).collect();
        write!(console.out, "{}\r\n", header.join(","))
    }

    fn row(&mut self, _id: Option<EventId>, row: &Row, console: &mut Console) -> io::Result<()> {
        let cells: Vec<String> = self.columns.iter().map(|name| field(row.get(name))).collect();
        write!(console.out, "{}\r\n", cells.join(","))
    }

    fn finish(&mut self, _console: &mut Console) -> io::Result<()> {
        Ok(())
    }
}

/// Numbers stay exact and are never formulas; everything else may come from a log.
fn field(value: Option<&Value>) -> String {
    match value {
        Some(Value::Number(number)) => number.to_string(),
        other => quote(&cell(other)),
    }
}

/// A cell that begins like a formula gets an apostrophe, because spreadsheets run formulas out of log lines.
fn quote(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if guard.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        text.to_owned()
    } else {
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    }
}

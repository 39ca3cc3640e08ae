//! Aligned columns, as wide as what is in them.

use std::io;

use logweir_proto::api::Row;
use logweir_proto::record::EventId;
use logweir_proto::text::{escape_markup, visible};
use serde_json::Value;

use super::{Console, Ink, Printer, Shape, cell, columns, local_time};

/// Rows that are laid out together; a longer answer is printed in blocks with the widths of each.
const BLOCK_ROWS_MAX: usize = 10_000;
/// A column that is not the last is cut here.
const CELL_CHARS_MAX: usize = 60;

/// A block of text cells. Numbers stand to the right.
#[derive(Debug, Default)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    numeric: Vec<bool>,
}

impl Table {
    pub fn new(header: &[&str]) -> Table {
        let header: Vec<String> = header.iter().map(|name| visible(name)).collect();
        Table { numeric: vec![true; header.len()], header, rows: Vec::new() }
    }

    /// Adds a row of texts, which are made safe to show.
    pub fn push(&mut self, cells: &[&str]) {
        let cells = cells.iter().map(|text| visible(text.trim_end_matches('\n'))).collect();
        self.numeric.fill(false);
        self.rows.push(cells);
    }

    fn push_values(&mut self, cells: Vec<(String, bool)>) {
        for (column, (text, number)) in cells.iter().enumerate() {
            if let Some(numeric) = self.numeric.get_mut(column) {
                *numeric &= *number || text.is_empty();
            }
        }
        let last = cells.len().saturating_sub(1);
        let cut = |(column, (text, _)): (usize, (String, bool))| if column == last { text } else { shorten(&text) };
        self.rows.push(cells.into_iter().enumerate().map(cut).collect());
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// For people, or as Markdown for a comment.
    pub fn print_as(&self, as_markdown: bool, console: &mut Console) -> io::Result<()> {
        if !as_markdown {
            return self.print(console);
        }
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|text| escape_markup(text).replace('|', "\\|")).collect();
            format!("| {} |", cells.join(" | "))
        };
        // A table begins a paragraph of its own.
        console.line("")?;
        console.line(&line(&self.header))?;
        console.line(&format!("|{}", " --- |".repeat(self.header.len())))?;
        self.rows.iter().try_for_each(|row| console.line(&line(row)))?;
        console.line("")
    }

    pub fn print(&self, console: &mut Console) -> io::Result<()> {
        let mut widths: Vec<usize> = self.header.iter().map(|name| name.chars().count()).collect();
        for row in &self.rows {
            for (width, text) in widths.iter_mut().zip(row) {
                *width = (*width).max(text.chars().count());
            }
        }
        let header = self.line(&self.header, &widths);
        let header = console.style.paint(Ink::Bold, header.trim_end());
        console.line(&header)?;
        for row in &self.rows {
            let line = self.line(row, &widths);
            console.line(line.trim_end())?;
        }
        Ok(())
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (column, (text, width)) in cells.iter().zip(widths).enumerate() {
            let pad = " ".repeat(width.saturating_sub(text.chars().count()));
            let gap = if column == 0 { "" } else { "  " };
            let right = self.numeric.get(column).copied().unwrap_or(false);
            line.push_str(gap);
            line.push_str(if right { &pad } else { text });
            line.push_str(if right { text } else { &pad });
        }
        line
    }
}

/// The `table` format of a query's answer.
pub(super) struct Rows {
    asked: Vec<String>,
    columns: Vec<String>,
    block: Table,
}

impl Rows {
    pub(super) fn new(asked: Vec<String>) -> Rows {
        Rows { asked, columns: Vec::new(), block: Table::default() }
    }

    fn fresh(&self) -> Table {
        let names: Vec<&str> = self.columns.iter().map(String::as_str).collect();
        Table::new(&names)
    }
}

impl Printer for Rows {
    fn start(&mut self, shape: &Shape, _console: &mut Console) -> io::Result<()> {
        self.columns = columns(&self.asked, shape);
        self.block = self.fresh();
        Ok(())
    }

    fn row(&mut self, _id: Option<EventId>, row: &Row, console: &mut Console) -> io::Result<()> {
        let show = |name: &String| match row.get(name) {
            Some(Value::String(time)) if name == "time" => (visible(&local_time(time, &console.zone)), false),
            value => (visible(cell(value).trim_end_matches('\n')), value.is_some_and(Value::is_number)),
        };
        let cells = self.columns.iter().map(show).collect();
        self.block.push_values(cells);
        if self.block.rows.len() == BLOCK_ROWS_MAX {
            let fresh = self.fresh();
            std::mem::replace(&mut self.block, fresh).print(console)?;
        }
        Ok(())
    }

    fn finish(&mut self, console: &mut Console) -> io::Result<()> {
        if self.block.is_empty() { Ok(()) } else { self.block.print(console) }
    }
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= CELL_CHARS_MAX {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(CELL_CHARS_MAX - 1).collect();
    short.push('…');
    short
}

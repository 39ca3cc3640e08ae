//! Everything that is printed: the console with its two streams, and one printer a format.
//!
//! Log text is untrusted. `pretty` and `table` show control and bidirectional characters as visible signs; `raw` is
//! the one format that gives bytes to the terminal as they were written, and it has to be asked for.

mod console;
mod csv;
mod highlight;
mod pager;
mod pretty;
pub mod problem;
mod records;
mod table;
mod value;

use std::io::{self, Write};

use logweir_proto::api::Row;
use logweir_proto::csv::event_columns;
use logweir_proto::record::EventId;

pub use console::{Console, Ink, Style};
pub use pager::Pager;
pub use pretty::with_mark;
pub use table::Table;
pub use value::{cell, local_time};

use crate::args::OutputFormat;

/// What the rows of an answer are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// Names in the order to show; empty: as the rows come.
    pub columns: Vec<String>,
    /// Rows are events; otherwise a pipe made them.
    pub events: bool,
}

/// Prints the rows of one answer.
pub trait Printer: Send {
    fn start(&mut self, shape: &Shape, console: &mut Console) -> io::Result<()>;
    fn row(&mut self, id: Option<EventId>, row: &Row, console: &mut Console) -> io::Result<()>;
    fn finish(&mut self, console: &mut Console) -> io::Result<()>;
}

/// The printer of `format`. `fields` are the columns that were asked for, `query` tells what to highlight.
pub fn printer(format: OutputFormat, fields: &[String], query: &str) -> Box<dyn Printer> {
    let fields = fields.to_vec();
    match format {
        OutputFormat::Pretty => Box::new(pretty::Pretty::new(fields, query)),
        OutputFormat::Raw => Box::new(records::Raw),
        OutputFormat::Json => Box::new(records::Json),
        OutputFormat::Logfmt => Box::new(records::Logfmt::new(fields)),
        OutputFormat::Csv => Box::new(csv::Csv::new(fields)),
        OutputFormat::Table => Box::new(table::Rows::new(fields)),
    }
}

/// The columns to show: those asked for, else those of the answer, which for events may be the usual ones.
fn columns(asked: &[String], shape: &Shape) -> Vec<String> {
    if !asked.is_empty() {
        asked.to_vec()
    } else if shape.events {
        event_columns(&shape.columns)
    } else {
        shape.columns.clone()
    }
}

/// Prints one JSON object on a line of its own.
pub fn json_line(console: &mut Console, value: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut console.out, value).map_err(io::Error::from)?;
    console.out.write_all(b"\n")
}

#[cfg(test)]
pub(crate) mod tests;

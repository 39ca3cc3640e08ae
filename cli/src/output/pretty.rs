//! Events for people: `time LEVEL service message`, the stack trace below; a table when a pipe made the rows.

use std::io::{self, Write};

use logweir_proto::api::Row;
use logweir_proto::csv::{EVENT_COLUMNS, event_columns};
use logweir_proto::record::{EventId, field};
use logweir_proto::text::visible;

use super::highlight::Highlight;
use super::{Console, Ink, Printer, Shape, cell, local_time, table};

/// Lines of a stack trace that are shown; the rest is counted.
const STACK_LINES_MAX: usize = 12;
/// Services are aligned as long as their names are not longer than this.
const SERVICE_WIDTH_CHARS_MAX: usize = 16;

pub(super) struct Pretty {
    fields: Vec<String>,
    highlight: Highlight,
    service_width: usize,
    /// What pipes made of events that are shown as usual.
    made: Vec<String>,
    table: Option<table::Rows>,
    marked: Option<EventId>,
}

impl Pretty {
    pub(super) fn new(fields: Vec<String>, query: &str) -> Pretty {
        Pretty {
            fields,
            highlight: Highlight::of(query),
            service_width: 0,
            made: Vec::new(),
            table: None,
            marked: None,
        }
    }

    fn event(&mut self, row: &Row, with_stack: bool, console: &mut Console) -> io::Result<()> {
        let style = console.style;
        let shows = |name: &str| self.fields.is_empty() || row.contains_key(name);
        if shows(field::TIME) {
            let time = row.get(field::TIME).and_then(|time| time.as_str());
            let time = time.map(|time| visible(&local_time(time, &console.zone))).unwrap_or_default();
            write!(console.out, "{} ", style.paint(Ink::Dim, &time))?;
        }
        if shows(field::LEVEL) {
            let level = style.level(row.get(field::LEVEL).and_then(|level| level.as_str()));
            write!(console.out, "{level} ")?;
        }
        if self.fields.is_empty() {
            let service = one_line(&cell(row.get(field::SERVICE)));
            let width = service.chars().count();
            self.service_width = self.service_width.max(width.min(SERVICE_WIDTH_CHARS_MAX));
            let pad = " ".repeat(self.service_width.saturating_sub(width));
            let message = one_line(&cell(row.get(field::MESSAGE)));
            let message = self.highlight.paint(&message, style);
            write!(console.out, "{}{pad} {message}", style.paint(Ink::Cyan, &service))?;
            let outcome = outcome(row);
            if !outcome.is_empty() {
                write!(console.out, " {}", style.paint(Ink::Dim, &outcome))?;
            }
            for name in &self.made {
                let Some(value) = row.get(name) else { continue };
                let name = style.paint(Ink::Dim, &format!("{}=", visible(name)));
                write!(console.out, " {name}{}", one_line(&cell(Some(value))))?;
            }
            console.out.write_all(b"\n")?;
            // Around a marked event the order of things is what is looked for; one trace is enough.
            return if with_stack { stack(row, console) } else { Ok(()) };
        }
        let mut gap = "";
        for name in self.fields.iter().filter(|name| *name != field::TIME && *name != field::LEVEL) {
            let Some(value) = row.get(name) else { continue };
            let value = self.highlight.paint(&one_line(&cell(Some(value))), style);
            if name == field::MESSAGE || name == "raw" {
                write!(console.out, "{gap}{value}")?;
            } else {
                write!(console.out, "{gap}{}{value}", style.paint(Ink::Dim, &format!("{}=", visible(name))))?;
            }
            gap = " ";
        }
        console.out.write_all(b"\n")
    }
}

impl Printer for Pretty {
    fn start(&mut self, shape: &Shape, console: &mut Console) -> io::Result<()> {
        if shape.events {
            let columns = event_columns(&shape.columns);
            match columns.strip_prefix(&EVENT_COLUMNS.map(str::to_owned)[..]) {
                Some(made) => self.made = made.to_vec(),
                // A pipe chose them.
                None if self.fields.is_empty() => self.fields = columns,
                None => {}
            }
            return Ok(());
        }
        let mut rows = table::Rows::new(self.fields.clone());
        rows.start(shape, console)?;
        self.table = Some(rows);
        Ok(())
    }

    fn row(&mut self, id: Option<EventId>, row: &Row, console: &mut Console) -> io::Result<()> {
        if let Some(table) = &mut self.table {
            return table.row(id, row, console);
        }
        if self.marked.is_some() {
            let mark = if id == self.marked { console.style.paint(Ink::Yellow, "▶ ") } else { "  ".to_owned() };
            console.out.write_all(mark.as_bytes())?;
        }
        self.event(row, self.marked.is_none() || id == self.marked, console)
    }

    fn finish(&mut self, console: &mut Console) -> io::Result<()> {
        self.table.as_mut().map_or(Ok(()), |table| table.finish(console))
    }
}

/// A printer of events that marks one of them: the anchor of a context.
pub fn with_mark(fields: &[String], anchor: EventId) -> Box<dyn Printer> {
    let mut pretty = Pretty::new(fields.to_vec(), "");
    pretty.marked = Some(anchor);
    Box::new(pretty)
}

/// How a request ended: its line in an access log is known by that, and the message is only what was asked.
fn outcome(row: &Row) -> String {
    let text = |name: &str| row.get(name).map(|value| visible(&cell(Some(value))));
    let message = row.get(field::MESSAGE).and_then(|message| message.as_str()).unwrap_or_default();
    let is_request = row.get(field::METHOD).and_then(|method| method.as_str()).is_some_and(|method| {
        message.strip_prefix(method).is_some_and(|rest| rest.starts_with(' ') && rest.trim_start().starts_with('/'))
    });
    match text(field::STATUS) {
        Some(status) if is_request && !message.split(' ').any(|word| word == status) => {
            let took = text(field::DURATION_MS).map(|took| format!(" {took}ms")).unwrap_or_default();
            format!("{status}{took}")
        }
        _ => String::new(),
    }
}

fn stack(row: &Row, console: &mut Console) -> io::Result<()> {
    let Some(stack) = row.get(field::EXCEPTION_STACK).and_then(|stack| stack.as_str()) else { return Ok(()) };
    let style = console.style;
    let message = row.get(field::MESSAGE).and_then(|message| message.as_str()).unwrap_or_default();
    let mut lines = stack.lines().skip_while(|line| !line.is_empty() && *line == message);
    for line in lines.by_ref().take(STACK_LINES_MAX) {
        writeln!(console.out, "    {}", style.paint(Ink::Dim, &visible(line)))?;
    }
    match lines.count() {
        0 => Ok(()),
        more => writeln!(console.out, "    {}", style.paint(Ink::Dim, &format!("… {more} more lines"))),
    }
}

/// An event is one line: what would break it is shown as a sign.
pub(super) fn one_line(text: &str) -> String {
    visible(text.trim_end_matches(['\n', '\r']))
}

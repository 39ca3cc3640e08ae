//! CSV with a header, as [`logweir_proto::csv`] writes it.

use std::io::{self, Write};

use logweir_proto::api::Row;
use logweir_proto::csv;
use logweir_proto::record::EventId;

use super::{Console, Printer, Shape, columns};

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
        console.out.write_all(csv::header(&self.columns).as_bytes())
    }

    fn row(&mut self, _id: Option<EventId>, row: &Row, console: &mut Console) -> io::Result<()> {
        console.out.write_all(csv::line(&self.columns, row).as_bytes())
    }

    fn finish(&mut self, _console: &mut Console) -> io::Result<()> {
        Ok(())
    }
}

//! The live tail: one compiled matcher over every fresh block.

use arrow::array::UInt32Array;
use arrow::record_batch::RecordBatch;
use logweir_proto::api::Row;
use logweir_proto::query::ast::{self, PipeKind, Query};
use logweir_proto::record::EventId;

use super::Error;
use super::cell::canonical;
use super::filter::Filter;
use super::mask::Mask;
use super::rows::{self, Show};

/// A query of a tail.
#[derive(Debug, Clone)]
pub struct Matcher {
    filter: Filter,
    show: Show,
}

impl Matcher {
    /// Pipes that look at one row at a time work in a tail: `where` and `fields`. A range of time means nothing here.
    pub fn compile(query: &Query, fields: Option<&[String]>, now_ns: i64) -> Result<Matcher, Error> {
        let mut filters = vec![query.filter.clone()];
        let mut show = Show::All;
        for pipe in &query.pipes {
            match &pipe.kind {
                PipeKind::Where(filter) => filters.push(filter.clone()),
                PipeKind::Fields { fields, exclude } => {
                    let names: Vec<String> = fields.iter().map(|field| canonical(&field.name).to_owned()).collect();
                    show = show.then(&names, *exclude);
                }
                PipeKind::Stats { .. }
                | PipeKind::Timechart { .. }
                | PipeKind::Top { .. }
                | PipeKind::Sort(_)
                | PipeKind::Head(_)
                | PipeKind::Tail(_) => {
                    return Err(Error::Unsupported { what: "a pipe other than where and fields in a live tail" });
                }
            }
        }
        if let Some(fields) = fields {
            show = show.then(fields, false);
        }
        Ok(Matcher { filter: Filter::compile_simple(&ast::Filter::And(filters), now_ns)?, show })
    }

    /// The rows of a block that pass, rising.
    pub fn matches(&self, batch: &RecordBatch) -> Vec<u32> {
        let mask = self.filter.eval(batch, &Mask::all(batch.num_rows()));
        mask.rows().map(|row| row as u32).collect()
    }

    /// Whether the lines as they were written are wanted by [`Matcher::rows`].
    pub fn wants_raw(&self) -> bool {
        self.show.wants_raw()
    }

    /// Some rows of a block as they are shown; `raw` has a line for each of `picked`, when it is wanted.
    pub fn rows(&self, batch: &RecordBatch, picked: &[u32], raw: Option<&[Vec<u8>]>) -> Vec<(EventId, Row)> {
        let in_range = picked.iter().all(|row| (*row as usize) < batch.num_rows());
        let Some(taken) = in_range
            .then(|| arrow::compute::take_record_batch(batch, &UInt32Array::from(picked.to_vec())).ok())
            .flatten()
        else {
            return Vec::new();
        };
        let ids = rows::ids(&taken).unwrap_or_default();
        ids.into_iter().zip(rows::rows(&taken, &self.show, raw)).collect()
    }
}

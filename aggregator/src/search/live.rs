//! The live tail: one compiled matcher over every fresh block, or an aggregation in windows.

pub mod windows;

use arrow::array::UInt32Array;
use arrow::record_batch::RecordBatch;
use logweir_proto::api::{Order, Row};
use logweir_proto::query::ast::{self, PipeKind, Query};
use logweir_proto::record::EventId;

use super::Error;
use super::filter::{Context, Filter, Subquery};
use super::mask::Mask;
use super::plan::{First, Plan};
use super::rows::{self, Show};
use super::scan::TimeRange;
use super::steps::{self, Steps};

/// A query of a tail.
#[derive(Debug, Clone)]
pub struct Matcher {
    filter: Filter,
    steps: Steps,
    show: Show,
    columns: Vec<String>,
}

impl Matcher {
    /// Pipes that look at one row at a time work in a tail. A range of time means nothing here. The queries of `in(…)`
    /// run once, now.
    pub fn compile(
        query: &Query,
        fields: Option<&[String]>,
        now_ns: i64,
        subquery: &mut Subquery<'_>,
    ) -> Result<Matcher, Error> {
        let mut plan = Plan::new(query, TimeRange::ALL, Order::Desc);
        let is_rowwise = matches!(plan.first, First::Events { limit: None, .. }) && plan.rest.is_empty();
        if !is_rowwise {
            let rowwise =
                |kind: &PipeKind| steps::derives(kind) || matches!(kind, PipeKind::Where(_) | PipeKind::Fields { .. });
            let pipe = query.pipes.iter().find(|pipe| !rowwise(&pipe.kind)).map(ToString::to_string);
            let name = pipe.as_deref().and_then(|pipe| pipe.split(' ').next()).unwrap_or("a pipe");
            return Err(Error::InTail { pipe: name.to_owned() });
        }
        if let Some(fields) = fields {
            plan.show = plan.show.then(fields, false);
        }
        let mut context = Context { now_ns, subquery };
        let mut compile = |filter: &ast::Filter| Filter::compile(filter, &mut context);
        let steps = Steps::compile(&plan.steps, now_ns, &mut compile)?;
        Ok(Matcher { filter: compile(&plan.filter)?, steps, columns: plan.columns(), show: plan.show })
    }

    /// The columns to show: those that were chosen, or the usual ones and those that pipes make.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The rows of a block that pass, rising.
    pub fn matches(&self, batch: &RecordBatch) -> Vec<u32> {
        let mut mask = self.filter.eval(batch, &Mask::all(batch.num_rows()));
        if !self.steps.is_empty() && !mask.is_empty() {
            mask = self.steps.apply(batch.clone(), mask).1;
        }
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
        let all = Mask::all(taken.num_rows());
        let (taken, _) = self.steps.apply(taken, all);
        let ids = rows::ids(&taken).unwrap_or_default();
        ids.into_iter().zip(rows::rows(&taken, &self.show, raw)).collect()
    }
}

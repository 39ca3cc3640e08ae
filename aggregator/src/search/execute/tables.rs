//! Answers that must be whole before their first row is given: aggregations, sorted events, the last events, and
//! whatever stands behind a `head`.

use std::collections::HashMap;
use std::ops::ControlFlow;

use arrow::record_batch::RecordBatch;
use logweir_proto::api::{Order, Row, Warning};
use logweir_proto::query::ast::{self, PipeKind};
use logweir_proto::record::{EventId, field};

use super::newest::{Ended, Newest};
use super::related::CONTEXT_HITS_MAX;
use super::{Event, LIMIT_MAX, Outcome, RowRef, SHOWN_ROWS, Search, compile, dedup, materialise, sorted};
use crate::search::Error;
use crate::search::aggregate::Aggregator;
use crate::search::cell::Value;
use crate::search::counted::counted;
use crate::search::crew::{self, Look};
use crate::search::filter::Filter;
use crate::search::mask::Mask;
use crate::search::pipes::{self, Gather, Ground};
use crate::search::plan::{self, First};
use crate::search::rows::{Show, field_names};
use crate::search::scan::{BlockRef, Coverage, Reader, Scan, TimeRange};
use crate::search::table::Table;

impl<'r> Search<'r, '_, '_> {
    /// Events that must all be there before the first is given: sorted, the last ones, or with pipes behind a `head`.
    pub(super) fn collected(&mut self) -> Result<Outcome, Error> {
        let plan = self.plan;
        let order = match plan.first {
            First::Events { order, .. } | First::Dedup { order, .. } => order,
            First::EventsTail { order: Order::Desc, .. } => Order::Asc,
            _ => Order::Desc,
        };
        let mut scan = self.scan(order);
        let mut refs = Vec::new();
        let mut enough = false;
        let all = self.rows_wanted();
        match &plan.first {
            First::Sorted { keys, limit } => {
                let most = limit.map_or(all, |limit| limit.min(LIMIT_MAX));
                let (rows, cut) = sorted::first(&mut scan, keys, most);
                refs = rows;
                self.warn_cut(cut && limit.is_none_or(|limit| limit > most), most);
            }
            First::Events { limit, .. } => {
                let most = limit.map_or(all, |limit| limit.min(LIMIT_MAX));
                enough = collect(&mut scan, order, most, &mut refs);
                self.warn_cut(enough && limit.is_none_or(|limit| limit > most), most);
            }
            First::EventsTail { limit, .. } => {
                let most = (*limit).min(LIMIT_MAX);
                enough = collect(&mut scan, order, most, &mut refs);
                refs.reverse();
                self.warn_cut(enough && *limit > most, most);
            }
            First::Dedup { rows, fields, limit, .. } => {
                let most = limit.map_or(all, |limit| limit.min(LIMIT_MAX));
                let first = dedup::first(&mut scan, fields, *rows, order);
                refs = first.refs;
                self.warn_cut(refs.len() > most && limit.is_none_or(|limit| limit > most), most);
                self.warnings.extend(first.warning);
                refs.truncate(most);
            }
            First::Aggregate(_) => return Err(Error::Unsupported { what: "this pipe" }),
        }
        if plan.rest.is_empty() {
            refs.truncate(self.limit());
            let shown = materialise(&mut scan, &refs, &plan.show);
            let coverage = scan.finish(enough);
            return Ok(self.give(
                self.plan.columns(),
                true,
                shown.into_iter().map(|(id, row)| (Some(id), row)),
                coverage,
            ));
        }
        let mut table = self.table_of(&mut scan, &refs)?;
        let coverage = scan.finish(enough);
        let is_shaped = plan.rest.iter().any(plan::makes_rows);
        table = self.pipe(table, &plan.rest)?;
        // What stands around rows, or belongs to them, is shown with them.
        let widens = |pipe: &PipeKind| matches!(pipe, PipeKind::Context { .. } | PipeKind::Trace(_));
        if !is_shaped && table.rows.len() > self.limit() && !plan.rest.iter().any(widens) {
            table.rows.truncate(self.limit());
            self.warn_cut(true, self.limit());
        }
        if !is_shaped {
            table = match &plan.show {
                Show::All => table,
                Show::Only(names) => table.select(names, false),
                Show::Except(names) => table.select(names, true),
            };
        }
        Ok(self.give_table(table, !is_shaped, coverage))
    }

    /// Rows to take in when no `head` says: those of a page, unless pipes follow, which are of all rows.
    fn rows_wanted(&self) -> usize {
        match self.plan.rest.first() {
            None => self.limit(),
            Some(PipeKind::Context { .. }) => (CONTEXT_HITS_MAX + 1).min(LIMIT_MAX),
            Some(_) => LIMIT_MAX,
        }
    }

    /// Events as a table; it fails beyond the memory of a query.
    fn table_of(&self, scan: &mut Scan<'_>, refs: &[RowRef]) -> Result<Table, Error> {
        let (mut events, mut bytes) = (Vec::with_capacity(refs.len()), 0usize);
        for refs in refs.chunks(SHOWN_ROWS) {
            for (id, row) in materialise(scan, refs, &Show::All) {
                let fields: Vec<(String, Value)> = row
                    .into_iter()
                    .map(|(name, json)| {
                        bytes += size_of::<(String, Value)>() + name.len() + json.as_str().map_or(0, str::len);
                        let value =
                            if name == field::TIME { Value::Time(id.time_ns) } else { Value::of_json(&name, &json) };
                        (name, value)
                    })
                    .collect();
                events.push((id, fields));
            }
            if bytes > self.request.memory_bytes {
                return Err(Error::Limit {
                    what: "the memory of a query in bytes",
                    limit: self.request.memory_bytes as u64,
                });
            }
        }
        Ok(Table::of_events(events))
    }

    fn warn_cut(&mut self, cut: bool, rows: usize) {
        if cut {
            self.warnings.push(Warning::new("rows_truncated", format!("only the first {rows} rows were taken")));
        }
    }

    pub(super) fn aggregate(&mut self, pipe: &PipeKind) -> Result<Outcome, Error> {
        let plan = self.plan;
        if let Some(gather) = Gather::new(pipe, self.request.now_ns) {
            return self.gather(gather);
        }
        let range = self.known_range();
        let mut aggregator =
            Aggregator::new(pipe, range, self.request.memory_bytes, &mut |filter| self.compile(filter))?;
        let mut scan = self.scan(Order::Desc);
        let empty = aggregator.clone();
        let counts_only = empty.counts_only().filter(|_| self.steps.is_empty());
        let columns = empty.columns();
        let is_number = matches!(&counts_only, Some((by, None)) if by.is_empty());
        let look = |(aggregator, words): &mut (Aggregator, WordRows), reader: Reader<'_>, block: &BlockRef| {
            let mut events = || match reader.filter().word() {
                Some(word) => words.of(reader, block, word),
                None => reader.filter().is_all().then_some(block.stat.rows),
            };
            if is_number
                && reader.range().contains(&block.stat)
                && let Some(events) = events()
            {
                aggregator.add_events(u64::from(events));
                return Ok(Look::Known);
            }
            let counted = counts_only.as_ref().and_then(|(by, width)| {
                counted(reader.segment(block), block, reader.range(), reader.filter(), by, *width)
            });
            if let Some(counted) = counted {
                aggregator.add(&counted.batch, &counted.mask, &counted.weights)?;
                return Ok(Look::Known);
            }
            match reader.select(block, &columns) {
                Ok(Some((batch, mask))) => aggregator.add(&batch, &mask, &[])?,
                Ok(None) => {}
                Err(error) => return Ok(Look::Failed(error)),
            }
            Ok(Look::Read)
        };
        for (more, _) in crew::each_block(&mut scan, || (empty.clone(), WordRows::default()), &look)? {
            aggregator.merge(more)?;
        }
        let coverage = scan.finish(false);
        let (table, warnings) = aggregator.finish();
        self.warnings.extend(warnings);
        let table = self.pipe(table, &plan.rest)?;
        Ok(self.give_table(table, false, coverage))
    }

    fn gather(&mut self, mut gather: Gather) -> Result<Outcome, Error> {
        if let Some(before_ns) = gather.old_before_ns() {
            let old = self.scan_of(TimeRange { first_ns: i64::MIN, last_ns: before_ns - 1 }, Order::Desc);
            let coverage = each_gathered(&mut gather, old, |gather, batch, mask, _| gather.add_old(batch, mask));
            // Without all of the past nothing can be called new.
            if let Some(reason) = coverage.reason {
                return Err(Error::Partial { what: "what was there before", reason: reason.as_str() });
            }
        }
        let scan = self.scan(Order::Desc);
        let coverage = each_gathered(&mut gather, scan, Gather::add);
        let (table, warnings) = gather.finish();
        self.warnings.extend(warnings);
        let table = self.pipe(table, &self.plan.rest)?;
        Ok(self.give_table(table, false, coverage))
    }

    fn scan(&self, order: Order) -> Scan<'r> {
        self.scan_of(self.plan.range, order)
    }

    fn scan_of(&self, range: TimeRange, order: Order) -> Scan<'r> {
        Scan::new(self.segments, self.filter, range, order, self.request.patience()).with_steps(self.steps)
    }

    pub(super) fn known_range(&self) -> TimeRange {
        plan::known_range(self.plan.range, self.segments, self.request.now_ns)
    }

    fn compile(&self, filter: &ast::Filter) -> Result<Filter, Error> {
        compile(filter, self.plan.range, self.request, self.segments, self.depth)
    }

    fn pipe(&mut self, mut table: Table, pipes: &[PipeKind]) -> Result<Table, Error> {
        let mut warnings = Vec::new();
        let (range, bytes_max) = (self.known_range(), self.request.memory_bytes);
        // The rest is the end of the query, so a pipe knows those before it.
        let first = self.query.pipes.len().saturating_sub(pipes.len());
        for (place, pipe) in pipes.iter().enumerate() {
            table = match self.relate(&table, first + place, pipe)? {
                Some(related) => related,
                None => {
                    let mut compile = |filter: &ast::Filter| self.compile(filter);
                    let ground = Ground { range, bytes_max, now_ns: self.request.now_ns };
                    pipes::apply(table, pipe, ground, &mut compile, &mut warnings)?
                }
            };
        }
        self.warnings.extend(warnings);
        Ok(table)
    }

    fn give_table(&mut self, table: Table, events: bool, coverage: Coverage) -> Outcome {
        let is_picked = self.plan.rest.iter().any(|pipe| matches!(pipe, PipeKind::Fields { .. }));
        let columns = if events && !is_picked { self.plan.columns() } else { table.columns.clone() };
        self.give(columns, events, table.into_rows(), coverage)
    }

    /// Rows that are all there.
    fn give(
        &mut self,
        columns: Vec<String>,
        events: bool,
        rows: impl Iterator<Item = (Option<EventId>, Row)>,
        coverage: Coverage,
    ) -> Outcome {
        let mut given = 0;
        if self.meta(columns, events).is_continue() {
            for (id, mut row) in rows {
                if events {
                    row.retain(|_, value| !value.is_null());
                }
                if (self.sink)(Event::Row { id, row }).is_break() {
                    break;
                }
                given += 1;
            }
        }
        Outcome { warnings: std::mem::take(&mut self.warnings), ..Outcome::of(coverage, given, None) }
    }
}

/// In how many rows of the blocks of one segment a word stands.
#[derive(Default)]
struct WordRows(Option<(usize, Option<Vec<u32>>)>);

impl WordRows {
    /// `None` when the block must be read.
    fn of(&mut self, reader: Reader<'_>, block: &BlockRef, word: &str) -> Option<u32> {
        if self.0.as_ref().is_none_or(|(segment, _)| *segment != block.segment) {
            self.0 = Some((block.segment, reader.segment(block).word_rows(word)));
        }
        let (_, rows) = self.0.as_ref()?;
        rows.as_ref()?.get(block.block).copied().filter(|rows| *rows > 0)
    }
}

/// Adds the rows of all blocks of a walk, with the columns that are wanted of their segment.
fn each_gathered(
    gather: &mut Gather,
    mut scan: Scan<'_>,
    add: impl Fn(&mut Gather, &RecordBatch, &Mask, &[String]),
) -> Coverage {
    let mut wanted: HashMap<usize, Vec<String>> = HashMap::new();
    while let Some(block) = scan.next_block() {
        let of_segment = || gather.columns(scan.reader().segment(&block));
        let columns = wanted.entry(block.segment).or_insert_with(of_segment);
        if let Some((batch, mask)) = scan.select(&block, &columns.iter().map(String::as_str).collect()) {
            // What pipes have made is in no segment.
            let made =
                scan.steps().into_iter().flat_map(|_| field_names(&batch)).filter(|name| !columns.contains(name));
            let columns: Vec<String> = columns.iter().cloned().chain(made).collect();
            add(gather, &batch, &mask, &columns);
        }
    }
    scan.finish(false)
}

/// The first rows in order of time; says whether the walk ended because there were enough.
fn collect(scan: &mut Scan<'_>, order: Order, limit: usize, refs: &mut Vec<RowRef>) -> bool {
    let newest = Newest { order, limit, cursor: None };
    let ended = newest.run(scan, &mut |_, rows| {
        refs.extend_from_slice(rows);
        ControlFlow::Continue(())
    });
    matches!(ended, Ended::Enough { .. })
}

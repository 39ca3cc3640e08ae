//! The thread that writes exports, one after the other, page by page.
//!
//! It is apart from the pool of the queries: an export of a week never keeps a person waiting.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use logweir_proto::api::{ExportFormat, ExportState, MissingRange, Order, Row, Warning};
use logweir_proto::csv;
use logweir_proto::query::parse::parse;
use logweir_proto::record::EventId;
use logweir_runtime::clock::{self, Clock, Nanos};
use logweir_runtime::drain::Drain;

use super::job::Job;
use super::{Exports, Settings};
use crate::api::query::put_id;
use crate::config::QUERY_TIMEOUT_MAX;
use crate::search::execute::{self, Event, LIMIT_MAX, Outcome};
use crate::search::plan::{First, Plan};
use crate::search::rows::names;
use crate::search::scan::{Reason, TimeRange};
use crate::store::service::Store;

/// How often a worker without work looks for expired files and for the end of the server.
const PERIOD: Duration = Duration::from_millis(200);
/// A page that finds nothing this long is written as it is, so that progress is kept and shown.
const PAGE_TIME_MAX: Duration = Duration::from_secs(5);
/// Text of a page before it is compressed; a page has at least one row.
const PAGE_BYTES_MAX: usize = 16 << 20;
/// Pages in a row that may fail to advance before the export fails.
const STUCK_PAGES_MAX: u32 = 3;
/// An export stops when less of the disk is free: logs come first.
const DISK_FREE_BYTES_MIN: u64 = 1 << 30;
/// The level of the file's compression.
const ZSTD_LEVEL: i32 = 3;

pub(super) struct Worker {
    pub exports: Exports,
    pub store: Store,
    pub clock: Clock,
    pub drain: Drain,
    pub dir: PathBuf,
    pub settings: Settings,
}

/// A page of an export.
struct Page {
    bytes: Vec<u8>,
    columns: Option<Vec<String>>,
    /// The last row of the page.
    last: Option<EventId>,
    outcome: Outcome,
}

/// What follows a page.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// The next page begins behind this row.
    Page(EventId),
    /// The range is through.
    Done,
    /// The page has to be asked for again.
    Again,
    /// The export was deleted, or the server ends.
    Stop,
}

impl Worker {
    pub(super) fn run(self) {
        while !self.drain.is_cancelled() {
            self.exports.expire(self.clock.now_ns());
            match self.exports.begin() {
                Some((job, cancel)) => {
                    self.work(job, &cancel);
                    self.exports.finished();
                }
                None => {
                    if self.exports.wait(PERIOD) {
                        return;
                    }
                }
            }
        }
    }

    fn work(&self, mut job: Job, cancel: &AtomicBool) {
        let mut stuck = 0;
        loop {
            match self.page(&mut job, cancel) {
                Ok(Step::Page(next)) => {
                    // A page that was not whole says where it ended: the same place again is no progress.
                    stuck = if job.cursor == Some(next) { stuck + 1 } else { 0 };
                    job.cursor = Some(next);
                    job.shown.covered_to = clock::rfc3339(next.time_ns.max(job.from_ns));
                }
                Ok(Step::Again) => stuck += 1,
                Ok(Step::Done) => {
                    job.shown.covered_to.clone_from(&job.shown.to);
                    job.shown.complete = job.shown.missing.is_empty() && !is_cut(&job.shown.warnings);
                    return self.end(job, ExportState::Done);
                }
                Ok(Step::Stop) => return,
                Err(reason) => {
                    job.shown.error = Some(reason);
                    return self.end(job, ExportState::Failed);
                }
            }
            if stuck > STUCK_PAGES_MAX {
                job.shown.error = Some("the search does not come further within its time: narrow the query".to_owned());
                return self.end(job, ExportState::Failed);
            }
            if self.drain.is_cancelled() || !self.keep(&mut job) {
                return;
            }
        }
    }

    /// Searches for one page and writes it.
    fn page(&self, job: &mut Job, cancel: &AtomicBool) -> Result<Step, String> {
        let page = self.search(job, cancel)?;
        let step = step(&page.outcome, page.last);
        if step == Step::Stop {
            return Ok(step);
        }
        let room = self.exports.room();
        if page.bytes.len() as u64 > room {
            let max = self.settings.bytes_max;
            return Err(format!("limits.export_bytes ({max}) is reached: delete an export, or narrow the query"));
        }
        if self.exports.disk_free() < DISK_FREE_BYTES_MIN + page.bytes.len() as u64 {
            return Err("the disk of data_dir is nearly full".to_owned());
        }
        if !page.bytes.is_empty() {
            job.append(&self.dir, &page.bytes).map_err(|error| format!("cannot write the file: {error}"))?;
        }
        job.shown.bytes += page.bytes.len() as u64;
        job.shown.rows += page.outcome.rows as u64;
        job.columns = page.columns;
        job.add_missing(unreadable(&page.outcome, &step));
        job.add_warnings(page.outcome.warnings);
        Ok(step)
    }

    fn search(&self, job: &Job, cancel: &AtomicBool) -> Result<Page, String> {
        let query = parse(&job.shown.query).map_err(|_| "the query cannot be read any more".to_owned())?;
        let plan = Plan::new(&query, TimeRange::ALL, Order::Asc);
        // Only rows that leave in order of time have a place to go on from.
        let paged = plan.rest.is_empty() && matches!(plan.first, First::Events { limit: None, .. });
        let request = execute::Request {
            from_ns: Some(job.from_ns),
            to_ns: Some(job.to_ns),
            limit: LIMIT_MAX,
            order: Order::Asc,
            cursor: job.cursor,
            fields: job.shown.fields.as_deref().map(names),
            now_ns: job.now_ns,
            deadline: Instant::now() + if paged { PAGE_TIME_MAX } else { QUERY_TIMEOUT_MAX },
            memory_bytes: self.settings.memory_bytes,
            cancel,
        };
        let mut writer = PageWriter::new(job, paged).map_err(|error| error.to_string())?;
        let view = self.store.view();
        let outcome = execute::run(&query, &request, &view.segments, &mut |event| writer.take(event));
        let outcome = outcome.map_err(|error| error.to_string())?;
        if !paged && outcome.reason.is_some_and(|reason| reason != Reason::Unreadable && reason != Reason::Cancelled) {
            return Err(format!("pipes that need all rows have {QUERY_TIMEOUT_MAX:?}, and that was not enough"));
        }
        writer.finish(outcome).map_err(|error| format!("cannot compress: {error}"))
    }

    /// Writes down how far it is; `false` when it was deleted.
    fn keep(&self, job: &mut Job) -> bool {
        match job.save(&self.dir) {
            Ok(()) => {}
            Err(error) => tracing::error!(id = job.shown.id, error = %error, "cannot write the state of an export"),
        }
        let known = self.exports.update(job);
        if !known {
            job.remove(&self.dir);
        }
        known
    }

    fn end(&self, mut job: Job, state: ExportState) {
        let now_ns = self.clock.now_ns();
        job.shown.state = state;
        job.ended_ns = Some(now_ns);
        job.shown.ended = Some(clock::rfc3339(now_ns));
        job.shown.expires = Some(clock::rfc3339(self.settings.expires_ns(now_ns)));
        if state == ExportState::Failed {
            job.remove_data(&self.dir);
            job.shown.bytes = 0;
        } else if job.shown.bytes == 0 {
            // Nothing was found: an empty file is what `zstd` makes of it too.
            if let Err(error) = empty_frame().and_then(|bytes| {
                job.append(&self.dir, &bytes)?;
                job.shown.bytes = bytes.len() as u64;
                Ok(())
            }) {
                tracing::error!(id = job.shown.id, error = %error, "cannot write an export");
            }
        }
        tracing::info!(
            target: "logweir::queries", id = job.shown.id, who = job.who, query = job.shown.query,
            rows = job.shown.rows, bytes = job.shown.bytes, error = job.shown.error, "export"
        );
        self.keep(&mut job);
    }
}

/// Decides what follows a page whose last row this was.
fn step(outcome: &Outcome, last: Option<EventId>) -> Step {
    match (outcome.reason, outcome.cursor) {
        (Some(Reason::Cancelled), _) => Step::Stop,
        (_, Some(next)) => Step::Page(last.map_or(next, |last| next.max(last))),
        (None | Some(Reason::Unreadable), None) => Step::Done,
        (Some(Reason::Timeout | Reason::SlowReader), None) => Step::Again,
    }
}

/// The parts of time that no later page will have.
fn unreadable(outcome: &Outcome, step: &Step) -> Vec<MissingRange> {
    let mut missing = outcome.missing.clone();
    match (outcome.reason, step) {
        (Some(Reason::Unreadable), _) => {}
        // The next page goes on at this place: what is missing before it could not be read.
        (Some(_), Step::Page(next)) => {
            let next = clock::rfc3339(next.time_ns);
            missing.retain(|part| part.from < next);
        }
        _ => missing.clear(),
    }
    missing
}

fn is_cut(warnings: &[Warning]) -> bool {
    warnings.iter().any(|warning| warning.warn.ends_with("_truncated"))
}

fn empty_frame() -> io::Result<Vec<u8>> {
    zstd::stream::Encoder::new(Vec::new(), ZSTD_LEVEL)?.finish()
}

/// Rows of a page as text, compressed as they come.
struct PageWriter {
    encoder: zstd::stream::Encoder<'static, Vec<u8>>,
    format: ExportFormat,
    asked: Option<Vec<String>>,
    columns: Option<Vec<String>>,
    /// Whether the page may end at [`PAGE_BYTES_MAX`].
    paged: bool,
    bytes: usize,
    last: Option<EventId>,
    failed: Option<io::Error>,
}

impl PageWriter {
    fn new(job: &Job, paged: bool) -> io::Result<PageWriter> {
        Ok(PageWriter {
            encoder: zstd::stream::Encoder::new(Vec::new(), ZSTD_LEVEL)?,
            format: job.shown.format,
            asked: job.shown.fields.as_deref().map(names),
            columns: job.columns.clone(),
            paged,
            bytes: 0,
            last: None,
            failed: None,
        })
    }

    fn take(&mut self, event: Event) -> ControlFlow<()> {
        let text = match event {
            Event::Meta { columns, events, .. } => self.head(columns, events),
            Event::Row { .. } if self.paged && self.bytes >= PAGE_BYTES_MAX => return ControlFlow::Break(()),
            Event::Row { id, row } => {
                self.last = id.or(self.last);
                self.line(id, row)
            }
            Event::Progress { .. } => return ControlFlow::Continue(()),
        };
        self.bytes += text.len();
        match self.encoder.write_all(text.as_bytes()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failed = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    /// The first line of the first page of a CSV file.
    fn head(&mut self, columns: Vec<String>, events: bool) -> String {
        if self.format == ExportFormat::Ndjson || self.columns.is_some() {
            return String::new();
        }
        let columns = match &self.asked {
            Some(asked) => asked.clone(),
            None if events => csv::event_columns(&columns),
            None => columns,
        };
        let head = csv::header(&columns);
        self.columns = Some(columns);
        head
    }

    fn line(&self, id: Option<EventId>, mut row: Row) -> String {
        if let Some(columns) = &self.columns {
            return csv::line(columns, &row);
        }
        if let Some(id) = id {
            put_id(&mut row, id);
        }
        let mut text = serde_json::to_string(&row).unwrap_or_default();
        text.push('\n');
        text
    }

    fn finish(self, outcome: Outcome) -> io::Result<Page> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let bytes = if self.bytes == 0 { Vec::new() } else { self.encoder.finish()? };
        Ok(Page { bytes, columns: self.columns, last: self.last, outcome })
    }
}

/// When an export that ended at this time is deleted.
impl Settings {
    pub(super) fn expires_ns(&self, ended_ns: Nanos) -> Nanos {
        ended_ns.saturating_add(i64::try_from(self.keep.as_nanos()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_page() {
        let at = |seq| EventId { time_ns: 5, seq };
        let of = |reason, cursor| Outcome { reason, cursor, ..Outcome::default() };
        for (outcome, last, want) in [
            (of(None, None), Some(at(1)), Step::Done),
            (of(None, Some(at(2))), Some(at(2)), Step::Page(at(2))),
            (of(Some(Reason::Timeout), Some(at(2))), None, Step::Page(at(2))),
            // A row that left is never written twice.
            (of(Some(Reason::Timeout), Some(at(1))), Some(at(3)), Step::Page(at(3))),
            (of(Some(Reason::Timeout), None), None, Step::Again),
            (of(Some(Reason::Unreadable), None), None, Step::Done),
            (of(Some(Reason::Cancelled), Some(at(2))), None, Step::Stop),
        ] {
            assert_eq!(step(&outcome, last), want, "{outcome:?}");
        }
    }
}

//! Wires the stages, sink first: store ← index ← WAL writer ← door. The only place that sees them all.

pub mod classes;
pub mod fsck;
pub mod index;
#[cfg(test)]
mod walk;
mod watch;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use logweir_runtime::clock::Clock;
use logweir_runtime::drain::Drain;
use logweir_runtime::durable::{self, DirLock};
use logweir_runtime::loopback::is_loopback;
use logweir_runtime::pool::Pool;

use self::index::Indexer;
use crate::api::exports::{self, Exports};
use crate::api::queries::{Queries, QueryLimits};
use crate::api::{App, Probe};
use crate::auth::{Auth, TokenFile};
use crate::config::Config;
use crate::error::Error;
use crate::live::Live;
use crate::parse::formats::file;
use crate::ranges::SourceRanges;
use crate::receive::admission::{Admission, DiskLimits, Ticket};
use crate::receive::dedup;
use crate::receive::sources::Sources;
use crate::receive::writer::{self, Durable};
use crate::receive::{Received, record};
use crate::store::service::{Recovered, Store, StoreConfig};
use crate::store::split::columns;
use crate::wal::Wal;
use crate::wal::local::LocalWal;
use logweir_runtime::threads::Threads;

/// Durable batches that wait for the parser; the memory behind them is bounded by admission.
const INDEX_QUEUE_MAX: usize = 64;

/// A running aggregator without its HTTP server.
pub struct Pipeline {
    app: App,
    _lock: DirLock,
}

impl Pipeline {
    /// Opens the data directory, brings back what the log holds, and starts the stages. Blocks while it replays.
    pub fn build(
        config: &Config,
        probes: Vec<(&'static str, Probe)>,
        clock: Clock,
        drain: Drain,
    ) -> Result<Pipeline, Error> {
        let formats = file::load(&config.parsers).map_err(|problems| {
            Error::Parsers(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        })?;
        let dir = &config.data_dir;
        durable::create_private_dir(dir).map_err(|source| Error::DataDir { path: dir.clone(), source })?;
        let lock = DirLock::acquire(dir).map_err(|source| Error::DataDir { path: dir.clone(), source })?;
        let lock = lock.ok_or_else(|| Error::InUse(dir.clone()))?;
        let loopback = is_loopback(config.listen.ip());
        let auth = Auth::new(TokenFile::new(dir), loopback)?;
        if !loopback && !auth.has_tokens() {
            return Err(Error::NoToken { listen: config.listen, data_dir: dir.display().to_string() });
        }

        let (store, recovered) = Store::open_local(&dir.join("store"), store_config(config)?, clock.clone())?;
        let live = Live::default();
        let sources = Sources::default();
        let mut indexer = Indexer::new(store.clone(), live.clone()).with_formats(formats, sources.clone());
        let (wal, ranges) = replay(dir, recovered, &mut indexer)?;

        let (durables, queue) = mpsc::sync_channel(INDEX_QUEUE_MAX);
        let ranges = Arc::new(Mutex::new(ranges));
        let (writer, wal_thread) =
            writer::start(Box::new(wal), Arc::clone(&ranges), durables).map_err(Error::Thread)?;
        let index_thread = spawn("index", move || indexer.run(&queue))?;
        let disk_limits =
            DiskLimits { warn_percent: config.limits.disk_warn_percent, full_percent: config.limits.disk_full_percent };
        let admission = Admission::with_disk_limits(config.limits.ingest_bytes_per_s, disk_limits);
        let watcher = watch::Watcher {
            store: store.clone(),
            writer: writer.clone(),
            admission: admission.clone(),
            clock: clock.clone(),
            dir: dir.clone(),
            drain: drain.clone(),
        };
        let watch_thread = spawn("store", move || watcher.run())?;
        let (exports, export_thread) = start_exports(config, &store, &clock, &drain)?;
        let threads =
            vec![("wal", wal_thread), ("index", index_thread), ("store", watch_thread), ("export", export_thread)];
        let app = App {
            auth,
            clock,
            admission,
            writer,
            sources,
            ranges,
            store,
            live,
            queries: Queries::new(QueryLimits {
                running: config.limits.queries_running,
                waiting: config.limits.queries_waiting,
            }),
            exports,
            ingest_pool: Pool::new("ingest", NonZeroUsize::MIN).map_err(Error::Thread)?,
            query_pool: Pool::per_core("query").map_err(Error::Thread)?,
            rules_pool: Pool::new("rules", NonZeroUsize::MIN).map_err(Error::Thread)?,
            query_timeout: config.limits.query_timeout,
            stages: Threads::new(threads),
            query_memory_bytes: config.limits.query_memory_bytes,
            probes: Arc::new(probes),
            drain,
        };
        Ok(Pipeline { app, _lock: lock })
    }

    pub fn app(&self) -> App {
        self.app.clone()
    }

    /// Ends the stages in the order of the data. Call it when the HTTP server has ended and every [`App`] is dropped:
    /// the writer ends with its last handle. What is in the head stays in the log. Blocks.
    pub fn shutdown(self) {
        let Pipeline { app, _lock } = self;
        app.drain.cancel();
        app.exports.stop();
        let stages = app.stages.clone();
        drop(app);
        stages.join();
    }
}

fn start_exports(
    config: &Config,
    store: &Store,
    clock: &Clock,
    drain: &Drain,
) -> Result<(Exports, JoinHandle<()>), Error> {
    let settings = exports::Settings {
        bytes_max: config.limits.export_bytes,
        keep: config.limits.export_keep,
        memory_bytes: config.limits.query_memory_bytes,
    };
    let dir = config.data_dir.join("exports");
    Exports::start(&dir, settings, store.clone(), clock.clone(), drain.clone())
        .map_err(|source| Error::DataDir { path: dir, source })
}

fn store_config(config: &Config) -> Result<StoreConfig, Error> {
    Ok(StoreConfig {
        seal_bytes: config.limits.seal_bytes,
        seal_age: config.limits.seal_age,
        compaction_bytes_per_s: config.limits.compaction_bytes_per_s,
        column_cache_bytes: config.limits.column_cache_bytes.unwrap_or_else(columns::bytes_for_machine),
        retention_days: config.retention.days,
        retention_bytes: config.retention.bytes,
        classes: classes::classes(config)?,
    })
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(Error::Thread)
}

/// Opens the log and indexes what no split covers, with the decisions that were made when it came.
fn replay(dir: &Path, recovered: Recovered, indexer: &mut Indexer) -> Result<(LocalWal, SourceRanges), Error> {
    let Recovered { wal_upto, mut ranges } = recovered;
    let (wal, damage) = LocalWal::open(&dir.join("wal"), wal_upto)?;
    for place in damage {
        tracing::error!(path = place.path, offset = place.offset, reason = place.reason, "acknowledged lines are lost");
        metrics::counter!("logweir_wal_damaged_total").increment(1);
    }
    let mut records = 0u64;
    let mut expected = wal_upto;
    let room = Admission::new(u64::MAX);
    wal.replay(wal_upto, &mut |number, payload| {
        if number != expected {
            report_hole(expected, number);
        }
        expected = number + 1;
        let ticket = room.enter(0);
        match ticket.ok().and_then(|ticket| durable(number, payload, &mut ranges, ticket)) {
            Some(durable) => {
                indexer.index(durable);
                indexer.publish();
                records += 1;
            }
            None => tracing::error!(record = number, "a record of the log cannot be read"),
        }
    })?;
    if records > 0 {
        tracing::info!(records, "replayed the log");
    }
    Ok((wal, ranges))
}

/// Records between what the splits cover and what the log holds: a segment is missing, or was damaged.
fn report_hole(from: u64, to: u64) {
    tracing::error!(from, to, "records of the log are missing: acknowledged lines are lost");
    metrics::counter!("logweir_wal_missing_records_total").increment(to.saturating_sub(from));
}

fn durable(number: u64, payload: &[u8], ranges: &mut SourceRanges, ticket: Ticket) -> Option<Durable> {
    let (tenant, received_ns, bytes) = record::decode(payload)?;
    let Received { tenant, received_ns, mut header, body, spans, ticket, .. } =
        Received::decode(tenant, received_ns, bytes, ticket).ok()?;
    let plans = dedup::apply(ranges, &mut header, received_ns);
    Some(Durable { record: number, received_ns, tenant, header, body, spans, plans, ticket: Some(ticket) })
}

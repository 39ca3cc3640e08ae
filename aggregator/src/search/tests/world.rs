//! A store with everything around it, and what must be found in it: the lines themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, UInt64Type};
use logweir_proto::api::Order;
use logweir_proto::batch::{SourceInfo, SourceKind, Stream};
use logweir_proto::query::ast::{PipeKind, Query};
use logweir_proto::query::parse::parse;
use logweir_proto::record::{EventId, seq_of};
use logweir_runtime::clock::Clock;
use object_store::memory::InMemory;
use serde_json::Value as Json;

use super::naive::{self, Fields, Val};
use crate::config::Config;
use crate::names::Names;
use crate::parse::line::Line;
use crate::parse::{Input, Parser};
use crate::pipeline::classes::classes;
use crate::ranges::{SourceKey, SourceRanges};
use crate::search::execute::Request;
use crate::search::testing::{NOW_NS, ask, request};
use crate::store::block::{Block, BlockBuilder};
use crate::store::commit::MemoryCommits;
use crate::store::objects::Objects;
use crate::store::segment::{BLOCK_ROWS_MAX, Projection};
use crate::store::service::{Store, StoreConfig};

pub(super) const DAY_NS: i64 = 24 * 3600 * 1_000_000_000;

/// Longer than compaction and retention pause.
pub(super) const ROUND_NS: i64 = 61 * 1_000_000_000;

/// Rows of a page where a query makes more of them than a page shows.
const PAGE_ROWS_ALL: usize = 10_000;

pub(super) struct World {
    runtime: tokio::runtime::Runtime,
    objects: Arc<InMemory>,
    commits: MemoryCommits,
    pub(super) clock: Clock,
    config: StoreConfig,
    wal: Vec<Vec<(EventId, String)>>,
    /// The lines that have to be found.
    pub(super) lines: BTreeMap<EventId, String>,
    /// The same as the naive reader reads them.
    rows: BTreeMap<EventId, naive::Row>,
}

impl World {
    pub(super) fn new(retention: &str) -> World {
        World {
            runtime: tokio::runtime::Builder::new_current_thread().build().expect("a runtime"),
            objects: Arc::new(InMemory::new()),
            commits: MemoryCommits::default(),
            clock: Clock::manual(NOW_NS),
            config: config(retention),
            wal: Vec::new(),
            lines: BTreeMap::new(),
            rows: BTreeMap::new(),
        }
    }

    pub(super) fn objects(&self) -> Objects {
        Objects::new(Arc::clone(&self.objects) as _, self.runtime.handle().clone())
    }

    /// Opens the store and replays the WAL from where it says.
    pub(super) fn open(&self) -> Store {
        let commits = Box::new(self.commits.clone());
        let (store, recovered) =
            Store::open(self.config.clone(), self.objects(), commits, self.clock.clone()).expect("a store");
        for record in recovered.wal_upto as usize - 1..self.wal.len() {
            append(&store, record, &self.wal[record]);
        }
        store
    }

    /// Lines, each so many milliseconds old.
    pub(super) fn write(&mut self, store: &Store, lines: Vec<(i64, String)>) {
        let record = self.wal.len();
        let now_ns = self.clock.now_ns();
        let rows = lines.into_iter().enumerate().map(|(i, (ago_ms, line))| {
            let seq = seq_of(record as u64 + 1, i as u32);
            (EventId { time_ns: now_ns - ago_ms * 1_000_000, seq }, line)
        });
        let rows: Vec<(EventId, String)> = rows.collect();
        append(store, record, &rows);
        self.lines.extend(rows.iter().cloned());
        let row = |(id, line): &(EventId, String)| (*id, naive::Row { id: Some(*id), fields: fields_of(*id, line) });
        self.rows.extend(rows.iter().map(row));
        self.wal.push(rows);
    }

    /// Takes what retention removed out of the model; each of it has to be old enough.
    pub(super) fn retire(&mut self, store: &Store) {
        let live: BTreeSet<EventId> = ids(store).into_iter().collect();
        let now = self.clock.now_ns();
        self.lines.retain(|id, line| {
            let quiet = ["\"trace\"", "\"debug\""].iter().any(|level| line.contains(level));
            let days = if quiet { 1 } else { self.config.retention_days as i64 };
            let stays = live.contains(id);
            assert!(stays || id.time_ns < now - days * DAY_NS, "{id:?} went too early");
            stays
        });
        self.rows.retain(|id, _| live.contains(id));
        assert_eq!(live.len(), self.lines.len(), "nothing is there that was never written");
    }

    /// The lines as the naive reader reads them.
    pub(super) fn events(&self) -> Vec<naive::Row> {
        self.rows.values().cloned().collect()
    }

    /// Asks the store and the naive reader; both have to say the same.
    pub(super) fn judge(&self, store: &Store, events: &[naive::Row], asked: &Asked) -> Result<(), String> {
        let Asked { text, order, limit, from_ns, to_ns } = asked;
        let query = parse(text).map_err(|errors| format!("{text}: {errors:?}"))?;
        let now_ns = self.clock.now_ns();
        let (from_ns, to_ns) = (from_ns.map_or(i64::MIN, |ago| now_ns - ago), to_ns.map(|ago| now_ns - ago));
        let world = naive::World { events, from_ns, to_ns, now_ns, order: *order };
        let want = naive::run(&query, world);
        let base = Request { from_ns: Some(from_ns), to_ns, now_ns, order: *order, ..request(PAGE_ROWS_ALL) };
        if query.pipes.is_empty() {
            return self.judge_pages(store, &query, &Request { limit: *limit, ..base }, &want);
        }
        let answer = ask(&query, &base, &store.view().segments);
        assert!(answer.outcome.is_complete(), "{text}: {:?}", answer.outcome);
        let shaped = Shaped::of(&query);
        let got: Vec<_> = answer.rows.into_iter().map(|(id, row)| (id, there(row))).collect();
        let want: Vec<_> = want.into_iter().map(|row| (row.id, there(json_of(row.fields)))).collect();
        let rows = got
            .iter()
            .map(Some)
            .chain(std::iter::repeat(None))
            .zip(want.iter().map(Some).chain(std::iter::repeat(None)));
        for (got, want) in rows.take(got.len().max(want.len())) {
            if !got.zip(want).is_some_and(|(got, want)| shaped.is_same(got, want)) {
                return Err(format!("{asked:?}\n got {}\nwant {}", shown(got), shown(want)));
            }
        }
        Ok(())
    }

    /// Page after page, with the line of every row.
    fn judge_pages(
        &self,
        store: &Store,
        query: &Query,
        request: &Request<'_>,
        want: &[naive::Row],
    ) -> Result<(), String> {
        let mut got = Vec::new();
        let mut request = Request { fields: Some(vec!["raw".to_owned()]), ..request.clone() };
        loop {
            let answer = ask(query, &request, &store.view().segments);
            assert!(answer.outcome.is_complete(), "{:?}", answer.outcome);
            got.extend(answer.rows.iter().map(|(id, row)| (id.expect("an event"), row["raw"].clone())));
            request.cursor = answer.outcome.cursor;
            if request.cursor.is_none() {
                break;
            }
        }
        let got: Vec<(EventId, &str)> = got.iter().map(|(id, raw)| (*id, raw.as_str().unwrap_or_default())).collect();
        let line = |row: &naive::Row| (row.id.expect("an event"), self.lines[&row.id.expect("an event")].as_str());
        let want: Vec<(EventId, &str)> = want.iter().map(line).collect();
        if got == want { Ok(()) } else { Err(format!("{query:?}\n got {got:#?}\nwant {want:#?}")) }
    }
}

/// A question.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) text: String,
    pub(super) order: Order,
    /// Rows of a page, where there are pages.
    pub(super) limit: usize,
    /// Nanoseconds before now.
    pub(super) from_ns: Option<i64>,
    pub(super) to_ns: Option<i64>,
}

/// How the answers to a query are compared.
struct Shaped {
    /// Rows stand for groups: 500 and "500" are one of them, and which of the two is shown is not said.
    groups: bool,
}

type Shown = serde_json::Map<String, Json>;

impl Shaped {
    fn of(query: &Query) -> Shaped {
        let is_plain = |kind: &PipeKind| {
            matches!(kind, PipeKind::Head(_) | PipeKind::Tail(_) | PipeKind::Where(_) | PipeKind::Sort(_))
        };
        Shaped { groups: !query.pipes.iter().all(|pipe| is_plain(&pipe.kind)) }
    }

    fn is_same(&self, got: &(Option<EventId>, Shown), want: &(Option<EventId>, Shown)) -> bool {
        let same = |name: &String, value: &Json| want.1.get(name).is_some_and(|want| self.is_same_value(value, want));
        (!self.groups || got.0 == want.0 || want.0.is_none())
            && got.1.len() == want.1.len()
            && got.1.iter().all(|(name, value)| same(name, value))
    }

    fn is_same_value(&self, got: &Json, want: &Json) -> bool {
        let number = |value: &Json| match value {
            Json::Number(number) => number.as_f64(),
            Json::String(text) if self.groups => text.parse::<i64>().ok().map(|number| number as f64),
            _ => None,
        };
        match (got, want) {
            (Json::Array(got), Json::Array(want)) => {
                let sorted = |list: &[Json]| {
                    let mut list: Vec<Json> = list.to_vec();
                    list.sort_by_key(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
                    list
                };
                let (got, want) = (sorted(got), sorted(want));
                got.len() == want.len() && got.iter().zip(&want).all(|(got, want)| self.is_same_value(got, want))
            }
            (got, want) if got == want => true,
            (Json::Bool(truth), Json::String(text)) | (Json::String(text), Json::Bool(truth)) => {
                self.groups && *text == truth.to_string()
            }
            (got, want) => match (number(got), number(want)) {
                (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0),
                _ => false,
            },
        }
    }
}

/// The columns that a row has.
fn there(row: impl IntoIterator<Item = (String, Json)>) -> Shown {
    row.into_iter().filter(|(_, value)| !value.is_null()).collect()
}

fn shown(row: Option<&(Option<EventId>, Shown)>) -> String {
    row.map_or_else(|| "nothing".to_owned(), |(id, row)| format!("{id:?} {}", Json::Object(row.clone())))
}

fn json_of(fields: Fields) -> Vec<(String, Json)> {
    fields.into_iter().map(|(name, value)| (name, value.to_json())).collect()
}

/// Of a store that is sealed by hand.
pub(super) fn config(retention: &str) -> StoreConfig {
    let read = Config::parse("f", retention, &|_| None).expect("a configuration");
    StoreConfig {
        seal_bytes: 1 << 30,
        seal_age: Duration::from_secs(1 << 40),
        compaction_bytes_per_s: u64::MAX,
        column_cache_bytes: 1 << 20,
        retention_days: read.retention.days,
        retention_bytes: None,
        classes: classes(&read).expect("classes"),
    }
}

/// What the source adds to every line.
fn source() -> SourceInfo {
    let (kind, path) = (SourceKind::Json, "/var/log/shop.log".to_owned());
    SourceInfo { id: "s".into(), kind, path, format: String::new(), labels: Default::default() }
}

pub(super) fn fields_of(id: EventId, line: &str) -> Fields {
    let source = source();
    let own = [("host", "web-1"), ("file", &*source.path), ("source", source.kind.source_name())];
    let mut fields: Fields =
        own.into_iter().map(|(name, text)| (name.to_owned(), Val::Text(text.to_owned()))).collect();
    fields.insert("time".to_owned(), Val::Time(id.time_ns));
    let read: Json = serde_json::from_str(line).expect("a line is JSON");
    for (name, value) in read.as_object().expect("an object") {
        naive::flatten(name, value, &mut fields);
    }
    // Durations are fractions, and a line that says nothing else is its own message.
    if let Some(Val::Int(whole)) = fields.get("duration_ms") {
        fields.insert("duration_ms".to_owned(), Val::Float(*whole as f64));
    }
    fields.entry("message".to_owned()).or_insert_with(|| Val::Text(line.to_owned()));
    fields
}

pub(super) fn append(store: &Store, record: usize, rows: &[(EventId, String)]) {
    let mut ranges = SourceRanges::default();
    ranges.insert(&SourceKey::new("agent", "file"), record as u64 * 100, record as u64 * 100 + 100);
    let mut names = Names::default();
    let mut parser = Parser::new(&source(), "web-1", &mut names);
    let mut line = Line::default();
    let blocks = rows.chunks(if rows.len() > 1000 { BLOCK_ROWS_MAX } else { 64 }).map(|rows| {
        let mut builder = BlockBuilder::default();
        for (id, text) in rows {
            line.clear();
            let input = Input { text: text.as_bytes(), time_ns: None, stream: Stream::None, received_ns: id.time_ns };
            parser.parse(&mut names, input, &mut line);
            builder.push(&names, &line, text.as_bytes(), id.time_ns, id.seq);
        }
        Arc::new(builder.finish())
    });
    let blocks: Vec<Arc<Block>> = blocks.collect();
    store.append(blocks, record as u64 + 1, ranges);
}

pub(super) fn ids(store: &Store) -> Vec<EventId> {
    let mut ids = Vec::new();
    for segment in &store.view().segments {
        for block in 0..segment.blocks().len() {
            let names = Projection::Fields(vec!["time".to_owned(), "seq".to_owned()]);
            let batch = segment.read(block, &names, None).expect("a block is read");
            let times = batch.column(0).as_primitive::<Int64Type>().values().iter();
            let seqs = batch.column(1).as_primitive::<UInt64Type>().values().iter();
            ids.extend(times.zip(seqs).map(|(time_ns, seq)| EventId { time_ns: *time_ns, seq: *seq }));
        }
    }
    ids
}

//! The store and the search together: records, seals, merges, retention and crashes in random order, and between them
//! random queries against a naive reader of the lines.
//!
//! A longer run: `PROPTEST_CASES=20000 cargo test --release -p logweir-aggregator --lib search::tests::storm`; what
//! fails prints the seed that repeats it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, UInt64Type};
use logweir_proto::api::Order;
use logweir_proto::query::ast::Filter;
use logweir_proto::query::parse::parse;
use logweir_proto::record::{EventId, seq_of};
use logweir_runtime::clock::Clock;
use object_store::memory::InMemory;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::model::{WORDS, any_filter, passes};
use crate::config::Config;
use crate::pipeline::classes::classes;
use crate::ranges::{SourceKey, SourceRanges};
use crate::search::execute::{Request, explain};
use crate::search::testing::{NOW_NS, ask, query, request};
use crate::store::block::Block;
use crate::store::commit::MemoryCommits;
use crate::store::fixture::{Row, blocks, row};
use crate::store::objects::Objects;
use crate::store::segment::Projection;
use crate::store::service::{SPLITS, Store, StoreConfig};

const DAY_NS: i64 = 24 * 3600 * 1_000_000_000;

/// Longer than compaction and retention pause.
const ROUND_NS: i64 = 61 * 1_000_000_000;

/// `debug` keeps for a day, the rest for three.
const RETENTION: &str = "retention: {days: 3, classes: [{name: quiet, match: 'level<=debug', days: 1}]}";

struct World {
    runtime: tokio::runtime::Runtime,
    objects: Arc<InMemory>,
    commits: MemoryCommits,
    clock: Clock,
    config: StoreConfig,
    wal: Vec<Vec<Row>>,
    /// What has to be found, by its id: the fields and the line.
    model: BTreeMap<EventId, (Json, String)>,
}

impl World {
    fn new(retention: &str) -> World {
        let read = Config::parse("f", retention, &|_| None).expect("a configuration");
        World {
            runtime: tokio::runtime::Builder::new_current_thread().build().expect("a runtime"),
            objects: Arc::new(InMemory::new()),
            commits: MemoryCommits::default(),
            clock: Clock::manual(NOW_NS),
            config: StoreConfig {
                seal_bytes: 1 << 30,
                seal_age: Duration::from_secs(1 << 40),
                compaction_bytes_per_s: u64::MAX,
                column_cache_bytes: 1 << 20,
                retention_days: read.retention.days,
                retention_bytes: None,
                classes: classes(&read).expect("classes"),
            },
            wal: Vec::new(),
            model: BTreeMap::new(),
        }
    }

    fn objects(&self) -> Objects {
        Objects::new(Arc::clone(&self.objects) as _, self.runtime.handle().clone())
    }

    /// Opens the store and replays the WAL from where it says.
    fn open(&self) -> Store {
        let commits = Box::new(self.commits.clone());
        let (store, recovered) =
            Store::open(self.config.clone(), self.objects(), commits, self.clock.clone()).expect("a store");
        for record in recovered.wal_upto as usize - 1..self.wal.len() {
            append(&store, record, &self.wal[record]);
        }
        store
    }

    fn write(&mut self, store: &Store, lines: Vec<(i64, Json)>) {
        let record = self.wal.len();
        let mut rows = Vec::with_capacity(lines.len());
        for (i, (ago_ms, fields)) in lines.into_iter().enumerate() {
            let id =
                EventId { time_ns: self.clock.now_ns() - ago_ms * 1_000_000, seq: seq_of(record as u64 + 1, i as u32) };
            let line = line_of(&fields);
            rows.push(row(id.time_ns, id.seq, &line));
            self.model.insert(id, (fields, line));
        }
        append(store, record, &rows);
        self.wal.push(rows);
    }

    /// Takes what retention removed out of the model; each of it has to be old enough.
    fn retire(&mut self, store: &Store) {
        let live: BTreeSet<EventId> = ids(store).into_iter().collect();
        let now = self.clock.now_ns();
        self.model.retain(|id, (fields, _)| {
            let quiet = ["trace", "debug"].iter().any(|level| fields["level"] == *level);
            let days = if quiet { 1 } else { self.config.retention_days as i64 };
            let stays = live.contains(id);
            assert!(stays || id.time_ns < now - days * DAY_NS, "{id:?} went too early");
            stays
        });
        assert_eq!(live.len(), self.model.len(), "nothing is there that was never written");
    }

    /// Asks in pages and holds every row against the naive reader. Answers how many rows were judged.
    fn ask(&self, store: &Store, filter: &Filter, order: Order, limit: usize) -> usize {
        let mut want: Vec<(EventId, &str)> = self
            .model
            .iter()
            .filter(|(_, (fields, _))| passes(filter, fields))
            .map(|(id, (_, line))| (*id, &**line))
            .collect();
        if order == Order::Desc {
            want.reverse();
        }
        let query = query(filter.clone(), Vec::new());
        let mut got = Vec::new();
        let mut cursor = None;
        loop {
            let fields = Some(vec!["raw".to_owned()]);
            let request = Request { order, cursor, fields, now_ns: self.clock.now_ns(), ..request(limit) };
            let answer = ask(&query, &request, &store.view().segments);
            assert!(answer.outcome.is_complete(), "{:?}", answer.outcome);
            got.extend(answer.rows.iter().map(|(id, row)| (id.expect("an event"), row["raw"].clone())));
            cursor = answer.outcome.cursor;
            if cursor.is_none() {
                break;
            }
        }
        let got: Vec<(EventId, &str)> = got.iter().map(|(id, raw)| (*id, raw.as_str().unwrap_or_default())).collect();
        assert_eq!(got, want, "{filter:?}");
        self.model.len()
    }
}

fn append(store: &Store, record: usize, rows: &[Row]) {
    let mut ranges = SourceRanges::default();
    ranges.insert(&SourceKey::new("agent", "file"), record as u64 * 100, record as u64 * 100 + 100);
    let blocks: Vec<Arc<Block>> = blocks(rows, 64).into_iter().map(Arc::new).collect();
    store.append(blocks, record as u64 + 1, ranges);
}

fn ids(store: &Store) -> Vec<EventId> {
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

/// The line that the parser of the fixture reads these fields from.
fn line_of(fields: &Json) -> String {
    let mut line = String::new();
    for (name, value) in fields.as_object().expect("an object") {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        line += &if name == "message" { format!("\"{text}\" ") } else { format!("{name}={text} ") };
    }
    line
}

fn any_fields() -> impl Strategy<Value = Json> {
    let words = prop::collection::vec(prop::sample::select(&WORDS[..]), 0..4).prop_map(|words| words.join(" "));
    let some = |values: Vec<Json>| prop::option::of(prop::sample::select(values));
    let parts = (
        some(["trace", "debug", "info", "warn", "error"].map(Json::from).to_vec()),
        some(["api", "api-b", "API", "db"].map(Json::from).to_vec()),
        some(vec![json!(200), json!(500), json!(502), json!("ok")]),
        some(vec![json!(0.5), json!(499.5), json!(2)]),
        some(["/users/500", "/pay", "/Users"].map(Json::from).to_vec()),
        some(vec![json!(-3), json!(2), json!(0.5), json!(true), json!("x_1"), json!("timeout")]),
    );
    (words, parts).prop_map(|(message, (level, service, status, duration, path, mixed))| {
        let named = [
            ("level", level),
            ("service", service),
            ("status", status),
            ("duration_ms", duration),
            ("path", path),
            ("mixed", mixed),
            ("message", Some(Json::from(message))),
        ];
        Json::Object(named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    })
}

#[derive(Debug, Clone)]
enum Step {
    /// Lines, each so many milliseconds old.
    Write(Vec<(i64, Json)>),
    Seal,
    /// A round of housekeeping.
    Maintain,
    Crash,
    /// Time passes, and retention looks.
    Days(i64),
    Ask(Filter, bool, usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let lines = prop::collection::vec((prop_oneof![0i64..1000, 0i64..40_000_000], any_fields()), 1..30);
    prop_oneof![
        8 => lines.prop_map(Step::Write),
        6 => Just(Step::Seal),
        4 => Just(Step::Maintain),
        2 => Just(Step::Crash),
        1 => (1i64..3).prop_map(Step::Days),
        16 => (any_filter(), any::<bool>(), 1usize..50).prop_map(|(filter, asc, limit)| Step::Ask(filter, asc, limit)),
    ]
}

fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: (config.cases / 50).max(4), max_shrink_iters: 200, ..config }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_to_the_store_a_query_finds_what_a_naive_reader_finds(
        steps in prop::collection::vec(any_step(), 20..70),
    ) {
        let mut world = World::new(RETENTION);
        let mut store = world.open();
        for step in steps {
            match step {
                Step::Write(lines) => world.write(&store, lines),
                Step::Seal => store.seal_now().expect("a seal"),
                Step::Maintain => {
                    world.clock.set(world.clock.now_ns() + ROUND_NS);
                    store.maintain();
                    world.retire(&store);
                }
                Step::Crash => store = world.open(),
                Step::Days(days) => {
                    world.clock.set(world.clock.now_ns() + days * DAY_NS);
                    store.retain().expect("retention");
                    world.retire(&store);
                }
                Step::Ask(filter, asc, limit) => {
                    let order = if asc { Order::Asc } else { Order::Desc };
                    world.ask(&store, &filter, order, limit);
                }
            }
        }
        store = world.open();
        world.retire(&store);
        world.ask(&store, &Filter::All, Order::Desc, 1000);
    }
}

/// Pages of a reader while rows come, are sealed and merged: strictly in order, none twice, and none of those missing
/// that were there when it began.
#[test]
fn pages_are_in_order_and_whole_while_rows_come_and_splits_change() {
    for order in [Order::Desc, Order::Asc] {
        let mut world = World::new("");
        let store = world.open();
        let stop = Arc::new(AtomicBool::new(false));
        let (keeper, stopped, clock) = (store.clone(), Arc::clone(&stop), world.clock.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                keeper.seal_now().expect("seal");
                clock.set(clock.now_ns() + ROUND_NS);
                keeper.maintain();
            }
        });
        let everything = parse("*").expect("a query");
        for round in 0..12i64 {
            for _ in 0..4 {
                let lines = (0..25).map(|i| ((i * 7919 + round * 31) % 5000, json!({"level": "info", "message": "x"})));
                world.write(&store, lines.collect());
            }
            let before: BTreeSet<EventId> = world.model.keys().copied().collect();
            let mut seen: Vec<EventId> = Vec::new();
            let mut cursor = None;
            loop {
                world.write(&store, vec![(round, json!({"message": "meanwhile"}))]);
                let page = ask(&everything, &Request { order, cursor, ..request(97) }, &store.view().segments);
                assert!(page.outcome.is_complete(), "{:?}", page.outcome);
                seen.extend(page.ids());
                cursor = page.outcome.cursor;
                // In rising order more comes for ever.
                if cursor.is_none() || seen.last().is_some_and(|last| order == Order::Asc && Some(last) > before.last())
                {
                    break;
                }
            }
            assert!(seen.is_sorted_by(|a, b| if order == Order::Asc { a < b } else { a > b }), "{order:?}");
            let seen: BTreeSet<EventId> = seen.into_iter().collect();
            assert_eq!(before.difference(&seen).count(), 0, "{order:?} in round {round}");
        }
        stop.store(true, Ordering::SeqCst);
        thread.join().expect("the keeper");
    }
}

/// What a day looks like from outside.
#[derive(Debug, Clone, Copy, Default)]
struct Day {
    rows: u64,
    bytes: u64,
    splits: usize,
    objects: usize,
    needle_blocks: usize,
    last_hours_blocks: usize,
    count_blocks: usize,
}

fn look(world: &World, store: &Store) -> Day {
    let segments = &store.view().segments;
    let now_ns = world.clock.now_ns();
    let blocks = |text: &str, from_ns: i64| {
        let request = Request { from_ns: Some(from_ns), now_ns, ..request(100) };
        explain(&parse(text).expect("a query"), &request, segments).expect("a plan").blocks_opened
    };
    let kept = store.retention();
    Day {
        rows: kept.iter().map(|kept| kept.rows).sum(),
        bytes: kept.iter().map(|kept| kept.bytes).sum(),
        splits: segments.len(),
        objects: world.objects().list(SPLITS).expect("a list").len(),
        needle_blocks: blocks("user_id:u-needle", i64::MIN),
        last_hours_blocks: blocks("status>=500", now_ns - DAY_NS / 6),
        count_blocks: blocks("level:error | count", i64::MIN),
    }
}

#[test]
fn in_24_days_with_retention_of_7_disk_and_work_stay_flat_and_old_data_goes() {
    let mut world = World::new("retention: {days: 7, classes: [{name: quiet, match: 'level<=debug', days: 2}]}");
    let store = world.open();
    let mut days = Vec::new();
    for day in 0..24i64 {
        for part in 0..6i64 {
            world.clock.set(world.clock.now_ns() + DAY_NS / 6);
            let line = |i: i64| {
                let level = ["debug", "info", "info", "warn", "error"][(i % 5) as usize];
                let user = if i == 7 && part == 3 {
                    "u-needle".to_owned()
                } else {
                    format!("u-{}", (day * 6 + part) * 100 + i)
                };
                let text = format!("request {i} of user took {} ms", i * part);
                (
                    i * 100_000,
                    json!({"level": level, "status": 200 + 300 * i64::from(i % 9 == 0), "user_id": user, "message": text}),
                )
            };
            world.write(&store, (0..120).map(line).collect());
            store.seal_now().expect("a seal");
            for _ in 0..3 {
                world.clock.set(world.clock.now_ns() + ROUND_NS);
                store.maintain();
            }
        }
        world.clock.set(world.clock.now_ns() + ROUND_NS * 11);
        store.maintain();
        days.push(look(&world, &store));
    }
    world.retire(&store);
    let now_ns = world.clock.now_ns();
    let oldest = world.model.keys().next().expect("rows").time_ns;
    assert!(oldest >= now_ns - 9 * DAY_NS, "rows of {} days are left", (now_ns - oldest) / DAY_NS);
    let quiet = world.model.iter().find(|(_, (fields, _))| fields["level"] == "debug").expect("rows");
    assert!(quiet.0.time_ns >= now_ns - 4 * DAY_NS, "rows of the quiet class go earlier");
    let flat = |what: &str, of: fn(&Day) -> u64| {
        let early = days[9..12].iter().map(of).max().unwrap_or_default();
        let late = days[12..].iter().map(of).max().unwrap_or_default();
        assert!(early > 0 && late <= early + early / 5 + 2, "{what}: {early}, then {late}: {days:#?}");
    };
    flat("rows", |day| day.rows);
    flat("bytes", |day| day.bytes);
    flat("splits", |day| day.splits as u64);
    flat("objects", |day| day.objects as u64);
    flat("blocks of a needle", |day| day.needle_blocks as u64);
    flat("blocks of the last hours", |day| day.last_hours_blocks as u64);
    flat("blocks of a count", |day| day.count_blocks as u64);
    assert!(days[23].needle_blocks <= 14, "one a day that is kept, about: {:?}", days[23]);
}

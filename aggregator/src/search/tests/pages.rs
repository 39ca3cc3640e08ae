//! The one order and its cursors while lines come, are sealed and merged, and while the server is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use logweir_proto::api::Order;
use logweir_proto::query::parse::parse;
use logweir_proto::record::{EventId, seq_of};
use logweir_runtime::clock::Clock;
use proptest::prelude::*;

use super::naive::{Fields, filter};
use super::random::{any_filter, any_line};
use super::storm::{Checks, check};
use super::world::{ROUND_NS, World, append, fields_of};
use crate::search::execute::Request;
use crate::search::testing::{NOW_NS, ask, request};
use crate::store::service::Store;

/// Rounds of housekeeping, a minute each, while one page is read.
const ROUNDS_A_PAGE: u32 = 6;

/// What a reader asks for, and how many rows at once; lines come between its pages.
#[derive(Debug, Clone)]
struct Reader {
    odd: bool,
    asc: bool,
    limit: usize,
    /// How old the lines are that come between pages, in milliseconds.
    late: Vec<i64>,
}

fn any_reader() -> impl Strategy<Value = Reader> {
    let late = prop::collection::vec(prop_oneof![0i64..3, 0i64..6000], 1..8);
    (any::<bool>(), any::<bool>(), 1usize..120, late).prop_map(|(odd, asc, limit, late)| Reader {
        odd,
        asc,
        limit,
        late,
    })
}

/// Pages of a reader: strictly in order, none twice, and none of those missing that were there when it began.
#[test]
fn pages_are_in_order_and_whole_while_rows_come_and_splits_change() {
    check("pages", prop::collection::vec(any_reader(), 4..12), 64, |readers| {
        let mut world = World::new("");
        let store = world.open();
        let stop = AtomicBool::new(false);
        let rounds = AtomicU32::new(0);
        std::thread::scope(|scope| {
            let (keeper, clock) = (store.clone(), world.clock.clone());
            scope.spawn(|| keep(keeper, clock, &stop, &rounds));
            let _stop = StopOnDrop(&stop);
            let mut checks = Checks::default();
            for (round, reader) in readers.iter().enumerate() {
                let line = |i: i64| (i * 7919 % 5000, format!(r#"{{"odd":{},"message":"x"}}"#, i % 2 == 1));
                (0..4).for_each(|part| {
                    world.write(&store, (0..25).map(|i| line(i + part * 25 + round as i64)).collect())
                });
                checks += read(&mut world, &store, reader, &rounds);
            }
            checks
        })
    });
}

/// Seals and merges all the time.
fn keep(store: Store, clock: Clock, stop: &AtomicBool, rounds: &AtomicU32) {
    while !stop.load(Ordering::SeqCst) {
        store.seal_now().expect("seal");
        // What is merged stays for readers for ten minutes: fewer pass while one page is read.
        if rounds.fetch_add(1, Ordering::SeqCst) < ROUNDS_A_PAGE {
            clock.set(clock.now_ns() + ROUND_NS);
            store.maintain();
        } else {
            std::thread::yield_now();
        }
    }
}

/// The other threads end, however the reader does.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn read(world: &mut World, store: &Store, reader: &Reader, rounds: &AtomicU32) -> Checks {
    let is_wanted = |line: &String| !reader.odd || line.contains("true");
    let before: BTreeSet<EventId> = world.lines.iter().filter(|(_, line)| is_wanted(line)).map(|(id, _)| *id).collect();
    let query = parse(if reader.odd { "odd:true" } else { "*" }).expect("a query");
    let order = if reader.asc { Order::Asc } else { Order::Desc };
    let (mut seen, mut cursor, mut pages) = (Vec::<EventId>::new(), None, 0);
    loop {
        let late = reader.late[pages % reader.late.len()];
        world.write(store, vec![(late, r#"{"odd":true,"message":"meanwhile"}"#.to_owned())]);
        rounds.store(0, Ordering::SeqCst);
        let page = ask(&query, &Request { order, cursor, ..request(reader.limit) }, &store.view().segments);
        assert!(page.outcome.is_complete(), "{:?}", page.outcome);
        seen.extend(page.ids());
        cursor = page.outcome.cursor;
        pages += 1;
        // In rising order more comes for ever.
        if cursor.is_none() || reader.asc && seen.last() > before.last() {
            break;
        }
    }
    assert!(seen.is_sorted_by(|a, b| if reader.asc { a < b } else { a > b }), "{reader:?}");
    assert!(seen.iter().all(|id| world.lines.get(id).is_some_and(is_wanted)), "{reader:?}");
    let seen: BTreeSet<EventId> = seen.into_iter().collect();
    assert_eq!(before.difference(&seen).count(), 0, "{reader:?}");
    Checks { answers: pages, rows: seen.len() }
}

/// Most rows of a case that a writer of its own writes: a reader must come to an end.
const WRITTEN_ROWS_MAX: usize = 3000;

/// What another thread writes.
#[derive(Default)]
struct Written {
    /// Before the store has it.
    begun: BTreeMap<EventId, (String, Fields)>,
    /// Once the store has it.
    done: Vec<EventId>,
}

/// Writes batches, over and over.
fn write(store: &Store, batches: &[Vec<(i64, String)>], written: &Mutex<Written>, stop: &AtomicBool, clock: &Clock) {
    let mut rows_written = 0;
    for (record, batch) in batches.iter().cycle().enumerate() {
        if stop.load(Ordering::SeqCst) || rows_written > WRITTEN_ROWS_MAX {
            return;
        }
        let now_ns = clock.now_ns();
        let row = |(i, (ago_ms, line)): (usize, &(i64, String))| {
            let seq = seq_of(record as u64 + 1, i as u32);
            (EventId { time_ns: now_ns - ago_ms * 1_000_000, seq }, line.clone())
        };
        let rows: Vec<(EventId, String)> = batch.iter().enumerate().map(row).collect();
        let known = rows.iter().map(|(id, line)| (*id, (line.clone(), fields_of(*id, line))));
        written.lock().expect("not poisoned").begun.extend(known.collect::<Vec<_>>());
        append(store, record, &rows);
        written.lock().expect("not poisoned").done.extend(rows.iter().map(|(id, _)| *id));
        rows_written += rows.len();
    }
}

/// What a reader beside the writer asks for.
#[derive(Debug, Clone)]
struct Query {
    filter: String,
    asc: bool,
    limit: usize,
}

fn any_reading() -> impl Strategy<Value = Query> {
    // What an `in(…)` yields changes from page to page.
    let filter = any_filter().prop_filter("its answer changes", |filter| !filter.contains(":in("));
    (filter, any::<bool>(), 1usize..200).prop_map(|(filter, asc, limit)| Query { filter, asc, limit })
}

/// Rows of any filter, read while another thread writes and a third one seals and merges.
#[test]
fn pages_of_any_filter_are_in_order_and_whole_while_another_thread_writes() {
    let batch = prop::collection::vec((prop_oneof![0i64..1000, 0i64..40_000_000], any_line()), 1..12);
    let case = (prop::collection::vec(batch, 10..40), prop::collection::vec(any_reading(), 8..24));
    check("pages beside a writer", case, 64, |(batches, queries)| {
        let world = World::new("");
        let store = world.open();
        let (stop, rounds, written) = (AtomicBool::new(false), AtomicU32::new(0), Mutex::new(Written::default()));
        std::thread::scope(|scope| {
            let (keeper, clock) = (store.clone(), world.clock.clone());
            scope.spawn(|| keep(keeper, clock, &stop, &rounds));
            scope.spawn(|| write(&store, &batches, &written, &stop, &world.clock));
            let _stop = StopOnDrop(&stop);
            let mut checks = Checks::default();
            queries.iter().for_each(|query| checks += read_beside(&store, query, &written, &rounds));
            checks
        })
    });
}

fn read_beside(store: &Store, query: &Query, written: &Mutex<Written>, rounds: &AtomicU32) -> Checks {
    let parsed = parse(&query.filter).expect("a query");
    let passes = |fields: &Fields| filter::passes(&parsed.filter, fields, &mut |_| unreachable!("left out"), NOW_NS);
    let before: BTreeSet<EventId> = {
        let written = written.lock().expect("not poisoned");
        written.done.iter().filter(|id| passes(&written.begun[id].1)).copied().collect()
    };
    let order = if query.asc { Order::Asc } else { Order::Desc };
    let (mut seen, mut cursor, mut pages) = (Vec::<(EventId, String)>::new(), None, 0);
    loop {
        rounds.store(0, Ordering::SeqCst);
        let fields = Some(vec!["raw".to_owned()]);
        let request = Request { order, cursor, fields, ..request(query.limit) };
        let page = ask(&parsed, &request, &store.view().segments);
        assert!(page.outcome.is_complete(), "{query:?}: {:?}", page.outcome);
        let row = |(id, row): (Option<EventId>, logweir_proto::api::Row)| {
            (id.expect("an event"), row["raw"].as_str().unwrap_or_default().to_owned())
        };
        seen.extend(page.rows.into_iter().map(row));
        cursor = page.outcome.cursor;
        pages += 1;
        if cursor.is_none() || query.asc && seen.last().map(|(id, _)| id) > before.last() {
            break;
        }
    }
    assert!(seen.is_sorted_by(|(a, _), (b, _)| if query.asc { a < b } else { a > b }), "{query:?}");
    let written = written.lock().expect("not poisoned");
    for (id, line) in &seen {
        let (want, fields) = &written.begun[id];
        assert!(want == line && passes(fields), "{query:?}: {id:?} {line}");
    }
    let ids: BTreeSet<EventId> = seen.iter().map(|(id, _)| *id).collect();
    assert_eq!(before.difference(&ids).next(), None, "{query:?}");
    Checks { answers: pages, rows: seen.len() }
}

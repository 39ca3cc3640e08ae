//! The one order and its cursors while lines come, are sealed and merged, and while the server is killed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use logweir_proto::api::Order;
use logweir_proto::query::parse::parse;
use logweir_proto::record::EventId;
use proptest::prelude::*;

use super::storm::{Checks, check};
use super::world::{ROUND_NS, World};
use crate::search::execute::Request;
use crate::search::testing::{ask, request};

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
        let stop = Arc::new(AtomicBool::new(false));
        let (keeper, stopped, clock) = (store.clone(), Arc::clone(&stop), world.clock.clone());
        let rounds = Arc::new(AtomicU32::new(0));
        let kept = Arc::clone(&rounds);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                keeper.seal_now().expect("seal");
                // What is merged stays for readers for ten minutes: fewer pass while one page is read.
                if kept.fetch_add(1, Ordering::SeqCst) < ROUNDS_A_PAGE {
                    clock.set(clock.now_ns() + ROUND_NS);
                    keeper.maintain();
                } else {
                    std::thread::yield_now();
                }
            }
        });
        let mut checks = Checks::default();
        for (round, reader) in readers.iter().enumerate() {
            let line = |i: i64| (i * 7919 % 5000, format!(r#"{{"odd":{},"message":"x"}}"#, i % 2 == 1));
            (0..4).for_each(|part| world.write(&store, (0..25).map(|i| line(i + part * 25 + round as i64)).collect()));
            checks += read(&mut world, &store, reader, &rounds);
        }
        stop.store(true, Ordering::SeqCst);
        thread.join().expect("the keeper");
        checks
    });
}

fn read(world: &mut World, store: &crate::store::service::Store, reader: &Reader, rounds: &AtomicU32) -> Checks {
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

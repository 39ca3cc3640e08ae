//! 24 days of traffic with retention of 7: disk and work stay flat, and old data goes. The long form, with as many
//! lines a day as one likes, with memory and times, is `make days`.

use logweir_proto::query::parse::parse;
use logweir_runtime::clock::Clock;

use super::world::{DAY_NS, ROUND_NS, World};
use crate::search::execute::{Request, explain};
use crate::search::testing::request;
use crate::store::service::{SPLITS, Store};

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

fn pass(clock: &Clock, ns: i64) {
    clock.set(clock.now_ns() + ns);
}

/// A sixth of a day.
fn lines(day: i64, part: i64) -> Vec<(i64, String)> {
    let line = |i: i64| {
        let level = ["debug", "info", "info", "warn", "error"][(i % 5) as usize];
        let number = (day * 6 + part) * 100 + i;
        let user = if i == 7 && part == 3 { "u-needle".to_owned() } else { format!("u-{number}") };
        let (status, took) = (200 + 300 * i64::from(i % 9 == 0), i * part);
        let text = format!("request {i} of user took {took} ms");
        let line = format!(r#"{{"level":"{level}","status":{status},"user_id":"{user}","message":"{text}"}}"#);
        (i * 100_000, line)
    };
    (0..120).map(line).collect()
}

#[test]
fn in_24_days_with_retention_of_7_disk_and_work_stay_flat_and_old_data_goes() {
    let mut world = World::new("retention: {days: 7, classes: [{name: quiet, match: 'level<=debug', days: 1}]}");
    let store = world.open();
    let mut days = Vec::new();
    for day in 0..24i64 {
        for part in 0..6i64 {
            pass(&world.clock, DAY_NS / 6);
            world.write(&store, lines(day, part));
            store.seal_now().expect("a seal");
            for _ in 0..3 {
                pass(&world.clock, ROUND_NS);
                store.maintain();
            }
        }
        pass(&world.clock, ROUND_NS * 11);
        store.maintain();
        days.push(look(&world, &store));
    }
    world.retire(&store);
    let now_ns = world.clock.now_ns();
    let oldest = world.lines.keys().next().expect("rows").time_ns;
    assert!(oldest >= now_ns - 9 * DAY_NS, "rows of {} days are left", (now_ns - oldest) / DAY_NS);
    let quiet = world.lines.iter().find(|(_, line)| line.contains("debug")).expect("rows");
    assert!(quiet.0.time_ns >= now_ns - 3 * DAY_NS, "rows of the quiet class go earlier");
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

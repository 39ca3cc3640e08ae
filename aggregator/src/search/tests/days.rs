//! 24 days of mixed traffic with retention of 7: disk, memory and work stay flat, and old data goes.
//!
//! `make days` is the long form: the same with a hundred times the lines, and a table with times and memory.

use std::path::Path;
use std::time::Instant;

use logweir_proto::query::parse::parse;
use logweir_proto::record::{EventId, seq_of};
use logweir_runtime::clock::Clock;
use proptest::test_runner::Config as ProptestConfig;

use super::world::{DAY_NS, ROUND_NS, append, config, ids};
use crate::search::execute::{Request, explain};
use crate::search::testing::{NOW_NS, ask, request};
use crate::store::service::{SPLITS, Store};

const DAYS: i64 = 24;
const PARTS: i64 = 12;

/// Lines of a twelfth of a day, in the short form.
const LINES: i64 = 60;

const RETENTION: &str = "retention: {days: 7, classes: [{name: quiet, match: 'level<=debug', days: 2}]}";

const QUERIES: [&str; 5] =
    ["user_id:u-needle", "status>=500 since:4h", "level:error | count", "* | head 100", "* | stats count by level"];

/// What a day looks like from outside.
#[derive(Debug, Clone, Copy, Default)]
struct Day {
    rows: u64,
    bytes: u64,
    splits: u64,
    objects: u64,
    /// Blocks that each query opens.
    blocks: [u64; QUERIES.len()],
    /// Its time in milliseconds: the second run.
    ms: [f64; QUERIES.len()],
    memory_mib: u64,
}

fn look(dir: &Path, clock: &Clock, store: &Store) -> Day {
    let segments = &store.view().segments;
    let request = || Request { from_ns: Some(i64::MIN), now_ns: clock.now_ns(), ..request(100) };
    let queries = QUERIES.map(|text| parse(text).expect("a query"));
    let kept = store.retention();
    let time = |query| {
        ask(query, &request(), segments);
        let begin = Instant::now();
        assert!(ask(query, &request(), segments).outcome.is_complete());
        begin.elapsed().as_secs_f64() * 1e3
    };
    let memory = std::fs::read_to_string("/proc/self/status").expect("what the kernel says of a process");
    let memory = memory.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    Day {
        rows: kept.iter().map(|kept| kept.rows).sum(),
        bytes: kept.iter().map(|kept| kept.bytes).sum(),
        splits: segments.len() as u64,
        objects: objects(&dir.join(SPLITS)),
        blocks: queries
            .each_ref()
            .map(|query| explain(query, &request(), segments).expect("a plan").blocks_opened as u64),
        ms: queries.each_ref().map(time),
        memory_mib: memory.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") >> 10,
    }
}

fn objects(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.map(|path| if path.is_dir() { objects(&path) } else { 1 }).sum()
}

fn pass(clock: &Clock, ns: i64) {
    clock.set(clock.now_ns() + ns);
}

/// The lines of a twelfth of a day, spread over it.
fn lines(record: i64, count: i64, now_ns: i64) -> Vec<(EventId, String)> {
    let line = |i: i64| {
        let level = ["debug", "info", "info", "warn", "error"][(i % 5) as usize];
        let needle = i == 7 && record % PARTS == 3;
        let user = if needle { "u-needle".to_owned() } else { format!("u-{}", record * count + i) };
        let (status, took) = (200 + 300 * i64::from(i % 9 == 0), i * 7919 % 1000);
        let service = ["api", "cart", "pay"][(i % 3) as usize];
        let text = format!("request {i} of {service} took {took} ms");
        let line = format!(
            r#"{{"level":"{level}","service":"{service}","status":{status},"duration_ms":{took},"user_id":"{user}","message":"{text}"}}"#
        );
        let id = EventId { time_ns: now_ns - i * (DAY_NS / PARTS / count), seq: seq_of(record as u64 + 1, i as u32) };
        (id, line)
    };
    (0..count).map(line).collect()
}

#[test]
fn in_24_days_with_retention_of_7_disk_and_work_stay_flat_and_old_data_goes() {
    let count = LINES * i64::from(ProptestConfig::default().cases.max(256)) / 256;
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), Clock::manual(NOW_NS));
    let (store, _) = Store::open_local(dir.path(), config(RETENTION), clock.clone()).expect("a store");
    println!("{} lines a day\nday      rows       MB splits objects memory MiB  ms of {QUERIES:?}", count * PARTS);
    let mut days = Vec::new();
    for day in 0..DAYS {
        for part in 0..PARTS {
            pass(&clock, DAY_NS / PARTS);
            let record = day * PARTS + part;
            append(&store, record as usize, &lines(record, count, clock.now_ns()));
            store.seal_now().expect("a seal");
            for _ in 0..3 {
                pass(&clock, ROUND_NS);
                store.maintain();
            }
        }
        pass(&clock, ROUND_NS * 11);
        store.maintain();
        let Day { rows, bytes, splits, objects, ms, memory_mib, .. } = look(dir.path(), &clock, &store);
        let ms: Vec<String> = ms.iter().map(|ms| format!("{ms:7.1}")).collect();
        let mb = bytes as f64 / 1e6;
        println!("{day:3} {rows:9} {mb:8.2} {splits:6} {objects:7} {memory_mib:10}  {}", ms.join(" "));
        days.push(look(dir.path(), &clock, &store));
    }
    let now_ns = clock.now_ns();
    let ids = ids(&store);
    let oldest = ids.iter().min().expect("rows").time_ns;
    assert!(oldest >= now_ns - 9 * DAY_NS, "rows of {} days are left", (now_ns - oldest) / DAY_NS);
    let query = parse("level:debug | sort time | head 1").expect("a query");
    let quiet = ask(&query, &Request { now_ns, ..request(1) }, &store.view().segments).ids();
    assert!(quiet[0].time_ns >= now_ns - 4 * DAY_NS, "rows of the quiet class go earlier");
    let flat = |what: &str, of: &dyn Fn(&Day) -> u64| {
        let early = days[9..12].iter().map(of).max().unwrap_or_default();
        let late = days[12..].iter().map(of).max().unwrap_or_default();
        assert!(early > 0 && late <= early + early / 5 + 2, "{what}: {early}, then {late}: {days:#?}");
    };
    flat("rows", &|day| day.rows);
    flat("bytes", &|day| day.bytes);
    flat("splits", &|day| day.splits);
    flat("objects", &|day| day.objects);
    // Other tests run in this process in the short form, and take memory of their own.
    if count > LINES {
        flat("memory", &|day| day.memory_mib);
    }
    (0..QUERIES.len()).for_each(|query| flat(QUERIES[query], &|day| day.blocks[query] + 1));
    assert!(days[23].blocks[0] <= 14, "one a day that is kept, about: {:?}", days[23]);
}

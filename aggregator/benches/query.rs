//! The queries of the tables in `docs/benchmarks` on a sealed store, without HTTP:
//! `cargo bench -p logweir-aggregator --bench query -- [--megabytes N] [--runs N] [--cold] [WORDS OF A QUERY'S NAME]`.
//!
//! The store is made once for each format version and size, below `target/bench-query`. The first run finds nothing
//! decoded; of those behind it wall time is the median and CPU time the mean, over all threads. `--cold` asks the kernel
//! to forget its pages before each run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use logweir_aggregator::names::Names;
use logweir_aggregator::parse::line::Line;
use logweir_aggregator::parse::{Input, Parser};
use logweir_aggregator::ranges::SourceRanges;
use logweir_aggregator::search::execute::{Event, Request, run};
use logweir_aggregator::store::block::BlockBuilder;
use logweir_aggregator::store::service::{Store, StoreConfig};
use logweir_aggregator::store::split::columns;
use logweir_aggregator::store::split::footer::VERSION;
use logweir_proto::api::Order;
use logweir_proto::batch::{SourceInfo, SourceKind, Stream};
use logweir_proto::query::parse::parse;
use logweir_runtime::clock::Clock;

#[path = "../../tests/src/faults/dice.rs"]
#[expect(dead_code, unreachable_pub, reason = "the tests use the rest, from other crates")]
mod dice;
mod faults {
    pub(crate) use super::dice::Dice;
}
#[path = "../../tests/src/bench/generate.rs"]
#[expect(unreachable_pub, unused_imports, reason = "the bench of the server uses it from another crate")]
mod generate;

use generate::{Generator, RARE_PATH, RARE_TRACE};

/// 2026-11-19.
const DAY_NS: i64 = 1_795_046_400_000_000_000;
const NS_PER_DAY: i64 = 86_400_000_000_000;
const ROWS: usize = 100;
const SEAL_BYTES: u64 = 64 << 20;
const COMBINED: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;

struct Args {
    megabytes: u64,
    runs: usize,
    cold: bool,
    words: Vec<String>,
}

fn main() {
    let args = args();
    for (set, queries) in [("json", json_queries()), ("nginx", nginx_queries())] {
        let wanted: Vec<_> = queries
            .into_iter()
            .filter(|(name, _)| args.words.iter().all(|word| format!("{set} {name}").contains(word.as_str())))
            .collect();
        if wanted.is_empty() {
            continue;
        }
        eprintln!("{set}, {} MB: first ms, wall ms, CPU ms, blocks, KiB read first, rows", args.megabytes);
        for (name, query) in wanted {
            // Opened anew, so that the first run finds nothing decoded and nothing known.
            measure(&store(set, args.megabytes), name, &query, &args);
        }
    }
}

fn args() -> Args {
    let mut args = Args { megabytes: 200, runs: 15, cold: false, words: Vec::new() };
    let mut given = std::env::args().skip(1);
    while let Some(arg) = given.next() {
        let mut number = || given.next().and_then(|text| text.parse().ok()).expect("a number follows");
        match arg.as_str() {
            "--megabytes" => args.megabytes = number(),
            "--runs" => args.runs = number() as usize,
            "--cold" => args.cold = true,
            "--bench" => {}
            _ => args.words.push(arg),
        }
    }
    args
}

fn json_queries() -> Vec<(&'static str, String)> {
    vec![
        ("a rare trace_id", format!("trace_id:{RARE_TRACE}")),
        ("b word and level, newest 100", "connection level:error".to_owned()),
        ("b3 newest 100", "*".to_owned()),
        ("c count by status", "* | stats count by status".to_owned()),
        ("d errors per minute", "level:error | timechart 1m count".to_owned()),
        ("e substring", "message=~\"yment decl\" | stats count".to_owned()),
        ("e2 regex", "message=~\"timeout after [0-9]+ms\" | stats count".to_owned()),
        ("f p95 by service", "* | stats p95(duration_ms) by service".to_owned()),
        ("g count", "* | stats count".to_owned()),
        ("h count of a common word", "connection | stats count".to_owned()),
        ("i top 10 user_id", "connection | top 10 user_id".to_owned()),
    ]
}

fn nginx_queries() -> Vec<(&'static str, String)> {
    vec![
        ("a rare id in path", format!("path=~\"{RARE_PATH}\"")),
        ("b word and status, newest 100", "orders status:404".to_owned()),
        ("b3 newest 100", "*".to_owned()),
        ("c count by status", "* | stats count by status".to_owned()),
        ("d 404 per minute", "status:404 | timechart 1m count".to_owned()),
        ("e substring in path", "path=~\"pi/ord\" | stats count".to_owned()),
        ("e2 regex in user agent", "user_agent=~\"Firefox/[0-9]+\" | stats count".to_owned()),
        ("f p95 by method", "* | stats p95(bytes) by method".to_owned()),
        ("g count", "* | stats count".to_owned()),
        ("h count of a common word", "orders | stats count".to_owned()),
        ("i top 10 client_ip", "orders | top 10 client_ip".to_owned()),
    ]
}

fn measure(store: &Store, name: &str, text: &str, args: &Args) {
    let query = parse(text).expect("a query");
    let (mut walls, mut cpu_before, mut first, mut told) = (Vec::new(), 0.0, 0.0, String::new());
    for number in 0..=args.runs {
        if args.cold {
            Command::new("sh").args(["-c", "echo 3 > /proc/sys/vm/drop_caches"]).status().expect("sh runs");
        }
        let request = Request {
            from_ns: Some(DAY_NS),
            to_ns: Some(DAY_NS + NS_PER_DAY),
            limit: ROWS,
            order: Order::Desc,
            cursor: None,
            fields: None,
            now_ns: DAY_NS + 2 * NS_PER_DAY,
            deadline: Instant::now() + Duration::from_secs(600),
            memory_bytes: 1 << 30,
            cancel: &AtomicBool::new(false),
        };
        let begun = Instant::now();
        let mut rows = 0;
        let view = store.view();
        let outcome = run(&query, &request, &view.segments, &mut |event| {
            rows += usize::from(matches!(event, Event::Row { .. }));
            std::ops::ControlFlow::Continue(())
        })
        .expect("an answer");
        let wall = begun.elapsed().as_secs_f64() * 1e3;
        assert!(outcome.is_complete(), "{text}: {:?}", outcome.reason);
        match number {
            0 => {
                (cpu_before, first) = (cpu_ms(), wall);
                told = format!("{:6} {:8} {rows:6}", outcome.stats.blocks_read, outcome.stats.bytes / 1024);
            }
            _ => walls.push(wall),
        }
    }
    walls.sort_by(f64::total_cmp);
    let wall = walls.get(walls.len() / 2).copied().unwrap_or_default();
    eprintln!("{name:32} {first:9.2} {wall:9.2} {:9.2} {told}", (cpu_ms() - cpu_before) / args.runs.max(1) as f64);
}

/// CPU time of all threads of this process, in steps of 10 ms.
fn cpu_ms() -> f64 {
    const MS_PER_TICK: f64 = 10.0;
    let stat = std::fs::read_to_string("/proc/self/stat").expect("the kernel tells");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // User and system time, counted from behind the name.
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().expect("a number") * MS_PER_TICK).sum()
}

/// The sealed and merged store of a set; made if it is not there.
fn store(set: &str, megabytes: u64) -> Store {
    let dir =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../target/bench-query/{set}-{megabytes}-v{VERSION}"));
    let config = StoreConfig {
        seal_bytes: SEAL_BYTES,
        seal_age: Duration::MAX,
        compaction_bytes_per_s: u64::MAX,
        column_cache_bytes: columns::bytes_for_machine(),
        retention_days: 10_000,
        retention_bytes: None,
        classes: Vec::new(),
    };
    if !dir.exists() {
        let staged = dir.with_extension("staged");
        let _ = std::fs::remove_dir_all(&staged);
        make(set, megabytes, &staged, config.clone());
        std::fs::rename(&staged, &dir).expect("a name");
    }
    Store::open_local(&dir, config, Clock::system()).expect("a store").0
}

fn make(set: &str, megabytes: u64, dir: &Path, config: StoreConfig) {
    let (store, _) = Store::open_local(dir, config, Clock::system()).expect("a store");
    let (kind, format, line_bytes) = match set {
        "json" => (SourceKind::File, "", 277),
        _ => (SourceKind::NginxAccess, COMBINED, 189),
    };
    let lines = megabytes * 1_000_000 / line_bytes;
    let path = "/var/log/bench.log".to_owned();
    let source = SourceInfo { id: "1".into(), kind, path, format: format.to_owned(), labels: Default::default() };
    let mut names = Names::default();
    let mut parser = Parser::new(&source, "bench", &mut names);
    let mut generator = Generator::new(DAY_NS, lines);
    let (mut line, mut builder, mut text, mut raw_bytes) = (Line::default(), BlockBuilder::default(), String::new(), 0);
    for i in 0..lines {
        text.clear();
        if set == "json" {
            generator.json(&mut text)
        } else {
            generator.nginx(&mut text)
        }
        line.clear();
        let received_ns = DAY_NS + NS_PER_DAY;
        let input = Input { text: text.as_bytes(), time_ns: None, stream: Stream::None, received_ns };
        parser.parse(&mut names, input, &mut line);
        builder.push(&names, &line, text.as_bytes(), line.time_ns.unwrap_or(received_ns), i);
        raw_bytes += text.len() as u64;
        if builder.is_full() || i + 1 == lines {
            let block = Arc::new(std::mem::take(&mut builder).finish());
            store.append(vec![block], i / 4096 + 1, SourceRanges::default());
        }
        if raw_bytes >= SEAL_BYTES || i + 1 == lines {
            store.seal_now().expect("a seal");
            raw_bytes = 0;
        }
    }
}

//! The queries of the tables in `docs/benchmarks` on a sealed store, without HTTP:
//! `cargo bench -p logweir-aggregator --bench query -- [--megabytes N] [--runs N] [--cold] [--fresh] [--times N]
//! [WORDS OF A QUERY'S NAME]`.
//!
//! The store is made once for each format version and size, below `target/bench-query`. The first run finds nothing
//! decoded; of those behind it wall time is the median and CPU time the mean, over all threads.
//!
//! - `--cold` asks the kernel to forget the pages of the store and opens it anew before each run.
//! - `--fresh` asks for another text in each run, so that no answer to an earlier one helps.
//! - `--times N` is the growth: only needles and the newest rows, over N times as many splits. N - 1 of N are those of a
//!   set of the same size without the rare lines, as hard links under other names, and catalogued a day earlier each.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use logweir_aggregator::names::Names;
use logweir_aggregator::parse::line::Line;
use logweir_aggregator::parse::{Input, Parser};
use logweir_aggregator::ranges::SourceRanges;
use logweir_aggregator::search::execute::{Event, Request, run};
use logweir_aggregator::store::block::BlockBuilder;
use logweir_aggregator::store::catalogue::Catalogue;
use logweir_aggregator::store::commit::{LocalCommits, Record};
use logweir_aggregator::store::service::{Store, StoreConfig};
use logweir_aggregator::store::split::columns;
use logweir_aggregator::store::split::footer::{SplitMeta, VERSION};
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
    fresh: bool,
    times: u64,
    words: Vec<String>,
}

fn main() {
    let args = args();
    for (set, queries) in [("json", json_queries()), ("nginx", nginx_queries())] {
        let grows = |name: &str| args.times == 1 || name.starts_with("a ") || name.starts_with('b');
        let wanted: Vec<_> = queries
            .into_iter()
            .filter(|(name, _)| args.words.iter().all(|word| format!("{set} {name}").contains(word.as_str())))
            .filter(|(name, _)| grows(name))
            .collect();
        if wanted.is_empty() {
            continue;
        }
        eprintln!(
            "{set}, {} x {} MB: first ms, its CPU ms, wall ms, CPU ms, blocks, KiB read first, rows",
            args.times, args.megabytes
        );
        let dir = match args.times {
            1 => made(set, args.megabytes),
            times => grown(set, args.megabytes, times),
        };
        for (name, query) in wanted {
            measure(&dir, name, &query, &args);
        }
    }
}

fn args() -> Args {
    let mut args = Args { megabytes: 200, runs: 15, cold: false, fresh: false, times: 1, words: Vec::new() };
    let mut given = std::env::args().skip(1);
    while let Some(arg) = given.next() {
        let mut number = || given.next().and_then(|text| text.parse().ok()).expect("a number follows");
        match arg.as_str() {
            "--megabytes" => args.megabytes = number(),
            "--runs" => args.runs = number() as usize,
            "--cold" => args.cold = true,
            "--fresh" => args.fresh = true,
            "--times" => args.times = number(),
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

/// The query with another text that is found as often: other letters in upper case, another part of the same phrase, or
/// another way to write the same expression.
fn fresh(text: &str, run: usize) -> String {
    const PHRASE: &str = "payment declined by issuer after";
    let part = run % (PHRASE.len() - 10);
    let path = ["pi/ord", "api/or", "i/orde", "/order", "api/ord", "pi/orde", "i/orders", "/orders"][run % 8];
    for word in ["connection", "orders"] {
        if let Some(rest) = text.strip_prefix(word) {
            let cased = word.bytes().enumerate().map(|(i, byte)| match (run + 1) >> (i % 6) & 1 {
                1 => byte.to_ascii_uppercase() as char,
                _ => byte as char,
            });
            return cased.chain(rest.chars()).collect();
        }
    }
    if text.contains(RARE_TRACE) {
        // One that is nowhere, beside the one that is there: as many rows are found.
        return format!("{text} OR trace_id:{:032x}", hash(run as u64));
    }
    text.replace("yment decl", &PHRASE[part..part + 10])
        .replace("pi/ord", path)
        .replace("[0-9]+", &format!("[0-9]{{1,{}}}", run + 9))
}

/// A number that looks like any.
fn hash(number: u64) -> u128 {
    u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

/// Asks the kernel to forget the pages of all files below a folder.
fn forget(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            forget(&entry);
        } else {
            let file = std::fs::File::open(&entry).expect("a file");
            file.sync_all().expect("a sync");
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("it forgets");
        }
    }
}

fn measure(dir: &Path, name: &str, text: &str, args: &Args) {
    // Opened anew, so that the first run finds nothing decoded and nothing known.
    let mut store = open(dir);
    let (mut walls, mut cpu_before, mut first, mut told) = (Vec::new(), cpu_ms(), (0.0, 0.0), String::new());
    for number in 0..=args.runs {
        if args.cold {
            store = open(dir);
            forget(dir);
        }
        let text = if args.fresh { fresh(text, number) } else { text.to_owned() };
        let query = parse(&text).expect("a query");
        let request = Request {
            from_ns: Some(DAY_NS - (args.times as i64 - 1) * NS_PER_DAY),
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
                let cpu = cpu_ms();
                first = (wall, cpu - cpu_before);
                cpu_before = cpu;
                told = format!("{:6} {:8} {rows:6}", outcome.stats.blocks_read, outcome.stats.bytes / 1024);
            }
            _ => walls.push(wall),
        }
    }
    walls.sort_by(f64::total_cmp);
    let wall = walls.get(walls.len() / 2).copied().unwrap_or_default();
    let cpu = (cpu_ms() - cpu_before) / args.runs.max(1) as f64;
    eprintln!("{name:32} {:9.2} {:9.2} {wall:9.2} {cpu:9.2} {told}", first.0, first.1);
}

/// CPU time of all threads of this process, in steps of 10 ms.
fn cpu_ms() -> f64 {
    const MS_PER_TICK: f64 = 10.0;
    let stat = std::fs::read_to_string("/proc/self/stat").expect("the kernel tells");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // User and system time, counted from behind the name.
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().expect("a number") * MS_PER_TICK).sum()
}

fn config() -> StoreConfig {
    StoreConfig {
        seal_bytes: SEAL_BYTES,
        seal_age: Duration::MAX,
        compaction_bytes_per_s: u64::MAX,
        column_cache_bytes: columns::bytes_for_machine(),
        retention_days: 10_000,
        retention_bytes: None,
        classes: Vec::new(),
    }
}

fn open(dir: &Path) -> Store {
    Store::open_local(dir, config(), Clock::system()).expect("a store").0
}

fn place(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/bench-query").join(format!("{name}-v{VERSION}"))
}

/// The sealed store of a set; made if it is not there. A set whose name begins with `plain-` has no rare lines.
fn made(set: &str, megabytes: u64) -> PathBuf {
    let dir = place(&format!("{set}-{megabytes}"));
    if !dir.exists() {
        let staged = dir.with_extension("staged");
        let _ = std::fs::remove_dir_all(&staged);
        make(set, megabytes, &staged);
        std::fs::rename(&staged, &dir).expect("a name");
    }
    dir
}

/// A store of the set and of `times` - 1 others before it.
fn grown(set: &str, megabytes: u64, times: u64) -> PathBuf {
    let dir = place(&format!("{set}-{times}x{megabytes}"));
    let _ = std::fs::remove_dir_all(&dir);
    let commits = LocalCommits::open(&dir.join("commits")).expect("a log");
    let mut catalogue = Catalogue::default();
    for day in 0..times {
        let from = made(&if day == 0 { set.to_owned() } else { format!("plain-{set}") }, megabytes);
        let known = Catalogue::load(&LocalCommits::open(&from.join("commits")).expect("a log")).expect("a catalogue");
        let earlier_ns = day as i64 * NS_PER_DAY;
        let added = known.splits().values().map(|meta| {
            let path = format!("splits/{day}-{}", meta.path.replace('/', "-"));
            std::fs::create_dir_all(dir.join("splits")).expect("a folder");
            std::fs::hard_link(from.join(&meta.path), dir.join(&path)).expect("a link");
            SplitMeta {
                path,
                min_time_ns: meta.min_time_ns - earlier_ns,
                max_time_ns: meta.max_time_ns - earlier_ns,
                ..(**meta).clone()
            }
        });
        let record =
            Record { nonce: format!("day {day}"), time_ns: DAY_NS, added: added.collect(), ..Record::default() };
        catalogue.commit(&commits, &record).expect("a commit");
    }
    dir
}

fn make(set: &str, megabytes: u64, dir: &Path) {
    let store = open(dir);
    let (kind, format, line_bytes) = match set.ends_with("json") {
        true => (SourceKind::File, "", 303),
        false => (SourceKind::NginxAccess, COMBINED, 208),
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
        if set.ends_with("json") {
            generator.json(&mut text)
        } else {
            generator.nginx(&mut text)
        }
        if set.starts_with("plain-") {
            text = text.replace(RARE_TRACE, &format!("{i:032x}")).replace(RARE_PATH, "2k0fk18z");
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

//! A walk through every step that the disk sees: appends to the log, seals, commits, a merge, retention, and the repair of
//! a lost commit log. A process does them; `strace` ends it, or lets the disk be full, at the n-th call of a kind, for
//! every n. What is left is checked, opened, replayed and read: every line that was acknowledged is there, once.
//!
//! `make test` walks some of the points, others each time; `PROPTEST_CASES=100000` walks all of them.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use logweir_proto::record::seq_of;
use logweir_runtime::clock::Clock;
use proptest::test_runner::Config as ProptestConfig;

use super::fsck;
use crate::ranges::{SourceKey, SourceRanges};
use crate::store::block::Block;
use crate::store::fixture::{Row, blocks, row};
use crate::store::service::{Store, StoreConfig};
use crate::wal::Wal;
use crate::wal::local::LocalWal;

const NOW_NS: i64 = 1_795_176_000_000_000_000;
const DAY_NS: i64 = 24 * 3600 * 1_000_000_000;

/// Longer than housekeeping pauses, and longer than retired objects are kept for readers.
const ROUND_NS: i64 = 61 * 1_000_000_000;
const GRACE_NS: i64 = 601 * 1_000_000_000;

/// Small, so that records fill several.
const SEGMENT_BYTES: u64 = 300;

/// Enough for a merge. The first is older than retention.
const RECORDS: u64 = 11;
const LINES: u32 = 3;

/// What the process is told to do: the file in its directory that says so.
const TASK: &str = "task";

/// Calls by what they do. Their counters are those of a thread, so that each kind is walked by itself.
const KINDS: [&str; 4] =
    ["fsync,fdatasync", "write,pwrite64,writev", "rename,renameat,renameat2,link,linkat", "unlink,unlinkat,ftruncate"];

fn config() -> StoreConfig {
    StoreConfig {
        seal_bytes: 1 << 30,
        seal_age: Duration::from_secs(1 << 30),
        compaction_bytes_per_s: u64::MAX,
        column_cache_bytes: 1 << 20,
        retention_days: 30,
        retention_bytes: None,
        classes: Vec::new(),
    }
}

fn rows(record: u64) -> Vec<Row> {
    let time_ns = if record == 1 { NOW_NS - 40 * DAY_NS } else { NOW_NS + record as i64 };
    let line = |index: u32| row(time_ns, seq_of(record, index), &format!("n={record}.{index} \"line {index}\""));
    (0..LINES).map(line).collect()
}

fn publish(store: &Store, record: u64) {
    let mut ranges = SourceRanges::default();
    ranges.insert(&SourceKey::new("agent", "file"), record * 100, record * 100 + 100);
    let blocks: Vec<Arc<Block>> = blocks(&rows(record), 50).into_iter().map(Arc::new).collect();
    store.append(blocks, record, ranges);
}

/// Writes, seals, merges and retires. `acked` is told of every record that was acknowledged.
fn write(dir: &Path, acked: &mut dyn FnMut(u64)) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let clock = Clock::manual(NOW_NS);
    let (mut wal, _) = LocalWal::open_with(&dir.join("wal"), 1, SEGMENT_BYTES).map_err(|error| told(&error))?;
    let opened = Store::open_local(&dir.join("store"), config(), clock.clone());
    let (store, _) = opened.map_err(|error| told(&error))?;
    for _ in 1..=RECORDS {
        let number = wal.append(&[b"a record"]).and_then(|number| wal.sync().map(|()| number));
        let number = number.map_err(|error| told(&error))?;
        acked(number);
        publish(&store, number);
        // A seal that fails is tried again, with the next at the latest.
        drop(store.seal_now());
        clock.set(clock.now_ns() + ROUND_NS);
        if let Some(upto) = store.maintain() {
            drop(wal.truncate_before(upto));
        }
    }
    for _ in 0..3 {
        clock.set(clock.now_ns() + GRACE_NS);
        store.maintain();
    }
    Ok(())
}

fn check(dir: &Path, repair: bool) -> fsck::Report {
    let options = fsck::Options { deep: true, repair };
    fsck::run(dir, options, &Clock::manual(NOW_NS + DAY_NS), &mut |_, _| {}).expect("a check")
}

/// How often each line is there after a start of the server.
fn lines(dir: &Path) -> BTreeMap<String, usize> {
    let clock = Clock::manual(NOW_NS + DAY_NS / 2);
    let (store, recovered) = Store::open_local(&dir.join("store"), config(), clock).expect("a store");
    let (wal, damage) =
        LocalWal::open_with(&dir.join("wal"), recovered.wal_upto, SEGMENT_BYTES).expect("the log opens");
    assert_eq!(damage, []);
    let mut replay = |number, payload: &[u8]| {
        assert_eq!(payload, b"a record");
        publish(&store, number);
    };
    assert_eq!(wal.replay(recovered.wal_upto, &mut replay).expect("a replay"), []);
    let mut found = BTreeMap::new();
    for round in 0..2 {
        found = BTreeMap::new();
        for segment in &store.view().segments {
            for (block, stat) in segment.blocks().iter().enumerate() {
                let all: Vec<u32> = (0..stat.rows).collect();
                for line in segment.raw(block, &all).expect("lines are rebuilt") {
                    *found.entry(String::from_utf8(line).expect("a line")).or_default() += 1;
                }
            }
        }
        if round == 0 {
            store.seal_now().expect("a seal of what was replayed");
        }
    }
    found
}

/// Every acknowledged line once, and no line twice or that nobody wrote. The first record may be gone by its age.
fn judge(dir: &Path, acked: u64, told: &str) {
    let found = lines(dir);
    for record in 1..=RECORDS {
        for row in rows(record) {
            let line = String::from_utf8(row.raw).expect("a line");
            let times = found.get(&line).copied().unwrap_or_default();
            let least = usize::from(record > 1 && record <= acked);
            assert!((least..=1).contains(&times), "{told}: {line} is there {times} times, {acked} were acknowledged");
        }
    }
    assert!(found.len() <= (RECORDS * u64::from(LINES)) as usize, "{told}: {found:?}");
    let report = check(dir, false);
    assert!(!report.is_damaged(), "{told}: {:?}", report.store.findings);
}

fn acked(dir: &Path) -> u64 {
    fs::read_to_string(dir.join("acked")).unwrap_or_default().lines().count() as u64
}

/// The process that is ended. Without a task it does everything in a directory of its own, and nothing ends it.
#[test]
fn the_process() {
    let here = Path::new(".");
    match fs::read_to_string(here.join(TASK)).as_deref() {
        Ok("write") => {
            let mut told = fs::OpenOptions::new().create(true).append(true).open("acked").expect("a file");
            // An error is what the disk said: what was acknowledged before has to be there.
            drop(write(here, &mut |_| std::io::Write::write_all(&mut told, b"\n").unwrap_or_default()));
        }
        Ok(_) => {
            drop(fsck::run(here, fsck::Options { deep: false, repair: true }, &Clock::manual(NOW_NS), &mut |_, _| {}))
        }
        Err(_) => {
            let dir = tempfile::tempdir().expect("a directory");
            let mut count = 0;
            write(dir.path(), &mut |_| count += 1).expect("nothing ends it");
            assert_eq!(count, RECORDS);
            judge(dir.path(), count, "undisturbed");
            let found = lines(dir.path());
            assert_eq!(found.len(), ((RECORDS - 1) * u64::from(LINES)) as usize, "the old record is gone");
        }
    }
}

/// Runs the process below `strace`; the calls that it made, by thread and kind.
fn run(dir: &Path, inject: Option<&str>) -> [u64; KINDS.len()] {
    let exe = std::env::current_exe().expect("this program");
    let log = dir.join("strace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(&log).arg("-e").arg(format!("trace={}", KINDS.join(",")));
    command.args(inject.map(|inject| format!("--inject={inject}")));
    command.arg(exe).args(["--exact", "pipeline::walk::the_process", "--test-threads=1", "--quiet"]);
    let status = command.current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.expect("strace: 'deploy/dev/install.sh test' installs it");
    let mut calls: BTreeMap<(String, usize), u64> = BTreeMap::new();
    for line in fs::read_to_string(&log).expect("what strace saw").lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let Some((name, _)) = call.trim().split_once('(') else { continue };
        let kind = KINDS.iter().position(|kind| kind.split(',').any(|known| known == name));
        if let Some(kind) = kind {
            *calls.entry((thread.to_owned(), kind)).or_default() += 1;
        }
    }
    fs::remove_file(&log).expect("a file");
    let most = |kind: usize| calls.iter().filter(|((_, of), _)| *of == kind).map(|(_, count)| *count).max();
    std::array::from_fn(|kind| most(kind).unwrap_or_default())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).expect("a copy");
        }
    }
}

/// A directory with a task, and whatever `base` has.
fn place(task: &str, base: Option<&Path>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    if let Some(base) = base {
        copy(base, dir.path());
    }
    fs::write(dir.path().join(TASK), task).expect("a file");
    dir
}

/// Some of the points, others each time; the seed is printed.
fn some(points: Vec<String>, most: usize) -> Vec<String> {
    let seed = std::hash::RandomState::new().build_hasher().finish() as usize;
    let stride = (points.len() / most.max(1)).max(1);
    println!("{} points, every {stride} from {}", points.len(), seed % stride);
    points.into_iter().skip(seed % stride).step_by(stride).collect()
}

fn points(calls: [u64; KINDS.len()]) -> Vec<String> {
    let of = |kind: usize| {
        (1..=calls[kind]).flat_map(move |n| {
            let calls = KINDS[kind];
            [format!("signal=SIGKILL:when={n}"), format!("error=ENOSPC:when={n}"), format!("error=ENOSPC:when={n}+")]
                .map(|fault| format!("{calls}:{fault}"))
        })
    };
    (0..KINDS.len()).flat_map(of).collect()
}

#[test]
fn whatever_ends_a_step_of_the_store_nothing_acknowledged_is_lost_and_nothing_is_double() {
    let whole = place("write", None);
    let calls = run(whole.path(), None);
    assert_eq!(acked(whole.path()), RECORDS);
    assert!(calls.iter().all(|calls| *calls > 0), "{calls:?}");
    let walked = some(points(calls), ProptestConfig::default().cases as usize / 12);
    for point in &walked {
        let dir = place("write", None);
        run(dir.path(), Some(point));
        judge(dir.path(), acked(dir.path()), point);
    }
}

#[test]
fn a_repair_that_is_ended_anywhere_is_made_again_and_loses_nothing() {
    let whole = place("write", None);
    run(whole.path(), None);
    let lose = |dir: &Path| fs::remove_dir_all(dir.join("store/commits")).expect("the commit log");
    let lost = place("repair", Some(whole.path()));
    lose(lost.path());
    let walked = some(points(run(lost.path(), None)), ProptestConfig::default().cases as usize / 25);
    for point in &walked {
        let dir = place("repair", Some(whole.path()));
        lose(dir.path());
        run(dir.path(), Some(point));
        check(dir.path(), true);
        judge(dir.path(), RECORDS, point);
    }
}

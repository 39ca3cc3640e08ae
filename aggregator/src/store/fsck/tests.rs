//! Stores in a directory, damaged on purpose.

use std::fs;
use std::path::PathBuf;

use logweir_proto::record::seq_of;
use logweir_runtime::clock::Clock;

use super::*;
use crate::ranges::{SourceKey, SourceRanges};
use crate::store::block::Block;
use crate::store::fixture::{blocks, row};
use crate::store::service::{Store, StoreConfig};
use crate::store::split::footer::{Footer, PARQUET_TAIL_BYTES, Section, TRAILER_BYTES, Trailer};

const HOUR_NS: i64 = 3600 * 1_000_000_000;

struct Dir {
    root: tempfile::TempDir,
    now_ns: i64,
    clock: Clock,
}

impl Dir {
    /// Three splits of two blocks each.
    fn new() -> Dir {
        let now_ns = 1_795_176_000_000_000_000;
        let dir = Dir { root: tempfile::tempdir().expect("a directory"), now_ns, clock: Clock::manual(now_ns) };
        let (store, _) = dir.open().expect("a store");
        for record in 1..=3u64 {
            let line = |i: u32| {
                let time_ns = dir.now_ns + record as i64 * HOUR_NS + i64::from(i) * 1_000_000;
                // Identifiers that do not compress, so that the pages of one block fill granules of their own.
                let id = u128::from(i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
                let text = format!("level=info n={i} id=x{id:032x} \"line {i} of {record}\"");
                row(time_ns, seq_of(record, i), &text)
            };
            let rows: Vec<_> = (0..5000).map(line).collect();
            let blocks: Vec<Arc<Block>> = blocks(&rows, 1000).into_iter().map(Arc::new).collect();
            let mut ranges = SourceRanges::default();
            ranges.insert(&SourceKey::new("agent", "file"), record * 100, record * 100 + 100);
            store.append(blocks, record, ranges);
            store.seal_now().expect("seal");
            dir.clock.set(dir.now_ns + record as i64 * HOUR_NS);
        }
        dir
    }

    fn store(&self) -> PathBuf {
        self.root.path().join("store")
    }

    fn open(&self) -> Result<(Store, crate::store::service::Recovered), StoreError> {
        let config = StoreConfig {
            seal_bytes: 1 << 30,
            seal_age: std::time::Duration::from_secs(600),
            compaction_bytes_per_s: 1 << 30,
            column_cache_bytes: 1 << 20,
            retention_days: 30,
            retention_bytes: None,
            classes: Vec::new(),
        };
        Store::open_local(&self.store(), config, self.clock.clone())
    }

    fn check(&self, deep: bool) -> Checked {
        let mut checked = Checked::default();
        let fsck = Fsck::open(&self.store()).expect("a check");
        let catalogue = fsck.catalogue(&mut checked).expect("a catalogue");
        let catalogue = catalogue.unwrap_or_else(|| fsck.rebuild(None, self.now_ns, &mut checked).catalogue);
        fsck.check_splits(&catalogue, deep, &mut checked, &mut |_, _| {});
        checked
    }

    fn splits(&self) -> Vec<PathBuf> {
        let store = Objects::local(&self.store()).expect("objects");
        let mut listed = store.list(SPLITS).expect("a list");
        listed.sort_by_key(|object| object.path.rsplit('/').next().map(str::to_owned));
        listed.into_iter().map(|object| self.store().join(object.path)).collect()
    }

    fn flip(path: &Path, at: usize) {
        let mut bytes = fs::read(path).expect("a file");
        bytes[at] ^= 0x10;
        fs::write(path, bytes).expect("a file");
    }
}

#[test]
fn a_whole_store_has_nothing_to_report() {
    let dir = Dir::new();
    for (deep, lines) in [(false, 15_000), (true, 15_000)] {
        let checked = dir.check(deep);
        assert_eq!(checked.findings, []);
        assert_eq!((checked.splits, checked.blocks, checked.rows, checked.lines), (3, 6, 15_000, lines));
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found_and_costs_no_more_than_its_block() {
    let dir = Dir::new();
    let path = dir.splits().swap_remove(1);
    let len = fs::metadata(&path).expect("a file").len() as usize;
    let (mut of_blocks, mut of_one, mut of_split) = (0, 0, 0);
    for at in (0..len).step_by(len / 24).chain((0..12).map(|i| len - 1 - 5 * i)) {
        Dir::flip(&path, at);
        let checked = dir.check(false);
        assert!(!checked.findings.is_empty(), "byte {at} of {len}");
        for finding in &checked.findings {
            assert!(path.ends_with(&finding.path) && !finding.harmless, "{finding:?}");
            let (from, to) = finding.times_ns.expect("a range of time");
            assert!(from >= dir.now_ns + 2 * HOUR_NS && to < dir.now_ns + 3 * HOUR_NS);
            of_blocks += usize::from(finding.block.is_some());
            of_split += usize::from(finding.block.is_none());
        }
        of_one += usize::from(checked.findings.len() == 1 && checked.findings[0].block.is_some());
        Dir::flip(&path, at);
    }
    // A granule of the checksums may hold the ends of two blocks.
    assert!(of_blocks > 5 && of_one > 0 && of_split > 5, "{of_blocks} {of_one} {of_split}");
    assert_eq!(dir.check(true).findings, []);
}

/// Where the parts of a split are, by name.
fn sections_of(path: &Path) -> Vec<(&'static str, std::ops::Range<usize>)> {
    let bytes = fs::read(path).expect("a split");
    let metadata_end = bytes.len() - PARQUET_TAIL_BYTES;
    let tail: [u8; 4] = bytes[metadata_end..metadata_end + 4].try_into().expect("four bytes");
    let metadata_at = metadata_end - u32::from_le_bytes(tail) as usize;
    let trailer_at = metadata_at - TRAILER_BYTES;
    let footer_at = Trailer::decode(&bytes[trailer_at..metadata_at]).expect("a trailer").footer;
    let span = |section: Section| section.offset as usize..(section.offset + section.bytes) as usize;
    let footer = Footer::decode(&bytes[span(footer_at)]).expect("a footer");
    let of = footer.sections;
    let sections = vec![
        ("rows", 0..of.rows_bytes as usize),
        ("hashes", span(of.hashes)),
        ("sums", span(of.sums)),
        ("lexicon", span(of.lexicon)),
        ("tally", span(of.tally)),
        ("shapes", span(of.shapes)),
        ("receipts", span(of.receipts)),
        ("gate", span(of.gate)),
        ("footer", span(footer_at)),
        ("trailer", trailer_at..metadata_at),
        ("Parquet metadata", metadata_at..metadata_end),
        ("Parquet tail", metadata_end..bytes.len()),
    ];
    let whole: usize = sections.iter().map(|(_, span)| span.len()).sum();
    assert_eq!(whole, bytes.len(), "there is no byte outside the sections");
    sections
}

#[test]
fn a_flipped_bit_of_each_section_is_named() {
    let dir = Dir::new();
    let path = dir.splits().swap_remove(1);
    let mut shown = String::new();
    for (name, span) in sections_of(&path) {
        let mut found = BTreeMap::new();
        for at in [span.start, span.start + span.len() / 3, span.end - 1] {
            Dir::flip(&path, at);
            let checked = dir.check(false);
            assert!(!checked.findings.is_empty(), "{name} at {at}");
            for finding in checked.findings {
                assert!(
                    path.ends_with(&finding.path) && !finding.harmless && finding.times_ns.is_some(),
                    "{finding:?}"
                );
                let what: String = finding.what.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
                found.entry(what.replace("##", "#").replace("##", "#").replace("##", "#")).or_insert(finding.block);
            }
            Dir::flip(&path, at);
        }
        shown += &format!("{name}\n");
        found.iter().for_each(|(what, block)| shown += &format!("    {block:?} {what}\n"));
    }
    expect_test::expect![[r#"
        rows
            Some(0) External: Parquet argument error: Parquet error: the rows do not match their checksum near byte #
            None Parquet metadata: the rows do not match their checksum near byte #
            Some(0) the rows do not match their checksum near byte #
        hashes
            None the hashes section does not match its checksum
        sums
            None Parquet metadata: the sums section does not match its checksum
            Some(0) the sums section does not match its checksum
        lexicon
            None the lexicon section does not match its checksum
        tally
            None the tally section does not match its checksum
        shapes
            None the shapes section does not match its checksum
        receipts
            None the receipts section does not match its checksum
        gate
            None the gate section does not match its checksum
        footer
            None the footer section does not match its checksum
        trailer
            None the object is no split, or its end is damaged
            None the trailer does not match its checksum
        Parquet metadata
            None the Parquet metadata section does not match its checksum
        Parquet tail
            None the object is no split, or its end is damaged
            None the object is too short for a split
    "#]]
    .assert_eq(&shown);
}

#[test]
fn a_query_names_the_time_that_a_damaged_block_costs() {
    let dir = Dir::new();
    let path = dir.splits().swap_remove(1);
    let len = fs::metadata(&path).expect("a file").len() as usize;
    let damage = (0..len).step_by(4096).find(|at| {
        Dir::flip(&path, *at);
        let found = dir.check(false).findings;
        let is_one_block = found.len() == 1 && found[0].block.is_some();
        if !is_one_block {
            Dir::flip(&path, *at);
        }
        is_one_block
    });
    damage.expect("a byte of one block");
    let found = dir.check(false).findings;
    let times_ns = found[0].times_ns.expect("a range");
    let (store, _) = dir.open().expect("a store");
    let query = logweir_proto::query::parse::parse("line id:* n:* | stats count, dc(id), sum(n)").expect("a query");
    let request = crate::search::testing::request(10);
    let whole = crate::search::testing::ask(&query, &request, &store.view().segments);
    assert!(!whole.outcome.is_complete());
    let missing = &whole.outcome.missing;
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert_eq!(missing[0].from, logweir_runtime::clock::rfc3339(times_ns.0));
}

#[test]
fn a_lost_or_damaged_commit_log_is_made_anew_from_the_splits() {
    for damage in ["lost", "first", "middle", "checkpoint"] {
        let dir = Dir::new();
        let commits = dir.store().join("commits");
        let record = |number: u64| commits.join(format!("{number:020}.commit"));
        match damage {
            "lost" => fs::remove_dir_all(&commits).expect("the log"),
            "first" => fs::remove_file(record(1)).expect("a record"),
            "middle" => Dir::flip(&record(2), 30),
            _ => fs::write(commits.join("checkpoint"), "nonsense").expect("a file"),
        }
        let mut checked = Checked::default();
        let fsck = Fsck::open(&dir.store()).expect("a check");
        assert!(fsck.catalogue(&mut checked).expect("read").is_none(), "{damage}");
        assert!(checked.findings.iter().any(|finding| !finding.harmless), "{damage}");
        assert!(dir.open().is_err(), "{damage}: a server does not start on it");
        let mut rebuilt = fsck.rebuild(Some(3), dir.now_ns, &mut Checked::default());
        assert_eq!(rebuilt.left_out.len(), 1, "record 3 is taken from the WAL");
        rebuilt = fsck.rebuild(Some(4), dir.now_ns, &mut Checked::default());
        let aside = fsck.install(&mut rebuilt.catalogue, dir.now_ns).expect("installed");
        assert!(Path::new(&aside).is_dir());
        let (store, recovered) = dir.open().expect("a store");
        assert_eq!(recovered.wal_upto, 4);
        let ranges = recovered.ranges.get(&SourceKey::new("agent", "file")).expect("ranges");
        assert!(ranges.contains(100, 400) && !ranges.contains(100, 401));
        assert_eq!(store.view().segments.len(), 3);
        assert_eq!(dir.check(true).findings, []);
    }
}

#[test]
fn what_is_missing_and_what_is_too_much_is_named() {
    let dir = Dir::new();
    let splits = dir.splits();
    fs::remove_file(&splits[0]).expect("a split");
    fs::write(splits[1].with_file_name("orphan.split"), "half of a spl").expect("a file");
    fs::write(dir.store().join("commits").join(format!("{:020}.commit", 5)), "torn").expect("a file");
    let checked = dir.check(false);
    let shown: Vec<_> = checked.findings.iter().map(|finding| (finding.harmless, &*finding.what)).collect();
    expect_test::expect![[r#"
        [
            (
                true,
                "the last record is torn: it was never confirmed, or lost since",
            ),
            (
                false,
                "the object is not there",
            ),
            (
                true,
                "13 bytes that no commit names: a crash or a merge left them, the server deletes them",
            ),
        ]
    "#]]
    .assert_eq(&format!("{shown:#?}\n"));
    let fsck = Fsck::open(&dir.store()).expect("a check");
    fs::remove_file(dir.store().join("commits").join(format!("{:020}.commit", 5))).expect("a file");
    let mut catalogue = fsck.catalogue(&mut Checked::default()).expect("read").expect("a catalogue");
    assert_eq!(fsck.forget_missing(&mut catalogue, dir.now_ns).expect("a commit"), 1);
    let left = dir.check(true).findings;
    assert!(left.iter().all(|finding| finding.harmless), "{left:?}");
}

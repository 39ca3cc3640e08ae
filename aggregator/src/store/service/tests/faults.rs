//! Faults at every step of a store with classes: sealing, merging, retention, and the loss of the commit log on top.

use super::*;
use crate::store::catalogue::Catalogue;
use crate::store::fsck::{Checked, Fsck};
use crate::store::service::classes::tests::class;

/// Rows of three classes in every record: those whose number divides by six, by two, and the rest.
fn classes() -> StoreConfig {
    StoreConfig { classes: vec![class("six", 6), class("two", 2)], ..config() }
}

/// Opens the store after the commit log was lost: its catalogue comes from the splits.
fn reopen_rebuilt(world: &mut World, wal_first: Option<u64>) -> Store {
    let dir = tempfile::tempdir().expect("a directory");
    let fsck = Fsck::of(world.objects(), dir.path()).expect("a check");
    let mut checked = Checked::default();
    let mut rebuilt = fsck.rebuild(wal_first, world.clock.now_ns(), &mut checked);
    let torn = |what: &str| what.contains("stays where it is");
    assert!(checked.findings.iter().all(|finding| torn(&finding.what)), "{:?}", checked.findings);
    world.commits.inner = MemoryCommits::default();
    rebuilt.catalogue.checkpoint(&world.commits.inner).expect("a checkpoint");
    world.open().0
}

/// Every split has rows of one class, the one in its name and its footer.
fn check_classes(store: &Store) {
    let state = store.inner.state();
    for meta in state.splits.values() {
        let split = store.inner.cache.get(&meta.path).expect("the split opens");
        assert_eq!((&split.known().footer.meta.class, meta.path.contains(&meta.class)), (&meta.class, true));
        for block in 0..split.known().footer.blocks.len() {
            for seq in split.seqs(block).expect("rows") {
                let want = if seq % 6 == 0 {
                    "six"
                } else if seq % 2 == 0 {
                    "two"
                } else {
                    ""
                };
                assert_eq!(meta.class, want, "{seq} in {}", meta.path);
            }
        }
    }
}

#[test]
fn a_seal_of_classes_that_fails_anywhere_leaves_each_row_exactly_once() {
    use Fault::{After, Before, None, Torn};
    let mut cases = vec![(0, None, Before), (0, None, After)];
    for puts in 0..3 {
        cases.extend([(puts, Before, None), (puts, After, None), (puts, Torn, None)]);
    }
    for (puts, put, append) in cases {
        for (crash, lost) in [(false, false), (true, false), (true, true)] {
            let mut world = World::with(classes());
            let (mut store, _) = world.open();
            world.write(&store, 20);
            store.seal_now().expect("a first seal");
            world.write(&store, 20);
            world.objects.puts_before.store(puts, Ordering::SeqCst);
            world.fault(put, append);
            assert!(store.seal_now().is_err(), "{puts} {put:?} {append:?}");
            world.check(&store);
            world.fault(None, None);
            world.objects.puts_before.store(0, Ordering::SeqCst);
            if crash {
                // The WAL may have been cut behind the first seal, or not yet.
                store = if lost { reopen_rebuilt(&mut world, Some(2)) } else { world.open().0 };
                world.check(&store);
            }
            world.write(&store, 7);
            store.seal_now().expect("the second try");
            store.seal_now().expect("what came meanwhile");
            world.check(&store);
            check_classes(&store);
            let (store, recovered) = world.open();
            assert_eq!(recovered.wal_upto, 4);
            world.check(&store);
            // What a crash left lies beside it, and the commit log is gone: a row is still one row.
            for wal_first in [Option::None, Some(1), Some(2), Some(4)].into_iter().filter(|_| crash && !lost) {
                let store = reopen_rebuilt(&mut world, wal_first);
                world.check(&store);
            }
        }
    }
}

#[test]
fn a_crash_in_the_first_seal_is_not_taken_for_a_lost_commit_log() {
    use Fault::{After, Before, None, Torn};
    for (puts, put, append) in
        [(0, After, None), (1, Torn, None), (1, After, None), (2, After, None), (0, None, Before)]
    {
        let mut world = World::with(classes());
        let (store, _) = world.open();
        // Each class begins with another record of the WAL.
        [1, 2, 7].into_iter().for_each(|rows| world.write(&store, rows));
        world.objects.puts_before.store(puts, Ordering::SeqCst);
        world.fault(put, append);
        assert!(store.seal_now().is_err(), "{puts} {put:?} {append:?}");
        world.fault(None, None);
        world.objects.puts_before.store(0, Ordering::SeqCst);
        let (store, _) = world.open();
        world.check(&store);
        store.seal_now().expect("the second try");
        world.check(&store);
        check_classes(&store);
    }
}

#[test]
fn a_merge_of_classes_that_fails_anywhere_leaves_each_row_exactly_once() {
    use Fault::{After, Before, None, Torn};
    for (put, append) in [(Before, None), (After, None), (Torn, None), (None, Before), (None, After)] {
        for lost in [false, true] {
            let mut world = World::with(classes());
            let (store, _) = world.open();
            for i in 0..compact::INPUTS_MIN as u32 {
                world.write(&store, 12 + i);
                store.seal_now().expect("seal");
            }
            let before = store.view().segments.len();
            assert_eq!(before, 3 * compact::INPUTS_MIN);
            world.fault(put, append);
            store.maintain();
            world.check(&store);
            world.fault(None, None);
            let store = if lost { reopen_rebuilt(&mut world, Option::None) } else { world.open().0 };
            world.check(&store);
            for _ in 0..3 {
                world.clock.set(world.clock.now_ns() + compact::COMPACT_EVERY_NS);
                store.maintain();
                world.check(&store);
            }
            check_classes(&store);
            assert_eq!(store.view().segments.len(), 3, "one split a class");
            // The inputs are still there, for readers, and whatever the fault left.
            for wal_first in [Option::None, Some(1), Some(5)] {
                let store = reopen_rebuilt(&mut world, wal_first);
                world.check(&store);
                check_classes(&store);
            }
        }
    }
}

#[test]
fn a_class_goes_when_its_days_are_over_and_nothing_else_does() {
    for (append, crash) in [(Fault::None, false), (Fault::Before, true), (Fault::After, true), (Fault::After, false)] {
        // `class` keeps for as many days as the number that it divides by.
        let mut world = World::with(classes());
        let (mut store, _) = world.open();
        for _ in 0..10 {
            world.clock.set(world.clock.now_ns() + DAY_NS);
            world.next_time.store(world.clock.now_ns(), Ordering::SeqCst);
            world.write(&store, 12);
            store.seal_now().expect("seal");
        }
        world.fault(Fault::None, append);
        assert_eq!(store.retain().is_err(), append != Fault::None);
        world.fault(Fault::None, Fault::None);
        if crash {
            store = world.open().0;
        }
        store.retain().expect("retention");
        let now = world.clock.now_ns();
        let kept = |row: &&Row| {
            let days = if row.seq.is_multiple_of(6) {
                6
            } else if row.seq.is_multiple_of(2) {
                2
            } else {
                30
            };
            row.time_ns >= now - days * DAY_NS
        };
        let want: BTreeSet<_> = world.wal.iter().flatten().filter(kept).map(|row| (row.time_ns, row.seq)).collect();
        assert_eq!(ids(&store), want.into_iter().collect::<Vec<_>>());
        let shown = store.retention();
        let shown: Vec<_> = shown.iter().map(|kept| (&*kept.class, kept.days, kept.splits, kept.rows)).collect();
        assert_eq!(shown, [("default", 30, 10, 60), ("six", 6, 7, 14), ("two", 2, 3, 12)]);
        // The objects go after the grace, and only those.
        world.clock.set(now + retention::GRACE_NS);
        store.retain().expect("retention");
        let left = world.objects().list(SPLITS).expect("list").len();
        assert!(if crash { left >= 20 } else { left == 20 }, "{left}");
    }
}

#[test]
fn the_oldest_bytes_go_first_whatever_their_class() {
    let mut world = World::with(StoreConfig { retention_bytes: Some(0), ..classes() });
    let (store, _) = world.open();
    world.days_pass(&store, 5);
    let bytes: u64 = store.retention().iter().map(|kept| kept.bytes).sum();
    store.retain().expect("retention");
    assert!(bytes > 0 && ids(&store).is_empty(), "no byte is allowed");
    world.config.retention_bytes = Some(bytes);
    let (store, _) = world.open();
    world.days_pass(&store, 20);
    store.retain().expect("retention");
    let kept: u64 = store.retention().iter().map(|kept| kept.bytes).sum();
    assert!(kept <= bytes && kept > bytes / 2, "{kept} of {bytes}");
    let times: Vec<i64> = ids(&store).iter().map(|(time_ns, _)| *time_ns).collect();
    let newest = world.wal.iter().rev().flatten().take(times.len()).map(|row| row.time_ns).min();
    assert_eq!(times.first().copied(), newest, "the newest are kept");
}

#[test]
fn a_store_whose_commit_log_is_gone_does_not_start() {
    let mut world = World::with(classes());
    let (store, _) = world.open();
    for _ in 0..2 {
        world.write(&store, 9);
        store.seal_now().expect("seal");
    }
    world.commits.inner = MemoryCommits::default();
    let opened = Store::open(config(), world.objects(), Box::new(world.commits.clone()), world.clock.clone());
    assert!(matches!(opened.err(), Some(StoreError::Lost)), "it would delete its splits after a day");
    let store = reopen_rebuilt(&mut world, None);
    world.check(&store);
    assert!(!Catalogue::load(&world.commits.inner).expect("a catalogue").is_new());
}

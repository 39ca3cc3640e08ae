use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;

use super::*;
use crate::decode::Multiline;
use crate::tail::checkpoint::PlannedRange;
use crate::tail::model::World;

fn state(generation: &str, in_flight: &[(u64, u64)]) -> Checkpoint<'static> {
    let plan = in_flight.iter().map(|(from, to)| PlannedRange { source: "1-ab".into(), from: *from, to: *to });
    Checkpoint { generation: generation.into(), in_flight: plan.collect(), ..Checkpoint::new("agent".into()) }
}

fn records(states: &[Checkpoint<'_>]) -> Vec<u8> {
    states.iter().flat_map(|state| record(state).expect("json")).collect()
}

fn folded(bytes: &[u8]) -> Checkpoint<'static> {
    let mut checkpoint = state("g1", &[]);
    fold(bytes, &mut checkpoint);
    checkpoint
}

#[test]
fn a_torn_journal_is_as_good_as_its_whole_records() {
    let states = [state("g1", &[(0, 5)]), state("g1", &[(5, 9)]), state("g1", &[(9, 20)])];
    let ends: Vec<usize> = (0..=3).map(|n| records(&states[..n]).len()).collect();
    let bytes = records(&states);
    for len in 0..=bytes.len() {
        let whole = ends.iter().filter(|end| **end <= len).count() - 1;
        let want = if whole == 0 { state("g1", &[]) } else { states[whole - 1].clone() };
        let mut torn = bytes[..len].to_vec();
        assert_eq!(folded(&torn), want, "{len}");
        // What was never written is NULs, or the rest of a record of the generation before.
        torn.extend_from_slice(&[0; 100]);
        assert_eq!(folded(&torn), want, "{len}");
        let old = records(&[state("g0", &[(1_000, 2_000)]), state("g0", &[(2_000, 3_000)])]);
        torn.truncate(len);
        torn.extend_from_slice(old.get(len..).unwrap_or_default());
        assert_eq!(folded(&torn), want, "{len}");
    }
}

#[test]
fn records_of_another_generation_are_not_taken() {
    let bytes = records(&[state("g1", &[(0, 5)]), state("g0", &[(5, 9)]), state("g1", &[(9, 20)])]);
    assert_eq!(folded(&bytes), state("g1", &[(0, 5)]));
}

proptest! {
    #[test]
    fn hostile_bytes_change_nothing(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..300, flip in 1u8..) {
        prop_assert_eq!(folded(&bytes), state("g1", &[]));
        let mut damaged = records(&[state("g1", &[(0, 5)])]);
        let at = at % damaged.len();
        damaged[at] ^= flip;
        // Upper case hex digits are as good as lower case ones.
        if !damaged[at].eq_ignore_ascii_case(&(damaged[at] ^ flip)) {
            prop_assert_eq!(folded(&damaged), state("g1", &[]));
        }
    }
}

/// Bytes of records that are in the file.
fn length(world: &World) -> u64 {
    world.tail.as_ref().map_or(0, |tail| tail.journal.end)
}

#[test]
fn a_plan_is_a_record_and_is_there_after_a_crash() {
    let mut world = World::new(Multiline::None);
    world.drain();
    let whole = fs::read(Checkpoint::path(&world.settings.state_dir)).expect("a checkpoint");
    for _ in 0..3 {
        let before = length(&world);
        world.lines(3);
        let built = world.build().expect("a batch");
        let record_bytes = length(&world) - before;
        assert!((1..2_000).contains(&record_bytes), "{record_bytes}");
        assert_eq!(fs::read(Checkpoint::path(&world.settings.state_dir)).expect("a checkpoint"), whole);
        let loaded = Checkpoint::load(&world.settings.state_dir).expect("readable").expect("a checkpoint");
        assert_eq!(loaded.in_flight, built.plan);
        assert_eq!(loaded.sources.len(), 1);
        world.deliver(&built, &mut VecDeque::new());
    }
    world.kill();
    world.check();
}

#[test]
fn a_full_journal_begins_anew_with_the_whole_state() {
    let mut world = World::new(Multiline::None);
    let mut begun = 0;
    for _ in 0..40 {
        world.lines(1);
        let before = length(&world);
        world.ship();
        begun += u32::from(length(&world) < before);
        assert!(length(&world) <= world.tail.as_ref().expect("it runs").journal.bytes_max);
    }
    assert!(begun > 2, "{begun}");
    world.kill();
    world.check();
}

#[test]
fn without_a_journal_the_state_is_written_whole() {
    let mut world = World::new(Multiline::None);
    world.kill();
    let path = path(&world.settings.state_dir);
    fs::remove_file(&path).expect("the journal");
    fs::create_dir(&path).expect("something else in its place");
    let error = Checkpoint::load(&world.settings.state_dir).expect_err("it cannot be told what is in it").to_string();
    assert!(error.contains("checkpoint.log"), "{error}");
    fs::remove_dir(&path).expect("it is empty");
    world.start();
    world.lines(2);
    assert!(world.ship());
    // It goes away under the agent, and with it nothing but the promise of this one record.
    fs::remove_file(&path).expect("the journal");
    world.check();
}

#[test]
fn a_source_that_is_forgotten_does_not_come_back() {
    let sources = |ids: &[&str]| -> Vec<SavedSource<'static>> { ids.iter().map(|id| saved(id)).collect() };
    let bytes = records(&[
        Checkpoint { sources: sources(&["2-x", "3-x"]), ..state("g1", &[]) },
        Checkpoint { forgotten: vec!["2".into(), "7".into(), "odd".into()], ..state("g1", &[]) },
    ]);
    let mut checkpoint = Checkpoint { sources: sources(&["1-x"]), ..state("g1", &[]) };
    fold(&bytes, &mut checkpoint);
    let ids: Vec<&str> = checkpoint.sources.iter().map(|source| &*source.info.id).collect();
    assert_eq!((ids, checkpoint.forgotten.len()), (vec!["1-x", "3-x"], 0));
}

fn saved(id: &str) -> SavedSource<'static> {
    let json = format!(
        r#"{{"info":{{"id":"{id}","kind":"file","path":"/x","format":"","labels":{{}}}},"multiline":"auto",
        "stage":"live","id":{{"dev":1,"ino":2}},"fingerprint":{{"len":0,"hash":0}},"path_now":"/x","acked":0,"size":0}}"#
    );
    serde_json::from_str(&json).expect("a source")
}

#[test]
fn a_file_of_an_older_generation_is_written_over() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = open(dir.path()).expect("a journal");
    let len = file.metadata().expect("its metadata").len();
    assert_eq!(len, JOURNAL_BYTES_MAX);
    file.write_all_at(&records(&[state("g0", &[(0, 5)]), state("g0", &[(5, 9)])]), 0).expect("old records");
    let file = open(dir.path()).expect("the same one");
    file.write_all_at(&records(&[state("g1", &[(7, 8)])]), 0).expect("a new record");
    let mut checkpoint = state("g1", &[]);
    replay(dir.path(), &mut checkpoint).expect("it is read");
    assert_eq!(checkpoint, state("g1", &[(7, 8)]));
}

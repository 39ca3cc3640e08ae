//! Links, holes, and files that are made anew.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

use logweir_proto::batch::SourceKind;
use proptest::prelude::*;

use super::*;
use crate::decode::Multiline;
use crate::tail::model::World;
use crate::tail::reader::HOLE_BYTES_MIN;

fn world() -> World {
    World::new(Multiline::None)
}

fn candidate(path: &Path) -> Candidate {
    Candidate {
        path: path.to_path_buf(),
        kind: SourceKind::File,
        format: Default::default(),
        labels: Default::default(),
        multiline: Multiline::None,
        start_at: StartAt::Beginning,
        stat: None,
    }
}

#[test]
fn a_symbolic_link_that_is_swapped_leads_to_a_new_file_and_the_old_one_is_finished() {
    let mut world = world();
    let dir = world.log.with_file_name("app");
    for release in ["one", "two"] {
        fs::create_dir_all(dir.join(release)).unwrap();
    }
    symlink("one", dir.join("current")).unwrap();
    world.log = dir.join("current/app.log");
    world.lines(3);
    world.drain();
    assert!(world.tail.as_ref().unwrap().needs_looks(), "no directory tells of a link on the way");
    world.lines(2);
    symlink("two", dir.join("next")).unwrap();
    fs::rename(dir.join("next"), dir.join("current")).unwrap();
    world.finish();
    world.lines(4);
    world.check();
    // The link of the log itself, while the agent is down.
    fs::remove_file(dir.join("current")).unwrap();
    world.finish();
    world.log = dir.join("app.log");
    fs::write(dir.join("a"), "").unwrap();
    symlink("a", dir.join("app.log")).unwrap();
    world.lines(2);
    world.drain();
    world.kill();
    fs::write(dir.join("b"), "").unwrap();
    fs::remove_file(dir.join("app.log")).unwrap();
    symlink("b", dir.join("app.log")).unwrap();
    world.finish();
    world.lines(2);
    world.check();
}

#[test]
fn two_names_of_one_file_are_one_source() {
    let mut world = world();
    world.lines(3);
    let hard = world.log.with_file_name("hard.log");
    let soft = world.log.with_file_name("soft.log");
    fs::hard_link(&world.log, &hard).unwrap();
    symlink(&world.log, &soft).unwrap();
    let now = world.at();
    let found: Vec<Candidate> = [&world.log, &hard, &soft].map(|path| candidate(path)).into();
    world.tail.as_mut().unwrap().rescan(&found, now);
    while world.ship() {}
    assert_eq!(world.server.records.len(), 3);
    // One name goes, the file stays.
    fs::remove_file(&world.log).unwrap();
    world.tail.as_mut().unwrap().rescan(&found[1..], now);
    let mut file = OpenOptions::new().append(true).open(&hard).unwrap();
    std::io::Write::write_all(&mut file, b"one more\n").unwrap();
    world.tail.as_mut().unwrap().rescan(&found[1..], now);
    while world.ship() {}
    assert_eq!(world.server.records.len(), 4);
    assert_eq!(world.server.streams().len(), 1);
}

#[test]
fn a_hole_is_one_empty_record_and_small_ones_are_the_nuls_that_they_show() {
    let mut world = world();
    world.lines(1);
    world.drain();
    let file = OpenOptions::new().write(true).open(&world.log).unwrap();
    let far = 50 * HOLE_BYTES_MIN as u64;
    file.write_all_at(b"behind the hole\nnul \0 byte\n", far).unwrap();
    file.write_all_at(b"end\n", far + 20_000).unwrap();
    for restart in [false, true] {
        if restart {
            // Planned before a crash: the same ranges again.
            world.build();
            world.kill();
        }
        world.drain();
    }
    let records: Vec<(u64, &[u8])> =
        world.server.records.iter().skip(1).map(|((_, start), (_, text))| (*start, text.as_slice())).collect();
    let first = world.server.records.values().next().unwrap().0;
    let holes: Vec<&(u64, &[u8])> = records.iter().filter(|(_, text)| text.is_empty()).collect();
    assert_eq!(holes, [&(first, b"".as_slice())]);
    assert_eq!(records[1], (far, b"behind the hole".as_slice()));
    assert_eq!(records[2].1, b"nul \0 byte");
    let last = records[3].1;
    assert!(last.ends_with(b"end") && last[..last.len() - 3].iter().all(|byte| *byte == 0));
    assert_eq!(records.len(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Deleted and made anew: the inode comes back at once, and the old file is read through its descriptor.
    #[test]
    fn each_byte_once_with_deletions(ops in prop::collection::vec(0u8..26, 1..50)) {
        let mut world = world();
        for op in ops {
            match op {
                22..=25 => {
                    world.start();
                    world.rescan();
                    if op % 2 == 0 {
                        world.drain();
                    }
                    if fs::remove_file(&world.log).is_ok() {
                        world.finish();
                    }
                    // What nobody has open is gone with its last name: that is a gap, and not for here.
                    world.rescan();
                    world.drain();
                }
                op => world.op(op),
            }
        }
        world.check();
    }
}

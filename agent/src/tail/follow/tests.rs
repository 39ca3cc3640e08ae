//! What becomes of bytes that cannot all be had: gaps equal what was lost, and nothing else is reported.

use std::collections::VecDeque;
use std::fs;
use std::time::Duration;

use logweir_proto::batch::{Envelope, SourceKind};

use crate::config::StartAt;
use crate::decode::Multiline;
use crate::tail::discover::Candidate;
use crate::tail::info::{FORMAT_BYTES_MAX, Labels};
use crate::tail::model::World;
use crate::tail::recover::MOUNT_WAIT;
use crate::tail::rotate::{FINISHED_KEEP, ROTATED_QUIET};

fn world() -> World {
    World::new(Multiline::None)
}

fn gaps(world: &World) -> Vec<(u64, Option<u64>)> {
    world.server.gaps.iter().map(|((_, start), end)| (*start, *end)).collect()
}

#[test]
fn truncated_without_a_copy_is_a_gap_of_what_was_seen_and_not_read() {
    let mut world = world();
    world.lines(3);
    world.drain();
    let read = fs::metadata(&world.log).unwrap().len();
    world.lines(4);
    let size = fs::metadata(&world.log).unwrap().len();
    // It is seen, and gone before it is read.
    world.rescan();
    world.truncate();
    world.lines(1);
    world.drain();
    assert_eq!(gaps(&world), [(read, Some(size))]);
    assert_eq!(world.server.records.len(), 4);
}

#[test]
fn truncated_after_it_was_read_is_no_gap() {
    let mut world = world();
    world.lines(3);
    world.drain();
    world.truncate();
    world.lines(2);
    world.check();
}

#[test]
fn truncated_and_grown_past_the_old_size_at_once() {
    let mut world = world();
    world.lines(3);
    world.drain();
    world.truncate();
    world.lines(30);
    world.check();
}

/// A drill lost 4,000 lines here: the file under the new name is the old inode, and not the old log.
#[test]
fn truncated_and_then_renamed_while_the_agent_is_dead() {
    for lines in [1, 2, 30] {
        let mut world = world();
        world.lines(3);
        world.drain();
        world.kill();
        world.lines(4);
        world.copy_truncate();
        // Shorter than what was read, about as long, and longer.
        world.lines(lines);
        world.rename();
        world.lines(2);
        world.check();
        assert_eq!(gaps(&world), []);
    }
}

#[test]
fn deleted_while_it_is_open_is_read_to_its_end() {
    let mut world = world();
    world.lines(3);
    world.drain();
    world.lines(3);
    fs::remove_file(&world.log).unwrap();
    world.check();
}

#[test]
fn deleted_while_the_agent_is_down_is_a_gap_without_an_end() {
    let mut world = world();
    world.lines(3);
    world.drain();
    let read = fs::metadata(&world.log).unwrap().len();
    world.kill();
    world.lines(3);
    fs::remove_file(&world.log).unwrap();
    world.drain();
    assert_eq!(gaps(&world), [(read, None)]);
    // It is reported once.
    world.kill();
    world.server.gaps.clear();
    world.drain();
    assert_eq!(gaps(&world), []);
}

/// Rotated and compressed while the agent is down, as `name`; returns what was read before and what there was.
fn compressed_while_down(world: &mut World, name: &str) -> (u64, u64) {
    world.lines(30);
    world.drain();
    let read = fs::metadata(&world.log).unwrap().len();
    world.lines(30);
    world.kill();
    world.lines(30);
    let size = fs::metadata(&world.log).unwrap().len();
    world.rename();
    let path = world.log.with_file_name(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    world.compress(Some(path));
    world.lines(5);
    (read, size)
}

#[test]
fn compressed_while_the_agent_is_down_it_is_finished_under_its_old_id() {
    for name in ["app.log.1.gz", "elsewhere-under-any-name.gz", "old/app.log-20261120.gz", "archive/x.gz"] {
        let mut world = world();
        let (_, size) = compressed_while_down(&mut world, name);
        world.check();
        assert_eq!(streams(&world)[0], (0, size), "{name}");
        // Not once more, neither now nor after a start, nor after an hour.
        world.kill();
        world.check();
        world.pass_time(FINISHED_KEEP + ROTATED_QUIET);
        world.check();
        world.pass_time(FINISHED_KEEP + ROTATED_QUIET);
        world.check();
        assert_eq!(streams(&world).len(), 2);
    }
}

#[test]
fn a_crash_in_the_middle_of_a_compressed_file_sends_the_planned_range_again() {
    let mut world = world();
    compressed_while_down(&mut world, "app.log.1.gz");
    world.start();
    let planned = world.build().unwrap().plan;
    world.kill();
    world.start();
    assert_eq!(world.build().unwrap().plan, planned);
    world.kill();
    world.check();
}

#[test]
fn what_was_cut_to_its_end_and_is_taken_back_is_cut_again() {
    let mut world = world();
    compressed_while_down(&mut world, "app.log.1.gz");
    world.start();
    let built = world.build().expect("the rest of the compressed file");
    fs::remove_file(world.log.with_file_name("app.log.1.gz")).expect("the compressed file");
    let tail = world.tail.as_mut().unwrap();
    tail.discard(&built);
    world.rescan();
    world.check();
    let closed = world.tail.as_ref().unwrap().sources.values().filter(|source| source.file.is_none());
    assert_eq!(closed.count(), 1, "what is stored is closed");
}

#[test]
fn what_is_missing_in_a_compressed_file_is_a_gap() {
    let mut world = world();
    let (read, size) = compressed_while_down(&mut world, "app.log.1.gz");
    let path = world.log.with_file_name("app.log.1.gz");
    let whole = fs::read(&path).unwrap();
    // Its end is not there yet; then it comes, or nobody finishes it.
    for (kept, finished) in [(whole.len() / 2, true), (whole.len() / 2, false), (whole.len() - 9, false)] {
        let mut world = World::new(Multiline::None);
        compressed_while_down(&mut world, "app.log.1.gz");
        let path = world.log.with_file_name("app.log.1.gz");
        fs::write(&path, &whole[..kept]).unwrap();
        world.drain();
        assert_eq!(gaps(&world), []);
        if finished {
            fs::write(&path, &whole).unwrap();
            world.check();
            continue;
        }
        world.pass_time(ROTATED_QUIET);
        world.drain();
        let seen = streams(&world)[0].1;
        assert!(seen >= read && seen <= size);
        let stored = world.server.gaps.iter().map(|((_, start), end)| (*start, *end)).collect::<Vec<_>>();
        assert!(stored == [(seen, Some(size))] || stored == [(seen, None)], "{stored:?} {seen} {size}");
    }
}

#[test]
fn compressed_while_it_is_open_it_is_not_shipped_again() {
    let mut world = world();
    world.lines(3);
    world.drain();
    world.lines(3);
    world.rename();
    world.compress(None);
    world.lines(2);
    world.check();
    world.pass_time(ROTATED_QUIET + Duration::from_secs(1));
    world.check();
    world.kill();
    world.pass_time(FINISHED_KEEP);
    world.check();
}

#[test]
fn rotated_twice_while_the_agent_is_down_the_second_one_was_never_seen() {
    let mut world = world();
    compressed_while_down(&mut world, "app.log.1.gz");
    world.rename();
    world.compress(None);
    world.lines(2);
    world.check();
    assert_eq!(streams(&world).len(), 3);
}

#[test]
fn compressed_as_it_cannot_be_read_here_says_so() {
    let mut world = world();
    compressed_while_down(&mut world, "app.log.1.xz");
    world.start();
    let reasons: Vec<String> = world.tail.as_ref().unwrap().gaps.iter().map(|gap| gap.reason.clone()).collect();
    assert_eq!(reasons, ["rotated while nobody looked, and compressed as it cannot be read here"]);
}

#[test]
fn a_rotated_file_is_let_go_when_it_is_quiet_and_taken_up_when_it_grows() {
    let mut world = world();
    world.lines(3);
    world.drain();
    world.rename();
    let old = world.log.with_file_name("app.log.1");
    world.lines(1);
    world.drain();
    // NGINX goes on with the old file for a moment.
    let mut bytes = fs::read(&old).unwrap();
    bytes.extend_from_slice(b"late\n");
    let mut file = fs::OpenOptions::new().append(true).open(&old).unwrap();
    std::io::Write::write_all(&mut file, b"late\n").unwrap();
    world.drain();
    assert_eq!(world.server.records.len(), 5);
    world.pass_time(ROTATED_QUIET + Duration::from_secs(1));
    world.rescan();
    let open = |world: &World| world.tail.as_ref().unwrap().sources.values().filter(|s| s.file.is_some()).count();
    assert_eq!(open(&world), 1);
    world.pass_time(FINISHED_KEEP + Duration::from_secs(1));
    world.rescan();
    assert_eq!(world.tail.as_ref().unwrap().sources.len(), 1);
}

#[test]
fn lag_is_what_stands_there_and_is_not_stored() {
    let mut world = world();
    world.lines(3);
    world.rescan();
    let size = fs::metadata(&world.log).unwrap().len();
    assert_eq!(world.tail.as_ref().unwrap().lag_bytes(), size);
    world.drain();
    assert_eq!(world.tail.as_ref().unwrap().lag_bytes(), 0);
}

#[test]
fn a_server_that_is_ahead_is_believed() {
    let mut world = world();
    world.lines(6);
    world.rescan();
    let built = world.build().expect("lines");
    let id = built.plan[0].source.clone();
    let tail = world.tail.as_mut().unwrap();
    let size = built.plan[0].to;
    // An old copy of the state directory: everything is stored already.
    tail.sources.values_mut().for_each(|source| source.pos = 0);
    let mut short = built.clone();
    short.plan.clear();
    let mut waiting = VecDeque::from([built.clone()]);
    tail.acked(&short, &[(id.clone(), size)].into(), &mut waiting);
    assert_eq!(waiting.len(), 1);
    let mut first = built;
    first.plan[0].to = 10;
    // What was built on less than the server has is cut again, what it has whole may go.
    waiting.push_back(first.clone());
    (waiting[0].plan[0].from, waiting[1].plan[0].to) = (10, size + 1);
    tail.acked(&first, &[(id, size)].into(), &mut waiting);
    assert_eq!(waiting.len(), 1);
    assert_eq!(tail.sources.values().next().map(|source| (source.pos, source.acked)), Some((size, size)));
}

#[test]
fn files_that_were_there_before_the_first_start_begin_at_their_end() {
    let mut world = world();
    world.lines(3);
    world.kill();
    fs::remove_dir_all(world.log.with_file_name("state")).unwrap();
    world.write(b"half");
    world.start();
    world.write(b" a line\n");
    world.drain();
    // Not the lines before, but the whole of the line that was half written.
    let texts: Vec<&[u8]> = world.server.records.values().map(|(_, text)| text.as_slice()).collect();
    assert_eq!(texts, [b"half a line"]);
}

/// Each source's first offset and what the server has of it.
fn streams(world: &World) -> Vec<(u64, u64)> {
    let mut streams = std::collections::BTreeMap::new();
    for ((id, start), (advance, _)) in &world.server.records {
        streams.entry(id.clone()).or_insert((*start, 0)).1 = start + advance;
    }
    streams.into_values().collect()
}

#[test]
fn a_log_that_lost_its_end_with_the_power_goes_on_as_a_new_source() {
    let mut world = world();
    world.lines(100);
    let full = fs::metadata(&world.log).unwrap().len();
    world.lose_power(90);
    let cut = fs::metadata(&world.log).unwrap().len();
    world.write(b"\n");
    world.lines(3);
    world.check();
    assert_eq!(streams(&world), [(0, full), (cut, fs::metadata(&world.log).unwrap().len())]);
    // And once more, from its start on: nothing is read again.
    world.kill();
    world.lines(2);
    world.check();
    assert_eq!(streams(&world).len(), 2);
}

#[test]
fn a_plan_beyond_the_end_is_sent_as_far_as_it_goes() {
    let mut world = world();
    world.lines(40);
    world.drain();
    let read = fs::metadata(&world.log).unwrap().len();
    world.lines(10);
    let full = fs::metadata(&world.log).unwrap().len();
    // Built and planned, never sent; then the power goes.
    world.build();
    world.kill();
    let cut = (read + full) / 2;
    fs::OpenOptions::new().write(true).open(&world.log).unwrap().set_len(cut).unwrap();
    world.start();
    world.ship();
    world.write(b"\n");
    world.lines(2);
    world.drain();
    let end = fs::metadata(&world.log).unwrap().len();
    assert_eq!(streams(&world), [(0, cut), (cut, end)]);
    assert_eq!(gaps(&world), []);
}

#[test]
fn cut_while_it_is_followed_is_not_read_again() {
    let mut world = world();
    world.lines(60);
    world.drain();
    world.shorten(90);
    world.drain();
    world.write(b"\n");
    world.lines(3);
    world.check();
    assert_eq!(streams(&world).len(), 2);
}

#[test]
fn a_device_with_a_new_number_changes_nothing() {
    let mut world = world();
    world.lines(5);
    world.rename();
    world.lines(5);
    world.drain();
    world.renumber_devices();
    world.lines(3);
    world.check();
    assert_eq!(world.server.records.len(), 13);
}

#[test]
fn a_file_that_cannot_be_looked_at_is_waited_for() {
    let mut world = world();
    world.lines(20);
    world.drain();
    world.lines(3);
    // Planned, perhaps stored: exactly this range has to come again.
    let planned = world.build().unwrap().plan;
    world.kill();
    // Not mounted: the directory of the log is not there.
    let mounted = world.log.with_file_name("mounted");
    let log = world.log.clone();
    fs::create_dir(&mounted).unwrap();
    fs::rename(&log, mounted.join("app.log")).unwrap();
    world.log = mounted.join("app.log");
    world.rewrite_checkpoint(|source| {
        source.info.to_mut().path = mounted.join("app.log").display().to_string().into();
        source.path_now = mounted.join("app.log").into();
    });
    let away = mounted.with_file_name("away");
    fs::rename(&mounted, &away).unwrap();
    world.start();
    assert!(!world.ship());
    world.kill();
    world.start();
    assert_eq!(world.tail.as_ref().unwrap().held, planned);
    fs::rename(&away, &mounted).unwrap();
    world.rescan();
    assert_eq!(world.build().unwrap().plan, planned);
    world.kill();
    world.lines(2);
    world.check();
    assert_eq!(streams(&world).len(), 1);
    assert_eq!(world.tail.as_ref().unwrap().held, []);
}

#[test]
fn a_directory_that_never_comes_back_is_a_gap_in_the_end() {
    let mut world = world();
    world.lines(2);
    world.drain();
    let read = fs::metadata(&world.log).unwrap().len();
    world.kill();
    let gone = world.log.with_file_name("gone").join("app.log");
    world.rewrite_checkpoint(|source| {
        source.info.to_mut().path = gone.display().to_string().into();
        source.path_now = gone.clone().into();
    });
    world.start();
    let waits = |world: &World| world.tail.as_ref().unwrap().sources.values().any(|s| s.waiting_since.is_some());
    assert!(waits(&world));
    assert!(world.tail.as_ref().unwrap().gaps.is_empty());
    world.pass_time(MOUNT_WAIT);
    world.rescan();
    assert!(!waits(&world));
    let reported: Vec<u64> = world.tail.as_ref().unwrap().gaps.iter().map(|gap| gap.start).collect();
    assert_eq!(reported, [read]);
}

#[test]
fn a_rotated_file_that_grows_late_is_taken_up_under_its_old_id() {
    let mut world = world();
    world.lines(3);
    world.drain();
    world.rename();
    world.lines(1);
    world.drain();
    world.pass_time(ROTATED_QUIET + Duration::from_secs(1));
    world.rescan();
    let late = |name: &str| {
        let path = world.log.with_file_name(name);
        let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
        std::io::Write::write_all(&mut file, b"late\n").unwrap();
    };
    // Its growth does not show in the directory.
    late("app.log.1");
    world.drain();
    assert_eq!((world.server.records.len(), streams(&world).len()), (5, 2));
    world.pass_time(ROTATED_QUIET + Duration::from_secs(1));
    world.rescan();
    fs::rename(world.log.with_file_name("app.log.1"), world.log.with_file_name("app.log.2")).unwrap();
    world.rescan();
    let late = |name: &str| {
        let path = world.log.with_file_name(name);
        let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
        std::io::Write::write_all(&mut file, b"later\n").unwrap();
    };
    late("app.log.2");
    world.drain();
    assert_eq!((world.server.records.len(), streams(&world).len()), (6, 2));
    assert_eq!(gaps(&world), []);
}

#[test]
fn a_gap_is_carried_by_one_batch_at_a_time() {
    let mut world = world();
    world.lines(3);
    world.drain();
    world.lines(3);
    world.rescan();
    world.truncate();
    world.lines(1);
    let first = world.build().unwrap();
    assert_eq!(first.gaps.len(), 1);
    world.lines(1);
    let second = world.build().unwrap();
    assert_eq!(second.gaps.len(), 0);
    // The first is not sent after all: the next one carries it.
    world.tail.as_mut().unwrap().discard(&first);
    world.lines(1);
    assert_eq!(world.build().unwrap().gaps, first.gaps);
}

#[test]
fn what_is_born_between_the_last_look_and_the_last_save_is_read_from_its_beginning() {
    for clock_was_ahead in [false, true] {
        let mut world = world();
        world.lines(3);
        world.drain();
        world.rescan();
        let scanned = world.tail.as_ref().unwrap().scanned_ns;
        let path = world.log.clone();
        world.log = world.log.with_file_name("other.log");
        world.write(b"born unseen\n");
        world.log = path;
        if clock_was_ahead {
            world.tail.as_mut().unwrap().scanned_ns = i64::MAX;
        }
        world.lines(1);
        world.ship();
        if !clock_was_ahead {
            assert_eq!(world.tail.as_ref().unwrap().scanned_ns, scanned);
            assert_eq!(world.saved_ns(), scanned);
        }
        world.kill();
        world.log = world.log.with_file_name("other.log");
        world.drain();
        assert!(world.server.records.values().any(|(_, text)| text == b"born unseen"), "{clock_was_ahead}");
    }
}

#[test]
fn labels_never_make_a_header_too_large() {
    let mut world = world();
    // The worst in JSON: each byte becomes six.
    let label = |n: usize| (format!("label_{n:03}"), "\u{1}".repeat(50_000));
    let labels: Labels = (0..500).map(label).chain([("service".to_owned(), "billing".to_owned())]).collect();
    let dir = world.log.with_file_name("many");
    fs::create_dir(&dir).unwrap();
    let candidate = |n: usize| {
        let path = dir.join(format!("{n}.log"));
        fs::write(&path, "a line\nand another\n").unwrap();
        let (format, labels) = ("\u{1}".repeat(FORMAT_BYTES_MAX).into(), labels.clone());
        let multiline = Multiline::None;
        Candidate { path, kind: SourceKind::File, format, labels, multiline, start_at: StartAt::Beginning, stat: None }
    };
    let candidates: Vec<Candidate> = (0..8).map(candidate).collect();
    let now = world.at();
    world.tail.as_mut().unwrap().rescan(&candidates, now);
    let heartbeat = world.tail.as_mut().unwrap().heartbeat(now).unwrap();
    assert!(Envelope::parse(&heartbeat.bytes).is_ok());
    let mut batches = 0;
    while let Some(built) = world.build() {
        let (first, _) = built.split().unwrap().expect("two lines");
        let header = Envelope::parse(&first.bytes).unwrap().header;
        assert_eq!((header.sources[0].labels.len(), header.sources[0].labels["service"].as_str()), (64, "billing"));
        let offsets = world.server.receive(&built.bytes);
        world.tail.as_mut().unwrap().acked(&built, &offsets, &mut VecDeque::new());
        batches += 1;
    }
    assert!(batches > 1, "{batches}");
    assert_eq!(world.server.records.len(), 16);
}

#[test]
fn a_cloned_machine_is_a_new_agent_at_the_same_place() {
    let mut world = world();
    world.lines(3);
    world.drain();
    let read = fs::metadata(&world.log).unwrap().len();
    world.lines(2);
    world.build().unwrap();
    let id = |world: &World| world.tail.as_ref().unwrap().agent().id.clone();
    let original = id(&world);
    world.kill();
    world.start();
    assert_eq!(id(&world), original);
    world.clone_machine();
    world.start();
    let clone = id(&world);
    assert_ne!(clone, original);
    assert!(world.tail.as_ref().unwrap().replays.is_empty());
    assert_eq!(world.build().unwrap().plan[0].from, read);
    // Its own state from now on.
    world.kill();
    world.start();
    assert_eq!(id(&world), clone);
}

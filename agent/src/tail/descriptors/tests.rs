//! More files than descriptors: each is read in its turn, whatever happens to it meanwhile.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use logweir_proto::batch::SourceKind;
use proptest::prelude::*;

use crate::config::StartAt;
use crate::decode::Multiline;
use crate::tail::discover::Candidate;
use crate::tail::model::World;

/// Some logs that are followed with fewer descriptors.
struct Many {
    world: World,
    logs: Vec<PathBuf>,
    lines: BTreeMap<String, u32>,
    rotations: u32,
}

impl Many {
    fn new(logs: usize, open_files: usize) -> Many {
        let mut world = World::new(Multiline::None);
        world.kill();
        world.settings.limits.open_files = open_files;
        let dir = world.log.with_file_name("many");
        fs::create_dir(&dir).unwrap();
        let logs = (0..logs).map(|n| dir.join(format!("{n}.log"))).collect();
        let mut many = Many { world, logs, lines: BTreeMap::new(), rotations: 0 };
        (0..many.logs.len()).for_each(|n| many.write(n, 1));
        many.start();
        many
    }

    fn start(&mut self) {
        self.world.start();
        self.rescan();
    }

    fn write(&mut self, log: usize, lines: usize) {
        let path = &self.logs[log];
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        for _ in 0..lines {
            let text = format!("log {log} line {}", self.lines.len());
            writeln!(file, "{text}").unwrap();
            self.lines.insert(text, 0);
        }
    }

    fn rescan(&mut self) {
        let of = |path: &PathBuf| Candidate {
            path: path.clone(),
            kind: SourceKind::File,
            format: Default::default(),
            labels: Default::default(),
            multiline: Multiline::None,
            start_at: StartAt::Beginning,
            stat: None,
        };
        let candidates: Vec<Candidate> = self.logs.iter().map(of).collect();
        let now = self.world.at();
        let limit = self.world.settings.limits.open_files;
        if let Some(tail) = &mut self.world.tail {
            tail.rescan(&candidates, now);
            tail.save().unwrap();
            let open = tail.sources.values().filter(|source| source.file.is_some()).count();
            assert!(open <= limit, "{open} are open");
        }
    }

    fn op(&mut self, op: u8, log: usize) {
        let log = log % self.logs.len();
        let (path, dir) = (self.logs[log].clone(), self.logs[log].parent().unwrap().to_path_buf());
        match op {
            0..=3 => self.write(log, usize::from(op) + 1),
            4 if path.exists() => {
                self.rotations += 1;
                // Its last bytes are seen before it goes: nobody can find out later whose they were.
                self.rescan();
                fs::rename(path, dir.join(format!("{log}.log.{}", self.rotations))).unwrap();
            }
            5 => self.rescan(),
            6 => {
                self.world.kill();
                self.start();
            }
            7 => {
                // Planned, and perhaps stored; the answer never comes.
                if let Some(built) = self.world.build().filter(|_| log.is_multiple_of(2)) {
                    self.world.server.receive(&built.bytes);
                }
                self.world.kill();
                self.start();
            }
            _ => drop(self.world.ship()),
        }
    }

    fn check(&mut self) {
        for _ in 0..3 {
            self.rescan();
            while self.world.ship() {}
        }
        for (_, text) in self.world.server.records.values() {
            let text = String::from_utf8(text.clone()).unwrap();
            *self.lines.get_mut(&text).expect("a line that was written") += 1;
        }
        let wrong: Vec<_> = self.lines.iter().filter(|(_, times)| **times != 1).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        assert!(self.world.server.gaps.is_empty(), "{:?}", self.world.server.gaps);
    }
}

#[test]
fn a_busy_log_does_not_starve_those_that_are_parked() {
    let mut many = Many::new(20, 3);
    while many.world.ship() {}
    for round in 0..10 {
        many.write(0, 200);
        (1..20).for_each(|log| many.write(log, 1));
        // Each log has its turn within a few batches, however much the first one has to say.
        for _ in 0..12 {
            many.world.ship();
        }
        let of = |log: usize| {
            many.world
                .server
                .records
                .values()
                .filter(move |(_, text)| String::from_utf8_lossy(text).starts_with(&format!("log {log} ")))
        };
        assert!((1..20).all(|log| of(log).count() == round + 2));
    }
    many.check();
}

#[test]
fn a_deleted_file_is_let_go_when_it_fills_the_disk_and_the_gap_is_what_was_unread() {
    let mut world = World::new(Multiline::None);
    world.lines(3);
    world.drain();
    let read = fs::metadata(&world.log).unwrap().len();
    world.lines(300);
    let size = fs::metadata(&world.log).unwrap().len();
    fs::remove_file(&world.log).unwrap();
    world.rescan();
    assert_eq!(world.tail.as_ref().unwrap().lag_bytes(), size - read);
    // The server is away for long.
    world.tail.as_mut().unwrap().settings.limits.deleted_bytes = 1;
    world.rescan();
    world.drain();
    let gaps: Vec<_> = world.server.gaps.iter().map(|((_, start), end)| (*start, *end)).collect();
    assert_eq!(gaps, [(read, Some(size))]);
    assert_eq!(world.server.records.len(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn each_line_once_with_few_descriptors(
        ops in prop::collection::vec((0u8..11, 0usize..8), 1..60),
        open_files in 1usize..6,
    ) {
        let mut many = Many::new(8, open_files);
        for (op, log) in ops {
            many.op(op, log);
        }
        many.check();
    }
}

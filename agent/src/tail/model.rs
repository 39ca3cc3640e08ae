//! The follower against a model: random appends, rotations, truncations, crashes and lost answers on real files.
//!
//! The model keeps the bytes of every incarnation. A server in memory keeps ranges as the aggregator does. At the end
//! each incarnation must stand there once, byte for byte, as the stream of exactly one source.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use logweir_proto::batch::{Envelope, SourceKind};
use logweir_runtime::clock::Clock;
use proptest::prelude::*;
use tokio::time::Instant;

use super::Now;
use super::checkpoint::{Checkpoint, SavedSource};
use super::discover::Candidate;
use super::follow::{Settings, Tail};
use super::identity::FINGERPRINT_BYTES_MAX;
use crate::batch::Built;
use crate::config::{Limits, StartAt};
use crate::decode::Multiline;

/// Records by source and start; ranges that overlap in part would be a line stored twice or a half.
#[derive(Debug, Default)]
pub(crate) struct Server {
    pub records: BTreeMap<(String, u64), (u64, Vec<u8>)>,
    pub gaps: HashMap<(String, u64), Option<u64>>,
}

impl Server {
    /// Stores what it does not have; the answer is how much it has of each source.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> BTreeMap<String, u64> {
        let envelope = Envelope::parse(bytes).expect("a batch");
        let body = envelope.decompress().expect("its body");
        let header = envelope.header;
        body.for_each(&header, |chunk, record| {
            let id = &header.sources[header.chunks[chunk].source as usize].id;
            let end = record.start + record.advance;
            let before = self.records.range((id.clone(), 0)..(id.clone(), end)).next_back();
            let stored = before.map_or(0, |((_, start), (advance, _))| start + advance);
            if stored >= end {
                return;
            }
            assert!(stored <= record.start, "{id}: [{}, {end}) overlaps what ends at {stored}", record.start);
            self.records.insert((id.clone(), record.start), (record.advance, record.text.to_vec()));
        })
        .expect("records fill their chunks");
        for gap in &header.gaps {
            self.gaps.insert((gap.source.clone(), gap.start), gap.end);
        }
        let stored = |id: &String, end: u64| {
            let last = self.records.range((id.clone(), 0)..=(id.clone(), u64::MAX)).next_back();
            last.map_or(end, |((_, start), (advance, _))| end.max(start + advance))
        };
        header
            .chunks
            .iter()
            .map(|c| (&header.sources[c.source as usize].id, c.end))
            .map(|(id, end)| (id.clone(), stored(id, end)))
            .collect()
    }

    /// The bytes of each source from its first record on; panics at a hole.
    pub(crate) fn streams(&self) -> Vec<Vec<u8>> {
        let mut streams: BTreeMap<&str, (u64, Vec<u8>)> = BTreeMap::new();
        for ((id, start), (advance, text)) in &self.records {
            let (first, stream) = streams.entry(id).or_insert((*start, Vec::new()));
            assert_eq!(*first + stream.len() as u64, *start, "{id} has a hole before {start}");
            stream.extend_from_slice(text);
            stream.extend(std::iter::repeat_n(b'\n', *advance as usize - text.len()));
        }
        streams.into_values().map(|(_, stream)| stream).collect()
    }
}

/// A directory with one log, the program that writes it, its rotator, and an agent.
pub(crate) struct World {
    _dir: tempfile::TempDir,
    pub log: PathBuf,
    pub settings: Settings,
    clock: Clock,
    now: Instant,
    pub tail: Option<Tail>,
    pub server: Server,
    finished: Vec<Vec<u8>>,
    current: Vec<u8>,
    line: u64,
    rotations: u64,
    multiline: Multiline,
    kind: SourceKind,
}

impl World {
    /// A log of Docker: its lines come in pieces that interleave.
    fn docker() -> World {
        let mut world = World::new(Multiline::Auto);
        world.kill();
        fs::remove_dir_all(&world.settings.state_dir).expect("the state directory");
        world.kind = SourceKind::Docker;
        world.start();
        world
    }

    pub(crate) fn new(multiline: Multiline) -> World {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = dir.path().join("app.log");
        let settings = Settings {
            state_dir: dir.path().join("state"),
            host: "test".into(),
            machine: "here".into(),
            labels: BTreeMap::new(),
            limits: Limits { batch_bytes: 1 << 10, ..Limits::default() },
            once: false,
        };
        let mut world = World {
            _dir: dir,
            log,
            settings,
            clock: Clock::system(),
            now: Instant::now(),
            tail: None,
            server: Server::default(),
            finished: Vec::new(),
            current: Vec::new(),
            line: 0,
            rotations: 0,
            multiline,
            kind: SourceKind::File,
        };
        // A log that nobody ever saw is nobody's: this one is there from the start.
        world.write(b"");
        world.start();
        world
    }

    pub(crate) fn at(&self) -> Now {
        Now { mono: self.now, wall_ns: self.clock.now_ns() }
    }

    pub(crate) fn start(&mut self) {
        if self.tail.is_none() {
            // A process that another test starts holds this one's descriptors, and with them the lock, until it is its own.
            let opened = loop {
                match Tail::open(self.settings.clone(), self.at()) {
                    Err(crate::error::Error::StateHeld(_)) => std::thread::yield_now(),
                    opened => break opened,
                }
            };
            let mut tail = opened.expect("the state directory");
            // Small enough that records and whole states take turns.
            tail.journal.bytes_max = 4 << 10;
            self.tail = Some(tail);
            self.rescan();
        }
    }

    pub(crate) fn kill(&mut self) {
        self.tail = None;
    }

    pub(crate) fn rescan(&mut self) {
        let candidate = Candidate {
            path: self.log.clone(),
            kind: self.kind,
            format: Default::default(),
            labels: Default::default(),
            multiline: self.multiline.clone(),
            start_at: StartAt::End,
            stat: None,
        };
        let now = self.at();
        if let Some(tail) = &mut self.tail {
            tail.rescan(&[candidate], now);
            tail.save().expect("the checkpoint");
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.log).expect("the log");
        file.write_all(bytes).expect("an append");
        self.current.extend_from_slice(bytes);
    }

    fn docker_line(&mut self) {
        let envelope = |log: &str, stream: &str| {
            format!("{{\"log\":\"{log}\",\"stream\":\"{stream}\",\"time\":\"2026-11-20T09:15:35.7Z\"}}\n")
        };
        let number = self.line;
        let text = match number % 4 {
            0 => envelope(&format!("    at #{number:08}\\n"), "stderr"),
            1 => {
                // A line of the other stream between two pieces.
                self.line += 1;
                envelope(&format!("#{number:08} begins "), "stdout")
                    + &envelope(&format!("#{:08}\\n", self.line), "stderr")
                    + &envelope("and ends\\n", "stdout")
            }
            2 => envelope(&format!("#{number:08} is open"), "stdout"),
            _ => envelope(&format!("#{number:08}\\n"), "stderr"),
        };
        self.write(text.as_bytes());
    }

    pub(crate) fn lines(&mut self, count: usize) {
        for _ in 0..count {
            self.line += 1;
            if self.kind == SourceKind::Docker {
                self.docker_line();
                continue;
            }
            let indent = if self.line.is_multiple_of(5) { "    at " } else { "" };
            let line = format!("{indent}{:08} {}\n", self.line, "x".repeat((self.line * 37 % 90) as usize));
            self.write(line.as_bytes());
        }
    }

    fn half_line(&mut self) {
        self.line += 1;
        let line = format!("#{:08} half", self.line);
        self.write(line.as_bytes());
    }

    fn rotated_path(&mut self) -> PathBuf {
        self.rotations += 1;
        self.log.with_file_name(format!("app.log.{}", self.rotations))
    }

    pub(crate) fn rename(&mut self) {
        let to = self.rotated_path();
        if fs::rename(&self.log, to).is_ok() {
            self.finished.push(std::mem::take(&mut self.current));
        }
    }

    pub(crate) fn copy_truncate(&mut self) {
        let to = self.rotated_path();
        if fs::copy(&self.log, to).is_ok() {
            self.truncate();
        }
    }

    /// What a compressing rotator does to the file that it rotated last: a new inode with the old times.
    pub(crate) fn compress(&mut self, as_path: Option<PathBuf>) {
        let from = self.log.with_file_name(format!("app.log.{}", self.rotations));
        let Ok(bytes) = fs::read(&from) else { return };
        let to = as_path.unwrap_or_else(|| from.with_file_name(format!("app.log.{}.gz", self.rotations)));
        let written = fs::metadata(&from).and_then(|meta| meta.modified()).expect("its time");
        let seconds = written.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
        let file = fs::File::create(&to).expect("a compressed file");
        let builder = flate2::GzBuilder::new().mtime(seconds as u32);
        let mut encoder = builder.write(file, flate2::Compression::fast());
        encoder.write_all(&bytes).expect("it is written");
        encoder.finish().and_then(|file| file.set_modified(written)).expect("it is finished");
        fs::remove_file(from).expect("the plain one");
    }

    pub(crate) fn truncate(&mut self) {
        OpenOptions::new().write(true).truncate(true).open(&self.log).expect("the log");
        self.finish();
    }

    /// What is written from now on is another file's.
    pub(crate) fn finish(&mut self) {
        self.finished.push(std::mem::take(&mut self.current));
    }

    /// The host loses power: what was written last, and stored by the server, is not in the file any more.
    pub(crate) fn lose_power(&mut self, keep_percent: u64) {
        self.drain();
        self.kill();
        self.shorten(keep_percent);
        self.start();
    }

    /// Cuts the log behind its head; shorter ones cannot be told from others.
    pub(crate) fn shorten(&mut self, keep_percent: u64) {
        let Ok(meta) = fs::metadata(&self.log) else { return };
        if meta.len() > FINGERPRINT_BYTES_MAX as u64 {
            let keep = (meta.len() * keep_percent / 100).max(FINGERPRINT_BYTES_MAX as u64);
            let file = OpenOptions::new().write(true).open(&self.log).expect("the log");
            file.set_len(keep).expect("a shorter log");
            if keep < meta.len() {
                self.finished.push(std::mem::take(&mut self.current));
            }
        }
    }

    /// As if the numbers of all devices were others after a reboot.
    pub(crate) fn renumber_devices(&mut self) {
        self.kill();
        self.rewrite_checkpoint(|source| source.id.dev += 1);
    }

    pub(crate) fn saved_ns(&self) -> i64 {
        Checkpoint::load(&self.settings.state_dir).expect("readable").expect("a checkpoint").saved_ns
    }

    /// The machine is cloned: the next start is on another one.
    pub(crate) fn clone_machine(&mut self) {
        self.kill();
        self.settings.machine = "there".into();
    }

    /// Changes what is remembered of each source.
    pub(crate) fn rewrite_checkpoint(&mut self, change: impl FnMut(&mut SavedSource<'_>)) {
        let mut checkpoint = Checkpoint::load(&self.settings.state_dir).expect("readable").expect("a checkpoint");
        checkpoint.sources.iter_mut().for_each(change);
        checkpoint.save(&self.settings.state_dir).expect("the checkpoint");
    }

    pub(crate) fn pass_time(&mut self, time: Duration) {
        self.now += time;
    }

    pub(crate) fn build(&mut self) -> Option<Built> {
        let now = self.at();
        let tail = self.tail.as_mut()?;
        tail.touched_all();
        let built = tail.build(false, now).expect("a batch is built")?;
        tail.commit(&built).expect("the checkpoint");
        Some(built)
    }

    pub(crate) fn ship(&mut self) -> bool {
        let Some(built) = self.build() else { return false };
        self.deliver(&built, &mut VecDeque::new());
        true
    }

    pub(crate) fn deliver(&mut self, built: &Built, waiting: &mut VecDeque<Built>) {
        let offsets = self.server.receive(&built.bytes);
        if let Some(tail) = &mut self.tail {
            tail.acked(built, &offsets, waiting);
            tail.save().expect("the checkpoint");
        }
    }

    fn ship_in_halves(&mut self, crash: bool) {
        let Some(built) = self.build() else { return };
        let halves = built.split().expect("a whole batch");
        let mut queue: VecDeque<Built> = match halves {
            Some((first, second)) => [first, second].into(),
            None => [built].into(),
        };
        while let Some(next) = queue.pop_front() {
            if let Some(tail) = &mut self.tail {
                tail.commit(&next).expect("the checkpoint");
            }
            self.deliver(&next, &mut queue);
            if crash {
                self.kill();
                return self.start();
            }
        }
    }

    /// Ships until time brings nothing more.
    pub(crate) fn drain(&mut self) {
        self.start();
        for _ in 0..3 {
            self.rescan();
            while self.ship() {}
            self.pass_time(Duration::from_secs(3));
        }
    }

    pub(crate) fn op(&mut self, op: u8) {
        match op {
            0..=5 => self.lines(op as usize * 4 + 1),
            6 => self.half_line(),
            7 => self.rename(),
            8 => self.copy_truncate(),
            9 | 10 => self.rescan(),
            11..=13 => drop(self.ship()),
            14 => {
                if let Some(built) = self.build() {
                    self.server.receive(&built.bytes);
                }
                self.kill();
            }
            15 => {
                self.build();
                self.kill();
            }
            16 => self.kill(),
            17 | 18 => self.start(),
            19 => self.pass_time(Duration::from_millis(2_500)),
            20 => self.ship_in_halves(false),
            22 => self.lose_power(90),
            23 => self.renumber_devices(),
            24 => self.compress(None),
            25 => {
                self.kill();
                self.rename();
                self.compress(None);
            }
            26 => {
                let archive = self.log.with_file_name("old");
                fs::create_dir_all(&archive).expect("an archive");
                let name = format!("app.log.{}.gz", self.rotations);
                self.compress(Some(archive.join(name)));
            }
            _ => self.ship_in_halves(true),
        }
    }

    /// Every incarnation is covered by one source, and every numbered text is in exactly one record.
    fn check_docker(&mut self) {
        self.drain();
        let mut lengths: BTreeMap<&str, u64> = BTreeMap::new();
        let mut numbers: Vec<String> = Vec::new();
        for ((id, start), (advance, text)) in &self.server.records {
            let length = lengths.entry(id).or_default();
            assert_eq!(length, start, "{id} has a hole");
            *length += advance;
            let text = String::from_utf8_lossy(text);
            numbers.extend(text.split('#').skip(1).map(|rest| rest.chars().take(8).collect()));
        }
        let mut have: Vec<u64> = lengths.into_values().collect();
        let current = std::iter::once(&self.current);
        let mut want: Vec<u64> = self.finished.iter().chain(current).map(|bytes| bytes.len() as u64).collect();
        want.retain(|length| *length > 0);
        have.sort_unstable();
        want.sort_unstable();
        assert_eq!(have, want);
        numbers.sort();
        let all: Vec<String> = (1..=self.line).map(|number| format!("{number:08}")).collect();
        assert_eq!(numbers, all);
        assert!(self.server.gaps.is_empty(), "{:?}", self.server.gaps);
    }

    /// Every incarnation is one stream, and there is no other.
    pub(crate) fn check(&mut self) {
        self.drain();
        let mut want: Vec<Vec<u8>> = self.finished.clone();
        want.push(self.current.clone());
        want.retain(|bytes| !bytes.is_empty());
        let mut have = self.server.streams();
        want.sort();
        have.sort();
        let text = |list: &[Vec<u8>]| -> Vec<String> {
            list.iter().map(|bytes| String::from_utf8_lossy(bytes).chars().take(300).collect()).collect()
        };
        assert!(want == have, "want {:#?}\nhave {:#?}\ngaps {:?}", text(&want), text(&have), self.server.gaps);
        assert!(self.server.gaps.is_empty(), "{:?}", self.server.gaps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// Renames at any time, also while the agent is down.
    #[test]
    fn each_byte_once_with_renames(ops in prop::collection::vec(0u8..22, 1..60), joined: bool) {
        let mut world = World::new(if joined { Multiline::Auto } else { Multiline::None });
        for op in ops {
            world.op(if op == 8 { 7 } else { op });
        }
        world.check();
    }

    /// Copies and truncations, while the agent runs, while it does not look, and while it is down.
    #[test]
    fn each_byte_once_with_copies(ops in prop::collection::vec(0u8..22, 1..60), joined: bool) {
        let mut world = World::new(if joined { Multiline::Auto } else { Multiline::None });
        for op in ops {
            world.op(op);
        }
        world.check();
    }

    /// Hosts that lose power, and devices with new numbers.
    #[test]
    fn each_byte_once_over_reboots(ops in prop::collection::vec(0u8..24, 1..60), joined: bool) {
        let mut world = World::new(if joined { Multiline::Auto } else { Multiline::None });
        for op in ops {
            world.op(op);
        }
        world.check();
    }

    /// Rotators that compress, at once or later, beside the log or in an archive, also while the agent is down.
    #[test]
    fn each_byte_once_with_compression(ops in prop::collection::vec(0u8..27, 1..60), joined: bool) {
        let mut world = World::new(if joined { Multiline::Auto } else { Multiline::None });
        for op in ops {
            match op {
                8 => world.op(7),
                22 | 23 => world.op(24),
                // A log that was empty when it was seen last cannot be told by its head.
                7 | 25 | 26 => {
                    world.start();
                    world.rescan();
                    world.op(op);
                }
                op => world.op(op),
            }
        }
        world.drain();
        world.server.gaps.retain(|(_, start), end| (*start, *end) != (0, None));
        world.check();
    }

    /// Docker rotates by renaming; pieces of two streams interleave, and some are never finished.
    #[test]
    fn each_piece_once(ops in prop::collection::vec(0u8..22, 1..60)) {
        let mut world = World::docker();
        for op in ops {
            world.op(if op == 8 { 7 } else { op });
        }
        world.check_docker();
    }
}

/// Each case costs some dozen fsyncs.
fn cases() -> u32 {
    let default = ProptestConfig::default().cases;
    if default == 256 { 64 } else { default }
}

//! The store with faults at every step, with restarts, and while others seal.

mod faults;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use logweir_proto::record::seq_of;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{
    GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload, PutResult,
};

use super::sealing::Room;
use super::*;
use crate::ranges::SourceKey;
use crate::store::commit::{AppendError, MemoryCommits};
use crate::store::fixture::{self, Row, row};
use crate::store::segment::Projection;

const DAY_NS: i64 = 24 * 3600 * 1_000_000_000;

/// What an injected fault does to the next write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// It fails and nothing happened.
    Before,
    /// It happened, and an error is answered.
    After,
    /// Half of it happened.
    Torn,
}

impl Fault {
    fn of(plan: &AtomicU32) -> Fault {
        match plan.load(Ordering::SeqCst) {
            1 => Fault::Before,
            2 => Fault::After,
            3 => Fault::Torn,
            _ => Fault::None,
        }
    }
}

/// An object store whose puts can be made to fail.
#[derive(Debug)]
struct Faulty {
    inner: InMemory,
    put: Arc<AtomicU32>,
    /// Puts that succeed before the fault strikes.
    puts_before: Arc<AtomicU32>,
    /// A put waits for it.
    held: Arc<Mutex<()>>,
    delete: Arc<AtomicU32>,
}

impl std::fmt::Display for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("faulty")
    }
}

type Boxed<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

fn full() -> object_store::Error {
    object_store::Error::Generic { store: "faulty", source: "the disk is full".into() }
}

impl ObjectStore for Faulty {
    fn put_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b ObjectPath,
        payload: PutPayload,
        options: PutOptions,
    ) -> Boxed<'c, object_store::Result<PutResult>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            drop(self.held.lock());
            let one_less = |puts: u32| puts.checked_sub(1);
            let spared = self.puts_before.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok();
            match if spared { Fault::None } else { Fault::of(&self.put) } {
                Fault::Torn => {
                    let whole = bytes::Bytes::from(payload);
                    self.inner.put_opts(location, whole.slice(..whole.len() / 2).into(), options).await?;
                    Err(full())
                }
                Fault::None => self.inner.put_opts(location, payload, options).await,
                Fault::Before => Err(full()),
                Fault::After => {
                    self.inner.put_opts(location, payload, options).await?;
                    Err(full())
                }
            }
        })
    }

    fn put_multipart_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b ObjectPath,
        options: PutMultipartOptions,
    ) -> Boxed<'c, object_store::Result<Box<dyn MultipartUpload>>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        self.inner.put_multipart_opts(location, options)
    }

    fn get_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b ObjectPath,
        options: GetOptions,
    ) -> Boxed<'c, object_store::Result<GetResult>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        self.inner.get_opts(location, options)
    }

    fn delete<'a, 'b, 'c>(&'a self, location: &'b ObjectPath) -> Boxed<'c, object_store::Result<()>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            match Fault::of(&self.delete) {
                Fault::None => self.inner.delete(location).await,
                _ => Err(full()),
            }
        })
    }

    fn list(
        &self,
        prefix: Option<&ObjectPath>,
    ) -> futures_util::stream::BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_delimiter<'a, 'b, 'c>(
        &'a self,
        prefix: Option<&'b ObjectPath>,
    ) -> Boxed<'c, object_store::Result<ListResult>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        self.inner.list_with_delimiter(prefix)
    }

    fn copy<'a, 'b, 'c, 'd>(&'a self, from: &'b ObjectPath, to: &'c ObjectPath) -> Boxed<'d, object_store::Result<()>>
    where
        'a: 'd,
        'b: 'd,
        'c: 'd,
        Self: 'd,
    {
        self.inner.copy(from, to)
    }

    fn copy_if_not_exists<'a, 'b, 'c, 'd>(
        &'a self,
        from: &'b ObjectPath,
        to: &'c ObjectPath,
    ) -> Boxed<'d, object_store::Result<()>>
    where
        'a: 'd,
        'b: 'd,
        'c: 'd,
        Self: 'd,
    {
        self.inner.copy_if_not_exists(from, to)
    }
}

/// A commit log whose appends can be made to fail.
#[derive(Clone)]
struct FaultyCommits {
    inner: MemoryCommits,
    append: Arc<AtomicU32>,
}

impl CommitLog for FaultyCommits {
    fn append(&self, seq: u64, record: &[u8]) -> Result<(), AppendError> {
        let failed = || CommitError::Io { path: "commits".into(), source: std::io::Error::other("no answer") };
        match Fault::of(&self.append) {
            Fault::None => self.inner.append(seq, record),
            Fault::Before | Fault::Torn => Err(failed().into()),
            Fault::After => {
                self.inner.append(seq, record)?;
                Err(failed().into())
            }
        }
    }

    fn read_from(&self, seq: u64) -> Result<Vec<(u64, Vec<u8>)>, CommitError> {
        self.inner.read_from(seq)
    }

    fn checkpoint(&self, upto: u64, state: &[u8]) -> Result<(), CommitError> {
        self.inner.checkpoint(upto, state)
    }

    fn latest_checkpoint(&self) -> Result<Option<(u64, Vec<u8>)>, CommitError> {
        self.inner.latest_checkpoint()
    }
}

/// What survives a crash: objects, commits, and the WAL with the rows of each record.
struct World {
    runtime: tokio::runtime::Runtime,
    objects: Arc<Faulty>,
    commits: FaultyCommits,
    clock: Clock,
    wal: Vec<Vec<Row>>,
    next_time: AtomicI64,
    config: StoreConfig,
}

fn config() -> StoreConfig {
    StoreConfig {
        seal_bytes: 1 << 20,
        seal_age: Duration::from_secs(600),
        compaction_bytes_per_s: 1 << 30,
        column_cache_bytes: 1 << 20,
        retention_days: 30,
        retention_bytes: None,
        classes: Vec::new(),
    }
}

impl World {
    fn new() -> World {
        World::with(config())
    }

    fn with(config: StoreConfig) -> World {
        let objects = Faulty {
            inner: InMemory::new(),
            put: Arc::default(),
            puts_before: Arc::default(),
            held: Arc::default(),
            delete: Arc::default(),
        };
        World {
            runtime: tokio::runtime::Builder::new_current_thread().build().expect("a runtime"),
            objects: Arc::new(objects),
            commits: FaultyCommits { inner: MemoryCommits::default(), append: Arc::default() },
            clock: Clock::manual(100 * DAY_NS),
            wal: Vec::new(),
            next_time: AtomicI64::new(100 * DAY_NS),
            config,
        }
    }

    fn objects(&self) -> Objects {
        Objects::new(Arc::clone(&self.objects) as _, self.runtime.handle().clone())
    }

    fn fault(&self, put: Fault, append: Fault) {
        self.objects.put.store(put as u32, Ordering::SeqCst);
        self.commits.append.store(append as u32, Ordering::SeqCst);
    }

    /// Opens the store and replays the WAL from where it says.
    fn open(&self) -> (Store, Recovered) {
        let objects = Objects::new(Arc::clone(&self.objects) as _, self.runtime.handle().clone());
        let (store, recovered) =
            Store::open(self.config.clone(), objects, Box::new(self.commits.clone()), self.clock.clone())
                .expect("open");
        for record in recovered.wal_upto as usize - 1..self.wal.len() {
            self.append_to(&store, record);
        }
        (store, recovered)
    }

    fn append_to(&self, store: &Store, record: usize) {
        let mut ranges = SourceRanges::default();
        ranges.insert(&SourceKey::new("agent", "file"), record as u64 * 100, record as u64 * 100 + 100);
        store.append(blocks(&self.wal[record], 50), record as u64 + 1, ranges);
    }

    /// Writes a record of the WAL and publishes it.
    fn write(&mut self, store: &Store, rows: u32) {
        let record = self.wal.len();
        let line = |index: u32| {
            let time = self.next_time.fetch_add(1_000, Ordering::SeqCst);
            row(time, seq_of(record as u64, index), &format!("level=info n={record}.{index} \"line {index}\""))
        };
        self.wal.push((0..rows).map(line).collect());
        self.append_to(store, record);
    }

    /// On each of so many days a row comes and is sealed.
    fn days_pass(&mut self, store: &Store, days: u32) {
        for _ in 0..days {
            self.clock.set(self.clock.now_ns() + DAY_NS);
            self.next_time.store(self.clock.now_ns() + DAY_NS / 4, Ordering::SeqCst);
            self.write(store, 1);
            store.seal_now().expect("seal");
        }
    }

    fn check(&self, store: &Store) {
        let want: BTreeSet<_> = self.wal.iter().flatten().map(|row| (row.time_ns, row.seq)).collect();
        assert_eq!(ids(store), want.into_iter().collect::<Vec<_>>());
    }
}

fn blocks(rows: &[Row], block_rows: usize) -> Vec<Arc<Block>> {
    fixture::blocks(rows, block_rows).into_iter().map(Arc::new).collect()
}

/// The ids of all rows of a view, in order: one that is seen twice stands there twice.
fn ids(store: &Store) -> Vec<(i64, u64)> {
    use arrow::array::AsArray;
    use arrow::datatypes::{Int64Type, UInt64Type};
    let mut ids = Vec::new();
    for segment in &store.view().segments {
        for block in 0..segment.blocks().len() {
            let batch =
                segment.read(block, &Projection::Fields(vec!["time".into(), "seq".into()]), None).expect("read");
            let times = batch.column(0).as_primitive::<Int64Type>().values();
            let seqs = batch.column(1).as_primitive::<UInt64Type>().values();
            ids.extend(times.iter().copied().zip(seqs.iter().copied()));
        }
    }
    ids.sort_unstable();
    ids
}

#[test]
fn rows_are_seen_once_before_during_and_after_sealing_and_after_a_restart() {
    let mut world = World::new();
    let (store, recovered) = world.open();
    assert_eq!((recovered.wal_upto, store.view().last_record, store.maintain()), (1, 0, None));
    for _ in 0..5 {
        world.write(&store, 30);
    }
    world.check(&store);
    store.seal_now().expect("seal");
    world.check(&store);
    assert_eq!((store.maintain(), store.maintain(), store.view().last_record), (Some(6), None, 5));
    world.write(&store, 7);
    world.check(&store);
    let (store, recovered) = world.open();
    assert_eq!(recovered.wal_upto, 6);
    let key = SourceKey::new("agent", "file");
    assert!(recovered.ranges.get(&key).expect("ranges").contains(0, 500));
    assert!(!recovered.ranges.get(&key).expect("ranges").contains(0, 501));
    world.check(&store);
}

#[test]
fn every_fault_at_every_step_leaves_each_row_exactly_once() {
    use Fault::{After, Before, None};
    for (put, append) in [(Before, None), (After, None), (None, Before), (None, After)] {
        for crash in [false, true] {
            let mut world = World::new();
            let (mut store, _) = world.open();
            world.write(&store, 20);
            world.fault(put, append);
            assert!(store.seal_now().is_err(), "{put:?} {append:?}");
            assert!(store.health().is_err());
            world.check(&store);
            world.write(&store, 10);
            world.check(&store);
            world.fault(None, None);
            if crash {
                store = world.open().0;
                world.check(&store);
            }
            store.seal_now().expect("the second try");
            assert!(store.health().is_ok());
            store.seal_now().expect("what came meanwhile");
            world.check(&store);
            let (store, recovered) = world.open();
            assert_eq!(recovered.wal_upto, 3);
            world.check(&store);
        }
    }
}

#[test]
fn sealing_is_by_size_and_age_and_pauses_after_a_failure() {
    let mut world = World::new();
    let (store, _) = world.open();
    world.write(&store, 10);
    assert_eq!(store.maintain(), None);
    world.clock.set(world.clock.now_ns() + 601 * 1_000_000_000);
    world.fault(Fault::Before, Fault::None);
    assert_eq!(store.maintain(), None);
    assert!(store.health().expect_err("it failed").contains("the disk is full"));
    world.fault(Fault::None, Fault::None);
    assert_eq!(store.maintain(), None, "the pause is not over");
    world.clock.set(world.clock.now_ns() + 1_000_000_000);
    assert_eq!(store.maintain(), Some(2));
    while !store.inner.is_full(&store.inner.state()) {
        world.write(&store, 1000);
    }
    assert_eq!(store.maintain(), Some(world.wal.len() as u64 + 1));
    world.check(&store);
}

#[test]
fn records_without_new_rows_move_the_wal_position_too() {
    let world = World::new();
    let (store, _) = world.open();
    store.append(Vec::new(), 1, SourceRanges::default());
    store.append(Vec::new(), 2, SourceRanges::default());
    store.seal_now().expect("seal");
    assert_eq!(store.maintain(), Some(3));
    assert!(store.view().segments.is_empty());
}

#[test]
fn a_part_with_too_many_ranges_is_sealed_early() {
    let world = World::new();
    let (store, _) = world.open();
    let mut ranges = SourceRanges::default();
    for i in 0..50_000u64 {
        ranges.insert(&SourceKey::new("agent", "file"), i * 10, i * 10 + 5);
    }
    store.append(Vec::new(), 1, ranges.clone());
    assert_eq!(store.maintain(), None);
    store.append(Vec::new(), 2, ranges);
    assert_eq!(store.maintain(), Some(3));
}

#[test]
fn a_second_owner_stops_the_first() {
    let mut world = World::new();
    let (first, _) = world.open();
    world.write(&first, 10);
    let (second, _) = world.open();
    second.seal_now().expect("the second owner seals");
    for _ in 0..3 {
        let error = first.seal_now().expect_err("the first is fenced").to_string();
        assert_eq!(error, "another process writes this store: this one has to stop");
    }
    world.check(&world.open().0);
}

/// The answer to a seal is lost; retention or compaction commits next and folds it.
#[test]
fn a_seal_that_another_commit_folds_is_seen_once_and_done() {
    for compaction in [false, true] {
        let mut world = World::new();
        let (store, _) = world.open();
        for i in 0..compact::INPUTS_MIN {
            world.write(&store, 30 + i as u32);
            store.seal_now().expect("seal");
        }
        if !compaction {
            world.days_pass(&store, 32);
        }
        world.write(&store, 5);
        world.fault(Fault::None, Fault::After);
        assert!(store.seal_now().is_err());
        world.fault(Fault::None, Fault::None);
        if compaction {
            store.maintain();
            world.check(&store);
            let segments = store.view().segments.len();
            assert!(segments <= 2, "{segments} are left of {}", world.wal.len());
        } else {
            store.retain().expect("retention");
            assert_eq!(ids(&store).len(), 31 + 5, "the old rows are gone, and no others");
        }
        assert!(store.inner.state().sealing.is_none(), "its commit is known");
        let have = ids(&store);
        store.seal_now().expect("there is nothing left to seal");
        world.write(&store, 7);
        store.seal_now().expect("the next part");
        assert_eq!(ids(&store).len(), have.len() + 7);
        let (store, recovered) = world.open();
        assert_eq!((recovered.wal_upto, ids(&store).len()), (world.wal.len() as u64 + 1, have.len() + 7));
    }
}

#[test]
fn a_clock_that_leaps_retires_nothing_and_stops_nothing_when_it_comes_back() {
    let mut world = World::new();
    let (store, _) = world.open();
    world.write(&store, 10);
    store.seal_now().expect("seal");
    let now = world.clock.now_ns();
    world.clock.set(47_000 * DAY_NS);
    store.maintain();
    world.check(&store);
    world.write(&store, 5);
    store.seal_now().expect("a seal in another century");
    store.retain().expect("retention");
    world.check(&store);
    world.write(&store, 6);
    world.fault(Fault::Before, Fault::None);
    assert!(store.seal_now().is_err());
    world.fault(Fault::None, Fault::None);
    world.clock.set(now + 60_000_000_000);
    assert_eq!(store.maintain(), Some(4), "the pause of the other century is over");
    world.check(&store);
    world.days_pass(&store, 32);
    store.retain().expect("retention");
    assert_eq!(ids(&store).len(), 31, "retention goes on when newer rows come");
}

#[test]
fn objects_that_cannot_be_deleted_leave_the_store_ready() {
    let mut world = World::new();
    let (store, _) = world.open();
    world.write(&store, 10);
    store.seal_now().expect("seal");
    world.days_pass(&store, 31);
    store.retain().expect("retention");
    world.objects.delete.store(Fault::Before as u32, Ordering::SeqCst);
    world.clock.set(world.clock.now_ns() + retention::GRACE_NS);
    assert!(store.retain().is_err());
    store.maintain();
    assert_eq!((store.health(), ids(&store).len()), (Ok(()), 31));
    world.objects.delete.store(Fault::None as u32, Ordering::SeqCst);
    store.retain().expect("the second try");
}

#[test]
fn what_is_too_old_goes_and_its_object_after_a_grace() {
    let mut world = World::new();
    let (store, _) = world.open();
    world.write(&store, 10);
    store.seal_now().expect("seal");
    let view = store.view();
    world.days_pass(&store, 31);
    store.maintain();
    assert_eq!(ids(&store).len(), 31);
    assert_eq!(view.segments[0].raw(0, &[0]).expect("a view goes on reading").len(), 1);
    world.clock.set(world.clock.now_ns() + retention::GRACE_NS);
    store.maintain();
    let objects = Objects::new(Arc::clone(&world.objects) as _, world.runtime.handle().clone());
    let left = objects.list(SPLITS).expect("list");
    assert_eq!(left.len(), 31);
    assert!(!left.iter().any(|object| object.path.starts_with("splits/1970-04-11/")), "{left:?}");
    assert_eq!(ids(&world.open().0).len(), 31);
}

#[test]
fn many_small_splits_become_one_and_no_row_is_seen_twice() {
    let mut world = World::new();
    let (store, _) = world.open();
    for i in 0..compact::INPUTS_MIN {
        world.write(&store, 30 + i as u32);
        store.seal_now().expect("seal");
    }
    let before = store.view();
    assert_eq!(before.segments.len(), compact::INPUTS_MIN);
    world.fault(Fault::None, Fault::Before);
    store.maintain();
    world.check(&store);
    assert!(store.health().is_ok(), "a merge that fails harms nobody");
    world.fault(Fault::None, Fault::None);
    let (store, _) = world.open();
    store.maintain();
    let after = store.view();
    assert_eq!(after.segments.len(), 1);
    world.check(&store);
    let rows: Vec<Row> = world.wal.iter().flatten().cloned().collect();
    fixture::check(&*after.segments[0], &rows);
    assert_eq!(before.segments[0].raw(0, &[0]).expect("readers go on").len(), 1);
    let (store, recovered) = world.open();
    assert_eq!(recovered.wal_upto, compact::INPUTS_MIN as u64 + 1);
    world.check(&store);
}

#[test]
fn orphans_are_deleted_when_they_are_old() {
    let mut world = World::new();
    let (store, _) = world.open();
    world.write(&store, 10);
    world.fault(Fault::None, Fault::Before);
    assert!(store.seal_now().is_err());
    world.fault(Fault::None, Fault::None);
    let objects = Objects::new(Arc::clone(&world.objects) as _, world.runtime.handle().clone());
    let modified = objects.list(SPLITS).expect("list")[0].modified_ns;
    world.clock.set(modified + 1);
    let (store, _) = world.open();
    assert_eq!(objects.list(SPLITS).expect("list").len(), 1, "it might be about to be committed");
    store.seal_now().expect("seal");
    world.clock.set(modified + DAY_NS + 1_000_000_000);
    world.check(&world.open().0);
    assert_eq!(objects.list(SPLITS).expect("list").len(), 1, "only what was committed is left");
}

#[test]
fn appends_and_views_go_on_while_others_seal() {
    let mut world = World::new();
    let (store, _) = world.open();
    let sealer = store.clone();
    let stop = Arc::new(AtomicU32::new(0));
    let stopped = Arc::clone(&stop);
    let thread = std::thread::spawn(move || {
        while stopped.load(Ordering::SeqCst) == 0 {
            sealer.seal_now().expect("seal");
        }
    });
    for _ in 0..60 {
        world.write(&store, 20);
        world.check(&store);
    }
    stop.store(1, Ordering::SeqCst);
    thread.join().expect("the sealer");
    world.check(&world.open().0);
}

#[test]
fn a_full_part_wakes_who_seals() {
    let mut world = World::new();
    let (store, _) = world.open();
    let sealer = store.clone();
    let thread = std::thread::spawn(move || {
        sealer.wait_until_full(Duration::from_secs(3600));
        sealer.maintain()
    });
    while !thread.is_finished() {
        world.write(&store, 1000);
    }
    assert!(thread.join().expect("the sealer").is_some(), "it was woken, and sealed");
    store.wait_until_full(Duration::ZERO);
    world.check(&store);
}

#[test]
fn who_appends_too_much_waits_for_the_seal_under_way() {
    for fault in [Fault::None, Fault::Before] {
        let mut world = World::new();
        let (store, _) = world.open();
        let room = |store: &Store| store.inner.room(&store.inner.state());
        world.write(&store, 1000);
        let held = Arc::clone(&world.objects.held);
        let hold = held.lock().expect("the lock");
        let sealer = store.clone();
        let sealing = std::thread::spawn(move || sealer.seal_now().is_err());
        while store.inner.state().sealing.is_none() {
            std::thread::yield_now();
        }
        while room(&store) == Room::Enough {
            world.write(&store, 5000);
        }
        assert_eq!(room(&store), Room::Soon);
        // The part that is open is not to be sealed before the other one is.
        store.wait_until_full(Duration::ZERO);
        world.fault(fault, Fault::None);
        let (appender, record) = (store.clone(), world.wal.len() as u64 + 1);
        let appending = std::thread::spawn(move || appender.append(Vec::new(), record, SourceRanges::default()));
        world.check(&store);
        drop(hold);
        assert_eq!(sealing.join().expect("the sealer"), fault != Fault::None);
        appending.join().expect("who appends");
        world.check(&store);
        world.fault(Fault::None, Fault::None);
        world.clock.set(world.clock.now_ns() + 60_000_000_000);
        // Where nobody else seals, who appends does.
        store.append(Vec::new(), record + 1, SourceRanges::default());
        assert_eq!(room(&store), Room::Enough, "{fault:?}");
        world.check(&store);
    }
}

#[test]
fn a_store_in_a_directory_comes_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let rows: Vec<Row> = (0..500).map(|i| row(i, i as u64, &format!("n={i} \"hello\""))).collect();
    let clock = Clock::manual(1_000);
    let open = || Store::open_local(dir.path(), config(), clock.clone()).expect("open");
    let (store, recovered) = open();
    assert_eq!(recovered.wal_upto, 1);
    store.append(blocks(&rows, 200), 1, SourceRanges::default());
    store.seal_now().expect("seal");
    drop(store);
    let (store, recovered) = open();
    assert_eq!(recovered.wal_upto, 2);
    let view = store.view();
    assert_eq!(view.segments.len(), 1);
    fixture::check(&*view.segments[0], &rows);
}

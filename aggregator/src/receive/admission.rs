//! Whether there is room for a request, decided before its body is worked on: overload is answered, not suffered.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Decompressed bytes between the door and the head of the store.
pub const IN_FLIGHT_BYTES_MAX: u64 = 32 << 20;

/// With more bytes than these in flight the next request waits at the door, its body unread.
pub const ENTER_BYTES_MAX: u64 = 12 << 20;

/// How long it waits before it is sent away.
pub const ROOM_WAIT_MAX: Duration = Duration::from_secs(2);

/// How full the file system of `data_dir` may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskLimits {
    /// From here on it is said.
    pub warn_percent: u8,
    /// From here on no data is taken.
    pub full_percent: u8,
}

impl Default for DiskLimits {
    fn default() -> DiskLimits {
        DiskLimits { warn_percent: 90, full_percent: 95 }
    }
}

/// What the file system of `data_dir` says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    pub free_bytes: u64,
    /// Of what may be used, as `df` counts it.
    pub used_percent: u8,
}

/// Free space under which no data is taken: the log and the splits that are being written need it.
pub const DISK_FREE_BYTES_MIN: u64 = 48 << 20;

/// Bursts above `ingest_bytes_per_s` are let through up to this many seconds of it.
const BURST_SECONDS: i64 = 2;

/// A clock that is set back further than this was wrong before.
const CLOCK_BACK_NS: i64 = 60 * 1_000_000_000;
const MS: i64 = 1_000_000;

/// Why a request has to come back later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The stages behind the door are busy.
    InFlight,
    /// `limits.ingest_bytes_per_s`
    Rate {
        retry_after_s: u64,
    },
    DiskFull {
        used_percent: u8,
        full_percent: u8,
    },
    /// The head is far over its size because it cannot be sealed.
    StoreFull,
}

impl Refusal {
    pub fn reason(self) -> Cow<'static, str> {
        let reason = match self {
            Refusal::InFlight => "the server is busy with the data that it has: send again later",
            Refusal::Rate { .. } => "limits.ingest_bytes_per_s is reached: send again later",
            Refusal::StoreFull => "the store cannot seal what it has: see /health/ready",
            Refusal::DiskFull { used_percent, full_percent } => {
                return Cow::Owned(format!(
                    "the disk is full: {used_percent} % of the file system of data_dir are used \
                     (limits.disk_full_percent is {full_percent}, and {} MiB have to be free): make room or lower retention",
                    DISK_FREE_BYTES_MIN >> 20
                ));
            }
        };
        Cow::Borrowed(reason)
    }

    pub const fn retry_after_s(self) -> u64 {
        match self {
            Refusal::InFlight => 1,
            Refusal::Rate { retry_after_s } => retry_after_s,
            Refusal::DiskFull { .. } | Refusal::StoreFull => 10,
        }
    }
}

/// Shared by every door.
#[derive(Debug, Clone)]
pub struct Admission(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    in_flight: AtomicU64,
    /// Told when something that was in flight is not any more.
    room: Notify,
    bytes_per_s: u64,
    /// Token bucket as the moment when it is full again: one atomic, no lock.
    full_at_ns: AtomicI64,
    disk_free: AtomicU64,
    disk_used_percent: AtomicU8,
    disk_limits: DiskLimits,
    store_full: AtomicBool,
    under_way: Mutex<UnderWay>,
}

/// Batches that were received and are not searchable yet.
#[derive(Debug, Default)]
struct UnderWay {
    /// How many were received at each time.
    received: BTreeMap<i64, usize>,
    /// The latest time of which it was told that nothing received before it is under way.
    told_ns: i64,
}

impl UnderWay {
    /// What was told holds also where the clock is set back a little; further back it was wrong when it was told.
    fn told(&mut self, now_ns: i64) -> i64 {
        if self.told_ns.saturating_sub(now_ns) > CLOCK_BACK_NS {
            self.told_ns = now_ns;
        }
        self.told_ns
    }
}

impl Admission {
    pub fn new(bytes_per_s: u64) -> Admission {
        Admission::with_disk_limits(bytes_per_s, DiskLimits::default())
    }

    pub fn with_disk_limits(bytes_per_s: u64, disk_limits: DiskLimits) -> Admission {
        Admission(Arc::new(Shared {
            in_flight: AtomicU64::new(0),
            room: Notify::new(),
            bytes_per_s: bytes_per_s.max(1),
            full_at_ns: AtomicI64::new(i64::MIN),
            disk_free: AtomicU64::new(u64::MAX),
            disk_used_percent: AtomicU8::new(0),
            disk_limits,
            store_full: AtomicBool::new(false),
            under_way: Mutex::default(),
        }))
    }

    /// Lets a request in, or says why not. The ticket holds nothing yet: it grows with what is read and decompressed.
    pub fn enter(&self, now_ns: i64) -> Result<Ticket, Refusal> {
        if let Some(refusal) = self.disk_refusal() {
            return Err(refusal);
        }
        if self.0.store_full.load(Ordering::Relaxed) {
            return Err(Refusal::StoreFull);
        }
        if self.0.in_flight.load(Ordering::SeqCst) > ENTER_BYTES_MAX {
            return Err(Refusal::InFlight);
        }
        let debt_ns = self.0.full_at_ns.load(Ordering::Relaxed).saturating_sub(now_ns);
        let burst_ns = BURST_SECONDS * 1_000_000_000;
        if debt_ns > burst_ns {
            return Err(Refusal::Rate { retry_after_s: ((debt_ns - burst_ns) / 1_000_000_000 + 1) as u64 });
        }
        Ok(Ticket { admission: self.clone(), bytes: 0, receipt: None })
    }

    /// [`Admission::enter`], which waits a moment when room is all that is missing: a sender that is sent away comes
    /// back after a second at the earliest, and by then the stages behind the door have nothing to do.
    pub async fn wait(&self, now_ns: i64) -> Result<Ticket, Refusal> {
        let deadline = Instant::now() + ROOM_WAIT_MAX;
        let mut waited = false;
        loop {
            match self.enter(now_ns) {
                Err(Refusal::InFlight) => {}
                entered => {
                    if waited {
                        // There may be room for the next one, too.
                        self.0.room.notify_one();
                    }
                    return entered;
                }
            }
            // What was given back since then has left its word.
            waited = timeout_at(deadline, self.0.room.notified()).await.is_ok();
            if !waited {
                return self.enter(now_ns);
            }
        }
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that was received before this time is searchable; what comes from now on is received then or later.
    pub fn searchable_upto_ns(&self, now_ns: i64) -> i64 {
        let mut under_way = self.under_way();
        let oldest_ns = under_way.received.keys().next().copied();
        // Rows have their receive time in milliseconds.
        let upto_ns = oldest_ns.map_or(now_ns, |oldest_ns| oldest_ns.min(now_ns)).div_euclid(MS) * MS;
        under_way.told_ns = under_way.told(now_ns).max(upto_ns);
        upto_ns
    }

    fn give_back(&self, bytes: u64) {
        self.0.in_flight.fetch_sub(bytes, Ordering::SeqCst);
        self.0.room.notify_one();
    }

    /// Counts data that was taken against the rate. It may go into debt: then the next requests wait at the door.
    pub fn charge(&self, bytes: u64, now_ns: i64) {
        let cost_ns = u128::from(bytes) * 1_000_000_000 / u128::from(self.0.bytes_per_s);
        let cost_ns = i64::try_from(cost_ns).unwrap_or(i64::MAX);
        let add = |full_at: i64| Some(full_at.max(now_ns).saturating_add(cost_ns));
        let _ = self.0.full_at_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Told by the part that watches the disk.
    pub fn set_disk(&self, disk: Disk) {
        self.0.disk_free.store(disk.free_bytes, Ordering::Relaxed);
        self.0.disk_used_percent.store(disk.used_percent, Ordering::Relaxed);
    }

    pub fn disk(&self) -> Disk {
        Disk {
            free_bytes: self.0.disk_free.load(Ordering::Relaxed),
            used_percent: self.0.disk_used_percent.load(Ordering::Relaxed),
        }
    }

    fn disk_refusal(&self) -> Option<Refusal> {
        let (Disk { free_bytes, used_percent }, full_percent) = (self.disk(), self.0.disk_limits.full_percent);
        (free_bytes < DISK_FREE_BYTES_MIN || used_percent >= full_percent)
            .then_some(Refusal::DiskFull { used_percent, full_percent })
    }

    /// Why the disk takes nothing, if so.
    pub fn disk_health(&self) -> Result<(), String> {
        self.disk_refusal().map_or(Ok(()), |refusal| Err(refusal.reason().into_owned()))
    }

    /// What is to be said of a disk that is nearly full.
    pub fn disk_warning(&self) -> Option<String> {
        let (used_percent, warn_percent) = (self.disk().used_percent, self.0.disk_limits.warn_percent);
        (used_percent >= warn_percent).then(|| {
            format!(
                "the disk is nearly full: {used_percent} % of the file system of data_dir are used \
                 (limits.disk_warn_percent is {warn_percent}, and at {} % lines are refused)",
                self.0.disk_limits.full_percent
            )
        })
    }

    /// Told by the part that looks after the store.
    pub fn set_store_full(&self, full: bool) {
        self.0.store_full.store(full, Ordering::Relaxed);
    }

    pub fn in_flight_bytes(&self) -> u64 {
        self.0.in_flight.load(Ordering::Relaxed)
    }
}

/// Room that a request holds from the door to the head.
#[derive(Debug)]
pub struct Ticket {
    admission: Admission,
    bytes: u64,
    receipt: Option<Receipt>,
}

/// A batch is under way.
#[derive(Debug)]
struct Receipt {
    admission: Admission,
    received_ns: i64,
}

impl Drop for Receipt {
    fn drop(&mut self) {
        let mut under_way = self.admission.under_way();
        if let Entry::Occupied(mut entry) = under_way.received.entry(self.received_ns) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

impl Ticket {
    /// Asks for room for so many bytes in all; what was asked for before is part of it.
    pub fn resize(&mut self, bytes: u64) -> Result<(), Refusal> {
        if bytes <= self.bytes {
            self.admission.give_back(self.bytes - bytes);
            self.bytes = bytes;
            return Ok(());
        }
        let more = bytes - self.bytes;
        let before = self.admission.0.in_flight.fetch_add(more, Ordering::SeqCst);
        let others = before - self.bytes;
        self.bytes = bytes;
        // One request is always let in, however large: else it could never be.
        if others > 0 && others + bytes > IN_FLIGHT_BYTES_MAX { Err(Refusal::InFlight) } else { Ok(()) }
    }

    /// All of the batch is here: the time at which it was received. It counts as under way at a door until the ticket is
    /// given back.
    pub fn receive(&mut self, door: &Admission, now_ns: i64) -> i64 {
        let mut under_way = door.under_way();
        let received_ns = now_ns.max(under_way.told(now_ns));
        *under_way.received.entry(received_ns).or_default() += 1;
        drop(under_way);
        self.receipt = Some(Receipt { admission: door.clone(), received_ns });
        received_ns
    }

    pub fn grow(&mut self, bytes: u64) -> Result<(), Refusal> {
        self.resize(self.bytes.saturating_add(bytes))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.admission.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn memory_in_flight_is_bounded_and_given_back() {
        let admission = Admission::new(u64::MAX);
        let mut first = admission.enter(0).expect("there is room");
        let mut second = admission.enter(0).expect("nothing is asked for yet");
        first.resize(IN_FLIGHT_BYTES_MAX).expect("one request is always let in");
        assert_eq!(second.grow(1), Err(Refusal::InFlight));
        drop(second);
        first.grow(1).expect("alone it may be larger");
        assert_eq!(admission.enter(0).expect_err("full"), Refusal::InFlight);
        first.resize(10).expect("less is always right");
        assert_eq!(admission.in_flight_bytes(), 10);
        drop(first);
        assert_eq!(admission.in_flight_bytes(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_room_waits_for_it_and_not_for_ever() {
        let admission = Admission::new(u64::MAX);
        let mut first = admission.enter(0).expect("there is room");
        first.resize(ENTER_BYTES_MAX + 1).expect("one request is always let in");
        let others: Vec<_> = (0..3)
            .map(|_| {
                tokio::spawn({
                    let door = admission.clone();
                    async move { door.wait(0).await }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(others.iter().all(|other| !other.is_finished()));
        drop(first);
        for other in others {
            let mut ticket = other.await.expect("it ends").expect("there is room");
            ticket.grow(1).expect("there is room");
        }
        let begin = Instant::now();
        let mut first = admission.enter(0).expect("there is room");
        first.resize(ENTER_BYTES_MAX + 1).expect("one request is always let in");
        assert_eq!(admission.wait(0).await.expect_err("full"), Refusal::InFlight);
        assert_eq!(begin.elapsed(), ROOM_WAIT_MAX);
    }

    #[test]
    fn the_rate_allows_a_burst_and_then_says_when_to_come_back() {
        let admission = Admission::new(1000);
        admission.charge(3000, 0);
        assert_eq!(admission.enter(0).expect_err("in debt"), Refusal::Rate { retry_after_s: 2 });
        admission.enter(2 * SECOND).expect("after the wait");
        admission.charge(u64::MAX, 0);
        assert!(matches!(admission.enter(0), Err(Refusal::Rate { .. })), "an absurd size is no overflow");
    }

    #[test]
    fn what_was_told_to_be_searchable_stays_so() {
        let door = Admission::new(u64::MAX);
        let ticket = || Admission::new(u64::MAX).enter(0).expect("room");
        assert_eq!(door.searchable_upto_ns(10 * SECOND + 1), 10 * SECOND);
        // A clock that is a little behind does not receive anything into what was told.
        let (mut first, mut second) = (ticket(), ticket());
        assert_eq!(first.receive(&door, 9 * SECOND), 10 * SECOND);
        assert_eq!(second.receive(&door, 12 * SECOND), 12 * SECOND);
        let mut third = ticket();
        third.receive(&door, 12 * SECOND);
        assert_eq!(door.searchable_upto_ns(20 * SECOND), 10 * SECOND);
        drop(first);
        drop(second);
        assert_eq!(door.searchable_upto_ns(20 * SECOND), 12 * SECOND);
        drop(third);
        assert_eq!(door.searchable_upto_ns(20 * SECOND), 20 * SECOND);
        // One that was set back by an hour is right now.
        let mut late = ticket();
        assert_eq!(late.receive(&door, -3600 * SECOND), -3600 * SECOND);
        assert_eq!(door.searchable_upto_ns(-3590 * SECOND), -3600 * SECOND);
    }

    #[test]
    fn a_full_disk_takes_nothing() {
        let admission = Admission::new(u64::MAX);
        let refusal = |used_percent, free_bytes| {
            admission.set_disk(Disk { free_bytes, used_percent });
            (admission.enter(0).err(), admission.disk_warning().is_some())
        };
        let full = |used_percent| Some(Refusal::DiskFull { used_percent, full_percent: 95 });
        assert_eq!(refusal(50, DISK_FREE_BYTES_MIN - 1), (full(50), false));
        assert_eq!(refusal(89, u64::MAX), (None, false));
        assert_eq!(refusal(90, u64::MAX), (None, true));
        assert_eq!(refusal(94, u64::MAX), (None, true));
        assert_eq!(refusal(95, u64::MAX), (full(95), true));
        assert!(admission.disk_health().expect_err("full").starts_with("the disk is full: 95 % of"));
        assert_eq!(refusal(10, u64::MAX), (None, false));
        admission.set_store_full(true);
        assert_eq!(admission.enter(0).expect_err("full"), Refusal::StoreFull);
    }
}

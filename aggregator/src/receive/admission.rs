//! Whether there is room for a request, decided before its body is worked on: overload is answered, not suffered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// Decompressed bytes between the door and the head of the store.
pub const IN_FLIGHT_BYTES_MAX: u64 = 96 << 20;

/// Free space under which no data is taken: the log and the splits that are being written need it.
pub const DISK_FREE_BYTES_MIN: u64 = 48 << 20;

/// Bursts above `ingest_bytes_per_s` are let through up to this many seconds of it.
const BURST_SECONDS: i64 = 2;

/// Why a request has to come back later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The stages behind the door are busy.
    InFlight,
    /// `limits.ingest_bytes_per_s`
    Rate {
        retry_after_s: u64,
    },
    DiskFull,
    /// The head is far over its size because it cannot be sealed.
    StoreFull,
}

impl Refusal {
    pub const fn reason(self) -> &'static str {
        match self {
            Refusal::InFlight => "the server is busy with the data that it has: send again later",
            Refusal::Rate { .. } => "limits.ingest_bytes_per_s is reached: send again later",
            Refusal::StoreFull => "the store cannot seal what it has: see /health/ready",
            Refusal::DiskFull => "the disk of data_dir is nearly full: free space or lower retention",
        }
    }

    pub const fn retry_after_s(self) -> u64 {
        match self {
            Refusal::InFlight => 1,
            Refusal::Rate { retry_after_s } => retry_after_s,
            Refusal::DiskFull | Refusal::StoreFull => 10,
        }
    }
}

/// Shared by every door.
#[derive(Debug, Clone)]
pub struct Admission(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    in_flight: AtomicU64,
    bytes_per_s: u64,
    /// Token bucket as the moment when it is full again: one atomic, no lock.
    full_at_ns: AtomicI64,
    disk_free: AtomicU64,
    store_full: AtomicBool,
}

impl Admission {
    pub fn new(bytes_per_s: u64) -> Admission {
        Admission(Arc::new(Shared {
            in_flight: AtomicU64::new(0),
            bytes_per_s: bytes_per_s.max(1),
            full_at_ns: AtomicI64::new(i64::MIN),
            disk_free: AtomicU64::new(u64::MAX),
            store_full: AtomicBool::new(false),
        }))
    }

    /// Asks for room for `bytes` of decompressed data; the ticket gives it back when it is dropped.
    pub fn admit(&self, bytes: u64, now_ns: i64) -> Result<Ticket, Refusal> {
        if self.0.disk_free.load(Ordering::Relaxed) < DISK_FREE_BYTES_MIN {
            return Err(Refusal::DiskFull);
        }
        if self.0.store_full.load(Ordering::Relaxed) {
            return Err(Refusal::StoreFull);
        }
        self.take_rate(bytes, now_ns)?;
        let before = self.0.in_flight.fetch_add(bytes, Ordering::SeqCst);
        let ticket = Ticket { admission: self.clone(), bytes };
        // One request is always let in, however large: else it could never be.
        if before > 0 && before + bytes > IN_FLIGHT_BYTES_MAX { Err(Refusal::InFlight) } else { Ok(ticket) }
    }

    fn take_rate(&self, bytes: u64, now_ns: i64) -> Result<(), Refusal> {
        let cost_ns = (u128::from(bytes) * 1_000_000_000 / u128::from(self.0.bytes_per_s)) as i64;
        let burst_ns = BURST_SECONDS * 1_000_000_000;
        let mut full_at = self.0.full_at_ns.load(Ordering::Relaxed);
        loop {
            let from = full_at.max(now_ns);
            if from - now_ns > burst_ns {
                let wait_ns = from - now_ns - burst_ns;
                return Err(Refusal::Rate { retry_after_s: (wait_ns / 1_000_000_000 + 1) as u64 });
            }
            let next = from.saturating_add(cost_ns);
            match self.0.full_at_ns.compare_exchange(full_at, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(seen) => full_at = seen,
            }
        }
    }

    /// Told by the part that watches the disk.
    pub fn set_disk_free(&self, bytes: u64) {
        self.0.disk_free.store(bytes, Ordering::Relaxed);
    }

    /// Told by the part that looks after the store.
    pub fn set_store_full(&self, full: bool) {
        self.0.store_full.store(full, Ordering::Relaxed);
    }

    pub fn disk_is_full(&self) -> bool {
        self.0.disk_free.load(Ordering::Relaxed) < DISK_FREE_BYTES_MIN
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
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.admission.0.in_flight.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn memory_in_flight_is_bounded_and_given_back() {
        let admission = Admission::new(u64::MAX);
        let first = admission.admit(IN_FLIGHT_BYTES_MAX * 2, 0).expect("one request is always let in");
        assert_eq!(admission.admit(1, 0).expect_err("full"), Refusal::InFlight);
        drop(first);
        assert_eq!(admission.in_flight_bytes(), 0);
        admission.admit(1, 0).expect("there is room again");
    }

    #[test]
    fn the_rate_allows_a_burst_and_then_says_when_to_come_back() {
        let admission = Admission::new(1000);
        for _ in 0..3 {
            admission.admit(1000, 0).expect("within the burst");
        }
        let refusal = admission.admit(1000, 0).expect_err("over the burst");
        assert_eq!(refusal, Refusal::Rate { retry_after_s: 2 });
        admission.admit(1000, 2 * SECOND).expect("after the wait");
    }

    #[test]
    fn a_full_disk_takes_nothing() {
        let admission = Admission::new(u64::MAX);
        admission.set_disk_free(DISK_FREE_BYTES_MIN - 1);
        assert_eq!(admission.admit(1, 0).expect_err("full"), Refusal::DiskFull);
        admission.set_disk_free(u64::MAX);
        admission.set_store_full(true);
        assert_eq!(admission.admit(1, 0).expect_err("full"), Refusal::StoreFull);
    }
}

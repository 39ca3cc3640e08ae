//! The store's housekeeping on a thread of its own: seal when it is time, cut the log behind it, retain, watch the disk.
//!
//! A disk that is nearly full or full is told as an event with `source: logweir` too, through the log like any other:
//! so it is found by search, and the shipped rule fires on it.

use std::path::PathBuf;
use std::time::Duration;

use logweir_proto::record::field;
use logweir_runtime::clock::{Clock, NANOS_PER_SECOND, Nanos};
use logweir_runtime::drain::Drain;

use crate::receive::admission::{Admission, Disk};
use crate::receive::writer::WriterHandle;
use crate::receive::{DEFAULT_TENANT, Received, json};
use crate::spans::Spans;
use crate::store::service::Store;

/// How often it looks when nothing calls for it.
const PERIOD: Duration = Duration::from_millis(200);

/// A disk that stays full is told again after this time.
const TELL_EVERY_NS: Nanos = 60 * NANOS_PER_SECOND;

/// Where Linux tells the name of the machine.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

pub(super) struct Watcher {
    pub store: Store,
    pub writer: WriterHandle,
    pub admission: Admission,
    pub clock: Clock,
    pub dir: PathBuf,
    pub drain: Drain,
}

/// What was told of the disk last.
#[derive(Debug, Default)]
struct Told {
    level: Option<&'static str>,
    at_ns: Nanos,
}

impl Told {
    /// Whether there is something to tell: it got worse, or goes on.
    fn is_due(&mut self, level: Option<&'static str>, now: Nanos) -> bool {
        let worse = level.is_some() && level != self.level && self.level != Some("error");
        let again = level.is_some() && (now - self.at_ns >= TELL_EVERY_NS || now < self.at_ns);
        let due = worse || again;
        if due || level.is_none() {
            self.level = level;
        }
        if due {
            self.at_ns = now;
        }
        due
    }
}

impl Watcher {
    pub(super) fn run(self) {
        let mut told = Told::default();
        while !self.drain.is_cancelled() {
            self.store.wait_until_full(PERIOD);
            match rustix::fs::statvfs(&self.dir) {
                Ok(stat) => self.admission.set_disk(disk_of(&stat)),
                Err(error) => tracing::warn!(error = %error, "cannot ask for the free space of data_dir"),
            }
            self.tell_of_disk(&mut told);
            self.admission.set_store_full(self.store.is_full());
            if let Some(record) = self.store.maintain() {
                self.writer.truncate_before(record);
            }
        }
    }

    fn tell_of_disk(&self, told: &mut Told) {
        let (level, message) = match (self.admission.disk_health(), self.admission.disk_warning()) {
            (Err(reason), _) => (Some("error"), reason),
            (Ok(()), Some(warning)) => (Some("warn"), warning),
            (Ok(()), None) => (None, String::new()),
        };
        let now = self.clock.now_ns();
        if let (true, Some(level)) = (told.is_due(level, now), level) {
            tracing::warn!(reason = message, "the disk of data_dir has little room");
            if let Err(reason) = self.submit(level, &message, now) {
                tracing::warn!(reason, "the event about the disk could not be stored");
            }
        }
    }

    fn submit(&self, level: &str, message: &str, now: Nanos) -> Result<(), String> {
        let host = std::fs::read_to_string(HOST_NAME).unwrap_or_default().trim().to_owned();
        let text = serde_json::json!({
            field::LEVEL: level,
            field::MESSAGE: message,
            field::SERVICE: "logweir",
            field::SOURCE: "logweir",
            field::HOST: host,
            "event": "disk",
        })
        .to_string();
        let sender = json::Sender { host, ..json::Sender::default() };
        let batch = json::batch(&sender, &[text.as_bytes()]).map_err(|error| error.to_string())?;
        // Through no door: a door that is closed for want of room is what it tells of.
        let mut ticket = Admission::new(u64::MAX).enter(now).map_err(|refusal| refusal.reason().into_owned())?;
        let received_ns = ticket.receive(&self.admission, now);
        let received = Received::built(DEFAULT_TENANT.to_owned(), received_ns, batch, Spans::default(), ticket)
            .map_err(|error| error.to_string())?;
        self.writer.submit(received).map_err(|error| error.to_string())
    }
}

/// As `df` counts: what only root may use is neither used nor free.
fn disk_of(stat: &rustix::fs::StatVfs) -> Disk {
    let used = stat.f_blocks.saturating_sub(stat.f_bfree);
    let usable = used.saturating_add(stat.f_bavail).max(1);
    let percent = u128::from(used) * 100 / u128::from(usable);
    Disk { free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize), used_percent: u8::try_from(percent).unwrap_or(100) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_told_when_it_gets_worse_and_once_a_minute() {
        let mut told = Told::default();
        let steps = [
            (0, None, false),
            (100, Some("warn"), true),
            (101, Some("warn"), false),
            (102, Some("error"), true),
            (103, Some("warn"), false),
            (104, Some("error"), false),
            (162, Some("error"), true),
            (163, None, false),
            (164, Some("warn"), true),
            (20, Some("warn"), true),
        ];
        for (second, level, due) in steps {
            assert_eq!(told.is_due(level, second * NANOS_PER_SECOND), due, "at {second}");
        }
    }
}

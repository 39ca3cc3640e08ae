//! The store's housekeeping on a thread of its own: seal when it is time, cut the log behind it, retain, watch the disk.

use std::path::PathBuf;
use std::time::Duration;

use logweir_runtime::drain::Drain;

use crate::receive::admission::Admission;
use crate::receive::writer::WriterHandle;
use crate::store::service::Store;

/// How often it looks.
const PERIOD: Duration = Duration::from_millis(200);

pub(super) struct Watcher {
    pub store: Store,
    pub writer: WriterHandle,
    pub admission: Admission,
    pub dir: PathBuf,
    pub drain: Drain,
}

impl Watcher {
    pub(super) fn run(self) {
        while !self.drain.is_cancelled() {
            std::thread::park_timeout(PERIOD);
            match rustix::fs::statvfs(&self.dir) {
                Ok(stat) => self.admission.set_disk_free(stat.f_bavail.saturating_mul(stat.f_frsize)),
                Err(error) => tracing::warn!(error = %error, "cannot ask for the free space of data_dir"),
            }
            self.admission.set_store_full(self.store.is_full());
            if let Some(record) = self.store.maintain() {
                self.writer.truncate_before(record);
            }
        }
    }
}

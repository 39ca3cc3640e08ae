//! Retention: whole splits go when they are too old or too much; their objects go after a grace, for readers.

use std::collections::HashSet;

use logweir_runtime::clock::{NANOS_PER_SECOND, Nanos};

use super::{Inner, SPLITS, StoreError, Work, unique};
use crate::store::catalogue::{Catalogue, CatalogueError};
use crate::store::commit::Record;
use crate::store::split::footer::SplitMeta;

/// How often retention looks.
pub(super) const RETAIN_EVERY_NS: Nanos = 60 * NANOS_PER_SECOND;

/// Objects of removed splits stay for so long: longer than any query may run.
pub(super) const GRACE_NS: Nanos = 600 * NANOS_PER_SECOND;

/// Objects that no commit names are deleted at this age: a younger one may be about to be committed.
pub(super) const ORPHAN_AGE_NS: Nanos = 24 * 3600 * NANOS_PER_SECOND;

const DAY_NS: Nanos = 24 * 3600 * NANOS_PER_SECOND;

/// When to look, and what waits for its deletion.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    next_ns: Nanos,
    /// Objects and when they were removed from the catalogue.
    graves: Vec<(String, Nanos)>,
}

impl Schedule {
    pub(super) fn is_due(&self, now: Nanos) -> bool {
        // Later than a period from now is what a clock that was set back leaves.
        now >= self.next_ns || self.next_ns - now > RETAIN_EVERY_NS
    }

    /// Objects that no reader will open any more after a grace.
    pub(super) fn bury(&mut self, paths: impl Iterator<Item = String>, now: Nanos) {
        self.graves.extend(paths.map(|path| (path, now)));
    }
}

/// The splits to drop: those that ended before what their class keeps, and the oldest of all beyond `bytes_max`.
pub(super) fn too_old_or_too_much<'a>(
    splits: impl Iterator<Item = &'a SplitMeta>,
    oldest_ns: impl Fn(&str) -> Nanos,
    bytes_max: Option<u64>,
) -> Vec<&'a SplitMeta> {
    let mut splits: Vec<&SplitMeta> = splits.collect();
    splits.sort_by_key(|meta| std::cmp::Reverse((meta.max_time_ns, meta.min_time_ns)));
    let mut bytes = 0u64;
    let drop = |meta: &&SplitMeta| {
        bytes = bytes.saturating_add(meta.bytes);
        meta.max_time_ns < oldest_ns(&meta.class) || bytes_max.is_some_and(|max| bytes > max)
    };
    splits.into_iter().filter(drop).collect()
}

/// The time that retention counts back from. The clock may be wrong, but not by much more than a day after rows came;
/// without newer rows nothing more goes.
fn believed(now: Nanos, sealed_ns: Option<Nanos>) -> Nanos {
    sealed_ns.map_or(now, |sealed| now.min(sealed.saturating_add(DAY_NS)))
}

impl Inner {
    pub(super) fn retain(&self, work: &mut Work, now: Nanos) -> Result<(), StoreError> {
        work.retention.next_ns = now.saturating_add(RETAIN_EVERY_NS);
        let today_ns = believed(now, work.catalogue.time_ns());
        let oldest_ns = |class: &str| {
            let days = i64::try_from(self.config.days_of(class)).unwrap_or(i64::MAX);
            today_ns.saturating_sub(days.saturating_mul(DAY_NS))
        };
        let live = work.catalogue.splits().values().map(|meta| &**meta);
        let removed: Vec<String> = too_old_or_too_much(live, oldest_ns, self.config.retention_bytes)
            .into_iter()
            .map(|meta| meta.path.clone())
            .collect();
        if !removed.is_empty() {
            let splits = removed.len() as u64;
            let record = Record { nonce: unique(now), time_ns: now, removed, ..Record::default() };
            let committed = work.catalogue.commit(&*self.commits, &record);
            self.publish(work, now);
            match committed {
                Ok(()) => metrics::counter!("logweir_splits_retired_total").increment(splits),
                // The answer to an earlier try was lost; what is left goes the next time.
                Err(CatalogueError::Stale(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut failed = None;
        work.retention.graves.retain_mut(|(path, since)| {
            // The clock may have been set back.
            *since = now.min(*since);
            if now < since.saturating_add(GRACE_NS) {
                return true;
            }
            self.cache.remove(path);
            let deleted = self.objects.delete(path);
            let gone = deleted.is_ok();
            failed = deleted.err().or(failed.take());
            !gone
        });
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Deletes old objects that no commit names: what a crash between put and commit leaves, and what was removed
    /// shortly before the last end.
    pub(super) fn sweep_orphans(&self, catalogue: &Catalogue) -> Result<(), StoreError> {
        let live: HashSet<&str> = catalogue.splits().keys().map(String::as_str).collect();
        let now = self.clock.now_ns();
        for object in self.objects.list(SPLITS)? {
            let old = now.saturating_sub(object.modified_ns) >= ORPHAN_AGE_NS;
            if old && !live.contains(&*object.path) {
                tracing::info!(path = object.path, "deleting an object that no commit names");
                self.warn("orphans", &self.objects.delete(&object.path).map_err(StoreError::from));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_believed_a_day_beyond_the_last_seal() {
        assert_eq!(believed(100 * DAY_NS, None), 100 * DAY_NS);
        assert_eq!(believed(100 * DAY_NS, Some(99 * DAY_NS + 1)), 100 * DAY_NS);
        assert_eq!(believed(100 * DAY_NS, Some(200 * DAY_NS)), 100 * DAY_NS);
        assert_eq!(believed(47_000 * DAY_NS, Some(100 * DAY_NS)), 101 * DAY_NS);
    }

    #[test]
    fn the_oldest_go_first() {
        let meta = |name: &str, max_time_ns, bytes| SplitMeta {
            path: name.to_owned(),
            bytes,
            rows: 1,
            raw_bytes: 1,
            min_time_ns: 0,
            max_time_ns,
            wal: (0, 1),
            class: if name == "a" { "audit".to_owned() } else { String::new() },
            ..SplitMeta::default()
        };
        let splits = [meta("b", 20, 10), meta("a", 10, 10), meta("d", 40, 10), meta("c", 30, 10)];
        let dropped = |oldest, max| {
            let oldest_ns = |class: &str| if class == "audit" { oldest - 10 } else { oldest };
            too_old_or_too_much(splits.iter(), oldest_ns, max).iter().map(|meta| meta.path.as_str()).collect::<String>()
        };
        assert_eq!(dropped(0, None), "");
        assert_eq!(dropped(20, None), "", "the class keeps it for longer");
        assert_eq!(dropped(21, None), "ba");
        assert_eq!(dropped(0, Some(25)), "ba");
        assert_eq!(dropped(31, Some(25)), "cba");
        assert_eq!(dropped(0, Some(0)), "dcba");
    }
}

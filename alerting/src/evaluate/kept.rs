//! The counts by minute that long windows are made of: in memory, with the hours that are over in the store.
//!
//! A window of 30 days then costs one question about the last minute. An hour is stored when late lines cannot change it
//! any more; it outlives the lines. What is not stored is asked for again, so losing all of it costs time only.

use std::collections::HashMap;

use logweir_rules::model::{Group, PERIOD_MAX_NS, Rule, SignalQuery};
use logweir_rules::signal::{LONG_WINDOW_NS, Table};

use super::counts::{Counts, Piece};
use super::late::LATE_HORIZON_NS;
use crate::source::{QueryError, QuerySource};
use crate::state::store::{ROLLUPS, Store, StoreError};

pub(crate) const MINUTE_NS: i64 = 60 * 1_000_000_000;
const HOUR_NS: i64 = 60 * MINUTE_NS;

/// One change of the table of stored hours.
pub(crate) type Sealed = (String, Option<Piece>);

/// The feeds of one group.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    feeds: HashMap<String, Feed>,
}

#[derive(Debug, Clone)]
struct Feed {
    counts: Counts,
    /// The longest window over it, with its shift.
    reach_ns: i64,
    /// Hours before this are in the store.
    sealed: i64,
}

/// The name of a feed: its filter and grouping.
fn name(query: &SignalQuery) -> String {
    blake3::hash(query.buckets_text(MINUTE_NS).as_bytes()).to_hex()[..24].to_owned()
}

fn hour_key(feed: &str, hour: i64) -> String {
    format!("{feed}\0{hour:020}")
}

/// Whether a signal is a sum of minutes.
pub(crate) const fn is_long(query: &SignalQuery) -> bool {
    query.is_counted() && query.window_ns >= LONG_WINDOW_NS
}

fn hour_of(time: i64) -> i64 {
    time.div_euclid(HOUR_NS).saturating_mul(HOUR_NS)
}

impl Kept {
    /// What the store knows of the feeds of a group.
    pub(crate) fn load(store: &Store, group: &Group, at: i64) -> Result<Kept, StoreError> {
        let mut kept = Kept::default();
        for rule in &group.rules {
            kept.want(rule, at);
        }
        store.read(|view| {
            for (feed, own) in &mut kept.feeds {
                for (key, piece) in view.scan(ROLLUPS, &format!("{feed}\0"))? {
                    let hour: Option<i64> = key.rsplit_once('\0').and_then(|(_, hour)| hour.parse().ok());
                    let Some(hour) = hour else { continue };
                    if own.counts.until() == own.counts.from() && hour > own.counts.from() {
                        // The store begins later than the window: what is before is asked for, then what follows.
                        continue;
                    }
                    if hour == own.counts.until() {
                        own.counts.append(piece, hour.saturating_add(HOUR_NS));
                        own.sealed = own.counts.until();
                    }
                }
            }
            Ok(kept)
        })
    }

    fn want(&mut self, rule: &Rule, at: i64) {
        for (_, query) in rule.queries().filter(|(_, query)| is_long(query)) {
            let reach_ns = query.window_ns.saturating_add(query.shift_ns);
            let from = hour_of(at.saturating_sub(reach_ns).saturating_sub(LATE_HORIZON_NS));
            let new = || Feed { counts: Counts::new(MINUTE_NS, from), reach_ns, sealed: from };
            let feed = self.feeds.entry(name(query)).or_insert_with(new);
            if feed.reach_ns < reach_ns {
                *feed = new();
            }
        }
    }

    /// The table of a long signal; asks only for the minutes since the last time.
    pub(crate) async fn table(
        &mut self,
        source: &dyn QuerySource,
        rule: &Rule,
        query: &SignalQuery,
        at: i64,
    ) -> Result<Table, QueryError> {
        let name = name(query);
        if !self.feeds.get(&name).is_some_and(|feed| feed.counts.from() <= query.range(at).0) {
            self.feeds.remove(&name);
            self.want(rule, at);
        }
        let Some(feed) = self.feeds.get_mut(&name) else { return Ok(Table::new()) };
        feed.counts.extend(source, query, query.range(at).1).await?;
        Ok(feed.counts.table(query, at))
    }

    /// Late lines came: what was counted from this time on is counted again.
    pub(crate) fn forget_from(&mut self, time: i64) {
        for feed in self.feeds.values_mut() {
            feed.counts.forget_from(time.max(feed.sealed));
        }
    }

    /// The hours that became final, and those that are too old.
    pub(crate) fn seal(&mut self, at: i64) -> Vec<Sealed> {
        let mut changes = Vec::new();
        for (name, feed) in &mut self.feeds {
            while feed.sealed.saturating_add(HOUR_NS + LATE_HORIZON_NS) <= at.min(feed.counts.until()) {
                let end = feed.sealed.saturating_add(HOUR_NS);
                changes.push((hour_key(name, feed.sealed), Some(feed.counts.piece(feed.sealed, end))));
                changes.push((hour_key(name, feed.sealed.saturating_sub(hour_of(PERIOD_MAX_NS))), None));
                feed.sealed = end;
            }
            feed.counts.forget_before(at.saturating_sub(feed.reach_ns).saturating_sub(LATE_HORIZON_NS + HOUR_NS));
        }
        changes
    }
}

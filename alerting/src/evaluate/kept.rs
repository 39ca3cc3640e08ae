//! The counts that windows are made of, kept from step to step: in memory, and of long windows the hours that are over
//! also in the store.
//!
//! A window of [`LONG_WINDOW_NS`] and more is a sum of minutes, a shorter one of the steps of its group, so either costs
//! one question about the time since the last step. Signals with the same filter and grouping share their counts. Lines
//! that arrive for a time that is counted already make it counted again, before anything is decided on it. An hour is
//! stored when late lines are not expected any more; it outlives the lines. What is not stored is asked for again, so
//! losing all of it costs time only.

use std::collections::{BTreeSet, HashMap, HashSet};

use logweir_rules::model::{Group, LineTime, PERIOD_MAX_NS, SignalQuery};
use logweir_rules::schedule;
use logweir_rules::signal::{LONG_WINDOW_NS, Table};

use super::ask;
use super::counts::{Counts, Grid, Piece};
use super::late::LATE_HORIZON_NS;
use crate::source::{QueryError, QuerySource};
use crate::state::store::{ROLLUPS, Store, StoreError};

pub(crate) const MINUTE_NS: i64 = 60 * 1_000_000_000;
pub(crate) const HOUR_NS: i64 = 60 * MINUTE_NS;
/// Steps that a window is put together from; of more it is asked for as it is.
const STEPS_MAX: i64 = 720;
/// Counts of one feed of steps; a signal with more is asked for as it is.
const CELLS_MAX: usize = 100_000;
/// Pieces of time of one feed that are to be counted again; more are joined.
const DIRTY_MAX: usize = 16;
/// Arrivals are remembered for an hour: who looks less often may have missed some.
const LISTEN_MAX_NS: i64 = 45 * MINUTE_NS;

/// One change of the table of stored hours.
pub(crate) type Sealed = (String, Option<Piece>);

/// The feeds of one group.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    feeds: HashMap<String, Feed>,
    /// Feeds that are too wide to be kept.
    wide: HashSet<String>,
    /// Arrivals up to this number are accounted for.
    heard: u64,
    /// Event time at which arrivals were last looked at.
    listened_at: i64,
    /// Tables of the step that is evaluated: rules that ask the same ask once.
    asked: HashMap<String, Table>,
}

#[derive(Debug, Clone)]
struct Feed {
    time: LineTime,
    counts: Counts,
    /// The longest window over it, with its shift.
    reach_ns: i64,
    /// Pieces of time whose lines came after they were counted.
    dirty: Vec<(i64, i64)>,
    hours: Option<Hours>,
}

/// The hours of a feed of minutes that are in the store.
#[derive(Debug, Clone, Default)]
struct Hours {
    /// Those before this.
    sealed: i64,
    /// Stored ones that were counted again since.
    again: BTreeSet<i64>,
}

/// The name of a feed of minutes in the store: its filter and grouping.
fn stored_name(query: &SignalQuery) -> String {
    blake3::hash(query.buckets_text(MINUTE_NS).as_bytes()).to_hex()[..24].to_owned()
}

fn hour_key(feed: &str, hour: i64) -> String {
    format!("{feed}\0{hour:020}")
}

/// The hours of a feed that are stored and lie whole within `[from, to)`.
pub(crate) fn stored(
    store: &Store,
    query: &SignalQuery,
    (from, to): (i64, i64),
) -> Result<Vec<(i64, Piece)>, StoreError> {
    let feed = stored_name(query);
    let first = hour_of(from.saturating_add(HOUR_NS - 1));
    let last = hour_of(to).max(first);
    let found = store.read(|view| view.range(ROLLUPS, &hour_key(&feed, first), &hour_key(&feed, last)))?;
    let hour = |key: &str| key.rsplit_once('\0').and_then(|(_, hour)| hour.parse().ok());
    Ok(found.into_iter().filter_map(|(key, piece)| Some((hour(&key)?, piece))).collect())
}

/// Whether a signal is a sum of minutes.
pub(crate) const fn is_long(query: &SignalQuery) -> bool {
    query.is_counted() && query.window_ns >= LONG_WINDOW_NS
}

fn hour_of(time: i64) -> i64 {
    time.div_euclid(HOUR_NS).saturating_mul(HOUR_NS)
}

/// The steps of a group that a shorter window is made of; `None`: it is not made of whole ones.
fn steps(group: &Group, query: &SignalQuery) -> Option<Grid> {
    let every_ns = group.every_ns;
    let whole = query.window_ns % every_ns == 0 && query.shift_ns % every_ns == 0;
    let few = query.window_ns / every_ns <= STEPS_MAX;
    let grid = Grid { width_ns: every_ns, origin_ns: schedule::offset_ns(&group.name, every_ns) };
    (query.is_counted() && whole && few && grid.bucket_ns().is_some()).then_some(grid)
}

/// The name of the feed of a signal, when it has one.
fn name(group: &Group, query: &SignalQuery) -> Option<String> {
    if is_long(query) {
        return Some(stored_name(query));
    }
    let grid = steps(group, query)?;
    Some(format!("{} {} {} {}", query.buckets_text(MINUTE_NS), grid.width_ns, grid.origin_ns, query.shift_ns))
}

impl Feed {
    /// A feed that has counted nothing yet, for evaluations from `at` on.
    fn new(group: &Group, query: &SignalQuery, at: i64) -> Option<Feed> {
        let reach_ns = query.window_ns.saturating_add(query.shift_ns);
        if is_long(query) {
            let from = hour_of(at.saturating_sub(reach_ns).saturating_sub(LATE_HORIZON_NS));
            let hours = Some(Hours { sealed: from, again: BTreeSet::new() });
            let counts = Counts::new(Grid::of(MINUTE_NS), from);
            return Some(Feed { time: query.time, counts, reach_ns, dirty: Vec::new(), hours });
        }
        let grid = steps(group, query)?;
        let from = grid.floor(at.saturating_sub(reach_ns));
        let counts = Counts::new(grid, from);
        Some(Feed { time: query.time, counts, reach_ns, dirty: Vec::new(), hours: None })
    }

    /// Takes the hours that are stored, as far as they follow each other.
    fn append(&mut self, stored: Vec<(String, Piece)>) {
        let Some(hours) = &mut self.hours else { return };
        for (key, piece) in stored {
            let hour: Option<i64> = key.rsplit_once('\0').and_then(|(_, hour)| hour.parse().ok());
            // When the store begins later than the window, what is before is asked for, then what follows.
            if hour == Some(self.counts.until()) {
                self.counts.append(piece, self.counts.until().saturating_add(HOUR_NS));
                hours.sealed = self.counts.until();
            }
        }
    }

    /// Nobody knows what came for what is not stored yet.
    fn doubt(&mut self) {
        let sealed = self.hours.as_ref().map_or(i64::MIN, |hours| hours.sealed);
        self.note(sealed, i64::MAX - 1);
    }

    /// Lines arrived between two times, both included.
    fn note(&mut self, oldest_ns: i64, newest_ns: i64) {
        let mut from = oldest_ns.max(self.counts.from());
        let mut to = newest_ns.saturating_add(1).min(self.counts.until());
        if from >= to {
            return;
        }
        // Neighbours and overlaps become one, and everything does when there are too many.
        let many = self.dirty.len() >= DIRTY_MAX;
        self.dirty.retain(|(other_from, other_to)| {
            let apart = *other_to < from.saturating_sub(MINUTE_NS) || to.saturating_add(MINUTE_NS) < *other_from;
            if apart && !many {
                return true;
            }
            (from, to) = (from.min(*other_from), to.max(*other_to));
            false
        });
        self.dirty.push((from, to));
    }

    /// Counts again what has to be, and what is new.
    async fn count(&mut self, source: &dyn QuerySource, query: &SignalQuery, until: i64) -> Result<(), QueryError> {
        while let Some(piece) = self.dirty.last().copied() {
            self.counts.recount(source, query, piece).await?;
            self.dirty.pop();
            if let Some(hours) = &mut self.hours {
                let mut hour = hour_of(piece.0).max(self.counts.from());
                while hour < piece.1.min(hours.sealed) {
                    hours.again.insert(hour);
                    hour = hour.saturating_add(HOUR_NS);
                }
            }
        }
        self.counts.extend(source, query, until).await
    }
}

impl Kept {
    /// What the store knows of the feeds of a group.
    pub(crate) fn load(store: &Store, group: &Group, at: i64) -> Result<Kept, StoreError> {
        let mut kept = Kept { listened_at: at, ..Kept::default() };
        for query in group.rules.iter().flat_map(|rule| rule.queries()).map(|(_, query)| query) {
            kept.want(group, query, at);
        }
        store.read(|view| {
            for (name, feed) in kept.feeds.iter_mut().filter(|(_, feed)| feed.hours.is_some()) {
                feed.append(view.scan(ROLLUPS, &format!("{name}\0"))?);
            }
            Ok(kept)
        })
    }

    /// The rules of the group are other ones: what none of them looks at is forgotten.
    pub(crate) fn retain(&mut self, group: &Group) {
        let queries = group.rules.iter().flat_map(|rule| rule.queries());
        let names: HashSet<String> = queries.filter_map(|(_, query)| name(group, query)).collect();
        self.feeds.retain(|name, _| names.contains(name));
        self.wide.retain(|name| names.contains(name));
        self.asked.clear();
    }

    fn want(&mut self, group: &Group, query: &SignalQuery, at: i64) {
        let (Some(name), Some(new)) = (name(group, query), Feed::new(group, query, at)) else { return };
        let known = self.feeds.get(&name);
        if known.is_none_or(|feed| feed.reach_ns < new.reach_ns || feed.counts.from() > query.range(at).0) {
            self.feeds.insert(name, new);
        }
    }

    /// A step begins, perhaps not for the first time.
    pub(crate) fn begin(&mut self, at: i64) {
        self.asked.clear();
        if at.saturating_sub(self.listened_at) > LISTEN_MAX_NS {
            self.feeds.retain(|_, feed| feed.hours.is_some());
            self.feeds.values_mut().for_each(Feed::doubt);
        }
        self.listened_at = at;
    }

    /// Lines that arrived since the last look: what they belong to is counted again.
    fn listen(&mut self, source: &dyn QuerySource) {
        for arrival in source.arrivals(self.heard) {
            self.heard = self.heard.max(arrival.number);
            for feed in self.feeds.values_mut() {
                let (oldest_ns, newest_ns) = match feed.time {
                    LineTime::Event => (arrival.oldest_ns, arrival.newest_ns),
                    LineTime::Ingest => arrival.received,
                };
                feed.note(oldest_ns, newest_ns);
            }
        }
    }

    /// The table of a signal in an evaluation at `at`.
    pub(crate) async fn table(
        &mut self,
        source: &dyn QuerySource,
        group: &Group,
        query: &SignalQuery,
        at: i64,
    ) -> Result<Table, QueryError> {
        let Some(name) = name(group, query).filter(|name| !self.wide.contains(name)) else {
            return self.whole(source, query, at).await;
        };
        self.listen(source);
        self.want(group, query, at);
        let Some(feed) = self.feeds.get_mut(&name) else { return self.whole(source, query, at).await };
        feed.count(source, query, query.range(at).1).await?;
        let table = feed.counts.table(query, at);
        if feed.hours.is_none() && feed.counts.cells() > CELLS_MAX {
            self.feeds.remove(&name);
            self.wide.insert(name);
        }
        Ok(table)
    }

    /// What is no sum, or not one that is kept, is asked for as it is.
    async fn whole(&mut self, source: &dyn QuerySource, query: &SignalQuery, at: i64) -> Result<Table, QueryError> {
        let name = format!("{} {:?} {:?}", query.text(), query.range(at), query.agg);
        if let Some(table) = self.asked.get(&name) {
            return Ok(table.clone());
        }
        let table = ask::table(source, query, at).await?;
        self.asked.insert(name, table.clone());
        Ok(table)
    }

    /// The step is over: the hours that became final or were counted again, and those that are too old.
    pub(crate) fn seal(&mut self, at: i64) -> Vec<Sealed> {
        self.asked.clear();
        let mut changes = Vec::new();
        for (name, Feed { counts, reach_ns, hours, .. }) in &mut self.feeds {
            let Some(hours) = hours else {
                counts.forget_before(at.saturating_sub(*reach_ns));
                continue;
            };
            let mut put = |hour: i64| {
                let piece = counts.piece(hour, hour.saturating_add(HOUR_NS));
                changes.push((hour_key(name, hour), Some(piece)));
            };
            std::mem::take(&mut hours.again).into_iter().filter(|hour| *hour < hours.sealed).for_each(&mut put);
            let mut old = Vec::new();
            while hours.sealed.saturating_add(HOUR_NS + LATE_HORIZON_NS) <= at.min(counts.until()) {
                put(hours.sealed);
                old.push(hours.sealed.saturating_sub(hour_of(PERIOD_MAX_NS)));
                hours.sealed = hours.sealed.saturating_add(HOUR_NS);
            }
            changes.extend(old.into_iter().map(|hour| (hour_key(name, hour), None)));
            counts.forget_before(at.saturating_sub(*reach_ns).saturating_sub(LATE_HORIZON_NS + HOUR_NS));
        }
        changes
    }
}

#[cfg(test)]
mod tests;

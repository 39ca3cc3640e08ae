//! The numbers of a past period: counts are asked for once, in buckets that every window of the rule is made of, so
//! that a step costs no question. A long period is looked at by whole minutes. What is no count is asked as the live engine asks it, unless there was no line.

use std::collections::HashMap;

use logweir_rules::model::{Group, Kind, Labels, LineTime, Rule, SignalQuery};
use logweir_rules::schedule;
use logweir_rules::signal::Table;

use super::ask;
use super::counts::{Counts, Window, gcd};
use super::feeds::{Feeds, Fetched};
use super::kept::MINUTE_NS;
use crate::source::{QueryError, QuerySource};
use crate::state::store::Store;

const S: i64 = 1_000_000_000;

/// How exactly a past period is looked at.
#[derive(Debug, Clone, Default)]
pub(crate) enum Grain {
    /// As the live engine saw it.
    #[default]
    Steps,
    /// Windows begin and end at whole minutes, so that the minutes that are kept can be used: what is not in the store
    /// of alerting is asked for.
    Minutes(Option<Store>),
}

/// The counts of the feeds of a group's rules over a period.
#[derive(Debug, Default)]
pub(crate) struct Past {
    grain: Grain,
    feeds: Feeds,
    /// For each rule, which counts stand for each of its queries.
    plans: HashMap<String, Vec<Option<usize>>>,
    /// By filter, the counts that say whether there was any line.
    quiet: HashMap<(String, LineTime), usize>,
}

/// The widest bucket that all windows of the signal in the group are made of; `None`: shorter than a second.
fn width_ns(group: &Group, query: &SignalQuery, grain: &Grain) -> Option<i64> {
    let minutes = query.window_ns % MINUTE_NS == 0 && query.shift_ns % MINUTE_NS == 0;
    if minutes && matches!(grain, Grain::Minutes(_)) {
        return Some(MINUTE_NS);
    }
    let (from, to) =
        query.range(schedule::next_after(0, group.every_ns, schedule::offset_ns(&group.name, group.every_ns)));
    let step = if super::kept::is_long(query) { MINUTE_NS } else { group.every_ns };
    let width = [from, to, step].into_iter().fold(MINUTE_NS, gcd);
    (width % S == 0 && width > 0).then_some(width)
}

/// Whether there is any line at all, whatever the grouping.
fn presence(filter: &str, time: LineTime) -> SignalQuery {
    SignalQuery { filter: filter.to_owned(), window_ns: MINUTE_NS, time, ..SignalQuery::default() }
}

fn floor(time: i64) -> i64 {
    time.div_euclid(MINUTE_NS).saturating_mul(MINUTE_NS)
}

impl Past {
    pub(crate) fn new(grain: Grain) -> Past {
        Past { grain, ..Past::default() }
    }

    /// Wants everything that the rule will look at in `[from, to]`; it is there after [`Past::fetch`].
    pub(crate) fn want(&mut self, group: &Group, rule: &Rule, (from, to): (i64, i64)) {
        let mut plan = vec![None; rule.queries().count()];
        for (place, (_, query)) in rule.queries().enumerate() {
            let back = query.window_ns.saturating_add(query.shift_ns).saturating_add(MINUTE_NS);
            let range = (floor(from.saturating_sub(back)), floor(to).saturating_add(MINUTE_NS));
            match width_ns(group, query, &self.grain).filter(|_| query.is_counted()) {
                Some(width) => plan[place] = Some(self.feeds.want(query, width, range)),
                None => self.want_presence(&query.filter, query.time, range),
            }
        }
        self.plans.insert(rule.name.clone(), plan);
        if let Kind::Pattern(pattern) = &rule.kind {
            let begin = floor(from.saturating_sub(group.every_ns));
            self.want_presence(&pattern.filter, rule.time, (begin, floor(to).saturating_add(MINUTE_NS)));
        }
    }

    fn want_presence(&mut self, filter: &str, time: LineTime, range: (i64, i64)) {
        let place = self.feeds.want(&presence(filter, time), MINUTE_NS, range);
        self.quiet.insert((filter.to_owned(), time), place);
    }

    /// Asks for what is wanted; gives up when that would be more than `cells_max` counts.
    pub(crate) async fn fetch(&mut self, source: &dyn QuerySource, cells_max: usize) -> Result<Fetched, QueryError> {
        let store = match &self.grain {
            Grain::Minutes(store) => store.clone(),
            Grain::Steps => None,
        };
        self.feeds.fetch(source, store.as_ref(), cells_max).await
    }

    /// How many different things are counted.
    pub(crate) fn feeds(&self) -> usize {
        self.feeds.len()
    }

    /// What a rule looks at, step after step. All of the rule must be loaded.
    pub(crate) fn windows<'a>(&'a self, rule: &'a Rule) -> Windows<'a> {
        let plan = self.plans.get(&rule.name).map_or(&[][..], Vec::as_slice);
        let own = |index: &Option<usize>| Some((self.feeds.counts((*index)?)?, Window::default()));
        let of: Vec<_> = rule.queries().zip(plan).map(|((_, query), index)| (query, own(index))).collect();
        let minutes = |(_, own): &(_, Option<(&Counts, _)>)| {
            own.as_ref().is_some_and(|(counts, _)| counts.width_ns() == MINUTE_NS)
        };
        let by_minutes = matches!(self.grain, Grain::Minutes(_)) && of.iter().all(minutes);
        Windows { past: self, of, by_minutes, spare: Vec::new() }
    }

    fn is_empty(&self, filter: &str, time: LineTime, (from, to): (i64, i64)) -> bool {
        let quiet = self.quiet.get(&(filter.to_owned(), time));
        let Some(counts) = quiet.and_then(|place| self.feeds.counts(*place)) else { return false };
        let to = floor(to.saturating_add(MINUTE_NS - 1));
        counts.from() <= floor(from) && to <= counts.until() && !counts.any(floor(from), to)
    }

    /// Lines behind a rule in a range, over all label sets: the shape of what was there.
    pub(crate) fn total(&self, rule: &Rule, from: i64, to: i64) -> u64 {
        let subject = rule.subject();
        let plan = self.plans.get(&rule.name).map_or(&[][..], Vec::as_slice);
        let own = rule.queries().zip(plan).find(|((_, query), _)| subject.is_none_or(|subject| subject == *query));
        let Some(counts) = own.and_then(|(_, index)| self.feeds.counts((*index)?)) else { return 0 };
        let sum = |(_, slots): &(Labels, Vec<(i64, u64)>)| slots.iter().map(|(_, count)| count).sum::<u64>();
        counts.piece(from, to).series.iter().map(sum).sum()
    }
}

/// The windows of one rule over the counts of a past period.
pub(crate) struct Windows<'a> {
    past: &'a Past,
    of: Vec<(&'a SignalQuery, Option<(&'a Counts, Window)>)>,
    by_minutes: bool,
    /// Tables that are not needed any more, to be written over.
    spare: Vec<Table>,
}

impl Windows<'_> {
    /// One table per signal with a query, in the order of the rule.
    pub(super) async fn tables(&mut self, source: &dyn QuerySource, at: i64) -> Result<Vec<Table>, QueryError> {
        let mut tables = std::mem::take(&mut self.spare);
        tables.resize_with(self.of.len(), Table::new);
        for ((query, counted), table) in self.of.iter_mut().zip(&mut tables) {
            let (from, to) = query.range(at);
            match counted {
                Some((counts, window)) => window.write(counts, query, at, table),
                None if self.past.is_empty(&query.filter, query.time, (from, to)) => *table = Table::new(),
                None => *table = ask::table(source, query, at).await?,
            }
        }
        Ok(tables)
    }

    /// Takes back what was looked at.
    pub(crate) fn recycle(&mut self, tables: Vec<Table>) {
        self.spare = tables;
    }

    /// Whether the tables are the same at every step of a minute.
    pub(crate) const fn by_minutes(&self) -> bool {
        self.by_minutes
    }

    /// Whether a pattern rule has no line to look at.
    pub(super) fn is_quiet(&self, group: &Group, rule: &Rule, at: i64) -> bool {
        let Kind::Pattern(pattern) = &rule.kind else { return true };
        self.past.is_empty(&pattern.filter, rule.time, (at.saturating_sub(group.every_ns), at))
    }
}

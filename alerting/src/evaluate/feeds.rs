//! The counts of many feeds over a past period, asked for together: a source that can looks at each line once for all of
//! them, and is asked about short pieces of time one after the other, so that neither it nor an answer grows with the
//! period.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use logweir_rules::model::{Labels, LineTime, SignalQuery};
use tokio::time::Instant;

use super::counts::{BUCKETS_PER_QUESTION_MAX, Counts, Grid, Piece, ROWS_MAX, SLOTS_PER_QUESTION_MAX};
use super::kept::{self, HOUR_NS, MINUTE_NS};
use crate::source::{Answer, QueryError, QuerySource};
use crate::state::store::Store;

/// Rows of all answers about one piece of time, about.
const ROWS_TOGETHER_MAX: usize = 40_000;
/// A piece that takes longer is followed by a shorter one: rules that are evaluated meanwhile wait for it.
const PIECE_MAX: Duration = Duration::from_secs(2);
/// One that takes less may be followed by a longer one.
const PIECE_MIN: Duration = Duration::from_millis(300);
/// How much longer or shorter.
const PIECE_FACTOR: i64 = 4;
/// No piece is longer, however quiet the time before it was.
const PIECE_MAX_NS: i64 = 86_400 * 1_000_000_000;
/// What a part of the period says of the rest: one in so many.
const GUESS_FROM: i64 = 50;

/// Whether all is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fetched {
    All,
    /// There would be more counts than may be kept at once; what is there is of no use.
    TooMany,
}

/// Counts that are wanted.
#[derive(Debug)]
struct Feed {
    query: SignalQuery,
    counts: Counts,
    end: i64,
    /// Hours that alerting kept itself, the next one first.
    stored: VecDeque<(i64, Piece)>,
}

impl Feed {
    /// Takes the stored hours that follow what is there.
    fn advance(&mut self) {
        while self.stored.front().is_some_and(|(hour, _)| *hour <= self.counts.until()) {
            let Some((hour, piece)) = self.stored.pop_front() else { break };
            if hour == self.counts.until() {
                self.counts.append(piece, hour.saturating_add(HOUR_NS));
            }
        }
    }

    /// The end of what has to be asked for next.
    fn next_end(&self) -> i64 {
        self.stored.front().map_or(self.end, |(hour, _)| *hour).min(self.end)
    }

    fn is_done(&self) -> bool {
        self.counts.until() >= self.end
    }
}

#[derive(Debug, Default)]
pub(crate) struct Feeds {
    all: Vec<Feed>,
    places: HashMap<(String, i64), usize>,
    /// The label sets of all feeds.
    known: BTreeSet<Arc<Labels>>,
}

impl Feeds {
    /// Wants the counts of a signal by buckets of a width over a range; the place where they will be.
    pub(super) fn want(&mut self, query: &SignalQuery, width_ns: i64, (begin, end): (i64, i64)) -> usize {
        let place = *self.places.entry((query.buckets_text(width_ns), width_ns)).or_insert(self.all.len());
        let new = || Counts::new(Grid::of(width_ns), begin);
        match self.all.get_mut(place) {
            Some(feed) => {
                if feed.counts.from() > begin {
                    feed.counts = new();
                }
                feed.end = feed.end.max(end);
            }
            None => self.all.push(Feed { query: query.clone(), counts: new(), end, stored: VecDeque::new() }),
        }
        place
    }

    pub(super) fn counts(&self, place: usize) -> Option<&Counts> {
        self.all.get(place).map(|feed| &feed.counts)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Asks for everything that is wanted and not there. Minutes that are in `store` are taken from there.
    pub(super) async fn fetch(
        &mut self,
        source: &dyn QuerySource,
        store: Option<&Store>,
        cells_max: usize,
    ) -> Result<Fetched, QueryError> {
        let mut widths: BTreeMap<(i64, LineTime), Vec<usize>> = BTreeMap::new();
        for (place, feed) in self.all.iter_mut().enumerate().filter(|(_, feed)| !feed.is_done()) {
            if let Some(store) = store.filter(|_| feed.counts.width_ns() == MINUTE_NS) {
                let (store, query, range) = (store.clone(), feed.query.clone(), (feed.counts.until(), feed.end));
                let stored = tokio::task::spawn_blocking(move || kept::stored(&store, &query, range)).await;
                // What is not stored is asked for.
                feed.stored = stored.ok().and_then(Result::ok).unwrap_or_default().into();
                feed.advance();
            }
            widths.entry((feed.counts.width_ns(), feed.query.time)).or_default().push(place);
        }
        if self.is_too_much(cells_max) {
            return Ok(Fetched::TooMany);
        }
        for ((width_ns, time), places) in widths {
            let slots_max = (PIECE_MAX_NS / width_ns.max(1)).clamp(1, SLOTS_PER_QUESTION_MAX);
            let slots = (ROWS_TOGETHER_MAX / places.len().max(1)) as i64;
            let mut slots = slots.min(BUCKETS_PER_QUESTION_MAX).clamp(1, slots_max);
            while let Some((from, to, asked)) = self.next(&places, width_ns.saturating_mul(slots)) {
                let begun = Instant::now();
                let rows = self.ask(source, &asked, (time, from, to), slots == 1).await?;
                if self.is_too_much(cells_max) {
                    return Ok(Fetched::TooMany);
                }
                if rows > ROWS_TOGETHER_MAX || begun.elapsed() > PIECE_MAX {
                    slots = (slots / PIECE_FACTOR).max(1);
                } else if rows < ROWS_TOGETHER_MAX / 8 && begun.elapsed() < PIECE_MIN {
                    // A quiet time is asked for in longer pieces.
                    slots = slots.saturating_mul(PIECE_FACTOR).min(slots_max);
                }
            }
        }
        for feed in &mut self.all {
            feed.counts.share(&mut self.known);
        }
        Ok(Fetched::All)
    }

    /// The next piece of time, no longer than `most_ns`, and the feeds that all lack it.
    fn next(&self, places: &[usize], most_ns: i64) -> Option<(i64, i64, Vec<usize>)> {
        let open = || places.iter().filter(|place| !self.all[**place].is_done());
        let from = open().map(|place| self.all[*place].counts.until()).min()?;
        let lacks = |place: &&usize| self.all[**place].counts.until() == from;
        let others = open().filter(|place| !lacks(place)).map(|place| self.all[*place].counts.until());
        let ends = open().filter(lacks).map(|place| self.all[*place].next_end());
        let to = others.chain(ends).min()?.min(from.saturating_add(most_ns));
        Some((from, to, open().filter(lacks).copied().collect()))
    }

    /// Asks some feeds about a piece of time; answers how many rows came back. When nobody has an answer to it nothing is
    /// taken, unless it `is_shortest`: a shorter one is asked about.
    async fn ask(
        &mut self,
        source: &dyn QuerySource,
        asked: &[usize],
        (time, from, to): (LineTime, i64, i64),
        is_shortest: bool,
    ) -> Result<usize, QueryError> {
        let text = |place: &usize| self.all[*place].query.buckets_text(self.all[*place].counts.width_ns());
        let texts: Vec<String> = asked.iter().map(|place| time.about(&text(place), (from, to)).0).collect();
        let (_, from_ns, to_ns) = time.about("", (from, to));
        let answers = source.query_all(&texts, from_ns, to_ns, ROWS_MAX).await;
        let is_whole = |answer: &Result<Answer, QueryError>| answer.as_ref().is_ok_and(|answer| answer.complete);
        if !is_shortest && !answers.iter().any(is_whole) {
            return Ok(usize::MAX);
        }
        let mut rows = 0;
        for (place, answer) in asked.iter().zip(answers) {
            let feed = &mut self.all[*place];
            match answer {
                Ok(answer) if answer.complete && answer.rows.len() < ROWS_MAX => {
                    rows += answer.rows.len();
                    feed.counts.absorb(&answer.rows, &feed.query, to);
                }
                answer => {
                    // By itself it is asked about shorter pieces, and says what is wrong.
                    rows += answer.map_or(ROWS_TOGETHER_MAX, |answer| answer.rows.len().max(ROWS_TOGETHER_MAX));
                    feed.counts.extend(source, &feed.query, to).await?;
                }
            }
            feed.advance();
        }
        Ok(rows)
    }

    /// Whether all counts will be more than so many, as far as that can be told by now.
    fn is_too_much(&self, cells_max: usize) -> bool {
        let (mut cells, mut there_s, mut wanted_s) = (0, 0, 0);
        for Feed { counts, end, .. } in &self.all {
            cells += counts.cells();
            there_s += counts.until().saturating_sub(counts.from()) / 1_000_000_000;
            wanted_s += end.saturating_sub(counts.from()) / 1_000_000_000;
        }
        let guess = || (cells as u128 * wanted_s.max(1) as u128 / there_s.max(1) as u128) as usize;
        cells > cells_max || there_s >= wanted_s / GUESS_FROM && guess() > cells_max
    }
}

#[cfg(test)]
mod tests;

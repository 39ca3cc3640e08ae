use std::sync::Mutex;

use futures_util::future::BoxFuture;
use logweir_runtime::clock::rfc3339;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::evaluate::testing::{LineStore, TestLine, line};
use crate::source::Answer;

const S: i64 = 1_000_000_000;
const T0: i64 = 1_790_000_040 * S;

fn query(filter: &str, by: &[&str]) -> SignalQuery {
    let by = by.iter().map(|name| (*name).to_owned()).collect();
    SignalQuery { filter: filter.to_owned(), window_ns: 60 * S, by, ..SignalQuery::default() }
}

/// What a source is asked, and how it fails.
#[derive(Debug, Default)]
struct Asked {
    lines: Arc<LineStore>,
    /// For each question to all the number of queries, and the time it is about.
    together: Mutex<Vec<(usize, i64, i64)>>,
    /// This query has no answer when others are asked with it.
    only_alone: Option<String>,
    /// No query has an answer any more after so many questions.
    ends_after: Option<usize>,
}

impl QuerySource for Asked {
    fn query<'a>(
        &'a self,
        query: &'a str,
        from_ns: i64,
        to_ns: i64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Answer, QueryError>> {
        self.lines.query(query, from_ns, to_ns, limit)
    }

    fn query_all<'a>(
        &'a self,
        queries: &'a [String],
        from_ns: i64,
        to_ns: i64,
        limit: usize,
    ) -> BoxFuture<'a, Vec<Result<Answer, QueryError>>> {
        let mut together = self.together.lock().expect("not poisoned");
        together.push((queries.len(), from_ns, to_ns));
        let is_over = self.ends_after.is_some_and(|most| together.len() > most);
        Box::pin(async move {
            let mut answers = Vec::new();
            for query in queries {
                let fails = self.only_alone.as_ref().is_some_and(|own| query.contains(own.as_str()));
                answers.push(match (fails, is_over) {
                    (true, _) => Err(QueryError::Failed("not here".to_owned())),
                    (_, true) => Ok(Answer { reason: Some("timeout".to_owned()), ..Answer::default() }),
                    _ => self.lines.query(query, from_ns, to_ns, limit).await,
                });
            }
            answers
        })
    }
}

fn asked(lines: Vec<TestLine>) -> Asked {
    Asked { lines: LineStore::new(lines), ..Asked::default() }
}

/// A line every seven seconds for so many seconds.
fn steady(seconds: i64) -> Vec<TestLine> {
    let own = |i: i64| {
        let (host, level) = (["a", "b", "c"][i as usize % 3], ["error", "info"][i as usize % 2]);
        line(T0 + i * 7 * S, &[("host", host), ("level", level)])
    };
    (0..seconds / 7).map(own).collect()
}

async fn alone(source: &dyn QuerySource, query: &SignalQuery, width: i64, (from, to): (i64, i64)) -> Piece {
    let mut counts = Counts::new(Grid::of(width), from);
    counts.extend(source, query, to).await.expect("an answer");
    counts.piece(from, to)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn what_is_fetched_together_is_what_each_would_have_been_told(
        lines in prop::collection::vec((0i64..4_000, 0usize..3, 0usize..2), 0..200),
        wanted in prop::collection::vec((0usize..4, 0i64..30, 1i64..40, prop::sample::select(vec![10i64, 60])), 1..6),
        alone_one in any::<bool>(),
    ) {
        let row = |(at, host, level): (i64, usize, usize)| {
            line(T0 + at * S, &[("host", ["a", "b", "c"][host]), ("level", ["error", "info"][level])])
        };
        let mut source = asked(lines.into_iter().map(row).collect());
        source.only_alone = alone_one.then(|| "host:a".to_owned());
        let queries = [query("level:error", &["host"]), query("host:a", &[]), query("host:b", &["level", "host"]), query("*", &[])];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut feeds = Feeds::default();
        let mut places = Vec::new();
        for (which, begin, minutes, width) in wanted {
            let range = (T0 + begin * 60 * S, T0 + (begin + minutes) * 60 * S);
            places.push((feeds.want(&queries[which], width * S, range), which, width * S, range));
        }
        runtime.block_on(async {
            prop_assert_eq!(feeds.fetch(&source, None, usize::MAX).await, Ok(Fetched::All));
            for (place, which, width, range) in places {
                let counts = feeds.counts(place).expect("it is there");
                prop_assert!(counts.from() <= range.0 && counts.until() >= range.1);
                prop_assert_eq!(counts.piece(range.0, range.1), alone(&*source.lines, &queries[which], width, range).await);
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_piece_of_time_is_asked_about_once_for_all() {
    let source = asked(steady(4 * 3600));
    let mut feeds = Feeds::default();
    for i in 0..100 {
        feeds.want(&query(&format!("n:{i}"), &["host"]), 60 * S, (T0 - i * 60 * S, T0 + 4 * 3600 * S));
    }
    assert_eq!(feeds.fetch(&source, None, usize::MAX).await, Ok(Fetched::All));
    let together = source.together.into_inner().expect("not poisoned");
    let of_all: Vec<_> = together.iter().filter(|(queries, ..)| *queries == 100).collect();
    assert_eq!(of_all.len(), 1, "{together:?}");
    assert!(together.windows(2).all(|pair| pair[0].2 == pair[1].1), "in the order of time: {together:?}");
}

/// Three hosts have a line in each minute, whatever is asked.
#[derive(Debug, Default)]
struct Crowd(Mutex<Vec<(i64, i64)>>);

impl QuerySource for Crowd {
    fn query<'a>(
        &'a self,
        _query: &'a str,
        from_ns: i64,
        to_ns: i64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Answer, QueryError>> {
        self.0.lock().expect("not poisoned").push((from_ns, to_ns));
        let minutes =
            (from_ns / MINUTE_NS..to_ns / MINUTE_NS).flat_map(|minute| ["a", "b", "c"].map(|host| (minute, host)));
        let row = |(minute, host): (i64, &str)| json!({"time": rfc3339(minute * MINUTE_NS), "host": host, "v": 1});
        let rows = minutes.take(limit).map(row).collect();
        let rows = serde_json::from_value(rows).expect("rows");
        Box::pin(async move { Ok(Answer { rows, complete: true, reason: None }) })
    }
}

#[tokio::test]
async fn many_rows_make_the_pieces_of_time_shorter() {
    let source = Crowd::default();
    let mut feeds = Feeds::default();
    for i in 0..10 {
        feeds.want(&query(&format!("n:{i}"), &["host"]), MINUTE_NS, (T0, T0 + 4_000 * MINUTE_NS));
    }
    assert_eq!(feeds.fetch(&source, None, usize::MAX).await, Ok(Fetched::All));
    let minutes: Vec<i64> =
        source.0.into_inner().expect("not poisoned").iter().map(|(a, b)| (b - a) / MINUTE_NS).collect();
    let (first, others) = minutes.split_at(10);
    assert_eq!(first, [1_440; 10], "43,200 rows are too many");
    assert!(others.iter().all(|minutes| *minutes <= 360), "{others:?}");
    assert_eq!(feeds.all.iter().map(|feed| feed.counts.cells()).sum::<usize>(), 10 * 4_000 * 3);
}

#[tokio::test]
async fn what_would_be_too_much_is_known_before_it_is_there() {
    let mut feeds = Feeds::default();
    for i in 0..10 {
        feeds.want(&query(&format!("n:{i}"), &["host"]), MINUTE_NS, (T0, T0 + 40_000 * MINUTE_NS));
    }
    assert_eq!(feeds.fetch(&Crowd::default(), None, 1_000_000).await, Ok(Fetched::TooMany));
    let cells: usize = feeds.all.iter().map(|feed| feed.counts.cells()).sum();
    assert_eq!(cells, 43_200, "of 1,200,000, when it gave up");
}

/// A source that takes too long for a piece gets a shorter one, and the shortest filter by filter.
#[tokio::test]
async fn what_is_not_answered_in_time_is_asked_in_shorter_pieces() {
    let source = Asked { ends_after: Some(0), ..asked(steady(3600)) };
    let mut feeds = Feeds::default();
    let own = query("level:error", &["host"]);
    let range = (T0, T0 + 3600 * S);
    let place = feeds.want(&own, 60 * S, range);
    assert_eq!(feeds.fetch(&source, None, usize::MAX).await, Ok(Fetched::All));
    let counts = feeds.counts(place).expect("it is there");
    assert_eq!(counts.piece(range.0, range.1), alone(&*source.lines, &own, 60 * S, range).await);
    let together = source.together.into_inner().expect("not poisoned");
    let minutes: Vec<i64> = together.iter().map(|(_, from, to)| (to - from) / MINUTE_NS).take(6).collect();
    assert_eq!(minutes, [60, 60, 60, 22, 5, 1], "of at most 1440, 360, 90, 22, 5 and 1 minutes");
}

/// Nothing for days and then a crowd: what was quiet says nothing of what comes.
#[tokio::test]
async fn a_quiet_time_is_asked_for_by_the_day() {
    let source = asked(vec![line(T0 + 20 * 86_400 * S, &[("host", "a")])]);
    let mut feeds = Feeds::default();
    feeds.want(&query("host:a", &["host"]), MINUTE_NS, (T0, T0 + 28 * 86_400 * S));
    assert_eq!(feeds.fetch(&source, None, usize::MAX).await, Ok(Fetched::All));
    let together = source.together.into_inner().expect("not poisoned");
    assert_eq!(together.len(), 28);
}

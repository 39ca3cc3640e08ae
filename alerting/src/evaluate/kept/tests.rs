//! Kept counts against asking anew at every step, with lines that come when they come.

use std::sync::Arc;

use logweir_rules::model::Rule;
use proptest::prelude::*;

use super::*;
use crate::evaluate::testing::{LineStore, TestLine, line};
use crate::fixture::{S, T0};

const RULES: &str = r#"version: 1
groups:
  - name: g
    every: 30s
    defaults: {delay: 0s}
    rules:
      - alert: Errors
        signals:
          errors: {filter: 'level=error', agg: count, window: 5m, by: [host]}
          slow: {filter: 'level=error', agg: rate, window: 10m, by: [host]}
          odd: {filter: 'level=error', agg: count, window: 45s, by: [host]}
          hour: {filter: 'level=error', agg: count, window: 1h, by: [host]}
          half: {filter: 'level=error', agg: count, window: 6h, by: [host]}
          before: {expr: 'prev(errors, 1h)'}
        levels: {critical: {when: errors >= 10}}
        summary: "x"
"#;

fn group(text: &str) -> Arc<Group> {
    let set = crate::check::rules(&[("r.yaml".to_owned(), text.to_owned())]).unwrap_or_else(|p| panic!("{p:?}"));
    Arc::clone(&set.groups[0])
}

fn rule(group: &Group) -> &Rule {
    &group.rules[0]
}

fn steps_from(group: &Group, time: i64) -> impl Iterator<Item = i64> {
    let (every_ns, offset_ns) = (group.every_ns, schedule::offset_ns(&group.name, group.every_ns));
    std::iter::successors(Some(schedule::next_after(time, every_ns, offset_ns)), move |at| Some(at + every_ns))
}

fn questions(store: &LineStore) -> usize {
    std::mem::take(&mut *store.questions.lock().expect("not poisoned"))
}

async fn step(kept: &mut Kept, store: &LineStore, group: &Group, at: i64) -> Vec<Table> {
    let mut tables = Vec::new();
    kept.begin(at);
    for (_, query) in rule(group).queries() {
        tables.push(kept.table(store, group, query, at).await.expect("answers"));
    }
    tables
}

fn commit(store: &Store, sealed: Vec<Sealed>) {
    let write = store.write(|tx| {
        sealed.iter().try_for_each(|(key, piece)| match piece {
            Some(piece) => tx.put(ROLLUPS, key, piece),
            None => tx.delete(ROLLUPS, key),
        })
    });
    write.expect("writes");
}

/// When, on which host, how long it is on its way.
fn bursts() -> impl Strategy<Value = Vec<TestLine>> {
    let delay = prop_oneof![Just(0i64), 1i64..120, 0i64..1_800, 0i64..20_000];
    proptest::collection::vec((-10_000i64..14_000, 0usize..2, delay, 1i64..12), 1..30).prop_map(|bursts| {
        let one = |(from, host, delay, count): (i64, usize, i64, i64)| {
            (0..count).map(move |i| {
                let mut line = line(T0 + (from + i) * S, &[("host", ["a", "b"][host]), ("level", "error")]);
                line.arrives = (line.at + delay * S).max(T0 - 3_600 * S);
                line
            })
        };
        bursts.into_iter().flat_map(one).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Whatever comes late, and however often the process ends: every step sees what asking anew would have seen.
    #[test]
    fn kept_counts_are_what_asking_anew_gives(lines in bursts(), ends in proptest::collection::vec(proptest::bool::weighted(0.02), 480)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (group, source, store) = (group(RULES), LineStore::new(lines), Store::in_memory().expect("a store"));
            let mut kept = None;
            for (at, end) in steps_from(&group, T0).zip(ends) {
                source.set_now(at + 2 * S);
                let mut own = match kept.take().filter(|_| !end) {
                    Some(own) => own,
                    None => Kept::load(&store, &group, at).expect("loads"),
                };
                let tables = step(&mut own, &source, &group, at).await;
                for ((signal, query), table) in rule(&group).queries().zip(tables) {
                    let wanted = ask::table(&*source, query, at).await.expect("answers");
                    assert_eq!(table, wanted, "{} at {}", signal.name, (at - T0) / S);
                }
                commit(&store, own.seal(at));
                kept = Some(own);
            }
        });
    }
}

#[tokio::test]
async fn a_step_asks_once_for_all_signals_of_one_filter() {
    let group = group(RULES);
    let lines = (0..3_000).map(|i| line(T0 + i * S, &[("host", "a"), ("level", "error")])).collect();
    let source = LineStore::new(lines);
    let mut at = steps_from(&group, T0 + 1_200 * S);
    let mut kept = Kept::default();
    let mut asked = Vec::new();
    for _ in 0..4 {
        let at = at.next().expect("a step");
        source.set_now(at);
        step(&mut kept, &source, &group, at).await;
        kept.seal(at);
        asked.push(questions(&source));
    }
    // Five minutes and ten share the steps, an hour and six the minutes; 45 s and the hour before are their own. A
    // new minute comes with every second step.
    assert!(asked[0] > 4 && asked[1..].iter().all(|count| (3..=4).contains(count)), "{asked:?}");
}

#[tokio::test]
async fn what_is_too_wide_is_not_kept() {
    let group = group(RULES);
    let hosts: Vec<&'static str> = (0..CELLS_MAX / 8).map(|i| &*Box::leak(i.to_string().into_boxed_str())).collect();
    let minute = |minute: i64| {
        hosts.iter().map(move |host| line(T0 + minute * MINUTE_NS, &[("host", host), ("level", "error")]))
    };
    let source = LineStore::new((0..10).flat_map(minute).collect());
    let mut kept = Kept::default();
    let query = rule(&group).queries().next().map(|(_, query)| query.clone()).expect("a query");
    for at in steps_from(&group, T0).take(20) {
        kept.begin(at);
        kept.table(&*source, &group, &query, at).await.expect("answers");
        kept.seal(at);
    }
    assert!(kept.feeds.values().all(|feed| feed.counts.cells() <= CELLS_MAX));
}

#[tokio::test]
async fn feeds_of_rules_that_are_gone_are_forgotten() {
    let group_of = |text: &str| group(text);
    let group = group_of(RULES);
    let source = LineStore::new(vec![line(T0, &[("host", "a"), ("level", "error")])]);
    let at = steps_from(&group, T0).next().expect("a step");
    let mut kept = Kept::load(&Store::in_memory().expect("a store"), &group, at).expect("loads");
    step(&mut kept, &source, &group, at).await;
    let before = kept.feeds.len();
    kept.retain(&group);
    assert_eq!(kept.feeds.len(), before);
    kept.retain(&group_of(&RULES.replace("level=error", "level=fatal")));
    assert!(kept.feeds.is_empty());
}

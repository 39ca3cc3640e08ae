//! Lines that come late, against the run in which they came in time.

mod examples;

use std::sync::Arc;

use logweir_runtime::clock::Clock;
use logweir_runtime::secrets::Secret;
use proptest::prelude::*;

use crate::evaluate::Evaluator;
use crate::evaluate::testing::{LineStore, TestLine, line};
use crate::fixture::{S, T0};
use crate::service::Live;
use crate::source::QuerySource;
use crate::state::Episode;
use crate::state::store::{EPISODES, Store};

const RULES: &str = r#"version: 1
groups:
  - name: g
    every: 30s
    defaults: {delay: 0s}
    rules:
      - alert: Errors
        signals:
          errors: {filter: 'level=error', agg: count, window: 2m, by: [host]}
        levels: {critical: {when: errors >= 10}}
        summary: "{{ value.errors }} errors on {{ labels.host }}"
      - alert: NewPattern
        pattern: {filter: 'level=error', scope: [host], learn: 0s}
        levels: {info: {when: new_pattern}}
        summary: "new: {{ value.template }}"
"#;

/// All episodes of a run over an hour and a half.
async fn episodes(lines: Vec<TestLine>) -> Vec<Episode> {
    let source = LineStore::new(lines);
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(T0);
    let store = Store::open(dir.path()).expect("opens");
    let live = Arc::new(Live::new("http://logs.example", Secret::new("k")));
    let asked: Arc<dyn QuerySource> = Arc::clone(&source) as Arc<dyn QuerySource>;
    let mut evaluator = Evaluator::load(store.clone(), asked, clock.clone(), live).expect("loads");
    let rules = crate::check::rules(&[("r.yaml".to_owned(), RULES.to_owned())]).unwrap_or_else(|p| panic!("{p:?}"));
    evaluator.set_rules(Arc::new(rules)).await.expect("takes the rules");
    for step in 0..190 {
        clock.set(T0 + step * 30 * S);
        source.set_now(clock.now_ns());
        while evaluator.round().await.expect("a round").behind {}
    }
    store.read(|view| view.scan(EPISODES, "")).expect("reads").into_iter().map(|(_, episode)| episode).collect()
}

/// Bursts that begin at these seconds, on one host each.
fn bursts(at: &[(i64, &'static str)]) -> Vec<TestLine> {
    let burst = |(from, host): &(i64, &'static str)| {
        let (from, host) = (*from, *host);
        (0..20).map(move |i| line(T0 + (from + i) * S, &[("host", host), ("level", "error"), ("message", "no lock")]))
    };
    at.iter().flat_map(burst).collect()
}

/// Rule, host, begin, end: in order.
fn lives(episodes: &[Episode]) -> Vec<(String, i64, i64)> {
    let own = episodes.iter().filter(|e| e.rule == "Errors");
    let mut all: Vec<_> =
        own.map(|e| (e.labels["host"].clone(), e.opened_at, e.closed_at.unwrap_or(i64::MAX))).collect();
    all.sort();
    all
}

#[tokio::test]
async fn a_late_burst_opens_an_episode_that_says_how_late_it_is() {
    let mut lines = bursts(&[(600, "a"), (3000, "b")]);
    for line in lines.iter_mut().filter(|line| line.fields["host"] == "b") {
        line.arrives += 12 * 60 * S;
    }
    let found = episodes(lines).await;
    let told: Vec<String> = found
        .iter()
        .filter(|episode| episode.rule == "Errors")
        .map(|e| format!("{} +{}s late {:?}", e.summary, (e.opened_at - T0) / S, e.extra.late_ns.map(|ns| ns / S)))
        .collect();
    expect_test::expect![[r#"
        20 errors on a +620s late None
        20 errors on b [late: 12m10s] +3020s late Some(730)"#]]
    .assert_eq(&told.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3))]

    /// However the lines are delayed, up to half an hour: the episodes of the run without delay, each once.
    #[test]
    fn delayed_lines_make_the_same_episodes(
        starts in proptest::collection::btree_set(0i64..7, 1..4),
        delays in proptest::collection::vec(0i64..1800, 12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let hosts = ["a", "b", "c"];
            let at: Vec<(i64, &'static str)> = starts.iter().map(|i| (300 + i * 450, hosts[*i as usize % 3])).collect();
            let in_time = bursts(&at);
            let mut late = in_time.clone();
            for line in &mut late {
                // Lines of one burst travel together, as those of one agent do.
                let burst = ((line.at - T0) / S - 300) / 450;
                line.arrives += delays[burst as usize % 12] * S;
            }
            let (wanted, found) = (lives(&episodes(in_time).await), lives(&episodes(late).await));
            assert_eq!(wanted.len(), found.len(), "{wanted:?} {found:?}");
            for ((host, from, to), (own, own_from, own_to)) in wanted.iter().zip(&found) {
                // Lines that are late by less than their window are seen in time by a later step of the first run.
                assert!(host == own && from <= own_from && own_from < to && own_to >= to, "{wanted:?} {found:?}");
            }
        });
    }
}

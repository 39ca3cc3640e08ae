//! The live engine and the replay of the same time, byte for byte; what a report says.

mod examples;

use std::sync::Mutex;

use futures_util::future::BoxFuture;
use logweir_rules::model::RuleSet;
use logweir_runtime::clock::{Clock, rfc3339};
use logweir_runtime::secrets::Secret;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::evaluate::Evaluator;
use crate::evaluate::testing::{LineStore, TestLine, line};
use crate::fixture::{S, T0};
use crate::service::Live;
use crate::source::Answer;
use crate::state::store::TRANSITIONS;

/// Every kind of rule, with windows short and long.
const RULES: &str = r#"version: 1
groups:
  - name: fast
    every: 10s
    defaults: {delay: 0s}
    rules:
      - alert: Errors
        signals:
          errors: {filter: 'level=error', agg: count, window: 1m, by: [host]}
        levels:
          critical: {when: errors >= 12}
          warning: {when: errors >= 4, for: 20s}
        recover_when: errors < 2
        keep_firing_for: 30s
        summary: "{{ value.errors }} errors on {{ labels.host }}"
      - alert: Rate
        signals:
          speed: {filter: 'level=error', agg: rate, window: 30s}
        levels: {info: {when: speed > 0.3}}
        summary: "fast"
      - alert: Silent
        signals:
          lines: {filter: '*', agg: count, window: 2m, by: [host]}
        expected: {seen_within: 30m}
        levels: {warning: {when: lines == 0}}
        summary: "{{ labels.host }} is silent"
  - name: slow
    every: 1m
    defaults: {delay: 0s}
    rules:
      - alert: Burn
        slo:
          objective: 99%
          period: 1d
          total: {filter: '*', by: [host]}
          bad: {filter: 'level=error', by: [host]}
        levels: {critical: {any: [{burn: 5, long: 1h, short: 5m}]}}
        summary: "burning"
      - alert: NewPattern
        pattern: {filter: 'level=error', scope: [host], learn: 10m}
        resolve_after: 10m
        levels: {info: {when: new_pattern}}
        summary: "new: {{ value.template }}"
      - alert: Unusual
        signals:
          errors: {filter: 'level=error', agg: count, window: 1m, by: [host]}
        anomaly: {signal: errors, warmup: 10m, min_value: 3, season: none}
        levels: {info: {when: anomaly}}
        summary: "unusual"
"#;

const MESSAGES: [&str; 4] =
    ["cannot lock invoices", "timeout after 5 ms", "order 17 failed: timeout", "disk of shard three is full"];

fn rules(text: &str) -> Arc<RuleSet> {
    Arc::new(crate::check::rules(&[("r.yaml".to_owned(), text.to_owned())]).unwrap_or_else(|p| panic!("{p:?}")))
}

/// Bursts of lines: when, how many, on which host, errors or not, what they say.
fn bursts() -> impl Strategy<Value = Vec<TestLine>> {
    let burst = (0i64..5400, 1i64..30, any::<bool>(), any::<bool>(), 0usize..MESSAGES.len());
    proptest::collection::vec(burst, 1..25).prop_map(|bursts| {
        let mut lines = Vec::new();
        for (from, count, host, error, message) in bursts {
            for i in 0..count {
                let (host, level) = (if host { "a" } else { "b" }, if error { "error" } else { "info" });
                let fields = [("host", host), ("level", level), ("message", MESSAGES[message])];
                lines.push(line(T0 + (from + i * 3) * S + 7_000_001 * i, &fields));
            }
        }
        lines
    })
}

async fn open(dir: &std::path::Path, clock: &Clock, source: &Arc<LineStore>, set: Arc<RuleSet>) -> (Evaluator, Store) {
    let store = Store::open(dir).expect("opens");
    let live = Arc::new(Live::new("http://logs.example", Secret::new("k")));
    let source: Arc<dyn QuerySource> = Arc::clone(source) as Arc<dyn QuerySource>;
    let mut evaluator = Evaluator::load(store.clone(), source, clock.clone(), live).expect("loads");
    evaluator.set_rules(set).await.expect("takes the rules");
    (evaluator, store)
}

/// The log of a live run with a restart now and then.
async fn live(text: &str, source: &Arc<LineStore>, restarts: &[bool]) -> (Vec<String>, i64) {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(T0);
    let mut engine = Some(open(dir.path(), &clock, source, rules(text)).await);
    let mut first = None;
    for (turn, restart) in restarts.iter().enumerate() {
        clock.set(T0 + turn as i64 * 90 * S);
        source.set_now(clock.now_ns());
        if *restart {
            drop(engine.take());
            engine = Some(open(dir.path(), &clock, source, rules(text)).await);
        }
        let (evaluator, _) = engine.as_mut().expect("running");
        while evaluator.round().await.expect("a round").behind {}
        first.get_or_insert(clock.now_ns());
    }
    let (_, store) = engine.expect("running");
    let lines = store.read(|view| view.scan(TRANSITIONS, "")).expect("reads");
    (
        lines.iter().map(|(key, line)| format!("{key} {}", serde_json::to_string(line).expect("JSON"))).collect(),
        clock.now_ns(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// The log that a live run wrote, with restarts in it, is what the backtest of the same time makes: byte for byte.
    #[test]
    fn live_is_replay(lines in bursts(), restarts in proptest::collection::vec(proptest::bool::weighted(0.1), 64)) {
        check_replay(RULES, LineStore::new(lines), &restarts);
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3))]

    /// The same by the receive time, where no host knows what time it is.
    #[test]
    fn live_is_replay_by_receipt(
        lines in bursts(),
        restarts in proptest::collection::vec(proptest::bool::weighted(0.1), 64),
        behind_s in (-299i64..400_000, -299i64..400_000),
    ) {
        let told = |mut line: TestLine| {
            line.at -= if line.fields["host"] == "a" { behind_s.0 } else { behind_s.1 } * S;
            line
        };
        let by_receipt = by_receipt(RULES);
        let logged = check_replay(&by_receipt, LineStore::new(lines.iter().cloned().map(told).collect()), &restarts);
        // What the clocks of the hosts say makes no difference at all.
        let right = check_replay(&by_receipt, LineStore::new(lines), &restarts);
        assert_eq!(logged.len(), right.len());
    }
}

/// Rules that go by the time at which lines are received.
fn by_receipt(rules: &str) -> String {
    let line = |line: &str| match line.contains("- alert: ") {
        true => format!("{line}\n        time: ingest\n"),
        false => format!("{line}\n"),
    };
    rules.lines().map(line).collect()
}

/// The log of a live run, which must be that of the replay.
fn check_replay(text: &str, source: Arc<LineStore>, restarts: &[bool]) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (live, to) = live(text, &source, restarts).await;
        // The first step of a group is the last one before its first look.
        let set = rules(text);
        let plan = Plan { from: T0 - 60 * S, to, rule: None, budget: None, cold: true, store: None };
        let source: Arc<dyn QuerySource> = source;
        let mut replayed = Vec::new();
        for group in &set.groups {
            let offset = logweir_rules::schedule::offset_ns(&group.name, group.every_ns);
            let first = logweir_rules::schedule::latest_at(T0, group.every_ns, offset);
            let plan = Plan { from: first - group.every_ns, ..plan.clone() };
            let one = RuleSet { groups: vec![Arc::clone(group)], ..RuleSet::default() };
            let outcome = run(Arc::clone(&source), &one, None, Scenes::default(), plan).await.expect("replays");
            replayed.extend(outcome.lines);
        }
        replayed.sort_by(|a, b| a.0.cmp(&b.0));
        let replayed: Vec<String> = replayed
            .iter()
            .map(|(key, line)| format!("{key} {}", serde_json::to_string(line).expect("JSON")))
            .collect();
        assert_eq!(live, replayed);
        live
    })
}

/// Lines of which some were stored before there were receive times.
struct Older(Arc<LineStore>);

impl QuerySource for Older {
    fn received_since_ns(&self) -> Option<i64> {
        Some(T0)
    }

    fn query<'a>(
        &'a self,
        query: &'a str,
        from_ns: i64,
        to_ns: i64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Answer, QueryError>> {
        self.0.query(query, from_ns, to_ns, limit)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backtest_by_receipt_says_of_which_time_the_receipt_is_not_known() {
    let warnings = async |text: &str, from: i64, rule: Option<&str>| {
        let source: Arc<dyn QuerySource> = Arc::new(Older(LineStore::new(Vec::new())));
        let rule = rule.map(str::to_owned);
        let plan = Plan { from, to: T0 + 7200 * S, rule, budget: None, cold: true, store: None };
        run(source, &rules(text), None, Scenes::default(), plan).await.expect("replays").report.warnings
    };
    let text = RULES.replacen("alert: Rate", "alert: Rate\n        time: ingest", 1);
    let none: [&str; 0] = [];
    assert_eq!(warnings(RULES, T0 - 60 * S, None).await, none);
    assert_eq!(warnings(&text, T0 + 60 * S, None).await, none);
    assert_eq!(warnings(&text, T0, Some("Errors")).await, none);
    let told = warnings(&text, T0, None).await.join("\n");
    let known = rfc3339(T0);
    assert_eq!(
        told,
        format!(
            "lines that an earlier version stored have no receive time: before {known} they are not counted by Rate"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_counts_episodes_and_messages_and_suggests_a_limit() {
    let mut lines = Vec::new();
    // Three bursts an hour apart: 5, 8 and 20 errors within a minute, twice on two hosts at once.
    for (hour, count) in [(1, 5), (2, 8), (3, 20)] {
        for host in ["a", "b"] {
            for i in 0..count {
                let at = T0 + (hour * 3600 + i) * S;
                lines.push(line(at, &[("host", host), ("level", "error"), ("message", "boom")]));
            }
        }
    }
    let source: Arc<dyn QuerySource> = LineStore::new(lines);
    let routing = "version: 1\nroute: {receiver: ops, group_by: [alertname], group_wait: 0s, routes: [{matchers: ['severity=\"critical\"'], receiver: pager, group_wait: 30s}]}\nreceivers: [{name: ops, webhook: [{url: 'https://example.com/h'}]}, {name: pager, webhook: [{url: 'https://example.com/p'}]}]\n";
    let routing = crate::route::file::load("a.yaml", routing, &|_| None).unwrap_or_else(|p| panic!("{p:?}"));
    let to = T0 + 5 * 3600 * S;
    let budget = Budget::parse("2/5h");
    let plan = Plan { from: T0, to, rule: Some("Errors".to_owned()), budget, cold: false, store: None };
    let outcome = run(source, &rules(RULES), Some(Arc::new(routing)), Scenes::default(), plan).await.expect("replays");
    let report = &outcome.report;
    expect_test::expect![[r#"
        RuleReport {
            rule: "Errors",
            group: "fast",
            episodes: 6,
            severities: {
                "critical": 2,
                "warning": 4,
            },
            firing: 0,
            flaps: 6,
            firing_ns: 500000000000,
            median_ns: 80000000000,
            longest_ns: 100000000000,
            pages: {
                "ops": 2,
                "pager": 1,
            },
            suggestion: Some(
                Suggestion {
                    signal: "errors",
                    limit: 12.0,
                    suggested: 15.0,
                    episodes: 2,
                },
            ),
            lines: [],
        }
    "#]]
    .assert_debug_eq(&RuleReport { lines: Vec::new(), ..report.rules[0].clone() });
    assert_eq!(report.rules[0].lines.iter().sum::<u64>(), 66);
    expect_test::expect![[r#"{"ops":{"pages":2,"resolves":2},"pager":{"pages":1,"resolves":1}}"#]]
        .assert_eq(&serde_json::to_string(&report.receivers).expect("JSON"));
}

/// A source that is asked seldom is what makes a month cheap.
#[tokio::test(flavor = "multi_thread")]
async fn counts_are_asked_for_once_however_many_steps_there_are() {
    let lines = (0..500).map(|i| line(T0 + i * 60 * S, &[("host", "a"), ("level", "error"), ("message", "x")]));
    let source = LineStore::new(lines.collect());
    let plan = Plan {
        from: T0,
        to: T0 + 8 * 3600 * S,
        rule: Some("Errors".to_owned()),
        budget: None,
        cold: false,
        store: None,
    };
    let asked: Arc<dyn QuerySource> = Arc::clone(&source) as Arc<dyn QuerySource>;
    run(asked, &rules(RULES), None, Scenes::default(), plan).await.expect("replays");
    let questions = *Mutex::lock(&source.questions).expect("not poisoned");
    assert!(questions < 10, "{questions} questions for 2880 steps");
}

fn many(rules: usize, rule: impl Fn(usize) -> String) -> RuleSet {
    let mut text = "version: 1\ngroups:\n".to_owned();
    for i in 0..rules {
        text.push_str(&format!("  - name: g{i}\n    every: 60s\n    defaults: {{delay: 0s}}\n    rules:\n{}", rule(i)));
    }
    crate::check::rules(&[("many.yaml".to_owned(), text)]).unwrap_or_else(|p| panic!("{p:?}"))
}

/// More filters than are counted in one walk: the groups take turns, and nothing is lost between them.
#[tokio::test(flavor = "multi_thread")]
async fn groups_with_too_many_filters_for_one_walk_take_turns() {
    let set = many(super::FEEDS_AT_ONCE_MAX + 30, |i| {
        let signals = format!("{{n: {{filter: 'host=h{} AND NOT zone=x{i}', agg: count, window: 1m}}}}", i % 3);
        format!("      - {{alert: R{i}, signals: {signals}, levels: {{info: {{when: n > 0}}}}, summary: 'x'}}\n")
    });
    // Only one of three hosts says anything.
    let source: Arc<dyn QuerySource> = LineStore::new(vec![line(T0 + 125 * S, &[("host", "h1")])]);
    let plan = Plan { from: T0, to: T0 + 600 * S, rule: None, budget: None, cold: true, store: None };
    let outcome = run(source, &set, None, Scenes::default(), plan).await.expect("replays");
    assert_eq!(outcome.report.rules.len(), set.groups.len());
    for rule in &outcome.report.rules {
        let number: usize = rule.rule[1..].parse().expect("a number");
        assert_eq!(rule.episodes, usize::from(number % 3 == 1), "{}", rule.rule);
    }
}

/// Two hundred hosts that have a line in every other minute.
#[derive(Debug)]
struct Restless;

impl QuerySource for Restless {
    fn query<'a>(
        &'a self,
        _query: &'a str,
        from_ns: i64,
        to_ns: i64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Answer, QueryError>> {
        let minutes = (from_ns / (60 * S)..to_ns / (60 * S)).filter(|minute| minute % 2 == 0);
        let row = |(minute, host)| json!({"time": rfc3339(minute * 60 * S), "host": format!("h{host}"), "v": 1});
        let rows = minutes.flat_map(|minute| (0..200).map(move |host| (minute, host))).take(limit).map(row).collect();
        let rows = serde_json::from_value(rows).expect("rows");
        Box::pin(async move { Ok(Answer { rows, complete: true, reason: None }) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_never_rest_are_named_before_they_fill_the_memory() {
    let set = many(1, |_| {
        let rule = |i: usize| {
            let signals = "{n: {filter: '*', agg: count, window: 1m, by: [host]}}";
            format!("      - {{alert: R{i}, signals: {signals}, levels: {{info: {{when: n > 0}}}}, summary: 'x'}}\n")
        };
        (0..10).map(rule).collect()
    });
    let plan = Plan { from: T0, to: T0 + 150 * 60 * S, rule: None, budget: None, cold: true, store: None };
    let run = run(Arc::new(Restless), &set, None, Scenes::default(), plan).await;
    let said = run.expect_err("two thousand changes a minute").to_string();
    assert!(said.contains("its group change more than 200000 times") && said.contains("--since"), "{said}");
}

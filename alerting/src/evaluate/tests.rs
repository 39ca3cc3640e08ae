//! The scheduler against a scripted store: catch-up, restarts, holds, failures, changes of rules.

use std::path::Path;
use std::sync::Mutex;

use logweir_rules::evaluate::Phase;
use logweir_rules::model::Severity;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::check;
use crate::check::tests::RULE;
use crate::evaluate::testing::{LineStore, TestLine, line};
use crate::fixture::{S, ScriptedSource, T0, answer};
use crate::source::Answer;
use crate::source::QueryError;
use crate::state::Episode;
use crate::state::store::EPISODES;

const STEP: i64 = 10 * S;

/// Errors of host `a` in the window that ends at a step; beyond the list there are none.
type Errors = Arc<Mutex<Vec<u32>>>;

fn source(errors: &Errors) -> Arc<dyn QuerySource> {
    let errors = Arc::clone(errors);
    ScriptedSource::new(move |query, _, to_ns| {
        if !query.contains("stats") {
            return answer(json!([{"id": "01", "time": "t", "message": "boom"}]));
        }
        if !query.contains("level>=error") {
            return answer(json!([{"v": 100, "host": "a"}]));
        }
        let index = (to_ns - T0).div_euclid(STEP).max(0) as usize;
        let count = errors.lock().expect("not poisoned").get(index).copied().unwrap_or(0);
        answer(if count == 0 { json!([]) } else { json!([{"v": count, "host": "a"}]) })
    })
}

/// The script answers for a window, so windows must be asked for whole: they are no sum of steps here.
fn rules(text: &str) -> Arc<RuleSet> {
    let text = text.replace("window: 30s", "window: 25s");
    Arc::new(check::rules(&[("r.yaml".to_owned(), text)]).unwrap_or_else(|p| panic!("{p:?}")))
}

async fn open(dir: &Path, clock: &Clock, source: Arc<dyn QuerySource>) -> Evaluator {
    let store = Store::open(dir).expect("opens");
    let live = Arc::new(Live::new("http://logs.example", logweir_runtime::secrets::Secret::new("k")));
    let mut evaluator = Evaluator::load(store, source, clock.clone(), live).expect("loads");
    evaluator.set_rules(rules(RULE)).await.expect("takes the rules");
    evaluator
}

async fn catch_up(evaluator: &mut Evaluator) {
    while evaluator.round().await.expect("a round").behind {}
}

fn episodes(evaluator: &Evaluator) -> Vec<Episode> {
    let episodes = evaluator.shared.store.read(|view| view.scan(EPISODES, "")).expect("reads");
    episodes.into_iter().map(|(_, episode)| episode).collect()
}

/// What must be equal however often the process was away: wall times and sample lines may differ.
fn essence(evaluator: &Evaluator) -> Vec<(String, i64, Option<i64>, Severity, Severity)> {
    episodes(evaluator).into_iter().map(|e| (e.id, e.opened_at, e.closed_at, e.severity, e.peak)).collect()
}

#[tokio::test]
async fn an_alert_fires_with_evidence_and_resolves() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(T0);
    let errors: Errors = Arc::new(Mutex::new(vec![0, 4, 4, 12, 12, 0]));
    let mut evaluator = open(dir.path(), &clock, source(&errors)).await;
    for step in 0..=4 {
        clock.set(T0 + step * STEP + 9 * S);
        catch_up(&mut evaluator).await;
    }
    let open = &episodes(&evaluator)[0];
    assert!(open.is_firing());
    assert_eq!((open.severity, open.values["errors"]), (Severity::Critical, 12.0));
    assert_eq!(open.summary, "12 errors on a");
    assert_eq!(open.annotations["action"], "restart a");
    assert_eq!(open.labels["team"], "shop");
    assert_eq!(open.samples[0].line, "boom");
    assert!(
        open.link.starts_with("http://logs.example/?q=%28level%3E%3Derror%29%20host%3D%22a%22&from=2026-"),
        "{}",
        open.link
    );
    clock.set(T0 + 20 * STEP);
    catch_up(&mut evaluator).await;
    let closed = &episodes(&evaluator)[0];
    assert_eq!(closed.close_reason.as_deref(), Some("recovered for 20s"));
    assert_eq!((closed.peak, closed.values["errors"]), (Severity::Critical, 0.0));
    assert!(evaluator.states()["Errors"].instances.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// However often the process ends, and however long it is away: the same episodes as without a break.
    #[test]
    fn a_restart_changes_nothing(
        counts in proptest::collection::vec(prop_oneof![0u32..3, 3u32..10, 10u32..20], 10..40),
        breaks in proptest::collection::vec(any::<bool>(), 40),
        away in proptest::collection::vec(any::<bool>(), 40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let errors: Errors = Arc::new(Mutex::new(counts.clone()));
            let last = counts.len() as i64 + 5;
            let mut results = Vec::new();
            for with_breaks in [false, true] {
                let dir = tempfile::tempdir().expect("a directory");
                let clock = Clock::manual(T0);
                let mut evaluator = Some(open(dir.path(), &clock, source(&errors)).await);
                for step in 0..=last {
                    clock.set(T0 + step * STEP + 9 * S);
                    let slot = step as usize % breaks.len();
                    if with_breaks && step > 0 && step < last && away[slot] {
                        continue;
                    }
                    if with_breaks && breaks[slot] {
                        drop(evaluator.take());
                        evaluator = Some(open(dir.path(), &clock, source(&errors)).await);
                    }
                    catch_up(evaluator.as_mut().expect("running")).await;
                }
                let evaluator = evaluator.expect("running");
                results.push((essence(&evaluator), evaluator.states().clone()));
            }
            assert_eq!(results[0], results[1]);
        });
    }
}

#[tokio::test]
async fn a_store_that_is_away_holds_the_step_and_then_keeps_the_state() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(T0);
    let mode = Arc::new(Mutex::new("fine"));
    let asked = Arc::clone(&mode);
    let source = ScriptedSource::new(move |query, _, _| match *asked.lock().expect("not poisoned") {
        "away" => Err(QueryError::Unavailable("starting".into())),
        "partial" => Ok(Answer { complete: false, ..Answer::default() }),
        _ if query.contains("stats") => answer(json!([{"v": 50, "host": "a"}])),
        _ => answer(json!([])),
    });
    let mut evaluator = open(dir.path(), &clock, source).await;
    catch_up(&mut evaluator).await;
    let cursor = evaluator.cursor("g").expect("a cursor");
    for away in ["away", "partial"] {
        *mode.lock().expect("not poisoned") = away;
        clock.set(clock.now_ns() + 2 * STEP);
        let round = evaluator.round().await.expect("a round");
        assert!(round.behind && evaluator.cursor("g").expect("a cursor") == cursor, "{away}: the step is not lost");
        assert!(evaluator.shared.live.status("Errors").error.is_some());
    }
    // It stays away for longer than a step may wait: the rule keeps its state, and says why.
    clock.set(clock.now_ns() + UNAVAILABLE_HOLD_NS + 10 * STEP);
    evaluator.round().await.expect("a round");
    assert!(evaluator.cursor("g").expect("a cursor") > cursor);
    assert_eq!(evaluator.states()["Errors"].instances.values().next().map(|i| i.phase), Some(Phase::Firing));
    *mode.lock().expect("not poisoned") = "fine";
    catch_up(&mut evaluator).await;
    assert_eq!(evaluator.shared.live.status("Errors").error, None);
    assert_eq!(essence(&evaluator).len(), 1, "one episode all the time");
}

#[tokio::test]
async fn a_very_long_downtime_is_skipped_and_resolves_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(T0);
    let errors: Errors = Arc::new(Mutex::new(vec![50; 10_000]));
    let mut evaluator = open(dir.path(), &clock, source(&errors)).await;
    catch_up(&mut evaluator).await;
    drop(evaluator);
    clock.set(T0 + 12 * 3600 * S);
    let mut evaluator = open(dir.path(), &clock, source(&errors)).await;
    catch_up(&mut evaluator).await;
    let all = essence(&evaluator);
    assert_eq!((all.len(), all[0].2), (1, None), "the same episode, still open");
}

#[tokio::test]
async fn a_clock_that_is_set_back_stops_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(T0 + 86_400 * S);
    let errors: Errors = Arc::new(Mutex::new(vec![0, 0, 50, 50]));
    let mut evaluator = open(dir.path(), &clock, source(&errors)).await;
    catch_up(&mut evaluator).await;
    clock.set(T0);
    catch_up(&mut evaluator).await;
    clock.set(T0 + 3 * STEP);
    catch_up(&mut evaluator).await;
    assert_eq!(essence(&evaluator).len(), 1);
    // A second back is no more than a pause.
    let cursor = evaluator.cursor("g").expect("a cursor");
    clock.set(T0 + 2 * STEP);
    catch_up(&mut evaluator).await;
    assert_eq!(evaluator.cursor("g").expect("a cursor"), cursor);
}

#[tokio::test]
async fn edited_rules_keep_their_episode_and_removed_ones_close_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(T0);
    let errors: Errors = Arc::new(Mutex::new(vec![50; 100]));
    let mut evaluator = open(dir.path(), &clock, source(&errors)).await;
    catch_up(&mut evaluator).await;
    let before = essence(&evaluator);
    let edited = RULE.replace("errors >= 10", "errors >= 20").replace("every: 10s", "every: 20s");
    evaluator.set_rules(rules(&edited)).await.expect("takes the rules");
    clock.set(T0 + 6 * STEP);
    catch_up(&mut evaluator).await;
    assert_eq!(essence(&evaluator), before);
    let other = RULE.replace("alert: Errors", "alert: Others");
    evaluator.set_rules(rules(&other)).await.expect("takes the rules");
    let closed = &episodes(&evaluator)[0];
    assert_eq!(closed.close_reason.as_deref(), Some("the rule was removed"));
    assert!(!evaluator.states().contains_key("Errors"));
}

#[tokio::test]
async fn an_expected_host_that_was_silent_before_the_first_evaluation_is_missed() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(T0);
    let source = ScriptedSource::new(|query, from_ns, to_ns| {
        // Host b wrote its last line half an hour ago: only a look at the last hour finds it.
        let hosts = if to_ns - from_ns > 1800 * S {
            json!([{"v": 9, "host": "a"}, {"v": 9, "host": "b"}])
        } else {
            json!([{"v": 9, "host": "a"}])
        };
        answer(if query.contains("stats") { hosts } else { json!([]) })
    });
    let mut evaluator = open(dir.path(), &clock, source).await;
    let silent = RULE
        .replace("critical: {when: errors >= 10}", "critical: {when: total == 0}")
        .replace("warning: {when: errors >= 3, for: 20s}", "info: {when: silent_for > 1d}")
        .replace("        recover_when: errors < 2\n", "");
    evaluator.set_rules(rules(&silent)).await.expect("takes the rules");
    for step in 0..3 {
        clock.set(T0 + step * STEP + 9 * S);
        catch_up(&mut evaluator).await;
    }
    let all = episodes(&evaluator);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].labels["host"], "b");
}

#[test]
fn episode_ids_are_ulids_of_their_identity() {
    let labels = Labels::from([("host".to_owned(), "a".to_owned())]);
    let id = episode_id("Errors", &labels, T0);
    assert_eq!(id, episode_id("Errors", &labels, T0));
    assert_ne!(id, episode_id("Errors", &Labels::new(), T0));
    assert_ne!(id, episode_id("Other", &labels, T0));
    assert_eq!(id.len(), 26);
    assert!(id < episode_id("Errors", &labels, T0 + 60 * S), "ids sort by time");
}

const QUICK: &str = r#"version: 1
groups:
  - name: quick
    every: 1s
    rules:
      - alert: Quick
        signals: {failed: {filter: 'level=error', agg: count, window: 10s, by: [order]}}
        levels: {critical: {when: failed >= 1}}
        summary: "x"
  - name: default
    rules:
      - alert: Default
        signals: {failed: {filter: 'level=error', agg: count, window: 2m, by: [order]}}
        levels: {critical: {when: failed >= 1}}
        summary: "x"
"#;

/// With half a second from the file to the store: what is left of the two seconds, five and forty that people are
/// promised from the line to the message.
#[tokio::test]
async fn a_line_is_an_alert_within_seconds() {
    let lines = (0..120).map(|i: i64| {
        let order: &'static str = Box::leak(i.to_string().into_boxed_str());
        let mut line = line(T0 + (i * 1_370 + 31) * 1_000_000, &[("level", "error"), ("order", order)]);
        line.arrives += 500_000_000;
        line
    });
    let lines = LineStore::new(lines.collect());
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(T0);
    let mut evaluator = open(dir.path(), &clock, Arc::clone(&lines) as Arc<dyn QuerySource>).await;
    evaluator.set_rules(rules(QUICK)).await.expect("takes the rules");
    let mut known = BTreeMap::new();
    for tick in 0..2_100 {
        clock.set(T0 + tick * S / 10);
        lines.set_now(clock.now_ns());
        evaluator.round().await.expect("a round");
        for state in evaluator.states() {
            for labels in state.1.instances.into_keys() {
                known.entry((state.0.clone(), labels["order"].clone())).or_insert(clock.now_ns());
            }
        }
    }
    for (rule, half, nearly_all) in [("Quick", 2 * S, 5 * S), ("Default", 40 * S, 40 * S)] {
        let wait = |line: &TestLine| known[&(rule.to_owned(), line.fields["order"].clone())] - line.at;
        let mut waits: Vec<i64> = lines.lines.iter().map(wait).collect();
        waits.sort_unstable();
        assert!(waits[60] < half && waits[119] < nearly_all, "{rule}: {waits:?}");
    }
}

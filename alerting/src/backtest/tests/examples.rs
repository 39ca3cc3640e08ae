//! A recorded day of the six worked examples, lived and replayed.

use std::collections::BTreeSet;

use super::*;
use crate::evaluate::testing::examples::{HOSTS, marks, rules, story};
use crate::source::HostMark;

const DAY_S: i64 = 86_400;
/// The story comes again so often.
const STORY_EVERY_S: i64 = 3 * 3_600;
/// In these seconds the agent of the last host is not heard.
const UNHEARD_S: std::ops::Range<i64> = 40_000..44_000;

/// The story, eight times.
fn day() -> Vec<TestLine> {
    let again = |round: i64| {
        story().into_iter().map(move |mut line| {
            line.at += round * STORY_EVERY_S * S;
            line.arrives = line.at;
            line
        })
    };
    (0..DAY_S / STORY_EVERY_S).flat_map(again).collect()
}

fn heard(second: i64) -> Vec<HostMark> {
    let now = T0 + second * S;
    let silent = |mark: HostMark| {
        let is_gone = UNHEARD_S.contains(&second) && mark.host == HOSTS[2];
        let until = if is_gone { T0 + UNHEARD_S.start * S } else { now };
        HostMark { heard_wall: until, watermark_ns: Some(until), ..mark }
    };
    marks(&[], now).into_iter().map(silent).collect()
}

/// What the live engine wrote over a day with restarts, and what the backtest of that day makes of the stored lines.
#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_day_of_all_examples_is_replayed_byte_for_byte() {
    let source = LineStore::new(day());
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), Clock::manual(T0));
    let mut engine = Some(open(dir.path(), &clock, &source, rules()).await);
    for second in (0..DAY_S).step_by(60) {
        clock.set(T0 + second * S);
        source.set_now(clock.now_ns());
        *source.marks.lock().expect("not poisoned") = heard(second);
        if second % 7_260 == 7_200 {
            drop(engine.take());
            engine = Some(open(dir.path(), &clock, &source, rules()).await);
        }
        let (evaluator, _) = engine.as_mut().expect("running");
        while evaluator.round().await.expect("a round").behind {}
    }
    let (evaluator, store) = engine.expect("running");
    let set = rules();
    let to = set.groups.iter().filter_map(|group| evaluator.cursor(&group.name)).max().expect("a cursor");
    drop(evaluator);
    let text = |(key, line): &(String, TransitionLine)| format!("{key} {}", serde_json::to_string(line).expect("JSON"));
    let lived: Vec<String> = store.read(|view| view.scan(TRANSITIONS, "")).expect("reads").iter().map(text).collect();
    let fired: BTreeSet<&str> = set.rules().map(|(_, rule)| rule.name.as_str()).collect();
    let told = |name: &&str| lived.iter().any(|line| line.contains(&format!("\"{name}\"")) && line.contains("fired"));
    assert!(fired.len() == 6 && fired.iter().all(told), "each example fires: {lived:#?}");
    assert!(lived.iter().any(|line| line.contains("dead")), "an agent was gone");

    let scenes = Scenes::load(&store).expect("reads");
    let group = &set.groups[0];
    let offset = logweir_rules::schedule::offset_ns(&group.name, group.every_ns);
    let from = logweir_rules::schedule::latest_at(T0, group.every_ns, offset) - group.every_ns;
    let plan = Plan { from, to, rule: None, budget: None, cold: true, store: None };
    let source: Arc<dyn QuerySource> = source;
    let outcome = run(source, &set, None, scenes, plan).await.expect("replays");
    let replayed: Vec<String> = outcome.lines.iter().map(text).collect();
    assert_eq!(lived.len(), replayed.len());
    for (lived, replayed) in lived.iter().zip(&replayed) {
        assert_eq!(lived, replayed);
    }
}

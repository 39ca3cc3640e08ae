//! The six worked examples over two hours, with lines that come up to half an hour late.

use super::*;
use crate::evaluate::testing::examples::{END_S, HOSTS, marks, rules, story};

/// Lines of so many seconds of one host travel together.
const TRAVEL_S: i64 = 600;

fn random(seed: i64, what: i64) -> i64 {
    let mixed =
        (seed * 1_000 + what).wrapping_mul(0x5851_F42D_4C95_7F2D).rotate_left(29).wrapping_mul(0x5851_F42D_4C95_7F2D);
    (mixed >> 33).abs()
}

/// A third of what travels together is delayed by up to half an hour, and nothing keeps its order.
fn delayed(seed: i64) -> Vec<TestLine> {
    let mut lines = story();
    for (i, line) in (0..).zip(lines.iter_mut()) {
        let host = HOSTS.iter().position(|host| *host == line.fields["host"]).unwrap_or(0) as i64;
        let travels = random(seed, (line.at - T0) / S / TRAVEL_S * 3 + host);
        let delay_s = if travels % 3 == 0 { travels / 3 % 1_780 } else { 0 };
        line.arrives += (delay_s + if delay_s > 0 { random(seed, 100_000 + i) % 20 } else { 0 }) * S;
    }
    lines
}

async fn run(lines: Vec<TestLine>) -> Vec<Episode> {
    let source = LineStore::new(lines);
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(T0);
    let store = Store::open(dir.path()).expect("opens");
    let live = Arc::new(Live::new("http://logs.example", Secret::new("k")));
    let asked: Arc<dyn QuerySource> = Arc::clone(&source) as Arc<dyn QuerySource>;
    let mut evaluator = Evaluator::load(store.clone(), asked, clock.clone(), live).expect("loads");
    evaluator.set_rules(rules()).await.expect("takes the rules");
    for second in (0..END_S).step_by(30) {
        clock.set(T0 + second * S);
        source.set_now(clock.now_ns());
        *source.marks.lock().expect("not poisoned") = marks(&source.lines, clock.now_ns());
        while evaluator.round().await.expect("a round").behind {}
    }
    store.read(|view| view.scan(EPISODES, "")).expect("reads").into_iter().map(|(_, episode)| episode).collect()
}

/// Rule and labels of every episode, in order.
fn told(episodes: &[Episode]) -> Vec<String> {
    let mut all: Vec<String> = episodes.iter().map(|e| format!("{} {:?}", e.rule, e.instance)).collect();
    all.sort();
    all
}

#[tokio::test]
async fn the_examples_come_to_the_same_episodes_however_late_lines_are() {
    let wanted = told(&run(story()).await);
    let rules: std::collections::BTreeSet<&str> = wanted.iter().filter_map(|one| one.split(' ').next()).collect();
    assert_eq!(rules.len(), 6, "each example fires: {wanted:#?}");
    let episodes = run(delayed(1)).await;
    assert_eq!(told(&episodes), wanted);
    assert!(episodes.iter().any(|episode| episode.extra.late_ns.is_some()), "something was found late");
}

//! The six worked examples over two hours, with lines that come up to half an hour late.

use super::*;
use crate::source::HostMark;

const EXAMPLES: &str = include_str!("../../../../../rules/tests/examples.yaml");
const HOSTS: [&str; 3] = ["web-1", "pay-1", "pay-2"];
const END_S: i64 = 8_100;
/// Lines of so many seconds of one host travel together.
const TRAVEL_S: i64 = 600;

fn at(second: i64, host: usize, fields: &[(&'static str, &str)]) -> TestLine {
    let mut line = line(T0 + second * S, fields);
    line.fields.insert("host", HOSTS[host].to_owned());
    line
}

/// Each example has its reason to fire once.
fn story() -> Vec<TestLine> {
    let mut lines = Vec::new();
    let timeout = [("source", "nginx"), ("message", "upstream timed out (110)"), ("upstream", "10.1.0.7:3000")];
    lines.extend((1_200..2_100).step_by(8).map(|s| at(s, 0, &timeout)));
    for (i, ms) in (2_000_000i64..3_000_000).step_by(1_250).enumerate() {
        for (track, fails) in [("canary", 10), ("stable", 100)] {
            let status = if i % fails == 0 { "500" } else { "200" };
            let shop = [("source", "nginx"), ("path", "/checkout/pay"), ("service_name", "shop"), ("env", "prod")];
            let mut line = at(ms / 1_000, 0, &shop);
            line.fields.extend([("track", track.to_owned()), ("status", status.to_owned())]);
            line.fields.insert("duration_ms", "120".to_owned());
            lines.push(line);
        }
    }
    for s in (0..END_S).step_by(30) {
        let tick = [("app", "payments-worker"), ("message", "tick")];
        lines.push(at(s, 1, &tick));
        // One of the two is silent for a while.
        lines.extend((!(3_500..5_000).contains(&s)).then(|| at(s, 2, &tick)));
    }
    let error =
        |s: i64, message: &str| at(s, 0, &[("app", "api"), ("env", "prod"), ("level", "error"), ("message", message)]);
    lines.extend((0..END_S).step_by(60).map(|s| error(s, &format!("order {s} failed: timeout after {} ms", s % 97))));
    lines.extend((5_400..6_000).step_by(1).map(|s| error(s, "cannot acquire lock on table invoices")));
    lines
}

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

/// What agents say: everything before the first line that is still on its way has come.
fn marks(lines: &[TestLine], now: i64) -> Vec<HostMark> {
    let mark = |host: &str| {
        let waiting = lines.iter().filter(|l| l.fields["host"] == host && l.at <= now && l.arrives > now);
        let watermark = waiting.map(|line| line.at).min().unwrap_or(now);
        HostMark { host: host.to_owned(), heard_wall: now, watermark_ns: Some(watermark), passing: false }
    };
    HOSTS.map(mark).into()
}

async fn run(lines: Vec<TestLine>) -> Vec<Episode> {
    // What is learned over days is learned within the story: buckets of half a minute, and no season.
    let quick = [
        ("learn: 24h", "learn: 10m"),
        ("warmup: 24h", "warmup: 30m"),
        ("season: auto", "season: none"),
        (
            "{filter: 'level:error', agg: count, window: 5m, by: [app]}",
            "{filter: 'level:error', agg: count, window: 30s, by: [app]}",
        ),
    ];
    let rules = quick.iter().fold(EXAMPLES.to_owned(), |text, (from, to)| text.replace(from, to));
    let source = LineStore::new(lines);
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(T0);
    let store = Store::open(dir.path()).expect("opens");
    let live = Arc::new(Live::new("http://logs.example", Secret::new("k")));
    let asked: Arc<dyn QuerySource> = Arc::clone(&source) as Arc<dyn QuerySource>;
    let mut evaluator = Evaluator::load(store.clone(), asked, clock.clone(), live).expect("loads");
    let rules = crate::check::rules(&[("examples.yaml".to_owned(), rules)]).unwrap_or_else(|p| panic!("{p:?}"));
    evaluator.set_rules(Arc::new(rules)).await.expect("takes the rules");
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

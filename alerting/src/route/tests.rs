//! Routing over time, in a real store: who is told when, who is not, and that the reason is kept.

use std::collections::BTreeSet;

use logweir_rules::model::{Labels, Severity};

use super::group::{self, Event};
use super::silence::{self, NewSilence};
use super::{Routing, file};
use crate::fixture::{S, T0, episode};
use crate::notify::outbox::{self, Gate, Job, fallback, operate};
use crate::notify::policy::Outcome;

use crate::state::store::{EPISODES, FINISHED, GROUPS, Tx, WHY_NOT};
use crate::state::{Ack, Episode, OutboxRow, RowKind, RowState, Store};

/// Episodes of one message, and whether they fire in it.
type Told = Vec<(String, bool)>;

struct World {
    store: Store,
    routing: Routing,
    gate: Gate,
    /// When, to whom, which episodes, firing or not, of which kind.
    sent: Vec<(i64, String, Told, RowKind)>,
}

impl World {
    fn new(routing: &str) -> World {
        let store = Store::in_memory().expect("a store in memory");
        let routing = file::load("alerting.yaml", routing, &|_| None).unwrap_or_else(|p| panic!("{p:?}"));
        World { store, routing, gate: Gate::default(), sent: vec![] }
    }

    fn event(&self, episode: &Episode, event: Event, now: i64) {
        let mut episode = episode.clone();
        let write = self.store.write(|tx| {
            if let Some(old) = tx.get(EPISODES, &episode.id)? {
                episode.groups = old.groups;
                episode.extra = old.extra;
            }
            group::place(tx, &self.routing, &mut episode, event, now)?;
            tx.put(EPISODES, &episode.id, &episode)
        });
        write.expect("writes");
    }

    fn open(&self, episode: &Episode, now: i64) {
        self.event(&Episode { opened_at: now, ..episode.clone() }, Event::Opened, now);
    }

    fn close(&self, episode: &Episode, now: i64) {
        let closed = Episode { opened_at: now - S, closed_at: Some(now), closed_wall: Some(now), ..episode.clone() };
        self.event(&closed, Event::Closed, now);
    }

    fn write<T>(&self, work: impl FnOnce(&Tx) -> Result<T, crate::state::StoreError>) -> T {
        self.store.write(work).expect("writes")
    }

    /// Looks every second until nothing is due; every receiver answers as `judge` says.
    fn run(&mut self, from: i64, to: i64, judge: impl Fn(&Job) -> Outcome) {
        let mut now = from;
        while now <= to {
            let (routing, gate) = (&self.routing, &mut self.gate);
            let claimed = self.store.write(|tx| {
                group::flush(tx, routing, now)?;
                fallback::tell_late(tx, routing, now)?;
                outbox::claim(tx, routing, gate, now)
            });
            let jobs = claimed.expect("claims").jobs;
            if jobs.is_empty() {
                now += S;
            }
            for job in jobs {
                let outcome = judge(&job);
                if matches!(outcome, Outcome::Status { code: 200, .. }) {
                    let told = job.episodes.iter().map(|e| (e.id.clone(), e.is_firing())).collect();
                    self.sent.push(((now - T0) / S, job.row.receiver.clone(), told, job.row.kind));
                }
                self.gate.done(&job.channel_key(), &outcome, now);
                self.write(|tx| outbox::settle(tx, &self.routing, &job, &outcome.clone().into(), now));
            }
        }
    }

    fn fine(&mut self, from: i64, to: i64) {
        self.run(T0 + from * S, T0 + to * S, |_| ok());
    }

    /// `12 ops e1+ e2-`
    fn told(&self) -> Vec<String> {
        let one = |(at, to, told, _): &(i64, String, Told, RowKind)| {
            let told: Vec<String> =
                told.iter().map(|(id, firing)| format!("{id}{}", if *firing { '+' } else { '-' })).collect();
            format!("{at} {to} {}", told.join(" "))
        };
        self.sent.iter().map(one).collect()
    }

    fn why_not(&self, episode: &str) -> Vec<String> {
        let all = self.store.read(|view| view.scan(WHY_NOT, &format!("{episode}\0"))).expect("reads");
        all.into_iter()
            .flat_map(|(_, reasons)| reasons)
            .map(|reason| format!("{}: {}", reason.kind, reason.reason))
            .collect()
    }

    fn finished(&self, state: RowState) -> Vec<OutboxRow> {
        let rows = self.store.read(|view| view.scan(FINISHED, "")).expect("reads");
        rows.into_iter().map(|(_, row)| row).filter(|row| row.state == state).collect()
    }
}

fn ok() -> Outcome {
    Outcome::Status { code: 200, retry_after_ns: None, body: String::new() }
}

fn alert(id: &str, name: &str, host: &str, severity: Severity) -> Episode {
    let labels = [("alertname", name), ("host", host)].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let instance = Labels::from([("host".to_owned(), host.to_owned())]);
    Episode { rule: name.into(), labels: Labels::from(labels), instance, severity, peak: severity, ..episode(id) }
}

const PLAIN: &str = "
route: {receiver: ops, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: ops, webhook: [{url: 'https://ops.example/'}]}]
";

#[test]
fn a_silence_holds_what_fires_and_lets_the_end_through() {
    let mut world = World::new(PLAIN);
    let (first, second) = (alert("e1", "X", "a", Severity::Warning), alert("e2", "X", "b", Severity::Warning));
    world.open(&first, T0);
    world.fine(0, 2);
    let new = NewSilence {
        matchers: vec!["host=~\"a|b\"".into()],
        starts_wall: None,
        ends_wall: T0 + 60 * S,
        author: "ann".into(),
        comment: "deploy".into(),
    };
    world.write(|tx| Ok(silence::add(tx, new, T0 + 2 * S).expect("right")));
    world.open(&second, T0 + 3 * S);
    world.close(&first, T0 + 5 * S);
    world.fine(3, 120);
    // What was told as firing is told as over; what is silenced is told when the silence ends.
    assert_eq!(world.told(), ["0 ops e1+", "5 ops e1-", "63 ops e2+"]);
    let why = world.why_not("e2");
    assert!(why.len() == 1 && why[0].contains("of ann until") && why[0].ends_with("deploy"), "{why:?}");
}

#[test]
fn an_inhibited_alert_is_told_when_its_cause_is_over_and_its_end_only_if_it_was() {
    let mut world = World::new(&format!("{PLAIN}
inhibit_rules: [{{name: worse, source_matchers: ['severity=critical'], target_matchers: ['severity=warning'], equal: [host]}}]
"));
    let cause = alert("c", "Down", "a", Severity::Critical);
    let (gone, stays) = (alert("e1", "X", "a", Severity::Warning), alert("e2", "Y", "a", Severity::Warning));
    let other = alert("e3", "X", "b", Severity::Warning);
    world.open(&cause, T0);
    world.fine(0, 1);
    for one in [&gone, &stays, &other] {
        world.open(one, T0 + 2 * S);
    }
    world.fine(2, 4);
    world.close(&gone, T0 + 5 * S);
    world.fine(5, 20);
    world.close(&cause, T0 + 21 * S);
    world.fine(21, 60);
    assert_eq!(world.told(), ["0 ops c+", "2 ops e3+", "21 ops c-", "22 ops e2+"]);
    assert!(
        world.why_not("e1")[0].contains("inhibited by Down (c) through the rule 'worse'"),
        "{:?}",
        world.why_not("e1")
    );
    assert!(world.why_not("e3").is_empty());
}

#[test]
fn a_muted_route_tells_when_the_window_ends() {
    let minute = |ns: i64| {
        let text = crate::notify::message::time_text(ns);
        text[11..16].to_owned()
    };
    let mut world = World::new(&format!(
        "
route: {{receiver: ops, group_by: ['...'], group_wait: 0s, mute_time_intervals: [now]}}
receivers: [{{name: ops, webhook: [{{url: 'https://ops.example/'}}]}}]
time_intervals: [{{name: now, time_intervals: [{{times: [{{start_time: '{}', end_time: '{}'}}]}}]}}]
",
        minute(T0),
        minute(T0 + 180 * S)
    ));
    world.open(&alert("e1", "X", "a", Severity::Critical), T0);
    world.fine(0, 300);
    assert_eq!(world.sent.len(), 1);
    assert!((100..=190).contains(&world.sent[0].0), "{:?}", world.told());
    assert!(world.why_not("e1")[0].starts_with("muted: route 0 is muted by 'now' until"), "{:?}", world.why_not("e1"));
}

#[test]
fn a_muted_rule_is_quiet_at_its_own_times_and_its_end_is_not() {
    let mut world = World::new(
        "
route: {receiver: ops, group_by: ['...'], group_wait: 0s, group_interval: 1s}
receivers: [{name: ops, webhook: [{url: 'https://ops.example/'}]}]
time_intervals: [{name: freeze, time_intervals: [{years: ['2000:2100']}]}]
",
    );
    let loud = alert("e1", "X", "a", Severity::Critical);
    let mut quiet = alert("e2", "Y", "a", Severity::Critical);
    quiet.extra.mute = vec!["freeze".to_owned()];
    world.open(&loud, T0);
    world.open(&quiet, T0);
    world.fine(0, 60);
    assert_eq!(world.told(), ["0 ops e1+"]);
    assert_eq!(world.why_not("e2"), ["muted: its rule is muted by 'freeze'"]);
    // Nobody heard of it, so nobody hears of its end.
    world.close(&quiet, T0 + 70 * S);
    world.close(&loud, T0 + 70 * S);
    world.fine(70, 100);
    assert_eq!(world.told(), ["0 ops e1+", "70 ops e1-"]);
}

const ESCALATING: &str = "
route: {receiver: ops, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 5m, escalate: [{after: 10m, unless: acked, receiver: boss}]}
receivers:
  - {name: ops, webhook: [{url: 'https://ops.example/'}]}
  - {name: boss, webhook: [{url: 'https://boss.example/'}]}
";

#[test]
fn nobody_acknowledges_so_the_boss_hears_of_it_and_of_its_end() {
    let mut world = World::new(ESCALATING);
    let one = alert("e1", "X", "a", Severity::Critical);
    world.open(&one, T0);
    world.fine(0, 650);
    world.close(&one, T0 + 651 * S);
    world.fine(651, 700);
    let told = world.told();
    assert!(told.contains(&"600 boss e1+".to_owned()), "{told:?}");
    assert!(told.contains(&"651 boss e1-".to_owned()) && told.contains(&"651 ops e1-".to_owned()), "{told:?}");
    assert_eq!(world.sent.iter().filter(|sent| sent.3 == RowKind::Escalation).count(), 2);
}

#[test]
fn who_acknowledges_hears_no_repetition_until_it_gets_worse() {
    let mut world = World::new(ESCALATING);
    let one = alert("e1", "X", "a", Severity::Warning);
    world.open(&one, T0);
    world.fine(0, 5);
    let ack =
        Ack { by: "ann".into(), wall: T0 + 6 * S, comment: String::new(), severity: Severity::Info, until_wall: None };
    assert!(world.write(|tx| operate::ack(tx, Some(&world.routing), "e1", ack)));
    world.fine(6, 1_000);
    assert_eq!(world.told(), ["0 ops e1+"]);
    assert!(world.why_not("e1").iter().any(|why| why.contains("ann has it in hand")));
    world.event(&Episode { severity: Severity::Critical, ..one }, Event::Changed, T0 + 1_001 * S);
    world.fine(1_001, 1_400);
    assert_eq!(world.told()[1..], ["1001 ops e1+", "1301 ops e1+"]);
}

#[test]
fn what_flaps_is_said_once_and_then_when_it_is_stable() {
    let mut world = World::new(PLAIN);
    let mut now = 0;
    for i in 0..10 {
        let mut one = alert(&format!("e{i}"), "X", "a", Severity::Warning);
        one.extra.every_ns = 10 * S;
        world.open(&one, T0 + now * S);
        world.fine(now, now + 9);
        if i < 9 {
            world.close(&one, T0 + (now + 10) * S);
        }
        world.fine(now + 10, now + 19);
        now += 20;
    }
    let before = world.sent.len();
    assert!(before <= 5, "{:?}", world.told());
    let why: Vec<String> = (2..10).flat_map(|i| world.why_not(&format!("e{i}"))).collect();
    assert!(why.iter().any(|why| why.starts_with("flapping: flapping: ")), "{why:?}");
    world.fine(now, now + 400);
    let told = world.told();
    let last = told.last().expect("it is told");
    assert!(last.ends_with("e9+"), "it fires since it is stable: {told:?}");
    assert!(world.sent.len() <= before + 3, "{told:?}");
}

#[test]
fn ten_thousand_alerts_are_one_digest_a_minute_and_every_critical() {
    let mut world = World::new(
        "
route: {receiver: ops, group_by: ['...'], group_wait: 0s, routes: [{matchers: ['severity=critical'], receiver: pager, group_by: ['...'], group_wait: 0s}]}
receivers:
  - {name: ops, webhook: [{url: 'https://ops.example/'}]}
  - {name: pager, webhook: [{url: 'https://pager.example/'}]}
storm: {threshold: 50 episodes per 1m, digest_by: [host], always_pass: ['severity=critical']}
",
    );
    let mut criticals = BTreeSet::new();
    for second in (0..60).step_by(6) {
        world.write(|tx| {
            let mut placer = group::Placer::new(tx, &world.routing, T0 + second * S);
            for i in 0..1_000 {
                let severity = if i % 500 == 0 { Severity::Critical } else { Severity::Warning };
                let id = format!("e{second}-{i}");
                if i % 500 == 0 {
                    criticals.insert(id.clone());
                }
                let mut one = alert(&id, "X", &id, severity);
                placer.place(&mut one, Event::Opened)?;
                tx.put(EPISODES, &id, &one)?;
            }
            placer.finish()
        });
        world.fine(second, second);
    }
    for at in [60, 65, 70, 100, 125, 130] {
        world.fine(at, at);
    }
    let digests: Vec<i64> = world.sent.iter().filter(|s| s.3 == RowKind::Storm).map(|s| s.0).collect();
    assert!(digests.windows(2).all(|pair| pair[1] - pair[0] >= 60) && digests.len() >= 2, "{digests:?}");
    for (at, to, told, _) in world.sent.iter().filter(|sent| sent.1 == "pager") {
        let (id, _) = &told[0];
        let born: i64 = id[1..].split('-').next().and_then(|s| s.parse().ok()).expect("a second");
        assert!(at - born < 30, "{id} was told to {to} at {at}");
        criticals.remove(id);
    }
    assert!(criticals.is_empty(), "{} criticals were not told", criticals.len());
    let plain = world.sent.iter().filter(|s| s.1 == "ops" && s.3 != RowKind::Storm).count();
    assert!(plain <= 50, "{plain} messages besides the digests");
}

const FALLING: &str = "
route: {receiver: pager, group_by: ['...'], group_wait: 0s, group_interval: 1s}
receivers:
  - {name: pager, webhook: [{url: 'https://pager.example/'}], fallback: {after: 2m, receiver: mail}}
  - {name: mail, webhook: [{url: 'https://mail.example/'}]}
";

#[test]
fn the_fallback_is_told_when_it_is_not_confirmed_and_of_the_end() {
    let mut world = World::new(FALLING);
    let one = alert("e1", "X", "a", Severity::Critical);
    world.open(&one, T0);
    let judge = |job: &Job| {
        if job.row.receiver == "pager" { Outcome::NoConnection("refused".into()) } else { ok() }
    };
    world.run(T0, T0 + 150 * S, judge);
    let told: Vec<String> = world.told().into_iter().filter(|told| told.contains("e1")).collect();
    assert_eq!(told, ["120 mail e1+"]);
    world.close(&one, T0 + 151 * S);
    world.run(T0 + 151 * S, T0 + 170 * S, judge);
    let told: Vec<String> = world.told().into_iter().filter(|told| told.contains("e1-")).collect();
    assert_eq!(told, ["151 mail e1-"]);
}

#[test]
fn what_is_given_up_goes_to_the_fallback_at_once_and_can_be_tried_again() {
    let mut world = World::new(FALLING);
    world.open(&alert("e1", "X", "a", Severity::Critical), T0);
    let gone = Outcome::Status { code: 404, retry_after_ns: None, body: String::new() };
    world.run(T0, T0 + 5 * S, |job| if job.row.receiver == "pager" { gone.clone() } else { ok() });
    assert!(world.told().contains(&"0 mail e1+".to_owned()), "{:?}", world.told());
    let dead = world.finished(RowState::Dead);
    assert_eq!(dead.len(), 1);
    assert!(world.write(|tx| operate::retry(tx, &dead[0].id, T0 + 10 * S)));
    assert!(!world.write(|tx| operate::retry(tx, "msg_none", T0)));
    world.fine(10, 12);
    assert!(world.told().contains(&"10 pager e1+".to_owned()), "{:?}", world.told());
}

#[test]
fn a_digest_collects_until_its_time_also_what_is_over() {
    let mut world = World::new(
        "
route: {receiver: team, group_by: ['...'], group_wait: 0s, group_interval: 1s}
receivers: [{name: team, webhook: [{url: 'https://team.example/', digest: {cron: '*/10 * * * *', location: Europe/Berlin}}]}]
",
    );
    let one = alert("e1", "X", "a", Severity::Info);
    world.open(&one, T0);
    world.fine(0, 5);
    world.close(&one, T0 + 6 * S);
    world.open(&alert("e2", "Y", "b", Severity::Info), T0 + 20 * S);
    world.fine(6, 1_000);
    // T0 is at 14:13:20: the next full ten minutes are 400 seconds away.
    assert_eq!(world.told(), ["400 team e1- e2+"]);
    assert_eq!(world.sent[0].3, RowKind::Digest);
}

#[test]
fn a_slow_channel_gets_one_digest_for_many() {
    let mut world = World::new(
        "
route: {receiver: ops, group_by: ['...'], group_wait: 0s}
receivers: [{name: ops, webhook: [{url: 'https://ops.example/', rate: 1/min}]}]
",
    );
    for i in 0..30 {
        world.open(&alert(&format!("e{i:02}"), &format!("X{i}"), "a", Severity::Warning), T0);
    }
    world.fine(0, 100);
    assert_eq!(world.sent.len(), 4, "{:?}", world.told());
    assert!(world.sent.iter().any(|sent| sent.3 == RowKind::Digest && sent.2.len() >= 25), "{:?}", world.told());
    let all: BTreeSet<&String> = world.sent.iter().flat_map(|sent| sent.2.iter().map(|(id, _)| id)).collect();
    assert_eq!(all.len(), 30, "nothing is lost");
}

#[test]
fn a_test_message_goes_to_every_channel_now() {
    let mut world = World::new(FALLING);
    let ids = world.write(|tx| operate::test(tx, &world.routing, "mail", T0)).expect("a receiver");
    assert_eq!(ids.len(), 1);
    assert!(world.write(|tx| operate::test(tx, &world.routing, "nobody", T0)).is_none());
    world.fine(0, 1);
    assert_eq!(world.sent[0].3, RowKind::Test);
    assert!(world.store.read(|view| view.scan(GROUPS, "")).expect("reads").is_empty());
}

#[test]
fn after_an_hour_away_every_group_is_told_its_last_state_once_and_slowly() {
    const GROUPS: usize = 20;
    let mut world = World::new(
        "
route: {receiver: chat, group_by: ['...'], group_wait: 0s, group_interval: 1s}
receivers: [{name: chat, webhook: [{url: 'https://chat.example/', rate: 1/s}]}]
",
    );
    let named = |i: usize| alert(&format!("e{i:02}"), &format!("X{i:02}"), "a", Severity::Critical);
    let alerts: Vec<Episode> = (0..GROUPS).map(named).collect();
    let answers = [
        Outcome::Status { code: 429, retry_after_ns: Some(30 * S), body: String::new() },
        Outcome::Status { code: 500, retry_after_ns: None, body: String::new() },
        // It hangs until it is given up.
        Outcome::Timeout,
        Outcome::NoConnection("refused".into()),
    ];
    let tries = std::cell::Cell::new(0);
    for minute in (0..60).step_by(6) {
        let now = T0 + minute * 60 * S;
        if minute == 0 {
            alerts.iter().for_each(|one| world.open(one, now));
        }
        for one in &alerts {
            world.event(&Episode { summary: format!("minute {minute}"), ..one.clone() }, Event::Changed, now);
        }
        world.run(now, now + 359 * S, |_| {
            tries.set(tries.get() + 1);
            answers[tries.get() % answers.len()].clone()
        });
    }
    for one in &alerts[GROUPS / 2..] {
        world.close(&Episode { summary: "minute 54".to_owned(), ..one.clone() }, T0 + 3_600 * S);
    }
    assert!(world.sent.is_empty());
    let texts = std::cell::RefCell::new(BTreeSet::new());
    world.run(T0 + 3_600 * S, T0 + 4_300 * S, |job| {
        texts.borrow_mut().extend(job.episodes.iter().map(|episode| episode.summary.clone()));
        ok()
    });
    // Nothing that was true once and is not any more.
    assert_eq!(texts.into_inner(), BTreeSet::from(["minute 54".to_owned()]));
    let mut last: Vec<String> = Vec::new();
    for (_, _, told, _) in &world.sent {
        last.extend(told.iter().map(|(id, firing)| format!("{id} {firing}")));
    }
    last.sort();
    // The ends are told as well: an attempt without an answer may have told of the beginnings.
    let wanted: Vec<String> = (0..GROUPS).map(|i| format!("e{i:02} {}", i < GROUPS / 2)).collect();
    assert_eq!(last, wanted);
    // One a second, and three at once after a pause.
    let times: Vec<i64> = world.sent.iter().map(|sent| sent.0).collect();
    for (i, from) in times.iter().enumerate() {
        let slow = times[i..].iter().zip(0..).all(|(at, after)| at - from >= after - 3);
        assert!(slow, "{times:?}");
    }
    // Attempts keep to the rate as well.
    assert!(tries.get() <= 60 * 60 + 3, "{} attempts in an hour", tries.get());
}

//! A canary line from the rule that finds it to the receiver that confirms it, and every way to be lost.

use logweir_runtime::secrets::Secret;

use super::*;
use crate::fixture::{S, T0, episode};
use crate::notify::outbox::{self, Sent};
use crate::notify::policy::Outcome;
use crate::route::Routing;
use crate::route::group::{self, Event};

const FILE_TEXT: &str = "
route: {receiver: ops, routes: [{receiver: ops, matchers: ['severity=\"info\"']}]}
receivers: [{name: ops, webhook: [{url: 'https://ops.example/'}]}, {name: test, webhook: [{url: 'https://test.example/'}]}]
storm: {threshold: 1 episodes per 1m}
canary: {every: 1m, receiver: test}
";

fn routing(text: &str) -> Result<Routing, String> {
    crate::route::file::load("alerting.yaml", text, &|_| None)
        .map_err(|problems| problems.iter().map(|p| format!("{p}\n")).collect())
}

struct World {
    _dir: tempfile::TempDir,
    store: Store,
    routing: Routing,
}

fn world() -> World {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("opens");
    World { _dir: dir, store, routing: routing(FILE_TEXT).expect("right") }
}

impl World {
    fn way(&self, after: i64) -> String {
        match self.store.read(|view| follow(view, "7", T0, T0 + after * S)).expect("reads") {
            Way::Under => "under way".to_owned(),
            Way::Through { wall } => format!("through after {} s", (wall - T0) / S),
            Way::Lost { reason } => reason,
        }
    }

    /// The rule found it.
    fn found(&self, now: i64) {
        let mut found = episode("01C");
        found.rule = ALERT_NAME.to_owned();
        found.labels = [("alertname".to_owned(), ALERT_NAME.to_owned()), ("canary".to_owned(), "7".to_owned())].into();
        found.instance = [("canary".to_owned(), "7".to_owned())].into();
        let write = self.store.write(|tx| {
            group::place(tx, &self.routing, &mut found, Event::Opened, now)?;
            tx.put(EPISODES, "01C", &found)?;
            group::flush(tx, &self.routing, now)
        });
        write.expect("writes");
    }

    fn over(&self, now: i64) {
        let write = self.store.write(|tx| {
            let mut over = tx.get(EPISODES, "01C")?.expect("is there");
            (over.closed_at, over.closed_wall) = (Some(now), Some(now));
            group::place(tx, &self.routing, &mut over, Event::Closed, now)?;
            tx.put(EPISODES, "01C", &over)?;
            group::flush(tx, &self.routing, now + S)
        });
        write.expect("writes");
    }

    fn answered(&self, outcome: Outcome, now: i64) {
        let write = self.store.write(|tx| {
            let claimed = outbox::claim(tx, &self.routing, &mut outbox::Gate::default(), now)?;
            assert_eq!(claimed.jobs.len(), 1);
            let sent: Sent = outcome.clone().into();
            outbox::settle(tx, &self.routing, &claimed.jobs[0], &sent, now)
        });
        write.expect("writes");
    }
}

#[test]
fn a_line_is_through_when_its_receiver_says_so_and_lost_where_it_got_stuck() {
    let status = |code| Outcome::Status { code, retry_after_ns: None, body: String::new() };
    let world = world();
    assert_eq!(world.way(5), "under way");
    assert_eq!(world.way(121), "the canary line is lost: no rule found it");
    world.found(T0 + 3 * S);
    // Only the receiver of the canary is told, also in a storm.
    let rows = world.store.read(|view| view.scan(OUTBOX, "")).expect("reads");
    assert_eq!(rows.iter().map(|(_, row)| row.receiver.as_str()).collect::<Vec<_>>(), ["test"]);
    assert_eq!(world.way(6), "under way");
    assert_eq!(world.way(121), "the canary line is lost: its message does not arrive");
    world.answered(status(200), T0 + 8 * S);
    assert_eq!(world.way(9), "through after 8 s");
    // It stays while it fires, and is gone when its end is told.
    let sweep = || world.store.write(super::sweep).expect("writes");
    let left = || world.store.read(|view| Ok((view.scan(EPISODES, "")?.len(), view.scan(FINISHED, "")?.len())));
    sweep();
    assert_eq!(left().expect("reads"), (1, 1));
    world.over(T0 + 40 * S);
    sweep();
    assert_eq!(left().expect("reads"), (1, 1), "its end is not told yet");
    world.answered(status(200), T0 + 42 * S);
    world.store.write(|tx| group::flush(tx, &world.routing, T0 + 60 * S)).expect("writes");
    sweep();
    assert_eq!(left().expect("reads"), (0, 0));

    let world = self::world();
    world.found(T0 + 3 * S);
    world.answered(status(400), T0 + 4 * S);
    assert_eq!(world.way(6), "the canary line is lost: its message was given up");
}

#[test]
fn a_lost_line_stops_our_heartbeat_until_one_comes_through() {
    let live = Live::new("http://l.example", Secret::new("k"));
    live.release();
    live.note_round(T0);
    let line = Line { id: "7".to_owned(), written_wall: T0 };
    assert!(!note(&live, &line, Way::Under));
    assert_eq!(live.unhealthy(T0), None);
    assert!(note(&live, &line, Way::Lost { reason: "it is lost".to_owned() }));
    assert_eq!(live.unhealthy(T0).as_deref(), Some("it is lost"));
    assert!(note(&live, &line, Way::Through { wall: T0 + S }));
    assert_eq!(live.unhealthy(T0), None);
}

#[test]
fn the_key_of_the_file_is_checked_and_brings_its_rule() {
    let wrong = FILE_TEXT.replace("receiver: test}", "receiver: tset, evry: 1m}");
    expect_test::expect![[r#"
        alerting.yaml:5:31: there is no receiver 'tset' (did you mean 'test'?)
        alerting.yaml:5:37: unknown key 'evry' in canary (did you mean 'every'?)
    "#]]
    .assert_eq(&routing(&wrong).expect_err("wrong"));
    let set = crate::check::rules(&[(FILE.to_owned(), RULES.to_owned())]).unwrap_or_else(|p| panic!("{p:?}"));
    assert!(set.rule(ALERT_NAME).is_some());
}

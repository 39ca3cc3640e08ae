//! The outbox over crashes, failures and ends: nothing lost, nothing told twice that need not be.

use logweir_rules::model::Labels;

use super::failing::{ALERT_NAME, FAILING_AFTER_NS};
use super::*;
use crate::fixture::{S, T0, episode};
use crate::route::file;
use crate::route::group::{self, Event};
use crate::state::store::{GROUPS, HEALTH, Store};

const ROUTING: &str = r#"
route: {receiver: ops, group_by: [alertname], group_wait: 0s, group_interval: 10s, repeat_interval: 1h}
receivers:
  - {name: ops, webhook: [{url: 'https://ops.example/'}]}
  - {name: other, webhook: [{url: 'https://other.example/'}]}
"#;

struct World {
    dir: tempfile::TempDir,
    store: Store,
    routing: Routing,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path()).expect("opens");
        let routing = file::load("alerting.yaml", ROUTING, &|_| None).unwrap_or_else(|p| panic!("{p:?}"));
        World { dir, store, routing }
    }

    /// The process ends and begins again.
    fn restart(self, now: i64) -> World {
        let World { dir, store, routing } = self;
        drop(store);
        let store = Store::open(dir.path()).expect("opens");
        store.write(|tx| recover(tx, now)).expect("recovers");
        World { dir, store, routing }
    }

    fn event(&self, episode: &Episode, event: Event, now: i64) {
        let mut episode = episode.clone();
        let write = self.store.write(|tx| {
            if let Some(old) = tx.get(EPISODES, &episode.id)? {
                episode.groups = old.groups;
            }
            group::place(tx, &self.routing, &mut episode, event, now)?;
            tx.put(EPISODES, &episode.id, &episode)
        });
        write.expect("writes");
    }

    fn claim(&self, now: i64) -> Vec<Job> {
        let write = self.store.write(|tx| {
            group::flush(tx, &self.routing, now)?;
            claim(tx, &self.routing, &mut Gate::default(), now)
        });
        write.expect("claims").jobs
    }

    fn settle(&self, job: &Job, outcome: &Outcome, now: i64) -> Verdict {
        self.store.write(|tx| settle(tx, &self.routing, job, &outcome.clone().into(), now)).expect("settles")
    }

    fn finished(&self) -> Vec<RowState> {
        let rows = self.store.read(|view| view.scan(FINISHED, "")).expect("reads");
        rows.into_iter().map(|(_, row)| row.state).collect()
    }
}

fn closed(mut episode: Episode, at: i64) -> Episode {
    episode.closed_at = Some(at);
    episode
}

fn status(code: u16) -> Outcome {
    Outcome::Status { code, retry_after_ns: None, body: String::new() }
}

fn none() -> Outcome {
    Outcome::NoConnection("refused".into())
}

#[test]
fn a_crash_between_sending_and_recording_sends_again_under_the_same_id() {
    let world = World::new();
    world.event(&episode("e1"), Event::Opened, T0);
    let first = world.claim(T0).pop().expect("a message");
    // The message left, the process died before it could note that.
    let world = world.restart(T0 + S);
    let again = world.claim(T0 + S).pop().expect("the message is not lost");
    assert_eq!((first.row.id.as_str(), again.row.attempts), (again.row.id.as_str(), 2));
    assert_eq!(world.settle(&again, &status(200), T0 + S), Verdict::Sent);
    assert!(world.claim(T0 + 2 * S).is_empty());
    let world = world.restart(T0 + 3 * S);
    assert!(world.claim(T0 + 3 * S).is_empty(), "a restart repeats nothing that arrived");
    assert_eq!(world.finished(), [RowState::Sent]);
}

#[test]
fn what_may_have_arrived_and_is_over_by_now_is_told_under_another_id() {
    let world = World::new();
    world.event(&episode("e1"), Event::Opened, T0);
    let first = world.claim(T0).pop().expect("a message");
    // It arrived, the process died before it could note that, and the alert ended before the message was sent again.
    let world = world.restart(T0 + S);
    world.event(&closed(episode("e1"), T0 + 2 * S), Event::Closed, T0 + 2 * S);
    let again = world.claim(T0 + 2 * S).pop().expect("the end");
    assert!(!again.episodes[0].is_firing());
    assert_ne!(first.row.id, again.row.id, "whoever has the first takes the end for something else");
    // The same over another crash, because it says the same.
    let world = world.restart(T0 + 3 * S);
    let third = world.claim(T0 + 3 * S).pop().expect("the end");
    assert_eq!(again.row.id, third.row.id);
    assert_eq!(world.settle(&third, &status(200), T0 + 3 * S), Verdict::Sent);
    assert!(world.claim(T0 + 60 * S).is_empty(), "told once");
}

#[test]
fn an_end_that_may_have_arrived_is_not_told_under_a_second_id_when_the_group_is_due() {
    let world = World::new();
    world.event(&episode("e1"), Event::Opened, T0);
    world.claim(T0);
    let world = world.restart(T0 + S);
    world.event(&closed(episode("e1"), T0 + 2 * S), Event::Closed, T0 + 2 * S);
    let end = world.claim(T0 + 2 * S).pop().expect("the end, before the group is due");
    // It arrived, the process died again, and now the group tells of the end as well.
    let world = world.restart(T0 + 11 * S);
    let again = world.claim(T0 + 12 * S).pop().expect("the end");
    assert_eq!(end.row.id, again.row.id);
    assert_eq!(world.settle(&again, &status(200), T0 + 12 * S), Verdict::Sent);
    assert!(world.claim(T0 + 60 * S).is_empty(), "told once");
}

#[test]
fn a_crash_at_every_moment_loses_no_message() {
    for crash_after in 0..4 {
        let mut world = World::new();
        world.event(&episode("e1"), Event::Opened, T0);
        if crash_after == 0 {
            world = world.restart(T0);
        }
        let mut jobs = world.claim(T0);
        if crash_after == 1 {
            world = world.restart(T0);
            jobs = world.claim(T0);
        }
        world.settle(&jobs[0], &status(503), T0);
        if crash_after == 2 {
            world = world.restart(T0);
        }
        let jobs = world.claim(T0 + 5 * S);
        assert_eq!(jobs.len(), 1, "crash after {crash_after}");
        if crash_after == 3 {
            world = world.restart(T0);
        }
        let jobs = if crash_after == 3 { world.claim(T0 + 5 * S) } else { jobs };
        world.settle(&jobs[0], &status(200), T0 + 5 * S);
        assert_eq!(world.finished(), [RowState::Sent], "crash after {crash_after}");
    }
}

#[test]
fn a_resolve_is_sent_only_to_whom_the_firing_was() {
    // Nobody could be reached: fired and resolved, nothing is sent.
    let world = World::new();
    world.event(&episode("e1"), Event::Opened, T0);
    let job = world.claim(T0).pop().expect("a message");
    world.settle(&job, &none(), T0);
    world.event(&closed(episode("e1"), T0 + 5 * S), Event::Closed, T0 + 5 * S);
    assert!(world.claim(T0 + 20 * S).is_empty());
    let finished = world.finished();
    assert!(finished.len() == 2 && finished.contains(&RowState::Superseded) && finished.contains(&RowState::Dropped));

    // It may have arrived: the resolve is sent.
    let world = World::new();
    world.event(&episode("e1"), Event::Opened, T0);
    let job = world.claim(T0).pop().expect("a message");
    world.settle(&job, &Outcome::Timeout, T0);
    world.event(&closed(episode("e1"), T0 + 5 * S), Event::Closed, T0 + 5 * S);
    let job = world.claim(T0 + 20 * S).pop().expect("the resolve");
    assert!(!job.episodes[0].is_firing());
    assert_eq!(world.settle(&job, &status(200), T0 + 20 * S), Verdict::Sent);

    // Fired and resolved within group_wait: nobody heard, nobody hears.
    let world = World::new();
    let mut slow = world.routing.clone();
    slow.root.group_wait_ns = 30 * S;
    let world = World { routing: slow, ..world };
    world.event(&episode("e1"), Event::Opened, T0);
    assert!(world.claim(T0 + 10 * S).is_empty());
    world.event(&closed(episode("e1"), T0 + 11 * S), Event::Closed, T0 + 11 * S);
    assert!(world.claim(T0 + 60 * S).is_empty() && world.finished().is_empty());
}

#[test]
fn a_receiver_that_was_away_gets_what_is_true_now() {
    let world = World::new();
    world.event(&episode("e1"), Event::Opened, T0);
    let mut now = T0;
    for i in 2..6 {
        for job in world.claim(now) {
            world.settle(&job, &none(), now);
        }
        world.event(&episode(&format!("e{i}")), Event::Opened, now);
        now += 10 * S;
    }
    // Everything that waits is one message, made of the episodes as they are now.
    let mut changed = episode("e1");
    changed.summary = "it got worse".into();
    world.event(&changed, Event::Changed, now);
    now += 600 * S;
    let jobs = world.claim(now);
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].episodes.len(), 5);
    assert!(jobs[0].episodes.iter().any(|episode| episode.summary == "it got worse"));
    world.settle(&jobs[0], &status(200), now);
    assert!(world.claim(now + S).is_empty());
}

#[test]
fn one_message_at_a_time_and_an_end_is_told_once() {
    let world = World::new();
    world.event(&episode("e1"), Event::Opened, T0);
    let job = world.claim(T0).pop().expect("a message");
    world.event(&episode("e2"), Event::Opened, T0 + S);
    let mut gate = Gate::default();
    gate.take(&job.channel_key(), &job.channel, T0);
    let claimed = world.store.write(|tx| {
        group::flush(tx, &world.routing, T0 + 11 * S)?;
        claim(tx, &world.routing, &mut gate, T0 + 11 * S)
    });
    assert!(claimed.expect("claims").jobs.is_empty(), "the channel is busy");
    world.settle(&job, &status(200), T0 + 11 * S);
    let job = world.claim(T0 + 11 * S).pop().expect("the second message");
    assert_eq!(job.episodes.len(), 2);
    world.settle(&job, &status(200), T0 + 11 * S);
    world.event(&closed(episode("e1"), T0 + 12 * S), Event::Closed, T0 + 12 * S);
    world.event(&closed(episode("e2"), T0 + 12 * S), Event::Closed, T0 + 12 * S);
    let job = world.claim(T0 + 22 * S).pop().expect("the resolve");
    assert!(job.episodes.iter().all(|episode| !episode.is_firing()));
    world.settle(&job, &status(200), T0 + 22 * S);
    assert!(world.claim(T0 + 7200 * S).is_empty(), "what ended is not repeated");
    assert!(world.store.read(|view| view.scan(GROUPS, "")).expect("reads").is_empty());
}

#[test]
fn what_goes_on_is_repeated_with_a_new_id() {
    let world = World::new();
    world.event(&episode("e1"), Event::Opened, T0);
    let first = world.claim(T0).pop().expect("a message");
    world.settle(&first, &status(200), T0);
    assert!(world.claim(T0 + 3599 * S).is_empty());
    let second = world.claim(T0 + 3600 * S).pop().expect("the repetition");
    assert_ne!(first.row.id, second.row.id);
}

#[test]
fn a_failing_channel_is_told_to_the_others_and_its_end_too() {
    let world = World::new();
    world.event(&episode("e1"), Event::Opened, T0);
    let mut now = T0;
    // It is retried for two minutes before anybody else is bothered.
    while now - T0 <= FAILING_AFTER_NS + 300 * S {
        for job in world.claim(now) {
            if job.row.receiver == "other" {
                assert_eq!(job.episodes[0].rule, ALERT_NAME);
                assert_eq!(job.episodes[0].labels["receiver"], "ops");
                assert!(now - T0 >= FAILING_AFTER_NS);
                world.settle(&job, &status(200), now);
            } else {
                world.settle(&job, &none(), now);
            }
        }
        now += S;
    }
    let health = world.store.read(|view| view.get(HEALTH, "ops/webhook[0]")).expect("reads").expect("it fails");
    assert!(health.episode.is_some());
    now += 600 * S;
    let job = world.claim(now).into_iter().find(|job| job.row.receiver == "ops").expect("still tried");
    world.settle(&job, &status(200), now);
    let job = world.claim(now + 600 * S).into_iter().find(|job| job.row.receiver == "other").expect("the end is told");
    assert!(!job.episodes[0].is_firing());
}

#[test]
fn a_refused_message_is_dead_with_its_reason_and_announced_at_once() {
    let world = World::new();
    world.event(&episode("e1"), Event::Opened, T0);
    let job = world.claim(T0).pop().expect("a message");
    let refused = Outcome::Status { code: 404, retry_after_ns: None, body: "no_service".into() };
    assert_eq!(world.settle(&job, &refused, T0), Verdict::Dead { reason: "answered 404: no_service".into() });
    assert_eq!(world.finished(), [RowState::Dead]);
    let jobs = world.claim(T0 + S);
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].row.receiver, "other");
}

#[test]
fn a_receiver_that_was_removed_does_not_block_the_outbox() {
    let mut world = World::new();
    world.event(&episode("e1"), Event::Opened, T0);
    world.store.write(|tx| group::flush(tx, &world.routing, T0)).expect("flushes");
    world.routing.receivers.retain(|receiver| receiver.name != "ops");
    assert!(world.claim(T0).is_empty());
    assert_eq!(world.finished(), [RowState::Dead]);
}

#[test]
fn old_records_are_dropped_and_open_ones_stay() {
    let world = World::new();
    let mut old = closed(episode("old"), T0);
    old.closed_wall = Some(T0);
    world.event(&episode("open"), Event::Opened, T0);
    let write = world.store.write(|tx| {
        tx.put(EPISODES, "old", &old)?;
        tx.put(TOLD, "old\0x", &Told::Sent)?;
        housekeep(tx, T0 + EPISODE_KEEP_NS + S)
    });
    write.expect("writes");
    let left = world.store.read(|view| Ok((view.scan(EPISODES, "")?, view.scan(TOLD, "")?))).expect("reads");
    assert_eq!(left.0.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["open"]);
    assert!(left.1.is_empty());
}

#[test]
fn ids_are_the_same_for_everybody_and_different_for_everything() {
    let group = NotifyGroup { seq: 1, ..NotifyGroup::new("k".into(), "ops", Labels::new(), T0) };
    let id = message_id("ops", "webhook[0]", &group);
    assert_eq!(id, message_id("ops", "webhook[0]", &group));
    assert_ne!(id, message_id("ops", "webhook[1]", &group));
    assert_ne!(id, message_id("ops", "webhook[0]", &NotifyGroup { seq: 2, ..group }));
}

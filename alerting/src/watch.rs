//! Watching the watcher: what fires, what is owed, what cannot be evaluated, as metrics; and what is wrong with Logweir
//! itself, as alerts that no rule file has to name.

mod told;
mod trouble;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use logweir_rules::model::{RuleSet, SEVERITIES};
use logweir_runtime::clock::Clock;
use logweir_runtime::drain::Drain;

use crate::hygiene;
use crate::notify::outbox::quiet;
use crate::service::Live;
use crate::source::{HostMark, Shared};
use crate::state::store::{EPISODES, FINISHED, OUTBOX, SILENCES, Store, StoreError, View};
use crate::state::{Episode, RowState};
use told::Told;
use trouble::Seen;

/// How often the metrics are set.
const EVERY: Duration = Duration::from_secs(5);

/// How often receivers are looked at that were not told of anything for long.
const QUIET_EVERY_NS: i64 = 600 * 1_000_000_000;

/// Hosts whose lag is a figure.
const HOSTS_MEASURED_MAX: usize = 500;

/// Looks at everything until the drain.
pub(crate) struct Watcher {
    store: Store,
    live: Arc<Live>,
    source: Shared,
    clock: Clock,
    /// The rules of which the store knows that they are in force.
    noted: Option<Arc<RuleSet>>,
    told: Told,
    started_wall: i64,
    /// When quiet receivers are looked at again.
    quiet_wall: i64,
}

impl Watcher {
    pub(crate) fn new(store: Store, live: Arc<Live>, source: Shared, clock: Clock) -> Watcher {
        let started_wall = clock.now_ns();
        Watcher { store, live, source, clock, noted: None, told: Told::new(started_wall), started_wall, quiet_wall: 0 }
    }

    pub(crate) async fn run(mut self, drain: Drain) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = drain.cancelled() => return,
            }
            if let Err(error) = self.look().await {
                tracing::error!(error = %error, "cannot look after the alert store");
            }
        }
    }

    /// Sets the gauges, notes which rules are in force, and tells what is wrong with Logweir itself.
    pub(crate) async fn look(&mut self) -> Result<(), StoreError> {
        let (rules, now_wall) = (self.live.rules(), self.clock.now_ns());
        if self.noted.as_ref().is_none_or(|old| !Arc::ptr_eq(old, &rules)) {
            let set = Arc::clone(&rules);
            self.store.write_async(move |tx| hygiene::note_rules(tx, &set, now_wall)).await?;
            self.noted = Some(Arc::clone(&rules));
        }
        metrics::gauge!("logweir_rules").set(rules.rules().count() as f64);
        metrics::gauge!("logweir_rules_failing").set(self.live.failing() as f64);
        let routing = self.live.routing();
        let names = routing.as_ref().map(|routing| routing.receivers.iter().map(|one| one.name.clone()).collect());
        let names: Vec<String> = names.unwrap_or_default();
        self.store.read_async(move |view| measure(view, names, now_wall)).await?;
        if let Some(routing) = routing.clone().filter(|_| now_wall >= self.quiet_wall) {
            self.quiet_wall = now_wall.saturating_add(QUIET_EVERY_NS);
            let tested = self.store.write_async(move |tx| quiet::test_due(tx, &routing, now_wall)).await?;
            if !tested.is_empty() {
                tracing::info!(receivers = tested.join(", "), "receivers that were quiet for long are tested");
                self.live.wake.notify_one();
            }
        }
        let seen = Seen {
            marks: self.source.0.hosts(),
            health: self.source.0.health(),
            statuses: self.live.statuses(),
            rules,
        };
        measure_lags(&seen.marks, now_wall);
        self.live.set_stalled(trouble::stalled(&seen, self.started_wall, now_wall));
        if self.told.update(&self.store, routing, &seen, now_wall).await? {
            self.live.wake.notify_one();
        }
        Ok(())
    }
}

/// How far behind the present each host is that has sources.
fn measure_lags(marks: &[HostMark], now_wall: i64) {
    for mark in marks.iter().take(HOSTS_MEASURED_MAX) {
        let Some(lag_ns) = mark.watermark_ns.map(|watermark| now_wall.saturating_sub(watermark)) else { continue };
        let lag_s = lag_ns.max(0) as f64 / 1e9;
        metrics::gauge!("logweir_watermark_lag_seconds", "host" => mark.host.clone()).set(lag_s);
    }
}

/// How much is owed to a receiver.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Owed {
    messages: usize,
    oldest_s: f64,
}

fn owed(view: &View, receivers: Vec<String>, now_wall: i64) -> Result<BTreeMap<String, Owed>, StoreError> {
    let mut all: BTreeMap<String, Owed> = receivers.into_iter().map(|name| (name, Owed::default())).collect();
    for (_, row) in view.scan(OUTBOX, "")? {
        let owed = all.entry(row.receiver).or_default();
        owed.messages += 1;
        owed.oldest_s = owed.oldest_s.max(now_wall.saturating_sub(row.owed_since_wall).max(0) as f64 / 1e9);
    }
    Ok(all)
}

fn measure(view: &View, receivers: Vec<String>, now_wall: i64) -> Result<(), StoreError> {
    for (receiver, owed) in owed(view, receivers, now_wall)? {
        metrics::gauge!("logweir_outbox_messages", "receiver" => receiver.clone()).set(owed.messages as f64);
        metrics::gauge!("logweir_outbox_oldest_seconds", "receiver" => receiver).set(owed.oldest_s);
    }
    let episodes: Vec<Episode> = view.scan(EPISODES, "")?.into_iter().map(|(_, episode)| episode).collect();
    for (name, severity) in SEVERITIES {
        let firing = episodes.iter().filter(|episode| episode.is_firing() && episode.severity == severity).count();
        metrics::gauge!("logweir_alerts_firing", "severity" => name).set(firing as f64);
    }
    let dead = view.scan(FINISHED, "")?.iter().filter(|(_, row)| row.state == RowState::Dead).count();
    metrics::gauge!("logweir_notifications_dead").set(dead as f64);
    let active = |silence: &crate::state::Silence| silence.state(now_wall) == "active";
    let silences = view.scan(SILENCES, "")?.iter().filter(|(_, silence)| active(silence)).count();
    metrics::gauge!("logweir_silences_active").set(silences as f64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

    use super::*;
    use crate::fixture::{S, T0};
    use crate::route::group::{self, Event};

    #[test]
    fn the_lag_of_each_host_is_a_figure() {
        let figures = Figures::default();
        let mark =
            |host: &str, watermark_ns| HostMark { host: host.to_owned(), heard_wall: T0, watermark_ns, passing: false };
        let mut marks = vec![
            mark("behind", Some(T0 - 90 * S)),
            mark("ahead", Some(T0 + 3 * S)),
            mark("idle", None),
            mark("half", Some(T0 - S / 2)),
        ];
        metrics::with_local_recorder(&figures, || measure_lags(&marks, T0));
        let name = |host: &str| format!("Key(logweir_watermark_lag_seconds, [host = {host}])");
        let want = [("ahead", 0.0), ("behind", 90.0), ("half", 0.5)].map(|(host, lag_s)| (name(host), lag_s));
        assert_eq!(figures.take(), BTreeMap::from(want), "a host without sources has no lag");
        marks = (0..HOSTS_MEASURED_MAX + 9).map(|i| mark(&format!("h{i}"), Some(T0))).collect();
        metrics::with_local_recorder(&figures, || measure_lags(&marks, T0));
        assert_eq!(figures.take().len(), HOSTS_MEASURED_MAX);
    }

    /// Gauges as they were set last.
    #[derive(Default)]
    struct Figures(Arc<Mutex<BTreeMap<String, f64>>>);

    struct Figure(String, Arc<Mutex<BTreeMap<String, f64>>>);

    impl Figures {
        fn take(&self) -> BTreeMap<String, f64> {
            std::mem::take(&mut *self.0.lock().expect("not poisoned"))
        }
    }

    impl metrics::GaugeFn for Figure {
        fn increment(&self, _: f64) {}

        fn decrement(&self, _: f64) {}

        fn set(&self, value: f64) {
            self.1.lock().expect("not poisoned").insert(self.0.clone(), value);
        }
    }

    impl Recorder for Figures {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::noop()
        }

        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(Arc::new(Figure(key.to_string(), Arc::clone(&self.0))))
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[test]
    fn what_is_owed_is_counted_by_receiver() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path()).expect("opens");
        let text = "route: {receiver: ops, group_wait: 0s}\nreceivers: [{name: ops, webhook: [{url: 'https://ops.example/'}]}, {name: idle}]\n";
        let routing = crate::route::file::load("alerting.yaml", text, &|_| None).unwrap_or_else(|p| panic!("{p:?}"));
        let write = store.write(|tx| {
            let mut episode = crate::fixture::episode("01E");
            group::place(tx, &routing, &mut episode, Event::Opened, T0)?;
            tx.put(EPISODES, "01E", &episode)?;
            group::flush(tx, &routing, T0)
        });
        write.expect("writes");
        let names = vec!["ops".to_owned(), "idle".to_owned()];
        let owed = store.read(|view| owed(view, names, T0 + 30 * S)).expect("reads");
        assert_eq!(owed["ops"], Owed { messages: 1, oldest_s: 30.0 });
        assert_eq!(owed["idle"], Owed::default());
    }
}

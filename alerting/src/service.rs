//! The service: wires the evaluator and the sender, reloads files when they change, and answers through a handle.

pub(crate) mod builtin;
mod commit;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use logweir_rules::model::{Group, LineTime, RuleSet};
use logweir_runtime::clock::Clock;
use logweir_runtime::drain::Drain;
use logweir_runtime::secrets::Secret;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::check::{self, Sources};
use crate::evaluate::{Draft, Evaluator};
use crate::handle::Handle;
use crate::notify::links::Signer;
use crate::notify::sender::Sender;
use crate::notify::{canary, heartbeat, outbox};
use crate::route::{Routing, outlook};
use crate::source::{QuerySource, Shared};
use crate::state::store::{CURSORS, KEYS, MARKS, Store, StoreError, Tx};
use crate::watch::Watcher;

/// How often the files are looked at.
pub const RELOAD_EVERY: Duration = Duration::from_secs(5);
/// While the past is caught up messages are held, but never longer than this.
pub const HOLD_MAX: Duration = Duration::from_secs(30);
/// Longest sleep of the scheduler.
const NAP_MAX: Duration = Duration::from_secs(1);
/// After an error of the store.
const STORE_RETRY: Duration = Duration::from_secs(2);
/// Where the store says since when there is anything to know.
const KNOWN_SINCE: &str = "known_since";
/// Rules that were not looked at for this long are not evaluated.
const EVALUATION_AGE_MAX_NS: i64 = 60 * 1_000_000_000;

/// Agents say by themselves this often how far idle sources are.
const MARKS_EVERY_NS: i64 = 5 * 1_000_000_000;

/// What the operator decides.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Directory of the store.
    pub data_dir: PathBuf,
    /// Rule files, or directories of them.
    pub rules: Vec<PathBuf>,
    /// Whether the shipped rules are in force too.
    pub library: bool,
    /// `alerting.yaml`; without it alerts are only listed.
    pub routing: Option<PathBuf>,
    /// Where people open the console, for links in messages.
    pub base_url: String,
}

/// What is known of the last evaluation of a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleStatus {
    /// Event time.
    pub last_at: Option<i64>,
    pub error: Option<String>,
    pub instances: usize,
    /// New instances that were refused because the rule has as many as it may.
    pub refused: usize,
}

/// What the parts share.
#[derive(Debug)]
pub struct Live {
    pub(crate) base_url: String,
    pub(crate) signer: Signer,
    pub(crate) wake: Notify,
    routing: RwLock<Option<Arc<Routing>>>,
    rules: RwLock<Arc<RuleSet>>,
    problems: RwLock<Vec<String>>,
    statuses: Mutex<BTreeMap<String, RuleStatus>>,
    /// Why rules cannot be evaluated at all now.
    pub(crate) broken: Mutex<Option<String>>,
    /// Why what is evaluated is not what happens: a group is late, or no lines arrive.
    stalled: Mutex<Option<String>>,
    /// Why the last canary line did not come through.
    canary: Mutex<Option<String>>,
    /// When rules were last evaluated.
    round_wall: AtomicI64,
    /// The commit of the rule files, when they are in a git checkout.
    commit: RwLock<Option<String>>,
    released: AtomicBool,
    /// Nothing is known of the time before.
    known_since: OnceLock<i64>,
    /// What opened and closed while messages were held, and since when.
    caught_up: Mutex<CaughtUp>,
}

/// Episodes that opened and closed while the past was evaluated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CaughtUp {
    pub(crate) opened: BTreeMap<String, (i64, String)>,
    pub(crate) over: BTreeMap<String, (i64, i64, String)>,
    /// Group, and the event times between which nothing was evaluated.
    pub(crate) skipped: BTreeMap<String, (i64, i64)>,
}

impl Live {
    pub(crate) fn new(base_url: &str, link_key: Secret) -> Live {
        Live {
            base_url: base_url.to_owned(),
            signer: Signer::new(base_url, link_key),
            stalled: Mutex::default(),
            canary: Mutex::default(),
            round_wall: AtomicI64::new(i64::MIN),
            commit: RwLock::default(),
            wake: Notify::new(),
            routing: RwLock::default(),
            rules: RwLock::default(),
            problems: RwLock::default(),
            statuses: Mutex::default(),
            broken: Mutex::default(),
            released: AtomicBool::new(false),
            known_since: OnceLock::new(),
            caught_up: Mutex::default(),
        }
    }

    pub(crate) fn routing(&self) -> Option<Arc<Routing>> {
        self.routing.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_routing(&self, routing: Option<Arc<Routing>>) {
        *self.routing.write().unwrap_or_else(PoisonError::into_inner) = routing;
    }

    pub(crate) fn rules(&self) -> Arc<RuleSet> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_rules(&self, rules: Arc<RuleSet>) {
        let mut statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        statuses.retain(|name, _| rules.rule(name).is_some());
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// What is wrong with the files that were last refused.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.problems.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_problems(&self, problems: Vec<String>) {
        metrics::gauge!("logweir_rules_problems").set(problems.len() as f64);
        *self.problems.write().unwrap_or_else(PoisonError::into_inner) = problems;
    }

    fn set_broken(&self, broken: Option<String>) {
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = broken;
    }

    pub(crate) fn set_stalled(&self, stalled: Option<String>) {
        *self.stalled.lock().unwrap_or_else(PoisonError::into_inner) = stalled;
    }

    pub(crate) fn set_canary(&self, lost: Option<String>) {
        *self.canary.lock().unwrap_or_else(PoisonError::into_inner) = lost;
    }

    pub(crate) fn status(&self, rule: &str) -> RuleStatus {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).get(rule).cloned().unwrap_or_default()
    }

    /// All rules that were evaluated or could not be.
    pub(crate) fn statuses(&self) -> BTreeMap<String, RuleStatus> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Rules whose last evaluation went wrong.
    pub(crate) fn failing(&self) -> usize {
        let statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        statuses.values().filter(|status| status.error.is_some()).count()
    }

    pub(crate) fn set_status(&self, rule: &str, change: impl FnOnce(&mut RuleStatus)) {
        let mut statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        change(statuses.entry(rule.to_owned()).or_default());
    }

    pub(crate) fn note_round(&self, now_wall: i64) {
        self.round_wall.store(now_wall, Ordering::Release);
    }

    pub(crate) fn commit(&self) -> Option<String> {
        self.commit.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_commit(&self, commit: Option<String>) {
        *self.commit.write().unwrap_or_else(PoisonError::into_inner) = commit;
    }

    /// While messages are held: what came and went.
    pub(crate) fn note_caught_up(&self, drafts: &[Draft]) {
        if self.may_send() {
            return;
        }
        let mut caught_up = self.caught_up.lock().unwrap_or_else(PoisonError::into_inner);
        for draft in drafts {
            match draft {
                Draft::Open(episode) => {
                    caught_up.opened.insert(episode.id.clone(), (episode.opened_at, episode.summary.clone()));
                }
                Draft::Close(close) => {
                    if let Some((from, summary)) = caught_up.opened.remove(&close.id) {
                        caught_up.over.insert(close.id.clone(), (from, close.at, summary));
                    }
                }
                Draft::Change(_) => {}
            }
        }
    }

    pub(crate) fn note_skipped(&self, group: &str, from: i64, to: i64) {
        let mut caught_up = self.caught_up.lock().unwrap_or_else(PoisonError::into_inner);
        caught_up.skipped.insert(group.to_owned(), (from, to));
    }

    pub(crate) fn take_caught_up(&self) -> CaughtUp {
        std::mem::take(&mut self.caught_up.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Why nobody should believe that rules are evaluated.
    pub(crate) fn unhealthy(&self, now_wall: i64) -> Option<String> {
        let broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let age_ns = now_wall.saturating_sub(self.round_wall.load(Ordering::Acquire));
        match broken {
            Some(reason) => Some(reason),
            None if !self.may_send() => Some("the past is not caught up".to_owned()),
            None if age_ns > EVALUATION_AGE_MAX_NS => Some("rules are not evaluated".to_owned()),
            None => {
                let stalled = self.stalled.lock().unwrap_or_else(PoisonError::into_inner).clone();
                stalled.or_else(|| self.canary.lock().unwrap_or_else(PoisonError::into_inner).clone())
            }
        }
    }

    pub(crate) fn known_since(&self) -> Option<i64> {
        self.known_since.get().copied()
    }

    pub(crate) fn may_send(&self) -> bool {
        self.released.load(Ordering::Acquire)
    }

    pub(crate) fn release(&self) {
        if !self.released.swap(true, Ordering::AcqRel) {
            self.wake.notify_one();
        }
    }
}

pub struct Service {
    settings: Settings,
    store: Store,
    source: Shared,
    live: Arc<Live>,
    clock: Clock,
    drain: Drain,
    evaluator: Evaluator,
    /// Hash of the files that were last read, right or wrong.
    seen: Option<blake3::Hash>,
}

impl Service {
    /// Opens the store and reads the files. Wrong files do not stop the process: nothing is evaluated until they are
    /// right, nothing that was firing is closed, and the mistakes are shown.
    pub fn build(
        settings: Settings,
        source: Arc<dyn QuerySource>,
        clock: Clock,
        drain: Drain,
    ) -> Result<(Service, Handle), StoreError> {
        let store = Store::open(&settings.data_dir)?;
        let now_wall = clock.now_ns();
        let recovered = store.write(|tx| outbox::recover(tx, now_wall))?;
        if recovered > 0 {
            tracing::warn!(recovered, "messages were under way when the process ended: they are sent again");
        }
        let key = store.write(link_key)?;
        let live = Arc::new(Live::new(&settings.base_url, key));
        let oldest = source.oldest_ns().unwrap_or(now_wall).min(now_wall);
        let known_since = store.write(|tx| known_since(tx, oldest))?;
        live.known_since.get_or_init(|| known_since);
        let evaluator = Evaluator::load(store.clone(), Arc::clone(&source), clock.clone(), Arc::clone(&live))?;
        let handle = Handle {
            store: store.clone(),
            live: Arc::clone(&live),
            clock: clock.clone(),
            source: Shared(Arc::clone(&source)),
            backtests: Arc::new(Semaphore::new(1)),
            started_wall: now_wall,
        };
        let source = Shared(source);
        Ok((Service { settings, store, source, live, clock, drain, evaluator, seen: None }, handle))
    }

    /// Runs until the drain.
    pub async fn run(mut self) -> Result<(), StoreError> {
        let sender = Sender::new(self.store.clone(), Arc::clone(&self.live), self.clock.clone());
        let sending = tokio::spawn(sender.run(self.drain.clone()));
        let (store, live, clock) = (self.store.clone(), Arc::clone(&self.live), self.clock.clone());
        let watcher = Watcher::new(self.store.clone(), Arc::clone(&self.live), self.source.clone(), self.clock.clone());
        let watching = tokio::spawn(watcher.run(self.drain.clone()));
        let testing =
            canary::run(store.clone(), Arc::clone(&live), self.source.clone(), clock.clone(), self.drain.clone());
        let testing = tokio::spawn(testing);
        let beating = tokio::spawn(heartbeat::run(store, live, clock, self.drain.clone()));
        let held_until = Instant::now() + HOLD_MAX;
        let mut next_reload = Instant::now();
        while !self.drain.is_cancelled() {
            if Instant::now() >= next_reload {
                next_reload = Instant::now() + RELOAD_EVERY;
                self.reload().await;
            }
            self.evaluator.start_due();
            let round = self.evaluator.outlook();
            if !round.behind || Instant::now() >= held_until {
                self.release().await?;
            }
            let wait_ns = round.next_wall.saturating_sub(self.clock.now_ns()).max(0);
            let nap = Duration::from_nanos(wait_ns as u64).min(NAP_MAX);
            tokio::select! {
                Some(ended) = self.evaluator.ended() => match ended {
                    Ok(()) => {
                        self.live.set_broken(None);
                        self.live.note_round(self.clock.now_ns());
                    }
                    Err(error) => {
                        tracing::error!(error = %error, "cannot evaluate rules");
                        self.live.set_broken(Some(error.to_string()));
                        tokio::time::sleep(STORE_RETRY).await;
                    }
                },
                () = tokio::time::sleep(nap) => {}
                () = self.drain.cancelled() => {}
            }
        }
        let _ = sending.await;
        let _ = beating.await;
        let _ = testing.await;
        let _ = watching.await;
        Ok(())
    }

    /// Messages may leave. What came and went meanwhile is told in one.
    async fn release(&mut self) -> Result<(), StoreError> {
        if self.live.may_send() {
            return Ok(());
        }
        let (caught_up, now_wall) = (self.live.take_caught_up(), self.clock.now_ns());
        let routing = self.live.routing();
        self.store.write_async(move |tx| builtin::caught_up(tx, routing.as_deref(), &caught_up, now_wall)).await?;
        self.live.release();
        Ok(())
    }

    /// Tells people that files are refused, or that they are right again.
    async fn tell_rejected(&self, problems: &[String]) {
        let (routing, now_wall) = (self.live.routing(), self.clock.now_ns());
        let problems = problems.to_vec();
        let told = move |tx: &Tx| builtin::rules_rejected(tx, routing.as_deref(), &problems, now_wall);
        if let Err(error) = self.store.write_async(told).await {
            tracing::error!(error = %error, "cannot tell that rules are refused");
        }
        self.live.wake.notify_one();
    }

    /// Reads the files again if they changed. What is wrong is refused whole and the last good files stay in force.
    pub(crate) async fn reload(&mut self) {
        let settings = self.settings.clone();
        let Ok(sources) = tokio::task::spawn_blocking(move || Sources::read(&settings)).await else { return };
        let sources = match self.store.read_async(|view| view.scan(MARKS, "")).await {
            Ok(marks) => sources.marked(marks.into_iter().map(|(_, record)| record.mark).collect()),
            Err(error) => {
                tracing::error!(error = %error, "cannot read what was said about patterns");
                return;
            }
        };
        if self.seen == Some(sources.hash) {
            return;
        }
        self.seen = Some(sources.hash);
        self.live.set_commit(self.settings.rules.iter().find_map(|path| commit::of(path)));
        match check::load(&sources, &crate::route::file::process_environment) {
            Ok(loaded) => {
                for doubt in loaded.routing.iter().flat_map(outlook::unreadable) {
                    tracing::warn!(doubt, "a receiver cannot be reached");
                }
                self.live.set_routing(loaded.routing.map(Arc::new));
                let rules = Arc::new(loaded.rules);
                match self.evaluator.set_rules(Arc::clone(&rules)).await {
                    Ok(()) => {
                        tracing::info!(rules = rules.rules().count(), "rules are in force");
                        self.source.0.want_marks(marks_every_ns(&rules));
                        self.live.set_rules(rules);
                        self.live.set_problems(Vec::new());
                        self.tell_rejected(&[]).await;
                    }
                    Err(error) => {
                        tracing::error!(error = %error, "cannot put rules in force");
                        self.seen = None;
                    }
                }
            }
            Err(problems) => {
                let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                for problem in &problems {
                    tracing::error!(problem, "rule or routing files are refused, the last good ones stay in force");
                }
                metrics::counter!("logweir_rules_rejected_total").increment(1);
                self.tell_rejected(&problems).await;
                self.live.set_problems(problems);
            }
        }
    }
}

/// How often the groups want to hear of idle sources that wait for them and are evaluated more often than agents speak by
/// themselves.
fn marks_every_ns(rules: &RuleSet) -> Option<i64> {
    let waits = |group: &Group| group.delay_auto && group.goes_by(LineTime::Event);
    let impatient = rules.groups.iter().filter(|group| waits(group) && group.every_ns < MARKS_EVERY_NS);
    impatient.map(|group| group.every_ns).min()
}

/// Since when there is anything to know: said with the first start, and the same ever after.
fn known_since(tx: &Tx, oldest: i64) -> Result<i64, StoreError> {
    if let Some(known) = tx.get(KEYS, KNOWN_SINCE)?.and_then(|text| text.parse().ok()) {
        return Ok(known);
    }
    // Rules were evaluated before anybody wrote this down: what they knew is not doubted now.
    let since = if tx.scan(CURSORS, "")?.is_empty() { oldest } else { 0 };
    tx.put(KEYS, KNOWN_SINCE, &since.to_string())?;
    Ok(since)
}

/// The key of signed links: made once, kept in the store.
fn link_key(tx: &Tx) -> Result<Secret, StoreError> {
    if let Some(key) = tx.get(KEYS, "links")? {
        return Ok(Secret::new(key));
    }
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| redb::StorageError::Io(std::io::Error::other(error.to_string())))?;
    let key: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    tx.put(KEYS, "links", &key)?;
    Ok(Secret::new(key))
}

#[cfg(test)]
mod tests;

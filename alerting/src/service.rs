//! The service: wires the evaluator and the sender, reloads files when they change, and answers through a handle.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use logweir_rules::model::RuleSet;
use logweir_runtime::clock::Clock;
use logweir_runtime::drain::Drain;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::check::{self, Sources};
use crate::evaluate::Evaluator;
use crate::notify::outbox;
use crate::notify::sender::Sender;
use crate::route::Routing;
use crate::source::QuerySource;
use crate::state::store::{Store, StoreError};

/// How often the files are looked at.
pub const RELOAD_EVERY: Duration = Duration::from_secs(5);
/// While the past is caught up messages are held, but never longer than this.
pub const HOLD_MAX: Duration = Duration::from_secs(30);
/// Longest sleep of the scheduler.
const NAP_MAX: Duration = Duration::from_secs(1);
/// After an error of the store.
const STORE_RETRY: Duration = Duration::from_secs(2);

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
}

/// What the parts share.
#[derive(Debug)]
pub struct Live {
    pub(crate) base_url: String,
    pub(crate) wake: Notify,
    routing: RwLock<Option<Arc<Routing>>>,
    rules: RwLock<Arc<RuleSet>>,
    problems: RwLock<Vec<String>>,
    statuses: Mutex<BTreeMap<String, RuleStatus>>,
    /// Why rules cannot be evaluated at all now.
    broken: Mutex<Option<String>>,
    released: AtomicBool,
}

impl Live {
    pub(crate) fn new(base_url: &str) -> Live {
        Live {
            base_url: base_url.to_owned(),
            wake: Notify::new(),
            routing: RwLock::default(),
            rules: RwLock::default(),
            problems: RwLock::default(),
            statuses: Mutex::default(),
            broken: Mutex::default(),
            released: AtomicBool::new(false),
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

    pub(crate) fn status(&self, rule: &str) -> RuleStatus {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).get(rule).cloned().unwrap_or_default()
    }

    pub(crate) fn set_status(&self, rule: &str, change: impl FnOnce(&mut RuleStatus)) {
        let mut statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        change(statuses.entry(rule.to_owned()).or_default());
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

/// Cheap to clone: what the rest of the process asks.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) store: Store,
    pub(crate) live: Arc<Live>,
}

impl Handle {
    /// `GET /api/v1/rules`, `/alerts`, `/alerts/{id}`, `/notifications`.
    pub fn router(&self) -> axum::Router {
        crate::api::router(self.clone())
    }

    /// For `/health/ready`: `None` when rules are evaluated. A mistake in a file does not count: the last good files
    /// are in force, and logs must be taken meanwhile; `/api/v1/rules` and `logweir_rules_problems` have it.
    pub fn problem(&self) -> Option<String> {
        self.live.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub struct Service {
    settings: Settings,
    store: Store,
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
        let live = Arc::new(Live::new(&settings.base_url));
        let evaluator = Evaluator::load(store.clone(), source, clock.clone(), Arc::clone(&live))?;
        let handle = Handle { store: store.clone(), live: Arc::clone(&live) };
        Ok((Service { settings, store, live, clock, drain, evaluator, seen: None }, handle))
    }

    /// Runs until the drain.
    pub async fn run(mut self) -> Result<(), StoreError> {
        let sender = Sender::new(self.store.clone(), Arc::clone(&self.live), self.clock.clone());
        let sending = tokio::spawn(sender.run(self.drain.clone()));
        let held_until = Instant::now() + HOLD_MAX;
        let mut next_reload = Instant::now();
        while !self.drain.is_cancelled() {
            if Instant::now() >= next_reload {
                next_reload = Instant::now() + RELOAD_EVERY;
                self.reload().await;
            }
            let nap = match self.evaluator.round().await {
                Ok(round) => {
                    self.live.set_broken(None);
                    if !round.behind || Instant::now() >= held_until {
                        self.live.release();
                    }
                    let wait_ns = round.next_wall.saturating_sub(self.clock.now_ns()).max(0);
                    Duration::from_nanos(wait_ns as u64).min(NAP_MAX)
                }
                Err(error) => {
                    tracing::error!(error = %error, "cannot evaluate rules");
                    self.live.set_broken(Some(error.to_string()));
                    STORE_RETRY
                }
            };
            tokio::select! {
                () = tokio::time::sleep(nap) => {}
                () = self.drain.cancelled() => {}
            }
        }
        let _ = sending.await;
        Ok(())
    }

    /// Reads the files again if they changed. What is wrong is refused whole and the last good files stay in force.
    async fn reload(&mut self) {
        let settings = self.settings.clone();
        let Ok(sources) = tokio::task::spawn_blocking(move || Sources::read(&settings)).await else { return };
        if self.seen == Some(sources.hash) {
            return;
        }
        self.seen = Some(sources.hash);
        match check::load(&sources, &crate::route::file::process_environment) {
            Ok(loaded) => {
                self.live.set_routing(loaded.routing.map(Arc::new));
                let rules = Arc::new(loaded.rules);
                match self.evaluator.set_rules(Arc::clone(&rules)).await {
                    Ok(()) => {
                        tracing::info!(rules = rules.rules().count(), "rules are in force");
                        self.live.set_rules(rules);
                        self.live.set_problems(Vec::new());
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
                self.live.set_problems(problems);
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! The agent as a whole: files are tailed, batches built and shipped, acks remembered.
//!
//! One loop with one `select!`. Work on files runs on a thread of its own with the whole [`Tail`], one piece at a time;
//! a delivery runs beside it. At most one batch is under way and one more is built, so order per source needs no care.

use std::collections::{HashSet, VecDeque};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use logweir_runtime::clock::Clock;
use logweir_runtime::drain::Drain;
use logweir_runtime::open_files;
use logweir_runtime::pool::Pool;
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use self::pulse::Pulse;
use crate::batch::Built;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::host::{Host, SAMPLE_EVERY};
use crate::listen::Listeners;
use crate::metrics;
use crate::ship::client::{Client, Outcome};
use crate::status::Status;
use crate::tail::Now;
use crate::tail::checkpoint::random_hex;
use crate::tail::discover::{Discovery, candidates};
use crate::tail::follow::{Settings, Tail};
use crate::tail::reader::linger;
use crate::watch::{Changes, Watch};

pub mod pulse;
mod reload;

/// Everything is looked at again after this time where the kernel does not tell of each change.
pub const RESCAN_EVERY: Duration = Duration::from_secs(5);
/// The same where it does: a look at a thousand files costs more than all else that an idle agent does.
pub const RESCAN_WATCHED_EVERY: Duration = Duration::from_secs(30);
/// So long after a change in a directory more is expected there.
pub const RESTLESS: Duration = Duration::from_secs(15);
/// A rescan that was asked for by a change in a directory follows the one before it by at least this.
pub const RESCAN_PAUSE: Duration = Duration::from_millis(250);
/// After the drain the batch that is under way has this long.
pub const DRAIN_GRACE: Duration = Duration::from_secs(5);
/// Between two tries to write the checkpoint.
pub const COMMIT_PAUSE: Duration = Duration::from_secs(2);
/// Descriptors beside those of followed files: sockets, watches, the checkpoint.
const OTHER_FILES: u64 = 256;
/// While a batch waits for its answer the lengths of files that change are noted this often.
pub const NOTE_EVERY: Duration = Duration::from_millis(250);
/// Between two tries of a batch that the server refuses whatever it holds.
pub const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// Pipes that are shipped at once, each with a state of its own.
const STDIN_STATES: u32 = 16;

/// One agent, built and ready to run.
#[derive(Debug)]
pub struct Agent {
    parts: Parts,
    tail: Tail,
}

/// What the loop holds beside the tail.
#[derive(Debug)]
struct Parts {
    clock: Clock,
    drain: Drain,
    client: Client,
    /// One thread for all work on files: a second one would keep a heap of its own for its share.
    files: Pool,
    discovery: Arc<Discovery>,
    watch: Watch,
    host: Host,
    status: Status,
    /// As it is in force.
    config: Config,
    reloads: Option<Receiver<Config>>,
    seed: u64,
    linger: Duration,
    once: bool,
}

impl Agent {
    /// Takes the state directory and finds again what the checkpoint remembers. Touches no network.
    pub fn build(config: Config, clock: Clock, drain: Drain) -> Result<Agent> {
        if config.inputs.stdin.is_none() {
            return Agent::build_in(config, clock, drain);
        }
        // The agent of the host has the state directory itself, and several pipes may run at once.
        let root = config.state_dir.clone();
        let mut number = 1;
        loop {
            let config = Config { state_dir: root.join(format!("stdin-{number}")), ..config.clone() };
            match Agent::build_in(config, clock.clone(), drain.clone()) {
                Err(Error::StateHeld(_)) if number < STDIN_STATES => number += 1,
                built => return built,
            }
        }
    }

    fn build_in(config: Config, clock: Clock, drain: Drain) -> Result<Agent> {
        raise_open_files(config.limits.open_files);
        let settings = follow_settings(&config);
        let filter = Filter::new(&config.rules, &config.redact)?;
        let mut tail = Tail::open(settings, Now { mono: Instant::now(), wall_ns: clock.now_ns() })?;
        tail.set_filter(filter);
        let seed = tail.agent().id.bytes().fold(1u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let status = Status::new();
        let parts = Parts {
            client: Client::new(&config, seed, status.clone())?,
            files: Pool::new("files", NonZeroUsize::MIN).map_err(Error::io("start", "a thread"))?,
            watch: Watch::new(),
            linger: linger(config.limits.batch_age),
            once: config.once,
            host: Host::new(Path::new("/proc"), &random_hex()?),
            discovery: Arc::new(Discovery::new(config.clone())),
            config,
            reloads: None,
            seed,
            status,
            clock,
            drain,
        };
        Ok(Agent { parts, tail })
    }

    /// The id under which the server knows this installation.
    pub fn id(&self) -> &str {
        &self.tail.agent().id
    }

    /// What others may ask the agent while it runs.
    pub fn status(&self) -> Status {
        self.parts.status.clone()
    }

    /// Takes what comes here as its new configuration.
    pub fn with_reloads(mut self, reloads: Receiver<Config>) -> Agent {
        self.parts.reloads = Some(reloads);
        self
    }

    /// Runs until the drain, or with `once` until everything is stored.
    pub async fn run(self) -> Result<()> {
        let Agent { parts, tail } = self;
        let now = Instant::now();
        let listeners = match parts.once {
            true => Listeners::default(),
            false => Listeners::start(&parts.config, &parts.clock, &parts.drain).await?,
        };
        let mut run = Run {
            host_at: (parts.config.host_stats && !parts.once).then_some(now),
            parts,
            listeners,
            ended_at: None,
            tail: Some(tail),
            queue: VecDeque::new(),
            delivery: None,
            sent_at: now,
            rescan_at: now,
            rescanned_at: now,
            directories_at: now,
            pulse: Pulse::new(now),
            collect_at: None,
            noted_at: now,
            hold_until: None,
            probing: None,
            last_try: false,
            backlog: false,
            changes: Changes::default(),
        };
        run.run().await
    }
}

/// What the loop waits for.
#[derive(Debug)]
enum Event {
    Delivered(Outcome),
    Changed,
    /// Standard input is at its end.
    Ended,
    Reload(Box<Config>),
    Tick,
    Drain,
}

/// The loop's own state.
#[derive(Debug)]
struct Run {
    parts: Parts,
    listeners: Listeners,
    /// When standard input was at its end and in the spool.
    ended_at: Option<Instant>,
    /// Away only while the thread for files works with it.
    tail: Option<Tail>,
    /// The first is under way while `delivery` is there.
    queue: VecDeque<Built>,
    delivery: Option<AbortOnDropHandle<Outcome>>,
    sent_at: Instant,
    rescan_at: Instant,
    rescanned_at: Instant,
    /// When a directory changed last.
    directories_at: Instant,
    pulse: Pulse,
    /// The next sample of the host.
    host_at: Option<Instant>,
    /// Changes are collected until then.
    collect_at: Option<Instant>,
    /// When lengths were noted last.
    noted_at: Instant,
    /// Nothing is sent before.
    hold_until: Option<Instant>,
    /// A record was refused on its own: if the empty batch before it is stored, the record may be to blame.
    probing: Option<String>,
    /// The empty batch was stored: the record is tried once more, on its own.
    last_try: bool,
    /// The last build left bytes unread.
    backlog: bool,
    changes: Changes,
}

impl Run {
    async fn run(&mut self) -> Result<()> {
        loop {
            self.advance().await?;
            self.parts.status.turned();
            let ended = self.ended_at.is_some_and(|at| self.rescanned_at >= at);
            if (self.parts.once || ended) && self.is_done() {
                self.remove_shipped().await?;
                return self.with_tail(|tail, _| tail.save()).await?;
            }
            let event = self.next_event().await;
            match event {
                Event::Delivered(outcome) => self.delivered(outcome).await?,
                Event::Changed => self.changed(),
                Event::Ended => {
                    self.ended_at = Some(Instant::now());
                    self.rescan_at = Instant::now();
                }
                Event::Reload(config) => self.reload(*config).await?,
                Event::Tick => {}
                Event::Drain => return self.end().await,
            }
        }
    }

    async fn next_event(&mut self) -> Event {
        let tick = self.next_tick();
        let delivery = async {
            match &mut self.delivery {
                Some(delivery) => delivery.await,
                None => std::future::pending().await,
            }
        };
        let reload = async {
            match &mut self.parts.reloads {
                Some(reloads) => reloads.recv().await,
                None => None,
            }
        };
        tokio::select! {
            biased;
            () = self.parts.drain.cancelled() => Event::Drain,
            outcome = delivery => {
                self.delivery = None;
                // A panic in a delivery is a bug; the batch is still ours and is sent again.
                outcome.map_or(Event::Tick, Event::Delivered)
            }
            Some(config) = reload => Event::Reload(Box::new(config)),
            () = self.parts.watch.changed() => Event::Changed,
            () = self.listeners.until_ended() => Event::Ended,
            () = tokio::time::sleep_until(tick) => Event::Tick,
        }
    }

    fn next_tick(&self) -> Instant {
        let mut tick = self.host_at.map_or(self.rescan_at, |at| at.min(self.rescan_at));
        tick = self.collect_due().map_or(tick, |at| at.min(tick));
        if self.queue.is_empty() {
            tick = tick.min(self.pulse.at);
            tick = self.tail.as_ref().and_then(Tail::next_deadline).map_or(tick, |at| at.min(tick));
        }
        if self.delivery.is_none() {
            tick = self.hold_until.map_or(tick, |until| tick.min(until));
        }
        tick
    }

    /// When changes are taken up: soon, or while nothing can be built seldom, to see how long the files are.
    fn collect_due(&self) -> Option<Instant> {
        let at = self.collect_at?;
        Some(if self.queue.is_empty() { at } else { at.max(self.sent_at.max(self.noted_at) + NOTE_EVERY) })
    }

    fn changed(&mut self) {
        let changes = self.parts.watch.take();
        let now = Instant::now();
        if changes.directories || self.parts.discovery.reads(&changes.paths) {
            self.directories_at = now;
            self.rescan_at = self.rescan_at.min((self.rescanned_at + RESCAN_PAUSE).max(now));
        }
        self.changes.paths.extend(changes.paths);
        self.changes.overflow |= changes.overflow;
        self.collect_at.get_or_insert(now + self.parts.linger);
    }

    /// Does everything that is due: looks around, builds, sends.
    async fn advance(&mut self) -> Result<()> {
        let now = self.now();
        if now.mono >= self.rescan_at {
            self.rescan(now).await?;
        }
        if self.host_at.is_some_and(|at| at <= now.mono) {
            self.sample(now).await?;
        }
        if self.collect_due().is_some_and(|at| at <= now.mono) {
            self.collect(now.mono).await?;
        }
        loop {
            self.send().await?;
            if !self.wants_build(now.mono) {
                break;
            }
            // What is idle says so although others are busy.
            let all = self.pulse.is_due(now.mono);
            let built = self.with_tail(move |tail, now| {
                let built = tail.build(all, now)?;
                Ok::<_, Error>((built, tail.has_work()))
            });
            let (built, more) = built.await??;
            self.backlog = more;
            let Some(built) = built else { break };
            if all {
                self.pulse.beat(now.mono);
            }
            self.queue.push_back(built);
        }
        if self.queue.is_empty() && self.pulse.is_due(now.mono) {
            let heartbeat = self.with_tail(Tail::heartbeat).await??;
            self.pulse.beat(now.mono);
            self.queue.push_back(heartbeat);
            self.send().await?;
        }
        Ok(())
    }

    async fn collect(&mut self, now: Instant) -> Result<()> {
        self.collect_at = None;
        let changes = std::mem::take(&mut self.changes);
        if let Some(tail) = &mut self.tail {
            if changes.overflow { tail.touched_all() } else { tail.touched(&changes.paths) }
        }
        if !self.queue.is_empty() {
            self.noted_at = now;
            // A rescan writes it down: a truncation while the agent is dead is told by it.
            if self.with_tail(|tail, _| tail.note()).await? {
                self.rescan_at = self.rescan_at.min(self.rescanned_at + RESCAN_EVERY);
            }
        }
        Ok(())
    }

    /// With a batch under way the next one is built only if it will be full: a small one can still grow.
    fn wants_build(&self, now: Instant) -> bool {
        let Some(tail) = &self.tail else { return false };
        let due = tail.has_work() || tail.next_deadline().is_some_and(|at| at <= now);
        match self.queue.len() {
            0 => due,
            1 => self.backlog && self.delivery.is_some(),
            _ => false,
        }
    }

    /// The state of the host, as one more line of the next batch.
    async fn sample(&mut self, now: Now) -> Result<()> {
        self.host_at = Some(now.mono + SAMPLE_EVERY);
        let mut host = self.parts.host.clone();
        let sampled = self.parts.files.run(move || (host.sample(now), host)).await.map_err(|_| Error::Worker)?;
        self.parts.host = sampled.1;
        if let (Some((info, chunk)), Some(tail)) = (sampled.0, &mut self.tail) {
            tail.add(info, chunk);
        }
        Ok(())
    }

    async fn rescan(&mut self, now: Now) -> Result<()> {
        let discovery = Arc::clone(&self.parts.discovery);
        let (dirs, state) = self
            .with_tail(move |tail, now| {
                let mut found = candidates(discovery.find());
                tail.take_formats(&mut found);
                tail.rescan(&found, now);
                tail.refresh(&found);
                let mut dirs: HashSet<PathBuf> = tail.directories();
                dirs.extend(discovery.directories());
                (dirs, tail.state(now))
            })
            .await?;
        metrics::state(state.files, state.lag_bytes);
        self.parts.status.saw(state.files, state.lag_bytes);
        self.parts.watch.set(&dirs);
        self.rescanned_at = now.mono;
        let restless = now.mono < self.directories_at + RESTLESS;
        let told = self.parts.watch.is_complete() && !self.tail.as_ref().is_some_and(Tail::needs_looks);
        self.rescan_at =
            now.mono + if told && !restless && !self.listeners.write() { RESCAN_WATCHED_EVERY } else { RESCAN_EVERY };
        self.remove_shipped().await?;
        let unsaved = self.tail.as_ref().is_some_and(Tail::is_unsaved);
        if unsaved && let Err(error) = self.with_tail(|tail, _| tail.save()).await? {
            tracing::error!(error = %error, "cannot write the checkpoint, trying on");
        }
        Ok(())
    }

    /// Frees the spool of what is stored, and counts what found no room in it.
    async fn remove_shipped(&mut self) -> Result<()> {
        let discovery = Arc::clone(&self.parts.discovery);
        let (dropped, ended) = (self.listeners.take_dropped(), self.ended_at.is_some());
        let removed = self.with_tail(move |tail, now| {
            tail.count_dropped(dropped);
            tail.remove_shipped(&discovery.closed_segments(ended), now)
        });
        if let Err(error) = removed.await? {
            tracing::error!(error = %error, "cannot write the checkpoint, trying on");
        }
        Ok(())
    }

    /// Plans the first batch of the queue in the checkpoint, then sends it.
    async fn send(&mut self) -> Result<()> {
        let now = Instant::now();
        if self.delivery.is_some() || self.hold_until.is_some_and(|until| until > now) {
            return Ok(());
        }
        self.hold_until = None;
        let Some(built) = self.queue.front() else { return Ok(()) };
        let bytes = built.bytes.clone();
        if !built.plan.is_empty() {
            let built = built.clone();
            let committed = self.with_tail(move |tail, _| tail.commit(&built)).await?;
            if let Err(error) = committed {
                // A full disk, most likely. Without a plan nothing may leave: the files are the spool.
                tracing::error!(error = %error, "cannot plan a batch, trying on");
                self.hold_until = Some(now + COMMIT_PAUSE);
                return Ok(());
            }
        }
        self.sent_at = now;
        let client = self.parts.client.clone();
        self.delivery = Some(AbortOnDropHandle::new(tokio::spawn(async move { client.deliver(bytes).await })));
        Ok(())
    }

    async fn delivered(&mut self, outcome: Outcome) -> Result<()> {
        match outcome {
            Outcome::Acked(answer) => {
                let Some(built) = self.queue.pop_front() else { return Ok(()) };
                let seconds = self.sent_at.elapsed().as_secs_f64();
                metrics::batch_acked(built.records, built.raw_bytes, built.bytes.len(), seconds);
                self.pulse.wish(answer.heartbeat_ms, Instant::now());
                if let Some(tail) = &mut self.tail {
                    tail.announce_again(&answer.unknown);
                    tail.acked(&built, &answer.offsets, &mut self.queue);
                }
                self.last_try = self.probing.take().is_some();
                // The next plan or rescan writes it down: until then a crash sends again what the server knows.
                Ok(())
            }
            Outcome::Split => self.refused("too large for the server even on its own".to_owned()).await,
            Outcome::Refused(reason) => self.refused(reason).await,
            Outcome::GaveUp(why) => Err(Error::Unreachable { why: why.as_str(), hint: why.hint() }),
        }
    }

    /// Halves the batch until one record is alone; drops that only if the server takes a batch without it and refuses
    /// it again.
    async fn refused(&mut self, reason: String) -> Result<()> {
        let Some(built) = self.queue.pop_front() else { return Ok(()) };
        if built.plan.is_empty() {
            if let Some(tail) = &mut self.tail {
                tail.release(&built);
            }
            if self.probing.take().is_some() {
                tracing::warn!(reason, "the server refuses even an empty batch: waiting");
            } else {
                tracing::warn!(reason, "heartbeat refused");
            }
            self.hold_until = Some(Instant::now() + REFUSED_PAUSE);
            return Ok(());
        }
        let halves = self.parts.files.run(move || built.split().map(|halves| (built, halves)));
        match halves.await.map_err(|_| Error::Worker)?? {
            (_, Some((first, second))) => {
                tracing::info!(reason, "batch refused: sending its halves");
                self.queue.push_front(second);
                self.queue.push_front(first);
            }
            (built, None) if std::mem::take(&mut self.last_try) => {
                if let Some(tail) = &mut self.tail {
                    tail.dropped(&built, &reason);
                }
            }
            (built, None) => {
                let probe = self.with_tail(Tail::heartbeat).await??;
                self.queue.push_front(built);
                self.queue.push_front(probe);
                self.probing = Some(reason);
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.queue.is_empty() && self.tail.as_ref().is_some_and(Tail::is_drained)
    }

    /// What is under way may arrive; then the acks are written down.
    async fn end(&mut self) -> Result<()> {
        self.listeners.end(DRAIN_GRACE).await;
        if let Some(delivery) = &mut self.delivery
            && let Ok(Ok(outcome)) = tokio::time::timeout(DRAIN_GRACE, delivery).await
        {
            self.delivery = None;
            if let (Outcome::Acked(answer), Some(built), Some(tail)) = (outcome, self.queue.pop_front(), &mut self.tail)
            {
                tail.acked(&built, &answer.offsets, &mut self.queue);
            }
        }
        self.with_tail(|tail, _| tail.save()).await?
    }

    fn now(&self) -> Now {
        Now { mono: Instant::now(), wall_ns: self.parts.clock.now_ns() }
    }

    /// Runs `work` on the thread for files: they and fsync do not belong on the network's threads.
    async fn with_tail<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Tail, Now) -> T + Send + 'static,
    ) -> Result<T> {
        let mut tail = self.tail.take().ok_or(Error::Worker)?;
        let now = self.now();
        let done = self.parts.files.run(move || {
            let result = work(&mut tail, now);
            (tail, result)
        });
        let (tail, result) = done.await.map_err(|_| Error::Worker)?;
        self.tail = Some(tail);
        Ok(result)
    }
}

fn follow_settings(config: &Config) -> Settings {
    let host = config.host.clone().unwrap_or_else(host_name);
    Settings {
        state_dir: config.state_dir.clone(),
        machine: machine(&host),
        host,
        labels: config.labels.clone(),
        limits: config.limits,
        once: config.once,
    }
}

/// Each followed file holds a descriptor.
fn raise_open_files(wanted: usize) {
    open_files::raise((wanted as u64).saturating_add(OTHER_FILES));
}

/// What tells this machine from its clones. A container often has no machine id: its host name changes at will and
/// says nothing.
fn machine(host: &str) -> String {
    let id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    if id.trim().is_empty() {
        return String::new();
    }
    blake3::hash(format!("{} {host}", id.trim()).as_bytes()).to_hex()[..16].to_owned()
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "localhost".to_owned() } else { name.trim().to_owned() }
}

#[cfg(test)]
mod tests;

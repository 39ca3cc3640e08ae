//! Sources that are no files: a syslog listener, standard input, the journal. Each writes to its own [`Spool`], which
//! the tail follows like any log.
//!
//! Readers hand batches to the one writer of their spool over a short queue. A full spool or a full disk makes the
//! writer wait, the queue fills, and TCP, the pipe or the journal wait in turn; datagrams that find no room are counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use logweir_runtime::clock::Clock;
use logweir_runtime::drain::Drain;
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_blocking;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::metrics;
use crate::redact::{self, Redactor};
use crate::spool::{Message, Spool, SpoolError};

pub mod journald;
pub mod stdin;
pub mod syslog;

/// Batches between readers and the writer of a spool.
pub const QUEUE_BATCHES: usize = 8;
/// Bytes after which a reader hands its batch over.
pub const BATCH_BYTES_GOAL: usize = 256 << 10;
/// Messages after which a reader hands its batch over.
pub const BATCH_MESSAGES_MAX: usize = 1024;
/// Between two tries of a writer that finds no room.
pub const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Everything that listens, and what it has to say.
#[derive(Debug, Default)]
pub struct Listeners {
    readers: Vec<AbortOnDropHandle<()>>,
    writers: TaskTracker,
    state: Arc<State>,
}

#[derive(Debug, Default)]
pub struct State {
    dropped: AtomicU64,
    ended: AtomicBool,
    woken: Notify,
    /// What must not leave the host does not touch the spool either.
    redactor: RwLock<Option<Redactor>>,
}

/// The redactor of these settings; `None` when there is nothing to redact.
pub fn redactor(settings: &redact::Settings) -> Result<Option<Redactor>> {
    (!settings.is_empty()).then(|| Redactor::new(settings)).transpose()
}

impl Listeners {
    /// Starts what the configuration asks for. The state directory must be held.
    pub async fn start(config: &Config, clock: &Clock, drain: &Drain) -> Result<Listeners> {
        let mut listeners = Listeners::default();
        listeners.set_redactor(redactor(&config.redact)?);
        let bytes_max = config.inputs.spool_bytes;
        let open = |name, service| Spool::open(&config.state_dir, name, service, bytes_max).map_err(Error::Spool);
        if let Some(settings) = &config.inputs.syslog {
            let sockets = syslog::Sockets::bind(settings).await?;
            let inbox = listeners.inbox("syslog", open("syslog", None)?, clock);
            let readers = sockets.start(inbox, drain.clone());
            listeners.readers.extend(readers.into_iter().map(|task| AbortOnDropHandle::new(tokio::spawn(task))));
        }
        if let Some(settings) = &config.inputs.journald {
            let spool = open("journald", None)?;
            let after = spool.last().and_then(journald::cursor_of);
            let inbox = listeners.inbox("journald", spool, clock);
            let task = journald::follow(settings.clone(), after, inbox, drain.clone());
            listeners.readers.push(AbortOnDropHandle::new(tokio::spawn(task)));
        }
        if let Some(settings) = &config.inputs.stdin {
            let spool = open("stdin", Some(settings.service.clone()))?;
            let inbox = listeners.inbox("stdin", spool, clock);
            stdin::start(std::io::stdin(), inbox).map_err(Error::io("read", "stdin"))?;
        }
        Ok(listeners)
    }

    fn inbox(&mut self, name: &'static str, spool: Spool, clock: &Clock) -> Inbox {
        let (sender, receiver) = mpsc::channel(QUEUE_BATCHES);
        let state = Arc::clone(&self.state);
        self.writers.spawn(write(name, spool, receiver, Arc::clone(&state)));
        Inbox { name, sender, clock: clock.clone(), state }
    }

    /// Whether anything is written to a spool.
    pub fn write(&self) -> bool {
        !self.writers.is_empty()
    }

    /// What comes from now on is redacted by this.
    pub fn set_redactor(&self, redactor: Option<Redactor>) {
        *self.state.redactor.write().unwrap_or_else(PoisonError::into_inner) = redactor;
    }

    /// Messages that found no room since the last time.
    pub fn take_dropped(&self) -> u64 {
        self.state.dropped.swap(0, Ordering::Relaxed)
    }

    /// Whether standard input is at its end and spooled.
    pub fn ended(&self) -> bool {
        self.state.ended.load(Ordering::Acquire)
    }

    /// Waits for the end of standard input.
    pub async fn until_ended(&self) {
        self.state.woken.notified().await;
    }

    /// Takes nothing more and writes down what was taken.
    pub async fn end(&mut self, grace: Duration) {
        for reader in std::mem::take(&mut self.readers) {
            // Readers see the drain; the time is for those that are in the middle of handing over.
            let _ = tokio::time::timeout(grace, reader).await;
        }
        self.writers.close();
        let _ = tokio::time::timeout(grace, self.writers.wait()).await;
    }
}

/// Where a reader puts its messages.
#[derive(Debug, Clone)]
pub struct Inbox {
    name: &'static str,
    sender: mpsc::Sender<Vec<Message>>,
    clock: Clock,
    state: Arc<State>,
}

impl Inbox {
    pub fn now_ns(&self) -> i64 {
        self.clock.now_ns()
    }

    /// Hands a batch over, waiting for room; false when nobody takes it any more.
    pub async fn send(&self, batch: Vec<Message>) -> bool {
        batch.is_empty() || self.sender.send(batch).await.is_ok()
    }

    /// The same for a thread that may wait.
    pub fn send_blocking(&self, batch: Vec<Message>) -> bool {
        batch.is_empty() || self.sender.blocking_send(batch).is_ok()
    }

    /// Hands a batch over if there is room within a moment, else counts its messages as lost.
    pub async fn send_or_drop(&self, batch: Vec<Message>, patience: Duration) {
        let messages = batch.len() as u64;
        match tokio::time::timeout(patience, self.sender.reserve()).await {
            Ok(Ok(permit)) => permit.send(batch),
            _ => self.count_dropped(messages),
        }
    }

    pub fn count_dropped(&self, messages: u64) {
        self.state.dropped.fetch_add(messages, Ordering::Relaxed);
        metrics::spool_dropped(self.name, messages);
    }
}

impl State {
    fn redact(&self, batch: &mut [Message], journal: bool) {
        let redactor = self.redactor.read().unwrap_or_else(PoisonError::into_inner);
        let Some(redactor) = redactor.as_ref() else { return };
        let mut line = Vec::new();
        for message in batch {
            if !redactor.apply(&message.text, &mut line) {
                continue;
            }
            let cursor = journal.then(|| journald::cursor_of(&message.text)).flatten();
            if let Some(cursor) = cursor.filter(|cursor| journald::cursor_of(&line).as_ref() != Some(cursor)) {
                // Without its cursor the journal could not be read on: it stands before what is left of it.
                line.splice(..1.min(line.len()), format!("{{\"__CURSOR\":\"{cursor}\",").into_bytes());
            }
            message.text.clone_from(&line);
        }
        for (what, found) in redactor.take_counts() {
            metrics::redacted(what, found);
        }
    }
}

/// Writes what the readers hand over until none of them is left.
async fn write(name: &'static str, mut spool: Spool, mut inbox: mpsc::Receiver<Vec<Message>>, state: Arc<State>) {
    let mut waiting = false;
    while let Some(mut batch) = inbox.recv().await {
        while batch.len() < BATCH_MESSAGES_MAX
            && let Ok(mut more) = inbox.try_recv()
        {
            batch.append(&mut more);
        }
        state.redact(&mut batch, name == "journald");
        loop {
            let work = spawn_blocking(move || {
                let result = spool.append(&mut batch);
                (spool.used(), spool, batch, result)
            });
            let Ok((used, back, rest, result)) = work.await else { return };
            (spool, batch) = (back, rest);
            metrics::spool_bytes(name, used);
            match result {
                Ok(()) => break,
                Err(error) => {
                    if !std::mem::replace(&mut waiting, true) {
                        let full = matches!(error, SpoolError::Full(_));
                        tracing::warn!(spool = name, full, error = %error, "waiting for room");
                    }
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
        waiting = false;
    }
    if name == "stdin" {
        state.ended.store(true, Ordering::Release);
        state.woken.notify_one();
    }
}

#[cfg(test)]
mod tests;

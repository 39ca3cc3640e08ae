//! The task that turns due groups into messages and sends them: one message under way per channel.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use logweir_runtime::clock::Clock;
use logweir_runtime::drain::Drain;

use super::http::Poster;
use super::message::Message;
use super::outbox::{self, Job};
use super::policy::{Outcome, Verdict};
use super::{slack, webhook};
use crate::route::file::Channel;
use crate::route::{Routing, group};
use crate::service::Live;
use crate::state::RowState;
use crate::state::store::{GROUPS, OUTBOX, Store, StoreError, Tx};

/// Longest sleep: a wall clock that is set forward is noticed after this.
const NAP_MAX: Duration = Duration::from_secs(1);
/// What is under way when draining begins has this long to end; then it counts as in doubt.
const DRAIN_WAIT: Duration = Duration::from_secs(5);
/// After an error of the store.
const STORE_RETRY: Duration = Duration::from_secs(2);
const HOUSEKEEP_EVERY_NS: i64 = 600 * 1_000_000_000;

type Sending = FuturesUnordered<BoxFuture<'static, (Job, Outcome)>>;

pub(crate) struct Sender {
    pub(crate) store: Store,
    pub(crate) live: Arc<Live>,
    pub(crate) clock: Clock,
    posters: HashMap<String, Poster>,
    /// The routing that the posters were made for.
    made_for: Option<Arc<Routing>>,
    busy: BTreeSet<String>,
    housekept_wall: i64,
}

impl Sender {
    pub(crate) fn new(store: Store, live: Arc<Live>, clock: Clock) -> Sender {
        Sender {
            store,
            live,
            clock,
            posters: HashMap::new(),
            made_for: None,
            busy: BTreeSet::new(),
            housekept_wall: i64::MIN,
        }
    }

    pub(crate) async fn run(mut self, drain: Drain) {
        let mut sending: Sending = FuturesUnordered::new();
        loop {
            let nap = match self.start_due(&mut sending).await {
                Ok(next_wall) => self.nap(next_wall),
                Err(error) => {
                    tracing::error!(error = %error, "cannot read the outbox");
                    STORE_RETRY
                }
            };
            tokio::select! {
                Some((job, outcome)) = sending.next(), if !sending.is_empty() => self.settle(&job, &outcome).await,
                () = self.live.wake.notified() => {}
                () = tokio::time::sleep(nap) => {}
                () = drain.cancelled() => break,
            }
        }
        let _ = tokio::time::timeout(DRAIN_WAIT, async {
            while let Some((job, outcome)) = sending.next().await {
                self.settle(&job, &outcome).await;
            }
        })
        .await;
    }

    fn nap(&self, next_wall: Option<i64>) -> Duration {
        let wait_ns = next_wall.map_or(i64::MAX, |next| next.saturating_sub(self.clock.now_ns()).max(0));
        Duration::from_nanos(wait_ns as u64).min(NAP_MAX)
    }

    /// Flushes groups, takes due rows and begins to send them. Answers when to look again.
    pub(crate) async fn start_due(&mut self, sending: &mut Sending) -> Result<Option<i64>, StoreError> {
        if !self.live.may_send() {
            return Ok(None);
        }
        let Some(routing) = self.live.routing() else { return Ok(None) };
        if self.made_for.as_ref().is_none_or(|old| !Arc::ptr_eq(old, &routing)) {
            self.posters.clear();
            self.made_for = Some(Arc::clone(&routing));
        }
        let (busy, now_wall) = (self.busy.clone(), self.clock.now_ns());
        let keep_house = now_wall.saturating_sub(self.housekept_wall) > HOUSEKEEP_EVERY_NS;
        let due = Arc::clone(&routing);
        // Most looks find nothing to do; only a look that finds something pays for a durable transaction.
        let look = self.look(now_wall).await?;
        if !keep_house && look.is_none_or(|next| next > now_wall) {
            return Ok(look);
        }
        let (claimed, next_flush) = self
            .store
            .write_async(move |tx| {
                if keep_house {
                    outbox::housekeep(tx, now_wall)?;
                }
                let next_flush = group::flush(tx, &due, now_wall)?;
                Ok((outbox::claim(tx, &due, &busy, now_wall)?, next_flush))
            })
            .await?;
        self.housekept_wall = if keep_house { now_wall } else { self.housekept_wall };
        for job in claimed.jobs {
            self.busy.insert(job.channel_key());
            sending.push(self.send(job));
        }
        Ok([claimed.next_wall, next_flush].into_iter().flatten().min())
    }

    /// When the next group or message is due; what is under way, and what waits behind it, is not.
    async fn look(&self, now_wall: i64) -> Result<Option<i64>, StoreError> {
        let busy = self.busy.clone();
        self.store
            .read_async(move |view| {
                let groups = view.scan(GROUPS, "")?;
                let groups = groups.iter().map(|(_, group)| match group::decide(group, now_wall) {
                    group::Decision::Wait { until_wall } => until_wall,
                    group::Decision::Send(_) | group::Decision::End => now_wall,
                });
                let rows = view.scan(OUTBOX, "")?;
                let rows = rows.iter().map(|(_, row)| row).filter(|row| {
                    row.state == RowState::Queued
                        && !busy.contains(&outbox::channel_key(&row.receiver, &row.integration))
                });
                Ok(groups.chain(rows.map(|row| row.next_try_wall)).min())
            })
            .await
    }

    fn send(&mut self, job: Job) -> BoxFuture<'static, (Job, Outcome)> {
        let net = match &job.channel {
            Channel::Webhook(channel) => &channel.net,
            Channel::Slack(channel) => &channel.net,
        };
        let poster = self.posters.entry(job.channel_key()).or_insert_with(|| Poster::new(net.clone())).clone();
        let now_wall = self.clock.now_ns();
        let message = Message::new(&job.row, job.episodes.clone(), &self.live.base_url, now_wall);
        Box::pin(async move {
            let outcome = match &job.channel {
                Channel::Webhook(channel) => webhook::send(channel, &poster, &message, now_wall).await,
                Channel::Slack(channel) => slack::send(channel, &poster, &message).await,
            };
            (job, outcome)
        })
    }

    pub(crate) async fn settle(&mut self, job: &Job, outcome: &Outcome) {
        let now_wall = self.clock.now_ns();
        let channel = job.channel_key();
        let routing = self.live.routing().or_else(|| self.made_for.clone());
        let (settled, end) = (job.clone(), outcome.clone());
        let verdict = match routing {
            Some(routing) => {
                let work = move |tx: &Tx| outbox::settle(tx, &routing, &settled, &end, now_wall);
                self.store.write_async(work).await
            }
            None => Err(StoreError::Stopped),
        };
        self.busy.remove(&channel);
        let kind = match &verdict {
            Ok(Verdict::Sent) => "sent",
            Ok(Verdict::Retry { .. }) => "retry",
            Ok(Verdict::Dead { .. }) => "dead",
            Err(_) => "unrecorded",
        };
        metrics::counter!("logweir_notification_attempts_total", "channel" => channel.clone(), "result" => kind)
            .increment(1);
        match verdict {
            Ok(Verdict::Sent) => tracing::info!(id = job.row.id, channel, "message sent"),
            Ok(Verdict::Retry { reason, .. }) => {
                tracing::warn!(id = job.row.id, channel, reason, "message will be retried")
            }
            Ok(Verdict::Dead { reason }) => tracing::error!(id = job.row.id, channel, reason, "message given up"),
            // The row stays under way; the next start sends it again under its id.
            Err(error) => {
                tracing::error!(id = job.row.id, channel, error = %error, "cannot record what became of a message")
            }
        }
    }
}

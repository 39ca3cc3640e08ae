//! The task that turns due groups into messages and sends them: one message under way per channel.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use logweir_runtime::clock::Clock;
use logweir_runtime::drain::Drain;
use logweir_runtime::secrets::Secret;

use super::http::Poster;
use super::message::Message;
use super::outbox::{self, Gate, Job, Sent, fallback};
use super::policy::Verdict;
use super::{alertmanager, discord, email, heartbeat, pagerduty, slack, sms, teams, telegram, webhook};
use crate::route::channel::Kind;
use crate::route::{Routing, group};
use crate::service::Live;
use crate::state::RowState;
use crate::state::store::{BEATS, GROUPS, OUTBOX, Store, StoreError, Tx};

/// Longest sleep: a wall clock that is set forward is noticed after this.
const NAP_MAX: Duration = Duration::from_secs(1);
/// What is under way when draining begins has this long to end; then it counts as in doubt.
const DRAIN_WAIT: Duration = Duration::from_secs(5);
/// After an error of the store.
const STORE_RETRY: Duration = Duration::from_secs(2);
const HOUSEKEEP_EVERY_NS: i64 = 600 * 1_000_000_000;

type Sending = FuturesUnordered<BoxFuture<'static, (Job, Sent)>>;

pub(crate) struct Sender {
    pub(crate) store: Store,
    pub(crate) live: Arc<Live>,
    pub(crate) clock: Clock,
    posters: HashMap<String, Poster>,
    /// The routing that the posters were made for.
    made_for: Option<Arc<Routing>>,
    gate: Gate,
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
            gate: Gate::default(),
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
                Some((job, sent)) = sending.next(), if !sending.is_empty() => self.settle(&job, &sent).await,
                () = self.live.wake.notified() => {}
                () = tokio::time::sleep(nap) => {}
                () = drain.cancelled() => break,
            }
        }
        let _ = tokio::time::timeout(DRAIN_WAIT, async {
            while let Some((job, sent)) = sending.next().await {
                self.settle(&job, &sent).await;
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
            self.gate.learn_hosts(routing.channels());
            self.made_for = Some(Arc::clone(&routing));
        }
        let (mut gate, now_wall) = (self.gate.clone(), self.clock.now_ns());
        let keep_house = now_wall.saturating_sub(self.housekept_wall) > HOUSEKEEP_EVERY_NS;
        let due = Arc::clone(&routing);
        // Most looks find nothing to do; only a look that finds something pays for a durable transaction.
        let look = self.look(&routing, now_wall).await?;
        if !keep_house && look.is_none_or(|next| next > now_wall) {
            return Ok(look);
        }
        let (claimed, gate, next) = self
            .store
            .write_async(move |tx| {
                if keep_house {
                    outbox::housekeep(tx, now_wall)?;
                }
                heartbeat::check(tx, &due, now_wall)?;
                let next_flush = group::flush(tx, &due, now_wall)?;
                let next_fallback = fallback::tell_late(tx, &due, now_wall)?;
                let claimed = outbox::claim(tx, &due, &mut gate, now_wall)?;
                let next = [claimed.next_wall, next_flush, next_fallback].into_iter().flatten().min();
                Ok((claimed, gate, next))
            })
            .await?;
        // Only what is durable counts: a failed transaction takes no token and no channel.
        self.gate = gate;
        self.housekept_wall = if keep_house { now_wall } else { self.housekept_wall };
        for job in claimed.jobs {
            sending.push(self.send(job));
        }
        Ok(next)
    }

    /// When the next group or message is due; what is under way, and what waits behind it, is not.
    async fn look(&self, routing: &Arc<Routing>, now_wall: i64) -> Result<Option<i64>, StoreError> {
        let (gate, routing) = (self.gate.clone(), Arc::clone(routing));
        self.store
            .read_async(move |view| {
                let groups = view.scan(GROUPS, "")?;
                let groups = groups.iter().map(|(_, group)| group::due_wall(group, &routing, now_wall));
                let rows = view.scan(OUTBOX, "")?;
                let rows = || rows.iter().map(|(_, row)| row);
                let sendable = rows().filter_map(|row| {
                    let name = outbox::channel_key(&row.receiver, &row.integration);
                    if row.state != RowState::Queued || gate.is_busy(&name) {
                        return None;
                    }
                    let channel = routing.channel(&row.receiver, &row.integration);
                    let gated = channel.and_then(|channel| gate.wait_until(&name, channel, now_wall));
                    Some(row.next_try_wall.max(gated.unwrap_or(i64::MIN)))
                });
                let fallbacks = rows().filter_map(|row| fallback::due_wall(&routing, row));
                let beats = heartbeat::next_missed(&view.scan(BEATS, "")?, &routing);
                Ok(groups.chain(sendable).chain(fallbacks).chain(beats).min())
            })
            .await
    }

    fn send(&mut self, job: Job) -> BoxFuture<'static, (Job, Sent)> {
        let net = &job.channel.net;
        let poster = self.posters.entry(job.channel_key()).or_insert_with(|| Poster::new(net.clone())).clone();
        let now_wall = self.clock.now_ns();
        let digest_by = self.made_for.as_ref().and_then(|routing| routing.storm.as_ref());
        let digest_by = digest_by.map_or(&[][..], |storm| &storm.digest_by);
        let message = Message::new(&job, &self.live.signer, digest_by, now_wall);
        Box::pin(async move {
            let sent = dispatch(&job.channel.kind, &poster, &message).await;
            (job, sent)
        })
    }

    pub(crate) async fn settle(&mut self, job: &Job, sent: &Sent) {
        let now_wall = self.clock.now_ns();
        let channel = job.channel_key();
        let routing = self.live.routing().or_else(|| self.made_for.clone());
        let (settled, end) = (job.clone(), sent.clone());
        let verdict = match routing {
            Some(routing) => {
                let work = move |tx: &Tx| outbox::settle(tx, &routing, &settled, &end, now_wall);
                self.store.write_async(work).await
            }
            None => Err(StoreError::Stopped),
        };
        self.gate.done(&channel, &sent.outcome, now_wall);
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

/// Sends a message, and hides the channel's secrets in what is said of that.
pub(crate) async fn dispatch(kind: &Kind, poster: &Poster, message: &Message) -> Sent {
    let Sent { outcome, place } = send(kind, poster, message).await;
    let secrets: Vec<Secret> = kind.secrets().into_iter().filter_map(|source| source.read().ok()).collect();
    Sent { outcome: outcome.without(&secrets), place }
}

async fn send(kind: &Kind, poster: &Poster, message: &Message) -> Sent {
    let now_wall = message.now_wall;
    let outcome = match kind {
        Kind::Slack(channel) => return slack::send(channel, poster, message).await,
        Kind::Webhook(channel) => webhook::send(channel, poster, message, now_wall).await,
        Kind::Email(channel) => email::send(channel, message).await,
        Kind::PagerDuty(channel) => pagerduty::send(channel, poster, message).await,
        Kind::Alertmanager(channel) => alertmanager::send(channel, poster, message).await,
        Kind::Teams(channel) => teams::send(channel, poster, message).await,
        Kind::Discord(channel) => discord::send(channel, poster, message).await,
        Kind::Telegram(channel) => telegram::send(channel, poster, message).await,
        Kind::Sms(channel) => sms::send(channel, poster, message).await,
    };
    outcome.into()
}

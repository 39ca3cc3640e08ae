//! What the rest of the process asks of alerting and does with it: the API and the commands stand on these.

use std::sync::{Arc, PoisonError};

use logweir_rules::model::{Labels, Severity};
use logweir_runtime::clock::{Clock, rfc3339};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::api::{Right, row_json};
use crate::notify::links::{Action, LinkError, Target};
use crate::notify::outbox::operate;
use crate::notify::{heartbeat, text};
use crate::route::decide::{Destination, destinations};
use crate::route::group::{self, routing_labels};
use crate::route::silence::{self, NewSilence, SilenceError};
use crate::route::standing::Surroundings;
use crate::service::Live;
use crate::source::Shared;
use crate::state::store::{EPISODES, FINISHED, GROUPS, OUTBOX, Store, StoreError, TOLD, Tx, USED, WHY_NOT};
use crate::state::{Ack, Episode, OutboxRow, Silence};

/// How long the button of a message silences.
pub const BUTTON_SILENCE_NS: i64 = 3600 * 1_000_000_000;

/// Cheap to clone: what the rest of the process asks.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) store: Store,
    pub(crate) live: Arc<Live>,
    pub(crate) clock: Clock,
    pub(crate) source: Shared,
    /// One backtest at a time: each may take all that a processor has.
    pub(crate) backtests: Arc<Semaphore>,
    pub(crate) started_wall: i64,
}

/// What became of a pressed button or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acted {
    Acked(usize),
    Silenced(Silence),
    /// It is over already.
    Nothing,
}

/// That somebody has an alert in hand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AckWish {
    pub by: String,
    pub comment: String,
    /// `None`: to the end of the alert.
    pub for_ns: Option<i64>,
}

impl AckWish {
    fn by(by: &str) -> AckWish {
        AckWish { by: by.to_owned(), ..AckWish::default() }
    }

    fn at(&self, now_wall: i64) -> Ack {
        let by = if self.by.trim().is_empty() { "somebody" } else { self.by.trim() };
        let comment = text::clip(&self.comment, silence::COMMENT_CHARS_MAX);
        let until_wall = self.for_ns.map(|for_ns| now_wall.saturating_add(for_ns));
        Ack { by: text::clip(by, 200), wall: now_wall, comment, severity: Severity::Info, until_wall }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ActError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("this link was used already")]
    Used,
    #[error("this link only shows")]
    Shows,
    #[error(transparent)]
    Silence(#[from] SilenceError),
}

impl From<StoreError> for ActError {
    fn from(error: StoreError) -> ActError {
        ActError::Silence(error.into())
    }
}

impl Handle {
    /// The paths that ask for one right.
    pub fn router(&self, right: Right) -> axum::Router {
        crate::api::router(self.clone(), right)
    }

    /// For `/health/ready`: `None` when rules are evaluated. A mistake in a file does not count: the last good files
    /// are in force, and logs must be taken meanwhile; `/api/v1/rules` and `logweir_rules_problems` have it.
    pub fn problem(&self) -> Option<String> {
        self.live.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is not as it should be although rules are evaluated: mistakes in files, rules that cannot be asked.
    pub fn warning(&self) -> Option<String> {
        let (mistakes, failing) = (self.live.problems().len(), self.live.failing());
        let one = |count: usize, what: &str| (count > 0).then(|| format!("{count} {what}"));
        let parts = [one(mistakes, "mistakes in rule and routing files"), one(failing, "rules cannot be evaluated")];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| format!("{}: see `logweir rules list`", parts.join(", ")))
    }

    pub async fn silences(&self) -> Result<Vec<Silence>, StoreError> {
        self.store.read_async(silence::list).await
    }

    pub async fn silence(&self, new: NewSilence) -> Result<Silence, SilenceError> {
        let now_wall = self.clock.now_ns();
        let made = self.write(move |tx| change(tx, |tx| silence::add(tx, new, now_wall))).await??;
        tracing::info!(id = made.id, author = made.author, matchers = ?made.matchers, "silenced");
        Ok(made)
    }

    /// Ends a silence now.
    pub async fn unsilence(&self, id: &str) -> Result<Silence, SilenceError> {
        let (now_wall, id) = (self.clock.now_ns(), id.to_owned());
        let ended = self.write(move |tx| change(tx, |tx| silence::expire(tx, &id, now_wall))).await??;
        tracing::info!(id = ended.id, author = ended.author, "a silence was ended");
        Ok(ended)
    }

    /// Notes that somebody has an alert in hand. `false`: it does not fire.
    pub async fn ack(&self, episode: &str, wish: AckWish) -> Result<bool, StoreError> {
        let ack = wish.at(self.clock.now_ns());
        let (routing, episode) = (self.live.routing(), episode.to_owned());
        self.write(move |tx| operate::ack(tx, routing.as_deref(), &episode, ack)).await
    }

    /// The whole story of an alert: why it fired, where it goes, who was told, who was not and why.
    pub async fn why(&self, episode: &str) -> Result<Option<Value>, StoreError> {
        let (routing, id, now_wall) = (self.live.routing(), episode.to_owned(), self.clock.now_ns());
        self.store
            .read_async(move |view| {
                let Some(episode) = view.get(EPISODES, &id)? else { return Ok(None) };
                let around = Surroundings::view(view, now_wall)?;
                let labels = routing_labels(&episode);
                let goes = routing.map(|r| destinations(&r, &around, &id, &labels, now_wall)).unwrap_or_default();
                let about = |rows: Vec<(String, OutboxRow)>| -> Vec<Value> {
                    let rows = rows.into_iter().map(|(_, row)| row).filter(|row| row.episodes.contains(&id));
                    rows.map(|row| row_json(&row)).collect()
                };
                let mut messages = about(view.scan(OUTBOX, "")?);
                messages.extend(about(view.scan(FINISHED, "")?));
                let prefix = format!("{id}\0");
                let behind = |key: &str| key[prefix.len()..].to_owned();
                let quiet: serde_json::Map<String, Value> = view
                    .scan(WHY_NOT, &prefix)?
                    .into_iter()
                    .map(|(key, reasons)| (behind(&key), reasons.iter().map(suppression_json).collect()))
                    .collect();
                let told: serde_json::Map<String, Value> =
                    view.scan(TOLD, &prefix)?.into_iter().map(|(key, told)| (behind(&key), json!(told))).collect();
                Ok(Some(why_json(&episode, &goes, quiet, told, messages, now_wall)))
            })
            .await
    }

    pub async fn outbox(&self) -> Result<Vec<OutboxRow>, StoreError> {
        self.store.read_async(operate::waiting).await
    }

    /// Messages that were given up, the newest first.
    pub async fn dead(&self) -> Result<Vec<OutboxRow>, StoreError> {
        self.store.read_async(operate::dead).await
    }

    /// Tries a message again now. `false`: there is none of this id that waits or was given up.
    pub async fn retry(&self, id: &str) -> Result<bool, StoreError> {
        let (id, now_wall) = (id.to_owned(), self.clock.now_ns());
        self.write(move |tx| operate::retry(tx, &id, now_wall)).await
    }

    /// Sends a marked message to every channel of a receiver. The ids of the messages; `None`: no such receiver.
    pub async fn test_receiver(&self, receiver: &str) -> Result<Option<Vec<String>>, StoreError> {
        let Some(routing) = self.live.routing() else { return Ok(None) };
        let (receiver, now_wall) = (receiver.to_owned(), self.clock.now_ns());
        self.write(move |tx| operate::test(tx, &routing, &receiver, now_wall)).await
    }

    /// Where an alert with these labels would go, now or at another time.
    pub async fn route_test(&self, labels: Labels, at_wall: Option<i64>) -> Result<Vec<Destination>, StoreError> {
        let Some(routing) = self.live.routing() else { return Ok(Vec::new()) };
        let at_wall = at_wall.unwrap_or(self.clock.now_ns());
        self.store
            .read_async(move |view| {
                let around = Surroundings::view(view, at_wall)?;
                Ok(destinations(&routing, &around, "", &labels, at_wall))
            })
            .await
    }

    /// Somebody's heartbeat. `false`: nobody waits for one of this name.
    pub async fn heartbeat(&self, name: &str) -> Result<bool, StoreError> {
        let Some(routing) = self.live.routing() else { return Ok(false) };
        let (name, now_wall) = (name.to_owned(), self.clock.now_ns());
        self.write(move |tx| heartbeat::beat(tx, &routing, &name, now_wall)).await
    }

    /// Does what a signed link says, once.
    pub async fn act_by_link(&self, token: &str, by: &str) -> Result<Acted, ActError> {
        let now_wall = self.clock.now_ns();
        let (action, target) = self.live.signer.open(token, now_wall)?;
        let used = blake3::hash(token.as_bytes()).to_hex().to_string();
        let fresh = self.write(move |tx| match tx.get(USED, &used)? {
            Some(_) => Ok(false),
            None => tx.put(USED, &used, &now_wall).map(|()| true),
        });
        if !fresh.await? {
            return Err(ActError::Used);
        }
        self.act(action, &target, by).await
    }

    /// Does what a button says; the caller has checked who pressed it.
    pub async fn act(&self, action: Action, target: &Target, by: &str) -> Result<Acted, ActError> {
        let episodes = self.firing(target).await?;
        let (Some(first), now_wall) = (episodes.first(), self.clock.now_ns()) else { return Ok(Acted::Nothing) };
        match action {
            Action::Ack => {
                let mut acked = 0;
                for episode in &episodes {
                    acked += usize::from(self.ack(&episode.id, AckWish::by(by)).await?);
                }
                Ok(Acted::Acked(acked))
            }
            Action::SilenceHour => {
                let mut labels = first.labels.clone();
                for other in &episodes[1..] {
                    labels.retain(|key, value| other.labels.get(key) == Some(value));
                }
                let new = NewSilence {
                    matchers: silence::matchers_of(&labels),
                    starts_wall: None,
                    ends_wall: now_wall.saturating_add(BUTTON_SILENCE_NS),
                    author: by.to_owned(),
                    comment: "by a button of a message".to_owned(),
                };
                Ok(Acted::Silenced(self.silence(new).await?))
            }
            Action::Why | Action::Chart => Err(ActError::Shows),
        }
    }

    /// Everybody in a life of a group has it in hand, as PagerDuty says.
    pub async fn ack_thread(&self, thread: &str, by: &str) -> Result<usize, StoreError> {
        let Some((key, _)) = thread.rsplit_once('-') else { return Ok(0) };
        let mut acked = 0;
        for episode in self.firing(&Target::Group(key.to_owned())).await? {
            acked += usize::from(self.ack(&episode.id, AckWish::by(by)).await?);
        }
        Ok(acked)
    }

    pub(crate) async fn episode(&self, id: &str) -> Result<Option<Episode>, StoreError> {
        let id = id.to_owned();
        self.store.read_async(move |view| view.get(EPISODES, &id)).await
    }

    /// What of a target fires.
    async fn firing(&self, target: &Target) -> Result<Vec<Episode>, StoreError> {
        let target = target.clone();
        self.store
            .read_async(move |view| {
                let ids = match target {
                    Target::Episode(id) => vec![id],
                    Target::Group(key) => {
                        let group = view.get(GROUPS, &key)?;
                        group.map(|group| group.members.into_keys().collect()).unwrap_or_default()
                    }
                };
                let mut found = Vec::new();
                for id in ids {
                    found.extend(view.get(EPISODES, &id)?.filter(Episode::is_firing));
                }
                Ok(found)
            })
            .await
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tx) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let done = self.store.write_async(work).await;
        self.live.wake.notify_one();
        done
    }
}

/// A change of silences: what is held because of them is decided anew. What was wrong with the wish is no error of the
/// transaction.
fn change<T>(
    tx: &Tx,
    work: impl FnOnce(&Tx) -> Result<T, SilenceError>,
) -> Result<Result<T, SilenceError>, StoreError> {
    match work(tx) {
        Ok(value) => group::reconsider(tx).map(|()| Ok(value)),
        Err(SilenceError::Store(error)) => Err(error),
        Err(other) => Ok(Err(other)),
    }
}

fn suppression_json(reason: &crate::state::records::Suppression) -> Value {
    json!({
        "kind": reason.kind,
        "reason": reason.reason,
        "since": rfc3339(reason.since_wall),
        "ended": reason.ended_wall.map(rfc3339),
    })
}

fn why_json(
    episode: &Episode,
    goes: &[Destination],
    quiet: serde_json::Map<String, Value>,
    told: serde_json::Map<String, Value>,
    messages: Vec<Value>,
    now_wall: i64,
) -> Value {
    json!({
        "id": episode.id,
        "summary": episode.summary,
        "rule": episode.rule,
        "rule_at": text::rule_text(episode),
        "severity": episode.severity,
        "labels": episode.labels,
        "opened": rfc3339(episode.opened_at),
        "closed": episode.closed_at.map(rfc3339),
        "fired_because": episode.reason,
        "closed_because": episode.close_reason,
        "values": episode.values,
        "first_values": episode.first_values,
        "acknowledged": episode.extra.ack.as_ref().map(|ack| json!({"by": ack.by, "at": rfc3339(ack.wall), "until": ack.until_wall.map(rfc3339), "comment": ack.comment, "holds": episode.acked(now_wall).is_some()})),
        "flapping": episode.extra.flapping,
        "lineage": episode.annotations.get("lineage"),
        "routes_now": goes,
        "not_told": quiet,
        "told": told,
        "notifications": messages,
    })
}

#[cfg(test)]
mod tests;

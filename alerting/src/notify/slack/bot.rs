//! Slack with a bot token: one thread per life of a group. Its first message is edited and always shows what is true
//! now; what changes is also a short reply below it.
//!
//! Slack has no key by which it would drop a repetition. After an attempt whose end is not known, the recent history of
//! the channel is searched for our message id (scope `channels:history`); without that scope it may come twice.

use serde_json::{Value, json};

use super::{Buttons, escape, payload};
use crate::notify::http::Poster;
use crate::notify::message::Message;
use crate::notify::outbox::Sent;
use crate::notify::policy::Outcome;
use crate::notify::text::title;
use crate::route::channel::SlackBot;
use crate::state::RowKind;
use crate::state::records::ThreadRef;

/// Replies below the first message.
const REPLY_CHARS_MAX: usize = 1_000;
/// Messages of the history that are looked at.
const HISTORY_MAX: usize = 20;
const EVENT_TYPE: &str = "logweir_alert";
/// Edits that will never work again: a new message takes the place of the old one.
const EDIT_OVER: [&str; 5] =
    ["message_not_found", "cant_update_message", "edit_window_closed", "is_inactive", "channel_not_found"];

struct Api<'a> {
    bot: &'a SlackBot,
    poster: &'a Poster,
}

pub(super) async fn send(bot: &SlackBot, buttons: Buttons, poster: &Poster, message: &Message) -> Sent {
    let api = Api { bot, poster };
    let body = full(bot, message, buttons);
    if bot.thread
        && let Some(place) = &message.place
    {
        let mut edit = body.clone();
        (edit["channel"], edit["ts"]) = (json!(place.channel), json!(place.ts));
        match api.call("chat.update", &edit).await {
            Ok(_) => return reply(&api, message, place).await,
            Err(Failure::Slack(error)) if EDIT_OVER.contains(&error.as_str()) => {
                tracing::info!(error, "a Slack message cannot be edited any more: a new one begins");
            }
            Err(failure) => return failure.outcome().into(),
        }
    }
    if message.doubtful
        && let Some(place) = api.find(message).await
    {
        return Sent { outcome: fine(), place: Some(place) };
    }
    match api.call("chat.postMessage", &body).await {
        Ok(answer) => {
            let text = |name: &str| answer[name].as_str().map(str::to_owned);
            let place = text("channel").zip(text("ts")).map(|(channel, ts)| ThreadRef { channel, ts });
            Sent { outcome: fine(), place: place.filter(|_| bot.thread) }
        }
        Err(failure) => failure.outcome().into(),
    }
}

/// The body of a first message.
pub(super) fn full(bot: &SlackBot, message: &Message, buttons: Buttons) -> Value {
    let mut body = payload(message, buttons);
    body["channel"] = json!(bot.channel);
    body["unfurl_links"] = json!(false);
    body["unfurl_media"] = json!(false);
    body["metadata"] = json!({"event_type": EVENT_TYPE, "event_payload": {"notif_id": message.id}});
    body
}

/// What changed, below the first message. What somebody pressed is seen there already.
async fn reply(api: &Api<'_>, message: &Message, place: &ThreadRef) -> Sent {
    let kept = |outcome: Outcome| Sent { outcome, place: Some(place.clone()) };
    if message.kind == RowKind::Ack {
        return kept(fine());
    }
    if message.doubtful && api.find(message).await.is_some() {
        return kept(fine());
    }
    let first = message.alerts.first().map_or("", |alert| alert.summary.as_str());
    let body = json!({
        "channel": place.channel,
        "thread_ts": place.ts,
        "text": escape(&format!("{}: {first}", title(message)), REPLY_CHARS_MAX),
        "metadata": {"event_type": EVENT_TYPE, "event_payload": {"notif_id": message.id}},
    });
    match api.call("chat.postMessage", &body).await {
        Ok(_) => kept(fine()),
        Err(failure) => kept(failure.outcome()),
    }
}

fn fine() -> Outcome {
    Outcome::Status { code: 200, retry_after_ns: None, body: "ok".to_owned() }
}

enum Failure {
    Http(Outcome),
    Slack(String),
}

impl Failure {
    fn outcome(self) -> Outcome {
        match self {
            Failure::Http(outcome) => outcome,
            Failure::Slack(error) => {
                let passing = [
                    "ratelimited",
                    "rate_limited",
                    "internal_error",
                    "fatal_error",
                    "service_unavailable",
                    "request_timeout",
                    "team_added_to_org",
                ];
                if passing.contains(&error.as_str()) { Outcome::Later(error) } else { Outcome::Rejected(error) }
            }
        }
    }
}

impl Api<'_> {
    async fn call(&self, method: &str, body: &Value) -> Result<Value, Failure> {
        let url = format!("{}/{method}", self.bot.api_url.trim_end_matches('/'));
        let (outcome, bytes) = self.poster.call_json(&url, Some(&self.bot.token), body).await;
        if !matches!(outcome, Outcome::Status { code: 200, .. }) {
            return Err(Failure::Http(outcome));
        }
        // Slack says with status 200 what went wrong.
        let Ok(answer) = serde_json::from_slice::<Value>(&bytes) else {
            return Err(Failure::Http(Outcome::Broken("the answer is not JSON".to_owned())));
        };
        if answer["ok"] == true {
            return Ok(answer);
        }
        let error = answer["error"].as_str().unwrap_or("unknown");
        Err(Failure::Slack(error.chars().take(100).collect()))
    }

    /// Where an earlier attempt of this message is, if it arrived.
    async fn find(&self, message: &Message) -> Option<ThreadRef> {
        let body = json!({"channel": self.bot.channel, "limit": HISTORY_MAX, "include_all_metadata": true});
        let answer = self.call("conversations.history", &body).await.ok()?;
        let found = answer["messages"]
            .as_array()?
            .iter()
            .find(|known| known["metadata"]["event_payload"]["notif_id"] == message.id.as_str())?;
        let ts = found["ts"].as_str()?.to_owned();
        Some(ThreadRef { channel: self.bot.channel.clone(), ts })
    }
}

#[cfg(test)]
mod tests;

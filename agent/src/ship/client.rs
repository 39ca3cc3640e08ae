//! Delivers one batch: tries until the server has stored it or refuses its content.
//!
//! A delivery can be dropped at any moment: what was planned is in the checkpoint, and is cut and sent again.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use logweir_proto::api::{BatchAnswer, ErrorBody};
use logweir_proto::batch::CONTENT_TYPE;
use logweir_runtime::backoff::Backoff;
use logweir_runtime::secrets::Secret;
use reqwest::header;
use tokio::time::Instant;

use super::connect::{Connector, TRY_TIMEOUT};
use super::policy::{Action, Body, Reply, Why, decide, retry_after};
use super::servers::{Next, Servers};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::metrics;
use crate::status::Status;

/// Larger answers are not ours.
pub const ANSWER_BYTES_MAX: usize = 4 << 20;
pub const BACKOFF_BASE: Duration = Duration::from_millis(200);
pub const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// `--once` gives up after this time without an answer.
pub const ONCE_PATIENCE: Duration = Duration::from_secs(60);
/// The same trouble is logged again after this time.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// How a delivery ended.
#[derive(Debug)]
pub enum Outcome {
    Acked(BatchAnswer),
    /// Too large for the server.
    Split,
    /// The server refuses the content.
    Refused(String),
    /// Only with limited patience.
    GaveUp(Why),
}

/// Where batches go.
#[derive(Debug, Clone)]
pub struct Client {
    urls: Vec<String>,
    token: Option<Secret>,
    token_file: Option<PathBuf>,
    patience: Option<Duration>,
    seed: u64,
    status: Status,
    route: Arc<Mutex<Route>>,
}

/// What changes from try to try.
#[derive(Debug)]
struct Route {
    connector: Connector,
    servers: Servers,
}

/// One try.
struct Attempt {
    reply: Reply,
    answer: BatchAnswer,
    detail: String,
}

impl Client {
    /// `seed` separates the jitter of the agents.
    pub fn new(config: &Config, seed: u64, status: Status) -> Result<Client> {
        Client::with_timeout(config, seed, status, TRY_TIMEOUT)
    }

    fn with_timeout(config: &Config, seed: u64, status: Status, timeout: Duration) -> Result<Client> {
        let first = config.server_url.iter().chain(&config.server_fallbacks);
        let urls: Vec<String> = first.map(|server| format!("{server}/api/v1/batches")).collect();
        if urls.is_empty() {
            return Err(Error::NoServer);
        }
        let route = Route { connector: Connector::new(config, timeout)?, servers: Servers::new(urls.len()) };
        Ok(Client {
            urls,
            token: config.token.clone(),
            token_file: config.token_file.clone(),
            patience: config.once.then_some(ONCE_PATIENCE),
            seed,
            status,
            route: Arc::new(Mutex::new(route)),
        })
    }

    /// Sends the same bytes until they are stored or refused.
    pub async fn deliver(&self, batch: Bytes) -> Outcome {
        let mut backoff = Backoff::new(BACKOFF_BASE, BACKOFF_MAX, self.seed);
        let begun = Instant::now();
        let mut complained: Option<(Why, Instant)> = None;
        let mut server = self.route().servers.choose(begun);
        loop {
            let url = &self.urls[server];
            let Attempt { reply, answer, detail } = self.attempt(url, batch.clone()).await;
            let (after, why) = match decide(&reply) {
                Action::Accept => {
                    self.route().servers.worked();
                    self.status.delivered();
                    if complained.is_some() {
                        tracing::info!(url, "the server takes batches again");
                    }
                    return Outcome::Acked(answer);
                }
                Action::Split => return Outcome::Split,
                Action::Isolate => return Outcome::Refused(detail),
                Action::Retry { after, why } => (after, why),
            };
            metrics::attempt_failed(why.as_str());
            self.status.failed(why);
            let news = complained.is_none_or(|(before, at)| before != why || at.elapsed() >= COMPLAIN_EVERY);
            if news {
                complained = Some((why, Instant::now()));
                let (why, hint) = (why.as_str(), why.hint());
                tracing::warn!(url, why, detail, hint, "cannot deliver, trying on");
            }
            if self.patience.is_some_and(|patience| begun.elapsed() >= patience) {
                return Outcome::GaveUp(why);
            }
            let next = self.route().servers.failed(why, Instant::now());
            if let Next::Switch(other) = next {
                tracing::warn!(from = url, to = self.urls[other], why = why.as_str(), "another server takes over");
                server = other;
                metrics::switched();
            }
            let step = backoff.next_delay();
            tokio::time::sleep(after.map_or(step, |after| after.max(step))).await;
        }
    }

    fn route(&self) -> MutexGuard<'_, Route> {
        self.route.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn attempt(&self, url: &str, batch: Bytes) -> Attempt {
        let http = self.route().connector.client();
        let mut request = http.post(url).header(header::CONTENT_TYPE, CONTENT_TYPE).body(batch);
        match self.token() {
            Ok(Some(token)) => request = request.bearer_auth(token.expose()),
            Ok(None) => {}
            Err(detail) => return Attempt { reply: token_unreadable(), answer: BatchAnswer::default(), detail },
        }
        match read_answer(request).await {
            Ok(attempt) => attempt,
            Err(error) => {
                Attempt { reply: Reply::Network, answer: BatchAnswer::default(), detail: with_causes(&error) }
            }
        }
    }

    /// The file is read for each try: a token that is replaced is used without a restart.
    fn token(&self) -> Result<Option<Secret>, String> {
        match (&self.token, &self.token_file) {
            (Some(token), _) => Ok(Some(token.clone())),
            (None, Some(path)) => {
                Secret::read_file(path).map(Some).map_err(|error| format!("{}: {error}", path.display()))
            }
            (None, None) => Ok(None),
        }
    }
}

/// A token that cannot be read is as good as one that is refused: somebody has to mend it.
fn token_unreadable() -> Reply {
    Reply::Answer { status: 401, retry_after: None, body: Body::Foreign }
}

async fn read_answer(request: reqwest::RequestBuilder) -> Result<Attempt, reqwest::Error> {
    let mut response = request.send().await?;
    let status = response.status().as_u16();
    let header = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after(header);
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await? {
        if body.len() + part.len() > ANSWER_BYTES_MAX {
            body.clear();
            break;
        }
        body.extend_from_slice(&part);
    }
    let success = (200..=299).contains(&status);
    let (answer, body, detail) = read_body(success, &body);
    let detail = format!("status {status}{detail}");
    Ok(Attempt { reply: Reply::Answer { status, retry_after, body }, answer, detail })
}

fn read_body(success: bool, body: &[u8]) -> (BatchAnswer, Body, String) {
    if success {
        if let Ok(answer) = serde_json::from_slice::<BatchAnswer>(body) {
            return (answer, Body::Stored, String::new());
        }
    } else if let Ok(refusal) = serde_json::from_slice::<ErrorBody>(body) {
        return (BatchAnswer::default(), Body::Refusal, format!(": {}", refusal.error.message));
    }
    (BatchAnswer::default(), Body::Foreign, String::new())
}

/// reqwest's own message hides why a connection failed.
pub(super) fn with_causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests;

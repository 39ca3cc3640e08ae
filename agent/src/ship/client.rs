//! Delivers one batch: tries until the server has stored it or refuses its content.
//!
//! A delivery can be dropped at any moment: what was planned is in the checkpoint, and is cut and sent again.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use logweir_proto::api::{BatchAnswer, ErrorBody};
use logweir_proto::batch::CONTENT_TYPE;
use logweir_runtime::backoff::Backoff;
use logweir_runtime::loopback::is_loopback_host;
use logweir_runtime::secrets::Secret;
use logweir_runtime::tls;
use reqwest::header;
use tokio::time::Instant;

use super::policy::{Action, Body, Reply, Why, decide, retry_after};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::metrics;

pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A try as a whole: the server answers when the batch is durable, which is a matter of milliseconds.
pub const TRY_TIMEOUT: Duration = Duration::from_secs(60);
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
    http: reqwest::Client,
    url: String,
    token: Option<Secret>,
    token_file: Option<PathBuf>,
    patience: Option<Duration>,
    seed: u64,
}

impl Client {
    /// `seed` separates the jitter of the agents.
    pub fn new(config: &Config, seed: u64) -> Result<Client> {
        tls::install_provider();
        let server = config.server_url.as_ref().ok_or(Error::NoServer)?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("logweir-agent/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TRY_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        let local = |url: reqwest::Url| url.host_str().is_some_and(is_loopback_host);
        if reqwest::Url::parse(server).is_ok_and(local) {
            builder = builder.no_proxy();
        }
        if let Some(path) = &config.ca_file {
            let bad = |reason: String| Error::Ca { path: path.clone(), reason };
            let pem = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
            let authorities = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| bad(error.to_string()))?;
            if authorities.is_empty() {
                return Err(bad("no certificate in it".to_owned()));
            }
            builder = builder.tls_certs_only(authorities);
        }
        Ok(Client {
            http: builder.build()?,
            url: format!("{server}/api/v1/batches"),
            token: config.token.clone(),
            token_file: config.token_file.clone(),
            patience: config.once.then_some(ONCE_PATIENCE),
            seed,
        })
    }

    /// Sends the same bytes until they are stored or refused.
    pub async fn deliver(&self, batch: Bytes) -> Outcome {
        let mut backoff = Backoff::new(BACKOFF_BASE, BACKOFF_MAX, self.seed);
        let begun = Instant::now();
        let mut complained: Option<(Why, Instant)> = None;
        loop {
            let (reply, answer, detail) = self.attempt(batch.clone()).await;
            let (after, why) = match decide(&reply) {
                Action::Accept => {
                    if complained.is_some() {
                        tracing::info!(url = %self.url, "the server takes batches again");
                    }
                    return Outcome::Acked(answer);
                }
                Action::Split => return Outcome::Split,
                Action::Isolate => return Outcome::Refused(detail),
                Action::Retry { after, why } => (after, why),
            };
            metrics::attempt_failed(why.as_str());
            let news = complained.is_none_or(|(before, at)| before != why || at.elapsed() >= COMPLAIN_EVERY);
            if news {
                complained = Some((why, Instant::now()));
                let (why, hint) = (why.as_str(), why.hint());
                tracing::warn!(url = %self.url, why, detail, hint, "cannot deliver, trying on");
            }
            if self.patience.is_some_and(|patience| begun.elapsed() >= patience) {
                return Outcome::GaveUp(why);
            }
            let step = backoff.next_delay();
            tokio::time::sleep(after.map_or(step, |after| after.max(step))).await;
        }
    }

    async fn attempt(&self, batch: Bytes) -> (Reply, BatchAnswer, String) {
        let mut request = self.http.post(&self.url).header(header::CONTENT_TYPE, CONTENT_TYPE).body(batch);
        match self.token() {
            Ok(Some(token)) => request = request.bearer_auth(token.expose()),
            Ok(None) => {}
            Err(detail) => return (token_unreadable(), BatchAnswer::default(), detail),
        }
        match read_answer(request).await {
            Ok(answer) => answer,
            Err(error) => (Reply::Network, BatchAnswer::default(), with_causes(&error)),
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

async fn read_answer(request: reqwest::RequestBuilder) -> Result<(Reply, BatchAnswer, String), reqwest::Error> {
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
    Ok((Reply::Answer { status, retry_after, body }, answer, format!("status {status}{detail}")))
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
fn with_causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

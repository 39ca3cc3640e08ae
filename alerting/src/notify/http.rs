//! One POST with every limit: no redirects, no proxy, checked address, bounded time, bounded answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Url};
use serde_json::Value;

use super::guard::{self, GuardedResolver, RefusedName};
use super::policy::Outcome;
use crate::route::channel::{NetRules, SecretSource};

pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(30);
/// What is read of an answer.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;
/// What of an answer is kept for people.
const ANSWER_SHOWN_CHARS: usize = 200;

/// The clients of one channel, made when first needed.
#[derive(Debug, Clone)]
pub struct Poster {
    net: NetRules,
    plain: Arc<Mutex<Option<Client>>>,
    tls: Arc<Mutex<Option<Client>>>,
}

impl Poster {
    pub fn new(net: NetRules) -> Poster {
        Poster { net, plain: Arc::default(), tls: Arc::default() }
    }

    /// Sends a body. Everything that can go wrong is an [`Outcome`].
    pub async fn post(&self, url: &str, headers: HeaderMap, body: Bytes) -> Outcome {
        self.call(url, headers, body).await.0
    }

    /// Sends a body; answers also what came back, for interfaces that say there what went wrong.
    pub async fn call(&self, url: &str, headers: HeaderMap, body: Bytes) -> (Outcome, Vec<u8>) {
        match tokio::time::timeout(TOTAL_TIMEOUT, self.attempt(url, headers, body)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(outcome)) => (outcome, Vec::new()),
            Err(_) => (Outcome::Timeout, Vec::new()),
        }
    }

    /// Sends a JSON body, with a bearer token if there is one; answers also what came back.
    pub async fn call_json(&self, url: &str, bearer: Option<&SecretSource>, body: &Value) -> (Outcome, Vec<u8>) {
        match json_headers(bearer) {
            Ok(headers) => self.call(url, headers, Bytes::from(body.to_string())).await,
            Err(outcome) => (outcome, Vec::new()),
        }
    }

    /// Sends a JSON body to an address that is a secret itself.
    pub async fn post_json(&self, url: &SecretSource, body: &Value) -> Outcome {
        match url.read() {
            Ok(url) => self.call_json(url.expose(), None, body).await.0,
            Err(error) => Outcome::Misconfigured(error),
        }
    }

    async fn attempt(&self, url: &str, headers: HeaderMap, body: Bytes) -> Result<(Outcome, Vec<u8>), Outcome> {
        // The URL can be a secret: what is wrong with it is said without it.
        let Ok(url) = Url::parse(url.trim()) else {
            return Err(Outcome::Misconfigured("the url cannot be read".to_owned()));
        };
        let client = self.checked(&url)?;
        let response = client.post(url).headers(headers).body(body).send().await.map_err(failure)?;
        let code = response.status().as_u16();
        let retry_after_ns = retry_after(response.headers());
        let body = read_capped(response).await;
        Ok((Outcome::Status { code, retry_after_ns, body: shown(&body) }, body))
    }

    fn checked(&self, url: &Url) -> Result<Client, Outcome> {
        let slot = match url.scheme() {
            "https" => &self.tls,
            "http" if self.net.may_be_plain(url.host_str().unwrap_or_default()) => &self.plain,
            "http" => return Err(Outcome::Refused("http without TLS needs insecure_http: true".to_owned())),
            other => return Err(Outcome::Misconfigured(format!("the scheme '{other}' is not http"))),
        };
        // An address in the URL is not resolved, so it is checked here.
        let host = url.host_str().unwrap_or_default();
        if let Ok(ip) = host.trim_matches(['[', ']']).parse() {
            guard::check(ip, &self.net.allow_private).map_err(|refused| Outcome::Refused(refused.to_string()))?;
        }
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*slot {
            return Ok(client.clone());
        }
        let client = self.build(url.scheme() == "https").map_err(|error| Outcome::Misconfigured(chain(&error)))?;
        *slot = Some(client.clone());
        Ok(client)
    }

    fn build(&self, tls: bool) -> reqwest::Result<Client> {
        logweir_runtime::tls::install_provider();
        let builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TOTAL_TIMEOUT)
            // A pooled connection was checked when it was made; a new message is checked anew.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("logweir/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(GuardedResolver { allow: self.net.allow_private.clone() });
        // Without TLS no root certificates are needed; a bare container has none.
        if tls { builder.build() } else { builder.tls_certs_only([]).build() }
    }
}

/// The headers of a JSON body, with a bearer token if there is one.
pub fn json_headers(bearer: Option<&SecretSource>) -> Result<HeaderMap, Outcome> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    if let Some(token) = bearer {
        let token = token.read().map_err(Outcome::Misconfigured)?;
        let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
        let mut value = value.map_err(|_| Outcome::Misconfigured("the token cannot be a header".to_owned()))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

fn failure(error: reqwest::Error) -> Outcome {
    // The URL may hold a secret.
    let error = error.without_url();
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(cause) = source {
        if let Some(refused) = cause.downcast_ref::<RefusedName>() {
            return Outcome::Refused(refused.0.to_string());
        }
        source = cause.source();
    }
    if error.is_connect() {
        return Outcome::NoConnection(chain(&error));
    }
    if error.is_timeout() {
        return Outcome::Timeout;
    }
    if error.is_builder() {
        return Outcome::Misconfigured(chain(&error));
    }
    Outcome::Broken(chain(&error))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// `Retry-After` in seconds; its other form, a date, is left to our own patience.
fn retry_after(headers: &HeaderMap) -> Option<i64> {
    let seconds: i64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    seconds.checked_mul(1_000_000_000).filter(|ns| *ns >= 0)
}

async fn read_capped(mut response: reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = ANSWER_BYTES_MAX - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() >= ANSWER_BYTES_MAX {
            break;
        }
    }
    body
}

fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let shown: String = text.trim().chars().take(ANSWER_SHOWN_CHARS).collect();
    logweir_proto::text::visible(&shown)
}

//! A receiver of alerts: checks the signature of Standard Webhooks and keeps what came.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, anyhow};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::eventually;

/// The key of the receiver, 32 bytes behind the prefix that the specification gives secrets.
pub const SECRET: &str = "whsec_bG9nd2Vpci10ZXN0cy1zZWNyZXQtb2YtMzItYnl0ZXM=";

/// Notifications that it keeps before it refuses more.
const KEPT_MAX: usize = 1_000;

/// One delivery.
#[derive(Debug, Clone)]
pub struct Notification {
    /// `webhook-id`: the same over all tries.
    pub id: String,
    /// `Ok`, or why the signature does not hold.
    pub signature: Result<(), String>,
    pub body: Value,
}

#[derive(Debug, Default)]
struct Kept {
    notifications: Vec<Notification>,
    /// Deliveries still to be answered with 503.
    refusals: u32,
}

/// Listens on a port of its own until dropped.
#[derive(Debug)]
pub struct Receiver {
    url: String,
    kept: Arc<Mutex<Kept>>,
    task: JoinHandle<()>,
}

impl Receiver {
    pub async fn start() -> anyhow::Result<Receiver> {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/alerts", listener.local_addr()?);
        let router = Router::new().route("/alerts", post(receive)).with_state(kept.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("webhook receiver: {error}");
            }
        });
        Ok(Receiver { url, kept, task })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers the next deliveries with 503: they have to come again.
    pub fn refuse(&self, deliveries: u32) -> anyhow::Result<()> {
        self.kept.lock().map_err(|_| anyhow!("the receiver has panicked"))?.refusals = deliveries;
        Ok(())
    }

    pub fn notifications(&self) -> anyhow::Result<Vec<Notification>> {
        let kept = self.kept.lock().map_err(|_| anyhow!("the receiver has panicked"))?;
        Ok(kept.notifications.clone())
    }

    /// Waits for the first notification that `wanted` accepts.
    pub async fn wait_for(
        &self,
        within: Duration,
        what: &str,
        wanted: impl Fn(&Notification) -> bool,
    ) -> anyhow::Result<Notification> {
        eventually(within, what, async || {
            let notifications = self.notifications()?;
            let count = notifications.len();
            let found = notifications.into_iter().find(&wanted);
            found.map(Some).with_context(|| format!("{count} others came"))
        })
        .await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(State(kept): State<Arc<Mutex<Kept>>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let id = header("webhook-id");
    let signature = verify(&id, &header("webhook-timestamp"), &header("webhook-signature"), &body);
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let Ok(mut kept) = kept.lock() else { return StatusCode::INTERNAL_SERVER_ERROR };
    if kept.refusals > 0 || kept.notifications.len() >= KEPT_MAX {
        kept.refusals = kept.refusals.saturating_sub(1);
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    kept.notifications.push(Notification { id, signature, body });
    StatusCode::NO_CONTENT
}

/// `v1,base64(HMAC-SHA256(id.timestamp.body))`, any of the list.
pub(super) fn verify(id: &str, timestamp: &str, signatures: &str, body: &[u8]) -> Result<(), String> {
    let key = SECRET.strip_prefix("whsec_").and_then(|key| STANDARD.decode(key).ok()).ok_or("the key is not base64")?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|error| error.to_string())?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    let right = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    match signatures.split(' ').any(|signature| signature == right) {
        true if !id.is_empty() => Ok(()),
        true => Err("signed without an id".to_owned()),
        false => Err(format!("signature {signatures:?} of id {id:?} at {timestamp:?} does not hold")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_signature_holds() {
        assert!(verify("a", "1", "v1,xx v2,yy", b"{}").is_err());
        let key = STANDARD.decode(&SECRET[6..]).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(b"a.1.{}");
        let right = format!("v1,AAAA v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(verify("a", "1", &right, b"{}"), Ok(()));
        assert!(verify("a", "1", &right, b"{ }").is_err());
        assert!(verify("", "1", &right, b"{}").is_err());
    }
}

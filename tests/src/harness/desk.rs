//! A desk that takes alerts by every way there is: a webhook, Slack, PagerDuty and mail, each as its service documents
//! it, and keeps what came by the ids that each service looks at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::webhook::verify;

/// Every so many requests one is refused, so that messages are also on their way when a process dies.
const REFUSED_EVERY: u64 = 17;
const MAIL_LINES_MAX: usize = 10_000;

/// What came, by the texts that name an incident.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// Incident and whether it fires: the ids of the messages.
    pub webhook: BTreeMap<(String, bool), BTreeSet<String>>,
    /// Incident: the ids of its episodes.
    pub episodes: BTreeMap<String, BTreeSet<String>>,
    /// `dedup_key`: which incident, and whether its end came.
    pub pages: BTreeMap<String, (String, bool)>,
    /// Thread: the ids of its mails.
    pub mails: BTreeMap<String, BTreeSet<String>>,
    /// Incident and whether it fires: messages.
    pub slack: BTreeMap<(String, bool), u64>,
    ids: BTreeSet<String>,
    /// What no service would have taken.
    pub broken: Vec<String>,
    requests: u64,
}

type Shared = Arc<Mutex<Seen>>;

/// Listens on ports of its own until dropped.
#[derive(Debug)]
pub struct Desk {
    pub http: String,
    pub smtp_port: u16,
    seen: Shared,
    _tasks: JoinSet<()>,
}

impl Desk {
    pub async fn start() -> anyhow::Result<Desk> {
        let seen = Shared::default();
        let mut tasks = JoinSet::new();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let http = format!("http://{}", listener.local_addr()?);
        let router = Router::new().route("/{service}", post(take)).with_state(Arc::clone(&seen));
        tasks.spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("desk: {error}");
            }
        });
        let mail = TcpListener::bind("127.0.0.1:0").await?;
        let smtp_port = mail.local_addr()?.port();
        let kept = Arc::clone(&seen);
        tasks.spawn(async move {
            while let Ok((stream, _)) = mail.accept().await {
                let kept = Arc::clone(&kept);
                // A mail that breaks off is no mail.
                tokio::spawn(async move { take_mail(stream, &kept).await.ok() });
            }
        });
        Ok(Desk { http, smtp_port, seen, _tasks: tasks })
    }

    pub fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }
}

impl Seen {
    /// The incidents that anybody was told of.
    pub fn incidents(&self) -> BTreeSet<String> {
        let pages = self.pages.values().map(|(incident, _)| incident);
        let told = self.webhook.keys().chain(self.slack.keys()).map(|(incident, _)| incident);
        pages.chain(told).cloned().collect()
    }

    /// Who was not told yet that it fires, or that it is over.
    pub fn waiting(&self, incident: &str, firing: bool) -> Vec<&'static str> {
        let key = (incident.to_owned(), firing);
        let page = self.pages.iter().find(|(_, (own, _))| own == incident);
        let mails = page.and_then(|(key, _)| self.mails.get(key.strip_prefix("lw-")?)).map_or(0, BTreeSet::len);
        let paged = page.is_some_and(|(_, (_, over))| firing || *over);
        let mailed = mails >= if firing { 1 } else { 2 };
        let told = [
            ("webhook", self.webhook.contains_key(&key)),
            ("slack", self.slack.contains_key(&key)),
            ("pagerduty", paged),
            ("mail", mailed),
        ];
        told.into_iter().filter(|(_, told)| !told).map(|(name, _)| name).collect()
    }

    /// Messages over one for each incident and state, where the service knows them apart by id.
    pub fn repeated_by_id(&self) -> usize {
        let webhook: usize = self.webhook.values().map(|ids| ids.len() - 1).sum();
        let incidents: BTreeSet<&String> = self.pages.values().map(|(incident, _)| incident).collect();
        let mails: usize = self.mails.values().map(|ids| ids.len().saturating_sub(2)).sum();
        webhook + mails + self.pages.len() - incidents.len()
    }

    pub fn repeated_at_slack(&self) -> u64 {
        self.slack.values().map(|count| count - 1).sum()
    }

    /// Incidents that had more than one episode.
    pub fn renamed(&self) -> usize {
        self.episodes.values().filter(|ids| ids.len() > 1).count()
    }

    fn webhook(&mut self, headers: &HeaderMap, body: &[u8]) -> anyhow::Result<()> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let id = header("webhook-id");
        verify(id, header("webhook-timestamp"), header("webhook-signature"), body).map_err(anyhow::Error::msg)?;
        if !self.ids.insert(id.to_owned()) {
            // Who knows the id has the message, whatever it says now.
            return Ok(());
        }
        let body: Value = serde_json::from_slice(body)?;
        for alert in body["alerts"].as_array().context("alerts")? {
            let incident = incident(alert["annotations"]["summary"].as_str().unwrap_or_default())?;
            let firing = alert["status"] == "firing";
            let episode = alert["episode"].as_str().context("an episode")?;
            self.episodes.entry(incident.clone()).or_default().insert(episode.to_owned());
            self.webhook.entry((incident, firing)).or_default().insert(id.to_owned());
        }
        Ok(())
    }

    fn slack(&mut self, body: &[u8]) -> anyhow::Result<()> {
        let body: Value = serde_json::from_slice(body)?;
        let text = body["text"].as_str().context("a text")?;
        *self.slack.entry((incident(text)?, !text.contains("resolved"))).or_default() += 1;
        Ok(())
    }

    fn page(&mut self, body: &[u8]) -> anyhow::Result<()> {
        let body: Value = serde_json::from_slice(body)?;
        let key = body["dedup_key"].as_str().context("a dedup_key")?.to_owned();
        match body["event_action"].as_str().context("an action")? {
            "trigger" => {
                let incident = incident(body["payload"]["summary"].as_str().context("a summary")?)?;
                self.pages.entry(key).or_insert((incident, false));
            }
            // PagerDuty drops what ends nothing.
            "resolve" => {
                if let Some(page) = self.pages.get_mut(&key) {
                    page.1 = true;
                }
            }
            other => anyhow::bail!("{other}"),
        }
        Ok(())
    }
}

/// `job-3 since 2026-…`, out of `no heartbeat of job-3 since 2026-…; one is expected`.
fn incident(text: &str) -> anyhow::Result<String> {
    let (_, rest) = text.split_once("no heartbeat of ").with_context(|| text.to_owned())?;
    Ok(rest.split(';').next().unwrap_or_default().to_owned())
}

fn lock(seen: &Shared) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn take(
    State(seen): State<Shared>,
    Path(service): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let mut seen = lock(&seen);
    seen.requests += 1;
    if seen.requests.is_multiple_of(REFUSED_EVERY) {
        return (StatusCode::SERVICE_UNAVAILABLE, "busy");
    }
    let (taken, code, answer) = match service.as_str() {
        "webhook" => (seen.webhook(&headers, &body), StatusCode::NO_CONTENT, ""),
        "slack" => (seen.slack(&body), StatusCode::OK, "ok"),
        "pagerduty" => (seen.page(&body), StatusCode::ACCEPTED, r#"{"status":"success"}"#),
        _ => (Err(anyhow::anyhow!("no such service")), StatusCode::NOT_FOUND, ""),
    };
    match taken {
        Ok(()) => (code, answer),
        Err(error) => {
            seen.broken.push(format!("{service}: {error:#}: {}", String::from_utf8_lossy(&body)));
            (StatusCode::BAD_REQUEST, "")
        }
    }
}

/// As much of SMTP as one mail takes.
async fn take_mail(stream: TcpStream, seen: &Shared) -> anyhow::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"220 desk\r\n").await?;
    while let Some(line) = lines.next_line().await? {
        let answer: &[u8] = match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_str() {
            "DATA" => {
                write.write_all(b"354 go on\r\n").await?;
                let mut mail = Vec::new();
                while let Some(line) = lines.next_line().await?
                    && line != "."
                    && mail.len() < MAIL_LINES_MAX
                {
                    mail.push(line);
                }
                let id = header(&mail, "message-id:").context("a mail without an id")?;
                let thread = header(&mail, "references:").context("a mail without a thread")?;
                lock(seen).mails.entry(thread).or_default().insert(id);
                b"250 taken\r\n"
            }
            "QUIT" => {
                write.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => b"250 ok\r\n",
        };
        write.write_all(answer).await?;
    }
    Ok(())
}

/// What stands before the `@` of an id in a header.
fn header(mail: &[String], name: &str) -> Option<String> {
    let at = mail.iter().position(|line| line.to_ascii_lowercase().starts_with(name))?;
    let next = mail.get(at + 1).filter(|line| line.starts_with([' ', '\t'])).map_or("", String::as_str);
    let text = format!("{}{next}", &mail[at][name.len()..]);
    let (_, id) = text.split_once('<')?;
    id.split('@').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_is_named_in_every_text() {
        let text = "✅ resolved: HeartbeatMissed: no heartbeat of job-3 since 2026-11-20T18:00:00Z; one is expected";
        assert_eq!(incident(text).unwrap(), "job-3 since 2026-11-20T18:00:00Z");
        assert!(incident("something else").is_err());
    }

    #[test]
    fn ids_of_mails_are_found_in_folded_headers() {
        let mail = ["Subject: x", "References:", " <abc-1@example.com>", "Message-ID: <msg_1@example.com>"];
        let mail = mail.map(str::to_owned);
        assert_eq!(header(&mail, "references:").as_deref(), Some("abc-1"));
        assert_eq!(header(&mail, "message-id:").as_deref(), Some("msg_1"));
        assert_eq!(header(&mail, "date:"), None);
    }
}

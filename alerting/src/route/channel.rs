//! What the routing file says of a channel: where it goes, with which secrets, how fast, and of what it is told.

use std::path::PathBuf;

use logweir_rules::model::Severity;
use logweir_runtime::loopback::is_loopback_host;
use logweir_runtime::secrets::Secret;

use super::cron::Cron;
use crate::notify::guard::Cidr;

/// One channel of a receiver.
#[derive(Debug, Clone)]
pub struct Channel {
    pub kind: Kind,
    pub net: NetRules,
    pub send_resolved: bool,
    /// What is less bad is not told here.
    pub min_severity: Severity,
    pub rate: Option<Rate>,
    /// Messages are collected and sent at these times.
    pub digest: Option<Cron>,
}

#[derive(Debug, Clone)]
pub enum Kind {
    Webhook(Webhook),
    Slack(Slack),
    Email(Email),
    PagerDuty(PagerDuty),
    Alertmanager(Alertmanager),
    Teams(Teams),
    Discord(Discord),
    Telegram(Telegram),
    Sms(Sms),
}

impl Channel {
    /// Whether the channel shows that somebody has an alert in hand.
    pub fn shows_acks(&self) -> bool {
        matches!(&self.kind, Kind::PagerDuty(_) | Kind::Slack(Slack { access: SlackAccess::Bot(_), .. }))
    }

    /// The host to which it speaks, as far as it can be known now.
    pub fn host(&self) -> Option<String> {
        let of = |source: &SecretSource| host_of(source.read().ok()?.expose());
        match &self.kind {
            Kind::Webhook(webhook) => of(&webhook.url),
            Kind::Slack(Slack { access: SlackAccess::Webhook(url), .. }) => of(url),
            Kind::Slack(Slack { access: SlackAccess::Bot(bot), .. }) => host_of(&bot.api_url),
            Kind::Email(email) => Some(email.server.host.clone()),
            Kind::PagerDuty(pagerduty) => host_of(&pagerduty.url),
            Kind::Alertmanager(target) => of(&target.url),
            Kind::Teams(teams) => of(&teams.url),
            Kind::Discord(discord) => of(&discord.url),
            Kind::Telegram(telegram) => host_of(&telegram.api_url),
            Kind::Sms(sms) => host_of(&sms.api_url),
        }
    }
}

impl Kind {
    /// What must never be shown, also when the other side sends it back.
    pub fn secrets(&self) -> Vec<&SecretSource> {
        match self {
            Kind::Webhook(own) => std::iter::once(&own.url).chain(&own.secrets).chain(&own.bearer).collect(),
            Kind::Slack(Slack { access: SlackAccess::Webhook(url), .. }) => vec![url],
            Kind::Slack(Slack { access: SlackAccess::Bot(bot), .. }) => {
                std::iter::once(&bot.token).chain(&bot.signing_secret).collect()
            }
            Kind::Email(own) => own.server.password.iter().collect(),
            Kind::PagerDuty(own) => std::iter::once(&own.routing_key).chain(&own.webhook_secret).collect(),
            Kind::Alertmanager(own) => std::iter::once(&own.url).chain(&own.bearer).collect(),
            Kind::Teams(own) => vec![&own.url],
            Kind::Discord(own) => vec![&own.url],
            Kind::Telegram(own) => vec![&own.token],
            Kind::Sms(own) => vec![&own.token],
        }
    }
}

fn host_of(url: &str) -> Option<String> {
    let url = reqwest::Url::parse(url.trim()).ok()?;
    Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
}

/// A token bucket: `burst` at once, then one every `every_ns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub every_ns: i64,
    pub burst: u32,
}

#[derive(Debug, Clone)]
pub struct Webhook {
    pub url: SecretSource,
    /// The first signs first; several are for the time in which a secret changes.
    pub secrets: Vec<SecretSource>,
    pub bearer: Option<SecretSource>,
    pub headers: Vec<(String, String)>,
    /// An own body instead of Alertmanager's.
    pub payload: Option<Payload>,
}

/// A JSON value whose texts are templates.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    Text(String),
    Other(serde_json::Value),
    List(Vec<Payload>),
    Map(Vec<(String, Payload)>),
}

#[derive(Debug, Clone)]
pub struct Slack {
    pub access: SlackAccess,
    /// Buttons that acknowledge and silence.
    pub buttons: bool,
}

#[derive(Debug, Clone)]
pub enum SlackAccess {
    Webhook(SecretSource),
    Bot(SlackBot),
}

#[derive(Debug, Clone)]
pub struct SlackBot {
    pub token: SecretSource,
    pub channel: String,
    pub api_url: String,
    /// One thread per life of a group, its first message always the present state; else every message is a new one.
    pub thread: bool,
    /// Checks what Slack sends when somebody presses a button.
    pub signing_secret: Option<SecretSource>,
}

#[derive(Debug, Clone)]
pub struct Email {
    pub to: Vec<String>,
    pub server: SmtpServer,
    pub threading: bool,
}

#[derive(Debug, Clone)]
pub struct SmtpServer {
    pub host: String,
    pub port: u16,
    pub tls: SmtpTls,
    pub from: String,
    pub username: Option<String>,
    pub password: Option<SecretSource>,
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    Starttls,
    Implicit,
    /// On this machine only.
    None,
}

#[derive(Debug, Clone)]
pub struct PagerDuty {
    pub routing_key: SecretSource,
    pub url: String,
    /// By info, warning, critical: what PagerDuty calls it.
    pub severities: [String; 3],
    pub webhook_secret: Option<SecretSource>,
}

#[derive(Debug, Clone)]
pub struct Alertmanager {
    pub url: SecretSource,
    pub bearer: Option<SecretSource>,
}

#[derive(Debug, Clone)]
pub struct Teams {
    pub url: SecretSource,
}

#[derive(Debug, Clone)]
pub struct Discord {
    pub url: SecretSource,
}

#[derive(Debug, Clone)]
pub struct Telegram {
    pub token: SecretSource,
    pub chat: String,
    pub api_url: String,
}

#[derive(Debug, Clone)]
pub struct Sms {
    pub account: String,
    pub token: SecretSource,
    pub from: String,
    pub to: Vec<String>,
    pub api_url: String,
}

/// Where a message may go.
#[derive(Debug, Clone, Default)]
pub struct NetRules {
    pub allow_private: Vec<Cidr>,
    pub insecure_http: bool,
}

impl NetRules {
    /// Whether a message may go there without TLS: on this machine nobody else reads it.
    pub fn may_be_plain(&self, host: &str) -> bool {
        self.insecure_http || is_loopback_host(host)
    }
}

/// Where a secret comes from: the environment is read when the file is, a file at every use, so that it can rotate.
#[derive(Debug, Clone)]
pub enum SecretSource {
    Known(Secret),
    File(PathBuf),
}

impl SecretSource {
    pub fn read(&self) -> Result<Secret, String> {
        match self {
            SecretSource::Known(secret) => Ok(secret.clone()),
            SecretSource::File(path) => Secret::read_file(path).map_err(|error| format!("{}: {error}", path.display())),
        }
    }
}

//! The receivers of the file.

use std::path::PathBuf;

use jiff::tz::TimeZone;
use logweir_proto::yaml::{At, Fields, Node, Problems, Value};
use logweir_rules::model::Severity;
use logweir_runtime::secrets::Secret;

use super::{Fallback, Reader, Receiver, SECOND_NS};
use crate::notify::guard::Cidr;
use crate::route::channel::*;
use crate::route::cron::Cron;
use crate::route::interval::minute;

/// Channels that are not built: JSM and others take a webhook.
const LATER_CHANNELS: [&str; 4] = ["opsgenie", "victorops", "pushover", "sns"];
/// Without a fallback's own `after`.
const FALLBACK_AFTER_NS: i64 = 120 * SECOND_NS;
const SMTP_PORT: u16 = 587;
const SMTPS_PORT: u16 = 465;

type Read<'a, 'b, 'c> = fn(&mut Reader<'a, 'b>, &Node, &mut Fields<'c>) -> Option<Kind>;

/// What the file says of the mail server before it is known whether all of it is there.
#[derive(Debug, Clone, Default)]
pub(super) struct Smtp {
    smarthost: Option<(String, Option<u16>)>,
    tls: Option<SmtpTls>,
    from: Option<String>,
    username: Option<String>,
    password: Option<SecretSource>,
    ca_file: Option<PathBuf>,
}

impl Reader<'_, '_> {
    /// `global: {email: {…}}`: what e-mail channels that do not say take over.
    pub(super) fn global(&mut self, fields: &mut Fields<'_>) -> Smtp {
        let mut global = fields.section("global", self.problems);
        let mut email = global.section("email", self.problems);
        let smtp = self.smtp(&mut email);
        email.finish(self.problems);
        global.finish(self.problems);
        smtp
    }

    pub(super) fn receivers(&mut self, fields: &mut Fields<'_>, mut smtp: Smtp) -> Vec<Receiver> {
        let mut receivers: Vec<Receiver> = Vec::new();
        let Some(node) = fields.require("receivers", self.problems) else { return receivers };
        let nodes = self.problems.list(node, "receivers");
        // What no channel says stands with the first one that does.
        for node in nodes {
            self.first_smtp(node, &mut smtp);
        }
        for node in nodes {
            let Some(receiver) = self.receiver(node, &smtp) else { continue };
            if receivers.iter().any(|other| other.name == receiver.name) {
                self.problems.add(node.at, format!("a receiver named '{}' is already there", receiver.name));
            }
            receivers.push(receiver);
        }
        self.check_fallbacks(&receivers, nodes);
        receivers
    }

    fn check_fallbacks(&mut self, receivers: &[Receiver], nodes: &[Node]) {
        // What is no receiver at all was left out, and the file is refused anyway.
        for (receiver, node) in receivers.iter().zip(nodes) {
            let Some(fallback) = &receiver.fallback else { continue };
            let Value::Map(entries) = &node.value else { continue };
            let at = entries.iter().find(|entry| entry.key == "fallback").map_or(node.at, |entry| entry.node.at);
            if fallback.receiver == receiver.name {
                self.problems.add(at, format!("'{}' is its own fallback", receiver.name));
            } else if !receivers.iter().any(|other| other.name == fallback.receiver) {
                let message = format!("the fallback of '{}' is no receiver: '{}'", receiver.name, fallback.receiver);
                self.problems.add(at, message);
            }
        }
    }

    fn first_smtp(&mut self, receiver: &Node, smtp: &mut Smtp) {
        if smtp.smarthost.is_some() {
            return;
        }
        let Value::Map(entries) = &receiver.value else { return };
        let Some(Value::List(emails)) = entries.iter().find(|e| e.key == "email").map(|e| &e.node.value) else {
            return;
        };
        for email in emails {
            // Mistakes in it are reported when the channel itself is read.
            let mut quiet = Problems::new("", "");
            let Some(mut fields) = Fields::new(email, "email", &mut quiet) else { continue };
            let secret_files = Vec::new();
            let mut reader =
                Reader { file: self.file, environment: self.environment, problems: &mut quiet, secret_files };
            let found = reader.smtp(&mut fields);
            if found.smarthost.is_some() {
                *smtp = found;
                return;
            }
        }
    }

    fn receiver(&mut self, node: &Node, smtp: &Smtp) -> Option<Receiver> {
        let mut fields = Fields::new(node, "a receiver", self.problems)?;
        let name =
            fields.require("name", self.problems).and_then(|n| self.problems.text(n, "name")).unwrap_or_default();
        let mut channels = Vec::new();
        let kinds: [(&'static str, Read<'_, '_, '_>); 8] = [
            ("webhook", Self::webhook),
            ("slack", Self::slack),
            ("pagerduty", Self::pagerduty),
            ("alertmanager", Self::alertmanager),
            ("teams", Self::teams),
            ("discord", Self::discord),
            ("telegram", Self::telegram),
            ("sms", Self::sms),
        ];
        for (what, read) in kinds {
            let Some(list) = fields.get(what) else { continue };
            for (i, node) in self.problems.list(list, what).iter().enumerate() {
                let Some(mut own) = Fields::new(node, what, self.problems) else { continue };
                let kind = read(self, node, &mut own);
                let channel = self.channel(own, kind);
                channels.extend(channel.into_iter().flat_map(|channel| one_each(&format!("{what}[{i}]"), channel)));
            }
        }
        if let Some(list) = fields.get("email") {
            for (i, node) in self.problems.list(list, "email").iter().enumerate() {
                let Some(mut own) = Fields::new(node, "email", self.problems) else { continue };
                let kind = self.email(node, &mut own, smtp);
                channels.extend(self.channel(own, kind).map(|channel| (format!("email[{i}]"), channel)));
            }
        }
        let fallback = fields.get("fallback").and_then(|node| self.fallback(node));
        let monthly_test = fields.boolean("monthly_test", self.problems).unwrap_or(true);
        fields.unsupported(&LATER_CHANNELS, self.problems);
        fields.finish(self.problems);
        Some(Receiver { name, channels, fallback, monthly_test })
    }

    fn fallback(&mut self, node: &Node) -> Option<Fallback> {
        let mut fields = Fields::new(node, "fallback", self.problems)?;
        let after_ns = self.span(&mut fields, "after", SECOND_NS).unwrap_or(FALLBACK_AFTER_NS);
        let receiver = fields.require("receiver", self.problems).and_then(|n| self.problems.text(n, "receiver"));
        fields.finish(self.problems);
        Some(Fallback { after_ns, receiver: receiver? })
    }

    /// What every channel may say, and the check that nothing else is said.
    fn channel(&mut self, mut fields: Fields<'_>, kind: Option<Kind>) -> Option<Channel> {
        let net = self.net(&mut fields);
        if let (Some(at), Some(kind)) = (["url", "api_url"].iter().find_map(|key| present(&fields, key)), &kind) {
            check_kind_url(kind, &net, at, self.problems);
        }
        let send_resolved = fields.boolean("send_resolved", self.problems).unwrap_or(true);
        let least = if matches!(kind, Some(Kind::Sms(_))) { Severity::Critical } else { Severity::Info };
        let min_severity = self.severity(&mut fields, "min_severity").unwrap_or(least);
        let rate = match fields.get("rate") {
            Some(node) => self.problems.text(node, "rate").and_then(|text| {
                let rate = parse_rate(&text);
                if rate.is_none() {
                    self.problems.add(node.at, "rate must be as in '1/s' or '100/min'");
                }
                rate
            }),
            None => kind.as_ref().and_then(default_rate),
        };
        let digest = fields.get("digest").and_then(|node| self.digest(node));
        fields.finish(self.problems);
        Some(Channel { kind: kind?, net, send_resolved, min_severity, rate, digest })
    }

    /// `'09:00 Europe/Berlin'`, or `{cron: '0 9 * * 1-5', location: Europe/Berlin}`.
    fn digest(&mut self, node: &Node) -> Option<Cron> {
        if let Value::Map(_) = node.value {
            let mut fields = Fields::new(node, "digest", self.problems)?;
            let zone = self.zone(&mut fields, "location");
            let cron = fields.require("cron", self.problems).and_then(|n| self.problems.text(n, "cron"));
            fields.finish(self.problems);
            return Cron::parse(&cron?, zone).map_err(|message| self.problems.add(node.at, message)).ok();
        }
        let text = self.problems.text(node, "digest")?;
        let (time, zone) = text.split_once(' ').unwrap_or((text.as_str(), "UTC"));
        let read = minute(time).filter(|minute| *minute < 24 * 60).and_then(|minute| {
            let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
            Cron::daily(hour, minute, TimeZone::get(zone.trim()).ok()?).ok()
        });
        if read.is_none() {
            self.problems.add(node.at, "digest must be as in '09:00 Europe/Berlin' or '{cron: …, location: …}'");
        }
        read
    }

    fn webhook(&mut self, node: &Node, fields: &mut Fields<'_>) -> Option<Kind> {
        let url = self.url(node, fields, "webhook");
        if let Some(node) = fields.get("format") {
            self.problems.word(node, "format", &[("alertmanager_v4", ())]);
        }
        let secrets = fields.get("sign").map(|node| self.sign(node)).unwrap_or_default();
        let bearer = self.secret(fields, "bearer_token_file", "bearer_token_env");
        let mut headers = Vec::new();
        for (name, value, at) in fields.texts("headers", self.problems) {
            let good = reqwest::header::HeaderName::try_from(name.as_str()).is_ok()
                && reqwest::header::HeaderValue::try_from(value.as_str()).is_ok();
            let lower = name.to_ascii_lowercase();
            if !good || lower.starts_with("webhook-") || ["host", "content-length"].contains(&lower.as_str()) {
                self.problems.add(at, format!("the header '{name}' cannot be set"));
            } else if ["authorization", "cookie", "x-api-key"].contains(&lower.as_str()) {
                self.problems.add(at, "a secret must not stand in this file: use 'bearer_token_file' or 'url_file'");
            } else {
                headers.push((name, value));
            }
        }
        let payload = fields.get("payload").map(|node| {
            let payload = payload(node);
            if let Some(message) = crate::notify::webhook::check_payload(&payload) {
                self.problems.add(node.at, message);
            }
            payload
        });
        fields.unsupported(&["template"], self.problems);
        Some(Kind::Webhook(Webhook { url: url?, secrets, bearer, headers, payload }))
    }

    fn sign(&mut self, node: &Node) -> Vec<SecretSource> {
        let Some(mut fields) = Fields::new(node, "sign", self.problems) else { return Vec::new() };
        let inner = fields.require("standard_webhooks", self.problems);
        fields.finish(self.problems);
        let Some(inner) = inner else { return Vec::new() };
        let Some(mut fields) = Fields::new(inner, "standard_webhooks", self.problems) else { return Vec::new() };
        let secret = self.secret(&mut fields, "secret_file", "secret_env");
        if secret.is_none() {
            self.problems.add(inner.at, "standard_webhooks needs 'secret_file' or 'secret_env'");
        }
        let old = self.secret(&mut fields, "old_secret_file", "old_secret_env");
        let secrets: Vec<SecretSource> = secret.into_iter().chain(old).collect();
        for secret in &secrets {
            if let SecretSource::Known(known) = secret
                && !known.expose().is_empty()
                && let Err(reason) = crate::notify::webhook::signing_key(known)
            {
                self.problems.add(inner.at, reason);
            }
        }
        fields.finish(self.problems);
        secrets
    }

    fn slack(&mut self, node: &Node, fields: &mut Fields<'_>) -> Option<Kind> {
        let url = self.secret(fields, "webhook_url_file", "webhook_url_env");
        let token = self.secret(fields, "token_file", "token_env");
        let channel = fields.text("channel", self.problems);
        let thread = fields.word("mode", &[("thread", true), ("message", false)], self.problems).unwrap_or(true);
        let api_url = fields.text("api_url", self.problems).unwrap_or("https://slack.com/api".to_owned());
        let buttons = fields.boolean("ack_button", self.problems).unwrap_or(true);
        let signing_secret = self.secret(fields, "signing_secret_file", "signing_secret_env");
        let access = match (url, token, channel) {
            (Some(url), None, None) => SlackAccess::Webhook(url),
            (None, Some(token), Some(channel)) => {
                let id = channel.starts_with(['C', 'G', 'D']) && channel.bytes().all(|b| b.is_ascii_alphanumeric());
                if !id {
                    let message =
                        format!("'{channel}' is not the id of a channel (C0123456789): messages are edited by it");
                    self.problems.add(fields.place("channel"), message);
                }
                SlackAccess::Bot(SlackBot { token, channel, api_url, thread, signing_secret })
            }
            (Some(_), Some(_), _) => {
                self.problems.add(node.at, "slack takes either a webhook or a token");
                return None;
            }
            _ => {
                let message = "slack needs 'webhook_url_file' or 'webhook_url_env', or a 'token_file' or 'token_env' with a 'channel'";
                self.problems.add(node.at, message);
                return None;
            }
        };
        Some(Kind::Slack(Slack { access, buttons }))
    }

    fn email(&mut self, node: &Node, fields: &mut Fields<'_>, smtp: &Smtp) -> Option<Kind> {
        let to = fields.strings("to", self.problems).unwrap_or_default();
        let own = self.smtp(fields);
        let threading = fields.word("threading", &[("episode", true), ("none", false)], self.problems).unwrap_or(true);
        let from = own.from.clone().or_else(|| smtp.from.clone());
        if to.is_empty() {
            self.problems.add(node.at, "email needs 'to'");
        }
        let places = [("to", &to[..]), ("from", from.as_slice())];
        for (key, address) in places.into_iter().flat_map(|(key, all)| all.iter().map(move |one| (key, one))) {
            if address.parse::<lettre::message::Mailbox>().is_err() {
                self.problems.add(fields.place(key), format!("'{address}' is not a mail address"));
            }
        }
        let other = own.smarthost.is_none();
        let smarthost = own.smarthost.or_else(|| smtp.smarthost.clone());
        let (Some((host, port)), Some(from)) = (smarthost, from) else {
            self.problems.add(node.at, "email needs 'smarthost' and 'from', here or in 'global: {email: …}'");
            return None;
        };
        // Credentials belong to their server.
        let (tls, username, password, ca_file) = match other {
            true => (own.tls.or(smtp.tls), smtp.username.clone(), smtp.password.clone(), smtp.ca_file.clone()),
            false => (own.tls, own.username, own.password, own.ca_file),
        };
        let implicit = port == Some(SMTPS_PORT);
        let tls = tls.unwrap_or(if implicit { SmtpTls::Implicit } else { SmtpTls::Starttls });
        if tls == SmtpTls::None && !logweir_runtime::loopback::is_loopback_host(&host) {
            self.problems.add(node.at, "mail without TLS is sent to this machine only");
        }
        let port = port.unwrap_or(if tls == SmtpTls::Implicit { SMTPS_PORT } else { SMTP_PORT });
        let server = SmtpServer { host, port, tls, from, username, password, ca_file };
        Some(Kind::Email(Email { to, server, threading }))
    }

    fn smtp(&mut self, fields: &mut Fields<'_>) -> Smtp {
        let place = fields.place("smarthost");
        let smarthost = fields.text("smarthost", self.problems).map(|text| match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                let port = port.parse::<u16>().ok();
                if port.is_none() {
                    self.problems.add(place, "smarthost must be as in 'smtp.example.com:587'");
                }
                (host.trim_matches(['[', ']']).to_owned(), port)
            }
            _ => (text, None),
        });
        let words = [("starttls", SmtpTls::Starttls), ("implicit", SmtpTls::Implicit), ("none", SmtpTls::None)];
        let tls = fields.word("tls", &words, self.problems);
        let password = self.secret(fields, "password_file", "password_env");
        let ca_file = fields.path("ca_file", self.problems).map(|path| self.beside(path));
        let from = fields.text("from", self.problems);
        let username = fields.text("username", self.problems);
        Smtp { smarthost, tls, from, username, password, ca_file }
    }

    fn pagerduty(&mut self, node: &Node, fields: &mut Fields<'_>) -> Option<Kind> {
        let routing_key = self.needed(node, fields, "pagerduty", "routing_key_file", "routing_key_env");
        let regions =
            [("us", "https://events.pagerduty.com/v2/enqueue"), ("eu", "https://events.eu.pagerduty.com/v2/enqueue")];
        let region = fields.word("region", &regions, self.problems).unwrap_or(regions[0].1);
        let url = fields.text("url", self.problems).unwrap_or(region.to_owned());
        let mut severities = ["info", "warning", "critical"].map(str::to_owned);
        if let Some(node) = fields.get("severity_map") {
            for (ours, theirs, at) in self.problems.texts(node, "severity_map") {
                let place = ["info", "warning", "critical"].iter().position(|name| *name == ours);
                match place {
                    Some(i) if ["info", "warning", "error", "critical"].contains(&theirs.as_str()) => {
                        severities[i] = theirs;
                    }
                    _ => self
                        .problems
                        .add(at, "severity_map maps critical, warning and info to critical, error, warning or info"),
                }
            }
        }
        let webhook_secret = self.secret(fields, "webhook_secret_file", "webhook_secret_env");
        Some(Kind::PagerDuty(PagerDuty { routing_key: routing_key?, url, severities, webhook_secret }))
    }

    fn alertmanager(&mut self, node: &Node, fields: &mut Fields<'_>) -> Option<Kind> {
        let url = self.url(node, fields, "alertmanager");
        let bearer = self.secret(fields, "bearer_token_file", "bearer_token_env");
        Some(Kind::Alertmanager(Alertmanager { url: url?, bearer }))
    }

    fn teams(&mut self, node: &Node, fields: &mut Fields<'_>) -> Option<Kind> {
        let url = self.needed(node, fields, "teams", "webhook_url_file", "webhook_url_env")?;
        Some(Kind::Teams(Teams { url }))
    }

    fn discord(&mut self, node: &Node, fields: &mut Fields<'_>) -> Option<Kind> {
        let url = self.needed(node, fields, "discord", "webhook_url_file", "webhook_url_env")?;
        Some(Kind::Discord(Discord { url }))
    }

    fn telegram(&mut self, node: &Node, fields: &mut Fields<'_>) -> Option<Kind> {
        let token = self.needed(node, fields, "telegram", "token_file", "token_env");
        let chat = fields.require("chat", self.problems).and_then(|n| self.problems.text(n, "chat"));
        let api_url = fields.text("api_url", self.problems).unwrap_or("https://api.telegram.org".to_owned());
        Some(Kind::Telegram(Telegram { token: token?, chat: chat?, api_url }))
    }

    fn sms(&mut self, node: &Node, fields: &mut Fields<'_>) -> Option<Kind> {
        let token = self.needed(node, fields, "sms", "auth_token_file", "auth_token_env");
        let account = fields.require("account_sid", self.problems).and_then(|n| self.problems.text(n, "account_sid"));
        let from = fields.require("from", self.problems).and_then(|n| self.problems.text(n, "from"));
        let to = fields.strings("to", self.problems).unwrap_or_default();
        if to.is_empty() || !to.iter().all(|to| to.starts_with('+') && to[1..].bytes().all(|b| b.is_ascii_digit())) {
            self.problems.add(node.at, "sms needs 'to', numbers such as +4930123456");
        }
        let api_url = fields.text("api_url", self.problems).unwrap_or("https://api.twilio.com".to_owned());
        Some(Kind::Sms(Sms { account: account?, token: token?, from: from?, to, api_url }))
    }

    /// `url`, `url_file` or `url_env`.
    fn url(&mut self, node: &Node, fields: &mut Fields<'_>, what: &str) -> Option<SecretSource> {
        let written = fields.text("url", self.problems).map(|text| SecretSource::Known(Secret::new(text)));
        let url = written.or_else(|| self.secret(fields, "url_file", "url_env"));
        if url.is_none() {
            self.problems.add(node.at, format!("{what} needs one of 'url', 'url_file', 'url_env'"));
        }
        url
    }

    fn needed(
        &mut self,
        node: &Node,
        fields: &mut Fields<'_>,
        what: &str,
        file: &'static str,
        env: &'static str,
    ) -> Option<SecretSource> {
        let found = self.secret(fields, file, env);
        if found.is_none() {
            self.problems.add(node.at, format!("{what} needs '{file}' or '{env}'"));
        }
        found
    }

    pub(super) fn secret(
        &mut self,
        fields: &mut Fields<'_>,
        file: &'static str,
        env: &'static str,
    ) -> Option<SecretSource> {
        let file_node = fields.get(file);
        let env_node = fields.get(env);
        let inline = file.strip_suffix("_file").filter(|key| *key != "url");
        if let Some((at, key)) = inline.and_then(|key| Some((present(fields, key)?, key))) {
            fields.get(key);
            self.problems.add(at, format!("a secret must not stand in this file: use '{file}' or '{env}'"));
            // Present, so that "needs one of" is not said as well.
            return Some(SecretSource::Known(Secret::new("")));
        }
        if let Some(node) = file_node {
            let path = self.problems.text(node, file)?;
            if path.is_empty() {
                self.problems.add(node.at, format!("{file} must name a file"));
            }
            let path = self.beside(path);
            self.secret_files.push((node.at, path.clone()));
            return Some(SecretSource::File(path));
        }
        let node = env_node?;
        let name = self.problems.text(node, env)?;
        match (self.environment)(&name).filter(|value| !value.is_empty()) {
            Some(value) => Some(SecretSource::Known(Secret::new(value.trim()))),
            None => {
                self.problems.add(node.at, format!("the environment has no variable {name}"));
                Some(SecretSource::Known(Secret::new("")))
            }
        }
    }

    pub(super) fn net(&mut self, fields: &mut Fields<'_>) -> NetRules {
        let mut net = NetRules::default();
        if let Some(node) = fields.get("allow_private") {
            for node in self.problems.list(node, "allow_private") {
                let Some(text) = self.problems.text(node, "allow_private") else { continue };
                match text.parse::<Cidr>() {
                    Ok(cidr) => net.allow_private.push(cidr),
                    Err(message) => self.problems.add(node.at, message),
                }
            }
        }
        net.insecure_http = fields.boolean("insecure_http", self.problems).unwrap_or(false);
        net
    }
}

/// A text message goes to one number: what one of them refuses is not sent to the others again.
fn one_each(name: &str, channel: Channel) -> Vec<(String, Channel)> {
    let Kind::Sms(sms) = &channel.kind else { return vec![(name.to_owned(), channel)] };
    let numbers = sms.to.iter().map(|to| {
        let kind = Kind::Sms(Sms { to: vec![to.clone()], ..sms.clone() });
        (format!("{name} {to}"), Channel { kind, ..channel.clone() })
    });
    numbers.collect()
}

/// Where a key stands, if it does.
fn present(fields: &Fields<'_>, key: &str) -> Option<At> {
    let at = fields.place(key);
    (at != fields.at).then_some(at)
}

fn check_kind_url(kind: &Kind, net: &NetRules, at: At, problems: &mut Problems) {
    match kind {
        Kind::Webhook(Webhook { url: SecretSource::Known(url), .. })
        | Kind::Alertmanager(Alertmanager { url: SecretSource::Known(url), .. }) => {
            check_url(url.expose(), net, at, problems);
        }
        Kind::Slack(Slack { access: SlackAccess::Bot(bot), .. }) => check_url(&bot.api_url, net, at, problems),
        Kind::PagerDuty(pagerduty) => check_url(&pagerduty.url, net, at, problems),
        Kind::Telegram(telegram) => check_url(&telegram.api_url, net, at, problems),
        Kind::Sms(sms) => check_url(&sms.api_url, net, at, problems),
        _ => {}
    }
}

fn check_url(text: &str, net: &NetRules, at: At, problems: &mut Problems) {
    match reqwest::Url::parse(text) {
        Ok(url) if url.scheme() == "http" && !net.may_be_plain(url.host_str().unwrap_or_default()) => {
            problems.add(at, "http without TLS needs 'insecure_http: true'");
        }
        Ok(url) if !matches!(url.scheme(), "http" | "https") => problems.add(at, "url must be http or https"),
        Ok(url) if url.host_str().is_none_or(str::is_empty) => problems.add(at, "url has no host"),
        Ok(url) if url.password().is_some() => {
            problems.add(at, "a password must not stand in this file: use 'url_file'")
        }
        Ok(_) => {}
        Err(error) => problems.add(at, format!("url cannot be read: {error}")),
    }
}

fn payload(node: &Node) -> Payload {
    match &node.value {
        Value::Null | Value::Unset => Payload::Other(serde_json::Value::Null),
        Value::Bool(value) => Payload::Other((*value).into()),
        Value::Int(value) => Payload::Other((*value).into()),
        Value::Float(value) => Payload::Other((*value).into()),
        Value::Text(text) => Payload::Text(text.clone()),
        Value::List(nodes) => Payload::List(nodes.iter().map(payload).collect()),
        Value::Map(entries) => {
            Payload::Map(entries.iter().map(|entry| (entry.key.clone(), payload(&entry.node))).collect())
        }
    }
}

/// `1/s`, `100/min`, `10/h`; three at once, or as many as a tenth of a longer count.
fn parse_rate(text: &str) -> Option<Rate> {
    let (count, unit) = text.split_once('/')?;
    let count: i64 = count.trim().parse().ok().filter(|count| (1..=100_000).contains(count))?;
    let unit_ns = match unit.trim() {
        "s" => SECOND_NS,
        "m" | "min" => 60 * SECOND_NS,
        "h" => 3600 * SECOND_NS,
        _ => return None,
    };
    Some(rate(count, unit_ns))
}

fn rate(count: i64, unit_ns: i64) -> Rate {
    Rate { every_ns: unit_ns / count, burst: u32::try_from((count / 10).max(3)).unwrap_or(3) }
}

/// What the other side is known to bear.
fn default_rate(kind: &Kind) -> Option<Rate> {
    let minute = 60 * SECOND_NS;
    Some(match kind {
        Kind::Slack(_) | Kind::Teams(_) | Kind::Sms(_) => rate(1, SECOND_NS),
        Kind::PagerDuty(_) => rate(100, minute),
        Kind::Email(email) => rate(10 * i64::try_from(email.to.len().max(1)).unwrap_or(1), minute),
        Kind::Discord(_) => rate(2, SECOND_NS),
        Kind::Telegram(_) => rate(20, minute),
        Kind::Webhook(_) | Kind::Alertmanager(_) => return None,
    })
}

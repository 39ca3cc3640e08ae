//! `alerting.yaml`: the route tree and the receivers. Names and meaning as in Alertmanager where they exist there.

use std::path::{Path, PathBuf};

use logweir_proto::text;
use logweir_proto::yaml::{self, At, Environment, Fields, Node, Problem, Problems};
use logweir_runtime::loopback::is_loopback_host;
use logweir_runtime::secrets::Secret;

use super::matcher::Matcher;
use super::tree::Route;
use crate::notify::guard::Cidr;

const SECOND_NS: i64 = 1_000_000_000;
const GROUP_WAIT_NS: i64 = 30 * SECOND_NS;
const GROUP_INTERVAL_NS: i64 = 300 * SECOND_NS;
const REPEAT_INTERVAL_NS: i64 = 4 * 3600 * SECOND_NS;
/// Shorter intervals would make a storm of one alert.
const INTERVAL_MIN_NS: i64 = SECOND_NS;
/// Deepest nesting of routes.
const ROUTE_DEPTH_MAX: usize = 16;

/// Channels that other versions have.
const LATER_CHANNELS: [&str; 9] =
    ["email", "pagerduty", "alertmanager", "teams", "discord", "telegram", "sms", "opsgenie", "victorops"];

#[derive(Debug, Clone)]
pub struct Routing {
    pub root: Route,
    pub receivers: Vec<Receiver>,
}

impl Routing {
    pub fn receiver(&self, name: &str) -> Option<&Receiver> {
        self.receivers.iter().find(|receiver| receiver.name == name)
    }

    /// The channel `webhook[0]` of a receiver.
    pub fn channel(&self, receiver: &str, integration: &str) -> Option<&Channel> {
        let channels = &self.receiver(receiver)?.channels;
        channels.iter().find(|(name, _)| name == integration).map(|(_, channel)| channel)
    }
}

#[derive(Debug, Clone)]
pub struct Receiver {
    pub name: String,
    /// By `webhook[0]`, `slack[0]`, ….
    pub channels: Vec<(String, Channel)>,
}

#[derive(Debug, Clone)]
pub enum Channel {
    Webhook(WebhookChannel),
    Slack(SlackChannel),
}

#[derive(Debug, Clone)]
pub struct WebhookChannel {
    pub url: SecretSource,
    pub secret: Option<SecretSource>,
    pub net: NetRules,
    pub send_resolved: bool,
}

#[derive(Debug, Clone)]
pub struct SlackChannel {
    pub url: SecretSource,
    pub net: NetRules,
    pub send_resolved: bool,
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

/// The environment of the process.
pub fn process_environment(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "reading a configuration file is where the environment is read")]
    std::env::var(name).ok()
}

/// Reads the file, with every mistake at once.
pub fn load(file: &str, source: &str, environment: Environment<'_>) -> Result<Routing, Vec<Problem>> {
    let mut problems = Problems::new(file, source);
    let root = yaml::parse_config(source, environment, &[], &mut problems);
    let routing = root.and_then(|root| read(&root, Path::new(file), environment, &mut problems));
    match routing {
        Some(routing) if problems.is_empty() => Ok(routing),
        _ => Err(problems.into_sorted()),
    }
}

fn read(root: &Node, file: &Path, environment: Environment<'_>, problems: &mut Problems) -> Option<Routing> {
    let mut fields = Fields::new(root, "the routing file", problems)?;
    if let Some(version) = fields.get("version") {
        problems.integer(version, "version", 1..=1);
    }
    let mut receivers: Vec<Receiver> = Vec::new();
    if let Some(node) = fields.require("receivers", problems) {
        for node in problems.list(node, "receivers") {
            let Some(receiver) = read_receiver(node, file, environment, problems) else { continue };
            if receivers.iter().any(|other| other.name == receiver.name) {
                problems.add(node.at, format!("a receiver named '{}' is already there", receiver.name));
            }
            receivers.push(receiver);
        }
    }
    let names: Vec<&str> = receivers.iter().map(|receiver| receiver.name.as_str()).collect();
    let top = Route {
        path: "0".to_owned(),
        matchers: Vec::new(),
        receiver: String::new(),
        group_by: Some(vec!["alertname".to_owned()]),
        group_wait_ns: GROUP_WAIT_NS,
        group_interval_ns: GROUP_INTERVAL_NS,
        repeat_interval_ns: REPEAT_INTERVAL_NS,
        go_on: false,
        routes: Vec::new(),
    };
    let root = fields.require("route", problems).and_then(|node| read_route(node, &top, &names, 0, problems));
    let later = ["inhibit_rules", "time_intervals", "storm", "heartbeat", "tests", "templates", "global"];
    fields.unsupported(&later, problems);
    fields.finish(problems);
    Some(Routing { root: root?, receivers })
}

fn read_route(node: &Node, above: &Route, names: &[&str], depth: usize, problems: &mut Problems) -> Option<Route> {
    let mut fields = Fields::new(node, "a route", problems)?;
    if depth > ROUTE_DEPTH_MAX {
        problems.add(node.at, format!("routes are nested deeper than {ROUTE_DEPTH_MAX}"));
        return None;
    }
    let mut route = Route { matchers: Vec::new(), go_on: false, routes: Vec::new(), ..above.clone() };
    fields.get("name");
    match fields.get("receiver") {
        Some(node) => route.receiver = receiver_name(node, names, problems).unwrap_or_default(),
        None if depth == 0 => problems.add(node.at, "the first route needs a 'receiver'"),
        None => {}
    }
    if let Some(node) = fields.get("matchers") {
        for node in problems.list(node, "matchers") {
            let Some(text) = problems.text(node, "a matcher") else { continue };
            match Matcher::parse(&text) {
                Ok(matcher) => route.matchers.push(matcher),
                Err(message) => problems.add(node.at, message),
            }
        }
    }
    if let Some(node) = fields.get("group_by") {
        let by: Vec<String> =
            problems.list(node, "group_by").iter().filter_map(|node| problems.text(node, "group_by")).collect();
        route.group_by = (!by.iter().any(|label| label == "...")).then_some(by);
    }
    interval(&mut fields, "group_wait", 0, &mut route.group_wait_ns, problems);
    interval(&mut fields, "group_interval", INTERVAL_MIN_NS, &mut route.group_interval_ns, problems);
    interval(&mut fields, "repeat_interval", INTERVAL_MIN_NS, &mut route.repeat_interval_ns, problems);
    route.go_on = fields.get("continue").and_then(|n| problems.boolean(n, "continue")).unwrap_or(false);
    if let Some(node) = fields.get("routes") {
        for (i, node) in problems.list(node, "routes").iter().enumerate() {
            let below = Route { path: format!("{}.{i}", route.path), ..route.clone() };
            let below = read_route(node, &below, names, depth + 1, problems);
            route.routes.extend(below);
        }
    }
    let later = ["active_time_intervals", "mute_time_intervals", "escalate", "labels", "match", "match_re"];
    fields.unsupported(&later, problems);
    fields.finish(problems);
    Some(route)
}

fn interval(fields: &mut Fields<'_>, key: &'static str, min_ns: i64, slot: &mut i64, problems: &mut Problems) {
    let Some(node) = fields.get(key) else { return };
    let Some(value) = problems.duration_ns(node, key) else { return };
    if value < min_ns {
        problems.add(node.at, format!("{key} must be at least 1s"));
    }
    *slot = value.max(min_ns);
}

fn receiver_name(node: &Node, names: &[&str], problems: &mut Problems) -> Option<String> {
    let name = problems.text(node, "receiver")?;
    if !names.contains(&name.as_str()) {
        let hint = match text::did_you_mean(&name, names.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("receivers: {}", names.join(", ")),
        };
        problems.add_hint(node.at, format!("there is no receiver '{name}'"), Some(hint));
    }
    Some(name)
}

fn read_receiver(node: &Node, file: &Path, environment: Environment<'_>, problems: &mut Problems) -> Option<Receiver> {
    let mut fields = Fields::new(node, "a receiver", problems)?;
    let name = fields.require("name", problems).and_then(|n| problems.text(n, "name")).unwrap_or_default();
    let mut reader = ChannelReader { file, environment, problems };
    let mut channels = Vec::new();
    if let Some(node) = fields.get("webhook") {
        for (i, node) in reader.problems.list(node, "webhook").iter().enumerate() {
            let channel = reader.webhook(node).map(|channel| (format!("webhook[{i}]"), Channel::Webhook(channel)));
            channels.extend(channel);
        }
    }
    if let Some(node) = fields.get("slack") {
        for (i, node) in reader.problems.list(node, "slack").iter().enumerate() {
            let channel = reader.slack(node).map(|channel| (format!("slack[{i}]"), Channel::Slack(channel)));
            channels.extend(channel);
        }
    }
    fields.unsupported(&LATER_CHANNELS, problems);
    fields.unsupported(&["fallback"], problems);
    fields.finish(problems);
    Some(Receiver { name, channels })
}

struct ChannelReader<'a, 'b> {
    file: &'a Path,
    environment: Environment<'a>,
    problems: &'b mut Problems,
}

impl ChannelReader<'_, '_> {
    fn webhook(&mut self, node: &Node) -> Option<WebhookChannel> {
        let mut fields = Fields::new(node, "webhook", self.problems)?;
        let written = fields.get("url").and_then(|node| Some((self.problems.text(node, "url")?, node.at)));
        let plain = written.as_ref().map(|(text, _)| SecretSource::Known(Secret::new(text.clone())));
        let url = plain.or_else(|| self.secret(&mut fields, "url_file", "url_env"));
        if url.is_none() {
            self.problems.add(node.at, "webhook needs one of 'url', 'url_file', 'url_env'");
        }
        if let Some(node) = fields.get("format") {
            self.problems.word(node, "format", &[("alertmanager_v4", ())]);
        }
        let secret = fields.get("sign").and_then(|node| self.sign(node));
        let net = self.net(&mut fields);
        if let Some((text, at)) = &written {
            check_url(text, &net, *at, self.problems);
        }
        let send_resolved = self.send_resolved(&mut fields);
        fields.unsupported(&["payload", "template"], self.problems);
        fields.finish(self.problems);
        Some(WebhookChannel { url: url?, secret, net, send_resolved })
    }

    fn sign(&mut self, node: &Node) -> Option<SecretSource> {
        let mut fields = Fields::new(node, "sign", self.problems)?;
        let inner = fields.require("standard_webhooks", self.problems);
        fields.finish(self.problems);
        let inner = inner?;
        let mut fields = Fields::new(inner, "standard_webhooks", self.problems)?;
        if fields.get("secret").is_some() {
            self.problems.add(inner.at, "a secret must not stand in this file: use 'secret_file' or 'secret_env'");
        }
        let secret = self.secret(&mut fields, "secret_file", "secret_env");
        if secret.is_none() {
            self.problems.add(inner.at, "standard_webhooks needs 'secret_file' or 'secret_env'");
        }
        if let Some(SecretSource::Known(known)) = &secret
            && let Err(reason) = crate::notify::webhook::signing_key(known)
        {
            self.problems.add(inner.at, reason);
        }
        fields.finish(self.problems);
        secret
    }

    fn slack(&mut self, node: &Node) -> Option<SlackChannel> {
        let mut fields = Fields::new(node, "slack", self.problems)?;
        if fields.get("webhook_url").is_some() {
            let message = "the URL of a Slack webhook is a secret: use 'webhook_url_file' or 'webhook_url_env'";
            self.problems.add(node.at, message);
        }
        fields.unsupported(&["token_env", "token_file", "channel", "mode", "ack_button", "rate"], self.problems);
        let url = self.secret(&mut fields, "webhook_url_file", "webhook_url_env");
        if url.is_none() {
            self.problems.add(node.at, "slack needs 'webhook_url_file' or 'webhook_url_env'");
        }
        let net = self.net(&mut fields);
        let send_resolved = self.send_resolved(&mut fields);
        fields.finish(self.problems);
        Some(SlackChannel { url: url?, net, send_resolved })
    }

    fn secret(&mut self, fields: &mut Fields<'_>, file: &'static str, env: &'static str) -> Option<SecretSource> {
        let file_node = fields.get(file);
        let env_node = fields.get(env);
        if let Some(node) = file_node {
            // Relative to the routing file, so that the two can move together.
            let path = self.problems.text(node, file)?;
            let base = self.file.parent().unwrap_or(Path::new(""));
            return Some(SecretSource::File(base.join(path)));
        }
        let node = env_node?;
        let name = self.problems.text(node, env)?;
        match (self.environment)(&name).filter(|value| !value.is_empty()) {
            Some(value) => Some(SecretSource::Known(Secret::new(value.trim()))),
            None => {
                self.problems.add(node.at, format!("the environment has no variable {name}"));
                // Present, so that "needs one of" is not said as well.
                Some(SecretSource::Known(Secret::new("")))
            }
        }
    }

    fn net(&mut self, fields: &mut Fields<'_>) -> NetRules {
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
        net.insecure_http =
            fields.get("insecure_http").and_then(|n| self.problems.boolean(n, "insecure_http")).unwrap_or(false);
        net
    }

    fn send_resolved(&mut self, fields: &mut Fields<'_>) -> bool {
        fields.get("send_resolved").and_then(|n| self.problems.boolean(n, "send_resolved")).unwrap_or(true)
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

#[cfg(test)]
mod tests;

//! `alerting.yaml`: the route tree, the receivers, and when nobody is told. Names and meaning as in Alertmanager where
//! they exist there.

mod channels;
mod times;
mod tree;

use std::path::{Path, PathBuf};

use logweir_proto::yaml::{self, At, Environment, Fields, Node, Problem, Problems};
use logweir_rules::model::{Labels, Severity};

use super::channel::{Channel, NetRules, SecretSource};
use super::inhibit::Inhibit;
use super::interval::TimeInterval;
use super::matcher::Matcher;
use super::tree::Route;
use crate::notify::canary;

const SECOND_NS: i64 = 1_000_000_000;
/// Time windows of a storm.
const STORM_WINDOW_MAX_NS: i64 = 3600 * SECOND_NS;
const HEARTBEAT_EVERY_MIN_NS: i64 = 10 * SECOND_NS;
const CANARY_EVERY_NS: i64 = 300 * SECOND_NS;
/// A line and its message must have time to come through.
const CANARY_EVERY_MIN_NS: i64 = 10 * SECOND_NS;

#[derive(Debug, Clone)]
pub struct Routing {
    pub root: Route,
    pub receivers: Vec<Receiver>,
    pub inhibit: Vec<Inhibit>,
    pub intervals: Vec<TimeInterval>,
    pub storm: Option<Storm>,
    pub heartbeat: Option<HeartbeatOut>,
    pub heartbeats: Vec<HeartbeatIn>,
    pub canary: Option<Canary>,
    pub tests: Vec<RouteTest>,
    /// Where they are named, and where they are.
    pub secret_files: Vec<(At, PathBuf)>,
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

    pub fn channels(&self) -> impl Iterator<Item = (String, &Channel)> {
        self.receivers.iter().flat_map(|receiver| {
            receiver.channels.iter().map(|(name, channel)| (format!("{}/{name}", receiver.name), channel))
        })
    }

    /// The route at a place of the tree.
    pub fn route(&self, path: &str) -> Option<&Route> {
        self.root.at(path)
    }

    /// The intervals that keep all of these routes quiet now; empty when one of them tells.
    pub fn muting(&self, routes: &[&Route], now_wall: i64) -> Vec<String> {
        let within = |name: &&String| self.interval(name).is_some_and(|interval| interval.contains(now_wall));
        let mut names = Vec::new();
        for route in routes {
            let before = names.len();
            names.extend(route.mute.iter().filter(within).cloned());
            if !route.active.is_empty() && !route.active.iter().any(|name| within(&name)) {
                names.extend(route.active.iter().cloned());
            }
            if names.len() == before {
                return Vec::new();
            }
        }
        names.sort();
        names.dedup();
        names
    }

    pub fn interval(&self, name: &str) -> Option<&TimeInterval> {
        self.intervals.iter().find(|interval| interval.name == name)
    }
}

#[derive(Debug, Clone)]
pub struct Receiver {
    pub name: String,
    /// By `webhook[0]`, `slack[0]`, ….
    pub channels: Vec<(String, Channel)>,
    pub fallback: Option<Fallback>,
    /// A marked message once a month while nothing else is sent to it.
    pub monthly_test: bool,
}

/// Who is told when a message to a receiver is not confirmed in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    pub after_ns: i64,
    pub receiver: String,
}

/// When so much begins at once that it is counted instead of told.
#[derive(Debug, Clone)]
pub struct Storm {
    pub episodes: u64,
    pub window_ns: i64,
    pub digest_by: Vec<String>,
    /// What one of these matches is told as ever.
    pub always_pass: Vec<Matcher>,
}

/// A call to somebody who notices when it does not come.
#[derive(Debug, Clone)]
pub struct HeartbeatOut {
    pub url: SecretSource,
    pub every_ns: i64,
    pub net: NetRules,
}

/// A line of our own that is to come through to a receiver, again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    pub every_ns: i64,
    pub receiver: String,
}

/// A call that somebody else makes to us.
#[derive(Debug, Clone)]
pub struct HeartbeatIn {
    pub name: String,
    pub every_ns: i64,
    pub grace_ns: i64,
    pub severity: Severity,
    pub labels: Labels,
}

/// What the file expects of itself.
#[derive(Debug, Clone)]
pub struct RouteTest {
    pub at: At,
    pub alerts: Vec<Labels>,
    pub at_ns: Option<i64>,
    pub receivers: Option<Vec<String>>,
    pub inhibited: Option<Vec<Labels>>,
}

/// The environment of the process.
pub fn process_environment(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "reading a configuration file is where the environment is read")]
    std::env::var(name).ok()
}

/// Reads the file, with every mistake at once; then its own tests are run, and one that fails is a mistake too.
pub fn load(file: &str, source: &str, environment: Environment<'_>) -> Result<Routing, Vec<Problem>> {
    let mut problems = Problems::new(file, source);
    let root = yaml::parse_config(source, environment, &[], &mut problems);
    let routing = root.and_then(|root| {
        let secret_files = Vec::new();
        let mut reader = Reader { file: Path::new(file), environment, problems: &mut problems, secret_files };
        reader.read(&root)
    });
    if problems.is_empty()
        && let Some(routing) = &routing
    {
        for (at, message) in super::decide::run_tests(routing) {
            problems.add(at, message);
        }
    }
    match routing {
        Some(routing) if problems.is_empty() => Ok(routing),
        _ => Err(problems.into_sorted()),
    }
}

/// What all parts of the reading need.
struct Reader<'a, 'b> {
    file: &'a Path,
    environment: Environment<'a>,
    problems: &'b mut Problems,
    secret_files: Vec<(At, PathBuf)>,
}

impl Reader<'_, '_> {
    fn read(&mut self, root: &Node) -> Option<Routing> {
        let mut fields = Fields::new(root, "the routing file", self.problems)?;
        if let Some(version) = fields.get("version") {
            self.problems.integer(version, "version", 1..=1);
        }
        let smtp = self.global(&mut fields);
        let receivers = self.receivers(&mut fields, smtp);
        let names: Vec<&str> = receivers.iter().map(|receiver| receiver.name.as_str()).collect();
        let mut intervals = Vec::new();
        for key in ["time_intervals", "mute_time_intervals"] {
            let Some(node) = fields.get(key) else { continue };
            intervals.extend(self.intervals(node));
        }
        let known: Vec<&str> = intervals.iter().map(|interval: &TimeInterval| interval.name.as_str()).collect();
        let top = Route::root();
        let node = fields.require("route", self.problems);
        let route = node.and_then(|node| self.route(node, &top, &names, &known, 0));
        let mut inhibit = Vec::new();
        if let Some(node) = fields.get("inhibit_rules") {
            let nodes = self.problems.list(node, "inhibit_rules");
            inhibit.extend(nodes.iter().enumerate().filter_map(|(i, node)| self.inhibit(i, node)));
        }
        let mut storm = fields.get("storm").and_then(|node| self.storm(node));
        let canary = fields.get("canary").and_then(|node| self.canary(node, &names));
        let heartbeat = fields.get("heartbeat").and_then(|node| self.heartbeat_out(node));
        let mut heartbeats: Vec<HeartbeatIn> = Vec::new();
        if let Some(node) = fields.get("heartbeats") {
            for node in self.problems.list(node, "heartbeats") {
                let Some(beat) = self.heartbeat_in(node) else { continue };
                if heartbeats.iter().any(|other| other.name == beat.name) {
                    self.problems.add(node.at, format!("a heartbeat named '{}' is already there", beat.name));
                }
                heartbeats.push(beat);
            }
        }
        let mut tests = Vec::new();
        if let Some(node) = fields.get("tests") {
            tests.extend(self.problems.list(node, "tests").iter().filter_map(|node| self.test(node, &names)));
        }
        fields.unsupported(&["templates"], self.problems);
        fields.finish(self.problems);
        let mut root = route?;
        if let Some(canary) = &canary {
            root.routes.insert(0, canary::route(canary));
            storm.iter_mut().for_each(|storm| storm.always_pass.extend(canary::matchers()));
        }
        let secret_files = std::mem::take(&mut self.secret_files);
        Some(Routing { root, receivers, inhibit, intervals, storm, heartbeat, heartbeats, canary, tests, secret_files })
    }

    fn matchers(&mut self, fields: &mut Fields<'_>, key: &'static str) -> Vec<Matcher> {
        let Some(node) = fields.get(key) else { return Vec::new() };
        let mut matchers = Vec::new();
        for node in self.problems.list(node, key) {
            let Some(text) = self.problems.text(node, "a matcher") else { continue };
            match Matcher::parse(&text) {
                Ok(matcher) => matchers.push(matcher),
                Err(message) => self.problems.add(node.at, message),
            }
        }
        matchers
    }

    fn inhibit(&mut self, number: usize, node: &Node) -> Option<Inhibit> {
        let mut fields = Fields::new(node, "an inhibit rule", self.problems)?;
        let name = fields.text("name", self.problems).unwrap_or_else(|| format!("inhibit_rules[{number}]"));
        let source = self.matchers(&mut fields, "source_matchers");
        let target = self.matchers(&mut fields, "target_matchers");
        if source.is_empty() || target.is_empty() {
            self.problems.add(node.at, "an inhibit rule needs 'source_matchers' and 'target_matchers'");
        }
        let equal = fields.strings("equal", self.problems).unwrap_or_default();
        fields.finish(self.problems);
        Some(Inhibit { name, source, target, equal })
    }

    fn storm(&mut self, node: &Node) -> Option<Storm> {
        let mut fields = Fields::new(node, "storm", self.problems)?;
        let place = fields.place("threshold");
        let threshold = fields.require("threshold", self.problems).and_then(|n| self.problems.text(n, "threshold"));
        let read = threshold.as_deref().and_then(storm_threshold);
        if threshold.is_some() && read.is_none() {
            self.problems.add(place, "threshold must be as in '50 episodes per 1m', for at most an hour");
        }
        let digest_by = fields.strings("digest_by", self.problems).unwrap_or_default();
        let always_pass = self.matchers(&mut fields, "always_pass");
        fields.finish(self.problems);
        let (episodes, window_ns) = read?;
        Some(Storm { episodes, window_ns, digest_by, always_pass })
    }

    fn heartbeat_out(&mut self, node: &Node) -> Option<HeartbeatOut> {
        let mut fields = Fields::new(node, "heartbeat", self.problems)?;
        let url = self.secret(&mut fields, "url_file", "url_env");
        if url.is_none() {
            self.problems.add(node.at, "heartbeat needs 'url_file' or 'url_env'");
        }
        let every_ns = self.span(&mut fields, "every", HEARTBEAT_EVERY_MIN_NS).unwrap_or(60 * SECOND_NS);
        let net = self.net(&mut fields);
        fields.finish(self.problems);
        Some(HeartbeatOut { url: url?, every_ns, net })
    }

    fn canary(&mut self, node: &Node, names: &[&str]) -> Option<Canary> {
        let mut fields = Fields::new(node, "canary", self.problems)?;
        let every_ns = self.span(&mut fields, "every", CANARY_EVERY_MIN_NS).unwrap_or(CANARY_EVERY_NS);
        let receiver = fields.require("receiver", self.problems);
        let receiver = receiver.and_then(|node| tree::receiver_name(node, names, self.problems));
        fields.finish(self.problems);
        Some(Canary { every_ns, receiver: receiver? })
    }

    fn heartbeat_in(&mut self, node: &Node) -> Option<HeartbeatIn> {
        let mut fields = Fields::new(node, "a heartbeat", self.problems)?;
        let name = fields.require("name", self.problems).and_then(|n| self.problems.text(n, "name"));
        if let Some(name) = &name
            && !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        {
            self.problems
                .add(node.at, format!("'{name}' must be letters, digits, '-', '_' and '.': it is part of a URL"));
        }
        let every_ns = self.span(&mut fields, "every", HEARTBEAT_EVERY_MIN_NS);
        if every_ns.is_none() {
            self.problems.add(node.at, "a heartbeat needs 'every'");
        }
        let grace_ns = self.span(&mut fields, "grace", 0).unwrap_or(every_ns.unwrap_or(0) / 10);
        let severity = self.severity(&mut fields, "severity").unwrap_or(Severity::Critical);
        let labels = fields.texts("labels", self.problems).into_iter().map(|(key, value, _)| (key, value)).collect();
        fields.finish(self.problems);
        Some(HeartbeatIn { name: name?, every_ns: every_ns?, grace_ns, severity, labels })
    }

    fn test(&mut self, node: &Node, names: &[&str]) -> Option<RouteTest> {
        let mut fields = Fields::new(node, "a routing test", self.problems)?;
        let mut alerts = Vec::new();
        if let Some(node) = fields.get("alert") {
            alerts.push(self.labels(node));
        }
        if let Some(node) = fields.get("alerts") {
            let nodes = self.problems.list(node, "alerts");
            alerts.extend(nodes.iter().map(|node| self.labels(node)));
        }
        if alerts.is_empty() {
            self.problems.add(node.at, "a routing test needs 'alert' or 'alerts'");
        }
        let place = fields.place("at");
        let at_ns = fields.text("at", self.problems).and_then(|text| {
            let time = text.parse::<jiff::Timestamp>().ok().and_then(|t| i64::try_from(t.as_nanosecond()).ok());
            if time.is_none() {
                self.problems.add(place, "at must be a time such as '2026-01-05T03:00:00Z'");
            }
            time
        });
        let mut receivers = None;
        if let Some(node) = fields.get("receivers") {
            let nodes = self.problems.items(node, "receivers");
            receivers = Some(nodes.iter().filter_map(|node| tree::receiver_name(node, names, self.problems)).collect());
        }
        let inhibited = fields.get("inhibited").map(|node| {
            let nodes = self.problems.list(node, "inhibited");
            nodes.iter().map(|node| self.labels(node)).collect()
        });
        if receivers.is_none() && inhibited.is_none() {
            self.problems.add(node.at, "a routing test needs 'receivers' or 'inhibited'");
        }
        fields.finish(self.problems);
        Some(RouteTest { at: node.at, alerts, at_ns, receivers, inhibited })
    }

    fn labels(&mut self, node: &Node) -> Labels {
        self.problems.texts(node, "labels").into_iter().map(|(key, value, _)| (key, value)).collect()
    }

    fn severity(&mut self, fields: &mut Fields<'_>, key: &'static str) -> Option<Severity> {
        let choices = [("critical", Severity::Critical), ("warning", Severity::Warning), ("info", Severity::Info)];
        fields.word(key, &choices, self.problems)
    }

    /// A duration of at least `min_ns`.
    fn span(&mut self, fields: &mut Fields<'_>, key: &'static str, min_ns: i64) -> Option<i64> {
        let node = fields.get(key)?;
        let value = self.problems.duration_ns(node, key)?;
        if value < min_ns {
            let least = crate::notify::text::span_text(min_ns);
            self.problems.add(node.at, format!("{key} must be at least {least}"));
        }
        Some(value.max(min_ns))
    }

    /// A path relative to the routing file, so that the two can move together.
    fn beside(&self, path: impl AsRef<Path>) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }
}

/// `50 episodes per 1m`
fn storm_threshold(text: &str) -> Option<(u64, i64)> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [count, "episodes" | "alerts", "per", window] = words.as_slice() else { return None };
    let window = logweir_proto::text::parse_duration(window)?;
    let window_ns = i64::try_from(window.as_nanos()).ok().filter(|ns| (1..=STORM_WINDOW_MAX_NS).contains(ns))?;
    Some((count.parse().ok().filter(|count| *count > 0)?, window_ns))
}

#[cfg(test)]
mod tests;

//! The route tree: the first matching child wins, and goes on to its siblings when it says `continue`.

use logweir_rules::model::Labels;

use super::matcher::Matcher;

const SECOND_NS: i64 = 1_000_000_000;
const GROUP_WAIT_NS: i64 = 30 * SECOND_NS;
const GROUP_INTERVAL_NS: i64 = 300 * SECOND_NS;
const REPEAT_INTERVAL_NS: i64 = 4 * 3600 * SECOND_NS;

/// A node with everything inherited already filled in.
#[derive(Debug, Clone)]
pub struct Route {
    /// Place in the tree, `0.1`: part of the group key, so that two routes to one receiver group apart.
    pub path: String,
    pub name: Option<String>,
    pub matchers: Vec<Matcher>,
    pub receiver: String,
    /// `None` groups by all labels: every alert alone.
    pub group_by: Option<Vec<String>>,
    pub group_wait_ns: i64,
    pub group_interval_ns: i64,
    pub repeat_interval_ns: i64,
    pub go_on: bool,
    /// Nobody is told within these.
    pub mute: Vec<String>,
    /// Not empty: nobody is told outside of these.
    pub active: Vec<String>,
    /// By time.
    pub escalate: Vec<Escalation>,
    pub routes: Vec<Route>,
}

/// Who is told as well when nobody takes it in hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalation {
    /// Since the first message.
    pub after_ns: i64,
    pub unless_acked: bool,
    pub receiver: String,
}

impl Route {
    /// What the first route of a file inherits.
    pub(crate) fn root() -> Route {
        Route {
            path: "0".to_owned(),
            name: None,
            matchers: Vec::new(),
            receiver: String::new(),
            group_by: Some(vec!["alertname".to_owned()]),
            group_wait_ns: GROUP_WAIT_NS,
            group_interval_ns: GROUP_INTERVAL_NS,
            repeat_interval_ns: REPEAT_INTERVAL_NS,
            go_on: false,
            mute: Vec::new(),
            active: Vec::new(),
            escalate: Vec::new(),
            routes: Vec::new(),
        }
    }

    /// How people call it.
    pub fn title(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("route {}", self.path))
    }

    pub fn at(&self, path: &str) -> Option<&Route> {
        if self.path == path {
            return Some(self);
        }
        self.routes.iter().find_map(|route| route.at(path))
    }

    /// The routes that tell of an alert with these labels.
    pub fn matching(&self, labels: &Labels) -> Vec<&Route> {
        if !self.matchers.iter().all(|matcher| matcher.matches(labels)) {
            return Vec::new();
        }
        let mut found = Vec::new();
        for child in &self.routes {
            let below = child.matching(labels);
            let stop = !below.is_empty() && !child.go_on;
            found.extend(below);
            if stop {
                break;
            }
        }
        if found.is_empty() { vec![self] } else { found }
    }

    pub fn group_labels(&self, labels: &Labels) -> Labels {
        match &self.group_by {
            // What gets worse is still the same alert.
            None => labels.iter().filter(|(key, _)| *key != "severity").map(|(k, v)| (k.clone(), v.clone())).collect(),
            Some(by) => by.iter().filter_map(|key| labels.get(key).map(|value| (key.clone(), value.clone()))).collect(),
        }
    }

    /// The identity of the group to which these labels belong.
    pub fn group_key(&self, labels: &Labels) -> String {
        let mut hash = blake3::Hasher::new();
        for part in [self.path.as_str(), self.receiver.as_str()] {
            hash.update(part.as_bytes());
            hash.update(&[0]);
        }
        for (key, value) in self.group_labels(labels) {
            hash.update(key.as_bytes());
            hash.update(&[1]);
            hash.update(value.as_bytes());
            hash.update(&[2]);
        }
        hash.finalize().to_hex()[..32].to_owned()
    }
}

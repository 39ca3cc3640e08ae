//! The route tree: the first matching child wins, and goes on to its siblings when it says `continue`.

use logweir_rules::model::Labels;

use super::matcher::Matcher;

/// A node with everything inherited already filled in.
#[derive(Debug, Clone)]
pub struct Route {
    /// Place in the tree, `0.1`: part of the group key, so that two routes to one receiver group apart.
    pub path: String,
    pub matchers: Vec<Matcher>,
    pub receiver: String,
    /// `None` groups by all labels: every alert alone.
    pub group_by: Option<Vec<String>>,
    pub group_wait_ns: i64,
    pub group_interval_ns: i64,
    pub repeat_interval_ns: i64,
    pub go_on: bool,
    pub routes: Vec<Route>,
}

impl Route {
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
            None => labels.clone(),
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

//! What a source says of itself, small: there may be ten thousand of them. On disk and on the wire it is a [`SourceInfo`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use logweir_proto::batch::{SourceInfo, SourceKind};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::batch::cut;

/// Labels of one source; those that name its service and place are kept before others.
pub const LABELS_MAX: usize = 64;
pub const LABEL_NAME_BYTES_MAX: usize = 256;
pub const LABEL_BYTES_MAX: usize = 1 << 10;
/// A longer `log_format` is left out, and the server finds out by itself.
pub const FORMAT_BYTES_MAX: usize = 64 << 10;
/// Labels that say where lines come from.
const PLACE_LABELS: [&str; 7] = ["service", "container", "image", "namespace", "pod", "pm2_app", "stream"];

/// As [`SourceInfo`], whose fields these are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    pub id: Box<str>,
    pub kind: SourceKind,
    pub path: Box<str>,
    /// Shared by the files of one rule.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub format: Arc<str>,
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

impl Info {
    /// Cuts what it says to what a header has room for.
    pub fn fit(&mut self) {
        if self.format.len() > FORMAT_BYTES_MAX {
            tracing::warn!(path = %self.path, bytes = self.format.len(), "log_format is too long to be sent");
            self.format = Arc::default();
        }
        self.labels.fit();
    }

    pub fn to_source(&self) -> SourceInfo {
        SourceInfo {
            id: self.id.to_string(),
            kind: self.kind,
            path: self.path.to_string(),
            format: self.format.to_string(),
            labels: self.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }
}

fn is_empty(text: &Arc<str>) -> bool {
    text.is_empty()
}

/// A map of a few texts, sorted by name: the node of a tree would take half a kilobyte for one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(Vec<(Box<str>, Box<str>)>);

impl Labels {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.place(name).ok().map(|at| &*self.0[at].1)
    }

    /// Sets `name`, also if it has a value.
    pub fn insert(&mut self, name: &str, value: &str) {
        match self.place(name) {
            Ok(at) => self.0[at].1 = value.into(),
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (name.into(), value.into()));
            }
        }
    }

    /// Adds those of `others` that have no value here.
    pub fn add_missing(&mut self, others: &BTreeMap<String, String>) {
        for (name, value) in others.iter().filter(|(name, _)| self.get(name).is_none()).collect::<Vec<_>>() {
            self.insert(name, value);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| (**other).cmp(name))
    }

    fn fit(&mut self) {
        self.0.retain(|(name, _)| name.len() <= LABEL_NAME_BYTES_MAX);
        while self.0.len() > LABELS_MAX {
            let Some(last) = self.0.iter().rposition(|(name, _)| !PLACE_LABELS.contains(&&**name)) else { break };
            self.0.remove(last);
        }
        for (_, value) in self.0.iter_mut().filter(|(_, value)| value.len() > LABEL_BYTES_MAX) {
            let mut text = value.to_string();
            cut(&mut text, LABEL_BYTES_MAX);
            *value = text.into();
        }
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Labels {
        let mut labels = Labels::default();
        for (name, value) in pairs {
            labels.insert(name.as_ref(), value.as_ref());
        }
        labels
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Labels, D::Error> {
        deserializer.deserialize_map(LabelsVisitor)
    }
}

struct LabelsVisitor;

impl<'de> Visitor<'de> for LabelsVisitor {
    type Value = Labels;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a map of labels")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
        let mut labels = Labels::default();
        while let Some((name, value)) = map.next_entry::<String, String>()? {
            labels.insert(&name, &value);
        }
        Ok(labels)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The checkpoint and the wire see no difference.
        #[test]
        fn it_is_a_source_info(labels in prop::collection::btree_map("[a-z]{0,3}", ".{0,5}", 0..8), format in "(nginx)?") {
            let info = Info {
                id: "1-ab".into(),
                kind: SourceKind::File,
                path: "/x".into(),
                format: format.as_str().into(),
                labels: labels.iter().rev().collect(),
            };
            let source = SourceInfo { labels, ..info.to_source() };
            prop_assert_eq!(&info.to_source(), &source);
            let json = serde_json::to_string(&source).expect("json");
            prop_assert_eq!(&serde_json::to_string(&info).expect("json"), &json);
            prop_assert_eq!(&serde_json::from_str::<Info>(&json).expect("json"), &info);
            for (name, value) in &source.labels {
                prop_assert_eq!(info.labels.get(name), Some(value.as_str()));
            }
        }
    }

    #[test]
    fn what_a_source_has_itself_stays() {
        let mut labels: Labels = [("service", "shop")].into_iter().collect();
        labels.add_missing(&[("service", "x"), ("env", "prod")].map(|(n, v)| (n.to_owned(), v.to_owned())).into());
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("env", "prod"), ("service", "shop")]);
    }
}

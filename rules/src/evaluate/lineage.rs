//! Where a new pattern comes from: the pattern that it resembles, and those that became one with it.

use logweir_proto::pattern::{Miner, PatternId};
use serde::{Deserialize, Serialize};

/// Patterns that became one with another and are named; the others are counted.
pub const ABSORBED_NAMED_MAX: usize = 5;
const TEMPLATE_CHARS_MAX: usize = 120;

/// Kept for new patterns only: nobody is told of the others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Lineage {
    /// As it was when it was first seen; merging makes a template more general.
    own: String,
    /// The oldest one that differs in few words, and when that was first seen.
    like: Option<(String, i64)>,
    absorbed: Vec<String>,
    more: usize,
}

impl Lineage {
    /// Of a pattern that is new now.
    pub(super) fn of(miner: &Miner, id: PatternId, first_seen: impl Fn(PatternId) -> Option<i64>) -> Lineage {
        let template = |id| clipped(&miner.template(id).unwrap_or_default());
        let like = miner.relative(id).and_then(|other| Some((template(other), first_seen(other)?)));
        Lineage { own: template(id), like, ..Lineage::default() }
    }

    /// Two new patterns are one.
    pub(super) fn absorb(&mut self, other: Lineage) {
        self.more += other.more;
        for name in [other.own].into_iter().chain(other.absorbed) {
            if self.absorbed.len() < ABSORBED_NAMED_MAX {
                self.absorbed.push(name);
            } else {
                self.more += 1;
            }
        }
    }

    /// `like 'no route to alpha', first seen 2026-11-20T09:00:00Z; one with 'no route to beta' and 3 more`
    pub(super) fn text(&self) -> Option<String> {
        let like = self.like.as_ref().map(|(like, seen)| format!("like '{like}', first seen {}", time_text(*seen)));
        let one = (!self.absorbed.is_empty()).then(|| {
            let names: Vec<String> = self.absorbed.iter().map(|name| format!("'{name}'")).collect();
            let more = if self.more > 0 { format!(" and {} more", self.more) } else { String::new() };
            format!("first '{}', now one with {}{more}", self.own, names.join(", "))
        });
        let parts: Vec<String> = like.into_iter().chain(one).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// A template within a sentence.
pub(super) fn clipped(template: &str) -> String {
    match template.char_indices().nth(TEMPLATE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &template[..end]),
        None => template.to_owned(),
    }
}

pub(super) fn time_text(at: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(at)).map_or_else(|_| String::new(), |time| format!("{time:.0}"))
}

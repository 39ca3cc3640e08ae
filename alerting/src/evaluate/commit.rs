//! What one step changes, applied in one transaction.

use logweir_rules::evaluate::{Instance, RuleState};

use super::draft::Draft;
use super::instance_key;
use crate::route::Routing;
use crate::route::group::{Event, Placer};
use crate::state::records::RuleMemory;
use crate::state::store::{CURSORS, EPISODES, INSTANCES, RULES, SEEN, StoreError, Tx};

pub(super) struct Work {
    cursor: Option<(String, i64)>,
    now_wall: i64,
    pub(super) drafts: Vec<Draft>,
    instances: Vec<(String, Option<Instance>)>,
    seen: Vec<(String, Option<i64>)>,
    memories: Vec<(String, Option<RuleMemory>)>,
}

impl Work {
    pub(super) fn new(cursor: Option<(String, i64)>, now_wall: i64) -> Work {
        let (drafts, instances, seen, memories) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Work { cursor, now_wall, drafts, instances, seen, memories }
    }

    /// Notes what differs between two states of a rule.
    pub(super) fn state(&mut self, rule: &str, before: &RuleState, after: &RuleState) {
        for (labels, instance) in &after.instances {
            if before.instances.get(labels) != Some(instance) {
                self.instances.push((instance_key(rule, labels), Some(instance.clone())));
            }
        }
        for labels in before.instances.keys().filter(|labels| !after.instances.contains_key(*labels)) {
            self.instances.push((instance_key(rule, labels), None));
        }
        for (labels, seen) in &after.seen {
            if before.seen.get(labels) != Some(seen) {
                self.seen.push((instance_key(rule, labels), Some(*seen)));
            }
        }
        for labels in before.seen.keys().filter(|labels| !after.seen.contains_key(*labels)) {
            self.seen.push((instance_key(rule, labels), None));
        }
        if before.by != after.by || before.seeded != after.seeded {
            let memory = RuleMemory { by: after.by.clone(), seeded: after.seeded };
            self.memories.push((rule.to_owned(), Some(memory)));
        }
    }

    pub(super) fn forget_rule(&mut self, rule: &str) {
        self.memories.push((rule.to_owned(), None));
    }

    pub(super) fn apply(self, tx: &Tx, routing: Option<&Routing>) -> Result<(), StoreError> {
        let now_wall = self.now_wall;
        let mut placer = routing.map(|routing| Placer::new(tx, routing, now_wall));
        for draft in self.drafts {
            apply_draft(tx, placer.as_mut(), draft, now_wall)?;
        }
        if let Some(placer) = placer {
            placer.finish()?;
        }
        for (key, instance) in &self.instances {
            match instance {
                Some(instance) => tx.put(INSTANCES, key, instance)?,
                None => tx.delete(INSTANCES, key)?,
            }
        }
        for (key, seen) in &self.seen {
            match seen {
                Some(seen) => tx.put(SEEN, key, seen)?,
                None => tx.delete(SEEN, key)?,
            }
        }
        for (rule, memory) in &self.memories {
            match memory {
                Some(memory) => tx.put(RULES, rule, memory)?,
                None => tx.delete(RULES, rule)?,
            }
        }
        match &self.cursor {
            Some((group, at)) => tx.put(CURSORS, group, at),
            None => Ok(()),
        }
    }
}

fn apply_draft(tx: &Tx, placer: Option<&mut Placer<'_>>, draft: Draft, now_wall: i64) -> Result<(), StoreError> {
    let (mut episode, event) = match draft {
        Draft::Open(episode) => (*episode, Some(Event::Opened)),
        Draft::Change(change) => {
            let Some(mut episode) = tx.get(EPISODES, &change.id)? else { return Ok(()) };
            episode.peak = episode.peak.max(change.severity);
            episode.severity = change.severity;
            episode.values = change.values;
            episode.summary = change.summary;
            episode.annotations = change.annotations;
            episode.link = change.link;
            if !change.samples.is_empty() {
                episode.samples = change.samples;
            }
            let told = change.reason.is_some();
            episode.reason = change.reason.unwrap_or(episode.reason);
            (episode, told.then_some(Event::Changed))
        }
        Draft::Close(close) => {
            let Some(mut episode) = tx.get(EPISODES, &close.id)? else { return Ok(()) };
            episode.closed_at = Some(close.at);
            episode.closed_wall = Some(now_wall);
            episode.close_reason = Some(close.reason);
            if !close.values.is_empty() {
                episode.values = close.values;
            }
            (episode, Some(Event::Closed))
        }
    };
    let shown = episode.values.iter().next().map(|(name, value)| (name.clone(), *value));
    if let Some((name, value)) =
        shown.filter(|(name, _)| episode.extra.signal.is_empty() || episode.extra.signal == *name)
    {
        episode.extra.signal = name;
        episode.extra.push_point(now_wall, value);
    }
    if let (Some(placer), Some(event)) = (placer, event) {
        placer.place(&mut episode, event)?;
    }
    tx.put(EPISODES, &episode.id.clone(), &episode)
}

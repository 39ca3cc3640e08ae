//! What one step changes, applied in one transaction.

use std::collections::BTreeMap;

use logweir_rules::anomaly::Series;
use logweir_rules::evaluate::{Instance, RuleState, Scope, Transition};
use logweir_rules::model::Labels;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::counts::Piece;
use super::draft::Draft;
use super::instance_key;
use super::scene::Scene;
use crate::route::Routing;
use crate::route::group::{Event, Placer};
use crate::state::history::{self, TransitionLine};
use crate::state::records::RuleMemory;
use crate::state::store::{
    CURSORS, EPISODES, HOSTS, INSTANCES, PATTERNS, ROLLUPS, RULES, SCENES, SEEN, SERIES, StoreError, TRANSITIONS,
    Table, Tx,
};

/// Lines of the log that were found late count from here.
const LATE_INDEX: usize = 500_000;

/// The fields of one table that changed; `None` is gone.
type Changes<V> = Vec<(String, Option<V>)>;

pub(crate) struct Work {
    cursor: Option<(String, i64)>,
    now_wall: i64,
    pub(super) drafts: Vec<Draft>,
    instances: Changes<Instance>,
    seen: Changes<i64>,
    series: Changes<Series>,
    patterns: Changes<Scope>,
    memories: Changes<RuleMemory>,
    pub(super) rollups: Changes<Piece>,
    pub(super) scene: Option<Scene>,
    pub(super) hosts: Vec<(String, i64)>,
    lines: Vec<TransitionLine>,
    /// Everything before is removed from the log.
    pub(super) forget_before: Option<i64>,
}

impl Work {
    pub(crate) fn new(cursor: Option<(String, i64)>, now_wall: i64) -> Work {
        Work {
            cursor,
            now_wall,
            drafts: Vec::new(),
            instances: Vec::new(),
            seen: Vec::new(),
            series: Vec::new(),
            patterns: Vec::new(),
            memories: Vec::new(),
            rollups: Vec::new(),
            scene: None,
            hosts: Vec::new(),
            lines: Vec::new(),
            forget_before: None,
        }
    }

    pub(crate) fn draft(&mut self, draft: Draft) {
        self.drafts.push(draft);
    }

    /// Whether anything but the cursor changes.
    pub(super) fn is_empty(&self) -> bool {
        let states = self.instances.is_empty() && self.seen.is_empty() && self.memories.is_empty();
        let learned = self.series.is_empty() && self.patterns.is_empty() && self.rollups.is_empty();
        let seen = self.scene.is_none() && self.hosts.is_empty() && self.forget_before.is_none();
        states && learned && seen && self.drafts.is_empty() && self.lines.is_empty()
    }

    /// Notes what differs between two states of a rule.
    pub(super) fn state(&mut self, rule: &str, before: &RuleState, after: &RuleState) {
        differ(rule, &before.instances, &after.instances, &mut self.instances);
        differ(rule, &before.seen, &after.seen, &mut self.seen);
        differ(rule, &before.series, &after.series, &mut self.series);
        differ(rule, &before.patterns, &after.patterns, &mut self.patterns);
        if before.by != after.by || before.seeded != after.seeded {
            let memory = RuleMemory { by: after.by.clone(), seeded: after.seeded };
            self.memories.push((rule.to_owned(), Some(memory)));
        }
    }

    /// Notes what happened to a rule.
    pub(super) fn log(&mut self, rule: &str, transitions: &[Transition]) {
        self.lines.extend(transitions.iter().map(|transition| TransitionLine::new(rule, transition)));
    }

    /// Notes what was found late.
    pub(super) fn log_late(&mut self, line: TransitionLine) {
        self.lines.push(line);
    }

    pub(super) fn forget_rule(&mut self, rule: &str) {
        self.memories.push((rule.to_owned(), None));
    }

    pub(crate) fn apply(self, tx: &Tx, routing: Option<&Routing>) -> Result<(), StoreError> {
        let now_wall = self.now_wall;
        let mut placer = routing.map(|routing| Placer::new(tx, routing, now_wall));
        for draft in self.drafts {
            apply_draft(tx, placer.as_mut(), draft, now_wall)?;
        }
        if let Some(placer) = placer {
            placer.finish()?;
        }
        put_all(tx, INSTANCES, &self.instances)?;
        put_all(tx, SEEN, &self.seen)?;
        put_all(tx, SERIES, &self.series)?;
        put_all(tx, PATTERNS, &self.patterns)?;
        put_all(tx, RULES, &self.memories)?;
        put_all(tx, ROLLUPS, &self.rollups)?;
        for (host, heard_wall) in &self.hosts {
            tx.put(HOSTS, host, heard_wall)?;
        }
        let group = self.cursor.as_ref().map_or("", |(group, _)| group.as_str());
        for (index, line) in self.lines.iter().enumerate() {
            // What is found late stands behind what was found in time.
            let index = if line.late_ns.is_some() { LATE_INDEX + index } else { index };
            tx.put(TRANSITIONS, &history::key(line.at, group, index), line)?;
        }
        let Some((group, at)) = &self.cursor else { return Ok(()) };
        if let Some(scene) = &self.scene {
            tx.put(SCENES, &format!("{group}\0{at:020}"), scene)?;
        }
        if let Some(before) = self.forget_before {
            tx.delete_range(TRANSITIONS, "", &format!("{before:020}"))?;
            tx.delete_range(SCENES, &format!("{group}\0"), &format!("{group}\0{before:020}"))?;
        }
        tx.put(CURSORS, group, at)
    }
}

fn differ<V: Clone + PartialEq>(
    rule: &str,
    before: &BTreeMap<Labels, V>,
    after: &BTreeMap<Labels, V>,
    changes: &mut Changes<V>,
) {
    for (labels, value) in after {
        if before.get(labels) != Some(value) {
            changes.push((instance_key(rule, labels), Some(value.clone())));
        }
    }
    for labels in before.keys().filter(|labels| !after.contains_key(*labels)) {
        changes.push((instance_key(rule, labels), None));
    }
}

fn put_all<V: Serialize + DeserializeOwned>(tx: &Tx, table: Table<V>, changes: &Changes<V>) -> Result<(), StoreError> {
    for (key, value) in changes {
        match value {
            Some(value) => tx.put(table, key, value)?,
            None => tx.delete(table, key)?,
        }
    }
    Ok(())
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
    let wanted = |(name, _): &(&String, &f64)| episode.extra.signal.is_empty() || episode.extra.signal == **name;
    let shown = episode.values.iter().find(wanted).map(|(name, value)| (name.clone(), *value));
    if let Some((name, value)) = shown {
        episode.extra.signal = name;
        episode.extra.push_point(now_wall, value);
    }
    if let (Some(placer), Some(event)) = (placer, event) {
        placer.place(&mut episode, event)?;
    }
    tx.put(EPISODES, &episode.id.clone(), &episode)
}

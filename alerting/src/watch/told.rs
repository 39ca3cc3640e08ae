//! What of the troubles people were told: opens, changes and closes their alerts.

use std::collections::BTreeMap;
use std::sync::Arc;

use logweir_rules::model::Labels;

use super::trouble::{self, AGENT_DOWN, FORGET_NS, NAMES, SETTLED_NS, Seen, Trouble};
use crate::evaluate::episode_id;
use crate::route::Routing;
use crate::route::group::Event;
use crate::service::builtin;
use crate::state::Episode;
use crate::state::records::AgentMemory;
use crate::state::store::{AGENTS, EPISODES, Store, StoreError, Tx, View};

/// It must be well for so long before an alert ends, so that what comes and goes is one alert.
pub(super) const WELL_FOR_NS: i64 = 60 * 1_000_000_000;
/// How often it is written down who was heard.
const MEMORY_EVERY_NS: i64 = 60 * 1_000_000_000;

type Key = (&'static str, Labels);

/// What is remembered between two looks.
#[derive(Debug, Default)]
pub(super) struct Told {
    started_wall: i64,
    /// Read from the store with the first look.
    agents: Option<BTreeMap<String, AgentMemory>>,
    agents_wall: i64,
    /// Since when something is wrong.
    wrong: BTreeMap<Key, i64>,
    /// When a trouble that is an alert was last seen.
    last: BTreeMap<Key, i64>,
}

/// What becomes of the alerts.
#[derive(Debug, Default)]
struct Change {
    /// With the open episode, if there is one.
    raise: Vec<(Trouble, Option<String>)>,
    /// Those that are over, and why.
    end: Vec<(String, &'static str)>,
    agents: BTreeMap<String, AgentMemory>,
    gone: Vec<String>,
}

impl Told {
    pub(super) fn new(started_wall: i64) -> Told {
        Told { started_wall, agents_wall: i64::MIN, ..Told::default() }
    }

    /// Writes down what changed; `true`: somebody is to be told.
    pub(super) async fn update(
        &mut self,
        store: &Store,
        routing: Option<Arc<Routing>>,
        seen: &Seen,
        now_wall: i64,
    ) -> Result<bool, StoreError> {
        let (open, known) = store.read_async(|view| Ok((own_episodes(view)?, view.scan(AGENTS, "")?))).await?;
        let agents = self.agents.get_or_insert_with(|| known.into_iter().collect());
        hear(agents, seen, now_wall);
        let troubles = trouble::all(seen, agents, self.started_wall, now_wall);
        let mut change = self.decide(&troubles, open, now_wall);
        self.remember(&mut change, now_wall);
        let tells = !change.raise.is_empty() || !change.end.is_empty();
        if tells || !change.agents.is_empty() || !change.gone.is_empty() {
            store.write_async(move |tx| change.apply(tx, routing.as_deref(), now_wall)).await?;
        }
        Ok(tells)
    }

    fn decide(&mut self, troubles: &[Trouble], open: Vec<Episode>, now_wall: i64) -> Change {
        let is_wrong = |key: &Key| troubles.iter().any(|one| (one.name, &one.instance) == (key.0, &key.1));
        self.wrong.retain(|key, _| is_wrong(key));
        let mut change = Change::default();
        for trouble in troubles {
            let key = (trouble.name, trouble.instance.clone());
            let since = *self.wrong.entry(key.clone()).or_insert(now_wall);
            let episode = open.iter().find(|one| one.rule == trouble.name && one.instance == trouble.instance);
            let same = |episode: &Episode| episode.severity == trouble.severity && episode.summary == trouble.summary;
            if episode.is_some() || now_wall.saturating_sub(since) >= trouble.for_ns {
                self.last.insert(key, now_wall);
                if !episode.is_some_and(same) {
                    change.raise.push((trouble.clone(), episode.map(|episode| episode.id.clone())));
                }
            }
        }
        for episode in open {
            let Some(name) = NAMES.into_iter().find(|name| *name == episode.rule) else { continue };
            let key = (name, episode.instance.clone());
            // After a restart the time begins anew.
            let last = *self.last.entry(key.clone()).or_insert(now_wall);
            if now_wall.saturating_sub(last) >= WELL_FOR_NS {
                self.last.remove(&key);
                let host = episode.instance.get("host");
                let forgotten = name == AGENT_DOWN && host.is_some_and(|host| !self.is_known(host));
                let why =
                    if forgotten { "it was silent for a week: it counts as taken away" } else { "it is well again" };
                change.end.push((episode.id, why));
            }
        }
        change
    }

    fn is_known(&self, host: &str) -> bool {
        self.agents.as_ref().is_some_and(|agents| agents.contains_key(host))
    }

    /// Which agents are known is written now and then, and who is silent for too long is forgotten.
    fn remember(&mut self, change: &mut Change, now_wall: i64) {
        let Some(agents) = &mut self.agents else { return };
        if now_wall.saturating_sub(self.agents_wall) < MEMORY_EVERY_NS {
            return;
        }
        let before = std::mem::replace(&mut self.agents_wall, now_wall);
        let old = |memory: &AgentMemory| now_wall.saturating_sub(memory.heard_wall) >= FORGET_NS;
        change.gone = agents.iter().filter(|(_, memory)| old(memory)).map(|(host, _)| host.clone()).collect();
        agents.retain(|_, memory| !old(memory));
        let heard = agents.iter().filter(|(_, memory)| memory.heard_wall >= before);
        change.agents = heard.map(|(host, memory)| (host.clone(), *memory)).collect();
    }
}

fn own_episodes(view: &View) -> Result<Vec<Episode>, StoreError> {
    let all = view.scan(EPISODES, "")?.into_iter().map(|(_, episode)| episode);
    Ok(all.filter(|episode| episode.is_firing() && NAMES.contains(&&*episode.rule)).collect())
}

/// An agent that was away for long before it had settled begins anew; one that ends by itself is never missed.
fn hear(agents: &mut BTreeMap<String, AgentMemory>, seen: &Seen, now_wall: i64) {
    for mark in seen.marks.iter().filter(|mark| !mark.passing) {
        let heard_wall = mark.heard_wall.min(now_wall);
        let new = AgentMemory { since_wall: heard_wall, heard_wall };
        let memory = agents.entry(mark.host.clone()).or_insert(new);
        let settled = memory.heard_wall.saturating_sub(memory.since_wall) >= SETTLED_NS;
        if !settled && heard_wall.saturating_sub(memory.heard_wall) > SETTLED_NS {
            *memory = new;
        }
        memory.heard_wall = memory.heard_wall.max(heard_wall);
    }
}

impl Change {
    fn apply(self, tx: &Tx, routing: Option<&Routing>, now_wall: i64) -> Result<(), StoreError> {
        for (host, memory) in &self.agents {
            tx.put(AGENTS, host, memory)?;
        }
        for host in &self.gone {
            tx.delete(AGENTS, host)?;
        }
        for (trouble, open) in self.raise {
            raise(tx, routing, trouble, open.as_deref(), now_wall)?;
        }
        for (id, why) in self.end {
            // Read again: somebody may have acknowledged it meanwhile.
            if let Some(episode) = tx.get(EPISODES, &id)?.filter(Episode::is_firing) {
                builtin::close(tx, routing, episode, why, now_wall)?;
            }
        }
        Ok(())
    }
}

fn raise(
    tx: &Tx,
    routing: Option<&Routing>,
    trouble: Trouble,
    open: Option<&str>,
    now_wall: i64,
) -> Result<(), StoreError> {
    let Trouble { name, instance, severity, summary, reason, .. } = trouble;
    let open = open.map(|id| tx.get(EPISODES, id)).transpose()?.flatten();
    let (mut episode, event) = match open {
        Some(episode) if episode.severity == severity => (episode, None),
        Some(episode) => (episode, Some(Event::Changed)),
        None => {
            let id = episode_id(name, &instance, now_wall);
            (Episode::built_in(id, name, instance, severity, now_wall), Some(Event::Opened))
        }
    };
    (episode.severity, episode.peak) = (severity, episode.peak.max(severity));
    (episode.summary, episode.reason) = (summary, reason);
    match event {
        Some(event) => {
            tracing::warn!(alert = name, summary = episode.summary, "something is wrong with Logweir itself");
            builtin::place(tx, routing, episode, event, now_wall)
        }
        // Other words for the same are no news.
        None => tx.put(EPISODES, &episode.id.clone(), &episode),
    }
}

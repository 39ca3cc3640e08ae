//! Who sends, when they were last heard, and how far they are: the live half of delivery accounting.
//!
//! The ranges are durable; this is not: after a restart every agent tells it again within one heartbeat.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use logweir_proto::batch::{Gap, Header, Heartbeat};

use crate::ranges::SourceKey;

/// Sources that are remembered; the one that was silent for longest makes room.
pub const SOURCES_MAX: usize = 100_000;
/// Agents that are remembered.
pub const AGENTS_MAX: usize = 10_000;
/// Gaps that are shown for one source.
pub const GAPS_SHOWN_MAX: usize = 100;

#[derive(Debug, Clone)]
pub struct SourceState {
    pub host: String,
    pub kind: &'static str,
    pub path: String,
    pub service: Option<String>,
    pub last_seen_ns: i64,
    /// The agent has shipped everything of the source up to this time.
    pub watermark_ns: Option<i64>,
    pub gaps: Vec<Gap>,
    /// What reads its lines now, how many there were since the start, and how many of them were of a format.
    pub parser: String,
    pub lines: u64,
    pub lines_read: u64,
    pub ahead: Option<Ahead>,
}

/// A line whose own time cannot be, because it lies too far ahead of its arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    pub received_ns: i64,
    pub by_ns: i64,
}

#[derive(Debug, Clone)]
pub struct AgentState {
    pub host: String,
    pub version: String,
    pub last_seen_ns: i64,
    /// The agent's clock minus ours, when it last spoke.
    pub skew_ns: i64,
    pub heartbeat: Heartbeat,
}

#[derive(Debug, Default)]
struct Registry {
    sources: HashMap<SourceKey, SourceState>,
    agents: HashMap<String, AgentState>,
    heartbeat_ms: Option<u64>,
}

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Sources(Arc<Mutex<Registry>>);

impl Sources {
    /// Takes note of a batch or heartbeat and answers the sources that it speaks of without their paths being known.
    /// Agents without an id leave no trace.
    pub fn observe(&self, header: &Header, now_ns: i64) -> Vec<String> {
        let mut unknown = Vec::new();
        if header.agent.id.is_empty() {
            return unknown;
        }
        let mut registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        registry.agents.insert(
            header.agent.id.clone(),
            AgentState {
                host: header.agent.host.clone(),
                version: header.agent.version.clone(),
                last_seen_ns: now_ns,
                skew_ns: if header.heartbeat.sent_ns > 0 { header.heartbeat.sent_ns.saturating_sub(now_ns) } else { 0 },
                heartbeat: header.heartbeat.clone(),
            },
        );
        for source in &header.sources {
            let key = SourceKey::new(&header.agent.id, &source.id);
            let state = registry.sources.entry(key).or_insert_with(|| SourceState {
                host: header.agent.host.clone(),
                kind: source.kind.source_name(),
                path: source.path.clone(),
                service: None,
                last_seen_ns: now_ns,
                watermark_ns: None,
                gaps: Vec::new(),
                parser: String::new(),
                lines: 0,
                lines_read: 0,
                ahead: None,
            });
            state.last_seen_ns = now_ns;
            state.path.clone_from(&source.path);
            state.service = source.labels.get("service").cloned();
        }
        for mark in &header.watermarks {
            if let Some(state) = registry.sources.get_mut(&SourceKey::new(&header.agent.id, &mark.source)) {
                state.watermark_ns = Some(mark.time_ns);
                state.last_seen_ns = now_ns;
            } else {
                unknown.push(mark.source.clone());
            }
        }
        for gap in &header.gaps {
            if let Some(state) = registry.sources.get_mut(&SourceKey::new(&header.agent.id, &gap.source))
                && state.gaps.len() < GAPS_SHOWN_MAX
                && !state.gaps.contains(gap)
            {
                state.gaps.push(gap.clone());
            }
        }
        registry.make_room();
        unknown
    }

    /// Takes note of what reads a source now: what is around its text, the format of that, the lines that there were,
    /// and those that were of a format.
    pub fn is_read(&self, key: &SourceKey, parser: [Option<&str>; 2], lines: u64, lines_read: u64) {
        let mut registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = registry.sources.get_mut(key) else { return };
        (state.lines, state.lines_read) = (lines, lines_read);
        state.parser.clear();
        let text = parser.iter().all(Option::is_none).then_some("text");
        for word in parser.into_iter().flatten().chain(text) {
            if !state.parser.is_empty() {
                state.parser.push_str(", ");
            }
            state.parser.push_str(word);
        }
    }

    /// Takes note of a line that came from the future.
    pub fn is_ahead(&self, key: &SourceKey, ahead: Ahead) {
        let mut registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = registry.sources.get_mut(key) {
            state.ahead = Some(ahead);
        }
    }

    /// How often agents are asked to say how far their idle sources are; `None`: as often as they do by themselves.
    pub fn heartbeat_ms(&self) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).heartbeat_ms
    }

    /// Asks for it from their next batch on.
    pub fn want_heartbeat(&self, every_ms: Option<u64>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).heartbeat_ms = every_ms;
    }

    pub fn snapshot(&self) -> Vec<(SourceKey, SourceState)> {
        let registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = registry.sources.iter().map(|(key, state)| (key.clone(), state.clone())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    pub fn agents(&self) -> Vec<(String, AgentState)> {
        let registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = registry.agents.iter().map(|(id, state)| (id.clone(), state.clone())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }
}

impl Registry {
    fn make_room(&mut self) {
        forget_oldest(&mut self.sources, SOURCES_MAX, |state| state.last_seen_ns);
        forget_oldest(&mut self.agents, AGENTS_MAX, |state| state.last_seen_ns);
    }
}

/// Over the limit a tenth goes at once, those that were silent for longest: so it is not sorted again for each new one.
fn forget_oldest<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, V>, max: usize, seen: impl Fn(&V) -> i64) {
    if map.len() <= max {
        return;
    }
    let mut times: Vec<i64> = map.values().map(&seen).collect();
    times.sort_unstable();
    let before = times[times.len() / 10];
    map.retain(|_, value| seen(value) > before);
}

#[cfg(test)]
mod tests {
    use logweir_proto::batch::{AgentInfo, SourceInfo, SourceKind, Watermark};

    use super::*;

    fn header(sources: &[&str], watermarks: &[&str]) -> Header {
        let source = |id: &&str| SourceInfo {
            id: (*id).to_owned(),
            kind: SourceKind::File,
            path: format!("/var/log/{id}"),
            format: String::new(),
            labels: [("service".to_owned(), "shop".to_owned())].into(),
        };
        let mark = |id: &&str| Watermark { source: (*id).to_owned(), offset: 5, time_ns: 9 };
        Header {
            agent: AgentInfo { id: "a".into(), host: "web-1".into(), version: "0".into(), utc_offset_minutes: 0 },
            seq: 1,
            sources: sources.iter().map(source).collect(),
            chunks: Vec::new(),
            watermarks: watermarks.iter().map(mark).collect(),
            gaps: Vec::new(),
            heartbeat: Heartbeat::default(),
        }
    }

    #[test]
    fn a_source_that_was_never_named_is_asked_for_and_then_known() {
        let sources = Sources::default();
        assert_eq!(sources.observe(&header(&["one"], &["one", "two"]), 1), ["two"]);
        assert!(sources.observe(&header(&["two"], &["one", "two"]), 2).is_empty());
        let known = sources.snapshot();
        let shown: Vec<_> = known.iter().map(|(_, s)| (s.path.as_str(), s.last_seen_ns, s.watermark_ns)).collect();
        assert_eq!(shown, [("/var/log/one", 2, Some(9)), ("/var/log/two", 2, Some(9))]);
    }

    #[test]
    fn what_reads_a_source_is_shown() {
        let sources = Sources::default();
        sources.observe(&header(&["one"], &[]), 1);
        let key = SourceKey::new("a", "one");
        for (parser, want) in [
            ([None, None], "text"),
            ([Some("syslog"), None], "syslog"),
            ([Some("syslog"), Some("haproxy")], "syslog, haproxy"),
            ([None, Some("redis")], "redis"),
        ] {
            sources.is_read(&key, parser, 7, 5);
            let state = &sources.snapshot()[0].1;
            assert_eq!((&*state.parser, state.lines, state.lines_read), (want, 7, 5));
        }
        sources.is_read(&SourceKey::new("a", "unknown"), [None, None], 1, 1);
        assert_eq!(sources.snapshot().len(), 1);
    }
}

//! What is wrong with Logweir itself at one moment: a pure function of what is seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use logweir_rules::model::{Group, Labels, RuleSet, Severity};

use crate::evaluate::scene::DEAD_AFTER_NS;
use crate::notify::message::time_text;
use crate::notify::text::span_text;
use crate::service::RuleStatus;
use crate::source::{Health, HostMark};
use crate::state::records::AgentMemory;

const SECOND_NS: i64 = 1_000_000_000;
const MINUTE_NS: i64 = 60 * SECOND_NS;

/// An agent that speaks for so long is missed when it stops.
pub(super) const SETTLED_NS: i64 = 5 * MINUTE_NS;
/// An agent that is silent for so long was taken away.
pub(super) const FORGET_NS: i64 = 7 * 24 * 3600 * SECOND_NS;
/// The lines of a host may be so old before they are searchable.
pub(super) const INGEST_LAG_NS: i64 = 5 * MINUTE_NS;
/// A clock may be wrong by so much.
pub(super) const SKEW_NS: i64 = 5 * MINUTE_NS;
/// A line from the future is told of for so long.
const AHEAD_TOLD_NS: i64 = 10 * MINUTE_NS;
/// Evaluation may be so late, besides the delay of the group and two of its steps.
pub(super) const EVALUATION_LAG_NS: i64 = MINUTE_NS;
/// Alerts of one kind; of more the first ones are told.
pub(super) const OF_A_KIND_MAX: usize = 500;

/// An agent is not heard any more.
pub(super) const AGENT_DOWN: &str = "AgentDown";
/// An agent is heard, but its lines are old when they can be searched.
pub(super) const INGEST_LAG: &str = "IngestLag";
/// The clock of a host, or the time in its lines, is wrong.
pub(super) const CLOCK_SKEW: &str = "ClockSkew";
/// A rule cannot be evaluated.
pub(super) const RULE_FAILING: &str = "RuleFailing";
/// A rule has as many instances as it may; new ones are left out.
pub(super) const RULE_LIMITED: &str = "RuleLimited";
/// A group of rules is evaluated later than it should be, or not at all.
pub(super) const EVALUATION_LAG: &str = "EvaluationLag";
/// The disk of the server has little room, or none.
pub(super) const DISK_LOW: &str = "DiskLow";

/// All that this module tells of.
pub(super) const NAMES: [&str; 7] =
    [AGENT_DOWN, INGEST_LAG, CLOCK_SKEW, RULE_FAILING, RULE_LIMITED, EVALUATION_LAG, DISK_LOW];

/// What the watcher looks at.
pub(super) struct Seen {
    pub(super) marks: Vec<HostMark>,
    pub(super) health: Health,
    pub(super) statuses: BTreeMap<String, RuleStatus>,
    pub(super) rules: Arc<RuleSet>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) name: &'static str,
    pub(super) instance: Labels,
    pub(super) severity: Severity,
    pub(super) summary: String,
    pub(super) reason: String,
    /// It must hold for so long before anybody is told.
    pub(super) for_ns: i64,
}

impl Trouble {
    fn new(name: &'static str, label: (&str, &str), severity: Severity) -> Trouble {
        let instance = [(label.0.to_owned(), label.1.to_owned())].into();
        Trouble { name, instance, severity, summary: String::new(), reason: String::new(), for_ns: MINUTE_NS }
    }
}

/// Everything that is wrong at a moment.
pub(super) fn all(
    seen: &Seen,
    agents: &BTreeMap<String, AgentMemory>,
    started_wall: i64,
    now_wall: i64,
) -> Vec<Trouble> {
    let mut all = Vec::new();
    all.extend(agents_down(agents, started_wall, now_wall).take(OF_A_KIND_MAX));
    all.extend(seen.marks.iter().filter_map(|mark| ingest_lag(mark, started_wall, now_wall)).take(OF_A_KIND_MAX));
    all.extend(clocks(&seen.health, now_wall).take(OF_A_KIND_MAX));
    all.extend(seen.statuses.iter().filter_map(|(name, status)| rule_failing(name, status)).take(OF_A_KIND_MAX));
    all.extend(seen.statuses.iter().filter_map(|(name, status)| rule_limited(name, status)).take(OF_A_KIND_MAX));
    let late = |group: &Arc<Group>| evaluation_lag(group, &seen.statuses, started_wall, now_wall);
    all.extend(seen.rules.groups.iter().filter_map(late).take(OF_A_KIND_MAX));
    all.extend(seen.health.disk.as_ref().map(|disk| {
        let severity = if disk.full { Severity::Critical } else { Severity::Warning };
        let (summary, reason) = (format!("the server on {}: {}", seen.health.host, disk.reason), disk.reason.clone());
        Trouble { summary, reason, for_ns: 0, ..Trouble::new(DISK_LOW, ("host", &seen.health.host), severity) }
    }));
    all
}

/// Why our heartbeat must not be sent: a group is not evaluated, or agents speak and nobody's lines arrive.
pub(super) fn stalled(seen: &Seen, started_wall: i64, now_wall: i64) -> Option<String> {
    let late = |group: &Arc<Group>| evaluation_lag(group, &seen.statuses, started_wall, now_wall);
    if let Some(trouble) = seen.rules.groups.iter().find_map(late) {
        return Some(trouble.summary);
    }
    let silent_ns = |mark: &&HostMark| now_wall.saturating_sub(mark.heard_wall);
    let speaking: Vec<&HostMark> = seen.marks.iter().filter(|mark| silent_ns(mark) <= DEAD_AFTER_NS).collect();
    let stuck = |mark: &&HostMark| ingest_lag(mark, started_wall, now_wall).is_some();
    (!speaking.is_empty() && speaking.iter().all(stuck)).then(|| "agents speak, but nobody's lines arrive".to_owned())
}

fn agents_down(
    agents: &BTreeMap<String, AgentMemory>,
    started_wall: i64,
    now_wall: i64,
) -> impl Iterator<Item = Trouble> + '_ {
    agents.iter().filter_map(move |(host, memory)| {
        // An agent has time to speak to a server that has just begun.
        let silent_ns = now_wall.saturating_sub(memory.heard_wall.max(started_wall));
        let settled = memory.heard_wall.saturating_sub(memory.since_wall) >= SETTLED_NS;
        let down = settled && silent_ns > DEAD_AFTER_NS && now_wall.saturating_sub(memory.heard_wall) < FORGET_NS;
        down.then(|| Trouble {
            summary: format!("the agent on {host} was last heard at {}", time_text(memory.heard_wall)),
            reason: format!("no heartbeat for more than {}", span_text(DEAD_AFTER_NS)),
            for_ns: 30 * SECOND_NS,
            ..Trouble::new(AGENT_DOWN, ("host", host), Severity::Warning)
        })
    })
}

fn ingest_lag(mark: &HostMark, started_wall: i64, now_wall: i64) -> Option<Trouble> {
    let alive = mark.heard_wall >= started_wall && now_wall.saturating_sub(mark.heard_wall) <= DEAD_AFTER_NS;
    let lag_ns = now_wall.saturating_sub(mark.watermark_ns?);
    (alive && lag_ns > INGEST_LAG_NS).then(|| Trouble {
        summary: format!("what {} wrote since {} cannot be searched yet", mark.host, time_text(now_wall - lag_ns)),
        reason: format!("its agent is heard, and more than {} behind", span_text(INGEST_LAG_NS)),
        ..Trouble::new(INGEST_LAG, ("host", &mark.host), Severity::Warning)
    })
}

fn clocks(health: &Health, now_wall: i64) -> impl Iterator<Item = Trouble> + '_ {
    health.agents.iter().filter_map(move |agent| {
        let host = &agent.host;
        let (summary, reason) = if agent.skew_ns.saturating_abs() > SKEW_NS {
            let word = if agent.skew_ns > 0 { "ahead" } else { "behind" };
            let by = span_text(agent.skew_ns.saturating_abs() / MINUTE_NS * MINUTE_NS);
            (format!("the clock of {host} is {by} {word}"), "its agent says its time with every heartbeat".to_owned())
        } else {
            let ahead = agent.ahead.as_ref().filter(|one| now_wall.saturating_sub(one.wall) < AHEAD_TOLD_NS)?;
            let (path, by) = (&ahead.path, span_text(ahead.by_ns / MINUTE_NS * MINUTE_NS));
            let summary = format!("lines of {path} on {host} say a time {by} ahead: is it in another time zone?");
            (summary, "such lines count from when they were received".to_owned())
        };
        Some(Trouble { summary, reason, ..Trouble::new(CLOCK_SKEW, ("host", host), Severity::Info) })
    })
}

fn rule_failing(name: &str, status: &RuleStatus) -> Option<Trouble> {
    let error = status.error.as_ref().filter(|_| status.refused == 0)?;
    Some(Trouble {
        summary: format!("the rule {name} cannot be evaluated: {error}"),
        reason: error.clone(),
        for_ns: 2 * MINUTE_NS,
        ..Trouble::new(RULE_FAILING, ("rule", name), Severity::Warning)
    })
}

fn rule_limited(name: &str, status: &RuleStatus) -> Option<Trouble> {
    (status.refused > 0).then(|| Trouble {
        summary: format!("the rule {name} has as many alerts as it may: {} new ones are left out", status.refused),
        reason: "group by fewer labels, or by one with fewer values".to_owned(),
        for_ns: 0,
        ..Trouble::new(RULE_LIMITED, ("rule", name), Severity::Warning)
    })
}

fn evaluation_lag(
    group: &Group,
    statuses: &BTreeMap<String, RuleStatus>,
    started_wall: i64,
    now_wall: i64,
) -> Option<Trouble> {
    let last = |name: &String| statuses.get(name).and_then(|status| status.last_at);
    let oldest = group.rules.iter().map(|rule| last(&rule.name).unwrap_or(started_wall)).min()?;
    let delay_ns = if group.delay_auto { group.max_delay_ns.max(group.delay_ns) } else { group.delay_ns };
    let allowed_ns = delay_ns.saturating_add(group.every_ns.saturating_mul(2)).saturating_add(EVALUATION_LAG_NS);
    // What was missed while the process was down is caught up first.
    let lag_ns = now_wall.saturating_sub(oldest).min(now_wall.saturating_sub(started_wall));
    (lag_ns > allowed_ns).then(|| Trouble {
        summary: format!("the rules of group {} were last evaluated for {}", group.name, time_text(oldest)),
        reason: format!("they should be evaluated every {}", span_text(group.every_ns)),
        for_ns: 0,
        ..Trouble::new(EVALUATION_LAG, ("rule_group", &group.name), Severity::Warning)
    })
}

#[cfg(test)]
mod tests;

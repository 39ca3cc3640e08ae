//! Who has reported when a group is evaluated: whether to wait, and what the rules are told of the sources.
//!
//! What a step saw is stored when it differs from the step before, so that a backtest sees the same.

use logweir_rules::evaluate::{Coverage, SourceState, Sources};
use logweir_rules::model::{Group, LineTime};
use serde::{Deserialize, Serialize};

use crate::source::HostMark;

/// An agent that was not heard for so long is dead.
pub const DEAD_AFTER_NS: i64 = 30 * 1_000_000_000;
/// A dead host is missed in the coverage for so long; then it counts as taken away.
pub const MISSED_FOR_NS: i64 = 3600 * 1_000_000_000;
/// A group with a fixed delay does not wait for sources; they are behind when they lag more than two heartbeats.
pub const SLACK_NS: i64 = 15 * 1_000_000_000;
/// With `delay: auto` what was received has so long to become searchable.
pub const SETTLE_NS: i64 = 500_000_000;
/// Receive times are whole milliseconds: so long after a step nothing more is received before it.
const SEARCHABLE_NS: i64 = 1_000_000;
/// How often a group that waits looks again.
const LOOK_EVERY_NS: i64 = 200_000_000;

/// The hosts at one step. Without hosts nobody knows, and everything counts as reported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scene {
    pub hosts: Sources,
    pub reported: usize,
    pub expected: usize,
    /// Nothing is known of the time before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_since: Option<i64>,
    /// Lines that were received before have no receive time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_since: Option<i64>,
}

impl Scene {
    /// The hosts at an evaluation of the group at `at`.
    pub fn look(marks: &[HostMark], group: &Group, at: i64, now_wall: i64, started_wall: i64) -> Scene {
        let waited = group.delay_auto && group.goes_by(LineTime::Event);
        let slack_ns = if waited { 0 } else { SLACK_NS };
        let mut scene = Scene::default();
        for mark in marks {
            let silent_ns = now_wall.saturating_sub(mark.heard_wall.max(started_wall));
            let state = match mark.watermark_ns {
                _ if silent_ns > DEAD_AFTER_NS => SourceState::Dead,
                Some(watermark) if watermark.saturating_add(slack_ns) < at => SourceState::Behind,
                // Heard of only before this process began: it has not said yet how far it is.
                None if mark.heard_wall < started_wall => SourceState::Behind,
                _ => SourceState::Alive,
            };
            let missed = silent_ns <= MISSED_FOR_NS && !mark.passing;
            scene.expected += usize::from(state != SourceState::Dead || missed);
            scene.reported += usize::from(state == SourceState::Alive);
            scene.hosts.insert(mark.host.clone(), state);
        }
        scene
    }

    /// The same in an installation that knows nothing of the time before.
    pub fn knowing(self, known_since: Option<i64>) -> Scene {
        Scene { known_since, ..self }
    }

    /// The same where older lines have no receive time.
    pub fn receiving(self, received_since: Option<i64>) -> Scene {
        Scene { received_since, ..self }
    }

    /// Since when a rule that goes by this time can know of lines.
    pub fn knows_since(&self, time: LineTime) -> Option<i64> {
        match time {
            LineTime::Event => self.known_since,
            LineTime::Ingest => self.known_since.max(self.received_since),
        }
    }

    pub fn sources(&self) -> Option<&Sources> {
        (!self.hosts.is_empty()).then_some(&self.hosts)
    }

    pub fn coverage(&self) -> Option<Coverage> {
        (!self.hosts.is_empty()).then_some(Coverage { reported: self.reported, expected: self.expected })
    }

    fn is_waiting(&self) -> bool {
        self.hosts.values().any(|state| *state == SourceState::Behind)
    }
}

/// Whether a step is evaluated now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    Now(Scene),
    Wait { until_wall: i64 },
}

/// Decides about the step at `at`.
///
/// Rules by the receive time wait for no source and for no delay: only until what was received before the step is
/// searchable, `upto_ns`, where that is known.
pub fn ready(
    group: &Group,
    marks: &[HostMark],
    at: i64,
    (now_wall, started_wall): (i64, i64),
    upto_ns: Option<i64>,
) -> Ready {
    let by_event = group.goes_by(LineTime::Event) || upto_ns.is_none();
    let auto = by_event && group.delay_auto && !marks.is_empty();
    let delay_ns = match by_event {
        true if auto => SETTLE_NS,
        true => group.delay_ns,
        false => SEARCHABLE_NS,
    };
    let due_wall = at.saturating_add(delay_ns);
    if now_wall < due_wall {
        return Ready::Wait { until_wall: due_wall };
    }
    let scene = Scene::look(marks, group, at, now_wall, started_wall);
    let last_wall = at.max(started_wall).saturating_add(group.max_delay_ns);
    let under_way = group.goes_by(LineTime::Ingest) && upto_ns.is_some_and(|upto_ns| upto_ns < at);
    if (under_way || auto && scene.is_waiting()) && now_wall < last_wall {
        return Ready::Wait { until_wall: now_wall.saturating_add(LOOK_EVERY_NS).min(last_wall) };
    }
    Ready::Now(scene)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{S, T0};

    fn group(delay: &str) -> std::sync::Arc<Group> {
        let text = crate::check::tests::RULE.replace("delay: 0s", delay);
        let set = crate::check::rules(&[("r.yaml".to_owned(), text)]).unwrap_or_else(|p| panic!("{p:?}"));
        std::sync::Arc::clone(&set.groups[0])
    }

    #[test]
    fn rules_by_receipt_wait_for_no_source_but_for_what_is_under_way() {
        let text = |delay: &str| crate::check::tests::RULE.replace("delay: 0s", delay);
        let by_receipt = |delay: &str| {
            let text = text(delay).replacen("alert: Errors", "alert: Errors\n        time: ingest", 1);
            let set = crate::check::rules(&[("r.yaml".to_owned(), text)]).unwrap_or_else(|p| panic!("{p:?}"));
            std::sync::Arc::clone(&set.groups[0])
        };
        let behind = [mark("b", 1, -3600)];
        let at = |group: &Group, now_ms: i64, upto_ms: Option<i64>| {
            let ms = |ms: i64| T0 + ms * 1_000_000;
            match ready(group, &behind, T0, (ms(now_ms), T0 - 900 * S), upto_ms.map(ms)) {
                Ready::Now(_) => "now".to_owned(),
                Ready::Wait { until_wall } => format!("wait {} ms", (until_wall - T0) / 1_000_000),
            }
        };
        for delay in ["delay: auto, max_delay: 2m", "delay: 3s, max_delay: 2m"] {
            let group = by_receipt(delay);
            let told = [
                at(&group, 0, Some(0)),
                at(&group, 1, Some(1)),
                at(&group, 1, Some(-40)),
                at(&group, 119_900, Some(-40)),
                at(&group, 120_000, Some(-40)),
            ];
            assert_eq!(told, ["wait 1 ms", "now", "wait 201 ms", "wait 120000 ms", "now"], "{delay}");
        }
        // Nobody can say what is searchable: as any other group.
        assert_eq!(at(&by_receipt("delay: 3s"), 1, None), "wait 3000 ms");
        let known = Scene { known_since: Some(5), received_since: Some(7), ..Scene::default() };
        assert_eq!((known.knows_since(LineTime::Event), known.knows_since(LineTime::Ingest)), (Some(5), Some(7)));
    }

    fn mark(host: &str, heard: i64, watermark: i64) -> HostMark {
        HostMark {
            host: host.to_owned(),
            heard_wall: T0 + heard * S,
            watermark_ns: Some(T0 + watermark * S),
            passing: false,
        }
    }

    #[test]
    fn a_group_waits_for_sources_that_lag_but_not_for_dead_ones_and_not_forever() {
        let auto = group("delay: auto, max_delay: 2m");
        let fixed = group("delay: 3s");
        let at = |group: &Group, marks: &[HostMark], now: i64| match ready(
            group,
            marks,
            T0,
            (T0 + now * S, T0 - 900 * S),
            None,
        ) {
            Ready::Now(scene) => format!("{}/{} {:?}", scene.reported, scene.expected, scene.hosts),
            Ready::Wait { until_wall } => format!("wait {} ms", (until_wall - T0) / 1_000_000),
        };
        let (good, behind, dead) = (mark("a", 0, 1), mark("b", 1, -1), mark("c", -40, -50));
        let told = [
            at(&auto, &[], 2),
            at(&auto, &[], 6),
            at(&auto, std::slice::from_ref(&good), 0),
            at(&auto, std::slice::from_ref(&good), 1),
            at(&auto, &[good.clone(), behind.clone()], 1),
            at(&auto, &[good.clone(), dead.clone()], 1),
            at(&auto, &[good.clone(), HostMark { passing: true, ..dead.clone() }], 1),
            at(&auto, &[good.clone(), mark("b", 100, -1)], 120),
            at(&fixed, &[good, behind, dead], 3),
        ];
        expect_test::expect![[r#"
            wait 5000 ms
            0/0 {}
            wait 500 ms
            1/1 {"a": Alive}
            wait 1200 ms
            1/2 {"a": Alive, "c": Dead}
            1/1 {"a": Alive, "c": Dead}
            0/2 {"a": Dead, "b": Behind}
            2/3 {"a": Alive, "b": Alive, "c": Dead}"#]]
        .assert_eq(&told.join("\n"));
    }
}

//! Who has reported when a group is evaluated: whether to wait, and what the rules are told of the sources.
//!
//! What a step saw is stored when it differs from the step before, so that a backtest sees the same.

use logweir_rules::evaluate::{Coverage, SourceState, Sources};
use logweir_rules::model::Group;
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
}

impl Scene {
    /// The hosts at an evaluation of the group at `at`.
    pub fn look(marks: &[HostMark], group: &Group, at: i64, now_wall: i64, started_wall: i64) -> Scene {
        let slack_ns = if group.delay_auto { 0 } else { SLACK_NS };
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
pub fn ready(group: &Group, marks: &[HostMark], at: i64, now_wall: i64, started_wall: i64) -> Ready {
    let auto = group.delay_auto && !marks.is_empty();
    let delay_ns = if auto { SETTLE_NS } else { group.delay_ns };
    let due_wall = at.saturating_add(delay_ns);
    if now_wall < due_wall {
        return Ready::Wait { until_wall: due_wall };
    }
    let scene = Scene::look(marks, group, at, now_wall, started_wall);
    let last_wall = at.max(started_wall).saturating_add(group.max_delay_ns);
    if auto && scene.is_waiting() && now_wall < last_wall {
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
        let at = |group: &Group, marks: &[HostMark], now: i64| match ready(group, marks, T0, T0 + now * S, T0 - 900 * S)
        {
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

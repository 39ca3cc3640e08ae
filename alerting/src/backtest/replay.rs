//! One group, step by step.

use std::sync::Arc;

use logweir_rules::evaluate::{Change, RuleState};
use logweir_rules::model::{Group, Kind, LineTime, Rule, RuleSet};
use logweir_rules::schedule;
use logweir_rules::table::Table;
use logweir_runtime::clock::rfc3339;

use super::budget::Course;
use super::report::{RuleReport, SPARKS, median};
use super::{BacktestError, Plan, Scenes};
use crate::evaluate::scene::Scene;
use crate::evaluate::{Counted, Draft, Links, Maker, Past, Windows, decide, given};
use crate::notify::template::Renderer;
use crate::source::QuerySource;
use crate::state::history::TransitionLine;

/// An episode shorter than this is a flap: nobody can act on it.
const FLAP_NS: i64 = 300 * 1_000_000_000;

const MINUTE_NS: i64 = 60 * 1_000_000_000;
/// Changes of the alerts of one group: with more nobody reads what comes out, and the server has to hold it.
pub(super) const CHANGES_MAX: usize = 200_000;

/// What became of a group.
pub(super) struct Replay {
    pub(super) group: String,
    /// Place within its step, event time, change.
    pub(super) lines: Vec<(usize, i64, TransitionLine)>,
    pub(super) drafts: Vec<(i64, Draft)>,
    pub(super) rules: Vec<RuleReport>,
}

/// What a rule does while it is replayed.
struct Run<'a> {
    rule: &'a Arc<Rule>,
    state: RuleState,
    past: &'a Past,
    windows: Windows<'a>,
    /// The tables of the last step, while the same tables leave everything as it is.
    still: Option<Vec<Table>>,
    /// The minute of that step, where tables change by the minute only.
    minute: Option<i64>,
    /// Its levels are reached and left without waiting.
    at_once: bool,
    course: Option<Course>,
    report: RuleReport,
    lengths: Vec<i64>,
}

/// How long the conditions of a rule have to hold, and then not, at the most.
fn held_ns(rule: &Rule) -> i64 {
    let held = rule.levels.iter().flat_map(|level| &level.any).map(|alternative| alternative.for_ns).max();
    held.unwrap_or(0).saturating_add(rule.keep_firing_for_ns)
}

/// How long before the period a rule has to be followed to know what it knows.
fn warm_up_ns(group: &Group, rule: &Rule) -> i64 {
    let held = held_ns(rule).saturating_add(group.every_ns);
    match &rule.kind {
        Kind::Pattern(pattern) => held.max(pattern.learn_ns),
        Kind::Anomaly(anomaly) => held.max(anomaly.detector.warmup_ns),
        _ => held,
    }
}

/// The rules of a group that are replayed.
fn wanted<'g>(group: &'g Group, plan: &'g Plan) -> impl Iterator<Item = &'g Arc<Rule>> {
    group.rules.iter().filter(|rule| plan.rule.as_ref().is_none_or(|name| rule.name == *name))
}

/// Where the replay of a group begins.
fn begin(group: &Group, plan: &Plan) -> i64 {
    let warm_up = wanted(group, plan).map(|rule| warm_up_ns(group, rule)).max().unwrap_or(0);
    if plan.cold { plan.from } else { plan.from.saturating_sub(warm_up) }
}

/// A warning when rules by the receive time look at a time of which it is not known of all lines.
pub(super) fn unreceived(set: &RuleSet, plan: &Plan, received_since_ns: Option<i64>) -> Option<String> {
    let since = received_since_ns?;
    let looks_further = |group: &Group, rule: &Rule| {
        rule.time == LineTime::Ingest && begin(group, plan).saturating_sub(rule.window_ns()) < since
    };
    let of_group = |group: &Arc<Group>| {
        let rules: Vec<String> =
            wanted(group, plan).filter(|rule| looks_further(group, rule)).map(|rule| rule.name.clone()).collect();
        rules
    };
    let rules: Vec<String> = set.groups.iter().flat_map(of_group).collect();
    (!rules.is_empty()).then(|| {
        format!(
            "lines that an earlier version stored have no receive time: before {} they are not counted by {}",
            rfc3339(since),
            rules.join(", ")
        )
    })
}

/// What the replay of some groups looks at, still to be fetched.
pub(super) fn past(groups: &[Arc<Group>], plan: &Plan) -> Past {
    let mut past = Past::new(plan.grain());
    for group in groups {
        wanted(group, plan).for_each(|rule| past.want(group, rule, (begin(group, plan), plan.to)));
    }
    past
}

/// Replays a group over the period; what would be told of it is kept only when somebody `is_told`.
pub(super) async fn group(
    source: &dyn QuerySource,
    group: &Arc<Group>,
    past: &Past,
    scenes: &Scenes,
    plan: &Plan,
    is_told: bool,
) -> Result<Replay, BacktestError> {
    let mut replay = Replay { group: group.name.clone(), lines: Vec::new(), drafts: Vec::new(), rules: Vec::new() };
    let mut runs = Vec::new();
    for rule in wanted(group, plan) {
        let (course, report) = (Course::of(rule, plan), RuleReport::new(rule, group));
        runs.push(Run {
            rule,
            state: RuleState::default(),
            past,
            windows: past.windows(rule),
            still: None,
            minute: None,
            at_once: held_ns(rule) == 0,
            course,
            report,
            lengths: Vec::new(),
        });
    }
    let (links, renderer, calm) = (Links { base_url: String::new() }, Renderer::default(), Scene::default());
    let offset_ns = schedule::offset_ns(&group.name, group.every_ns);
    let mut at = schedule::next_after(begin(group, plan), group.every_ns, offset_ns);
    while at <= plan.to && !runs.is_empty() {
        let scene = scenes.at(&group.name, at).unwrap_or(&calm);
        let mut index = 0;
        for run in &mut runs {
            let maker = Maker {
                links: &links,
                renderer: &renderer,
                source,
                group,
                rule: run.rule,
                at,
                now_wall: at,
                commit: None,
            };
            for transition in run.step(source, group, scene, at).await? {
                if at > plan.from {
                    run.note(&transition);
                    replay.lines.push((index, at, TransitionLine::new(&run.rule.name, &transition)));
                    if is_told {
                        replay.drafts.extend(maker.bare(&transition).map(|draft| (at, draft)));
                    }
                    index += 1;
                }
                if replay.lines.len() > CHANGES_MAX {
                    return Err(BacktestError::TooRestless { rule: run.rule.name.clone() });
                }
            }
        }
        at = schedule::next_after(at, group.every_ns, offset_ns);
    }
    replay.rules = runs.into_iter().map(|run| run.end(plan)).collect();
    Ok(replay)
}

impl Run<'_> {
    async fn step(
        &mut self,
        source: &dyn QuerySource,
        group: &Group,
        scene: &Scene,
        at: i64,
    ) -> Result<Vec<logweir_rules::evaluate::Transition>, BacktestError> {
        // An alert says of itself when sources were missing.
        let calm = scene.coverage().is_none_or(|coverage| !coverage.is_partial());
        let passes = calm || self.state.instances.is_empty();
        let minute = self.windows.by_minutes().then(|| at.div_euclid(MINUTE_NS));
        if passes && self.still.is_some() && self.course.is_none() && minute.is_some() && minute == self.minute {
            return Ok(Vec::new());
        }
        self.minute = minute;
        let mut counted = Counted::Past(&mut self.windows);
        let found = given(source, &mut counted, group, self.rule, &mut self.state, at).await;
        if let (Some(course), Ok(found)) = (&mut self.course, &found) {
            course.note(at, &found.tables);
        }
        // The same numbers leave the same state, where nothing waits and nothing is learned.
        let still = self.still.take();
        let changes = match (&still, &found) {
            (Some(still), Ok(found)) if passes && *still == found.tables => Vec::new(),
            _ => decide(self.rule, &mut self.state, at, &found, scene).transitions,
        };
        match found {
            Ok(found) if self.is_still() => {
                self.still = Some(found.tables);
                self.windows.recycle(still.unwrap_or_default());
            }
            Ok(found) => self.windows.recycle(found.tables),
            Err(_) => {}
        }
        Ok(changes)
    }

    /// Whether the same numbers leave the same state: nothing is learned, and nothing waits for its time.
    fn is_still(&self) -> bool {
        let (rule, state) = (self.rule, &self.state);
        if matches!(rule.kind, Kind::Pattern(_) | Kind::Anomaly(_)) || rule.expected.is_some() {
            return false;
        }
        state.undecided.is_empty() && (state.instances.is_empty() || self.at_once)
    }

    fn note(&mut self, transition: &logweir_rules::evaluate::Transition) {
        let report = &mut self.report;
        match transition.change {
            Change::Fired => {
                report.episodes += 1;
                *report.severities.entry(transition.severity.to_string()).or_default() += 1;
            }
            Change::Resolved => {
                let Some(from) = transition.fired_at else { return };
                let length = transition.at.saturating_sub(from);
                report.flaps += usize::from(length < FLAP_NS);
                self.lengths.push(length);
            }
            _ => {}
        }
    }

    fn end(mut self, plan: &Plan) -> RuleReport {
        let open = self.state.instances.values().filter_map(|instance| instance.fired_at);
        let open: Vec<i64> = open.map(|from| plan.to.saturating_sub(from.max(plan.from))).collect();
        self.report.firing = open.len();
        self.lengths.extend(open);
        self.report.firing_ns = self.lengths.iter().sum();
        self.report.longest_ns = self.lengths.iter().max().copied().unwrap_or(0);
        self.report.median_ns = median(&mut self.lengths);
        self.report.suggestion = self.course.as_ref().and_then(Course::suggestion);
        let width = (plan.to.saturating_sub(plan.from) / SPARKS as i64).max(1);
        let spark = |i: i64| {
            let from = plan.from.saturating_add(width.saturating_mul(i));
            self.past.total(self.rule, from, from.saturating_add(width))
        };
        self.report.lines = (0..SPARKS as i64).map(spark).collect();
        self.report
    }
}

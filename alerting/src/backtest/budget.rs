//! Which limit would page only so often.

use std::collections::BTreeMap;

use logweir_proto::text::parse_duration;
use logweir_rules::model::{Labels, Rule};
use logweir_rules::signal::Table;

use super::Plan;
use super::report::Suggestion;

/// Values of one rule that are looked at; a course that changes more often is not judged.
const CHANGES_MAX: usize = 2_000_000;

/// So many episodes in so long: `2/week`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    pub episodes: f64,
    pub per_ns: i64,
}

impl Budget {
    /// `2/week`, `1/day`, `3/12h`
    pub fn parse(text: &str) -> Option<Budget> {
        let (episodes, per) = text.split_once('/')?;
        let episodes: f64 = episodes.trim().parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0)?;
        let per = match per.trim() {
            "hour" => "1h",
            "day" => "1d",
            "week" => "7d",
            "month" => "30d",
            other => other,
        };
        let per_ns = i64::try_from(parse_duration(per)?.as_nanos()).ok().filter(|ns| *ns > 0)?;
        Some(Budget { episodes, per_ns })
    }
}

/// How a signal went, where it is held against a limit from below.
#[derive(Debug)]
pub(super) struct Course {
    signal: String,
    index: usize,
    limit: f64,
    /// Above the limit for so long.
    for_ns: i64,
    /// Two times above it that are nearer than this are one episode.
    join_ns: i64,
    allowed: f64,
    changes: BTreeMap<Labels, Vec<(i64, f64)>>,
    count: usize,
}

impl Course {
    /// The course of the first level that is a limit from below on a signal with a query.
    pub(super) fn of(rule: &Rule, plan: &Plan) -> Option<Course> {
        let budget = plan.budget?;
        let mut alternatives = rule.levels.iter().flat_map(|level| &level.any);
        let (alternative, name, limit) = alternatives.find_map(|alternative| {
            let (name, op, limit) = alternative.when.threshold()?;
            op.starts_with('>').then_some((alternative, name, limit))
        })?;
        let index = rule.queries().position(|(signal, _)| signal.name == name)?;
        let periods = plan.to.saturating_sub(plan.from) as f64 / budget.per_ns as f64;
        Some(Course {
            signal: name.to_owned(),
            index,
            limit,
            for_ns: alternative.for_ns,
            join_ns: rule.keep_firing_for_ns,
            allowed: budget.episodes * periods,
            changes: BTreeMap::new(),
            count: 0,
        })
    }

    pub(super) fn note(&mut self, at: i64, tables: &[Table]) {
        let Some(table) = tables.get(self.index).filter(|_| self.count < CHANGES_MAX) else { return };
        for (labels, changes) in &mut self.changes {
            let value = table.get(labels).unwrap_or(0.0);
            if changes.last().is_some_and(|(_, last)| *last != value) {
                changes.push((at, value));
                self.count += 1;
            }
        }
        for (labels, value) in table.iter() {
            if !self.changes.contains_key(&**labels) {
                self.changes.insert((**labels).clone(), vec![(at, value)]);
                self.count += 1;
            }
        }
    }

    fn episodes(&self, limit: f64) -> usize {
        self.changes.values().map(|changes| self.episodes_of(changes, limit)).sum()
    }

    fn episodes_of(&self, changes: &[(i64, f64)], limit: f64) -> usize {
        let (mut episodes, mut above_since, mut ended) = (0, None, i64::MIN);
        for (index, (at, value)) in changes.iter().enumerate() {
            let until = changes.get(index + 1).map_or(*at, |(next, _)| *next);
            if *value < limit {
                above_since = None;
                continue;
            }
            let since = *above_since.get_or_insert(*at);
            if until.saturating_sub(since) < self.for_ns {
                continue;
            }
            if ended == i64::MIN || since.saturating_sub(ended) > self.join_ns {
                episodes += 1;
            }
            ended = until;
        }
        episodes
    }

    /// The lowest limit that was reached and stays within the budget.
    pub(super) fn suggestion(&self) -> Option<Suggestion> {
        if self.count >= CHANGES_MAX {
            return None;
        }
        let mut limits: Vec<f64> = self.changes.values().flatten().map(|(_, value)| *value).collect();
        limits.retain(|value| *value > 0.0);
        limits.sort_by(f64::total_cmp);
        limits.dedup();
        // Above everything that was seen there is no episode.
        let highest = limits.last()? + 1.0;
        limits.push(highest);
        let first = limits.partition_point(|limit| self.episodes(*limit) as f64 > self.allowed);
        let suggested = limits.get(first).copied().unwrap_or(highest);
        let (signal, limit, episodes) = (self.signal.clone(), self.limit, self.episodes(suggested));
        Some(Suggestion { signal, limit, suggested, episodes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_number_and_a_time() {
        let per = |text: &str| Budget::parse(text).map(|b| (b.episodes, b.per_ns / 3_600_000_000_000));
        assert_eq!(per("2/week"), Some((2.0, 168)));
        assert_eq!(per("1/12h"), Some((1.0, 12)));
        for wrong in ["", "2", "x/week", "2/fortnight", "-1/day", "nan/day"] {
            assert_eq!(per(wrong), None, "{wrong}");
        }
    }
}

//! Windows that reach back behind the beginning of what is known: a new installation has no lines from before it.
//!
//! A window of which less than half is known says little. A count in it is a lower bound: `n >= 20` may be true already,
//! while `n == 0`, a ratio or a percentile cannot be decided yet. Rules that learn by themselves are left alone.

use super::Facts;
use crate::condition::{Condition, Doubts};
use crate::file::windowed;
use crate::model::{Agg, Kind, Rule, SignalQuery, SignalSource};

/// The numbers of a rule that stand for windows of which less than half lies after `since`.
pub(super) fn doubts(rule: &Rule, at: i64, since: Option<i64>) -> Doubts {
    let slots = &rule.slots;
    let short = |since: i64| rule.queries().any(|(_, query)| is_short(query, at, since));
    let since = since.filter(|_| !matches!(rule.kind, Kind::Pattern(_) | Kind::Anomaly(_)));
    let Some(since) = since.filter(|since| short(*since)) else { return Doubts::new() };
    let mut doubts = vec![None; slots.len()];
    for (index, signal) in rule.signals.iter().enumerate() {
        let grows = match &signal.source {
            SignalSource::Query(query) if is_short(query, at, since) => grows(query.agg),
            SignalSource::Expr(expr) if is_doubtful(rule, expr, &doubts) => false,
            _ => continue,
        };
        // Expressions of a comparison use the name of the signal alone.
        let sides = slots.sides.get(index).into_iter().flatten();
        for slot in sides.chain(slots.signals.get(index)) {
            doubts[*slot] = Some(grows);
        }
    }
    if let Kind::Slo(slo) = &rule.kind {
        let derived =
            [("burn", slo.shown_ns), ("bad", slo.shown_ns), ("total", slo.shown_ns), ("budget_left", slo.period_ns)];
        for (name, window_ns) in derived {
            if is_in_doubt(&doubts, slots.place(&windowed("total", window_ns))) {
                doubts[slots.place(name)] = Some(matches!(name, "bad" | "total"));
            }
        }
    }
    doubts
}

fn is_in_doubt(doubts: &Doubts, slot: usize) -> bool {
    doubts.get(slot).is_some_and(Option::is_some)
}

fn is_short(query: &SignalQuery, at: i64, since: i64) -> bool {
    let (from, to) = query.range(at);
    to.saturating_sub(since.max(from)) < to.saturating_sub(from) / 2
}

/// Whether more lines can only make it greater.
const fn grows(agg: Agg) -> bool {
    matches!(agg, Agg::Count | Agg::Rate | Agg::Distinct | Agg::Changes | Agg::Max)
}

fn is_doubtful(rule: &Rule, expr: &Condition, doubts: &Doubts) -> bool {
    expr.inputs().iter().any(|name| is_in_doubt(doubts, rule.slots.place(name)))
}

/// Whether nothing is known to hold, while something may.
pub(super) fn is_open(rule: &Rule, facts: &Facts) -> bool {
    if facts.doubts.is_empty() {
        return false;
    }
    let mut open = false;
    for alternative in rule.levels.iter().flat_map(|level| &level.any) {
        match alternative.when.decided(&facts.numbers, &facts.doubts) {
            Some(true) => return false,
            Some(false) => {}
            None => open = true,
        }
    }
    open
}

/// Says which condition only chance may have made true, where no other is.
pub(super) fn within_chance(rule: &Rule, facts: &Facts) -> Option<String> {
    if !matches!(rule.kind, Kind::Compare(_)) {
        return None;
    }
    let all = || rule.levels.iter().flat_map(|level| &level.any).map(|alternative| &alternative.when);
    if all().any(|when| facts.hold(when)) {
        return None;
    }
    let when = all().find(|when| when.is_chance(&facts.numbers))?;
    Some(format!("{} may be chance: there is too little traffic to tell", when.text))
}

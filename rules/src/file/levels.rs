//! The levels of a rule: conditions with their times, and what stands for a condition.
//!
//! `burn` and `require_source` become parts of the condition, over names with a colon that no file can write:
//! `bad:1h`, `source:state`. A state machine over conditions is then all that the kinds need.

use logweir_proto::yaml::{At, Fields, Node, Problems, Value};

use super::{kinds, signals};
use crate::condition::{CompareOp, Condition, Expr, Known, MathOp, Proportions};
use crate::model::{Alternative, Compare, Kind, Level, SEVERITIES, Signal, SignalSource, Slo};

/// The value by which `require_source` asks for the state of an agent.
pub(crate) const SOURCE_STATE: &str = "source:state";

/// What is needed to read the levels of a rule.
pub(super) struct Reader<'a> {
    pub(super) known: &'a [Known],
    pub(super) signals: &'a [Signal],
    pub(super) kind: &'a Kind,
    pub(super) for_ns: i64,
    pub(super) has_expected: bool,
    /// Windows of the burn conditions, in the order of the file.
    pub(super) windows: Vec<i64>,
}

impl Reader<'_> {
    pub(super) fn read(&mut self, node: &Node, problems: &mut Problems) -> Vec<Level> {
        let Some(mut fields) = Fields::new(node, "levels", problems) else { return Vec::new() };
        let mut levels = Vec::new();
        for (key, severity) in SEVERITIES {
            let Some(node) = fields.get(key) else { continue };
            let any = self.level(node, problems);
            if !any.is_empty() {
                levels.push(Level { severity, any });
            }
        }
        if let Value::Map(entries) = &node.value
            && entries.is_empty()
        {
            problems.add(node.at, "levels needs at least one of critical, warning, info");
        }
        fields.finish(problems);
        levels
    }

    fn level(&mut self, node: &Node, problems: &mut Problems) -> Vec<Alternative> {
        let Some(mut fields) = Fields::new(node, "a level", problems) else { return Vec::new() };
        let mut any = Vec::new();
        match fields.get("any") {
            Some(node) => {
                let items = problems.list(node, "any");
                if items.is_empty() {
                    problems.add(node.at, "any needs at least one condition");
                }
                for item in items {
                    let Some(mut fields) = Fields::new(item, "a condition", problems) else { continue };
                    any.extend(self.alternative(&mut fields, problems));
                    fields.finish(problems);
                }
            }
            None => any.extend(self.alternative(&mut fields, problems)),
        }
        fields.finish(problems);
        any
    }

    fn alternative(&mut self, fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Alternative> {
        let mut when = match (self.kind, fields.get("burn")) {
            (Kind::Slo(slo), Some(burn)) => self.burn(&slo.clone(), burn, fields, problems),
            (_, Some(burn)) => {
                problems.add(burn.at, "burn needs a rule with 'slo'");
                None
            }
            _ => fields.require("when", problems).and_then(|n| signals::condition(n, self.known, problems)),
        };
        let for_ns = fields.get("for").and_then(|n| problems.duration_ns(n, "for")).unwrap_or(self.for_ns);
        if let Some(node) = fields.get("require_source") {
            let states = [("alive", 1.0), ("behind", 0.0), ("dead", -1.0)];
            if !self.has_expected {
                problems.add(node.at, "require_source needs 'expected'");
            }
            if let Some(state) = problems.word(node, "require_source", &states) {
                let is = compare(CompareOp::Equal, name(SOURCE_STATE), Expr::Number(state));
                when = when.map(|when| when.and(is));
            }
        }
        if let Some(node) = fields.get("confidence") {
            let z = confidence(node, problems);
            let proportions = when.as_ref().and_then(|when| self.proportions(when, z?, node.at, problems));
            when = when.zip(proportions).map(|(when, of)| when.and(Expr::Significant(of)));
        }
        Some(Alternative { when: when?, for_ns })
    }

    /// `{burn: 14.4, long: 1h, short: 5m, min_bad: 10}`: the budget burns so fast over both windows.
    fn burn(&mut self, slo: &Slo, node: &Node, fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Condition> {
        let burn = problems.number(node, "burn");
        let long = fields.require("long", problems).and_then(|n| problems.duration_ns(n, "long"));
        let short = fields.require("short", problems).and_then(|n| problems.duration_ns(n, "short"));
        let min_bad = fields.get("min_bad").and_then(|n| problems.number(n, "min_bad"));
        let (burn, long, short) = (burn?, long?, short?);
        if long > slo.period_ns || short >= long || short <= 0 {
            problems.add(node.at, "short must be less than long, and long at most the period");
            return None;
        }
        let share = burn * (1.0 - slo.objective);
        if burn <= 0.0 || share >= 1.0 - 1e-9 {
            let hint = format!("it asks for {:.0}% bad events", share * 100.0);
            problems.add_hint(node.at, "burn × (1 - objective) must be less than 1: this can never fire", Some(hint));
            return None;
        }
        self.windows.extend([long, short]);
        let over = |window: i64| {
            let [bad, total] = ["bad", "total"].map(|feed| name(&kinds::windowed(feed, window)));
            compare(
                CompareOp::GreaterOrEqual,
                Expr::Math(MathOp::Divide, bad.into(), total.into()),
                Expr::Number(share),
            )
        };
        let mut root = and(over(long), over(short));
        if let Some(least) = min_bad {
            let bad = name(&kinds::windowed("bad", long));
            root = and(root, compare(CompareOp::GreaterOrEqual, bad, Expr::Number(least)));
        }
        let show = |ns: i64| logweir_proto::text::format_duration(std::time::Duration::from_nanos(ns as u64));
        Some(Condition::new(format!("burn >= {burn} over {} and {}", show(long), show(short)), root))
    }

    /// The ratio that a condition compares between the two sides, as counts.
    fn proportions(&self, when: &Condition, z: f64, at: At, problems: &mut Problems) -> Option<Proportions> {
        let found = match self.kind {
            Kind::Compare(compare) => self.ratio_of(when, compare),
            _ => None,
        };
        let Some((hits, trials, compare)) = found else {
            let hint = Some(
                "for example 'canary.err_rate > stable.err_rate' with err_rate: {expr: errors / total}".to_owned(),
            );
            problems.add_hint(at, "confidence needs a condition over one ratio of two counts, on both sides", hint);
            return None;
        };
        let sides =
            |signal: &str| [format!("{}.{signal}", compare.candidate), format!("{}.{signal}", compare.baseline)];
        Some(Proportions { hits: sides(&hits), trials: sides(&trials), z })
    }

    fn ratio_of<'c>(&self, when: &Condition, compare: &'c Compare) -> Option<(String, String, &'c Compare)> {
        let names = when.names();
        let of = |side: &str| -> Vec<&str> {
            names.iter().filter_map(|name| name.strip_prefix(side)?.strip_prefix('.')).collect()
        };
        let both = of(&compare.candidate).into_iter().find(|name| of(&compare.baseline).contains(name))?;
        let signal = self.signals.iter().find(|signal| signal.name == both)?;
        let SignalSource::Expr(Condition { root: Expr::Math(MathOp::Divide, a, b), .. }) = &signal.source else {
            return None;
        };
        match (&**a, &**b) {
            (Expr::Name(hits), Expr::Name(trials)) => Some((hits.clone(), trials.clone(), compare)),
            _ => None,
        }
    }
}

fn confidence(node: &Node, problems: &mut Problems) -> Option<f64> {
    let share = kinds::percentage(node).filter(|share| (0.5..1.0).contains(share));
    if share.is_none() {
        let hint = Some("for example 95%".to_owned());
        problems.add_hint(node.at, "confidence must be from 50% to less than 100%", hint);
    }
    share.map(normal_quantile)
}

/// The quantile of the normal distribution for `share` of 0.5 and more (Abramowitz and Stegun 26.2.23, to 4.5e-4).
fn normal_quantile(share: f64) -> f64 {
    let t = (-2.0 * (1.0 - share).max(1e-12).ln()).sqrt();
    let above = 2.515_517 + 0.802_853 * t + 0.010_328 * t * t;
    let below = 1.0 + 1.432_788 * t + 0.189_269 * t * t + 0.001_308 * t * t * t;
    (t - above / below).max(0.0)
}

fn name(name: &str) -> Expr {
    Expr::Name(name.to_owned())
}

fn compare(op: CompareOp, a: Expr, b: Expr) -> Expr {
    Expr::Compare(op, Box::new(a), Box::new(b))
}

fn and(a: Expr, b: Expr) -> Expr {
    Expr::And(Box::new(a), Box::new(b))
}

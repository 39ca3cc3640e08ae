//! The bodies that make a rule more than a threshold: `slo`, `pattern`, `anomaly`, `compare`.

use jiff::tz::TimeZone;
use logweir_proto::text::{did_you_mean, format_duration};
use logweir_proto::yaml::{Fields, Node, Problems, Value};

use super::signals::{self, Signals};
use crate::anomaly::{Detector, Direction, Settings};
use crate::condition::{Known, NameKind};
use crate::model::{
    Agg, Anomaly, Compare, Kind, Limit, PERIOD_MAX_NS, Pattern, Signal, SignalQuery, SignalSource, Slo,
};
use crate::signal::PATTERN_LABEL;

const HOUR_NS: i64 = 3_600_000_000_000;
const DAY_NS: i64 = 24 * HOUR_NS;

/// The kind of a rule, with its instances' labels and the names that its conditions may use.
pub(super) struct Body {
    pub(super) kind: Kind,
    pub(super) by: Vec<String>,
    pub(super) signals: Vec<Signal>,
    pub(super) known: Vec<Known>,
    /// `total` and `bad` of an objective; their windows are those of its conditions.
    pub(super) slo: Option<[SignalQuery; 2]>,
}

/// Reads whichever body there is; a rule has one.
pub(super) fn read(fields: &mut Fields<'_>, problems: &mut Problems) -> Body {
    let at = fields.at;
    let signals_node = fields.get("signals");
    let bodies = ["slo", "pattern", "anomaly", "compare"];
    let mut found = Vec::new();
    for key in bodies {
        found.extend(fields.get(key).map(|node| (key, node)));
    }
    if let Some((key, node)) = found.get(1) {
        problems.add(node.at, format!("a rule has one kind: '{key}' is the second"));
    }
    let body = found.first().copied();
    let without = matches!(body, Some(("slo" | "pattern", _)));
    let signals = match signals_node {
        Some(node) if without => {
            problems.add(node.at, "this kind of rule makes its own signals");
            Signals::default()
        }
        Some(node) => signals::read(node, problems),
        None => {
            if !without {
                problems.add(at, "a rule needs 'signals'");
            }
            Signals::default()
        }
    };
    match body {
        Some(("slo", node)) => read_slo(node, problems),
        Some(("pattern", node)) => read_pattern(node, problems),
        Some(("anomaly", node)) => read_anomaly(node, signals, problems),
        Some((_, node)) => read_compare(node, signals, problems),
        None => threshold(Kind::Threshold, signals, Vec::new()),
    }
}

fn threshold(kind: Kind, signals: Signals, more: Vec<Known>) -> Body {
    let by = signals.finest();
    let known = signals.known.into_iter().chain(more).collect();
    Body { kind, by, signals: signals.list, known, slo: None }
}

fn numbers(names: &[&str]) -> impl Iterator<Item = Known> {
    names.iter().map(|name| Known::of(name, NameKind::Number)).collect::<Vec<_>>().into_iter()
}

fn read_slo(node: &Node, problems: &mut Problems) -> Body {
    let known = numbers(&["burn", "budget_left", "bad", "total"]).collect();
    let kind = Kind::Slo(Slo { objective: 0.999, period_ns: 30 * DAY_NS, shown_ns: HOUR_NS });
    let mut body = Body { kind, by: Vec::new(), signals: Vec::new(), known, slo: None };
    let Some(mut fields) = Fields::new(node, "slo", problems) else { return body };
    let objective = fields.require("objective", problems).and_then(|n| share(n, "objective", problems));
    let period = fields.get("period").and_then(|n| problems.duration_ns(n, "period")).unwrap_or(30 * DAY_NS);
    if !(HOUR_NS..=PERIOD_MAX_NS).contains(&period) {
        problems.add(fields.place("period"), "period must be a duration from 1h to 35d");
    }
    let total = fields.require("total", problems).and_then(|n| events(n, "total", problems));
    let bad = fields.require("bad", problems).and_then(|n| events(n, "bad", problems));
    fields.finish(problems);
    let objective = objective.unwrap_or(0.999);
    body.kind = Kind::Slo(Slo { objective, period_ns: period.clamp(HOUR_NS, PERIOD_MAX_NS), shown_ns: HOUR_NS });
    if let (Some(total), Some(bad)) = (total, bad) {
        if total.by != bad.by {
            problems.add(node.at, "total and bad must have the same 'by'");
        }
        body.by.clone_from(&total.by);
        body.slo = Some([total, bad]);
    }
    body
}

/// `99.9%` or `0.999`, less than one.
fn share(node: &Node, what: &str, problems: &mut Problems) -> Option<f64> {
    let share = percentage(node);
    if share.is_none_or(|share| !(share > 0.0 && share < 1.0)) {
        let hint = Some("for example 99.9%".to_owned());
        problems.add_hint(node.at, format!("{what} must be a share between 0% and 100%"), hint);
        return None;
    }
    share
}

/// `99.9%` or a number.
pub(super) fn percentage(node: &Node) -> Option<f64> {
    match &node.value {
        Value::Text(text) => Some(text.strip_suffix('%')?.trim().parse::<f64>().ok()? / 100.0),
        Value::Float(number) => Some(*number),
        Value::Int(number) => Some(*number as f64),
        _ => None,
    }
}

/// Events of an objective: a filter and its grouping, to be counted over several windows.
fn events(node: &Node, what: &'static str, problems: &mut Problems) -> Option<SignalQuery> {
    let mut fields = Fields::new(node, what, problems)?;
    let filter = fields.require("filter", problems).and_then(|n| signals::filter(n, problems));
    let by = fields.get("by").map(|n| signals::by(n, problems)).unwrap_or_default();
    let at = fields.at;
    fields.finish(problems);
    let query = SignalQuery { filter: filter?, window_ns: HOUR_NS, by, ..SignalQuery::default() };
    signals::check_query(&query, at, problems);
    Some(query)
}

/// The signals of an objective, one pair for each window: `total:1h` and `bad:1h`.
pub(super) fn slo_signals(
    [total, bad]: &[SignalQuery; 2],
    windows: &[i64],
    at: logweir_proto::yaml::At,
) -> Vec<Signal> {
    let mut signals = Vec::new();
    for window_ns in windows {
        // The bad ones first: the rule is about them.
        for (feed, query) in [("bad", bad), ("total", total)] {
            signals.push(Signal {
                name: windowed(feed, *window_ns),
                feed: feed.to_owned(),
                at,
                source: SignalSource::Query(SignalQuery { window_ns: *window_ns, ..query.clone() }),
            });
        }
    }
    signals
}

pub(crate) fn windowed(feed: &str, window_ns: i64) -> String {
    format!("{feed}:{}", format_duration(std::time::Duration::from_nanos(window_ns.max(0) as u64)))
}

fn read_pattern(node: &Node, problems: &mut Problems) -> Body {
    let names = ["count_10m", "count_1h", "patterns"];
    let known = std::iter::once(Known::of("new_pattern", NameKind::Truth)).chain(numbers(&names)).collect();
    let mut pattern = Pattern {
        filter: "*".to_owned(),
        field: None,
        scope: Vec::new(),
        learn_ns: DAY_NS,
        forget_after_ns: 90 * DAY_NS,
        after_deploy_ns: None,
        limit: None,
        resolve_after_ns: DAY_NS,
        marks: Vec::new(),
    };
    if let Some(mut fields) = Fields::new(node, "pattern", problems) {
        if let Some(filter) = fields.require("filter", problems).and_then(|n| signals::filter(n, problems)) {
            pattern.filter = filter;
        }
        pattern.field = fields.get("field").and_then(|n| problems.text(n, "field"));
        pattern.scope = fields.get("scope").map(|n| signals::by(n, problems)).unwrap_or_default();
        let mut time = |key: &'static str, default: i64, problems: &mut Problems| {
            fields.get(key).and_then(|n| problems.duration_ns(n, key)).unwrap_or(default)
        };
        pattern.learn_ns = time("learn", DAY_NS, problems);
        pattern.forget_after_ns = time("forget_after", 90 * DAY_NS, problems);
        pattern.after_deploy_ns = fields.get("after_deploy").and_then(|n| problems.duration_ns(n, "after_deploy"));
        if pattern.forget_after_ns <= pattern.learn_ns {
            problems.add(fields.at, "forget_after must be longer than learn");
        }
        fields.finish(problems);
    }
    let mut by = pattern.scope.clone();
    by.push(PATTERN_LABEL.to_owned());
    Body { kind: Kind::Pattern(pattern), by, signals: Vec::new(), known, slo: None }
}

/// `limit: {per_scope: 5, per: 1h, then: digest}` of a pattern rule.
pub(super) fn read_limit(node: &Node, problems: &mut Problems) -> Option<Limit> {
    let mut fields = Fields::new(node, "limit", problems)?;
    let per_scope = fields.require("per_scope", problems).and_then(|n| problems.integer(n, "per_scope", 1..=1000));
    let per = fields.require("per", problems).and_then(|n| problems.duration_ns(n, "per"));
    if let Some(node) = fields.get("then") {
        problems.word(node, "then", &[("digest", ())]);
    }
    fields.finish(problems);
    Some(Limit { per_scope: per_scope? as usize, per_ns: per? })
}

fn read_anomaly(node: &Node, signals: Signals, problems: &mut Problems) -> Body {
    let more: Vec<Known> = std::iter::once(Known::of("anomaly", NameKind::Truth))
        .chain(numbers(&["duration", "score", "usual_low", "usual_high"]))
        .collect();
    let Some(mut fields) = Fields::new(node, "anomaly", problems) else {
        return threshold(Kind::Threshold, signals, more);
    };
    let name = fields.require("signal", problems).and_then(|n| Some((n, problems.text(n, "signal")?)));
    let query = name.and_then(|(node, name)| {
        let found = signals.list.iter().find(|signal| signal.name == name);
        let query = found.and_then(|signal| match &signal.source {
            SignalSource::Query(query) => Some(query.clone()),
            SignalSource::Expr(_) => None,
        });
        if query.is_none() && signals.known.iter().all(|known| known.name != name) {
            let near = did_you_mean(&name, signals.known.iter().map(|known| known.name.as_str()));
            let hint = near.map(|near| format!("did you mean '{near}'?"));
            problems.add_hint(node.at, format!("unknown signal '{name}'"), hint);
        } else if query.is_none() && found.is_some() {
            problems.add(node.at, "an anomaly needs a signal with a filter");
        }
        Some((name, query?))
    });
    let counts =
        query.as_ref().is_some_and(|(_, query)| matches!(query.agg, Agg::Count | Agg::Distinct | Agg::Changes));
    let bucket_ns = query.as_ref().map_or(HOUR_NS, |(_, query)| query.window_ns);
    let detector = read_settings(&mut fields, counts, bucket_ns, problems);
    fields.finish(problems);
    let signal = query.map(|(name, _)| name).unwrap_or_default();
    threshold(Kind::Anomaly(Anomaly { signal, bucket_ns, detector }), signals, more)
}

fn read_settings(fields: &mut Fields<'_>, counts: bool, bucket_ns: i64, problems: &mut Problems) -> Settings {
    let detectors = [("record", Detector::Record), ("seasonal_band", Detector::SeasonalBand), ("knn", Detector::Knn)];
    let directions = [("up", Direction::Up), ("down", Direction::Down), ("both", Direction::Both)];
    let seasons = [("auto", None), ("1d", Some(DAY_NS)), ("1w", Some(7 * DAY_NS)), ("none", Some(0))];
    let sensitivities = [("low", 1.0), ("medium", 3.0), ("high", 10.0)];
    let detector = fields.word("detector", &detectors, problems).unwrap_or(Detector::Record);
    let direction = fields.word("direction", &directions, problems).unwrap_or(Direction::Both);
    let season = fields.word("season", &seasons, problems).flatten();
    // Most of what servers do repeats every day; a season has several buckets, or it is none.
    let season_ns = Some(season.unwrap_or(DAY_NS)).filter(|season| *season >= 4 * bucket_ns);
    if detector == Detector::SeasonalBand && season_ns.is_none() {
        problems.add(fields.at, "seasonal_band needs a season of several windows of the signal");
    }
    let zone = fields.get("timezone").and_then(|node| {
        let name = problems.text(node, "timezone")?;
        let zone = TimeZone::get(&name).ok();
        if zone.is_none() {
            let hint = Some("for example Europe/Berlin".to_owned());
            problems.add_hint(node.at, format!("unknown time zone '{name}'"), hint);
        }
        zone
    });
    let window = fields.get("window").and_then(|n| problems.duration_ns(n, "window")).unwrap_or(bucket_ns);
    let window_buckets = (window / bucket_ns.max(1)).max(1);
    if window_buckets > 64 {
        problems.add(fields.place("window"), "the window is at most 64 windows of the signal");
    }
    let fraction = fields.get("fraction").and_then(|n| share(n, "fraction", problems)).unwrap_or(0.5);
    Settings {
        detector,
        direction,
        season_ns,
        zone: zone.unwrap_or(TimeZone::UTC),
        warmup_ns: fields.get("warmup").and_then(|n| problems.duration_ns(n, "warmup")).unwrap_or(DAY_NS),
        alerts_per_month: fields.word("sensitivity", &sensitivities, problems).unwrap_or(3.0),
        value_min: fields.get("min_value").and_then(|n| problems.number(n, "min_value")).unwrap_or(f64::NEG_INFINITY),
        counts,
        window_buckets: u32::try_from(window_buckets.min(64)).unwrap_or(64),
        fraction,
    }
}

fn read_compare(node: &Node, mut signals: Signals, problems: &mut Problems) -> Body {
    let Some(mut fields) = Fields::new(node, "compare", problems) else {
        return threshold(Kind::Threshold, signals, Vec::new());
    };
    let mut text = |key: &'static str, problems: &mut Problems| {
        fields.require(key, problems).and_then(|n| problems.text(n, key)).unwrap_or_default()
    };
    let compare = Compare {
        field: text("field", problems),
        candidate: text("candidate", problems),
        baseline: text("baseline", problems),
    };
    let by = fields.get("by").map(|n| signals::by(n, problems)).unwrap_or_default();
    fields.finish(problems);
    if compare.candidate == compare.baseline {
        problems.add(node.at, "candidate and baseline are the same");
    }
    for signal in &mut signals.list {
        let SignalSource::Query(query) = &mut signal.source else { continue };
        if !query.by.is_empty() {
            problems.add(signal.at, "the signals of a comparison are grouped by its 'by'");
        }
        query.by = by.iter().cloned().chain([compare.field.clone()]).collect();
    }
    let sides = [&compare.candidate, &compare.baseline];
    let known = sides.into_iter().flat_map(|side| {
        // What was asked of another time has no side.
        signals.known.iter().map(move |known| Known {
            name: format!("{side}.{}", known.name),
            kind: NameKind::Number,
            ..known.clone()
        })
    });
    let known = known.collect();
    Body { kind: Kind::Compare(compare), by, signals: signals.list, known, slo: None }
}

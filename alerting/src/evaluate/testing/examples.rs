//! The six worked examples of the rule files, and two hours in which each has its reason to fire.

use std::sync::Arc;

use logweir_rules::model::RuleSet;

use super::{TestLine, line};
use crate::fixture::{S, T0};
use crate::source::HostMark;

const EXAMPLES: &str = include_str!("../../../../rules/tests/examples.yaml");
pub(crate) const HOSTS: [&str; 3] = ["web-1", "pay-1", "pay-2"];
pub(crate) const END_S: i64 = 8_100;

fn at(second: i64, host: usize, fields: &[(&'static str, &str)]) -> TestLine {
    let mut line = line(T0 + second * S, fields);
    line.fields.insert("host", HOSTS[host].to_owned());
    line
}

/// Each example has its reason to fire once.
pub(crate) fn story() -> Vec<TestLine> {
    let mut lines = Vec::new();
    let timeout = [("source", "nginx"), ("message", "upstream timed out (110)"), ("upstream", "10.1.0.7:3000")];
    lines.extend((1_200..2_100).step_by(8).map(|s| at(s, 0, &timeout)));
    for (i, ms) in (2_000_000i64..3_000_000).step_by(1_250).enumerate() {
        for (track, fails) in [("canary", 10), ("stable", 100)] {
            let status = if i % fails == 0 { "500" } else { "200" };
            let shop = [("source", "nginx"), ("path", "/checkout/pay"), ("service_name", "shop"), ("env", "prod")];
            let mut line = at(ms / 1_000, 0, &shop);
            line.fields.extend([("track", track.to_owned()), ("status", status.to_owned())]);
            line.fields.insert("duration_ms", "120".to_owned());
            lines.push(line);
        }
    }
    for s in (0..END_S).step_by(30) {
        let tick = [("app", "payments-worker"), ("message", "tick")];
        lines.push(at(s, 1, &tick));
        // One of the two is silent for a while.
        lines.extend((!(3_500..5_000).contains(&s)).then(|| at(s, 2, &tick)));
    }
    let error =
        |s: i64, message: &str| at(s, 0, &[("app", "api"), ("env", "prod"), ("level", "error"), ("message", message)]);
    lines.extend((0..END_S).step_by(60).map(|s| error(s, &format!("order {s} failed: timeout after {} ms", s % 97))));
    lines.extend((5_400..6_000).step_by(1).map(|s| error(s, "cannot acquire lock on table invoices")));
    lines
}

/// What agents say: everything before the first line that is still on its way has come.
pub(crate) fn marks(lines: &[TestLine], now: i64) -> Vec<HostMark> {
    let mark = |host: &str| {
        let waiting = lines.iter().filter(|l| l.fields["host"] == host && l.at <= now && l.arrives > now);
        let watermark = waiting.map(|line| line.at).min().unwrap_or(now);
        HostMark { host: host.to_owned(), heard_wall: now, watermark_ns: Some(watermark), passing: false }
    };
    HOSTS.map(mark).into()
}

/// The examples as they stand, but for what they learn over days: that is learned within the story.
pub(crate) fn rules() -> Arc<RuleSet> {
    // Buckets of half a minute, and no season.
    let quick = [
        ("learn: 24h", "learn: 10m"),
        ("warmup: 24h", "warmup: 30m"),
        ("season: auto", "season: none"),
        (
            "{filter: 'level:error', agg: count, window: 5m, by: [app]}",
            "{filter: 'level:error', agg: count, window: 30s, by: [app]}",
        ),
    ];
    let rules = quick.iter().fold(EXAMPLES.to_owned(), |text, (from, to)| text.replace(from, to));
    let rules = crate::check::rules(&[("examples.yaml".to_owned(), rules)]).unwrap_or_else(|p| panic!("{p:?}"));
    Arc::new(rules)
}

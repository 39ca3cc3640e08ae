//! Tables of wrong rule files: every mistake is named with its line and column.

use expect_test::{Expect, expect};

use super::*;
use crate::model::{Labels, Severity};

const GOOD: &str = r#"version: 1
groups:
  - name: shop
    every: 15s
    owner: web
    labels: {team: shop}
    defaults: {delay: 10s, keep_firing_for: 1m, for: 30s}
    rules:
      - alert: TooManyErrors
        signals:
          total: {filter: 'source:nginx', agg: count, window: 1m, by: [host]}
          errors: {filter: 'source:nginx AND status>=500', agg: count, window: 1m, by: [host]}
          p95: {filter: 'source:nginx', agg: p95, field: duration_ms, window: 1m, by: [host]}
          ratio: {expr: errors / total}
        levels:
          critical: {any: [{when: ratio > 50%, for: 1m}, {when: p95 > 2s}]}
          warning: {when: ratio > 5%}
        recover_when: ratio < 2%
        labels: {service: shop}
        summary: "{{ labels.host }} fails"
"#;

fn problems(source: &str) -> String {
    match load([("r.yaml", source)]) {
        Ok(_) => "fine".to_owned(),
        Err(problems) => problems.iter().map(|p| format!("{p}\n")).collect(),
    }
}

fn check(source: &str, expected: &Expect) {
    expected.assert_eq(&problems(source));
}

#[test]
fn a_good_file_is_read_whole() {
    let set = load([("r.yaml", GOOD)]).expect("it is right");
    let (group, rule) = set.rule("TooManyErrors").expect("it is there");
    assert_eq!((group.every_ns, group.delay_ns), (15_000_000_000, 10_000_000_000));
    assert_eq!(rule.keep_firing_for_ns, 60_000_000_000);
    assert_eq!(rule.by(), ["host"]);
    assert_eq!(rule.levels[0].severity, Severity::Critical);
    assert_eq!(rule.levels[0].any.len(), 2);
    assert_eq!(rule.levels[0].any[1].for_ns, 30_000_000_000);
    assert_eq!(rule.owner.as_deref(), Some("web"));
    assert_eq!(rule.labels, Labels::from([("team".into(), "shop".into()), ("service".into(), "shop".into())]));
    let labels = Labels::from([("host".into(), "a\"b".into())]);
    // The rule is about its first signal through expressions: the errors of the ratio.
    assert_eq!(rule.context_filter(&labels), r#"(source:nginx AND status>=500) host="a\"b""#);
}

#[test]
fn all_mistakes_come_at_once_with_their_places() {
    let source = GOOD
        .replace("every: 15s", "every: 15")
        .replace("owner: web", "ownr: web")
        .replace("ratio > 5%", "ration > 5%")
        .replace("agg: p95", "agg: p96")
        .replace("recover_when: ratio < 2%", "recover_when: 'ratio < '")
        .replace("critical: {any", "critcal: {any");
    check(
        &source,
        &expect![[r#"
        r.yaml:4:12: every must be a duration (a unit is missing: '15s'?)
        r.yaml:5:5: unknown key 'ownr' in a group (did you mean 'owner'?)
        r.yaml:13:46: agg must be one of count, sum, avg, min, max, p50, p90, p95, p99, distinct, rate, not 'p96' (did you mean 'p90'?)
        r.yaml:16:11: unknown key 'critcal' in levels (did you mean 'critical'?)
        r.yaml:17:27: unknown signal 'ration' (did you mean 'ratio'?)
        r.yaml:18:32: something is missing at the end
    "#]],
    );
}

#[test]
fn what_a_later_version_does_is_named() {
    let source = "version: 1\ngroups:\n  - name: a\n    rules:\n      - alert: Burn\n        slo: {objective: 99.9%}\n        levels:\n          critical: {any: [{burn: 14.4}]}\n        summary: x\n      - alert: Unusual\n        signals: {e: {filter: '*', agg: count, window: 5m}}\n        anomaly: {signal: e}\n        levels: {info: {when: anomaly}}\n        summary: x\n        mute: [freeze]\n";
    check(
        source,
        &expect![[r#"
        r.yaml:6:9: 'slo' is not supported by this version
        r.yaml:12:9: 'anomaly' is not supported by this version
        r.yaml:15:9: 'mute' is not supported by this version
    "#]],
    );
}

#[test]
fn parts_that_contradict_each_other_are_found() {
    let source = GOOD
        .replace("labels: {service: shop}", "labels: {host: x, severity: bad, who: '{{ labels.host }}'}\n        on_empty: fire\n        expected: {seen_within: 2d, forget_after: 1d}")
        .replace("field: duration_ms, window: 1m, by: [host]", "window: 30d, by: [hots]")
        .replace("expr: errors / total", "expr: errors / later");
    check(
        &source,
        &expect![[r#"
        r.yaml:9:9: the label 'host' is both fixed and grouped by
        r.yaml:13:59: window must be longer than 0 and at most 7d
        r.yaml:14:34: unknown signal 'later' (known here: total, errors, p95)
        r.yaml:19:37: the label 'severity' is set by the rule's name and levels
        r.yaml:19:47: labels are the identity of an alert and cannot be templates; use annotations
        r.yaml:20:19: on_empty: fire needs a rule without 'by' (to hear of a value that went silent, use 'expected')
        r.yaml:21:19: forget_after is shorter than seen_within
    "#]],
    );
}

#[test]
fn filters_are_read_as_queries() {
    let source = GOOD
        .replace("filter: 'source:nginx AND status>=500'", "filter: 'source:nginx AND (status>=500'")
        .replace("total: {filter: 'source:nginx'", "total: {filter: 'source:nginx | head 5'")
        .replace("p95: {filter: 'source:nginx'", "p95: {filter: 'source:nginx since:5m'");
    check(
        &source,
        &expect![[r#"
        r.yaml:11:43: a filter cannot have a pipe (the window and the agg of the signal say what is counted)
        r.yaml:12:46: unclosed parenthesis (add ')')
        r.yaml:13:26: a filter cannot have since: or until: (the window and the agg of the signal say what is counted)
    "#]],
    );
}

#[test]
fn names_are_unique_over_all_files() {
    let problems = load([("a.yaml", GOOD), ("b.yaml", GOOD)]).expect_err("twice the same");
    let text: String = problems.iter().map(|p| format!("{p}\n")).collect();
    expect![[r#"
        b.yaml:3:5: a group named 'shop' is already at a.yaml:3
        b.yaml:9:9: an alert named 'TooManyErrors' is already at a.yaml:9
    "#]]
    .assert_eq(&text);
}

#[test]
fn the_head_of_a_file_is_checked() {
    check(
        "",
        &expect![[r#"
        r.yaml:1:1: a rule file must be a mapping, not nothing
    "#]],
    );
    check(
        "version: 2\ngroups: {}\n",
        &expect![[r#"
        r.yaml:1:10: version must be a whole number from 1 to 1
        r.yaml:2:9: groups must be a list, not a mapping
    "#]],
    );
    check(
        "groups:\n  - rules: []\n",
        &expect![[r#"
        r.yaml:1:1: a rule file needs 'version'
        r.yaml:2:5: a group needs 'name'
    "#]],
    );
    check(
        "version: 1\ngroups:\n  - name: [\n",
        &expect![[r#"
        r.yaml:3:11: unclosed bracket '['
    "#]],
    );
}

#[test]
fn tests_of_rules_are_read_and_checked() {
    let tests = r#"        tests:
          - name: t
            parser: nginx_error
            logs:
              - {from: 0m, to: 1m, every: 0s, line: 'x'}
              - {from: 0m, to: 1m, every: 1s}
            counts:
              - {signal: totl, from: 0m, to: 1m, per_minute: 5}
            expect:
              - {at: 1m, state: fireing}
              - {at: 3mm, severity: critical}
"#;
    check(
        &format!("{GOOD}{tests}"),
        &expect![[r#"
        r.yaml:25:17: 'every' must be longer than 0 and 'to' not before 'from'
        r.yaml:26:17: logs need either 'line' or 'json'
        r.yaml:28:26: unknown signal 'totl' (did you mean 'total'?)
        r.yaml:30:33: state must be one of ok, pending, firing, recovering, not 'fireing' (did you mean 'firing'?)
        r.yaml:31:22: at must be a duration (for example 30s, 5m or 1h30m)
    "#]],
    );
}

#[test]
fn the_example_of_the_documentation_reads() {
    let source = include_str!("tests/upstream-timeouts.yaml");
    let set = load([("examples.yaml", source)]).unwrap_or_else(|p| panic!("{p:?}"));
    let (_, rule) = set.rule("UpstreamTimeouts").expect("it is there");
    assert_eq!(rule.tests[0].expect.len(), 5);
}

proptest::proptest! {
    #[test]
    fn a_file_with_random_damage_is_read_or_refused(at in 0usize..GOOD.len(), junk in "[ -~\\n]{0,6}", cut in 0usize..20) {
        let end = (at + cut).min(GOOD.len());
        let _ = problems(&format!("{}{junk}{}", &GOOD[..at], &GOOD[end..]));
    }
}

//! Tables of wrong rule files: every mistake is named with its line and column.

use expect_test::{Expect, expect};

use super::*;
use crate::model::{Labels, LineTime, Severity};

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
            r.yaml:13:46: agg must be one of count, sum, avg, min, max, p50, p90, p95, p99, distinct, rate, changes, not 'p96' (did you mean 'p90'?)
            r.yaml:16:11: unknown key 'critcal' in levels (did you mean 'critical'?)
            r.yaml:17:27: unknown signal 'ration' (did you mean 'ratio'?)
            r.yaml:18:32: something is missing at the end
        "#]],
    );
}

/// One rule of a kind, with what is given in place of its body.
fn of_kind(body: &str) -> String {
    let lines: String = body.lines().map(|line| format!("        {line}\n")).collect();
    format!("version: 1\ngroups:\n  - name: a\n    rules:\n      - alert: A\n{lines}        summary: x\n")
}

#[test]
fn mistakes_of_an_objective_are_found() {
    let slo = |levels: &str| {
        of_kind(&format!(
            "slo: {{objective: 99.9%, total: {{filter: '*'}}, bad: {{filter: 'status>=500'}}}}\nlevels: {levels}"
        ))
    };
    check(&slo("{critical: {burn: 14.4, long: 1h, short: 5m}, info: {when: 'budget_left < 25%'}}"), &expect!["fine"]);
    check(
        &slo("{critical: {burn: 1000, long: 1h, short: 5m}, warning: {burn: 2, long: 5m, short: 1h}}"),
        &expect![[r#"
            r.yaml:7:35: burn × (1 - objective) must be less than 1: this can never fire (it asks for 100% bad events)
            r.yaml:7:79: short must be less than long, and long at most the period
        "#]],
    );
    check(
        &slo("{critical: {burn: 2, long: 1h}, info: {when: burn_rate > 2}}\nlimit: {per_scope: 1, per: 1h}"),
        &expect![[r#"
        r.yaml:7:28: a level needs 'short'
        r.yaml:7:62: unknown signal 'burn_rate' (known here: burn, budget_left, bad, total)
        r.yaml:8:16: this needs a rule with 'pattern'
    "#]],
    );
    check(
        &of_kind(
            "slo: {objective: 200%, period: 90d, total: {filter: '*', by: [host]}, bad: {filter: '('}}\nlevels: {info: {when: burn > 1}}",
        ),
        &expect![[r#"
            r.yaml:6:14: total and bad must have the same 'by'
            r.yaml:6:26: objective must be a share between 0% and 100% (for example 99.9%)
            r.yaml:6:40: period must be a duration from 1h to 35d
            r.yaml:6:94: unclosed parenthesis (add ')')
        "#]],
    );
}

#[test]
fn mistakes_of_the_other_kinds_are_found() {
    check(
        &of_kind(
            "pattern: {filter: '*', scope: [app], lern: 1h, forget_after: 1h}\nlevels: {info: {when: new_pattern > 1}, warning: {when: count_1h}}\nlimit: {per_scope: 0, per: 1h, then: drop}",
        ),
        &expect![[r#"
            r.yaml:6:18: forget_after must be longer than learn
            r.yaml:6:46: unknown key 'lern' in pattern (did you mean 'learn'?)
            r.yaml:7:31: this is a condition; a number is needed here
            r.yaml:7:65: this is a number, not a condition (compare it, for example '… >= 20')
            r.yaml:8:28: per_scope must be a whole number from 1 to 1000
            r.yaml:8:46: then must be one of digest, not 'drop'
        "#]],
    );
    check(
        &of_kind(
            "signals: {e: {filter: '*', agg: count, window: 5m}}\nanomaly: {signal: errors, detector: knn, timezone: Europe/Brelin, season: 2d, sensitivity: some}\nlevels: {info: {when: anomaly and duratoin > 10m}}",
        ),
        &expect![[r#"
            r.yaml:7:27: unknown signal 'errors'
            r.yaml:7:60: unknown time zone 'Europe/Brelin' (for example Europe/Berlin)
            r.yaml:7:83: season must be one of auto, 1d, 1w, none, not '2d' (did you mean '1d'?)
            r.yaml:7:100: sensitivity must be one of low, medium, high, not 'some'
            r.yaml:8:43: unknown signal 'duratoin' (did you mean 'duration'?)
        "#]],
    );
    check(
        &of_kind(
            "signals: {t: {filter: '*', agg: count, window: 5m, by: [host]}, r: {expr: t / t}}\ncompare: {field: track, candidate: a, baseline: a}\nlevels: {info: {when: a.t > 1, confidence: 95%}, warning: {when: a.r > 2, confidence: 20%}}",
        ),
        &expect![[r#"
            r.yaml:6:19: the signals of a comparison are grouped by its 'by'
            r.yaml:7:18: candidate and baseline are the same
            r.yaml:8:52: confidence needs a condition over one ratio of two counts, on both sides (for example 'canary.err_rate > stable.err_rate' with err_rate: {expr: errors / total})
            r.yaml:8:95: confidence must be from 50% to less than 100% (for example 95%)
        "#]],
    );
    check(
        &of_kind(
            "signals: {t: {filter: '*', agg: count, window: 5m}}\nslo: {objective: 0.99, total: {filter: '*'}, bad: {filter: x}}\nanomaly: {signal: t}\nlevels: {info: {when: t > 3 * prev(s, 1h)}, warning: {when: prev(t) > 1 or prev(t, 5) > 2, require_source: dead}}",
        ),
        &expect![[r#"
            r.yaml:6:18: this kind of rule makes its own signals
            r.yaml:8:18: a rule has one kind: 'anomaly' is the second
            r.yaml:9:31: unknown signal 't' (known here: burn, budget_left, bad, total)
            r.yaml:9:47: unknown key '1h)' in a level (known here: any, burn, when, for, require_source, confidence)
            r.yaml:9:74: unknown signal 't' (known here: burn, budget_left, bad, total)
            r.yaml:9:92: unknown key '5) > 2' in a level (known here: any, burn, when, for, require_source, confidence)
            r.yaml:9:116: require_source needs 'expected'
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
fn a_rule_says_by_which_time_it_goes() {
    let of = |time: &str| GOOD.replace("        signals:\n", &format!("        time: {time}\n        signals:\n"));
    let set = load([("r.yaml", of("ingest").as_str())]).unwrap_or_else(|p| panic!("{p:?}"));
    let (group, rule) = set.rule("TooManyErrors").expect("it is there");
    assert!(group.goes_by(LineTime::Ingest) && !group.goes_by(LineTime::Event));
    let (_, errors) = rule.queries().nth(1).expect("a signal");
    expect![[r#"
        _ingested>=1970-01-01T00:00:01.000000000Z _ingested<1970-01-01T00:01:01.000000007Z (source:nginx AND status>=500) | stats count as v by bin(_ingested, 60s), host
    "#]]
    .assert_eq(&format!("{}\n", errors.time.about(&errors.buckets_text(60_000_000_000), (1_000_000_000, 61_000_000_007)).0));
    let set = load([("r.yaml", of("event").as_str())]).unwrap_or_else(|p| panic!("{p:?}"));
    let (_, rule) = set.rule("TooManyErrors").expect("it is there");
    assert!(rule.queries().all(|(_, query)| query.time == LineTime::Event));
    check(
        &of("received").replace("        time:", "        on_partial: hold\n        time:"),
        &expect![[r#"
            r.yaml:11:15: time must be one of event, ingest, not 'received'
        "#]],
    );
    check(
        &of("ingest").replace("        time:", "        on_partial: hold\n        time:"),
        &expect![[r#"
            r.yaml:10:21: with 'time: ingest' nobody waits for sources: on_partial says nothing (leave one of the two out)
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
            r.yaml:30:33: state must be one of ok, pending, firing, recovering, undecided, not 'fireing' (did you mean 'firing'?)
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

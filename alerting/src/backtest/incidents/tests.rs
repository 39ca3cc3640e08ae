//! Files of incidents, right and wrong, and a log of firings against them.

use logweir_rules::model::Severity;

use super::*;

const M: i64 = 60 * 1_000_000_000;
/// 2026-11-01T10:00:00Z
const TEN: i64 = 1_793_527_200_000_000_000;

const RULES: &str = "version: 1
groups:
  - name: g
    labels: {service: pay}
    rules:
      - {alert: Errors, signals: {n: {filter: 'level:error', agg: count, window: 1m, by: [host]}}, levels: {critical: {when: n > 5}}, summary: s}
      - {alert: Slow, signals: {p: {filter: '*', agg: p95, field: duration_ms, window: 1m}}, levels: {warning: {when: p > 2s}}, summary: s}
      - {alert: Quiet, signals: {n: {filter: '*', agg: count, window: 1m}}, levels: {info: {when: n == 0}}, summary: s}
";

const FILE: &str = "incidents:
  - {name: db-down, from: '2026-11-01T10:00:00Z', to: '2026-11-01T10:30:00Z'}
  - {name: slow pay, from: '2026-11-01T12:00:00Z', to: '2026-11-01T13:00:00Z', rules: [Slow, Quiet], labels: {service: pay}}
  - {name: host b, from: '2026-11-01T10:00:00Z', to: '2026-11-01T10:30:00Z', labels: {host: b}}
  - {name: long ago, from: '2025-11-01T10:00:00Z', to: '2025-11-01T10:30:00Z'}
";

fn line(rule: &str, host: &str, minute: i64, change: Change) -> (String, TransitionLine) {
    let labels = [("host".to_owned(), host.to_owned())].into();
    let at = TEN + minute * M;
    let (reason, severity) = (String::new(), Severity::Warning);
    let (values, texts, fired_at) = (BTreeMap::new(), BTreeMap::new(), Some(at));
    let rule = rule.to_owned();
    (
        String::new(),
        TransitionLine { at, rule, labels, change, severity, reason, values, texts, fired_at, late_ns: None },
    )
}

#[test]
fn an_episode_catches_what_it_is_about_and_is_outside_otherwise() {
    let set = crate::check::rules(&[("r.yaml".to_owned(), RULES.to_owned())]).unwrap_or_else(|p| panic!("{p:?}"));
    let lines = [
        // It fires a minute before anybody noticed, and goes on.
        line("Errors", "a", -1, Change::Fired),
        line("Slow", "a", 5, Change::Fired),
        line("Slow", "a", 9, Change::Resolved),
        line("Errors", "a", 20, Change::Resolved),
        line("Errors", "c", 60, Change::Fired),
        line("Errors", "c", 61, Change::Resolved),
        // Still firing at the end; of the wrong rule for the second incident.
        line("Errors", "a", 121, Change::Fired),
        line("Quiet", "a", 179, Change::Fired),
    ];
    let incidents = read("incidents.yaml", FILE).unwrap_or_else(|p| panic!("{p:?}"));
    let judged = judge(&lines, &set, &incidents, (TEN - 600 * M, TEN + 600 * M));
    let mut told: Vec<String> = judged
        .incidents
        .iter()
        .map(|one| format!("{}: {:?}", one.name, one.by.iter().map(|(r, after)| (r, after / M)).collect::<Vec<_>>()))
        .collect();
    told.extend(judged.rules.iter().map(|(rule, score)| format!("{rule}: {score:?}")));
    told.push(format!("{} beyond", judged.beyond));
    expect_test::expect![[r#"
        db-down: [("Errors", -1), ("Slow", 5)]
        slow pay: [("Quiet", 59)]
        host b: []
        Errors: Score { caught: 1, missed: 0, outside: 2 }
        Quiet: Score { caught: 1, missed: 0, outside: 0 }
        Slow: Score { caught: 1, missed: 1, outside: 0 }
        1 beyond"#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn every_mistake_of_the_file_has_its_place() {
    let wrong = "incidents:\n  - {name: a, from: yesterday, to: '2026-11-01T10:30:00Z'}\n  - {name: b, from: '2026-11-01T11:00:00Z', to: '2026-11-01T10:30:00Z', rule: X}\n  - {from: '2026-11-01T11:00:00Z', to: '2026-11-01T11:30:00Z'}\n";
    let problems = read("i.yaml", wrong).expect_err("it is wrong");
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    expect_test::expect![[r#"
        i.yaml:2:21: from is a time such as 2026-11-20T09:00:00Z
        i.yaml:3:5: the incident ends before it begins
        i.yaml:3:73: unknown key 'rule' in an incident (did you mean 'rules'?)
        i.yaml:4:5: an incident needs 'name'"#]]
    .assert_eq(&problems.join("\n"));
    assert!(read("i.yaml", "").is_err());
}

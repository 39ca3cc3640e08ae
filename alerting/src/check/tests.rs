//! Files on disk, and the tests of rules over a small line engine.

use logweir_rules::model::Rule;

use super::*;
use crate::route::Routing;

pub(crate) const RULE: &str = r#"version: 1
groups:
  - name: g
    every: 10s
    defaults: {delay: 0s}
    labels: {team: shop}
    rules:
      - alert: Errors
        signals:
          errors: {filter: 'level>=error', agg: count, window: 30s, by: [host]}
          total: {filter: '*', agg: count, window: 30s, by: [host]}
          ratio: {expr: errors / total}
        levels:
          critical: {when: errors >= 10}
          warning: {when: errors >= 3, for: 20s}
        recover_when: errors < 2
        expected: {seen_within: 1h}
        keep_firing_for: 20s
        summary: "{{ value.errors }} errors on {{ labels.host }}"
        annotations: {action: "restart {{ labels.host }}"}
"#;

pub(crate) fn rule() -> Arc<Rule> {
    let set = rules(&[("r.yaml".to_owned(), RULE.to_owned())]).unwrap_or_else(|p| panic!("{p:?}"));
    Arc::clone(&set.groups[0].rules[0])
}

mod engine;

fn problems(files: &[(&str, &str)]) -> String {
    let files: Vec<(String, String)> = files.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
    match rules(&files) {
        Ok(_) => "fine".to_owned(),
        Err(problems) => problems.iter().map(|p| format!("{p}\n")).collect(),
    }
}

#[test]
fn templates_are_checked_with_their_place() {
    let wrong = RULE
        .replace("{{ value.errors }}", "{{ value.erors }}")
        .replace("\"restart {{ labels.host }}\"", "\"restart {{ labels.host | shout }}\"");
    expect_test::expect![[r#"
        r.yaml:19:18: unknown name 'value.erors' in the template (did you mean 'value.errors'?)
        r.yaml:20:31: the template fails: unknown filter: filter shout is unknown
    "#]]
    .assert_eq(&problems(&[("r.yaml", &wrong)]));
}

#[test]
fn directories_are_read_whole_and_missing_paths_are_named() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir_all(dir.path().join("a/.git")).expect("directories");
    std::fs::write(dir.path().join("a/one.yml"), RULE).expect("a file");
    std::fs::write(dir.path().join("a/.git/two.yaml"), "junk").expect("a file");
    assert_eq!(paths(&[dir.path().to_owned()]).expect("right").rules().count(), 1);
    let missing = paths(&[dir.path().join("missing.yaml")]).expect_err("not there");
    assert!(missing[0].to_string().contains("missing.yaml: cannot be read"), "{}", missing[0]);
}

#[test]
fn a_failing_test_says_what_was_there() {
    let tests = r#"        tests:
          - name: wrong on purpose
            logs:
              - {from: 0m, to: 1m, every: 5s, json: {level: error, message: boom}, set: {host: a}}
            expect:
              - {at: 20s, state: ok}
              - {at: 1m, state: firing, severity: critical, summary: contains "6 errors on a"}
              - {at: 1m, state: firing, severity: warning, labels: {host: b}}
              - {at: 1m, severity_not: warning}
              - {at: 1m, value: {errors: 7}}
              - {at: 1m, value: {errors: 6, ratio: 1}}
"#;
    let set = rules(&[("r.yaml".to_owned(), format!("{RULE}{tests}"))]).unwrap_or_else(|p| panic!("{p:#?}"));
    let results = run_cases(&set, &mut engine::MiniEngine::default(), None).results;
    expect_test::expect![[r#"
        r.yaml:26:17: at 20s: expected ok; there is {host=a} pending warning (errors=4 ratio=1 silent_for=0 total=4 source_state="unknown")
        r.yaml:27:17: at 1m: expected severity critical; there is {host=a} firing warning (errors=6 ratio=1 silent_for=0 total=6 source_state="unknown")
        r.yaml:28:17: at 1m: expected an alert; there is {host=a} firing warning (errors=6 ratio=1 silent_for=0 total=6 source_state="unknown")
        r.yaml:29:17: at 1m: expected any severity but warning; there is {host=a} firing warning (errors=6 ratio=1 silent_for=0 total=6 source_state="unknown")
        r.yaml:30:17: at 1m: expected errors = 7; there is {host=a} firing warning (errors=6 ratio=1 silent_for=0 total=6 source_state="unknown")"#]].assert_eq(&results[0].failures.join("\n"));
}

/// From the raw line to the receiver, with nothing running.
#[test]
fn a_test_may_say_who_is_told() {
    let tests = r#"        tests:
          - name: routed
            logs:
              - {from: 0m, to: 1m, every: 5s, json: {level: error, message: boom}, set: {host: a}}
            expect:
              - {at: 1m, state: firing, receivers: [chat]}
              - {at: 1m, receivers: pager}
              - {at: 20s, state: pending, receivers: []}
              - {at: 10m, receivers: pager}
              - {at: 10m, state: ok, receivers: pager}
              - {at: 10m, state: ok, receivers: []}
"#;
    let set = rules(&[("r.yaml".to_owned(), format!("{RULE}{tests}"))]).unwrap_or_else(|p| panic!("{p:#?}"));
    let routing = "route: {receiver: pager, routes: [{matchers: ['severity=\"warning\"', 'alertname=Errors'], receiver: chat}]}\nreceivers: [{name: pager}, {name: chat}]\n";
    let routing = crate::route::file::load("alerting.yaml", routing, &|_| None).unwrap_or_else(|p| panic!("{p:#?}"));
    let failures = |routing: Option<&Routing>| {
        let results = run_cases(&set, &mut engine::MiniEngine::default(), routing).results;
        results[0]
            .failures
            .iter()
            .filter_map(|text| Some(text.split_once("; there is")?.0))
            .collect::<Vec<_>>()
            .join("\n")
    };
    expect_test::expect![[r#"
        r.yaml:27:17: at 1m: it goes to [chat], not to [pager]
        r.yaml:29:17: at 10m: expected an alert
        r.yaml:30:17: at 10m: it goes to [], not to [pager]"#]]
    .assert_eq(&failures(Some(&routing)));
    assert!(failures(None).contains("--config alerting.yaml"));
}

#[test]
fn counts_stand_for_lines() {
    let tests = r#"        tests:
          - name: counts
            counts:
              - {signal: errors, labels: {host: a}, from: 0m, to: 5m, per_minute: 8}
              - {signal: total, labels: {host: a}, from: 0m, to: 5m, per_minute: 80}
            expect:
              - {at: 1m, state: firing, severity: warning, value: {errors: 4, ratio: 0.1}}
              - {at: 7m, state: ok}
"#;
    let set = rules(&[("r.yaml".to_owned(), format!("{RULE}{tests}"))]).unwrap_or_else(|p| panic!("{p:#?}"));
    let results = run_cases(&set, &mut engine::MiniEngine::default(), None).results;
    assert_eq!(results[0].failures, Vec::<String>::new());
}

/// The examples of `rules/README.md` are right, and the rule passes its own test.
#[test]
fn the_documentation_is_right() {
    let text = include_str!("../../../rules/README.md");
    let mut blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let (rule_file, routing) = (blocks.next().expect("a rule file"), blocks.next().expect("a routing file"));
    let set = rules(&[("README.md".to_owned(), rule_file.to_owned())]).unwrap_or_else(|p| panic!("{p:#?}"));
    // The small engine has no percentiles: the test runs without that signal.
    let plain: String =
        rule_file.lines().filter(|line| !line.contains("p95:")).map(|line| format!("{line}\n")).collect();
    let plain = plain.replace(", {when: p95 > 5s, for: 2m}", "").replace(" path:/checkout*", "");
    let plain = rules(&[("README.md".to_owned(), plain)]).unwrap_or_else(|p| panic!("{p:#?}"));
    let results = run_cases(&plain, &mut engine::MiniEngine::default(), None).results;
    assert_eq!((set.rules().count(), &results[0].failures), (1, &Vec::new()));
    crate::route::file::load("README.md", routing, &|_| None).unwrap_or_else(|p| panic!("{p:#?}"));
    let first =
        include_str!("../../../README.md").split("```yaml\n# my.yaml\n").nth(1).expect("the receivers of the demo");
    let first = first.split("```").next().expect("its end");
    crate::route::file::load("my.yaml", first, &|_| None).unwrap_or_else(|p| panic!("{p:#?}"));
}

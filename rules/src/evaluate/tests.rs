//! The state machine, step by step, and as a model under random signals.

use expect_test::{Expect, expect};

use super::*;

mod kinds;
use crate::file;

const SECOND: i64 = 1_000_000_000;

fn rule(levels: &str, rest: &str) -> Rule {
    let source = format!(
        "version: 1\ngroups:\n  - name: g\n    rules:\n      - alert: A\n        signals:\n          n: {{filter: '*', agg: count, window: 30s, by: [host]}}\n        levels: {levels}\n        summary: s\n{rest}"
    );
    let set = file::load([("t.yaml", source.as_str())]).unwrap_or_else(|p| panic!("{p:?}"));
    let group = set.groups.into_iter().next().expect("one group");
    let mut rules = std::sync::Arc::into_inner(group).expect("only here").rules;
    std::sync::Arc::into_inner(rules.remove(0)).expect("only here")
}

fn host(name: &str) -> Labels {
    Labels::from([("host".to_owned(), name.to_owned())])
}

fn table(rows: &[(&str, f64)]) -> Vec<Table> {
    vec![rows.iter().map(|(name, value)| (host(name), *value)).collect()]
}

/// Runs one value per 10 s for host `a` (negative: no row; NaN: the query failed) and prints what changed.
fn run(rule: &Rule, values: &[f64]) -> String {
    let mut state = RuleState::default();
    let mut out = String::new();
    for (i, value) in values.iter().enumerate() {
        let at = i as i64 * 10 * SECOND;
        let rows: Vec<(&str, f64)> = if *value < 0.0 { vec![] } else { vec![("a", *value)] };
        let outcome = if value.is_nan() {
            step(rule, &mut state, at, Input::Failed("store is away"))
        } else {
            step(rule, &mut state, at, Input::Tables(&table(&rows)))
        };
        for t in outcome.transitions {
            out.push_str(&format!(
                "{}s {:?} {} {:?}: {}\n",
                at / SECOND,
                t.change,
                t.severity,
                t.labels.values().next(),
                t.reason
            ));
        }
    }
    out
}

fn check(rule: &Rule, values: &[f64], expected: &Expect) {
    expected.assert_eq(&run(rule, values));
}

#[test]
fn a_condition_fires_after_its_time_and_resolves_when_it_ends() {
    let rule = rule("{warning: {when: n >= 5, for: 20s}}", "");
    check(
        &rule,
        &[0.0, 5.0, 5.0, 5.0, 5.0, 0.0, 0.0],
        &expect![[r#"
        10s Pending warning Some("a"): n >= 5 became true
        30s Fired warning Some("a"): n >= 5 has held for 20s
        50s Resolved warning Some("a"): recovered
    "#]],
    );
    // A break starts the time anew.
    check(
        &rule,
        &[5.0, 5.0, 0.0, 5.0, 5.0, 0.0],
        &expect![[r#"
        0s Pending warning Some("a"): n >= 5 became true
        20s Ended warning Some("a"): no level is true any more
        30s Pending warning Some("a"): n >= 5 became true
        50s Ended warning Some("a"): no level is true any more
    "#]],
    );
}

#[test]
fn the_highest_true_level_wins_under_one_identity() {
    let rule = rule(
        "{critical: {when: n >= 100}, warning: {when: n >= 10}, info: {when: n >= 1, for: 20s}}",
        "        keep_firing_for: 20s\n",
    );
    check(
        &rule,
        &[1.0, 10.0, 100.0, 10.0, 10.0, 10.0, 0.0, 0.0, 0.0],
        &expect![[r#"
        0s Pending info Some("a"): n >= 1 became true
        10s Fired warning Some("a"): n >= 10 is true
        20s Raised critical Some("a"): n >= 100 is true
        40s Lowered warning Some("a"): n >= 10 is true
        60s Recovering warning Some("a"): no level is true any more
        80s Resolved warning Some("a"): recovered for 20s
    "#]],
    );
}

#[test]
fn hysteresis_and_keep_firing_hold_an_alert() {
    let rule = rule("{warning: {when: n >= 10}}", "        recover_when: n < 3\n        keep_firing_for: 20s\n");
    check(
        &rule,
        &[10.0, 5.0, 5.0, 2.0, 5.0, 2.0, 2.0, 2.0, 2.0],
        &expect![[r#"
            0s Fired warning Some("a"): n >= 10 is true
            30s Recovering warning Some("a"): no level is true any more
            40s FiringAgain warning Some("a"): the condition to recover is no longer met
            50s Recovering warning Some("a"): no level is true any more
            70s Resolved warning Some("a"): recovered for 20s
        "#]],
    );
    check(
        &rule,
        &[10.0, 2.0, 10.0, 2.0, 2.0, 2.0],
        &expect![[r#"
        0s Fired warning Some("a"): n >= 10 is true
        10s Recovering warning Some("a"): no level is true any more
        20s FiringAgain warning Some("a"): n >= 10 became true
        30s Recovering warning Some("a"): no level is true any more
        50s Resolved warning Some("a"): recovered for 20s
    "#]],
    );
    // Lines that end count as zero.
    check(
        &rule,
        &[10.0, -1.0, -1.0, -1.0],
        &expect![[r#"
        0s Fired warning Some("a"): n >= 10 is true
        10s Recovering warning Some("a"): no level is true any more
        30s Resolved warning Some("a"): recovered for 20s
    "#]],
    );
}

#[test]
fn alternatives_run_side_by_side() {
    let rule = rule("{critical: {any: [{when: n >= 5, for: 30s}, {when: n >= 50}]}}", "");
    check(
        &rule,
        &[5.0, 5.0, 50.0, 0.0],
        &expect![[r#"
        0s Pending critical Some("a"): n >= 5 became true
        20s Fired critical Some("a"): n >= 50 is true
        30s Resolved critical Some("a"): recovered
    "#]],
    );
    check(
        &rule,
        &[5.0, 5.0, 5.0, 5.0],
        &expect![[r#"
        0s Pending critical Some("a"): n >= 5 became true
        30s Fired critical Some("a"): n >= 5 has held for 30s
    "#]],
    );
}

#[test]
fn a_failed_query_keeps_or_fires() {
    let keep = rule("{warning: {when: n >= 10, for: 20s}}", "");
    check(
        &keep,
        &[10.0, f64::NAN, 10.0, f64::NAN, 0.0],
        &expect![[r#"
        0s Pending warning Some("a"): n >= 10 became true
        20s Fired warning Some("a"): n >= 10 has held for 20s
        40s Resolved warning Some("a"): recovered
    "#]],
    );
    let fire = rule("{warning: {when: n >= 10}}", "        on_error: fire\n");
    check(
        &fire,
        &[0.0, f64::NAN, f64::NAN, 0.0],
        &expect![[r#"
        10s Fired warning Some("query_error"): the query failed: store is away
        30s Resolved warning Some("query_error"): recovered
    "#]],
    );
}

#[test]
fn an_empty_answer_keeps_where_that_was_asked() {
    let keep = rule("{warning: {when: n >= 10}}", "        on_empty: keep\n");
    check(
        &keep,
        &[10.0, -1.0, -1.0, 1.0],
        &expect![[r#"
        0s Fired warning Some("a"): n >= 10 is true
        30s Resolved warning Some("a"): recovered
    "#]],
    );
}

#[test]
fn a_silent_host_fires_and_is_forgotten() {
    let rule = rule("{warning: {when: n == 0}}", "        expected: {seen_within: 30s, forget_after: 60s}\n");
    check(
        &rule,
        &[-1.0, 4.0, 4.0, -1.0, -1.0, 4.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0],
        &expect![[r#"
        30s Fired warning Some("a"): n == 0 is true
        50s Resolved warning Some("a"): recovered
        60s Fired warning Some("a"): n == 0 is true
        120s Resolved warning Some("a"): silent for 1m10s, forgotten
    "#]],
    );
}

#[test]
fn a_changed_grouping_closes_what_was_open() {
    let old = rule("{warning: {when: n >= 1}}", "");
    let mut state = RuleState::default();
    step(&old, &mut state, 0, Input::Tables(&table(&[("a", 5.0)])));
    let mut changed = rule("{warning: {when: n >= 1}}", "");
    changed.by = vec!["service".to_owned()];
    let outcome = step(&changed, &mut state, SECOND, Input::Tables(&[Table::new()]));
    assert_eq!(outcome.transitions.len(), 1);
    assert_eq!(outcome.transitions[0].change, Change::Resolved);
    assert_eq!(outcome.transitions[0].reason, Reason::RuleChanged);
}

#[test]
fn too_many_instances_are_refused_and_the_old_ones_stay() {
    let rule = rule("{warning: {when: n >= 1}}", "");
    let mut state = RuleState::default();
    let rows: Table = (0..INSTANCES_PER_RULE_MAX + 7).map(|i| (host(&format!("h{i:05}")), 1.0)).collect();
    let outcome = step(&rule, &mut state, 0, Input::Tables(std::slice::from_ref(&rows)));
    assert_eq!((outcome.refused, state.instances.len()), (7, INSTANCES_PER_RULE_MAX));
    let outcome = step(&rule, &mut state, SECOND, Input::Tables(&[rows]));
    assert_eq!((outcome.refused, outcome.transitions.len()), (7, 0));
}

#[test]
fn a_gap_restarts_the_waiting_but_resolves_nothing() {
    let rule = rule("{critical: {when: n >= 9}, warning: {when: n >= 5, for: 20s}}", "");
    let mut state = RuleState::default();
    step(&rule, &mut state, 0, Input::Tables(&table(&[("a", 9.0), ("b", 5.0)])));
    state.skip_gap();
    assert_eq!(state.instances.keys().cloned().collect::<Vec<_>>(), [host("a")]);
    let outcome = step(&rule, &mut state, 3600 * SECOND, Input::Tables(&table(&[("a", 9.0), ("b", 5.0)])));
    assert_eq!(outcome.transitions.len(), 1, "b waits anew, a goes on: {:?}", outcome.transitions);
}

proptest::proptest! {
    /// Whatever comes: a firing instance was pending for its time, nothing resolves while its condition is true, and
    /// what opened is what closed.
    #[test]
    fn the_machine_keeps_its_promises(values in proptest::collection::vec(0u32..12, 1..80), for_s in 0i64..40, keep_s in 0i64..40) {
        let rule = rule(
            &format!("{{critical: {{when: n >= 10, for: {for_s}s}}, warning: {{when: n >= 5, for: {for_s}s}}}}"),
            &format!("        keep_firing_for: {keep_s}s\n        recover_when: n < 3\n"),
        );
        let mut state = RuleState::default();
        let (mut true_since, mut clear_since, mut open) = (None, None, false);
        for (i, value) in values.iter().enumerate() {
            let at = i as i64 * 10 * SECOND;
            if *value >= 5 { true_since.get_or_insert(at); } else { true_since = None; }
            if *value < 3 { clear_since.get_or_insert(at); } else { clear_since = None; }
            let outcome = step(&rule, &mut state, at, Input::Tables(&table(&[("a", f64::from(*value))])));
            for t in &outcome.transitions {
                match t.change {
                    Change::Fired => {
                        assert!(!open && true_since.is_some_and(|since| at - since >= for_s * SECOND));
                        open = true;
                    }
                    Change::Resolved => {
                        assert!(open && clear_since.is_some_and(|since| at - since >= keep_s * SECOND));
                        open = false;
                    }
                    _ => {}
                }
            }
            assert_eq!(open, state.instances.values().any(|i| i.fired_at.is_some()));
            if open {
                assert!(clear_since.is_none_or(|since| at - since < keep_s * SECOND), "it should have resolved");
            }
        }
    }
}

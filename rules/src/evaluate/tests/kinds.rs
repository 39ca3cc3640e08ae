//! The kinds of rules, each over inputs made by hand.

use super::*;

const MINUTE: i64 = 60 * SECOND;

/// A rule with this body, and its state.
fn made(body: &str) -> Rule {
    let body: String = body.lines().map(|line| format!("        {line}\n")).collect();
    let source = format!("version: 1\ngroups:\n  - name: g\n    rules:\n      - alert: A\n{body}        summary: s\n");
    let set = file::load([("t.yaml", source.as_str())]).unwrap_or_else(|p| panic!("{p:?}"));
    let group = set.groups.into_iter().next().expect("one group");
    let mut rules = std::sync::Arc::into_inner(group).expect("only here").rules;
    std::sync::Arc::into_inner(rules.remove(0)).expect("only here")
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn show(state: &RuleState) -> String {
    let one = |(labels, instance): (&Labels, &Instance)| {
        let labels: Vec<&str> = labels.iter().filter(|(key, _)| *key != "pattern").map(|(_, v)| v.as_str()).collect();
        format!("{} {:?} {}", labels.join(","), instance.phase, instance.severity)
    };
    let undecided = state.undecided.iter().map(|(labels, reason)| format!("{:?}: {reason}", labels.values().next()));
    state.instances.iter().map(one).chain(undecided).collect::<Vec<_>>().join("; ")
}

#[test]
fn a_spike_is_compared_with_an_hour_ago() {
    let rule = made(
        "signals: {n: {filter: '*', agg: count, window: 5m, by: [host]}}\nlevels: {warning: {when: 'n > 3 * prev(n, 1h) and n >= 30'}}",
    );
    let ranges: Vec<(i64, i64)> = rule.queries().map(|(_, query)| query.range(100 * MINUTE)).collect();
    assert_eq!(ranges, [(35 * MINUTE, 40 * MINUTE), (95 * MINUTE, 100 * MINUTE)]);
    for (before, now, fires) in [(10.0, 40.0, true), (20.0, 40.0, false), (0.0, 29.0, false), (0.0, 30.0, true)] {
        let mut state = RuleState::default();
        let tables = [table(&[("a", before)]).remove(0), table(&[("a", now)]).remove(0)];
        step(&rule, &mut state, 0, Input::Tables(&tables));
        assert_eq!(!state.instances.is_empty(), fires, "{before} {now}");
    }
}

#[test]
fn an_objective_needs_both_windows_and_enough_bad_events() {
    let rule = made(
        "slo: {objective: 99%, period: 30d, total: {filter: '*'}, bad: {filter: 'x'}}\nlevels: {critical: {burn: 10, long: 1h, short: 5m, min_bad: 20}, info: {when: budget_left < 25%}}",
    );
    let run = |numbers: &dyn Fn(&str) -> f64| {
        let mut state = RuleState::default();
        let tables: Vec<Table> =
            rule.queries().map(|(signal, _)| [(Labels::new(), numbers(&signal.name))].into_iter().collect()).collect();
        step(&rule, &mut state, 0, Input::Tables(&tables));
        let values = state.instances.values().next().map(|i| (i.values["burn"], i.values["budget_left"]));
        (show(&state), values)
    };
    let good = |name: &str| if name.starts_with("total") { 1000.0 } else { 0.0 };
    assert_eq!(run(&good).0, "");
    let bad = |name: &str| match name {
        "bad:1h" => 120.0,
        "bad:5m" => 200.0,
        other => good(other),
    };
    let (text, values) = run(&bad);
    assert_eq!((text.as_str(), values.map(|v| (v.0.round(), v.1))), (" Firing critical", Some((12.0, 1.0))));
    // The errors are over, or they are few: nobody is woken.
    assert_eq!(run(&|name| if name == "bad:5m" { 1.0 } else { bad(name) }).0, "");
    let few = |name: &str| if name.starts_with("total") { 100.0 } else { 19.0 };
    assert_eq!(run(&few).0, " Firing info");
}

#[test]
fn silence_is_told_apart_by_the_agent() {
    let rule = made(
        "signals: {n: {filter: '*', agg: count, window: 1m, by: [host]}}\nexpected: {seen_within: 1h}\nlevels: {critical: {when: n == 0, require_source: alive}, warning: {when: n == 0, require_source: dead}, info: {when: n == 0, require_source: behind}}",
    );
    let hosts = [("a", SourceState::Alive), ("b", SourceState::Dead), ("c", SourceState::Behind)];
    let sources: Sources = hosts.map(|(host, state)| (host.to_owned(), state)).into();
    let mut state = RuleState::default();
    step(&rule, &mut state, 0, Input::Tables(&table(&[("a", 1.0), ("b", 1.0), ("c", 1.0), ("d", 1.0)])));
    let nothing = [Table::new()];
    let seen = Observation { sources: Some(&sources), ..Observation::of(&nothing) };
    step(&rule, &mut state, MINUTE, Input::Observed(&seen));
    assert_eq!(show(&state), "a Firing critical; b Firing warning; c Firing info; d Firing critical");
    assert_eq!(state.instances[&host("b")].texts["source_state"], "dead");
}

#[test]
fn what_cannot_be_decided_is_kept_closed_or_told() {
    for (rest, after) in [
        ("", "a Firing warning; Some(\"a\"): n >= 10 is not met"),
        ("on_undecided: ok", "Some(\"a\"): n >= 10 is not met"),
        ("on_undecided: fire", "a Firing warning; Some(\"a\"): n >= 10 is not met"),
    ] {
        let rule = made(&format!(
            "signals: {{n: {{filter: '*', agg: count, window: 1m, by: [host]}}, e: {{filter: x, agg: count, window: 1m, by: [host]}}}}\nrequire: n >= 10\nlevels: {{warning: {{when: e / n > 5%}}}}\n{rest}"
        ));
        let mut state = RuleState::default();
        let tables = |n: f64, e: f64| [table(&[("a", n)]).remove(0), table(&[("a", e)]).remove(0)];
        step(&rule, &mut state, 0, Input::Tables(&tables(100.0, 50.0)));
        assert_eq!(show(&state), "a Firing warning");
        step(&rule, &mut state, MINUTE, Input::Tables(&tables(5.0, 0.0)));
        assert_eq!(show(&state), after, "{rest}");
    }
}

#[test]
fn a_partial_window_is_held_or_said() {
    for (rest, after) in [("on_partial: hold", "a Firing warning; Some(\"a\"): 3 of 4 sources have reported"), ("", "")]
    {
        let rule = made(&format!(
            "signals: {{n: {{filter: '*', agg: count, window: 1m, by: [host]}}}}\nlevels: {{warning: {{when: n > 5}}}}\n{rest}"
        ));
        let mut state = RuleState::default();
        step(&rule, &mut state, 0, Input::Tables(&table(&[("a", 9.0)])));
        let nothing = [Table::new()];
        let coverage = Some(Coverage { reported: 3, expected: 4 });
        step(&rule, &mut state, MINUTE, Input::Observed(&Observation { coverage, ..Observation::of(&nothing) }));
        assert_eq!(show(&state), after, "{rest}");
    }
}

fn line(at: i64, service: &str, text: &str) -> PatternLine {
    PatternLine { at, labels: labels(&[("service", service)]), text: text.to_owned(), is_trace: false }
}

#[test]
fn new_patterns_are_limited_raised_by_a_deploy_and_forgotten() {
    let rule = made(
        "pattern: {filter: '*', scope: [service], learn: 10m, forget_after: 5h, after_deploy: 30m}\nlimit: {per_scope: 2, per: 1h, then: digest}\nresolve_after: 20m\nlevels: {warning: {when: new_pattern and count_10m >= 3}, info: {when: new_pattern}}",
    );
    let mut state = RuleState::default();
    let mut run = |at: i64, lines: &[PatternLine], deploys: &[Deploy]| {
        let outcome =
            step(&rule, &mut state, at, Input::Observed(&Observation { lines, deploys, ..Observation::default() }));
        (
            show(&state),
            outcome.transitions.len(),
            state.instances.values().map(|i| i.texts["template"].clone()).collect::<Vec<_>>(),
        )
    };
    assert_eq!(run(MINUTE, &[line(0, "a", "usual thing 1 happened")], &[]).0, "");
    // Learned in silence; the numbers of a known pattern are not news; another scope still learns.
    let known = [line(20 * MINUTE, "a", "usual thing 2 happened"), line(20 * MINUTE, "b", "what is this")];
    assert_eq!(run(21 * MINUTE, &known, &[]).0, "");
    let news: Vec<PatternLine> = ["red fox", "blue whale jumps", "green", "black ants march on"]
        .iter()
        .map(|text| line(30 * MINUTE, "a", text))
        .collect();
    let (shown, _, templates) = run(31 * MINUTE, &news, &[]);
    assert_eq!(shown, "a Firing info; a Firing info; a Firing info");
    assert!(
        templates.iter().any(|t| t == "2 more new patterns, first: green" || t.starts_with("2 more")),
        "{templates:?}"
    );
    // A deploy in the last half hour makes it one level worse, in the scopes that it concerns.
    let deploys = [Deploy { at: 100 * MINUTE, name: "v2".to_owned(), labels: labels(&[("service", "a")]) }];
    let (shown, ..) =
        run(111 * MINUTE, &[line(110 * MINUTE, "a", "no route"), line(110 * MINUTE, "b", "no way")], &deploys);
    assert_eq!(shown, "b Firing info; a Firing warning");
    // Not new any more, and new again when it was forgotten.
    assert_eq!(run(140 * MINUTE, &[line(139 * MINUTE, "a", "no route")], &[]).0, "");
    assert_eq!(run(600 * MINUTE, &[], &[]).0, "");
    assert_eq!(run(602 * MINUTE, &[line(601 * MINUTE, "a", "no route")], &[]).0, "a Firing info");
}

/// A sentence with a word that varies is one pattern once enough of its words were seen. Whatever then is a part of a known
/// one is no news, and says so; what is new on its own stays the one alert that it was.
#[test]
fn a_descendant_of_a_known_pattern_is_not_new_and_names_its_ancestor() {
    let rule = made(
        "pattern: {filter: '*', scope: [service], learn: 10m}\nresolve_after: 5h\nlevels: {info: {when: new_pattern}}",
    );
    let mut state = RuleState::default();
    let mut run = |minute: i64, texts: &[&str]| {
        let at = minute * MINUTE;
        let lines: Vec<PatternLine> = texts.iter().map(|text| line(at, "a", text)).collect();
        let outcome =
            step(&rule, &mut state, at, Input::Observed(&Observation { lines: &lines, ..Observation::default() }));
        let told = outcome.transitions.iter().map(|t| {
            let texts = |name: &str| t.texts.get(name).cloned().unwrap_or_default();
            format!("{:?} {} [{}] {}\n", t.change, texts("template"), texts("lineage"), t.reason)
        });
        let open = state.instances.values().map(|i| {
            let texts = |name: &str| i.texts.get(name).cloned().unwrap_or_default();
            format!("open {} [{}]\n", texts("template"), texts("lineage"))
        });
        told.chain(open).collect::<String>()
    };
    assert_eq!(run(0, &["no route to alpha for this order"]), "");
    let first = run(20, &["no route to beta for this order", "no route to gamma for this order"]);
    let all = first + "--\n" + &run(21, &["no route to delta for this order"]) + "--\n"
        + &run(22, &["no route to omega for this order"]) + "--\n"
        // Nothing known is like these: the first of them stays an alert, and takes in the others.
        + &run(30, &["user ann left", "user bob left", "user cid left"]) + "--\n"
        + &run(31, &["user dan left", "user eve left", "user flo left"]);
    expect_test::expect![[r#"
        Fired no route to gamma for this order [like 'no route to alpha for this order', first seen 1970-01-01T00:00:00Z] new_pattern is true
        Fired no route to beta for this order [like 'no route to alpha for this order', first seen 1970-01-01T00:00:00Z] new_pattern is true
        open no route to gamma for this order [like 'no route to alpha for this order', first seen 1970-01-01T00:00:00Z]
        open no route to beta for this order [like 'no route to alpha for this order', first seen 1970-01-01T00:00:00Z]
        --
        Resolved no route to gamma for this order [like 'no route to alpha for this order', first seen 1970-01-01T00:00:00Z] its pattern is a part of 6ade1beab2a25499 now: 'no route to <*> for this order', first seen 1970-01-01T00:00:00Z
        Resolved no route to beta for this order [like 'no route to alpha for this order', first seen 1970-01-01T00:00:00Z] its pattern is a part of 6ade1beab2a25499 now: 'no route to <*> for this order', first seen 1970-01-01T00:00:00Z
        --
        --
        Fired user bob left [like 'user ann left', first seen 1970-01-01T00:30:00Z] new_pattern is true
        Fired user ann left [] new_pattern is true
        Fired user cid left [like 'user ann left', first seen 1970-01-01T00:30:00Z] new_pattern is true
        open user bob left [like 'user ann left', first seen 1970-01-01T00:30:00Z]
        open user ann left []
        open user cid left [like 'user ann left', first seen 1970-01-01T00:30:00Z]
        --
        Resolved user bob left [like 'user ann left', first seen 1970-01-01T00:30:00Z] its pattern is a part of 7a17342c9c7c5501 now: 'user <*> left', first seen 1970-01-01T00:30:00Z
        Resolved user cid left [like 'user ann left', first seen 1970-01-01T00:30:00Z] its pattern is a part of 7a17342c9c7c5501 now: 'user <*> left', first seen 1970-01-01T00:30:00Z
        open user <*> left [first 'user ann left', now one with 'user bob left', 'user dan left', 'user cid left']
    "#]].assert_eq(&all);
}

#[test]
fn marks_end_what_is_known_and_soften_what_has_a_ticket() {
    const RULE: &str = "
          - alert: New
            pattern: {filter: '*', scope: [service], learn: 10m}
            levels: {warning: {when: new_pattern}}
            summary: 'new: {{ value.template }}'
";
    let text = |marks: &str| format!("version: 1\npatterns: [{marks}]\ngroups:\n      - name: g\n        rules:{RULE}");
    let load = |marks: &str| {
        let text = text(marks);
        crate::file::load([("r.yaml", &*text)]).map_err(|p| p.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let run = |state: &mut RuleState, marks: &str, at: i64, lines: &[PatternLine]| {
        let set = load(marks).unwrap_or_else(|p| panic!("{p:?}"));
        let rule = set.rule("New").expect("is there").1;
        let observation = Observation { lines, ..Observation::default() };
        step(rule, state, at, Input::Observed(&observation));
        let ids = state.instances.keys().map(|labels| labels[crate::signal::PATTERN_LABEL].clone());
        (show(state), ids.collect::<Vec<_>>())
    };
    let mut state = RuleState::default();
    run(&mut state, "", MINUTE, &[line(MINUTE, "a", "usual"), line(MINUTE, "b", "usual")]);
    let news = [line(20 * MINUTE, "a", "no route to ledger 7"), line(20 * MINUTE, "b", "no route to ledger 8")];
    let (shown, ids) = run(&mut state, "", 21 * MINUTE, &news);
    assert_eq!((shown.as_str(), &ids[0]), ("a Firing warning; b Firing warning", &ids[1]));
    // A ticket: an info. Known in one scope: over there.
    let marks = format!("{{pattern: '{}', mark: ticket, ticket: SHOP-1}}", ids[0]);
    assert_eq!(run(&mut state, &marks, 22 * MINUTE, &[]).0, "a Firing info; b Firing info");
    assert_eq!(state.instances.values().next().expect("fires").texts["ticket"], "SHOP-1");
    let marks = format!("{marks}, {{template: 'no route to ledger <num>', mark: known, scope: {{service: b}}}}");
    assert_eq!(run(&mut state, &marks, 23 * MINUTE, &[]).0, "a Firing info");
    // Ignored: not even counted, and new again when nobody says so any more.
    let ignored = format!("{{pattern: '{}', mark: ignore}}", ids[0]);
    assert_eq!(run(&mut state, &ignored, 25 * MINUTE, &[line(24 * MINUTE, "a", "no route to ledger 9")]).0, "");
    assert_eq!(
        run(&mut state, "", 27 * MINUTE, &[line(26 * MINUTE, "a", "no route to ledger 9")]).0,
        "a Firing warning; b Firing warning"
    );

    let wrong = load("{pattern: 12, mark: known}, {template: x, mark: ticket}, {mark: gone, template: x}");
    let wrong = wrong.expect_err("refused").join("\n");
    expect_test::expect![[r#"
        r.yaml:2:22: a pattern is 16 hexadecimal digits in quotes, as its alert and `logweir patterns` say
        r.yaml:2:40: 'mark: ticket' needs a 'ticket', and nothing else has one
        r.yaml:2:76: mark must be one of known, ignore, ticket, not 'gone'"#]]
    .assert_eq(&wrong);
}

#[test]
fn a_canary_is_judged_when_the_difference_is_no_chance() {
    let rule = made(
        "compare: {field: track, candidate: canary, baseline: stable, by: [service]}\nsignals: {t: {filter: '*', agg: count, window: 5m}, e: {filter: x, agg: count, window: 5m}, r: {expr: e / t}}\nlevels: {critical: {when: canary.r > stable.r, confidence: 95%}}",
    );
    let side = |canary: f64, stable: f64| {
        let row = |track: &str, value: f64| (labels(&[("service", "s"), ("track", track)]), value);
        Table::from_iter([row("canary", canary), row("stable", stable)])
    };
    for (canary, stable, fires) in [
        // trials and hits
        ((1000.0, 20.0), (10_000.0, 50.0), true),
        ((100.0, 1.0), (10_000.0, 50.0), false),
        ((1000.0, 5.0), (10_000.0, 50.0), false),
        ((0.0, 0.0), (10_000.0, 50.0), false),
        ((1000.0, 0.0), (1000.0, 0.0), false),
    ] {
        let mut state = RuleState::default();
        step(&rule, &mut state, 0, Input::Tables(&[side(canary.0, stable.0), side(canary.1, stable.1)]));
        assert_eq!(!state.instances.is_empty(), fires, "{canary:?} {stable:?}");
    }
}

/// The state of detectors and registries survives being written down: what follows is the same.
#[test]
fn a_restart_forgets_nothing() {
    let rule = made(
        "signals: {n: {filter: '*', agg: count, window: 5m, by: [host]}}\nanomaly: {signal: n, warmup: 0s}\nlevels: {info: {when: anomaly}}",
    );
    let mut live = RuleState::default();
    let mut restarted = RuleState::default();
    for i in 0..700 {
        let value = if i == 650 { 900.0 } else { 10.0 + f64::from(i % 7) };
        let at = i64::from(i) * 5 * MINUTE;
        let tables = table(&[("a", value)]);
        let one = step(&rule, &mut live, at, Input::Tables(&tables));
        let other = step(&rule, &mut restarted, at, Input::Tables(&tables));
        // The last bit of a number may be lost in JSON as serde_json is built here: what happens must be the same.
        let happened = |outcome: Outcome| -> Vec<_> {
            outcome.transitions.into_iter().map(|t| (t.labels, t.change, t.reason, t.severity, t.texts)).collect()
        };
        assert_eq!(happened(one), happened(other), "{i}");
        if i % 50 == 0 {
            for series in restarted.series.values_mut() {
                let text = serde_json::to_string(series).expect("JSON");
                *series = serde_json::from_str(&text).expect("the same");
            }
        }
    }
    assert!(live.instances.is_empty() && restarted.instances.is_empty());
}

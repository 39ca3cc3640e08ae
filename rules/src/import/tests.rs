//! What comes out of an import is a rule file that is right, and what did not is named.

use super::*;

fn check(imported: &Imported) {
    if imported.rules > 0 {
        let set = crate::file::load([("i.yaml", imported.text.as_str())])
            .unwrap_or_else(|problems| panic!("{}\n{problems:#?}", imported.text));
        assert_eq!(set.rules().count(), imported.rules);
    }
}

#[test]
fn rules_over_lines_map_and_rules_over_metrics_are_named() {
    let source = r#"
groups:
  - name: loki
    interval: 1m
    rules:
      - alert: ManyErrors
        expr: sum by (app, host) (count_over_time({env="prod", app=~"a|b"} |= "error" != "retry" | json [5m])) > 10
        for: 2m
        labels: {severity: page, team: web}
        annotations: {summary: "{{ $labels.app }}: {{ $value | humanize }} errors", runbook_url: "https://x.example.com/{{ $labels.app }}", dashboard: d}
      - alert: Fast
        expr: sum(rate({job="x"}[1m])) by (host) >= 0.5
      - alert: Cpu
        expr: avg(node_load1) > 4
      - record: r
        expr: up
"#;
    let imported = prometheus("p.yml", source).expect("YAML");
    check(&imported);
    expect_test::expect![[r##"
        # not mapped: p.yml:6: ManyErrors: the annotation 'dashboard'
        # not mapped: p.yml:13: Cpu: 'avg' is about a metric, or has no equivalent over lines: avg(node_load1) > 4
        # not mapped: p.yml:15: 'r' is a recording rule: signals are named within the rule that uses them
        version: 1
        groups:
          - name: "loki"
            every: 1m
            rules:
              - alert: "ManyErrors"
                signals: {v: {filter: "env=\"prod\" AND app=~\"^(?:a|b)$\" AND \"error\" AND NOT \"retry\"", agg: count, window: 5m, by: ["app", "host"]}}
                levels: {critical: {when: "v > 10", for: 2m}}
                labels: {"team": "web"}
                summary: "{{ labels.app }}: {{ value.v }} errors"
                runbook: "https://x.example.com/{{ labels.app }}"
              - alert: "Fast"
                signals: {v: {filter: "job=\"x\"", agg: rate, window: 1m, by: ["host"]}}
                levels: {warning: {when: "v >= 0.5"}}
                summary: "Fast"
    "##]].assert_eq(&imported.text);
}

/// The rule that is written most: which share of the lines are errors.
#[test]
fn a_ratio_of_two_aggregations_is_a_ratio_of_two_signals() {
    let (bad, all) = (r#"sum by (host) (rate({a="b"} |= "x" [5m]))"#, r#"sum(rate({a="b"}[5m])) by (host)"#);
    let made = |expr: &str| {
        let source = format!("groups: [{{name: g, rules: [{{alert: A, expr: {}}}]}}]", quoted(expr));
        let imported = prometheus("p.yml", &source).expect("YAML");
        check(&imported);
        let lines =
            imported.text.lines().filter(|line| ["signals", "levels", "mapped"].iter().any(|p| line.contains(p)));
        lines.map(str::trim).collect::<Vec<_>>().join("\n") + "\n"
    };
    let found: String = [
        format!("{bad} / {all} > 0.05"),
        format!("100 * ({bad} / {all}) >= 5"),
        format!("(({bad}) / ({all})) * 100 > 5"),
        format!("{bad} / {all}"),
        format!("{bad} / {all} > 0.05 and {all} > 1"),
        format!("{} > 1", "(".repeat(100_000)),
    ]
    .iter()
    .map(|expr| made(expr).chars().take(400).collect::<String>())
    .collect();
    expect_test::expect![[r#"
        signals: {a: {filter: "a=\"b\" AND \"x\"", agg: rate, window: 5m, by: ["host"]}, b: {filter: "a=\"b\"", agg: rate, window: 5m, by: ["host"]}, v: {expr: a / b}}
        levels: {warning: {when: "v > 0.05"}}
        signals: {a: {filter: "a=\"b\" AND \"x\"", agg: rate, window: 5m, by: ["host"]}, b: {filter: "a=\"b\"", agg: rate, window: 5m, by: ["host"]}, v: {expr: a / b}}
        levels: {warning: {when: "v >= 0.05"}}
        signals: {a: {filter: "a=\"b\" AND \"x\"", agg: rate, window: 5m, by: ["host"]}, b: {filter: "a=\"b\"", agg: rate, window: 5m, by: ["host"]}, v: {expr: a / b}}
        levels: {warning: {when: "v > 0.05"}}
        # not mapped: p.yml:1: A: it is not compared with a number: sum by (host) (rate({a="b"} |= "x" [5m])) / sum(rate({a="b"}[5m])) by (host)
        # not mapped: p.yml:1: A: 'and sum(rate({a="b"}[5m])) by (host) > 1' behind the comparison has no equivalent: sum by (host) (rate({a="b"} |= "x" [5m])) / sum(rate({a="b"}[5m])) by (host) > 0.05 and sum(rate({a="b"}[5m])) by (host) > 1
        # not mapped: p.yml:1: A: it has too many parentheses: ((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((("#]].assert_eq(&found);
}

/// What means something else here when it is copied as it stands.
#[test]
fn comparisons_of_logql_keep_their_meaning() {
    let filter = |stages: &str| {
        let expr = format!("sum(rate({stages} [5m])) > 1");
        let imported =
            prometheus("p.yml", &format!("groups: [{{name: g, rules: [{{alert: A, expr: {}}}]}}]", quoted(&expr)));
        let imported = imported.expect("YAML");
        check(&imported);
        let filter = imported.text.split_once("filter: ").and_then(|(_, rest)| rest.split_once(", agg"));
        let found = filter.map(|(filter, _)| serde_json::from_str::<String>(filter).expect("a text"));
        found.unwrap_or_else(|| imported.unmapped[0].clone()).replace(&expr, "…")
    };
    let all: String = [
        r#"{a="b"} | json | __error__="" | status >= 500"#,
        r#"{a="b"} | json | __error__!="""#,
        r#"{a="b", zone="", env!="", cluster=~".*"}"#,
        r#"{cluster=~".*"} |= "" |~ """#,
        r#"{a="b"} | logfmt | duration > 1.5s | size>=10MB | n > -2 | status == 500 | code="200""#,
        r#"{a="b"} | addr = ip("10.0.0.0/8")"#,
    ]
    .iter()
    .map(|stages| filter(stages) + "\n")
    .collect();
    expect_test::expect![[r#"
        a="b" AND status>=500
        p.yml:1: A: '__error__' has no equivalent: lines are parsed when they are stored: …
        a="b" AND NOT zone:* AND env:*
        *
        a="b" AND duration>1.5s AND size>=10MB AND n>-2 AND status=500 AND code=200
        p.yml:1: A: 'addr' is compared with neither a text nor a number: …
    "#]]
    .assert_eq(&all);
}

#[test]
fn what_a_rule_of_loki_has_beside_its_expression_is_named_when_it_is_left_out() {
    let source = r#"
groups:
  - name: g
    rules:
      - alert: A
        expr: rate({a="b"}[5m]) > 1
        labels: {team: "{{ $labels.team }}", tier: "1"}
        annotations: {runbook_url: "https://x.example.com/{{ range query }}"}
"#;
    let imported = prometheus("p.yml", source).expect("YAML");
    check(&imported);
    expect_test::expect![[r#"
        p.yml:5: A: without 'sum' Loki tells each stream by itself, here it is all lines together
        p.yml:5: A: the runbook uses 'range query'
        p.yml:5: A: the label 'team' is made of a template
    "#]]
    .assert_eq(&(imported.unmapped.join("\n") + "\n"));
}

#[test]
fn every_type_that_maps_is_right() {
    for (body, unmapped) in [
        ("type: any", 0),
        (
            "type: frequency\nnum_events: 5\ntimeframe: {minutes: 10}\nquery_key: [host, service]\nrealert: {hours: 1}",
            1,
        ),
        ("type: flatline\nthreshold: 1\nquery_key: host", 0),
        ("type: spike\nspike_height: 3\nspike_type: both\nthreshold_cur: 30\ntimeframe: {hours: 1}", 0),
        ("type: cardinality\ncardinality_field: user\nmax_cardinality: 5", 0),
        ("type: change\ncompare_key: country\nquery_key: user\nignore_null: true", 0),
        ("type: new_term\nfields: [country]\nquery_key: app", 0),
        ("type: blacklist\ncompare_key: user\nblacklist: [root, 'a \"b\"']", 0),
        ("type: whitelist\ncompare_key: user\nwhitelist: [root]\nalert: [slack]", 1),
        ("type: metric_aggregation\nmetric_agg_key: ms\nmetric_agg_type: avg\nmax_threshold: 3", 0),
        ("type: percentage_match", 1),
    ] {
        let filter = "filter:\n- term: {level.keyword: error}\n- range: {status: {gte: 500, lt: 600}}\n- query_string: {query: 'a OR b'}\n";
        let imported = elastalert("e.yaml", &format!("name: E\nindex: logs-*\n{filter}{body}\n")).expect("YAML");
        check(&imported);
        assert_eq!(imported.unmapped.len(), unmapped, "{body}: {:?}", imported.unmapped);
    }
    assert!(elastalert("e.yaml", "name: [").is_err());
}

#[test]
fn detections_and_correlations_of_sigma_map() {
    let source = r#"
title: Failed login
name: failed_login
id: 5f1d
status: test
logsource: {product: linux, service: sshd}
detection:
    selection:
        message|contains: ['Failed password', 'invalid user']
        user: root
    filter_own: {client_ip|cidr: 10.0.0.0/8}
    filter_test: {user|startswith: 'test user'}
    condition: selection and not 1 of filter_*
level: medium
---
title: Many failed logins
correlation:
    type: event_count
    rules: [failed_login]
    group-by: [client_ip]
    timespan: 10m
    condition: {gte: 10}
level: high
---
title: Shell in a query
detection:
    keywords: ['/bin/sh', '*cmd.exe*']
    selection: {path|re: '^/a.*\\.php$', status|gte: 400, referer: null}
    condition: keywords and selection
level: critical
custom: 1
---
title: Windows
detection:
    selection: {CommandLine|base64offset|contains: x}
    condition: selection
---
title: In turn
correlation: {type: temporal_ordered, rules: [a, b], timespan: 1m, condition: {gte: 1}}
"#;
    let imported = sigma("s.yml", source).expect("YAML");
    check(&imported);
    expect_test::expect![[r##"
        # not mapped: s.yml:6: Failed login: the log source 'product: linux': say in the filter which lines are meant
        # not mapped: s.yml:31: 'custom'
        # not mapped: s.yml:33: Windows: the modifier 'base64offset' has no equivalent
        # not mapped: s.yml:38: In turn: correlations of type 'temporal_ordered' have no equivalent
        version: 1
        groups:
          - name: "sigma"
            every: 30s
            rules:
              - alert: "Shell in a query"
                signals: {n: {filter: "((\"/bin/sh\" OR \"cmd.exe\") AND (path=~\"^/a.*\\\\\\\\.php$\" AND status>=400 AND NOT referer:*))", agg: count, window: 5m, by: [host]}}
                levels: {critical: {when: "n > 0"}}
                keep_firing_for: 10m
                summary: "Shell in a query: {{ labels['host'] }} {{ value.n }} lines"
              - alert: "Many failed logins"
                signals: {n: {filter: "service:\"sshd\" AND (((message:*Failed\\ password* OR message:*invalid\\ user*) AND user:\"root\") AND NOT ((client_ip:10.0.0.0/8) OR (user:test\\ user*)))", agg: count, window: 10m, by: ["client_ip"]}}
                levels: {critical: {when: "n >= 10"}}
                keep_firing_for: 10m
                summary: "Many failed logins: {{ labels['client_ip'] }} {{ value.n }} lines"
    "##]].assert_eq(&imported.text);
}

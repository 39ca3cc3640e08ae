//! Routing files, right and wrong, and where alerts go.

use expect_test::{Expect, expect};
use logweir_rules::model::Labels;

use super::*;

const GOOD: &str = r#"version: 1
route:
  receiver: ops
  group_by: [alertname, service]
  group_wait: 10s
  routes:
    - {name: page, matchers: ['severity="critical"'], receiver: pager, repeat_interval: 30m, continue: true}
    - matchers: ['team="db"']
      receiver: db
      routes:
        - {matchers: ['host=~"test-.*"'], receiver: ops, group_by: ['...']}
receivers:
  - name: ops
    slack: [{webhook_url_env: SLACK_URL}]
  - name: pager
    webhook: [{url: 'https://hooks.example.com/alerts', format: alertmanager_v4, sign: {standard_webhooks: {secret_env: HOOK_SECRET}}}]
  - name: db
    webhook: [{url_file: secrets/url, allow_private: [10.0.0.0/8], insecure_http: true, send_resolved: false}]
"#;

fn environment(name: &str) -> Option<String> {
    match name {
        "SLACK_URL" => Some("https://hooks.slack.com/services/T/B/x".to_owned()),
        "HOOK_SECRET" => Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
        _ => None,
    }
}

fn check(source: &str, expected: &Expect) {
    let text = match load("etc/alerting.yaml", source, &environment) {
        Ok(_) => "fine\n".to_owned(),
        Err(problems) => problems.iter().map(|p| format!("{p}\n")).collect(),
    };
    expected.assert_eq(&text);
}

#[test]
fn alerts_go_where_the_tree_says() {
    let routing = load("etc/alerting.yaml", GOOD, &environment).expect("it is right");
    let to = |pairs: &[(&str, &str)]| {
        let labels: Labels = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        routing.root.matching(&labels).iter().map(|route| route.receiver.clone()).collect::<Vec<_>>()
    };
    assert_eq!(to(&[("severity", "warning")]), ["ops"]);
    assert_eq!(to(&[("severity", "critical")]), ["pager"]);
    assert_eq!(to(&[("severity", "critical"), ("team", "db")]), ["pager", "db"]);
    assert_eq!(to(&[("team", "db"), ("host", "test-1")]), ["ops"]);
    let deep = &routing.root.routes[1].routes[0];
    assert_eq!((deep.group_by.as_ref(), deep.group_wait_ns), (None, 10_000_000_000));
    let Some(Channel::Webhook(db)) = routing.channel("db", "webhook[0]") else { panic!("a webhook") };
    assert!(matches!(&db.url, SecretSource::File(path) if path == Path::new("etc/secrets/url")));
    assert!(!format!("{routing:?}").contains("hooks.slack.com"), "secrets are not printed");
}

#[test]
fn mistakes_come_at_once() {
    let source = GOOD
        .replace("receiver: ops\n", "receiver: opps\n")
        .replace("'severity=\"critical\"'", "'severity'")
        .replace("webhook_url_env: SLACK_URL", "webhook_url: 'https://x'")
        .replace("secret_env: HOOK_SECRET", "secret: whsec_abc")
        .replace("10.0.0.0/8", "10.0.0.0/33")
        .replace("group_wait: 10s", "group_wait: 10s\n  group_intervall: 1m\n  mute_time_intervals: [x]");
    check(
        &source,
        &expect![[r#"
        etc/alerting.yaml:3:13: there is no receiver 'opps' (did you mean 'ops'?)
        etc/alerting.yaml:6:3: unknown key 'group_intervall' in a route (did you mean 'group_interval'?)
        etc/alerting.yaml:7:3: 'mute_time_intervals' is not supported by this version
        etc/alerting.yaml:9:31: 'severity' has no '=', '!=', '=~' or '!~'
        etc/alerting.yaml:16:13: the URL of a Slack webhook is a secret: use 'webhook_url_file' or 'webhook_url_env'
        etc/alerting.yaml:16:13: slack needs 'webhook_url_file' or 'webhook_url_env'
        etc/alerting.yaml:18:108: a secret must not stand in this file: use 'secret_file' or 'secret_env'
        etc/alerting.yaml:18:108: standard_webhooks needs 'secret_file' or 'secret_env'
        etc/alerting.yaml:20:55: '10.0.0.0/33' is not a network such as 10.0.0.0/8
    "#]],
    );
    check(
        "route: {receiver: a}\nreceivers:\n  - name: a\n    pagerduty: [{}]\n    webhook: [{url: 'ftp://x'}, {}, {url: 'http://hooks.example/'}]\ninhibit_rules: []\n",
        &expect![[r#"
            etc/alerting.yaml:4:5: 'pagerduty' is not supported by this version
            etc/alerting.yaml:5:21: url must be http or https
            etc/alerting.yaml:5:33: webhook needs one of 'url', 'url_file', 'url_env'
            etc/alerting.yaml:5:43: http without TLS needs 'insecure_http: true'
            etc/alerting.yaml:6:1: 'inhibit_rules' is not supported by this version
        "#]],
    );
}

#[test]
fn the_environment_stands_in_any_value() {
    let source = "route: {receiver: '${TEAM}', group_wait: '${WAIT}'}\nreceivers:\n  - {name: '${TEAM}', webhook: [{url: 'https://${NAME}/x$$'}]}\n";
    let env = |name: &str| match name {
        "TEAM" => Some("ops".to_owned()),
        "NAME" => Some("hooks.example.com".to_owned()),
        "WAIT" => Some("5s".to_owned()),
        _ => None,
    };
    let routing = load("alerting.yaml", source, &env).expect("it is right");
    assert_eq!(routing.root.receiver, "ops");
    assert_eq!(routing.root.group_wait_ns, 5_000_000_000);
    let Some(Channel::Webhook(hook)) = routing.channel("ops", "webhook[0]") else { panic!("a webhook") };
    assert_eq!(hook.url.read().expect("known").expose(), "https://hooks.example.com/x$");
    check(
        "route: {receiver: '${NOPE}'}\nreceivers:\n  - {name: ops, webhook: [{url: 'https://a.example'}]}\n",
        &expect![[r#"
            etc/alerting.yaml:1:19: the environment variable NOPE is not set
        "#]],
    );
}

//! Routing files, right and wrong, and where alerts go.

use expect_test::{Expect, expect};
use logweir_rules::model::Labels;

use super::*;
use crate::route::channel::Kind;

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
    let Some(Channel { kind: Kind::Webhook(db), .. }) = routing.channel("db", "webhook[0]") else {
        panic!("a webhook")
    };
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
            etc/alerting.yaml:7:25: there is no time interval 'x'
            etc/alerting.yaml:9:31: 'severity' has no '=', '!=', '=~' or '!~'
            etc/alerting.yaml:16:27: a secret must not stand in this file: use 'webhook_url_file' or 'webhook_url_env'
            etc/alerting.yaml:18:117: a secret must not stand in this file: use 'secret_file' or 'secret_env'
            etc/alerting.yaml:20:55: '10.0.0.0/33' is not a network such as 10.0.0.0/8
        "#]],
    );
    check(
        "route: {receiver: a}\nreceivers:\n  - name: a\n    pagerduty: [{}]\n    webhook: [{url: 'ftp://x'}, {}, {url: 'http://hooks.example/'}]\ninhibit_rules: []\n",
        &expect![[r#"
            etc/alerting.yaml:4:17: pagerduty needs 'routing_key_file' or 'routing_key_env'
            etc/alerting.yaml:5:21: url must be http or https
            etc/alerting.yaml:5:33: webhook needs one of 'url', 'url_file', 'url_env'
            etc/alerting.yaml:5:43: http without TLS needs 'insecure_http: true'
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
    let Some(Channel { kind: Kind::Webhook(hook), .. }) = routing.channel("ops", "webhook[0]") else {
        panic!("a webhook")
    };
    assert_eq!(hook.url.read().expect("known").expose(), "https://hooks.example.com/x$");
    check(
        "route: {receiver: '${NOPE}'}\nreceivers:\n  - {name: ops, webhook: [{url: 'https://a.example'}]}\n",
        &expect![[r#"
            etc/alerting.yaml:1:19: the environment variable NOPE is not set
        "#]],
    );
}

#[test]
fn the_worked_example_and_the_shipped_file_load_and_their_tests_pass() {
    let env = |name: &str| match name {
        "SLACK_BOT_TOKEN" => Some("xoxb-1".to_owned()),
        "HOOK_SECRET" => Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
        _ => None,
    };
    for (path, tests) in [
        (concat!(env!("CARGO_MANIFEST_DIR"), "/examples/routing-example.yaml"), 3),
        (concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/alerting.yaml"), 5),
    ] {
        let source = std::fs::read_to_string(path).expect(path);
        let routing = load(path, &source, &env)
            .unwrap_or_else(|problems| panic!("{}", problems.iter().map(|p| format!("{p}\n")).collect::<String>()));
        assert_eq!(routing.tests.len(), tests, "{path}");
    }
}

#[test]
fn a_test_that_fails_is_a_mistake() {
    check(
        &GOOD.replace("receivers:\n", "tests:\n  - {alert: {severity: critical}, receivers: [db]}\n  - {alert: {severity: critical}, inhibited: [{severity: critical}]}\nreceivers:\n"),
        &expect![[r#"
            etc/alerting.yaml:13:5: this test fails: it goes to [pager], not to [db]
            etc/alerting.yaml:14:5: this test fails: nothing with {"severity": "critical"} is inhibited
        "#]],
    );
}

#[test]
fn every_kind_of_channel_says_what_it_lacks() {
    let kinds = ["slack", "email", "pagerduty", "alertmanager", "teams", "discord", "telegram", "sms"];
    let receivers: String = kinds.iter().map(|kind| format!("  - {{name: {kind}, {kind}: [{{}}]}}\n")).collect();
    check(
        &format!("route: {{receiver: slack}}\nreceivers:\n{receivers}"),
        &expect![[r#"
        etc/alerting.yaml:3:27: slack needs 'webhook_url_file' or 'webhook_url_env', or a 'token_file' or 'token_env' with a 'channel'
        etc/alerting.yaml:4:27: email needs 'to'
        etc/alerting.yaml:4:27: email needs 'smarthost' and 'from', here or in 'global: {email: …}'
        etc/alerting.yaml:5:35: pagerduty needs 'routing_key_file' or 'routing_key_env'
        etc/alerting.yaml:6:41: alertmanager needs one of 'url', 'url_file', 'url_env'
        etc/alerting.yaml:7:27: teams needs 'webhook_url_file' or 'webhook_url_env'
        etc/alerting.yaml:8:31: discord needs 'webhook_url_file' or 'webhook_url_env'
        etc/alerting.yaml:9:33: telegram needs 'token_file' or 'token_env'
        etc/alerting.yaml:9:33: telegram needs 'chat'
        etc/alerting.yaml:10:23: sms needs 'auth_token_file' or 'auth_token_env'
        etc/alerting.yaml:10:23: sms needs 'account_sid'
        etc/alerting.yaml:10:23: sms needs 'from'
        etc/alerting.yaml:10:23: sms needs 'to', numbers such as +4930123456
    "#]],
    );
    check(
        "route: {receiver: a, mute_time_intervals: [nights], escalate: [{receiver: b}]}\nreceivers:\n  - {name: a, fallback: {receiver: a}, webhook: [{url: 'https://a.example', rate: fast, digest: noon, headers: {Authorization: x}, payload: {a: '{{ '}}]}\ntime_intervals:\n  - {name: night, time_intervals: [{cron: '0 9 * *', for: 1h}, {weekdays: [mondai]}, {calendar: none.ics}, {location: Mars}]}\nstorm: {threshold: many}\n",
        &expect![[r#"
            etc/alerting.yaml:1:44: there is no time interval 'nights' (did you mean 'night'?)
            etc/alerting.yaml:1:64: an escalation needs 'after'
            etc/alerting.yaml:1:75: there is no receiver 'b' (did you mean 'a'?)
            etc/alerting.yaml:3:25: 'a' is its own fallback
            etc/alerting.yaml:3:83: rate must be as in '1/s' or '100/min'
            etc/alerting.yaml:3:97: digest must be as in '09:00 Europe/Berlin' or '{cron: …, location: …}'
            etc/alerting.yaml:3:128: a secret must not stand in this file: use 'bearer_token_file' or 'url_file'
            etc/alerting.yaml:3:141: the template cannot be read: syntax error: unexpected end of input, expected expression
            etc/alerting.yaml:5:43: '0 9 * *' has 4 fields, a cron expression has 5 or 6
            etc/alerting.yaml:5:76: 'mondai' is not a range of weekdays
            etc/alerting.yaml:5:97: etc/none.ics: No such file or directory (os error 2)
            etc/alerting.yaml:5:119: there is no time zone 'Mars'; they are named as in 'Europe/Berlin'
            etc/alerting.yaml:6:20: threshold must be as in '50 episodes per 1m', for at most an hour
        "#]],
    );
}

#[test]
fn a_secret_in_the_file_is_told_so_and_one_that_cannot_be_read_is_doubted() {
    check(
        "route: {receiver: a}\nreceivers:\n  - {name: a, pagerduty: [{routing_key: abc}], slack: [{token: xoxb, channel: C1}], teams: [{webhook_url: 'https://x.example'}], fallback: {receiver: b}}\n  - {name: c, discord: [{webhook_url_file: ''}], email: [{to: x, from: 'a@b.de', smarthost: h}]}\n",
        &expect![[r#"
            etc/alerting.yaml:3:41: a secret must not stand in this file: use 'routing_key_file' or 'routing_key_env'
            etc/alerting.yaml:3:64: a secret must not stand in this file: use 'token_file' or 'token_env'
            etc/alerting.yaml:3:107: a secret must not stand in this file: use 'webhook_url_file' or 'webhook_url_env'
            etc/alerting.yaml:3:140: the fallback of 'a' is no receiver: 'b'
            etc/alerting.yaml:4:44: webhook_url_file must name a file
            etc/alerting.yaml:4:63: 'x' is not a mail address
        "#]],
    );
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("empty"), "\n").expect("writes");
    std::fs::write(dir.path().join("key"), "k\n").expect("writes");
    let text = "route: {receiver: a}\nreceivers:\n  - name: a\n    pagerduty: [{routing_key_file: key}]\n    teams: [{webhook_url_file: empty}]\n    discord: [{webhook_url_file: none}]\n";
    let file = dir.path().join("alerting.yaml").display().to_string();
    let routing = load(&file, text, &|_| None).unwrap_or_else(|problems| panic!("{problems:?}"));
    let doubts = crate::route::outlook::doubts(&routing).join("\n").replace(&dir.path().display().to_string(), "ETC");
    expect![[r#"
        line 5: the secret in ETC/empty cannot be read, so nothing can be sent with it: it is empty
        line 6: the secret in ETC/none cannot be read, so nothing can be sent with it: No such file or directory (os error 2)"#]].assert_eq(&doubts);
}

/// Several matchers in one text, escapes in quotes, and what is beside a token.
#[test]
fn what_alertmanager_reads_in_a_matcher_is_read_alike_and_nothing_is_left_out_in_silence() {
    let source = r#"
route:
  receiver: team
  routes:
    - {receiver: db, matchers: ['{team="db", host=~"a\\.b\\d+",}', 'say="\"hi\""', env=prod]}
    - {receiver: db, matchers: 'x="1",y!="2"', "odd\rkey": 1}
receivers:
  - name: team
    webhook_configs:
      - {url: 'https://a.example', http_config: {authorization: {credentials_file: /run/token}, tls_config: {ca_file: /ca}}}
      - {url: 'https://b.example', http_config: {authorization: {type: Basic, credentials_file: /run/basic}}}
  - name: db
inhibit_rules:
  - {name: x, source_matchers: [a=b], target_matchers: [c=d]}
"#;
    let made = logweir_rules::import::alertmanager("am.yml", source).expect("YAML");
    expect![[r##"
        # not mapped: am.yml:6: 'odd key' has no equivalent: a route has no such key
        # not mapped: am.yml:10: 'tls_config' has no equivalent: of how requests are made only a webhook's 'credentials_file' is known here
        # not mapped: am.yml:11: 'authorization' has no equivalent: of how requests are made only a webhook's 'credentials_file' is known here
        # not mapped: am.yml:14: 'name' has no equivalent: an inhibition has no such key
        version: 1
        route:
          receiver: "team"
          routes:
            - receiver: "db"
              matchers: ["team=\"db\"", "host=~\"a\\.b\\d+\"", "say=\"\"hi\"\"", "env=prod"]
            - receiver: "db"
              matchers: ["x=\"1\"", "y!=\"2\""]
        receivers:
          - name: "team"
            webhook: [{url: "https://a.example", bearer_token_file: "/run/token", send_resolved: true}, {url: "https://b.example", send_resolved: true}]
          - name: "db"
        inhibit_rules:
          - {source_matchers: ["a=b"], target_matchers: ["c=d"], equal: []}
    "##]]
    .assert_eq(&made.text);
    let routing = load("alerting.yaml", &made.text, &|_| None).unwrap_or_else(|problems| panic!("{problems:?}"));
    let goes = |host: &str| {
        let labels = [("team", "db"), ("host", host), ("say", "\"hi\""), ("env", "prod")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        routing.root.matching(&labels).first().map(|route| route.receiver.clone())
    };
    assert_eq!((goes("a.b7").as_deref(), goes("axb7").as_deref()), (Some("db"), Some("team")));
}

/// The other way round: Alertmanager's own file becomes one that is right here.
#[test]
fn a_file_of_alertmanager_is_imported() {
    let source = r#"
global:
  smtp_smarthost: 'smtp.example.com:587'
  smtp_from: 'a@example.com'
  smtp_auth_username: 'a@example.com'
  smtp_auth_password: hunter2
  slack_api_url_file: /run/secrets/slack
  resolve_timeout: 5m
templates: ['/etc/alertmanager/*.tmpl']
route:
  receiver: team
  group_by: ['alertname', 'cluster']
  group_wait: 10s
  routes:
    - matchers: [severity="critical", team=db]
      receiver: pager
      continue: true
      routes: [{match: {host: a}, receiver: team}]
    - {match_re: {service: 'a|b'}, receiver: team, mute_time_intervals: [office], labels: {x: y}}
receivers:
  - name: team
    slack_configs: [{channel: '#alerts', send_resolved: true, title: '{{ .CommonLabels.alertname }}'}]
    email_configs: [{to: 'x@example.com, y@example.com'}]
  - name: pager
    pagerduty_configs: [{routing_key: 0123456789abcdef0123456789abcdef}]
    webhook_configs: [{url: 'https://hooks.example.com/x', max_alerts: 5, http_config: {authorization: {credentials_file: /run/token}}}]
    telegram_configs: [{bot_token_file: /run/tg, chat_id: -100}]
    opsgenie_configs: [{api_key: x}]
inhibit_rules:
  - {source_matchers: [severity="critical"], target_matchers: [severity="warning"], equal: [alertname]}
  - {source_match: {a: b}, target_match_re: {c: 'd.*'}, equal: [x]}
time_intervals:
  - name: office
    time_intervals: [{weekdays: ['monday:friday'], times: [{start_time: '09:00', end_time: '17:00'}], location: Europe/Berlin}]
"#;
    let made = logweir_rules::import::alertmanager("am.yml", source).expect("YAML");
    assert!(!made.text.contains("hunter2") && !made.text.contains("0123456789abcdef"), "{}", made.text);
    expect![[r##"
        # not mapped: am.yml:3: a secret stands in the file: put it into secrets/smtp-3 beside the new one
        # not mapped: am.yml:8: 'resolve_timeout' has no equivalent: it stands with each channel, or is as it is
        # not mapped: am.yml:19: 'labels' has no equivalent: a route has no such key
        # not mapped: am.yml:22: 'channel' has no equivalent: what messages say is made here, and a webhook of Slack knows its channel
        # not mapped: am.yml:22: 'title' has no equivalent: what messages say is made here, and a webhook of Slack knows its channel
        # not mapped: am.yml:25: a secret stands in the file: put it into secrets/pager-pagerduty-25 beside the new one
        # not mapped: am.yml:26: 'max_alerts' has no equivalent: what messages say is made here
        # not mapped: am.yml:28: 'opsgenie_configs' has no equivalent: a webhook may take its place
        # not mapped: am.yml:9: 'templates' has no equivalent: what messages say is made here
        version: 1
        global: {email: {smarthost: "smtp.example.com:587", from: "a@example.com", username: "a@example.com", password_file: "secrets/smtp-3"}}
        route:
          receiver: "team"
          group_by: ["alertname", "cluster"]
          group_wait: "10s"
          routes:
            - receiver: "pager"
              continue: true
              matchers: ["severity=\"critical\"", "team=db"]
              routes:
                - receiver: "team"
                  matchers: ["host=\"a\""]
            - receiver: "team"
              mute_time_intervals: ["office"]
              matchers: ["service=~\"a|b\""]
        receivers:
          - name: "team"
            slack: [{webhook_url_file: "/run/secrets/slack", send_resolved: true}]
            email: [{to: ["x@example.com", "y@example.com"], send_resolved: false}]
          - name: "pager"
            pagerduty: [{routing_key_file: "secrets/pager-pagerduty-25", send_resolved: true}]
            webhook: [{url: "https://hooks.example.com/x", bearer_token_file: "/run/token", send_resolved: true}]
            telegram: [{chat: -100, token_file: "/run/tg", send_resolved: true}]
        inhibit_rules:
          - {source_matchers: ["severity=\"critical\""], target_matchers: ["severity=\"warning\""], equal: ["alertname"]}
          - {source_matchers: ["a=\"b\""], target_matchers: ["c=~\"d.*\""], equal: ["x"]}
        time_intervals: [{"name": "office", "time_intervals": [{"weekdays": ["monday:friday"], "times": [{"start_time": "09:00", "end_time": "17:00"}], "location": "Europe/Berlin"}]}]
    "##]].assert_eq(&made.text);
    let routing = load("alerting.yaml", &made.text, &|_| None).unwrap_or_else(|problems| panic!("{problems:?}"));
    let goes = |labels: &[(&str, &str)]| {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        routing.root.matching(&labels).iter().map(|route| route.receiver.clone()).collect::<Vec<_>>()
    };
    assert_eq!(goes(&[("severity", "critical"), ("team", "db")]), ["pager"]);
    assert_eq!(goes(&[("severity", "critical"), ("team", "db"), ("host", "a"), ("service", "a")]), ["team", "team"]);
    assert_eq!(goes(&[("service", "b")]), ["team"]);
    for odd in [
        "",
        "route: 7",
        "receivers: [7, {name: [x]}]",
        "route: {routes: {a: b}}",
        "global: []\ninhibit_rules: {equal: 1}",
    ] {
        let made = logweir_rules::import::alertmanager("am.yml", odd);
        assert!(made.is_err() || load("alerting.yaml", &made.expect("was made").text, &|_| None).is_err(), "{odd}");
    }
}

//! Payloads: one by eye, many with hostile text within Slack's limits, and a real exchange with a busy Slack.

use logweir_rules::model::Labels;
use logweir_runtime::secrets::Secret;
use proptest::prelude::*;

use super::*;
use crate::fixture::{S, StandIn, T0, check_slack, episode};
use crate::route::file::{NetRules, SecretSource};
use crate::state::Sample;

fn message(alerts: Vec<Episode>) -> Message {
    Message {
        id: "msg_1".into(),
        receiver: "ops".into(),
        group_key: "abc".into(),
        group_labels: Labels::new(),
        alerts,
        external_url: "http://logs.example".into(),
        late_ns: Some(600 * S),
    }
}

#[test]
fn a_message_says_what_how_bad_since_when_and_shows_lines() {
    let mut alert = episode("e1");
    alert.samples.push(Sample { id: "2".into(), time: String::new(), line: "<!channel> a & b ``` @here".into() });
    let payload = payload(&message(vec![alert]));
    check_slack(&payload);
    expect_test::expect![[r##"
        {
          "text": "⚠️ warning: Errors: 7 errors on a",
          "attachments": [
            {
              "color": "#ecb22e",
              "blocks": [
                {
                  "type": "header",
                  "text": {
                    "type": "plain_text",
                    "text": "⚠️ warning: Errors",
                    "emoji": true
                  }
                },
                {
                  "type": "section",
                  "text": {
                    "type": "mrkdwn",
                    "text": "*7 errors on a*",
                    "verbatim": true
                  }
                },
                {
                  "type": "context",
                  "elements": [
                    {
                      "type": "mrkdwn",
                      "text": "warning · errors = 7, ratio = 0.25 · errors &gt;= 3 has held for 20s · since 2026-09-21T14:13:20Z · rules/r.yaml:8 · action: restart a",
                      "verbatim": true
                    }
                  ]
                },
                {
                  "type": "section",
                  "text": {
                    "type": "mrkdwn",
                    "text": "```boom\n&lt;!channel&gt; a &amp; b ''' @<U+2060>here```",
                    "verbatim": true
                  }
                },
                {
                  "type": "context",
                  "elements": [
                    {
                      "type": "mrkdwn",
                      "text": "sent 10m after it was due",
                      "verbatim": true
                    }
                  ]
                },
                {
                  "type": "actions",
                  "elements": [
                    {
                      "type": "button",
                      "text": {
                        "type": "plain_text",
                        "text": "Show the lines"
                      },
                      "url": "http://logs.example/?q=x"
                    }
                  ]
                }
              ]
            }
          ]
        }"##]]
        .assert_eq(&serde_json::to_string_pretty(&payload).expect("JSON").replace('\u{2060}', "<U+2060>"));
}

#[test]
fn a_resolve_says_how_long_and_how_bad_it_was() {
    let mut alert = episode("e1");
    (alert.closed_at, alert.close_reason) = (Some(T0 + 600 * S), Some("recovered for 1m".into()));
    let payload = payload(&message(vec![alert])).to_string();
    assert!(payload.contains("resolved: Errors") && payload.contains("lasted 10m, worst critical"), "{payload}");
    assert!(!payload.contains("boom"), "sample lines are for what fires");
}

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("<!channel>".to_owned()),
        Just("@here ".to_owned()),
        Just("@Everyone".to_owned()),
        Just("```".to_owned()),
        Just("&<>".to_owned()),
        Just("\u{202e}\u{0}\r\n".to_owned()),
        Just("&".repeat(700)),
        Just("x".repeat(5000)),
        "\\PC{0,30}",
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_text_breaks_slacks_limits(
        texts in proptest::collection::vec(hostile(), 8),
        count in 1usize..60,
        samples in 0usize..12,
        resolved in 0usize..60,
    ) {
        let mut alerts = Vec::new();
        for i in 0..count {
            let mut alert = episode(&format!("e{i}"));
            alert.rule = texts[0].clone();
            alert.summary = texts[1].clone();
            alert.reason = texts[2].clone();
            alert.annotations.insert(texts[3].clone(), texts[4].clone());
            alert.link = format!("http://logs.example/{}", texts[5]);
            alert.rule_at = texts[7].clone();
            alert.samples = (0..samples)
                .map(|n| Sample { id: n.to_string(), time: String::new(), line: texts[6].clone() })
                .collect();
            if i < resolved {
                alert.closed_at = Some(T0);
            }
            alerts.push(alert);
        }
        check_slack(&payload(&message(alerts)));
    }
}

#[tokio::test]
async fn a_busy_slack_is_waited_for() {
    let mut slack = StandIn::start(|number, received, _| {
        check_slack(&received.body);
        if number == 1 { (429, vec![("retry-after", "3".to_owned())], "rate_limited") } else { (200, vec![], "ok") }
    })
    .await;
    let net = NetRules { allow_private: vec!["127.0.0.1".parse().expect("an address")], insecure_http: true };
    let url = SecretSource::Known(Secret::new(format!("http://{}/services/T/B/x", slack.address)));
    let channel = SlackChannel { url, net: net.clone(), send_resolved: true };
    let poster = Poster::new(net);
    let message = message(vec![episode("e1")]);
    let outcome = send(&channel, &poster, &message).await;
    assert_eq!(outcome, Outcome::Status { code: 429, retry_after_ns: Some(3 * S), body: "rate_limited".into() });
    let outcome = send(&channel, &poster, &message).await;
    assert_eq!(outcome, Outcome::Status { code: 200, retry_after_ns: None, body: "ok".into() });
    let first = slack.received.recv().await.expect("it came");
    assert_eq!(first.body, slack.received.recv().await.expect("it came again").body);
}

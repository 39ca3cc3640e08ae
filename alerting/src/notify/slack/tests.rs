//! Payloads: one by eye, many with hostile text within Slack's limits, and a real exchange with a busy Slack.

use proptest::prelude::*;

use super::*;
use crate::fixture::{S, StandIn, T0, check_slack, episode, hostile_message, message, poster, secret};
use crate::notify::policy::Outcome;
use crate::state::Sample;

#[test]
fn a_message_says_what_how_bad_since_when_and_shows_lines() {
    let mut alert = episode("e1");
    alert.samples.push(Sample { id: "2".into(), time: String::new(), line: "<!channel> a & b ``` @here".into() });
    let payload = payload(&message(vec![alert]), Buttons::Links);
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
                      "text": "severity: warning · value: errors = 7, ratio = 0.25 · because: errors &gt;= 3 has held for 20s · since: 2026-09-21T14:13:20Z · rule: rules/r.yaml:8 · action: restart a",
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
    let payload = payload(&message(vec![alert]), Buttons::Links).to_string();
    assert!(payload.contains("resolved: Errors") && payload.contains("lasted: 10m, worst critical"), "{payload}");
    assert!(!payload.contains("boom"), "sample lines are for what fires");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_text_breaks_slacks_limits(message in hostile_message()) {
        for buttons in [Buttons::Links, Buttons::Calls, Buttons::None] {
            check_slack(&payload(&message, buttons));
        }
    }
}

#[tokio::test]
async fn a_busy_slack_is_waited_for() {
    let mut slack = StandIn::start(|number, received, _| {
        check_slack(&received.body);
        if number == 1 {
            (429, vec![("retry-after", "3".to_owned())], "rate_limited".into())
        } else {
            (200, vec![], "ok".into())
        }
    })
    .await;
    let url = secret(format!("http://{}/services/T/B/x", slack.address));
    let channel = Slack { access: SlackAccess::Webhook(url), buttons: true };
    let poster = poster();
    let message = message(vec![episode("e1")]);
    let outcome = send(&channel, &poster, &message).await.outcome;
    assert_eq!(outcome, Outcome::Status { code: 429, retry_after_ns: Some(3 * S), body: "rate_limited".into() });
    let outcome = send(&channel, &poster, &message).await.outcome;
    assert_eq!(outcome, Outcome::Status { code: 200, retry_after_ns: None, body: "ok".into() });
    let first = slack.received.recv().await.expect("it came");
    assert_eq!(first.body, slack.received.recv().await.expect("it came again").body);
}

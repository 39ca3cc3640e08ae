//! The signature against published numbers, the body against Alertmanager's shape, a real request.

use logweir_runtime::secrets::Secret;

use super::*;
use proptest::prelude::*;

use crate::fixture::{Received, Reply, S, StandIn, T0, episode, hostile_message, secret};
use crate::route::channel::NetRules;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn message() -> Message {
    let mut closed = episode("e2");
    (closed.closed_at, closed.close_reason) = (Some(T0 + 60 * S), Some("recovered".into()));
    closed.labels.insert("host".into(), "b".into());
    let message = crate::fixture::message(vec![episode("e1"), closed]);
    let group_labels = Labels::from([("alertname".into(), "Errors".into())]);
    Message { receiver: "bus".into(), group_labels, late_ns: None, ..message }
}

#[test]
fn signatures_are_those_of_the_specification() {
    // Computed with Python's hmac; the first is the example of the Standard Webhooks libraries.
    for (secret, id, timestamp, body, expected) in [
        (
            SECRET,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            r#"{"email":"test@example.com","username":"test_user"}"#,
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
    ] {
        let key = signing_key(&Secret::new(secret)).expect("a good secret");
        assert_eq!(signature(&key, id, timestamp, body.as_bytes()), expected);
    }
    for bad in ["abc", "whsec_***", "whsec_c2hvcnQ="] {
        assert!(signing_key(&Secret::new(bad)).is_err(), "{bad}");
    }
}

#[test]
fn the_body_is_that_of_alertmanager_with_evidence() {
    expect_test::expect![[r#"
        {
          "version": "4",
          "groupKey": "bus:abc",
          "truncatedAlerts": 0,
          "status": "firing",
          "receiver": "bus",
          "groupLabels": {
            "alertname": "Errors"
          },
          "commonLabels": {
            "alertname": "Errors",
            "severity": "warning"
          },
          "commonAnnotations": {
            "action": "restart a",
            "link": "http://logs.example/?q=x",
            "rule": "rules/r.yaml:8",
            "samples": "boom",
            "since": "2026-09-21T14:13:20Z",
            "summary": "7 errors on a",
            "value": "errors = 7, ratio = 0.25"
          },
          "externalURL": "http://logs.example",
          "alerts": [
            {
              "status": "firing",
              "labels": {
                "alertname": "Errors",
                "host": "a",
                "severity": "warning"
              },
              "annotations": {
                "action": "restart a",
                "link": "http://logs.example/?q=x",
                "reason": "errors >= 3 has held for 20s",
                "rule": "rules/r.yaml:8",
                "samples": "boom",
                "since": "2026-09-21T14:13:20Z",
                "summary": "7 errors on a",
                "value": "errors = 7, ratio = 0.25"
              },
              "startsAt": "2026-09-21T14:13:20Z",
              "endsAt": "0001-01-01T00:00:00Z",
              "generatorURL": "http://logs.example/?q=x",
              "fingerprint": "953338ec99a08a5b",
              "episode": "e1",
              "values": {
                "errors": 7.0,
                "ratio": 0.25
              },
              "samples": [
                {
                  "id": "01",
                  "time": "2026-09-21T00:00:00Z",
                  "line": "boom"
                }
              ]
            },
            {
              "status": "resolved",
              "labels": {
                "alertname": "Errors",
                "host": "b",
                "severity": "warning"
              },
              "annotations": {
                "action": "restart a",
                "link": "http://logs.example/?q=x",
                "reason": "recovered",
                "rule": "rules/r.yaml:8",
                "samples": "boom",
                "since": "2026-09-21T14:13:20Z",
                "summary": "7 errors on a",
                "value": "errors = 7, ratio = 0.25"
              },
              "startsAt": "2026-09-21T14:13:20Z",
              "endsAt": "2026-09-21T14:14:20Z",
              "generatorURL": "http://logs.example/?q=x",
              "fingerprint": "6603f545e10efe5c",
              "episode": "e2",
              "values": {
                "errors": 7.0,
                "ratio": 0.25
              },
              "samples": [
                {
                  "id": "01",
                  "time": "2026-09-21T00:00:00Z",
                  "line": "boom"
                }
              ]
            }
          ]
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&body(&message())).expect("JSON"));
}

fn channel(address: std::net::SocketAddr) -> Webhook {
    Webhook {
        url: secret(format!("http://{address}/hook?token=hush")),
        secrets: vec![secret(SECRET)],
        bearer: None,
        headers: vec![],
        payload: None,
    }
}

fn loopback() -> NetRules {
    NetRules { allow_private: vec!["127.0.0.0/8".parse().expect("a network")], insecure_http: true }
}

/// Verifies a request as a consumer of Standard Webhooks does.
fn verify(_number: usize, received: &Received, raw: &[u8]) -> Reply {
    let header = |name: &str| received.headers[name].to_str().expect("ascii").to_owned();
    assert_eq!(header("content-type"), "application/json");
    let timestamp: i64 = header("webhook-timestamp").parse().expect("seconds");
    let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
    let good = signature(&key, &header("webhook-id"), timestamp, raw);
    let status = if header("webhook-signature").split(' ').any(|one| one == good) { 204 } else { 401 };
    (status, vec![], String::new())
}

#[tokio::test]
async fn a_signed_request_arrives_and_verifies() {
    let mut receiver = StandIn::start(verify).await;
    let channel = channel(receiver.address);
    let outcome = send(&channel, &Poster::new(loopback()), &message(), T0).await;
    assert_eq!(outcome, Outcome::Status { code: 204, retry_after_ns: None, body: String::new() });
    let received = receiver.received.recv().await.expect("it came");
    assert_eq!(received.headers["webhook-id"], "msg_1");
    assert_eq!(received.headers["webhook-timestamp"], (T0 / S).to_string().as_str());
    assert_eq!(received.body["version"], "4");
}

#[tokio::test]
async fn loopback_is_refused_unless_it_is_meant() {
    let receiver = StandIn::start(verify).await;
    let closed = NetRules { allow_private: vec![], insecure_http: true };
    let mut by_name = channel(receiver.address);
    let direct = channel(receiver.address);
    by_name.url = secret(format!("http://localhost:{}/", receiver.address.port()));
    for channel in [direct, by_name] {
        let outcome = send(&channel, &Poster::new(closed.clone()), &message(), T0).await;
        let Outcome::Refused(reason) = outcome else { panic!("refused, not {outcome:?}") };
        assert!(reason.contains("loopback"), "{reason}");
    }
    let plain = NetRules { insecure_http: false, ..loopback() };
    let outcome = send(&channel(receiver.address), &Poster::new(plain.clone()), &message(), T0).await;
    assert!(matches!(outcome, Outcome::Status { code: 204, .. }), "on this machine TLS is not needed: {outcome:?}");
    let mut away = channel(receiver.address);
    away.url = secret("http://192.0.2.1/");
    let outcome = send(&away, &Poster::new(plain), &message(), T0).await;
    let Outcome::Refused(reason) = outcome else { panic!("refused, not {outcome:?}") };
    assert!(reason.contains("insecure_http"), "{reason}");
}

#[tokio::test]
async fn answers_are_read_within_bounds_and_redirects_are_not_followed() {
    let receiver = StandIn::start(|number, _, _| match number {
        1 => (302, vec![("location", "http://127.0.0.1:1/".to_owned())], String::new()),
        2 => (429, vec![("retry-after", "7".to_owned())], "slow \u{1b}[31mdown".to_owned()),
        _ => (500, vec![], "x".repeat(1 << 20)),
    })
    .await;
    let channel = channel(receiver.address);
    let poster = Poster::new(loopback());
    assert!(matches!(send(&channel, &poster, &message(), T0).await, Outcome::Status { code: 302, .. }));
    let outcome = send(&channel, &poster, &message(), T0).await;
    let body = "slow ␛[31mdown".to_owned();
    assert_eq!(outcome, Outcome::Status { code: 429, retry_after_ns: Some(7 * S), body });
    let Outcome::Status { code: 500, body, .. } = send(&channel, &poster, &message(), T0).await else {
        panic!("an answer");
    };
    assert_eq!(body.len(), 200);
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_no_connection_and_no_secret_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let channel = channel(address);
    let outcome = send(&channel, &Poster::new(loopback()), &message(), T0).await;
    let Outcome::NoConnection(reason) = outcome else { panic!("no connection, not {outcome:?}") };
    assert!(!reason.contains("hush"), "{reason}");
}

fn own() -> Payload {
    let text = |text: &str| Payload::Text(text.to_owned());
    Payload::Map(vec![
        ("title".to_owned(), text("{{ title }}")),
        ("first".to_owned(), text("{{ message.alerts[0].annotations.summary | upper }}")),
        ("constant".to_owned(), Payload::Other(7.into())),
        ("list".to_owned(), Payload::List(vec![text("{{ message.status }}"), text("{{ text }}")])),
        ("broken".to_owned(), text("{{ message.status | nofilter }}")),
    ])
}

#[test]
fn an_own_body_is_filled_and_a_broken_template_is_seen() {
    let body = own_body(&own(), &message());
    assert_eq!(body["title"], "⚠️ 1 firing, 1 resolved: Errors");
    assert_eq!((&body["first"], &body["constant"]), (&json!("7 ERRORS ON A"), &json!(7)));
    assert_eq!(body["list"][0], "firing");
    assert!(body["broken"].as_str().expect("a text").contains("template failed"), "{body}");
    assert!(check_payload(&Payload::Text("{{ ".into())).expect("a mistake").contains("cannot be read"));
    assert_eq!(check_payload(&own()), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_text_in_any_body_stays_json(message in hostile_message()) {
        for text in [body(&message).to_string(), own_body(&own(), &message).to_string()] {
            let back: Value = serde_json::from_str(&text).expect("JSON");
            prop_assert!(back.is_object());
        }
    }
}

#[tokio::test]
async fn both_secrets_sign_while_one_replaces_the_other_and_headers_are_set() {
    let mut receiver = StandIn::start(verify).await;
    let new = secret("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    let mut channel = channel(receiver.address);
    channel.secrets.insert(0, new);
    channel.headers.push(("x-team".into(), "shop".into()));
    channel.bearer = Some(secret("t0ken"));
    let outcome = send(&channel, &Poster::new(loopback()), &message(), T0).await;
    assert!(matches!(outcome, Outcome::Status { code: 204, .. }), "{outcome:?}");
    let received = receiver.received.recv().await.expect("it came");
    assert_eq!(received.headers["webhook-signature"].to_str().expect("ascii").split(' ').count(), 2);
    assert_eq!(
        (&received.headers["x-team"], &received.headers["authorization"]),
        (&"shop".parse().expect("ok"), &"Bearer t0ken".parse().expect("ok"))
    );
}

//! A Slack that checks what it documents: tokens, channels, threads, metadata, limits, and says no with status 200.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::super::{Buttons, send};
use super::*;
use crate::fixture::{Reply, S, StandIn, T0, check_slack, episode, message, poster, secret};
use crate::route::channel::{Slack, SlackAccess};

#[derive(Default)]
struct Workspace {
    /// Time stamp, thread, body.
    messages: Vec<(String, Option<String>, Value)>,
    /// The next calls of a method end like this.
    refuse: Vec<(&'static str, &'static str)>,
    calls: Vec<String>,
}

fn answer(workspace: &Mutex<Workspace>, path: &str, authorization: &str, body: &Value) -> Reply {
    let mut workspace = workspace.lock().expect("not poisoned");
    let no = |error: &str| (200, vec![], json!({"ok": false, "error": error}).to_string());
    let method = path.strip_prefix("/api/").expect("the API").to_owned();
    workspace.calls.push(method.clone());
    if authorization != "Bearer xoxb-1" {
        return no("invalid_auth");
    }
    if let Some(at) = workspace.refuse.iter().position(|(refused, _)| *refused == method) {
        let (_, error) = workspace.refuse.remove(at);
        if error == "429" {
            return (429, vec![("retry-after", "30".to_owned())], String::new());
        }
        return no(error);
    }
    assert_eq!(body["channel"], "C0123456789");
    match method.as_str() {
        "chat.postMessage" => {
            assert_eq!(body["metadata"]["event_type"], "logweir_alert");
            let thread = body["thread_ts"].as_str().map(str::to_owned);
            match &thread {
                Some(thread) => {
                    if !workspace.messages.iter().any(|(ts, _, _)| ts == thread) {
                        return no("thread_not_found");
                    }
                    assert!(body["text"].as_str().expect("a text").chars().count() <= 4_000);
                }
                None => check_slack(body),
            }
            let ts = format!("1790000000.{:06}", workspace.messages.len() + 1);
            workspace.messages.push((ts.clone(), thread, body.clone()));
            (200, vec![], json!({"ok": true, "channel": "C0123456789", "ts": ts}).to_string())
        }
        "chat.update" => {
            check_slack(body);
            let ts = body["ts"].as_str().expect("a time stamp");
            let Some(found) = workspace.messages.iter_mut().find(|(known, _, _)| known == ts) else {
                return no("message_not_found");
            };
            found.2 = body.clone();
            (200, vec![], json!({"ok": true, "channel": "C0123456789", "ts": ts}).to_string())
        }
        "conversations.history" => {
            let known = workspace.messages.iter().rev();
            let known: Vec<Value> =
                known.map(|(ts, _, body)| json!({"ts": ts, "metadata": body["metadata"]})).collect();
            (200, vec![], json!({"ok": true, "messages": known}).to_string())
        }
        other => panic!("{other}"),
    }
}

async fn slack() -> (Slack, Arc<Mutex<Workspace>>) {
    let workspace: Arc<Mutex<Workspace>> = Arc::default();
    let shared = Arc::clone(&workspace);
    let stand_in = StandIn::start(move |_, received, _| {
        let authorization = received.headers["authorization"].to_str().expect("ascii");
        answer(&shared, &received.path, authorization, &received.body)
    })
    .await;
    let bot = SlackBot {
        token: secret("xoxb-1"),
        channel: "C0123456789".into(),
        api_url: format!("http://{}/api", stand_in.address),
        thread: true,
        signing_secret: Some(secret("s3cret")),
    };
    // What is received is not looked at here; the queue is drained so that it never fills.
    let mut received = stand_in.received;
    tokio::spawn(async move { while received.recv().await.is_some() {} });
    (Slack { access: SlackAccess::Bot(bot), buttons: true }, workspace)
}

fn status(sent: &Sent) -> u16 {
    match sent.outcome {
        Outcome::Status { code, .. } => code,
        _ => 0,
    }
}

#[tokio::test]
async fn one_thread_whose_first_message_is_edited() {
    let (channel, workspace) = slack().await;
    let poster = poster();
    let mut first = message(vec![episode("e1")]);
    first.links.target = "e:e1".into();
    let sent = send(&channel, &poster, &first).await;
    assert_eq!(status(&sent), 200, "{sent:?}");
    let place = sent.place.expect("it can be edited");
    assert_eq!(place.ts, "1790000000.000001");

    let mut over = episode("e1");
    over.closed_at = Some(T0 + 60 * S);
    let second = Message { id: "msg_2".into(), place: Some(place.clone()), ..message(vec![over]) };
    let sent = send(&channel, &poster, &second).await;
    assert_eq!((status(&sent), sent.place), (200, Some(place)));
    let workspace = workspace.lock().expect("not poisoned");
    assert_eq!(workspace.messages.len(), 2);
    assert!(workspace.messages[0].2.to_string().contains("resolved: Errors"), "the first message shows the end");
    assert_eq!(workspace.messages[1].1.as_deref(), Some("1790000000.000001"));
}

#[tokio::test]
async fn what_cannot_be_edited_any_more_begins_anew_and_429_is_heeded() {
    let (channel, workspace) = slack().await;
    let poster = poster();
    let place = ThreadRef { channel: "C0123456789".into(), ts: "1.1".into() };
    for error in EDIT_OVER {
        workspace.lock().expect("not poisoned").refuse.push(("chat.update", error));
        let edit = Message { place: Some(place.clone()), ..message(vec![episode("e1")]) };
        let sent = send(&channel, &poster, &edit).await;
        let new = sent.place.clone().expect("a new message");
        assert!(status(&sent) == 200 && new.ts != "1.1", "{error}: {sent:?}");
    }
    workspace.lock().expect("not poisoned").refuse.push(("chat.postMessage", "429"));
    let sent = send(&channel, &poster, &message(vec![episode("e1")])).await;
    assert!(
        matches!(sent.outcome, Outcome::Status { code: 429, retry_after_ns: Some(30_000_000_000), .. }),
        "{sent:?}"
    );
    for (error, later) in
        [("ratelimited", true), ("internal_error", true), ("invalid_auth", false), ("channel_not_found", false)]
    {
        workspace.lock().expect("not poisoned").refuse.push(("chat.postMessage", error));
        let sent = send(&channel, &poster, &message(vec![episode("e1")])).await;
        assert_eq!(matches!(sent.outcome, Outcome::Later(_)), later, "{error}");
        assert_eq!(matches!(sent.outcome, Outcome::Rejected(_)), !later, "{error}");
    }
}

#[tokio::test]
async fn after_a_doubtful_attempt_the_history_is_searched() {
    let (channel, workspace) = slack().await;
    let poster = poster();
    send(&channel, &poster, &message(vec![episode("e1")])).await;
    let again = Message { doubtful: true, ..message(vec![episode("e1")]) };
    let sent = send(&channel, &poster, &again).await;
    assert_eq!(sent.place.expect("found").ts, "1790000000.000001");
    assert_eq!(workspace.lock().expect("not poisoned").messages.len(), 1, "it is not sent twice");
    // Without the scope it is sent again.
    workspace.lock().expect("not poisoned").refuse.push(("conversations.history", "missing_scope"));
    send(&channel, &poster, &again).await;
    assert_eq!(workspace.lock().expect("not poisoned").messages.len(), 2);
}

#[test]
fn buttons_call_us_only_where_their_signature_can_be_checked() {
    let mut message = message(vec![episode("e1")]);
    message.links.target = "e:e1".into();
    message.links.ack = "https://logs.example/act/x".into();
    let calls = payload(&message, Buttons::Calls).to_string();
    assert!(calls.contains("logweir_ack") && calls.contains("\"value\":\"e:e1\""), "{calls}");
    let links = payload(&message, Buttons::Links).to_string();
    assert!(!links.contains("action_id") && links.contains("/act/x"), "{links}");
}

//! The whole service: files on disk, a scripted store, real receivers, the HTTP surface.

use std::path::Path;
use std::sync::Mutex;

use axum::body::Body;
use axum::http::Request;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};

use super::*;
use crate::api::Right;
use crate::check::tests::RULE;
use crate::fixture::{S, ScriptedSource, StandIn, T0, answer, check_slack};

/// Errors that the store counts now.
type Count = Arc<Mutex<u32>>;

fn source(count: &Count) -> Arc<dyn QuerySource> {
    let count = Arc::clone(count);
    ScriptedSource::new(move |query, _, _| {
        let count = *count.lock().expect("not poisoned");
        if query.contains("stats") {
            return answer(json!([{"v": count, "host": "a"}]));
        }
        answer(json!([{"id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "time": "t", "raw": "boom <!channel>"}]))
    })
}

fn settings(dir: &Path, webhook: &StandIn, slack: &StandIn) -> Settings {
    std::fs::create_dir_all(dir.join("rules/sub")).expect("directories");
    std::fs::write(dir.join("rules/sub/r.yaml"), RULE.replace("every: 10s", "every: 1s")).expect("rules");
    std::fs::write(dir.join("rules/notes.txt"), "not a rule").expect("a file");
    std::fs::write(dir.join("slack-url"), format!("http://{}/services/T/B/x\n", slack.address)).expect("a secret");
    let routing = format!(
        "route: {{receiver: all, group_wait: 0s, group_interval: 1s}}\nreceivers:\n  - name: all\n    webhook: [{{url: 'http://{}/', allow_private: [127.0.0.1], insecure_http: true}}]\n    slack: [{{webhook_url_file: slack-url, allow_private: [127.0.0.1], insecure_http: true}}]\n",
        webhook.address
    );
    std::fs::write(dir.join("alerting.yaml"), routing).expect("routing");
    Settings {
        data_dir: dir.join("data"),
        rules: vec![dir.join("rules")],
        library: false,
        routing: Some(dir.join("alerting.yaml")),
        base_url: "http://logs.example".to_owned(),
    }
}

async fn get(handle: &Handle, path: &str) -> (u16, Value) {
    use http_body_util::BodyExt;
    use tower::ServiceExt;
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let response = handle.router(Right::Query).oneshot(request).await.expect("it answers");
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

#[tokio::test]
async fn a_line_becomes_an_alert_at_two_receivers_and_its_end_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut webhook = StandIn::start(|_, _, _| (200, vec![], String::new())).await;
    let mut slack = StandIn::start(|_, received, _| {
        check_slack(&received.body);
        (200, vec![], "ok".into())
    })
    .await;
    let count: Count = Arc::new(Mutex::new(50));
    let drain = Drain::new();
    let settings = settings(dir.path(), &webhook, &slack);
    let (service, handle) = Service::build(settings, source(&count), Clock::system(), drain.clone()).expect("builds");
    let running = tokio::spawn(service.run());

    let fired = webhook.received.recv().await.expect("the webhook hears");
    assert_eq!(fired.body["status"], "firing");
    assert_eq!(fired.body["alerts"][0]["labels"]["severity"], "critical");
    assert_eq!(fired.body["alerts"][0]["annotations"]["samples"], "boom <!channel>");
    assert!(slack.received.recv().await.expect("slack hears").body.to_string().contains("50 errors on a"));

    let (status, alerts) = get(&handle, "/api/v1/alerts").await;
    assert_eq!((status, &alerts["alerts"][0]["state"]), (200, &json!("firing")));
    let id = alerts["alerts"][0]["id"].as_str().expect("an id").to_owned();
    let (status, one) = get(&handle, &format!("/api/v1/alerts/{id}")).await;
    assert_eq!((status, &one["why"]["fired"]), (200, &json!("errors >= 10 is true")));
    assert_eq!(get(&handle, "/api/v1/alerts/nothing").await.0, 404);
    assert_eq!(get(&handle, "/api/v1/alerts?resolvd=true").await.0, 400);
    let (_, rules) = get(&handle, "/api/v1/rules").await;
    assert_eq!(rules["groups"][0]["rules"][0]["queries"]["errors"], "(level>=error) | stats count as v by host");
    assert_eq!((&rules["receivers"], handle.problem()), (&json!(["all"]), None));

    *count.lock().expect("not poisoned") = 0;
    // keep_firing_for is 20 s: a rule without it resolves at once.
    let quick = RULE.replace("every: 10s", "every: 1s").replace("        keep_firing_for: 20s\n", "");
    std::fs::write(dir.path().join("rules/sub/r.yaml"), quick).expect("rules");
    let ended = webhook.received.recv().await.expect("the webhook hears");
    assert_eq!(ended.body["status"], "resolved");
    assert_eq!(ended.body["alerts"][0]["episode"], fired.body["alerts"][0]["episode"]);
    assert!(slack.received.recv().await.expect("slack hears").body.to_string().contains("resolved"));
    drain.cancel();
    running.await.expect("no panic").expect("ends well");
    let (_, notifications) = get(&handle, "/api/v1/notifications").await;
    let states: Vec<&Value> = notifications["finished"].as_array().expect("rows").iter().map(|r| &r["state"]).collect();
    assert!(states.iter().filter(|state| **state == "sent").count() >= 3, "{notifications}");
    let (_, alerts) = get(&handle, "/api/v1/alerts?resolved=true").await;
    assert_eq!(alerts["alerts"][0]["state"], "resolved");
}

/// The version of the rule, and what was rolled out shortly before.
#[tokio::test]
async fn a_message_names_the_commit_of_its_rule_and_the_last_deploy() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut receiver = StandIn::start(|_, _, _| (200, vec![], "ok".into())).await;
    let settings = settings(dir.path(), &receiver, &receiver);
    std::fs::create_dir_all(dir.path().join(".git")).expect("directories");
    std::fs::write(dir.path().join(".git/HEAD"), "3f2a91c0123456789012345678901234567890ab\n").expect("a commit");
    let now_wall = Clock::system().now_ns();
    let lately = logweir_runtime::clock::rfc3339(now_wall - 600 * S);
    let source = ScriptedSource::new(move |query, _, _| {
        if query.starts_with("event:deploy") {
            return answer(json!([
                {"v": 1, "time": lately, "version": "v2", "service": "shop"},
                {"v": 1, "time": lately, "version": "v9", "host": "elsewhere"},
            ]));
        }
        answer(if query.contains("stats") { json!([{"v": 50, "host": "a"}]) } else { json!([]) })
    });
    let drain = Drain::new();
    let (service, _) = Service::build(settings, source, Clock::system(), drain.clone()).expect("builds");
    let running = tokio::spawn(service.run());
    let mut texts = Vec::new();
    for _ in 0..2 {
        texts.push(receiver.received.recv().await.expect("both channels").body.to_string());
    }
    let slack = texts.iter().find(|text| text.contains("blocks")).expect("slack");
    assert!(slack.contains("r.yaml:8 @ 3f2a91c"), "{slack}");
    assert!(slack.contains("shop v2") && !slack.contains("v9"), "{slack}");
    drain.cancel();
    running.await.expect("no panic").expect("ends well");
}

#[tokio::test]
async fn wrong_files_are_refused_whole_and_close_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let receiver = StandIn::start(|_, _, _| (200, vec![], String::new())).await;
    let count: Count = Arc::new(Mutex::new(50));
    let clock = Clock::manual(T0);
    let settings = settings(dir.path(), &receiver, &receiver);
    let build = || Service::build(settings.clone(), source(&count), clock.clone(), Drain::new()).expect("builds");
    let (mut service, handle) = build();
    service.reload().await;
    service.evaluator.round().await.expect("a round");
    assert_eq!(get(&handle, "/api/v1/alerts").await.1["alerts"].as_array().expect("alerts").len(), 1);

    let rules = dir.path().join("rules/sub/r.yaml");
    let wrong = RULE.replace("labels.host }}\"", "labels.hots }}\"").replace("errors < 2", "erors < 2");
    std::fs::write(&rules, &wrong).expect("rules");
    service.reload().await;
    let (_, shown) = get(&handle, "/api/v1/rules").await;
    let problem = shown["problems"][0].as_str().expect("it is said");
    assert!(problem.contains("r.yaml:16:23: unknown signal 'erors'"), "{problem}");
    assert_eq!(handle.problem(), None, "logs are taken and the last good rules run: the server is ready");
    assert_eq!(shown["groups"][0]["rules"][0]["name"], "Errors", "the last good set stays");
    drop((service, handle));

    // A start with wrong files: nothing is evaluated, nothing that fires is closed.
    let (mut service, handle) = build();
    service.reload().await;
    clock.set(T0 + 100 * S);
    service.evaluator.round().await.expect("a round");
    assert_eq!(get(&handle, "/api/v1/alerts").await.1["alerts"][0]["state"], "firing");
    std::fs::write(&rules, RULE).expect("rules");
    service.reload().await;
    assert_eq!(get(&handle, "/api/v1/rules").await.1["problems"], json!([]));
}

#[tokio::test]
async fn an_alert_is_found_by_its_id_however_many_there_are() {
    use crate::state::store::EPISODES;
    let dir = tempfile::tempdir().expect("a directory");
    let receiver = StandIn::start(|_, _, _| (200, vec![], String::new())).await;
    let count: Count = Arc::new(Mutex::new(5));
    let clock = Clock::manual(T0);
    let settings = settings(dir.path(), &receiver, &receiver);
    let (mut service, handle) = Service::build(settings, source(&count), clock.clone(), Drain::new()).expect("builds");
    service.reload().await;
    service.evaluator.round().await.expect("a round");
    let listed = async || get(&handle, "/api/v1/alerts").await.1["alerts"][0].clone();
    let pending = listed().await;
    assert_eq!(pending["state"], "pending");
    let path = |alert: &Value| format!("/api/v1/alerts/{}", alert["id"].as_str().expect("an id"));
    assert_eq!(get(&handle, &path(&pending)).await.1["alert"], pending);

    clock.set(T0 + 30 * S);
    service.evaluator.round().await.expect("a round");
    let old = listed().await;
    assert_eq!(old["state"], "firing");
    let newer = handle.store.write(|tx| {
        let id = old["id"].as_str().expect("an id");
        let episode = tx.get(EPISODES, id)?.expect("it is there");
        for n in 0..crate::api::ALERTS_MAX {
            let id = format!("{n:026}");
            tx.put(
                EPISODES,
                &id,
                &crate::state::Episode { id: id.clone(), opened_at: T0 + 60 * S, ..episode.clone() },
            )?;
        }
        Ok(())
    });
    newer.expect("writes");
    assert_ne!(listed().await["id"], old["id"], "it is behind the others");
    assert_eq!(get(&handle, &path(&old)).await.1["alert"], old);
}

#[tokio::test]
async fn messages_wait_until_the_past_is_caught_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut receiver = StandIn::start(|_, _, _| (200, vec![], String::new())).await;
    let count: Count = Arc::new(Mutex::new(50));
    let clock = Clock::manual(T0);
    let settings = settings(dir.path(), &receiver, &receiver);
    let (mut service, handle) = Service::build(settings, source(&count), clock.clone(), Drain::new()).expect("builds");
    service.reload().await;
    service.evaluator.round().await.expect("a round");
    let mut sender = Sender::new(handle.store.clone(), Arc::clone(&handle.live), clock);
    let mut sending = FuturesUnordered::new();
    sender.start_due(&mut sending).await.expect("looks");
    assert!(sending.is_empty(), "held");
    handle.live.release();
    sender.start_due(&mut sending).await.expect("looks");
    assert_eq!(sending.len(), 2);
    // The process dies before the answers are recorded; the next one sends the same messages under the same ids.
    drop((sending, sender));
    let ids = |rows: Vec<(String, crate::state::OutboxRow)>| rows.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    let before = ids(handle.store.read(|view| view.scan(crate::state::store::OUTBOX, "")).expect("reads"));
    handle.store.write(|tx| outbox::recover(tx, T0)).expect("recovers");
    let mut sender = Sender::new(handle.store.clone(), Arc::clone(&handle.live), Clock::manual(T0 + S));
    let mut sending = FuturesUnordered::new();
    sender.start_due(&mut sending).await.expect("looks");
    let mut again: Vec<String> = Vec::new();
    while let Some((job, sent)) = futures_util::StreamExt::next(&mut sending).await {
        again.push(job.row.id.clone());
        sender.settle(&job, &sent).await;
    }
    again.sort();
    assert_eq!(again, before);
    assert!(receiver.received.recv().await.is_some());
    assert!(ids(handle.store.read(|view| view.scan(crate::state::store::OUTBOX, "")).expect("reads")).is_empty());
}

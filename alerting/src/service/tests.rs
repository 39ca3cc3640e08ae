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
use crate::evaluate::testing::{LineStore, TestLine, line};
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

/// Every second, with a window that the script answers for.
fn quick() -> String {
    RULE.replace("every: 10s", "every: 1s").replace("window: 30s", "window: 1s")
}

fn settings(dir: &Path, webhook: &StandIn, slack: &StandIn) -> Settings {
    std::fs::create_dir_all(dir.join("rules/sub")).expect("directories");
    std::fs::write(dir.join("rules/sub/r.yaml"), quick()).expect("rules");
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
    let quick = quick().replace("        keep_firing_for: 20s\n", "");
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
    let rejected = async |handle: &Handle| {
        let (_, alerts) = get(handle, "/api/v1/alerts").await;
        let all = alerts["alerts"].as_array().expect("alerts").iter();
        let own = all.map(|alert| alert["summary"].as_str().unwrap_or_default().to_owned());
        own.filter(|summary| summary.starts_with("rule or routing files are refused")).collect::<Vec<_>>()
    };
    let told = rejected(&handle).await;
    assert!(told.len() == 1 && told[0].contains("r.yaml:16:23"), "{told:?}");
    drop((service, handle));

    // A start with wrong files: nothing is evaluated, nothing that fires is closed.
    let (mut service, handle) = build();
    service.reload().await;
    clock.set(T0 + 100 * S);
    service.evaluator.round().await.expect("a round");
    let (_, alerts) = get(&handle, "/api/v1/alerts").await;
    assert!(alerts["alerts"].as_array().expect("alerts").iter().all(|alert| alert["state"] == "firing"), "{alerts}");
    assert_eq!(rejected(&handle).await.len(), 1, "told once, over a restart");
    std::fs::write(&rules, RULE).expect("rules");
    service.reload().await;
    assert_eq!(get(&handle, "/api/v1/rules").await.1["problems"], json!([]));
    assert_eq!(rejected(&handle).await, Vec::<String>::new(), "over when the files are right");
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

/// Bursts of errors that begin at these seconds, on one host each.
fn bursts() -> Vec<TestLine> {
    let burst = |(from, host): (i64, &'static str)| {
        (0..40).map(move |i| line(T0 + (from + i) * S, &[("host", host), ("level", "error")]))
    };
    // Before the downtime, within it twice, from it into the time after, and after it.
    [(100, "a"), (700, "b"), (1_000, "c"), (1_780, "d"), (2_000, "e")].into_iter().flat_map(burst).collect()
}

/// Episodes, and the messages that left, over three quarters of an hour.
async fn lived(dir: &Path, away: std::ops::Range<i64>) -> (Vec<(String, i64, Option<i64>)>, Vec<String>) {
    let mut receiver = StandIn::start(|_, _, _| (200, vec![], String::new())).await;
    let settings = settings(dir, &receiver, &receiver);
    let rules = RULE.replace("level>=error", "level=error").replace("        expected: {seen_within: 1h}\n", "");
    std::fs::write(dir.join("rules/sub/r.yaml"), rules).expect("rules");
    let routing = format!(
        "route: {{receiver: all, group_by: ['...'], group_wait: 0s, group_interval: 1s}}\nreceivers: [{{name: all, webhook: [{{url: 'http://{}/', allow_private: [127.0.0.1], insecure_http: true}}]}}]\n",
        receiver.address
    );
    std::fs::write(dir.join("alerting.yaml"), routing).expect("routing");
    let (clock, source) = (Clock::manual(T0), LineStore::new(bursts()));
    let mut running: Option<(Service, Handle, Sender)> = None;
    let mut told = Vec::new();
    for second in (0..2_700).step_by(10) {
        clock.set(T0 + second * S);
        source.set_now(clock.now_ns());
        if away.contains(&second) {
            running = None;
            continue;
        }
        let (service, _, sender) = match &mut running {
            Some(running) => running,
            None => {
                let source: Arc<dyn QuerySource> = Arc::clone(&source) as Arc<dyn QuerySource>;
                let build = Service::build(settings.clone(), source, clock.clone(), Drain::new());
                let (mut service, handle) = build.expect("builds");
                service.reload().await;
                let sender = Sender::new(handle.store.clone(), Arc::clone(&handle.live), clock.clone());
                running.insert((service, handle, sender))
            }
        };
        while service.evaluator.round().await.expect("a round").behind {}
        service.release().await.expect("released");
        // What a message leads to is looked for at once.
        for _ in 0..3 {
            let mut sending = FuturesUnordered::new();
            sender.start_due(&mut sending).await.expect("looks");
            while let Some((job, sent)) = futures_util::StreamExt::next(&mut sending).await {
                sender.settle(&job, &sent).await;
                let body = receiver.received.recv().await.expect("it came").body;
                let alert = &body["alerts"][0];
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let host = text(&alert["labels"]["host"]);
                told.push(format!("{} {host} {}", text(&alert["labels"]["alertname"]), text(&alert["status"])));
            }
        }
    }
    let (_, handle, _) = running.expect("running");
    let all = handle.store.read(|view| view.scan(crate::state::store::EPISODES, "")).expect("reads");
    let own = all.into_iter().map(|(_, episode)| episode).filter(|episode| episode.rule == "Errors");
    (own.map(|episode| (episode.id, episode.opened_at, episode.closed_at)).collect(), told)
}

#[tokio::test]
async fn twenty_minutes_down_are_the_same_episodes_and_one_digest() {
    let (first, second) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let (wanted, whole) = lived(first.path(), 0..0).await;
    let (found, told) = lived(second.path(), 600..1_800).await;
    assert_eq!((wanted.len(), &wanted), (5, &found));
    assert_eq!(whole.len(), 10, "{whole:?}");
    let digests = told.iter().filter(|one| one.starts_with("AlertsWhileDown")).count();
    assert_eq!(digests, 1, "{told:?}");
    let of = |host: &str| told.iter().filter(|one| one.starts_with(&format!("Errors {host} "))).count();
    // What came and went meanwhile is in the digest only; what goes on is told, and its end.
    assert_eq!(["a", "b", "c", "d", "e"].map(of), [2, 0, 0, 2, 2], "{told:?}");
}

/// A new installation knows nothing of the time before; it says so once, and an older one never doubts what it knows.
#[test]
fn since_when_there_is_anything_to_know_is_said_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(&dir.path().join("new")).expect("opens");
    let said = |store: &Store, oldest: i64| store.write(|tx| known_since(tx, oldest)).expect("writes");
    assert_eq!(said(&store, T0), T0);
    assert_eq!(said(&store, T0 - 3600 * S), T0, "lines that were read later are not from before");
    drop(store);
    let store = Store::open(&dir.path().join("new")).expect("opens");
    assert_eq!(said(&store, T0 + 600 * S), T0);
    let store = Store::open(&dir.path().join("old")).expect("opens");
    store.write(|tx| tx.put(CURSORS, "g", &T0)).expect("writes");
    assert_eq!(said(&store, T0), 0);
}

/// The live engine, not only the tests of rules: an average of half a minute is not yet one of five.
#[tokio::test]
async fn a_young_installation_does_not_decide_on_less_than_half_a_window() {
    let dir = tempfile::tempdir().expect("a directory");
    let rule = "version: 1\ngroups:\n  - name: g\n    every: 30s\n    defaults: {delay: 0s}\n    rules:\n      - {alert: Few, signals: {n: {filter: '*', agg: count, window: 5m}}, levels: {warning: {when: n < 10}}, summary: s}\n";
    std::fs::write(dir.path().join("r.yaml"), rule).expect("writes");
    let settings = Settings {
        data_dir: dir.path().join("data"),
        rules: vec![dir.path().join("r.yaml")],
        library: false,
        routing: None,
        base_url: "http://logs.example".to_owned(),
    };
    let source = LineStore::new(vec![line(T0 + S, &[("message", "one")])]);
    let clock = Clock::manual(T0);
    let (mut service, handle) = Service::build(settings, source, clock.clone(), Drain::new()).expect("builds");
    service.reload().await;
    let mut firing_at = None;
    for second in (0..=300).step_by(10) {
        clock.set(T0 + second * S);
        service.evaluator.round().await.expect("evaluates");
        let alerts = handle.store.read(|view| view.scan(crate::state::store::EPISODES, "")).expect("reads");
        if firing_at.is_none() && !alerts.is_empty() {
            firing_at = Some(second);
        }
    }
    assert!(firing_at.is_some_and(|second| (150..=190).contains(&second)), "{firing_at:?}");
}

/// What waits for idle sources every second asks to hear of them every second; the others cost nobody anything.
#[test]
fn a_group_that_waits_for_watermarks_asks_for_them_as_often_as_it_is_evaluated() {
    let asked = |head: &str| {
        let text = format!(
            "version: 1\ngroups:\n  - {{name: slow, every: 30s, defaults: {{delay: auto}}, rules: [{{alert: A, signals: {{n: {{filter: '*', agg: count, window: 1m}}}}, levels: {{warning: {{when: n > 1}}}}, summary: s}}]}}\n  - {{name: g, {head}, rules: [{{alert: B, signals: {{n: {{filter: '*', agg: count, window: 1m}}}}, levels: {{warning: {{when: n > 1}}}}, summary: s}}]}}\n"
        );
        marks_every_ns(&check::rules(&[("r.yaml".to_owned(), text)]).unwrap_or_else(|p| panic!("{p:?}")))
    };
    assert_eq!(asked("every: 1s, defaults: {delay: auto}"), Some(S));
    assert_eq!(asked("every: 2s, defaults: {delay: auto}"), Some(2 * S));
    assert_eq!(asked("every: 1s"), None);
    assert_eq!(asked("every: 5s, defaults: {delay: auto}"), None);
}

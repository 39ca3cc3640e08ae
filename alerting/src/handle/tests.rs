//! The HTTP surface that changes things: silences, acknowledgements by API, link and Slack, the outbox, heartbeats.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use logweir_runtime::drain::Drain;
use logweir_runtime::secrets::Secret;
use tower::ServiceExt;

use super::*;
use crate::fixture::{S, ScriptedSource, T0, answer, episode};
use crate::notify::slack::interact;
use crate::route::group::Event;
use crate::route::{file, group as groups};
use crate::service::{Service, Settings};

const ROUTING: &str = "
route: {receiver: ops, group_wait: 0s}
receivers:
  - name: ops
    webhook: [{url: 'https://ops.example/'}]
    slack: [{token_env: TOKEN, channel: C01, signing_secret_env: SIGN}]
    pagerduty: [{routing_key_env: TOKEN, webhook_secret_env: SIGN}]
heartbeats: [{name: backup, every: 1h}]
";

struct World {
    _dir: tempfile::TempDir,
    _service: Service,
    handle: Handle,
    clock: Clock,
}

fn world() -> World {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = Settings {
        data_dir: dir.path().join("data"),
        rules: vec![],
        library: false,
        routing: None,
        base_url: "https://logs.example".to_owned(),
    };
    let source = ScriptedSource::new(|_, _, _| answer(json!([])));
    let clock = Clock::manual(T0);
    let (service, handle) = Service::build(settings, source, clock.clone(), Drain::new()).expect("builds");
    let env = |name: &str| Some(if name == "SIGN" { "s3cret" } else { "0123" }.to_owned());
    let routing = file::load("alerting.yaml", ROUTING, &env).unwrap_or_else(|p| panic!("{p:?}"));
    handle
        .store
        .write(|tx| {
            let mut episode = episode("01E");
            groups::place(tx, &routing, &mut episode, Event::Opened, T0)?;
            tx.put(EPISODES, "01E", &episode)
        })
        .expect("writes");
    handle.live.set_routing(Some(Arc::new(routing)));
    World { _dir: dir, _service: service, handle, clock }
}

async fn ask(router: Router, request: Request<Body>) -> (u16, String) {
    let response = router.oneshot(request).await.expect("it answers");
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8_lossy(&bytes).into_owned())
}

fn request(method: &str, path: &str, body: &str) -> Request<Body> {
    Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).expect("a request")
}

async fn acked(world: &World) -> Option<String> {
    let episode = world.handle.episode("01E").await.expect("reads").expect("it is there");
    episode.extra.ack.map(|ack| ack.by)
}

#[tokio::test]
async fn silences_are_made_listed_and_ended() {
    let world = world();
    let actions = || world.handle.router(Right::Change);
    let body = r#"{"matchers":["host=\"a\""],"for":"2h","author":"ann","comment":"deploy"}"#;
    let (status, made) = ask(actions(), request("POST", "/api/v1/silences", body)).await;
    assert_eq!(status, 200, "{made}");
    let made: Value = serde_json::from_str(&made).expect("JSON");
    assert_eq!((&made["state"], &made["author"]), (&json!("active"), &json!("ann")));
    for (wrong, part) in [
        (r#"{"matchers":["host=\"a\""],"author":"ann","comment":"x"}"#, "one of 'for' and 'ends'"),
        (r#"{"matchers":["host=\"a\""],"for":"2h","author":"","comment":"x"}"#, "author and a comment"),
        (r#"{"matchers":["a=~\".*\""],"for":"2h","author":"a","comment":"x"}"#, "match everything"),
        (r#"{"matcher":[]}"#, "unknown field"),
        ("{", "cannot be read"),
    ] {
        let (status, text) = ask(actions(), request("POST", "/api/v1/silences", wrong)).await;
        assert!(status == 400 && text.contains(part), "{status} {text}");
    }
    let labels = json!({"labels": {"alertname": "X", "host": "a"}}).to_string();
    let (_, test) = ask(world.handle.router(Right::Query), request("POST", "/api/v1/route-test", &labels)).await;
    assert!(test.contains("silenced: silence") && test.contains("\"receiver\":\"ops\""), "{test}");
    let path = format!("/api/v1/silences/{}", made["id"].as_str().expect("an id"));
    assert_eq!(ask(actions(), request("DELETE", &path, "")).await.0, 200);
    assert_eq!(ask(actions(), request("DELETE", "/api/v1/silences/none", "")).await.0, 404);
    let (_, listed) = ask(world.handle.router(Right::Query), request("GET", "/api/v1/silences", "")).await;
    assert!(listed.contains("\"expired\""), "{listed}");
}

#[tokio::test]
async fn a_link_asks_first_acts_once_and_only_if_it_is_ours() {
    let world = world();
    let hooks = || world.handle.router(Right::Proof);
    let token = world.handle.live.signer.token(Action::Ack, "e:01E", T0 + 60 * S);
    let path = format!("/act/{token}");
    let (status, page) = ask(hooks(), request("GET", &path, "")).await;
    assert!(status == 200 && page.contains("<form method=\"post\">"), "{page}");
    assert_eq!(acked(&world).await, None, "opening it does nothing");
    assert_eq!(ask(hooks(), request("POST", &path, "")).await.0, 200);
    assert_eq!(acked(&world).await.as_deref(), Some("a link in a message"));
    assert_eq!(ask(hooks(), request("POST", &path, "")).await.0, 409, "once");
    assert_eq!(ask(hooks(), request("POST", "/act/abc.def", "")).await.0, 404);
    world.clock.set(T0 + 61 * S);
    assert_eq!(ask(hooks(), request("GET", &path, "")).await.0, 410);
    let token = world.handle.live.signer.token(Action::SilenceHour, "e:01E", T0 + 120 * S);
    let (_, done) = ask(hooks(), request("POST", &format!("/act/{token}"), "")).await;
    assert!(done.contains("alertname=&quot;Errors&quot;, host=&quot;a&quot;"), "{done}");
    let token = world.handle.live.signer.token(Action::Why, "e:01E", T0 + 120 * S);
    let (_, why) = ask(hooks(), request("GET", &format!("/act/{token}"), "")).await;
    assert!(why.contains("fired_because") && why.contains("errors &gt;= 3"), "{why}");
    assert_eq!(ask(hooks(), request("POST", &format!("/act/{token}"), "")).await.0, 400);
}

#[tokio::test]
async fn who_has_an_alert_in_hand_is_in_the_list_until_its_time_is_over() {
    let world = world();
    let ack = |id: &str, body: &str| {
        ask(world.handle.router(Right::Change), request("POST", &format!("/api/v1/alerts/{id}/ack"), body))
    };
    let listed = async || {
        let (_, text) = ask(world.handle.router(Right::Query), request("GET", "/api/v1/alerts", "")).await;
        serde_json::from_str::<Value>(&text).expect("JSON")["alerts"][0]["acknowledged"].clone()
    };
    assert_eq!(listed().await, Value::Null);
    let (status, text) = ack("01E", r#"{"by":"ann","for":"soon"}"#).await;
    assert!(status == 400 && text.contains("'for' must be a duration"), "{status} {text}");
    assert_eq!(ack("01E", r#"{"by":"ann","comment":"on it","for":"1m"}"#).await.0, 200);
    let (at, until) = (rfc3339(T0), rfc3339(T0 + 60 * S));
    assert_eq!(listed().await, json!({"by": "ann", "at": at, "until": until, "comment": "on it"}));
    world.clock.set(T0 + 61 * S);
    assert_eq!(listed().await, Value::Null);
    let (_, why) = ask(world.handle.router(Right::Query), request("GET", "/api/v1/alerts/01E/why", "")).await;
    let why: Value = serde_json::from_str(&why).expect("JSON");
    assert_eq!((&why["acknowledged"]["by"], &why["acknowledged"]["holds"]), (&json!("ann"), &json!(false)));
    assert_eq!(ack("01E", "").await.0, 200);
    assert_eq!(listed().await["until"], Value::Null);
    let (status, text) =
        ask(world.handle.router(Right::Query), request("GET", "/api/v1/alerts/01E-pending/why", "")).await;
    assert!(status == 404 && text.contains("rules explain"), "{status} {text}");
    let (status, text) = ack("01E-pending", "").await;
    assert!(status == 400 && text.contains("it can be silenced"), "{status} {text}");
}

#[tokio::test]
async fn slack_and_pagerduty_acknowledge_with_their_signature_only() {
    let world = world();
    let press = r#"{"user":{"username":"ann"},"actions":[{"action_id":"logweir_ack","value":"e:01E"}]}"#;
    let body: String = press.bytes().map(|b| format!("%{b:02X}")).collect();
    let body = format!("payload={body}");
    let at = (T0 / S).to_string();
    let send = |signature: String| {
        let request = Request::post("/api/v1/hooks/slack").header("x-slack-request-timestamp", &at);
        request.header("x-slack-signature", signature).body(Body::from(body.clone())).expect("a request")
    };
    assert_eq!(ask(world.handle.router(Right::Proof), send("v0=00".into())).await.0, 401);
    assert_eq!(acked(&world).await, None);
    let signature = interact::sign(&Secret::new("s3cret"), &at, body.as_bytes());
    assert_eq!(ask(world.handle.router(Right::Proof), send(signature)).await.0, 200);
    assert_eq!(acked(&world).await.as_deref(), Some("ann (Slack)"));

    let group = world.handle.store.read(|view| view.scan(GROUPS, "")).expect("reads").pop().expect("a group").1;
    let body = json!({"event": {"event_type": "incident.acknowledged", "agent": {"summary": "Bob"}, "data": {"incident_key": format!("lw-{}", group.thread())}}}).to_string();
    let mac = {
        use hmac::Mac;
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"s3cret").expect("any key");
        mac.update(body.as_bytes());
        interact::hex(&mac.finalize().into_bytes())
    };
    let send = |signature: &str| {
        let request = Request::post("/api/v1/hooks/pagerduty").header("x-pagerduty-signature", signature);
        request.body(Body::from(body.clone())).expect("a request")
    };
    assert_eq!(ask(world.handle.router(Right::Proof), send("v1=00")).await.0, 401);
    assert_eq!(ask(world.handle.router(Right::Proof), send(&format!("v1={mac}"))).await.0, 200);
    assert_eq!(acked(&world).await.as_deref(), Some("Bob (PagerDuty)"));
}

#[tokio::test]
async fn acks_tests_and_heartbeats_come_over_the_api() {
    let world = world();
    let actions = || world.handle.router(Right::Change);
    let body = r#"{"by":"ann","comment":"on it"}"#;
    assert_eq!(ask(actions(), request("POST", "/api/v1/alerts/01E/ack", body)).await.0, 200);
    assert_eq!(ask(actions(), request("POST", "/api/v1/alerts/none/ack", body)).await.0, 404);
    let (_, why) = ask(world.handle.router(Right::Query), request("GET", "/api/v1/alerts/01E/why", "")).await;
    assert!(why.contains("\"by\":\"ann\"") && why.contains("\"receiver\":\"ops\""), "{why}");
    let (status, sent) = ask(actions(), request("POST", "/api/v1/receivers/ops/test", "")).await;
    assert!(status == 200 && sent.matches("msg_").count() == 3, "{sent}");
    assert_eq!(ask(actions(), request("POST", "/api/v1/receivers/none/test", "")).await.0, 404);
    assert_eq!(world.handle.outbox().await.expect("reads").len(), 3);
    assert_eq!(ask(actions(), request("POST", "/api/v1/notifications/none/retry", "")).await.0, 404);

    let beats = || world.handle.router(Right::Ingest);
    assert_eq!(ask(beats(), request("POST", "/api/v1/heartbeat/backup", "")).await.0, 200);
    assert_eq!(ask(beats(), request("POST", "/api/v1/heartbeat/other", "")).await.0, 404);
    let routing = world.handle.live.routing().expect("there");
    let check = |now: i64| world.handle.store.write(|tx| heartbeat::check(tx, &routing, now)).expect("writes");
    let firing = || {
        let episodes = world.handle.store.read(|view| view.scan(EPISODES, "")).expect("reads");
        episodes.into_iter().filter(|(_, e)| e.rule == heartbeat::ALERT_NAME && e.is_firing()).count()
    };
    check(T0 + 3_600 * S);
    assert_eq!(firing(), 0, "within its grace");
    check(T0 + 4_000 * S);
    check(T0 + 4_001 * S);
    assert_eq!(firing(), 1);
    world.clock.set(T0 + 4_100 * S);
    assert_eq!(ask(beats(), request("POST", "/api/v1/heartbeat/backup", "")).await.0, 200);
    assert_eq!(firing(), 0, "it came again");
}

#[tokio::test]
async fn our_own_heartbeat_stops_when_something_is_wrong() {
    let world = world();
    let live = &world.handle.live;
    let ill = async |now| heartbeat::unhealthy(&world.handle.store, live, now).await;
    assert!(ill(T0).await.expect("held").contains("caught up"));
    live.release();
    assert!(ill(T0).await.expect("never evaluated").contains("not evaluated"));
    live.note_round(T0);
    assert_eq!(ill(T0).await, None);
    let routing = live.routing().expect("there");
    world
        .handle
        .store
        .write(|tx| {
            let mut critical = episode("01C");
            critical.severity = Severity::Critical;
            groups::place(tx, &routing, &mut critical, Event::Opened, T0)?;
            tx.put(EPISODES, "01C", &critical)?;
            groups::flush(tx, &routing, T0)
        })
        .expect("writes");
    assert_eq!(ill(T0 + 30 * S).await, None);
    live.note_round(T0 + 121 * S);
    assert!(ill(T0 + 121 * S).await.expect("it is owed").contains("is owed"));
}

#[tokio::test]
async fn a_mark_on_a_pattern_is_in_force_with_the_next_look_and_can_be_taken_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let rule = "
version: 1
groups:
  - name: g
    rules:
      - alert: New
        pattern: {filter: 'level>=error', learn: 1m}
        levels: {warning: {when: new_pattern}}
        summary: '{{ value.template }}'
";
    std::fs::write(dir.path().join("r.yaml"), rule).expect("writes");
    std::fs::write(dir.path().join("known.yaml"), "version: 1\npatterns: [{template: old news, mark: known}]\n")
        .expect("writes");
    let settings = Settings {
        data_dir: dir.path().join("data"),
        rules: vec![dir.path().join("r.yaml"), dir.path().join("known.yaml")],
        library: false,
        routing: None,
        base_url: "https://logs.example".to_owned(),
    };
    let source = ScriptedSource::new(|_, _, _| answer(json!([])));
    let (mut service, handle) = Service::build(settings, source, Clock::manual(T0), Drain::new()).expect("builds");
    let words = |handle: &Handle| {
        let rules = handle.live.rules();
        let logweir_rules::model::Kind::Pattern(pattern) = &rules.rule("New").expect("is there").1.kind else {
            panic!()
        };
        pattern.marks.iter().map(|mark| mark.word.as_str()).collect::<Vec<_>>().join(" ")
    };
    service.reload().await;
    assert_eq!(words(&handle), "known");
    let ask = async |method: &str, path: &str, body: &str| {
        let right = if method == "GET" { Right::Query } else { Right::Change };
        let request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).expect("a request");
        let response = handle.router(right).oneshot(request).await.expect("answers");
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, serde_json::from_slice::<Value>(&body).unwrap_or_default())
    };
    let path = "/api/v1/patterns/marks";
    let mark = r#"{"pattern":"0123456789abcdef","mark":"ticket","ticket":"SHOP-1","by":"ann"}"#;
    let (status, made) = ask("POST", path, mark).await;
    assert_eq!((status, &made["mark"], &made["by"]), (200, &json!("ticket"), &json!("ann")));
    for wrong in [
        r#"{"mark":"known"}"#,
        r#"{"pattern":"x","mark":"known"}"#,
        r#"{"template":"x","mark":"ticket"}"#,
        r#"{"template":"x","mark":"gone"}"#,
    ] {
        assert_eq!(ask("POST", path, wrong).await.0, 400, "{wrong}");
    }
    service.reload().await;
    assert_eq!(words(&handle), "known ticket");
    let (_, all) = ask("GET", path, "").await;
    let by: Vec<&str> = all["marks"].as_array().expect("a list").iter().filter_map(|m| m["by"].as_str()).collect();
    assert_eq!(by, ["ann", "a rule file"]);
    let own = format!("{path}/{}", made["id"].as_str().expect("an id"));
    assert_eq!(ask("DELETE", &own, "").await.0, 200);
    assert_eq!(ask("DELETE", &own, "").await.0, 404);
    service.reload().await;
    assert_eq!(words(&handle), "known");
}

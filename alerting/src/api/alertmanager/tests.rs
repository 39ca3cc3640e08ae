//! The API as amtool and karma call it.

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use logweir_runtime::clock::Clock;
use logweir_runtime::drain::Drain;
use tower::ServiceExt;

use super::*;
use crate::fixture::{S, ScriptedSource, T0, answer, episode};
use crate::route::file;
use crate::service::{Service, Settings};

const ROUTING: &str = "
route: {receiver: ops, group_by: [host], routes: [{matchers: ['team=db'], receiver: dba, group_by: [alertname]}]}
receivers: [{name: ops, webhook: [{url: 'https://ops.example/SECRETPATH'}]}, {name: dba}]
inhibit_rules: [{name: down, source_matchers: ['alertname=HostDown'], target_matchers: ['severity=warning'], equal: [host]}]
";

struct World {
    _dir: tempfile::TempDir,
    _service: Service,
    handle: Handle,
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
    let (service, handle) = Service::build(settings, source, Clock::manual(T0), Drain::new()).expect("builds");
    let routing = file::load("alerting.yaml", ROUTING, &|_| None).unwrap_or_else(|p| panic!("{p:?}"));
    handle.live.set_routing(Some(std::sync::Arc::new(routing)));
    handle
        .store
        .write(|tx| {
            for (id, name, host) in [("01A", "HostDown", "a"), ("01B", "Errors", "a"), ("01C", "Errors", "b")] {
                let mut one = episode(id);
                one.labels = Labels::from([("alertname".into(), name.into()), ("host".into(), host.into())]);
                tx.put(EPISODES, id, &one)?;
            }
            Ok(())
        })
        .expect("writes");
    World { _dir: dir, _service: service, handle }
}

impl World {
    async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let right = if method == "GET" { Right::Query } else { Right::Change };
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = Request::builder().method(method).uri(format!("{PREFIX}{path}")).body(body).expect("a request");
        let response = self.handle.router(right).oneshot(request).await.expect("it answers");
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, value) = self.ask("GET", path, &Value::Null).await;
        assert_eq!(status, 200, "{path}: {value}");
        value
    }
}

fn names(alerts: &Value) -> Vec<String> {
    let alerts = alerts.as_array().expect("a list").iter();
    alerts
        .map(|alert| format!("{}@{}", alert["labels"]["alertname"], alert["labels"]["host"]).replace('"', ""))
        .collect()
}

fn silence_of(host: &str) -> Value {
    json!({
        "matchers": [{"name": "host", "value": host, "isRegex": false, "isEqual": true}],
        "startsAt": rfc3339(T0 - S), "endsAt": rfc3339(T0 + 3_600 * S), "createdBy": "ann", "comment": "deploy",
    })
}

#[tokio::test]
async fn alerts_are_filtered_and_say_who_keeps_them_quiet() {
    let world = world();
    let all = world.get("/api/v2/alerts").await;
    assert_eq!(names(&all), ["HostDown@a", "Errors@a", "Errors@b"]);
    let source = &all[0];
    assert_eq!(all[1]["status"]["inhibitedBy"], json!([source["fingerprint"]]), "{all}");
    assert_eq!((&all[1]["status"]["state"], &all[2]["status"]["state"]), (&json!("suppressed"), &json!("active")));
    for field in ["annotations", "endsAt", "startsAt", "updatedAt", "receivers", "generatorURL", "labels"] {
        assert!(!all[0][field].is_null(), "{field}");
    }
    for (query, want) in [
        ("?filter=host%3D%22a%22&inhibited=false", vec!["HostDown@a"]),
        ("?filter=host%3D~%22b%7Cc%22", vec!["Errors@b"]),
        ("?active=false", vec!["Errors@a"]),
        ("?receiver=dba", vec![]),
        ("?unprocessed=true&receiver=op.*&filter=alertname!%3D%22Errors%22", vec!["HostDown@a"]),
    ] {
        assert_eq!(names(&world.get(&format!("/api/v2/alerts{query}")).await), want, "{query}");
    }
    for query in ["?filter=host", "?active=maybe", "?receiver=(", "?nonsense=1"] {
        let (status, error) = world.ask("GET", &format!("/api/v2/alerts{query}"), &Value::Null).await;
        assert!(status == 400 && error.is_string(), "{query}: {status} {error}");
    }
    let groups = world.get("/api/v2/alerts/groups").await;
    let shown: Vec<String> = groups
        .as_array()
        .expect("a list")
        .iter()
        .map(|group| {
            format!("{} {} {}", group["receiver"]["name"], group["labels"]["host"], names(&group["alerts"]).len())
        })
        .collect();
    assert_eq!(shown, ["\"ops\" \"a\" 2", "\"ops\" \"b\" 1"]);
    assert_eq!(world.get("/api/v2/receivers").await, json!([{"name": "ops"}, {"name": "dba"}]));
    let (status, why) = world.ask("POST", "/api/v2/alerts", &json!([])).await;
    assert!(status == 405 && why.as_str().is_some_and(|why| why.contains("heartbeat")), "{status} {why}");
}

#[tokio::test]
async fn silences_come_and_go_and_are_changed_without_a_moment_between() {
    let world = world();
    let (status, made) = world.ask("POST", "/api/v2/silences", &silence_of("b")).await;
    assert_eq!(status, 200, "{made}");
    let id = made["silenceID"].as_str().expect("an id").to_owned();
    let listed = world.get("/api/v2/alerts?filter=host%3D%22b%22").await;
    assert_eq!(listed[0]["status"]["silencedBy"], json!([id]));
    assert!(world.get("/api/v2/alerts?silenced=false&filter=host%3Db").await.as_array().is_some_and(Vec::is_empty));
    let shown = world.get(&format!("/api/v2/silence/{id}")).await;
    assert_eq!(shown["matchers"], json!([{"name": "host", "value": "b", "isRegex": false, "isEqual": true}]));
    assert_eq!(shown["status"]["state"], "active");
    // A tool sends back what it got, with its id and more.
    let mut changed = shown.clone();
    changed["comment"] = json!("a longer deploy");
    let (status, remade) = world.ask("POST", "/api/v2/silences", &changed).await;
    assert_eq!(status, 200, "{remade}");
    let states: Vec<Value> = world
        .get("/api/v2/silences")
        .await
        .as_array()
        .expect("a list")
        .iter()
        .map(|s| s["status"]["state"].clone())
        .collect();
    assert_eq!(states.iter().filter(|state| **state == "active").count(), 1, "{states:?}");
    assert_eq!(world.get("/api/v2/silences?filter=host%3D%22a%22").await, json!([]));
    let id = remade["silenceID"].as_str().expect("an id");
    assert_eq!(world.ask("DELETE", &format!("/api/v2/silence/{id}"), &Value::Null).await.0, 200);
    assert_eq!(world.get(&format!("/api/v2/silence/{id}")).await["status"]["state"], "expired");
    for (method, path, body, want) in [
        ("GET", "/api/v2/silence/none", Value::Null, 404),
        ("DELETE", "/api/v2/silence/none", Value::Null, 404),
        (
            "POST",
            "/api/v2/silences",
            json!({"id": "none", "matchers": [], "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2026-01-01T00:00:00Z", "createdBy": "a", "comment": "b"}),
            404,
        ),
        ("POST", "/api/v2/silences", json!({"matchers": []}), 400),
    ] {
        assert_eq!(world.ask(method, path, &body).await.0, want, "{method} {path}");
    }
}

#[tokio::test]
async fn no_answer_has_a_secret() {
    let world = world();
    // A receiver that cannot be reached leaves traces of its own.
    let routing = world.handle.live.routing().expect("is there");
    world.handle.test_receiver("ops").await.expect("writes");
    assert!(format!("{routing:?}").contains("ops") && !format!("{routing:?}").contains("SECRETPATH"));
    let mut asked = 0;
    for route in crate::api::routes() {
        for (id, name, body) in [("01A", "ops", ""), ("none", "none", "{}"), ("01A", "ops", "{\"url\":")] {
            let path = route.path.replace("{id}", id).replace("{name}", name).replace("{token}", "none");
            let request = Request::builder().method(route.method.clone()).uri(&path);
            let request = request.body(Body::from(body)).expect("a request");
            let response = world.handle.router(route.right).oneshot(request).await.expect("it answers");
            let bytes = response.into_body().collect().await.expect("a body").to_bytes();
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains("SECRETPATH"), "{} {path}: {text}", route.method);
            asked += 1;
        }
    }
    assert!(asked > 90, "{asked}");
}

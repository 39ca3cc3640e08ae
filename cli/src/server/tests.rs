//! Alerting's routes behind the tokens of the aggregator: each asks for its scope and for no other.

use axum::body::Body;
use http::{Request, StatusCode};
use logweir_aggregator::auth::TokenFile;
use tower::ServiceExt;

use super::*;

struct World {
    _dir: tempfile::TempDir,
    _service: Service,
    router: axum::Router,
    tokens: Vec<(Scope, String)>,
    drain: Drain,
}

impl Drop for World {
    fn drop(&mut self) {
        self.drain.cancel();
    }
}

/// A whole server without a socket, with a token of each scope.
fn world() -> World {
    let dir = tempfile::tempdir().expect("a directory");
    let file = TokenFile::new(dir.path());
    let token = |scope: Scope| {
        let made = file.create("test", &[scope], "2026-11-20T00:00:00Z".to_owned());
        (scope, made.expect("a token").1)
    };
    let tokens = Scope::ALL.map(token).into();
    let config = Config::local("127.0.0.1:7171".parse().expect("an address"), dir.path().to_owned());
    let (clock, drain) = (Clock::system(), Drain::new());
    // It blocks, which a thread of the runtime must not.
    let build = || Pipeline::build(&config, Vec::new(), clock.clone(), drain.clone());
    let pipeline = std::thread::scope(|scope| scope.spawn(build).join().expect("no panic")).expect("it starts");
    let app = pipeline.app();
    let settings = logweir_alerting::Settings {
        data_dir: dir.path().join("alerting"),
        rules: Vec::new(),
        library: false,
        routing: None,
        base_url: "https://logs.example".to_owned(),
    };
    let engine = Arc::new(query::Engine::new(app.clone()));
    let (service, handle) = Service::build(settings, engine, clock.clone(), drain.clone()).expect("builds");
    let router = api::finish(api::router(app.clone(), &alerting_described()).merge(alerting_routes(&app, &handle)));
    World { _dir: dir, _service: service, router, tokens, drain }
}

impl World {
    async fn status(&self, method: &http::Method, path: &str, token: Option<&str>) -> StatusCode {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(http::header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Body::empty()).expect("a request");
        self.router.clone().oneshot(request).await.expect("it answers").status()
    }
}

#[tokio::test]
async fn every_route_of_alerting_is_described() {
    let world = world();
    let request = Request::get("/docs/openapi.json").body(Body::empty()).expect("a request");
    let answer = world.router.clone().oneshot(request).await.expect("it answers");
    let bytes = axum::body::to_bytes(answer.into_body(), 4 << 20).await.expect("a body");
    let document: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    for route in logweir_alerting::api::routes() {
        let operation = &document["paths"][route.path][route.method.as_str().to_ascii_lowercase()];
        let about = operation["summary"].as_str().unwrap_or_default();
        assert!(
            about.ends_with('.'),
            "{} {}: say what it does, in alerting/src/api/about.rs",
            route.method,
            route.path
        );
        let open = operation["security"] == serde_json::json!([]);
        assert_eq!(open, scope_of(route.right).is_none(), "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn every_route_of_alerting_asks_for_its_scope_and_for_no_other() {
    let world = world();
    let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
    for route in logweir_alerting::api::routes() {
        let path = route.path.replace("{id}", "none").replace("{name}", "none").replace("{token}", "none");
        let place = format!("{} {path}", route.method);
        let Some(wanted) = scope_of(route.right) else {
            let answer = world.status(&route.method, &path, None).await;
            // A hook says 401 for its own reason: a signature that is not there.
            assert!(
                answer != StatusCode::FORBIDDEN && (path.contains("/hooks/") || answer != StatusCode::UNAUTHORIZED),
                "{place}: {answer}"
            );
            continue;
        };
        assert_eq!(world.status(&route.method, &path, None).await, StatusCode::UNAUTHORIZED, "{place}");
        for (scope, token) in &world.tokens {
            let answer = world.status(&route.method, &path, Some(token)).await;
            match *scope == wanted || *scope == Scope::Admin {
                true => assert!(!refused.contains(&answer), "{place} as {}: {answer}", scope.as_str()),
                false => assert_eq!(answer, StatusCode::FORBIDDEN, "{place} as {}", scope.as_str()),
            }
        }
        // What changes something is never open to those who may only look.
        let asks = ["/api/v1/route-test", "/api/v1/rules/backtest"].contains(&path.as_str());
        let changes = route.method != http::Method::GET && !asks;
        assert!(!changes || wanted != Scope::Query, "{place}");
    }
}

/// What alerting tells of Logweir itself stands on this.
#[tokio::test]
async fn alerting_sees_clocks_and_the_disk() {
    use logweir_aggregator::ranges::SourceKey;
    use logweir_aggregator::receive::admission::Disk;
    use logweir_aggregator::receive::sources::Ahead;
    use logweir_alerting::source::{LowDisk, QuerySource};
    use logweir_proto::batch::{AgentInfo, Header, Heartbeat, SourceInfo, SourceKind};

    let dir = tempfile::tempdir().expect("a directory");
    let config = Config::local("127.0.0.1:7171".parse().expect("an address"), dir.path().to_owned());
    let drain = Drain::new();
    let build = || Pipeline::build(&config, Vec::new(), Clock::system(), drain.clone());
    let pipeline = std::thread::scope(|scope| scope.spawn(build).join().expect("no panic")).expect("it starts");
    let app = pipeline.app();
    let source = SourceInfo {
        id: "s".into(),
        kind: SourceKind::File,
        path: "/var/log/app.log".into(),
        format: String::new(),
        labels: std::collections::BTreeMap::new(),
    };
    let header = Header {
        agent: AgentInfo { id: "a".into(), host: "web-1".into(), version: "0".into(), utc_offset_minutes: 0 },
        seq: 1,
        sources: vec![source],
        chunks: Vec::new(),
        watermarks: Vec::new(),
        gaps: Vec::new(),
        heartbeat: Heartbeat { sent_ns: 7_000, ..Heartbeat::default() },
    };
    app.sources.observe(&header, 2_000);
    app.sources.is_ahead(&SourceKey::new("a", "s"), Ahead { received_ns: 9, by_ns: 5 });
    app.admission.set_disk(Disk { free_bytes: 1 << 40, used_percent: 92 });
    let engine = query::Engine::new(app.clone());
    // An agent that runs for a moment is passing, unless one that stays is on the same host, too.
    let once = |id: &str, host: &str| Header {
        agent: AgentInfo { id: id.into(), host: host.into(), ..header.agent.clone() },
        heartbeat: Heartbeat { passing: true, sent_ns: 14_000, ..Heartbeat::default() },
        ..header.clone()
    };
    app.sources.observe(&once("b", "web-1"), 9_000);
    app.sources.observe(&once("c", "cron-1"), 9_000);
    let hosts: Vec<(String, i64, bool)> =
        engine.hosts().into_iter().map(|mark| (mark.host, mark.heard_wall, mark.passing)).collect();
    assert_eq!(hosts, [("cron-1".to_owned(), 9_000, true), ("web-1".to_owned(), 2_000, false)]);
    let health = engine.health();
    let agent = health.agents.iter().find(|agent| agent.host == "web-1").expect("is heard");
    assert_eq!((agent.host.as_str(), agent.skew_ns), ("web-1", 5_000));
    assert_eq!(agent.ahead.as_ref().map(|ahead| (ahead.path.as_str(), ahead.by_ns)), Some(("/var/log/app.log", 5)));
    assert!(!health.host.is_empty());
    let full = |disk: &Option<LowDisk>| disk.as_ref().map(|disk| disk.full);
    assert_eq!(full(&health.disk), Some(false));
    app.admission.set_disk(Disk { free_bytes: 0, used_percent: 100 });
    assert_eq!(full(&engine.health().disk), Some(true));
    app.admission.set_disk(Disk { free_bytes: 1 << 40, used_percent: 10 });
    assert_eq!(full(&engine.health().disk), None);
    drain.cancel();
}

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use http::header::{ACCEPT, AUTHORIZATION};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use logweir_proto::api::{QueryAnswer, QueryRequest};
use logweir_runtime::clock::NANOS_PER_SECOND;
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::auth::TokenFile;
use crate::config::{Config, QUERIES_RUNNING_DEFAULT, QUERIES_WAITING_DEFAULT};
use crate::pipeline::Pipeline;

/// 2026-11-20T12:00:00Z
pub(super) const NOW_NS: i64 = 1_795_176_000 * NANOS_PER_SECOND;

/// A whole aggregator on a temporary directory, without a socket.
pub(super) struct World {
    pub(super) pipeline: Pipeline,
    pub(super) router: Router,
    pub(super) tokens: BTreeMap<&'static str, String>,
    pub(super) dir: tempfile::TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        // The threads end by themselves when the last tail has let go of its handles.
        self.pipeline.app().drain.cancel();
    }
}

impl World {
    pub(super) fn open() -> World {
        World::of(&[])
    }

    /// With a token for each of these scopes.
    pub(super) fn of(scopes: &[Scope]) -> World {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = TokenFile::new(dir.path());
        let token = |scope: &Scope| {
            let made = file.create("test", &[*scope], "2026-11-20T00:00:00Z".to_owned());
            (scope.as_str(), made.expect("a token").1)
        };
        let tokens = scopes.iter().map(token).collect();
        let config = Config::local("127.0.0.1:7171".parse().expect("an address"), dir.path().to_owned());
        let probe: Probe = Arc::new(|| Ok(None));
        // It blocks, which a thread of the runtime must not.
        let build = || Pipeline::build(&config, vec![("alerting", probe)], Clock::manual(NOW_NS), Drain::new());
        let pipeline = std::thread::scope(|scope| scope.spawn(build).join().expect("no panic"));
        let pipeline = pipeline.expect("it starts");
        let router = finish(router(pipeline.app(), &[]));
        World { pipeline, router, tokens, dir }
    }

    pub(super) async fn call(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.expect("a router always answers")
    }

    pub(super) async fn get(&self, uri: &str) -> Response {
        self.call(Request::get(uri).body(Body::empty()).expect("a request")).await
    }

    pub(super) async fn get_as(&self, uri: &str, scope: &str) -> Response {
        let bearer = format!("Bearer {}", self.tokens[scope]);
        self.call(Request::get(uri).header(AUTHORIZATION, bearer).body(Body::empty()).expect("a request")).await
    }

    /// Takes in events of one each millisecond before now, the last `rows` of them, and waits until they are found.
    pub(super) async fn ingest(&self, rows: std::ops::Range<usize>) {
        let from_ns = NOW_NS - 60 * NANOS_PER_SECOND;
        let line = |n: usize| {
            let time = logweir_runtime::clock::rfc3339(from_ns + n as i64 * 1_000_000);
            format!("{{\"time\":\"{time}\",\"level\":\"info\",\"message\":\"event {n}\",\"n\":{n}}}\n")
        };
        let (last, body) = (rows.end, rows.map(line).collect::<String>());
        let answer = self.call(Request::post("/api/v1/ingest").body(Body::from(body)).expect("a request")).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let app = self.pipeline.app();
        let stored = || {
            let view = app.store.view();
            view.segments.iter().flat_map(|segment| segment.blocks()).map(|block| block.rows as usize).sum::<usize>()
        };
        while stored() < last {
            tokio::task::yield_now().await;
        }
    }
}

pub(super) async fn body(response: Response) -> Bytes {
    response.into_body().collect().await.expect("a whole body").to_bytes()
}

async fn json(response: Response) -> Value {
    serde_json::from_slice(&body(response).await).expect("JSON")
}

fn frames(body: &Bytes) -> Vec<Value> {
    body.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("a frame"))
        .collect()
}

#[tokio::test]
async fn every_route_asks_for_its_scope_and_for_no_other() {
    let world = World::of(&Scope::ALL);
    let id = "40000000000000000000000001";
    for route in routes() {
        let uri = route.path.replace("{id}", id).replace("{*path}", "app.js");
        for method in route.methods {
            let status = async |scope: Option<Scope>| {
                let mut request = Request::builder().method(method).uri(&uri);
                if let Some(scope) = scope {
                    request = request.header(AUTHORIZATION, format!("Bearer {}", world.tokens[scope.as_str()]));
                }
                world.call(request.body(Body::empty()).expect("a request")).await.status()
            };
            let place = format!("{method} {uri}");
            let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
            let expected = match route.access {
                Access::Open => None,
                Access::Needs(scope) => Some(scope),
            };
            match expected {
                None => assert!(!refused.contains(&status(None).await), "{place}"),
                Some(_) => assert_eq!(status(None).await, StatusCode::UNAUTHORIZED, "{place}"),
            }
            for scope in Scope::ALL {
                let answer = status(Some(scope)).await;
                match expected.is_none_or(|expected| scope == expected || scope == Scope::Admin) {
                    true => assert!(!refused.contains(&answer), "{place} as {}: {answer}", scope.as_str()),
                    false => assert_eq!(answer, StatusCode::FORBIDDEN, "{place} as {}", scope.as_str()),
                }
                assert_ne!(answer, StatusCode::METHOD_NOT_ALLOWED, "{place}");
            }
        }
    }
}

#[tokio::test]
async fn strangers_learn_only_whether_the_server_is_ready() {
    let world = World::of(&[Scope::Ingest]);
    let text = |answer: Value| answer.to_string();
    assert_eq!(text(json(world.get("/health/ready").await).await), r#"{"ok":true,"parts":{}}"#);
    let all = r#"{"ok":true,"parts":{"alerting":"ok","disk":"ok","export":"ok","index":"ok","store":"ok","wal":"ok"},"retention":[{"class":"default","days":30,"splits":0,"bytes":0,"rows":0}]}"#;
    assert_eq!(text(json(world.get_as("/health/ready", "ingest").await).await), all);
    let local = World::open();
    assert_eq!(text(json(local.get("/health/ready").await).await), all);
    let rebound = Request::get("/health/ready").header("host", "evil.example").body(Body::empty()).expect("a request");
    assert_eq!(text(json(local.call(rebound).await).await), r#"{"ok":true,"parts":{}}"#);
}

#[tokio::test]
async fn mistakes_in_parameters_and_paths_are_errors_like_all_others() {
    let world = World::open();
    for uri in [
        "/api/v1/tail?nonsense=1",
        "/api/v1/events/40000000000000000000000001/context?before=many",
        "/api/v1/events/%FF",
        "/api/v1/events/no-id",
        "/api/v1/query?limit=x",
    ] {
        let answer = world.get(uri).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{uri}");
        assert_eq!(json(answer).await["error"]["code"], "bad_request", "{uri}");
    }
    for (uri, message) in [
        ("/api/v1/query?limit=x", "the parameters: limit: invalid digit found in string"),
        (
            "/api/v1/query?from=2026-11-20&to=2026-11-19",
            "the range ends before it begins: it is from 2026-11-20T00:00:00.000000000Z to 2026-11-19T00:00:00.000000000Z",
        ),
        (
            "/api/v1/hits?query=since:1h%20until:2h",
            "the range ends before it begins: it is from 2026-11-20T11:00:00.000000000Z to 2026-11-20T10:00:00.000000000Z",
        ),
    ] {
        assert_eq!(json(world.get(uri).await).await["error"]["message"], message, "{uri}");
    }
}

#[tokio::test]
async fn a_slow_reader_gives_its_thread_back_at_the_deadline_and_can_go_on_behind_what_it_took() {
    let world = World::open();
    world.ingest(0..3000).await;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut held = Vec::new();
    for _ in 0..threads {
        held.push(world.get("/api/v1/query?limit=3000&order=asc&timeout=200ms").await);
    }
    // Each thread is held until its reader's time is over; jobs that meet need all of them at once.
    let begun = Instant::now();
    let pool = world.pipeline.app().query_pool;
    let meeting = Arc::new(std::sync::Barrier::new(threads));
    let met = (0..threads).map(|_| {
        let meeting = Arc::clone(&meeting);
        pool.run(move || meeting.wait().is_leader())
    });
    assert!(futures_util::future::join_all(met).await.iter().all(Result::is_ok));
    assert!(begun.elapsed() < Duration::from_secs(20), "the query's own timeout frees the thread");
    let mut seen = Vec::new();
    for response in held {
        let mut frames = frames(&body(response).await);
        let end = frames.pop().expect("an end");
        assert_eq!(
            (&end["t"], &end["complete"], &end["reason"]),
            (&"end".into(), &false.into(), &"slow_reader".into())
        );
        let rows: Vec<Value> = frames.into_iter().filter(|frame| frame["t"] == "row").collect();
        assert_eq!(end["rows"], rows.len());
        assert!(rows.len() < 3000);
        let cursor = end["cursor"].as_str().expect("a cursor").to_owned();
        let next = world.get(&format!("/api/v1/query?limit=3000&order=asc&cursor={cursor}")).await;
        let next = self::frames(&body(next).await);
        seen = rows.into_iter().chain(next).filter(|frame| frame["t"] == "row").map(|row| row["n"].clone()).collect();
        assert_eq!(seen, (0..3000).map(Value::from).collect::<Vec<_>>());
    }
    assert!(!seen.is_empty());
}

#[tokio::test]
async fn rules_are_evaluated_while_every_other_search_waits_for_its_reader() {
    let world = World::open();
    world.ingest(0..3000).await;
    let mut held = Vec::new();
    for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
        held.push(world.get("/api/v1/query?limit=3000&timeout=60s").await);
    }
    let app = world.pipeline.app();
    let request = QueryRequest { query: "* | stats count() as n".to_owned(), ..QueryRequest::default() };
    let asked = query::Asked::new(&request, "test", &app).expect("a query");
    let running = query::start(&app, &app.rules_pool, asked, None).await.expect("there is room");
    let answer = tokio::time::timeout(Duration::from_secs(20), query::collect(running, Instant::now())).await;
    assert_eq!(answer.expect("in time").expect("an answer").rows[0]["n"], 3000);
}

#[tokio::test]
async fn a_search_for_one_value_ends_when_its_client_goes_away() {
    let world = World::open();
    let app = world.pipeline.app();
    let asked = query::Asked::new(&QueryRequest::default(), "test", &app).expect("a query");
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (ended, has_ended) = tokio::sync::oneshot::channel();
    let search = values::run(&app, asked, move |_, request, _| {
        let _ = begun.send(());
        while !request.cancel.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        let _ = ended.send(());
        Ok(())
    });
    tokio::select! {
        _ = search => panic!("nobody cancelled it yet"),
        begun = has_begun => begun.expect("it runs"),
    }
    has_ended.await.expect("it was cancelled");
}

#[tokio::test]
async fn one_object_has_every_warning_and_its_end_has_none() {
    let world = World::open();
    world.ingest(0..10).await;
    let request = Request::get("/api/v1/query?query=nosuch:1").header(ACCEPT, "application/json");
    let answer = world.call(request.body(Body::empty()).expect("a request")).await;
    let answer: QueryAnswer = serde_json::from_slice(&body(answer).await).expect("an answer");
    assert_eq!(answer.warnings[0].field.as_deref(), Some("nosuch"));
    assert_eq!(answer.end.warnings, []);
    let streamed = frames(&body(world.get("/api/v1/query?query=nosuch:1").await).await);
    assert_eq!(streamed[0]["warnings"][0]["field"], "nosuch");
    assert_eq!(streamed.last().expect("an end").get("warnings"), None);
}

#[tokio::test]
async fn a_running_query_is_listed_and_can_be_ended() {
    let world = World::open();
    world.ingest(0..3000).await;
    // Nobody reads the answer, so the search stays open.
    let held = world.get("/api/v1/query?limit=3000&timeout=60s").await;
    let running = json(world.get("/api/v1/queries").await).await;
    let id = running["queries"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(running["queries"][0]["who"], "local");
    let end = async |id: &str| {
        let uri = format!("/api/v1/queries/{id}");
        world.call(Request::delete(uri).body(Body::empty()).expect("a request")).await.status()
    };
    assert_eq!(end("nobody").await, StatusCode::NOT_FOUND);
    assert_eq!(end(&id).await, StatusCode::NO_CONTENT);
    let frames = frames(&body(held).await);
    assert_eq!(frames[0]["query_id"], id.as_str());
    assert_eq!(json(world.get("/api/v1/queries").await).await["queries"], serde_json::json!([]));
    assert_eq!(end(&id).await, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn a_token_has_so_many_queries_at_a_time_and_so_many_that_wait() {
    let world = World::open();
    world.ingest(0..30).await;
    let queries = queries::Queries::new(queries::QueryLimits { running: 2, waiting: 1 });
    let open = async |who: &str| queries.open("*", who, NOW_NS, Duration::from_secs(5)).await;
    let first = open("a").await.expect("there is room");
    let _second = open("a").await.expect("there is room");
    let (third, fourth, other) = tokio::join!(open("a"), open("a"), open("b"));
    assert_eq!(third.expect_err("its turn never came").detail.code, ErrorCode::RateLimited);
    let refused = fourth.expect_err("too many wait");
    assert!(refused.detail.message.contains("limits.queries_waiting (1)"), "{}", refused.detail.message);
    other.expect("another token has its own");
    let (third, ()) = tokio::join!(open("a"), async { drop(first) });
    third.expect("its turn came");

    // What is configured is in force, and told with a time to come again.
    let app = world.pipeline.app();
    let limits = (QUERIES_RUNNING_DEFAULT, QUERIES_WAITING_DEFAULT);
    let mut held = Vec::new();
    for _ in 0..limits.0 {
        held.push(app.queries.open("*", "local", NOW_NS, Duration::from_secs(5)).await.expect("there is room"));
    }
    let waiting = (0..limits.1).map(|_| app.queries.open("*", "local", NOW_NS, Duration::from_secs(900)));
    let waiting = futures_util::future::join_all(waiting);
    let refused = async {
        tokio::task::yield_now().await;
        let refused = world.get("/api/v1/hits").await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.headers()["retry-after"], "1");
    };
    tokio::select! {
        _ = waiting => panic!("nothing was let go"),
        () = refused => {}
    }
    drop(held);
    assert_eq!(world.get("/api/v1/hits").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn answers_come_as_bare_rows_csv_and_text() {
    let world = World::open();
    world.ingest(0..3).await;
    let get = async |parameters: &str| {
        let answer = world.get(&format!("/api/v1/query?order=asc&{parameters}")).await;
        assert_eq!(answer.status(), StatusCode::OK);
        String::from_utf8(body(answer).await.to_vec()).expect("text")
    };
    assert_eq!(get("format=csv&fields=n,message").await, "n,message\r\n0,event 0\r\n1,event 1\r\n2,event 2\r\n");
    assert_eq!(get("format=csv&partial=false&query=*%7Cstats%20count%20by%20level").await, "level,count\r\ninfo,3\r\n");
    assert_eq!(get("format=text&query=*%7Cstats%20count%20by%20level").await, "info\t3\n");
    let text = get("format=text&query=n:1").await;
    assert_eq!(serde_json::from_str::<Value>(&text).expect("the line as it came")["message"], "event 1");
    let rows = frames(&Bytes::from(get("format=rows&fields=n").await));
    assert_eq!(rows.iter().map(|row| row["n"].clone()).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(world.get("/api/v1/query?format=xml").await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn without_frames_an_answer_that_is_not_complete_breaks_off() {
    let world = World::open();
    world.ingest(0..3000).await;
    // Nobody reads until the deadline is over.
    let held = world.get("/api/v1/query?limit=3000&format=rows&timeout=100ms").await;
    assert_eq!(held.status(), StatusCode::OK);
    // Jobs that meet need every thread, also the one that the search gives back when its time is over.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let pool = world.pipeline.app().query_pool;
    let meeting = Arc::new(std::sync::Barrier::new(threads));
    let met = (0..threads).map(|_| {
        let meeting = Arc::clone(&meeting);
        pool.run(move || meeting.wait().is_leader())
    });
    assert!(futures_util::future::join_all(met).await.iter().all(Result::is_ok));
    assert!(held.into_body().collect().await.is_err());
}

#[tokio::test]
async fn a_query_within_the_query_that_takes_too_long_leaves_an_answer_that_says_so() {
    let world = World::open();
    world.ingest(0..3000).await;
    let uri = "/api/v1/query?timeout=1ns&query=n:in(*%7Cfields%20n)";
    let told = frames(&body(world.get(uri).await).await);
    let end = told.last().expect("an end");
    assert_eq!(
        (&end["complete"], &end["reason"], end["missing"].as_array().map(Vec::len)),
        (&false.into(), &"timeout".into(), Some(1))
    );
    assert_eq!(told[0]["warnings"][0]["warn"], "partial_subquery");
    assert_eq!(world.get(&format!("{uri}&partial=false")).await.status(), StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn an_answer_that_must_be_whole_and_is_not_names_the_time_that_is_missing() {
    let world = World::open();
    world.ingest(0..3000).await;
    let within = "n:in(*%7Cfields%20n)";
    for uri in [
        "/api/v1/query?timeout=1ns&query=n%3E5".to_owned(),
        "/api/v1/query?timeout=1ns&query=n%3E5&format=rows".to_owned(),
        format!("/api/v1/query?timeout=1ns&query={within}"),
        format!("/api/v1/hits?timeout=1ns&query={within}"),
        "/api/v1/hits?timeout=1ns&query=n%3E5".to_owned(),
        "/api/v1/patterns?timeout=1ns&query=n%3E5".to_owned(),
        "/api/v1/facets?timeout=1ns&query=n%3E5".to_owned(),
    ] {
        let uri = format!("{uri}&partial=false&from=2026-11-20T11:00:00Z&to=2026-11-20T12:00:00Z");
        let answer = world.get(&uri).await;
        assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT, "{uri}");
        let error = &json(answer).await["error"];
        let (from, to) = (&error["missing"][0]["from"], &error["missing"][0]["to"]);
        let (Some(from), Some(to)) = (from.as_str(), to.as_str()) else { panic!("{uri}: {error}") };
        assert!(from >= "2026-11-20T11:00:00" && from < to && to <= "2026-11-20T12:00:00Z", "{uri}: {error}");
        let named = format!(": missing is {from} to {to}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(&named)), "{uri}: {error}");
    }
}

#[tokio::test]
async fn neighbours_share_fields_that_there_are() {
    let world = World::open();
    world.ingest(0..5).await;
    let rows = json(
        world
            .call(
                Request::get("/api/v1/query?query=n:2")
                    .header(ACCEPT, "application/json")
                    .body(Body::empty())
                    .expect("a request"),
            )
            .await,
    )
    .await;
    let id = rows["rows"][0]["id"].as_str().expect("an id").to_owned();
    let get = async |by: &str| world.get(&format!("/api/v1/events/{id}/context?by={by}")).await;
    // Every kind of source has not every field of them all.
    for (by, rows) in [("service,host", 5), ("level", 5), ("n", 1), ("client_ip", 5)] {
        let answer = json(get(by).await).await;
        assert_eq!(answer["rows"].as_array().map(Vec::len), Some(rows), "{by}");
    }
    let refused = get("level,levle").await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    let error = &json(refused).await["error"];
    assert_eq!(error["message"], "by: no event of that time has a field levle; did you mean level?");
    assert_eq!(error["hint"], "fields are level, message, n, source");
}

#[tokio::test]
async fn the_values_of_a_field_are_found_by_their_beginning() {
    let world = World::open();
    world.ingest(0..120).await;
    let get = async |uri: &str| json(world.get(uri).await).await;
    let values = get("/api/v1/fields/message/values?q=EVENT%2011&limit=3").await;
    let texts: Vec<&Value> = values["values"].as_array().expect("a list").iter().map(|value| &value["value"]).collect();
    assert_eq!(texts, ["event 11", "event 110", "event 111"]);
    assert_eq!((&values["distinct"], &values["rows"], &values["complete"]), (&120.into(), &120.into(), &true.into()));
    assert_eq!(values["warnings"], Value::Null);
    let none = get("/api/v1/fields/mesage/values").await;
    assert_eq!(none["values"], serde_json::json!([]));
    assert_eq!(none["warnings"][0]["did_you_mean"], "message");
    assert_eq!(get("/api/v1/facets?fields=mesage").await["warnings"], none["warnings"]);
    assert_eq!(get("/api/v1/facets?query=leve:info").await["warnings"][0]["did_you_mean"], "level");
    for accept in ["application/json", "application/x-ndjson"] {
        let request = Request::get("/api/v1/query?query=nothing-like-this&partial=false").header(ACCEPT, accept);
        let answer = body(world.call(request.body(Body::empty()).expect("a request")).await).await;
        assert_eq!(frames(&answer)[0]["events"], true, "{accept}");
    }
    assert_eq!(world.get("/api/v1/fields/n/values?limit=0").await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_histogram_has_the_one_of_before_beside_it() {
    let world = World::open();
    world.ingest(0..120).await;
    let answer = json(world.get("/api/v1/hits?from=-30s&to=now&compare=45s&buckets=30&by=level").await).await;
    assert_eq!((&answer["total"], &answer["previous"]["total"]), (&0.into(), &120.into()));
    assert_eq!(answer["width_ms"], answer["previous"]["width_ms"]);
    let bars = |answer: &Value| answer["series"]["info"].as_array().map(Vec::len);
    assert_eq!(bars(&answer["previous"]), Some(30));
    assert_eq!(world.get("/api/v1/hits?compare=-1d").await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn patterns_come_with_their_counts() {
    let world = World::open();
    world.ingest(0..50).await;
    let answer = json(world.get("/api/v1/patterns?from=-1h").await).await;
    let pattern = &answer["patterns"][0];
    assert_eq!((&pattern["pattern"], &pattern["count"]), (&"event <num>".into(), &50.into()));
    assert_eq!(pattern.get("buckets"), None);
    let answer = json(world.get("/api/v1/patterns?from=-2m&to=now&buckets=12").await).await;
    assert_eq!(answer["width_ms"], 10_000);
    let counts: Vec<u64> =
        answer["patterns"][0]["buckets"].as_array().expect("a list").iter().filter_map(Value::as_u64).collect();
    assert_eq!(counts.iter().sum::<u64>(), 50);
    assert_eq!(counts[6], 50, "a minute ago");
    assert_eq!(world.get("/api/v1/patterns?new_since=x").await.status(), StatusCode::BAD_REQUEST);
}

//! Exports through the API: the whole range, once each, whatever happens in between.

use std::io::Read;

use http::Method;
use logweir_runtime::clock::NANOS_PER_SECOND;
use serde_json::{Value, json};

use super::*;
use crate::api::tests::{NOW_NS, World, body};

async fn call(world: &World, method: Method, path: &str, sent: &str) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path).body(Body::from(sent.to_owned())).expect("a request");
    let answer = world.call(request).await;
    let status = answer.status();
    (status, serde_json::from_slice(&body(answer).await).unwrap_or_default())
}

async fn ended(world: &World, id: &str) -> Value {
    loop {
        let (status, export) = call(world, Method::GET, &format!("/api/v1/exports/{id}"), "").await;
        assert_eq!(status, StatusCode::OK, "{export}");
        if !["queued", "running"].contains(&export["state"].as_str().unwrap_or_default()) {
            return export;
        }
        tokio::task::yield_now().await;
    }
}

async fn make(world: &World, request: Value) -> Value {
    let (status, export) = call(world, Method::POST, "/api/v1/exports", &request.to_string()).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{export}");
    ended(world, export["id"].as_str().expect("an id")).await
}

async fn file(world: &World, export: &Value) -> Vec<u8> {
    let uri = format!("/api/v1/exports/{}/data", export["id"].as_str().expect("an id"));
    let answer = world.get(&uri).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let file = body(answer).await.to_vec();
    assert_eq!(export["bytes"], file.len());
    file
}

fn text(file: &[u8]) -> String {
    let mut text = String::new();
    let decoder = zstd::stream::read::Decoder::new(file).expect("zstd");
    decoder.take(64 << 20).read_to_string(&mut text).expect("a whole file");
    text
}

#[tokio::test]
async fn an_export_has_every_event_of_the_range_once_and_in_order() {
    let world = World::open();
    world.ingest(0..25_000).await;
    let export = make(&world, json!({"query": "n>=100", "from": "-2m", "fields": "n"})).await;
    assert_eq!(
        (&export["state"], &export["rows"], &export["complete"]),
        (&"done".into(), &24_900.into(), &true.into())
    );
    assert_eq!(export["covered_to"], export["to"]);
    let text = text(&file(&world, &export).await);
    let numbers: Vec<i64> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["n"].as_i64().expect("a number"))
        .collect();
    assert_eq!(numbers, (100..25_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn tables_and_csv_and_nothing_at_all_are_files_too() {
    let world = World::open();
    world.ingest(0..30).await;
    let table = make(&world, json!({"query": "* | stats count by level", "format": "csv"})).await;
    assert_eq!(text(&file(&world, &table).await), "level,count\r\ninfo,30\r\n");
    let events = make(&world, json!({"query": "n:7", "format": "csv", "fields": "n,message"})).await;
    assert_eq!(text(&file(&world, &events).await), "n,message\r\n7,event 7\r\n");
    let nothing = make(&world, json!({"query": "n:7777"})).await;
    assert_eq!((&nothing["rows"], text(&file(&world, &nothing).await)), (&0.into(), String::new()));
    let list = call(&world, Method::GET, "/api/v1/exports", "").await.1;
    assert_eq!(list["exports"].as_array().expect("a list").len(), 3);
    assert_eq!(list["exports"][0]["id"], nothing["id"], "the newest first");
}

#[tokio::test]
async fn a_part_of_the_file_can_be_asked_for() {
    let world = World::open();
    world.ingest(0..500).await;
    let export = make(&world, json!({"query": "*"})).await;
    let whole = file(&world, &export).await;
    let uri = format!("/api/v1/exports/{}/data", export["id"].as_str().expect("an id"));
    for (range, want) in
        [("bytes=10-", 10..whole.len()), ("bytes=5-9", 5..10), ("bytes=-4", whole.len() - 4..whole.len())]
    {
        let answer = world.call(Request::get(&uri).header(RANGE, range).body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
        let said = format!("bytes {}-{}/{}", want.start, want.end - 1, whole.len());
        assert_eq!(answer.headers()[CONTENT_RANGE], said.as_str());
        assert_eq!(body(answer).await, whole[want]);
    }
    let beyond = Request::get(&uri).header(RANGE, "bytes=99999999-").body(Body::empty()).expect("a request");
    assert_eq!(world.call(beyond).await.status(), StatusCode::RANGE_NOT_SATISFIABLE);
}

#[tokio::test]
async fn an_export_belongs_to_its_token_and_mistakes_are_told_at_once() {
    let world = World::of(&[Scope::Query, Scope::Admin]);
    let post = |scope: &str, sent: &'static str| {
        let bearer = format!("Bearer {}", world.tokens[scope]);
        Request::post("/api/v1/exports").header("authorization", bearer).body(Body::from(sent)).expect("a request")
    };
    for sent in [r#"{"query":"| bogus"}"#, r#"{"from":"yesterdayish"}"#, r#"{"format":"xml"}"#, r#"{"nonsense":1}"#] {
        assert_eq!(world.call(post("query", sent)).await.status(), StatusCode::BAD_REQUEST, "{sent}");
    }
    let made = world.call(post("query", "{}")).await;
    assert_eq!(made.status(), StatusCode::ACCEPTED);
    let made: Value = serde_json::from_slice(&body(made).await).expect("JSON");
    let uri = format!("/api/v1/exports/{}", made["id"].as_str().expect("an id"));
    assert_eq!(world.get_as(&uri, "query").await.status(), StatusCode::OK);
    assert_eq!(world.get_as(&uri, "admin").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_token_has_one_export_under_way_and_a_deleted_one_leaves_nothing() {
    let world = World::open();
    let exports = world.pipeline.app().exports;
    let job = |state| {
        let shown = json!({"id": ulid::Ulid::new().to_string(), "state": state, "query": "*", "from": "", "to": "",
            "format": "ndjson", "rows": 0, "bytes": 0, "covered_to": "", "complete": false, "created": ""});
        let shown = serde_json::from_value(shown).expect("an export");
        Job {
            version: 1,
            who: "local".to_owned(),
            now_ns: 0,
            from_ns: 0,
            to_ns: 1,
            cursor: None,
            columns: None,
            ended_ns: None,
            shown,
        }
    };
    // Nobody works at one that is marked as running.
    let running = exports.add(job("running")).expect("there is room").id;
    let (status, error) = call(&world, Method::POST, "/api/v1/exports", "{}").await;
    assert_eq!((status, &error["error"]["code"]), (StatusCode::TOO_MANY_REQUESTS, &"rate_limited".into()));
    let uri = format!("/api/v1/exports/{running}");
    assert_eq!(call(&world, Method::DELETE, &uri, "").await.0, StatusCode::NO_CONTENT);
    assert_eq!(call(&world, Method::DELETE, &uri, "").await.0, StatusCode::NOT_FOUND);
    make(&world, json!({})).await;
    let files = || std::fs::read_dir(world.dir.path().join("exports")).expect("a folder").count();
    assert_eq!(files(), 2);
    exports.expire(NOW_NS + 25 * 3600 * NANOS_PER_SECOND);
    assert_eq!((files(), exports.list("local").len()), (0, 0));
}

#[tokio::test]
async fn after_a_restart_an_export_goes_on_behind_its_last_whole_page() {
    let world = World::open();
    world.ingest(0..12_000).await;
    let done = make(&world, json!({"query": "*", "from": "-2m", "fields": "n"})).await;
    let whole = text(&file(&world, &done).await);
    let app = world.pipeline.app();
    let job = app.exports.get(done["id"].as_str().expect("an id"), "local").expect("it is there");

    // As a crash leaves it: a page was kept, a half one follows, and the state says running.
    let dir = world.dir.path().join("exports-of-before");
    logweir_runtime::durable::create_private_dir(&dir).expect("a folder");
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let last: Value = serde_json::from_str(lines[4_999]).expect("JSON");
    let page = zstd::stream::Encoder::new(Vec::new(), 1).and_then(|mut encoder| {
        std::io::Write::write_all(&mut encoder, lines[..5_000].concat().as_bytes())?;
        encoder.finish()
    });
    let mut page = page.expect("zstd");
    let mut before = job;
    before.shown.state = ExportState::Running;
    before.shown.bytes = page.len() as u64;
    before.shown.rows = 5_000;
    before.ended_ns = None;
    before.cursor = Some(last["id"].as_str().expect("an id").parse().expect("an id"));
    before.save(&dir).expect("saved");
    page.extend_from_slice(b"half a page");
    std::fs::write(before.data_path(&dir), &page).expect("written");
    std::fs::write(dir.join("of-nobody.data"), b"x").expect("written");

    let settings = Settings { bytes_max: 1 << 30, keep: Duration::from_secs(3600), memory_bytes: 1 << 28 };
    let drain = Drain::new();
    let (exports, thread) =
        Exports::start(&dir, settings, app.store.clone(), app.clock.clone(), drain).expect("it starts");
    let after = loop {
        let job = exports.get(&before.shown.id, "local").expect("it is there");
        if !job.is_active() {
            break job;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((after.shown.state, after.shown.rows), (ExportState::Done, 12_000));
    assert_eq!(text(&std::fs::read(after.data_path(&dir)).expect("a file")), whole);
    assert!(!dir.join("of-nobody.data").exists());
    exports.stop();
    tokio::task::spawn_blocking(move || thread.join().expect("no panic")).await.expect("it ended");
}

#[tokio::test]
async fn an_export_that_outgrows_its_room_fails_and_gives_the_room_back() {
    let world = World::open();
    world.ingest(0..12_000).await;
    let app = world.pipeline.app();
    let dir = world.dir.path().join("small");
    let settings = Settings { bytes_max: 1000, keep: Duration::from_secs(3600), memory_bytes: 1 << 28 };
    let (exports, thread) =
        Exports::start(&dir, settings, app.store.clone(), app.clock.clone(), Drain::new()).expect("it starts");
    let made = make(&world, json!({"query": "*"})).await;
    let mut job = app.exports.get(made["id"].as_str().expect("an id"), "local").expect("it is there");
    (job.shown.state, job.shown.bytes, job.shown.rows, job.cursor) = (ExportState::Queued, 0, 0, None);
    let id = exports.add(job).expect("there is room").id;
    let failed = loop {
        let job = exports.get(&id, "local").expect("it is there");
        if !job.is_active() {
            break job.shown;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(failed.state, ExportState::Failed);
    assert!(failed.error.expect("a reason").contains("limits.export_bytes"));
    assert_eq!(failed.bytes, 0);
    exports.stop();
    tokio::task::spawn_blocking(move || thread.join().expect("no panic")).await.expect("it ended");
}

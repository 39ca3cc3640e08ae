use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::Value;

use super::*;
use crate::api::tests::{NOW_NS, World};
use crate::auth::TokenFile;
use crate::live::SUBSCRIBERS_MAX;
use crate::names::Names;
use crate::parse::line::Line;
use crate::store::block::BlockBuilder;

/// Reads the frames of a tail as they come.
struct Reader {
    body: Body,
    text: String,
}

impl Reader {
    fn new(response: Response) -> Reader {
        assert_eq!(response.status(), StatusCode::OK);
        Reader { body: response.into_body(), text: String::new() }
    }

    /// The next frame but for the first, which says what is to come; `None` at the end of the connection.
    async fn next(&mut self) -> Option<Value> {
        loop {
            let frame = self.any().await?;
            if frame["t"] != "meta" {
                return Some(frame);
            }
        }
    }

    async fn any(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let message: String = self.text.drain(..end + 2).collect();
                if let Some(data) = message.lines().find_map(|line| line.strip_prefix("data: ")) {
                    return Some(serde_json::from_str(data).expect("a frame"));
                }
                continue;
            }
            let bytes = self.body.frame().await?.expect("bytes").into_data().expect("data");
            self.text.push_str(std::str::from_utf8(&bytes).expect("text"));
        }
    }
}

fn block() -> Arc<Block> {
    let mut builder = BlockBuilder::default();
    builder.push(&Names::default(), &Line::default(), b"line", NOW_NS, u64::MAX >> 1);
    Arc::new(builder.finish())
}

#[tokio::test]
async fn what_is_stored_comes_whole_over_many_pages_and_then_what_is_fresh() {
    let world = World::open();
    let rows = 12 * STORED_PAGE_ROWS + 500;
    world.ingest(0..rows / 2).await;
    world.ingest(rows / 2..rows).await;
    let mut reader = Reader::new(world.get("/api/v1/tail?start_offset=1h&fields=n").await);
    for n in 0..rows {
        let frame = reader.next().await.expect("a frame");
        assert_eq!((&frame["t"], &frame["n"]), (&"row".into(), &n.into()));
    }
    world.ingest(rows..rows + 1).await;
    assert_eq!(reader.next().await.expect("a frame")["n"], rows);
    world.pipeline.app().drain.cancel();
    assert_eq!(reader.next().await, None);
}

#[tokio::test]
async fn the_first_frame_names_the_columns_and_doubts_a_field_that_nobody_has() {
    let world = World::open();
    world.ingest(0..10).await;
    let first = async |query: &str| {
        let mut reader = Reader::new(world.get(&format!("/api/v1/tail?query={query}")).await);
        let frame = reader.any().await.expect("a frame");
        assert_eq!(frame["t"], "meta");
        (frame["columns"].to_string(), frame["warnings"][0]["message"].as_str().unwrap_or_default().to_owned())
    };
    let usual = r#"["time","level","service","message"]"#.to_owned();
    assert_eq!(first("n%3E1").await, (usual.clone(), String::new()));
    assert_eq!(first("n%3E1%7Cfields%20n").await, (r#"["n"]"#.to_owned(), String::new()));
    let made = r#"["time","level","service","message","twice"]"#.to_owned();
    assert_eq!(first("n%3E1%7Ceval%20twice=n*2").await, (made, String::new()));
    let (columns, warning) = first("mesage:x").await;
    assert_eq!(columns, usual);
    assert!(warning.contains("mesage"), "{warning}");
    assert_eq!(first("*%7Cstats%20count").await, ("[]".to_owned(), String::new()));
}

/// Time is advanced by the runtime when nothing else is to do.
#[tokio::test(start_paused = true)]
async fn a_revoked_token_ends_a_tail_that_is_never_quiet() {
    let world = World::of(&[Scope::Tail]);
    let mut reader = Reader::new(world.get_as("/api/v1/tail?query=nothing-like-this", "tail").await);
    let live = world.pipeline.app().live;
    let busy = tokio::spawn(async move {
        loop {
            live.publish(&block());
            tokio::time::sleep(RECHECK / 10).await;
        }
    });
    let open = tokio::time::timeout(RECHECK * 3, reader.next()).await;
    assert!(open.is_err(), "the token is good");
    let file = TokenFile::new(world.dir.path());
    let id = file.read().expect("tokens")[0].id.clone();
    // Another token stays: a server without any would be open.
    file.create("other", &[Scope::Query], "2026-11-20T00:00:00Z".to_owned()).expect("a token");
    file.revoke(&id).expect("it is known");
    let end = tokio::time::timeout(RECHECK * 3, reader.next()).await;
    assert_eq!(end.expect("it ends"), None);
    busy.abort();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_of_what_is_stored_is_let_go() {
    let world = World::open();
    let rows = MESSAGES_MAX + 2 * STORED_PAGE_ROWS;
    world.ingest(0..rows).await;
    let mut reader = Reader::new(world.get("/api/v1/tail?start_offset=1h").await);
    let live = world.pipeline.app().live;
    while live.has_subscribers() {
        tokio::time::sleep(STALLED_MAX).await;
    }
    let mut taken = 0;
    while let Some(frame) = reader.next().await {
        assert_eq!(frame["n"], taken);
        taken += 1;
    }
    assert!(taken < rows, "the rest is for the next connection");
}

#[tokio::test]
async fn a_client_that_went_away_makes_room_at_once_even_when_its_connection_was_full() {
    let world = World::open();
    world.ingest(0..MESSAGES_MAX * 2).await;
    let mut all = Vec::new();
    for n in 0..SUBSCRIBERS_MAX {
        // Some wait for their client, which reads nothing, some for fresh rows.
        let uri = if n % 8 == 0 { "/api/v1/tail?start_offset=1h" } else { "/api/v1/tail" };
        all.push(world.get(uri).await);
    }
    assert_eq!(world.get("/api/v1/tail").await.status(), StatusCode::TOO_MANY_REQUESTS);
    drop(all);
    let live = world.pipeline.app().live;
    let room = async {
        while live.has_subscribers() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(RECHECK / 2, room).await.expect("nobody waits for a check");
}

#[test]
fn a_page_that_is_not_whole_goes_on_or_says_so_or_ends_the_connection() {
    let at = |time_ns| EventId { time_ns, seq: 7 };
    let missing = |from_ns| MissingRange { from: clock::rfc3339(from_ns), to: clock::rfc3339(from_ns + 1), splits: 1 };
    let outcome = |reason, cursor, missing: &[MissingRange]| Outcome {
        reason,
        cursor,
        missing: missing.to_vec(),
        ..Outcome::default()
    };
    let unreadable = Some(Reason::Unreadable);
    let table = [
        (outcome(None, None, &[]), (Turn::Live, None)),
        (outcome(None, Some(at(5)), &[]), (Turn::Page(at(5)), None)),
        (outcome(Some(Reason::SlowReader), Some(at(5)), &[]), (Turn::Page(at(5)), None)),
        (outcome(Some(Reason::Timeout), Some(at(5)), &[missing(6)]), (Turn::Page(at(5)), None)),
        (outcome(Some(Reason::Timeout), Some(at(5)), &[missing(2)]), (Turn::Page(at(5)), unreadable)),
        // The same place again: to try once more would be to try for ever.
        (outcome(Some(Reason::Timeout), Some(at(1)), &[missing(2)]), (Turn::Break, None)),
        (outcome(Some(Reason::SlowReader), None, &[]), (Turn::Break, None)),
        (outcome(Some(Reason::Cancelled), Some(at(5)), &[]), (Turn::Break, None)),
        (outcome(unreadable, None, &[missing(2)]), (Turn::Live, unreadable)),
        (outcome(unreadable, Some(at(5)), &[missing(2)]), (Turn::Page(at(5)), unreadable)),
    ];
    for (outcome, expected) in table {
        assert_eq!(turn(&outcome, Some(at(1))), expected, "{outcome:?}");
    }
    let frame = dropped(0, "unreadable", &[missing(2)]);
    expect_test::expect![[r#"
        data: {"t":"dropped","n":0,"reason":"unreadable","missing":[{"from":"1970-01-01T00:00:00.000000002Z","to":"1970-01-01T00:00:00.000000003Z","splits":1}]}

    "#]]
    .assert_eq(std::str::from_utf8(&frame).expect("text"));
}

/// The keep-alive and the windows are timers; time is advanced when nothing else is to do.
#[tokio::test(start_paused = true)]
async fn an_aggregation_gives_one_table_a_window_and_each_event_is_in_one() {
    let world = World::open();
    world.ingest(0..2500).await;
    // Stored: the events are one a millisecond, from a minute before the clock on.
    let uri = "/api/v1/tail?query=n%3E=100%7Cstats%20count%20as%20n,max(n)%20as%20most%7Ceval%20twice=n*2&start_offset=1h&every=1s";
    let mut reader = Reader::new(world.get(uri).await);
    let mut counts = Vec::new();
    for _ in 0..3 {
        let window = reader.next().await.expect("a window");
        assert_eq!(window["t"], "window");
        assert_eq!(window["columns"], serde_json::json!(["n", "most", "twice"]));
        counts.push(window["rows"][0]["n"].as_u64().expect("a count"));
    }
    // Then one of nothing, then what is fresh.
    assert_eq!(counts, [900, 1000, 500]);
    assert_eq!(reader.next().await.expect("a window")["rows"][0]["n"], 0);
    world.ingest(2500..2600).await;
    let fresh = loop {
        let window = reader.next().await.expect("a window");
        if window["rows"][0]["n"] != 0 {
            break window;
        }
    };
    assert_eq!((&fresh["rows"][0]["n"], &fresh["rows"][0]["most"]), (&100.into(), &2599.into()));
    for uri in [
        "/api/v1/tail?query=*%7Cstats%20count%7Ccompare%201d",
        "/api/v1/tail?query=*%7Csort%20n",
        "/api/v1/tail?every=1ms",
    ] {
        assert_eq!(world.get(uri).await.status(), StatusCode::BAD_REQUEST, "{uri}");
    }
    let mut refused = Reader {
        body: world.get("/api/v1/tail?query=*%7Cfields%20n%7Csort%20n").await.into_body(),
        text: String::new(),
    };
    let answer = refused.body.frame().await.expect("a body").expect("bytes").into_data().expect("data");
    assert!(String::from_utf8_lossy(&answer).contains("'sort' looks at more than one event"), "{answer:?}");
}

#[tokio::test]
async fn a_query_within_the_query_runs_when_the_tail_begins() {
    let world = World::open();
    world.ingest(0..10).await;
    let mut reader = Reader::new(world.get("/api/v1/tail?fields=n&query=n:in(n%3E7%7Cfields%20n)").await);
    // More than 7, but the tail had begun.
    world.ingest(10..12).await;
    world.ingest(7..10).await;
    for n in [8, 9] {
        assert_eq!(reader.next().await.expect("a frame")["n"], n);
    }
    let answer = world.get("/api/v1/tail?query=n:in(n%3E7)").await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    world.pipeline.app().drain.cancel();
}

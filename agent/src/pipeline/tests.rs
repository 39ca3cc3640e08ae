use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::sync::Mutex;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use logweir_proto::api::{BatchAnswer, ErrorBody, ErrorCode, ErrorDetail};
use logweir_proto::batch::{Envelope, Header};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::config::{Discover, FileRule, Limits, StartAt};
use crate::tail::model::Server;

/// What the server does with the next request.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Status(u16),
    /// 200 with a body that is no answer.
    Garbage,
    /// Stores, then says that it failed.
    StoreAndFail,
}

#[derive(Default)]
struct Fake {
    server: Mutex<Server>,
    faults: Mutex<VecDeque<Fault>>,
    headers: Mutex<Vec<Header>>,
    tokens: Mutex<Vec<String>>,
    /// Records with these bytes are refused with 400.
    poison: Option<&'static [u8]>,
    /// So often is a record refused that is poisoned and alone; for ever when `None`.
    patience: Mutex<Option<u32>>,
    /// More records than this are refused with 413.
    records_max: Option<u32>,
    /// Each so many-th request is refused with 413, whatever it holds, and how many there were.
    too_large_each: Option<u32>,
    requests: Mutex<u32>,
    news: Notify,
}

fn refuse(status: StatusCode, message: &str) -> Response {
    let error = ErrorDetail {
        code: ErrorCode::BadBody,
        message: message.into(),
        pos: None,
        len: None,
        hint: None,
        missing: None,
    };
    (status, axum::Json(ErrorBody { error })).into_response()
}

async fn receive(State(fake): State<Arc<Fake>>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = take(&fake, &headers, &body);
    fake.news.notify_one();
    answer
}

fn take(fake: &Fake, headers: &HeaderMap, body: &[u8]) -> Response {
    let token = headers.get("authorization").map(|value| value.to_str().expect("ascii").to_owned());
    fake.tokens.lock().expect("no panic").extend(token);
    let requests = {
        let mut requests = fake.requests.lock().expect("no panic");
        *requests += 1;
        *requests
    };
    if fake.too_large_each.is_some_and(|each| requests % each == 0) {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let fault = fake.faults.lock().expect("no panic").pop_front();
    match fault {
        Some(Fault::Status(status)) => {
            return (StatusCode::from_u16(status).expect("a status"), [("retry-after", "0")]).into_response();
        }
        Some(Fault::Garbage) => return "<html>it works</html>".into_response(),
        Some(Fault::StoreAndFail) | None => {}
    }
    let envelope = Envelope::parse(body).expect("a batch");
    let mut poisoned = false;
    let decoded = envelope.decompress().expect("its body");
    decoded
        .for_each(&envelope.header, |_, record| poisoned |= fake.poison.is_some_and(|poison| record.text == poison))
        .expect("its records");
    let records: u32 = envelope.header.chunks.iter().map(|chunk| chunk.records).sum();
    let mut patience = fake.patience.lock().expect("no panic");
    if poisoned && *patience != Some(0) {
        if records == 1
            && let Some(left) = patience.as_mut()
        {
            *left -= 1;
        }
        return refuse(StatusCode::BAD_REQUEST, "a record is poisoned");
    }
    if fake.records_max.is_some_and(|max| records > max) {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "too many");
    }
    let offsets = fake.server.lock().expect("no panic").receive(body);
    fake.headers.lock().expect("no panic").push(envelope.header);
    if matches!(fault, Some(Fault::StoreAndFail)) {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    axum::Json(BatchAnswer { accepted: u64::from(records), offsets, ..BatchAnswer::default() }).into_response()
}

impl Fake {
    fn lines(&self) -> Vec<String> {
        let server = self.server.lock().expect("no panic");
        server.records.values().map(|(_, text)| String::from_utf8_lossy(text).into_owned()).collect()
    }

    async fn until(&self, done: impl Fn(&Fake) -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            while !done(self) {
                self.news.notified().await;
            }
        });
        if waited.await.is_err() {
            panic!("still waiting; the server has {:?}", self.lines());
        }
    }
}

struct World {
    dir: tempfile::TempDir,
    fake: Arc<Fake>,
    url: String,
    drain: Drain,
}

impl World {
    async fn new(fake: Fake) -> World {
        let fake = Arc::new(fake);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().route("/api/v1/batches", post(receive)).with_state(Arc::clone(&fake));
        let drain = Drain::new();
        tokio::spawn(logweir_runtime::serve::serve(listener, None, router, drain.clone()));
        World { dir: tempfile::tempdir().expect("a temporary directory"), fake, url, drain }
    }

    fn config(&self) -> Config {
        let glob = self.dir.path().join("*.log").display().to_string();
        let rule = FileRule { start_at: StartAt::Beginning, ..FileRule::plain(vec![glob]) };
        Config {
            server_url: Some(self.url.clone()),
            state_dir: self.dir.path().join("state"),
            host: Some("web-1".into()),
            discover: Discover::NONE,
            files: vec![rule],
            limits: Limits { batch_age: Duration::from_millis(64), ..Limits::default() },
            ..Config::new()
        }
    }

    fn start(&self, config: Config) -> (Drain, JoinHandle<Result<()>>) {
        let drain = Drain::new();
        let agent = Agent::build(config, Clock::system(), drain.clone()).expect("an agent");
        (drain, tokio::spawn(agent.run()))
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        let mut file = OpenOptions::new().create(true).append(true).open(path).expect("a log");
        file.write_all(text.as_bytes()).expect("an append");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.drain.cancel();
    }
}

fn numbered(range: std::ops::Range<u32>) -> String {
    range.map(|n| format!("line {n:05}\n")).collect()
}

async fn end(drain: &Drain, agent: JoinHandle<Result<()>>) {
    drain.cancel();
    agent.await.expect("no panic").expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_arrive_through_rotations_and_restarts() {
    let world = World::new(Fake::default()).await;
    world.write("app.log", &numbered(0..100));
    let (drain, agent) = world.start(world.config());
    world.fake.until(|fake| fake.lines().len() == 100).await;
    world.write("app.log", &numbered(100..200));
    fs::rename(world.dir.path().join("app.log"), world.dir.path().join("app.log.1")).expect("a rotation");
    world.write("app.log", &numbered(200..300));
    world.fake.until(|fake| fake.lines().len() == 300).await;
    end(&drain, agent).await;
    // What is written and rotated while nobody looks is there after the next start.
    world.write("app.log", &numbered(300..400));
    fs::rename(world.dir.path().join("app.log"), world.dir.path().join("app.log.2")).expect("a rotation");
    world.write("app.log", &numbered(400..500));
    let (drain, agent) = world.start(world.config());
    world.fake.until(|fake| fake.lines().len() == 500).await;
    end(&drain, agent).await;
    let streams: String =
        world.fake.server.lock().unwrap().streams().iter().map(|s| String::from_utf8_lossy(s)).collect();
    let mut lines: Vec<&str> = streams.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines.join("\n") + "\n", numbered(0..500));
    let headers = world.fake.headers.lock().unwrap();
    assert!(headers.iter().all(|header| header.agent.host == "web-1" && header.agent.id == headers[0].agent.id));
    assert_eq!(headers[0].sources[0].labels["service"], "app");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_server_says_nothing_is_lost_or_doubled() {
    let world = World::new(Fake::default()).await;
    let (drain, agent) = world.start(world.config());
    let faults = [
        Fault::Status(500),
        Fault::Status(429),
        Fault::Garbage,
        Fault::StoreAndFail,
        Fault::Status(400),
        Fault::Status(503),
        Fault::Status(404),
    ];
    // One after the other: the back-off begins anew with each batch.
    let mut lines = 0;
    for fault in faults.into_iter().cycle().take(10) {
        world.fake.faults.lock().unwrap().push_back(fault);
        world.write("app.log", &numbered(lines..lines + 5));
        lines += 5;
        world.fake.until(|fake| fake.faults.lock().unwrap().is_empty() && fake.lines().len() == lines as usize).await;
    }
    world.fake.faults.lock().unwrap().extend([Fault::StoreAndFail]);
    world.write("app.log", &numbered(50..100));
    world.fake.until(|fake| fake.lines().len() == 100).await;
    // Killed with an answer outstanding, or not: the next run sends the same ranges.
    agent.abort();
    let _ = agent.await;
    drop(drain);
    world.write("app.log", &numbered(100..150));
    let (drain, agent) = world.start(world.config());
    world.fake.until(|fake| fake.lines().len() == 150).await;
    end(&drain, agent).await;
    assert_eq!(world.fake.server.lock().unwrap().streams(), [numbered(0..150).into_bytes()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_too_large_is_halved() {
    let world = World::new(Fake { records_max: Some(7), ..Fake::default() }).await;
    world.write("app.log", &numbered(0..100));
    let (drain, agent) = world.start(world.config());
    world.fake.until(|fake| fake.lines().len() == 100).await;
    end(&drain, agent).await;
    assert_eq!(world.fake.server.lock().unwrap().streams(), [numbered(0..100).into_bytes()]);
}

/// Some door on the way says it of any batch. A record that was refused alone is tried again behind an empty batch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_413_now_and_then_loses_nothing() {
    let world = World::new(Fake { too_large_each: Some(3), ..Fake::default() }).await;
    world.write("app.log", &numbered(0..40));
    let (drain, agent) = world.start(world.config());
    world.fake.until(|fake| fake.lines().len() == 40).await;
    world.write("app.log", &numbered(40..80));
    world.fake.until(|fake| fake.lines().len() == 80).await;
    end(&drain, agent).await;
    let server = world.fake.server.lock().unwrap();
    assert!(server.gaps.is_empty());
    assert_eq!(server.streams(), [numbered(0..80).into_bytes()]);
}

/// Every second answer hits the same record twice, with a batch between them that is taken: it is given up, and told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_413_every_other_time_costs_what_is_told() {
    let world = World::new(Fake { too_large_each: Some(2), ..Fake::default() }).await;
    world.write("app.log", &numbered(0..40));
    let (drain, agent) = world.start(world.config());
    let told = |fake: &Fake| -> u64 {
        let server = fake.server.lock().unwrap();
        server.gaps.iter().map(|((_, start), end)| end.expect("it is known") - start).sum()
    };
    let all = numbered(0..40).len() as u64;
    let stored = |fake: &Fake| fake.lines().iter().map(|line| line.len() as u64 + 1).sum::<u64>();
    world.fake.until(|fake| stored(fake) + told(fake) == all).await;
    end(&drain, agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_refused_is_dropped_alone_and_reported() {
    let world = World::new(Fake { poison: Some(b"line 00013"), ..Fake::default() }).await;
    world.write("app.log", &numbered(0..40));
    let (drain, agent) = world.start(world.config());
    world.fake.until(|fake| fake.lines().len() == 39 && !fake.server.lock().unwrap().gaps.is_empty()).await;
    end(&drain, agent).await;
    let gaps: Vec<(u64, Option<u64>)> =
        world.fake.server.lock().unwrap().gaps.iter().map(|((_, start), end)| (*start, *end)).collect();
    assert_eq!(gaps, [(13 * 11, Some(14 * 11))]);
    let headers = world.fake.headers.lock().unwrap();
    let reported: Vec<&str> = headers.iter().flat_map(|h| &h.gaps).map(|gap| gap.reason.as_str()).collect();
    assert_eq!(
        reported[0],
        "refused by the server: status 400 Bad Request: a record is poisoned".replace(" Bad Request", "")
    );
    assert_eq!(headers.last().unwrap().heartbeat.dropped_lines, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_refused_once_is_tried_again_before_it_is_dropped() {
    let fake = Fake { poison: Some(b"line 00013"), patience: Mutex::new(Some(1)), ..Fake::default() };
    let world = World::new(fake).await;
    world.write("app.log", &numbered(0..40));
    let (drain, agent) = world.start(world.config());
    world.fake.until(|fake| fake.lines().len() == 40).await;
    end(&drain, agent).await;
    assert!(world.fake.server.lock().unwrap().gaps.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_ships_what_is_there_and_ends() {
    let world = World::new(Fake::default()).await;
    world.write("a.log", &(numbered(0..30) + "no newline at the end"));
    world.write("b.log", &numbered(30..60));
    let token = world.dir.path().join("token");
    fs::write(&token, "s3cret\n").expect("a token");
    let config = Config { once: true, token_file: Some(token), ..world.config() };
    let (_, agent) = world.start(config.clone());
    agent.await.expect("no panic").expect("a clean end");
    assert_eq!(world.fake.lines().len(), 61);
    let (_, agent) = world.start(config);
    agent.await.expect("no panic").expect("a clean end");
    assert_eq!(world.fake.lines().len(), 61);
    // Its end is announced: nobody misses it.
    assert!(world.fake.headers.lock().unwrap().iter().all(|header| header.heartbeat.passing));
    assert!(world.fake.tokens.lock().unwrap().iter().all(|token| token == "Bearer s3cret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_say_how_far_each_source_is() {
    let world = World::new(Fake::default()).await;
    world.write("app.log", &numbered(0..10));
    let (drain, agent) = world.start(world.config());
    // The first batch carries the watermarks of all sources, and so does the heartbeat after it.
    let marked = |fake: &Fake| {
        fake.headers
            .lock()
            .unwrap()
            .iter()
            .flat_map(|h| &h.watermarks)
            .any(|mark| mark.offset == 110 && mark.time_ns > 0)
    };
    world.fake.until(marked).await;
    end(&drain, agent).await;
    let headers = world.fake.headers.lock().unwrap();
    assert!(headers.iter().all(|h| h.heartbeat.sent_ns > 0));
    assert_eq!(headers.last().unwrap().heartbeat.files, 1);
}

#[tokio::test]
async fn one_state_directory_one_agent() {
    let world = World::new(Fake::default()).await;
    let first = Agent::build(world.config(), Clock::system(), Drain::new()).expect("an agent");
    let second = Agent::build(world.config(), Clock::system(), Drain::new());
    assert!(matches!(second, Err(Error::StateHeld(_))));
    drop(first);
    Agent::build(world.config(), Clock::system(), Drain::new()).expect("an agent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_that_cannot_be_written_stops_the_shipping_and_not_the_agent() {
    let world = World::new(Fake::default()).await;
    world.write("app.log", &numbered(0..10));
    let (drain, agent) = world.start(world.config());
    world.fake.until(|fake| fake.lines().len() == 10).await;
    end(&drain, agent).await;
    let blocker = world.dir.path().join("state/checkpoint.tmp");
    fs::create_dir(&blocker).expect("the temporary file is a directory now");
    // The first plan of an agent is written with the whole state.
    let (drain, agent) = world.start(world.config());
    let sent = world.fake.headers.lock().unwrap().len();
    world.write("app.log", &numbered(10..20));
    tokio::time::sleep(COMMIT_PAUSE / 2).await;
    let lines = |header: &Header| header.chunks.len();
    assert_eq!(world.fake.headers.lock().unwrap()[sent..].iter().map(lines).sum::<usize>(), 0);
    fs::remove_dir(&blocker).expect("space again");
    world.fake.until(|fake| fake.lines().len() == 20).await;
    end(&drain, agent).await;
    assert_eq!(world.fake.server.lock().unwrap().streams(), [numbered(0..20).into_bytes()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_acked_well_within_the_age_of_a_batch() {
    let world = World::new(Fake::default()).await;
    world.write("app.log", &numbered(0..1));
    // The default age: a single line must not wait for it.
    let config = Config { limits: Limits::default(), ..world.config() };
    let (drain, agent) = world.start(config);
    world.fake.until(|fake| fake.lines().len() == 1).await;
    let begun = Instant::now();
    for n in 1..20 {
        world.write("app.log", &numbered(n..n + 1));
        world.fake.until(|fake| fake.lines().len() == n as usize + 1).await;
    }
    // Nineteen lines, each alone: fsync, linger, hold and the way there and back.
    assert!(begun.elapsed() < Duration::from_secs(19), "{:?}", begun.elapsed());
    end(&drain, agent).await;
    println!("append to arrival: {:?} each", begun.elapsed() / 19);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_configuration_is_taken_whole_or_not_at_all() {
    let world = World::new(Fake::default()).await;
    let (sender, reloads) = tokio::sync::mpsc::channel(1);
    let drain = Drain::new();
    let agent = Agent::build(world.config(), Clock::system(), drain.clone()).expect("an agent").with_reloads(reloads);
    let agent = tokio::spawn(agent.run());
    world.write("a.log", "to a@b.de 1\n");
    world.fake.until(|fake| fake.lines().len() == 1).await;

    // One key of it cannot change: nothing of it is taken.
    let elsewhere = Config { state_dir: "/elsewhere".into(), rules: vec![drop_all()], ..world.config() };
    sender.send(elsewhere).await.expect("it runs");
    let no_key = crate::redact::Settings {
        detectors: vec![(crate::redact::Detector::Email, crate::redact::Action::Hash)],
        ..Default::default()
    };
    sender.send(Config { redact: no_key, rules: vec![drop_all()], ..world.config() }).await.expect("it runs");
    world.write("a.log", "to a@b.de 2\n");
    world.fake.until(|fake| fake.lines().len() == 2).await;

    let dir = world.dir.path().join("more");
    fs::create_dir(&dir).expect("a directory");
    fs::write(dir.join("b.log"), "from b, debug\nfrom b\n").expect("a log");
    let mut config = world.config();
    let glob = dir.join("*.log").display().to_string();
    config.files.push(FileRule { start_at: StartAt::Beginning, ..FileRule::plain(vec![glob.clone()]) });
    config.rules =
        vec![crate::config::SourceRule { paths: vec![glob], drop: vec!["debug".into()], ..Default::default() }];
    config.redact.detectors = vec![(crate::redact::Detector::Email, crate::redact::Action::Mask)];
    config.labels.insert("env".into(), "prod".into());
    sender.send(config).await.expect("it runs");
    world.fake.until(|fake| fake.lines().len() == 3).await;
    world.write("a.log", "to a@b.de 3\n");
    world.fake.until(|fake| fake.lines().len() == 4).await;
    end(&drain, agent).await;
    let mut lines = world.fake.lines();
    lines.sort();
    assert_eq!(lines, ["from b", "to [email] 3", "to a@b.de 1", "to a@b.de 2"]);
    let headers = world.fake.headers.lock().unwrap();
    let last = &headers.iter().rev().find(|header| !header.chunks.is_empty()).expect("a batch").sources[0];
    assert_eq!((last.labels["env"].as_str(), last.path.ends_with("a.log")), ("prod", true));
    let heartbeat = &headers.last().expect("a batch").heartbeat;
    assert_eq!((heartbeat.filtered_lines, heartbeat.redacted_values), (1, 1));
}

fn drop_all() -> crate::config::SourceRule {
    crate::config::SourceRule { drop: vec!["".into()], ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_source_says_how_far_it_is_while_others_are_busy() {
    let world = World::new(Fake::default()).await;
    world.write("idle.log", "one\n");
    world.write("busy.log", "one\n");
    let (drain, agent) = world.start(world.config());
    let idle_times = |fake: &Fake| {
        let headers = fake.headers.lock().expect("no panic");
        let idle = headers.iter().flat_map(|h| &h.sources).find(|s| s.path.ends_with("idle.log")).map(|s| s.id.clone());
        let marks = headers.iter().flat_map(|header| &header.watermarks);
        let mut times: Vec<i64> = marks
            .filter(|mark| Some(&mark.source) == idle.as_ref() && mark.offset == 4)
            .map(|mark| mark.time_ns)
            .collect();
        times.dedup();
        times
    };
    let begun = Instant::now();
    while idle_times(&world.fake).len() < 3 {
        world.write("busy.log", "more\n");
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(begun.elapsed() < 12 * pulse::HEARTBEAT_EVERY, "{:?}", idle_times(&world.fake));
    }
    end(&drain, agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_dropped_is_neither_sent_nor_a_gap() {
    let world = World::new(Fake::default()).await;
    let rule = crate::config::SourceRule { drop: vec!["debug".into()], ..Default::default() };
    let config = || Config { rules: vec![rule.clone()], once: true, ..world.config() };
    world.write("a.log", &"debug\n".repeat(1000));
    Agent::build(config(), Clock::system(), Drain::new()).expect("an agent").run().await.expect("all is stored");
    world.write("a.log", "kept\ndebug\n");
    Agent::build(config(), Clock::system(), Drain::new()).expect("an agent").run().await.expect("all is stored");
    assert_eq!(world.fake.lines(), ["kept"]);
    let headers = world.fake.headers.lock().unwrap();
    let mut end = 0;
    for chunk in headers.iter().flat_map(|header| &header.chunks) {
        assert_eq!(std::mem::replace(&mut end, chunk.end), chunk.start);
    }
    assert_eq!(end, 6011);
    assert!(headers.iter().all(|header| header.gaps.is_empty()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_is_a_source_without_a_file() {
    let world = World::new(Fake::default()).await;
    let mut agent =
        Agent::build(Config { host_stats: true, ..world.config() }, Clock::system(), world.drain.clone()).expect("one");
    // The first sample is taken: the next one, a moment later, is an event.
    agent.parts.host.sample(Now { mono: Instant::now(), wall_ns: 0 });
    let drain = world.drain.clone();
    let agent = tokio::spawn(agent.run());
    world.fake.until(|fake| fake.lines().len() == 1).await;
    end(&drain, agent).await;
    let event: serde_json::Value = serde_json::from_str(&world.fake.lines()[0]).expect("json");
    assert!(event["cpu_percent"].is_number() && event["memory_total_bytes"].is_number(), "{event}");
    let headers = world.fake.headers.lock().unwrap();
    assert_eq!(
        headers.iter().flat_map(|h| &h.sources).find(|s| s.id.starts_with("host-")).expect("it").labels["service"],
        "host"
    );
}
